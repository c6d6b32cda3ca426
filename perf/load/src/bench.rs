//! The data plane and the bare cipher side by side, for the command and for the benchmarks of criterion.
//!
//! A burst is copied from a set of 960 packets into the buffers of the pipeline, as a port would, goes through policy
//! (the last of the permit entries matches), SA, time stamp, ESP and counters, and is thrown away. The bare cipher seals
//! or opens the same octets with the same key, straight from its library. All times are processor times.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration as RealDuration;

use anyhow::{Context as _, ensure};
use arrayvec::ArrayVec;
use hallmark_core::{Duration, Instant, Now, Rng, UnixTime};
use hallmark_crypto::Secret;
use hallmark_crypto::esp::{Backend, EspKey, Transform};
use hallmark_datapath::{
    Action, AddressRange, BATCH, Batch, Config, Datapath, Direction, Fate, Policy, Pool, Pseudotime, Replay, Rule, Sa,
    Selector, Side, State,
};

use crate::bare::Bare;

/// Packets that are replayed, each with addresses and ports of its own.
pub const SET: usize = 960;
/// Octets of a simple IMIX: seven short, four middle, one long packet.
pub const IMIX: [usize; 12] = [64, 576, 64, 64, 576, 64, 1400, 64, 576, 64, 576, 64];
/// Bursts that are made ready and then timed together: a system call has no business between them.
const READY: usize = 4;
/// Octets from one packet for the bare cipher to the next: whole cache lines, and no multiple of a page.
const STRIDE: usize = 2_112;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Cipher and MAC of the SA.
    pub transform: Transform,
    /// Who is to do the cipher.
    pub backend: Backend,
    /// 4 or 6.
    pub ip: u8,
    /// Octets of the clear IP packets, one length after the other.
    pub lengths: Vec<usize>,
    /// Permit entries of the policy.
    pub aces: usize,
    /// Whether each packet carries the 12 octets of time-based anti-replay.
    pub stamp: bool,
    /// From the LAN to the WAN, or the other way.
    pub encrypt: bool,
}

/// Everything for one measurement.
pub struct Bench {
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

impl Bench {
    /// Makes the member, its policy and the packets.
    ///
    /// # Errors
    /// Says which packet the data plane does not protect, or why the keys cannot be used.
    pub fn new(setup: &Setup) -> anyhow::Result<Self> {
        let &Setup { transform, backend, ip, ref lengths, encrypt, .. } = setup;
        let now = now();
        let config = Config { backend, ..Config::default() };
        let policy = policy(setup);
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

    /// Tells which implementation really does the cipher.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.backend
    }

    /// Takes so many bursts through the pipeline alone; gives the time that took.
    ///
    /// # Errors
    /// Says how many packets did not come out.
    pub fn pipeline(&mut self, bursts: u64) -> anyhow::Result<RealDuration> {
        let (now, out) = (now(), Fate::Out(self.from.other()));
        let mut watch = self.watch;
        let mut lost = 0;
        let mut batches: [Batch; READY] = std::array::from_fn(|_| Batch::new());
        let rounds = bursts.div_ceil(READY as u64);
        for _ in 0..rounds {
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
            }
        }
        ensure!(lost == 0, "{lost} packets did not come out");
        Ok(watch.share(bursts, rounds))
    }

    /// The same with what a port adds: the copy into buffers, a look at the fates, the return of the buffers.
    ///
    /// # Errors
    /// Says how many packets did not come out.
    pub fn through(&mut self, bursts: u64) -> anyhow::Result<RealDuration> {
        let (now, out) = (now(), Fate::Out(self.from.other()));
        let mut watch = self.watch;
        let mut lost = 0;
        watch.start()?;
        for _ in 0..bursts {
            self.fill()?;
            self.datapath.handle(now, self.from, &mut self.batch, &mut self.pool);
            lost += self.batch.packets.iter().filter(|packet| packet.fate != out).count();
            self.batch.recycle(&mut self.pool);
        }
        watch.stop()?;
        ensure!(lost == 0, "{lost} packets did not come out");
        Ok(watch.spent)
    }

    /// Takes the same octets through the library of the cipher alone, in bursts of the same size.
    ///
    /// # Errors
    /// Says how many packets failed.
    pub fn cipher(&mut self, bursts: u64) -> anyhow::Result<RealDuration> {
        let opens = self.from == Side::Wan;
        let mut watch = self.watch;
        let mut failed = 0;
        // Every packet begins with a cache line, which is the best that can happen to a cipher.
        let mut work = vec![0; (READY * BATCH + 1) * STRIDE];
        let aligned = work.as_ptr().align_offset(64);
        let rounds = bursts.div_ceil(READY as u64);
        for round in 0..rounds as usize {
            // Opening needs sealed packets each time; putting them back is not the cipher's time.
            let mut packets: ArrayVec<&mut [u8], { READY * BATCH }> = ArrayVec::new();
            for (n, room) in work[aligned..].chunks_exact_mut(STRIDE).take(READY * BATCH).enumerate() {
                let sealed = &self.sealed[(round * READY * BATCH + n) % SET];
                let packet = &mut room[..sealed.len()];
                packet.copy_from_slice(sealed);
                packets.push(packet);
            }
            watch.start()?;
            for burst in packets.chunks_mut(BATCH) {
                failed += if opens { self.bare.open(burst) } else { self.bare.seal(burst) };
            }
            watch.stop()?;
        }
        ensure!(failed == 0, "{failed} packets were not sealed or opened");
        Ok(watch.share(bursts, rounds))
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

    /// Gives the part of so many bursts where whole rounds were timed.
    fn share(&self, bursts: u64, rounds: u64) -> RealDuration {
        self.spent.mul_f64(bursts as f64 / (rounds.max(1) * READY as u64) as f64)
    }
}

fn cpu_time() -> anyhow::Result<RealDuration> {
    Ok(nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// One moment for the whole run: a loop of recorded packets stays inside its time window.
fn now() -> Now {
    Now::new(Instant::from_secs(1_000), UnixTime::from_secs(1_800_000_000))
}

/// So many permit entries for other networks, and the one that matches as the last.
fn policy(setup: &Setup) -> Policy {
    let &Setup { transform, ip, .. } = setup;
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
        (1..setup.aces.max(1)).map(|n| Rule { action: Action::Permit { policy: 1 }, selector: other(n) }).collect();
    rules.push(Rule::permit(1, Selector::between(site(1), site(2))));
    let mut keys = Rng::from_u64(7);
    let mut key = |len: usize| {
        let mut octets = vec![0; len];
        keys.fill(&mut octets);
        Secret::new(octets)
    };
    let encryption_key = key(transform.encryption_key_len());
    let integrity_key = key(transform.integrity_key_len());
    let replay = if !setup.stamp {
        Replay::None
    } else {
        let pseudotime = Pseudotime { ticks: 600_000, at: Instant::from_secs(999) };
        Replay::Time { window: Duration::from_secs(4), pseudotime }
    };
    Policy {
        state: State::Registered,
        rules,
        sas: vec![Sa::new(0x8de1_6523, transform, encryption_key, integrity_key)],
        sender_ids: Some((8, vec![1])),
        replay,
        direction: Direction::Both,
        serial: 1,
    }
}

/// Makes a UDP packet of so many octets between two hosts of the sites.
#[must_use]
pub fn clear_packet(ip: u8, number: usize, len: usize) -> Vec<u8> {
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

const _: () = assert!(SET.is_multiple_of(BATCH), "a run sees every packet equally often");
