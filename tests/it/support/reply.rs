//! What every reply must be, whatever it says: checked for each one that any test receives.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::server_command;

pub const EXECUTE: &str = "execute_command_background";
pub const GET: &str = "get_command_background_result";
pub const LIST: &str = "list_background_processes";
pub const CLEANUP: &str = "cleanup_background_process";

/// Keys of the contract in their order. Those with a `!` are always there.
pub const EXECUTE_KEYS: &str =
    "success! ref_id! error! pid cwd hint also_ended also_started result";
pub const GET_KEYS: &str = "running! state! returncode! signal cmd! created_at! finished_at! ref_id elapsed_seconds \
    silent_seconds processes cpu_seconds memory_bytes leftover_processes matched output_bytes error_bytes \
    dropped_bytes output_path error_path cursor hint also_ended also_started output! error!";
pub const LIST_KEYS: &str = "success! count! processes! omitted error hint also_ended also_started";
pub const ENTRY_KEYS: &str = "running! state! returncode signal cmd! created_at! finished_at ref_id! elapsed_seconds \
    silent_seconds processes cpu_seconds memory_bytes pid cwd";
pub const CLEANUP_KEYS: &str = "success! ref_id! message! result survivors also_ended also_started";

/// The output schemas that servers publish, by tool.
static SCHEMAS: LazyLock<HashMap<String, Value>> = LazyLock::new(|| {
    let own = TempDir::new().unwrap();
    let input = own.path().join("input");
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    writeln!(File::create(&input).unwrap(), "{list}").unwrap();
    let mut server = server_command(own.path());
    let said = server.stdin(File::open(input).unwrap()).output().unwrap();
    let mut answer: Value = serde_json::from_slice(&said.stdout).unwrap();
    let Value::Array(tools) = answer["result"]["tools"].take() else { panic!("{answer}") };
    let schema =
        |mut tool: Value| (tool["name"].as_str().unwrap().to_owned(), tool["outputSchema"].take());
    tools.into_iter().map(schema).collect()
});

/// The structured content of a result, after everything that holds for all replies was checked. Also whether it is an error.
#[track_caller]
pub fn check(tool: &str, result: &Value) -> (Value, bool) {
    let structured = &result["structuredContent"];
    let [content] = &result["content"].as_array().unwrap()[..] else {
        panic!("no one text: {result}")
    };
    let text = content["text"].as_str().unwrap();
    assert_eq!(text, structured.to_string(), "text and structure are the same, in the same order");
    let is_error = result["isError"].as_bool().unwrap_or_default();
    let schema = &SCHEMAS[tool];
    assert!(fits(schema, structured), "{structured} is not as {schema}");
    let object = structured.as_object().unwrap();
    if tool == GET {
        check_job(object);
        // A refused call about a job that is there tells the job's true state.
        let is_found = !object["cmd"].is_null();
        assert!(is_found || is_error, "{structured}");
        assert!(!is_error || object["output"] == "", "{structured}");
        return (structured.clone(), is_error);
    }
    assert_eq!(object["success"], !is_error, "{structured}");
    let result = object.get("result").map(|result| result.as_object().unwrap());
    result.into_iter().for_each(check_job);
    match tool {
        EXECUTE => {
            check_keys(object, EXECUTE_KEYS);
            assert_eq!(object["error"].is_null(), !is_error, "{structured}");
            let twice = ["ref_id", "pid", "cwd", "hint"];
            let has = |key: &&str| result.is_some_and(|result| result.contains_key(*key));
            assert!(!twice.iter().any(has), "{structured}");
        }
        LIST => {
            check_keys(object, LIST_KEYS);
            let entries = object["processes"].as_array().unwrap();
            assert_eq!(object["count"], entries.len(), "{structured}");
            entries.iter().for_each(|entry| check_keys(entry.as_object().unwrap(), ENTRY_KEYS));
        }
        _ => check_keys(object, CLEANUP_KEYS),
    }
    (structured.clone(), is_error)
}

