//! Measures sealing and opening one packet at a time against bursts, for each transform, as time per packet and ratio.
//!
//! Run with `cargo run --release -p hallmark-crypto --example esp_speed [TRANSFORM..]`.

#![expect(clippy::print_stdout, reason = "the numbers are what this program is for")]

use std::time::{Duration, Instant};

use hallmark_crypto::esp::{Backend, EspError, EspKey, Job, Transform, trailer};

/// Packets of a burst.
const BURST: usize = 32;

fn main() -> Result<(), EspError> {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        names.extend(["aes128-cbc+hmac-sha1", "aes128-cbc+hmac-sha256", "aes256-cbc+hmac-sha256"].map(String::from));
        names.extend(["aes128-cbc+hmac-sha512", "aes128-gcm16", "aes256-gcm16"].map(String::from));
    }
    println!("nanoseconds per packet, the best of many bursts of {BURST}");
    println!(
        "{:<24} {:>8} {:>6} {:>9} {:>9} {:>6} {:>9} {:>9} {:>6}",
        "transform", "by", "octets", "seal one", "burst", "ratio", "open one", "burst", "ratio"
    );
    for name in names {
        let transform: Transform = name.parse()?;
        let encryption: Vec<u8> = (1..).take(transform.encryption_key_len()).collect();
        let integrity: Vec<u8> = (99..).take(transform.integrity_key_len()).collect();
        let mut before = None;
        for backend in Backend::available() {
            let key = EspKey::new(transform, &encryption, &integrity, backend)?;
            if before.replace(key.backend()) == Some(key.backend()) {
                continue;
            }
            for inner in [64, 576, 1400] {
                line(&key, inner);
            }
        }
    }
    Ok(())
}

fn line(key: &EspKey, inner: usize) {
    let transform = key.transform();
    let mut clear = vec![0; inner + transform.overhead(inner)];
    let end = clear.len() - transform.icv_len();
    if let Some(trailer) = clear.get_mut(transform.header_len() + inner..end) {
        trailer::write(trailer, 4);
    }
    let clear = vec![clear; BURST];
    let mut sealed = clear.clone();
    for packet in &mut sealed {
        key.seal(packet, None).unwrap_or_default();
    }
    let seal_one = time(&clear, |jobs| {
        for job in jobs {
            job.ok = key.seal(job.esp, job.esn_high).is_ok();
        }
    });
    let seal_burst = time(&clear, |jobs| key.seal_batch(jobs));
    let open_one = time(&sealed, |jobs| {
        for job in jobs {
            job.ok = key.open(job.esp, job.esn_high).is_ok();
        }
    });
    let open_burst = time(&sealed, |jobs| key.open_batch(jobs));
    let ns = |spent: Duration| spent.as_secs_f64() * 1e9 / BURST as f64;
    println!(
        "{:<24} {:>8} {inner:>6} {:>9.1} {:>9.1} {:>6.2} {:>9.1} {:>9.1} {:>6.2}",
        transform.to_string(),
        key.backend().name(),
        ns(seal_one),
        ns(seal_burst),
        ns(seal_one) / ns(seal_burst),
        ns(open_one),
        ns(open_burst),
        ns(open_one) / ns(open_burst),
    );
}

/// Gives the shortest of many runs over fresh copies of the packets, which other work on the machine disturbs least.
fn time(packets: &[Vec<u8>], mut run: impl FnMut(&mut [Job<'_>])) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..3_000 {
        let mut work = packets.to_vec();
        let mut jobs: Vec<Job<'_>> = work.iter_mut().map(|esp| Job { esp, esn_high: None, ok: false }).collect();
        let start = Instant::now();
        run(&mut jobs);
        best = best.min(start.elapsed());
        assert!(jobs.iter().all(|job| job.ok), "a packet was refused");
    }
    best
}
