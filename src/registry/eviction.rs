//! Which results have to go, and their going. A job of which something is alive stays.

use std::time::{Duration, Instant};

use super::ProcessRegistry;
use super::tombstones::Fate;
use crate::job::{Captured, Job};
use crate::output::log::{self, StreamKind};
use crate::output::store::Store;

/// How much more is kept than the bounds allow.
#[derive(Clone, Copy, Debug)]
struct Excess {
    results: usize,
    bytes: u64,
}

impl ProcessRegistry {
    /// Whether more results are kept than `--max-finished` allows.
    pub(crate) fn has_too_many_finished(&self) -> bool {
        self.timeline.now().finished().len() > self.config().max_finished
    }

    /// Removes the results that have expired or that are more than the bounds allow, oldest first.
    pub(crate) async fn evict(&self, now: Instant) {
        let (config, store) = (self.config(), self.store());
        let bytes = store.retained().saturating_sub(store.soft_limit());
        let evicted = {
            let mut lists = self.timeline.now();
            let finished = lists.finished();
            let results = finished.len().saturating_sub(config.max_finished);
            let excess = Excess { results, bytes };
            let evicted = to_evict(finished, now, config.retention_seconds, excess);
            lists.forget(&evicted, Fate::Expired);
            evicted
        };
        for job in evicted {
            self.lock().remove(&job.id());
            tracing::info!(ref_id = %job.id(), pid = job.pid(), "job evicted");
            self.discard(job).await;
        }
    }

    /// Removes the output files of a job that was taken out and has ended. If the disk hangs or somebody still reads them,
    /// that is done once it can be, and nobody waits for it.
    pub(crate) async fn discard(&self, job: Job) {
        if job.released_at().is_some() && job.retained_bytes() == 0 {
            return;
        }
        let store = self.store().clone();
        // Whoever reads it may take as long as a client likes.
        let is_read = job.is_read();
        let discarded = self.shared.watchers.spawn(async move {
            // What is still written must not come after the removal.
            job.all_stored().await;
            let _alone = job.unread().await;
            let disk = store.disk().clone();
            // Only a panic in there could fail it, and the directory goes with the server in any case.
            let removed = job.clone();
            drop(disk.write(move || remove_files(&store, &removed)).await);
        });
        if !is_read {
            drop(self.store().disk().wait_for(discarded).await);
        }
    }
}

/// Those of the finished jobs, given in order of their ends, that have expired or are in excess.
fn to_evict<'a>(
    finished: impl IntoIterator<Item = &'a Job>,
    now: Instant,
    retention: Duration,
    mut excess: Excess,
) -> Vec<Job> {
    let mut evicted = Vec::new();
    for job in finished {
        let Some(released) = job.released_at() else {
            continue;
        };
        let is_over = |end: Instant| now.saturating_duration_since(end) >= retention;
        let expired = is_over(released);
        let bytes = job.retained_bytes();
        if expired || excess.results > 0 || (excess.bytes > 0 && bytes > 0) {
            excess.results = excess.results.saturating_sub(1);
            excess.bytes = excess.bytes.saturating_sub(bytes);
            evicted.push(job.clone());
        } else if excess.results == 0
            && excess.bytes == 0
            && !job.finished_at().is_some_and(is_over)
        {
            // Those that come after it have ended later still.
            break;
        }
    }
    evicted
}

fn remove_files(store: &Store, job: &Job) {
    let record = job.snapshot().record;
    let Some(directory) = store.existing() else {
        return;
    };
    let remove = |stream, captured: &Captured| {
        log::remove(store, &directory, job.id(), stream, captured);
    };
    remove(StreamKind::Stdout, &record.stdout);
    remove(StreamKind::Stderr, &record.stderr);
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::job::{Cause, Exit, Finished, JobState, Moment, Tree, WatcherSide};

    const HOUR: Duration = Duration::from_secs(3600);

    /// A job that ended then, with so many bytes on disk.
    fn finished(at: Instant, bytes: u64, tree: Tree) -> (Job, WatcherSide) {
        let created = Moment::now();
        let (job, watcher) = Job::new(Uuid::new_v4(), "true", "/".into(), 1, created);
        watcher.record.send_modify(|record| {
            record.state = JobState::Finished(Finished {
                exit: Exit::Code(0),
                cause: Cause::Itself,
                at: Moment {
                    monotonic: at,
                    ..created
                },
            });
            record.tree = tree;
            record.stdout.segments = (bytes > 0).then_some(0..bytes).into_iter().collect();
            record.stdout.end = bytes;
            record.stdout.ended = true;
            record.stderr.ended = true;
        });
        (job, watcher)
    }

    /// Four jobs, one a minute: without output, with 100 bytes, with a living leftover and 100 bytes, with 100 bytes.
    /// Which of them go when the first one is this old.
    fn evicted(age_of_first: Duration, results: usize, bytes: u64) -> Vec<usize> {
        let first = Instant::now();
        let minute = |number| first + Duration::from_secs(60) * number;
        let jobs = [
            finished(first, 0, Tree::Gone(first)),
            finished(minute(1), 100, Tree::Gone(minute(1))),
            finished(minute(2), 100, Tree::Alive),
            finished(minute(3), 100, Tree::Gone(minute(3))),
        ];
        let excess = Excess { results, bytes };
        let gone = to_evict(
            jobs.iter().map(|(job, _)| job),
            first + age_of_first,
            HOUR,
            excess,
        );
        let is_gone = |number: &usize| gone.iter().any(|job| job.id() == jobs[*number].0.id());
        (0..jobs.len()).filter(is_gone).collect()
    }

    #[test]
    fn invariant_11_a_result_goes_when_its_retention_has_passed_since_its_end() {
        assert_eq!(evicted(HOUR - Duration::from_millis(1), 0, 0), [0; 0]);
        assert_eq!(evicted(HOUR, 0, 0), [0]);
        assert_eq!(evicted(HOUR + Duration::from_secs(60), 0, 0), [0, 1]);
    }

    #[test]
    fn the_last_words_of_a_leftover_are_kept_as_long_as_those_of_a_command() {
        let first = Instant::now();
        let jobs = [
            finished(first, 100, Tree::Gone(first + HOUR)),
            finished(first, 100, Tree::Gone(first)),
        ];
        let left = |now| {
            let jobs = jobs.iter().map(|(job, _)| job);
            let excess = Excess {
                results: 0,
                bytes: 0,
            };
            to_evict(jobs, now, HOUR, excess).len()
        };
        assert_eq!(left(first + HOUR), 1);
        assert_eq!(left(first + 2 * HOUR), 2);
    }

    #[test]
    fn invariant_11_what_is_in_excess_goes_oldest_first() {
        assert_eq!(evicted(Duration::ZERO, 1, 0), [0]);
        assert_eq!(evicted(Duration::ZERO, 2, 0), [0, 1]);
    }

    #[test]
    fn a_result_without_output_makes_no_room() {
        assert_eq!(evicted(Duration::ZERO, 0, 1), [1]);
        assert_eq!(evicted(Duration::ZERO, 0, 101), [1, 3]);
    }

    #[test]
    fn invariant_04_a_job_of_which_something_is_alive_stays() {
        assert_eq!(evicted(2 * HOUR, 4, 400), [0, 1, 3]);
    }
}
