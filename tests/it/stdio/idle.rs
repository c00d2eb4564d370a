//! What a server costs that nobody asks for anything.

use std::fs;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::processes::children;
use crate::support::{Client, Setup, assert_takes_less, eventually, files_below};

/// How often the threads of a server have gone to sleep.
fn sleeps(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let count = |path: std::path::PathBuf| -> Option<u64> {
        let status = fs::read_to_string(path.join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line?.trim().parse().ok()
    };
    threads.filter_map(|thread| count(thread.path())).sum()
}

#[test]
fn an_idle_server_sleeps_before_its_first_job_and_after_its_last() {
    let client = Client::start();
    for jobs in [0, 3] {
        for _ in 0..jobs {
            client.run("echo hello");
        }
        // What was done just now may still be under way in the first second.
        eventually("no thread wakes up for a second", || {
            let before = sleeps(client.server_pid());
            std::thread::sleep(Duration::from_secs(1));
            match sleeps(client.server_pid()).abs_diff(before) {
                0 => Ok(()),
                more => Err(format!("{more} times after {jobs} jobs")),
            }
        });
    }
}

#[test]
fn the_first_answer_comes_at_once_and_so_does_the_end() {
    assert_takes_less(Duration::from_millis(300), || {
        let started = Instant::now();
        Client::start();
        started.elapsed()
    });
}

/// Clients start a server only to ask what it can do, and end it again.
#[test]
fn before_the_first_job_nothing_is_created_or_spawned() {
    let home = TempDir::new().unwrap();
    let path = home.path().to_str().unwrap();
    let client = Setup::new()
        .environment("HOME", path)
        .environment("XDG_CACHE_HOME", path)
        .environment("TMPDIR", path)
        .after(&format!("cd {path}"))
        .start();
    client.tools();
    assert_eq!(client.list()["count"], 0);
    assert_eq!(children(client.server_pid()), Vec::<u32>::new());
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    assert_eq!(files_below(client.scratch()), [client.scratch().join("log")]);
}
