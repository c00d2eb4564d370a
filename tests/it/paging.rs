//! By cursor every rendered character comes exactly once.

use serde_json::json;

use crate::support::{Client, GET, Gate, eventually, ref_id, text};

fn numbers(range: std::ops::RangeInclusive<u32>) -> String {
    range.map(|number| format!("{number}\n")).collect()
}

#[test]
fn pages_of_any_size_together_are_the_whole() {
    let client = Client::start();
    let id = client.begin("seq 1 3000; seq 5000 6000 >&2; printf 'no newline at the end'");
    client.wait(&id);
    for max_chars in [700, 5000, 100_000] {
        let (output, error, _) = client.pages(&id, "start", max_chars);
        assert_eq!(output, numbers(1..=3000) + "no newline at the end", "in pages of {max_chars}");
        assert_eq!(error, numbers(5000..=6000), "in pages of {max_chars}");
    }
}

#[test]
fn pages_of_a_few_characters_come_forward() {
    let client = Client::start();
    let id = client.begin("echo 'äöü€ a longer line than a page'; echo two >&2");
    client.wait(&id);
    for max_chars in [1, 2, 3] {
        let (output, error, _) = client.pages(&id, "start", max_chars);
        assert_eq!((&*output, &*error), ("äöü€ a longer line than a page\n", "two\n"));
    }
}

#[test]
fn a_page_is_bounded_and_says_where_the_next_one_starts() {
    let client = Client::start();
    let id = client.begin("seq 1 5000");
    client.wait(&id);
    let page = client.call(GET, &json!({"ref_id": id, "cursor": "start", "max_chars": 1000}));
    assert!(text(&page, "output").chars().count() <= 1000, "{page}");
    let cursor = text(&page, "cursor");
    let hint = text(&page, "hint");
    assert!(hint.contains(&format!("cursor=\"{cursor}\"")), "{hint}");
    let last = client.call(GET, &json!({"ref_id": id, "cursor": "start", "max_chars": 100_000}));
    assert!(last["hint"].is_null(), "there is no next page: {last}");
    let beyond = client.call(GET, &json!({"ref_id": id, "cursor": last["cursor"]}));
    assert_eq!((text(&beyond, "output"), text(&beyond, "error")), ("", ""), "{beyond}");
    assert_eq!(beyond["cursor"], last["cursor"]);
}

#[test]
fn a_running_job_is_read_on_as_it_grows() {
    let client = Client::start();
    let gate = Gate::new();
    let steps = 6;
    let cmd = format!(
        "for i in 1 2 3 4 5 6; do {}; seq ${{i}}000 ${{i}}499; seq ${{i}}500 ${{i}}599 >&2; printf part$i; done; echo; echo end",
        gate.wait()
    );
    let id = client.begin(&cmd);
    let (mut output, mut error, mut cursor) = (String::new(), String::new(), "start".to_owned());
    for step in 1..=steps {
        gate.open();
        client.wait_for(&id, &format!("part{step}$|^end$"));
        // Looks of another kind in between must not matter.
        client.get(&id);
        let (out, err, next) = client.pages(&id, &cursor, 900);
        output += &out;
        error += &err;
        cursor = next;
    }
    client.wait(&id);
    let (out, err, _) = client.pages(&id, &cursor, 900);
    output += &out;
    error += &err;
    let mut expected = String::new();
    for step in 1..=steps {
        expected += &numbers(step * 1000..=step * 1000 + 499);
        expected += &format!("part{step}");
    }
    assert_eq!(output, expected + "\nend\n");
    let expected: String =
        (1..=steps).map(|step| numbers(step * 1000 + 500..=step * 1000 + 599)).collect();
    assert_eq!(error, expected);
}

#[test]
fn an_unfinished_line_is_shown_and_continued_by_the_next_page() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!(
        "echo whole; printf half; {}; echo ' and half'; {}",
        gate.wait(),
        gate.wait()
    ));
    client.wait_for(&id, "half");
    let page = client.call(GET, &json!({"ref_id": id, "cursor": "start"}));
    assert_eq!(page["output"], "whole\nhalf", "{page}");
    gate.open();
    client.wait_for(&id, "and half");
    let next = client.call(GET, &json!({"ref_id": id, "cursor": page["cursor"]}));
    assert_eq!(next["output"], " and half\n", "{next}");
    gate.open();
    client.wait(&id);
}

