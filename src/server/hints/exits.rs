//! What the end of a command leaves to be done.

use super::prompts::prompt;
use super::symptoms;
use crate::job::{Cause, Exit, Force, Snapshot};
use crate::output::excerpt::Excerpt;
use crate::process::signals::{KILL, TERMINATE};

/// Builtins of bash that a plain sh does not have.
const BASH_BUILTINS: &[&str] =
    &["source", "declare", "mapfile", "readarray", "shopt", "pushd", "popd", "let", "[["];

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
    let prompt = prompt(&shown.unfinished);
    if let Some(prompt) = prompt.filter(|prompt| prompt.is_certain || !succeeded) {
        return Some(format!("{} {}", prompt.asks, prompt.advice));
    }
    if let Some(symptom) = symptoms::after_end(snapshot, shown) {
        return Some(symptom);
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
    if BASH_BUILTINS.contains(&name) {
        return format!(
            "Exit 127: {name} is a builtin of bash, and the shell is another one: run it with bash -c '…'"
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
