//! Sequence numbers and initialisation vectors on the sending side (RFC 4303 §3.3.3, RFC 6054).
//!
//! Each SA counts its packets: the sequence number is the low half of that count. Each key of a counter mode counts its
//! initialisation vectors: the low bits of that count stand behind the sender id. All workers take from the same counts,
//! so that one sender id serves them all. When the bits behind one id have run through, the next id takes over; an id is
//! never used for two rounds.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the packets of one SA, or the initialisation vectors of one key, for all workers.
#[derive(Debug, Default)]
pub struct SendCounter(AtomicU64);

impl SendCounter {
    /// Gives the number of the last packet, 0 before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Moves the count on to `last`. It never goes back, because numbers must not repeat.
    pub fn advance_to(&self, last: u64) {
        self.0.fetch_max(last, Ordering::Relaxed);
    }

    /// Takes up to `wanted` numbers that are not above `limit`; gives the first and how many there are.
    // REQ ESP-002 REQ ESP-003
    #[inline]
    pub fn take(&self, wanted: u64, limit: u64) -> (u64, u64) {
        let granted = |last: u64| wanted.min(limit.saturating_sub(last));
        // A closure that always gives `Some` cannot fail; what it would give back is the same number.
        let last = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(last + granted(last)))
            .unwrap_or_else(|last| last);
        (last.saturating_add(1), granted(last))
    }
}

/// Remembers which sender id serves which round of the count of one key.
#[derive(Debug, Default)]
pub(crate) struct SenderIds {
    bits: Option<u16>,
    bound: Vec<(u64, u32)>,
    /// The round in which the room ran out. Its ids are not all known, so no other round can have any.
    last_round: Option<u64>,
}

/// Ids that are remembered of one key, each for the round that it serves.
const BOUND_MAX: usize = 1024;

impl SenderIds {
    /// Finds the id for a round: one of `ids` that serves no other round. Nothing when all have run out, when the room for
    /// them has, or when the length of ids under this key has changed, which would let vectors meet. Within one round any
    /// number of ids may take turns: the count keeps their vectors apart.
    // REQ ESP-067 REQ ESP-068
    pub(crate) fn for_round(&mut self, bits: u16, ids: &[u32], round: u64) -> Option<u32> {
        if *self.bits.get_or_insert(bits) != bits || self.last_round.is_some_and(|last| last != round) {
            return None;
        }
        let fits = |id: u32| u64::from(id) < 1 << bits;
        let free = |id: u32| self.bound.iter().all(|&(r, i)| i != id || r == round);
        let id = ids.iter().copied().find(|&id| fits(id) && free(id))?;
        if !self.bound.contains(&(round, id)) {
            match self.bound.len() < BOUND_MAX {
                true => self.bound.push((round, id)),
                false => self.last_round = Some(round),
            }
        }
        Some(id)
    }
}

/// Tells whether sender ids of so many bits can be used: 8, 12 and 16 must be (ESP-065), others are no harm.
pub(crate) const fn valid_bits(bits: u16) -> bool {
    matches!(bits, 1..=32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_with_one_and_stop_at_the_limit() {
        let counter = SendCounter::default();
        assert_eq!(counter.take(3, 10), (1, 3));
        assert_eq!(counter.take(64, 10), (4, 7));
        assert_eq!(counter.take(64, 10), (11, 0));
        assert_eq!(counter.last(), 10);
        counter.advance_to(5);
        assert_eq!(counter.last(), 10);
        counter.advance_to(u64::MAX - 1);
        assert_eq!(counter.take(5, u64::MAX), (u64::MAX, 1));
        assert_eq!(counter.take(5, u64::MAX).1, 0);
    }

    #[test]
    fn an_id_serves_one_round_only() {
        let mut ids = SenderIds::default();
        assert_eq!(ids.for_round(16, &[7, 8], 0), Some(7));
        assert_eq!(ids.for_round(16, &[7, 8], 0), Some(7));
        assert_eq!(ids.for_round(16, &[7, 8], 1), Some(8));
        assert_eq!(ids.for_round(16, &[7, 8], 2), None);
        // A new list in the middle of a round takes over, and old ids stay with their rounds.
        assert_eq!(ids.for_round(16, &[9], 2), Some(9));
        assert_eq!(ids.for_round(16, &[8], 2), None);
        assert_eq!(ids.for_round(16, &[8], 1), Some(8));
        assert_eq!(ids.for_round(8, &[1], 2), None);
        assert_eq!(SenderIds::default().for_round(8, &[256], 0), None);
    }

    #[test]
    fn registrations_without_end_leave_ids_for_the_round_and_for_no_other() {
        let mut ids = SenderIds::default();
        assert_eq!(ids.for_round(16, &[7], 0), Some(7));
        for id in 1_000..3_000 {
            assert_eq!(ids.for_round(16, &[id], 1), Some(id));
        }
        assert_eq!(ids.for_round(16, &[7], 1), None, "it served the round before");
        assert_eq!((ids.for_round(16, &[5_000], 2), ids.for_round(16, &[5_000], 0)), (None, None));
        assert_eq!(ids.bound.len(), BOUND_MAX);
    }
}
