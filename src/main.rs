//! The binary: read the configuration, serve.

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
        return background_command_mcp::check(&config);
    }
    match background_command_mcp::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
