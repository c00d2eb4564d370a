//! Where this server's output goes.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use uuid::Uuid;

use super::directory::{Directory, sweep_dead};
use super::disk::Disk;
use super::room::Room;

/// Where output goes and what bounds it in all.
#[derive(Debug)]
pub(crate) struct Store {
    roots: Vec<PathBuf>,
    /// The name of this server's directory below one of the roots.
    id: Uuid,
    directory: OnceLock<Arc<Directory>>,
    /// Held while the directory is made, as `OnceLock` would if it could fail: by threads alone that wait for the disk in
    /// any case.
    making: Mutex<()>,
    disk: Disk,
    room: Arc<Room>,
}

impl Store {
    /// Creates nothing: the directory comes with the first job.
    pub(crate) fn new(output_dir: Option<&Path>, id: Option<Uuid>, max_total: u64) -> Self {
        Self {
            roots: roots(output_dir),
            id: id.unwrap_or_else(Uuid::new_v4),
            directory: OnceLock::new(),
            making: Mutex::default(),
            disk: Disk::default(),
            room: Arc::new(Room::new(max_total)),
        }
    }

    /// Under which directory output will go, if that can be.
    pub(crate) fn root(&self) -> &Path {
        &self.roots[0]
    }

    /// How much of it there may be in all.
    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// What is asked of the disk goes through here.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// This server's own directory, made when it is first asked for. Blocks.
    pub(crate) fn directory(&self) -> io::Result<Arc<Directory>> {
        if let Some(directory) = self.directory.get() {
            return Ok(directory.clone());
        }
        let _turn = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = self.directory.get() {
            return Ok(directory.clone());
        }
        let directory = Arc::new(Directory::create_in_first(
            &self.roots,
            self.id,
            &self.disk,
        )?);
        // Whose turn it is, is the only one who sets it.
        drop(self.directory.set(directory.clone()));
        let made = directory.clone();
        // Takes as long as there is to remove, and the caller has output to write.
        drop(std::thread::Builder::new().spawn(move || sweep_dead(&made)));
        Ok(directory)
    }

    /// This server's directory, if anything was ever stored.
    pub(crate) fn existing(&self) -> Option<Arc<Directory>> {
        self.directory.get().cloned()
    }
}

/// Where the directory of a server can be, the best place first.
pub(crate) fn roots(output_dir: Option<&Path>) -> Vec<PathBuf> {
    output_dir.map_or_else(default_roots, |dir| vec![dir.to_owned()])
}

/// The user's cache directory, and for users without one the directory for temporary files. If somebody else has made a
/// directory of our name there, one whose name nobody could know.
fn default_roots() -> Vec<PathBuf> {
    let uid = rustix::process::getuid().as_raw();
    let name = format!("background-command-mcp-{uid}");
    let temporary = std::env::temp_dir().join(&name);
    let is_ours =
        fs::symlink_metadata(&temporary).map_or(true, |found| found.is_dir() && found.uid() == uid);
    let temporary = if is_ours {
        temporary
    } else {
        temporary.with_file_name(format!("{name}-{}", Uuid::new_v4()))
    };
    let cache = dirs::cache_dir().map(|cache| cache.join("background-command-mcp"));
    cache.into_iter().chain([temporary]).collect()
}
