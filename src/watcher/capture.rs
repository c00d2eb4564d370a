//! One stream of a job on its way from its pipe to disk.
//!
//! What comes is written on another thread, since any write may hang for as long as the disk does. While one is under way
//! nothing more is read, so that a job which writes faster than its disk waits for it, as it would if it wrote to the disk
//! itself: nothing is lost, and no memory is needed. The thread goes on by itself while there is more, and so a flood does
//! not pay for the hand-over.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::unix::pipe;

use crate::job::{Captured, Unstored};
use crate::output::disk::Disk;
use crate::output::log::OutputLog;
use crate::output::room::Promise;
use crate::threads::Failed;

/// Most bytes read from a pipe in one go: what a pipe holds unless somebody has made it larger.
const CHUNK: usize = 64 << 10;

/// Most bytes that are read before another thread takes over.
const FIRST_BYTES: usize = 4 << 10;

/// How long a thread goes on by itself, if there is room, before it says what it has stored.
const VISIT: Duration = Duration::from_millis(5);

/// One stream on its way from its pipe to disk.
#[derive(Debug)]
pub(crate) struct Capture {
    /// None when the stream has ended.
    pipe: Option<Arc<pipe::Receiver>>,
    log: Place,
    /// What the log held when it was last here.
    captured: Captured,
    disk: Disk,
}

/// Where the log is.
enum Place {
    Here(OutputLog),
    /// With a thread that writes.
    Away(Visit),
    /// Nothing more will be written.
    Closed,
}

type Visit = Pin<Box<dyn Future<Output = Result<Visited, Failed>> + Send>>;

/// What a thread brings back.
struct Visited {
    log: OutputLog,
    pipe_ended: bool,
}

impl Capture {
    pub(crate) fn new(pipe: pipe::Receiver, log: OutputLog, disk: Disk) -> Self {
        Self {
            pipe: Some(Arc::new(pipe)),
            log: Place::Here(log),
            captured: Captured::default(),
            disk,
        }
    }

    pub(crate) fn captured(&self) -> &Captured {
        &self.captured
    }

    /// Whether the stream has ended and is stored.
    pub(crate) fn has_ended(&self) -> bool {
        self.captured.ended
    }

    /// Waits for what comes next, bytes in the pipe or a thread that has written, and sees to it. Cancellation loses
    /// nothing.
    pub(crate) async fn step(&mut self) {
        match (&mut self.log, &self.pipe) {
            (Place::Away(visit), _) => {
                let back = visit.await;
                self.take_back(back);
            }
            (Place::Here(log), Some(pipe)) => {
                // An error shows again, with its reason, in the read that follows.
                drop(pipe.readable().await);
                let promise = room(log, pipe).await;
                self.take(promise, |pipe, chunk| pipe.try_read(chunk));
            }
            _ => std::future::pending().await,
        }
    }

    /// Stores what is in the pipe at this moment, no more: a leftover process may go on writing for ever. Asks the
    /// kernel, since the runtime may not have heard yet that the pipe is readable. Cancellation loses nothing.
    pub(crate) async fn drain(&mut self) {
        self.settle().await;
        let end = self.captured.end + self.pipe.as_ref().map_or(0, |pipe| available(pipe));
        while let (Place::Here(log), Some(pipe)) = (&self.log, &self.pipe) {
            // With nothing left there, one more read sees the end of the stream, if that is what comes next.
            let is_last = self.captured.end >= end;
            let promise = room(log, pipe).await;
            self.take(promise, |pipe, chunk| Ok(rustix::io::read(pipe, chunk)?));
            self.settle().await;
            if is_last {
                return;
            }
        }
    }

    /// Stores what is in the pipe at this moment and reads no more. Cancellation loses nothing.
    pub(crate) async fn finish(&mut self) {
        self.drain().await;
        self.end();
    }

    /// Waits for the thread that writes, if one does.
    async fn settle(&mut self) {
        if let Place::Away(visit) = &mut self.log {
            let back = visit.await;
            self.take_back(back);
        }
    }

