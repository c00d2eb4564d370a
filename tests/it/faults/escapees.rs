//! Processes that leave their group, their parents, their names and their marks behind, and are found all the same.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use super::{as_an_ordinary_user, can, compiled, open_to_all};
use crate::support::{CLEANUP, Client, EXECUTE, Gate, SERVER, Setup, eventually, processes, text};

/// A way to get away.
struct Escape {
    what: &'static str,
    cmd: String,
    /// Where those who got away write their pids.
    file: PathBuf,
    count: usize,
}

impl Escape {
    /// Who got away.
    #[track_caller]
    fn pids(&self) -> Vec<u32> {
        eventually(self.what, || {
            let written = fs::read_to_string(&self.file).unwrap_or_default();
            let pids: Vec<u32> = written.lines().map_while(|pid| pid.parse().ok()).collect();
            if pids.len() == self.count { Ok(pids) } else { Err(written) }
        })
    }
}

/// Ways to get away, each in a job of its own.
fn escapes(scratch: &Path) -> Vec<Escape> {
    let mut escapes = Vec::new();
    let mut add = |what, count, shape: &dyn Fn(&str, &str) -> String| {
        let file = scratch.join(format!("pids-{}", escapes.len()));
        let deaf =
            format!(r#"trap "" TERM HUP INT QUIT; echo $$ >> {}; sleep 1000"#, file.display());
        let cmd = shape(&deaf, &file.display().to_string());
        escapes.push(Escape { what, cmd, file, count });
    };
    add("setsid", 1, &|deaf, _| format!("setsid sh -c '{deaf}' & wait"));
    add("setsid, its parent gone", 1, &|deaf, _| format!("(setsid sh -c '{deaf}' &)"));
    add("double fork", 2, &|deaf, _| format!(r#"(sh -c '(sh -c "$0" &)' '{deaf}' &); {deaf}"#));
    add("env -i setsid", 1, &|deaf, _| format!("env -i setsid sh -c '{deaf}' & wait"));
    // One that has left group, variable and parent when no scan has seen it yet is no job's among several, and ends with
    // the server: see the supervisor's tests.
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}});
    let inner = scratch.join("inner");
    add("a job of a server in a job", 2, &|_, file| {
        let cmd = format!(
            "(setsid sh -c 'echo $$ >> {file}; sleep 1000' &); echo $$ >> {file}; sleep 1000"
        );
        let lines = [
            json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}),
            json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
            json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call",
                "params": {"name": EXECUTE, "arguments": {"cmd": cmd}}}),
        ];
        let input = scratch.join("input");
        fs::write(&input, lines.map(|line| format!("{line}\n")).concat()).unwrap();
        format!(
            "(cat {}; sleep 1000) | {SERVER} --output-dir {} > /dev/null",
            input.display(),
            inner.display()
        )
    });
    escapes
}

/// A server in which everybody gets away at once, so that none can be known by being the only one.
#[track_caller]
fn with_escapees(
    client: &Client,
    arguments: &serde_json::Value,
) -> Vec<(Escape, String, Vec<u32>)> {
    let escapes = escapes(client.scratch());
    let started: Vec<_> = escapes
        .into_iter()
        .map(|escape| {
            let mut arguments = arguments.clone();
            arguments["cmd"] = escape.cmd.clone().into();
            let id = crate::support::ref_id(&client.execute(&arguments));
            (escape, id)
        })
        .collect();
    let pids = |(escape, id): (Escape, String)| {
        let pids = escape.pids();
        (escape, id, pids)
    };
    started.into_iter().map(pids).collect()
}

#[track_caller]
fn assert_all_gone(escapees: &[(Escape, String, Vec<u32>)]) {
    let alive = escapees.iter().flat_map(|(escape, _, pids)| {
        let alive = pids.iter().filter(|pid| processes::is_alive(**pid));
        alive.map(|pid| format!("{} ({})", escape.what, processes::describe([*pid])))
    });
    let alive: Vec<_> = alive.collect();
    assert!(alive.is_empty(), "alive: {alive:#?}");
}

#[test]
fn cleanup_ends_every_escapee_and_nobody_of_another_job() {
    let client = Client::start();
    let escapees = with_escapees(&client, &json!({}));
    let gate = Gate::new();
    let bystander = client.begin(&gate.wait());
    for (n, (escape, id, pids)) in escapees.iter().enumerate() {
        let reply = client.call(CLEANUP, &json!({"ref_id": id, "grace_seconds": 0.05}));
        assert_eq!(reply["success"], true, "{}: {reply}", escape.what);
        let alive: Vec<_> = pids.iter().copied().filter(|pid| processes::is_alive(*pid)).collect();
        assert!(
            alive.is_empty(),
            "{}: said to be ended: {}; {reply}",
            escape.what,
            processes::describe(alive)
        );
        for (other, _, pids) in &escapees[n + 1..] {
            assert!(
                pids.iter().all(|pid| processes::is_alive(*pid)),
                "{} ended with {}",
                other.what,
                escape.what
            );
        }
    }
    gate.open();
    assert_eq!(client.wait(&bystander)["state"], "exited");
}

#[test]
fn a_time_limit_ends_every_escapee() {
    let client = Setup::new().flags(["--stop-grace-seconds", "0.1"]).start();
    let gate = Gate::new();
    let bystander = client.begin(&gate.wait());
    let escapees = with_escapees(&client, &json!({"kill_after_seconds": 4}));
    for (_, id, _) in &escapees {
        client.released(id);
    }
    assert_all_gone(&escapees);
    assert_eq!(client.get(&bystander)["running"], true);
}

