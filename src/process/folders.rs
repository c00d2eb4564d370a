//! Folders in which nobody works, and those in which nobody can.

use std::io;
use std::path::Path;

use rustix::fs::{Access, access};

/// Where programs live. A server that finds itself there was started by one of them, not from somebody's project.
/// `/usr/src`, `/usr/local` and `/opt` are not among them: containers and administrators do have projects there.
const SYSTEM: &[&str] = &[
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/share",
    "/boot",
    "/dev",
    "/proc",
    "/sys",
    "/snap",
    "/nix/store",
    "/System",
    "/Library",
    "/Applications",
];

/// Whether a process of ours could run there. A home that was inherited from another user is often closed to us.
pub(crate) fn enter(path: &Path) -> io::Result<()> {
    if !std::fs::metadata(path)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(access(path, Access::EXEC_OK)?)
}

/// Whether this is the root, a folder of the system, or one inside an application.
pub(crate) fn is_system(path: &Path) -> bool {
    let is_bundle = |folder: &Path| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        // A macOS application, and where an AppImage is mounted.
        (name.ends_with(".app") && folder.join("Contents").is_dir())
            || (name.starts_with(".mount_") && folder.parent() == Some(Path::new("/tmp")))
    };
    path.parent().is_none()
        || SYSTEM.iter().any(|system| path.starts_with(system))
        || path.ancestors().any(is_bundle)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_that_is_closed_to_us_cannot_be_worked_in() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let refused = |path: &Path| enter(path).map_err(|error| error.kind());
        assert_eq!(refused(folder.path()), Ok(()));
        assert_eq!(
            refused(&folder.path().join("none")),
            Err(io::ErrorKind::NotFound)
        );
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
