//! Reads the arguments of a tool call, forgivingly: models send nulls, numbers as text, and empty values for what
//! they do not mean to give.

mod names;
mod value;

use names::{Meaning, aliases, real_name};
use serde_json::{Map, Value};
use value::{is_nothing, wrong_type};

use crate::config::MAX_CHARS_LIMIT;
use crate::format::truncate;

/// The longest duration that a parameter takes. A year is beyond any use and far from where clocks overflow.
const MOST_SECONDS: f64 = 366.0 * 86_400.0;

/// Arguments not read yet.
#[derive(Debug)]
pub(crate) struct Arguments {
    unread: Map<String, Value>,
    /// The parameters that came with a value.
    given: Vec<String>,
    /// The parameters that were asked for; once all were, those that there are.
    known: Vec<&'static str>,
}

impl Arguments {
    pub(crate) fn new(arguments: Map<String, Value>) -> Self {
        let given = arguments.iter().filter(|(_, value)| value::is_given(value));
        Self {
            given: given.map(|(name, _)| real_name(name).to_owned()).collect(),
            unread: arguments,
            known: Vec::new(),
        }
    }

    /// A parameter's value as it was sent, as text: for messages about calls that cannot be read.
    pub(crate) fn as_sent(&self, name: &str) -> String {
        match self.unread.get(self.sent_name(name).unwrap_or_default()) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => truncate(text, 100),
            Some(other) => truncate(&other.to_string(), 100),
        }
    }

    /// Under which name the parameter came; an empty text gives way to another one.
    fn sent_name<'a>(&self, name: &'a str) -> Option<&'a str> {
        let names = || std::iter::once(name).chain(aliases(name));
        let value = |name: &str| self.unread.get(name);
        names()
            .find(|name| value(name).is_some_and(|value| !is_nothing(value)))
            .or_else(|| names().find(|name| value(name).is_some_and(|value| !value.is_null())))
    }

    /// A text that must be there, under its name or another that models use for it. To be asked for last: where it is not
    /// there, it may have come under a name that is none of the others.
    pub(crate) fn required(&mut self, name: &'static str) -> Result<String, String> {
        self.known.insert(0, name);
        if self.given.iter().filter(|given| *given == name).count() > 1 {
            let names = aliases(name).fold(name.to_owned(), |names, alias| names + " and " + alias);
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
    pub(crate) fn string(&mut self, name: &'static str) -> Result<Option<String>, String> {
        value::text(name, self.take(name))
    }

    /// A duration in seconds; zero means not given.
    pub(crate) fn seconds(&mut self, name: &'static str) -> Result<Option<f64>, String> {
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
    pub(crate) fn wait(&mut self, name: &'static str) -> Result<Option<f64>, String> {
        match self.number(name)? {
            Some(seconds) if seconds < 0.0 => Err(format!(
                "{name} must be a number of seconds from 0 on, not {seconds}"
            )),
            seconds => Ok(seconds.map(|seconds| seconds.min(MOST_SECONDS))),
        }
    }

    /// A number of characters; zero means not given.
    pub(crate) fn characters(&mut self, name: &'static str) -> Result<Option<u64>, String> {
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

    fn number(&mut self, name: &'static str) -> Result<Option<f64>, String> {
        value::number(name, &self.take(name))
    }

    /// A flag that may be left out.
    pub(crate) fn boolean(&mut self, name: &'static str) -> Result<Option<bool>, String> {
        value::boolean(name, &self.take(name))
    }

    fn take(&mut self, name: &'static str) -> Value {
        self.known.push(name);
        self.unread.remove(name).unwrap_or_default()
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
        let (shown, all) = (truncate(unknown, 60), self.known.join(", "));
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
        Meaning::of(unknown, &self.known, &self.given)
    }
}

#[cfg(test)]
mod tests;
