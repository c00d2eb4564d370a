//! The binary: read the configuration, serve.

use std::io::Write;
use std::process::ExitCode;

use background_command_mcp::config::Config;

fn main() -> ExitCode {
    if background_command_mcp::is_watchdog() {
        background_command_mcp::stand_by();
        return ExitCode::SUCCESS;
    }
    if background_command_mcp::is_printer() {
        background_command_mcp::print_environment();
        return ExitCode::SUCCESS;
    }
    let config = Config::read();
    if config.check {
        return background_command_mcp::check(config);
    }
    match background_command_mcp::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not logged: there may be no log yet, and nobody looks into a file for why a server does not start.
            drop(writeln!(
                std::io::stderr(),
                "background-command-mcp: {error:#}"
            ));
            ExitCode::FAILURE
        }
    }
}
