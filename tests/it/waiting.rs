//! One call waits for what an agent waits for, and waiting changes nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::{ref_id, text, texts};
use crate::support::reply::{CLEANUP, EXECUTE, GET, LIST};
use crate::support::{Client, Gate, Setup, eventually, processes};

/// Long against what a reply takes, short against every wait in here.
const SOON: Duration = Duration::from_secs(10);

/// The time from letting something happen to the reply that tells of it.
#[track_caller]
fn assert_soon(since: Instant) {
    assert!(
        since.elapsed() < SOON,
        "answered only after {:?}",
        since.elapsed()
    );
}

#[test]
fn a_wait_ends_with_the_command() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("{}; echo done", gate.wait()));
    let wait = client.post(GET, &json!({"ref_id": id, "wait_seconds": 40}));
    client.ping();
    assert!(!client.is_answered(wait.id));
    let started = Instant::now();
    gate.open();
    let reply = client.reply(wait);
    assert_soon(started);
    assert_eq!(reply["output"], "done\n");
    assert_eq!(reply["state"], "exited");
}

#[test]
fn a_wait_that_runs_out_answers_with_what_there_is() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo so far; {}", gate.wait()));
    let started = Instant::now();
    let reply = client.call(GET, &json!({"ref_id": id, "wait_seconds": 0.3}));
    assert!(
        started.elapsed() >= Duration::from_millis(300),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(reply["state"], "running", "{reply}");
    assert_eq!(reply["output"], "so far\n", "{reply}");
    gate.open();
    assert_eq!(client.wait(&id)["returncode"], 0);
}

#[test]
fn a_wait_for_what_has_happened_answers_at_once() {
    let client = Client::start();
    let id = client.begin("echo there");
    client.wait(&id);
    let started = Instant::now();
    client.call(GET, &json!({"ref_id": id, "wait_seconds": 40}));
    client.call(
        GET,
        &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "there"}),
    );
    let reply = client.call(
        GET,
        &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "not there"}),
    );
    assert!(reply["matched"].is_null(), "{reply}");
    assert_soon(started);
}

#[test]
fn execute_returns_the_result_of_a_quick_command() {
    let client = Client::start();
    let reply = client.execute(&json!({"cmd": "echo quick; exit 4", "wait_seconds": 40}));
    let result = &reply["result"];
    assert_eq!(result["output"], "quick\n", "{reply}");
    assert_eq!(result["returncode"], 4, "{reply}");
    assert_eq!(client.get(&ref_id(&reply))["output"], "quick\n");
}

#[test]
fn execute_returns_what_there_is_of_a_slow_command() {
    let client = Client::start();
    let gate = Gate::new();
    let reply =
        client.execute(&json!({"cmd": format!("echo slow; {}", gate.wait()), "wait_seconds": 0.3}));
    assert_eq!(reply["result"]["state"], "running", "{reply}");
    let id = ref_id(&reply);
    assert!(text(&reply, "hint").contains(&id), "{reply}");
    gate.open();
    client.wait(&id);
}

#[test]
fn a_pattern_is_found_in_either_stream() {
    let client = Client::start();
    let gate = Gate::new();
    for redirect in ["", ">&2"] {
        let cmd = format!(
            "echo starting; echo 'listening on port 8080' {redirect}; {}",
            gate.wait()
        );
        let reply = client
            .execute(&json!({"cmd": cmd, "wait_seconds": 40, "until_pattern": "port [0-9]+"}));
        assert_eq!(
            reply["result"]["matched"], "listening on port 8080",
            "{reply}"
        );
        assert_eq!(reply["result"]["running"], true, "{reply}");
        gate.open();
        client.wait(&ref_id(&reply));
    }
}

#[test]
fn a_pattern_is_found_when_its_line_comes() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!(
        "echo one; {}; echo two; {}",
        gate.wait(),
        gate.wait()
    ));
    client.wait_for(&id, "one");
    let wait = client.post(
        GET,
        &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "^two$"}),
    );
    client.ping();
    assert!(!client.is_answered(wait.id));
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
    assert!(
        text(&reply["result"], "matched").starts_with("Password:"),
        "{reply}"
    );
    gate.open();
    client.wait(&ref_id(&reply));
}

