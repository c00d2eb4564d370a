//! How lines arrive and how a conversation is closed, on FIFOs and on socket pairs.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::peer::{Peer, WIRES, Wire, assert_takes_less, call, sockets};
use crate::support::reply::{EXECUTE, GET, LIST};
use crate::support::{Gate, processes};

#[test]
fn invariant_09_calls_before_the_end_of_input_are_answered() {
    for wire in WIRES {
        let mut peer = Peer::on(wire);
        let calls: String =
            (0..200).map(|id| format!("{}\n", call(id, LIST, &json!({})))).collect();
        peer.write(calls.as_bytes());
        peer.close_input();
        let mut ids: Vec<_> = (0..200).map(|_| peer.expect()["id"].as_u64()).collect();
        ids.sort_unstable();
        assert!(ids.iter().copied().eq((0..200).map(Some)), "{ids:?}");
        peer.finish();
    }
}

#[test]
fn an_idle_server_notices_that_nobody_reads_its_output() {
    for wire in WIRES {
        let mut peer = Peer::on(wire);
        peer.ping(1);
        peer.close_output();
        peer.ends_well();
    }
}

#[test]
fn closed_output_ends_the_server_and_its_jobs_while_calls_wait() {
    for wire in WIRES {
        let mut peer = Peer::on(wire);
        let gate = Gate::new();
        peer.call(1, EXECUTE, &json!({"cmd": gate.wait()}));
        let started = peer.reply(1);
        peer.call(2, GET, &json!({"ref_id": started["ref_id"], "wait_seconds": 40}));
        peer.close_output();
        peer.ends_well();
        let pid = started["pid"].as_u64().unwrap();
        processes::assert_gone(&[u32::try_from(pid).unwrap()]);
    }
}

#[test]
fn closed_output_ends_the_server_in_the_midst_of_its_answers() {
    for wire in WIRES {
        let mut peer = Peer::on(wire);
        let list = json!({"jsonrpc": "2.0", "id": "", "method": "tools/list"});
        for id in 0..100 {
            let mut list = list.clone();
            list["id"] = json!(id);
            peer.send(&list);
        }
        peer.await_output();
        peer.close_output();
        peer.ends_well();
    }
}

#[test]
fn closed_input_is_answered_with_the_present_state_within_200_ms() {
    for wire in WIRES {
        assert_takes_less(Duration::from_millis(200), || {
            let mut peer = Peer::on(wire);
            let gate = Gate::new();
            let job = peer.begin(&gate.wait());
            peer.call(1, GET, &json!({"ref_id": job, "wait_seconds": 40}));
            peer.call(2, LIST, &json!({"wait_seconds": 40}));
            peer.ping(3);
            let closed = Instant::now();
            peer.close_input();
            let answers: [Value; 2] = [peer.expect(), peer.expect()];
            let took = closed.elapsed();
            for answer in answers {
                let reply = &answer["result"]["structuredContent"];
                let state = match answer["id"].as_u64() {
                    Some(1) => &reply["state"],
                    _ => &reply["processes"][0]["state"],
                };
                assert_eq!(state, "running", "{answer}");
            }
            peer.finish();
            took
        });
    }
}

#[test]
fn a_client_that_reads_nothing_does_not_hold_up_the_end() {
    for wire in WIRES {
        // The hard deadline; see `run.rs` for its parts.
        assert_takes_less(Duration::from_millis(1500), || {
            let mut peer = Peer::on(wire);
            let gate = Gate::new();
            peer.begin(&gate.wait());
            peer.begin(&format!("trap '' TERM; {}", gate.wait()));
            for id in 0..100 {
                peer.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"}));
            }
            peer.await_output();
            let closed = Instant::now();
            peer.close_input();
            peer.ends_well();
            closed.elapsed()
        });
    }
}

/// Both directions on one socket, as inetd and its heirs do it; the client ends its half and goes on reading.
#[test]
fn one_socket_for_both_directions_may_be_half_closed() {
    let (ours, theirs) = sockets();
    let input = (ours.try_clone().unwrap(), theirs.try_clone().unwrap());
    let half = ours.try_clone().unwrap();
    let mut peer = Peer::over(input, (ours, theirs), |_| {});
    peer.ping(1);
    let gate = Gate::new();
    let job = peer.begin(&gate.wait());
    peer.call(2, GET, &json!({"ref_id": job, "wait_seconds": 40}));
    rustix::net::shutdown(&half, rustix::net::Shutdown::Write).unwrap();
    assert_eq!(peer.reply(2)["state"], "running");
    drop(half);
    peer.finish();
}

#[test]
fn flags_of_shared_descriptions_stay_as_they_were() {
    for wire in WIRES {
        let (input, output, log) = (wire.input(), wire.output(), wire.output());
        let ends = [&input.0, &input.1, &output.0, &output.1, &log.0, &log.1];
        // A duplicate shares its description, as the client's own copy does with the server's.
        let ends = ends.map(|end| end.try_clone().unwrap());
        let flags = || ends.each_ref().map(|end| fcntl_getfl(end.as_fd()).unwrap());
        let before = flags();
        assert!(!before.iter().any(|flags| flags.contains(OFlags::NONBLOCK)));
        let mut peer = Peer::over(input, output, |command| {
            command.stderr(log.1);
        });
        peer.ping(1);
        assert_eq!(flags(), before, "after a ping on {wire:?}");
        assert_eq!(peer.run("echo hello"), "hello\n");
        assert_eq!(flags(), before, "after a job on {wire:?}");
        // Both directions full: the server has to wait for room.
        for id in 0..100 {
            peer.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"}));
        }
        peer.await_output();
        assert_eq!(flags(), before, "with unread answers on {wire:?}");
        for _ in 0..100 {
            peer.expect();
        }
        // Not by closing its input, of which there is a duplicate here.
        peer.signal(Signal::TERM);
        peer.ends_well();
        assert_eq!(flags(), before, "after the end on {wire:?}");
    }
}

#[test]
fn a_blocking_writer_and_reader_is_served_whichever_wire_each_direction_has() {
    for (input, output) in [(Wire::Fifo, Wire::Socket), (Wire::Socket, Wire::Fifo)] {
        let mut peer = Peer::over(input.input(), output.output(), |_| {});
        peer.ping(1);
        assert_eq!(peer.run("echo hello"), "hello\n");
        peer.finish();
    }
}
