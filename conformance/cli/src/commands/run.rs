//! `hallmark run`: judges a target and leaves a run folder.

mod args;

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use hallmark_catalogue::{ExitCode, RunState, Subject, Verdict, Waivers, listing};
use hallmark_core::UnixTime;
use hallmark_evidence::{EventLog, KeyPolicy, Manifest, RunFolder, time};
use hallmark_report::{Console, Look, NotRun, RunInfo, RunResults, write_all};
use hallmark_runner::{Finished, Plan, Progress};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::failure::{Done, Failure};
use crate::out::Color;
use crate::select::{SelectArgs, Selection, read};
use crate::target::{Bench, TargetArgs};
use crate::{evidence, interrupt, out};

use args::{EvidenceOf, KeysArg, Ui};
pub(crate) use args::{HowArgs, ReportFormat};

/// Judges a target: by default the reference, in the lab.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) how: HowArgs,
}

/// What stands in `frozen/target.json`, so that a run can be run again.
#[derive(Serialize, Deserialize)]
pub(crate) struct FrozenTarget {
    /// Always `hallmark.target/1`.
    pub(crate) schema: String,
    /// The seed.
    pub(crate) seed: u64,
    /// The role that was selected.
    pub(crate) role: Option<Subject>,
    /// The target.
    pub(crate) target: TargetArgs,
}

/// Runs the command.
pub(crate) fn run(args: &RunArgs, color: Color) -> Done {
    let selection = args.select.select()?;
    judge(args, selection, color)
}

/// Judges the target over selected cases.
pub(crate) fn judge(args: &RunArgs, selection: Selection, color: Color) -> Done {
    let how = &args.how;
    let waivers = waivers(how.waivers.as_deref())?;
    if how.dry_run {
        return dry_run(args, &selection);
    }
    if selection.cases.is_empty() {
        let state = RunState { allow_empty: how.allow_empty && args.select.shard.is_some(), ..RunState::default() };
        let code = ExitCode::of_run([], &state);
        out::note("no case is selected; `hallmark list --why FILTER` says which clause left which case out");
        return Ok(code);
    }
    let bench = args.target.bench(args.select.role)?;
    let seed = match how.seed {
        Some(seed) => seed,
        // Short enough to type.
        None => u64::from(hallmark_net::entropy::rng().map_err(Failure::preflight)?.next_u32()),
    };
    interrupt::listen();
    preflight(&selection, &bench, seed)?;
    let mut run = Run::begin(args, &selection, &bench, &waivers, seed, color)?;
    let mut cases = selection.cases.clone();
    if bench.world != "lab" {
        // Time is real here: what takes longest begins first, so that the run does not end with waiting for it.
        cases.sort_by_key(|case| std::cmp::Reverse(case.info.cost_secs));
    }
    let plan = Plan {
        cases,
        seed,
        jobs: how.jobs.unwrap_or(bench.jobs).max(1),
        repeat: how.repeat,
        retries: how.retries,
        max_fail: how.max_fail,
    };
    let results = hallmark_runner::run(&plan, &*bench.worlds, interrupt::flag(), &mut |progress| run.hear(progress));
    let outcome = run.end(results)?;
    for copy in &how.report {
        let text = copy.format.text(&outcome)?;
        if copy.path == Path::new("-") {
            out::print(&text);
        } else {
            write_copy(&copy.path, &text)?;
        }
    }
    let code = ExitCode::PRECEDENCE.into_iter().find(|code| code.code() == outcome.exit_code);
    let code = code.unwrap_or(ExitCode::Internal);
    if how.status_json {
        out::line(json!({
            "schema": "hallmark.status/1",
            "exit_code": code.code(),
            "meaning": code.meaning(),
            "run": run.folder.root(),
            "summary": outcome.summary,
        }));
    }
    Ok(code)
}

/// Makes sure, once for each role that is judged, that a subject starts at all.
fn preflight(selection: &Selection, bench: &Bench, seed: u64) -> Done<()> {
    for role in [Subject::Ks, Subject::Gm] {
        let Some(case) = selection.cases.iter().find(|case| case.info.subject == role) else { continue };
        hallmark_runner::preflight(case, &*bench.worlds, seed, interrupt::flag()).map_err(|why| {
            Failure::preflight(format!("the {role} to be judged does not start, so nothing was judged: {why}"))
        })?;
    }
    Ok(())
}