#[test]
fn with_a_cursor_only_newer_text_matches() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!(
        "echo ready 1; {}; echo ready 2; {}",
        gate.wait(),
        gate.wait()
    ));
    let first = client.wait_for(&id, "ready");
    assert_eq!(first["matched"], "ready 1");
    let cursor = text(&first, "cursor");
    let wait = client.post(
        GET,
        &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "ready", "cursor": cursor}),
    );
    client.ping();
    assert!(!client.is_answered(wait.id), "the old line matched again");
    gate.open();
    let reply = client.reply(wait);
    assert_eq!(reply["matched"], "ready 2", "{reply}");
    assert_eq!(reply["output"], "ready 2\n", "{reply}");
    let again = client.wait_for(&id, "ready");
    assert_eq!(
        again["matched"], "ready 1",
        "without a cursor the search is from the start"
    );
    gate.open();
    client.wait(&id);
}

#[test]
fn a_dot_from_a_cursor_waits_for_any_new_output() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!(
        "echo old; {}; echo new >&2; {}",
        gate.wait(),
        gate.wait()
    ));
    let cursor = text(&client.wait_for(&id, "old"), "cursor").to_owned();
    let wait = client.post(
        GET,
        &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": ".", "cursor": cursor}),
    );
    client.ping();
    assert!(!client.is_answered(wait.id));
    gate.open();
    let reply = client.reply(wait);
    assert_eq!(reply["matched"], "new", "{reply}");
    assert_eq!(
        (text(&reply, "output"), text(&reply, "error")),
        ("", "new\n"),
        "{reply}"
    );
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
    // What is added to the line is new, and so is its end.
    for (matched, output) in [
        ("Password: again", ""),
        ("Password: again", "Password: again"),
    ] {
        let wait = client.post(
            GET,
            &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": ".", "cursor": known["cursor"]}),
        );
        client.ping();
        gate.open();
        let reply = client.reply(wait);
        assert_eq!(
            (text(&reply, "matched"), text(&reply, "output")),
            (matched, output),
            "{reply} after {known}"
        );
        assert_ne!(reply["cursor"], known["cursor"], "{reply}");
        known = reply;
    }
}

#[test]
fn a_dot_from_a_cursor_sees_what_came_between_two_calls() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!(
        "echo old; {}; printf 'Name? '; {}",
        gate.wait(),
        gate.wait()
    ));
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
    let wait = client.post(
        GET,
        &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": ".", "cursor": cursor}),
    );
    let started = Instant::now();
    gate.open();
    let reply = client.reply(wait);
    assert_soon(started);
    assert_eq!(
        (text(&reply, "matched"), text(&reply, "output")),
        ("", "\n"),
        "{reply}"
    );
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
    for output in ["", "Password: wrong\n"] {
        let wait = client.post(
            GET,
            &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "assword: $", "cursor": cursor}),
        );
        client.ping();
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
    let wait = client.post(
        GET,
        &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "assword: $", "cursor": cursor}),
    );
    client.ping();
    gate.open();
    let reply = client.reply(wait);
    assert!(reply["matched"].is_null(), "{reply}");
    assert_eq!(reply["output"], "Password: ", "{reply}");
}

#[test]
fn what_a_page_has_shown_of_a_line_is_not_found_again() {
    let client = Client::start();
    let id = client.begin("echo needle $(seq 1 1000)");
    client.wait(&id);
    let page = client.call(
        GET,
        &json!({"ref_id": id, "cursor": "start", "max_chars": 500}),
    );
    assert!(text(&page, "output").starts_with("needle 1 2"), "{page}");
    let search = |pattern: &str| {
        client.call(
            GET,
            &json!({"ref_id": id, "cursor": page["cursor"], "until_pattern": pattern}),
        )
    };
    let shown = search("needle");
    assert!(shown["matched"].is_null(), "{shown}");
    let start = search("^[0-9]");
    assert!(
        start["matched"].is_null(),
        "not the start of a line: {start}"
    );
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
    assert!(
        matched.starts_with('…') && matched.ends_with('…'),
        "{matched}"
    );
    client.wait(&ref_id(&reply));
}

