//! An address translator between a host and the fabric (RFC 4787 behaviour, one host behind it).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use hallmark_core::{Datagram, Duration, Instant};
use hallmark_wire::ip::{parse_udp, route, udp_packet};

use crate::reassembly::{Outcome, Reassembler, ReassemblyLimits};
use crate::tap::DropReason;

/// Describes an address translator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NatSpec {
    /// The address that the world sees.
    pub public: IpAddr,
    /// The first port that it gives out; ports are never kept.
    pub first_port: u16,
    /// How long a mapping lives without traffic from inside.
    pub expiry: Duration,
    /// Whether only those may send in that something was sent to (address and port dependent filtering).
    pub filter: bool,
}

impl NatSpec {
    /// Describes a translator that forgets after two minutes and filters.
    #[must_use]
    pub const fn new(public: IpAddr) -> Self {
        Self { public, first_port: 20_000, expiry: Duration::from_secs(120), filter: true }
    }
}

/// A translator with its mappings.
#[derive(Debug)]
pub(crate) struct Nat {
    pub(crate) spec: NatSpec,
    by_inside: BTreeMap<SocketAddr, Mapping>,
    by_port: BTreeMap<u16, SocketAddr>,
    next_port: u16,
    /// Ports are in first fragments only, so fragments are put together before they are translated.
    reassembler: Reassembler,
}

#[derive(Debug)]
struct Mapping {
    port: u16,
    used: Instant,
    peers: BTreeSet<SocketAddr>,
}

impl Nat {
    const MAPPINGS_MAX: usize = 256;
    const PEERS_MAX: usize = 256;

    pub(crate) fn new(spec: NatSpec) -> Self {
        Self {
            spec,
            by_inside: BTreeMap::new(),
            by_port: BTreeMap::new(),
            next_port: spec.first_port.max(1),
            reassembler: Reassembler::new(ReassemblyLimits::default()),
        }
    }

    /// Forgets all mappings; the next packet from inside gets a new port.
    pub(crate) fn rebind(&mut self) {
        self.by_inside.clear();
        self.by_port.clear();
    }

    /// Translates a packet from inside; nothing while fragments are missing.
    pub(crate) fn outbound(&mut self, now: Instant, packet: &[u8]) -> Result<Option<Vec<u8>>, DropReason> {
        let Some(mut datagram) = self.open(now, packet)? else { return Ok(None) };
        self.forget_old(now);
        if !self.by_inside.contains_key(&datagram.src) {
            let port = self.free_port().ok_or(DropReason::NoMapping)?;
            self.by_port.insert(port, datagram.src);
            self.by_inside.insert(datagram.src, Mapping { port, used: now, peers: BTreeSet::new() });
        }
        let mapping = self.by_inside.get_mut(&datagram.src).ok_or(DropReason::NoMapping)?;
        mapping.used = now;
        if mapping.peers.len() < Self::PEERS_MAX {
            mapping.peers.insert(datagram.dst);
        }
        datagram.src = SocketAddr::new(self.spec.public, mapping.port);
        Ok(Some(rebuilt(&datagram, packet)))
    }

    /// Translates a packet from outside to the public address; nothing while fragments are missing.
    pub(crate) fn inbound(&mut self, now: Instant, packet: &[u8]) -> Result<Option<Vec<u8>>, DropReason> {
        let Some(mut datagram) = self.open(now, packet)? else { return Ok(None) };
        self.forget_old(now);
        let inside = *self.by_port.get(&datagram.dst.port()).ok_or(DropReason::NoMapping)?;
        let mapping = self.by_inside.get(&inside).ok_or(DropReason::NoMapping)?;
        if self.spec.filter && !mapping.peers.contains(&datagram.src) {
            return Err(DropReason::NoMapping);
        }
        datagram.dst = inside;
        Ok(Some(rebuilt(&datagram, packet)))
    }

    fn open(&mut self, now: Instant, packet: &[u8]) -> Result<Option<Datagram>, DropReason> {
        match self.reassembler.insert(now, packet) {
            Outcome::Whole(whole) => parse_udp(&whole).map(Some).map_err(|error| DropReason::Malformed(error.code)),
            Outcome::Pending => Ok(None),
            Outcome::Dropped(reason) => Err(reason),
        }
    }

    fn forget_old(&mut self, now: Instant) {
        let expiry = self.spec.expiry;
        let by_port = &mut self.by_port;
        self.by_inside.retain(|_, mapping| {
            let alive = mapping.used + expiry > now;
            if !alive {
                by_port.remove(&mapping.port);
            }
            alive
        });
    }

    fn free_port(&mut self) -> Option<u16> {
        if self.by_port.len() >= Self::MAPPINGS_MAX {
            return None;
        }
        for _ in 0..=Self::MAPPINGS_MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(self.spec.first_port.max(1));
            if !self.by_port.contains_key(&port) {
                return Some(port);
            }
        }
        None
    }
}

/// Builds the translated packet with the don't-fragment flag of the original.
fn rebuilt(datagram: &Datagram, original: &[u8]) -> Vec<u8> {
    let (dont_fragment, ident) = match (route(original), original.get(4..6)) {
        (Ok(info), Some([high, low])) => (info.dont_fragment, u16::from_be_bytes([*high, *low])),
        _ => (false, 0),
    };
    udp_packet(datagram, ident, dont_fragment)
}
