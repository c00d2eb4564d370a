use std::ops::Range;

use proptest::prelude::*;

use super::*;

fn stream(bytes: impl Into<Vec<u8>>, ended: bool) -> Stream {
    Stream::of_bytes(bytes, ended)
}

fn with_segments(bytes: Vec<u8>, segments: Vec<Range<u64>>, ended: bool) -> Stream {
    Stream { segments, ..Stream::of_bytes(bytes, ended) }
}

fn numbered(lines: Range<usize>) -> String {
    lines.map(|line| format!("line {line}\n")).collect()
}

fn shown(stdout: &mut Stream, stderr: &mut Stream, max_chars: usize, tail_only: bool) -> Excerpt {
    excerpt(stdout, stderr, max_chars, tail_only, &|cut| {
        format!("[{} left out, {} dropped, {}]", cut.bytes, cut.dropped, cut.cursor)
    })
}

fn chars(excerpt: &Excerpt) -> usize {
    excerpt.output.chars().count() + excerpt.error.chars().count()
}

/// The text of all pages from a cursor on.
fn pages(
    stdout: &mut Stream,
    stderr: &mut Stream,
    mut from: Cursor,
    max: usize,
) -> (String, String, Cursor) {
    let (mut output, mut error) = (String::new(), String::new());
    loop {
        let page = page(stdout, stderr, from, max);
        let is_last = page.output.is_empty() && page.error.is_empty();
        output += &page.output;
        error += &page.error;
        from = page.next;
        if is_last {
            return (output, error, from);
        }
    }
}

#[test]
fn text_that_fits_is_shown_whole() {
    let excerpt = shown(&mut stream("one\ntwo", true), &mut stream("oh\n", true), 100, false);
    assert_eq!((&*excerpt.output, &*excerpt.error), ("one\ntwo", "oh\n"));
    assert_eq!((excerpt.cut, excerpt.next.to_string()), (None, "o7e3".to_owned()));
}

#[test]
fn long_text_keeps_its_start_and_end_at_line_ends() {
    let text = numbered(0..10_000);
    let excerpt = shown(&mut stream(&*text, true), &mut stream("", true), 1000, false);
    assert!(chars(&excerpt) <= 1000, "{}", chars(&excerpt));
    assert!(chars(&excerpt) > 700, "{}", chars(&excerpt));
    assert!(excerpt.output.starts_with("line 0\n") && excerpt.output.ends_with("line 9999\n"));
    let cut = excerpt.cut.expect("there is a cut");
    let (head, tail) = excerpt.output.split_once("[").expect("a marker");
    let tail = tail.split_once("]\n").expect("a line of its own").1;
    assert_eq!((head.len() + tail.len()) as u64 + cut.bytes, text.len() as u64);
    assert_eq!(cut.cursor.stdout, head.len() as u64);
    assert!(tail.starts_with("line "), "{tail}");
    assert!(text.starts_with(head) && text.ends_with(tail));
}

#[test]
fn the_tail_alone_has_the_marker_in_front() {
    let mut out = stream(numbered(0..1000), false);
    let excerpt = shown(&mut out, &mut stream("", false), 300, true);
    assert!(excerpt.output.starts_with('['), "{}", excerpt.output);
    assert!(excerpt.output.ends_with("line 999\n"));
    assert_eq!(excerpt.cut.map(|cut| cut.cursor), Some(Cursor::default()));
}

#[test]
fn a_stream_that_needs_little_leaves_its_share() {
    let mut out = stream(numbered(0..1000), true);
    let excerpt = shown(&mut out, &mut stream("oh\n", true), 1000, false);
    assert_eq!(excerpt.error, "oh\n");
    assert!(excerpt.output.chars().count() > 600, "{}", excerpt.output.len());
}

#[test]
fn many_bytes_with_few_characters_are_shown_whole() {
    let bar: String =
        (0..20_000).map(|step| format!("\r\x1b[32m{step:5} of 20000\x1b[0m")).collect();
    let mut out = stream(bar + "\ndone\n", true);
    let excerpt = shown(&mut out, &mut stream("", true), 8000, false);
    assert_eq!(excerpt.output, "19999 of 20000\ndone\n");
    let (output, _, _) = pages(&mut out, &mut stream("", true), Cursor::default(), 8000);
    assert_eq!(output, "19999 of 20000\ndone\n");
}

