//! What to do next: one imperative sentence, only where there is one.

pub mod bash_syntax;
mod exits;
mod prompts;
mod symptoms;

use std::time::Duration;

use prompts::prompt;

use super::messages;
use super::pattern::Outcome;
use super::shown::{Reading, Shown};
use crate::format::human_duration;
use crate::job::Snapshot;
use crate::output::excerpt::Cut;

/// How long a job must be silent before that is worth a word.
const LONG_SILENCE: Duration = Duration::from_secs(60);

/// What the wait of a call came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wait {
    pub asked: Duration,
    /// The most that this client's calls may wait.
    pub cap: Duration,
}

/// Whether the job can be found idle after this wait. If not, what it uses need not be measured before.
pub fn may_be_silent_for_long(before: &Snapshot, wait: Wait) -> bool {
    let waited = wait.asked.min(wait.cap);
    before.is_running() && !waited.is_zero() && before.silent() + waited >= LONG_SILENCE
}

/// What a hint is made from.
#[derive(Debug)]
pub struct Facts<'a> {
    pub snapshot: &'a Snapshot,
    /// What of the output the reply shows.
    pub shown: &'a Shown,
    /// What of it the call asked for.
    pub reading: &'a Reading,
    /// What the search for a pattern came to, if there was one.
    pub search: Option<&'a Outcome>,
    pub wait: Wait,
    /// The job was waited for and used no CPU in that time.
    pub idle_cpu: bool,
    pub output_path: &'a str,
    /// For how long the disk that output goes to has answered nothing.
    pub disk_silent: Option<Duration>,
}

/// The hint in a reply about one job: the most urgent one.
pub fn for_job(facts: &Facts<'_>) -> Option<String> {
    let (snapshot, shown) = (facts.snapshot, facts.shown);
    let id = snapshot.job.id();
    let running = snapshot.is_running();
    let still_running = running && !matches!(facts.search, Some(Outcome::Found(_)));
    if let Some(unstored) = unstored(snapshot) {
        return Some(unstored);
    }
    if let Some(silent) = facts.disk_silent
        && !snapshot.record.has_all_output()
    {
        return Some(format!(
            "The disk with the output has not answered for {}, so what came last is not here yet: {} once it does, or start the server with another --output-dir",
            human_duration(silent),
            get(facts)
        ));
    }
    if still_running && let Some(prompt) = prompt(&shown.unfinished) {
        return Some(format!("{} clean up and {}", prompt.asks, prompt.advice));
    }
    if still_running && let Some(symptom) = symptoms::while_running(snapshot, shown) {
        return Some(symptom);
    }
    if still_running && facts.wait.asked > facts.wait.cap {
        return Some(format!(
            "wait_seconds={} was cut to {} (the unit is seconds): {}",
            facts.wait.asked.as_secs_f64(),
            facts.wait.cap.as_secs_f64(),
            wait_on(facts),
        ));
    }
    if running && facts.idle_cpu && snapshot.silent() >= LONG_SILENCE {
        return Some(format!(
            "No output for {} and no CPU used: call cleanup_background_process with ref_id=\"{id}\" if that is unexpected",
            human_duration(snapshot.silent())
        ));
    }
    if shown.excerpt.more {
        return Some(format!(
            "There is more: {} and cursor=\"{}\"",
            get(facts),
            shown.excerpt.next
        ));
    }
    // A look at a running job that does not say how much to read wants to know how far it is.
    let wants_all = facts.reading.max_chars.is_some() || !running;
    let gap = shown.excerpt.cut.as_ref();
    let gap = gap.filter(|cut| wants_all && cut.dropped < cut.bytes);
    if still_running && gap.is_none() {
        return Some(format!(
            "Still running after {}{}: {}",
            human_duration(snapshot.elapsed()),
            match symptoms::is_buffered(snapshot) {
                true =>
                    " and nothing written yet (many programs hold output back when it is piped: python3 -u, stdbuf -oL)",
                false => "",
            },
            wait_on(facts),
        ));
    }
    if !running && matches!(facts.search, Some(Outcome::Undecided)) {
        let why = match snapshot.record.has_all_output() {
            false => {
                "The command has ended, and until_pattern may still match what the processes that it left write"
            }
            true => "Not all output could be searched for until_pattern in this time",
        };
        return Some(format!("{why}: {}", wait_on(facts)));
    }
    let rest = match gap {
        Some(gap) => Some(read_gap(facts, gap)),
        None => exits::after_end(snapshot, shown),
    };
    if matches!(facts.search, Some(Outcome::Absent)) {
        let rest = rest.unwrap_or_else(|| "judge by returncode and output".to_owned());
        return Some(format!("The command ended before until_pattern matched: {rest}"));
    }
    rest
}

