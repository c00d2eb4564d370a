//! `get_command_background_result`: waits for a job, or for a line of its output, and reads it.

use regex::Regex;
use rmcp::model::JsonObject;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::timeout;
use uuid::Uuid;

use super::call::Call;
use super::hints::bash_syntax::unknown_syntax;
use super::job_view::{JobView, progress};
use super::pattern::{Outcome, Search};
use super::shown::Reading;
use super::{ALSO_ENDED, params, pattern, wait};
use crate::job::{Job, JobError};
use crate::output::cursor::Cursor;
use crate::watcher::SETTLE_WITHIN;

/// The parameters. The comments are the descriptions that agents read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetParams {
    /// The id that execute returned
    #[serde(alias = "id", deserialize_with = "params::id")]
    ref_id: String,
    /// Wait up to this long for the end or the pattern; default 0
    #[serde(default, deserialize_with = "params::seconds")]
    wait_seconds: Option<f64>,
    /// Regex for one line of output; searched from cursor, else from the start
    until_pattern: Option<String>,
    /// "start" or the cursor of an earlier reply: only what comes after it, oldest first
    cursor: Option<String>,
    /// Characters of output in the reply, at most 100000
    #[serde(default, deserialize_with = "params::characters")]
    #[schemars(with = "Option<u64>")]
    max_chars: Option<usize>,
}

impl Call<'_> {
    pub async fn get(&self, arguments: JsonObject) -> Result<JobView, JobView> {
        let sent = params::ref_id_as_sent(&arguments);
        // Whatever is wrong with the call, the job is as it is.
        let refused = |message| match self.find(&sent) {
            Ok(job) => JobView::refused(&job, message),
            Err(_) => JobView::from(message),
        };
        let params: GetParams = params::read(arguments).map_err(refused)?;
        let job = self.find(&params.ref_id).map_err(|error| {
            let state = match error {
                JobError::Expired { .. } => "expired",
                _ => "unknown",
            };
            JobView { state, ..JobView::from(self.explain(&error)) }
        })?;
        let pattern = params.until_pattern.as_deref();
        let pattern = pattern.map(pattern::compile).transpose().map_err(refused)?;
        let cursor = params.cursor.as_deref().map(str::parse::<Cursor>);
        let cursor = cursor.transpose().map_err(refused)?;
        let max_chars = params.max_chars;
        let reading = Reading { cursor, max_chars, ..self.reading(params.wait_seconds) };
        let mut view = self.look(&job, pattern, reading).await;
        let ended = (!view.running).then_some(job);
        (view.also_ended, view.also_started) = self.news(None, ended, ALSO_ENDED).await;
        Ok(view)
    }

    /// Waits as asked, then reads.
    pub(super) async fn look(
        &self,
        job: &Job,
        pattern: Option<Regex>,
        reading: Reading,
    ) -> JobView {
        let _reading = job.reading();
        let search = match pattern {
            None if !job.is_running() || reading.wait.asked.is_zero() => None,
            // Boxed, so that a call which does not wait is not as large as one that does.
            pattern => Box::pin(self.wait_for(job, pattern, reading)).await,
        };
        let registry = &self.server.registry;
        if job.is_alive() {
            registry.look_for_orphans();
        }
        let is_absent = matches!(search, Some(Outcome::Absent));
        if is_absent || (!job.is_running() && registry.usage(job).pids.is_empty()) {
            // What was the last to hold the pipes closed them as it ended, and is gone in a moment. What is gone is told by the
            // watcher, with its last words.
            let mut record = job.record();
            let is_gone = record.wait_for(|record| record.leftovers.is_empty());
            drop(timeout(SETTLE_WITHIN, is_gone).await);
        }
        let is_last = reading.is_last || self.server.closing.is_cancelled();
        let reading = Reading { is_last, ..reading };
        let mut view = JobView::of(job, registry, reading, search).await;
        let hint = unknown_syntax(&[&view.error, &view.output]);
        if let Some(hint) = hint.filter(|_| !is_last) {
            hint.clone_into(&mut view.hint);
        }
        view
    }

    /// Waits for the pattern, or without one for the end: what the search came to, if there was one.
    async fn wait_for(
        &self,
        job: &Job,
        pattern: Option<Regex>,
        reading: Reading,
    ) -> Option<Outcome> {
        let store = self.server.registry.store();
        let status = || progress(job, store);
        let patience = self.patience(reading.wait);
        let Some(pattern) = pattern else {
            patience.until(wait::for_end(job), status).await;
            return None;
        };
        let search = Search::new(job, store, pattern, reading.cursor);
        Some(search.run(&patience, status).await)
    }

    pub(super) fn reading(&self, wait_seconds: Option<f64>) -> Reading {
        let default_chars = self.server.registry.config().max_chars;
        Reading { wait: self.wait(wait_seconds), default_chars, ..Reading::default() }
    }

    /// The job that the client names.
    pub(super) fn find(&self, ref_id: &str) -> Result<Job, JobError> {
        let id = Uuid::try_parse(ref_id.trim())
            .map_err(|_| JobError::NotAnId { given: ref_id.to_owned() })?;
        self.server.registry.get(id)
    }
}
