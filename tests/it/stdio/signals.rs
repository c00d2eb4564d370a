//! Signals are honoured from the first instant.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::process::Signal;
use serde_json::json;

use crate::support::Gate;
use crate::support::peer::{Peer, WIRES, Wire, assert_takes_less, await_ready};
use crate::support::reply::{GET, LIST};

const SIGNALS: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

#[test]
fn a_signal_ends_the_server_in_good_order_before_the_first_message_too() {
    for (signal, wire) in SIGNALS.into_iter().zip(WIRES.into_iter().cycle()) {
        for greeted in [false, true] {
            let mut peer = Peer::with(wire, |command| {
                command.stderr(Stdio::piped());
            });
            let mut log = peer.take_log();
            await_ready(&log, PollFlags::IN);
            if greeted {
                peer.ping(1);
            }
            peer.signal(signal);
            assert_eq!(peer.next(), None);
            peer.ends_well();
            let mut told = String::new();
            log.read_to_string(&mut told).unwrap();
            assert!(told.contains("server started"), "{told}");
            assert!(told.contains("closing on a signal"), "{told}");
            assert!(told.contains("server ended"), "{told}");
        }
    }
}

/// Whether this process was started with the signal ignored; never known where there is no `/proc`.
pub(super) fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default();
    ignored & (1 << (signal.as_raw() - 1)) != 0
}

/// Before there are handlers a signal has its default effect: there is no job yet, and nothing to put in order.
#[test]
fn a_signal_at_the_very_start_is_not_lost() {
    // What this very process ignores, as under nohup, its children ignore until they have said otherwise.
    for signal in SIGNALS.into_iter().filter(|signal| !is_ignored(*signal)) {
        let mut peer = Peer::on(Wire::Fifo);
        peer.signal(signal);
        assert_eq!(peer.next(), None);
        let status = peer.wait();
        // The supervisor itself, or the server that it had passed the signal on to.
        let killed = status.signal() == Some(signal.as_raw())
            || status.code() == Some(128 + signal.as_raw());
        assert!(status.success() || killed, "{signal:?}: {status}");
    }
}

#[test]
fn calls_under_way_are_answered_within_200_ms_of_a_signal() {
    for wire in WIRES {
        assert_takes_less(Duration::from_millis(200), || {
            let mut peer = Peer::on(wire);
            let gate = Gate::new();
            let job = peer.begin(&gate.wait());
            peer.call(1, GET, &json!({"ref_id": job, "wait_seconds": 40}));
            peer.call(2, GET, &json!({"ref_id": job, "wait_seconds": 40, "until_pattern": "x"}));
            peer.call(3, LIST, &json!({"wait_seconds": 40}));
            peer.ping(4);
            let sent = Instant::now();
            peer.signal(Signal::TERM);
            let answers = [peer.expect(), peer.expect(), peer.expect()];
            let took = sent.elapsed();
            let mut ids: Vec<_> = answers.iter().map(|answer| answer["id"].as_u64()).collect();
            ids.sort_unstable();
            assert_eq!(ids, [Some(1), Some(2), Some(3)], "{answers:?}");
            assert_eq!(peer.next(), None);
            peer.ends_well();
            took
        });
    }
}
