//! Whatever a job's processes do to get away, they end with its cleanup, its time limit and its server, however that ends.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{DEAF, as_an_ordinary_user, can, pids_of};
use crate::support::{
    CLEANUP, Client, EXECUTE, Gate, SERVER, Setup, call, eventually, initialize, processes, ref_id,
};

/// Within this time after the end of the server everything has to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(3);

/// A command and how many pids it prints, each of a process that lives until it is ended.
type Shape = (String, usize);

/// Shapes of which every process can be known as its job's while other jobs run.
fn shapes() -> Vec<Shape> {
    const LIVE: &str = "echo $$; exec sleep 1000";
    vec![
        (DEAF.to_owned(), 1),
        (format!(r#"sh -c 'sh -c "echo \$\$; exec sleep 1000" & {LIVE}' & {LIVE}"#), 3),
        (format!("sh -c '{LIVE}' | cat"), 1),
        ("echo $$; kill -STOP $$; sleep 1000".to_owned(), 1),
        (format!("setsid sh -c '{DEAF}' & {DEAF}"), 2),
        (format!("(sh -c '{DEAF}' &); (setsid sh -c '{DEAF}' &); {DEAF}"), 3),
        (format!("nohup sh -c '{DEAF}' & disown; {LIVE}"), 2),
        (format!("(setsid nohup sh -c '(setsid sh -c \"$0\" &)' '{DEAF}' &)"), 1),
        (format!("env -i setsid sh -c '{DEAF}' & wait"), 1),
    ]
}

/// A server whose own job has left its group.
fn server_in_a_job(scratch: &Path) -> Shape {
    let path = |name: &str| scratch.join(name).display().to_string();
    let (input, pids, output) = (path("input"), path("pids"), path("inner"));
    let cmd =
        format!("(setsid sh -c 'echo $$ >> {pids}; sleep 1000' &); echo $$ >> {pids}; sleep 1000");
    let lines = [initialize(1, "2025-06-18"), call(2, EXECUTE, &json!({"cmd": cmd}))];
    fs::write(&input, lines.map(|line| format!("{line}\n")).concat()).unwrap();
    fs::write(&pids, "").unwrap();
    let cmd = format!(
        "(cat {input}; sleep 1000) | {SERVER} --output-dir {output} > /dev/null 2>&1 & \
         until [ $(wc -l < {pids}) = 2 ]; do sleep 0.02; done; cat {pids}; wait"
    );
    (cmd, 2)
}

/// Shapes that have left group, variable and parent before any scan has seen them.
fn traceless() -> Vec<Shape> {
    let escape = "(env -i PATH=\"$PATH\" setsid";
    let mut shapes = vec![
        (format!("{escape} sh -c '{DEAF}' > /dev/stdout 2>&1 &)"), 1),
        (format!("{escape} sh -c '{DEAF}' &); echo $$; exec sleep 1000"), 2),
    ];
    if can("a rewritten title", "perl", &["-e", "1"]) {
        let daemon = r#"$0 = "x" x 2000; $SIG{$_} = "IGNORE" for qw(TERM HUP INT); $| = 1; print "$$\n"; sleep 1000"#;
        shapes.push((format!("{escape} perl -e '{daemon}' &)"), 1));
    }
    shapes
}

/// Jobs of these shapes, all alive: id, command and pids of each.
#[track_caller]
fn started(
    client: &Client,
    shapes: Vec<Shape>,
    mut arguments: Value,
) -> Vec<(String, String, Vec<u32>)> {
    let mut begin = |(cmd, count): Shape| {
        arguments["cmd"] = json!(cmd);
        (ref_id(&client.execute(&arguments)), cmd, count)
    };
    let jobs: Vec<_> = shapes.into_iter().map(&mut begin).collect();
    let pids = |(id, cmd, count): (String, String, usize)| {
        let pids = pids_of(client, &id, count);
        assert!(pids.iter().all(|pid| processes::is_alive(*pid)), "{cmd}");
        (id, cmd, pids)
    };
    jobs.into_iter().map(pids).collect()
}

#[track_caller]
fn assert_none_alive(pids: &[u32], cmd: &str) {
    let alive = pids.iter().copied().filter(|pid| processes::is_alive(*pid));
    let alive: Vec<_> = alive.collect();
    assert!(alive.is_empty(), "{cmd}: {}", processes::describe(alive));
}

fn quick_cleanup(client: &Client, id: &str) -> Value {
    client.call(CLEANUP, &json!({"ref_id": id, "grace_seconds": 0.1}))
}

#[test]
fn cleanup_answers_when_no_process_of_the_job_is_left_whatever_its_shape() {
    let client = Client::start();
    let inner = server_in_a_job(client.scratch());
    for shape in shapes().into_iter().chain(traceless()).chain([inner]) {
        let [(id, cmd, pids)] = &started(&client, vec![shape], json!({}))[..] else { panic!() };
        quick_cleanup(&client, id);
        assert_none_alive(pids, cmd);
        client.assert_none_living();
    }
}

#[test]
fn cleanup_and_time_limit_end_nobody_of_another_job() {
    let client = Setup::new().flags(["--stop-grace-seconds", "0.1"]).start();
    let gate = Gate::new();
    let bystander = client.begin(&gate.wait());
    let all = || shapes().into_iter().chain([server_in_a_job(client.scratch())]).collect();
    let jobs = started(&client, all(), json!({}));
    for (n, (id, cmd, pids)) in jobs.iter().enumerate() {
        quick_cleanup(&client, id);
        assert_none_alive(pids, cmd);
        for (_, other, pids) in &jobs[n + 1..] {
            let all_alive = pids.iter().all(|pid| processes::is_alive(*pid));
            assert!(all_alive, "{other}\nended with\n{cmd}");
        }
    }
    let limited = started(&client, all(), json!({"kill_after_seconds": 4}));
    for (id, cmd, pids) in &limited {
        client.released(id);
        assert_none_alive(pids, cmd);
    }
    assert_eq!(client.get(&bystander)["running"], true);
    gate.open();
    assert_eq!(client.wait(&bystander)["state"], "exited");
}

/// Does something final to a server whose jobs are the worst there are, and checks that nothing outlives it.
#[track_caller]
fn assert_nothing_outlives(what: &str, end: impl FnOnce(&Client)) {
    let client = Client::start();
    let inner = server_in_a_job(client.scratch());
    assert_none_outlives(what, &client, Some(inner), end);
}

#[track_caller]
fn assert_none_outlives(
    what: &str,
    client: &Client,
    also: Option<Shape>,
    end: impl FnOnce(&Client),
) {
    client.run("echo finished");
    let all = shapes().into_iter().chain(traceless()).chain(also);
    let jobs = started(client, all.collect(), json!({}));
    let server = client.server_pid();
    end(client);
    let ended = Instant::now();
    client.end();
    processes::assert_gone(&[server]);
    for (_, _, pids) in &jobs {
        processes::assert_gone(pids);
    }
    let took = ended.elapsed();
    assert!(took < GONE_WITHIN, "{what}: they lived for another {took:?}");
    client.assert_nothing_left();
}

#[test]
fn invariant_10_nothing_outlives_a_killed_server_or_supervisor_or_both_of_a_group() {
    assert_nothing_outlives("SIGKILL of the server", |client| {
        processes::kill(client.server_pid());
    });
    assert_nothing_outlives("SIGKILL of the supervisor", |client| {
        processes::kill(client.pid());
    });
    // What `timeout --kill-after`, a service manager or a closing terminal does.
    assert_nothing_outlives("SIGKILL of the group", |client| {
        let group = processes::stat_field(client.pid(), 5).unwrap();
        assert_eq!(group, u64::from(client.pid()), "the supervisor leads its group");
        processes::signal_group(client.pid(), Signal::KILL);
    });
}

#[test]
fn invariant_10_nothing_outlives_a_request_to_end() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        assert_nothing_outlives(&format!("{signal:?}"), |client| {
            processes::signal(client.pid(), signal);
        });
    }
    assert_nothing_outlives("TERM to the server", |client| {
        processes::signal(client.server_pid(), Signal::TERM);
    });
    assert_nothing_outlives("end of input", Client::close_input);
    assert_nothing_outlives("TERM, INT and end of input", |client| {
        processes::signal(client.pid(), Signal::TERM);
        processes::signal(client.pid(), Signal::INT);
        client.close_input();
    });
}

