//! A client as bare as can be: blocking lines over pipes, one thread.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const CLEANUP: &str = "cleanup_background_process";
pub(crate) const EXECUTE: &str = "execute_command_background";
pub(crate) const GET: &str = "get_command_background_result";
pub(crate) const LIST: &str = "list_background_processes";

/// A child process and the lines to and from it. Dropped, its input ends, and it is waited for.
pub(crate) struct Peer {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Peer {
    pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let from = child.stdout.take().context("standard output is piped")?;
        Ok(Self { to: child.stdin.take(), from: BufReader::with_capacity(1 << 20, from), child })
    }

    pub(crate) fn send(&mut self, line: &str) -> anyhow::Result<()> {
        let to = self.to.as_mut().context("the input is open")?;
        Ok(to.write_all(line.as_bytes())?)
    }

    pub(crate) fn receive(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(self.from.read_line(&mut line)? > 0, "the other side ended");
        Ok(line)
    }

    /// From before the line is sent until a line has come back.
    pub(crate) fn round_trip(&mut self, line: &str) -> anyhow::Result<Duration> {
        let sent = Instant::now();
        self.send(line)?;
        self.receive()?;
        Ok(sent.elapsed())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.to = None;
        drop(self.child.wait());
    }
}

/// A request, as a line.
pub(crate) fn request(id: u64, method: &str, params: &Value) -> String {
    format!("{}\n", json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
}

/// A tool's call, as a line.
pub(crate) fn call(id: u64, tool: &str, arguments: &Value) -> String {
    request(id, "tools/call", &json!({"name": tool, "arguments": arguments}))
}

pub(crate) fn initialize() -> String {
    let client = json!({"name": "bench", "version": "0"});
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
    request(0, "initialize", &params)
}

/// The server under measurement, past its handshake.
pub(crate) struct Server {
    pub(crate) peer: Peer,
    next_id: u64,
    /// Removed after the server has ended.
    _directory: TempDir,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let directory = directory()?;
        let mut command = Command::new(binary());
        command.args(["--max-wait-seconds", "600", "--output-dir"]).arg(directory.path());
        let mut peer = Peer::spawn(command.args(arguments))?;
        peer.round_trip(&initialize())?;
        peer.send("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n")?;
        Ok(Self { peer, next_id: 1, _directory: directory })
    }

    /// The supervisor, which the client knows, and the server, which is its child.
    pub(crate) fn pids(&self) -> anyhow::Result<[u32; 2]> {
        let supervisor = self.peer.child.id();
        let children = format!("/proc/{supervisor}/task/{supervisor}/children");
        let children = std::fs::read_to_string(children)?;
        let server = children.split_whitespace().next().context("the supervisor has a child")?;
        Ok([supervisor, server.parse()?])
    }

    /// Sends a call without waiting for its reply: the call's id.
    pub(crate) fn send(&mut self, tool: &str, arguments: &Value) -> anyhow::Result<u64> {
        self.next_id += 1;
        self.peer.send(&call(self.next_id, tool, arguments))?;
        Ok(self.next_id)
    }

    /// The next reply: the call's id, and what a tool answered.
    pub(crate) fn receive(&mut self) -> anyhow::Result<(u64, Value)> {
        let mut reply: Value = serde_json::from_str(&self.peer.receive()?)?;
        let id = reply["id"].as_u64().with_context(|| format!("a reply has an id: {reply}"))?;
        Ok((id, reply["result"]["structuredContent"].take()))
    }

    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> anyhow::Result<Value> {
        self.send(tool, arguments)?;
        Ok(self.receive()?.1)
    }

    /// Runs a command to its end in one call: its id.
    pub(crate) fn run(&mut self, command: &str) -> anyhow::Result<String> {
        let reply = self.call(EXECUTE, &json!({"cmd": command, "wait_seconds": 600}))?;
        ensure!(reply["result"]["state"] == "exited", "{command}: {reply}");
        text(&reply, "ref_id")
    }
}

pub(crate) fn text(reply: &Value, key: &str) -> anyhow::Result<String> {
    let value = reply[key].as_str().with_context(|| format!("the reply has a {key}: {reply}"))?;
    Ok(value.to_owned())
}

/// The binary under measurement.
pub(crate) fn binary() -> PathBuf {
    let default = || env!("CARGO_BIN_EXE_background-command-mcp").into();
    std::env::var_os("BENCH_SERVER").map_or_else(default, PathBuf::from)
}

/// A directory on the disk that the build is on: the one for temporary files may be memory.
pub(crate) fn directory() -> anyhow::Result<TempDir> {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(parent)?;
    Ok(tempfile::Builder::new().prefix("bench-").tempdir_in(parent)?)
}
