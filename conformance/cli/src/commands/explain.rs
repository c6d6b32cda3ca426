//! `hallmark explain`: what a case, a requirement, a check, a defect or a variant is about.

use std::fmt::Write as _;

use hallmark_catalogue::{CaseInfo, Level, Requirements, suggest};

use crate::failure::{Done, Failure};
use crate::printed;
use crate::switches;

/// Explains a case, a requirement, a check, a defect or a variant.
#[derive(clap::Args, Debug)]
pub(crate) struct ExplainArgs {
    /// What to explain: KEKSEQ-004, GDOI-PUSH-039, gm_no_seqcheck ...
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(args: &ExplainArgs) -> Done {
    let mut text = String::new();
    for (number, name) in args.names.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        text += &explain(name)?;
    }
    printed(&text)
}

fn explain(name: &str) -> Done<String> {
    let cases: Vec<&'static CaseInfo> = hallmark_suite::all().into_iter().map(|case| &case.info).collect();
    let requirements = Requirements::embedded();
    let mut parts = Vec::new();
    if let Some(case) = cases.iter().find(|case| case.id.eq_ignore_ascii_case(name)) {
        parts.push(explain_case(case));
    }
    let id = name.to_uppercase();
    if requirements.get(&id).is_some() && !cases.iter().any(|case| case.id == id) {
        parts.push(explain_requirement(&id, &cases));
    }
    let defect = switches::defect(name).map(|d| ("defect", d.name, d.sentence, d.reference));
    let variant = switches::variant(name).map(|v| ("legal variant", v.name, v.sentence, v.reference));
    if let Some((kind, name, describe, reference)) = defect.or(variant) {
        parts.push(explain_switch(kind, name, describe, reference, &cases));
    }
    if parts.is_empty()
        && let Some(told) = explain_check(name)
    {
        parts.push(told);
    }
    if parts.is_empty() {
        let known = cases
            .iter()
            .map(|case| case.id)
            .chain(requirements.iter().map(|requirement| requirement.id.as_str()))
            .chain(switches::defects().map(|known| known.name))
            .chain(switches::variants().map(|known| known.name));
        let hint = suggest::did_you_mean(name, known);
        return Err(Failure::usage(format!(
            "nothing is called `{name}`{hint}\nA check is found by its name in the newest run below runs/, if there is one."
        )));
    }
    Ok(parts.join("\n"))
}

fn explain_case(case: &CaseInfo) -> String {
    let mut text = format!("{}  {}\n\n", case.id, case.title);
    wrap(&mut text, "", case.purpose);
    let needs: Vec<&str> = case.needs.iter().map(|need| need.as_str()).collect();
    let needs = if needs.is_empty() { "the network only".to_owned() } else { needs.join(", ") };
    let strength = match case.level {
        Level::Must => "MUST: a violation fails",
        Level::Should => "SHOULD: a violation warns",
        Level::May => "MAY: the choice is recorded",
    };
    let _ = write!(
        text,
        "\njudges   {} ({})\nlevel    {strength}\nneeds    {needs}\ncost     {} s of the subject's time\nsources  {}\n",
        case.subject,
        case.area,
        case.cost_secs,
        case.sources.join("; ")
    );
    text += "\nrequirements\n";
    for id in case.requirements {
        match Requirements::embedded().get(id) {
            Some(requirement) => {
                let _ = writeln!(text, "  {id}  {} ({})", requirement.word, requirement.source);
                wrap(&mut text, "      ", &requirement.statement);
            }
            None => {
                let _ = writeln!(text, "  {id}");
            }
        }
    }
    text += "\nmust catch\n";
    for name in case.catches {
        let describe =
            switches::defect(name).map_or("unknown to this version of the reference", |known| known.sentence);
        let _ = writeln!(text, "  {name}");
        wrap(&mut text, "      ", describe);
    }
    let first = case.catches.first().copied().unwrap_or("NAME");
    let (plain, caught) = (format!("hallmark run {}", case.id), format!("hallmark run {} --defect {first}", case.id));
    let width = caught.len();
    let _ = write!(text, "\ntry\n  {plain:width$}  against the reference in the lab\n  {caught}  see it fail\n");
    text
}

