//! The server at the limits of what the system gives: descriptors, processes, memory. Refused clearly, recovered from.

use std::fs;
use std::process::Command;

use serde_json::json;

use super::{as_an_ordinary_user, can, open_to_all, pids_of};
use crate::support::{CLEANUP, Client, EXECUTE, GET, Gate, Setup, eventually, processes, text};

/// Says its pid, then heeds no request to end and has nobody else. To be quoted with `'`.
const LONELY: &str = r#"trap "" TERM HUP INT QUIT; echo $$; exec sleep 1000"#;

/// Changes a soft limit of the running server; the limit as it was. Done as its user, which needs no privilege.
#[track_caller]
fn limit(client: &Client, resource: &str, soft: &str) -> String {
    let pid = client.server_pid().to_string();
    let user = processes::status_number(client.server_pid(), "Uid");
    let prlimit = |arguments: &[&str]| {
        let output = Command::new("setpriv")
            .args([
                format!("--reuid={user}"),
                format!("--regid={user}"),
                "--clear-groups".to_owned(),
            ])
            .args(["prlimit", "--pid", &pid])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let before = prlimit(&[&format!("--{resource}"), "--output=SOFT", "--noheadings", "--raw"]);
    prlimit(&[&format!("--{resource}={soft}:")]);
    before
}

fn can_limit(test: &str) -> bool {
    can(test, "prlimit", &["--version"]) && can(test, "setpriv", &["--version"])
}

/// Waits until no thread is left that could do what a new one is needed for.
#[track_caller]
fn idle(client: &Client) {
    eventually("idle threads have ended", || match processes::pool_threads(client.server_pid()) {
        0 => Ok(()),
        threads => Err(threads.to_string()),
    });
}

/// Everything that the server does, with whatever keeps it from starting threads.
#[track_caller]
fn assert_works_without_threads(client: &Client, resource: &str, soft: impl Fn(&Client) -> u64) {
    let gate = Gate::new();
    // One that has written, one that has not, one that has only a leftover, one that has to be killed.
    let wrote = client.begin(&format!("echo before; {}; echo after", gate.wait()));
    client.wait_for(&wrote, "before");
    let silent = client.begin(&format!("{}; echo words", gate.wait()));
    let left = client.begin(&format!("(setsid sh -c '{LONELY}' &)"));
    let leftover = pids_of(client, &left, 1);
    client.wait(&left);
    let deaf = client.begin(&format!("(setsid sh -c '{LONELY}' &); {LONELY}"));
    let deaf_pids = pids_of(client, &deaf, 2);
    idle(client);

    let before = limit(client, resource, &soft(client).to_string());
    gate.open();
    gate.open();
    let reply = client.wait(&wrote);
    assert_eq!(
        (text(&reply, "state"), text(&reply, "output")),
        ("exited", "before\nafter\n"),
        "{reply}"
    );
    let reply = client.wait(&silent);
    assert_eq!((text(&reply, "state"), text(&reply, "output")), ("exited", "words\n"), "{reply}");
    assert_eq!(client.get(&left)["leftover_processes"], json!(leftover));
    let listed = client.list();
    for id in [&wrote, &silent, &left, &deaf] {
        assert!(listed.to_string().contains(id.as_str()), "{listed}");
    }
    let reply = client.call(GET, &json!({"ref_id": wrote, "until_pattern": "aft.r"}));
    assert_eq!(reply["matched"], "after", "{reply}");
    let reply = client.call(CLEANUP, &json!({"ref_id": deaf, "grace_seconds": 0.1}));
    assert!(reply["survivors"].is_null(), "{reply}");
    let alive: Vec<_> = deaf_pids.into_iter().filter(|pid| processes::is_alive(*pid)).collect();
    assert!(alive.is_empty(), "{}", processes::describe(alive));
    limit(client, resource, &before);

    assert_eq!(client.run("echo fine")["output"], "fine\n");
    client.clean_up(&left);
    assert!(!processes::is_alive(leftover[0]));
}

#[test]
fn without_another_process_running_jobs_are_served_and_new_ones_refused() {
    let Some((setup, _directory)) = as_an_ordinary_user("a limit on processes") else {
        return;
    };
    if !can_limit("a limit on processes") {
        return;
    }
    let client = setup.start();
    let before = limit(&client, "nproc", "1");
    for _ in 0..3 {
        let refusal = client.refused(EXECUTE, &json!({"cmd": "echo x"}));
        assert!(text(&refusal, "error").contains("could not start another process"), "{refusal}");
    }
    assert_eq!(client.list()["count"], 0);
    limit(&client, "nproc", &before);
    assert_eq!(client.run("echo fine")["output"], "fine\n");

    assert_works_without_threads(&client, "nproc", |_| 1);

    let before = limit(&client, "nproc", "1");
    let refusal = client.refused(EXECUTE, &json!({"cmd": "echo x"}));
    assert!(text(&refusal, "error").contains("could not start another process"), "{refusal}");
    limit(&client, "nproc", &before);
}

#[test]
fn without_more_memory_running_jobs_are_served() {
    if !can_limit("a limit on memory") {
        return;
    }
    let client = Setup::new().flags(["--max-running", "10"]).start();
    client.run("seq 20000");
    assert_works_without_threads(&client, "as", |client| {
        // Too little for the stack of a thread.
        (processes::status_number(client.server_pid(), "VmSize") + 1024) * 1024
    });
}

#[test]
fn without_another_descriptor_nothing_running_is_lost_sight_of() {
    if !can_limit("a limit on descriptors") {
        return;
    }
    let client = Client::start();
    let gate = Gate::new();
    let silent = client.begin(&format!("{}; echo words", gate.wait()));
    let left = client.begin(&format!("(setsid sh -c '{LONELY}' &)"));
    let leftover = pids_of(&client, &left, 1);
    client.wait(&left);
    let reply = eventually("the leftover is known", || {
        let reply = client.get(&left);
        if reply["leftover_processes"] == json!(leftover) {
            Ok(reply)
        } else {
            Err(reply.to_string())
        }
    });
    assert_eq!(reply["state"], "exited");

    let before = limit(&client, "nofile", "3");
    for _ in 0..3 {
        let refusal = client.refused(EXECUTE, &json!({"cmd": "echo x"}));
        assert!(text(&refusal, "error").contains("open files"), "{refusal}");
    }
    gate.open();
    let reply = client.wait(&silent);
    assert_eq!(reply["state"], "exited", "{reply}");
    assert_eq!(reply["dropped_bytes"], 6, "what could not be stored is counted: {reply}");
    assert_eq!(client.list()["count"], 2);
    // Nothing can be looked up about it now; that is no sign that it has ended.
    for _ in 0..3 {
        client.list();
        assert_eq!(client.get(&left)["leftover_processes"], json!(leftover));
    }
    let reply = client.refused(CLEANUP, &json!({"ref_id": left, "grace_seconds": 0}));
    assert_eq!(reply["survivors"], json!(leftover), "{reply}");
    limit(&client, "nofile", &before);

    assert_eq!(client.run("echo fine")["output"], "fine\n");
    let reply = client.call(CLEANUP, &json!({"ref_id": left, "grace_seconds": 0}));
    assert!(reply["survivors"].is_null() && !processes::is_alive(leftover[0]), "{reply}");
}

/// What a job may have is the server's limit, and a job that runs into it is told apart from a server that does.
#[test]
fn a_job_that_is_refused_memory_fails_alone() {
    if !can("a limit on memory", "perl", &["-e", "1"]) {
        return;
    }
    let client = Setup::new().after("ulimit -v 2000000").start();
    let id = client.begin("perl -e '$x = \"x\" x 3000000000' || echo failed");
    let reply = client.wait(&id);
    assert_eq!(reply["output"], "failed\n", "{reply}");
    assert_eq!(client.run("echo fine")["output"], "fine\n");
}

/// A write beyond that limit comes with a signal that would end the server.
#[test]
fn a_limit_on_the_size_of_files_costs_output_and_nothing_else() {
    let client = Setup::new().after("ulimit -f 1000").start();
    let reply = client.run("head -c 2000000 /dev/zero | tr '\\0' x; exit 3");
    assert_eq!(reply["returncode"], 3, "{reply}");
    assert_eq!(reply["output_bytes"], 2_000_000, "{reply}");
    let dropped = reply["dropped_bytes"].as_u64().unwrap();
    assert_eq!(2_000_000 - dropped, client.bytes_on_disk(), "{reply}");
    assert_eq!(client.run("echo on; sh -c 'ulimit -f'")["output"], "on\n1000\n");
}

#[test]
fn a_directory_that_is_closed_to_the_server_is_told_as_such() {
    let Some((setup, directory)) = as_an_ordinary_user("a directory that is closed") else {
        return;
    };
    let closed = directory.path().join("closed");
    fs::create_dir(&closed).unwrap();
    open_to_all(&closed, 0o700);
    let client = setup.start();
    let reply = client.refused(EXECUTE, &json!({"cmd": "true", "cwd": closed}));
    let told = text(&reply, "error");
    assert!(
        told.starts_with("cwd ") && told.contains("cannot be used: Permission denied"),
        "{told}"
    );
}
