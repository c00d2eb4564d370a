//! What is logged, where to, and that nobody waits for a log to be read.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use rustix::event::PollFlags;
use serde_json::{Value, json};

use crate::support::peer::{Peer, WIRES, Wire, await_ready};
use crate::support::reply::EXECUTE;
use crate::support::{Client, Gate, Setup, eventually};

/// Waits for a line that says all of this.
#[track_caller]
fn line_with(client: &Client, words: &[&str]) -> String {
    eventually("it is logged", || {
        let log = client.log();
        let mut lines = log.lines();
        let line = lines.find(|line| words.iter().all(|word| line.contains(word)));
        line.map(str::to_owned).ok_or_else(|| format!("no {words:?} in:\n{log}"))
    })
}

#[test]
fn the_first_line_says_what_was_configured() {
    let output = tempfile::TempDir::new().unwrap();
    let client = Setup::new()
        .output_dir(output.path())
        .flags([
            "--shell",
            "sh -c",
            "--cwd",
            "/usr",
            "--max-running",
            "7",
            "--max-finished",
            "8",
            "--retention-seconds",
            "90",
        ])
        .flags(["--max-output-bytes", "70000", "--max-total-bytes", "80000"])
        .start();
    let first = line_with(&client, &["server started"]);
    for word in [
        "server started",
        &format!("version=\"{}\"", env!("CARGO_PKG_VERSION")),
        "shell=sh -c",
        "cwd=/usr",
        &format!("output_dir={}", output.path().display()),
        "max_running=7",
        "max_finished=8",
        "retention_seconds=90",
        "max_output_bytes=70000",
        "max_total_bytes=80000",
    ] {
        assert!(first.contains(word), "{word} is not in {first}");
    }
    let log = client.log();
    assert_eq!(log.lines().count(), 1, "one line at the start:\n{log}");
}

#[test]
fn the_life_of_a_job_is_logged_with_its_id_and_pid() {
    let client = Setup::new().flags(["--max-finished", "1"]).start();
    let gate = Gate::new();
    let started = client.execute(&json!({"cmd": gate.wait()}));
    let id = started["ref_id"].as_str().unwrap();
    let (ref_id, pid) = (format!("ref_id={id}"), format!("pid={}", started["pid"]));
    let job = [ref_id.as_str(), pid.as_str()];
    line_with(&client, &[job[0], job[1], "job started"]);
    gate.open();
    line_with(&client, &[job[0], job[1], "job finished"]);
    client.wait(id);

    let stopped = client.execute(&json!({"cmd": gate.wait()}));
    let other_id = stopped["ref_id"].as_str().unwrap();
    let (ref_id, pid) = (format!("ref_id={other_id}"), format!("pid={}", stopped["pid"]));
    client.call(crate::support::reply::CLEANUP, &json!({"ref_id": other_id, "keep_result": true}));
    line_with(&client, &[&ref_id, &pid, "ending the job's processes"]);
    line_with(&client, &[&ref_id, &pid, "job finished"]);
    line_with(&client, &[job[0], job[1], "job evicted"]);
}

#[test]
fn whole_commands_and_the_sdks_own_lines_are_logged_only_when_asked_for() {
    const SECRET: &str = "echo the password is swordfish";
    let plain = Client::start();
    plain.run(SECRET);
    line_with(&plain, &["job finished"]);
    assert!(!plain.log().contains("swordfish"), "{}", plain.log());
    assert!(!plain.log().contains("rmcp"), "{}", plain.log());

    let debug = Setup::new().flags(["--log", "background_command_mcp=debug"]).start();
    debug.run(SECRET);
    line_with(&debug, &["DEBUG", "ref_id=", SECRET]);
    assert!(!debug.log().contains("rmcp"), "{}", debug.log());

    let sdk = Setup::new().flags(["--log", "off,rmcp=debug"]).start();
    sdk.ping();
    line_with(&sdk, &["rmcp"]);
    let quiet = Setup::new().flags(["--log", "off"]).start();
    quiet.run("true");
    quiet.hang_up();
    assert_eq!(quiet.log(), "");
}

