//! From JSON to a message that the SDK serves, or to the refusal that answers it.
//!
//! The SDK reads a message by trying every type it knows, and drops what fits none. Here each way of not fitting has an
//! answer of its own, with the code that JSON-RPC 2.0 gives it, and the requests that matter are read as what their method
//! says they are, which is also several times faster.

use std::collections::VecDeque;

use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientJsonRpcMessage, ClientNotification,
    ClientRequest, DiscoverRequest, ErrorCode, ErrorData, InitializeRequest, JsonRpcMessage,
    ListToolsRequest, PingRequest, RequestId,
};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::text;

/// What one element of input comes to.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment, and nearly always it is the large one"
)]
pub(crate) enum Incoming {
    Message(ClientJsonRpcMessage),
    Refused(Refusal),
    /// A notification or a reply that means nothing to us: neither may be answered.
    Ignored,
}

/// An answer that is given without serving the request.
#[derive(Debug, Serialize)]
pub(crate) struct Refusal {
    jsonrpc: &'static str,
    /// As it came, where it is a string or a number; else null.
    id: Value,
    pub(super) error: ErrorData,
}

impl Refusal {
    pub(crate) fn new(id: Value, code: ErrorCode, message: impl Into<String>) -> Self {
        let error = ErrorData::new(code, message.into(), None);
        Self {
            jsonrpc: "2.0",
            id,
            error,
        }
    }

    /// For a line that is not JSON, or more deeply nested than a parser without end can afford to follow.
    pub(super) fn unreadable(line: &[u8], error: &serde_json::Error) -> Self {
        let id = text::recover_id(line).unwrap_or_default();
        Self::new(id, ErrorCode::PARSE_ERROR, format!("Parse error: {error}"))
    }
}

/// A message as far as every message looks alike. What it is about is read as what its method says it is.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    jsonrpc: Value,
    #[serde(default, deserialize_with = "present")]
    id: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    method: Option<Value>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    result: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    error: Option<IgnoredAny>,
}

/// A member that is null is there all the same.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    member: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(member).map(Some)
}

/// The elements of a batch; none if this is none.
pub(crate) fn batch(text: &[u8]) -> serde_json::Result<Option<VecDeque<Box<RawValue>>>> {
    match text {
        [b'[', ..] => {
            let elements: VecDeque<_> = serde_json::from_slice(text)?;
            Ok(Some(elements).filter(|elements| !elements.is_empty()))
        }
        _ => Ok(None),
    }
}

/// Reads one message; the elements of a batch are read one by one.
pub(crate) fn read(text: &[u8]) -> Incoming {
    text::mended(text, interpret)
        .unwrap_or_else(|error| Incoming::Refused(Refusal::unreadable(text, &error)))
}

/// An error says that the text is no JSON.
fn interpret(text: &[u8]) -> serde_json::Result<Incoming> {
    if !text.starts_with(b"{") {
        serde_json::from_slice::<IgnoredAny>(text)?;
        return Ok(invalid(Value::Null, "a message is an object"));
    }
    let envelope: Envelope<'_> = match serde_json::from_slice(text) {
        Err(error) if error.is_data() => return Ok(invalid(Value::Null, &shortened(&error))),
        envelope => envelope?,
    };
    let Envelope {
        jsonrpc,
        id,
        method,
        params,
        result,
        error,
    } = envelope;
    let has_outcome = result.is_some() || error.is_some();
    if has_outcome && method.is_none() {
        // Never answered, however it looks: two peers could go on refusing each other's refusals for ever.
        return message_or_nothing(ClientJsonRpcMessage::deserialize(tree(text)?));
    }
    let echo = match &id {
        Some(id @ (Value::String(_) | Value::Number(_))) => id.clone(),
        _ => Value::Null,
    };
    if jsonrpc != "2.0" {
        return Ok(invalid(echo, "jsonrpc must be \"2.0\""));
    }
    let Some(Value::String(method)) = method else {
        return Ok(invalid(echo, "method must be a string"));
    };
    let Some(id) = id else {
        // Nobody waits for an answer to a notification, however it looks.
        let notification = ClientNotification::deserialize(tree(text)?);
        return message_or_nothing(notification.map(JsonRpcMessage::notification));
    };
    if has_outcome {
        return Ok(invalid(echo, "a request has neither result nor error"));
    }
    if params.is_some_and(|params| !params.get().starts_with('{')) {
        return Ok(invalid(echo, "params must be an object"));
    }
    let Ok(id) = RequestId::deserialize(id) else {
        return Ok(invalid(echo, "id must be a string or a 64-bit integer"));
    };
    match request(&method, params) {
        Ok(request) => Ok(Incoming::Message(JsonRpcMessage::request(request, id))),
        Err(error) if error.is_data() => Ok(Incoming::Refused(Refusal::new(
            echo,
            ErrorCode::INVALID_PARAMS,
            format!("Invalid params for {method}: {}", shortened(&error)),
        ))),
        Err(error) => Err(error),
    }
}

