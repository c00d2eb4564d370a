use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(raw: impl AsRef<[u8]>, shown: &str) {
    let raw = raw.as_ref();
    assert_eq!(line(raw), shown, "rendering of {:?}", String::from_utf8_lossy(raw));
}

#[test]
fn plain_text_is_untouched() {
    check("", "");
    check("\n", "");
    check("one two\n", "one two");
    check("trailing  \n", "trailing  ");
    check("tab\tstays", "tab\tstays");
    check("Grüße, 世界 🦀 © e\u{301}", "Grüße, 世界 🦀 © e\u{301}");
}

#[test]
fn colours_vanish() {
    check("\x1b[1;31merror\x1b[0m: no\n", "error: no");
    check("\x1b[38;2;1;2;3mrgb\x1b[m", "rgb");
    check("\x1b[38:5:9msub\x1b[39;49m", "sub");
}

#[test]
fn links_titles_strings_and_modes_vanish() {
    check("\x1b]8;;https://a.b/c\x1b\\link\x1b]8;;\x1b\\.", "link.");
    check("\x1b]0;title — ü\x07text", "text");
    check("\x1bP1$r0m\x1b\\text", "text");
    check("\x1b_app\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\text", "text");
    check("\x1b[?25l\x1b[?2004htext\x1b[?25h\x1b[>4;1m", "text");
    check("\x1b(B\x1b)0\x1b=\x1b>text\x1b7\x1b8\x1bc", "text");
}

#[test]
fn line_endings_leave_nothing() {
    check("text\r\n", "text");
    check("text\r\r\n", "text");
    check("\r\n", "");
}

#[test]
fn a_progress_bar_shows_its_last_state() {
    check("10%\r 50%\r100%\n", "100%");
    check("[####    ]\r[########]\rdone\x1b[K\n", "done");
    check("\r\x1b[2K\x1b[1Gfirst\r\x1b[2K\x1b[1Gnext", "next");
    check("downloading\rDown", "Downloading");
    check("long text\r         \rok", "ok");
}

#[test]
fn backspace_moves_and_rubs_out() {
    check("abc\x08\x08X", "aXc");
    check("\x08\x08abc", "abc");
    check("abc\x08 \x08", "ab");
    check("1/3\x08\x08\x082/3\x08\x08\x083/3", "3/3");
}

#[test]
fn erasing_acts_within_the_line() {
    check("abcdef\x1b[3D\x1b[K", "abc");
    check("abcdef\x1b[3D\x1b[0K", "abc");
    check("abcdef\x1b[3D\x1b[1K", "    ef");
    check("abcdef\x1b[2KX", "      X");
    check("abcdef\r\x1b[J", "");
    check("abcdef\x1b[2JX", "      X");
    check("abcdef\x1b[2J\x1b[3J\x1b[HX", "X");
    check("abcdef\r\x1b[2X", "  cdef");
    check("abcdef\x1b[99D\x1b[99X", "");
    check("abcdef\x1b[?K", "abcdef");
}

#[test]
fn cursor_movement_acts_within_the_row() {
    check("a\x1b[3Cb", "a   b");
    check("abc\x1b[2DX", "aXc");
    check("abc\x1b[GX", "Xbc");
    check("abc\x1b[6GX", "abc  X");
    check("a\x1b[3C", "a");
}

#[test]
fn a_tab_goes_to_its_stop_where_a_line_is_written_over() {
    check("a\tb\r\n", "a\tb");
    check("a\tb\rX", "X       b");
    check("name\tvalue\r\tVALUE", "name    VALUE");
    check("12345678\tx\r", "12345678\tx");
    check("12345678\tx\r\r1", "12345678        x");
    check("a\rb\t", "b");
}

