//! Clients without manners.

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    CLEANUP, Client, EXECUTE, GET, Gate, LIST, Setup, Wire, call, eventually, initialize, processes,
};

#[test]
fn a_client_that_never_reads_stops_no_job_and_no_end() {
    let directory = tempfile::TempDir::new().unwrap();
    let (done, pid_file) = (directory.path().join("done"), directory.path().join("pid"));
    let (input, server_input) = Wire::Fifo.input();
    let mut writer = fs::File::from(input.try_clone().unwrap());
    let client = Setup::new().streams((input, server_input), Wire::Fifo.output()).start();
    client.post(EXECUTE, &json!({"cmd": format!("seq 200000; echo > {}", done.display())}));
    client.post(EXECUTE, &json!({"cmd": format!("echo $$ > {}; sleep 1000", pid_file.display())}));
    // Some ten megabytes of replies, to a client that would read them. The server takes as much as it will.
    std::thread::spawn(move || {
        for id in 3..4000 {
            let list = json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"});
            drop(writeln!(writer, "{list}"));
        }
    });
    let pid: u32 = eventually("one job has ended, the other runs", || {
        let pid = fs::read_to_string(&pid_file).unwrap_or_default();
        let pid = pid.trim().parse().map_err(|error| format!("{error}: {pid:?}"))?;
        if done.exists() { Ok(pid) } else { Err("the first job runs".to_owned()) }
    });
    let memory = processes::status_number(client.server_pid(), "VmHWM");
    assert!(memory < 64 << 10, "{memory} kB for what is not read");
    assert!(processes::is_alive(pid));
    processes::signal(client.pid(), Signal::TERM);
    let asked = Instant::now();
    client.assert_ends_well();
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert!(!processes::is_alive(pid));
}

/// Jobs, waits, a flood, a read and a cleanup: under way when a side closes.
fn busy() -> Vec<u8> {
    let stubborn = "(setsid sleep 1000 &); sleep 1000";
    let wait = json!({"cmd": stubborn, "wait_seconds": 30});
    let lines: [Value; 9] = [
        initialize(0, "2025-06-18"),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        call(1, EXECUTE, &wait),
        call(2, EXECUTE, &wait),
        call(3, EXECUTE, &json!({"cmd": "yes"})),
        call(4, LIST, &json!({"wait_seconds": 30})),
        call(5, GET, &json!({"ref_id": "5"})),
        call(6, CLEANUP, &json!({"ref_id": "00000000-0000-4000-8000-000000000000"})),
        call(7, EXECUTE, &json!({"cmd": "cat", "stdin": "x".repeat(1000), "wait_seconds": 30})),
    ];
    lines.map(|line| format!("{line}\n")).concat().into_bytes()
}

#[test]
fn a_client_may_close_either_side_at_any_moment() {
    const CUTS: usize = 14;
    let bytes = busy();
    for cut in 0..=CUTS {
        let cut = bytes.len() * cut / CUTS;
        for closes_input in [true, false] {
            let client = Setup::new().spawn();
            client.write(&bytes[..cut]);
            if closes_input {
                client.close_input();
            } else {
                client.close_output();
            }
            let end = client.end();
            let is_well = end.status.success() && end.took < Duration::from_secs(3);
            assert!(is_well, "{end:?} after {cut} bytes, {closes_input}");
            client.assert_nothing_left();
        }
    }
}

#[test]
fn a_client_that_cancels_everything_changes_no_job() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo before; {}; echo after", gate.wait()));
    let calls = [
        (GET, json!({"ref_id": id, "wait_seconds": 40})),
        (LIST, json!({"wait_seconds": 40})),
        (EXECUTE, json!({"cmd": "true", "wait_seconds": 40})),
        (GET, json!({"ref_id": id})),
    ];
    let mut ids = Vec::new();
    for (n, (tool, arguments)) in calls.iter().cycle().take(300).enumerate() {
        let posted = client.post(tool, arguments);
        ids.push(posted.id);
        client.cancel(posted);
        // Again, and of what was never asked.
        client.cancel(posted);
        client.notify("notifications/cancelled", &json!({"requestId": 1_000_000 + n}));
    }
    client.ping();
    let unread = client.unread();
    for id in &ids {
        let answers = unread.iter().filter(|message| message["id"] == *id).count();
        assert!(answers <= 1, "{id} was answered {answers} times");
    }
    assert_eq!(client.wait_for(&id, "before")["running"], true);
    gate.open();
    assert_eq!(client.wait(&id)["output"], "before\nafter\n");
    // Waits that nothing has ended before they were cancelled are not answered at all.
    assert!(!client.is_answered(ids[0]), "{:?}", client.unread());
}
