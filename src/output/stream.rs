//! One stream of a job as bytes at absolute offsets, of which some may not be kept, and as the text that an agent reads.

use std::ops::Range;

use memchr::{memchr, memrchr};

use super::terminal;
use crate::format::thousands;

/// Most raw bytes that are rendered for one part of a reply.
const WINDOW: u64 = 4 << 20;

/// How far a line end is looked for from a place where a part of a reply could begin or end.
const NEAR: u64 = 64 << 10;

/// An escape sequence that is longer than this may be cut.
const LONGEST_SEQUENCE: usize = 1 << 10;

/// Reads bytes of the segment that starts at this offset: those in this range, which may be gone.
pub type ReadSegment = Box<dyn Fn(u64, Range<u64>) -> Option<Vec<u8>> + Send>;

/// What is left of one stream.
pub struct Stream {
    pub read_segment: ReadSegment,
    /// What can still be read: absolute, ascending, disjoint. Cut short where reading fails: files may be removed.
    pub segments: Vec<Range<u64>>,
    /// How many bytes were written to it so far.
    pub end: u64,
    /// Whether no more will come.
    pub ended: bool,
}

impl Stream {
    /// Kept bytes from this offset on, up to the next gap, at most `max`.
    pub fn read(&mut self, at: u64, max: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let end = self.end.min(at.saturating_add(max));
        loop {
            let frontier = at + bytes.len() as u64;
            let segment = self.segments.iter_mut().find(|segment| segment.contains(&frontier));
            let Some(segment) = segment.filter(|_| frontier < end) else {
                return bytes;
            };
            let wanted = frontier..segment.end.min(end);
            let read = (self.read_segment)(segment.start, wanted.clone()).unwrap_or_default();
            bytes.extend_from_slice(&read);
            if at + (bytes.len() as u64) < wanted.end {
                segment.end = at + bytes.len() as u64;
            }
        }
    }

    /// This offset if its byte is kept, else that of the next kept byte, or the end.
    pub fn next_kept(&self, at: u64) -> u64 {
        let kept = self.segments.iter().filter(|kept| kept.end > at.max(kept.start));
        let next = kept.map(|kept| kept.start.max(at)).min();
        next.map_or(self.end, |next| next.min(self.end))
    }

    /// How many of these bytes are not kept.
    pub fn missing(&self, range: &Range<u64>) -> u64 {
        let kept = self.segments.iter().map(|kept| {
            let end = kept.end.min(range.end);
            end.saturating_sub(kept.start.max(range.start))
        });
        (range.end - range.start).saturating_sub(kept.sum())
    }

    /// Up to where the stream can be shown: not within a character or an escape sequence that may still be completed.
    pub fn visible_end(&mut self) -> u64 {
        self.boundary(0, self.end)
    }

