//! The front door: what clients really send, and what they hand a server when they start it.

mod handshake;
#[cfg(target_os = "linux")]
mod hygiene;
#[cfg(target_os = "linux")]
mod idle;
mod lines;
mod logs;
mod signals;
mod streams;
mod wires;
