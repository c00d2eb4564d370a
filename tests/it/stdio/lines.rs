//! Every request that carries an id gets exactly one answer, and no line ends the server.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::support::Gate;
use crate::support::peer::{Peer, WIRES, Wire, call, initialize};
use crate::support::reply::{CLEANUP, EXECUTE, GET, LIST};

/// A line, `=>`, and what answers it: nothing, or the id and then `result`, or the id, the code and the message, which ends
/// in `…` where only its beginning is fixed. DEEP stands for brackets deeper than any parser goes.
const LINES: &str = r#"
hello => null -32700 Parse error: …
{"jsonrpc":"2.0","id":1,"method": => 1 -32700 Parse error: …
{"method":"ping,"id":"a"} => "a" -32700 Parse error: …
{"jsonrpc":"2.0","id":1,"method":"ping"}} => 1 -32700 Parse error: …
{"id":1,"params":{"a":NaN},"jsonrpc":"2.0","method":"ping"} => 1 -32700 Parse error: …
{"id":1,"params":{"a":DEEP},"jsonrpc":"2.0","method":"ping"} => 1 -32700 Parse error: …
{"params":{"a":DEEP},"id":"last","jsonrpc":"2.0","method":"ping"} => "last" -32700 Parse error: …
DEEP => null -32700 Parse error: …
 => nothing
{"id":"\ud800","jsonrpc":"2.0","method":"ping"} => "�" result
{"id":"\udc00 \ud83d\ude00","jsonrpc":"2.0","method":"ping"} => "� 😀" result
5 => null -32600 Invalid request: a message is an object
null => null -32600 Invalid request: a message is an object
"ping" => null -32600 Invalid request: a message is an object
[] => null -32600 Invalid request: a message is an object
[[]] => null -32600 Invalid request: a message is an object
{} => null -32600 Invalid request: jsonrpc must be "2.0"
{"id":1,"method":"ping"} => 1 -32600 Invalid request: jsonrpc must be "2.0"
{"jsonrpc":"1.0","id":1,"method":"ping"} => 1 -32600 Invalid request: jsonrpc must be "2.0"
{"jsonrpc":2.0,"id":1,"method":"ping"} => 1 -32600 Invalid request: jsonrpc must be "2.0"
{"jsonrpc":"2.0","id":1} => 1 -32600 Invalid request: method must be a string
{"jsonrpc":"2.0","id":1,"method":5} => 1 -32600 Invalid request: method must be a string
{"id":1,"params":[],"jsonrpc":"2.0","method":"ping"} => 1 -32600 Invalid request: params must be an object
{"id":1,"params":"x","jsonrpc":"2.0","method":"ping"} => 1 -32600 Invalid request: params must be an object
{"id":1,"result":{},"jsonrpc":"2.0","method":"ping"} => 1 -32600 Invalid request: a request has neither result nor error
{"id":null,"jsonrpc":"2.0","method":"ping"} => null -32600 Invalid request: id must be a string or a 64-bit integer
{"id":true,"jsonrpc":"2.0","method":"ping"} => null -32600 Invalid request: id must be a string or a 64-bit integer
{"id":{"id":1},"jsonrpc":"2.0","method":"ping"} => null -32600 Invalid request: id must be a string or a 64-bit integer
{"id":1.5,"jsonrpc":"2.0","method":"ping"} => 1.5 -32600 Invalid request: id must be a string or a 64-bit integer
{"id":18446744073709551615,"jsonrpc":"2.0","method":"ping"} => 18446744073709551615 -32600 Invalid request: id must be a string or a 64-bit integer
{"id":0,"jsonrpc":"2.0","method":"ping"} => 0 result
{"id":-5,"jsonrpc":"2.0","method":"ping"} => -5 result
{"id":9223372036854775807,"jsonrpc":"2.0","method":"ping"} => 9223372036854775807 result
{"id":"","jsonrpc":"2.0","method":"ping"} => "" result
{"id":"1","jsonrpc":"2.0","method":"ping"} => "1" result
{"jsonrpc":"2.0","id":1,"method":"tools/fetch","params":{}} => 1 -32601 tools/fetch
{"jsonrpc":"2.0","id":1,"method":""} => 1 -32601 …
{"jsonrpc":"2.0","id":1,"method":"notifications/initialized"} => 1 -32601 notifications/initialized
{"jsonrpc":"2.0","id":1,"method":"tools/list","params":null} => 1 result
{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"nonsense"}} => 1 result
{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":5}} => 1 -32602 Invalid params for initialize: …
{"jsonrpc":"2.0","id":1,"method":"tools/call"} => 1 -32602 Invalid params for tools/call: …
{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}} => 1 -32602 Invalid params for tools/call: …
{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":5}} => 1 -32602 Invalid params for tools/call: …
{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"LIST","arguments":"x"}} => 1 -32602 Invalid params for tools/call: …
{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"LIST","arguments":[]}} => 1 -32602 Invalid params for tools/call: …
{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"LIST","_meta":5}} => 1 -32602 Invalid params for tools/call: …
{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nothing"}} => 1 -32602 there is no tool…
{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"LIST"}} => 1 result
{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"LIST","arguments":null}} => 1 result
{"jsonrpc":"2.0","method":"tools/call","params":{"name":"nothing"}} => nothing
{"jsonrpc":"2.0","method":"notifications/unknown"} => nothing
{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":{}}} => nothing
{"jsonrpc":"2.0","method":"notifications/cancelled"} => nothing
{"jsonrpc":"2.0","method":"notifications/cancelled","params":5} => nothing
{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99999}} => nothing
{"jsonrpc":"2.0","id":1,"result":{}} => nothing
{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}} => nothing
{"id":true,"result":5} => nothing
"#;