#[test]
fn a_pattern_of_more_than_one_line_is_refused() {
    let client = Client::start();
    let id = client.begin("printf 'one\\ntwo\\n'");
    client.wait(&id);
    for pattern in ["one\ntwo", "two\n", r"one\ntwo"] {
        let reply = client.refused(
            GET,
            &json!({"ref_id": id, "wait_seconds": 1, "until_pattern": pattern}),
        );
        assert!(
            text(&reply, "error").contains("line break"),
            "{pattern:?}: {reply}"
        );
    }
    // These can match a line.
    for pattern in [
        r"two\n?",
        r"one[^\n]*",
        "one\ntwo|two",
        "(?x) t\nw o",
        r"\\n|two",
    ] {
        client.wait_for(&id, pattern);
    }
}

#[test]
fn a_bad_pattern_is_not_echoed_as_a_whole() {
    let client = Client::start();
    let id = client.begin("true");
    for pattern in ["x".repeat(16_000) + "(", "(".repeat(16_000)] {
        let reply = client.refused(
            GET,
            &json!({"ref_id": id, "wait_seconds": 1, "until_pattern": pattern}),
        );
        let error = text(&reply, "error");
        assert!(error.chars().count() < 1000, "{error}");
        assert!(error.contains("until_pattern is not a valid"), "{error}");
    }
}

#[test]
fn a_pattern_is_found_in_what_a_leftover_writes() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!(
        "( {}; echo ready; {} ) & echo started",
        gate.wait(),
        gate.wait()
    ));
    client.wait(&id);
    let wait = client.post(
        GET,
        &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "ready"}),
    );
    client.ping();
    assert!(
        !client.is_answered(wait.id),
        "the wait ended with the command"
    );
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
    let wait = client.post(
        GET,
        &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "never"}),
    );
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
        let reply = client.refused(
            EXECUTE,
            &json!({"cmd": "true", "wait_seconds": 1, "until_pattern": pattern}),
        );
        let error = text(&reply, "error");
        assert!(
            error.contains("until_pattern") && error.contains(named),
            "{pattern}: {error}"
        );
    }
    assert_eq!(client.list()["count"], 0);
    let id = client.begin("true");
    let reply = client.refused(
        GET,
        &json!({"ref_id": id, "wait_seconds": 1, "until_pattern": "["}),
    );
    assert!(text(&reply, "error").contains("until_pattern"), "{reply}");
    assert_eq!(
        reply["cmd"], "true",
        "a refusal tells the job's true state: {reply}"
    );
}

