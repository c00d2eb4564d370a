//! What cleanup does: ends a job, tells the last of it, and forgets it.

use std::time::Duration;

use super::NotFound;
use crate::job::{Job, JobError};
use crate::server::arguments::Arguments;
use crate::server::call::{Call, Told};
use crate::server::notices::News;
use crate::server::report::{Circumstances, Reading, job_reply};
use crate::server::wire::{CleanupParams, CleanupReply, GetReply};
use crate::server::{Server, texts};

impl Server {
    pub(in crate::server) async fn try_cleanup(
        &self,
        call: &Call<'_>,
        arguments: Arguments,
    ) -> Result<Told<CleanupReply>, String> {
        let params = CleanupParams::read(arguments)?;
        let keep = params.keep_result.unwrap_or_default();
        let job = match self.find(&params.ref_id) {
            Ok(job) => job,
            Err(NotFound::Gone(JobError::CleanedUp { id } | JobError::Expired { id })) => {
                let message = texts::already_gone().to_owned();
                let reply = CleanupReply {
                    success: true,
                    ref_id: id.to_string(),
                    message,
                    ..CleanupReply::default()
                };
                return Ok((reply, News::default()));
            }
            Err(NotFound::Gone(error)) => return Err(texts::job_error(&error)),
            Err(NotFound::NotAnId(message)) => return Err(message),
        };
        let before = job.snapshot();
        let grace = params.grace_seconds.map_or(
            self.registry.config().stop_grace_seconds,
            Duration::from_secs_f64,
        );
        let removal = (!keep).then(|| job.announce_removal());
        let attempt = job.request_stop(grace);
        let survivors = tokio::select! {
            biased;
            survivors = job.ended(attempt) => survivors,
            // The end of the server ends what is left.
            () = self.closing.cancelled() => Vec::new(),
        };
        let success = !job.is_alive();
        // What could not be ended stays.
        let removal = removal.filter(|_| success);
        // What one call keeps, another may be about to remove, or have removed.
        let is_last = self.is_last(&job);
        let result = self.last_words(&job, is_last).await;
        // Until here the job is found, as it is. Somebody else may be at the same work.
        if removal.is_some() && self.registry.remove(&job) {
            self.registry.discard(job.clone()).await;
        }
        let message = match success || !survivors.is_empty() {
            true => texts::cleaned_up(&before, !is_last, &survivors),
            false => texts::server_ends().to_owned(),
        };
        let mut news = News::default();
        news.note_end(&job, result.running);
        let (also_ended, also_started) = call.side_news(&mut news);
        let result = Some(GetReply {
            ref_id: String::new(),
            ..result
        });
        let ref_id = job.id().to_string();
        Ok((
            CleanupReply {
                success,
                ref_id,
                message,
                result,
                survivors,
                also_ended,
                also_started,
            },
            news,
        ))
    }

    /// What is told of a job that was stopped. The end of its output, if this is the last that is seen of it.
    async fn last_words(&self, job: &Job, is_last: bool) -> GetReply {
        let _reading = job.reading();
        let reading = Reading {
            tail_only: is_last,
            is_last,
            ..self.reading(None, None)
        };
        let store = self.registry.store();
        job_reply(job, store, reading, Circumstances::default()).await
    }
}
