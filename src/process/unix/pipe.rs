//! The pipes that commands write to, read by one thread that waits for all of them.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::iter::once;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long to wait where the system cannot say when there is something to read.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// What is read at once: all that a pipe holds unless it was made larger, and little enough to stay in the processor's cache
/// until it is written.
const CHUNK_BYTES: usize = 64 << 10;

/// What a pipe is made to hold once a command has filled it, so that the command goes on while its output is stored.
const LARGE_BYTES: usize = 1 << 20;

/// Pipes that may be large at the same time: a user's pipes may hold 64 MiB in all, and new ones are tiny beyond that.
const MAX_LARGE: usize = 16;

/// A pipe that a command writes to.
#[derive(Debug)]
pub struct Pipe {
    reader: PipeReader,
    /// Held by one that was made larger, so that these can be counted.
    large: Option<Arc<()>>,
}

impl Pipe {
    /// The waker is for systems that cannot wait for several pipes.
    pub fn new(reader: PipeReader, _waker: &Waker) -> Self {
        Self { reader, large: None }
    }

    /// Whether it can be read now, if only to see its end.
    pub fn is_readable(&self) -> bool {
        is_readable(self.reader.as_fd())
    }

    /// Whether it was made larger, since a command had filled it.
    pub fn is_large(&self) -> bool {
        self.large.is_some()
    }

    /// How many bytes are in it at this moment.
    pub fn available(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.reader).unwrap_or(0)
    }
}

/// The one thread's means to wait for pipes and to read them.
#[derive(Debug)]
pub struct Pipes {
    wake: PipeReader,
    buffer: Vec<u8>,
    /// Shared by the large pipes, so that they can be counted.
    large: Arc<()>,
}

/// Makes the thread that waits look up.
#[derive(Debug)]
pub struct Waker(PipeWriter);

impl Waker {
    pub fn wake(&self) {
        // An error means that the thread has failed.
        let _ = (&self.0).write(&[0]);
    }
}

impl Pipes {
    pub fn new() -> io::Result<(Self, Waker)> {
        let (wake, waker) = io::pipe()?;
        Ok((Self { wake, buffer: vec![0; CHUNK_BYTES], large: Arc::default() }, Waker(waker)))
    }

    /// Waits until the thread is woken, one of these can be read or has ended, or for this long: whether it was woken, and
    /// then for each of them whether it can be read.
    pub fn wait<'a>(
        &self,
        pipes: impl Iterator<Item = &'a Pipe>,
        limit: Option<Duration>,
    ) -> (bool, Vec<bool>) {
        let descriptors = once(self.wake.as_fd()).chain(pipes.map(|pipe| pipe.reader.as_fd()));
        let mut polled: Vec<PollFd<'_>> = descriptors
            .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
            .collect();
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let is_ready: Vec<bool> =
            match rustix::io::retry_on_intr(|| poll(&mut polled, limit.as_ref())) {
                Ok(_) => polled.iter().map(|polled| !polled.revents().is_empty()).collect(),
                Err(_) => {
                    // More descriptors than a limit allows that was lowered meanwhile: they are looked at one by one.
                    sleep(LOOK_AGAIN_AFTER);
                    polled.iter().map(|polled| is_readable(polled.as_fd())).collect()
                }
            };
        let is_woken = is_ready[0];
        if is_woken {
            let _ = (&self.wake).read(&mut [0; 64]);
        }
        (is_woken, is_ready[1..].to_vec())
    }

    /// Reads once, from a pipe that can be read: what was there, and whether there seems to be more. Nothing at its end.
    pub fn read(&mut self, pipe: &mut Pipe) -> io::Result<(&[u8], bool)> {
        let length =
            rustix::io::retry_on_intr(|| rustix::io::read(&pipe.reader, &mut self.buffer))?;
        let is_full = length == CHUNK_BYTES;
        let may_grow = is_full && !pipe.is_large() && Arc::strong_count(&self.large) <= MAX_LARGE;
        // A refusal is no error.
        if may_grow && set_size(&pipe.reader, LARGE_BYTES) {
            pipe.large = Some(self.large.clone());
        }
        Ok((&self.buffer[..length], is_full))
    }
}

fn is_readable(descriptor: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
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
