//! The pass over a packet.
//!
//! An ESP header with its IV is 16 octets, one block. Vectors of 64 octets that begin at the header therefore hold the
//! AAD and three blocks of text, then four blocks of text each: the order in which GHASH takes them. The same lanes of
//! the key stream, counters 1, 2, 3 ..., have the block that masks the ICV in lane 0 of the first vector and fall on
//! the text everywhere else. So nothing is ever shifted between lanes.
//!
//! Each block is multiplied with a power of the hash key of its own, the products are added unreduced, and one
//! reduction ends a chunk of 96 blocks: one for each packet that fits an Ethernet frame. A packet longer than that
//! carries the hash of a chunk into the next. The last vector is loaded and stored under a mask.
//!
//! The IV is read as the one number that it was most likely stored as: a load from octets that have just been stored
//! in other portions waits for the stores.
//!
//! The functions are small, but each must become part of `seal` and `open`: a call would send sums and key stream
//! through memory. Vectors are handled in fixed numbers: a loop of unknown length would have the rounds of one vector
//! wait for those of the vector before it.

use std::arch::x86_64::*;

use super::key::{CHUNK_BLOCKS, Schedule};
use super::{HEADER, MAX_TEXT, OVERHEAD};
use crate::vector::{load, load_block, load_masked, lowest, store_block, store_masked};

/// See `Key::seal`. `LAST_ROUND` is 10 for AES-128 and 14 for AES-256.
#[target_feature(enable = "avx512f,avx512bw,aes,pclmulqdq,vaes,vpclmulqdq,bmi2")]
pub(crate) fn seal<const LAST_ROUND: usize>(schedule: &Schedule, packets: &mut [&mut [u8]]) {
    for packet in packets {
        match body_and_icv(packet) {
            Some((body, icv)) => store_block(icv, pass::<LAST_ROUND, false>(schedule, body)),
            None => packet.fill(0),
        }
    }
}

/// See `Key::open`.
#[target_feature(enable = "avx512f,avx512bw,aes,pclmulqdq,vaes,vpclmulqdq,bmi2")]
pub(crate) fn open<const LAST_ROUND: usize>(schedule: &Schedule, packets: &mut [&mut [u8]], ok: &mut [bool]) {
    for (packet, ok) in packets.iter_mut().zip(ok) {
        *ok = false;
        let Some((body, icv)) = body_and_icv(packet) else { continue };
        let difference = _mm_xor_si128(pass::<LAST_ROUND, true>(schedule, body), load_block(icv));
        *ok = _mm_testz_si128(difference, difference) == 1;
        if !*ok {
            body[HEADER..].fill(0);
        }
    }
}

/// Header and text, and the ICV; `None` for a slice that is no packet.
#[inline]
fn body_and_icv(packet: &mut [u8]) -> Option<(&mut [u8], &mut [u8; 16])> {
    if !(OVERHEAD..=OVERHEAD + MAX_TEXT).contains(&packet.len()) {
        return None;
    }
    packet.split_last_chunk_mut()
}

