//! What a run comes to: the content of `results.json`.

use std::collections::BTreeMap;
use std::fmt;

use hallmark_catalogue::{CaseInfo, CaseResult, Coverage, ExitCode, Level, Requirements, RunState, Summary, Verdict};
use serde::{Deserialize, Serialize};

/// The schema that this version writes and reads.
pub const SCHEMA: &str = "hallmark.results/1";

/// Is the result of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RunResults {
    /// Always `hallmark.results/1`.
    pub schema: String,
    /// What was run, where and how.
    pub run: RunInfo,
    /// Counts per verdict word.
    pub summary: Summary,
    /// What the program exits with.
    pub exit_code: u8,
    /// The judged cases, in the order of their ids.
    pub cases: Vec<CaseResult>,
    /// Selected cases without a result.
    pub not_run: Vec<NotRun>,
    /// What became of each requirement that a check judged.
    pub requirements: BTreeMap<String, RequirementResult>,
    /// How much of each sheet the catalogue covers.
    pub coverage: BTreeMap<String, Coverage>,
    /// Remarks on waivers: expired, unused, matching nothing.
    #[serde(default)]
    pub waiver_remarks: Vec<String>,
}

/// Says what was run, where and how.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RunInfo {
    /// The name of the run.
    pub id: String,
    /// Version of the program.
    pub version: String,
    /// Hash of the catalogue of cases.
    pub suite_hash: String,
    /// The seed that decides everything.
    pub seed: String,
    /// The filter, empty when every case was selected.
    #[serde(default)]
    pub filter: String,
    /// The shard, empty when there is one only.
    #[serde(default)]
    pub shard: String,
    /// Where it ran: `lab`, `process` or `device`.
    pub world: String,
    /// What was judged, claimed and observed.
    #[serde(default)]
    pub subject: BTreeMap<String, String>,
    /// When it began (RFC 3339).
    pub started: String,
    /// When it ended; empty while it runs.
    #[serde(default)]
    pub ended: String,
    /// Real time taken, in milliseconds.
    pub wall_ms: u64,
    /// Whether it was stopped before its end.
    #[serde(default)]
    pub interrupted: bool,
    /// Whether warnings count as failures.
    #[serde(default)]
    pub deny_warn: bool,
    /// Whether keys stand in the evidence.
    #[serde(default)]
    pub keys_exported: bool,
}

/// Is a selected case without a result.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NotRun {
    /// Its id.
    pub id: String,
    /// Its area.
    pub area: String,
    /// Why it was not run.
    pub reason: String,
}

/// Says what became of a requirement.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RequirementResult {
    /// The worst word of the cases with a check that judged it and decided so.
    pub verdict: Verdict,
    /// Checks that judged it.
    pub checks: usize,
    /// Checks that did not hold.
    pub broken: usize,
    /// The cases that these checks stand in.
    pub cases: Vec<String>,
}

/// Says why a `results.json` cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadError(String);

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReadError {}

impl RunResults {
    /// Puts the results of a run together. `catalogue` holds every case there is, selected or not; `not_selected`
    /// counts those that were left out.
    #[must_use]
    pub fn new<'a>(
        run: RunInfo,
        mut cases: Vec<CaseResult>,
        not_run: Vec<NotRun>,
        not_selected: usize,
        catalogue: impl IntoIterator<Item = &'a CaseInfo>,
    ) -> Self {
        cases.sort_by(|a, b| a.id.cmp(&b.id));
        let state = RunState {
            selected: cases.len() + not_run.len(),
            interrupted: run.interrupted,
            deny_warn: run.deny_warn,
            ..RunState::default()
        };
        Self {
            schema: SCHEMA.to_owned(),
            summary: Summary::of(&cases, not_run.len(), not_selected),
            exit_code: ExitCode::of_run(&cases, &state).code(),
            requirements: requirements(&cases),
            coverage: Requirements::embedded().coverage(catalogue),
            run,
            cases,
            not_run,
            waiver_remarks: Vec::new(),
        }
    }

    /// Reads a `results.json`.
    ///
    /// # Errors
    /// When it is none, or one of a version that this program does not know.
    pub fn parse(text: &str) -> Result<Self, ReadError> {
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| ReadError(format!("no JSON: {error}")))?;
        match value.get("schema").and_then(serde_json::Value::as_str) {
            Some(SCHEMA) => {}
            Some(other) => return Err(ReadError(format!("schema is {other}, this version reads {SCHEMA}"))),
            None => return Err(ReadError(format!("no schema is named, expected {SCHEMA}"))),
        }
        serde_json::from_value(value).map_err(|error| ReadError(error.to_string()))
    }

    /// Writes a `results.json`.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }

    /// Finds a case by its id.
    #[must_use]
    pub fn case(&self, id: &str) -> Option<&CaseResult> {
        self.cases.iter().find(|case| case.id == id)
    }

    /// Gives the words of this run, for `verdict()` of the filter language.
    #[must_use]
    pub fn verdicts(&self) -> BTreeMap<String, Verdict> {
        self.cases.iter().map(|case| (case.id.clone(), case.verdict)).collect()
    }
}

