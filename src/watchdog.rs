//! The second process, which ends the jobs when the server itself is killed.
//!
//! It is this same binary, started at the first job, in a process group of its own. Its standard input is a pipe that the
//! server holds open; its standard output is the ledger, in which the server notes which jobs have processes. However the
//! server ends, the kernel closes the pipe, and the watchdog ends what is still there. A job is noted before it is started,
//! so no instant is left in which it could escape. If the watchdog itself is killed, it is replaced.

mod duty;
mod end_jobs;
mod ledger;

use std::io::{self, PipeWriter};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use duty::stand_by;
use ledger::Ledger;
pub(crate) use ledger::Registration;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::process::Pid;
use crate::process::orphans::{Claim, Orphans};
use crate::process::own;

/// The argument that makes this binary a watchdog.
const ARGUMENT: &str = "--watchdog";

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

/// The server's side. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Watchdog {
    ledger: Arc<Ledger>,
    dismissed: CancellationToken,
    gone: CancellationToken,
}

/// A watchdog process.
#[derive(Debug)]
struct Launched {
    child: Child,
    /// Its standard input. Nothing is written to it.
    pipe: PipeWriter,
    at: Instant,
    _claim: Claim,
}

impl Watchdog {
    /// Starts the watchdog, and from then on replaces it whenever it ends. To be called within the runtime.
    pub(crate) fn start(orphans: &Orphans) -> io::Result<Self> {
        let watchdog = Self {
            ledger: Arc::new(Ledger::new()?),
            dismissed: CancellationToken::new(),
            gone: CancellationToken::new(),
        };
        let first = watchdog.launch(orphans);
        tokio::spawn(watchdog.clone().keep(first, orphans.clone()));
        Ok(watchdog)
    }

    /// Notes a job that is about to be started.
    pub(crate) fn register(&self, job: Uuid) -> io::Result<Registration> {
        self.ledger.register(job)
    }

    /// Notes where output goes.
    pub(crate) fn directory(&self, path: &Path) {
        if let Err(error) = self.ledger.set_directory(path) {
            tracing::warn!(%error, "the watchdog's ledger cannot be written");
        }
    }

    /// Closes the pipe, so that the watchdog does what is left to do and ends. With nothing left that takes an instant.
    pub(crate) async fn dismiss(&self) {
        self.dismissed.cancel();
        // An error means that it still has something to do, which it will do without us.
        drop(timeout(FAREWELL, self.gone.cancelled()).await);
    }

    fn launch(&self, orphans: &Orphans) -> io::Result<Launched> {
        let (its_end, pipe) = io::pipe()?;
        let child = Command::new(own::program()?)
            .arg0(env!("CARGO_PKG_NAME"))
            .arg(ARGUMENT)
            .process_group(0)
            .stdin(its_end)
            .stdout(self.ledger.handle()?)
            .stderr(Stdio::null())
            .spawn()?;
        let raw = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        let pid = raw.ok_or_else(|| io::Error::other("a fresh child has no pid"))?;
        let claim = orphans.claim(pid, None, Vec::new());
        Ok(Launched {
            child,
            pipe,
            at: Instant::now(),
            _claim: claim,
        })
    }

    async fn keep(self, first: io::Result<Launched>, orphans: Orphans) {
        let mut launched = first;
        loop {
            match launched {
                Ok(mut launched) => {
                    tokio::select! {
                        end = launched.child.wait() => {
                            tracing::warn!(?end, "the watchdog ended, starting another");
                        }
                        () = self.dismissed.cancelled() => {
                            drop(launched.pipe);
                            drop(launched.child.wait().await);
                            break;
                        }
                    }
                    // At once, but for one that ends again and again.
                    sleep(BETWEEN_STARTS.saturating_sub(launched.at.elapsed())).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the watchdog could not be started");
                    sleep(BETWEEN_STARTS).await;
                }
            }
            if self.dismissed.is_cancelled() {
                break;
            }
            launched = self.launch(&orphans);
        }
        self.gone.cancel();
    }
}
