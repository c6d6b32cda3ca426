//! The output for people: a ladder, what is wrong below each message, and a summary.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::check::{Check, Verdict};
use crate::compat::{Compat, Switch};
use crate::dissection::{Dissection, Totals};
use crate::frame::{Frame, Kind, Protection};

/// Says how much is printed and with which characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Style {
    /// Whether headers, payloads and all checks are printed too.
    pub verbose: bool,
    /// Whether check marks may be used; words otherwise.
    pub unicode: bool,
}

/// Prints a dissection under a title.
#[must_use]
pub fn render(title: &str, dissection: &Dissection, style: Style) -> String {
    let totals = dissection.totals();
    let mut text = String::new();
    let _ = writeln!(text, "{title}: {}, {:.3} s", plural(totals.frames, "frame"), seconds(dissection, None));
    let pieces: BTreeSet<usize> = dissection.frames.iter().flat_map(|frame| frame.pieces.iter().copied()).collect();
    let shown: Vec<&Frame> = dissection.frames.iter().filter(|frame| is_shown(frame, &pieces)).collect();
    let width = shown.iter().map(|frame| ends(frame).len()).max().unwrap_or(0);
    for frame in &shown {
        rung(&mut text, frame, dissection, width, style);
    }
    if shown.is_empty() {
        text.push_str("no ISAKMP message was found\n");
    }
    summary(&mut text, dissection, &totals);
    text
}

/// Gives the last line of the summary.
#[must_use]
pub fn result(dissection: &Dissection) -> String {
    let totals = dissection.totals();
    if dissection.is_ok() {
        return match (totals.messages, totals.closed) {
            (0, _) => "nothing was wrong, and nothing was there".to_owned(),
            (_, 0) => "every message decodes and no check failed".to_owned(),
            (_, closed) => format!("no check failed; {} stayed closed", plural(closed, "message")),
        };
    }
    let mut faults = Vec::new();
    if totals.failed > 0 {
        faults.push(format!("{} failed", plural(totals.failed, "check")));
    }
    if totals.undecodable > 0 {
        let verb = if totals.undecodable == 1 { "does" } else { "do" };
        faults.push(format!("{} {verb} not decode", plural(totals.undecodable, "message")));
    }
    faults.extend(dissection.trouble.clone());
    format!("FAILED: {}", faults.join("; "))
}

fn rung(text: &mut String, frame: &Frame, dissection: &Dissection, width: usize, style: Style) {
    let at = seconds(dissection, Some(frame));
    let closed = match frame.protection {
        Protection::NotDecrypted(_) => " (closed)",
        _ => "",
    };
    let label = format!("{}{closed}", frame.kind.label());
    let mut line = format!("{:>5} {at:>11.6}  {:<width$}  {label:<18}  {}", frame.number, ends(frame), content(frame));
    let marks = marks(frame, style);
    if !marks.is_empty() {
        let _ = write!(line, "  {marks}");
    }
    let _ = writeln!(text, "{}", line.trim_end());
    for remark in remarks(frame, style) {
        let _ = writeln!(text, "{:19}{remark}", "");
    }
    if style.verbose {
        details(text, frame);
    }
}

/// Names the payloads, or what is known instead.
fn content(frame: &Frame) -> String {
    if let Some(original) = frame.repeat_of {
        return format!("the same as frame {original}");
    }
    if !frame.payloads.is_empty() {
        return frame.payloads.join(" ");
    }
    match (&frame.header, &frame.protection) {
        (Some(header), Protection::NotDecrypted(_)) => format!("{} octets, first {}", frame.octets, header.next),
        _ => format!("{} octets", frame.octets),
    }
}

/// Puts the checks that people look for into one line.
fn marks(frame: &Frame, style: Style) -> String {
    let shown = frame.checks.iter().filter(|check| check.is_primary() || check.verdict == Verdict::Failed);
    let mark = |check: &Check| match (check.verdict, style.unicode) {
        (Verdict::Ok, true) => format!("\u{2713} {}", check.name),
        (Verdict::Failed, true) => format!("\u{2717} {}", check.name),
        (Verdict::NotCheckable, true) => format!("? {}", check.name),
        (Verdict::Ok, false) => format!("{} OK", check.name),
        (Verdict::Failed, false) => format!("{} FAILED", check.name),
        (Verdict::NotCheckable, false) => format!("{} not checkable", check.name),
    };
    let mut marks: Vec<String> = shown.map(mark).collect();
    marks.dedup();
    marks.join(", ")
}

