//! From the retained bytes of one stream to its lines and its holes.

mod cuts;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use cuts::{cut, whole, written_over};
use memchr::memchr;

use super::cursor::Position;
use super::render;

/// Where a line without a newline is cut.
const LINE_LIMIT: usize = 64 * 1024;

/// How much is read at once: first a little, since most readers want a page, then more and more.
const FIRST_CHUNK: u64 = 8 * 1024;
const LARGEST_CHUNK: u64 = 64 * 1024;

/// What is left of one stream.
#[derive(Debug)]
pub(crate) struct Stream<R> {
    /// Positioned by absolute offset.
    pub(crate) reader: R,
    /// What can still be read: absolute, ascending, disjoint. What lies between, before, or behind them was dropped.
    pub(crate) regions: Vec<Range<u64>>,
    /// How many bytes were written to it so far.
    pub(crate) end: u64,
    /// Whether no more will come.
    pub(crate) ended: bool,
}

/// What a stream consists of, in order and without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Line {
        start: u64,
        end: u64,
        /// As a terminal shows it, without the newline.
        text: Cow<'a, str>,
        /// False only for the last line of an open stream that may still grow.
        finished: bool,
        /// Whether what follows starts on a new line: not where a long line was cut, nor at the end.
        breaks: bool,
    },
    /// Bytes that were dropped.
    Hole { start: u64, bytes: u64 },
    /// Bytes that were kept and cannot be read any more.
    Gone { start: u64, bytes: u64 },
}

impl<R: Read + Seek> Stream<R> {
    /// The items from a line start on. The split depends on nothing else, so that readers who arrive by different
    /// ways, or while the stream grows, see the same lines:
    ///
    /// - a line is everything through its newline;
    /// - a line with none in its first 64 KiB is cut there, but neither within a character nor an escape sequence;
    /// - if it is written over in there, as a progress bar is, it is cut where that last happens, and what is before shows
    ///   nothing;
    /// - what is left at the end is finished when the stream has ended or a hole follows.
    pub(crate) fn lines(&mut self, from: u64) -> Lines<'_, R> {
        self.lines_cut_at(LINE_LIMIT, from)
    }

    /// A position, or the end for one beyond it.
    pub(super) fn within(&self, position: Position) -> Position {
        if position.offset > self.end {
            Position::at(self.end)
        } else {
            position
        }
    }

    /// The byte before the end, if it can be read.
    pub(super) fn last_byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        self.reader
            .seek(SeekFrom::Start(self.end.checked_sub(1)?))
            .ok()?;
        self.reader.read_exact(&mut byte).ok()?;
        Some(byte[0])
    }

    fn lines_cut_at(&mut self, limit: usize, from: u64) -> Lines<'_, R> {
        let end = self.end;
        let clipped = self
            .regions
            .iter()
            .map(|region| region.start..region.end.min(end));
        let kept: Vec<_> = clipped.collect();
        Lines {
            regions: kept.clone(),
            kept,
            holes: VecDeque::new(),
            reader: &mut self.reader,
            end,
            ended: self.ended,
            limit,
            at: from,
            chunk: FIRST_CHUNK,
            buffer: Vec::new(),
            taken: 0,
        }
    }
}

/// Reads a stream forwards. Its memory is one chunk and one line, however long the stream is.
pub(crate) struct Lines<'a, R> {
    reader: &'a mut R,
    /// Cut short where reading fails: files may vanish under a reader.
    regions: Vec<Range<u64>>,
    /// The same as they were said to be.
    kept: Vec<Range<u64>>,
    /// Parts of a hole that stand before `at`.
    holes: VecDeque<Item<'static>>,
    end: u64,
    ended: bool,
    limit: usize,
    /// Where the next item starts; `buffer[taken..]` holds the bytes from there on.
    at: u64,
    /// How much is read next.
    chunk: u64,
    buffer: Vec<u8>,
    taken: usize,
}

