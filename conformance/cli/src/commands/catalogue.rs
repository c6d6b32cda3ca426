//! `hallmark catalogue`: requirements, what judges them, and the switches of the reference.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hallmark_catalogue::{CaseInfo, Requirements, listing, suggest};
use serde_json::json;

use crate::failure::{Done, Failure};
use crate::printed;
use crate::switches;

/// Shows the catalogue behind the suite.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum CatalogueCommand {
    /// Shows which requirements are judged by a case, exempt with a reason, or open, sheet by sheet.
    Trace {
        /// Only this sheet, with every requirement: gdoi, ikev1, getvpn, esp, gikev2.
        #[arg(long, value_name = "SHEET")]
        spec: Option<String>,
        /// Only requirements that no case judges and no reason exempts.
        #[arg(long)]
        open: bool,
        /// How it is written.
        #[arg(long, value_name = "FORMAT", default_value = "table")]
        format: TraceFormat,
    },
    /// Writes requirements, cases, defects and variants as one JSON document.
    Export,
    /// Lists the wrong behaviours of the reference that can be switched on.
    Defects,
    /// Lists the legal differences of the reference that can be switched on.
    Variants,
}

/// How a trace is written.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TraceFormat {
    Table,
    Json,
    Md,
}

/// Runs the command.
pub(crate) fn run(command: &CatalogueCommand) -> Done {
    let cases: Vec<&'static CaseInfo> = hallmark_suite::all().into_iter().map(|case| &case.info).collect();
    match command {
        CatalogueCommand::Trace { spec, open, format } => trace(&cases, spec.as_deref(), *open, *format),
        CatalogueCommand::Export => printed(&export(&cases)?),
        CatalogueCommand::Defects => {
            let rows = switches::defects().map(|d| (d.name, d.reference, d.sentence));
            let caught = |name: &str| cases.iter().filter(|case| case.catches.contains(&name)).count().to_string();
            printed(&rows_of(rows, "CASES", &caught))
        }
        CatalogueCommand::Variants => {
            let rows = switches::variants().map(|v| (v.name, v.reference, v.sentence));
            printed(&rows_of(rows, "", &|_| String::new()))
        }
    }
}

fn rows_of<'a>(
    rows: impl Iterator<Item = (&'a str, &'a str, &'a str)>,
    extra: &str,
    cell: &dyn Fn(&str) -> String,
) -> String {
    let rows: Vec<_> = rows.collect();
    let name = rows.iter().map(|row| row.0.len()).max().unwrap_or(0).max(4);
    let from = rows.iter().map(|row| row.1.chars().count()).max().unwrap_or(0).max(4);
    let gap = if extra.is_empty() { 0 } else { extra.len() + 2 };
    let mut text = format!("{:name$}  {:from$}  {:gap$}WHAT CHANGES\n", "NAME", "FROM", extra);
    for (switch, reference, describe) in &rows {
        let _ = writeln!(text, "{switch:name$}  {reference:from$}  {:gap$}{describe}", cell(switch));
    }
    let _ = writeln!(text, "{} in all", rows.len());
    text
}

