//! How findings become one word.
//!
//! The invariants, each with a test below that breaks it:
//! 1. A pass needs a normative check and good controls before and after.
//! 2. An absence passes only with a proof of life in the same SA and window.
//! 3. Not applicable needs a leaf of the declaration; a probe that contradicts the leaf is a failure.
//! 4. Only errors and inconclusive attempts are retried; a failure is never retried away.
//! 5. What was not run is never added to what passed ([`Summary`](crate::Summary)).
//! 6. Nothing selected is loud ([`ExitCode`](crate::ExitCode)).
//! 7. A dry run has no verdicts (there is no [`CaseResult`](crate::CaseResult) without an outcome).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::case::by_name;
use crate::{CaseInfo, CheckKind, CheckResult, Control, Level, Outcome, Requirements, TroubleKind};

/// Is the word for one case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The subject did as required.
    Pass,
    /// Only a SHOULD was violated.
    Warn,
    /// A MUST was violated.
    Fail,
    /// A control or a precondition was not met.
    Inconclusive,
    /// The harness, the lab or the adapter failed.
    Error,
    /// The declaration of support takes the case out.
    Na,
    /// Something was measured or recorded, nothing judged.
    Info,
}

impl Verdict {
    /// All words, in the order of reports.
    pub const ALL: [Self; 7] =
        [Self::Pass, Self::Warn, Self::Fail, Self::Inconclusive, Self::Error, Self::Na, Self::Info];

    /// Gives the word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Error => "error",
            Self::Na => "na",
            Self::Info => "info",
        }
    }

    /// Tells whether the case may be tried again. A failure may not: it would be retried away.
    #[must_use]
    pub const fn may_be_retried(self) -> bool {
        matches!(self, Self::Inconclusive | Self::Error)
    }
}

by_name!(Verdict, "verdict");

/// Says how a verdict compares with what a waiver expects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlay {
    /// Failed as the waiver says.
    Xfail,
    /// Warned as the waiver says.
    Xwarn,
    /// Passed although a waiver expects otherwise.
    Xpass,
}

impl Overlay {
    /// Gives the word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Xfail => "xfail",
            Self::Xwarn => "xwarn",
            Self::Xpass => "xpass",
        }
    }
}

/// Is the verdict on one attempt with its reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// The word.
    pub verdict: Verdict,
    /// One sentence that says why.
    pub reason: String,
    /// The check that decided, if one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub check: Option<String>,
    /// The shape of the failure, for waivers and for grouping.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub signature: String,
}

impl Decision {
    fn new(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: reason.into(), check: None, signature: String::new() }
    }

    fn by_check(verdict: Verdict, check: &CheckResult) -> Self {
        Self {
            verdict,
            reason: format!("{}: expected {}, observed {}", check.id, check.expected, check.observed),
            check: Some(check.id.clone()),
            signature: check.signature.clone(),
        }
    }
}

/// Judges one attempt at a case.
#[must_use]
pub fn decide(case: &CaseInfo, outcome: &Outcome) -> Decision {
    decide_with(case, outcome, Requirements::embedded())
}