/// Is a run that goes on.
struct Run<'a> {
    args: &'a RunArgs,
    selection: &'a Selection,
    waivers: &'a Waivers,
    seed: u64,
    folder: RunFolder,
    events: EventLog<File>,
    manifest: Manifest,
    info: RunInfo,
    console: Console<io::Stdout>,
    started: Instant,
    today: jiff::civil::Date,
    again: Vec<String>,
    /// The first thing that could not be written.
    broken: Option<io::Error>,
}

impl<'a> Run<'a> {
    fn begin(
        args: &'a RunArgs,
        selection: &'a Selection,
        bench: &Bench,
        waivers: &'a Waivers,
        seed: u64,
        color: Color,
    ) -> Done<Self> {
        let began = wall();
        let random = hallmark_net::entropy::rng().map_err(Failure::preflight)?.next_u32();
        let id = RunFolder::name(began, &bench.name, random as u16);
        let root = args.how.out.clone().unwrap_or_else(|| Path::new("runs").join(&id));
        let folder = RunFolder::create(&root).map_err(|error| {
            let code = if error.kind() == io::ErrorKind::AlreadyExists { ExitCode::Usage } else { ExitCode::Preflight };
            Failure { code, message: format!("cannot make the run folder {}: {error}", root.display()) }
        })?;
        let events = folder.events().map_err(Failure::preflight)?;
        let keys_exported = args.how.keys != KeysArg::None;
        let suite_hash = crate::suite_hash();
        let info = RunInfo {
            id: id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            suite_hash: suite_hash.clone(),
            seed: seed.to_string(),
            filter: args.select.text(),
            shard: args.select.shard.map(|shard| shard.to_string()).unwrap_or_default(),
            world: bench.world.to_owned(),
            subject: bench.subject.clone(),
            started: time::rfc3339(began),
            deny_warn: args.how.deny.is_some(),
            keys_exported,
            ..RunInfo::default()
        };
        let manifest = Manifest {
            id,
            version: info.version.clone(),
            suite_hash,
            seed: info.seed.clone(),
            argv: std::env::args().collect(),
            subject: bench.subject.clone(),
            host: crate::commands::doctor::host_facts(),
            started: info.started.clone(),
            keys_exported,
            not_certifiable: not_certifiable(args, bench),
            ..Manifest::default()
        };
        let look = match args.how.ui {
            Ui::Auto => {
                Look::choose(if color.on() { "always" } else { "never" }, io::stdout().is_terminal(), false, columns())
            }
            Ui::Plain => Look::Plain,
            Ui::Quiet => Look::Quiet,
        };
        let mut run = Self {
            args,
            selection,
            waivers,
            seed,
            folder,
            events,
            manifest,
            info,
            console: Console::new(io::stdout(), look, selection.infos()),
            started: Instant::now(),
            today: today(),
            again: args.target.again(),
            broken: None,
        };
        run.open(bench).map_err(Failure::preflight)?;
        Ok(run)
    }

    /// Writes what is known before the first case.
    fn open(&mut self, bench: &Bench) -> io::Result<()> {
        let catalogue: Vec<_> = hallmark_suite::all().into_iter().map(|case| &case.info).collect();
        self.folder.write("frozen/catalogue.json", listing::list(&catalogue, listing::Format::Json))?;
        self.folder.write_json(
            "frozen/target.json",
            &FrozenTarget {
                schema: "hallmark.target/1".to_owned(),
                seed: self.seed,
                role: self.args.select.role,
                target: self.args.target.clone(),
            },
        )?;
        for (name, path) in [
            ("waivers.toml", &self.args.how.waivers),
            ("setup.toml", &self.args.target.setup),
            ("ics.toml", &self.args.select.ics),
        ] {
            if let Some(path) = path {
                self.folder.write(&format!("frozen/{name}"), std::fs::read(path)?)?;
            }
        }
        let cases: Vec<&str> = self.selection.cases.iter().map(|case| case.info.id).collect();
        let body = json!({ "run": self.info, "cases": cases, "not_selected": self.selection.left_out.len() });
        self.events.append_durable(wall(), "run.started", &body)?;
        let defects = if self.args.target.defect.is_empty() {
            String::new()
        } else {
            format!(", with {} switched on", self.args.target.defect.join(", "))
        };
        self.console.line(&format!(
            "hallmark {}: {} cases against {}{defects}, seed {}",
            self.info.version,
            self.selection.cases.len(),
            match bench.world {
                "lab" => "the reference KS and GM in the lab".to_owned(),
                _ => self.args.target.target.to_string(),
            },
            self.seed
        ))
    }

