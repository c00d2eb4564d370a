use std::io::Cursor as Bytes;
use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::output::lines::Item;
use crate::output::pieces::{dropped, gone};

type Memory = Stream<Bytes<Vec<u8>>>;

fn stream(bytes: impl Into<Vec<u8>>, ended: bool) -> Memory {
    let bytes = bytes.into();
    let end = bytes.len() as u64;
    Stream {
        reader: Bytes::new(bytes),
        regions: std::iter::once(0..end).collect(),
        end,
        ended,
    }
}

fn empty() -> Memory {
    stream("", true)
}

/// Everything there is, and what of it is finished.
fn rendering(stream: &mut Memory) -> (String, String) {
    let (mut all, mut finished_part) = (String::new(), String::new());
    for item in stream.lines(0) {
        let (text, finished) = match item {
            Item::Line {
                text,
                finished,
                breaks,
                ..
            } => (text + if breaks { "\n" } else { "" }, finished),
            Item::Hole { bytes, .. } => (dropped(bytes) + "\n", true),
            Item::Gone { bytes, .. } => (gone(bytes) + "\n", true),
        };
        all += &text;
        if finished {
            finished_part += &text;
        }
    }
    (all, finished_part)
}

/// Reads pages to the end of what there is, holding each to what pages promise.
fn read_on(out: &mut Memory, err: &mut Memory, from: &mut Cursor, max: usize) -> (String, String) {
    let (mut output, mut error) = (String::new(), String::new());
    loop {
        let page = page(out, err, *from, max);
        let chars = count(&page.output) + count(&page.error);
        assert!(chars <= max.max(1), "{chars} characters on a page of {max}");
        output += &page.output;
        error += &page.error;
        *from = page.next;
        if !page.more {
            return (output, error);
        }
        assert!(chars > 0, "an empty page, and more to come");
    }
}

fn count(text: &str) -> usize {
    text.chars().count()
}

/// Set apart by a character that the tests' output does not have.
fn marker(cut: &Cut) -> String {
    let Cut { bytes, cursor, .. } = cut;
    format!("\u{E000}{bytes} bytes left out; go on with the cursor {cursor}\u{E000}")
}

fn summarise(out: &mut Memory, err: &mut Memory, max_chars: usize) -> Summary {
    let tail_only = false;
    summary(
        out,
        err,
        Budget {
            max_chars,
            tail_only,
        },
        &marker,
    )
}

/// Head, left out bytes, tail.
fn split(text: &str) -> Option<(&str, u64, &str)> {
    let mut parts = text.split('\u{E000}');
    let (head, marker) = (parts.next()?, parts.next()?);
    let bytes = marker.split(' ').next()?.parse().ok()?;
    Some((head, bytes, parts.next()?.strip_prefix('\n')?))
}

fn numbered(lines: Range<usize>) -> String {
    lines.map(|number| format!("line {number:06}\n")).collect()
}

#[test]
fn what_fits_is_shown_whole() {
    let shown = summarise(
        &mut stream("one\ntwo", false),
        &mut stream("\x1b[31mbad\x1b[0m\n", false),
        11,
    );
    assert_eq!((&*shown.output, &*shown.error), ("one\ntwo", "bad\n"));
    assert_eq!(shown.cut, None);
    // A reader of this goes on before the line that may still grow.
    assert_eq!(shown.next.to_string(), "o4e13");
}

#[test]
fn what_is_too_long_keeps_its_start_and_end() {
    let text = numbered(0..1000);
    let shown = summarise(&mut stream(&*text, true), &mut empty(), 1000);
    let (head, bytes, tail) = split(&shown.output).expect("a marker");
    assert_eq!(head, numbered(0..16));
    assert_eq!(tail, numbered(1000 - tail.len() / 12..1000));
    assert!(
        (980..=1000).contains(&count(&shown.output)),
        "{}",
        count(&shown.output)
    );
    assert_eq!(bytes as usize, text.len() - head.len() - tail.len());
    let cursor = Cursor {
        stdout: Position::at(192),
        ..Cursor::default()
    };
    let dropped = 0;
    assert_eq!(
        shown.cut,
        Some(Cut {
            bytes,
            dropped,
            cursor
        })
    );
    assert_eq!(shown.next.stdout, Position::at(12_000));
}

