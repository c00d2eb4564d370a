//! Disks that are full, cannot be written, or are taken away: jobs run on, what is lost is counted and said.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::can;
use crate::support::{
    Client, GET, Gate, Setup, eventually, files_below, number, output_directory, ref_id, text,
};

/// What `seq 1 200000` prints.
const MUCH: u64 = 1_288_895;

/// A server whose output goes to a file system of its own, which nobody else sees.
struct Disk {
    client: Client,
    /// Where it is for the server.
    path: PathBuf,
    _directory: TempDir,
}

impl Disk {
    /// None where nothing can be mounted.
    #[track_caller]
    fn mounted(test: &str, options: &str) -> Option<Self> {
        if !can(test, "unshare", &["--mount", "sh", "-c", "mount -t tmpfs none /tmp"]) {
            return None;
        }
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("disk");
        fs::create_dir(&path).unwrap();
        let client = Setup::new()
            .after(&format!(
                "set -- unshare --mount sh -c 'mount -t tmpfs -o {options} none {} && exec \"$@\"' sh \"$@\"",
                path.display()
            ))
            .output_dir(&path)
            .start();
        Some(Self { client, path, _directory: directory })
    }

    /// How many bytes the server sees in its files.
    fn bytes(&self) -> u64 {
        let root = PathBuf::from(format!("/proc/{}/root", self.client.server_pid()));
        let files = files_below(&root.join(self.path.strip_prefix("/").unwrap()));
        files.iter().map(|file| file.metadata().map_or(0, |file| file.len())).sum()
    }

    /// Runs a command where the disk is.
    #[track_caller]
    fn sh(&self, command: &str) {
        let server = self.client.server_pid().to_string();
        let output = Command::new("nsenter")
            .args(["--mount", "--target", &server, "sh", "-c", command])
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
    }
}

#[track_caller]
fn await_output(client: &Client, id: &str, bytes: u64) -> Value {
    client.get_until(id, "everything is written", |reply| number(reply, "output_bytes") == bytes)
}

#[test]
fn a_full_disk_costs_output_and_nothing_else_and_is_used_again_as_soon_as_there_is_room() {
    let Some(disk) = Disk::mounted("a full disk", "size=256k") else {
        return;
    };
    let client = &disk.client;
    let gate = Gate::new();
    let other = ref_id(&client.run("seq 1 20000"));
    let stop = client.scratch().join("stop");
    let more = format!("while [ ! -e {} ]; do {}; echo last; done", stop.display(), gate.wait());
    let id = client.begin(&format!("seq 1 200000; {more}; exit 7"));
    assert_eq!(await_output(client, &id, MUCH)["running"], true);
    client.clean_up(&other);
    // A failed disk is left alone for a moment.
    let last = json!({"ref_id": id, "until_pattern": "^last$", "wait_seconds": 1});
    eventually("the last words are stored", || {
        gate.open();
        let reply = client.call(GET, &last);
        if reply["matched"] == "last" { Ok(()) } else { Err(reply.to_string()) }
    });
    fs::write(&stop, "").unwrap();
    gate.open();
    let reply = client.wait(&id);
    assert_eq!((&reply["state"], &reply["returncode"]), (&json!("exited"), &json!(7)), "{reply}");
    let kept = number(&reply, "output_bytes") - number(&reply, "dropped_bytes");
    assert!(kept < 256 << 10, "{kept} bytes are said to be kept: {reply}");
    assert_eq!(kept, disk.bytes(), "what is not on disk is counted as dropped: {reply}");
    assert!(text(&reply, "hint").contains("--output-dir"), "{reply}");
    // Pages skip what is not there, say so, and come to an end.
    let (output, _, _) = client.pages(&id, "start", 50_000);
    let is_much = output.len() > 50_000 && output.contains("bytes are not kept");
    assert!(output.starts_with("1\n2\n3\n") && is_much, "{} characters", output.len());
    assert!(output.ends_with("last\n"), "{} characters", output.len());
}

#[test]
fn a_disk_that_takes_no_file_costs_output_and_is_used_once_it_does() {
    for (options, remedy) in [
        // The root, the server's directory and its lock.
        ("size=8m,nr_inodes=3", "nr_inodes=100"),
        ("size=8m,ro", "rw"),
    ] {
        let Some(disk) = Disk::mounted("a disk that takes no file", options) else {
            return;
        };
        let reply = disk.client.run("seq 1 200000; exit 7");
        assert_eq!(reply["returncode"], 7, "{options}: {reply}");
        assert_eq!(number(&reply, "dropped_bytes"), MUCH, "{options}: {reply}");
        assert!(text(&reply, "hint").contains("--output-dir"), "{options}: {reply}");
        disk.sh(&format!("mount -o remount,{remedy} {}", disk.path.display()));
        let next = eventually("output is stored again", || {
            let reply = disk.client.run("echo words");
            if reply["output"] == "words\n" { Ok(reply) } else { Err(reply.to_string()) }
        });
        assert!(next["dropped_bytes"].is_null(), "{options}: {next}");
    }
}

