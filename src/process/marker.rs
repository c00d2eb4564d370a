//! The marks by which a process is known to be of a job, wherever it went.
//!
//! One is an environment variable. Its *name* differs from job to job, so that a server that runs inside a job of another
//! adds its own mark and hides none.
//!
//! Linux has a second one, which no process loses by accident: who empties its environment, leaves its session, closes
//! its files and writes over its name still has the resource limits it was born with. The limit on real-time CPU time
//! counts for processes with a real-time scheduler alone (sched(7)), and none of them reaches a limit beyond a hundred
//! thousand years. Within that range it is a number that only the processes of one job carry, which every child inherits,
//! which `exec` keeps, and which anybody may read in `/proc`.

use uuid::Uuid;

const VARIABLE_PREFIX: &str = "BACKGROUND_COMMAND_MCP_JOB_";

/// The environment variable that marks the processes of a job.
pub(crate) fn variable(job: Uuid) -> String {
    format!("{VARIABLE_PREFIX}{}", job.simple())
}

/// The jobs whose variable is in an environment as `/proc` has it.
#[cfg(target_os = "linux")]
pub(crate) fn jobs_in(environment: &[u8]) -> Vec<Uuid> {
    let entries = environment.split(|byte| *byte == 0);
    let ids = entries.filter_map(|entry| entry.strip_prefix(VARIABLE_PREFIX.as_bytes()));
    ids.filter_map(|id| Uuid::try_parse_ascii(id.split(|byte| *byte == b'=').next()?).ok())
        .collect()
}

/// The limit on real-time CPU time that marks the processes of a job: microseconds, more than anybody lives.
#[cfg(any(target_os = "linux", test))]
pub(crate) fn limit(job: Uuid) -> u64 {
    const FAR_AWAY: u64 = 1 << 62;
    let (high, low) = job.as_u64_pair();
    FAR_AWAY | ((high ^ low) & (FAR_AWAY - 1))
}

/// While this lives, what we start inherits the limit of a job.
#[derive(Debug)]
#[must_use]
pub(crate) struct InheritedLimit {
    #[cfg(target_os = "linux")]
    own: rustix::process::Rlimit,
}

#[cfg(target_os = "linux")]
mod imp {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use uuid::Uuid;

    use super::{InheritedLimit, limit};

    impl InheritedLimit {
        /// Not to be held across an await: it changes the limit of this very process, which is what a child inherits
        /// without a fork of ours in between.
        pub(crate) fn of(job: Uuid) -> Self {
            let own = getrlimit(Resource::Rttime);
            let marked = Rlimit {
                current: Some(limit(job)),
                maximum: own.maximum,
            };
            // Whoever has a limit of its own on this keeps it. The environment still marks the job then.
            let _ = setrlimit(Resource::Rttime, marked);
            Self { own }
        }
    }

    impl Drop for InheritedLimit {
        fn drop(&mut self) {
            let _ = setrlimit(Resource::Rttime, self.own);
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl InheritedLimit {
    pub(crate) fn of(_job: Uuid) -> Self {
        Self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_marks_is_a_number_of_its_own_and_limits_nothing() {
        let limits = [(); 100].map(|()| limit(Uuid::new_v4()));
        let unique: std::collections::HashSet<_> = limits.iter().collect();
        assert_eq!(unique.len(), limits.len());
        let a_hundred_thousand_years = 100_000 * 365 * 86_400 * 1_000_000;
        assert!(
            limits
                .iter()
                .all(|limit| (a_hundred_thousand_years..u64::MAX / 2).contains(limit))
        );
    }
}
