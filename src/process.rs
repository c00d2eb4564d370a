//! The operating system's side of a job: start a command, see its end, know its processes, end all of them.

use std::io;
use std::path::Path;

use rustix::fs::{Access, access};

pub mod launcher;
pub mod leader;
pub mod login_env;
pub mod marker;
pub mod own;
pub mod pipe;
pub mod reaper;
pub mod shell;
pub mod signals;
pub mod spawn;
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

/// Whether a process of this user could run there. A home that was inherited from another user is often closed to us.
pub fn check_directory(path: &Path) -> io::Result<()> {
    if !std::fs::metadata(path)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(access(path, Access::EXEC_OK)?)
}

/// A pid as agents read it.
pub fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

#[cfg(test)]
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
