//! The named pipe by which a user's clients find the user's one background process: what a local socket is elsewhere.
//!
//! Its name depends on the user alone, on the version, and on whether the client has an administrator's rights, which jobs of
//! the others must not get. It vanishes with its process.

use std::fs::File;
use std::io;
use std::mem::replace;
use std::os::windows::io::AsRawHandle;
use std::path::PathBuf;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::windows::named_pipe::{ClientOptions, PipeMode, ServerOptions};
/// A connection, as the client and as the background process have it.
pub use tokio::net::windows::named_pipe::{
    NamedPipeClient as ToDaemon, NamedPipeServer as ToClient,
};
use windows::Win32::Foundation::HANDLE;
use windows::Win32::System::Pipes::GetNamedPipeServerProcessId;

use super::user::{self, system_error};

/// It carries messages, since only these can be empty, which is how the end of input is told.
const MODE: PipeMode = PipeMode::Message;

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
    pub async fn connect(&self) -> io::Result<ToDaemon> {
        let pipe = ClientOptions::new().pipe_mode(MODE).open(&self.name)?;
        let mut pid = 0;
        // SAFETY: the handle is open, and a number is written.
        unsafe { GetNamedPipeServerProcessId(HANDLE(pipe.as_raw_handle()), &raw mut pid) }
            .map_err(system_error)?;
        if user::of(pid) != Some(user::own()?) {
            let refused = format!("{} is of another user", self.name);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, refused));
        }
        Ok(pipe)
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
        Ok(Listener { next: self.instance(true)?, place: self.clone() })
    }

    /// One end of the pipe, for one client.
    #[expect(unsafe_code, reason = "access for this user alone has no safe interface")]
    fn instance(&self, is_first: bool) -> io::Result<ToClient> {
        let label = if self.is_elevated { "S:(ML;;NW;;;HI)" } else { "" };
        let mut options = ServerOptions::new();
        options.pipe_mode(MODE).first_pipe_instance(is_first);
        user::make_private(label, |attributes| {
            // SAFETY: the attributes are those of the caller.
            unsafe { options.create_with_security_attributes_raw(&self.name, attributes) }
        })
    }
}

/// Where clients arrive.
#[derive(Debug)]
pub struct Listener {
    next: ToClient,
    place: Place,
}

impl Listener {
    /// The next connection. Cancellation loses none.
    pub async fn accept(&mut self) -> io::Result<ToClient> {
        self.next.connect().await?;
        Ok(replace(&mut self.next, self.place.instance(false)?))
    }
}

/// The other end reads the end of its input, an empty message, behind all that was written.
pub async fn end(to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    to.write(&[]).await.map(drop)
}