#[test]
fn a_movement_to_another_row_ends_the_line() {
    for (raw, shown) in [
        ("\x1b[1;1HREADY 3\x1b[2;1H7 pods\n", "READY 3\n7 pods"),
        ("low\x1b[2Ahigh", "low\n   high"),
        ("one\x1b[Etwo\x1b[3dthree", "one\ntwo\n   three"),
        ("one\x1bEtwo\x1bD\rthree\x1bM\rfour", "one\ntwo\nthree\nfour"),
        ("one\x0Ctwo\x0Bthree", "one\ntwo\nthree"),
        ("\x0CTitle", "Title"),
        ("gone\x1b[2J\x1b[Hhere", "here"),
        // A status line that is written again stays one line.
        ("\x1b[5;1H10%\x1b[5;1H20%", "20%"),
        ("text\x1b7\x1b[24;1Hstatus\x1b8more", "text\nstatus\n    more"),
        ("abc\x1b[s\x1b[1Gx\x1b[ud", "xbcd"),
        // Rows of a box.
        ("\x1b[3;5H┌──┐\x1b[4;5H│ok│\x1b[5;5H└──┘", "    ┌──┐\n    │ok│\n    └──┘"),
        // Another screen and back.
        ("$ vi\x1b[?1049h\x1b[H~\x1b[2;1H~\x1b[?1049l$", "$ vi\n~\n~\n$"),
        // What is written next stands in the other row, and does not continue this one.
        ("READY 3\x1b[2;1H", "READY 3\n"),
    ] {
        check(raw, shown);
    }
}

#[test]
fn no_sequence_makes_a_line_of_its_own_choosing() {
    assert_eq!(line(b"\x1b[65535Cx").chars().count(), COLUMNS + 1);
    assert_eq!(line(b"\x1b[65535Gx").chars().count(), COLUMNS + 1);
    let long = "x".repeat(2 * COLUMNS) + "\x1b[9999G\x08y";
    assert_eq!(line(long.as_bytes()).chars().count(), 2 * COLUMNS);
}

#[test]
fn other_control_characters_vanish() {
    check("b\x07e\x00l\x7fl\x0e\x0f\u{85}\u{9b}31m\u{80}", "bell31m");
}

#[test]
fn an_unfinished_sequence_takes_the_rest_of_its_line_only() {
    check("text\x1b\n", "text");
    check("text\x1b[3\n", "text");
    check("text\x1b]0;title\n", "text");
    check("text\x1bPdata\n", "text");
    check("text\x1b[3\x18more\n", "textmore");
    check("\x1b[\x1b[1mtext", "text");
}

#[test]
fn bytes_that_are_no_utf8_are_marked_not_lost() {
    check(b"a\xffb", "a\u{FFFD}b");
    check(b"\x93quoted\x94", "\u{FFFD}quoted\u{FFFD}");
    check(b"\x1b[1m\x9b31m\x80\x1b[0m", "\u{FFFD}31m\u{FFFD}");
    check(b"cut \xf0\x9f\xa6", "cut \u{FFFD}");
    check(b"\xf0\x9f\xa6\x1b[0m\xa6", "\u{FFFD}\u{FFFD}");
    check("\x1b[1m🦀\x1b[0m é", "🦀 é");
}

#[test]
fn a_wide_character_takes_two_columns() {
    for (raw, shown) in [
        // How a shell's line editor takes one back.
        ("漢字\x08\x08  \x08\x08X", "漢X"),
        ("漢字\rab", "ab字"),
        ("漢字\x1b[2D!", "漢!"),
        ("🦀 50%\r🦀 99%", "🦀 99%"),
        ("漢\u{FE00}字\x1b[m", "漢\u{FE00}字"),
    ] {
        assert_eq!(line(raw.as_bytes()), shown, "{raw:?}");
    }
}

#[test]
fn an_accent_stays_with_its_letter() {
    check("\x1b[1me\u{301}\x1b[0mx", "e\u{301}x");
    check("\x1b[m\u{301}x", "\u{301}x");
    check("\x1b[m❤\u{FE0F}\u{200D}🔥", "❤\u{FE0F}\u{200D}🔥");
}

proptest! {
    #[test]
    fn any_bytes_become_clean_text(
        parts in prop::collection::vec(prop_oneof![
            "[ -~]{0,8}".prop_map(String::into_bytes),
            "\x1b\\[[?>0-9;:]{0,6}[ -/]?[@-~]".prop_map(String::into_bytes),
            "\x1b[ -~]".prop_map(String::into_bytes),
            "[\\x00-\\x1f\u{7f}-\u{a0}e\u{301}世🦀]".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..6),
        ], 0..24)
    ) {
        let raw = parts.concat();
        let text = line(&raw);
        prop_assert!(!text.contains(|char: char| char.is_control() && char != '\t' && char != '\n'), "{text:?}");
    }

    #[test]
    fn text_without_controls_is_itself(text in "[^\\p{Cc}]{0,40}") {
        prop_assert_eq!(&line(text.as_bytes()), &text);
        // The same through the parser.
        let coloured = format!("\x1b[m{text}");
        prop_assert_eq!(&line(coloured.as_bytes()), &text);
    }
}
