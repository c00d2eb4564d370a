//! The binary: a supervisor, or the server that it starts.

use std::io::Write;
use std::process::ExitCode;

use background_command_mcp::config::Config;

fn main() -> ExitCode {
    if background_command_mcp::is_printer() {
        background_command_mcp::print_environment();
        return ExitCode::SUCCESS;
    }
    let config = Config::read();
    let ended = if config.check {
        return background_command_mcp::check(config);
    } else if config.supervised.is_some() {
        background_command_mcp::run(config).map(|()| ExitCode::SUCCESS)
    } else {
        background_command_mcp::supervise(&config)
    };
    ended.unwrap_or_else(|error| {
        // Not logged: there may be no log yet, and a log file is not where one looks for why a server does not start.
        drop(writeln!(std::io::stderr(), "background-command-mcp: {error:#}"));
        ExitCode::FAILURE
    })
}
