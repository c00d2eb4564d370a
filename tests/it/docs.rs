//! `docs/contract.md` says what the schemas say, and the README what `--help` says.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::support::reply::ENTRY_KEYS;
use crate::support::{Client, LIST, files_below, server_command};

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
fn the_entries_of_a_list_are_those_that_replies_are_checked_for() {
    let table = &tables()[&(LIST.to_owned(), "entry".to_owned())];
    let row = |key: &str| (key.trim_end_matches('!').to_owned(), key.ends_with('!'));
    let documented = table.iter().map(|(name, kind)| (name.clone(), kind.ends_with(", always")));
    assert!(documented.eq(ENTRY_KEYS.split(' ').map(row)), "{table:?}");
}

/// What `--help` says of each flag: its variable and its default.
fn flags() -> BTreeMap<String, (String, String)> {
    let help = server_command("/nonexistent".as_ref()).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let mut flags = BTreeMap::new();
    let mut current = String::new();
    for line in help.lines().map(str::trim) {
        let name = line.split([' ', ',']).find(|word| word.starts_with("--"));
        if let Some(name) = name.filter(|_| line.starts_with('-')) {
            name.clone_into(&mut current);
        }
        let between = |start: &str| Some(line.split_once(start)?.1.split_once(']')?.0.trim());
        let flag: &mut (String, String) = flags.entry(current.clone()).or_default();
        if let Some(variable) = between("[env: ") {
            variable.split('=').next().unwrap().clone_into(&mut flag.0);
        }
        if let Some(default) = between("[default: ") {
            default.trim_matches('"').clone_into(&mut flag.1);
        }
    }
    flags.retain(|name, _| !["", "--help", "--version"].contains(&name.as_str()));
    flags
}

/// The rows of the README's table of flags: its cells without the marks for code.
fn table() -> BTreeMap<String, Vec<String>> {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let rows = readme.lines().filter(|line| line.starts_with("| `--"));
    let cells = |row: &str| {
        row.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().replace('`', ""))
            .collect::<Vec<_>>()
    };
    rows.map(|row| (cells(row)[0].split_whitespace().next().unwrap().to_owned(), cells(row)))
        .collect()
}

#[test]
fn the_configuration_table_is_that_of_help() {
    let (flags, table) = (flags(), table());
    assert!(flags.len() >= 14 && flags.keys().eq(table.keys()), "{flags:?}\n{table:?}");
    for (name, (variable, default)) in flags {
        let row = &table[&name];
        assert_eq!(row[1], variable, "the variable of {name}");
        if default.is_empty() {
            assert_eq!(row[2], "none", "{name} has no default");
            continue;
        }
        // Defaults in words (`45 s; 600 s for …`) begin with the same word.
        let word = |text: &str| text.replace([',', ';', '_'], "").to_lowercase();
        let (told, is) = (word(&row[2]), word(&default));
        let same = told == is || told.split_whitespace().next() == is.split_whitespace().next();
        assert!(same, "the default of {name}: {told:?} in README, {is:?} in --help");
    }
}

#[test]
fn each_module_of_these_tests_is_accounted_for_under_windows() {
    let folder = |name: &str| format!("{}/tests/{name}", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(folder("windows/README.md")).unwrap();
    let tests = ["main.rs", "contract.rs", "keep.rs"]
        .map(|name| std::fs::read_to_string(folder("windows/") + name).unwrap())
        .concat();
    for file in files_below(folder("it").as_ref()) {
        let module = file.strip_prefix(folder("it")).unwrap().with_extension("");
        let has_row = |module: &Path| page.contains(&format!("\n| `{}` |", module.display()));
        let has_tests = std::fs::read_to_string(&file).unwrap().contains("\n#[test]");
        assert!(!has_tests || module.ancestors().any(has_row), "{} has no row", module.display());
    }
    for name in page.split('`').filter_map(|name| name.strip_suffix('…')) {
        let name = name.trim_start_matches("keep::");
        assert!(tests.contains(&format!("fn {name}")), "no test begins with {name}");
    }
}
