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
    let mut server = Server::start(&[])?;
    let (mut rates, mut floor) = <(Samples, Samples)>::default();
    in_one_call(&mut server)?;
    for _ in 0..ROUNDS {
        floor.push(bare()?);
        rates.push(in_one_call(&mut server)?);
    }
    let what =
        "a short job in one call, 8 in flight; floor: posix_spawn of `bash -c true` and wait";
    table.ratio(what, rates.median(), floor.median(), "jobs/s", "≥ 0.8 ×");
    Ok(())
}

/// Bare spawns per second, as many in flight, of the shell that the server takes by itself.
fn bare() -> anyhow::Result<f64> {
    let begin = Instant::now();
    let mut children: VecDeque<Child> = VecDeque::new();
    for _ in 0..JOBS {
        if children.len() == IN_FLIGHT {
            children.pop_front().context("some run")?.wait()?;
        }
        let mut command = Command::new("bash");
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
        // Not read as JSON: this program's time is none of the server's.
        let reply = server.peer.receive()?;
        ensure!(reply.contains(r#""returncode":0,"#), "{reply}");
    }
    Ok(JOBS as f64 / begin.elapsed().as_secs_f64())
}
