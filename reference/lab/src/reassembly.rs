//! Reassembly of fragments, with the caution that a host on a hostile network needs.
//!
//! An exact duplicate of a fragment is ignored; any other overlap spoils the whole packet, and what still comes of it
//! is dropped (RFC 5722, and the same for IPv4). Time, number and memory are limited.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use hallmark_core::{Code, Duration, Instant};
use hallmark_wire::ip::fragment::{joined_ipv4, joined_ipv6};
use hallmark_wire::ip::{FragmentHeader, Ipv4Header, Ipv4Packet, Ipv6Packet, version};

use crate::tap::DropReason;

/// Bounds what fragments can cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReassemblyLimits {
    /// How long the first fragment to arrive waits for the others.
    pub timeout: Duration,
    /// Packets that are put together at once.
    pub packets: usize,
    /// Octets held, all packets together.
    pub octets: usize,
    /// Payload octets that a first fragment must have: fewer would leave too little to judge the packet by.
    pub first_octets_min: usize,
}

impl Default for ReassemblyLimits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), packets: 256, octets: 1 << 20, first_octets_min: 16 }
    }
}

/// What became of a fragment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was the last one missing: here is the whole packet.
    Whole(Vec<u8>),
    /// Others are missing.
    Pending,
    /// It is refused.
    Dropped(DropReason),
}

/// Puts fragments of both IP versions together.
#[derive(Debug, Default)]
pub struct Reassembler {
    limits: ReassemblyLimits,
    packets: BTreeMap<Key, Partial>,
    /// Packets in the order in which they began; entries of finished ones go when their time comes.
    order: VecDeque<(Instant, Key)>,
    octets: usize,
    expired: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    ident: u32,
}

#[derive(Debug)]
struct Partial {
    began: Instant,
    pieces: BTreeMap<usize, Vec<u8>>,
    held: usize,
    end: Option<usize>,
    first: Option<FirstHeaders>,
    spoilt: bool,
}

/// The headers of the fragment at offset 0, which become those of the whole packet.
#[derive(Debug)]
enum FirstHeaders {
    V4(Ipv4Header),
    V6(Vec<u8>),
}

impl Reassembler {
    /// Makes an empty reassembler.
    #[must_use]
    pub fn new(limits: ReassemblyLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes a fragment. A packet that is none comes back whole.
    pub fn insert(&mut self, now: Instant, packet: &[u8]) -> Outcome {
        self.expire(now);
        if version(packet) == Some(6) {
            return match Ipv6Packet::decode(packet) {
                Ok(ip) => self.insert_v6(now, packet, &ip),
                Err(error) => Outcome::Dropped(DropReason::Malformed(error.code)),
            };
        }
        match Ipv4Packet::decode(packet) {
            Ok(ip) => self.insert_v4(now, packet, &ip),
            Err(error) => Outcome::Dropped(DropReason::Malformed(error.code)),
        }
    }

    /// Gives up packets that have waited too long.
    pub fn expire(&mut self, now: Instant) {
        while let Some((began, key)) = self.order.front().copied() {
            if began + self.limits.timeout > now {
                break;
            }
            self.order.pop_front();
            if self.packets.get(&key).is_some_and(|partial| partial.began == began) {
                self.remove(&key);
                self.expired += 1;
            }
        }
    }

    /// Counts the packets that wait for fragments, spoilt ones included.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.packets.len()
    }

    /// Counts the octets held.
    #[must_use]
    pub const fn octets(&self) -> usize {
        self.octets
    }

    /// Counts the packets that were given up.
    #[must_use]
    pub const fn expired(&self) -> u64 {
        self.expired
    }

    fn insert_v4(&mut self, now: Instant, packet: &[u8], ip: &Ipv4Packet<'_>) -> Outcome {
        let header = &ip.header;
        if !header.is_fragment() {
            return Outcome::Whole(packet.to_vec());
        }
        let key = Key {
            src: IpAddr::V4(header.src),
            dst: IpAddr::V4(header.dst),
            protocol: header.protocol,
            ident: u32::from(header.ident),
        };
        let room = usize::from(u16::MAX) - header.header_len();
        let first = || FirstHeaders::V4(header.clone());
        self.add(now, key, usize::from(header.fragment_offset), header.more_fragments, ip.payload, room, first)
    }

    fn insert_v6(&mut self, now: Instant, packet: &[u8], ip: &Ipv6Packet<'_>) -> Outcome {
        let Some(fragment) = ip.fragment else {
            return Outcome::Whole(packet.to_vec());
        };
        if fragment.offset == 0 && !fragment.more {
            // A packet that is its own only fragment is put together by itself (RFC 6946).
            return Outcome::Whole(joined_ipv6(ip, ip.payload));
        }
        let key = Key {
            src: IpAddr::V6(ip.header.src),
            dst: IpAddr::V6(ip.header.dst),
            protocol: fragment.next_header,
            ident: fragment.ident,
        };
        let room = usize::from(u16::MAX) - ip.extensions.len();
        let headers = packet.len() - ip.trailing.len() - ip.payload.len();
        let first = || FirstHeaders::V6(packet.get(..headers).unwrap_or_default().to_vec());
        self.add(now, key, usize::from(fragment.offset), fragment.more, ip.payload, room, first)
    }

