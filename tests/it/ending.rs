//! Ending a job, by cleanup or by its time limit, ends all of it.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    CLEANUP, Client, EXECUTE, GET, Gate, Setup, eventually,
    processes::{self, assert_gone, is_alive, pids_in},
    ref_id, text,
};

#[test]
fn cleanup_ends_a_running_job_with_term() {
    let client = Client::start();
    let id =
        client.begin("trap 'echo asked; exit 9' TERM; echo ready; while :; do sleep 0.01; done");
    client.wait_for(&id, "ready");
    let reply = client.clean_up(&id);
    let result = &reply["result"];
    assert_eq!(result["state"], "stopped", "{reply}");
    assert_eq!(result["returncode"], 9, "{reply}");
    assert_eq!(result["output"], "ready\nasked\n", "{reply}");
    assert!(result["output_path"].is_null() && result["cursor"].is_null(), "{reply}");
    assert_eq!(client.list()["count"], 0);
    assert!(client.output_files().is_empty(), "{:?}", client.output_files());
}

#[test]
fn a_job_that_ignores_term_is_killed_after_the_grace() {
    let client = Client::start();
    let started =
        client.execute(&json!({"cmd": "trap '' TERM; echo ready; while :; do sleep 0.05; done"}));
    let id = ref_id(&started);
    client.wait_for(&id, "ready");
    let asked = Instant::now();
    let reply = client.call(CLEANUP, &json!({"ref_id": id, "grace_seconds": 0.3}));
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(300), "killed after {took:?}");
    assert!(took < Duration::from_secs(3), "killed after {took:?}");
    assert_eq!(reply["result"]["state"], "stopped", "{reply}");
    assert_eq!(reply["result"]["returncode"], -9, "{reply}");
    assert_eq!(reply["result"]["signal"], "SIGKILL", "{reply}");
}

#[test]
fn cleanup_of_a_finished_job_says_that_it_had_ended_and_can_be_repeated() {
    let client = Client::start();
    let id = client.begin("echo words");
    client.wait(&id);
    let reply = client.clean_up(&id);
    assert!(text(&reply, "message").contains("had ended by itself"), "{reply}");
    assert_eq!(reply["result"]["state"], "exited");
    let again = client.clean_up(&id);
    assert!(text(&again, "message").contains("nothing left to do"), "{again}");
    assert!(again["result"].is_null(), "{again}");
}

#[test]
fn two_cleanups_at_once_both_succeed() {
    let client = Client::start();
    let id = client.begin("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    client.wait_for(&id, "ready");
    let arguments = json!({"ref_id": id, "grace_seconds": 0.3});
    let posted = [(); 2].map(|()| client.post(CLEANUP, &arguments));
    for posted in posted {
        client.reply(posted);
    }
    client.assert_none_living();
}

#[test]
fn cleanup_can_keep_the_result() {
    let client = Client::start();
    let id = client.begin("echo words; exec sleep 300");
    client.wait_for(&id, "words");
    let reply = client.call(CLEANUP, &json!({"ref_id": id, "keep_result": true}));
    assert!(text(&reply, "message").contains("readable"), "{reply}");
    let result = client.get(&id);
    assert_eq!(result["state"], "stopped", "{result}");
    assert_eq!(result["signal"], "SIGTERM");
    assert_eq!(result["output"], "words\n");
    assert_eq!(client.list()["count"], 1);
    client.call(CLEANUP, &json!({"ref_id": id, "keep_result": true}));
    client.clean_up(&id);
    assert_eq!(client.list()["count"], 0);
}

/// One call keeps the result, another removes the job: it is gone, and nobody says otherwise.
#[test]
fn cleanups_at_the_same_time_agree_on_what_is_left() {
    let client = Client::start();
    let id = client.begin("trap '' TERM; seq 20000; echo ready; while :; do sleep 1; done");
    client.wait_for(&id, "ready");
    let ask = |keep: bool| {
        let arguments = json!({"ref_id": id, "grace_seconds": 3, "keep_result": keep});
        client.post_waiting(CLEANUP, &arguments)
    };
    let calls = [ask(true), ask(false), ask(true)];
    // Until it is gone, whoever reads it is told where to read on.
    let meanwhile = client.get(&id);
    assert_eq!(meanwhile["running"], true, "{meanwhile}");
    for key in ["cursor", "output_path", "hint"] {
        assert!(!text(&meanwhile, key).is_empty(), "no {key}: {meanwhile}");
    }
    for call in calls {
        let reply = client.reply(call);
        assert!(text(&reply, "message").contains("deleted"), "{reply}");
        assert!(reply["result"]["cursor"].is_null(), "{reply}");
        assert!(reply["result"]["output_path"].is_null(), "{reply}");
    }
    let gone = client.refused(GET, &json!({"ref_id": id}));
    assert!(text(&gone, "error").contains("cleaned up"), "{gone}");
}

#[test]
fn a_wait_that_a_cleanup_ends_points_at_nothing_that_is_deleted() {
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
    assert!(started["hint"].is_null(), "{started}");
    let results = waits.map(|wait| client.reply(wait));
    for result in results.iter().chain([&started["result"]]) {
        assert_eq!(result["state"], "stopped", "{result}");
        for key in ["cursor", "output_path", "error_path", "hint"] {
            assert!(result[key].is_null(), "{key}: {result}");
        }
    }
}

#[test]
fn ending_one_job_delays_no_other_call() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("trap '' TERM; echo ready; while :; do {}; done", gate.wait()));
    client.wait_for(&id, "ready");
    let slow = client.post(CLEANUP, &json!({"ref_id": id, "grace_seconds": 20}));
    let started = Instant::now();
    assert_eq!(client.run("echo quick")["output"], "quick\n");
    client.list();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(!client.is_answered(slow.id), "the job ended too early");
    client.call(CLEANUP, &json!({"ref_id": client.begin("true")}));
    processes::signal(client.living()[0], Signal::KILL);
    client.reply(slow);
}

