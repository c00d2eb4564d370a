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

/// JSON has no control characters, so that as a string within JSON it needs a backslash here and there and no more. Every
/// eighth byte or so is one that needs it: going byte by byte without a branch is twice as fast as copying what lies between.
fn append_quoted(line: &mut Vec<u8>, json: &str) {
    let mut end = line.len();
    line.resize(end + 2 * json.len(), 0);
    for &byte in json.as_bytes() {
        line[end] = b'\\';
        end += usize::from(matches!(byte, b'"' | b'\\'));
        line[end] = byte;
        end += 1;
    }
    line.truncate(end);
}

#[cfg(test)]
mod tests {
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
}
