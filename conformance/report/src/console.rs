//! What a person reads while a run goes on and when it is over.
//!
//! On a terminal one line at the bottom tells how far the run is and how long it still takes, and only results that
//! need attention scroll by. Elsewhere each result is one plain line. At the end, failures stand grouped by cause on
//! one screen, followed by the sum, the place of the report and the command to type next.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::time::Duration;

use hallmark_catalogue::result::causes;
use hallmark_catalogue::{CaseInfo, CaseResult, ExitCode, Overlay, Verdict};

use crate::results::RunResults;

/// Causes shown at the end.
const CAUSES: usize = 8;
/// Cases shown per cause.
const CASES: usize = 3;

/// Says how the console looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// The end only.
    Quiet,
    /// One line per result, no control characters.
    Plain,
    /// A live line of so many columns, with or without colours.
    Live {
        /// Whether colours are used.
        colour: bool,
        /// Columns of the terminal.
        columns: usize,
    },
}

impl Look {
    /// Chooses from what the user asked for (`auto`, `always`, `never`), whether the output is a terminal and whether
    /// `NO_COLOR` is set.
    #[must_use]
    pub fn choose(colour: &str, terminal: bool, no_color: bool, columns: usize) -> Self {
        let colour = match colour {
            "always" => true,
            "never" => false,
            _ => terminal && !no_color,
        };
        if terminal { Self::Live { colour, columns: columns.clamp(40, 400) } } else { Self::Plain }
    }

    const fn colour(self) -> bool {
        matches!(self, Self::Live { colour: true, .. })
    }
}

/// Counts how far a run is. Time left is estimated from the cost of what is done and what is not.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    cost: BTreeMap<String, u64>,
    total: usize,
    total_cost: u64,
    done: usize,
    done_cost: u64,
    bad: usize,
    running: BTreeSet<String>,
}

impl Progress {
    /// Begins with the cases that are to be run.
    #[must_use]
    pub fn new<'a>(cases: impl IntoIterator<Item = &'a CaseInfo>) -> Self {
        let cost: BTreeMap<String, u64> =
            cases.into_iter().map(|case| (case.id.to_owned(), u64::from(case.cost_secs.max(1)))).collect();
        Self { total: cost.len(), total_cost: cost.values().sum(), cost, ..Self::default() }
    }

    /// Notes that a case began.
    pub fn started(&mut self, id: &str) {
        self.running.insert(id.to_owned());
    }

    /// Notes that a case ended.
    pub fn finished(&mut self, result: &CaseResult) {
        self.running.remove(&result.id);
        self.done += 1;
        self.done_cost += self.cost.get(&result.id).copied().unwrap_or(1);
        self.bad += usize::from(result.is_unexpected(false));
    }

    /// Estimates the time left, nothing before the first case is done.
    #[must_use]
    pub fn left(&self, elapsed: Duration) -> Option<Duration> {
        let rest = self.total_cost.saturating_sub(self.done_cost);
        (self.done_cost > 0).then(|| elapsed.mul_f64(rest as f64 / self.done_cost as f64))
    }

    fn line(&self, elapsed: Duration) -> String {
        let percent = (self.done_cost * 100).checked_div(self.total_cost).unwrap_or(100);
        let left = self.left(elapsed).map_or_else(|| "--:--".to_owned(), clock);
        let bad = if self.bad > 0 { format!("  {} failed", self.bad) } else { String::new() };
        let running: Vec<&str> = self.running.iter().map(String::as_str).collect();
        format!(
            "{}/{}  {percent}%{bad}  {} gone, {left} left  {}",
            self.done,
            self.total,
            clock(elapsed),
            running.join(" ")
        )
    }
}

/// Writes to a person.
#[derive(Debug)]
pub struct Console<W> {
    out: W,
    look: Look,
    progress: Progress,
    live: bool,
}

