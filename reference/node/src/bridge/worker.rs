//! One thread of a bridge.

use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant as RealInstant};

use arrayvec::ArrayVec;
use hallmark_core::{Now, UnixTime};
use hallmark_datapath::{BATCH, Batch, Config, Datapath, EXTRA, Fate, Pool, Side};
use hallmark_net::frame::{ADVICE_OFFLOADS, FramePort, PortCounters};
use hallmark_net::{Clock, NetError, wait};
use tokio::sync::Notify;

use super::{Answer, Order, link};
use crate::plane::{PlaneUpdate, PortNotice, RemoteEvent};

/// Packets of a worker: bursts, pieces and fragments that wait for each other.
const POOL: usize = 4_096;
/// Empty looks at the ports before the thread sleeps.
const PATIENCE: u32 = 64;
/// The longest sleep.
const SLEEP: Duration = Duration::from_secs(1);
/// How long a port that failed is left alone.
const PAUSE: Duration = Duration::from_millis(200);

/// What a worker has to tell of its two ports, LAN and WAN.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Counters {
    ports: [PortCounters; 2],
    own: [Own; 2],
}

/// Counts what ports do not see.
#[derive(Clone, Copy, Default, Debug)]
struct Own {
    /// Frames that are no IP packets and passed unchanged.
    other_frames: u64,
    /// Frames that may carry IP where it cannot be judged, each dropped.
    hidden_frames: u64,
    /// Packets that found no free buffer.
    no_buffer: u64,
    /// Events that found their queue full.
    lost_events: u64,
}

impl Counters {
    /// Shows the counters of one port as numbers by name.
    pub(super) fn of(&self, port: usize) -> serde_json::Value {
        let counters = self.ports.get(port).copied().unwrap_or_default();
        let own = self.own.get(port).copied().unwrap_or_default();
        serde_json::json!({
            "received": counters.received,
            "sent": counters.sent,
            "kernel_drops": counters.kernel_drops,
            "send_failures": counters.send_failures,
            "too_long": counters.too_long,
            "large_received": counters.large_received,
            "large_sent": counters.large_sent,
            "checksums_completed": counters.checksums_completed,
            "other_frames": own.other_frames,
            "hidden_frames": own.hidden_frames,
            "no_buffer": own.no_buffer,
            "lost_events": own.lost_events,
        })
    }
}

/// A data plane between two ports.
pub(super) struct Worker {
    lan: Port,
    wan: Port,
    plane: Datapath,
    pool: Pool,
    batch: Batch,
    clock: Clock,
    /// What an operator has added to the wall clock, in nanoseconds.
    wall_step: i64,
    out: Out,
    /// Something ended the last sleep, and nothing has moved since.
    suspicious: bool,
}

impl Worker {
    pub(super) fn new(
        [lan, wan]: [Box<dyn FramePort>; 2],
        plane: Datapath,
        config: &Config,
        clock: Clock,
        events: SyncSender<RemoteEvent>,
        ready: Arc<Notify>,
    ) -> Self {
        let longest = usize::from(lan.mtu().max(wan.mtu()).max(config.wan_mtu).max(config.lan_mtu)).max(2_048);
        Self {
            lan: Port::new(Side::Lan, lan),
            wan: Port::new(Side::Wan, wan),
            plane,
            pool: Pool::new(POOL, longest),
            batch: Batch::new(),
            clock,
            wall_step: 0,
            out: Out { events, ready, lost: 0 },
            suspicious: false,
        }
    }

    /// Carries frames until it is told to stop.
    pub(super) fn run(mut self, orders: &Receiver<Order>, bell: &UnixStream) {
        let mut empty = 0;
        loop {
            while let Ok(order) = orders.try_recv() {
                match order {
                    Order::Stop => return,
                    order => self.obey(order),
                }
            }
            let moved = self.carry(Side::Lan) + self.carry(Side::Wan);
            self.time_out();
            self.tell();
            if moved > 0 {
                empty = 0;
                self.suspicious = false;
                self.look_at_failed_ports();
                continue;
            }
            empty += 1;
            if empty > PATIENCE {
                self.sleep(bell);
            }
        }
    }

    /// Finds out whether a port that failed works again, also while the other one is never quiet.
    fn look_at_failed_ports(&mut self) {
        for port in [&mut self.lan, &mut self.wan] {
            if port.fault.is_some() && port.resting(RealInstant::now()).is_none() {
                port.check(&mut self.out);
            }
        }
    }

