//! Names of signals.

use rustix::process::Signal;

/// `SIGKILL` for 9. Signals without a name of their own are numbered: `SIG34`.
pub fn name(number: i32) -> String {
    let known = Signal::from_named_raw(number).map(|signal| format!("{signal:?}"));
    let short = known
        .as_deref()
        .and_then(|debug| debug.trim_matches('"').strip_prefix("Signal::").map(str::to_owned));
    match short.as_deref() {
        Some("ABORT") => "SIGABRT".to_owned(),
        Some("ALARM") => "SIGALRM".to_owned(),
        Some("CHILD") => "SIGCHLD".to_owned(),
        Some("POWER") => "SIGPWR".to_owned(),
        Some("VTALARM") => "SIGVTALRM".to_owned(),
        Some(short) => format!("SIG{short}"),
        None => format!("SIG{number}"),
    }
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
