//! Work that may block, on the runtime's threads for that, or in place if no thread is to be had.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

/// Does the work on another thread. It is begun at once, and done to its end even if it is not waited for. None if it
/// panicked.
///
/// The runtime panics if the system refuses it a thread: a limit on processes or memory would then cost every read its
/// reply. What blocks here is short, so in that case it is done in place.
pub fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Option<T>> {
    let (done, result) = oneshot::channel();
    let work = move || {
        // An error means that the result is not waited for.
        let _ = done.send(work());
    };
    let once = Once(Arc::new(Mutex::new(Some(work))));
    let on_thread = once.clone();
    if catch_unwind(AssertUnwindSafe(|| drop(spawn_blocking(move || on_thread.run())))).is_err() {
        // A panic in the work shows as a result that never comes.
        let _ = catch_unwind(AssertUnwindSafe(|| once.run()));
    }
    async move { result.await.ok() }
}

/// Work that the first of two threads to come does.
struct Once<W>(Arc<Mutex<Option<W>>>);

impl<W> Clone for Once<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W: FnOnce()> Once<W> {
    fn run(&self) {
        let work = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(work) = work {
            work();
        }
    }
}
