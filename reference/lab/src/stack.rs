//! The IP layer of a host: sources and path MTU on the way out, checksums and reassembly on the way in.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hallmark_core::{Code, Datagram, Instant};
use hallmark_wire::ip::{
    Ipv4Packet, fragment_ipv4, fragment_ipv6, parse_too_big, parse_udp, protocol, route, udp_packet, version,
};

use crate::reassembly::{Outcome, Reassembler, ReassemblyLimits};
use crate::tap::DropReason;

/// What a host makes of a packet that arrived.
#[derive(Debug)]
pub(crate) enum Received {
    /// A datagram; the flag tells whether it came in fragments.
    Datagram(Datagram, bool),
    /// A packet with something else in it, whole.
    Packet(Vec<u8>),
    /// A fragment that waits for others.
    Pending,
    /// Nothing that the host keeps.
    Dropped(DropReason),
}

#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) reassembler: Reassembler,
    limits: ReassemblyLimits,
    /// Whether packets that fit are sent with DF over IPv4 and reports of routers are heeded.
    pub(crate) path_mtu_discovery: bool,
    path_mtu: BTreeMap<IpAddr, usize>,
    ident: u32,
}

impl Stack {
    /// Destinations whose path MTU is remembered.
    const PATHS_MAX: usize = 256;
    /// No report makes packets smaller than this: RFC 791 for IPv4, RFC 8200 for IPv6.
    const MTU_MIN: [usize; 2] = [68, 1280];

    pub(crate) fn new(limits: ReassemblyLimits) -> Self {
        Self {
            reassembler: Reassembler::new(limits),
            limits,
            path_mtu_discovery: false,
            path_mtu: BTreeMap::new(),
            ident: 0,
        }
    }

    /// Forgets everything, as a restart does.
    pub(crate) fn reset(&mut self) {
        *self = Self { path_mtu_discovery: self.path_mtu_discovery, ident: self.ident, ..Self::new(self.limits) };
    }

    pub(crate) fn set_limits(&mut self, limits: ReassemblyLimits) {
        self.limits = limits;
        self.reassembler = Reassembler::new(limits);
    }

    pub(crate) fn path_mtu(&self, dst: IpAddr) -> Option<usize> {
        self.path_mtu.get(&dst).copied()
    }

    /// Builds the packets of a datagram: one, or the fragments that fit the interface and the known path.
    pub(crate) fn packets(&mut self, datagram: &Datagram, mtu: usize) -> Result<Vec<Vec<u8>>, DropReason> {
        self.ident = self.ident.wrapping_add(1);
        let ident = self.ident;
        let mtu = mtu.min(self.path_mtu(datagram.dst.ip()).unwrap_or(usize::MAX));
        let mut packet = udp_packet(datagram, ident as u16, false);
        if packet.is_empty() {
            return Err(DropReason::TooBig);
        }
        if packet.len() <= mtu {
            if self.path_mtu_discovery && version(&packet) == Some(4) {
                packet = udp_packet(datagram, ident as u16, true);
            }
            return Ok(vec![packet]);
        }
        let pieces = match version(&packet) {
            Some(4) => fragment_ipv4(&packet, mtu),
            _ => fragment_ipv6(&packet, mtu, ident),
        };
        if pieces.is_empty() { Err(DropReason::TooBig) } else { Ok(pieces) }
    }

    pub(crate) fn receive(&mut self, now: Instant, packet: &[u8], own: &[IpAddr]) -> Received {
        let info = match route(packet) {
            Ok(info) => info,
            Err(error) => return Received::Dropped(DropReason::Malformed(error.code)),
        };
        if version(packet) == Some(4) && !Ipv4Packet::decode(packet).is_ok_and(|ip| ip.checksum_is_right()) {
            return Received::Dropped(DropReason::Malformed(Code("ip.v4.checksum")));
        }
        if info.protocol == protocol::UDP && !info.is_fragment && version(packet) == Some(4) {
            return Self::datagram(packet, false);
        }
        let whole = match self.reassembler.insert(now, packet) {
            Outcome::Whole(whole) => whole,
            Outcome::Pending => return Received::Pending,
            Outcome::Dropped(reason) => return Received::Dropped(reason),
        };
        match info.protocol {
            protocol::UDP => Self::datagram(&whole, info.is_fragment),
            protocol::ICMP | protocol::ICMPV6 => {
                self.heed_report(&whole, own);
                Received::Packet(whole)
            }
            _ => Received::Packet(whole),
        }
    }

    fn datagram(packet: &[u8], was_cut: bool) -> Received {
        match parse_udp(packet) {
            Ok(datagram) => Received::Datagram(datagram, was_cut),
            Err(error) => Received::Dropped(DropReason::Malformed(error.code)),
        }
    }

    /// A report counts only about a packet that this host can have sent.
    fn heed_report(&mut self, packet: &[u8], own: &[IpAddr]) {
        let Ok(report) = parse_too_big(packet) else { return };
        let heeded = report.quoted_src.is_ipv6() || self.path_mtu_discovery;
        if !heeded || !own.contains(&report.quoted_src) {
            return;
        }
        let [min_v4, min_v6] = Self::MTU_MIN;
        let min = if report.quoted_src.is_ipv6() { min_v6 } else { min_v4 };
        let mtu = (report.mtu as usize).max(min);
        let known = self.path_mtu.get(&report.quoted_dst).copied();
        // A report never widens a path.
        if known.is_none_or(|known| mtu < known) && (known.is_some() || self.path_mtu.len() < Self::PATHS_MAX) {
            self.path_mtu.insert(report.quoted_dst, mtu);
        }
    }
}

/// Says whether an address names a multicast group of either IP version.
pub(crate) const fn is_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}
