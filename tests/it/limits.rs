//! How many jobs may run, how long and how many results are kept.

use serde_json::{Value, json};

use crate::support::{CLEANUP, Client, EXECUTE, GET, Gate, LIST, Setup, eventually, ref_id, text};

#[track_caller]
fn eventually_expired(client: &Client, id: &str) {
    eventually("the result has expired", || match client.state(id) {
        state if state == "expired" => Ok(()),
        state => Err(state),
    });
}

#[test]
fn too_many_running_jobs_are_refused_with_the_limit_and_the_oldest() {
    let client = Setup::new().flags(["--max-running", "3"]).start();
    // A command that cannot start takes no slot.
    for _ in 0..5 {
        client.refused(EXECUTE, &json!({"cmd": "true", "cwd": "/no/such/directory"}));
    }
    let ids = [0, 1, 2].map(|n| client.begin(&format!("exec sleep 100{n}")));
    let refusal = client.refused(EXECUTE, &json!({"cmd": "echo one too many"}));
    let error = text(&refusal, "error");
    assert!(error.starts_with("3 jobs") && error.contains("--max-running"), "{error}");
    assert!(error.contains(LIST) && error.contains(CLEANUP), "{error}");
    let places = ids.each_ref().map(|id| error.find(id.as_str()).unwrap());
    assert!(places.is_sorted(), "not the oldest first: {error}");
    assert_eq!(client.list()["count"], 3);
    // A slot is free when a job has ended.
    client.clean_up(&ids[0]);
    for n in 0..20 {
        let id = client.begin(&format!("echo {n}"));
        assert_eq!(client.wait(&id)["output"], format!("{n}\n"));
    }
    client.begin("exec sleep 1000");
    client.refused(EXECUTE, &json!({"cmd": "true"}));
}

#[test]
fn invariant_11_retention_counts_from_the_finish() {
    let client = Setup::new().flags(["--retention-seconds", "2"]).start();
    let gate = Gate::new();
    let id = client.begin(&format!("{}; echo done", gate.wait()));
    client.get_until(&id, "the job is older than the retention", |reply| {
        reply["elapsed_seconds"].as_f64() > Some(2.5)
    });
    gate.open();
    assert_eq!(client.wait(&id)["output"], "done\n");
    assert_eq!(client.get(&id)["state"], "exited");
    eventually_expired(&client, &id);
    let reply = client.refused(GET, &json!({"ref_id": id}));
    for named in ["expired", "--retention-seconds", "--max-finished", "This server started"] {
        assert!(text(&reply, "error").contains(named), "{named}: {reply}");
    }
    assert_eq!(reply["cmd"], Value::Null);
    assert_eq!(client.list()["count"], 0);
    client.await_output_files(0);
    client.clean_up(&id);
}

#[test]
fn invariant_11_the_oldest_go_when_newer_ones_are_enough() {
    // The sweeper looks every quarter of the retention.
    let client = Setup::new().flags(["--max-finished", "3", "--retention-seconds", "20"]).start();
    let ids: Vec<_> = (0..5).map(|n| ref_id(&client.run(&format!("echo {n}")))).collect();
    eventually_expired(&client, &ids[0]);
    eventually_expired(&client, &ids[1]);
    for id in &ids[2..] {
        assert_eq!(client.get(id)["state"], "exited");
    }
}

#[test]
fn invariant_04_a_job_with_a_leftover_is_not_evicted() {
    let client = Setup::new().flags(["--retention-seconds", "0.2"]).start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo kept; ( {} ) >&- 2>&- &", gate.wait()));
    client.wait(&id);
    let other = client.begin("true");
    eventually_expired(&client, &other);
    assert_eq!(client.get(&id)["output"], "kept\n");
    gate.open();
    eventually_expired(&client, &id);
}

#[test]
fn a_job_that_filled_the_store_makes_room_for_the_next_one() {
    let client = Setup::new().flags(["--max-total-bytes", "1048576"]).start();
    // Both streams need more than there is, so that they have waited for room in vain.
    client.run("seq 400000; seq 40000 >&2");
    let next = client.run("echo second");
    assert_eq!(next["output"], "second\n", "{next}");
}

#[test]
fn the_oldest_output_goes_when_there_is_too_much() {
    let client = Setup::new().flags(["--max-total-bytes", "262144"]).start();
    let job = |n| {
        let cmd = format!("echo job {n}; head -c 60000 /dev/zero | tr '\\0' x");
        let reply = client.run(&cmd);
        assert!(reply["dropped_bytes"].is_null(), "{reply}");
        assert!(text(&reply, "output").starts_with(&format!("job {n}\n")), "{reply}");
        let on_disk = client.bytes_on_disk();
        assert!(on_disk <= 262_144, "{on_disk} bytes");
        ref_id(&reply)
    };
    let ids: Vec<_> = (0..12).map(job).collect();
    eventually_expired(&client, &ids[0]);
    let expired: Vec<_> = ids.iter().map(|id| client.state(id) == "expired").collect();
    let oldest_first = expired.is_sorted_by(|older, newer| older >= newer);
    assert!(oldest_first && !expired[10] && !expired[11], "{expired:?}");
}

/// However fast it comes, and however many write before the first result can go: what finished jobs take up is not had at
/// the expense of one that runs.
#[test]
fn floods_wait_until_finished_jobs_have_made_room() {
    let client = Setup::new().flags(["--max-total-bytes", "1000000"]).start();
    let oldest = client.begin("head -c 400000 /dev/zero | tr '\\0' x");
    client.wait(&oldest);
    client.run("echo the newest result stays");
    let reply = client.run("yes | head -c 800000");
    assert!(reply["dropped_bytes"].is_null(), "{reply}");
    assert_eq!(client.state(&oldest), "expired");
    let client = Setup::new().flags(["--max-total-bytes", "4194304"]).start();
    let cmd = "head -c 100000 /dev/zero | tr '\\0' x; echo end";
    let call = json!({"cmd": cmd, "wait_seconds": 40});
    for _ in 0..8 {
        for call in [(); 16].map(|()| client.post(EXECUTE, &call)) {
            let dropped = &client.reply(call)["result"]["dropped_bytes"];
            assert!(dropped.is_null(), "{dropped} bytes were dropped");
        }
    }
}

#[test]
fn the_list_shows_every_running_job_and_the_newest_finished() {
    let client = Client::start();
    let running = [(); 3].map(|()| client.begin("exec sleep 1000"));
    let finished: Vec<_> = (0..25).map(|n| ref_id(&client.run(&format!("exit {n}")))).collect();
    // Whether or not older ones were told.
    for _ in 0..2 {
        let listed = client.list();
        assert_eq!((&listed["count"], &listed["omitted"]), (&json!(23), &json!(5)), "{listed}");
        let entries = listed["processes"].as_array().unwrap();
        let shown: Vec<_> = entries.iter().map(|entry| text(entry, "ref_id")).collect();
        assert!(running.iter().all(|id| shown[..3].contains(&id.as_str())), "{listed}");
        assert!(shown[3..].iter().eq(finished.iter().rev().take(20)), "{listed}");
    }
}
