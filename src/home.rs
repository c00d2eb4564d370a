//! What `~` stands for. No shell has seen the arguments in a client's settings, nor the parameters of a call.

use std::path::{Path, PathBuf};

/// The path, with the user's home in place of a leading `~`.
pub(crate) fn expanded(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), dirs::home_dir()) {
        (Ok(rest), Some(home)) if rest.as_os_str().is_empty() => home,
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}
