//! Work that may block, on the runtime's threads for that, or in place if no thread is to be had; and locks that never do for
//! long.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::spawn_blocking;

/// Does the work on another thread, to its end even if it is no longer waited for. None if it panicked.
///
/// The runtime panics if the system refuses it a thread: a limit on processes or memory would then cost every read its
/// reply. What blocks here is short, so in that case it is done in place.
pub async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    // The runtime keeps work that it had no thread for, and may come to it later: the thread that takes it first does it.
    let work = Arc::new(Mutex::new(Some(work)));
    let on_thread = work.clone();
    let take = |work: &Mutex<Option<_>>| lock(work).take();
    let spawn = || spawn_blocking(move || take(&on_thread).map(|work| work()));
    match catch_unwind(AssertUnwindSafe(spawn)) {
        Ok(done) => done.await.ok().flatten(),
        Err(_) => catch_unwind(AssertUnwindSafe(take(&work)?)).ok(),
    }
}

/// Takes a lock that is held for a look-up or a change. It is valid after a panic anywhere: nothing panics under one of these.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
