//! The published JSON schemas.

/// Gives the names of the schemas.
pub const NAMES: [&str; 5] = ["results", "cases", "prove", "events", "run"];

/// Gives a schema by its name.
#[must_use]
pub fn schema(name: &str) -> Option<&'static str> {
    match name {
        "results" => Some(include_str!("../../../fixtures/schema/results-1.json")),
        "cases" => Some(include_str!("../../../fixtures/schema/cases-1.json")),
        "prove" => Some(include_str!("../../../fixtures/schema/prove-1.json")),
        "events" => Some(include_str!("../../../fixtures/schema/events-1.json")),
        "run" => Some(include_str!("../../../fixtures/schema/run-1.json")),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
