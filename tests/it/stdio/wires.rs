//! How a conversation is held and closed, on FIFOs and on socket pairs.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    Client, EXECUTE, GET, Gate, LIST, Setup, WIRES, Wire, call, eventually, pid, processes,
};

/// More answers than a pipe holds, which nobody reads.
fn ask_for_much(client: &Client) {
    for _ in 0..100 {
        client.send_request("tools/list", &json!({}));
    }
    client.await_output();
}

#[test]
fn invariant_09_calls_before_the_end_of_input_are_answered() {
    for wire in WIRES {
        let client = Setup::on(wire).spawn();
        let calls: String =
            (0..200).map(|id| format!("{}\n", call(id, LIST, &json!({})))).collect();
        client.write(calls.as_bytes());
        client.close_input();
        let mut ids: Vec<_> = (0..200).map(|_| client.expect()["id"].as_u64()).collect();
        ids.sort_unstable();
        assert!(ids.iter().copied().eq((0..200).map(Some)), "{ids:?}");
        client.finish();
    }
}

#[test]
fn invariant_09_calls_under_way_are_answered_at_the_end_with_what_is_so() {
    for (wire, signal) in [(Wire::Fifo, None), (Wire::Socket, Some(Signal::TERM))] {
        let client = Setup::on(wire).start();
        let gate = Gate::new();
        let id = client.begin(&gate.wait());
        let waits = [
            client.post(GET, &json!({"ref_id": id, "wait_seconds": 40})),
            client.post(GET, &json!({"ref_id": id, "wait_seconds": 40, "until_pattern": "never"})),
            client.post(LIST, &json!({"wait_seconds": 40})),
            client.post(EXECUTE, &json!({"cmd": gate.wait(), "wait_seconds": 40})),
        ];
        eventually("the second job runs", || match &client.list()["count"] {
            count if *count == 2 => Ok(()),
            count => Err(count.to_string()),
        });
        match signal {
            None => client.close_input(),
            Some(signal) => processes::signal(client.pid(), signal),
        }
        for wait in waits {
            let reply = client.reply(wait);
            assert!(reply.to_string().contains("\"running\":true"), "{reply}");
            assert!(reply["hint"].is_null(), "there is no next call: {reply}");
        }
        client.finish();
    }
}

#[test]
fn a_server_whose_output_nobody_reads_any_more_ends_with_its_jobs() {
    for wire in WIRES {
        // It is idle, it waits, it is in the midst of its answers.
        let [idle, waiting, answering] = [(); 3].map(|()| Setup::on(wire).start());
        let started = waiting.execute(&json!({"cmd": "sleep 1000"}));
        waiting.post(GET, &json!({"ref_id": started["ref_id"], "wait_seconds": 40}));
        ask_for_much(&answering);
        for client in [idle, waiting, answering] {
            client.close_output();
            let end = client.end();
            assert!(end.status.success(), "{end:?}");
            client.assert_nothing_left();
        }
        processes::assert_gone(&[pid(&started)]);
    }
}

/// Both directions on one socket, as inetd and its heirs do it; the client ends its half and goes on reading.
#[test]
fn one_socket_for_both_directions_may_be_half_closed() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let input = (ours.try_clone().unwrap().into(), theirs.try_clone().unwrap().into());
    let half = ours.try_clone().unwrap();
    let client = Setup::new().streams(input, (ours.into(), theirs.into())).start();
    let gate = Gate::new();
    let job = client.begin(&gate.wait());
    let wait = client.post_waiting(GET, &json!({"ref_id": job, "wait_seconds": 40}));
    half.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.reply(wait)["state"], "running");
    drop(half);
    client.finish();
}

#[test]
fn flags_of_shared_descriptions_stay_as_they_were_and_nonblocking_ones_are_served() {
    for (input, output) in [(Wire::Fifo, Wire::Socket), (Wire::Socket, Wire::Fifo)] {
        for is_nonblocking in [false, true] {
            let (input, output, log) = (input.input(), output.output(), output.output());
            for end in [&input.1, &output.1, &log.1].into_iter().filter(|_| is_nonblocking) {
                fcntl_setfl(end, fcntl_getfl(end).unwrap() | OFlags::NONBLOCK).unwrap();
            }
            let ends = [&input.0, &input.1, &output.0, &output.1, &log.0, &log.1];
            // A duplicate shares its description, as the client's own copy does with the server's.
            let ends = ends.map(|end| end.try_clone().unwrap());
            let flags = || ends.each_ref().map(|end| fcntl_getfl(end.as_fd()).unwrap());
            let before = flags();
            let client = Setup::new().streams(input, output).log_to(log.1).start();
            assert_eq!(client.run("echo hello")["output"], "hello\n");
            assert_eq!(flags(), before, "after a job");
            // Both directions full: the server has to wait for room.
            ask_for_much(&client);
            assert_eq!(flags(), before, "with unread answers");
            client.ping();
            assert_eq!(client.unread().len(), 100);
            // Not by closing its input, of which there is a duplicate here.
            processes::signal(client.pid(), Signal::TERM);
            client.end();
            client.assert_nothing_left();
            assert_eq!(flags(), before, "after the end");
        }
    }
}
