//! What cannot be done is refused in the tool's own shape, says what to do, leaves no job, and the server goes on.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{
    CLEANUP, Client, EXECUTE, GET, Gate, LIST, SERVER, Setup, eventually, processes, ref_id, text,
};

/// A call that is refused for a reason which has all of these words.
#[track_caller]
fn assert_refused(client: &Client, tool: &'static str, arguments: &Value, words: &[&str]) -> Value {
    let reply = client.refused(tool, arguments);
    let key = if tool == CLEANUP { "message" } else { "error" };
    let reason = text(&reply, key);
    assert!(reason.chars().count() <= 4000, "{tool} {arguments}: {reason}");
    for word in words {
        assert!(reason.contains(word), "{word:?} is not in {reason:?} for {tool} {arguments}");
    }
    reply
}

/// An execute that is refused and starts nothing.
#[track_caller]
fn assert_not_started(client: &Client, arguments: &Value, words: &[&str]) {
    let reply = assert_refused(client, EXECUTE, arguments, words);
    assert_eq!(reply["ref_id"], Value::Null, "{reply}");
    assert_eq!(client.list()["count"], 0);
}

#[test]
fn a_command_that_cannot_start_is_refused_and_leaves_no_job() {
    let client = Client::start();
    let file = client.scratch().join("file");
    std::fs::write(&file, "").unwrap();
    let path = |name| client.scratch().join(name).to_str().unwrap().to_owned();
    let (file, missing) = (path("file"), path("missing"));
    let long = format!("echo {}", "x".repeat(200_000));
    let unreadable = "x".repeat(16_000) + "(";
    for (arguments, words) in [
        (json!({}), ["cmd", ""]),
        (json!({"cmd": null}), ["cmd", ""]),
        (json!({"cmd": ""}), ["`cmd` is missing or empty", ""]),
        (json!({"cmd": " \n\t "}), ["cmd is empty", ""]),
        (json!({"cmd": "echo a\u{0}b"}), ["NUL", ""]),
        (json!({"cmd": long}), ["too long", "stdin"]),
        (json!({"cmd": ["ls", "-l"]}), ["cmd", "string"]),
        (json!({"cmd": 5}), ["cmd", "string"]),
        (json!({"cmd": "pwd", "cwd": "/tmp\u{0}x"}), ["cwd", ""]),
        (json!({"cmd": "pwd", "cwd": missing}), [&missing, "existing directory"]),
        (json!({"cmd": "pwd", "cwd": file}), [&file, "existing directory"]),
        (json!({"cmd": "true", "cwd": true}), ["cwd", "string"]),
        (json!({"cmd": "true", "wait_seconds": "soon"}), ["wait_seconds", "number"]),
        (json!({"cmd": "true", "wait_seconds": -1}), ["wait_seconds", ""]),
        (json!({"cmd": "true", "kill_after_seconds": {}}), ["kill_after_seconds", ""]),
        (
            json!({"cmd": "true", "kill_after_seconds": "NaN"}),
            ["kill_after_seconds must be", "NaN"],
        ),
        (
            json!({"cmd": "true", "kill_after_seconds": "inf"}),
            ["kill_after_seconds must be", "inf"],
        ),
        (
            json!({"cmd": "true", "kill_after_seconds": 1e300}),
            ["kill_after_seconds must be", "from 0 to 31622400"],
        ),
        (json!({"cmd": "true", "x".repeat(100_000): 1}), ["unknown parameter", ""]),
        (json!({"cmd": "true", "command": "false"}), ["cmd", "given twice"]),
        (json!({"cmd": "true", "timeout_seconds": 5}), ["timeout_seconds", "wait_seconds"]),
        (json!({"cmd": "true", "working_dir": "/"}), ["working_dir", "cwd"]),
        (json!({"cmd": "true", "description": "List files"}), ["description", ""]),
        (json!({"script": "ls"}), ["cmd", "script"]),
        (
            json!({"cmd": "true", "wait_seconds": 1, "until_pattern": "("}),
            ["until_pattern", "unclosed"],
        ),
        (
            json!({"cmd": "true", "wait_seconds": 1, "until_pattern": "a(?=b)"}),
            ["until_pattern", "look"],
        ),
        (
            json!({"cmd": "true", "wait_seconds": 1, "until_pattern": unreadable}),
            ["until_pattern", "valid"],
        ),
    ] {
        assert_not_started(&client, &arguments, &words);
    }
    assert_eq!(client.run("echo fine")["output"], "fine\n");
}

