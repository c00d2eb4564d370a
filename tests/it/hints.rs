//! A hint names the next call, where there is one, and only there. Also what is seen of a job's processes.

use serde_json::json;

use crate::support::{Client, GET, Gate, Setup, text};

/// What a command prints that then waits for ever.
fn and_waits(cmd: &str) -> String {
    format!("{cmd}; exec sleep 1000")
}

#[test]
fn a_running_job_hints_at_one_long_wait_without_a_cursor() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("seq 1 2000; {}", gate.wait()));
    client.wait_for(&id, "^2000$");
    let wait = format!("ref_id=\"{id}\" and wait_seconds=45");
    for arguments in [
        json!({"ref_id": id}),
        json!({"ref_id": id, "wait_seconds": 0.05}),
        json!({"ref_id": id, "cursor": "start", "max_chars": 100_000}),
    ] {
        let reply = client.call(GET, &arguments);
        let hint = text(&reply, "hint");
        assert!(hint.contains(&wait) && !hint.contains("cursor"), "{arguments}: {hint}");
    }
    let small = json!({"ref_id": id, "wait_seconds": 40, "max_chars": 1000});
    let wait = client.post_waiting(GET, &small);
    gate.open();
    let reply = client.reply(wait);
    assert!(text(&reply, "hint").contains("bytes left out: call"), "{reply}");
}

#[test]
fn a_hint_to_wait_on_keeps_the_pattern() {
    let client = Setup::new().flags(["--max-wait-seconds", "0.1"]).start();
    let id = client.begin(&and_waits("echo there"));
    let cursor = client.wait_for(&id, "there")["cursor"].clone();
    for asked in [0.1, 5.0] {
        let mut call = json!({"ref_id": id, "wait_seconds": asked, "until_pattern": "ready"});
        let reply = client.call(GET, &call);
        let hint = text(&reply, "hint");
        assert!(hint.ends_with("wait_seconds=0.1 and the same until_pattern"), "{hint}");
        call["cursor"] = cursor.clone();
        let reply = client.call(GET, &call);
        let hint = text(&reply, "hint");
        let ending = "wait_seconds=0.1, the same until_pattern and all else as in this call";
        assert!(hint.ends_with(ending) && !hint.contains("cursor"), "{hint}");
    }
}

#[test]
fn an_end_without_a_match_is_said() {
    let client = Client::start();
    for (cmd, more) in [
        ("echo fine", "returncode"),
        ("exit 3", "returncode"),
        ("no-such-command-anywhere", "127"),
        ("seq 1 100000", "bytes left out: call"),
    ] {
        let call = json!({"cmd": cmd, "wait_seconds": 40, "until_pattern": "never"});
        let reply = client.execute(&call);
        let hint = text(&reply, "hint");
        let is_said = hint.starts_with("The command ended before until_pattern matched: ");
        assert!(is_said && hint.contains(more), "{cmd}: {hint}");
    }
    let id = client.begin("sleep 1000 & echo started");
    client.wait(&id);
    let call = json!({"ref_id": id, "wait_seconds": 0.1, "until_pattern": "never"});
    let reply = client.call(GET, &call);
    let hint = text(&reply, "hint");
    let leads_on = hint.ends_with("and the same until_pattern");
    assert!(hint.contains("may still match") && leads_on, "{hint}");
}

#[test]
fn an_end_with_a_meaning_is_explained_and_others_need_no_hint() {
    let client = Client::start();
    for (cmd, words) in [
        ("/etc/passwd", "126"),
        ("exit 137", "137"),
        ("kill -KILL $$", "SIGKILL"),
        // read fails at the end of input
        ("printf 'Continue? '; read -r answer", "stdin"),
    ] {
        let reply = client.run(cmd);
        assert!(text(&reply, "hint").contains(words), "{cmd}: {reply}");
    }
    for cmd in ["true", "echo wrong >&2; exit 1", "kill -TERM $$", "printf 'Total: '"] {
        let reply = client.run(cmd);
        assert!(reply["hint"].is_null(), "{cmd}: {reply}");
    }
}