/// Shapes of a job's processes, and how many pids each prints.
const SHAPES: [(&str, usize); 9] = [
    ("sh -c 'sleep 300 & echo $!; echo $$; wait' & echo $$; wait", 3),
    ("echo $$; sh -c 'echo $$ >&2; exec sleep 300' 2>&1 | cat", 2),
    ("setsid sh -c 'echo $$; sleep 300' & echo $$; wait", 2),
    ("(setsid sh -c 'sh -c \"echo \\$\\$; exec sleep 300\" & exit' &); echo $$; exec sleep 300", 2),
    ("env -i setsid sh -c 'echo $$; exec sleep 300' & echo $$; wait", 2),
    // Its parent ends, so that only adoption can find it.
    ("(env -i setsid sh -c 'echo $$; exec sleep 300' &); echo $$; exec sleep 300", 2),
    // So does the command.
    ("(env -i setsid sh -c 'echo $$; exec sleep 300' &)", 1),
    ("setsid sh -c 'trap \"\" TERM; echo $$; sleep 300' & trap '' TERM; echo $$; wait", 2),
    ("nohup sh -c 'echo $$; sleep 300' & disown; echo $$; exec sleep 300", 2),
];

#[test]
fn cleanup_answers_when_no_process_of_the_job_is_left_whatever_its_shape() {
    let client = Client::start();
    for (cmd, count) in SHAPES {
        let id = client.begin(cmd);
        let pids = eventually("all processes have printed their pids", || {
            let reply = client.get(&id);
            let pids = pids_in(&reply["output"]);
            if pids.len() == count { Ok(pids) } else { Err(reply.to_string()) }
        });
        assert!(pids.iter().all(|pid| is_alive(*pid)), "{cmd}: {}", processes::describe(pids));
        let reply = client.call(CLEANUP, &json!({"ref_id": id, "grace_seconds": 0.2}));
        let alive: Vec<_> = pids.into_iter().filter(|pid| is_alive(*pid)).collect();
        assert!(alive.is_empty(), "{cmd}: {}; {reply}", processes::describe(alive));
        assert_eq!(client.living(), Vec::<u32>::new(), "{cmd}");
    }
}

#[test]
fn cleanup_ends_a_stopped_process_with_its_own_words() {
    let client = Client::start();
    let started = client.execute(&json!({"cmd": "trap 'echo bye; exit 4' TERM; echo ready; kill -STOP $$; while :; do sleep 0.01; done"}));
    let id = ref_id(&started);
    let pid = u32::try_from(started["pid"].as_u64().unwrap()).unwrap();
    client.wait_for(&id, "ready");
    eventually("it is stopped", || match processes::state(pid) {
        Some('T') => Ok(()),
        state => Err(format!("{state:?}")),
    });
    assert_eq!(client.get(&id)["state"], "running");
    let reply = client.clean_up(&id);
    assert_eq!(reply["result"]["returncode"], 4, "{reply}");
    assert_eq!(reply["result"]["output"], "ready\nbye\n");
}

#[test]
fn cleanup_ends_a_tree_that_keeps_forking() {
    let client = Client::start();
    // Each child starts its successor in a new session and ends: a chain that no single look can hold.
    let chain = client.scratch().join("chain");
    std::fs::write(&chain, "trap '' TERM\nsleep 0.02\nsetsid sh \"$0\" &\n").unwrap();
    let id = client.begin(&format!("sh '{}'; echo ready; exec sleep 300", chain.display()));
    client.wait_for(&id, "ready");
    client.call(CLEANUP, &json!({"ref_id": id, "grace_seconds": 0.1}));
    let left = client.living();
    assert!(left.is_empty(), "{}", processes::describe(left));
}

