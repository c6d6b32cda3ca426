//! The kill matrix: the proof that the suite catches what it claims to catch, and punishes nothing that is legal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Is the proof.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct KillMatrix {
    /// Always `hallmark.prove/1`.
    pub schema: String,
    /// Version of the program.
    pub version: String,
    /// The seed that decided everything.
    pub seed: String,
    /// Real time taken, in milliseconds.
    pub wall_ms: u64,
    /// Whether the proof holds.
    pub ok: bool,
    /// Every case that took part.
    pub cases: Vec<ProvenCase>,
    /// Every defect that was switched on.
    pub defects: Vec<ProvenDefect>,
    /// Every legal variant that was switched on.
    pub variants: Vec<ProvenVariant>,
    /// What is missing, one sentence each.
    pub faults: Vec<String>,
}

/// Is one case with what it caught.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ProvenCase {
    /// Its id.
    pub id: String,
    /// The defects that it must catch.
    pub must_catch: Vec<String>,
    /// The defects that it caught.
    pub catches: Vec<String>,
    /// Its word against the sound reference.
    pub baseline: String,
}

/// Is one defect with what caught it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ProvenDefect {
    /// Its name.
    pub name: String,
    /// What it does.
    pub describe: String,
    /// Where it is known from.
    pub reference: String,
    /// The cases that caught it.
    pub caught_by: Vec<String>,
}

/// Is one variant with what punished it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ProvenVariant {
    /// Its name.
    pub name: String,
    /// What it does.
    pub describe: String,
    /// The cases that punished it, with their word.
    pub punished_by: Vec<String>,
    /// The cases that were run against it.
    pub cases: usize,
}

impl KillMatrix {
    /// Begins a proof.
    #[must_use]
    pub fn new(version: &str, seed: &str) -> Self {
        Self {
            schema: "hallmark.prove/1".to_owned(),
            version: version.to_owned(),
            seed: seed.to_owned(),
            ..Self::default()
        }
    }

    /// Adds a case with its word against the sound reference.
    pub fn case(&mut self, id: &str, must_catch: &[&str], baseline: &str) {
        self.cases.push(ProvenCase {
            id: id.to_owned(),
            must_catch: must_catch.iter().map(|&name| name.to_owned()).collect(),
            catches: Vec::new(),
            baseline: baseline.to_owned(),
        });
    }

    /// Adds a defect with the cases that caught it: those whose word was fail or warn.
    pub fn defect(&mut self, name: &str, describe: &str, reference: &str, caught_by: Vec<String>) {
        self.defects.push(ProvenDefect {
            name: name.to_owned(),
            describe: describe.to_owned(),
            reference: reference.to_owned(),
            caught_by,
        });
    }

    /// Adds a variant with the cases that punished it: those whose word was neither the baseline's nor pass or n/a.
    pub fn variant(&mut self, name: &str, describe: &str, cases: usize, punished_by: Vec<String>) {
        self.variants.push(ProvenVariant { name: name.to_owned(), describe: describe.to_owned(), punished_by, cases });
    }

    /// Draws the conclusion: sorts, links cases to the defects that they caught, and says what is missing.
    ///
    /// `partial` is for a proof over some of the cases only: then a defect counts as missed only when a case that took
    /// part must catch it.
    pub fn conclude(&mut self, partial: bool) {
        let mut catches: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for defect in &mut self.defects {
            defect.caught_by.sort();
            defect.caught_by.dedup();
            for id in &defect.caught_by {
                catches.entry(id.clone()).or_default().insert(defect.name.clone());
            }
        }
        self.defects.sort_by(|a, b| a.name.cmp(&b.name));
        self.variants.sort_by(|a, b| a.name.cmp(&b.name));
        self.cases.sort_by(|a, b| a.id.cmp(&b.id));
        let known: BTreeSet<&str> = self.defects.iter().map(|defect| defect.name.as_str()).collect();
        let mut faults = Vec::new();
        for case in &mut self.cases {
            case.catches = catches.remove(&case.id).unwrap_or_default().into_iter().collect();
            if !matches!(case.baseline.as_str(), "pass" | "info") {
                faults.push(format!("{} ends as {} against the sound reference", case.id, case.baseline));
            }
            if case.catches.is_empty() {
                faults.push(format!("{} catches no defect", case.id));
            }
            for name in &case.must_catch {
                if !known.contains(name.as_str()) {
                    let hint = hallmark_catalogue::suggest::did_you_mean(name, known.iter().copied());
                    faults.push(format!("{} must catch `{name}`, which does not exist{hint}", case.id));
                } else if !case.catches.contains(name) {
                    faults.push(format!("{} must catch {name} but did not", case.id));
                }
            }
        }
        let demanded: BTreeSet<&str> = self.cases.iter().flat_map(|c| &c.must_catch).map(String::as_str).collect();
        for defect in self.defects.iter().filter(|defect| defect.caught_by.is_empty()) {
            if !partial || demanded.contains(defect.name.as_str()) {
                faults.push(format!("no case catches {}", defect.name));
            }
        }
        for variant in self.variants.iter().filter(|variant| !variant.punished_by.is_empty()) {
            faults.push(format!(
                "the legal variant {} is punished by {}",
                variant.name,
                variant.punished_by.join(", ")
            ));
        }
        if self.cases.is_empty() || self.defects.is_empty() {
            faults.push("nothing was proven: no case or no defect took part".to_owned());
        }
        self.ok = faults.is_empty();
        self.faults = faults;
    }

    /// Writes the proof as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }

