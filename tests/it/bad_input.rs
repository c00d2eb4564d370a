//! What cannot be done is refused in the tool's own shape, says what to do, leaves no job, and the server goes on.

use serde_json::{Value, json};

use crate::support::client::{ref_id, text};
use crate::support::reply::{CLEANUP, EXECUTE, GET, LIST};
use crate::support::{Client, Gate, Setup, eventually, processes};

/// An execute that is refused for a reason which names all of these, and starts nothing.
#[track_caller]
fn assert_not_started(client: &Client, arguments: &Value, named: &[&str]) {
    let reply = client.refused(EXECUTE, arguments);
    let error = text(&reply, "error");
    for name in named {
        assert!(error.contains(name), "{name:?} is not in {error:?}");
    }
    assert!(error.len() <= 4000, "{error}");
    assert_eq!(reply["ref_id"], Value::Null, "{reply}");
    assert_eq!(client.list()["count"], 0);
}

#[test]
fn an_empty_or_blank_command_is_refused() {
    let client = Client::start();
    assert_not_started(&client, &json!({"cmd": ""}), &["cmd is empty"]);
    assert_not_started(&client, &json!({"cmd": " \n\t "}), &["cmd is empty"]);
    assert_not_started(&client, &json!({}), &["cmd is missing"]);
    assert_not_started(&client, &json!({"cmd": null}), &["cmd is missing"]);
}

#[test]
fn a_nul_byte_in_a_command_or_a_directory_is_refused() {
    let client = Client::start();
    assert_not_started(&client, &json!({"cmd": "echo a\u{0}b"}), &["NUL"]);
    assert_not_started(
        &client,
        &json!({"cmd": "echo", "cwd": "/tmp\u{0}x"}),
        &["cwd"],
    );
    assert_eq!(client.run("echo fine")["output"], "fine\n");
}

#[test]
fn a_command_beyond_what_exec_takes_is_refused() {
    let client = Client::start();
    let cmd = format!("echo {}", "x".repeat(200_000));
    assert_not_started(&client, &json!({"cmd": cmd}), &["too long", "stdin"]);
    let cmd = format!(": {}; echo fine", "x".repeat(120_000));
    let reply = client.run(&cmd);
    assert_eq!(reply["output"], "fine\n");
    assert!(text(&reply, "cmd").chars().count() <= 1001);
    let listed = client.list();
    assert!(text(&listed["processes"][0], "cmd").chars().count() <= 201);
}

#[test]
fn a_directory_that_cannot_be_used_is_refused() {
    let client = Client::start();
    let file = client.scratch().join("file");
    std::fs::write(&file, "").unwrap();
    let missing = client.scratch().join("missing");
    for path in [&missing, &file] {
        let path = path.to_str().unwrap();
        assert_not_started(
            &client,
            &json!({"cmd": "pwd", "cwd": path}),
            &[path, "existing directory"],
        );
    }
}

#[test]
fn a_shell_that_does_not_exist_is_named() {
    let client = Setup::new().flags(["--shell", "/no/such/shell -c"]).start();
    assert_not_started(
        &client,
        &json!({"cmd": "true"}),
        &["/no/such/shell", "--shell"],
    );
}

#[test]
fn a_shell_that_is_not_executable_is_named() {
    let client = Setup::new().flags(["--shell", "/etc/passwd -c"]).start();
    assert_not_started(
        &client,
        &json!({"cmd": "true"}),
        &["/etc/passwd", "--shell"],
    );
}

#[test]
fn bad_configuration_is_an_error_at_start_up_that_names_it() {
    let cases = [
        ("--max-running", "0"),
        ("--max-running", "many"),
        ("--max-finished", "0"),
        ("--retention-seconds", "-1"),
        ("--max-output-bytes", "10"),
        ("--max-chars", "0"),
        ("--stop-grace-seconds", "soon"),
        ("--max-wait-seconds", "0"),
        ("--shell", ""),
        ("--shell", "sh 'c"),
        ("--cwd", "/no/such/directory"),
        ("--log", "=!="),
        ("--log", "verbose"),
        ("--log", ""),
        ("--log-format", "poem"),
        ("--log-file", "/no/such/directory/log"),
    ];
    for (flag, value) in cases {
        let output = std::process::Command::new(crate::support::client::SERVER)
            .arg(format!("{flag}={value}"))
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{flag}={value} was accepted");
        assert!(error.contains(flag), "{flag}={value}: {error}");
        assert!(
            output.stdout.is_empty(),
            "{flag}={value} writes to standard output"
        );
    }
}

