//! What an agent framework does: it starts the server and calls its tools. And what the tour prints of that.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rmcp::model::CallToolRequestParams;
use rmcp::service::RunningService;
use rmcp::transport::TokioChildProcess;
use rmcp::{RoleClient, ServiceExt};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Lines of output that are shown of a reply: half from its start, half from its end.
const SHOWN_LINES: usize = 12;

/// One server and the connection to it.
pub(crate) struct Agent {
    service: RunningService<RoleClient, ()>,
    server: Pid,
    began: Instant,
}

impl Agent {
    pub(crate) async fn connect(binary: &Path, began: Instant) -> Result<Self> {
        let mut command = tokio::process::Command::new(binary);
        command.args(["--log", "warn"]);
        let transport = TokioChildProcess::new(command)?;
        let server = transport.id().and_then(|id| pid(id.into()));
        let server = server.context("the server ended at once")?;
        let service = ().serve(transport).await?;
        Ok(Self {
            service,
            server,
            began,
        })
    }

    /// Calls a tool; prints the call and the essence of the reply.
    pub(crate) async fn call(&self, tool: &'static str, arguments: Value) -> Result<Value> {
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        let words: Vec<String> = arguments.iter().map(pair).collect();
        println!("{} {tool} {}", self.clock(), words.join(" "));
        let request = CallToolRequestParams::new(tool).with_arguments(arguments);
        let result = self.service.call_tool(request).await?;
        let reply = result.structured_content.unwrap_or_default();
        println!("{} → {}", self.clock(), essence(&reply));
        ensure!(result.is_error != Some(true), "{tool} failed: {reply}");
        Ok(reply)
    }

    /// Closes the server's input and waits for its end, as every client does.
    pub(crate) async fn close(self) -> Result<()> {
        self.service.cancel().await?;
        Ok(())
    }

    pub(crate) fn kill_server(self) -> Result<()> {
        Ok(kill_process(self.server, Signal::KILL)?)
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
        .args([
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ])
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
