//! Timers by name, in order of time.

use std::collections::{BTreeMap, BTreeSet};

use hallmark_core::Instant;

/// Holds at most one time per key; setting, cancelling and taking the earliest cost O(log n).
#[derive(Clone, Debug)]
pub(crate) struct Timers<K: Ord + Copy> {
    by_key: BTreeMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Copy> Timers<K> {
    pub(crate) const fn new() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Sets a timer, replacing an earlier setting of the same key.
    pub(crate) fn set(&mut self, key: K, at: Instant) {
        if let Some(old) = self.by_key.insert(key, at) {
            self.by_time.remove(&(old, key));
        }
        self.by_time.insert((at, key));
    }

    pub(crate) fn cancel(&mut self, key: K) {
        if let Some(old) = self.by_key.remove(&key) {
            self.by_time.remove(&(old, key));
        }
    }

    pub(crate) fn get(&self, key: K) -> Option<Instant> {
        self.by_key.get(&key).copied()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the earliest timer that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (at, key) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.by_time.pop_first();
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_in_order_and_a_second_setting_replaces_the_first() {
        let mut timers = Timers::new();
        timers.set('a', Instant::from_secs(5));
        timers.set('b', Instant::from_secs(3));
        timers.set('a', Instant::from_secs(1));
        timers.set('c', Instant::from_secs(9));
        timers.cancel('c');
        assert_eq!(timers.next(), Some(Instant::from_secs(1)));
        assert_eq!(timers.pop_due(Instant::from_secs(4)), Some('a'));
        assert_eq!(timers.get('b'), Some(Instant::from_secs(3)));
        assert_eq!(timers.pop_due(Instant::from_secs(4)), Some('b'));
        assert_eq!(timers.pop_due(Instant::from_secs(99)), None);
    }
}
