//! What a check is called, what it judges, and how much its breach weighs.

use std::fmt::Display;

use hallmark_catalogue::{Check, Confidence, Level};

use crate::cx::Cx;

/// Names a check and what it judges.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The check.
    pub id: &'static str,
    /// What it judges.
    pub requirements: &'static [&'static str],
    weight: Weight,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Weight {
    /// That of the requirements.
    Own,
    /// Fails whatever the requirements say.
    Grave,
    /// Warns at most.
    Advisory,
}

impl Rule {
    /// Makes a rule whose weight is that of its requirements.
    #[must_use]
    pub const fn new(id: &'static str, requirements: &'static [&'static str]) -> Self {
        Self { id, requirements, weight: Weight::Own }
    }

    /// Makes a rule whose breach fails whatever its requirements say: a state change by what is not authentic or not
    /// valid, protected traffic in clear, a subject that stops.
    #[must_use]
    pub const fn grave(id: &'static str, requirements: &'static [&'static str]) -> Self {
        Self { id, requirements, weight: Weight::Grave }
    }

    /// Makes a rule whose breach is only warned about; say why in a comment.
    #[must_use]
    pub const fn advisory(id: &'static str, requirements: &'static [&'static str]) -> Self {
        Self { id, requirements, weight: Weight::Advisory }
    }

    /// Begins a check of this rule, for a case that judges by itself.
    #[must_use]
    pub fn check(&self, cx: &Cx<'_>) -> Check {
        let check = Check::new(self.id, self.requirements).at(cx.world.now());
        match self.weight {
            Weight::Own => check,
            Weight::Grave => check.grave(),
            Weight::Advisory => check.level(Level::Should),
        }
    }

    /// Judges something that was seen.
    pub fn judge(&self, cx: &mut Cx<'_>, ok: bool, expected: &str, observed: impl Display) -> bool {
        let check = self.check(cx).saw(ok, expected, observed.to_string());
        cx.record(check)
    }

    /// Judges something that was not to come, where the same SA is shown to be alive before and after
    /// ([`Cx::silence`]).
    pub fn silence(&self, cx: &mut Cx<'_>, ok: bool, expected: &str, observed: impl Display) -> bool {
        let check = self.check(cx).silence(ok, expected, observed.to_string(), Confidence::WireAndControl);
        cx.record(check)
    }
}
