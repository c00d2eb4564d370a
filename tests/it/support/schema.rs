//! The words of JSON Schema that the server's schemas use. Any other word fails the test, so that nothing goes unchecked;
//! the clients in `tests/clients` bring full validators.

use serde_json::{Map, Value};

/// What in the value is not as the schema says, with where it is.
#[track_caller]
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(schema, value, "", &mut found);
    found
}

#[track_caller]
fn compare(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    for (word, says) in schema.as_object().unwrap() {
        match word.as_str() {
            "type" => {
                if !is_of_type(says.as_str().unwrap(), value) {
                    found.push(format!("{path} is not of type {says}: {value}"));
                }
            }
            "anyOf" => {
                let mut alternatives = says.as_array().unwrap().iter();
                if !alternatives.any(|schema| violations(schema, value).is_empty()) {
                    found.push(format!("{path} is none of {says}: {value}"));
                }
            }
            "properties" => {
                for (key, schema) in says.as_object().unwrap() {
                    if let Some(inner) = value.get(key) {
                        compare(schema, inner, &format!("{path}/{key}"), found);
                    }
                }
            }
            "required" => {
                let missing = |key: &&Value| value.get(key.as_str().unwrap()).is_none();
                for key in says.as_array().unwrap().iter().filter(missing) {
                    found.push(format!("{path} is without {key}"));
                }
            }
            "additionalProperties" => {
                assert_eq!(*says, false, "{path}");
                let known = schema["properties"].as_object();
                let is_known = |key| known.is_some_and(|known: &Map<_, _>| known.contains_key(key));
                for key in value.as_object().into_iter().flat_map(Map::keys) {
                    if !is_known(key) {
                        found.push(format!("{path} has {key}"));
                    }
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    compare(says, item, &format!("{path}/{index}"), found);
                }
            }
            "description" => {}
            other => panic!("the schema says {other} at {path}, which no test checks: {schema}"),
        }
    }
}

#[track_caller]
fn is_of_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("no such type: {other}"),
    }
}

#[test]
fn a_reply_that_is_not_as_its_schema_says_is_found_out() {
    use serde_json::json;
    let schema = json!({
        "type": "object",
        "properties": {
            "id": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
            "pids": { "type": "array", "items": { "type": "integer" } },
        },
        "required": ["id"],
        "additionalProperties": false,
    });
    for (value, found) in [
        (json!({ "id": null, "pids": [1, 2] }), None),
        (json!({}), Some(" is without \"id\"")),
        (json!({ "id": 5 }), Some("/id is none of")),
        (json!({ "id": "a", "pids": [1.5] }), Some("/pids/0 is not of type \"integer\": 1.5")),
        (json!({ "id": "a", "more": true }), Some(" has more")),
    ] {
        let errors = violations(&schema, &value);
        let first = errors.first().map(|error| error.starts_with(found.unwrap_or("nothing")));
        assert_eq!(first, found.map(|_| true), "{errors:?}");
    }
}
