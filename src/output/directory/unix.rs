//! Files of one user alone, by their modes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use rustix::process::geteuid;

pub use crate::process::{is_ours, make_private};

/// How files in there are opened that are written.
pub fn new_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// The lock of a directory that is being removed stays.
pub fn held_while_removed(lock: File) -> Option<File> {
    Some(lock)
}

/// Whether the open file has no name any more.
pub fn is_deleted(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() == 0)
}

/// What the directory is called among the temporary files of all users.
pub fn temporary_name() -> String {
    format!("background-command-mcp-{}", geteuid().as_raw())
}
