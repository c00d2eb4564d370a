//! How jobs become the entries of a list.

use super::{described, measure};
use crate::job::{Job, Snapshot};
use crate::process::tree::Usage;
use crate::server::wire::ListEntry;
use crate::threads::off_thread;
use crate::words::cut;

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
    let measured = move || {
        snapshots
            .iter()
            .map(|snapshot| list_entry(snapshot, &measure(snapshot)))
            .collect()
    };
    off_thread(measured).await.unwrap_or_default()
}

fn list_entry(snapshot: &Snapshot, usage: &Usage) -> ListEntry {
    let job = &snapshot.job;
    let described = described(snapshot, usage);
    let running = described.running;
    ListEntry {
        ref_id: described.ref_id,
        running,
        created_at: described.created_at.unwrap_or_default(),
        cmd: cut(job.command(), COMMAND_CHARS),
        state: described.state,
        returncode: described.returncode,
        signal: described.signal,
        pid: if running { job.pid() } else { 0 },
        cwd: if running {
            job.cwd().display().to_string()
        } else {
            String::new()
        },
        elapsed_seconds: described.elapsed_seconds,
        silent_seconds: described.silent_seconds,
        processes: described.processes,
        cpu_seconds: described.cpu_seconds,
        memory_bytes: described.memory_bytes,
        finished_at: described.finished_at.unwrap_or_default(),
    }
}