#[test]
fn a_question_is_recognised_at_the_end_of_the_output_whatever_the_page() {
    let client = Client::start();
    for (cmd, words, not) in [
        ("printf 'Overwrite file? [y/N] '", ["[y/N]", "--yes", "stdin="], "cursor"),
        ("seq 1 2000; printf 'Overwrite? [y/N] '", ["[y/N]", "--yes", "stdin="], "cursor"),
        // Who asks for a password is not answered with yes.
        ("printf \"me@host's password: \" >&2", ["password:", "stdin", "BatchMode=yes"], "y\\n"),
        // Whole lines ask nothing.
        ("echo 'INFO Generated admin password: abc123'", ["Still running", "", ""], "stdin"),
        ("echo 'Continue? [y/N]'", ["Still running", "", ""], "stdin"),
        ("echo 'password:'", ["Still running", "", ""], "stdin"),
    ] {
        let id = client.begin(&and_waits(cmd));
        let look = client.wait_for(&id, "[a-z]");
        for (cursor, max_chars) in
            [("", 2000), ("start", 100), ("start", 100_000), (text(&look, "cursor"), 100)]
        {
            let call = json!({"ref_id": id, "cursor": cursor, "max_chars": max_chars});
            let reply = client.call(GET, &call);
            let hint = text(&reply, "hint");
            let has_all = words.iter().all(|word| hint.contains(word));
            assert!(has_all && !hint.contains(not), "{cmd}, {call}: {hint}");
        }
    }
}

#[test]
fn a_call_that_cannot_mean_what_it_says_is_noticed() {
    let client = Client::start();
    for (key, value, words) in [
        ("kill_after_seconds", json!(600_000), ["6.9 days", "seconds"]),
        ("until_pattern", json!("x"), ["until_pattern, which needs wait_seconds", ""]),
    ] {
        let reply = client.execute(&json!({"cmd": "true", key: value}));
        let hint = text(&reply, "hint");
        assert!(words.iter().all(|word| hint.contains(word)), "{hint}");
    }
}

#[test]
fn the_numbers_of_a_job_count_an_orphan_from_the_first_reply_on() {
    let client = Client::start();
    // What the shell in parentheses has left is adopted without a word of the kernel's.
    let id = client.begin("(sleep 300 &); echo ready; exec sleep 300");
    let reply = client.wait_for(&id, "ready");
    assert_eq!(reply["processes"], 2, "{reply}");
    let first = client.list()["processes"][0].clone();
    assert_eq!(first["processes"], 2, "{first}");
}

#[test]
fn the_numbers_of_a_running_job_are_plausible() {
    let client = Client::start();
    let gate = Gate::new();
    // Three processes, one of which has left the group and one has used CPU time; then silence.
    let id = client.begin(&format!(
        "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done; setsid sleep 300 & sleep 300 & echo $!; {}; kill $!; wait $!",
        gate.wait()
    ));
    client.wait_for(&id, "[0-9]+");
    let reply =
        client.get_until(&id, "it is silent", |reply| reply["silent_seconds"].as_f64() > Some(0.1));
    assert_eq!(reply["processes"], 3, "{reply}");
    let cpu = reply["cpu_seconds"].as_f64().unwrap();
    let elapsed = reply["elapsed_seconds"].as_f64().unwrap();
    assert!(cpu > 0.0 && cpu <= elapsed + 0.1, "{reply}");
    let memory = reply["memory_bytes"].as_u64().unwrap();
    assert!((100_000..1 << 30).contains(&memory), "{reply}");
    assert!(reply["silent_seconds"].as_f64().unwrap() <= elapsed, "{reply}");
    let entry = client.list()["processes"][0].clone();
    assert_eq!(entry["processes"], 3, "{entry}");
    assert!(entry["cpu_seconds"].as_f64() >= Some(cpu), "{entry}");
    assert!(entry["memory_bytes"].as_u64() > Some(100_000), "{entry}");
    assert!(entry["pid"].as_u64() > Some(1), "{entry}");
    assert!(entry["cwd"].is_null(), "it is the directory of jobs that name none: {entry}");
    gate.open();
    assert!(client.wait(&id)["silent_seconds"].is_null());
}
