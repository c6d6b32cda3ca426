//! The compression function of SHA-1 (FIPS 180-4 section 6.1.2) in 16 lanes.
//!
//! All 80 rounds are written out: the five words then change their names instead of their registers, and the last 16
//! words of the schedule stay in registers too.

use std::arch::x86_64::*;

use super::word::{CHOICE, MAJORITY, XOR3};

/// The five words that a hash begins with (section 5.3.1); each is a whole word of 32 bits.
pub(super) const INITIAL: [u64; 8] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0, 0, 0, 0];

/// Works one block into the state of each lane. `state` has its words in the first five vectors.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn compress(state: &mut [__m512i; 8], mut words: [__m512i; 16]) {
    let [a, b, c, d, e, ..] = *state;
    let mut now = [a, b, c, d, e];
    macro_rules! rounds {
        ($($number:literal)*) => { $(round::<$number>(&mut now, &mut words);)* };
    }
    rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
    rounds!(20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
    rounds!(40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
    rounds!(60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79);
    for (word, now) in state.iter_mut().zip(now) {
        *word = _mm512_add_epi32(*word, now);
    }
}

/// One round. Instead of moving to the next place, each word keeps its place in `now` and takes the next role.
#[inline]
#[target_feature(enable = "avx512f")]
fn round<const NUMBER: usize>(now: &mut [__m512i; 5], words: &mut [__m512i; 16]) {
    let place = |role: usize| (role + 80 - NUMBER) % 5;
    let (a, b, c, d, e) = (place(0), place(1), place(2), place(3), place(4));
    let (constant, mixed) = match NUMBER / 20 {
        0 => (0x5a82_7999, _mm512_ternarylogic_epi32::<CHOICE>(now[b], now[c], now[d])),
        1 => (0x6ed9_eba1, _mm512_ternarylogic_epi32::<XOR3>(now[b], now[c], now[d])),
        2 => (0x8f1b_bcdc_u32, _mm512_ternarylogic_epi32::<MAJORITY>(now[b], now[c], now[d])),
        _ => (0xca62_c1d6, _mm512_ternarylogic_epi32::<XOR3>(now[b], now[c], now[d])),
    };
    let word = _mm512_add_epi32(words[NUMBER % 16], _mm512_set1_epi32(constant.cast_signed()));
    let sum = _mm512_add_epi32(_mm512_add_epi32(now[e], word), mixed);
    now[e] = _mm512_add_epi32(sum, _mm512_rol_epi32::<5>(now[a]));
    now[b] = _mm512_rol_epi32::<30>(now[b]);
    // The word that is needed in 16 rounds.
    if NUMBER < 64 {
        let (near, far) = (words[(NUMBER + 13) % 16], words[(NUMBER + 8) % 16]);
        let three = _mm512_ternarylogic_epi32::<XOR3>(words[NUMBER % 16], words[(NUMBER + 2) % 16], far);
        words[NUMBER % 16] = _mm512_rol_epi32::<1>(_mm512_xor_si512(three, near));
    }
}
