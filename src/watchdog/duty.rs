//! What the watchdog does: it listens until the server is gone, then ends what the server has left.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use uuid::Uuid;

use super::Notice;
use crate::hygiene;
use crate::output::store::remove_directory;
use crate::process::Pid;
use crate::process::orphans::marks_in;
use crate::process::proc_fs::{self, Stat};
use crate::process::tree::signal_exactly;

/// How long after TERM what is left gets KILL.
const GRACE: Duration = Duration::from_millis(500);

/// How long KILL is repeated.
const HOPE: Duration = Duration::from_secs(2);

/// How often to look whether all have ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

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
        end_all(&charge);
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

/// TERM, a grace, then KILL until nothing is left.
#[cfg(target_os = "linux")]
fn end_all(charge: &Charge) {
    let mut search = Search::new(charge);
    for member in search.members() {
        signal_exactly(&member, Signal::TERM);
        signal_exactly(&member, Signal::CONT);
    }
    let kill_at = Instant::now() + GRACE;
    while Instant::now() < kill_at && search.any_is_alive() {
        sleep(LOOK_EVERY);
    }
    let give_up_at = Instant::now() + HOPE;
    while Instant::now() < give_up_at {
        let left = search.members();
        if left.is_empty() {
            return;
        }
        for member in left {
            signal_exactly(&member, Signal::KILL);
        }
        sleep(LOOK_EVERY);
    }
}

/// Groups are all that is known where there is no `/proc`.
#[cfg(not(target_os = "linux"))]
fn end_all(charge: &Charge) {
    use rustix::process::{kill_process_group, test_kill_process_group};

    let groups: Vec<Pid> = charge
        .jobs
        .values()
        .filter_map(|group| Pid::from_raw((*group)?))
        .collect();
    let signal = |signal| {
        groups
            .iter()
            .for_each(|group| drop(kill_process_group(*group, signal)))
    };
    signal(Signal::TERM);
    signal(Signal::CONT);
    let kill_at = Instant::now() + GRACE;
    while Instant::now() < kill_at
        && groups
            .iter()
            .any(|group| test_kill_process_group(*group).is_ok())
    {
        sleep(LOOK_EVERY);
    }
    signal(Signal::KILL);
}

/// Finds the processes of the jobs. Nobody adopts them for us, so the whole process table is looked through.
#[cfg(target_os = "linux")]
struct Search<'a> {
    charge: &'a Charge,
    /// When the server was gone, in clock ticks since boot. Until then its unreaped children kept the groups' ids from
    /// being used again, so that whoever is in such a group and was started before is a job's.
    gone_at: u64,
    /// Everyone found so far, by pid, with the time of its start.
    known: HashMap<Pid, u64>,
}

#[cfg(target_os = "linux")]
impl<'a> Search<'a> {
    fn new(charge: &'a Charge) -> Self {
        Self {
            charge,
            gone_at: proc_fs::now_in_ticks(),
            known: HashMap::new(),
        }
    }

    fn any_is_alive(&self) -> bool {
        self.known
            .iter()
            .any(|(pid, started)| is_alive(*pid, *started))
    }

    /// Everyone of the jobs who is alive: by group, by marker, by descent.
    fn members(&mut self) -> Vec<Stat> {
        let own = rustix::process::getpid();
        let everyone: Vec<Stat> = proc_fs::everyone()
            .into_iter()
            .filter(|process| !process.is_zombie && process.pid != own)
            .collect();
        for process in &everyone {
            let in_group = self
                .charge
                .jobs
                .values()
                .any(|group| *group == Some(process.group));
            if (in_group && process.started <= self.gone_at) || self.is_marked(process) {
                self.known.insert(process.pid, process.started);
            }
        }
        loop {
            let before = self.known.len();
            for process in &everyone {
                if self.known.contains_key(&process.pid) {
                    continue;
                }
                if process
                    .parent
                    .is_some_and(|parent| self.known.contains_key(&parent))
                {
                    self.known.insert(process.pid, process.started);
                }
            }
            if self.known.len() == before {
                break;
            }
        }
        everyone
            .into_iter()
            .filter(|process| self.known.get(&process.pid) == Some(&process.started))
            .collect()
    }

    fn is_marked(&self, process: &Stat) -> bool {
        let marks = marks_in(&proc_fs::environment(process.pid));
        marks.iter().any(|job| self.charge.jobs.contains_key(job))
    }
}

#[cfg(target_os = "linux")]
fn is_alive(pid: Pid, started: u64) -> bool {
    Stat::read(pid).is_some_and(|now| now.started == started && !now.is_zombie)
}
