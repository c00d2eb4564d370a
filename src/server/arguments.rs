//! Reads the arguments of a tool call, forgivingly: models send nulls, numbers as text, and empty values for what
//! they do not mean to give.

use serde_json::{Map, Value};

use crate::words::cut;

/// The longest duration that a parameter takes. A year is beyond any use and far from where clocks overflow.
const MOST_SECONDS: f64 = 366.0 * 86_400.0;

/// Arguments not read yet.
#[derive(Debug)]
pub(crate) struct Arguments(Map<String, Value>);

impl Arguments {
    pub(crate) fn new(arguments: Map<String, Value>) -> Self {
        Self(arguments)
    }

    /// A parameter's value as it was sent, as text: for messages about calls that cannot be read.
    pub(crate) fn as_sent(&self, names: &[&str]) -> String {
        match names.iter().find_map(|name| self.0.get(*name)) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => cut(text, 100),
            Some(other) => cut(&other.to_string(), 100),
        }
    }

    /// A text that must be there, under its name or another that models use for it.
    pub(crate) fn required(&mut self, name: &str, aliases: &[&str]) -> Result<String, String> {
        let given: Vec<&str> = [name]
            .iter()
            .chain(aliases)
            .copied()
            .filter(|name| self.0.get(*name).is_some_and(|v| !v.is_null()))
            .collect();
        let [given] = given[..] else {
            return Err(match given[..] {
                [] => format!("{name} is missing: pass it as a string"),
                _ => format!(
                    "{} were given together: pass only {name}",
                    given.join(" and ")
                ),
            });
        };
        for other in [name].iter().chain(aliases) {
            if *other != given {
                self.0.remove(*other);
            }
        }
        match self.0.remove(given) {
            Some(Value::String(text)) => Ok(text),
            // An id that was sent as a number is the business of whoever knows what ids look like.
            Some(Value::Number(number)) if name == "ref_id" => Ok(number.to_string()),
            other => Err(wrong_type(name, "a string", &other.unwrap_or_default())),
        }
    }

    /// A text that may be left out.
    pub(crate) fn string(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.0.remove(name) {
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

    /// A whole number; zero means not given.
    pub(crate) fn whole_number(&mut self, name: &str) -> Result<Option<u64>, String> {
        match self.number(name)? {
            None => Ok(None),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked by the guard"
            )]
            Some(number) if number >= 0.0 && number.fract() == 0.0 && number < 1e15 => {
                Ok(Some(number as u64))
            }
            Some(number) => Err(format!("{name} must be a whole number, not {number}")),
        }
    }

    fn number(&mut self, name: &str) -> Result<Option<f64>, String> {
        let value = self.0.remove(name).unwrap_or_default();
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
        let value = self.0.remove(name).unwrap_or_default();
        match &value {
            Value::Null => Ok(None),
            Value::Bool(flag) => Ok(Some(*flag)),
            Value::Number(number) if number.as_f64() == Some(0.0) => Ok(None),
            Value::String(text) => match text.trim() {
                "" => Ok(None),
                "true" => Ok(Some(true)),
                "false" => Ok(Some(false)),
                _ => Err(wrong_type(name, "true or false", &value)),
            },
            _ => Err(wrong_type(name, "true or false", &value)),
        }
    }

    /// Nothing may be left: an unknown parameter is named, and the one that was probably meant.
    pub(crate) fn finish(self, known: &[&str]) -> Result<(), String> {
        let Some(unknown) = self.0.keys().next() else {
            return Ok(());
        };
        let (shown, all) = (cut(unknown, 60), known.join(", "));
        Err(match likely(&unknown.to_lowercase(), known) {
            Some(likely) => format!(
                "there is no parameter {shown}: did you mean {likely}? The parameters are {all}"
            ),
            None => format!("there is no parameter {shown}; the parameters are {all}"),
        })
    }
}

/// What other tools call our parameters: a part of their name, and ours.
const OTHER_NAMES: &[(&str, &[&str])] = &[
    ("timeout", &["kill_after_seconds", "wait_seconds"]),
    ("dir", &["cwd"]),
    ("path", &["cwd"]),
    ("folder", &["cwd"]),
    ("input", &["stdin"]),
    ("regex", &["until_pattern"]),
    ("offset", &["cursor"]),
    ("since", &["cursor"]),
    ("lines", &["max_chars"]),
    ("limit", &["max_chars"]),
    ("length", &["max_chars"]),
    ("script", &["cmd"]),
    ("pid", &["ref_id"]),
    ("job", &["ref_id"]),
    ("process", &["ref_id"]),
    ("task", &["ref_id"]),
];

/// The parameter that was probably meant: one that is spelled alike, or that others call so.
fn likely<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let alike = |name: &str| strsim::jaro_winkler(unknown, name);
    let nearest = known
        .iter()
        .copied()
        .max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
    if alike(nearest) > 0.85 {
        return Some(nearest);
    }
    let others = OTHER_NAMES
        .iter()
        .filter(|(part, _)| unknown.contains(part));
    let by_name = others
        .flat_map(|(_, ours)| ours.iter())
        .find_map(|ours| known.iter().find(|name| *name == ours));
    by_name
        .copied()
        .or((alike(nearest) > 0.7).then_some(nearest))
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
        assert_eq!(sent.whole_number("d"), Ok(None));
        assert_eq!(sent.boolean("e"), Ok(None));
        assert_eq!(sent.finish(&[]), Ok(()));
    }

    #[test]
    fn numbers_may_be_written_as_text() {
        let mut sent =
            arguments(json!({"a": "1.5", "b": 2, "c": " 30 ", "d": 1.5, "e": [1], "f": -1}));
        assert_eq!(sent.seconds("a"), Ok(Some(1.5)));
        assert_eq!(sent.seconds("b"), Ok(Some(2.0)));
        assert_eq!(sent.whole_number("c"), Ok(Some(30)));
        assert!(sent.whole_number("d").is_err());
        assert!(sent.seconds("e").expect_err("refused").contains("[1]"));
        assert!(sent.seconds("f").is_err());
    }

    #[test]
    fn an_unknown_parameter_names_the_likely_one() {
        let execute = [
            "cmd",
            "cwd",
            "stdin",
            "kill_after_seconds",
            "wait_seconds",
            "until_pattern",
        ];
        for (unknown, meant) in [
            ("cwdd", "did you mean cwd?"),
            ("workdir", "did you mean cwd?"),
            ("working_directory", "did you mean cwd?"),
            ("timeout", "did you mean kill_after_seconds?"),
            ("wait", "did you mean wait_seconds?"),
            ("frobnicate", "the parameters are cmd, cwd"),
        ] {
            let mut arguments = Map::new();
            arguments.insert(unknown.to_owned(), json!("x"));
            let message = Arguments(arguments).finish(&execute).expect_err("refused");
            assert!(
                message.contains(unknown) && message.contains(meant),
                "{message}"
            );
        }
    }
}
