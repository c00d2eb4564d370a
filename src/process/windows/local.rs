//! The named pipe by which a user's clients find the user's one background process: what a local socket is elsewhere.
//!
//! Its name depends on the user alone, on the version, and on whether the client has an administrator's rights, which jobs of
//! the others must not get. It vanishes with its process.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use tokio::sync::mpsc;
use windows::Win32::Foundation::{
    ERROR_IO_PENDING, ERROR_MORE_DATA, ERROR_NO_DATA, ERROR_PIPE_BUSY, ERROR_PIPE_CONNECTED,
    HANDLE, WIN32_ERROR,
};
use windows::Win32::Storage::FileSystem::{
    FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, FILE_FLAGS_AND_ATTRIBUTES,
    PIPE_ACCESS_DUPLEX, ReadFile, SECURITY_IDENTIFICATION, WriteFile,
};
use windows::Win32::System::IO::{
    CancelIoEx, GetOverlappedResult, GetOverlappedResultEx, OVERLAPPED,
};
use windows::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, GetNamedPipeServerProcessId, PIPE_READMODE_MESSAGE,
    PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_MESSAGE, PIPE_UNLIMITED_INSTANCES,
    SetNamedPipeHandleState,
};
use windows::Win32::System::Threading::{CreateEventW, INFINITE};
use windows::core::{HRESULT, HSTRING, Owned};

use super::user::{self, system_error};

/// How often, every 10 ms, a client tries again that comes before the pipe is ready for the next one.
const TRIES: usize = 500;

/// What the pipe holds in each direction until it is read.
const BUFFER_BYTES: u32 = 64 << 10;

/// Where the pipe is.
#[derive(Clone, Debug)]
pub struct Place {
    name: String,
    is_elevated: bool,
}

impl Place {
    pub fn of_user() -> io::Result<Self> {
        let is_elevated = user::is_elevated();
        let rights = if is_elevated { "-elevated" } else { "" };
        let (version, user) = (env!("CARGO_PKG_VERSION"), user::own()?);
        let name = format!(r"\\.\pipe\background-command-mcp-{version}-{user}{rights}");
        Ok(Self { name, is_elevated })
    }

    pub fn socket(&self) -> PathBuf {
        PathBuf::from(&self.name)
    }

