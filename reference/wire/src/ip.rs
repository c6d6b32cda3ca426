//! IP, UDP and ICMP: decoding, building and cutting of whole packets.
//!
//! Views check lengths once and look at no checksum; [`parse_udp`] is what a host does with a packet, checksums
//! included. Cutting into fragments is in [`fragment`], the messages of path MTU discovery are in [`icmp`].
//! Reassembly needs memory and time, so it is not here.

pub mod fragment;
pub mod icmp;
mod udp;
mod v4;
mod v6;

use std::net::IpAddr;

use hallmark_core::Code;

use crate::error::{DecodeError, Layer};

pub use fragment::{fragment_ipv4, fragment_ipv6, split_ipv4, split_ipv6};
pub use icmp::{IcmpMessage, TooBig, parse_too_big, too_big_packet};
pub use udp::{UdpHeader, parse_udp, parse_udp_segment, udp_checksum, udp_packet};
pub use v4::{Ipv4Header, Ipv4Packet};
pub use v6::{FragmentHeader, Ipv6Header, Ipv6Packet};

/// Numbers of the protocols that ride on IP.
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// Encapsulating Security Payload.
    pub const ESP: u8 = 50;
    /// Authentication Header.
    pub const AH: u8 = 51;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: u8 = 60;
}

/// Sums 16-bit words in ones' complement, as IP, UDP and ICMP do (RFC 1071).
#[derive(Clone, Copy, Default, Debug)]
pub struct Checksum {
    sum: u64,
    odd: Option<u8>,
}

impl Checksum {
    /// Takes in more octets; an odd number of them continues in the next call.
    pub fn add(&mut self, octets: &[u8]) {
        let octets = match (self.odd.take(), octets.split_first()) {
            (Some(high), Some((low, rest))) => {
                self.word([high, *low]);
                rest
            }
            (high, _) => {
                self.odd = high;
                octets
            }
        };
        let (pairs, rest) = octets.as_chunks::<2>();
        for pair in pairs {
            self.word(*pair);
        }
        if let Some(high) = rest.first() {
            self.odd = Some(*high);
        }
    }

    /// Gives the checksum: 0 for octets that contain their own correct checksum.
    #[must_use]
    pub fn finish(mut self) -> u16 {
        if let Some(high) = self.odd.take() {
            self.word([high, 0]);
        }
        let mut sum = self.sum;
        while sum > 0xffff {
            sum = (sum & 0xffff).wrapping_add(sum >> 16);
        }
        !(sum as u16)
    }

    fn word(&mut self, pair: [u8; 2]) {
        // 2^48 words fit; no packet is that long.
        self.sum = self.sum.wrapping_add(u64::from(u16::from_be_bytes(pair)));
    }
}

/// Computes the Internet checksum of octets; 0 when they contain their own correct checksum.
#[must_use]
pub fn checksum(octets: &[u8]) -> u16 {
    let mut sum = Checksum::default();
    sum.add(octets);
    sum.finish()
}

/// Names both addresses of a packet, its protocol and whether it is a fragment, for either IP version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Protocol of the payload (behind IPv6 extension headers).
    pub protocol: u8,
    /// TTL or hop limit.
    pub hops: u8,
    /// Whether routers may not cut the packet (always true for IPv6).
    pub dont_fragment: bool,
    /// Whether it is a piece of a larger packet.
    pub is_fragment: bool,
}

/// Reads where a packet goes, as a router does.
///
/// # Errors
/// When the packet is too short for its own header or is neither IPv4 nor IPv6.
pub fn route(packet: &[u8]) -> Result<Route, DecodeError> {
    match version(packet) {
        Some(4) => {
            let Ipv4Packet { header, .. } = Ipv4Packet::decode(packet)?;
            Ok(Route {
                src: IpAddr::V4(header.src),
                dst: IpAddr::V4(header.dst),
                protocol: header.protocol,
                hops: header.ttl,
                dont_fragment: header.dont_fragment,
                is_fragment: header.is_fragment(),
            })
        }
        Some(6) => {
            let Ipv6Packet { header, fragment, protocol, .. } = Ipv6Packet::decode(packet)?;
            Ok(Route {
                src: IpAddr::V6(header.src),
                dst: IpAddr::V6(header.dst),
                protocol,
                hops: header.hop_limit,
                dont_fragment: true,
                is_fragment: fragment.is_some_and(|f| f.offset > 0 || f.more),
            })
        }
        Some(_) => Err(fault("ip.version", 0, 1, packet.len())),
        None => Err(fault("ip.too-short", 0, 1, 0)),
    }
}

/// Reads the IP version of a packet.
#[must_use]
pub fn version(packet: &[u8]) -> Option<u8> {
    packet.first().map(|octet| octet >> 4)
}

/// Lowers the TTL or hop limit by one, as a router does, and keeps the IPv4 header checksum exactly as right or wrong
/// as it was (RFC 1624). Gives `false`, and changes nothing, when the packet may go no further.
pub fn decrement_hops(packet: &mut [u8]) -> bool {
    match version(packet) {
        Some(4) => {
            let Some([_, _, _, _, _, _, _, _, ttl, protocol, high, low, ..]) = packet.first_chunk_mut::<20>() else {
                return false;
            };
            if *ttl <= 1 {
                return false;
            }
            let before = u16::from_be_bytes([*ttl, *protocol]);
            *ttl = ttl.saturating_sub(1);
            let after = u16::from_be_bytes([*ttl, *protocol]);
            let old = u16::from_be_bytes([*high, *low]);
            let mut sum = u32::from(!old).wrapping_add(u32::from(!before)).wrapping_add(u32::from(after));
            while sum > 0xffff {
                sum = (sum & 0xffff).wrapping_add(sum >> 16);
            }
            [*high, *low] = (!(sum as u16)).to_be_bytes();
            true
        }
        Some(6) => match packet.get_mut(7) {
            Some(hops) if *hops > 1 => {
                *hops = hops.saturating_sub(1);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

pub(crate) const fn fault(code: &'static str, offset: usize, need: usize, have: usize) -> DecodeError {
    DecodeError { code: Code(code), layer: Layer::Ip, offset, need, have }
}

#[cfg(test)]
mod tests;
