//! The shell that runs the jobs' commands.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Shells that take a command behind `-c`, and a file without it.
const SHELLS: &[&str] =
    &["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "csh", "tcsh", "nu"];

/// Those of them whose syntax is that of POSIX and no more.
const PLAIN: &[&str] = &["sh", "dash", "ash"];

/// The command line that receives each job's command as its last argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shell {
    pub program: String,
    pub arguments: Vec<String>,
}

impl Shell {
    /// `bash -c` where there is a bash, since models write bash, else `/bin/sh -c`.
    pub fn of_system() -> Self {
        let program = bash().unwrap_or_else(|| "/bin/sh".into());
        Self { program: program.to_string_lossy().into_owned(), arguments: vec!["-c".to_owned()] }
    }

    pub fn parse(line: &str) -> Result<Self, String> {
        let mut words = shlex::split(line)
            .ok_or_else(|| "has an unclosed quote or a trailing backslash".to_owned())?
            .into_iter();
        let program =
            words.next().ok_or_else(|| "is empty: name a program, like `bash -c`".to_owned())?;
        let shell = Self { program, arguments: words.collect() };
        match shell.known() {
            Some((name, rest)) if !takes_command(rest) => {
                Err(format!("{name} takes a command only behind -c: write `{shell} -c`"))
            }
            _ => Ok(shell),
        }
    }

    /// Whether it knows only what POSIX has, though there may be a bash beside it.
    pub fn is_plain(&self) -> bool {
        self.known().is_some_and(|(name, _)| PLAIN.contains(&name))
    }

    /// The known shell that it comes down to, also behind `env` or `docker exec -i box`, and what follows it.
    fn known(&self) -> Option<(&str, &[String])> {
        let name = |word: &str| {
            let name = word.rsplit('/').next().unwrap_or_default();
            SHELLS.iter().find(|shell| **shell == name)
        };
        let last = self.arguments.iter().rposition(|word| name(word).is_some());
        match last {
            Some(at) => Some((name(&self.arguments[at])?, &self.arguments[at + 1..])),
            None => Some((name(&self.program)?, &self.arguments)),
        }
    }
}

impl fmt::Display for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = std::iter::once(&self.program).chain(&self.arguments);
        let line = shlex::try_join(words.map(String::as_str));
        f.write_str(&line.unwrap_or_else(|_| self.program.clone()))
    }
}

/// The first bash on the PATH, by its own path: what is there at the start runs all jobs.
pub fn bash() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/bin", "/usr/bin", "/usr/local/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .chain(usual)
        .map(|directory| directory.join("bash"))
        .find(|program| is_program(program))
}

fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
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
            "bwrap --ro-bind / / sh -c",
        ] {
            assert_eq!(Shell::parse(line).map(|shell| shell.to_string()).as_deref(), Ok(line));
        }
    }
}
