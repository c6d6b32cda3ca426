//! Reads the fixtures that several test files share.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::PathBuf;

use serde_json::Value;

/// Gives the path of a fixture.
pub(crate) fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(path)
}

/// Reads a JSON fixture.
pub(crate) fn json(path: &str) -> Value {
    let path = fixture(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Turns hexadecimal text into octets.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Gives the octets at a path such as `variant_gdoi/message5/datagram`.
pub(crate) fn octets(value: &Value, path: &str) -> Vec<u8> {
    unhex(text(value, path))
}

/// Gives the text at a path.
pub(crate) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    path.split('/').fold(value, |value, key| &value[key]).as_str().unwrap_or_else(|| panic!("no text at {path}"))
}

/// Gives so many octets as an array.
pub(crate) fn array<const N: usize>(octets: &[u8]) -> [u8; N] {
    octets.try_into().unwrap_or_else(|_| panic!("{} octets instead of {N}", octets.len()))
}
