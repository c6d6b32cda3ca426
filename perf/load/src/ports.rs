//! What each kind of port carries on this machine: with nothing between the two ports, which is the ceiling of
//! everything that is built on it, and with the bridge of a group member between them.
//!
//! A generator fills the LAN side, one thread moves bursts from the LAN port to the WAN port, and the kernel at the far
//! end counts what arrives and throws it away. All of it happens in network namespaces of its own. Everything that is
//! compared takes turns, so that what else the machine does falls on all of it; the first is the measure of the others.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant as RealInstant};

use anyhow::{Context as _, ensure};
use clap::Args;
use hallmark_core::{Instant, Rng};
use hallmark_crypto::Secret;
use hallmark_crypto::esp::{Cipher, Transform};
use hallmark_datapath::{AddressRange, Config, Policy, Pseudotime, Replay, Rule, Sa, Selector, State};
use hallmark_net::frame::{self, FramePort, PortKind, PortSpec};
use hallmark_net::{Clock, Namespace};
use hallmark_node::bridge::Bridge;
use hallmark_node::config::{self, DataSetup, PortSetup};
use hallmark_node::plane::{PlaneCommand, PlaneUpdate, RemotePlane as _};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::json;

/// Frames that one call moves.
const BURST: usize = 64;
/// Longest IP packet between the ports.
const MTU: u16 = 9_100;
/// Empty looks at the port before the thread sleeps until there is something.
const PATIENCE: u32 = 100;

/// Settings of a measurement.
#[derive(Args)]
pub(crate) struct Options {
    /// Kinds of ports; the first is the measure of the others.
    #[arg(long, value_delimiter = ',', default_value = "packet,xdp,tun")]
    kind: Vec<PortKind>,
    /// What is between the two ports.
    #[arg(long, value_delimiter = ',', default_value = "bare,clear,esp")]
    through: Vec<Through>,
    /// Octets of the IP packets.
    #[arg(long, value_delimiter = ',', default_value = "64,1400", value_parser = clap::value_parser!(u16).range(20..=9_000))]
    size: Vec<u16>,
    /// Milliseconds of each measurement.
    #[arg(long, default_value_t = 500)]
    millis: u64,
    /// Measurements of each kind and size.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// One line of JSON for each figure instead of a table.
    #[arg(long)]
    json: bool,
}

/// Says what is between the two ports.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Through {
    /// Nothing: frames are copied.
    Bare,
    /// The bridge of a group member whose policy lets everything pass in clear.
    Clear,
    /// The bridge of a group member that seals everything: AES-128-GCM and a time stamp.
    Esp,
}

impl Through {
    const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Clear => "clear",
            Self::Esp => "esp",
        }
    }
}

/// Runs the measurement and prints it. Needs root.
#[expect(clippy::print_stdout, reason = "the result of the program")]
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.rounds > 0 && options.millis > 0, "at least one round of one millisecond");
    if !options.json {
        println!("LAN port to WAN port, one thread; best of {} (median)", options.rounds);
        println!(
            "{:<8} {:<8} {:>5} {:>16} {:>8} {:>8} {:>14} {:>7} {:>8}",
            "kind", "through", "size", "Mpps", "Gbit/s", "ratio", "CPU ns/frame", "busy", "offered"
        );
    }
    let pairs = || options.through.iter().flat_map(|through| options.kind.iter().map(move |kind| (*kind, *through)));
    for size in &options.size {
        let mut rounds: Vec<Vec<Figure>> = pairs().map(|_| Vec::new()).collect();
        for _ in 0..options.rounds {
            for ((kind, through), figures) in pairs().zip(&mut rounds) {
                figures.push(measure(kind, through, *size, Duration::from_millis(options.millis))?);
            }
        }
        let first = rounds.first().and_then(|figures| median(figures, Figure::rate)).unwrap_or(f64::NAN);
        for ((kind, through), figures) in pairs().zip(&rounds) {
            print(options, kind, through, *size, figures, first);
        }
    }
    Ok(())
}

