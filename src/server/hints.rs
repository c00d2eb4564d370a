//! What to do next: one imperative sentence, only where there is one.

pub mod bash_syntax;
mod prompts;
mod symptoms;

use std::time::Duration;

use prompts::prompt;

use super::messages;
use super::pattern::Outcome;
use super::shown::Reading;
use crate::format::human_duration;
use crate::job::Snapshot;
use crate::output::excerpt::Excerpt;

/// How long a job must be silent before that is worth a word.
const LONG_SILENCE: Duration = Duration::from_secs(60);

/// A program that has written nothing for this long probably holds its output back.
const BUFFERED_AFTER: Duration = Duration::from_secs(10);

/// What the wait of a call came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wait {
    pub asked: Duration,
    /// The most that this client's calls may wait.
    pub cap: Duration,
}

/// What a hint is made from.
#[derive(Debug)]
pub struct Facts<'a> {
    pub snapshot: &'a Snapshot,
    /// What of the output the reply shows.
    pub shown: &'a Excerpt,
    /// What the call asked for.
    pub reading: &'a Reading,
    /// What the search for a pattern came to, if there was one.
    pub search: Option<&'a Outcome>,
    pub output_path: &'a str,
}

/// Said besides.
const REPLACED: &str = "Bytes that are not UTF-8 are shown as \u{FFFD}: if they matter, write them to a file, or pipe them through iconv or xxd";

/// The hint in a reply about one job: the most urgent one, and what is to be known of the text.
pub fn for_job(facts: &Facts<'_>) -> String {
    let replaced = facts.shown.has_replaced().then(|| REPLACED.to_owned());
    let hints: Vec<String> = most_urgent(facts).into_iter().chain(replaced).collect();
    hints.join(". ")
}

fn most_urgent(facts: &Facts<'_>) -> Option<String> {
    let (snapshot, shown) = (facts.snapshot, facts.shown);
    let running = snapshot.is_running();
    let still_running = running && !matches!(facts.search, Some(Outcome::Found(_)));
    let record = &snapshot.record;
    let unstored = record.stdout.unstored.as_ref().or(record.stderr.unstored.as_ref());
    if let Some(why) = unstored {
        return Some(format!(
            "Some output was not stored ({why}): free space, clean up finished jobs or pass another --output-dir, and run it again if that part matters"
        ));
    }
    if !running && record.leftovers.is_empty() && !record.has_all_output() {
        return Some(format!(
            "What came last is not here yet, since the disk with the output does not answer or a process outside the job holds its pipes: {} later",
            get(facts)
        ));
    }
    if still_running && let Some(prompt) = shown.unfinished.iter().find_map(|line| prompt(line)) {
        return Some(format!("{} clean up and {}", prompt.asks, prompt.advice));
    }
    if still_running && let Some(symptom) = symptoms::while_running(snapshot, shown) {
        return Some(symptom.to_owned());
    }
    let wait = facts.reading.wait;
    if still_running && wait.asked > wait.cap {
        return Some(format!(
            "wait_seconds={} was cut to {} (the unit is seconds): {}",
            wait.asked.as_secs_f64(),
            wait.cap.as_secs_f64(),
            wait_on(facts),
        ));
    }
    if shown.more {
        return Some(format!("There is more: {} and cursor=\"{}\"", get(facts), shown.next));
    }
    // A look at a running job that does not say how much to read wants to know how far it is.
    let wants_all = facts.reading.max_chars.is_some() || !running;
    let gap = shown.cut.as_ref();
    let gap = gap.filter(|cut| wants_all && cut.dropped < cut.bytes);
    if still_running && gap.is_none() {
        return Some(format!(
            "Still running after {}{}: {}",
            human_duration(snapshot.elapsed()),
            silence(snapshot),
            wait_on(facts),
        ));
    }
    if !running && matches!(facts.search, Some(Outcome::Undecided)) {
        let why = match record.has_all_output() {
            false => {
                "The command has ended, and until_pattern may still match what the processes that it left write"
            }
            true => "Not all output could be searched for until_pattern in this time",
        };
        return Some(format!("{why}: {}", wait_on(facts)));
    }
    let rest = match gap {
        Some(gap) => {
            let (left_out, get, cursor) = (messages::left_out(gap), get(facts), gap.cursor);
            let grep = match facts.output_path {
                "" => String::new(),
                path => format!(", or grep {path}*"),
            };
            Some(format!("{left_out}: {get} and cursor=\"{cursor}\"{grep}"))
        }
        None => symptoms::after_end(snapshot, shown),
    };
    if matches!(facts.search, Some(Outcome::Absent)) {
        let rest = rest.unwrap_or_else(|| "judge by returncode and output".to_owned());
        return Some(format!("The command ended before until_pattern matched: {rest}"));
    }
    rest
}

/// What is noticeable about a running job that writes nothing.
fn silence(snapshot: &Snapshot) -> String {
    let silent = snapshot.silent();
    if silent >= LONG_SILENCE {
        return format!(
            " with no output for {} (clean up if that is unexpected and cpu_seconds does not grow)",
            human_duration(silent)
        );
    }
    let record = &snapshot.record;
    match record.stdout.end + record.stderr.end == 0 && silent >= BUFFERED_AFTER {
        true => " and nothing written yet (many programs hold output back when it is piped: python3 -u, stdbuf -oL)",
        false => "",
    }
    .to_owned()
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
    let seconds = facts.reading.wait.cap.as_secs_f64();
    format!("{} and wait_seconds={seconds}{pattern}", get(facts))
}