/// An ordinary user has fewer means, and may not signal what became another's.
#[test]
fn invariant_10_nothing_outlives_the_server_of_an_ordinary_user() {
    for to_server in [false, true] {
        let Some((setup, _directory)) = as_an_ordinary_user("nothing outlives a server") else {
            return;
        };
        let what = format!("an ordinary user's, SIGKILL, to the server: {to_server}");
        assert_none_outlives(&what, &setup.start(), None, |client| {
            processes::kill(if to_server { client.server_pid() } else { client.pid() });
        });
    }
}

/// As in a container whose entry point is the server: nothing else reaps there.
#[test]
fn invariant_10_nothing_is_left_by_a_supervisor_that_is_the_first_process() {
    let namespace = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    if !can("the first process", "unshare", &[&namespace[..], &["true"]].concat()) {
        return;
    }
    for (signal, code) in [(None, 0), (Some(Signal::TERM), 0), (Some(Signal::KILL), 128 + 9)] {
        let launcher = format!("set -- unshare {} \"$@\"", namespace.join(" "));
        let client = Setup::new().after(&launcher).start();
        for (cmd, count) in shapes().into_iter().chain(traceless()) {
            pids_of(&client, &client.begin(&cmd), count);
        }
        let only_child = |pid| processes::children(pid)[0];
        let server = only_child(only_child(client.pid()));
        match signal {
            None => client.close_input(),
            Some(signal) => processes::signal(server, signal),
        }
        let end = client.end();
        assert_eq!(end.status.code(), Some(code), "{signal:?}: {end:?}");
        assert!(end.took < GONE_WITHIN, "{signal:?}: {end:?}");
        client.assert_nothing_left();
    }
}

