//! What to do next: one imperative sentence, only where there is one.

pub mod bash_syntax;
mod question;

use std::time::Duration;

use question::question;

use super::pattern::Outcome;
use super::texts;
use crate::format::human_duration;
use crate::job::{Cause, Exit, Finished, Snapshot, Unstored};
use crate::output::cursor::Cursor;
use crate::output::excerpt::Cut;

/// How long a job must be silent before that is worth a word.
const LONG_SILENCE: Duration = Duration::from_secs(60);

/// What the wait of a call came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wait {
    pub(crate) asked: Duration,
    /// The most that this client's calls may wait.
    pub(crate) cap: Duration,
}

/// Whether the job can be found idle after this wait. If not, what it uses need not be measured before.
pub(crate) fn may_be_silent_for_long(before: &Snapshot, wait: Wait) -> bool {
    let waited = wait.asked.min(wait.cap);
    before.is_running() && !waited.is_zero() && before.silent() + waited >= LONG_SILENCE
}

/// What a hint is made from.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) snapshot: &'a Snapshot,
    /// The last line of each stream that no line break has ended.
    pub(crate) unfinished: &'a [String],
    pub(crate) cut: Option<&'a Cut>,
    /// The call named how much it wants to read.
    pub(crate) max_chars_given: bool,
    /// Where the next call goes on.
    pub(crate) next: &'a Cursor,
    /// The call came with a cursor.
    pub(crate) with_cursor: bool,
    /// There is another page to read right now.
    pub(crate) more: bool,
    /// What the search for a pattern came to, if there was one.
    pub(crate) search: Option<&'a Outcome>,
    pub(crate) wait: Wait,
    /// The job was waited for and used no CPU in that time.
    pub(crate) idle_cpu: bool,
    pub(crate) output_path: Option<&'a str>,
    /// For how long the disk that output goes to has answered nothing.
    pub(crate) disk_silent: Option<Duration>,
}

/// The hint in a reply about one job: the most urgent one.
pub(crate) fn for_job(facts: &Facts<'_>) -> Option<String> {
    let id = facts.snapshot.job.id();
    let get = format!("call get_command_background_result with ref_id=\"{id}\"");
    let matched = matches!(facts.search, Some(Outcome::Found(_)));
    let still_running = facts.snapshot.is_running() && !matched;
    if let Some(unstored) = unstored(facts.snapshot) {
        return Some(match unstored {
            Unstored::StoreIsFull => "Some output was not stored, since the output of all jobs has reached --max-total-bytes: \
                                      clean up finished jobs, and run it again if that part matters"
                .to_owned(),
            Unstored::Failed(why) => {
                format!("Some output could not be stored ({why}): free space or pass another --output-dir, and run it again if that part matters")
            }
        });
    }
    if let Some(silent) = facts.disk_silent
        && !facts.snapshot.record.has_all_output()
    {
        return Some(format!(
            "The disk with the output has not answered for {}, so what came last is not here yet: {get} once it does, or start the server with another --output-dir",
            human_duration(silent)
        ));
    }
    if still_running && let Some(question) = question(facts.unfinished) {
        return Some(format!(
            "{} clean up and {}",
            question.asks, question.advice
        ));
    }
    if still_running && facts.wait.asked > facts.wait.cap {
        return Some(format!(
            "wait_seconds={} was cut to {} (the unit is seconds): {}",
            facts.wait.asked.as_secs_f64(),
            cap(facts),
            wait_on(facts),
        ));
    }
    if facts.snapshot.is_running() && facts.idle_cpu && facts.snapshot.silent() >= LONG_SILENCE {
        return Some(format!(
            "No output for {} and no CPU used: call cleanup_background_process with ref_id=\"{id}\" if that is unexpected",
            human_duration(facts.snapshot.silent())
        ));
    }
    if facts.more {
        return Some(format!(
            "There is more: {get} and cursor=\"{}\"",
            facts.next
        ));
    }
    // Whoever looks at a running job without saying how much to read wants to know how far it is.
    let wants_all = facts.max_chars_given || !facts.snapshot.is_running();
    let gap = facts.cut.filter(|cut| wants_all && cut.dropped < cut.bytes);
    if still_running && gap.is_none() {
        return Some(format!(
            "Still running after {}: {}",
            human_duration(facts.snapshot.elapsed()),
            wait_on(facts),
        ));
    }
    if !facts.snapshot.is_running() && matches!(facts.search, Some(Outcome::Undecided)) {
        let may_come = !facts.snapshot.record.has_all_output();
        return Some(format!(
            "{}: {}",
            if may_come {
                "The command has ended, and until_pattern may still match what the processes that it left write"
            } else {
                "Not all output could be searched for until_pattern in this time"
            },
            wait_on(facts),
        ));
    }
    let rest = match gap {
        Some(gap) => Some(read_gap(facts, gap)),
        None => about_end(facts),
    };
    if matches!(facts.search, Some(Outcome::Absent)) {
        let rest = rest.unwrap_or_else(|| "judge by returncode and output".to_owned());
        return Some(format!(
            "The command ended before until_pattern matched: {rest}"
        ));
    }
    rest
}