fn requirements(cases: &[CaseResult]) -> BTreeMap<String, RequirementResult> {
    let mut judged: BTreeMap<String, RequirementResult> = BTreeMap::new();
    for case in cases.iter().filter(|case| !case.verdict.may_be_retried()) {
        for check in &case.checks {
            let verdict = match (check.ok, check.grave, check.level.weaker(case.level)) {
                (true, ..) => Verdict::Pass,
                (false, true, _) | (false, false, Level::Must) => Verdict::Fail,
                (false, false, Level::Should) => Verdict::Warn,
                (false, false, Level::May) => Verdict::Info,
            };
            for id in &check.requirements {
                let entry = judged.entry(id.clone()).or_insert_with(|| RequirementResult {
                    verdict,
                    checks: 0,
                    broken: 0,
                    cases: Vec::new(),
                });
                entry.checks += 1;
                entry.broken += usize::from(!check.ok);
                entry.verdict = worse(entry.verdict, verdict);
                if entry.cases.last() != Some(&case.id) {
                    entry.cases.push(case.id.clone());
                }
            }
        }
    }
    judged
}

fn worse(a: Verdict, b: Verdict) -> Verdict {
    let rank =
        |verdict| [Verdict::Pass, Verdict::Info, Verdict::Warn, Verdict::Fail].iter().position(|v| *v == verdict);
    if rank(b) > rank(a) { b } else { a }
}

#[cfg(test)]
pub(crate) mod tests {
    use hallmark_catalogue::{Check, Confidence, Outcome, Subject, TroubleKind, decide};

    use super::*;

    pub(crate) const CASES: [CaseInfo; 6] = {
        let base = CaseInfo {
            area: "gdoi.push",
            subject: Subject::Gm,
            title: "ignores <what> it & \"must\"",
            purpose: "p",
            requirements: &["GDOI-P1-001"],
            sources: &["RFC 6407 §4.4"],
            catches: &["d"],
            ..CaseInfo::BLANK
        };
        [
            CaseInfo { id: "A-001", ..base },
            CaseInfo { id: "A-002", ..base },
            CaseInfo { id: "A-003", area: "gdoi.pull", subject: Subject::Ks, ..base },
            CaseInfo { id: "A-004", level: Level::Should, ..base },
            CaseInfo { id: "A-005", ..base },
            CaseInfo { id: "A-006", ..base },
        ]
    };

    /// pass, fail, error, warn, na and one that was not run.
    pub(crate) fn sample() -> RunResults {
        let judged = |case: &CaseInfo, change: &dyn Fn(&mut Outcome)| {
            let mut outcome = Outcome::default();
            outcome.alive_before("registered");
            change(&mut outcome);
            outcome.alive_after("rekeyed");
            let decision = decide(case, &outcome);
            let mut result = CaseResult::new(case, outcome, decision);
            result.wall_ms = 1234;
            result.evidence = Some(format!("tests/{}/1", case.id));
            result.reproduce = format!("hallmark run {} --seed 7", case.id);
            result
        };
        let held = |outcome: &mut Outcome| {
            let check = Check::new("push.quiet", &["GDOI-PUSH-039"]);
            outcome.record(check.silence(true, "no ACK", "nothing", Confidence::WireAndControl));
        };
        let broken = |outcome: &mut Outcome| {
            outcome.record(Check::new("push.seq", &["GDOI-P1-001"]).saw(false, "seq > 7", "seq 7 \u{1b}[31m]]> \u{0}"));
        };
        let cases = vec![
            judged(&CASES[1], &broken),
            judged(&CASES[0], &held),
            judged(&CASES[2], &|outcome| outcome.trouble(TroubleKind::Timeout, "no answer in 30 s")),
            judged(&CASES[3], &broken),
            judged(&CASES[4], &|outcome| outcome.not_applicable("gm.lkh", "false")),
        ];
        let not_run = vec![NotRun { id: "A-006".into(), area: "gdoi.push".into(), reason: "interrupted".into() }];
        let run = RunInfo {
            id: "20261123T072405Z-lab-7f3a".into(),
            version: "0.1.0".into(),
            seed: "7".into(),
            world: "lab".into(),
            started: "2026-11-23T07:24:05.000000Z".into(),
            wall_ms: 6170,
            interrupted: true,
            ..RunInfo::default()
        };
        RunResults::new(run, cases, not_run, 10, &CASES)
    }

    #[test]
    fn results_read_back_as_they_were_written() {
        let results = sample();
        assert_eq!(RunResults::parse(&results.to_json()), Ok(results.clone()));
        assert!(
            RunResults::parse(&results.to_json().replace("results/1", "results/2")).is_err_and(|e| e.0.contains("/2"))
        );
        assert!(RunResults::parse("{}").is_err());
        assert!(RunResults::parse("[").is_err());
    }

    #[test]
    fn a_requirement_gets_the_worst_word_of_its_checks() {
        let results = sample();
        let verdict = |id: &str| results.requirements.get(id).map(|r| (r.verdict, r.checks, r.broken));
        assert_eq!(verdict("GDOI-PUSH-039"), Some((Verdict::Pass, 1, 0)));
        assert_eq!(verdict("GDOI-P1-001"), Some((Verdict::Fail, 2, 2)));
        assert_eq!(results.requirements["GDOI-P1-001"].cases, ["A-002", "A-004"]);
    }

    #[test]
    fn counts_and_exit_code_follow_from_the_cases() {
        let results = sample();
        assert_eq!(results.summary.sentence(), "1 of 6 passed, 1 warn, 1 fail, 1 error, 1 na, 1 not run");
        assert_eq!((results.summary.not_selected, results.exit_code), (10, 1));
        assert_eq!(
            results.cases.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(),
            ["A-001", "A-002", "A-003", "A-004", "A-005"]
        );
        assert_eq!(results.verdicts()["A-004"], Verdict::Warn);
    }
}
