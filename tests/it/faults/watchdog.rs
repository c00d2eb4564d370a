//! The server is killed as nothing can prevent; the second process ends what it leaves.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use super::{DEAF, can, pids_of, watchdog_of};
use crate::support::client::files_below;
use crate::support::reply::{CLEANUP, GET};
use crate::support::{Client, Setup, eventually, processes};

/// Within this time everything has to be gone, whoever was killed.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// Jobs with everything that knows how to survive a parent, all of it deaf to TERM.
#[track_caller]
fn start_survivors(client: &Client) -> Vec<u32> {
    let jobs = [
        (DEAF.to_owned(), 1),
        (format!("setsid sh -c '{DEAF}' & {DEAF}"), 2),
        (
            format!("(sh -c '{DEAF}' &); (setsid sh -c '{DEAF}' &); {DEAF}"),
            3,
        ),
        (format!("nohup sh -c '{DEAF}' &"), 1),
        (
            format!("(setsid nohup sh -c '(setsid sh -c \"$0\" &)' '{DEAF}' &)"),
            1,
        ),
    ];
    let started: Vec<_> = jobs
        .iter()
        .map(|(cmd, count)| (client.begin(cmd), *count))
        .collect();
    let pids = started
        .iter()
        .flat_map(|(id, count)| pids_of(client, id, *count));
    pids.collect()
}

/// Does something final to a server whose jobs are the worst there are, and checks that nothing outlives it.
#[track_caller]
fn assert_ended_by_the_watchdog(kill: impl FnOnce(&Client)) {
    let client = Client::start();
    client.run("echo finished");
    let pids = start_survivors(&client);
    kill(&client);
    let killed = Instant::now();
    processes::assert_gone(&pids);
    let took = killed.elapsed();
    assert!(took < GONE_WITHIN, "they lived for another {took:?}");
    client.end();
    client.assert_nothing_left();
}

#[test]
fn invariant_10_sigkill_of_the_server() {
    assert_ended_by_the_watchdog(|client| processes::signal(client.pid(), Signal::KILL));
}

/// What `timeout --kill-after`, a service manager or a closing terminal does.
#[test]
fn invariant_10_sigkill_of_the_servers_process_group() {
    assert_ended_by_the_watchdog(|client| {
        let group = processes::stat_field(client.pid(), 5).unwrap();
        assert_eq!(group, u64::from(client.pid()), "the server leads its group");
        processes::signal_group(client.pid(), Signal::KILL);
    });
}

/// Whoever asks it to end does not mean what it is for.
#[test]
fn invariant_10_the_watchdog_heeds_no_request_to_end() {
    assert_ended_by_the_watchdog(|client| {
        let watchdog = watchdog_of(client);
        for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
            processes::signal(watchdog, signal);
        }
        processes::signal(client.pid(), Signal::KILL);
    });
}

#[test]
fn invariant_10_a_killed_watchdog_is_replaced_and_its_successor_does_its_duty() {
    assert_ended_by_the_watchdog(|client| {
        for _ in 0..3 {
            let killed = watchdog_of(client);
            processes::signal(killed, Signal::KILL);
            eventually("another watchdog stands by", || match watchdog_of(client) {
                same if same == killed => Err(format!("{same} is still there")),
                _ => Ok(()),
            });
        }
        processes::signal(client.pid(), Signal::KILL);
    });
}

/// A job that is being cleaned up is alive all the same.
#[test]
fn invariant_10_a_new_watchdog_knows_of_jobs_that_are_being_ended() {
    let client = Client::start();
    let id = client.begin(DEAF);
    let pids = pids_of(&client, &id, 1);
    client.post(CLEANUP, &json!({"ref_id": id, "grace_seconds": 600}));
    client.ping();
    let killed = watchdog_of(&client);
    processes::signal(killed, Signal::KILL);
    eventually("another watchdog stands by", || {
        match watchdog_of(&client) {
            same if same == killed => Err(format!("{same} is still there")),
            _ => Ok(()),
        }
    });
    processes::signal(client.pid(), Signal::KILL);
    processes::assert_gone(&pids);
    client.end();
    client.assert_nothing_left();
}

/// The kernel lets a stopped process go on when it has lost its parent. Until then nobody needs it.
#[test]
fn invariant_10_a_stopped_watchdog_holds_nobody_up_and_does_its_duty() {
    assert_ended_by_the_watchdog(|client| {
        let watchdog = watchdog_of(client);
        processes::signal(watchdog, Signal::STOP);
        for _ in 0..20 {
            client.run("true");
        }
        assert_eq!(watchdog_of(client), watchdog);
        assert_eq!(processes::state(watchdog), Some('T'));
        processes::signal(client.pid(), Signal::KILL);
    });
}

