//! A mark that no process loses by accident: who empties its environment, leaves its session, closes its files and writes
//! over its name still has the resource limits it was born with.
//!
//! The limit on real-time CPU time counts for processes with a real-time scheduler alone (sched(7)), and none of them
//! reaches a limit beyond a hundred thousand years. Within that range it is a number that only the processes of one job
//! carry, which every child inherits, which `exec` keeps, and which anybody may read in `/proc`. Linux only.

use uuid::Uuid;

/// What marks the processes of a job: microseconds, more than anybody lives.
#[cfg(any(target_os = "linux", test))]
pub(crate) fn brand(job: Uuid) -> u64 {
    const FAR_AWAY: u64 = 1 << 62;
    let (high, low) = job.as_u64_pair();
    FAR_AWAY | ((high ^ low) & (FAR_AWAY - 1))
}

/// While this lives, what we start carries the brand of a job.
#[derive(Debug)]
#[must_use]
pub(crate) struct Branding {
    #[cfg(target_os = "linux")]
    own: rustix::process::Rlimit,
}

#[cfg(target_os = "linux")]
mod imp {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use uuid::Uuid;

    use super::{Branding, brand};

    impl Branding {
        /// Not to be held across an await: it changes the limit of this very process, which is what a child inherits
        /// without a fork of ours in between.
        pub(crate) fn of(job: Uuid) -> Self {
            let own = getrlimit(Resource::Rttime);
            let branded = Rlimit {
                current: Some(brand(job)),
                maximum: own.maximum,
            };
            // Whoever has a limit of its own on this keeps it. The environment still marks the job then.
            let _ = setrlimit(Resource::Rttime, branded);
            Self { own }
        }
    }

    impl Drop for Branding {
        fn drop(&mut self) {
            let _ = setrlimit(Resource::Rttime, self.own);
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Branding {
    pub(crate) fn of(_job: Uuid) -> Self {
        Self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brand_is_a_number_of_its_own_and_no_limit() {
        let brands = [(); 100].map(|()| brand(Uuid::new_v4()));
        let unique: std::collections::HashSet<_> = brands.iter().collect();
        assert_eq!(unique.len(), brands.len());
        let a_hundred_thousand_years = 100_000 * 365 * 86_400 * 1_000_000;
        assert!(
            brands
                .iter()
                .all(|brand| (a_hundred_thousand_years..u64::MAX / 2).contains(brand))
        );
    }
}
