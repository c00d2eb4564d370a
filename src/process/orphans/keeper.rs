//! The task that looks through our children: reaps the orphans that have ended, and finds out whose the others are.

pub(super) use imp::start;

#[cfg(target_os = "linux")]
mod imp {
    use std::collections::{HashMap, HashSet};
    use std::time::Duration;

    use rustix::process::{WaitId, WaitIdOptions, getpgid, set_child_subreaper, waitid};
    use tokio::signal::unix::{Signal, SignalKind, signal};
    use tokio::sync::{mpsc, oneshot, watch};
    use tokio::time::timeout;
    use uuid::Uuid;

    use crate::process::orphans::Orphans;
    use crate::process::proc_fs::{self, OwnChildren, Stat};
    use crate::process::{Pid, marker};
    use crate::threads::off_thread;

    /// How long an orphan may take to show what it is.
    const READ_WITHIN: Duration = Duration::from_millis(200);

    struct Keeper {
        orphans: Orphans,
        children: OwnChildren,
        child_ended: Signal,
        requests: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
        /// Orphans that are alive, and whose they are where that could be found out.
        adopted: HashMap<Pid, Option<Uuid>>,
        /// Children we were born with, through an exec. They and theirs are nobody's job.
        inherited: HashSet<Pid>,
    }

    pub(crate) fn start(
        orphans: Orphans,
        requests: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    ) -> std::io::Result<()> {
        let child_ended = signal(SignalKind::child())?;
        set_child_subreaper(Some(rustix::process::getpid()))?;
        let children = OwnChildren::open()?;
        let inherited = children.list()?.into_iter().collect();
        let keeper = Keeper {
            orphans,
            children,
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
            let children = match self.children.list() {
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
mod imp {
    use tokio::sync::{mpsc, oneshot};

    use crate::process::orphans::Orphans;

    /// Nobody is adopted here: every look is over at once.
    pub(crate) fn start(
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
