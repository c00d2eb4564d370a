//! `--check`: the set-up tried out for a person, by starting the real server and running jobs through it.
//!
//! No client is there, so standard output is for reading. The exit code says it all.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::config::Config;
use crate::format::{human_duration, thousands};
use crate::process::{login, own};
use crate::registry::working_directory::WorkingDirectory;

/// How long an answer may take: longer than any profile of a login shell.
const PATIENCE: Duration = Duration::from_secs(30);

/// Clients give a server two seconds to end.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Tries everything and tells of it.
pub fn check(config: &Config) -> ExitCode {
    describe(config);
    match try_out() {
        Ok(()) => {
            say("result", "all is well");
            ExitCode::SUCCESS
        }
        Err(error) => {
            say("result", format!("FAILED: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn describe(config: &Config) {
    let working_directory = WorkingDirectory::find(config.cwd.as_deref());
    say("version", env!("CARGO_PKG_VERSION"));
    if let Ok(program) = own::program() {
        say("program", program.display());
    }
    say("shell", &config.shell);
    let from = format!(
        "{} ({})",
        working_directory.path.display(),
        working_directory.source
    );
    say("directory", from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    say("PATH", path.display());
    let login = match config.login_env {
        true => format!("{} is asked for its environment", login::shell()),
        false => "not asked (--login-env)".to_owned(),
    };
    say("login shell", login);
    let limits = format!(
        "{} running and {} finished jobs, results kept {}, {} bytes a stream and {} in all",
        config.max_running,
        config.max_finished,
        human_duration(config.retention_seconds),
        thousands(config.max_output_bytes),
        thousands(config.max_total_bytes),
    );
    say("limits", limits);
}

fn try_out() -> Result<()> {
    let began = Instant::now();
    let mut server = Server::start()?;
    let hello = json!({
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "check", "version": env!("CARGO_PKG_VERSION")},
    });
    server.request("initialize", &hello)?;
    let tools = server.request("tools/list", &json!({}))?["tools"].take();
    let took = began.elapsed().as_millis();
    let count = tools.as_array().map_or(0, Vec::len);
    say("start", format!("{count} tools after {took} ms"));

    let run = json!({"cmd": "echo \"$PATH\"; exit 7", "wait_seconds": 20});
    let reply = server.call("execute_command_background", &run)?;
    let result = &reply["result"];
    let shown = result["output"].as_str().unwrap_or_default().trim();
    let facts = format!(
        "{} with code {} after {} s in {}",
        text(&result["state"]),
        result["returncode"],
        result["elapsed_seconds"],
        text(&reply["cwd"])
    );
    say("job", facts);
    say("its PATH", shown);
    ensure!(
        result["state"] == "exited" && result["returncode"] == 7,
        "a command that ends with code 7 was reported as {result}"
    );
    let lost = result["dropped_bytes"].as_u64().unwrap_or_default();
    ensure!(
        lost == 0,
        "the output of the job was not kept: {}",
        text(&reply["hint"])
    );
    ensure!(
        result["dropped_bytes"].is_null(),
        "the output of the job could not be stored: {}",
        text(&result["hint"])
    );
    ensure!(
        !shown.is_empty(),
        "the output of the job is missing: {result}"
    );

    let stay =
        json!({"cmd": "sleep 600 & echo $!; wait", "wait_seconds": 20, "until_pattern": "\\d"});
    let reply = server.call("execute_command_background", &stay)?;
    // Where it really is: the place that is configured may not be to be had.
    let path = Path::new(text(&reply["result"]["output_path"]));
    if let Some(root) = path.ancestors().nth(2) {
        say("output", root.display());
    }
    let running = &reply["result"]["running"];
    ensure!(
        running == true,
        "a command that stays was reported as {reply}"
    );
    let reply = server.call(
        "cleanup_background_process",
        &json!({"ref_id": reply["ref_id"]}),
    )?;
    say("stop", text(&reply["message"]));
    ensure!(
        reply["result"]["state"] == "stopped",
        "a stopped command was reported as {reply}"
    );

    let took = server.end()?;
    say(
        "end",
        format!("the server ended after {} ms", took.as_millis()),
    );
    Ok(())
}

/// The real server, with the same options.
struct Server {
    process: Child,
    input: Option<ChildStdin>,
    answers: Receiver<Value>,
    last_id: u64,
}

impl Server {
    fn start() -> Result<Self> {
        let mut command = Command::new(own::program()?);
        command
            .args(std::env::args_os().skip(1).filter(|flag| flag != "--check"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if std::env::var_os("BACKGROUND_COMMAND_MCP_LOG").is_none() {
            // What is well is said here.
            command.env("BACKGROUND_COMMAND_MCP_LOG", "warn");
        }
        let mut process = command.spawn().context("the server could not be started")?;
        let input = process.stdin.take();
        let output = process.stdout.take().context("no standard output")?;
        let (told, answers) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            for answer in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
                // Nobody listens any more once the check is over.
                drop(told.send(answer));
            }
        });
        Ok(Self {
            process,
            input,
            answers,
            last_id: 0,
        })
    }

    fn request(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.last_id += 1;
        let id = self.last_id;
        let line = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let mut input = self.input.as_ref().context("the input is closed")?;
        writeln!(input, "{line}").with_context(|| format!("the server did not take {method}"))?;
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let answer = self.answers.recv_timeout(left);
            let mut answer =
                answer.with_context(|| format!("the server did not answer {method}"))?;
            if answer["id"] == id {
                let result = answer["result"].take();
                ensure!(!result.is_null(), "{method} was answered with {answer}");
                return Ok(result);
            }
        }
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Result<Value> {
        let params = json!({"name": tool, "arguments": arguments});
        let mut result = self.request("tools/call", &params)?;
        let reply = result["structuredContent"].take();
        if result["isError"] == true {
            let reason = [&reply["error"], &reply["message"]].map(text).concat();
            bail!("{tool} failed: {reason}");
        }
        Ok(reply)
    }

    /// Closes its input, as clients do.
    fn end(&mut self) -> Result<Duration> {
        let began = Instant::now();
        drop(self.input.take());
        while began.elapsed() < END_WITHIN {
            if let Some(status) = self.process.try_wait()? {
                ensure!(status.success(), "the server ended with {status}");
                return Ok(began.elapsed());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!(
            "the server did not end within {}",
            human_duration(END_WITHIN)
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.input.is_some() {
            // A failed check: what the server has started still has to go.
            drop(self.end());
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// One line of the report. Where nobody reads, nobody misses it.
fn say(what: &str, found: impl Display) {
    drop(writeln!(io::stdout(), "{what:<12} {found}"));
}
