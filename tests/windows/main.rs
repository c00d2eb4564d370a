//! The promises that are kept by other means under Windows: the real `.exe`, commands of `cmd`, the system's own word on
//! which processes live. Run on Linux under wine by `.ci/run`; `docs/windows.md` says what wine cannot show.

#![cfg(windows)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod contract;
mod keep;

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use client::{Client, is_alive, living, once};
use serde_json::{Value, json};

/// Stays for minutes, as a child of `cmd`.
const STAY: &str = "ping -n 500 127.0.0.1 >NUL";

/// Leaves a process, and the child of another one that has ended.
const LEAVE: &str =
    "start /b cmd /c ping -n 500 127.0.0.1 >NUL & cmd /c start /b ping -n 500 127.0.0.1 >NUL";

fn pids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// A command that runs `program` below for this.
fn running_this(what: &str) -> String {
    let program = std::env::current_exe().unwrap();
    format!("set {what}=1& \"{}\" --exact program --nocapture", program.display())
}

/// Waits until the condition holds.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_command_is_run_by_cmd_and_its_streams_are_told_apart() {
    let client = Client::start(&[]);
    let reply = client.run(r#"echo "two  words" & echo to error 1>&2& echo %TERM%"#);
    assert_eq!(reply["output"], "\"two  words\" \ndumb\n", "{reply}");
    assert_eq!(reply["error"], "to error \n", "{reply}");
    for seed in ["running", "returncode", "cmd", "created_at", "finished_at", "output", "error"] {
        assert!(!reply[seed].is_null(), "{seed} in {reply}");
    }
    let tools = client.request("tools/list", json!({})).to_string();
    assert!(tools.contains("cmd /D /S /C (cmd.exe syntax"), "{tools}");
    assert!(tools.contains("CTRL_BREAK, then TerminateJobObject"), "{tools}");
}

#[test]
fn exit_codes_are_told_as_they_are() {
    let client = Client::start(&[]);
    for code in [0, 1, 7, 259, -1, -1_073_741_819] {
        let reply = client.run(&format!("exit {code}"));
        assert_eq!(reply["returncode"], code, "{reply}");
        assert_eq!((&reply["state"], &reply["signal"]), (&json!("exited"), &Value::Null));
    }
    assert_eq!(client.run("no-such-program")["returncode"], 9009);
}

#[test]
fn standard_input_is_empty_given_or_kept_open() {
    let client = Client::start(&[]);
    assert_eq!(client.run("more")["state"], "exited");
    let given = json!({"cmd": "more", "stdin": "one\ntwo\n", "wait_seconds": 30});
    assert_eq!(client.execute(given)["result"]["output"], "one\ntwo\n");
    let much = "0123456789abcde\n".repeat(1 << 16);
    let given = json!({"cmd": running_this("COPY"), "stdin": much, "wait_seconds": 45});
    let reply = client.execute(given);
    let reply = client.get(&reply["ref_id"], json!({}));
    assert!(reply["output_bytes"].as_u64() > Some(1 << 20), "{reply}");
    let open = json!({"cmd": "more", "stdin": "one\n", "keep_stdin_open": true, "wait_seconds": 30, "until_pattern": "one"});
    let reply = client.execute(open);
    assert_eq!(
        (&reply["result"]["running"], &reply["result"]["matched"]),
        (&json!(true), &json!("one"))
    );
}

#[test]
fn a_cleanup_ends_the_whole_tree_and_says_how() {
    let client = Client::start(&[]);
    let job = client.stay(&format!("{LEAVE} & {STAY}"));
    let living = living(&client, &job, 3);
    let reply =
        client.tool("cleanup_background_process", json!({"ref_id": job, "grace_seconds": 0.1}));
    assert_eq!(reply["result"]["state"], "stopped", "{reply}");
    let message = reply["message"].as_str().unwrap();
    assert!(message.contains("TerminateJobObject") && message.contains("CTRL_BREAK"), "{message}");
    assert!(!living.iter().any(|pid| is_alive(*pid)), "{living:?}");
}

