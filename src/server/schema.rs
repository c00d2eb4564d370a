//! The JSON schemas of parameters and replies, reduced to what every model and client accepts.
//!
//! Type arrays, references, `format`, `default` and the like make some providers refuse the whole tool set. An
//! optional parameter is therefore one scalar type that is not required, and a nullable key of a reply is an `anyOf`.

use std::sync::Arc;

use rmcp::model::JsonObject;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

/// The schema of a tool's parameters.
pub fn of_parameters<T: JsonSchema>() -> Arc<JsonObject> {
    schema::<T>(SchemaSettings::draft2020_12())
}

/// The schema of a tool's reply, as it is serialised. What replies mean, the tools' descriptions say: the fields have no doc
/// comments.
pub fn of_reply<T: JsonSchema>() -> Arc<JsonObject> {
    schema::<T>(SchemaSettings::draft2020_12().for_serialize())
}

fn schema<T: JsonSchema>(mut settings: SchemaSettings) -> Arc<JsonObject> {
    settings.meta_schema = None;
    let settings = settings.with_transform(RecursiveTransform(simplify));
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    // The type's own comment is for readers of the code.
    schema.remove("description");
    Arc::new(schema.as_object().cloned().unwrap_or_default())
}

/// Removes the keywords over which some client stumbles, and makes `"type": [X, "null"]` X, or an `anyOf` where a reply
/// really has null.
fn simplify(schema: &mut Schema) {
    for keyword in ["title", "format", "default", "minimum", "maximum"] {
        schema.remove(keyword);
    }
    if schema.get("additionalProperties") == Some(&Value::Bool(true)) {
        schema.remove("additionalProperties");
    }
    let required = schema.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| {
        required.as_array().is_some_and(|names| names.iter().any(|required| required == name))
    };
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, property) in properties.into_iter().flatten() {
        let Some(Value::Array(types)) = property.get("type") else {
            continue;
        };
        let kind = types[0].clone();
        match is_required(name) {
            true => *property = json!({"anyOf": [{"type": kind}, {"type": "null"}]}),
            false => property["type"] = kind,
        }
    }
}
