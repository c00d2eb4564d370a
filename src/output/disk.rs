//! The disk under the store.
//!
//! It may answer late or never: a network file system whose server is gone, a device that is dying, writers held back for
//! others. So it is asked on threads of its own, and it is known how it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::threads::{Failed, Lane};

/// Threads that may wait for it. Reading apart from writing: what was written can often still be read from memory when
/// nothing more can be written.
static WRITERS: Lane = Lane::new(4);
static READERS: Lane = Lane::new(4);

/// After this time without any answer nobody waits for the disk who has something to say without it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Nor after this time, whatever it has answered to others.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Clones are cheap and know the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Pulses>);

#[derive(Debug, Default)]
struct Pulses {
    writing: Pulse,
    reading: Pulse,
}

/// The disk does not answer.
#[derive(Debug)]
pub(crate) struct Silent;

impl Disk {
    /// Does what changes files.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failed> {
        let disk = self.clone();
        let work = move || {
            let _question = Question::put(&disk.0.writing);
            work()
        };
        WRITERS.run(work).await
    }

    /// Does what only reads them, if the disk answers. Each answer is to be noted.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Result<T, Failed>, Silent> {
        let disk = self.clone();
        let work = move || {
            let _question = Question::put(&disk.0.reading);
            work()
        };
        self.0.reading.unless_silent(READERS.run(work)).await
    }

    /// Waits until something is written, if the disk answers.
    pub(crate) async fn wait_for<T>(&self, written: impl Future<Output = T>) -> Result<T, Silent> {
        self.0.writing.unless_silent(written).await
    }

    /// It has answered somebody who reads.
    pub(crate) fn note_answer(&self) {
        self.0.reading.note_answer();
    }

    /// For how long it has taken nothing of what was to be written, if that is worth a word.
    pub(crate) fn holds_writers_up(&self) -> Option<Duration> {
        self.0.writing.silent().filter(|silent| *silent >= PATIENCE)
    }
}

/// How it does at one kind of work. Times are milliseconds since the origin.
#[derive(Debug)]
struct Pulse {
    origin: Instant,
    under_way: AtomicUsize,
    /// When it last answered, or was first asked after that.
    heard: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            under_way: AtomicUsize::new(0),
            heard: AtomicU64::new(0),
        }
    }
}

impl Pulse {
    fn now(&self) -> u64 {
        millis(self.origin.elapsed())
    }

    fn note_answer(&self) {
        self.heard.store(self.now(), Ordering::Relaxed);
    }

    /// For how long it has been asked and has answered nothing at all.
    fn silent(&self) -> Option<Duration> {
        let asked = self.under_way.load(Ordering::Relaxed) > 0;
        let since = self.heard.load(Ordering::Relaxed);
        asked.then(|| Duration::from_millis(self.now().saturating_sub(since)))
    }

    async fn unless_silent<T>(&self, done: impl Future<Output = T>) -> Result<T, Silent> {
        tokio::select! {
            biased;
            done = done => Ok(done),
            () = self.falls_silent() => Err(Silent),
        }
    }

    /// Resolves when there is no point in waiting any longer.
    async fn falls_silent(&self) {
        let asked = Instant::now();
        loop {
            let silent = self.silent().unwrap_or_default();
            if silent >= PATIENCE || asked.elapsed() >= LONGEST_WAIT {
                return;
            }
            sleep(PATIENCE - silent).await;
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Something that the disk was asked for and has not answered yet.
struct Question<'a> {
    pulse: &'a Pulse,
}

impl<'a> Question<'a> {
    fn put(pulse: &'a Pulse) -> Self {
        if pulse.under_way.fetch_add(1, Ordering::Relaxed) == 0 {
            pulse.note_answer();
        }
        Self { pulse }
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.pulse.note_answer();
        self.pulse.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
