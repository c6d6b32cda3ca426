//! JUnit files are read back by a parser that shares nothing with their writer, and validated against the schema that
//! many shops still run.
#![allow(clippy::print_stderr, reason = "a test that cannot run here says so")]

use std::path::{Path, PathBuf};
use std::process::Command;

use hallmark_catalogue::{CaseInfo, CaseResult, Check, Outcome, TroubleKind, decide};
use hallmark_report::{Dialect, NotRun, RunInfo, RunResults, junit};
use proptest::prelude::*;

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/schema/junit-10.xsd");
const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/read_junit.py");
const CASE: CaseInfo = CaseInfo { area: "gdoi.push", title: "t", requirements: &["GDOI-P1-001"], ..CaseInfo::BLANK };

/// Makes one case of each kind, with a text that a peer may have chosen.
fn results(text: &str) -> RunResults {
    let mut cases = Vec::new();
    for (number, kind) in ["pass", "fail", "error", "na", "flaky"].into_iter().enumerate() {
        let mut outcome = Outcome::default();
        outcome.alive_before(text);
        outcome.record(Check::new("push.seq", &["GDOI-P1-001"]).saw(kind != "fail", text, text));
        outcome.alive_after(text);
        match kind {
            "error" => outcome.trouble(TroubleKind::Adapter, format!("gone {text}")),
            "na" => outcome.not_applicable("gm.lkh", format!("false {text}")),
            _ => {}
        }
        let decision = decide(&CASE, &outcome);
        let mut result = CaseResult::new(&CASE, outcome, decision);
        if kind == "flaky" {
            let mut first = result.attempts[0].clone();
            first.verdict = hallmark_catalogue::Verdict::Error;
            first.reason = text.to_owned();
            result.attempts.insert(0, first);
        }
        result.id = format!("A-{number:03}");
        result.title = text.to_owned();
        result.evidence = Some(format!("tests/A-{number:03}/1"));
        cases.push(result);
    }
    let not_run = vec![NotRun { id: "A-009".into(), area: "gdoi.pull".into(), reason: format!("stopped {text}") }];
    let run = RunInfo { id: text.to_owned(), started: "2026-11-23T07:24:05Z".into(), wall_ms: 1, ..RunInfo::default() };
    RunResults::new(run, cases, not_run, 0, [&CASE])
}

fn write(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("hallmark-junit-{name}-{}.xml", std::process::id()));
    std::fs::write(&path, text).expect("writes");
    path
}

fn has(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        assert!(
            std::env::var_os("HALLMARK_NOTHING_SKIPPED").is_none(),
            "{program} is not installed, and nothing may be skipped"
        );
        eprintln!("skipped: {program} is not installed");
    }
    there
}

fn validate(path: &Path) -> Result<(), String> {
    let output =
        Command::new("xmllint").args(["--noout", "--schema", SCHEMA]).arg(path).output().expect("xmllint runs");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

const HOSTILE: &str = "a\u{0}b\u{1b}[31m ]]> <![CDATA[ & \" ' \u{fffe} \u{ffff} é \r\n second\tline";

#[test]
fn the_strict_dialect_is_valid_against_its_schema() {
    if !has("xmllint") {
        return;
    }
    for text in ["plain", HOSTILE] {
        let files = junit::files(&results(text), Dialect::Strict).expect("writes");
        let path = write("strict", &files[0]);
        let verdict = validate(&path);
        std::fs::remove_file(path).expect("cleans up");
        assert_eq!(verdict, Ok(()), "{}", files[0]);
    }
    // The check itself must be able to fail: the wide dialect is not valid.
    let files = junit::files(&results("plain"), Dialect::Default).expect("writes");
    let path = write("wide", &files[0]);
    let verdict = validate(&path);
    std::fs::remove_file(path).expect("cleans up");
    assert!(verdict.is_err_and(|e| e.contains("not allowed") || e.contains("not expected")));
}

#[test]
fn an_independent_reader_sees_every_case_in_both_dialects() {
    if !has("python3") {
        return;
    }
    for (name, dialect) in [("default", Dialect::Default), ("narrow", Dialect::Strict)] {
        let files = junit::files(&results(HOSTILE), dialect).expect("writes");
        let path = write(name, &files[0]);
        let output = Command::new("python3").arg(READER).arg(&path).output().expect("python runs");
        std::fs::remove_file(path).expect("cleans up");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}\n{}", files[0]);
        let seen: serde_json::Value = serde_json::from_slice(&output.stdout).expect("json");
        let words = serde_json::json!({"passed": 2, "failure": 1, "error": 2, "skipped": 1});
        assert_eq!(seen["words"], words, "{name}");
        assert_eq!(seen["cases"]["A-001"]["attachment"], "tests/A-001/1/ladder.txt");
        assert!(seen["cases"]["A-003"]["text"].as_str().is_some_and(|t| t.starts_with("N/A: ICS gm.lkh=false")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_gives_well_formed_xml(text in any::<String>()) {
        for dialect in [Dialect::Default, Dialect::Strict] {
            for file in junit::files(&results(&text), dialect).expect("writes") {
                let report = quick_junit::Report::deserialize_from_str(&file);
                prop_assert!(report.is_ok(), "{:?}\n{}", report.err(), file);
                prop_assert!(file.ends_with('\n'));
            }
        }
    }
}
