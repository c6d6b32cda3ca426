//! From what a world recorded to the files that a verdict rests on.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use hallmark_core::Datagram;
use hallmark_dissect::{Dissection, Options, Protection, Secrets, Verdict};
use hallmark_evidence::{CaseEvidence, KeyPolicy, RunFolder, Way, case::Frame, ladder};
use hallmark_runner::{Entry, Finished, Transcript};

/// Writes the evidence of every attempt at a case; gives the folder of the one that counts, relative to the run.
pub(crate) fn write(folder: &RunFolder, finished: &Finished, keys: KeyPolicy) -> io::Result<String> {
    let result = &finished.result;
    let mut counts = 1;
    for (number, transcript) in (1..).zip(&finished.transcripts) {
        let attempt = result.attempts.iter().find(|attempt| attempt.number == number);
        if attempt.is_some_and(|attempt| attempt.verdict == result.verdict && attempt.reason == result.reason) {
            counts = number;
        }
        let home = folder.case(&result.id, number)?;
        let sidecar = folder.sidecar(&result.id, number);
        let evidence = collect(transcript);
        let title = match attempt {
            Some(attempt) => format!("{} {}: {}: {}", result.id, result.title, attempt.verdict, attempt.reason),
            None => format!("{} {}", result.id, result.title),
        };
        let told = told(&evidence);
        evidence.write(&home, &title, keys, &sidecar, &|number, _: &Frame| told.get(number).cloned().flatten())?;
        write_configs(transcript, keys, &home, &sidecar)?;
        fs::write(home.join("harness.log"), log(transcript))?;
        if let Some(attempt) = attempt {
            fs::write(home.join("verdict.json"), serde_json::to_string_pretty(attempt)? + "\n")?;
        }
        folder.write_reproduce(&result.id, number, &result.reproduce)?;
    }
    Ok(RunFolder::case_path(&result.id, counts))
}

/// Turns a record into frames, remarks and keys.
pub(crate) fn collect(transcript: &Transcript) -> CaseEvidence {
    let mut evidence = CaseEvidence::new();
    for entry in &transcript.entries {
        match entry {
            Entry::Datagram { at, wall, sent, src, dst, payload } => {
                let end = if *sent { src } else { dst };
                let datagram = Datagram::new(*src, *dst, payload.clone());
                evidence.datagram(*at, *wall, &format!("tester {}", end.ip()), &datagram);
            }
            Entry::Packet { at, wall, octets } => evidence.frame(*at, *wall, "tester raw", octets),
            Entry::Carried { at, wall, subject, side, sent, octets } => {
                let way = if *sent { Way::Into } else { Way::OutOf };
                evidence.carried(*at, *wall, &format!("{}{subject}", side.as_str()), way, octets);
            }
            Entry::Note { at, text } => evidence.note(*at, text),
            Entry::Log { at, text } => evidence.note(*at, &format!("subject says: {text}")),
            Entry::Console { at, text } => evidence.note(*at, &format!("console: {text}")),
        }
    }
    for record in &transcript.keys {
        evidence.key(record.clone());
    }
    evidence
}

/// Says of each frame what it holds once it is decrypted, and whether its HASH and SIG verify.
fn told(evidence: &CaseEvidence) -> Vec<Option<String>> {
    let Ok(capture) = evidence.pcapng() else { return Vec::new() };
    // The dissector reads what a reader of the evidence has: the keys as they stand in keys.json.
    let secrets = Secrets::parse(&evidence.secrets("").to_json()).unwrap_or_default();
    let Ok(dissection) = Dissection::of_file(&capture, &secrets, &Options::default()) else { return Vec::new() };
    let told = |frame: &hallmark_dissect::Frame| frame.kind.is_message().then(|| line(frame));
    // What passes the data ports is not for the dissector, whatever its ports are.
    let past = |number: usize| evidence.frames().get(number).is_some_and(|frame| frame.way == Way::Past);
    dissection.frames.iter().enumerate().map(|(number, frame)| told(frame).filter(|_| past(number))).collect()
}

fn line(frame: &hallmark_dissect::Frame) -> String {
    let mut text = frame.kind.label();
    match (&frame.repeat_of, frame.payloads.is_empty(), &frame.protection) {
        (Some(number), ..) => text += &format!(", the same as frame {number}"),
        (None, false, _) => text += &format!(": {}", frame.payloads.join(" ")),
        (None, true, Protection::NotDecrypted(why)) => text += &format!(", {} octets, closed: {why}", frame.octets),
        (None, true, _) => text += &format!(", {} octets", frame.octets),
    }
    if let Some(error) = &frame.error {
        text += &format!("  [does not decode: {}]", error.detail);
    }
    for check in frame.checks.iter().filter(|check| check.is_primary()) {
        let word = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Failed => "FAILED",
            Verdict::NotCheckable => "not checkable",
        };
        text += &format!("  {} {word}", check.name);
    }
    text
}

/// Writes what subjects were started from. It holds their keys, so it stands where keys stand.
fn write_configs(transcript: &Transcript, keys: KeyPolicy, home: &Path, sidecar: &Path) -> io::Result<()> {
    let place = match keys {
        KeyPolicy::Embed => home,
        KeyPolicy::Sidecar => sidecar,
        KeyPolicy::None => return Ok(()),
    };
    for (number, text) in (1..).zip(&transcript.configs) {
        fs::create_dir_all(place)?;
        fs::write(place.join(format!("subject-{number}.toml")), text)?;
    }
    Ok(())
}

/// Writes everything that was said and done, one line each.
fn log(transcript: &Transcript) -> String {
    let mut text = String::new();
    for entry in &transcript.entries {
        let at = entry.at().as_secs_f64();
        let _ = match entry {
            Entry::Datagram { sent, src, dst, payload, .. } => {
                let word = if *sent { "sent" } else { "received" };
                writeln!(text, "{at:>14.6} {word:8} {src} -> {dst}, {} octets", payload.len())
            }
            Entry::Packet { octets, .. } => writeln!(text, "{at:>14.6} sent     IP packet, {} octets", octets.len()),
            Entry::Carried { subject, side, sent, octets, .. } => {
                let way = if *sent { "sent" } else { "received" };
                writeln!(text, "{at:>14.6} {way:8} {}{subject} {}", side.as_str(), ladder::summary(octets))
            }
            Entry::Note { text: note, .. } => writeln!(text, "{at:>14.6} note     {note}"),
            Entry::Log { text: line, .. } => writeln!(text, "{at:>14.6} subject  {line}"),
            Entry::Console { text: done, .. } => writeln!(text, "{at:>14.6} console  {done}"),
        };
    }
    text
}
