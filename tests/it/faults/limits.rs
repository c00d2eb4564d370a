//! The server at the limits of what the system gives: descriptors, processes, sizes of files. Refused clearly, recovered from.

use std::process::{Command, Stdio};

use serde_json::json;

use super::{as_an_ordinary_user, can, ordinary_user, pids_of};
use crate::support::{CLEANUP, Client, EXECUTE, Gate, Setup, processes, text};

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

/// Changes a soft limit while something is done, as a server that has run into it.
#[track_caller]
fn limited(client: &Client, resource: &str, soft: &str, act: impl FnOnce()) {
    let before = limit(client, resource, soft);
    act();
    limit(client, resource, &before);
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
    let refuse = || {
        let refusal = client.refused(EXECUTE, &json!({"cmd": "echo x"}));
        assert!(text(&refusal, "error").contains("could not start another process"), "{refusal}");
    };
    limited(&client, "nproc", "1", refuse);
    assert_eq!(client.run("echo fine")["output"], "fine\n");

    // One that has written, one that has only a leftover, one that has to be killed.
    let gate = Gate::new();
    let wrote = client.begin(&format!("echo before; {}; echo after", gate.wait()));
    client.wait_for(&wrote, "before");
    let left = client.begin(&format!("(setsid sh -c '{LONELY}' &)"));
    let leftover = pids_of(&client, &left, 1);
    client.wait(&left);
    let deaf = client.begin(&format!("(setsid sh -c '{LONELY}' &); {LONELY}"));
    let deaf_pids = pids_of(&client, &deaf, 2);
    limited(&client, "nproc", "1", || {
        gate.open();
        assert_eq!(client.wait(&wrote)["output"], "before\nafter\n");
        client.wait_for(&wrote, "aft.r");
        assert_eq!(client.get(&left)["leftover_processes"], json!(leftover));
        assert_eq!(client.list()["count"], 4);
        client.call(CLEANUP, &json!({"ref_id": deaf, "grace_seconds": 0.1}));
        assert!(!deaf_pids.iter().any(|pid| processes::is_alive(*pid)), "{deaf_pids:?}");
        refuse();
    });
    assert_eq!(client.run("echo fine")["output"], "fine\n");
}

#[test]
fn a_supervisor_that_cannot_start_its_server_says_so() {
    let Some(user) = ordinary_user("a supervisor alone") else {
        return;
    };
    if !can_limit("a supervisor alone") {
        return;
    }
    let become_user = [format!("--reuid={}", user.user), format!("--regid={}", user.user)];
    let output = Command::new("prlimit")
        .args(["--nproc=1", "setpriv", "--clear-groups"])
        .args(become_user)
        .arg(user.directory.path().join("server"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said.contains("the server could not be started"), "{output:?}");
    assert_eq!(output.stdout, b"", "{output:?}");
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
    let leftover = json!(pids_of(&client, &left, 1));
    client.wait(&left);
    client
        .get_until(&left, "the leftover is known", |reply| reply["leftover_processes"] == leftover);

    limited(&client, "nofile", "3", || {
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
        assert_eq!(client.get(&left)["leftover_processes"], leftover);
        let reply = client.refused(CLEANUP, &json!({"ref_id": left, "grace_seconds": 0.1}));
        assert_eq!(reply["survivors"], leftover, "{reply}");
    });

    assert_eq!(client.run("echo fine")["output"], "fine\n");
    client.call(CLEANUP, &json!({"ref_id": left, "grace_seconds": 0.1}));
    client.assert_none_living();
    let children = processes::children(client.server_pid());
    assert!(children.is_empty(), "{}", processes::describe(children));
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
