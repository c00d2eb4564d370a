//! What a model reads: instructions, descriptions, errors, hints, messages. Nothing here decides anything.

mod descriptions;
mod errors;

use std::time::Duration;

pub(crate) use descriptions::*;
pub(crate) use errors::*;
use uuid::Uuid;

use crate::format::{human_duration, thousands, truncate};
use crate::job::{Cause, Job, Snapshot, Tree};
use crate::output::excerpt::Cut;

/// The line that stands where output was left out of a reply.
pub(crate) fn gap(ref_id: Uuid, cut: &Cut) -> String {
    let cursor = cut.cursor;
    let call = format!(
        "call get_command_background_result with ref_id=\"{ref_id}\" and cursor=\"{cursor}\""
    );
    let left_out = left_out(cut);
    match cut.bytes - cut.dropped {
        0 => format!("[… {left_out} …]"),
        _ if cut.dropped == 0 => format!("[… {left_out}: {call} to read them …]"),
        readable => format!(
            "[… {left_out}: {call} to read the other {} …]",
            thousands(readable)
        ),
    }
}

/// How much a summary leaves out, and how much of that nobody can read any more.
pub(crate) fn left_out(cut: &Cut) -> String {
    let bytes = thousands(cut.bytes);
    match cut.dropped {
        0 => format!("{bytes} bytes left out"),
        all if all == cut.bytes => format!("{bytes} bytes left out, all of them dropped for good"),
        some => format!(
            "{bytes} bytes left out, {} of them dropped for good",
            thousands(some)
        ),
    }
}

/// The line between head and tail of output that goes with its job.
pub(crate) fn gap_for_good(cut: &Cut) -> String {
    format!(
        "[… {} bytes left out and deleted with the job …]",
        thousands(cut.bytes)
    )
}

/// In the place of output that cannot be read now.
pub(crate) fn unreadable() -> String {
    "the output cannot be read now: its disk does not answer. The job is unharmed; call again later"
        .to_owned()
}

/// What a waiting call says in between.
pub(crate) fn progress(elapsed: Duration, bytes: u64, last_line: &str) -> String {
    let last = match last_line {
        "" => String::new(),
        line => format!(", last: {}", truncate(line, 80)),
    };
    format!(
        "running {}, {} bytes of output{last}",
        human_duration(elapsed),
        thousands(bytes)
    )
}

/// What a call that waits for any job says in between.
pub(crate) fn waiting_for_any(running: usize) -> String {
    match running {
        1 => "1 job running, it has not ended yet".to_owned(),
        _ => format!("{running} jobs running, none has ended yet"),
    }
}

/// Nothing ended while a list call waited.
pub(crate) fn none_ended(asked: Duration, cap: Duration) -> String {
    let waited = human_duration(asked.min(cap));
    let unit = if asked > cap {
        " (the most for one call; the unit is seconds)"
    } else {
        ""
    };
    format!(
        "No job ended within {waited}{unit}: call list_background_processes with wait_seconds={}",
        cap.as_secs_f64()
    )
}

/// These have ended, and no reply has told of it.
pub(crate) fn newly_ended(jobs: &[Job]) -> Option<String> {
    let ids: Vec<String> = jobs.iter().map(|job| job.id().to_string()).collect();
    let first = ids.first()?;
    Some(format!(
        "Ended since you were last told: {}. Call get_command_background_result with ref_id=\"{first}\" for its output",
        ids.join(", ")
    ))
}

/// After a start that did not wait.
pub(crate) fn next_after_start(id: Uuid, cap: Duration, with_pattern: bool) -> String {
    let pattern = if with_pattern {
        ", and until_pattern, which needs wait_seconds"
    } else {
        ""
    };
    format!(
        "Call get_command_background_result with ref_id=\"{id}\" and wait_seconds={}{pattern} when you need its result",
        cap.as_secs_f64()
    )
}

/// A time limit that was probably meant in another unit.
pub(crate) fn long_time_limit(limit: Duration) -> String {
    format!(
        "kill_after_seconds={} is {:.1} days: the unit is seconds; clean up and start again if that was not meant",
        limit.as_secs_f64(),
        limit.as_secs_f64() / 86_400.0
    )
}

pub(crate) fn already_gone() -> &'static str {
    "there was nothing left to do: the job was cleaned up before or has expired"
}

/// A cleanup that the end of the server overtook.
pub(crate) fn server_ends() -> &'static str {
    "the server is ending, and ends the job's processes and deletes its output with it"
}

/// What a cleanup came to.
pub(crate) fn cleaned_up(before: &Snapshot, kept: bool, survivors: &[u32]) -> String {
    if !survivors.is_empty() {
        let pids = survivors
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        return format!(
            "these processes could not be ended, even with SIGKILL: {pids}. They may belong to another user or hang in \
             the kernel; the job is kept: call cleanup_background_process again to try once more"
        );
    }
    let processes = match before.finished().map(|finished| finished.cause) {
        None => "the command was stopped with all its child processes",
        Some(_) if before.record.tree == Tree::Alive => {
            "the command had ended; the processes it left were stopped"
        }
        Some(Cause::Itself) => "the command had ended by itself",
        Some(Cause::TimeLimit) => "the command had been ended by its time limit",
        Some(Cause::Stopped) => "the command had been stopped before",
    };
    let record = if kept {
        "its result stays readable"
    } else {
        "its record and output are deleted"
    };
    format!("{processes}; {record}")
}
