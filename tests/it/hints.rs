//! A hint names the next call, where there is one, and only there. Also what is seen of a job's processes.

use serde_json::json;

use crate::support::{
    CLEANUP, Client, EXECUTE, GET, Gate, Setup, eventually, processes::pids_in, ref_id, text,
};

/// The hint in the reply to a command's end.
#[track_caller]
fn hint_after(client: &Client, cmd: &str) -> String {
    let reply = client.run(cmd);
    reply["hint"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn success_and_plain_failure_need_no_hint() {
    let client = Client::start();
    assert_eq!(hint_after(&client, "true"), "");
    assert_eq!(hint_after(&client, "echo wrong >&2; exit 1"), "");
    assert_eq!(hint_after(&client, "kill -TERM $$"), "");
}

#[test]
fn a_running_job_hints_at_one_long_wait_without_a_cursor() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo x; {}", gate.wait()));
    let reply = client.call(GET, &json!({"ref_id": id, "wait_seconds": 0.05}));
    let hint = text(&reply, "hint");
    assert!(hint.contains(&format!("ref_id=\"{id}\" and wait_seconds=45")), "{hint}");
    assert!(!hint.contains("cursor"), "{hint}");
    gate.open();
    client.wait(&id);
}

#[test]
fn a_running_job_with_much_output_hints_at_a_wait() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("seq 1 2000; {}", gate.wait()));
    client.wait_for(&id, "^2000$");
    let reply = client.get(&id);
    assert!(text(&reply, "output").contains("left out"), "{reply}");
    let hint = text(&reply, "hint");
    assert!(hint.ends_with(&format!("ref_id=\"{id}\" and wait_seconds=45")), "{hint}");
    let reply = client.call(GET, &json!({"ref_id": id, "max_chars": 1000}));
    assert!(text(&reply, "hint").contains("bytes left out: call"), "{reply}");
    gate.open();
    let reply = client.call(GET, &json!({"ref_id": id, "wait_seconds": 40, "max_chars": 1000}));
    assert!(text(&reply, "hint").contains("bytes left out: call"), "{reply}");
}

#[test]
fn a_hint_to_wait_on_keeps_the_pattern() {
    let client = Setup::new().flags(["--max-wait-seconds", "0.1"]).start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo there; {}", gate.wait()));
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
        assert!(hint.ends_with(ending), "{hint}");
        assert!(!hint.contains("cursor"), "{hint}");
    }
    gate.open();
    client.released(&id);
}

#[test]
fn an_end_without_a_match_is_said() {
    let client = Client::start();
    let ended = |cmd: &str| {
        let reply =
            client.execute(&json!({"cmd": cmd, "wait_seconds": 40, "until_pattern": "never"}));
        assert_eq!(reply["result"]["running"], false, "{reply}");
        text(&reply, "hint").to_owned()
    };
    let said = "The command ended before until_pattern matched: ";
    for (cmd, more) in [
        ("echo fine", "returncode"),
        ("exit 3", "returncode"),
        ("no-such-command-anywhere", "127"),
        ("seq 1 100000", "bytes left out: call"),
    ] {
        let hint = ended(cmd);
        assert!(hint.starts_with(said) && hint.contains(more), "{cmd}: {hint}");
    }
    let gate = Gate::new();
    let id = client.begin(&format!("( {} ) & echo started", gate.wait()));
    client.wait(&id);
    let reply =
        client.call(GET, &json!({"ref_id": id, "wait_seconds": 0.1, "until_pattern": "never"}));
    let hint = text(&reply, "hint");
    assert!(
        hint.contains("may still match") && hint.ends_with("and the same until_pattern"),
        "{hint}"
    );
    gate.open();
    client.released(&id);
}

