//! The world does its worst: processes that hide, disks that fail or hang, limits, clients without manners, neighbours, clocks.

mod clients;
mod clock;
mod disk;
mod keep;
mod limits;
mod neighbours;
mod pids;
mod sandbox;
mod slow_disk;
mod survivors;
mod trees;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use tempfile::TempDir;

use crate::support::{Client, GET, SERVER, Setup, eventually, processes::pids_in};

/// Says its pid, then heeds no request to end. To be quoted with `'`.
const DEAF: &str = r#"trap "" TERM HUP INT QUIT; echo $$; sleep 1000"#;

/// Waits until a job has printed this many pids.
#[track_caller]
fn pids_of(client: &Client, id: &str, count: usize) -> Vec<u32> {
    eventually(&format!("{count} pids are printed"), || {
        let reply = client.call(GET, &json!({"ref_id": id, "cursor": "start"}));
        let pids = pids_in(&reply["output"]);
        if pids.len() == count { Ok(pids) } else { Err(reply.to_string()) }
    })
}

/// Whether this command works here. If not, the test that needs it says so and is passed over.
pub fn can(test: &str, program: &str, arguments: &[&str]) -> bool {
    let tried = Command::new(program).args(arguments).output();
    let reason = match tried {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    skipped(test, &format!("`{program}` cannot do it here: {}", reason.trim()));
    false
}

/// Unlike what a macro prints, this is seen of a test that passes too.
pub fn skipped(test: &str, reason: &str) {
    let _ = writeln!(std::io::stderr(), "{test}: skipped, {reason}");
}

/// Compiles a small C program, if there is a compiler.
fn compiled(test: &str, source: &str, path: PathBuf, flags: &[&str]) -> Option<PathBuf> {
    if !can(test, "gcc", &["--version"]) {
        return None;
    }
    let file = path.with_extension("c");
    fs::write(&file, source).unwrap();
    let output = Command::new("gcc").args(flags).arg("-o").arg(&path).arg(&file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(path)
}

fn open_to_all(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A user who has nothing but a copy of the server and a directory for its output.
struct OrdinaryUser {
    user: u32,
    directory: TempDir,
}

impl OrdinaryUser {
    /// Shell that makes `"$@"`, a server with arguments, run as this user.
    fn launcher(&self) -> String {
        let (user, server) = (self.user, self.directory.path().join("server"));
        let server = server.display();
        format!(
            "shift; set -- setpriv --reuid={user} --regid={user} --clear-groups {server} \"$@\""
        )
    }

    fn output(&self) -> PathBuf {
        self.directory.path().join("output")
    }
}

/// None where there can be no such user. Limits on processes and refused signals do not concern root.
fn ordinary_user(test: &str) -> Option<OrdinaryUser> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if !rustix::process::geteuid().is_root() {
        skipped(test, "only root can run the server as somebody else");
        return None;
    }
    let user =
        1_000_000 + (std::process::id() % 100_000) * 100 + NEXT.fetch_add(1, Ordering::Relaxed);
    let become_user = [format!("--reuid={user}"), format!("--regid={user}")];
    let [reuid, regid] = become_user.each_ref().map(String::as_str);
    if !can(test, "setpriv", &[reuid, regid, "--clear-groups", "true"]) {
        return None;
    }
    let directory = TempDir::new().unwrap();
    let user = OrdinaryUser { user, directory };
    let server = user.directory.path().join("server");
    open_to_all(user.directory.path(), 0o755);
    // Where it was built, others may have no access. Another process copies it: a child that another test forks while this one
    // has the file open for writing would make it busy.
    let copied = Command::new("cp").arg(SERVER).arg(&server).status();
    assert!(copied.unwrap().success());
    open_to_all(&server, 0o755);
    fs::create_dir(user.output()).unwrap();
    open_to_all(&user.output(), 0o777);
    Some(user)
}

/// A server that will run as such a user, and its directory.
fn as_an_ordinary_user(test: &str) -> Option<(Setup, TempDir)> {
    let user = ordinary_user(test)?;
    let setup = Setup::new().after(&user.launcher()).output_dir(&user.output());
    Some((setup.flags(["--cwd", "/"]), user.directory))
}
