//! `--keep`: jobs that outlive their client.
//!
//! They belong to one background process of the user (`daemon`). What the client starts is then only a `relay`: it says
//! how its jobs are to run, and from then on carries lines between its standard streams and the daemon's socket. Behind the
//! socket is the same server as without `--keep`.

pub mod daemon;
pub mod relay;

use serde::{Deserialize, Serialize};

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
