//! One call waits for what an agent waits for, and waiting changes nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    Client, GET, Gate, LIST, Setup, assert_soon, eventually, processes, ref_id, text,
};

#[test]
fn a_wait_ends_with_the_command() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("{}; echo done", gate.wait()));
    let wait = client.post_waiting(GET, &json!({"ref_id": id, "wait_seconds": 40}));
    let started = Instant::now();
    gate.open();
    let reply = client.reply(wait);
    assert_soon(started);
    assert_eq!(reply["output"], "done\n");
    assert_eq!(reply["state"], "exited");
}

#[test]
fn a_wait_that_runs_out_answers_with_what_there_is() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo so far; {}", gate.wait()));
    let started = Instant::now();
    let reply = client.call(GET, &json!({"ref_id": id, "wait_seconds": 0.3}));
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
    assert_eq!(reply["state"], "running", "{reply}");
    assert_eq!(reply["output"], "so far\n", "{reply}");
    gate.open();
    assert_eq!(client.wait(&id)["returncode"], 0);
}

#[test]
fn a_wait_for_what_has_happened_answers_at_once() {
    let client = Client::start();
    let id = client.begin("echo there");
    client.wait(&id);
    let started = Instant::now();
    client.call(GET, &json!({"ref_id": id, "wait_seconds": 40}));
    client.call(GET, &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "there"}));
    let reply =
        client.call(GET, &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "not there"}));
    assert!(reply["matched"].is_null(), "{reply}");
    assert_soon(started);
}

#[test]
fn execute_returns_the_result_of_a_quick_command() {
    let client = Client::start();
    let reply = client.execute(&json!({"cmd": "echo quick; exit 4", "wait_seconds": 40}));
    let result = &reply["result"];
    assert_eq!(result["output"], "quick\n", "{reply}");
    assert_eq!(result["returncode"], 4, "{reply}");
    assert_eq!(client.get(&ref_id(&reply))["output"], "quick\n");
}

#[test]
fn execute_returns_what_there_is_of_a_slow_command() {
    let client = Client::start();
    let gate = Gate::new();
    let reply =
        client.execute(&json!({"cmd": format!("echo slow; {}", gate.wait()), "wait_seconds": 0.3}));
    assert_eq!(reply["result"]["state"], "running", "{reply}");
    let id = ref_id(&reply);
    assert!(text(&reply, "hint").contains(&id), "{reply}");
    gate.open();
    client.wait(&id);
}

#[test]
fn the_cap_depends_on_the_client_and_the_configuration_and_is_named() {
    for (setup, cap) in [
        (Setup::new(), "45"),
        (Setup::new().client("claude-code"), "600"),
        (Setup::new().client("claude-code").flags(["--max-wait-seconds", "7"]), "7"),
    ] {
        let client = setup.start();
        let gate = Gate::new();
        let started = client.execute(&json!({"cmd": gate.wait()}));
        assert!(
            text(&started, "hint")
                .ends_with(&format!("wait_seconds={cap} when you need its result")),
            "{started}"
        );
        gate.open();
        client.wait(&ref_id(&started));
    }
}

#[test]
fn a_wait_beyond_the_cap_is_cut_and_said() {
    let client = Setup::new().flags(["--max-wait-seconds", "0.3"]).start();
    let gate = Gate::new();
    let id = client.begin(&gate.wait());
    let reply = client.call(GET, &json!({"ref_id": id, "wait_seconds": 30_000}));
    let hint = text(&reply, "hint");
    assert!(
        hint.contains("wait_seconds=30000 was cut to 0.3") && hint.contains("seconds"),
        "{hint}"
    );
    // So is one beyond all sense.
    let reply = client.call(GET, &json!({"ref_id": id, "wait_seconds": 1e15}));
    assert!(text(&reply, "hint").contains("was cut to 0.3"), "{reply}");
    let listed = client.call(LIST, &json!({"wait_seconds": 30_000}));
    assert!(text(&listed, "hint").contains("unit is seconds"), "{listed}");
    gate.open();
    client.wait(&id);
}

#[test]
fn a_list_wait_answers_when_any_job_ends() {
    let client = Client::start();
    let gates = [Gate::new(), Gate::new(), Gate::new()];
    let ids = gates.each_ref().map(|gate| client.begin(&gate.wait()));
    for index in [1, 0, 2] {
        let wait = client.post_waiting(LIST, &json!({"wait_seconds": 40}));
        let started = Instant::now();
        gates[index].open();
        let reply = client.reply(wait);
        assert_soon(started);
        let entries = reply["processes"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["ref_id"] == ids[index].as_str()).unwrap();
        assert_eq!(entry["running"], false, "{reply}");
        let next = format!("call get_command_background_result with ref_id=\"{}\"", ids[index]);
        let hint = text(&reply, "hint").to_lowercase();
        assert!(hint.contains(&next), "{hint}");
    }
    let started = Instant::now();
    client.call(LIST, &json!({"wait_seconds": 40}));
    assert_soon(started);
}

