//! What the watchdog finds when the server is gone: which jobs have processes, and where output is.
//!
//! It is a file without a name that both processes have open, in memory where the system can do that. Only the server
//! writes. To note a job is one system call and wakes nobody, and a watchdog that takes over from another finds all that its
//! predecessor would have found. A record lies within one page, so that a server killed between two calls, or in the midst of
//! one, leaves none that is half written.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// The first page: the length of the output directory's path, in two bytes, and the path.
const PAGE: usize = 4096;

/// Behind it, for each job: its id, and in four bytes its process group or zero. Of no job, the id is zero too.
const RECORD: usize = 32;

/// The server's side of it.
#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
    /// Records that are of no job. A leaf lock.
    vacant: Mutex<Vacant>,
}

#[derive(Debug, Default)]
struct Vacant {
    given_back: Vec<u64>,
    /// From this one on, all.
    from: u64,
}

/// A job that the watchdog will find.
#[derive(Debug)]
pub(crate) struct Registration {
    ledger: Arc<Ledger>,
    record: u64,
    job: Uuid,
    has_ended: bool,
}

/// What is in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// Jobs that have processes, with their process groups as far as they are known.
    pub(super) jobs: Vec<(Uuid, Option<i32>)>,
    /// Where output is, to be removed.
    pub(super) directory: Option<PathBuf>,
}

impl Ledger {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            file: nameless_file()?,
            vacant: Mutex::default(),
        })
    }

    /// For the watchdog, which reads it in the end.
    pub(super) fn handle(&self) -> io::Result<OwnedFd> {
        self.file.try_clone().map(OwnedFd::from)
    }

    /// Notes a job that is about to be started, of which the watchdog would know by its marker.
    pub(super) fn register(self: &Arc<Self>, job: Uuid) -> io::Result<Registration> {
        let record = self.vacant().take();
        if let Err(error) = self.write(record, job, None) {
            self.vacant().given_back.push(record);
            return Err(error);
        }
        Ok(Registration {
            ledger: self.clone(),
            record,
            job,
            has_ended: false,
        })
    }

    /// Notes where output is. A path that is too long is left to the next server's sweep.
    pub(super) fn set_directory(&self, path: &Path) -> io::Result<()> {
        let path = path.as_os_str().as_bytes();
        let Some(length) = u16::try_from(path.len())
            .ok()
            .filter(|_| path.len() + 2 <= PAGE)
        else {
            return Ok(());
        };
        let page = [&length.to_ne_bytes(), path].concat();
        self.file.write_all_at(&page, 0)
    }

    fn write(&self, record: u64, job: Uuid, group: Option<i32>) -> io::Result<()> {
        let mut bytes = [0; RECORD];
        bytes[..16].copy_from_slice(job.as_bytes());
        bytes[16..20].copy_from_slice(&group.unwrap_or(0).to_ne_bytes());
        let offset = PAGE as u64 + record * RECORD as u64;
        self.file.write_all_at(&bytes, offset)
    }

    fn vacant(&self) -> MutexGuard<'_, Vacant> {
        self.vacant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Vacant {
    fn take(&mut self) -> u64 {
        self.given_back.pop().unwrap_or_else(|| {
            self.from += 1;
            self.from - 1
        })
    }
}

impl Registration {
    /// Starts the job, and notes the process group that it leads. One that does not start is struck out.
    pub(crate) fn start<T, E>(
        self,
        start: impl FnOnce() -> Result<T, E>,
        pid: impl FnOnce(&T) -> u32,
    ) -> Result<(T, Self), E> {
        match start() {
            Ok(started) => {
                self.note(self.job, i32::try_from(pid(&started)).ok());
                Ok((started, self))
            }
            Err(error) => {
                self.ended();
                Err(error)
            }
        }
    }

    /// Nothing of it is alive, or ever was.
    pub(crate) fn ended(mut self) {
        self.has_ended = true;
    }

