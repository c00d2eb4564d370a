//! How numbers, durations and errors are written for readers.

use std::io;
use std::time::Duration;

/// The first characters of a text.
pub(crate) fn cut(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

/// A duration for people: `45 s`, `12 min`, `1 h`, `1.5 h`.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let rounded = |number: f64| format!("{}", (number * 10.0).round() / 10.0);
    match duration.as_secs() {
        0..120 => format!(
            "{} s",
            if seconds < 10.0 {
                rounded(seconds)
            } else {
                format!("{seconds:.0}")
            }
        ),
        120..3600 => format!("{} min", rounded(seconds / 60.0)),
        _ => format!("{} h", rounded(seconds / 3600.0)),
    }
}

/// An error of the operating system without its number.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_written_for_people() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(thousands),
            ["0", "999", "1,000", "1,234,567"]
        );
        let spans = [0.25, 31.4, 119.0, 240.0, 3600.0, 5400.0]
            .map(|seconds| span(Duration::from_secs_f64(seconds)));
        assert_eq!(spans, ["0.3 s", "31 s", "119 s", "4 min", "1 h", "1.5 h"]);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöü", 2), "äö…");
    }
}
