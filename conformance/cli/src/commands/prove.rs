//! `hallmark prove`: shows that the suite catches what it claims to catch and punishes nothing that is legal.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

use hallmark_catalogue::{CaseInfo, ExitCode, Need, Subject, Verdict};
use hallmark_report::KillMatrix;
use hallmark_runner::Worlds;
use hallmark_runner::lab_world::LabWorlds;
use hallmark_runner::prove::{Cell, Proof, ProofPlan, Switch, Switchboard, prove};
use hallmark_suite::Case;

use crate::commands::run::write_copy;
use crate::failure::Done;
use crate::select::SelectArgs;
use crate::subject::Reference;
use crate::switches;
use crate::{interrupt, out, target};

/// The seed of a proof: fixed, because a proof is a test of the suite and not of a subject.
const SEED: u64 = 1;

/// Runs cases against every defect and every legal variant of the reference. The proof holds when the sound reference
/// passes every case, every case catches what it must, every defect is caught, and no variant is punished.
#[derive(clap::Args, Debug)]
pub(crate) struct ProveArgs {
    #[command(flatten)]
    select: SelectArgs,
    /// Only these defects, and no variant unless one is named.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    defect: Vec<String>,
    /// Only these variants, and no defect unless one is named.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    variant: Vec<String>,
    /// Run every case against every defect and variant, not only against those that concern it.
    #[arg(long)]
    full: bool,
    /// Decides every random choice.
    #[arg(long, value_name = "N", default_value_t = SEED)]
    seed: u64,
    /// Attempts that run at once.
    #[arg(long, short, value_name = "N")]
    jobs: Option<usize>,
    /// How the proof is written.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: ProveFormat,
    /// Write the kill matrix as Markdown: kill-matrix for standard output, kill-matrix:PATH for a file.
    #[arg(long, value_name = "REPORT")]
    report: Option<Matrix>,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum ProveFormat {
    Table,
    Json,
}

/// Says where the Markdown goes.
#[derive(Clone, Debug)]
struct Matrix(Option<PathBuf>);

impl FromStr for Matrix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "kill-matrix" => Ok(Self(None)),
            Some(("kill-matrix", path)) if !path.is_empty() => Ok(Self(Some(path.into()))),
            _ => Err("expected kill-matrix or kill-matrix:PATH".to_owned()),
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &ProveArgs) -> Done {
    let selection = args.select.select()?;
    let narrowed = !args.select.filter.is_empty() || args.select.role.is_some() || args.select.shard.is_some();
    let plan = plan(args, &selection.cases, narrowed)?;
    if plan.cases.is_empty() {
        out::note("no case is selected, so nothing can be proven");
        return Ok(ExitCode::Nothing);
    }
    interrupt::listen();
    let started = Instant::now();
    let live = std::io::stderr().is_terminal();
    let proof = prove(&plan, &Lab, interrupt::flag(), &mut |done, all, switch, cell| {
        if live {
            let name = match switch {
                Switch::Conforming => "the sound reference",
                Switch::Defect(name) | Switch::Variant(name) => name,
            };
            eprint_live(&format!("{done}/{all}  {:>3}%  {name}: {}", done * 100 / all.max(1), cell.case));
        }
    });
    if live {
        eprint_live("");
    }
    let mut matrix = matrix(&plan, &proof, args);
    matrix.wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    matrix.conclude(narrowed || !args.defect.is_empty() || !args.variant.is_empty());
    explain_faults(&mut matrix, &proof);
    match (&args.report, args.format) {
        (Some(Matrix(None)), _) => out::print(&matrix.markdown()),
        (_, ProveFormat::Json) => out::print(&matrix.to_json()),
        (_, ProveFormat::Table) => out::print(&matrix.text()),
    }
    if let Some(Matrix(Some(path))) = &args.report {
        write_copy(path, &matrix.markdown())?;
    }
    if proof.stopped {
        return Ok(ExitCode::Incomplete);
    }
    if !matrix.ok {
        out::note("next    hallmark explain CASE, then hallmark run CASE --defect NAME to see one of them");
    }
    Ok(if matrix.ok { ExitCode::Ok } else { ExitCode::Unexpected })
}

/// Decides which cases meet which switches.
fn plan(args: &ProveArgs, selected: &[&'static Case], narrowed: bool) -> Done<ProofPlan> {
    let asked = !args.defect.is_empty() || !args.variant.is_empty();
    let defects: Vec<&'static str> = if asked {
        args.defect.iter().map(|name| target::defect(name)).collect::<Done<_>>()?
    } else if narrowed && !args.full {
        let demanded: BTreeSet<&str> = selected.iter().flat_map(|case| case.info.catches).copied().collect();
        switches::defects().map(|known| known.name).filter(|name| demanded.contains(name)).collect()
    } else {
        switches::defects().map(|known| known.name).collect()
    };
    let variants: Vec<&'static str> = if asked {
        args.variant.iter().map(|name| target::variant(name)).collect::<Done<_>>()?
    } else {
        switches::variants().map(|known| known.name).collect()
    };
    // With named defects only, cases that have nothing to do with them prove nothing.
    let concerned = |case: &Case| case.info.catches.iter().any(|name| defects.contains(name));
    let only_defects = !args.defect.is_empty() && args.variant.is_empty() && !args.full;
    let cases = selected.iter().copied().filter(|case| !only_defects || concerned(case)).collect();
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    Ok(ProofPlan {
        cases,
        defects,
        variants,
        full: args.full,
        concerns,
        seed: args.seed,
        jobs: args.jobs.unwrap_or(cores).max(1),
    })
}

