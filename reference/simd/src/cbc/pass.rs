//! The passes over the packets, four blocks to a vector.
//!
//! A round takes three cycles, and one can begin in each cycle: four vectors keep the unit busy. When encrypting these
//! are 16 packets, a block of each at a time; a lane whose packet ends takes the next one, the longest first. When
//! decrypting they are 16 blocks of one packet, and processors look far enough ahead to begin the next packet
//! meanwhile.
//!
//! Vectors are handled in fixed numbers: a loop of unknown length would have the rounds of one vector wait for those of
//! the vector before it.

use std::arch::x86_64::*;
use std::cell::Cell;

use arrayvec::ArrayVec;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::aes::{Rounds, expand};
use crate::vector::{detected, load, load_block, load_masked, store, store_block, store_masked};

/// The expanded key. Plain octets, so that overwriting them is plain too.
#[derive(Zeroize, ZeroizeOnDrop)]
#[repr(C, align(64))]
pub(super) struct Schedule {
    encrypting: Rounds,
    /// In the order in which decryption uses them, for the equivalent inverse cipher (FIPS 197 section 5.3.5).
    decrypting: Rounds,
    last_round: usize,
}

impl Schedule {
    /// See `Key::new`.
    pub(super) fn new(key: &[u8]) -> Option<Box<Self>> {
        if !matches!(key.len(), 16 | 24 | 32) || !detected() {
            return None;
        }
        let mut schedule = Box::new(Self { encrypting: [[0; 64]; 15], decrypting: [[0; 64]; 15], last_round: 0 });
        // SAFETY: every feature that the function enables has just been detected.
        unsafe { schedule.fill(key) };
        Some(schedule)
    }

    /// See `Key::encrypt`.
    pub(super) fn encrypt(&self, packets: &mut [&mut [u8]]) {
        for packets in packets.chunks_mut(BURST) {
            // SAFETY: a schedule exists only where every feature that the functions enable has been detected.
            unsafe {
                match self.last_round {
                    10 => self.encrypt_burst::<10>(packets),
                    12 => self.encrypt_burst::<12>(packets),
                    _ => self.encrypt_burst::<14>(packets),
                }
            }
        }
    }

    /// See `Key::decrypt`.
    pub(super) fn decrypt(&self, packets: &mut [&mut [u8]]) {
        // SAFETY: a schedule exists only where every feature that the functions enable has been detected.
        unsafe {
            match self.last_round {
                10 => self.decrypt_all::<10>(packets),
                12 => self.decrypt_all::<12>(packets),
                _ => self.decrypt_all::<14>(packets),
            }
        }
    }

    #[target_feature(enable = "avx512f,aes")]
    fn fill(&mut self, key: &[u8]) {
        self.last_round = expand(key, &mut self.encrypting);
        let last = self.last_round;
        for (number, round) in self.decrypting[..=last].iter_mut().enumerate() {
            let wanted = &self.encrypting[last - number];
            if number == 0 || number == last {
                *round = *wanted;
                continue;
            }
            for (to, from) in round.as_chunks_mut().0.iter_mut().zip(wanted.as_chunks().0) {
                store_block(to, _mm_aesimc_si128(load_block(from)));
            }
        }
    }

    #[target_feature(enable = "avx512f,vaes")]
    fn encrypt_burst<const LAST_ROUND: usize>(&self, packets: &mut [&mut [u8]]) {
        let mut burst = ArrayVec::<&[Block], BURST>::new();
        let mut queue = ArrayVec::<usize, BURST>::new();
        for packet in packets {
            if packet.is_empty() || packet.len() % 16 != 0 {
                packet.fill(0);
                continue;
            }
            // The length before the index: sorting is for the length.
            queue.push(packet.len() / 16 * BURST + burst.len());
            burst.push(Cell::from_mut(packet.as_chunks_mut().0).as_slice_of_cells());
        }
        // The longest is last, and comes first.
        queue.sort_unstable();
        match queue.len().div_ceil(4) {
            0 => {}
            1 => self.encrypt_queue::<LAST_ROUND, 1>(&burst, &mut queue),
            2 => self.encrypt_queue::<LAST_ROUND, 2>(&burst, &mut queue),
            3 => self.encrypt_queue::<LAST_ROUND, 3>(&burst, &mut queue),
            _ => self.encrypt_queue::<LAST_ROUND, 4>(&burst, &mut queue),
        }
    }

    /// Encrypts the packets of the queue, the last one first, in the lanes of so many vectors.
    #[inline]
    #[target_feature(enable = "avx512f,vaes")]
    fn encrypt_queue<const LAST_ROUND: usize, const VECTORS: usize>(
        &self,
        burst: &[&[Block]],
        queue: &mut ArrayVec<usize, BURST>,
    ) {
        // Lanes without a packet work along on these, for nothing.
        let spare = [const { Cell::new([0; 16]) }; SPARE];
        let mut lanes: [&[Block]; LANES] = [&[]; LANES];
        let mut now = lanes;
        let mut chains = [[0; 64]; VECTORS];
        loop {
            let (mut blocks, mut idle) = (usize::MAX, false);
            for (index, lane) in lanes[..4 * VECTORS].iter_mut().enumerate() {
                while lane.is_empty()
                    && let Some(next) = queue.pop()
                {
                    let (iv, text) = burst[next % BURST].split_at(1);
                    chains[index / 4].as_chunks_mut().0[index % 4] = iv[0].get();
                    *lane = text;
                }
                if lane.is_empty() {
                    idle = true;
                } else {
                    blocks = blocks.min(lane.len());
                }
            }
            if blocks == usize::MAX {
                break;
            }
            if idle {
                blocks = blocks.min(SPARE);
            }
            for (lane, now) in lanes[..4 * VECTORS].iter_mut().zip(&mut now) {
                match lane.split_at_checked(blocks) {
                    Some(parts) => (*now, *lane) = parts,
                    None => *now = &spare[..blocks],
                }
            }
            self.encrypt_lanes::<LAST_ROUND, VECTORS>(&mut chains, &now, blocks);
        }
    }

