//! What an agent framework does: it starts the server and calls its tools. And what the tour prints of that.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, test_kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

/// Lines of output that are shown of a reply: half from its start, half from its end.
const SHOWN_LINES: usize = 12;

/// One server and the connection to it: a message is a line of JSON.
pub(crate) struct Agent {
    server: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    last_id: u32,
    began: Instant,
}

impl Agent {
    pub(crate) async fn connect(binary: &Path, began: Instant) -> Result<Self> {
        let mut server = tokio::process::Command::new(binary)
            .args(["--log", "warn"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = server.stdin.take().context("no input")?;
        let output = server.stdout.take().context("no output")?;
        let output = BufReader::new(output).lines();
        let mut agent = Self { server, input, output, last_id: 0, began };
        let hello = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": { "name": "tour", "version": env!("CARGO_PKG_VERSION") },
        });
        agent.request("initialize", hello).await?;
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        agent.send(ready).await?;
        Ok(agent)
    }

    /// Calls a tool; prints the call and the essence of the reply.
    pub(crate) async fn call(&mut self, tool: &str, arguments: Value) -> Result<Value> {
        let words: Vec<String> = arguments.as_object().into_iter().flatten().map(pair).collect();
        println!("{} {tool} {}", self.clock(), words.join(" "));
        let call = json!({ "name": tool, "arguments": arguments });
        let mut result = self.request("tools/call", call).await?;
        let reply = result["structuredContent"].take();
        println!("{} → {}", self.clock(), essence(&reply));
        ensure!(result["isError"] != true, "{tool} failed: {reply}");
        Ok(reply)
    }

    async fn request(&mut self, method: &str, params: Value) -> Result<Value> {
        self.last_id += 1;
        let id = self.last_id;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send(request).await?;
        loop {
            let line = self.output.next_line().await?;
            let line = line.with_context(|| format!("the server ended during {method}"))?;
            let mut answer: Value = serde_json::from_str(&line)?;
            if answer["id"] == id {
                ensure!(answer["error"].is_null(), "{method} failed: {answer}");
                return Ok(answer["result"].take());
            }
        }
    }

    async fn send(&mut self, message: Value) -> Result<()> {
        Ok(self.input.write_all(format!("{message}\n").as_bytes()).await?)
    }

    /// Closes the server's input and waits for its end, as every client does.
    pub(crate) async fn close(mut self) -> Result<()> {
        drop(self.input);
        let ended = timeout(Duration::from_secs(2), self.server.wait()).await;
        let status = ended.context("the server goes on without input")??;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    pub(crate) async fn kill_server(mut self) -> Result<()> {
        Ok(self.server.kill().await?)
    }

    /// Seconds since the start of the tour.
    fn clock(&self) -> String {
        format!("{:8.3} │", self.began.elapsed().as_secs_f64())
    }
}

/// What a reply says besides the output.
fn essence(reply: &Value) -> String {
    const KEYS: [&str; 11] = [
        "ref_id",
        "pid",
        "state",
        "returncode",
        "signal",
        "elapsed_seconds",
        "leftover_processes",
        "output_bytes",
        "count",
        "message",
        "survivors",
    ];
    let objects = [reply.as_object(), reply["result"].as_object()];
    let keys = objects.into_iter().flatten().flatten();
    let telling = keys.filter(|(key, value)| KEYS.contains(&key.as_str()) && !value.is_null());
    telling.map(pair).collect::<Vec<_>>().join(" ")
}

fn pair((key, value): (&String, &Value)) -> String {
    match value.as_str() {
        Some(id) if key == "ref_id" => format!("{key}={id:.8}…"),
        Some(word) if !word.contains([' ', '"', '\\']) => format!("{key}={word}"),
        _ => format!("{key}={value}"),
    }
}

pub(crate) fn text(reply: &Value, key: &str) -> String {
    reply[key].as_str().unwrap_or_default().to_owned()
}

pub(crate) fn heading(title: &str) {
    println!("\n───────── {title}");
}

pub(crate) fn say(words: &str) {
    println!("         │ {words}");
}

/// Prints what is claimed, if it is so.
pub(crate) fn check(holds: bool, claim: &str) -> Result<()> {
    ensure!(holds, "this was expected but is not so: {claim}");
    println!("       ✓ │ {claim}");
    Ok(())
}

/// Prints the output in a reply, standard error first.
pub(crate) fn show(reply: &Value) {
    let output = text(reply, "error") + &text(reply, "output");
    let lines: Vec<&str> = output.lines().collect();
    let hidden = lines.len().saturating_sub(SHOWN_LINES);
    for (index, line) in lines.iter().enumerate() {
        match index.checked_sub(SHOWN_LINES / 2) {
            Some(0) if hidden > 0 => say(&format!("  ({hidden} more lines in this reply)")),
            Some(after) if after < hidden => {}
            _ => say(&format!("  {line}")),
        }
    }
}

/// The status line of the answer.
pub(crate) async fn http_get(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

/// Whether a process has ended; one whose parent has not collected it yet has.
pub(crate) fn is_gone(number: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat"));
    let is_zombie = stat.is_ok_and(|stat| stat.contains(") Z "));
    is_zombie || pid(number).is_none_or(|pid| test_kill_process(pid).is_err())
}

fn pid(number: i64) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// The server, which cargo builds beside this example if it is not there or older than its source.
pub(crate) fn server_binary() -> Result<PathBuf> {
    let tour = std::env::current_exe()?;
    let folder = tour.ancestors().nth(2).context("no target folder")?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    say("Building the server, which takes some minutes the first time.");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--profile", profile])
        .args(["--bins", "--example", "tour"]) // with the example, its dependencies are those already built
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .arg("--target-dir")
        .arg(folder.join(".."))
        .status();
    let binary = folder.join("background-command-mcp");
    ensure!(
        built.is_ok_and(|status| status.success()) || binary.exists(),
        "the server could not be built"
    );
    Ok(binary)
}
