//! The files of one stream: what they are called, how what is left of them is read, how they are removed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use uuid::Uuid;

use super::store::Store;
use super::stream::Stream;
use crate::job::{Captured, Job, Snapshot};

/// The streams of a job, by the names of their files.
pub const STDOUT: &str = "stdout";
pub const STDERR: &str = "stderr";

pub(super) fn base_name(id: Uuid, stream: &str) -> String {
    format!("{id}.{stream}")
}

/// The first segment has the plain name, so that `cat NAME*` gives the stream in order.
pub(super) fn segment_name(base: &str, start: u64) -> String {
    match start {
        0 => base.to_owned(),
        _ => format!("{base}.{start:020}"),
    }
}

/// Standard output and standard error of a job, as far as the snapshot knows them.
pub fn streams(snapshot: &Snapshot, store: &Store) -> (Stream, Stream) {
    let stream = |kind, captured: &Captured| {
        let (directory, base) = (store.existing(), base_name(snapshot.job.id(), kind));
        Stream {
            read_segment: Box::new(move |start, range| {
                let path = directory.as_ref()?.file(&segment_name(&base, start));
                let mut file = File::open(path).ok()?;
                file.seek(SeekFrom::Start(range.start - start)).ok()?;
                let mut bytes = Vec::new();
                file.take(range.end - range.start).read_to_end(&mut bytes).ok()?;
                Some(bytes)
            }),
            segments: captured.segments.clone(),
            end: captured.end,
            ended: captured.ended,
        }
    };
    let record = &snapshot.record;
    (stream(STDOUT, &record.stdout), stream(STDERR, &record.stderr))
}

/// The path of a stream's first segment, if anything of the stream is stored.
pub fn first_path(store: &Store, id: Uuid, stream: &str, captured: &Captured) -> Option<String> {
    let first = segment_name(&base_name(id, stream), captured.segments.first()?.start);
    Some(store.existing()?.file(&first).display().to_string())
}

/// Removes the file of a segment and gives its bytes back to the store.
pub(super) fn remove_segment(store: &Store, base: &str, segment: &Range<u64>) {
    if let Some(directory) = store.existing() {
        drop(std::fs::remove_file(directory.file(&segment_name(base, segment.start))));
    }
    store.release(segment.end - segment.start);
}

/// Removes the files of a job's output. Blocks.
pub fn remove(store: &Store, job: &Job) {
    let record = job.snapshot().record;
    for (kind, captured) in [(STDOUT, record.stdout), (STDERR, record.stderr)] {
        let base = base_name(job.id(), kind);
        captured.segments.iter().for_each(|segment| remove_segment(store, &base, segment));
    }
}
