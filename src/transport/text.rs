//! From the bytes of a line to JSON, as tolerantly as can be done without guessing.
//!
//! What a command line may hold, a client may send: bytes that are no UTF-8, and `\ud800` without its other half, which
//! JavaScript's `JSON.stringify` of old and Python's `json.dumps` write. `serde_json` refuses both, and a request refused
//! unread is a request never answered. Both are replaced by U+FFFD; a line that still cannot be read is searched for
//! its id, so that the refusal reaches whoever waits for it.

use std::borrow::Cow;

use serde_json::Value;

/// Has the line read, and where it cannot be read, what it becomes when it is mended.
pub(crate) fn mended<T>(
    line: &[u8],
    read: impl Fn(&[u8]) -> serde_json::Result<T>,
) -> serde_json::Result<T> {
    read(line).or_else(|error| match repair(line) {
        Some(repaired) => read(repaired.as_bytes()),
        None => Err(error),
    })
}

/// The line without what surrounds the JSON: a byte order mark and white space, a carriage return among it.
pub(crate) fn trim(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(line)
        .trim_ascii()
}

/// The line with U+FFFD for what no JSON text may hold; `None` if it holds no such thing.
fn repair(line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(line);
    let mut repaired = String::new();
    let mut copied = 0;
    let mut at = 0;
    // Outside of strings JSON has no backslashes, so each one begins an escape.
    while let Some(backslash) = text[at..].find('\\').map(|offset| at + offset) {
        let units = (
            unicode_escape(&text, backslash),
            unicode_escape(&text, backslash + 6),
        );
        at = match units {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => backslash + 12,
            (Some(0xD800..=0xDFFF), _) => {
                repaired.push_str(&text[copied..backslash]);
                repaired.push('\u{FFFD}');
                copied = backslash + 6;
                copied
            }
            (Some(_), _) => backslash + 6,
            // Past the character escaped, `\\` above all, whatever its length.
            (None, _) => match text[backslash + 1..].chars().next() {
                Some(escaped) => backslash + 1 + escaped.len_utf8(),
                None => text.len(),
            },
        };
    }
    if copied > 0 {
        repaired.push_str(&text[copied..]);
        return Some(repaired);
    }
    match text {
        Cow::Owned(lossy) => Some(lossy),
        Cow::Borrowed(_) => None,
    }
}

/// The code unit of the `\uXXXX` at this place.
fn unicode_escape(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    let all_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    all_hex.then(|| u16::from_str_radix(digits, 16).ok())?
}

/// The id of a request that cannot be read.
pub(crate) fn recover_id(line: &[u8]) -> Option<Value> {
    match leading_id(line) {
        Found::Id(id) => Some(id),
        Found::None => None,
        Found::Lost => trailing_id(line),
    }
}

/// The id of a request of which only both ends were kept.
pub(crate) fn recover_id_of_cut(head: &[u8], tail: &[u8]) -> Option<Value> {
    match leading_id(head) {
        Found::Id(id) => Some(id),
        Found::None | Found::Lost => trailing_id(tail),
    }
}

enum Found {
    Id(Value),
    /// The text was followed to its end.
    None,
    /// The text ends within what would be a string: somewhere on the way strings were taken for what they are not.
    Lost,
}

