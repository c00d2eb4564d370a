//! A flood on one stream: its rate, and what else the server does meanwhile.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;

use crate::client::{GET, Link, Peer, Server, directory, ping, size};
use crate::memory::{reset_peak, status};
use crate::samples::Samples;
use crate::table::Table;

const ROUNDS: usize = 3;
const BLOCK: u64 = 64 << 10;
const BETWEEN_PINGS: Duration = Duration::from_millis(5);
/// No call has this id.
const PING_ID: u64 = 1 << 40;

pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    let bytes = size("BENCH_CAPTURE_BYTES", 4 << 30)?;
    let producer = format!(
        "dd if=/dev/zero bs={BLOCK} count={} status=none",
        bytes / BLOCK
    );
    let directory = directory()?;
    let mut server = Server::start(Link::Pipes, &[])?;
    let pid = server.peer.pid();
    let mut echo = Peer::spawn(&mut Command::new("cat"), Link::Pipes)?;
    server.run("echo done")?;
    let idle = status(pid, "VmRSS")?;
    reset_peak(pid)?;
    let (mut ours, mut file, mut pipe) = <(Samples, Samples, Samples)>::default();
    let (mut pings, mut echoes) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        let timed = |rates: &mut Samples, run: &mut dyn FnMut() -> anyhow::Result<()>| {
            let begin = Instant::now();
            run()?;
            rates.push(bytes as f64 / begin.elapsed().as_secs_f64() / 1e6);
            anyhow::Ok(())
        };
        let path = directory.path().join("floor");
        timed(&mut file, &mut || {
            to_cat(&producer, &path, &mut echo, &mut echoes)
        })?;
        std::fs::remove_file(&path)?;
        timed(&mut pipe, &mut || {
            to_cat(&producer, Path::new("/dev/null"), &mut echo, &mut echoes)
        })?;
        timed(&mut ours, &mut || {
            to_server(&producer, &mut server, &mut pings)
        })?;
    }
    let what = format!("capture of {:.1} GB", bytes as f64 / 1e9);
    for (floor, name, target) in [(file, "file", "≥ 0.9 ×"), (pipe, "/dev/null", "")] {
        let what = format!("{what}; floor: the same into `cat > {name}`");
        table.ratio(&what, ours.median(), floor.median(), "MB/s", target);
    }
    let what = "`ping` during the capture; floor: a line echoed by another `cat` during the floors";
    table.ratio(what, pings.median(), echoes.median(), "µs", "");
    table.ratio(
        &format!("{what}, p99"),
        pings.p99(),
        echoes.p99(),
        "µs",
        "< 5000 µs",
    );
    let peak = (status(pid, "VmHWM")? - idle) / 1e6;
    table.value(
        "memory, peak during the capture over idle",
        peak,
        "MB",
        "≤ 4",
    );
    Ok(())
}

fn to_cat(producer: &str, file: &Path, echo: &mut Peer, times: &mut Samples) -> anyhow::Result<()> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", &format!("{producer} | cat > \"$1\""), "sh"])
        .arg(file)
        .spawn()?;
    while child.try_wait()?.is_none() {
        std::thread::sleep(BETWEEN_PINGS);
        times.push_time(echo.round_trip(&ping(PING_ID))?);
    }
    Ok(())
}

fn to_server(producer: &str, server: &mut Server, times: &mut Samples) -> anyhow::Result<()> {
    let job = server.begin(producer)?;
    let end = server.send(GET, &json!({"ref_id": job, "wait_seconds": 600}))?;
    loop {
        std::thread::sleep(BETWEEN_PINGS);
        let begin = Instant::now();
        server.peer.send(&ping(PING_ID))?;
        let mut ended = false;
        loop {
            let reply = server.receive()?;
            if reply.id == PING_ID {
                break;
            }
            ended = reply.id == end;
            if ended {
                ensure!(
                    reply.text("state")? == "exited",
                    "the capture took longer than a wait"
                );
            }
        }
        times.push_time(begin.elapsed());
        if ended {
            return Ok(());
        }
    }
}
