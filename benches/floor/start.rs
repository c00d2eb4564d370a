//! From the spawn of the server to its first reply.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::ONE_BYTE;
use crate::client::{Link, Peer, binary, initialize};
use crate::samples::Samples;
use crate::table::Table;

const ROUNDS: usize = 200;

pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    let (mut server, mut floor) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        floor.push_time(one_byte()?);
        let begin = Instant::now();
        let mut peer = Peer::spawn(&mut Command::new(binary()), Link::Pipes)?;
        peer.send(&initialize())?;
        peer.receive()?;
        server.push_time(begin.elapsed());
    }
    let what = "spawn to `initialize` reply; floor: a program that writes one byte";
    table.ratio(what, server.median(), floor.median(), "µs", "≤ 2 ×");
    let size = std::fs::metadata(binary())?.len();
    table.value("size of the binary", size as f64 / 1e6, "MB", "");
    Ok(())
}

fn one_byte() -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let mut child = Command::new(std::env::current_exe()?)
        .arg(ONE_BYTE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = child.stdout.take().context("standard output is piped")?;
    output.read_exact(&mut [0])?;
    let time = begin.elapsed();
    child.wait()?;
    Ok(time)
}