#[test]
fn a_time_limit_ends_the_whole_tree() {
    let client = Client::start(&["--stop-grace-seconds", "0.1"]);
    let command = format!("{LEAVE} & {STAY}");
    let job = client.execute(json!({"cmd": command, "kill_after_seconds": 3}))["ref_id"].clone();
    let living = living(&client, &job, 3);
    let reply = client.get(&job, json!({"wait_seconds": 30}));
    assert_eq!(reply["state"], "timed_out", "{reply}");
    assert!(!living.iter().any(|pid| is_alive(*pid)), "{living:?}");
}

#[test]
fn what_a_command_leaves_is_listed_and_lives_until_the_cleanup() {
    let client = Client::start(&[]);
    let job = client.execute(json!({"cmd": LEAVE, "wait_seconds": 30}));
    let left = pids(&job["result"]["leftover_processes"]);
    assert!(left.len() >= 2 && left.iter().all(|pid| is_alive(*pid)), "{job}");
    let listed = client.tool("list_background_processes", json!({}));
    assert!(listed["processes"][0]["processes"].as_u64() >= Some(2), "{listed}");
    assert!(listed["processes"][0]["memory_bytes"].as_u64() > Some(0), "{listed}");
    let reply = client.tool("cleanup_background_process", json!({"ref_id": job["ref_id"]}));
    assert_eq!(reply["success"], true, "{reply}");
    assert!(!left.iter().any(|pid| is_alive(*pid)), "{left:?}");
}

#[test]
fn a_leftover_that_ends_by_itself_is_read_to_its_end() {
    let client = Client::start(&[]);
    let job = client.execute(json!({"cmd": "start /b cmd /c \"ping -n 3 127.0.0.1 >NUL & echo late\"", "wait_seconds": 30}));
    assert_eq!(job["result"]["returncode"], 0, "{job}");
    let reply = client.get(&job["ref_id"], json!({"wait_seconds": 30, "until_pattern": "late"}));
    assert_eq!(reply["matched"], "late", "{reply}");
    eventually("a leftover that is gone", || {
        client.get(&job["ref_id"], json!({}))["leftover_processes"].is_null()
    });
}

#[test]
fn a_killed_server_leaves_no_process_and_the_next_one_sweeps_its_output() {
    let mut client = Client::start(&[]);
    let jobs = [
        client.stay(&format!("echo kept & {LEAVE} & {STAY}")),
        client.stay(&format!("cmd /c {STAY}")),
    ];
    let all = [living(&client, &jobs[0], 4), living(&client, &jobs[1], 3)].concat();
    client.server.kill().unwrap();
    eventually("processes of a killed server", || !all.iter().any(|pid| is_alive(*pid)));
    assert_eq!(client.directories().len(), 1);
    let dead = client.directories().remove(0);
    let next = client.next();
    assert_eq!(next.run("echo next")["output"], "next\n");
    eventually("a dead server's output", || !dead.exists());
}

#[test]
fn the_end_of_input_ends_everything() {
    let mut client = Client::start(&[]);
    let job = client.stay(&format!("echo kept & {LEAVE} & {STAY}"));
    let living = living(&client, &job, 4);
    drop(client.input.take());
    assert_eq!(client.server.wait().unwrap().code(), Some(0));
    assert!(!living.iter().any(|pid| is_alive(*pid)), "{living:?}");
    assert!(client.directories().is_empty(), "{:?}", client.directories());
}

