//! How a server is started: with the bare environment that a desktop client gives it, on pipes or sockets.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use super::client::{Client, Output};

pub const SERVER: &str = env!("CARGO_BIN_EXE_background-command-mcp");

/// A command with the environment of a client that was started from a dock: no terminal, hardly a variable.
pub fn with_desktop_environment(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LANG", "C.UTF-8");
    let kept = ["PATH", "HOME", "USER", "SHELL"];
    command.envs(kept.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command
}

/// A server without a client, whose jobs' output goes here.
pub fn server_command(output_dir: &Path) -> Command {
    let mut command = with_desktop_environment(SERVER);
    command.env("BACKGROUND_COMMAND_MCP_OUTPUT_DIR", output_dir);
    command
}

/// What clients connect a server's standard streams to: Python gives it FIFOs, Node socket pairs.
#[derive(Clone, Copy, Debug)]
pub enum Wire {
    Fifo,
    Socket,
}

pub const WIRES: [Wire; 2] = [Wire::Fifo, Wire::Socket];

impl Wire {
    /// A stream to the server: our end and the server's.
    pub fn input(self) -> (OwnedFd, OwnedFd) {
        let (theirs, ours) = self.output();
        (ours, theirs)
    }

    /// A stream from the server: our end and the server's.
    pub fn output(self) -> (OwnedFd, OwnedFd) {
        match self {
            Self::Fifo => {
                let (reader, writer) = io::pipe().unwrap();
                (reader.into(), writer.into())
            }
            Self::Socket => {
                let (ours, theirs) = UnixStream::pair().unwrap();
                (ours.into(), theirs.into())
            }
        }
    }
}

pub struct Setup {
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    client: String,
    launcher: Option<String>,
    output_dir: Option<PathBuf>,
    streams: [(OwnedFd, OwnedFd); 2],
    log: Option<OwnedFd>,
}

impl Setup {
    pub fn new() -> Self {
        Self::on(Wire::Fifo)
    }

    pub fn on(wire: Wire) -> Self {
        Self {
            flags: Vec::new(),
            environment: Vec::new(),
            client: "tests".to_owned(),
            launcher: None,
            output_dir: None,
            streams: [wire.input(), wire.output()],
            log: None,
        }
    }

    /// Standard input and output, each as our end and the server's.
    pub fn streams(mut self, input: (OwnedFd, OwnedFd), output: (OwnedFd, OwnedFd)) -> Self {
        self.streams = [input, output];
        self
    }

    /// Standard error, which otherwise is what `Client::log` reads.
    pub fn log_to(mut self, log: OwnedFd) -> Self {
        self.log = Some(log);
        self
    }

    pub fn flags<const N: usize>(mut self, flags: [&str; N]) -> Self {
        self.flags.extend(flags.map(str::to_owned));
        self
    }

    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The name that the client gives itself.
    pub fn client(mut self, name: &str) -> Self {
        name.clone_into(&mut self.client);
        self
    }

    /// Shell that runs before the server in the same process: limits, ignored signals. It ends in starting `"$@"`.
    pub fn after(mut self, shell: &str) -> Self {
        self.launcher = Some(format!("{shell}; exec \"$@\""));
        self
    }

    /// Output goes here instead of into a directory of this server alone.
    pub fn output_dir(mut self, path: &Path) -> Self {
        self.output_dir = Some(path.to_owned());
        self
    }

    /// Starts the server and shakes hands with it.
    #[track_caller]
    pub fn start(self) -> Client {
        let name = self.client.clone();
        let mut client = self.spawn();
        client.shake_hands(&name);
        client
    }

    /// Starts the server and says nothing.
    #[track_caller]
    pub fn spawn(self) -> Client {
        let own = TempDir::new().unwrap();
        let shared_output = self.output_dir.is_some();
        let output_dir = self.output_dir.unwrap_or_else(|| own.path().join("output"));
        let mark = format!("TEST_SERVER={}", Uuid::new_v4());
        let (name, value) = mark.split_once('=').unwrap();
        let mut command = match &self.launcher {
            Some(shell) => {
                let mut command = with_desktop_environment("/bin/sh");
                command.args(["-c", shell, "sh", SERVER]);
                command
            }
            None => with_desktop_environment(SERVER),
        };
        let [(input, server_input), (output, server_output)] = self.streams;
        let log = self.log.unwrap_or_else(|| File::create(own.path().join("log")).unwrap().into());
        let server = command
            .args(&self.flags)
            .arg("--output-dir")
            .arg(&output_dir)
            .env(name, value)
            .envs(self.environment)
            .stdin(server_input)
            .stdout(server_output)
            .stderr(log)
            .spawn();
        Client {
            supervisor: RefCell::new(Some(server.unwrap())),
            input: RefCell::new(Some(input.into())),
            output: RefCell::new(Output::of(output)),
            next_id: Cell::new(1),
            initialized: Value::Null,
            output_dir,
            shared_output,
            mark,
            own,
        }
    }
}
