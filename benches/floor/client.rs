//! A client as bare as can be: blocking lines over pipes or sockets, one thread.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

/// How a client and its server are connected.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Link {
    /// As Python does it.
    Pipes,
    /// As Node does it.
    Sockets,
}

/// A child process and the lines to and from it. Dropped, its input ends, and it is waited for.
pub(crate) struct Peer {
    child: Child,
    to: Option<Box<dyn Write>>,
    from: BufReader<Box<dyn Read>>,
    line: Vec<u8>,
}

impl Peer {
    pub(crate) fn spawn(command: &mut Command, link: Link) -> anyhow::Result<Self> {
        command.stderr(Stdio::null());
        let (child, to, from): (_, Box<dyn Write>, Box<dyn Read>) = match link {
            Link::Pipes => {
                let mut child = command
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()?;
                let to = child.stdin.take().context("standard input is piped")?;
                let from = child.stdout.take().context("standard output is piped")?;
                (child, Box::new(to), Box::new(from))
            }
            Link::Sockets => {
                let (to, input) = UnixStream::pair()?;
                let (from, output) = UnixStream::pair()?;
                command
                    .stdin(OwnedFd::from(input))
                    .stdout(OwnedFd::from(output));
                let child = command.spawn()?;
                // The command holds our copies of the child's ends.
                command.stdin(Stdio::null()).stdout(Stdio::null());
                (child, Box::new(to), Box::new(from))
            }
        };
        let from = BufReader::with_capacity(1 << 20, from);
        Ok(Self {
            child,
            to: Some(to),
            from,
            line: Vec::new(),
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn send(&mut self, line: &[u8]) -> anyhow::Result<()> {
        self.to
            .as_mut()
            .context("the input is open")?
            .write_all(line)?;
        Ok(())
    }

    pub(crate) fn receive(&mut self) -> anyhow::Result<&[u8]> {
        self.line.clear();
        let length = self.from.read_until(b'\n', &mut self.line)?;
        ensure!(length > 0, "the other side ended");
        Ok(&self.line)
    }

    /// From before the line is sent until a line has come back.
    pub(crate) fn round_trip(&mut self, line: &[u8]) -> anyhow::Result<Duration> {
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

/// The server under measurement, past its handshake.
pub(crate) struct Server {
    pub(crate) peer: Peer,
    next_id: u64,
    /// Removed after the server has ended.
    _directory: tempfile::TempDir,
}

/// One reply, as far as it is looked at.
#[derive(Deserialize)]
pub(crate) struct Reply {
    pub(crate) id: u64,
    result: Outcome,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(default, rename = "structuredContent")]
    structured: Value,
}

impl Reply {
    /// What a tool answered.
    pub(crate) fn text(&self, key: &str) -> anyhow::Result<&str> {
        let value = self.result.structured.get(key).and_then(Value::as_str);
        value.with_context(|| format!("the reply has a {key}: {}", self.result.structured))
    }
}

/// `ping`, as a line.
pub(crate) fn ping(id: u64) -> Vec<u8> {
    line(&json!({"jsonrpc": "2.0", "id": id, "method": "ping"}))
}

/// A tool's call, as a line.
pub(crate) fn call(id: u64, tool: &str, arguments: &Value) -> Vec<u8> {
    let params = json!({"name": tool, "arguments": arguments});
    line(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}))
}

pub(crate) fn initialize() -> Vec<u8> {
    line(
        &json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "0"},
        }}),
    )
}

fn line(message: &Value) -> Vec<u8> {
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}

pub(crate) const EXECUTE: &str = "execute_command_background";
pub(crate) const GET: &str = "get_command_background_result";
pub(crate) const LIST: &str = "list_background_processes";
pub(crate) const CLEANUP: &str = "cleanup_background_process";

/// The binary under measurement.
pub(crate) fn binary() -> PathBuf {
    let default = || env!("CARGO_BIN_EXE_background-command-mcp").into();
    std::env::var_os("BENCH_SERVER").map_or_else(default, PathBuf::from)
}

/// A directory on the disk that the build is on: the one for temporary files may be memory.
pub(crate) fn directory() -> anyhow::Result<tempfile::TempDir> {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(parent)?;
    Ok(tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(parent)?)
}

/// A size from the environment, or the one that is meant.
pub(crate) fn size(variable: &str, default: u64) -> anyhow::Result<u64> {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .with_context(|| format!("{variable} is a number of bytes")),
        Err(_) => Ok(default),
    }
}

impl Server {
    pub(crate) fn start(link: Link, arguments: &[&str]) -> anyhow::Result<Self> {
        let directory = directory()?;
        let mut command = Command::new(binary());
        command
            .args(["--max-wait-seconds", "600", "--output-dir"])
            .arg(directory.path())
            .args(arguments);
        let mut peer = Peer::spawn(&mut command, link)?;
        peer.round_trip(&initialize())?;
        peer.send(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n")?;
        Ok(Self {
            peer,
            next_id: 1,
            _directory: directory,
        })
    }

    /// Sends a call without waiting for its reply: the call's id.
    pub(crate) fn send(&mut self, tool: &str, arguments: &Value) -> anyhow::Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        self.peer.send(&call(id, tool, arguments))?;
        Ok(id)
    }

    pub(crate) fn receive(&mut self) -> anyhow::Result<Reply> {
        let line = self.peer.receive()?;
        serde_json::from_slice(line).with_context(|| String::from_utf8_lossy(line).into_owned())
    }

    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> anyhow::Result<Reply> {
        self.send(tool, arguments)?;
        self.receive()
    }

    /// Runs a command to its end: its id.
    pub(crate) fn run(&mut self, command: &str) -> anyhow::Result<String> {
        let id = self.begin(command)?;
        self.call(GET, &json!({"ref_id": id, "wait_seconds": 600}))?;
        Ok(id)
    }

    /// Starts a command: its id.
    pub(crate) fn begin(&mut self, command: &str) -> anyhow::Result<String> {
        Ok(self
            .call(EXECUTE, &json!({"cmd": command}))?
            .text("ref_id")?
            .to_owned())
    }
}
