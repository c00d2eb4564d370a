//! A byte stream, cut into lines of bounded length.

/// The longest line that is kept.
pub(crate) const MAX_LINE: usize = 16 << 20;

/// How much of each end of a longer line is kept: enough for an id to be found in either.
const KEPT: usize = 4096;

/// How much is asked for in one read.
const READ: usize = 64 << 10;

/// Bytes that were read and not yet taken as lines.
#[derive(Default)]
pub(crate) struct Lines {
    /// Initialised throughout; `start..end` is what was read and not yet taken.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// No newline in `start..searched`, so that a line which comes in pieces is searched once.
    searched: usize,
    /// Set while the rest of a line that is too long is being thrown away.
    skipped: Option<Skipped>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Line<'a> {
    /// Without its newline.
    Whole(&'a [u8]),
    TooLong(Skipped),
}

/// Both ends of a line that was too long to keep.
#[derive(Debug, PartialEq)]
pub(crate) struct Skipped {
    pub(crate) head: Vec<u8>,
    pub(crate) tail: Vec<u8>,
    /// The longest line that could have been kept: less than [`MAX_LINE`] where there is no memory for more.
    pub(crate) limit: usize,
}

impl Lines {
    /// Where to put the next bytes; [`Lines::filled`] says how many came.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end, self.searched) = (0, 0, 0);
            // One long line must not cost its length for ever.
            if self.buffer.len() > 4 * READ {
                self.buffer = Vec::new();
            }
        }
        if self.buffer.len() - self.end < READ && self.start > self.buffer.len() / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.searched -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < READ {
            self.grow();
        }
        &mut self.buffer[self.end..]
    }

    fn grow(&mut self) {
        let grown = (2 * self.buffer.len()).clamp(READ, MAX_LINE + 2 * READ);
        let grown = grown.max(self.end + READ);
        let more = grown - self.buffer.len();
        // Only the line that is still coming can be given up, which is all there is once the others are taken.
        let can_skip = self.searched == self.end && self.start < self.end;
        if can_skip && self.buffer.try_reserve_exact(more).is_err() {
            self.skip_waiting(self.end - self.start);
            (self.start, self.end, self.searched) = (0, 0, 0);
        } else {
            self.buffer.resize(grown, 0);
        }
    }

    pub(crate) fn filled(&mut self, bytes: usize) {
        self.end += bytes;
    }

    /// Whether as much is waiting as one line may have: reading on would only grow the heap.
    pub(crate) fn is_full(&self) -> bool {
        self.end - self.start > MAX_LINE
    }

    /// Ends the last line, should it lack its newline.
    pub(crate) fn finish(&mut self) {
        if self.start < self.end || self.skipped.is_some() {
            self.room()[0] = b'\n';
            self.filled(1);
        }
    }

    /// The next complete line.
    pub(crate) fn next(&mut self) -> Option<Line<'_>> {
        let newline = self.buffer[self.searched..self.end]
            .iter()
            .position(|&byte| byte == b'\n');
        let Some(newline) = newline.map(|offset| self.searched + offset) else {
            self.searched = self.end;
            self.skip_overlong();
            return None;
        };
        let (start, length) = (self.start, newline - self.start);
        self.start = newline + 1;
        self.searched = self.start;
        if self.skipped.is_some() || length > MAX_LINE {
            return Some(Line::TooLong(self.skip(start, newline, MAX_LINE)));
        }
        Some(Line::Whole(&self.buffer[start..newline]))
    }

    /// Throws away what there is of a line that has grown too long.
    fn skip_overlong(&mut self) {
        if self.skipped.is_some() || self.is_full() {
            self.skip_waiting(MAX_LINE);
        }
    }

    fn skip_waiting(&mut self, limit: usize) {
        let skipped = self.skip(self.start, self.end, limit);
        self.skipped = Some(skipped);
        self.start = self.end;
    }

    /// The ends of the overlong line that goes on, or begins, with these bytes.
    fn skip(&mut self, start: usize, end: usize, limit: usize) -> Skipped {
        let piece = &self.buffer[start..end];
        let mut skipped = self.skipped.take().unwrap_or_else(|| Skipped {
            head: piece[..piece.len().min(KEPT)].to_vec(),
            tail: Vec::new(),
            limit,
        });
        let tail = &piece[piece.len().saturating_sub(KEPT)..];
        let surplus = (skipped.tail.len() + tail.len()).saturating_sub(KEPT);
        skipped.tail.drain(..surplus);
        skipped.tail.extend_from_slice(tail);
        skipped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `stream` in pieces and returns its lines, the last one ended if need be.
    fn lines(stream: &[u8], mut piece: impl FnMut() -> usize) -> Vec<Vec<u8>> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let mut rest = stream;
        loop {
            while let Some(line) = lines.next() {
                let Line::Whole(line) = line else {
                    panic!("no line here is too long")
                };
                found.push(line.to_vec());
            }
            if rest.is_empty() {
                break;
            }
            let room = lines.room();
            let length = piece().clamp(1, rest.len().min(room.len()));
            room[..length].copy_from_slice(&rest[..length]);
            lines.filled(length);
            rest = &rest[length..];
        }
        lines.finish();
        while let Some(Line::Whole(line)) = lines.next() {
            found.push(line.to_vec());
        }
        found
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_bytes_arrive(
            stream in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..300),
            pieces in proptest::collection::vec(1usize..40, 1..20),
        ) {
            let mut expected: Vec<_> = stream.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
            if expected.last().is_some_and(Vec::is_empty) {
                expected.pop();
            }
            let mut pieces = pieces.into_iter().cycle();
            prop_assert_eq!(lines(&stream, || pieces.next().expect("it cycles")), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Long enough for what is left of a line to be moved to the front while the rest of it comes.
        #[test]
        fn long_lines_do_not_depend_on_how_they_arrive(
            lengths in proptest::collection::vec(0usize..60_000, 1..8),
            pieces in proptest::collection::vec(1usize..70_000, 1..8),
        ) {
            let expected: Vec<_> = lengths.iter().map(|&length| vec![b'x'; length]).collect();
            let stream: Vec<u8> = expected.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect();
            let mut pieces = pieces.into_iter().cycle();
            prop_assert!(lines(&stream, || pieces.next().expect("it cycles")) == expected);
        }
    }

    #[test]
    fn an_overlong_line_is_skipped_in_bounded_memory_and_leaves_its_ends() {
        let mut lines = Lines::default();
        let feed = |lines: &mut Lines, mut bytes: &[u8]| {
            while !bytes.is_empty() {
                let room = lines.room();
                let length = bytes.len().min(room.len());
                room[..length].copy_from_slice(&bytes[..length]);
                lines.filled(length);
                bytes = &bytes[length..];
                if !bytes.is_empty() {
                    assert_eq!(lines.next(), None);
                }
            }
        };
        feed(&mut lines, b"head");
        for _ in 0..5 {
            feed(&mut lines, &vec![b'x'; MAX_LINE / 2]);
            assert_eq!(lines.next(), None);
            assert!(lines.buffer.len() <= MAX_LINE + 4 * READ);
        }
        feed(&mut lines, b"tail\nnext\n");
        let Some(Line::TooLong(Skipped { head, tail, limit })) = lines.next() else {
            panic!("the line is too long")
        };
        assert_eq!(limit, MAX_LINE);
        assert!(head.starts_with(b"headxxx") && head.len() == KEPT);
        assert!(tail.ends_with(b"xxxtail") && tail.len() == KEPT);
        assert_eq!(lines.next(), Some(Line::Whole(b"next")));
        assert_eq!(lines.next(), None);
        lines.room();
        assert!(lines.buffer.len() <= 4 * READ);
    }

    #[test]
    fn a_line_of_just_the_limit_is_whole() {
        let mut stream = vec![b'x'; MAX_LINE];
        stream.push(b'\n');
        assert_eq!(lines(&stream, || READ)[0].len(), MAX_LINE);
    }
}
