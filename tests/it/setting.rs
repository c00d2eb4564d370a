//! Where a server finds itself: the directory and the environment that it was started with, and what it makes of them.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::support::processes::{assert_gone, pids_in};
use crate::support::{Client, EXECUTE, Setup, eventually, files_below, server_command, text};

/// Where a job runs that names no directory, as the reply, the instructions and the job itself say.
#[track_caller]
fn assert_runs_in(client: &Client, directory: &Path) {
    let reply = client.call(EXECUTE, &json!({"cmd": "pwd", "wait_seconds": 40}));
    let directory = directory.canonicalize().unwrap();
    let expected = directory.to_str().unwrap();
    assert_eq!(text(&reply, "cwd"), expected);
    assert_eq!(text(&reply["result"], "output").trim_end(), expected);
    let instructions = text(&client.initialized, "instructions");
    assert!(instructions.contains(expected), "{instructions}");
}

#[test]
fn the_directory_is_the_nearest_one_that_means_something() {
    let [own, project, home] = [(); 3].map(|()| TempDir::new().unwrap());
    let path = |dir: &TempDir| dir.path().to_str().unwrap().to_owned();
    let in_own = format!("cd {}", path(&own));
    let setup = |start: &str| Setup::new().environment("HOME", &path(&home)).after(start);
    assert_runs_in(&setup(&in_own).start(), own.path());
    assert_runs_in(&setup("cd /").start(), home.path());
    assert_runs_in(&setup("cd /usr/bin").start(), home.path());
    let with_project = setup("cd /").environment("CLAUDE_PROJECT_DIR", &path(&project));
    assert_runs_in(&with_project.start(), project.path());
    let with_flag = setup(&in_own)
        .environment("CLAUDE_PROJECT_DIR", &path(&project))
        .flags(["--cwd", &path(&home)]);
    assert_runs_in(&with_flag.start(), home.path());
}

#[test]
fn a_setting_that_was_left_empty_is_not_set() {
    let client = Setup::new()
        .environment("BACKGROUND_COMMAND_MCP_SHELL", "${user_config.shell}")
        .environment("BACKGROUND_COMMAND_MCP_CWD", "")
        .environment("BACKGROUND_COMMAND_MCP_MAX_RUNNING", "")
        .environment("BACKGROUND_COMMAND_MCP_LOGIN_ENV", "false")
        .start();
    assert_eq!(client.run("echo fine")["output"], "fine\n");
}

/// A server with a bare PATH whose user has this shell and this profile.
fn with_profile(shell: &str, home: &TempDir, name: &str, profile: &str) -> Client {
    let path = home.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, profile).unwrap();
    Setup::new()
        .flags(["--login-env"])
        .environment("HOME", home.path().to_str().unwrap())
        .environment("SHELL", shell)
        .environment("PATH", "/usr/bin:/bin")
        .environment("OF_THE_CLIENT", "as it was")
        .start()
}

#[test]
fn the_login_shell_adds_to_the_environment() {
    for (shell, profile, lines) in [
        ("/bin/bash", ".bash_profile", POSIX),
        ("/bin/sh", ".profile", POSIX),
        ("/usr/bin/zsh", ".zshrc", POSIX),
        ("/usr/bin/fish", ".config/fish/config.fish", FISH),
        ("/usr/bin/tcsh", ".tcshrc", CSH),
    ] {
        if !Path::new(shell).exists() {
            continue;
        }
        let home = TempDir::new().unwrap();
        let client = with_profile(shell, &home, profile, lines);
        let reply = client.run("echo \"$PATH\"; echo \"$OF_THE_CLIENT $OF_THE_PROFILE\"");
        let mut seen = text(&reply, "output").lines();
        let path = seen.next().unwrap();
        assert!(path.split(':').any(|entry| entry == "/of/the/profile"), "{shell}: {path}");
        assert_eq!(seen.next(), Some("as it was new"), "{shell}: {}", client.log());
    }
}

const POSIX: &str = "echo a banner; echo another >&2; read -r answer
    PATH=/of/the/profile:$PATH; OF_THE_CLIENT=changed; OF_THE_PROFILE=new
    export PATH OF_THE_CLIENT OF_THE_PROFILE\n";
const FISH: &str = "echo a banner
    set -gx PATH /of/the/profile $PATH; set -gx OF_THE_CLIENT changed; set -gx OF_THE_PROFILE new\n";
const CSH: &str = "echo a banner
    setenv PATH /of/the/profile:$PATH
    setenv OF_THE_CLIENT changed
    setenv OF_THE_PROFILE new\n";

#[test]
fn what_a_profile_starts_is_ended_whether_it_hangs_or_not() {
    let start = "setsid sleep 600 & echo $! >>~/pids\n";
    let hang = "sleep 601 & echo $! >>~/pids; wait\n";
    for (profile, count) in [(start.to_owned(), 1), (start.to_owned() + hang, 4)] {
        let home = TempDir::new().unwrap();
        let client = with_profile("/bin/bash", &home, ".bash_profile", &profile);
        client.list();
        assert!(!home.path().join("pids").exists(), "asked before the first job");
        let began = Instant::now();
        let ids = [(); 3].map(|()| client.begin("echo fine"));
        let took = began.elapsed();
        assert!(took < Duration::from_secs(8), "{took:?}");
        for id in ids {
            assert_eq!(client.wait(&id)["output"], "fine\n");
        }
        let pids = pids_in(&json!(std::fs::read_to_string(home.path().join("pids")).unwrap()));
        assert_eq!(pids.len(), count, "two tries if the first hangs: {pids:?}");
        assert_gone(&pids);
    }
}

#[test]
fn the_end_of_the_server_does_not_wait_for_a_profile() {
    let home = TempDir::new().unwrap();
    let hang = "echo $$ >~/pid; sleep 600\n";
    let client = with_profile("/bin/bash", &home, ".bash_profile", hang);
    client.post(EXECUTE, &json!({"cmd": "echo never"}));
    let pid: u32 = eventually("the profile runs", || {
        let pid = std::fs::read_to_string(home.path().join("pid"));
        pid.map_err(|error| error.to_string())?.trim().parse().map_err(|error| format!("{error}"))
    });
    let end = client.hang_up();
    assert!(end.took < Duration::from_secs(2), "{end:?}");
    assert_gone(&[pid]);
}

#[test]
fn a_check_tells_by_its_exit_code_and_where_it_would_work() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    let check = |flags: &[&str]| {
        let mut server = server_command(&home.join("output"));
        let output = server.arg("--check").env("HOME", home).args(flags).output().unwrap();
        assert!(files_below(home).is_empty());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    // No shell has seen the tilde that stands in a client's settings.
    let (code, shown) = check(&["--cwd", "~", "--output-dir", "~/there"]);
    assert_eq!(code, Some(0), "{shown}");
    for part in ["version", "shell", "PATH", "limits", "its processes ended", "all is well"] {
        assert!(shown.contains(part), "{part} is missing: {shown}");
    }
    let line = |start: &str| shown.lines().find(|line| line.starts_with(start)).unwrap();
    assert!(line("directory").contains(home.to_str().unwrap()), "{shown}");
    assert!(line("output").ends_with(home.join("there").to_str().unwrap()), "{shown}");
    let (code, shown) = check(&["--output-dir", "/dev/null/x"]);
    assert!(code == Some(1) && shown.contains("could not be stored"), "{shown}");
    let (code, shown) = check(&["--shell", "/no/such/shell"]);
    assert!(code == Some(1) && shown.contains("/no/such/shell cannot be started"), "{shown}");
}
