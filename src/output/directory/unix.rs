//! Files of one user alone, by their modes.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::process::geteuid;

/// Makes the directory, and those above it, for this user alone. A server that sweeps may remove it at once.
pub fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

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

/// Whether this user has made it.
pub fn is_ours(found: &Metadata) -> bool {
    found.uid() == geteuid().as_raw()
}

/// What the directory is called among the temporary files of all users.
pub fn temporary_name() -> String {
    format!("background-command-mcp-{}", geteuid().as_raw())
}
