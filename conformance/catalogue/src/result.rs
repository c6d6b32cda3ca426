//! A judged case as every report and reader sees it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    CaseInfo, CheckResult, Control, Decision, Level, Measurement, Outcome, Overlay, Subject, TroubleKind, Verdict,
};

/// Is one attempt at a case.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// Counts from 1.
    pub number: u32,
    /// The word for this attempt.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
}

/// Is the result of one case: what it is, the word for it, and what that rests on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CaseResult {
    /// Frozen identifier.
    pub id: String,
    /// What is judged.
    pub area: String,
    /// How binding the case is.
    pub level: Level,
    /// The role that is judged.
    pub subject: Subject,
    /// One short line.
    pub title: String,
    /// Requirements cited.
    pub requirements: Vec<String>,
    /// Clauses and documents behind it.
    pub sources: Vec<String>,
    /// The word.
    pub verdict: Verdict,
    /// Set where a waiver speaks to the verdict.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub overlay: Option<Overlay>,
    /// The waiver that spoke.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waiver: Option<String>,
    /// One sentence that says why.
    pub reason: String,
    /// The check that decided, if one did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deciding_check: Option<String>,
    /// The shape of the failure.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub signature: String,
    /// What kept the case from a verdict, if that is why there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<TroubleKind>,
    /// Every check of the attempt that counts.
    pub checks: Vec<CheckResult>,
    /// The control before the probe.
    pub before: Control,
    /// The control after the probe.
    pub after: Control,
    /// Numbers worth keeping.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub measurements: Vec<Measurement>,
    /// Every attempt, in order.
    pub attempts: Vec<Attempt>,
    /// Real time taken, in milliseconds.
    pub wall_ms: u64,
    /// Time that passed in the world of the case, in milliseconds.
    pub world_ms: u64,
    /// The folder with its evidence, relative to the run folder.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub evidence: Option<String>,
    /// The command that runs it again in the same way.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reproduce: String,
}

impl CaseResult {
    /// Puts a case, what one attempt found and the decision on it together.
    #[must_use]
    pub fn new(case: &CaseInfo, outcome: Outcome, decision: Decision) -> Self {
        let owned = |texts: &[&str]| texts.iter().map(|&t| t.to_owned()).collect();
        Self {
            id: case.id.to_owned(),
            area: case.area.to_owned(),
            level: case.level,
            subject: case.subject,
            title: case.title.to_owned(),
            requirements: owned(case.requirements),
            sources: owned(case.sources),
            verdict: decision.verdict,
            overlay: None,
            waiver: None,
            reason: decision.reason.clone(),
            deciding_check: decision.check,
            signature: decision.signature,
            trouble: outcome.trouble.filter(|_| decision.verdict.may_be_retried()).map(|trouble| trouble.kind),
            checks: outcome.checks,
            before: outcome.before,
            after: outcome.after,
            measurements: outcome.measurements,
            attempts: vec![Attempt { number: 1, verdict: decision.verdict, reason: decision.reason }],
            wall_ms: 0,
            world_ms: 0,
            evidence: None,
            reproduce: String::new(),
        }
    }

    /// Puts a case and several attempts together; the one that counts is chosen by [`settle`](crate::settle).
    /// Gives nothing for no attempt: there is no result without one.
    #[must_use]
    pub fn from_attempts(case: &CaseInfo, attempts: Vec<(Outcome, Decision)>) -> Option<Self> {
        let words: Vec<Verdict> = attempts.iter().map(|(_, decision)| decision.verdict).collect();
        let (counts, _) = crate::settle(&words)?;
        let history = (1..)
            .zip(&attempts)
            .map(|(number, (_, d))| Attempt { number, verdict: d.verdict, reason: d.reason.clone() })
            .collect();
        let (outcome, decision) = attempts.into_iter().nth(counts)?;
        let mut result = Self::new(case, outcome, decision);
        result.attempts = history;
        Some(result)
    }

