//! What jobs get of the login shell's environment, with `--login-env`.
//!
//! A client started from a dock or a menu has a bare PATH, and so has its server. The login shell is asked once, when the
//! first job is about to start, as a job would be run: a profile may ask, hang, print, or leave processes behind. What the
//! shell runs is this very program, which writes its environment between two marks, so that what the profile has printed
//! before does not matter.

use std::collections::{HashMap, HashSet};
use std::env::{self, join_paths, split_paths};
use std::ffi::{OsStr, OsString};
use std::future::pending;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use memchr::{memchr, memmem};
use tokio::io::{AsyncReadExt, copy, sink};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::own;
use super::reaper::Reaper;
use super::shell::Shell;
use super::spawn::{Order, Process, Variables, spawn};
use super::system::LOGIN_SHELL;
use super::tree::Tree;

/// The argument that makes this binary print its environment. A mark follows.
const ARGUMENT: &str = "--print-environment";

/// How long an interactive login shell may take (version managers put themselves into either kind of profile), and then one that reads the profiles of the login alone, in all: some clients
/// wait five seconds for a call.
const TRIES: [(bool, Duration); 2] =
    [(true, Duration::from_secs(3)), (false, Duration::from_secs(4))];

/// How much a profile may print before it is given up.
const MAX_OUTPUT: usize = 1 << 20;

/// How long the shell has to end by itself once it has answered, and then after KILL.
const FAREWELL: Duration = Duration::from_millis(50);
const SURVIVOR_AFTER: Duration = Duration::from_millis(500);

/// How often KILL is sent.
const KILL_AGAIN: Duration = Duration::from_millis(10);

/// Variables that are about the shell itself, or set for the server alone.
const NOT_TAKEN: &[&str] = &["_", "SHLVL", "PWD", "OLDPWD", "TERM", "COLUMNS", "LINES"];
const OWN_PREFIX: &str = "BACKGROUND_COMMAND_MCP_";

/// What the login shell adds, found out at most once.
#[derive(Debug, Default)]
pub struct LoginEnvironment(OnceLock<watch::Receiver<Option<Arc<Variables>>>>);

