//! Processes that cannot be ended, or cannot be told to be a job's: named, and nobody else is hit for them.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;

use super::{as_an_ordinary_user, can, compiled, open_to_all, pids_of};
use crate::support::{CLEANUP, Client, eventually, processes, text};

/// It may be of any of the jobs that ran when it got away, whichever of them is left in the end.
#[test]
fn an_escapee_of_one_of_several_jobs_is_never_that_of_the_last_one_and_ends_with_the_server() {
    if !can("an escapee without traces", "perl", &["-e", "1"]) {
        return;
    }
    let client = Client::start();
    let last = client.begin("while :; do sleep 0.05; done");
    let file = client.scratch().join("pid");
    let daemon = "use POSIX; exit if fork; setsid; exit if fork; $0 = \"x\" x 20000; $SIG{TERM} = \"IGNORE\"; \
         open F, \">\", $ARGV[0]; print F \"$$\\n\"; close F; sleep 1000";
    let id = client.begin(&format!(
        "env -i PATH=\"$PATH\" perl -e '{daemon}' {} < /dev/null > /dev/null 2>&1; sleep 1000",
        file.display()
    ));
    let escapee = eventually("it has got away", || {
        let written = fs::read_to_string(&file).unwrap_or_default();
        written.trim().parse().map_err(|_| written)
    });
    client.clean_up(&id);
    client.run("true");
    client.clean_up(&last);
    assert!(processes::is_alive(escapee), "it was ended with another job");
    let reply = client.run("true");
    assert!(reply["leftover_processes"].is_null(), "{reply}");
    client.assert_ends_well();
    assert!(!processes::is_alive(escapee));
}

/// A program that any user may start and that belongs to root from then on: no signal of ours reaches it.
const BECOMES_ROOT: &str = r#"
#include <stdio.h>
#include <unistd.h>
int main(void) {
    if (setuid(0) != 0) { perror("setuid"); return 1; }
    printf("%d\n", (int) getpid());
    fflush(stdout);
    sleep(1000);
    return 0;
}
"#;

/// The server as an ordinary user, with that program in reach; none where it cannot be so.
fn with_untouchable(test: &str) -> Option<(Client, PathBuf, TempDir)> {
    let (setup, directory) = as_an_ordinary_user(test)?;
    let program = compiled(test, BECOMES_ROOT, directory.path().join("becomes-root"), &[])?;
    open_to_all(&program, 0o4755);
    Some((setup.start(), program, directory))
}

#[test]
fn who_cannot_be_ended_is_named_by_pid_and_not_called_stopped() {
    let Some((client, program, _directory)) = with_untouchable("survivors") else {
        return;
    };
    let program = program.display();
    let id = client.begin(&format!(
        "(setsid {program} &); (sh -c 'trap \"\" TERM; sleep 1000' &); sleep 1000"
    ));
    let survivor = pids_of(&client, &id, 1)[0];
    let reply = client.refused(CLEANUP, &json!({"ref_id": id, "grace_seconds": 0.1}));
    assert_eq!(reply["survivors"], json!([survivor]), "{reply}");
    let message = text(&reply, "message");
    let is_named = message.contains(&survivor.to_string());
    assert!(is_named && !message.contains("was stopped"), "{message}");
    assert_eq!(reply["result"]["leftover_processes"], json!([survivor]), "{reply}");
    assert!(processes::is_alive(survivor));

    // The job is kept, so that it can be tried again, by whoever has ended the process by other means.
    assert_eq!(client.get(&id)["leftover_processes"], json!([survivor]));
    processes::kill(survivor);
    let reply = client.clean_up(&id);
    assert!(reply["survivors"].is_null(), "{reply}");

    // A command that survives its time limit runs on.
    let cmd = format!("exec {program}");
    let reply = client.execute(&json!({"cmd": cmd, "kill_after_seconds": 0.5, "wait_seconds": 3}));
    let id = text(&reply, "ref_id");
    let survivor = pids_of(&client, id, 1)[0];
    assert_eq!(reply["result"]["state"], "running", "{reply}");
    processes::kill(survivor);
    assert_eq!(client.wait(id)["returncode"], -9, "{reply}");

    // One that survives the server is named in its log.
    let id = client.begin(&format!("(setsid {program} &); sleep 1000"));
    let survivor = pids_of(&client, &id, 1)[0];
    let end = client.hang_up();
    assert!(end.status.success() && end.took.as_secs_f64() < 3.0, "{end:?}");
    assert!(processes::is_alive(survivor));
    eventually("the log names it", || {
        let log = client.log();
        let named = log
            .lines()
            .any(|line| line.contains("did not end") && line.contains(&survivor.to_string()));
        if named { Ok(()) } else { Err(log) }
    });
    processes::kill(survivor);
}
