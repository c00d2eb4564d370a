//! How a job becomes a reply: what is read of its output, what its processes use, and what to do next.

mod listed;

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

pub(crate) use listed::list_entries;

use super::hints::{self, Facts};
use super::search::Outcome;
use super::texts;
use super::wire::GetReply;
use crate::job::{Captured, Exit, Finished, Job, Snapshot};
use crate::output::cursor::{Cursor, Told};
use crate::output::disk::Silent;
use crate::output::segments::{StreamKind, first_path};
use crate::output::store::Store;
use crate::output::streams;
use crate::output::view::{Budget, Cut, last_words, page, summary};
use crate::process::signals;
use crate::process::tree::{Usage, usage};
use crate::threads::off_thread;
use crate::words::cut;

/// Most characters of the command in a reply.
const COMMAND_CHARS: usize = 1000;

/// Characters of the tail that a look at a running job shows when the call names no number.
const RUNNING_CHARS: usize = 2000;

/// Characters of the tail in which progress looks for the last line.
const PROGRESS_CHARS: usize = 600;

/// Output of at most this many bytes is read at once if the disk is quick: it is in the page cache, where it has just been
/// written, and handing the work to another thread and back takes longer than doing it.
const READ_INLINE: u64 = 16 << 10;

/// What of the output a reply shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) cursor: Option<Cursor>,
    pub(crate) max_chars: Option<usize>,
    pub(crate) default_chars: usize,
    /// The tail alone, as of a running job.
    pub(crate) tail_only: bool,
    /// The job and its files are then removed: their paths, and where to read on, are of no use.
    pub(crate) is_last: bool,
}

/// What the call knows beyond the job itself.
#[derive(Debug, Default)]
pub(crate) struct Circumstances {
    /// What the search for a pattern came to, if there was one.
    pub(crate) search: Option<Outcome>,
    pub(crate) wait: hints::Wait,
    /// What the tree had used when the wait began.
    pub(crate) cpu_before: Option<Duration>,
}

/// The output as the reply shows it.
struct Shown {
    output: String,
    error: String,
    cut: Option<Cut>,
    next: Cursor,
    /// There is more to read right after this page.
    more: bool,
    /// The last line of each stream that no line break has ended yet.
    unfinished: Vec<String>,
}

/// The reply about one job, without what concerns the conversation (`also_ended`, `also_started`).
pub(crate) async fn job_reply(
    job: &Job,
    store: &Store,
    reading: Reading,
    circumstances: Circumstances,
) -> GetReply {
    let snapshot = job.snapshot();
    let (mut shown, usage) = tokio::join!(show(&snapshot, store, reading), live_usage(&snapshot));
    if let Some(Outcome::Found(found)) = &circumstances.search {
        shown.next.told = shown.next.told.max(found.told);
    }
    let mut reply = described(&snapshot, &usage);
    let facts = Facts {
        snapshot: &snapshot,
        unfinished: &shown.unfinished,
        cut: shown.cut.as_ref(),
        max_chars_given: reading.max_chars.is_some(),
        next: &shown.next,
        with_cursor: reading.cursor.is_some(),
        more: shown.more,
        search: circumstances.search.as_ref(),
        wait: circumstances.wait,
        idle_cpu: circumstances
            .cpu_before
            .is_some_and(|before| before == usage.cpu),
        output_path: None,
        disk_silent: store.disk().holds_writers_up(),
    };
    let record = &snapshot.record;
    let dropped = record.stdout.dropped() + record.stderr.dropped();
    let partial = snapshot.is_running() || shown.cut.is_some() || shown.more || dropped > 0;
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
            .cut
            .as_ref()
            .filter(|_| !snapshot.is_running())
            .map(|cut| cut.cursor);
        reply.cursor = from_gap.unwrap_or(shown.next).to_string();
    }
    if !reading.is_last {
        reply.hint = hints::for_job(&Facts {
            output_path: Some(&reply.output_path),
            ..facts
        })
        .unwrap_or_default();
    }
    if let Some(Outcome::Found(found)) = circumstances.search {
        reply.matched = Some(found.line);
    }
    reply.output = shown.output;
    reply.error = shown.error;
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
    let (output, error) = (last_line(&shown.output), last_line(&shown.error));
    let last = if output.is_empty() { error } else { output };
    texts::progress(snapshot.elapsed(), bytes, &last)
}

/// What the tree has used until now, if it may be worth comparing after a wait.
pub(crate) async fn cpu_now(job: &Job) -> Option<Duration> {
    let snapshot = job.snapshot();
    if snapshot.is_running() {
        Some(live_usage(&snapshot).await.cpu)
    } else {
        None
    }
}

