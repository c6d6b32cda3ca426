//! How many packets one core takes through the whole data plane, beside the bare cipher in the same run.
//!
//! A burst is copied from a set of 960 packets into the buffers of the pipeline, as a port would, goes through policy
//! (100 ACEs, the last one matches), SA, time stamp, ESP and counters, and is thrown away. The bare cipher seals or
//! opens the same octets with the same key and library, without anything around it. Both take turns in short windows of
//! processor time, so that what else the machine does falls on both.
#![expect(clippy::print_stdout, reason = "the figures are what the command is for")]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration as RealDuration;

use anyhow::{Context as _, bail, ensure};
use arrayvec::ArrayVec;
use hallmark_core::{Duration, Instant, Now, Rng, UnixTime};
use hallmark_crypto::Secret;
use hallmark_crypto::esp::{Backend, Cipher, EspKey, Mac, Transform};
use hallmark_datapath::{
    Action, AddressRange, BATCH, Batch, Config, Datapath, Direction, Fate, Mode, Policy, Pool, Preservation,
    Pseudotime, Replay, Rule, Sa, SaDirection, Scope, Selector, Side, State,
};
use serde_json::json;

use crate::bare::Bare;

/// Packets that are replayed, each with addresses and ports of its own.
const SET: usize = 960;
/// Bursts that are made ready and then timed together: a system call has no business between them.
const READY: usize = 4;
/// Octets from one packet for the bare cipher to the next: whole cache lines, and no multiple of a page.
const STRIDE: usize = 2_112;
/// Octets of a simple IMIX: seven short, four middle, one long packet.
const IMIX: [usize; 12] = [64, 576, 64, 64, 576, 64, 1400, 64, 576, 64, 576, 64];
/// Bursts between two looks at the clock where nothing has to be left out.
const BURSTS: usize = 16;
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
                    let mut bench = Bench::new(transform, backend, *ip, &lengths, options, encrypt)?;
                    let figure = bench.measure(options.rounds)?;
                    figure.print(options, bench.backend, *ip, encrypt, size, &lengths);
                }
            }
        }
    }
    Ok(())
}

/// Everything for one figure.
struct Bench {
    datapath: Datapath,
    pool: Pool,
    batch: Batch,
    packets: Vec<Vec<u8>>,
    watch: Watch,
    bare: Bare,
    /// Which implementation the key really uses.
    backend: Backend,
    /// What the bare cipher works on: SPI to ICV, one for each packet of the set.
    sealed: Vec<Vec<u8>>,
    from: Side,
    next: usize,
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

impl Bench {
    fn new(
        transform: Transform,
        backend: Backend,
        ip: u8,
        lengths: &[usize],
        options: &Options,
        encrypt: bool,
    ) -> anyhow::Result<Self> {
        let now = now();
        let config = Config { backend, ..Config::default() };
        let policy = policy(transform, ip, options)?;
        let mut datapath = Datapath::new(config, Rng::from_u64(1), now);
        datapath.apply(now, &policy);
        let clear: Vec<Vec<u8>> = (0..SET).map(|n| clear_packet(ip, n, lengths[n % lengths.len()])).collect();
        let mut pool = Pool::new(BATCH + 512, 2_048);
        let mut batch = Batch::new();
        let mut esp = Vec::new();
        for packet in &clear {
            let mut buffer = pool.take().context("the pool is empty")?;
            ensure!(buffer.set(&[], packet), "a packet of {} octets does not fit", packet.len());
            batch.push(buffer).ok().context("the batch is full")?;
            datapath.handle(now, Side::Lan, &mut batch, &mut pool);
            let packet = batch.packets.first().context("the packet is gone")?;
            ensure!(packet.fate == Fate::Out(Side::Wan), "not encrypted: {:?}", packet.fate);
            esp.push(packet.ip().to_vec());
            batch.recycle(&mut pool);
        }
        let outer = if ip == 4 { 20 } else { 40 };
        let sealed = esp.iter().map(|packet| packet[outer..].to_vec()).collect();
        let sa = &policy.sas[0];
        let (encryption_key, integrity_key) = (sa.encryption_key.expose(), sa.integrity_key.expose());
        let bare = Bare::new(transform, encryption_key, integrity_key, backend)?;
        let backend = EspKey::new(transform, encryption_key, integrity_key, backend)?.backend();
        let (from, packets) = if encrypt { (Side::Lan, clear) } else { (Side::Wan, esp) };
        Ok(Self { datapath, pool, batch, packets, watch: Watch::new()?, bare, backend, sealed, from, next: 0 })
    }