#[test]
fn a_time_limit_ends_the_whole_tree() {
    let client = Setup::new().flags(["--stop-grace-seconds", "0.2"]).start();
    let cmd = "setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.1; done' & trap '' TERM; echo $$; wait; wait; wait; exec sleep 300";
    let started = client.execute(&json!({"cmd": cmd, "kill_after_seconds": 0.5}));
    let id = ref_id(&started);
    let reply = client.wait(&id);
    assert_eq!(reply["state"], "timed_out", "{reply}");
    assert_eq!(reply["signal"], "SIGKILL", "{reply}");
    assert!(reply["elapsed_seconds"].as_f64().unwrap() >= 0.5, "{reply}");
    assert_gone(&pids_in(&reply["output"]));
    assert_eq!(pids_in(&reply["output"]).len(), 2, "{reply}");
}

#[test]
fn a_time_limit_that_is_not_reached_changes_nothing() {
    let client = Client::start();
    let reply =
        client.execute(&json!({"cmd": "echo fine", "kill_after_seconds": 60, "wait_seconds": 20}));
    assert_eq!(reply["result"]["state"], "exited", "{reply}");
}

#[test]
fn a_command_that_ends_by_itself_at_term_of_the_time_limit_is_timed_out() {
    let client = Client::start();
    let reply = client.execute(&json!({"cmd": "trap 'exit 0' TERM; while :; do sleep 0.01; done", "kill_after_seconds": 0.2, "wait_seconds": 20}));
    assert_eq!(reply["result"]["state"], "timed_out", "{reply}");
    assert_eq!(reply["result"]["returncode"], 0, "{reply}");
}

#[test]
fn a_job_that_is_being_cleaned_up_is_what_it_is_until_it_has_ended() {
    let client = Client::start();
    let id = client.begin("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    client.wait_for(&id, "ready");
    let patient = json!({"ref_id": id, "grace_seconds": 600});
    let first = client.post_waiting(CLEANUP, &patient);
    let reply = client.get(&id);
    assert_eq!(reply["state"], "running", "{reply}");
    let list = client.list();
    assert_eq!(list["processes"][0]["ref_id"], id, "{list}");
    let second = client.call(CLEANUP, &json!({"ref_id": id, "grace_seconds": 0.1}));
    let first = client.reply(first);
    for reply in [first, second] {
        assert_eq!(reply["result"]["signal"], "SIGKILL", "{reply}");
        assert_eq!(reply["result"]["output"], "ready\n", "{reply}");
        assert_eq!(reply["success"], true, "{reply}");
    }
    assert_eq!(client.list()["count"], 0);
    assert!(client.output_files().is_empty());
}

#[test]
fn a_call_that_waits_while_its_job_is_cleaned_up_gets_the_last_words() {
    let client = Client::start();
    let id = client.begin("echo words; exec sleep 1000");
    client.wait_for(&id, "words");
    let waits = ["never", ""].map(|pattern| {
        let wait = json!({"ref_id": id, "wait_seconds": 45, "until_pattern": pattern});
        client.post_waiting(GET, &wait)
    });
    client.clean_up(&id);
    for wait in waits {
        let reply = client.reply(wait);
        assert_eq!(reply["state"], "stopped", "{reply}");
        assert_eq!(reply["output"], "words\n", "{reply}");
        for gone in ["output_path", "cursor", "dropped_bytes"] {
            assert!(reply[gone].is_null(), "{gone}: {reply}");
        }
    }
    eventually("the files are removed", || match client.output_files() {
        files if files.is_empty() => Ok(()),
        files => Err(format!("{files:?}")),
    });
}

#[test]
fn the_last_words_of_a_long_output_are_its_end_and_lead_nowhere() {
    let client = Client::start();
    let id = client.begin("seq 20000; echo last; exec sleep 1000");
    client.wait_for(&id, "last");
    let reply = client.clean_up(&id);
    let output = text(&reply["result"], "output");
    assert!(output.ends_with("20000\nlast\n"), "{output}");
    assert!(output.contains("deleted with the job"), "{output}");
    assert!(!output.contains("cursor"), "{output}");
    assert!(output.len() < 2_200, "{} bytes", output.len());
    let kept = client.begin("seq 20000; echo last; exec sleep 1000");
    client.wait_for(&kept, "last");
    let reply = client.call(CLEANUP, &json!({"ref_id": kept, "keep_result": true}));
    let output = text(&reply["result"], "output");
    assert!(output.starts_with("1\n2\n"), "{output}");
    assert!(output.contains("cursor="), "{output}");
}
