//! The compression functions of SHA-256 in 16 lanes and of SHA-512 in 8 (FIPS 180-4 sections 6.2.2 and 6.4.2).
//!
//! They are one function over words of different length, with other rotations and another number of rounds. `WORD` is
//! the octets of a word, 4 or 8.

use std::arch::x86_64::*;

use super::word::{CHOICE, MAJORITY, XOR3, add, rotated, shifted, splat};

/// The words that SHA-512 begins with (section 5.3.5); their upper halves are those of SHA-256.
pub(super) const INITIAL_512: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// The words that SHA-384 begins with (section 5.3.4).
pub(super) const INITIAL_384: [u64; 8] = [
    0xcbbb_9d5d_c105_9ed8,
    0x629a_292a_367c_d507,
    0x9159_015a_3070_dd17,
    0x152f_ecd8_f70e_5939,
    0x6733_2667_ffc0_0b31,
    0x8eb4_4a87_6858_1511,
    0xdb0c_2e0d_64f9_8fa7,
    0x47b5_481d_befa_4fa4,
];

/// Works one block into the state of each lane.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn compress<const WORD: usize>(state: &mut [__m512i; 8], mut words: [__m512i; 16]) {
    let mut now = *state;
    let rounds = if WORD == 4 { 64 } else { 80 };
    let (constants, _) = CONSTANTS[..rounds].as_chunks::<16>();
    let (last, scheduled) = constants.split_last().unwrap_or((&[0; 16], &[]));
    for constants in scheduled {
        sixteen::<WORD, true>(&mut now, &mut words, constants);
    }
    sixteen::<WORD, false>(&mut now, &mut words, last);
    for (word, now) in state.iter_mut().zip(now) {
        *word = add::<WORD>(*word, now);
    }
}

/// Sixteen rounds, after which every word of the state is in its place again. `SCHEDULE` also makes the words of the
/// next sixteen.
#[inline]
#[target_feature(enable = "avx512f")]
fn sixteen<const WORD: usize, const SCHEDULE: bool>(
    now: &mut [__m512i; 8],
    words: &mut [__m512i; 16],
    constants: &[u64; 16],
) {
    macro_rules! rounds {
        ($($number:literal)*) => { $(round::<WORD, SCHEDULE, $number>(now, words, constants[$number]);)* };
    }
    rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
}

