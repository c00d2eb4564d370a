//! What is logged, where to, and that nobody waits for a log to be read.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::{Client, Gate, PATIENCE, Setup, WIRES, Wire, eventually, is_readable};

/// Waits for a line that says all of this.
#[track_caller]
fn await_line(client: &Client, words: &[&str]) {
    eventually("it is logged", || {
        let log = client.log();
        let found = log.lines().any(|line| words.iter().all(|word| line.contains(word)));
        if found { Ok(()) } else { Err(format!("no {words:?} in:\n{log}")) }
    });
}

#[test]
fn whole_commands_and_the_sdks_own_lines_are_logged_only_when_asked_for() {
    const SECRET: &str = "echo the password is swordfish";
    let plain = Client::start();
    plain.run(SECRET);
    await_line(&plain, &["job finished", "ref_id=", "pid=", "exit=Code(0)"]);
    assert!(!plain.log().contains("swordfish") && !plain.log().contains("rmcp"), "{}", plain.log());

    let debug = Setup::new().flags(["--log", "background_command_mcp=debug"]).start();
    debug.run(SECRET);
    await_line(&debug, &["DEBUG", "ref_id=", SECRET]);
    assert!(!debug.log().contains("rmcp"), "{}", debug.log());

    let sdk = Setup::new().flags(["--log", "off,rmcp=debug"]).start();
    sdk.ping();
    await_line(&sdk, &["rmcp"]);
    let quiet = Setup::new().flags(["--log", "off"]).start();
    quiet.run("true");
    quiet.hang_up();
    assert_eq!(quiet.log(), "");
}

#[test]
fn a_log_file_is_private_and_appended_to_and_may_be_json() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("log");
    let flags = ["--log-file", path.to_str().unwrap(), "--log-format", "json"];
    for runs in 1..=2 {
        let client = Setup::new().flags(flags).start();
        let id = client.begin("true");
        client.wait(&id);
        client.hang_up();
        assert_eq!(client.log(), "", "standard error is silent");
        let log = fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> =
            log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let with = |message: &str| {
            let those = lines.iter().filter(|line| line["fields"]["message"] == message);
            those.cloned().collect::<Vec<_>>()
        };
        assert_eq!(with("server started").len(), runs, "{log}");
        assert_eq!(with("server ended").len(), runs, "{log}");
        let finished = &with("job finished")[runs - 1]["fields"];
        assert_eq!(finished["ref_id"], *id, "{log}");
        assert!(finished["pid"].is_u64(), "{log}");
    }
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
}

#[test]
fn a_log_file_that_is_a_fifo_without_a_reader_is_no_obstacle() {
    let gate = Gate::new();
    let client = Setup::new().flags(["--log-file", gate.fifo.to_str().unwrap()]).start();
    assert_eq!(client.run("echo fine")["output"], "fine\n");
}

#[test]
fn a_standard_error_that_nobody_reads_holds_nobody_up_and_the_loss_is_told() {
    for wire in WIRES {
        let (log, server_log) = wire.output();
        let debug = ["--log", "background_command_mcp=debug"];
        let client = Setup::on(wire).flags(debug).log_to(server_log).start();
        // Longer than a pipe has room for at any time, so that lines are also taken in part.
        let comment = format!(": {}", "x".repeat(100_000));
        for _ in 0..5 {
            let reply = client.execute(&json!({"cmd": comment, "wait_seconds": 30}));
            assert_eq!(reply["result"]["returncode"], 0);
        }
        for id in 0..2000 {
            client.send(&json!({"id": id}));
            assert_eq!(client.expect()["error"]["code"], -32600);
        }
        // Makes room, has one more line logged, and looks for what follows the gap.
        let mut log = File::from(log);
        let (mut told, mut buffer) = (String::new(), vec![0; 1 << 20]);
        while !told.contains("log lines were dropped here") {
            assert!(is_readable(&log, PATIENCE), "{} bytes of log", told.len());
            let read = log.read(&mut buffer).unwrap();
            told.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            client.send(&json!({}));
            client.expect();
        }
        client.finish();
        log.read_to_string(&mut told).unwrap();
        for line in told.lines() {
            let is_whole = line
                .ends_with("log lines were dropped here: they were not read in time)")
                || (line.starts_with("20") && line.contains("background_command_mcp"));
            assert!(is_whole, "torn: {}", line.chars().take(300).collect::<String>());
        }
        assert!(told.trim_end().ends_with("server ended"), "the last line is the end");
    }
}

/// From the start, or under way, as a client does that stops to listen.
#[test]
fn a_closed_standard_error_harms_nothing() {
    for is_heard_first in [false, true] {
        let (log, server_log) = Wire::Fifo.output();
        let client = Setup::new().log_to(server_log).spawn();
        assert!(!is_heard_first || is_readable(&log, PATIENCE), "nothing is logged");
        drop(log);
        assert_eq!(client.run("echo fine")["output"], "fine\n");
        client.finish();
    }
}
