//! What stands around a run: lists, explanations, the proof, captures, schemas, the doctor.

use std::collections::BTreeSet;

use crate::common::{Bench, project};

#[test]
fn the_list_for_machines_has_the_published_fields() {
    let bench = Bench::new();
    let cases = bench.run(&["list", "--format", "json"]).json();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() >= 150, "{}", cases.len());
    let mut ids = BTreeSet::new();
    for case in cases {
        assert!(ids.insert(case["id"].as_str().unwrap().to_owned()), "{} twice", case["id"]);
        for (field, list) in [
            ("area", false),
            ("level", false),
            ("subject", false),
            ("title", false),
            ("requirements", true),
            ("sources", true),
            ("needs", true),
            ("catches", true),
        ] {
            assert_eq!(case[field].is_array(), list, "{}: {field}", case["id"]);
            assert_eq!(case[field].is_string(), !list, "{}: {field}", case["id"]);
        }
    }
    let words = bench.run(&["list", "role(ks)", "--format", "ids"]).out;
    let flag = bench.run(&["list", "--role", "ks", "--format", "ids"]).out;
    assert!(!words.is_empty());
    assert_eq!(words, flag);
}

#[test]
fn the_list_says_why_a_case_is_not_in_it() {
    let bench = Bench::new();
    let answer = bench.run(&["list", "area(gdoi.pull) and level(must)", "--why"]);
    assert!(answer.out.contains("left out:"), "{}", answer.out);
    assert!(answer.out.lines().any(|line| line.contains("area(")), "{}", answer.out);
}

#[test]
fn every_case_requirement_defect_and_variant_explains_itself() {
    let bench = Bench::new();
    let catalogue = bench.run(&["catalogue", "export"]).json();
    let mut names: Vec<String> = Vec::new();
    for (list, key) in [("cases", "id"), ("defects", "name"), ("variants", "name")] {
        let list = catalogue[list].as_array().unwrap();
        assert!(list.len() >= 25);
        names.extend(list.iter().map(|row| row[key].as_str().unwrap().to_owned()));
    }
    names.push("GDOI-PUSH-039".to_owned());
    let args: Vec<&str> = ["explain"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let answer = bench.run(&args);
    assert_eq!(answer.code, 0, "{}", answer.err);
    for name in &names {
        assert!(answer.out.contains(&format!("{name}  ")), "{name}");
    }
}

#[test]
fn a_check_is_explained_from_the_newest_run() {
    let bench = Bench::new();
    let unknown = bench.run(&["explain", "push.seq-strictly-newer"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("newest run"), "{}", unknown.err);
    let ran = bench.run(&["run", "PULLK-003", "--status-json", "--ui", "quiet"]);
    let status: serde_json::Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    let results = bench.json(&format!("{}/results.json", status["run"].as_str().unwrap()));
    let check = results["cases"][0]["checks"][0]["id"].as_str().unwrap();
    let told = bench.run(&["explain", check]);
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(told.out.contains("PULLK-003") && told.out.contains("held:"), "{}", told.out);
}

#[test]
fn a_proof_has_the_published_shape_and_holds_for_what_a_case_must_catch() {
    let bench = Bench::new();
    let answer = bench.run(&["prove", "PULLK-003", "PULLK-004", "--format", "json"]);
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    let proof = answer.json();
    assert_eq!(proof["ok"], true);
    assert_eq!(proof["cases"].as_array().unwrap().len(), 2);
    for defect in proof["defects"].as_array().unwrap() {
        assert!(!defect["caught_by"].as_array().unwrap().is_empty(), "{}", defect["name"]);
    }
    let variants = proof["variants"].as_array().unwrap();
    assert!(variants.len() >= 25, "{}", variants.len());
    assert!(variants.iter().all(|variant| variant["punished_by"].as_array().unwrap().is_empty()));
    let schema = bench.run(&["schema", "prove"]).json();
    for field in schema["required"].as_array().unwrap() {
        assert!(proof.get(field.as_str().unwrap()).is_some(), "{field}");
    }
}

#[test]
fn a_proof_with_a_survivor_does_not_hold() {
    let bench = Bench::new();
    // PULLK-003 has nothing to do with the KEK sequence of a group member, so that defect survives it.
    let defects = bench.run(&["catalogue", "export"]).json();
    let alien =
        bench.run(&["list", "role(gm)", "--format", "json"]).json()[0]["catches"][0].as_str().unwrap().to_owned();
    assert!(defects["defects"].as_array().unwrap().iter().any(|defect| defect["name"] == alien.as_str()));
    let answer = bench.run(&["prove", "PULLK-003", "--full", "--defect", &alien, "--format", "json"]);
    assert_eq!(answer.code, 1, "{}{}", answer.out, answer.err);
    let proof = answer.json();
    assert_eq!(proof["ok"], false);
    assert!(!proof["faults"].as_array().unwrap().is_empty());
    let markdown = bench.run(&["prove", "PULLK-003", "--report", "kill-matrix:out/matrix.md"]);
    assert_eq!(markdown.code, 0, "{}", markdown.out);
    assert!(bench.read("out/matrix.md").contains("| PULLK-003 |"));
}

#[test]
fn captures_of_another_implementation_are_dissected_with_its_dialect_named() {
    let bench = Bench::new();
    let folder = project("fixtures/captures/pull-push-kekaes-sha256-rsa2048");
    let capture = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension.to_string_lossy().starts_with("pcap")))
        .unwrap();
    let capture = capture.to_str().unwrap();
    let strict = bench.run(&["dissect", capture]);
    assert_eq!(strict.code, 1, "its deviations are no tolerance of ours: {}", strict.out);
    let lenient = bench.run(&["dissect", capture, "--compat", "gdoid-2011"]);
    assert_eq!(lenient.code, 0, "{}", lenient.out);
    assert!(lenient.out.contains("HASH(2) OK") && lenient.out.contains("SIG OK"), "{}", lenient.out);
    let json = bench.run(&["dissect", capture, "--compat", "gdoid-2011", "--format", "json"]).json();
    assert!(json["frames"].as_array().is_some_and(|frames| frames.len() > 8));
    let nothing = bench.run(&["dissect", "none.pcap"]);
    assert_eq!(nothing.code, 2);
}

