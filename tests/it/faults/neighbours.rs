//! Two servers of one user never touch each other's jobs or files.

use serde_json::json;

use crate::support::{CLEANUP, Client, EXECUTE, GET, Gate, Setup, pid, processes, text};

/// A server with a finished and a running job, and the check that both are as they were.
struct Neighbour {
    client: Client,
    gate: Gate,
    finished: String,
    running: String,
    pid: u32,
}

impl Neighbour {
    #[track_caller]
    fn start(root: &std::path::Path) -> Self {
        let client = Setup::new().output_dir(root).start();
        let gate = Gate::new();
        let finished = client.begin("echo finished words");
        client.wait(&finished);
        let reply =
            client.execute(&json!({"cmd": format!("echo first; {}; echo last", gate.wait())}));
        let running = text(&reply, "ref_id").to_owned();
        client.wait_for(&running, "first");
        Self { pid: pid(&reply), client, gate, finished, running }
    }

    #[track_caller]
    fn assert_untouched(&self, after: &str) {
        assert_eq!(self.client.get(&self.finished)["output"], "finished words\n", "after {after}");
        let reply = self.client.get(&self.running);
        assert_eq!(reply["running"], true, "after {after}: {reply}");
        assert_eq!(reply["output"], "first\n", "after {after}: {reply}");
        let is_there = std::path::Path::new(text(&reply, "output_path")).exists();
        assert!(is_there && processes::is_alive(self.pid), "after {after}");
    }
}

#[test]
fn a_server_is_untouched_by_the_start_the_work_and_the_end_of_another() {
    let root = tempfile::TempDir::new().unwrap();
    let one = Neighbour::start(root.path());

    let other = Setup::new().output_dir(root.path()).start();
    one.assert_untouched("the start of another");
    let id = other.begin("(setsid sleep 1000 &); echo x");
    other.wait(&id);
    one.assert_untouched("its first job, which sweeps");
    let (reply, _) = other.outcome(other.post(GET, &json!({"ref_id": one.running})));
    assert_eq!(reply["state"], "unknown", "{reply}");
    other.outcome(other.post(CLEANUP, &json!({"ref_id": one.running})));
    one.assert_untouched("a cleanup with a foreign id");
    other.clean_up(&id);
    one.assert_untouched("its cleanup");
    other.begin("sleep 1000");
    other.hang_up();
    one.assert_untouched("its end");

    let killed = Neighbour::start(root.path());
    killed.client.kill();
    processes::assert_gone(&[killed.pid]);
    killed.client.assert_nothing_left();
    one.assert_untouched("the death of another");

    // With its supervisor: what it leaves is swept by the next server.
    let killed = Neighbour::start(root.path());
    killed.client.kill_with_supervisor();
    processes::kill(killed.pid);
    let next = Setup::new().output_dir(root.path()).start();
    next.run("echo next");
    one.assert_untouched("a sweep of what the dead have left");

    one.gate.open();
    assert_eq!(one.client.wait(&one.running)["output"], "first\nlast\n");
}

/// A directory without a lock looks like one of a dead server for an instant.
#[test]
fn servers_that_start_and_sweep_at_the_same_time_lose_nothing() {
    let root = tempfile::TempDir::new().unwrap();
    for round in 0..4 {
        let clients: Vec<_> =
            (0..6).map(|_| Setup::new().output_dir(root.path()).start()).collect();
        let posted: Vec<_> = clients
            .iter()
            .map(|client| client.post(EXECUTE, &json!({"cmd": "echo mine", "wait_seconds": 30})))
            .collect();
        for (client, posted) in clients.iter().zip(posted) {
            let reply = client.reply(posted);
            assert_eq!(reply["result"]["output"], "mine\n", "round {round}: {reply}");
            assert!(reply["result"]["dropped_bytes"].is_null(), "round {round}: {reply}");
            assert_eq!(client.get(text(&reply, "ref_id"))["output"], "mine\n");
        }
        // Half of them die.
        for client in clients.iter().step_by(2) {
            client.kill();
            client.assert_nothing_left();
        }
    }
}
