//! What the tests stand on: the real server, commands that wait until they are told, and looking until it is so.
#![cfg_attr(
    not(target_os = "linux"),
    allow(
        dead_code,
        unused_imports,
        clippy::allow_attributes,
        reason = "many tests are Linux's only"
    )
)]

pub mod calls;
pub mod client;
pub mod end;
pub mod processes;
pub mod reply;
pub mod setup;
pub mod sync;

pub use calls::{Posted, number, output_directory, pid, ref_id, text, texts};
pub use client::{Client, call, initialize, is_readable};
pub use end::files_below;
pub use reply::{CLEANUP, EXECUTE, GET, LIST};
pub use setup::{SERVER, Setup, WIRES, Wire, server_command, with_desktop_environment};
pub use sync::{Gate, PATIENCE, assert_soon, assert_takes_less, eventually};
