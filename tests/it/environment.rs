//! What programs find in their environment, from a client that was started from a dock: no terminal, hardly a variable.

use serde_json::{Value, json};

use crate::support::{Client, Setup, text};

/// A server with these variables besides those of every test. Its jobs have a repository to work in.
#[track_caller]
fn desktop(variables: &str) -> Client {
    let client = Setup::new().after(&format!("unset LANG; set -- env {variables} \"$@\"")).start();
    let repository = client.scratch().join("repository");
    let made = run(
        &client,
        &format!(
            "mkdir {0} && cd {0} && git init -q && git config user.name n && git config user.email e@x && \
             for n in 1 2 3; do echo $n > file; git add file; git commit -qm commit-$n; done",
            repository.display()
        ),
    );
    assert_eq!(made["returncode"], 0, "{made}");
    client
}

#[track_caller]
fn run(client: &Client, cmd: &str) -> Value {
    let reply = client.execute(&json!({"cmd": cmd, "wait_seconds": 30, "kill_after_seconds": 20}));
    reply["result"].clone()
}

/// Runs a command in the repository.
#[track_caller]
fn git(client: &Client, cmd: &str) -> Value {
    let repository = client.scratch().join("repository");
    run(client, &format!("cd {}; {cmd}", repository.display()))
}

#[test]
fn programs_are_told_where_they_run() {
    let show = "echo $TERM; echo $LANG; echo $PYTHONUNBUFFERED; locale charmap";
    let shown = |variables: &str| text(&run(&desktop(variables), show), "output").to_owned();
    assert_eq!(shown(""), "dumb\nC.UTF-8\n1\nUTF-8\n");
    assert_eq!(shown("TERM=xterm LANG="), "dumb\nC.UTF-8\n1\nUTF-8\n");
    assert_eq!(shown("LC_ALL=C PYTHONUNBUFFERED=x"), "dumb\n\nx\nANSI_X3.4-1968\n");
    let set = run(
        &desktop(""),
        "export TERM=xterm LANG=C PYTHONUNBUFFERED=; echo $TERM $LANG $PYTHONUNBUFFERED.",
    );
    assert_eq!(set["output"], "xterm C .\n");
}

#[test]
fn what_a_python_program_prints_is_seen_while_it_runs() {
    let client = desktop("");
    let reply = client.execute(&json!({
        "cmd": "python3 -c 'import time; print(\"listening ä\"); time.sleep(1000)'",
        "wait_seconds": 30, "until_pattern": "listening"
    }));
    assert_eq!(reply["result"]["matched"], "listening ä", "{reply}");
}

/// Commands that would open an editor on a terminal, with the server's variables.
const REFUSED: &[(&str, &str)] = &[
    ("", "echo x >> file; git commit -a"),
    ("", "git commit --amend"),
    ("", "git tag -a v1"),
    ("", "git rebase -i HEAD~2"),
    ("", "git config core.editor vim; git commit --amend"),
    ("", "git -c core.editor='LANG=C vim -f' commit --amend"),
    ("", "git -c core.editor='\"/usr/bin/vim\"' commit --amend"),
    ("", "git -c sequence.editor=nano rebase -i HEAD~2"),
    ("EDITOR=vim", "git commit --amend"),
    ("EDITOR=vim", "git rebase -i HEAD~2"),
    ("VISUAL=vi EDITOR=nano", "git commit --amend"),
    ("GIT_EDITOR='emacs -nw'", "git commit --amend"),
    ("EDITOR=nano", "EDITOR=vim git commit --amend"),
    ("", "git branch --edit-description"),
    ("", "git revert -e HEAD"),
    ("", "git notes add"),
    ("EDITOR=vim", "sh -c \"$EDITOR file\""),
    ("VISUAL=vim", "sh -c \"${VISUAL:-${EDITOR:-vi}} file\""),
];