/// Encrypts or, with `OPEN`, decrypts the text of `body`, which is header and text, and gives its ICV.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,aes,pclmulqdq,vaes,vpclmulqdq,bmi2")]
fn pass<const LAST_ROUND: usize, const OPEN: bool>(schedule: &Schedule, body: &mut [u8]) -> __m128i {
    let mut iv = [0; 8];
    iv.copy_from_slice(&body[8..16]);
    let iv = _mm512_set1_epi64(i64::from_le_bytes(iv));
    // Salt, IV and counter are words 0, 1 and 2, and 3 of a block.
    let nonce = _mm512_xor_si512(_mm512_maskz_shuffle_epi32::<0b00_01_00_00>(0x6666, iv), load(&schedule.nonce));

    // The variable half of the block of lengths, the bits of the text, times H.
    let bits = _mm_cvtsi64_si128(8 * (body.len() - HEADER).cast_signed() as i64);
    let one = load_block(&schedule.powers[CHUNK_BLOCKS]);
    let lengths = Sum {
        low: _mm512_zextsi128_si512(_mm_clmulepi64_si128::<0x00>(bits, one)),
        middle: _mm512_zextsi128_si512(_mm_clmulepi64_si128::<0x10>(bits, one)),
        high: _mm512_setzero_si512(),
    };

    let mut at = Place { schedule, nonce, vector: 0, power: first_power(body.len()) };
    let mut sum = if body.len() > CHUNK { Sum::zero() } else { lengths };
    let mask;
    if body.len() <= GROUP {
        (sum, mask) = ending::<LAST_ROUND, OPEN, true>(&at, body, sum);
    } else {
        let (first, mut rest) = body.split_at_mut(GROUP);
        (sum, mask) = group::<LAST_ROUND, OPEN, true>(&mut at, first, sum);
        let mut chunk_end = CHUNK_VECTORS;
        while rest.len() > GROUP {
            let (next, behind) = rest.split_at_mut(GROUP);
            (sum, _) = group::<LAST_ROUND, OPEN, false>(&mut at, next, sum);
            rest = behind;
            if at.vector == chunk_end {
                chunk_end += CHUNK_VECTORS;
                at.power = first_power(rest.len());
                let hash = wide(reduce(sum), load_block(&schedule.powers[at.power]));
                sum = if rest.len() > CHUNK { hash } else { hash.with(lengths) };
            }
        }
        (sum, _) = ending::<LAST_ROUND, OPEN, false>(&at, rest, sum);
    }
    let icv = _mm_xor_si128(reversed(reduce(sum)), _mm512_castsi512_si128(mask));
    _mm_xor_si128(icv, load_block(&schedule.aad_length))
}

/// Where in a packet the pass is.
struct Place<'a> {
    schedule: &'a Schedule,
    /// Counter block 0 of the packet, already with the first round key.
    nonce: __m512i,
    /// Vectors done: the index of the next counters.
    vector: usize,
    /// Index of the power for the next block.
    power: usize,
}

/// Index of the power for the first block of a chunk before whose end `left` octets lie. A chunk that another one
/// follows ends with H^1; in the last one H^1 is for the block of lengths.
#[inline]
fn first_power(left: usize) -> usize {
    if left > CHUNK { 1 } else { CHUNK_BLOCKS - left.div_ceil(16) }
}

/// Handles the next four vectors. `FIRST` says that the first of them holds the header. Gives the new sum and the key
/// stream of the first vector, whose lane 0 then masks the ICV.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,aes,pclmulqdq,vaes,vpclmulqdq,bmi2")]
fn group<const LAST_ROUND: usize, const OPEN: bool, const FIRST: bool>(
    at: &mut Place<'_>,
    octets: &mut [u8],
    mut sum: Sum,
) -> (Sum, __m512i) {
    let stream = stream::<LAST_ROUND, 4>(at);
    let powers = powers::<4>(at);
    let (pieces, _) = octets[..GROUP].as_chunks_mut::<VECTOR>();
    sum = vector::<OPEN, FIRST>(&mut pieces[0], stream[0], &powers[0], sum);
    sum = vector::<OPEN, false>(&mut pieces[1], stream[1], &powers[1], sum);
    sum = vector::<OPEN, false>(&mut pieces[2], stream[2], &powers[2], sum);
    sum = vector::<OPEN, false>(&mut pieces[3], stream[3], &powers[3], sum);
    at.vector += 4;
    at.power += 16;
    (sum, stream[0])
}

/// Handles the last vectors of a packet: `octets` is not empty and at most a group.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,aes,pclmulqdq,vaes,vpclmulqdq,bmi2")]
fn ending<const LAST_ROUND: usize, const OPEN: bool, const FIRST: bool>(
    at: &Place<'_>,
    octets: &mut [u8],
    sum: Sum,
) -> (Sum, __m512i) {
    match octets.len().div_ceil(VECTOR) {
        1 => ending_of::<LAST_ROUND, OPEN, FIRST, 1>(at, octets, sum),
        2 => ending_of::<LAST_ROUND, OPEN, FIRST, 2>(at, octets, sum),
        3 => ending_of::<LAST_ROUND, OPEN, FIRST, 3>(at, octets, sum),
        _ => ending_of::<LAST_ROUND, OPEN, FIRST, 4>(at, octets, sum),
    }
}