impl<W: Write> Console<W> {
    /// Begins a run over some cases.
    pub fn new<'a>(out: W, look: Look, cases: impl IntoIterator<Item = &'a CaseInfo>) -> Self {
        Self { out, look, progress: Progress::new(cases), live: false }
    }

    /// Writes a line, above the live one.
    ///
    /// # Errors
    /// When the output refuses.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.clear()?;
        writeln!(self.out, "{}", clean(text))
    }

    /// Tells that a case began.
    ///
    /// # Errors
    /// When the output refuses.
    pub fn started(&mut self, id: &str, elapsed: Duration) -> io::Result<()> {
        self.progress.started(id);
        self.redraw(elapsed)
    }

    /// Tells that a case ended.
    ///
    /// # Errors
    /// When the output refuses.
    pub fn finished(&mut self, result: &CaseResult, elapsed: Duration) -> io::Result<()> {
        self.progress.finished(result);
        let plain = matches!(result.verdict, Verdict::Pass | Verdict::Na | Verdict::Info)
            && result.overlay != Some(Overlay::Xpass);
        match self.look {
            Look::Quiet => return Ok(()),
            Look::Live { .. } if plain => {}
            _ => {
                self.clear()?;
                let (done, total) = (self.progress.done, self.progress.total);
                // Why a case does not apply is what one asks first.
                let told = !plain || result.verdict == Verdict::Na;
                let reason = if told { format!("\n             {}", clean(&result.reason)) } else { String::new() };
                let word = self.paint(result.word(), &format!("{:>12}", result.word()));
                let secs = result.wall_ms as f64 / 1000.0;
                let title = clean(&result.title);
                writeln!(self.out, "{word} [{secs:>7.3}s] ({done}/{total}) {}  {title}{reason}", result.id)?;
            }
        }
        self.redraw(elapsed)
    }

    /// Draws the live line again, for example every second.
    ///
    /// # Errors
    /// When the output refuses.
    pub fn redraw(&mut self, elapsed: Duration) -> io::Result<()> {
        if let Look::Live { columns, .. } = self.look {
            let line: String = self.progress.line(elapsed).chars().take(columns.saturating_sub(1)).collect();
            write!(self.out, "\r\x1b[K{line}")?;
            self.live = true;
        }
        self.out.flush()
    }

    /// Writes the end: causes, sum, report and what to type next. `folder` is the run folder, if one was written.
    ///
    /// # Errors
    /// When the output refuses.
    pub fn end(&mut self, results: &RunResults, folder: Option<&str>) -> io::Result<()> {
        self.clear()?;
        let groups =
            causes(results.cases.iter().filter(|case| !matches!(case.overlay, Some(Overlay::Xfail | Overlay::Xwarn))));
        if !groups.is_empty() {
            writeln!(self.out)?;
        }
        for (cause, members) in groups.iter().take(CAUSES) {
            let check = if cause.check.is_empty() { String::new() } else { format!("{}: ", cause.check) };
            let count = match members.len() {
                1 => String::new(),
                n => format!("{n} cases, one cause: "),
            };
            let word = self.paint(cause.word, &cause.word.to_uppercase());
            writeln!(self.out, "{word}  {count}{check}{}", clean(cause.signature))?;
            for case in members.iter().take(CASES) {
                let title = clean(&case.title);
                writeln!(self.out, "    {:<14} {title}", case.id)?;
                let same = case.reason == cause.signature;
                if !same {
                    writeln!(self.out, "    {:<14} {}", "", clean(&case.reason))?;
                }
            }
            if members.len() > CASES {
                let rest: Vec<&str> = members.iter().skip(CASES).map(|case| case.id.as_str()).take(8).collect();
                let more = if members.len() > CASES + 8 { " ..." } else { "" };
                writeln!(self.out, "    and {} more: {}{more}", members.len() - CASES, rest.join(" "))?;
            }
        }
        if groups.len() > CAUSES {
            writeln!(self.out, "and {} more causes, see the report", groups.len() - CAUSES)?;
        }
        self.areas(results)?;
        let word = if results.exit_code == 0 { "pass" } else { "fail" };
        let sum = format!("{}, {:.1} s", results.summary.sentence(), results.run.wall_ms as f64 / 1000.0);
        let sum = self.paint(word, &sum);
        writeln!(self.out, "\n{sum}")?;
        for remark in &results.waiver_remarks {
            writeln!(self.out, "waiver {}", clean(remark))?;
        }
        if let Some(folder) = folder {
            writeln!(self.out, "report  {folder}/report.md")?;
        }
        if let Some(next) = next(results, folder) {
            writeln!(self.out, "next    {next}")?;
        }
        self.out.flush()
    }

    /// Writes what was judged, area by area, and how many requirements that were.
    fn areas(&mut self, results: &RunResults) -> io::Result<()> {
        let mut areas: BTreeMap<&str, BTreeMap<Verdict, usize>> = BTreeMap::new();
        for case in &results.cases {
            *areas.entry(case.area.as_str()).or_default().entry(case.verdict).or_default() += 1;
        }
        if areas.len() < 2 {
            return Ok(());
        }
        let width = areas.keys().map(|area| area.chars().count()).max().unwrap_or(0);
        writeln!(self.out)?;
        for (area, words) in areas {
            let cases: usize = words.values().sum();
            let passed = words.get(&Verdict::Pass).copied().unwrap_or(0);
            let others = words.iter().filter(|(word, _)| **word != Verdict::Pass);
            let others: String = others.map(|(word, count)| format!(", {count} {word}")).collect();
            let mark = if passed == cases { "pass" } else { "warn" };
            let count = self.paint(mark, &format!("{passed:>4} of {cases:>3} passed{others}"));
            writeln!(self.out, "  {:width$}  {count}", clean(area))?;
        }
        let judged = results.requirements.len();
        let met = results.requirements.values().filter(|requirement| requirement.broken == 0).count();
        writeln!(self.out, "\n  {judged} requirements judged, {met} met")
    }

    /// Gives the output back.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn clear(&mut self) -> io::Result<()> {
        if self.live {
            write!(self.out, "\r\x1b[K")?;
            self.live = false;
        }
        Ok(())
    }

    fn paint(&self, word: &str, text: &str) -> String {
        if !self.look.colour() {
            return text.to_owned();
        }
        let code = match word {
            "pass" => "32",
            "fail" | "xpass" => "31;1",
            "error" | "inconclusive" => "35",
            "warn" => "33",
            _ => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Suggests the command to type next.
#[must_use]
pub fn next(results: &RunResults, folder: Option<&str>) -> Option<String> {
    let code = ExitCode::PRECEDENCE.into_iter().find(|code| code.code() == results.exit_code)?;
    let first = |wanted: &dyn Fn(&CaseResult) -> bool| results.cases.iter().find(|case| wanted(case));
    Some(match (code, folder) {
        (ExitCode::Unexpected, Some(folder)) => format!("hallmark rerun {folder} --failed"),
        (ExitCode::Unexpected, None) => {
            let case = first(&|case| case.is_unexpected(results.run.deny_warn))?;
            format!("hallmark explain {}", case.id)
        }
        (ExitCode::NoVerdict, Some(folder)) => {
            let error = first(&|case| case.verdict == Verdict::Error).is_some();
            format!("hallmark rerun {folder} {}", if error { "--error" } else { "--inconclusive" })
        }
        (ExitCode::Incomplete, Some(folder)) => format!("hallmark rerun {folder} --not-run"),
        // Nothing applied: the report says why.
        (ExitCode::Nothing, Some(folder))
            if !results.cases.is_empty() && first(&|case| case.verdict != Verdict::Na).is_none() =>
        {
            format!("less {folder}/report.md")
        }
        (ExitCode::Nothing, _) => "hallmark list".to_owned(),
        (ExitCode::Ok, Some(folder)) => match first(&|case| case.verdict == Verdict::Warn) {
            Some(case) => format!("hallmark explain {}", case.id),
            None => format!("less {folder}/report.md"),
        },
        _ => return None,
    })
}

/// Takes out what would control the terminal: a peer may have chosen the text.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()).collect()
}

fn clock(duration: Duration) -> String {
    let secs = duration.as_secs();
    if secs < 3600 {
        format!("{:02}:{:02}", secs / 60, secs % 60)
    } else {
        format!("{}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::{CASES as INFOS, sample};

    fn shown(look: Look) -> String {
        let results = sample();
        let mut console = Console::new(Vec::new(), look, &INFOS);
        for (secs, case) in (1..).zip(&results.cases) {
            console.started(&case.id, Duration::from_secs(secs)).expect("writes");
            console.finished(case, Duration::from_secs(secs)).expect("writes");
        }
        console.end(&results, Some("runs/x")).expect("writes");
        String::from_utf8(console.into_inner()).expect("text")
    }

    #[test]
    fn plain_output_has_a_line_per_case_and_no_control_characters() {
        let text = shown(Look::Plain);
        assert!(text.contains("        pass [  1.234s] (1/6) A-001  ignores"), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(text.contains("FAIL  push.seq: seq #"), "{text}");
        assert!(text.contains("1 of 6 passed, 1 warn, 1 fail, 1 error, 1 na, 1 not run, 6.2 s"), "{text}");
        assert!(text.ends_with("report  runs/x/report.md\nnext    hallmark rerun runs/x --failed\n"), "{text}");
    }

    #[test]
    fn a_terminal_shows_only_what_needs_attention_and_a_live_line() {
        let text = shown(Look::Live { colour: true, columns: 60 });
        assert!(!text.contains("A-001  ignores") && text.contains("A-002"), "{text}");
        assert!(text.contains("\r\x1b[K1/6  16%  00:01 gone, 00:05 left"), "{text:?}");
        assert!(text.contains("\x1b[31;1mFAIL\x1b[0m"));
        assert!(shown(Look::Quiet).lines().count() < shown(Look::Plain).lines().count());
    }

    #[test]
    fn one_cause_is_told_once_and_many_fit_on_a_screen() {
        let mut results = sample();
        let case = results.cases[1].clone();
        for n in 0..400 {
            let signature = format!("shape {}", n / 20);
            results.cases.push(CaseResult { id: format!("B-{n:03}"), signature, ..case.clone() });
        }
        let mut console = Console::new(Vec::new(), Look::Plain, &INFOS);
        console.end(&results, None).expect("writes");
        let text = String::from_utf8(console.into_inner()).expect("text");
        assert!(text.contains("20 cases, one cause: push.seq: shape"), "{text}");
        assert!(text.lines().count() < 75, "{}", text.lines().count());
    }

    #[test]
    fn the_next_command_follows_from_how_the_run_ended() {
        let ended = |change: &dyn Fn(&mut RunResults)| {
            let mut results = sample();
            change(&mut results);
            next(&results, Some("runs/x")).unwrap_or_default()
        };
        assert_eq!(ended(&|r| r.exit_code = 3), "hallmark rerun runs/x --error");
        assert_eq!(ended(&|r| r.exit_code = 5), "hallmark rerun runs/x --not-run");
        assert_eq!(ended(&|r| r.exit_code = 4), "hallmark list");
        assert_eq!(ended(&|r| r.exit_code = 0), "hallmark explain A-004");
        assert_eq!(next(&sample(), None).as_deref(), Some("hallmark explain A-002"));
    }

    #[test]
    fn the_look_follows_the_terminal_and_the_wish() {
        assert_eq!(Look::choose("auto", false, false, 80), Look::Plain);
        assert_eq!(Look::choose("auto", true, false, 80), Look::Live { colour: true, columns: 80 });
        assert_eq!(Look::choose("auto", true, true, 80), Look::Live { colour: false, columns: 80 });
        assert_eq!(Look::choose("always", true, true, 10), Look::Live { colour: true, columns: 40 });
        assert_eq!(clock(Duration::from_secs(3_725)), "1:02:05");
    }
}
