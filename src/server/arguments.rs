//! Reads the arguments of a tool call, forgivingly: models send nulls, numbers as text, and empty values for what
//! they do not mean to give.

mod meaning;

use meaning::Meaning;
use serde_json::{Map, Value};

use crate::config::MAX_CHARS_LIMIT;
use crate::words::cut;

/// The longest duration that a parameter takes. A year is beyond any use and far from where clocks overflow.
const MOST_SECONDS: f64 = 366.0 * 86_400.0;

/// What models call parameters besides their names, and are understood.
const ALIASES: &[(&str, &str)] = &[("command", "cmd"), ("id", "ref_id")];

/// Arguments not read yet.
#[derive(Debug)]
pub(crate) struct Arguments {
    unread: Map<String, Value>,
    /// The parameters that came with a value.
    given: Vec<String>,
    /// The parameters that there are.
    known: &'static [&'static str],
}

impl Arguments {
    pub(crate) fn new(arguments: Map<String, Value>) -> Self {
        let is_given = |value: &Value| !is_nothing(value) && value.as_f64() != Some(0.0);
        let given = arguments.iter().filter(|(_, value)| is_given(value));
        Self {
            given: given.map(|(name, _)| real_name(name).to_owned()).collect(),
            unread: arguments,
            known: &[],
        }
    }

