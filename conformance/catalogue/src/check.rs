//! What a case found out: checks, the controls around them, and what kept it from finding out.
//!
//! A case fills an [`Outcome`]. It never says "pass": it says what it expected, what it saw and how it knows, and
//! [`decide`](crate::decide) makes one word of that.

use serde::{Deserialize, Serialize};

use crate::{Level, Requirements};

/// Says what kind of observation a check rests on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckKind {
    /// Something came and was looked at.
    Observation,
    /// Nothing was to come or to happen: only a proof of life in the same SA and window makes it credible.
    Absence,
}

/// Says how well the absence of something is proven, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// A valid probe in the same SA was answered and a counter of the subject moved.
    WireAndCounter,
    /// A valid probe in the same SA and window was answered.
    WireAndControl,
    /// Only a counter or log of the subject says so.
    CounterOnly,
    /// Nothing came, and nothing more is known.
    AbsenceOnly,
}

impl Confidence {
    /// Tells whether an absence of this confidence may count as passed.
    #[must_use]
    pub fn suffices(self) -> bool {
        self <= Self::WireAndControl
    }

    /// Gives the name as it stands in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WireAndCounter => "wire-and-counter",
            Self::WireAndControl => "wire-and-control",
            Self::CounterOnly => "counter-only",
            Self::AbsenceOnly => "absence-only",
        }
    }
}

/// Is one executed check.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CheckResult {
    /// Stable name such as `push.old-seq-ignored`; waivers and failure groups refer to it.
    pub id: String,
    /// The requirements that it judges.
    pub requirements: Vec<String>,
    /// How binding it is.
    pub level: Level,
    /// What it rests on.
    pub kind: CheckKind,
    /// Whether the subject did as expected.
    pub ok: bool,
    /// Whether a violation is a crash, a hang, unbounded growth, a disclosure or a state change by unauthenticated
    /// input: such a violation fails whatever the level.
    pub grave: bool,
    /// What a good subject does.
    pub expected: String,
    /// What this one did.
    pub observed: String,
    /// The shape of the failure without the numbers that vary from run to run; waivers are pinned to it.
    pub signature: String,
    /// How well an absence is proven.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub confidence: Option<Confidence>,
    /// When it was executed, in nanoseconds of the run's monotonic clock.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at_nanos: Option<u64>,
}

impl CheckResult {
    /// Tells whether the check counts towards a pass.
    #[must_use]
    pub const fn is_normative(&self) -> bool {
        matches!(self.level, Level::Must | Level::Should) || self.grave
    }
}

/// Builds one check: what it is called, what it judges, and then what was seen.
///
/// ```
/// use hallmark_catalogue::{Check, Confidence, Outcome};
/// let mut outcome = Outcome::default();
/// outcome.alive_before("registration completed");
/// outcome.record(Check::new("push.seq-strictly-newer", &["GDOI-PUSH-018"]).saw(8 > 7, "more than 7", "8"));
/// outcome.record(
///     Check::new("push.replay-ignored", &["GDOI-PUSH-039"])
///         .silence(true, "no ACK", "nothing", Confidence::WireAndControl),
/// );
/// outcome.alive_after("PUSH with the next sequence number was acknowledged");
/// assert!(outcome.checks.iter().all(|check| check.ok));
/// ```
#[derive(Clone, Debug)]
pub struct Check {
    id: String,
    requirements: Vec<String>,
    level: Level,
    grave: bool,
    signature: Option<String>,
    at_nanos: Option<u64>,
}

impl Check {
    /// Names a check and the requirements that it judges. Its level is that of the strongest requirement cited.
    #[must_use]
    pub fn new(id: &str, requirements: &[&str]) -> Self {
        let catalogue = Requirements::embedded();
        let level = requirements.iter().filter_map(|id| catalogue.get(id)).map(|r| r.judged_as()).min();
        Self {
            id: id.to_owned(),
            requirements: requirements.iter().map(|&id| id.to_owned()).collect(),
            level: level.unwrap_or(Level::Must),
            grave: false,
            signature: None,
            at_nanos: None,
        }
    }

