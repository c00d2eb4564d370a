//! Pids are given again as soon as they are free: nobody else may be hit.

use serde_json::{Value, json};

use super::{can, skipped};
use crate::support::{CLEANUP, Client, Setup, eventually, ref_id, text};

/// How many pids there are. The kernel gives those below 300 once and never again; the rest have to be enough for everybody,
/// or jobs could not start what they are to leave.
const PIDS: usize = 800;

/// Starts processes that lead groups of their own, each in the place of the one before it, through the whole space of
/// pids again and again. Writes the pids that it had, and those that somebody else has ended.
const BYSTANDERS: &str = r#"
use strict;
my ($had, $hit, $stop) = @ARGV;
open my $H, ">>", $had; open my $K, ">>", $hit;
$_->autoflush(1) for $H, $K;
my @queue;
until (-e $stop) {
    my $pid = fork;
    next unless defined $pid;
    if (!$pid) { $SIG{TERM} = $SIG{CONT} = "DEFAULT"; sleep 1000; exit }
    setpgrp $pid, $pid;
    print $H "$pid\n";
    push @queue, $pid;
    if (@queue > 200) {
        my $oldest = shift @queue;
        print $K "$oldest\n" if waitpid($oldest, 1) != 0;
        kill "USR1", $oldest; waitpid $oldest, 0;
    }
}
for (@queue) { print $K "$_\n" if waitpid($_, 1) != 0; kill "KILL", $_ }
open my $D, ">", "$stop.done";
"#;

/// A kernel in which the space of pids can be made small for a namespace alone.
fn small_spaces_are_possible() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).filter_map(|number| number.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < (6, 14) {
        skipped("recycled pids", "before Linux 6.14 a small pid space is the whole machine's");
        return false;
    }
    let shrink = format!("echo {PIDS} > /proc/sys/kernel/pid_max");
    let unshare = ["--pid", "--fork", "--mount-proc", "sh", "-c", &shrink];
    can("recycled pids", "perl", &["-e", "1"]) && can("recycled pids", "unshare", &unshare)
}

#[test]
fn invariant_05_nobody_is_hit_who_has_got_a_jobs_pid() {
    if !small_spaces_are_possible() {
        return;
    }
    let scratch = tempfile::TempDir::new().unwrap();
    let file = |name: &str| scratch.path().join(name);
    std::fs::write(file("bystanders"), BYSTANDERS).unwrap();
    let init = format!(
        "echo {PIDS} > /proc/sys/kernel/pid_max; perl -MIO::Handle {0}/bystanders {0}/had {0}/hit {0}/stop > /dev/null 2> {0}/errors & \"$@\"; exit $?",
        scratch.path().display()
    );
    std::fs::write(file("init"), init).unwrap();
    let client = Setup::new()
        .after(&format!(
            "set -- unshare --pid --fork --kill-child --mount-proc sh {} \"$@\"",
            file("init").display()
        ))
        .start();
    let read = |name: &str| -> Vec<u64> {
        let text = std::fs::read_to_string(file(name)).unwrap_or_default();
        text.lines().filter_map(|pid| pid.parse().ok()).collect()
    };
    eventually("every pid has been given once", || match read("had").len() {
        some if some < PIDS => Err(format!("{some} were")),
        _ => Ok(()),
    });
    let mut leaders = Vec::new();
    for _ in 0..4 {
        leaders.extend(round(&client));
    }
    // A free pid does come back: those of the jobs did, after they had been released.
    let had = eventually("the pids of the jobs have been used again", || {
        let had = read("had");
        let again = leaders.iter().filter(|pid| had.contains(pid)).count();
        if again * 2 > leaders.len() {
            Ok(had)
        } else {
            Err(format!("{again} of {} in {}", leaders.len(), had.len()))
        }
    });
    std::fs::write(file("stop"), "").unwrap();
    eventually("the bystanders have been counted", || {
        if file("stop.done").exists() { Ok(()) } else { Err(String::new()) }
    });
    let hit = read("hit");
    assert!(
        hit.is_empty(),
        "{hit:?} of {} were ended, the jobs' leaders were {leaders:?}",
        had.len()
    );
}

/// Jobs whose leaders end at once, while others of theirs keep the server busy with their group until KILL.
#[track_caller]
fn round(client: &Client) -> Vec<u64> {
    let cmd = "(setsid sh -c 'trap \"\" TERM; echo ready; sleep 1000' &); sleep 1000";
    let started = [(); 8].map(|()| client.execute(&json!({"cmd": cmd})));
    for job in &started {
        client.wait_for(&ref_id(job), "ready");
    }
    // Pids are given in turn: at different times different ones are somebody's.
    let graces = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1];
    let end = |(job, grace): (&Value, f64)| {
        client.post(CLEANUP, &json!({"ref_id": text(job, "ref_id"), "grace_seconds": grace}))
    };
    let cleanups: Vec<_> = started.iter().zip(graces).map(end).collect();
    for cleanup in cleanups {
        client.reply(cleanup);
    }
    started.iter().map(|job| job["pid"].as_u64().unwrap()).collect()
}
