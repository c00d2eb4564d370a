//! What the watchdog does: it listens until the server is gone, then ends what the server has left.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::PathBuf;

use uuid::Uuid;

use super::notice::Notice;
use crate::hygiene;
use crate::output::store::remove_directory;
use crate::process::remains;

/// What the server has said.
#[derive(Debug, Default)]
struct Charge {
    /// Jobs that have processes, with their process groups as far as they are known.
    jobs: HashMap<Uuid, Option<i32>>,
    directory: Option<PathBuf>,
}

/// The whole life of the watchdog process.
pub fn stand_by() {
    hygiene::ignore_requests_to_end();
    let charge = listen();
    if !charge.jobs.is_empty() {
        remains::end(&charge.jobs);
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
