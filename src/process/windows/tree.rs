//! What belongs to a job: a job object, from which no process can break away.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, Prefix};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use tokio::process::{Child, Command};
use tokio::time::sleep;
use uuid::Uuid;
use win32job::{ExtendedLimitInfo, Job};
use windows::Win32::System::Threading::{
    CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW, PROCESS_CREATION_FLAGS,
};

use super::console;
use super::reaper::Reaper;
use crate::blocking::lock;
use crate::job::Exit;
use crate::process::Usage;
use crate::process::spawn::Order;

/// How often to see whether processes that outlived the command have ended.
const LOOK_FOR_LEFTOVERS_EVERY: Duration = Duration::from_millis(100);

/// The longest command lines, in UTF-16: that of the system, and that of `cmd`.
const LONGEST_LINE: usize = 32_767;
const LONGEST_CMD_LINE: usize = 8_191;

/// The job objects by their leaders' pids, for those who only know these.
static JOBS: Mutex<BTreeMap<u32, Weak<Job>>> = Mutex::new(BTreeMap::new());

/// Known to the record of every system, and never made here.
const _: fn(i32) -> Exit = Exit::Signal;

/// All processes of one job. The watcher owns it.
#[derive(Debug)]
pub struct Tree {
    /// Its handle keeps the pid from being given to another process.
    child: Child,
    pid: u32,
    job: Arc<Job>,
}

/// Has the shell lead a process group, in the console of the server if it has one, else in one without a window.
pub fn prepare(order: &Order<'_>, command: &mut Command) -> io::Result<()> {
    let is_cmd = order.shell.is_cmd();
    let text = order.command.trim_end();
    let length = format!("{} \"{text}\"", order.shell).encode_utf16().count();
    if length > if is_cmd { LONGEST_CMD_LINE } else { LONGEST_LINE } {
        return Err(io::ErrorKind::ArgumentListTooLong.into());
    }
    command.args(&order.shell.arguments);
    if is_cmd {
        let unsuitable = |why| Err(io::Error::new(io::ErrorKind::Unsupported, why));
        if text.contains('\n') {
            return unsuitable(
                "cmd.exe runs one line only: join them with && or &, or write a .cmd file and run that",
            );
        }
        if is_on_a_network(order.cwd) {
            return unsuitable(
                "cmd.exe cannot work in a UNC path: begin the command with pushd and that path, from another cwd",
            );
        }
        // Its own rules, by which the outermost quotes are taken off and nothing else is changed.
        command.raw_arg(format!("\"{text}\""));
    } else {
        command.arg(text);
    }
    let window = if console::is_shared() { PROCESS_CREATION_FLAGS(0) } else { CREATE_NO_WINDOW };
    command.creation_flags((CREATE_NEW_PROCESS_GROUP | window).0);
    Ok(())
}

fn is_on_a_network(path: &Path) -> bool {
    let Some(Component::Prefix(prefix)) = path.components().next() else {
        return false;
    };
    matches!(prefix.kind(), Prefix::UNC(..) | Prefix::VerbatimUNC(..))
}

impl Tree {
    /// The tree of a fresh child. What it has started before it is put into its job object is in that of the server.
    pub fn of(mut child: Child, _job: Uuid, _reaper: &Reaper) -> io::Result<Self> {
        let pid = child.id().ok_or_else(|| io::Error::other("a fresh child has no pid"))?;
        let job = Arc::new(ending_with_its_handle()?);
        let handle = child.raw_handle().unwrap_or_default();
        if let Err(error) = job.assign_process(handle as isize)
            && child.try_wait()?.is_none()
        {
            drop(child.start_kill());
            return Err(io::Error::other(error));
        }
        lock(&JOBS).insert(pid, Arc::downgrade(&job));
        Ok(Self { child, pid, job })
    }

    /// The pid of the command's own process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the kernel has reported the leader's end.
    pub fn has_exited(&self) -> bool {
        !self.living().contains(&self.pid)
    }

    /// Resolves with the leader's end if that is still awaited, or with none when the leftovers have changed. Cancellation
    /// loses nothing.
    pub async fn next_event(&mut self, running: bool) -> Option<Exit> {
        if !running {
            sleep(LOOK_FOR_LEFTOVERS_EVERY).await;
            return None;
        }
        let exit = match self.child.wait().await {
            Ok(status) => status.code().map(Exit::Code),
            Err(error) => Some(Exit::Lost(error.to_string())),
        };
        let none = || Exit::Lost("the kernel has no exit code for it".to_owned());
        Some(exit.unwrap_or_else(none))
    }

    /// Nothing has to be done for `leftovers` to be of now.
    pub fn look(&self) {}

    /// Processes that are alive although the leader has ended.
    pub fn leftovers(&self) -> Vec<u32> {
        let mut living = self.living();
        living.retain(|pid| *pid != self.pid);
        living
    }

    /// Every living process of the job, by pid.
    pub fn living(&self) -> Vec<u32> {
        living(&self.job)
    }

    /// Asks the process group of the leader to end; whether that could be asked.
    pub fn terminate(&self) -> bool {
        console::send_break(self.pid)
    }

    /// Ends every process.
    pub fn kill(&self) {
        // First the leader, whose exit code is else not to be told from success under wine.
        console::end(self.child.raw_handle().filter(|_| !self.has_exited()), &self.job);
    }

    /// Gives the leader's pid back, now that nothing of the job is alive.
    pub fn reap(self) {}
}

impl Drop for Tree {
    fn drop(&mut self) {
        lock(&JOBS).remove(&self.pid);
    }
}

/// What the job with this leader uses now.
pub fn usage(leader: u32, _adopted: &[u32]) -> Usage {
    let job = lock(&JOBS).get(&leader).and_then(Weak::upgrade);
    let mut usage =
        Usage { pids: job.map(|job| living(&job)).unwrap_or_default(), ..Usage::default() };
    usage.pids.sort_unstable();
    let pids: Vec<Pid> = usage.pids.iter().map(|pid| Pid::from_u32(*pid)).collect();
    let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
    let mut system = System::new();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), true, what);
    for process in pids.iter().filter_map(|pid| system.process(*pid)) {
        usage.cpu += Duration::from_millis(process.accumulated_cpu_time());
        usage.memory_bytes += process.memory();
    }
    usage
}

/// Everything that is not of a job ends with this process, in the same instant.
pub async fn end_strays(_reaper: &Reaper, _grace: Duration) {}

/// Puts this process into a job object that ends with it.
pub fn contain_this_process() -> io::Result<()> {
    let job = ending_with_its_handle()?;
    job.assign_current_process().map_err(io::Error::other)?;
    // Its handle is closed by the end of this process, which it would be.
    std::mem::forget(job);
    Ok(())
}

fn ending_with_its_handle() -> io::Result<Job> {
    let mut limits = ExtendedLimitInfo::new();
    limits.limit_kill_on_job_close();
    Job::create_with_limit_info(&limits).map_err(io::Error::other)
}

fn living(job: &Job) -> Vec<u32> {
    match job.query_process_id_list() {
        Ok(pids) => pids.into_iter().filter_map(|pid| u32::try_from(pid).ok()).collect(),
        Err(error) => {
            // More than it lists. This process's own pid, which is never of a job, stands for them.
            tracing::debug!(%error, "the processes of a job could not be listed");
            vec![std::process::id()]
        }
    }
}
