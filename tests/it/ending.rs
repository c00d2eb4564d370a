//! What is said when a job is ended, by cleanup or by its time limit. That all of it ends is in `faults/trees.rs`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    CLEANUP, Client, EXECUTE, GET, Gate, Setup, assert_soon, eventually, pid, processes, ref_id,
    text,
};

const DEAF: &str = "trap '' TERM; echo ready; while :; do sleep 0.05; done";

/// Starts a command and waits until it has said that it is ready.
#[track_caller]
fn ready(client: &Client, cmd: &str) -> String {
    let id = client.begin(cmd);
    client.wait_for(&id, "ready");
    id
}

/// A result whose job is deleted leads nowhere.
#[track_caller]
fn assert_leads_nowhere(result: &Value) {
    for key in ["cursor", "output_path", "error_path", "hint"] {
        assert!(result[key].is_null(), "{key}: {result}");
    }
}

#[test]
fn cleanup_ends_a_running_job_with_term_and_deletes_it() {
    let client = Client::start();
    let id =
        ready(&client, "trap 'echo asked; exit 9' TERM; echo ready; while :; do sleep 0.01; done");
    let reply = client.clean_up(&id);
    let result = &reply["result"];
    assert_eq!(result["state"], "stopped", "{reply}");
    assert_eq!(result["returncode"], 9, "{reply}");
    assert_eq!(result["output"], "ready\nasked\n", "{reply}");
    assert!(!text(&reply, "message").contains("KILL was sent"), "{reply}");
    assert_leads_nowhere(result);
    assert_eq!(client.list()["count"], 0);
    assert!(client.output_files().is_empty(), "{:?}", client.output_files());
    let again = client.clean_up(&id);
    assert!(text(&again, "message").contains("nothing left to do"), "{again}");
    assert!(again["result"].is_null(), "{again}");
}

#[test]
fn a_job_that_ignores_term_is_killed_after_the_grace() {
    let client = Client::start();
    let id = ready(&client, DEAF);
    let asked = Instant::now();
    let reply = client.call(CLEANUP, &json!({"ref_id": id, "grace_seconds": 0.3}));
    let took = asked.elapsed().as_secs_f64();
    assert!((0.3..3.0).contains(&took), "killed after {took} s");
    assert_eq!(reply["result"]["state"], "stopped", "{reply}");
    assert_eq!(reply["result"]["returncode"], -9, "{reply}");
    assert_eq!(reply["result"]["signal"], "SIGKILL", "{reply}");
    assert!(text(&reply, "message").contains("KILL was sent"), "{reply}");
}

#[test]
fn cleanup_can_keep_the_result_and_tells_one_that_had_ended() {
    let client = Client::start();
    let id = ready(&client, "echo ready; exec sleep 300");
    let keep = json!({"ref_id": id, "keep_result": true});
    let reply = client.call(CLEANUP, &keep);
    assert!(text(&reply, "message").contains("readable"), "{reply}");
    let result = client.get(&id);
    assert_eq!(result["state"], "stopped", "{result}");
    assert_eq!((&result["signal"], &result["output"]), (&json!("SIGTERM"), &json!("ready\n")));
    assert_eq!(client.list()["count"], 1);
    client.call(CLEANUP, &keep);
    client.clean_up(&id);
    let id = ref_id(&client.run("echo words"));
    let reply = client.clean_up(&id);
    assert!(text(&reply, "message").contains("had ended by itself"), "{reply}");
    assert_eq!(reply["result"]["state"], "exited");
    assert_eq!(client.list()["count"], 0);
}

/// One call keeps the result, another removes the job and brings its KILL forward.
#[test]
fn of_cleanups_at_the_same_time_all_end_and_one_deletes() {
    let client = Client::start();
    let id = ready(&client, &format!("seq 20000; {DEAF}"));
    let ask =
        |grace: f64, keep: bool| json!({"ref_id": id, "grace_seconds": grace, "keep_result": keep});
    let first = client.post_waiting(CLEANUP, &ask(600.0, true));
    // Until it is gone it runs, and whoever reads it is told where to read on.
    let meanwhile = client.get(&id);
    assert_eq!(meanwhile["running"], true, "{meanwhile}");
    for key in ["cursor", "output_path", "hint"] {
        assert!(!text(&meanwhile, key).is_empty(), "no {key}: {meanwhile}");
    }
    assert_eq!(client.list()["processes"][0]["ref_id"], id);
    let others = [false, true].map(|keep| client.post(CLEANUP, &ask(0.3, keep)));
    for call in [first].into_iter().chain(others) {
        let reply = client.reply(call);
        assert_eq!(reply["result"]["signal"], "SIGKILL", "{reply}");
    }
    client.assert_none_living();
    let gone = client.refused(GET, &json!({"ref_id": id}));
    assert!(text(&gone, "error").contains("cleaned up"), "{gone}");
    assert!(client.output_files().is_empty());
}

