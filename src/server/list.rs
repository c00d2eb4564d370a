//! `list_background_processes`: which jobs there are, and with `wait_seconds` a wait until one of them ends.

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::hints::Wait;
use super::job_view::{Entry, entry, is_nothing};
use super::{params, wait};
use crate::format::human_duration;
use crate::job::Job;

/// Ids of newly ended jobs in the hint.
const NEWLY_ENDED: usize = 5;

/// Finished jobs in a list.
const LISTED_FINISHED: usize = 20;

/// The parameters. The comments are the descriptions that agents read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListParams {
    /// Wait up to this long until a command ends that no reply has reported; default 0
    #[serde(default, deserialize_with = "params::seconds")]
    wait_seconds: Option<f64>,
}

/// The reply. The order of fields is the order of keys.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ListReply {
    success: bool,
    count: usize,
    #[schemars(with = "Vec<JsonObject>")]
    processes: Vec<Entry>,
    #[serde(skip_serializing_if = "is_nothing")]
    omitted: usize,
    // Only in a failure.
    #[serde(skip_serializing_if = "is_nothing")]
    error: String,
    #[serde(skip_serializing_if = "is_nothing")]
    hint: String,
    #[serde(skip_serializing_if = "is_nothing")]
    also_started: Vec<String>,
}

impl From<String> for ListReply {
    fn from(error: String) -> Self {
        Self { error, ..Self::default() }
    }
}

impl Call<'_> {
    pub async fn list(&self, arguments: JsonObject) -> Result<ListReply, ListReply> {
        let registry = &self.server.registry;
        let params: ListParams = params::read(arguments)?;
        let wait = self.wait(params.wait_seconds);
        let (mut hint, mut newly) = (String::new(), Vec::new());
        if !wait.asked.is_zero() {
            let status = async || match registry.counts().0 {
                1 => "1 job running, it has not ended yet".to_owned(),
                running => format!("{running} jobs running, none has ended yet"),
            };
            let patience = self.patience(wait);
            let ended = patience.until(wait::for_any_end(registry), status);
            if ended.await.is_some() {
                // They may be older than what the list shows.
                newly = registry.unreported(LISTED_FINISHED);
                hint = newly_ended(&newly);
            } else if !self.server.closing.is_cancelled() {
                hint = none_ended(wait);
            }
        }
        registry.look_for_orphans();
        let (running, mut finished, mut omitted) = registry.list(LISTED_FINISHED);
        if !wait.asked.is_zero() {
            // A call that waits knows the others: five jobs that are waited for in turn would be listed fifteen times.
            (finished, omitted) = (newly, 0);
        }
        let default_cwd = &self.server.connection.directory.path;
        let jobs = running.iter().chain(&finished);
        let processes: Vec<Entry> = jobs.map(|job| entry(job, registry, default_cwd)).collect();
        let (_, also_started) = self.news(None, finished, 0).await;
        let reply = ListReply {
            success: true,
            count: processes.len(),
            processes,
            omitted,
            hint,
            also_started,
            ..ListReply::default()
        };
        Ok(reply)
    }
}

fn newly_ended(jobs: &[Job]) -> String {
    let ids: Vec<String> = jobs.iter().take(NEWLY_ENDED).map(|job| job.id().to_string()).collect();
    let Some(first) = ids.first() else {
        return String::new();
    };
    format!(
        "Ended since you were last told: {}. Call get_command_background_result with ref_id=\"{first}\" for its output",
        ids.join(", ")
    )
}

fn none_ended(wait: Wait) -> String {
    format!(
        "No job ended within {}{}: call list_background_processes with wait_seconds={}",
        human_duration(wait.asked.min(wait.cap)),
        match wait.asked > wait.cap {
            true => " (the most for one call; the unit is seconds)",
            false => "",
        },
        wait.cap.as_secs_f64()
    )
}
