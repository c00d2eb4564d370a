//! This very program, to be started again.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The pid of the process that started this one to serve.
pub use std::os::unix::process::parent_id as supervisor;

/// By its own path, which is what `ps` shows, or if another file is there by now, by the kernel's link to the one that
/// runs. That link names this process, so that a process in between may follow it too.
pub fn program() -> io::Result<PathBuf> {
    let by_path = std::env::current_exe()?;
    let running = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    let identity = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    match identity(&running) {
        Some(this) if identity(&by_path) != Some(this) => Ok(running),
        _ => Ok(by_path),
    }
}

/// Starts it with one more argument, in the background of a shell that ends: some clients kill the whole tree below a server.
pub fn start_in_background(argument: &str) -> io::Result<()> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "\"$0\" \"$@\" &"]).arg(program()?);
    command.args(std::env::args_os().skip(1)).arg(argument);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().map(drop)
}
