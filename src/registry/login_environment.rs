//! What jobs get of the login shell's environment, with `--login-env`.
//!
//! A client started from a dock or a menu has a bare PATH, and so has its server. The login shell is asked once, when the
//! first job is about to start: never on the way to a client's first answer, which some wait only a second for.

use std::collections::HashSet;
use std::env::{join_paths, split_paths};
use std::ffi::{OsStr, OsString};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::process::login::{Inquiry, Profiles, Variables, shell};
use crate::process::reaper::Reaper;

/// How long the profiles of a dialogue may take, and then all in all: some clients wait five seconds for a call.
const ALL_PROFILES: Duration = Duration::from_secs(3);
const IN_ALL: Duration = Duration::from_secs(4);

/// Variables that tell of the shell itself, or that are the server's own affair.
const NOT_TAKEN: &[&str] = &["_", "SHLVL", "PWD", "OLDPWD", "TERM", "COLUMNS", "LINES"];
const OWN_PREFIX: &str = "BACKGROUND_COMMAND_MCP_";

/// What the login shell adds, found out at most once.
#[derive(Debug, Default)]
pub(crate) struct LoginEnvironment(OnceLock<watch::Receiver<Option<Arc<Variables>>>>);

/// What the inquiry needs.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    pub(crate) reaper: Reaper,
    pub(crate) closing: CancellationToken,
}

impl LoginEnvironment {
    /// The variables that a job gets besides the server's own. Whoever stops waiting does not stop the inquiry.
    pub(crate) async fn variables(&self, means: &Means, tasks: &TaskTracker) -> Arc<Variables> {
        let begin = || {
            let (answer, answered) = watch::channel(None);
            let means = means.clone();
            tasks.spawn(async move {
                let found = Arc::new(inquire(&means).await);
                answer.send_replace(Some(found));
            });
            answered
        };
        let mut answered = self.0.get_or_init(begin).clone();
        let answer = answered.wait_for(Option::is_some).await;
        // An error means that the inquiry itself has failed, which is logged as a panic.
        answer
            .ok()
            .and_then(|found| found.clone())
            .unwrap_or_default()
    }
}

async fn inquire(means: &Means) -> Variables {
    let shell = shell();
    let began = Instant::now();
    for (profiles, limit) in [(Profiles::All, ALL_PROFILES), (Profiles::LoginOnly, IN_ALL)] {
        match ask(&shell, profiles, began + limit, means).await {
            Ok(Some(answer)) => {
                let added = additions(std::env::vars_os(), answer);
                let took_ms = began.elapsed().as_millis();
                tracing::info!(
                    shell,
                    variables = added.len(),
                    took_ms,
                    "took the login shell's environment"
                );
                return added;
            }
            Ok(None) if means.closing.is_cancelled() => break,
            Ok(None) => tracing::warn!(
                shell,
                ?profiles,
                "the login shell did not tell its environment"
            ),
            Err(error) => {
                tracing::warn!(shell, %error, "the login shell could not be started");
                break;
            }
        }
    }
    Variables::new()
}

async fn ask(
    shell: &str,
    profiles: Profiles,
    until: Instant,
    means: &Means,
) -> std::io::Result<Option<Variables>> {
    let id = Uuid::new_v4();
    let inquiry = Inquiry::start(shell, profiles, id, &means.reaper)?;
    Ok(inquiry.answer(until, &means.closing).await)
}

/// What of the login shell's environment is new: what the server has set stays, but for PATH, to which it may add.
fn additions(own: impl Iterator<Item = (OsString, OsString)>, login: Variables) -> Variables {
    let own: Variables = own.collect();
    let own_value = |name: &OsStr| {
        own.iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    };
    let is_taken = |name: &OsStr| {
        let name = name.to_string_lossy();
        !NOT_TAKEN.contains(&&*name) && !name.starts_with(OWN_PREFIX)
    };
    login
        .into_iter()
        .filter(|(name, _)| is_taken(name))
        .filter_map(|(name, value)| match own_value(&name) {
            None => Some((name, value)),
            Some(own) if name == "PATH" => {
                let merged = merged_path(own, &value)?;
                Some((name, merged))
            }
            Some(_) => None,
        })
        .collect()
}

/// The login shell's PATH, after those of the server's own entries that it lacks: somebody has set those for the server.
/// None if that changes nothing.
fn merged_path(own: &OsStr, login: &OsStr) -> Option<OsString> {
    let of_login: HashSet<_> = split_paths(login).collect();
    let only_own = split_paths(own).filter(|entry| !of_login.contains(entry));
    let mut seen = HashSet::new();
    let entries = only_own
        .chain(split_paths(login))
        .filter(|entry| !entry.as_os_str().is_empty() && seen.insert(entry.clone()));
    join_paths(entries).ok().filter(|merged| merged != own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(own: &[(&str, &str)], login: &[(&str, &str)]) -> Vec<(String, String)> {
        let variables = |of: &[(&str, &str)]| -> Variables {
            of.iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect()
        };
        let text = |text: OsString| text.into_string().unwrap_or_default();
        additions(variables(own).into_iter(), variables(login))
            .into_iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn what_the_server_has_set_stays() {
        assert_eq!(
            added(
                &[("LANG", "C"), ("HOME", "/h")],
                &[
                    ("LANG", "de_DE"),
                    ("NVM_DIR", "/h/.nvm"),
                    ("SHLVL", "2"),
                    ("PWD", "/h"),
                    ("BACKGROUND_COMMAND_MCP_CWD", "/x"),
                    ("HOME", "/other"),
                ]
            ),
            [pair("NVM_DIR", "/h/.nvm")]
        );
    }

    #[test]
    fn the_login_shell_adds_to_path() {
        let path = |own: &str, login: &str| added(&[("PATH", own)], &[("PATH", login)]);
        assert_eq!(
            path("/usr/bin:/bin", "/h/.nvm:/usr/local/bin:/usr/bin:/bin"),
            [pair("PATH", "/h/.nvm:/usr/local/bin:/usr/bin:/bin")]
        );
        assert_eq!(
            path("/of/the/client:/usr/bin", "/h/bin:/usr/bin::/h/bin"),
            [pair("PATH", "/of/the/client:/h/bin:/usr/bin")]
        );
        assert_eq!(path("/usr/bin:/bin", "/usr/bin:/bin"), []);
        assert_eq!(added(&[], &[("PATH", "/bin")]), [pair("PATH", "/bin")]);
    }
}
