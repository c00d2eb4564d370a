//! What a job's output and exit tell of what to do: that it will not come to an end, or has failed, for want of a person, a
//! terminal, a command.

use std::time::Duration;

use super::prompts::{COMMAND_PROMPTS, prompt};
use crate::format::ellipsize_around;
use crate::job::{Cause, Exit, Force, Snapshot};
use crate::output::excerpt::Excerpt;
use crate::process::signals::{KILL, TERMINATE};

/// Characters at the end of the output in which last words are looked for.
const LAST_WORDS: usize = 600;

/// A watcher that ends within this time has ended at the end of its input.
const ENDED_AT_ONCE: Duration = Duration::from_secs(15);

/// A watcher that has written nothing for this long has probably done its work once.
const WATCHES_AFTER: Duration = Duration::from_secs(3);

/// Programs for which `-w` means to watch; for `grep`, `curl` and others it does not.
const WATCHERS: &str = "tsc tailwindcss @tailwindcss/cli webpack rollup sass postcss babel swc mocha vitest jest eleventy";

/// What a program says that will not come to an end, as texts between bars, and what to do.
const ENDLESS: &[(&str, &str)] = &[
    (
        "watching for file change|waiting for file changes|waiting for changes|watching for changes|\
         watching extensions|watch usage|press w to show more|[finished running",
        "It has finished its work and waits for changes, so it will not end by itself: what is there is complete; clean up, and run it once next time (vitest run, jest --watchAll=false, tsc without -w)",
    ),
    (
        "output is not to a terminal|input is not from a terminal|error opening terminal|\
         terminal is not fully functional|too many errors from stdin|(end)|-- insert --",
        "An editor or pager shows its screen on no terminal and waits for keys: clean up and rerun with a non-interactive option (git commit -m, --no-edit, GIT_PAGER=cat)",
    ),
];

/// What a failed command says that wanted something from its user, and what to do.
const WANTED: &[(&str, &str)] = &[
    (
        "please tell me who you are",
        "git has no name for the author: rerun with git -c user.name=… -c user.email=… in front of the subcommand",
    ),
    (
        "could not read username|could not read password",
        "git asked for credentials and there is no terminal: use an ssh remote, a credential helper or a token",
    ),
    (
        "host key verification failed",
        "ssh does not know the host and cannot ask: add its key with ssh-keyscan HOST >> ~/.ssh/known_hosts, if it is trusted",
    ),
    (
        "permission denied (publickey",
        "ssh has no key that the host accepts: pass one with ssh -i, or give the server SSH_AUTH_SOCK in the client's env",
    ),
    (
        "a terminal is required to read the password",
        "sudo asked for a password and there is no terminal: use sudo -n where that is allowed, or ask the user to run it",
    ),
];

/// About a running job.
pub fn while_running(snapshot: &Snapshot, shown: &Excerpt) -> Option<&'static str> {
    let last = last_words(shown);
    let is_idle = snapshot.silent() >= WATCHES_AFTER && !last.trim().is_empty();
    let watches = is_idle && is_to_watch(snapshot.job.command());
    advice(ENDLESS, &last).or(watches.then_some(
        "It was started to watch and will not end by itself: if what is there is complete, clean up, and run it once next time (without --watch)",
    ))
}