#[test]
fn environment_variables_configure_and_flags_win() {
    let client = Setup::new()
        .environment("BACKGROUND_COMMAND_MCP_SHELL", "/bin/echo env")
        .start();
    assert_eq!(client.run("x")["output"], "env x\n");
    let client = Setup::new()
        .environment("BACKGROUND_COMMAND_MCP_SHELL", "/bin/echo env")
        .flags(["--shell", "/bin/echo flag"])
        .start();
    assert_eq!(client.run("x")["output"], "flag x\n");
}

#[test]
fn a_malformed_id_is_told_what_an_id_looks_like() {
    let client = Client::start();
    for (id, named) in [
        (json!("12345"), "looks like a pid"),
        (json!(12345), "looks like a pid"),
        (json!("the build"), "the build"),
        (json!(""), "empty"),
    ] {
        let reply = client.refused(GET, &json!({"ref_id": id}));
        assert_eq!(reply["state"], "unknown", "{reply}");
        let error = text(&reply, "error");
        assert!(
            error.contains(named) && error.contains("list_background_processes"),
            "{error}"
        );
        let reply = client.refused(CLEANUP, &json!({"ref_id": id}));
        assert!(text(&reply, "message").contains(named), "{reply}");
    }
    let reply = client.refused(GET, &json!({}));
    assert!(
        text(&reply, "error").contains("ref_id is missing"),
        "{reply}"
    );
}

#[test]
fn an_unknown_id_names_known_ones_and_the_age_of_the_server() {
    let client = Client::start();
    let unknown = "11111111-2222-4333-8444-555555555555";
    let reply = client.refused(GET, &json!({"ref_id": unknown}));
    assert_eq!(reply["state"], "unknown");
    assert!(text(&reply, "error").contains("started"), "{reply}");
    let id = client.begin("true");
    let reply = client.refused(GET, &json!({"ref_id": unknown}));
    assert!(text(&reply, "error").contains(&id), "{reply}");
    let reply = client.refused(CLEANUP, &json!({"ref_id": unknown}));
    assert_eq!(reply["ref_id"], unknown);
    assert!(text(&reply, "message").contains(&id), "{reply}");
}

#[test]
fn an_id_may_come_in_capitals_and_with_spaces() {
    let client = Client::start();
    let id = client.begin("echo fine");
    client.wait(&id);
    let reply = client.get(&format!(" {} ", id.to_uppercase()));
    assert_eq!(reply["output"], "fine\n");
}

#[test]
fn a_cleaned_up_job_is_told_from_one_that_never_was() {
    let client = Client::start();
    let id = client.begin("true");
    client.wait(&id);
    client.clean_up(&id);
    let reply = client.refused(GET, &json!({"ref_id": id}));
    assert!(text(&reply, "error").contains("cleaned up"), "{reply}");
}

#[test]
fn wrong_types_are_refused_by_name() {
    let client = Client::start();
    assert_not_started(
        &client,
        &json!({"cmd": ["ls", "-l"]}),
        &["cmd must be a string"],
    );
    assert_not_started(&client, &json!({"cmd": 5}), &["cmd must be a string"]);
    assert_not_started(
        &client,
        &json!({"cmd": "true", "wait_seconds": "soon"}),
        &["wait_seconds must be a number"],
    );
    assert_not_started(
        &client,
        &json!({"cmd": "true", "wait_seconds": -1}),
        &["wait_seconds"],
    );
    assert_not_started(
        &client,
        &json!({"cmd": "true", "cwd": true}),
        &["cwd must be a string"],
    );
    assert_not_started(
        &client,
        &json!({"cmd": "true", "kill_after_seconds": {}}),
        &["kill_after_seconds"],
    );
    let id = client.begin("true");
    client.wait(&id);
    for (key, value) in [
        ("max_chars", json!(1.5)),
        ("max_chars", json!(-5)),
        ("cursor", json!("somewhere")),
        ("wait_seconds", json!([])),
        ("until_pattern", json!({})),
    ] {
        let mut arguments = json!({"ref_id": id});
        arguments[key] = value.clone();
        let reply = client.refused(GET, &arguments);
        assert!(
            text(&reply, "error").contains(key),
            "{key}={value}: {reply}"
        );
    }
    let reply = client.refused(GET, &json!({"ref_id": id, "max_chars": -5}));
    assert!(
        text(&reply, "error").contains("a whole number from 1 to 100000"),
        "{reply}"
    );
    for (key, value) in [
        ("grace_seconds", json!("x")),
        ("keep_result", json!("perhaps")),
    ] {
        let mut arguments = json!({"ref_id": id});
        arguments[key] = value;
        let reply = client.refused(CLEANUP, &arguments);
        assert!(text(&reply, "message").contains(key), "{reply}");
    }
    let reply = client.refused(LIST, &json!({"wait_seconds": "x"}));
    assert!(text(&reply, "error").contains("wait_seconds"), "{reply}");
    assert_eq!(client.get(&id)["state"], "exited");
}

