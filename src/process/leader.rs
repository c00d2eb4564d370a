//! The command's own process, which leads its group: seen to end without being reaped, reaped last.
//!
//! As long as it is not reaped the kernel cannot give its pid, which is also the group's id, to anybody else. That is
//! what makes signals to the group safe.

use std::io;
use std::process::ExitStatus;

use rustix::process::{Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::process::Child;

use super::Pid;
use crate::job::Exit;

/// The leader of a job's process group.
#[derive(Debug)]
pub(crate) struct Leader {
    child: Child,
    pid: Pid,
    end: EndOfProcess,
}

impl Leader {
    /// `pid` is the child's, which leads a group of its own.
    pub(crate) fn new(child: Child, pid: Pid) -> io::Result<Self> {
        Ok(Self {
            child,
            pid,
            end: EndOfProcess::of(pid)?,
        })
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for the end of the process and leaves it unreaped. Cancellation loses nothing.
    pub(crate) async fn exited(&mut self) -> Exit {
        loop {
            match status(self.pid) {
                Ok(Some(exit)) => return exit,
                Ok(None) => {}
                Err(error) => {
                    return Exit::Lost(format!("the kernel has no exit status for it: {error}"));
                }
            }
            self.end.may_have_come().await;
        }
    }

    /// Whether the kernel has already reported the end.
    pub(crate) fn has_exited(&self) -> bool {
        !matches!(status(self.pid), Ok(None))
    }

    /// Signals every process of the group. Nobody is left in it is no error: then there is nothing to end.
    pub(crate) fn signal_group(&self, signal: Signal) {
        if let Err(error) = kill_process_group(self.pid, signal) {
            tracing::debug!(group = self.pid.as_raw_nonzero(), ?signal, %error, "the group was not signalled");
        }
    }

    /// Whether a process of the group is alive besides an unreaped leader. Only systems that do not count the dead can
    /// answer that here.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn group_is_alive(&self) -> bool {
        rustix::process::test_kill_process_group(self.pid).is_ok()
    }

    /// Gives the pid back to the kernel, after the end.
    pub(crate) fn reap(mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }
}

fn status(pid: Pid) -> io::Result<Option<Exit>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let Some(status) = waitid(WaitId::Pid(pid), options)? else {
        return Ok(None);
    };
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ok(Some(Exit::Code(code))),
        (None, Some(signal)) => Ok(Some(Exit::Signal(signal))),
        (None, None) => Err(io::Error::other("it neither exited nor was killed")),
    }
}

#[cfg(target_os = "linux")]
use pidfd::EndOfProcess;
#[cfg(not(target_os = "linux"))]
use sigchld::EndOfProcess;

/// Linux: a pidfd becomes readable when the process ends.
#[cfg(target_os = "linux")]
mod pidfd {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    #[derive(Debug)]
    pub(super) struct EndOfProcess(AsyncFd<OwnedFd>);

    impl EndOfProcess {
        pub(super) fn of(pid: Pid) -> io::Result<Self> {
            let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
            #[expect(
                unsafe_code,
                reason = "tokio asks for a promise that OwnedFd makes by its type"
            )]
            // SAFETY: an OwnedFd is open, and the same, until it is dropped, which AsyncFd does after deregistering it.
            let watched = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
            Ok(Self(watched?))
        }

        pub(super) async fn may_have_come(&self) {
            if let Ok(mut ready) = self.0.readable().await {
                ready.clear_ready();
            }
        }
    }
}

/// Elsewhere: SIGCHLD says that some child has ended.
#[cfg(not(target_os = "linux"))]
mod sigchld {
    use std::io;

    use rustix::process::Pid;
    use tokio::signal::unix::{Signal, SignalKind, signal};

    #[derive(Debug)]
    pub(super) struct EndOfProcess(Signal);

    impl EndOfProcess {
        pub(super) fn of(_pid: Pid) -> io::Result<Self> {
            signal(SignalKind::child()).map(Self)
        }

        pub(super) async fn may_have_come(&mut self) {
            self.0.recv().await;
        }
    }
}
