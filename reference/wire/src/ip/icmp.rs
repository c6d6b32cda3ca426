//! ICMP for IPv4 (RFC 792, 1191) and IPv6 (RFC 4443): the messages that path MTU discovery needs, and any other as
//! type, code, four octets and data.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hallmark_core::Code;

use crate::error::{DecodeError, Layer};
use crate::ip::udp::segment_sum;
use crate::ip::{Ipv4Header, Ipv4Packet, Ipv6Header, Ipv6Packet, checksum, protocol, version};

/// Holds an ICMP message of either version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IcmpMessage {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// The four octets behind the checksum: MTU, identifier and sequence, pointer, or unused.
    pub rest: u32,
    /// What follows; in errors the beginning of the offending packet.
    pub data: Vec<u8>,
}

impl IcmpMessage {
    /// Octets before the data.
    pub const LEN: usize = 8;
    /// Type of "destination unreachable" over IPv4.
    pub const V4_UNREACHABLE: u8 = 3;
    /// Code of "fragmentation needed and DF set" over IPv4.
    pub const V4_FRAGMENTATION_NEEDED: u8 = 4;
    /// Code of "port unreachable" over IPv4.
    pub const V4_PORT_UNREACHABLE: u8 = 3;
    /// Type of "packet too big" over IPv6.
    pub const V6_TOO_BIG: u8 = 2;

    /// Decodes a message; its checksum is not verified.
    ///
    /// # Errors
    /// When there are fewer than 8 octets.
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        let Some(([kind, code, _, _, r0, r1, r2, r3], data)) = octets.split_first_chunk::<8>() else {
            return Err(fault("icmp.too-short", 0, Self::LEN, octets.len()));
        };
        let rest = u32::from_be_bytes([*r0, *r1, *r2, *r3]);
        Ok(Self { kind: *kind, code: *code, rest, data: data.to_vec() })
    }

    /// Encodes the message for IPv4, with its checksum.
    #[must_use]
    pub fn encode_v4(&self) -> Vec<u8> {
        let sum = checksum(&self.encode_with_checksum(0));
        self.encode_with_checksum(sum)
    }

    /// Encodes the message for IPv6, whose checksum covers the addresses.
    #[must_use]
    pub fn encode_v6(&self, src: Ipv6Addr, dst: Ipv6Addr) -> Vec<u8> {
        let octets = self.encode_with_checksum(0);
        let sum = segment_sum(IpAddr::V6(src), IpAddr::V6(dst), protocol::ICMPV6, &octets).finish();
        self.encode_with_checksum(sum)
    }

    fn encode_with_checksum(&self, checksum: u16) -> Vec<u8> {
        let mut octets = Vec::with_capacity(Self::LEN.saturating_add(self.data.len()));
        octets.push(self.kind);
        octets.push(self.code);
        octets.extend_from_slice(&checksum.to_be_bytes());
        octets.extend_from_slice(&self.rest.to_be_bytes());
        octets.extend_from_slice(&self.data);
        octets
    }
}

/// Tells what an ICMP "too big" message says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TooBig {
    /// Who sent the message.
    pub reporter: IpAddr,
    /// The MTU of the link that the packet did not fit into; 0 from routers older than RFC 1191.
    pub mtu: u32,
    /// Source of the packet that did not fit.
    pub quoted_src: IpAddr,
    /// Destination of the packet that did not fit.
    pub quoted_dst: IpAddr,
    /// Protocol of the packet that did not fit.
    pub quoted_protocol: u8,
    /// The first octets of its upper layer (ports of UDP; SPI and sequence number of ESP).
    pub quoted_upper: Vec<u8>,
}

/// Builds the "too big" packet that answers a packet which does not fit.
///
/// Gives nothing where routers stay silent: about ICMP errors, fragments behind the first, packets to IPv4 multicast
/// groups, packets without a proper source, and when the reporter speaks the other IP version.
#[must_use]
pub fn too_big_packet(reporter: IpAddr, mtu: u32, offending: &[u8]) -> Option<Vec<u8>> {
    match (version(offending)?, reporter) {
        (4, IpAddr::V4(reporter)) => too_big_v4(reporter, mtu, offending),
        (6, IpAddr::V6(reporter)) => too_big_v6(reporter, mtu, offending),
        _ => None,
    }
}

