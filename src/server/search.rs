//! Searching the output of a job for a line: what is there, and then what comes.

use std::time::{Duration, Instant};

use regex::{Regex, RegexBuilder};
use tokio_util::sync::CancellationToken;

use super::wait::Patience;
use crate::job::{Job, JobState};
use crate::output::cursor::{Cursor, Position};
use crate::output::lines::Item;
use crate::output::store::Store;
use crate::output::{Stream, streams};
use crate::threads::Lane;

/// What is there already is searched for at least this long, even by a call that does not wait.
const FIRST_SEARCH: Duration = Duration::from_secs(2);

/// Bound on a compiled pattern: searching takes time in proportion to it.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// Bound on a pattern as written: parsing comes before the bound above, and megabytes would hold up everyone's calls.
const LONGEST_PATTERN: usize = 16 << 10;

/// Searches that may run at the same time, so that they never take all threads that open and read files.
static SEARCHES: Lane = Lane::new(4);

/// A regular expression for one rendered line.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// The error is for the agent that wrote the pattern.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        if pattern.len() > LONGEST_PATTERN {
            return Err(format!(
                "until_pattern is too large: it may have {LONGEST_PATTERN} bytes. Use a shorter one, like a fixed part of the line"
            ));
        }
        let regex = RegexBuilder::new(pattern)
            .size_limit(MAX_PATTERN_BYTES)
            .build();
        regex.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                format!("until_pattern is too large: compiled, it may take {MAX_PATTERN_BYTES} bytes. Use a shorter one, like a fixed part of the line")
            }
            error => format!(
                "until_pattern is not a valid regular expression: {}. Escape special characters with \\, and write no look-around or back-references",
                error.to_string().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
            ),
        })
    }
}

/// One search through a job's output, which goes on where the last one ended.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    pub(crate) job: &'a Job,
    pub(crate) store: &'a Store,
    pub(crate) pattern: Pattern,
    pub(crate) from: Cursor,
}

impl Search<'_> {
    /// The first line that matches: one that is there, or one that comes in time. None if time is up or the output ends.
    pub(crate) async fn run<S: Future<Output = String>>(
        mut self,
        patience: &Patience,
        status: impl Fn() -> S,
    ) -> Option<String> {
        let at_least = Patience {
            deadline: patience.deadline.max(Instant::now() + FIRST_SEARCH),
            cancelled: patience.cancelled.clone(),
            closing: patience.closing.clone(),
            progress: None,
        };
        let mut record = self.job.record();
        record.borrow_and_update();
        if let Some(line) = at_least.until(self.once(), &status).await? {
            return Some(line);
        }
        let event = async {
            loop {
                let is_over = {
                    let record = record.borrow();
                    let finished = matches!(record.state, JobState::Finished(_));
                    finished && record.has_all_output()
                };
                // Ended output was searched whole only if nothing has come since the last search began.
                if (is_over && !record.has_changed().unwrap_or(false))
                    || record.changed().await.is_err()
                {
                    return self.once().await;
                }
                record.borrow_and_update();
                if let Some(line) = self.once().await {
                    return Some(line);
                }
            }
        };
        patience.until(event, &status).await?
    }

    /// Searches what is there now. Dropping the future stops the search.
    async fn once(&mut self) -> Option<String> {
        let snapshot = self.job.snapshot();
        let directory = self.store.existing();
        let (pattern, from) = (self.pattern.clone(), self.from);
        let stop = CancellationToken::new();
        let _stop_when_dropped = stop.clone().drop_guard();
        let search = SEARCHES.run(move || {
            let (mut stdout, mut stderr) = streams(&snapshot, directory.as_ref());
            let mut next = from;
            let found = search_stream(&mut stdout, &mut next.stdout, &pattern, &stop)
                .or_else(|| search_stream(&mut stderr, &mut next.stderr, &pattern, &stop));
            (found, next)
        });
        let (found, next) = search.await.ok()?;
        self.from = next;
        found
    }
}

/// The first line from `position` on that matches. Moves `position` to the first line that was not finished.
fn search_stream(
    stream: &mut Stream,
    position: &mut Position,
    pattern: &Pattern,
    stop: &CancellationToken,
) -> Option<String> {
    for item in stream.lines(position.offset) {
        if stop.is_cancelled() {
            return None;
        }
        if let Item::Line {
            end,
            text,
            finished,
            ..
        } = item
        {
            if pattern.0.is_match(&text) {
                return Some(text);
            }
            if finished {
                *position = Position {
                    offset: end,
                    skip: 0,
                };
            }
        }
    }
    None
}
