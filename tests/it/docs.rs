//! `docs/contract.md` says what the schemas say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

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
        let cells: Vec<String> = line.split('|').map(|cell| cell.trim().replace('`', "")).collect();
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
    assert_eq!(tables.keys().filter(|(_, table)| table == "parameter").count(), 4);
    for tool in &client.tools() {
        let name = tool["name"].as_str().unwrap();
        let table = |kind: &str| &tables[&(name.to_owned(), kind.to_owned())];
        assert_eq!(*table("parameter"), properties(&tool["inputSchema"], ", required"), "{name}");
        assert_eq!(*table("key"), properties(&tool["outputSchema"], ", always"), "{name}");
    }
}

#[test]
fn the_entries_of_a_list_are_those_of_the_contract() {
    let client = Client::start();
    let elsewhere = client.scratch().to_str().unwrap().to_owned();
    client.execute(&json!({"cmd": "sleep 100", "cwd": elsewhere}));
    client.execute(&json!({"cmd": "kill -9 $$", "wait_seconds": 20}));
    let list = client.list();
    let table = &tables()[&("list_background_processes".to_owned(), "entry".to_owned())];
    let mut seen = BTreeSet::new();
    for entry in list["processes"].as_array().unwrap() {
        let keys: Vec<_> = entry.as_object().unwrap().keys().collect();
        let mut rows = table.iter();
        for key in &keys {
            assert!(rows.any(|(name, _)| name == *key), "{key} of {keys:?}");
        }
        for (name, kind) in table {
            let is_always = kind.ends_with(", always");
            assert!(!is_always || keys.contains(&name), "{name} in {keys:?}");
        }
        seen.extend(keys.into_iter().cloned());
    }
    // These commands use next to no CPU.
    seen.insert("cpu_seconds".to_owned());
    let unseen = table.iter().filter(|(name, _)| !seen.contains(name));
    let unseen: Vec<_> = unseen.collect();
    assert!(unseen.is_empty(), "{unseen:?} in {list}");
}
