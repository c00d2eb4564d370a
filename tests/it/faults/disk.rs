//! Disks that are full, cannot be written, or are taken away: jobs run on, what is lost is counted and said.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::can;
use crate::support::{
    CLEANUP, Client, EXECUTE, GET, Gate, Setup, eventually, files_below, number, output_directory,
    ref_id, text,
};

/// A server whose output goes to a file system of its own, which nobody else sees.
struct Disk {
    client: Client,
    /// Where it is for the server.
    path: PathBuf,
    _directory: TempDir,
}

impl Disk {
    /// None where nothing can be mounted.
    fn mounted(test: &str, options: &str, flags: [&str; 2]) -> Option<Self> {
        if !can(test, "unshare", &["--mount", "sh", "-c", "mount -t tmpfs none /tmp"]) {
            return None;
        }
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("disk");
        std::fs::create_dir(&path).unwrap();
        let client = Setup::new()
            .after(&format!(
                "set -- unshare --mount sh -c 'mount -t tmpfs -o {options} none {} && exec \"$@\"' sh \"$@\"",
                path.display()
            ))
            .output_dir(&path)
            .flags(flags)
            .start();
        Some(Self { client, path, _directory: directory })
    }

    /// The files as the server sees them.
    fn seen(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.client.server_pid()));
        root.join(path.strip_prefix("/").unwrap())
    }

    fn bytes(&self) -> u64 {
        let files = files_below(&self.seen(&self.path));
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

const NO_FLAGS: [&str; 2] = ["--log", "info"];

/// A job that writes much more than there is room for, and what is said of it.
#[track_caller]
fn assert_undisturbed(disk: &Disk, kept_at_most: u64) -> Value {
    let client = &disk.client;
    let gate = Gate::new();
    let id = client.begin(&format!("seq 1 200000; echo done >&2; {}; exit 7", gate.wait()));
    let reply = eventually("everything is written", || {
        let reply = client.get(&id);
        if number(&reply, "output_bytes") == 1_288_895 { Ok(reply) } else { Err(reply.to_string()) }
    });
    assert_eq!(reply["running"], true, "{reply}");
    let asked = Instant::now();
    client.ping();
    client.list();
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    gate.open();
    let reply = client.wait(&id);
    assert_eq!((&reply["state"], &reply["returncode"]), (&json!("exited"), &json!(7)), "{reply}");
    let kept = 1_288_895 + 5 - number(&reply, "dropped_bytes");
    assert!(kept <= kept_at_most, "{kept} bytes are said to be kept: {reply}");
    assert_eq!(kept, disk.bytes(), "what is not on disk is counted as dropped: {reply}");
    assert!(text(&reply, "hint").contains("--output-dir"), "{reply}");
    reply
}

#[test]
fn a_full_disk_costs_output_and_nothing_else() {
    let Some(disk) = Disk::mounted("a full disk", "size=256k", NO_FLAGS) else {
        return;
    };
    let reply = assert_undisturbed(&disk, 256 << 10);
    assert!(text(&reply, "output").starts_with("1\n2\n3\n"), "{reply}");
    // Pages skip what is not there, say so, and come to an end.
    let id = disk.client.list()["processes"][0]["ref_id"].as_str().unwrap().to_owned();
    let (output, _, _) = disk.client.pages(&id, "start", 50_000);
    assert!(
        output.starts_with("1\n2\n3\n") && output.len() > 100_000,
        "{} characters",
        output.len()
    );

    // Room again: nothing of what comes then is lost.
    disk.client.clean_up(&id);
    let reply = disk.client.run("seq 1 20000");
    assert!(reply["dropped_bytes"].is_null(), "{reply}");
    assert_eq!(number(&reply, "output_bytes"), 108_894);
}

#[test]
fn output_is_stored_again_as_soon_as_there_is_room() {
    let Some(disk) = Disk::mounted("a disk that was full", "size=128k", NO_FLAGS) else {
        return;
    };
    let client = &disk.client;
    let gate = Gate::new();
    let fill = disk.path.join("fill");
    let id = client.begin(&format!(
        "echo first; {wait}; seq 1 100000; while {wait}; do echo last; done",
        wait = gate.wait()
    ));
    client.wait_for(&id, "first");
    disk.sh(&format!("head -c 1M /dev/zero > {} || true", fill.display()));
    gate.open();
    eventually("everything is written", || {
        let reply = client.get(&id);
        if number(&reply, "output_bytes") == 6 + 588_895 { Ok(()) } else { Err(reply.to_string()) }
    });
    disk.sh(&format!("rm {}", fill.display()));
    // A failed disk is left alone for a moment.
    eventually("the last words are stored", || {
        gate.open();
        let reply =
            client.call(GET, &json!({"ref_id": id, "until_pattern": "^last$", "wait_seconds": 1}));
        if reply["matched"] == "last" {
            return Ok(());
        }
        Err(reply.to_string())
    });
    let reply = client.call(CLEANUP, &json!({"ref_id": id, "keep_result": true}));
    let reply = &reply["result"];
    assert_eq!(
        number(reply, "output_bytes") - number(reply, "dropped_bytes"),
        disk.bytes(),
        "{reply}"
    );
}

#[test]
fn a_disk_out_of_inodes_costs_output_and_nothing_else() {
    // The root, the server's directory, its lock, and one more.
    let Some(disk) = Disk::mounted("no inodes", "size=8m,nr_inodes=4", NO_FLAGS) else {
        return;
    };
    let client = &disk.client;
    let gate = Gate::new();
    let holder = client.begin(&format!("echo one; {}", gate.wait()));
    client.wait_for(&holder, "one");
    let id = client.begin("seq 1 200000; exit 7");
    let reply = client.wait(&id);
    assert_eq!(reply["returncode"], 7, "{reply}");
    assert_eq!(number(&reply, "dropped_bytes"), 1_288_895, "{reply}");
    assert!(text(&reply, "hint").contains("--output-dir"), "{reply}");
    gate.open();
    client.wait(&holder);
    client.clean_up(&holder);
    assert_eq!(client.run("echo two")["output"], "two\n");
}

#[test]
fn a_disk_that_cannot_be_written_costs_output_and_is_used_once_it_can() {
    let Some(disk) = Disk::mounted("a read-only disk", "size=8m,ro", NO_FLAGS) else {
        return;
    };
    let client = &disk.client;
    let reply = client.run("seq 1 200000; exit 7");
    assert_eq!((&reply["state"], &reply["returncode"]), (&json!("exited"), &json!(7)), "{reply}");
    assert_eq!(number(&reply, "dropped_bytes"), 1_288_895, "{reply}");
    assert!(text(&reply, "hint").contains("--output-dir"), "{reply}");
    disk.sh(&format!("mount -o remount,rw {}", disk.path.display()));
    let reply = client.run("echo words");
    assert_eq!(reply["output"], "words\n", "{reply}");
    assert!(reply["dropped_bytes"].is_null(), "{reply}");
}

/// The directory was not there when the supervisor was started.
#[test]
fn a_directory_that_could_only_be_made_later_is_removed_by_the_supervisor() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("blocked");
    std::fs::write(&root, "not a directory").unwrap();
    let client = Setup::new().output_dir(&root).start();
    let reply = client.run("echo lost");
    assert_eq!(number(&reply, "dropped_bytes"), 5, "{reply}");
    std::fs::remove_file(&root).unwrap();
    assert_eq!(client.run("echo kept")["output"], "kept\n");
    assert!(!files_below(&root).is_empty());
    client.kill();
    eventually("its files are gone", || {
        let files = files_below(&root);
        if files.is_empty() { Ok(()) } else { Err(format!("{files:?}")) }
    });
}

