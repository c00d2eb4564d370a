//! Sees children end, and finds out whose an adopted child is.
//!
//! On Linux the server is a child subreaper: when a process of a job ends, its children become the server's. So every
//! process of a job is, at any moment, a descendant of its leader or of such an orphan, wherever it went. Whenever a child
//! ends, or a watcher asks, the reaper looks through all children: it notes which leaders have ended without reaping them,
//! reaps adopted children that have, and tells each job which of the others are its own. On macOS process 1
//! adopts them, and what is told here as adopted is an orphan of the server's session.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use memchr::memmem;
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, getpgid, waitid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use uuid::Uuid;

use super::system::{self, OwnChildren, Stat};
use super::{Pid, number};
use crate::blocking::lock;
use crate::job::Exit;

/// All children of the server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reaper(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    children: OwnChildren,
    /// Leaf locks, as is that of a leader: held for a look-up or a change, and nothing else happens under them.
    leaders: Mutex<Vec<Arc<Leader>>>,
    /// Adopted children that are alive, and whose they are if that is known. Those of no job end with the server.
    adopted: Mutex<HashMap<Pid, Option<Uuid>>>,
}

/// A job's command, which leads a process group. As long as it is not reaped the kernel cannot give its pid, which is also
/// the group's id, to another process: that is what makes signals to the group safe.
#[derive(Debug)]
struct Leader {
    pid: Pid,
    job: Uuid,
    seen: watch::Sender<Seen>,
    /// Processes that a scan found in the job's tree, with the time of their start: one that the end of its parent turns into
    /// an orphan is still known to be the job's.
    members: Mutex<HashMap<Pid, u64>>,
}

/// What is known of a job's processes that are children of the server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// How the leader ended, once it has.
    pub exit: Option<Exit>,
    /// The job's other processes that are children of the server now. The rest of its tree descends from these.
    pub adopted: Vec<Pid>,
}

/// The registration of a leader, for as long as this lives: the reaper does not reap it.
#[derive(Debug)]
pub struct Claim {
    pub reaper: Reaper,
    leader: Arc<Leader>,
    pub seen: watch::Receiver<Seen>,
}

impl Reaper {
    /// Becomes a subreaper and starts looking. To be called within the runtime, before the first process is started.
    pub fn start() -> io::Result<Self> {
        let mut child_ended = signal(SignalKind::child())?;
        let reaper = Self(Arc::new(Shared {
            children: OwnChildren::adopting()?,
            leaders: Mutex::default(),
            adopted: Mutex::default(),
        }));
        tokio::spawn({
            let reaper = reaper.clone();
            async move {
                while child_ended.recv().await.is_some() {
                    reaper.look();
                }
            }
        });
        Ok(reaper)
    }

    /// Registers a leader. To be called without an await after its spawn: a look, which happens on the same thread, must
    /// not see a child that no job has claimed.
    pub fn claim(&self, pid: Pid, job: Uuid) -> Claim {
        let (seen, claim_seen) = watch::channel(Seen::default());
        let leader = Arc::new(Leader { pid, job, seen, members: Mutex::default() });
        lock(&self.0.leaders).push(leader.clone());
        Claim { reaper: self.clone(), leader, seen: claim_seen }
    }

    /// Brings what is known of all children up to date.
    pub fn look(&self) {
        let leaders = lock(&self.0.leaders).clone();
        let mut adopted = std::mem::take(&mut *lock(&self.0.adopted));
        let children = self.0.children.list();
        let mut living = children.unwrap_or_else(|_| adopted.keys().copied().collect());
        let is_leader = |pid: &Pid| leaders.iter().any(|leader| leader.pid == *pid);
        living.retain(|pid| !is_leader(pid) && !reap_if_ended(*pid));
        let any_unattributed = adopted.values().any(Option::is_none);
        adopted.retain(|pid, _| living.contains(pid));
        for pid in living {
            // One that cannot be read now, or has no environment yet since it is in the midst of an exec, is looked at the next
            // time.
            if adopted.get(&pid).is_none_or(Option::is_none)
                && let Some(stat) = Stat::read(pid)
            {
                // Later, or below an orphan of unknown origin, the only job that is left need not be the one it came from.
                let may_be_of_the_only_job = !any_unattributed && !adopted.contains_key(&pid);
                let owner = owner_of(&stat, &leaders)
                    .or_else(|| may_be_of_the_only_job.then(|| only_possible(&stat, &leaders))?);
                if adopted.insert(pid, owner) != Some(owner) {
                    tracing::debug!(pid = pid.as_raw_nonzero(), ?owner, "adopted an orphan");
                }
            }
        }
        leaders.iter().for_each(|leader| leader.publish(&adopted));
        *lock(&self.0.adopted) = adopted;
    }

