//! How many packets one core takes through the whole data plane, beside the bare cipher in the same run.
//!
//! Both take turns in short windows of processor time, so that what else the machine does falls on both
//! ([`hallmark_perf::bench`]).
#![expect(clippy::print_stdout, reason = "the figures are what the command is for")]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::time::Duration as RealDuration;

use anyhow::{Context as _, bail, ensure};
use hallmark_crypto::esp::{Backend, Cipher, EspKey, Mac, Transform};
use hallmark_datapath::BATCH;
use serde_json::json;

use hallmark_perf::bench::{Bench, IMIX, SET, Setup, clear_packet};

/// Bursts of the first, shortest window.
const STEP: u64 = 64;
/// Processor time of a window.
const WINDOW: RealDuration = RealDuration::from_millis(10);

/// Settings of the measurement.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Octets of the clear IP packets, or imix.
    #[arg(long, value_delimiter = ',', default_value = "64,256,576,1400,imix")]
    size: Vec<String>,
    /// IP versions.
    #[arg(long, value_delimiter = ',', default_value = "4,6")]
    ip: Vec<u8>,
    /// Implementations of the cipher.
    #[arg(long, value_delimiter = ',', default_value = "ring,batch")]
    backend: Vec<String>,
    /// Directions.
    #[arg(long, value_delimiter = ',', default_value = "encrypt,decrypt", value_parser = ["encrypt", "decrypt"])]
    way: Vec<String>,
    /// aes128-gcm16, aes256-gcm16, aes128-cbc-sha1 or aes128-cbc-sha256.
    #[arg(long, default_value = "aes128-gcm16")]
    transform: String,
    /// Permit entries of the policy.
    #[arg(long, default_value_t = 100)]
    aces: usize,
    /// Without the 12 octets of time-based anti-replay in each packet.
    #[arg(long)]
    no_stamp: bool,
    /// Pairs of windows for each figure.
    #[arg(long, default_value_t = 25)]
    rounds: usize,
    /// The processor to stay on.
    #[arg(long, default_value_t = 1)]
    core: usize,
    /// One line of JSON for each figure instead of a table.
    #[arg(long)]
    json: bool,
    /// Writes ESP packets for `perf/secgw/run --esp` here and measures nothing.
    #[arg(long, value_name = "FILE")]
    secgw_capture: Option<PathBuf>,
}

/// Runs the measurement.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if let Some(path) = &options.secgw_capture {
        return secgw_capture(path, sizes(options.size.first().map_or("64", String::as_str))?);
    }
    stay_on(options.core)?;
    let transform = transform(&options.transform)?;
    if !options.json {
        println!(
            "{} through one core, {} ACEs{}; Mpps of processor time, best (median); ratio as median of pairs",
            transform,
            options.aces,
            if options.no_stamp { "" } else { ", time stamp" }
        );
        println!(
            "{:<9} {:<4} {:<8} {:>5} {:>16} {:>16} {:>7} {:>16} {:>8}",
            "backend", "ip", "way", "size", "pipeline", "bare cipher", "ratio", "with copy in", "Gbit/s"
        );
    }
    for name in &options.backend {
        let backend = backend(name)?;
        for ip in &options.ip {
            for size in &options.size {
                let lengths = sizes(size)?;
                for encrypt in options.way.iter().map(|way| way == "encrypt") {
                    let (aces, stamp) = (options.aces, !options.no_stamp);
                    let setup = Setup { transform, backend, ip: *ip, lengths: lengths.clone(), aces, stamp, encrypt };
                    let mut bench = Bench::new(&setup)?;
                    let figure = Figure::measure(&mut bench, options.rounds)?;
                    figure.print(options, bench.backend(), *ip, encrypt, size, &lengths);
                }
            }
        }
    }
    Ok(())
}

#[derive(Default)]
struct Figure {
    /// Through [`Datapath::handle`] alone.
    pipeline: Vec<f64>,
    /// With what a port adds.
    through: Vec<f64>,
    /// The bare cipher.
    cipher: Vec<f64>,
}

impl Figure {
    /// Lets pipeline and cipher take turns in windows of the same length.
    fn measure(bench: &mut Bench, rounds: usize) -> anyhow::Result<Self> {
        let mut figure = Self::default();
        // The first windows find out how long they are, and warm caches.
        let first = [bench.pipeline(STEP)?, bench.through(STEP)?, bench.cipher(STEP)?];
        let [pipeline, through, cipher] = first.map(|spent| {
            let windows = WINDOW.as_secs_f64() / spent.as_secs_f64().max(1e-9);
            ((STEP as f64 * windows) as u64).max(STEP)
        });
        for _ in 0..rounds {
            figure.pipeline.push(mpps(pipeline, bench.pipeline(pipeline)?));
            figure.through.push(mpps(through, bench.through(through)?));
            figure.cipher.push(mpps(cipher, bench.cipher(cipher)?));
        }
        Ok(figure)
    }

