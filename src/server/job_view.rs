//! A job as replies show it: what get answers, the `result` of execute and cleanup, the entries of a list.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::hints::{self, Facts};
use super::pattern::Outcome;
use super::shown::{Reading, show};
use crate::format::{human_duration, thousands, truncate};
use crate::job::{Exit, Finished, Job, Snapshot};
use crate::output::segments::{STDERR, STDOUT, first_path};
use crate::output::store::Store;
use crate::process::{Usage, signals};
use crate::registry::ProcessRegistry;

/// Most characters of the command in a reply.
const COMMAND_CHARS: usize = 1000;

/// Most characters of the command in a list.
const LISTED_COMMAND_CHARS: usize = 200;

/// Characters of the tail in which progress looks for the last line.
const PROGRESS_CHARS: usize = 600;

/// Leaves a key out when it has nothing to say.
pub fn is_nothing<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A job in a reply. The order of fields is the order of keys.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct JobView {
    pub running: bool,
    pub state: &'static str,
    pub returncode: Option<i32>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub signal: String,
    pub cmd: Option<String>,
    pub created_at: Option<String>,
    pub finished_at: Option<String>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub ref_id: String,
    #[serde(skip_serializing_if = "is_nothing")]
    pub elapsed_seconds: f64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub silent_seconds: f64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub processes: usize,
    #[serde(skip_serializing_if = "is_nothing")]
    pub cpu_seconds: f64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub memory_bytes: u64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub leftover_processes: Vec<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched: Option<String>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub output_bytes: u64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub error_bytes: u64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub dropped_bytes: u64,
    #[serde(skip_serializing_if = "is_nothing")]
    pub output_path: String,
    #[serde(skip_serializing_if = "is_nothing")]
    pub error_path: String,
    #[serde(skip_serializing_if = "is_nothing")]
    pub cursor: String,
    #[serde(skip_serializing_if = "is_nothing")]
    pub hint: String,
    #[serde(skip_serializing_if = "is_nothing")]
    pub also_ended: Vec<String>,
    #[serde(skip_serializing_if = "is_nothing")]
    pub also_started: Vec<String>,
    pub output: String,
    pub error: String,
}

/// A call that names no job there is.
impl From<String> for JobView {
    fn from(error: String) -> Self {
        Self { state: "unknown", error, ..Self::default() }
    }
}

impl JobView {
    /// Everything that is not output.
    fn described(snapshot: &Snapshot, usage: Usage) -> Self {
        let job = &snapshot.job;
        let finished = snapshot.finished();
        let (returncode, signal) = match finished.map(|finished| &finished.exit) {
            Some(Exit::Code(code)) => (Some(*code), String::new()),
            Some(Exit::Signal(number)) => (Some(-number), signals::name(*number)),
            Some(Exit::Lost(_)) | None => (None, String::new()),
        };
        let silent = finished.is_none().then(|| snapshot.silent());
        Self {
            running: finished.is_none(),
            state: finished.map_or("running", Finished::name),
            returncode,
            signal,
            cmd: Some(truncate(job.command(), COMMAND_CHARS)),
            created_at: Some(timestamp(job.created().wall)),
            finished_at: finished.map(|finished| timestamp(finished.at.wall)),
            ref_id: job.id().to_string(),
            elapsed_seconds: seconds(snapshot.elapsed()),
            silent_seconds: seconds(silent.unwrap_or_default()),
            processes: usage.pids.len(),
            cpu_seconds: seconds(usage.cpu),
            memory_bytes: usage.memory_bytes,
            leftover_processes: match finished {
                None => Vec::new(),
                // Without a descriptor to look with, those that are known in any case.
                Some(_) if usage.pids.is_empty() => snapshot.record.leftovers.clone(),
                Some(_) => usage.pids,
            },
            ..Self::default()
        }
    }

