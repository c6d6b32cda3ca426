//! The conformance cases, in modules named after what they judge.
//!
//! A case is a function over [`Cx`]: it starts its subject from a [`setup`], talks to it through the scripted peers of
//! `hallmark-probe`, and writes checks and controls into its book. [`scene`] has the usual beginning and end of a case
//! about key management, [`data`] the kit of cases about traffic. [`all`] lists every case.

pub mod cases;
pub mod cx;
pub mod data;
pub mod rule;
pub mod scene;
pub mod setup;

use hallmark_catalogue::CaseInfo;

pub use cx::{Cx, Flow, Stop};

/// Is one case: its description and its function.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it is.
    pub info: CaseInfo,
    /// What it does.
    pub run: fn(&mut Cx<'_>) -> Flow,
}

/// Lists every case, ordered by id.
#[must_use]
pub fn all() -> Vec<&'static Case> {
    let mut all: Vec<&'static Case> = cases::MODULES.iter().flat_map(|module| module.iter()).collect();
    all.sort_by_key(|case| case.info.id);
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hallmark_catalogue::Requirements;

    #[test]
    fn every_case_is_described_in_full_and_has_an_id_of_its_own() {
        let mut ids = BTreeSet::new();
        for case in crate::all() {
            assert_eq!(case.info.lint(Requirements::embedded()), Vec::<String>::new());
            assert!(ids.insert(case.info.id), "{} stands twice", case.info.id);
        }
        assert!(!ids.is_empty());
    }
}
