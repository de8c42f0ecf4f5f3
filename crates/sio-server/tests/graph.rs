//! The table of crates in `docs/ARCHITECTURE.md` is what `cargo metadata` says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;

/// One row of the table.
struct Row {
    imports: BTreeSet<String>,
    /// Names, or beginnings of names where they end in `*`.
    never: Vec<String>,
}

#[test]
fn the_table_of_crates_is_what_cargo_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let table =
        table(&fs::read_to_string(root.join("docs/ARCHITECTURE.md")).expect("the document"));
    let crates = dependencies(&root);
    let ours: BTreeSet<_> = crates.keys().cloned().collect();
    let listed: BTreeSet<_> = table.keys().cloned().collect();
    assert_eq!(listed, ours, "the table lists all members of the workspace");

    for (name, row) in &table {
        let imports = &crates[name];
        let own: BTreeSet<_> = imports.intersection(&ours).cloned().collect();
        assert_eq!(own, row.imports, "what {name} imports of ours");
        for never in &row.never {
            let found = imports.iter().find(|import| fits(never, import));
            assert_eq!(found, None, "{name} must never import {never}");
        }
    }
}

#[test]
fn imports_go_down_and_never_round() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut left = dependencies(&root);
    let ours: BTreeSet<_> = left.keys().cloned().collect();
    for imports in left.values_mut() {
        imports.retain(|import| ours.contains(import));
    }
    while !left.is_empty() {
        let floor: Vec<_> = left
            .iter()
            .filter(|(_, imports)| imports.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        assert!(!floor.is_empty(), "a circle among {:?}", left.keys());
        for name in floor {
            left.remove(&name);
            for imports in left.values_mut() {
                imports.remove(&name);
            }
        }
    }
}

fn fits(never: &str, import: &str) -> bool {
    match never.strip_suffix('*') {
        Some(beginning) => import.starts_with(beginning),
        None => import == never,
    }
}

/// The normal dependencies of each member of the workspace. Those of an optional feature are left
/// out: without the feature they are not there.
fn dependencies(root: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata succeeds");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let imports = list(&package["dependencies"])
                .iter()
                .filter(|import| import["kind"].is_null() && import["optional"] == false)
                .map(|import| text(&import["name"]))
                .collect();
            (text(&package["name"]), imports)
        })
        .collect()
}

/// The rows of the table under the heading "The crates": name, sentence, imports, never.
fn table(document: &str) -> BTreeMap<String, Row> {
    let (_, section) = document
        .split_once("\n## The crates\n")
        .expect("a section of that name");
    let rows: BTreeMap<_, _> = section
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [name, _sentence, imports, never] = cells[..] else {
                panic!("four cells in {line}");
            };
            let row = Row {
                imports: names(imports).collect(),
                never: names(never).collect(),
            };
            (names(name).next().expect("a name"), row)
        })
        .collect();
    assert!(!rows.is_empty(), "the table has rows");
    rows
}

/// What stands between backticks.
fn names(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}
