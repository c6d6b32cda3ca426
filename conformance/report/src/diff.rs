//! What changed between two runs.

use std::fmt::Write as _;
use std::str::FromStr;

use hallmark_catalogue::{CaseResult, Overlay, Verdict};
use serde::Serialize;

use crate::results::RunResults;

/// Is the difference between two runs, the older one first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Diff {
    /// Always `hallmark.diff/1`.
    pub schema: &'static str,
    /// The older run.
    pub old: String,
    /// The newer run.
    pub new: String,
    /// Was good, is bad now.
    pub regressions: Vec<Change>,
    /// Is bad and was not there, or had no verdict.
    pub new_failures: Vec<Change>,
    /// Was bad, is good now.
    pub fixes: Vec<Change>,
    /// Had a verdict, has none now: not run, not selected, error, inconclusive or not applicable.
    pub lost_coverage: Vec<Change>,
    /// Has a verdict now and had none.
    pub gained_coverage: Vec<Change>,
    /// Failed before and now, but in another way.
    pub changed_failures: Vec<Change>,
    /// Warned or recorded otherwise than before.
    pub other: Vec<Change>,
    /// Cases that are as they were.
    pub unchanged: usize,
}

/// Is the change of one case.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Change {
    /// Its id.
    pub id: String,
    /// Its word in the older run, `absent` without one.
    pub before: String,
    /// Its word in the newer run, `absent` without one.
    pub after: String,
    /// The reason in the newer run, or in the older one where there is no newer.
    pub reason: String,
}

/// Names a class of changes that trips the gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gate {
    /// Was good, is bad now.
    Regression,
    /// Any bad result that was not bad before.
    NewFail,
    /// Had a verdict, has none now.
    LostCoverage,
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "regression" => Ok(Self::Regression),
            "new-fail" => Ok(Self::NewFail),
            "lost-coverage" => Ok(Self::LostCoverage),
            _ => Err(format!("unknown gate `{text}`, expected regression, new-fail or lost-coverage")),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Good,
    Bad,
    None,
}

fn standing(case: Option<&CaseResult>) -> Standing {
    match case.map(|case| (case.overlay, case.verdict)) {
        None => Standing::None,
        Some((Some(Overlay::Xpass), _) | (None, Verdict::Fail)) => Standing::Bad,
        Some((Some(_), _) | (None, Verdict::Pass | Verdict::Warn | Verdict::Info)) => Standing::Good,
        Some((None, Verdict::Inconclusive | Verdict::Error | Verdict::Na)) => Standing::None,
    }
}

impl Diff {
    /// Compares two runs.
    #[must_use]
    pub fn between(old: &RunResults, new: &RunResults) -> Self {
        let mut diff =
            Self { schema: "hallmark.diff/1", old: old.run.id.clone(), new: new.run.id.clone(), ..Self::default() };
        let mut ids: Vec<&str> = old.cases.iter().chain(&new.cases).map(|case| case.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let (before, after) = (old.case(id), new.case(id));
            let word = |case: Option<&CaseResult>| case.map_or("absent", CaseResult::word).to_owned();
            let change = Change {
                id: id.to_owned(),
                before: word(before),
                after: word(after),
                reason: after.or(before).map(|case| case.reason.clone()).unwrap_or_default(),
            };
            let same_shape =
                before.map(|c| (&c.deciding_check, &c.signature)) == after.map(|c| (&c.deciding_check, &c.signature));
            let class = match (standing(before), standing(after)) {
                (Standing::Good, Standing::Bad) => &mut diff.regressions,
                (Standing::None, Standing::Bad) => &mut diff.new_failures,
                (Standing::Bad, Standing::Good) => &mut diff.fixes,
                (Standing::Good | Standing::Bad, Standing::None) => &mut diff.lost_coverage,
                (Standing::None, Standing::Good) => &mut diff.gained_coverage,
                (Standing::Bad, Standing::Bad) if !same_shape => &mut diff.changed_failures,
                (Standing::Good | Standing::None, _) if change.before != change.after => &mut diff.other,
                _ => {
                    diff.unchanged += 1;
                    continue;
                }
            };
            class.push(change);
        }
        diff
    }