#[test]
fn exit_codes_with_a_meaning_are_explained() {
    let client = Client::start();
    assert!(hint_after(&client, "no-such-command-anywhere").contains("127"));
    assert!(hint_after(&client, "/etc/passwd").contains("126"));
    assert!(hint_after(&client, "exit 137").contains("137"));
    assert!(hint_after(&client, "kill -KILL $$").contains("SIGKILL"));
}

#[test]
fn a_stop_of_ours_is_not_taken_for_want_of_memory() {
    let client = Setup::new().flags(["--stop-grace-seconds", "0.1"]).start();
    let reply = client.execute(&json!({"cmd": "trap '' TERM; while :; do sleep 0.05; done", "kill_after_seconds": 0.2, "wait_seconds": 40}));
    assert_eq!(reply["result"]["state"], "timed_out", "{reply}");
    assert!(reply["hint"].is_null(), "{reply}");
}

#[test]
fn a_question_is_recognised() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("printf 'Overwrite file? [y/N] '; {}", gate.wait()));
    client.wait_for(&id, "Overwrite");
    let reply = eventually("the question is seen", || {
        let reply = client.get(&id);
        if text(&reply, "hint").contains("stdin=") { Ok(reply) } else { Err(reply.to_string()) }
    });
    let hint = text(&reply, "hint");
    assert!(hint.contains("[y/N]") && hint.contains("--yes"), "{hint}");
    gate.open();
    client.wait(&id);
    assert!(
        hint_after(&client, "printf 'Continue? '; read -r answer").contains("stdin"),
        "read fails at the end of input"
    );
}

#[test]
fn a_line_that_asks_nothing_is_no_question() {
    let client = Client::start();
    let gate = Gate::new();
    for line in ["INFO Generated admin password: abc123 (see docs)", "Continue? [y/N]", "password:"]
    {
        let id = client.begin(&format!("echo '{line}'; {}", gate.wait()));
        let cursor = client.wait_for(&id, ".")["cursor"].clone();
        for arguments in [
            json!({"ref_id": id}),
            json!({"ref_id": id, "cursor": "start"}),
            json!({"ref_id": id, "cursor": cursor}),
        ] {
            let reply = client.call(GET, &arguments);
            assert!(text(&reply, "hint").starts_with("Still running"), "{reply}");
        }
        gate.open();
        client.wait(&id);
    }
}

#[test]
fn a_question_is_seen_at_the_end_of_the_output_whatever_the_page() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("seq 1 2000; printf 'Overwrite? [y/N] '; {}", gate.wait()));
    let look = client.wait_for(&id, "Overwrite");
    for (cursor, max_chars) in [("start", 100), ("start", 100_000), (text(&look, "cursor"), 100)] {
        let page =
            client.call(GET, &json!({"ref_id": id, "cursor": cursor, "max_chars": max_chars}));
        assert!(
            text(&page, "hint").contains("Overwrite? [y/N]")
                && text(&page, "hint").contains("--yes"),
            "{page}"
        );
    }
    gate.open();
    client.wait(&id);
}

#[test]
fn who_asks_for_a_password_is_not_answered_with_yes() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("printf \"me@host's password: \" >&2; {}", gate.wait()));
    client.wait_for(&id, "password");
    let reply = client.get(&id);
    let hint = text(&reply, "hint");
    assert!(
        hint.contains("password:") && hint.contains("stdin") && hint.contains("BatchMode=yes"),
        "{hint}"
    );
    assert!(!hint.contains("y\\n"), "{hint}");
    gate.open();
    client.wait(&id);
}

#[test]
fn a_time_limit_in_milliseconds_is_noticed() {
    let client = Client::start();
    let reply = client.execute(&json!({"cmd": "true", "kill_after_seconds": 600_000}));
    let hint = text(&reply, "hint");
    assert!(hint.contains("6.9 days") && hint.contains("seconds"), "{hint}");
    client.wait(&ref_id(&reply));
}

