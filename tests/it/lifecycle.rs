//! What is said of processes is what the kernel says, and ending a job ends all of it.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::client::{ref_id, text};
use crate::support::processes::{self, assert_gone, is_alive, pids_in};
use crate::support::reply::{CLEANUP, EXECUTE, GET};
use crate::support::{Client, Gate, Setup, eventually};

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
    for (name, number) in [
        ("TERM", 15),
        ("KILL", 9),
        ("SEGV", 11),
        ("HUP", 1),
        ("INT", 2),
        ("PIPE", 13),
    ] {
        let reply = client.run(&format!("kill -{name} $$"));
        assert_eq!(reply["state"], "signaled", "{reply}");
        assert_eq!(reply["returncode"], -number, "{reply}");
        assert_eq!(reply["signal"], format!("SIG{name}"), "{reply}");
    }
    let entry = &client.list()["processes"][0];
    assert_eq!(entry["signal"], "SIGPIPE", "{entry}");
}

#[test]
fn the_directory_is_the_one_asked_for_or_the_servers() {
    let client = Client::start();
    let directory = client.scratch().canonicalize().unwrap();
    let directory = directory.to_str().unwrap();
    let started = client.execute(&json!({"cmd": "pwd", "cwd": directory}));
    assert_eq!(started["cwd"], directory);
    assert_eq!(
        client.wait(&ref_id(&started))["output"],
        format!("{directory}\n")
    );
    let here = std::env::current_dir().unwrap();
    assert_eq!(client.run("pwd")["output"], format!("{}\n", here.display()));
    let other = Setup::new().flags(["--cwd", directory]).start();
    assert_eq!(other.run("pwd")["output"], format!("{directory}\n"));
    std::fs::create_dir(client.scratch().join("below")).unwrap();
    let started = other.execute(&json!({"cmd": "pwd", "cwd": "below"}));
    assert_eq!(
        other.wait(&ref_id(&started))["output"],
        format!("{directory}/below\n")
    );
}

#[test]
fn the_shell_receives_the_command_as_its_last_argument() {
    let client = Setup::new()
        .flags(["--shell", "/bin/echo 'one word' two"])
        .start();
    assert_eq!(client.run("a  b")["output"], "one word two a  b\n");
}

#[test]
fn standard_input_is_empty() {
    let client = Client::start();
    let reply = client.run("cat; echo end");
    assert_eq!(reply["output"], "end\n");
}

#[test]
fn invariant_08_a_child_inherits_nothing_but_its_three_streams() {
    let client = Setup::new()
        .after("exec 7</dev/null 9>/dev/null; trap '' CHLD HUP INT TERM PIPE USR1")
        .start();
    let reply = client.run("ls /proc/$$/fd; grep -E '^Sig(Blk|Ign)' /proc/self/status");
    let output = text(&reply, "output");
    let mut lines = output.lines();
    let descriptors: Vec<_> = lines
        .by_ref()
        .take_while(|line| !line.starts_with("Sig"))
        .collect();
    assert_eq!(descriptors, ["0", "1", "2"], "{output}");
    // The C library's posix_spawn leaves the two signals it uses itself, 32 and 33, ignored.
    let of_the_library = 0b11 << 31;
    for line in output.lines().filter(|line| line.starts_with("Sig")) {
        let mask = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        assert_eq!(mask & !of_the_library, 0, "{output}");
    }
    let reply = client.run("exec 3</dev/tty; echo opened");
    assert_eq!(reply["output"], "", "there is a terminal: {reply}");
}

#[test]
fn an_inherited_ignored_sigchld_loses_no_exit() {
    let client = Setup::new().after("trap '' CHLD").start();
    let reply = client.run("exit 7");
    assert_eq!(reply["returncode"], 7, "{reply}");
}

#[test]
fn the_environment_is_the_servers_own_and_a_marker() {
    let client = Setup::new().environment("COLOUR", "blue and green").start();
    let started = client.execute(&json!({"cmd": "env"}));
    let id = ref_id(&started);
    let reply = client.wait(&id);
    let output = text(&reply, "output");
    assert!(
        output.lines().any(|line| line == "COLOUR=blue and green"),
        "{output}"
    );
    let marker = format!("BACKGROUND_COMMAND_MCP_JOB_{}=1", id.replace('-', ""));
    assert!(output.contains(&marker), "{output}");
}

