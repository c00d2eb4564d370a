//! Nothing outlives the server, whatever its jobs are and whoever is killed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use super::{DEAF, as_an_ordinary_user, can, pids_of};
use crate::support::{CLEANUP, Client, Setup, eventually, files_below, processes};

/// Within this time after the end of the server everything has to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(3);

/// Jobs with everything that knows how to survive a parent, all of it deaf to TERM, and how many pids each prints.
fn survivors() -> Vec<(String, usize)> {
    let mut shapes = vec![
        (DEAF.to_owned(), 1),
        (format!("setsid sh -c '{DEAF}' & {DEAF}"), 2),
        (format!("(sh -c '{DEAF}' &); (setsid sh -c '{DEAF}' &); {DEAF}"), 3),
        (format!("nohup sh -c '{DEAF}' &"), 1),
        (format!("(setsid nohup sh -c '(setsid sh -c \"$0\" &)' '{DEAF}' &)"), 1),
        (format!("(env -i PATH=\"$PATH\" setsid sh -c '{DEAF}' > /dev/stdout 2>&1 &)"), 1),
        ("echo $$; kill -STOP $$; sleep 1000".to_owned(), 1),
    ];
    if can("a rewritten title", "perl", &["-e", "1"]) {
        let daemon = r#"$0 = "x" x 2000; $SIG{$_} = "IGNORE" for qw(TERM HUP INT); $| = 1; print "$$\n"; sleep 1000"#;
        shapes.push((format!("(env -i PATH=\"$PATH\" setsid perl -e '{daemon}' &)"), 1));
    }
    shapes
}

/// Does something final to a server whose jobs are the worst there are, and checks that nothing outlives it.
#[track_caller]
fn assert_nothing_outlives(what: &str, setup: Setup, end: impl FnOnce(&Client)) {
    let client = setup.start();
    client.run("echo finished");
    let jobs: Vec<_> = survivors().iter().map(|(cmd, count)| (client.begin(cmd), *count)).collect();
    let pids: Vec<u32> = jobs.iter().flat_map(|(id, count)| pids_of(&client, id, *count)).collect();
    let server = client.server_pid();
    end(&client);
    let ended = Instant::now();
    client.end();
    processes::assert_gone(&[server]);
    processes::assert_gone(&pids);
    let took = ended.elapsed();
    assert!(took < GONE_WITHIN, "{what}: they lived for another {took:?}");
    client.assert_nothing_left();
}

#[test]
fn invariant_10_nothing_outlives_a_killed_server() {
    assert_nothing_outlives("SIGKILL of the server", Setup::new(), |client| {
        processes::signal(client.server_pid(), Signal::KILL);
    });
}

#[test]
fn invariant_10_nothing_outlives_a_killed_supervisor() {
    assert_nothing_outlives("SIGKILL of the supervisor", Setup::new(), |client| {
        processes::signal(client.pid(), Signal::KILL);
    });
}

/// What `timeout --kill-after`, a service manager or a closing terminal does.
#[test]
fn invariant_10_nothing_outlives_a_killed_process_group() {
    assert_nothing_outlives("SIGKILL of the group", Setup::new(), |client| {
        let group = processes::stat_field(client.pid(), 5).unwrap();
        assert_eq!(group, u64::from(client.pid()), "the supervisor leads its group");
        processes::signal_group(client.pid(), Signal::KILL);
    });
}

#[test]
fn invariant_10_nothing_outlives_a_request_to_end() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        for to_server in [false, true] {
            let what = format!("{signal:?}, to the server: {to_server}");
            assert_nothing_outlives(&what, Setup::new(), |client| {
                let pid = if to_server { client.server_pid() } else { client.pid() };
                processes::signal(pid, signal);
            });
        }
    }
}

#[test]
fn invariant_10_nothing_outlives_the_end_of_input() {
    assert_nothing_outlives("end of input", Setup::new(), |client| {
        client.close_input();
    });
}

/// An ordinary user has fewer means, and may not signal what became another's.
#[test]
fn invariant_10_nothing_outlives_the_server_of_an_ordinary_user() {
    for to_server in [false, true] {
        let Some((setup, _directory)) = as_an_ordinary_user("nothing outlives a server") else {
            return;
        };
        let what = format!("an ordinary user's, SIGKILL, to the server: {to_server}");
        assert_nothing_outlives(&what, setup, |client| {
            let pid = if to_server { client.server_pid() } else { client.pid() };
            processes::signal(pid, Signal::KILL);
        });
    }
}

