//! From a line to the messages in it, or to the errors that answer them.
//!
//! The SDK drops what it cannot read, and its client waits for ever. Here each way of not fitting has an answer, with the
//! code that JSON-RPC 2.0 gives it and with the id, where one can be found.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use rmcp::model::{
    CallToolRequest, ClientJsonRpcMessage, ClientNotification, ClientRequest, DiscoverRequest,
    ErrorCode, InitializeRequest, JsonRpcMessage, ListToolsRequest, PingRequest, RequestId,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::MAX_LINE;
use crate::format::truncate;

/// Most characters of a reader's error in an answer: it may quote the whole of a value.
const MAX_ERROR_CHARS: usize = 200;

/// A message, or the answer that refuses it.
type Decoded = Result<ClientJsonRpcMessage, Value>;

/// The messages of a line: one, those of a batch, or none where nothing is to be served or answered. Only one revision of
/// the protocol has batches (2025-03-26); their elements are served in all, so that no id is without an answer.
pub fn decode(line: &[u8]) -> Vec<Decoded> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let line = line.trim_ascii();
    if line.is_empty() {
        return Vec::new();
    }
    match parse(line) {
        Ok(Value::Array(batch)) if !batch.is_empty() => {
            batch.into_iter().filter_map(message).collect()
        }
        Ok(value) => message(value).into_iter().collect(),
        Err(error) => {
            let id = recover_id(&String::from_utf8_lossy(line));
            vec![Err(refusal(id, ErrorCode::PARSE_ERROR, &format!("Parse error: {error}")))]
        }
    }
}

/// The answer to a line that is too long, of which there are both ends.
pub fn refusal_of_cut(ends: &[u8]) -> Value {
    let id = recover_id(&String::from_utf8_lossy(ends));
    let why = format!("longer than {MAX_LINE} bytes; pass the path of a file instead of its text");
    invalid(id, &why)
}

/// Reads JSON, and where it holds what JSON may not hold, bytes that are no UTF-8 or half a surrogate pair, as
/// JavaScript and Python write them, reads it with U+FFFD in their place.
fn parse(line: &[u8]) -> serde_json::Result<Value> {
    static ESCAPE: LazyLock<Regex> = LazyLock::new(|| {
        let high_and_low = r"\\u[dD][89abAB][[:xdigit:]]{2}\\u[dD][c-fC-F][[:xdigit:]]{2}";
        let lone = r"(?P<lone>\\u[dD][89a-fA-F][[:xdigit:]]{2})";
        // Any other escape is passed over whole: the second backslash of `\\ud800` begins none.
        Regex::new(&format!(r"{high_and_low}|{lone}|\\(?s:.)")).expect("the pattern is valid")
    });
    serde_json::from_slice(line).or_else(|_| {
        let text = String::from_utf8_lossy(line);
        let repaired =
            ESCAPE.replace_all(&text, |escape: &Captures<'_>| match escape.name("lone") {
                Some(_) => "\u{fffd}".to_owned(),
                None => escape[0].to_owned(),
            });
        serde_json::from_str(&repaired)
    })
}

/// The id of a message that cannot be read: clients write it before the parameters or behind them.
fn recover_id(text: &str) -> Value {
    const ID: &str = r#""id"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)\s*"#;
    static BEFORE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(&format!("{ID}[,}}]")).expect("the pattern is valid"));
    static BEHIND: LazyLock<Regex> = LazyLock::new(|| {
        let others = r#"(?:,\s*"(?:jsonrpc|method)"\s*:\s*"[^"]*"\s*)*"#;
        Regex::new(&format!(r"{ID}{others}\}}$")).expect("the pattern is valid")
    });
    let text = text.trim();
    if !text.starts_with('{') {
        return Value::Null;
    }
    let before = text.split(r#""params""#).next().unwrap_or_default();
    let found = BEFORE.captures(before).or_else(|| BEHIND.captures(text));
    found.and_then(|found| serde_json::from_str(&found[1]).ok()).unwrap_or_default()
}