    /// Makes the check less (or more) binding than its requirements say; say why in a comment at the call.
    #[must_use]
    pub const fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Says that a violation is a crash, a hang, unbounded growth, a disclosure or a state change by
    /// unauthenticated input.
    #[must_use]
    pub const fn grave(mut self) -> Self {
        self.grave = true;
        self
    }

    /// Sets the shape of the failure; without it, it is the observed text with its numbers replaced by `#`.
    #[must_use]
    pub fn signature(mut self, signature: &str) -> Self {
        self.signature = Some(signature.to_owned());
        self
    }

    /// Says when the check was executed.
    #[must_use]
    pub const fn at(mut self, now: hallmark_core::Instant) -> Self {
        self.at_nanos = Some(now.0);
        self
    }

    /// Finishes with something that was seen.
    #[must_use]
    pub fn saw(self, ok: bool, expected: impl Into<String>, observed: impl Into<String>) -> CheckResult {
        self.finish(CheckKind::Observation, ok, expected.into(), observed.into(), None)
    }

    /// Finishes with something that was not to come. `ok` means that it did not; `confidence` says how that is known.
    #[must_use]
    pub fn silence(
        self,
        ok: bool,
        expected: impl Into<String>,
        observed: impl Into<String>,
        confidence: Confidence,
    ) -> CheckResult {
        self.finish(CheckKind::Absence, ok, expected.into(), observed.into(), Some(confidence))
    }

    fn finish(
        self,
        kind: CheckKind,
        ok: bool,
        expected: String,
        observed: String,
        confidence: Option<Confidence>,
    ) -> CheckResult {
        let signature = self.signature.unwrap_or_else(|| shape(&observed));
        CheckResult {
            id: self.id,
            requirements: self.requirements,
            level: self.level,
            kind,
            ok,
            grave: self.grave,
            expected,
            observed,
            signature,
            confidence,
            at_nanos: self.at_nanos,
        }
    }
}

/// Reduces an observation to its shape: numbers, addresses and hexadecimal runs become `#`.
#[must_use]
pub fn shape(observed: &str) -> String {
    let mut shape = String::new();
    for word in observed.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let (core, tail) = match word.char_indices().next_back() {
            Some((at, last)) if !last.is_ascii_alphanumeric() => word.split_at(at),
            _ => (word, ""),
        };
        let digits = core.chars().any(|c| c.is_ascii_digit());
        let hex = core.chars().all(|c| c.is_ascii_hexdigit()) || core.starts_with("0x");
        let unit = core.trim_start_matches(|c: char| c.is_ascii_digit());
        if digits && (hex || core.len() == unit.len()) && !core.chars().next().is_some_and(|c| c.is_ascii_uppercase()) {
            shape.push('#');
        } else if digits && unit.len() < core.len() {
            shape.push('#');
            shape.push_str(unit);
        } else {
            shape.push_str(core);
        }
        shape.push_str(tail);
    }
    shape
}

/// Tells whether the subject was seen to work at one end of a case.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// Nobody looked.
    #[default]
    NotRun,
    /// It worked, and this is how we know.
    Alive(String),
    /// It did not, and this is what happened instead.
    Dead(String),
}

impl Control {
    /// Tells whether the control is good.
    #[must_use]
    pub const fn is_alive(&self) -> bool {
        matches!(self, Self::Alive(_))
    }
}

/// Says that a case does not apply, and on which leaf of the declaration of support that rests.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NotApplicable {
    /// The leaf, for example `gm.lkh` or `world.raw-ip`.
    pub leaf: String,
    /// Its value, for example `false`.
    pub value: String,
    /// What a probe saw that contradicts the leaf, if anything.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub contradiction: Option<String>,
}

/// Sorts what can keep a case from finding out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TroubleKind {
    /// The lab or the harness itself.
    Infra,
    /// The case ran out of time.
    Timeout,
    /// The adapter to the device.
    Adapter,
    /// A precondition was not met.
    Inconclusive,
}