    /// Tells whether attempts disagree.
    #[must_use]
    pub fn is_flaky(&self) -> bool {
        self.attempts.windows(2).any(|pair| pair[0].verdict != pair[1].verdict)
    }

    /// Gives the word with the waiver's in front: `xfail`, `fail`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.overlay {
            Some(overlay) => overlay.as_str(),
            None => self.verdict.as_str(),
        }
    }

    /// Tells whether the result is one that makes a run exit with 1.
    #[must_use]
    pub fn is_unexpected(&self, deny_warn: bool) -> bool {
        match self.overlay {
            Some(Overlay::Xpass) => true,
            Some(Overlay::Xfail | Overlay::Xwarn) => false,
            None => self.verdict == Verdict::Fail || (deny_warn && self.verdict == Verdict::Warn),
        }
    }
}

/// Counts results per word. What was not run and not selected stands beside them and is never added to anything.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Cases with a result.
    pub ran: usize,
    /// Selected cases without a result.
    pub not_run: usize,
    /// Cases that the filter, the shard or the role left out.
    pub not_selected: usize,
    /// Passed.
    pub pass: usize,
    /// Warned.
    pub warn: usize,
    /// Failed.
    pub fail: usize,
    /// No verdict: control or precondition.
    pub inconclusive: usize,
    /// No verdict: harness, lab or adapter.
    pub error: usize,
    /// Not applicable.
    pub na: usize,
    /// Recorded only.
    pub info: usize,
    /// Failed or warned as a waiver says; also counted under its verdict.
    pub waived: usize,
    /// Passed although a waiver expects otherwise; also counted under its verdict.
    pub xpass: usize,
}

impl Summary {
    /// Counts results.
    pub fn of<'a>(results: impl IntoIterator<Item = &'a CaseResult>, not_run: usize, not_selected: usize) -> Self {
        let mut summary = Self { not_run, not_selected, ..Self::default() };
        for result in results {
            summary.ran += 1;
            *summary.slot(result.verdict) += 1;
            match result.overlay {
                Some(Overlay::Xfail | Overlay::Xwarn) => summary.waived += 1,
                Some(Overlay::Xpass) => summary.xpass += 1,
                None => {}
            }
        }
        summary
    }

    /// Gives the count of one word.
    #[must_use]
    pub const fn count(&self, verdict: Verdict) -> usize {
        match verdict {
            Verdict::Pass => self.pass,
            Verdict::Warn => self.warn,
            Verdict::Fail => self.fail,
            Verdict::Inconclusive => self.inconclusive,
            Verdict::Error => self.error,
            Verdict::Na => self.na,
            Verdict::Info => self.info,
        }
    }

    fn slot(&mut self, verdict: Verdict) -> &mut usize {
        match verdict {
            Verdict::Pass => &mut self.pass,
            Verdict::Warn => &mut self.warn,
            Verdict::Fail => &mut self.fail,
            Verdict::Inconclusive => &mut self.inconclusive,
            Verdict::Error => &mut self.error,
            Verdict::Na => &mut self.na,
            Verdict::Info => &mut self.info,
        }
    }

    /// Gives the sentence with the denominator: `163 of 170 passed, 4 not run`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut text = format!("{} of {} passed", self.pass, self.ran + self.not_run);
        for verdict in Verdict::ALL.into_iter().skip(1) {
            let count = self.count(verdict);
            if count > 0 {
                text.push_str(&format!(", {count} {verdict}"));
            }
        }
        for (count, word) in [(self.waived, "waived"), (self.xpass, "xpass"), (self.not_run, "not run")] {
            if count > 0 {
                text.push_str(&format!(", {count} {word}"));
            }
        }
        text
    }
}

