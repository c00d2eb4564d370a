//! Who sees to it that no process is lost sight of: engaged by the first job, there until the server ends.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::chronicle::Chronicle;
use crate::job::Job;
use crate::output::store::{Store, sweep_dead};
use crate::process::orphans::Orphans;
use crate::threads::off_thread;
use crate::watchdog::{Situation, Watchdog};

/// The keeper of orphans and the watchdog.
#[derive(Debug)]
pub(crate) struct Attendants {
    pub(crate) orphans: Orphans,
    pub(crate) watchdog: Watchdog,
}

impl Attendants {
    /// Orphans are adopted from now on, a watchdog stands by, and the output of dead servers is swept.
    pub(crate) fn engage(
        chronicle: Arc<Mutex<Chronicle>>,
        store: Arc<Store>,
        tasks: &TaskTracker,
        closing: CancellationToken,
    ) -> io::Result<Self> {
        let orphans = Orphans::adopt()?;
        let present = Present {
            chronicle,
            store: store.clone(),
        };
        let watchdog = Watchdog::start(&orphans, present);
        // Tracked, so that the server does not end, and leave the directory there, while it is being made.
        tasks.spawn(announce_directory(store, watchdog.clone(), closing));
        Ok(Self { orphans, watchdog })
    }
}

/// What the watchdog's successor is told.
#[derive(Debug)]
struct Present {
    chronicle: Arc<Mutex<Chronicle>>,
    store: Arc<Store>,
}

impl Situation for Present {
    fn jobs(&self) -> Vec<Job> {
        let mut chronicle = self
            .chronicle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        chronicle.settle();
        chronicle.alive.clone()
    }

    fn directory(&self) -> Option<PathBuf> {
        self.store
            .existing()
            .map(|directory| directory.path().to_owned())
    }
}

async fn announce_directory(store: Arc<Store>, watchdog: Watchdog, closing: CancellationToken) {
    let there = store.clone();
    let made = store.disk().write(move || there.directory());
    // An error is logged where it arises, and every write that needs the directory tries again.
    if !matches!(made.await, Ok(Ok(_))) {
        tokio::select! {
            () = store.made() => {}
            () = closing.cancelled() => {}
        }
    }
    if let Some(directory) = store.existing() {
        watchdog.directory(directory.path());
        drop(off_thread(move || sweep_dead(&directory)));
    }
}