    /// Takes note of how the run goes.
    fn hear(&mut self, progress: Progress<'_>) {
        let done = match progress {
            Progress::Started(case) => self.case_started(case.info.id),
            Progress::Finished(finished) => self.case_finished(finished),
            Progress::Waiting => self.console.redraw(self.started.elapsed()),
        };
        if let Err(error) = done
            && self.broken.is_none()
        {
            // A run that cannot be written down is worth nothing: stop it.
            self.broken = Some(error);
            interrupt::flag().store(true, Ordering::SeqCst);
        }
    }

    fn case_started(&mut self, id: &str) -> io::Result<()> {
        self.events.append(wall(), "case.started", &json!({ "id": id }))?;
        self.console.started(id, self.started.elapsed())
    }

    fn case_finished(&mut self, finished: &mut Finished) -> io::Result<()> {
        let case = &finished.case.info;
        self.waivers.apply(case, &mut finished.result, self.today, &self.selection.context);
        finished.result.reproduce = self.reproduce(case.id);
        let wanted = match self.args.how.evidence {
            EvidenceOf::All => true,
            EvidenceOf::Fail => !matches!(finished.result.verdict, Verdict::Pass | Verdict::Na | Verdict::Info),
            EvidenceOf::None => false,
        };
        if wanted {
            let keys = match self.args.how.keys {
                KeysArg::Embed => KeyPolicy::Embed,
                KeysArg::Sidecar => KeyPolicy::Sidecar,
                KeysArg::None => KeyPolicy::None,
            };
            finished.result.evidence = Some(evidence::write(&self.folder, finished, keys)?);
        }
        self.events.append_durable(wall(), "case.verdict", &finished.result)?;
        self.console.finished(&finished.result, self.started.elapsed())
    }

    fn reproduce(&self, id: &str) -> String {
        let mut words = vec!["hallmark".to_owned(), "run".to_owned(), id.to_owned()];
        words.extend(["--seed".to_owned(), self.seed.to_string()]);
        if let Some(role) = self.args.select.role {
            words.extend(["--role".to_owned(), role.as_str().to_lowercase()]);
        }
        for (name, count) in [("--repeat", self.args.how.repeat.max(1) - 1), ("--retries", self.args.how.retries)] {
            if count > 0 {
                words.extend([name.to_owned(), if name == "--repeat" { count + 1 } else { count }.to_string()]);
            }
        }
        words.extend(self.again.iter().cloned());
        words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
    }

    /// Writes the reports and tells the user.
    fn end(&mut self, cases: Vec<hallmark_catalogue::CaseResult>) -> Done<RunResults> {
        if let Some(error) = self.broken.take() {
            return Err(Failure::internal(format!("the run cannot be written down: {error}")));
        }
        let stopped = cases.len() < self.selection.cases.len();
        let why = if interrupt::came() { "interrupted" } else { "stopped by --max-fail" };
        let not_run: Vec<NotRun> = self
            .selection
            .cases
            .iter()
            .filter(|case| !cases.iter().any(|result| result.id == case.info.id))
            .map(|case| NotRun { id: case.info.id.to_owned(), area: case.info.area.to_owned(), reason: why.to_owned() })
            .collect();
        self.info.interrupted = stopped || interrupt::came();
        self.info.ended = time::rfc3339(wall());
        self.info.wall_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let catalogue = hallmark_suite::all();
        let mut results = RunResults::new(
            self.info.clone(),
            cases,
            not_run,
            self.selection.left_out.len(),
            catalogue.iter().map(|case| &case.info),
        );
        self.remark_waivers(&mut results);
        self.close(&results).map_err(|error| Failure::internal(format!("the reports cannot be written: {error}")))?;
        Ok(results)
    }

