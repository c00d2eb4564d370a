//! Clients without manners.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::{SERVER, files_below};
use crate::support::reply::{CLEANUP, EXECUTE, GET, LIST};
use crate::support::{Client, Gate, PATIENCE, eventually, processes};

/// The server without a client that knows how to behave.
struct Raw {
    server: Child,
    directory: TempDir,
    mark: String,
}

impl Raw {
    fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let mark = format!("TEST_SERVER={}", uuid::Uuid::new_v4());
        let (name, value) = mark.split_once('=').unwrap();
        let server = Command::new(SERVER)
            .args(["--log", "warn", "--output-dir"])
            .arg(directory.path().join("output"))
            .env(name, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            server,
            directory,
            mark,
        }
    }

    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.server.stdin.as_mut().unwrap().write_all(bytes)
    }

    /// The server ends in time, and with it everything it has started.
    #[track_caller]
    fn assert_ends(mut self, what: &str) {
        let asked = Instant::now();
        let status = eventually("the server ends", || {
            self.server
                .try_wait()
                .unwrap()
                .ok_or_else(|| what.to_owned())
        });
        assert!(status.success(), "{what}: {status}");
        assert!(
            asked.elapsed() < Duration::from_secs(3),
            "{what}: {:?}",
            asked.elapsed()
        );
        eventually("nothing is left", || {
            let left = processes::with_environment(&self.mark);
            let files = files_below(&self.directory.path().join("output"));
            if left.is_empty() && files.is_empty() {
                Ok(())
            } else {
                Err(format!("{what}: {} {files:?}", processes::describe(left)))
            }
        });
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(self.server.kill());
            drop(self.server.wait());
        }
    }
}

fn line(message: &Value) -> Vec<u8> {
    format!("{message}\n").into_bytes()
}

fn hello() -> Vec<u8> {
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}});
    let mut lines =
        line(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}));
    lines.extend(line(
        &json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
    ));
    lines
}

fn call(id: usize, tool: &str, arguments: &Value) -> Vec<u8> {
    line(
        &json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}),
    )
}

/// Sends as much as the server takes; whether that was everything.
fn send_until_it_stalls(raw: &mut Raw, bytes: Vec<u8>) -> bool {
    let mut stdin = raw.server.stdin.take().unwrap();
    let (sender, sent) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(stdin.write_all(&bytes));
        // Kept open until the test is over with it.
        let _ = sender.send(());
        std::mem::forget(stdin);
    });
    sent.recv_timeout(Duration::from_secs(1)).is_ok()
}

#[test]
fn a_client_that_never_reads_hinders_no_job_and_no_end() {
    let mut raw = Raw::start();
    let done = raw.directory.path().join("done");
    let pid_file = raw.directory.path().join("pid");
    raw.send(&hello()).unwrap();
    let fast = format!("seq 1 200000; echo done > {}", done.display());
    raw.send(&call(1, EXECUTE, &json!({"cmd": fast}))).unwrap();
    raw.send(&call(
        2,
        EXECUTE,
        &json!({"cmd": format!("echo $$ > {}; sleep 1000", pid_file.display())}),
    ))
    .unwrap();
    // Some ten megabytes of replies, to anyone who would read them.
    let flood: Vec<u8> = (3..4000)
        .flat_map(|id| line(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"})))
        .collect();
    send_until_it_stalls(&mut raw, flood);
    eventually("the job has ended", || {
        if done.exists() {
            Ok(())
        } else {
            Err(String::new())
        }
    });
    let memory = processes::status_number(raw.server.id(), "VmHWM");
    assert!(memory < 64 << 10, "{memory} kB for what nobody reads");
    let pid = eventually("the other job runs", || {
        let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
        text.trim()
            .parse::<u32>()
            .map_err(|error| error.to_string())
    });
    assert!(processes::is_alive(pid));
    processes::signal(raw.server.id(), Signal::TERM);
    raw.assert_ends("TERM while nobody reads");
    assert!(!processes::is_alive(pid));
}

#[test]
fn the_end_of_input_of_a_client_that_never_reads_is_heard() {
    let mut raw = Raw::start();
    raw.send(&hello()).unwrap();
    raw.send(&call(1, EXECUTE, &json!({"cmd": "sleep 1000"})))
        .unwrap();
    for id in 2..40 {
        raw.send(&line(
            &json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"}),
        ))
        .unwrap();
    }
    drop(raw.server.stdin.take());
    raw.assert_ends("the end of input while nobody reads");
}

#[test]
fn a_client_that_writes_and_reads_a_byte_at_a_time_is_served() {
    let mut raw = Raw::start();
    let mut stdin = raw.server.stdin.take().unwrap();
    let mut stdout = raw.server.stdout.take().unwrap();
    let mut request = hello();
    request.extend(call(
        1,
        EXECUTE,
        &json!({"cmd": "echo slow", "wait_seconds": 30}),
    ));
    request.extend(line(&json!({"jsonrpc": "2.0", "id": 2, "method": "ping"})));
    let writer = std::thread::spawn(move || {
        for byte in request {
            stdin.write_all(&[byte]).unwrap();
            // Each byte comes by itself only if the one before has been read.
            while rustix::io::ioctl_fionread(&stdin).unwrap_or(0) > 0 {
                std::thread::yield_now();
            }
        }
        stdin
    });
    let (sender, bytes) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut byte = [0];
        while stdout.read_exact(&mut byte).is_ok() && sender.send(byte[0]).is_ok() {}
    });
    let mut answered = Vec::new();
    let mut current = Vec::new();
    while answered.len() < 3 {
        let byte = bytes.recv_timeout(PATIENCE).expect("there is an answer");
        if byte != b'\n' {
            current.push(byte);
            continue;
        }
        let message: Value = serde_json::from_slice(&current).unwrap();
        current.clear();
        if message["id"] == 1 {
            assert_eq!(
                message["result"]["structuredContent"]["result"]["output"], "slow\n",
                "{message}"
            );
        }
        answered.push(message["id"].clone());
    }
    for id in 0..3 {
        assert!(answered.contains(&json!(id)), "{answered:?}");
    }
    drop(writer.join().unwrap());
    raw.assert_ends("the end of input");
}

