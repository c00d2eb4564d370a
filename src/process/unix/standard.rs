//! This process's own standard streams, whose descriptions the client and its other children share: no flag of them is
//! changed, and one that came with `O_NONBLOCK` set is waited for.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::retry_on_intr;

/// A stream that is read and written without the lock and the buffer of the standard library, and waited for.
#[derive(Debug)]
pub struct Stream(File);

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    wait_for(&self.0, PollFlags::IN);
                }
                done => return done,
            }
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    wait_for(&self.0, PollFlags::OUT);
                }
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn input() -> io::Result<Stream> {
    Ok(Stream(io::stdin().as_fd().try_clone_to_owned()?.into()))
}

pub fn output() -> io::Result<Stream> {
    Ok(Stream(io::stdout().as_fd().try_clone_to_owned()?.into()))
}

pub fn error() -> io::Result<Stream> {
    Ok(Stream(io::stderr().as_fd().try_clone_to_owned()?.into()))
}

/// A file to log to. A FIFO that nothing reads must not hold up the start, nor a terminal become ours.
pub fn log_file(path: &Path) -> io::Result<Stream> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map(Stream)
}

/// Waits until standard output has no reader any more.
pub fn wait_for_hang_up() {
    wait_for(io::stdout(), PollFlags::HUP);
}

/// Waits for one of these events, an error or a hang-up. A poll that fails is seen by the operation that is tried next.
fn wait_for(descriptor: impl AsFd, events: PollFlags) {
    let _ = retry_on_intr(|| poll(&mut [PollFd::new(&descriptor, events)], None));
}
