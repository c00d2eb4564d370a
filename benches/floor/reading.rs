//! Reading parts of a long stream beside `pread` of the same bytes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;

use crate::client::{GET, Link, Peer, Server, call, ping, size};
use crate::samples::Samples;
use crate::table::Table;

const ROUNDS: usize = 100;
const IN_A_ROW: usize = 10;
/// Characters in each reply.
const CHARS: usize = 8000;
const LINE: &str = "a line of some length, as programs write them";

pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    let bytes = size("BENCH_READING_BYTES", 1 << 30)?;
    // As many segments as there can be, none of them dropped.
    let bound = (2 * bytes).to_string();
    let limits = ["--max-output-bytes", &bound, "--max-total-bytes", &bound];
    let mut server = Server::start(Link::Pipes, &limits)?;
    let mut echo = Peer::spawn(&mut Command::new("cat"), Link::Pipes)?;
    let job = server.run(&format!("yes '{LINE}' | head -c {bytes}"))?;
    let reply = server.call(GET, &json!({"ref_id": job}))?;
    let path = PathBuf::from(reply.text("output_path")?);
    let segments = segments(&path)?;
    let length = LINE.len() as u64 + 1;
    let middle = bytes / 2 / length * length;
    let cursor = format!("o{middle}e0");
    for (what, arguments, at) in [
        (
            "the summary (head and tail)",
            json!({"ref_id": job, "max_chars": CHARS}),
            bytes - CHARS as u64,
        ),
        (
            "a page in the middle",
            json!({"ref_id": job, "max_chars": CHARS, "cursor": cursor}),
            middle,
        ),
    ] {
        let (path, offset) = segments
            .iter()
            .rev()
            .find_map(|(start, path)| Some((path, at.checked_sub(*start)?)))
            .context("some segment has it")?;
        let line = call(1, GET, &arguments);
        let (mut ours, mut bare, mut echoed) = <(Samples, Samples, Samples)>::default();
        for _ in 0..ROUNDS {
            for _ in 0..IN_A_ROW {
                bare.push_time(pread(path, offset)?);
            }
            for _ in 0..IN_A_ROW {
                echoed.push_time(pread(path, offset)? + echo.round_trip(&ping(1))?);
            }
            for _ in 0..IN_A_ROW {
                ours.push_time(server.peer.round_trip(&line)?);
            }
        }
        let what = format!(
            "{what} of a stream of {:.1} GB, {CHARS} characters",
            bytes as f64 / 1e9
        );
        table.ratio(
            &format!("{what}; floor: open, `pread`, close"),
            ours.median(),
            bare.median(),
            "µs",
            "≤ 3 ×",
        );
        table.ratio(
            &format!("{what}; floor: that and a line echoed by `cat`"),
            ours.median(),
            echoed.median(),
            "µs",
            "",
        );
    }
    Ok(())
}

/// The stream's files and the offsets at which they begin, in order.
fn segments(first: &std::path::Path) -> anyhow::Result<Vec<(u64, PathBuf)>> {
    let prefix = first
        .file_name()
        .and_then(|name| name.to_str())
        .context("a name")?;
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(first.parent().context("a parent")?)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        match name.strip_prefix(prefix) {
            Some("") => segments.push((0, path)),
            Some(suffix) => segments.push((suffix.trim_start_matches('.').parse()?, path)),
            None => {}
        }
    }
    segments.sort();
    Ok(segments)
}

fn pread(path: &PathBuf, offset: u64) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let mut buffer = [0; CHARS];
    File::open(path)?.read_at(&mut buffer, offset)?;
    Ok(begin.elapsed())
}
