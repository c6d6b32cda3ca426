//! The flow cache: what the classifier said about a key, remembered by one worker.

use super::{Classifier, FlowKey};

/// Remembers the answers of a classifier in a table of fixed size.
///
/// Each key has one place; a newer key takes it from an older one. A hit compares the whole key, so a wrong answer is
/// impossible; a sender who makes keys meet only brings everybody back to the full lookup. One worker owns one cache.
#[derive(Debug)]
pub struct FlowCache {
    entries: Vec<Entry>,
    seed: u64,
    generation: u32,
    hits: u64,
    misses: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: FlowKey,
    generation: u32,
    rule: Option<u32>,
}

impl FlowCache {
    /// Makes a cache of `entries` places, rounded up to a power of two; 0 turns it off. `seed` should be secret.
    #[must_use]
    pub fn new(entries: usize, seed: u64) -> Self {
        let len = if entries == 0 { 0 } else { entries.next_power_of_two() };
        Self { entries: vec![Entry::EMPTY; len], seed, generation: 1, hits: 0, misses: 0 }
    }

    /// Forgets everything: to be called whenever the classifier is compiled anew.
    pub fn invalidate(&mut self) {
        // The generation 0 means empty. After 2^32 - 1 rounds old entries would look new: then all are wiped.
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.entries.fill(Entry::EMPTY);
            self.generation = 1;
        }
    }

    /// Gives the first rule of `classifier` that matches, from memory if the key was seen before.
    #[inline]
    pub fn lookup(&mut self, classifier: &Classifier, key: &FlowKey) -> Option<u32> {
        let place = key.hash(self.seed) as usize & self.entries.len().wrapping_sub(1);
        let Some(entry) = self.entries.get_mut(place) else {
            return classifier.lookup(key);
        };
        if entry.generation == self.generation && entry.key == *key {
            self.hits += 1;
            return entry.rule;
        }
        self.misses += 1;
        let rule = classifier.lookup(key);
        *entry = Entry { key: *key, generation: self.generation, rule };
        rule
    }

    /// Gives the places of the table.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Gives the lookups that were answered from memory, and those that were not.
    #[must_use]
    pub const fn counts(&self) -> (u64, u64) {
        (self.hits, self.misses)
    }
}

impl Entry {
    const EMPTY: Self = Self {
        key: FlowKey {
            src: 0,
            dst: 0,
            src_port: 0,
            dst_port: 0,
            protocol: 0,
            version4: false,
            has_ports: false,
            fragment: false,
        },
        generation: 0,
        rule: None,
    };
}
