//! The contract once more, by commands of `cmd`: README.md beside this file says which test of `tests/it` each stands for.

use serde_json::{Value, json};

use super::client::Client;
use super::{STAY, eventually};

/// Takes its time for each line, and stays.
const LINES: &str = "echo line 1& ping -n 3 127.0.0.1 >NUL& echo line 2& ping -n 3 127.0.0.1 >NUL& echo line 3& ping -n 500 127.0.0.1 >NUL";

const NO_JOB: &str = "00000000-0000-4000-8000-000000000000";

fn clean_up(client: &Client, job: &Value, more: &Value) -> Value {
    let mut arguments = json!({"ref_id": job, "grace_seconds": 0.1});
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.tool("cleanup_background_process", arguments)
}

#[test]
fn what_cannot_be_carried_out_is_refused_with_what_to_do() {
    let client = Client::start(&[]);
    let tools = client.request("tools/list", json!({}));
    assert_eq!(tools["tools"].as_array().unwrap().len(), 4, "{tools}");
    for (tool, arguments, said) in [
        ("execute_command_background", json!({}), "`cmd`"),
        ("execute_command_background", json!({"cmd": "cd", "shell": "sh"}), "`shell`"),
        ("execute_command_background", json!({"cmd": "cd", "until_pattern": "("}), "until_pattern"),
        ("get_command_background_result", json!({"ref_id": "1234"}), "looks like a pid"),
        ("get_command_background_result", json!({"ref_id": NO_JOB}), "no job"),
        ("get_command_background_result", json!({"ref_id": NO_JOB, "cursor": "x"}), ""),
    ] {
        let refused = client.tool(tool, arguments);
        assert!(refused["error"].as_str().unwrap().contains(said), "{said}: {refused}");
    }
    let lenient = json!({"command": "echo yes", "wait_seconds": "30", "stdin": null, "cwd": "", "kill_after_seconds": 0});
    assert_eq!(client.execute(lenient)["result"]["output"], "yes\n");
}

#[test]
fn a_wait_ends_with_its_time_the_pattern_or_the_next_output() {
    let client = Client::start(&[]);
    let started = client.execute(json!({"cmd": LINES, "wait_seconds": 0.2}));
    assert_eq!(started["result"]["running"], true, "{started}");
    assert!(started["hint"].as_str().unwrap().contains("wait_seconds="), "{started}");
    let job = &started["ref_id"];
    let wait = |pattern: &str, cursor: &Value| {
        client.get(job, json!({"wait_seconds": 40, "until_pattern": pattern, "cursor": cursor}))
    };
    let first = wait("^line [1-9]", &json!("start"));
    let next = wait(".", &first["cursor"]);
    assert_eq!(
        (&first["matched"], &next["matched"]),
        (&json!("line 1"), &json!("line 2")),
        "{next}"
    );
    let third = wait("line 3", &json!(null));
    assert!(third["output"].as_str().unwrap().starts_with("line 1\nline 2\nline 3\n"), "{third}");
}

#[test]
fn pages_together_are_all_and_a_long_output_shows_both_ends() {
    let client = Client::start(&[]);
    let command = "for /L %i in (1,1,3000) do @echo line %i";
    let job = client.execute(json!({"cmd": command, "wait_seconds": 45}));
    let shown = job["result"]["output"].as_str().unwrap();
    assert!(shown.starts_with("line 1\n") && shown.ends_with("line 3000\n"), "{shown}");
    assert!(shown.contains("cursor=") && shown.len() < 8_100, "{shown}");
    let (mut all, mut cursor) = (String::new(), json!("start"));
    loop {
        let page = client.get(&job["ref_id"], json!({"cursor": cursor, "max_chars": 5000}));
        let text = page["output"].as_str().unwrap();
        if text.is_empty() {
            break;
        }
        all.push_str(text);
        cursor = page["cursor"].clone();
    }
    let expected: String = (1..=3000).map(|at| format!("line {at}\n")).collect();
    assert_eq!(all, expected);
}

