//! The shell that runs the jobs' commands.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use super::platform::{bash, default_shell};

/// Shells that take a command behind `-c`, and a file without it.
const SHELLS: &[&str] =
    &["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "csh", "tcsh", "nu"];

/// The one of Windows, which takes a command behind `/C`.
const CMD: &str = "cmd";

const POWERSHELLS: &[&str] = &["powershell", "pwsh"];

/// The command line that receives each job's command as its last argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shell {
    pub program: String,
    pub arguments: Vec<String>,
}

impl Shell {
    pub fn parse(line: &str) -> Result<Self, String> {
        // In the paths of Windows a backslash protects nothing.
        let line = if cfg!(windows) { line.replace('\\', r"\\") } else { line.to_owned() };
        let words = shlex::split(&line).ok_or("has an unclosed quote or a trailing backslash")?;
        let mut words = words.into_iter();
        let program = words.next().ok_or("is empty: name a program, like `bash -c`")?;
        let shell = Self { program, arguments: words.collect() };
        match shell.known() {
            Some((CMD, rest)) if !rest.iter().any(|word| word.eq_ignore_ascii_case("/c")) => {
                Err(format!("cmd takes a command only behind /C: write `{shell} /D /S /C`"))
            }
            Some((name, rest)) if SHELLS.contains(&name) && !takes_command(rest) => {
                Err(format!("{name} takes a command only behind -c: write `{shell} -c`"))
            }
            _ => Ok(shell),
        }
    }

    /// Whether it is the `cmd` of Windows itself.
    #[cfg(windows)]
    pub fn is_cmd(&self) -> bool {
        known_name(&self.program) == Some(CMD)
    }

    /// What commands look like, where it is not what models write by themselves.
    pub fn syntax(&self) -> &'static str {
        match self.known() {
            Some((CMD, _)) => " (cmd.exe syntax: &&, %NAME%, double quotes only)",
            Some((name, _)) if POWERSHELLS.contains(&name) => " (PowerShell syntax)",
            _ => "",
        }
    }

    /// A command that writes the PATH and then stays for ten minutes, with a child process.
    pub fn trial(&self) -> &'static str {
        match self.known() {
            Some((CMD, _)) => "echo %PATH%& ping -n 600 127.0.0.1 >NUL",
            Some((name, _)) if POWERSHELLS.contains(&name) => "$env:PATH; ping -n 600 127.0.0.1",
            _ => "echo \"$PATH\"; sleep 600 & wait",
        }
    }

    /// The known shell that it comes down to, also behind `env` or `docker exec -i box`, and what follows it.
    fn known(&self) -> Option<(&'static str, &[String])> {
        let last = self.arguments.iter().rposition(|word| known_name(word).is_some());
        match last {
            Some(at) => Some((known_name(&self.arguments[at])?, &self.arguments[at + 1..])),
            None => Some((known_name(&self.program)?, &self.arguments)),
        }
    }
}

/// The known shell that a word names, by whatever path.
fn known_name(word: &str) -> Option<&'static str> {
    let file = word.rsplit(['/', '\\']).next()?;
    let name = file.strip_suffix(".exe").unwrap_or(file);
    let mut names = SHELLS.iter().chain(POWERSHELLS).chain([&CMD]);
    names.find(|known| **known == name).copied()
}

impl fmt::Display for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = std::iter::once(&self.program).chain(&self.arguments).map(String::as_str);
        if cfg!(windows) {
            let quoted = words.map(|word| match word.contains(char::is_whitespace) {
                true => format!("\"{word}\""),
                false => word.to_owned(),
            });
            return f.write_str(&quoted.collect::<Vec<_>>().join(" "));
        }
        f.write_str(&shlex::try_join(words).unwrap_or_else(|_| self.program.clone()))
    }
}

/// Whether a shell with these arguments runs the next one as a command, or hands it to a script of its user's.
fn takes_command(arguments: &[String]) -> bool {
    let mut arguments = arguments.iter().map(String::as_str);
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix(['-', '+']) {
            None | Some("-command" | "-commands") => return true,
            Some("-rcfile" | "-init-file") => drop(arguments.next()),
            Some(long) if long.starts_with('-') => {}
            Some(flags) if flags.contains('c') => return true,
            Some(flags) if flags.ends_with(['o', 'O']) => drop(arguments.next()),
            Some(_) => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_shell_that_lacks_its_c_is_refused_with_the_right_spelling() {
        for (line, spelling) in [
            ("bash", "bash -c"),
            ("/bin/bash", "/bin/bash -c"),
            ("sh", "sh -c"),
            ("dash", "dash -c"),
            ("ksh", "ksh -c"),
            ("zsh", "zsh -c"),
            ("fish", "fish -c"),
            ("bash -l", "bash -l -c"),
            ("zsh -il", "zsh -il -c"),
            ("bash --norc --noprofile", "bash --norc --noprofile -c"),
            ("bash -o pipefail", "bash -o pipefail -c"),
            ("bash -euo pipefail", "bash -euo pipefail -c"),
            ("/usr/bin/env bash", "/usr/bin/env bash -c"),
            ("docker exec -i box sh", "docker exec -i box sh -c"),
            ("busybox sh", "busybox sh -c"),
            ("cmd", "cmd /D /S /C"),
        ] {
            let refusal = Shell::parse(line).expect_err(line);
            assert!(refusal.contains(&format!("`{spelling}`")), "{refusal}");
        }
    }

    #[test]
    fn what_takes_a_command_is_accepted() {
        for line in [
            "bash -c",
            "/bin/sh -c",
            "bash -lc",
            "bash -l -c",
            "bash -o pipefail -c",
            "bash -euo pipefail -c",
            "fish --command",
            "fish -C 'set -x A 1' -c",
            "zsh -ilc",
            "bash /opt/wrapper.sh",
            "bash -x /opt/wrapper.sh",
            "docker exec -i box sh -c",
            "kubectl exec -i pod -- sh -c",
            "srun --quiet bash -c",
            "ssh build-box",
            "python3 -c",
            "/opt/my-shell",
            "cmd /D /S /C",
            "powershell -NoProfile -Command",
            "bwrap --ro-bind / / sh -c",
        ] {
            assert_eq!(Shell::parse(line).map(|shell| shell.to_string()).as_deref(), Ok(line));
        }
    }
}
