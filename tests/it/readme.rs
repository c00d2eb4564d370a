//! The README says what is so.

use std::collections::BTreeMap;
use std::process::Command;

use crate::support::SERVER;

/// What `--help` says of one flag.
#[derive(Debug, Default)]
struct Flag {
    variable: String,
    default: String,
}

fn flags() -> BTreeMap<String, Flag> {
    let help = Command::new(SERVER).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let mut flags: BTreeMap<String, Flag> = BTreeMap::new();
    let mut current = None;
    for line in help.lines() {
        let line = line.trim();
        let name = line.split([' ', ',']).find(|word| word.starts_with("--"));
        if let Some(name) = name.filter(|_| line.starts_with('-')) {
            current = Some(name.to_owned());
            flags.insert(name.to_owned(), Flag::default());
        }
        let Some(flag) = current.as_ref().and_then(|name| flags.get_mut(name)) else {
            continue;
        };
        let between =
            |start: &str| Some(line.split_once(start)?.1.split_once(']')?.0.trim().to_owned());
        if let Some(variable) = between("[env: ") {
            variable.split('=').next().unwrap().clone_into(&mut flag.variable);
        }
        if let Some(default) = between("[default: ") {
            default.trim_matches('"').clone_into(&mut flag.default);
        }
    }
    flags.remove("--help");
    flags.remove("--version");
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
    assert!(flags.len() >= 14, "{flags:?}");
    let names = |keys: Vec<&String>| keys.into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(table.keys().collect()),
        names(flags.keys().collect()),
        "flags in README and in --help"
    );
    for (name, flag) in flags {
        let row = &table[&name];
        assert_eq!(row[1], flag.variable, "the variable of {name}");
        if flag.default.is_empty() {
            assert_eq!(row[2], "none", "{name} has no default");
            continue;
        }
        // Defaults in words (`45 s; 600 s for …`) begin with the same word.
        let word = |text: &str| text.replace([',', ';', '_'], "").to_lowercase();
        assert!(
            word(&row[2]) == word(&flag.default)
                || word(&row[2]).split_whitespace().next()
                    == word(&flag.default).split_whitespace().next(),
            "the default of {name}: {:?} in README, {:?} in --help",
            row[2],
            flag.default
        );
    }
}
