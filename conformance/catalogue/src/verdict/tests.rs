use super::*;
use crate::{Check, Confidence};

const CASE: CaseInfo = CaseInfo { id: "T-001", ..CaseInfo::BLANK };

/// A good attempt: a MUST observed, an absence proven, both controls alive.
fn good() -> Outcome {
    let mut outcome = Outcome::default();
    outcome.alive_before("registered");
    outcome.record(Check::new("seen", &["GDOI-P1-001"]).saw(true, "a", "a"));
    outcome.record(Check::new("not-seen", &["GDOI-PUSH-039"]).silence(
        true,
        "none",
        "none",
        Confidence::WireAndControl,
    ));
    outcome.alive_after("rekeyed");
    outcome
}

fn word(outcome: &Outcome) -> Verdict {
    decide(&CASE, outcome).verdict
}

#[test]
fn a_good_attempt_passes_and_each_missing_leg_takes_the_pass_away() {
    assert_eq!(word(&good()), Verdict::Pass);

    let mut no_check = good();
    no_check.checks.clear();
    assert_eq!(word(&no_check), Verdict::Inconclusive);

    let mut only_may = good();
    only_may.checks = vec![Check::new("choice", &["GDOI-P1-006"]).saw(true, "any port", "848")];
    assert_eq!(word(&only_may), Verdict::Info);

    let mut not_controlled = good();
    not_controlled.before = Control::NotRun;
    assert_eq!(word(&not_controlled), Verdict::Inconclusive);
    let mut dead_before = good();
    dead_before.before = Control::Dead("no answer".into());
    assert_eq!(word(&dead_before), Verdict::Inconclusive);
    let mut not_controlled_after = good();
    not_controlled_after.after = Control::NotRun;
    assert_eq!(word(&not_controlled_after), Verdict::Inconclusive);
    let mut dead_after = good();
    dead_after.after = Control::Dead("no answer".into());
    assert_eq!(word(&dead_after), Verdict::Inconclusive);
}

#[test]
fn silence_alone_never_passes() {
    for (confidence, expected) in [
        (Confidence::WireAndCounter, Verdict::Pass),
        (Confidence::WireAndControl, Verdict::Pass),
        (Confidence::CounterOnly, Verdict::Inconclusive),
        (Confidence::AbsenceOnly, Verdict::Inconclusive),
    ] {
        let mut outcome = good();
        outcome.checks = vec![Check::new("quiet", &["GDOI-PUSH-039"]).silence(true, "none", "none", confidence)];
        assert_eq!(word(&outcome), expected, "{confidence:?}");
    }
    let mut no_word = good();
    no_word.checks[1].confidence = None;
    assert_eq!(word(&no_word), Verdict::Inconclusive);
}

#[test]
fn not_applicable_rests_on_a_leaf_and_a_contradicted_leaf_fails() {
    let mut outcome = Outcome::default();
    outcome.not_applicable("gm.lkh", "false");
    let decision = decide(&CASE, &outcome);
    assert_eq!((decision.verdict, decision.reason.as_str()), (Verdict::Na, "N/A: ICS gm.lkh=false"));

    outcome.not_applicable("", "false");
    assert_eq!(word(&outcome), Verdict::Error);

    outcome.not_applicable("gm.lkh", "false");
    if let Some(na) = &mut outcome.not_applicable {
        na.contradiction = Some("it installed an LKH key".into());
    }
    let decision = decide(&CASE, &outcome);
    assert_eq!((decision.verdict, decision.check.as_deref()), (Verdict::Fail, Some("ics.gm.lkh")));
}

#[test]
fn a_failure_is_never_retried_away() {
    use Verdict::{Error, Fail, Inconclusive, Pass, Warn};
    assert!(Error.may_be_retried() && Inconclusive.may_be_retried());
    assert!(![Pass, Warn, Fail, Verdict::Na, Verdict::Info].iter().any(|v| v.may_be_retried()));
    assert_eq!(settle(&[Fail, Pass]), Some((0, true)));
    assert_eq!(settle(&[Error, Fail, Pass]), Some((1, true)));
    assert_eq!(settle(&[Pass, Warn, Pass]), Some((1, true)));
    assert_eq!(settle(&[Warn, Fail]), Some((1, true)));
    assert_eq!(settle(&[Error, Pass]), Some((1, true)));
    assert_eq!(settle(&[Error, Inconclusive]), Some((1, true)));
    assert_eq!(settle(&[Pass]), Some((0, false)));
    assert_eq!(settle(&[]), None);
}

