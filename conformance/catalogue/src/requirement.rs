//! The testable sentences of the spec sheets.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::{CaseInfo, Level, Subject};

/// Says whom a requirement binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Scope {
    /// Key servers.
    Ks,
    /// Group members.
    Gm,
    /// Key servers and group members.
    Both,
}

impl Scope {
    /// Tells whether a role is bound.
    #[must_use]
    pub fn covers(self, subject: Subject) -> bool {
        match self {
            Self::Ks => subject == Subject::Ks,
            Self::Gm => subject == Subject::Gm,
            Self::Both => true,
        }
    }

    /// Gives the name as it stands in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ks => "KS",
            Self::Gm => "GM",
            Self::Both => "both",
        }
    }
}

/// Is one testable sentence.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Requirement {
    /// Its identifier in the sheet, for example `GDOI-PULL-007`.
    pub id: String,
    /// How binding it is after reading the sheet's own word.
    pub level: Level,
    /// The sheet's own word: `MUST NOT`, `lc` (stated as fact), `DER` (derived), `case` (idea for a case).
    pub word: String,
    /// Whom it binds.
    pub subject: Scope,
    /// The sentence.
    pub statement: String,
    /// Where it comes from.
    pub source: String,
    /// The sheet: `gdoi`, `ikev1`, `esp`, `gikev2`, `getvpn` or `own`.
    pub sheet: String,
    /// The section of the sheet's catalogue.
    pub section: String,
    /// How a tester sees it.
    pub observation: String,
    /// Whether it is hardening of our own or derived rather than stated: it warns at most, unless a violation is grave.
    pub hardening: bool,
}

impl Requirement {
    /// Gives the level at which a product is judged by it: hardening warns at most.
    #[must_use]
    pub fn judged_as(&self) -> Level {
        if self.hardening { self.level.weaker(Level::Should) } else { self.level }
    }
}

/// Holds every requirement of every sheet.
#[derive(Clone, Debug)]
pub struct Requirements {
    by_id: BTreeMap<String, Requirement>,
    exempt: BTreeMap<String, String>,
}

/// Tells what becomes of the requirements of one sheet.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// Requirements in all.
    pub total: usize,
    /// Cited by a case.
    pub covered: usize,
    /// Not cited, with a reason.
    pub exempt: usize,
    /// Neither.
    pub open: usize,
}

#[derive(Deserialize)]
struct Sheet {
    requirements: Vec<Requirement>,
}

#[derive(Deserialize)]
struct Exemptions {
    exempt: Vec<Exemption>,
}

#[derive(Deserialize)]
struct Exemption {
    ids: Vec<String>,
    reason: String,
}

const SHEETS: [&str; 6] = [
    include_str!("../../../fixtures/catalogue/gdoi.json"),
    include_str!("../../../fixtures/catalogue/ikev1.json"),
    include_str!("../../../fixtures/catalogue/esp.json"),
    include_str!("../../../fixtures/catalogue/gikev2.json"),
    include_str!("../../../fixtures/catalogue/getvpn.json"),
    include_str!("../../../fixtures/catalogue/own.json"),
];
const EXEMPTIONS: &str = include_str!("../../../fixtures/catalogue/exempt.toml");

