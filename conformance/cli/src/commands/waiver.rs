//! `hallmark waiver`: expected failures.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use hallmark_catalogue::waiver::Expectation;
use hallmark_catalogue::{CaseInfo, ExitCode, Verdict, Waivers, suggest};
use hallmark_report::files;
use jiff::ToSpan as _;

use crate::commands::run::today;
use crate::failure::{Done, Failure};
use crate::out;
use crate::select::read;

/// Looks after expected failures.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum WaiverCommand {
    /// Lists waivers with the days that they have left.
    List {
        /// The waivers (TOML).
        file: PathBuf,
    },
    /// Says what is wrong with waivers: expired, double, too wide, without issue or signature.
    Lint {
        /// The waivers (TOML).
        file: PathBuf,
        /// A run in which they were used: those that did not speak are named.
        #[arg(long, value_name = "RUN")]
        run: Option<PathBuf>,
    },
    /// Lists waivers that expire soon; ends with 7 when there are any.
    Due {
        /// The waivers (TOML).
        file: PathBuf,
        /// Within so many days.
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        days: i32,
    },
    /// Writes a waiver for a failure of a run, to be completed and put into the file.
    Add {
        /// The run folder.
        run: PathBuf,
        /// The case that failed.
        case: String,
        /// Where the fault is tracked.
        #[arg(long, value_name = "URL", default_value = "")]
        issue: String,
        /// Who answers for it.
        #[arg(long, value_name = "NAME", default_value = "")]
        owner: String,
        /// How long it holds.
        #[arg(long, value_name = "DAYS", default_value_t = 90)]
        days: i32,
    },
}

/// Runs the command.
pub(crate) fn run(command: &WaiverCommand) -> Done {
    match command {
        WaiverCommand::List { file } => {
            let waivers = load(file)?;
            let today = today();
            let mut text = format!("{:10}  {:>9}  {:6}  {:16}  CHECK\n", "ID", "DAYS LEFT", "EXPECT", "TEST");
            for waiver in waivers.iter() {
                let expect = match waiver.expect {
                    Expectation::Fail => "fail",
                    Expectation::Warn => "warn",
                };
                let left = waiver.days_left(today);
                let left = if left < 0 { "expired".to_owned() } else { left.to_string() };
                let _ = writeln!(text, "{:10}  {left:>9}  {expect:6}  {:16}  {}", waiver.id, waiver.test, waiver.check);
            }
            out::print(&text);
            Ok(ExitCode::Ok)
        }
        WaiverCommand::Lint { file, run } => {
            let used = match run {
                None => None,
                Some(run) => {
                    let results = files::read(run).map_err(Failure::usage)?;
                    Some(results.cases.into_iter().filter_map(|case| case.waiver).collect::<BTreeSet<_>>())
                }
            };
            let faults = load(file)?.lint(&infos(), today(), used.as_ref());
            for fault in &faults {
                out::line(fault);
            }
            Ok(if faults.is_empty() { ExitCode::Ok } else { ExitCode::Unexpected })
        }
        WaiverCommand::Due { file, days } => {
            let waivers = load(file)?;
            let due = waivers.due(today(), *days);
            for waiver in &due {
                out::line(format!("{} expires on {}: {} ({})", waiver.id, waiver.expires, waiver.reason, waiver.owner));
            }
            Ok(if due.is_empty() { ExitCode::Ok } else { ExitCode::Gate })
        }
        WaiverCommand::Add { run, case, issue, owner, days } => add(run, case, issue, owner, *days),
    }
}

fn add(run: &std::path::Path, id: &str, issue: &str, owner: &str, days: i32) -> Done {
    let results = files::read(run).map_err(Failure::usage)?;
    let Some(case) = results.case(id) else {
        let hint = suggest::did_you_mean(id, results.cases.iter().map(|case| case.id.as_str()));
        return Err(Failure::usage(format!("the run has no result for `{id}`{hint}")));
    };
    let expect = match case.verdict {
        Verdict::Fail => "fail",
        Verdict::Warn => "warn",
        other => {
            return Err(Failure::usage(format!("{id} ended as {other}: only a failure or a warning can be waived")));
        }
    };
    let today = today();
    let expires = today.checked_add(days.days()).map_err(Failure::usage)?;
    let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
    out::print(&format!(
        "[[waiver]]\nid = \"W-{}\"\ntest = {}\ncheck = {}\nexpect = \"{expect}\"\nsignature = {}\nreason = {}\n\
         issue = {}\nowner = {}\ncreated = {today}\nexpires = {expires}\nmax_renewals = 2\ncert = false\n",
        id.to_lowercase(),
        quote(id),
        quote(case.deciding_check.as_deref().unwrap_or("")),
        quote(&case.signature),
        quote(&case.reason),
        quote(issue),
        quote(owner),
    ));
    Ok(ExitCode::Ok)
}

fn load(file: &std::path::Path) -> Done<Waivers> {
    Waivers::parse(&read(file)?).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
}

fn infos() -> Vec<&'static CaseInfo> {
    hallmark_suite::all().into_iter().map(|case| &case.info).collect()
}