    fn print(&self, options: &Options, backend: Backend, ip: u8, encrypt: bool, size: &str, lengths: &[usize]) {
        let ratios: Vec<f64> = self.pipeline.iter().zip(&self.cipher).map(|(p, c)| p / c).collect();
        let octets = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
        let best = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let gbit = best(&self.through) * octets * 8.0 / 1e3;
        let way = if encrypt { "encrypt" } else { "decrypt" };
        if options.json {
            println!(
                "{}",
                json!({
                    "backend": backend.name(), "ip": ip, "way": way, "size": size, "aces": options.aces,
                    "pipeline_mpps_best": best(&self.pipeline), "pipeline_mpps_median": median(&self.pipeline),
                    "through_mpps_best": best(&self.through), "through_mpps_median": median(&self.through),
                    "cipher_mpps_best": best(&self.cipher), "cipher_mpps_median": median(&self.cipher),
                    "ratio_median": median(&ratios), "gbit_best": gbit,
                })
            );
            return;
        }
        println!(
            "{:<9} v{ip:<3} {way:<8} {size:>5} {:>7.2} ({:>6.2}) {:>7.2} ({:>6.2}) {:>7.2} {:>7.2} ({:>6.2}) {gbit:>8.1}",
            backend.name(),
            best(&self.pipeline),
            median(&self.pipeline),
            best(&self.cipher),
            median(&self.cipher),
            median(&ratios),
            best(&self.through),
            median(&self.through),
        );
    }
}

/// Gives packets a second, in millions.
fn mpps(bursts: u64, spent: RealDuration) -> f64 {
    bursts as f64 * BATCH as f64 / spent.as_secs_f64() / 1e6
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn sizes(text: &str) -> anyhow::Result<Vec<usize>> {
    if text == "imix" {
        return Ok(IMIX.to_vec());
    }
    let size: usize = text.parse().with_context(|| format!("{text} is neither a number of octets nor imix"))?;
    ensure!((48..=1_400).contains(&size), "{size}: packets of 48 to 1400 octets are measured");
    Ok(vec![size])
}

fn transform(name: &str) -> anyhow::Result<Transform> {
    Ok(match name {
        "aes128-gcm16" => Transform { cipher: Cipher::AesGcm { bits: 128, icv: 16 }, mac: None },
        "aes256-gcm16" => Transform { cipher: Cipher::AesGcm { bits: 256, icv: 16 }, mac: None },
        "aes128-cbc-sha1" => Transform { cipher: Cipher::AesCbc(128), mac: Some(Mac::HmacSha1) },
        "aes128-cbc-sha256" => Transform { cipher: Cipher::AesCbc(128), mac: Some(Mac::HmacSha256) },
        other => bail!("{other} is not measured: aes128-gcm16, aes256-gcm16, aes128-cbc-sha1, aes128-cbc-sha256"),
    })
}

fn backend(name: &str) -> anyhow::Result<Backend> {
    let all = [Backend::Auto, Backend::Portable, Backend::Ring, Backend::Batch];
    all.into_iter().find(|backend| backend.name() == name).with_context(|| {
        let names: Vec<&str> = all.iter().map(|backend| backend.name()).collect();
        format!("{name} is no backend: {}", names.join(", "))
    })
}

/// Keeps this thread on one processor, so that it is not moved in the middle of a window.
fn stay_on(core: usize) -> anyhow::Result<()> {
    let mut set = nix::sched::CpuSet::new();
    set.set(core)?;
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set)
        .with_context(|| format!("cannot stay on processor {core}; name another with --core"))
}

/// Writes what ipsec-secgw is to decrypt: tunnel mode between its own gateways, AES-128-GCM, no stamp.
fn secgw_capture(path: &PathBuf, lengths: Vec<usize>) -> anyhow::Result<()> {
    // The key, salt and SPI of perf/secgw/run.
    let material = hex("2b7e151628aed2a6abf7158809cf4f3cdeadbeef");
    let transform = transform("aes128-gcm16")?;
    let key = EspKey::new(transform, &material, &[], Backend::Auto)?;
    let mut out = BufWriter::new(File::create(path).with_context(|| path.display().to_string())?);
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        out.write_all(&word.to_le_bytes())?;
    }
    for number in 0..SET {
        let inner = clear_packet(4, number, lengths[number % lengths.len()]);
        let mut packet = outer(&inner, transform, number)?;
        key.seal(&mut packet[20..], None)?;
        let mut frame = vec![0_u8; 12];
        frame.extend_from_slice(&[8, 0]);
        frame.extend_from_slice(&packet);
        for word in [0, 0, frame.len() as u32, frame.len() as u32] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&frame)?;
    }
    Ok(out.flush()?)
}

/// Lays out an ESP packet from one gateway of ipsec-secgw to the other, not sealed yet.
fn outer(inner: &[u8], transform: Transform, number: usize) -> anyhow::Result<Vec<u8>> {
    let len = 20 + transform.overhead(inner.len()) + inner.len();
    let mut packet = vec![0; 20];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    packet[8] = 64;
    packet[9] = 50;
    packet[12..16].copy_from_slice(&[172, 16, 1, 1]);
    packet[16..20].copy_from_slice(&[172, 16, 2, 1]);
    let sum = hallmark_wire::ip::checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(&5_u32.to_be_bytes());
    packet.extend_from_slice(&(number as u32 + 1).to_be_bytes());
    packet.extend_from_slice(&(number as u64 + 1).to_be_bytes());
    packet.extend_from_slice(inner);
    let pad = transform.pad_len(inner.len());
    let mut trailer = vec![0; pad + 2];
    hallmark_crypto::esp::trailer::write(&mut trailer, 4);
    packet.extend_from_slice(&trailer);
    packet.resize(len, 0);
    Ok(packet)
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).filter_map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
