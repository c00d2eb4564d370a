//! The pipes that a command writes to.

use std::os::fd::{AsFd, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long to wait where the system cannot say when there is something to read.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// What a pipe holds unless it was made larger.
const USUAL_BYTES: usize = 64 << 10;

/// What a pipe is made to hold once a command has filled it: fewer and larger reads take half of the time.
const LARGE_BYTES: usize = 1 << 20;

/// Pipes that may be large at the same time: a user's pipes may hold 64 MiB in all, and new ones are tiny beyond that.
const MAX_LARGE: usize = 16;

/// Waits until one of these can be read or has ended, or for this long; which they are.
pub fn wait_readable(descriptors: &[&OwnedFd], limit: Option<Duration>) -> Vec<bool> {
    let mut polled: Vec<PollFd<'_>> =
        descriptors.iter().map(|descriptor| PollFd::new(*descriptor, PollFlags::IN)).collect();
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    if rustix::io::retry_on_intr(|| poll(&mut polled, limit.as_ref())).is_err() {
        // More descriptors than a limit allows that was lowered meanwhile: they are looked at one by one.
        sleep(LOOK_AGAIN_AFTER);
        return descriptors.iter().map(is_readable).collect();
    }
    let is_ready = |polled: &PollFd<'_>| !polled.revents().is_empty();
    polled.iter().map(is_ready).collect()
}

/// Whether the pipe can be read now, if only to see its end.
pub fn is_readable(pipe: impl AsFd) -> bool {
    let mut polled = [PollFd::new(&pipe, PollFlags::IN)];
    let at_once = Timespec::default();
    poll(&mut polled, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

/// How many bytes are in the pipe at this moment.
pub fn available(pipe: impl AsFd) -> u64 {
    rustix::io::ioctl_fionread(pipe).unwrap_or(0)
}

/// How much is read from a pipe in one go.
#[derive(Debug, Default)]
pub struct Sizes {
    large: usize,
}

/// How much one pipe holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Size {
    #[default]
    Usual,
    Large,
    /// The system did not make it larger.
    Fixed,
}

impl Size {
    /// Bytes to read at once.
    pub fn chunk(self) -> usize {
        match self {
            Self::Large => LARGE_BYTES / 4,
            Self::Usual | Self::Fixed => USUAL_BYTES,
        }
    }
}

impl Sizes {
    /// Makes a pipe larger that was found full. A refusal is no error.
    pub fn enlarge(&mut self, pipe: impl AsFd) -> Size {
        if self.large >= MAX_LARGE || !set_size(pipe, LARGE_BYTES) {
            return Size::Fixed;
        }
        self.large += 1;
        Size::Large
    }

    /// This pipe has ended.
    pub fn closed(&mut self, size: Size) {
        self.large -= usize::from(size == Size::Large);
    }
}

#[cfg(target_os = "linux")]
fn set_size(pipe: impl AsFd, bytes: usize) -> bool {
    rustix::pipe::fcntl_setpipe_size(pipe, bytes).is_ok()
}

/// Other systems size their pipes themselves.
#[cfg(not(target_os = "linux"))]
fn set_size(_pipe: impl AsFd, _bytes: usize) -> bool {
    false
}