    /// The job's processes that are children of the server, but for the leader.
    pub fn adopted_of(&self, job: Uuid) -> Vec<u32> {
        let leader = lock(&self.0.leaders).iter().find(|leader| leader.job == job).cloned();
        let adopted = leader.map(|leader| leader.seen.borrow().adopted.clone());
        adopted.unwrap_or_default().into_iter().map(number).collect()
    }

    /// Adopted children that belong to no known job, with their descendants.
    pub fn strays(&self) -> Vec<Stat> {
        self.look();
        let adopted = lock(&self.0.adopted).clone();
        let strays = adopted.into_iter().filter(|(_, owner)| owner.is_none());
        system::with_descendants(&strays.map(|(pid, _)| pid).collect::<Vec<_>>())
    }
}

impl Leader {
    /// Tells the job what was seen, if that is new.
    fn publish(&self, adopted: &HashMap<Pid, Option<Uuid>>) {
        let of_job = adopted.iter().filter(|(_, owner)| **owner == Some(self.job));
        let mut adopted: Vec<Pid> = of_job.map(|(pid, _)| *pid).collect();
        adopted.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
        let exit = self.seen.borrow().exit.clone().or_else(|| exit_of(self.pid));
        let now = Seen { exit, adopted };
        self.seen.send_if_modified(|seen| {
            let changed = *seen != now;
            *seen = now;
            changed
        });
    }
}

impl Claim {
    /// These processes were found in the job's tree.
    pub fn remember(&self, members: &[Stat]) {
        let members = members.iter().map(|member| (member.pid, member.started));
        lock(&self.leader.members).extend(members);
    }

    pub fn adopted(&self) -> Vec<Pid> {
        self.seen.borrow().adopted.clone()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.reaper.0.leaders).retain(|leader| leader.pid != self.leader.pid);
    }
}

/// The environment variable that marks the processes of a job, wherever they go. Its *name* differs from job to job, so that a
/// server that runs inside a job of another adds its own variable and hides none.
pub fn job_variable(job: Uuid) -> String {
    format!("BACKGROUND_COMMAND_MCP_JOB_{}", job.simple())
}

/// The job of an orphan: the one in whose tree it was seen, else that of its process group, else that of its environment.
fn owner_of(orphan: &Stat, leaders: &[Arc<Leader>]) -> Option<Uuid> {
    let seen =
        |leader: &&Arc<Leader>| lock(&leader.members).get(&orphan.pid) == Some(&orphan.started);
    let by_variable = || {
        let environment = system::environment(orphan.pid);
        let is_in = |variable: String| memmem::find(&environment, variable.as_bytes()).is_some();
        leaders.iter().find(|leader| is_in(job_variable(leader.job)))
    };
    let by_group = || {
        let group = getpgid(Some(orphan.pid)).ok()?;
        leaders.iter().find(|leader| leader.pid == group)
    };
    leaders.iter().find(seen).or_else(by_group).or_else(by_variable).map(|leader| leader.job)
}

/// The only job that an orphan can have come from, if there is only one.
fn only_possible(orphan: &Stat, leaders: &[Arc<Leader>]) -> Option<Uuid> {
    let is_older = |leader: &&Arc<Leader>| {
        Stat::read(leader.pid).is_some_and(|leader| leader.started <= orphan.started)
    };
    let mut possible = leaders.iter().filter(is_older);
    let only = possible.next()?.job;
    possible.next().is_none().then_some(only)
}

/// How a child ended, which stays unreaped; none while it is alive.
pub fn exit_of(pid: Pid) -> Option<Exit> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let status = match waitid(WaitId::Pid(pid), options) {
        Ok(status) => status?,
        Err(error) => {
            return Some(Exit::Lost(format!("the kernel has no exit status for it: {error}")));
        }
    };
    Some(match status.exit_status() {
        Some(code) => Exit::Code(code),
        None => Exit::Signal(status.terminating_signal().unwrap_or_default()),
    })
}

/// Reaps a child if it has ended; false if it, or an orphan, is alive.
fn reap_if_ended(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    match waitid(WaitId::Pid(pid), options) {
        Ok(ended) => ended.is_some(),
        // Of another process, which does not adopt it for this one.
        Err(Errno::CHILD) => Stat::read(pid).is_none(),
        Err(_) => true,
    }
}
