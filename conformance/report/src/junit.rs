//! JUnit in two dialects from one model.
//!
//! `Default` carries everything that common readers understand. `Strict` keeps to the schema that many shops still
//! validate against (`fixtures/schema/junit-10.xsd`): no properties, attributes or root counts beyond it. Both have one
//! level of suites, suite name and class name are the area, and no pair of class name and name occurs twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hallmark_catalogue::{Attempt, CaseResult, Overlay, Verdict};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};

use crate::results::{NotRun, RunResults};

/// Says which dialect is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// Everything that common readers understand.
    Default,
    /// What junit-10.xsd allows.
    Strict,
}

/// A file is split before it grows beyond this, because readers refuse larger ones.
const FILE_OCTETS: usize = 25 << 20;
/// Output kept of a case that passed.
const OUT_PASS: usize = 4 << 10;
/// Output kept of a case that did not.
const OUT_FAIL: usize = 48 << 10;

/// Says why no file was written.
#[derive(Debug, thiserror::Error)]
pub enum JunitError {
    /// Readers keep only one of two cases with one name.
    #[error("two cases are called {0}")]
    Double(String),
    /// The text could not be made.
    #[error(transparent)]
    Write(#[from] quick_junit::SerializeError),
}

/// Writes the files of a dialect, usually one.
///
/// # Errors
/// When two cases have one name, or the text cannot be made.
pub fn files(results: &RunResults, dialect: Dialect) -> Result<Vec<String>, JunitError> {
    files_below(results, dialect, FILE_OCTETS)
}

fn files_below(results: &RunResults, dialect: Dialect, limit: usize) -> Result<Vec<String>, JunitError> {
    let mut suites: BTreeMap<&str, Vec<TestCase>> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for case in &results.cases {
        if !names.insert((case.area.as_str(), case.id.as_str())) {
            return Err(JunitError::Double(case.id.clone()));
        }
        suites.entry(&case.area).or_default().push(test_case(case, results, dialect));
    }
    for case in &results.not_run {
        if !names.insert((case.area.as_str(), case.id.as_str())) {
            return Err(JunitError::Double(case.id.clone()));
        }
        suites.entry(&case.area).or_default().push(not_run(case));
    }
    let mut files = Vec::new();
    let mut report = empty(results);
    let mut octets = 0;
    for (area, cases) in suites {
        let mut suite = suite(area, cases, results, dialect);
        let mut size = size_of(&suite);
        if octets > 0 && octets + size > limit {
            files.push(text(std::mem::replace(&mut report, empty(results)), dialect)?);
            octets = 0;
        }
        // A suite that is too large by itself goes into several files under one name.
        while size > limit && suite.test_cases.len() > 1 {
            let rest = suite.test_cases.split_off(suite.test_cases.len() / 2);
            let mut first = empty(results);
            let half = self::suite(area, std::mem::take(&mut suite.test_cases), results, dialect);
            first.add_test_suite(half);
            files.push(text(first, dialect)?);
            suite = self::suite(area, rest, results, dialect);
            size = size_of(&suite);
        }
        octets += size;
        report.add_test_suite(suite);
    }
    if files.is_empty() || !report.test_suites.is_empty() {
        files.push(text(report, dialect)?);
    }
    Ok(files)
}

fn empty(results: &RunResults) -> Report {
    let mut report = Report::new("hallmark");
    report.set_time(Duration::from_millis(results.run.wall_ms));
    report
}

fn suite(area: &str, cases: Vec<TestCase>, results: &RunResults, dialect: Dialect) -> TestSuite {
    let mut suite = TestSuite::new(area);
    suite.set_time(cases.iter().filter_map(|case| case.time).sum());
    if dialect == Dialect::Default {
        suite.extra.insert("timestamp".into(), results.run.started.as_str().into());
    }
    let run = &results.run;
    for (name, value) in [
        ("run", &run.id),
        ("version", &run.version),
        ("suite-hash", &run.suite_hash),
        ("seed", &run.seed),
        ("world", &run.world),
        ("filter", &run.filter),
    ] {
        if !value.is_empty() {
            suite.add_property(Property::new(name, value));
        }
    }
    suite.add_test_cases(cases);
    suite
}

fn test_case(case: &CaseResult, results: &RunResults, dialect: Dialect) -> TestCase {
    let mut status = status(case, results);
    if case.is_flaky() && case.verdict == Verdict::Pass {
        // A flaky error is read by hardly anyone, so each is written as a flaky failure.
        for attempt in case.attempts.iter().filter(|attempt| attempt.verdict != case.verdict) {
            status.add_rerun(rerun(attempt));
        }
    }
    let mut test = TestCase::new(case.id.as_str(), status);
    test.set_classname(case.area.as_str());
    test.set_time(Duration::from_millis(case.wall_ms));
    test.set_system_out(output(case));
    if dialect == Dialect::Default {
        test.set_assertions(case.checks.len());
        if let Some(evidence) = &case.evidence {
            test.extra.insert("file".into(), format!("{evidence}/ladder.txt").into());
            test.extra.insert("line".into(), "1".into());
        }
        let requirements = case.requirements.join(" ");
        let attempts =
            format!("{}/{}", case.attempts.iter().filter(|a| a.verdict == case.verdict).count(), case.attempts.len());
        for (name, value) in [
            ("title", case.title.as_str()),
            ("verdict", case.word()),
            ("level", case.level.as_str()),
            ("subject", case.subject.as_str()),
            ("requirements", &requirements),
            ("waiver", case.waiver.as_deref().unwrap_or("")),
            ("reproduce", &case.reproduce),
            ("flaky", if case.is_flaky() { attempts.as_str() } else { "" }),
        ] {
            if !value.is_empty() {
                test.add_property(Property::new(name, value));
            }
        }
    }
    test
}

fn rerun(attempt: &Attempt) -> TestRerun {
    let mut rerun = TestRerun::new(NonSuccessKind::Failure);
    rerun.set_type(attempt.verdict.as_str());
    rerun.set_message(one_line(&attempt.reason));
    rerun.set_stack_trace(attempt.reason.as_str());
    rerun
}

fn not_run(case: &NotRun) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type("not-run");
    status.set_message(one_line(&case.reason));
    status.set_description(format!("not run: {}", case.reason));
    let mut test = TestCase::new(case.id.as_str(), status);
    test.set_classname(case.area.as_str());
    test.set_time(Duration::ZERO);
    test
}

