//! Reading and writing a descriptor that other processes share, without ever blocking on it.
//!
//! `O_NONBLOCK` belongs to the open file *description*, so setting it on a standard stream sets it for whoever else
//! holds that description too: the client, the shell that started it, the next command in the terminal. Every
//! operation here says for itself that it will not wait:
//!
//! - sockets (Node hands its children socket pairs): `MSG_DONTWAIT`;
//! - pipes on Linux 6.4 and later: `RWF_NOWAIT`;
//! - every other pipe, and terminals: `poll` first. A read after `POLLIN` returns, as long as nobody else reads the same
//!   stream; a write of at most `PIPE_BUF` bytes after `POLLOUT` fits, because a pipe counts as writable only when it
//!   has that much room;
//! - regular files: as they are, they never wait for a peer.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};
use rustix::pipe::PIPE_BUF;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::readiness::watched;

/// How long to wait before trying again where the system cannot tell when to.
const BLIND_RETRY: Duration = Duration::from_millis(20);

/// A duplicate (close-on-exec) of a descriptor whose description is shared.
pub(crate) struct Descriptor {
    fd: OwnedFd,
    kind: Kind,
}

enum Kind {
    File,
    Socket,
    /// A pipe, a terminal or another character device.
    Stream {
        /// Whether the kernel takes `RWF_NOWAIT` here; true until it has said no.
        #[cfg(target_os = "linux")]
        nowait: AtomicBool,
    },
}

impl Descriptor {
    pub(crate) fn duplicate(of: impl AsFd) -> io::Result<Self> {
        let fd = of.as_fd().try_clone_to_owned()?;
        let kind = match FileType::from_raw_mode(fstat(&fd)?.st_mode) {
            FileType::Socket => Kind::Socket,
            FileType::Fifo | FileType::CharacterDevice => Kind::Stream {
                #[cfg(target_os = "linux")]
                nowait: AtomicBool::new(true),
            },
            _ => Kind::File,
        };
        Ok(Self { fd, kind })
    }

