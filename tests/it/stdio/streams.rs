//! Standard streams that are neither pipes nor sockets, or are not there at all.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::SERVER;
use crate::support::peer::{Peer, Wire, call, server};
use crate::support::reply::{EXECUTE, LIST};

/// A terminal: its master side, and the path of the other.
pub(super) fn terminal() -> (OwnedFd, String) {
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
    let reader = master.try_clone().unwrap();
    let server_input = slave.try_clone().unwrap();
    let mut peer = Peer::over((master, server_input), (reader, slave), |_| {});
    peer.ping(1);
    // More than a terminal holds at a time.
    let mut big = call(2, EXECUTE, &json!({"cmd": "cat", "wait_seconds": 30}));
    let text = "0123456789".repeat(5000);
    big["params"]["arguments"]["stdin"] = json!(text);
    peer.send(&big);
    let reply = peer.reply(2);
    assert!(reply["result"]["output"].as_str().unwrap().len() > 7000, "{reply}");
    // Without lines that the terminal edits there is no end of input but its hang-up.
    peer.signal(Signal::TERM);
    peer.ends_well();
}

#[test]
fn regular_files_will_do() {
    let own = TempDir::new().unwrap();
    let (input, output) = (own.path().join("in"), own.path().join("out"));
    let calls: String = (0..500).map(|id| format!("{}\n", call(id, LIST, &json!({})))).collect();
    std::fs::write(&input, calls).unwrap();
    let status = server(&own)
        .stdin(File::open(&input).unwrap())
        .stdout(File::create(&output).unwrap())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    let output = std::fs::read_to_string(output).unwrap();
    let mut ids: Vec<u64> = output
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap())
        .collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..500));
}

#[test]
fn the_null_device_is_the_end_of_input() {
    let own = TempDir::new().unwrap();
    let status = server(&own).stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{status}");
}

/// A named FIFO that is also open for writing in the server itself never ends.
#[test]
fn a_fifo_opened_for_both_directions_is_served() {
    let own = TempDir::new().unwrap();
    let path = own.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let both = || -> OwnedFd { File::options().read(true).write(true).open(&path).unwrap().into() };
    let mut peer = Peer::over((both(), both()), Wire::Fifo.output(), |_| {});
    peer.ping(1);
    peer.ping(2);
    peer.signal(Signal::TERM);
    peer.ends_well();
}

#[test]
fn standard_streams_that_are_closed_harm_nothing() {
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let own = TempDir::new().unwrap();
        let mut server = Command::new("/bin/sh")
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
