//! Room for large replies.
//!
//! A client that sends a thousand calls and reads nothing must cost the memory of a thousand calls, not of a thousand
//! replies. So a handler takes a place before it builds its reply, there are few places, and a place is free again when the
//! line is written. Two things hold a place: the open request, later its line, and the handler, through its
//! [`ReplySlot`](super::ReplySlot). Each lets go of it by being dropped, so no way for a request to end can lose one.

use std::sync::{Arc, OnceLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Large replies that exist at a time, from being built until they are written.
pub(super) const PLACES: usize = 8;

/// The places of one connection.
pub(super) struct Places(Arc<Semaphore>);

/// Room for one large reply, once it is taken.
#[derive(Default)]
pub(super) struct Place(OnceLock<OwnedSemaphorePermit>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PLACES)))
    }
}

impl Places {
    /// Waits until there is room; asking again is free.
    pub(super) async fn take(&self, place: &Place) {
        if place.0.get().is_some() {
            return;
        }
        let permit = self.0.clone().acquire_owned().await;
        // A second permit, of a `take` that ran beside this one, is given back by being dropped.
        let _ = place.0.set(permit.expect("the semaphore is never closed"));
    }
}
