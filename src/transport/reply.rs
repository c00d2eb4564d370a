//! From answers to lines, without their newlines.

use rmcp::model::{CallToolResult, ContentBlock, RequestId, ServerJsonRpcMessage, ServerResult};
use serde::Serialize;

/// The message as a line.
pub(super) fn line(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("messages have string keys and no failing parts")
}

/// The line that answers this request.
pub(super) fn line_of_result(id: &RequestId, result: ServerResult) -> Vec<u8> {
    match &result {
        ServerResult::CallToolResult(called) if called.structured_content.is_none() => {
            line_of_tool(id, called)
        }
        _ => line(&ServerJsonRpcMessage::response(result, id.clone())),
    }
}

/// A tool answers with one text, which is JSON. It is sent as that text, and once more as the structure that it is: some
/// clients show the model only the one, others only the other. So it is serialised once and then copied.
fn line_of_tool(id: &RequestId, called: &CallToolResult) -> Vec<u8> {
    let json = match &called.content[..] {
        [ContentBlock::Text(text)] => text.text.as_str(),
        _ => "null",
    };
    let mut line = Vec::with_capacity(3 * json.len() + 256);
    line.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    append(&mut line, id);
    line.extend_from_slice(br#","result":{"content":[{"type":"text","text":""#);
    append_quoted(&mut line, json);
    line.extend_from_slice(br#""}],"structuredContent":"#);
    line.extend_from_slice(json.as_bytes());
    line.extend_from_slice(br#","isError":"#);
    append(&mut line, &called.is_error.unwrap_or_default());
    if let Some(result_type) = &called.result_type {
        line.extend_from_slice(br#","resultType":"#);
        append(&mut line, result_type);
    }
    line.extend_from_slice(b"}}");
    line
}

fn append(line: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(line, value).expect("a vector takes everything, and nothing here fails");
}

/// JSON has no control characters, so that as a string within JSON it needs a backslash here and there and no more: before
/// every eighth byte or so. Eight at a time, that takes a third of the time of one after the other.
fn append_quoted(line: &mut Vec<u8>, json: &str) {
    let mut end = line.len();
    // Words are written whole, and what of one is too much is written over by the next.
    line.resize(end + 2 * json.len() + size_of::<u64>(), 0);
    let (words, rest) = json.as_bytes().as_chunks();
    for word in words {
        let mut word = u64::from_le_bytes(*word);
        let mut bytes = size_of::<u64>();
        let mut marked = places_of(b'"', word) | places_of(b'\\', word);
        while marked != 0 {
            let before = marked.trailing_zeros() / u8::BITS;
            put(&mut line[end..], word);
            end += before as usize;
            line[end] = b'\\';
            end += 1;
            bytes -= before as usize;
            word >>= before * u8::BITS;
            // The marked byte is the lowest now. It comes with what follows it.
            marked = (marked >> (before * u8::BITS)) & !u64::from(u8::MAX);
        }
        put(&mut line[end..], word);
        end += bytes;
    }
    line.truncate(end);
    for &byte in rest {
        if matches!(byte, b'"' | b'\\') {
            line.push(b'\\');
        }
        line.push(byte);
    }
}

fn put(room: &mut [u8], word: u64) {
    room[..size_of::<u64>()].copy_from_slice(&word.to_le_bytes());
}

/// The highest bit of each byte of the word that is this one.
fn places_of(byte: u8, word: u64) -> u64 {
    const HIGHEST: u64 = u64::from_ne_bytes([0x80; 8]);
    let others = word ^ u64::from_ne_bytes([byte; 8]);
    !(((others & !HIGHEST) + !HIGHEST) | others) & HIGHEST
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rmcp::model::ResultType;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_tools_text_is_sent_as_the_structure_that_it_is() {
        let text = json!({"output": "a \"quoted\"\nline \u{1f600}\u{0}", "count": 1}).to_string();
        for result_type in [None, Some(ResultType::COMPLETE)] {
            let mut called = CallToolResult::error(vec![ContentBlock::text(text.as_str())]);
            called.result_type = result_type.clone();
            let id = RequestId::String("a\"b".into());
            let line = line_of_result(&id, ServerResult::CallToolResult(called.clone()));
            called.structured_content = serde_json::from_str(&text).ok();
            let as_the_sdk =
                ServerJsonRpcMessage::response(ServerResult::CallToolResult(called), id);
            let read = |line: &[u8]| serde_json::from_slice::<Value>(line).expect("it is JSON");
            assert_eq!(read(&line), read(&super::line(&as_the_sdk)));
        }
    }

    proptest! {
        #[test]
        fn quotes_and_backslashes_get_a_backslash(text in r#"([\\"]|[^\x00-\x1f]){0,60}"#) {
            let mut line = b"before".to_vec();
            append_quoted(&mut line, &text);
            let expected = format!("before{}", text.replace('\\', r"\\").replace('"', r#"\""#));
            prop_assert_eq!(String::from_utf8_lossy(&line), expected);
        }
    }
}