#[test]
fn a_list_wait_answers_at_once_for_an_end_nobody_was_told_of() {
    let client = Client::start();
    let (gate, other) = (Gate::new(), Gate::new());
    let id = client.begin(&gate.wait());
    let stays = client.begin(&other.wait());
    gate.open();
    // The end is seen from outside, so that no reply has told of it.
    eventually("the command has ended", || {
        let living = client.living();
        if living.len() == 1 { Ok(()) } else { Err(processes::describe(living)) }
    });
    let started = Instant::now();
    let reply = client.call(LIST, &json!({"wait_seconds": 40}));
    assert_soon(started);
    assert!(reply.to_string().contains(&id), "{reply}");
    other.open();
    client.wait(&stays);
}

#[test]
fn a_cancelled_wait_changes_nothing() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo before; {}; echo after", gate.wait()));
    let waits = [
        client.post(GET, &json!({"ref_id": id, "wait_seconds": 40})),
        client.post(GET, &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "after"})),
        client.post(LIST, &json!({"wait_seconds": 40})),
    ];
    client.ping();
    for wait in waits {
        client.cancel(wait);
    }
    let reply = client.wait_for(&id, "before");
    assert_eq!(reply["running"], true);
    gate.open();
    let reply = client.wait(&id);
    assert_eq!(reply["output"], "before\nafter\n");
    client.ping();
    for wait in waits {
        assert!(!client.is_answered(wait.id), "a cancelled request was answered");
    }
}

#[test]
fn progress_comes_while_a_call_waits_and_not_after() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo working; {}", gate.wait()));
    let request = client.send_request(
        "tools/call",
        &json!({"name": GET, "arguments": {"ref_id": id, "wait_seconds": 40}, "_meta": {"progressToken": "token-1"}}),
    );
    let silent = client.post(GET, &json!({"ref_id": id, "wait_seconds": 40}));
    let told = eventually("two notifications come", || {
        let mut told = client.unread();
        told.retain(|message| message["method"] == "notifications/progress");
        if told.len() >= 2 { Ok(told) } else { Err(format!("{told:?}")) }
    });
    gate.open();
    client.reply(silent);
    let progress: Vec<f64> =
        told.iter().map(|one| one["params"]["progress"].as_f64().unwrap()).collect();
    assert!(progress.is_sorted_by(|earlier, later| earlier < later), "{progress:?}");
    for one in &told {
        assert_eq!(one["params"]["progressToken"], "token-1", "{one}");
        let message = text(&one["params"], "message");
        assert!(message.contains("running") && message.contains('8'), "{message}");
    }
    eventually("the reply has come", || {
        if client.is_answered(request) { Ok(()) } else { Err("no".to_owned()) }
    });
    client.run("true");
    let unread = client.unread();
    let place = unread.iter().position(|message| message["id"] == request).unwrap();
    assert!(
        !unread[place..].iter().any(|message| message["method"] == "notifications/progress"),
        "progress after the reply: {unread:?}"
    );
    assert_eq!(client.answer(request)["result"]["structuredContent"]["running"], false);
}

#[test]
fn a_hundred_waits_at_once_cost_no_cpu() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("{}; echo done", gate.wait()));
    let waits: Vec<_> = (0..100)
        .map(|n| {
            let mut arguments = json!({"ref_id": id, "wait_seconds": 40});
            if n % 2 == 0 {
                arguments["until_pattern"] = json!("done");
            }
            client.post(GET, &arguments)
        })
        .collect();
    client.ping();
    let ticks = || {
        let field = |number| processes::stat_field(client.server_pid(), number).unwrap();
        field(14) + field(15)
    };
    // Until the searches that were just asked for are over, nothing can be said.
    eventually("the server has come to rest", || {
        let before = ticks();
        // What is measured is this time itself.
        std::thread::sleep(Duration::from_millis(500));
        let used = ticks() - before;
        if used <= 1 { Ok(()) } else { Err(format!("{used} ticks in half a second")) }
    });
    let started = Instant::now();
    gate.open();
    for wait in waits {
        assert_eq!(client.reply(wait)["output"], "done\n");
    }
    assert_soon(started);
}

#[test]
fn five_jobs_are_awaited_one_call_for_each_end() {
    let client = Client::start();
    let gates: Vec<_> = (0..5).map(|_| Gate::new()).collect();
    let ids: Vec<_> = gates
        .iter()
        .enumerate()
        .map(|(n, gate)| client.begin(&format!("{}; exit {n}", gate.wait())))
        .collect();
    for n in [3, 1, 4, 0, 2] {
        gates[n].open();
        let reply = client.call(LIST, &json!({"wait_seconds": 40}));
        let newest = reply["processes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["running"] == false)
            .unwrap();
        assert_eq!(newest["ref_id"], ids[n].as_str(), "{reply}");
        assert_eq!(newest["returncode"], n, "{reply}");
    }
}
