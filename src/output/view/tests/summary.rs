use proptest::prelude::*;

use super::*;

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
    let bar = "\r\x1b[K\x1b[0;32;40mworking.......\x1b[0m".repeat(65 * 2048);
    let mut out = stream(bar, true);
    assert!(out.end > WINDOW);
    let shown = summarise(&mut out, &mut empty(), 8000);
    assert_eq!(shown.output, "working.......");
    assert_eq!((shown.cut, shown.next.stdout.offset), (None, out.end));
}

#[test]
fn a_line_is_not_shown_from_its_middle() {
    let bar: String = (0..13_600)
        .map(|number| format!("\x1b[G{number:07}"))
        .collect();
    let mut out = stream((bar + "\n").repeat(31), true);
    let whole = rendering(&mut out).0;
    // The window starts more than 64 KiB before the end of a line: cut from there on, it would show other numbers.
    assert!(out.end > WINDOW && WINDOW % (out.end / 31) > 65_536);
    let budget = Budget {
        max_chars: 1000,
        tail_only: true,
    };
    let shown = summary(&mut out, &mut empty(), budget, &marker);
    let (_, _, tail) = split(&shown.output).expect("a marker");
    assert!(
        whole.ends_with(tail) && tail.lines().count() == 30,
        "{tail}"
    );
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

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

/// What was dropped takes no room from the other stream.
#[test]
fn little_that_is_left_of_a_long_stream_leaves_the_rest_of_the_room_to_the_other() {
    let words = "word\n".repeat(500);
    let offset = 2 * WINDOW;
    let end = offset + words.len() as u64;
    let mut bytes = vec![b'-'; offset as usize];
    bytes.extend_from_slice(words.as_bytes());
    let mut out = Stream {
        regions: std::iter::once(offset..end).collect(),
        ..stream(bytes, true)
    };
    let mut err = stream("error\n".repeat(800), true);
    let shown = summarise(&mut out, &mut err, 8000);
    assert_eq!(shown.cut, None, "{}", shown.error);
    assert!(shown.output.ends_with(&words));
    assert_eq!(shown.error, "error\n".repeat(800));
}
