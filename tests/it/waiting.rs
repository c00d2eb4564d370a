//! One call waits for what an agent waits for, and waiting changes nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

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
    assert_eq!((text(&reply, "state"), text(&reply, "output")), ("exited", "done\n"));
    // What has happened is answered at once.
    client.wait_for(&id, "done");
    let never = json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "not there"});
    assert!(client.call(GET, &never)["matched"].is_null());
    assert_soon(started);
}

#[test]
fn a_wait_that_runs_out_answers_with_what_there_is() {
    let client = Client::start();
    let gate = Gate::new();
    let started = Instant::now();
    let cmd = format!("echo so far; {}", gate.wait());
    let reply = client.execute(&json!({"cmd": cmd, "wait_seconds": 0.3}));
    let id = ref_id(&reply);
    assert!(text(&reply, "hint").contains(&id), "{reply}");
    let later = client.call(GET, &json!({"ref_id": id, "wait_seconds": 0.3}));
    assert!(started.elapsed() >= Duration::from_millis(600), "{:?}", started.elapsed());
    for seen in [&reply["result"], &later] {
        assert_eq!((text(seen, "state"), text(seen, "output")), ("running", "so far\n"), "{seen}");
    }
    gate.open();
    assert_eq!(client.wait(&id)["returncode"], 0);
}

#[test]
fn the_cap_depends_on_the_client_and_the_configuration_and_is_named() {
    for (setup, cap) in [
        (Setup::new(), "45"),
        (Setup::new().client("claude-code"), "600"),
        (Setup::new().client("claude-code").flags(["--max-wait-seconds", "7"]), "7"),
    ] {
        let started = setup.start().execute(&json!({"cmd": "sleep 1000"}));
        let ending = format!("wait_seconds={cap} when you need its result");
        assert!(text(&started, "hint").ends_with(&ending), "{started}");
    }
    let client = Setup::new().flags(["--max-wait-seconds", "0.3"]).start();
    let id = client.begin("sleep 1000");
    for (tool, wait, said) in [
        (GET, 30_000.0, "wait_seconds=30000 was cut to 0.3"),
        (GET, 1e15, "was cut to 0.3"),
        (LIST, 30_000.0, "within 0.3 s (the most for one call"),
    ] {
        let mut call = json!({"wait_seconds": wait});
        if tool == GET {
            call["ref_id"] = json!(id);
        }
        let reply = client.call(tool, &call);
        let hint = text(&reply, "hint");
        assert!(hint.contains(said) && hint.contains("seconds"), "{hint}");
    }
}

#[test]
fn several_jobs_are_awaited_one_call_for_each_end() {
    let client = Client::start();
    let gates: Vec<_> = (0..5).map(|_| Gate::new()).collect();
    let begin = |(n, gate): (usize, &Gate)| client.begin(&format!("{}; exit {n}", gate.wait()));
    let ids: Vec<_> = gates.iter().enumerate().map(begin).collect();
    let mut characters = 0;
    for n in [3, 1, 4, 0, 2] {
        let wait = client.post_waiting(LIST, &json!({"wait_seconds": 40}));
        let started = Instant::now();
        gates[n].open();
        let reply = client.reply(wait);
        assert_soon(started);
        let mut entries = reply["processes"].as_array().unwrap().iter();
        let ended = entries.find(|entry| entry["running"] == false).unwrap();
        assert_eq!((text(ended, "ref_id"), &ended["returncode"]), (&*ids[n], &json!(n)), "{reply}");
        let next = format!("call {GET} with ref_id=\"{}\"", ids[n]);
        assert!(text(&reply, "hint").to_lowercase().contains(&next), "{reply}");
        characters += reply.to_string().len();
    }
    assert!(characters <= 7000, "{characters} characters");
    let started = Instant::now();
    client.call(LIST, &json!({"wait_seconds": 40}));
    assert_soon(started);
}

#[test]
fn progress_comes_while_a_call_waits_and_not_after() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo working; {}", gate.wait()));
    let wait = json!({"ref_id": id, "wait_seconds": 40});
    let call = json!({"name": GET, "arguments": wait, "_meta": {"progressToken": "token-1"}});
    let request = client.send_request("tools/call", &call);
    let is_progress = |message: &Value| message["method"] == "notifications/progress";
    let told = eventually("two notifications come", || {
        let mut told = client.unread();
        told.retain(is_progress);
        if told.len() >= 2 { Ok(told) } else { Err(format!("{told:?}")) }
    });
    let progress = told.iter().map(|one| one["params"]["progress"].as_f64().unwrap());
    assert!(progress.is_sorted_by(|earlier, later| earlier < later), "{told:?}");
    for one in &told {
        assert_eq!(one["params"]["progressToken"], "token-1", "{one}");
        let message = text(&one["params"], "message");
        assert!(message.contains("running") && message.contains('8'), "{message}");
    }
    // A call without a token is told nothing.
    let silent = client.post(GET, &wait);
    gate.open();
    client.reply(silent);
    eventually("the reply has come", || {
        if client.is_answered(request) { Ok(()) } else { Err(format!("{:?}", client.unread())) }
    });
    client.run("true");
    let unread = client.unread();
    let place = unread.iter().position(|message| message["id"] == request).unwrap();
    assert!(!unread[place..].iter().any(is_progress), "progress after the reply: {unread:?}");
    assert_eq!(client.answer(request)["result"]["structuredContent"]["running"], false);
}

#[test]
fn invariant_09_a_thousand_waits_at_once_cost_no_cpu_and_are_answered_once_each() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("{}; echo through", gate.wait()));
    let kinds = [
        (GET, json!({"ref_id": id, "wait_seconds": 40})),
        (GET, json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "through"})),
        (LIST, json!({"wait_seconds": 40})),
    ];
    let kinds = kinds.iter().cycle().take(1000);
    let waits: Vec<_> = kinds.map(|(tool, arguments)| client.post(tool, arguments)).collect();
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
    assert!(client.unread().is_empty(), "answered before there was a reason");
    gate.open();
    for wait in waits {
        client.reply(wait);
    }
    client.ping();
    assert!(client.unread().is_empty(), "answered twice: {:?}", client.unread());
}
