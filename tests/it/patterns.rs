//! One call waits for a line of output that an agent names.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Client, EXECUTE, GET, Gate, Posted, assert_soon, ref_id, text};

/// A search that waits, from a cursor unless that is null.
fn search(id: &str, pattern: &str, cursor: &Value) -> Value {
    json!({"ref_id": id, "wait_seconds": 40, "until_pattern": pattern, "cursor": cursor})
}

/// The reply to a wait that opening a gate ends.
#[track_caller]
fn after(gate: &Gate, client: &Client, wait: Posted) -> Value {
    let started = Instant::now();
    gate.open();
    let reply = client.reply(wait);
    assert_soon(started);
    reply
}

#[test]
fn a_pattern_is_found_in_rendered_lines_of_either_stream() {
    let client = Client::start();
    for (cmd, pattern, matched) in [
        ("echo starting; echo 'listening on port 80'", "port [0-9]+", "listening on port 80"),
        ("echo 'listening on port 80' >&2", "port [0-9]+", "listening on port 80"),
        (r"printf '\033[32mrea\033[0mdy\n'", "^ready$", "ready"),
        // A prompt has no newline.
        ("printf 'Password: '", "[Pp]assword: ?$", "Password: "),
        // As `watch` and full-screen programs write: in one row of a screen.
        (r"printf '\033[1;1HREADY 3\033[2;1H7 pods\n'", "^7 pods$", "7 pods"),
    ] {
        let reply = client.execute(&json!({
            "cmd": format!("{cmd}; exec sleep 1000"), "wait_seconds": 40, "until_pattern": pattern}));
        let result = &reply["result"];
        assert_eq!((text(result, "matched"), &result["running"]), (matched, &json!(true)));
    }
    let id = client.begin(r"printf '\033[1;1HREADY 3\033[2;1H7 pods\n'");
    let reply = client.call(GET, &search(&id, r"READY 3\s*7", &Value::Null));
    assert!(reply["matched"].is_null(), "{reply}");
    assert_eq!(reply["output"], "READY 3\n7 pods\n");
}

#[test]
fn with_a_cursor_only_newer_text_matches() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo ready 1; {}; echo ready 2; exec sleep 1000", gate.wait()));
    let first = client.wait_for(&id, "ready");
    assert_eq!(first["matched"], "ready 1");
    let wait = client.post_waiting(GET, &search(&id, "ready", &first["cursor"]));
    let reply = after(&gate, &client, wait);
    assert_eq!((text(&reply, "matched"), text(&reply, "output")), ("ready 2", "ready 2\n"));
    let again = client.wait_for(&id, "ready");
    assert_eq!(again["matched"], "ready 1", "without a cursor the search is from the start");
}

#[test]
fn a_dot_from_a_cursor_waits_for_any_new_output() {
    let client = Client::start();
    let gate = Gate::new();
    let wait = gate.wait();
    let steps = ["echo new", "echo", "printf 'Name? '", "printf again"];
    let id =
        client.begin(&format!("echo old; {wait}; {}; {wait}", steps.join(&format!("; {wait}; "))));
    let mut cursor = client.wait_for(&id, "old")["cursor"].take();
    // A blank line is new output; of an unfinished line that is known only what is added to it is.
    for (matched, output) in
        [("new", "new\n"), ("", "\n"), ("Name? ", "Name? "), ("again", "again")]
    {
        let wait = client.post_waiting(GET, &search(&id, ".", &cursor));
        let reply = after(&gate, &client, wait);
        assert_eq!((text(&reply, "matched"), text(&reply, "output")), (matched, output), "{reply}");
        // What came between two calls is seen by the next.
        assert_eq!(client.call(GET, &search(&id, ".", &cursor))["matched"], matched);
        cursor = reply["cursor"].clone();
    }
    let wait = client.post_waiting(GET, &search(&id, ".", &cursor));
    let reply = after(&gate, &client, wait);
    assert!(reply["matched"].is_null() && reply["output"] == "", "{reply}");
}

#[test]
fn a_prompt_is_found_from_a_cursor_and_not_found_again() {
    let client = Client::start();
    let gate = Gate::new();
    let wait = gate.wait();
    let id = client.begin(&format!(
        "echo start; {wait}; printf 'Password: '; {wait}; printf 'wrong\\nPassword: '; {wait}"
    ));
    let mut cursor = client.wait_for(&id, "start")["cursor"].take();
    for output in ["Password: ", "wrong\nPassword: "] {
        let wait = client.post_waiting(GET, &search(&id, "assword: $", &cursor));
        let reply = after(&gate, &client, wait);
        assert_eq!((text(&reply, "matched"), text(&reply, "output")), ("Password: ", output));
        cursor = reply["cursor"].clone();
    }
    // Nor does it become a new line by the end of the output.
    let wait = client.post_waiting(GET, &search(&id, "assword: $", &cursor));
    let reply = after(&gate, &client, wait);
    assert!(reply["matched"].is_null() && reply["output"] == "", "{reply}");
}