    fn remark_waivers(&self, results: &mut RunResults) {
        let catalogue = hallmark_suite::all();
        let infos: Vec<_> = catalogue.iter().map(|case| &case.info).collect();
        for waiver in self.waivers.unmatched(&infos) {
            results.waiver_remarks.push(format!("{} matches no case", waiver.id));
        }
        for waiver in self.waivers.iter().filter(|waiver| self.today > waiver.expires) {
            results.waiver_remarks.push(format!("{} expired on {} and says nothing", waiver.id, waiver.expires));
        }
        if !self.waivers.unmatched(&infos).is_empty() {
            let codes = ExitCode::PRECEDENCE.into_iter().filter(|code| code.code() == results.exit_code);
            results.exit_code = ExitCode::prevailing(codes.chain([ExitCode::Usage])).code();
        }
    }

    fn close(&mut self, results: &RunResults) -> io::Result<()> {
        write_all(&self.folder, results)?;
        let body = json!({
            "summary": results.summary,
            "exit_code": results.exit_code,
            "interrupted": results.run.interrupted,
        });
        self.events.append_durable(wall(), "run.ended", &body)?;
        self.manifest.ended.clone_from(&self.info.ended);
        self.manifest.events_head = self.events.head().to_owned();
        if self.info.interrupted {
            self.manifest.not_certifiable.push("the run is incomplete".to_owned());
        }
        self.folder.write_manifest(&mut self.manifest)?;
        self.console.end(results, Some(&self.folder.root().display().to_string()))
    }
}

/// Says what would run, and gives no verdict.
fn dry_run(args: &RunArgs, selection: &Selection) -> Done {
    out::print(&listing::list(&selection.infos(), listing::Format::Table));
    let cost: u32 = selection.cases.iter().map(|case| case.info.cost_secs).sum();
    out::line(format!(
        "would run against {} ({} s one after another in real time), {} cases are left out; nothing was judged",
        args.target.target,
        cost,
        selection.left_out.len()
    ));
    let state = RunState { selected: selection.cases.len(), dry_run: true, ..RunState::default() };
    Ok(ExitCode::of_run([], &state))
}

fn waivers(path: Option<&Path>) -> Done<Waivers> {
    let Some(path) = path else { return Ok(Waivers::default()) };
    Waivers::parse(&read(path)?).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn not_certifiable(args: &RunArgs, bench: &Bench) -> Vec<String> {
    let mut why = Vec::new();
    if bench.world == "lab" {
        why.push("the subject is the reference".to_owned());
    }
    if !args.select.filter.is_empty() {
        why.push("cases were filtered".to_owned());
    }
    if !args.target.defect.is_empty() {
        why.push("defects were switched on".to_owned());
    }
    why
}

/// Writes a copy of a report, with the folders above it.
pub(crate) fn write_copy(path: &Path, text: &str) -> Done<()> {
    let fault = |error: io::Error| Failure::usage(format!("cannot write {}: {error}", path.display()));
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(fault)?;
    }
    std::fs::write(path, text).map_err(fault)
}

/// Puts quotes around a word where a shell wants them.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn wall() -> UnixTime {
    hallmark_net::Clock::real().now().wall
}

/// Gives the day in UTC, on which waivers hold or do not.
pub(crate) fn today() -> jiff::civil::Date {
    jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::now()).date()
}

fn columns() -> usize {
    std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        let size = std::process::Command::new("stty").arg("size").stdin(std::process::Stdio::inherit()).output();
        let size = size.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
        size.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(100)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(shell_word("udp:192.0.2.1:848"), "udp:192.0.2.1:848");
        assert_eq!(shell_word("exec:./my ks"), "'exec:./my ks'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }
}
