use super::*;
use crate::{Check, Outcome, decide};

const CASE: CaseInfo = CaseInfo { id: "GM-RPL-012", ..CaseInfo::BLANK };

const TEXT: &str = r#"
schema = "hallmark.waivers/1"
[[waiver]]
id = "W-0012"
test = "GM-RPL-012"
check = "replay.old-seq-dropped"
when = "node.os ~ 17.12 and cap(gm.replay.window) = 64"
expect = "fail"
signature = "delivered seq=top-#"
reason = "vendor defect"
issue = "https://example.org/1"
owner = "j.doe"
created = 2026-11-23
expires = 2027-02-28
"#;

fn day(text: &str) -> Date {
    text.parse().expect("a date")
}

fn context() -> Context {
    let mut context = Context::default();
    context.node.insert("os".into(), "ios-xe 17.12.1".into());
    context.ics.declare("gm.replay.window", "64");
    context
}

fn result(ok: bool, check: &str, observed: &str) -> CaseResult {
    let mut outcome = Outcome::default();
    outcome.alive_before("x");
    outcome.record(Check::new(check, &["GDOI-P1-001"]).saw(ok, "dropped", observed));
    outcome.alive_after("x");
    let decision = decide(&CASE, &outcome);
    CaseResult::new(&CASE, outcome, decision)
}

fn overlay(result: &CaseResult, today: &str, context: &Context) -> Option<Overlay> {
    let mut result = result.clone();
    Waivers::parse(TEXT).expect("reads").apply(&CASE, &mut result, day(today), context);
    result.overlay
}

#[test]
fn only_the_described_failure_in_its_place_and_time_is_expected() {
    let known = result(false, "replay.old-seq-dropped", "delivered seq=top-64");
    assert_eq!(overlay(&known, "2026-12-01", &context()), Some(Overlay::Xfail));
    assert_eq!(overlay(&known, "2027-02-28", &context()), Some(Overlay::Xfail), "the last day counts");
    assert_eq!(overlay(&known, "2027-03-01", &context()), None, "expired");
    assert_eq!(overlay(&known, "2026-12-01", &Context::default()), None, "another device");
    let other_shape = result(false, "replay.old-seq-dropped", "device rebooted");
    assert_eq!(overlay(&other_shape, "2026-12-01", &context()), None);
    let other_check = result(false, "replay.counter", "delivered seq=top-64");
    assert_eq!(overlay(&other_check, "2026-12-01", &context()), None);
}

#[test]
fn a_second_failure_beside_the_expected_one_is_not_excused() {
    let mut both = result(false, "replay.old-seq-dropped", "delivered seq=top-64");
    both.checks.push(Check::new("replay.counter", &["GDOI-P1-001"]).saw(false, "a", "b"));
    assert_eq!(overlay(&both, "2026-12-01", &context()), None);
}

#[test]
fn a_pass_under_a_waiver_is_xpass_and_an_error_stays_an_error() {
    let pass = result(true, "replay.old-seq-dropped", "dropped");
    assert_eq!(overlay(&pass, "2026-12-01", &context()), Some(Overlay::Xpass));
    let error = CaseResult { verdict: Verdict::Error, ..pass };
    assert_eq!(overlay(&error, "2026-12-01", &context()), None);
}

#[test]
fn lint_finds_every_kind_of_fault() {
    let today = day("2026-12-01");
    let lint = |text: &str| Waivers::parse(text).expect("reads").lint(&[&CASE], today, None);
    assert_eq!(lint(TEXT), Vec::<String>::new());
    for (from, to, part) in [
        ("GM-RPL-012", "GM-RPL-013", "did you mean `GM-RPL-012`"),
        ("2027-02-28", "2026-11-30", "expired on 2026-11-30"),
        ("2027-02-28", "2026-01-01", "before it was written"),
        ("https://example.org/1", "", "no issue"),
        ("delivered seq=top-#", "", "no signature"),
        ("\"replay.old-seq-dropped\"", "\"replay.*\"", "in `test` only"),
        ("owner =", "renewals = 3\nowner =", "renewed 3 times, 2 allowed"),
    ] {
        let faults = lint(&TEXT.replace(from, to));
        assert!(faults.iter().any(|f| f.contains(part)), "{part}: {faults:?}");
    }
    let twice = format!("{TEXT}{}", TEXT.replace("schema = \"hallmark.waivers/1\"", ""));
    assert_eq!(lint(&twice).len(), 2, "same id and same content");
    let cases: Vec<CaseInfo> = ["GM-A-001", "GM-A-002", "GM-A-003", "GM-A-004", "GM-A-005", "GM-A-006"]
        .map(|id| CaseInfo { id, ..CASE })
        .into();
    let cases: Vec<&CaseInfo> = cases.iter().collect();
    let wide = Waivers::parse(&TEXT.replace("GM-RPL-012", "GM-A-*")).expect("reads");
    assert!(wide.lint(&cases, today, None)[0].contains("covers 6 cases"));
    assert!(wide.lint(&cases[..2], today, Some(&BTreeSet::new()))[0].contains("unused"));
}

#[test]
fn due_lists_what_expires_soon() {
    let waivers = Waivers::parse(TEXT).expect("reads");
    assert_eq!(waivers.due(day("2026-12-01"), 30).len(), 0);
    assert_eq!(waivers.due(day("2027-02-01"), 30).len(), 1);
    assert_eq!(waivers.list[0].days_left(day("2027-02-01")), 27);
    assert_eq!(waivers.unmatched(&[&CASE]).len(), 0);
    assert_eq!(waivers.unmatched(&[]).len(), 1);
}

#[test]
fn a_broken_file_says_where() {
    assert!(Waivers::parse(&TEXT.replace("when = \"node", "when = \"nod")).is_err_and(|e| e.contains("W-0012")));
    assert!(Waivers::parse(&TEXT.replace("owner", "ownr")).is_err_and(|e| e.contains("line")));
    assert!(Waivers::parse(&TEXT.replace("waivers/1", "waivers/9")).is_err());
    assert!(Waivers::parse(&TEXT.replace("2027-02-28", "12:00:00")).is_err_and(|e| e.contains("no date")));
}
