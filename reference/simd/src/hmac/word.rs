//! Words of 32 or 64 bits side by side in a vector, one of each lane, and the way from octets to them.
//!
//! `WORD` is the octets of a word: 4, with 16 lanes, or 8, with 8.

use std::arch::x86_64::*;

use crate::vector::load;

/// The truth table of a ^ b ^ c.
pub(super) const XOR3: i32 = 0x96;
/// The truth table of "where a then b, else c".
pub(super) const CHOICE: i32 = 0xca;
/// The truth table of "what most of a, b and c say".
pub(super) const MAJORITY: i32 = 0xe8;

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn add<const WORD: usize>(a: __m512i, b: __m512i) -> __m512i {
    if WORD == 4 { _mm512_add_epi32(a, b) } else { _mm512_add_epi64(a, b) }
}

/// Rotated to the right, words of 4 octets by the first number of bits and words of 8 by the second.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn rotated<const WORD: usize, const BY_4: i32, const BY_8: i32>(a: __m512i) -> __m512i {
    if WORD == 4 { _mm512_ror_epi32::<BY_4>(a) } else { _mm512_ror_epi64::<BY_8>(a) }
}

/// Shifted to the right, words of 4 octets by the first number of bits and words of 8 by the second.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn shifted<const WORD: usize, const BY_4: u32, const BY_8: u32>(a: __m512i) -> __m512i {
    if WORD == 4 { _mm512_srli_epi32::<BY_4>(a) } else { _mm512_srli_epi64::<BY_8>(a) }
}

/// The same word in each lane; of a word of 4 octets the lower half counts.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn splat<const WORD: usize>(word: u64) -> __m512i {
    if WORD == 4 { _mm512_set1_epi32((word as u32).cast_signed()) } else { _mm512_set1_epi64(word.cast_signed()) }
}

/// `other` in the lanes whose bit in `lanes` is set, `vector` in the others.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn replaced<const WORD: usize>(vector: __m512i, lanes: u16, other: __m512i) -> __m512i {
    if WORD == 4 {
        _mm512_mask_mov_epi32(vector, lanes, other)
    } else {
        _mm512_mask_mov_epi64(vector, lanes as u8, other)
    }
}

/// Turns the octets of each word around: hashes write words with the highest octet first.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn turned<const WORD: usize>(vector: __m512i) -> __m512i {
    let order = if WORD == 4 {
        _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3)
    } else {
        _mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)
    };
    _mm512_shuffle_epi8(vector, _mm512_broadcast_i32x4(order))
}

/// The 16 words of the block that begins at `at` in each lane: vector n has word n of every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn words_of<const WORD: usize>(lanes: &[&[u8]; 16], at: usize) -> [__m512i; 16] {
    let mut words = [_mm512_setzero_si512(); 16];
    if WORD == 4 {
        // Vectors of four rows each, transposed within their quarters.
        let mut squares = [[_mm512_setzero_si512(); 4]; 4];
        for (i, square) in squares.iter_mut().enumerate() {
            let row = |n: usize| turned::<WORD>(vector_at(lanes[4 * i + n], at));
            let (rows01, rows23) = ((row(0), row(1)), (row(2), row(3)));
            let low01 = _mm512_unpacklo_epi32(rows01.0, rows01.1);
            let low23 = _mm512_unpacklo_epi32(rows23.0, rows23.1);
            let high01 = _mm512_unpackhi_epi32(rows01.0, rows01.1);
            let high23 = _mm512_unpackhi_epi32(rows23.0, rows23.1);
            *square = [
                _mm512_unpacklo_epi64(low01, low23),
                _mm512_unpackhi_epi64(low01, low23),
                _mm512_unpacklo_epi64(high01, high23),
                _mm512_unpackhi_epi64(high01, high23),
            ];
        }
        for n in 0..4 {
            let columns = quarters([squares[0][n], squares[1][n], squares[2][n], squares[3][n]]);
            for (i, column) in columns.into_iter().enumerate() {
                words[4 * i + n] = column;
            }
        }
    } else {
        for half in 0..2 {
            let mut squares = [[_mm512_setzero_si512(); 2]; 4];
            for (i, square) in squares.iter_mut().enumerate() {
                let row = |n: usize| turned::<WORD>(vector_at(lanes[2 * i + n], at + 64 * half));
                let rows = (row(0), row(1));
                *square = [_mm512_unpacklo_epi64(rows.0, rows.1), _mm512_unpackhi_epi64(rows.0, rows.1)];
            }
            for n in 0..2 {
                let columns = quarters([squares[0][n], squares[1][n], squares[2][n], squares[3][n]]);
                for (i, column) in columns.into_iter().enumerate() {
                    words[8 * half + 2 * i + n] = column;
                }
            }
        }
    }
    words
}

/// Four vectors as rows of four quarters each, transposed.
#[inline]
#[target_feature(enable = "avx512f")]
fn quarters(rows: [__m512i; 4]) -> [__m512i; 4] {
    let low01 = _mm512_shuffle_i32x4::<0x44>(rows[0], rows[1]);
    let low23 = _mm512_shuffle_i32x4::<0x44>(rows[2], rows[3]);
    let high01 = _mm512_shuffle_i32x4::<0xee>(rows[0], rows[1]);
    let high23 = _mm512_shuffle_i32x4::<0xee>(rows[2], rows[3]);
    [
        _mm512_shuffle_i32x4::<0x88>(low01, low23),
        _mm512_shuffle_i32x4::<0xdd>(low01, low23),
        _mm512_shuffle_i32x4::<0x88>(high01, high23),
        _mm512_shuffle_i32x4::<0xdd>(high01, high23),
    ]
}

/// The 64 octets that begin at `at`; the caller has seen to it that they are there.
#[inline]
#[target_feature(enable = "avx512f")]
fn vector_at(octets: &[u8], at: usize) -> __m512i {
    octets.get(at..).and_then(|rest| rest.first_chunk()).map_or(_mm512_setzero_si512(), |octets| load(octets))
}
