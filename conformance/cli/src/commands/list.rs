//! `hallmark list`: which cases there are.

use hallmark_catalogue::ExitCode;
use hallmark_catalogue::listing::{self, Format};

use crate::failure::Done;
use crate::out;
use crate::select::SelectArgs;

/// Lists the cases.
#[derive(clap::Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    select: SelectArgs,
    /// table, ids, json, md or csv.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Say for each case that was left out which clause of the filter did it.
    #[arg(long)]
    why: bool,
}

/// Runs the command.
pub(crate) fn run(args: &ListArgs) -> Done {
    let selection = args.select.select()?;
    out::print(&listing::list(&selection.infos(), args.format));
    if args.why {
        let width = selection.left_out.iter().map(|(case, _)| case.info.id.len()).max().unwrap_or(0);
        let mut text = format!("\nleft out: {}\n", selection.left_out.len());
        for (case, why) in &selection.left_out {
            text += &format!("{:width$}  {why}\n", case.info.id);
        }
        // Machine formats stay what they are on standard output.
        if args.format == Format::Table { out::print(&text) } else { out::note(text.trim_end()) }
    }
    Ok(if selection.cases.is_empty() { ExitCode::Nothing } else { ExitCode::Ok })
}
