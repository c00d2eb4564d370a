//! The local socket by which a user's clients find the user's one background process.
//!
//! Where it is depends on the user alone, and not on the environment of a client: the home directory is that of the password
//! database. The version is in its name, so that clients of two versions have a process each.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::UnixListener;
/// A connection, as the client and as the background process have it.
pub use tokio::net::{UnixStream as ToDaemon, UnixStream as ToClient};

use super::make_own;

/// Where the socket is.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
}

impl Place {
    /// In the user's cache directory, or for a user without a home in the one for temporary files. It is the user's alone.
    pub fn of_user() -> io::Result<Self> {
        let uid = Uid::effective();
        let home = User::from_uid(uid)?.map(|user| user.dir).filter(|home| home.is_dir());
        let in_home = home.map(|home| home.join(".cache/background-command-mcp"));
        let in_tmp = Path::new("/tmp").join(format!("background-command-mcp-{uid}"));
        let folder = in_home.filter(|folder| make_own(folder).is_ok());
        let folder = folder.map_or_else(|| make_own(&in_tmp).map(|()| in_tmp), Ok)?;
        Ok(Self { folder })
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join(format!("keep-{}.socket", env!("CARGO_PKG_VERSION")))
    }

    pub async fn connect(&self) -> io::Result<ToDaemon> {
        ToDaemon::connect(self.socket()).await
    }

    /// Held by the one client that starts the process.
    pub fn lock(&self) -> io::Result<File> {
        let folder = File::open(&self.folder)?;
        folder.lock()?;
        Ok(folder)
    }

    /// Where nothing listens: a socket that is there was left by a process that was killed.
    pub fn listen(&self) -> io::Result<Listener> {
        let path = self.socket();
        drop(fs::remove_file(&path));
        let socket = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Listener { socket, path })
    }
}

/// Where clients arrive.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// The next connection of a process of this user. Cancellation loses none.
    pub async fn accept(&mut self) -> io::Result<ToClient> {
        loop {
            let (stream, _) = self.socket.accept().await?;
            if stream.peer_cred()?.uid() == Uid::effective().as_raw() {
                return Ok(stream);
            }
            tracing::warn!("refused a connection of another user");
        }
    }
}

impl Drop for Listener {
    /// While it still accepts: after that the next client starts another process, whose socket is left alone.
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

/// The other end reads the end of its input, behind all that was written.
pub async fn end(to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    to.shutdown().await
}