#[test]
fn a_pattern_that_is_too_large_is_refused_and_stalls_nothing() {
    let client = Client::start();
    let id = client.begin("true");
    for pattern in ["(\\w{1000}){1000}".to_owned(), "x".repeat(5_000_000)] {
        let started = Instant::now();
        let reply = client.refused(
            GET,
            &json!({"ref_id": id, "wait_seconds": 1, "until_pattern": pattern}),
        );
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

#[test]
fn the_cap_depends_on_the_client_and_the_configuration_and_is_named() {
    for (setup, cap) in [
        (Setup::new(), "45"),
        (Setup::new().client("claude-code"), "600"),
        (
            Setup::new()
                .client("claude-code")
                .flags(["--max-wait-seconds", "7"]),
            "7",
        ),
    ] {
        let client = setup.start();
        let gate = Gate::new();
        let started = client.execute(&json!({"cmd": gate.wait()}));
        assert!(
            text(&started, "hint")
                .ends_with(&format!("wait_seconds={cap} when you need its result")),
            "{started}"
        );
        gate.open();
        client.wait(&ref_id(&started));
    }
}

#[test]
fn a_wait_beyond_the_cap_is_cut_and_said() {
    let client = Setup::new().flags(["--max-wait-seconds", "0.3"]).start();
    let gate = Gate::new();
    let id = client.begin(&gate.wait());
    let reply = client.call(GET, &json!({"ref_id": id, "wait_seconds": 30_000}));
    let hint = text(&reply, "hint");
    assert!(
        hint.contains("wait_seconds=30000 was cut to 0.3") && hint.contains("seconds"),
        "{hint}"
    );
    // So is one beyond all sense.
    let reply = client.call(GET, &json!({"ref_id": id, "wait_seconds": 1e15}));
    assert!(text(&reply, "hint").contains("was cut to 0.3"), "{reply}");
    let listed = client.call(LIST, &json!({"wait_seconds": 30_000}));
    assert!(
        text(&listed, "hint").contains("unit is seconds"),
        "{listed}"
    );
    gate.open();
    client.wait(&id);
}

#[test]
fn a_list_wait_answers_when_any_job_ends() {
    let client = Client::start();
    let gates = [Gate::new(), Gate::new(), Gate::new()];
    let ids = gates.each_ref().map(|gate| client.begin(&gate.wait()));
    for index in [1, 0, 2] {
        let wait = client.post(LIST, &json!({"wait_seconds": 40}));
        client.ping();
        assert!(
            !client.is_answered(wait.id),
            "answered for an end that was reported before"
        );
        let started = Instant::now();
        gates[index].open();
        let reply = client.reply(wait);
        assert_soon(started);
        let entries = reply["processes"].as_array().unwrap();
        let entry = entries
            .iter()
            .find(|entry| entry["ref_id"] == ids[index].as_str())
            .unwrap();
        assert_eq!(entry["running"], false, "{reply}");
        let next = format!(
            "call get_command_background_result with ref_id=\"{}\"",
            ids[index]
        );
        let hint = text(&reply, "hint").to_lowercase();
        assert!(hint.contains(&next), "{hint}");
    }
    let started = Instant::now();
    client.call(LIST, &json!({"wait_seconds": 40}));
    assert_soon(started);
}

#[test]
fn a_list_wait_answers_at_once_for_an_end_nobody_was_told_of() {
    let client = Client::start();
    let (gate, other) = (Gate::new(), Gate::new());
    let id = client.begin(&gate.wait());
    let stays = client.begin(&other.wait());
    gate.open();
    // The end is seen from outside, so that no reply has told of it.
    eventually("the command has ended", || {
        let living = client.living();
        if living.len() == 1 {
            Ok(())
        } else {
            Err(processes::describe(living))
        }
    });
    let started = Instant::now();
    let reply = client.call(LIST, &json!({"wait_seconds": 40}));
    assert_soon(started);
    assert!(reply.to_string().contains(&id), "{reply}");
    other.open();
    client.wait(&stays);
}

#[test]
fn other_ends_are_named_once_in_the_next_reply() {
    let client = Client::start();
    let gate = Gate::new();
    let (mut expected, mut named) = (Vec::new(), Vec::new());
    for cmd in ["true", "true", "true", &gate.wait()] {
        let started = client.execute(&json!({"cmd": cmd}));
        named.extend(texts(&started["also_ended"]));
        expected.push(ref_id(&started));
    }
    let id = expected.pop().unwrap();
    eventually("all three ends are named", || {
        named.extend(texts(&client.get(&id)["also_ended"]));
        if named.len() >= 3 {
            Ok(())
        } else {
            Err(format!("{named:?}"))
        }
    });
    named.sort();
    expected.sort();
    assert_eq!(named, expected);
    assert!(client.get(&id)["also_ended"].is_null());
    gate.open();
    client.wait(&id);
}

#[test]
fn no_more_than_five_ends_are_named_at_a_time() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&gate.wait());
    let quick: Vec<_> = (0..8)
        .map(|_| client.post(EXECUTE, &json!({"cmd": "true"})))
        .collect();
    let mut expected = Vec::new();
    let mut named = Vec::new();
    for posted in quick {
        let reply = client.reply(posted);
        named.extend(texts(&reply["also_ended"]));
        expected.push(ref_id(&reply));
    }
    eventually("all ends are named", || {
        let news = texts(&client.get(&id)["also_ended"]);
        assert!(news.len() <= 5, "{news:?}");
        named.extend(news);
        if named.len() >= 8 {
            Ok(())
        } else {
            Err(format!("{named:?}"))
        }
    });
    named.sort();
    expected.sort();
    assert_eq!(named, expected);
    gate.open();
    client.wait(&id);
}