/// One round. Instead of moving to the next place, each word keeps its place in `now` and takes the next role.
#[inline]
#[target_feature(enable = "avx512f")]
fn round<const WORD: usize, const SCHEDULE: bool, const NUMBER: usize>(
    now: &mut [__m512i; 8],
    words: &mut [__m512i; 16],
    constant: u64,
) {
    let place = |role: usize| (role + 16 - NUMBER) % 8;
    let [a, b, c, d] = [0, 1, 2, 3].map(place);
    let [e, f, g, h] = [4, 5, 6, 7].map(place);
    let constant = splat::<WORD>(if WORD == 4 { constant >> 32 } else { constant });
    let sigma = xor3(rotated::<WORD, 6, 14>(now[e]), rotated::<WORD, 11, 18>(now[e]), rotated::<WORD, 25, 41>(now[e]));
    let choice = _mm512_ternarylogic_epi64::<CHOICE>(now[e], now[f], now[g]);
    let word = add::<WORD>(words[NUMBER], constant);
    let first = add::<WORD>(add::<WORD>(now[h], word), add::<WORD>(sigma, choice));
    now[d] = add::<WORD>(now[d], first);
    let sigma = xor3(rotated::<WORD, 2, 28>(now[a]), rotated::<WORD, 13, 34>(now[a]), rotated::<WORD, 22, 39>(now[a]));
    let majority = _mm512_ternarylogic_epi64::<MAJORITY>(now[a], now[b], now[c]);
    now[h] = add::<WORD>(first, add::<WORD>(sigma, majority));
    // The word that is needed in 16 rounds.
    if SCHEDULE {
        let (early, late) = (words[(NUMBER + 1) % 16], words[(NUMBER + 14) % 16]);
        let early = xor3(rotated::<WORD, 7, 1>(early), rotated::<WORD, 18, 8>(early), shifted::<WORD, 3, 7>(early));
        let late = xor3(rotated::<WORD, 17, 19>(late), rotated::<WORD, 19, 61>(late), shifted::<WORD, 10, 6>(late));
        let sum = add::<WORD>(words[NUMBER], words[(NUMBER + 9) % 16]);
        words[NUMBER] = add::<WORD>(add::<WORD>(sum, early), late);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn xor3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi64::<XOR3>(a, b, c)
}

/// The constants of SHA-512 (section 4.2.3); the upper halves of the first 64 are those of SHA-256.
static CONSTANTS: [u64; 80] = [
    0x428a_2f98_d728_ae22,
    0x7137_4491_23ef_65cd,
    0xb5c0_fbcf_ec4d_3b2f,
    0xe9b5_dba5_8189_dbbc,
    0x3956_c25b_f348_b538,
    0x59f1_11f1_b605_d019,
    0x923f_82a4_af19_4f9b,
    0xab1c_5ed5_da6d_8118,
    0xd807_aa98_a303_0242,
    0x1283_5b01_4570_6fbe,
    0x2431_85be_4ee4_b28c,
    0x550c_7dc3_d5ff_b4e2,
    0x72be_5d74_f27b_896f,
    0x80de_b1fe_3b16_96b1,
    0x9bdc_06a7_25c7_1235,
    0xc19b_f174_cf69_2694,
    0xe49b_69c1_9ef1_4ad2,
    0xefbe_4786_384f_25e3,
    0x0fc1_9dc6_8b8c_d5b5,
    0x240c_a1cc_77ac_9c65,
    0x2de9_2c6f_592b_0275,
    0x4a74_84aa_6ea6_e483,
    0x5cb0_a9dc_bd41_fbd4,
    0x76f9_88da_8311_53b5,
    0x983e_5152_ee66_dfab,
    0xa831_c66d_2db4_3210,
    0xb003_27c8_98fb_213f,
    0xbf59_7fc7_beef_0ee4,
    0xc6e0_0bf3_3da8_8fc2,
    0xd5a7_9147_930a_a725,
    0x06ca_6351_e003_826f,
    0x1429_2967_0a0e_6e70,
    0x27b7_0a85_46d2_2ffc,
    0x2e1b_2138_5c26_c926,
    0x4d2c_6dfc_5ac4_2aed,
    0x5338_0d13_9d95_b3df,
    0x650a_7354_8baf_63de,
    0x766a_0abb_3c77_b2a8,
    0x81c2_c92e_47ed_aee6,
    0x9272_2c85_1482_353b,
    0xa2bf_e8a1_4cf1_0364,
    0xa81a_664b_bc42_3001,
    0xc24b_8b70_d0f8_9791,
    0xc76c_51a3_0654_be30,
    0xd192_e819_d6ef_5218,
    0xd699_0624_5565_a910,
    0xf40e_3585_5771_202a,
    0x106a_a070_32bb_d1b8,
    0x19a4_c116_b8d2_d0c8,
    0x1e37_6c08_5141_ab53,
    0x2748_774c_df8e_eb99,
    0x34b0_bcb5_e19b_48a8,
    0x391c_0cb3_c5c9_5a63,
    0x4ed8_aa4a_e341_8acb,
    0x5b9c_ca4f_7763_e373,
    0x682e_6ff3_d6b2_b8a3,
    0x748f_82ee_5def_b2fc,
    0x78a5_636f_4317_2f60,
    0x84c8_7814_a1f0_ab72,
    0x8cc7_0208_1a64_39ec,
    0x90be_fffa_2363_1e28,
    0xa450_6ceb_de82_bde9,
    0xbef9_a3f7_b2c6_7915,
    0xc671_78f2_e372_532b,
    0xca27_3ece_ea26_619c,
    0xd186_b8c7_21c0_c207,
    0xeada_7dd6_cde0_eb1e,
    0xf57d_4f7f_ee6e_d178,
    0x06f0_67aa_7217_6fba,
    0x0a63_7dc5_a2c8_98a6,
    0x113f_9804_bef9_0dae,
    0x1b71_0b35_131c_471b,
    0x28db_77f5_2304_7d84,
    0x32ca_ab7b_40c7_2493,
    0x3c9e_be0a_15c9_bebc,
    0x431d_67c4_9c10_0d4c,
    0x4cc5_d4be_cb3e_42b6,
    0x597f_299c_fc65_7e2a,
    0x5fcb_6fab_3ad6_faec,
    0x6c44_198c_4a47_5817,
];