/// `ending` where `octets` reach into the last of that many vectors.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,aes,pclmulqdq,vaes,vpclmulqdq,bmi2")]
fn ending_of<const LAST_ROUND: usize, const OPEN: bool, const FIRST: bool, const VECTORS: usize>(
    at: &Place<'_>,
    octets: &mut [u8],
    mut sum: Sum,
) -> (Sum, __m512i) {
    let stream = stream::<LAST_ROUND, VECTORS>(at);
    let powers = powers::<VECTORS>(at);
    let (whole, last) = octets.split_at_mut(VECTOR * (VECTORS - 1));
    let (whole, _) = whole.as_chunks_mut::<VECTOR>();
    if VECTORS == 1 {
        return (vector::<OPEN, FIRST>(last, stream[0], &powers[0], sum), stream[0]);
    }
    sum = vector::<OPEN, FIRST>(&mut whole[0], stream[0], &powers[0], sum);
    for i in 1..VECTORS - 1 {
        sum = vector::<OPEN, false>(&mut whole[i], stream[i], &powers[i], sum);
    }
    (vector::<OPEN, false>(last, stream[VECTORS - 1], &powers[VECTORS - 1], sum), stream[0])
}

/// The key stream of the next vectors.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn stream<const LAST_ROUND: usize, const VECTORS: usize>(at: &Place<'_>) -> [__m512i; VECTORS] {
    let mut blocks = [at.nonce; VECTORS];
    for (block, counters) in blocks.iter_mut().zip(&COUNTERS.0[at.vector..at.vector + VECTORS]) {
        *block = _mm512_xor_si512(*block, load(counters));
    }
    for round in &at.schedule.rounds[1..LAST_ROUND] {
        let round = load(round);
        for block in &mut blocks {
            *block = _mm512_aesenc_epi128(*block, round);
        }
    }
    let round = load(&at.schedule.rounds[LAST_ROUND]);
    for block in &mut blocks {
        *block = _mm512_aesenclast_epi128(*block, round);
    }
    blocks
}

/// The powers for the next vectors.
#[inline]
fn powers<'a, const VECTORS: usize>(at: &Place<'a>) -> &'a [[u8; VECTOR]] {
    at.schedule.powers[at.power..at.power + 4 * VECTORS].as_flattened().as_chunks().0
}

/// Encrypts or decrypts one vector, which a packet's end may cut short, and adds its ciphertext to the sum. With
/// `HEADER` lane 0 is the packet's header, of which the AAD is hashed and nothing is encrypted or stored.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vpclmulqdq,bmi2")]
fn vector<const OPEN: bool, const HEADER: bool>(
    piece: &mut [u8],
    stream: __m512i,
    powers: &[u8; VECTOR],
    sum: Sum,
) -> Sum {
    let (hashed, text) = if HEADER { (!0xff00, !0xffff) } else { (u64::MAX, u64::MAX) };
    let input = load_masked(piece, hashed);
    let output = if HEADER {
        let lanes = _mm512_set_epi64(-1, -1, -1, -1, -1, -1, 0, 0);
        _mm512_ternarylogic_epi64::<XOR_AND>(input, stream, lanes)
    } else {
        _mm512_xor_si512(input, stream)
    };
    store_masked(piece, text, output);
    // The key stream beyond the text does not belong to the hash.
    sum.plus(if OPEN { input } else { _mm512_maskz_mov_epi8(lowest(piece.len()), output) }, load(powers))
}

/// A sum of products of 128-bit polynomials in each lane: low + middle * 2^64 + high * 2^128, not reduced.
#[derive(Clone, Copy)]
pub(crate) struct Sum {
    low: __m512i,
    middle: __m512i,
    high: __m512i,
}

impl Sum {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn zero() -> Self {
        Self { low: _mm512_setzero_si512(), middle: _mm512_setzero_si512(), high: _mm512_setzero_si512() }
    }

    /// Adds another sum.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn with(self, other: Self) -> Self {
        Self {
            low: _mm512_xor_si512(self.low, other.low),
            middle: _mm512_xor_si512(self.middle, other.middle),
            high: _mm512_xor_si512(self.high, other.high),
        }
    }

    /// Adds four blocks, as they stand in the packet, times four powers.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,vpclmulqdq")]
    fn plus(self, blocks: __m512i, powers: __m512i) -> Self {
        let blocks = _mm512_shuffle_epi8(blocks, _mm512_broadcast_i32x4(reversal()));
        let inner = _mm512_clmulepi64_epi128::<0x10>(blocks, powers);
        let outer = _mm512_clmulepi64_epi128::<0x01>(blocks, powers);
        Self {
            low: _mm512_xor_si512(self.low, _mm512_clmulepi64_epi128::<0x00>(blocks, powers)),
            middle: _mm512_ternarylogic_epi64::<XOR3>(self.middle, inner, outer),
            high: _mm512_xor_si512(self.high, _mm512_clmulepi64_epi128::<0x11>(blocks, powers)),
        }
    }
}

