//! What cannot be done is refused in the tool's own shape, says what to do, leaves no job, and the server goes on.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{CLEANUP, Client, EXECUTE, GET, LIST, Setup, ref_id, server_command, text};

/// A call that is refused for a reason which has all of these words.
#[track_caller]
fn assert_refused(client: &Client, tool: &'static str, arguments: &Value, words: &[&str]) -> Value {
    let reply = client.refused(tool, arguments);
    let reason = text(&reply, if tool == CLEANUP { "message" } else { "error" });
    assert!(reason.chars().count() <= 4000, "{tool} {arguments}: {reason}");
    for word in words {
        assert!(reason.contains(word), "{word:?} is not in {reason:?} for {tool} {arguments}");
    }
    reply
}

#[test]
fn a_command_that_cannot_start_is_refused_and_leaves_no_job() {
    let client = Client::start();
    let path = |name| client.scratch().join(name).to_str().unwrap().to_owned();
    let (file, missing) = (path("log"), path("missing"));
    let long = format!("echo {}", "x".repeat(200_000));
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
        (json!({"cmd": "true", "kill_after_seconds": "NaN"}), ["kill_after_seconds", "NaN"]),
        (json!({"cmd": "true", "x".repeat(100_000): 1}), ["unknown parameter", ""]),
        (json!({"cmd": "true", "command": "false"}), ["cmd", "given twice"]),
        (json!({"cmd": "true", "timeout_seconds": 5}), ["timeout_seconds", "wait_seconds"]),
        (json!({"cmd": "true", "working_dir": "/"}), ["working_dir", "cwd"]),
        (json!({"script": "ls"}), ["cmd", "script"]),
    ] {
        let reply = assert_refused(&client, EXECUTE, &arguments, &words);
        assert_eq!(reply["ref_id"], Value::Null, "{reply}");
    }
    assert_eq!(client.list()["count"], 0);
    // One that is almost too long runs and is shown cut.
    let reply = client.run(&format!(": {}; echo fine", "x".repeat(120_000)));
    assert_eq!(reply["output"], "fine\n");
    assert!(text(&reply, "cmd").chars().count() <= 1001);
    assert!(text(&client.list()["processes"][0], "cmd").chars().count() <= 201);
    for shell in ["/no/such/shell", "/etc/passwd"] {
        let client = Setup::new().flags(["--shell", &format!("{shell} -c")]).start();
        assert_refused(&client, EXECUTE, &json!({"cmd": "true"}), &[shell, "--shell"]);
        assert_eq!(client.list()["count"], 0);
    }
}

#[test]
fn a_wrong_parameter_is_refused_by_name() {
    let client = Client::start();
    let id = client.begin("true");
    client.wait(&id);
    for (tool, arguments, words) in [
        (GET, json!({}), ["ref_id", ""]),
        (GET, json!({"ref_id": ""}), ["ref_id", "missing or empty"]),
        (GET, json!({"ref_id": id, "max_chars": 1.5}), ["max_chars", "whole number"]),
        (GET, json!({"ref_id": id, "max_chars": -5}), ["max_chars", "100000"]),
        (GET, json!({"ref_id": id, "cursor": "somewhere"}), ["cursor", ""]),
        (GET, json!({"ref_id": id, "cursor": "o1e"}), ["cursor", ""]),
        (GET, json!({"ref_id": id, "wait_seconds": []}), ["wait_seconds", ""]),
        (GET, json!({"ref_id": id, "until_pattern": {}}), ["until_pattern", ""]),
        (GET, json!({"pid": 123}), ["pid", "ref_id"]),
        (CLEANUP, json!({"ref_id": id, "grace_seconds": "x"}), ["grace_seconds", ""]),
        (CLEANUP, json!({"ref_id": id, "keep_result": "perhaps"}), ["keep_result", ""]),
        (CLEANUP, json!({"ref_id": id, "keep": true}), ["keep", "keep_result"]),
        (LIST, json!({"wait_seconds": "x"}), ["wait_seconds", ""]),
        (LIST, json!({"status": "running"}), ["status", "wait_seconds"]),
    ] {
        assert_refused(&client, tool, &arguments, &words);
    }
    // The call is wrong, the job is as it is.
    let arguments = json!({"ref_id": id, "wait_second": 5});
    let reply = assert_refused(&client, GET, &arguments, &["wait_second", "wait_seconds"]);
    assert_eq!(reply["state"], "exited", "{reply}");
}

#[test]
fn an_id_that_is_none_is_told_what_an_id_looks_like_and_an_unknown_one_names_known_ones() {
    let client = Client::start();
    for (id, word) in [
        (json!("12345"), "looks like a pid"),
        (json!(12345), "looks like a pid"),
        (json!("the build"), "the build"),
        (json!(["x"]), "is not the id of a job"),
    ] {
        let arguments = json!({"ref_id": id});
        let reply = assert_refused(&client, GET, &arguments, &[word, LIST]);
        assert_eq!(reply["state"], "unknown", "{reply}");
        assert_refused(&client, CLEANUP, &arguments, &[word]);
    }
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
    for nothing in [json!(null), json!("")] {
        let started = client.execute(&json!({"cmd": "pwd; cat", "cwd": nothing, "stdin": nothing,
            "kill_after_seconds": nothing, "wait_seconds": nothing, "until_pattern": nothing}));
        assert!(started["result"].is_null(), "{started}");
        assert_eq!(client.wait(&ref_id(&started))["state"], "exited");
    }
    let id = client.begin("pwd");
    let plain = client.wait(&id);
    for nothing in [json!(null), json!(""), json!(0)] {
        let reply = client.call(
            GET,
            &json!({"ref_id": id, "wait_seconds": nothing, "until_pattern": nothing,
                "cursor": nothing, "max_chars": nothing}),
        );
        assert_eq!(reply["output"], plain["output"], "{nothing}");
        assert!(reply["cursor"].is_null(), "{reply}");
    }
    client.call(LIST, &json!({"wait_seconds": ""}));
    client.call(CLEANUP, &json!({"ref_id": id, "grace_seconds": "", "keep_result": ""}));
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
fn bad_configuration_is_an_error_at_start_up_that_names_it() {
    for (flag, value) in [
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
        ("--shell", "zsh -l"),
        ("--cwd", "/no/such/directory"),
        ("--log", "=!="),
        ("--log", "verbose"),
        ("--log", ""),
        ("--log-format", "poem"),
        ("--log-file", "/no/such/directory/log"),
    ] {
        let mut server = server_command("/nonexistent".as_ref());
        let output = server.arg(format!("{flag}={value}")).stdin(Stdio::null()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{flag}={value} was accepted");
        assert!(error.contains(flag), "{flag}={value}: {error}");
        assert!(output.stdout.is_empty(), "{flag}={value} writes to standard output");
        // A known shell that lacks its `-c` is told what to write.
        assert!(value != "zsh -l" || error.contains("write `zsh -l -c`"), "{error}");
    }
}

#[test]
fn environment_variables_configure_and_flags_win() {
    let setup = || Setup::new().environment("BACKGROUND_COMMAND_MCP_SHELL", "/bin/echo env");
    assert_eq!(setup().start().run("x")["output"], "env x\n");
    let client = setup().flags(["--shell", "/bin/echo 'the flag'"]).start();
    assert_eq!(client.run("a  b")["output"], "the flag a  b\n");
}
