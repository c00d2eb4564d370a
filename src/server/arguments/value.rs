//! What a value says, read forgivingly: null, an empty text and zero are sent for what is not given.

use serde_json::Value;

use crate::format::truncate;

/// Whether it is more than that.
pub(super) fn is_given(value: &Value) -> bool {
    !is_nothing(value) && value.as_f64() != Some(0.0)
}

/// Null and the empty text, which are sent for what is not given.
pub(super) fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(str::is_empty)
}

/// A text, if it is given.
pub(super) fn text(name: &str, value: Value) -> Result<Option<String>, String> {
    match value {
        value if !is_given(&value) => Ok(None),
        Value::String(text) => Ok(Some(text)),
        other => Err(wrong_type(name, "a string", &other)),
    }
}

/// A number, perhaps written as text.
pub(super) fn number(name: &str, value: &Value) -> Result<Option<f64>, String> {
    let number = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_f64(),
        Value::String(text) if text.trim().is_empty() => return Ok(None),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match number {
        Some(0.0) => Ok(None),
        Some(number) if number.is_finite() => Ok(Some(number)),
        _ => Err(wrong_type(name, "a number", value)),
    }
}

/// A flag, perhaps written as a number or as text.
pub(super) fn boolean(name: &str, value: &Value) -> Result<Option<bool>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(*flag)),
        Value::Number(number) if number.as_f64() == Some(0.0) => Ok(None),
        Value::Number(number) if number.as_f64() == Some(1.0) => Ok(Some(true)),
        Value::String(text) => match text.trim().to_lowercase().as_str() {
            "" => Ok(None),
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => Err(wrong_type(name, "true or false", value)),
        },
        _ => Err(wrong_type(name, "true or false", value)),
    }
}

pub(super) fn wrong_type(name: &str, wanted: &str, value: &Value) -> String {
    format!(
        "{name} must be {wanted}, not {}",
        truncate(&value.to_string(), 60)
    )
}
