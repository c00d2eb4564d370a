//! Which requests are open, and how many of their replies may exist at a time.
//!
//! A client that sends a thousand calls and reads nothing must cost the memory of a thousand calls, not of a thousand
//! replies. So a handler takes a place before it builds its reply, there are few places, and a place is free again when the
//! line is written. Two things hold a place: the handler, through its [`ReplySlot`], and the open request, later the
//! line. Each lets go of it by being dropped, so no way for a request to end can lose one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use rmcp::model::{ErrorCode, RequestId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::message::Refusal;
use super::outbox::Outbox;

/// Large replies that exist at a time, from being built until they are written.
const PLACES: usize = 8;

/// Requests that may be with their handlers; what comes after them is read, and waits as text.
const MAX_HANDLERS: usize = 20_000;

/// Bytes that may wait for the client before further requests wait as text. One reply may be larger.
const MAX_UNWRITTEN: usize = 4 << 20;

/// The connection's open requests.
pub(crate) struct Requests {
    outbox: Arc<Outbox>,
    /// Received, and neither answered nor cancelled and over.
    open: Mutex<HashMap<RequestId, Open>>,
    handlers: AtomicUsize,
    places: Arc<Semaphore>,
}

struct Open {
    place: Arc<Place>,
    handler: Weak<Handler>,
    /// The SDK will drop the reply. Until the handler is over the id stays taken: the SDK would give a late reply to a
    /// younger request of the same id.
    cancelled: bool,
}

/// Room for one large reply, once it is taken.
#[derive(Default)]
pub(crate) struct Place(OnceLock<OwnedSemaphorePermit>);

/// What a handler finds in its request's extensions.
///
/// When the last clone is dropped by a panic, the request is answered with an internal error. Whoever catches the panic
/// in order to give a better answer keeps a clone.
#[derive(Clone)]
pub(crate) struct ReplySlot(Arc<Handler>);

/// The client is gone and reads no reply.
#[derive(Debug, PartialEq)]
pub(crate) struct Disconnected;

struct Handler {
    id: RequestId,
    place: Arc<Place>,
    requests: Arc<Requests>,
}

impl ReplySlot {
    /// Waits for the turn to build a reply; asking again is free.
    ///
    /// At the end of input this goes on waiting: a client that has closed its end may still read.
    pub(crate) async fn acquire(&self) -> Result<(), Disconnected> {
        let Handler {
            place, requests, ..
        } = &*self.0;
        if place.0.get().is_some() {
            return Ok(());
        }
        let permit = tokio::select! {
            biased;
            () = requests.outbox.closed().cancelled() => return Err(Disconnected),
            permit = requests.places.clone().acquire_owned() => permit,
        };
        // A second permit, of an `acquire` that ran beside this one, is given back by being dropped.
        let _ = place.0.set(permit.expect("the semaphore is never closed"));
        Ok(())
    }
}

impl Requests {
    pub(super) fn new(outbox: Arc<Outbox>) -> Arc<Self> {
        Arc::new(Self {
            outbox,
            open: Mutex::default(),
            handlers: AtomicUsize::new(0),
            places: Arc::new(Semaphore::new(PLACES)),
        })
    }

    /// Opens a request, unless one of this id is open.
    pub(super) fn open(self: &Arc<Self>, id: &RequestId) -> Option<ReplySlot> {
        let mut open = self.lock();
        let Entry::Vacant(entry) = open.entry(id.clone()) else {
            return None;
        };
        let place = Arc::<Place>::default();
        let handler = Arc::new(Handler {
            id: id.clone(),
            place: place.clone(),
            requests: self.clone(),
        });
        entry.insert(Open {
            place,
            handler: Arc::downgrade(&handler),
            cancelled: false,
        });
        self.handlers.fetch_add(1, Relaxed);
        Some(ReplySlot(handler))
    }

    /// The client wants no reply to this any more.
    pub(super) fn cancel(&self, id: &RequestId) {
        let mut open = self.lock();
        if let Entry::Occupied(mut entry) = open.entry(id.clone()) {
            if entry.get().handler.strong_count() == 0 {
                entry.remove();
            } else {
                entry.get_mut().cancelled = true;
            }
        }
    }

