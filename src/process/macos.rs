//! What macOS says about processes: nothing beyond the process group yet.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal};

/// A process other than the leader of a group. None is ever found here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: Pid,
    pub(crate) group: i32,
    pub(crate) started: u64,
}

impl Stat {
    pub(crate) fn read(_pid: Pid) -> Option<Self> {
        None
    }

    pub(crate) fn cpu(&self) -> Duration {
        Duration::ZERO
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        0
    }

    pub(crate) fn signal(&self, _signal: Signal) {}
}

pub(crate) fn with_descendants(_roots: &[Pid]) -> Vec<Stat> {
    Vec::new()
}

/// Orphans go to launchd, not to this process.
#[derive(Debug)]
pub(crate) struct OwnChildren;

impl OwnChildren {
    pub(crate) fn adopting() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn list(&self) -> io::Result<Vec<Pid>> {
        Ok(Vec::new())
    }
}

pub(crate) fn environment(_pid: Pid) -> Vec<u8> {
    Vec::new()
}

/// The system has no signal for the death of a parent.
pub(crate) fn end_with_parent(parent: Pid) -> io::Result<bool> {
    Ok(rustix::process::getppid() == Some(parent))
}