/// As in a container whose entry point is the server: nothing else reaps there.
#[test]
fn invariant_10_nothing_is_left_by_a_supervisor_that_is_the_first_process() {
    let namespace = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    if !can("the first process", "unshare", &[&namespace[..], &["true"]].concat()) {
        return;
    }
    for signal in [None, Some(Signal::TERM), Some(Signal::KILL)] {
        let launcher = format!("set -- unshare {} \"$@\"", namespace.join(" "));
        let client = Setup::new().after(&launcher).start();
        for (cmd, count) in survivors() {
            pids_of(&client, &client.begin(&cmd), count);
        }
        let only_child = |pid| processes::children(pid)[0];
        let server = only_child(only_child(client.pid()));
        match signal {
            None => client.close_input(),
            Some(signal) => processes::signal(server, signal),
        }
        let end = client.end();
        let code = signal.filter(|signal| *signal == Signal::KILL).map_or(0, |_| 128 + 9);
        assert_eq!(end.status.code(), Some(code), "{signal:?}: {end:?}");
        assert!(end.took < GONE_WITHIN, "{signal:?}: {end:?}");
        client.assert_nothing_left();
    }
}

#[test]
fn invariant_10_signals_during_the_end_of_input_stop_nothing_of_it() {
    assert_nothing_outlives("TERM, INT and end of input", Setup::new(), |client| {
        processes::signal(client.pid(), Signal::TERM);
        processes::signal(client.pid(), Signal::INT);
        client.close_input();
    });
}

/// A job that is being cleaned up is alive all the same.
#[test]
fn invariant_10_a_job_that_is_being_ended_does_not_outlive_a_killed_server() {
    let client = Client::start();
    let id = client.begin(DEAF);
    let pids = pids_of(&client, &id, 1);
    client.post(CLEANUP, &json!({"ref_id": id, "grace_seconds": 600}));
    client.ping();
    processes::signal(client.server_pid(), Signal::KILL);
    processes::assert_gone(&pids);
    client.end();
    client.assert_nothing_left();
}

/// `other & exec server`: the other process is a child of the supervisor, and not a job's.
#[test]
fn a_process_that_was_there_before_the_server_outlives_it() {
    let file = TempDir::new().unwrap();
    let noted = file.path().join("pid");
    let launcher = format!("sleep 1000 > /dev/null 2>&1 & echo $! > {}", noted.display());
    let client = Setup::new().after(&launcher).start();
    let other = std::fs::read_to_string(&noted).unwrap().trim().parse().unwrap();
    client.begin(DEAF);
    processes::signal(client.server_pid(), Signal::KILL);
    client.end();
    let lives = processes::is_alive(other);
    processes::kill(other);
    assert!(lives, "it was ended with the jobs");
}

#[test]
fn the_exit_code_is_that_of_the_server() {
    let client = Client::start();
    processes::signal(client.server_pid(), Signal::KILL);
    assert_eq!(client.end().status.code(), Some(128 + 9));
    let client = Client::start();
    processes::signal(client.pid(), Signal::TERM);
    assert_eq!(client.end().status.code(), Some(0));
}

#[test]
fn the_files_of_a_server_killed_with_its_supervisor_are_swept_by_the_next_one() {
    let root = TempDir::new().unwrap();
    let client = Setup::new().output_dir(root.path()).start();
    client.run("echo words of the dead");
    let server = client.server_pid();
    // In one instant: neither can act on the death of the other.
    for (pid, signal) in
        [(client.pid(), Signal::STOP), (server, Signal::KILL), (client.pid(), Signal::KILL)]
    {
        processes::signal(pid, signal);
    }
    client.end();
    let left = files_below(root.path());
    assert_eq!(left.len(), 2, "the output and the lock: {left:?}");

    let next = Setup::new().output_dir(root.path()).start();
    next.list();
    assert_eq!(files_below(root.path()), left, "swept before the first job");
    next.run("echo first output");
    eventually("they are swept", || {
        let still: Vec<_> = left.iter().filter(|file| file.exists()).collect();
        if still.is_empty() { Ok(()) } else { Err(format!("{still:?}")) }
    });
}

/// A process that is another one every two milliseconds: a scan is over before it is signalled.
#[test]
fn invariant_10_a_process_that_forks_and_exits_all_the_time_ends_with_a_killed_server() {
    if !can("a process that never stays", "perl", &["-e", "1"]) {
        return;
    }
    let client = Client::start();
    // Seen by its trace.
    let trace = client.scratch().join("trace");
    let comet = "$SIG{TERM} = \"IGNORE\"; $| = 1; print \"started\\n\"; \
         for (;;) { open T, \">>\", $ARGV[0]; print T \"x\"; close T; exit if fork; select undef, undef, undef, 0.002 }";
    let id = client.begin(&format!("perl -e '{comet}' {}", trace.display()));
    client.wait_for(&id, "started");
    processes::signal(client.server_pid(), Signal::KILL);
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

#[test]
fn the_supervisor_removes_the_output_directory_whatever_its_name() {
    let directory = TempDir::new().unwrap();
    let others = directory.path().join("others");
    std::fs::create_dir(&others).unwrap();
    std::fs::write(others.join("file"), "not ours").unwrap();
    let root = directory.path().join(OsStr::from_bytes(b"others\nours \xff"));
    let client = Setup::new().output_dir(&root).start();
    assert_eq!(client.run("echo words")["output"], "words\n");
    processes::signal(client.server_pid(), Signal::KILL);
    client.end();
    client.assert_nothing_left();
    assert!(others.join("file").exists());
}