/// What one measurement of one kind gave.
#[derive(Clone, Copy)]
struct Figure {
    elapsed: Duration,
    /// Frames that the generator's port accepted.
    offered: u64,
    /// Frames that arrived behind the bridge.
    arrived: u64,
    /// CPU time of the thread of the bridge, with what the kernel did on its account.
    cpu: Duration,
}

impl Figure {
    fn rate(&self) -> f64 {
        self.arrived as f64 / self.elapsed.as_secs_f64()
    }

    fn cpu_nanos_each(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.arrived as f64
    }
}

#[expect(clippy::print_stdout, reason = "the result of the program")]
fn print(options: &Options, kind: PortKind, through: Through, size: u16, figures: &[Figure], first: f64) {
    let of = |value: fn(&Figure) -> f64| median(figures, value).unwrap_or(f64::NAN);
    let best = figures.iter().map(Figure::rate).fold(0.0, f64::max);
    let middle = of(Figure::rate);
    let gbit = best * f64::from(size) * 8.0 / 1e9;
    let busy = of(|figure| figure.cpu.as_secs_f64() / figure.elapsed.as_secs_f64());
    let offered = of(|figure| figure.offered as f64 / figure.elapsed.as_secs_f64());
    let nanos = of(Figure::cpu_nanos_each);
    if options.json {
        let line = json!({
            "schema": "hallmark.perf.ports/1",
            "kind": kind.as_str(),
            "through": through.name(),
            "ip_octets": size,
            "best_frames_per_sec": best,
            "median_frames_per_sec": middle,
            "best_gbit_per_sec": gbit,
            "ratio_to_first": middle / first,
            "cpu_nanos_per_frame": nanos,
            "busy": busy,
            "offered_frames_per_sec": offered,
        });
        println!("{line}");
        return;
    }
    println!(
        "{:<8} {:<8} {size:>5} {:>7.3} ({:>6.3}) {gbit:>8.2} {:>8.2} {nanos:>14.0} {busy:>7.2} {:>8.3}",
        kind.as_str(),
        through.name(),
        best / 1e6,
        middle / 1e6,
        middle / first,
        offered / 1e6
    );
}

