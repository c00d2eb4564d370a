//! What a client reads before the first call: names, schemas, descriptions, annotations.

use serde_json::{Map, Value, json};

use crate::support::reply::{CLEANUP_KEYS, EXECUTE_KEYS, GET_KEYS, LIST_KEYS};
use crate::support::{CLEANUP, Client, EXECUTE, GET, LIST, Setup, text};

#[track_caller]
fn tool<'a>(tools: &'a [Value], name: &str) -> &'a Value {
    let found = tools.iter().find(|tool| tool["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {tools:?}"))
}

/// Every object in a JSON value with the path to it.
fn walk(value: &Value, path: &str, visit: &mut impl FnMut(&str, &Map<String, Value>)) {
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
fn there_are_exactly_four_tools_with_their_titles_and_what_each_may_do() {
    let tools = Client::start().tools();
    let annotated = |read_only: bool, destructive, idempotent, open_world: bool| {
        json!({"readOnlyHint": read_only, "destructiveHint": destructive, "idempotentHint": idempotent,
            "openWorldHint": open_world})
    };
    let (yes, no, unsaid) = (json!(true), json!(false), Value::Null);
    let expected = [
        (CLEANUP, "Clean Up Background Process", annotated(false, &yes, &yes, false)),
        (EXECUTE, "Execute Command in Background", annotated(false, &yes, &no, true)),
        (GET, "Get Background Command Result", annotated(true, &unsaid, &unsaid, false)),
        (LIST, "List Background Processes", annotated(true, &unsaid, &unsaid, false)),
    ];
    assert_eq!(tools.len(), expected.len());
    for (name, title, annotations) in expected {
        let tool = tool(&tools, name);
        assert_eq!(text(tool, "title"), title);
        for (hint, value) in annotations.as_object().unwrap().iter().filter(|(_, v)| !v.is_null()) {
            assert_eq!(tool["annotations"][hint], *value, "{hint} of {name}");
        }
    }
}

#[test]
fn parameters_and_which_are_required_are_those_of_the_contract() {
    let tools = Client::start().tools();
    let expected = [
        (
            EXECUTE,
            json!({"cmd": "string", "cwd": "string", "stdin": "string", "keep_stdin_open": "boolean",
                "kill_after_seconds": "number", "wait_seconds": "number", "until_pattern": "string"}),
            json!(["cmd"]),
        ),
        (
            GET,
            json!({"ref_id": "string", "wait_seconds": "number", "until_pattern": "string",
                "cursor": "string", "max_chars": "integer"}),
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
        let schema = &tool(&tools, name)["inputSchema"];
        let properties = schema["properties"].as_object().unwrap();
        let found = properties.iter().map(|(name, property)| {
            assert!(!text(property, "description").is_empty(), "{name}");
            (name.clone(), property["type"].clone())
        });
        assert_eq!(Value::Object(found.collect()), types, "{name}");
        assert_eq!(schema.get("required").cloned().unwrap_or(json!([])), required, "{name}");
    }
}

#[test]
fn schemas_keep_to_what_every_client_accepts() {
    let mut nullable = Vec::new();
    for tool in Client::start().tools() {
        let (parameters, reply) = (&tool["inputSchema"], &tool["outputSchema"]);
        assert_eq!(parameters["additionalProperties"], false, "{parameters}");
        for schema in [parameters, reply] {
            assert_eq!(schema["type"], "object", "{schema}");
            let properties = schema["properties"].as_object().unwrap();
            assert!(!properties.values().any(Value::is_boolean), "a boolean schema in {schema}");
            walk(schema, text(&tool, "name"), &mut |path, object| {
                for keyword in [
                    "$ref",
                    "$defs",
                    "definitions",
                    "oneOf",
                    "allOf",
                    "format",
                    "default",
                    "$schema",
                    "title",
                ] {
                    assert!(!object.contains_key(keyword), "{keyword} at {path}");
                }
                assert!(!object.get("type").is_some_and(Value::is_array), "a type array at {path}");
                if let Some(kinds) = object.get("anyOf") {
                    assert_eq!(kinds.as_array().unwrap().len(), 2, "{path}");
                    assert_eq!(kinds[1], json!({"type": "null"}), "{path}");
                    nullable.push(path.replace("/properties", ""));
                }
            });
        }
        if let Some(result) = reply["properties"].get("result") {
            assert_eq!(result["type"], "object", "{reply}");
        }
    }
    // In replies, and there seed keys only.
    nullable.sort();
    let expected = [(EXECUTE, "error"), (EXECUTE, "ref_id"), (GET, "cmd"), (GET, "created_at")];
    let expected = expected.iter().chain(&[(GET, "finished_at"), (GET, "returncode")]);
    assert!(
        nullable.iter().eq(&expected.map(|(t, k)| format!("{t}/{k}")).collect::<Vec<_>>()),
        "{nullable:?}"
    );
}

#[test]
fn keys_that_every_reply_has_are_required_in_its_schema() {
    let tools = Client::start().tools();
    for (name, keys) in
        [(EXECUTE, EXECUTE_KEYS), (GET, GET_KEYS), (LIST, LIST_KEYS), (CLEANUP, CLEANUP_KEYS)]
    {
        let always = keys.split(' ').filter_map(|key| key.strip_suffix('!'));
        let required = tool(&tools, name)["outputSchema"]["required"].as_array().unwrap();
        assert!(always.eq(required.iter().map(|key| key.as_str().unwrap())), "{required:?}");
    }
}

#[test]
fn texts_are_short_and_name_what_the_server_is_configured_to() {
    let long = format!("/bin/sh -c '{}'", "x".repeat(3000));
    for (shell, retention) in [("/bin/sh -e -c", "7200"), (&long, "3600")] {
        let client =
            Setup::new().flags(["--shell", shell, "--retention-seconds", retention]).start();
        let tools = client.tools();
        for tool in &tools {
            let description = text(tool, "description");
            assert!(description.chars().count() <= 900, "{description}");
            assert!(!description.contains("  "), "a line was joined badly: {description}");
        }
        let instructions = text(&client.initialized, "instructions");
        assert!(instructions.chars().count() <= 700, "{instructions}");
        let size = json!({"tools": tools}).to_string().len();
        assert!(size < 8 * 1024, "tools/list takes {size} bytes");
        if shell == long {
            continue;
        }
        let execute = text(tool(&tools, EXECUTE), "description");
        assert!(execute.contains(shell) && execute.contains("2 h"), "{execute}");
        let contract: String = execute.chars().take(300).collect();
        assert!(contract.contains("ref_id") && contract.contains("background"), "{contract}");
        let cwd = std::env::current_dir().unwrap().display().to_string();
        assert!(instructions.contains(shell) && instructions.contains(&cwd), "{instructions}");
    }
}