    /// The parameters of the tool whose arguments these are.
    pub(crate) fn of(self, known: &'static [&'static str]) -> Self {
        Self { known, ..self }
    }

    /// A parameter's value as it was sent, as text: for messages about calls that cannot be read.
    pub(crate) fn as_sent(&self, name: &str) -> String {
        match self.unread.get(self.sent_name(name).unwrap_or_default()) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => cut(text, 100),
            Some(other) => cut(&other.to_string(), 100),
        }
    }

    /// Under which name the parameter came; an empty text gives way to another one.
    fn sent_name<'a>(&self, name: &'a str) -> Option<&'a str> {
        let names = || {
            let aliases = ALIASES.iter().filter(|(_, real)| *real == name);
            std::iter::once(name).chain(aliases.map(|(alias, _)| *alias))
        };
        let value = |name: &str| self.unread.get(name);
        names()
            .find(|name| value(name).is_some_and(|value| !is_nothing(value)))
            .or_else(|| names().find(|name| value(name).is_some_and(|value| !value.is_null())))
    }

    /// A text that must be there, under its name or another that models use for it.
    pub(crate) fn required(&mut self, name: &'static str) -> Result<String, String> {
        if self.given.iter().filter(|given| *given == name).count() > 1 {
            let aliases = ALIASES.iter().filter(|(_, real)| *real == name);
            let names = aliases.fold(name.to_owned(), |names, (alias, _)| names + " and " + alias);
            return Err(format!("{names} were given together: pass only {name}"));
        }
        let Some(sent) = self.sent_name(name) else {
            return Err(self.missing(name));
        };
        let value = self.unread.remove(sent);
        self.unread.retain(|other, _| real_name(other) != name);
        match value {
            Some(Value::String(text)) => Ok(text),
            // An id that was sent as a number is the business of whoever knows what ids look like.
            Some(Value::Number(number)) if name == "ref_id" => Ok(number.to_string()),
            other => Err(wrong_type(name, "a string", &other.unwrap_or_default())),
        }
    }

    /// It is there under a name that is not known, or it is not there at all.
    fn missing(&self, name: &'static str) -> String {
        let missing = format!("{name} is missing: pass it as a string");
        let mut unknown = self.unknown();
        let meant = unknown
            .clone()
            .find(|other| self.meaning(other) == Meaning::Parameter(name));
        match meant.or_else(|| unknown.next()) {
            None => missing,
            Some(other) if meant.is_some() => self.no_parameter(other),
            Some(other) => format!("{missing}. Also, {}", self.no_parameter(other)),
        }
    }

    /// A text that may be left out.
    pub(crate) fn string(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.unread.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Number(number)) if number.as_f64() == Some(0.0) => Ok(None),
            Some(other) => Err(wrong_type(name, "a string", &other)),
        }
    }

    /// A duration in seconds; zero means not given.
    pub(crate) fn seconds(&mut self, name: &str) -> Result<Option<f64>, String> {
        let Some(seconds) = self.number(name)? else {
            return Ok(None);
        };
        if (0.0..=MOST_SECONDS).contains(&seconds) {
            Ok(Some(seconds))
        } else {
            Err(format!(
                "{name} must be from 0 to {MOST_SECONDS} seconds, not {seconds}"
            ))
        }
    }

    /// A time to wait: one beyond any use is as good as the longest one.
    pub(crate) fn wait(&mut self, name: &str) -> Result<Option<f64>, String> {
        match self.number(name)? {
            Some(seconds) if seconds < 0.0 => Err(format!(
                "{name} must be a number of seconds from 0 on, not {seconds}"
            )),
            seconds => Ok(seconds.map(|seconds| seconds.min(MOST_SECONDS))),
        }
    }

    /// A number of characters; zero means not given.
    pub(crate) fn characters(&mut self, name: &str) -> Result<Option<u64>, String> {
        match self.number(name)? {
            None => Ok(None),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked by the guard, and beyond all numbers the largest one is meant"
            )]
            Some(number) if number >= 0.0 && number.fract() == 0.0 => Ok(Some(number as u64)),
            Some(number) => Err(format!(
                "{name} must be a whole number from 1 to {MAX_CHARS_LIMIT}, not {number}"
            )),
        }
    }

    fn number(&mut self, name: &str) -> Result<Option<f64>, String> {
        let value = self.unread.remove(name).unwrap_or_default();
        let number = match &value {
            Value::Null => return Ok(None),
            Value::Number(number) => number.as_f64(),
            Value::String(text) if text.trim().is_empty() => return Ok(None),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(0.0) => Ok(None),
            Some(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(wrong_type(name, "a number", &value)),
        }
    }

    /// A flag that may be left out.
    pub(crate) fn boolean(&mut self, name: &str) -> Result<Option<bool>, String> {
        let value = self.unread.remove(name).unwrap_or_default();
        match &value {
            Value::Null => Ok(None),
            Value::Bool(flag) => Ok(Some(*flag)),
            Value::Number(number) if number.as_f64() == Some(0.0) => Ok(None),
            Value::Number(number) if number.as_f64() == Some(1.0) => Ok(Some(true)),
            Value::String(text) => match text.trim().to_lowercase().as_str() {
                "" => Ok(None),
                "true" | "1" => Ok(Some(true)),
                "false" | "0" => Ok(Some(false)),
                _ => Err(wrong_type(name, "true or false", &value)),
            },
            _ => Err(wrong_type(name, "true or false", &value)),
        }
    }

    /// Nothing may be left: an unknown parameter is named, and the one that was probably meant.
    pub(crate) fn finish(self) -> Result<(), String> {
        match self.unread.keys().next() {
            None => Ok(()),
            Some(unknown) => Err(self.no_parameter(unknown)),
        }
    }

    /// What is none of the parameters.
    fn unknown(&self) -> impl Iterator<Item = &str> + Clone {
        let names = self.unread.keys().map(String::as_str);
        names.filter(|name| !self.known.contains(&real_name(name)))
    }

    fn no_parameter(&self, unknown: &str) -> String {
        let (shown, all) = (cut(unknown, 60), self.known.join(", "));
        match self.meaning(unknown) {
            Meaning::Parameter(likely) => format!(
                "there is no parameter {shown}: did you mean {likely}? The parameters are {all}"
            ),
            Meaning::LeaveOut(why) => {
                format!("there is no parameter {shown}: {why}. The parameters are {all}")
            }
            Meaning::Nothing => {
                format!("there is no parameter {shown}; the parameters are {all}")
            }
        }
    }

    fn meaning(&self, unknown: &str) -> Meaning<'static> {
        Meaning::of(unknown, self.known, &self.given)
    }
}

fn real_name(name: &str) -> &str {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    alias.map_or(name, |(_, real)| *real)
}

/// Null and the empty text, which are sent for what is not given.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(str::is_empty)
}

