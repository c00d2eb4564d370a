//! How a job has gone so far, as replies say it.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::job::{Exit, Finished, Snapshot};
use crate::process::signals;

/// What every reply about a job says of it.
pub(super) struct Course {
    pub(super) running: bool,
    pub(super) state: &'static str,
    pub(super) returncode: Option<i32>,
    pub(super) signal: String,
    pub(super) created_at: String,
    pub(super) finished_at: Option<String>,
    pub(super) elapsed_seconds: f64,
    pub(super) silent_seconds: f64,
}

impl Course {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let running = snapshot.is_running();
        let finished = snapshot.finished();
        let (returncode, signal) = finished.map(exit_codes).unwrap_or_default();
        Self {
            running,
            state: finished.map_or("running", Finished::name),
            returncode,
            signal,
            created_at: timestamp(snapshot.job.created().wall),
            finished_at: finished.map(|finished| timestamp(finished.at.wall)),
            elapsed_seconds: seconds(snapshot.elapsed()),
            silent_seconds: if running {
                seconds(snapshot.silent())
            } else {
                0.0
            },
        }
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
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
