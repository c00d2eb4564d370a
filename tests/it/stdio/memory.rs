//! A client that does not read costs the memory of its calls, not of their replies.

use serde_json::{Value, json};

use super::peer::{Peer, WIRES, Wire};
use crate::support::processes::status_number;
use crate::support::reply::{EXECUTE, GET};

/// Ends a job whose output takes a whole reply, and returns its ref_id.
fn job_with_much_output(peer: &mut Peer) -> Value {
    let cmd = "head -c 100000 /dev/zero | tr '\\0' x";
    peer.call(0, EXECUTE, &json!({"cmd": cmd, "wait_seconds": 30}));
    peer.reply(0)["ref_id"].take()
}

fn ask_for_all(peer: &Peer, ref_id: &Value, calls: std::ops::Range<u32>) {
    for id in calls {
        peer.call(id, GET, &json!({"ref_id": ref_id, "max_chars": 100_000}));
    }
}

#[test]
fn a_thousand_large_replies_that_nobody_reads_take_little_memory() {
    const CALLS: u32 = 1000;
    const READ: usize = 40;
    for wire in WIRES {
        let mut peer = Peer::on(wire);
        let ref_id = job_with_much_output(&mut peer);
        ask_for_all(&peer, &ref_id, 1..CALLS + 1);
        // What is read makes the server build as many more: it has long had the time to build too much.
        for _ in 0..READ {
            let line = peer.next_line().unwrap();
            assert!(line.len() > 200_000, "{}", String::from_utf8_lossy(&line));
        }
        let peak = status_number(peer.pid(), "VmHWM");
        assert!(peak < 32 << 10, "the server took {peak} kB");
        peer.close_output();
        peer.ends_well();
    }
}

#[test]
fn cancelled_calls_give_their_places_back() {
    let mut peer = Peer::on(Wire::Socket);
    let ref_id = job_with_much_output(&mut peer);
    ask_for_all(&peer, &ref_id, 1..41);
    for id in 1..41 {
        peer.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}));
    }
    peer.call(100, GET, &json!({"ref_id": ref_id, "max_chars": 10}));
    while peer.expect()["id"] != 100 {}
    peer.ping(101);
    peer.finish();
}