    /// Tells whether a gate trips.
    #[must_use]
    pub fn trips(&self, gates: &[Gate]) -> bool {
        gates.iter().any(|gate| match gate {
            Gate::Regression => !self.regressions.is_empty(),
            Gate::NewFail => !self.regressions.is_empty() || !self.new_failures.is_empty(),
            Gate::LostCoverage => !self.lost_coverage.is_empty(),
        })
    }

    /// Writes the difference as plain text, or as Markdown.
    #[must_use]
    pub fn text(&self, markdown: bool) -> String {
        let mut text = String::new();
        let heading = if markdown { "# " } else { "" };
        let _ = writeln!(text, "{heading}{} -> {}", self.old, self.new);
        for (title, class) in [
            ("regressions", &self.regressions),
            ("new failures", &self.new_failures),
            ("lost coverage", &self.lost_coverage),
            ("changed failures", &self.changed_failures),
            ("fixes", &self.fixes),
            ("gained coverage", &self.gained_coverage),
            ("other changes", &self.other),
        ] {
            if class.is_empty() {
                continue;
            }
            let _ = writeln!(text, "\n{}{title} ({})", if markdown { "## " } else { "" }, class.len());
            for change in class {
                let bullet = if markdown { "- " } else { "  " };
                let _ =
                    writeln!(text, "{bullet}{}  {} -> {}  {}", change.id, change.before, change.after, change.reason);
            }
        }
        let _ = writeln!(text, "\n{} cases unchanged", self.unchanged);
        text
    }

    /// Writes the difference as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;

    fn ids(changes: &[Change]) -> Vec<&str> {
        changes.iter().map(|change| change.id.as_str()).collect()
    }

    #[test]
    fn a_run_does_not_differ_from_itself() {
        let diff = Diff::between(&sample(), &sample());
        assert_eq!(diff.unchanged, 5);
        assert!(!diff.trips(&[Gate::Regression, Gate::NewFail, Gate::LostCoverage]));
    }

    #[test]
    fn every_change_lands_in_its_class() {
        let old = sample();
        let mut new = sample();
        new.cases[0].verdict = Verdict::Fail; // was pass
        new.cases[1].verdict = Verdict::Pass; // was fail
        new.cases[2].verdict = Verdict::Fail; // was error
        new.cases[3].verdict = Verdict::Pass; // was warn
        new.cases[4].id = "A-009".into(); // was A-005, na
        let diff = Diff::between(&old, &new);
        assert_eq!(ids(&diff.regressions), ["A-001"]);
        assert_eq!(ids(&diff.fixes), ["A-002"]);
        assert_eq!(ids(&diff.new_failures), ["A-003"]);
        assert_eq!(ids(&diff.other), ["A-004", "A-005", "A-009"]);
        assert!(diff.trips(&[Gate::Regression]) && diff.trips(&[Gate::NewFail]) && !diff.trips(&[Gate::LostCoverage]));
        assert!(diff.text(false).contains("regressions (1)\n  A-001  pass -> fail"));
        assert!(diff.text(true).contains("## fixes (1)"));
    }

    #[test]
    fn what_is_judged_no_more_is_lost_coverage() {
        let mut new = sample();
        new.cases.remove(0);
        new.cases[0].verdict = Verdict::Inconclusive;
        let diff = Diff::between(&sample(), &new);
        assert_eq!(ids(&diff.lost_coverage), ["A-001", "A-002"]);
        assert!(diff.trips(&[Gate::LostCoverage]));
        let back = Diff::between(&new, &sample());
        assert_eq!((ids(&back.gained_coverage), ids(&back.new_failures)), (vec!["A-001"], vec!["A-002"]));
    }

    #[test]
    fn a_failure_of_another_shape_is_told() {
        let mut new = sample();
        new.cases[1].signature = "rebooted".into();
        assert_eq!(ids(&Diff::between(&sample(), &new).changed_failures), ["A-002"]);
        assert!("perf".parse::<Gate>().is_err());
    }
}
