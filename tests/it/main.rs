//! The server from outside: the real binary, real commands, what the kernel and the files say of them.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_input;
mod command;
mod contract;
mod docs;
mod ending;
#[cfg(target_os = "linux")]
mod engines;
mod environment;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod field;
mod hints;
mod lifecycle;
mod limits;
mod load;
mod news;
mod output;
mod paging;
mod patterns;
mod setting;
mod shutdown;
#[cfg(target_os = "linux")]
mod soak;
mod stdio;
mod support;
mod tools;
mod waiting;
