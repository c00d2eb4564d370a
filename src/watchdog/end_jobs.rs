//! Ends what is left of the jobs of a server that is gone.

use std::collections::HashMap;
use std::time::Duration;

pub(super) use imp::end_jobs;
use uuid::Uuid;

/// Jobs that had processes when their server ended, with their process groups as far as they are known.
pub(super) type Jobs = HashMap<Uuid, Option<i32>>;

/// How long after TERM what is left gets KILL.
const GRACE: Duration = Duration::from_millis(500);

/// How long KILL is repeated while something is alive.
#[cfg(target_os = "linux")]
const KILL_FOR: Duration = Duration::from_secs(2);

/// How often to look whether all have ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// After so many looks that found nobody, nobody is there: a look can miss one that forks and ends all the time.
#[cfg(target_os = "linux")]
const SURE_AFTER: u32 = 5;

#[cfg(target_os = "linux")]
mod imp {
    use std::collections::{HashMap, HashSet};
    use std::thread::sleep;
    use std::time::Instant;

    use rustix::process::{Signal, kill_process_group};

    use super::{GRACE, Jobs, KILL_FOR, LOOK_EVERY, SURE_AFTER};
    use crate::process::proc_fs::{self, Stat};
    use crate::process::tree::signal_exactly;
    use crate::process::{Pid, marker};

    /// TERM, a grace, then KILL until nothing is left.
    pub(crate) fn end_jobs(jobs: &Jobs) {
        let mut search = Search::new(jobs);
        let kill_at = Instant::now() + GRACE;
        // Who is stopped does not fork while the others are looked for.
        search.signal_groups(Signal::STOP);
        // All are found before any is asked: once its parents are gone, nothing may tell any more whose somebody was.
        let mut members = Vec::new();
        let mut note = |process: &Stat, is_new: bool| {
            if is_new {
                members.push(*process);
            }
        };
        while search.look(&mut note).new > 0 && Instant::now() < kill_at {}
        for member in members {
            signal_exactly(&member, Signal::TERM);
            signal_exactly(&member, Signal::CONT);
        }
        search.signal_groups(Signal::TERM);
        search.signal_groups(Signal::CONT);
        while Instant::now() < kill_at && search.any_is_alive() {
            sleep(LOOK_EVERY);
        }
        let give_up_at = Instant::now() + KILL_FOR;
        let mut found_nobody = 0;
        while found_nobody < SURE_AFTER && Instant::now() < give_up_at {
            search.signal_groups(Signal::KILL);
            let found = search.look(|process, _| signal_exactly(process, Signal::KILL));
            found_nobody = if found.all == 0 { found_nobody + 1 } else { 0 };
            sleep(LOOK_EVERY);
        }
    }

    /// How many processes of the jobs a look has found.
    struct Found {
        all: usize,
        /// For the first time.
        new: usize,
    }

    /// Finds the processes of the jobs. Nobody adopts them for us, so the whole process table is looked through.
    struct Search<'a> {
        jobs: &'a Jobs,
        limits: HashSet<u64>,
        /// When the server was gone, in clock ticks since boot. Until then its unreaped children kept the groups' ids from
        /// being used again, so that whoever is in such a group and was started before is a job's.
        gone_at: u64,
        /// Everyone found so far, by pid, with the time of its start.
        known: HashMap<Pid, u64>,
    }

    impl<'a> Search<'a> {
        fn new(jobs: &'a Jobs) -> Self {
            Self {
                jobs,
                limits: jobs.keys().map(|job| marker::limit(*job)).collect(),
                gone_at: proc_fs::now_in_ticks(),
                known: HashMap::new(),
            }
        }

        /// Signals the jobs' own groups, whoever is in them: one that keeps forking is somebody else before it can be
        /// looked at. A group's id is given to nobody while anybody is in it, and to a process of that number afterwards,
        /// which then is younger than the end of the server.
        fn signal_groups(&self, signal: Signal) {
            let groups = self
                .jobs
                .values()
                .filter_map(|group| Pid::from_raw((*group)?));
            for group in groups {
                let is_anothers =
                    Stat::read(group).is_some_and(|leader| leader.started > self.gone_at);
                if !is_anothers {
                    // Nobody is left in it: that is no error.
                    let _ = kill_process_group(group, signal);
                }
            }
        }

        /// Looks through all processes once. Each of the jobs' is handed over in the instant in which it is met, with whether
        /// that is the first time.
        fn look(&mut self, mut met: impl FnMut(&Stat, bool)) -> Found {
            let own = rustix::process::getpid();
            let mut found = Found { all: 0, new: 0 };
            for process in proc_fs::everyone().filter(|process| process.pid != own) {
                if process.is_zombie || !(self.is_known(&process) || self.belongs(&process)) {
                    continue;
                }
                let before = self.known.insert(process.pid, process.started);
                let is_new = before != Some(process.started);
                found.all += 1;
                found.new += usize::from(is_new);
                met(&process, is_new);
            }
            found
        }

        fn is_a_jobs(&self, group: i32) -> bool {
            self.jobs.values().any(|job| *job == Some(group))
        }

        /// By group or by marker, whatever its descent.
        fn belongs(&self, process: &Stat) -> bool {
            (self.is_a_jobs(process.group) && process.started <= self.gone_at)
                || self.is_marked(process)
        }

        /// It was seen before, or its parent was.
        fn is_known(&self, process: &Stat) -> bool {
            self.known.get(&process.pid) == Some(&process.started)
                || process.parent.is_some_and(|parent| {
                    let started = Stat::read(parent).map(|parent| parent.started);
                    started.is_some() && self.known.get(&parent).copied() == started
                })
        }

        fn any_is_alive(&self) -> bool {
            self.known
                .iter()
                .any(|(pid, started)| is_alive(*pid, *started))
        }

        fn is_marked(&self, process: &Stat) -> bool {
            let limit = proc_fs::realtime_limit(process.pid);
            if limit.is_some_and(|limit| self.limits.contains(&limit)) {
                return true;
            }
            let marks = marker::jobs_in(&proc_fs::environment(process.pid));
            marks.iter().any(|job| self.jobs.contains_key(job))
        }
    }

    fn is_alive(pid: Pid, started: u64) -> bool {
        Stat::read(pid).is_some_and(|now| now.started == started && !now.is_zombie)
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::thread::sleep;
    use std::time::Instant;

    use rustix::process::{Signal, kill_process_group, test_kill_process_group};

    use super::{GRACE, Jobs, LOOK_EVERY};
    use crate::process::Pid;

    /// Groups are all that is known where there is no `/proc`.
    pub(crate) fn end_jobs(jobs: &Jobs) {
        let groups: Vec<Pid> = jobs
            .values()
            .filter_map(|group| Pid::from_raw((*group)?))
            .collect();
        let signal = |signal| {
            for group in &groups {
                // One that has ended by itself is no error.
                let _ = kill_process_group(*group, signal);
            }
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
}
