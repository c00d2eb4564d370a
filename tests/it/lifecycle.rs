//! What is said of a job's processes is what the kernel says.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    Client, EXECUTE, GET, Gate, Setup, eventually,
    processes::{self, assert_gone, is_alive, pids_in},
    ref_id, text,
};

#[test]
fn exit_codes_are_reported_as_they_are() {
    let client = Client::start();
    for code in [0, 1, 2, 42, 255] {
        let reply = client.run(&format!("exit {code}"));
        assert_eq!(reply["state"], "exited", "{reply}");
        assert_eq!(reply["returncode"], code, "{reply}");
    }
}

#[test]
fn a_signal_is_reported_by_number_and_name() {
    let client = Client::start();
    for (name, number) in
        [("TERM", 15), ("KILL", 9), ("SEGV", 11), ("HUP", 1), ("INT", 2), ("PIPE", 13)]
    {
        let reply = client.run(&format!("kill -{name} $$"));
        assert_eq!(reply["state"], "signaled", "{reply}");
        assert_eq!(reply["returncode"], -number, "{reply}");
        assert_eq!(reply["signal"], format!("SIG{name}"), "{reply}");
    }
    let entry = &client.list()["processes"][0];
    assert_eq!(entry["signal"], "SIGPIPE", "{entry}");
}

#[test]
fn invariant_03_a_command_has_ended_when_its_own_process_has() {
    let client = Client::start();
    let started = Instant::now();
    let id = client.begin("sleep 300 & echo started $!");
    let reply = client.wait(&id);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(reply["state"], "exited", "{reply}");
    assert_eq!(reply["returncode"], 0);
    let sleeper: u32 = text(&reply, "output").trim().rsplit(' ').next().unwrap().parse().unwrap();
    assert_eq!(reply["leftover_processes"], json!([sleeper]), "{reply}");
    assert!(text(&reply, "hint").contains("cleanup_background_process"), "{reply}");
    assert!(is_alive(sleeper));
    assert_eq!(client.get(&id)["finished_at"], reply["finished_at"]);
    let cleaned = client.clean_up(&id);
    assert!(text(&cleaned, "message").contains("left"), "{cleaned}");
    assert!(!is_alive(sleeper), "cleanup answered before the process was gone");
}

#[test]
fn invariant_03_what_was_written_before_the_end_is_there_when_the_end_is() {
    let client = Client::start();
    // More than a pipe holds on one stream, so that reading and ending race.
    let ids: Vec<_> = (0..20)
        .map(|_| client.begin("head -c 200000 /dev/zero | tr '\\0' x; echo last; echo err >&2"))
        .collect();
    for id in ids {
        let reply = client.wait(&id);
        let output = text(&reply, "output");
        assert!(output.ends_with("last\n"), "{reply}");
        assert_eq!(reply["error"], "err\n");
        assert_eq!(reply["output_bytes"], 200_005, "{reply}");
    }
}

/// The server is stopped while the commands write and end, so that it learns of everything in the same instant.
#[test]
fn invariant_03_the_pipes_are_read_before_anyone_hears_of_the_end() {
    let client = Client::start();
    let gate = Gate::new();
    let cmd =
        format!("{}; head -c 50000 /dev/zero | tr '\\0' x; echo last; echo err >&2", gate.wait());
    let started: Vec<_> = (0..12).map(|_| client.execute(&json!({"cmd": cmd}))).collect();
    let waits: Vec<_> = started
        .iter()
        .map(|started| client.post(GET, &json!({"ref_id": started["ref_id"], "wait_seconds": 40})))
        .collect();
    client.ping();
    processes::signal(client.server_pid(), Signal::STOP);
    for _ in &started {
        gate.open();
    }
    for started in &started {
        assert_gone(&[u32::try_from(started["pid"].as_u64().unwrap()).unwrap()]);
    }
    processes::signal(client.server_pid(), Signal::CONT);
    for wait in waits {
        let reply = client.reply(wait);
        assert!(text(&reply, "output").ends_with("xlast\n"), "{reply}");
        assert_eq!(reply["output_bytes"], 50_005, "{reply}");
        assert_eq!(reply["error"], "err\n", "{reply}");
    }
}