/// Bytes that are no UTF-8 are replaced where they stand in a string, and refused elsewhere.
const BYTES: [(&[u8], &str); 5] = [
    (b"\xff\xfe{}", "null -32700 Parse error: …"),
    (b"\0\0\0", "null -32700 Parse error: …"),
    (b" \t \r", "nothing"),
    (b"{\"id\":\"caf\xe9\",\"jsonrpc\":\"2.0\",\"method\":\"ping\"}", "\"caf\u{fffd}\" result"),
    (b"\xef\xbb\xbf{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"ping\"}\r", "1 result"),
];

/// Sends a line and checks its one answer, member by member; then the server still answers.
#[track_caller]
fn check(peer: &mut Peer, line: &[u8], expected: &str) {
    let shown = String::from_utf8_lossy(&line[..line.len().min(120)]).into_owned();
    peer.write(&[line, b"\n"].concat());
    if expected != "nothing" {
        let answer = peer.expect();
        let (id, rest) = match expected.strip_suffix(" result") {
            Some(id) => (id, None),
            None => {
                let (id, rest) = expected.split_once(" -").unwrap();
                (id, rest.split_once(' '))
            }
        };
        let id: Value = serde_json::from_str(id).unwrap();
        let whole = match rest {
            None => json!({"jsonrpc": "2.0", "id": id, "result": answer["result"].as_object()}),
            Some((code, message)) => {
                let said = answer["error"]["message"].as_str().unwrap_or_default();
                let as_expected = match message.strip_suffix('…') {
                    Some(beginning) => said.starts_with(beginning),
                    None => said == message,
                };
                assert!(as_expected, "{shown}: {answer}");
                let code = -code.parse::<i64>().unwrap();
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": said}})
            }
        };
        assert_eq!(answer, whole, "{shown}");
    }
    peer.ping(shown);
}

#[test]
fn invariant_09_every_line_is_answered_as_json_rpc_says() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    for wire in WIRES {
        let mut peer = Peer::on(wire);
        for row in LINES.lines().skip(1) {
            let (line, expected) = row.split_once(" => ").unwrap();
            let line = line.replace("DEEP", &deep).replace("LIST", LIST);
            check(&mut peer, line.as_bytes(), expected);
        }
        for (line, expected) in BYTES {
            check(&mut peer, line, expected);
        }
        peer.finish();
    }
}

#[test]
fn bytes_and_surrogates_that_are_no_text_reach_the_tool_replaced() {
    let mut peer = Peer::on(Wire::Fifo);
    let line = call(1, EXECUTE, &json!({"cmd": "cat", "stdin": "HERE", "wait_seconds": 30}));
    let line = line.to_string();
    let (before, after) = line.split_once("HERE").unwrap();
    let text = b"caf\xe9 \\ud800x \\ud83d\\ude00";
    peer.write(&[before.as_bytes(), text, after.as_bytes(), b"\n"].concat());
    let reply = peer.reply(1);
    assert_eq!(reply["result"]["output"], "caf\u{fffd} \u{fffd}x \u{1f600}", "{reply}");
    peer.finish();
}

