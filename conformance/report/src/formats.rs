//! Small formats for other tools: TAP 14, CTRF and CSV.

use std::fmt::Write as _;

use hallmark_catalogue::listing::field;
use hallmark_catalogue::{CaseResult, Overlay, Verdict};
use serde_json::{Value, json};

use crate::results::RunResults;

/// Writes TAP version 14.
#[must_use]
pub fn tap(results: &RunResults) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", results.cases.len() + results.not_run.len());
    for (number, case) in (1..).zip(&results.cases) {
        let ok = if counts_as_good(case, results.run.deny_warn) { "ok" } else { "not ok" };
        let directive = match (case.overlay, case.verdict) {
            (Some(Overlay::Xfail | Overlay::Xwarn), _) => format!(" # TODO {}", plain(&case.reason)),
            (None, Verdict::Na) => format!(" # SKIP {}", plain(&case.reason)),
            _ => String::new(),
        };
        let _ = writeln!(text, "{ok} {number} - {} {}{directive}", case.id, plain(&case.title));
        if case.verdict != Verdict::Pass {
            let _ = writeln!(
                text,
                "  ---\n  verdict: {}\n  reason: {}\n  ...",
                case.word(),
                Value::from(case.reason.as_str())
            );
        }
    }
    for (number, case) in (results.cases.len() + 1..).zip(&results.not_run) {
        let _ = writeln!(text, "not ok {number} - {} not run: {}", case.id, plain(&case.reason));
    }
    text
}

/// Writes the common test report format (CTRF).
#[must_use]
pub fn ctrf(results: &RunResults) -> String {
    let status = |case: &CaseResult| match (case.overlay, case.verdict) {
        (Some(Overlay::Xpass), _) | (None, Verdict::Fail) => "failed",
        (Some(_), _) | (None, Verdict::Na) => "skipped",
        (None, Verdict::Warn) if results.run.deny_warn => "failed",
        (None, Verdict::Pass | Verdict::Warn | Verdict::Info) => "passed",
        (None, Verdict::Error | Verdict::Inconclusive) => "other",
    };
    let count = |word: &str| results.cases.iter().filter(|case| status(case) == word).count();
    let tests: Vec<Value> = results
        .cases
        .iter()
        .map(|case| {
            json!({
                "name": case.id, "status": status(case), "duration": case.wall_ms, "suite": case.area,
                "message": case.reason, "rawStatus": case.word(), "flaky": case.is_flaky(),
                "retries": case.attempts.len().saturating_sub(1), "tags": case.requirements,
            })
        })
        .chain(results.not_run.iter().map(|case| {
            json!({"name": case.id, "status": "pending", "duration": 0, "suite": case.area, "message": case.reason})
        }))
        .collect();
    let report = json!({
        "reportFormat": "CTRF", "specVersion": "0.0.0",
        "results": {
            "tool": {"name": "hallmark", "version": results.run.version},
            "summary": {
                "tests": tests.len(), "passed": count("passed"), "failed": count("failed"),
                "skipped": count("skipped"), "pending": results.not_run.len(), "other": count("other"),
                "start": 0, "stop": results.run.wall_ms,
            },
            "tests": tests,
            "environment": {"reportName": results.run.id},
        }
    });
    serde_json::to_string_pretty(&report).map(|text| text + "\n").unwrap_or_default()
}

/// Writes one line per case.
#[must_use]
pub fn csv(results: &RunResults) -> String {
    let mut text = String::from("id,area,level,subject,verdict,reason,check,wall_ms,requirements,evidence\n");
    for case in &results.cases {
        let fields = [
            case.id.as_str(),
            &case.area,
            case.level.as_str(),
            case.subject.as_str(),
            case.word(),
            &case.reason,
            case.deciding_check.as_deref().unwrap_or(""),
            &case.wall_ms.to_string(),
            &case.requirements.join(" "),
            case.evidence.as_deref().unwrap_or(""),
        ]
        .map(field);
        let _ = writeln!(text, "{}", fields.join(","));
    }
    for case in &results.not_run {
        let _ = writeln!(text, "{},{},,,not-run,{},,,,", field(&case.id), field(&case.area), field(&case.reason));
    }
    text
}

fn counts_as_good(case: &CaseResult, deny_warn: bool) -> bool {
    // A known failure is "not ok" with a TODO, an inconclusive case is not ok at all.
    match case.overlay {
        Some(_) => false,
        None => {
            matches!(case.verdict, Verdict::Pass | Verdict::Info | Verdict::Na)
                || (case.verdict == Verdict::Warn && !deny_warn)
        }
    }
}

/// Keeps a text on its line and free of what TAP reads.
fn plain(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('#', "\\#")
        .chars()
        .filter(|c| !c.is_control())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;

    #[test]
    fn tap_has_a_line_for_each_selected_case() {
        let text = tap(&sample());
        let lines: Vec<&str> = text.lines().filter(|l| l.starts_with("ok") || l.starts_with("not ok")).collect();
        assert_eq!(lines.len(), 6);
        assert!(text.starts_with("TAP version 14\n1..6\n"));
        assert!(lines[0].starts_with("ok 1 - A-001"));
        assert!(lines[1].starts_with("not ok 2 - A-002"));
        assert!(lines[4].contains("# SKIP N/A: ICS"));
        assert!(lines[5].contains("not run"));
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn ctrf_counts_add_up() {
        let value: Value = serde_json::from_str(&ctrf(&sample())).expect("json");
        let summary = &value["results"]["summary"];
        let sum: u64 =
            ["passed", "failed", "skipped", "pending", "other"].iter().filter_map(|w| summary[w].as_u64()).sum();
        assert_eq!(Some(sum), summary["tests"].as_u64());
        assert_eq!(summary["other"], 1);
    }

    #[test]
    fn csv_has_a_line_for_each_selected_case() {
        let text = csv(&sample());
        assert_eq!(text.lines().count(), 7);
        assert!(text.contains("A-006,gdoi.push,,,not-run,interrupted"));
    }
}
