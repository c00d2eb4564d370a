//! A flood on one stream: its rate, the processor time it costs, and what else the server does meanwhile.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde_json::json;

use crate::client::{CLEANUP, EXECUTE, Server, directory, request, text};
use crate::table::{Samples, Table};

const ROUNDS: usize = 5;
const PRODUCER: &str = "head -c 512M /dev/zero | tr '\\0' x";

/// Seconds from the start of the producer until all is taken, and of processor time of the one that takes it.
#[derive(Default)]
struct Taken {
    time: Samples,
    cpu: Samples,
}

pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    let directory = directory()?;
    let mut server = Server::start(&["--max-output-bytes", "1073741824"])?;
    let [_, pid] = server.pids()?;
    let (mut ours, mut file, mut null) = <(Taken, Taken, Taken)>::default();
    let mut pings = Samples::default();
    for _ in 0..ROUNDS {
        let path = directory.path().join("floor");
        to_cat(&path, &mut file)?;
        std::fs::remove_file(&path)?;
        to_cat(Path::new("/dev/null"), &mut null)?;
        let before = cpu_seconds(pid)?;
        let begin = Instant::now();
        let job = to_server(&mut server, None)?;
        ours.time.push(begin.elapsed().as_secs_f64());
        ours.cpu.push(cpu_seconds(pid)? - before);
        // As the floor's file, or the disk would be busy with it in the next round.
        server.call(CLEANUP, &json!({"ref_id": job}))?;
    }
    // In a run of its own: nothing else keeps the floor's processors busy.
    to_server(&mut server, Some(&mut pings))?;
    let what = "capture of 512 MiB; floor: the same into `cat > ";
    for (name, floor, target) in [("file", &file, "≥ 0.95 ×"), ("/dev/null", &null, "≥ 0.6 ×")]
    {
        let [ours, floor] = [&ours, floor].map(|taken| 512.0 / taken.time.median());
        table.ratio(&format!("{what}{name}`"), ours, floor, "MiB/s", target);
    }
    let what = "processor time of that; floor: that of `cat > file`";
    table.ratio(what, ours.cpu.median() * 1e3, file.cpu.median() * 1e3, "ms", "≤ 1.25 ×");
    table.value("`ping` meanwhile, p99", pings.quantile(0.99), "µs", "< 5000 µs");
    Ok(())
}

fn to_cat(file: &Path, taken: &mut Taken) -> anyhow::Result<()> {
    let output = std::fs::File::create(file)?;
    let begin = Instant::now();
    let mut producer = Command::new("sh").args(["-c", PRODUCER]).stdout(Stdio::piped()).spawn()?;
    let input = producer.stdout.take().context("its output is piped")?;
    let mut cat = Command::new("cat").stdin(input).stdout(output).spawn()?;
    // Its times can be read until it is reaped.
    let pid = Pid::from_child(&cat);
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    taken.time.push(begin.elapsed().as_secs_f64());
    taken.cpu.push(cpu_seconds(cat.id())?);
    cat.wait()?;
    producer.wait()?;
    Ok(())
}

fn to_server(server: &mut Server, mut pings: Option<&mut Samples>) -> anyhow::Result<String> {
    let job = server.send(EXECUTE, &json!({"cmd": PRODUCER, "wait_seconds": 600}))?;
    loop {
        let begin = Instant::now();
        if pings.is_some() {
            server.peer.send(&request(0, "ping", &json!({})))?;
        }
        let (id, reply) = server.receive()?;
        if id == job {
            ensure!(reply["result"]["output_bytes"] == 512 << 20, "{reply}");
            pings.map(|_| server.receive()).transpose()?;
            return text(&reply, "ref_id");
        }
        pings.iter_mut().for_each(|pings| pings.push_time(begin.elapsed()));
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a process has used, threads that have ended included.
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("a name in parentheses")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}