#[test]
fn output_deleted_under_us_is_counted_as_dropped() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client
        .begin(&format!("echo before; {wait}; echo after; {wait}; echo later", wait = gate.wait()));
    let reply = client.wait_for(&id, "before");
    let directory = output_directory(&reply);
    std::fs::remove_dir_all(&directory).unwrap();
    gate.open();
    eventually("it went on", || {
        let reply = client.get(&id);
        if number(&reply, "output_bytes") == 13 { Ok(()) } else { Err(reply.to_string()) }
    });
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
    assert!(dropped >= 7, "{reply}");
    assert!(!text(&reply, "output").contains("before"), "{reply}");
    assert!(dropped + kept >= number(&reply, "output_bytes"), "{reply}");
    client.call(CLEANUP, &json!({"ref_id": id}));
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&directory.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700, "made again as it was");
}

#[test]
fn invariant_06_the_bound_on_all_output_holds_under_many_noisy_jobs() {
    const BOUND: u64 = 4 << 20;
    let client = Setup::new().flags(["--max-total-bytes", "4194304"]).start();
    let gate = Gate::new();
    let jobs: Vec<_> = (0..20)
        .map(|n| {
            let cmd = format!("seq 1 200000; seq 1 100000 >&2; {}; echo job {n} ends", gate.wait());
            ref_id(&client.call(EXECUTE, &json!({"cmd": cmd})))
        })
        .collect();
    eventually("all have written", || {
        let now = client.bytes_on_disk();
        assert!(now <= BOUND, "{now} bytes on disk");
        let behind = jobs.iter().find_map(|id| {
            let reply = client.get(id);
            let done = number(&reply, "output_bytes") == 1_288_895
                && number(&reply, "error_bytes") == 588_895;
            (!done).then(|| reply.to_string())
        });
        behind.map_or(Ok(()), Err)
    });
    let replies: Vec<_> = jobs.iter().map(|id| client.get(id)).collect();
    let dropped: u64 = replies.iter().map(|reply| number(reply, "dropped_bytes")).sum();
    assert_eq!(
        20 * (1_288_895 + 588_895) - dropped,
        client.bytes_on_disk(),
        "every byte is on disk or counted"
    );
    for _ in &jobs {
        gate.open();
    }
    for id in &jobs {
        let (reply, _) =
            client.outcome(client.post(GET, &json!({"ref_id": id, "wait_seconds": 40})));
        // The oldest finished ones may have had to go.
        assert!(reply["state"] == "exited" || reply["state"] == "expired", "{reply}");
    }
    assert!(client.bytes_on_disk() <= BOUND);
}

#[test]
fn a_flood_that_fills_the_store_leaves_room_for_the_words_of_others() {
    let client = Setup::new().flags(["--max-total-bytes", "4194304"]).start();
    let gate = Gate::new();
    let flood = client.begin(&format!("yes | head -c 4194304; {}", gate.wait()));
    eventually("everything is written", || {
        let reply = client.get(&flood);
        if number(&reply, "output_bytes") == 4_194_304 { Ok(()) } else { Err(reply.to_string()) }
    });
    let reply = client.run("echo few words; echo and more >&2");
    assert_eq!(
        (&reply["output"], &reply["error"]),
        (&json!("few words\n"), &json!("and more\n")),
        "{reply}"
    );
    assert!(reply["dropped_bytes"].is_null(), "{reply}");
    gate.open();
    let reply = client.wait(&flood);
    assert!(text(&reply, "output").starts_with("y\ny\n"), "{reply}");
    assert!(text(&reply, "output").ends_with("y\ny\n"), "{reply}");
}
