//! The JSON schemas of parameters and replies, reduced to what every model and client accepts.
//!
//! Type arrays, references, `format`, `default` and the like make some providers refuse the whole tool set. An
//! optional parameter is therefore one scalar type that is not required, and a nullable key of a reply is an `anyOf`.

use std::sync::Arc;

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The schema of a tool's parameters.
pub(crate) fn of_parameters<T: JsonSchema>() -> Arc<JsonObject> {
    let schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>();
    Arc::new(simplify(schema.to_value()))
}

/// The schema of a tool's reply, as it is serialised.
pub(crate) fn of_reply<T: JsonSchema>() -> Arc<JsonObject> {
    let schema = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<T>();
    let mut reply = simplify(schema.to_value());
    drop_descriptions(&mut reply);
    Arc::new(reply)
}

/// Keywords that say nothing a model needs and that some client stumbles over.
const DROPPED: &[&str] = &[
    "$schema", "title", "format", "default", "minimum", "maximum",
];

fn simplify(schema: Value) -> Map<String, Value> {
    let Value::Object(mut object) = schema else {
        return Map::new();
    };
    // The type's own comment is for readers of the code.
    object.remove("description");
    simplify_object(&mut object);
    object
}

/// What replies mean, their tools' descriptions say; comments on the types are for readers of the code.
fn drop_descriptions(object: &mut Map<String, Value>) {
    object.retain(|keyword, value| keyword != "description" || value.is_object());
    for value in object.values_mut() {
        if let Value::Object(inner) = value {
            drop_descriptions(inner);
        }
    }
}

fn simplify_object(object: &mut Map<String, Value>) {
    object.retain(|keyword, _| !DROPPED.contains(&keyword.as_str()));
    let required: Vec<Value> = object
        .get("required")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        for (name, property) in properties {
            let nullable = required.iter().any(|required| required == name);
            if let Value::Object(property) = property {
                simplify_object(property);
                simplify_type(property, nullable);
            }
        }
    }
    if let Some(Value::Object(items)) = object.get_mut("items") {
        simplify_object(items);
    }
    if object.get("additionalProperties") == Some(&Value::Bool(true)) {
        object.remove("additionalProperties");
    }
}

/// Turns `"type": [X, "null"]` into X, or into an `anyOf` where null is really sent.
fn simplify_type(property: &mut Map<String, Value>, nullable: bool) {
    let Some(Value::Array(types)) = property.get("type") else {
        return;
    };
    let Some(kind) = types.iter().find(|kind| *kind != "null").cloned() else {
        return;
    };
    if nullable {
        property.remove("type");
        property.insert(
            "anyOf".to_owned(),
            json!([{"type": kind}, {"type": "null"}]),
        );
    } else {
        property.insert("type".to_owned(), kind);
    }
}
