//! Events as lines, and never more of them than the rate limit allows.

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

use hallmark_core::{Now, UnixTime};
use serde::Serialize;

/// Is the form of log lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// For people: time, level, text.
    #[default]
    Text,
    /// For machines: one JSON object on each line.
    Json,
}

/// Is how much a line matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Level {
    /// The node cannot go on as it should.
    Error,
    /// Unusual, but working.
    Warn,
    /// A state changed.
    #[default]
    Info,
    /// A peer deviates.
    Debug,
}

impl Level {
    /// Every level with its name.
    pub const ALL: &'static [(Self, &'static str)] =
        &[(Self::Error, "error"), (Self::Warn, "warn"), (Self::Info, "info"), (Self::Debug, "debug")];

    /// Gives the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(level, _)| *level == self).map_or("info", |(_, name)| name)
    }

    /// Finds a level by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(level, _)| *level)
    }
}

/// Settings of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// The form of lines.
    pub format: Format,
    /// Lines that matter less are left out.
    pub level: Level,
    /// Lines in a second, on average; more are counted instead of written.
    pub lines_per_sec: u32,
    /// Lines that may come at once after a quiet time.
    pub burst: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { format: Format::Text, level: Level::Info, lines_per_sec: 100, burst: 1_000 }
    }
}

/// Writes lines, buffered until [`Log::flush`].
pub struct Log<W: Write> {
    out: W,
    options: Options,
    buffer: Vec<u8>,
    tokens: f64,
    refilled: Instant,
    untold: u64,
    suppressed: u64,
}

impl<W: Write> Log<W> {
    /// Starts a log.
    #[must_use]
    pub fn new(out: W, options: Options) -> Self {
        Self {
            out,
            options,
            buffer: Vec::new(),
            tokens: f64::from(options.burst),
            refilled: Instant::now(),
            untold: 0,
            suppressed: 0,
        }
    }

    /// Tells whether lines of this level are written, so that callers need not build what is left out.
    #[must_use]
    pub fn wants(&self, level: Level) -> bool {
        level <= self.options.level
    }

    /// Writes one event.
    pub fn event(&mut self, now: Now, level: Level, event: &(impl Display + Serialize)) {
        // REQ IKE-DOS-010
        if !self.wants(level) || !self.take_token() {
            return;
        }
        self.tell_suppressed(now);
        match self.options.format {
            Format::Text => self.text_line(now, level, event),
            Format::Json => self.json_line(now, level, "event", event),
        }
    }

    /// Writes one message of the process itself.
    pub fn message(&mut self, now: Now, level: Level, text: &str) {
        if self.wants(level) && self.take_token() {
            self.tell_suppressed(now);
            self.plain(now, level, text);
        }
    }

    /// Counts the lines that the rate limit left out.
    #[must_use]
    pub const fn suppressed(&self) -> u64 {
        self.suppressed
    }

    /// Hands over what is buffered. A reader that is gone is no reason to stop serving.
    pub fn flush(&mut self) {
        if !self.buffer.is_empty() {
            let _ = self.out.write_all(&self.buffer);
            let _ = self.out.flush();
            self.buffer.clear();
        }
    }

    fn plain(&mut self, now: Now, level: Level, text: &str) {
        match self.options.format {
            Format::Text => self.text_line(now, level, &text),
            Format::Json => self.json_line(now, level, "message", &text),
        }
    }

    fn text_line(&mut self, now: Now, level: Level, text: &impl Display) {
        let _ = writeln!(self.buffer, "{} {:5} {text}", timestamp(now.wall), level.name());
    }

    fn json_line(&mut self, now: Now, level: Level, key: &str, value: &impl Serialize) {
        let _ = write!(
            self.buffer,
            "{{\"at\":\"{}\",\"uptime_secs\":{:.6},\"level\":\"{}\",\"{key}\":",
            timestamp(now.wall),
            now.mono.as_secs_f64(),
            level.name()
        );
        let begun = self.buffer.len();
        if serde_json::to_writer(&mut self.buffer, value).is_err() {
            self.buffer.truncate(begun);
            self.buffer.extend_from_slice(b"null");
        }
        self.buffer.extend_from_slice(b"}\n");
    }

