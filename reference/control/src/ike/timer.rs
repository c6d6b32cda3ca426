//! Timers in one ordered set, so that thousands of SAs cost no scan.

use std::collections::{BTreeMap, BTreeSet};

use hallmark_core::Instant;

use super::sa::SaId;

/// Says what is due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Timer {
    /// Send the last phase 1 message again (section 6 of the IKE sheet).
    Retransmit,
    /// Give an exchange up (IKE-LIFE-007, IKE-RTX-003).
    GiveUp,
    /// The SA's life is over (IKE-LIFE-001).
    Expire,
    /// Ask an idle peer, or ask again (IKE-DPD-006).
    Dpd,
    /// Discard an incomplete set of fragments (IKE-FRAG-008).
    Reassembly,
    /// Keep the NAT mapping open.
    Keepalive,
}

impl Timer {
    const ALL: [Self; 6] = [Self::Retransmit, Self::GiveUp, Self::Expire, Self::Dpd, Self::Reassembly, Self::Keepalive];
}

/// Holds at most one deadline for each exchange and kind.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Instant, SaId, Timer)>,
    at: BTreeMap<(SaId, Timer), Instant>,
}

impl Timers {
    /// Sets a timer, in place of the one of that kind.
    pub(super) fn set(&mut self, id: SaId, kind: Timer, at: Instant) {
        if let Some(old) = self.at.insert((id, kind), at) {
            self.due.remove(&(old, id, kind));
        }
        self.due.insert((at, id, kind));
    }

    /// Stops a timer.
    pub(super) fn cancel(&mut self, id: SaId, kind: Timer) {
        if let Some(old) = self.at.remove(&(id, kind)) {
            self.due.remove(&(old, id, kind));
        }
    }

    /// Stops every timer of an exchange.
    pub(super) fn cancel_all(&mut self, id: SaId) {
        for kind in Timer::ALL {
            self.cancel(id, kind);
        }
    }

    /// Tells when a timer is due.
    pub(super) fn deadline(&self, id: SaId, kind: Timer) -> Option<Instant> {
        self.at.get(&(id, kind)).copied()
    }

    /// Gives the next deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, ..)| *at)
    }

    /// Takes one timer that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(SaId, Timer)> {
        let &(at, id, kind) = self.due.first()?;
        if at > now {
            return None;
        }
        self.cancel(id, kind);
        Some((id, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_that_is_set_again_fires_once_at_the_new_time() {
        let mut timers = Timers::default();
        timers.set(SaId(1), Timer::Retransmit, Instant::from_secs(1));
        timers.set(SaId(2), Timer::GiveUp, Instant::from_secs(2));
        timers.set(SaId(1), Timer::Retransmit, Instant::from_secs(3));
        assert_eq!(timers.next(), Some(Instant::from_secs(2)));
        assert_eq!(timers.pop(Instant::from_secs(1)), None);
        assert_eq!(timers.pop(Instant::from_secs(9)), Some((SaId(2), Timer::GiveUp)));
        assert_eq!(timers.deadline(SaId(1), Timer::Retransmit), Some(Instant::from_secs(3)));
        timers.cancel_all(SaId(1));
        assert_eq!(timers.next(), None);
    }
}
