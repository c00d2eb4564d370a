//! What the tests stand on: the real server, commands that wait until they are told, and looking until it is so.

pub(crate) mod client;
pub(crate) mod eventually;
pub(crate) mod gate;
pub(crate) mod peer;
pub(crate) mod processes;
pub(crate) mod reply;
pub(crate) mod schema;

pub(crate) use client::{Client, Setup};
pub(crate) use eventually::{PATIENCE, assert_soon, eventually};
pub(crate) use gate::Gate;