async fn show(snapshot: &Snapshot, store: &Store, reading: Reading) -> Shown {
    let is_running = snapshot.is_running();
    let record = &snapshot.record;
    if record.stdout.end + record.stderr.end == 0 {
        return Shown {
            output: String::new(),
            error: String::new(),
            cut: None,
            // Whatever was given: a cursor beyond the end stands for the end.
            next: Cursor::default(),
            more: false,
            unfinished: Vec::new(),
        };
    }
    let directory = store.existing();
    let id = snapshot.job.id();
    let (mut stdout, mut stderr) = streams(snapshot, directory.as_ref());
    let all_known = Told {
        stdout: stdout.end,
        stderr: stderr.end,
    };
    let mut read = move || match reading.cursor {
        Some(from) => {
            let max_chars = reading.max_chars.unwrap_or(reading.default_chars);
            let page = page(&mut stdout, &mut stderr, from, max_chars);
            let unfinished = [last_words(&mut stdout), last_words(&mut stderr)];
            Shown {
                output: page.output,
                error: page.error,
                cut: None,
                next: page.next,
                more: page.more,
                unfinished: unfinished.into_iter().flatten().collect(),
            }
        }
        None => {
            let tail_only = (is_running || reading.tail_only) && reading.max_chars.is_none();
            let default_chars = if tail_only {
                RUNNING_CHARS.min(reading.default_chars)
            } else {
                reading.default_chars
            };
            let budget = Budget {
                max_chars: reading.max_chars.unwrap_or(default_chars),
                tail_only,
            };
            let marker = |cut: &Cut| match reading.is_last {
                true => texts::gap_for_good(cut),
                false => texts::gap(id, cut),
            };
            let summary = summary(&mut stdout, &mut stderr, budget, &marker);
            // The end of each stream is in there.
            let unfinished = [&summary.output, &summary.error]
                .into_iter()
                .filter_map(|text| text.rsplit('\n').next())
                .filter(|last| !last.is_empty());
            Shown {
                unfinished: unfinished.map(str::to_owned).collect(),
                output: summary.output,
                error: summary.error,
                cut: summary.cut,
                next: Cursor {
                    told: all_known,
                    ..summary.next
                },
                more: false,
            }
        }
    };
    let disk = store.disk();
    if record.stdout.retained() + record.stderr.retained() <= READ_INLINE && disk.is_quick() {
        return read();
    }
    let why_not = match disk.read(read).await {
        Ok(Ok(shown)) => return shown,
        Ok(Err(failed)) => texts::internal_error(&failed.to_string()),
        Err(Silent) => texts::unreadable(),
    };
    Shown {
        output: String::new(),
        error: why_not,
        cut: None,
        next: reading.cursor.unwrap_or_default(),
        more: false,
        unfinished: Vec::new(),
    }
}

async fn live_usage(snapshot: &Snapshot) -> Usage {
    if !snapshot.job.is_alive() {
        return Usage::default();
    }
    let snapshot = snapshot.clone();
    off_thread(move || measure(&snapshot))
        .await
        .unwrap_or_default()
}

fn measure(snapshot: &Snapshot) -> Usage {
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
    let finished = snapshot.finished();
    let (returncode, signal) = finished.map(exit_codes).unwrap_or_default();
    GetReply {
        running: snapshot.is_running(),
        state: finished.map_or("running", Finished::name),
        returncode,
        signal,
        cmd: Some(cut(job.command(), COMMAND_CHARS)),
        created_at: Some(timestamp(job.created().wall)),
        finished_at: finished.map(|finished| timestamp(finished.at.wall)),
        ref_id: job.id().to_string(),
        elapsed_seconds: seconds(snapshot.elapsed()),
        silent_seconds: if snapshot.is_running() {
            seconds(snapshot.silent())
        } else {
            0.0
        },
        processes: usage.processes,
        cpu_seconds: seconds(usage.cpu),
        memory_bytes: usage.memory_bytes,
        leftover_processes: if snapshot.is_running() {
            Vec::new()
        } else {
            snapshot.record.leftovers.clone()
        },
        ..GetReply::default()
    }
}

/// `returncode` and `signal`: killed by a signal, the code is minus its number.
fn exit_codes(finished: &Finished) -> (Option<i32>, String) {
    match finished.exit {
        Exit::Code(code) => (Some(code), String::new()),
        Exit::Signal(number) => (Some(-number), signals::name(number)),
        Exit::Lost(_) => (None, String::new()),
    }
}

/// RFC 3339 in UTC, whole seconds, with the offset in figures: every ISO parser reads that.
fn timestamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// Seconds to the millisecond.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
