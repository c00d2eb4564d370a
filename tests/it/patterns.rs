//! One call waits for a line of output that an agent names.

use std::time::Instant;

use serde_json::json;

use crate::support::{Client, EXECUTE, GET, Gate, assert_soon, ref_id, text};

#[test]
fn a_pattern_is_found_in_either_stream() {
    let client = Client::start();
    let gate = Gate::new();
    for redirect in ["", ">&2"] {
        let cmd =
            format!("echo starting; echo 'listening on port 8080' {redirect}; {}", gate.wait());
        let reply = client
            .execute(&json!({"cmd": cmd, "wait_seconds": 40, "until_pattern": "port [0-9]+"}));
        assert_eq!(reply["result"]["matched"], "listening on port 8080", "{reply}");
        assert_eq!(reply["result"]["running"], true, "{reply}");
        gate.open();
        client.wait(&ref_id(&reply));
    }
}

#[test]
fn a_pattern_is_found_when_its_line_comes() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo one; {}; echo two; {}", gate.wait(), gate.wait()));
    client.wait_for(&id, "one");
    let wait = client
        .post_waiting(GET, &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "^two$"}));
    let started = Instant::now();
    gate.open();
    let reply = client.reply(wait);
    assert_soon(started);
    assert_eq!(reply["matched"], "two", "{reply}");
    gate.open();
    client.wait(&id);
}

#[test]
fn a_pattern_sees_rendered_lines() {
    let client = Client::start();
    let reply = client.execute(&json!({
        "cmd": "printf '\\033[32mrea\\033[0mdy\\n'", "wait_seconds": 40, "until_pattern": "^ready$"}));
    assert_eq!(reply["result"]["matched"], "ready", "{reply}");
}

#[test]
fn a_prompt_without_a_newline_is_matched() {
    let client = Client::start();
    let gate = Gate::new();
    let cmd = format!("printf 'Password: '; {}", gate.wait());
    let reply = client
        .execute(&json!({"cmd": cmd, "wait_seconds": 40, "until_pattern": "[Pp]assword: ?$"}));
    assert!(text(&reply["result"], "matched").starts_with("Password:"), "{reply}");
    gate.open();
    client.wait(&ref_id(&reply));
}

#[test]
fn with_a_cursor_only_newer_text_matches() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo ready 1; {}; echo ready 2; {}", gate.wait(), gate.wait()));
    let first = client.wait_for(&id, "ready");
    assert_eq!(first["matched"], "ready 1");
    let cursor = text(&first, "cursor");
    let wait = client.post_waiting(
        GET,
        &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "ready", "cursor": cursor}),
    );
    gate.open();
    let reply = client.reply(wait);
    assert_eq!(reply["matched"], "ready 2", "{reply}");
    assert_eq!(reply["output"], "ready 2\n", "{reply}");
    let again = client.wait_for(&id, "ready");
    assert_eq!(again["matched"], "ready 1", "without a cursor the search is from the start");
    gate.open();
    client.wait(&id);
}

#[test]
fn a_dot_from_a_cursor_waits_for_any_new_output() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo old; {}; echo new >&2; {}", gate.wait(), gate.wait()));
    let cursor = text(&client.wait_for(&id, "old"), "cursor").to_owned();
    let wait = client.post_waiting(
        GET,
        &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": ".", "cursor": cursor}),
    );
    gate.open();
    let reply = client.reply(wait);
    assert_eq!(reply["matched"], "new", "{reply}");
    assert_eq!((text(&reply, "output"), text(&reply, "error")), ("", "new\n"), "{reply}");
    gate.open();
    client.wait(&id);
}

#[test]
fn a_dot_from_a_cursor_waits_past_an_unfinished_line_that_is_known() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!(
        "printf 'Password: '; {}; printf again; {}",
        gate.wait(),
        gate.wait()
    ));
    let mut known = client.wait_for(&id, "Password");
    assert_eq!(known["output"], "Password: ", "{known}");
    // What is added to the line is new, and nothing but that.
    for new in ["again", ""] {
        let wait = client.post_waiting(
            GET,
            &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": ".", "cursor": known["cursor"]}),
        );
        gate.open();
        let reply = client.reply(wait);
        assert_eq!(
            (reply["matched"].as_str().unwrap_or_default(), text(&reply, "output")),
            (new, new),
            "{reply} after {known}"
        );
        known = reply;
    }
}