    /// Queues the reply to an open request. Any other is a second one, and dropped.
    pub(super) fn answer(&self, id: &RequestId, line: impl FnOnce() -> Vec<u8>) {
        let closed = self.lock().remove(id);
        if let Some(Open { place, .. }) = closed {
            self.outbox.push(line(), Some(place), None);
        }
    }

    /// Whether another request may be handed to the SDK.
    pub(super) fn has_room(&self) -> bool {
        self.handlers.load(Relaxed) < MAX_HANDLERS && self.outbox.unwritten() < MAX_UNWRITTEN
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        let requests = &self.requests;
        if requests.handlers.fetch_sub(1, Relaxed) == MAX_HANDLERS {
            requests.outbox.moved.notify_waiters();
        }
        let cancelled = match requests.lock().entry(self.id.clone()) {
            Entry::Occupied(entry) if entry.get().cancelled => {
                entry.remove();
                true
            }
            _ => false,
        };
        if std::thread::panicking() && !cancelled {
            requests.answer(&self.id, || {
                let id = self.id.clone().into_json_value();
                let message = "Internal error: the handler panicked";
                let refusal = Refusal::new(id, ErrorCode::INTERNAL_ERROR, message);
                super::line(&refusal)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn requests() -> Arc<Requests> {
        Requests::new(Arc::default())
    }

    fn open(requests: &Arc<Requests>, id: i64) -> ReplySlot {
        requests
            .open(&RequestId::Number(id))
            .expect("the id is free")
    }

    /// Opens as many requests as have a place and returns them with one more, which has none.
    fn all_places_taken(requests: &Arc<Requests>) -> (Vec<ReplySlot>, ReplySlot) {
        let slots: Vec<_> = (0..).take(PLACES).map(|id| open(requests, id)).collect();
        for slot in &slots {
            assert_eq!(slot.acquire().now_or_never(), Some(Ok(())));
            assert_eq!(slot.acquire().now_or_never(), Some(Ok(())));
        }
        let waiting = open(requests, -1);
        assert_eq!(waiting.acquire().now_or_never(), None);
        (slots, waiting)
    }

    #[test]
    fn a_place_is_free_when_handler_and_line_are_gone() {
        let requests = requests();
        let (mut slots, waiting) = all_places_taken(&requests);
        requests.answer(&RequestId::Number(0), || b"{}".to_vec());
        assert_eq!(waiting.acquire().now_or_never(), None);
        slots.remove(0);
        assert_eq!(waiting.acquire().now_or_never(), None);
        requests.outbox.waiting().clear();
        assert_eq!(waiting.acquire().now_or_never(), Some(Ok(())));
    }

    #[test]
    fn a_cancelled_request_keeps_place_and_id_until_its_handler_is_over() {
        let requests = requests();
        let (mut slots, waiting) = all_places_taken(&requests);
        requests.cancel(&RequestId::Number(0));
        assert!(requests.open(&RequestId::Number(0)).is_none());
        assert_eq!(waiting.acquire().now_or_never(), None);
        slots.remove(0);
        assert_eq!(waiting.acquire().now_or_never(), Some(Ok(())));
        drop(open(&requests, 0));
        requests.cancel(&RequestId::Number(0));
        drop(open(&requests, 0));
    }

    #[test]
    fn nobody_waits_for_a_place_once_the_client_is_gone() {
        let requests = requests();
        let (_slots, waiting) = all_places_taken(&requests);
        requests.outbox.closed().cancel();
        assert_eq!(waiting.acquire().now_or_never(), Some(Err(Disconnected)));
    }

    #[test]
    fn a_panicking_handler_is_answered_and_gives_its_place_back() {
        let requests = requests();
        let (mut slots, waiting) = all_places_taken(&requests);
        let slot = slots.remove(0);
        let panic = std::panic::AssertUnwindSafe(move || {
            let _slot = slot;
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(std::panic::catch_unwind(panic).is_err());
        let lines = std::mem::take(&mut *requests.outbox.waiting());
        assert_eq!(lines.len(), 1);
        drop(lines);
        assert_eq!(waiting.acquire().now_or_never(), Some(Ok(())));
        drop(open(&requests, 0));
    }
}