#[test]
fn the_level_decides_between_fail_warn_and_info_and_gravity_overrides_it() {
    let judged = |requirement: &str, case_level: Level, grave: bool| {
        let mut outcome = good();
        let check = Check::new("broken", &[requirement]);
        let check = if grave { check.grave() } else { check };
        outcome.record(check.saw(false, "a", "b 7"));
        decide(&CaseInfo { level: case_level, ..CASE }, &outcome)
    };
    let fail = judged("GDOI-P1-001", Level::Must, false);
    assert_eq!(fail.verdict, Verdict::Fail);
    assert_eq!(fail.check.as_deref(), Some("broken"));
    assert_eq!(fail.signature, "b #");
    assert!(fail.reason.contains("expected a, observed b 7"));
    assert_eq!(judged("GDOI-P1-001", Level::Should, false).verdict, Verdict::Warn, "the case is a ceiling");
    assert_eq!(judged("GDOI-P1-019", Level::Must, false).verdict, Verdict::Warn, "derived rows warn");
    assert_eq!(judged("GDOI-P1-019", Level::Must, true).verdict, Verdict::Fail, "a crash fails");
    assert_eq!(judged("GDOI-P1-006", Level::Must, false).verdict, Verdict::Pass, "a choice is not judged");
}

#[test]
fn a_warning_stands_when_the_case_ended_with_it_but_not_beside_a_dead_subject() {
    let mut outcome = good();
    outcome.record(Check::new("broken", &["GDOI-P1-019"]).saw(false, "a", "b"));
    assert_eq!(word(&outcome), Verdict::Warn);
    outcome.after = Control::NotRun;
    assert_eq!(word(&outcome), Verdict::Warn);
    outcome.after = Control::Dead("gone".into());
    assert_eq!(word(&outcome), Verdict::Inconclusive);
}

#[test]
fn trouble_is_not_a_verdict_on_the_subject() {
    for (kind, expected) in [
        (TroubleKind::Infra, Verdict::Error),
        (TroubleKind::Timeout, Verdict::Error),
        (TroubleKind::Adapter, Verdict::Error),
        (TroubleKind::Inconclusive, Verdict::Inconclusive),
    ] {
        let mut outcome = good();
        outcome.trouble(kind, "cable");
        assert_eq!(decide(&CASE, &outcome), Decision::new(expected, "cable"));
    }
}

#[test]
fn a_violation_survives_a_later_precondition_but_not_a_broken_harness() {
    let mut outcome = good();
    outcome.record(Check::new("broken", &["GDOI-P1-001"]).saw(false, "a", "b"));
    outcome.after = Control::Dead("gone".into());
    assert_eq!(word(&outcome), Verdict::Fail, "seen with a good control before");
    let mut late = outcome.clone();
    late.trouble(TroubleKind::Inconclusive, "no second member");
    assert_eq!(word(&late), Verdict::Fail);
    let mut left = outcome.clone();
    left.not_applicable("world.raw-ip", "false");
    assert_eq!(word(&left), Verdict::Fail);
    outcome.trouble(TroubleKind::Infra, "link down");
    assert_eq!(word(&outcome), Verdict::Error);
}

#[test]
fn a_check_must_cite_requirements_that_exist() {
    let mut outcome = good();
    outcome.record(Check::new("odd", &["GDOI-XX-001"]).saw(true, "", ""));
    assert_eq!(word(&outcome), Verdict::Error);
    let mut outcome = good();
    outcome.record(Check::new("odd", &[]).saw(true, "", ""));
    assert_eq!(word(&outcome), Verdict::Error);
}

#[test]
fn a_measurement_alone_is_info() {
    let mut outcome = good();
    outcome.checks.clear();
    outcome.measure("registration", 12.5, "ms");
    assert_eq!(word(&outcome), Verdict::Info);
}
