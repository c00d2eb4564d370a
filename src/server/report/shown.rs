//! What of a job's output a reply shows.

use crate::job::Snapshot;
use crate::output::cursor::{Cursor, Told};
use crate::output::disk::Silent;
use crate::output::store::Store;
use crate::output::streams;
use crate::output::view::{Budget, Cut, last_words, page, summary};
use crate::server::texts;

/// Characters of the tail that a look at a running job shows when the call names no number.
const RUNNING_CHARS: usize = 2000;

/// Output of at most this many bytes is read at once if the disk is quick: it is in the page cache, where it has just been
/// written, and handing the work to another thread and back takes longer than doing it.
const READ_INLINE: u64 = 16 << 10;

/// What of the output a reply shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) cursor: Option<Cursor>,
    pub(crate) max_chars: Option<usize>,
    pub(crate) default_chars: usize,
    /// The tail alone, as of a running job.
    pub(crate) tail_only: bool,
    /// The job and its files are then removed: their paths, and where to read on, are of no use.
    pub(crate) is_last: bool,
}

/// The output as the reply shows it; nothing of it by default.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) output: String,
    pub(super) error: String,
    pub(super) cut: Option<Cut>,
    pub(super) next: Cursor,
    /// There is more to read right after this page.
    pub(super) more: bool,
    /// The last line of each stream that no line break has ended yet.
    pub(super) unfinished: Vec<String>,
}

/// Reads it.
pub(super) async fn show(snapshot: &Snapshot, store: &Store, reading: Reading) -> Shown {
    let is_running = snapshot.is_running();
    let record = &snapshot.record;
    if record.stdout.end + record.stderr.end == 0 {
        // Whatever was given: a cursor beyond the end stands for the end.
        return Shown::default();
    }
    let directory = store.existing();
    let id = snapshot.job.id();
    let (mut stdout, mut stderr) = streams(snapshot, directory.as_ref());
    let all_known = Told {
        stdout: stdout.end,
        stderr: stderr.end,
    };
    let mut read = move || match reading.cursor {
        Some(from) => {
            let max_chars = reading.max_chars.unwrap_or(reading.default_chars);
            let page = page(&mut stdout, &mut stderr, from, max_chars);
            let unfinished = [last_words(&mut stdout), last_words(&mut stderr)];
            Shown {
                output: page.output,
                error: page.error,
                cut: None,
                next: page.next,
                more: page.more,
                unfinished: unfinished.into_iter().flatten().collect(),
            }
        }
        None => {
            let tail_only = (is_running || reading.tail_only) && reading.max_chars.is_none();
            let default_chars = if tail_only {
                RUNNING_CHARS.min(reading.default_chars)
            } else {
                reading.default_chars
            };
            let budget = Budget {
                max_chars: reading.max_chars.unwrap_or(default_chars),
                tail_only,
            };
            let marker = |cut: &Cut| match reading.is_last {
                true => texts::gap_for_good(cut),
                false => texts::gap(id, cut),
            };
            let summary = summary(&mut stdout, &mut stderr, budget, &marker);
            // The end of each stream is in there.
            let unfinished = [&summary.output, &summary.error]
                .into_iter()
                .filter_map(|text| text.rsplit('\n').next())
                .filter(|last| !last.is_empty());
            Shown {
                unfinished: unfinished.map(str::to_owned).collect(),
                output: summary.output,
                error: summary.error,
                cut: summary.cut,
                next: Cursor {
                    told: all_known,
                    ..summary.next
                },
                more: false,
            }
        }
    };
    let disk = store.disk();
    if record.stdout.retained() + record.stderr.retained() <= READ_INLINE && disk.is_quick() {
        return read();
    }
    let why_not = match disk.read(read).await {
        Ok(Ok(shown)) => return shown,
        Ok(Err(failed)) => texts::internal_error(&failed.to_string()),
        Err(Silent) => texts::unreadable(),
    };
    Shown {
        error: why_not,
        next: reading.cursor.unwrap_or_default(),
        ..Shown::default()
    }
}
