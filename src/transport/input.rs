//! What comes from the client, message by message.

use std::collections::VecDeque;

use serde_json::value::RawValue;
use tokio::io::Interest;
use tracing::debug;

use super::descriptor::{Descriptor, Readiness};
use super::lines::{Line, Lines};
use super::message::{Incoming, batch, read};
use super::{cost, text};

/// The client's end of standard input.
pub(super) struct Input {
    descriptor: Descriptor,
    readiness: Readiness,
    lines: Lines,
    /// What is left of a batch.
    batch: VecDeque<Box<RawValue>>,
    ended: bool,
}

impl Input {
    pub(super) fn new(descriptor: Descriptor) -> Self {
        Self {
            readiness: Readiness::of(&descriptor, Interest::READABLE),
            descriptor,
            lines: Lines::default(),
            batch: VecDeque::new(),
            ended: false,
        }
    }

    /// What the next line, or the next element of a batch, comes to.
    pub(super) fn next(&mut self) -> Option<Incoming> {
        loop {
            if let Some(element) = self.batch.pop_front() {
                return Some(read(element.get().as_bytes()));
            }
            let line = match self.lines.next()? {
                Line::Whole(line) => text::trim(line),
                Line::TooLong(ends) => {
                    return Some(Incoming::Refused(cost::refusal_of_skipped(&ends)));
                }
            };
            if line.is_empty() {
                continue;
            }
            if let Some(refusal) = cost::refusal(line) {
                return Some(Incoming::Refused(refusal));
            }
            match text::mended(line, batch) {
                Ok(Some(elements)) => self.batch = elements,
                _ => return Some(read(line)),
            }
        }
    }

    /// Whether no more will come.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether as much is waiting as one message may have.
    pub(super) fn is_full(&self) -> bool {
        self.lines.is_full()
    }

    /// Waits for bytes, or for there being no more.
    pub(super) async fn fill(&mut self) {
        let (descriptor, room) = (&self.descriptor, self.lines.room());
        let read = self
            .readiness
            .perform(Interest::READABLE, || descriptor.read(room))
            .await;
        match read {
            Ok(read @ 1..) => return self.lines.filled(read),
            Ok(0) => {}
            Err(error) => debug!(%error, "standard input failed"),
        }
        self.ended = true;
        self.lines.finish();
    }
}

/// For [`crate::fuzzing`].
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing {
    use super::super::lines::{Line, Lines};
    use super::super::message::{batch, read};
    use super::super::text;

    /// The lines of a stream that comes in pieces of these lengths.
    pub(crate) fn pieces(stream: &[u8], mut piece: impl FnMut() -> usize) -> Vec<Vec<u8>> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let mut take = |lines: &mut Lines| {
            while let Some(line) = lines.next() {
                let Line::Whole(line) = line else {
                    panic!("no line here is too long")
                };
                found.push(line.to_vec());
            }
        };
        let mut rest = stream;
        while !rest.is_empty() {
            let room = lines.room();
            let length = piece().min(rest.len()).min(room.len());
            room[..length].copy_from_slice(&rest[..length]);
            lines.filled(length);
            rest = &rest[length..];
            take(&mut lines);
        }
        lines.finish();
        take(&mut lines);
        found
    }

    /// Reads each line as a message, as the transport does.
    pub(crate) fn messages(lines: &[Vec<u8>]) {
        for line in lines {
            let line = text::trim(line);
            drop(text::mended(line, batch));
            drop(read(line));
            drop(text::recover_id(line));
            let (head, tail) = line.split_at(line.len() / 2);
            drop(text::recover_id_of_cut(head, tail));
        }
    }
}
