//! One field of the rules, cut into the intervals between all range ends.

use std::collections::BTreeMap;

/// Bits of one word of a rule set.
const WORD: usize = u64::BITS as usize;

/// Cuts a field into elementary intervals: all values of one interval lie in the same ranges.
#[derive(Debug)]
pub(crate) struct Axis<T> {
    /// Where each interval begins, ascending; the first begins at the least value.
    starts: Vec<T>,
    /// The row of the rule set of each interval.
    rows: Vec<u32>,
}

impl<T: Copy + Ord> Axis<T> {
    /// Cuts a field by ranges; the number of a range is the bit it has in the rows. `after` gives the next value.
    pub(crate) fn new(ranges: &[(T, T)], least: T, after: impl Fn(T) -> Option<T>, rows: &mut Rows) -> Self {
        // A range whose end lies before its begin holds nothing.
        let mut ends: Vec<(T, usize, bool)> = Vec::with_capacity(ranges.len() * 2);
        for (bit, (first, last)) in ranges.iter().enumerate().filter(|(_, (first, last))| first <= last) {
            ends.push((*first, bit, true));
            ends.extend(after(*last).map(|end| (end, bit, false)));
        }
        ends.sort_unstable();
        let mut axis = Self { starts: Vec::new(), rows: Vec::new() };
        let mut set = vec![0u64; rows.words];
        let mut ends = ends.into_iter().peekable();
        let mut start = least;
        loop {
            while let Some((_, bit, begins)) = ends.next_if(|(at, ..)| *at == start) {
                if let Some(word) = set.get_mut(bit / WORD) {
                    *word = if begins { *word | 1 << (bit % WORD) } else { *word & !(1 << (bit % WORD)) };
                }
            }
            axis.starts.push(start);
            axis.rows.push(rows.intern(&set));
            let Some((next, ..)) = ends.peek() else { return axis };
            start = *next;
        }
    }

    /// Gives the row of the rules whose range holds a value.
    #[inline]
    pub(crate) fn row(&self, value: T) -> usize {
        // The first interval begins at the least value, so the point is never 0.
        let at = self.starts.partition_point(|start| *start <= value).wrapping_sub(1);
        self.rows.get(at).map_or(0, |row| *row as usize)
    }

    /// Gives the number of intervals.
    pub(crate) fn intervals(&self) -> usize {
        self.starts.len()
    }
}

/// The distinct rule sets of all fields of one block of rules, with a summary that has one bit for each word.
#[derive(Debug)]
pub(crate) struct Rows {
    words: usize,
    summaries: Vec<u64>,
    sets: Vec<u64>,
    known: BTreeMap<Vec<u64>, u32>,
}

impl Rows {
    /// Makes room for sets of so many rules (4096 at most, so that the summary is one word).
    pub(crate) fn new(rules: usize) -> Self {
        Self { words: rules.div_ceil(WORD), summaries: Vec::new(), sets: Vec::new(), known: BTreeMap::new() }
    }

    /// Finds or adds a set and gives its row.
    pub(crate) fn intern(&mut self, set: &[u64]) -> u32 {
        if let Some(row) = self.known.get(set) {
            return *row;
        }
        let row = self.summaries.len() as u32;
        let summary = set.iter().enumerate().fold(0, |sum, (at, word)| sum | u64::from(*word != 0) << at);
        self.summaries.push(summary);
        self.sets.extend_from_slice(set);
        self.known.insert(set.to_vec(), row);
        row
    }

    /// Forgets what only the building needs.
    pub(crate) fn finish(&mut self) {
        self.known = BTreeMap::new();
        self.summaries.shrink_to_fit();
        self.sets.shrink_to_fit();
    }

    /// Finds the lowest rule that all the rows hold.
    #[inline]
    pub(crate) fn first_common<const N: usize>(&self, rows: [usize; N]) -> Option<usize> {
        let mut summary = u64::MAX;
        for row in rows {
            summary &= self.summaries.get(row)?;
        }
        while summary != 0 {
            let at = summary.trailing_zeros() as usize;
            let mut word = u64::MAX;
            for row in rows {
                word &= self.sets.get(row * self.words + at)?;
            }
            if word != 0 {
                return Some(at * WORD + word.trailing_zeros() as usize);
            }
            summary &= summary - 1;
        }
        None
    }

    /// Gives the octets that the sets take.
    pub(crate) fn octets(&self) -> usize {
        (self.sets.len() + self.summaries.len()) * size_of::<u64>()
    }
}
