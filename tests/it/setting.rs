//! Where a server finds itself: the directory and the environment that it was started with, and what it makes of them.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::support::{Client, EXECUTE, SERVER, Setup, eventually, processes::assert_gone, text};

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
    let (own, project, home) =
        (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
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

/// A server with a bare PATH whose user has this shell and these profiles.
fn with_profile(shell: &str, home: &TempDir, profiles: &[(&str, &str)]) -> Client {
    for (name, profile) in profiles {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, profile).unwrap();
    }
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
        let client = with_profile(shell, &home, &[(profile, lines)]);
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
fn a_profile_of_dialogues_that_fails_leaves_that_of_the_login() {
    let home = TempDir::new().unwrap();
    let login = "export OF_THE_PROFILE=new; case $- in *i*) exit 1;; esac\n";
    let client = with_profile("/bin/bash", &home, &[(".bash_profile", login)]);
    assert_eq!(client.run("echo $OF_THE_PROFILE")["output"], "new\n");
}

#[test]
fn a_profile_that_hangs_is_ended_with_all_it_started() {
    let home = TempDir::new().unwrap();
    let hang = "setsid sleep 600 & echo $! >>~/pids; sleep 601 & echo $! >>~/pids; wait\n";
    let client = with_profile("/bin/bash", &home, &[(".bash_profile", hang)]);
    let began = Instant::now();
    let ids: Vec<String> = (0..3).map(|_| client.begin("echo fine")).collect();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    for id in ids {
        assert_eq!(client.wait(&id)["output"], "fine\n");
    }
    let pids = std::fs::read_to_string(home.path().join("pids")).unwrap();
    let pids: Vec<u32> = pids.lines().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 4, "two tries: {pids:?}");
    assert_gone(&pids);
}

#[test]
fn what_a_profile_leaves_behind_is_ended() {
    let home = TempDir::new().unwrap();
    let agent = "setsid sleep 600 & echo $! >~/pid; export OF_THE_PROFILE=new\n";
    let client = with_profile("/bin/bash", &home, &[(".bash_profile", agent)]);
    assert_eq!(client.run("echo $OF_THE_PROFILE")["output"], "new\n");
    let pid = std::fs::read_to_string(home.path().join("pid")).unwrap();
    assert_gone(&[pid.trim().parse().unwrap()]);
}

#[test]
fn the_end_of_the_server_does_not_wait_for_a_profile() {
    let home = TempDir::new().unwrap();
    let hang = "echo $$ >~/pid; sleep 600\n";
    let client = with_profile("/bin/bash", &home, &[(".bash_profile", hang)]);
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
fn the_login_shell_is_not_asked_before_the_first_job() {
    let home = TempDir::new().unwrap();
    let client = with_profile("/bin/bash", &home, &[(".bash_profile", "touch ~/asked\n")]);
    client.list();
    assert!(!home.path().join("asked").exists());
    client.run("true");
    assert!(home.path().join("asked").exists());
}

/// No shell has seen what stands in a client's settings.
#[test]
fn a_tilde_is_the_home_directory_in_settings_too() {
    let home = TempDir::new().unwrap();
    let output = Command::new(SERVER)
        .args(["--check", "--cwd", "~", "--output-dir", "~/output"])
        .env("HOME", home.path())
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let line = |start: &str| shown.lines().find(|line| line.starts_with(start)).unwrap();
    let home = home.path().to_str().unwrap();
    assert!(line("directory").contains(home), "{shown}");
    assert!(line("output").ends_with(&format!("{home}/output")), "{shown}");
}

#[test]
fn a_check_tells_by_its_exit_code() {
    let check = |flags: &[&str]| {
        let directory = TempDir::new().unwrap();
        let output = Command::new(SERVER)
            .arg("--check")
            .env("BACKGROUND_COMMAND_MCP_OUTPUT_DIR", directory.path())
            .args(flags)
            .output()
            .unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        (output.status.code(), shown)
    };
    let (code, shown) = check(&[]);
    assert_eq!(code, Some(0), "{shown}");
    for part in [
        "version",
        "shell",
        "directory",
        "PATH",
        "limits",
        "output",
        "its processes ended",
        "all is well",
    ] {
        assert!(shown.contains(part), "{part} is missing: {shown}");
    }
    let (code, shown) = check(&["--output-dir", "/dev/null/x"]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("could not be stored"), "{shown}");
    let (code, shown) = check(&["--shell", "/no/such/shell"]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("/no/such/shell cannot be started"), "{shown}");
}