/// The keys come in the order of the contract; those that must be there are, the others only with something to say.
#[track_caller]
fn check_keys(object: &Map<String, Value>, contract: &str) {
    let shown = Value::Object(object.clone());
    let names: Vec<_> = contract.split(' ').map(|key| key.trim_end_matches('!')).collect();
    let positions: Vec<_> =
        object.keys().map(|key| names.iter().position(|name| name == key)).collect();
    assert!(!positions.contains(&None), "a key that the contract does not have: {shown}");
    assert!(positions.is_sorted(), "keys out of order: {shown}");
    for (name, key) in names.iter().zip(contract.split(' ')) {
        let value = object.get(*name);
        if key.ends_with('!') {
            assert!(value.is_some(), "{name} is missing: {shown}");
            continue;
        }
        let says_nothing = |value: &Value| match value {
            Value::Null => true,
            Value::String(text) => text.is_empty() && *name != "matched",
            Value::Number(number) => number.as_f64() == Some(0.0) && *name != "returncode",
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        assert!(!value.is_some_and(says_nothing), "{name} says nothing and is there: {shown}");
    }
}

/// State, code, signal and times must tell one story.
#[track_caller]
fn check_job(reply: &Map<String, Value>) {
    check_keys(reply, GET_KEYS);
    let shown = Value::Object(reply.clone());
    let state = reply["state"].as_str().unwrap();
    let has = |key: &str| reply.get(key).is_some_and(|value| !value.is_null());
    let code = reply["returncode"].as_i64();
    assert_eq!(reply["running"], state == "running", "{shown}");
    let is_consistent = match state {
        "running" => code.is_none() && !has("signal"),
        "exited" => code >= Some(0) && !has("signal"),
        "signaled" => code.is_some_and(|code| code < 0) && has("signal"),
        "timed_out" | "stopped" => code.is_some(),
        "lost" => code.is_none(),
        "unknown" | "expired" => code.is_none() && !has("cmd") && !has("created_at"),
        other => panic!("no such state {other}: {shown}"),
    };
    assert!(is_consistent, "{shown}");
    let is_known = !["unknown", "expired"].contains(&state);
    assert_eq!(has("finished_at"), is_known && state != "running", "{shown}");
    assert!(is_known || reply["error"].as_str().unwrap().len() <= 4000, "{shown}");
    for time in ["created_at", "finished_at"].iter().filter_map(|key| reply[*key].as_str()) {
        assert!(is_utc_second(time), "{time} in {shown}");
    }
}

/// `2026-11-22T08:00:00+00:00`
pub fn is_utc_second(time: &str) -> bool {
    time.len() == 25
        && time.ends_with("+00:00")
        && chrono::DateTime::parse_from_rfc3339(time).is_ok()
}

/// Whether a value is as a schema says. Knows the words that the server's schemas use; any other fails the test, so that
/// nothing goes unchecked. The clients in `tests/clients` bring full validators.
#[track_caller]
fn fits(schema: &Value, value: &Value) -> bool {
    let words = schema.as_object().unwrap();
    let properties = words.get("properties").and_then(Value::as_object);
    words.iter().all(|(word, says)| match word.as_str() {
        "type" => match says.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            "number" => value.is_number(),
            "integer" => value.is_i64() || value.is_u64(),
            other => panic!("no such type: {other}"),
        },
        "anyOf" => says.as_array().unwrap().iter().any(|schema| fits(schema, value)),
        "properties" => properties
            .into_iter()
            .flatten()
            .all(|(key, schema)| value.get(key).is_none_or(|inner| fits(schema, inner))),
        "required" => {
            says.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some())
        }
        "additionalProperties" => {
            assert_eq!(*says, false, "{schema}");
            let mut keys = value.as_object().into_iter().flat_map(Map::keys);
            keys.all(|key| properties.is_some_and(|properties| properties.contains_key(key)))
        }
        "items" => value.as_array().into_iter().flatten().all(|item| fits(says, item)),
        "description" => true,
        other => panic!("the schema says {other}, which no test checks: {schema}"),
    })
}

#[test]
fn a_reply_that_is_not_as_its_schema_says_is_found_out() {
    let schema = json!({
        "type": "object",
        "properties": {
            "id": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "pids": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["id"],
        "additionalProperties": false,
    });
    assert!(fits(&schema, &json!({"id": null, "pids": [1, 2]})));
    for wrong in [
        json!({}),
        json!({"id": 5}),
        json!({"id": "a", "pids": [1.5]}),
        json!({"id": "a", "more": 1}),
    ] {
        assert!(!fits(&schema, &wrong), "{wrong}");
    }
}