/// A job that is being cleaned up is alive all the same. The exit code is that of the server.
#[test]
fn invariant_10_a_job_that_is_being_ended_does_not_outlive_a_killed_server() {
    let client = Client::start();
    let id = client.begin(DEAF);
    let pids = pids_of(&client, &id, 1);
    client.post_waiting(CLEANUP, &json!({"ref_id": id, "grace_seconds": 600}));
    processes::kill(client.server_pid());
    processes::assert_gone(&pids);
    assert_eq!(client.end().status.code(), Some(128 + 9));
    client.assert_nothing_left();
}

/// Each of a chain starts its successor and ends: no single look can hold it.
#[test]
fn invariant_10_processes_that_fork_and_exit_all_the_time_end_with_a_cleanup_and_with_a_killed_server()
 {
    let client = Client::start();
    let (chain, trace) = (client.scratch().join("chain"), client.scratch().join("trace"));
    let links =
        format!("trap '' TERM\necho >> {}\nsleep 0.005\nsetsid sh \"$0\" &\n", trace.display());
    fs::write(&chain, links).unwrap();
    let cmd = format!("sh {}; echo ready; exec sleep 300", chain.display());
    let start = || {
        let id = client.begin(&cmd);
        client.wait_for(&id, "ready");
        id
    };
    quick_cleanup(&client, &start());
    client.assert_none_living();
    start();
    processes::kill(client.server_pid());
    client.end();
    let mut before = 0;
    eventually("it leaves no more traces", || {
        let now = fs::metadata(&trace).unwrap().len();
        if now == before {
            return Ok(());
        }
        before = now;
        std::thread::sleep(Duration::from_millis(200));
        Err(format!("{now} traces"))
    });
}

/// `other & exec server`: the other process is a child of the supervisor, and not a job's.
#[test]
fn a_process_that_was_there_before_the_server_outlives_it() {
    let file = TempDir::new().unwrap();
    let noted = file.path().join("pid");
    let launcher = format!("sleep 1000 > /dev/null 2>&1 & echo $! > {}", noted.display());
    let client = Setup::new().after(&launcher).start();
    let other = fs::read_to_string(&noted).unwrap().trim().parse().unwrap();
    client.begin(DEAF);
    processes::kill(client.server_pid());
    client.end();
    let lives = processes::is_alive(other);
    processes::kill(other);
    assert!(lives, "it was ended with the jobs");
}
