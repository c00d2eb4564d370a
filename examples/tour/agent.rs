//! What an agent framework does: it starts the server and calls its tools. And what the tour prints of that.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, test_kill_process};
use serde_json::{Value, json};

/// One server and the connection to it: a message is a line of JSON.
pub(crate) struct Agent {
    server: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    last_id: u32,
    began: Instant,
}

impl Agent {
    pub(crate) fn connect(binary: &Path, began: Instant) -> Result<Self> {
        let mut command = Command::new(binary);
        let command = command.args(["--log", "warn"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = command.spawn()?;
        let input = server.stdin.take().context("no input")?;
        let output = BufReader::new(server.stdout.take().context("no output")?).lines();
        let mut agent = Self { server, input, output, last_id: 0, began };
        let client = json!({ "name": "tour", "version": env!("CARGO_PKG_VERSION") });
        let hello =
            json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
        agent.request("initialize", hello)?;
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        writeln!(agent.input, "{ready}")?;
        Ok(agent)
    }

    /// Calls a tool; prints the call and the essence of the reply.
    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> Result<Value> {
        let words: Vec<_> = arguments.as_object().into_iter().flatten().map(pair).collect();
        println!("{} {tool} {}", self.clock(), words.join(" "));
        let mut result =
            self.request("tools/call", json!({ "name": tool, "arguments": arguments }))?;
        let reply = result["structuredContent"].take();
        println!("{} → {}", self.clock(), essence(&reply));
        ensure!(result["isError"] != true, "{tool} failed: {reply}");
        Ok(reply)
    }

    fn request(&mut self, method: &str, params: Value) -> Result<Value> {
        self.last_id += 1;
        let id = self.last_id;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        writeln!(self.input, "{request}")?;
        for line in self.output.by_ref() {
            let mut answer: Value = serde_json::from_str(&line?)?;
            if answer["id"] == id {
                ensure!(answer["error"].is_null(), "{method} failed: {answer}");
                return Ok(answer["result"].take());
            }
        }
        anyhow::bail!("the server ended during {method}")
    }

    /// Closes the server's input and waits for its end, as every client does.
    pub(crate) fn close(mut self) -> Result<()> {
        drop(self.input);
        ensure!(self.server.wait()?.success(), "the server did not end well");
        Ok(())
    }

    pub(crate) fn kill_server(mut self) -> Result<()> {
        self.server.kill()?;
        self.server.wait()?;
        Ok(())
    }

    /// Seconds since the start of the tour.
    fn clock(&self) -> String {
        format!("{:8.3} │", self.began.elapsed().as_secs_f64())
    }
}

/// What a reply says besides the output.
fn essence(reply: &Value) -> String {
    const KEYS: &str = "ref_id pid state returncode signal elapsed_seconds leftover_processes output_bytes \
                        count message survivors";
    let objects = [reply.as_object(), reply["result"].as_object()];
    let keys = objects.into_iter().flatten().flatten();
    let telling =
        keys.filter(|(key, value)| KEYS.split(' ').any(|one| one == *key) && !value.is_null());
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

/// Prints the first lines of the output in a reply, standard error before the rest.
pub(crate) fn show(reply: &Value) {
    let output = text(reply, "error") + &text(reply, "output");
    output.lines().take(8).for_each(|line| say(&format!("  {line}")));
    if output.lines().nth(8).is_some() {
        say(&format!("  … of {} lines in this reply", output.lines().count()));
    }
}

/// Whether a process has ended; one whose parent has not collected it yet has.
pub(crate) fn is_gone(number: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat"));
    let pid = i32::try_from(number).ok().and_then(Pid::from_raw);
    let is_alive = pid.is_some_and(|pid| test_kill_process(pid).is_ok());
    !is_alive || stat.is_ok_and(|stat| stat.contains(") Z "))
}

/// The server, which cargo builds beside this example if it is not there or older than its source.
pub(crate) fn server_binary() -> Result<PathBuf> {
    let tour = std::env::current_exe()?;
    let folder = tour.ancestors().nth(2).context("no target folder")?;
    let profile = if folder.ends_with("debug") { "dev" } else { "release" };
    say("Building the server, which takes some minutes the first time.");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    // With the example, its dependencies are those already built.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--bins", "--example", "tour", "--manifest-path", manifest]);
    let built = cargo.args(["--profile", profile, "--target-dir"]).arg(folder.join("..")).status();
    let binary = folder.join("background-command-mcp");
    ensure!(built?.success() && binary.exists(), "the server could not be built");
    Ok(binary)
}
