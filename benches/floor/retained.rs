//! Many finished jobs: what they weigh, and whether they slow a list down.

use serde_json::json;

use crate::client::{LIST, Link, Server, call};
use crate::jobs::{Course, through};
use crate::memory::status;
use crate::samples::Samples;
use crate::table::Table;

const ROUNDS: usize = 60;
const IN_A_ROW: usize = 20;
const JOBS: usize = 10_000;
/// As many as a list shows, so that both replies are of the same length.
const FEW: usize = 20;

pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    let limits = ["--max-finished", "20000"];
    let (mut many, mut few) = (
        Server::start(Link::Pipes, &limits)?,
        Server::start(Link::Pipes, &limits)?,
    );
    through(&mut few, "echo done", FEW, Course::Kept)?;
    through(&mut many, "echo done", 200, Course::Kept)?;
    let before = status(many.peer.pid(), "VmRSS")?;
    through(&mut many, "echo done", JOBS, Course::Kept)?;
    let per_job = (status(many.peer.pid(), "VmRSS")? - before) / JOBS as f64;
    table.value(
        "memory per finished job (of 10,000)",
        per_job / 1e3,
        "kB",
        "≤ 2",
    );
    let line = call(1, LIST, &json!({}));
    let (mut of_many, mut of_few) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        for (server, times) in [(&mut many, &mut of_many), (&mut few, &mut of_few)] {
            for _ in 0..IN_A_ROW {
                times.push_time(server.peer.round_trip(&line)?);
            }
        }
    }
    let what = "`list` with 10,000 finished jobs; floor: with the 20 that it shows";
    table.ratio(what, of_many.median(), of_few.median(), "µs", "1 ×");
    Ok(())
}