    /// Reads once, and not more than there is room for. Whatever comes is handed over to be stored.
    fn take(
        &mut self,
        promise: Promise,
        read: impl FnOnce(&pipe::Receiver, &mut [u8]) -> io::Result<usize>,
    ) {
        let Some(pipe) = &self.pipe else { return };
        let mut chunk = [0; FIRST_BYTES];
        // The end of a stream shows only to whoever asks for something.
        let wanted = promise.bytes().clamp(1, FIRST_BYTES);
        match read_once(|| read(pipe, &mut chunk[..wanted])) {
            Read::Nothing => {}
            Read::End => self.end(),
            Read::Bytes(length) => {
                if let Place::Here(mut log) = std::mem::replace(&mut self.log, Place::Closed) {
                    let (pipe, first) = (pipe.clone(), chunk[..length].to_vec());
                    let work = move || {
                        let pipe_ended = store(&mut log, &pipe, &first, promise);
                        Visited { log, pipe_ended }
                    };
                    let disk = self.disk.clone();
                    self.log = Place::Away(Box::pin(async move { disk.write(work).await }));
                }
            }
        }
    }

    fn take_back(&mut self, back: Result<Visited, Failed>) {
        match back {
            Ok(Visited { log, pipe_ended }) => {
                self.captured.clone_from(log.captured());
                self.log = Place::Here(log);
                if pipe_ended {
                    self.end();
                }
            }
            Err(failed) => {
                let why = Unstored::Failed(failed.to_string().into());
                self.captured.unstored.get_or_insert(why);
                self.log = Place::Closed;
                self.end();
            }
        }
    }

    /// Nothing more will come.
    fn end(&mut self) {
        self.pipe = None;
        self.captured.ended = true;
        if let Place::Here(log) = std::mem::replace(&mut self.log, Place::Closed)
            && log.is_open()
        {
            // To close a file may take as long as to write it.
            let disk = self.disk.clone();
            tokio::spawn(async move { disk.write(move || drop(log)).await });
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Here(_) => "Here",
            Self::Away(_) => "Away",
            Self::Closed => "Closed",
        })
    }
}

/// How much is in the pipe at this moment.
fn available(pipe: &pipe::Receiver) -> u64 {
    rustix::io::ioctl_fionread(pipe).unwrap_or(0)
}

/// Waits for room for what is in the pipe, as far as it is read in one go.
async fn room(log: &OutputLog, pipe: &pipe::Receiver) -> Promise {
    let bytes = usize::try_from(available(pipe)).unwrap_or(CHUNK);
    log.store().room().promise(bytes.min(CHUNK)).await
}

/// Stores these bytes and, if they may not have been all, what else is there as far as there is room; whether the stream
/// has ended. Blocks.
fn store(log: &mut OutputLog, pipe: &pipe::Receiver, first: &[u8], promise: Promise) -> bool {
    if first.len() < FIRST_BYTES {
        log.append(first);
        return false;
    }
    let began = Instant::now();
    let mut chunk = [0; CHUNK];
    chunk[..first.len()].copy_from_slice(first);
    let mut filled = first.len();
    let mut capacity = promise.bytes().max(filled);
    loop {
        // Few large writes cost less than many small ones.
        if filled == capacity {
            log.append(&chunk[..filled]);
            (filled, capacity) = (0, CHUNK);
            if log.store().room().excess_with(CHUNK) > 0 {
                return false;
            }
        }
        let read = read_once(|| pipe.try_read(&mut chunk[filled..capacity]));
        if let Read::Bytes(length) = read {
            filled += length;
        }
        if !matches!(read, Read::Bytes(_)) || began.elapsed() >= VISIT {
            log.append(&chunk[..filled]);
            return matches!(read, Read::End);
        }
    }
}

/// What one read brought.
enum Read {
    Nothing,
    Bytes(usize),
    End,
}

fn read_once(read: impl FnOnce() -> io::Result<usize>) -> Read {
    match read() {
        Ok(0) => Read::End,
        Ok(length) => Read::Bytes(length),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Read::Nothing
        }
        Err(error) => {
            tracing::warn!(%error, "reading a job's output failed");
            Read::End
        }
    }
}
