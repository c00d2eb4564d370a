//! This process's own standard streams. Reads and writes of them block, so that there is nothing to wait for.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::io::AsHandle;
use std::path::Path;
use std::thread::park;

/// Standard input, without the lock and the buffer of the standard library.
pub fn input() -> io::Result<File> {
    Ok(io::stdin().as_handle().try_clone_to_owned()?.into())
}

/// The same for standard output.
pub fn output() -> io::Result<File> {
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}

/// The same for standard error.
pub fn error() -> io::Result<File> {
    Ok(io::stderr().as_handle().try_clone_to_owned()?.into())
}

/// A file to log to.
pub fn log_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// That the reader has gone is told by the next write alone.
pub fn wait_for_hang_up() {
    loop {
        park();
    }
}
