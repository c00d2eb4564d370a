//! Searching the output of a job for a line: what is there, and then what comes.

use std::time::{Duration, Instant};

use regex::{Regex, RegexBuilder};
use tokio_util::sync::CancellationToken;

use super::wait::Patience;
use crate::format::truncate;
use crate::job::Job;
use crate::output::cursor::{Cursor, Told};
use crate::output::search::{Found, Sought, search};
use crate::output::store::Store;
use crate::output::streams;
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

/// Most characters that an error shows of a pattern.
const SHOWN_PATTERN: usize = 300;

impl Pattern {
    /// The error is for the agent that wrote the pattern.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        if pattern.len() > LONGEST_PATTERN {
            return Err(format!(
                "until_pattern is too large: it may have {LONGEST_PATTERN} bytes. Use a shorter one, like a fixed part of the line"
            ));
        }
        if needs_line_break(pattern) {
            return Err(format!(
                "until_pattern {:?} contains a line break, and is matched against one line at a time: name a part of one line, with $ for its end",
                truncate(pattern, SHOWN_PATTERN)
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
                what_is_wrong(pattern, &error.to_string())
            ),
        })
    }

    /// What is looked for: from a cursor on, `.` stands for anything new.
    fn sought(self, with_cursor: bool) -> Sought {
        if with_cursor && self.0.as_str() == "." {
            Sought::AnythingNew
        } else {
            Sought::Line(self.0)
        }
    }
}

/// Whether a line break is part of whatever matches: as far as that can be seen without understanding the pattern.
fn needs_line_break(pattern: &str) -> bool {
    let is_optional = |next: Option<&char>| matches!(next, Some('?' | '*' | '{'));
    let mut in_class = false;
    let mut chars = pattern.chars().peekable();
    let mut found = false;
    while let Some(char) = chars.next() {
        let is_break = match char {
            // White space means nothing in the verbose mode, and without this branch there may be no line break.
            '|' if !in_class => return false,
            '(' if chars.peek() == Some(&'?') => {
                if chars
                    .clone()
                    .take_while(|&flag| flag != ')')
                    .any(|flag| flag == 'x')
                {
                    return false;
                }
                false
            }
            '\\' => chars.next() == Some('n'),
            '[' => {
                in_class = true;
                false
            }
            ']' => {
                in_class = false;
                false
            }
            char => char == '\n',
        };
        found |= is_break && !in_class && !is_optional(chars.peek());
    }
    found
}

/// The parser's words, which repeat the pattern; of a long one only its start.
fn what_is_wrong(pattern: &str, error: &str) -> String {
    let lines = || error.lines().map(str::trim).filter(|line| !line.is_empty());
    if pattern.chars().count() <= SHOWN_PATTERN {
        return truncate(&lines().collect::<Vec<_>>().join(" "), 3 * SHOWN_PATTERN);
    }
    let reason = lines().next_back().unwrap_or_default();
    format!(
        "{}, in {}",
        truncate(reason, SHOWN_PATTERN),
        truncate(pattern, SHOWN_PATTERN)
    )
}

/// What a search came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    Found(Match),
    /// There is no such line, and there will be none.
    Absent,
    /// It may still come, or not all that is there was searched.
    Undecided,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Match {
    pub(crate) line: String,
    /// How far the line goes, if it is unfinished.
    pub(crate) told: Told,
}

/// One search through a job's output, which goes on where the last one ended.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    pub(crate) job: &'a Job,
    pub(crate) store: &'a Store,
    sought: Sought,
    from: Cursor,
}

impl<'a> Search<'a> {
    /// From a cursor on, or from the start.
    pub(crate) fn new(
        job: &'a Job,
        store: &'a Store,
        pattern: Pattern,
        cursor: Option<Cursor>,
    ) -> Self {
        Self {
            job,
            store,
            sought: pattern.sought(cursor.is_some()),
            from: cursor.unwrap_or_default(),
        }
    }

    /// The first line that matches: one that is there, or one that comes in time.
    pub(crate) async fn run<S: Future<Output = String>>(
        mut self,
        patience: &Patience,
        status: impl Fn() -> S,
    ) -> Outcome {
        let at_least = Patience {
            deadline: patience.deadline.max(Instant::now() + FIRST_SEARCH),
            cancelled: patience.cancelled.clone(),
            closing: patience.closing.clone(),
            progress: None,
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
        patience
            .until(event, &status)
            .await
            .unwrap_or(Outcome::Undecided)
    }

    /// Searches what is there now. Dropping the future stops the search.
    async fn once(&mut self) -> Outcome {
        let snapshot = self.job.snapshot();
        let is_over = !snapshot.is_running() && snapshot.record.has_all_output();
        let directory = self.store.existing();
        let (sought, from) = (self.sought.clone(), self.from);
        let stop = CancellationToken::new();
        let _stop_when_dropped = stop.clone().drop_guard();
        let searching = SEARCHES.run(move || {
            let (mut stdout, mut stderr) = streams(&snapshot, directory.as_ref());
            let is_stopped = || stop.is_cancelled();
            let from = Cursor {
                told: from.told.within(stdout.end, stderr.end),
                ..from
            };
            let (mut next, mut told) = (from, Told::default());
            let (position, known) = (&mut next.stdout, from.told.stdout);
            let mut found = search(&mut stdout, position, known, &sought, is_stopped);
            if let Some(found) = &found {
                told.stdout = found.unfinished.unwrap_or_default();
            } else {
                let (position, known) = (&mut next.stderr, from.told.stderr);
                found = search(&mut stderr, position, known, &sought, is_stopped);
                told.stderr = found
                    .as_ref()
                    .and_then(|found| found.unfinished)
                    .unwrap_or_default();
            }
            let found = found.map(|Found { line, .. }| Match { line, told });
            (found, next)
        });
        let Ok((found, next)) = searching.await else {
            return Outcome::Undecided;
        };
        self.from = next;
        match found {
            Some(found) => Outcome::Found(found),
            None if is_over => Outcome::Absent,
            None => Outcome::Undecided,
        }
    }
}
