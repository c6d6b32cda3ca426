//! Measures key generation and agreement of every Diffie-Hellman group, and signatures.
//!
//! Run with `cargo run --release -p hallmark-crypto --example dh_speed`.

#![expect(clippy::print_stdout, reason = "the numbers are what this program is for")]

use std::time::{Duration, Instant};

use hallmark_core::Rng;
use hallmark_crypto::{CryptoError, DhKey, Group, HashAlg, SigningKey, hash};

fn main() -> Result<(), CryptoError> {
    let mut rng = Rng::from_u64(1);
    println!("{:<10} {:>12} {:>12} {:>12}", "group", "generate", "agree", "both");
    for group in Group::ALL {
        let peer = DhKey::generate(group, &mut rng);
        let generate = time(|| drop(DhKey::generate(group, &mut rng)));
        let key = DhKey::generate(group, &mut rng);
        key.agree(peer.public())?;
        let agree = time(|| drop(key.agree(peer.public())));
        println!("{group:<10} {generate:>12.1?} {agree:>12.1?} {:>12.1?}", generate + agree);
    }
    println!("{:<10} {:>12} {:>12}", "key", "sign", "verify");
    for bits in [1024, 2048, 3072] {
        let key = SigningKey::generate_rsa(bits, &mut rng)?;
        let digest = hash(HashAlg::Sha256, &[b"measure"]);
        let sig = key.sign_push(HashAlg::Sha256, &digest, false, &mut rng)?;
        let sign = time(|| drop(key.sign_push(HashAlg::Sha256, &digest, false, &mut rng)));
        let public = key.public();
        let verify = time(|| {
            let _ = public.verify_push(HashAlg::Sha256, &digest, false, &sig);
        });
        println!("rsa{bits:<7} {sign:>12.1?} {verify:>12.1?}");
    }
    Ok(())
}

/// Gives the mean of the best of 20 batches, which other work on the machine disturbs least.
fn time(mut run: impl FnMut()) -> Duration {
    (0..20)
        .map(|_| {
            let start = Instant::now();
            (0..20).for_each(|_| run());
            start.elapsed() / 20
        })
        .min()
        .unwrap_or_default()
}
