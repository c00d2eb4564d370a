//! Every byte is kept or counted, on disk as it came, in replies as text.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Client, GET, Gate, Setup, eventually, output_directory, ref_id, text};

/// What `cat PATH*` gives.
fn cat(path: &str) -> Vec<u8> {
    let path = Path::new(path);
    let name = path.file_name().unwrap().to_str().unwrap();
    let entries = std::fs::read_dir(path.parent().unwrap()).unwrap().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name))
        .collect();
    files.sort();
    files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect()
}

/// What `seq 1 LAST` prints.
fn numbers(last: u32) -> String {
    (1..=last).map(|number| format!("{number}\n")).collect()
}

#[test]
fn streams_are_kept_apart_and_as_they_came() {
    let client = Client::start();
    let reply = client.run("printf 'a\\n\\n  b'; printf '\\tc\\n' >&2");
    assert_eq!(reply["output"], "a\n\n  b");
    assert_eq!(reply["error"], "\tc\n");
}

#[test]
fn a_short_reply_carries_no_numbers_and_no_paths() {
    let client = Client::start();
    let reply = client.run("echo fine");
    for key in [
        "output_bytes",
        "error_bytes",
        "dropped_bytes",
        "output_path",
        "error_path",
        "cursor",
        "hint",
    ] {
        assert!(reply[key].is_null(), "{key} in {reply}");
    }
}

#[test]
fn broken_utf8_is_shown_as_replacement_characters_and_kept_as_bytes() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("printf 'a\\377\\376b \\303\\244 \\303\\n'; {}", gate.wait()));
    let reply = client.wait_for(&id, "b");
    assert_eq!(reply["output"], "a\u{fffd}\u{fffd}b ä \u{fffd}\n");
    assert_eq!(cat(text(&reply, "output_path")), b"a\xff\xfeb \xc3\xa4 \xc3\n");
    gate.open();
    client.wait(&id);
}

#[test]
fn a_character_cut_across_writes_is_whole() {
    let client = Client::start();
    let (first, second) = (Gate::new(), Gate::new());
    let id = client.begin(&format!(
        "printf 'x\\342\\202'; {}; printf '\\254y\\n'; {}",
        first.wait(),
        second.wait()
    ));
    eventually("the first two bytes have come", || {
        let reply = client.get(&id);
        if reply["output_bytes"] == 3 { Ok(()) } else { Err(reply.to_string()) }
    });
    assert_eq!(client.get(&id)["output"], "x");
    first.open();
    assert_eq!(client.wait_for(&id, "y")["output"], "x€y\n");
    second.open();
    assert_eq!(client.wait(&id)["output"], "x€y\n");
}

#[test]
fn terminal_output_reads_as_on_a_terminal() {
    let client = Client::start();
    let reply = client.run(
        "printf '\\033[1;31mred\\033[0m \\033]8;;http://a\\033\\\\link\\033]8;;\\033\\\\\\n'; \
         printf '\\033[?25l 10%%\\r 55%%\\r100%%\\033[K\\033[?25h\\n'; printf 'abx\\bc\\n'",
    );
    assert_eq!(reply["output"], "red link\n100%\nabc\n", "{reply}");
}

#[test]
fn output_within_the_budget_is_whole() {
    let client = Client::start();
    let all = numbers(1500);
    assert!(all.len() < 8000);
    assert_eq!(client.run("seq 1 1500")["output"], all);
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
    let said: String =
        marker.chars().take_while(|c| *c != 'b').filter(char::is_ascii_digit).collect();
    assert_eq!(said, missing.to_string(), "{marker}");
    assert!(
        marker.contains(&id) && marker.contains(text(&reply, "cursor")),
        "{marker} and {reply}"
    );
    assert!(text(&reply, "hint").contains("left out"), "{reply}");
    assert_eq!(cat(text(&reply, "output_path")), all.as_bytes());
    let (rest, _, _) = client.pages(&id, text(&reply, "cursor"), 50_000);
    assert_eq!(
        format!("{head}{rest}"),
        all,
        "the marker's cursor does not lead to what is missing"
    );
}

#[test]
fn max_chars_bounds_both_streams_together() {
    let client = Client::start();
    let id = client.begin("seq 1 20000; seq 1 20000 >&2");
    client.wait(&id);
    for max_chars in [1000, 3000, 20_000, 100_000, 5_000_000] {
        let reply = client.call(GET, &json!({"ref_id": id, "max_chars": max_chars}));
        let chars = text(&reply, "output").chars().count() + text(&reply, "error").chars().count();
        assert!(chars <= max_chars.min(100_000), "{chars} for {max_chars}");
        assert!(chars > max_chars.min(100_000) / 2, "{chars} for {max_chars}");
    }
}

#[test]
fn the_budget_can_be_configured() {
    let client = Setup::new().flags(["--max-chars", "1500"]).start();
    let reply = client.run("seq 1 20000");
    let chars = text(&reply, "output").chars().count();
    assert!((700..=1500).contains(&chars), "{chars}");
}

