//! The binary: read the configuration, serve.

use std::process::ExitCode;

use background_command_mcp::config::Config;
use clap::Parser;

fn main() -> ExitCode {
    if background_command_mcp::is_watchdog() {
        background_command_mcp::stand_by();
        return ExitCode::SUCCESS;
    }
    let config = Config::parse();
    match background_command_mcp::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