/// The first `"id"` that is a key of the outermost object, as far as strings and brackets can be told apart.
fn leading_id(text: &[u8]) -> Found {
    if !text.starts_with(b"{") {
        return Found::None;
    }
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'"' => {
                let Some(end) = string_end(text, at) else {
                    return Found::Lost;
                };
                if depth == 1
                    && &text[at..end] == b"\"id\""
                    && let Some(id) = id_after(&text[end..])
                {
                    return Found::Id(id);
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Found::None
}

/// Where the string that begins here is over.
fn string_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    while at < text.len() {
        match text[at] {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// The id in `: 7,` or `: "seven"}`: what follows the value proves that it is whole.
fn id_after(text: &[u8]) -> Option<Value> {
    let value = text.trim_ascii_start().strip_prefix(b":")?;
    let mut values = serde_json::Deserializer::from_slice(value).into_iter();
    let id = values.next()?.ok()?;
    let next = value[values.byte_offset()..].trim_ascii_start().first()?;
    (is_id(&id) && matches!(next, b',' | b'}')).then_some(id)
}

/// The id in `,"id":7}` or `,"id":7,"method":"ping"}` at the end of a line.
///
/// An `"id"` is the outermost object's if it and all that follows it complete an object: for a nested one there would
/// be a bracket too many.
fn trailing_id(text: &[u8]) -> Option<Value> {
    const KEY: &[u8] = b"\"id\"";
    const SEARCHED: usize = 4096;
    let text = &text[text.len().saturating_sub(SEARCHED)..];
    (0..text.len().saturating_sub(KEY.len()))
        .rev()
        .find_map(|at| {
            if !text[at..].starts_with(KEY) || (at > 0 && text[at - 1] == b'\\') {
                return None;
            }
            let object = [b"{", &text[at..]].concat();
            let mut object: serde_json::Map<String, Value> =
                serde_json::from_slice(&object).ok()?;
            object.remove("id").filter(is_id)
        })
}

fn is_id(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Number(_))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(line: &[u8]) -> serde_json::Result<Value> {
        mended(line, |line| serde_json::from_slice(line))
    }

    #[test]
    fn what_json_may_not_hold_is_replaced() {
        for (line, expected) in [
            (&br#""a\ud800b""#[..], "a\u{fffd}b"),
            (br#""\udc00\ud800""#, "\u{fffd}\u{fffd}"),
            (br#""\ud83d\ude00""#, "\u{1f600}"),
            (br#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (br#""\\ud800""#, "\\ud800"),
            (br#""\ud800\\ud800""#, "\u{fffd}\\ud800"),
            (b"\"caf\xe9 \xff\"", "caf\u{fffd} \u{fffd}"),
            (b"\"\\ud800\xff\"", "\u{fffd}\u{fffd}"),
        ] {
            let shown = String::from_utf8_lossy(line);
            assert_eq!(
                parse(line).expect(&shown),
                Value::String(expected.into()),
                "{shown}"
            );
        }
    }

    #[test]
    fn ids_are_found_where_json_cannot_be_read() {
        for (line, expected) in [
            (r#"{"id":7,"method":"#, json!(7)),
            (r#"{"id" : "a\"b" , oops"#, json!("a\"b")),
            (r#"{"params":{"id":1},"id":2,,}"#, json!(2)),
            (r#"{"params":["id",{"id":1}"#, json!(null)),
            (r#"{"method":"ping,"id":3}"#, json!(3)),
            (
                r#"{"method":"ping,"params":{},"id":4,"jsonrpc":"2.0"}"#,
                json!(4),
            ),
            (r#"{"method":"ping,"params":{"id":5}}"#, json!(null)),
            (r#"{"cmd":"echo \"id\":6}"#, json!(null)),
            (r#"{"id":1"#, json!(null)),
            (r#"{"id":true,"id":2,"#, json!(2)),
            (r#"{"id":null,"#, json!(null)),
            (r#"[{"id":1},{"id":2}"#, json!(null)),
            (r#"{"id"#, json!(null)),
            ("{", json!(null)),
            ("", json!(null)),
        ] {
            let found = recover_id(line.as_bytes());
            assert_eq!(found.unwrap_or_default(), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
            let _ = recover_id(&line);
        }

        #[test]
        fn any_escapes_are_readable(text in r#"([a-z]|\\u[dD][89abcdef][0-9]{2}|\\\\|\\n){0,40}"#) {
            parse(format!("\"{text}\"").as_bytes()).expect("the repair leaves nothing that JSON may not hold");
        }

        #[test]
        fn an_id_is_found_in_any_cut_that_holds_it(
            id in prop_oneof![any::<i64>().prop_map(Value::from), ".{0,20}".prop_map(Value::from)],
            nested in ".{0,40}", cut in any::<prop::sample::Index>(),
        ) {
            let params = json!({"name": nested, "id": "nested", "more": [{"id": 0}]});
            let first = json!({"id": id, "params": params}).to_string();
            let last = json!({"params": params, "id": id}).to_string();
            let held = format!("{{\"id\":{id},").len();
            let cut = held + cut.index(first.len() - held);
            prop_assert_eq!(recover_id_of_cut(&first.as_bytes()[..cut], b""), Some(id.clone()));
            let cut = &last.as_bytes()[last.len() - format!(",\"id\":{id}}}").len()..];
            prop_assert_eq!(recover_id_of_cut(b"{", cut), Some(id));
        }
    }
}
