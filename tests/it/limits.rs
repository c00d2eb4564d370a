//! How many jobs may run, how long and how many results are kept.

use serde_json::{Value, json};

use crate::support::{CLEANUP, Client, EXECUTE, GET, Gate, Setup, eventually, ref_id, text};

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
    let gate = Gate::new();
    let ids: Vec<_> =
        (0..3).map(|n| client.begin(&format!("{} # number {n}", gate.wait()))).collect();
    let refusal = client.refused(EXECUTE, &json!({"cmd": "echo one too many"}));
    let error = text(&refusal, "error");
    assert!(error.starts_with("3 jobs") && error.contains("--max-running"), "{error}");
    let places: Vec<_> = ids.iter().map(|id| error.find(id.as_str()).unwrap()).collect();
    assert!(places.is_sorted(), "not the oldest first: {error}");
    assert_eq!(client.list()["count"], 3);

    client.clean_up(&ids[0]);
    let reply = client.execute(&json!({"cmd": gate.wait()}));
    client.refused(EXECUTE, &json!({"cmd": "true"}));
    gate.open();
    gate.open();
    gate.open();
    client.wait(&ref_id(&reply));
}

#[test]
fn a_slot_is_free_when_a_job_has_ended() {
    let client = Setup::new().flags(["--max-running", "1"]).start();
    for n in 0..20 {
        let id = client.begin(&format!("echo {n}"));
        assert_eq!(client.wait(&id)["output"], format!("{n}\n"));
        client.clean_up(&id);
    }
}

#[test]
fn a_command_that_cannot_start_takes_no_slot() {
    let client = Setup::new().flags(["--max-running", "1"]).start();
    for _ in 0..5 {
        client.refused(EXECUTE, &json!({"cmd": "true", "cwd": "/no/such/directory"}));
        client.refused(EXECUTE, &json!({"cmd": ""}));
    }
    assert_eq!(client.run("echo fine")["output"], "fine\n");
}

