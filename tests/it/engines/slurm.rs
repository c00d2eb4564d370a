//! Slurm: a controller and a node of two cores on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Daemon, each_way_ends_the_far_side, free_port, installed, save, shell, snippets};
use super::{streams_and_codes_come_through, user};
use crate::support::{Setup, eventually, text};

const MUNGED: &str = "/usr/sbin/munged";
const CONTROLLER: &str = "/usr/sbin/slurmctld";
const NODE: &str = "/usr/sbin/slurmd";

/// The node ends first, the directory goes last.
struct Cluster {
    _daemons: [Daemon; 3],
    configuration: PathBuf,
    directory: TempDir,
}

impl Cluster {
    /// None where Slurm is not installed.
    fn start() -> Option<Self> {
        if !installed("Slurm", &[MUNGED, CONTROLLER, NODE, "/usr/bin/srun", "/usr/bin/scancel"]) {
            return None;
        }
        let directory = TempDir::new().unwrap();
        let path = |name: &str| directory.path().join(name);
        let configuration = path("slurm.conf");
        fs::write(&configuration, settings(directory.path())).unwrap();
        save("600", &"0123456789abcdef".repeat(8), &path("munge.key"));

        let mut munged = Command::new(MUNGED);
        munged.arg("--foreground").arg("--log-file").arg(path("munge.log"));
        munged.arg("--socket").arg(path("munge.socket")).arg("--pid-file").arg(path("munge.pid"));
        munged.arg("--key-file").arg(path("munge.key")).arg("--seed-file").arg(path("munge.seed"));
        let munged = Daemon::start(&mut munged, || path("munge.socket").exists());
        let mut controller = Command::new(CONTROLLER);
        controller.arg("-D").env("SLURM_CONF", &configuration);
        let says = |program, arguments| says(&configuration, program, arguments);
        let controller = Daemon::start(&mut controller, || says("scontrol", "ping").contains("UP"));
        let mut node = Command::new(NODE);
        node.args(["-D", "-N", "localhost"]).env("SLURM_CONF", &configuration);
        let node = Daemon::start(&mut node, || says("sinfo", "--format=%t").contains("idle"));
        Some(Self { _daemons: [node, controller, munged], configuration, directory })
    }

    fn setup(&self, shell: &str) -> Setup {
        let configuration = self.configuration.to_str().unwrap();
        Setup::new().environment("SLURM_CONF", configuration).flags(["--shell", shell])
    }

    fn queue(&self) -> String {
        says(&self.configuration, "squeue", "--noheader")
    }

    fn assert_queue_empties(&self) {
        eventually("the queue is empty", || match self.queue() {
            queue if queue.is_empty() => Ok(()),
            queue => Err(queue),
        });
    }
}

fn says(configuration: &Path, program: &str, argument: &str) -> String {
    let mut command = Command::new(program);
    let output = command.arg(argument).env("SLURM_CONF", configuration).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn settings(directory: &Path) -> String {
    let settings = include_str!("slurm.conf")
        .replace("DIRECTORY", directory.to_str().unwrap())
        .replace("USER", &user())
        .replace("CONTROLLER_PORT", &free_port().to_string())
        .replace("NODE_PORT", &free_port().to_string());
    settings + &snippets("Slurm")[3]
}

#[test]
fn slurm_runs_jobs_and_queues_what_two_cores_cannot_take() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let client = cluster.setup(&shell(&snippets("Slurm")[0])).start();
    streams_and_codes_come_through(&client);
    let reply = client.run("exit 7");
    assert_eq!(text(&reply, "error"), "srun: error: localhost: task 0: Exited with exit code 7\n");

    let begin = |number| client.begin(&format!("echo job {number}; exit {}", number % 3));
    let jobs: Vec<_> = (0..50).map(begin).collect();
    let queue = cluster.queue();
    assert!(queue.lines().count() > 2, "{queue}");
    for (number, job) in jobs.iter().enumerate() {
        let reply = client.wait(job);
        assert_eq!(reply["returncode"], number % 3, "{reply}");
        assert_eq!(text(&reply, "output"), format!("job {number}\n"), "{reply}");
    }
    cluster.assert_queue_empties();

    let job = client.begin("echo ready; sleep 1000");
    client.wait_for(&job, "ready");
    client.clean_up(&job);
    cluster.assert_queue_empties();

    let reply = cluster.setup("srun --quiet --partition=none bash -c").start().run("true");
    assert_eq!(reply["returncode"], 1, "{reply}");
    assert!(text(&reply, "error").contains("nvalid partition"), "{reply}");
}

#[test]
fn slurm_ends_jobs_and_gives_their_cores_back() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let [_, script, line, _] = snippets("Slurm").try_into().unwrap();
    let path = cluster.directory.path().join("srun-bash");
    save("755", &script, &path);
    let shell = shell(&line).replace("/path/to/srun-bash", path.to_str().unwrap());
    streams_and_codes_come_through(&cluster.setup(&shell).start());
    // As long as the end of the server gives: on a busy machine 0.1 s are not always enough to cancel an allocation.
    each_way_ends_the_far_side(0.5, || cluster.setup(&shell));
    cluster.assert_queue_empties();

    // A job that is stopped while it is in the queue leaves it.
    let client = cluster.setup(&shell).start();
    let jobs: Vec<_> = (0..4).map(|_| client.begin("echo ready; sleep 1000")).collect();
    eventually("two of four run", || {
        let queue = cluster.queue();
        let are = |state| queue.lines().filter(|line| line.contains(state)).count();
        if (are(" R "), are(" PD ")) == (2, 2) { Ok(()) } else { Err(queue) }
    });
    for job in jobs.iter().rev() {
        client.clean_up(job);
    }
    cluster.assert_queue_empties();
}
