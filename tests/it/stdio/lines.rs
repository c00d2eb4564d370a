//! Every request that carries an id gets exactly one answer, and no line ends the server.

use serde_json::{Value, json};

use crate::support::{
    CLEANUP, Client, EXECUTE, GET, Gate, LIST, Setup, WIRES, Wire, call, initialize, ref_id, text,
};

/// A line, `=>`, and what answers it: nothing, or the id and then `result`, or the id, the code and the message, which ends
/// in `…` where only its beginning is fixed. DEEP stands for brackets deeper than any parser goes.
const LINES: &str = r#"
hello => null -32700 Parse error: …
{"jsonrpc":"2.0","id":1,"method": => 1 -32700 Parse error: …
{"method":"ping,"id":"a"} => "a" -32700 Parse error: …
{"jsonrpc":"2.0","id":1,"method":"ping"}} => 1 -32700 Parse error: …
{"id":1,"params":{"a":DEEP},"jsonrpc":"2.0","method":"ping"} => 1 -32700 Parse error: …
{"params":{"a":DEEP},"id":"last","jsonrpc":"2.0","method":"ping"} => "last" -32700 Parse error: …
DEEP => null -32700 Parse error: …
 => nothing
{"id":"\ud800","jsonrpc":"2.0","method":"ping"} => "�" result
{"id":"\udc00 \ud83d\ude00","jsonrpc":"2.0","method":"ping"} => "� 😀" result
5 => null -32600 Invalid request: a message is an object
[] => null -32600 Invalid request: a message is an object
{} => null -32600 Invalid request: jsonrpc must be "2.0"
{"jsonrpc":"1.0","id":1,"method":"ping"} => 1 -32600 Invalid request: jsonrpc must be "2.0"
{"jsonrpc":"2.0","id":1} => 1 -32600 Invalid request: method must be a string
{"jsonrpc":"2.0","id":1,"method":5} => 1 -32600 Invalid request: method must be a string
{"id":1,"params":[],"jsonrpc":"2.0","method":"ping"} => 1 -32600 Invalid request: params must be an object
{"id":1,"result":{},"jsonrpc":"2.0","method":"ping"} => 1 -32600 Invalid request: a request has neither result nor error
{"id":null,"jsonrpc":"2.0","method":"ping"} => null -32600 Invalid request: id must be a string or a 64-bit integer
{"id":{"id":1},"jsonrpc":"2.0","method":"ping"} => null -32600 Invalid request: id must be a string or a 64-bit integer
{"id":1.5,"jsonrpc":"2.0","method":"ping"} => 1.5 -32600 Invalid request: id must be a string or a 64-bit integer
{"id":18446744073709551615,"jsonrpc":"2.0","method":"ping"} => 18446744073709551615 -32600 Invalid request: id must be a string or a 64-bit integer
{"id":-5,"jsonrpc":"2.0","method":"ping"} => -5 result
{"id":9223372036854775807,"jsonrpc":"2.0","method":"ping"} => 9223372036854775807 result
{"id":"","jsonrpc":"2.0","method":"ping"} => "" result
{"jsonrpc":"2.0","id":1,"method":"tools/fetch","params":{}} => 1 -32601 tools/fetch
{"jsonrpc":"2.0","id":1,"method":"notifications/initialized"} => 1 -32601 notifications/initialized
{"jsonrpc":"2.0","id":1,"method":"tools/list","params":null} => 1 result
{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"nonsense"}} => 1 result
{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":5}} => 1 -32602 Invalid params for initialize: …
{"jsonrpc":"2.0","id":1,"method":"tools/call"} => 1 -32602 Invalid params for tools/call: …
{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":5}} => 1 -32602 Invalid params for tools/call: …
{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"LIST","arguments":[]}} => 1 -32602 Invalid params for tools/call: …
{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"LIST","_meta":5}} => 1 -32602 Invalid params for tools/call: …
{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nothing"}} => 1 -32602 tool not found
{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"LIST"}} => 1 result
{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"LIST","arguments":null}} => 1 result
{"jsonrpc":"2.0","method":"tools/call","params":{"name":"nothing"}} => nothing
{"jsonrpc":"2.0","method":"notifications/unknown"} => nothing
{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":{}}} => nothing
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
fn check(client: &Client, line: &[u8], expected: &str) {
    let shown = String::from_utf8_lossy(&line[..line.len().min(120)]);
    client.write(&[line, b"\n"].concat());
    if expected != "nothing" {
        let answer = client.expect();
        let whole = if let Some(id) = expected.strip_suffix(" result") {
            let id: Value = serde_json::from_str(id).unwrap();
            json!({"jsonrpc": "2.0", "id": id, "result": answer["result"].as_object()})
        } else {
            let (id, rest) = expected.split_once(" -").unwrap();
            let (code, message) = rest.split_once(' ').unwrap();
            let said = answer["error"]["message"].as_str().unwrap_or_default();
            let as_expected = match message.strip_suffix('…') {
                Some(beginning) => said.starts_with(beginning),
                None => said == message,
            };
            assert!(as_expected, "{shown}: {answer}");
            let (id, code): (Value, i64) =
                (serde_json::from_str(id).unwrap(), code.parse().unwrap());
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": -code, "message": said}})
        };
        assert_eq!(answer, whole, "{shown}");
    }
    client.ping();
}

#[test]
fn invariant_09_every_line_is_answered_as_json_rpc_says() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    let client = Setup::on(Wire::Socket).spawn();
    for row in LINES.lines().skip(1) {
        let (line, expected) = row.split_once(" => ").unwrap();
        let line = line.replace("DEEP", &deep).replace("LIST", LIST);
        check(&client, line.as_bytes(), expected);
    }
    for (line, expected) in BYTES {
        check(&client, line, expected);
    }
    client.finish();
}