/// Says what a reader has to know: failures, reasons, remarks.
fn remarks(frame: &Frame, style: Style) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(error) = &frame.error {
        remarks.push(format!("does not decode: {}", error.detail));
    }
    if let Protection::NotDecrypted(why) = &frame.protection
        && !frame.checks.iter().any(|check| check.detail == *why)
    {
        remarks.push(format!("closed: {why}"));
    }
    for check in &frame.checks {
        let wanted = match check.verdict {
            Verdict::Failed => true,
            Verdict::NotCheckable => !matches!(frame.protection, Protection::NotDecrypted(_)),
            Verdict::Ok => style.verbose,
        };
        if wanted {
            remarks.push(sentence(check));
        }
    }
    let allowed = frame.checks.iter().filter(|check| check.verdict == Verdict::Ok).filter_map(|check| check.switch);
    let allowed: Vec<&str> = allowed.map(Switch::name).collect();
    if !allowed.is_empty() && !style.verbose {
        remarks.push(format!("allowed: {}", allowed.join(", ")));
    }
    remarks.extend(frame.notes.iter().map(|note| format!("note: {note}")));
    if !frame.pieces.is_empty() {
        let numbers: Vec<String> = frame.pieces.iter().map(usize::to_string).collect();
        remarks.push(format!("note: begins in frames {}", numbers.join(", ")));
    }
    remarks
}

fn sentence(check: &Check) -> String {
    let detail = if check.detail.is_empty() { String::new() } else { format!(": {}", check.detail) };
    match (check.verdict, check.switch) {
        (Verdict::Ok, None) => format!("{} ok{detail}", check.name),
        (Verdict::Ok, Some(switch)) => format!("{} ok with {switch}{detail}", check.name),
        (Verdict::Failed, None) => format!("{} FAILED{detail}", check.name),
        (Verdict::Failed, Some(switch)) => format!("{} FAILED{detail} [{switch}]", check.name),
        (Verdict::NotCheckable, _) => format!("{} not checkable{detail}", check.name),
    }
}

fn details(text: &mut String, frame: &Frame) {
    let indent = " ".repeat(19);
    if let Some(header) = &frame.header {
        let _ = writeln!(
            text,
            "{indent}header: {} {} next {} version {:#04x} {} flags {} message id {:08x} length {}",
            hex::encode(header.initiator_cookie),
            hex::encode(header.responder_cookie),
            header.next,
            header.version,
            header.exchange,
            header.flags.0,
            header.message_id,
            header.length,
        );
    }
    if let Protection::Decrypted(with) = &frame.protection {
        let _ = writeln!(text, "{indent}decrypted: {with}");
    }
    for line in frame.tree.iter().flat_map(hallmark_wire::describe::Tree::lines) {
        let _ = writeln!(text, "{indent}{line}");
    }
}

fn summary(text: &mut String, dissection: &Dissection, totals: &Totals) {
    let mut parts = vec![plural(totals.messages, "message")];
    let counts = [
        (totals.decrypted, "decrypted"),
        (totals.closed, "closed"),
        (totals.repeats, "repeated"),
        (totals.undecodable, "not decodable"),
        (totals.pieces, "pieces"),
        (totals.keepalives, "keepalives"),
        (totals.others, "not ISAKMP"),
    ];
    parts.extend(counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    let _ = writeln!(text, "\n{}", parts.join(", "));
    let _ =
        writeln!(text, "checks: {} ok, {} failed, {} not checkable", totals.ok, totals.failed, totals.not_checkable);
    if !dissection.used.is_empty() {
        text.push_str("allowed deviations that were needed:\n");
        for (switch, count) in &dissection.used {
            switch_line(text, *switch, *count);
        }
    }
    let missing = dissection.explaining_switches();
    if !missing.is_empty() {
        text.push_str("deviations behind failed checks, by the name that --compat takes:\n");
        for (switch, count) in &missing {
            switch_line(text, *switch, *count);
        }
        let profile = Compat::gdoid_2011();
        if missing.keys().all(|switch| profile.allows(*switch)) {
            let _ = writeln!(text, "  --compat {} allows them", Compat::GDOID_2011);
        }
    }
    let suspected = dissection.suspected_switches();
    if !suspected.is_empty() {
        text.push_str("likely deviations that would change what is read:\n");
        for (switch, count) in &suspected {
            switch_line(text, *switch, *count);
        }
    }
    let _ = writeln!(text, "{}", result(dissection));
}

fn switch_line(text: &mut String, switch: Switch, count: usize) {
    let _ = writeln!(text, "  {switch:<24} {:>4} x  {}", count, switch.describe());
}

/// Leaves out what is no part of the conversation, and pieces of other packets.
fn is_shown(frame: &Frame, pieces: &BTreeSet<usize>) -> bool {
    match frame.kind {
        Kind::NotOurs => false,
        Kind::IpFragment => pieces.contains(&frame.number),
        _ => true,
    }
}

fn ends(frame: &Frame) -> String {
    frame.ends.map_or_else(String::new, |(src, dst)| format!("{src} -> {dst}"))
}

/// Gives the seconds from the first frame to a frame, or to the last one.
fn seconds(dissection: &Dissection, frame: Option<&Frame>) -> f64 {
    let first = dissection.frames.first().map_or(0, |first| first.at.0);
    let to = frame.or(dissection.frames.last()).map_or(first, |frame| frame.at.0);
    to.saturating_sub(first) as f64 / 1e9
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