/// Tells whether a variant can change anything for a case: what only one role does cannot be seen in the other, and what
/// the data plane does only where there is one.
fn concerns(variant: &str, case: &CaseInfo) -> bool {
    let other = match case.subject {
        Subject::Ks => "gm_",
        Subject::Gm => "ks_",
    };
    if switches::of_data_plane(variant) {
        return case.needs.contains(&Need::Datapath);
    }
    !variant.starts_with(other) || case.needs.contains(&Need::TwoDevices)
}

/// Makes the kill matrix of what the attempts came to.
fn matrix(plan: &ProofPlan, proof: &Proof, args: &ProveArgs) -> KillMatrix {
    let mut matrix = KillMatrix::new(env!("CARGO_PKG_VERSION"), &plan.seed.to_string());
    let defects_asked = !args.defect.is_empty() || !args.variant.is_empty();
    for case in &plan.cases {
        let word = proof.conforming.iter().find(|cell| cell.case == case.info.id).map(|cell| cell.verdict.as_str());
        // A name that the reference does not know stays, so that the matrix tells of it.
        let must: Vec<&str> = case
            .info
            .catches
            .iter()
            .copied()
            .filter(|name| plan.defects.contains(name) || !defects_asked && switches::defect(name).is_none())
            .collect();
        matrix.case(case.info.id, &must, word.unwrap_or("not run"));
    }
    for name in &plan.defects {
        let cells = proof.defects.get(name).map(Vec::as_slice).unwrap_or_default();
        let caught = cells.iter().filter(|cell| cell.caught()).map(|cell| cell.case.to_owned()).collect();
        let (describe, reference) =
            switches::defect(name).map_or(("", ""), |defect| (defect.sentence, defect.reference));
        matrix.defect(name, describe, reference, caught);
    }
    for name in &plan.variants {
        let cells = proof.variants.get(name).map(Vec::as_slice).unwrap_or_default();
        let punished =
            cells.iter().filter(|cell| is_punished(cell, proof)).map(|cell| format!("{} {}", cell.case, cell.verdict));
        let describe = switches::variant(name).map_or("", |known| known.sentence);
        matrix.variant(name, describe, cells.len(), punished.collect());
    }
    matrix
}

/// Tells whether a case did to a variant what it does not do to the sound reference. That a case does not apply to a
/// variant without an optional feature is no punishment.
fn is_punished(cell: &Cell, proof: &Proof) -> bool {
    let before = proof.conforming.iter().find(|other| other.case == cell.case).map(|other| other.verdict);
    cell.punished() && cell.verdict != Verdict::Na && before != Some(cell.verdict)
}

/// Adds to each fault what was seen instead.
fn explain_faults(matrix: &mut KillMatrix, proof: &Proof) {
    let unclean = proof.conforming.iter().filter(|cell| cell.punished());
    let mut why: Vec<(String, &Cell)> = unclean.map(|cell| (format!("{} ends as ", cell.case), cell)).collect();
    for (defect, cells) in &proof.defects {
        let missed = cells.iter().filter(|cell| !cell.caught());
        why.extend(missed.map(|cell| (format!("{} must catch {defect} but", cell.case), cell)));
    }
    for fault in &mut matrix.faults {
        if let Some((_, cell)) = why.iter().find(|(start, _)| fault.starts_with(start)) {
            *fault = format!("{fault}: {}: {}", cell.verdict, cell.reason);
        }
    }
    for (variant, cells) in &proof.variants {
        for cell in cells.iter().filter(|cell| is_punished(cell, proof)) {
            matrix.faults.push(format!("{} against {variant}: {}: {}", cell.case, cell.verdict, cell.reason));
        }
    }
}

/// Makes labs in which the reference has a switch on.
struct Lab;

impl Switchboard for Lab {
    fn worlds(&self, switch: Switch) -> Option<Box<dyn Worlds + '_>> {
        let mut subjects = Reference::default();
        match switch {
            Switch::Conforming => {}
            Switch::Defect(name) => subjects.defects.push(switches::defect(name)?.name),
            Switch::Variant(name) => subjects.variants.push(switches::variant(name)?.name),
        }
        Some(Box::new(LabWorlds { subjects }))
    }
}

fn eprint_live(text: &str) {
    use std::io::Write as _;
    let line: String = text.chars().take(100).collect();
    let mut out = std::io::stderr().lock();
    // Nobody has to look.
    let _ = write!(out, "\r\x1b[K{line}").and_then(|()| out.flush());
}
