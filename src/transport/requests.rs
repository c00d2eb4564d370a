//! Which requests are open.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::RequestId;
use tokio_util::sync::CancellationToken;

use super::outbox::Outbox;
use super::place::{Place, Places};

/// Requests that may be with their handlers; what comes after them is read, and waits as text.
const MAX_OPEN: usize = 20_000;

/// Bytes that may wait for the client before further requests wait as text. One reply may be larger.
const MAX_UNWRITTEN: usize = 4 << 20;

/// The connection's open requests.
pub(super) struct Requests {
    outbox: Arc<Outbox>,
    /// Received, and their handlers are not over. A leaf lock.
    open: Mutex<HashMap<RequestId, CancellationToken>>,
    places: Places,
}

/// A request whose handler is not over. Its id is taken until this is dropped.
pub(super) struct OpenRequest {
    id: RequestId,
    cancelled: CancellationToken,
    place: Arc<Place>,
    requests: Arc<Requests>,
}

/// What a handler finds in its request's extensions.
#[derive(Clone)]
pub(crate) struct ReplySlot {
    place: Arc<Place>,
    requests: Arc<Requests>,
}

/// The client is gone and reads no reply.
#[derive(Debug, PartialEq)]
pub(crate) struct Disconnected;

impl ReplySlot {
    /// Waits for the turn to build a reply; asking again is free.
    ///
    /// At the end of input this goes on waiting: a client that has closed its end may still read.
    pub(crate) async fn acquire(&self) -> Result<(), Disconnected> {
        tokio::select! {
            biased;
            () = self.requests.outbox.closed().cancelled() => Err(Disconnected),
            () = self.requests.places.take(&self.place) => Ok(()),
        }
    }
}

impl OpenRequest {
    pub(super) fn id(&self) -> &RequestId {
        &self.id
    }

    /// Cancelled when the client wants no reply any more.
    pub(super) fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    pub(super) fn slot(&self) -> ReplySlot {
        ReplySlot {
            place: self.place.clone(),
            requests: self.requests.clone(),
        }
    }

    /// Queues the reply, unless the client has said that it wants none.
    pub(super) fn answer(self, line: Vec<u8>) {
        if !self.cancelled.is_cancelled() {
            let place = Some(self.place.clone());
            self.requests.outbox.push(line, place, None);
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut open = self.requests.lock();
        if open.len() == MAX_OPEN {
            self.requests.outbox.moved.notify_waiters();
        }
        open.remove(&self.id);
    }
}

impl Requests {
    pub(super) fn new(outbox: Arc<Outbox>) -> Arc<Self> {
        Arc::new(Self {
            outbox,
            open: Mutex::default(),
            places: Places::default(),
        })
    }

    /// Opens a request, unless one of this id is open.
    pub(super) fn open(self: &Arc<Self>, id: RequestId) -> Option<OpenRequest> {
        let mut open = self.lock();
        let Entry::Vacant(entry) = open.entry(id) else {
            return None;
        };
        let id = entry.key().clone();
        let cancelled = entry.insert(CancellationToken::new()).clone();
        Some(OpenRequest {
            id,
            cancelled,
            place: Arc::default(),
            requests: self.clone(),
        })
    }

    /// The client wants no reply to this any more.
    pub(super) fn cancel(&self, id: &RequestId) {
        let cancelled = self.lock().get(id).cloned();
        if let Some(cancelled) = cancelled {
            cancelled.cancel();
        }
    }

    /// Whether another request may be handed to its handler.
    pub(super) fn has_room(&self) -> bool {
        self.outbox.unwritten() < MAX_UNWRITTEN && self.lock().len() < MAX_OPEN
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, CancellationToken>> {
        // Valid after a panic anywhere: nothing panics while it is being changed.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::super::place::PLACES;
    use super::*;

    fn requests() -> Arc<Requests> {
        Requests::new(Outbox::full())
    }

    fn open(requests: &Arc<Requests>, id: i64) -> OpenRequest {
        requests
            .open(RequestId::Number(id))
            .expect("the id is free")
    }

    /// Opens as many requests as have a place and returns them with one more, which has none.
    fn all_places_taken(requests: &Arc<Requests>) -> (Vec<OpenRequest>, ReplySlot) {
        let taken: Vec<_> = (0..).take(PLACES).map(|id| open(requests, id)).collect();
        for request in &taken {
            let slot = request.slot();
            assert_eq!(slot.acquire().now_or_never(), Some(Ok(())));
            assert_eq!(slot.acquire().now_or_never(), Some(Ok(())));
        }
        let waiting = open(requests, -1).slot();
        assert_eq!(waiting.acquire().now_or_never(), None);
        (taken, waiting)
    }

    #[test]
    fn a_place_is_free_when_handler_and_line_are_gone() {
        let requests = requests();
        let (mut taken, waiting) = all_places_taken(&requests);
        let request = taken.remove(0);
        let handler = request.slot();
        request.answer(b"{}".to_vec());
        drop(handler);
        assert_eq!(waiting.acquire().now_or_never(), None);
        assert_eq!(requests.outbox.taken(), 1);
        assert_eq!(waiting.acquire().now_or_never(), Some(Ok(())));
    }

    #[test]
    fn a_cancelled_request_keeps_place_and_id_until_its_handler_is_over() {
        let requests = requests();
        let (mut taken, waiting) = all_places_taken(&requests);
        requests.cancel(&RequestId::Number(0));
        assert!(requests.open(RequestId::Number(0)).is_none());
        assert_eq!(waiting.acquire().now_or_never(), None);
        taken.remove(0).answer(b"{}".to_vec());
        assert_eq!(requests.outbox.taken(), 0);
        assert_eq!(waiting.acquire().now_or_never(), Some(Ok(())));
        drop(open(&requests, 0));
        requests.cancel(&RequestId::Number(0));
        drop(open(&requests, 0));
    }

    #[test]
    fn nobody_waits_for_a_place_once_the_client_is_gone() {
        let requests = requests();
        let (_taken, waiting) = all_places_taken(&requests);
        requests.outbox.closed().cancel();
        assert_eq!(waiting.acquire().now_or_never(), Some(Err(Disconnected)));
    }
}