impl Requirements {
    /// Gives the requirements that are built into the program.
    ///
    /// # Panics
    /// Never in a build that passed its tests: the texts are part of the program and a test reads them.
    pub fn embedded() -> &'static Self {
        static EMBEDDED: OnceLock<Requirements> = OnceLock::new();
        EMBEDDED.get_or_init(|| match Self::parse(&SHEETS, EXEMPTIONS) {
            Ok(requirements) => requirements,
            Err(fault) => unreachable!("the embedded catalogue is broken: {fault}"),
        })
    }

    /// Reads sheets (JSON) and exemptions (TOML).
    ///
    /// # Errors
    /// One sentence that says what cannot be read, which id stands twice or which exemption names no requirement.
    pub fn parse(sheets: &[&str], exemptions: &str) -> Result<Self, String> {
        let mut by_id = BTreeMap::new();
        for sheet in sheets {
            let sheet: Sheet = serde_json::from_str(sheet).map_err(|e| e.to_string())?;
            for requirement in sheet.requirements {
                if let Some(double) = by_id.insert(requirement.id.clone(), requirement) {
                    return Err(format!("{} stands twice", double.id));
                }
            }
        }
        let mut exempt = BTreeMap::new();
        let exemptions: Exemptions = toml::from_str(exemptions).map_err(|e| e.to_string())?;
        for exemption in exemptions.exempt {
            if exemption.reason.trim().is_empty() {
                return Err(format!("the exemption of {} has no reason", exemption.ids.join(", ")));
            }
            for pattern in exemption.ids {
                let prefix = pattern.strip_suffix('*');
                let ids: Vec<String> =
                    by_id.keys().filter(|id| prefix.map_or(**id == pattern, |p| id.starts_with(p))).cloned().collect();
                if ids.is_empty() {
                    return Err(format!("the exemption `{pattern}` names no requirement"));
                }
                for id in ids {
                    exempt.entry(id).or_insert_with(|| exemption.reason.clone());
                }
            }
        }
        Ok(Self { by_id, exempt })
    }

    /// Finds a requirement by its identifier.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Requirement> {
        self.by_id.get(id)
    }

    /// Walks all requirements in the order of their identifiers.
    pub fn iter(&self) -> impl Iterator<Item = &Requirement> {
        self.by_id.values()
    }

    /// Counts them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Says why no case judges a requirement, if that is a decision.
    #[must_use]
    pub fn exemption(&self, id: &str) -> Option<&str> {
        self.exempt.get(id).map(String::as_str)
    }

    /// Counts, sheet by sheet, what the cases cover. A requirement that a case cites counts as covered even when an
    /// exemption names it too.
    pub fn coverage<'a>(&self, cases: impl IntoIterator<Item = &'a CaseInfo>) -> BTreeMap<String, Coverage> {
        let cited: std::collections::BTreeSet<&str> =
            cases.into_iter().flat_map(|case| case.requirements.iter().copied()).collect();
        let mut sheets: BTreeMap<String, Coverage> = BTreeMap::new();
        for requirement in self.iter() {
            let sheet = sheets.entry(requirement.sheet.clone()).or_default();
            sheet.total += 1;
            if cited.contains(requirement.id.as_str()) {
                sheet.covered += 1;
            } else if self.exempt.contains_key(&requirement.id) {
                sheet.exempt += 1;
            } else {
                sheet.open += 1;
            }
        }
        sheets
    }

    /// Lists the requirements that neither a case cites nor an exemption names.
    pub fn open<'a>(&self, cases: impl IntoIterator<Item = &'a CaseInfo>) -> Vec<&Requirement> {
        let cited: std::collections::BTreeSet<&str> =
            cases.into_iter().flat_map(|case| case.requirements.iter().copied()).collect();
        self.iter().filter(|r| !cited.contains(r.id.as_str()) && !self.exempt.contains_key(&r.id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_sheets_hold_every_row() {
        let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
        for requirement in Requirements::embedded().iter() {
            *rows.entry(requirement.sheet.as_str()).or_default() += 1;
            assert!(!requirement.statement.is_empty() && !requirement.section.is_empty(), "{}", requirement.id);
        }
        let rows: Vec<(&str, usize)> = rows.into_iter().collect();
        assert_eq!(rows, [("esp", 100), ("gdoi", 538), ("getvpn", 290), ("gikev2", 111), ("ikev1", 232), ("own", 3)]);
    }

    #[test]
    fn levels_follow_the_sheets_own_rules() {
        let requirements = Requirements::embedded();
        let judged = |id: &str| requirements.get(id).map(Requirement::judged_as);
        assert_eq!(judged("GDOI-P1-001"), Some(Level::Must));
        assert_eq!(judged("GDOI-ALG-002"), Some(Level::Should));
        assert_eq!(judged("GDOI-PULL-005"), Some(Level::Must), "stated as fact");
        assert_eq!(judged("GDOI-P1-019"), Some(Level::Should), "derived");
        assert_eq!(judged("GDOI-P1-006"), Some(Level::May));
        assert_eq!(judged("IKE-DOS-007"), Some(Level::Should), "hardening");
        assert_eq!(judged("IKE-DOS-012"), Some(Level::Should));
        assert_eq!(judged("ESP-011"), Some(Level::Should), "derived");
        assert_eq!(judged("ESP-001"), Some(Level::Must));
        assert_eq!(judged("GIK-018"), Some(Level::Must), "MN");
        assert_eq!(judged("REPLAY-013"), Some(Level::Should), "advisory");
        assert_eq!(judged("REPLAY-002"), Some(Level::Must));
        assert_eq!(judged("NOPE-001"), None);
    }

    #[test]
    fn coverage_tells_cited_exempt_and_open_apart() {
        let sheet = r#"{"requirements":[
            {"id":"A-001","level":"MUST","word":"MUST","subject":"KS","statement":"s","source":"x","sheet":"t","section":"1","observation":"","hardening":false},
            {"id":"A-002","level":"MUST","word":"MUST","subject":"KS","statement":"s","source":"x","sheet":"t","section":"1","observation":"","hardening":false},
            {"id":"A-003","level":"MUST","word":"MUST","subject":"KS","statement":"s","source":"x","sheet":"t","section":"1","observation":"","hardening":false}]}"#;
        let exempt = "[[exempt]]\nids = [\"A-002\"]\nreason = \"needs a data plane\"";
        let requirements = Requirements::parse(&[sheet], exempt).expect("reads");
        let case = CaseInfo { requirements: &["A-001"], ..CaseInfo::BLANK };
        assert_eq!(requirements.coverage([&case])["t"], Coverage { total: 3, covered: 1, exempt: 1, open: 1 });
        assert_eq!(requirements.open([&case])[0].id, "A-003");
        assert!(Requirements::parse(&[sheet, sheet], exempt).is_err_and(|e| e.contains("twice")));
        assert!(Requirements::parse(&[sheet], &exempt.replace("A-002", "B-*")).is_err_and(|e| e.contains("names no")));
        assert!(Requirements::parse(&[sheet], &exempt.replace("needs a data plane", "")).is_err());
    }
}
