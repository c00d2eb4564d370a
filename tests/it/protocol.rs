//! Whatever a client sends is answered once, and ends nothing.

use serde_json::json;

use crate::support::client::{ref_id, text};
use crate::support::reply::{EXECUTE, GET};
use crate::support::{Client, Gate, Setup, eventually};

#[test]
fn replies_come_as_they_are_ready_and_to_their_own_requests() {
    let client = Client::start();
    let gate = Gate::new();
    let slow = client
        .post(EXECUTE, &json!({"cmd": format!("{}; echo slow", gate.wait()), "wait_seconds": 40}));
    let quick: Vec<_> = (0..10)
        .map(|n| client.post(EXECUTE, &json!({"cmd": format!("echo {n}"), "wait_seconds": 40})))
        .collect();
    for (n, posted) in quick.into_iter().enumerate().rev() {
        assert_eq!(client.reply(posted)["result"]["output"], format!("{n}\n"));
    }
    assert!(!client.is_answered(slow.id));
    gate.open();
    assert_eq!(client.reply(slow)["result"]["output"], "slow\n");
}

#[test]
fn standard_error_that_nobody_reads_stops_nothing() {
    let directory = tempfile::TempDir::new().unwrap();
    let pipe = directory.path().join("pipe");
    // A pipe that is open for reading and never read: it fills up.
    let client = Setup::new()
        .flags(["--log", "trace"])
        .after(&format!("mkfifo {0}; exec 2<>{0}", pipe.display()))
        .start();
    for n in 0..50 {
        let reply = client.execute(&json!({"cmd": format!("echo {n}"), "wait_seconds": 40}));
        assert_eq!(reply["result"]["output"], format!("{n}\n"));
    }
}

#[test]
fn many_large_replies_at_once_all_come() {
    let client = Client::start();
    let id = client.begin("seq 1 100000");
    client.wait(&id);
    let posted: Vec<_> =
        (0..25).map(|_| client.post(GET, &json!({"ref_id": id, "max_chars": 50_000}))).collect();
    for posted in posted {
        assert!(text(&client.reply(posted), "output").len() > 40_000);
    }
}

#[test]
fn logs_do_not_tell_commands_or_output() {
    let client = Client::start();
    let secret = "s3cr3t-word";
    let started = client.execute(&json!({"cmd": format!("echo {secret}"), "wait_seconds": 40}));
    let id = ref_id(&started);
    eventually("the job is in the log", || {
        if client.log().contains(&id) { Ok(()) } else { Err(client.log()) }
    });
    client.clean_up(&id);
    assert!(!client.log().contains(secret), "{}", client.log());
}