#[test]
fn limits_hold_and_are_named() {
    let flags = [
        "--max-running=1",
        "--max-finished=2",
        "--retention-seconds=4",
        "--max-output-bytes=65536",
    ];
    let client = Client::start(&flags);
    let running = client.stay(STAY);
    let refused = client.execute(json!({"cmd": "cd"}));
    assert!(refused["error"].as_str().unwrap().contains(running.as_str().unwrap()), "{refused}");
    let kept = clean_up(&client, &running, &json!({"keep_result": true}));
    assert_eq!(
        (&kept["success"], &client.get(&running, json!({}))["state"]),
        (&json!(true), &json!("stopped"))
    );
    let many = client.execute(
        json!({"cmd": "for /L %i in (1,1,9000) do @echo 0123456789 %i", "wait_seconds": 60}),
    );
    assert!(many["result"]["dropped_bytes"].as_u64() > Some(0), "{many}");
    client.run("echo 2");
    assert_eq!(client.get(&running, json!({}))["state"], "expired", "newer ones are enough");
    eventually("a result that has expired", || {
        client.get(&many["ref_id"], json!({}))["state"] == "expired"
    });
}

#[test]
fn ends_are_told_once_and_a_cleanup_may_be_repeated() {
    let client = Client::start(&[]);
    let (job, stays) = (client.stay("echo 1"), client.stay(STAY));
    let list = || client.tool("list_background_processes", json!({"wait_seconds": 30}));
    let told = list();
    let entry = told["processes"].as_array().unwrap().iter().find(|entry| entry["ref_id"] == job);
    assert_eq!(entry.unwrap()["running"], false, "{told}");
    assert_eq!(client.get(&stays, json!({}))["also_ended"], Value::Null, "told already");
    let second = client.stay("echo 2");
    client.get(&second, json!({"wait_seconds": 30}));
    for _ in 0..2 {
        assert_eq!(clean_up(&client, &stays, &json!({}))["success"], true);
    }
    assert_eq!(client.get(&stays, json!({}))["state"], "unknown");
}

#[test]
fn every_line_is_answered_the_last_ones_at_the_end_of_input_too() {
    let mut client = Client::start(&[]);
    let call = json!({"name": "execute_command_background", "arguments": {"cmd": STAY, "wait_seconds": 40}});
    for line in [
        "no json".to_owned(),
        r#"{"jsonrpc":"2.0","id":"odd","method":"no/such"}"#.to_owned(),
        r#"[{"jsonrpc":"2.0","id":"batch","method":"ping"}]"#.to_owned(),
        json!({"jsonrpc": "2.0", "id": "under way", "method": "tools/call", "params": call})
            .to_string(),
    ] {
        client.send(&line);
    }
    drop(client.input.take());
    let rest = client.rest();
    for said in ["-32700", "\"odd\"", "\"batch\"", "\"under way\""] {
        assert!(rest.contains(said), "{said} in {rest}");
    }
    assert_eq!(client.server.wait().unwrap().code(), Some(0));
}

#[test]
fn programs_are_told_where_they_run_and_logs_go_where_they_are_wanted() {
    let own = tempfile::tempdir().unwrap();
    let log = own.path().join("log");
    let client = Client::start(&["--log-format=json", "--log-file", log.to_str().unwrap()]);
    let told = client.run("echo %TERM% %PYTHONUNBUFFERED% %LANG%");
    assert_eq!(told["output"], "dumb 1 C.UTF-8\n");
    let prompt = client
        .execute(json!({"cmd": "set /P name=Your name? & echo got %name%", "wait_seconds": 30}));
    assert_eq!(prompt["result"]["running"], false, "standard input is empty: {prompt}");
    let running = client.stay(STAY);
    eventually("the numbers of a running job", || {
        let told = client.get(&running, json!({}));
        told["memory_bytes"].as_u64() > Some(0) && told["processes"].as_u64() >= Some(2)
    });
    let lines = std::fs::read_to_string(log).unwrap();
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{lines}");
    assert!(lines.contains("job started") && !lines.contains("PYTHON"), "{lines}");
}
