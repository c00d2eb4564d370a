//! `docs/contract.md` says what the schemas say.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::Client;

/// The rows of each table under each tool's heading, by the table's first heading: name and type as written.
fn tables() -> BTreeMap<(String, String), Vec<(String, String)>> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/contract.md"));
    let mut tables: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let (mut tool, mut table) = (String::new(), String::new());
    for line in page.unwrap().lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            tool = heading.replace('`', "");
        }
        let cells: Vec<String> = line
            .split('|')
            .map(|cell| cell.trim().replace('`', ""))
            .collect();
        match cells.as_slice() {
            [_, name, kind, ..] if kind == "type" => name.clone_into(&mut table),
            [_, name, kind, _, _] if !name.starts_with("---") => {
                let rows = tables.entry((tool.clone(), table.clone())).or_default();
                rows.push((name.clone(), kind.clone()));
            }
            [_, _, _] | [_] => {}
            // A table of another kind.
            _ if !line.starts_with("| ---") => table.clear(),
            _ => {}
        }
    }
    tables
}

/// The properties of a schema in their order: name and type as the page writes them.
fn properties(schema: &Value, if_required: &str) -> Vec<(String, String)> {
    let is_required = |name: &str| {
        let required = schema["required"].as_array();
        required.is_some_and(|required| required.iter().any(|key| key == name))
    };
    let kind = |property: &Value| match property["anyOf"].as_array() {
        Some(kinds) => {
            let kinds = kinds.iter().map(|kind| kind["type"].as_str().unwrap());
            kinds.collect::<Vec<_>>().join(" or ")
        }
        None => property["type"].as_str().unwrap().to_owned(),
    };
    let properties = schema["properties"].as_object().unwrap();
    properties
        .iter()
        .map(|(name, property)| {
            let suffix = if is_required(name) { if_required } else { "" };
            (name.clone(), kind(property) + suffix)
        })
        .collect()
}

#[test]
fn the_contract_is_that_of_the_schemas() {
    let client = Client::start();
    let tables = tables();
    assert_eq!(
        tables
            .keys()
            .filter(|(_, table)| table == "parameter")
            .count(),
        4
    );
    for tool in &client.tools {
        let name = tool["name"].as_str().unwrap();
        let table = |kind: &str| &tables[&(name.to_owned(), kind.to_owned())];
        assert_eq!(
            *table("parameter"),
            properties(&tool["inputSchema"], ", required"),
            "{name}"
        );
        assert_eq!(
            *table("key"),
            properties(&tool["outputSchema"], ", always"),
            "{name}"
        );
        let entry = &tool["outputSchema"]["properties"]["processes"]["items"];
        if !entry.is_null() {
            assert_eq!(*table("entry"), properties(entry, ", always"), "{name}");
        }
    }
}