#[test]
fn bytes_and_surrogates_that_are_no_text_reach_the_tool_replaced() {
    let client = Client::start();
    let line = call("x", EXECUTE, &json!({"cmd": "cat", "stdin": "HERE", "wait_seconds": 30}));
    let line = line.to_string();
    let (before, after) = line.split_once("HERE").unwrap();
    let text = b"caf\xe9 \\ud800x \\ud83d\\ude00";
    client.write(&[before.as_bytes(), text, after.as_bytes(), b"\n"].concat());
    let reply = &client.answer("x")["result"]["structuredContent"];
    assert_eq!(reply["result"]["output"], "caf\u{fffd} \u{fffd}x \u{1f600}", "{reply}");
}

/// Which of the two is answered is not fixed; that no id is answered twice is.
#[test]
fn invariant_09_two_open_requests_with_one_id_get_one_answer() {
    let client = Client::start();
    let gate = Gate::new();
    let job = client.begin(&gate.wait());
    client.send(&call(100, GET, &json!({"ref_id": job, "wait_seconds": 40})));
    for id in [json!(100), json!("100")] {
        client.send(&call(id.clone(), LIST, &json!({})));
        assert_eq!(client.expect()["id"], id, "a string is another id");
    }
    gate.open();
    assert_eq!(client.wait(&job)["state"], "exited");
    client.finish();
}

#[test]
fn a_line_may_come_byte_by_byte_and_the_last_without_its_newline() {
    for wire in WIRES {
        let client = Setup::on(wire).spawn();
        for byte in format!("{}\n", initialize("ü", "2025-06-18")).bytes() {
            client.write(&[byte]);
        }
        assert_eq!(client.answer("ü")["result"]["protocolVersion"], "2025-06-18");
        client.write(call(1, LIST, &json!({})).to_string().as_bytes());
        client.close_input();
        assert_eq!(client.expect()["result"]["structuredContent"]["success"], true);
        client.finish();
    }
}

#[test]
fn the_elements_of_a_batch_are_answered_one_by_one() {
    let client = Client::start();
    client.send(&json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        5,
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        [],
        call(2, LIST, &json!({})),
        {"jsonrpc": "2.0", "id": 3, "method": "none"},
    ]));
    let answers = (0..5).map(|_| client.expect());
    let answers = answers.map(|answer| format!("{} {}", answer["id"], answer["error"]["code"]));
    let mut answers: Vec<_> = answers.collect();
    answers.sort();
    assert_eq!(answers, ["1 null", "2 null", "3 -32601", "null -32600", "null -32600"]);
    client.finish();
}

