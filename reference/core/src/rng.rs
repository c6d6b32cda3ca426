//! Randomness from a seed.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng};

/// Draws random octets from a 32-octet seed with ChaCha20, so that the same code serves simulation (fixed seed) and
/// production (seed from the operating system).
///
/// Each purpose takes its own stream with [`Rng::fork`]: an added draw in one place then shifts no other.
#[derive(Clone)]
pub struct Rng {
    seed: [u8; 32],
    stream: ChaCha20Rng,
}

impl Rng {
    /// Starts the stream of a seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed, stream: ChaCha20Rng::from_seed(seed) }
    }

    /// Starts the stream of a small seed, as a person types it.
    #[must_use]
    pub fn from_u64(seed: u64) -> Self {
        let mut octets = [0; 32];
        octets[..8].copy_from_slice(&seed.to_le_bytes());
        Self::from_seed(octets)
    }

    /// Derives the stream for one purpose. It depends on the seed and the label only, not on what was drawn before.
    #[must_use]
    pub fn fork(&self, label: &str) -> Self {
        let mut stream = ChaCha20Rng::from_seed(self.seed);
        let mut seed = [0; 32];
        stream.set_stream(fnv1a(label.as_bytes()));
        stream.fill_bytes(&mut seed);
        Self::from_seed(seed)
    }

    /// Draws 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.stream.next_u64()
    }

    /// Draws 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        self.stream.next_u32()
    }

    /// Draws a number below `bound` (which must not be 0) without bias.
    pub fn below(&mut self, bound: u64) -> u64 {
        let bound = bound.max(1);
        let zone = u64::MAX - (u64::MAX % bound);
        loop {
            let drawn = self.next_u64();
            if drawn < zone {
                return drawn % bound;
            }
        }
    }

    /// Decides with probability `p` (0 to 1).
    pub fn chance(&mut self, p: f64) -> bool {
        // 53 bits fill the mantissa of an f64 exactly.
        ((self.next_u64() >> 11) as f64) < p * (1u64 << 53) as f64
    }

    /// Fills a slice.
    pub fn fill(&mut self, octets: &mut [u8]) {
        self.stream.fill_bytes(octets);
    }

    /// Draws an array.
    pub fn octets<const N: usize>(&mut self) -> [u8; N] {
        let mut octets = [0; N];
        self.fill(&mut octets);
        octets
    }

    /// Draws `len` octets.
    pub fn vec(&mut self, len: usize) -> Vec<u8> {
        let mut octets = vec![0; len];
        self.fill(&mut octets);
        octets
    }

    /// Lends the stream to crates that want a `rand_core` generator.
    pub fn as_rand_core(&mut self) -> &mut (impl rand_core::CryptoRng + use<>) {
        &mut self.stream
    }
}

impl std::fmt::Debug for Rng {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The state predicts every key that is drawn from it.
        f.write_str("Rng(..)")
    }
}

const fn fnv1a(octets: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut i = 0;
    while i < octets.len() {
        hash = (hash ^ octets[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        i += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_stream_and_forks_are_independent_of_position() {
        let mut a = Rng::from_u64(7);
        let mut b = Rng::from_u64(7);
        assert_eq!(a.octets::<32>(), b.octets::<32>());
        let fresh = Rng::from_u64(7);
        assert_eq!(a.fork("nonce").next_u64(), fresh.fork("nonce").next_u64());
        assert_ne!(a.fork("nonce").next_u64(), a.fork("cookie").next_u64());
        assert_ne!(Rng::from_u64(7).next_u64(), Rng::from_u64(8).next_u64());
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut rng = Rng::from_u64(1);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[rng.below(5) as usize] = true;
        }
        assert_eq!(seen, [true; 5]);
    }

    #[test]
    fn chance_respects_its_bounds() {
        let mut rng = Rng::from_u64(2);
        assert!((0..100).all(|_| rng.chance(1.0)));
        assert!((0..100).all(|_| !rng.chance(0.0)));
        let hits = (0..10_000).filter(|_| rng.chance(0.25)).count();
        assert!((2_000..3_000).contains(&hits), "{hits}");
    }
}
