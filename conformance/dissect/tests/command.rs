//! The command as the binary calls it, on files.

use std::path::{Path, PathBuf};

use hallmark_core::Rng;
use hallmark_dissect::{Compat, DissectError, Dissection, Format, Options, Request, Secrets, command};

const NAME: &str = "pull-push-kek3des-sha1-rsa1024";

#[test]
fn the_text_is_a_ladder_with_every_hash_and_signature_and_a_result() {
    let (text, ok) = command(&request(NAME)).expect("dissects");
    assert!(ok, "{text}");
    for expected in [
        "secrets.json",
        "    5 ",
        "10.99.0.2:848 -> 10.99.0.1:848",
        "main mode 5         ID HASH N  HASH_I OK",
        "PULL 4              HASH SEQ KD  HASH(4) OK, sequence OK",
        "PUSH                SEQ SA KD SIG  SIG OK, sequence OK",
        "24 messages, 16 decrypted",
        "sig-bare-digest             4 x",
        "every message decodes and no check failed",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
    assert!(!text.contains('\u{2713}') && !text.contains("FAILED"));
    let (marked, _) = command(&Request { unicode: true, ..request(NAME) }).expect("dissects");
    assert!(marked.contains("\u{2713} HASH_I") && !marked.contains("HASH_I OK"));
}

#[test]
fn details_show_keys_only_when_asked() {
    let key = "2b779d1014f2a6bb0f51d40bfcf1e04dd57a9401f66ea152";
    let (text, _) = command(&Request { verbose: true, ..request(NAME) }).expect("dissects");
    assert!(text.contains("group 1234") && text.contains("message id 6a30cae9") && text.contains("239.192.1.1"));
    assert!(!text.contains(key) && text.contains("24 octets, hidden"));
    let (text, _) = command(&Request { verbose: true, show_keys: true, ..request(NAME) }).expect("dissects");
    assert!(text.contains(key));
}

#[test]
fn without_the_profile_the_answer_is_no_and_the_text_says_what_would_help() {
    let (text, ok) = command(&Request { compat: Vec::new(), ..request(NAME) }).expect("dissects");
    assert!(!ok);
    assert!(text.contains("[sig-bare-digest]") && text.contains("--compat gdoid-2011 allows them"), "{text}");
    assert!(text.contains("FAILED: 22 checks failed"), "{text}");
}

#[test]
fn json_has_its_schema_and_one_object_per_frame() {
    let (text, ok) = command(&Request { format: Format::Json, ..request(NAME) }).expect("dissects");
    let json: serde_json::Value = serde_json::from_str(&text).expect("json");
    assert_eq!((json["schema"].as_str(), json["ok"].as_bool()), (Some("hallmark.dissection/1"), Some(ok)));
    assert_eq!(json["frames"].as_array().map(Vec::len), Some(24));
    assert_eq!(json["totals"]["checks"]["failed"], 0);
    assert_eq!(json["compat_used"]["sak-six-reserved"], 5);
    let push = &json["frames"][20];
    assert_eq!((push["kind"].as_str(), push["dst"].as_str()), (Some("push"), Some("239.10.1.1:848")));
    assert_eq!(push["protection"]["state"], "decrypted");
    assert_eq!(push["payloads"], serde_json::json!(["SEQ", "SA", "KD", "SIG"]));
    let sig = &push["checks"][0];
    let expected = (Some("SIG"), Some("ok"), Some("sig-bare-digest"));
    assert_eq!((sig["name"].as_str(), sig["verdict"].as_str(), sig["switch"].as_str()), expected);
    assert_eq!((json["frames"][7]["kind"].as_str(), json["frames"][7]["number"].as_u64()), (Some("pull"), Some(2)));
    for field in ["at", "src", "octets", "header", "tree", "notes", "error", "repeat_of", "pieces", "ok"] {
        assert!(push.get(field).is_some(), "{field}");
    }
}

#[test]
fn every_json_output_fits_the_published_schema() {
    let schema: serde_json::Value = serde_json::from_str(hallmark_dissect::json::schema()).expect("json");
    for (name, compat) in [(NAME, "gdoid-2011"), (NAME, ""), ("pull-aggressive", ""), ("pull-gcm-sids", "gdoid-2011")] {
        let request = Request { compat: vec![compat.to_owned()], format: Format::Json, ..request(name) };
        let (text, _) = command(&request).expect("dissects");
        let value: serde_json::Value = serde_json::from_str(&text).expect("json");
        let mut faults = Vec::new();
        validate(&schema, &schema, &value, "", &mut faults);
        assert!(faults.is_empty(), "{name}: {faults:?}");
        let mut broken = value;
        broken["frames"][0]["kind"] = "letter".into();
        broken["totals"]["frames"] = serde_json::Value::Null;
        validate(&schema, &schema, &broken, "", &mut faults);
        assert_eq!(faults.len(), 2, "{faults:?}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_the_file_and_the_reason() {
    let folder = std::env::temp_dir().join(format!("hallmark-dissect-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, content).expect("writes");
        path
    };
    let missing = Request { capture: folder.join("missing.pcap"), ..Request::default() };
    let error = command(&missing).expect_err("refused");
    assert!(matches!(error, DissectError::Unreadable { .. }) && error.to_string().contains("missing.pcap"));
    let text = Request { capture: file("text.pcap", b"this is no capture"), ..Request::default() };
    assert!(command(&text).expect_err("refused").to_string().contains("no capture"));
    let secrets = Request { secrets: vec![file("bad.json", b"{\"psk\": 1}")], ..request(NAME) };
    assert!(command(&secrets).expect_err("refused").to_string().contains("bad.json holds no keys"));
    let switch = Request { compat: vec!["gdoid-2012".to_owned()], ..request(NAME) };
    assert!(command(&switch).expect_err("refused").to_string().contains("gdoid-2011"));
    // A file that breaks off is read up to there, and is not in order.
    let whole = std::fs::read(capture(NAME)).expect("a fixture");
    let cut = Request { capture: file("cut.pcap", &whole[..whole.len() - 100]), ..request(NAME) };
    let cut = Request { secrets: vec![capture(NAME).with_file_name("secrets.json")], ..cut };
    let (text, ok) = command(&cut).expect("dissects");
    assert!(!ok && text.contains("the capture breaks off") && text.contains("23 frames"), "{text}");
    std::fs::remove_dir_all(folder).expect("cleans up");
}

#[test]
fn keys_beside_the_capture_are_found_and_their_absence_is_said() {
    let folder = std::env::temp_dir().join(format!("hallmark-dissect-keys-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("trace.pcap");
    std::fs::copy(capture(NAME), &path).expect("copies");
    let alone = Request { capture: path, ..request(NAME) };
    let (text, ok) = command(&alone).expect("dissects");
    assert!(ok && text.contains("keys: none") && text.contains("16 messages stayed closed"), "{text}");
    std::fs::copy(capture(NAME).with_file_name("secrets.json"), folder.join("keys.json")).expect("copies");
    let (text, ok) = command(&alone).expect("dissects");
    assert!(ok && text.contains("keys.json") && text.contains("16 decrypted"), "{text}");
    std::fs::remove_dir_all(folder).expect("cleans up");
}

#[test]
fn random_and_damaged_files_never_panic() {
    let whole = std::fs::read(capture(NAME)).expect("a fixture");
    let text = std::fs::read_to_string(capture(NAME).with_file_name("secrets.json")).expect("a fixture");
    let secrets = Secrets::parse(&text).expect("secrets");
    let options = Options { compat: Compat::gdoid_2011(), show_keys: true };
    let mut rng = Rng::from_u64(7);
    for _ in 0..300 {
        let len = rng.below(200) as usize;
        let mut noise = rng.vec(len);
        assert!(Dissection::of_file(&noise, &secrets, &options).is_err());
        noise.splice(0..0, whole[..24].iter().copied());
        drop(Dissection::of_file(&noise, &secrets, &options));
    }
    let mut altered = 0;
    for round in 0..200 {
        let mut damaged = whole.clone();
        for _ in 0..=round % 20 {
            let at = rng.below(damaged.len() as u64) as usize;
            damaged[at] ^= 1 << rng.below(8);
        }
        let end = damaged.len() - if round % 3 == 0 { rng.below(2_000) as usize } else { 0 };
        if let Ok(dissection) = Dissection::of_file(&damaged[..end], &secrets, &options) {
            altered += usize::from(!dissection.is_ok());
            drop(hallmark_dissect::text::render("x", &dissection, hallmark_dissect::text::Style::default()));
            drop(hallmark_dissect::json::render("x", &dissection));
        }
    }
    // Almost every damage hits something that is checked.
    assert!(altered > 150, "{altered}");
}

/// Validates the part of JSON Schema that the schema uses, and refuses properties that it does not name.
fn validate(
    rules: &serde_json::Value,
    root: &serde_json::Value,
    value: &serde_json::Value,
    path: &str,
    faults: &mut Vec<String>,
) {
    if let Some(name) = rules["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/")) {
        return validate(&root["$defs"][name], root, value, path, faults);
    }
    if let Some(choices) = rules["anyOf"].as_array() {
        let fits = |choice: &serde_json::Value| {
            let mut inner = Vec::new();
            validate(choice, root, value, path, &mut inner);
            inner.is_empty()
        };
        if !choices.iter().any(fits) {
            faults.push(format!("{path}: fits no choice"));
        }
        return;
    }
    let right = match rules["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some(other) => panic!("unknown type {other}"),
        None => true,
    };
    let constant = rules.get("const").is_none_or(|constant| constant == value);
    if !right || !constant || rules["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        faults.push(format!("{path}: {value} does not fit"));
    }
    for name in rules["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().expect("a name")).is_none() {
            faults.push(format!("{path}: {name} is missing"));
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        match (rules["properties"].get(name), rules.get("additionalProperties")) {
            (Some(inner), _) | (None, Some(inner)) => validate(inner, root, member, &format!("{path}/{name}"), faults),
            (None, None) => faults.push(format!("{path}: {name} is not in the schema")),
        }
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        validate(&rules["items"], root, item, &format!("{path}/{at}"), faults);
    }
}

fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/captures").join(name).join("capture.pcap")
}

fn request(name: &str) -> Request {
    Request { capture: capture(name), compat: vec!["gdoid-2011".to_owned()], ..Request::default() }
}
