//! Points of time as text.

use hallmark_core::UnixTime;
use jiff::Timestamp;

/// Writes a time as RFC 3339 with microseconds, in UTC.
#[must_use]
pub fn rfc3339(at: UnixTime) -> String {
    timestamp(at).strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Writes a time in the form that names run folders: `20261123T072405Z`.
#[must_use]
pub fn compact(at: UnixTime) -> String {
    timestamp(at).strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Reads what [`rfc3339`] wrote.
#[must_use]
pub fn parse(text: &str) -> Option<UnixTime> {
    let timestamp: Timestamp = text.parse().ok()?;
    i64::try_from(timestamp.as_nanosecond()).ok().map(UnixTime)
}

fn timestamp(at: UnixTime) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back_to_the_microsecond() {
        let at = UnixTime(1_795_418_645_123_456_789);
        assert_eq!(rfc3339(at), "2026-11-23T07:24:05.123456Z");
        assert_eq!(compact(at), "20261123T072405Z");
        assert_eq!(parse(&rfc3339(at)), Some(UnixTime(1_795_418_645_123_456_000)));
        assert_eq!(parse("yesterday"), None);
    }
}
