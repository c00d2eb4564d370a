//! From the jobs' pipes to files, on a thread of its own.
//!
//! It alone waits for the pipes and it alone writes the files, with plain blocking calls. A disk that hangs stops this
//! thread and with it the jobs that write; requests are answered all the same, and a drain is not waited for longer than a
//! second. Nothing is lost meanwhile: what is not read stays in the pipes.

use std::io::{self, PipeReader};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use uuid::Uuid;

use crate::job::Captured;
use crate::output::log::OutputLog;
use crate::process::pipe::{Pipe, Pipes, Waker};

/// How long a drain is waited for.
const DRAIN_WITHIN: Duration = Duration::from_secs(1);

/// How often a job's watcher is told of output while it flows.
const PUBLISH_EVERY: Duration = Duration::from_millis(5);

/// How long a flood that was read empty gathers before the next read: to wake for each of its writes costs the command and
/// this thread more than the writes themselves.
const GATHER_FOR: Duration = Duration::from_micros(50);

/// Standard output and standard error of a job.
pub type Both<T> = [T; 2];

/// The thread that captures the output of all jobs. It ends with the last handle.
#[derive(Debug)]
pub struct CaptureThread {
    requests: Sender<Request>,
    /// Makes the thread look for requests.
    waker: Waker,
}

/// What the thread is to do between two waits.
type Request = Box<dyn FnOnce(&mut Worker) + Send>;

/// The output of one job on its way to disk: the watcher's side.
#[derive(Debug)]
pub struct Capture {
    thread: Arc<CaptureThread>,
    id: Uuid,
    captured: watch::Receiver<Both<Captured>>,
}

impl CaptureThread {
    pub fn start() -> io::Result<Self> {
        let (pipes, waker) = Pipes::new()?;
        let (requests, received) = channel();
        let worker = Worker { pipes, requests: received, jobs: Vec::new() };
        std::thread::Builder::new().name("capture".to_owned()).spawn(move || worker.run())?;
        Ok(Self { requests, waker })
    }

    /// Captures what comes from these pipes into these logs.
    pub fn attach(self: &Arc<Self>, id: Uuid, pipes: Both<(PipeReader, OutputLog)>) -> Capture {
        let (sender, captured) = watch::channel(Both::default());
        let stream = |(pipe, log)| Stream { pipe: Some(Pipe::new(pipe, &self.waker)), log };
        let attached = Attached {
            id,
            streams: pipes.map(stream),
            captured: sender,
            published: Instant::now(),
            is_pending: false,
        };
        self.send(Box::new(move |worker| worker.jobs.push(attached)));
        Capture { thread: self.clone(), id, captured }
    }

    fn send(&self, request: Request) {
        // Errors mean that the thread has failed, which shows as a capture that is over.
        let _ = self.requests.send(request);
        self.waker.wake();
    }
}

impl Capture {
    /// Resolves when more was captured or a stream has ended; never once the capture is over.
    pub async fn changed(&mut self) {
        if self.captured.changed().await.is_err() {
            std::future::pending().await
        }
    }

    pub fn captured(&self) -> Both<Captured> {
        let mut captured = self.captured.borrow().clone();
        if self.captured.has_changed().is_err() {
            // The thread has let go of the job: because both streams have ended, or because it failed.
            for stream in captured.iter_mut().filter(|stream| !stream.ended) {
                stream.ended = true;
                stream.unstored = Some("the capture thread failed".into());
            }
        }
        captured
    }

    /// Whether both streams have ended and are stored.
    pub fn has_ended(&self) -> bool {
        self.captured.has_changed().is_err()
            || self.captured.borrow().iter().all(|stream| stream.ended)
    }

    /// Stores what is in the pipes at this moment, if the disk takes it in time.
    pub async fn drain(&self) {
        self.request(false).await;
    }

    /// The same, and reads no more.
    pub async fn close(&self) {
        self.request(true).await;
    }

    /// Resolves when nothing more will be stored.
    pub async fn ended(&mut self) {
        while self.captured.changed().await.is_ok() {}
    }

    async fn request(&self, closes: bool) {
        let (done, answer) = oneshot::channel();
        let id = self.id;
        self.thread.send(Box::new(move |worker| {
            worker.drain(id, closes);
            // An error means that the watcher has stopped waiting.
            let _ = done.send(());
        }));
        if timeout(DRAIN_WITHIN, answer).await.is_err() {
            tracing::warn!(ref_id = %id, "the disk does not take the job's output");
        }
    }
}

