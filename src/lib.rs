//! Shell jobs for AI agents: an MCP server on standard input and output.
//!
//! An agent starts a command, goes on working, and comes back for the result. What makes that hard is not the protocol
//! but the truth: when has a command ended, what did it write, what is still alive, and what remains when the server
//! itself is killed.
//!
//! # The map, in reading order
//!
//! A job and its life:
//!
//! - [`job`]: what a job is: its `record`, a `snapshot`; no I/O, imports nothing of the crate
//! - [`watcher`]: the one task that owns a process, from spawn to its last byte: the `capture` of its output, the
//!   `stop` of its tree
//! - [`registry`]: which jobs exist. How one is started (`start`), and what of that is its
//!   client's (`connection`): the directory (`working_dir`), the environment (`login_env`). Which results are evicted
//!   (`evict`), and when (`sweeper`)
//!
//! What they stand on:
//!
//! - [`process`]: the operating system: `spawn`, the `shell` that runs commands, what of the login shell it gets
//!   (`login_env`), and what the `launcher` of the server left in the PATH; the `tree` of a job, its `pipe`s, the `standard`
//!   streams of this process, the `local` socket of `--keep`. `unix` has these and the
//!   `reaper` of children and adopted orphans; `linux` and `macos` are what each says of processes.
//!   `windows` has job objects and the `console`, and makes things for the `user` alone
//! - [`output`]: the bytes: a bounded `log` of `segments` in the `directory` of a `store`; read as a `stream`, shown as an
//!   `excerpt` or a page from a `cursor` on, each line as a `terminal` shows it; the `search` for a line
//! - [`environment`]: what a job inherits, and what its programs are told about where they run
//! - [`supervisor`]: the server's parent, which ends what a killed server leaves
//! - [`blocking`]: work that may block, and how a lock is taken; [`mod@format`]: how numbers, durations and errors are written
//!
//! The front door, with all that knows the protocol:
//!
//! - [`transport`]: standard input and output for the SDK, a thread each; how a line is `decode`d, or refused
//! - [`server`]: the tool router and its four tools, a file each: `execute`, `get`, `list`, `cleanup`. How `params` are read,
//!   the `job_view` in replies, their `schema`; what one `call` needs of its conversation; how to `wait`, for a
//!   `pattern` too; the `messages` and `hints` that a model reads
//!
//! From start to end:
//!
//! - [`keep`]: with `--keep`, the `relay` that a client starts and the `daemon` that has the jobs
//! - [`mod@run`]: the server; [`config`]: every limit, read once; [`startup`]: what must not be inherited; [`logging`]: log
//!   lines by a thread of their own; [`self_test`]: `--check`
//!
//! Imports point one way: `main → keep → run → server → registry → watcher → process, output → job`. What differs
//! between systems is known only in `process`, `main`, `supervisor`, `startup` and `output::directory`.
//!
//! # Invariants
//!
//! Each is held by a type or by a test that carries its number.
//!
//! 1. Only a job's watcher writes its record; everyone else reads it.
//! 2. Only the watcher holds the child; everyone else asks it to stop.
//! 3. `running` turns false when the kernel has reported the end of the command's own process, whoever still holds its pipes;
//!    what is in the pipes then is read before anyone is woken, and where others hold them, what comes within 150 ms. The
//!    exit never changes afterwards; output goes on being captured while a leftover process of the job writes it.
//! 4. A leftover process is not killed for being left over. It ends with cleanup, with the server, or by itself; until
//!    then its job keeps its slot and is not evicted.
//! 5. No signal is ever sent to a process that is not the job's: the leader stays unreaped, so that its pid cannot be
//!    recycled, while its group has another live member; a process outside the group is signalled through a pidfd whose
//!    identity was checked.
//! 6. Every byte is retained or counted as dropped. Memory per job does not depend on how much it writes.
//! 7. No lock is held across an await, a spawn, a signal, a file operation or a log line.
//! 8. Standard output carries JSON-RPC and nothing else. A child inherits none of our descriptors, no terminal, no
//!    ignored signal, no mask.
//! 9. Every request that carries an id gets exactly one answer, unless its client cancels it; nothing a client sends ends
//!    the server except the end of its input.
//! 10. No process of a job outlives the server by more than 3 s, however the server or its supervisor ends, except one that
//!     changed its user, or when both are killed in the same instant. While the server lives, an orphan that cannot be
//!     attributed to a job ends with the server, not with a cleanup.
//! 11. A finished job's result is there until `retention` has passed since it *finished*, or `--max-finished` newer ones
//!     exist, or its bytes are needed for `--max-total-bytes`.
//!
//! # The life of a job
//!
//! ```text
//! tools/call → server → registry.start: slot (permit) → spawn → claim → watcher task → map → reply
//! watcher:  until exit: records what the capture thread has stored · end of the process · stop request or time limit
//!                       → TERM tree → grace → KILL tree
//!           exit: pipes closed, or drained after 150 ms; record = finished, waiters woken
//!           then: go on until both pipes end and the tree is empty: reap the leader, free the slot
//! tools/call → registry.get → snapshot → excerpt → job_view → reply      (waits are on the record's watch channel)
//! sweeper   → registry.evict(now): out of the map → files away
//! cleanup   → job.stop, until nothing is alive → last words → out of the map → files away
//! EOF / SIGTERM / SIGINT / SIGHUP → calls under way answered → all trees TERM, short grace, KILL → files away → exit 0
//! ```

mod blocking;
pub mod config;
mod environment;
mod format;
#[cfg(any(fuzzing, test))]
#[path = "../tests/fuzz/targets.rs"]
pub mod fuzzing;
mod job;
pub mod keep;
mod logging;
mod output;
mod process;
mod registry;
mod run;
mod self_test;
mod server;
mod startup;
pub mod supervisor;
mod transport;
mod watcher;

pub use process::login_env::{is_printer, print_environment};
pub use process::own::start_in_background;
pub use run::run;
pub use self_test::check;
