//! Round trips of single calls beside a line echoed by `cat` over the same kind of connection.
//!
//! Everybody shares one processor. Otherwise where the scheduler happens to put them decides: waking an idle processor
//! of a virtual machine takes longer than all the rest.

use std::process::Command;

use serde_json::json;

use crate::client::{GET, LIST, Link, Peer, Server, call, ping};
use crate::samples::Samples;
use crate::table::Table;

const ROUNDS: usize = 60;
/// Round trips of one kind before the next kind's turn.
const IN_A_ROW: usize = 50;

#[cfg(target_os = "linux")]
pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    let all = sched_getaffinity(None)?;
    let last = (0..CpuSet::MAX_CPU).rfind(|&cpu| all.is_set(cpu));
    let mut one = CpuSet::new();
    one.set(last.unwrap_or_default());
    sched_setaffinity(None, &one)?;
    let measured = round_trips(table);
    sched_setaffinity(None, &all)?;
    measured
}

/// Elsewhere nobody may choose a processor.
#[cfg(not(target_os = "linux"))]
pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    round_trips(table)
}

fn round_trips(table: &mut Table) -> anyhow::Result<()> {
    for (link, name) in [(Link::Pipes, "pipes"), (Link::Sockets, "sockets")] {
        let mut echo = Peer::spawn(&mut Command::new("cat"), link)?;
        let mut server = Server::start(link, &[])?;
        let mut job = String::new();
        for _ in 0..10 {
            job = server.run("echo done")?;
        }
        let get = json!({"ref_id": job});
        let lines = [
            ping(1),
            ping(1),
            call(1, LIST, &json!({})),
            call(1, GET, &get),
        ];
        let mut times: [Samples; 4] = Default::default();
        for round in 0..=ROUNDS {
            for (kind, line) in lines.iter().enumerate() {
                let peer = if kind == 0 {
                    &mut echo
                } else {
                    &mut server.peer
                };
                for _ in 0..IN_A_ROW {
                    let time = peer.round_trip(line)?;
                    // The first round warms up.
                    if round > 0 {
                        times[kind].push_time(time);
                    }
                }
            }
        }
        let [echo, ping, list, get] = times;
        let kinds = [
            ("`ping`", ping, "≤ 2 ×"),
            ("`list` of 10", list, "≤ 3 ×"),
            ("get of a small result", get, "≤ 3 ×"),
        ];
        for (what, times, target) in kinds {
            let what = format!("{what}, {name}; floor: a line echoed by `cat`");
            table.ratio(&what, times.median(), echo.median(), "µs", target);
            table.ratio(
                &format!("{what}, p99"),
                times.p99(),
                echo.p99(),
                "µs",
                target,
            );
        }
    }
    Ok(())
}
