//! What a command is given: its directory, its shell, its standard input, its environment, and nothing else.

use serde_json::json;

use crate::support::{Client, Setup, ref_id, text};

#[test]
fn the_directory_is_the_one_asked_for_or_the_servers() {
    let client = Client::start();
    let directory = client.scratch().canonicalize().unwrap();
    let directory = directory.to_str().unwrap();
    let started = client.execute(&json!({"cmd": "pwd", "cwd": directory}));
    assert_eq!(started["cwd"], directory);
    assert_eq!(client.wait(&ref_id(&started))["output"], format!("{directory}\n"));
    let here = std::env::current_dir().unwrap();
    assert_eq!(client.run("pwd")["output"], format!("{}\n", here.display()));
    let other = Setup::new().flags(["--cwd", directory]).start();
    assert_eq!(other.run("pwd")["output"], format!("{directory}\n"));
    std::fs::create_dir(client.scratch().join("below")).unwrap();
    let started = other.execute(&json!({"cmd": "pwd", "cwd": "below"}));
    assert_eq!(other.wait(&ref_id(&started))["output"], format!("{directory}/below\n"));
}

#[test]
fn standard_input_is_what_was_given_then_closed_and_nobody_has_to_read_it() {
    let client = Client::start();
    let megabyte = "0123456789abcde\n".repeat(65_536);
    for (cmd, stdin, output) in [
        ("cat; echo end", "", "end\n"),
        ("wc -c; echo end", &megabyte, "1048576\nend\n"),
        ("echo end", &megabyte, "end\n"),
        ("read -r line; echo \"got $line\"", "one\ntwo\n", "got one\n"),
    ] {
        let reply = client.execute(&json!({"cmd": cmd, "stdin": stdin, "wait_seconds": 20}));
        assert_eq!(reply["result"]["output"], output, "{cmd}");
    }
}

#[test]
fn the_environment_is_the_servers_own_and_a_marker() {
    let client = Setup::new().environment("COLOUR", "blue and green").start();
    let reply = client.run("env");
    let output = text(&reply, "output");
    assert!(output.lines().any(|line| line == "COLOUR=blue and green"), "{output}");
    let marker =
        format!("BACKGROUND_COMMAND_MCP_JOB_{}=1", text(&reply, "ref_id").replace('-', ""));
    assert!(output.contains(&marker), "{output}");
}

/// What models write, and what comes to a wrong end in a shell that knows only POSIX, often with exit code 0.
#[test]
fn commands_are_run_by_bash() {
    let directory = tempfile::TempDir::new().unwrap();
    let client = Setup::new().start();
    std::fs::create_dir_all(directory.path().join("venv/bin")).unwrap();
    std::fs::write(directory.path().join("venv/bin/activate"), "export VIRTUAL_ENV=here\n")
        .unwrap();
    for (cmd, output) in [
        ("mkdir -p src/{a,b}; ls src", "a\nb\n"),
        ("if [[ -d /tmp ]]; then echo yes; else echo no; fi", "yes\n"),
        ("source venv/bin/activate; echo $VIRTUAL_ENV", "here\n"),
        ("diff <(echo 1) <(echo 1) && echo same", "same\n"),
        ("names=(one two); echo ${names[1]} ${#names[@]}", "two 2\n"),
        ("set -euo pipefail; false | cat; echo not reached", ""),
        ("name=abc; echo ${name^^} ${name/b/x} ${name:1:1}", "ABC axc b\n"),
        ("cat <<< words", "words\n"),
        ("ls nothing-here &> both; wc -l < both", "1\n"),
        ("for ((i = 0; i < 3; i++)); do echo -n $i; done", "012"),
        ("echo -e 'a\\tb'; echo $'c\\td'", "a\tb\nc\td\n"),
        ("function greet { local name=$1; echo hello $name; }; greet you", "hello you\n"),
        ("declare -A ages=([ann]=3); echo ${ages[ann]}", "3\n"),
    ] {
        let reply =
            client.execute(&json!({"cmd": cmd, "cwd": directory.path(), "wait_seconds": 30}));
        assert_eq!(reply["result"]["output"], output, "{cmd}: {reply}");
    }
}

#[test]
fn a_plain_sh_that_is_given_bash_is_told_as_such_whatever_the_exit_code() {
    let client = Setup::new().flags(["--shell", "dash -c"]).start();
    for cmd in [
        "if [[ -d /tmp ]]; then echo yes; else echo no; fi",
        "source venv/bin/activate; echo on",
        "diff <(echo 1) <(echo 2)",
        "names=(one two)",
        "set -euo pipefail; true",
        "[[ -d /tmp ]] 2>&1; true",
    ] {
        let reply = client.execute(&json!({"cmd": cmd, "wait_seconds": 30}));
        assert!(text(&reply, "hint").contains("run bash -c '…'"), "{cmd}: {reply}");
    }
    let reply = client.execute(&json!({"cmd": "nothing-like-it", "wait_seconds": 30}));
    assert!(!text(&reply, "hint").contains("bash"), "{reply}");
}
