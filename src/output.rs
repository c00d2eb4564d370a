//! A job's output: stored on disk, addressed by absolute offset, rendered for an agent.

use std::sync::Arc;

use crate::job::{Captured, Snapshot};

pub(crate) mod cursor;
pub(crate) mod directory;
pub(crate) mod disk;
pub(crate) mod lines;
pub(crate) mod log;
mod pieces;
pub(crate) mod render;
pub(crate) mod room;
pub(crate) mod search;
pub(crate) mod segments;
pub(crate) mod store;
pub(crate) mod view;

/// What is left of one stream of a job.
pub(crate) type Stream = lines::Stream<segments::Reader>;

/// Standard output and standard error of a job, as far as the snapshot knows them.
pub(crate) fn streams(
    snapshot: &Snapshot,
    directory: Option<&Arc<directory::Directory>>,
) -> (Stream, Stream) {
    let id = snapshot.job.id();
    let stream = |kind, captured: &Captured| Stream {
        reader: segments::Reader::new(directory.cloned(), id, kind, captured),
        regions: captured.segments.clone(),
        end: captured.end,
        ended: captured.ended,
    };
    (
        stream(segments::StreamKind::Stdout, &snapshot.record.stdout),
        stream(segments::StreamKind::Stderr, &snapshot.record.stderr),
    )
}
