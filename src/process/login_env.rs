//! How a login shell tells its environment: it runs this very program, which writes its own between two marks, so that what
//! a profile has printed before does not matter.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use memchr::{memchr, memmem};

use super::own;
use super::platform::os_string;
use super::spawn::Variables;
use super::system::LOGIN_SHELL;

/// The argument that makes this binary print its environment. A mark follows.
const ARGUMENT: &str = "--print-environment";

/// The command that prints the environment of the shell that runs it.
pub fn printing_command(mark: &str) -> Option<String> {
    let program = own::program().ok()?;
    let program = program.to_string_lossy();
    Some(format!("{} {ARGUMENT} {mark}", shlex::try_quote(&program).ok()?))
}

/// Whether `--login-env` can be had.
pub fn allowed(wanted: bool) -> Result<bool, &'static str> {
    match LOGIN_SHELL {
        None if wanted => {
            Err("this system has no login shell: set variables in its settings or the client's")
        }
        _ => Ok(wanted),
    }
}

/// The user's own shell, as this environment names it.
pub fn user_shell(environment: &Variables) -> String {
    let named = environment.get(OsStr::new("SHELL")).map(|shell| shell.to_string_lossy());
    let named = named.filter(|shell| Path::new(&**shell).is_absolute());
    named.map_or_else(|| LOGIN_SHELL.unwrap_or_default().to_owned(), |shell| shell.into_owned())
}

/// Whether this process was started to print its environment.
pub fn is_printer() -> bool {
    env::args_os().nth(1).is_some_and(|argument| argument == ARGUMENT)
}

/// The whole life of the process that the login shell runs.
pub fn print_environment() {
    let mark = env::args_os().nth(2).unwrap_or_default();
    let mark = mark.as_encoded_bytes();
    let mut text = [mark, b"\0"].concat();
    for (name, value) in env::vars_os() {
        let (name, value) = (name.as_encoded_bytes(), value.as_encoded_bytes());
        text.extend([name, b"=", value, b"\0"].concat());
    }
    text.extend_from_slice(mark);
    // An error means that the server has stopped listening.
    drop(io::stdout().write_all(&text));
}

/// The variables between the two marks.
pub fn parse(output: &[u8], mark: &str) -> Option<Variables> {
    // The NUL is not in the command, which a profile may have the shell print.
    let from = memmem::find(output, format!("{mark}\0").as_bytes())? + mark.len();
    let to = from + memmem::find(&output[from..], mark.as_bytes())?;
    let entries = output[from..to].split(|byte| *byte == 0);
    let variables = entries.filter_map(|entry| {
        let at = memchr(b'=', entry)?;
        Some((os_string(&entry[..at]), os_string(&entry[at + 1..])))
    });
    Some(variables.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_among_banners() {
        let variable = |name: &str, value: &str| (name.into(), value.into());
        assert_eq!(
            parse(b"Welcome!\n+ program MARK\nMARK\0A=1\0B=x=y\nz\0C=\0MARKbye", "MARK"),
            Some([variable("A", "1"), variable("B", "x=y\nz"), variable("C", "")].into())
        );
        for incomplete in ["", "Welcome", "MARK\0A=1\0MAR"] {
            assert_eq!(parse(incomplete.as_bytes(), "MARK"), None, "{incomplete}");
        }
    }
}
