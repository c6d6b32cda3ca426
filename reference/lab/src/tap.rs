//! The record of every packet on every link.

use std::collections::VecDeque;
use std::fmt;

use hallmark_core::{Code, Instant};

use crate::lab::HostId;

/// Says which way a packet crosses a host's link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Direction {
    /// From the host to the fabric.
    Up,
    /// From the fabric to the host.
    Down,
    /// Inside the fabric, between the two links.
    Fabric,
}

/// Says why a packet went no further.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DropReason {
    /// Lost at random, each packet by itself.
    Loss,
    /// Lost in a bad phase of the link.
    Burst,
    /// It was one of the packets that the profile names by number.
    Nth,
    /// A rule dropped it.
    Rule,
    /// The queue before the link was full.
    QueueFull,
    /// The link was down.
    LinkDown,
    /// No packets pass between the two hosts.
    Partition,
    /// It does not fit the link and may not be cut.
    TooBig,
    /// Its hops are used up.
    Hops,
    /// No host has its destination address.
    NoRoute,
    /// Nothing runs on the host.
    HostDown,
    /// The host is paused and its buffer is full.
    PausedBufferFull,
    /// It is addressed to someone else, or to a group that the host did not join.
    NotForHost,
    /// Its source address is not one of the host's.
    ForeignSource,
    /// No packet can be built from it, or it does not decode.
    Malformed(Code),
    /// It overlaps another fragment of the same packet, or belongs to a packet that is spoilt so.
    Overlap,
    /// It is a first fragment that is too short to be judged.
    TinyFragment,
    /// The host's memory for reassembly is used up.
    ReassemblyLimit,
    /// An address translator knows no mapping for it.
    NoMapping,
}

impl DropReason {
    /// Gives the stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Burst => "burst-loss",
            Self::Nth => "nth",
            Self::Rule => "rule",
            Self::QueueFull => "queue-full",
            Self::LinkDown => "link-down",
            Self::Partition => "partition",
            Self::TooBig => "too-big",
            Self::Hops => "hops",
            Self::NoRoute => "no-route",
            Self::HostDown => "host-down",
            Self::PausedBufferFull => "paused-buffer-full",
            Self::NotForHost => "not-for-host",
            Self::ForeignSource => "foreign-source",
            Self::Malformed(code) => code.as_str(),
            Self::Overlap => "fragment-overlap",
            Self::TinyFragment => "tiny-fragment",
            Self::ReassemblyLimit => "reassembly-limit",
            Self::NoMapping => "no-mapping",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Says what became of a packet at the point of the record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It came through.
    Delivered,
    /// It went no further.
    Dropped(DropReason),
}

/// One packet at one point of its way.
///
/// A packet is recorded when it enters its sender's link (`Up`), when it leaves its receiver's link (`Down`), and
/// wherever it is dropped. A duplicate has its own record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TapRecord {
    /// Number of the record since the lab was made; [`crate::Lab::replay`] takes it.
    pub index: u64,
    /// When.
    pub at: Instant,
    /// Whose link. Packets that no host sent carry [`HostId::ROUTER`] inside the fabric.
    pub host: HostId,
    /// Which way.
    pub direction: Direction,
    /// The whole IP packet.
    pub packet: Vec<u8>,
    /// What became of it.
    pub fate: Fate,
    /// What happened to it on its way, for people; empty for nothing.
    pub note: String,
}

/// Keeps the latest records.
#[derive(Debug)]
pub(crate) struct TapLog {
    records: VecDeque<TapRecord>,
    next: u64,
    drained: u64,
    limit: usize,
    pub(crate) forgotten: u64,
}

impl TapLog {
    pub(crate) const LIMIT: usize = 65_536;

    pub(crate) const fn new() -> Self {
        Self { records: VecDeque::new(), next: 0, drained: 0, limit: Self::LIMIT, forgotten: 0 }
    }

    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.shorten(limit);
    }

    pub(crate) fn add(
        &mut self,
        at: Instant,
        host: HostId,
        direction: Direction,
        packet: &[u8],
        fate: Fate,
        note: String,
    ) {
        let index = self.next;
        self.next += 1;
        if self.limit == 0 {
            return;
        }
        self.shorten(self.limit - 1);
        self.records.push_back(TapRecord { index, at, host, direction, packet: packet.to_vec(), fate, note });
    }

    /// Gives the records since the last call.
    pub(crate) fn drain(&mut self) -> Vec<TapRecord> {
        let from = self.drained;
        self.drained = self.next;
        let new = self.records.iter().rev().take_while(|record| record.index >= from).count();
        self.records.iter().skip(self.records.len() - new).cloned().collect()
    }

    pub(crate) fn get(&self, index: u64) -> Option<&TapRecord> {
        let first = self.records.front()?.index;
        self.records.get(usize::try_from(index.checked_sub(first)?).ok()?)
    }

    fn shorten(&mut self, limit: usize) {
        while self.records.len() > limit {
            if let Some(record) = self.records.pop_front()
                && record.index >= self.drained
            {
                self.forgotten += 1;
            }
        }
    }
}
