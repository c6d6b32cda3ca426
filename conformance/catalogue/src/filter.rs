//! The language that selects cases: the same text on the command line, in configuration and in waivers.
//!
//! ```text
//! area(gdoi.push) and level(must) and not needs(raw-ip) - cap(ks.coop)
//! id(KEKSEQ-*) | req(GDOI-PUSH-039) | title(~replay) & cost(<60s)
//! KEKSEQ-004
//! ```
//!
//! Predicates: `id req spec level subject area title source needs cap catches verdict cost node all none`; `role` is
//! `subject`, `defect` is `catches`. Matchers: `=x` exact, `~x` contains, `#x*` glob, `/x/` regular expression; a bare
//! word means what is usual for its predicate (`area(gdoi)` includes `gdoi.push`, a word with `*` is a glob). Several
//! matchers with commas between them are alternatives. Operators, strongest first: `not !`, `and & -` (`a - b` is
//! `a and not b`), `or | +`. A word in capitals is an id.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::{CaseInfo, Ics, Requirements, Verdict};

mod eval;
mod matcher;
mod parse;

pub use matcher::Matcher;
pub(crate) use matcher::glob;

/// Is a parsed filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    expr: Expr,
}

/// Is a filter as a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expr {
    /// Every case.
    All,
    /// No case.
    None,
    /// One predicate: any of its matchers.
    Is(Predicate, Vec<Matcher>),
    /// Cases outside.
    Not(Box<Self>),
    /// Cases in both.
    And(Box<Self>, Box<Self>),
    /// Cases in the first but not in the second.
    Minus(Box<Self>, Box<Self>),
    /// Cases in either.
    Or(Box<Self>, Box<Self>),
}

/// Says what a matcher is held against.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Predicate {
    /// The identifier.
    Id,
    /// A requirement cited.
    Req,
    /// The sheet of a requirement cited (`gdoi`, `ikev1`).
    Spec,
    /// The level.
    Level,
    /// The role that is judged.
    Subject,
    /// The area.
    Area,
    /// The title.
    Title,
    /// A source cited.
    Source,
    /// Something that the case needs.
    Needs,
    /// A leaf of the declaration of support.
    Cap,
    /// A defect that the case must catch.
    Catches,
    /// The word of the last run.
    Verdict,
    /// The time that it takes on a real device.
    Cost,
    /// A fact about the subject, for example its operating system.
    Node,
}

impl Predicate {
    /// All predicates with their names; a further name of the same predicate follows later in the list.
    pub const NAMES: [(&'static str, Self); 16] = [
        ("id", Self::Id),
        ("req", Self::Req),
        ("spec", Self::Spec),
        ("level", Self::Level),
        ("subject", Self::Subject),
        ("area", Self::Area),
        ("title", Self::Title),
        ("source", Self::Source),
        ("needs", Self::Needs),
        ("cap", Self::Cap),
        ("catches", Self::Catches),
        ("verdict", Self::Verdict),
        ("cost", Self::Cost),
        ("node", Self::Node),
        ("role", Self::Subject),
        ("defect", Self::Catches),
    ];

    /// Gives the name that is printed.
    #[must_use]
    pub fn name(&self) -> &'static str {
        Self::NAMES.iter().find(|(_, predicate)| predicate == self).map_or("", |(name, _)| name)
    }
}

/// Is what a filter looks at beside the case itself.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The words of the last run, by id.
    pub last: BTreeMap<String, Verdict>,
    /// What the subject is known to support.
    pub ics: Ics,
    /// Facts about the subject, for example `os`.
    pub node: BTreeMap<String, String>,
}

/// Says what is wrong with a filter and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilterError {
    /// The filter.
    pub text: String,
    /// Where it stops making sense, in octets.
    pub at: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.text.get(..self.at).map_or(0, |before| before.chars().count());
        // Not a width: the formatter refuses widths beyond 65,535, and a filter may be longer.
        write!(f, "{}\n  {}\n  {}^", self.message, self.text, " ".repeat(column))
    }
}

impl std::error::Error for FilterError {}

impl Filter {
    /// Selects every case.
    #[must_use]
    pub const fn all() -> Self {
        Self { expr: Expr::All }
    }

