//! A FIFO that a command reads: as long as the test writes nothing, "still running" is a fact and not a hope.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

pub(crate) struct Gate {
    fifo: PathBuf,
    /// Held for reading too: opening never blocks, and no reader sees an end before the gate is dropped.
    file: File,
    _directory: TempDir,
}

impl Gate {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let fifo = directory.path().join("gate");
        let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success(), "mkfifo: {made}");
        let file = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
        Self { fifo, file, _directory: directory }
    }

    /// A piece of shell that blocks until the gate is opened once more.
    pub(crate) fn wait(&self) -> String {
        format!("read -r _ < '{}'", self.fifo.display())
    }

    /// Lets one waiting command through, be it there already or still to come.
    pub(crate) fn open(&self) {
        (&self.file).write_all(b"\n").unwrap();
    }
}
