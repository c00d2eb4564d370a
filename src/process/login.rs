//! The user's login shell, asked for its environment.
//!
//! It is started like a job: in a group of its own, with an empty input and without a terminal, for a profile may ask,
//! hang, print, or leave processes behind. What it runs is this very program, which writes its environment between two
//! marks, so that it does not matter what the profile has printed before.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::getuid;
use tokio::io::AsyncReadExt;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::own;
use super::reaper::Reaper;
use super::shell::Shell;
use super::spawn::{Order, Process, spawn};
use super::tree::TreeEvent;

/// The argument that makes this binary print its environment. A mark follows.
const ARGUMENT: &str = "--print-environment";

/// How much a profile may print before it is given up.
const MOST_OUTPUT: usize = 4 << 20;

/// How long the shell has to go by itself once it has answered.
const FAREWELL: Duration = Duration::from_millis(50);

/// How long after the first KILL its processes may still be there, and how often it is sent.
const SURVIVOR_AFTER: Duration = Duration::from_millis(500);
const KILL_AGAIN: Duration = Duration::from_millis(10);

/// Variables by name.
pub(crate) type Variables = Vec<(OsString, OsString)>;

/// Whether this process was started to print its environment.
pub fn is_printer() -> bool {
    std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == ARGUMENT)
}

/// The whole life of the process that the login shell runs.
pub fn print_environment() {
    let mark = std::env::args_os().nth(2).unwrap_or_default();
    let mut text = [mark.as_bytes(), b"\0"].concat();
    for (name, value) in std::env::vars_os() {
        text.extend([name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat());
    }
    text.extend_from_slice(mark.as_bytes());
    let mut output = io::stdout().lock();
    // Whoever asked has gone if this fails.
    drop(output.write_all(&text).and_then(|()| output.flush()));
}

/// The user's own shell.
pub(crate) fn shell() -> String {
    let named = |shell: String| Some(shell).filter(|shell| Path::new(shell).is_absolute());
    let from_accounts = || {
        let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
        let uid = getuid().as_raw().to_string();
        let account = accounts
            .lines()
            .find(|line| line.split(':').nth(2) == Some(&uid))?;
        named(account.rsplit(':').next()?.to_owned())
    };
    let fallback = if cfg!(target_os = "macos") {
        "/bin/zsh"
    } else {
        "/bin/sh"
    };
    std::env::var("SHELL")
        .ok()
        .and_then(named)
        .or_else(from_accounts)
        .unwrap_or_else(|| fallback.to_owned())
}

/// Which profiles are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profiles {
    /// Those of a login and those of a dialogue: where version managers put themselves differs.
    All,
    LoginOnly,
}

/// A login shell at work.
#[derive(Debug)]
pub(crate) struct Inquiry {
    process: Process,
    mark: String,
}

impl Inquiry {
    /// Starts the shell. `job` marks its processes, as those of a job are.
    pub(crate) fn start(
        shell: &str,
        profiles: Profiles,
        job: Uuid,
        reaper: &Reaper,
    ) -> io::Result<Self> {
        let program = own::program()?;
        let mark = Uuid::new_v4().simple().to_string();
        let program = program.to_string_lossy();
        let program = shlex::try_quote(&program).map_err(io::Error::other)?;
        let arguments: &[&str] = match (is_csh(shell), profiles) {
            // These know -l only as their sole argument.
            (true, Profiles::All) => &["-i", "-c"],
            (true, Profiles::LoginOnly) => &["-c"],
            (false, Profiles::All) => &["-l", "-i", "-c"],
            (false, Profiles::LoginOnly) => &["-l", "-c"],
        };
        let shell = Shell {
            program: shell.to_owned(),
            arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
        };
        let order = Order {
            job,
            shell: &shell,
            command: &format!("{program} {ARGUMENT} {mark}"),
            cwd: &dirs::home_dir()
                .filter(|home| home.is_dir())
                .unwrap_or_else(|| "/".into()),
            environment: &Vec::new(),
            with_stdin: false,
        };
        let process = spawn(&order, reaper)?;
        Ok(Self { process, mark })
    }

