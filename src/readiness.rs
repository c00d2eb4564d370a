//! Descriptors whose readiness the runtime watches.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the runtime watch a descriptor. Refused for what is always ready, like a plain file.
pub(crate) fn watched(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(
        unsafe_code,
        reason = "tokio asks for a promise that OwnedFd makes by its type"
    )]
    // SAFETY: an OwnedFd is open, and the same, until it is dropped, which AsyncFd does after deregistering it.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, interest) };
    Ok(registered?)
}
