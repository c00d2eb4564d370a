//! However the server ends, nothing of its jobs does not.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    Client, EXECUTE, GET, Gate, LIST, Setup, eventually, files_below, processes, ref_id,
};

#[test]
fn jobs_that_heed_term_have_time_for_their_last_words() {
    let client = Client::start();
    let words = client.scratch().join("words");
    let id = client.begin(&format!(
        "trap 'echo bye > {}; exit 0' TERM; echo ready; while :; do sleep 0.01; done",
        words.display()
    ));
    client.wait_for(&id, "ready");
    client.hang_up();
    assert_eq!(std::fs::read_to_string(words).unwrap(), "bye\n");
}

#[test]
fn invariant_09_calls_under_way_are_answered_at_the_end() {
    for signal in [None, Some(Signal::TERM)] {
        let client = Client::start();
        let gate = Gate::new();
        let id = client.begin(&gate.wait());
        let waits = [
            client.post(GET, &json!({"ref_id": id, "wait_seconds": 40})),
            client.post(GET, &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "never"})),
            client.post(LIST, &json!({"wait_seconds": 40})),
            client.post(EXECUTE, &json!({"cmd": gate.wait(), "wait_seconds": 40})),
        ];
        eventually("the second job runs", || match &client.list()["count"] {
            count if *count == 2 => Ok(()),
            count => Err(count.to_string()),
        });
        let end = match signal {
            None => client.hang_up(),
            Some(signal) => {
                processes::signal(client.pid(), signal);
                client.end()
            }
        };
        assert!(end.status.success() && end.took < Duration::from_secs(3), "{end:?}");
        for wait in waits {
            let reply = client.reply(wait);
            assert!(reply["hint"].is_null(), "there is no next call: {reply}");
        }
        client.assert_nothing_left();
    }
}

#[test]
fn an_idle_server_ends_at_once() {
    let client = Client::start();
    let end = client.hang_up();
    assert!(end.took < Duration::from_millis(500), "{end:?}");
    let client = Client::start();
    processes::signal(client.pid(), Signal::TERM);
    let end = client.end();
    assert_eq!(end.status.code(), Some(0), "{end:?}");
    assert!(end.took < Duration::from_millis(500), "{end:?}");
}

#[test]
fn the_first_job_sweeps_what_dead_servers_left_and_nothing_else() {
    let root = tempfile::TempDir::new().unwrap();
    const ID: &str = "0190a5c8-0000-4000-8000-000000000000";
    let place = |name: &str, files: &[&str]| {
        let directory = root.path().join(name);
        std::fs::create_dir(&directory).unwrap();
        for file in files {
            std::fs::write(directory.join(file), "x").unwrap();
        }
        directory
    };
    let output = format!("{ID}.stdout");
    let dead = place(&format!("server-{ID}"), &["lock", &output]);
    let elsewhere = place("elsewhere", &["lock", &output]);
    let foreign = [
        place("photos", &["file"]).join("file"),
        place("server-backup", &["lock", "file"]).join("file"),
        place("server-empty", &[]),
        elsewhere.join(&output),
    ];
    let link = format!("server-{}", ID.replace('0', "1"));
    std::os::unix::fs::symlink(&elsewhere, root.path().join(link)).unwrap();
    let killed = Setup::new().output_dir(root.path()).start();
    killed.run("echo words of the dead");
    killed.kill();
    let living = Setup::new().output_dir(root.path()).start();
    let id = living.begin("echo words of the living");
    living.wait(&id);

    let next = Setup::new().output_dir(root.path()).start();
    assert!(dead.exists() || !living.output_files().is_empty(), "swept before the first job");
    next.run("echo next");
    eventually("the dead server's files are gone", || {
        let files = files_below(root.path());
        let of_the_dead = files
            .iter()
            .any(|file| std::fs::read(file).is_ok_and(|bytes| bytes == b"words of the dead\n"));
        if dead.exists() || of_the_dead { Err(format!("{files:?}")) } else { Ok(()) }
    });
    assert_eq!(living.get(&id)["output"], "words of the living\n");
    for file in foreign {
        assert!(file.exists(), "{} was removed", file.display());
    }
}

#[test]
fn a_job_started_as_the_server_ends_does_not_outlive_it() {
    for _ in 0..5 {
        let client = Client::start();
        for _ in 0..20 {
            client.post(EXECUTE, &json!({"cmd": "sleep 300"}));
        }
        client.assert_ends_well();
    }
}

#[test]
fn a_server_inside_a_job_of_another_ends_with_it() {
    let outer = Client::start();
    let started = outer.execute(&json!({"cmd": format!(
        "(printf '%s\\n' '{}' '{}' '{}'; sleep 300) | {} --output-dir {}",
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": EXECUTE, "arguments": {"cmd": "setsid sleep 299 & wait"}}}),
        crate::support::SERVER,
        outer.scratch().join("inner").display(),
    )}));
    let id = ref_id(&started);
    outer.wait_for(&id, "\"success\":true");
    outer.clean_up(&id);
    outer.assert_none_living();
}
