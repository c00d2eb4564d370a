//! Lines as they are shown: with their line break, without what a reader has seen of them, with a note for each hole.

use std::io::{Read, Seek};
use std::mem;
use std::ops::Range;

use super::cursor::Position;
use super::lines::{Item, Stream};
use crate::format::thousands;

/// A line, or the note on a hole, with its line break.
pub(super) struct Piece {
    pub(super) at: Position,
    pub(super) end: u64,
    /// How many bytes were read for it: none for a hole.
    pub(super) read: u64,
    /// Without the skipped characters.
    pub(super) text: String,
    pub(super) chars: usize,
    pub(super) finished: bool,
}

/// The pieces from a position on.
pub(super) fn pieces<R: Read + Seek>(
    stream: &mut Stream<R>,
    from: Position,
) -> impl Iterator<Item = Piece> {
    let mut skip = from.skip;
    let mut lines = stream.lines(from.offset);
    std::iter::from_fn(move || Some(Piece::new(lines.next()?, mem::take(&mut skip))))
}

impl Piece {
    fn new(item: Item<'_>, skip: u32) -> Self {
        match item {
            Item::Line {
                start,
                end,
                text,
                finished,
                breaks,
            } => {
                let mut shown = String::with_capacity(text.len() + 1);
                shown.push_str(&text);
                if breaks {
                    shown.push('\n');
                }
                Self {
                    read: end - start,
                    finished,
                    ..Self::behind(skip, shown, start..end)
                }
            }
            Item::Hole { start, bytes } => Self::note(dropped(bytes), skip, start..start + bytes),
            Item::Gone { start, bytes } => Self::note(gone(bytes), skip, start..start + bytes),
        }
    }

    fn note(text: String, skip: u32, bytes: Range<u64>) -> Self {
        let text = text + "\n";
        // More characters than the note has were shown of a line that has been dropped since.
        let is_of_note = (skip as usize) < text.len();
        Self::behind(if is_of_note { skip } else { 0 }, text, bytes)
    }

    /// What is left to show of a text when `skip` characters were shown.
    fn behind(skip: u32, mut text: String, bytes: Range<u64>) -> Self {
        text.drain(..byte_of(&text, skip as usize));
        Self {
            at: Position {
                offset: bytes.start,
                skip,
            },
            end: bytes.end,
            read: 0,
            chars: text.chars().count(),
            text,
            finished: true,
        }
    }

    /// Where a reader of this piece goes on: a line that may still grow is read again.
    pub(super) fn next(&self) -> Position {
        Position::at(if self.finished {
            self.end
        } else {
            self.at.offset
        })
    }
}

/// The byte index of a character, or the length.
pub(super) fn byte_of(text: &str, char: usize) -> usize {
    text.char_indices()
        .nth(char)
        .map_or(text.len(), |(byte, _)| byte)
}

/// What is shown in place of bytes that were dropped.
pub(super) fn dropped(bytes: u64) -> String {
    format!(
        "[{} bytes were dropped here: over the output limit, or not storable]",
        thousands(bytes)
    )
}

/// What is shown in place of bytes that were kept, but whose file has vanished.
pub(super) fn gone(bytes: u64) -> String {
    format!(
        "[{} bytes cannot be read any more: their file is gone]",
        thousands(bytes)
    )
}
