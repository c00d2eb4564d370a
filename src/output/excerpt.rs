//! What a reply shows of both streams: everything if it fits, else the start and the end, or the next page.

use std::ops::Range;

use super::cursor::Cursor;
use super::stream::Stream;

/// Before the marker stands one part in so many.
const HEAD_SHARE: usize = 5;

/// The text of both streams.
#[derive(Debug, Default)]
pub struct Excerpt {
    pub output: String,
    pub error: String,
    /// What is left out between the start and the end.
    pub cut: Option<Cut>,
    /// Behind what is shown.
    pub next: Cursor,
    /// Whether the next page would show something right now.
    pub more: bool,
    /// The last line of each stream that no line end has completed yet.
    pub unfinished: Vec<String>,
}

impl Excerpt {
    /// Whether it shows U+FFFD, which stands for bytes that are no text.
    pub fn has_replaced(&self) -> bool {
        let texts = [&self.output, &self.error];
        texts.iter().any(|text| text.contains(char::REPLACEMENT_CHARACTER))
    }
}

/// What an excerpt leaves out, of both streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub bytes: u64,
    /// How many of these are not kept.
    pub dropped: u64,
    /// Pages from here on show it, and everything after it.
    pub cursor: Cursor,
}

/// Everything if it fits in `max` characters, else of each stream the first fifth and the last four fifths of its share, with
/// a line between them: `marker`, given what is missing there.
pub fn excerpt(
    stdout: &mut Stream,
    stderr: &mut Stream,
    max: usize,
    tail_only: bool,
    marker: &dyn Fn(&Cut) -> String,
) -> Excerpt {
    let whole = |stream: &mut Stream| {
        let (text, end) = stream.forward(0, max);
        (end >= stream.visible_end()).then_some(text)
    };
    let needed = |whole: &Option<String>| {
        whole.as_ref().map_or(u64::MAX, |text| text.chars().count() as u64)
    };
    let (out, err) = (whole(stdout), whole(stderr));
    let (out_room, err_room) = share(max, needed(&out), needed(&err));
    let out = Ends::of(stdout, out, out_room, tail_only, marker);
    let err = Ends::of(stderr, err, err_room, tail_only, marker);
    let cursor = Cursor { stdout: out.gap.start, stderr: err.gap.start };
    let cut = |stream: &Stream, gap: &Range<u64>| Cut {
        bytes: gap.end - gap.start,
        dropped: stream.missing(gap),
        cursor,
    };
    let (out_cut, err_cut) = (cut(stdout, &out.gap), cut(stderr, &err.gap));
    let bytes = out_cut.bytes + err_cut.bytes;
    let both = Cut { bytes, dropped: out_cut.dropped + err_cut.dropped, cursor };
    Excerpt {
        next: Cursor { stdout: out.end, stderr: err.end },
        output: out.into_text(&marker(&out_cut)),
        error: err.into_text(&marker(&err_cut)),
        cut: (bytes > 0).then_some(both),
        ..Excerpt::default()
    }
}

/// What comes after a cursor, oldest first; a cursor beyond the end stands for the end.
///
/// Pages from the start show everything that is kept, however long they are, and whether or not the stream grows meanwhile.
pub fn page(stdout: &mut Stream, stderr: &mut Stream, from: Cursor, max_chars: usize) -> Excerpt {
    let (out_from, err_from) = (from.stdout.min(stdout.end), from.stderr.min(stderr.end));
    let max = max_chars.max(1);
    // Half, and what standard error does not need, of which no more than its bytes is known yet.
    let err_needs = usize::try_from(stderr.end - err_from).unwrap_or(usize::MAX);
    let out_room = max - err_needs.min(max / 2);
    let (output, out_end) = stdout.forward(out_from, out_room);
    let err_room = max.saturating_sub(output.chars().count());
    let (mut error, mut err_end) = stderr.forward(err_from, err_room);
    if error.chars().count() > err_room && !output.is_empty() {
        // It waits for a page of its own.
        (error, err_end) = (String::new(), err_from);
    }
    Excerpt {
        output,
        error,
        next: Cursor { stdout: out_end, stderr: err_end },
        more: out_end < stdout.visible_end() || err_end < stderr.visible_end(),
        ..Excerpt::default()
    }
}

/// Half of the room for each; what one does not need, the other gets.
fn share(max: usize, out: u64, err: u64) -> (usize, usize) {
    let needed = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX).min(max);
    let out = needed(out).min(max - needed(err).min(max / 2));
    (out, max - out)
}

/// The start and the end of one stream, and the bytes between them, if it is not all in `head`.
struct Ends {
    head: String,
    gap: Range<u64>,
    tail: String,
    end: u64,
}

impl Ends {
    fn of(
        stream: &mut Stream,
        whole: Option<String>,
        room: usize,
        tail_only: bool,
        marker: &dyn Fn(&Cut) -> String,
    ) -> Self {
        let end = stream.visible_end();
        let all = |text| Self { head: text, gap: end..end, tail: String::new(), end };
        if let Some(text) = whole.filter(|text| text.chars().count() <= room) {
            return all(text);
        }
        let (head, head_end) = match tail_only {
            true => (String::new(), 0),
            false => stream.forward(0, room / HEAD_SHARE),
        };
        // No marker is longer than one for all of the stream.
        let longest = Cut {
            bytes: stream.end,
            dropped: stream.end.saturating_sub(1),
            cursor: Cursor { stdout: stream.end, stderr: stream.end },
        };
        let marker_chars = marker(&longest).chars().count() + 2;
        let tail_room = room.saturating_sub(head.chars().count() + marker_chars);
        let (tail, tail_start) = stream.backward(tail_room);
        if tail_start <= head_end {
            return all(stream.text(0..end));
        }
        Self { head, gap: head_end..tail_start, tail, end }
    }

    fn into_text(self, marker: &str) -> String {
        if self.gap.is_empty() {
            return self.head;
        }
        let line_end = match self.head.is_empty() || self.head.ends_with('\n') {
            true => "",
            false => "\n",
        };
        format!("{}{line_end}{marker}\n{}", self.head, self.tail)
    }
}

#[cfg(test)]
mod tests;