#[test]
fn a_directory_that_could_only_be_made_later_is_used_and_removed_by_the_supervisor() {
    let directory = TempDir::new().unwrap();
    // Names with line breaks and odd bytes, beside one that is not ours.
    let others = directory.path().join("others");
    fs::create_dir(&others).unwrap();
    fs::write(others.join("file"), "not ours").unwrap();
    let odd = std::os::unix::ffi::OsStrExt::from_bytes(b"others\nours \xff");
    let root = directory.path().join::<&std::ffi::OsStr>(odd);
    fs::write(&root, "not a directory").unwrap();
    let client = Setup::new().output_dir(&root).start();
    let reply = client.run("echo lost");
    assert_eq!(number(&reply, "dropped_bytes"), 5, "{reply}");
    assert!(text(&reply, "hint").contains("--output-dir"), "{reply}");
    fs::remove_file(&root).unwrap();
    assert_eq!(client.run("echo kept")["output"], "kept\n");
    assert!(!files_below(&root).is_empty());
    crate::support::processes::kill(client.server_pid());
    client.end();
    assert_eq!(files_below(directory.path()), [others.join("file")]);
}

#[test]
fn output_deleted_under_us_is_counted_as_dropped() {
    let client = Client::start();
    let gate = Gate::new();
    let wait = gate.wait();
    let id = client.begin(&format!("echo before; {wait}; echo after; {wait}; echo later"));
    let directory = output_directory(&client.wait_for(&id, "before"));
    fs::remove_dir_all(&directory).unwrap();
    gate.open();
    await_output(&client, &id, 13);
    // A failed disk is left alone for a moment; then everything is stored again.
    let next = eventually("the next is stored", || {
        let reply = client.run("echo next");
        if reply["output"] == "next\n" { Ok(reply) } else { Err(reply.to_string()) }
    });
    assert!(next["dropped_bytes"].is_null(), "{next}");
    gate.open();
    let reply = client.wait(&id);
    assert_eq!(reply["state"], "exited", "{reply}");
    let (dropped, kept) = (number(&reply, "dropped_bytes"), text(&reply, "output").len() as u64);
    assert!(dropped >= 7 && !text(&reply, "output").contains("before"), "{reply}");
    assert!(dropped + kept >= number(&reply, "output_bytes"), "{reply}");
    client.clean_up(&id);
    let mode = directory.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "made again as it was");
}

#[test]
fn invariant_06_the_bound_on_all_output_holds_under_many_noisy_jobs() {
    const BOUND: u64 = 4 << 20;
    const EACH: [(&str, u64); 2] = [("output_bytes", MUCH), ("error_bytes", 588_895)];
    let client = Setup::new().flags(["--max-total-bytes", "4194304"]).start();
    let gate = Gate::new();
    let cmd = format!("seq 1 200000; seq 1 100000 >&2; {}; echo the end", gate.wait());
    let jobs = [(); 20].map(|()| client.begin(&cmd));
    eventually("all have written", || {
        let now = client.bytes_on_disk();
        assert!(now <= BOUND, "{now} bytes on disk");
        let mut replies = jobs.iter().map(|id| client.get(id));
        let is_behind =
            |reply: &Value| EACH.iter().any(|(key, bytes)| number(reply, key) != *bytes);
        replies.find(is_behind).map_or(Ok(()), |reply| Err(reply.to_string()))
    });
    let dropped: u64 = jobs.iter().map(|id| number(&client.get(id), "dropped_bytes")).sum();
    let written = 20 * (EACH[0].1 + EACH[1].1);
    assert_eq!(written - dropped, client.bytes_on_disk(), "every byte is on disk or counted");
    jobs.iter().for_each(|_| gate.open());
    for id in &jobs {
        let wait = client.post(GET, &json!({"ref_id": id, "wait_seconds": 40}));
        let (reply, _) = client.outcome(wait);
        // The oldest finished ones may have had to go.
        assert!(reply["state"] == "exited" || reply["state"] == "expired", "{reply}");
    }
    assert!(client.bytes_on_disk() <= BOUND);
}