/// The product of two blocks, not reduced, in lane 0.
#[inline]
#[target_feature(enable = "avx512f,pclmulqdq")]
pub(crate) fn wide(a: __m128i, b: __m128i) -> Sum {
    let middle = _mm_xor_si128(_mm_clmulepi64_si128::<0x10>(a, b), _mm_clmulepi64_si128::<0x01>(a, b));
    Sum {
        low: _mm512_zextsi128_si512(_mm_clmulepi64_si128::<0x00>(a, b)),
        middle: _mm512_zextsi128_si512(middle),
        high: _mm512_zextsi128_si512(_mm_clmulepi64_si128::<0x11>(a, b)),
    }
}

/// The four lanes added up and reduced by GCM's polynomial (Montgomery's way: the lowest 64 bits are cancelled by a
/// multiple of the polynomial, twice; the missing factor is in the powers). The result is reversed, as the powers are.
#[inline]
#[target_feature(enable = "avx512f,vpclmulqdq")]
pub(crate) fn reduce(sum: Sum) -> __m128i {
    let polynomial = _mm512_broadcast_i32x4(_mm_set_epi64x(0xc200_0000_0000_0000_u64.cast_signed(), 1));
    let multiple = _mm512_clmulepi64_epi128::<0x01>(polynomial, sum.low);
    let low = _mm512_shuffle_epi32::<SWAP_HALVES>(sum.low);
    let middle = _mm512_ternarylogic_epi64::<XOR3>(sum.middle, low, multiple);
    let multiple = _mm512_clmulepi64_epi128::<0x01>(polynomial, middle);
    let middle = _mm512_shuffle_epi32::<SWAP_HALVES>(middle);
    let high = _mm512_ternarylogic_epi64::<XOR3>(sum.high, middle, multiple);
    let two = _mm256_xor_si256(_mm512_castsi512_si256(high), _mm512_extracti64x4_epi64::<1>(high));
    _mm_xor_si128(_mm256_castsi256_si128(two), _mm256_extracti128_si256::<1>(two))
}

/// A block with its octets in the other order.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn reversed(block: __m128i) -> __m128i {
    _mm_shuffle_epi8(block, reversal())
}

#[inline]
#[target_feature(enable = "avx512f")]
fn reversal() -> __m128i {
    _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
}

/// Octets of a vector.
const VECTOR: usize = 64;
/// Octets that are in flight together: four vectors cover the latency of a round.
const GROUP: usize = 4 * VECTOR;
const CHUNK_VECTORS: usize = CHUNK_BLOCKS / 4;
const CHUNK: usize = CHUNK_VECTORS * VECTOR;
/// The truth table of a ^ b ^ c.
const XOR3: i32 = 0x96;
/// The truth table of a ^ (b & c).
const XOR_AND: i32 = 0x78;
/// Exchanges the 64-bit halves of each lane.
const SWAP_HALVES: i32 = 0b01_00_11_10;

/// The counters of each vector of a packet at the end of otherwise zero blocks, so that one exclusive-or with the nonce
/// makes the counter blocks.
static COUNTERS: Counters = Counters(counters());

#[repr(align(64))]
struct Counters([[u8; VECTOR]; COUNTED]);

/// Vectors of the longest packet.
const COUNTED: usize = (HEADER + MAX_TEXT).div_ceil(VECTOR);

const fn counters() -> [[u8; VECTOR]; COUNTED] {
    let mut vectors = [[0; VECTOR]; COUNTED];
    let mut block = 0;
    while block < 4 * COUNTED {
        // GCM counts from 1; the longest packet needs two octets.
        let counter = block + 1;
        vectors[block / 4][block % 4 * 16 + 14] = (counter >> 8) as u8;
        vectors[block / 4][block % 4 * 16 + 15] = counter as u8;
        block += 1;
    }
    vectors
}
