//! Why a call failed, and what to do.

use std::time::Duration;

use uuid::Uuid;

use crate::config::Config;
use crate::format::{human_duration, io_error_text, thousands, truncate};
use crate::job::{Job, JobError};

/// Most characters of a failure's message.
const MAX_MESSAGE_CHARS: usize = 4000;

/// Why a job could not be started or found, and what to do.
pub(crate) fn job_error(error: &JobError) -> String {
    let text = match error {
        JobError::EmptyCommand => "cmd is empty: pass the shell command to run".to_owned(),
        JobError::NulInCommand => {
            "cmd contains a NUL character, which no command line can carry: remove it".to_owned()
        }
        JobError::CommandTooLong { bytes } => format!(
            "cmd is too long: {} bytes, and the system takes about 128 KiB (131,072 bytes) for one argument. Write it to a file and \
             run that, or pass data through stdin",
            thousands(*bytes as u64)
        ),
        JobError::NoDirectory { path, error } => {
            format!(
                "cwd {} cannot be used: {}. Pass an existing directory, best as an absolute path",
                path.display(),
                io_error_text(error)
            )
        }
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
        JobError::Unknown { id, age, known } => unknown(*id, *age, known),
        JobError::Expired { id } => format!(
            "the result of job {id} has expired. Run the command again if it is still needed"
        ),
        JobError::CleanedUp { id } => format!(
            "job {id} was cleaned up: its processes are ended and its output is deleted. Run the command again if it is still needed"
        ),
    };
    truncate(&text, MAX_MESSAGE_CHARS)
}

/// Why a result is gone that was there.
pub(crate) fn expired(id: Uuid, age: Duration, config: &Config) -> String {
    format!(
        "the result of job {id} has expired: results are kept for {} after the end (--retention-seconds), and of no more than {} \
         finished jobs (--max-finished) or {} bytes of output (--max-total-bytes). This server started {} ago. Run the command again if it \
         is still needed",
        human_duration(config.retention_seconds),
        thousands(config.max_finished as u64),
        thousands(config.max_total_bytes),
        human_duration(age),
    )
}

fn unknown(id: Uuid, age: Duration, known: &[Uuid]) -> String {
    let known = match known {
        [] => "it has no jobs: run the command again".to_owned(),
        ids => format!(
            "jobs it knows: {}; list_background_processes shows all",
            ids.iter()
                .map(Uuid::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        ),
    };
    format!(
        "there is no job {id}. This server started {} ago, and jobs end with their server; {known}",
        human_duration(age)
    )
}

/// Why this is not an id of a job.
pub(crate) fn not_an_id(given: &str) -> String {
    let given = given.trim();
    let shown = truncate(given, 60);
    let what = if given.is_empty() {
        "ref_id is empty".to_owned()
    } else if given.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("ref_id {shown} looks like a pid")
    } else {
        format!("ref_id {shown:?} is not the id of a job")
    };
    format!(
        "{what}: pass the ref_id that execute_command_background returned, like 0b9c3f60-5a3e-4f0e-9a56-3f8a2e1c7d42; \
         list_background_processes shows all"
    )
}

/// The last line of defence: the server goes on, and the agent knows that it was not the command.
pub(crate) fn internal_error(what: &str) -> String {
    truncate(
        &format!(
            "the server failed at this call: {what}. Its jobs are unharmed; try again, and look at the server's log"
        ),
        MAX_MESSAGE_CHARS,
    )
}

/// A call of a tool that is not there.
pub(crate) fn no_such_tool(name: &str) -> String {
    format!(
        "there is no tool {}; the tools are execute_command_background, get_command_background_result, \
         list_background_processes and cleanup_background_process",
        truncate(name, 100)
    )
}

fn one_line(job: &Job) -> String {
    let age = job.created().monotonic.elapsed();
    let state = if job.is_running() {
        "running"
    } else {
        "only leftover processes"
    };
    format!(
        "{} ({}, for {}, {state})",
        job.id(),
        truncate(&first_line(job.command()), 60),
        human_duration(age)
    )
}

fn first_line(command: &str) -> String {
    command.trim().lines().next().unwrap_or_default().to_owned()
}