    fn measure(&mut self, rounds: usize) -> anyhow::Result<Figure> {
        let mut figure = Figure::default();
        // The first window warms caches and is not counted.
        for round in 0..=rounds {
            let pipeline = self.pipeline_window()?;
            let through = self.through_window()?;
            let cipher = self.cipher_window()?;
            if round > 0 {
                figure.pipeline.push(pipeline);
                figure.through.push(through);
                figure.cipher.push(cipher);
            }
        }
        Ok(figure)
    }

    /// Gives packets a second, in millions, through the pipeline alone.
    fn pipeline_window(&mut self) -> anyhow::Result<f64> {
        let (now, out) = (now(), Fate::Out(self.from.other()));
        let (mut done, mut lost) = (0, 0);
        let mut watch = self.watch;
        let mut batches: [Batch; READY] = std::array::from_fn(|_| Batch::new());
        while watch.spent < WINDOW {
            for batch in &mut batches {
                self.fill()?;
                std::mem::swap(&mut self.batch, batch);
            }
            watch.start()?;
            for batch in &mut batches {
                self.datapath.handle(now, self.from, batch, &mut self.pool);
            }
            watch.stop()?;
            for batch in &mut batches {
                lost += batch.packets.iter().filter(|packet| packet.fate != out).count();
                batch.recycle(&mut self.pool);
                done += BATCH;
            }
        }
        ensure!(lost == 0, "{lost} of {done} packets did not come out");
        Ok(watch.mpps(done))
    }

    /// The same with what a port adds: the copy into buffers, a look at the fates, the return of the buffers.
    fn through_window(&mut self) -> anyhow::Result<f64> {
        let (now, out) = (now(), Fate::Out(self.from.other()));
        let (mut done, mut lost) = (0, 0);
        let mut watch = self.watch;
        while watch.spent < WINDOW {
            watch.start()?;
            for _ in 0..BURSTS {
                self.fill()?;
                self.datapath.handle(now, self.from, &mut self.batch, &mut self.pool);
                lost += self.batch.packets.iter().filter(|packet| packet.fate != out).count();
                self.batch.recycle(&mut self.pool);
            }
            watch.stop()?;
            done += BURSTS * BATCH;
        }
        ensure!(lost == 0, "{lost} of {done} packets did not come out");
        Ok(watch.mpps(done))
    }

    /// Copies the next packets of the set into a batch.
    fn fill(&mut self) -> anyhow::Result<()> {
        ensure!(self.pool.lend(BATCH, &mut self.batch) == BATCH, "the pool is empty");
        let next = self.packets.get(self.next..self.next + BATCH).context("a set is whole batches")?;
        for (buffer, packet) in self.batch.packets.iter_mut().zip(next) {
            buffer.set(&[], packet);
        }
        self.next = (self.next + BATCH) % SET;
        Ok(())
    }

    /// The same octets through the library of the cipher alone, in bursts of the same size.
    fn cipher_window(&mut self) -> anyhow::Result<f64> {
        let opens = self.from == Side::Wan;
        let (mut done, mut failed) = (0, 0);
        let mut watch = self.watch;
        // Every packet begins with a cache line, which is the best that can happen to a cipher.
        let mut work = vec![0; (READY * BATCH + 1) * STRIDE];
        let aligned = work.as_ptr().align_offset(64);
        let mut from = 0;
        while watch.spent < WINDOW {
            // Opening needs sealed packets each time; putting them back is not the cipher's time.
            let mut packets: ArrayVec<&mut [u8], { READY * BATCH }> = ArrayVec::new();
            for (n, room) in work[aligned..].chunks_exact_mut(STRIDE).take(READY * BATCH).enumerate() {
                let sealed = &self.sealed[(from + n) % SET];
                let packet = &mut room[..sealed.len()];
                packet.copy_from_slice(sealed);
                packets.push(packet);
            }
            from = (from + READY * BATCH) % SET;
            watch.start()?;
            for burst in packets.chunks_mut(BATCH) {
                failed += if opens { self.bare.open(burst) } else { self.bare.seal(burst) };
            }
            watch.stop()?;
            done += packets.len();
        }
        ensure!(failed == 0, "{failed} of {done} packets were not sealed or opened");
        Ok(watch.mpps(done))
    }
}

/// Adds up the processor time of this thread, so that what others do meanwhile on the same processor does not count,
/// less what reading the clock takes itself.
#[derive(Clone, Copy)]
struct Watch {
    spent: RealDuration,
    started: RealDuration,
    own: RealDuration,
}

impl Watch {
    /// Makes a watch that knows its own cost.
    fn new() -> anyhow::Result<Self> {
        let mut watch = Self { spent: RealDuration::ZERO, started: RealDuration::ZERO, own: RealDuration::ZERO };
        let mut costs = Vec::new();
        for _ in 0..2_000 {
            watch.spent = RealDuration::ZERO;
            watch.start()?;
            watch.stop()?;
            costs.push(watch.spent);
        }
        costs.sort();
        Ok(Self { spent: RealDuration::ZERO, own: costs[costs.len() / 2], ..watch })
    }

