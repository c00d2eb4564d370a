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
fn the_shell_receives_the_command_as_its_last_argument() {
    let client = Setup::new().flags(["--shell", "/bin/echo 'one word' two"]).start();
    assert_eq!(client.run("a  b")["output"], "one word two a  b\n");
}

#[test]
fn standard_input_is_empty() {
    let client = Client::start();
    let reply = client.run("cat; echo end");
    assert_eq!(reply["output"], "end\n");
}

#[test]
fn standard_input_takes_a_megabyte_to_a_reader() {
    let client = Client::start();
    let megabyte = "0123456789abcde\n".repeat(65_536);
    let started = client.execute(&json!({"cmd": "wc -c; echo end", "stdin": megabyte}));
    let reply = client.wait(&ref_id(&started));
    let words: Vec<_> = text(&reply, "output").split_whitespace().collect();
    assert_eq!(words, ["1048576", "end"], "{reply}");
}

#[test]
fn standard_input_that_nobody_reads_hinders_nothing() {
    let client = Client::start();
    let megabyte = "x".repeat(1 << 20);
    let started =
        client.execute(&json!({"cmd": "echo end", "stdin": megabyte, "wait_seconds": 20}));
    assert_eq!(started["result"]["output"], "end\n", "{started}");
    let first_line = client.execute(&json!({"cmd": "read -r line; echo \"got $line\"", "stdin": "one\ntwo\n", "wait_seconds": 20}));
    assert_eq!(first_line["result"]["output"], "got one\n", "{first_line}");
}

#[test]
fn invariant_08_a_child_inherits_nothing_but_its_three_streams() {
    let client = Setup::new()
        .after("exec 7</dev/null 9>/dev/null; trap '' CHLD HUP INT TERM PIPE USR1")
        .start();
    let reply = client.run("ls /proc/$$/fd; grep -E '^Sig(Blk|Ign)' /proc/self/status");
    let output = text(&reply, "output");
    let mut lines = output.lines();
    let descriptors: Vec<_> = lines.by_ref().take_while(|line| !line.starts_with("Sig")).collect();
    assert_eq!(descriptors, ["0", "1", "2"], "{output}");
    // The C library's posix_spawn leaves the two signals it uses itself, 32 and 33, ignored.
    let of_the_library = 0b11 << 31;
    for line in output.lines().filter(|line| line.starts_with("Sig")) {
        let mask = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        assert_eq!(mask & !of_the_library, 0, "{output}");
    }
    let reply = client.run("exec 3</dev/tty && echo opened");
    assert_eq!(reply["output"], "", "there is a terminal: {reply}");
}

#[test]
fn an_inherited_ignored_sigchld_loses_no_exit() {
    let client = Setup::new().after("trap '' CHLD").start();
    let reply = client.run("exit 7");
    assert_eq!(reply["returncode"], 7, "{reply}");
}

#[test]
fn the_environment_is_the_servers_own_and_a_marker() {
    let client = Setup::new().environment("COLOUR", "blue and green").start();
    let started = client.execute(&json!({"cmd": "env"}));
    let id = ref_id(&started);
    let reply = client.wait(&id);
    let output = text(&reply, "output");
    assert!(output.lines().any(|line| line == "COLOUR=blue and green"), "{output}");
    let marker = format!("BACKGROUND_COMMAND_MCP_JOB_{}=1", id.replace('-', ""));
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
fn a_shell_that_lacks_its_c_is_refused_at_the_start() {
    let output = std::process::Command::new(crate::support::SERVER)
        .env("BACKGROUND_COMMAND_MCP_SHELL", "zsh -l")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("write `zsh -l -c`"), "{told}");
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
