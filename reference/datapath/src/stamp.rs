//! Time inside the protection: the reference's form of time-based anti-replay (TBAR-R) and IP-D3P.
//!
//! Both are 12 octets in front of the inner packet, announced by the next header of ESP and naming the next header of
//! what follows. TBAR-R (getvpn.md §4.5; the vendors' form is not public): next header, length 12, flags 0, reserved 0,
//! 64-bit pseudotime in ticks of 10 ms. IP-D3P (draft-weis-delay-detection-03): next header, type 1, 16-bit length 12,
//! 32-bit POSIX seconds, 32-bit microseconds.

use hallmark_core::{Duration, UnixTime};

/// Octets of either stamp.
pub const STAMP_LEN: usize = 12;
/// ESP next header of a TBAR-R stamp.
pub const TBAR_NEXT_HEADER: u8 = 99;
/// Type of a delay detection header with POSIX time.
pub const D3P_POSIX: u8 = 1;

/// Writes a TBAR-R stamp.
#[must_use]
pub const fn tbar(next_header: u8, ticks: u64) -> [u8; STAMP_LEN] {
    let [a, b, c, d, e, f, g, h] = ticks.to_be_bytes();
    [next_header, STAMP_LEN as u8, 0, 0, a, b, c, d, e, f, g, h]
}

/// Reads a TBAR-R stamp: next header and ticks; nothing when it is cut or its length is wrong.
#[must_use]
#[inline]
pub fn read_tbar(payload: &[u8]) -> Option<(u8, u64)> {
    let [next_header, len, _, _, ticks @ ..] = *payload.first_chunk::<STAMP_LEN>()?;
    (usize::from(len) == STAMP_LEN).then(|| (next_header, u64::from_be_bytes(ticks)))
}

/// Writes a delay detection header.
#[must_use]
pub fn d3p(next_header: u8, wall: UnixTime) -> [u8; STAMP_LEN] {
    let seconds = wall.0.div_euclid(1_000_000_000) as u32;
    let micros = (wall.0.rem_euclid(1_000_000_000) / 1_000) as u32;
    let ([a, b, c, d], [e, f, g, h]) = (seconds.to_be_bytes(), micros.to_be_bytes());
    [next_header, D3P_POSIX, 0, STAMP_LEN as u8, a, b, c, d, e, f, g, h]
}

/// Reads a delay detection header: next header, seconds, microseconds; nothing when it is cut, of another type or
/// length, or claims a million microseconds or more.
#[must_use]
pub fn read_d3p(payload: &[u8]) -> Option<(u8, u32, u32)> {
    let [next_header, kind, l0, l1, a, b, c, d, e, f, g, h] = *payload.first_chunk::<STAMP_LEN>()?;
    let (seconds, micros) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
    (kind == D3P_POSIX && usize::from(u16::from_be_bytes([l0, l1])) == STAMP_LEN && micros < 1_000_000).then_some((
        next_header,
        seconds,
        micros,
    ))
}

/// Says where a time lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// In the window.
    Accept,
    /// Before it.
    TooOld,
    /// Behind it.
    TooNew,
}

/// Compares a stamp with the own pseudotime, edges included (getvpn.md §4.2). All in ticks.
#[must_use]
#[inline]
pub const fn judge_ticks(mine: u64, peer: u64, window: u64) -> Verdict {
    if peer < mine && mine - peer > window {
        Verdict::TooOld
    } else if peer > mine && peer - mine > window {
        Verdict::TooNew
    } else {
        Verdict::Accept
    }
}

/// Compares a delay detection time with the own clock: half the window on each side, modulo 2^32 seconds (ESP-094).
#[must_use]
pub fn judge_d3p(mine: UnixTime, seconds: u32, micros: u32, window: Duration) -> Verdict {
    const ROUND: i64 = (1 << 32) * 1_000_000;
    let half = i64::try_from(window.as_micros() / 2).unwrap_or(ROUND / 2).min(ROUND / 2);
    let own = i64::from(mine.0.div_euclid(1_000_000_000) as u32) * 1_000_000 + mine.0.rem_euclid(1_000_000_000) / 1_000;
    let peer = i64::from(seconds) * 1_000_000 + i64::from(micros);
    // The nearest of the two ways around.
    let ahead = (peer - own + ROUND / 2).rem_euclid(ROUND) - ROUND / 2;
    if ahead < -half {
        Verdict::TooOld
    } else if ahead > half {
        Verdict::TooNew
    } else {
        Verdict::Accept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_read_as_they_were_written() {
        assert_eq!(read_tbar(&tbar(4, 62_586_626)), Some((4, 62_586_626)));
        let d3p_header = d3p(41, UnixTime(1_467_978_000_123_456_789));
        assert_eq!(read_d3p(&d3p_header), Some((41, 1_467_978_000, 123_456)));
        assert_eq!(read_tbar(&tbar(4, 1)[..11]), None);
        let mut wrong = tbar(4, 1);
        wrong[1] = 8;
        assert_eq!(read_tbar(&wrong), None);
        for (at, octet) in [(1, 2), (3, 11), (8, 0xff)] {
            let mut wrong = d3p_header;
            wrong[at] = octet;
            assert_eq!(read_d3p(&wrong), None, "octet {at}");
        }
    }

    #[test]
    fn the_time_window_includes_its_edges_and_nothing_more() {
        assert_eq!(judge_ticks(1_000, 600, 400), Verdict::Accept);
        assert_eq!(judge_ticks(1_000, 599, 400), Verdict::TooOld);
        assert_eq!(judge_ticks(1_000, 1_400, 400), Verdict::Accept);
        assert_eq!(judge_ticks(1_000, 1_401, 400), Verdict::TooNew);
        assert_eq!(judge_ticks(10, u64::MAX, u64::MAX), Verdict::Accept);
        assert_eq!(judge_ticks(0, u64::MAX, 5), Verdict::TooNew);
    }
}
