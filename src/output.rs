//! A job's output: stored on disk, addressed by absolute offset, rendered for an agent.

use std::sync::Arc;

use crate::job::{Captured, Snapshot};

pub mod cursor;
pub mod directory;
pub mod excerpt;
pub mod log;
pub mod search;
pub mod segments;
pub mod store;
pub mod stream;
pub mod terminal;

/// What is left of one stream of a job.
pub type Stream = stream::Stream<segments::Reader>;

/// Standard output and standard error of a job, as far as the snapshot knows them.
pub fn streams(
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
