//! A tour of the server: starts the real binary, calls its four tools as an agent would, prints each call with the
//! essence of its reply, and checks what it claims (✓). It fails if anything is not as said.
//!
//! `cargo run --release --example tour`
#![expect(clippy::print_stdout, reason = "the tour talks to a person")]

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use agent::{Agent, check, heading, is_gone, say, show, text};

#[path = "tour/agent.rs"]
mod agent;

const EXECUTE: &str = "execute_command_background";
const GET: &str = "get_command_background_result";
const LIST: &str = "list_background_processes";
const CLEANUP: &str = "cleanup_background_process";

fn main() -> Result<()> {
    let server = agent::server_binary()?;
    let began = Instant::now();
    let mut agent = Agent::connect(&server, began)?;
    build_watched(&mut agent)?;
    dev_server(&mut agent)?;
    long_log(&mut agent)?;
    whichever_ends_first(&mut agent)?;
    left_in_the_background(&mut agent)?;
    server_ends(agent, "its input is closed", Agent::close)?;
    let agent = Agent::connect(&server, began)?;
    server_ends(agent, "it is killed", Agent::kill_server)?;
    heading(&format!("All of this was real, and took {:.1} s.", began.elapsed().as_secs_f64()));
    Ok(())
}

fn build_watched(agent: &mut Agent) -> Result<()> {
    heading("A build, watched while it runs");
    let scratch = tempfile::tempdir()?;
    let build = "cargo new -q --vcs none hello && cd hello && export CARGO_TARGET_DIR=target \
                 && cargo build && cargo doc && cargo run --release";
    let start = json!({ "cmd": build, "cwd": scratch.path() });
    let id = text(&agent.call(EXECUTE, start)?, "ref_id");
    let mut cursor = "start".to_owned();
    loop {
        let any =
            json!({ "ref_id": id, "cursor": cursor, "until_pattern": ".", "wait_seconds": 9 });
        let reply = agent.call(GET, any)?;
        show(&reply);
        if reply["running"] == false && is_silent(&reply) {
            break;
        }
        cursor = text(&reply, "cursor");
    }
    let result = agent.call(GET, json!({ "ref_id": id }))?;
    check(result["returncode"] == 0, "it ended with exit code 0")?;
    let is_whole = text(&result, "error").contains("Documenting") && result["output"] != "";
    check(is_whole, "reading took nothing away: the whole result is still there")
}

fn dev_server(agent: &mut Agent) -> Result<()> {
    heading("A dev server: started and ready in one call, stopped in another");
    let cmd = "python3 -m http.server 0 --bind 127.0.0.1";
    let start = json!({ "cmd": cmd, "wait_seconds": 10, "until_pattern": r"port \d+" });
    let started = agent.call(EXECUTE, start)?;
    let line = text(&started["result"], "matched");
    let Some((_, rest)) = line.split_once("port ") else {
        return check(text(&started["result"], "error").contains("python3"), "no python3 here");
    };
    let port: u16 = rest.split(' ').next().unwrap_or_default().parse()?;
    check(TcpStream::connect(("127.0.0.1", port)).is_ok(), &format!("port {port} answers"))?;
    let stopped = agent.call(CLEANUP, json!({ "ref_id": started["ref_id"] }))?;
    check(stopped["result"]["state"] == "stopped", "it is stopped")?;
    check(TcpListener::bind(("127.0.0.1", port)).is_ok(), &format!("port {port} is free again"))
}

fn long_log(agent: &mut Agent) -> Result<()> {
    heading("A long log: both ends in one reply, all of it page by page");
    let cmd = "seq 20000 | sed 's/.*/step & ok/'; echo 'error: step 20001 failed' >&2; exit 1";
    let start = json!({ "cmd": cmd, "wait_seconds": 10 });
    let started = agent.call(EXECUTE, start)?;
    show(&started["result"]);
    let (output, error) = (text(&started["result"], "output"), text(&started["result"], "error"));
    check(error.contains("20001 failed"), "the failure is in view")?;
    let gap = output.lines().find(|line| line.contains("cursor="));
    say(gap.context("the gap is not marked")?);
    let (mut cursor, mut read) = ("start".to_owned(), String::new());
    loop {
        let next = json!({ "ref_id": started["ref_id"], "cursor": cursor, "max_chars": 100_000 });
        let page = agent.call(GET, next)?;
        if is_silent(&page) {
            break;
        }
        read += &text(&page, "output");
        cursor = text(&page, "cursor");
    }
    let lines = (1..=20_000).map(|step| format!("step {step} ok\n"));
    check(read == lines.collect::<String>(), "the pages together are what was written")
}

fn whichever_ends_first(agent: &mut Agent) -> Result<()> {
    heading("Three jobs at once, each awaited in one call, whichever ends first");
    for cmd in ["sleep 0.9; echo c", "sleep 0.3; echo a", "sleep 0.6; echo b"] {
        agent.call(EXECUTE, json!({ "cmd": cmd }))?;
    }
    for name in ["a", "b", "c"] {
        let list = agent.call(LIST, json!({ "wait_seconds": 10 }))?;
        let mut jobs = list["processes"].as_array().into_iter().flatten();
        let newest = jobs.find(|job| job["running"] == false);
        let ended = newest.is_some_and(|job| text(job, "cmd").ends_with(name));
        check(ended, &format!("the one that says {name:?} has ended"))?;
    }
    Ok(())
}

fn left_in_the_background(agent: &mut Agent) -> Result<()> {
    heading("A command that ends but leaves a process behind");
    let start = json!({ "cmd": "sleep 300 & echo started", "wait_seconds": 10 });
    let started = agent.call(EXECUTE, start)?;
    check(started["result"]["state"] == "exited", "the command itself has ended")?;
    let leftover = started["result"]["leftover_processes"][0].as_i64();
    let leftover = leftover.context("the process left behind is not named")?;
    agent.call(CLEANUP, json!({ "ref_id": started["ref_id"] }))?;
    check(is_gone(leftover), &format!("process {leftover} is gone"))
}

/// Ends a server while a job of several processes runs: nothing of it is left.
fn server_ends(mut agent: Agent, how: &str, end: fn(Agent) -> Result<()>) -> Result<()> {
    heading(&format!("The end of a server while a job runs: {how}"));
    let start = json!({ "cmd": "sleep 300 & echo $!; sleep 301", "wait_seconds": 10, "until_pattern": r"^\d+$" });
    let started = agent.call(EXECUTE, start)?;
    let shell = started["pid"].as_i64().context("no pid")?;
    let pids = [shell, text(&started["result"], "matched").parse()?];
    let file = PathBuf::from(text(&started["result"], "output_path"));
    check(file.exists(), "its output is in a file")?;
    end(agent)?;
    let is_left = || file.exists() || !pids.into_iter().all(is_gone);
    let deadline = Instant::now() + Duration::from_secs(3);
    while is_left() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    check(!is_left(), &format!("the processes of its job, {pids:?}, and the files are gone"))
}

fn is_silent(reply: &Value) -> bool {
    reply["output"] == "" && reply["error"] == ""
}