/// The call that waits on: for the same as this one did. It names no cursor, which would show less and, with a pattern,
/// pass over what was not searched: one that waits from a cursor on goes on to do so.
fn wait_on(facts: &Facts<'_>) -> String {
    let id = facts.snapshot.job.id();
    let wait = format!(
        "call get_command_background_result with ref_id=\"{id}\" and wait_seconds={}",
        cap(facts)
    );
    match facts.search {
        None => wait,
        Some(_) if facts.with_cursor => {
            format!("{wait}, the same until_pattern and all else as in this call")
        }
        Some(_) => format!("{wait} and the same until_pattern"),
    }
}

fn read_gap(facts: &Facts<'_>, gap: &Cut) -> String {
    let grep = match facts.output_path {
        Some(path) if !path.is_empty() => format!(", or grep {path}*"),
        _ => String::new(),
    };
    format!(
        "{}: call get_command_background_result with ref_id=\"{}\" and cursor=\"{}\"{grep}",
        texts::left_out(gap),
        facts.snapshot.job.id(),
        gap.cursor
    )
}

/// What the end of the command left to be done.
fn about_end(facts: &Facts<'_>) -> Option<String> {
    let id = facts.snapshot.job.id();
    let leftovers = &facts.snapshot.record.leftovers;
    // After a stop or a time limit they are being ended as well, and are only not gone yet.
    let ended_by_itself = |finished: &Finished| finished.cause == Cause::Itself;
    if facts.snapshot.finished().is_some_and(ended_by_itself) && !leftovers.is_empty() {
        let pids = leftovers
            .iter()
            .take(5)
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        return Some(format!(
            "The command ended but left processes running (pid {pids}): call cleanup_background_process with ref_id=\"{id}\" when they are no longer needed"
        ));
    }
    about_exit(facts)
}

/// `wait_seconds` for the next call.
fn cap(facts: &Facts<'_>) -> f64 {
    facts.wait.cap.as_secs_f64()
}

fn about_exit(facts: &Facts<'_>) -> Option<String> {
    let finished = facts.snapshot.finished()?;
    if finished.cause != Cause::Itself {
        return None;
    }
    match finished.exit {
        Exit::Code(0) => None,
        Exit::Code(_) if let Some(question) = question(facts.unfinished) => {
            Some(format!("{} {}", question.asks, question.advice))
        }
        Exit::Code(127) => Some("Exit 127 means command not found: use an absolute path or set PATH in the command; if PATH lacks what a terminal has, start the server with --login-env".to_owned()),
        Exit::Code(126) => Some("Exit 126 means found but not executable: check the file's mode or run it with its interpreter".to_owned()),
        Exit::Code(137) => Some("Exit 137 means that something was killed by SIGKILL, often for want of memory: try again with less parallelism".to_owned()),
        Exit::Signal(9) => Some("It was killed by SIGKILL from outside, often for want of memory: try again with less parallelism".to_owned()),
        _ => None,
    }
}

fn unstored(snapshot: &Snapshot) -> Option<&Unstored> {
    let record = &snapshot.record;
    record
        .stdout
        .unstored
        .as_ref()
        .or(record.stderr.unstored.as_ref())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use uuid::Uuid;

    use super::*;
    use crate::job::{Job, Moment};

    /// A running job that was started this long ago and has written nothing.
    fn silent_for(seconds: u64) -> Snapshot {
        let now = Instant::now();
        let started = now
            .checked_sub(Duration::from_secs(seconds))
            .expect("the machine is up for that long");
        let created = Moment {
            monotonic: started,
            ..Moment::now()
        };
        let (job, watcher) = Job::new(Uuid::new_v4(), "sleep 1000", "/".into(), 1, created);
        let snapshot = job.snapshot();
        drop(watcher);
        snapshot
    }

    fn hint(snapshot: &Snapshot, idle_cpu: bool) -> String {
        let facts = Facts {
            snapshot,
            unfinished: &[],
            cut: None,
            max_chars_given: false,
            next: &Cursor::default(),
            with_cursor: false,
            more: false,
            search: None,
            wait: Wait {
                asked: Duration::from_secs(5),
                cap: Duration::from_secs(45),
            },
            idle_cpu,
            output_path: None,
            disk_silent: None,
        };
        for_job(&facts).expect("a running job always has a hint")
    }

    #[test]
    fn long_silence_without_cpu_is_told_and_only_that() {
        let stuck = hint(&silent_for(240), true);
        assert!(
            stuck.starts_with(
                "No output for 4 min and no CPU used: call cleanup_background_process"
            ),
            "{stuck}"
        );
        for (seconds, idle_cpu) in [(240, false), (30, true)] {
            let goes_on = hint(&silent_for(seconds), idle_cpu);
            assert!(goes_on.starts_with("Still running after"), "{goes_on}");
        }
    }
}