impl TroubleKind {
    /// Gives the name as it stands in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Infra => "infra",
            Self::Timeout => "timeout",
            Self::Adapter => "adapter",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// Says what kept a case from finding out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Trouble {
    /// Whose fault it is.
    pub kind: TroubleKind,
    /// What happened.
    pub message: String,
}

/// Is a number worth keeping that is not judged.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: f64,
    /// In which unit.
    pub unit: String,
}

/// Collects what one attempt at a case found out.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Every check executed, in order.
    pub checks: Vec<CheckResult>,
    /// The control before the probe.
    pub before: Control,
    /// The control after the probe.
    pub after: Control,
    /// Set when the case does not apply.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub not_applicable: Option<NotApplicable>,
    /// Set when something kept the case from finding out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<Trouble>,
    /// Numbers worth keeping.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub measurements: Vec<Measurement>,
}

impl Outcome {
    /// Keeps a check.
    pub fn record(&mut self, check: CheckResult) {
        self.checks.push(check);
    }

    /// Says that the subject worked before the probe, and how that is known. The first word counts.
    pub fn alive_before(&mut self, how: impl Into<String>) {
        if self.before == Control::NotRun {
            self.before = Control::Alive(how.into());
        }
    }

    /// Says that the subject did not work before the probe.
    pub fn dead_before(&mut self, what: impl Into<String>) {
        self.before = Control::Dead(what.into());
    }

    /// Says that the subject worked after the probe, and how that is known. The last word counts.
    pub fn alive_after(&mut self, how: impl Into<String>) {
        self.after = Control::Alive(how.into());
    }

    /// Says that the subject did not work after the probe.
    pub fn dead_after(&mut self, what: impl Into<String>) {
        self.after = Control::Dead(what.into());
    }

    /// Says that the case does not apply because of one leaf of the declaration of support.
    pub fn not_applicable(&mut self, leaf: impl Into<String>, value: impl Into<String>) {
        self.not_applicable = Some(NotApplicable { leaf: leaf.into(), value: value.into(), contradiction: None });
    }

    /// Says what kept the case from finding out. The first trouble counts: what follows is usually its consequence.
    pub fn trouble(&mut self, kind: TroubleKind, message: impl Into<String>) {
        if self.trouble.is_none() {
            self.trouble = Some(Trouble { kind, message: message.into() });
        }
    }

    /// Keeps a number.
    pub fn measure(&mut self, name: &str, value: f64, unit: &str) {
        self.measurements.push(Measurement { name: name.to_owned(), value, unit: unit.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_forgets_numbers_and_keeps_words() {
        assert_eq!(shape("ACK for seq 17 from 10.0.0.2:848 after 3.25s"), "ACK for seq # from #.#.#.#:# after #.#s");
        assert_eq!(shape("cookie 66e76d429170a8ac unknown"), "cookie # unknown");
        assert_eq!(shape("M2 had SHA256"), "M2 had SHA256");
        assert_ne!(shape("nothing came"), shape("an ACK came"));
    }

    #[test]
    fn a_check_takes_the_level_of_its_strongest_requirement() {
        // GDOI-PULL-009 is derived (SHOULD), GDOI-P1-001 an RFC MUST.
        assert_eq!(Check::new("a", &["GDOI-PULL-009"]).saw(true, "", "").level, Level::Should);
        assert_eq!(Check::new("a", &["GDOI-PULL-009", "GDOI-P1-001"]).saw(true, "", "").level, Level::Must);
        assert_eq!(Check::new("a", &["GDOI-P1-006"]).saw(true, "", "").level, Level::May);
    }

    #[test]
    fn the_first_trouble_counts_and_only_the_last_control_after() {
        let mut outcome = Outcome::default();
        outcome.trouble(TroubleKind::Infra, "socket");
        outcome.trouble(TroubleKind::Timeout, "late");
        assert_eq!(outcome.trouble.as_ref().map(|t| t.kind), Some(TroubleKind::Infra));
        outcome.dead_after("no answer");
        outcome.alive_after("answered");
        assert!(outcome.after.is_alive());
    }
}
