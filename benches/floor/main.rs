//! What the server costs, each figure beside its floor: the bare system calls that do the same, in turns with it in the
//! same run. So the ratios hold on a noisy machine too; single figures do not.
//! `cargo bench` measures all of it in a minute, `cargo bench -- jobs capture` only these; `BENCH_SERVER` is another binary.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints")]

mod capture;
mod client;
mod jobs;
mod memory;
mod reading;
mod round_trips;
mod table;

use anyhow::Context;
use table::Table;

type Measure = fn(&mut Table) -> anyhow::Result<()>;

/// What can be chosen on the command line.
const MEASURES: [(&str, Measure); 6] = [
    ("start", round_trips::start),
    ("calls", round_trips::calls),
    ("jobs", jobs::measure),
    ("capture", capture::measure),
    ("memory", memory::measure),
    ("reading", reading::measure),
];

fn main() -> anyhow::Result<()> {
    // Cargo adds `--bench`.
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    let mut table = Table::default();
    for (name, measure) in MEASURES {
        if chosen.is_empty() || chosen.iter().any(|chosen| chosen == name) {
            eprintln!("measuring: {name}");
            measure(&mut table).context(name)?;
        }
    }
    println!("{table}");
    Ok(())
}
