//! What the kernel says of processes, independently of the server.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::eventually;

pub fn signal(pid: u32, signal: Signal) {
    kill_process(as_pid(pid), signal).unwrap_or_else(|error| panic!("kill {pid}: {error}"));
}

pub fn signal_group(group: u32, signal: Signal) {
    rustix::process::kill_process_group(as_pid(group), signal)
        .unwrap_or_else(|error| panic!("kill group {group}: {error}"));
}

/// Ends a process a test has left on purpose. It may be gone already.
pub fn kill(pid: u32) {
    let _gone_already = kill_process(as_pid(pid), Signal::KILL);
}

/// Looks while every thread of a process stands still.
pub fn suspended<T>(pid: u32, look: impl FnOnce() -> T) -> T {
    signal(pid, Signal::STOP);
    eventually("it is stopped", || match state(pid) {
        Some('T') => Ok(()),
        state => Err(format!("{state:?}")),
    });
    let seen = look();
    signal(pid, Signal::CONT);
    seen
}

fn as_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// The letter for a process's state (`S`, `T`, `Z` …); none if there is no such process.
pub fn state(pid: u32) -> Option<char> {
    stat_fields(pid)?.first()?.chars().next()
}

/// A field of `/proc/PID/stat` by its number in proc(5), from 3 on.
pub fn stat_field(pid: u32, number: usize) -> Option<u64> {
    stat_fields(pid)?.get(number - 3)?.parse().ok()
}

fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    Some(after_name.split_whitespace().map(str::to_owned).collect())
}

pub fn is_alive(pid: u32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}

#[track_caller]
pub fn assert_gone(pids: &[u32]) {
    eventually(&format!("{pids:?} are gone"), || {
        let alive: Vec<_> = pids.iter().filter(|pid| is_alive(**pid)).collect();
        if alive.is_empty() { Ok(()) } else { Err(format!("alive: {alive:?}")) }
    });
}

/// A line of `/proc/PID/status` in its unit, like `VmHWM`, which is in kB.
pub fn status_number(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let number = line.and_then(|line| line.trim_start_matches(':').split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {key} in {status}"))
}

pub fn open_descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Direct children, the dead ones too.
pub fn children(pid: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.extend(list.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
    }
    children
}

/// Living processes that carry this `NAME=value` in the environment they were started with.
pub fn with_environment(entry: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|one| one == entry.as_bytes()) && is_alive(pid)
        {
            found.push(pid);
        }
    }
    found
}

/// Whether this is the server that a supervisor, which itself runs in no job, has started.
pub fn is_server_of(pid: u32, supervisor: u32) -> bool {
    let program = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let marker = b"BACKGROUND_COMMAND_MCP_JOB_";
    stat_field(pid, 4) == Some(u64::from(supervisor))
        && program(pid) == program(supervisor)
        && !environment.windows(marker.len()).any(|window| window == marker)
}

/// The server that this supervisor has started.
#[track_caller]
pub fn server_of(supervisor: u32) -> u32 {
    eventually("the supervisor has started its server", || {
        let children = children(supervisor);
        let found = children.iter().find(|pid| is_server_of(**pid, supervisor));
        found.copied().ok_or_else(|| describe(children))
    })
}

/// For failures: what these processes are.
pub fn describe(pids: impl IntoIterator<Item = u32>) -> String {
    let one = |pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        format!("{pid} {:?} {}", state(pid), String::from_utf8_lossy(&line).replace('\0', " "))
    };
    pids.into_iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Pids that a command has printed, one on a line.
pub fn pids_in(output: &Value) -> Vec<u32> {
    let lines = output.as_str().unwrap().lines();
    lines.filter_map(|line| line.trim().parse().ok()).collect()
}
