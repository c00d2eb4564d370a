//! Why a job could not be started or found.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use super::Job;

/// Why a job could not be started or found.
#[derive(Debug)]
pub enum JobError {
    EmptyCommand,
    NulInCommand,
    CommandTooLong {
        bytes: usize,
    },
    NoDirectory {
        path: PathBuf,
        error: io::Error,
    },
    /// The shell cannot run this command, or not there: why.
    NotForShell(io::Error),
    NoShell {
        program: String,
        error: io::Error,
    },
    /// All slots are taken, the longest by these.
    Busy {
        limit: usize,
        oldest: Vec<Job>,
    },
    /// The system has no more processes, descriptors or memory to give.
    Resources(io::Error),
    /// The call was cancelled, or the server is shutting down, before anything was started.
    Cancelled,
    NotAnId {
        given: String,
    },
    Unknown {
        id: Uuid,
        age: Duration,
        known: Vec<Uuid>,
    },
    Expired {
        id: Uuid,
        age: Duration,
    },
    CleanedUp {
        id: Uuid,
    },
}
