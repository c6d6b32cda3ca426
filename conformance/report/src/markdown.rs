//! A summary in Markdown, short enough for the places that show one.

use std::fmt::Write as _;

use hallmark_catalogue::result::causes;
use hallmark_catalogue::{ExitCode, Verdict};

use crate::results::RunResults;

/// Some places refuse longer texts.
const LIMIT: usize = 60_000;
/// Cases listed per cause.
const LISTED: usize = 12;

/// Writes the summary.
#[must_use]
pub fn summary(results: &RunResults) -> String {
    let mut text = String::new();
    let run = &results.run;
    let word = match results.exit_code {
        0 => "Every result was expected",
        1 => "There are unexpected results",
        3 => "There is no verdict on some cases",
        code => ExitCode::PRECEDENCE.into_iter().find(|c| c.code() == code).map_or("Ended", ExitCode::meaning),
    };
    let _ = writeln!(text, "# {word}\n\n**{}**\n", results.summary.sentence());
    let _ = writeln!(text, "| run | version | world | seed | cases | time |\n|---|---|---|---|---|---|");
    let _ = writeln!(
        text,
        "| {} | {} | {} | {} | {} | {:.1} s |\n",
        cell(&run.id),
        cell(&run.version),
        cell(&run.world),
        cell(&run.seed),
        results.summary.ran,
        run.wall_ms as f64 / 1000.0
    );
    for (name, value) in &run.subject {
        let _ = writeln!(text, "- {}: {}", cell(name), cell(value));
    }
    for (verdict, heading) in [
        (Verdict::Fail, "Failures"),
        (Verdict::Error, "Errors"),
        (Verdict::Inconclusive, "Inconclusive"),
        (Verdict::Warn, "Warnings"),
    ] {
        section(&mut text, heading, results, verdict);
    }
    if !results.not_run.is_empty() {
        let _ = writeln!(text, "\n## Not run\n\n{} selected cases have no result:", results.not_run.len());
        for case in results.not_run.iter().take(LISTED) {
            let _ = writeln!(text, "- {}: {}", cell(&case.id), cell(&case.reason));
        }
    }
    let _ = writeln!(text, "\n## Requirements\n\n| sheet | rows | covered | exempt | open |\n|---|---|---|---|---|");
    for (sheet, c) in &results.coverage {
        let _ = writeln!(text, "| {sheet} | {} | {} | {} | {} |", c.total, c.covered, c.exempt, c.open);
    }
    for remark in &results.waiver_remarks {
        let _ = writeln!(text, "\n> waiver {}", cell(remark));
    }
    clip(text)
}

fn section(text: &mut String, heading: &str, results: &RunResults, verdict: Verdict) {
    let groups = causes(results.cases.iter().filter(|case| case.verdict == verdict));
    if groups.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n## {heading}\n");
    for (cause, members) in groups {
        let check = if cause.check.is_empty() { String::new() } else { format!("`{}` ", cause.check) };
        let waived = if cause.word.starts_with('x') { format!(" ({})", cause.word) } else { String::new() };
        let _ = writeln!(text, "### {check}{}{waived}\n", cell(cause.signature));
        for case in members.iter().take(LISTED) {
            let _ = writeln!(text, "- **{}** {}: {}", cell(&case.id), cell(&case.title), cell(&case.reason));
        }
        if members.len() > LISTED {
            let _ = writeln!(text, "- and {} more", members.len() - LISTED);
        }
        if let Some(command) = members.first().map(|case| &case.reproduce).filter(|command| !command.is_empty()) {
            let _ = writeln!(text, "\n```\n{command}\n```");
        }
    }
}

/// Keeps a text from meaning something in Markdown or HTML and from leaving its table cell.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

fn clip(mut text: String) -> String {
    const MARK: &str = "\n\n(The rest is left out here; results.json has all of it.)\n";
    if text.len() > LIMIT {
        let end =
            text.get(..LIMIT - MARK.len()).or_else(|| (0..LIMIT - MARK.len()).rev().find_map(|end| text.get(..end)));
        let end = end.and_then(|kept| kept.rfind('\n')).unwrap_or(0);
        text.truncate(end);
        text.push_str(MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample;

    #[test]
    fn the_summary_groups_by_cause_and_names_the_command() {
        let text = summary(&sample());
        assert!(text.starts_with("# There are unexpected results\n"), "{text}");
        assert!(text.contains("**1 of 6 passed, 1 warn, 1 fail, 1 error, 1 na, 1 not run**"), "{text}");
        assert!(text.contains("### `push.seq` seq #"), "{text}");
        assert!(text.contains("ignores &lt;what&gt; it &amp; \"must\""), "{text}");
        assert!(text.contains("```\nhallmark run A-002 --seed 7\n```"), "{text}");
        // One of the passed cases judges one row of the sheet; how many rows are exempt changes with the catalogue.
        assert!(text.contains("| gdoi | 538 | 1 | "), "{text}");
    }

    #[test]
    fn a_long_summary_is_cut_at_a_line() {
        let mut results = sample();
        let case = results.cases[1].clone();
        for n in 0..2000 {
            let signature = format!("shape é {n}");
            results.cases.push(hallmark_catalogue::CaseResult { id: format!("B-{n:03}"), signature, ..case.clone() });
        }
        let text = summary(&results);
        assert!(text.len() <= LIMIT && text.ends_with("has all of it.)\n"), "{}", text.len());
    }
}