    #[expect(clippy::too_many_arguments, reason = "one fragment's fields, from either header")]
    fn add(
        &mut self,
        now: Instant,
        key: Key,
        offset: usize,
        more: bool,
        payload: &[u8],
        room: usize,
        first: impl FnOnce() -> FirstHeaders,
    ) -> Outcome {
        if let Err(reason) = self.judge(offset, more, payload, room) {
            return Outcome::Dropped(reason);
        }
        if !self.packets.contains_key(&key) {
            if self.packets.len() >= self.limits.packets {
                return Outcome::Dropped(DropReason::ReassemblyLimit);
            }
            self.shorten_order();
            self.order.push_back((now, key));
        }
        if self.octets + payload.len() > self.limits.octets {
            return Outcome::Dropped(DropReason::ReassemblyLimit);
        }
        let partial = self.packets.entry(key).or_insert_with(|| Partial::new(now));
        match partial.place(offset, more, payload) {
            Placed::Duplicate => return Outcome::Pending,
            Placed::Overlap => {
                self.octets -= partial.spoil();
                return Outcome::Dropped(DropReason::Overlap);
            }
            Placed::New => {}
        }
        self.octets += payload.len();
        if offset == 0 {
            partial.first = Some(first());
        }
        match partial.join() {
            Some(whole) => {
                self.remove(&key);
                Outcome::Whole(whole)
            }
            None => Outcome::Pending,
        }
    }

    fn judge(&self, offset: usize, more: bool, payload: &[u8], room: usize) -> Result<(), DropReason> {
        if payload.is_empty() {
            return Err(DropReason::Malformed(Code("ip.fragment.empty")));
        }
        if more && !payload.len().is_multiple_of(8) {
            return Err(DropReason::Malformed(Code("ip.fragment.length")));
        }
        if offset + payload.len() > room {
            return Err(DropReason::Malformed(Code("ip.fragment.beyond")));
        }
        if offset == 0 && more && payload.len() < self.limits.first_octets_min {
            return Err(DropReason::TinyFragment);
        }
        Ok(())
    }

    /// Finished packets leave their entry behind; many of them within one timeout are swept out here.
    fn shorten_order(&mut self) {
        if self.order.len() >= self.limits.packets.saturating_mul(4).max(64) {
            let packets = &self.packets;
            self.order.retain(|(began, key)| packets.get(key).is_some_and(|partial| partial.began == *began));
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(partial) = self.packets.remove(key) {
            self.octets -= partial.held;
        }
    }
}

enum Placed {
    New,
    Duplicate,
    Overlap,
}

impl Partial {
    const fn new(began: Instant) -> Self {
        Self { began, pieces: BTreeMap::new(), held: 0, end: None, first: None, spoilt: false }
    }

    fn place(&mut self, offset: usize, more: bool, payload: &[u8]) -> Placed {
        if self.spoilt {
            return Placed::Overlap;
        }
        let end = offset + payload.len();
        let same_flag = more != (self.end == Some(end));
        if same_flag && self.pieces.get(&offset).is_some_and(|known| known == payload) {
            return Placed::Duplicate;
        }
        let before = self.pieces.range(..=offset).next_back().map_or(0, |(at, piece)| at + piece.len());
        let after = self.pieces.range(offset..).next().map_or(usize::MAX, |(at, _)| *at);
        let furthest = self.pieces.last_key_value().map_or(0, |(at, piece)| at + piece.len());
        let contradicts_end = match (self.end, more) {
            (Some(known), true) => end >= known,
            (Some(_), false) => true,
            (None, true) => false,
            (None, false) => furthest > end,
        };
        if before > offset || after < end || contradicts_end {
            return Placed::Overlap;
        }
        if !more {
            self.end = Some(end);
        }
        self.held += payload.len();
        self.pieces.insert(offset, payload.to_vec());
        Placed::New
    }

    /// Forgets the pieces and gives the octets that they held.
    fn spoil(&mut self) -> usize {
        self.spoilt = true;
        self.pieces.clear();
        std::mem::take(&mut self.held)
    }

    /// Pieces never overlap, so they are complete when their lengths add up to the end.
    fn join(&self) -> Option<Vec<u8>> {
        if self.end != Some(self.held) {
            return None;
        }
        let mut payload = Vec::with_capacity(self.held);
        for piece in self.pieces.values() {
            payload.extend_from_slice(piece);
        }
        match self.first.as_ref()? {
            FirstHeaders::V4(header) => Some(joined_ipv4(header, &payload)),
            FirstHeaders::V6(headers) => join_v6(headers, &payload),
        }
    }
}

/// The kept headers end with the fragment header; their payload length still counts the first fragment's payload.
fn join_v6(headers: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let mut alone = headers.to_vec();
    let behind = u16::try_from(headers.len().checked_sub(40)?).ok()?;
    alone.get_mut(4..6)?.copy_from_slice(&behind.to_be_bytes());
    let first = Ipv6Packet::decode(&alone).ok()?;
    debug_assert!(
        first.extensions.len() + FragmentHeader::LEN == usize::from(behind),
        "headers end with the fragment header"
    );
    Some(joined_ipv6(&first, payload))
}
