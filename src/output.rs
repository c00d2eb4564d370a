//! A job's output: stored on disk, addressed by absolute offset, rendered for an agent.

use std::ops::Range;
use std::sync::Arc;

use crate::job::{Captured, Snapshot};

pub(crate) mod cursor;
pub(crate) mod lines;
pub(crate) mod log;
mod pieces;
mod render;
pub(crate) mod store;
pub(crate) mod view;

/// What is left of one stream of a job.
pub(crate) type Stream = lines::Stream<log::Reader>;

/// Standard output and standard error of a job, as far as the snapshot knows them.
pub(crate) fn streams(
    snapshot: &Snapshot,
    directory: Option<&Arc<store::Directory>>,
) -> (Stream, Stream) {
    let id = snapshot.job.id();
    let stream = |kind, captured: &Captured| Stream {
        reader: log::Reader::new(directory.cloned(), id, kind, captured),
        regions: joined(&captured.segments),
        end: captured.end,
        ended: captured.ended,
    };
    (
        stream(log::StreamKind::Stdout, &snapshot.record.stdout),
        stream(log::StreamKind::Stderr, &snapshot.record.stderr),
    )
}

/// Segments that touch are one region.
fn joined(segments: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut regions: Vec<Range<u64>> = Vec::new();
    for segment in segments {
        match regions.last_mut() {
            Some(region) if region.end == segment.start => region.end = segment.end,
            _ => regions.push(segment.clone()),
        }
    }
    regions
}