#[test]
fn an_editor_that_needs_a_terminal_fails_with_a_way_out() {
    for (variables, cmd) in REFUSED {
        let reply = git(&desktop(variables), cmd);
        assert_eq!(reply["state"], "exited", "{variables} {cmd}: {reply}");
        assert_ne!(reply["returncode"], 0, "{variables} {cmd}: {reply}");
        let error = text(&reply, "error");
        assert!(error.contains("no terminal to edit in"), "{variables} {cmd}: {reply}");
        assert!(error.len() < 400, "{variables} {cmd}: {reply}");
    }
}

/// Commands that edit without one, and what they print in the end.
const RUN: &[(&str, &str, &str)] = &[
    ("", "git -c core.editor=true commit --amend -q && git log -1 --format=%s", "commit-3\n"),
    ("", "EDITOR=true git commit --amend -q && echo ok", "ok\n"),
    ("", "VISUAL=true git commit --amend -q && echo ok", "ok\n"),
    ("EDITOR=vim VISUAL=vim", "EDITOR=true git commit --amend -q && echo ok", "ok\n"),
    ("", "GIT_EDITOR=true git rebase -i -q HEAD~2 2>/dev/null && echo ok", "ok\n"),
    ("EDITOR=vim", "GIT_EDITOR=: git rebase -i -q HEAD~2 && echo ok", "ok\n"),
    (
        "",
        "GIT_SEQUENCE_EDITOR='sed -i s/^pick/drop/' git rebase -i -q HEAD~2 2>/dev/null; git log --format=%s",
        "commit-1\n",
    ),
    (
        "",
        "git -c sequence.editor='sed -i \"2s/pick/fixup/\"' rebase -i -q HEAD~2 2>/dev/null; git log --format=%s",
        "commit-2\ncommit-1\n",
    ),
    (
        "",
        "git config core.editor \"sh -c 'echo \\\"a message\\\" > \\\"\\$1\\\"' --\"; git commit --amend -q; git log -1 --format=%s",
        "a message\n",
    ),
    (
        "EDITOR='sed -i s/commit/edited/'",
        "git commit --amend -q; git log -1 --format=%s",
        "edited-3\n",
    ),
    (
        "GIT_EDITOR='sed -i s/commit/edited/'",
        "git commit --amend -q; git log -1 --format=%s",
        "edited-3\n",
    ),
    ("", "git -c core.editor='vim -es +wq' commit --amend -q && echo ok", "ok\n"),
    ("EDITOR=vim", "git commit --amend --no-edit -q && echo ok", "ok\n"),
    (
        "EDITOR=vim",
        "echo x > file; git commit -qam 'with a message' && git log -1 --format=%s",
        "with a message\n",
    ),
    (
        "EDITOR=vim",
        "mv .git \"$PWD/a git\" && git --git-dir=\"$PWD/a git\" -c core.editor='sed -i s/commit/x/' commit --amend -q && git --git-dir=\"a git\" log -1 --format=%s",
        "x-3\n",
    ),
    (
        "",
        "git log --oneline | wc -l; git -p log -1 --format=%s; git diff HEAD~1 --stat | tail -1",
        "3\ncommit-3\n 1 file changed, 1 insertion(+), 1 deletion(-)\n",
    ),
    (
        "",
        "echo x >> file; git add -p 2>&1 | grep -c 'Stage this hunk'; git status --short",
        "1\n M file\n",
    ),
];

#[test]
fn an_editor_that_needs_no_terminal_runs() {
    for (variables, cmd, output) in RUN {
        let reply = git(&desktop(variables), cmd);
        assert_eq!(reply["output"], *output, "{variables} {cmd}: {reply}");
        assert_eq!(reply["returncode"], 0, "{variables} {cmd}: {reply}");
    }
}

/// A job has no terminal to ask on: what tries ends at once instead of waiting for a key.
#[test]
fn a_question_on_the_terminal_is_refused_at_once() {
    let client = desktop("");
    for cmd in [
        "read x < /dev/tty",
        "read -s -p 'Password: ' x < /dev/tty",
        "ssh-keygen -y -f /nonexistent",
        "stty -F /dev/tty",
    ] {
        let reply = run(&client, cmd);
        assert_eq!(reply["state"], "exited", "{cmd}: {reply}");
        assert_ne!(reply["returncode"], 0, "{cmd}: {reply}");
    }
}
