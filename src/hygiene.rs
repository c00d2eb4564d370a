//! What a process inherits and a job must not see.
//!
//! A server is started from anything: a terminal, an editor, a service manager, a script that ignores signals. What of that
//! survives `exec` would reach every job. It is shed once, before there is a thread or a runtime:
//!
//! - the controlling terminal, which a job could open as `/dev/tty` to ask a question that nobody sees;
//! - descriptors beyond the standard three (those, where they were closed, the Rust runtime has opened on `/dev/null`);
//! - a signal mask, under which a request to end would not arrive;
//! - ignored signals: `exec` resets handled ones and keeps ignored ones, and who ignores SIGCHLD is told of no exit.
//!
//! Handlers are installed elsewhere; until then a signal has its default effect, which is right while there is no job.

#![expect(
    unsafe_code,
    reason = "signal dispositions and close_range have no safe interface"
)]

use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::{io, ptr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, setsid};

/// Gives up what was inherited. Call it before anything else runs.
pub(crate) fn shed_inheritance() {
    // In this order: giving up a terminal needs a say over SIGHUP, and an unblocked signal its default effect.
    reset_ignored_signals();
    leave_terminal();
    survive_file_size_limit();
    unblock_signals();
    hide_descriptors();
}

/// Raises the soft limit on open descriptors to `needed`, as far as the hard one allows. Returns what is in force.
pub(crate) fn raise_descriptor_limit(needed: u64) -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    // No limit is written as `None`.
    let (Some(soft), hard) = (limit.current, limit.maximum.unwrap_or(u64::MAX)) else {
        return Ok(u64::MAX);
    };
    let raised = needed.min(hard);
    if raised <= soft {
        return Ok(soft);
    }
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(raised),
            ..limit
        },
    )?;
    Ok(raised)
}

/// A session of its own has no terminal. It also keeps an interrupt typed at the client's terminal away: the client ends
/// the server by closing its input if it means to. Only a supervisor that leads its group cannot do this; the server, its
/// child, does.
fn leave_terminal() {
    let _ = setsid();
}

/// SIGPIPE stays ignored: the Rust runtime does that, relies on it, and resets it in children.
fn reset_ignored_signals() {
    /// The highest number anywhere; the system refuses those that it does not have.
    const LAST_SIGNAL: libc::c_int = 64;

    for signal in (1..=LAST_SIGNAL).filter(|&signal| signal != libc::SIGPIPE) {
        let mut action = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: a null new action changes nothing, and the old one is read only where the call has written it.
        let is_ignored = unsafe {
            libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0
                && action.assume_init().sa_sigaction == libc::SIG_IGN
        };
        if is_ignored {
            set_disposition(signal, libc::SIG_DFL);
        }
    }
}

/// A write beyond the limit on the size of files is to be an error, as on a full disk, and not the end of the server. With
/// a handler rather than by ignoring the signal: `exec` resets handlers, so that jobs have it as ever.
fn survive_file_size_limit() {
    extern "C" fn note(_signal: libc::c_int) {}
    // SAFETY: the handler does nothing, which is safe at any time.
    unsafe { libc::signal(libc::SIGXFSZ, note as *const () as libc::sighandler_t) };
}

/// `disposition` is SIG_DFL or SIG_IGN.
fn set_disposition(signal: libc::c_int, disposition: libc::sighandler_t) -> bool {
    // SAFETY: neither disposition runs code of ours.
    unsafe { libc::signal(signal, disposition) != libc::SIG_ERR }
}

fn unblock_signals() {
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set; with one thread, the thread's mask is the process's.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
}

/// Makes every descriptor from 3 up close on exec. They stay open here: whoever left them open may rely on it.
fn hide_descriptors() {
    #[cfg(target_os = "linux")]
    {
        // By number: musl has no wrapper.
        // SAFETY: the flag makes the call close nothing.
        let hidden = unsafe {
            libc::syscall(
                libc::SYS_close_range,
                3,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            )
        };
        if hidden == 0 {
            return;
        }
    }
    // Before Linux 5.11, and elsewhere: one by one, as far as they can be listed.
    let Ok(listing) = std::fs::read_dir("/dev/fd") else {
        return;
    };
    let numbers = listing.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    for fd in numbers.filter(|&fd: &RawFd| fd > 2) {
        // SAFETY: on a number that is not open, the listing's own by then, this is an error and nothing else.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}
