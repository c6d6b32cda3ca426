//! Time as numbers that are handed in.
//!
//! Protocol code never reads a clock. It gets [`Now`], which keeps the monotonic time that drives timers apart from
//! the wall clock that certificates and pseudotime look at, because a lab (and a bad day) can break each on its own.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

pub use std::time::Duration;

/// A point of monotonic time: nanoseconds since an arbitrary zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// The arbitrary zero.
    pub const ZERO: Self = Self(0);
    /// Later than everything that happens.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// Makes an instant so many whole seconds after zero.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Makes an instant so many milliseconds after zero.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Gives the whole seconds since zero.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Gives the seconds since zero with their fraction.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Gives the time since `earlier`, zero if that lies ahead.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000_000, self.0 / 1_000 % 1_000_000)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A point of wall-clock time: nanoseconds since 1 January 1970 UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime(pub i64);

impl UnixTime {
    /// Makes a time from whole seconds since 1970.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Gives the whole seconds since 1970.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        let nanos = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl fmt::Debug for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix {}.{:06}s", self.as_secs(), self.0.rem_euclid(1_000_000_000) / 1_000)
    }
}

/// What a machine is told about time when it is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Drives every timer.
    pub mono: Instant,
    /// Dates certificates, LKH keys and pseudotime.
    pub wall: UnixTime,
}

impl Now {
    /// Puts the two clocks together.
    #[must_use]
    pub const fn new(mono: Instant, wall: UnixTime) -> Self {
        Self { mono, wall }
    }
}

/// The clock that the members of a group share: a count of ticks as it was told at some point of monotonic time.
///
/// It runs on with the monotonic clock alone, so that a step of the wall clock moves nothing (getvpn §4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pseudotime {
    /// Ticks of 10 ms since the clock of the group was started.
    pub ticks: u64,
    /// When the count was right.
    pub at: Instant,
}

impl Pseudotime {
    /// Nanoseconds of one tick.
    pub const TICK_NANOS: u64 = 10_000_000;
    /// Ticks of one second.
    pub const TICKS_PER_SEC: u64 = 100;

    /// Makes a clock that shows `ticks` at the time `at`.
    #[must_use]
    pub const fn new(ticks: u64, at: Instant) -> Self {
        Self { ticks, at }
    }

    /// Gives the ticks at a later time; before `at` the count stands still.
    #[must_use]
    pub const fn at(self, now: Instant) -> u64 {
        self.ticks.saturating_add(now.0.saturating_sub(self.at.0) / Self::TICK_NANOS)
    }

    /// Gives the whole ticks in a duration.
    #[must_use]
    pub fn ticks_in(duration: Duration) -> u64 {
        u64::try_from(duration.as_nanos() / u128::from(Self::TICK_NANOS)).unwrap_or(u64::MAX)
    }

    /// Gives ticks as seconds, the unit that operators read.
    #[must_use]
    pub fn secs(ticks: u64) -> f64 {
        ticks as f64 / Self::TICKS_PER_SEC as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudotime_runs_with_the_monotonic_clock_in_ticks_of_ten_milliseconds() {
        let clock = Pseudotime::new(500, Instant::from_secs(10));
        assert_eq!(clock.at(Instant::from_millis(12_345)), 500 + 234);
        assert_eq!(clock.at(Instant::from_secs(9)), 500, "a clock does not run backwards");
        assert_eq!(Pseudotime::ticks_in(Duration::from_millis(4_009)), 400);
        assert_eq!(Pseudotime::new(u64::MAX, Instant::ZERO).at(Instant::from_secs(1)), u64::MAX);
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Instant::FAR_FUTURE + Duration::from_secs(1), Instant::FAR_FUTURE);
        assert_eq!(Instant::ZERO - Duration::from_secs(1), Instant::ZERO);
        assert_eq!(Instant::from_secs(1).saturating_since(Instant::from_secs(2)), Duration::ZERO);
        assert_eq!(Instant::from_secs(5) - Instant::from_secs(2), Duration::from_secs(3));
    }

    #[test]
    fn prints_in_seconds() {
        assert_eq!((Instant::from_secs(12) + Duration::from_micros(345_678)).to_string(), "12.345678s");
        assert_eq!(format!("{:?}", UnixTime(-1)), "unix -1.999999s");
    }
}
