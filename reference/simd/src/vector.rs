//! Detection, and the loads and stores: the places where vectors meet memory.

use std::arch::x86_64::*;

/// Whether the processor and the operating system offer every feature that the functions of this crate enable: the
/// union of their `target_feature` attributes, and what the compiler takes to come with AVX-512.
pub(crate) fn detected() -> bool {
    is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("vaes")
        && is_x86_feature_detected!("vpclmulqdq")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("bmi2")
}

/// Loads 64 octets.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load(octets: &[u8; 64]) -> __m512i {
    // SAFETY: the array is 64 readable octets, and the instruction takes any alignment.
    unsafe { _mm512_loadu_si512(octets.as_ptr().cast()) }
}

/// Stores 64 octets.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store(to: &mut [u8; 64], vector: __m512i) {
    // SAFETY: the array is 64 writable octets, and the instruction takes any alignment.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), vector) }
}

/// Loads the octets of `from` (64 at most) whose bit in `wanted` is set; all others are zero.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn load_masked(from: &[u8], wanted: u64) -> __m512i {
    let mask = wanted & lowest(from.len());
    // SAFETY: `mask` has no bit at or above the length of `from`, and octets that are masked out are not read.
    unsafe { _mm512_maskz_loadu_epi8(mask, from.as_ptr().cast()) }
}

/// Stores the octets of `vector` whose bit in `wanted` is set and that lie within `to`; others stay.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn store_masked(to: &mut [u8], wanted: u64, vector: __m512i) {
    let mask = wanted & lowest(to.len());
    // SAFETY: `mask` has no bit at or above the length of `to`, and octets that are masked out are not written.
    unsafe { _mm512_mask_storeu_epi8(to.as_mut_ptr().cast(), mask, vector) }
}

/// Loads one block.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load_block(octets: &[u8; 16]) -> __m128i {
    // SAFETY: the array is 16 readable octets, and the instruction takes any alignment.
    unsafe { _mm_loadu_si128(octets.as_ptr().cast()) }
}

/// Stores one block.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store_block(to: &mut [u8; 16], block: __m128i) {
    // SAFETY: the array is 16 writable octets, and the instruction takes any alignment.
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), block) }
}

/// A mask with the lowest `count` bits set; 64 and more set all.
#[inline]
pub(crate) fn lowest(count: usize) -> u64 {
    if count < 64 { (1 << count) - 1 } else { u64::MAX }
}
