//! Every limit and default, read once from flags and environment, validated before anything starts.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use clap::builder::{
    BoolishValueParser, PathBufValueParser, RangedU64ValueParser, TypedValueParser,
};
use clap::{
    ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, value_parser,
};
use uuid::Uuid;

use crate::process::shell::{Shell, default_shell};
use crate::process::{check_directory, login_env};

/// Shell jobs for AI agents: a stdio MCP server that starts commands in the background, waits for them and keeps their output.
///
/// It is started by an MCP client, which talks JSON-RPC on standard input and output. Each option can also be set by the
/// environment variable named beside it.
#[derive(Clone, Debug, Parser)]
#[command(
    version,
    name = "background-command-mcp",
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub struct Config {
    /// Command line that receives the command as its last argument [default: bash -c where there is a bash, else /bin/sh -c]
    #[arg(long, default_value_t = default_shell(), hide_default_value = true, value_parser = Shell::parse)]
    pub shell: Shell,

    /// Working directory of jobs that name none [default: the client's project or the server's own, else the home directory]
    #[arg(long, value_parser = directory)]
    pub cwd: Option<PathBuf>,

    /// Give jobs the PATH and the variables of your login shell, read once at the first job [default: off]
    #[arg(long, value_parser = BoolishValueParser::new().try_map(login_env::allowed))]
    pub login_env: bool,

    /// Jobs that may have a live process at the same time
    #[arg(long, default_value_t = 100, value_parser = whole(u32::MAX as usize))]
    pub max_running: usize,

    /// Finished jobs whose results are kept
    #[arg(long, default_value_t = 1000, value_parser = whole(u32::MAX as usize))]
    pub max_finished: usize,

    /// How long a result is kept after its job has finished
    #[arg(long, default_value = "3600", value_parser = seconds)]
    pub retention_seconds: Duration,

    /// Directory for captured output [default: background-command-mcp in the user's cache directory]
    #[arg(long, value_parser = PathBufValueParser::new().try_map(|path| from_here(&path)))]
    pub output_dir: Option<PathBuf>,

    /// Output kept for each stream of a job: its start and its newest part
    #[arg(long, default_value_t = 64 << 20, value_parser = value_parser!(u64).range(MIN_OUTPUT_BYTES..))]
    pub max_output_bytes: u64,

    /// Output kept in all; the oldest finished jobs go when fifteen sixteenths of it are taken
    #[arg(long, default_value_t = 2 << 30, value_parser = value_parser!(u64).range(MIN_OUTPUT_BYTES..))]
    pub max_total_bytes: u64,

    /// Characters of output in a reply when the call names no number
    #[arg(long, default_value_t = 8000, value_parser = whole(MAX_CHARS_LIMIT))]
    pub max_chars: usize,

    /// Longest wait of one call [default: 45; 600 for clients known to allow it]
    #[arg(long, value_parser = some_seconds)]
    pub max_wait_seconds: Option<Duration>,

    /// Time between TERM and KILL when a job is stopped
    #[arg(long, default_value = "3", value_parser = seconds)]
    pub stop_grace_seconds: Duration,

    /// What is logged to standard error: a level, or a filter like `background_command_mcp=debug,rmcp=warn`
    #[arg(long, default_value = DEFAULT_LOG)]
    pub log: String,

    /// Append logs to this file instead of standard error
    #[arg(long, value_parser = PathBufValueParser::new().try_map(absolute))]
    pub log_file: Option<PathBuf>,

    /// Format of log lines
    #[arg(long, default_value = "text")]
    pub log_format: LogFormat,

    /// Test the set-up: run jobs with the other options, print what was found, and exit
    #[arg(long)]
    pub check: bool,

    /// Let jobs outlive the client: they belong to one background process of the user, which clients with this flag share [default: off]
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub keep: bool,

    /// Given to the background process that a client with --keep starts, and twice to the one that this starts under Windows
    #[arg(long, hide = true, action = ArgAction::Count)]
    pub daemon: u8,

    #[command(subcommand)]
    pub command: Option<Command>,

    /// The pid of the supervisor, whose end is the end of this server
    #[arg(skip)]
    pub supervisor: Option<u32>,

    /// The name of the output directory, which the supervisor removes if the server does not
    #[arg(skip)]
    pub directory_id: Option<Uuid>,
}

/// For people, not for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Look at the background process that --keep leaves jobs with, or end it
    Daemon {
        #[command(subcommand)]
        action: Action,
    },
}

/// What to do with the background process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Action {
    /// Tell its pid, its connections and its jobs
    Status,
    /// End it with all its jobs
    Stop,
}

pub const DEFAULT_LOG: &str = "info";

/// Below this the store could not keep a head and a tail worth reading.
const MIN_OUTPUT_BYTES: u64 = 64 << 10;

/// The most characters of output that one reply may carry.
pub const MAX_CHARS_LIMIT: usize = 100_000;

/// The longest duration a flag takes: ten years, far from where `Instant` arithmetic overflows.
const LONGEST_SECONDS: f64 = 10.0 * 365.0 * 86_400.0;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// Reads the flags and the environment. Ends the process where they ask for help or cannot be used.
    pub fn read() -> Self {
        let command = Self::command().mut_args(|argument| {
            let flag = argument.get_long().unwrap_or_default().to_uppercase().replace('-', "_");
            let variable = format!("BACKGROUND_COMMAND_MCP_{flag}");
            match std::env::var_os(&variable) {
                Some(value) if is_no_value(&value) => argument,
                _ if argument.is_hide_set() || argument.get_id() == "check" => argument,
                // For the life of the process, as clap wants it.
                _ => argument.env(&*variable.leak()),
            }
        });
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

/// Hosts that have a form for settings pass an empty one as an empty string, or as the placeholder it would have replaced.
fn is_no_value(value: &OsStr) -> bool {
    let value = value.to_string_lossy();
    let value = value.trim();
    value.is_empty() || (value.starts_with("${") && value.ends_with('}'))
}

fn whole(most: usize) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=most as u64)
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=LONGEST_SECONDS).contains(&number) => {
            Ok(Duration::from_secs_f64(number))
        }
        Ok(_) => Err(format!("must be from 0 to {LONGEST_SECONDS} seconds")),
        Err(_) => Err("must be a number of seconds".to_owned()),
    }
}

fn some_seconds(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        Duration::ZERO => {
            Err("must be more than 0: a call that may not wait leaves nothing but polling"
                .to_owned())
        }
        some => Ok(some),
    }
}

fn directory(text: &str) -> io::Result<PathBuf> {
    let path = from_here(Path::new(text))?;
    check_directory(&path)?;
    Ok(path)
}

/// Absolute, since the background process of `--keep` leaves the directory in which it was started.
fn from_here(path: &Path) -> io::Result<PathBuf> {
    absolute(expand_tilde(path, dirs::home_dir()))
}

/// The path, with the user's home in place of a leading `~`: no shell has seen a client's settings, nor a call's parameters.
pub fn expand_tilde(path: &Path, home: Option<PathBuf>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) if rest.as_os_str().is_empty() => home,
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_setting_is_no_setting() {
        for nothing in ["", " ", "${user_config.shell}", "${workspaceFolder}"] {
            assert!(is_no_value(OsStr::new(nothing)), "{nothing:?}");
        }
        for something in ["0", "bash -c", "${HOME}/bin"] {
            assert!(!is_no_value(OsStr::new(something)), "{something:?}");
        }
    }
}