    fn obey(&mut self, order: Order) {
        let now = self.now();
        match order {
            Order::Update(PlaneUpdate::Policy(policy)) => self.plane.apply(now, &policy),
            Order::Update(PlaneUpdate::WallStep(nanos)) => self.wall_step = nanos,
            Order::Command(command, number, answer) => {
                let plane = command.run(&mut self.plane, now);
                let counters = self.counters();
                // Whoever asked may have lost patience.
                let _ = answer.try_send((number, Answer { plane, counters }));
            }
            Order::Stop => {}
        }
    }

    /// Moves a burst from one port to the other and says how many frames it had.
    fn carry(&mut self, from: Side) -> usize {
        let now = self.now();
        let Self { lan, wan, pool, batch, plane, out, .. } = self;
        let (source, other) = match from {
            Side::Lan => (&mut *lan, &mut *wan),
            Side::Wan => (&mut *wan, &mut *lan),
        };
        let taken = source.receive(pool, batch, out);
        if taken == 0 {
            return 0;
        }
        if source.others.count > 0 {
            let frames: ArrayVec<&[u8], BATCH> = source.others.frames().take(BATCH).collect();
            other.send(&frames, out);
            drop(frames);
            source.others.count = 0;
        }
        if !batch.packets.is_empty() {
            plane.handle(now, from, batch, pool);
            send_out(batch, lan, wan, out);
            batch.recycle(pool);
        }
        taken
    }

    fn time_out(&mut self) {
        let now = self.now();
        if self.plane.poll_timeout().is_some_and(|due| due <= now.mono) {
            self.plane.handle_timeout(now, &mut self.pool);
        }
    }

    fn tell(&mut self) {
        while let Some(event) = self.plane.poll_event() {
            self.out.tell(RemoteEvent::Plane(event));
        }
        self.lan.own.lost_events = self.out.lost;
    }

    /// Waits for a frame, an order or a time that is due, and looks at what went wrong with the ports.
    fn sleep(&mut self, bell: &UnixStream) {
        for port in [&mut self.lan, &mut self.wan] {
            if self.suspicious || port.fault.is_some() {
                port.check(&mut self.out);
            }
            port.watch_length(&mut self.out);
        }
        let now = RealInstant::now();
        let mut at_most = SLEEP;
        if let Some(due) = self.plane.poll_timeout() {
            at_most = at_most.min(self.clock.real_time_until(due));
        }
        let mut watched = ArrayVec::<BorrowedFd<'_>, 3>::new();
        watched.push(bell.as_fd());
        for port in [&self.lan, &self.wan] {
            match port.resting(now) {
                Some(rest) => at_most = at_most.min(rest),
                None => watched.push(port.port.as_fd()),
            }
        }
        let woken = wait::readable(&watched, at_most);
        self.suspicious = woken.as_ref().is_ok_and(|woken| *woken);
        // However often the bell was rung, once is enough.
        let mut rings = [0; 64];
        let _ = (&mut &*bell).read(&mut rings);
        if woken.is_err() {
            // Waiting itself fails: nothing is gained by trying at once again.
            std::thread::sleep(PAUSE);
        }
    }

    fn now(&self) -> Now {
        let now = self.clock.now();
        Now::new(now.mono, UnixTime(now.wall.0.saturating_add(self.wall_step)))
    }

    fn counters(&self) -> Counters {
        Counters { ports: [self.lan.port.counters(), self.wan.port.counters()], own: [self.lan.own, self.wan.own] }
    }
}

/// Sends what the pipeline lets out.
fn send_out(batch: &mut Batch, lan: &mut Port, wan: &mut Port, out: &mut Out) {
    let mut lan_out = ArrayVec::<&[u8], { BATCH + EXTRA }>::new();
    let mut wan_out = ArrayVec::<&[u8], { BATCH + EXTRA }>::new();
    for packet in &mut batch.packets {
        let Fate::Out(side) = packet.fate else { continue };
        let version = packet.ip().first().map_or(0, |first| first >> 4);
        link::set_version(packet.link_mut(), version);
        let frames = match side {
            Side::Lan => &mut lan_out,
            Side::Wan => &mut wan_out,
        };
        // A batch has no more packets than this has room for.
        let _ = frames.try_push(packet.frame());
    }
    lan.send(&lan_out, out);
    wan.send(&wan_out, out);
}

