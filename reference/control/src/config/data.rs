//! How the data plane of a group is to work, as far as its key server decides it.

use hallmark_core::Duration;
use hallmark_crypto::HashAlg;

use super::ConfigError;

/// Configures the data plane of a group. What is not asked for is not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DataConfig {
    /// The protection against replayed data.
    pub replay: ReplayMethod,
    /// The window of IP-D3P; excludes time-based replay protection (P32) and the counter-based one.
    pub d3p: Option<Duration>,
    /// The members open protected traffic and send in clear.
    pub receive_only: bool,
    /// The upper half of each SPI tells the group, see [`group_tag`].
    pub group_spis: bool,
}

/// Is a protection against replayed data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReplayMethod {
    /// None.
    #[default]
    None,
    /// ESP sequence numbers; only for groups in which one member sends.
    Counter {
        /// Packets.
        window: u16,
    },
    /// Time stamps of a clock that the members share (TBAR).
    Time {
        /// Whole seconds either way.
        window_secs: u16,
    },
}

impl DataConfig {
    /// The windows of counters that a member can keep, in packets.
    pub const COUNTER_WINDOWS: std::ops::RangeInclusive<u16> = 32..=1_024;
    /// The windows of time stamps, in seconds (S13).
    pub const TIME_WINDOWS_SECS: std::ops::RangeInclusive<u16> = 1..=100;
    /// The windows of IP-D3P, in milliseconds (S13).
    pub const D3P_WINDOWS_MS: std::ops::RangeInclusive<u64> = 1_000..=100_000;

    /// Checks the values; `place` is where they stand, `together` lets what excludes each other pass.
    pub(super) fn check(&self, place: &str, together: bool) -> Result<(), ConfigError> {
        let told = |problem: String| Err(ConfigError::new(format!("{place}.replay"), problem));
        match self.replay {
            ReplayMethod::None => {}
            ReplayMethod::Counter { window } if Self::COUNTER_WINDOWS.contains(&window) => {}
            ReplayMethod::Counter { window } => {
                return told(format!("a window of {window} packets is not between 32 and 1024"));
            }
            ReplayMethod::Time { window_secs } if Self::TIME_WINDOWS_SECS.contains(&window_secs) => {}
            ReplayMethod::Time { window_secs } => {
                return told(format!("a window of {window_secs} s is not between 1 and 100"));
            }
        }
        let Some(window) = self.d3p else { return Ok(()) };
        let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        if !Self::D3P_WINDOWS_MS.contains(&millis) {
            return told(format!("a window of {millis} ms is not between 1000 and 100000"));
        }
        if self.replay != ReplayMethod::None && !together {
            return told("IP-D3P and another method exclude each other; use one of them".to_owned());
        }
        Ok(())
    }
}

/// Gives the upper half of the SPIs of a group whose key server tells the group in them: the first 16 bits of
/// HMAC-SHA-256 over the group identifier (big-endian) under the key `hallmark group spi`, or 1 where those are 0.
///
/// The vendor's encoding is not public; this is a reference form. The key is no secret: the tag only lets a member tell
/// SPIs of its group, which it missed, from those of others.
#[must_use]
pub fn group_tag(group: u32) -> u16 {
    let digest = hallmark_crypto::prf(HashAlg::Sha256, b"hallmark group spi", &[&group.to_be_bytes()]);
    let tag = digest.first_chunk().map_or(0, |octets: &[u8; 2]| u16::from_be_bytes(*octets));
    // SPIs up to 255 are reserved.
    tag.max(1)
}
