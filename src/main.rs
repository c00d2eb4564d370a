//! The binary: a supervisor, or the server that it starts.

use std::io::Write;
use std::process::ExitCode;

#[cfg(unix)]
use background_command_mcp::config::Command;
use background_command_mcp::config::Config;
#[cfg(unix)]
use background_command_mcp::keep;

fn main() -> ExitCode {
    if background_command_mcp::is_printer() {
        background_command_mcp::print_environment();
        return ExitCode::SUCCESS;
    }
    let config = Config::read();
    let ended = if config.check {
        return background_command_mcp::check(config);
    } else {
        serve(config)
    };
    ended.unwrap_or_else(|error| {
        // Not logged: there may be no log yet, and a log file is not where one looks for why a server does not start.
        drop(writeln!(std::io::stderr(), "background-command-mcp: {error:#}"));
        ExitCode::FAILURE
    })
}

/// The client's own child is the supervisor, and the server is a child of that.
#[cfg(unix)]
fn serve(config: Config) -> anyhow::Result<ExitCode> {
    if let Some(Command::Daemon { action }) = config.command {
        return keep::relay::control(action);
    }
    match (config.supervised, config.daemon) {
        (Some(_), false) => background_command_mcp::run(config).map(|()| ExitCode::SUCCESS),
        (Some(_), true) => keep::daemon::run(config).map(|()| ExitCode::SUCCESS),
        (None, false) if config.keep => keep::relay::relay(&config),
        (None, _) => background_command_mcp::supervisor::supervise(&config),
    }
}

/// What a killed server leaves is ended by the kernel.
#[cfg(windows)]
fn serve(config: Config) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        !config.keep && config.command.is_none(),
        "--keep is not to be had under Windows: its socket is one of Unix"
    );
    background_command_mcp::run(config).map(|()| ExitCode::SUCCESS)
}
