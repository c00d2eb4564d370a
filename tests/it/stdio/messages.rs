//! Every request that carries an id gets exactly one answer, and no line ends the server.

use serde_json::{Value, json};

use super::peer::{Peer, WIRES, Wire};
use crate::support::Gate;
use crate::support::reply::{EXECUTE, GET, LIST};

/// What a line must be answered with.
#[derive(Clone, Debug)]
enum Answer {
    Nothing,
    Result(Value),
    /// The id, the code and the message, or how it begins if it ends in `…`.
    Error(Value, i64, &'static str),
}
use Answer::{Error, Nothing, Result};

const ID: &str = "Invalid request: id must be a string or a 64-bit integer";
const BOTH: &str = "Invalid request: a request has neither result nor error";

fn odd_lines() -> Vec<(Vec<u8>, Answer)> {
    let nested = |open: &str, close: &str| open.repeat(200) + &close.repeat(200);
    let ping = |members: &str| format!(r#"{{{members},"jsonrpc":"2.0","method":"ping"}}"#);
    let called = |params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
    };
    let asked = |id: u8, method: &str, params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
    };
    let unreadable = |id| Error(id, -32700, "Parse error: …");
    let invalid = |id, message| Error(id, -32600, message);
    let misfit = |message| Error(json!(1), -32602, message);
    let mut lines: Vec<(Vec<u8>, Answer)> = vec![
        // Bytes that are no UTF-8 are replaced where they stand in a string, and refused elsewhere.
        (b"\xff\xfe{}".to_vec(), unreadable(json!(null))),
        (b"\0\0\0".to_vec(), unreadable(json!(null))),
        (
            b"{\"id\":\"caf\xe9\",\"jsonrpc\":\"2.0\",\"method\":\"ping\"}".to_vec(),
            Result(json!("caf\u{fffd}")),
        ),
        (
            b"\xef\xbb\xbf{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"ping\"}\r".to_vec(),
            Result(json!(1)),
        ),
    ];
    let texts = [
        // No JSON. The id is recovered where it can be read.
        ("hello".to_owned(), unreadable(json!(null))),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"#.to_owned(),
            unreadable(json!(1)),
        ),
        (
            r#"{"method":"ping,"id":"a"}"#.to_owned(),
            unreadable(json!("a")),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}}"#.to_owned(),
            unreadable(json!(1)),
        ),
        (ping(r#""id":1,"params":{"a":NaN}"#), unreadable(json!(1))),
        (
            ping(&format!(r#""id":1,"params":{{"a":{}}}"#, nested("[", "]"))),
            unreadable(json!(1)),
        ),
        (
            ping(&format!(
                r#""params":{{"a":{}}},"id":"last""#,
                nested(r#"{"a":"#, "}")
            )),
            unreadable(json!("last")),
        ),
        // Nothing at all.
        (String::new(), Nothing),
        (" \t \r".to_owned(), Nothing),
        // What other languages write for text that is none.
        (ping(r#""id":"\ud800""#), Result(json!("\u{fffd}"))),
        (
            ping(r#""id":"\udc00 \ud83d\ude00""#),
            Result(json!("\u{fffd} \u{1f600}")),
        ),
        // JSON, and no request.
        (
            "5".to_owned(),
            invalid(json!(null), "Invalid request: a message is an object"),
        ),
        (
            r#""ping""#.to_owned(),
            invalid(json!(null), "Invalid request: a message is an object"),
        ),
        (
            "[]".to_owned(),
            invalid(json!(null), "Invalid request: a message is an object"),
        ),
        (
            "[[]]".to_owned(),
            invalid(json!(null), "Invalid request: a message is an object"),
        ),
        (
            "{}".to_owned(),
            invalid(json!(null), "Invalid request: jsonrpc must be \"2.0\""),
        ),
        (
            r#"{"id":1,"method":"ping"}"#.to_owned(),
            invalid(json!(1), "Invalid request: jsonrpc must be \"2.0\""),
        ),
        (
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#.to_owned(),
            invalid(json!(1), "Invalid request: jsonrpc must be \"2.0\""),
        ),
        (
            r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#.to_owned(),
            invalid(json!(1), "Invalid request: jsonrpc must be \"2.0\""),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1}"#.to_owned(),
            invalid(json!(1), "Invalid request: method must be a string"),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":5}"#.to_owned(),
            invalid(json!(1), "Invalid request: method must be a string"),
        ),
        (
            ping(r#""id":1,"params":[]"#),
            invalid(json!(1), "Invalid request: params must be an object"),
        ),
        (
            ping(r#""id":1,"params":"x""#),
            invalid(json!(1), "Invalid request: params must be an object"),
        ),
        (ping(r#""id":1,"result":{}"#), invalid(json!(1), BOTH)),
        // Ids that no request may have.
        (ping(r#""id":null"#), invalid(json!(null), ID)),
        (ping(r#""id":true"#), invalid(json!(null), ID)),
        (ping(r#""id":[1]"#), invalid(json!(null), ID)),
        (ping(r#""id":{"id":1}"#), invalid(json!(null), ID)),
        (ping(r#""id":1.5"#), invalid(json!(1.5), ID)),
        (
            ping(r#""id":18446744073709551615"#),
            invalid(json!(u64::MAX), ID),
        ),
        // Ids that are merely unusual.
        (ping(r#""id":0"#), Result(json!(0))),
        (ping(r#""id":-5"#), Result(json!(-5))),
        (ping(r#""id":9223372036854775807"#), Result(json!(i64::MAX))),
        (ping(r#""id":"""#), Result(json!(""))),
        (ping(r#""id":"1""#), Result(json!("1"))),
        // Methods.
        (
            asked(1, "tools/fetch", "{}"),
            Error(json!(1), -32601, "tools/fetch"),
        ),
        (asked(1, "", "{}"), Error(json!(1), -32601, "")),
        (
            asked(1, "notifications/initialized", "{}"),
            Error(json!(1), -32601, "notifications/initialized"),
        ),
        (asked(1, "tools/list", "null"), Result(json!(1))),
        (
            asked(1, "tools/list", r#"{"cursor":"nonsense"}"#),
            Result(json!(1)),
        ),
        (
            asked(1, "initialize", r#"{"protocolVersion":5}"#),
            misfit("Invalid params for initialize: …"),
        ),
        // Tools and their arguments.
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#.to_owned(),
            misfit("Invalid params for tools/call: …"),
        ),
        (called("{}"), misfit("Invalid params for tools/call: …")),
        (
            called(r#"{"name":5}"#),
            misfit("Invalid params for tools/call: …"),
        ),
        (
            called(&format!(r#"{{"name":"{LIST}","arguments":"x"}}"#)),
            misfit("Invalid params for tools/call: …"),
        ),
        (
            called(&format!(r#"{{"name":"{LIST}","arguments":[]}}"#)),
            misfit("Invalid params for tools/call: …"),
        ),
        (
            called(&format!(r#"{{"name":"{LIST}","_meta":5}}"#)),
            misfit("Invalid params for tools/call: …"),
        ),
        (called(r#"{"name":"nothing"}"#), misfit("there is no tool…")),
        (called(&format!(r#"{{"name":"{LIST}"}}"#)), Result(json!(1))),
        (
            called(&format!(r#"{{"name":"{LIST}","arguments":null}}"#)),
            Result(json!(1)),
        ),
        // What must not be answered: notifications and replies, however they look.
        (
            r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"nothing"}}"#.to_owned(),
            Nothing,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":{}}}"#
                .to_owned(),
            Nothing,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":5}"#.to_owned(),
            Nothing,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(),
            Nothing,
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}"#.to_owned(),
            Nothing,
        ),
        (r#"{"id":true,"result":5}"#.to_owned(), Nothing),
    ];
    lines.extend(texts.map(|(text, answer)| (text.into_bytes(), answer)));
    lines
}

/// Exactly the members that an answer has, with exactly what was expected.
#[track_caller]
fn check(shown: &str, answer: &Value, expected: &Answer) {
    match expected {
        Nothing => {}
        Result(id) => {
            let result = &answer["result"];
            assert!(result.is_object(), "{shown}: {answer}");
            let whole = json!({"jsonrpc": "2.0", "id": id, "result": result});
            assert_eq!(*answer, whole, "{shown}");
        }
        Error(id, code, message) => {
            let said = answer["error"]["message"].as_str().unwrap_or_default();
            let as_expected = match message.strip_suffix('…') {
                Some(beginning) => said.starts_with(beginning),
                None => said == *message,
            };
            assert!(as_expected, "{shown}: {answer}");
            let error = json!({"code": code, "message": said});
            let whole = json!({"jsonrpc": "2.0", "id": id, "error": error});
            assert_eq!(*answer, whole, "{shown}");
        }
    }
}

#[test]
fn invariant_09_every_line_is_answered_as_json_rpc_says() {
    for wire in WIRES {
        let mut peer = Peer::on(wire);
        for (line, expected) in odd_lines() {
            let shown = String::from_utf8_lossy(&line[..line.len().min(120)]).into_owned();
            peer.write(&line);
            peer.write(b"\n");
            if !matches!(expected, Nothing) {
                check(&shown, &peer.expect(), &expected);
            }
            // The one answer, and the server goes on.
            peer.ping(shown);
        }
        peer.finish();
    }
}

#[test]
fn what_could_be_mended_reaches_the_tool_mended() {
    let mut peer = Peer::on(Wire::Fifo);
    let line = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": EXECUTE, "arguments": {"cmd": "cat", "stdin": "HERE", "wait_seconds": 30}}});
    let line = line.to_string();
    let (before, after) = line.split_once("HERE").unwrap();
    peer.write(before.as_bytes());
    peer.write(b"caf\xe9 \\ud800x \\ud83d\\ude00");
    peer.write(after.as_bytes());
    peer.write(b"\n");
    let reply = peer.reply(1);
    let read = "caf\u{fffd} \u{fffd}x \u{1f600}";
    assert_eq!(reply["result"]["output"], read, "{reply}");
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