#[test]
fn the_tail_alone_has_the_marker_in_front() {
    let budget = Budget {
        max_chars: 600,
        tail_only: true,
    };
    let shown = summary(
        &mut stream(numbered(0..1000), false),
        &mut empty(),
        budget,
        &marker,
    );
    let (head, _, tail) = split(&shown.output).expect("a marker");
    assert_eq!(head, "");
    assert!(tail.ends_with("line 000999\n"));
    assert_eq!(shown.cut.expect("a cut").cursor, Cursor::default());
}

#[test]
fn a_stream_that_needs_little_leaves_its_share() {
    let shown = summarise(
        &mut stream(numbered(0..1000), true),
        &mut stream("short\n", true),
        1000,
    );
    assert_eq!(shown.error, "short\n");
    assert!((970..=994).contains(&count(&shown.output)));
    let shown = summarise(
        &mut stream(numbered(0..1000), true),
        &mut stream(numbered(0..999), true),
        1000,
    );
    assert!(count(&shown.output) <= 500 && count(&shown.error) <= 500);
    assert!(split(&shown.output).is_some() && split(&shown.error).is_some());
    // One call shows what is missing in both.
    assert_eq!(shown.cut.expect("a cut").cursor.to_string(), "o96e96");
}

#[test]
fn one_long_line_is_cut_within() {
    let text = "é".repeat(5000);
    let shown = summarise(&mut stream(&*text, false), &mut empty(), 1000);
    let (head, bytes, tail) = split(&shown.output).expect("a marker");
    assert_eq!(head, "é".repeat(200) + "\n");
    assert_eq!(count(&shown.output), 1000);
    assert_eq!(bytes as usize, text.len() - (head.len() - 1) - tail.len());
    assert_eq!(shown.cut.expect("a cut").cursor.to_string(), "o0+200e0");
    assert_eq!(shown.next, Cursor::default());
}

#[test]
fn the_end_is_found_behind_long_lines_and_holes() {
    // Lines of 150 KB that render to little. Where they are cut shows.
    let bar: String = (0..18_000).map(|number| format!("\r{number:07}")).collect();
    let bar = bar + "\n";
    let long = "x".repeat(100_000) + "\n";
    let bytes = numbered(0..9000) + &bar.repeat(4) + &long + &bar + "end";
    let mut out = stream(&*bytes, false);
    out.regions = vec![0..50_000, 90_000..out.end - 10, out.end - 10..out.end];
    let whole = rendering(&mut out).0;
    for max in [700, 5000, 60_000, 105_000] {
        let shown = summarise(&mut out, &mut empty(), max);
        let (head, _, tail) = split(&shown.output).expect("a marker");
        assert!(
            whole.starts_with(head) && whole.ends_with(tail),
            "max {max}"
        );
        assert!(
            count(&shown.output) > max * 3 / 4,
            "{} of {max}",
            count(&shown.output)
        );
        assert_eq!(shown.next.stdout, Position::at(out.end - 3));
    }
}

#[test]
fn many_bytes_with_few_characters_are_shown_whole() {
    // 32 bytes each, so that every 64 KiB end with one.
    let bar = "\r\x1b[K\x1b[0;32;40mworking.......\x1b[0m".repeat(65 * 2048);
    let mut out = stream(bar, true);
    assert!(out.end > WINDOW && out.end == 65 * 65_536);
    let shown = summarise(&mut out, &mut empty(), 8000);
    assert_eq!(shown.output, "working.......".repeat(65));
    assert_eq!((shown.cut, shown.next.stdout.offset), (None, out.end));
}

#[test]
fn a_line_is_not_shown_from_its_middle() {
    let bar: String = (0..17_000).map(|number| format!("\r{number:07}")).collect();
    let mut out = stream((bar + "\n").repeat(31), true);
    // The window starts more than 64 KiB before the end of a line: cut from there on, it would show other numbers.
    assert!(out.end > WINDOW && WINDOW % (out.end / 31) > 65_536);
    let budget = Budget {
        max_chars: 1000,
        tail_only: true,
    };
    let shown = summary(&mut out, &mut empty(), budget, &marker);
    let (_, _, tail) = split(&shown.output).expect("a marker");
    assert_eq!(tail, "000819100163830016999\n".repeat(30));
}

#[test]
fn a_cut_is_told_even_where_bytes_cannot_tell() {
    let shown = summarise(&mut stream("\x1b[500Cx", true), &mut empty(), 400);
    assert!(split(&shown.output).is_some());
    assert_eq!(shown.cut.expect("a cut").bytes, 1);
}

