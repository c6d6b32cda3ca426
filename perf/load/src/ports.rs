//! What each kind of port carries on this machine, with nothing between the two ports of a bridge: the ceiling of
//! everything that is built on it.
//!
//! A generator fills the LAN side of a bridge, one thread moves bursts from its LAN port to its WAN port, and the
//! kernel at the far end counts what arrives and throws it away. All of it happens in network namespaces of its own.
//! The kinds take turns, so that what else the machine does falls on all of them; the first kind is the measure of the
//! others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use hallmark_net::frame::{self, FramePort, PortKind, PortSpec};
use hallmark_net::{Namespace, NetError};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use serde_json::json;

/// Frames that one call moves.
const BURST: usize = 64;
/// Empty looks at the port before the thread sleeps until there is something.
const PATIENCE: u32 = 100;

/// Settings of a measurement.
#[derive(Args)]
pub(crate) struct Options {
    /// Kinds of ports; the first is the measure of the others.
    #[arg(long, value_delimiter = ',', default_value = "packet,xdp,tun")]
    kind: Vec<PortKind>,
    /// Octets of the IP packets.
    #[arg(long, value_delimiter = ',', default_value = "64,1400", value_parser = clap::value_parser!(u16).range(20..=9_000))]
    size: Vec<u16>,
    /// Milliseconds of each measurement.
    #[arg(long, default_value_t = 1_000)]
    millis: u64,
    /// Measurements of each kind and size.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// One line of JSON for each figure instead of a table.
    #[arg(long)]
    json: bool,
}

/// Runs the measurement and prints it. Needs root.
#[expect(clippy::print_stdout, reason = "the result of the program")]
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.rounds > 0 && options.millis > 0, "at least one round of one millisecond");
    if !options.json {
        println!("LAN port to WAN port, one thread, no encryption; best of {} (median)", options.rounds);
        println!(
            "{:<8} {:>5} {:>16} {:>8} {:>8} {:>14} {:>7} {:>8}",
            "kind", "size", "Mpps", "Gbit/s", "ratio", "CPU ns/frame", "busy", "offered"
        );
    }
    for size in &options.size {
        let mut rounds: Vec<Vec<Figure>> = vec![Vec::new(); options.kind.len()];
        for _ in 0..options.rounds {
            for (kind, figures) in options.kind.iter().zip(&mut rounds) {
                figures.push(measure(*kind, *size, Duration::from_millis(options.millis))?);
            }
        }
        let first = rounds.first().and_then(|figures| median(figures, Figure::rate)).unwrap_or(f64::NAN);
        for (kind, figures) in options.kind.iter().zip(&rounds) {
            print(options, *kind, *size, figures, first);
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
fn print(options: &Options, kind: PortKind, size: u16, figures: &[Figure], first: f64) {
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
        "{:<8} {size:>5} {:>7.3} ({:>6.3}) {gbit:>8.2} {:>8.2} {nanos:>14.0} {busy:>7.2} {:>8.3}",
        kind.as_str(),
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

/// A bridge between two cables, or between two devices for TUN, with a generator on one side.
struct Bridge {
    generator: Box<dyn FramePort>,
    lan: Box<dyn FramePort>,
    wan: Box<dyn FramePort>,
    /// Where frames arrive, and the interface that counts them.
    end: (Namespace, &'static str),
    _others: Vec<Namespace>,
}

impl Bridge {
    fn build(kind: PortKind) -> Result<Self, NetError> {
        let namespace = |end| Namespace::create(format!("hm-perf-{}-{end}", std::process::id()));
        let spec = |kind, name: &str| PortSpec::new(kind, name);
        let gm = namespace("gm")?;
        if kind == PortKind::Tun {
            // Frames written to the second device arrive in the kernel of the same namespace, which drops them.
            let devices = || -> Result<_, NetError> {
                let device = |name: &str| frame::open(&PortSpec { mtu: Some(9_000), ..spec(PortKind::Tun, name) });
                Ok((device("lan0")?, device("wan0")?, frame::open(&spec(PortKind::Packet, "lan0"))?))
            };
            let (lan, wan, generator) = gm.enter(devices)??;
            return Ok(Self { generator, lan, wan, end: (gm, "wan0"), _others: Vec::new() });
        }
        let (host, end) = (namespace("lan")?, namespace("wan")?);
        host.connect("eth0", &gm, "lan0", 9_100)?;
        gm.connect("wan0", &end, "eth0", 9_100)?;
        let generator = host.enter(|| frame::open(&spec(PortKind::Xdp, "eth0")))??;
        let open =
            || -> Result<_, NetError> { Ok((frame::open(&spec(kind, "lan0"))?, frame::open(&spec(kind, "wan0"))?)) };
        let (lan, wan) = gm.enter(open)??;
        Ok(Self { generator, lan, wan, end: (end, "eth0"), _others: vec![host, gm] })
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

fn measure(kind: PortKind, size: u16, time: Duration) -> anyhow::Result<Figure> {
    let mut bridge = Bridge::build(kind).with_context(|| format!("{kind} ports cannot be measured here"))?;
    let before = bridge.arrived()?;
    let frames = frames(bridge.generator.has_link_header(), size);
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    let (offered, cpu) = std::thread::scope(|scope| {
        let generator = scope.spawn(|| generate(bridge.generator.as_mut(), &frames, &stop));
        let mover = scope.spawn(|| carry(bridge.lan.as_mut(), bridge.wan.as_mut(), &stop));
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        (generator.join(), mover.join())
    });
    let elapsed = started.elapsed();
    let offered = offered.map_err(|_| anyhow::anyhow!("the generator stopped"))??;
    let cpu = cpu.map_err(|_| anyhow::anyhow!("the bridge stopped"))??;
    let arrived = bridge.arrived()?.saturating_sub(before);
    ensure!(arrived > 0, "no frame came through the {kind} ports");
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
    let mut burst: Vec<Vec<u8>> = vec![Vec::with_capacity(9_100); BURST];
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
    let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(Duration::from(used))
}

/// Keeps this thread on one processor, so that generator and bridge do not share one where there are two.
fn prefer(core: usize) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut set = CpuSet::new();
    set.set(core % cores)?;
    sched_setaffinity(Pid::from_raw(0), &set).context("cannot stay on one processor")
}