/// The thread's side.
struct Worker {
    pipes: Pipes,
    requests: Receiver<Request>,
    jobs: Vec<Attached>,
}

#[derive(Debug)]
struct Attached {
    id: Uuid,
    streams: Both<Stream>,
    captured: watch::Sender<Both<Captured>>,
    published: Instant,
    /// More was captured than was published.
    is_pending: bool,
}

#[derive(Debug)]
struct Stream {
    /// None when the stream has ended.
    pipe: Option<Pipe>,
    log: OutputLog,
}

impl Worker {
    fn run(mut self) {
        loop {
            let (is_woken, ready) = self.wait();
            let mut ready = ready.into_iter();
            let mut gathers = false;
            for job in &mut self.jobs {
                let mut is_flowing = false;
                let open = job.streams.iter_mut().filter(|stream| stream.pipe.is_some());
                for stream in open {
                    if ready.next().unwrap_or(false) {
                        let is_more = stream.read(&mut self.pipes);
                        gathers |= !is_more && stream.is_flood();
                        is_flowing |= is_more || stream.is_flood();
                        job.is_pending = true;
                    }
                }
                if job.is_pending && !(is_flowing && job.published.elapsed() < PUBLISH_EVERY) {
                    job.publish();
                }
            }
            if is_woken && !self.handle_requests() {
                return;
            }
            self.jobs.retain(|job| job.streams.iter().any(|stream| stream.pipe.is_some()));
            if gathers {
                sleep(GATHER_FOR);
            }
        }
    }

    /// Waits; whether there are requests, and for each open pipe whether it can be read.
    fn wait(&self) -> (bool, Vec<bool>) {
        let streams = self.jobs.iter().flat_map(|job| &job.streams);
        let open = streams.filter_map(|stream| stream.pipe.as_ref());
        let is_pending = self.jobs.iter().any(|job| job.is_pending);
        self.pipes.wait(open, is_pending.then_some(PUBLISH_EVERY))
    }

    /// False when no handle is left that could send one.
    fn handle_requests(&mut self) -> bool {
        loop {
            match self.requests.try_recv() {
                Ok(request) => request(self),
                Err(error) => return error == TryRecvError::Empty,
            }
        }
    }

    fn drain(&mut self, id: Uuid, closes: bool) {
        if let Some(job) = self.jobs.iter_mut().find(|job| job.id == id) {
            for stream in &mut job.streams {
                stream.drain(&mut self.pipes);
                if closes {
                    stream.close();
                }
            }
            job.publish();
        }
    }
}

impl Attached {
    fn publish(&mut self) {
        (self.published, self.is_pending) = (Instant::now(), false);
        let [stdout, stderr] = &self.streams;
        let now = [stdout.log.captured().clone(), stderr.log.captured().clone()];
        self.captured.send_replace(now);
    }
}

impl Stream {
    fn is_flood(&self) -> bool {
        self.pipe.as_ref().is_some_and(Pipe::is_large)
    }

    /// Reads once, from a pipe that can be read, and stores what comes. Whether there seems to be more.
    fn read(&mut self, pipes: &mut Pipes) -> bool {
        let Some(pipe) = &mut self.pipe else {
            return false;
        };
        match pipes.read(pipe) {
            Ok(([], _)) => self.close(),
            Ok((bytes, is_more)) => {
                self.log.append(bytes);
                return is_more;
            }
            Err(error) => {
                tracing::warn!(%error, "reading a job's output failed");
                self.close();
            }
        }
        false
    }

    /// Stores what is in the pipe at this moment, no more: a leftover process may go on writing for ever.
    fn drain(&mut self, pipes: &mut Pipes) {
        let end = self.log.captured().end + self.pipe.as_ref().map_or(0, Pipe::available);
        while let Some(pipe) = &self.pipe
            && pipe.is_readable()
        {
            // With nothing left, one more read sees the end of the stream.
            let is_last = self.log.captured().end >= end;
            if is_last && pipe.available() > 0 {
                return;
            }
            self.read(pipes);
        }
    }

    fn close(&mut self) {
        if self.pipe.take().is_some() {
            self.log.close();
        }
    }
}
