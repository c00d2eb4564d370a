//! What a waiting call looks for in one stream: a line that matches, or anything its reader has not seen yet.

use memchr::memrchr;
use regex::Regex;

use super::stream::Stream;
use super::terminal;
use crate::format::ellipsize_around;

/// Most characters that are told of a line that was found: a line may have 64 KiB, and a reply has a budget.
const FOUND_CHARS: usize = 500;

/// Longer lines are searched in parts of this size, which overlap: what crosses a border is found.
const LINE_LIMIT: usize = 64 << 10;
const OVERLAP: usize = 4 << 10;

/// What is looked for.
#[derive(Clone, Debug)]
pub enum Sought {
    /// A line that matches.
    Line(Regex),
    /// Whatever the next page would show.
    AnythingNew,
}

/// How far a search has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Position {
    /// Up to where the reader has seen the stream. A match that ends before it is not new.
    shown: u64,
    /// The start of the first line that was not complete, once there was a search.
    line: Option<u64>,
}

impl Position {
    /// Behind what a reader has seen.
    pub fn behind(shown: u64) -> Self {
        Self { shown, line: None }
    }
}

/// The first line that is `sought`, as it is told. Moves `position` to the first line that is not complete.
pub fn search(
    stream: &mut Stream,
    position: &mut Position,
    sought: &Sought,
    is_stopped: impl Fn() -> bool,
) -> Option<String> {
    position.shown = position.shown.min(stream.end);
    match sought {
        Sought::Line(regex) => matching(stream, position, regex, is_stopped),
        Sought::AnythingNew => {
            let (text, _) = stream.forward(position.shown, FOUND_CHARS);
            let line = text.lines().next().unwrap_or_default();
            (!text.is_empty()).then(|| line.to_owned())
        }
    }
}

fn matching(
    stream: &mut Stream,
    position: &mut Position,
    regex: &Regex,
    is_stopped: impl Fn() -> bool,
) -> Option<String> {
    let mut start = match position.line {
        Some(line) => line,
        None => line_start(stream, position.shown),
    };
    let mut buffer: Vec<u8> = Vec::new();
    while !is_stopped() {
        position.line = Some(start);
        let frontier = start + buffer.len() as u64;
        let chunk = stream.read(frontier, LINE_LIMIT as u64);
        buffer.extend_from_slice(&chunk);
        let mut taken = 0;
        for line in buffer.split_inclusive(|byte| *byte == b'\n') {
            // Else it is the last line, or one that a gap ends.
            let is_part = !line.ends_with(b"\n") && !chunk.is_empty();
            if is_part && line.len() < LINE_LIMIT {
                break;
            }
            if let Some(found) = found(line, start + taken as u64, position.shown, regex) {
                return Some(found);
            }
            taken += if is_part { line.len() - OVERLAP } else { line.len() };
        }
        start += taken as u64;
        buffer.drain(..taken);
        if chunk.is_empty() {
            start = stream.next_kept(frontier);
            if start >= stream.end {
                return None;
            }
        }
    }
    None
}

/// What is told of this line if it matches beyond the part of it that was shown.
fn found(line: &[u8], start: u64, shown: u64, regex: &Regex) -> Option<String> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let known = usize::try_from(shown.saturating_sub(start)).unwrap_or(usize::MAX);
    if known > line.len() || (line.is_empty() && known > 0) {
        return None;
    }
    let text = terminal::line(line);
    let seen = terminal::line(&line[..known]);
    // In a line that was written over since, all is new.
    let known = if text.starts_with(&*seen) { seen.len() } else { 0 };
    let mut row_start = 0;
    // Each row of a screen is a line.
    text.trim_end_matches('\n').split('\n').find_map(|row| {
        let is_new = |found: &regex::Match<'_>| known == 0 || row_start + found.end() > known;
        let found = regex.find_iter(row).find(is_new);
        row_start += row.len() + 1;
        Some(ellipsize_around(row, found?.range(), FOUND_CHARS))
    })
}

/// The start of the line in which this offset is.
fn line_start(stream: &mut Stream, at: u64) -> u64 {
    let from = stream.next_kept(at.saturating_sub(LINE_LIMIT as u64));
    let bytes = stream.read(from, at.saturating_sub(from));
    if from + (bytes.len() as u64) < at {
        return at;
    }
    memrchr(b'\n', &bytes).map_or(from.min(at), |newline| from + newline as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(text: &str) -> Stream {
        Stream::of_bytes(text, false)
    }

    #[track_caller]
    fn check(text: &str, shown: u64, pattern: &str, expected: Option<&str>) {
        let sought = match pattern {
            "." => Sought::AnythingNew,
            _ => Sought::Line(Regex::new(pattern).expect("a pattern")),
        };
        let mut position = Position::behind(shown);
        let found = search(&mut stream(text), &mut position, &sought, || false);
        assert_eq!(found.as_deref(), expected, "{pattern} in {text:?} from {shown}");
    }

    #[test]
    fn a_match_must_end_beyond_what_was_shown() {
        check("one\ntwo\nthree", 0, "t", Some("two"));
        check("one\ntwo\nthree", 8, "t", Some("three"));
        check("one\ntwo\nthree", 10, "thr", Some("three"));
        check("one\ntwo\nthree", 13, "three", None);
        check("one\ntwo\nthree", 99, "three", None);
        check("name: ", 6, "name: ", None);
        check("name: Bob", 6, "^name: B", Some("name: Bob"));
        check("one\n\ntwo\n", 0, "^$", Some(""));
        check("one\n", 4, "one", None);
        check("", 0, "x*", None);
        check("one\n", 0, "^$", None);
        check("50%\r60%", 3, "60%", Some("60%"));
        check("50%\r50%", 3, "50%", None);
        let screen = "\x1b[1;1HREADY 3\x1b[2;1H7 pods\n";
        check(screen, 0, "3\\s*7", None);
        check(screen, 0, "^7 pods$", Some("7 pods"));
    }

    #[test]
    fn a_match_across_the_border_of_two_parts_of_a_long_line_is_found() {
        let text = format!("{}Overwrite? ", "x".repeat(LINE_LIMIT - 4));
        let sought = Sought::Line(Regex::new(r"Overwrite\?").expect("a pattern"));
        // From the start, and from a cursor at the border.
        for shown in [0, LINE_LIMIT as u64] {
            let mut position = Position::behind(shown);
            let found = search(&mut stream(&text), &mut position, &sought, || false);
            assert!(found.is_some_and(|found| found.ends_with("xOverwrite? ")), "from {shown}");
        }
    }

    #[test]
    fn anything_new_is_what_the_next_page_shows() {
        check("one\ntwo", 4, ".", Some("two"));
        check("one\n\n", 4, ".", Some(""));
        check("one\n", 4, ".", None);
        check("one\n\x1b[3", 4, ".", None);
    }

    #[test]
    fn a_search_goes_on_where_the_last_one_ended() {
        let sought = Sought::Line(Regex::new("half and").expect("a pattern"));
        let mut position = Position::default();
        assert_eq!(search(&mut stream("one\nhalf"), &mut position, &sought, || false), None);
        assert_eq!(position.line, Some(4));
        let found = search(&mut stream("one\nhalf and half"), &mut position, &sought, || false);
        assert_eq!(found.as_deref(), Some("half and half"));
        let long = "x".repeat(200_000) + "needle";
        check(&long, 0, "needle$", Some(&format!("…{}needle", "x".repeat(493))));
    }
}
