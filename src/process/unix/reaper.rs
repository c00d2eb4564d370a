//! Sees children end, and finds out whose an adopted child is.
//!
//! On Linux the server is a child subreaper: when a process of a job ends, its children become the server's. So every
//! process of a job is, at any moment, a descendant of its leader or of such an orphan, wherever it went. Whenever a child
//! ends, or a watcher asks, the reaper looks through all children: it notes which leaders have ended without reaping them,
//! reaps adopted children that have, and tells each job which of the others are its own. On macOS process 1
//! adopts them, and what is told here as adopted is an orphan of the server's session.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, getpgid, waitid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use uuid::Uuid;

use super::leader::exit_of;
use super::system::{self, OwnChildren, Stat};
use super::{Pid, marker};
use crate::job::Exit;

/// All children of the server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reaper(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    children: OwnChildren,
    /// Both are leaf locks: held for a look-up or a change, and nothing else happens under them.
    leaders: Mutex<HashMap<Pid, Registered>>,
    /// Adopted children that are alive, and whose they are if that is known. Those of no job end with the server.
    adopted: Mutex<HashMap<Pid, Option<Uuid>>>,
}

/// A job's leader.
#[derive(Debug)]
struct Registered {
    job: Uuid,
    seen: watch::Sender<Seen>,
    /// Processes that a scan found in the job's tree, with the time of their start: one that the end of its parent turns into
    /// an orphan is still known to be the job's.
    members: HashMap<Pid, u64>,
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
    reaper: Reaper,
    pid: Pid,
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
        lock(&self.0.leaders).insert(pid, Registered { job, seen, members: HashMap::new() });
        Claim { reaper: self.clone(), pid, seen: claim_seen }
    }

    /// Brings what is known of all children up to date.
    pub fn look(&self) {
        let leaders: Vec<(Pid, Uuid)> =
            lock(&self.0.leaders).iter().map(|(pid, registered)| (*pid, registered.job)).collect();
        if leaders.is_empty() && lock(&self.0.adopted).is_empty() {
            self.reap_unclaimed(&HashSet::new());
            return;
        }
        let claimed: HashSet<Pid> = leaders.iter().map(|(pid, _)| *pid).collect();
        let living = self.reap_unclaimed(&claimed);
        let mut adopted = std::mem::take(&mut *lock(&self.0.adopted));
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
                let owner = self
                    .member_of(&stat)
                    .or_else(|| owner_of(&stat, &leaders))
                    .or_else(|| may_be_of_the_only_job.then(|| only_possible(&stat, &leaders))?);
                if adopted.insert(pid, owner) != Some(owner) {
                    tracing::debug!(pid = pid.as_raw_nonzero(), ?owner, "adopted an orphan");
                }
            }
        }
        let exits: HashMap<Pid, Exit> =
            claimed.into_iter().filter_map(|pid| Some((pid, exit_of(pid)?))).collect();
        self.publish(&adopted, &exits);
        *lock(&self.0.adopted) = adopted;
    }

    /// Children that are no leaders: takes those that have ended off the kernel's hands and returns the others.
    fn reap_unclaimed(&self, claimed: &HashSet<Pid>) -> Vec<Pid> {
        let mut children = match self.0.children.list() {
            Ok(children) => children,
            Err(error) => {
                tracing::debug!(%error, "children could not be listed");
                lock(&self.0.adopted).keys().copied().collect()
            }
        };
        children.retain(|pid| !claimed.contains(pid) && !reap_if_ended(*pid));
        children
    }

    fn member_of(&self, orphan: &Stat) -> Option<Uuid> {
        let leaders = lock(&self.0.leaders);
        let job = leaders
            .values()
            .find(|leader| leader.members.get(&orphan.pid) == Some(&orphan.started))?;
        Some(job.job)
    }

    fn publish(&self, adopted: &HashMap<Pid, Option<Uuid>>, exits: &HashMap<Pid, Exit>) {
        for (pid, leader) in lock(&self.0.leaders).iter() {
            let mut own: Vec<Pid> = adopted
                .iter()
                .filter(|(_, owner)| **owner == Some(leader.job))
                .map(|(pid, _)| *pid)
                .collect();
            own.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
            leader.seen.send_if_modified(|seen| {
                let now = Seen {
                    exit: seen.exit.clone().or_else(|| exits.get(pid).cloned()),
                    adopted: own,
                };
                let changed = *seen != now;
                *seen = now;
                changed
            });
        }
    }

    /// Adopted children that belong to no known job, with their descendants.
    pub fn strays(&self) -> Vec<Stat> {
        self.look();
        let strays: Vec<Pid> = lock(&self.0.adopted)
            .iter()
            .filter(|(_, owner)| owner.is_none())
            .map(|(pid, _)| *pid)
            .collect();
        system::with_descendants(&strays)
    }
}

impl Claim {
    /// Brings `seen` up to date.
    pub fn look(&self) {
        self.reaper.look();
    }

    /// These processes were found in the job's tree.
    pub fn remember(&self, members: &[Stat]) {
        if let Some(leader) = lock(&self.reaper.0.leaders).get_mut(&self.pid) {
            leader.members.extend(members.iter().map(|member| (member.pid, member.started)));
        }
    }

    pub fn adopted(&self) -> Vec<Pid> {
        self.seen.borrow().adopted.clone()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.reaper.0.leaders).remove(&self.pid);
    }
}

/// The job of an orphan: that of its process group, else that of its environment.
fn owner_of(orphan: &Stat, leaders: &[(Pid, Uuid)]) -> Option<Uuid> {
    let group = getpgid(Some(orphan.pid)).ok();
    let by_group = leaders.iter().find(|(leader, _)| Some(*leader) == group);
    let by_variable = || {
        let marks = marker::jobs_in(&system::environment(orphan.pid));
        leaders.iter().find(|(_, job)| marks.contains(job))
    };
    by_group.or_else(by_variable).map(|(_, job)| *job)
}

/// The only job that an orphan can have come from, if there is only one.
fn only_possible(orphan: &Stat, leaders: &[(Pid, Uuid)]) -> Option<Uuid> {
    let is_older =
        |leader: Pid| Stat::read(leader).is_some_and(|leader| leader.started <= orphan.started);
    let mut possible = leaders.iter().filter(|(leader, _)| is_older(*leader));
    let (_, job) = possible.next()?;
    possible.next().is_none().then_some(*job)
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of the maps is being changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
