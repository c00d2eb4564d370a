//! Where a line that is too long is cut.

use memchr::memchr_iter;

use crate::output::render::{self, Stroke};

/// How far before the cut the start of an escape sequence is looked for.
const SEQUENCE: usize = 256;

/// How much of a piece of a line a terminal writes over with the rest of it: what stands before the last carriage return
/// behind which all of it is covered before the next one. Nothing of it is seen then.
pub(super) fn written_over(raw: &[u8]) -> Option<usize> {
    let mut returns = memchr_iter(b'\r', raw).peekable();
    let mut ends = Stroke::of(&raw[..*returns.peek()?]).ends;
    let mut covered = None;
    while let Some(start) = returns.next() {
        // The last one may go on.
        let Some(end) = returns.peek() else { break };
        let stroke = Stroke::of(&raw[start + 1..*end]);
        if start > 0 && stroke.covers >= ends {
            covered = Some(start);
            ends = stroke.ends;
        } else {
            ends = ends.max(stroke.ends);
        }
    }
    covered
}

/// How much of a line that is too long to take.
pub(super) fn cut(raw: &[u8]) -> usize {
    match whole(raw) {
        // A line that is nothing but an unfinished sequence is cut in it: every piece must take something.
        0 => raw.len(),
        len => len,
    }
}

/// The length without a character or an escape sequence at the end that may continue.
pub(super) fn whole(raw: &[u8]) -> usize {
    let reach = raw.len().saturating_sub(SEQUENCE);
    let sequence = raw[reach..]
        .iter()
        .rposition(|&byte| byte == b'\x1b')
        .map(|escape| reach + escape)
        .filter(|&escape| render::is_within_sequence(&raw[escape..]));
    sequence.unwrap_or_else(|| {
        let tail = &raw[raw.len().saturating_sub(4)..];
        let invalid = tail
            .utf8_chunks()
            .last()
            .map_or(&[][..], |chunk| chunk.invalid());
        let may_continue = str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
        raw.len() - if may_continue { invalid.len() } else { 0 }
    })
}