/// The SDK's types read from a tree, and from nothing else: reading them takes up a good part of the binary each way.
fn tree(text: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(text)
}

fn message_or_nothing(
    message: serde_json::Result<ClientJsonRpcMessage>,
) -> serde_json::Result<Incoming> {
    match message {
        Err(error) if error.is_data() => Ok(Incoming::Ignored),
        message => message.map(Incoming::Message),
    }
}

fn invalid(id: Value, message: &str) -> Incoming {
    Incoming::Refused(Refusal::new(
        id,
        ErrorCode::INVALID_REQUEST,
        format!("Invalid request: {message}"),
    ))
}

/// Reads a request as what its method says it is. The SDK takes one whose parameters do not fit for an unknown method.
fn request(method: &str, params: Option<&RawValue>) -> serde_json::Result<ClientRequest> {
    if let ("tools/call", Some(params)) = (method, params) {
        // The SDK reads these by way of two buffers, which takes longer than all the rest of a call.
        let mut params: CallToolRequestParams = serde_json::from_str(params.get())?;
        let meta = params.meta.take();
        let mut request = CallToolRequest::new(params);
        if let Some(meta) = meta {
            request.extensions.insert(meta);
        }
        return Ok(request.into());
    }
    let mut message = Map::from_iter([("method".to_owned(), method.into())]);
    if let Some(params) = params {
        message.insert("params".to_owned(), serde_json::from_str(params.get())?);
    }
    let message = Value::Object(message);
    match method {
        "initialize" => InitializeRequest::deserialize(message).map(Into::into),
        "server/discover" => DiscoverRequest::deserialize(message).map(Into::into),
        "ping" => PingRequest::deserialize(message).map(Into::into),
        "tools/list" => ListToolsRequest::deserialize(message).map(Into::into),
        "tools/call" => CallToolRequest::deserialize(message).map(Into::into),
        _ => ClientRequest::deserialize(message),
    }
}

/// The error without the whole of the value that it may quote.
fn shortened(error: &serde_json::Error) -> String {
    const SHOWN: usize = 200;
    let message = error.to_string();
    match message.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn refusal(message: Value) -> Value {
        match read(message.to_string().as_bytes()) {
            Incoming::Refused(refusal) => serde_json::to_value(refusal).expect("it is plain JSON"),
            other => panic!("{message} came to {other:?}"),
        }
    }

    #[test]
    fn what_is_no_request_is_refused_with_the_id_it_has() {
        for (message, id) in [
            (json!({}), json!(null)),
            (json!(5), json!(null)),
            (json!("ping"), json!(null)),
            (json!([]), json!(null)),
            (json!({"id": 1, "method": "ping"}), json!(1)),
            (
                json!({"jsonrpc": "1.0", "id": "a", "method": "ping"}),
                json!("a"),
            ),
            (json!({"jsonrpc": "2.0", "id": 2}), json!(2)),
            (json!({"jsonrpc": "2.0", "id": 3, "method": 4}), json!(3)),
            (
                json!({"jsonrpc": "2.0", "id": 4, "method": "ping", "params": []}),
                json!(4),
            ),
            (
                json!({"jsonrpc": "2.0", "id": 5, "method": "ping", "result": {}}),
                json!(5),
            ),
            (
                json!({"jsonrpc": "2.0", "id": null, "method": "ping"}),
                json!(null),
            ),
            (
                json!({"jsonrpc": "2.0", "id": true, "method": "ping"}),
                json!(null),
            ),
            (
                json!({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}),
                json!(1.5),
            ),
            (
                json!({"jsonrpc": "2.0", "id": u64::MAX, "method": "ping"}),
                json!(u64::MAX),
            ),
        ] {
            let refusal = refusal(message.clone());
            assert_eq!(refusal["error"]["code"], -32600, "{message}");
            assert_eq!(refusal["id"], id, "{message}");
        }
    }

    #[test]
    fn parameters_that_do_not_fit_a_known_method_are_named() {
        for (method, params) in [
            ("tools/call", json!(null)),
            ("tools/call", json!({"arguments": {}})),
            ("tools/call", json!({"name": 5})),
            ("tools/call", json!({"name": "x", "arguments": "ls"})),
            ("tools/call", json!({"name": "x", "_meta": 5})),
            (
                "initialize",
                json!({"protocolVersion": 7, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}),
            ),
        ] {
            let refusal =
                refusal(json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}));
            assert_eq!(refusal["error"]["code"], -32602, "{method} {params}");
            let message = refusal["error"]["message"].as_str().expect("it says why");
            assert!(
                message.starts_with(&format!("Invalid params for {method}: ")),
                "{message}"
            );
        }
    }

    #[test]
    fn a_reply_is_never_refused() {
        for message in [
            json!({"jsonrpc": "1.0", "id": null, "error": 5}),
            json!({"error": {"code": 1, "message": "no"}}),
            json!({"jsonrpc": "2.0", "id": true, "result": []}),
        ] {
            assert!(
                !matches!(read(message.to_string().as_bytes()), Incoming::Refused(_)),
                "{message}"
            );
        }
    }
}
