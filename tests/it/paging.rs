//! By cursor every rendered character comes exactly once.

use serde_json::json;

use crate::support::{Client, GET, Gate, text};

fn numbers(range: std::ops::RangeInclusive<u32>) -> String {
    range.map(|number| format!("{number}\n")).collect()
}

#[test]
fn pages_of_any_size_together_are_what_a_terminal_shows() {
    let client = Client::start();
    for (cmd, sizes, output, error) in [
        (
            "seq 1 3000; seq 5000 6000 >&2; printf 'no newline at the end'",
            [700, 5000, 100_000],
            numbers(1..=3000) + "no newline at the end",
            numbers(5000..=6000),
        ),
        (
            "echo 'äöü€ a longer line than a page'; echo two >&2",
            [1, 2, 3],
            "äöü€ a longer line than a page\n".to_owned(),
            "two\n".to_owned(),
        ),
        (
            r"for i in $(seq 1 300); do printf '\033[3%dm%d%%\033[0m\r' $((i % 8)) $i; done; echo; printf '\033[2Kclean\n'",
            [50, 500, 8000],
            "300%\nclean\n".to_owned(),
            String::new(),
        ),
        (
            r"printf 'a\tb\nname\tvalue\r\tVALUE\none\ftwo\ngone\033[2J\033[Hhere\n'",
            [50, 500, 8000],
            "a\tb\nname    VALUE\none\ntwo\nhere\n".to_owned(),
            String::new(),
        ),
        // A download, however often its line was written over.
        (
            r#"awk 'BEGIN { for (i = 0; i < 50000; i++) printf "\r%5d of 50000", i; print ""; print "done" }'"#,
            [8000; 3],
            "49999 of 50000\ndone\n".to_owned(),
            String::new(),
        ),
    ] {
        let id = client.begin(cmd);
        client.wait(&id);
        for max_chars in sizes {
            let (out, err, _) = client.pages(&id, "start", max_chars);
            assert_eq!(
                (out, err),
                (output.clone(), error.clone()),
                "{cmd} in pages of {max_chars}"
            );
        }
    }
}

#[test]
fn a_page_is_bounded_and_says_where_the_next_one_starts() {
    let client = Client::start();
    let id = client.begin("seq 1 5000");
    client.wait(&id);
    let page = client.call(GET, &json!({"ref_id": id, "cursor": "start", "max_chars": 1000}));
    assert!(text(&page, "output").chars().count() <= 1000, "{page}");
    let next = format!("cursor=\"{}\"", text(&page, "cursor"));
    assert!(text(&page, "hint").contains(&next), "{page}");
    let last = client.call(GET, &json!({"ref_id": id, "cursor": "start", "max_chars": 100_000}));
    assert!(last["hint"].is_null(), "there is no next page: {last}");
    let beyond = client.call(GET, &json!({"ref_id": id, "cursor": last["cursor"]}));
    assert_eq!((text(&beyond, "output"), text(&beyond, "error")), ("", ""), "{beyond}");
    assert_eq!(beyond["cursor"], last["cursor"]);
}

#[test]
fn a_running_job_is_read_on_as_it_grows() {
    const STEPS: u32 = 6;
    let client = Client::start();
    let gate = Gate::new();
    let cmd = format!(
        "for i in 1 2 3 4 5 6; do {}; seq ${{i}}000 ${{i}}499; seq ${{i}}500 ${{i}}599 >&2; printf part$i; done; echo; echo end",
        gate.wait()
    );
    let id = client.begin(&cmd);
    let (mut output, mut error, mut cursor) = (String::new(), String::new(), "start".to_owned());
    for step in 1..=STEPS + 1 {
        if step <= STEPS {
            gate.open();
            client.wait_for(&id, &format!("part{step}$|^end$"));
        } else {
            client.wait(&id);
        }
        let (out, err, next) = client.pages(&id, &cursor, 900);
        output += &out;
        error += &err;
        cursor = next;
    }
    let part = |step| numbers(step * 1000..=step * 1000 + 499) + &format!("part{step}");
    assert_eq!(output, (1..=STEPS).map(part).collect::<String>() + "\nend\n");
    let part = |step| numbers(step * 1000 + 500..=step * 1000 + 599);
    assert_eq!(error, (1..=STEPS).map(part).collect::<String>());
}

#[test]
fn columns_that_are_skipped_cut_no_page() {
    let client = Client::start();
    // To column 60, and on by eight.
    for (skip, columns) in [("60G", 59), ("8C", 11)] {
        let id = client
            .begin(&format!("for i in $(seq 10 99); do printf \"n$i\\033[{skip}value\\n\"; done"));
        client.wait(&id);
        let page = client.call(GET, &json!({"ref_id": id, "cursor": "start"}));
        let line = |number| format!("{:columns$}value\n", format!("n{number}"));
        assert_eq!(page["output"], (10..=99).map(line).collect::<String>(), "{page}");
    }
}

#[test]
fn an_unfinished_line_is_shown_and_continued_by_the_next_page() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo whole; printf half; {}; echo ' and half'", gate.wait()));
    client.wait_for(&id, "half");
    let page = client.call(GET, &json!({"ref_id": id, "cursor": "start"}));
    assert_eq!(page["output"], "whole\nhalf", "{page}");
    gate.open();
    client.wait(&id);
    let next = client.call(GET, &json!({"ref_id": id, "cursor": page["cursor"]}));
    assert_eq!(next["output"], " and half\n", "{next}");
}

#[test]
fn the_cursor_of_a_look_leads_to_what_comes_after_it() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("seq 1 5000; {}; echo new; echo error >&2", gate.wait()));
    let look = client.wait_for(&id, "^5000$");
    let wait = json!({"ref_id": id, "cursor": look["cursor"], "wait_seconds": 40});
    let wait = client.post_waiting(GET, &wait);
    gate.open();
    let reply = client.reply(wait);
    assert_eq!((text(&reply, "output"), text(&reply, "error")), ("new\n", "error\n"), "{reply}");
}

/// One that nobody was given must not hide what comes.
#[test]
fn a_cursor_beyond_the_end_stands_for_the_end() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("{}; echo words; exec sleep 300", gate.wait()));
    let beyond = client.call(GET, &json!({"ref_id": id, "cursor": "o500e500"}));
    assert_eq!(beyond["cursor"], "o0e0", "{beyond}");
    gate.open();
    let words = client.call(
        GET,
        &json!({"ref_id": id, "cursor": beyond["cursor"], "until_pattern": "words", "wait_seconds": 40}),
    );
    assert_eq!(words["output"], "words\n", "{words}");
    assert_eq!(client.call(GET, &json!({"ref_id": id, "cursor": " START "}))["output"], "words\n");
}