fn get(facts: &Facts<'_>) -> String {
    let id = facts.snapshot.job.id();
    format!("call get_command_background_result with ref_id=\"{id}\"")
}

/// The call that waits on: for the same as this one did. It names no cursor, which would show less and, with a pattern,
/// pass over what was not searched: one that waits from a cursor on goes on to do so.
fn wait_on(facts: &Facts<'_>) -> String {
    let pattern = match facts.search {
        None => "",
        Some(_) if facts.reading.cursor.is_some() => {
            ", the same until_pattern and all else as in this call"
        }
        Some(_) => " and the same until_pattern",
    };
    let seconds = facts.wait.cap.as_secs_f64();
    format!("{} and wait_seconds={seconds}{pattern}", get(facts))
}

fn read_gap(facts: &Facts<'_>, gap: &Cut) -> String {
    let grep = match facts.output_path {
        "" => String::new(),
        path => format!(", or grep {path}*"),
    };
    format!("{}: {} and cursor=\"{}\"{grep}", messages::left_out(gap), get(facts), gap.cursor)
}

/// Output that the disk did not take.
fn unstored(snapshot: &Snapshot) -> Option<String> {
    let record = &snapshot.record;
    let streams = [&record.stdout, &record.stderr];
    let why = streams.into_iter().find_map(|stream| stream.unstored.as_ref())?;
    Some(format!(
        "Some output was not stored ({why}): free space, clean up finished jobs or pass another --output-dir, and run it again if that part matters"
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use uuid::Uuid;

    use super::*;
    use crate::job::{Job, Moment};

    /// The hint about a running job that was started this long ago and has written nothing.
    fn hint_after_silence(seconds: u64, idle_cpu: bool) -> String {
        let started = Instant::now().checked_sub(Duration::from_secs(seconds));
        let created = Moment {
            monotonic: started.expect("the machine is up for that long"),
            ..Moment::now()
        };
        let (job, _watcher) = Job::new(Uuid::new_v4(), "sleep 1000", "/".into(), 1, created);
        let reading = Reading {
            cursor: None,
            max_chars: None,
            default_chars: 8000,
            tail_only: false,
            is_last: false,
        };
        let facts = Facts {
            snapshot: &job.snapshot(),
            shown: &Shown::default(),
            reading: &reading,
            search: None,
            wait: Wait { asked: Duration::from_secs(5), cap: Duration::from_secs(45) },
            idle_cpu,
            output_path: "",
            disk_silent: None,
        };
        for_job(&facts).expect("a running job always has a hint")
    }

    #[test]
    fn long_silence_without_cpu_is_told_and_only_that() {
        let stuck = hint_after_silence(240, true);
        let told = "No output for 4 min and no CPU used: call cleanup_background_process";
        assert!(stuck.starts_with(told), "{stuck}");
        for (seconds, idle_cpu) in [(240, false), (30, true)] {
            let goes_on = hint_after_silence(seconds, idle_cpu);
            assert!(goes_on.starts_with("Still running after"), "{goes_on}");
        }
    }
}
