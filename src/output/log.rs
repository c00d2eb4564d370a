//! The bounded bytes of one stream on disk, addressed by absolute offset.
//!
//! A stream is a sequence of segment files, each named after the offset of its first byte. The first segment and the
//! newest ones stay; whole segments in between are unlinked once the stream has outgrown its bound. Bytes that could
//! not be stored leave a hole between two segments. So every byte is either in a segment or counted as dropped.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::segments::{StreamKind, base_name, segment_name};
use super::store::Store;
use crate::format::io_error_text;
use crate::job::{Captured, Unstored};

/// A stream is kept in at most this many segments.
const MAX_SEGMENTS: u64 = 8;

/// How long to leave a failing disk alone.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The writer's side of a stream: owned by the job's watcher, and by a thread while it writes.
#[derive(Debug)]
pub(crate) struct OutputLog {
    store: Arc<Store>,
    name: String,
    max_bytes: u64,
    current: Option<Current>,
    captured: Captured,
    retry_at: Option<Instant>,
}

/// The segment being written: the last one in `captured.segments`, once it holds a byte.
#[derive(Debug)]
struct Current {
    file: File,
    start: u64,
}

impl OutputLog {
    pub(crate) fn new(store: Arc<Store>, id: Uuid, stream: StreamKind, max_bytes: u64) -> Self {
        // In segments that are as large as the store, the first one would leave no room for the newest.
        let max_bytes = max_bytes.min(store.room().max());
        Self {
            store,
            name: base_name(id, stream),
            max_bytes,
            current: None,
            captured: Captured::default(),
            retry_at: None,
        }
    }

    pub(crate) fn captured(&self) -> &Captured {
        &self.captured
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Whether a file is open, which closes when this is dropped.
    pub(crate) fn is_open(&self) -> bool {
        self.current.is_some()
    }

    /// Stores the bytes, or counts them as dropped. Blocks for as long as the disk does.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(room) = self.reserve(rest.len()) else {
                if let Err(error) = self.open_segment() {
                    self.fail(&error);
                }
                if self.current.is_none() {
                    return self.drop_bytes(rest.len());
                }
                continue;
            };
            let (now, later) = rest.split_at(room);
            let written = self.write(now);
            let stored = *written.as_ref().unwrap_or(&0);
            self.store.room().subtract((room - stored) as u64);
            match written {
                Ok(_) => rest = &rest[stored..],
                Err(error) => {
                    self.fail(&error);
                    self.drop_bytes(now.len());
                    rest = later;
                }
            }
        }
    }

    /// Bytes, up to these, that the open segment takes, for which the store now has room; none when there is no segment to
    /// write to.
    fn reserve(&mut self, wanted: usize) -> Option<usize> {
        let start = self.current.as_ref()?.start;
        let room = self.segment_bytes() - (self.captured.end - start);
        let wanted = wanted.min(usize::try_from(room).unwrap_or(usize::MAX));
        let reserved = self.store.room().reserve(wanted, self.store_limit());
        if reserved == 0 {
            self.close_segment();
        }
        (reserved > 0).then_some(reserved)
    }

    /// Up to where this stream may fill the store.
    fn store_limit(&self) -> u64 {
        match self.captured.segments.len() {
            0 | 1 => self.store.room().max(),
            _ => self.store.room().limit_for_large(),
        }
    }

    fn store_is_full(&self) -> bool {
        self.store.room().retained() >= self.store_limit()
    }

    fn segment_bytes(&self) -> u64 {
        (self.max_bytes / MAX_SEGMENTS).max(1)
    }

    /// Stores bytes that have been reserved, or the first of them.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let current = self.current.as_mut().ok_or(io::ErrorKind::NotFound)?;
        if current.file.metadata()?.nlink() == 0 {
            return Err(io::Error::other("its file was deleted"));
        }
        let written = current.file.write(bytes)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let before = self.captured.end;
        let after = before + written as u64;
        match self.captured.segments.last_mut() {
            Some(segment) if segment.start == current.start => segment.end = after,
            _ => self.captured.segments.push(before..after),
        }
        self.captured.end = after;
        Ok(written)
    }

    /// Notes why, and leaves the open segment.
    fn fail(&mut self, error: &io::Error) {
        tracing::warn!(stream = self.name, %error, "output is not stored");
        let is_full = self.store_is_full();
        self.captured
            .unstored
            .get_or_insert_with(|| match error.kind() {
                io::ErrorKind::QuotaExceeded if is_full => Unstored::StoreIsFull,
                _ => Unstored::Failed(io_error_text(error).into()),
            });
        self.retry_at = Some(Instant::now() + RETRY_AFTER);
        self.close_segment();
    }

    /// What the open segment holds stays readable, unless its file is gone.
    fn close_segment(&mut self) {
        let Some(Current { file, start }) = self.current.take() else {
            return;
        };
        let holds_bytes = self
            .captured
            .segments
            .last()
            .is_some_and(|segment| segment.start == start);
        let deleted = file.metadata().is_ok_and(|metadata| metadata.nlink() == 0);
        if holds_bytes && deleted {
            let lost = self
                .captured
                .segments
                .pop()
                .map_or(0, |segment| segment.end - segment.start);
            self.store.room().subtract(lost);
        } else if !holds_bytes {
            self.unlink(start);
        }
    }

    fn drop_bytes(&mut self, count: usize) {
        self.captured.end += count as u64;
    }

    /// Opens the segment for the next byte, unless the disk just failed or the store is full.
    fn open_segment(&mut self) -> io::Result<()> {
        self.make_room();
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        if self.store_is_full() {
            let full = "the output of all jobs has reached --max-total-bytes";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, full));
        }
        let directory = self.store.directory()?;
        let start = self.captured.end;
        let file = directory.create_file(&segment_name(&self.name, start))?;
        self.current = Some(Current { file, start });
        Ok(())
    }

    /// Unlinks segments after the first, oldest first, until one more fits both bounds. Their room is given to nobody
    /// before they are gone.
    fn make_room(&mut self) {
        while self.captured.segments.len() > 1
            && (self.captured.segments.len() as u64 >= MAX_SEGMENTS || self.store_is_full())
        {
            let segment = self.captured.segments.remove(1);
            self.unlink(segment.start);
            self.store.room().subtract(segment.end - segment.start);
        }
    }

    fn unlink(&self, start: u64) {
        if let Some(directory) = self.store.existing() {
            let path = directory.file(&segment_name(&self.name, start));
            drop(std::fs::remove_file(path));
        }
    }
}