/// Jobs, waits, reads, a flood and a cleanup that are under way when a side closes.
fn busy() -> Vec<u8> {
    let mut bytes = hello();
    for id in 1..4 {
        bytes.extend(call(
            id,
            EXECUTE,
            &json!({"cmd": "(setsid sleep 1000 &); sleep 1000", "wait_seconds": 30}),
        ));
    }
    bytes.extend(call(4, EXECUTE, &json!({"cmd": "yes"})));
    bytes.extend(call(5, LIST, &json!({"wait_seconds": 30})));
    bytes.extend(call(6, GET, &json!({"ref_id": "5"})));
    bytes.extend(call(
        7,
        CLEANUP,
        &json!({"ref_id": "00000000-0000-4000-8000-000000000000"}),
    ));
    bytes.extend(call(
        8,
        EXECUTE,
        &json!({"cmd": "cat", "stdin": "x".repeat(1000), "wait_seconds": 30}),
    ));
    bytes
}

#[test]
fn a_client_may_close_either_side_at_any_moment() {
    let bytes = busy();
    let cuts = 14;
    for cut in 0..=cuts {
        let length = bytes.len() * cut / cuts;
        // Its writing side first: the end of the conversation.
        let mut raw = Raw::start();
        raw.send(&bytes[..length]).unwrap();
        drop(raw.server.stdin.take());
        raw.assert_ends(&format!("standard input closed after {length} bytes"));

        // Its reading side, and nothing else: nobody hears any more, which is an end of the conversation too.
        let mut raw = Raw::start();
        raw.send(&bytes[..length / 2]).unwrap();
        drop(raw.server.stdout.take());
        // It may have ended already.
        drop(raw.send(&bytes[length / 2..length]));
        raw.assert_ends(&format!(
            "standard output closed after {} bytes",
            length / 2
        ));
    }
}

#[test]
fn invariant_09_a_thousand_requests_in_flight_are_answered_once_each() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("{}; echo through", gate.wait()));
    let waits: Vec<_> = (0..1000)
        .map(|n| match n % 3 {
            0 => client.post(GET, &json!({"ref_id": id, "wait_seconds": 40})),
            1 => client.post(
                GET,
                &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "through"}),
            ),
            _ => client.post(LIST, &json!({"wait_seconds": 40})),
        })
        .collect();
    client.ping();
    assert_eq!(
        client.unread().len(),
        0,
        "answered before there was a reason"
    );
    gate.open();
    for wait in waits {
        client.reply(wait);
    }
    client.ping();
    assert!(
        client.unread().is_empty(),
        "answered twice: {:?}",
        client.unread()
    );
}

#[test]
fn a_client_that_cancels_everything_hinders_nothing() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&gate.wait());
    let mut ids = Vec::new();
    for n in 0..300 {
        let posted = match n % 4 {
            0 => client.post(GET, &json!({"ref_id": id, "wait_seconds": 40})),
            1 => client.post(LIST, &json!({"wait_seconds": 40})),
            2 => client.post(EXECUTE, &json!({"cmd": "true", "wait_seconds": 40})),
            _ => client.post(GET, &json!({"ref_id": id})),
        };
        ids.push(posted.id);
        client.cancel(posted);
        // Again, and of what was never asked.
        client.cancel(posted);
        client.notify(
            "notifications/cancelled",
            &json!({"requestId": 1_000_000 + n}),
        );
    }
    client.ping();
    let unread = client.unread();
    for id in ids {
        let answers = unread.iter().filter(|message| message["id"] == id).count();
        assert!(answers <= 1, "{id} was answered {answers} times");
    }
    // The job that was there is still there, and so is the server.
    assert_eq!(client.get(&id)["running"], true);
    gate.open();
    let waited = Instant::now();
    assert_eq!(client.wait(&id)["state"], "exited");
    assert!(waited.elapsed() < PATIENCE);
    assert_eq!(client.run("echo fine")["output"], "fine\n");
}
