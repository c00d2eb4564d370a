//! What of a job's output a reply shows.

use super::hints::Wait;
use super::messages;
use crate::job::Snapshot;
use crate::output::cursor::Cursor;
use crate::output::excerpt::{Cut, Excerpt, excerpt, page};
use crate::output::segments::streams;
use crate::output::store::Store;

/// Characters of the tail that are shown of a running job when the call names no number.
const RUNNING_CHARS: usize = 2000;

/// In the place of output that cannot be read now.
const UNREADABLE: &str = "the output cannot be read now: its disk does not answer. The job is unharmed; call again later";

/// What a call about one job asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    pub wait: Wait,
    pub cursor: Option<Cursor>,
    pub max_chars: Option<usize>,
    pub default_chars: usize,
    /// The tail alone, as of a running job.
    pub tail_only: bool,
    /// The job and its files are then removed: their paths, and where to read on, are of no use.
    pub is_last: bool,
}

/// Reads it.
pub async fn show(snapshot: &Snapshot, store: &Store, reading: Reading) -> Excerpt {
    let record = &snapshot.record;
    if record.stdout.end + record.stderr.end == 0 {
        return Excerpt::default();
    }
    let id = snapshot.job.id();
    let (mut stdout, mut stderr) = streams(snapshot, store);
    let tail_only = (snapshot.is_running() || reading.tail_only)
        && reading.max_chars.is_none()
        && reading.cursor.is_none();
    let max_chars = reading.max_chars.unwrap_or(match tail_only {
        true => RUNNING_CHARS.min(reading.default_chars),
        false => reading.default_chars,
    });
    let read = move || {
        let marker = |cut: &Cut| messages::gap(id, cut, reading.is_last);
        let mut shown = match reading.cursor {
            Some(from) => page(&mut stdout, &mut stderr, from, max_chars),
            None => excerpt(&mut stdout, &mut stderr, max_chars, tail_only, &marker),
        };
        shown.unfinished = stdout.last_line().into_iter().chain(stderr.last_line()).collect();
        shown
    };
    store.read(read).await.unwrap_or_else(|| Excerpt {
        error: UNREADABLE.to_owned(),
        next: reading.cursor.unwrap_or_default(),
        ..Excerpt::default()
    })
}
