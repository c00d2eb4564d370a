//! What is said of a job's processes is what the kernel says.

use std::time::Instant;

use rustix::process::Signal;
use serde_json::json;

use crate::support::processes::{assert_gone, is_alive, pids_in, signal, state};
use crate::support::{
    Client, EXECUTE, GET, Gate, Setup, assert_soon, eventually, pid, ref_id, text,
};

#[test]
fn exits_and_signals_are_reported_as_they_are() {
    let client = Client::start();
    for code in [0, 1, 2, 42, 255] {
        let reply = client.run(&format!("exit {code}"));
        assert_eq!((text(&reply, "state"), &reply["returncode"]), ("exited", &json!(code)));
    }
    for (name, number) in
        [("TERM", 15), ("KILL", 9), ("SEGV", 11), ("HUP", 1), ("INT", 2), ("PIPE", 13)]
    {
        let reply = client.run(&format!("kill -{name} $$"));
        assert_eq!((text(&reply, "state"), &reply["returncode"]), ("signaled", &json!(-number)));
        assert_eq!(reply["signal"], format!("SIG{name}"), "{reply}");
    }
    let entry = &client.list()["processes"][0];
    assert_eq!(entry["signal"], "SIGPIPE", "{entry}");
}

#[test]
fn invariant_03_a_command_has_ended_when_its_own_process_has_and_all_it_left_is_named() {
    let client = Client::start();
    let started = Instant::now();
    let id = client.begin("sh -c 'sleep 300 & echo $$; echo $!; wait' &");
    let reply = client.wait(&id);
    assert_soon(started);
    assert_eq!((text(&reply, "state"), &reply["returncode"]), ("exited", &json!(0)), "{reply}");
    assert!(text(&reply, "hint").contains("cleanup_background_process"), "{reply}");
    // Not only those at the top, which the server has adopted.
    let reply = client
        .get_until(&id, "both have said their pids", |reply| pids_in(&reply["output"]).len() == 2);
    let (pids, left) = (pids_in(&reply["output"]), &reply["leftover_processes"]);
    assert_eq!(left.as_array().unwrap().len(), 2, "{reply}");
    assert!(pids.iter().all(|pid| left.to_string().contains(&pid.to_string())), "{reply}");
    let cleaned = client.clean_up(&id);
    assert!(text(&cleaned, "message").contains("left"), "{cleaned}");
    assert!(!pids.into_iter().any(is_alive), "cleanup answered before the processes were gone");
}

/// The server is stopped while the commands write and end, so that it learns of everything in the same instant.
#[test]
fn invariant_03_the_pipes_are_read_before_anyone_hears_of_the_end() {
    let client = Client::start();
    let gate = Gate::new();
    // More than a pipe holds, and less.
    for (bytes, is_stopped) in [(200_000, false), (50_000, true)] {
        let print = format!("head -c {bytes} /dev/zero | tr '\\0' x; echo last; echo err >&2");
        let cmd = json!({"cmd": format!("{}; {print}", gate.wait())});
        let started = [(); 12].map(|()| client.execute(&cmd));
        let wait = |job| client.post(GET, &json!({"ref_id": ref_id(job), "wait_seconds": 40}));
        let waits = started.each_ref().map(wait);
        client.ping();
        let let_go = || started.iter().for_each(|_| gate.open());
        if is_stopped {
            crate::support::processes::suspended(client.server_pid(), || {
                let_go();
                assert_gone(&started.each_ref().map(pid));
            });
        } else {
            let_go();
        }
        for wait in waits {
            let reply = client.reply(wait);
            assert!(text(&reply, "output").ends_with("xlast\n"), "{reply}");
            assert_eq!(reply["output_bytes"], bytes + 5, "{reply}");
            assert_eq!(reply["error"], "err\n", "{reply}");
        }
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
    assert_eq!((text(&after, "output"), text(&after, "error")), ("early\nlate\n", "later\n"));
    for key in ["state", "returncode", "finished_at", "elapsed_seconds"] {
        assert_eq!(after[key], reply[key], "{key} changed after the end");
    }
}

#[test]
fn invariant_04_a_leftover_keeps_the_slot_and_is_not_killed() {
    let client = Setup::new().flags(["--max-running", "1"]).start();
    let gate = Gate::new();
    let id = client.begin(&format!("( {} ) >/dev/null 2>&1 & echo $!", gate.wait()));
    let leftover = pids_in(&client.wait(&id)["output"])[0];
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
    let (id, leader) = (ref_id(&started), pid(&started));
    assert_eq!(client.wait(&id)["returncode"], 5);
    assert_eq!(state(leader), Some('Z'), "reaped while its group lives");
    gate.open();
    client.released(&id);
    eventually("the leader is reaped", || match state(leader) {
        None => Ok(()),
        state => Err(format!("{state:?}")),
    });
    assert_eq!(client.get(&id)["returncode"], 5);
}

#[test]
fn a_job_that_is_stopped_or_closes_its_output_is_still_running() {
    let client = Client::start();
    let gate = Gate::new();
    let cmd = format!("echo closing; exec >&- 2>&-; {}; exit 6", gate.wait());
    let started = client.execute(&json!({"cmd": cmd}));
    let id = ref_id(&started);
    client.wait_for(&id, "closing");
    assert_eq!(client.get(&id)["running"], true);
    signal(pid(&started), Signal::STOP);
    gate.open();
    assert_eq!(client.get(&id)["running"], true);
    signal(pid(&started), Signal::CONT);
    assert_eq!(client.wait(&id)["returncode"], 6);
}
