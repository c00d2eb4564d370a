//! Where a line that is too long is cut.

use crate::output::render;

/// How far before the cut the start of an escape sequence is looked for.
const SEQUENCE: usize = 256;

/// How much of a piece of a line a terminal writes over with the rest of it: what is before the last carriage return that
/// text follows.
pub(super) fn written_over(raw: &[u8]) -> Option<usize> {
    let text = raw.iter().rposition(|&byte| byte != b'\r')?;
    let start = raw[..text].iter().rposition(|&byte| byte == b'\r')?;
    (start > 0).then_some(start)
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