#[test]
fn invariant_03_a_command_has_ended_when_its_own_process_has() {
    let client = Client::start();
    let started = Instant::now();
    let id = client.begin("sleep 300 & echo started $!");
    let reply = client.wait(&id);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(reply["state"], "exited", "{reply}");
    assert_eq!(reply["returncode"], 0);
    let sleeper: u32 = text(&reply, "output")
        .trim()
        .rsplit(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(reply["leftover_processes"], json!([sleeper]), "{reply}");
    assert!(
        text(&reply, "hint").contains("cleanup_background_process"),
        "{reply}"
    );
    assert!(is_alive(sleeper));
    assert_eq!(client.get(&id)["finished_at"], reply["finished_at"]);
    let cleaned = client.clean_up(&id);
    assert!(text(&cleaned, "message").contains("left"), "{cleaned}");
    assert!(
        !is_alive(sleeper),
        "cleanup answered before the process was gone"
    );
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
    let cmd = format!(
        "{}; head -c 50000 /dev/zero | tr '\\0' x; echo last; echo err >&2",
        gate.wait()
    );
    let started: Vec<_> = (0..12)
        .map(|_| client.execute(&json!({"cmd": cmd})))
        .collect();
    let waits: Vec<_> = started
        .iter()
        .map(|started| {
            client.post(
                GET,
                &json!({"ref_id": started["ref_id"], "wait_seconds": 40}),
            )
        })
        .collect();
    client.ping();
    processes::signal(client.pid(), Signal::STOP);
    for _ in &started {
        gate.open();
    }
    for started in &started {
        assert_gone(&[u32::try_from(started["pid"].as_u64().unwrap()).unwrap()]);
    }
    processes::signal(client.pid(), Signal::CONT);
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
    let id = client.begin(&format!(
        "( {}; echo late; echo later >&2 ) & echo early",
        gate.wait()
    ));
    let reply = client.wait(&id);
    assert_eq!(reply["output"], "early\n");
    assert_eq!(
        reply["leftover_processes"].as_array().unwrap().len(),
        1,
        "{reply}"
    );
    gate.open();
    let after = client.released(&id);
    assert_eq!(after["output"], "early\nlate\n", "{after}");
    assert_eq!(after["error"], "later\n", "{after}");
    for key in ["state", "returncode", "finished_at", "elapsed_seconds"] {
        assert_eq!(after[key], reply[key], "{key} changed after the end");
    }
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
        if is_error {
            Err(reply.to_string())
        } else {
            Ok(())
        }
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
    assert_eq!(
        processes::state(leader),
        Some('Z'),
        "reaped while its group lives"
    );
    gate.open();
    client.released(&id);
    eventually("the leader is reaped", || match processes::state(leader) {
        None => Ok(()),
        state => Err(format!("{state:?}")),
    });
    assert_eq!(client.get(&id)["returncode"], 5);
}

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
    assert!(
        result["output_path"].is_null() && result["cursor"].is_null(),
        "{reply}"
    );
    assert_eq!(client.list()["count"], 0);
    assert!(
        client.output_files().is_empty(),
        "{:?}",
        client.output_files()
    );
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
    assert!(
        text(&reply, "message").contains("had ended by itself"),
        "{reply}"
    );
    assert_eq!(reply["result"]["state"], "exited");
    let again = client.clean_up(&id);
    assert!(
        text(&again, "message").contains("nothing left to do"),
        "{again}"
    );
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
    assert!(
        client.living().is_empty(),
        "{}",
        processes::describe(client.living())
    );
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

#[test]
fn ending_one_job_delays_no_other_call() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!(
        "trap '' TERM; echo ready; while :; do {}; done",
        gate.wait()
    ));
    client.wait_for(&id, "ready");
    let slow = client.post(CLEANUP, &json!({"ref_id": id, "grace_seconds": 20}));
    let started = Instant::now();
    assert_eq!(client.run("echo quick")["output"], "quick\n");
    client.list();
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert!(!client.is_answered(slow.id), "the job ended too early");
    client.call(CLEANUP, &json!({"ref_id": client.begin("true")}));
    processes::signal(client.living()[0], Signal::KILL);
    client.reply(slow);
}

/// Starts a command that prints the pids of its processes and then `ready`; ends it; all must be gone.
#[track_caller]
fn assert_ended_whole(cmd: &str, processes: usize) {
    let client = Client::start();
    let id = client.begin(cmd);
    let reply = eventually("all processes have said their pids", || {
        let reply = client.get(&id);
        if pids_in(&reply["output"]).len() == processes {
            Ok(reply)
        } else {
            Err(reply.to_string())
        }
    });
    let pids = pids_in(&reply["output"]);
    assert!(
        pids.iter().all(|pid| is_alive(*pid)),
        "{}",
        processes::describe(pids)
    );
    let cleaned = client.call(CLEANUP, &json!({"ref_id": id, "grace_seconds": 0.2}));
    let alive: Vec<_> = pids.iter().copied().filter(|pid| is_alive(*pid)).collect();
    assert!(
        alive.is_empty(),
        "alive when cleanup answered: {}; {cleaned}",
        processes::describe(alive)
    );
}

