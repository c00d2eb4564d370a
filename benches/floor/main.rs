//! What the server costs, each figure beside its floor: the bare system calls that do the same, in turns with it in the
//! same run. So the ratios hold on a noisy machine too; single figures do not.
//!
//! `cargo bench` measures everything in some three minutes, `cargo bench -- latency jobs` only these. Environment:
//! `BENCH_SERVER` is another binary to measure, `BENCH_CAPTURE_BYTES` (4 GiB) and `BENCH_READING_BYTES` (1 GiB) are what
//! is written to disk, under the target directory, and removed again.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints"
)]

mod capture;
mod client;
mod jobs;
mod latency;
mod memory;
mod reading;
mod retained;
mod samples;
mod start;
mod table;

use std::io::Write;
use std::process::ExitCode;

use table::Table;

/// Makes this program the floor of a start: it writes one byte and ends.
const ONE_BYTE: &str = "--one-byte";

type Measure = fn(&mut Table) -> anyhow::Result<()>;

/// What can be chosen on the command line.
const MEASURES: &[(&str, Measure)] = &[
    ("start", start::measure),
    ("latency", latency::measure),
    ("jobs", jobs::measure),
    ("capture", capture::measure),
    ("memory", memory::measure),
    ("reading", reading::measure),
    ("retained", retained::measure),
];

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == ONE_BYTE) {
        return match std::io::stdout().write_all(b".") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let chosen: Vec<&String> = arguments
        .iter()
        .filter(|name| !name.starts_with('-'))
        .collect();
    let mut table = Table::default();
    let mut failed = false;
    for (name, measure) in MEASURES {
        if !chosen.is_empty() && !chosen.contains(&&(*name).to_owned()) {
            continue;
        }
        eprintln!("measuring: {name}");
        if let Err(error) = measure(&mut table) {
            eprintln!("{name} failed: {error:#}");
            failed = true;
        }
    }
    println!("{table}");
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
