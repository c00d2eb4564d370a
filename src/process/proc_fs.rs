//! What `/proc` says about processes. Linux only: elsewhere nothing is known of a process but its group.

use super::Pid;

/// One line of `/proc/<pid>/stat`, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: Pid,
    pub(crate) parent: Option<Pid>,
    pub(crate) group: i32,
    /// Ended, but not yet reaped.
    pub(crate) is_zombie: bool,
    /// CPU time of the process and of its reaped children, in clock ticks.
    pub(crate) cpu_ticks: u64,
    /// When it was started, in clock ticks since boot: with the pid this identifies a process for ever.
    pub(crate) started: u64,
    pub(crate) resident_pages: u64,
}

impl Stat {
    #[cfg(target_os = "linux")]
    pub(crate) fn read(pid: Pid) -> Option<Self> {
        Self::parse(
            pid,
            &std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?,
        )
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn read(_pid: Pid) -> Option<Self> {
        None
    }

    /// See proc_pid_stat(5). The second field, the name in parentheses, may itself hold spaces and parentheses.
    #[cfg(any(target_os = "linux", test))]
    fn parse(pid: Pid, line: &str) -> Option<Self> {
        let after_name = line.rsplit_once(") ")?.1;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        // Field numbers of the manual page, which counts from 1 and has two fields before these.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            pid,
            parent: Pid::from_raw(fields.get(1)?.parse().ok()?),
            group: fields.get(2)?.parse().ok()?,
            is_zombie: matches!(*fields.first()?, "Z" | "X"),
            cpu_ticks: number(14)? + number(15)? + number(16)? + number(17)?,
            started: number(22)?,
            resident_pages: number(24)?,
        })
    }
}

/// The living and the unreaped children of a process.
#[cfg(target_os = "linux")]
pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    let tasks = format!("/proc/{}/task", parent.as_raw_nonzero());
    let Ok(entries) = std::fs::read_dir(tasks) else {
        return Vec::new();
    };
    let lists = entries
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| parse_pids(&list)).collect()
}

/// The list of our own children, kept open: looking at it must work without another descriptor to be had, and is done
/// at the end of every process.
///
/// Processes are started from the main thread alone, and the kernel gives orphans to the first living thread of a
/// subreaper, so this one list has them all.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(crate) struct OwnChildren(std::fs::File);

#[cfg(target_os = "linux")]
impl OwnChildren {
    pub(crate) fn open() -> std::io::Result<Self> {
        let own = rustix::process::getpid().as_raw_nonzero();
        std::fs::File::open(format!("/proc/self/task/{own}/children")).map(Self)
    }

    /// The living and the unreaped.
    pub(crate) fn list(&self) -> std::io::Result<Vec<Pid>> {
        use std::os::unix::fs::FileExt;

        let mut list = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.0.read_at(&mut buffer, list.len() as u64)? {
                0 => return Ok(parse_pids(&String::from_utf8_lossy(&list))),
                read => list.extend_from_slice(&buffer[..read]),
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn parse_pids(list: &str) -> Vec<Pid> {
    list.split_ascii_whitespace()
        .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .collect()
}

/// The inodes of the pipes that a process holds.
#[cfg(target_os = "linux")]
pub(crate) fn open_pipes(pid: Pid) -> Vec<u64> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())) else {
        return Vec::new();
    };
    let links = entries
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links
        .filter_map(|link| {
            link.to_str()?
                .strip_prefix("pipe:[")?
                .strip_suffix(']')?
                .parse()
                .ok()
        })
        .collect()
}

/// Every process there is, each as it is when its turn comes.
#[cfg(target_os = "linux")]
pub(crate) fn everyone() -> impl Iterator<Item = Stat> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    pids.filter_map(Stat::read)
}

/// The present in the unit of `Stat::started`.
#[cfg(target_os = "linux")]
pub(crate) fn now_in_ticks() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or_default();
    now.tv_sec.unsigned_abs() * ticks_per_second + nanoseconds * ticks_per_second / 1_000_000_000
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn children(_parent: Pid) -> Vec<Pid> {
    Vec::new()
}

/// The environment a process was started with, as `NAME=value` entries each ended by a NUL.
#[cfg(target_os = "linux")]
pub(crate) fn environment(pid: Pid) -> Vec<u8> {
    std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default()
}

/// The soft limit on real-time CPU time in microseconds; none if there is no limit. Readable for any process.
#[cfg(target_os = "linux")]
pub(crate) fn realtime_limit(pid: Pid) -> Option<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max realtime timeout"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
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
            parent: Pid::from_raw(1),
            group: 76,
            is_zombie: false,
            cpu_ticks: 50,
            started: 5000,
            resident_pages: 250,
        };
        assert_eq!(Stat::parse(pid, line), Some(expected));
        assert_eq!(Stat::parse(pid, "77 (cut"), None);
    }
}
