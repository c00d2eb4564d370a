//! What the watchdog does: it listens until the server is gone, then ends what the server has left.

use std::io::BufRead;
use std::path::PathBuf;

use super::end_jobs::{Jobs, end_jobs};
use super::notice::Notice;
use crate::hygiene;
use crate::output::store::remove_directory;

/// What the server has said.
#[derive(Debug, Default)]
struct Charge {
    jobs: Jobs,
    directory: Option<PathBuf>,
}

/// The whole life of the watchdog process.
pub fn stand_by() {
    hygiene::ignore_requests_to_end();
    let charge = listen();
    if !charge.jobs.is_empty() {
        end_jobs(&charge.jobs);
    }
    if let Some(directory) = charge.directory.as_deref().filter(|path| path.exists()) {
        remove_directory(directory);
    }
}

/// Returns when the server has closed its end, which the kernel does for it if it is killed.
fn listen() -> Charge {
    let mut charge = Charge::default();
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        match input.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return charge,
            Ok(_) => {}
        }
        match std::str::from_utf8(&line)
            .ok()
            .and_then(|line| Notice::parse(line.trim_end_matches('\n')))
        {
            Some(Notice::Expect(job)) => drop(charge.jobs.insert(job, None)),
            Some(Notice::Started(job, group)) => drop(charge.jobs.insert(job, Some(group))),
            Some(Notice::Gone(job)) => drop(charge.jobs.remove(&job)),
            Some(Notice::Directory(path)) => charge.directory = Some(PathBuf::from(path)),
            None => {}
        }
    }
}