#[test]
fn a_cancelled_wait_changes_nothing() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo before; {}; echo after", gate.wait()));
    let waits = [
        client.post(GET, &json!({"ref_id": id, "wait_seconds": 40})),
        client.post(
            GET,
            &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "after"}),
        ),
        client.post(LIST, &json!({"wait_seconds": 40})),
    ];
    client.ping();
    for wait in waits {
        client.cancel(wait);
    }
    let reply = client.wait_for(&id, "before");
    assert_eq!(reply["running"], true);
    gate.open();
    let reply = client.wait(&id);
    assert_eq!(reply["output"], "before\nafter\n");
    client.ping();
    for wait in waits {
        assert!(
            !client.is_answered(wait.id),
            "a cancelled request was answered"
        );
    }
}

#[test]
fn an_end_told_to_nobody_is_told_again() {
    let client = Client::start();
    let (gate, other) = (Gate::new(), Gate::new());
    let id = client.begin(&gate.wait());
    let stays = client.begin(&other.wait());
    let wait = client.post(GET, &json!({"ref_id": id, "wait_seconds": 40}));
    client.ping();
    client.cancel(wait);
    client.ping();
    gate.open();
    eventually("the end is named", || {
        let reply = client.get(&stays);
        if texts(&reply["also_ended"]) == [id.as_str()] {
            Ok(())
        } else {
            Err(reply.to_string())
        }
    });
    other.open();
    client.wait(&stays);
}

#[test]
fn a_job_whose_execute_was_cancelled_runs_on_and_is_named() {
    let client = Client::start();
    let gate = Gate::new();
    let posted = client.post(EXECUTE, &json!({"cmd": gate.wait(), "wait_seconds": 40}));
    eventually("the command runs", || {
        let living = client.living();
        if living.len() == 1 {
            Ok(())
        } else {
            Err(processes::describe(living))
        }
    });
    client.cancel(posted);
    let named = eventually("the next reply names it", || {
        let reply = client.list();
        match texts(&reply["also_started"]).pop() {
            Some(id) => Ok(id),
            None => Err(reply.to_string()),
        }
    });
    assert_eq!(client.get(&named)["running"], true);
    assert!(client.list()["also_started"].is_null(), "named twice");
    gate.open();
    client.wait(&named);
}

#[test]
fn a_cancellation_that_crosses_its_reply_is_taken_into_account() {
    let client = Client::start();
    let gate = Gate::new();
    let posted = client.post(EXECUTE, &json!({"cmd": gate.wait()}));
    let id = ref_id(&client.reply(posted));
    client.cancel(posted);
    client.ping();
    let reply = client.get(&id);
    assert_eq!(texts(&reply["also_started"]), [id.as_str()], "{reply}");
    let reply = client.get(&id);
    assert!(reply["also_started"].is_null(), "{reply}");
    gate.open();
    client.wait(&id);
}

#[test]
fn an_execute_cancelled_at_once_starts_nothing_or_is_named() {
    let client = Client::start();
    let mut cancelled = Vec::new();
    for n in 0..30 {
        let posted = client.post(
            EXECUTE,
            &json!({"cmd": format!("sleep 300; : {n}"), "wait_seconds": 40}),
        );
        client.cancel(posted);
        cancelled.push(posted);
    }
    client.ping();
    let mut named = Vec::new();
    eventually("every job that runs is named", || {
        let reply = client.list();
        named.extend(texts(&reply["also_started"]));
        let listed = reply["count"].as_u64().unwrap();
        if listed == named.len() as u64 {
            Ok(())
        } else {
            Err(format!("{named:?} of {reply}"))
        }
    });
    for id in &named {
        client.call(CLEANUP, &json!({"ref_id": id, "grace_seconds": 0.1}));
    }
    assert_eq!(client.list()["count"], 0);
}

