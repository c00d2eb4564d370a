//! What a client reads before the first call: names, schemas, descriptions, annotations.

use serde_json::{Value, json};

use crate::support::client::text;
use crate::support::reply::{CLEANUP, EXECUTE, GET, LIST};
use crate::support::{Client, Setup};

fn tool<'a>(client: &'a Client, name: &str) -> &'a Value {
    let found = client.tools.iter().find(|tool| tool["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", client.tools))
}

/// Every object in a JSON value with the path to it.
fn walk(value: &Value, path: &str, visit: &mut impl FnMut(&str, &serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(path, object);
            for (key, inner) in object {
                walk(inner, &format!("{path}/{key}"), visit);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                walk(inner, &format!("{path}/{index}"), visit);
            }
        }
        _ => {}
    }
}

#[test]
fn there_are_exactly_four_tools_with_their_titles() {
    let client = Client::start();
    let mut names: Vec<_> =
        client.tools.iter().map(|tool| (text(tool, "name"), text(tool, "title"))).collect();
    names.sort_unstable();
    let expected = [
        (CLEANUP, "Clean Up Background Process"),
        (EXECUTE, "Execute Command in Background"),
        (GET, "Get Background Command Result"),
        (LIST, "List Background Processes"),
    ];
    assert_eq!(names, expected);
}

#[test]
fn parameters_and_which_are_required_are_those_of_the_contract() {
    let client = Client::start();
    let expected = [
        (
            EXECUTE,
            json!({"cmd": "string", "cwd": "string", "stdin": "string", "keep_stdin_open": "boolean", "kill_after_seconds": "number",
                "wait_seconds": "number", "until_pattern": "string"}),
            json!(["cmd"]),
        ),
        (
            GET,
            json!({"ref_id": "string", "wait_seconds": "number", "until_pattern": "string", "cursor": "string",
                "max_chars": "integer"}),
            json!(["ref_id"]),
        ),
        (LIST, json!({"wait_seconds": "number"}), json!([])),
        (
            CLEANUP,
            json!({"ref_id": "string", "grace_seconds": "number", "keep_result": "boolean"}),
            json!(["ref_id"]),
        ),
    ];
    for (name, types, required) in expected {
        let schema = &tool(&client, name)["inputSchema"];
        let properties = schema["properties"].as_object().unwrap();
        let found: serde_json::Map<_, _> = properties
            .iter()
            .map(|(name, property)| (name.clone(), property["type"].clone()))
            .collect();
        assert_eq!(Value::Object(found), types, "{name}");
        let found = schema.get("required").cloned().unwrap_or(json!([]));
        assert_eq!(found, required, "{name}");
        for (parameter, property) in properties {
            assert!(!text(property, "description").is_empty(), "{name} {parameter}");
        }
    }
}

#[test]
fn parameter_schemas_keep_to_what_every_client_accepts() {
    let client = Client::start();
    for tool in &client.tools {
        let schema = &tool["inputSchema"];
        assert_eq!(schema["type"], "object", "{schema}");
        assert_eq!(schema["additionalProperties"], false, "{schema}");
        walk(schema, text(tool, "name"), &mut |path, object| {
            for keyword in [
                "$ref",
                "$defs",
                "definitions",
                "anyOf",
                "oneOf",
                "allOf",
                "format",
                "default",
                "$schema",
                "title",
            ] {
                assert!(!object.contains_key(keyword), "{keyword} at {path}");
            }
            if let Some(kind) = object.get("type") {
                assert!(kind.is_string(), "a type array at {path}");
            }
        });
        for (name, property) in schema["properties"].as_object().unwrap() {
            let kind = property["type"].as_str();
            assert!(
                matches!(kind, Some("string" | "number" | "integer" | "boolean")),
                "{name} is {property}"
            );
        }
    }
}