#[test]
fn the_end_of_a_huge_line_is_shown() {
    let mut out = stream("0123456789".repeat(600_000), false);
    let shown = summarise(&mut out, &mut empty(), 1000);
    let (_, bytes, tail) = split(&shown.output).expect("a marker");
    assert!("0123456789".repeat(100).ends_with(tail));
    assert!(bytes > 5_990_000);
}

#[test]
fn an_unfinished_line_waits_until_it_ends() {
    let mut out = stream("one\ntw", false);
    let mut from = Cursor::default();
    assert_eq!(read_on(&mut out, &mut empty(), &mut from, 100).0, "one\n");
    assert_eq!(from.to_string(), "o4e0");
    assert_eq!(read_on(&mut out, &mut empty(), &mut from, 100).0, "");
    out.ended = true;
    assert_eq!(read_on(&mut out, &mut empty(), &mut from, 100).0, "tw");
    assert_eq!(from.to_string(), "o6e0");
}

#[test]
fn a_place_that_was_dropped_continues_behind_the_hole() {
    let mut out = stream("one\ntwo\nthree\nfour\n", false);
    out.regions = vec![0..4, 14..19];
    let mut from = "o8e0".parse().expect("a cursor");
    assert_eq!(
        read_on(&mut out, &mut empty(), &mut from, 100).0,
        dropped(6) + "\nfour\n"
    );
    // So does one within a line: of the note everything is shown.
    let mut from = "o8+4000e0".parse().expect("a cursor");
    assert_eq!(
        read_on(&mut out, &mut empty(), &mut from, 100).0,
        dropped(6) + "\nfour\n"
    );
    assert_eq!(
        dropped(1_234_567),
        "[1,234,567 bytes were dropped here: over the output limit, or not storable]"
    );
}

#[test]
fn a_cursor_beyond_the_end_stands_for_the_end() {
    let page = page(
        &mut stream("one\n", false),
        &mut empty(),
        "o99+3e7".parse().expect("a cursor"),
        100,
    );
    assert_eq!((&*page.output, page.more), ("", false));
    assert_eq!(page.next.to_string(), "o4e0");
}

#[test]
fn lines_that_show_nothing_do_not_stop_a_reader() {
    let mut out = stream("one\n\x1b[0m", true);
    let page = page(&mut out, &mut empty(), Cursor::default(), 4);
    assert_eq!((&*page.output, page.more), ("one\n", false));
    assert_eq!(page.next.to_string(), "o8e0");
}

#[test]
fn pages_cross_lines_that_were_cut() {
    let bytes = "é".repeat(40_000) + "\n" + &"\x1b[1mx\x1b[0m".repeat(20_000) + "\ny";
    for max in [1000, 4097, 70_000] {
        let mut out = stream(&*bytes, true);
        let mut from = Cursor::default();
        let (output, _) = read_on(&mut out, &mut empty(), &mut from, max);
        assert!(output == rendering(&mut out).0, "max {max}");
        assert_eq!(count(&output), 60_003);
    }
}

fn output() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        5 => "[a-z ]{0,20}".prop_map(String::into_bytes),
        4 => Just(b"\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => "[a-z]{1,8}\r".prop_map(String::into_bytes),
        2 => "\x1b\\[[0-9;]{0,4}[mKCDP]".prop_map(String::into_bytes),
        1 => "\x1b\\]8;;[a-z/:]{0,9}(\x07|\x1b\\\\)?".prop_map(String::into_bytes),
        1 => "[é世🦀\u{301}]{1,4}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..6),
        1 => "[a-z]".prop_map(|letter| letter.repeat(150).into_bytes()),
    ];
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
}

/// A stream with some of its bytes dropped.
fn retained() -> impl Strategy<Value = Memory> {
    (
        output(),
        prop::collection::btree_set(0..900u64, 0..6),
        any::<bool>(),
    )
        .prop_map(|(bytes, bounds, first_dropped)| {
            let mut stream = stream(bytes, false);
            let end = stream.end;
            let mut bounds: Vec<u64> = bounds.into_iter().filter(|&bound| bound < end).collect();
            bounds.insert(0, 0);
            bounds.push(end);
            let ranges = bounds.windows(2).map(|pair| pair[0]..pair[1]);
            stream.regions = ranges.skip(usize::from(first_dropped)).step_by(2).collect();
            stream
        })
}

