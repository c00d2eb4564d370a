//! What uvx has put before the PATH: the folder of a throw-away environment, whose `python` would be that of every job.
//!
//! What npm and npx set is taken away by the launcher in our npm package; pipx leaves the PATH alone.

use std::env;
use std::ffi::OsString;
use std::path::Path;

/// The PATH that uvx was started with, if this server was started by it.
pub fn path_before_uvx() -> Option<OsString> {
    env::var_os("UV")?;
    let path = env::var_os("PATH")?;
    let program = env::current_exe().ok()?;
    let in_use = env::var_os("VIRTUAL_ENV").unwrap_or_default();
    without_environment(&path, program.parent()?, Path::new(&in_use))
}

/// The PATH without its first folder, if that is the program's in a Python environment that is not the one in use.
fn without_environment(path: &OsString, program: &Path, in_use: &Path) -> Option<OsString> {
    let mut folders = env::split_paths(path);
    let first = folders.next()?;
    let environment = first.parent()?;
    let is_uvxs = first.canonicalize().ok()? == program.canonicalize().ok()?
        && environment.join("pyvenv.cfg").is_file()
        && environment != in_use;
    is_uvxs.then(|| env::join_paths(folders).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_folder_of_a_throw_away_environment_is_taken_off() {
        let folder = tempfile::TempDir::new().expect("a directory");
        let environment = folder.path().join("archive");
        let bin = environment.join("bin");
        std::fs::create_dir_all(&bin).expect("directories");
        let path = |first: &Path| env::join_paths([first, Path::new("/bin")]).expect("a PATH");
        let elsewhere = Path::new("/elsewhere");
        assert_eq!(without_environment(&path(&bin), &bin, elsewhere), None);
        std::fs::write(environment.join("pyvenv.cfg"), "").expect("a file");
        let cut = without_environment(&path(&bin), &bin, elsewhere);
        assert_eq!(cut, Some("/bin".into()));
        assert_eq!(without_environment(&path(&bin), &bin, &environment), None);
        assert_eq!(without_environment(&path(elsewhere), &bin, elsewhere), None);
    }
}
