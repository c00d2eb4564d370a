//! What every reply must be, whatever it says: checked for each one that any test receives.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::schema;

pub(crate) const EXECUTE: &str = "execute_command_background";
pub(crate) const GET: &str = "get_command_background_result";
pub(crate) const LIST: &str = "list_background_processes";
pub(crate) const CLEANUP: &str = "cleanup_background_process";

/// Keys of the contract in their order. Those with a `!` are always there.
const EXECUTE_KEYS: &[&str] = &[
    "success!",
    "ref_id!",
    "error!",
    "pid",
    "cwd",
    "hint",
    "also_ended",
    "also_started",
    "result",
];
const GET_KEYS: &[&str] = &[
    "running!",
    "state!",
    "returncode!",
    "signal",
    "cmd!",
    "created_at!",
    "finished_at!",
    "ref_id",
    "elapsed_seconds",
    "silent_seconds",
    "processes",
    "cpu_seconds",
    "memory_bytes",
    "leftover_processes",
    "matched",
    "output_bytes",
    "error_bytes",
    "dropped_bytes",
    "output_path",
    "error_path",
    "cursor",
    "hint",
    "also_ended",
    "also_started",
    "output!",
    "error!",
];
const LIST_KEYS: &[&str] =
    &["success!", "count!", "processes!", "omitted", "error", "hint", "also_ended", "also_started"];
const ENTRY_KEYS: &[&str] = &[
    "running!",
    "state!",
    "returncode",
    "signal",
    "cmd!",
    "created_at!",
    "finished_at",
    "ref_id!",
    "elapsed_seconds",
    "silent_seconds",
    "processes",
    "cpu_seconds",
    "memory_bytes",
    "pid",
    "cwd",
];
const CLEANUP_KEYS: &[&str] =
    &["success!", "ref_id!", "message!", "result", "survivors", "also_ended", "also_started"];

/// The output schemas that the server published.
pub(crate) struct Schemas(HashMap<String, Value>);

impl Schemas {
    pub(crate) fn of(tools: &[Value]) -> Self {
        let published = tools.iter().map(|tool| {
            let name = tool["name"].as_str().unwrap().to_owned();
            (name, tool["outputSchema"].clone())
        });
        Self(published.collect())
    }

    /// The structured content of a result, after everything that holds for all replies was checked. Also whether it
    /// is an error.
    #[track_caller]
    pub(crate) fn check(&self, tool: &str, result: &Value) -> (Value, bool) {
        let structured = &result["structuredContent"];
        let content = result["content"].as_array().unwrap();
        assert_eq!(content.len(), 1, "one text in {result}");
        let text = content[0]["text"].as_str().unwrap();
        assert_eq!(
            text,
            structured.to_string(),
            "text and structure are the same, in the same order"
        );
        let is_error = result["isError"].as_bool().unwrap_or_default();
        let errors = schema::violations(&self.0[tool], structured);
        assert!(errors.is_empty(), "{errors:?} in {structured}");
        let object = structured.as_object().unwrap();
        match tool {
            EXECUTE => {
                check_keys(object, EXECUTE_KEYS);
                assert_eq!(object["success"], !is_error, "{structured}");
                assert_eq!(object["error"].is_null(), !is_error, "{structured}");
                check_inner(object, &["ref_id", "pid", "cwd", "hint"]);
            }
            GET => {
                check_keys(object, GET_KEYS);
                check_state(object);
                // A refused call about a job that is there tells the job's true state.
                let is_found = !object["cmd"].is_null();
                assert!(is_found || is_error, "{structured}");
                let refusal = is_found && is_error;
                assert!(!refusal || object["output"] == "", "{structured}");
            }
            LIST => {
                check_keys(object, LIST_KEYS);
                assert_eq!(object["success"], !is_error, "{structured}");
                let entries = object["processes"].as_array().unwrap();
                assert_eq!(object["count"], entries.len(), "{structured}");
                for entry in entries {
                    check_keys(entry.as_object().unwrap(), ENTRY_KEYS);
                }
            }
            _ => {
                check_keys(object, CLEANUP_KEYS);
                assert_eq!(object["success"], !is_error, "{structured}");
                check_inner(object, &[]);
            }
        }
        (structured.clone(), is_error)
    }
}

/// `result`: the get object without these keys.
#[track_caller]
fn check_inner(reply: &Map<String, Value>, without: &[&str]) {
    let Some(result) = reply.get("result") else {
        return;
    };
    let result = result.as_object().unwrap();
    check_keys(result, GET_KEYS);
    check_state(result);
    for key in without {
        assert!(!result.contains_key(*key), "{key} in {result:?}");
    }
}

/// The keys come in the order of the contract; those that must be there are, the others only with something to say.
#[track_caller]
fn check_keys(object: &Map<String, Value>, contract: &[&str]) {
    let shown = Value::Object(object.clone());
    let name = |key: &&str| key.trim_end_matches('!').to_owned();
    let position = |key: &String| contract.iter().position(|other| name(other) == *key);
    let positions: Vec<_> = object.keys().map(position).collect();
    assert!(
        positions.iter().all(Option::is_some),
        "a key that the contract does not have: {shown}"
    );
    assert!(positions.is_sorted(), "keys out of order: {shown}");
    for key in contract {
        match (key.ends_with('!'), object.get(&name(key))) {
            (true, value) => assert!(value.is_some(), "{key} is missing: {shown}"),
            (false, Some(value)) => {
                let says_nothing = value.is_null()
                    || value == ""
                    || value.as_f64() == Some(0.0)
                    || value.as_array().is_some_and(Vec::is_empty);
                let may_be_zero = ["returncode", "matched"].contains(key) && !value.is_null();
                assert!(!says_nothing || may_be_zero, "{key} says nothing and is there: {shown}");
            }
            (false, None) => {}
        }
    }
}

/// State, code, signal and times must tell one story.
#[track_caller]
fn check_state(reply: &Map<String, Value>) {
    let shown = Value::Object(reply.clone());
    let state = reply["state"].as_str().unwrap();
    let has = |key: &str| reply.get(key).is_some_and(|value| !value.is_null());
    assert_eq!(reply["running"], state == "running", "{shown}");
    match state {
        "running" => {
            assert!(!has("returncode") && !has("finished_at") && !has("signal"), "{shown}")
        }
        "exited" => {
            assert!(reply["returncode"].as_i64().unwrap() >= 0 && !has("signal"), "{shown}")
        }
        "signaled" => {
            assert!(reply["returncode"].as_i64().unwrap() < 0 && has("signal"), "{shown}")
        }
        "timed_out" | "stopped" => assert!(has("returncode"), "{shown}"),
        "lost" => assert!(!has("returncode"), "{shown}"),
        "unknown" | "expired" => {
            assert!(!has("returncode") && !has("cmd") && !has("created_at"), "{shown}");
            assert!(reply["error"].as_str().unwrap().len() <= 4000, "{shown}");
            return;
        }
        other => panic!("no such state {other}: {shown}"),
    }
    assert_eq!(has("finished_at"), state != "running", "{shown}");
    for key in ["created_at", "finished_at"] {
        if let Some(time) = reply[key].as_str() {
            assert!(is_utc_second(time), "{key} in {shown}");
        }
    }
}

/// `2026-11-22T08:00:00+00:00`
pub(crate) fn is_utc_second(time: &str) -> bool {
    time.len() == 25
        && time.ends_with("+00:00")
        && chrono::DateTime::parse_from_rfc3339(time).is_ok()
}
