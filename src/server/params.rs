//! Reads the parameters of a tool call, forgivingly: models send null, `""` or 0 for what they do not mean to give, and
//! numbers and flags as text.

use rmcp::model::JsonObject;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error};
use serde_json::Value;

use crate::config::MAX_CHARS_LIMIT;
use crate::format::truncate;

/// The longest duration. A year is beyond any use and far from where clocks overflow.
const MOST_SECONDS: f64 = 366.0 * 86_400.0;

/// Most characters of an error: it repeats what was sent.
const MAX_ERROR_CHARS: usize = 1000;

/// The parameters of one tool. The error is a sentence for the model that made the call.
pub fn read<T: DeserializeOwned>(mut arguments: JsonObject) -> Result<T, String> {
    arguments.retain(|_, value| !is_not_given(value));
    serde_path_to_error::deserialize(Value::Object(arguments)).map_err(|error| {
        let parameter = error.path().to_string();
        let text = error.into_inner().to_string();
        let sentence = match text.split_once(" field ") {
            Some(("missing", name)) => {
                format!("parameter {name} is missing or empty: give it a value")
            }
            Some(("duplicate", name)) => format!(
                "parameter {name} was given twice, once under another name: pass only {name}"
            ),
            Some(("unknown", rest)) => format!("unknown parameter {rest}"),
            _ if text.starts_with("must ") => format!("{parameter} {text}"),
            _ => format!("{parameter}: {text}"),
        };
        truncate(&sentence, MAX_ERROR_CHARS)
    })
}

/// The id as it was sent, for the reply to a call that cannot be read otherwise.
pub fn ref_id_as_sent(arguments: &JsonObject) -> String {
    let sent = ["ref_id", "id"].map(|name| arguments.get(name).and_then(Value::as_str));
    let given = sent.into_iter().flatten().find(|id| !id.is_empty());
    truncate(given.unwrap_or_default(), 100)
}

fn is_not_given(value: &Value) -> bool {
    value.is_null() || value == "" || value.as_f64() == Some(0.0)
}

/// An id. What is no text is the business of the message that says what an id looks like.
pub fn id<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(text) => text,
        other => other.to_string(),
    })
}

/// A duration or a time to wait. What is longer than any use is cut.
pub fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let seconds = number(from, "a number of seconds from 0 on", |seconds| seconds >= 0.0)?;
    Ok(seconds.map(|seconds| seconds.min(MOST_SECONDS)))
}

/// A number of characters, of which more than the limit means as many as there may be.
pub fn characters<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    let wanted = format!("a whole number from 1 to {MAX_CHARS_LIMIT}");
    let is_whole = |number: f64| number >= 1.0 && number.fract() == 0.0;
    let characters = number(from, &wanted, is_whole)?;
    Ok(characters.map(|number| number.min(MAX_CHARS_LIMIT as f64) as usize))
}

/// A flag.
pub fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    let value = Value::deserialize(from)?;
    let text = value.to_string().to_lowercase();
    match text.trim_matches(['"', ' ']) {
        "" => Ok(None),
        "true" | "1" => Ok(Some(true)),
        "false" | "0" => Ok(Some(false)),
        _ => Err(D::Error::custom(must_be("true or false", &value))),
    }
}

fn number<'de, D: Deserializer<'de>>(
    from: D,
    wanted: &str,
    fits: impl Fn(f64) -> bool,
) -> Result<Option<f64>, D::Error> {
    let value = Value::deserialize(from)?;
    let number = match &value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) if text.trim().is_empty() => Some(0.0),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match number {
        Some(0.0) => Ok(None),
        Some(number) if number.is_finite() && fits(number) => Ok(Some(number)),
        _ => Err(D::Error::custom(must_be(wanted, &value))),
    }
}

fn must_be(wanted: &str, value: &Value) -> String {
    format!("must be {wanted}, not {}", truncate(&value.to_string(), 60))
}
