use serde_json::json;

use super::*;

fn arguments(value: Value) -> Arguments {
    let Value::Object(map) = value else {
        panic!("not an object: {value}")
    };
    Arguments::new(map)
}

#[test]
fn what_means_not_given_is_not_given() {
    let mut sent = arguments(json!({"a": null, "b": "", "c": 0, "d": "0", "e": " "}));
    assert_eq!(sent.string("a"), Ok(None));
    assert_eq!(sent.string("b"), Ok(None));
    assert_eq!(sent.seconds("c"), Ok(None));
    assert_eq!(sent.characters("d"), Ok(None));
    assert_eq!(sent.boolean("e"), Ok(None));
    assert_eq!(sent.finish(), Ok(()));
}

#[test]
fn numbers_may_be_written_as_text() {
    let mut sent = arguments(json!({"a": "1.5", "b": 2, "c": " 30 ", "d": 1.5, "e": [1], "f": -1}));
    assert_eq!(sent.seconds("a"), Ok(Some(1.5)));
    assert_eq!(sent.seconds("b"), Ok(Some(2.0)));
    assert_eq!(sent.characters("c"), Ok(Some(30)));
    assert!(sent.characters("d").is_err());
    assert!(sent.seconds("e").expect_err("refused").contains("[1]"));
    assert!(sent.seconds("f").is_err());
}

const EXECUTE: &[&str] = &[
    "cmd",
    "cwd",
    "stdin",
    "kill_after_seconds",
    "wait_seconds",
    "until_pattern",
];
const GET: &[&str] = &[
    "ref_id",
    "wait_seconds",
    "until_pattern",
    "cursor",
    "max_chars",
];
const CLEANUP: &[&str] = &["ref_id", "grace_seconds", "keep_result"];

#[test]
fn an_unknown_parameter_names_the_likely_one() {
    for (known, unknown, answer) in [
        (EXECUTE, "cwdd", "did you mean cwd?"),
        (EXECUTE, "workdir", "did you mean cwd?"),
        (EXECUTE, "working_directory", "did you mean cwd?"),
        (EXECUTE, "workingDirectory", "did you mean cwd?"),
        (EXECUTE, "timeout", "did you mean kill_after_seconds?"),
        (EXECUTE, "wait", "did you mean wait_seconds?"),
        (EXECUTE, "waitSeconds", "did you mean wait_seconds?"),
        (EXECUTE, "pattern", "did you mean until_pattern?"),
        (EXECUTE, "script", "did you mean cmd?"),
        (EXECUTE, "description", "description: leave it out. The"),
        (EXECUTE, "env", "like NAME=value command. The"),
        (EXECUTE, "run_in_background", "runs in the background. The"),
        (EXECUTE, "background", "runs in the background. The"),
        (EXECUTE, "frobnicate", "; the parameters are cmd, cwd"),
        (GET, "timeout", "did you mean wait_seconds?"),
        (GET, "bash_id", "did you mean ref_id?"),
        (GET, "shell_id", "did you mean ref_id?"),
        (GET, "process_id", "did you mean ref_id?"),
        (GET, "taskId", "did you mean ref_id?"),
        (GET, "refId", "did you mean ref_id?"),
        (GET, "pid", "did you mean ref_id?"),
        (GET, "filter", "did you mean until_pattern?"),
        (CLEANUP, "keep", "did you mean keep_result?"),
        (CLEANUP, "timeout", "did you mean grace_seconds?"),
    ] {
        let mut sent = arguments(json!({}));
        sent.known = known.to_vec();
        sent.unread.insert(unknown.to_owned(), json!("x"));
        let message = sent.finish().expect_err("refused");
        assert!(
            message.contains(unknown) && message.contains(answer),
            "{message}"
        );
    }
}

#[test]
fn what_was_given_is_not_what_was_meant() {
    let mut sent = arguments(json!({"command": "ls", "script": "x"}));
    assert_eq!(sent.required("cmd"), Ok("ls".to_owned()));
    let message = sent.finish().expect_err("refused");
    assert!(!message.contains("did you mean"), "{message}");
    let both = json!({"kill_after_seconds": 5, "timeout": 5});
    let mut sent = arguments(both);
    assert_eq!(sent.seconds("kill_after_seconds"), Ok(Some(5.0)));
    assert_eq!(sent.wait("wait_seconds"), Ok(None));
    let message = sent.finish().expect_err("refused");
    assert!(message.contains("did you mean wait_seconds?"), "{message}");
}

#[test]
fn an_empty_text_gives_way_to_the_other_name() {
    for sent in [
        json!({"cmd": "", "command": "ls"}),
        json!({"cmd": "ls", "command": ""}),
        json!({"cmd": null, "command": "ls"}),
    ] {
        let mut sent = arguments(sent);
        assert_eq!(sent.required("cmd"), Ok("ls".to_owned()));
        assert_eq!(sent.finish(), Ok(()));
    }
    let mut empty = arguments(json!({"cmd": ""}));
    assert_eq!(empty.required("cmd"), Ok(String::new()));
}