    /// The reply about one job, without what concerns the conversation (`also_ended`, `also_started`).
    pub async fn of(
        job: &Job,
        registry: &ProcessRegistry,
        reading: Reading,
        search: Option<Outcome>,
    ) -> Self {
        let (snapshot, store) = (job.snapshot(), registry.store());
        let shown = show(&snapshot, store, reading).await;
        let mut view = Self::described(&snapshot, registry.usage(job));
        let record = &snapshot.record;
        view.dropped_bytes = record.stdout.dropped() + record.stderr.dropped();
        let partial = view.running || shown.cut.is_some() || shown.more || view.dropped_bytes > 0;
        if partial {
            view.output_bytes = record.stdout.end;
            view.error_bytes = record.stderr.end;
        }
        if !reading.is_last {
            if partial {
                let path = |kind, captured| first_path(store, job.id(), kind, captured);
                view.output_path = path(STDOUT, &record.stdout).unwrap_or_default();
                view.error_path = path(STDERR, &record.stderr).unwrap_or_default();
            }
            if partial || reading.cursor.is_some() {
                // A finished job that was cut is read on from the gap, everything else from the end of what was shown.
                let gap = shown.cut.as_ref().filter(|_| !view.running);
                view.cursor = gap.map_or(shown.next, |cut| cut.cursor).to_string();
            }
            let facts = Facts {
                snapshot: &snapshot,
                shown: &shown,
                reading: &reading,
                search: search.as_ref(),
                output_path: &view.output_path,
            };
            view.hint = hints::for_job(&facts);
        }
        if let Some(Outcome::Found(line)) = search {
            view.matched = Some(line);
        }
        view.output = shown.output;
        view.error = shown.error;
        view
    }

    /// The reply to a call about this job that cannot be carried out as it was made.
    pub fn refused(job: &Job, message: String) -> Self {
        Self { error: message, ..Self::described(&job.snapshot(), Usage::default()) }
    }
}

/// A job in a list: keys and values in their order.
#[derive(Debug)]
pub struct Entry(Vec<(&'static str, Value)>);

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// A job as an entry of a list, without output. The directory is told where it is not that of jobs that name none.
pub fn entry(job: &Job, registry: &ProcessRegistry, default_cwd: &Path) -> Entry {
    let view = JobView::described(&job.snapshot(), registry.usage(job));
    let cwd = (job.cwd() != default_cwd).then(|| job.cwd().display().to_string());
    let mut entry: Vec<(&str, Value)> = vec![
        ("running", view.running.into()),
        ("state", view.state.into()),
        ("returncode", view.returncode.into()),
        ("signal", view.signal.into()),
        ("cmd", truncate(job.command(), LISTED_COMMAND_CHARS).into()),
        ("created_at", view.created_at.into()),
        ("finished_at", view.finished_at.into()),
        ("ref_id", view.ref_id.into()),
        ("elapsed_seconds", view.elapsed_seconds.into()),
        ("silent_seconds", view.silent_seconds.into()),
        ("processes", view.processes.into()),
        ("cpu_seconds", view.cpu_seconds.into()),
        ("memory_bytes", view.memory_bytes.into()),
        ("pid", view.running.then(|| job.pid()).into()),
        ("cwd", cwd.into()),
    ];
    let says_nothing = |key: &str, value: &Value| {
        value.is_null() || value == "" || (value.as_f64() == Some(0.0) && key != "returncode")
    };
    entry.retain(|(key, value)| !says_nothing(key, value));
    Entry(entry)
}

/// What a call that waits for this job says in between.
pub async fn progress(job: &Job, store: &Store) -> String {
    let snapshot = job.snapshot();
    let reading = Reading { default_chars: PROGRESS_CHARS, tail_only: true, ..Reading::default() };
    let shown = show(&snapshot, store, reading).await;
    let texts = [&shown.output, &shown.error];
    let last = texts.into_iter().find_map(|text| text.trim_end().lines().next_back());
    format!(
        "running {}, {} bytes of output{}",
        human_duration(snapshot.elapsed()),
        thousands(snapshot.record.stdout.end + snapshot.record.stderr.end),
        last.map_or_else(String::new, |line| format!(", last: {}", truncate(line.trim(), 80)))
    )
}

/// RFC 3339 in UTC, whole seconds, with the offset in figures: every ISO parser reads that.
fn timestamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// Seconds to the millisecond.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
