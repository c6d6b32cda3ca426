//! The packets of a burst on their way through the lanes.
//!
//! A state is eight vectors, or columns: vector n has word n of every lane. All lanes work on a block at the same time.
//! A packet's last one or two blocks, with padding and length, are made beforehand in `ends`, so that a lane only ever
//! sees whole blocks in two places: in the packet, then in `ends`.
//!
//! When the inner hash of a packet is done, its words go to the packet's own lane of `Macs`. The outer hashes come at
//! the end, one block each, a whole group of lanes at a time and without a way through memory as octets.
//!
//! `WORD` is the octets of a word, `WORDS` the words of a state: 4 and 5 mean SHA-1, 4 and 8 SHA-256, 8 and 8 SHA-384
//! and SHA-512. Words lie in memory as the processor has them; those of a finished MAC with the highest octet first.

use std::arch::x86_64::*;

use arrayvec::ArrayVec;
use subtle::ConstantTimeEq;
use zeroize::zeroize_bytes;

use super::word::{replaced, splat, turned, words_of};
use super::{Hash, Packet, sha1, sha2};
use crate::vector::{detected, load, load_masked, store};

/// An HMAC key: the states of the two hashes after their first block, which the key alone makes.
pub(super) struct Keyed {
    inner: Columns,
    outer: Columns,
    hash: Hash,
    icv_len: usize,
}

impl Keyed {
    /// See `Key::new`.
    pub(super) fn new(hash: Hash, key: &[u8], icv_len: usize) -> Option<Box<Self>> {
        let (word, words) = (hash.word(), hash.words());
        if key.len() > 16 * word || icv_len > words * word || !icv_len.is_multiple_of(word) || !detected() {
            return None;
        }
        let mut keyed = Box::new(Self { inner: Columns::ZERO, outer: Columns::ZERO, hash, icv_len });
        // SAFETY: every feature that the functions enable has just been detected.
        unsafe {
            match hash {
                Hash::Sha1 => keyed.work_in::<4, 5>(key, &sha1::INITIAL),
                Hash::Sha256 => keyed.work_in::<4, 8>(key, &sha2::INITIAL_512.map(|word| word >> 32)),
                Hash::Sha384 => keyed.work_in::<8, 8>(key, &sha2::INITIAL_384),
                Hash::Sha512 => keyed.work_in::<8, 8>(key, &sha2::INITIAL_512),
            }
        }
        Some(keyed)
    }

