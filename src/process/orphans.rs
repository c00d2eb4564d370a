//! Processes that became our children without being started by us.
//!
//! On Linux the server is a child subreaper: when a process of a job ends, its children become the server's. So every
//! process of a job is, at any moment, a descendant of its leader or of such an orphan, wherever it went. One task, the
//! keeper, looks through our children whenever one of them ends or a watcher asks. It reaps the orphans that have ended,
//! and tells each job which of them are its own. Elsewhere nobody is adopted, and the keeper finds nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::Pid;

/// Which of our children are whose. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Orphans(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// A leaf lock: held for a look-up or an insertion, nothing else happens under it.
    claims: Mutex<HashMap<Pid, Owner>>,
    /// Orphans of unknown origin. Written by the keeper alone.
    strays: watch::Sender<Vec<Pid>>,
    keeper: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

/// Who started one of our children.
#[derive(Debug)]
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "nobody is adopted there")
)]
struct Owner {
    /// None for a process of the server's own.
    job: Option<Uuid>,
    /// The inodes of the pipes that the job writes to.
    pipes: Vec<u64>,
    leftovers: watch::Sender<Vec<Pid>>,
    /// Processes seen in the job's tree when it was being ended, with the time they were started.
    seen: HashMap<Pid, u64>,
}

/// Says that a child is a job's leader, or the server's own. Nobody else reaps it.
#[derive(Debug)]
pub(crate) struct Claim {
    orphans: Orphans,
    pid: Pid,
    leftovers: watch::Receiver<Vec<Pid>>,
}

impl Orphans {
    /// Becomes a subreaper and starts the keeper. To be called within the runtime, before the first process is started.
    pub(crate) fn adopt() -> std::io::Result<Self> {
        let (keeper, requests) = mpsc::unbounded_channel();
        let orphans = Self(Arc::new(Shared {
            claims: Mutex::default(),
            strays: watch::Sender::new(Vec::new()),
            keeper,
        }));
        keeper::start(orphans.clone(), requests)?;
        Ok(orphans)
    }

    /// To be called in the same breath as the spawn, without an await in between: the keeper, on the same thread, must
    /// not see a child that nobody has claimed.
    pub(crate) fn claim(&self, pid: Pid, job: Option<Uuid>, pipes: Vec<u64>) -> Claim {
        let (leftovers, seen_by_claim) = watch::channel(Vec::new());
        self.claims().insert(
            pid,
            Owner {
                job,
                pipes,
                leftovers,
                seen: HashMap::new(),
            },
        );
        Claim {
            orphans: self.clone(),
            pid,
            leftovers: seen_by_claim,
        }
    }

    /// Has the keeper look through our children now.
    pub(crate) async fn look(&self) {
        let (done, looked) = oneshot::channel();
        if self.0.keeper.send(done).is_ok() {
            // An error means that the keeper is gone, with the runtime; nobody has a use for the answer then.
            drop(looked.await);
        }
    }

    /// Orphans of which nobody knows whose they are, as of the last look.
    pub(crate) fn strays(&self) -> Vec<Pid> {
        self.0.strays.borrow().clone()
    }

    fn claims(&self) -> MutexGuard<'_, HashMap<Pid, Owner>> {
        // The map is valid after a panic anywhere: nothing panics while it is being changed.
        self.0.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Processes of the job that are our children now, besides its leader. The rest of its tree descends from these.
    pub(crate) fn leftovers(&self) -> Vec<Pid> {
        self.leftovers.borrow().clone()
    }

    /// Makes sure that `leftovers` is of now.
    pub(crate) async fn look(&self) {
        self.orphans.look().await;
    }

