//! The binary: a supervisor, or the server that it starts.

use std::io::Write;
use std::process::ExitCode;

use background_command_mcp::config::Config;
use background_command_mcp::keep;
#[cfg(unix)]
use background_command_mcp::supervisor::supervise;

fn main() -> ExitCode {
    if background_command_mcp::is_printer() {
        background_command_mcp::print_environment();
        return ExitCode::SUCCESS;
    }
    let config = Config::read();
    if config.check {
        return background_command_mcp::check(config);
    }
    serve(config).unwrap_or_else(|error| {
        // Not logged: there may be no log yet, and a log file is not where one looks for why a server does not start.
        drop(writeln!(std::io::stderr(), "background-command-mcp: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Where there is a supervisor, the client's own child is that, and the server is a child of it.
fn serve(config: Config) -> anyhow::Result<ExitCode> {
    match config {
        Config { command: Some(_), .. } | Config { keep: true, daemon: 0, .. } => {
            keep::relay::run(config).map(|()| ExitCode::SUCCESS)
        }
        Config { daemon: 0, .. } => supervise(config, background_command_mcp::run),
        _ => supervise(config, keep::daemon::run),
    }
}

/// What a killed server leaves is ended by the kernel. The background process is started once more, and this one ends: so no
/// client finds it in its own tree of processes.
#[cfg(windows)]
fn supervise(config: Config, serve: fn(Config) -> anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    match config.daemon {
        1 => background_command_mcp::start_in_background("--daemon")?,
        _ => serve(config)?,
    }
    Ok(ExitCode::SUCCESS)
}
