//! The event log of a run: append-only lines of JSON, each bound to the one before by a hash.
//!
//! A line is `{"n":N,"at":"…","prev":"…","kind":"…","body":{…},"hash":"…"}`. `hash` is the SHA-256 of the line's own
//! octets up to `,"hash":`, and `prev` is the hash of the line before (64 zeros for the first). Who changes, removes or
//! reorders a line breaks the chain. A crash leaves at most one truncated last line, which the reader reports and
//! otherwise ignores.

use std::fs::File;
use std::io::{self, Write};

use hallmark_core::UnixTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::time;

/// What the first line is bound to.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Takes the lines and can make them durable.
pub trait Sink: Write {
    /// Returns when everything written so far survives a crash.
    ///
    /// # Errors
    /// When the storage refuses.
    fn sync(&mut self) -> io::Result<()>;
}

impl Sink for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Sink for Vec<u8> {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes an event log.
#[derive(Debug)]
pub struct EventLog<S> {
    sink: S,
    next: u64,
    prev: String,
}

impl<S: Sink> EventLog<S> {
    /// Begins a log.
    #[must_use]
    pub fn new(sink: S) -> Self {
        Self { sink, next: 0, prev: GENESIS.to_owned() }
    }

    /// Goes on with a log that was read back. The sink must stand at the end of its last whole line.
    #[must_use]
    pub fn resume(sink: S, read: &ReadLog) -> Self {
        Self {
            sink,
            next: read.events.len() as u64,
            prev: read.events.last().map_or_else(|| GENESIS.to_owned(), |event| event.hash.clone()),
        }
    }

    /// Appends an event. The line reaches the operating system in one piece, so it survives a kill of the program.
    ///
    /// # Errors
    /// When the body cannot be written as JSON or the sink refuses.
    pub fn append(&mut self, at: UnixTime, kind: &str, body: &impl Serialize) -> io::Result<()> {
        let mut line = format!(
            "{{\"n\":{},\"at\":\"{}\",\"prev\":\"{}\",\"kind\":{},\"body\":{}",
            self.next,
            time::rfc3339(at),
            self.prev,
            serde_json::to_string(kind)?,
            serde_json::to_string(body)?
        );
        let hash = digest(line.as_bytes());
        line.push_str(&format!(",\"hash\":\"{hash}\"}}\n"));
        self.sink.write_all(line.as_bytes())?;
        self.next += 1;
        self.prev = hash;
        Ok(())
    }

    /// Appends an event and makes it durable: what verdicts are written with.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_durable(&mut self, at: UnixTime, kind: &str, body: &impl Serialize) -> io::Result<()> {
        self.append(at, kind, body)?;
        self.sink.flush()?;
        self.sink.sync()
    }

    /// Gives the hash of the last line, which stands for the whole log.
    #[must_use]
    pub fn head(&self) -> &str {
        &self.prev
    }

    /// Gives the sink back.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.sink
    }
}

/// Is one line of a log.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct LoggedEvent {
    /// Its number, from 0.
    pub n: u64,
    /// When it was written.
    pub at: String,
    /// The hash of the line before.
    pub prev: String,
    /// What happened, for example `case.verdict`.
    pub kind: String,
    /// The particulars.
    pub body: Value,
    /// The hash of this line.
    pub hash: String,
}

/// Is a log that was read back.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ReadLog {
    /// Its whole lines.
    pub events: Vec<LoggedEvent>,
    /// Octets of a last line that broke off, 0 when there is none.
    pub truncated: usize,
    /// Octets of the whole lines.
    pub len: usize,
}

