//! How a job becomes a reply: what is read of its output, what its processes use, and what to do next.

mod course;
mod listed;
mod shown;

use std::time::Duration;

use course::{Course, seconds};
pub(crate) use listed::list_entries;
pub(crate) use shown::Reading;
use shown::show;

use super::hints::{self, Facts};
use super::pattern::Outcome;
use super::texts;
use super::wire::GetReply;
use crate::format::truncate;
use crate::job::{Captured, Job, Snapshot};
use crate::output::segments::{StreamKind, first_path};
use crate::output::store::Store;
use crate::process::tree::{Usage, usage};

/// Most characters of the command in a reply.
const COMMAND_CHARS: usize = 1000;

/// Characters of the tail in which progress looks for the last line.
const PROGRESS_CHARS: usize = 600;

/// What the call knows beyond the job itself.
#[derive(Debug, Default)]
pub(crate) struct Circumstances {
    /// What the search for a pattern came to, if there was one.
    pub(crate) search: Option<Outcome>,
    pub(crate) wait: hints::Wait,
    /// What the tree had used when the wait began.
    pub(crate) cpu_before: Option<Duration>,
}

/// The reply about one job, without what concerns the conversation (`also_ended`, `also_started`).
pub(crate) async fn job_reply(
    job: &Job,
    store: &Store,
    reading: Reading,
    circumstances: Circumstances,
) -> GetReply {
    let snapshot = job.snapshot();
    let shown = show(&snapshot, store, reading).await;
    let usage = live_usage(&snapshot);
    let mut reply = described(&snapshot, &usage);
    let facts = Facts {
        snapshot: &snapshot,
        unfinished: &shown.unfinished,
        cut: shown.excerpt.cut.as_ref(),
        max_chars_given: reading.max_chars.is_some(),
        next: &shown.excerpt.next,
        with_cursor: reading.cursor.is_some(),
        more: shown.excerpt.more,
        search: circumstances.search.as_ref(),
        wait: circumstances.wait,
        idle_cpu: circumstances
            .cpu_before
            .is_some_and(|before| before == usage.cpu),
        output_path: None,
        disk_silent: store.stalled(),
    };
    let record = &snapshot.record;
    let dropped = record.stdout.dropped() + record.stderr.dropped();
    let partial =
        snapshot.is_running() || shown.excerpt.cut.is_some() || shown.excerpt.more || dropped > 0;
    let directory = store.existing().filter(|_| partial && !reading.is_last);
    let path = |kind, captured: &Captured| {
        let path = first_path(directory.as_ref()?, job.id(), kind, captured)?;
        Some(path.display().to_string())
    };
    if partial {
        reply.output_bytes = record.stdout.end;
        reply.error_bytes = record.stderr.end;
        reply.output_path = path(StreamKind::Stdout, &record.stdout).unwrap_or_default();
        reply.error_path = path(StreamKind::Stderr, &record.stderr).unwrap_or_default();
    }
    reply.dropped_bytes = dropped;
    if (partial || reading.cursor.is_some()) && !reading.is_last {
        // A finished job that was cut is read on from the gap, everything else from the end of what was shown.
        let from_gap = shown
            .excerpt
            .cut
            .as_ref()
            .filter(|_| !snapshot.is_running())
            .map(|cut| cut.cursor);
        reply.cursor = from_gap.unwrap_or(shown.excerpt.next).to_string();
    }
    if !reading.is_last {
        reply.hint = hints::for_job(&Facts {
            output_path: Some(&reply.output_path),
            ..facts
        })
        .unwrap_or_default();
    }
    if let Some(Outcome::Found(found)) = circumstances.search {
        reply.matched = Some(found);
    }
    reply.output = shown.excerpt.output;
    reply.error = shown.excerpt.error;
    reply
}

/// What a call that waits for this job says in between.
pub(crate) async fn progress(job: &Job, store: &Store) -> String {
    let snapshot = job.snapshot();
    let bytes = snapshot.record.stdout.end + snapshot.record.stderr.end;
    let reading = Reading {
        cursor: None,
        max_chars: None,
        default_chars: PROGRESS_CHARS,
        tail_only: true,
        is_last: false,
    };
    let shown = show(&snapshot, store, reading).await;
    let last_line = |text: &str| {
        text.trim_end()
            .lines()
            .next_back()
            .map(str::trim)
            .unwrap_or_default()
            .to_owned()
    };
    let (output, error) = (
        last_line(&shown.excerpt.output),
        last_line(&shown.excerpt.error),
    );
    let last = if output.is_empty() { error } else { output };
    texts::progress(snapshot.elapsed(), bytes, &last)
}

/// What the tree has used until now, if it may be worth comparing after a wait.
pub(crate) async fn cpu_now(job: &Job) -> Option<Duration> {
    let snapshot = job.snapshot();
    if snapshot.is_running() {
        Some(live_usage(&snapshot).cpu)
    } else {
        None
    }
}

fn live_usage(snapshot: &Snapshot) -> Usage {
    match snapshot.job.is_alive() {
        true => usage(snapshot.job.pid(), &snapshot.record.leftovers),
        false => Usage::default(),
    }
}

/// The reply to a call about this job that cannot be carried out as it was made.
pub(crate) fn refused_reply(job: &Job, message: String) -> GetReply {
    let described = described(&job.snapshot(), &Usage::default());
    GetReply {
        error: message,
        ..described
    }
}

/// Everything that is not output.
fn described(snapshot: &Snapshot, usage: &Usage) -> GetReply {
    let job = &snapshot.job;
    let course = Course::of(snapshot);
    GetReply {
        running: course.running,
        state: course.state,
        returncode: course.returncode,
        signal: course.signal,
        cmd: Some(truncate(job.command(), COMMAND_CHARS)),
        created_at: Some(course.created_at),
        finished_at: course.finished_at,
        ref_id: job.id().to_string(),
        elapsed_seconds: course.elapsed_seconds,
        silent_seconds: course.silent_seconds,
        processes: usage.pids.len(),
        cpu_seconds: seconds(usage.cpu),
        memory_bytes: usage.memory_bytes,
        leftover_processes: match (course.running, usage.pids.is_empty()) {
            (true, _) => Vec::new(),
            (false, false) => usage.pids.clone(),
            // Not looked at, or no descriptor is left to look with: those that are known in any case.
            (false, true) => snapshot.record.leftovers.clone(),
        },
        ..GetReply::default()
    }
}
