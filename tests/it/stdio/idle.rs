//! What a server costs that nobody asks for anything.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::support::client::{SERVER, files_below};
use crate::support::peer::{Peer, WIRES, Wire, assert_takes_less, call, initialize};
use crate::support::processes::{children, status_number};
use crate::support::reply::LIST;
use crate::support::{Client, eventually};

/// How long the main thread of a server sleeps before it wakes up by itself.
#[track_caller]
fn sleeps_for(pid: u32) -> Duration {
    eventually("the server sleeps in epoll_wait", || {
        // The number of the system call and its arguments: epoll, events, room, timeout.
        let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap();
        let arguments: Vec<_> = call.split_whitespace().collect();
        let timeout = match arguments[..] {
            [number, _, _, _, timeout, ..] if is_epoll_wait(number) => timeout.strip_prefix("0x"),
            _ => None,
        };
        let timeout = timeout.and_then(|timeout| u64::from_str_radix(timeout, 16).ok());
        // The argument is an int, of which -1 means for ever: longer than anything when it is read as unsigned.
        let timeout = timeout.map(|timeout| Duration::from_millis(timeout & u64::from(u32::MAX)));
        timeout.ok_or(call)
    })
}

fn is_epoll_wait(number: &str) -> bool {
    // epoll_wait on x86-64, epoll_pwait there and on the systems that have no other.
    ["232", "281", "22"].contains(&number)
}

/// How often the threads of a server have gone to sleep.
fn sleeps(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let statuses =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
    let switches = statuses.map(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    });
    switches.sum()
}

#[test]
fn an_idle_server_sleeps_until_the_sweepers_time() {
    for wire in WIRES {
        let mut peer = Peer::on(wire);
        peer.ping(1);
        // The sweeper's interval is 30 s; the runtime rounds a long sleep down and sleeps again.
        let sleep = sleeps_for(peer.server_pid());
        assert!(sleep > Duration::from_secs(15), "it wakes up in {sleep:?}");
        // And in fact no thread does wake up in a second. The first may still be under way from above.
        eventually("nothing wakes the server up for a second", || {
            let before = sleeps(peer.server_pid());
            std::thread::sleep(Duration::from_secs(1));
            match sleeps(peer.server_pid()) - before {
                0 => Ok(()),
                more => Err(format!("{more} times")),
            }
        });
        peer.finish();
    }
}

#[test]
fn after_its_jobs_a_server_has_the_threads_it_had_before() {
    let client = Client::start();
    client.ping();
    let threads = || status_number(client.server_pid(), "Threads");
    let before = threads();
    for _ in 0..3 {
        let id = client.begin("echo hello");
        client.wait(&id);
    }
    eventually("the capture thread alone is there besides", || match threads() {
        now if now <= before + 1 => Ok(()),
        more => Err(format!("{more}, before the first job {before}")),
    });
    let sleep = sleeps_for(client.server_pid());
    assert!(sleep > Duration::from_secs(4), "it wakes up in {sleep:?}");
}

#[test]
fn the_first_answer_comes_at_once() {
    for wire in WIRES {
        assert_takes_less(Duration::from_millis(300), || {
            let started = Instant::now();
            let mut peer = Peer::on(wire);
            peer.send(&initialize(1, "2025-06-18"));
            peer.result(1);
            let took = started.elapsed();
            peer.finish();
            took
        });
    }
}

/// Clients start a server only to ask what it can do, and end it again.
#[test]
fn before_the_first_job_nothing_is_created_or_spawned() {
    let home = TempDir::new().unwrap();
    let mut peer = Peer::with(Wire::Fifo, |command| {
        command.env("HOME", home.path()).env("XDG_CACHE_HOME", home.path());
        command.env("TMPDIR", home.path()).current_dir(home.path());
    });
    peer.send(&initialize(1, "2025-06-18"));
    peer.result(1);
    peer.send(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}));
    peer.result(2);
    peer.call(3, LIST, &json!({}));
    assert_eq!(peer.reply(3)["count"], 0);
    assert_eq!(children(peer.server_pid()), Vec::<u32>::new());
    let files = files_below(home.path());
    assert!(files.is_empty(), "{files:?}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    assert!(!peer.output_dir().exists());
    // Every file outside of /dev and /proc that it has opened itself and kept is one of its standard streams.
    let files = |process: &str| {
        let open = fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten();
        let paths = open.filter_map(|fd| fs::read_link(fd.path()).ok());
        let regular = paths.filter(|path| {
            path.is_absolute() && !path.starts_with("/dev") && !path.starts_with("/proc")
        });
        regular.collect::<Vec<_>>()
    };
    let inherited = files("self");
    let mut opened = files(&peer.server_pid().to_string());
    opened.retain(|path| !inherited.contains(path));
    assert!(opened.is_empty(), "{opened:?}");
    peer.finish();
}

/// Needs a tracer; where there is none, the test above is what there is.
#[test]
fn before_the_first_job_nothing_is_scanned() {
    let own = TempDir::new().unwrap();
    let (trace, input) = (own.path().join("trace"), own.path().join("in"));
    let lines = [
        initialize(1, "2025-06-18"),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}),
        call(3, LIST, &json!({})),
    ];
    fs::write(&input, lines.map(|line| format!("{line}\n")).concat()).unwrap();
    let traced = Command::new("strace")
        .args(["-f", "-e", "trace=%file,%process,getdents64", "-o"])
        .arg(&trace)
        .arg(SERVER)
        .arg("--output-dir")
        .arg(own.path().join("output"))
        .stdin(fs::File::open(input).unwrap())
        .output();
    let Ok(traced) = traced else {
        return;
    };
    let answers = String::from_utf8_lossy(&traced.stdout).lines().count();
    assert_eq!(answers, 3, "{}", String::from_utf8_lossy(&traced.stderr));
    let trace = fs::read_to_string(trace).unwrap();
    for call in ["getdents64(", "fork(", "mkdir", "O_CREAT", "/proc\"", "unlink"] {
        let found: Vec<_> = trace.lines().filter(|line| line.contains(call)).collect();
        assert!(found.is_empty(), "{call}: {found:#?}");
    }
    // A call that strace shows in two parts is resumed in the second.
    let is_process = |line: &&str| {
        line.contains("clone") && !line.contains("CLONE_THREAD") && !line.contains("resumed")
    };
    let processes: Vec<_> = trace.lines().filter(is_process).collect();
    assert_eq!(processes.len(), 1, "the supervisor starts the server: {processes:#?}");
    assert_eq!(trace.matches("execve(").count(), 2, "{trace}");
}
