//! `hallmark report`: reports of a run that took place.

use std::path::PathBuf;

use hallmark_catalogue::{CaseResult, ExitCode, Verdict};
use hallmark_evidence::{RunFolder, time};
use hallmark_report::{Console, Look, NotRun, RunInfo, RunResults, files, write_all};

use crate::commands::run::{ReportFormat, write_copy};
use crate::failure::{Done, Failure};
use crate::out;

/// Writes a report of a run, from its results or, where it was killed, from its event log.
#[derive(clap::Args, Debug)]
pub(crate) struct ReportArgs {
    /// The run folder.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Which report; without it, the end of the run as the console showed it.
    #[arg(long, value_name = "FORMAT")]
    format: Option<ReportFormat>,
    /// Where it goes; without it, to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &ReportArgs) -> Done {
    let results = results(&args.run)?;
    let Some(format) = args.format else {
        let mut console = Console::new(std::io::stdout(), Look::Plain, []);
        console.end(&results, args.run.to_str()).map_err(Failure::internal)?;
        return Ok(ExitCode::Ok);
    };
    let text = format.text(&results)?;
    match &args.out {
        Some(path) => write_copy(path, &text)?,
        None => out::print(&text),
    }
    Ok(ExitCode::Ok)
}

/// Reads the results of a run; a run that was killed gets them, and every report, from its event log.
pub(crate) fn results(run: &std::path::Path) -> Done<RunResults> {
    if !run.exists() {
        return Err(Failure::usage(format!(
            "{}: there is no such run; name a run folder (runs/...) or its results.json",
            run.display()
        )));
    }
    if !run.is_dir() || run.join("results.json").is_file() {
        return files::read(run).map_err(Failure::usage);
    }
    let folder = RunFolder::open(run).map_err(Failure::usage)?;
    let results = from_events(&folder)?;
    write_all(&folder, &results).map_err(Failure::preflight)?;
    out::note(format!("{} was not ended; its results were made from events.ndjson", run.display()));
    Ok(results)
}

fn from_events(folder: &RunFolder) -> Done<RunResults> {
    let log = folder.read_events().map_err(Failure::usage)?;
    let fault = |what: &str| Failure::usage(format!("{}: {what}", folder.root().display()));
    let started = log.of_kind("run.started").next().ok_or_else(|| fault("the event log has no beginning"))?;
    let mut info: RunInfo = serde_json::from_value(started.body.get("run").cloned().unwrap_or_default())
        .map_err(|error| fault(&format!("the beginning of the event log cannot be read: {error}")))?;
    let mut cases: Vec<CaseResult> = Vec::new();
    for event in log.of_kind("case.verdict") {
        cases.push(
            serde_json::from_value(event.body.clone())
                .map_err(|error| fault(&format!("event {} is no result: {error}", event.n)))?,
        );
    }
    if let Some(last) = log.events.last() {
        info.ended.clone_from(&last.at);
        if let (Some(begin), Some(end)) = (time::parse(&info.started), time::parse(&last.at)) {
            info.wall_ms = u64::try_from((end.0 - begin.0) / 1_000_000).unwrap_or(0);
        }
    }
    info.interrupted = true;
    let ids = started.body.get("cases").and_then(|cases| cases.as_array()).cloned().unwrap_or_default();
    let catalogue = hallmark_suite::all();
    let not_run = ids
        .iter()
        .filter_map(|id| id.as_str())
        .filter(|id| !cases.iter().any(|case| case.id == *id))
        .map(|id| NotRun {
            id: id.to_owned(),
            area: catalogue.iter().find(|case| case.info.id == id).map_or("", |case| case.info.area).to_owned(),
            reason: "the run was killed".to_owned(),
        })
        .collect();
    let left_out = started.body.get("not_selected").and_then(serde_json::Value::as_u64).unwrap_or(0);
    Ok(RunResults::new(
        info,
        cases,
        not_run,
        usize::try_from(left_out).unwrap_or(0),
        catalogue.iter().map(|case| &case.info),
    ))
}

/// Tells whether a result is one of those that a rerun was asked for.
pub(crate) fn is_bad(result: &CaseResult) -> bool {
    result.is_unexpected(true) || matches!(result.verdict, Verdict::Error | Verdict::Inconclusive)
}