    fn start(&mut self) -> anyhow::Result<()> {
        self.started = cpu_time()?;
        Ok(())
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.spent += (cpu_time()? - self.started).saturating_sub(self.own);
        Ok(())
    }

    /// Gives packets a second, in millions.
    fn mpps(&self, packets: usize) -> f64 {
        packets as f64 / self.spent.as_secs_f64() / 1e6
    }
}

fn cpu_time() -> anyhow::Result<RealDuration> {
    Ok(nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

impl Figure {
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

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// One moment for the whole run: a loop of recorded packets stays inside its time window.
fn now() -> Now {
    Now::new(Instant::from_secs(1_000), UnixTime::from_secs(1_800_000_000))
}

/// So many permit entries for other networks, and the one that matches as the last.
fn policy(transform: Transform, ip: u8, options: &Options) -> anyhow::Result<Policy> {
    let other = |n: usize| -> Selector {
        let (high, low) = ((n / 250) as u8, (n % 250) as u8);
        let range = |site: u8| match ip {
            4 => AddressRange::prefix(Ipv4Addr::new(172, 16 + high, low, site).into(), 30),
            _ => AddressRange::prefix(Ipv6Addr::new(0x2001, 0xdb8, 0xff, n as u16, 0, 0, 0, site.into()).into(), 126),
        };
        Selector::between(range(0), range(128)).protocol(6).dst_ports(1_000, 1_000 + n as u16)
    };
    let site = |n: u8| match ip {
        4 => AddressRange::prefix(Ipv4Addr::new(10, n, 0, 0).into(), 16),
        _ => AddressRange::prefix(Ipv6Addr::new(0x2001, 0xdb8, n.into(), 0, 0, 0, 0, 0).into(), 48),
    };
    let mut rules: Vec<Rule> =
        (1..options.aces.max(1)).map(|n| Rule { action: Action::Permit { policy: 1 }, selector: other(n) }).collect();
    rules.push(Rule::permit(1, Selector::between(site(1), site(2))));
    let mut keys = Rng::from_u64(7);
    let mut key = |len: usize| {
        let mut octets = vec![0; len];
        keys.fill(&mut octets);
        Secret::new(octets)
    };
    let replay = if options.no_stamp {
        Replay::None
    } else {
        let pseudotime = Pseudotime { ticks: 600_000, at: Instant::from_secs(999) };
        Replay::Time { window: Duration::from_secs(4), pseudotime }
    };
    Ok(Policy {
        state: State::Registered,
        rules,
        sas: vec![Sa {
            spi: 0x8de1_6523,
            policy: 1,
            transform,
            encryption_key: key(transform.encryption_key_len()),
            integrity_key: key(transform.integrity_key_len()),
            mode: Mode::Tunnel,
            preservation: Preservation::Both,
            endpoint: None,
            direction: SaDirection::Both,
            scope: Scope::Spi,
            extended_sequence: false,
            activates: Instant::ZERO,
            ends: Instant::from_secs(1_000_000),
            serial: 1,
        }],
        sender_ids: Some((8, vec![1])),
        replay,
        direction: Direction::Both,
        serial: 1,
    })
}

/// Makes a UDP packet of so many octets between two hosts of the sites.
fn clear_packet(ip: u8, number: usize, len: usize) -> Vec<u8> {
    let mut packet = vec![0; len];
    let host = (number % 250) as u8 + 1;
    let net = (number / 250) as u8;
    let udp = if ip == 4 {
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        packet[4..6].copy_from_slice(&(number as u16).to_be_bytes());
        packet[8] = 64;
        packet[9] = 17;
        packet[12..16].copy_from_slice(&[10, 1, net, host]);
        packet[16..20].copy_from_slice(&[10, 2, net, host]);
        let sum = hallmark_wire::ip::checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        20
    } else {
        packet[0] = 0x60;
        packet[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
        packet[6] = 17;
        packet[7] = 64;
        let address = |site: u8| Ipv6Addr::new(0x2001, 0xdb8, site.into(), net.into(), 0, 0, 0, host.into()).octets();
        packet[8..24].copy_from_slice(&address(1));
        packet[24..40].copy_from_slice(&address(2));
        40
    };
    packet[udp..udp + 2].copy_from_slice(&(1_000 + number as u16).to_be_bytes());
    packet[udp + 2..udp + 4].copy_from_slice(&2_000_u16.to_be_bytes());
    packet[udp + 4..udp + 6].copy_from_slice(&((len - udp) as u16).to_be_bytes());
    packet
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

const _: () = assert!(SET.is_multiple_of(BATCH), "a window sees every packet equally often");
