//! What Linux says about processes: `/proc`, the child subreaper, pidfds.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, pidfd_send_signal, set_child_subreaper,
    set_parent_process_death_signal,
};

use super::number;

/// The variable that makes programs write UTF-8, where none says what they write.
pub const UTF8_LOCALE: (&str, &str) = ("LANG", "C.UTF-8");

/// The shell of a user who names none.
pub const LOGIN_SHELL: Option<&str> = Some("/bin/sh");

/// One line of `/proc/<pid>/stat`, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub pid: Pid,
    pub group: i32,
    /// Ended, but not yet reaped.
    pub is_zombie: bool,
    /// Of the process and of its reaped children.
    pub cpu: Duration,
    /// When it was started, in clock ticks since boot: with the pid this identifies a process for ever.
    pub started: u64,
    pub memory_bytes: u64,
}

impl Stat {
    pub fn read(pid: Pid) -> Option<Self> {
        let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
        Self::parse(pid, &std::fs::read_to_string(path).ok()?)
    }

    /// See proc_pid_stat(5). The second field, the name in parentheses, may itself hold spaces and parentheses.
    fn parse(pid: Pid, line: &str) -> Option<Self> {
        let after_name = line.rsplit_once(") ")?.1;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        // Field numbers of the manual page, which counts from 1 and has two fields before these.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let ticks = number(14)? + number(15)? + number(16)? + number(17)?;
        Some(Self {
            pid,
            group: fields.get(2)?.parse().ok()?,
            is_zombie: matches!(*fields.first()?, "Z" | "X"),
            cpu: Duration::from_millis(ticks * 1000 / clock_ticks_per_second().max(1)),
            started: number(22)?,
            memory_bytes: number(24)? * page_size() as u64,
        })
    }

    /// Signals this process and no other, even if it has ended and its pid was given to another one: a pidfd stays with
    /// one process, and the identity is checked after it was opened.
    pub fn signal(&self, signal: Signal) {
        let Ok(pidfd) = pidfd_open(self.pid, PidfdFlags::empty()) else {
            return;
        };
        let is_the_same = Self::read(self.pid).is_some_and(|now| now.started == self.started);
        if is_the_same && let Err(error) = pidfd_send_signal(&pidfd, signal) {
            tracing::debug!(pid = self.pid.as_raw_nonzero(), ?signal, %error, "not signalled");
        }
    }
}

/// The living processes among these and their descendants.
pub fn with_descendants(roots: &[Pid]) -> Vec<Stat> {
    let mut to_visit = roots.to_vec();
    let mut members: Vec<Stat> = Vec::new();
    while let Some(pid) = to_visit.pop() {
        if members.iter().any(|member| member.pid == pid) {
            continue;
        }
        if let Some(stat) = Stat::read(pid)
            && !stat.is_zombie
        {
            members.push(stat);
            to_visit.extend(children(pid));
        }
    }
    members
}

/// The living and the unreaped children of a process.
fn children(parent: Pid) -> Vec<Pid> {
    let tasks = format!("/proc/{}/task", parent.as_raw_nonzero());
    let Ok(entries) = std::fs::read_dir(tasks) else {
        return Vec::new();
    };
    let lists = entries
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| parse_pids(&list)).collect()
}

fn parse_pids(list: &str) -> Vec<Pid> {
    let pids = list.split_ascii_whitespace();
    pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// The list of this process's children, adopted ones included. Kept open: reading it must work when no descriptor is
/// left.
///
/// The main thread alone starts processes, and the kernel gives orphans to the first living thread of a subreaper, so this
/// one list has them all.
#[derive(Debug)]
pub struct OwnChildren(File);

impl OwnChildren {
    /// Becomes a child subreaper: a descendant whose parent ends becomes a child of this process.
    pub fn adopting() -> io::Result<Self> {
        let own = getpid();
        set_child_subreaper(Some(own))?;
        let path = format!("/proc/self/task/{}/children", own.as_raw_nonzero());
        File::open(path).map(Self)
    }

    /// The living and the unreaped.
    pub fn list(&self) -> io::Result<Vec<Pid>> {
        let mut list = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.0.read_at(&mut buffer, list.len() as u64)? {
                0 => return Ok(parse_pids(&String::from_utf8_lossy(&list))),
                read => list.extend_from_slice(&buffer[..read]),
            }
        }
    }

    /// What a dead server has left: all that fell to this process.
    pub fn left_by(&self, _server: Pid) -> io::Result<Vec<Pid>> {
        self.list()
    }
}

/// The environment a process was started with, as `NAME=value` entries each ended by a NUL.
pub fn environment(pid: Pid) -> Vec<u8> {
    std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default()
}

/// Has the kernel send SIGTERM to this process when its parent dies. False if the parent is dead already.
pub fn end_with_parent(parent: u32) -> io::Result<bool> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    Ok(getppid().map(number) == Some(parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let line = "77 (a) R (b) S 1 76 70 0 -1 4194304 10 20 0 0 11 12 13 14 20 0 1 0 5000 9000 250 0 0\n";
        let pid = Pid::from_raw(77).expect("not zero");
        let expected = Stat {
            pid,
            group: 76,
            is_zombie: false,
            cpu: Duration::from_millis(50 * 1000 / clock_ticks_per_second()),
            started: 5000,
            memory_bytes: 250 * page_size() as u64,
        };
        assert_eq!(Stat::parse(pid, line), Some(expected));
        assert_eq!(Stat::parse(pid, "77 (cut"), None);
    }
}
