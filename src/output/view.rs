//! What an agent reads of a job's two streams: a summary that fits a reply, or the next page.

use std::io::{Read, Seek};

use run::{Head, Run, WINDOW, before_end};

use super::cursor::{Cursor, Position};
use super::lines::Stream;

mod run;

/// Characters of a line at the end of a stream that are looked at.
const LAST_WORDS: usize = 400;

/// Before the marker stands one part in so many.
const HEAD_SHARE: usize = 5;

/// How much a summary may show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Both streams together.
    pub(crate) max_chars: usize,
    /// Leave out the start where not everything fits.
    pub(crate) tail_only: bool,
}

/// Both streams, whole if they fit, else the start and the end of what is too long.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) output: String,
    pub(crate) error: String,
    pub(crate) cut: Option<Cut>,
    /// Where a reader of this goes on: behind the last line, or before it if it may still grow.
    pub(crate) next: Cursor,
}

/// What a summary leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Of both streams, dropped ones included. Within a line that was not shown as written it is an estimate.
    pub(crate) bytes: u64,
    /// How many of these nobody can read any more.
    pub(crate) dropped: u64,
    /// Pages from here on show it, and everything after it.
    pub(crate) cursor: Cursor,
}

/// A part of both streams that continues where the one before it ended.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) output: String,
    pub(crate) error: String,
    pub(crate) next: Cursor,
    /// Whether the next page would show something right now.
    pub(crate) more: bool,
}

/// Everything if it fits the budget; else per stream the first fifth and the last four fifths of its share, with a line
/// between them: `marker`, given what is missing there.
///
/// Cuts are at line breaks where lines are short. The budget holds for markers too, from some 600 characters on. A
/// stream of more than 4 MiB counts as one that does not fit.
pub(crate) fn summary<R: Read + Seek>(
    stdout: &mut Stream<R>,
    stderr: &mut Stream<R>,
    budget: Budget,
    marker: &dyn Fn(&Cut) -> String,
) -> Summary {
    let max = budget.max_chars;
    let (out, err) = (beginning(stdout, max), beginning(stderr, max));
    let (out_room, err_room) = share(max, out.needs(), err.needs());
    let (out_head, err_head) = (start(&out, out_room, budget), start(&err, err_room, budget));
    let cursor = Cursor {
        stdout: out_head.next,
        stderr: err_head.next,
        ..Cursor::default()
    };
    let marker = |LeftOut { bytes, dropped }: LeftOut| {
        marker(&Cut {
            bytes,
            dropped,
            cursor,
        })
    };
    let output = complete(stdout, out_head, out_room, &marker);
    let error = complete(stderr, err_head, err_room, &marker);
    let bytes = output.left_out.bytes + error.left_out.bytes;
    let dropped = output.left_out.dropped + error.left_out.dropped;
    Summary {
        cut: (bytes > 0).then_some(Cut {
            bytes,
            dropped,
            cursor,
        }),
        next: Cursor {
            stdout: output.next,
            stderr: error.next,
            ..Cursor::default()
        },
        output: output.text,
        error: error.text,
    }
}

/// The finished lines from a cursor on, oldest first; at most `max_chars` characters, and at least one if there is one.
///
/// Pages from the start show everything that is retained exactly once, however long they are, and whether or not the
/// stream grows meanwhile. A cursor beyond the end stands for the end.
pub(crate) fn page<R: Read + Seek>(
    stdout: &mut Stream<R>,
    stderr: &mut Stream<R>,
    from: Cursor,
    max_chars: usize,
) -> Page {
    let max = max_chars.max(1);
    let out = Run::forwards(stdout, stdout.within(from.stdout), max, u64::MAX).finished();
    let err = Run::forwards(stderr, stderr.within(from.stderr), max, u64::MAX).finished();
    let (out_room, err_room) = share(max, out.needs(), err.needs());
    let (output, error) = (out.head(out_room), err.head(err_room));
    Page {
        next: Cursor {
            stdout: output.next,
            stderr: error.next,
            told: from.told.within(stdout.end, stderr.end),
        },
        more: !(output.complete && error.complete),
        output: output.text,
        error: error.text,
    }
}

/// The last line of a stream if no line break ends it: what a program says before it waits for an answer. Of a long one
/// the end.
pub(crate) fn last_words<R: Read + Seek>(stream: &mut Stream<R>) -> Option<String> {
    if stream.last_byte() == Some(b'\n') {
        return None;
    }
    Run::backwards(stream, Position::default(), LAST_WORDS).into_last_words()
}

/// As much from the start as may be shown of it: all, or of what cannot fit what stands before the marker.
fn beginning<R: Read + Seek>(stream: &mut Stream<R>, max: usize) -> Run {
    let cannot_fit = before_end(stream, WINDOW) > 0;
    let enough = if cannot_fit { max / HEAD_SHARE } else { max };
    Run::forwards(stream, Position::default(), enough, WINDOW)
}

/// Half of the room for each; what one does not need, the other gets.
fn share(max: usize, out: usize, err: usize) -> (usize, usize) {
    let out = out.min(max - err.min(max / 2));
    (out, max - out)
}

/// All of it if it fits, else the part before the marker.
fn start(run: &Run, room: usize, budget: Budget) -> Head {
    let is_whole = run.needs() <= room;
    run.head(match (is_whole, budget.tail_only) {
        (true, _) => room,
        (false, true) => 0,
        (false, false) => room / HEAD_SHARE,
    })
}

/// One stream of a summary.
struct Shown {
    text: String,
    left_out: LeftOut,
    next: Position,
}

/// What one stream of a summary leaves out.
#[derive(Clone, Copy, Default)]
struct LeftOut {
    bytes: u64,
    dropped: u64,
}

impl LeftOut {
    fn of<R>(stream: &Stream<R>, start: u64, end: u64) -> Self {
        let bytes = end.saturating_sub(start);
        let kept = stream
            .regions
            .iter()
            .map(|region| region.end.min(end).saturating_sub(region.start.max(start)));
        Self {
            // The estimate may see nothing left out where something was.
            bytes: bytes.max(1),
            dropped: bytes.saturating_sub(kept.sum()),
        }
    }
}

/// Puts the marker and the end of the stream behind its start.
fn complete<R: Read + Seek>(
    stream: &mut Stream<R>,
    head: Head,
    room: usize,
    marker: &dyn Fn(LeftOut) -> String,
) -> Shown {
    let mut text = head.text;
    if head.complete {
        return Shown {
            text,
            left_out: LeftOut::default(),
            next: head.next,
        };
    }
    let mut room = room - text.chars().count();
    let rest = Run::backwards(stream, head.next, room);
    let next = rest.next();
    // The start was not read to the end for its many bytes, and now they turn out to have few characters.
    if rest.is_all_from(head.next, room) {
        text.push_str(&rest.tail(room).text);
        return Shown {
            text,
            left_out: LeftOut::default(),
            next,
        };
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
        room = room.saturating_sub(1);
    }
    // How long the marker is depends on what is left out, which depends on the room the marker leaves. Its room only
    // grows here, so this ends: at the latest when there is no tail any more.
    let mut note = marker(LeftOut::of(stream, head.raw_end, stream.end));
    loop {
        let note_room = note.chars().count();
        let tail = rest.tail(room.saturating_sub(note_room + 1));
        let left_out = LeftOut::of(stream, head.raw_end, tail.raw_start);
        note = marker(left_out);
        if note.chars().count() <= note_room {
            return Shown {
                text: text + &note + "\n" + &tail.text,
                left_out,
                next,
            };
        }
    }
}

#[cfg(test)]
mod tests;
