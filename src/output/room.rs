//! How many bytes there are in all, and who may add to them.
//!
//! Whoever is about to store asks for room before it reads, so that what there is no room for yet stays in its pipe. Then
//! finished jobs are evicted, oldest first, before anything of a running one is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// How long room is waited for. Then what room there is has to do: a disk may be slow to give any back.
const WITHIN: Duration = Duration::from_secs(1);

/// The room for all output.
#[derive(Debug)]
pub(crate) struct Room {
    max: u64,
    /// Bytes that are stored, or about to be.
    retained: AtomicU64,
    /// Bytes that somebody is about to read and to store, or waits to.
    promised: AtomicU64,
    pressure: Notify,
    /// Heard by whoever waits for room, and by nobody else.
    sweeps: watch::Sender<Sweeps>,
}

/// Each time that the sweeper makes room.
#[derive(Clone, Copy, Debug, Default)]
struct Sweeps {
    begun: u64,
    ended: u64,
    /// Whether the last one has evicted anything.
    evicted: bool,
}

impl Room {
    pub(crate) fn new(max: u64) -> Self {
        Self {
            max,
            retained: AtomicU64::new(0),
            promised: AtomicU64::new(0),
            pressure: Notify::new(),
            sweeps: watch::Sender::default(),
        }
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    pub(crate) fn retained(&self) -> u64 {
        self.retained.load(Ordering::Relaxed)
    }

    /// Where eviction of finished jobs starts: below the bound, since what is evicted may take a moment to go.
    fn soft_limit(&self) -> u64 {
        self.max - self.max / 16
    }

    /// Where streams that can make room by giving up what they have do so, once no finished job is left to evict: what is
    /// beyond is for those that have just begun, whose few words a flood of others must not drown.
    pub(crate) fn limit_for_large(&self) -> u64 {
        self.soft_limit().midpoint(self.max)
    }

    /// How many bytes too many there would be with so many more.
    pub(crate) fn excess_with(&self, more: usize) -> u64 {
        let promised = self.promised.load(Ordering::Relaxed);
        (self.retained() + promised + more as u64).saturating_sub(self.soft_limit())
    }

    /// How many bytes too many there are or will be.
    pub(crate) fn excess(&self) -> u64 {
        self.excess_with(0)
    }

    /// Whether the output of some running job waits for room.
    pub(crate) fn is_awaited(&self) -> bool {
        self.sweeps.receiver_count() > 0
    }

    /// Resolves when there is room for so many bytes, or the sweeper has made what room it can.
    pub(crate) async fn promise(self: &Arc<Self>, bytes: usize) -> Promise {
        self.promised.fetch_add(bytes as u64, Ordering::Relaxed);
        let promise = Promise {
            room: self.clone(),
            bytes,
        };
        if bytes > 0 && self.excess() > 0 {
            // Boxed, since every stream that is read carries its size.
            let _ = Box::pin(timeout(WITHIN, self.made())).await;
        }
        promise
    }

    /// Has the sweeper make room, as long as it can and there is too little.
    async fn made(&self) {
        let mut sweeps = self.sweeps.subscribe();
        while self.excess() > 0 {
            let before = sweeps.borrow_and_update().begun;
            self.pressure.notify_one();
            match sweeps.wait_for(|sweeps| sweeps.ended > before).await {
                Ok(sweeps) if sweeps.evicted => {}
                _ => return,
            }
        }
    }

    /// Takes room for up to so many bytes as long as no more than `limit` are retained in all; says for how many. Near the
    /// bound the sweeper is woken to evict finished jobs.
    pub(crate) fn reserve(&self, wanted: usize, limit: u64) -> usize {
        let mut reserved = 0;
        let grow = |retained: u64| {
            let room = usize::try_from(limit.saturating_sub(retained)).unwrap_or(usize::MAX);
            reserved = wanted.min(room);
            (reserved > 0).then_some(retained + reserved as u64)
        };
        let (Ok(before) | Err(before)) =
            self.retained
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow);
        if before + reserved as u64 > self.soft_limit() {
            self.pressure.notify_one();
        }
        reserved
    }

    /// Gives room back, once what was in it is gone.
    pub(crate) fn subtract(&self, bytes: u64) {
        self.retained.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Resolves when there is too little of it.
    pub(crate) async fn under_pressure(&self) {
        self.pressure.notified().await;
    }

    /// The sweeper looks what there is to evict.
    pub(crate) fn sweep_begins(&self) {
        self.sweeps.send_modify(|sweeps| sweeps.begun += 1);
    }

    /// It has evicted what there was, if anything.
    pub(crate) fn sweep_ends(&self, evicted: bool) {
        self.sweeps.send_modify(|sweeps| {
            sweeps.ended = sweeps.begun;
            sweeps.evicted = evicted;
        });
    }
}

/// Room for some bytes that are not stored yet; given back when dropped.
#[derive(Debug)]
pub(crate) struct Promise {
    room: Arc<Room>,
    bytes: usize,
}

impl Promise {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let bytes = self.bytes as u64;
        self.room.promised.fetch_sub(bytes, Ordering::Relaxed);
    }
}
