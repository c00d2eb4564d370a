//! The world does its worst: processes that hide, disks that fail, limits, clients without manners, neighbours, clocks.

mod escapees;
mod watchdog;

use std::process::Command;

use serde_json::json;

use crate::support::processes::{self, pids_in};
use crate::support::reply::GET;
use crate::support::{Client, eventually};

/// Says its pid, then heeds no request to end. To be quoted with `'`.
const DEAF: &str = r#"trap "" TERM HUP INT QUIT; echo $$; sleep 1000"#;

/// Waits until a job has printed this many pids.
#[track_caller]
fn pids_of(client: &Client, id: &str, count: usize) -> Vec<u32> {
    eventually(&format!("{count} pids are printed"), || {
        let reply = client.call(GET, &json!({"ref_id": id, "cursor": "start"}));
        let pids = pids_in(&reply["output"]);
        if pids.len() == count {
            Ok(pids)
        } else {
            Err(reply.to_string())
        }
    })
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether this command works here. If not, the test that needs it says so and is passed over.
#[expect(clippy::print_stderr, reason = "what was not tested has to be seen")]
fn can(test: &str, program: &str, arguments: &[&str]) -> bool {
    let tried = Command::new(program).args(arguments).output();
    let reason = match tried {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    eprintln!(
        "{test}: skipped, `{program}` cannot do it here: {}",
        reason.trim()
    );
    false
}

#[expect(clippy::print_stderr, reason = "what was not tested has to be seen")]
fn skipped(test: &str, reason: &str) {
    eprintln!("{test}: skipped, {reason}");
}

/// The second process of a living server.
#[track_caller]
fn watchdog_of(client: &Client) -> u32 {
    let server = client.pid();
    eventually("the watchdog stands by", || {
        let children = processes::children(server);
        let found = children
            .iter()
            .find(|pid| processes::is_alive(**pid) && processes::is_watchdog_of(**pid, server));
        found.copied().ok_or_else(|| processes::describe(children))
    })
}
