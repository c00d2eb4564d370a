//! Whatever a server is started with, its jobs see none of it and none of their exits is lost.

use std::os::fd::OwnedFd;

use rustix::process::Signal;

use super::signals::is_ignored;
use super::streams::terminal;
use crate::support::{Client, Setup, processes, text};

#[test]
fn invariant_08_ignored_and_blocked_signals_reach_no_job_and_no_exit_is_lost() {
    let client = Setup::new().after("set -- env --ignore-signal --block-signal \"$@\"").start();
    let reply = client.run("grep -E '^Sig(Ign|Blk)' /proc/self/status; exit 7");
    assert_eq!((&reply["state"], reply["returncode"].as_i64()), (&"exited".into(), Some(7)));
    let masks = text(&reply, "output");
    assert_eq!(masks.lines().count(), 2, "{masks}");
    for line in masks.lines() {
        let mask = u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap();
        // 32 and 33 are the C library's own: its posix_spawn makes every child ignore them.
        assert_eq!(mask & !(0b11 << 31), 0, "{masks}");
    }
    assert_eq!(client.run("(exit 5) & wait $!")["returncode"], 5, "nor in the job's own shell");
    // Signals arrive in jobs and in the server.
    assert_eq!(client.run("kill -INT $$; echo alive")["signal"], "SIGINT");
    processes::signal(client.pid(), Signal::TERM);
    let end = client.end();
    assert!(end.status.success(), "{end:?}");
    client.assert_nothing_left();
}

#[test]
fn invariant_08_inherited_descriptors_reach_no_job() {
    let client = Setup::new().after("exec 3<&0 4>&1 9>&2").start();
    // The listing itself is open as 3.
    assert_eq!(client.run("ls /proc/self/fd")["output"], "0\n1\n2\n3\n");
    let reply = client.run("readlink /proc/self/fd/0; readlink /proc/self/fd/3 || echo none");
    let output = text(&reply, "output");
    assert!(output.starts_with("/dev/null\n") && output.ends_with("none\n"), "{reply}");
}

#[test]
fn a_low_limit_on_descriptors_is_raised_to_what_the_jobs_need() {
    let client = Setup::new().after("ulimit -Sn 256").start();
    for _ in 0..100 {
        client.begin("sleep 60");
    }
    assert_eq!(client.list()["count"], 100);
    assert!(processes::open_descriptors(client.server_pid()) > 256);
}

#[test]
fn inherited_descriptors_are_not_held() {
    let open = r#"for ((fd = 10; fd < 250; fd++)); do eval "exec $fd</dev/null"; done; exec "$@""#;
    let client =
        Setup::new().after(&format!("ulimit -n 256; set -- bash -c '{open}' bash \"$@\"")).start();
    for _ in 0..20 {
        client.begin("sleep 60");
    }
    assert_eq!(client.list()["count"], 20);
}

/// A server on a terminal, and the other end of that. A piece of shell that leads the session and is in the foreground
/// starts it, as `server` or `exec_server`.
#[track_caller]
fn on_a_terminal(start: &str) -> (Client, OwnedFd) {
    let (master, path) = terminal();
    let streams = "<&8 >&9 8<&- 9>&-";
    let session = format!(
        ": </dev/tty || exit 9; server() {{ \"$@\" {streams}; }}; exec_server() {{ exec \"$@\" {streams}; }}; {start}"
    );
    let client = Setup::new()
        .after(&format!("exec 8<&0 9>&1 0<>{path} && set -- setsid -c sh -c '{session}' sh \"$@\""))
        .start();
    let reply = client.run("echo answered </dev/tty || echo none");
    assert_eq!(reply["output"], "none\n", "{start}: {reply}");
    (client, master)
}

#[test]
fn invariant_08_no_job_has_a_terminal_however_the_server_was_started_on_one() {
    for start in [
        // It leads the session; it is the shell's foreground job, its background job, in the shell's own group.
        "exec_server \"$@\"",
        "set -m; server \"$@\"",
        "set -m; server \"$@\" & wait $!",
        "server \"$@\"; exit $?",
    ] {
        let (client, _master) = on_a_terminal(start);
        let end = client.hang_up();
        assert!(end.status.success(), "{start}: {end:?}");
        client.assert_nothing_left();
    }
}

/// It is meant for the client, which ends its servers itself if it ends.
#[test]
fn an_interrupt_typed_at_the_clients_terminal_reaches_neither_server_nor_jobs() {
    if is_ignored(Signal::INT) {
        // A shell that is born with it ignored, as behind `&`, cannot set a trap for it.
        return;
    }
    let scratch = tempfile::TempDir::new().unwrap();
    let trace = scratch.path().join("trace");
    let trap = format!("trap \"echo interrupted > {}\" INT", trace.display());
    let (client, master) = on_a_terminal(&format!("{trap}; server \"$@\"; exit $?"));
    let id =
        client.begin("trap 'echo interrupted; exit' INT; echo ready; while :; do sleep 0.05; done");
    client.wait_for(&id, "ready");
    rustix::io::write(&master, b"\x03").unwrap();
    assert_eq!(client.run("sleep 0.3; echo alive")["output"], "alive\n");
    assert_eq!(client.get(&id)["output"], "ready\n");
    client.hang_up();
    client.assert_nothing_left();
    assert!(trace.exists(), "the interrupt reached no process");
}