#[test]
fn every_schema_is_json_and_results_have_what_theirs_demands() {
    let bench = Bench::new();
    let names = bench.run(&["schema"]).out;
    for name in names.lines() {
        let schema = bench.run(&["schema", name]).json();
        assert!(schema["$schema"].is_string(), "{name}");
    }
    assert_eq!(bench.run(&["run", "PULLK-003", "--out", "x"]).code, 0);
    let results = bench.json("x/results.json");
    for field in bench.run(&["schema", "results"]).json()["required"].as_array().unwrap() {
        assert!(results.get(field.as_str().unwrap()).is_some(), "{field}");
    }
}

#[test]
fn requirements_are_traced_sheet_by_sheet() {
    let bench = Bench::new();
    let trace = bench.run(&["catalogue", "trace", "--format", "json"]).json();
    for sheet in ["gdoi", "ikev1", "getvpn"] {
        let row = &trace["coverage"][sheet];
        let count = |key: &str| row[key].as_u64().unwrap();
        assert_eq!(count("total"), count("covered") + count("exempt") + count("open"), "{sheet}");
        assert!(count("covered") > 0, "{sheet}");
    }
    assert!(bench.run(&["catalogue", "trace"]).out.contains("JUDGED"));
}

#[test]
fn the_doctor_says_what_this_host_can_do() {
    let bench = Bench::new();
    let answer = bench.run(&["doctor", "--json"]);
    let findings = answer.json();
    assert_eq!(answer.code, if findings["ok"] == true { 0 } else { 6 });
    let names: Vec<&str> = findings["findings"].as_array().unwrap().iter().filter_map(|f| f["name"].as_str()).collect();
    for name in ["loopback", "multicast", "raw IP", "clock", "disk"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[test]
fn a_setup_is_a_configuration_that_the_reference_reads() {
    let bench = Bench::new();
    for (role, tester) in [("ks", "127.9.9.2"), ("gm", "127.9.9.3")] {
        let setup = bench.run(&["setup", role, "--subject", "127.9.9.1:10849", "--tester", tester]);
        assert_eq!(setup.code, 0, "{}", setup.err);
        assert!(setup.err.contains("hallmark run --target udp:127.9.9.1:10849"), "{}", setup.err);
        let parsed: toml::Table = setup.out.parse().unwrap();
        assert_eq!(parsed["schema"].as_str(), Some(format!("hallmark.{role}/1").as_str()));
    }
}

#[test]
fn help_tells_of_every_command() {
    let bench = Bench::new();
    let help = bench.run(&["--help"]);
    assert_eq!(help.code, 0);
    for command in [
        "run", "list", "explain", "prove", "rerun", "diff", "report", "dissect", "ks", "gm", "status", "doctor",
        "waiver",
    ] {
        assert!(help.out.contains(&format!("  {command}")), "{command}");
        assert_eq!(bench.run(&[command, "--help"]).code, 0, "{command}");
    }
    assert!(help.out.contains("Exit codes"));
}
