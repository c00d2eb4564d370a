//! The operating system's side of a job: start a command, see its end, know its processes, end all of them.

pub(crate) mod folders;
pub(crate) mod leader;
pub(crate) mod login;
pub(crate) mod marker;
pub(crate) mod orphans;
pub(crate) mod own;
pub(crate) mod proc_fs;
pub mod shell;
pub(crate) mod signals;
pub(crate) mod spawn;
pub(crate) mod tree;

pub(crate) use rustix::process::Pid;

/// A pid as agents read it.
pub(crate) fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}