#[test]
fn what_skips_columns_does_not_exceed_a_page() {
    let mut out = stream("a".repeat(5000), true);
    let mut err = stream("\x1b[500Gend\n", true);
    let (mut at, mut error) = (Cursor::default(), String::new());
    while error.is_empty() {
        let page = page(&mut out, &mut err, at, 1000);
        assert!(page.output.chars().count() + page.error.chars().count() <= 1000, "{page:?}");
        (at, error) = (page.next, page.error);
    }
    assert_eq!((error.trim(), at.stdout), ("end", 5000));
}

#[test]
fn a_start_and_an_end_that_meet_are_shown_as_one() {
    // Each is of some megabytes, and together they are all.
    let bar = format!("\r\x1b[32m{}5%\x1b[0m", "\0".repeat(1000)).repeat(9 << 10);
    let excerpt = shown(&mut stream(bar, true), &mut stream("", true), 8000, false);
    assert_eq!((&*excerpt.output, excerpt.cut), ("5%", None));
    // Each goes as far as to what is not kept.
    let text = "a line\n".repeat(10 << 18);
    let end = text.len() as u64;
    let mut out = with_segments(text.into_bytes(), vec![0..700, end - 700..end], true);
    let output = shown(&mut out, &mut stream("", true), 8000, false).output;
    assert_eq!((output.matches("a line").count(), output.matches("kept").count()), (200, 1));
}

#[test]
fn megabytes_that_show_nothing_are_passed_over() {
    let mut out = stream(format!("{}END\n", "\0".repeat(9 << 20)), true);
    let page = page(&mut out, &mut stream("", true), Cursor { stdout: 1, stderr: 0 }, 8000);
    assert_eq!((&*page.output, page.more), ("END\n", false));
}

#[test]
fn one_long_line_is_cut_between_characters() {
    let mut out = stream("ä".repeat(5000), true);
    let excerpt = shown(&mut out, &mut stream("", true), 1000, false);
    assert!(!excerpt.output.contains('\u{fffd}'), "{}", excerpt.output);
    assert!(chars(&excerpt) <= 1000);
}

#[test]
fn bytes_that_are_not_kept_are_told() {
    let text = numbered(0..1000).into_bytes();
    let end = text.len() as u64;
    let mut out = with_segments(text.clone(), vec![0..700, end - 700..end], true);
    let excerpt = shown(&mut out, &mut stream("", true), 1000, false);
    let cut = excerpt.cut.expect("there is a cut");
    assert_eq!(cut.dropped, end - 1400);
    let (output, _, _) = pages(&mut out, &mut stream("", true), Cursor::default(), 200);
    assert_eq!(output.matches("bytes are not kept").count(), 1, "{output}");
    assert!(output.starts_with("line 0\n") && output.ends_with("line 999\n"));
    // Nothing is kept at the end.
    let mut out = with_segments(text, std::iter::once(0..14).collect(), true);
    let excerpt = shown(&mut out, &mut stream("", true), 200, false);
    assert!(excerpt.output.starts_with("line 0\nline 1\n"), "{}", excerpt.output);
    assert!(excerpt.output.contains("not kept"), "{}", excerpt.output);
}

#[test]
fn what_may_still_be_completed_is_held_back_until_the_end() {
    for (bytes, visible) in
        [("half \u{e9}", 5), ("text\r", 4), ("text\x1b[3", 4), ("text\x1b]0;ti", 4)]
    {
        let mut bytes = bytes.as_bytes().to_vec();
        if visible == 5 {
            bytes.pop();
        }
        assert_eq!(stream(&*bytes, false).visible_end(), visible, "{bytes:?}");
        let end = bytes.len() as u64;
        assert_eq!(stream(&*bytes, true).visible_end(), end);
    }
}

#[test]
fn an_unfinished_line_is_shown_and_continued_by_the_next_page() {
    let page_of =
        |text: &str, from| page(&mut stream(text, false), &mut stream("", false), from, 100);
    let first = page_of("whole\nhalf", Cursor::default());
    assert_eq!(first.output, "whole\nhalf");
    assert_eq!(page_of("whole\nhalf and half\n", first.next).output, " and half\n");
    let beyond = Cursor { stdout: 500, stderr: 500 };
    assert_eq!(page_of("whole\n", beyond).next.to_string(), "o6e0");
}

