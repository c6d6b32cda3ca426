//! Exit codes: stable, never a count of failures.

use crate::{CaseResult, Verdict};

/// Is what the program ends with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ExitCode {
    /// At least one case ran and every result was expected.
    Ok,
    /// An unexpected failure, or a warning that was to be denied, or a waived case that passed.
    Unexpected,
    /// Usage, configuration, filter or schema error.
    Usage,
    /// No failure, but cases ended without a verdict.
    NoVerdict,
    /// Nothing selected or nothing ran.
    Nothing,
    /// Interrupted, budget exhausted or stopped at the allowed number of failures.
    Incomplete,
    /// Preflight or lab failed before the first case.
    Preflight,
    /// A comparison tripped its gate.
    Gate,
    /// A certificate or signature did not verify.
    Certification,
    /// A bug in the program itself.
    Internal,
}

impl ExitCode {
    /// All codes in the order of precedence: 70 > 2 > 6 > 8 > 1 > 7 > 5 > 3 > 4 > 0.
    pub const PRECEDENCE: [Self; 10] = [
        Self::Internal,
        Self::Usage,
        Self::Preflight,
        Self::Certification,
        Self::Unexpected,
        Self::Gate,
        Self::Incomplete,
        Self::NoVerdict,
        Self::Nothing,
        Self::Ok,
    ];

    /// Gives the number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::NoVerdict => 3,
            Self::Nothing => 4,
            Self::Incomplete => 5,
            Self::Preflight => 6,
            Self::Gate => 7,
            Self::Certification => 8,
            Self::Internal => 70,
        }
    }

    /// Says in one line what it means.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "every result was expected",
            Self::Unexpected => "unexpected failure or unexpected pass",
            Self::Usage => "usage, configuration, filter or schema error",
            Self::NoVerdict => "no failure, but cases ended without a verdict",
            Self::Nothing => "nothing selected or nothing ran",
            Self::Incomplete => "incomplete: interrupted, budget exhausted or too many failures",
            Self::Preflight => "preflight or lab failed before the first case",
            Self::Gate => "a comparison tripped its gate",
            Self::Certification => "a certificate or signature did not verify",
            Self::Internal => "internal bug",
        }
    }

    /// Gives the code that prevails over all others; nothing at all means that nothing ran.
    #[must_use]
    pub fn prevailing(codes: impl IntoIterator<Item = Self>) -> Self {
        let rank = |code: &Self| Self::PRECEDENCE.iter().position(|other| other == code);
        codes.into_iter().min_by_key(rank).unwrap_or(Self::Nothing)
    }

    /// Gives the code of a run from its results and how it went.
    #[must_use]
    pub fn of_run<'a>(results: impl IntoIterator<Item = &'a CaseResult>, state: &RunState) -> Self {
        let mut codes = Vec::new();
        let (mut ran, mut applied) = (0, 0);
        for result in results {
            ran += 1;
            applied += usize::from(result.verdict != Verdict::Na);
            if result.is_unexpected(state.deny_warn) {
                codes.push(Self::Unexpected);
            } else if matches!(result.verdict, Verdict::Error | Verdict::Inconclusive) {
                codes.push(Self::NoVerdict);
            }
        }
        if state.dry_run {
            codes.push(if state.selected == 0 { Self::Nothing } else { Self::Ok });
        } else if ran == 0 {
            codes.push(if state.selected == 0 && state.allow_empty { Self::Ok } else { Self::Nothing });
        } else {
            // Where nothing applies nothing was judged: a device that is configured otherwise must not look good.
            codes.push(if applied == 0 { Self::Nothing } else { Self::Ok });
        }
        if !state.dry_run && (state.interrupted || ran < state.selected) {
            codes.push(Self::Incomplete);
        }
        if state.waivers_unmatched > 0 {
            codes.push(Self::Usage);
        }
        Self::prevailing(codes)
    }
}

/// Says how a run went, apart from its results.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RunState {
    /// Cases selected.
    pub selected: usize,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// Whether warnings count as failures.
    pub deny_warn: bool,
    /// Whether an explicitly given shard may be empty.
    pub allow_empty: bool,
    /// Whether nothing was to be run.
    pub dry_run: bool,
    /// Waivers that match no case of the catalogue at all.
    pub waivers_unmatched: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CaseInfo, Decision, Outcome, Overlay};

    fn result(verdict: Verdict) -> CaseResult {
        let decision = Decision { verdict, reason: String::new(), check: None, signature: String::new() };
        CaseResult::new(&CaseInfo::BLANK, Outcome::default(), decision)
    }

    fn code(verdicts: &[Verdict], state: RunState) -> u8 {
        let results: Vec<CaseResult> = verdicts.iter().map(|v| result(*v)).collect();
        ExitCode::of_run(&results, &RunState { selected: state.selected.max(results.len()), ..state }).code()
    }

    #[test]
    fn the_precedence_is_the_published_one() {
        assert_eq!(ExitCode::PRECEDENCE.map(ExitCode::code), [70, 2, 6, 8, 1, 7, 5, 3, 4, 0]);
        for pair in ExitCode::PRECEDENCE.windows(2) {
            assert_eq!(ExitCode::prevailing([pair[1], pair[0]]), pair[0]);
        }
        assert_eq!(ExitCode::prevailing([]), ExitCode::Nothing);
    }

    #[test]
    fn results_decide_the_code() {
        use Verdict::{Error, Fail, Inconclusive, Info, Na, Pass, Warn};
        let plain = RunState::default();
        assert_eq!(code(&[Pass, Warn, Na, Info], plain), 0);
        assert_eq!(code(&[Na, Na], plain), 4, "nothing applied");
        assert_eq!(code(&[Na, Error], plain), 3);
        assert_eq!(code(&[Pass, Warn], RunState { deny_warn: true, ..plain }), 1);
        assert_eq!(code(&[Pass, Fail, Error], plain), 1);
        assert_eq!(code(&[Pass, Error], plain), 3);
        assert_eq!(code(&[Pass, Inconclusive], plain), 3);
        assert_eq!(code(&[Pass, Fail], RunState { interrupted: true, ..plain }), 1);
        assert_eq!(code(&[Pass, Error], RunState { interrupted: true, ..plain }), 5);
        assert_eq!(code(&[Pass], RunState { selected: 2, ..plain }), 5, "one was not run");
        assert_eq!(code(&[Fail], RunState { waivers_unmatched: 1, ..plain }), 2);
    }

    #[test]
    fn nothing_selected_is_loud_unless_an_empty_shard_was_allowed() {
        let plain = RunState::default();
        assert_eq!(code(&[], plain), 4);
        assert_eq!(code(&[], RunState { allow_empty: true, ..plain }), 0);
        assert_eq!(code(&[], RunState { allow_empty: true, selected: 1, ..plain }), 5);
        assert_eq!(code(&[], RunState { dry_run: true, selected: 3, ..plain }), 0);
        assert_eq!(code(&[], RunState { dry_run: true, ..plain }), 4);
    }

    #[test]
    fn a_waiver_turns_the_sign() {
        let mut waived = result(Verdict::Fail);
        waived.overlay = Some(Overlay::Xfail);
        let mut healed = result(Verdict::Pass);
        healed.overlay = Some(Overlay::Xpass);
        let state = RunState { selected: 1, ..RunState::default() };
        assert_eq!(ExitCode::of_run([&waived], &state), ExitCode::Ok);
        assert_eq!(ExitCode::of_run([&healed], &state), ExitCode::Unexpected);
    }
}
