//! Speed of HMAC and of AES-CBC against RustCrypto, on one core and in one run:
//! `cargo run --release -p hallmark-simd --example cbc_hmac_speed [SECONDS]`.
//!
//! Bursts of so many packets, in place, as ESP has them after AES-CBC. Nanoseconds for a packet, best burst of many,
//! ours and RustCrypto's in turns. Quote the ratios: the figures are those of the machine and the minute.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use ::cbc::cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use ::cbc::{Decryptor, Encryptor};
use ::hmac::{Hmac, Mac};
use aes::Aes128;
use hallmark_simd::{cbc, hmac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

const STRIDE: usize = 1600;
const IMIX: [usize; 12] = [64, 576, 64, 64, 576, 64, 1400, 64, 576, 64, 64, 576];
const KEY: [u8; 64] = [7; 64];

fn main() {
    let seconds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0.3);
    let window = Duration::from_secs_f64(seconds);
    println!("{:12} {:>5} {:>5}  {:>8} {:>10} {:>6}", "", "size", "burst", "ours", "rustcrypto", "ratio");
    for (name, sizes) in [("64", &[64][..]), ("256", &[256]), ("576", &[576]), ("1400", &[1400]), ("imix", &IMIX)] {
        for burst in [64, 32, 16, 8, 4, 3, 2, 1] {
            let mut bench = Bench::new(sizes, burst);
            let line = |what: &str, [ours, theirs]: [f64; 2]| {
                println!("{what:12} {name:>5} {burst:>5}  {ours:>8.1} {theirs:>10.1} {:>5.2}x", theirs / ours);
            };
            line("sha1", bench.macs::<Hmac<Sha1>>(window, hmac::Hash::Sha1, 20, 12));
            line("sha256", bench.macs::<Hmac<Sha256>>(window, hmac::Hash::Sha256, 32, 16));
            line("sha512", bench.macs::<Hmac<Sha512>>(window, hmac::Hash::Sha512, 64, 32));
            let (Some(ours), Ok(theirs)) = (cbc::Key::new(&KEY[..16]), Aes128::new_from_slice(&KEY[..16])) else {
                return;
            };
            line("encrypt", bench.cbc(window, |p| ours.encrypt(p), |p| encrypt(&theirs, p)));
            line("decrypt", bench.cbc(window, |p| ours.decrypt(p), |p| decrypt(&theirs, p)));
        }
    }
}

struct Bench {
    room: Vec<u8>,
    lengths: Vec<usize>,
}

impl Bench {
    fn new(sizes: &[usize], burst: usize) -> Self {
        let inner = sizes.iter().copied().cycle().take(burst);
        Self {
            room: (0..burst * STRIDE).map(|i| i as u8).collect(),
            lengths: inner.map(|n| (n + 2).next_multiple_of(16)).collect(),
        }
    }

    fn macs<M: Mac + KeyInit + Clone>(
        &mut self,
        window: Duration,
        hash: hmac::Hash,
        key: usize,
        icv: usize,
    ) -> [f64; 2] {
        let (Some(ours), Ok(theirs)) =
            (hmac::Key::new(hash, &KEY[..key], icv), <M as KeyInit>::new_from_slice(&KEY[..key]))
        else {
            return [f64::NAN; 2];
        };
        let lengths: Vec<usize> = self.lengths.iter().map(|n| 8 + 16 + n + icv).collect();
        let rooms = self.room.chunks_exact_mut(STRIDE).zip(&lengths);
        let mut packets: Vec<hmac::Packet<'_>> =
            rooms.map(|(room, n)| hmac::Packet { octets: &mut room[..*n], esn_high: None }).collect();
        let count = packets.len() as f64;
        best(
            window,
            &mut packets,
            |packets| ours.sign(packets),
            |packets| {
                for packet in packets {
                    let (text, to) = packet.octets.split_at_mut(packet.octets.len() - icv);
                    to.copy_from_slice(&theirs.clone().chain_update(text).finalize().into_bytes()[..icv]);
                }
            },
        )
        .map(|time| time / count)
    }

    fn cbc(
        &mut self,
        window: Duration,
        ours: impl Fn(&mut Vec<&mut [u8]>),
        theirs: impl Fn(&mut Vec<&mut [u8]>),
    ) -> [f64; 2] {
        let rooms = self.room.chunks_exact_mut(STRIDE).zip(&self.lengths);
        let mut packets: Vec<&mut [u8]> = rooms.map(|(room, n)| &mut room[8..8 + 16 + n]).collect();
        let count = packets.len() as f64;
        best(window, &mut packets, ours, theirs).map(|time| time / count)
    }
}

/// Nanoseconds of a burst.
fn best<T>(window: Duration, work: &mut T, ours: impl Fn(&mut T), theirs: impl Fn(&mut T)) -> [f64; 2] {
    let mut best = [Duration::MAX; 2];
    let start = Instant::now();
    while start.elapsed() < window {
        for _ in 0..20 {
            let start = Instant::now();
            ours(black_box(work));
            best[0] = best[0].min(start.elapsed());
        }
        for _ in 0..20 {
            let start = Instant::now();
            theirs(black_box(work));
            best[1] = best[1].min(start.elapsed());
        }
    }
    best.map(|time| time.as_secs_f64() * 1e9)
}

fn encrypt(cipher: &Aes128, packets: &mut [&mut [u8]]) {
    for packet in packets {
        let (iv, text) = packet.split_at_mut(16);
        let mut mode = Encryptor::inner_iv_slice_init(cipher, iv).expect("an IV of the right length");
        mode.encrypt_blocks(Array::slice_as_chunks_mut(text).0);
    }
}

fn decrypt(cipher: &Aes128, packets: &mut [&mut [u8]]) {
    for packet in packets {
        let (iv, text) = packet.split_at_mut(16);
        let mut mode = Decryptor::inner_iv_slice_init(cipher, iv).expect("an IV of the right length");
        mode.decrypt_blocks(Array::slice_as_chunks_mut(text).0);
    }
}
