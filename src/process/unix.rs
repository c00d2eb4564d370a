//! Processes under Linux and macOS: groups, signals, children.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::shell::Shell;

pub mod local;
pub mod own;
pub mod pipe;
pub mod reaper;
pub mod signals;
pub mod standard;
pub mod tree;

#[cfg(target_os = "linux")]
pub mod linux;
#[cfg(target_os = "linux")]
pub use linux as system;
#[cfg(not(target_os = "linux"))]
pub mod macos;
#[cfg(not(target_os = "linux"))]
pub use macos as system;

pub use rustix::process::Pid;
use rustix::process::geteuid;

/// Whether a process of this user could run in this directory.
pub fn may_enter(directory: &Path) -> io::Result<()> {
    Ok(access(directory, Access::EXEC_OK)?)
}

/// Makes the directory, and those above it, for this user alone. One that is there stays as it is.
pub fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Whether this user has made it.
pub fn is_ours(found: &Metadata) -> bool {
    found.uid() == geteuid().as_raw()
}

/// Makes such a directory. One that is there is closed to others, and refused if another user owns it.
pub fn make_own(path: &Path) -> io::Result<()> {
    make_private(path)?;
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() || !is_ours(&found) {
        let refused = format!("{} is not a directory of this user", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, refused));
    }
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// What the system takes.
pub const LONGEST_COMMAND: &str = "about 128 KiB (131,072 bytes) for one argument";

/// `bash -c` where there is a bash, since models write bash, else `/bin/sh -c`.
pub fn default_shell() -> Shell {
    let program = bash().unwrap_or_else(|| "/bin/sh".into());
    Shell { program: program.to_string_lossy().into_owned(), arguments: vec!["-c".to_owned()] }
}

/// The first bash on the PATH, by its own path: what is there at the start runs all jobs.
pub fn bash() -> Option<PathBuf> {
    let usual = ["/bin", "/usr/bin", "/usr/local/bin"].map(|folder| Path::new(folder).join("bash"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    find_program("bash", &path).or_else(|| usual.into_iter().find(|program| is_program(program)))
}

/// The program that a bare name stands for in a PATH; of this process's directory nothing is taken.
pub fn find_program(name: &str, path: &OsStr) -> Option<PathBuf> {
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    let mut programs = folders.map(|folder| folder.join(name));
    (!name.contains('/')).then(|| programs.find(|program| is_program(program)))?
}

/// Whether this user could run this file.
fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

/// Whether there is a process with this pid that has not ended.
pub fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| !system::with_descendants(&[pid]).is_empty())
}

/// A pid as agents read it.
pub fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

/// Invalid UTF-8 as far as it can be read.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// What a program has written that is no text for people.
pub fn os_string(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}
