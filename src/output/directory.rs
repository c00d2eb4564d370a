//! The directory of one server's output files.
//!
//! Each server has one of its own under the root, with a lock file that it holds as long as it lives. A directory whose lock
//! can be taken therefore belongs to a dead server, and is swept by whichever server comes next.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use uuid::Uuid;

use crate::blocking::lock;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as system;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as system;

pub(super) use system::is_deleted;
use system::{held_while_removed, is_ours, make_private, new_file, temporary_name};

const DIRECTORY_PREFIX: &str = "server-";
const LOCK_FILE: &str = "lock";

/// One server's directory.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Held, never read: the lock on it says that this server lives.
    lock: Mutex<Option<File>>,
}

impl Directory {
    pub(super) fn create_in_first(roots: &[PathBuf], id: Uuid) -> io::Result<Self> {
        let mut first_error = None;
        for root in roots {
            let path = std::path::absolute(root)?.join(directory_name(id));
            match make_and_lock(&path) {
                Ok(lock) => return Ok(Self { path, lock: Mutex::new(Some(lock)) }),
                Err(error) => {
                    tracing::warn!(root = %root.display(), %error, "cannot store output here");
                    first_error.get_or_insert_with(|| in_context(&error, root));
                }
            }
        }
        Err(first_error.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a new file for writing; makes the directory again if it was removed.
    pub fn create_file(&self, name: &str) -> io::Result<File> {
        let path = self.file(name);
        loop {
            match new_file().create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    *lock(&self.lock) = Some(make_and_lock(&self.path)?);
                }
                created => return created.map_err(|error| in_context(&error, &path)),
            }
        }
    }

    /// Removes it, at the end of the server.
    pub fn remove(&self) {
        let _held = lock(&self.lock).take().and_then(held_while_removed);
        remove_directory(&self.path);
    }
}

fn in_context(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Makes the directory with its lock file. A sweeping server may take it for a dead server's in the instant before it is
/// locked here: `create_file` then finds it gone, and makes it again.
fn make_and_lock(path: &Path) -> io::Result<File> {
    let open = || {
        make_private(path)?;
        new_file().create(true).truncate(false).open(path.join(LOCK_FILE))
    };
    // A sweep may have taken the empty directory away.
    let lock = open().or_else(|_| open())?;
    // An error is that of a file system without locks: no server can take this one for a dead server's either.
    drop(lock.lock());
    Ok(lock)
}

/// The name of a server's directory.
pub fn directory_name(id: Uuid) -> String {
    format!("{DIRECTORY_PREFIX}{id}")
}

/// Removes what servers that are gone have left beside this directory. Only directories of ours that carry a server's name
/// and a lock file that no process holds are touched: the directory may have other files.
pub fn sweep_dead(directory: &Directory) {
    let Some(entries) = directory.path.parent().and_then(|root| fs::read_dir(root).ok()) else {
        return;
    };
    for entry in entries.flatten() {
        if !is_a_servers(&entry) {
            continue;
        }
        let path = entry.path();
        let lock = OpenOptions::new().write(true).open(path.join(LOCK_FILE));
        // Another sweep may have removed the file that was opened, and its server, alive, made the directory again.
        let is_free = |lock: &File| lock.try_lock().is_ok() && is_deleted(lock).is_ok_and(|is| !is);
        match lock {
            Ok(lock) if is_free(&lock) => {
                tracing::info!(path = %path.display(), "removing the output of a server that is gone");
                let _held = held_while_removed(lock);
                remove_directory(&path);
            }
            Ok(_) => {}
            // Left by a server or a sweep that was killed in between. Not empty, it stays.
            Err(_) => drop(fs::remove_dir(&path)),
        }
    }
}

/// Whether a server of this user has made it. A link is none, wherever it leads.
fn is_a_servers(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name();
    is_id(name.to_str().and_then(|name| name.strip_prefix(DIRECTORY_PREFIX)))
        && entry.metadata().is_ok_and(|found| found.is_dir() && is_ours(&found))
}

fn is_id(text: Option<&str>) -> bool {
    text.is_some_and(|text| Uuid::try_parse(text).is_ok())
}

/// Removes a server's directory: its lock file last, so that a half-removed one can still be recognised and swept.
pub fn remove_directory(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        // What a job has written begins with its id. The directory may have other files.
        if is_id(entry.file_name().to_str().and_then(|name| name.split('.').next())) {
            drop(fs::remove_file(entry.path()));
        }
    }
    drop(fs::remove_file(path.join(LOCK_FILE)));
    if let Err(error) = fs::remove_dir(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "could not remove the output directory");
    }
}

/// Where the directory of a server can be, the best place first: where it was asked for, else in the user's cache directory,
/// and for users without one among the temporary files. If another user has made a directory of that name there, under a
/// random name.
pub fn roots(output_dir: Option<&Path>) -> Vec<PathBuf> {
    if let Some(chosen) = output_dir {
        return vec![chosen.to_owned()];
    }
    let name = temporary_name();
    let temporary = std::env::temp_dir().join(&name);
    let is_free =
        fs::symlink_metadata(&temporary).map_or(true, |found| found.is_dir() && is_ours(&found));
    let temporary = match is_free {
        true => temporary,
        false => temporary.with_file_name(format!("{name}-{}", Uuid::new_v4())),
    };
    let cache = dirs::cache_dir().map(|cache| cache.join("background-command-mcp"));
    cache.into_iter().chain([temporary]).collect()
}
