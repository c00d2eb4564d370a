//! The bounded bytes of one stream on disk, addressed by absolute offset.
//!
//! A stream is a sequence of segment files, each named after the offset of its first byte. The first segment and the
//! newest ones stay; whole segments in between are unlinked once the stream has outgrown its bound. Bytes that could
//! not be stored leave a hole between two segments. So every byte is either in a segment or counted as dropped.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::directory::is_deleted;
use super::segments::{base_name, remove_segment, segment_name};
use super::store::Store;
use crate::format::io_error_text;
use crate::job::Captured;

/// A stream is kept in at most this many segments.
const MAX_SEGMENTS: u64 = 8;

/// How long to leave a failing disk alone.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The writing side of a stream, owned by the capture thread. Its operations take as long as the disk does.
#[derive(Debug)]
pub struct OutputLog {
    store: Arc<Store>,
    name: String,
    segment_bytes: u64,
    captured: Captured,
    /// Where the last of these segments is written, until it is closed.
    file: Option<File>,
    retry_at: Option<Instant>,
}

impl OutputLog {
    pub fn new(store: Arc<Store>, id: Uuid, stream: &str, max_bytes: u64) -> Self {
        // In segments that are as large as the store, the first one would leave no room for the newest.
        let max_bytes = max_bytes.min(store.max_bytes());
        Self {
            store,
            name: base_name(id, stream),
            segment_bytes: (max_bytes / MAX_SEGMENTS).max(1),
            captured: Captured::default(),
            file: None,
            retry_at: None,
        }
    }

    pub fn captured(&self) -> &Captured {
        &self.captured
    }

    /// Stores the bytes, or counts them as dropped.
    pub fn append(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.append_some(rest) {
                Ok(0) => break,
                Ok(written) => rest = &rest[written..],
                Err(error) => {
                    self.fail(&error);
                    break;
                }
            }
        }
        self.captured.end += rest.len() as u64;
    }

    /// The output has ended: nothing is appended any more.
    pub fn close(&mut self) {
        self.close_segment();
        self.captured.ended = true;
    }

    /// Stores the first of these bytes and says how many; none while a failing disk is left alone.
    fn append_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_full = |last: &Range<u64>| last.end - last.start >= self.segment_bytes;
        if self.captured.segments.last().is_some_and(is_full) {
            self.close_segment();
        }
        if self.file.is_none() && !self.open_segment()? {
            return Ok(0);
        }
        let is_large = self.is_large();
        let (Some(file), Some(segment)) = (&mut self.file, self.captured.segments.last_mut())
        else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let room = self.segment_bytes - (segment.end - segment.start);
        let wanted = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let reserved = self.store.reserve(wanted, is_large);
        if reserved == 0 {
            // The next segment has room if this stream has older ones to give up.
            self.close_segment();
            return if self.open_segment()? { self.append_some(bytes) } else { Ok(0) };
        }
        let written = match is_deleted(file) {
            Ok(false) => file.write(&bytes[..reserved]),
            Ok(true) => Err(io::Error::other("its file was deleted")),
            Err(error) => Err(error),
        };
        let stored = *written.as_ref().unwrap_or(&0);
        self.store.release((reserved - stored) as u64);
        segment.end += stored as u64;
        self.captured.end = segment.end;
        match written? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            stored => Ok(stored),
        }
    }

    /// Notes why, and leaves the open segment.
    fn fail(&mut self, error: &io::Error) {
        tracing::warn!(stream = self.name, %error, "output is not stored");
        self.captured.unstored.get_or_insert_with(|| io_error_text(error).into());
        self.retry_at = Some(Instant::now() + RETRY_AFTER);
        self.close_segment();
    }

    /// What the open segment holds stays readable, unless its file is gone.
    fn close_segment(&mut self) {
        let Some(file) = self.file.take() else {
            return;
        };
        let deleted = is_deleted(&file).unwrap_or(false);
        drop(file);
        let is_lost = |segment: &mut Range<u64>| deleted || segment.is_empty();
        if let Some(segment) = self.captured.segments.pop_if(is_lost) {
            remove_segment(&self.store, &self.name, &segment);
        }
    }

    fn is_large(&self) -> bool {
        self.captured.segments.iter().filter(|segment| !segment.is_empty()).count() > 1
    }

    /// Opens the segment for the next byte, unless the disk has just failed.
    fn open_segment(&mut self) -> io::Result<bool> {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return Ok(false);
        }
        // One that has given up all but its first segment is still large: else it would be granted the last bytes of the
        // room, give them up again for the next ones, and so on.
        let is_large = self.is_large();
        self.store.wait_for_room(is_large);
        self.make_room();
        if self.store.is_full(is_large) {
            let full = "the output of all jobs has reached --max-total-bytes";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, full));
        }
        let directory = self.store.directory()?;
        let start = self.captured.end;
        self.file = Some(directory.create_file(&segment_name(&self.name, start))?);
        self.captured.segments.push(start..start);
        Ok(true)
    }

    /// Unlinks segments after the first, oldest first, until one more fits both bounds.
    fn make_room(&mut self) {
        while self.captured.segments.len() > 1
            && (self.captured.segments.len() as u64 >= MAX_SEGMENTS
                || self.store.is_full(self.is_large()))
        {
            let segment = self.captured.segments.remove(1);
            remove_segment(&self.store, &self.name, &segment);
        }
    }
}
