//! Short jobs, several in flight, beside bare spawns.

use std::collections::{HashMap, VecDeque};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context;
use serde_json::json;

use crate::client::{CLEANUP, EXECUTE, GET, Link, Server};
use crate::samples::Samples;
use crate::table::Table;

const ROUNDS: usize = 12;
const JOBS: usize = 200;
const IN_FLIGHT: usize = 8;

/// How a job is gone through.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Course {
    /// Execute, get with a wait, clean up: three calls.
    ThreeCalls,
    /// Execute with a wait, clean up.
    TwoCalls,
    /// Execute with a wait, and left there.
    Kept,
}

pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    let mut server = Server::start(Link::Pipes, &[])?;
    let mut floors: [(usize, Samples); 3] = [2, 3, 4].map(|window| (window, Samples::default()));
    let (mut three, mut two) = (Samples::default(), Samples::default());
    through(&mut server, "true", JOBS, Course::TwoCalls)?;
    for _ in 0..ROUNDS {
        for (window, rates) in &mut floors {
            rates.push(bare(*window)?);
        }
        three.push(through(&mut server, "true", JOBS, Course::ThreeCalls)?);
        two.push(through(&mut server, "true", JOBS, Course::TwoCalls)?);
    }
    let floor = floors
        .iter()
        .map(|(_, rates)| rates.median())
        .fold(0.0, f64::max);
    let floor_is =
        "8 in flight; floor: posix_spawn of `sh -c true` and wait, the best of 2 to 4 in flight";
    let what = format!("`true`: execute, get with a wait, cleanup, {floor_is}");
    table.ratio(&what, three.median(), floor, "jobs/s", "≥ 0.85 ×");
    let what = format!("`true`: execute with a wait, cleanup, {floor_is}");
    table.ratio(&what, two.median(), floor, "jobs/s", "≥ 0.85 ×");
    Ok(())
}

/// Bare spawns per second, this many in flight.
fn bare(window: usize) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let mut children = VecDeque::new();
    for _ in 0..JOBS {
        if children.len() == window {
            let mut oldest: std::process::Child = children.pop_front().context("some run")?;
            oldest.wait()?;
        }
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "true"]).stdin(Stdio::null());
        children.push_back(command.spawn()?);
    }
    for mut child in children {
        child.wait()?;
    }
    Ok(JOBS as f64 / begin.elapsed().as_secs_f64())
}

/// Jobs per second from before the first is started to after the last is gone.
pub(crate) fn through(
    server: &mut Server,
    command: &str,
    jobs: usize,
    course: Course,
) -> anyhow::Result<f64> {
    let execute = match course {
        Course::ThreeCalls => json!({"cmd": command}),
        Course::TwoCalls | Course::Kept => json!({"cmd": command, "wait_seconds": 30}),
    };
    let begin = Instant::now();
    // The open calls, and the tool that was called.
    let mut open: HashMap<u64, &str> = HashMap::new();
    let (mut started, mut done) = (0, 0);
    while done < jobs {
        while open.len() < IN_FLIGHT && started < jobs {
            open.insert(server.send(EXECUTE, &execute)?, EXECUTE);
            started += 1;
        }
        let reply = server.receive()?;
        let tool = open.remove(&reply.id).context("a reply to an open call")?;
        let next = match (tool, course) {
            (EXECUTE, Course::ThreeCalls) => GET,
            (EXECUTE, Course::TwoCalls) | (GET, _) => CLEANUP,
            _ => {
                done += 1;
                continue;
            }
        };
        let mut arguments = json!({"ref_id": reply.text("ref_id")?});
        if next == GET {
            arguments["wait_seconds"] = json!(30);
        }
        open.insert(server.send(next, &arguments)?, next);
    }
    Ok(jobs as f64 / begin.elapsed().as_secs_f64())
}
