//! What jobs get of the login shell's environment, with `--login-env`.
//!
//! A client started from a dock or a menu has a bare PATH, and so has its server. The login shell is asked once, when the
//! first job is about to start, as a job that no list shows: a profile may ask, hang, print, or leave processes behind.
//! What the shell runs is this very program, see `process::login_env`.

use std::collections::{HashMap, HashSet};
use std::env::{self, join_paths, split_paths};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use uuid::Uuid;

use super::{ProcessRegistry, Start};
use crate::job::Record;
use crate::output::streams;
use crate::process::login_env::{parse, printing_command, user_shell};
use crate::process::shell::Shell;
use crate::process::spawn::Variables;

/// How long an interactive login shell may take (version managers put themselves into either kind of profile), and then one
/// that reads the profiles of the login alone: some clients wait five seconds for a call.
const TRIES: [(&[&str], Duration); 2] =
    [(&["-l", "-i", "-c"], Duration::from_secs(3)), (&["-l", "-c"], Duration::from_secs(1))];

/// How much a profile may print before the answer.
const MAX_OUTPUT: u64 = 1 << 20;

/// Variables that are about the shell itself, or set for the server alone.
const NOT_TAKEN: &[&str] = &["_", "SHLVL", "PWD", "OLDPWD", "TERM", "COLUMNS", "LINES"];
const OWN_PREFIX: &str = "BACKGROUND_COMMAND_MCP_";

impl ProcessRegistry {
    /// The variables that a job gets besides the server's own. A task of its own asks, so that a cancelled call stops nothing.
    pub(super) async fn login_environment(&self) -> Arc<Variables> {
        if !self.config().login_env {
            return Arc::default();
        }
        let ask = || async {
            let registry = self.clone();
            let asked = self.shared.watchers.spawn(async move { registry.ask_login_shell().await });
            // An error is a panic, which is logged.
            Arc::new(asked.await.unwrap_or_default())
        };
        self.shared.login.get_or_init(ask).await.clone()
    }

    async fn ask_login_shell(&self) -> Variables {
        let (program, began) = (user_shell(), Instant::now());
        for (arguments, limit) in TRIES {
            let mut arguments: Vec<String> = arguments.iter().map(|&word| word.into()).collect();
            if program.ends_with("csh") {
                // Those of the family of csh know -l only as their sole argument.
                arguments.retain(|word| word != "-l");
            }
            let shell = Shell { program: program.clone(), arguments };
            if let Some(answer) = self.ask(&shell, limit).await {
                let added = additions(env::vars_os().collect(), answer);
                let took_ms = began.elapsed().as_millis();
                tracing::info!(%shell, variables = added.len(), took_ms, "took the login shell's environment");
                return added;
            }
            tracing::warn!(%shell, "the login shell did not tell its environment");
        }
        Variables::new()
    }

    /// Runs the shell. Afterwards no process of it is alive.
    async fn ask(&self, shell: &Shell, limit: Duration) -> Option<Variables> {
        if self.shared.closing.is_cancelled() {
            return None;
        }
        let mark = Uuid::new_v4().simple().to_string();
        let start = Start::of(printing_command(&mark)?);
        let home = dirs::home_dir().filter(|home| home.is_dir());
        let job = self.launch(shell, start, home.unwrap_or_else(|| "/".into()), &Vec::new(), None);
        let job = job.inspect_err(|error| tracing::warn!(?error, "no login shell")).ok()?;
        let mut record = job.record();
        tokio::select! {
            _ = timeout(limit, record.wait_for(Record::is_over)) => {}
            () = self.shared.closing.cancelled() => {}
        }
        job.stop(Duration::ZERO).await;
        let (mut stdout, _) = streams(&job.snapshot(), self.store().existing().as_ref());
        let output = stdout.read(0, MAX_OUTPUT);
        self.discard(job).await;
        parse(&output, &mark)
    }
}

/// What of the login shell's environment is new: what the server has set stays, but for PATH, to which it may add.
fn additions(own: Variables, login: Variables) -> Variables {
    let own: HashMap<_, _> = own.into_iter().collect();
    let is_taken = |name: &OsStr| {
        let name = name.to_string_lossy();
        !NOT_TAKEN.contains(&&*name) && !name.starts_with(OWN_PREFIX)
    };
    let login = login.into_iter().filter(|(name, _)| is_taken(name));
    let added = login.filter_map(|(name, value)| match own.get(&name) {
        None => Some((name, value)),
        Some(own) if name == "PATH" => Some((name, merged_path(own, &value)?)),
        Some(_) => None,
    });
    added.collect()
}

/// The login shell's PATH, after those of the server's own entries that it lacks: those were set for the server.
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
            of.iter().map(|(name, value)| (name.into(), value.into())).collect()
        };
        let text = |text: OsString| text.into_string().unwrap_or_default();
        additions(variables(own), variables(login))
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
