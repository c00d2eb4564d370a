//! Nothing grows with the number of jobs or with what they write.

use serde_json::json;

use crate::support::{Client, EXECUTE, GET, Setup, eventually, processes, ref_id, text};

/// Starts this many commands, fifty at a time, and waits for each.
#[track_caller]
fn run_many(client: &Client, count: usize) {
    for _ in 0..count / 50 {
        let posted: Vec<_> = (0..50)
            .map(|_| client.post(EXECUTE, &json!({"cmd": "echo x", "wait_seconds": 40})))
            .collect();
        for posted in posted {
            assert_eq!(client.reply(posted)["result"]["output"], "x\n");
        }
    }
}

#[test]
fn a_thousand_short_jobs_leave_nothing_behind() {
    let client = Setup::new()
        .flags(["--max-finished", "100", "--retention-seconds", "2", "--log", "warn"])
        .start();
    run_many(&client, 200);
    let all_expired = || {
        eventually("all results have expired", || {
            let listed = client.list();
            if listed["count"] == 0 { Ok(()) } else { Err(listed["count"].to_string()) }
        });
    };
    all_expired();
    let measure = || {
        let pid = client.server_pid();
        let children = processes::children(pid).len();
        (processes::open_descriptors(pid), processes::status_number(pid, "Threads"), children)
    };
    // Threads for files come and go, so that there may be fewer later.
    let rest = measure();
    let memory = processes::status_number(client.server_pid(), "VmRSS");
    run_many(&client, 1000);
    all_expired();
    eventually("descriptors, threads and children are where they were", || {
        let now = measure();
        if now.0 == rest.0 && now.1 <= rest.1 && now.2 == rest.2 {
            Ok(())
        } else {
            Err(format!("{now:?} after {rest:?}"))
        }
    });
    // Results are gone for everybody before the first of their files is.
    client.await_output_files(0);
    let after = processes::status_number(client.server_pid(), "VmRSS");
    assert!(after <= memory + 4096, "{after} kB after {memory} kB");
}

#[test]
fn three_hundred_megabytes_on_both_streams_leave_the_server_small() {
    let client = Client::start();
    let flood =
        "yes 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd | head -c 300000000";
    let started = client.execute(&json!({"cmd": format!("{flood} >&2 & {flood}; wait")}));
    let id = ref_id(&started);
    let reply = client.wait(&id);
    for key in ["output_bytes", "error_bytes"] {
        assert_eq!(reply[key], 300_000_000, "{reply}");
    }
    let kept = client.bytes_on_disk();
    assert!(kept <= 128 << 20, "{kept} bytes are kept");
    assert_eq!(reply["dropped_bytes"], 600_000_000 - kept, "{reply}");
    let search = json!({"ref_id": id, "until_pattern": "not there", "max_chars": 100_000});
    let reply = client.call(GET, &search);
    assert!(text(&reply, "output").len() + text(&reply, "error").len() > 80_000);
    let peak = processes::status_number(client.server_pid(), "VmHWM");
    assert!(peak < 32 * 1024, "the server took {peak} kB");
}
