//! `until_pattern`: compiled, and looked for in the output of a job that is there and in what comes.

use std::time::{Duration, Instant};

use regex::{Regex, RegexBuilder};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::wait::Patience;
use crate::blocking::run_blocking;
use crate::format::truncate;
use crate::job::Job;
use crate::output::cursor::Cursor;
use crate::output::search::{Position, Sought, search};
use crate::output::segments::streams;
use crate::output::store::Store;

/// Output that is there already is searched for at least this long, even by a call that does not wait.
const FIRST_SEARCH: Duration = Duration::from_secs(2);

/// Bound on a compiled pattern: searching takes time in proportion to it.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// Bound on a pattern as written: parsing comes before the bound above, and megabytes would hold up everyone's calls.
const MAX_PATTERN_BYTES: usize = 16 << 10;

/// Searches that may run at the same time, so that they never take all threads that open and read files.
static SEARCHES: Semaphore = Semaphore::const_new(4);

/// Most characters that an error shows of a pattern.
const SHOWN_PATTERN: usize = 300;

/// A regular expression for one rendered line. The error is for the agent that wrote the pattern.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let too_large = |bound: &str, bytes: usize| {
        format!(
            "until_pattern is too large: {bound} {bytes} bytes. Use a shorter one, like a fixed part of the line"
        )
    };
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(too_large("it may have", MAX_PATTERN_BYTES));
    }
    let of_line = of_one_line(pattern);
    if needs_line_break(&of_line) {
        return Err(format!(
            "until_pattern {:?} contains a line break, and is matched against one line at a time: name a part of one line, with $ for its end",
            truncate(pattern, SHOWN_PATTERN)
        ));
    }
    let regex = RegexBuilder::new(&of_line).size_limit(MAX_COMPILED_BYTES).build();
    regex.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => too_large("compiled, it may take", MAX_COMPILED_BYTES),
        error => {
            let lines = error.to_string();
            let reason = lines.lines().next_back().unwrap_or_default();
            format!(
                "until_pattern is not a valid regular expression: {}, in {:?}. Escape special characters with \\, and write no look-around or back-references",
                truncate(reason.trim_start_matches("error: "), SHOWN_PATTERN),
                truncate(pattern, SHOWN_PATTERN)
            )
        }
    })
}

/// The pattern with `$` for a line break at its end: it is matched against one line at a time.
fn of_one_line(pattern: &str) -> String {
    let rest = pattern.strip_suffix('\n').or_else(|| {
        let rest = pattern.strip_suffix("\\n")?;
        let backslashes = rest.len() - rest.trim_end_matches('\\').len();
        (backslashes % 2 == 0).then_some(rest)
    });
    rest.map_or_else(|| pattern.to_owned(), |rest| format!("{rest}$"))
}

/// Whether a line break is asked for, so that no line ever matches.
fn needs_line_break(pattern: &str) -> bool {
    let rest =
        pattern.replace(r"\\", "").replace(r"[^\n]", "").replace(r"\n*", "").replace(r"\n?", "");
    rest.contains(r"\n") || rest.contains('\n')
}

/// What a search came to.
#[derive(Debug)]
pub enum Outcome {
    /// This line.
    Found(String),
    /// There is no such line, and there will be none.
    Absent,
    /// It may still come, or not all that is there was searched.
    Undecided,
}

/// One search through a job's output, which goes on where the last one ended.
#[derive(Debug)]
pub struct Search<'a> {
    job: &'a Job,
    store: &'a Store,
    sought: Sought,
    /// In standard output and in standard error.
    from: [Position; 2],
}

impl<'a> Search<'a> {
    /// From a cursor on, where `.` stands for anything new, or from the start.
    pub fn new(job: &'a Job, store: &'a Store, pattern: Regex, cursor: Option<Cursor>) -> Self {
        let sought = match cursor {
            Some(_) if pattern.as_str() == "." => Sought::AnythingNew,
            _ => Sought::Line(pattern),
        };
        let from = cursor.unwrap_or_default();
        Self { job, store, sought, from: [from.stdout, from.stderr].map(Position::behind) }
    }

    /// The first line that matches: one that is there, or one that comes in time.
    pub async fn run<S: Future<Output = String>>(
        mut self,
        patience: &Patience,
        status: impl Fn() -> S,
    ) -> Outcome {
        let at_least = Patience {
            deadline: patience.deadline.max(Instant::now() + FIRST_SEARCH),
            ..patience.clone()
        };
        let mut record = self.job.record();
        record.borrow_and_update();
        match at_least.until(self.once(), &status).await {
            None => return Outcome::Undecided,
            Some(Outcome::Undecided) => {}
            Some(decided) => return decided,
        }
        let event = async {
            loop {
                // The watcher may have ended since the last search, but not without a last word in the record.
                let is_last = record.changed().await.is_err();
                record.borrow_and_update();
                match self.once().await {
                    Outcome::Undecided if !is_last => {}
                    decided => return decided,
                }
            }
        };
        patience.until(event, &status).await.unwrap_or(Outcome::Undecided)
    }

    /// Searches what is there now. Dropping the future stops the search.
    async fn once(&mut self) -> Outcome {
        let snapshot = self.job.snapshot();
        let is_over = !snapshot.is_running() && snapshot.record.has_all_output();
        let (mut stdout, mut stderr) = streams(&snapshot, self.store);
        let (sought, mut from) = (self.sought.clone(), self.from);
        let stop = CancellationToken::new();
        let _stop_when_dropped = stop.clone().drop_guard();
        let Ok(turn) = SEARCHES.acquire().await else {
            return Outcome::Undecided;
        };
        let searching = run_blocking(move || {
            let _turn = turn;
            let is_stopped = || stop.is_cancelled();
            let found = search(&mut stdout, &mut from[0], &sought, is_stopped)
                .or_else(|| search(&mut stderr, &mut from[1], &sought, is_stopped));
            (found, from)
        });
        let Some((found, from)) = searching.await else {
            return Outcome::Undecided;
        };
        self.from = from;
        match found {
            Some(line) => Outcome::Found(line),
            None if is_over => Outcome::Absent,
            None => Outcome::Undecided,
        }
    }
}