/// Says where the chain is broken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line} of the event log: {what}")]
pub struct LogError {
    /// Counts from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Reads a log and verifies its chain.
///
/// # Errors
/// The first line that was changed, removed, reordered or is no event at all. A last line without its end is no error.
pub fn read(octets: &[u8]) -> Result<ReadLog, LogError> {
    let mut log = ReadLog::default();
    let mut prev = GENESIS.to_owned();
    for (number, line) in (1..).zip(octets.split_inclusive(|octet| *octet == b'\n')) {
        let Some(text) = line.strip_suffix(b"\n") else {
            log.truncated = line.len();
            break;
        };
        let fault = |what| LogError { line: number, what };
        let event: LoggedEvent = serde_json::from_slice(text).map_err(|_| fault("is no event"))?;
        let signed = signed_part(text, &event.hash).ok_or_else(|| fault("does not end with its hash"))?;
        if digest(signed) != event.hash {
            return Err(fault("was changed: its hash does not fit"));
        }
        if event.prev != prev || event.n != log.events.len() as u64 {
            return Err(fault("does not follow the line before"));
        }
        prev.clone_from(&event.hash);
        log.len += line.len();
        log.events.push(event);
    }
    Ok(log)
}

impl ReadLog {
    /// Walks the events of one kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a LoggedEvent> {
        self.events.iter().filter(move |event| event.kind == kind)
    }
}

fn signed_part<'a>(line: &'a [u8], hash: &str) -> Option<&'a [u8]> {
    line.strip_suffix(format!(",\"hash\":\"{hash}\"}}").as_bytes())
}

fn digest(octets: &[u8]) -> String {
    hex::encode(Sha256::digest(octets))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn log() -> Vec<u8> {
        let mut log = EventLog::new(Vec::new());
        log.append(UnixTime::from_secs(1), "run.started", &json!({"seed": 7})).expect("writes");
        log.append_durable(UnixTime::from_secs(2), "case.verdict", &json!({"id": "A-001", "verdict": "pass"}))
            .expect("writes");
        log.append(UnixTime::from_secs(3), "note", &"line\nbreak \",\"hash\":\"").expect("writes");
        log.into_inner()
    }

    #[test]
    fn what_was_written_reads_back_and_the_chain_holds() {
        let read = read(&log()).expect("reads");
        assert_eq!(read.events.len(), 3);
        assert_eq!((read.truncated, read.len), (0, log().len()));
        assert_eq!(read.of_kind("case.verdict").next().map(|e| &e.body["verdict"]), Some(&json!("pass")));
        assert_eq!(read.events[2].body, json!("line\nbreak \",\"hash\":\""));
    }

    #[test]
    fn a_changed_removed_or_reordered_line_breaks_the_chain() {
        let text = String::from_utf8(log()).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        let joined = |lines: &[&str]| format!("{}\n", lines.join("\n"));
        let fault = |text: String| read(text.as_bytes()).expect_err("broken");
        assert_eq!(fault(text.replace("\"pass\"", "\"fail\"")).line, 2);
        assert_eq!(fault(joined(&[lines[0], lines[2]])), LogError { line: 2, what: "does not follow the line before" });
        assert_eq!(fault(joined(&[lines[1], lines[2]])).line, 1, "the beginning was cut off");
        assert_eq!(fault(joined(&[lines[0], lines[2], lines[1]])).line, 2);
        assert_eq!(fault(text.replace("{\"n\":0", "{ \"n\":0")).line, 1, "even a blank counts");
        assert_eq!(fault("{}\n".to_owned()).what, "is no event");
    }

    #[test]
    fn every_truncation_loses_at_most_the_last_line() {
        let whole = log();
        for len in 0..whole.len() {
            let read = read(&whole[..len]).unwrap_or_else(|e| panic!("{len}: {e}"));
            assert_eq!(read.len + read.truncated, len);
            assert_eq!(read.events.len(), whole[..len].iter().filter(|o| **o == b'\n').count());
        }
    }

    #[test]
    fn a_log_goes_on_after_a_crash() {
        let whole = log();
        let cut = &whole[..whole.len() - 3];
        let first = read(cut).expect("reads");
        let mut log = EventLog::resume(cut[..first.len].to_vec(), &first);
        log.append(UnixTime::from_secs(9), "run.resumed", &json!({})).expect("writes");
        let octets = log.into_inner();
        let second = read(&octets).expect("reads");
        assert_eq!(second.events.len(), first.events.len() + 1);
    }
}
