//! Jobs on the engines of `docs/beyond-one-machine.md`: each test reads its snippets from that page and runs them with the
//! real programs, which it starts for itself on the loopback address.

mod bubblewrap;
mod slurm;
mod ssh;

use std::fs;
use std::io::{Read, Seek, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::json;
use uuid::Uuid;

use crate::faults::skipped;
use crate::support::{CLEANUP, Client, Setup, eventually, processes, ref_id, text};

/// The snippets in a section of the page, in their order.
fn snippets(section: &str) -> Vec<String> {
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/beyond-one-machine.md"));
    let page = page.unwrap();
    let (_, section) = page.split_once(&format!("\n## {section}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    // A snippet in a list is indented like the list.
    let lines = section.lines().map(|line| {
        line.strip_prefix("  ```").map_or(line.to_owned(), |fence| format!("```{fence}"))
    });
    let section = lines.collect::<Vec<_>>().join("\n");
    let parts = section.split("\n```").skip(1).step_by(2);
    parts.map(|part| part.split_once('\n').unwrap().1.to_owned()).collect()
}

/// The value of `--shell` in a snippet.
fn shell(snippet: &str) -> String {
    let value = snippet.strip_prefix("--shell \"").and_then(|value| value.strip_suffix('"'));
    value.unwrap_or_else(|| panic!("not a --shell: {snippet}")).to_owned()
}

/// Saves a file as the page says. Another process writes it: a child that another test forks while this one has the file
/// open for writing would make a script busy.
fn save(mode: &str, content: &str, path: &Path) {
    let mut install = Command::new("install");
    install.args(["-m", mode, "/dev/stdin"]).arg(path).stdin(Stdio::piped());
    let mut install = install.spawn().unwrap();
    install.stdin.take().unwrap().write_all(content.as_bytes()).unwrap();
    assert!(install.wait().unwrap().success());
}

/// Whether all these programs are here. If not, the test that needs them says so and is passed over.
fn installed(engine: &str, programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| !Path::new(program).exists()).collect();
    if !missing.is_empty() {
        skipped(engine, &format!("not installed: {missing:?}"));
    }
    missing.is_empty()
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// The user that runs the tests.
fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A program in the foreground that ends with the test.
struct Daemon(Child);

impl Daemon {
    /// Starts it and waits until it is ready. A failure shows what it has said.
    fn start(command: &mut Command, is_ready: impl Fn() -> bool) -> Self {
        let mut log = tempfile::tempfile().unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.try_clone().unwrap());
        let daemon = Self(command.spawn().unwrap());
        eventually("the daemon is ready", || {
            if is_ready() {
                return Ok(());
            }
            let mut said = String::new();
            log.rewind().unwrap();
            log.read_to_string(&mut said).unwrap();
            Err(format!("{command:?}: {said}"))
        });
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        processes::signal(self.0.id(), Signal::TERM);
        let _ = self.0.wait();
    }
}

/// Streams, input and exit codes come through, and a death by signal as 128 and its number.
fn streams_and_codes_come_through(client: &Client) {
    for (cmd, stdin, code, output, error) in [
        ("echo out; echo err >&2; exit 7", "", 7, "out\n", "err\n"),
        ("kill -KILL $$", "", 137, "", ""),
        ("kill -INT $$; echo not reached", "", 130, "", ""),
        ("cat; echo end", "it's\n$1 \"two\"", 0, "it's\n$1 \"two\"end\n", ""),
        ("cat; echo end", "", 0, "end\n", ""),
        ("for i in 1 2\ndo\necho \"$i  it's\"\ndone", "", 0, "1  it's\n2  it's\n", ""),
        ("head -c 3000000 /dev/zero | tr '\\0' x | wc -c", "", 0, "3000000\n", ""),
        ("no-such-program", "", 127, "", "no-such-program: command not found"),
    ] {
        let reply = client.wait(&ref_id(&client.execute(&json!({"cmd": cmd, "stdin": stdin}))));
        assert_eq!(reply["returncode"], code, "{reply}");
        assert_eq!(text(&reply, "output"), output, "{reply}");
        // Some engines add a line of their own.
        assert!(text(&reply, "error").contains(error), "{reply}");
    }
}

/// What ends a job before its command ends.
type End = fn(&Client, &str, f64);

const ENDS: [(&str, End); 6] = [
    ("cleanup", |client, job, _| clean_up(client, job, 0.0)),
    ("cleanup with a short grace", |client, job, grace| clean_up(client, job, grace)),
    (TIME_LIMIT, |client, job, _| assert_eq!(client.wait(job)["state"], "timed_out")),
    ("end of input", |client, _, _| client.assert_ends_well()),
    ("SIGKILL of the server", |client, _, _| {
        processes::kill(client.server_pid());
        client.end();
    }),
    ("SIGKILL of the supervisor", |client, _, _| client.kill()),
];

const TIME_LIMIT: &str = "time limit";

fn clean_up(client: &Client, job: &str, grace: f64) {
    let reply = client.call(CLEANUP, &json!({"ref_id": job, "grace_seconds": grace}));
    assert_eq!(reply["success"], true, "{reply}");
}

/// All processes of a job end, although they ignore TERM and one is in a session of its own.
fn each_way_ends_the_far_side(short_grace: f64, setup: impl Fn() -> Setup) {
    for (name, end) in ENDS {
        let client = setup().start();
        let mark = format!("FAR_SIDE={}", Uuid::new_v4());
        let cmd = format!(
            r#"env {mark} bash -c 'trap "" TERM; setsid sleep 1000 & sleep 1000 & echo ready; wait'"#
        );
        // Long enough for a slow start: the job has to say that it is ready before the limit strikes.
        let limit = if name == TIME_LIMIT { 8 } else { 0 };
        let job = ref_id(&client.execute(&json!({"cmd": cmd, "kill_after_seconds": limit})));
        client.wait_for(&job, "^ready$");
        let await_processes = |count| {
            eventually(&format!("{name}: there are {count} processes"), || {
                let found = processes::with_environment(&mark);
                if found.len() == count { Ok(()) } else { Err(processes::describe(found)) }
            });
        };
        await_processes(3);
        end(&client, &job, short_grace);
        await_processes(0);
    }
}
