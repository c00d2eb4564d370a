//! Where a job runs that names no directory.
//!
//! A client started from a dock or a menu starts its servers in `/` or in its own folder, where no command means to be.

use std::env;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::blocking::run_blocking;
use crate::config::expand_tilde;
use crate::job::JobError;
use crate::process::check_directory;

/// Where programs live. A server that finds itself there was started by one of them, not from a project. `/usr/src`,
/// `/usr/local` and `/opt` are not among them: containers and administrators do have projects there.
#[rustfmt::skip]
const SYSTEM: &[&str] = &[
    "/bin", "/sbin", "/lib", "/lib64", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/share",
    "/boot", "/dev", "/proc", "/sys", "/snap", "/nix/store", "/System", "/Library", "/Applications",
];

/// The variables that name such folders of Windows.
const SYSTEM_VARIABLES: &[&str] = &["SystemRoot", "ProgramFiles", "ProgramFiles(x86)"];

/// The directory and where it was found, for people to see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkingDirectory {
    pub path: PathBuf,
    #[serde(skip)]
    pub source: &'static str,
}

impl WorkingDirectory {
    pub fn find(flag: Option<&Path>) -> Self {
        let project = env::var_os("CLAUDE_PROJECT_DIR").map(PathBuf::from);
        Self::choose(flag.map(Path::to_owned), project, env::current_dir().ok(), dirs::home_dir())
    }

    /// `--cwd`, then the project that the client names, then this process's own directory, unless it is a system's or an
    /// application's, then the user's home.
    fn choose(
        flag: Option<PathBuf>,
        project: Option<PathBuf>,
        own: Option<PathBuf>,
        home: Option<PathBuf>,
    ) -> Self {
        let usable =
            |path: PathBuf| (path.is_absolute() && check_directory(&path).is_ok()).then_some(path);
        let of_a_project = own.clone().filter(|path| !is_system(path));
        let candidates = [
            (flag, "--cwd"),
            (project.and_then(usable), "CLAUDE_PROJECT_DIR"),
            (of_a_project.and_then(usable), "the server's own"),
            (home.and_then(usable), "home"),
            (own, "the server's own"),
        ];
        let chosen = candidates.into_iter().find_map(|(path, source)| Some((path?, source)));
        let (path, source) = chosen.unwrap_or_else(|| (env::temp_dir(), "temporary"));
        Self { path, source }
    }

    /// The directory that a call asks for, from here if it is not absolute: existing, without links and dots.
    pub async fn resolve(
        &self,
        asked: Option<&str>,
        home: Option<PathBuf>,
    ) -> Result<PathBuf, JobError> {
        let Some(asked) = asked else {
            return Ok(self.path.clone());
        };
        let path = self.path.join(expand_tilde(Path::new(asked), home));
        // A file system that hangs holds up this call alone.
        let looked = run_blocking(move || {
            let found = dunce::canonicalize(&path)
                .and_then(|found| check_directory(&found).map(|()| found));
            found.map_err(|error| JobError::NoDirectory { path, error })
        });
        let failed = || std::io::Error::other("the directory could not be looked at");
        looked.await.unwrap_or_else(|| Err(JobError::Resources(failed())))
    }
}

/// Whether this is the root, a folder of the system, or where an AppImage is mounted.
fn is_system(path: &Path) -> bool {
    let variables = SYSTEM_VARIABLES.iter().filter_map(env::var_os);
    path.parent().is_none()
        || SYSTEM.iter().any(|system| path.starts_with(system))
        || variables.into_iter().any(|system| path.starts_with(system))
        || path.to_string_lossy().starts_with("/tmp/.mount_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(
        flag: Option<&str>,
        project: Option<&str>,
        own: Option<&str>,
        home: Option<&str>,
    ) -> (PathBuf, &'static str) {
        let [flag, project, own, home] =
            [flag, project, own, home].map(|path| path.map(PathBuf::from));
        let chosen = WorkingDirectory::choose(flag, project, own, home);
        (chosen.path, chosen.source)
    }

    #[test]
    fn the_nearest_directory_that_means_something_is_chosen() {
        let root = std::env::current_dir().unwrap_or_default();
        let directory = |name| root.join(name).to_str().map(str::to_owned);
        // Four directories that are there wherever this is built.
        let directories = ["", "src", "src/process", "src/output"].map(directory);
        let [flag, project, own, home] = directories.each_ref().map(Option::as_deref);
        let at = |path: Option<&str>, source| (PathBuf::from(path.unwrap_or_default()), source);
        assert_eq!(chosen(flag, project, own, home), at(flag, "--cwd"));
        assert_eq!(chosen(None, project, own, home), at(project, "CLAUDE_PROJECT_DIR"));
        for no_project in [None, Some(""), Some("relative"), Some("/no/such/place")] {
            assert_eq!(chosen(None, no_project, own, home), at(own, "the server's own"));
        }
        for nowhere in [None, Some("/"), Some("/usr/bin"), Some("/Applications/A.app/Contents")] {
            assert_eq!(chosen(None, None, nowhere, home), at(home, "home"));
        }
        assert_eq!(
            chosen(None, None, Some("/"), Some("/no/such/home")),
            at(Some("/"), "the server's own")
        );
    }

    #[test]
    fn a_project_in_a_container_is_no_system_folder() {
        for place in
            ["/usr/src/app", "/usr/local/src/x", "/opt/x", "/srv", "/app", "/root", "/binaries"]
        {
            assert!(!is_system(Path::new(place)), "{place}");
        }
    }
}
