//! The four tools as an agent uses them.

use serde_json::{Value, json};

use crate::support::client::{ref_id, text};
use crate::support::reply::is_utc_second;
use crate::support::{Client, Gate};

#[test]
fn a_command_is_started_watched_collected_and_cleaned_up() {
    let client = Client::start();
    let gate = Gate::new();
    let cmd = format!("echo begun; {}; echo done; echo oops >&2; exit 3", gate.wait());
    let started = client.execute(&json!({"cmd": cmd}));
    let id = ref_id(&started);
    assert!(started["pid"].as_u64().unwrap() > 1, "{started}");
    assert!(text(&started, "hint").contains(&id), "{started}");

    let running = client.wait_for(&id, "begun");
    assert_eq!(running["running"], true, "{running}");
    assert_eq!(running["output"], "begun\n");
    assert_eq!(running["returncode"], Value::Null);
    assert_eq!(running["finished_at"], Value::Null);
    assert!(running["elapsed_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(running["cmd"], cmd.as_str());

    gate.open();
    let finished = client.wait(&id);
    assert_eq!(finished["state"], "exited");
    assert_eq!(finished["returncode"], 3);
    assert_eq!(finished["output"], "begun\ndone\n");
    assert_eq!(finished["error"], "oops\n");

    let listed = client.list();
    assert_eq!(listed["count"], 1, "{listed}");
    let entry = &listed["processes"][0];
    assert_eq!(entry["ref_id"], id.as_str());
    assert_eq!(entry["running"], false);
    assert_eq!(entry["returncode"], 3);
    assert!(is_utc_second(text(entry, "created_at")));
    assert!(is_utc_second(text(entry, "finished_at")));

    let cleaned = client.clean_up(&id);
    assert_eq!(cleaned["ref_id"], id.as_str());
    assert_eq!(cleaned["result"]["output"], "begun\ndone\n");
    assert_eq!(client.list()["count"], 0);
}

#[test]
fn reading_consumes_nothing_and_a_result_never_changes() {
    let client = Client::start();
    let id = client.begin("echo one; echo two >&2");
    let first = client.wait(&id);
    for _ in 0..3 {
        assert_eq!(client.get(&id), first);
    }
}
