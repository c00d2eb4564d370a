//! How a server is started.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use super::inbox::Inbox;
use super::{Client, SERVER};
use crate::support::reply::Schemas;

/// How a server is started.
pub(crate) struct Setup {
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    client: String,
    /// Shell that ends in starting the server, which is `"$@"`.
    launcher: Option<String>,
    output_dir: Option<PathBuf>,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self {
            flags: Vec::new(),
            environment: Vec::new(),
            client: "tests".to_owned(),
            launcher: None,
            output_dir: None,
        }
    }

    pub(crate) fn flags<const N: usize>(mut self, flags: [&str; N]) -> Self {
        self.flags.extend(flags.map(str::to_owned));
        self
    }

    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The name that the client gives itself.
    pub(crate) fn client(mut self, name: &str) -> Self {
        name.clone_into(&mut self.client);
        self
    }

    /// Shell that runs before the server in the same process: limits, ignored signals.
    pub(crate) fn after(mut self, shell: &str) -> Self {
        self.launcher = Some(format!("{shell}; exec \"$@\""));
        self
    }

    /// Output goes here instead of into a directory of this server alone.
    pub(crate) fn output_dir(mut self, path: &Path) -> Self {
        self.output_dir = Some(path.to_owned());
        self
    }

    /// Starts the server and shakes hands with it.
    #[track_caller]
    pub(crate) fn start(self) -> Client {
        let own = TempDir::new().unwrap();
        let shared_output = self.output_dir.is_some();
        let output_dir = self.output_dir.unwrap_or_else(|| own.path().join("output"));
        let mark = format!("TEST_SERVER={}", Uuid::new_v4());
        let (name, value) = mark.split_once('=').unwrap();
        let mut command = match &self.launcher {
            Some(shell) => {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", shell, "sh", SERVER]);
                command
            }
            None => Command::new(SERVER),
        };
        command
            .args(&self.flags)
            .arg("--output-dir")
            .arg(&output_dir)
            .env(name, value)
            .envs(self.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut server = command.spawn().unwrap();
        let stdin = server.stdin.take();
        let inbox = Arc::new(Inbox::default());
        let stdout = server.stdout.take().unwrap();
        let stderr = server.stderr.take().unwrap();
        std::thread::spawn({
            let inbox = inbox.clone();
            move || inbox.read_from(stdout)
        });
        std::thread::spawn({
            let inbox = inbox.clone();
            move || inbox.read_log_from(stderr)
        });
        let mut client = Client {
            server: RefCell::new(Some(server)),
            stdin: Mutex::new(stdin),
            inbox,
            next_id: AtomicI64::new(1),
            schemas: Schemas::of(&[]),
            tools: Vec::new(),
            initialized: Value::Null,
            output_dir,
            shared_output,
            mark,
            own,
        };
        client.initialize(&self.client);
        client
    }
}