    /// Encrypts so many blocks of each lane, four lanes to a vector.
    #[inline]
    #[target_feature(enable = "avx512f,vaes")]
    fn encrypt_lanes<const LAST_ROUND: usize, const VECTORS: usize>(
        &self,
        chains: &mut [[u8; 64]; VECTORS],
        lanes: &[&[Block]; LANES],
        blocks: usize,
    ) {
        let whitening = load(&self.encrypting[0]);
        let mut vectors = [_mm512_setzero_si512(); VECTORS];
        for (vector, chains) in vectors.iter_mut().zip(&*chains) {
            *vector = load(chains);
        }
        for block in 0..blocks {
            for (vector, lanes) in vectors.iter_mut().zip(lanes.as_chunks::<4>().0) {
                let text = gathered(lanes, block);
                *vector = _mm512_ternarylogic_epi64::<XOR3>(*vector, text, whitening);
            }
            for round in &self.encrypting[1..LAST_ROUND] {
                let round = load(round);
                for vector in &mut vectors {
                    *vector = _mm512_aesenc_epi128(*vector, round);
                }
            }
            let round = load(&self.encrypting[LAST_ROUND]);
            for vector in &mut vectors {
                *vector = _mm512_aesenclast_epi128(*vector, round);
            }
            for (vector, lanes) in vectors.iter().zip(lanes.as_chunks::<4>().0) {
                scatter(*vector, lanes, block);
            }
        }
        for (vector, chains) in vectors.iter().zip(chains) {
            store(chains, *vector);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,aes,vaes,bmi2")]
    fn decrypt_all<const LAST_ROUND: usize>(&self, packets: &mut [&mut [u8]]) {
        for packet in packets.iter_mut().filter(|packet| packet.len() % 16 == 0) {
            // From the end on: a vector needs the ciphertext before it, which is then still there.
            let mut left = packet.len();
            while left >= 16 + GROUP {
                left -= GROUP;
                self.decrypt_vectors::<LAST_ROUND, 4>(&mut packet[left - 16..][..16 + GROUP]);
            }
            let rest = &mut packet[..left];
            match left.saturating_sub(16).div_ceil(64) {
                0 => {}
                1 => self.decrypt_vectors::<LAST_ROUND, 1>(rest),
                2 => self.decrypt_vectors::<LAST_ROUND, 2>(rest),
                3 => self.decrypt_vectors::<LAST_ROUND, 3>(rest),
                _ => self.decrypt_vectors::<LAST_ROUND, 4>(rest),
            }
        }
    }

    /// Decrypts what follows on the first block, so many vectors of which the last one need not be whole.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,vaes,bmi2")]
    fn decrypt_vectors<const LAST_ROUND: usize, const VECTORS: usize>(&self, octets: &mut [u8]) {
        let whitening = load(&self.decrypting[0]);
        let mut before = [_mm512_setzero_si512(); VECTORS];
        let mut vectors = before;
        for (number, (vector, before)) in vectors.iter_mut().zip(&mut before).enumerate() {
            *before = load_masked(octets.get(64 * number..).unwrap_or_default(), u64::MAX);
            let text = load_masked(octets.get(64 * number + 16..).unwrap_or_default(), u64::MAX);
            *vector = _mm512_xor_si512(text, whitening);
        }
        for round in &self.decrypting[1..LAST_ROUND] {
            let round = load(round);
            for vector in &mut vectors {
                *vector = _mm512_aesdec_epi128(*vector, round);
            }
        }
        let round = load(&self.decrypting[LAST_ROUND]);
        for (number, (vector, before)) in vectors.into_iter().zip(before).enumerate() {
            let text = _mm512_xor_si512(_mm512_aesdeclast_epi128(vector, round), before);
            store_masked(octets.get_mut(64 * number + 16..).unwrap_or_default(), u64::MAX, text);
        }
    }
}

/// One block of four lanes in one vector.
#[inline]
#[target_feature(enable = "avx512f")]
fn gathered(lanes: &[&[Block]; 4], block: usize) -> __m512i {
    let vector = _mm512_zextsi128_si512(load_block(&lanes[0][block].get()));
    let vector = _mm512_inserti32x4::<1>(vector, load_block(&lanes[1][block].get()));
    let vector = _mm512_inserti32x4::<2>(vector, load_block(&lanes[2][block].get()));
    _mm512_inserti32x4::<3>(vector, load_block(&lanes[3][block].get()))
}

/// One vector into a block of four lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn scatter(vector: __m512i, lanes: &[&[Block]; 4], block: usize) {
    let mut octets = [0; 64];
    store(&mut octets, vector);
    for (lane, octets) in lanes.iter().zip(octets.as_chunks().0) {
        lane[block].set(*octets);
    }
}

/// A block of a packet, or one that several idle lanes share.
type Block = Cell<[u8; 16]>;
/// Packets that are sorted by their length together.
const BURST: usize = 64;
/// Packets that are encrypted side by side.
const LANES: usize = 16;
/// Blocks for lanes without a packet.
const SPARE: usize = 32;
/// Octets that are decrypted side by side.
const GROUP: usize = 4 * 64;
/// The truth table of a ^ b ^ c.
const XOR3: i32 = 0x96;