#[test]
fn a_dot_from_a_cursor_sees_what_came_between_two_calls() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo old; {}; printf 'Name? '; {}", gate.wait(), gate.wait()));
    let cursor = client.wait_for(&id, "old")["cursor"].clone();
    gate.open();
    client.wait_for(&id, "Name");
    let started = Instant::now();
    let reply = client.call(
        GET,
        &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": ".", "cursor": cursor}),
    );
    assert_soon(started);
    assert_eq!(reply["matched"], "Name? ", "{reply}");
    gate.open();
    client.wait(&id);
}

#[test]
fn a_blank_line_is_new_output() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo old; {}; echo; {}", gate.wait(), gate.wait()));
    let cursor = client.wait_for(&id, "old")["cursor"].clone();
    let wait = client.post_waiting(
        GET,
        &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": ".", "cursor": cursor}),
    );
    let started = Instant::now();
    gate.open();
    let reply = client.reply(wait);
    assert_soon(started);
    assert_eq!((text(&reply, "matched"), text(&reply, "output")), ("", "\n"), "{reply}");
    gate.open();
    client.wait(&id);
}

#[test]
fn a_prompt_is_found_from_a_cursor_and_not_found_again() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!(
        "echo start; {}; printf 'Password: '; {}; printf 'wrong\\nPassword: '; {}",
        gate.wait(),
        gate.wait(),
        gate.wait()
    ));
    let mut cursor = client.wait_for(&id, "start")["cursor"].clone();
    for output in ["Password: ", "wrong\nPassword: "] {
        let wait = client.post(
            GET,
            &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "assword: $", "cursor": cursor}),
        );
        gate.open();
        let reply = client.reply(wait);
        assert_eq!(
            (text(&reply, "matched"), text(&reply, "output")),
            ("Password: ", output),
            "{reply}"
        );
        cursor = reply["cursor"].clone();
    }
    // Nor does it become a new line by the end of the output.
    let wait = client.post_waiting(
        GET,
        &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "assword: $", "cursor": cursor}),
    );
    gate.open();
    let reply = client.reply(wait);
    assert!(reply["matched"].is_null(), "{reply}");
    assert_eq!(reply["output"], "", "{reply}");
}

#[test]
fn what_a_page_has_shown_of_a_line_is_not_found_again() {
    let client = Client::start();
    let id = client.begin("echo needle $(seq 1 1000)");
    client.wait(&id);
    let page = client.call(GET, &json!({"ref_id": id, "cursor": "start", "max_chars": 500}));
    assert!(text(&page, "output").starts_with("needle 1 2"), "{page}");
    let search = |pattern: &str| {
        client.call(GET, &json!({"ref_id": id, "cursor": page["cursor"], "until_pattern": pattern}))
    };
    let shown = search("needle");
    assert!(shown["matched"].is_null(), "{shown}");
    let start = search("^[0-9]");
    assert!(start["matched"].is_null(), "not the start of a line: {start}");
    let ahead = search(" 1000$");
    assert!(text(&ahead, "matched").ends_with(" 999 1000"), "{ahead}");
}

#[test]
fn of_a_long_line_what_matched_is_told_and_what_is_around_it() {
    let client = Client::start();
    let reply = client.execute(&json!({
        "cmd": "printf '%030000d needle %030000d\\n' 0 0", "wait_seconds": 40, "until_pattern": "ne+dle"}));
    let matched = text(&reply["result"], "matched");
    assert!(
        matched.chars().count() <= 500 && matched.contains("0 needle 0"),
        "{} characters: {matched}",
        matched.chars().count()
    );
    assert!(matched.starts_with('…') && matched.ends_with('…'), "{matched}");
    client.wait(&ref_id(&reply));
}

