//! `--keep`: jobs that outlive their client. Each test is a user of its own, since a user has one background process.

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output};

use serde_json::json;

use super::{OrdinaryUser, ordinary_user};
use crate::support::{Client, GET, Setup, eventually, pid, processes, ref_id, text};

/// A user whose clients keep their jobs.
struct Keeper(OrdinaryUser);

impl Keeper {
    fn new(test: &str) -> Option<Self> {
        ordinary_user(test).map(Self)
    }

    /// A client, of which the background process has no mark: it is not the client's to end.
    fn setup(&self) -> Setup {
        let launcher = format!("unset TEST_SERVER; {}", self.0.launcher());
        Setup::new().after(&launcher).output_dir(&self.0.output()).flags(["--keep"])
    }

    fn client(&self) -> Client {
        self.setup().start()
    }

    fn daemon(&self, action: &str) -> String {
        let Output { status, stdout, stderr } = self.command(&["daemon", action]);
        assert!(status.success(), "{status} {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let script = format!("{}; exec \"$@\"", self.0.launcher());
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script, "sh", "server"]).args(arguments).output().unwrap()
    }

    /// The pid that `daemon status` tells.
    fn pid(&self) -> u32 {
        let status = self.daemon("status");
        let pid = status.strip_prefix("process ").and_then(|rest| rest.split(',').next());
        pid.and_then(|pid| pid.parse().ok()).unwrap_or_else(|| panic!("{status}"))
    }

    /// Nothing of the user is alive or on disk.
    #[track_caller]
    fn assert_nothing_left(&self) {
        let is_the_users = |pid: &u32| {
            let found = std::fs::metadata(format!("/proc/{pid}"));
            found.is_ok_and(|found| found.uid() == self.0.user) && processes::is_alive(*pid)
        };
        eventually("no process of the user is left", || {
            let all = std::fs::read_dir("/proc").unwrap().flatten();
            let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
            let left: Vec<u32> = pids.filter(is_the_users).collect();
            if left.is_empty() { Ok(()) } else { Err(processes::describe(left)) }
        });
        let place = format!("/tmp/background-command-mcp-{}", self.0.user);
        let files: Vec<_> = std::fs::read_dir(&place).into_iter().flatten().flatten().collect();
        assert!(files.is_empty(), "left: {files:?}");
        drop(std::fs::remove_dir(place));
        let output = crate::support::files_below(&self.0.output());
        assert!(output.is_empty(), "left: {output:?}");
    }
}

impl Drop for Keeper {
    /// A failed test leaves nothing either.
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(self.command(&["daemon", "stop"]));
        }
    }
}

#[test]
fn a_job_outlives_its_killed_client_and_another_client_collects_it() {
    let Some(user) = Keeper::new("a job outlives its client") else { return };
    assert!(user.daemon("status").contains("no background process"));
    let first = user.setup().flags(["--cwd", "/"]).start();
    let started =
        first.execute(&json!({"cmd": "i=0; while :; do echo $((i+=1)); sleep 0.1; done"}));
    let id = ref_id(&started);
    first.kill();
    let second = user.setup().environment("WHOSE", "second").flags(["--cwd", "/usr"]).start();
    let entry = &second.list()["processes"][0];
    assert_eq!((text(entry, "ref_id"), text(entry, "cwd")), (&*id, "/"), "{entry}");
    second.wait_for(&id, "^7$");
    let own = second.run("echo $WHOSE; pwd");
    assert_eq!(
        own["output"], "second\n/usr\n",
        "a job runs as its own client would have it: {own}"
    );
    second.hang_up();
    let third = user.client();
    assert_eq!(third.run("echo $WHOSE")["output"], "\n");
    assert_eq!(third.clean_up(&id)["result"]["state"], "stopped");
    let deaf = pid(&third.execute(&json!({"cmd": "trap '' TERM; setsid sleep 1000 & sleep 1000"})));
    assert!(user.daemon("stop").contains("stopped"));
    assert!(!processes::is_alive(deaf));
    assert_eq!(third.end().status.code(), Some(1), "its background process has ended");
    user.assert_nothing_left();
}

#[test]
fn jobs_end_with_a_killed_background_process_and_the_next_client_starts_another() {
    let Some(user) = Keeper::new("a killed background process") else { return };
    // Ten first connections at once find one.
    let clients: Vec<Client> = (0..10).map(|_| user.setup().spawn()).collect();
    for client in clients {
        drop(client);
    }
    let client = user.client();
    let daemon = user.pid();
    let id = client.begin("trap '' TERM; echo here; sleep 1000");
    client.wait_for(&id, "here");
    processes::kill(daemon);
    assert_eq!(client.end().status.code(), Some(1));
    let next = user.client();
    assert_ne!(user.pid(), daemon);
    let lost = next.refused(GET, &json!({"ref_id": id}));
    assert!(text(&lost, "error").contains("jobs end with their server"), "{lost}");
    next.clean_up(text(&next.run("echo done"), "ref_id"));
    next.hang_up();
    // With no connection, no job and no result it ends by itself.
    user.assert_nothing_left();
}

#[test]
fn a_killed_client_that_has_not_read_its_replies_is_no_connection_any_more() {
    let Some(user) = Keeper::new("replies that were not read") else { return };
    let client = user.client();
    let id = client.begin("yes | head -c 1000000");
    client.wait(&id);
    for _ in 0..20 {
        client.post(GET, &json!({"ref_id": id, "cursor": "start", "max_chars": 100_000}));
    }
    client.await_output();
    client.kill();
    let next = user.client();
    next.clean_up(&id);
    next.hang_up();
    // With no connection, no job and no result the background process ends by itself.
    user.assert_nothing_left();
}

#[test]
fn what_a_server_without_keep_refuses_is_refused_with_it() {
    let Some(user) = Keeper::new("refusals with --keep") else { return };
    for (flags, said) in [
        (["--keep", "--cwd", "/no/such"], "/no/such"),
        (["--keep", "--shell", "bash"], "bash -c"),
        (["--keep", "--log", "loud"], "loud"),
        (["--keep", "--log-file", "/no/such/log"], "/no/such/log"),
    ] {
        let Output { status, stderr, .. } = user.command(&flags);
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(!status.success() && stderr.contains(said), "{flags:?}: {stderr}");
    }
    user.assert_nothing_left();
}
