//! Randomness from the operating system.

use hallmark_core::Rng;

use crate::NetError;

/// Draws a seed from the operating system.
///
/// # Errors
/// When the operating system has none to give.
pub fn seed() -> Result<[u8; 32], NetError> {
    let mut octets = [0; 32];
    getrandom::fill(&mut octets).map_err(|e| NetError::Entropy(e.to_string()))?;
    Ok(octets)
}

/// Starts a random stream from a fresh seed.
///
/// # Errors
/// When the operating system has none to give.
pub fn rng() -> Result<Rng, NetError> {
    seed().map(Rng::from_seed)
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_seeds_differ() {
        assert_ne!(super::seed().unwrap(), super::seed().unwrap());
    }
}