/// Which of the two is answered is not fixed; that no id is answered twice is.
#[test]
fn invariant_09_two_open_requests_with_one_id_get_one_answer() {
    let mut peer = Peer::on(Wire::Fifo);
    let gate = Gate::new();
    let job = peer.begin(&gate.wait());
    peer.call(1, GET, &json!({"ref_id": job, "wait_seconds": 40}));
    peer.call(1, LIST, &json!({}));
    assert_eq!(peer.reply(1)["count"], 1);
    peer.call("1", LIST, &json!({}));
    assert_eq!(peer.reply("1")["count"], 1, "a string is another id");
    gate.open();
    peer.call(2, GET, &json!({"ref_id": job, "wait_seconds": 40}));
    assert_eq!(peer.reply(2)["state"], "exited");
    peer.finish();
}

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
    peer.send(&json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        5,
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        [],
        call(2, LIST, &json!({})),
        {"jsonrpc": "2.0", "id": 3, "method": "none"},
    ]));
    let answers = (0..5).map(|_| peer.expect());
    let answers = answers.map(|answer| format!("{} {}", answer["id"], answer["error"]["code"]));
    let mut answers: Vec<_> = answers.collect();
    answers.sort();
    assert_eq!(answers, ["1 null", "2 null", "3 -32601", "null -32600", "null -32600"]);
    peer.ping(4);
    peer.finish();
}

#[test]
fn lines_beyond_sixteen_mebibytes_are_refused_by_id() {
    const MIB: usize = 1 << 20;
    let mut peer = Peer::on(Wire::Fifo);
    let send = |peer: &Peer, head: &str, mebibytes: usize, tail: &str| {
        peer.write(head.as_bytes());
        (0..mebibytes).for_each(|_| peer.write(&vec![b'x'; MIB]));
        peer.write(tail.as_bytes());
    };
    let refusal = |id: Value| {
        let message = format!(
            "Invalid request: longer than {} bytes; pass the path of a file instead of its text",
            16 * MIB
        );
        json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32600, "message": message}})
    };
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":""#;
    send(&peer, ping, 17, "\"}}\n");
    assert_eq!(peer.expect(), refusal(json!(1)));
    send(&peer, "", 40, "\n");
    assert_eq!(peer.expect(), refusal(json!(null)));
    peer.ping(3);
    #[cfg(target_os = "linux")]
    {
        let peak = crate::support::processes::status_number(peer.server_pid(), "VmHWM");
        assert!(peak < 64 << 10, "the server took {peak} kB");
    }
    // One that fits is served: this one is refused for its content, by a tool.
    let command = call(4, EXECUTE, &json!({"cmd": "HERE"})).to_string();
    let (before, after) = command.split_once("HERE").unwrap();
    send(&peer, before, 15, &format!("{after}\n"));
    assert_eq!(peer.reply(4)["success"], false);
    // One at the end of input that lacks its newline is refused as well.
    send(&peer, r#"{"id":5,"text":""#, 17, "");
    peer.close_input();
    assert_eq!(peer.expect(), refusal(json!(5)));
    peer.finish();
}

#[test]
fn invariant_09_ten_thousand_calls_at_once_get_each_its_own_answer() {
    // Fewer on the second, but more than its buffers hold: the server is built for tests here, and slow.
    for (wire, count) in [(Wire::Fifo, 10_000), (Wire::Socket, 2_000)] {
        let mut peer = Peer::on(wire);
        let reply = |peer: &mut Peer, job: usize| {
            let cmd = format!("echo output of {job}");
            peer.call(job, EXECUTE, &json!({"cmd": cmd, "wait_seconds": 30}));
            peer.reply(job)["ref_id"].as_str().unwrap().to_owned()
        };
        let jobs: Vec<String> = (0..20).map(|job| reply(&mut peer, job)).collect();
        // Some read files, on another thread, and are overtaken; the others are told what they have sent.
        let reads = |id: usize| id.is_multiple_of(50).then_some(id / 50 % jobs.len());
        let calls = (0..count).map(|id| {
            let call = match reads(id) {
                Some(job) => call(id, GET, &json!({"ref_id": jobs[job]})),
                None => call(id, CLEANUP, &json!({"ref_id": format!("call {id}")})),
            };
            format!("{call}\n")
        });
        peer.write(calls.collect::<String>().as_bytes());
        let mut answers = HashMap::new();
        for _ in 0..count {
            let answer = peer.expect();
            let id = answer["id"].as_u64().unwrap() as usize;
            let reply = &answer["result"]["structuredContent"];
            match reads(id) {
                Some(job) => assert_eq!(reply["output"], format!("output of {job}\n"), "{answer}"),
                None => assert_eq!(reply["ref_id"], format!("call {id}"), "{answer}"),
            }
            assert!(answers.insert(id, ()).is_none(), "two answers to {id}");
        }
        peer.finish();
    }
}
