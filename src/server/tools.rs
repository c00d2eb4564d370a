//! What each tool does: reads the parameters, has the registry do it, and makes the reply.

mod cleanup;

use std::time::Duration;

use rmcp::model::CallToolResult;
use uuid::Uuid;

use super::arguments::Arguments;
use super::call::{Call, Told, result};
use super::hints::bash_syntax::in_plain_sh;
use super::notices::News;
use super::pattern::{Outcome, Pattern, Search};
use super::report::{
    Circumstances, Reading, cpu_now, job_reply, list_entries, progress, refused_reply,
};
use super::wire::{
    CleanupReply, ExecuteParams, ExecuteReply, GetParams, GetReply, ListParams, ListReply, Reply,
};
use super::{Context, EXECUTE, GET, LIST, Server, hints, texts, wait};
use crate::config::MAX_CHARS_LIMIT;
use crate::job::{Job, JobError};
use crate::output::cursor::Cursor;
use crate::registry::Start;

/// Ids of newly ended jobs in the hint of a list.
const NEWLY_ENDED: usize = 5;

/// Finished jobs in a list.
const LISTED_FINISHED: usize = 20;

/// Beyond a day, seconds were probably meant to be milliseconds.
const LONG_TIME_LIMIT: Duration = Duration::from_secs(86_400);

impl Server {
    pub(super) async fn try_execute(
        &self,
        call: &Call<'_>,
        arguments: Arguments,
    ) -> Result<Told<ExecuteReply>, String> {
        let params = ExecuteParams::read(arguments)?;
        let pattern = params
            .until_pattern
            .as_deref()
            .map(Pattern::new)
            .transpose()?;
        let kill_after = params.kill_after_seconds.map(Duration::from_secs_f64);
        let start = Start {
            command: params.cmd,
            cwd: params.cwd,
            stdin: params.stdin,
            kill_after,
        };
        let job = self
            .registry
            .start(start, &call.context.ct)
            .await
            .map_err(|error| texts::job_error(&error))?;
        self.notices.started(job.id(), &call.context.ct);
        let mut news = News {
            started: vec![job.id()],
            ended: Vec::new(),
        };
        let mut reply = ExecuteReply {
            success: true,
            ref_id: Some(job.id().to_string()),
            pid: job.pid(),
            cwd: job.cwd().display().to_string(),
            ..ExecuteReply::default()
        };
        if let Some(seconds) = params.wait_seconds {
            let wait = call.wait(seconds);
            let look = self.look(call, &job, wait, pattern, self.reading(None, None));
            let mut result = look.await?;
            news.note_end(&job, result.running);
            reply.hint = std::mem::take(&mut result.hint);
            result.ref_id.clear();
            reply.result = Some(result);
        } else {
            reply.hint = texts::next_after_start(job.id(), call.cap(), pattern.is_some());
        }
        if let Some(limit) = kill_after.filter(|limit| *limit > LONG_TIME_LIMIT) {
            reply.hint = texts::long_time_limit(limit);
        }
        (reply.also_ended, reply.also_started) = call.side_news(&mut news);
        Ok((reply, news))
    }

    pub(super) async fn try_get(
        &self,
        call: &Call<'_>,
        arguments: Arguments,
    ) -> Result<Told<GetReply>, GetReply> {
        let sent = arguments.as_sent("ref_id");
        let params = GetParams::read(arguments).map_err(|message| match self.find(&sent) {
            Ok(job) => refused_reply(&job, message),
            Err(_) => GetReply::failure("", message),
        })?;
        let job = self.find(&params.ref_id).map_err(|error| match error {
            NotFound::NotAnId(message) => GetReply::failure("", message),
            NotFound::Gone(error) => {
                let (state, message) = match error {
                    JobError::Expired { id } => {
                        let (age, config) = (self.registry.age(), self.registry.config());
                        ("expired", texts::expired(id, age, config))
                    }
                    error => ("unknown", texts::job_error(&error)),
                };
                GetReply {
                    state,
                    ..GetReply::failure("", message)
                }
            }
        })?;
        // Whatever is wrong with the call from here on, the job is as it is.
        let reply = self.read_job(call, &job, &params).await;
        let mut reply = reply.map_err(|message| refused_reply(&job, message))?;
        let mut news = News::default();
        news.note_end(&job, reply.running);
        (reply.also_ended, reply.also_started) = call.side_news(&mut news);
        Ok((reply, news))
    }

    async fn read_job(
        &self,
        call: &Call<'_>,
        job: &Job,
        params: &GetParams,
    ) -> Result<GetReply, String> {
        let pattern = params
            .until_pattern
            .as_deref()
            .map(Pattern::new)
            .transpose()?;
        let cursor = params
            .cursor
            .as_deref()
            .map(str::parse::<Cursor>)
            .transpose();
        let cursor = cursor.map_err(|error| error.to_string())?;
        let wait = call.wait(params.wait_seconds.unwrap_or_default());
        self.look(
            call,
            job,
            wait,
            pattern,
            self.reading(cursor, params.max_chars),
        )
        .await
    }

