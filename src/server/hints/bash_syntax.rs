//! Recognises that a plain sh, or the bash 3.2 of macOS, was given the syntax of a newer bash. Their errors do not say so, and
//! half of them leave the exit code at 0.

use std::sync::LazyLock;

use regex::Regex;

use crate::process::shell::bash;

/// What a plain sh says of bash syntax.
static IN_PLAIN_SH: LazyLock<Regex> = LazyLock::new(|| {
    let commands =
        r"\[\[|source|declare|typeset|shopt|mapfile|readarray|pushd|popd|let|function|disown";
    let syntax =
        r#"Syntax error: (?:"(?:\(|\}|&|do)"|redirection) unexpected|Syntax error: Bad for"#;
    let rest = r"Bad substitution|\w+: Illegal option|\[: .*unexpected operator|trap: .*bad trap";
    error_of("sh", &format!(r"(?:{commands}): not found|{syntax}|{rest}"))
});

/// What a bash before 4.0 says of that of newer ones.
static IN_OLD_BASH: LazyLock<Regex> = LazyLock::new(|| {
    let options = r"(?:declare|local|typeset): -[An]: invalid option|shopt: globstar: invalid";
    let commands = r"(?:mapfile|readarray|coproc): command not found";
    let case = r"\$\{\w+(?:\^|,)[^}]*\}: bad substitution";
    error_of("bash", &format!("{options}|{commands}|{case}"))
});

/// One of these errors, as a line that such a shell writes.
fn error_of(shell: &str, errors: &str) -> Regex {
    let pattern = format!(r"(?m)^\S*{shell}: (?:line )?(?:\d+: )?(?:{errors})");
    Regex::new(&pattern).expect("the pattern is valid")
}

/// What to do about bash syntax that a shell did not know, if the output of a command tells of any.
pub fn unknown_syntax(output: &[&str]) -> Option<&'static str> {
    // Few outputs name a shell, and a pattern takes time and memory from its first use on.
    let of_shells = output.iter().filter(|output| output.contains("sh: "));
    let tells_of = |error: &LazyLock<Regex>| of_shells.clone().any(|output| error.is_match(output));
    if tells_of(&IN_OLD_BASH) {
        return Some(
            "This bash is older than 4.0, as that of macOS is: write it without associative arrays, mapfile, ${x,,} and \
             globstar, or run a newer bash by its path",
        );
    }
    tells_of(&IN_PLAIN_SH).then(|| match bash() {
        Some(_) => "A plain sh was given bash syntax: run bash -c '…', or the script with bash",
        None => "A plain sh was given bash syntax, and there is no bash here: write it without",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_bash_is_told_from_what_is_wrong_in_any() {
        for error in [
            "/bin/bash: line 0: declare: -A: invalid option",
            "bash: mapfile: command not found",
            "/bin/bash: line 0: shopt: globstar: invalid shell option name",
            "/bin/bash: ${x,,}: bad substitution",
        ] {
            assert!(IN_OLD_BASH.is_match(error), "{error}");
        }
        for error in [
            "bash: line 1: declare: -z: invalid option",
            "bash: ${x y}: bad substitution",
            "mapfile: command not found",
        ] {
            assert!(!IN_OLD_BASH.is_match(error), "{error}");
        }
    }

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
            assert!(IN_PLAIN_SH.is_match(error), "{error}");
        }
        for error in [
            "sh: 1: ech: not found",
            "sh: 1: Syntax error: Unterminated quoted string",
            "sh: 1: Syntax error: end of file unexpected (expecting \"fi\")",
            "sh: 1: cd: can't cd to /no",
            "source: not found",
            "./configure: 12: source: not found",
        ] {
            assert!(!IN_PLAIN_SH.is_match(error), "{error}");
        }
    }
}
