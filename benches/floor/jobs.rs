//! Short jobs, each in one call, several in flight, beside bare spawns of the same shell.

use std::collections::VecDeque;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::json;

use crate::client::{EXECUTE, Server};
use crate::table::{Samples, Table};

const ROUNDS: usize = 12;
const JOBS: usize = 200;
const IN_FLIGHT: usize = 8;

pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    // The shell that the server takes by itself.
    let shell =
        if Command::new("bash").args(["-c", "true"]).status().is_ok() { "bash" } else { "sh" };
    let mut server = Server::start(&[])?;
    // How many in flight are fastest depends on the machine.
    let mut floors = [2, 3, 4, IN_FLIGHT].map(|window| (window, Samples::default()));
    let mut rates = Samples::default();
    in_one_call(&mut server)?;
    for _ in 0..ROUNDS {
        for (window, rates) in &mut floors {
            rates.push(bare(shell, *window)?);
        }
        rates.push(in_one_call(&mut server)?);
    }
    let floor = floors.iter().map(|(_, rates)| rates.median()).fold(0.0, f64::max);
    let what = format!(
        "a short job in one call, 8 in flight; floor: posix_spawn of `{shell} -c true` and wait"
    );
    table.ratio(&what, rates.median(), floor, "jobs/s", "≥ 0.8 ×");
    Ok(())
}

/// Bare spawns per second, this many in flight.
fn bare(shell: &str, window: usize) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let mut children: VecDeque<Child> = VecDeque::new();
    for _ in 0..JOBS {
        if children.len() == window {
            children.pop_front().context("some run")?.wait()?;
        }
        let mut command = Command::new(shell);
        command.args(["-c", "true"]).stdin(Stdio::null());
        children.push_back(command.spawn()?);
    }
    for mut child in children {
        child.wait()?;
    }
    Ok(JOBS as f64 / begin.elapsed().as_secs_f64())
}

/// Jobs per second from before the first is started until all are answered.
fn in_one_call(server: &mut Server) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let mut started = 0;
    for answered in 0..JOBS {
        while started < JOBS && started < answered + IN_FLIGHT {
            server.send(EXECUTE, &json!({"cmd": "true", "wait_seconds": 30}))?;
            started += 1;
        }
        let (_, reply) = server.receive()?;
        ensure!(reply["result"]["returncode"] == 0, "{reply}");
    }
    Ok(JOBS as f64 / begin.elapsed().as_secs_f64())
}
