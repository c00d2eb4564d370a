//! Recognises that a plain sh was given bash. Its errors do not say so, and half of them leave the exit code at 0.

use std::sync::LazyLock;

use regex::Regex;

use crate::process::shell::{Shell, bash};

/// What to do about bash syntax in a command that this shell has run, if its output tells of any.
pub fn in_plain_sh(shell: &Shell, output: &[&str]) -> Option<String> {
    if !shell.is_plain() || !output.iter().any(|output| tells_of_bash(output)) {
        return None;
    }
    let hint = match bash() {
        Some(_) => "The shell is a plain sh, which does not know this bash syntax: run bash -c '…'",
        None => "The shell is a plain sh, and there is no bash here: write it without bash syntax",
    };
    Some(hint.to_owned())
}

fn tells_of_bash(output: &str) -> bool {
    static ERROR: LazyLock<Regex> = LazyLock::new(|| {
        let commands =
            r"\[\[|source|declare|typeset|shopt|mapfile|readarray|pushd|popd|let|function|disown";
        let syntax =
            r#"Syntax error: (?:"(?:\(|\}|&|do)"|redirection) unexpected|Syntax error: Bad for"#;
        let rest =
            r"Bad substitution|\w+: Illegal option|\[: .*unexpected operator|trap: .*bad trap";
        let pattern = format!(
            r"(?m)^\S*sh: (?:line )?(?:\d+: )?(?:(?:{commands}): not found|{syntax}|{rest})"
        );
        Regex::new(&pattern).expect("the pattern is valid")
    });
    ERROR.is_match(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bash_is_told_from_what_is_wrong_in_any_shell() {
        for error in [
            "sh: 1: [[: not found",
            "/bin/sh: 1: source: not found",
            "dash: 1: Syntax error: \"(\" unexpected",
            "sh: 1: set: Illegal option -o pipefail",
            "sh: 1: Bad substitution",
            "sh: 1: Syntax error: redirection unexpected",
            "sh: 1: Syntax error: Bad for loop variable",
            "sh: 1: Syntax error: \"}\" unexpected",
            "building\nsh: 3: declare: not found\ndone",
            "sh: 1: [: a: unexpected operator",
        ] {
            assert!(tells_of_bash(error), "{error}");
        }
        for error in [
            "sh: 1: ech: not found",
            "sh: 1: Syntax error: Unterminated quoted string",
            "sh: 1: Syntax error: end of file unexpected (expecting \"fi\")",
            "sh: 1: cd: can't cd to /no",
            "source: not found",
            "./configure: 12: source: not found",
        ] {
            assert!(!tells_of_bash(error), "{error}");
        }
    }
}