#[test]
fn progress_comes_while_a_call_waits_and_not_after() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo working; {}", gate.wait()));
    let request = client.send_request(
        "tools/call",
        &json!({"name": GET, "arguments": {"ref_id": id, "wait_seconds": 40}, "_meta": {"progressToken": "token-1"}}),
    );
    let silent = client.post(GET, &json!({"ref_id": id, "wait_seconds": 40}));
    let told = eventually("two notifications come", || {
        let told = client.notifications("notifications/progress");
        if told.len() >= 2 {
            Ok(told)
        } else {
            Err(format!("{told:?}"))
        }
    });
    gate.open();
    client.reply(silent);
    let progress: Vec<f64> = told
        .iter()
        .map(|one| one["params"]["progress"].as_f64().unwrap())
        .collect();
    assert!(
        progress.is_sorted_by(|earlier, later| earlier < later),
        "{progress:?}"
    );
    for one in &told {
        assert_eq!(one["params"]["progressToken"], "token-1", "{one}");
        let message = text(&one["params"], "message");
        assert!(
            message.contains("running") && message.contains('8'),
            "{message}"
        );
    }
    eventually("the reply has come", || {
        if client.is_answered(request) {
            Ok(())
        } else {
            Err("no".to_owned())
        }
    });
    client.run("true");
    let unread = client.unread();
    let place = unread
        .iter()
        .position(|message| message["id"] == request)
        .unwrap();
    assert!(
        !unread[place..]
            .iter()
            .any(|message| message["method"] == "notifications/progress"),
        "progress after the reply: {unread:?}"
    );
    assert_eq!(
        client.answer(request)["result"]["structuredContent"]["running"],
        false
    );
}

#[test]
fn a_hundred_waits_at_once_cost_no_cpu() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("{}; echo done", gate.wait()));
    let waits: Vec<_> = (0..100)
        .map(|n| {
            let mut arguments = json!({"ref_id": id, "wait_seconds": 40});
            if n % 2 == 0 {
                arguments["until_pattern"] = json!("done");
            }
            client.post(GET, &arguments)
        })
        .collect();
    client.ping();
    let ticks = || {
        let field = |number| processes::stat_field(client.pid(), number).unwrap();
        field(14) + field(15)
    };
    // Until the searches that were just asked for are over, nothing can be said.
    eventually("the server has come to rest", || {
        let before = ticks();
        let until = Instant::now() + Duration::from_millis(500);
        eventually("half a second has passed", || {
            if Instant::now() > until {
                Ok(())
            } else {
                Err(String::new())
            }
        });
        let used = ticks() - before;
        if used <= 1 {
            Ok(())
        } else {
            Err(format!("{used} ticks in half a second"))
        }
    });
    let started = Instant::now();
    gate.open();
    for wait in waits {
        assert_eq!(client.reply(wait)["output"], "done\n");
    }
    assert_soon(started);
}

#[test]
fn five_jobs_are_awaited_one_call_for_each_end() {
    let client = Client::start();
    let gates: Vec<_> = (0..5).map(|_| Gate::new()).collect();
    let ids: Vec<_> = gates
        .iter()
        .enumerate()
        .map(|(n, gate)| client.begin(&format!("{}; exit {n}", gate.wait())))
        .collect();
    for n in [3, 1, 4, 0, 2] {
        gates[n].open();
        let reply = client.call(LIST, &json!({"wait_seconds": 40}));
        let newest = reply["processes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["running"] == false)
            .unwrap();
        assert_eq!(newest["ref_id"], ids[n].as_str(), "{reply}");
        assert_eq!(newest["returncode"], n, "{reply}");
    }
}