#[test]
fn an_unknown_parameter_names_the_likely_one() {
    let client = Client::start();
    assert_not_started(
        &client,
        &json!({"cmd": "true", "timeout_seconds": 5}),
        &["timeout_seconds", "wait_seconds"],
    );
    assert_not_started(
        &client,
        &json!({"cmd": "true", "working_dir": "/"}),
        &["working_dir", "cwd"],
    );
    let id = client.begin("true");
    client.wait(&id);
    let reply = client.refused(GET, &json!({"ref_id": id, "wait_second": 5}));
    assert!(
        text(&reply, "error").contains("did you mean wait_seconds"),
        "{reply}"
    );
    let reply = client.refused(LIST, &json!({"status": "running"}));
    assert!(text(&reply, "error").contains("status"), "{reply}");
    let reply = client.refused(CLEANUP, &json!({"ref_id": id, "keep": true}));
    assert!(text(&reply, "message").contains("keep_result"), "{reply}");
}

#[test]
fn what_stands_under_another_name_is_not_only_missing() {
    let client = Client::start();
    assert_not_started(
        &client,
        &json!({"script": "ls"}),
        &["no parameter script", "did you mean cmd?"],
    );
    assert_not_started(
        &client,
        &json!({"description": "List files"}),
        &["cmd is missing", "no parameter description: leave it out"],
    );
    for other in ["job_id", "pid", "refId", "bash_id", "task_id"] {
        let reply = client.refused(GET, &json!({other: "abc"}));
        let named = format!("there is no parameter {other}: did you mean ref_id?");
        assert!(text(&reply, "error").contains(&named), "{reply}");
        let reply = client.refused(CLEANUP, &json!({other: 123}));
        assert!(text(&reply, "message").contains(&named), "{reply}");
    }
}

#[test]
fn a_parameter_that_was_given_is_not_the_one_that_was_meant() {
    let client = Client::start();
    for (other, answer) in [
        ("description", "description: leave it out"),
        ("run_in_background", "leave it out"),
        ("env", "NAME=value command"),
        ("pattern", "did you mean until_pattern?"),
        ("script", "the parameters are"),
    ] {
        let arguments = json!({"cmd": "true", other: "x"});
        let reply = client.refused(EXECUTE, &arguments);
        let error = text(&reply, "error");
        assert!(
            error.contains(answer) && !error.contains("mean cmd"),
            "{error}"
        );
    }
    assert_eq!(client.list()["count"], 0);
}

#[test]
fn what_strict_function_calling_sends_for_nothing_means_not_given() {
    let client = Client::start();
    let reply = client.execute(
        &json!({"cmd": "pwd; cat", "cwd": "", "stdin": "", "kill_after_seconds": 0,
        "wait_seconds": 0, "until_pattern": ""}),
    );
    assert!(reply["result"].is_null(), "{reply}");
    let id = ref_id(&reply);
    assert_eq!(client.wait(&id)["state"], "exited");
    let all_null = json!({"cmd": "pwd", "cwd": null, "stdin": null, "kill_after_seconds": null,
        "wait_seconds": null, "until_pattern": null});
    client.wait(&ref_id(&client.execute(&all_null)));
    let plain = client.get(&id);
    for nothing in [json!(null), json!(""), json!(0)] {
        let reply = client.call(
            GET,
            &json!({"ref_id": id, "wait_seconds": nothing, "until_pattern": nothing, "cursor": nothing, "max_chars": nothing}),
        );
        assert_eq!(reply["output"], plain["output"], "{nothing}");
        assert!(reply["cursor"].is_null(), "{reply}");
    }
    client.call(LIST, &json!({"wait_seconds": ""}));
    client.call(
        CLEANUP,
        &json!({"ref_id": id, "grace_seconds": "", "keep_result": ""}),
    );
}