fn status(case: &CaseResult, results: &RunResults) -> TestCaseStatus {
    let waiver = case.waiver.as_deref().unwrap_or("?");
    match (case.overlay, case.verdict) {
        (Some(Overlay::Xpass), _) => {
            let text = format!("XPASS: waiver {waiver} expects a failure, but the case passed; remove the waiver");
            non_success(NonSuccessKind::Failure, "XPASS", &text, case)
        }
        (Some(overlay), _) => skipped(&format!("{} {waiver}: {}", overlay.as_str().to_uppercase(), case.reason)),
        (None, Verdict::Fail) => {
            let check = case.deciding_check.as_deref().unwrap_or("fail");
            non_success(NonSuccessKind::Failure, check, &case.reason, case)
        }
        (None, Verdict::Warn) if results.run.deny_warn => {
            let check = case.deciding_check.as_deref().unwrap_or("warn");
            non_success(NonSuccessKind::Failure, check, &format!("denied warning: {}", case.reason), case)
        }
        (None, Verdict::Inconclusive) => non_success(NonSuccessKind::Error, "inconclusive", &case.reason, case),
        (None, Verdict::Error) => {
            let kind = case.trouble.map_or("infra", hallmark_catalogue::TroubleKind::as_str);
            non_success(NonSuccessKind::Error, kind, &case.reason, case)
        }
        (None, Verdict::Na) => skipped(&case.reason),
        (None, Verdict::Pass | Verdict::Warn | Verdict::Info) => TestCaseStatus::success(),
    }
}

fn non_success(kind: NonSuccessKind, name: &str, reason: &str, case: &CaseResult) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(name);
    status.set_message(one_line(reason));
    status.set_description(body(reason, case));
    status
}

/// Skips with the reason as attribute and as text: one reader shows only the one, another only the other.
fn skipped(reason: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(one_line(reason));
    status.set_description(reason.to_owned());
    status
}

