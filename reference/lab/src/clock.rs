//! The clocks of a host: what it believes the time is.

use hallmark_core::{Instant, Now, UnixTime};

/// Says how a host's clocks differ from the lab's.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ClockFault {
    /// The wall clock is ahead by so much (behind if negative).
    pub wall_offset_ns: i64,
    /// The wall clock runs too fast by so many millionths.
    pub wall_drift_ppm: i32,
    /// The monotonic clock, and with it every timer, runs too fast by so many millionths (at least -900,000).
    pub mono_drift_ppm: i32,
}

/// Both clocks of one host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostClock {
    mono: Line,
    wall: Line,
}

impl HostClock {
    /// Starts the clocks at lab time `now`, at which the true wall time is `wall`.
    pub(crate) fn new(now: Instant, wall: UnixTime, fault: ClockFault) -> Self {
        let mono = Line { from: now.0, value: i128::from(now.0), ppm: clamp(fault.mono_drift_ppm) };
        let wall = Line {
            from: now.0,
            value: i128::from(wall.0) + i128::from(fault.wall_offset_ns),
            ppm: clamp(fault.wall_drift_ppm),
        };
        Self { mono, wall }
    }

    pub(crate) fn read(&self, now: Instant) -> Now {
        let mono = u64::try_from(self.mono.at(now.0).max(0)).unwrap_or(u64::MAX);
        Now::new(Instant(mono), UnixTime(saturated(self.wall.at(now.0))))
    }

    /// Gives the first lab time at which the monotonic clock shows `mono` or more; nothing for never.
    pub(crate) fn lab_time_of(&self, mono: Instant) -> Option<Instant> {
        if mono == Instant::FAR_FUTURE {
            return None;
        }
        self.mono.reaches(i128::from(mono.0)).map(Instant)
    }

    /// Changes the rates; both clocks go on from what they show.
    pub(crate) fn set_drift(&mut self, now: Instant, wall_ppm: i32, mono_ppm: i32) {
        self.mono = Line { from: now.0, value: self.mono.at(now.0), ppm: clamp(mono_ppm) };
        self.wall = Line { from: now.0, value: self.wall.at(now.0), ppm: clamp(wall_ppm) };
    }

    pub(crate) fn step_wall(&mut self, delta_ns: i64) {
        self.wall.value += i128::from(delta_ns);
    }
}

/// A clock that showed `value` at lab time `from` and runs at a constant rate since.
#[derive(Clone, Copy, Debug)]
struct Line {
    from: u64,
    value: i128,
    ppm: i128,
}

impl Line {
    const MILLION: i128 = 1_000_000;

    fn at(&self, now: u64) -> i128 {
        let passed = i128::from(now) - i128::from(self.from);
        self.value + passed + (passed * self.ppm).div_euclid(Self::MILLION)
    }

    fn reaches(&self, value: i128) -> Option<u64> {
        let missing = value - self.value;
        if missing <= 0 {
            return Some(self.from);
        }
        let rate = Self::MILLION + self.ppm;
        let mut passed = (missing * Self::MILLION + rate - 1).div_euclid(rate);
        // Rounding inside `at` can leave the estimate short by a few nanoseconds.
        for _ in 0..16 {
            let now = u64::try_from(i128::from(self.from) + passed).ok()?;
            if self.at(now) >= value {
                return Some(now);
            }
            passed += 1;
        }
        u64::try_from(i128::from(self.from) + passed).ok()
    }
}

/// A clock that stands still would let timers never fire, one that runs backwards is none.
fn clamp(ppm: i32) -> i128 {
    i128::from(ppm.max(-900_000))
}

fn saturated(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_reached_at_the_first_lab_time_that_shows_it() {
        for ppm in [-900_000, -137, -1, 0, 1, 333, 50_000, 3_000_000] {
            let mut clock = HostClock::new(
                Instant(1_000_003),
                UnixTime(0),
                ClockFault { mono_drift_ppm: ppm, ..ClockFault::default() },
            );
            clock.set_drift(Instant(5_000_017), 0, ppm);
            for wanted in [5_000_018u64, 6_000_000, 1_234_567_891, 86_400_000_000_001] {
                let at = clock.lab_time_of(Instant(wanted)).unwrap();
                assert!(clock.read(at).mono.0 >= wanted, "{ppm} ppm, {wanted}");
                assert!(at.0 <= 5_000_017 || clock.read(Instant(at.0 - 1)).mono.0 < wanted, "{ppm} ppm, {wanted}");
            }
        }
        assert_eq!(HostClock::new(Instant(0), UnixTime(0), ClockFault::default()).lab_time_of(Instant(u64::MAX)), None);
    }

    #[test]
    fn offset_drift_and_steps_add_up() {
        let fault = ClockFault { wall_offset_ns: 5_000, wall_drift_ppm: 1_000, mono_drift_ppm: -500 };
        let mut clock = HostClock::new(Instant(0), UnixTime(1_000_000), fault);
        let later = clock.read(Instant(1_000_000));
        assert_eq!((later.wall, later.mono), (UnixTime(2_006_000), Instant(999_500)));
        clock.step_wall(-2_006_000);
        assert_eq!(clock.read(Instant(1_000_000)).wall, UnixTime(0));
    }
}