/// Where events go.
struct Out {
    events: SyncSender<RemoteEvent>,
    ready: Arc<Notify>,
    lost: u64,
}

impl Out {
    fn tell(&mut self, event: RemoteEvent) {
        if self.events.try_send(event).is_err() {
            self.lost += 1;
        }
        self.ready.notify_one();
    }
}

/// A port with what is known of its health.
struct Port {
    side: Side,
    port: Box<dyn FramePort>,
    own: Own,
    others: Others,
    /// What is wrong with it, and until when it is left alone.
    fault: Option<(String, RealInstant)>,
    too_long: u64,
}

impl Port {
    fn new(side: Side, port: Box<dyn FramePort>) -> Self {
        Self { side, port, own: Own::default(), others: Others::default(), fault: None, too_long: 0 }
    }

    /// Takes a burst: IP packets into the batch, all else aside.
    fn receive(&mut self, pool: &mut Pool, batch: &mut Batch, out: &mut Out) -> usize {
        if self.fault.is_some() && self.resting(RealInstant::now()).is_some() {
            return 0;
        }
        let Self { side, port, own, others, .. } = self;
        let link_header = port.has_link_header();
        let received = port.receive(BATCH, &mut |frame| {
            let Some((link, ip)) = link::split(frame, link_header) else {
                if link::may_hide_ip(frame) {
                    own.hidden_frames += 1;
                    return;
                }
                own.other_frames += 1;
                return others.keep(frame);
            };
            let Some(mut packet) = pool.take_for(ip.len()) else {
                own.no_buffer += 1;
                return;
            };
            packet.received_on = *side;
            let kept = if packet.set(link, ip) { batch.push(packet) } else { Err(packet) };
            if let Err(packet) = kept {
                own.no_buffer += 1;
                pool.give(packet);
            }
        });
        match received {
            Ok(count) => count,
            Err(error) => {
                self.failed(&error, out);
                0
            }
        }
    }

    fn send(&mut self, frames: &[&[u8]], out: &mut Out) {
        if !frames.is_empty()
            && let Err(error) = self.port.send(frames)
        {
            self.failed(&error, out);
        }
    }

    /// Says for how long the port is still left alone; `None` when it is not.
    fn resting(&self, now: RealInstant) -> Option<Duration> {
        let (_, until) = self.fault.as_ref()?;
        until.checked_duration_since(now).filter(|rest| !rest.is_zero())
    }

    fn check(&mut self, out: &mut Out) {
        match self.port.check() {
            Err(error) => self.failed(&error, out),
            Ok(()) if self.resting(RealInstant::now()).is_none() && self.fault.take().is_some() => {
                self.tell(true, "works again".to_owned(), out);
            }
            Ok(()) => {}
        }
    }

    fn failed(&mut self, error: &NetError, out: &mut Out) {
        let text = error.to_string();
        let known = self.fault.as_ref().is_some_and(|(known, _)| *known == text);
        self.fault = Some((text.clone(), RealInstant::now() + PAUSE));
        if !known {
            self.tell(false, text, out);
        }
    }

    /// Tells once that offloading makes frames too long; the counter has the rest.
    fn watch_length(&mut self, out: &mut Out) {
        let too_long = self.port.counters().too_long;
        if self.too_long == 0 && too_long > 0 {
            let text = format!("refuses frames longer than its MTU; {ADVICE_OFFLOADS} turns off what makes them");
            self.tell(false, text, out);
        }
        self.too_long = too_long;
    }

    fn tell(&self, works: bool, text: String, out: &mut Out) {
        out.tell(RemoteEvent::Port(PortNotice { port: self.side, works, text }));
    }
}

/// Frames that are no IP packets, kept until they are sent on. Their buffers are used again.
#[derive(Default)]
struct Others {
    kept: Vec<Vec<u8>>,
    count: usize,
}

impl Others {
    fn keep(&mut self, frame: &[u8]) {
        if self.count == self.kept.len() {
            self.kept.push(Vec::new());
        }
        if let Some(buffer) = self.kept.get_mut(self.count) {
            buffer.clear();
            buffer.extend_from_slice(frame);
            self.count += 1;
        }
    }

    fn frames(&self) -> impl Iterator<Item = &[u8]> {
        self.kept.iter().take(self.count).map(Vec::as_slice)
    }
}
