//! `cleanup_background_process`: ends a job with all its processes, shows the last of its output, and forgets it.

use std::time::Duration;

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::job_view::{JobView, is_nothing};
use super::shown::Reading;
use super::{ALSO_ENDED, params};
use crate::job::{Cause, Force, JobError, Snapshot};
use crate::process::signals::{KILL, TERMINATE};

/// The parameters. The comments are the descriptions that agents read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CleanupParams {
    /// The id that execute returned
    #[serde(alias = "id", deserialize_with = "params::id")]
    ref_id: String,
    /// Time between TERM and KILL; default 3, and 0.1 kills at once
    #[serde(default, deserialize_with = "params::seconds")]
    grace_seconds: Option<f64>,
    /// Stop the command but keep its result readable
    #[serde(default, deserialize_with = "params::flag")]
    keep_result: Option<bool>,
}

/// The reply. The order of fields is the order of keys.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct CleanupReply {
    success: bool,
    ref_id: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<JsonObject>")]
    result: Option<JobView>,
    #[serde(skip_serializing_if = "is_nothing")]
    survivors: Vec<u32>,
    #[serde(skip_serializing_if = "is_nothing")]
    also_ended: Vec<String>,
    #[serde(skip_serializing_if = "is_nothing")]
    also_started: Vec<String>,
}

impl From<String> for CleanupReply {
    fn from(message: String) -> Self {
        Self { message, ..Self::default() }
    }
}

impl Call<'_> {
    pub async fn cleanup(&self, arguments: JsonObject) -> Result<CleanupReply, CleanupReply> {
        let registry = &self.server.registry;
        let sent = params::ref_id_as_sent(&arguments);
        let refused =
            |message| CleanupReply { ref_id: sent.clone(), message, ..CleanupReply::default() };
        let params: CleanupParams = params::read(arguments).map_err(refused)?;
        let job = match self.find(&params.ref_id) {
            Ok(job) => job,
            Err(JobError::CleanedUp { id } | JobError::Expired { id, .. }) => {
                return Ok(CleanupReply {
                    success: true,
                    ref_id: id.to_string(),
                    message:
                        "there was nothing left to do: the job was cleaned up before or has expired"
                            .to_owned(),
                    ..CleanupReply::default()
                });
            }
            Err(error) => return Err(refused(self.explain(&error))),
        };
        let before = job.snapshot();
        let grace = params
            .grace_seconds
            .map_or(registry.config().stop_grace_seconds, Duration::from_secs_f64);
        let keep = params.keep_result.unwrap_or_default();
        let survivors = tokio::select! {
            biased;
            survivors = job.stop(grace) => survivors,
            () = self.server.closing.cancelled() => {
                return Err(refused("the server is ending, and ends its jobs with it".to_owned()));
            }
        };
        let success = !job.is_alive();
        // What could not be ended stays.
        let is_last = success && !keep;
        // Of a job that goes, the end of its output is shown.
        let reading = Reading { tail_only: is_last, is_last, ..self.reading(None) };
        let view = self.look(&job, None, reading).await;
        let result = JobView { ref_id: String::new(), ..view };
        // Until here the job is found, as it is. Another call may be at the same work.
        if is_last && registry.remove(&job) {
            registry.discard(job.clone()).await;
        }
        let message = cleaned_up(&before, &job.snapshot(), !is_last, &survivors);
        let ended = (!result.running).then(|| job.clone());
        let (also_ended, also_started) = self.news(None, ended, ALSO_ENDED).await;
        Ok(CleanupReply {
            success,
            ref_id: job.id().to_string(),
            message,
            result: Some(result),
            survivors,
            also_ended,
            also_started,
        })
    }
}

/// What a cleanup came to.
fn cleaned_up(before: &Snapshot, after: &Snapshot, kept: bool, survivors: &[u32]) -> String {
    if !survivors.is_empty() {
        let pids: Vec<String> = survivors.iter().map(u32::to_string).collect();
        return format!(
            "these processes could not be ended, even with SIGKILL: {}. They may belong to another user or hang in \
             the kernel; the job is kept: call cleanup_background_process again to try once more",
            pids.join(", ")
        );
    }
    // Of processes that were gone before, none was sent a signal.
    let signal = match after.record.force.filter(|_| before.record.gone_at.is_none()) {
        Some(Force::AfterGrace) => format!(" ({TERMINATE} was not enough, {KILL} was sent)"),
        Some(Force::AtOnce) => format!(" ({KILL} at once: {TERMINATE} could not be sent)"),
        None => String::new(),
    };
    let processes = match before.finished().map(|finished| finished.cause) {
        None => "the command was stopped with all its child processes",
        Some(_) if !before.record.leftovers.is_empty() => {
            "the command had ended; the processes it left were stopped"
        }
        Some(Cause::Itself) => "the command had ended by itself",
        Some(Cause::TimeLimit) => "the command had been ended by its time limit",
        Some(Cause::Stopped) => "the command had been stopped before",
    };
    let record = match kept {
        true => "its result stays readable",
        false => "its record and output are deleted",
    };
    format!("{processes}{signal}; {record}")
}
