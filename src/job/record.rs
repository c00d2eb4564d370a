//! What is known of a job: where its command and its processes stand, how it ended, what it wrote.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::Moment;

/// What is known of a job's processes and output. Written by the watcher alone.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// How the command ended, once it has. Leftover processes do not count.
    pub finished: Option<Finished>,
    /// When the last process of the job, its command included, was gone.
    pub gone_at: Option<Instant>,
    pub stdout: Captured,
    pub stderr: Captured,
    pub last_output: Option<Instant>,
    /// Processes of the job that outlived their parent: while the command runs, those that do not descend from it;
    /// after its end, those that are left of the job.
    pub leftovers: Vec<u32>,
    /// The tree is being ended, and the watcher has not given up.
    pub is_stopping: bool,
    /// Why some of the tree were ended by force, if they were.
    pub force: Option<Force>,
}

impl Record {
    /// Whether the command has ended, and with it, if it is being stopped, the rest of its tree.
    pub fn is_over(&self) -> bool {
        self.finished.is_some() && !(self.is_stopping && self.gone_at.is_none())
    }

    /// Brings it up to what was captured; whether there is anything new.
    pub fn set_captured(&mut self, [stdout, stderr]: [Captured; 2]) -> bool {
        let is_more = self.stdout.end != stdout.end || self.stderr.end != stderr.end;
        (self.stdout, self.stderr) = (stdout, stderr);
        is_more
    }

    /// Whether both streams have ended and are stored as far as they will ever be.
    pub fn has_all_output(&self) -> bool {
        self.stdout.ended && self.stderr.ended
    }
}

/// Why processes are ended by force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// They did not heed the request within the grace period.
    AfterGrace,
    /// They could not be asked.
    AtOnce,
}

/// How and when the command ended. Never changes once it is there.
#[derive(Clone, Debug)]
pub struct Finished {
    pub exit: Exit,
    pub cause: Cause,
    pub at: Moment,
}

/// What the kernel said of the end of the command's own process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// The kernel had no status, or the watcher failed: why.
    Lost(String),
}

/// What ended the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Itself,
    TimeLimit,
    Stopped,
}

impl Finished {
    /// The state's name in replies.
    pub fn name(&self) -> &'static str {
        match (&self.exit, self.cause) {
            (Exit::Lost(_), _) => "lost",
            (_, Cause::TimeLimit) => "timed_out",
            (_, Cause::Stopped) => "stopped",
            (Exit::Code(_), Cause::Itself) => "exited",
            (Exit::Signal(_), Cause::Itself) => "signaled",
        }
    }
}

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
