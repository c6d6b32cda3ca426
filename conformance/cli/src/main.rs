//! The `hallmark` command: judges GETVPN key servers and group members, and is one itself.
//!
//! This crate is the only place that joins the reference to the suite. Each command is a module of [`commands`] that
//! returns the exit code; what is wrong with a command line becomes a [`failure::Failure`] with a sentence that says
//! what to do.

mod commands;
mod evidence;
mod failure;
mod interrupt;
mod out;
mod select;
mod subject;
mod switches;
mod target;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode as ProcessExit;
use std::sync::Mutex;

use clap::{Parser, Subcommand};
use hallmark_catalogue::{ExitCode, listing};
use sha2::{Digest as _, Sha256};

use commands::{
    catalogue, diff, dissect, doctor, explain, list, node, prove, report, rerun, run, schema, setup, status, waiver,
};
use failure::{Done, Failure};

/// Judges GETVPN/GDOI key servers and group members, against the reference or your own.
///
/// `hallmark run` judges the reference in the lab and takes seconds; `hallmark run --target process` does the same
/// over real sockets; `hallmark explain CASE` says what a case is about.
#[derive(Parser)]
#[command(name = "hallmark", version, max_term_width = 120, after_help = EXIT_CODES)]
struct Cli {
    /// Work as if started in this folder.
    #[arg(short = 'C', long = "directory", value_name = "DIR", global = true)]
    folder: Option<PathBuf>,
    /// When to use colours.
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    color: out::Color,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 every result was expected; 1 unexpected failure; 2 wrong usage, configuration or filter; 3 no verdict; \
4 nothing selected; 5 incomplete; 6 preflight failed; 7 a comparison tripped its gate; 70 internal bug";

#[derive(Subcommand)]
enum Command {
    Run(Box<run::RunArgs>),
    List(list::ListArgs),
    Explain(explain::ExplainArgs),
    Prove(prove::ProveArgs),
    Rerun(Box<rerun::RerunArgs>),
    Diff(diff::DiffArgs),
    Report(report::ReportArgs),
    Dissect(dissect::DissectArgs),
    /// Runs the reference key server.
    Ks(node::NodeArgs),
    /// Runs the reference group member.
    Gm(node::NodeArgs),
    Status(status::StatusArgs),
    Doctor(doctor::DoctorArgs),
    Setup(setup::SetupArgs),
    #[command(subcommand)]
    Waiver(waiver::WaiverCommand),
    #[command(subcommand)]
    Catalogue(catalogue::CatalogueCommand),
    Schema(schema::SchemaArgs),
}

/// The text and place of the last panic, kept for the end of the program.
static PANIC: Mutex<String> = Mutex::new(String::new());

fn main() -> ProcessExit {
    // A case that panics is an error of that case and is told in its result; nobody wants a stack trace between.
    std::panic::set_hook(Box::new(|info| {
        if let Ok(mut last) = PANIC.lock() {
            *last = info.to_string();
        }
    }));
    let cli = Cli::parse();
    let done = catch_unwind(AssertUnwindSafe(|| dispatch(cli))).unwrap_or_else(|_| {
        let what = PANIC.lock().map(|last| last.clone()).unwrap_or_default();
        Err(Failure::internal(format!(
            "{what}\nThis is a bug in hallmark itself. Results that were written are in the run folder; please report \
             it with the command line and events.ndjson."
        )))
    });
    let code = done.unwrap_or_else(|failure| {
        out::note(format!("hallmark: {failure}"));
        failure.code
    });
    ProcessExit::from(code.code())
}

fn dispatch(cli: Cli) -> Done {
    if let Some(folder) = &cli.folder {
        std::env::set_current_dir(folder).map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
    }
    match cli.command {
        Command::Run(args) => run::run(&args, cli.color),
        Command::List(args) => list::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Prove(args) => prove::run(&args),
        Command::Rerun(args) => rerun::run(&args, cli.color),
        Command::Diff(args) => diff::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Dissect(args) => dissect::run(&args, cli.color),
        Command::Ks(args) => node::run(&args, node::Role::Ks),
        Command::Gm(args) => node::run(&args, node::Role::Gm),
        Command::Status(args) => status::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Setup(args) => setup::run(&args),
        Command::Waiver(command) => waiver::run(&command),
        Command::Catalogue(command) => catalogue::run(&command),
        Command::Schema(args) => schema::run(&args),
    }
}

/// Gives the hash of the catalogue of cases, which names the edition of the suite.
fn suite_hash() -> String {
    let cases: Vec<_> = hallmark_suite::all().into_iter().map(|case| &case.info).collect();
    hex::encode(Sha256::digest(listing::list(&cases, listing::Format::Json)))
}

/// Prints a listing and succeeds.
fn printed(text: &str) -> Done {
    out::print(text);
    Ok(ExitCode::Ok)
}
