//! The end of a server: in time, with last words, and what a dead one could not remove is swept.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use crate::support::{Client, EXECUTE, Setup, eventually, files_below};

#[test]
fn jobs_that_heed_term_have_time_for_their_last_words() {
    let client = Client::start();
    let words = client.scratch().join("words");
    let id = client.begin(&format!(
        "trap 'echo bye > {}; exit 0' TERM; echo ready; while :; do sleep 0.01; done",
        words.display()
    ));
    client.wait_for(&id, "ready");
    client.hang_up();
    assert_eq!(fs::read_to_string(words).unwrap(), "bye\n");
}

#[test]
fn the_first_job_sweeps_what_dead_servers_left_and_nothing_else() {
    const ID: &str = "0190a5c8-0000-4000-8000-000000000000";
    let root = TempDir::new().unwrap();
    let place = |name: &str, files: &[&str]| {
        let directory = root.path().join(name);
        fs::create_dir(&directory).unwrap();
        for file in files {
            fs::write(directory.join(file), "x").unwrap();
        }
        directory
    };
    let output = format!("{ID}.stdout");
    let elsewhere = place("elsewhere", &["lock", &output]);
    let foreign = [
        place("photos", &["file"]).join("file"),
        place("server-backup", &["lock", "file"]).join("file"),
        place("server-empty", &[]),
        elsewhere.join(&output),
    ];
    let link = format!("server-{}", ID.replace('0', "1"));
    std::os::unix::fs::symlink(&elsewhere, root.path().join(link)).unwrap();
    let living = Setup::new().output_dir(root.path()).start();
    let id = living.begin("echo words of the living");
    living.wait(&id);
    let kept = files_below(root.path());

    let killed = Setup::new().output_dir(root.path()).start();
    killed.run("echo words of the dead");
    killed.kill_with_supervisor();
    place(&format!("server-{ID}"), &["lock", &output]);
    // Of a server that was killed before it had a lock, or of one that was killed as it swept.
    let empty = place(&format!("server-{}", ID.replace('0', "2")), &[]);
    let all = files_below(root.path());
    let dead: Vec<_> = all.iter().filter(|file| !kept.contains(file)).collect();
    assert_eq!(dead.len(), 4, "two outputs and two locks: {dead:?}");

    let next = Setup::new().output_dir(root.path()).start();
    next.list();
    assert_eq!(files_below(root.path()), all, "swept before the first job");
    next.run("echo next");
    eventually("they are swept", || {
        let all = dead.iter().copied().chain([&empty]);
        let left: Vec<_> = all.filter(|file| file.exists()).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    assert_eq!(living.get(&id)["output"], "words of the living\n");
    for file in foreign {
        assert!(file.exists(), "{} was removed", file.display());
    }
}

#[test]
fn a_job_started_as_the_server_ends_does_not_outlive_it() {
    for _ in 0..5 {
        let client = Client::start();
        for _ in 0..20 {
            client.post(EXECUTE, &json!({"cmd": "sleep 300"}));
        }
        client.assert_ends_well();
    }
}
