//! `hallmark rerun`: runs some cases of a run again, in the same way.

use std::collections::BTreeSet;
use std::path::PathBuf;

use hallmark_catalogue::{Overlay, Verdict};
use hallmark_report::RunResults;

use crate::commands::report::{is_bad, results};
use crate::commands::run::{FrozenTarget, HowArgs, RunArgs, judge};
use crate::failure::{Done, Failure};
use crate::out::Color;
use crate::select::SelectArgs;

/// Runs cases of a run again: same target, same seed. Without a word of which, those that failed, warned or found no
/// verdict.
#[derive(clap::Args, Debug)]
pub(crate) struct RerunArgs {
    /// The run folder.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Cases that failed (or passed although a waiver expects otherwise).
    #[arg(long)]
    failed: bool,
    /// Cases that warned.
    #[arg(long)]
    warned: bool,
    /// Cases that ended as error.
    #[arg(long)]
    error: bool,
    /// Cases that were inconclusive.
    #[arg(long)]
    inconclusive: bool,
    /// Cases whose attempts disagree.
    #[arg(long)]
    flaky: bool,
    /// Cases without a result.
    #[arg(long)]
    not_run: bool,
    #[command(flatten)]
    how: HowArgs,
}

/// Runs the command.
pub(crate) fn run(args: &RerunArgs, color: Color) -> Done {
    let results = results(&args.run)?;
    let path = args.run.join("frozen/target.json");
    let frozen = std::fs::read_to_string(&path)
        .map_err(|error| Failure::usage(format!("{}: {error}; is it a run folder?", path.display())))?;
    let frozen: FrozenTarget =
        serde_json::from_str(&frozen).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    let ids = chosen(args, &results);
    let select = SelectArgs { role: frozen.role, ..SelectArgs::default() };
    let mut selection = select.select()?;
    let (cases, others): (Vec<_>, Vec<_>) = selection.cases.into_iter().partition(|case| ids.contains(case.info.id));
    selection.cases = cases;
    selection.left_out.extend(others.into_iter().map(|case| (case, "not asked for".to_owned())));
    let known: BTreeSet<&str> = hallmark_suite::all().iter().map(|case| case.info.id).collect();
    for gone in ids.iter().filter(|id| !known.contains(id.as_str())) {
        crate::out::note(format!("{gone} is no case of this version of the suite"));
    }
    let how = HowArgs { seed: args.how.seed.or(Some(frozen.seed)), ..args.how.clone() };
    judge(&RunArgs { select, target: frozen.target, how }, selection, color)
}

fn chosen(args: &RerunArgs, results: &RunResults) -> BTreeSet<String> {
    let any = args.failed || args.warned || args.error || args.inconclusive || args.flaky || args.not_run;
    let mut ids: BTreeSet<String> = results
        .cases
        .iter()
        .filter(|case| {
            if !any {
                return is_bad(case);
            }
            let plain = case.overlay.is_none();
            args.failed && (plain && case.verdict == Verdict::Fail || case.overlay == Some(Overlay::Xpass))
                || args.warned && plain && case.verdict == Verdict::Warn
                || args.error && case.verdict == Verdict::Error
                || args.inconclusive && case.verdict == Verdict::Inconclusive
                || args.flaky && case.is_flaky()
        })
        .map(|case| case.id.clone())
        .collect();
    if args.not_run || !any {
        ids.extend(results.not_run.iter().map(|case| case.id.clone()));
    }
    ids
}