    /// See `Key::sign`.
    pub(super) fn sign(&self, packets: &mut [Packet<'_>]) {
        for packets in packets.chunks_mut(BURST) {
            // SAFETY: a key exists only where every feature that the functions enable has been detected.
            unsafe {
                match self.hash {
                    Hash::Sha1 => self.sign_burst::<4, 5>(packets),
                    Hash::Sha256 => self.sign_burst::<4, 8>(packets),
                    Hash::Sha384 | Hash::Sha512 => self.sign_burst::<8, 8>(packets),
                }
            }
        }
    }

    /// See `Key::verify`.
    pub(super) fn verify(&self, packets: &[Packet<'_>], ok: &mut [bool]) {
        for (packets, ok) in packets.chunks(BURST).zip(ok.chunks_mut(BURST)) {
            // SAFETY: a key exists only where every feature that the functions enable has been detected.
            unsafe {
                match self.hash {
                    Hash::Sha1 => self.verify_burst::<4, 5>(packets, ok),
                    Hash::Sha256 => self.verify_burst::<4, 8>(packets, ok),
                    Hash::Sha384 | Hash::Sha512 => self.verify_burst::<8, 8>(packets, ok),
                }
            }
        }
    }

    /// Hashes the key with each of the two paddings (RFC 2104 section 2).
    #[target_feature(enable = "avx512f,avx512bw")]
    fn work_in<const WORD: usize, const WORDS: usize>(&mut self, key: &[u8], initial: &[u64; 8]) {
        for (columns, padding) in [(&mut self.inner, 0x36), (&mut self.outer, 0x5c)] {
            let mut block = [padding; 128];
            for (octet, key) in block.iter_mut().zip(key) {
                *octet ^= key;
            }
            let mut state = initial.map(|word| splat::<WORD>(word));
            compress::<WORD, WORDS>(&mut state, words_of::<WORD>(&[&block; 16], 0));
            columns.set::<WORDS>(&state);
            zeroize_bytes(&mut block);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    fn sign_burst<const WORD: usize, const WORDS: usize>(&self, packets: &mut [Packet<'_>]) {
        let macs = self.macs::<WORD, WORDS>(packets);
        for (index, packet) in packets.iter_mut().enumerate() {
            let Some(at) = packet.octets.len().checked_sub(self.icv_len) else {
                packet.octets.fill(0);
                continue;
            };
            let (icv, _) = packet.octets[at..].as_chunks_mut::<WORD>();
            for (number, word) in icv.iter_mut().enumerate() {
                *word = macs.word(index, number);
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    fn verify_burst<const WORD: usize, const WORDS: usize>(&self, packets: &[Packet<'_>], ok: &mut [bool]) {
        let macs = self.macs::<WORD, WORDS>(packets);
        for (index, (packet, ok)) in packets.iter().zip(ok).enumerate() {
            *ok = false;
            let Some(at) = packet.octets.len().checked_sub(self.icv_len) else { continue };
            let (icv, _) = packet.octets[at..].as_chunks::<WORD>();
            let difference = icv.iter().enumerate().fold(0, |difference, (number, word)| {
                difference | (number_of(*word) ^ number_of(macs.word::<WORD>(index, number)))
            });
            *ok = difference.ct_eq(&0).into();
        }
    }

    /// The MACs of a burst, of which there are at most `BURST` packets.
    #[target_feature(enable = "avx512f,avx512bw")]
    fn macs<const WORD: usize, const WORDS: usize>(&self, packets: &[Packet<'_>]) -> Macs {
        let mut ends = ArrayVec::new();
        let mut queue = ArrayVec::new();
        for (index, packet) in packets.iter().enumerate() {
            let text = self.text(packet);
            let blocks = end::<WORD>(text, packet.esn_high, &mut ends);
            // The length before the index: sorting is for the length.
            queue.push(blocks * BURST + index);
        }
        // The longest is last, and comes first.
        queue.sort_unstable();
        let mut macs = Macs(ArrayVec::new());
        for _ in 0..packets.len().div_ceil(64 / WORD) {
            macs.0.push(Columns::ZERO);
        }
        self.inner_hashes::<WORD, WORDS>(packets, &ends, &mut queue, &mut macs);
        for columns in &mut macs.0 {
            self.outer_hashes::<WORD, WORDS>(columns);
        }
        macs
    }

    /// Hashes each packet of the queue, the last one first, and leaves the words of its hash in `macs`.
    #[target_feature(enable = "avx512f,avx512bw")]
    fn inner_hashes<const WORD: usize, const WORDS: usize>(
        &self,
        packets: &[Packet<'_>],
        ends: &Ends,
        queue: &mut ArrayVec<usize, BURST>,
        macs: &mut Macs,
    ) {
        let (count, block) = (64 / WORD, 16 * WORD);
        let mut lanes = [Lane::IDLE; 16];
        let mut now = [&[][..]; 16];
        let mut state = Columns::ZERO;
        loop {
            let (mut fresh, mut least, mut busy) = (0, usize::MAX, &[][..]);
            for (index, lane) in lanes[..count].iter_mut().enumerate() {
                if lane.octets.is_empty() {
                    lane.octets = std::mem::take(&mut lane.end);
                }
                if lane.octets.is_empty() {
                    if let Some(packet) = lane.packet.take() {
                        macs.keep::<WORD, WORDS>(packet, &state, index);
                    }
                    if let Some(next) = queue.pop() {
                        let (blocks, packet) = (next / BURST, next % BURST);
                        let end = ends[packet * WORD / 2..][..WORD / 2].as_flattened();
                        *lane = match blocks.checked_sub(2) {
                            None => Lane { octets: &end[..block], end: &[], packet: Some(packet) },
                            Some(0) => Lane { octets: end, end: &[], packet: Some(packet) },
                            Some(whole) => {
                                let octets = &self.text(&packets[packet])[..whole * block];
                                Lane { octets, end, packet: Some(packet) }
                            }
                        };
                        fresh |= 1 << index;
                    }
                }
                if !lane.octets.is_empty() && lane.octets.len() < least {
                    (least, busy) = (lane.octets.len(), lane.octets);
                }
            }
            if busy.is_empty() {
                break;
            }
            for (lane, now) in lanes[..count].iter_mut().zip(&mut now) {
                match lane.octets.split_at_checked(least) {
                    Some(parts) => (*now, lane.octets) = parts,
                    // A lane without a packet works along on another one's octets, for nothing.
                    None => *now = &busy[..least],
                }
            }
            self.blocks::<WORD, WORDS>(&mut state, fresh, &now, least);
        }
        state.wipe();
    }

    /// Works `len` octets, whole blocks, into the state of each lane; the lanes in `fresh` begin anew.
    #[target_feature(enable = "avx512f,avx512bw")]
    fn blocks<const WORD: usize, const WORDS: usize>(
        &self,
        columns: &mut Columns,
        fresh: u16,
        lanes: &[&[u8]; 16],
        len: usize,
    ) {
        let (mut state, start) = (columns.vectors::<WORDS>(), self.inner.vectors::<WORDS>());
        for (word, start) in state.iter_mut().zip(start) {
            *word = replaced::<WORD>(*word, fresh, start);
        }
        for at in (0..len).step_by(16 * WORD) {
            compress::<WORD, WORDS>(&mut state, words_of::<WORD>(lanes, at));
        }
        columns.set::<WORDS>(&state);
    }

    /// Replaces the inner hashes of a group of packets by their MACs.
    #[target_feature(enable = "avx512f,avx512bw")]
    fn outer_hashes<const WORD: usize, const WORDS: usize>(&self, columns: &mut Columns) {
        let hashed = self.hash.words();
        let inner = columns.vectors::<WORDS>();
        let mut words = [_mm512_setzero_si512(); 16];
        for number in 0..=WORDS {
            // The hash, one bit, zeros, and the number of bits.
            words[number] = match number.cmp(&hashed) {
                std::cmp::Ordering::Less => inner[number % 8],
                std::cmp::Ordering::Equal => splat::<WORD>(0x80 << (8 * WORD - 8)),
                std::cmp::Ordering::Greater => _mm512_setzero_si512(),
            };
        }
        words[15] = splat::<WORD>((8 * (16 * WORD + hashed * WORD)) as u64);
        let mut state = self.outer.vectors::<WORDS>();
        compress::<WORD, WORDS>(&mut state, words);
        for word in &mut state {
            *word = turned::<WORD>(*word);
        }
        columns.set::<WORDS>(&state);
    }

    /// What is covered; nothing of a packet that is too short.
    fn text<'a>(&self, packet: &'a Packet<'_>) -> &'a [u8] {
        &packet.octets[..packet.octets.len().saturating_sub(self.icv_len)]
    }
}

impl Drop for Keyed {
    fn drop(&mut self) {
        self.inner.wipe();
        self.outer.wipe();
    }
}

impl Hash {
    /// Octets of a word.
    const fn word(self) -> usize {
        match self {
            Self::Sha1 | Self::Sha256 => 4,
            Self::Sha384 | Self::Sha512 => 8,
        }
    }

    /// Words of the hash, which of SHA-384 are fewer than of its state.
    const fn words(self) -> usize {
        match self {
            Self::Sha1 => 5,
            Self::Sha256 | Self::Sha512 => 8,
            Self::Sha384 => 6,
        }
    }
}

/// What a lane works on.
#[derive(Clone, Copy)]
struct Lane<'a> {
    /// Blocks to be hashed; none means that the lane is idle.
    octets: &'a [u8],
    /// Blocks that follow on them.
    end: &'a [u8],
    /// Index of the packet in the burst.
    packet: Option<usize>,
}

impl Lane<'_> {
    const IDLE: Self = Self { octets: &[], end: &[], packet: None };
}

/// Makes the last two blocks of an inner hash, or its only one: what is left of the text, the high half, a bit, zeros
/// and the number of bits, the key's block included. Gives the number of all blocks behind the key's.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn end<const WORD: usize>(text: &[u8], esn_high: Option<u32>, ends: &mut Ends) -> usize {
    let block = 16 * WORD;
    let len = text.len() + if esn_high.is_some() { 4 } else { 0 };
    let blocks = (len + 1 + 2 * WORD).div_ceil(block);
    let rest = &text[blocks.saturating_sub(2) * block..];
    let before = ends.len();
    for number in 0..WORD / 2 {
        let mut vector = [0; 64];
        store(&mut vector, load_masked(rest.get(64 * number..).unwrap_or_default(), u64::MAX));
        ends.push(vector);
    }
    let end = ends[before..].as_flattened_mut();
    let mut at = rest.len();
    if let Some(high) = esn_high {
        end[at..at + 4].copy_from_slice(&high.to_be_bytes());
        at += 4;
    }
    end[at] = 0x80;
    let last = blocks.min(2) * block;
    end[last - 8..last].copy_from_slice(&(8 * (block + len) as u64).to_be_bytes());
    blocks
}

/// Works one block into each lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn compress<const WORD: usize, const WORDS: usize>(state: &mut [__m512i; 8], words: [__m512i; 16]) {
    if WORDS == 5 { sha1::compress(state, words) } else { sha2::compress::<WORD>(state, words) }
}

/// The state of each lane, or what became of it.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Columns([[u8; 64]; 8]);

impl Columns {
    const ZERO: Self = Self([[0; 64]; 8]);

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn vectors<const WORDS: usize>(&self) -> [__m512i; 8] {
        let mut vectors = [_mm512_setzero_si512(); 8];
        for (vector, octets) in vectors[..WORDS].iter_mut().zip(&self.0) {
            *vector = load(octets);
        }
        vectors
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn set<const WORDS: usize>(&mut self, vectors: &[__m512i; 8]) {
        for (vector, octets) in vectors[..WORDS].iter().zip(&mut self.0) {
            store(octets, *vector);
        }
    }

    fn wipe(&mut self) {
        zeroize_bytes(self.0.as_flattened_mut());
    }
}

/// The MACs of a burst: of as many packets as there are lanes in each group, one lane for each.
struct Macs(ArrayVec<Columns, GROUPS>);

impl Macs {
    /// Keeps the inner hash of a packet, which a lane has finished.
    #[inline]
    fn keep<const WORD: usize, const WORDS: usize>(&mut self, packet: usize, state: &Columns, lane: usize) {
        let (group, own) = (packet / (64 / WORD), packet % (64 / WORD));
        for (to, from) in self.0[group].0[..WORDS].iter_mut().zip(&state.0) {
            to.as_chunks_mut::<WORD>().0[own] = from.as_chunks::<WORD>().0[lane];
        }
    }

    /// One word of a packet's MAC.
    #[inline]
    fn word<const WORD: usize>(&self, packet: usize, number: usize) -> [u8; WORD] {
        let (group, own) = (packet / (64 / WORD), packet % (64 / WORD));
        self.0[group].0[number].as_chunks().0[own]
    }
}

impl Drop for Macs {
    /// The right ICV of a forged packet is as good as a key to whoever can read it.
    fn drop(&mut self) {
        for columns in &mut self.0 {
            columns.wipe();
        }
    }
}

#[inline]
fn number_of<const WORD: usize>(word: [u8; WORD]) -> u64 {
    let mut octets = [0; 8];
    octets[..WORD].copy_from_slice(&word);
    u64::from_ne_bytes(octets)
}

/// Packets that share the lanes.
const BURST: usize = 64;
/// Groups of eight lanes, the fewest, that hold a burst.
const GROUPS: usize = BURST / 8;
/// The last blocks of each packet: twice 64 octets or, with blocks of 128, four times.
type Ends = ArrayVec<[u8; 64], { 4 * BURST }>;
