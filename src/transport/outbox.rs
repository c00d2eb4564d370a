//! What is to be written: at once as far as there is room, the rest by a task of its own.

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
pub(crate) struct Outbox {
    to: Descriptor,
    /// A leaf lock, not held while anything is written.
    queue: Mutex<Queue>,
    /// Bytes waiting or being written.
    unwritten: AtomicUsize,
    /// Bytes written so far; wraps. Only ever compared with itself.
    written: AtomicUsize,
    /// There is something for the task to write.
    filled: Notify,
    /// Bytes have gone, or the reader has.
    pub(super) moved: Notify,
    /// Nobody reads any more: every line is dropped.
    closed: CancellationToken,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Line>,
    /// Somebody writes what came before these, and then goes on with them.
    busy: bool,
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
    pub(super) fn new(to: Descriptor) -> Self {
        Self {
            to,
            queue: Mutex::default(),
            unwritten: AtomicUsize::default(),
            written: AtomicUsize::default(),
            filled: Notify::default(),
            moved: Notify::default(),
            closed: CancellationToken::default(),
        }
    }

    /// Writes one line, to which the newline is added, or as much of it as there is room for, and queues the rest. The
    /// line's receiver, where one is wanted, resolves once it is gone.
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
        let line = Line {
            text,
            start: 0,
            _place: place,
            _written: written,
        };
        let mut lines = {
            let mut queue = self.queue();
            queue.lines.push_back(line);
            if queue.busy {
                return;
            }
            queue.busy = true;
            std::mem::take(&mut queue.lines)
        };
        // An error shows again in the task, which is there to deal with it.
        if let Ok(written) = write_some(&lines, &self.to) {
            self.count(&mut lines, written);
        }
        let mut queue = self.queue();
        lines.append(&mut queue.lines);
        queue.busy = !lines.is_empty();
        if queue.busy {
            queue.lines = lines;
            self.filled.notify_one();
        }
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
    pub(super) async fn deliver(&self) {
        let end = tokio::select! {
            biased;
            end = self.write() => end,
            end = hung_up(&self.to) => end,
        };
        if let Err(error) = end {
            debug!(%error, "standard output failed");
        }
        self.closed.cancel();
        self.queue().lines.clear();
        self.moved.notify_waiters();
    }

    async fn write(&self) -> io::Result<()> {
        let mut lines = VecDeque::new();
        loop {
            self.filled.notified().await;
            // Asked for anew in each burst: most lines are written at once, and then nobody need tell us of room.
            let readiness = Readiness::of(&self.to, Interest::WRITABLE);
            while self.take(&mut lines) {
                let written = readiness
                    .perform(Interest::WRITABLE, || write_some(&lines, &self.to))
                    .await?;
                self.count(&mut lines, written);
            }
        }
    }

    /// Takes what has come meanwhile too; false, and somebody else's turn, if there is nothing.
    fn take(&self, lines: &mut VecDeque<Line>) -> bool {
        let mut queue = self.queue();
        lines.append(&mut queue.lines);
        queue.busy = !lines.is_empty();
        queue.busy
    }

    fn count(&self, lines: &mut VecDeque<Line>, written: usize) {
        drop_written(lines, written);
        self.unwritten.fetch_sub(written, Relaxed);
        self.written.fetch_add(written, Relaxed);
        self.moved.notify_waiters();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes from the front of the lines, as much as there is room for: `WouldBlock` if that is nothing.
fn write_some(lines: &VecDeque<Line>, to: &Descriptor) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); GATHERED];
    for (slice, line) in slices.iter_mut().zip(lines) {
        *slice = IoSlice::new(&line.text[line.start..]);
    }
    match to.write(&slices[..lines.len().min(GATHERED)])? {
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

/// For the tests of whoever pushes lines.
#[cfg(test)]
impl Outbox {
    /// One that has no room, so that lines wait.
    pub(super) fn full() -> Arc<Self> {
        use std::io::Write;

        let (reader, mut writer) = io::pipe().expect("a pipe is to be had");
        writer
            .write_all(&[0; 64 << 10])
            .expect("a pipe holds that much");
        // It must not look as if nobody read.
        std::mem::forget(reader);
        Arc::new(Self::new(
            Descriptor::duplicate(writer).expect("it is a pipe"),
        ))
    }

    /// What waits, taken out as if it had been written.
    pub(super) fn taken(&self) -> usize {
        std::mem::take(&mut self.queue().lines).len()
    }
}
