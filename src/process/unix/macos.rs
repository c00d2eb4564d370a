//! What macOS says about processes: the process table and sessions. Type-checked only, never run.
//!
//! An orphan becomes a child of process 1. The server leads a session, which its jobs' processes stay in unless they make one
//! of their own: so an orphan of this session is one of a job.

use std::collections::HashSet;
use std::io;
use std::thread;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue};
use rustix::process::{Pid, Signal, getpgid, getpid, getppid, getsid, kill_process};
use sysinfo::{Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

use super::number;

/// The variable that makes programs write UTF-8, where none says what they write.
pub const UTF8_LOCALE: (&str, &str) = ("LC_CTYPE", "UTF-8");

/// The shell of a user who names none.
pub const LOGIN_SHELL: Option<&str> = Some("/bin/zsh");

/// A process, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub pid: Pid,
    pub group: i32,
    parent: Option<Pid>,
    pub cpu: Duration,
    /// When it was started, in seconds.
    pub started: u64,
    pub memory_bytes: u64,
}

impl Stat {
    pub fn read(pid: Pid) -> Option<Self> {
        table(ProcessesToUpdate::Some(&[sysinfo::Pid::from_u32(number(pid))])).pop()
    }

    /// None of one that has ended and is not yet reaped.
    fn of(process: &Process) -> Option<Self> {
        let pid = |pid: sysinfo::Pid| Pid::from_raw(i32::try_from(pid.as_u32()).ok()?);
        let own = pid(process.pid())?;
        (process.status() != ProcessStatus::Zombie).then_some(Self {
            pid: own,
            group: getpgid(Some(own)).ok()?.as_raw_nonzero().get(),
            parent: process.parent().and_then(pid),
            cpu: Duration::from_millis(process.accumulated_cpu_time()),
            started: process.start_time(),
            memory_bytes: process.memory(),
        })
    }

    /// Signals this process if it is still the one that was started then.
    pub fn signal(&self, signal: Signal) {
        if Self::read(self.pid).is_some_and(|now| now.started == self.started) {
            let _ = kill_process(self.pid, signal);
        }
    }
}

fn table(which: ProcessesToUpdate<'_>) -> Vec<Stat> {
    let mut system = System::new();
    let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
    system.refresh_processes_specifics(which, true, what);
    system.processes().values().filter_map(Stat::of).collect()
}

/// The living processes among these and their descendants.
pub fn with_descendants(roots: &[Pid]) -> Vec<Stat> {
    let table = table(ProcessesToUpdate::All);
    let mut found: HashSet<Pid> = roots.iter().copied().collect();
    loop {
        let is_new = |stat: &&Stat| {
            stat.parent.is_some_and(|parent| found.contains(&parent)) && !found.contains(&stat.pid)
        };
        let children: Vec<Pid> = table.iter().filter(is_new).map(|stat| stat.pid).collect();
        if children.is_empty() {
            return table.into_iter().filter(|stat| found.contains(&stat.pid)).collect();
        }
        found.extend(children);
    }
}

/// The processes that were started by this one, or by one that has ended.
#[derive(Debug)]
pub struct OwnChildren;

impl OwnChildren {
    /// Process 1 adopts orphans, which are told by their session.
    pub fn adopting() -> io::Result<Self> {
        Ok(Self)
    }

    /// The living children of this process, and the orphans of its session.
    pub fn list(&self) -> io::Result<Vec<Pid>> {
        let (own, session) = (getpid(), getsid(None)?);
        let is_own = |stat: &Stat| {
            let is_orphan = || stat.parent == Some(Pid::INIT) && in_session(stat, session);
            stat.pid != own && (stat.parent == Some(own) || is_orphan())
        };
        let table = table(ProcessesToUpdate::All);
        Ok(table.into_iter().filter(is_own).map(|stat| stat.pid).collect())
    }

    /// What a dead server has left: its session, which has its pid.
    pub fn left_by(&self, server: Pid) -> io::Result<Vec<Pid>> {
        let table = table(ProcessesToUpdate::All);
        Ok(table.into_iter().filter(|stat| in_session(stat, server)).map(|stat| stat.pid).collect())
    }
}

fn in_session(stat: &Stat, session: Pid) -> bool {
    getsid(Some(stat.pid)) == Ok(session)
}

/// The environment a process was started with, as `NAME=value` entries each ended by a NUL.
pub fn environment(pid: Pid) -> Vec<u8> {
    let pid = sysinfo::Pid::from_u32(number(pid));
    let what = ProcessRefreshKind::nothing().with_environ(UpdateKind::Always);
    let mut system = System::new();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
    let entries = system.process(pid).map(Process::environ).unwrap_or_default();
    entries.iter().flat_map(|entry| [entry.as_encoded_bytes(), b"\0"].concat()).collect()
}

/// Sends SIGTERM to this process when its parent ends, from a thread that waits for that. False if it has ended already.
pub fn end_with_parent(parent: u32) -> io::Result<bool> {
    let Some(pid) = getppid().filter(|pid| number(*pid) == parent) else {
        return Ok(false);
    };
    let queue = kqueue()?;
    thread::Builder::new().name("parent".to_owned()).spawn(move || {
        let end = EventFilter::Proc { pid, flags: ProcessEvents::EXIT };
        let end = Event::new(end, EventFlags::ADD, std::ptr::null_mut());
        let mut events: Vec<Event> = Vec::with_capacity(1);
        // An error is that the parent has ended before it was watched.
        #[expect(unsafe_code, reason = "a queue takes descriptors that must stay open")]
        // SAFETY: the event names no descriptor.
        let _ = unsafe { kevent(&queue, &[end], spare_capacity(&mut events), None) };
        let _ = kill_process(getpid(), Signal::TERM);
    })?;
    Ok(true)
}