#[test]
fn a_log_file_is_private_and_appended_to_and_may_be_json() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("log");
    for runs in 1..=2 {
        let client = Setup::new()
            .flags(["--log-file", path.to_str().unwrap(), "--log-format", "json"])
            .start();
        let id = client.begin("true");
        client.wait(&id);
        client.hang_up();
        assert_eq!(client.log(), "", "standard error is silent");
        let log = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> =
            log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let with = |message: &str| {
            let those = lines.iter().filter(|line| line["fields"]["message"] == message);
            those.cloned().collect::<Vec<_>>()
        };
        let starts = with("server started");
        assert_eq!(starts.len(), runs, "{log}");
        assert_eq!(starts[0]["fields"]["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(with("server ended").len(), runs, "{log}");
        let finished = with("job finished");
        assert_eq!(finished[runs - 1]["span"]["ref_id"], *id, "{log}");
        assert!(finished[runs - 1]["span"]["pid"].is_u64(), "{log}");
    }
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
}

#[test]
fn a_log_file_that_is_a_fifo_without_a_reader_is_no_obstacle() {
    let gate = Gate::new();
    let path = gate.wait().split('\'').nth(1).unwrap().to_owned();
    let client = Setup::new().flags(["--log-file", &path]).start();
    assert_eq!(client.run("echo fine")["output"], "fine\n");
}

#[test]
fn a_standard_error_that_nobody_reads_holds_nobody_up_and_the_loss_is_told() {
    /// Longer than a pipe has room for at any time, so that lines are also taken in part.
    const COMMAND: usize = 100_000;
    for wire in WIRES {
        let (log, server_log) = wire.output();
        let mut peer = Peer::with(wire, |command| {
            command.args(["--log", "background_command_mcp=debug"]).stderr(server_log);
        });
        let comment = format!(": {}", "x".repeat(COMMAND));
        for id in 0..5 {
            peer.call(id, EXECUTE, &json!({"cmd": comment, "wait_seconds": 30}));
            assert_eq!(peer.reply(id)["result"]["returncode"], 0);
        }
        for id in 0..2000 {
            peer.send(&json!({"id": id}));
            assert_eq!(peer.expect()["error"]["code"], -32600);
        }
        // Makes room, has one more line logged, and looks for what follows the gap.
        let mut log = std::fs::File::from(log);
        let mut told = String::new();
        let mut buffer = vec![0; 1 << 20];
        while !told.contains("log lines were dropped here") {
            await_ready(&log, PollFlags::IN);
            let read = log.read(&mut buffer).unwrap();
            told.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            peer.send(&json!({}));
            peer.expect();
        }
        peer.finish();
        log.read_to_string(&mut told).unwrap();
        for line in told.lines() {
            let is_whole = line
                .ends_with("log lines were dropped here: they were not read in time)")
                || (line.starts_with("20") && line.contains("background_command_mcp"));
            let shown: String = line.chars().take(300).collect();
            assert!(is_whole, "torn: {shown}");
        }
        assert!(told.trim_end().ends_with("server ended"), "the last line is the end");
    }
}

#[test]
fn a_closed_standard_error_harms_nothing() {
    for wire in WIRES {
        let (log, server_log) = wire.output();
        drop(log);
        let mut peer = Peer::with(wire, |command| {
            command.stderr(server_log);
        });
        assert_eq!(peer.run("echo fine"), "fine\n");
        peer.finish();
    }
}

/// Closed under way, as a client does that stops to listen.
#[test]
fn a_standard_error_that_is_closed_later_harms_nothing() {
    let mut peer = Peer::with(Wire::Fifo, |command| {
        command.stderr(Stdio::piped());
    });
    let log = peer.take_log();
    await_ready(&log, PollFlags::IN);
    drop(log);
    assert_eq!(peer.run("echo fine"), "fine\n");
    peer.finish();
}
