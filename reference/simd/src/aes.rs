//! The key schedule of AES.

use std::arch::x86_64::*;

use zeroize::Zeroize;

/// Round keys in the order of their use, each repeated in the four lanes of a vector.
pub(crate) type Rounds = [[u8; 64]; 15];

/// Expands 16, 24 or 32 octets (FIPS 197 section 5.2), and gives the number of the last round: 10, 12 or 14.
#[target_feature(enable = "avx512f,aes")]
pub(crate) fn expand(key: &[u8], rounds: &mut Rounds) -> usize {
    let in_key = key.len() / 4;
    let last_round = in_key + 6;
    let mut words = [0; 60];
    for (word, octets) in words.iter_mut().zip(key.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*octets);
    }
    let mut round_constant: u8 = 1;
    for i in in_key..4 * (last_round + 1) {
        let mut last = words[i - 1];
        if i % in_key == 0 {
            // The words are little-endian here, so that FIPS 197's RotWord, to the left, is to the right.
            last = substituted(last).rotate_right(8) ^ u32::from(round_constant);
            round_constant = (round_constant << 1) ^ ((round_constant >> 7) * 0x1b);
        } else if in_key == 8 && i % 8 == 4 {
            last = substituted(last);
        }
        words[i] = words[i - in_key] ^ last;
    }
    for (round, words) in rounds.iter_mut().zip(words.as_chunks::<4>().0) {
        for lane in round.as_chunks_mut::<16>().0 {
            for (octets, word) in lane.as_chunks_mut::<4>().0.iter_mut().zip(words) {
                *octets = word.to_le_bytes();
            }
        }
    }
    words.zeroize();
    last_round
}

/// SubWord: the S-box on four octets. The last round on four equal columns is the S-box, as moving rows changes
/// nothing.
#[inline]
#[target_feature(enable = "avx512f,aes")]
fn substituted(word: u32) -> u32 {
    let columns = _mm_set1_epi32(word.cast_signed());
    _mm_cvtsi128_si32(_mm_aesenclast_si128(columns, _mm_setzero_si128())).cast_unsigned()
}
