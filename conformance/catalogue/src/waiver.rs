//! Expected failures: pinned to a check and its signature, with an owner and an expiry.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::Deserialize;

use crate::filter::{Context, Filter};
use crate::{CaseInfo, CaseResult, Overlay, Verdict};

/// The widest a pattern may be: a waiver for more cases than this hides more than it explains.
const WIDEST: usize = 5;

/// Is one waiver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiver {
    /// Its identifier, for example `W-0012`.
    pub id: String,
    /// The case, or a pattern with `*`.
    pub test: String,
    /// The check that is expected to fail.
    pub check: String,
    /// Under which circumstances it applies.
    pub when: Option<Filter>,
    /// What is expected.
    pub expect: Expectation,
    /// The shape of the failure. Anything else is unexpected.
    pub signature: String,
    /// Why it fails.
    pub reason: String,
    /// Where the fault is tracked.
    pub issue: String,
    /// Who answers for it.
    pub owner: String,
    /// When it was written.
    pub created: Date,
    /// The last day on which it holds.
    pub expires: Date,
    /// How often it was renewed.
    pub renewals: u32,
    /// How often it may be renewed.
    pub max_renewals: u32,
    /// Whether it holds in a certification run (only when signed by the programme).
    pub cert: bool,
}

/// Says what a waiver expects.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expectation {
    /// A failure.
    Fail,
    /// A warning.
    Warn,
}

/// Holds the waivers of one file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Waivers {
    list: Vec<Waiver>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: Option<String>,
    #[serde(default)]
    waiver: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    test: String,
    check: String,
    when: Option<String>,
    expect: Option<Expectation>,
    #[serde(default)]
    signature: String,
    reason: String,
    #[serde(default)]
    issue: String,
    owner: String,
    created: toml::value::Datetime,
    expires: toml::value::Datetime,
    #[serde(default)]
    renewals: u32,
    #[serde(default = "two")]
    max_renewals: u32,
    #[serde(default)]
    cert: bool,
}

const fn two() -> u32 {
    2
}

impl Waivers {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong, with line and column where the TOML itself is; an unreadable `when`, a date that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
        if let Some(schema) = file.schema
            && schema != "hallmark.waivers/1"
        {
            return Err(format!("schema is \"{schema}\", expected \"hallmark.waivers/1\""));
        }
        let list = file.waiver.into_iter().map(Waiver::new).collect::<Result<_, _>>()?;
        Ok(Self { list })
    }

    /// Walks the waivers.
    pub fn iter(&self) -> impl Iterator<Item = &Waiver> {
        self.list.iter()
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Lays the waivers over one result: sets its overlay and the waiver that spoke. Expired waivers say nothing, and
    /// errors and inconclusive results stay what they are.
    pub fn apply(&self, case: &CaseInfo, result: &mut CaseResult, today: Date, context: &Context) {
        let mut healed = None;
        for waiver in self.list.iter().filter(|w| w.covers(case, context) && today <= w.expires) {
            if waiver.explains(result) {
                result.overlay = Some(if result.verdict == Verdict::Fail { Overlay::Xfail } else { Overlay::Xwarn });
                result.waiver = Some(waiver.id.clone());
                return;
            }
            if result.verdict == Verdict::Pass
                || (result.verdict == Verdict::Warn && waiver.expect == Expectation::Fail)
            {
                healed.get_or_insert(waiver);
            }
        }
        if let Some(waiver) = healed {
            result.overlay = Some(Overlay::Xpass);
            result.waiver = Some(waiver.id.clone());
        }
    }

    /// Lists the waivers whose pattern matches no case of the catalogue.
    #[must_use]
    pub fn unmatched(&self, cases: &[&CaseInfo]) -> Vec<&Waiver> {
        self.list.iter().filter(|waiver| waiver.reach(cases) == 0).collect()
    }

    /// Lists what is wrong with the waivers themselves, one sentence each. `used` holds the ids of the waivers that
    /// spoke in the last run, if one is known.
    #[must_use]
    pub fn lint(&self, cases: &[&CaseInfo], today: Date, used: Option<&BTreeSet<String>>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut ids = BTreeSet::new();
        let mut pins = BTreeSet::new();
        for waiver in &self.list {
            let mut fault = |text: String| faults.push(format!("{}: {text}", waiver.id));
            if !ids.insert(waiver.id.as_str()) {
                fault("the id stands twice".to_owned());
            }
            let when = waiver.when.as_ref().map(ToString::to_string).unwrap_or_default();
            if !pins.insert((waiver.test.as_str(), waiver.check.as_str(), waiver.signature.as_str(), when)) {
                fault("another waiver says the same".to_owned());
            }
            if today > waiver.expires {
                fault(format!("expired on {}", waiver.expires));
            }
            if waiver.created > waiver.expires {
                fault("expires before it was written".to_owned());
            }
            if waiver.renewals > waiver.max_renewals {
                fault(format!("renewed {} times, {} allowed", waiver.renewals, waiver.max_renewals));
            }
            if waiver.issue.trim().is_empty() {
                fault("no issue is named".to_owned());
            }
            if waiver.signature.trim().is_empty() {
                fault("no signature: it would excuse any failure of the check".to_owned());
            }
            if waiver.check.contains(['*', '?']) {
                fault("a pattern is allowed in `test` only".to_owned());
            }
            match waiver.reach(cases) {
                0 => {
                    let hint = crate::suggest::did_you_mean(&waiver.test, cases.iter().map(|case| case.id));
                    fault(format!("no case matches `{}`{hint}", waiver.test));
                }
                n if n > WIDEST => fault(format!("`{}` covers {n} cases, at most {WIDEST} are allowed", waiver.test)),
                _ => {}
            }
            if used.is_some_and(|used| !used.contains(&waiver.id)) {
                fault("unused in the last run".to_owned());
            }
        }
        faults
    }

    /// Lists the waivers that expire within so many days, the soonest first.
    #[must_use]
    pub fn due(&self, today: Date, days: i32) -> Vec<&Waiver> {
        let mut due: Vec<&Waiver> = self.list.iter().filter(|w| w.days_left(today) <= days).collect();
        due.sort_by_key(|waiver| waiver.expires);
        due
    }
}

