//! The sandbox that the README shows.

use super::can;
use crate::support::{Setup, processes, text};

/// The value of the option in the README's section, for this directory.
fn shell(project: &str) -> String {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Security\n").unwrap();
    let (_, shell) = section.split_once("--shell \"").unwrap();
    let (shell, _) = shell.split_once("\"\n").unwrap();
    shell.replace("/path/to/project", project)
}

#[test]
fn the_sandbox_of_the_readme_confines_and_ends_its_jobs() {
    let sandbox = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all"];
    if !can("a sandbox", "bwrap", &[&sandbox[..], &["true"]].concat()) {
        return;
    }
    // Not below the /tmp that the sandbox replaces: there nothing of ours can be written in any case.
    let project = tempfile::TempDir::new_in("/var/tmp").unwrap();
    let outside = tempfile::TempDir::new_in("/var/tmp").unwrap();
    let path = project.path().to_str().unwrap();
    let client = Setup::new().flags(["--shell", &shell(path), "--cwd", path]).start();
    let reply = client.run(&format!(
        "echo in > inside; cat inside; echo out > {}/file || echo refused; ls /sys/class/net 2>/dev/null | wc -l; cat /proc/net/dev | grep -vc lo:; exit 3",
        outside.path().display()
    ));
    assert_eq!(reply["returncode"], 3, "{reply}");
    assert!(text(&reply, "output").starts_with("in\nrefused\n"), "{reply}");
    assert!(project.path().join("inside").exists());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    // Two lines of headings, no device.
    assert!(text(&reply, "output").ends_with("\n2\n"), "{reply}");

    let id = client.begin("(setsid sh -c 'trap \"\" TERM; echo ready; sleep 1000' &); sleep 1000");
    client.wait_for(&id, "ready");
    let inside = client.living();
    assert!(inside.len() >= 3, "{}", processes::describe(inside));
    client.clean_up(&id);
    client.assert_none_living();
}