    fn tell_suppressed(&mut self, now: Now) {
        if self.untold > 0 {
            let text = format!("{} lines left out by the rate limit", self.untold);
            self.untold = 0;
            self.plain(now, Level::Warn, &text);
        }
    }

    /// Takes one line out of the allowance. The allowance follows real time: a log is read and stored in real time.
    fn take_token(&mut self) -> bool {
        let now = Instant::now();
        let gained = now.saturating_duration_since(self.refilled);
        if gained > Duration::from_millis(1) {
            self.refilled = now;
            let gained = gained.as_secs_f64() * f64::from(self.options.lines_per_sec);
            self.tokens = (self.tokens + gained).min(f64::from(self.options.burst));
        }
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            true
        } else {
            self.untold += 1;
            self.suppressed += 1;
            false
        }
    }
}

/// Writes a time as RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn timestamp(at: UnixTime) -> String {
    let secs = at.as_secs();
    let millis = at.0.rem_euclid(1_000_000_000) / 1_000_000;
    let (days, second) = (secs.div_euclid(86_400), secs.rem_euclid(86_400));
    // Days since 1 March of year 0, in eras of 400 years: the leap day is then the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Now {
        Now::new(hallmark_core::Instant::from_millis(1_500), UnixTime(1_795_441_445_678_000_000))
    }

    fn lines(options: Options, count: usize) -> String {
        let mut log = Log::new(Vec::new(), options);
        for n in 0..count {
            log.event(now(), Level::Info, &format!("line {n}"));
        }
        log.flush();
        String::from_utf8(log.out).unwrap()
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(timestamp(UnixTime::from_secs(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(UnixTime::from_secs(951_782_400)), "2000-02-29T00:00:00.000Z");
        assert_eq!(timestamp(UnixTime::from_secs(1_709_251_199)), "2024-02-29T23:59:59.000Z");
        assert_eq!(timestamp(UnixTime(-1)), "1969-12-31T23:59:59.999Z");
        assert_eq!(timestamp(now().wall), "2026-11-23T13:44:05.678Z");
    }

    #[test]
    fn lines_have_time_level_and_content_in_both_forms() {
        assert_eq!(lines(Options::default(), 1), "2026-11-23T13:44:05.678Z info  line 0\n");
        let json = lines(Options { format: Format::Json, ..Options::default() }, 1);
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed["event"], "line 0");
        assert_eq!(parsed["level"], "info");
        assert_eq!(parsed["uptime_secs"], 1.5);
    }

    #[test]
    fn a_flood_is_counted_instead_of_written() {
        let options = Options { lines_per_sec: 20, burst: 10, ..Options::default() };
        let mut log = Log::new(Vec::new(), options);
        for n in 0..10_000 {
            log.event(now(), Level::Info, &format!("line {n}"));
        }
        log.flush();
        let written = log.out.iter().filter(|octet| **octet == b'\n').count();
        assert!((10..200).contains(&written), "{written}");
        assert!(log.suppressed() > 9_000);
        std::thread::sleep(Duration::from_millis(120));
        log.message(now(), Level::Info, "later");
        log.flush();
        let text = String::from_utf8(log.out).unwrap();
        assert!(text.contains("lines left out by the rate limit"), "{text}");
        assert!(text.ends_with("later\n"));
    }

    #[test]
    fn what_matters_less_is_left_out() {
        let mut log = Log::new(Vec::new(), Options { level: Level::Warn, ..Options::default() });
        log.message(now(), Level::Info, "state");
        log.message(now(), Level::Error, "trouble");
        log.flush();
        let text = String::from_utf8(log.out).unwrap();
        assert!(text.contains("trouble") && !text.contains("state"), "{text}");
    }
}
