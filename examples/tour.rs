//! A tour of the server: starts the real binary, calls its four tools as an agent would, prints each call with the
//! essence of its reply, and checks what it claims (✓). It fails if anything is not as said.
//!
//! `cargo run --release --example tour`
#![expect(clippy::print_stdout, reason = "the tour talks to a person")]

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use agent::{Agent, check, heading, is_gone, say, show, text};

#[path = "tour/agent.rs"]
mod agent;

const EXECUTE: &str = "execute_command_background";
const GET: &str = "get_command_background_result";
const LIST: &str = "list_background_processes";
const CLEANUP: &str = "cleanup_background_process";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let server = agent::server_binary()?;
    let began = Instant::now();
    let mut agent = Agent::connect(&server, began).await?;
    build_watched(&mut agent).await?;
    dev_server(&mut agent).await?;
    long_log(&mut agent).await?;
    whichever_ends_first(&mut agent).await?;
    left_in_the_background(&mut agent).await?;
    server_closed(agent).await?;
    server_killed(Agent::connect(&server, began).await?).await?;
    heading("The end");
    let took = began.elapsed().as_secs_f64();
    say(&format!("All of this was real, and took {took:.1} s."));
    Ok(())
}

async fn build_watched(agent: &mut Agent) -> Result<()> {
    heading("A build, watched while it runs");
    let scratch = tempfile::tempdir()?;
    let build = "cargo new -q --vcs none hello && cd hello && export CARGO_TARGET_DIR=target \
                 && cargo build && cargo doc && cargo run --release";
    let start = json!({ "cmd": build, "cwd": scratch.path() });
    let id = text(&agent.call(EXECUTE, start).await?, "ref_id");
    let mut cursor = "start".to_owned();
    loop {
        let next =
            json!({ "ref_id": id, "cursor": cursor, "until_pattern": ".", "wait_seconds": 30 });
        let reply = agent.call(GET, next).await?;
        show(&reply);
        if reply["running"] == false && is_silent(&reply) {
            break;
        }
        cursor = text(&reply, "cursor");
    }
    let result = agent.call(GET, json!({ "ref_id": id })).await?;
    check(result["returncode"] == 0, "it ended with exit code 0")?;
    check(
        result["output"] == "Hello, world!\n" && text(&result, "error").contains("Documenting"),
        "reading took nothing away: the whole result is still there",
    )
}

async fn dev_server(agent: &mut Agent) -> Result<()> {
    heading("A dev server: started and ready in one call, stopped in another");
    let python = Command::new("python3").arg("-V").output();
    let (cmd, ready) = match python.is_ok_and(|run| run.status.success()) {
        true => ("python3 -u -m http.server 0 --bind 127.0.0.1", r"port \d+"),
        false => ("while :; do echo listening; sleep 1; done", "listening"),
    };
    let start = json!({ "cmd": cmd, "wait_seconds": 10, "until_pattern": ready });
    let started = agent.call(EXECUTE, start).await?;
    let line = text(&started["result"], "matched");
    check(!line.is_empty(), &format!("ready: {line}"))?;
    let port = line.split(' ').skip_while(|word| *word != "port").nth(1);
    let port: Option<u16> = port.map(str::parse).transpose()?;
    if let Some(port) = port {
        let status = agent::http_get(port).await?;
        check(status.contains("200"), &format!("GET / on port {port}: {status}"))?;
    }
    let stop = json!({ "ref_id": started["ref_id"] });
    let stopped = agent.call(CLEANUP, stop).await?;
    check(stopped["result"]["state"] == "stopped", "it is stopped")?;
    if let Some(port) = port {
        let bound = TcpListener::bind(("127.0.0.1", port)).await;
        check(bound.is_ok(), &format!("port {port} is free again"))?;
    }
    Ok(())
}

async fn long_log(agent: &mut Agent) -> Result<()> {
    heading("A long log: both ends in one reply, all of it page by page");
    let cmd = "seq 20000 | sed 's/.*/step & ok/'; echo 'error: step 20001 failed' >&2; exit 1";
    let start = json!({ "cmd": cmd, "wait_seconds": 10 });
    let started = agent.call(EXECUTE, start).await?;
    show(&started["result"]);
    let (output, error) = (text(&started["result"], "output"), text(&started["result"], "error"));
    check(error.contains("20001 failed"), "the failure is in view")?;
    let gap = output.lines().find(|line| line.contains("cursor="));
    say(gap.context("the gap is not marked")?);
    let (mut cursor, mut read) = ("start".to_owned(), String::new());
    loop {
        let next = json!({ "ref_id": started["ref_id"], "cursor": cursor, "max_chars": 100_000 });
        let page = agent.call(GET, next).await?;
        if is_silent(&page) {
            break;
        }
        read += &text(&page, "output");
        cursor = text(&page, "cursor");
    }
    let lines = (1..=20_000).map(|step| format!("step {step} ok\n"));
    let same = read == lines.collect::<String>();
    let claim = format!("the pages are what was written: {} characters", read.len());
    check(same, &claim)
}

