//! The question that a program waits to have answered by a person.

use crate::format::ellipsize_around;

/// A question to a person.
#[derive(Debug, PartialEq, Eq)]
pub struct Prompt {
    /// That it is one.
    pub asks: String,
    /// What to do instead of answering.
    pub advice: &'static str,
    /// Its form is that of a question, not only that of a line without an end.
    pub is_certain: bool,
}

/// Prompts of programs that wait for commands.
pub const COMMAND_PROMPTS: &[&str] =
    &[">>>", "(gdb)", "(lldb)", "(pdb)", "mysql>", "sqlite>", "irb>", "=#"];

/// What cannot be undone, by the beginnings of words: such a question is never answered for the user.
const DESTRUCTIVE: &str = "delet destroy eras wip drop format purge production permanent undone";

/// How a question that yes or no answers begins. "What is your name?" is none.
const YES_NO_OPENERS: &str = "do does did are is ok would should shall can may will use continue proceed overwrite \
                              replace remove install really sure allow trust retry update create save";

/// The question in the unfinished line at the end of a stream: a program that asks does not end the line.
pub fn prompt(line: &str) -> Option<Prompt> {
    let line = line.trim();
    let lower = line.to_lowercase();
    // apt says what it does at the end of input behind its own question.
    let asked = lower.trim_end_matches("abort.").trim_end_matches([':', '?', ' ', '›', '>']);
    let choice = |open: char, close: char| {
        let (_, choice) = asked.strip_suffix(close)?.rsplit_once(open)?;
        let is_yes_no = ["y/n", "n/y", "yes/no"].iter().any(|yes| choice.starts_with(yes));
        (is_yes_no || ["y", "n", "yes", "no"].contains(&choice)).then_some(())
    };
    let is_choice = choice('[', ']').or_else(|| choice('(', ')')).is_some();
    let has_default = asked.ends_with(')') && lower.contains(": (");
    let is_menu = lower.starts_with("? ") || lower.contains('›');
    let is_question = lower.ends_with('?');
    let waits_for_commands = COMMAND_PROMPTS.iter().any(|prompt| lower.ends_with(prompt));
    let is_certain = is_choice || has_default || is_menu || is_question || waits_for_commands;
    if !is_certain && !lower.ends_with(':') {
        return None;
    }
    let shown = ellipsize_around(line, line.len()..line.len(), 120);
    let has = |words: &str| words.split(' ').any(|word| lower.contains(word));
    let first = lower.split(|char: char| !char.is_alphanumeric()).find(|word| !word.is_empty());
    let opens = || YES_NO_OPENERS.split(' ').any(|word| Some(word) == first);
    let (asks, advice) = if has("password passphrase passcode") && !is_choice {
        (
            "asks for a secret",
            "rerun with it passed through stdin, or with a non-interactive option (ssh -o BatchMode=yes, sudo -n)",
        )
    } else if waits_for_commands {
        ("waits for commands", "rerun with them passed through stdin, or with an option like -c")
    } else if is_choice || (is_question && opens()) {
        match has(DESTRUCTIVE) {
            true => (
                "asks about something that may not be undone",
                "ask the user, and rerun with what they decide passed through stdin",
            ),
            false => ("asks", "rerun with stdin=\"y\\n\" or a --yes flag"),
        }
    } else {
        (
            "seems to ask",
            "rerun with the answer passed through stdin, or with a non-interactive option",
        )
    };
    Some(Prompt { asks: format!("The last line {asks} ({shown:?}):"), advice, is_certain })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_told_by_its_end() {
        for (line, advice) in [
            ("Overwrite file? [y/N] ", Some("--yes")),
            ("Do you want to continue [Y/n]?", Some("--yes")),
            ("Are you sure (yes/no/[fingerprint])? ", Some("--yes")),
            ("Proceed (y/n): ", Some("--yes")),
            ("Continue?", Some("--yes")),
            ("Your name: ", Some("the answer passed through stdin")),
            ("user@host's password: ", Some("BatchMode")),
            ("Enter passphrase for key '/k': ", Some("BatchMode")),
            ("[sudo] password for me:", Some("sudo -n")),
            ("INFO Generated admin password: abc123 (see docs)", None),
            ("Downloading 12%", None),
            ("Answered [y/N] with y", None),
            ("", None),
            ("Ok to proceed? (y) ", Some("--yes")),
            ("Do you want to continue? [Y/n] Abort.", Some("--yes")),
            ("What is your project named?", Some("the answer passed through stdin")),
            ("? Project name: › vite-project", Some("the answer passed through stdin")),
            ("package name: (w) ", Some("the answer passed through stdin")),
            (">>> ", Some("commands")),
            ("(gdb) ", Some("commands")),
            ("This deletes ALL production data. Are you sure? [y/N] ", Some("ask the user")),
        ] {
            let prompt = prompt(line);
            match (&prompt, advice) {
                (Some(prompt), Some(advice)) => {
                    let told = format!("{} {}", prompt.asks, prompt.advice);
                    assert!(told.contains(advice), "{line:?}: {prompt:?}");
                    assert!(!prompt.asks.contains("secret") || !prompt.advice.contains("y\\n"));
                }
                (None, None) => {}
                _ => panic!("{line:?}: {prompt:?}"),
            }
        }
    }
}
