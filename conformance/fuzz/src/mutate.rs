//! Changing inputs at random, but the same in every run with the same seed.

use hallmark_core::Rng;

/// The longest input that is made.
const LONGEST: usize = 64 * 1024;

/// Values at which fields tend to break.
const EDGES: [u32; 14] = [0, 1, 3, 4, 7, 8, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, u32::MAX];

/// Makes inputs out of others.
pub struct Mutator {
    rng: Rng,
    pool: Vec<Vec<u8>>,
    words: &'static [&'static str],
}

impl Mutator {
    /// Makes a mutator over some inputs, with words that may be put in.
    #[must_use]
    pub fn new(seed: u64, pool: Vec<Vec<u8>>, words: &'static [&'static str]) -> Self {
        Self { rng: Rng::from_u64(seed).fork("mutator"), pool, words }
    }

    /// Makes the next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut octets = self.any();
        // Most inputs are one or two steps from a right one; a few are far away.
        let steps = 1 + self.rng.below(3) + if self.rng.chance(0.1) { self.rng.below(16) } else { 0 };
        for _ in 0..steps {
            self.step(&mut octets);
        }
        octets.truncate(LONGEST);
        octets
    }

    fn any(&mut self) -> Vec<u8> {
        let index = self.at(self.pool.len());
        self.pool.get(index).cloned().unwrap_or_default()
    }

    fn at(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { self.rng.below(bound as u64) as usize }
    }

    fn step(&mut self, octets: &mut Vec<u8>) {
        let at = self.at(octets.len());
        let len = 1 + self.at(32);
        let end = at.saturating_add(len).min(octets.len());
        match self.rng.below(if self.words.is_empty() { 11 } else { 16 }) {
            0 | 1 => {
                let bit = 1 << self.rng.below(8);
                octets.iter_mut().skip(at).take(1).for_each(|octet| *octet ^= bit);
            }
            2 => {
                let value = self.rng.next_u32() as u8;
                octets.iter_mut().skip(at).take(1).for_each(|octet| *octet = value);
            }
            3 | 4 => self.number(octets, at),
            5 => octets.truncate(at),
            6 => {
                let new = self.rng.vec(len);
                let end = if self.rng.chance(0.5) { end } else { at };
                octets.splice(at..end, new);
            }
            7 => drop(octets.drain(at..end)),
            8 => {
                let piece = octets.get(at..end).unwrap_or_default().to_vec();
                let times = if self.rng.chance(0.05) { 1 + self.at(2_000) } else { 1 + self.at(3) };
                octets.splice(at..at, piece.repeat(times));
            }
            9 => {
                let other = self.any();
                let from = self.at(other.len());
                octets.truncate(at);
                octets.extend_from_slice(other.get(from..).unwrap_or_default());
            }
            10 => {
                let other = self.any();
                let from = self.at(other.len());
                let piece = other.get(from..from.saturating_add(len).min(other.len())).unwrap_or_default().to_vec();
                octets.splice(at..end, piece);
            }
            _ => self.word(octets, at),
        }
    }

    /// Writes a number of one, two or four octets: an edge, one more or less than it was, or what is left behind it.
    fn number(&mut self, octets: &mut [u8], at: usize) {
        let width = [1, 2, 2, 4][self.at(4)];
        let left = (octets.len().saturating_sub(at)) as u32;
        let edge = EDGES[self.at(EDGES.len())];
        let choice = self.rng.below(4);
        let Some(field) = octets.get_mut(at..at.saturating_add(width)) else { return };
        let old = field.iter().fold(0_u32, |value, octet| value << 8 | u32::from(*octet));
        let new = match choice {
            0 => edge,
            1 => old.wrapping_add(1),
            2 => old.wrapping_sub(1),
            _ => left,
        };
        field.copy_from_slice(&new.to_be_bytes()[4 - width..]);
    }

    /// Puts a word in, or puts it in place of the word that is there.
    fn word(&mut self, octets: &mut Vec<u8>, at: usize) {
        let word = self.words[self.at(self.words.len())].as_bytes().to_vec();
        let is_word = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_.:/".contains(octet);
        let len = octets.get(at..).unwrap_or_default().iter().take_while(|octet| is_word(octet)).count();
        let end = if self.rng.chance(0.5) { at + len } else { at };
        let times = if self.rng.chance(0.02) { 5_000 } else { 1 };
        octets.splice(at..end, word.repeat(times));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(seed: u64) -> Vec<Vec<u8>> {
        let mut mutator = Mutator::new(seed, vec![vec![0; 40], b"not id(a)".to_vec()], &["and"]);
        (0..200).map(|_| mutator.next_input()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_inputs_and_another_seed_others() {
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
    }

    #[test]
    fn nearly_every_input_is_new_and_an_empty_pool_gives_inputs_too() {
        let made = inputs(3);
        let different: std::collections::BTreeSet<_> = made.iter().collect();
        assert!(different.len() > 150, "{} different inputs", different.len());
        assert!(Mutator::new(1, Vec::new(), &[]).next_input().len() < 100_000);
    }
}
