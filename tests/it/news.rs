//! What has happened that no reply has told of is told in the next one, once, whatever became of the reply before.

use serde_json::json;

use crate::support::{
    CLEANUP, Client, EXECUTE, GET, Gate, LIST, eventually, pid, processes, ref_id, text, texts,
};

#[test]
fn other_ends_are_named_once_and_no_more_than_five_at_a_time() {
    let client = Client::start();
    let id = client.begin("exec sleep 1000");
    let quick = [(); 8].map(|()| client.post(EXECUTE, &json!({"cmd": "true"})));
    let (mut expected, mut named) = (Vec::new(), Vec::new());
    for posted in quick {
        let reply = client.reply(posted);
        named.extend(texts(&reply["also_ended"]));
        expected.push(ref_id(&reply));
    }
    eventually("all ends are named", || {
        let news = texts(&client.get(&id)["also_ended"]);
        assert!(news.len() <= 5, "{news:?}");
        named.extend(news);
        if named.len() >= expected.len() { Ok(()) } else { Err(format!("{named:?}")) }
    });
    named.sort();
    expected.sort();
    assert_eq!(named, expected);
    assert!(client.get(&id)["also_ended"].is_null());
}

#[test]
fn an_end_told_to_nobody_is_told_again() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&gate.wait());
    let stays = client.begin("exec sleep 1000");
    let wait = client.post_waiting(GET, &json!({"ref_id": id, "wait_seconds": 40}));
    client.cancel(wait);
    client.ping();
    gate.open();
    client.get_until(&stays, "the end is named", |reply| texts(&reply["also_ended"]) == [&*id]);
}

#[test]
fn a_job_whose_execute_was_cancelled_runs_on_and_is_named() {
    let client = Client::start();
    let call = json!({"cmd": "exec sleep 1000", "wait_seconds": 40});
    let posted = client.post(EXECUTE, &call);
    eventually("the command runs", || match client.living() {
        living if living.len() == 1 => Ok(()),
        living => Err(processes::describe(living)),
    });
    client.cancel(posted);
    let named = eventually("the next reply names it", || {
        let reply = client.list();
        texts(&reply["also_started"]).pop().ok_or_else(|| reply.to_string())
    });
    assert_eq!(client.get(&named)["running"], true);
    assert!(client.list()["also_started"].is_null(), "named twice");
}

/// An impatient client repeats its call in the same breath.
#[cfg(target_os = "linux")]
#[test]
fn the_call_right_behind_a_cancellation_knows_of_it() {
    let client = Client::start();
    let call = json!({"cmd": "exec sleep 1000", "wait_seconds": 40});
    let first = client.post_waiting(EXECUTE, &call);
    let first_id = client.list()["processes"][0]["ref_id"].clone();
    let second = processes::suspended(client.server_pid(), || {
        client.cancel(first);
        client.post(EXECUTE, &json!({"cmd": "exec sleep 1000"}))
    });
    let reply = client.reply(second);
    assert_eq!(reply["also_started"], json!([first_id]), "{reply}");
}

#[test]
fn an_execute_cancelled_at_once_starts_nothing_or_is_named() {
    let client = Client::start();
    for n in 0..30 {
        let call = json!({"cmd": format!("sleep 300; : {n}"), "wait_seconds": 40});
        client.cancel(client.post(EXECUTE, &call));
    }
    client.ping();
    let mut named = Vec::new();
    eventually("every job that runs is named", || {
        let reply = client.list();
        named.extend(texts(&reply["also_started"]));
        let listed = reply["count"].as_u64().unwrap();
        if listed == named.len() as u64 { Ok(()) } else { Err(format!("{named:?} of {reply}")) }
    });
    for id in &named {
        client.call(CLEANUP, &json!({"ref_id": id, "grace_seconds": 0.1}));
    }
    assert_eq!(client.list()["count"], 0);
}

#[test]
fn a_list_that_waits_tells_of_every_end_and_then_waits() {
    const JOBS: usize = 45;
    let client = Client::start();
    let (held, gate) = (Gate::new(), Gate::new());
    let running = client.begin(&gate.wait());
    let started: Vec<_> = (0..JOBS).map(|_| client.execute(&json!({"cmd": held.wait()}))).collect();
    (0..JOBS).for_each(|_| held.open());
    // Leaders are reaped after their end is on record, which no reply tells of meanwhile.
    processes::assert_gone(&started.iter().map(pid).collect::<Vec<_>>());
    eventually("all are reaped", || match processes::children(client.server_pid()).len() {
        1 => Ok(()),
        more => Err(more.to_string()),
    });
    // A list that waits shows up to twenty of those whose end it tells.
    let mut told = Vec::new();
    for _ in 0..JOBS.div_ceil(20) {
        let list = client.call(LIST, &json!({"wait_seconds": 45}));
        let entries = list["processes"].as_array().unwrap().iter();
        told.extend(entries.map(|entry| text(entry, "ref_id").to_owned()));
    }
    assert!(started.iter().all(|job| told.contains(&ref_id(job))), "{told:?}");
    let wait = client.post_waiting(LIST, &json!({"wait_seconds": 45}));
    gate.open();
    let list = client.reply(wait);
    assert_eq!(list["processes"][0]["ref_id"], running, "{list}");
}
