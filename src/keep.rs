//! `--keep`: jobs that outlive their client.
//!
//! They belong to one background process of the user (`daemon`). What the client starts is then only a `relay`: it says
//! how its jobs are to run, and from then on carries lines between its standard streams and the daemon's socket. Behind the
//! socket is the same server as without `--keep`.

pub mod daemon;
pub mod relay;

use std::io;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncWrite, copy, duplex};
use tokio_util::io::SyncIoBridge;

use crate::process::local;
use crate::registry::connection::Connection;

/// The first line of a connection to the daemon.
#[derive(Debug, Serialize, Deserialize)]
enum Request {
    /// Lines of MCP follow, in both directions, once the daemon has answered with a line of its own.
    Serve(Box<Connection>),
    /// The answer is a [`Status`], and then the connection ends.
    Status { stop: bool },
}

/// The supervisor's pid, which is the process to look at, or to kill; and what people want to know of the daemon, in words.
type Status = (u32, String);

/// A writer for a thread, and what carries to the connection all that it gets, and when it is dropped the end.
fn carried(
    mut to: impl AsyncWrite + Unpin,
) -> (impl io::Write + Send, impl Future<Output = io::Result<()>>) {
    let (writer, mut written) = duplex(64 << 10);
    let carry = async move {
        copy(&mut written, &mut to).await?;
        local::end(&mut to).await
    };
    (SyncIoBridge::new(writer), carry)
}
