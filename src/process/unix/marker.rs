//! The environment variable by which a process is known to be of a job, wherever it went.
//!
//! Its *name* differs from job to job, so that a server that runs inside a job of another adds its own variable and hides
//! none.

use uuid::Uuid;

const VARIABLE_PREFIX: &str = "BACKGROUND_COMMAND_MCP_JOB_";

/// The environment variable that marks the processes of a job.
pub fn variable(job: Uuid) -> String {
    format!("{VARIABLE_PREFIX}{}", job.simple())
}

/// The jobs whose variable is in an environment of NUL-separated entries.
pub fn jobs_in(environment: &[u8]) -> Vec<Uuid> {
    let entries = environment.split(|byte| *byte == 0);
    let ids = entries.filter_map(|entry| entry.strip_prefix(VARIABLE_PREFIX.as_bytes()));
    ids.filter_map(|id| Uuid::try_parse_ascii(id.split(|byte| *byte == b'=').next()?).ok())
        .collect()
}
