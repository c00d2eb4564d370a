//! Starts a shell command.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, PipeReader};
use std::path::Path;
use std::process::Stdio;

use tokio::process::{ChildStdin, Command};
use uuid::Uuid;

use super::check_directory;
use super::platform::find_program;
use super::reaper::Reaper;
use super::shell::Shell;
use super::tree::{Tree, prepare};
use crate::job::JobError;

/// Variables by name.
pub type Variables = BTreeMap<OsString, OsString>;

/// What to start.
#[derive(Debug)]
pub struct Order<'a> {
    pub job: Uuid,
    pub shell: &'a Shell,
    pub command: &'a str,
    pub cwd: &'a Path,
    /// All of it: nothing is inherited.
    pub environment: &'a Variables,
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
    // An absolute path: the standard library looks a bare name up in a fork of the whole server.
    let program = order.environment.get(OsStr::new("PATH"));
    let program = program.and_then(|path| find_program(&order.shell.program, path));
    let program = program.unwrap_or_else(|| (&order.shell.program).into());
    let mut command = Command::new(program);
    command.env_clear().envs(order.environment);
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
