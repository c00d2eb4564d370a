//! What belongs to a job, and how to signal all of it.
//!
//! The tree is the leader's process group and every descendant of the leader and of the orphans that it has left, which on
//! Linux the server adopts.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::sleep;
use uuid::Uuid;

use super::reaper::{Claim, Reaper, exit_of, job_variable};
use super::system::{Stat, with_descendants};
use super::{Pid, number};
use crate::job::Exit;
use crate::process::Usage;
use crate::process::spawn::Order;

/// How often to see whether the strays have ended.
const LOOK_FOR_STRAYS_EVERY: Duration = Duration::from_millis(20);

/// All processes of one job. The watcher owns it.
#[derive(Debug)]
pub struct Tree {
    /// The leader, seen to end by the reaper without being reaped, and reaped last.
    child: Child,
    pid: Pid,
    claim: Claim,
}

/// Has the shell lead a group of its own, and marks what it starts. Through posix_spawn: a `pre_exec` would fork the whole
/// server.
pub fn prepare(order: &Order<'_>, command: &mut Command) -> io::Result<()> {
    command.args(&order.shell.arguments).arg(order.command);
    command.process_group(0).env(job_variable(order.job), "1");
    Ok(())
}

impl Tree {
    /// The tree of a fresh child. Nothing may be awaited since its spawn, see [`Reaper::claim`].
    pub fn of(child: Child, job: Uuid, reaper: &Reaper) -> io::Result<Self> {
        let raw = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let pid = raw.ok_or_else(|| io::Error::other("a fresh child has no pid"))?;
        Ok(Self { child, pid, claim: reaper.claim(pid, job) })
    }

    /// The pid of the command's own process.
    pub fn pid(&self) -> u32 {
        number(self.pid)
    }

    /// Whether the kernel has reported the leader's end.
    pub fn has_exited(&self) -> bool {
        exit_of(self.pid).is_some()
    }

    /// Resolves with the leader's end if that is still awaited, or with none when the leftovers have changed. Cancellation
    /// loses nothing.
    pub async fn next_event(&mut self, running: bool) -> Option<Exit> {
        if !running && cfg!(not(target_os = "linux")) {
            // The end of an orphan is told to process 1 alone, so look again soon.
            sleep(Duration::from_millis(100)).await;
            self.look();
            return None;
        }
        // Never an error: the claim holds the sender.
        drop(self.claim.seen.changed().await);
        self.claim.seen.borrow().exit.clone().filter(|_| running)
    }

    /// Makes sure that `leftovers` is of now.
    pub fn look(&self) {
        self.claim.reaper.look();
    }

    /// Processes that are alive although the leader has ended.
    pub fn leftovers(&self) -> Vec<u32> {
        self.claim.adopted().into_iter().map(number).collect()
    }

    /// Every living process of the job, by pid.
    pub fn living(&self) -> Vec<u32> {
        let members = self.members();
        if members.is_empty() {
            // Without a descriptor no process can be read or signalled. The leftovers are known all the same.
            return self.leftovers();
        }
        members.iter().map(|member| number(member.pid)).collect()
    }

    fn members(&self) -> Vec<Stat> {
        self.look();
        let mut roots = self.claim.adopted();
        roots.push(self.pid);
        let members = with_descendants(&roots);
        self.claim.remember(&members);
        members
    }

    /// Sends these signals, in their order, to the group and to each member that has left it, as one scan finds them.
    fn signal(&self, signals: &[Signal]) {
        // Found first: once their parents are gone, some members could not be attributed to the job any more.
        let members = self.members();
        let group = self.pid.as_raw_nonzero().get();
        for signal in signals {
            self.signal_group(*signal);
            for member in members.iter().filter(|member| member.group != group) {
                member.signal(*signal);
            }
        }
    }

    /// Asks every process to end; whether that could be asked. A stopped one acts on TERM only once it continues.
    pub fn terminate(&self) -> bool {
        self.signal(&[Signal::TERM, Signal::CONT]);
        true
    }

    /// Kills everything that one scan finds. The group is stopped first, so that it cannot fork during the scan.
    pub fn kill(&self) {
        self.signal_group(Signal::STOP);
        self.signal(&[Signal::KILL]);
    }

    /// Signals every process of the group. That none is left is no error.
    fn signal_group(&self, signal: Signal) {
        if let Err(error) = kill_process_group(self.pid, signal) {
            tracing::debug!(group = self.pid.as_raw_nonzero(), ?signal, %error, "the group was not signalled");
        }
    }

    /// Gives the leader's pid back to the kernel, now that nothing of its group is alive.
    pub fn reap(mut self) {
        if let Err(error) = self.child.try_wait() {
            tracing::warn!(pid = self.pid(), %error, "could not reap");
        }
    }
}

/// Ends the orphans that belong to no known job, and whatever descends from them: for the end of the server, which no
/// process of its jobs may outlive.
pub async fn end_strays(reaper: &Reaper, grace: Duration) {
    let kill_at = Instant::now() + grace;
    let mut signal = Signal::TERM;
    loop {
        let strays = reaper.strays();
        if strays.is_empty() {
            return;
        }
        for stray in strays {
            stray.signal(signal);
        }
        if Instant::now() >= kill_at {
            signal = Signal::KILL;
        }
        sleep(LOOK_FOR_STRAYS_EVERY).await;
    }
}

/// What the job with this leader, which may have ended, and these adopted children uses now.
pub fn usage(leader: u32, adopted: &[u32]) -> Usage {
    let roots: Vec<Pid> = std::iter::once(&leader)
        .chain(adopted)
        .filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?))
        .collect();
    let mut usage = Usage::default();
    for member in with_descendants(&roots) {
        usage.pids.push(number(member.pid));
        usage.cpu += member.cpu;
        usage.memory_bytes += member.memory_bytes;
    }
    usage.pids.sort_unstable();
    usage
}