#[test]
fn reply_schemas_have_any_of_on_nullable_seed_keys_only() {
    let client = Client::start();
    let mut nullable = Vec::new();
    for tool in &client.tools {
        let schema = &tool["outputSchema"];
        assert_eq!(schema["type"], "object", "{schema}");
        walk(schema, "", &mut |path, object| {
            for keyword in
                ["$ref", "$defs", "oneOf", "allOf", "format", "default", "$schema", "title"]
            {
                assert!(!object.contains_key(keyword), "{keyword} at {path} of {schema}");
            }
            assert!(!object.get("type").is_some_and(Value::is_array), "{path} of {schema}");
            if let Some(alternatives) = object.get("anyOf") {
                let alternatives = alternatives.as_array().unwrap();
                assert_eq!(alternatives.len(), 2, "{path}");
                assert_eq!(alternatives[1], json!({"type": "null"}), "{path}");
                let key = path.rsplit('/').next().unwrap().to_owned();
                nullable.push((text(tool, "name").to_owned(), key));
            }
        });
        if let Some(result) = schema["properties"].get("result") {
            assert_eq!(result["type"], "object", "{schema}");
        }
        let properties = schema["properties"].as_object().unwrap();
        assert!(!properties.values().any(Value::is_boolean), "a boolean schema in {schema}");
    }
    nullable.sort();
    let expected = [
        (EXECUTE, "error"),
        (EXECUTE, "ref_id"),
        (GET, "cmd"),
        (GET, "created_at"),
        (GET, "finished_at"),
        (GET, "returncode"),
    ];
    assert_eq!(nullable, expected.map(|(tool, key)| (tool.to_owned(), key.to_owned())));
}

#[test]
fn seed_keys_are_required_in_reply_schemas() {
    let client = Client::start();
    let expected: [(&str, &[&str]); 4] = [
        (EXECUTE, &["success", "ref_id", "error"]),
        (GET, &["running", "returncode", "cmd", "created_at", "finished_at", "output", "error"]),
        (LIST, &["success", "count", "processes"]),
        (CLEANUP, &["success", "ref_id", "message"]),
    ];
    for (name, keys) in expected {
        let required = &tool(&client, name)["outputSchema"]["required"];
        for key in keys {
            assert!(required.as_array().unwrap().contains(&json!(key)), "{key} in {required}");
        }
    }
}

#[test]
fn annotations_say_what_each_tool_may_do() {
    let client = Client::start();
    let annotation = |name, key: &str| tool(&client, name)["annotations"][key].clone();
    for name in [GET, LIST] {
        assert_eq!(annotation(name, "readOnlyHint"), true, "{name}");
        assert_eq!(annotation(name, "openWorldHint"), false, "{name}");
    }
    assert_eq!(annotation(EXECUTE, "readOnlyHint"), false);
    assert_eq!(annotation(EXECUTE, "destructiveHint"), true);
    assert_eq!(annotation(EXECUTE, "openWorldHint"), true);
    assert_eq!(annotation(CLEANUP, "readOnlyHint"), false);
    assert_eq!(annotation(CLEANUP, "destructiveHint"), true);
    assert_eq!(annotation(CLEANUP, "idempotentHint"), true);
}

#[test]
fn texts_are_short_and_name_what_the_server_is_configured_to() {
    let client =
        Setup::new().flags(["--shell", "/bin/sh -e -c", "--retention-seconds", "7200"]).start();
    for tool in &client.tools {
        let description = text(tool, "description");
        assert!(description.chars().count() <= 900, "{description}");
        assert!(!description.contains("  "), "a line was joined badly: {description}");
    }
    let execute = text(tool(&client, EXECUTE), "description");
    assert!(execute.contains("/bin/sh -e -c") && execute.contains("2 h"), "{execute}");
    let contract: String = execute.chars().take(300).collect();
    assert!(contract.contains("ref_id") && contract.contains("background"), "{contract}");
    let instructions = text(&client.initialized, "instructions");
    assert!(instructions.chars().count() <= 700, "{instructions}");
    let cwd = std::env::current_dir().unwrap();
    assert!(
        instructions.contains("/bin/sh -e -c") && instructions.contains(&cwd.display().to_string()),
        "{instructions}"
    );
}

#[test]
fn texts_stay_short_however_long_the_shell_is() {
    let long = format!("/bin/sh -c '{}'", "x".repeat(3000));
    let client = Setup::new().flags(["--shell", &long]).start();
    let execute = text(tool(&client, EXECUTE), "description");
    assert!(execute.chars().count() <= 900, "{execute}");
    let instructions = text(&client.initialized, "instructions");
    assert!(instructions.chars().count() <= 700, "{instructions}");
}

#[test]
fn the_tool_list_takes_less_than_8_kb() {
    let client = Client::start();
    let size = client.request("tools/list", &json!({})).to_string().len();
    assert!(size < 8 * 1024, "tools/list takes {size} bytes");
}

#[test]
fn the_server_introduces_itself() {
    let client = Client::start();
    let info = &client.initialized["serverInfo"];
    assert_eq!(info["name"], "background-command-mcp", "{info}");
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"), "{info}");
}
