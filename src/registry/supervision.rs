//! Who sees to it that no process is lost sight of: begins with the first job and lasts until the server ends.

use std::io;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::output::directory::sweep_dead;
use crate::output::store::Store;
use crate::process::orphans::Orphans;
use crate::threads::off_thread;
use crate::watchdog::Watchdog;

/// The keeper of orphans and the watchdog.
#[derive(Debug)]
pub(crate) struct Supervision {
    pub(crate) orphans: Orphans,
    pub(crate) watchdog: Watchdog,
}

impl Supervision {
    /// Orphans are adopted from now on, a watchdog stands by, and the output of dead servers is swept.
    pub(crate) fn begin(
        store: Arc<Store>,
        tasks: &TaskTracker,
        closing: CancellationToken,
    ) -> io::Result<Self> {
        let orphans = Orphans::adopt()?;
        let watchdog = Watchdog::start(&orphans)?;
        // Tracked, so that the server does not end, and leave the directory there, while it is being made.
        tasks.spawn(announce_directory(store, watchdog.clone(), closing));
        Ok(Self { orphans, watchdog })
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