/// Judges one attempt at a case by a given catalogue.
#[must_use]
pub fn decide_with(case: &CaseInfo, outcome: &Outcome, requirements: &Requirements) -> Decision {
    // A check that cites what does not exist is our fault, and no verdict of the subject.
    for check in &outcome.checks {
        if check.requirements.is_empty() {
            return Decision::new(Verdict::Error, format!("the check {} cites no requirement", check.id));
        }
        if let Some(id) = check.requirements.iter().find(|id| requirements.get(id).is_none()) {
            return Decision::new(Verdict::Error, format!("the check {} cites the unknown requirement {id}", check.id));
        }
    }
    let level = |check: &CheckResult| if check.grave { Level::Must } else { check.level.weaker(case.level) };
    let violated = |wanted: Level| outcome.checks.iter().find(|check| !check.ok && level(check) == wanted);

    if let Some(na) = &outcome.not_applicable {
        if na.leaf.trim().is_empty() {
            return Decision::new(Verdict::Error, "not applicable without a leaf of the declaration of support");
        }
        if let Some(contradiction) = &na.contradiction {
            let mut decision =
                Decision::new(Verdict::Fail, format!("{}={} is declared, but {contradiction}", na.leaf, na.value));
            decision.check = Some(format!("ics.{}", na.leaf));
            decision.signature = format!("contradicts {}={}", na.leaf, na.value);
            return decision;
        }
        // A violation that was seen before the case turned out not to apply is still a violation.
        if violated(Level::Must).is_none() {
            return Decision::new(Verdict::Na, format!("N/A: ICS {}={}", na.leaf, na.value));
        }
    }
    if let Some(trouble) = &outcome.trouble {
        let verdict = if trouble.kind == TroubleKind::Inconclusive { Verdict::Inconclusive } else { Verdict::Error };
        // A precondition that fails after a violation was seen does not undo it; a broken harness does, because it
        // may have caused what it saw.
        if verdict == Verdict::Error || violated(Level::Must).is_none() {
            return Decision::new(verdict, trouble.message.clone());
        }
    }
    match &outcome.before {
        Control::Alive(_) => {}
        Control::NotRun => return Decision::new(Verdict::Inconclusive, "no control was run before the probe"),
        Control::Dead(what) => {
            return Decision::new(Verdict::Inconclusive, format!("the subject did not work before the probe: {what}"));
        }
    }
    if let Some(check) = violated(Level::Must) {
        return Decision::by_check(Verdict::Fail, check);
    }
    let warning = violated(Level::Should);
    match (&outcome.after, warning) {
        (Control::Alive(_), _) => {}
        // What was seen stands, even when the case ended with it and looked no further.
        (Control::NotRun, Some(check)) => return Decision::by_check(Verdict::Warn, check),
        (Control::NotRun, None) => {
            return Decision::new(Verdict::Inconclusive, "no control was run after the probe");
        }
        (Control::Dead(what), _) => {
            return Decision::new(Verdict::Inconclusive, format!("the subject did not work after the probe: {what}"));
        }
    }
    if let Some(check) = warning {
        return Decision::by_check(Verdict::Warn, check);
    }
    let unproven = |check: &&CheckResult| {
        check.ok && check.kind == CheckKind::Absence && !check.confidence.is_some_and(super::Confidence::suffices)
    };
    if let Some(check) = outcome.checks.iter().filter(|c| level(c) != Level::May).find(unproven) {
        return Decision::new(
            Verdict::Inconclusive,
            format!("{}: nothing came, but no proof of life in the same SA stands beside it", check.id),
        );
    }
    let normative = outcome.checks.iter().filter(|check| level(check) != Level::May).count();
    if normative > 0 {
        return Decision::new(Verdict::Pass, format!("{normative} of {normative} checks as required"));
    }
    match outcome.checks.first() {
        Some(check) => Decision::new(Verdict::Info, format!("{}: {}", check.id, check.observed)),
        None if !outcome.measurements.is_empty() => {
            Decision::new(Verdict::Info, format!("{} values measured", outcome.measurements.len()))
        }
        None => Decision::new(Verdict::Inconclusive, "no check was executed"),
    }
}

/// Settles several attempts at one case: returns the position of the attempt that counts and whether they disagree.
///
/// A failure counts whatever came before or after it, and without one a warning does. Otherwise the first attempt with
/// a verdict on the subject counts, and without one the last attempt.
#[must_use]
pub fn settle(attempts: &[Verdict]) -> Option<(usize, bool)> {
    let last = attempts.len().checked_sub(1)?;
    let flaky = attempts.iter().any(|v| *v != attempts[last]);
    let counts = attempts
        .iter()
        .position(|v| *v == Verdict::Fail)
        .or_else(|| attempts.iter().position(|v| *v == Verdict::Warn))
        .or_else(|| attempts.iter().position(|v| !v.may_be_retried()))
        .unwrap_or(last);
    Some((counts, flaky))
}

#[cfg(test)]
mod tests;
