//! What is computed once per key: round keys, powers of the hash key, and constants of the pass over a packet.

use std::arch::x86_64::*;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::pass::{self, reduce, reversed, wide};
use crate::aes::{Rounds, expand};
use crate::vector::{detected, load_block, store_block};

/// Blocks that are hashed with one reduction: 24 vectors, or 1,536 octets of header and text.
pub(crate) const CHUNK_BLOCKS: usize = 96;

/// The expanded key. Plain octets, so that overwriting them is plain too.
#[derive(Zeroize, ZeroizeOnDrop)]
#[repr(C, align(64))]
pub(crate) struct Schedule {
    /// Round keys. The pass over a packet takes the first one from `nonce`.
    pub(crate) rounds: Rounds,
    /// First round key, with the salt in place of the nonce added: what every counter block begins as.
    pub(crate) nonce: [u8; 64],
    /// H^97 down to H^1 in the form that `reduce` wants. The three blocks of zeros behind are read together with the
    /// last powers and multiplied with zeros. One power more than a chunk has blocks: the block of lengths.
    pub(crate) powers: [[u8; 16]; CHUNK_BLOCKS + 4],
    /// The constant half of the block of lengths (64 bits of AAD), hashed.
    pub(crate) aad_length: [u8; 16],
    /// 10 or 14.
    last_round: usize,
}

impl Schedule {
    /// Expands 16 or 32 octets. `None` for other lengths and other processors.
    pub(crate) fn new(key: &[u8], salt: [u8; 4]) -> Option<Box<Self>> {
        let last_round = match key.len() {
            16 => 10,
            32 => 14,
            _ => return None,
        };
        if !detected() {
            return None;
        }
        let mut schedule = Box::new(Self {
            rounds: [[0; 64]; 15],
            nonce: [0; 64],
            powers: [[0; 16]; CHUNK_BLOCKS + 4],
            aad_length: [0; 16],
            last_round,
        });
        // SAFETY: every feature that the function enables has just been detected.
        unsafe { schedule.fill(key, salt) };
        Some(schedule)
    }

    /// See `Key::seal`.
    pub(crate) fn seal(&self, packets: &mut [&mut [u8]]) {
        // SAFETY: a schedule exists only where every feature that the functions enable has been detected.
        unsafe {
            match self.last_round {
                10 => pass::seal::<10>(self, packets),
                _ => pass::seal::<14>(self, packets),
            }
        }
    }

    /// See `Key::open`.
    pub(crate) fn open(&self, packets: &mut [&mut [u8]], ok: &mut [bool]) {
        // SAFETY: a schedule exists only where every feature that the functions enable has been detected.
        unsafe {
            match self.last_round {
                10 => pass::open::<10>(self, packets, ok),
                _ => pass::open::<14>(self, packets, ok),
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,aes,pclmulqdq,vaes,vpclmulqdq,bmi2")]
    fn fill(&mut self, key: &[u8], salt: [u8; 4]) {
        expand(key, &mut self.rounds);
        for (lane, whitening) in self.nonce.as_chunks_mut::<16>().0.iter_mut().zip(self.rounds[0].as_chunks::<16>().0) {
            *lane = *whitening;
            for (octet, salt) in lane.iter_mut().zip(salt) {
                *octet ^= salt;
            }
        }
        let one = hash_key(self.encrypt_zero());
        let mut power = one;
        for slot in self.powers[..=CHUNK_BLOCKS].iter_mut().rev() {
            store_block(slot, power);
            power = reduce(wide(power, one));
        }
        // The block of lengths begins with the bits of the AAD, 64, as a 64-bit number: the upper half once reversed.
        store_block(&mut self.aad_length, reversed(reduce(wide(_mm_set_epi64x(64, 0), one))));
    }

    /// The block of zeros under the key: the hash key of GCM.
    #[target_feature(enable = "avx512f,aes")]
    fn encrypt_zero(&self) -> __m128i {
        let round = |i: usize| load_block(self.rounds[i].first_chunk().unwrap_or(&[0; 16]));
        let mut block = round(0);
        for i in 1..self.last_round {
            block = _mm_aesenc_si128(block, round(i));
        }
        _mm_aesenclast_si128(block, round(self.last_round))
    }
}

/// H in the form that `reduce` wants: octets reversed, as GCM counts bits from the other end, and multiplied by x once,
/// which makes up for the product of two reversed polynomials being one bit short.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn hash_key(block: __m128i) -> __m128i {
    let mut octets = [0; 16];
    store_block(&mut octets, block);
    let h = u128::from_be_bytes(octets);
    // The bit that is shifted out comes back as the polynomial, without a branch.
    let shifted = (h << 1) ^ ((h >> 127).wrapping_neg() & 0xc200_0000_0000_0000_0000_0000_0000_0001);
    octets = shifted.to_le_bytes();
    let block = load_block(&octets);
    octets.zeroize();
    block
}
