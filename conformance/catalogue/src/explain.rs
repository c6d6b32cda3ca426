//! What a case or a requirement means, as text.

use std::fmt::Write as _;

use crate::{CaseInfo, Requirement, Requirements};

/// Columns of the text.
const COLUMNS: usize = 100;

/// Explains a case, a requirement, or both where they share an id.
///
/// # Errors
/// When there is neither, with the nearest id that there is.
pub fn explain(id: &str, cases: &[&CaseInfo]) -> Result<String, String> {
    let requirements = Requirements::embedded();
    let case = cases.iter().find(|case| case.id.eq_ignore_ascii_case(id));
    let requirement = requirements.get(&id.to_ascii_uppercase());
    match (case, requirement) {
        (None, None) => {
            let known = cases.iter().map(|case| case.id).chain(requirements.iter().map(|r| r.id.as_str()));
            Err(format!("neither a case nor a requirement is called `{id}`{}", crate::suggest::did_you_mean(id, known)))
        }
        (case, requirement) => {
            let mut text = case.map(|case| self::case(case, requirements)).unwrap_or_default();
            if let Some(requirement) = requirement {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&self::requirement(requirement, cases, requirements));
            }
            Ok(text)
        }
    }
}

fn case(case: &CaseInfo, requirements: &Requirements) -> String {
    let mut text = format!("case {}  {}\n", case.id, case.title);
    let needs: Vec<&str> = case.needs.iter().map(|need| need.as_str()).collect();
    let needs = if needs.is_empty() { "the network only".to_owned() } else { needs.join(", ") };
    entry(&mut text, "judges", &format!("{} ({}), a {} case", case.subject, case.area, case.level));
    entry(&mut text, "purpose", case.purpose);
    entry(&mut text, "needs", &needs);
    entry(&mut text, "takes", &format!("about {} s on a real device", case.cost_secs));
    entry(&mut text, "catches", &case.catches.join(", "));
    entry(&mut text, "sources", &case.sources.join("; "));
    let _ = writeln!(text, "  requirements");
    for id in case.requirements {
        match requirements.get(id) {
            Some(requirement) => {
                let statement = format!("{} [{}] {}", id, word(requirement), requirement.statement);
                wrapped(&mut text, "    ", &statement);
            }
            None => wrapped(&mut text, "    ", &format!("{id} (unknown)")),
        }
    }
    let _ = writeln!(text, "  run it with  hallmark run {}", case.id);
    text
}

fn requirement(requirement: &Requirement, cases: &[&CaseInfo], requirements: &Requirements) -> String {
    let mut text =
        format!("requirement {}  [{}] {}\n", requirement.id, word(requirement), requirement.subject.as_str());
    entry(&mut text, "statement", &requirement.statement);
    entry(&mut text, "source", &requirement.source);
    entry(&mut text, "sheet", &format!("{}, {}", requirement.sheet, requirement.section));
    entry(&mut text, "seen by", &requirement.observation);
    let judged: Vec<&str> =
        cases.iter().filter(|case| case.requirements.contains(&requirement.id.as_str())).map(|case| case.id).collect();
    match (judged.as_slice(), requirements.exemption(&requirement.id)) {
        ([], Some(reason)) => entry(&mut text, "judged by", &format!("no case: {reason}")),
        ([], None) => entry(&mut text, "judged by", "no case yet"),
        (judged, _) => entry(&mut text, "judged by", &judged.join(", ")),
    }
    text
}

/// Gives the sheet's word and, where it differs, what a violation leads to.
fn word(requirement: &Requirement) -> String {
    if requirement.hardening {
        format!("{}, warns at most unless grave", requirement.word)
    } else if requirement.word == requirement.level.as_str() {
        requirement.word.clone()
    } else {
        format!("{}, judged as {}", requirement.word, requirement.level)
    }
}

fn entry(text: &mut String, name: &str, value: &str) {
    if !value.trim().is_empty() {
        wrapped(text, &format!("  {name:<10} "), value);
    }
}

/// Breaks a text into lines; lines after the first are indented as deep as the first one's heading.
fn wrapped(text: &mut String, heading: &str, value: &str) {
    let indent = " ".repeat(heading.chars().count());
    let mut line = heading.to_owned();
    let mut empty = true;
    for word in value.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            let _ = writeln!(text, "{}", line.trim_end());
            line.clone_from(&indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASE: CaseInfo = CaseInfo {
        id: "KEKSEQ-005",
        area: "gdoi.push.seq",
        title: "a reset is refused",
        purpose: "Replay protection rests on it: a member that accepts an old number under the same KEK can be fed old keys again.",
        requirements: &["GDOI-PUSH-039", "KEKSEQ-005"],
        catches: &["gm_no_seqcheck"],
        ..CaseInfo::BLANK
    };

    #[test]
    fn a_case_and_a_requirement_of_one_id_are_both_explained() {
        let text = explain("kekseq-005", &[&CASE]).expect("known");
        assert!(text.contains("case KEKSEQ-005  a reset is refused"), "{text}");
        assert!(text.contains("hallmark run KEKSEQ-005"), "{text}");
        assert!(text.contains("requirement KEKSEQ-005"), "{text}");
        assert!(text.contains("judged by  KEKSEQ-005"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
    }

    #[test]
    fn an_exempt_requirement_says_why_and_an_unknown_one_what_was_meant() {
        assert!(explain("ESP-034", &[&CASE]).expect("known").contains("no case: needs a unicast SA"));
        assert!(explain("GDOI-PUSH-001", &[&CASE]).expect("known").contains("no case yet"));
        assert!(explain("KEKSEQ-05", &[&CASE]).is_err_and(|e| e.contains("did you mean `KEKSEQ-005`")));
    }
}
