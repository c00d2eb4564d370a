//! What belongs to a job, and how to signal all of it.
//!
//! The tree is the leader's process group and, on Linux, every descendant of the leader and of the orphans that the
//! server adopted from it. Elsewhere it is the group alone.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::time::sleep;

use super::leader::Leader;
use super::orphans::{Claim, Orphans};
use super::proc_fs::{self, Stat};
use super::{Pid, number};
use crate::job::Exit;
use crate::threads::off_thread;

/// All processes of one job. The watcher owns it.
#[derive(Debug)]
pub(crate) struct Tree {
    leader: Leader,
    claim: Claim,
}

/// What happens to a tree.
#[derive(Debug)]
pub(crate) enum TreeEvent {
    Exited(Exit),
    LeftoversChanged,
}

/// What a job's living processes use.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Which they are, lowest first.
    pub(crate) pids: Vec<u32>,
    pub(crate) cpu: Duration,
    pub(crate) memory_bytes: u64,
}

impl Tree {
    pub(crate) fn new(leader: Leader, claim: Claim) -> Self {
        Self { leader, claim }
    }

    /// Whether the kernel has reported the leader's end.
    pub(crate) fn has_exited(&self) -> bool {
        self.leader.has_exited()
    }

    /// The leader's end if it is still awaited, and each change of the leftovers. Cancellation loses nothing.
    pub(crate) async fn next_event(&mut self, running: bool) -> TreeEvent {
        if running {
            tokio::select! {
                exit = self.leader.exited() => TreeEvent::Exited(exit),
                () = self.claim.changed() => TreeEvent::LeftoversChanged,
            }
        } else {
            self.leftovers_changed().await;
            TreeEvent::LeftoversChanged
        }
    }

    /// Makes sure that `leftovers` is of now.
    pub(crate) async fn look(&self) {
        self.claim.look().await;
    }

    /// Resolves when `leftovers` may have changed.
    #[cfg(target_os = "linux")]
    async fn leftovers_changed(&mut self) {
        self.claim.changed().await;
    }

    /// Nothing tells when the last process of a group ends, so look again soon.
    #[cfg(not(target_os = "linux"))]
    async fn leftovers_changed(&mut self) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    /// Processes that are alive although the leader has ended.
    #[cfg(target_os = "linux")]
    pub(crate) fn leftovers(&self) -> Vec<Pid> {
        self.claim.leftovers()
    }

    /// Which processes they are is not known here, so the group's id stands for them.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn leftovers(&self) -> Vec<Pid> {
        if self.leader.group_is_alive() {
            vec![self.leader.pid()]
        } else {
            Vec::new()
        }
    }

    /// Every living process of the job.
    pub(crate) async fn members(&self) -> Vec<Stat> {
        self.look().await;
        let roots: Vec<Pid> = std::iter::once(self.leader.pid())
            .chain(self.claim.leftovers())
            .collect();
        let members = off_thread(move || walk(&roots)).await.unwrap_or_default();
        self.claim
            .remember(members.iter().map(|member| (member.pid, member.started)));
        members
    }

    /// Signals the group, and each member that has left it.
    pub(crate) async fn signal(&self, signal: Signal) {
        if signal == Signal::KILL {
            // Who is stopped does not fork while the others are looked for.
            self.leader.signal_group(Signal::STOP);
        }
        // Looked for first: once their parents are gone, nothing may tell any more whose some of them were.
        let members = self.members().await;
        self.leader.signal_group(signal);
        for member in members {
            if member.group != self.leader.pid().as_raw_nonzero().get() {
                signal_exactly(&member, signal);
            }
        }
    }

    /// Kills the group without waiting for anything: for a watcher that is going away unexpectedly.
    pub(crate) fn kill_group(&self) {
        self.leader.signal_group(Signal::KILL);
    }

    /// Gives the leader's pid back, now that nothing of its group is alive.
    pub(crate) fn reap(self) {
        let pid = self.leader.pid();
        if let Err(error) = self.leader.reap() {
            tracing::warn!(pid = pid.as_raw_nonzero(), %error, "could not reap");
        }
    }
}

/// Ends the orphans of which nobody knows what job they came from, and whatever descends from them: for the end of the
/// server, which none of its jobs' processes may outlive.
pub(crate) async fn end_strays(orphans: &Orphans, grace: Duration) {
    let kill_at = Instant::now() + grace;
    let mut signal = Signal::TERM;
    loop {
        orphans.look().await;
        let roots = orphans.strays();
        if roots.is_empty() {
            return;
        }
        for stray in off_thread(move || walk(&roots)).await.unwrap_or_default() {
            signal_exactly(&stray, signal);
        }
        if Instant::now() >= kill_at {
            signal = Signal::KILL;
        }
        sleep(LOOK_FOR_STRAYS_EVERY).await;
    }
}

/// How often to see whether the strays have ended.
const LOOK_FOR_STRAYS_EVERY: Duration = Duration::from_millis(20);

/// What the job with this leader, which may have ended, and these leftovers uses now. Blocks for some reads of `/proc`.
pub(crate) fn usage(leader: u32, leftovers: &[u32]) -> Usage {
    let roots: Vec<Pid> = std::iter::once(&leader)
        .chain(leftovers)
        .filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?))
        .collect();
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    let page = rustix::param::page_size() as u64;
    let mut usage = Usage::default();
    for member in walk(&roots) {
        usage.pids.push(number(member.pid));
        usage.cpu += Duration::from_millis(member.cpu_ticks * 1000 / ticks_per_second);
        usage.memory_bytes += member.resident_pages * page;
    }
    usage.pids.sort_unstable();
    usage
}

/// The living processes among these and their descendants.
fn walk(roots: &[Pid]) -> Vec<Stat> {
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
            to_visit.extend(proc_fs::children(pid));
        }
    }
    members
}

/// Signals this process and no other, even if it has ended meanwhile and its pid was given to somebody else: the check
/// comes after the pidfd was opened, and a pidfd stays with one process.
#[cfg(target_os = "linux")]
pub(crate) fn signal_exactly(process: &Stat, signal: Signal) {
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

    let Ok(pidfd) = pidfd_open(process.pid, PidfdFlags::empty()) else {
        return;
    };
    let is_the_same = Stat::read(process.pid).is_some_and(|now| now.started == process.started);
    if is_the_same && let Err(error) = pidfd_send_signal(&pidfd, signal) {
        tracing::debug!(pid = process.pid.as_raw_nonzero(), ?signal, %error, "not signalled");
    }
}

#[cfg(not(target_os = "linux"))]
fn signal_exactly(_process: &Stat, _signal: Signal) {}
