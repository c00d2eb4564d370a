//! The pipes that commands write to. The system cannot wait for several of them, so a thread for each reads it and hands
//! over what comes; when nobody takes it, it stops reading.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What is read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Chunks of a pipe that wait for the capture thread.
const MAX_CHUNKS: usize = 4;

/// A pipe that a command writes to, and the thread that reads it.
#[derive(Debug)]
pub struct Pipe(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    /// Told when a chunk was taken, or the pipe is not wanted any more.
    taken: Condvar,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Vec<u8>>,
    has_ended: bool,
    is_unwanted: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads to the end, or until it is not wanted any more.
    fn fill(&self, mut reader: PipeReader, waker: &Waker) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let length = reader.read(&mut buffer)?;
            let is_full =
                |state: &mut State| state.chunks.len() >= MAX_CHUNKS && !state.is_unwanted;
            let room = self.taken.wait_while(self.lock(), is_full);
            let mut state = room.unwrap_or_else(PoisonError::into_inner);
            if length == 0 || state.is_unwanted {
                return Ok(());
            }
            state.chunks.push_back(buffer[..length].to_vec());
            drop(state);
            waker.wake();
        }
    }
}

impl Pipe {
    /// Starts to read. What comes wakes the capture thread.
    pub fn new(reader: PipeReader, waker: &Waker) -> Self {
        let queue = Arc::<Queue>::default();
        let (filled, waker) = (queue.clone(), waker.clone());
        let end = |queue: &Queue, result: io::Result<()>| {
            queue.lock().has_ended = true;
            if let Err(error) = result {
                tracing::warn!(%error, "reading a job's output failed");
            }
        };
        let started = thread::Builder::new().name("pipe".to_owned()).spawn(move || {
            end(&filled, filled.fill(reader, &waker));
            waker.wake();
        });
        if let Err(error) = started {
            end(&queue, Err(error));
        }
        Self(queue)
    }

    /// Whether it can be read now, if only to see its end.
    pub fn is_readable(&self) -> bool {
        let state = self.0.lock();
        state.has_ended || !state.chunks.is_empty()
    }

    /// Whether it pays to let output gather before it is read: here its own thread does that.
    pub fn is_large(&self) -> bool {
        false
    }

    /// How many bytes are to be had at this moment.
    pub fn available(&self) -> u64 {
        self.0.lock().chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.0.lock().is_unwanted = true;
        self.0.taken.notify_one();
    }
}

/// The capture thread's means to wait for pipes and to read them.
#[derive(Debug)]
pub struct Pipes {
    woken: Receiver<()>,
    /// The last chunk that was read.
    chunk: Vec<u8>,
}

/// Makes the thread that waits look up, at the latest when this goes away.
#[derive(Clone, Debug)]
pub struct Waker(SyncSender<()>);

impl Waker {
    pub fn wake(&self) {
        // Full, the thread is about to look up; closed, it has failed.
        let _ = self.0.try_send(());
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        self.wake();
    }
}

impl Pipes {
    pub fn new() -> io::Result<(Self, Waker)> {
        let (waker, woken) = sync_channel(1);
        Ok((Self { woken, chunk: Vec::new() }, Waker(waker)))
    }

    /// Waits until the thread is woken, one of these can be read or has ended, or for this long: whether it was woken, and
    /// then for each of them whether it can be read.
    pub fn wait<'a>(
        &self,
        pipes: impl Iterator<Item = &'a Pipe>,
        limit: Option<Duration>,
    ) -> (bool, Vec<bool>) {
        let pipes: Vec<&Pipe> = pipes.collect();
        let is_woken = match limit {
            _ if pipes.iter().any(|pipe| pipe.is_readable()) => {
                self.woken.try_recv() != Err(TryRecvError::Empty)
            }
            Some(limit) => self.woken.recv_timeout(limit) != Err(RecvTimeoutError::Timeout),
            None => {
                // An error means that there is no waker any more.
                let _ = self.woken.recv();
                true
            }
        };
        (is_woken, pipes.iter().map(|pipe| pipe.is_readable()).collect())
    }

    /// Reads once, from a pipe that can be read: what was there, and whether there is more. Nothing at its end.
    pub fn read(&mut self, pipe: &mut Pipe) -> io::Result<(&[u8], bool)> {
        let mut state = pipe.0.lock();
        self.chunk = state.chunks.pop_front().unwrap_or_default();
        pipe.0.taken.notify_one();
        Ok((&self.chunk, !state.chunks.is_empty()))
    }
}
