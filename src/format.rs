//! How numbers, durations and errors are written for readers.

use std::io;
use std::ops::Range;
use std::time::Duration;

/// The first characters of a text: at most `max_chars`, with the `…` that says that it was cut.
pub fn truncate(text: &str, max_chars: usize) -> String {
    ellipsize_around(text, 0..0, max_chars)
}

/// At most `max_chars` characters of a text, around a part of it, given in bytes; `…` stands where it was cut. Of a part
/// that is longer, the start is shown. `max_chars` is three at least.
pub fn ellipsize_around(text: &str, part: Range<usize>, max_chars: usize) -> String {
    if text.char_indices().nth(max_chars).is_none() {
        return text.to_owned();
    }
    let first = text[..part.start].chars().count();
    let length = text[part].chars().count();
    let total = text.chars().count();
    // With the end or the start of the text in it, one `…` is enough.
    let room = max_chars.saturating_sub(2);
    let from = first.saturating_sub(room.saturating_sub(length) / 2);
    let (from, room) = match from {
        0 | 1 => (0, room + 1),
        from if from + room + 1 >= total => (total - room - 1, room + 1),
        from => (from, room),
    };
    let shown = text.chars().skip(from).take(room);
    let before = (from > 0).then_some('…');
    let behind = (from + room < total).then_some('…');
    before.into_iter().chain(shown).chain(behind).collect()
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

/// A duration for people: `45 s`, `12 min`, `1 h`, `1.5 h`.
pub fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let rounded = |number: f64| format!("{}", (number * 10.0).round() / 10.0);
    match duration.as_secs() {
        0..10 => format!("{} s", rounded(seconds)),
        10..120 => format!("{seconds:.0} s"),
        120..3600 => format!("{} min", rounded(seconds / 60.0)),
        _ => format!("{} h", rounded(seconds / 3600.0)),
    }
}

/// An error of the operating system without its number, and without a full stop.
pub fn io_error_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_written_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        let spans = [0.25, 31.4, 119.0, 240.0, 3600.0, 5400.0]
            .map(|seconds| human_duration(Duration::from_secs_f64(seconds)));
        assert_eq!(spans, ["0.3 s", "31 s", "119 s", "4 min", "1 h", "1.5 h"]);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(truncate("äöü", 3), "äöü");
        assert_eq!(truncate("äöü", 2), "ä…");
    }

    #[test]
    fn what_is_shown_around_a_part_holds_it_and_keeps_to_its_length() {
        let text = "ä123456789bcdefgh";
        let part = |part: &str| {
            let start = text.find(part).expect("a part");
            start..start + part.len()
        };
        assert_eq!(ellipsize_around(text, part("ä"), 20), text);
        assert_eq!(ellipsize_around(text, part("ä1"), 7), "ä12345…");
        assert_eq!(ellipsize_around(text, part("89"), 8), "…6789bc…");
        assert_eq!(ellipsize_around(text, part("h"), 7), "…cdefgh");
        assert_eq!(ellipsize_around(text, part("123456789"), 6), "ä1234…");
        assert_eq!(ellipsize_around(text, text.len()..text.len(), 4), "…fgh");
        for max in 3..=text.chars().count() {
            for start in 1..=10 {
                let shown = ellipsize_around(text, start + 1..start + 2, max);
                assert!(shown.chars().count() <= max, "{shown:?} for {max}");
            }
        }
    }
}
