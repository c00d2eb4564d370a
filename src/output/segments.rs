//! The files of one stream: what they are called, how what is left of them is read, how they are removed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::directory::Directory;
use super::store::Store;
use crate::job::Captured;

/// Which stream of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    Stdout,
    Stderr,
}

pub(super) fn base_name(id: Uuid, stream: StreamKind) -> String {
    match stream {
        StreamKind::Stdout => format!("{id}.stdout"),
        StreamKind::Stderr => format!("{id}.stderr"),
    }
}

/// The first segment has the plain name, so that `cat NAME*` gives the stream in order.
pub(super) fn segment_name(base: &str, start: u64) -> String {
    match start {
        0 => base.to_owned(),
        _ => format!("{base}.{start:020}"),
    }
}

/// What is left of a stream, as one readable, seekable thing. Positions are absolute offsets.
///
/// A read at an offset that is not retained, or whose file is gone, is an error.
#[derive(Debug)]
pub struct Reader {
    directory: Option<Arc<Directory>>,
    base: String,
    segments: Vec<Range<u64>>,
    position: u64,
    open: Option<(Range<u64>, File)>,
}

impl Reader {
    pub fn new(
        directory: Option<Arc<Directory>>,
        id: Uuid,
        stream: StreamKind,
        captured: &Captured,
    ) -> Self {
        Self {
            directory,
            base: base_name(id, stream),
            segments: captured.segments.clone(),
            position: 0,
            open: None,
        }
    }

    fn segment_at(&mut self, position: u64) -> io::Result<&mut (Range<u64>, File)> {
        let open = match self.open.take() {
            Some((range, file)) if range.contains(&position) => (range, file),
            _ => {
                let range = self
                    .segments
                    .iter()
                    .find(|range| range.contains(&position))
                    .ok_or(io::ErrorKind::NotFound)?;
                let directory = self.directory.as_ref().ok_or(io::ErrorKind::NotFound)?;
                (range.clone(), File::open(directory.file(&segment_name(&self.base, range.start)))?)
            }
        };
        Ok(self.open.insert(open))
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let position = self.position;
        let (range, file) = self.segment_at(position)?;
        let room = usize::try_from(range.end - position).unwrap_or(usize::MAX).min(buffer.len());
        let start = range.start;
        file.seek(SeekFrom::Start(position - start))?;
        let read = file.read(&mut buffer[..room])?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = match to {
            SeekFrom::Start(offset) => offset,
            SeekFrom::Current(by) => {
                self.position.checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput)?
            }
            SeekFrom::End(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(self.position)
    }
}

/// The path of a stream's first segment, if anything of the stream is stored.
pub fn first_path(
    directory: &Directory,
    id: Uuid,
    stream: StreamKind,
    captured: &Captured,
) -> Option<PathBuf> {
    let first = captured.segments.first()?;
    Some(directory.file(&segment_name(&base_name(id, stream), first.start)))
}

/// Removes the stream's files and gives their bytes back to the store. Blocks.
pub fn remove(
    store: &Store,
    directory: &Directory,
    id: Uuid,
    stream: StreamKind,
    captured: &Captured,
) {
    let base = base_name(id, stream);
    for segment in &captured.segments {
        drop(std::fs::remove_file(directory.file(&segment_name(&base, segment.start))));
        store.release(segment.end - segment.start);
    }
}
