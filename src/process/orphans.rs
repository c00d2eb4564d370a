//! Processes that became our children without being started by us.
//!
//! On Linux the server is a child subreaper: when a process of a job ends, its children become the server's. So every
//! process of a job is, at any moment, a descendant of its leader or of such an orphan, wherever it went. One task, the
//! keeper, looks through our children whenever one of them ends or a watcher asks. It reaps the orphans that have ended,
//! and tells each job which of them are its own. Elsewhere nobody is adopted, and the keeper finds nothing.

mod keeper;

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