impl LoginEnvironment {
    /// The variables that a job gets besides the server's own. A task of its own asks, so that a cancelled call stops nothing.
    pub async fn variables(
        &self,
        reaper: &Reaper,
        closing: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Arc<Variables> {
        let begin = || {
            let (answer, answered) = watch::channel(None);
            let (reaper, closing) = (reaper.clone(), closing.clone());
            tasks.spawn(async move {
                answer.send_replace(Some(Arc::new(find(&reaper, &closing).await)));
            });
            answered
        };
        let mut answered = self.0.get_or_init(begin).clone();
        // An error means that the task has panicked, which is logged.
        let answer = answered.wait_for(Option::is_some).await;
        answer.ok().and_then(|found| found.clone()).unwrap_or_default()
    }
}

async fn find(reaper: &Reaper, closing: &CancellationToken) -> Variables {
    let (shell, began) = (user_shell(), Instant::now());
    for (is_interactive, limit) in TRIES {
        match ask(&shell, is_interactive, began + limit, reaper, closing).await {
            Ok(Some(answer)) => {
                let added = additions(env::vars_os().collect(), answer);
                let took_ms = began.elapsed().as_millis();
                tracing::info!(
                    shell,
                    variables = added.len(),
                    took_ms,
                    "took the login shell's environment"
                );
                return added;
            }
            Ok(None) if closing.is_cancelled() => break,
            Ok(None) => tracing::warn!(
                shell,
                is_interactive,
                "the login shell did not tell its environment"
            ),
            Err(error) => tracing::warn!(shell, %error, "the login shell could not be started"),
        }
    }
    Variables::new()
}

/// Runs the shell. Afterwards no process of it is alive.
async fn ask(
    shell: &str,
    is_interactive: bool,
    until: Instant,
    reaper: &Reaper,
    closing: &CancellationToken,
) -> io::Result<Option<Variables>> {
    let program = own::program()?;
    let program = program.to_string_lossy();
    let program = shlex::try_quote(&program).map_err(io::Error::other)?;
    let mark = Uuid::new_v4().simple().to_string();
    // Those of the family of csh know -l only as their sole argument.
    let login = (!shell.ends_with("csh")).then_some("-l");
    let interactive = is_interactive.then_some("-i");
    let words = login.into_iter().chain(interactive).chain(["-c"]);
    let shell = Shell { program: shell.to_owned(), arguments: words.map(str::to_owned).collect() };
    let home = dirs::home_dir().filter(|home| home.is_dir());
    let order = Order {
        job: Uuid::new_v4(),
        shell: &shell,
        command: &format!("{program} {ARGUMENT} {mark}"),
        cwd: &home.unwrap_or_else(|| "/".into()),
        environment: &Vec::new(),
        with_stdin: false,
    };
    let Process { mut tree, stdout, stderr, .. } = spawn(&order, reaper)?;
    let mut stdout = pipe::Receiver::from_owned_fd(stdout.into())?;
    let mut stderr = pipe::Receiver::from_owned_fd(stderr.into())?;
    let answer = tokio::select! {
        answer = read_answer(&mut stdout, &mark) => answer,
        () = discard(&mut stderr) => None,
        () = sleep_until(until.into()) => None,
        () = closing.cancelled() => None,
    };
    if answer.is_some() {
        drop(timeout(FAREWELL, tree.next_event(true)).await);
    }
    end(tree).await;
    Ok(answer)
}

/// Reads until the second mark. None if the output ends before that, or is too long.
async fn read_answer(stdout: &mut pipe::Receiver, mark: &str) -> Option<Variables> {
    let mut output = Vec::with_capacity(64 << 10);
    while output.len() < MAX_OUTPUT && stdout.read_buf(&mut output).await.ok()? > 0 {
        if let Some(answer) = parse(&output, mark) {
            return Some(answer);
        }
    }
    None
}

/// Reads for ever, so that a profile that writes much is not stopped.
async fn discard(stderr: &mut pipe::Receiver) {
    drop(copy(stderr, &mut sink()).await);
    pending().await
}

async fn end(tree: Tree) {
    let give_up_at = Instant::now() + SURVIVOR_AFTER;
    while !tree.has_exited() || !tree.living().is_empty() {
        if Instant::now() >= give_up_at {
            tracing::warn!("a process of the login shell could not be ended");
            break;
        }
        tree.kill();
        sleep(KILL_AGAIN).await;
    }
    tree.reap();
}

/// The user's own shell.
pub fn user_shell() -> String {
    let named = env::var("SHELL").ok().filter(|shell| Path::new(shell).is_absolute());
    named.unwrap_or_else(|| LOGIN_SHELL.to_owned())
}

/// Whether this process was started to print its environment.
pub fn is_printer() -> bool {
    env::args_os().nth(1).is_some_and(|argument| argument == ARGUMENT)
}

/// The whole life of the process that the login shell runs.
pub fn print_environment() {
    let mark = env::args_os().nth(2).unwrap_or_default();
    let mut text = [mark.as_bytes(), b"\0"].concat();
    for (name, value) in env::vars_os() {
        text.extend([name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat());
    }
    text.extend_from_slice(mark.as_bytes());
    // An error means that the server has stopped listening.
    drop(io::stdout().write_all(&text));
}

/// The variables between the two marks.
fn parse(output: &[u8], mark: &str) -> Option<Variables> {
    // The NUL is not in the command, which a profile may have the shell print.
    let from = memmem::find(output, format!("{mark}\0").as_bytes())? + mark.len();
    let to = from + memmem::find(&output[from..], mark.as_bytes())?;
    let entries = output[from..to].split(|byte| *byte == 0);
    let variables = entries.filter_map(|entry| {
        let at = memchr(b'=', entry)?;
        let part = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        Some((part(&entry[..at]), part(&entry[at + 1..])))
    });
    Some(variables.collect())
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

    #[test]
    fn an_answer_is_found_among_banners() {
        let variable = |name: &str, value: &str| (name.into(), value.into());
        assert_eq!(
            parse(b"Welcome!\n+ program MARK\nMARK\0A=1\0B=x=y\nz\0C=\0MARKbye", "MARK"),
            Some(vec![variable("A", "1"), variable("B", "x=y\nz"), variable("C", "")])
        );
        for incomplete in ["", "Welcome", "MARK\0A=1\0MAR"] {
            assert_eq!(parse(incomplete.as_bytes(), "MARK"), None, "{incomplete}");
        }
    }
}
