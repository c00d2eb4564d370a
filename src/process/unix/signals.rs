//! Names of signals, and those by which this process is asked to end.

use std::io;

use rustix::process::Signal;
use signal_hook::low_level::signal_name;
use tokio::signal::unix::{SignalKind, signal};

/// How a process is asked to end, and how it is ended.
pub const TERMINATE: &str = "TERM";
pub const KILL: &str = "KILL";

/// Resolves with the name of the first signal that asks this process to end. They have no other effect from now on.
pub fn end_request() -> io::Result<impl Future<Output = String>> {
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        let number = tokio::select! {
            _ = hang_up.recv() => Signal::HUP,
            _ = interrupt.recv() => Signal::INT,
            _ = quit.recv() => Signal::QUIT,
            _ = terminate.recv() => Signal::TERM,
        };
        name(number.as_raw())
    })
}

/// `SIGKILL` for 9. Signals without a name of their own are numbered: `SIG34`.
pub fn name(number: i32) -> String {
    signal_name(number).map_or_else(|| format!("SIG{number}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    #[test]
    fn signals_have_the_names_that_kill_lists() {
        let names = [1, 2, 6, 9, 11, 13, 14, 15].map(super::name);
        assert_eq!(
            names,
            ["SIGHUP", "SIGINT", "SIGABRT", "SIGKILL", "SIGSEGV", "SIGPIPE", "SIGALRM", "SIGTERM"]
        );
        assert_eq!(super::name(60), "SIG60");
    }
}
