//! Replay protection by time: the group clock and the stamps that packets carry.

use hallmark_core::{Instant, Pseudotime, UnixTime};
use hallmark_crypto::{HashAlg, prf};
use hallmark_wire::gdoi::{DataPolicy, ReplayPolicy};

/// How members of a group keep old packets out, as the key server tells them in the reference's private form.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Replay {
    /// Not at all.
    #[default]
    None,
    /// By a window over sequence numbers.
    Counter {
        /// Packets.
        window: u16,
    },
    /// By a stamp of the group clock in each packet (the reference's TBAR-R).
    Time {
        /// Seconds on either side of the receiver's clock.
        window_secs: u16,
        /// The group clock.
        clock: Pseudotime,
    },
    /// By a stamp of the wall clock in each packet (IP-D3P).
    D3p {
        /// Milliseconds, all of the window: half of it lies on either side of the receiver's clock.
        window_ms: u32,
    },
}

/// Starts a group clock that shows so many seconds now.
#[must_use]
pub const fn clock_showing(secs: u64, now: Instant) -> Pseudotime {
    Pseudotime::new(secs.saturating_mul(Pseudotime::TICKS_PER_SEC), now)
}

/// Sets a group clock forward (or back) by so many milliseconds.
#[must_use]
pub const fn shifted(clock: Pseudotime, millis: i64) -> Pseudotime {
    Pseudotime::new(clock.ticks.saturating_add_signed(millis / 10), clock.at)
}

/// Gives an SPI that tells its group in the upper half, in the reference's private form: the first 16 bits of
/// HMAC-SHA-256 over the group identifier under the key `hallmark group spi`, or 1 where those are 0.
#[must_use]
pub fn group_spi(group: u32, low: u16) -> u32 {
    let digest = prf(HashAlg::Sha256, b"hallmark group spi", &[&group.to_be_bytes()]);
    let tag = digest.first_chunk::<2>().map_or(0, |octets| u16::from_be_bytes(*octets)).max(1);
    u32::from(tag) << 16 | u32::from(low)
}

impl Replay {
    /// Gives the policy as a PULL or PUSH that is sent now tells it; nothing for no protection.
    #[must_use]
    pub fn policy(&self, now: Instant) -> DataPolicy {
        let none = DataPolicy::default();
        match *self {
            Self::None => none,
            Self::Counter { window } => {
                DataPolicy { replay: Some(ReplayPolicy { method: ReplayPolicy::COUNTER, window }), ..none }
            }
            Self::Time { window_secs, clock } => DataPolicy {
                replay: Some(ReplayPolicy { method: ReplayPolicy::TIME, window: window_secs }),
                pseudotime: Some(clock.at(now)),
                ..none
            },
            Self::D3p { window_ms } => {
                DataPolicy { d3p_type: Some(DataPolicy::D3P_POSIX), d3p_window_ms: Some(window_ms), ..none }
            }
        }
    }
}

/// A stamp as it stands in front of the inner packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stamp {
    /// TBAR-R: ESP next header 99.
    Time {
        /// Ticks of 10 ms.
        ticks: u64,
    },
    /// IP-D3P of type 1: ESP next header 253.
    D3p {
        /// Seconds since 1970, the low 32 bits.
        secs: u32,
        /// Microseconds.
        micros: u32,
    },
}

impl Stamp {
    /// ESP next header of TBAR-R.
    pub const TIME: u8 = 99;
    /// ESP next header of IP-D3P.
    pub const D3P: u8 = 253;
    /// Octets of either stamp.
    pub const LEN: usize = 12;

    /// Makes the D3P stamp of a wall clock.
    #[must_use]
    pub fn d3p(wall: UnixTime) -> Self {
        let secs = u32::try_from(wall.as_secs().rem_euclid(1 << 32)).unwrap_or_default();
        Self::D3p { secs, micros: u32::try_from(wall.0.rem_euclid(1_000_000_000) / 1_000).unwrap_or_default() }
    }

    /// Gives the ESP next header that announces it.
    #[must_use]
    pub const fn next_header(self) -> u8 {
        match self {
            Self::Time { .. } => Self::TIME,
            Self::D3p { .. } => Self::D3P,
        }
    }

    /// Writes it in front of an inner packet of this next header.
    #[must_use]
    pub fn octets(self, inner_next_header: u8) -> Vec<u8> {
        match self {
            Self::Time { ticks } => [&[inner_next_header, 12, 0, 0][..], &ticks.to_be_bytes()].concat(),
            Self::D3p { secs, micros } => {
                [&[inner_next_header, 1, 0, 12][..], &secs.to_be_bytes(), &micros.to_be_bytes()].concat()
            }
        }
    }

    /// Reads the stamp that an ESP next header announces, and the next header and octets behind it; `None` for what is
    /// no stamp or a broken one.
    #[must_use]
    pub fn read(next_header: u8, payload: &[u8]) -> Option<(Self, u8, &[u8])> {
        let (head, inner) = payload.split_first_chunk::<12>()?;
        let [following, a, b, c, t0, t1, t2, t3, t4, t5, t6, t7] = *head;
        let stamp = match (next_header, a, b, c) {
            (Self::TIME, 12, 0, 0) => Self::Time { ticks: u64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]) },
            (Self::D3P, 1, 0, 12) => {
                Self::D3p { secs: u32::from_be_bytes([t0, t1, t2, t3]), micros: u32::from_be_bytes([t4, t5, t6, t7]) }
            }
            _ => return None,
        };
        Some((stamp, following, inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_have_their_form_and_read_back() {
        let time = Stamp::Time { ticks: 0x0102 };
        assert_eq!(time.octets(4), [4, 12, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        let d3p = Stamp::d3p(UnixTime(1_700_000_000_123_456_789));
        assert_eq!(d3p, Stamp::D3p { secs: 1_700_000_000, micros: 123_456 });
        for stamp in [time, d3p] {
            let payload = [stamp.octets(41), vec![9; 5]].concat();
            assert_eq!(Stamp::read(stamp.next_header(), &payload), Some((stamp, 41, &[9; 5][..])));
            assert_eq!(Stamp::read(4, &payload), None);
        }
    }

    #[test]
    fn a_policy_tells_the_clock_as_it_is_when_it_is_sent() {
        let clock = shifted(clock_showing(600, Instant::from_secs(10)), -1_000);
        let policy = Replay::Time { window_secs: 4, clock }.policy(Instant::from_millis(12_345));
        assert_eq!((policy.pseudotime, policy.replay.map(|replay| replay.window)), (Some(60_134), Some(4)));
        assert_eq!(Replay::D3p { window_ms: 5_000 }.policy(Instant::ZERO).d3p_window_ms, Some(5_000));
        assert_eq!(Replay::None.policy(Instant::ZERO), DataPolicy::default());
    }
}
