//! What macOS says about processes: nothing beyond the process group yet.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal};

/// The variable that makes programs write UTF-8, where none says what they write.
pub const UTF8_LOCALE: (&str, &str) = ("LC_CTYPE", "UTF-8");

/// The shell of a user who names none.
pub const LOGIN_SHELL: Option<&str> = Some("/bin/zsh");

/// A process other than the leader of a group. None is ever found here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub pid: Pid,
    pub group: i32,
    pub started: u64,
}

impl Stat {
    pub fn read(_pid: Pid) -> Option<Self> {
        None
    }

    pub fn cpu(&self) -> Duration {
        Duration::ZERO
    }

    pub fn memory_bytes(&self) -> u64 {
        0
    }

    pub fn signal(&self, _signal: Signal) {}
}

pub fn is_zombie(_pid: Pid) -> bool {
    false
}

pub fn with_descendants(_roots: &[Pid]) -> Vec<Stat> {
    Vec::new()
}

/// Orphans go to launchd, not to this process.
#[derive(Debug)]
pub struct OwnChildren;

impl OwnChildren {
    pub fn adopting() -> io::Result<Self> {
        Ok(Self)
    }

    pub fn list(&self) -> io::Result<Vec<Pid>> {
        Ok(Vec::new())
    }
}

pub fn environment(_pid: Pid) -> Vec<u8> {
    Vec::new()
}

/// The system has no signal for the death of a parent.
pub fn end_with_parent(parent: u32) -> io::Result<bool> {
    Ok(rustix::process::getppid().map(super::number) == Some(parent))
}
