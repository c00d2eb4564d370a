//! Consecutive pieces of a stream, and as many of them, from either end, as there is room for.

use std::collections::VecDeque;
use std::io::{Read, Seek};

use crate::output::cursor::Position;
use crate::output::lines::Stream;
use crate::output::pieces::{Piece, byte_of, pieces};

/// How many bytes are looked at for one end of a stream. A progress bar renders to next to nothing, so what fits into
/// a reply may lie far apart; beyond this it is not looked for.
pub(super) const WINDOW: u64 = 4 * 1024 * 1024;

/// The first try is twice as many bytes as there are characters to be found, enough where most of what was written is
/// shown; but not less than this.
const SMALLEST_WINDOW: u64 = 4 * 1024;

/// Consecutive pieces of one stream.
pub(super) struct Run {
    from: Position,
    pieces: VecDeque<Piece>,
    /// How many characters they have.
    chars: usize,
    /// Whether nothing follows them.
    complete: bool,
}

/// The first pieces of a run.
pub(super) struct Head {
    pub(super) text: String,
    /// Where a reader of this goes on.
    pub(super) next: Position,
    /// How far it reaches in raw bytes: exact at a line break, and in lines that are shown as they were written.
    pub(super) raw_end: u64,
    /// Whether nothing follows it.
    pub(super) complete: bool,
}

/// The last pieces of a run.
pub(super) struct Tail {
    pub(super) text: String,
    /// Where it starts in raw bytes, as exact as [`Head::raw_end`].
    pub(super) raw_start: u64,
}

impl Run {
    /// From a position on, until there are more than `enough` characters or the lines read exceed `window` bytes.
    pub(super) fn forwards<R: Read + Seek>(
        stream: &mut Stream<R>,
        from: Position,
        enough: usize,
        window: u64,
    ) -> Self {
        let mut run = Self::new(from);
        let mut read = 0;
        for piece in pieces(stream, from) {
            if run.chars > enough || read > window {
                run.complete = false;
                break;
            }
            read += piece.read;
            run.push(piece);
        }
        run
    }

    /// The end of the stream: at least `enough` characters, if there are so many behind `floor`.
    ///
    /// In the last 4 MiB without any newline there is no telling where lines were cut; only there the split, and a
    /// sequence cut in two, may differ from what reading forwards shows.
    pub(super) fn backwards<R: Read + Seek>(
        stream: &mut Stream<R>,
        floor: Position,
        enough: usize,
    ) -> Self {
        let mut window = (2 * enough as u64).clamp(SMALLEST_WINDOW, WINDOW);
        loop {
            let start = before_end(stream, window);
            let from = if start > floor.offset {
                Position::at(start)
            } else {
                floor
            };
            let mut run = Self::new(from);
            let mut at_line_start = from == floor;
            for piece in pieces(stream, from) {
                if !at_line_start && piece.text.ends_with('\n') {
                    run = Self::new(Position::at(piece.end));
                    at_line_start = true;
                } else {
                    run.push(piece);
                    run.forget_beyond(enough);
                }
            }
            let is_enough = at_line_start && run.chars >= enough;
            if is_enough || from == floor || window == WINDOW {
                return run;
            }
            window = WINDOW.min(window * 4);
        }
    }

    fn new(from: Position) -> Self {
        Self {
            from,
            pieces: VecDeque::new(),
            chars: 0,
            complete: true,
        }
    }

    fn push(&mut self, piece: Piece) {
        self.chars += piece.chars;
        self.pieces.push_back(piece);
    }

    /// Drops pieces from the front as long as enough remain.
    fn forget_beyond(&mut self, enough: usize) {
        while self.pieces.len() > 1
            && let Some(first) = self.pieces.front()
            && self.chars - first.chars >= enough
        {
            self.chars -= first.chars;
            self.pieces.pop_front();
        }
    }

    /// Without the line that may still grow.
    pub(super) fn finished(mut self) -> Self {
        if let Some(last) = self.pieces.back()
            && !last.finished
        {
            self.chars -= last.chars;
            self.pieces.pop_back();
        }
        self
    }

    /// The last line if no line break ends it.
    pub(super) fn into_last_words(mut self) -> Option<String> {
        let last = self.pieces.pop_back()?;
        (!last.text.is_empty() && !last.text.ends_with('\n')).then_some(last.text)
    }

    /// How much room showing all of it takes.
    pub(super) fn needs(&self) -> usize {
        if self.complete {
            self.chars
        } else {
            usize::MAX
        }
    }

    /// Whether this shows everything from `position` on in so much room.
    pub(super) fn is_all_from(&self, position: Position, room: usize) -> bool {
        self.needs() <= room
            && self
                .pieces
                .front()
                .is_some_and(|first| first.at == position)
    }

    /// As many pieces as there is room for, and part of the next one if these would leave half of the room empty.
    pub(super) fn head(&self, room: usize) -> Head {
        let mut head = Head {
            text: String::new(),
            next: self.from,
            raw_end: self.from.offset,
            complete: self.complete,
        };
        let mut left = room;
        for piece in &self.pieces {
            if piece.chars <= left {
                left -= piece.chars;
                head.text.push_str(&piece.text);
                head.next = piece.next();
                head.raw_end = piece.end;
                continue;
            }
            head.complete = false;
            if left * 2 > room {
                let part = &piece.text[..byte_of(&piece.text, left)];
                head.text.push_str(part);
                // A line of 64 KiB does not have more characters than fit.
                head.next = Position {
                    offset: piece.at.offset,
                    skip: piece.at.skip + left as u32,
                };
                head.raw_end = piece.end.min(piece.at.offset + part.len() as u64);
            }
            break;
        }
        head
    }

    /// The same from the other end.
    pub(super) fn tail(&self, room: usize) -> Tail {
        let mut left = room;
        let mut first = self.pieces.len();
        while first > 0 && self.pieces[first - 1].chars <= left {
            first -= 1;
            left -= self.pieces[first].chars;
        }
        let mut tail = Tail {
            text: String::new(),
            raw_start: match self.pieces.get(first) {
                Some(piece) => piece.at.offset,
                None => self.pieces.back().map_or(self.from.offset, |last| last.end),
            },
        };
        if first > 0 && left * 2 > room {
            let piece = &self.pieces[first - 1];
            let part = &piece.text[byte_of(&piece.text, piece.chars - left)..];
            tail.text.push_str(part);
            tail.raw_start = piece
                .at
                .offset
                .max(piece.end.saturating_sub(part.len() as u64));
        }
        tail.text
            .extend(self.pieces.range(first..).map(|piece| piece.text.as_str()));
        tail
    }

    /// Where a reader of all of it goes on.
    pub(super) fn next(&self) -> Position {
        self.pieces.back().map_or(self.from, Piece::next)
    }
}

/// The offset with `window` retained bytes behind it, or the start.
pub(super) fn before_end<R>(stream: &Stream<R>, window: u64) -> u64 {
    let mut left = window;
    for region in stream.regions.iter().rev() {
        let len = region.end.saturating_sub(region.start);
        if len >= left {
            return region.end - left;
        }
        left -= len;
    }
    0
}
