//! `--keep`: jobs that outlive their client.
//!
//! They belong to one background process of the user (`daemon`). What the client starts is then only a `relay`: it says
//! how its jobs are to run, and from then on carries lines between its standard streams and the daemon's socket. Behind the
//! socket is the same server as without `--keep`.

pub mod daemon;
pub mod relay;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::process::shell::Shell;
use crate::registry::connection::Connection;
use crate::registry::working_dir::WorkingDirectory;

/// The first line of a connection to the daemon.
#[derive(Debug, Serialize, Deserialize)]
enum Request {
    /// Lines of MCP follow, in both directions, once the daemon has answered with a line of its own.
    Serve(Box<Hello>),
    /// The answer is a [`Status`], and then the connection ends; or it ends with the daemon, which is to stop.
    Status { stop: bool },
}

/// How the jobs of a client are to run: a [`Connection`] on the wire.
#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    shell: Shell,
    directory: PathBuf,
    environment: Vec<(OsString, OsString)>,
    login_env: bool,
    max_wait: Option<Duration>,
}

/// What people want to know of the daemon.
#[derive(Debug, Serialize, Deserialize)]
struct Status {
    /// The supervisor's: the process to look at, or to kill.
    pid: u32,
    uptime_seconds: u64,
    connections: usize,
    running: usize,
    finished: usize,
}

impl Hello {
    fn of(connection: &Connection) -> Self {
        Self {
            shell: connection.shell.clone(),
            directory: connection.directory.path.clone(),
            environment: connection.environment.clone().into_iter().collect(),
            login_env: connection.login_env,
            max_wait: connection.max_wait,
        }
    }

    fn connection(self) -> Connection {
        let directory = WorkingDirectory { path: self.directory, source: "the client's" };
        let environment = self.environment.into_iter().collect();
        Connection::new(self.shell, directory, environment, self.login_env, self.max_wait)
    }
}