/// Groups results that failed, warned or found no verdict for one cause: same word, same deciding check, same shape.
#[must_use]
pub fn causes<'a>(results: impl IntoIterator<Item = &'a CaseResult>) -> Vec<(Cause<'a>, Vec<&'a CaseResult>)> {
    let mut groups: BTreeMap<Cause<'a>, Vec<&CaseResult>> = BTreeMap::new();
    for result in results {
        if matches!(result.verdict, Verdict::Pass | Verdict::Na | Verdict::Info)
            && result.overlay != Some(Overlay::Xpass)
        {
            continue;
        }
        let signature = if result.signature.is_empty() { &result.reason } else { &result.signature };
        let cause = Cause { word: result.word(), check: result.deciding_check.as_deref().unwrap_or(""), signature };
        groups.entry(cause).or_default().push(result);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(cause, members)| (cause.rank(), std::cmp::Reverse(members.len())));
    groups
}

/// Says what results of one group have in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cause<'a> {
    /// The word, with the waiver's taken into account.
    pub word: &'static str,
    /// The check that decided; empty for errors and inconclusive results.
    pub check: &'a str,
    /// The shape of the failure or the reason.
    pub signature: &'a str,
}

impl Cause<'_> {
    fn rank(&self) -> usize {
        ["fail", "xpass", "error", "inconclusive", "warn", "xfail", "xwarn"]
            .iter()
            .position(|word| *word == self.word)
            .unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Check, decide};

    const CASE: CaseInfo = CaseInfo { id: "T-001", ..CaseInfo::BLANK };

    fn result(id: &str, ok: bool, observed: &str) -> CaseResult {
        let mut outcome = Outcome::default();
        outcome.alive_before("x");
        outcome.record(Check::new("c", &["GDOI-P1-001"]).saw(ok, "e", observed));
        outcome.alive_after("x");
        let decision = decide(&CASE, &outcome);
        CaseResult { id: id.to_owned(), ..CaseResult::new(&CASE, outcome, decision) }
    }

    #[test]
    fn what_was_not_run_is_never_added_to_what_passed() {
        let results = [result("A", true, "e"), result("B", false, "f")];
        let summary = Summary::of(&results, 3, 10);
        assert_eq!((summary.pass, summary.fail, summary.ran, summary.not_run), (1, 1, 2, 3));
        assert_eq!(summary.sentence(), "1 of 5 passed, 1 fail, 3 not run");
        assert_eq!(Verdict::ALL.map(|v| summary.count(v)).iter().sum::<usize>(), summary.ran);
    }

    #[test]
    fn failures_of_one_shape_are_one_cause() {
        let results = [
            result("A", false, "seq 7"),
            result("B", false, "seq 9"),
            result("C", false, "silence"),
            result("D", true, ""),
        ];
        let groups = causes(&results);
        let ids: Vec<Vec<&str>> =
            groups.iter().map(|(_, members)| members.iter().map(|r| r.id.as_str()).collect()).collect();
        assert_eq!(ids, [vec!["A", "B"], vec!["C"]]);
    }

    #[test]
    fn the_attempt_that_counts_is_the_failure_and_all_are_kept() {
        let bad = result("A", false, "f");
        let good = result("A", true, "e");
        let pair = |r: &CaseResult| {
            let mut outcome = Outcome { checks: r.checks.clone(), ..Outcome::default() };
            outcome.alive_before("x");
            outcome.alive_after("x");
            let decision = decide(&CASE, &outcome);
            (outcome, decision)
        };
        let merged = CaseResult::from_attempts(&CASE, vec![pair(&bad), pair(&good)]).expect("two attempts");
        assert_eq!(merged.verdict, Verdict::Fail);
        assert_eq!(merged.attempts.len(), 2);
        assert!(merged.is_flaky());
        assert!(CaseResult::from_attempts(&CASE, Vec::new()).is_none());
    }

    #[test]
    fn a_result_reads_back_as_it_was_written() {
        let mut result = result("A", false, "seq 7");
        result.overlay = Some(Overlay::Xfail);
        result.waiver = Some("W-0001".into());
        let text = serde_json::to_string(&result).expect("writes");
        assert_eq!(serde_json::from_str::<CaseResult>(&text).expect("reads"), result);
    }
}