#[test]
fn cleanup_ends_children_and_grandchildren() {
    assert_ended_whole(
        "sh -c 'sleep 300 & echo $!; echo $$; wait' & echo $$; wait",
        3,
    );
}

#[test]
fn cleanup_ends_a_pipeline() {
    assert_ended_whole("echo $$; sh -c 'echo $$ >&2; exec sleep 300' 2>&1 | cat", 2);
}

#[test]
fn cleanup_ends_a_process_in_a_session_of_its_own() {
    assert_ended_whole("setsid sh -c 'echo $$; sleep 300' & echo $$; wait", 2);
}

#[test]
fn cleanup_ends_a_daemon_that_forked_twice() {
    assert_ended_whole(
        "( setsid sh -c 'sh -c \"echo \\$\\$; exec sleep 300\" & exit' & ) ; exec sh -c 'echo $$; exec sleep 300'",
        2,
    );
}

#[test]
fn cleanup_ends_a_daemon_without_the_marker() {
    assert_ended_whole(
        "env -i setsid sh -c 'echo $$; exec sleep 300' & echo $$; wait",
        2,
    );
    // Its parent ends, so that only adoption can find it.
    assert_ended_whole(
        "( env -i setsid sh -c 'echo $$; exec sleep 300' & ) ; exec sh -c 'echo $$; exec sleep 300'",
        2,
    );
}

#[test]
fn cleanup_ends_a_daemon_after_its_command_has_ended() {
    assert_ended_whole("( env -i setsid sh -c 'echo $$; exec sleep 300' & )", 1);
}

#[test]
fn cleanup_ends_those_who_ignore_term() {
    assert_ended_whole(
        "setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.1; done' & trap '' TERM; echo $$; wait",
        2,
    );
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
    let id = client.begin(&format!(
        "sh '{}'; echo ready; exec sleep 300",
        chain.display()
    ));
    client.wait_for(&id, "ready");
    client.call(CLEANUP, &json!({"ref_id": id, "grace_seconds": 0.1}));
    let left = client.living();
    assert!(left.is_empty(), "{}", processes::describe(left));
}

#[test]
fn a_job_that_closes_its_output_is_still_running() {
    let client = Client::start();
    let gate = Gate::new();
    let id = client.begin(&format!(
        "echo closing; exec >&- 2>&-; {}; exit 6",
        gate.wait()
    ));
    client.wait_for(&id, "closing");
    let reply = client.get(&id);
    assert_eq!(reply["running"], true, "{reply}");
    gate.open();
    assert_eq!(client.wait(&id)["returncode"], 6);
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
fn standard_input_takes_a_megabyte_to_a_reader() {
    let client = Client::start();
    let megabyte = "0123456789abcde\n".repeat(65_536);
    let started = client.execute(&json!({"cmd": "wc -c; echo end", "stdin": megabyte}));
    let reply = client.wait(&ref_id(&started));
    let words: Vec<_> = text(&reply, "output").split_whitespace().collect();
    assert_eq!(words, ["1048576", "end"], "{reply}");
}

#[test]
fn standard_input_that_nobody_reads_hinders_nothing() {
    let client = Client::start();
    let megabyte = "x".repeat(1 << 20);
    let started =
        client.execute(&json!({"cmd": "echo end", "stdin": megabyte, "wait_seconds": 20}));
    assert_eq!(started["result"]["output"], "end\n", "{started}");
    let first_line = client.execute(&json!({"cmd": "read -r line; echo \"got $line\"", "stdin": "one\ntwo\n", "wait_seconds": 20}));
    assert_eq!(first_line["result"]["output"], "got one\n", "{first_line}");
}

#[test]
fn a_job_is_found_while_it_is_being_started_by_others() {
    let client = Client::start();
    let posted: Vec<_> = (0..20)
        .map(|n| {
            client.post(
                EXECUTE,
                &json!({"cmd": format!("echo {n}"), "wait_seconds": 30}),
            )
        })
        .collect();
    for (n, posted) in posted.into_iter().enumerate() {
        let reply = client.reply(posted);
        assert_eq!(reply["result"]["output"], format!("{n}\n"), "{reply}");
        assert_eq!(reply["error"], Value::Null);
    }
}