    /// To a process of this user: another one may have made a pipe of this name first.
    #[expect(unsafe_code, reason = "who made a pipe has no safe interface")]
    pub fn connect(&self) -> io::Result<Stream> {
        let mut options = File::options();
        options.read(true).write(true).custom_flags(FILE_FLAG_OVERLAPPED.0);
        options.security_qos_flags(SECURITY_IDENTIFICATION.0);
        let mut tries = 0..TRIES;
        let pipe = loop {
            match options.open(&self.name) {
                Err(error) if is(&error, &[ERROR_PIPE_BUSY]) && tries.next().is_some() => {
                    sleep(Duration::from_millis(10));
                }
                opened => break opened?,
            }
        };
        let (handle, mut pid) = (HANDLE(pipe.as_raw_handle()), 0);
        // SAFETY: the handle is open, and a number each is read or written.
        unsafe {
            GetNamedPipeServerProcessId(handle, &raw mut pid).map_err(system_error)?;
            SetNamedPipeHandleState(handle, Some(&PIPE_READMODE_MESSAGE), None, None)
                .map_err(system_error)?;
        }
        if user::of(pid) != Some(user::own()?) {
            let refused = format!("{} is of another user", self.name);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, refused));
        }
        Ok(Stream::new(pipe.into()))
    }

    /// Held by the one client that starts the process. The folder is where the system, not the environment, has it.
    pub fn lock(&self) -> io::Result<File> {
        let folder = dirs::cache_dir().unwrap_or_else(std::env::temp_dir);
        let lock = File::create(folder.join("background-command-mcp.keep-lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    /// Where nothing listens.
    pub fn listen(&self) -> io::Result<Listener> {
        let mut next = self.instance(FILE_FLAG_FIRST_PIPE_INSTANCE)?;
        let place = self.clone();
        let (arrived, clients) = mpsc::channel(1);
        let mut accept = move || {
            match next.transfer(Transfer::Connect, INFINITE) {
                // It came before it was waited for, and may have gone already.
                Err(error) if !is(&error, &[ERROR_PIPE_CONNECTED, ERROR_NO_DATA]) => {
                    return Err(error);
                }
                _ => {}
            }
            let client = std::mem::replace(&mut next, place.instance(Default::default())?);
            // Nobody accepts any more.
            arrived.blocking_send(client).map_err(io::Error::other)
        };
        thread::Builder::new().name("accept".to_owned()).spawn(move || {
            let ended = std::iter::repeat_with(&mut accept).find_map(Result::err);
            tracing::info!(?ended, "no more clients are accepted");
        })?;
        Ok(Listener(clients))
    }

    /// One end of the pipe, for one client. It carries messages, since only these can be empty, which is how the end of input is
    /// told.
    #[expect(unsafe_code, reason = "the standard library makes no named pipe")]
    fn instance(&self, first: FILE_FLAGS_AND_ATTRIBUTES) -> io::Result<Stream> {
        let label = if self.is_elevated { "S:(ML;;NW;;;HI)" } else { "" };
        // SAFETY: the name ends with a zero, the attributes are those of the caller, and nothing else closes the handle.
        user::make_private(label, |attributes| unsafe {
            let handle = CreateNamedPipeW(
                &HSTRING::from(&self.name),
                PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | first,
                PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE | PIPE_REJECT_REMOTE_CLIENTS,
                PIPE_UNLIMITED_INSTANCES,
                BUFFER_BYTES,
                BUFFER_BYTES,
                0,
                Some(attributes),
            );
            match handle.is_invalid() {
                true => Err(windows::core::Error::from_win32()),
                false => Ok(Stream::new(OwnedHandle::from_raw_handle(handle.0))),
            }
        })
    }

    /// It goes with its last handle.
    pub fn remove(&self) {}
}

/// Where clients arrive.
#[derive(Debug)]
pub struct Listener(mpsc::Receiver<Stream>);

impl Listener {
    /// The next connection. Cancellation loses none.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        self.0.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

/// One end of a connection.
#[derive(Clone, Debug)]
pub struct Stream(Arc<Pipe>);

#[derive(Debug)]
struct Pipe {
    handle: OwnedHandle,
    /// In milliseconds.
    read_timeout: AtomicU32,
}

/// What the system is to do with a pipe.
enum Transfer<'a> {
    Connect,
    Read(&'a mut [u8]),
    Write(&'a [u8]),
}

impl Stream {
    fn new(handle: OwnedHandle) -> Self {
        Self(Arc::new(Pipe { handle, read_timeout: AtomicU32::new(INFINITE) }))
    }

    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }

    pub fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        let limit = limit.map_or(INFINITE, |limit| limit.as_millis() as u32);
        self.0.read_timeout.store(limit, Ordering::Relaxed);
        Ok(())
    }

    /// The other end reads the end of its input, an empty message, behind all that was written. It closes the pipe then.
    pub fn shutdown(&self, _how: Shutdown) -> io::Result<()> {
        self.transfer(Transfer::Write(&[]), INFINITE).map(drop)
    }

    /// Does this, within so many milliseconds. It has an event of its own to wait for: another thread may read while this one
    /// writes, which a handle that knows no overlapped operations would not let it.
    #[expect(unsafe_code, reason = "overlapped operations have no safe interface")]
    fn transfer(&self, what: Transfer<'_>, limit: u32) -> io::Result<usize> {
        let handle = HANDLE(self.0.handle.as_raw_handle());
        let mut length = 0;
        // SAFETY: the handle is open as long as `self`. The operation, its event and the buffer outlive it: it is over when its
        // result is had, and in any other case it is cancelled, and waited for.
        let done = unsafe {
            let event = CreateEventW(None, true, false, None).map_err(system_error)?;
            let event = Owned::new(event);
            let mut operation = OVERLAPPED { hEvent: *event, ..OVERLAPPED::default() };
            let state = &raw mut operation;
            let begun = match what {
                Transfer::Connect => ConnectNamedPipe(handle, Some(state)),
                Transfer::Read(buffer) => ReadFile(handle, Some(buffer), None, Some(state)),
                Transfer::Write(bytes) => WriteFile(handle, Some(bytes), None, Some(state)),
            };
            match begun {
                Err(error)
                    if ![ERROR_IO_PENDING, ERROR_MORE_DATA]
                        .map(HRESULT::from)
                        .contains(&error.code()) =>
                {
                    Err(error)
                }
                _ => GetOverlappedResultEx(handle, state, &raw mut length, limit, false).or_else(
                    |_| {
                        // It is over, or took too long.
                        let _ = CancelIoEx(handle, Some(state));
                        GetOverlappedResult(handle, state, &raw mut length, true)
                    },
                ),
            }
        };
        match done {
            // Of a longer message the rest is read next.
            Err(error) if error.code() != ERROR_MORE_DATA.into() => Err(system_error(error)),
            _ => Ok(length as usize),
        }
    }
}

fn is(error: &io::Error, which: &[WIN32_ERROR]) -> bool {
    which.iter().any(|which| error.raw_os_error() == Some(which.0 as i32))
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = self.0.read_timeout.load(Ordering::Relaxed);
        match self.transfer(Transfer::Read(buffer), limit) {
            // The other end is gone.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            read => read,
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.transfer(Transfer::Write(bytes), INFINITE)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