#[test]
fn a_running_job_shows_its_tail() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("seq 1 20000; {}", gate.wait()));
    let reply = client.wait_for(&id, "^20000$");
    let output = text(&reply, "output");
    assert!(output.chars().count() <= 2000, "{}", output.len());
    assert!(output.ends_with("19999\n20000\n"), "{output}");
    assert!(!output.contains("\n1\n2\n3\n"), "{output}");
    gate.open();
    client.wait(&id);
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
        assert!(kept.len() <= 65_536, "{} bytes are kept", kept.len());
        assert!(kept.len() >= 65_536 - 2 * 8192, "only {} bytes are kept", kept.len());
        let first = &all.as_bytes()[..8192];
        assert!(kept.starts_with(first), "the first segment is not the start");
        assert!(all.as_bytes().ends_with(&kept[8192..]), "the rest is not the end");
        dropped += all.len() - kept.len();
    }
    assert_eq!(reply["dropped_bytes"], dropped, "{reply}");
    let output = text(&reply, "output");
    assert!(output.starts_with("1\n2\n3\n") && output.ends_with("\n100000\n"), "{output}");
    let all_dropped = format!(" of them dropped for good: call {GET}");
    let hint = text(&reply, "hint");
    assert!(hint.contains(&all_dropped), "{hint}");
    let figures = |text: &str| -> Vec<usize> {
        let words = text.split([' ', '\n']).map(|word| word.replace(',', ""));
        words.filter_map(|word| word.parse().ok()).collect()
    };
    assert_eq!(figures(hint)[1], dropped, "{hint}");
    let marker = output.lines().find(|line| line.contains("left out")).unwrap();
    assert!(marker.contains(&all_dropped), "{marker}");
    let [left_out, dropped, readable] = figures(marker)[..] else {
        panic!("not three figures: {marker}")
    };
    assert_eq!(left_out, dropped + readable, "{marker}");
    assert!(
        marker.ends_with(
            "to read the other {readable} …]".replace("{readable}", &thousands(readable)).as_str()
        ),
        "{marker}"
    );
    let (paged, _, _) = client.pages(&id, "start", 20_000);
    let gaps: Vec<_> = paged.lines().filter(|line| line.contains("bytes are not kept")).collect();
    let [gap] = gaps[..] else { panic!("what was dropped is not said once: {gaps:?}") };
    let (head, tail) = paged.split_once(gap).unwrap();
    assert!(all.starts_with(head.trim_end()), "{head}");
    assert!(all.ends_with(tail.trim_start()), "{tail}");
}

/// As people write it.
fn thousands(number: usize) -> String {
    match (number / 1000, number % 1000) {
        (0, rest) => rest.to_string(),
        (more, rest) => format!("{},{rest:03}", thousands(more)),
    }
}

#[test]
fn output_whose_files_were_deleted_is_told() {
    let client = Client::start();
    let id = client.begin("seq 1 1000");
    client.wait(&id);
    for file in client.output_files() {
        std::fs::remove_file(file).unwrap();
    }
    let page = client.call(GET, &json!({"ref_id": id, "cursor": "start"}));
    assert_eq!(page["output"], "[… 3,893 bytes are not kept …]\n", "{page}");
}

#[test]
fn invariant_06_the_bound_on_all_output_holds_for_one_flood_too() {
    let client = Setup::new().flags(["--max-total-bytes", "262144"]).start();
    let id = client.begin("seq 1 200000; echo the end");
    let reply = client.wait(&id);
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
    let gate = Gate::new();
    let id = client.begin(&format!("echo secret; {}", gate.wait()));
    client.wait_for(&id, "secret");
    let files = client.output_files();
    assert_eq!(files.len(), 1, "a file for each stream that has a byte: {files:?}");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&files[0]), 0o600);
    assert_eq!(mode(files[0].parent().unwrap()), 0o700);
    gate.open();
    client.wait(&id);
}

#[test]
fn starting_creates_nothing_before_the_first_job() {
    let client = Client::start();
    client.list();
    assert!(!client.scratch().join("output").exists());
    assert!(client.living().is_empty(), "a process before the first job");
}

#[test]
fn output_that_cannot_be_stored_is_said_and_counted() {
    let client = Setup::new().output_dir(Path::new("/dev/null/nowhere")).start();
    let id = client.begin("echo lost words");
    let reply = client.wait(&id);
    assert_eq!(reply["state"], "exited", "{reply}");
    assert_eq!(reply["dropped_bytes"], 11, "{reply}");
    assert!(text(&reply, "hint").contains("--output-dir"), "{reply}");
}

#[test]
fn output_survives_the_removal_of_its_directory() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo before; {}; echo after", gate.wait()));
    let reply = client.wait_for(&id, "before");
    std::fs::remove_dir_all(output_directory(&reply)).unwrap();
    gate.open();
    let reply = client.wait(&id);
    assert!(
        text(&reply, "output").contains("after") || reply["dropped_bytes"].as_u64() > Some(0),
        "{reply}"
    );
    assert_eq!(reply["state"], "exited");
    let next = client.run("echo next");
    assert_eq!(next["output"], "next\n", "{next}");
}

#[test]
fn a_binary_flood_with_no_line_break_is_bounded_text() {
    let client = Client::start();
    let reply = client.run("head -c 3000000 /dev/urandom");
    assert!(text(&reply, "output").chars().count() <= 8000);
    assert_eq!(reply["output_bytes"], 3_000_000, "{reply}");
}

#[test]
fn output_of_a_job_is_readable_while_it_floods() {
    let client = Client::start();
    let id = client.begin("yes 'a line of some length'");
    eventually("a megabyte has come", || {
        let reply = client.get(&id);
        let output = text(&reply, "output");
        assert!(
            output
                .lines()
                .all(|line| "a line of some length".starts_with(line) || line.contains("left out")),
            "{output}"
        );
        if reply["output_bytes"].as_u64() > Some(1 << 20) { Ok(()) } else { Err(reply.to_string()) }
    });
    let reply = client.call(crate::support::CLEANUP, &json!({"ref_id": id, "keep_result": true}));
    assert_eq!(reply["result"]["state"], "stopped", "{reply}");
    let kept = client.get(&id);
    assert_eq!(kept["running"], Value::Bool(false));
    let started = client.execute(&json!({"cmd": "true"}));
    client.wait(&ref_id(&started));
}