#[test]
fn the_cursor_of_a_look_leads_to_what_comes_after_it() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("seq 1 5000; {}; echo new; echo error >&2", gate.wait()));
    let look = client.wait_for(&id, "^5000$");
    gate.open();
    client.wait(&id);
    let (output, error, _) = client.pages(&id, text(&look, "cursor"), 8000);
    assert_eq!((&*output, &*error), ("new\n", "error\n"));
}

/// However often it was written over.
#[test]
fn a_long_download_shows_its_last_state() {
    let client = Client::start();
    let cmd = "awk 'BEGIN { for (i = 0; i < 50000; i++) printf \"\\r%5d of 50000\", i; print \"\"; print \"done\" }'";
    let reply = client.run(cmd);
    assert_eq!(text(&reply, "output"), "49999 of 50000\ndone\n");
    let id = ref_id(&reply);
    let page = client.call(GET, &json!({"ref_id": id, "cursor": "start"}));
    assert_eq!(text(&page, "output"), "49999 of 50000\ndone\n");
}

#[test]
fn pages_show_what_a_terminal_shows() {
    let client = Client::start();
    let id = client.begin("for i in $(seq 1 300); do printf '\\033[3%dm%d%%\\033[0m\\r' $((i % 8)) $i; done; echo; printf '\\033[2Kclean\\n'");
    client.wait(&id);
    let (output, _, _) = client.pages(&id, "start", 50);
    assert_eq!(output, "300%\nclean\n");
    let id = client
        .begin("printf 'a\\tb\\nname\\tvalue\\r\\tVALUE\\none\\ftwo\\ngone\\033[2J\\033[Hhere\\n'");
    client.wait(&id);
    let (output, _, _) = client.pages(&id, "start", 50);
    assert_eq!(output, "a\tb\nname    VALUE\none\ntwo\nhere\n");
}

#[test]
fn a_failure_at_the_end_of_a_long_log_is_in_the_first_reply() {
    let client = Client::start();
    let id = client.begin("for i in $(seq 1 40000); do echo \"compiling module $i of a large project\"; done; echo 'error: cannot find value' >&2; echo failed; exit 1");
    let reply = client.wait(&id);
    assert!(reply["output_bytes"].as_u64() > Some(1_500_000), "{}", reply["output_bytes"]);
    let chars = text(&reply, "output").chars().count() + text(&reply, "error").chars().count();
    assert!(chars <= 8000, "{chars}");
    assert!(text(&reply, "output").ends_with("failed\n"));
    assert_eq!(reply["error"], "error: cannot find value\n");
}

#[test]
fn a_cursor_is_not_needed_to_be_one_of_ours_but_must_look_like_one() {
    let client = Client::start();
    let id = client.begin("echo words");
    client.wait(&id);
    let beyond = client.call(GET, &json!({"ref_id": id, "cursor": "o99999e99999"}));
    assert_eq!(beyond["output"], "", "{beyond}");
    assert_eq!(client.call(GET, &json!({"ref_id": id, "cursor": " START "}))["output"], "words\n");
    let reply = client.refused(GET, &json!({"ref_id": id, "cursor": "o1e"}));
    assert!(text(&reply, "error").contains("cursor"), "{reply}");
}

/// One that nobody was given must not hide what comes.
#[test]
fn a_cursor_beyond_the_end_stands_for_the_end() {
    let client = Client::start();
    let gate = Gate::new();
    let silent = client.begin(&format!("{}; echo words; exec sleep 300", gate.wait()));
    let beyond = client.call(GET, &json!({"ref_id": silent, "cursor": "o500e500"}));
    assert_eq!(beyond["cursor"], "o0e0", "{beyond}");
    gate.open();
    let words = client.call(
        GET,
        &json!({"ref_id": silent, "cursor": beyond["cursor"], "until_pattern": "words", "wait_seconds": 40}),
    );
    assert_eq!(words["output"], "words\n", "{words}");
}

#[test]
fn a_wait_with_a_cursor_shows_only_what_is_new() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo old; {}; echo new", gate.wait()));
    let cursor = client.wait_for(&id, "old")["cursor"].clone();
    gate.open();
    let reply = eventually("it has ended", || {
        let reply = client.call(GET, &json!({"ref_id": id, "cursor": cursor, "wait_seconds": 40}));
        if reply["running"] == false { Ok(reply) } else { Err(reply.to_string()) }
    });
    assert_eq!(reply["output"], "new\n", "{reply}");
}
