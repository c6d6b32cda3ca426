//! UDP (RFC 768) over either IP version, as whole packets.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use hallmark_core::{Code, Datagram};

use crate::error::{DecodeError, Layer};
use crate::ip::{Checksum, Ipv4Header, Ipv4Packet, Ipv6Header, Ipv6Packet, protocol, version};

/// Holds the four fields of a UDP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpHeader {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Octets of header and payload together.
    pub length: u16,
    /// Checksum; 0 means none over IPv4.
    pub checksum: u16,
}

impl UdpHeader {
    /// Octets of the header.
    pub const LEN: usize = 8;

    /// Decodes a header; nothing is verified.
    ///
    /// # Errors
    /// When there are fewer than 8 octets.
    pub fn decode(segment: &[u8]) -> Result<Self, DecodeError> {
        let Some([s0, s1, d0, d1, l0, l1, c0, c1]) = segment.first_chunk::<8>() else {
            return Err(fault("udp.too-short", 0, Self::LEN, segment.len()));
        };
        Ok(Self {
            src_port: u16::from_be_bytes([*s0, *s1]),
            dst_port: u16::from_be_bytes([*d0, *d1]),
            length: u16::from_be_bytes([*l0, *l1]),
            checksum: u16::from_be_bytes([*c0, *c1]),
        })
    }

    /// Encodes the header with its fields as they are.
    #[must_use]
    pub const fn encode(&self) -> [u8; 8] {
        let [s0, s1] = self.src_port.to_be_bytes();
        let [d0, d1] = self.dst_port.to_be_bytes();
        let [l0, l1] = self.length.to_be_bytes();
        let [c0, c1] = self.checksum.to_be_bytes();
        [s0, s1, d0, d1, l0, l1, c0, c1]
    }
}

/// Computes the checksum of a UDP segment whose checksum field is zero, as it goes on the wire (never 0).
#[must_use]
pub fn udp_checksum(src: IpAddr, dst: IpAddr, segment: &[u8]) -> u16 {
    match segment_sum(src, dst, protocol::UDP, segment).finish() {
        0 => 0xffff,
        sum => sum,
    }
}

/// Builds a whole IPv4 or IPv6 packet around a datagram, with checksums.
///
/// `ident` and `dont_fragment` are fields of IPv4 and ignored for IPv6. An IPv4 address beside an IPv6 one is written
/// in its mapped form. A payload that no packet can hold gives an empty packet.
#[must_use]
pub fn udp_packet(datagram: &Datagram, ident: u16, dont_fragment: bool) -> Vec<u8> {
    let (src, dst) = (datagram.src.ip(), datagram.dst.ip());
    let Ok(length) = u16::try_from(UdpHeader::LEN.saturating_add(datagram.payload.len())) else {
        return Vec::new();
    };
    let header = UdpHeader { src_port: datagram.src.port(), dst_port: datagram.dst.port(), length, checksum: 0 };
    let mut sum = segment_sum(src, dst, protocol::UDP, &header.encode());
    // The pseudo header carries the length of the whole segment, of which only the header was summed so far.
    sum.add(&(datagram.payload.len() as u32).to_be_bytes());
    sum.add(&datagram.payload);
    let checksum = match sum.finish() {
        0 => 0xffff,
        sum => sum,
    };
    let header = UdpHeader { checksum, ..header };
    let mut packet = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let Some(total_len) = length.checked_add(Ipv4Header::LEN as u16) else { return Vec::new() };
            Ipv4Header { total_len, ident, dont_fragment, ..Ipv4Header::new(src, dst, protocol::UDP) }.encode()
        }
        (src, dst) => {
            let ip = Ipv6Header { payload_len: length, ..Ipv6Header::new(mapped(src), mapped(dst), protocol::UDP) };
            let mut packet = Vec::with_capacity(Ipv6Header::LEN.saturating_add(usize::from(length)));
            packet.extend_from_slice(&ip.encode());
            packet
        }
    };
    packet.extend_from_slice(&header.encode());
    packet.extend_from_slice(&datagram.payload);
    packet
}