#[test]
fn a_wait_that_a_cleanup_ends_has_the_last_words() {
    let client = Client::start();
    let cmd = "seq 20000; echo ready; exec sleep 300";
    let execute = client.post_waiting(EXECUTE, &json!({"cmd": cmd, "wait_seconds": 40}));
    let id = text(&client.list()["processes"][0], "ref_id").to_owned();
    client.wait_for(&id, "ready");
    let waits = [
        json!({"ref_id": id, "wait_seconds": 40}),
        json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "never"}),
        json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "never", "cursor": "o108894e0"}),
    ];
    let waits = waits.map(|wait| client.post_waiting(GET, &wait));
    client.clean_up(&id);
    let started = client.reply(execute);
    let results = waits.map(|wait| client.reply(wait));
    for result in results.iter().chain([&started["result"]]) {
        assert_eq!(result["state"], "stopped", "{result}");
        assert!(text(result, "output").ends_with("ready\n"), "{result}");
    }
    client.await_output_files(0);
}

#[test]
fn ending_one_job_delays_no_other_call() {
    let client = Client::start();
    let gate = Gate::new();
    let cmd = format!("trap '' TERM; echo ready; {}; {}; exit", gate.wait(), gate.wait());
    let id = ready(&client, &cmd);
    let slow = client.post(CLEANUP, &json!({"ref_id": id, "grace_seconds": 20}));
    let started = Instant::now();
    assert_eq!(client.run("echo quick")["output"], "quick\n");
    client.clean_up(&client.begin("true"));
    assert_soon(started);
    assert!(!client.is_answered(slow.id), "the job ended too early");
    gate.open();
    gate.open();
    client.reply(slow);
}

#[test]
fn cleanup_ends_a_stopped_process_with_its_own_words() {
    let client = Client::start();
    let cmd =
        "trap 'echo bye; exit 4' TERM; echo ready; kill -STOP $$; while :; do sleep 0.01; done";
    let started = client.execute(&json!({"cmd": cmd}));
    let id = ref_id(&started);
    client.wait_for(&id, "ready");
    eventually("it is stopped", || match processes::state(pid(&started)) {
        Some('T') => Ok(()),
        state => Err(format!("{state:?}")),
    });
    assert_eq!(client.get(&id)["state"], "running");
    let reply = client.clean_up(&id);
    assert_eq!(reply["result"]["returncode"], 4, "{reply}");
    assert_eq!(reply["result"]["output"], "ready\nbye\n");
}

#[test]
fn a_time_limit_is_told_by_how_the_command_took_it() {
    let client = Setup::new().flags(["--stop-grace-seconds", "0.2"]).start();
    let exits = "trap 'exit 0' TERM; while :; do sleep 0.01; done";
    for (cmd, limit, state, returncode) in [
        (DEAF, 0.5, "timed_out", -9),
        (exits, 0.5, "timed_out", 0),
        ("exec sleep 300", 0.5, "timed_out", -15),
        ("echo fine", 60.0, "exited", 0),
    ] {
        let call = json!({"cmd": cmd, "kill_after_seconds": limit, "wait_seconds": 20});
        let reply = client.execute(&call);
        let result = &reply["result"];
        assert_eq!((text(result, "state"), &result["returncode"]), (state, &json!(returncode)));
        let elapsed = Duration::from_secs_f64(result["elapsed_seconds"].as_f64().unwrap());
        assert!(state == "exited" || elapsed >= Duration::from_millis(500), "{reply}");
        // A kill of ours is not taken for want of memory.
        let told = reply["hint"].as_str().is_some_and(|hint| hint.contains("KILL was sent"));
        assert_eq!(told, returncode == -9, "{reply}");
    }
}

#[test]
fn the_last_words_of_a_long_output_are_its_end_unless_the_result_is_kept() {
    let client = Client::start();
    let cmd = "seq 20000; echo ready; exec sleep 1000";
    let reply = client.clean_up(&ready(&client, cmd));
    let output = text(&reply["result"], "output");
    assert!(output.ends_with("20000\nready\n"), "{output}");
    assert!(output.contains("deleted with the job") && !output.contains("cursor"), "{output}");
    assert!(output.len() < 2_200, "{} bytes", output.len());
    let kept = json!({"ref_id": ready(&client, cmd), "keep_result": true});
    let reply = client.call(CLEANUP, &kept);
    let output = text(&reply["result"], "output");
    assert!(output.starts_with("1\n2\n") && output.contains("cursor="), "{output}");
}
