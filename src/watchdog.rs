//! The second process, which ends the jobs when the server itself is killed.
//!
//! It is this same binary, started at the first job, in a process group of its own. Its standard input is a pipe on
//! which the server says which jobs have processes. However the server ends, the kernel closes that pipe, and the
//! watchdog ends what is still there. It is told of a job before the job is started, by its marker, so no instant is
//! left in which a job could escape it. If the watchdog itself is killed, it is replaced.

mod duty;
mod end_jobs;
mod notice;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use duty::stand_by;
use notice::Notice;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::process::Pid;
use crate::process::orphans::{Claim, Orphans};
use crate::process::own;

/// The argument that makes this binary a watchdog.
const ARGUMENT: &str = "--watchdog";

/// Room for what is said of some ten thousand jobs: as much as an ordinary user may have.
#[cfg(target_os = "linux")]
const PIPE_SIZE: usize = 1 << 20;

/// How long to leave it before a watchdog that ended is replaced, should it end again and again.
const BETWEEN_STARTS: Duration = Duration::from_millis(200);

/// How long the server waits at its end to see the watchdog go.
const FAREWELL: Duration = Duration::from_millis(100);

/// Whether this process was started to be a watchdog.
pub fn is_watchdog() -> bool {
    std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == ARGUMENT)
}

/// The server's end of the pipe. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Watchdog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// None while there is no watchdog. A leaf lock: held to clone or to replace what is in it.
    line: Mutex<Option<Arc<Line>>>,
    dismissed: CancellationToken,
    gone: CancellationToken,
}

/// The pipe to one watchdog.
#[derive(Debug)]
struct Line {
    pipe: OwnedFd,
    /// Something could not be said.
    unheard: CancellationToken,
}

/// A job that the watchdog knows of, until this is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    watchdog: Watchdog,
    job: Uuid,
}

/// A watchdog.
#[derive(Debug)]
struct Launched {
    child: Child,
    unheard: CancellationToken,
    at: Instant,
    _claim: Claim,
}

/// What a watchdog that takes over from another has to be told.
#[derive(Debug)]
pub(crate) struct Briefing {
    /// Jobs that have processes, with their process groups.
    pub(crate) jobs: Vec<(Uuid, u32)>,
    /// Where output goes, if there is any.
    pub(crate) directory: Option<PathBuf>,
}

impl Watchdog {
    /// Starts the watchdog, and from then on replaces it whenever it ends, with the briefing of that moment. To be called
    /// within the runtime.
    pub(crate) fn start(
        orphans: &Orphans,
        briefing: impl Fn() -> Briefing + Send + 'static,
    ) -> Self {
        let watchdog = Self(Arc::new(Shared {
            line: Mutex::new(None),
            dismissed: CancellationToken::new(),
            gone: CancellationToken::new(),
        }));
        let first = watchdog.launch(orphans);
        tokio::spawn(watchdog.clone().keep(first, orphans.clone(), briefing));
        watchdog
    }

    /// Tells of a job that is about to be started.
    pub(crate) fn register(&self, job: Uuid) -> Registration {
        self.say(&Notice::Expect(job));
        Registration {
            watchdog: self.clone(),
            job,
        }
    }

    /// Tells where output goes.
    pub(crate) fn directory(&self, path: &Path) {
        if let Some(notice) = Notice::directory(path) {
            self.say(&notice);
        }
    }

    /// Closes the pipe, so that the watchdog does what is left to do and ends. With nothing left that takes an instant.
    pub(crate) async fn dismiss(&self) {
        self.0.dismissed.cancel();
        drop(self.line().take());
        // An error means that it still has something to do, which it will do without us.
        drop(timeout(FAREWELL, self.0.gone.cancelled()).await);
    }

    fn say(&self, notice: &Notice) {
        let Some(line) = self.line().clone() else {
            return;
        };
        let text = notice.to_line();
        if !matches!(rustix::io::write(&line.pipe, text.as_bytes()), Ok(written) if written == text.len())
        {
            // One that does not read is as good as none: the keeper replaces it. The pipe stays open until it is dead,
            // since it would take the end of its pipe for the end of the server, and end every job.
            line.unheard.cancel();
        }
    }

    fn launch(&self, orphans: &Orphans) -> io::Result<Launched> {
        let mut child = Command::new(own::program()?)
            .arg0(env!("CARGO_PKG_NAME"))
            .arg(ARGUMENT)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let raw = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        let pid = raw.ok_or_else(|| io::Error::other("a fresh child has no pid"))?;
        let claim = orphans.claim(pid, None, Vec::new());
        let stdin = child
            .stdin
            .take()
            .ok_or_else(|| io::Error::other("a piped stream has no pipe"))?;
        // The runtime hands it out blocking: a watchdog that hangs must not hang the server.
        let pipe = stdin.into_owned_fd()?;
        rustix::io::ioctl_fionbio(&pipe, true)?;
        // For the briefing of one that takes over from another. With less it works until some hundred jobs run at once.
        #[cfg(target_os = "linux")]
        let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_SIZE);
        let unheard = CancellationToken::new();
        self.line().replace(Arc::new(Line {
            pipe,
            unheard: unheard.clone(),
        }));
        Ok(Launched {
            child,
            unheard,
            at: Instant::now(),
            _claim: claim,
        })
    }

    async fn keep(
        self,
        first: io::Result<Launched>,
        orphans: Orphans,
        briefing: impl Fn() -> Briefing,
    ) {
        let mut launched = first;
        loop {
            match launched {
                Ok(mut launched) => {
                    let end = launched.end().await;
                    drop(self.line().take());
                    if self.0.dismissed.is_cancelled() {
                        self.0.gone.cancel();
                        return;
                    }
                    tracing::warn!(?end, "the watchdog ended, starting another");
                    // At once, but for one that ends again and again.
                    sleep(BETWEEN_STARTS.saturating_sub(launched.at.elapsed())).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the watchdog could not be started");
                    sleep(BETWEEN_STARTS).await;
                }
            }
            launched = self.launch(&orphans);
            self.brief(&briefing());
        }
    }

    /// Tells a watchdog that takes over what its predecessor knew.
    fn brief(&self, briefing: &Briefing) {
        if let Some(directory) = &briefing.directory {
            self.directory(directory);
        }
        for (job, pid) in &briefing.jobs {
            self.say_started(*job, *pid);
        }
    }

    fn say_started(&self, job: Uuid, pid: u32) {
        if let Ok(group) = i32::try_from(pid) {
            self.say(&Notice::Started(job, group));
        }
    }

    fn line(&self) -> MutexGuard<'_, Option<Arc<Line>>> {
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Launched {
    /// Waits for its end, and brings it about if it does not listen.
    async fn end(&mut self) -> io::Result<ExitStatus> {
        tokio::select! {
            end = self.child.wait() => end,
            () = self.unheard.cancelled() => {
                self.child.start_kill()?;
                self.child.wait().await
            }
        }
    }
}

impl Registration {
    /// The job was started and leads this process group.
    pub(crate) fn started(&self, pid: u32) {
        self.watchdog.say_started(self.job, pid);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.watchdog.say(&Notice::Gone(self.job));
    }
}
