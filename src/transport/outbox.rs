//! What is to be written, and the one task that writes it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::Interest;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::descriptor::{Descriptor, Readiness, hung_up};
use super::place::Place;

/// Lines written with one system call at most.
const GATHERED: usize = 64;

/// Lines on their way out, in the order in which they were given.
#[derive(Default)]
pub(crate) struct Outbox {
    waiting: Mutex<VecDeque<Line>>,
    /// Bytes waiting or being written.
    unwritten: AtomicUsize,
    /// Bytes written so far; wraps. Only ever compared with itself.
    written: AtomicUsize,
    /// A line has come.
    filled: Notify,
    /// Bytes have gone, or the reader has.
    pub(super) moved: Notify,
    /// Nobody reads any more: every line is dropped.
    closed: CancellationToken,
}

pub(super) struct Line {
    text: Vec<u8>,
    /// What comes before is written.
    start: usize,
    /// Held until the line is written.
    _place: Option<Arc<Place>>,
    /// Told by its end that the line is written, or never will be.
    _written: Option<oneshot::Sender<()>>,
}

impl Outbox {
    /// Queues one line, to which the newline is added. The receiver, where one is wanted, resolves once it is gone.
    pub(super) fn push(
        &self,
        mut text: Vec<u8>,
        place: Option<Arc<Place>>,
        written: Option<oneshot::Sender<()>>,
    ) {
        if self.closed.is_cancelled() {
            return;
        }
        text.push(b'\n');
        self.unwritten.fetch_add(text.len(), Relaxed);
        self.waiting().push_back(Line {
            text,
            start: 0,
            _place: place,
            _written: written,
        });
        self.filled.notify_one();
    }

    /// How many bytes wait to be read by the client.
    pub(super) fn unwritten(&self) -> usize {
        self.unwritten.load(Relaxed)
    }

    /// Cancelled when nobody reads any more.
    pub(super) fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// Waits until everything is written, or cannot be.
    pub(super) async fn flushed(&self) {
        loop {
            let moved = self.moved.notified();
            if self.unwritten() == 0 || self.closed.is_cancelled() {
                return;
            }
            moved.await;
        }
    }

    /// Waits until nothing has been written for as long as `patience`.
    pub(crate) async fn stalled(&self, patience: Duration) {
        loop {
            let before = self.written.load(Relaxed);
            tokio::time::sleep(patience).await;
            if self.written.load(Relaxed) == before {
                return;
            }
        }
    }

    /// Writes what comes until nobody reads it any more.
    pub(super) async fn deliver(&self, to: Descriptor) {
        let end = tokio::select! {
            biased;
            end = self.write(&to) => end,
            end = hung_up(&to) => end,
        };
        if let Err(error) = end {
            debug!(%error, "standard output failed");
        }
        self.closed.cancel();
        self.waiting().clear();
        self.moved.notify_waiters();
    }

    async fn write(&self, to: &Descriptor) -> io::Result<()> {
        let mut lines = VecDeque::new();
        loop {
            self.filled.notified().await;
            // Asked for anew in each burst: most bursts are taken whole, and then nobody need tell us of room.
            let mut readiness = None;
            loop {
                lines.append(&mut self.waiting());
                if lines.is_empty() {
                    break;
                }
                let written = write_some(&lines, to, &mut readiness).await?;
                drop_written(&mut lines, written);
                self.unwritten.fetch_sub(written, Relaxed);
                self.written.fetch_add(written, Relaxed);
                self.moved.notify_waiters();
            }
        }
    }

    pub(super) fn waiting(&self) -> MutexGuard<'_, VecDeque<Line>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes from the front of the lines, once there is room for anything.
async fn write_some(
    lines: &VecDeque<Line>,
    to: &Descriptor,
    readiness: &mut Option<Readiness>,
) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); GATHERED];
    for (slice, line) in slices.iter_mut().zip(lines) {
        *slice = IoSlice::new(&line.text[line.start..]);
    }
    let slices = &slices[..lines.len().min(GATHERED)];
    let written = match to.write(slices) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let readiness = match readiness {
                Some(readiness) => readiness,
                None => readiness.insert(Readiness::of(to, Interest::WRITABLE)?),
            };
            readiness
                .perform(Interest::WRITABLE, || to.write(slices))
                .await
        }
        written => written,
    }?;
    match written {
        0 => Err(ErrorKind::WriteZero.into()),
        written => Ok(written),
    }
}

fn drop_written(lines: &mut VecDeque<Line>, mut written: usize) {
    while let Some(line) = lines.front_mut() {
        let rest = line.text.len() - line.start;
        if written < rest {
            line.start += written;
            return;
        }
        written -= rest;
        lines.pop_front();
    }
}