    /// Resolves when `leftovers` has changed since the last call.
    pub(crate) async fn changed(&mut self) {
        if self.leftovers.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// These processes are the job's: should they be orphaned, they need not be recognised again.
    pub(crate) fn remember(&self, processes: impl IntoIterator<Item = (Pid, u64)>) {
        if let Some(owner) = self.orphans.claims().get_mut(&self.pid) {
            owner.seen.extend(processes);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.orphans.claims().remove(&self.pid);
    }
}

#[cfg(target_os = "linux")]
mod keeper {
    use std::collections::{HashMap, HashSet};
    use std::time::Duration;

    use rustix::process::{WaitId, WaitIdOptions, getpgid, set_child_subreaper, waitid};
    use tokio::signal::unix::{Signal, SignalKind, signal};
    use tokio::sync::{mpsc, oneshot, watch};
    use tokio::time::timeout;
    use uuid::Uuid;

    use super::Orphans;
    use crate::process::proc_fs::{self, Stat};
    use crate::process::{Pid, marker};
    use crate::threads::off_thread;

    /// How long an orphan may take to show what it is.
    const READ_WITHIN: Duration = Duration::from_millis(200);

    struct Keeper {
        orphans: Orphans,
        child_ended: Signal,
        requests: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
        /// Orphans that are alive, and whose they are where that could be found out.
        adopted: HashMap<Pid, Option<Uuid>>,
        /// Children we were born with, through an exec. They and theirs are nobody's job.
        inherited: HashSet<Pid>,
    }

    pub(super) fn start(
        orphans: Orphans,
        requests: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    ) -> std::io::Result<()> {
        let child_ended = signal(SignalKind::child())?;
        set_child_subreaper(Some(rustix::process::getpid()))?;
        let inherited = proc_fs::own_children()?.into_iter().collect();
        let keeper = Keeper {
            orphans,
            child_ended,
            requests,
            adopted: HashMap::new(),
            inherited,
        };
        tokio::spawn(keeper.run());
        Ok(())
    }

    impl Keeper {
        async fn run(mut self) {
            loop {
                let mut askers = Vec::new();
                tokio::select! {
                    _ = self.child_ended.recv() => {}
                    asker = self.requests.recv() => match asker {
                        Some(asker) => askers.push(asker),
                        None => return,
                    },
                }
                while let Ok(asker) = self.requests.try_recv() {
                    askers.push(asker);
                }
                self.look().await;
                for asker in askers {
                    // Whoever asked may have stopped waiting.
                    let _ = asker.send(());
                }
            }
        }

        async fn look(&mut self) {
            let children = match proc_fs::own_children() {
                Ok(children) => children,
                // What was alive may still be.
                Err(error) => {
                    tracing::debug!(%error, "could not look for orphans");
                    self.adopted.keys().copied().collect()
                }
            };
            let unclaimed: Vec<Pid> = {
                let claims = self.orphans.claims();
                children
                    .into_iter()
                    .filter(|pid| !claims.contains_key(pid))
                    .collect()
            };
            if unclaimed.is_empty() && self.adopted.is_empty() {
                return;
            }
            let living: Vec<Pid> = unclaimed
                .into_iter()
                .filter(|pid| !reap_if_ended(*pid))
                .collect();
            self.adopted.retain(|pid, _| living.contains(pid));
            for pid in living {
                if !self.adopted.contains_key(&pid) && !self.inherited.contains(&pid) {
                    let Some(started) = Stat::read(pid).map(|stat| stat.started) else {
                        // Who cannot be looked at now is looked at the next time.
                        continue;
                    };
                    let owner = self.owner_of(pid, started).await;
                    tracing::debug!(pid = pid.as_raw_nonzero(), ?owner, "adopted an orphan");
                    self.adopted.insert(pid, owner);
                }
            }
            self.publish();
        }

        fn publish(&self) {
            for owner in self.orphans.claims().values() {
                if owner.job.is_some() {
                    replace(&owner.leftovers, self.adopted_from(owner.job));
                }
            }
            replace(&self.orphans.0.strays, self.adopted_from(None));
        }

        fn adopted_from(&self, job: Option<Uuid>) -> Vec<Pid> {
            let theirs = self.adopted.iter().filter(|(_, owner)| **owner == job);
            let mut theirs: Vec<Pid> = theirs.map(|(pid, _)| *pid).collect();
            theirs.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
            theirs
        }

        /// Whose process this is. No answer is better than a wrong one.
        async fn owner_of(&self, pid: Pid, started: u64) -> Option<Uuid> {
            if let Some(job) = self.known_owner(pid, started) {
                return Some(job);
            }
            // Reading another process's memory may block for as long as that process's page faults do.
            let look = move || {
                (
                    marker::jobs_in(&proc_fs::environment(pid)),
                    proc_fs::open_pipes(pid),
                )
            };
            let looked = timeout(READ_WITHIN, off_thread(look)).await;
            let (marks, pipes) = looked.ok().and_then(Result::ok).unwrap_or_default();
            let limit = proc_fs::realtime_limit(pid);
            let claims = self.orphans.claims();
            let jobs = || {
                claims
                    .iter()
                    .filter_map(|(leader, owner)| Some((*leader, owner, owner.job?)))
            };
            let by_mark = jobs()
                .find(|(_, _, job)| limit == Some(marker::limit(*job)))
                .or_else(|| jobs().find(|(_, _, job)| marks.contains(job)));
            let by_pipe =
                || jobs().find(|(_, owner, _)| owner.pipes.iter().any(|pipe| pipes.contains(pipe)));
            if let Some((_, _, job)) = by_mark.or_else(by_pipe) {
                return Some(job);
            }
            let suspects: Vec<(Pid, Uuid)> = jobs().map(|(leader, _, job)| (leader, job)).collect();
            drop(claims);
            self.only_suspect(&suspects, started)
        }

        /// The job in whose tree it was seen, or whose group it is in.
        fn known_owner(&self, pid: Pid, started: u64) -> Option<Uuid> {
            let claims = self.orphans.claims();
            let was_seen = claims
                .values()
                .find(|owner| owner.seen.get(&pid) == Some(&started));
            let in_group = || claims.get(&getpgid(Some(pid)).ok()?);
            was_seen.or_else(in_group)?.job
        }

        /// The only job that it can have come from: it has left the group, dropped the mark and closed the pipes.
        fn only_suspect(&self, jobs: &[(Pid, Uuid)], started: u64) -> Option<Uuid> {
            if !self.inherited.is_empty() {
                return None;
            }
            let is_older =
                |leader: Pid| Stat::read(leader).is_some_and(|leader| leader.started <= started);
            let mut suspects = jobs.iter().filter(|(leader, _)| is_older(*leader));
            match (suspects.next(), suspects.next()) {
                (Some((_, job)), None) => Some(*job),
                _ => None,
            }
        }
    }

    fn replace(published: &watch::Sender<Vec<Pid>>, now: Vec<Pid>) {
        published.send_if_modified(|known| {
            let changed = *known != now;
            *known = now;
            changed
        });
    }

    /// Takes an ended orphan off the kernel's hands; false if it is still alive.
    fn reap_if_ended(pid: Pid) -> bool {
        !matches!(
            waitid(
                WaitId::Pid(pid),
                WaitIdOptions::EXITED | WaitIdOptions::NOHANG
            ),
            Ok(None)
        )
    }
}

#[cfg(not(target_os = "linux"))]
mod keeper {
    use tokio::sync::{mpsc, oneshot};

    use super::Orphans;

    /// Nobody is adopted here: every look is over at once.
    pub(super) fn start(
        _orphans: Orphans,
        mut requests: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    ) -> std::io::Result<()> {
        tokio::spawn(async move {
            while let Some(asker) = requests.recv().await {
                let _ = asker.send(());
            }
        });
        Ok(())
    }
}
