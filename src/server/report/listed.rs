//! How jobs become the entries of a list.

use super::{Course, live_usage, seconds};
use crate::format::truncate;
use crate::job::{Job, Snapshot};
use crate::process::tree::Usage;
use crate::server::wire::ListEntry;

/// Most characters of the command.
const COMMAND_CHARS: usize = 200;

/// The entries of these jobs in the list.
pub(crate) async fn list_entries(jobs: impl Iterator<Item = Job>) -> Vec<ListEntry> {
    let snapshots: Vec<Snapshot> = jobs.map(|job| job.snapshot()).collect();
    if !snapshots.iter().any(|snapshot| snapshot.job.is_alive()) {
        return snapshots
            .iter()
            .map(|snapshot| list_entry(snapshot, &Usage::default()))
            .collect();
    }
    snapshots
        .iter()
        .map(|snapshot| list_entry(snapshot, &live_usage(snapshot)))
        .collect()
}

fn list_entry(snapshot: &Snapshot, usage: &Usage) -> ListEntry {
    let job = &snapshot.job;
    let course = Course::of(snapshot);
    ListEntry {
        ref_id: job.id().to_string(),
        running: course.running,
        created_at: course.created_at,
        cmd: truncate(job.command(), COMMAND_CHARS),
        state: course.state,
        returncode: course.returncode,
        signal: course.signal,
        pid: if course.running { job.pid() } else { 0 },
        cwd: if course.running {
            job.cwd().display().to_string()
        } else {
            String::new()
        },
        elapsed_seconds: course.elapsed_seconds,
        silent_seconds: course.silent_seconds,
        processes: usage.pids.len(),
        cpu_seconds: seconds(usage.cpu),
        memory_bytes: usage.memory_bytes,
        finished_at: course.finished_at.unwrap_or_default(),
    }
}