    /// Reads a filter.
    ///
    /// # Errors
    /// What is wrong and where; an unknown name comes with the nearest known one.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parse::filter(text).map(|expr| Self { expr })
    }

    /// Reads several filters; a case that any of them selects is selected. None at all selects every case.
    ///
    /// # Errors
    /// As for one.
    pub fn parse_any(texts: &[String]) -> Result<Self, FilterError> {
        let mut parts = texts.iter().map(|text| Self::parse(text));
        let Some(first) = parts.next() else { return Ok(Self::all()) };
        let mut expr = first?.expr;
        for part in parts {
            expr = Expr::Or(Box::new(expr), Box::new(part?.expr));
        }
        Ok(Self { expr })
    }

    /// Gives the tree.
    #[must_use]
    pub const fn expr(&self) -> &Expr {
        &self.expr
    }

    /// Tells whether a case is selected.
    #[must_use]
    pub fn matches(&self, case: &CaseInfo, context: &Context) -> bool {
        eval::matches(&self.expr, case, context)
    }

    /// Says which clause took a case out, nothing when it is selected.
    #[must_use]
    pub fn why(&self, case: &CaseInfo, context: &Context) -> Option<String> {
        eval::why(&self.expr, case, context)
    }

    /// Lists the exact names in the filter that no case and no requirement has, each with a suggestion: a misspelt id
    /// must not silently select nothing.
    #[must_use]
    pub fn unknown_names<'a>(&self, cases: impl IntoIterator<Item = &'a CaseInfo>) -> Vec<String> {
        let mut known = Known::default();
        for case in cases {
            known.ids.insert(case.id);
            known.areas.insert(case.area);
            known.defects.extend(case.catches);
        }
        let requirements = Requirements::embedded();
        known.requirements.extend(requirements.iter().map(|r| r.id.as_str()));
        known.sheets.extend(requirements.iter().map(|r| r.sheet.as_str()));
        let mut faults = Vec::new();
        known.check(&self.expr, &mut faults);
        faults
    }
}

#[derive(Default)]
struct Known<'a> {
    ids: BTreeSet<&'a str>,
    areas: BTreeSet<&'a str>,
    defects: BTreeSet<&'a str>,
    requirements: BTreeSet<&'a str>,
    sheets: BTreeSet<&'a str>,
}

impl Known<'_> {
    fn check(&self, expr: &Expr, faults: &mut Vec<String>) {
        match expr {
            Expr::All | Expr::None => {}
            Expr::Not(inner) => self.check(inner, faults),
            Expr::And(a, b) | Expr::Minus(a, b) | Expr::Or(a, b) => {
                self.check(a, faults);
                self.check(b, faults);
            }
            Expr::Is(predicate, matchers) => {
                let (what, names) = match predicate {
                    Predicate::Id => ("case", &self.ids),
                    Predicate::Area => ("area", &self.areas),
                    Predicate::Catches => ("defect", &self.defects),
                    Predicate::Req => ("requirement", &self.requirements),
                    Predicate::Spec => ("sheet", &self.sheets),
                    _ => return,
                };
                for matcher in matchers {
                    if names.iter().any(|name| eval::holds(predicate, matcher, name)) {
                        continue;
                    }
                    let hint = match matcher {
                        Matcher::Word(word) | Matcher::Exact(word) => {
                            crate::suggest::did_you_mean(word, names.iter().copied())
                        }
                        _ => String::new(),
                    };
                    faults.push(format!("no {what} matches `{}({matcher})`{hint}", predicate.name()));
                }
            }
        }
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.expr, f)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all()"),
            Self::None => f.write_str("none()"),
            Self::Is(predicate, matchers) => {
                write!(f, "{}(", predicate.name())?;
                for (n, matcher) in matchers.iter().enumerate() {
                    if n > 0 {
                        f.write_str(", ")?;
                    }
                    fmt::Display::fmt(matcher, f)?;
                }
                f.write_str(")")
            }
            Self::Not(inner) => write!(f, "not {}", Operand(inner, 3)),
            Self::And(a, b) => write!(f, "{} and {}", Operand(a, 2), Operand(b, 3)),
            Self::Minus(a, b) => write!(f, "{} - {}", Operand(a, 2), Operand(b, 3)),
            Self::Or(a, b) => write!(f, "{} or {}", Operand(a, 1), Operand(b, 2)),
        }
    }
}

/// Prints an operand, in parentheses when it binds less than its place needs.
struct Operand<'a>(&'a Expr, u8);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strength = match self.0 {
            Expr::Or(..) => 1,
            Expr::And(..) | Expr::Minus(..) => 2,
            _ => 3,
        };
        if strength < self.1 { write!(f, "({})", self.0) } else { fmt::Display::fmt(self.0, f) }
    }
}

#[cfg(test)]
mod tests;
