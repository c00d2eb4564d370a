//! The pipes that commands write to. The system cannot wait for several of them, so a thread for each reads it and hands
//! over what comes; when nobody takes it, it stops reading.

use std::io::{self, PipeReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

/// What is read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Chunks of a pipe that wait for the capture thread.
const MAX_CHUNKS: usize = 4;

/// A pipe that a command writes to, and what the thread that reads it hands over.
#[derive(Debug)]
pub struct Pipe {
    chunks: Receiver<Vec<u8>>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Read and not taken yet: in the channel, or just about to be.
    bytes: AtomicU64,
    has_ended: AtomicBool,
}

impl Pipe {
    /// Starts to read. What comes wakes the capture thread.
    pub fn new(mut reader: PipeReader, waker: &Waker) -> Self {
        let (filled, chunks) = sync_channel(MAX_CHUNKS);
        let (state, waker) = (Arc::<State>::default(), waker.clone());
        let of_thread = state.clone();
        let mut fill = move || {
            let mut buffer = vec![0; CHUNK_BYTES];
            loop {
                let length = reader.read(&mut buffer)?;
                of_thread.bytes.fetch_add(length as u64, Ordering::AcqRel);
                // Closed, the rest is not wanted.
                if length == 0 || filled.send(buffer[..length].to_vec()).is_err() {
                    return Ok(());
                }
                waker.wake();
            }
        };
        let end = |state: &State, result: io::Result<()>| {
            state.has_ended.store(true, Ordering::Release);
            if let Err(error) = result {
                tracing::warn!(%error, "reading a job's output failed");
            }
        };
        let ended = state.clone();
        // Its waker goes with the thread, and wakes once more.
        let started =
            thread::Builder::new().name("pipe".to_owned()).spawn(move || end(&ended, fill()));
        if let Err(error) = started {
            end(&state, Err(error));
        }
        Self { chunks, state }
    }

    /// Whether it can be read now, if only to see its end.
    pub fn is_readable(&self) -> bool {
        self.state.has_ended.load(Ordering::Acquire) || self.available() > 0
    }

    /// Whether it pays to let output gather before it is read: here its own thread does that.
    pub fn is_large(&self) -> bool {
        false
    }

    /// How many bytes are to be had at this moment.
    pub fn available(&self) -> u64 {
        self.state.bytes.load(Ordering::Acquire)
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
        self.chunk = pipe.chunks.recv().unwrap_or_default();
        pipe.state.bytes.fetch_sub(self.chunk.len() as u64, Ordering::AcqRel);
        Ok((&self.chunk, pipe.available() > 0))
    }
}