/// Reads an ICMP "too big" message of either version; checksums must be right.
///
/// # Errors
/// When the packet is something else, does not decode, or quotes too little to tell what it is about.
pub fn parse_too_big(packet: &[u8]) -> Result<TooBig, DecodeError> {
    if version(packet) == Some(6) {
        let ip = Ipv6Packet::decode(packet)?;
        let (src, dst) = (IpAddr::V6(ip.header.src), IpAddr::V6(ip.header.dst));
        if ip.protocol != protocol::ICMPV6 || ip.fragment.is_some() {
            return Err(fault("icmp.other", 6, usize::from(protocol::ICMPV6), usize::from(ip.protocol)));
        }
        if segment_sum(src, dst, protocol::ICMPV6, ip.payload).finish() != 0 {
            return Err(fault("icmp.checksum", 2, 0, 0));
        }
        let message = IcmpMessage::decode(ip.payload)?;
        if message.kind != IcmpMessage::V6_TOO_BIG {
            return Err(fault("icmp.other", 0, usize::from(IcmpMessage::V6_TOO_BIG), usize::from(message.kind)));
        }
        return quoted_v6(src, message.rest, &message.data);
    }
    let ip = Ipv4Packet::decode(packet)?;
    if ip.header.protocol != protocol::ICMP || ip.header.is_fragment() {
        return Err(fault("icmp.other", 9, usize::from(protocol::ICMP), usize::from(ip.header.protocol)));
    }
    if !ip.checksum_is_right() || checksum(ip.payload) != 0 {
        return Err(fault("icmp.checksum", 2, 0, 0));
    }
    let message = IcmpMessage::decode(ip.payload)?;
    if (message.kind, message.code) != (IcmpMessage::V4_UNREACHABLE, IcmpMessage::V4_FRAGMENTATION_NEEDED) {
        return Err(fault("icmp.other", 0, usize::from(IcmpMessage::V4_UNREACHABLE), usize::from(message.kind)));
    }
    let quoted = Ipv4Header::decode(&message.data)?;
    let upper = message.data.get(quoted.header_len()..).unwrap_or_default();
    Ok(TooBig {
        reporter: IpAddr::V4(ip.header.src),
        mtu: message.rest & 0xffff,
        quoted_src: IpAddr::V4(quoted.src),
        quoted_dst: IpAddr::V4(quoted.dst),
        quoted_protocol: quoted.protocol,
        quoted_upper: upper.to_vec(),
    })
}

/// RFC 1812 §4.3.2.3: as much of the packet as fits into 576 octets with this header.
const V4_QUOTE_MAX: usize = 576 - Ipv4Header::LEN - IcmpMessage::LEN;
/// RFC 4443 §2.4: as much of the packet as fits into the minimum MTU.
const V6_QUOTE_MAX: usize = 1280 - Ipv6Header::LEN - IcmpMessage::LEN;

fn too_big_v4(reporter: Ipv4Addr, mtu: u32, offending: &[u8]) -> Option<Vec<u8>> {
    let ip = Ipv4Packet::decode(offending).ok()?;
    let answerable = ip.header.fragment_offset == 0
        && !ip.header.dst.is_multicast()
        && !ip.header.dst.is_broadcast()
        && !ip.header.src.is_multicast()
        && !ip.header.src.is_unspecified()
        // Echo request and reply are no errors; about any other ICMP message nothing is sent.
        && (ip.header.protocol != protocol::ICMP || matches!(ip.payload.first(), Some(0 | 8)));
    if !answerable {
        return None;
    }
    let quote = offending.get(..offending.len().min(V4_QUOTE_MAX)).unwrap_or_default();
    let message = IcmpMessage {
        kind: IcmpMessage::V4_UNREACHABLE,
        code: IcmpMessage::V4_FRAGMENTATION_NEEDED,
        rest: mtu.min(0xffff),
        data: quote.to_vec(),
    };
    Some(Ipv4Header::new(reporter, ip.header.src, protocol::ICMP).packet(&message.encode_v4()))
}

fn too_big_v6(reporter: Ipv6Addr, mtu: u32, offending: &[u8]) -> Option<Vec<u8>> {
    let ip = Ipv6Packet::decode(offending).ok()?;
    let is_error = ip.protocol == protocol::ICMPV6 && ip.payload.first().is_some_and(|kind| *kind < 128);
    if is_error || ip.header.src.is_multicast() || ip.header.src.is_unspecified() {
        return None;
    }
    let quote = offending.get(..offending.len().min(V6_QUOTE_MAX)).unwrap_or_default();
    let message = IcmpMessage { kind: IcmpMessage::V6_TOO_BIG, code: 0, rest: mtu, data: quote.to_vec() };
    let header = Ipv6Header::new(reporter, ip.header.src, protocol::ICMPV6);
    Some(header.packet(&message.encode_v6(reporter, ip.header.src)))
}

/// The quoted packet is cut short, so its payload length cannot be checked; extension headers are walked leniently.
fn quoted_v6(reporter: IpAddr, mtu: u32, quote: &[u8]) -> Result<TooBig, DecodeError> {
    let header = Ipv6Header::decode(quote)?;
    let behind = quote.get(Ipv6Header::LEN..).unwrap_or_default();
    let shortened = Ipv6Header { payload_len: u16::try_from(behind.len()).unwrap_or(u16::MAX), ..header };
    let whole = shortened.packet(behind);
    let ip = Ipv6Packet::decode(&whole)?;
    Ok(TooBig {
        reporter,
        mtu,
        quoted_src: IpAddr::V6(header.src),
        quoted_dst: IpAddr::V6(header.dst),
        quoted_protocol: ip.protocol,
        quoted_upper: ip.payload.to_vec(),
    })
}

const fn fault(code: &'static str, offset: usize, need: usize, have: usize) -> DecodeError {
    DecodeError { code: Code(code), layer: Layer::Icmp, offset, need, have }
}
