//! Speed against ring, on one core and in one run: `cargo run --release -p hallmark-simd --example gcm_speed [SECONDS]`.
//!
//! Bursts of 96 packets, in place, the header written anew for each packet before the burst as a sender does. The size
//! is that of the inner IP packet; trailer and padding to 4 octets come on top, as in ESP. Gbit/s counts inner octets.
//! Best window of many, ours and ring's in turns. Quote the ratios: the figures are those of the machine and the
//! minute.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use hallmark_simd::gcm::{Key, OVERHEAD};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

const BURST: usize = 96;
const STRIDE: usize = 1600;
const SALT: [u8; 4] = *b"salt";
const IMIX: [usize; 12] = [64, 576, 64, 64, 576, 64, 1400, 64, 576, 64, 64, 576];

fn main() {
    let seconds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(1.0);
    let window = Duration::from_secs_f64(seconds);
    println!("{:8} {:>5}  {:>38}  {:>38}", "", "", "seal: ours, ring, ratio", "open: ours, ring, ratio");
    for octets in [16, 32] {
        let key: Vec<u8> = (0..octets).collect();
        let Some(ours) = Key::new(&key, SALT) else {
            println!("this processor lacks AVX-512, VAES or VPCLMULQDQ");
            return;
        };
        let algorithm = if octets == 16 { &AES_128_GCM } else { &AES_256_GCM };
        let ring = LessSafeKey::new(UnboundKey::new(algorithm, &key).expect("a key of the right length"));
        for (name, sizes) in [("64", &[64][..]), ("256", &[256]), ("576", &[576]), ("1400", &[1400]), ("imix", &IMIX)] {
            let mut bench = Bench::new(sizes);
            let [seal, ring_seal, open, ring_open] = bench.run(window, &ours, &ring);
            let inner = bench.inner as f64 / BURST as f64;
            let column = |ours: f64, ring: f64| {
                let gbit = |rate| rate * inner * 8.0 / 1000.0;
                format!("{ours:5.1} Mpps {:5.1} Gb/s {ring:5.1} {:5.1} {:5.2}x", gbit(ours), gbit(ring), ours / ring)
            };
            let name = format!("aes{}", 8 * u32::from(octets)) + " " + name;
            println!("{name:14}  {:>38}  {:>38}", column(seal, ring_seal), column(open, ring_open));
        }
    }
}

/// A burst of packets and what it is restored from.
struct Bench {
    clear: Vec<u8>,
    sealed: Vec<u8>,
    work: Vec<u8>,
    lengths: Vec<usize>,
    inner: usize,
    sequence: u64,
}

impl Bench {
    fn new(sizes: &[usize]) -> Self {
        let inner: Vec<usize> = sizes.iter().copied().cycle().take(BURST).collect();
        let lengths = inner.iter().map(|size| OVERHEAD + (size + 2).next_multiple_of(4)).collect();
        let clear: Vec<u8> = (0..BURST * STRIDE).map(|i| (i * 7) as u8).collect();
        Self { sealed: clear.clone(), work: clear.clone(), clear, lengths, inner: inner.iter().sum(), sequence: 0 }
    }

    /// Million packets a second: ours and ring's sealing, ours and ring's opening.
    fn run(&mut self, window: Duration, ours: &Key, ring: &LessSafeKey) -> [f64; 4] {
        let mut best = [Duration::MAX; 4];
        let start = Instant::now();
        while start.elapsed() < window {
            // Twenty bursts in a row each, so that predictors and caches are those of the one that is timed.
            for _ in 0..20 {
                best[0] = best[0].min(self.seal(|packets| ours.seal(packets)));
            }
            self.sealed.copy_from_slice(&self.work);
            for _ in 0..20 {
                best[2] = best[2].min(self.open(|packets, ok| ours.open(packets, ok)));
            }
            for _ in 0..20 {
                best[1] = best[1].min(self.seal(|packets| ring_seal(ring, packets)));
            }
            self.sealed.copy_from_slice(&self.work);
            for _ in 0..20 {
                best[3] = best[3].min(self.open(|packets, ok| ring_open(ring, packets, ok)));
            }
        }
        best.map(|time| BURST as f64 / time.as_secs_f64() / 1e6)
    }

    fn seal(&mut self, seal: impl FnOnce(&mut [&mut [u8]])) -> Duration {
        self.work.copy_from_slice(&self.clear);
        let first = self.sequence;
        self.sequence += BURST as u64;
        let mut packets = packets(&mut self.work, &self.lengths);
        let start = Instant::now();
        for (packet, sequence) in packets.iter_mut().zip(first..) {
            packet[..4].copy_from_slice(&[1, 2, 3, 4]);
            packet[4..8].copy_from_slice(&(sequence as u32).to_be_bytes());
            packet[8..16].copy_from_slice(&sequence.to_be_bytes());
        }
        seal(black_box(&mut packets));
        start.elapsed()
    }

    fn open(&mut self, open: impl FnOnce(&mut [&mut [u8]], &mut [bool])) -> Duration {
        self.work.copy_from_slice(&self.sealed);
        let mut packets = packets(&mut self.work, &self.lengths);
        let mut ok = [false; BURST];
        let start = Instant::now();
        open(black_box(&mut packets), &mut ok);
        let took = start.elapsed();
        assert!(ok.iter().all(|ok| *ok), "a packet was refused");
        took
    }
}

fn packets<'a>(room: &'a mut [u8], lengths: &[usize]) -> Vec<&'a mut [u8]> {
    room.chunks_exact_mut(STRIDE).zip(lengths).map(|(room, length)| &mut room[..*length]).collect()
}

fn nonce(packet: &[u8]) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&SALT);
    nonce[4..].copy_from_slice(&packet[8..16]);
    Nonce::assume_unique_for_key(nonce)
}

fn ring_seal(key: &LessSafeKey, packets: &mut [&mut [u8]]) {
    for packet in packets {
        let nonce = nonce(packet);
        let (header, rest) = packet.split_at_mut(16);
        let (text, icv) = rest.split_at_mut(rest.len() - 16);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&header[..8]), text).expect("ring seals");
        icv.copy_from_slice(tag.as_ref());
    }
}

fn ring_open(key: &LessSafeKey, packets: &mut [&mut [u8]], ok: &mut [bool]) {
    for (packet, ok) in packets.iter_mut().zip(ok) {
        let nonce = nonce(packet);
        let (header, rest) = packet.split_at_mut(16);
        *ok = key.open_in_place(nonce, Aad::from(&header[..8]), rest).is_ok();
    }
}