#[test]
fn the_files_of_a_server_killed_with_its_watchdog_are_swept_by_the_next_ones_first_job() {
    let root = tempfile::TempDir::new().unwrap();
    let client = Setup::new().output_dir(root.path()).start();
    client.run("echo words of the dead");
    let watchdog = watchdog_of(&client);
    // In one instant: a server that is stopped cannot replace it.
    processes::signal(client.pid(), Signal::STOP);
    processes::signal(watchdog, Signal::KILL);
    processes::signal(client.pid(), Signal::KILL);
    client.end();
    processes::assert_gone(&[watchdog]);
    let left = files_below(root.path());
    assert_eq!(left.len(), 2, "the output and the lock: {left:?}");

    let next = Setup::new().output_dir(root.path()).start();
    next.list();
    assert_eq!(files_below(root.path()), left, "swept before the first job");
    let id = next.begin("true");
    next.wait(&id);
    eventually("they are swept", || {
        let still: Vec<_> = left.iter().filter(|file| file.exists()).collect();
        if still.is_empty() {
            Ok(())
        } else {
            Err(format!("{still:?}"))
        }
    });
}

/// It costs nothing until there is something to watch.
#[test]
fn there_is_no_watchdog_before_the_first_job() {
    let client = Client::start();
    client.list();
    client.refused(
        GET,
        &json!({"ref_id": "00000000-0000-4000-8000-000000000000"}),
    );
    let children = processes::children(client.pid());
    assert!(children.is_empty(), "{children:?}");
    client.run("true");
    let watchdog = watchdog_of(&client);
    for _ in 0..20 {
        client.run("true");
    }
    assert_eq!(watchdog_of(&client), watchdog, "one for all jobs");
    let cpu =
        processes::stat_field(watchdog, 14).unwrap() + processes::stat_field(watchdog, 15).unwrap();
    assert!(cpu <= 5, "{cpu} ticks of CPU time");
    // It waits in a read, not on an interval.
    client.hang_up();
    processes::assert_gone(&[watchdog]);
    client.assert_nothing_left();
}

/// Processes that have others start as fast as they are ended: what is found must be found again and again.
#[test]
fn invariant_10_a_tree_that_keeps_forking_ends_with_a_killed_server() {
    let client = Client::start();
    let script = client.scratch().join("relay");
    std::fs::write(&script, "trap '' TERM HUP\nsetsid sh \"$0\" &\n").unwrap();
    let id = client.begin(&format!(
        "trap '' TERM; sh {} & echo started; sleep 1000",
        script.display()
    ));
    client.wait_for(&id, "started");
    processes::signal(client.pid(), Signal::KILL);
    client.end();
    client.assert_nothing_left();
}

/// A process that is somebody else every two milliseconds: a look at all processes is over before it is signalled.
#[test]
fn invariant_10_a_process_that_never_stays_ends_with_a_killed_server() {
    if !can("a process that never stays", "perl", &["-e", "1"]) {
        return;
    }
    for _ in 0..3 {
        let client = Client::start();
        // Nobody can see it, but it leaves a trace.
        let trace = client.scratch().join("trace");
        let comet = "$SIG{TERM} = \"IGNORE\"; $| = 1; print \"started\\n\"; \
             for (;;) { open T, \">>\", $ARGV[0]; print T \"x\"; close T; exit if fork; select undef, undef, undef, 0.002 }";
        let id = client.begin(&format!("perl -e '{comet}' {}", trace.display()));
        client.wait_for(&id, "started");
        processes::signal(client.pid(), Signal::KILL);
        client.end();
        let mut before = 0;
        eventually("it leaves no more traces", || {
            let now = std::fs::metadata(&trace).unwrap().len();
            if now == before {
                return Ok(());
            }
            before = now;
            std::thread::sleep(Duration::from_millis(200));
            Err(format!("{now} traces"))
        });
    }
}

#[test]
fn the_watchdog_removes_the_output_directory_whatever_its_name() {
    let directory = TempDir::new().unwrap();
    let others = directory.path().join("others");
    std::fs::create_dir(&others).unwrap();
    std::fs::write(others.join("file"), "not ours").unwrap();
    let root = directory
        .path()
        .join(OsStr::from_bytes(b"others\nours \xff"));
    let client = Setup::new().output_dir(&root).start();
    // The directory is noted in the moment after it was made, which the first job need not wait for.
    for _ in 0..3 {
        assert_eq!(client.run("echo words")["output"], "words\n");
    }
    processes::signal(client.pid(), Signal::KILL);
    client.end();
    client.assert_nothing_left();
    assert!(others.join("file").exists());
}
