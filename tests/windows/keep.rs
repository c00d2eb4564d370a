//! `--keep`: jobs that outlive their client, which finds them by a named pipe. All tests are one user, who has one background
//! process: they take turns.

use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::json;
use tempfile::TempDir;

use super::client::{Client, is_alive, once};
use super::{LEAVE, STAY, eventually, pids, running_this};

static TURN: Mutex<()> = Mutex::new(());

/// The user, who has no background process before and after.
struct Keeper {
    own: Rc<TempDir>,
    _turn: MutexGuard<'static, ()>,
}

impl Keeper {
    fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let keeper = Self { own: Rc::new(tempfile::tempdir().unwrap()), _turn: turn };
        keeper.daemon("stop");
        keeper
    }

    fn client(&self, flags: &[&str], variables: &[(&str, &str)]) -> Client {
        Client::start_in(self.own.clone(), &[&["--keep"], flags].concat(), variables)
    }

    fn daemon(&self, action: &str) -> String {
        let done = once(&["daemon", action]);
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// Its pid, and what else `daemon status` tells of it.
    fn status(&self) -> (u32, String) {
        let told = self.daemon("status");
        let (pid, rest) = told.strip_prefix("process ").and_then(|it| it.split_once(',')).unwrap();
        (pid.parse().unwrap(), rest.to_owned())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.daemon("stop");
    }
}

/// The exit code of a client's own process.
fn ended(client: &mut Client) -> Option<i32> {
    client.server.wait().unwrap().code()
}

#[test]
fn a_job_outlives_its_killed_client_and_another_client_collects_it() {
    let user = Keeper::new();
    assert!(user.daemon("status").contains("no background process"));
    let mut first = user.client(&["--cwd", r"C:\windows"], &[]);
    let job = first.stay(&format!("cd & {STAY}"));
    first.server.kill().unwrap();
    let mut second = user.client(&["--cwd", r"C:\windows\system32"], &[("WHOSE", "second")]);
    let listed = second.tool("list_background_processes", json!({}));
    let entry = &listed["processes"][0];
    assert_eq!((&entry["ref_id"], &entry["cwd"]), (&job, &json!(r"C:\windows")), "{listed}");
    let reply = second.get(&job, json!({"wait_seconds": 30, "until_pattern": "windows"}));
    assert_eq!(reply["matched"], r"C:\windows", "{reply}");
    let own = second.run("echo %WHOSE%& cd");
    assert_eq!(own["output"], "second\nC:\\windows\\system32\n");
    // The end of its input: what was asked is answered.
    drop(second.input.take());
    assert_eq!(ended(&mut second), Some(0));
    let mut third = user.client(&[], &[]);
    assert_eq!(third.run("echo %WHOSE%")["output"], "%WHOSE%\n");
    let stopped = third.tool("cleanup_background_process", json!({"ref_id": job}));
    assert_eq!(stopped["result"]["state"], "stopped", "{stopped}");
    let left = third.execute(json!({"cmd": LEAVE, "wait_seconds": 30}));
    let left = pids(&left["result"]["leftover_processes"]);
    let (daemon, _) = user.status();
    assert!(user.daemon("stop").contains("stopped"));
    assert!(!is_alive(daemon) && !left.iter().any(|pid| is_alive(*pid)), "{daemon} {left:?}");
    assert_eq!(ended(&mut third), Some(1), "its background process has ended");
    assert!(third.directories().is_empty(), "{:?}", third.directories());
}

#[test]
fn jobs_end_with_a_killed_background_process_and_the_next_client_starts_another() {
    let user = Keeper::new();
    // First connections at once find one.
    let clients: Vec<Client> =
        (0..10).map(|_| Client::spawn(user.own.clone(), &["--keep"], &[])).collect();
    eventually("ten connections to one process", || {
        user.daemon("status").contains(": 10 connections")
    });
    drop(clients);
    let mut client = user.client(&[], &[]);
    let (daemon, _) = user.status();
    let left = client.execute(json!({"cmd": LEAVE, "wait_seconds": 30}));
    let (id, left) = (&left["ref_id"], pids(&left["result"]["leftover_processes"]));
    let killed = sysinfo::System::new_all().process(sysinfo::Pid::from_u32(daemon)).unwrap().kill();
    assert!(killed);
    assert_eq!(ended(&mut client), Some(1));
    eventually("its jobs are gone", || !left.iter().any(|pid| is_alive(*pid)));
    let mut next = user.client(&[], &[]);
    let (another, _) = user.status();
    assert_ne!(another, daemon);
    let lost = next.get(id, json!({}));
    assert!(lost["error"].as_str().unwrap().contains("jobs end with their server"), "{lost}");
    let done = next.execute(json!({"cmd": "echo done", "wait_seconds": 30}));
    next.tool("cleanup_background_process", json!({"ref_id": done["ref_id"]}));
    drop(next.input.take());
    assert_eq!(ended(&mut next), Some(0));
    // With no connection, no job and no result it ends by itself.
    eventually("a background process that nothing needs", || !is_alive(another));
}

#[test]
fn what_a_server_without_keep_refuses_is_refused_with_it() {
    let user = Keeper::new();
    for flags in [["--keep", "--cwd", r"C:\no\such"], ["--keep", "--shell", "bash"]] {
        let refused = once(&flags);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    }
    assert!(user.daemon("status").contains("no background process"));
}

/// A pipe that is read may be written to, and what is long comes in pieces.
#[test]
fn a_connection_carries_long_lines_both_ways() {
    let user = Keeper::new();
    let client = user.client(&[], &[]);
    let much = "0123456789abcde\n".repeat(1 << 16);
    let asked = json!({"cmd": running_this("COPY"), "stdin": much, "wait_seconds": 45});
    let copied = client.execute(asked);
    assert!(copied["result"]["output_bytes"].as_u64() > Some(1 << 20), "{copied}");
    let shown = client.get(&copied["ref_id"], json!({"cursor": "start", "max_chars": 100_000}));
    assert!(shown["output"].as_str().unwrap().len() > 90_000, "{shown}");
}
