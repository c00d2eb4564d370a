//! The command's own process, which leads its group: seen to end without being reaped, reaped last.
//!
//! As long as it is not reaped the kernel cannot give its pid, which is also the group's id, to another process. That is
//! what makes signals to the group safe.

use std::io;

use rustix::process::{Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::process::Child;

use super::Pid;
use crate::job::Exit;

/// The leader of a job's process group.
#[derive(Debug)]
pub struct Leader {
    child: Child,
    pid: Pid,
}

impl Leader {
    /// `pid` is the child's, which leads a group of its own.
    pub fn new(child: Child, pid: Pid) -> Self {
        Self { child, pid }
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Signals every process of the group. That none is left is no error.
    pub fn signal_group(&self, signal: Signal) {
        if let Err(error) = kill_process_group(self.pid, signal) {
            tracing::debug!(group = self.pid.as_raw_nonzero(), ?signal, %error, "the group was not signalled");
        }
    }

    /// Gives the pid back to the kernel, after the end.
    pub fn reap(mut self) {
        if let Err(error) = self.child.try_wait() {
            tracing::warn!(pid = self.pid.as_raw_nonzero(), %error, "could not reap");
        }
    }
}

/// How a child ended, which stays unreaped; none while it is alive.
pub fn exit_of(pid: Pid) -> Option<Exit> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let status = match waitid(WaitId::Pid(pid), options) {
        Ok(status) => status?,
        Err(error) => return Some(lost(&error.into())),
    };
    Some(match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => lost(&io::Error::other("it neither exited nor was killed")),
    })
}

fn lost(error: &io::Error) -> Exit {
    Exit::Lost(format!("the kernel has no exit status for it: {error}"))
}
