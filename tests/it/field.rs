//! What people type every day, in the environment of a desktop client.

use serde_json::json;

use crate::support::{Client, text};

#[test]
fn the_words_of_a_filter_behind_the_command_are_in_the_result() {
    let client = Client::start();
    for _ in 0..5 {
        let log = client.scratch().join("log");
        let cmd = format!("exec > >(tee {}) 2>&1; echo hi", log.display());
        let reply = client.run(&cmd);
        assert_eq!(reply["output"], "hi\n", "{reply}");
        assert!(reply["leftover_processes"].is_null(), "{reply}");
    }
    let reply = client.run("sleep 0.05 & echo done");
    assert!(reply["leftover_processes"].is_null(), "it has gone with the pipes: {reply}");
}

#[test]
fn a_time_limit_is_answered_when_the_tree_is_gone() {
    let client = Client::start();
    let cmd = "trap 'sleep 0.7; exit 0' TERM; (trap '' TERM; sleep 0.9; echo last) & echo $!; while :; do sleep 0.05; done";
    let reply = client.execute(&json!({"cmd": cmd, "kill_after_seconds": 0.3, "wait_seconds": 20}));
    let result = &reply["result"];
    assert_eq!(result["state"], "timed_out", "{reply}");
    assert!(text(result, "output").ends_with("last\n"), "{reply}");
    assert!(result["leftover_processes"].is_null(), "{reply}");
    assert!(reply["hint"].is_null(), "TERM was enough: {reply}");
}

#[test]
fn standard_input_stays_open_until_the_end() {
    let client = Client::start();
    let reply = client.execute(&json!({
        "cmd": "cat; echo ended", "stdin": "words\n", "keep_stdin_open": true,
        "wait_seconds": 20, "until_pattern": "words",
    }));
    assert_eq!(reply["result"]["running"], true, "{reply}");
    let reply = client.clean_up(text(&reply, "ref_id"));
    assert_eq!(reply["result"]["output"], "words\n", "{reply}");
    let reply =
        client.execute(&json!({"cmd": "cat; echo ended", "stdin": "words\n", "wait_seconds": 20}));
    assert_eq!(reply["result"]["output"], "words\nended\n", "{reply}");
}

#[test]
fn an_unanswered_question_gets_a_hint_whatever_the_exit_code() {
    let client = Client::start();
    for (question, code, hint) in [
        ("? Project name: › vite-project", 0, "the answer passed through stdin"),
        ("package name: (w) ", 0, "the answer passed through stdin"),
        ("Ok to proceed? (y) ", 0, "--yes"),
        ("Do you want to continue? [Y/n] Abort.", 1, "--yes"),
        ("What is your project named?", 1, "the answer passed through stdin"),
        (">>> ", 0, "passed through stdin"),
        ("This deletes ALL production data. Are you sure? [y/N] ", 0, "ask the user"),
    ] {
        let reply = client.run(&format!("printf '%s' '{question}'; exit {code}"));
        assert!(text(&reply, "hint").contains(hint), "{question}: {reply}");
    }
    assert!(client.run("printf 'Total: '")["hint"].is_null());
    let python = client.run("python3 -i");
    assert!(text(&python, "hint").contains("waited for commands (\">>>\")"), "{python}");
}

#[test]
fn exit_127_says_what_was_not_found() {
    let client = Client::start();
    let script = client.scratch().join("x.sh");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, mode).unwrap();
    for (cmd, hint) in [
        ("nosuchprogram --version".to_owned(), "\"nosuchprogram\" was not found in PATH"),
        ("./nosuch.sh".to_owned(), "\"./nosuch.sh\" does not exist"),
        (script.display().to_string(), "interpreter in its first line"),
        ("sh -c 'declare -A map'".to_owned(), "run bash -c"),
    ] {
        let reply = client.run(&cmd);
        if reply["returncode"] == 127 {
            assert!(text(&reply, "hint").contains(hint), "{cmd}: {reply}");
        }
    }
}

#[test]
fn a_running_job_that_waits_for_changes_or_keys_says_so() {
    let client = Client::start();
    for (words, hint) in [
        (
            r" PASS  Waiting for file changes...\n       press h to show help, press q to quit\n",
            "waits for changes",
        ),
        (r"[12:00:00 PM] Found 0 errors. Watching for file changes.\n", "waits for changes"),
        (r"[nodemon] clean exit - waiting for changes before restart\n", "waits for changes"),
        (r"Watch Usage\n > Press a to run all tests.\n", "waits for changes"),
        (r"Vim: Warning: Output is not to a terminal\n", "An editor or pager"),
    ] {
        let reply = client.execute(&json!({"cmd": format!("printf '{words}'; exec sleep 300"), "wait_seconds": 20, "until_pattern": "."}));
        let reply = client.get(text(&reply, "ref_id"));
        assert!(text(&reply, "hint").contains(hint), "{words}: {reply}");
    }
}

#[test]
fn a_command_that_wanted_something_from_a_person_says_what_to_do() {
    let client = Client::start();
    for (words, hint) in [
        ("*** Please tell me who you are.", "user.name"),
        (
            "fatal: could not read Username for 'https://github.com': No such device or address",
            "credential helper",
        ),
        ("Host key verification failed.", "ssh-keyscan"),
        ("git@github.com: Permission denied (publickey).", "ssh -i"),
        ("sudo: a terminal is required to read the password; either use", "sudo -n"),
    ] {
        let reply = client.run(&format!("echo \"{words}\" >&2; exit 128"));
        assert!(text(&reply, "hint").contains(hint), "{words}: {reply}");
    }
    assert!(client.run("echo a | grep -w a")["hint"].is_null());
    let reply = client.run("true --watch");
    assert!(text(&reply, "hint").contains("keep_stdin_open"), "{reply}");
    assert!(client.run("true")["hint"].is_null());
}
