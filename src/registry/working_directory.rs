//! Where a job runs that names no directory.
//!
//! A client started from a dock or a menu starts its servers in `/` or in its own folder, where no command means to be.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::expand_tilde;
use crate::job::JobError;
use crate::process::folders;
use crate::threads::Lane;

/// Threads that look whether a directory is there: one on a file system that hangs keeps its thread.
static LOOKS: Lane = Lane::new(4);

/// The directory and where it was found, for people to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkingDirectory {
    pub(crate) path: PathBuf,
    pub(crate) source: &'static str,
}

impl WorkingDirectory {
    /// `--cwd`, then the project that the client names, then this process's own directory, unless nobody works there,
    /// then the user's home.
    pub(crate) fn find(flag: Option<&Path>) -> Self {
        Self::choose(Candidates {
            flag: flag.map(Path::to_owned),
            project: std::env::var_os("CLAUDE_PROJECT_DIR").map(PathBuf::from),
            own: std::env::current_dir().ok(),
            home: dirs::home_dir(),
        })
    }

    /// The directory that a call asks for, from here if it is not absolute: existing, without links and dots.
    pub(crate) async fn resolve(&self, asked: Option<&str>) -> Result<PathBuf, JobError> {
        let Some(asked) = asked else {
            return Ok(self.path.clone());
        };
        let path = self.path.join(expand_tilde(Path::new(asked)));
        let found = LOOKS.run(move || match usable(&path) {
            Ok(found) => Ok(found),
            Err(error) => Err(JobError::NoDirectory { path, error }),
        });
        found
            .await
            .unwrap_or_else(|error| Err(JobError::Resources(io::Error::other(error))))
    }

    fn choose(candidates: Candidates) -> Self {
        let Candidates {
            flag,
            project,
            own,
            home,
        } = candidates;
        let is_usable = |path: &PathBuf| path.is_absolute() && folders::enter(path).is_ok();
        let found = |path, source| Self { path, source };
        if let Some(path) = flag {
            return found(path, "--cwd");
        }
        if let Some(path) = project.filter(is_usable) {
            return found(path, "CLAUDE_PROJECT_DIR");
        }
        let is_somebodys = |path: &PathBuf| is_usable(path) && !folders::is_system(path);
        if let Some(path) = own.clone().filter(is_somebodys) {
            return found(path, "the server's own");
        }
        if let Some(path) = home.filter(is_usable) {
            return found(path, "home");
        }
        found(own.unwrap_or_else(std::env::temp_dir), "the server's own")
    }
}

fn usable(path: &Path) -> io::Result<PathBuf> {
    let found = path.canonicalize()?;
    folders::enter(&found)?;
    Ok(found)
}

/// Where a job could run, absent where nothing is known of it.
#[derive(Debug, Default)]
struct Candidates {
    flag: Option<PathBuf>,
    project: Option<PathBuf>,
    own: Option<PathBuf>,
    home: Option<PathBuf>,
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
        let path = |text: Option<&str>| text.map(PathBuf::from);
        let working_directory = WorkingDirectory::choose(Candidates {
            flag: path(flag),
            project: path(project),
            own: path(own),
            home: path(home),
        });
        (working_directory.path, working_directory.source)
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
        assert_eq!(
            chosen(None, project, own, home),
            at(project, "CLAUDE_PROJECT_DIR")
        );
        for no_project in [None, Some(""), Some("relative"), Some("/no/such/place")] {
            assert_eq!(
                chosen(None, no_project, own, home),
                at(own, "the server's own")
            );
        }
        for nowhere in [
            None,
            Some("/"),
            Some("/usr/bin"),
            Some("/Applications/A.app/Contents"),
        ] {
            assert_eq!(chosen(None, None, nowhere, home), at(home, "home"));
        }
        assert_eq!(
            chosen(None, None, Some("/"), Some("/no/such/home")),
            at(Some("/"), "the server's own")
        );
    }

    #[test]
    fn a_project_in_a_container_is_no_system_folder() {
        for place in [
            "/usr/src/app",
            "/usr/local/src/x",
            "/opt/x",
            "/srv",
            "/app",
            "/root",
            "/binaries",
        ] {
            assert!(!folders::is_system(Path::new(place)), "{place}");
        }
    }
}
