//! Files of one user alone, by the access list of their directory.

use std::fs::{File, Metadata, OpenOptions, create_dir_all};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;

use windows::Win32::Storage::FileSystem::{CreateDirectoryW, FILE_SHARE_READ};
use windows::core::HSTRING;

use crate::process::user;

/// Makes the directory for this user and the system alone, which its files inherit, and those above it.
#[expect(unsafe_code, reason = "the standard library makes no private directory")]
pub fn make_private(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    create_dir_all(path.parent().unwrap_or(path))?;
    user::make_private("", |attributes| {
        // SAFETY: the path ends with a zero, and the attributes are those of the caller.
        unsafe { CreateDirectoryW(&HSTRING::from(path), Some(attributes.cast())) }
            .map_err(user::system_error)
    })
}

/// How files in there are opened that are written: others may read them, but not remove them.
pub fn new_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).share_mode(FILE_SHARE_READ.0);
    options
}

/// An open file cannot be removed.
pub fn held_while_removed(_lock: File) -> Option<File> {
    None
}

/// Nobody can have removed it, see [`new_file`].
pub fn is_deleted(_file: &File) -> io::Result<bool> {
    Ok(false)
}

/// Whether this user has made it: the directories above are the user's own.
pub fn is_ours(_found: &Metadata) -> bool {
    true
}

/// What the directory is called among the user's temporary files.
pub fn temporary_name() -> String {
    "background-command-mcp".to_owned()
}