    /// Reads what is there: `WouldBlock` when that is nothing yet, 0 at the end.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.kind {
            Kind::File => Ok(retry_on_intr(|| rustix::io::read(&self.fd, &mut *buffer))?),
            Kind::Socket => {
                let (_, read) =
                    retry_on_intr(|| recv(&self.fd, &mut *buffer, RecvFlags::DONTWAIT))?;
                Ok(read)
            }
            #[cfg(target_os = "linux")]
            Kind::Stream { nowait } if nowait.load(Relaxed) => {
                use rustix::io::{ReadWriteFlags, preadv2};
                let read = retry_on_intr(|| {
                    let mut buffers = [io::IoSliceMut::new(buffer)];
                    preadv2(&self.fd, &mut buffers, u64::MAX, ReadWriteFlags::NOWAIT)
                });
                match read {
                    Err(error) if is_unsupported(error) => {
                        nowait.store(false, Relaxed);
                        self.read_polled(buffer)
                    }
                    read => Ok(read?),
                }
            }
            Kind::Stream { .. } => self.read_polled(buffer),
        }
    }

    /// Writes what fits, from the front: `WouldBlock` when that is nothing yet.
    pub(crate) fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.kind {
            Kind::File => Ok(retry_on_intr(|| rustix::io::writev(&self.fd, buffers))?),
            Kind::Socket => {
                let mut control = SendAncillaryBuffer::default();
                Ok(retry_on_intr(|| {
                    sendmsg(&self.fd, buffers, &mut control, SendFlags::DONTWAIT)
                })?)
            }
            #[cfg(target_os = "linux")]
            Kind::Stream { nowait } if nowait.load(Relaxed) => {
                use rustix::io::{ReadWriteFlags, pwritev2};
                let written =
                    retry_on_intr(|| pwritev2(&self.fd, buffers, u64::MAX, ReadWriteFlags::NOWAIT));
                match written {
                    Err(error) if is_unsupported(error) => {
                        nowait.store(false, Relaxed);
                        self.write_polled(buffers)
                    }
                    written => Ok(written?),
                }
            }
            Kind::Stream { .. } => self.write_polled(buffers),
        }
    }

    fn read_polled(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.poll(PollFlags::IN)?;
        Ok(retry_on_intr(|| rustix::io::read(&self.fd, &mut *buffer))?)
    }

    fn write_polled(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(buffer) = buffers.iter().find(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        self.poll(PollFlags::OUT)?;
        let piece = &buffer[..buffer.len().min(PIPE_BUF)];
        Ok(retry_on_intr(|| rustix::io::write(&self.fd, piece))?)
    }

    /// `WouldBlock` unless the next operation of this kind returns at once, be it with an error.
    fn poll(&self, events: PollFlags) -> io::Result<()> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        match retry_on_intr(|| poll(&mut [PollFd::new(&self.fd, events)], Some(&now)))? {
            0 => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Before Linux 6.4 a pipe knows no `RWF_NOWAIT`, a terminal knows none yet, and a sandbox may know no `preadv2`.
#[cfg(target_os = "linux")]
fn is_unsupported(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    matches!(error, Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL)
}

/// When to try a descriptor again.
///
/// Readiness is edge-triggered, so it is forgotten only after an operation has answered `WouldBlock`, never because a
/// read came back short: a terminal or a packet pipe returns short with more behind it. A wake-up for nothing (somebody
/// else took the bytes) then costs one more try and loses nothing.
pub(crate) enum Readiness {
    Told(AsyncFd<OwnedFd>),
    /// The system does not watch this kind (regular files, which are always ready, and some devices), or has no
    /// descriptor left to do it with.
    Untold,
}

impl Readiness {
    pub(crate) fn of(descriptor: &Descriptor, interest: Interest) -> Self {
        if matches!(descriptor.kind, Kind::File) {
            return Self::Untold;
        }
        let registered = descriptor
            .fd
            .try_clone()
            .and_then(|fd| watched(fd, interest));
        registered.map_or(Self::Untold, Self::Told)
    }

    /// Waits and tries until `operation` has something else to say than `WouldBlock`.
    pub(crate) async fn perform<T>(
        &self,
        interest: Interest,
        mut operation: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let guard = match self {
                Self::Told(fd) => Some(fd.ready(interest).await?),
                Self::Untold => None,
            };
            match operation() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => match guard {
                    Some(mut guard) => guard.clear_ready(),
                    None => tokio::time::sleep(BLIND_RETRY).await,
                },
                result => return result,
            }
        }
    }
}

/// Waits until whoever reads our writes is gone, without asking to be told of every bit of room they make: on a Unix
/// socket that would be one wake-up for each message they take.
#[cfg(target_os = "linux")]
pub(crate) async fn hung_up(descriptor: &Descriptor) -> io::Result<()> {
    // Errors and hang-ups are reported whatever is asked for; priority data, which is asked for, never comes.
    let Readiness::Told(fd) = Readiness::of(descriptor, Interest::PRIORITY) else {
        return std::future::pending().await;
    };
    loop {
        let mut guard = fd.ready(Interest::PRIORITY | Interest::ERROR).await?;
        if guard.ready().is_error() || guard.ready().is_read_closed() {
            return Ok(());
        }
        guard.clear_ready();
    }
}

/// Waits until whoever reads our writes is gone.
#[cfg(not(target_os = "linux"))]
pub(crate) async fn hung_up(descriptor: &Descriptor) -> io::Result<()> {
    let Readiness::Told(fd) = Readiness::of(descriptor, Interest::WRITABLE) else {
        return std::future::pending().await;
    };
    loop {
        let mut guard = fd.writable().await?;
        if guard.ready().is_write_closed() {
            return Ok(());
        }
        guard.clear_ready();
    }
}
