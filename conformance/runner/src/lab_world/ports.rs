//! The data ports of subjects: packets on their way into them, and packets that have left them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use hallmark_core::{Duration, Instant};
use hallmark_probe::world::{Carried, Side};

/// How long a packet takes from a host of the tester to a data port.
const DELAY: Duration = Duration::from_micros(100);
/// Packets that may wait to be taken, all ports together. A subject that sends more without being asked floods.
const WAITING_MAX: usize = 65_536;

/// Everything on both sides of all data ports.
#[derive(Default)]
pub(super) struct Ports {
    /// On the way in, in the order of arrival, since the delay is always the same.
    inbound: VecDeque<(Instant, u8, Side, Vec<u8>)>,
    left: LeftBy,
    waiting: BTreeMap<(u8, Side), VecDeque<Carried>>,
    count: usize,
    overflows: u64,
}

impl Ports {
    /// Sends a packet towards a port.
    pub(super) fn send(&mut self, now: Instant, subject: u8, side: Side, packet: Vec<u8>) {
        self.inbound.push_back((now + DELAY, subject, side, packet));
    }

    /// Tells when the next packet arrives at a port.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.inbound.front().map(|(at, ..)| *at)
    }

    /// Takes the next packet that has arrived at a port by now.
    pub(super) fn due(&mut self, now: Instant) -> Option<(u8, Side, Vec<u8>)> {
        self.inbound.front().filter(|(at, ..)| *at <= now)?;
        self.inbound.pop_front().map(|(_, subject, side, packet)| (subject, side, packet))
    }

    /// Gives the place where subjects leave packets.
    pub(super) fn left(&self) -> LeftBy {
        self.left.clone()
    }

    /// Queues what subjects have left since the last call, and gives it for the record.
    pub(super) fn take(&mut self) -> Vec<(u8, Side, Carried)> {
        let taken = self.left.drain();
        for (subject, side, carried) in &taken {
            if self.count == WAITING_MAX {
                self.overflows += 1;
                continue;
            }
            self.count += 1;
            self.waiting.entry((*subject, *side)).or_default().push_back(carried.clone());
        }
        taken
    }

    /// Takes the oldest packet that has left one port.
    pub(super) fn next(&mut self, subject: u8, side: Side) -> Option<Carried> {
        let carried = self.waiting.get_mut(&(subject, side))?.pop_front()?;
        self.count -= 1;
        Some(carried)
    }

    /// Forgets what is on its way to a subject that is replaced.
    pub(super) fn forget(&mut self, subject: u8) {
        self.inbound.retain(|(_, to, ..)| *to != subject);
    }

    /// Counts the packets that were lost because nobody took them.
    pub(super) const fn overflows(&self) -> u64 {
        self.overflows
    }
}

/// Where the subjects of a lab leave packets while the lab runs.
#[derive(Clone, Default)]
pub(super) struct LeftBy(Arc<Mutex<VecDeque<(u8, Side, Carried)>>>);

impl LeftBy {
    pub(super) fn push(&self, subject: u8, side: Side, carried: Carried) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back((subject, side, carried));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn drain(&self) -> Vec<(u8, Side, Carried)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }
}
