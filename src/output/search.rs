//! What a waiting call looks for in one stream: a line that matches, or anything its reader does not know yet.

use std::io::{Read, Seek};
use std::mem;

use regex::Regex;

use super::cursor::Position;
use super::lines::{Item, Stream};
use super::pieces::{byte_of, pieces};
use crate::format::ellipsize_around;

/// Most characters that are told of a line that was found: a line may have 64 KiB, and a reply has a budget.
const FOUND_CHARS: usize = 500;

/// What is looked for.
#[derive(Clone, Debug)]
pub(crate) enum Sought {
    /// A line that matches.
    Line(Regex),
    /// Whatever the next page would show, or an unfinished line that has grown.
    AnythingNew,
}

/// The line that was looked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// What of it is told.
    pub(crate) line: String,
    /// Where it ends so far, if it is unfinished.
    pub(crate) unfinished: Option<u64>,
}

/// The first line from `position` on that is `sought`; what was skipped or told before is not. Moves `position` to the
/// first line that was not finished.
pub(crate) fn search<R: Read + Seek>(
    stream: &mut Stream<R>,
    position: &mut Position,
    told: u64,
    sought: &Sought,
    is_stopped: impl Fn() -> bool,
) -> Option<Found> {
    *position = stream.within(*position);
    match sought {
        Sought::Line(regex) => matching(stream, position, told, regex, is_stopped),
        Sought::AnythingNew => new(stream, *position, told, is_stopped),
    }
}

fn matching<R: Read + Seek>(
    stream: &mut Stream<R>,
    position: &mut Position,
    told: u64,
    regex: &Regex,
    is_stopped: impl Fn() -> bool,
) -> Option<Found> {
    let mut skip = position.skip;
    let mut lines = stream.lines(position.offset);
    while let Some(item) = lines.next() {
        if is_stopped() {
            return None;
        }
        // Of a line, not of a hole in its place.
        let skip = mem::take(&mut skip) as usize;
        let Item::Line {
            end,
            text,
            finished,
            breaks,
            ..
        } = item
        else {
            continue;
        };
        let is_nothing = text.is_empty() && !breaks;
        // A line that was told of unfinished is none to tell of when it ends there.
        if !is_nothing
            && end != told
            && let Some(found) = regex.find_at(&text, byte_of(&text, skip))
        {
            return Some(Found {
                line: ellipsize_around(&text, found.range(), FOUND_CHARS),
                unfinished: (!finished).then_some(end),
            });
        }
        if finished {
            *position = Position::at(end);
        }
    }
    None
}

fn new<R: Read + Seek>(
    stream: &mut Stream<R>,
    position: Position,
    told: u64,
    is_stopped: impl Fn() -> bool,
) -> Option<Found> {
    for piece in pieces(stream, position) {
        if is_stopped() {
            return None;
        }
        if piece.finished && piece.chars > 0 {
            let line = piece.text.trim_end_matches('\n');
            return Some(Found {
                line: ellipsize_around(line, 0..0, FOUND_CHARS),
                unfinished: None,
            });
        }
        if !piece.finished && piece.end > told {
            let end = piece.text.len();
            return Some(Found {
                line: ellipsize_around(&piece.text, end..end, FOUND_CHARS),
                unfinished: Some(piece.end),
            });
        }
    }
    None
}