async fn whichever_ends_first(agent: &mut Agent) -> Result<()> {
    heading("Three jobs at once, each awaited in one call, whichever ends first");
    for cmd in ["sleep 0.9; echo c", "sleep 0.3; echo a", "sleep 0.6; echo b"] {
        agent.call(EXECUTE, json!({ "cmd": cmd })).await?;
    }
    for name in ["a", "b", "c"] {
        let list = agent.call(LIST, json!({ "wait_seconds": 10 })).await?;
        let mut jobs = list["processes"].as_array().into_iter().flatten();
        let newest = jobs.find(|job| job["running"] == false);
        let ended = newest.is_some_and(|job| text(job, "cmd").ends_with(name));
        check(ended, &format!("the one that says {name:?} has ended"))?;
    }
    Ok(())
}

async fn left_in_the_background(agent: &mut Agent) -> Result<()> {
    heading("A command that ends but leaves a process behind");
    let start = json!({ "cmd": "sleep 300 & echo started", "wait_seconds": 10 });
    let started = agent.call(EXECUTE, start).await?;
    let result = &started["result"];
    check(result["state"] == "exited", "the command itself has ended")?;
    let leftover = result["leftover_processes"][0].as_i64();
    let leftover = leftover.context("the process left behind is not named")?;
    let list = agent.call(LIST, json!({})).await?;
    for job in list["processes"].as_array().into_iter().flatten() {
        let code = job["returncode"].to_string();
        let processes = job["processes"].as_u64().unwrap_or_default();
        let (state, cmd) = (text(job, "state"), text(job, "cmd"));
        say(&format!("  {state}  code {code}  processes {processes}  {cmd:.60}"));
    }
    let clean = json!({ "ref_id": started["ref_id"] });
    agent.call(CLEANUP, clean).await?;
    check(is_gone(leftover), &format!("process {leftover} is gone"))
}

async fn server_closed(mut agent: Agent) -> Result<()> {
    heading("The end of the server: its input is closed while a job runs");
    let family = start_family(&mut agent).await?;
    let closed = Instant::now();
    agent.close().await?;
    let took = closed.elapsed().as_millis();
    say(&format!("The server ended after {took} ms."));
    nothing_left(family).await
}

async fn server_killed(mut agent: Agent) -> Result<()> {
    heading("The end of another server: killed with SIGKILL while a job runs");
    let family = start_family(&mut agent).await?;
    agent.kill_server().await?;
    nothing_left(family).await
}

/// Starts a job of several processes; answers the pids of two and the directory with its output.
async fn start_family(agent: &mut Agent) -> Result<([i64; 2], PathBuf)> {
    let cmd = "sleep 300 & echo $!; sleep 301";
    let start = json!({ "cmd": cmd, "wait_seconds": 10, "until_pattern": r"^\d+$" });
    let started = agent.call(EXECUTE, start).await?;
    let shell = started["pid"].as_i64().context("no pid")?;
    let child = text(&started["result"], "matched").parse()?;
    let file = PathBuf::from(text(&started["result"], "output_path"));
    check(file.exists(), "its output is in a file")?;
    let directory = file.parent().context("the file has no directory")?;
    Ok(([shell, child], directory.to_owned()))
}

async fn nothing_left((pids, files): ([i64; 2], PathBuf)) -> Result<()> {
    let is_there = || files.exists() || !pids.iter().all(|pid| is_gone(*pid));
    let deadline = Instant::now() + Duration::from_secs(3);
    while is_there() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let gone = pids.iter().all(|pid| is_gone(*pid));
    check(gone, &format!("the processes of its job are gone: {pids:?}"))?;
    check(!files.exists(), "the files with its output are gone")
}

fn is_silent(reply: &Value) -> bool {
    reply["output"] == "" && reply["error"] == ""
}
