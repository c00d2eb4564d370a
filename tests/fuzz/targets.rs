//! What holds for any bytes, as functions of those bytes: the targets of the fuzzer (`fuzz/`), and in short of
//! `cargo test`. Each panics where it does not hold. A module of the library, whose insides it calls, but not of what ships.

use std::io::BufReader;

use crate::output::cursor::Cursor;
use crate::output::excerpt::page;
use crate::output::stream::Stream;
use crate::output::terminal;
use crate::transport::decode::decode;
use crate::transport::next_line;

impl Stream {
    /// One that is kept whole, in memory.
    pub fn of_bytes(bytes: impl Into<Vec<u8>>, ended: bool) -> Self {
        let bytes = bytes.into();
        let end = bytes.len() as u64;
        Self {
            read_segment: Box::new(move |_, range| {
                bytes.get(range.start as usize..range.end as usize).map(<[u8]>::to_vec)
            }),
            segments: std::iter::once(0..end).collect(),
            end,
            ended,
        }
    }
}

/// The bytes of a client: they are cut into the same lines however they arrive, and each is read or refused.
pub fn input(data: &[u8]) {
    let Some((&piece, stream)) = data.split_first() else {
        return;
    };
    let mut expected: Vec<&[u8]> = stream.split(|&byte| byte == b'\n').collect();
    if expected.last().is_some_and(|last| last.is_empty()) {
        expected.pop();
    }
    let mut pieces = BufReader::with_capacity(1 + usize::from(piece), stream);
    let (mut lines, mut line) = (Vec::new(), Vec::new());
    while let Some(left_out) = next_line(&mut pieces, &mut line).expect("memory does not fail") {
        assert_eq!(left_out, 0);
        drop(decode(&line));
        lines.push(line.clone());
    }
    assert_eq!(lines, expected);
}

/// The bytes of a job: they become clean text of bounded length, which is shown as it is.
pub fn terminal(data: &[u8]) {
    let _ = terminal::is_within_sequence(data);
    let text = terminal::line(data);
    let is_clean = |char: char| !char.is_control() || char == '\t' || char == '\n';
    assert!(text.chars().all(is_clean), "{text:?}");
    // Each sequence may leave as many blanks as the imagined terminal is wide.
    assert!(text.len() <= 4 * 512 * (data.len() + 1), "{} bytes from {}", text.len(), data.len());
    for line in text.lines() {
        assert_eq!(terminal::line(line.as_bytes()), line);
    }
}

/// The word that a model gives back: any text is read or refused, and what is read leads through the rest of any output
/// to its end.
pub fn cursor(data: &[u8]) {
    let Some((&length, rest)) = data.split_first() else {
        return;
    };
    let (word, output) = rest.split_at(rest.len().min(usize::from(length)));
    let word = String::from_utf8_lossy(word);
    let Ok(mut from) = word.parse::<Cursor>() else {
        return;
    };
    assert_eq!(from.to_string().parse(), Ok(from));
    let (out, err) = output.split_at(output.len() / 2);
    let (mut out, mut err) = (Stream::of_bytes(out, true), Stream::of_bytes(err, true));
    // Each page shows a character at least, or is the last.
    for _ in 0..=8 * (output.len() + 8) {
        let page = page(&mut out, &mut err, from, 16);
        if page.output.is_empty() && page.error.is_empty() && !page.more {
            return;
        }
        from = page.next;
    }
    panic!("no end of pages, at {from}");
}

#[cfg(test)]
mod tests {
    /// Bytes that look like what is expected, and like nothing at all: the same in each run.
    #[test]
    fn any_bytes_are_read_shown_or_refused() {
        #[rustfmt::skip]
        const WORDS: [&str; 32] = [
            "{", "}", "[", "]", "\"id\":", "1", "\"a\"", ",", "\n", "\"jsonrpc\":\"2.0\"", "\\ud800", "\"method\":\"ping\"",
            "\\", "\"", "\u{1b}[", "\u{1b}]", "m", "K", "999999999", ";", "\r", "\u{8}", "\t", "世", "e\u{301}", "\u{1b}[2J",
            "\u{1b}[10000P", "\u{3}start", "\u{4}o0e0", "o1e2", "a line\n", "a long line ",
        ];
        let mut state = 0x2545_F491_u32;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as usize % below
        };
        for _ in 0..6000 {
            let mut bytes = vec![random(6) as u8];
            for _ in 0..random(24) {
                match random(4) {
                    0 => bytes.push(random(256) as u8),
                    _ => bytes.extend_from_slice(WORDS[random(WORDS.len())].as_bytes()),
                }
            }
            super::input(&bytes);
            super::terminal(&bytes);
            super::cursor(&bytes[1..]);
        }
    }
}