#[test]
fn what_a_page_has_shown_of_a_line_is_not_found_again() {
    let client = Client::start();
    let id = client.begin("echo needle $(seq 1 1000)");
    client.wait(&id);
    let page = client.call(GET, &json!({"ref_id": id, "cursor": "start", "max_chars": 500}));
    assert!(text(&page, "output").starts_with("needle 1 2"), "{page}");
    // Nor does a new line start there.
    for pattern in ["needle", "^[0-9]"] {
        let reply = client.call(GET, &search(&id, pattern, &page["cursor"]));
        assert!(reply["matched"].is_null(), "{pattern}: {reply}");
    }
    let ahead = client.call(GET, &search(&id, " 1000$", &page["cursor"]));
    assert!(text(&ahead, "matched").ends_with(" 999 1000"), "{ahead}");
}

#[test]
fn of_a_long_line_what_matched_is_told_and_what_is_around_it() {
    let client = Client::start();
    let id = client.begin("printf '%030000d needle %030000d\\n' 0 0");
    let reply = client.wait_for(&id, "ne+dle");
    let matched = text(&reply, "matched");
    assert!(matched.chars().count() <= 500 && matched.contains("0 needle 0"), "{matched}");
    assert!(matched.starts_with('…') && matched.ends_with('…'), "{matched}");
}

#[test]
fn a_line_break_at_the_end_of_a_pattern_is_the_end_of_a_line() {
    let client = Client::start();
    let id = client.begin("printf 'one\\ntwo\\n'");
    client.wait(&id);
    for pattern in ["one\n", r"one\n", r"two\n?", r"one[^\n]*", r"\\n|two"] {
        client.wait_for(&id, pattern);
    }
}

#[test]
fn a_pattern_is_awaited_as_long_as_a_leftover_may_write_it() {
    let client = Client::start();
    let gate = Gate::new();
    let wait = gate.wait();
    let id = client.begin(&format!("( {wait}; echo ready; {wait} ) & echo started"));
    client.wait(&id);
    let ready = client.post_waiting(GET, &search(&id, "ready", &Value::Null));
    let never = client.post_waiting(GET, &search(&id, "never", &Value::Null));
    let reply = after(&gate, &client, ready);
    assert_eq!((text(&reply, "matched"), text(&reply, "state")), ("ready", "exited"), "{reply}");
    assert!(!client.is_answered(never.id));
    let reply = after(&gate, &client, never);
    assert!(reply["matched"].is_null() && reply["running"] == false, "{reply}");
}

#[test]
fn what_ends_with_the_wait_for_a_pattern_is_no_leftover() {
    let client = Client::start();
    for _ in 0..10 {
        let execute = json!({"cmd": "(sleep 0.2) & echo first", "wait_seconds": 40, "until_pattern": "never"});
        let reply = client.call(EXECUTE, &execute);
        let result = &reply["result"];
        assert!(result["leftover_processes"].is_null(), "{reply}");
        assert!(text(&reply, "hint").starts_with("The command ended before"), "{reply}");
    }
}

#[test]
fn a_pattern_that_cannot_be_searched_for_is_refused_and_starts_nothing() {
    let client = Client::start();
    let long = "x".repeat(16_000) + "(";
    let id = client.begin("true");
    client.wait(&id);
    for (pattern, named) in [
        ("(", "unclosed"),
        ("a(?=b)", "look"),
        ("*", "repetition"),
        // It can never come in one line.
        ("one\ntwo", "line break"),
        (r"(one)\n+two", "line break"),
        ("(\\w{1000}){1000}", "until_pattern"),
        (&long, "until_pattern is not a valid"),
        (&"x".repeat(1_000_000), "until_pattern"),
    ] {
        let started = Instant::now();
        let mut call = search(&id, pattern, &Value::Null);
        let reply = client.refused(GET, &call);
        assert_eq!(reply["cmd"], "true", "a refusal tells the job's true state: {reply}");
        call = json!({"cmd": "true", "wait_seconds": 1, "until_pattern": pattern});
        for error in [text(&reply, "error"), text(&client.refused(EXECUTE, &call), "error")] {
            assert!(error.contains("until_pattern") && error.contains(named), "{error}");
            assert!(error.chars().count() < 1000, "it is echoed as a whole: {error}");
        }
        assert_soon(started);
    }
    assert_eq!(client.list()["count"], 1);
}

#[test]
fn a_slow_search_stalls_nobody() {
    let client = Client::start();
    let line = "a".repeat(52);
    let id = ref_id(&client.run(&format!("yes {line} | head -c 8000000")));
    let slow = json!({"ref_id": id, "wait_seconds": 0.1, "until_pattern": "[a-z]{100}z"});
    let searches = [(); 8].map(|()| client.post(GET, &slow));
    let started = Instant::now();
    client.list();
    assert_eq!(client.run("echo quick")["output"], "quick\n");
    assert_soon(started);
    for search in searches {
        client.reply(search);
    }
}
