//! What the documents say of the tests is there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Those whose rows name the test that holds them.
const DOCUMENTS: [&str; 5] = [
    "DIFFERENCES.md",
    "HAZARDS.md",
    "LIMITS.md",
    "WIRE.md",
    "wire-socket-io.md",
];

#[test]
fn every_test_that_a_document_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut words = BTreeSet::new();
    for file in sources(&root.join("crates")) {
        let text = fs::read_to_string(&file).expect("a source is text");
        words.extend(
            text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .filter(|word| is_sentence(word))
                .map(str::to_owned),
        );
    }
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root.join("docs").join(document)).expect("the document");
        for name in quoted(&text).filter(|name| is_sentence(name.trim_end_matches('…'))) {
            let found = match name.strip_suffix('…') {
                Some(start) => words.iter().any(|word| word.starts_with(start)),
                None => words.contains(name),
            };
            if !found {
                missing.push(format!("{document}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// What stands between backticks, without the file that a test is in.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).map(|name| {
        let (_, name) = name.split_once(": ").unwrap_or(("", name));
        name
    })
}

/// Tests are named as sentences, here of four words at least.
fn is_sentence(word: &str) -> bool {
    word.chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && word.matches('_').count() >= 3
}

/// The programs below `folder`, without what was installed there.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let ends = path.extension().and_then(|end| end.to_str());
        if path.is_dir() && !path.ends_with("node_modules") {
            found.extend(sources(&path));
        } else if matches!(ends, Some("rs" | "mjs" | "py")) {
            found.push(path);
        }
    }
    found
}