#[test]
fn a_line_break_at_the_end_of_a_pattern_is_the_end_of_a_line() {
    let client = Client::start();
    let id = client.begin("printf 'one\\ntwo\\n'");
    client.wait(&id);
    for pattern in ["one\n", r"one\n", r"two\n?", r"one[^\n]*", r"\\n|two", "one\ntwo|two"] {
        client.wait_for(&id, pattern);
    }
    // One within can never come in a line: that is said at once.
    for pattern in ["one\ntwo", r"(one)\n+two"] {
        let reply = client
            .refused(GET, &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": pattern}));
        assert!(text(&reply, "error").contains("line break"), "{reply}");
    }
}

/// As `watch` and full-screen programs write.
#[test]
fn a_pattern_is_matched_in_one_row_of_a_screen() {
    let client = Client::start();
    let id = client.begin(r"printf '\033[1;1HREADY 3\033[2;1H7 pods\n'");
    assert_eq!(client.wait(&id)["output"], "READY 3\n7 pods\n");
    assert_eq!(client.wait_for(&id, "^7 pods$")["matched"], "7 pods");
    let reply = client.call(GET, &json!({"ref_id": id, "until_pattern": r"READY 3\s*7"}));
    assert!(reply["matched"].is_null(), "{reply}");
}

#[test]
fn a_bad_pattern_is_not_echoed_as_a_whole() {
    let client = Client::start();
    let id = client.begin("true");
    for pattern in ["x".repeat(16_000) + "(", "(".repeat(16_000)] {
        let reply = client
            .refused(GET, &json!({"ref_id": id, "wait_seconds": 1, "until_pattern": pattern}));
        let error = text(&reply, "error");
        assert!(error.chars().count() < 1000, "{error}");
        assert!(error.contains("until_pattern is not a valid"), "{error}");
    }
}

#[test]
fn a_pattern_is_found_in_what_a_leftover_writes() {
    let client = Client::start();
    let gate = Gate::new();
    let id =
        client.begin(&format!("( {}; echo ready; {} ) & echo started", gate.wait(), gate.wait()));
    client.wait(&id);
    let wait = client
        .post_waiting(GET, &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "ready"}));
    gate.open();
    let reply = client.reply(wait);
    assert_eq!(reply["matched"], "ready", "{reply}");
    assert_eq!(reply["state"], "exited", "{reply}");
    gate.open();
    client.released(&id);
}

#[test]
fn a_wait_for_a_pattern_ends_with_the_last_writer() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("( {} ) & echo started", gate.wait()));
    let wait =
        client.post(GET, &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "never"}));
    client.wait(&id);
    let started = Instant::now();
    gate.open();
    let reply = client.reply(wait);
    assert_soon(started);
    assert!(reply["matched"].is_null(), "{reply}");
    assert_eq!(reply["running"], false);
}

#[test]
fn a_bad_pattern_is_a_clear_error_and_starts_nothing() {
    let client = Client::start();
    for (pattern, named) in [("(", "unclosed"), ("a(?=b)", "look"), ("*", "repetition")] {
        let reply = client
            .refused(EXECUTE, &json!({"cmd": "true", "wait_seconds": 1, "until_pattern": pattern}));
        let error = text(&reply, "error");
        assert!(error.contains("until_pattern") && error.contains(named), "{pattern}: {error}");
    }
    assert_eq!(client.list()["count"], 0);
    let id = client.begin("true");
    let reply =
        client.refused(GET, &json!({"ref_id": id, "wait_seconds": 1, "until_pattern": "["}));
    assert!(text(&reply, "error").contains("until_pattern"), "{reply}");
    assert_eq!(reply["cmd"], "true", "a refusal tells the job's true state: {reply}");
}

#[test]
fn a_pattern_that_is_too_large_is_refused_and_stalls_nothing() {
    let client = Client::start();
    let id = client.begin("true");
    for pattern in ["(\\w{1000}){1000}".to_owned(), "x".repeat(5_000_000)] {
        let started = Instant::now();
        let reply = client
            .refused(GET, &json!({"ref_id": id, "wait_seconds": 1, "until_pattern": pattern}));
        assert_soon(started);
        let error = text(&reply, "error");
        assert!(error.contains("until_pattern"), "{error}");
        assert!(error.len() <= 4000, "{} bytes of error", error.len());
    }
}

#[test]
fn a_slow_search_stalls_nobody() {
    let client = Client::start();
    let id = client
        .begin("yes 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' | head -c 8000000");
    client.wait(&id);
    let searches: Vec<_> = (0..8)
        .map(|_| {
            client.post(
                GET,
                &json!({"ref_id": id, "wait_seconds": 0.1, "until_pattern": "[a-z]{100}z"}),
            )
        })
        .collect();
    let started = Instant::now();
    client.list();
    assert_eq!(client.run("echo quick")["output"], "quick\n");
    assert_soon(started);
    for search in searches {
        client.reply(search);
    }
}
