//! What a packet shows to the policy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hallmark_wire::ip::protocol;

use crate::header::{Header, Walk, walk_extensions};
use crate::reason::Reason;

/// The fields of a packet that rules look at.
///
/// Ports are known of TCP, UDP, UDP-Lite, DCCP and SCTP. ICMP has its type and code in the destination port, type
/// first (RFC 4301 §4.4.1.1). Everything else, and every later piece of a fragmented packet, shows no ports: a rule
/// that names ports does not match it, a rule for any port does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowKey {
    /// Source address; an IPv4 address fills the low 32 bits.
    pub src: u128,
    /// Destination address, likewise.
    pub dst: u128,
    /// Source port, 0 when the packet shows none.
    pub src_port: u16,
    /// Destination port, or ICMP type and code, 0 when the packet shows none.
    pub dst_port: u16,
    /// Protocol behind all IPv6 extension headers.
    pub protocol: u8,
    /// Whether the packet is IPv4.
    pub version4: bool,
    /// Whether the packet shows ports (or an ICMP type).
    pub has_ports: bool,
    /// Whether the packet is a later piece of a fragmented one.
    pub fragment: bool,
}

impl FlowKey {
    /// Reads the fields of an IP packet.
    ///
    /// # Errors
    /// [`Reason::Malformed`] when the packet contradicts its own header, or hides its upper layer behind more than
    /// [`EXTENSIONS_MAX`](crate::header::EXTENSIONS_MAX) or broken IPv6 extension headers.
    pub fn parse(ip: &[u8]) -> Result<Self, Reason> {
        let header = Header::parse(ip).ok_or(Reason::Malformed)?;
        Self::of(ip, &header)
    }

    /// Reads the fields of an IP packet whose header is read already.
    ///
    /// # Errors
    /// As [`FlowKey::parse`].
    pub fn of(ip: &[u8], header: &Header) -> Result<Self, Reason> {
        let whole = ip.get(..header.len).ok_or(Reason::Malformed)?;
        let (src, dst) = addresses(whole, header.version4).ok_or(Reason::Malformed)?;
        let fragment = header.is_later_piece();
        let mut walk = Walk { protocol: header.protocol, at: header.payload_at, named_at: 0, left: 0 };
        if !header.version4 && header.piece.is_some() && !fragment {
            // Destination options may stand behind the fragment header of a first piece. RFC 7112: it holds them all.
            walk.left = crate::header::EXTENSIONS_MAX;
            walk = walk_extensions(whole, walk).ok_or(Reason::Malformed)?;
        }
        let ports = if fragment { None } else { ports(walk.protocol, whole.get(walk.at..).unwrap_or_default()) };
        let (src_port, dst_port) = ports.unwrap_or_default();
        let has_ports = ports.is_some();
        Ok(Self {
            src,
            dst,
            src_port,
            dst_port,
            protocol: walk.protocol,
            version4: header.version4,
            has_ports,
            fragment,
        })
    }

    /// Gives the key of the answer: addresses and ports change places, an ICMP type stays where it is.
    #[must_use]
    pub const fn mirrored(&self) -> Self {
        let (src_port, dst_port) =
            if is_icmp(self.protocol) { (self.src_port, self.dst_port) } else { (self.dst_port, self.src_port) };
        Self { src: self.dst, dst: self.src, src_port, dst_port, ..*self }
    }

    /// Gives the source address.
    #[must_use]
    pub fn src_addr(&self) -> IpAddr {
        addr(self.src, self.version4)
    }

    /// Gives the destination address.
    #[must_use]
    pub fn dst_addr(&self) -> IpAddr {
        addr(self.dst, self.version4)
    }
}

/// Reads both addresses of a packet; an IPv4 address fills the low 32 bits.
pub(crate) fn addresses(ip: &[u8], version4: bool) -> Option<(u128, u128)> {
    if version4 {
        let pair = ip.get(12..)?.first_chunk::<8>()?;
        let pair = u64::from_be_bytes(*pair);
        Some((u128::from(pair >> 32), u128::from(pair as u32)))
    } else {
        let src = ip.get(8..)?.first_chunk::<16>()?;
        let dst = ip.get(24..)?.first_chunk::<16>()?;
        Some((u128::from_be_bytes(*src), u128::from_be_bytes(*dst)))
    }
}

/// Makes an address of its number.
pub(crate) fn addr(number: u128, version4: bool) -> IpAddr {
    if version4 { Ipv4Addr::from(number as u32).into() } else { Ipv6Addr::from(number).into() }
}

/// Makes the number of an address; an IPv4 address fills the low 32 bits.
pub(crate) fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => u128::from(u32::from(addr)),
        IpAddr::V6(addr) => u128::from(addr),
    }
}

const fn is_icmp(protocol: u8) -> bool {
    matches!(protocol, protocol::ICMP | protocol::ICMPV6)
}

/// Reads the ports of an upper layer, if its protocol has any and they are there.
fn ports(number: u8, upper: &[u8]) -> Option<(u16, u16)> {
    /// DCCP, SCTP and UDP-Lite begin with their ports, as TCP and UDP do.
    const DCCP: u8 = 33;
    const SCTP: u8 = 132;
    const UDP_LITE: u8 = 136;
    match number {
        protocol::TCP | protocol::UDP | DCCP | SCTP | UDP_LITE => {
            let [s0, s1, d0, d1] = *upper.first_chunk::<4>()?;
            Some((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])))
        }
        protocol::ICMP | protocol::ICMPV6 => Some((0, u16::from_be_bytes(*upper.first_chunk::<2>()?))),
        _ => None,
    }
}
