//! Signals are honoured from the first instant.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;

use crate::support::{Setup, WIRES, eventually, processes};

const SIGNALS: [Signal; 4] = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];

#[test]
fn a_signal_ends_the_server_in_good_order_before_the_first_message_too() {
    for (signal, wire) in SIGNALS.into_iter().zip(WIRES.into_iter().cycle()) {
        for is_greeted in [false, true] {
            let client = Setup::on(wire).spawn();
            eventually("it has started", || {
                if client.log().is_empty() { Err("silence".to_owned()) } else { Ok(()) }
            });
            if is_greeted {
                client.ping();
            }
            processes::signal(client.pid(), signal);
            assert_eq!(client.next(), None);
            client.assert_ends_well();
            assert!(client.log().contains("server ended"), "{signal:?}: {}", client.log());
        }
    }
}

#[test]
fn a_stopped_server_goes_on_to_end() {
    let client = Setup::new().start();
    processes::signal(client.server_pid(), Signal::STOP);
    processes::signal(client.pid(), Signal::TERM);
    assert_eq!(client.next(), None);
    client.assert_ends_well();
}

/// Whether this process was started with the signal ignored; never known where there is no `/proc`.
pub fn is_ignored(signal: Signal) -> bool {
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
        let client = Setup::new().spawn();
        processes::signal(client.pid(), signal);
        assert_eq!(client.next(), None);
        let status = client.end().status;
        // The supervisor itself, or the server that it had passed the signal on to.
        let killed = status.signal() == Some(signal.as_raw())
            || status.code() == Some(128 + signal.as_raw());
        assert!(status.success() || killed, "{signal:?}: {status}");
    }
}
