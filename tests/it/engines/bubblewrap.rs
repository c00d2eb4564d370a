//! bubblewrap.

use serde_json::json;
use tempfile::TempDir;

use super::{each_way_ends_the_far_side, shell, snippets, streams_and_codes_come_through};
use crate::faults::can;
use crate::support::{Setup, ref_id, text};

#[test]
fn bubblewrap_runs_and_ends_jobs() {
    let attempt =
        ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-pid", "true"];
    if !can("bubblewrap", "bwrap", &attempt) {
        return;
    }
    let project = TempDir::new().unwrap();
    let project = project.path().to_str().unwrap();
    let shell = shell(&snippets("bubblewrap")[0]).replace("/path/to/project", project);
    let setup = || Setup::new().flags(["--shell", &shell, "--cwd", project]);

    let client = setup().start();
    streams_and_codes_come_through(&client);
    let reply = client.run("echo in > inside && cat inside; echo out > ../outside");
    assert_eq!((&reply["output"], &reply["returncode"]), (&json!("in\n"), &json!(1)), "{reply}");
    assert!(text(&reply, "error").contains("Read-only file system"), "{reply}");

    let reply = client.run("(setsid sleep 1000 &); sleep 1000 & echo started");
    assert_eq!((&reply["output"], &reply["returncode"]), (&json!("started\n"), &json!(0)));
    client.assert_none_living();

    // A stopped command has its grace period and the last word.
    let cmd = "trap 'echo stopping; read -t 0.2 < <(:); echo stopped; exit 5' TERM; echo ready; sleep 1000 & wait";
    let job = ref_id(&client.execute(&json!({"cmd": cmd})));
    client.wait_for(&job, "ready");
    let result = &client.clean_up(&job)["result"];
    assert_eq!((&result["state"], &result["returncode"]), (&json!("stopped"), &json!(5)));
    assert_eq!(text(result, "output"), "ready\nstopping\nstopped\n", "{result}");
    drop(client);

    each_way_ends_the_far_side(0.1, setup);
}