    pub(super) async fn try_list(
        &self,
        call: &Call<'_>,
        arguments: Arguments,
    ) -> Result<Told<ListReply>, String> {
        let params = ListParams::read(arguments)?;
        let wait = call.wait(params.wait_seconds.unwrap_or_default());
        let (mut hint, mut news) = (String::new(), News::default());
        if !wait.asked.is_zero() {
            let running = || self.registry.list(0).0.len();
            let status = || std::future::ready(texts::waiting_for_any(running()));
            let ended = call
                .patience(wait)
                .until(wait::for_any_end(&self.registry), status)
                .await;
            if ended.is_some() {
                // They may be older than what the list shows.
                news.ended = self.registry.unreported(NEWLY_ENDED);
                hint = texts::newly_ended(&news.ended).unwrap_or_default();
            } else if !self.closing.is_cancelled() {
                hint = texts::none_ended(wait.asked, wait.cap);
            }
        }
        self.registry.look_for_orphans();
        let (running, finished, omitted) = self.registry.list(LISTED_FINISHED);
        news.ended.extend(finished.iter().cloned());
        let processes = list_entries(running.into_iter().chain(finished)).await;
        news.started = self.notices.untold_starts(&self.registry);
        let also_started = news.started.iter().map(Uuid::to_string).collect();
        let reply = ListReply {
            success: true,
            count: processes.len(),
            processes,
            omitted,
            hint,
            also_started,
            ..ListReply::default()
        };
        Ok((reply, news))
    }

    pub(super) fn call(&self, context: Context) -> Call<'_> {
        Call::new(&self.registry, &self.notices, &self.closing, context)
    }

    /// Waits as asked, then reads.
    async fn look(
        &self,
        call: &Call<'_>,
        job: &Job,
        wait: hints::Wait,
        pattern: Option<Pattern>,
        reading: Reading,
    ) -> Result<GetReply, String> {
        let Some(_reading) = job.reading() else {
            return Err(texts::job_error(&JobError::CleanedUp { id: job.id() }));
        };
        let mut circumstances = Circumstances {
            wait,
            ..Circumstances::default()
        };
        if hints::may_be_silent_for_long(&job.snapshot(), wait) {
            circumstances.cpu_before = cpu_now(job).await;
        }
        if pattern.is_some() || (job.is_running() && !wait.asked.is_zero()) {
            // Boxed, so that a call which does not wait is not as large as one that does.
            let waiting = Box::pin(self.wait_for(call, job, wait, pattern, reading.cursor));
            circumstances.search = waiting.await;
        }
        if job.is_running() {
            self.registry.look_for_orphans();
        }
        let reading = Reading {
            is_last: self.is_last(job),
            ..reading
        };
        let mut reply = job_reply(job, self.registry.store(), reading, circumstances).await;
        let shell = &self.registry.config().shell;
        if let Some(hint) = in_plain_sh(shell, &[&reply.error, &reply.output]) {
            reply.hint = hint;
        }
        Ok(reply)
    }

    /// Waits for the pattern, or without one for the end: what the search came to, if there was one.
    async fn wait_for(
        &self,
        call: &Call<'_>,
        job: &Job,
        wait: hints::Wait,
        pattern: Option<Pattern>,
        cursor: Option<Cursor>,
    ) -> Option<Outcome> {
        let store = self.registry.store();
        let status = || progress(job, store);
        let patience = call.patience(wait);
        let Some(pattern) = pattern else {
            patience.until(wait::for_end(job), status).await;
            return None;
        };
        let search = Search::new(job, store, pattern, cursor);
        Some(search.run(&patience, status).await)
    }

    fn reading(&self, cursor: Option<Cursor>, max_chars: Option<u64>) -> Reading {
        let max_chars = max_chars.map(|chars| {
            usize::try_from(chars)
                .unwrap_or(usize::MAX)
                .min(MAX_CHARS_LIMIT)
        });
        Reading {
            cursor,
            max_chars,
            default_chars: self.registry.config().max_chars,
            tail_only: false,
            is_last: false,
        }
    }

    /// Whether a reply about this job is the last there is to see of it: it is being taken away, or the server ends.
    fn is_last(&self, job: &Job) -> bool {
        let is_leaving = job.is_leaving() || self.registry.find(job.id()).is_none();
        (is_leaving && !job.is_running()) || self.closing.is_cancelled()
    }

    /// The job that the client names.
    fn find(&self, ref_id: &str) -> Result<Job, NotFound> {
        let id = Uuid::try_parse(ref_id.trim())
            .map_err(|_| NotFound::NotAnId(texts::not_an_id(ref_id)))?;
        self.registry.get(id).map_err(NotFound::Gone)
    }

    /// What a call of this tool answers when its handler has failed.
    pub(super) fn failure_of(tool: &str, message: String) -> CallToolResult {
        match tool {
            EXECUTE => result(&ExecuteReply::failure("", message), true),
            GET => result(&GetReply::failure("", message), true),
            LIST => result(&ListReply::failure("", message), true),
            _ => result(&CleanupReply::failure("", message), true),
        }
    }
}

enum NotFound {
    NotAnId(String),
    Gone(JobError),
}
