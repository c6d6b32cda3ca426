//! Traces and captures: what was decided about a packet, and what it looked like at each step.

use std::collections::VecDeque;
use std::net::IpAddr;

use hallmark_core::Instant;
use serde::Serialize;

use crate::packet::Side;
use crate::reason::Reason;

/// Selects the packets that are traced. What is absent matches everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TraceFilter {
    /// The port that they come in through.
    pub side: Option<Side>,
    /// Source address, of the outer header on the WAN.
    pub src: Option<IpAddr>,
    /// Destination address, of the outer header on the WAN.
    pub dst: Option<IpAddr>,
    /// Protocol, 50 for ESP.
    pub protocol: Option<u8>,
    /// Only packets that are dropped.
    pub dropped_only: bool,
}

/// Tells every decision about one packet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Trace {
    /// When it came.
    #[serde(serialize_with = "crate::status::seconds")]
    pub at: Instant,
    /// The port that it came in through.
    pub from: Side,
    /// Source address, protocol and destination address as it came.
    pub summary: String,
    /// The decisions in order, in words.
    pub steps: Vec<String>,
    /// Why it was dropped; nothing when it was forwarded.
    pub dropped: Option<Reason>,
}

impl std::fmt::Display for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} from {:?}: {}", self.at, self.from, self.summary)?;
        for step in &self.steps {
            write!(f, "; {step}")?;
        }
        match self.dropped {
            Some(reason) => write!(f, "; dropped: {reason}"),
            None => Ok(()),
        }
    }
}

/// Names a point of the pipeline where packets can be captured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Checkpoint {
    /// As it came in through the LAN port.
    LanIn,
    /// As it leaves through the LAN port.
    LanOut,
    /// As it came in through the WAN port.
    WanIn,
    /// As it leaves through the WAN port.
    WanOut,
    /// The clear packet that is about to be protected.
    BeforeSeal,
    /// The inner packet behind verification and every check.
    AfterOpen,
    /// A packet that is dropped, as it was at that moment.
    Dropped,
}

impl Checkpoint {
    /// Every checkpoint, in the order of the path.
    pub const ALL: [Self; 7] =
        [Self::LanIn, Self::LanOut, Self::WanIn, Self::WanOut, Self::BeforeSeal, Self::AfterOpen, Self::Dropped];

    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Holds one captured packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Captured {
    /// When.
    pub at: Instant,
    /// Where.
    pub checkpoint: Checkpoint,
    /// The IP packet.
    pub ip: Vec<u8>,
    /// Why it was dropped, at [`Checkpoint::Dropped`].
    pub reason: Option<Reason>,
}

/// Holds captured packets until they are taken; the oldest give way.
#[derive(Debug)]
pub(crate) struct Captures {
    on: u8,
    waiting: VecDeque<Captured>,
    limit: usize,
    counts: [u64; Checkpoint::ALL.len()],
}

impl Captures {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { on: 0, waiting: VecDeque::new(), limit, counts: [0; Checkpoint::ALL.len()] }
    }

    pub(crate) const fn switch(&mut self, checkpoint: Checkpoint, on: bool) {
        if on {
            self.on |= checkpoint.bit();
        } else {
            self.on &= !checkpoint.bit();
        }
    }

    /// Tells whether anything is captured: one test for a whole burst.
    pub(crate) const fn is_on(&self, checkpoint: Checkpoint) -> bool {
        self.on & checkpoint.bit() != 0
    }

    pub(crate) fn add(&mut self, at: Instant, checkpoint: Checkpoint, ip: &[u8], reason: Option<Reason>) {
        if !self.is_on(checkpoint) {
            return;
        }
        if let Some(count) = self.counts.get_mut(checkpoint as usize) {
            *count += 1;
        }
        if self.waiting.len() >= self.limit {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Captured { at, checkpoint, ip: ip.to_vec(), reason });
    }

    pub(crate) fn take(&mut self) -> Vec<Captured> {
        self.waiting.drain(..).collect()
    }

    /// Gives each checkpoint with whether it is on and how many packets it has taken.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Checkpoint, bool, u64)> + '_ {
        Checkpoint::ALL.into_iter().zip(self.counts).map(|(point, count)| (point, self.is_on(point), count))
    }
}

/// Follows packets through one burst while it is armed.
#[derive(Debug, Default)]
pub(crate) struct Tracer {
    filter: TraceFilter,
    left: u32,
    /// The packets of this burst that are followed, by their position.
    current: Vec<(usize, Trace)>,
    done: VecDeque<Trace>,
    limit: usize,
}

impl Tracer {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    pub(crate) const fn arm(&mut self, filter: TraceFilter, count: u32) {
        self.filter = filter;
        self.left = count;
    }

    /// Tells whether any packet of this burst is followed.
    #[inline]
    pub(crate) const fn is_on(&self) -> bool {
        !self.current.is_empty()
    }

    /// Tells whether it looks for packets.
    #[inline]
    pub(crate) const fn is_armed(&self) -> bool {
        self.left > 0
    }

    /// Begins to follow a packet that matches.
    pub(crate) fn begin(&mut self, at: Instant, from: Side, index: usize, ip: &[u8]) {
        let wanted = |filter: Option<IpAddr>, have: IpAddr| filter.is_none_or(|want| want == have);
        if self.filter.side.is_some_and(|side| side != from) || self.current.len() >= self.left as usize {
            return;
        }
        let Ok(route) = hallmark_wire::ip::route(ip) else { return };
        if !wanted(self.filter.src, route.src)
            || !wanted(self.filter.dst, route.dst)
            || self.filter.protocol.is_some_and(|protocol| protocol != route.protocol)
        {
            return;
        }
        let summary = format!("{} -> {}, protocol {}, {} octets", route.src, route.dst, route.protocol, ip.len());
        self.current.push((index, Trace { at, from, summary, steps: Vec::new(), dropped: None }));
    }

    /// Notes a decision about a packet that is followed.
    pub(crate) fn step(&mut self, index: usize, words: impl FnOnce() -> String) {
        if let Some((_, trace)) = self.current.iter_mut().find(|(at, _)| *at == index) {
            trace.steps.push(words());
        }
    }

    /// Ends the burst: `fate` tells what became of a packet in words, and why it was dropped.
    pub(crate) fn end(&mut self, fate: impl Fn(usize) -> (String, Option<Reason>)) {
        for (index, mut trace) in self.current.drain(..) {
            let (words, dropped) = fate(index);
            if self.filter.dropped_only && dropped.is_none() {
                continue;
            }
            trace.steps.push(words);
            trace.dropped = dropped;
            self.left = self.left.saturating_sub(1);
            if self.done.len() >= self.limit {
                self.done.pop_front();
            }
            self.done.push_back(trace);
        }
    }

    pub(crate) fn take(&mut self) -> Vec<Trace> {
        self.done.drain(..).collect()
    }
}