/// The same stream when it had only `end` bytes, or some more: its holes are there as a whole or not yet.
fn earlier(full: &Memory, end: u64) -> Memory {
    let mut stream = stream(full.reader.get_ref().clone(), false);
    stream.end = end.min(full.end);
    if !full
        .regions
        .iter()
        .any(|region| region.contains(&stream.end))
    {
        let starts = full.regions.iter().map(|region| region.start);
        stream.end = starts
            .filter(|&start| start >= stream.end)
            .min()
            .unwrap_or(full.end);
    }
    let clipped = full
        .regions
        .iter()
        .map(|region| region.start..region.end.min(stream.end));
    stream.regions = clipped.filter(|region| !region.is_empty()).collect();
    stream
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn pages_show_everything_exactly_once(
        (mut out, mut err) in (retained(), retained()),
        growth in prop::collection::vec((0..900u64, 0..900u64), 0..5),
        max in prop_oneof![Just(0usize), Just(1), Just(2), 1..80usize, 80..2000usize],
    ) {
        let (mut output, mut error) = (String::new(), String::new());
        let mut from = Cursor::default();
        let (mut outs, mut errs): (Vec<u64>, Vec<u64>) = growth.into_iter().unzip();
        outs.sort();
        errs.sort();
        for (out_end, err_end) in outs.into_iter().zip(errs) {
            let read = read_on(&mut earlier(&out, out_end), &mut earlier(&err, err_end), &mut from, max);
            output += &read.0;
            error += &read.1;
        }
        (out.ended, err.ended) = (true, true);
        let read = read_on(&mut out, &mut err, &mut from, max);
        prop_assert_eq!(output + &read.0, rendering(&mut out).0);
        prop_assert_eq!(error + &read.1, rendering(&mut err).0);
        prop_assert_eq!(from, Cursor { stdout: Position::at(out.end), stderr: Position::at(err.end), ..Cursor::default() });
    }

    #[test]
    fn a_summary_is_all_or_both_ends(
        (mut out, mut err) in (retained(), retained()), ended: bool, tail_only: bool, max_chars in 0..2000usize,
    ) {
        (out.ended, err.ended) = (ended, ended);
        let shown = summary(&mut out, &mut err, Budget { max_chars, tail_only }, &marker);
        let (all_out, finished_out) = rendering(&mut out);
        let (all_err, finished_err) = rendering(&mut err);
        let chars = count(&shown.output) + count(&shown.error);
        if max_chars >= 600 {
            prop_assert!(chars <= max_chars, "{chars} characters for {max_chars}");
        }
        let fits = count(&all_out) + count(&all_err) <= max_chars;
        prop_assert_eq!(shown.cut.is_none(), fits);

        let mut bytes = 0;
        for (text, all) in [(&shown.output, &all_out), (&shown.error, &all_err)] {
            let Some((head, left_out, tail)) = split(text) else {
                prop_assert_eq!(text, all);
                continue;
            };
            bytes += left_out;
            let head = if all.starts_with(head) { head } else { head.trim_end_matches('\n') };
            prop_assert!(all.starts_with(head) && all.ends_with(tail), "{text:?} of {all:?}");
            prop_assert!(head.len() + tail.len() < all.len());
            prop_assert!(!tail_only || head.is_empty());
        }

        // What is missing is where the cut says, and nothing of the rest is missing behind it.
        if let Some(cut) = shown.cut {
            prop_assert_eq!(cut.bytes, bytes);
            let mut from = cut.cursor;
            let (rest_out, rest_err) = read_on(&mut out, &mut err, &mut from, 100);
            for (text, rest, finished) in [(&shown.output, rest_out, finished_out), (&shown.error, rest_err, finished_err)] {
                let head = split(text).map_or(&*finished, |(head, ..)| head);
                prop_assert!(
                    finished.starts_with(head) && finished[head.len()..] == *rest
                        || finished == head.trim_end_matches('\n').to_owned() + &rest
                        || head.len() > finished.len(),
                    "{head:?} and then {rest:?} of {finished:?}"
                );
            }
        }

        // The reader of a summary goes on with the line that was unfinished.
        (out.ended, err.ended) = (true, true);
        let mut from = shown.next;
        let (rest_out, rest_err) = read_on(&mut out, &mut err, &mut from, 100);
        let unfinished = |stream: &mut Memory| {
            let all = rendering(stream).0;
            stream.ended = ended;
            let finished = rendering(stream).1;
            all[finished.len()..].to_owned()
        };
        prop_assert_eq!(rest_out, unfinished(&mut out));
        prop_assert_eq!(rest_err, unfinished(&mut err));
    }
}
