use std::io::{self, Cursor as Bytes};

use proptest::prelude::*;

use super::*;

/// Gives back at most `step` bytes at once, and fails behind `broken`.
struct Grudging {
    bytes: Bytes<Vec<u8>>,
    step: usize,
    broken: u64,
}

impl Read for Grudging {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.broken.saturating_sub(self.bytes.position());
        if left == 0 && self.broken < self.bytes.get_ref().len() as u64 {
            return Err(io::Error::other("gone"));
        }
        let len = buffer.len().min(self.step).min(left as usize);
        self.bytes.read(&mut buffer[..len])
    }
}

impl Seek for Grudging {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

fn stream(bytes: &[u8], ended: bool) -> Stream<Grudging> {
    let end = bytes.len() as u64;
    Stream {
        reader: Grudging {
            bytes: Bytes::new(bytes.to_vec()),
            step: usize::MAX,
            broken: u64::MAX,
        },
        regions: std::iter::once(0..end).collect(),
        end,
        ended,
    }
}

fn line(start: u64, end: u64, text: &str, finished: bool, breaks: bool) -> Item<'_> {
    Item::Line {
        start,
        end,
        text: text.into(),
        finished,
        breaks,
    }
}

fn all(stream: &mut Stream<Grudging>) -> Vec<Item<'static>> {
    collected(stream.lines(0))
}

