//! Standard streams that are neither pipes nor sockets, or are not there at all.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    LIST, SERVER, Setup, call, processes, server_command, text, with_desktop_environment,
};

/// A terminal: its master side, and the path of the other.
pub fn terminal() -> (OwnedFd, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap();
    (master, path.into_string().unwrap())
}

#[test]
fn a_terminal_will_do() {
    let (master, path) = terminal();
    let slave = rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let mut raw = tcgetattr(&slave).unwrap();
    raw.make_raw();
    tcsetattr(&slave, OptionalActions::Now, &raw).unwrap();
    let input = (master.try_clone().unwrap(), slave.try_clone().unwrap());
    let client = Setup::new().streams(input, (master, slave)).start();
    // More than a terminal holds at a time.
    let stdin = "0123456789".repeat(5000);
    let reply = client.execute(&json!({"cmd": "cat", "stdin": stdin, "wait_seconds": 30}));
    assert!(text(&reply["result"], "output").len() > 7000, "{reply}");
    // Without lines that the terminal edits there is no end of input but its hang-up.
    processes::signal(client.pid(), Signal::TERM);
    client.assert_ends_well();
}

#[test]
fn regular_files_will_do_and_the_null_device_is_the_end_of_input() {
    let own = TempDir::new().unwrap();
    let (input, output) = (own.path().join("in"), own.path().join("out"));
    let calls: String = (0..500).map(|id| format!("{}\n", call(id, LIST, &json!({})))).collect();
    std::fs::write(&input, calls).unwrap();
    let run = |input: Stdio, output: Stdio| {
        let mut server = server_command(&own.path().join("output"));
        server.stdin(input).stdout(output).stderr(Stdio::null()).status().unwrap()
    };
    let status = run(File::open(&input).unwrap().into(), File::create(&output).unwrap().into());
    assert!(status.success(), "{status}");
    let output = std::fs::read_to_string(output).unwrap();
    let id = |line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap();
    let mut ids: Vec<u64> = output.lines().map(id).collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..500));
    let status = run(Stdio::null(), Stdio::null());
    assert!(status.success(), "{status}");
}

#[test]
fn standard_streams_that_are_closed_harm_nothing() {
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let own = TempDir::new().unwrap();
        let mut server = with_desktop_environment("/bin/sh")
            .args(["-c", &format!("exec \"$0\" {closed}"), SERVER])
            .env("BACKGROUND_COMMAND_MCP_OUTPUT_DIR", own.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = server.stdin.take().unwrap();
        // Where standard input is closed nobody reads this.
        drop(writeln!(input, "{}", call(1, LIST, &json!({}))));
        drop(input);
        let mut said = String::new();
        server.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        let status = server.wait().unwrap();
        assert!(status.success(), "{closed}: {status}");
        let answered = said.contains("\"count\":0");
        assert_eq!(closed == "2>&-", answered, "{closed}: {said}");
    }
}
