//! What several workers tell, as if one had told it.

use serde_json::{Map, Value};

/// Fields that are the same in every worker or whose sum means nothing: the largest stands for all.
const LARGEST: &[&str] = &[
    "policy_serial",
    "spi",
    "policy",
    "serial",
    "permit",
    "activates_in",
    "remaining",
    "sequence",
    "vectors",
    "window_top",
    "pseudotime",
    "window",
    "max_time_delta",
    "mtu",
    "remembered",
    "limit",
];
/// Lists with one entry for each thing that all workers have, in the same order.
const PARALLEL: &[&str] = &["sas", "rules", "events"];
/// Lists that all workers share: one tells it for all.
const SHARED: &[&str] = &["pmtu"];

/// Joins the answers of all workers: counters are added, lists of what each has seen follow each other.
pub(super) fn join(answers: Vec<Value>) -> Value {
    let mut answers = answers.into_iter();
    let Some(mut first) = answers.next() else { return Value::Object(Map::new()) };
    for other in answers {
        add(&mut first, other);
    }
    first
}

/// Adds one answer to another.
pub(super) fn add(to: &mut Value, from: Value) {
    join_named("", to, from);
}

fn join_named(name: &str, to: &mut Value, from: Value) {
    match (to, from) {
        (Value::Object(to), Value::Object(from)) => {
            for (key, value) in from {
                match to.get_mut(&key) {
                    Some(place) => join_named(&key, place, value),
                    None => {
                        to.insert(key, value);
                    }
                }
            }
        }
        (Value::Array(to), Value::Array(from)) if PARALLEL.contains(&name) && to.len() == from.len() => {
            for (place, value) in to.iter_mut().zip(from) {
                join_named("", place, value);
            }
        }
        (Value::Array(_), Value::Array(_)) if SHARED.contains(&name) => {}
        (Value::Array(to), Value::Array(from)) => to.extend(from),
        (Value::Bool(to), Value::Bool(from)) => *to |= from,
        (Value::Number(to), Value::Number(from)) => {
            let largest = LARGEST.contains(&name);
            *to = match (to.as_u64(), from.as_u64()) {
                (Some(a), Some(b)) => if largest { a.max(b) } else { a.saturating_add(b) }.into(),
                _ => return float(largest, to, &from),
            };
        }
        (to @ Value::Null, from) => *to = from,
        // Words are the same in every worker.
        _ => {}
    }
}

fn float(largest: bool, to: &mut serde_json::Number, from: &serde_json::Number) {
    let (Some(a), Some(b)) = (to.as_f64(), from.as_f64()) else { return };
    if let Some(joined) = serde_json::Number::from_f64(if largest { a.max(b) } else { a + b }) {
        *to = joined;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counters_add_up_and_what_all_share_stays() {
        let one = json!({
            "state": "registered", "policy_serial": 3, "totals": { "sealed": { "packets": 5, "octets": 500 } },
            "sas": [{ "spi": 7, "sealed": { "packets": 5 }, "sequence": 9, "sending": false, "remaining": 10.5 }],
            "drops": { "esp.replay": 1 }, "events": [4, 1], "flows": [{ "src": "a" }],
            "pmtu": [{ "dst": "c" }], "replay": { "pseudotime": null },
        });
        let other = json!({
            "state": "registered", "policy_serial": 3, "totals": { "sealed": { "packets": 2, "octets": 200 } },
            "sas": [{ "spi": 7, "sealed": { "packets": 2 }, "sequence": 12, "sending": true, "remaining": 10.25 }],
            "drops": { "ip.ttl": 6 }, "events": [1, 0], "flows": [{ "src": "b" }],
            "pmtu": [{ "dst": "c" }], "replay": { "pseudotime": 4.0 },
        });
        assert_eq!(
            join(vec![one, other]),
            json!({
                "state": "registered", "policy_serial": 3, "totals": { "sealed": { "packets": 7, "octets": 700 } },
                "sas": [{ "spi": 7, "sealed": { "packets": 7 }, "sequence": 12, "sending": true, "remaining": 10.5 }],
                "drops": { "esp.replay": 1, "ip.ttl": 6 }, "events": [5, 1],
                "flows": [{ "src": "a" }, { "src": "b" }], "pmtu": [{ "dst": "c" }], "replay": { "pseudotime": 4.0 },
            })
        );
    }

    #[test]
    fn one_answer_stays_as_it_is_and_none_is_empty() {
        let one = json!({ "traces": [1, 2] });
        assert_eq!(join(vec![one.clone()]), one);
        assert_eq!(join(vec![one.clone(), one]), json!({ "traces": [1, 2, 1, 2] }));
        assert_eq!(join(Vec::new()), json!({}));
    }
}