fn wrong_type(name: &str, wanted: &str, value: &Value) -> String {
    format!(
        "{name} must be {wanted}, not {}",
        cut(&value.to_string(), 60)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arguments(value: Value) -> Arguments {
        let Value::Object(map) = value else {
            panic!("not an object: {value}")
        };
        Arguments::new(map)
    }

    #[test]
    fn what_means_not_given_is_not_given() {
        let mut sent = arguments(json!({"a": null, "b": "", "c": 0, "d": "0", "e": " "}));
        assert_eq!(sent.string("a"), Ok(None));
        assert_eq!(sent.string("b"), Ok(None));
        assert_eq!(sent.seconds("c"), Ok(None));
        assert_eq!(sent.characters("d"), Ok(None));
        assert_eq!(sent.boolean("e"), Ok(None));
        assert_eq!(sent.finish(), Ok(()));
    }

    #[test]
    fn numbers_may_be_written_as_text() {
        let mut sent =
            arguments(json!({"a": "1.5", "b": 2, "c": " 30 ", "d": 1.5, "e": [1], "f": -1}));
        assert_eq!(sent.seconds("a"), Ok(Some(1.5)));
        assert_eq!(sent.seconds("b"), Ok(Some(2.0)));
        assert_eq!(sent.characters("c"), Ok(Some(30)));
        assert!(sent.characters("d").is_err());
        assert!(sent.seconds("e").expect_err("refused").contains("[1]"));
        assert!(sent.seconds("f").is_err());
    }

    const EXECUTE: &[&str] = &[
        "cmd",
        "cwd",
        "stdin",
        "kill_after_seconds",
        "wait_seconds",
        "until_pattern",
    ];
    const GET: &[&str] = &[
        "ref_id",
        "wait_seconds",
        "until_pattern",
        "cursor",
        "max_chars",
    ];
    const CLEANUP: &[&str] = &["ref_id", "grace_seconds", "keep_result"];

    #[test]
    fn an_unknown_parameter_names_the_likely_one() {
        for (known, unknown, answer) in [
            (EXECUTE, "cwdd", "did you mean cwd?"),
            (EXECUTE, "workdir", "did you mean cwd?"),
            (EXECUTE, "working_directory", "did you mean cwd?"),
            (EXECUTE, "workingDirectory", "did you mean cwd?"),
            (EXECUTE, "timeout", "did you mean kill_after_seconds?"),
            (EXECUTE, "wait", "did you mean wait_seconds?"),
            (EXECUTE, "waitSeconds", "did you mean wait_seconds?"),
            (EXECUTE, "pattern", "did you mean until_pattern?"),
            (EXECUTE, "script", "did you mean cmd?"),
            (EXECUTE, "description", "description: leave it out. The"),
            (EXECUTE, "env", "like NAME=value command. The"),
            (EXECUTE, "run_in_background", "runs in the background. The"),
            (EXECUTE, "background", "runs in the background. The"),
            (EXECUTE, "frobnicate", "; the parameters are cmd, cwd"),
            (GET, "timeout", "did you mean wait_seconds?"),
            (GET, "bash_id", "did you mean ref_id?"),
            (GET, "shell_id", "did you mean ref_id?"),
            (GET, "process_id", "did you mean ref_id?"),
            (GET, "taskId", "did you mean ref_id?"),
            (GET, "refId", "did you mean ref_id?"),
            (GET, "pid", "did you mean ref_id?"),
            (GET, "filter", "did you mean until_pattern?"),
            (CLEANUP, "keep", "did you mean keep_result?"),
            (CLEANUP, "timeout", "did you mean grace_seconds?"),
        ] {
            let mut sent = arguments(json!({})).of(known);
            sent.unread.insert(unknown.to_owned(), json!("x"));
            let message = sent.finish().expect_err("refused");
            assert!(
                message.contains(unknown) && message.contains(answer),
                "{message}"
            );
        }
    }

    #[test]
    fn what_was_given_is_not_what_was_meant() {
        let mut sent = arguments(json!({"command": "ls", "script": "x"})).of(EXECUTE);
        assert_eq!(sent.required("cmd"), Ok("ls".to_owned()));
        let message = sent.finish().expect_err("refused");
        assert!(!message.contains("did you mean"), "{message}");
        let both = json!({"kill_after_seconds": 5, "timeout": 5});
        let mut sent = arguments(both).of(EXECUTE);
        assert_eq!(sent.seconds("kill_after_seconds"), Ok(Some(5.0)));
        let message = sent.finish().expect_err("refused");
        assert!(message.contains("did you mean wait_seconds?"), "{message}");
    }

    #[test]
    fn an_empty_text_gives_way_to_the_other_name() {
        for sent in [
            json!({"cmd": "", "command": "ls"}),
            json!({"cmd": "ls", "command": ""}),
            json!({"cmd": null, "command": "ls"}),
        ] {
            let mut sent = arguments(sent).of(EXECUTE);
            assert_eq!(sent.required("cmd"), Ok("ls".to_owned()));
            assert_eq!(sent.finish(), Ok(()));
        }
        let mut empty = arguments(json!({"cmd": ""})).of(EXECUTE);
        assert_eq!(empty.required("cmd"), Ok(String::new()));
    }
}
