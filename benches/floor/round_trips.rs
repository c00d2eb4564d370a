//! From the spawn of the server to its first reply, and single calls beside a line echoed by `cat`.

use std::process::Command;
use std::time::Instant;

#[cfg(target_os = "linux")]
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::json;

use crate::client::{GET, LIST, Peer, Server, binary, call, initialize, request};
use crate::table::{Samples, Table};

pub(crate) fn start(table: &mut Table) -> anyhow::Result<()> {
    let (mut server, mut floor) = (Samples::default(), Samples::default());
    for _ in 0..200 {
        let begin = Instant::now();
        Peer::spawn(Command::new("echo").arg("x"))?.receive()?;
        floor.push_time(begin.elapsed());
        let begin = Instant::now();
        let mut peer = Peer::spawn(&mut Command::new(binary()))?;
        peer.round_trip(&initialize())?;
        server.push_time(begin.elapsed());
    }
    let what = "spawn to `initialize` reply; floor: spawn of `echo` to its line";
    table.ratio(what, server.median(), floor.median(), "µs", "+ 3 ms");
    let size = std::fs::metadata(binary())?.len();
    table.value("size of the binary", size as f64 / 1e6, "MB", "");
    Ok(())
}

/// All processes share one processor: otherwise the figures depend on where the scheduler happens to put them, since
/// waking an idle processor of a virtual machine takes longer than all the rest.
#[cfg(target_os = "linux")]
pub(crate) fn calls(table: &mut Table) -> anyhow::Result<()> {
    let all = sched_getaffinity(None)?;
    let last = (0..CpuSet::MAX_CPU).rfind(|&cpu| all.is_set(cpu));
    let mut one = CpuSet::new();
    one.set(last.unwrap_or_default());
    sched_setaffinity(None, &one)?;
    let measured = round_trips(table);
    sched_setaffinity(None, &all)?;
    measured
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn calls(table: &mut Table) -> anyhow::Result<()> {
    round_trips(table)
}

fn round_trips(table: &mut Table) -> anyhow::Result<()> {
    let mut echo = Peer::spawn(&mut Command::new("cat"))?;
    let mut server = Server::start(&[])?;
    let mut job = String::new();
    for _ in 0..10 {
        job = server.run("echo done")?;
    }
    let ping = request(1, "ping", &json!({}));
    let get = call(1, GET, &json!({"ref_id": job}));
    let lines = [ping.clone(), ping, call(1, LIST, &json!({})), get];
    let mut times: [Samples; 4] = Default::default();
    for round in 0..=60 {
        for (kind, line) in lines.iter().enumerate() {
            let peer = if kind == 0 { &mut echo } else { &mut server.peer };
            for _ in 0..50 {
                let time = peer.round_trip(line)?;
                // The first round warms up.
                if round > 0 {
                    times[kind].push_time(time);
                }
            }
        }
    }
    let [echo, calls @ ..] = times;
    for (what, times) in ["`ping`", "`list` of 10", "get of a small result"].iter().zip(calls) {
        let what = format!("{what}; floor: a line echoed by `cat`");
        table.ratio(&what, times.median(), echo.median(), "µs", "+ 100 µs");
    }
    Ok(())
}