fn median(figures: &[Figure], value: impl Fn(&Figure) -> f64) -> Option<f64> {
    let mut values: Vec<f64> = figures.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Two cables, or two devices for TUN, with a generator on one side and something that carries between them.
struct Site {
    generator: Box<dyn FramePort>,
    carrier: Carrier,
    /// Where frames arrive, and the interface that counts them.
    end: (Namespace, &'static str),
    _others: Vec<Namespace>,
}

/// What carries frames from the LAN side to the WAN side.
enum Carrier {
    Bare { lan: Box<dyn FramePort>, wan: Box<dyn FramePort> },
    Member(Bridge),
}

impl Carrier {
    /// Opens the ports in the namespace of this thread.
    fn open(kind: PortKind, through: Through) -> anyhow::Result<Self> {
        if through == Through::Bare {
            let port = |name: &str| frame::open(&PortSpec { mtu: Some(MTU), ..PortSpec::new(kind, name) });
            return Ok(Self::Bare { lan: port("lan0")?, wan: port("wan0")? });
        }
        // The thread of the bridge stays where the one that makes it is.
        prefer(1)?;
        let config = Config { lan_mtu: MTU, wan_mtu: MTU, ..Config::default() };
        let port = |interface: &str| PortSetup {
            kind: match kind {
                PortKind::Packet => config::PortKind::Packet,
                PortKind::Xdp => config::PortKind::Xdp,
                PortKind::Tun => config::PortKind::Tun,
            },
            interface: interface.to_owned(),
            offload: false,
        };
        let setup = DataSetup { plane: config, lan: port("lan0"), wan: port("wan0") };
        let mut bridge = Bridge::open(&setup, &setup.plane, &Rng::from_u64(1), Clock::real())?;
        bridge.update(&PlaneUpdate::Policy(policy(through)));
        // An answer says that the policy is in force.
        bridge.command(&PlaneCommand::Status).map_err(anyhow::Error::msg)?;
        Ok(Self::Member(bridge))
    }
}

/// Protects everything between the hosts of the generator, or nothing.
fn policy(through: Through) -> Policy {
    let everything = Selector::between(
        AddressRange::prefix(Ipv4Addr::new(10, 0, 0, 0).into(), 8),
        AddressRange::prefix(Ipv4Addr::new(10, 0, 0, 0).into(), 8),
    );
    let transform = Transform { cipher: Cipher::AesGcm { bits: 128, icv: 16 }, mac: None };
    let mut policy = Policy { state: State::Registered, serial: 1, ..Policy::default() };
    if through == Through::Clear {
        policy.rules.push(Rule::deny(everything));
        return policy;
    }
    policy.rules.push(Rule::permit(1, everything));
    let encryption_key = Secret::new(vec![7; transform.encryption_key_len()]);
    policy.sas.push(Sa::new(0x8de1_6523, transform, encryption_key, Secret::new(Vec::new())));
    policy.sender_ids = Some((8, vec![1]));
    let pseudotime = Pseudotime { ticks: 600_000, at: Instant::ZERO };
    policy.replay = Replay::Time { window: Duration::from_secs(4), pseudotime };
    policy
}

impl Site {
    fn build(kind: PortKind, through: Through) -> anyhow::Result<Self> {
        let namespace = |end| Namespace::create(format!("hm-perf-{}-{end}", std::process::id()));
        let open = |kind, name: &str| frame::open(&PortSpec::new(kind, name));
        let gm = namespace("gm")?;
        if kind == PortKind::Tun {
            // Frames written to the second device arrive in the kernel of the same namespace, which drops them.
            let devices = || -> anyhow::Result<_> {
                let carrier = Carrier::open(kind, through)?;
                Ok((carrier, open(PortKind::Packet, "lan0")?))
            };
            let (carrier, generator) = gm.enter(devices)??;
            return Ok(Self { generator, carrier, end: (gm, "wan0"), _others: Vec::new() });
        }
        let (host, end) = (namespace("lan")?, namespace("wan")?);
        host.connect("eth0", &gm, "lan0", MTU)?;
        gm.connect("wan0", &end, "eth0", MTU)?;
        let generator = host.enter(|| open(PortKind::Xdp, "eth0"))??;
        let carrier = gm.enter(|| Carrier::open(kind, through))??;
        Ok(Self { generator, carrier, end: (end, "eth0"), _others: vec![host, gm] })
    }

    /// Tells how many frames the kernel at the far end has seen.
    fn arrived(&self) -> anyhow::Result<u64> {
        let (namespace, interface) = &self.end;
        let table = namespace.run("cat", &["/proc/net/dev"])?;
        let line = table.lines().find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'));
        let packets = line.and_then(|line| line.split_whitespace().nth(1));
        packets.and_then(|packets| packets.parse().ok()).context("/proc/net/dev does not show the interface")
    }
}

fn measure(kind: PortKind, through: Through, size: u16, time: Duration) -> anyhow::Result<Figure> {
    let mut site = Site::build(kind, through).with_context(|| format!("{kind} ports cannot be measured here"))?;
    let before = site.arrived()?;
    let frames = frames(site.generator.has_link_header(), size);
    let stop = AtomicBool::new(false);
    let worker = match &site.carrier {
        Carrier::Bare { .. } => None,
        Carrier::Member(_) => Some(thread_named("bridge 0")?),
    };
    let worker_before = worker.as_deref().map_or(Ok(Duration::ZERO), on_cpu)?;
    let started = RealInstant::now();
    let (offered, cpu) = std::thread::scope(|scope| {
        let generator = scope.spawn(|| generate(site.generator.as_mut(), &frames, &stop));
        let mover = match &mut site.carrier {
            Carrier::Bare { lan, wan } => Some(scope.spawn(|| carry(lan.as_mut(), wan.as_mut(), &stop))),
            Carrier::Member(_) => None,
        };
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        (generator.join(), mover.map(ScopedJoinHandle::join))
    });
    let elapsed = started.elapsed();
    let worker_after = worker.as_deref().map_or(Ok(Duration::ZERO), on_cpu)?;
    let offered = offered.map_err(|_| anyhow::anyhow!("the generator stopped"))??;
    let cpu = match cpu {
        Some(cpu) => cpu.map_err(|_| anyhow::anyhow!("the carrier stopped"))??,
        None => worker_after.saturating_sub(worker_before),
    };
    let arrived = site.arrived()?.saturating_sub(before);
    ensure!(arrived > 0, "no frame came through the {kind} ports");
    if let Carrier::Member(bridge) = &mut site.carrier {
        // What is not done as asked is not worth a figure.
        let status = bridge.command(&PlaneCommand::Status).map_err(anyhow::Error::msg)?;
        let counter = if through == Through::Esp { "sealed" } else { "clear_out" };
        let done = status["totals"][counter]["packets"].as_u64().unwrap_or(0);
        ensure!(done >= arrived, "the data plane did this to {done} of {arrived} packets only: {counter}");
    }
    Ok(Figure { elapsed, offered, arrived, cpu })
}

/// Makes a burst of packets between different hosts.
fn frames(link_header: bool, size: u16) -> Vec<Vec<u8>> {
    let frame = |number: u8| {
        let mut frame = Vec::new();
        if link_header {
            frame.extend_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        }
        let start = frame.len();
        let [high, low] = size.to_be_bytes();
        frame.extend_from_slice(&[0x45, 0, high, low, 0, number, 0, 0, 64, 253, 0, 0]);
        frame.extend_from_slice(&[10, 0, 0, number, 10, 1, 0, number]);
        let sum: u32 = frame[start..].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let checksum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or(0);
        frame[start + 10..start + 12].copy_from_slice(&checksum.to_be_bytes());
        frame.resize(start + usize::from(size), number);
        frame
    };
    (0..64).map(frame).collect()
}

fn generate(port: &mut dyn FramePort, frames: &[Vec<u8>], stop: &AtomicBool) -> anyhow::Result<u64> {
    prefer(0)?;
    let slices: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    let mut offered = 0;
    while !stop.load(Ordering::Relaxed) {
        offered += port.send(&slices)? as u64;
    }
    Ok(offered)
}

/// Moves frames until told to stop and says how much CPU time that took.
fn carry(lan: &mut dyn FramePort, wan: &mut dyn FramePort, stop: &AtomicBool) -> anyhow::Result<Duration> {
    prefer(1)?;
    let mut burst: Vec<Vec<u8>> = (0..BURST).map(|_| Vec::with_capacity(usize::from(MTU) + 22)).collect();
    let mut empty = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut count = 0;
        // Copied, as into the buffers of a pipeline that changes them.
        lan.receive(BURST, &mut |frame| {
            if let Some(buffer) = burst.get_mut(count) {
                buffer.clear();
                buffer.extend_from_slice(frame);
                count += 1;
            }
        })?;
        if count > 0 {
            let mut slices: [&[u8]; BURST] = [&[]; BURST];
            for (slice, buffer) in slices.iter_mut().zip(&burst) {
                *slice = buffer;
            }
            wan.send(slices.get(..count).unwrap_or_default())?;
            empty = 0;
            continue;
        }
        empty += 1;
        if empty > PATIENCE {
            let mut ports = [PollFd::new(lan.as_fd(), PollFlags::POLLIN)];
            poll(&mut ports, PollTimeout::from(10_u8))?;
        }
    }
    on_cpu(Path::new("/proc/thread-self"))
}

/// Tells how long a thread has been on a processor, by its folder in `/proc`.
fn on_cpu(thread: &Path) -> anyhow::Result<Duration> {
    let path = thread.join("schedstat");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    nanos.map(Duration::from_nanos).with_context(|| format!("{} has no time", path.display()))
}

/// Finds the folder of a thread of this process.
fn thread_named(name: &str) -> anyhow::Result<PathBuf> {
    for entry in fs::read_dir("/proc/self/task")? {
        let path = entry?.path();
        if fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name) {
            return Ok(path);
        }
    }
    anyhow::bail!("there is no thread {name}")
}

/// Keeps this thread on one processor, so that generator and bridge do not share one where there are two.
fn prefer(core: usize) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut set = CpuSet::new();
    set.set(core % cores)?;
    sched_setaffinity(Pid::from_raw(0), &set).context("cannot stay on one processor")
}
