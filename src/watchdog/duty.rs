//! What the watchdog does: it waits until the server is gone, then ends what the server has left.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use super::end_jobs::end_jobs;
use super::ledger;
use crate::hygiene;
use crate::output::directory::remove_directory;

/// The whole life of the watchdog process.
pub fn stand_by() {
    hygiene::ignore_requests_to_end();
    // Nothing ever comes. It ends when the server has closed the other end, which the kernel does for one that is killed.
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    let Ok(ledger) = io::stdout().as_fd().try_clone_to_owned() else {
        return;
    };
    let Ok(left) = ledger::read(&File::from(ledger)) else {
        return;
    };
    if !left.jobs.is_empty() {
        end_jobs(&left.jobs.into_iter().collect());
    }
    if let Some(directory) = left.directory.filter(|path| path.exists()) {
        remove_directory(&directory);
    }
}