#[test]
fn invariant_03_a_leftovers_output_is_still_captured() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("( {}; echo late; echo later >&2 ) & echo early", gate.wait()));
    let reply = client.wait(&id);
    assert_eq!(reply["output"], "early\n");
    assert_eq!(reply["leftover_processes"].as_array().unwrap().len(), 1, "{reply}");
    gate.open();
    let after = client.released(&id);
    assert_eq!(after["output"], "early\nlate\n", "{after}");
    assert_eq!(after["error"], "later\n", "{after}");
    for key in ["state", "returncode", "finished_at", "elapsed_seconds"] {
        assert_eq!(after[key], reply[key], "{key} changed after the end");
    }
}

/// Not only those at the top, which the server has adopted.
#[cfg(target_os = "linux")]
#[test]
fn all_that_a_command_left_is_named() {
    let client = Client::start();
    let id = client.begin("(sh -c 'sleep 300 & sleep 300 & echo $$; echo $!; wait' &)");
    client.wait(&id);
    let reply = eventually("both have said their pids", || {
        let reply = client.get(&id);
        match processes::pids_in(&reply["output"]).len() {
            2 if reply["processes"] == 3 => Ok(reply),
            _ => Err(reply.to_string()),
        }
    });
    let left = reply["leftover_processes"].as_array().unwrap();
    assert_eq!(left.len(), 3, "{reply}");
    for pid in processes::pids_in(&reply["output"]) {
        assert!(left.contains(&json!(pid)), "{reply}");
    }
    client.clean_up(&id);
}

#[test]
fn invariant_04_a_leftover_keeps_the_slot_and_is_not_killed() {
    let client = Setup::new().flags(["--max-running", "1"]).start();
    let gate = Gate::new();
    let id = client.begin(&format!("( {} ) >/dev/null 2>&1 & echo $!", gate.wait()));
    let reply = client.wait(&id);
    let leftover = pids_in(&reply["output"])[0];
    let refusal = client.refused(EXECUTE, &json!({"cmd": "true"}));
    assert!(text(&refusal, "error").contains(&id), "{refusal}");
    assert!(is_alive(leftover));
    gate.open();
    client.released(&id);
    eventually("the slot is free", || {
        let (reply, is_error) = client.outcome(client.post(EXECUTE, &json!({"cmd": "true"})));
        if is_error { Err(reply.to_string()) } else { Ok(()) }
    });
}

#[test]
fn invariant_05_the_leader_is_reaped_last() {
    let client = Client::start();
    let gate = Gate::new();
    let started = client.execute(&json!({"cmd": format!("( {} ) & exit 5", gate.wait())}));
    let leader = u32::try_from(started["pid"].as_u64().unwrap()).unwrap();
    let id = ref_id(&started);
    let reply = client.wait(&id);
    assert_eq!(reply["returncode"], 5);
    assert_eq!(processes::state(leader), Some('Z'), "reaped while its group lives");
    gate.open();
    client.released(&id);
    eventually("the leader is reaped", || match processes::state(leader) {
        None => Ok(()),
        state => Err(format!("{state:?}")),
    });
    assert_eq!(client.get(&id)["returncode"], 5);
}

#[test]
fn a_job_that_closes_its_output_is_still_running() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!("echo closing; exec >&- 2>&-; {}; exit 6", gate.wait()));
    client.wait_for(&id, "closing");
    let reply = client.get(&id);
    assert_eq!(reply["running"], true, "{reply}");
    gate.open();
    assert_eq!(client.wait(&id)["returncode"], 6);
}

#[test]
fn a_job_is_found_while_it_is_being_started_by_others() {
    let client = Client::start();
    let posted: Vec<_> = (0..20)
        .map(|n| client.post(EXECUTE, &json!({"cmd": format!("echo {n}"), "wait_seconds": 30})))
        .collect();
    for (n, posted) in posted.into_iter().enumerate() {
        let reply = client.reply(posted);
        assert_eq!(reply["result"]["output"], format!("{n}\n"), "{reply}");
        assert_eq!(reply["error"], Value::Null);
    }
}