#[test]
fn a_command_almost_too_long_runs_and_is_shown_cut() {
    let client = Client::start();
    let reply = client.run(&format!(": {}; echo fine", "x".repeat(120_000)));
    assert_eq!(reply["output"], "fine\n");
    assert!(text(&reply, "cmd").chars().count() <= 1001);
    assert!(text(&client.list()["processes"][0], "cmd").chars().count() <= 201);
}

#[test]
fn a_wrong_parameter_is_refused_by_name() {
    let client = Client::start();
    let id = client.begin("true");
    client.wait(&id);
    let with = |key: &str, value: Value| {
        let mut arguments = json!({"ref_id": id});
        arguments[key] = value;
        arguments
    };
    for (tool, arguments, words) in [
        (GET, json!({"ref_id": ""}), ["ref_id", "missing or empty"]),
        (GET, with("max_chars", json!(1.5)), ["max_chars", "whole number"]),
        (GET, with("max_chars", json!(-5)), ["max_chars", "100000"]),
        (GET, with("cursor", json!("somewhere")), ["cursor", ""]),
        (GET, with("wait_seconds", json!([])), ["wait_seconds", ""]),
        (GET, with("until_pattern", json!({})), ["until_pattern", ""]),
        (GET, with("wait_second", json!(5)), ["wait_second", "wait_seconds"]),
        (GET, json!({}), ["ref_id", ""]),
        (GET, json!({"job_id": "abc"}), ["job_id", "ref_id"]),
        (GET, json!({"pid": 123}), ["pid", "ref_id"]),
        (CLEANUP, with("grace_seconds", json!("x")), ["grace_seconds", ""]),
        (CLEANUP, with("keep_result", json!("perhaps")), ["keep_result", ""]),
        (CLEANUP, with("keep", json!(true)), ["keep", "keep_result"]),
        (CLEANUP, json!({"bash_id": "abc"}), ["bash_id", "ref_id"]),
        (LIST, json!({"wait_seconds": "x"}), ["wait_seconds", ""]),
        (LIST, json!({"status": "running"}), ["status", "wait_seconds"]),
    ] {
        assert_refused(&client, tool, &arguments, &words);
    }
    assert_eq!(client.get(&id)["state"], "exited");
    // The call is wrong, the job is as it is.
    let reply = client.refused(GET, &with("wait_second", json!(5)));
    assert_eq!(reply["state"], "exited", "{reply}");
}

#[test]
fn an_id_that_is_none_is_told_what_an_id_looks_like() {
    let client = Client::start();
    for (id, word) in [
        (json!("12345"), "looks like a pid"),
        (json!(12345), "looks like a pid"),
        (json!("the build"), "the build"),
        (json!(["x"]), "is not the id of a job"),
    ] {
        let arguments = json!({"ref_id": id});
        let words = [word, "list_background_processes"];
        let reply = assert_refused(&client, GET, &arguments, &words);
        assert_eq!(reply["state"], "unknown", "{reply}");
        assert_refused(&client, CLEANUP, &arguments, &[word]);
    }
}

