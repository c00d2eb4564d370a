//! Every byte is kept or counted, on disk as it came, in replies as text.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::support::{CLEANUP, Client, GET, Gate, Setup, number, text};

/// What `cat PATH*` gives.
fn cat(path: &str) -> Vec<u8> {
    let path = Path::new(path);
    let name = path.file_name().unwrap().to_str().unwrap();
    let entries = fs::read_dir(path.parent().unwrap()).unwrap().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name))
        .collect();
    files.sort();
    files.iter().flat_map(|file| fs::read(file).unwrap()).collect()
}

/// What `seq 1 LAST` prints.
fn numbers(last: u32) -> String {
    (1..=last).map(|number| format!("{number}\n")).collect()
}

#[test]
fn streams_are_kept_apart_and_shown_as_on_a_terminal() {
    let client = Client::start();
    for (cmd, output, error) in [
        (r"printf 'a\n\n  b'; printf '\tc\n' >&2", "a\n\n  b", "\tc\n"),
        (
            r"printf '\033[1;31mred\033[0m \033]8;;http://a\033\\link\033]8;;\033\\\n'",
            "red link\n",
            "",
        ),
        (r"printf '\033[?25l 10%%\r 55%%\r100%%\033[K\033[?25h\n'", "100%\n", ""),
        (r"printf 'abx\bc\n'", "abc\n", ""),
        ("seq 1 1500", &numbers(1500), ""),
    ] {
        let reply = client.run(cmd);
        assert_eq!((text(&reply, "output"), text(&reply, "error")), (output, error), "{cmd}");
        // A short reply carries no numbers and no paths.
        for key in ["output_bytes", "error_bytes", "output_path", "error_path", "cursor", "hint"] {
            assert!(reply[key].is_null(), "{key} in {reply}");
        }
        let shown = cmd.len() + output.len() + error.len();
        assert!(reply.to_string().len() < 2 * shown + 250, "{reply}");
    }
}

#[test]
fn broken_utf8_is_shown_as_replacement_characters_and_kept_as_bytes() {
    let client = Client::start();
    let id = client.begin(r"printf 'a\377\376b \303\244 \303\n'; exec sleep 1000");
    let reply = client.wait_for(&id, "b");
    assert_eq!(reply["output"], "a\u{fffd}\u{fffd}b ä \u{fffd}\n");
    assert_eq!(cat(text(&reply, "output_path")), b"a\xff\xfeb \xc3\xa4 \xc3\n");
}

#[test]
fn that_bytes_were_replaced_is_said_where_they_are_shown() {
    let client = Client::start();
    let many = "seq 3000; ";
    for (cmd, is_said) in [
        (r"printf 'caf\351\n'", true),
        (r"printf 'caf\351\n' >&2", true),
        // In a title that is not shown, in the gap.
        (r"printf '\033]0;caf\351\007x\n'", false),
        (&*format!(r"{many} printf '\351\n'; {many}"), false),
        (&*format!(r"printf '\351\n'; {many}"), true),
        (&*format!(r"{many} printf '\351\n'"), true),
    ] {
        let reply = client.execute(&json!({"cmd": cmd, "wait_seconds": 45}));
        assert_eq!(reply["hint"].to_string().contains("not UTF-8"), is_said, "{cmd}: {reply}");
    }
}

#[test]
fn a_character_cut_across_writes_is_whole() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!(r"printf 'x\342\202'; {}; printf '\254y\n'", gate.wait()));
    let half = client.get_until(&id, "its first two bytes have come", |reply| {
        number(reply, "output_bytes") == 3
    });
    assert_eq!(half["output"], "x");
    gate.open();
    assert_eq!(client.wait(&id)["output"], "x€y\n");
}

#[test]
fn long_output_shows_its_start_and_end_and_a_marker_that_leads_to_the_rest() {
    let client = Client::start();
    let id = client.begin("seq 1 100000; echo 'error: it broke' >&2");
    let reply = client.wait(&id);
    let output = text(&reply, "output");
    let all = numbers(100_000);
    assert!(output.chars().count() + text(&reply, "error").len() <= 8000, "{}", output.len());
    let markers: Vec<_> = output.lines().filter(|line| line.contains("left out")).collect();
    let [marker] = markers[..] else { panic!("not one marker: {output}") };
    let (head, tail) = output.split_once(&format!("{marker}\n")).unwrap();
    assert!(all.starts_with(head) && head.ends_with('\n'), "{head}");
    assert!(all.ends_with(tail), "{tail}");
    assert!((1000..2200).contains(&head.len()), "the head has {}", head.len());
    assert!((5000..7000).contains(&tail.len()), "the tail has {}", tail.len());
    assert_eq!(reply["error"], "error: it broke\n");
    assert_eq!(reply["output_bytes"], all.len(), "{reply}");
    let missing = all.len() - head.len() - tail.len();
    let said = marker.chars().take_while(|c| *c != 'b').filter(char::is_ascii_digit);
    assert_eq!(said.collect::<String>(), missing.to_string(), "{marker}");
    let cursor = text(&reply, "cursor");
    assert!(marker.contains(&id) && marker.contains(cursor), "{marker} and {reply}");
    let hint = text(&reply, "hint");
    assert!(hint.contains("left out") && hint.contains(&format!("cursor=\"{cursor}\"")), "{hint}");
    assert!(hint.contains(&format!("grep {}", text(&reply, "output_path"))), "{hint}");
    assert_eq!(cat(text(&reply, "output_path")), all.as_bytes());
    let (rest, _, _) = client.pages(&id, cursor, 50_000);
    assert_eq!(format!("{head}{rest}"), all, "the cursor does not lead to what is missing");
}

