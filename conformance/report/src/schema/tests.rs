use hallmark_catalogue::listing::{Format, list};
use hallmark_core::UnixTime;
use hallmark_evidence::{EventLog, RunFolder};
use serde_json::{Value, json};

use super::*;
use crate::prove::KillMatrix;
use crate::results::tests::{CASES, sample};

/// Validates the part of JSON Schema that the published schemas use. An unknown keyword is a fault of the schema.
fn validate(schema: &Value, root: &Value, value: &Value, path: &str, faults: &mut Vec<String>) {
    let Some(rules) = schema.as_object() else { return };
    for (keyword, rule) in rules {
        let mut fault = |text: String| faults.push(format!("{path}: {text}"));
        match keyword.as_str() {
            "$schema" | "$id" | "title" | "description" | "$defs" => {}
            "$ref" => {
                let name = rule.as_str().and_then(|r| r.strip_prefix("#/$defs/")).expect("a local reference");
                validate(&root["$defs"][name], root, value, path, faults);
            }
            "type" => {
                let is = |name: &str| match name {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "number" => value.is_number(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    other => panic!("unknown type {other}"),
                };
                if !is(rule.as_str().expect("a type")) {
                    fault(format!("is no {rule}"));
                }
            }
            "const" => {
                if value != rule {
                    fault(format!("is not {rule}"));
                }
            }
            "enum" => {
                if !rule.as_array().expect("an array").contains(value) {
                    fault(format!("{value} is not one of {rule}"));
                }
            }
            "minimum" => {
                if value.as_f64() < rule.as_f64() {
                    fault(format!("{value} is below {rule}"));
                }
            }
            "pattern" => {
                // The patterns in use are fixed-length hexadecimal texts: ^[0-9a-f]{N}$.
                let len: usize = rule
                    .as_str()
                    .and_then(|p| p.strip_prefix("^[0-9a-f]{")?.strip_suffix("}$")?.parse().ok())
                    .expect("a known pattern");
                let text = value.as_str().unwrap_or("");
                if text.len() != len || !text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)) {
                    fault(format!("does not match {rule}"));
                }
            }
            "required" => {
                for name in rule.as_array().expect("an array") {
                    if value.get(name.as_str().expect("a name")).is_none() {
                        fault(format!("{name} is missing"));
                    }
                }
            }
            "properties" => {
                for (name, inner) in rule.as_object().expect("an object") {
                    if let Some(member) = value.get(name) {
                        validate(inner, root, member, &format!("{path}/{name}"), faults);
                    }
                }
            }
            "additionalProperties" => {
                let known = schema["properties"].as_object();
                for (name, member) in value.as_object().into_iter().flatten() {
                    if known.is_none_or(|known| !known.contains_key(name)) {
                        if rule == &Value::Bool(false) {
                            faults.push(format!("{path}: {name} is not in the schema"));
                        } else {
                            validate(rule, root, member, &format!("{path}/{name}"), faults);
                        }
                    }
                }
            }
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(rule, root, item, &format!("{path}/{n}"), faults);
                }
            }
            "oneOf" => {
                let fits = rule.as_array().expect("an array").iter().filter(|one| {
                    let mut inner = Vec::new();
                    validate(one, root, value, path, &mut inner);
                    inner.is_empty()
                });
                let fits = fits.count();
                if fits != 1 {
                    fault(format!("fits {fits} of the alternatives"));
                }
            }
            other => panic!("the schema uses {other}, which nobody checks"),
        }
    }
}

fn faults(name: &str, text: &str) -> Vec<String> {
    let schema: Value = serde_json::from_str(schema(name).expect(name)).expect("a schema is JSON");
    let mut faults = Vec::new();
    validate(&schema, &schema, &serde_json::from_str(text).expect("json"), "", &mut faults);
    faults
}

fn matrix() -> KillMatrix {
    let mut matrix = KillMatrix::new("0.1.0", "7");
    matrix.case("A-001", &["d"], "pass");
    matrix.defect("d", "does", "P01", vec!["A-001".into()]);
    matrix.variant("v", "does", 1, Vec::new());
    matrix.conclude(false);
    matrix
}

#[test]
fn what_is_written_is_what_the_schemas_publish() {
    assert_eq!(faults("results", &sample().to_json()), Vec::<String>::new());
    let cases: Vec<_> = CASES.iter().collect();
    assert_eq!(faults("cases", &list(&cases, Format::Json)), Vec::<String>::new());
    assert_eq!(faults("prove", &matrix().to_json()), Vec::<String>::new());
    let mut log = EventLog::new(Vec::new());
    log.append(UnixTime::from_secs(1), "run.started", &json!({"seed": 7})).expect("writes");
    assert_eq!(faults("events", &String::from_utf8(log.into_inner()).expect("text")), Vec::<String>::new());

    let root = std::env::temp_dir().join(format!("hallmark-schema-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&root);
    let folder = RunFolder::create(&root).expect("makes");
    folder.write_manifest(&mut hallmark_evidence::Manifest::default()).expect("writes");
    let text = std::fs::read_to_string(root.join("run.json")).expect("reads");
    std::fs::remove_dir_all(root).expect("cleans up");
    assert_eq!(faults("run", &text), Vec::<String>::new());
}

#[test]
fn the_schemas_refuse_what_they_do_not_publish() {
    let mut value: Value = serde_json::from_str(&sample().to_json()).expect("json");
    value["cases"][0]["verdict"] = json!("passed");
    value["summary"]["invented"] = json!(1);
    value["cases"][1].as_object_mut().expect("an object").remove("reason");
    let found = faults("results", &value.to_string());
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(faults("prove", "{}").len() > 4);
    assert!(!faults("cases", "[{\"id\": 7}]").is_empty());
}

#[test]
fn every_name_has_a_schema_that_says_its_own_version() {
    for name in NAMES {
        let value: Value = serde_json::from_str(schema(name).expect(name)).expect("json");
        assert_eq!(value["$id"], format!("https://hallmark.invalid/schema/{name}-1.json"), "{name}");
    }
    assert_eq!(schema("nope"), None);
}