fn collected(mut lines: Lines<'_, Grudging>) -> Vec<Item<'static>> {
    let mut items = Vec::new();
    while let Some(item) = lines.next() {
        items.push(match item {
            Item::Line {
                start,
                end,
                text,
                finished,
                breaks,
            } => Item::Line {
                start,
                end,
                text: text.into_owned().into(),
                finished,
                breaks,
            },
            Item::Hole { start, bytes } => Item::Hole { start, bytes },
            Item::Gone { start, bytes } => Item::Gone { start, bytes },
        });
    }
    items
}

#[test]
fn an_open_streams_last_line_is_unfinished() {
    let lines = vec![
        line(0, 4, "one", true, true),
        line(4, 7, "two", false, false),
    ];
    assert_eq!(all(&mut stream(b"one\ntwo", false)), lines);
    let lines = vec![
        line(0, 4, "one", true, true),
        line(4, 7, "two", true, false),
    ];
    assert_eq!(all(&mut stream(b"one\ntwo", true)), lines);
    assert_eq!(all(&mut stream(b"", true)), []);
    assert_eq!(
        all(&mut stream(b"\n\n", false)),
        [line(0, 1, "", true, true), line(1, 2, "", true, true)]
    );
}

#[test]
fn holes_stand_where_bytes_were_dropped() {
    let mut holey = stream(b"0123456789abcdef", false);
    holey.regions = vec![2..4, 8..10];
    let items = vec![
        Item::Hole { start: 0, bytes: 2 },
        line(2, 4, "23", true, true),
        Item::Hole { start: 4, bytes: 4 },
        line(8, 10, "89", true, true),
        Item::Hole {
            start: 10,
            bytes: 6,
        },
    ];
    assert_eq!(all(&mut holey), items);
    // A reader whose place was dropped goes on behind the hole.
    assert_eq!(
        holey.lines(5).next(),
        Some(Item::Hole { start: 5, bytes: 3 })
    );
    assert_eq!(holey.lines(16).next(), None);
    assert_eq!(holey.lines(17).next(), None);
    holey.regions.clear();
    assert_eq!(
        all(&mut holey),
        [Item::Hole {
            start: 0,
            bytes: 16
        }]
    );
}

#[test]
fn touching_regions_are_read_as_one() {
    let mut segmented = stream(b"one\ntwo\n", false);
    segmented.regions = vec![0..2, 2..6, 6..8];
    assert_eq!(all(&mut segmented), all(&mut stream(b"one\ntwo\n", false)));
}

#[test]
fn what_cannot_be_read_is_told_from_what_was_dropped() {
    let mut failing = stream(b"one\ntwo\nthree\nfour\n", true);
    failing.reader.broken = 6;
    failing.regions = vec![0..8, 10..14];
    let items = vec![
        line(0, 4, "one", true, true),
        line(4, 6, "tw", true, true),
        Item::Gone { start: 6, bytes: 2 },
        Item::Hole { start: 8, bytes: 2 },
        Item::Gone {
            start: 10,
            bytes: 4,
        },
        Item::Hole {
            start: 14,
            bytes: 5,
        },
    ];
    assert_eq!(all(&mut failing), items);
    // An early end is the same.
    let mut short = stream(b"one\ntwo", true);
    (short.regions, short.end) = (std::iter::once(0..20).collect(), 20);
    let items = vec![
        line(0, 4, "one", true, true),
        line(4, 7, "two", true, true),
        Item::Gone {
            start: 7,
            bytes: 13,
        },
    ];
    assert_eq!(all(&mut short), items);
}

#[test]
fn a_long_line_is_cut() {
    let long = "x".repeat(LINE_LIMIT) + "yy\n";
    let (limit, end) = (LINE_LIMIT as u64, LINE_LIMIT as u64 + 3);
    let head = line(0, limit, &long[..LINE_LIMIT], true, false);
    assert_eq!(
        all(&mut stream(long.as_bytes(), false)),
        [head.clone(), line(limit, end, "yy", true, true)]
    );
    // Even where it just reaches the limit, so that growing changes nothing.
    assert_eq!(
        all(&mut stream(&long.as_bytes()[..LINE_LIMIT], false)),
        [head]
    );
}

#[test]
fn of_a_long_line_that_is_written_over_the_last_state_is_shown() {
    let mut download: String = (0..30_000).map(|step| format!("\r{step:05}")).collect();
    download += "\r\n";
    let shown = |bytes: &str, ended: bool| {
        let text = |item| match item {
            Item::Line { text, .. } => text,
            hole => panic!("{hole:?}"),
        };
        let texts = all(&mut stream(bytes.as_bytes(), ended)).into_iter();
        texts.map(text).collect::<String>()
    };
    assert_eq!(shown(&download, true), "29999");
    assert_eq!(shown(&download[..LINE_LIMIT + 10], false), "10923");
    // What is not wholly written over stays.
    let long = "x".repeat(LINE_LIMIT - 2);
    for rest in ["\r\n", "\r\x1b[0m\n", "\r\x1b[5Cxx\r\x1b[9Cxx\n"] {
        assert!(
            shown(&(long.clone() + rest), true).starts_with(&long),
            "{rest:?}"
        );
    }
    let half = "x".repeat(40_000) + "\r" + &"y".repeat(30_000) + "\r" + "z\n";
    assert!(shown(&half, true).contains(&"x".repeat(10_000)));
}

#[test]
fn a_cut_that_meets_a_hole_breaks_the_line() {
    let items = |bytes: &[u8]| {
        let mut holey = stream(bytes, false);
        holey.regions = std::iter::once(0..4).collect();
        collected(holey.lines_cut_at(4, 0))
    };
    let hole = Item::Hole { start: 4, bytes: 2 };
    assert_eq!(
        items(b"abcd--"),
        [line(0, 4, "abcd", true, true), hole.clone()]
    );
    let (head, rest) = (
        line(0, 3, "abc", true, false),
        line(3, 4, "\u{FFFD}", true, true),
    );
    assert_eq!(items(b"abc\xc3--"), [head, rest, hole]);
}

#[test]
fn a_cut_spares_characters_and_escape_sequences() {
    let cases: [(&[u8], usize); 11] = [
        (b"abcdef", 6),
        ("abcd\u{e9}".as_bytes(), 6),
        (b"abc\xf0\x9f\xa6", 3),
        (b"abcd\xe4\xb8", 4),
        (b"ab\x1b[31", 2),
        (b"abcd\x1b", 4),
        (b"a\x1b[31m", 6),
        (b"a\x1b[1m\xe4\xb8", 5),
        (b"a\x1b]0;t\xc3", 1),
        (b"a\x1b]0;t\x1b", 6),
        (b"\x1b[31;1", 6),
    ];
    for (raw, kept) in cases {
        assert_eq!(cut(raw), kept, "{:?}", String::from_utf8_lossy(raw));
    }
}

fn output() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => "[a-z ]{0,12}".prop_map(String::into_bytes),
        3 => Just(b"\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        2 => "\x1b\\[[0-9;]{0,4}[mKC]".prop_map(String::into_bytes),
        1 => "[é世🦀]{1,4}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn lines_are_the_stream_and_depend_on_the_bytes_alone(
        bytes in output(), limit in 4..40usize, step in 1..9usize, ended: bool, segment in 1..30u64,
    ) {
        let mut whole = stream(&bytes, ended);
        let items = collected(whole.lines_cut_at(limit, 0));

        let mut at = 0;
        for (index, item) in items.iter().enumerate() {
            let Item::Line { start, end, text, finished, breaks } = item else {
                panic!("a hole in {items:?}");
            };
            prop_assert_eq!(*start, at);
            let raw = &bytes[*start as usize..*end as usize];
            prop_assert!(!raw.is_empty() && raw.len() <= limit);
            prop_assert_eq!(raw.iter().position(|&byte| byte == b'\n').map(|at| at + 1), breaks.then_some(raw.len()));
            let shown = if *finished { raw } else { &raw[..super::whole(raw)] };
            let is_written_over = !breaks && raw.len() < limit && bytes.get(*end as usize) == Some(&b'\r');
            let shown = if is_written_over { b"" } else { shown };
            prop_assert_eq!(text, &render::line(shown));
            prop_assert!(*finished || (index + 1 == items.len() && !ended));
            at = *end;
            // From any line start the same lines follow.
            let rest = collected(whole.lines_cut_at(limit, at));
            prop_assert_eq!(&rest[..], &items[index + 1..]);
        }
        prop_assert_eq!(at, bytes.len() as u64);

        whole.reader.step = step;
        let end = bytes.len() as u64;
        whole.regions = (0..end).step_by(segment as usize).map(|start| start..end.min(start + segment)).collect();
        let again = collected(whole.lines_cut_at(limit, 0));
        prop_assert_eq!(again, items);
    }

    #[test]
    fn no_arrangement_of_regions_loses_count(
        bytes in output(), bounds in prop::collection::vec((0..300u64, 0..300u64), 0..6),
        end in 0..300u64, broken in 0..300u64, from in 0..300u64, limit in 4..40usize,
    ) {
        let mut stream = stream(&bytes, false);
        stream.reader.broken = broken;
        stream.regions = bounds.into_iter().map(|(start, end)| start..end).collect();
        stream.end = end;
        let mut at = from;
        let mut lines = stream.lines_cut_at(limit, from);
        while let Some(item) = lines.next() {
            let (start, next) = match item {
                Item::Line { start, end, .. } => (start, end),
                Item::Hole { start, bytes } | Item::Gone { start, bytes } => (start, start + bytes),
            };
            prop_assert!(start == at && next > at);
            at = next;
        }
        prop_assert_eq!(at, end.max(from));
    }
}
