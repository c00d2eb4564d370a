//! What a model reads that more than one place says: instructions, errors, gaps. Nothing here decides anything.

use std::time::Duration;

use uuid::Uuid;

use crate::config::Config;
use crate::format::{human_duration, io_error_text, thousands, truncate};
use crate::job::{Job, JobError};
use crate::output::excerpt::Cut;
use crate::process::LONGEST_COMMAND;
use crate::registry::connection::Connection;

/// Most characters of a failure's message.
const MAX_MESSAGE_CHARS: usize = 4000;

/// Server instructions. Clients cut them, some at 2,048 characters for all servers together.
pub fn instructions(connection: &Connection) -> String {
    format!(
        "Shell jobs that outlive one tool call: builds, tests, servers, several at once. Prefer your built-in shell for \
         quick commands; use this when a command may exceed 10 s or must keep running. Pattern: execute, then ONE get \
         with wait_seconds (until_pattern for \"server ready\"), then cleanup for servers. Never sleep or poll. Several \
         jobs: list with wait_seconds returns when any ends. Lost ref_id: list. Shell: {}; directory: {}.",
        truncate(&connection.shell.to_string(), 100),
        truncate(&connection.directory.path.display().to_string(), 150),
    )
}

/// Why a job could not be started or found, and what to do.
pub fn job_error(error: &JobError, config: &Config) -> String {
    let text = match error {
        JobError::EmptyCommand => "cmd is empty: pass the shell command to run".to_owned(),
        JobError::NulInCommand => {
            "cmd contains a NUL character, which no command line can carry: remove it".to_owned()
        }
        JobError::CommandTooLong { bytes } => format!(
            "cmd is too long: {} bytes, and the system takes {LONGEST_COMMAND}. Write it to a file and run that, or pass data \
             through stdin",
            thousands(*bytes as u64)
        ),
        JobError::NoDirectory { path, error } => {
            format!(
                "cwd {} cannot be used: {}. Pass an existing directory, best as an absolute path",
                path.display(),
                io_error_text(error)
            )
        }
        JobError::NotForShell(error) => error.to_string(),
        JobError::NoShell { program, error } => format!(
            "the shell {program} cannot be started: {}. Nothing can run until the server's --shell names an existing program",
            io_error_text(error)
        ),
        JobError::Busy { limit, oldest } => format!(
            "{limit} jobs have live processes, which is the limit (--max-running). Wait for one with \
             list_background_processes and wait_seconds, or end one with cleanup_background_process. The oldest: {}",
            oldest.iter().map(one_line).collect::<Vec<_>>().join("; ")
        ),
        JobError::Resources(error) => {
            format!(
                "the system could not start another process: {}. Clean up running jobs, or have the server's limits raised \
                 (ulimit -n, ulimit -u), and try again",
                io_error_text(error)
            )
        }
        JobError::Cancelled => {
            "nothing was started: the call was cancelled or the server is shutting down".to_owned()
        }
        JobError::NotAnId { given } => not_an_id(given),
        JobError::Unknown { id, age, known } => unknown(*id, *age, known),
        JobError::Expired { id, age } => format!(
            "the result of job {id} has expired: results are kept for {} after the end (--retention-seconds), and of no more than \
             {} finished jobs (--max-finished) or {} bytes of output (--max-total-bytes). This server started {} ago. Run the \
             command again if it is still needed",
            human_duration(config.retention_seconds),
            thousands(config.max_finished as u64),
            thousands(config.max_total_bytes),
            human_duration(*age),
        ),
        JobError::CleanedUp { id } => format!(
            "job {id} was cleaned up: its processes are ended and its output is deleted. Run the command again if it is still needed"
        ),
    };
    truncate(&text, MAX_MESSAGE_CHARS)
}

fn unknown(id: Uuid, age: Duration, known: &[Uuid]) -> String {
    let known = match known {
        [] => "it has no jobs: run the command again".to_owned(),
        ids => format!(
            "jobs it knows: {}; list_background_processes shows all",
            ids.iter().map(Uuid::to_string).collect::<Vec<_>>().join(", ")
        ),
    };
    format!(
        "there is no job {id}. This server started {} ago, and jobs end with their server; {known}",
        human_duration(age)
    )
}

/// Why this is not an id of a job.
fn not_an_id(given: &str) -> String {
    let given = given.trim();
    let shown = truncate(given, 60);
    let what = match given.parse::<u64>() {
        Ok(_) => format!("ref_id {shown} looks like a pid"),
        Err(_) => format!("ref_id {shown:?} is not the id of a job"),
    };
    format!(
        "{what}: pass the ref_id that execute_command_background returned, like 0b9c3f60-5a3e-4f0e-9a56-3f8a2e1c7d42; \
         list_background_processes shows all"
    )
}

fn one_line(job: &Job) -> String {
    let age = job.created().monotonic.elapsed();
    let state = if job.is_running() { "running" } else { "only leftover processes" };
    format!(
        "{} ({}, for {}, {state})",
        job.id(),
        truncate(job.command().trim().lines().next().unwrap_or_default(), 60),
        human_duration(age)
    )
}

/// The line that stands where output was left out of a reply. Output that goes with its job cannot be read later.
pub fn gap(ref_id: Uuid, cut: &Cut, is_last: bool) -> String {
    let left_out = left_out(cut);
    if is_last {
        return format!("[… {left_out} and deleted with the job …]");
    }
    if cut.dropped == cut.bytes {
        return format!("[… {left_out} …]");
    }
    let cursor = cut.cursor;
    format!(
        "[… {left_out}: call get_command_background_result with ref_id=\"{ref_id}\" and cursor=\"{cursor}\" to read them …]"
    )
}

/// How much a summary leaves out, and how much of that is not kept.
pub fn left_out(cut: &Cut) -> String {
    let bytes = thousands(cut.bytes);
    match cut.dropped {
        0 => format!("{bytes} bytes left out"),
        dropped => {
            format!("{bytes} bytes left out, {} of them dropped for good", thousands(dropped))
        }
    }
}
