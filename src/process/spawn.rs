//! Starts a shell command.

use std::ffi::OsString;
use std::io::{self, PipeReader};
use std::path::Path;
use std::process::Stdio;

use tokio::process::{ChildStdin, Command};
use uuid::Uuid;

use super::check_directory;
use super::launcher::path_before_uvx;
use super::reaper::Reaper;
use super::shell::Shell;
use super::tree::{Tree, prepare};
use crate::job::JobError;

/// Variables by name.
pub type Variables = Vec<(OsString, OsString)>;

/// Variables to set, and those without a value to remove.
pub type Changes = Vec<(OsString, Option<OsString>)>;

/// What to start.
#[derive(Debug)]
pub struct Order<'a> {
    pub job: Uuid,
    pub shell: &'a Shell,
    pub command: &'a str,
    pub cwd: &'a Path,
    pub environment: &'a Changes,
    pub with_stdin: bool,
}

/// A started command.
#[derive(Debug)]
pub struct Process {
    pub tree: Tree,
    pub stdin: Option<ChildStdin>,
    pub stdout: PipeReader,
    pub stderr: PipeReader,
}

impl Order<'_> {
    /// Why it could not be carried out.
    pub fn refused(&self, error: io::Error) -> JobError {
        use io::ErrorKind::{
            ArgumentListTooLong, NotADirectory, NotFound, PermissionDenied, Unsupported,
        };
        match error.kind() {
            Unsupported => JobError::NotForShell(error),
            ArgumentListTooLong => JobError::CommandTooLong { bytes: self.command.len() },
            // The same error for the directory, which may have gone since it was looked at, and for the program.
            NotFound | NotADirectory | PermissionDenied if check_directory(self.cwd).is_err() => {
                JobError::NoDirectory { path: self.cwd.to_owned(), error }
            }
            NotFound | NotADirectory | PermissionDenied => {
                JobError::NoShell { program: self.shell.program.clone(), error }
            }
            _ => JobError::Resources(error),
        }
    }
}

/// Starts the command.
pub fn spawn(order: &Order<'_>, reaper: &Reaper) -> io::Result<Process> {
    let (stdout, to_stdout) = io::pipe()?;
    let (stderr, to_stderr) = io::pipe()?;
    let mut command = Command::new(&order.shell.program);
    command.envs(path_before_uvx().map(|path| ("PATH", path)));
    for (name, value) in order.environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    prepare(order, &mut command)?;
    let mut child = command
        .current_dir(order.cwd)
        .stdin(if order.with_stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(to_stdout)
        .stderr(to_stderr)
        .spawn()?;
    let stdin = child.stdin.take();
    Ok(Process { tree: Tree::of(child, order.job, reaper)?, stdin, stdout, stderr })
}