    /// The answer, if it comes in time. Afterwards nothing of the shell is alive.
    pub(crate) async fn answer(
        mut self,
        until: Instant,
        cancelled: &CancellationToken,
    ) -> Option<Variables> {
        let answer = tokio::select! {
            answer = self.listen() => answer,
            () = sleep_until(until.into()) => None,
            () = cancelled.cancelled() => None,
        };
        self.end(answer.is_some()).await;
        answer
    }

    async fn listen(&mut self) -> Option<Variables> {
        let Process {
            tree,
            stdout,
            stderr,
            ..
        } = &mut self.process;
        let mut output = Vec::with_capacity(64 << 10);
        let mut searched = 0;
        let mut ignored = vec![0; 4096];
        let mut stderr_open = true;
        while output.len() < MOST_OUTPUT {
            tokio::select! {
                read = stdout.read_buf(&mut output) => {
                    if !matches!(read, Ok(1..)) {
                        return None;
                    }
                }
                read = stderr.read(&mut ignored), if stderr_open => stderr_open = matches!(read, Ok(1..)),
                TreeEvent::Exited(_) = tree.next_event(true) => {
                    while output.len() < MOST_OUTPUT && matches!(stdout.try_read_buf(&mut output), Ok(1..)) {}
                    return parse(&output, &self.mark);
                }
            }
            // The second mark is what makes an answer, so nothing is worth a look until a mark has just come.
            let fresh = &output[searched..];
            if places(fresh, &self.mark).next().is_some()
                && let Some(variables) = parse(&output, &self.mark)
            {
                return Some(variables);
            }
            searched = output.len().saturating_sub(self.mark.len() - 1);
        }
        None
    }

    /// Ends the shell and all that its profile has started.
    async fn end(self, in_peace: bool) {
        let mut tree = self.process.tree;
        if in_peace {
            // It has nothing left to do, and what it does not do by then is of no use to anybody.
            drop(timeout(FAREWELL, tree.next_event(true)).await);
        }
        let give_up_at = Instant::now() + SURVIVOR_AFTER;
        while !tree.has_exited() || !tree.members().is_empty() {
            if Instant::now() >= give_up_at {
                tracing::warn!(
                    pid = self.process.pid,
                    "a process of the login shell could not be ended"
                );
                break;
            }
            tree.kill();
            sleep(KILL_AGAIN).await;
        }
        tree.reap();
    }
}

fn is_csh(shell: &str) -> bool {
    let name = Path::new(shell).file_name().unwrap_or_default();
    name.to_string_lossy().ends_with("csh")
}

/// Where the mark stands.
fn places(output: &[u8], mark: &str) -> impl Iterator<Item = usize> {
    let windows = output.windows(mark.len()).enumerate();
    windows.filter_map(move |(place, window)| (window == mark.as_bytes()).then_some(place))
}

/// What stands between the last two marks.
fn parse(output: &[u8], mark: &str) -> Option<Variables> {
    let places: Vec<usize> = places(output, mark).collect();
    let [.., from, to] = places[..] else {
        return None;
    };
    let entries = output[from + mark.len()..to].split(|byte| *byte == 0);
    let variables = entries.filter_map(|entry| {
        let at = entry.iter().position(|byte| *byte == b'=')?;
        let part = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        Some((part(&entry[..at]), part(&entry[at + 1..])))
    });
    Some(variables.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_among_banners() {
        let variable = |name: &str, value: &str| (name.into(), value.into());
        assert_eq!(
            parse(b"Welcome!\nMARK\0A=1\0B=x=y\nz\0C=\0MARKbye", "MARK"),
            Some(vec![
                variable("A", "1"),
                variable("B", "x=y\nz"),
                variable("C", "")
            ])
        );
        for incomplete in ["", "Welcome", "MARK\0A=1\0MAR"] {
            assert_eq!(parse(incomplete.as_bytes(), "MARK"), None, "{incomplete}");
        }
    }
}
