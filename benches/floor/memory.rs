//! Memory and processor time of a server that has little to do.

use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use crate::client::{GET, Link, Server};
use crate::table::Table;

const JOBS: usize = 100;
/// Longer than the server's idle threads live: what a thread has used is not seen any more when it is gone.
const SETTLING: Duration = Duration::from_secs(3);
const QUIET: Duration = Duration::from_secs(5);

pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    let mut server = Server::start(Link::Pipes, &[])?;
    let pid = server.peer.pid();
    table.value("memory, idle", status(pid, "VmRSS")? / 1e6, "MB", "≤ 6");
    // What the first jobs bring about is not theirs: the watchdog's keeper, the first buffers.
    for _ in 0..20 {
        server.run("true")?;
    }
    let before = status(pid, "VmRSS")?;
    table.value("memory, idle after 20 jobs", before / 1e6, "MB", "≤ 6");
    let mut jobs = Vec::new();
    for _ in 0..JOBS {
        jobs.push(server.begin("exec sleep 600")?);
    }
    let per_job = (status(pid, "VmRSS")? - before) / JOBS as f64;
    table.value(
        "memory per running job (of 100)",
        per_job / 1e3,
        "kB",
        "≤ 16",
    );
    for job in &jobs {
        server.send(GET, &json!({"ref_id": job, "wait_seconds": 45}))?;
    }
    std::thread::sleep(SETTLING);
    let before = processor_time(pid)?;
    std::thread::sleep(QUIET);
    let used = processor_time(pid)?.saturating_sub(before);
    let share = used.as_secs_f64() / QUIET.as_secs_f64() * 1e6;
    let what = "CPU time with 100 sleeping jobs and 100 waits, per second";
    table.value(what, share, "µs", "none measurable");
    Ok(())
}

/// A size from `/proc/PID/status`, in bytes.
pub(crate) fn status(pid: u32, key: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(key));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    let kilobytes: f64 = number.context("the status has the key")?.parse()?;
    Ok(kilobytes * 1024.0)
}

/// Makes `VmHWM` begin anew.
pub(crate) fn reset_peak(pid: u32) -> anyhow::Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("the peak can be reset")
}

/// What all threads have used.
fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let mut used = Duration::ZERO;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let times = std::fs::read_to_string(task?.path().join("schedstat"))?;
        let nanoseconds = times
            .split_whitespace()
            .next()
            .context("schedstat has figures")?;
        used += Duration::from_nanos(nanoseconds.parse()?);
    }
    Ok(used)
}
