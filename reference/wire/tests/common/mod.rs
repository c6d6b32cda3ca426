//! Fixtures, read where they lie.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::PathBuf;

/// Finds a file of the fixtures.
pub(crate) fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(path)
}

/// Reads a JSON vector file.
pub(crate) fn json(path: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(fixture(path)).unwrap()).unwrap()
}

/// Reads a hexadecimal string of a JSON value.
pub(crate) fn octets(value: &serde_json::Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

/// Reads one value of the GDOI vectors.
pub(crate) fn appendix(name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(fixture("vectors/gdoi-appendix-a.txt")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
    hex::decode(line.unwrap_or_else(|| panic!("no vector {name}")).trim()).unwrap()
}

/// Lists the capture folders.
pub(crate) fn captures() -> Vec<PathBuf> {
    let mut folders: Vec<_> = std::fs::read_dir(fixture("captures"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert_eq!(folders.len(), 19);
    folders
}
