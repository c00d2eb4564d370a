//! What was captured of one stream: which of its bytes are on disk, by absolute offset.

use std::ops::Range;
use std::sync::Arc;

/// What was captured of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Byte ranges that are on disk, one for each segment file: ascending, disjoint, not empty.
    pub segments: Vec<Range<u64>>,
    /// Every byte that was ever read from the stream.
    pub end: u64,
    /// The stream has ended: nothing will be added.
    pub ended: bool,
    /// Why bytes were first not stored, apart from the bound of the stream itself: in words.
    pub unstored: Option<Arc<str>>,
}

impl Captured {
    pub fn retained(&self) -> u64 {
        self.segments.iter().map(|segment| segment.end - segment.start).sum()
    }

    pub fn dropped(&self) -> u64 {
        self.end - self.retained()
    }
}