impl<R: Read + Seek> Lines<'_, R> {
    /// The next item. It is no `Iterator`, since lines that are shown as they were written are not copied.
    pub(crate) fn next(&mut self) -> Option<Item<'_>> {
        if let Some(hole) = self.holes.pop_front() {
            return Some(hole);
        }
        loop {
            let pending = &self.buffer[self.taken..];
            let window = &pending[..pending.len().min(self.limit)];
            if let Some(newline) = memchr(b'\n', window) {
                return Some(self.line(newline + 1, true, true));
            }
            if window.len() == self.limit
                && let Some(len) = written_over(window)
            {
                return Some(self.nothing(len));
            }
            // One byte more than the limit, to know at the cut whether a hole follows.
            if pending.len() > self.limit {
                let len = cut(window);
                return Some(self.line(len, true, false));
            }
            if !self.fill() {
                break;
            }
        }
        let pending = &self.buffer[self.taken..];
        let hole_follows = self.frontier() < self.end;
        if pending.is_empty() {
            if hole_follows {
                self.skip_hole();
            }
            return self.holes.pop_front();
        }
        let len = if pending.len() == self.limit {
            cut(pending)
        } else {
            pending.len()
        };
        let is_rest = len == pending.len();
        let finished = self.ended || hole_follows || pending.len() == self.limit;
        Some(self.line(len, finished, is_rest && hole_follows))
    }

    /// The first offset that is not in the buffer.
    fn frontier(&self) -> u64 {
        self.at + (self.buffer.len() - self.taken) as u64
    }

    /// Reads one chunk more; false at a hole and at the end.
    fn fill(&mut self) -> bool {
        let frontier = self.frontier();
        let Some(region) = self
            .regions
            .iter_mut()
            .find(|region| region.contains(&frontier))
        else {
            return false;
        };
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let before = self.buffer.len();
        let wanted = (region.end - frontier).min(self.chunk);
        self.chunk = LARGEST_CHUNK.min(self.chunk * 2);
        // Else it would be read in steps, from very small ones on.
        self.buffer.reserve(wanted as usize);
        if self.reader.seek(SeekFrom::Start(frontier)).is_ok() {
            // A failure shows as less than what was wanted, like an early end.
            let _ = self
                .reader
                .by_ref()
                .take(wanted)
                .read_to_end(&mut self.buffer);
        }
        let read = (self.buffer.len() - before) as u64;
        if read < wanted {
            region.end = frontier + read;
        }
        read > 0
    }

    fn line(&mut self, len: usize, finished: bool, breaks: bool) -> Item<'_> {
        let (start, end) = self.take(len);
        let raw = &self.buffer[self.taken - len..self.taken];
        // What may still grow may end within a character, which is no broken one yet.
        let shown = if finished { raw } else { &raw[..whole(raw)] };
        Item::Line {
            start,
            end,
            text: render::line(shown),
            finished,
            breaks,
        }
    }

    /// A piece of a line that is written over.
    fn nothing(&mut self, len: usize) -> Item<'static> {
        let (start, end) = self.take(len);
        Item::Line {
            start,
            end,
            text: Cow::default(),
            finished: true,
            breaks: false,
        }
    }

    /// The offsets of the next so many bytes, which the next item does not begin with any more.
    fn take(&mut self, len: usize) -> (u64, u64) {
        let start = self.at;
        self.taken += len;
        self.at += len as u64;
        (start, self.at)
    }

    /// From here to the next byte that can be read.
    fn skip_hole(&mut self) {
        let start = self.at;
        while self.at < self.end {
            let starts = self
                .regions
                .iter()
                .filter(|region| !region.is_empty())
                .map(|region| region.start);
            self.at = starts
                .filter(|&next| next > self.at)
                .min()
                .unwrap_or(self.end);
            if self.fill() {
                break;
            }
        }
        self.note_hole(start..self.at);
    }

    /// Tells what was dropped from what has vanished.
    fn note_hole(&mut self, hole: Range<u64>) {
        let mut start = hole.start;
        while start < hole.end {
            let is_kept = |at: u64| self.kept.iter().any(|range| range.contains(&at));
            let was_kept = is_kept(start);
            let bounds = self.kept.iter().flat_map(|range| [range.start, range.end]);
            let end = bounds
                .filter(|&bound| bound > start && bound < hole.end && is_kept(bound) != was_kept)
                .min()
                .unwrap_or(hole.end);
            let bytes = end - start;
            self.holes.push_back(if was_kept {
                Item::Gone { start, bytes }
            } else {
                Item::Hole { start, bytes }
            });
            start = end;
        }
    }
}

#[cfg(test)]
mod tests;
