//! Which results are evicted, and the removal of their files. A job with a live process stays.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::{ProcessRegistry, RemovalReason};
use crate::blocking::{lock, run_blocking};
use crate::job::Job;
use crate::output::segments;

/// How long the removal of files is waited for.
const DISCARD_WITHIN: Duration = Duration::from_secs(1);

/// Results beyond `--max-finished` are evicted when there are one in so many too many.
const SURPLUS_SHARE: usize = 64;

impl ProcessRegistry {
    pub fn has_finished(&self) -> bool {
        self.any(|job| !job.is_running())
    }

    /// Whether there are results to evict because `--max-finished` newer ones exist: of many, not one after the other, since
    /// all have to be looked at each time.
    pub fn has_too_many_finished(&self) -> bool {
        let most = self.config().max_finished;
        lock(&self.jobs).len() > most + most / SURPLUS_SHARE
    }

    /// Removes the results that have expired or that are more than the bounds allow, oldest first.
    pub async fn evict(&self, now: Instant) {
        let config = self.config();
        let (retention, most, excess) =
            (config.retention_seconds, config.max_finished, self.store().excess());
        let mut evicted = to_evict(&self.finished(), now, retention, most, excess);
        evicted.retain(|job| self.take_out(job, RemovalReason::Expired));
        for job in evicted {
            tracing::info!(ref_id = %job.id(), pid = job.pid(), "job evicted");
            self.discard(job).await;
        }
    }

    /// Removes the output files of a job that was taken out and has ended. A disk that hangs is not waited for.
    pub async fn discard(&self, job: Job) {
        if job.released_at().is_some() && job.retained_bytes() == 0 {
            return;
        }
        let store = self.store().clone();
        let discarded = self.shared.watchers.spawn(async move {
            // What is still written must not come after the removal.
            job.all_stored().await;
            drop(job.unread().await);
            // The directory goes with the server in any case.
            let _ = run_blocking(move || segments::remove(&store, &job)).await;
        });
        drop(timeout(DISCARD_WITHIN, discarded).await);
    }
}

/// Those of the finished jobs, given in order of their ends, that have expired, that `max_finished` newer ones have
/// followed, or that take up room which is needed.
fn to_evict(
    finished: &[Job],
    now: Instant,
    retention: Duration,
    max_finished: usize,
    mut excess_bytes: u64,
) -> Vec<Job> {
    let is_over = |end: Instant| now.saturating_duration_since(end) >= retention;
    let mut newer = finished.len();
    let mut evicted = Vec::new();
    for job in finished {
        newer -= 1;
        let is_surplus = newer >= max_finished;
        let bytes = job.retained_bytes();
        // The newest stays until its end was told: it may not have been read yet.
        let may_go = newer > 0 || job.is_end_told();
        let is_in_the_way = excess_bytes > 0 && bytes > 0 && may_go;
        // Of one without this time something is alive, or not stored yet.
        if let Some(released) = job.released_at()
            && (is_over(released) || is_surplus || is_in_the_way)
        {
            excess_bytes = excess_bytes.saturating_sub(bytes);
            evicted.push(job.clone());
        }
    }
    evicted
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::job::{Cause, Exit, Finished, Moment, WatcherSide};

    const HOUR: Duration = Duration::from_secs(3600);

    /// A job that ended then, with so many bytes on disk.
    fn finished(at: Instant, bytes: u64, gone_at: Option<Instant>) -> (Job, WatcherSide) {
        let created = Moment::now();
        let (job, watcher) = Job::new(Uuid::new_v4(), "true", "/".into(), 1, created);
        watcher.record.send_modify(|record| {
            record.finished = Some(Finished {
                exit: Exit::Code(0),
                cause: Cause::Itself,
                at: Moment { monotonic: at, ..created },
            });
            record.gone_at = gone_at;
            record.stdout.segments = (bytes > 0).then_some(0..bytes).into_iter().collect();
            record.stdout.end = bytes;
            record.stdout.ended = true;
            record.stderr.ended = true;
        });
        (job, watcher)
    }

    /// Four jobs, one a minute: without output, with 100 bytes, with a living leftover and 100 bytes, with 100 bytes.
    /// Which of them go when the first one is this old.
    fn evicted(age_of_first: Duration, max_finished: usize, excess_bytes: u64) -> Vec<usize> {
        let first = Instant::now();
        let minute = |number| first + Duration::from_secs(60) * number;
        let jobs = [
            finished(first, 0, Some(first)),
            finished(minute(1), 100, Some(minute(1))),
            finished(minute(2), 100, None),
            finished(minute(3), 100, Some(minute(3))),
        ];
        let all = jobs.each_ref().map(|(job, _)| job.clone());
        let gone = to_evict(&all, first + age_of_first, HOUR, max_finished, excess_bytes);
        let is_gone = |number: &usize| gone.iter().any(|job| job.id() == jobs[*number].0.id());
        (0..jobs.len()).filter(is_gone).collect()
    }

    #[test]
    fn invariant_11_a_result_goes_when_its_retention_has_passed_since_its_end() {
        assert_eq!(evicted(HOUR - Duration::from_millis(1), 9, 0), [0; 0]);
        assert_eq!(evicted(HOUR, 9, 0), [0]);
        assert_eq!(evicted(HOUR + Duration::from_secs(60), 9, 0), [0, 1]);
    }

    #[test]
    fn the_last_words_of_a_leftover_are_kept_as_long_as_those_of_a_command() {
        let first = Instant::now();
        let jobs = [finished(first, 100, Some(first + HOUR)), finished(first, 100, Some(first))];
        let gone = |now| {
            let jobs = jobs.each_ref().map(|(job, _)| job.clone());
            to_evict(&jobs, now, HOUR, 9, 0).len()
        };
        assert_eq!(gone(first + HOUR), 1);
        assert_eq!(gone(first + 2 * HOUR), 2);
    }

    #[test]
    fn invariant_11_a_result_goes_when_so_many_newer_ones_exist() {
        assert_eq!(evicted(Duration::ZERO, 3, 0), [0]);
        assert_eq!(evicted(Duration::ZERO, 2, 0), [0, 1]);
        // Nothing goes in the place of the one that has to stay.
        assert_eq!(evicted(Duration::ZERO, 1, 0), [0, 1]);
    }

    #[test]
    fn a_result_without_output_makes_no_room() {
        assert_eq!(evicted(Duration::ZERO, 9, 1), [1]);
        // Nor does the newest, which may not have been read.
        assert_eq!(evicted(Duration::ZERO, 9, 101), [1]);
    }

    #[test]
    fn the_newest_result_goes_when_its_end_was_told_and_its_room_is_needed() {
        let now = Instant::now();
        let (job, _watcher) = finished(now, 100, Some(now));
        let goes = || !to_evict(std::slice::from_ref(&job), now, HOUR, 9, 1).is_empty();
        assert!(!goes());
        job.set_end_told();
        assert!(goes());
    }

    #[test]
    fn invariant_04_a_job_of_which_something_is_alive_stays() {
        assert_eq!(evicted(2 * HOUR, 0, 400), [0, 1, 3]);
    }
}