#[test]
fn numbers_may_come_as_strings() {
    let client = Client::start();
    let reply = client.execute(&json!({"cmd": "echo fine", "wait_seconds": "20"}));
    assert_eq!(reply["result"]["output"], "fine\n", "{reply}");
    let id = ref_id(&reply);
    let reply = client.call(
        GET,
        &json!({"ref_id": id, "wait_seconds": "1.5", "max_chars": "1000"}),
    );
    assert_eq!(reply["output"], "fine\n");
    let reply = client.call(
        CLEANUP,
        &json!({"ref_id": id, "grace_seconds": "1", "keep_result": "true"}),
    );
    assert!(text(&reply, "message").contains("readable"), "{reply}");
}

#[test]
fn command_and_id_are_taken_for_cmd_and_ref_id() {
    let client = Client::start();
    let id = ref_id(&client.execute(&json!({"command": "echo fine"})));
    let reply = client.call(GET, &json!({"id": id, "wait_seconds": 20}));
    assert_eq!(reply["output"], "fine\n");
    client.call(CLEANUP, &json!({"id": id}));
    assert_not_started(
        &client,
        &json!({"cmd": "true", "command": "false"}),
        &["cmd", "command"],
    );
    let reply = client.execute(&json!({"cmd": "", "command": "echo fine", "wait_seconds": 40}));
    assert_eq!(reply["result"]["output"], "fine\n", "{reply}");
    let both = json!({"ref_id": "", "id": ref_id(&reply), "keep_result": "True"});
    let reply = client.call(CLEANUP, &both);
    assert!(text(&reply, "message").contains("readable"), "{reply}");
    let reply = client.call(CLEANUP, &json!({"id": reply["ref_id"], "keep_result": 1}));
    assert!(text(&reply, "message").contains("readable"), "{reply}");
    let reply = client.call(
        CLEANUP,
        &json!({"id": reply["ref_id"], "keep_result": "False"}),
    );
    assert!(text(&reply, "message").contains("deleted"), "{reply}");
}

#[test]
fn arguments_may_be_left_out_altogether() {
    let client = Client::start();
    let listed = client.request("tools/call", &json!({"name": LIST}));
    assert_eq!(listed["structuredContent"]["success"], true, "{listed}");
    let listed = client.request("tools/call", &json!({"name": EXECUTE}));
    assert_eq!(listed["isError"], true, "{listed}");
}

#[test]
fn a_tool_that_is_not_there_is_answered_with_those_that_are() {
    let client = Client::start();
    let answer =
        client.answer(client.send_request("tools/call", &json!({"name": "run", "arguments": {}})));
    let message = text(&answer["error"], "message");
    for tool in [EXECUTE, GET, LIST, CLEANUP] {
        assert!(message.contains(tool), "{message}");
    }
}

#[test]
fn no_more_descriptors_is_a_refusal_and_the_server_goes_on() {
    // The server may raise its soft limit up to the hard one, so both are set.
    let client = Setup::new().after("ulimit -n 40").start();
    let gate = Gate::new();
    let mut started = Vec::new();
    let refusal = eventually("descriptors run out", || {
        let posted = client.post(EXECUTE, &json!({"cmd": gate.wait()}));
        let (reply, is_error) = client.outcome(posted);
        if is_error {
            return Ok(reply);
        }
        started.push(ref_id(&reply));
        Err(format!("{} jobs run", started.len()))
    });
    assert!(text(&refusal, "error").contains("open files"), "{refusal}");
    assert_eq!(client.list()["count"], started.len());
    assert!(started.len() > 3, "only {} jobs", started.len());
    for _ in &started {
        gate.open();
    }
    for id in &started {
        client.released(id);
    }
    assert_eq!(client.run("echo fine")["output"], "fine\n");
    let zombies: Vec<_> = processes::children(client.server_pid())
        .into_iter()
        .filter(|pid| processes::state(*pid) == Some('Z'))
        .collect();
    assert!(zombies.is_empty(), "{zombies:?}");
}

/// The limit on processes does not bind root, so the test needs another user to run the server as.
#[cfg(target_os = "linux")]
#[test]
fn no_more_processes_is_a_refusal_and_the_server_goes_on() {
    if rustix::process::getuid().is_root() {
        return;
    }
    let client = Setup::new().start();
    let limit = rustix::process::Rlimit {
        current: Some(0),
        maximum: None,
    };
    let pid = rustix::process::Pid::from_raw(i32::try_from(client.server_pid()).unwrap());
    let before = rustix::process::prlimit(pid, rustix::process::Resource::Nproc, limit).unwrap();
    let reply = client.refused(EXECUTE, &json!({"cmd": "true"}));
    assert!(text(&reply, "error").contains("could not start"), "{reply}");
    rustix::process::prlimit(pid, rustix::process::Resource::Nproc, before).unwrap();
    assert_eq!(client.run("echo fine")["output"], "fine\n");
}