    /// Writes the proof for people: defects with their killers, variants, what is missing, and the sum.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let width = self.defects.iter().map(|d| d.name.len()).chain(self.variants.iter().map(|v| v.name.len())).max();
        let width = width.unwrap_or(0);
        let _ = writeln!(text, "DEFECTS");
        for defect in &self.defects {
            let by = match defect.caught_by.as_slice() {
                [] => "MISSED".to_owned(),
                few if few.len() <= 6 => few.join(" "),
                many => format!("{} and {} more", many.get(..5).unwrap_or(many).join(" "), many.len() - 5),
            };
            let _ = writeln!(text, "  {:width$}  {by}", defect.name);
        }
        let _ = writeln!(text, "\nLEGAL VARIANTS");
        for variant in &self.variants {
            let by = if variant.punished_by.is_empty() {
                format!("unpunished by {} cases", variant.cases)
            } else {
                format!("PUNISHED by {}", variant.punished_by.join(" "))
            };
            let _ = writeln!(text, "  {:width$}  {by}", variant.name);
        }
        if !self.faults.is_empty() {
            let _ = writeln!(text, "\nWHAT IS MISSING");
            for fault in &self.faults {
                let _ = writeln!(text, "  {fault}");
            }
        }
        let caught = self.defects.iter().filter(|d| !d.caught_by.is_empty()).count();
        let spared = self.variants.iter().filter(|v| v.punished_by.is_empty()).count();
        let killers = self.cases.iter().filter(|c| !c.catches.is_empty()).count();
        let _ = writeln!(
            text,
            "\n{killers} of {} cases catch a defect, {caught} of {} defects are caught, {spared} of {} legal variants \
             are unpunished, {:.1} s: {}",
            self.cases.len(),
            self.defects.len(),
            self.variants.len(),
            self.wall_ms as f64 / 1000.0,
            if self.ok { "the proof holds" } else { "THE PROOF DOES NOT HOLD" }
        );
        text
    }

    /// Writes the whole matrix, cases against defects, as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::from("| defect | what it does | known from | caught by |\n|---|---|---|---|\n");
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        for defect in &self.defects {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                defect.name,
                cell(&defect.describe),
                cell(&defect.reference),
                defect.caught_by.join(", ")
            );
        }
        text.push_str("\n| legal variant | what it does | punished by |\n|---|---|---|\n");
        for variant in &self.variants {
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                variant.name,
                cell(&variant.describe),
                variant.punished_by.join(", ")
            );
        }
        text.push_str("\n| case | must catch | catches |\n|---|---|---|\n");
        for case in &self.cases {
            let _ = writeln!(text, "| {} | {} | {} |", case.id, case.must_catch.join(", "), case.catches.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> KillMatrix {
        let mut matrix = KillMatrix::new("0.1.0", "7");
        matrix.case("A-001", &["ks_kekseq_reset"], "pass");
        matrix.case("A-002", &["gm_no_seqcheck"], "pass");
        matrix.defect("ks_kekseq_reset", "restarts", "P01", vec!["A-001".into()]);
        matrix.defect("gm_no_seqcheck", "accepts replays", "P02", vec!["A-002".into(), "A-001".into()]);
        matrix.variant("notify_instead_of_silence", "legal", 2, Vec::new());
        matrix
    }

    #[test]
    fn a_complete_matrix_holds() {
        let mut matrix = matrix();
        matrix.conclude(false);
        assert!(matrix.ok, "{:?}", matrix.faults);
        assert_eq!(matrix.cases[0].catches, ["gm_no_seqcheck", "ks_kekseq_reset"]);
        assert!(
            matrix.text().contains("2 of 2 cases catch a defect, 2 of 2 defects are caught, 1 of 1 legal variants")
        );
        assert!(matrix.markdown().contains("| gm_no_seqcheck | accepts replays | P02 | A-001, A-002 |"));
        let value: serde_json::Value = serde_json::from_str(&matrix.to_json()).expect("json");
        assert_eq!(value["defects"][0]["caught_by"][1], "A-002");
        assert_eq!(value["variants"][0]["punished_by"], serde_json::json!([]));
    }

    #[test]
    fn each_kind_of_gap_makes_the_proof_fail() {
        let broken = |change: &dyn Fn(&mut KillMatrix)| {
            let mut matrix = matrix();
            change(&mut matrix);
            matrix.conclude(false);
            assert!(!matrix.ok);
            matrix.faults.join("; ")
        };
        assert!(broken(&|m| m.defects[0].caught_by.clear()).contains("no case catches ks_kekseq_reset"));
        assert!(broken(&|m| m.defects[1].caught_by = vec!["A-001".into()]).contains("A-002 catches no defect"));
        assert!(broken(&|m| m.cases[0].must_catch = vec!["ks_kekseq_rest".into()]).contains("did you mean"));
        assert!(
            broken(&|m| m.cases[1].must_catch.push("ks_kekseq_reset".into()))
                .contains("must catch ks_kekseq_reset but did not")
        );
        assert!(broken(&|m| m.variants[0].punished_by.push("A-001 fail".into())).contains("punished by A-001 fail"));
        assert!(broken(&|m| m.cases[0].baseline = "fail".into()).contains("ends as fail"));
        assert!(broken(&|m| m.cases.clear()).contains("nothing was proven"));
    }

    #[test]
    fn a_partial_proof_asks_only_for_what_its_cases_must_catch() {
        let mut matrix = matrix();
        matrix.cases.remove(1);
        matrix.defects[1].caught_by.clear();
        matrix.conclude(true);
        assert!(matrix.ok, "{:?}", matrix.faults);
        matrix.conclude(false);
        assert!(!matrix.ok);
    }
}
