//! A job's output: stored on disk, addressed by absolute offset, rendered for an agent.

pub mod cursor;
pub mod directory;
pub mod excerpt;
pub mod log;
pub mod search;
pub mod segments;
pub mod store;
pub mod stream;
pub mod terminal;
