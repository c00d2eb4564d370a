//! This process's own standard streams, whose descriptions the client and its other children share: no flag of them is
//! changed, and one that came with `O_NONBLOCK` set is waited for.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::retry_on_intr;

/// Standard output, without the lock and the buffer of the standard library.
pub fn output() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

/// The same for standard error.
pub fn error() -> io::Result<File> {
    Ok(io::stderr().as_fd().try_clone_to_owned()?.into())
}

/// A file to log to. A FIFO that nothing reads must not hold up the start, nor a terminal become ours.
pub fn log_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

/// Waits until standard input can be read.
pub fn wait_for_input() {
    wait_for(io::stdin(), PollFlags::IN);
}

/// Waits until this can be written to.
pub fn wait_for_room(output: &File) {
    wait_for(output, PollFlags::OUT);
}

/// Waits until this has no reader any more.
pub fn wait_for_hang_up(output: &File) {
    wait_for(output, PollFlags::HUP);
}

/// Waits for one of these events, an error or a hang-up. A poll that fails is seen by the operation that is tried next.
fn wait_for(descriptor: impl AsFd, events: PollFlags) {
    let _ = retry_on_intr(|| poll(&mut [PollFd::new(&descriptor, events)], None));
}
