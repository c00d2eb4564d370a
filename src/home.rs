//! What `~` stands for. No shell has seen the arguments in a client's settings, nor the parameters of a call.

use std::path::PathBuf;

/// The path, with the user's home in place of a leading `~`.
pub(crate) fn expanded(text: &str) -> PathBuf {
    match (text.strip_prefix('~'), dirs::home_dir()) {
        (Some(""), Some(home)) => home,
        (Some(rest), Some(home)) if rest.starts_with('/') => {
            home.join(rest.trim_start_matches('/'))
        }
        _ => PathBuf::from(text),
    }
}
