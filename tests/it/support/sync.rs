//! Waiting for a fact instead of sleeping and hoping.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Far beyond what anything here takes on a busy machine: only a failure waits this long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Long against what a reply takes, short against every wait that a test asks for.
const SOON: Duration = Duration::from_secs(10);

/// Calls `look` until it gives a value. Until then it says what it sees instead, which a failure prints.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) if started.elapsed() > PATIENCE => {
                panic!("{what}: not within {PATIENCE:?}; last seen: {seen}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// The time from letting something happen to the reply that tells of it.
#[track_caller]
pub fn assert_soon(since: Instant) {
    assert!(since.elapsed() < SOON, "answered only after {:?}", since.elapsed());
}

/// How long something takes on a machine that is not busy just then: the shortest of some attempts, since a busy one
/// can make any of them slow and nothing can make one too quick.
#[track_caller]
pub fn assert_takes_less(limit: Duration, mut attempt: impl FnMut() -> Duration) {
    const ATTEMPTS: usize = 5;
    let mut taken = Vec::new();
    while taken.len() < ATTEMPTS {
        taken.push(attempt());
        if taken.last() < Some(&limit) {
            return;
        }
    }
    panic!("not within {limit:?}: {taken:?}");
}

/// A FIFO that a command reads: as long as the test writes nothing, "still running" is a fact.
pub struct Gate {
    pub fifo: PathBuf,
    /// Held for reading too: opening never blocks, and no reader sees an end before the gate is dropped.
    file: File,
    _directory: TempDir,
}

impl Gate {
    pub fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let fifo = directory.path().join("gate");
        let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success(), "mkfifo: {made}");
        let file = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
        Self { fifo, file, _directory: directory }
    }

    /// A piece of shell that blocks until the gate is opened once more.
    pub fn wait(&self) -> String {
        format!("read -r _ < '{}'", self.fifo.display())
    }

    /// Lets one waiting command through, be it there already or still to come.
    pub fn open(&self) {
        (&self.file).write_all(b"\n").unwrap();
    }
}
