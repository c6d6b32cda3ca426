//! What is counted and remembered of time-based anti-replay.

use std::collections::VecDeque;

use hallmark_core::Instant;

use crate::status::ReplayError;

/// Nanoseconds of a minute.
const MINUTE: u64 = 60_000_000_000;

/// Counts stamps and keeps a sample of the errors.
#[derive(Debug, Default)]
pub(crate) struct Times {
    pub(crate) input_packets: u64,
    pub(crate) output_packets: u64,
    pub(crate) input_errors: u64,
    /// Largest correction of the pseudotime, in ticks.
    pub(crate) max_delta: u64,
    history: VecDeque<ReplayError>,
    minute: u64,
    in_minute: u32,
}

impl Times {
    /// Keeps an error unless its minute has had enough of them.
    // REQ TBAR-013
    pub(crate) fn remember(&mut self, error: ReplayError, per_minute: u32, most: usize) {
        let minute = minute_of(error.at);
        if minute != self.minute {
            (self.minute, self.in_minute) = (minute, 0);
        }
        if self.in_minute >= per_minute {
            return;
        }
        self.in_minute += 1;
        if self.history.capacity() == 0 {
            self.history.reserve_exact(most);
        }
        if self.history.len() >= most {
            self.history.pop_front();
        }
        self.history.push_back(error);
    }

    pub(crate) fn history(&self) -> Vec<ReplayError> {
        self.history.iter().copied().collect()
    }
}

const fn minute_of(at: Instant) -> u64 {
    at.0 / MINUTE
}
