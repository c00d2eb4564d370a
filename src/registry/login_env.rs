//! What jobs get of the login shell's environment, with `--login-env`.
//!
//! A client started from a dock or a menu has a bare PATH, and so has its server. The login shell is asked once, when the
//! first job is about to start, as a job that no list shows: a profile may ask, hang, print, or leave processes behind.
//! What the shell runs is this very program, see `process::login_env`.

use std::env::{join_paths, split_paths};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use uuid::Uuid;

use super::connection::Connection;
use super::{ProcessRegistry, Start};
use crate::environment;
use crate::job::Record;
use crate::output::segments::streams;
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
    /// The environment of the connection's jobs, with the login shell's variables where they are wanted: made once.
    pub(super) async fn job_environment(&self, connection: &Arc<Connection>) -> Arc<Variables> {
        let ask = || async {
            let (registry, of_client) = (self.clone(), connection.clone());
            let asking = async move { registry.ask_login_shell(&of_client).await };
            // A task of its own, so that a cancelled call stops nothing. An error is a panic, which is logged.
            let login = match connection.login_env {
                true => self.shared.watchers.spawn(asking).await.unwrap_or_default(),
                false => Variables::new(),
            };
            Arc::new(environment::of_jobs(&merged(&connection.environment, login)))
        };
        connection.of_jobs.get_or_init(ask).await.clone()
    }

    async fn ask_login_shell(&self, connection: &Connection) -> Variables {
        let (program, began) = (user_shell(&connection.environment), Instant::now());
        for (arguments, limit) in TRIES {
            let mut arguments: Vec<String> = arguments.iter().map(|&word| word.into()).collect();
            if program.ends_with("csh") {
                // Those of the family of csh know -l only as their sole argument.
                arguments.retain(|word| word != "-l");
            }
            let shell = Shell { program: program.clone(), arguments };
            if let Some(answer) = self.ask(connection, &shell, limit).await {
                let (variables, took_ms) = (answer.len(), began.elapsed().as_millis());
                tracing::info!(%shell, variables, took_ms, "took the login shell's environment");
                return answer;
            }
            tracing::warn!(%shell, "the login shell did not tell its environment");
        }
        Variables::new()
    }

    /// Runs the shell. Afterwards no process of it is alive.
    async fn ask(
        &self,
        connection: &Connection,
        shell: &Shell,
        limit: Duration,
    ) -> Option<Variables> {
        let mark = Uuid::new_v4().simple().to_string();
        let start = Start { command: printing_command(&mark)?, ..Start::default() };
        let home = connection.home().filter(|home| home.is_dir());
        let home = home.unwrap_or_else(|| "/".into());
        let job = self.launch(shell, start, home, &connection.environment, None);
        let job = job.inspect_err(|error| tracing::warn!(?error, "no login shell")).ok()?;
        let mut record = job.record();
        tokio::select! {
            _ = timeout(limit, record.wait_for(Record::is_over)) => {}
            () = self.shared.closing.cancelled() => {}
        }
        job.stop(Duration::ZERO).await;
        let (mut stdout, _) = streams(&job.snapshot(), self.store());
        let output = stdout.read(0, MAX_OUTPUT);
        self.discard(job).await;
        parse(&output, &mark)
    }
}

/// What a client has set stays, but for PATH, to which the login shell may add.
fn merged(own: &Variables, login: Variables) -> Variables {
    let mut all = own.clone();
    for (name, value) in login {
        let text = name.to_string_lossy();
        if NOT_TAKEN.contains(&&*text) || text.starts_with(OWN_PREFIX) {
            continue;
        }
        let value = match own.get(&name) {
            None => value,
            Some(own) if text == "PATH" => merged_path(own, &value),
            Some(_) => continue,
        };
        all.insert(name, value);
    }
    all
}

/// The login shell's PATH, after those of the client's own entries that it lacks: those were set for the server.
fn merged_path(own: &OsStr, login: &OsStr) -> OsString {
    let of_login: Vec<_> = split_paths(login).collect();
    let only_own = split_paths(own).filter(|entry| !of_login.contains(entry));
    // An empty one stands for the directory of the command.
    let entries = only_own.chain(split_paths(login)).filter(|entry| !entry.as_os_str().is_empty());
    join_paths(entries).unwrap_or_else(|_| own.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(of: &[(&str, &str)]) -> Variables {
        of.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn what_the_client_has_set_stays() {
        let own = variables(&[("LANG", "C"), ("HOME", "/h")]);
        let login = variables(&[
            ("LANG", "de_DE"),
            ("NVM_DIR", "/h/.nvm"),
            ("SHLVL", "2"),
            ("PWD", "/h"),
            ("BACKGROUND_COMMAND_MCP_CWD", "/x"),
            ("HOME", "/other"),
        ]);
        let all = variables(&[("LANG", "C"), ("HOME", "/h"), ("NVM_DIR", "/h/.nvm")]);
        assert_eq!(merged(&own, login), all);
    }

    #[test]
    fn the_login_shell_adds_to_path() {
        for (own, login, all) in [
            ("/usr/bin:/bin", "/h/.nvm:/usr/bin:/bin", "/h/.nvm:/usr/bin:/bin"),
            ("/of/the/client:/bin", "/h/bin:/bin:", "/of/the/client:/h/bin:/bin"),
            ("/usr/bin:/bin", "/usr/bin:/bin", "/usr/bin:/bin"),
        ] {
            let path = |value: &str| variables(&[("PATH", value)]);
            assert_eq!(merged(&path(own), path(login)), path(all));
        }
        let path = variables(&[("PATH", "/bin")]);
        assert_eq!(merged(&Variables::new(), path.clone()), path);
    }
}
