use proptest::prelude::*;

use super::*;

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
}