/// Opens a whole, unfragmented packet as a host does: lengths and checksums must be right.
///
/// # Errors
/// When a length or checksum is wrong, the packet is a fragment, or it carries something else than UDP.
pub fn parse_udp(packet: &[u8]) -> Result<Datagram, DecodeError> {
    match version(packet) {
        Some(4) => {
            let ip = Ipv4Packet::decode(packet)?;
            if !ip.checksum_is_right() {
                return Err(super::fault("ip.v4.checksum", 10, 0, usize::from(ip.header.checksum)));
            }
            if ip.header.is_fragment() {
                return Err(super::fault("ip.fragment", 6, 0, usize::from(ip.header.fragment_offset)));
            }
            not_udp(ip.header.protocol, 9)?;
            parse_udp_segment(IpAddr::V4(ip.header.src), IpAddr::V4(ip.header.dst), ip.payload)
        }
        Some(6) => {
            let ip = Ipv6Packet::decode(packet)?;
            if let Some(fragment) = ip.fragment.filter(|f| f.more || f.offset != 0) {
                return Err(super::fault("ip.fragment", Ipv6Header::LEN, 0, usize::from(fragment.offset)));
            }
            not_udp(ip.protocol, 6)?;
            parse_udp_segment(IpAddr::V6(ip.header.src), IpAddr::V6(ip.header.dst), ip.payload)
        }
        _ => Err(super::fault("ip.version", 0, 4, version(packet).map_or(0, usize::from))),
    }
}

/// Opens a UDP segment that travelled between two addresses. Octets behind its length are ignored.
///
/// # Errors
/// When its length or checksum is wrong.
pub fn parse_udp_segment(src: IpAddr, dst: IpAddr, segment: &[u8]) -> Result<Datagram, DecodeError> {
    let header = UdpHeader::decode(segment)?;
    let length = usize::from(header.length);
    let Some(whole) = segment.get(..length).filter(|_| length >= UdpHeader::LEN) else {
        return Err(fault("udp.length", 4, length, segment.len()));
    };
    let optional = matches!((src, header.checksum), (IpAddr::V4(_), 0));
    if !optional && (header.checksum == 0 || segment_sum(src, dst, protocol::UDP, whole).finish() != 0) {
        return Err(fault("udp.checksum", 6, 0, usize::from(header.checksum)));
    }
    let payload = whole.get(UdpHeader::LEN..).unwrap_or_default().to_vec();
    Ok(Datagram::new(SocketAddr::new(src, header.src_port), SocketAddr::new(dst, header.dst_port), payload))
}

/// Sums a segment behind its pseudo header (RFC 768, RFC 8200 §8.1).
pub(crate) fn segment_sum(src: IpAddr, dst: IpAddr, protocol: u8, segment: &[u8]) -> Checksum {
    let mut sum = Checksum::default();
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            sum.add(&src.octets());
            sum.add(&dst.octets());
        }
        (src, dst) => {
            sum.add(&mapped(src).octets());
            sum.add(&mapped(dst).octets());
        }
    }
    sum.add(&[0, protocol]);
    // 32 bits of length sum up to the same as the 16 bits of IPv4, since no segment is longer than 65,535.
    sum.add(&(segment.len() as u32).to_be_bytes());
    sum.add(segment);
    sum
}

const fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn not_udp(found: u8, offset: usize) -> Result<(), DecodeError> {
    if found == protocol::UDP {
        return Ok(());
    }
    Err(super::fault("ip.not-udp", offset, usize::from(protocol::UDP), usize::from(found)))
}

const fn fault(code: &'static str, offset: usize, need: usize, have: usize) -> DecodeError {
    DecodeError { code: Code(code), layer: Layer::Udp, offset, need, have }
}
