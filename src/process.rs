//! The operating system's side of a job: start a command, see its end, know its processes, end all of them.

use std::io;
use std::path::Path;
use std::time::Duration;

pub mod launcher;
pub mod login_env;
pub mod shell;
pub mod spawn;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as platform;
#[cfg(unix)]
pub use unix::{is_ours, make_private};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as platform;
#[cfg(windows)]
pub use windows::{console, user};

pub use platform::{
    LONGEST_COMMAND, decode, is_alive, local, own, pipe, reaper, signals, standard, system, tree,
};

/// What a job's living processes use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Which they are, lowest first.
    pub pids: Vec<u32>,
    pub cpu: Duration,
    pub memory_bytes: u64,
}

/// Whether a process of this user could run there. A home that was inherited from another user is often closed to us.
pub fn check_directory(path: &Path) -> io::Result<()> {
    if !std::fs::metadata(path)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    platform::may_enter(path)
}

#[cfg(all(test, unix))]
mod tests {
    use std::io;
    use std::path::Path;

    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_that_is_closed_to_us_cannot_be_worked_in() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let refused = |path: &Path| check_directory(path).map_err(|error| error.kind());
        assert_eq!(refused(folder.path()), Ok(()));
        assert_eq!(refused(&folder.path().join("none")), Err(io::ErrorKind::NotFound));
        let file = folder.path().join("file");
        write(&file, "")?;
        assert_eq!(refused(&file), Err(io::ErrorKind::NotADirectory));
        set_permissions(folder.path(), Permissions::from_mode(0o600))?;
        if !rustix::process::geteuid().is_root() {
            // Nothing is closed to root.
            assert_eq!(refused(folder.path()), Err(io::ErrorKind::PermissionDenied));
        }
        Ok(())
    }
}
