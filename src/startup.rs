//! Once, before there is a thread or a runtime: gives up what this process inherited and a job must not see.
//!
//! A server is started from a terminal, an editor, a service manager, a script that ignores signals. What of that survives
//! `exec` would reach every job:
//!
//! - the controlling terminal, which a job could open as `/dev/tty` to ask a question that stays unanswered;
//! - ignored signals: `exec` keeps them, and a process that ignores SIGCHLD is told of no exit;
//! - a signal mask, under which a request to end would not arrive;
//! - descriptors beyond the standard three (those, where they were closed, the Rust runtime has opened on `/dev/null`).

pub use system::{raise_descriptor_limit, reset_inherited_state};

#[cfg(unix)]
mod system {
    use std::fs::read_dir;
    use std::sync::Arc;
    use std::{io, mem, ptr};

    use rustix::process::{Resource, getrlimit, setrlimit, setsid};
    use signal_hook::consts::{SIGPIPE, SIGXFSZ};

    /// The highest signal on any system. A system refuses those that it does not have.
    const LAST_SIGNAL: libc::c_int = 64;

    /// Signals have their default effect afterwards, and only the standard streams are open. To be called before this process
    /// opens anything itself.
    pub fn reset_inherited_state() -> io::Result<()> {
        // Refused to a supervisor that leads its process group. The server, its child, leads none, and has a session of its own.
        let _ = setsid();
        let open = read_dir("/proc/self/fd").or_else(|_| read_dir("/dev/fd"));
        let names = open.into_iter().flatten().flatten().map(|entry| entry.file_name());
        let open: Vec<libc::c_int> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
        // SAFETY: this is the only thread, and there is no handler yet. A structure is read only after the call that fills it;
        // all zeroes are valid for both. SIG_DFL runs no code. No value owns one of the descriptors; that of the list is closed
        // already, which is an error of `close`.
        #[expect(
            unsafe_code,
            reason = "dispositions, mask and descriptors that may not be open have no safe interface"
        )]
        unsafe {
            // The Rust runtime ignores SIGPIPE, relies on that, and resets it in children.
            for signal in (1..=LAST_SIGNAL).filter(|&signal| signal != SIGPIPE) {
                let mut action: libc::sigaction = mem::zeroed();
                if libc::sigaction(signal, ptr::null(), &raw mut action) == 0
                    && action.sa_sigaction == libc::SIG_IGN
                {
                    libc::signal(signal, libc::SIG_DFL);
                }
            }
            let mut none: libc::sigset_t = mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
            for fd in open.into_iter().filter(|fd| *fd > 2) {
                libc::close(fd);
            }
        }
        // A write beyond the limit on the size of a file is then an error, as on a full disk, and not the end of the server. Not
        // ignored: `exec` resets a handler, so that jobs have the default.
        signal_hook::flag::register(SIGXFSZ, Arc::default())?;
        Ok(())
    }

    /// Raises the soft limit on open descriptors to this, as far as the hard one allows.
    pub fn raise_descriptor_limit(needed: u64) -> io::Result<()> {
        let mut limit = getrlimit(Resource::Nofile);
        let raised = needed.min(limit.maximum.unwrap_or(u64::MAX));
        // No limit is written as `None`.
        if limit.current.is_some_and(|soft| soft < raised) {
            limit.current = Some(raised);
            setrlimit(Resource::Nofile, limit)?;
        }
        Ok(())
    }
}

#[cfg(windows)]
mod system {
    use std::io;

    use crate::process::console;

    /// Standard streams are not inherited by jobs afterwards, and there is a console to share with them.
    pub fn reset_inherited_state() -> io::Result<()> {
        console::prepare();
        Ok(())
    }

    /// A process may have as many handles as it needs.
    pub fn raise_descriptor_limit(_needed: u64) -> io::Result<()> {
        Ok(())
    }
}
