//! Folders in which nobody works.

use std::path::Path;

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
