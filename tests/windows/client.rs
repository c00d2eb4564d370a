//! A conversation with a server of one's own.

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::rc::Rc;

use serde_json::{Value, json};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use tempfile::TempDir;

use super::{eventually, pids};

pub struct Client {
    pub server: Child,
    pub input: Option<ChildStdin>,
    output: RefCell<BufReader<ChildStdout>>,
    next_id: Cell<u64>,
    /// With the output of this server, and of the one before it.
    pub own: Rc<TempDir>,
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_background-command-mcp"))
}

/// Runs the server without a client.
pub fn once(flags: &[&str]) -> Output {
    program().args(flags).stdin(Stdio::null()).output().unwrap()
}

impl Client {
    pub fn start(flags: &[&str]) -> Self {
        Self::start_in(Rc::new(tempfile::tempdir().unwrap()), flags, &[])
    }

    /// Another server, whose output is beside that of this one.
    pub fn next(&self) -> Self {
        Self::start_in(self.own.clone(), &[], &[])
    }

    /// With variables of its own.
    pub fn start_in(own: Rc<TempDir>, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let client = Self::spawn(own, flags, variables);
        let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
        client.request("initialize", hello);
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string());
        client
    }

    /// Says nothing to its server.
    pub fn spawn(own: Rc<TempDir>, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = program();
        command
            .envs(variables.iter().copied())
            .arg("--output-dir")
            .arg(own.path().join("output"))
            .args(flags);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn().unwrap();
        let input = server.stdin.take();
        let output = RefCell::new(BufReader::new(server.stdout.take().unwrap()));
        Self { server, input, output, next_id: Cell::new(1), own }
    }

    pub fn send(&self, line: &str) {
        let line = format!("{line}\n");
        self.input.as_ref().unwrap().write_all(line.as_bytes()).unwrap();
    }

    pub fn request(&self, method: &str, params: Value) -> Value {
        let id = self.next_id.replace(self.next_id.get() + 1);
        self.send(
            &json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string(),
        );
        loop {
            let mut line = String::new();
            self.output.borrow_mut().read_line(&mut line).unwrap();
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == id {
                return message["result"].clone();
            }
        }
    }

    /// What the server says until it closes its output.
    pub fn rest(&self) -> String {
        let mut rest = String::new();
        self.output.borrow_mut().read_to_string(&mut rest).unwrap();
        rest
    }

    pub fn tool(&self, name: &str, arguments: Value) -> Value {
        let reply = self.request("tools/call", json!({"name": name, "arguments": arguments}));
        reply["structuredContent"].clone()
    }

    pub fn execute(&self, arguments: Value) -> Value {
        self.tool("execute_command_background", arguments)
    }

    /// The result of a command that ends.
    pub fn run(&self, command: &str) -> Value {
        self.execute(json!({"cmd": command, "wait_seconds": 45}))["result"].clone()
    }

    /// The id of a command that goes on.
    pub fn stay(&self, command: &str) -> Value {
        let started = self.execute(json!({"cmd": command}));
        assert_eq!(started["error"], Value::Null, "{started}");
        started["ref_id"].clone()
    }

    pub fn get(&self, job: &Value, mut arguments: Value) -> Value {
        arguments["ref_id"] = job.clone();
        self.tool("get_command_background_result", arguments)
    }

    /// The directories of servers that are there.
    pub fn directories(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.own.path().join("output")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

pub fn is_alive(pid: u32) -> bool {
    processes().process(Pid::from_u32(pid)).is_some()
}

fn processes() -> System {
    let mut system = System::new();
    let what = ProcessRefreshKind::nothing();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
    system
}

/// The job's processes once there are so many, as its server tells them.
pub fn living(client: &Client, job: &Value, least: u64) -> Vec<u32> {
    eventually("processes of a job", || {
        client.get(job, json!({}))["processes"].as_u64() >= Some(least)
    });
    let reply = client.get(job, json!({}));
    match reply["leftover_processes"].is_array() {
        true => pids(&reply["leftover_processes"]),
        false => descend(client),
    }
}

/// What descends from the server, as far as parents are known.
fn descend(client: &Client) -> Vec<u32> {
    let system = processes();
    let mut found = vec![Pid::from_u32(client.server.id())];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        let children =
            system.processes().iter().filter(|(_, process)| process.parent() == Some(parent));
        found.extend(
            children.map(|(pid, _)| *pid).filter(|pid| !found.contains(pid)).collect::<Vec<_>>(),
        );
        at += 1;
    }
    found.iter().skip(1).map(|pid| pid.as_u32()).collect()
}