#[test]
fn a_pattern_without_a_wait_is_noticed() {
    let client = Client::start();
    let reply = client.execute(&json!({"cmd": "true", "until_pattern": "x"}));
    assert!(text(&reply, "hint").contains("until_pattern, which needs wait_seconds"), "{reply}");
    client.wait(&ref_id(&reply));
}

#[test]
fn output_left_out_names_the_file_to_search() {
    let client = Client::start();
    let reply = client.run("seq 1 100000");
    let hint = text(&reply, "hint");
    assert!(hint.contains(&format!("grep {}", text(&reply, "output_path"))), "{hint}");
    assert!(hint.contains(&format!("cursor=\"{}\"", text(&reply, "cursor"))), "{hint}");
}

#[test]
fn the_numbers_of_a_running_job_are_plausible() {
    let client = Client::start();
    let gate = Gate::new();
    // Two processes, one of which has used CPU time; then silence.
    let id = client.begin(&format!(
        "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done; sleep 300 & echo $!; {}; kill $!; wait",
        gate.wait()
    ));
    client.wait_for(&id, "[0-9]+");
    let reply = eventually("it is silent", || {
        let reply = client.get(&id);
        if reply["silent_seconds"].as_f64() > Some(0.1) {
            Ok(reply)
        } else {
            Err(reply.to_string())
        }
    });
    assert_eq!(reply["processes"], 2, "{reply}");
    let cpu = reply["cpu_seconds"].as_f64().unwrap();
    let elapsed = reply["elapsed_seconds"].as_f64().unwrap();
    assert!(cpu > 0.0 && cpu <= elapsed + 0.1, "{reply}");
    let memory = reply["memory_bytes"].as_u64().unwrap();
    assert!((100_000..1 << 30).contains(&memory), "{reply}");
    assert!(reply["silent_seconds"].as_f64().unwrap() <= elapsed, "{reply}");
    let entry = client.list()["processes"][0].clone();
    assert_eq!(entry["processes"], 2, "{entry}");
    assert!(entry["cpu_seconds"].as_f64() >= Some(cpu), "{entry}");
    assert!(entry["memory_bytes"].as_u64() > Some(100_000), "{entry}");
    assert!(entry["pid"].as_u64() > Some(1), "{entry}");
    assert!(entry["cwd"].is_null(), "it is the directory of jobs that name none: {entry}");
    gate.open();
    let finished = client.wait(&id);
    for key in ["processes", "cpu_seconds", "memory_bytes", "silent_seconds"] {
        assert!(finished[key].is_null(), "{key} in {finished}");
    }
}

#[test]
fn processes_outside_the_group_are_counted() {
    let client = Client::start();
    let id = client.begin(
        "setsid sleep 300 & echo $!; ( setsid sh -c 'echo $$; exec sleep 300' & ); exec sleep 300",
    );
    eventually("all three are counted", || {
        let reply = client.get(&id);
        if reply["processes"] == 3 && pids_in(&reply["output"]).len() == 2 {
            Ok(())
        } else {
            Err(reply.to_string())
        }
    });
    client.clean_up(&id);
}

#[test]
fn a_reply_for_a_short_finished_command_is_short() {
    let client = Client::start();
    let cmd = "echo fine";
    let id = client.begin(cmd);
    let reply = client.wait(&id);
    let size = reply.to_string().len()
        - cmd.len()
        - text(&reply, "output").len()
        - text(&reply, "error").len();
    assert!(size < 250, "{size} characters besides command and output: {reply}");
}

#[test]
fn a_command_that_asks_for_too_much_at_once_is_told_the_limit() {
    let client = Setup::new().flags(["--max-running", "1"]).start();
    let gate = Gate::new();
    let id = client.begin(&gate.wait());
    let refusal = client.refused(EXECUTE, &json!({"cmd": "true"}));
    let error = text(&refusal, "error");
    assert!(
        error.contains("list_background_processes") && error.contains("cleanup_background_process"),
        "{error}"
    );
    client.call(CLEANUP, &json!({"ref_id": id}));
}