fn body(reason: &str, case: &CaseResult) -> String {
    let mut text = format!("{}\n{reason}\n", case.title);
    for check in case.checks.iter().filter(|check| !check.ok) {
        text.push_str(&format!(
            "\ncheck     {} ({})\nclause    {}\nexpected  {}\nobserved  {}\n",
            check.id,
            check.level,
            check.requirements.join(", "),
            check.expected,
            check.observed
        ));
    }
    if !case.sources.is_empty() {
        text.push_str(&format!("\nsources   {}\n", case.sources.join("; ")));
    }
    if let Some(evidence) = &case.evidence {
        text.push_str(&format!("evidence  {evidence}\n"));
    }
    if !case.reproduce.is_empty() {
        text.push_str(&format!("reproduce {}\n", case.reproduce));
    }
    text
}

fn output(case: &CaseResult) -> String {
    let mut text = String::new();
    if case.verdict == Verdict::Warn {
        text.push_str(&format!("WARN {}\n", case.reason));
    }
    // GitLab takes the first attachment only, so the readable one comes first.
    if let Some(evidence) = &case.evidence {
        text.push_str(&format!("[[ATTACHMENT|{evidence}/ladder.txt]]\n[[ATTACHMENT|{evidence}/trace.pcapng]]\n"));
    }
    text.push_str(&format!("{}: {}\n", case.word(), case.reason));
    for check in &case.checks {
        let word = if check.ok { "held" } else { "broken" };
        let confidence = check.confidence.map(|c| format!(" [{}]", c.as_str())).unwrap_or_default();
        text.push_str(&format!("{word} {}{confidence}: {}\n", check.id, check.observed));
    }
    for measurement in &case.measurements {
        text.push_str(&format!("measured {}: {} {}\n", measurement.name, measurement.value, measurement.unit));
    }
    let good = matches!(case.verdict, Verdict::Pass | Verdict::Info | Verdict::Na);
    clip(text, if good { OUT_PASS } else { OUT_FAIL })
}

