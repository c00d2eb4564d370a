//! The question that a program waits to have answered by a person.

use crate::format::ellipsize_around;

/// A question to a person.
#[derive(Debug, PartialEq, Eq)]
pub struct Prompt {
    /// That it is one.
    pub asks: String,
    /// What to do instead of answering.
    pub advice: &'static str,
}

/// The question at the end of a stream: who asks does not end the line.
pub fn prompt(unfinished: &[String]) -> Option<Prompt> {
    unfinished.iter().find_map(|line| {
        let line = line.trim();
        let lower = line.to_lowercase();
        let asked = lower.trim_end_matches([':', '?', ' ']);
        let ends_with_choice = |open: char, close: char| {
            let choice = asked.strip_suffix(close).and_then(|rest| rest.rsplit_once(open));
            choice.is_some_and(|(_, choice)| ["y/n", "n/y", "yes/no"].iter().any(|yes| choice.starts_with(yes)))
        };
        let is_choice = ends_with_choice('[', ']') || ends_with_choice('(', ')');
        if !is_choice && !lower.ends_with([':', '?']) {
            return None;
        }
        let shown = ellipsize_around(line, line.len()..line.len(), 120);
        let is_secret = ["password", "passphrase", "passcode"].iter().any(|secret| lower.contains(secret));
        Some(if is_secret && !is_choice {
            Prompt {
                asks: format!("The last line asks for a secret ({shown:?}):"),
                advice: "rerun with it passed through stdin, or with a non-interactive option (ssh -o BatchMode=yes, sudo -n)",
            }
        } else if is_choice || lower.ends_with('?') {
            Prompt {
                asks: format!("The last line asks {shown:?}:"),
                advice: "rerun with stdin=\"y\\n\" or a --yes flag",
            }
        } else {
            Prompt {
                asks: format!("The last line seems to ask {shown:?}:"),
                advice: "rerun with the answer passed through stdin, or with a non-interactive option",
            }
        })
    })
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
        ] {
            let prompt = prompt(&[line.to_owned()]);
            match (&prompt, advice) {
                (Some(prompt), Some(advice)) => {
                    assert!(prompt.advice.contains(advice), "{line:?}: {prompt:?}");
                    assert!(!prompt.asks.contains("secret") || !prompt.advice.contains("y\\n"));
                }
                (None, None) => {}
                _ => panic!("{line:?}: {prompt:?}"),
            }
        }
    }
}
