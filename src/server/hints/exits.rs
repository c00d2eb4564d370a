//! What the end of a command leaves to be done.

use super::prompts::prompt;
use crate::job::{Cause, Exit, Snapshot};

/// About a command that has ended by itself. After a stop or a time limit its other processes are being ended as well, and
/// are only not gone yet.
pub fn after_end(snapshot: &Snapshot, unfinished: &[String]) -> Option<String> {
    let finished = snapshot.finished()?;
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
    let hint = match finished.exit {
        Exit::Code(0) => return None,
        Exit::Code(_) if let Some(prompt) = prompt(unfinished) => {
            return Some(format!("{} {}", prompt.asks, prompt.advice));
        }
        Exit::Code(127) => {
            "Exit 127 means command not found: use an absolute path or set PATH in the command; if PATH lacks what a terminal has, start the server with --login-env"
        }
        Exit::Code(126) => {
            "Exit 126 means found but not executable: check the file's mode or run it with its interpreter"
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
