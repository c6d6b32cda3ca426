//! The whole data plane and the bare cipher in one run of criterion: time for each packet is that of the thread.
//!
//! The ratio that is asked for is bare time over pipeline time of the same size and direction. `hallmark-perf datapath`
//! measures the same in turns and prints the ratio itself, which says more on a machine that does other things.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hallmark_crypto::esp::{Backend, Cipher, Mac, Transform};
use hallmark_datapath::BATCH;
use hallmark_perf::bench::{Bench, IMIX, Setup};

fn pipeline(criterion: &mut Criterion) {
    let gcm = Transform { cipher: Cipher::AesGcm { bits: 128, icv: 16 }, mac: None };
    let cbc = Transform { cipher: Cipher::AesCbc(128), mac: Some(Mac::HmacSha1) };
    for (name, transform, backend) in [
        ("aes128-gcm16 ring", gcm, Backend::Ring),
        ("aes128-gcm16 auto", gcm, Backend::Auto),
        ("aes128-cbc hmac-sha1 auto", cbc, Backend::Auto),
    ] {
        for (ip, encrypt) in [(4, true), (4, false), (6, true), (6, false)] {
            let way = if encrypt { "encrypt" } else { "decrypt" };
            let mut group = criterion.benchmark_group(format!("{name} v{ip} {way}"));
            group.throughput(Throughput::Elements(BATCH as u64));
            for (size, lengths) in [("64", vec![64]), ("1400", vec![1400]), ("imix", IMIX.to_vec())] {
                let setup = Setup { transform, backend, ip, lengths, aces: 100, stamp: true, encrypt };
                let mut bench = Bench::new(&setup).expect("a member that protects the packets");
                group.bench_function(BenchmarkId::new("pipeline", size), |bencher| {
                    bencher.iter_custom(|bursts| bench.pipeline(bursts).expect("every packet comes out"));
                });
                group.bench_function(BenchmarkId::new("cipher", size), |bencher| {
                    bencher.iter_custom(|bursts| bench.cipher(bursts).expect("every packet is sealed or opened"));
                });
            }
        }
    }
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
