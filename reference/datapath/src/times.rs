//! What is counted and remembered of time-based anti-replay.

use std::collections::VecDeque;

use hallmark_core::Instant;

use crate::status::ReplayError;

/// Errors that are kept.
const HISTORY: usize = 100;
/// Errors of a minute that are kept.
const PER_MINUTE: u32 = 10;
/// Nanoseconds of a minute.
const MINUTE: u64 = 60_000_000_000;

/// Counts stamps and keeps a sample of the errors.
#[derive(Debug)]
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
    /// Starts with room for every error that is kept: the path of a packet does not make it.
    pub(crate) fn new() -> Self {
        Self {
            input_packets: 0,
            output_packets: 0,
            input_errors: 0,
            max_delta: 0,
            history: VecDeque::with_capacity(HISTORY),
            minute: 0,
            in_minute: 0,
        }
    }

    /// Keeps an error; a sample leaves it out when its minute has had enough of them.
    // REQ TBAR-013
    pub(crate) fn remember(&mut self, error: ReplayError, sampled: bool) {
        let minute = minute_of(error.at);
        if minute != self.minute {
            (self.minute, self.in_minute) = (minute, 0);
        }
        if sampled && self.in_minute >= PER_MINUTE {
            return;
        }
        self.in_minute = self.in_minute.saturating_add(1);
        if self.history.len() >= HISTORY {
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