impl Waiver {
    fn new(entry: Entry) -> Result<Self, String> {
        let fault = |text: String| format!("waiver {}: {text}", entry.id);
        let when = match &entry.when {
            Some(text) => Some(Filter::parse(text).map_err(|e| fault(format!("`when`: {e}")))?),
            None => None,
        };
        let created = date(&entry.created).ok_or_else(|| fault(format!("`created = {}` is no date", entry.created)))?;
        let expires = date(&entry.expires).ok_or_else(|| fault(format!("`expires = {}` is no date", entry.expires)))?;
        Ok(Self {
            when,
            created,
            expires,
            id: entry.id,
            test: entry.test,
            check: entry.check,
            expect: entry.expect.unwrap_or(Expectation::Fail),
            signature: entry.signature,
            reason: entry.reason,
            issue: entry.issue,
            owner: entry.owner,
            renewals: entry.renewals,
            max_renewals: entry.max_renewals,
            cert: entry.cert,
        })
    }

    /// Tells whether the waiver speaks of a case under the circumstances.
    #[must_use]
    pub fn covers(&self, case: &CaseInfo, context: &Context) -> bool {
        crate::filter::glob(&self.test, case.id) && self.when.as_ref().is_none_or(|when| when.matches(case, context))
    }

    /// Gives the days until it expires, negative after that.
    #[must_use]
    pub fn days_left(&self, today: Date) -> i32 {
        today.until(self.expires).map(|span| span.get_days()).unwrap_or(i32::MIN)
    }

    /// Tells whether a result is exactly the failure that the waiver describes: the deciding check, its signature, and
    /// no other check that fails the case.
    fn explains(&self, result: &CaseResult) -> bool {
        let word = match self.expect {
            Expectation::Fail => Verdict::Fail,
            Expectation::Warn => Verdict::Warn,
        };
        result.verdict == word
            && result.deciding_check.as_deref() == Some(self.check.as_str())
            && result.signature == self.signature
            && result
                .checks
                .iter()
                .filter(|check| !check.ok && check.is_normative())
                .all(|check| check.id == self.check && check.signature == self.signature)
    }

    fn reach(&self, cases: &[&CaseInfo]) -> usize {
        cases.iter().filter(|case| crate::filter::glob(&self.test, case.id)).count()
    }
}

fn date(value: &toml::value::Datetime) -> Option<Date> {
    let date = value.date?;
    Date::new(i16::try_from(date.year).ok()?, i8::try_from(date.month).ok()?, i8::try_from(date.day).ok()?).ok()
}

#[cfg(test)]
mod tests;