#[test]
fn max_chars_bounds_both_streams_together() {
    let client = Setup::new().flags(["--max-chars", "1500"]).start();
    let id = client.begin("seq 1 20000; seq 1 20000 >&2");
    client.wait(&id);
    for (asked, bound) in [(0, 1500), (1000, 1000), (20_000, 20_000), (5_000_000, 100_000)] {
        let reply = client.call(GET, &json!({"ref_id": id, "max_chars": asked}));
        let chars = text(&reply, "output").chars().count() + text(&reply, "error").chars().count();
        assert!((bound / 2..=bound).contains(&chars), "{chars} for {asked}");
    }
}

#[test]
fn a_running_job_shows_its_tail() {
    let client = Client::start();
    let id = client.begin("seq 1 20000; exec sleep 1000");
    let reply = client.wait_for(&id, "^20000$");
    let output = text(&reply, "output");
    assert!(output.chars().count() <= 2000, "{}", output.len());
    assert!(output.ends_with("19999\n20000\n") && !output.contains("\n1\n2\n3\n"), "{output}");
}

#[test]
fn invariant_06_every_byte_is_kept_or_counted() {
    let client = Setup::new().flags(["--max-output-bytes", "65536"]).start();
    let all = numbers(100_000);
    let id = client.begin("seq 1 100000; seq 1 100000 >&2");
    let reply = client.wait(&id);
    let mut dropped = 0;
    for (bytes, path) in [("output_bytes", "output_path"), ("error_bytes", "error_path")] {
        assert_eq!(reply[bytes], all.len(), "{reply}");
        let kept = cat(text(&reply, path));
        assert!((65_536 - 2 * 8192..=65_536).contains(&kept.len()), "{} are kept", kept.len());
        assert!(kept.starts_with(&all.as_bytes()[..8192]), "the first segment is not the start");
        assert!(all.as_bytes().ends_with(&kept[8192..]), "the rest is not the end");
        dropped += all.len() - kept.len();
    }
    assert_eq!(reply["dropped_bytes"], dropped, "{reply}");
    let output = text(&reply, "output");
    assert!(output.starts_with("1\n2\n3\n") && output.ends_with("\n100000\n"), "{output}");
    let figures = |text: &str| -> Vec<usize> {
        let words = text.split([' ', '\n']).map(|word| word.replace(',', ""));
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let for_good = " of them dropped for good";
    let hint = text(&reply, "hint");
    assert!(hint.contains(for_good) && figures(hint)[1] == dropped, "{hint}");
    let marker = output.lines().find(|line| line.contains("left out")).unwrap();
    let figures = figures(marker);
    assert!(marker.contains(for_good) && figures[0] > figures[1], "{marker}");
    let (paged, _, _) = client.pages(&id, "start", 20_000);
    let gaps: Vec<_> = paged.lines().filter(|line| line.contains("bytes are not kept")).collect();
    let [gap] = gaps[..] else { panic!("what was dropped is not said once: {gaps:?}") };
    let (head, tail) = paged.split_once(gap).unwrap();
    assert!(all.starts_with(head.trim_end()) && all.ends_with(tail.trim_start()), "{gap}");
    // Nor does the loss of the files go unsaid.
    let id = client.begin("seq 1 1000");
    client.wait(&id);
    client.output_files().iter().for_each(|file| fs::remove_file(file).unwrap());
    let page = client.call(GET, &json!({"ref_id": id, "cursor": "start"}));
    assert_eq!(page["output"], "[… 3,893 bytes are not kept …]\n", "{page}");
}

#[test]
fn invariant_06_the_bound_on_all_output_holds_for_one_flood_too() {
    let client = Setup::new().flags(["--max-total-bytes", "262144"]).start();
    let reply = client.run("seq 1 200000; echo the end");
    let total = numbers(200_000).len() as u64 + 8;
    assert_eq!(reply["output_bytes"], total, "{reply}");
    let kept = client.bytes_on_disk();
    assert!(kept <= 262_144, "{kept} bytes on disk");
    assert_eq!(reply["dropped_bytes"], total - kept, "{reply}");
    assert!(text(&reply, "output").ends_with("the end\n"), "{reply}");
}

#[test]
fn files_are_private() {
    let client = Setup::new().after("umask 000").start();
    let id = client.begin("echo secret; exec sleep 1000");
    client.wait_for(&id, "secret");
    let files = client.output_files();
    assert_eq!(files.len(), 1, "a file for each stream that has a byte: {files:?}");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&files[0]), mode(files[0].parent().unwrap())), (0o600, 0o700));
}

#[test]
fn a_flood_is_readable_bounded_text_while_it_comes_and_when_it_has_no_line_break() {
    let client = Client::start();
    let id = client.begin("yes 'a line of some length'");
    client.get_until(&id, "a megabyte has come", |reply| {
        let is_whole =
            |line: &str| "a line of some length".starts_with(line) || line.contains("left out");
        assert!(text(reply, "output").lines().all(is_whole), "{reply}");
        number(reply, "output_bytes") > 1 << 20
    });
    let reply = client.call(CLEANUP, &json!({"ref_id": id, "keep_result": true}));
    assert_eq!(reply["result"]["state"], "stopped", "{reply}");
    let reply = client.run("head -c 3000000 /dev/urandom");
    assert!(text(&reply, "output").chars().count() <= 8000);
    assert_eq!(reply["output_bytes"], 3_000_000, "{reply}");
}
