//! What a message may cost. A parser that is given no memory ends the server, so that is seen to before it begins.

use std::hint::black_box;

use rmcp::model::ErrorCode;

use super::lines::{MAX_LINE, Skipped};
use super::message::Refusal;
use super::text;

/// Messages up to this many bytes are cheap, whatever they are.
const CHEAP: usize = 256 << 10;

/// Values in one message. Each takes some hundred bytes when it is read, of which it may have had two; no call has more than
/// a few of them.
const MAX_VALUES: usize = 100_000;

/// How many times its own length a message may take until it is done with: as text, as what was read, and where either
/// grows. Measured with texts of 14 MB in a batch, which take the most: 3.5.
const COPIES: usize = 4;

/// The refusal of a message that would cost too much, if it would.
pub(super) fn refusal(message: &[u8]) -> Option<Refusal> {
    if message.len() <= CHEAP {
        return None;
    }
    let values = values(message);
    let (code, why) = if values > MAX_VALUES {
        let why = format!("Invalid request: {values} values, a message may have {MAX_VALUES}");
        (ErrorCode::INVALID_REQUEST, why)
    } else if has_memory(COPIES * message.len()) {
        return None;
    } else {
        out_of_memory(message.len())
    };
    Some(Refusal::new(
        text::recover_id(message).unwrap_or_default(),
        code,
        why,
    ))
}

/// The refusal of a message that was too long to be kept.
pub(super) fn refusal_of_skipped(ends: &Skipped) -> Refusal {
    let (code, why) = match ends.limit {
        MAX_LINE => {
            let why = format!("Invalid request: longer than {MAX_LINE} bytes");
            (ErrorCode::INVALID_REQUEST, why)
        }
        limit => out_of_memory(limit + 1),
    };
    let id = text::recover_id_of_cut(text::trim(&ends.head), &ends.tail);
    Refusal::new(id.unwrap_or_default(), code, why)
}

/// How it is said that a message of at least so many bytes was not read for want of memory.
fn out_of_memory(bytes: usize) -> (ErrorCode, String) {
    let why = format!(
        "Out of memory: the server has none to read a message of {bytes} bytes or more. Nothing was done; send less at a time, \
         such as the path of a file instead of its text"
    );
    (ErrorCode::INTERNAL_ERROR, why)
}

/// How many values there are at most: what commas separate, in arrays and objects.
fn values(json: &[u8]) -> usize {
    let (mut in_string, mut escaped, mut values) = (false, false, 1);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b',' if !in_string => values += 1,
            _ => {}
        }
    }
    values
}

fn has_memory(bytes: usize) -> bool {
    let mut probe: Vec<u8> = Vec::new();
    let is_there = probe.try_reserve_exact(bytes).is_ok();
    // Or the compiler would see that nobody uses it.
    black_box(&probe);
    is_there
}