/// What is neither a request nor a notification that the SDK knows, and may not be answered, comes to nothing.
fn message(message: Value) -> Option<Decoded> {
    let Value::Object(mut message) = message else {
        return Some(Err(invalid(Value::Null, "a message is an object")));
    };
    let has_outcome = message.contains_key("result") || message.contains_key("error");
    if has_outcome && !message.contains_key("method") {
        // A reply. This server asks nothing, and refusing one could go back and forth for ever.
        return None;
    }
    let id = message.remove("id");
    let echo = match &id {
        Some(id @ (Value::String(_) | Value::Number(_))) => id.clone(),
        _ => Value::Null,
    };
    if message.get("jsonrpc") != Some(&json!("2.0")) {
        return Some(Err(invalid(echo, "jsonrpc must be \"2.0\"")));
    }
    let Some(Value::String(method)) = message.remove("method") else {
        return Some(Err(invalid(echo, "method must be a string")));
    };
    let params = message.remove("params").filter(|params| !params.is_null());
    let Some(id) = id else {
        let notification = ClientNotification::deserialize(with_method(&method, params));
        return notification
            .ok()
            .map(|notification| Ok(JsonRpcMessage::notification(notification)));
    };
    if has_outcome {
        return Some(Err(invalid(echo, "a request has neither result nor error")));
    }
    if params.as_ref().is_some_and(|params| !params.is_object()) {
        return Some(Err(invalid(echo, "params must be an object")));
    }
    let Ok(id) = RequestId::deserialize(id) else {
        return Some(Err(invalid(echo, "id must be a string or a 64-bit integer")));
    };
    Some(match request(&method, params) {
        Ok(request) => Ok(JsonRpcMessage::request(request, id)),
        Err(error) => {
            let error = truncate(&error.to_string(), MAX_ERROR_CHARS);
            let why = format!("Invalid params for {method}: {error}");
            Err(refusal(echo, ErrorCode::INVALID_PARAMS, &why))
        }
    })
}

/// Reads a request as what its method says it is: the SDK would take one whose parameters do not fit for an unknown method.
fn request(method: &str, params: Option<Value>) -> serde_json::Result<ClientRequest> {
    let message = with_method(method, params);
    match method {
        "initialize" => InitializeRequest::deserialize(message).map(Into::into),
        "server/discover" => DiscoverRequest::deserialize(message).map(Into::into),
        "ping" => PingRequest::deserialize(message).map(Into::into),
        "tools/call" => CallToolRequest::deserialize(message).map(Into::into),
        "tools/list" => ListToolsRequest::deserialize(message).map(Into::into),
        _ => ClientRequest::deserialize(message),
    }
}

fn with_method(method: &str, params: Option<Value>) -> Value {
    let mut message = json!({"method": method});
    if let Some(params) = params {
        message["params"] = params;
    }
    message
}

fn invalid(id: Value, why: &str) -> Value {
    refusal(id, ErrorCode::INVALID_REQUEST, &format!("Invalid request: {why}"))
}

fn refusal(id: Value, code: ErrorCode, message: &str) -> Value {
    let error = json!({"code": code.0, "message": message});
    json!({"jsonrpc": "2.0", "id": id, "error": error})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_may_not_hold_is_replaced() {
        for (line, expected) in [
            (&br#""a\ud800b""#[..], "a\u{fffd}b"),
            (br#""\udc00\ud800""#, "\u{fffd}\u{fffd}"),
            (br#""\ud83d\ude00\ud800""#, "\u{1f600}\u{fffd}"),
            (br#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (br#""\ud800\\ud800""#, "\u{fffd}\\ud800"),
            (b"\"caf\xe9 \xff\"", "caf\u{fffd} \u{fffd}"),
            (b"\"\\ud800\xff\"", "\u{fffd}\u{fffd}"),
        ] {
            let shown = String::from_utf8_lossy(line);
            assert_eq!(parse(line).expect(&shown), expected, "{shown}");
        }
    }

    #[test]
    fn the_id_of_an_unreadable_message_is_found_before_or_behind_its_params() {
        for (line, expected) in [
            (r#"{"id":7,"method":"#, json!(7)),
            (r#"{"id" : "a\"b" , oops"#, json!("a\"b")),
            (r#"{"params":{"id":1,},"id":2}"#, json!(2)),
            (r#"{"params":{"a":NaN},"jsonrpc":"2.0","id":2}"#, json!(2)),
            (r#"{"method":"ping,"id":3}"#, json!(3)),
            (r#"{"method":"ping,"params":{},"id":4,"jsonrpc":"2.0"}"#, json!(4)),
            (r#"{"method":"ping,"params":{"id":5}}"#, json!(null)),
            (r#"{"cmd":"echo \"id\":6}"#, json!(null)),
            (r#"{"id":1"#, json!(null)),
            (r#"{"id":true,"id":2,"#, json!(2)),
            (r#"{"id":null,"#, json!(null)),
            (r#"[{"id":1},{"id":2}"#, json!(null)),
            ("", json!(null)),
        ] {
            assert_eq!(recover_id(line), expected, "{line}");
        }
    }
}