/// About a command that has ended by itself, or was killed at its time limit. After a stop or a time limit its other processes
/// are being ended as well, and are only not gone yet.
pub fn after_end(snapshot: &Snapshot, shown: &Excerpt) -> Option<String> {
    let finished = snapshot.finished()?;
    let was_forced = snapshot.record.force == Some(Force::AfterGrace);
    if finished.cause == Cause::TimeLimit && was_forced {
        return Some(format!(
            "{TERMINATE} at the time limit was not enough, and {KILL} was sent: rerun with a larger kill_after_seconds if what it had not saved matters"
        ));
    }
    if finished.cause != Cause::Itself {
        return None;
    }
    let leftovers = &snapshot.record.leftovers;
    if !leftovers.is_empty() {
        let pids: Vec<String> = leftovers.iter().take(5).map(u32::to_string).collect();
        return Some(format!(
            "The command ended but left processes running (pid {}): call cleanup_background_process with ref_id=\"{}\" when they are no longer needed",
            pids.join(", "),
            snapshot.job.id()
        ));
    }
    let succeeded = finished.exit == Exit::Code(0);
    let prompt = shown.unfinished.iter().find_map(|line| prompt(line));
    if let Some(prompt) = prompt.filter(|prompt| prompt.is_certain || !succeeded) {
        return Some(format!("{} {}", prompt.asks, prompt.advice));
    }
    if succeeded {
        let watches = is_to_watch(snapshot.job.command()) && snapshot.elapsed() < ENDED_AT_ONCE;
        return match left_at_prompt(shown) {
            Some(prompt) => Some(format!(
                "It waited for commands ({prompt:?}) and ended at the end of its input: rerun with them passed through stdin, or with an option like -c"
            )),
            None => watches.then(|| "It was to watch and ended at once, probably at the end of its input: rerun with keep_stdin_open=true".to_owned()),
        };
    }
    if let Some(advice) = advice(WANTED, &last_words(shown)) {
        return Some(advice.to_owned());
    }
    let hint = match finished.exit {
        Exit::Code(127) => return Some(not_found(&shown.error, &shown.output)),
        Exit::Code(126) => {
            "Exit 126 means found but not executable: make it executable with chmod +x, or run it with its interpreter"
        }
        Exit::Code(9009) => {
            "Exit 9009 means that cmd.exe found no such command: use the program's full path, or look for it with where"
        }
        Exit::Code(137) => {
            "Exit 137 means that something was killed by SIGKILL, often for want of memory: try again with less parallelism"
        }
        Exit::Signal(9) => {
            "It was killed by SIGKILL from outside, often for want of memory: try again with less parallelism"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Whether a command is to go on until it is stopped.
fn is_to_watch(command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    let has = |flag: &str| words.iter().any(|word| word.split('=').next() == Some(flag));
    let is_watcher = |word: &&str| {
        WATCHERS.split(' ').any(|known| known == word.trim_start_matches("node_modules/.bin/"))
    };
    has("--watch") || has("--serve") || (words.contains(&"-w") && words.iter().any(is_watcher))
}

/// The prompt that a program has left behind with a line end, as Python does.
fn left_at_prompt(shown: &Excerpt) -> Option<&'static str> {
    let outputs = [&shown.output, &shown.error];
    let lines = outputs.map(|text| text.trim_end().lines().next_back().unwrap_or_default());
    COMMAND_PROMPTS.iter().find(|prompt| lines.contains(prompt)).copied()
}

/// What to do about what was said last.
fn advice(known: &[(&str, &'static str)], last: &str) -> Option<&'static str> {
    let is_said = |texts: &str| texts.split('|').any(|text| last.contains(text));
    known.iter().find(|(texts, _)| is_said(texts)).map(|(_, advice)| *advice)
}

/// The end of both streams, in lower case.
fn last_words(shown: &Excerpt) -> String {
    let end = |text: &str| ellipsize_around(text, text.len()..text.len(), LAST_WORDS);
    format!("{}\n{}", end(&shown.output), end(&shown.error)).to_lowercase()
}

/// What a shell could not find, by its own words: `bash: line 1: foo: command not found`, `sh: 1: ./x: not found`,
/// `bash: line 1: ./x.sh: No such file or directory`, `./x.sh: cannot execute: required file not found`.
fn not_found(error: &str, output: &str) -> String {
    let is_word = |line: &&str| line.contains("not found") || line.contains("No such file");
    let line = error.lines().rev().chain(output.lines().rev()).find(is_word).unwrap_or_default();
    let name = line
        .trim_end_matches(": command not found")
        .trim_end_matches(": not found")
        .trim_end_matches(": No such file or directory")
        .trim_end_matches(": cannot execute: required file not found");
    let name = name.rsplit(": ").next().unwrap_or_default();
    if line.contains("required file") || line.contains("bad interpreter") {
        return format!(
            "Exit 127: {name:?} is there, but the interpreter in its first line is not: run it with one that is, like bash {name}"
        );
    }
    if name.contains('/') {
        return format!(
            "Exit 127: {name:?} does not exist, or the interpreter in its first line does not: check the path, which starts from cwd"
        );
    }
    let what = match name {
        "" => "a command was".to_owned(),
        name => format!("{name:?} was"),
    };
    format!(
        "Exit 127: {what} not found in PATH: use an absolute path, install it, or set PATH in the command; --login-env gives jobs the PATH of a terminal"
    )
}