fn trace(cases: &[&'static CaseInfo], spec: Option<&str>, open: bool, format: TraceFormat) -> Done {
    let requirements = Requirements::embedded();
    let coverage = requirements.coverage(cases.iter().copied());
    if let Some(sheet) = spec
        && !coverage.contains_key(sheet)
    {
        let hint = suggest::did_you_mean(sheet, coverage.keys().map(String::as_str));
        let known: Vec<&str> = coverage.keys().map(String::as_str).collect();
        return Err(Failure::usage(format!("no sheet is called `{sheet}`{hint}; there are {}", known.join(", "))));
    }
    let mut judged: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for case in cases {
        for id in case.requirements {
            judged.entry(id).or_default().push(case.id);
        }
    }
    if format == TraceFormat::Json {
        let rows: Vec<_> = requirements
            .iter()
            .filter(|requirement| spec.is_none_or(|sheet| sheet == requirement.sheet))
            .map(|requirement| {
                json!({
                    "id": requirement.id,
                    "sheet": requirement.sheet,
                    "level": requirement.level,
                    "cases": judged.get(requirement.id.as_str()).cloned().unwrap_or_default(),
                    "exempt": requirements.exemption(&requirement.id),
                })
            })
            .filter(|row| !open || row["cases"].as_array().is_some_and(Vec::is_empty) && row["exempt"].is_null())
            .collect();
        let text = serde_json::to_string_pretty(&json!({
            "schema": "hallmark.trace/1",
            "coverage": coverage,
            "requirements": rows,
        }))
        .map_err(Failure::internal)?;
        return printed(&(text + "\n"));
    }
    let markdown = format == TraceFormat::Md;
    let mut text = String::new();
    if markdown {
        text += "| sheet | requirements | judged | exempt | open |\n|---|---:|---:|---:|---:|\n";
    } else {
        let _ =
            writeln!(text, "{:8}  {:>12}  {:>6}  {:>6}  {:>6}", "SHEET", "REQUIREMENTS", "JUDGED", "EXEMPT", "OPEN");
    }
    for (sheet, row) in coverage.iter().filter(|(sheet, _)| spec.is_none_or(|wanted| wanted == *sheet)) {
        let _ = if markdown {
            writeln!(text, "| {sheet} | {} | {} | {} | {} |", row.total, row.covered, row.exempt, row.open)
        } else {
            writeln!(text, "{sheet:8}  {:>12}  {:>6}  {:>6}  {:>6}", row.total, row.covered, row.exempt, row.open)
        };
    }
    if spec.is_some() || open {
        text.push('\n');
        for requirement in requirements.iter().filter(|r| spec.is_none_or(|sheet| sheet == r.sheet)) {
            let id = requirement.id.as_str();
            let how = match (judged.get(id), requirements.exemption(id)) {
                (Some(cases), _) => cases.join(" "),
                (None, Some(why)) => format!("exempt: {why}"),
                (None, None) => "OPEN".to_owned(),
            };
            if open && how != "OPEN" {
                continue;
            }
            let said = if open { requirement.statement.as_str() } else { &how };
            let _ = if markdown {
                writeln!(text, "- `{id}` {} {}", requirement.word, said.replace('|', "\\|"))
            } else {
                writeln!(text, "{id:16}  {:10}  {said}", requirement.word)
            };
        }
    }
    printed(&text)
}

fn export(cases: &[&'static CaseInfo]) -> Done<String> {
    let list: serde_json::Value =
        serde_json::from_str(&listing::list(cases, listing::Format::Json)).map_err(Failure::internal)?;
    let requirements: Vec<_> = Requirements::embedded()
        .iter()
        .map(|r| {
            json!({
                "id": r.id, "sheet": r.sheet, "section": r.section, "level": r.level, "word": r.word,
                "subject": r.subject.as_str(), "statement": r.statement, "source": r.source,
                "observation": r.observation, "judged_as": r.judged_as(),
                "exempt": Requirements::embedded().exemption(&r.id),
            })
        })
        .collect();
    let defects: Vec<_> = switches::defects()
        .map(|d| json!({ "name": d.name, "reference": d.reference, "describe": d.sentence }))
        .collect();
    let variants: Vec<_> = switches::variants()
        .map(|v| json!({ "name": v.name, "reference": v.reference, "describe": v.sentence }))
        .collect();
    let text = serde_json::to_string_pretty(&json!({
        "schema": "hallmark.catalogue/1",
        "version": env!("CARGO_PKG_VERSION"),
        "suite_hash": crate::suite_hash(),
        "cases": list,
        "requirements": requirements,
        "defects": defects,
        "variants": variants,
    }))
    .map_err(Failure::internal)?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::AtomicBool;

    use hallmark_runner::Plan;
    use hallmark_runner::lab_world::LabWorlds;

    use super::*;
    use crate::subject::Reference;

    /// What a case judges only where its subject does what it may leave, and the reference leaves.
    const CONDITIONAL: &[(&str, &str, &str)] = &[
        ("IKER-033", "IKE-INF-014", "the server says INITIAL-CONTACT"),
        ("IKER-036", "IKE-MM-019", "the server offers NAT traversal without being told to"),
        ("PULLG-080", "GDOI-PULL-069", "the member, which has been heard, falls silent before its request"),
    ];

    // The trace rests on what the cases list; their checks are what a run judges.
    #[test]
    fn every_case_lists_exactly_the_requirements_that_its_checks_cite() {
        let cases = hallmark_suite::all();
        let jobs = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let plan = Plan { cases, seed: 1, jobs, repeat: 1, retries: 0, max_fail: None };
        let worlds = LabWorlds { subjects: Reference::default() };
        let results = hallmark_runner::run(&plan, &worlds, &AtomicBool::new(false), &mut |_| {});
        assert_eq!(results.len(), plan.cases.len());
        let mut faults = Vec::new();
        for result in &results {
            let mut cited: BTreeMap<&str, &str> = BTreeMap::new();
            for check in &result.checks {
                cited.extend(check.requirements.iter().map(|id| (id.as_str(), check.id.as_str())));
            }
            let listed: BTreeSet<&str> = result.requirements.iter().map(String::as_str).collect();
            for (id, check) in cited.iter().filter(|(id, _)| !listed.contains(*id)) {
                faults.push(format!("{}: its check {check} cites {id}, which it does not list", result.id));
            }
            let uncited: BTreeSet<&str> = listed.into_iter().filter(|id| !cited.contains_key(id)).collect();
            let conditional =
                CONDITIONAL.iter().filter(|(case, ..)| *case == result.id).map(|(_, id, _)| *id).collect();
            for id in uncited.difference(&conditional) {
                faults.push(format!("{}: it lists {id}, which none of its checks cites", result.id));
            }
            for id in conditional.difference(&uncited) {
                faults.push(format!("{}: {id} is cited without any condition", result.id));
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}
