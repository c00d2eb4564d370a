//! Work that may block, on the runtime's threads for that, or without one if there is none to be had.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

/// The work has panicked.
#[derive(Debug)]
pub(crate) struct Failed;

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it failed, see the log")
    }
}

impl std::error::Error for Failed {}

/// A few of the threads, for work of one kind that may hang: when all of it does, the others are there for everybody else.
#[derive(Debug)]
pub(crate) struct Lane(Semaphore);

impl Lane {
    pub(crate) const fn new(threads: usize) -> Self {
        Self(Semaphore::const_new(threads))
    }

    /// Does the work on another thread, as soon as one of these is free. Once begun, it is done to its end even if nobody
    /// waits for it any more, and its thread is taken until then.
    pub(crate) async fn run<T: Send + 'static>(
        &'static self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failed> {
        let place = self.0.acquire().await.map_err(|_| Failed)?;
        let work = move || {
            let _place = place;
            work()
        };
        off_thread(work).await
    }
}

/// Has all threads share one heap. The C library would reserve 64 MB of addresses for each of them, which a server under
/// `ulimit -v` has not; so few do not get into each other's way.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "mallopt has no safe interface")]
pub(crate) fn share_one_heap() {
    // SAFETY: it takes and touches no memory of ours.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Other C libraries have no such thing.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn share_one_heap() {}

/// Does the work on another thread. It is begun at once, and done to its end even if nobody waits for it.
///
/// The runtime starts threads as they are needed and panics if the system refuses the first one: a limit on processes or
/// memory would then cost a job its watcher. Everything that blocks here is short, so in that case it is done in place.
pub(crate) fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, Failed>> {
    let (done, result) = oneshot::channel();
    let work = move || {
        // An error means that nobody waits.
        let _ = done.send(work());
    };
    let shared = Arc::new(Mutex::new(Some(work)));
    let there = shared.clone();
    let handed_over = catch_unwind(AssertUnwindSafe(|| {
        spawn_blocking(move || take(&there).map(|work| work()));
    }));
    if handed_over.is_err()
        && let Some(work) = take(&shared)
    {
        // A panic in the work shows as a result that never comes.
        let _ = catch_unwind(AssertUnwindSafe(work));
    }
    async move { result.await.map_err(|_| Failed) }
}

/// Whoever comes first does the work.
fn take<W>(work: &Mutex<Option<W>>) -> Option<W> {
    work.lock().unwrap_or_else(PoisonError::into_inner).take()
}