#[test]
fn invariant_11_retention_counts_from_the_finish() {
    let client = Setup::new().flags(["--retention-seconds", "2"]).start();
    let gate = Gate::new();
    let id = client.begin(&format!("{}; echo done", gate.wait()));
    eventually("the job is older than the retention", || {
        let reply = client.get(&id);
        if reply["elapsed_seconds"].as_f64() > Some(2.5) { Ok(()) } else { Err(reply.to_string()) }
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
    assert!(client.output_files().is_empty(), "{:?}", client.output_files());
    let cleaned = client.call(CLEANUP, &json!({"ref_id": id}));
    assert_eq!(cleaned["success"], true);
}

#[test]
fn invariant_11_the_oldest_go_when_newer_ones_are_enough() {
    // The sweeper looks every quarter of the retention.
    let client = Setup::new().flags(["--max-finished", "3", "--retention-seconds", "20"]).start();
    let ids: Vec<_> = (0..5)
        .map(|n| {
            let id = client.begin(&format!("echo {n}"));
            client.wait(&id);
            id
        })
        .collect();
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
    let id = client
        .begin(&format!("echo kept; {} &", gate.wait().replace("read", "exec 1>&- 2>&-; read")));
    client.wait(&id);
    let other = client.begin("true");
    eventually_expired(&client, &other);
    assert_eq!(client.get(&id)["output"], "kept\n");
    gate.open();
    eventually_expired(&client, &id);
}

#[test]
fn the_oldest_output_goes_when_there_is_too_much() {
    let client = Setup::new().flags(["--max-total-bytes", "262144"]).start();
    let mut ids = Vec::new();
    for n in 0..12 {
        let id = client.begin(&format!("echo job {n}; head -c 60000 /dev/zero | tr '\\0' x"));
        let reply = client.wait(&id);
        assert!(reply["dropped_bytes"].is_null(), "{reply}");
        assert!(text(&reply, "output").starts_with(&format!("job {n}\n")), "{reply}");
        ids.push(id);
        let on_disk: u64 = client
            .output_files()
            .iter()
            .map(|file| file.metadata().map_or(0, |file| file.len()))
            .sum();
        assert!(on_disk <= 262_144, "{on_disk} bytes");
    }
    eventually_expired(&client, &ids[0]);
    assert_eq!(client.state(&ids[11]), "exited");
    let states: Vec<_> = ids.iter().map(|id| client.state(id) == "expired").collect();
    assert!(states.is_sorted_by(|older, newer| older >= newer), "not the oldest first: {states:?}");
}

/// What is kept is what the option says, not much less.
#[test]
fn two_results_that_fit_into_the_total_are_both_kept() {
    let client = Setup::new().flags(["--max-total-bytes", "1000000"]).start();
    let ids = [(); 3].map(|()| {
        let id = client.begin("head -c 400000 /dev/zero | tr '\\0' x");
        let reply = client.wait(&id);
        assert!(reply["dropped_bytes"].is_null(), "{reply}");
        id
    });
    eventually_expired(&client, &ids[0]);
    assert_eq!(client.state(&ids[1]), "exited");
    assert_eq!(client.state(&ids[2]), "exited");
}

/// However fast it comes: what finished jobs take up is not had at the expense of one that runs.
#[test]
fn a_flood_waits_until_finished_jobs_have_made_room() {
    let client = Setup::new().flags(["--max-total-bytes", "1000000"]).start();
    let oldest = client.begin("head -c 400000 /dev/zero | tr '\\0' x");
    client.wait(&oldest);
    client.run("echo the newest result stays");
    let reply = client.run("yes | head -c 800000");
    assert!(reply["dropped_bytes"].is_null(), "{reply}");
    assert_eq!(client.state(&oldest), "expired");
}

/// All of them write before the first result can go, and each has to have room.
#[test]
fn many_at_once_wait_until_finished_jobs_have_made_room() {
    let client = Setup::new().flags(["--max-total-bytes", "4194304"]).start();
    let cmd = "head -c 100000 /dev/zero | tr '\\0' x; echo end";
    let call = json!({"cmd": cmd, "wait_seconds": 40});
    for _ in 0..8 {
        let calls = [(); 16].map(|()| client.post(EXECUTE, &call));
        for call in calls {
            let reply = client.reply(call);
            let dropped = &reply["result"]["dropped_bytes"];
            assert!(dropped.is_null(), "{dropped} bytes were dropped");
        }
    }
}

#[test]
fn a_result_that_was_told_goes_when_the_next_job_needs_the_room() {
    let client = Setup::new().flags(["--max-total-bytes", "1048576"]).start();
    for _ in 0..3 {
        let reply = client.run("head -c 600000 /dev/zero | tr '\\0' x");
        let dropped = &reply["dropped_bytes"];
        assert!(dropped.is_null(), "{dropped} bytes were dropped");
    }
}

#[test]
fn the_list_shows_every_running_job_and_the_newest_finished() {
    let client = Client::start();
    let gate = Gate::new();
    let running: Vec<_> = (0..3).map(|_| client.begin(&gate.wait())).collect();
    let finished: Vec<_> = (0..25)
        .map(|n| {
            let id = client.begin(&format!("exit {n}"));
            client.wait(&id);
            id
        })
        .collect();
    let listed = client.list();
    assert_eq!(listed["count"], 23, "{listed}");
    assert_eq!(listed["omitted"], 5, "{listed}");
    let shown: Vec<_> =
        listed["processes"].as_array().unwrap().iter().map(|entry| text(entry, "ref_id")).collect();
    for id in &running {
        assert!(shown[..3].contains(&id.as_str()), "{listed}");
    }
    let newest: Vec<_> = finished.iter().rev().take(20).collect();
    assert!(shown[3..].iter().eq(newest), "{listed}");
    for _ in running {
        gate.open();
    }
}