#[test]
fn an_unknown_id_names_known_ones_and_one_that_was_cleaned_up_is_told_from_it() {
    let client = Client::start();
    let unknown = json!({"ref_id": "11111111-2222-4333-8444-555555555555"});
    let reply = assert_refused(&client, GET, &unknown, &["started"]);
    assert_eq!(reply["state"], "unknown");
    let id = client.begin("echo fine");
    client.wait(&id);
    assert_refused(&client, GET, &unknown, &[&id]);
    let reply = assert_refused(&client, CLEANUP, &unknown, &[&id]);
    assert_eq!(reply["ref_id"], unknown["ref_id"]);
    // An id may come in capitals and with spaces.
    assert_eq!(client.get(&format!(" {} ", id.to_uppercase()))["output"], "fine\n");
    client.clean_up(&id);
    assert_refused(&client, GET, &json!({"ref_id": id}), &["cleaned up"]);
}

#[test]
fn what_strict_function_calling_sends_for_nothing_means_not_given() {
    let client = Client::start();
    let all = |value: Value| {
        json!({"cmd": "pwd; cat", "cwd": value, "stdin": value, "kill_after_seconds": value,
            "wait_seconds": value, "until_pattern": value})
    };
    let (null, empty) = (client.execute(&all(json!(null))), client.execute(&all(json!(""))));
    assert!(null["result"].is_null() && empty["result"].is_null(), "{null} {empty}");
    client.wait(&ref_id(&null));
    let id = ref_id(&empty);
    assert_eq!(client.wait(&id)["state"], "exited");
    let plain = client.get(&id);
    for nothing in [json!(null), json!(""), json!(0)] {
        let reply = client.call(
            GET,
            &json!({"ref_id": id, "wait_seconds": nothing,
            "until_pattern": nothing, "cursor": nothing, "max_chars": nothing}),
        );
        assert_eq!(reply["output"], plain["output"], "{nothing}");
        assert!(reply["cursor"].is_null(), "{reply}");
    }
    client.call(LIST, &json!({"wait_seconds": ""}));
    client.call(CLEANUP, &json!({"ref_id": id, "grace_seconds": "", "keep_result": ""}));
    let listed = client.request("tools/call", &json!({"name": LIST}));
    assert_eq!(listed["structuredContent"]["success"], true, "{listed}");
}

#[test]
fn numbers_may_come_as_strings_and_command_and_id_for_cmd_and_ref_id() {
    let client = Client::start();
    let reply = client.execute(&json!({"cmd": "", "command": "echo fine", "wait_seconds": "20"}));
    assert_eq!(reply["result"]["output"], "fine\n", "{reply}");
    let id = ref_id(&reply);
    let get = json!({"id": id, "wait_seconds": "1.5", "max_chars": "1000"});
    assert_eq!(client.call(GET, &get)["output"], "fine\n");
    for (keep, word) in [("true", "readable"), ("True", "readable"), ("False", "deleted")] {
        let arguments = json!({"ref_id": "", "id": id, "grace_seconds": "1", "keep_result": keep});
        let reply = client.call(CLEANUP, &arguments);
        assert!(text(&reply, "message").contains(word), "{keep}: {reply}");
    }
}

#[test]
fn a_shell_that_cannot_be_started_is_named() {
    for shell in ["/no/such/shell", "/etc/passwd"] {
        let client = Setup::new().flags(["--shell", &format!("{shell} -c")]).start();
        assert_not_started(&client, &json!({"cmd": "true"}), &[shell, "--shell"]);
    }
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
        let output = Command::new(SERVER)
            .arg(format!("{flag}={value}"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{flag}={value} was accepted");
        assert!(error.contains(flag), "{flag}={value}: {error}");
        assert!(output.stdout.is_empty(), "{flag}={value} writes to standard output");
    }
}

#[test]
fn environment_variables_configure_and_flags_win() {
    let client = Setup::new().environment("BACKGROUND_COMMAND_MCP_SHELL", "/bin/echo env").start();
    assert_eq!(client.run("x")["output"], "env x\n");
    let client = Setup::new()
        .environment("BACKGROUND_COMMAND_MCP_SHELL", "/bin/echo env")
        .flags(["--shell", "/bin/echo flag"])
        .start();
    assert_eq!(client.run("x")["output"], "flag x\n");
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