#[test]
fn much_output_is_kept_and_can_be_read_while_it_is_written() {
    let client = Client::start(&[]);
    let text = client.own.path().join("text");
    fs::write(&text, "0123456789abcde\n".repeat(1 << 16)).unwrap();
    let command = format!("for /L %i in (1,1,4) do @type {}", text.display());
    let reply = client.execute(json!({"cmd": format!("{command} & echo done & {STAY}"), "wait_seconds": 60, "until_pattern": "done"}));
    let reply = client.get(&reply["ref_id"], json!({}));
    assert_eq!(
        (&reply["output_bytes"], &reply["dropped_bytes"]),
        (&json!((4 << 20) + 7), &Value::Null),
        "{reply}"
    );
    let path = reply["output_path"].as_str().unwrap();
    assert!(path.as_bytes()[1..].starts_with(br":\"), "{path}");
    assert_eq!(fs::read(path).unwrap().len(), (4 << 20) + 7);
}

#[test]
fn twenty_jobs_run_at_once() {
    let client = Client::start(&[]);
    let jobs: Vec<Value> = (0..20)
        .map(|at| client.stay(&format!("ping -n 2 127.0.0.1 >NUL & echo job {at}& exit {at}")))
        .collect();
    for (at, job) in jobs.iter().enumerate() {
        let reply = client.get(job, json!({"wait_seconds": 45}));
        assert_eq!(
            (&reply["returncode"], &reply["output"]),
            (&json!(at), &json!(format!("job {at}\n"))),
            "{reply}"
        );
    }
}

/// Not a test by itself: a program for jobs, which reads and writes bytes as they are.
#[test]
fn program() {
    if std::env::var_os("COPY").is_some() {
        std::io::copy(&mut std::io::stdin(), &mut std::io::stdout()).unwrap();
    }
    if std::env::var_os("RAW").is_some() {
        std::io::stdout().write_all("grün €\n".as_bytes()).unwrap();
        std::io::stdout().write_all(b"gr\x81n\n").unwrap();
    }
}

#[test]
fn text_is_utf_8_or_of_the_code_page() {
    let client = Client::start(&[]);
    let shown = client.run(&running_this("RAW"));
    // The second is of 437, which is wine's own.
    assert!(shown["output"].as_str().unwrap().contains("grün €\ngrün\n"), "{shown}");
    assert_eq!(client.run("echo grün €")["output"], "grün €\n");
}

#[test]
fn directories_are_named_as_windows_names_them() {
    let client = Client::start(&[]);
    let at = |cwd: &str| client.execute(json!({"cmd": "cd", "cwd": cwd, "wait_seconds": 30}));
    for (cwd, expected) in
        [(r"C:\windows", r"C:\windows"), ("C:/windows/system32", r"C:\windows\system32")]
    {
        assert_eq!(at(cwd)["result"]["output"], format!("{expected}\n"));
    }
    let home = at("~");
    assert_eq!(home["result"]["output"], format!("{}\n", home["cwd"].as_str().unwrap()));
    for (cwd, why) in [
        ("NUL", "NUL"),
        (r"C:\no\such", "no\\such"),
        (r"\\no\share", r"\\no\share"),
        (r"C:\windows\win.ini", "win.ini"),
    ] {
        let refused = at(cwd);
        let error = refused["error"].as_str().unwrap();
        assert!(error.contains(why) && error.contains("cannot be used"), "{error}");
    }
}

#[test]
fn what_cmd_cannot_run_is_refused_with_the_reason() {
    let client = Client::start(&[]);
    let fits = format!("rem {}", "x".repeat(8_000));
    assert_eq!(client.run(&fits)["returncode"], 0);
    for (command, why) in [
        ("x".repeat(8_200), "8,191"),
        ("x".repeat(40_000), "32,767"),
        ("echo 1\necho 2".to_owned(), "one line only"),
    ] {
        let refused = client.execute(json!({"cmd": command}));
        assert!(refused["error"].as_str().unwrap().contains(why), "{refused}");
    }
    assert_eq!(client.run("echo trailing\r\n")["output"], "trailing\n");
}

#[test]
fn another_shell_gets_the_command_as_one_argument() {
    let client = Client::start(&["--shell", r#""C:\windows\system32\cmd.exe" /D /C"#]);
    assert_eq!(client.run("echo hello")["output"], "hello\n");
    let missing = Client::start(&["--shell", r"C:\no\bash.exe -c"]);
    let error = missing.execute(json!({"cmd": "echo"}))["error"].as_str().unwrap().to_owned();
    assert!(error.contains(r"C:\no\bash.exe cannot be started"), "{error}");
    // Wine's own does nothing and exits with 0.
    let powershell = Client::start(&["--shell", "powershell -NoProfile -Command"]);
    assert_eq!(powershell.run("Get-Date")["returncode"], 0);
}

#[test]
fn settings_that_cannot_be_used_are_refused_at_the_start() {
    for (flags, why) in [
        (["--shell", "cmd"], "cmd /D /S /C"),
        (["--shell", r"C:\Git\bin\bash.exe"], r"C:\Git\bin\bash.exe -c"),
        (["--login-env", "--check"], "no login shell"),
        (["--cwd", r"C:\no\such"], r"C:\no\such"),
    ] {
        let ended = once(&flags);
        assert_eq!(ended.status.code(), Some(2));
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(told.contains(why), "{told}");
    }
    let ended = once(&["--check", "--log=error"]);
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stdout));
}
