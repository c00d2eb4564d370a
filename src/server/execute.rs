//! `execute_command_background`: starts a job, and with `wait_seconds` waits for it.

use std::time::Duration;

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::job_view::{JobView, is_nothing};
use super::{ALSO_ENDED, Server, params, pattern};
use crate::blocking::lock;
use crate::registry::Start;

/// Beyond a day, seconds were probably meant to be milliseconds.
const LONG_TIME_LIMIT: Duration = Duration::from_secs(86_400);

/// The parameters. The comments are the descriptions that agents read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecuteParams {
    /// The shell command
    #[serde(alias = "command")]
    cmd: String,
    /// Working directory; must exist
    cwd: Option<String>,
    /// Text for standard input, which is then closed
    stdin: Option<String>,
    /// Keep standard input open (after stdin, if given) until the end: for watchers that stop at end of input
    #[serde(default, deserialize_with = "params::flag")]
    keep_stdin_open: Option<bool>,
    /// Kill the command and its children after this long; default never
    #[serde(default, deserialize_with = "params::seconds")]
    kill_after_seconds: Option<f64>,
    /// Wait this long for the end before answering; default 0
    #[serde(default, deserialize_with = "params::seconds")]
    wait_seconds: Option<f64>,
    /// With wait_seconds: answer once a line of output matches this regex
    until_pattern: Option<String>,
}

/// The reply. The order of fields is the order of keys.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ExecuteReply {
    success: bool,
    ref_id: Option<String>,
    error: Option<String>,
    #[serde(skip_serializing_if = "is_nothing")]
    pid: u32,
    #[serde(skip_serializing_if = "is_nothing")]
    cwd: String,
    #[serde(skip_serializing_if = "is_nothing")]
    hint: String,
    #[serde(skip_serializing_if = "is_nothing")]
    also_ended: Vec<String>,
    #[serde(skip_serializing_if = "is_nothing")]
    also_started: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<JsonObject>")]
    result: Option<JobView>,
}

impl From<String> for ExecuteReply {
    fn from(error: String) -> Self {
        Self { error: Some(error), ..Self::default() }
    }
}

impl Call<'_> {
    pub async fn execute(&self, arguments: JsonObject) -> Result<ExecuteReply, ExecuteReply> {
        let Server { registry, connection, untold, .. } = self.server;
        let params: ExecuteParams = params::read(arguments)?;
        let pattern = params.until_pattern.as_deref();
        let pattern = pattern.map(pattern::compile).transpose()?;
        let kill_after = params.kill_after_seconds.map(Duration::from_secs_f64);
        let start = Start {
            command: params.cmd,
            cwd: params.cwd,
            stdin: params.stdin,
            keep_stdin_open: params.keep_stdin_open.unwrap_or_default(),
            kill_after,
        };
        let started = registry.start(start, connection, &self.context.ct).await;
        let job = started.map_err(|error| self.explain(&error))?;
        // The reply tells the id; once the call is cancelled, another reply has to.
        lock(untold).push((job.id(), self.context.ct.clone()));
        let mut ended = None;
        let mut reply = ExecuteReply {
            success: true,
            ref_id: Some(job.id().to_string()),
            pid: job.pid(),
            cwd: job.cwd().display().to_string(),
            ..ExecuteReply::default()
        };
        if params.wait_seconds.is_some() {
            let reading = self.reading(params.wait_seconds);
            let mut view = self.look(&job, pattern, reading).await;
            ended = (!view.running).then(|| job.clone());
            reply.hint = std::mem::take(&mut view.hint);
            view.ref_id.clear();
            reply.result = Some(view);
        } else {
            reply.hint = format!(
                "Call get_command_background_result with ref_id=\"{}\" and wait_seconds={}{} when you need its result",
                job.id(),
                self.cap().as_secs_f64(),
                match pattern {
                    Some(_) => ", and until_pattern, which needs wait_seconds",
                    None => "",
                }
            );
        }
        if let Some(limit) = kill_after.filter(|limit| *limit > LONG_TIME_LIMIT) {
            let seconds = limit.as_secs_f64();
            reply.hint = format!(
                "kill_after_seconds={seconds} is {:.1} days: the unit is seconds; clean up and start again if that was not meant",
                seconds / 86_400.0
            );
        }
        (reply.also_ended, reply.also_started) = self.news(Some(job.id()), ended, ALSO_ENDED).await;
        Ok(reply)
    }
}
