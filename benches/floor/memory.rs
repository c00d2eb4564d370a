//! Memory and processor time of a server that has little to do, its supervisor included.

use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use crate::client::{EXECUTE, GET, Server, text};
use crate::table::Table;

const JOBS: usize = 100;
const QUIET: Duration = Duration::from_secs(5);

pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    let mut server = Server::start(&["--max-finished", "20000"])?;
    let pids = server.pids()?;
    let [_, pid] = pids;
    let idle = pids.map(|pid| memory(pid, "Pss")).into_iter().sum::<anyhow::Result<f64>>()?;
    let what = "memory, idle, server and supervisor, what they share counted once (PSS)";
    table.value(what, idle / 1e6, "MB", "≤ 9");
    // Buffers and threads that the first jobs bring about are not theirs.
    for _ in 0..20 {
        server.run("true")?;
    }
    let before = memory(pid, "Rss")?;
    let mut jobs = Vec::new();
    for _ in 0..JOBS {
        jobs.push(text(&server.call(EXECUTE, &json!({"cmd": "exec sleep 600"}))?, "ref_id")?);
    }
    let per_job = (memory(pid, "Rss")? - before) / JOBS as f64;
    table.value("memory per running job (of 100)", per_job / 1e3, "kB", "≤ 64");
    for job in &jobs {
        server.send(GET, &json!({"ref_id": job, "wait_seconds": 45}))?;
    }
    // The waits have begun, and idle threads, whose use is not seen when they have ended, have ended.
    std::thread::sleep(QUIET);
    let used = || pids.map(cpu_time).into_iter().sum::<anyhow::Result<f64>>();
    let before = used()?;
    std::thread::sleep(QUIET);
    let share = (used()? - before) / QUIET.as_secs_f64();
    table.value("CPU with 100 sleeping jobs and waits", share / 1e3, "µs/s", "none measurable");
    Ok(())
}

/// A size from `/proc/PID/smaps_rollup`, in bytes.
fn memory(pid: u32, key: &str) -> anyhow::Result<f64> {
    let sizes = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let size = sizes.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().nth(1));
    Ok(size.context("it has the key")?.parse::<f64>()? * 1024.0)
}

/// What all living threads have used, in nanoseconds.
fn cpu_time(pid: u32) -> anyhow::Result<f64> {
    let mut used = 0.0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let times = std::fs::read_to_string(task?.path().join("schedstat"))?;
        let nanoseconds = times.split_whitespace().next().context("schedstat has figures")?;
        used += nanoseconds.parse::<f64>()?;
    }
    Ok(used)
}