#[test]
fn lines_beyond_sixteen_mebibytes_are_refused_by_id() {
    const MIB: usize = 1 << 20;
    let client = Client::start();
    let send = |head: &str, mebibytes: usize, tail: &str| {
        client.write(head.as_bytes());
        (0..mebibytes).for_each(|_| client.write(&vec![b'x'; MIB]));
        client.write(tail.as_bytes());
    };
    let assert_refused = |id: Value| {
        let answer = client.expect();
        let message = text(&answer["error"], "message");
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(-32600)), "{answer}");
        assert!(message.contains(&format!("longer than {} bytes", 16 * MIB)), "{answer}");
    };
    send(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":""#, 17, "\"}}\n");
    assert_refused(json!(1));
    send("", 40, "\n");
    assert_refused(json!(null));
    #[cfg(target_os = "linux")]
    {
        let peak = crate::support::processes::status_number(client.server_pid(), "VmHWM");
        assert!(peak < 64 << 10, "the server took {peak} kB");
    }
    // One that fits is served: this one is refused for its content, by a tool.
    let command = call("fits", EXECUTE, &json!({"cmd": "HERE"})).to_string();
    let (before, after) = command.split_once("HERE").unwrap();
    send(before, 15, &format!("{after}\n"));
    assert_eq!(client.answer("fits")["result"]["structuredContent"]["success"], false);
    // One at the end of input that lacks its newline is refused as well.
    send(r#"{"id":5,"text":""#, 17, "");
    client.close_input();
    assert_refused(json!(5));
    client.finish();
}

#[test]
fn invariant_09_thousands_of_calls_at_once_get_each_its_own_answer() {
    // Fewer on the second, but more than its buffers hold: the server is built for tests here, and slow.
    for (wire, count) in [(Wire::Fifo, 10_000), (Wire::Socket, 2_000)] {
        let client = Setup::on(wire).spawn();
        let execute = |n| json!({"cmd": format!("echo output of {n}"), "wait_seconds": 30});
        let jobs: Vec<_> = (0..20).map(|n| ref_id(&client.execute(&execute(n)))).collect();
        // Some read files, on another thread, and are overtaken; the others are told what they have sent.
        let reads = |id: usize| id.is_multiple_of(50).then_some(id / 50 % jobs.len());
        let calls = (0..count).map(|id| {
            let call = match reads(id) {
                Some(job) => call(id, GET, &json!({"ref_id": jobs[job]})),
                None => call(id, CLEANUP, &json!({"ref_id": format!("call {id}")})),
            };
            format!("{call}\n")
        });
        client.write(calls.collect::<String>().as_bytes());
        let mut unanswered: std::collections::HashSet<usize> = (0..count).collect();
        while !unanswered.is_empty() {
            let answer = client.expect();
            let id = answer["id"].as_u64().unwrap() as usize;
            let reply = &answer["result"]["structuredContent"];
            match reads(id) {
                Some(job) => assert_eq!(reply["output"], format!("output of {job}\n"), "{answer}"),
                None => assert_eq!(reply["ref_id"], format!("call {id}"), "{answer}"),
            }
            assert!(unanswered.remove(&id), "two answers to {id}");
        }
        client.finish();
    }
}

#[test]
fn replies_come_as_they_are_ready_and_to_their_own_requests() {
    let client = Client::start();
    let gate = Gate::new();
    let post = |cmd: String| client.post(EXECUTE, &json!({"cmd": cmd, "wait_seconds": 40}));
    let slow = post(format!("{}; echo slow", gate.wait()));
    let quick: Vec<_> = (0..20).map(|n| post(format!("echo {n}"))).collect();
    for (n, posted) in quick.into_iter().enumerate().rev() {
        assert_eq!(client.reply(posted)["result"]["output"], format!("{n}\n"));
    }
    assert!(!client.is_answered(slow.id));
    gate.open();
    assert_eq!(client.reply(slow)["result"]["output"], "slow\n");
    let long = client.begin("seq 1 100000");
    client.wait(&long);
    let large = json!({"ref_id": long, "max_chars": 50_000});
    for posted in [(); 8].map(|()| client.post(GET, &large)) {
        let reply = client.reply(posted);
        assert!(text(&reply, "output").len() > 40_000, "{reply}");
    }
}
