//! Where a message begins and ends: in pieces, without a newline, beyond all length, in batches.

use serde_json::{Value, json};

use super::peer::{Peer, WIRES, Wire, call, initialize};
use crate::support::reply::{EXECUTE, LIST};

#[test]
fn a_client_that_writes_byte_by_byte_is_served() {
    for wire in WIRES {
        let mut peer = Peer::on(wire);
        for byte in format!("{}\n", initialize("ü", "2025-06-18")).bytes() {
            peer.write(&[byte]);
        }
        assert_eq!(peer.result("ü")["protocolVersion"], "2025-06-18");
        peer.finish();
    }
}

#[test]
fn a_last_line_without_its_newline_is_served() {
    for wire in WIRES {
        let mut peer = Peer::on(wire);
        peer.write(call(1, LIST, &json!({})).to_string().as_bytes());
        peer.close_input();
        assert_eq!(peer.reply(1)["success"], true);
        peer.finish();
    }
}

#[test]
fn the_elements_of_a_batch_are_answered_one_by_one() {
    let mut peer = Peer::on(Wire::Socket);
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        5,
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        [],
        call(2, LIST, &json!({})),
        {"jsonrpc": "2.0", "id": 3, "method": "none"},
    ]);
    peer.send(&batch);
    let mut answers: Vec<_> = (0..5)
        .map(|_| {
            let answer = peer.expect();
            format!("{} {}", answer["id"], answer["error"]["code"])
        })
        .collect();
    answers.sort();
    let expected = ["1 null", "2 null", "3 -32601", "null -32600", "null -32600"];
    assert_eq!(answers, expected);
    peer.ping(4);
    peer.finish();
}

#[test]
fn lines_beyond_sixteen_mebibytes_are_refused_by_id() {
    const MIB: usize = 1 << 20;
    let mut peer = Peer::on(Wire::Fifo);
    let filler = vec![b'x'; MIB];
    let send = |peer: &Peer, head: &str, mebibytes: usize, tail: &str| {
        peer.write(head.as_bytes());
        (0..mebibytes).for_each(|_| peer.write(&filler));
        peer.write(tail.as_bytes());
    };
    let refusal = |id: Value| {
        let message = format!(
            "Invalid request: longer than {} bytes; pass the path of a file instead of its text",
            16 * MIB
        );
        json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32600, "message": message}})
    };
    send(
        &peer,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":""#,
        17,
        "\"}}\n",
    );
    assert_eq!(peer.expect(), refusal(json!(1)));
    send(
        &peer,
        r#"{"jsonrpc":"2.0","method":"ping","params":{"a":""#,
        17,
        "\"},\"id\":\"two\"}\n",
    );
    assert_eq!(peer.expect(), refusal(json!("two")));
    send(&peer, "", 40, "\n");
    assert_eq!(peer.expect(), refusal(json!(null)));
    peer.ping(3);
    #[cfg(target_os = "linux")]
    {
        let peak = crate::support::processes::status_number(peer.server_pid(), "VmHWM");
        assert!(peak < 64 << 10, "the server took {peak} kB");
    }
    // One that fits is served: this one is refused for its content, by a tool.
    send(
        &peer,
        &format!(
            r#"{{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{{"name":"{EXECUTE}","arguments":{{"cmd":""#
        ),
        15,
        "\"}}}\n",
    );
    assert_eq!(peer.reply(4)["success"], false);
    // One at the end of input that lacks its newline is refused as well.
    send(&peer, r#"{"id":5,"text":""#, 17, "");
    peer.close_input();
    assert_eq!(peer.expect(), refusal(json!(5)));
    peer.finish();
}
