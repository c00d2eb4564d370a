//! The parameters of the four tools.

use schemars::JsonSchema;

use crate::server::arguments::Arguments;

/// Parameters of `execute_command_background`. The comments are the descriptions that agents read.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct ExecuteParams {
    /// The shell command
    pub(crate) cmd: String,
    /// Working directory; must exist
    pub(crate) cwd: Option<String>,
    /// Text for standard input, which is then closed
    pub(crate) stdin: Option<String>,
    /// Kill the command and its children after this long; default never
    pub(crate) kill_after_seconds: Option<f64>,
    /// Wait this long for the end before answering; default 0
    pub(crate) wait_seconds: Option<f64>,
    /// With wait_seconds: answer once a line of output matches this regex
    pub(crate) until_pattern: Option<String>,
}

/// Parameters of `get_command_background_result`.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct GetParams {
    /// The id that execute returned
    pub(crate) ref_id: String,
    /// Wait up to this long for the end or the pattern; default 0
    pub(crate) wait_seconds: Option<f64>,
    /// Regex for one line of output; searched from cursor, else from the start
    pub(crate) until_pattern: Option<String>,
    /// "start" or the cursor of an earlier reply: only what comes after it, oldest first
    pub(crate) cursor: Option<String>,
    /// Characters of output in the reply, at most 100000
    pub(crate) max_chars: Option<u64>,
}

/// Parameters of `list_background_processes`.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct ListParams {
    /// Wait up to this long until a command ends that no reply has reported; default 0
    pub(crate) wait_seconds: Option<f64>,
}

/// Parameters of `cleanup_background_process`.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct CleanupParams {
    /// The id that execute returned
    pub(crate) ref_id: String,
    /// Time between TERM and KILL; default 3
    pub(crate) grace_seconds: Option<f64>,
    /// Stop the command but keep its result readable
    pub(crate) keep_result: Option<bool>,
}

impl ExecuteParams {
    pub(crate) fn read(mut arguments: Arguments) -> Result<Self, String> {
        let read = Self {
            cwd: arguments.string("cwd")?,
            stdin: arguments.string("stdin")?,
            kill_after_seconds: arguments.seconds("kill_after_seconds")?,
            wait_seconds: arguments.wait("wait_seconds")?,
            until_pattern: arguments.string("until_pattern")?,
            cmd: arguments.required("cmd")?,
        };
        arguments.finish()?;
        Ok(read)
    }
}

impl GetParams {
    pub(crate) fn read(mut arguments: Arguments) -> Result<Self, String> {
        let read = Self {
            wait_seconds: arguments.wait("wait_seconds")?,
            until_pattern: arguments.string("until_pattern")?,
            cursor: arguments.string("cursor")?,
            max_chars: arguments.characters("max_chars")?,
            ref_id: arguments.required("ref_id")?,
        };
        arguments.finish()?;
        Ok(read)
    }
}

impl ListParams {
    pub(crate) fn read(mut arguments: Arguments) -> Result<Self, String> {
        let read = Self {
            wait_seconds: arguments.wait("wait_seconds")?,
        };
        arguments.finish()?;
        Ok(read)
    }
}

impl CleanupParams {
    pub(crate) fn read(mut arguments: Arguments) -> Result<Self, String> {
        let read = Self {
            grace_seconds: arguments.seconds("grace_seconds")?,
            keep_result: arguments.boolean("keep_result")?,
            ref_id: arguments.required("ref_id")?,
        };
        arguments.finish()?;
        Ok(read)
    }
}