    /// The text of these bytes, with a line of its own in the place of those that are not kept.
    pub fn text(&mut self, range: Range<u64>) -> String {
        let mut text = String::new();
        let mut at = range.start;
        while at < range.end {
            let bytes = self.read(at, range.end - at);
            at += bytes.len() as u64;
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                let shown = terminal::line(line);
                text.push_str(&shown);
                if line.ends_with(b"\n") && !shown.ends_with('\n') {
                    text.push('\n');
                }
            }
            let next = self.next_kept(at).min(range.end);
            if next > at {
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                text.push_str(&format!("[… {} bytes are not kept …]\n", thousands(next - at)));
                at = next;
            }
        }
        text
    }

    /// As much text from an offset on as has this many characters, and the offset behind it. It ends at a line end where
    /// one is near, never within a character or an escape sequence, and is empty only where nothing can be shown.
    pub fn forward(&mut self, mut from: u64, room: usize) -> (String, u64) {
        let last = self.visible_end();
        loop {
            let (text, shown) = self.grow(room, |stream, size| {
                let to = stream.boundary(from, from.saturating_add(size).min(stream.end));
                (from..to.max(from), to >= last)
            });
            // Megabytes of control characters show nothing.
            if !text.is_empty() || shown.end >= last || shown.is_empty() {
                return (text, shown.end);
            }
            from = shown.end;
        }
    }

    /// As much text before the end as has this many characters, and the offset of its start, at a line start where one is
    /// near.
    pub fn backward(&mut self, room: usize) -> (String, u64) {
        let end = self.visible_end();
        let (text, shown) = self.grow(room, |stream, size| {
            let start = stream.line_start_near(end.saturating_sub(size), end);
            (start..end, start == 0)
        });
        (text, shown.start)
    }

    /// The text of the largest range that has this many characters: progress bars and colours take many bytes for few. The
    /// range for a number of bytes is given, and whether it cannot grow.
    fn grow(
        &mut self,
        room: usize,
        range: impl Fn(&mut Self, u64) -> (Range<u64>, bool),
    ) -> (String, Range<u64>) {
        // No character is longer.
        let mut size = (room as u64).max(4);
        let mut before = None;
        let mut shrinks = false;
        loop {
            let (bytes, is_all) = range(self, size);
            let text = self.text(bytes.clone());
            let fits = text.chars().count() <= room;
            match before {
                Some(fitting) if !shrinks && !fits => return fitting,
                Some(too_long) if shrinks && text.is_empty() => return too_long,
                _ if fits && (shrinks || is_all || size >= WINDOW) => return (text, bytes),
                _ if !fits && size <= 1 => return (text, bytes),
                _ => {}
            }
            shrinks = !fits;
            size = if fits { size * 2 } else { size / 2 };
            before = (!text.is_empty()).then_some((text, bytes));
        }
    }

    /// A place up to `to` where a part that begins at `from` can end.
    fn boundary(&mut self, from: u64, to: u64) -> u64 {
        if to == self.end && self.ended {
            return to;
        }
        let next = self.next_kept(to);
        if next > to {
            // A note on a gap tells of all of it.
            return next;
        }
        let near = to.saturating_sub(NEAR.min((to - from) / 2 + LONGEST_SEQUENCE as u64)).max(from);
        let start = self.next_kept(near).min(to);
        let bytes = self.read(start, to - start);
        if start + (bytes.len() as u64) < to {
            return to;
        }
        if to < self.end
            && let Some(newline) = memrchr(b'\n', &bytes)
        {
            return start + newline as u64 + 1;
        }
        start + complete(&bytes) as u64
    }

    /// A place from `at` on where a part that ends at `end` can begin: a line start in its first half, else any character.
    fn line_start_near(&mut self, at: u64, end: u64) -> u64 {
        let at = self.next_kept(at);
        if at == 0 || at >= end {
            return at.min(end);
        }
        let before = self.read(at - 1, 1);
        if before.first().is_none_or(|byte| *byte == b'\n') {
            return at;
        }
        let bytes = self.read(at, NEAR.min((end - at) / 2 + 1));
        match memchr(b'\n', &bytes) {
            Some(newline) => at + newline as u64 + 1,
            None => {
                let within = bytes.iter().take(3).take_while(|byte| **byte & 0xC0 == 0x80);
                at + within.count() as u64
            }
        }
    }

    /// The last line if no line end has come yet: what a program says before it waits for an answer.
    pub fn last_line(&mut self) -> Option<String> {
        let end = self.visible_end();
        let bytes = self.read(end.saturating_sub(LONGEST_SEQUENCE as u64), LONGEST_SEQUENCE as u64);
        let start = memrchr(b'\n', &bytes).map_or(0, |newline| newline + 1);
        let text = terminal::line(&bytes[start..]).into_owned();
        (!text.trim().is_empty()).then_some(text)
    }
}

/// How many of these bytes can be shown now: those behind may be the start of a character, of an escape sequence, or of a
/// line end, which has two bytes for some programs.
fn complete(bytes: &[u8]) -> usize {
    let mut end = bytes.len();
    let last = &bytes[end.saturating_sub(LONGEST_SEQUENCE)..];
    if let Some(escape) = memrchr(0x1B, last)
        && terminal::is_within_sequence(&last[escape..])
    {
        end -= last.len() - escape;
    }
    let lead = bytes[..end].iter().rev().take(3).position(|byte| *byte >= 0xC0);
    if let Some(behind) = lead
        && str::from_utf8(&bytes[end - behind - 1..end])
            .is_err_and(|error| error.error_len().is_none())
    {
        end -= behind + 1;
    }
    while end > 0 && bytes[end - 1] == b'\r' {
        end -= 1;
    }
    end
}