fn clip(mut text: String, octets: usize) -> String {
    const MARK: &str = "\n[clipped]\n";
    if text.len() > octets {
        let end = (0..=octets.saturating_sub(MARK.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push_str(MARK);
    }
    text
}

fn one_line(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    clip(line.join(" "), 1000)
}

/// Estimates the octets of a suite generously enough for the limit.
fn size_of(suite: &TestSuite) -> usize {
    let text = |value: &Option<quick_junit::XmlString>| value.as_ref().map_or(0, |text| text.as_str().len());
    suite.test_cases.iter().map(|case| 2_000 + 2 * text(&case.system_out)).sum()
}

fn text(report: Report, dialect: Dialect) -> Result<String, JunitError> {
    let mut text = report.to_string()?;
    // The library takes out control characters, but not these two, which XML does not know either.
    text.retain(|c| !matches!(c, '\u{fffe}' | '\u{ffff}'));
    if dialect == Dialect::Strict {
        text = without_root_skipped(&text);
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// Takes the attribute `skipped`, which the strict schema does not know there, out of the root element.
fn without_root_skipped(text: &str) -> String {
    let Some(start) = text.find("<testsuites") else { return text.to_owned() };
    let (head, rest) = text.split_at(start);
    let Some(end) = rest.find('>') else { return text.to_owned() };
    let (root, tail) = rest.split_at(end);
    let kept = match root.find(" skipped=\"") {
        Some(at) => {
            let (before, after) = root.split_at(at);
            let value_end = after.match_indices('"').nth(1).map_or(after.len(), |(end, _)| end + 1);
            format!("{before}{}", after.get(value_end..).unwrap_or(""))
        }
        None => root.to_owned(),
    };
    format!("{head}{kept}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;

    fn xml(results: &RunResults, dialect: Dialect) -> String {
        files(results, dialect).expect("writes").remove(0)
    }

    #[test]
    fn both_dialects_read_back_with_the_same_counts() {
        for dialect in [Dialect::Default, Dialect::Strict] {
            let text = xml(&sample(), dialect);
            let report = Report::deserialize_from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
            assert_eq!((report.tests, report.failures, report.errors), (6, 1, 2), "{dialect:?}");
            let suites: Vec<&str> = report.test_suites.iter().map(|s| s.name.as_str()).collect();
            assert_eq!(suites, ["gdoi.pull", "gdoi.push"]);
            for suite in &report.test_suites {
                assert!(suite.test_cases.iter().all(|case| case.classname.as_ref() == Some(&suite.name)));
                assert!(suite.test_cases.iter().all(|case| case.time.is_some()));
            }
        }
    }

    #[test]
    fn the_strict_dialect_leaves_out_what_its_schema_does_not_know() {
        let text = xml(&sample(), Dialect::Strict);
        let root = text.split('>').nth(1).expect("a root element");
        assert!(root.contains("<testsuites") && !root.contains("skipped"), "{root}");
        for case in text.split("<testcase ").skip(1) {
            let attributes = case.split('>').next().expect("attributes");
            assert!(!attributes.contains("file=") && !attributes.contains("assertions="), "{attributes}");
            assert!(!case.split("</testcase>").next().expect("a body").contains("<propert"));
        }
        let wide = xml(&sample(), Dialect::Default);
        assert!(wide.contains("file=\"tests/A-002/1/ladder.txt\"") && wide.contains("name=\"verdict\" value=\"fail\""));
    }

    #[test]
    fn verdicts_become_the_elements_that_readers_know() {
        let text = xml(&sample(), Dialect::Default);
        let case = |id: &str| {
            let start = text.find(&format!("<testcase name=\"{id}\"")).expect(id);
            text[start..].split("</testcase>").next().expect("a body").to_owned()
        };
        assert!(case("A-002").contains("<failure") && case("A-002").contains("type=\"push.seq\""));
        assert!(case("A-002").contains("reproduce hallmark run A-002 --seed 7"));
        assert!(case("A-003").contains("type=\"timeout\""));
        assert!(case("A-004").contains("WARN push.seq") && !case("A-004").contains("<failure"));
        let skipped = case("A-005");
        assert!(skipped.contains("message=\"N/A: ICS gm.lkh=false\"") && skipped.contains(">N/A: ICS gm.lkh=false<"));
        assert!(case("A-006").contains("type=\"not-run\""));
        assert!(!text.contains('\u{1b}') && !text.contains('\u{0}') && !text.contains("CDATA"));
    }

    #[test]
    fn waivers_and_denied_warnings_turn_the_sign() {
        let mut results = sample();
        results.run.deny_warn = true;
        results.cases[1].overlay = Some(Overlay::Xfail);
        results.cases[1].waiver = Some("W-0012".into());
        results.cases[0].overlay = Some(Overlay::Xpass);
        let text = xml(&results, Dialect::Default);
        assert!(text.contains("message=\"XFAIL W-0012"), "{text}");
        assert!(text.contains("type=\"XPASS\"") && text.contains("denied warning"));
    }

    #[test]
    fn a_pass_after_an_error_is_marked_flaky() {
        let mut results = sample();
        let case = &mut results.cases[0];
        case.attempts.insert(0, Attempt { number: 1, verdict: Verdict::Error, reason: "socket".into() });
        let text = xml(&results, Dialect::Default);
        assert!(text.contains("<flakyFailure") && text.contains("type=\"error\""), "{text}");
        assert!(text.contains("name=\"flaky\" value=\"1/2\""));
    }

    #[test]
    fn two_cases_of_one_name_are_refused_and_large_reports_are_split() {
        let mut results = sample();
        results.cases.push(results.cases[0].clone());
        assert!(files(&results, Dialect::Default).is_err_and(|e| e.to_string().contains("A-001")));
        let files = files_below(&sample(), Dialect::Strict, 5_000).expect("writes");
        assert!(files.len() > 1);
        let tests: usize = files.iter().map(|text| Report::deserialize_from_str(text).expect("reads").tests).sum();
        assert_eq!(tests, 6);
    }

    #[test]
    fn long_output_is_clipped() {
        let mut results = sample();
        results.cases[1].reason = "é".repeat(100_000);
        let report = Report::deserialize_from_str(&xml(&results, Dialect::Default)).expect("reads");
        let longest = report
            .test_suites
            .iter()
            .flat_map(|suite| &suite.test_cases)
            .filter_map(|case| case.system_out.as_ref())
            .map(|text| text.as_str().len())
            .max();
        assert!(longest.is_some_and(|len| len <= OUT_FAIL && len > OUT_FAIL / 2), "{longest:?}");
    }
}