fn explain_requirement(id: &str, cases: &[&'static CaseInfo]) -> String {
    let requirements = Requirements::embedded();
    let Some(requirement) = requirements.get(id) else { return String::new() };
    let mut text =
        format!("{id}  {} for {}  ({})\n\n", requirement.word, requirement.subject.as_str(), requirement.source);
    wrap(&mut text, "", &requirement.statement);
    let _ = writeln!(text, "\nsheet    {}, {}", requirement.sheet, requirement.section);
    let judged = match requirement.judged_as() {
        Level::Must => "a violation fails",
        Level::Should => "a violation warns",
        Level::May => "the choice is recorded",
    };
    let _ = writeln!(text, "judged   {judged}");
    if !requirement.observation.is_empty() {
        let _ = writeln!(text, "seen by  {}", requirement.observation);
    }
    let citing: Vec<&&CaseInfo> = cases.iter().filter(|case| case.requirements.contains(&id)).collect();
    if citing.is_empty() {
        let why = requirements.exemption(id).unwrap_or("open: no case judges it yet");
        let _ = writeln!(text, "\nno case judges it\n  {why}");
    } else {
        text += "\njudged by\n";
        for case in citing {
            let _ = writeln!(text, "  {}  {}", case.id, case.title);
        }
    }
    text
}

/// Explains a check from the newest run below `runs/`: checks are named where they are made.
fn explain_check(name: &str) -> Option<String> {
    let mut runs: Vec<_> = std::fs::read_dir("runs").ok()?.filter_map(Result::ok).map(|entry| entry.path()).collect();
    // The name of a run folder begins with its time.
    runs.sort();
    let results = runs.iter().rev().find_map(|run| hallmark_report::files::read(run).ok())?;
    let mut text = String::new();
    for case in &results.cases {
        for check in case.checks.iter().filter(|check| check.id == name) {
            if text.is_empty() {
                let _ = write!(text, "{name}  check ({})\n\nexpected\n", check.level);
                wrap(&mut text, "  ", &check.expected);
                let _ = writeln!(text, "\nrequirements\n  {}", check.requirements.join(" "));
                let _ = writeln!(text, "\nmade by, and seen in {}", results.run.id);
            }
            let _ = writeln!(text, "  {}  {}", case.id, case.title);
            let word = if check.ok { "held" } else { "did not hold" };
            wrap(&mut text, "      ", &format!("{word}: {}", check.observed));
        }
    }
    (!text.is_empty()).then_some(text)
}

fn explain_switch(kind: &str, name: &str, describe: &str, reference: &str, cases: &[&'static CaseInfo]) -> String {
    let mut text = format!("{name}  {kind} ({reference})\n\n");
    wrap(&mut text, "", describe);
    let catching: Vec<&&CaseInfo> = cases.iter().filter(|case| case.catches.contains(&name)).collect();
    if kind == "defect" {
        text += if catching.is_empty() { "\nno case must catch it\n" } else { "\nmust be caught by\n" };
        for case in &catching {
            let _ = writeln!(text, "  {}  {}", case.id, case.title);
        }
        let _ = write!(text, "\ntry\n  hallmark prove --defect {name}\n");
        if let Some(case) = catching.first() {
            let _ = writeln!(text, "  hallmark run {} --defect {name}", case.id);
        }
    } else {
        let _ = write!(text, "\nno case may punish it\n\ntry\n  hallmark prove --variant {name}\n");
    }
    text
}

/// Writes a text in lines of at most 100 columns.
fn wrap(text: &mut String, indent: &str, words: &str) {
    let mut line = String::new();
    for word in words.split_whitespace() {
        if !line.is_empty() && indent.len() + line.chars().count() + 1 + word.chars().count() > 100 {
            let _ = writeln!(text, "{indent}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    if !line.is_empty() {
        let _ = writeln!(text, "{indent}{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_at_words() {
        let mut text = String::new();
        wrap(&mut text, "  ", &"word ".repeat(50));
        assert!(text.lines().count() == 3 && text.lines().all(|line| line.len() <= 100 && line.starts_with("  word")));
    }

    #[test]
    fn a_requirement_and_a_defect_explain_themselves_and_the_unknown_gets_a_suggestion() {
        let told = explain("gdoi-push-039").expect("is known");
        assert!(told.contains("GDOI-PUSH-039") && told.contains("judged"), "{told}");
        let name = switches::defects().next().expect("a defect").name;
        assert!(explain(name).expect("is known").contains("hallmark prove --defect"));
        assert!(explain("GDOI-PUSH-0399").is_err_and(|failure| failure.message.contains("did you mean")));
    }
}