#[test]
fn invariant_10_sigkill_of_the_server_ends_every_escapee() {
    let client = Client::start();
    let escapees = with_escapees(&client, &json!({}));
    client.kill();
    for (_, _, pids) in &escapees {
        processes::assert_gone(pids);
    }
    client.assert_nothing_left();
}

/// It may be of any of the jobs that ran when it got away, whichever of them is left in the end.
#[test]
fn an_escapee_of_one_of_several_jobs_is_never_that_of_the_last_one_and_ends_with_the_server() {
    if !can("an escapee without traces", "perl", &["-e", "1"]) {
        return;
    }
    let client = Client::start();
    let last = client.begin("while :; do sleep 0.05; done");
    let file = client.scratch().join("pid");
    let daemon = "use POSIX; exit if fork; setsid; exit if fork; $0 = \"x\" x 20000; $SIG{TERM} = \"IGNORE\"; \
         open F, \">\", $ARGV[0]; print F \"$$\\n\"; close F; sleep 1000";
    let id = client.begin(&format!(
        "env -i PATH=\"$PATH\" perl -e '{daemon}' {} < /dev/null > /dev/null 2>&1; sleep 1000",
        file.display()
    ));
    let escapee = eventually("it has got away", || {
        let written = fs::read_to_string(&file).unwrap_or_default();
        written.trim().parse().map_err(|_| written)
    });
    client.clean_up(&id);
    client.run("true");
    client.clean_up(&last);
    assert!(processes::is_alive(escapee), "it was ended with another job");
    let reply = client.run("true");
    assert!(reply["leftover_processes"].is_null(), "{reply}");
    client.assert_ends_well();
    assert!(!processes::is_alive(escapee));
}

/// A program that any user may start and that belongs to root from then on: no signal of ours reaches it.
const BECOMES_ROOT: &str = r#"
#include <stdio.h>
#include <unistd.h>
int main(void) {
    if (setuid(0) != 0) { perror("setuid"); return 1; }
    printf("%d\n", (int) getpid());
    fflush(stdout);
    sleep(1000);
    return 0;
}
"#;

/// The server as an ordinary user, with that program in reach; none where it cannot be so.
fn with_untouchable(test: &str) -> Option<(Client, PathBuf, TempDir)> {
    let (setup, directory) = as_an_ordinary_user(test)?;
    let program = compiled(test, BECOMES_ROOT, directory.path().join("becomes-root"), &[])?;
    open_to_all(&program, 0o4755);
    Some((setup.start(), program, directory))
}

#[test]
fn who_cannot_be_ended_is_named_by_pid_and_not_called_stopped() {
    let Some((client, program, _directory)) = with_untouchable("survivors") else {
        return;
    };
    let program = program.display();
    let id = client.begin(&format!(
        "(setsid {program} &); (sh -c 'trap \"\" TERM; sleep 1000' &); sleep 1000"
    ));
    let survivor = super::pids_of(&client, &id, 1)[0];
    let (reply, is_error) =
        client.outcome(client.post(CLEANUP, &json!({"ref_id": id, "grace_seconds": 0.1})));
    assert_eq!(reply["success"], false, "{reply}");
    assert!(is_error, "{reply}");
    assert_eq!(reply["survivors"], json!([survivor]), "{reply}");
    let message = text(&reply, "message");
    assert!(
        message.contains(&survivor.to_string()) && !message.contains("was stopped"),
        "{message}"
    );
    assert_eq!(reply["result"]["leftover_processes"], json!([survivor]), "{reply}");
    assert!(processes::is_alive(survivor));

    // The job is kept, so that it can be tried again, by whoever has ended the process by other means.
    assert_eq!(client.get(&id)["leftover_processes"], json!([survivor]));
    processes::kill(survivor);
    let reply = client.clean_up(&id);
    assert!(reply["survivors"].is_null(), "{reply}");
}

#[test]
fn who_survives_a_time_limit_is_a_leftover() {
    let Some((client, program, _directory)) = with_untouchable("survivors of a time limit") else {
        return;
    };
    let reply = client.execute(&json!({"cmd": format!("exec {}", program.display()), "kill_after_seconds": 0.5, "wait_seconds": 3}));
    let survivor = super::pids_of(&client, text(&reply, "ref_id"), 1)[0];
    // The command itself cannot be ended, so it runs.
    assert_eq!(reply["result"]["state"], "running", "{reply}");
    processes::kill(survivor);
    let reply = client.wait(text(&reply, "ref_id"));
    assert_eq!(reply["returncode"], -9, "{reply}");
}

#[test]
fn who_survives_the_server_is_named_in_its_log() {
    let Some((client, program, _directory)) = with_untouchable("survivors of the server") else {
        return;
    };
    let id =
        client.begin(&format!("(setsid {program} &); sleep 1000", program = program.display()));
    let survivor = super::pids_of(&client, &id, 1)[0];
    let end = client.hang_up();
    assert!(end.status.success() && end.took.as_secs_f64() < 3.0, "{end:?}");
    assert!(processes::is_alive(survivor));
    let log = eventually("the log names it", || {
        let log = client.log();
        if log.contains(&survivor.to_string()) { Ok(log) } else { Err(log) }
    });
    processes::signal(survivor, Signal::KILL);
    assert!(log.contains("did not end"), "{log}");
}
