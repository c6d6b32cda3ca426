//! The clocks of a process.

use std::time::{Duration, Instant as OsInstant, SystemTime, UNIX_EPOCH};

use hallmark_core::{Instant, Now, UnixTime};

/// Tells monotonic and wall time, both running `rate` times as fast as real time from the moment it was started.
///
/// With a rate of 1 the wall clock is that of the operating system, steps included. With any other rate it starts at
/// the operating system's time and then runs at the rate.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: OsInstant,
    started_wall: UnixTime,
    rate: f64,
}

impl Clock {
    /// Starts a clock. A rate that is not a positive finite number counts as 1.
    #[must_use]
    pub fn start(rate: f64) -> Self {
        let rate = if rate.is_finite() && rate > 0.0 { rate } else { 1.0 };
        Self { started: OsInstant::now(), started_wall: system_time(), rate }
    }

    /// Starts a clock that keeps real time.
    #[must_use]
    pub fn real() -> Self {
        Self::start(1.0)
    }

    /// Says how much faster than real time this clock runs.
    #[must_use]
    pub const fn rate(&self) -> f64 {
        self.rate
    }

    /// Tells both times.
    #[must_use]
    pub fn now(&self) -> Now {
        let elapsed = self.scale(self.started.elapsed());
        let wall = if self.is_real() { system_time() } else { self.started_wall + elapsed };
        Now::new(Instant::ZERO + elapsed, wall)
    }

    /// Says how much real time lies between now and an instant of this clock: zero when it has passed.
    #[must_use]
    pub fn real_time_until(&self, deadline: Instant) -> Duration {
        let ahead = deadline.saturating_since(self.now().mono);
        if self.is_real() { ahead } else { scaled(ahead, 1.0 / self.rate) }
    }

    fn scale(&self, real: Duration) -> Duration {
        if self.is_real() { real } else { scaled(real, self.rate) }
    }

    fn is_real(&self) -> bool {
        (self.rate - 1.0).abs() < f64::EPSILON
    }
}

fn scaled(duration: Duration, factor: f64) -> Duration {
    // An f64 keeps nanoseconds exactly for three months; a process with a scaled clock lives for minutes.
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

fn system_time() -> UnixTime {
    let nanos = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    };
    UnixTime(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_multiplies_both_clocks_and_divides_waits() {
        let clock = Clock::start(100.0);
        let before = clock.now();
        std::thread::sleep(Duration::from_millis(20));
        let after = clock.now();
        let mono = after.mono - before.mono;
        assert!(mono >= Duration::from_secs(2), "{mono:?}");
        // The wall clock follows the same scaled time (both are read at one instant).
        assert_eq!(after.wall.0 - before.wall.0, i64::try_from(mono.as_nanos()).unwrap());
        let wait = clock.real_time_until(clock.now().mono + Duration::from_secs(100));
        assert!(wait <= Duration::from_secs(1) && wait > Duration::from_millis(500), "{wait:?}");
    }

    #[test]
    fn a_rate_of_one_is_real_time() {
        let clock = Clock::real();
        assert!(clock.now().mono < Instant::from_secs(5));
        assert!((clock.now().wall.0 - system_time().0).abs() < 1_000_000_000);
        assert_eq!(clock.real_time_until(Instant::ZERO), Duration::ZERO);
        assert!(clock.real_time_until(Instant::from_secs(60)) > Duration::from_secs(50));
    }

    #[test]
    fn a_senseless_rate_counts_as_one() {
        for rate in [0.0, -3.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Clock::start(rate).rate().to_bits(), 1.0_f64.to_bits());
        }
    }
}