    fn note(&self, job: Uuid, group: Option<i32>) {
        if let Err(error) = self.ledger.write(self.record, job, group) {
            tracing::warn!(%job, %error, "the watchdog's ledger cannot be written");
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.has_ended {
            self.note(Uuid::nil(), None);
            self.ledger.vacant().given_back.push(self.record);
        } else {
            // Nobody has seen it end, so the watchdog looks for what bears its mark. Its group it must not look for: the id
            // is another's as soon as nobody keeps it.
            self.note(self.job, None);
        }
    }
}

/// The watchdog's side of it.
pub(super) fn read(file: &File) -> io::Result<Contents> {
    let mut bytes = Vec::new();
    let mut chunk = [0; PAGE];
    loop {
        match file.read_at(&mut chunk, bytes.len() as u64)? {
            0 => break,
            read => bytes.extend_from_slice(&chunk[..read]),
        }
    }
    let (page, records) = bytes.split_at(bytes.len().min(PAGE));
    Ok(Contents {
        jobs: records.chunks_exact(RECORD).filter_map(job_in).collect(),
        directory: directory_in(page),
    })
}

fn job_in(record: &[u8]) -> Option<(Uuid, Option<i32>)> {
    let job = Uuid::from_slice(record.get(..16)?).ok()?;
    let group = i32::from_ne_bytes(record.get(16..20)?.try_into().ok()?);
    (!job.is_nil()).then_some((job, (group != 0).then_some(group)))
}

fn directory_in(page: &[u8]) -> Option<PathBuf> {
    let length = u16::from_ne_bytes(page.get(..2)?.try_into().ok()?);
    let path = page.get(2..2 + usize::from(length))?;
    (!path.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(path)))
}

#[cfg(target_os = "linux")]
fn nameless_file() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};

    Ok(memfd_create(env!("CARGO_PKG_NAME"), MemfdFlags::CLOEXEC)?.into())
}

#[cfg(not(target_os = "linux"))]
fn nameless_file() -> io::Result<File> {
    tempfile::tempfile()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(ledger: &Ledger) -> io::Result<Contents> {
        read(&ledger.handle()?.into())
    }

    fn started(ledger: &Arc<Ledger>, job: Uuid, pid: u32) -> io::Result<Registration> {
        let start = || Ok::<_, io::Error>(pid);
        let (_, registration) = ledger.register(job)?.start(start, |pid| *pid)?;
        Ok(registration)
    }

    #[test]
    fn what_does_not_start_is_struck_out() -> io::Result<()> {
        let ledger = Arc::new(Ledger::new()?);
        let registration = ledger.register(Uuid::from_u128(1))?;
        let failed = registration.start(|| Err::<u32, _>("no such shell"), |pid| *pid);
        assert_eq!(failed.err(), Some("no such shell"));
        assert_eq!(contents(&ledger)?.jobs, []);
        Ok(())
    }

    #[test]
    fn what_is_noted_is_found() -> io::Result<()> {
        let ledger = Arc::new(Ledger::new()?);
        assert_eq!(contents(&ledger)?, Contents::default());
        let directory = Path::new(OsStr::from_bytes(b"/a\nb/\xff"));
        ledger.set_directory(directory)?;
        let ids = [1, 2, 3].map(Uuid::from_u128);
        let first = started(&ledger, ids[0], 4711)?;
        let second = ledger.register(ids[1])?;
        let _third = started(&ledger, ids[2], 42)?;
        let found = contents(&ledger)?;
        assert_eq!(found.directory.as_deref(), Some(directory));
        assert_eq!(
            found.jobs,
            [(ids[0], Some(4711)), (ids[1], None), (ids[2], Some(42))]
        );
        first.ended();
        second.ended();
        assert_eq!(contents(&ledger)?.jobs, [(ids[2], Some(42))]);
        Ok(())
    }

    #[test]
    fn a_job_that_nobody_saw_end_is_looked_for_by_its_mark() -> io::Result<()> {
        let ledger = Arc::new(Ledger::new()?);
        let job = Uuid::from_u128(1);
        drop(started(&ledger, job, 4711)?);
        assert_eq!(contents(&ledger)?.jobs, [(job, None)]);
        Ok(())
    }

    #[test]
    fn records_are_used_again() -> io::Result<()> {
        let ledger = Arc::new(Ledger::new()?);
        for job in 1..100 {
            started(&ledger, Uuid::from_u128(job), 1)?.ended();
        }
        let length = ledger.file.metadata()?.len();
        assert_eq!(length, (PAGE + RECORD) as u64);
        Ok(())
    }
}
