//! `hallmark diff`: what changed between two runs.

use std::path::PathBuf;

use hallmark_catalogue::ExitCode;
use hallmark_report::{Diff, Gate};

use crate::commands::report::results;
use crate::failure::Done;
use crate::out;

/// Compares two runs: regressions first.
#[derive(clap::Args, Debug)]
pub(crate) struct DiffArgs {
    /// The older run: its folder or its results.json.
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The newer run.
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// End with 7 when there is such a change: regression, new-fail, lost-coverage.
    #[arg(long, value_name = "CHANGES", value_delimiter = ',')]
    fail_on: Vec<Gate>,
    /// How the difference is written.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: DiffFormat,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum DiffFormat {
    Text,
    Markdown,
    Json,
}

/// Runs the command.
pub(crate) fn run(args: &DiffArgs) -> Done {
    let old = results(&args.old)?;
    let new = results(&args.new)?;
    let diff = Diff::between(&old, &new);
    out::print(&match args.format {
        DiffFormat::Text => diff.text(false),
        DiffFormat::Markdown => diff.text(true),
        DiffFormat::Json => diff.to_json(),
    });
    Ok(if diff.trips(&args.fail_on) { ExitCode::Gate } else { ExitCode::Ok })
}