/// Lines, long ones too, of everything that a program writes.
fn output() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        "[a-z ]{0,30}".prop_map(String::into_bytes),
        "[ä€世🦀]{0,5}".prop_map(String::into_bytes),
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\x1b[31m".to_vec()),
        Just(b"\x1b[0m".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

/// Without what acts on characters before it, so that text does not depend on where it is split.
fn plain() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        "[a-z]{0,30}".prop_map(String::into_bytes),
        "[ä€世🦀]{0,5}".prop_map(String::into_bytes),
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\x1b[31m".to_vec()),
    ];
    proptest::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn pages_together_are_the_whole(out in plain(), err in plain(), max in 1_usize..200, grows_at: prop::sample::Index) {
        let (whole_out, whole_err) = (stream(&*out, true).text(0..out.len() as u64), stream(&*err, true).text(0..err.len() as u64));
        let now = grows_at.index(out.len() + 1);
        let mut grown = stream(&*out, true);
        let mut growing = stream(&out[..now], false);
        let (mut output, mut error, at) = pages(&mut growing, &mut stream("", false), Cursor::default(), max);
        let (more_output, more_error, end) = pages(&mut grown, &mut stream(&*err, true), at, max);
        output += &more_output;
        error += &more_error;
        prop_assert_eq!((output, error), (whole_out, whole_err));
        prop_assert_eq!(end, Cursor { stdout: out.len() as u64, stderr: err.len() as u64 });
    }

    #[test]
    fn any_output_is_shown_within_the_budget(
        out in output(), err in output(), max in 100_usize..400, ended: bool, tail_only: bool, hole: (prop::sample::Index, prop::sample::Index),
    ) {
        let (a, b) = (hole.0.index(out.len() + 1) as u64, hole.1.index(out.len() + 1) as u64);
        let segments = [0..a.min(b), a.max(b)..out.len() as u64].into_iter().filter(|kept| !kept.is_empty()).collect();
        let mut stdout = with_segments(out, segments, ended);
        let mut stderr = stream(err, ended);
        let excerpt = shown(&mut stdout, &mut stderr, max, tail_only);
        // Besides the notes on what is not kept.
        prop_assert!(chars(&excerpt) <= max + 80, "{} of {max}: {excerpt:?}", chars(&excerpt));
        let (_, _, end) = pages(&mut stdout, &mut stderr, Cursor::default(), max);
        let whole = Cursor { stdout: stdout.end, stderr: stderr.end };
        prop_assert!(!ended || end == whole, "{} of {}", end, whole);
    }
}

#[test]
fn what_fits_is_whole_however_many_bytes_it_takes() {
    let colours = "\x1b[32mok\x1b[0m one more test has passed\n".repeat(210);
    let expected = "ok one more test has passed\n".repeat(210);
    let bar = "\r\x1b[2K\x1b[36mstill going\x1b[0m".repeat(1000);
    let (mut out, mut err) = (stream(colours, true), stream(bar, true));
    let excerpt = shown(&mut out, &mut err, 6000, false);
    assert_eq!((excerpt.output, &*excerpt.error, excerpt.cut), (expected, "still going", None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_budget_holds_and_what_fits_is_whole(
        out in prop::collection::vec("(\x1b\\[[0-9;?]{0,3}[@-~]|\x1b[\\]P78DEM]|\r|\x08|\t|[a-z世\u{301}]{1,9}){0,9}\n", 0..200),
        err in prop::collection::vec(any::<u8>(), 0..3000),
        max in 300..2000_usize,
    ) {
        let (mut out, mut err) = (stream(out.concat(), true), stream(err, true));
        let (out_end, err_end) = (out.end, err.end);
        let whole = (out.text(0..out_end), err.text(0..err_end));
        let excerpt = shown(&mut out, &mut err, max, false);
        prop_assert!(chars(&excerpt) <= max, "{} for {max}: {excerpt:?}", chars(&excerpt));
        if whole.0.chars().count() + whole.1.chars().count() <= max {
            prop_assert_eq!((excerpt.output, excerpt.error, excerpt.cut), (whole.0, whole.1, None));
        }
    }
}
