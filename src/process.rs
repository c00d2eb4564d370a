//! The operating system's side of a job: start a command, see its end, know its processes, end all of them.

pub(crate) mod folders;
pub mod launcher;
pub(crate) mod leader;
pub(crate) mod marker;
pub(crate) mod own;
pub(crate) mod reaper;
pub mod shell;
pub(crate) mod signals;
pub(crate) mod spawn;
pub(crate) mod tree;

#[cfg(target_os = "linux")]
pub(crate) mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux as system;
#[cfg(not(target_os = "linux"))]
pub(crate) mod macos;
#[cfg(not(target_os = "linux"))]
pub(crate) use macos as system;

pub(crate) use rustix::process::Pid;

/// A pid as agents read it.
pub(crate) fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}
