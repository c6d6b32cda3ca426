//! IPv6 headers and packets (RFC 8200).

use std::net::Ipv6Addr;

use crate::error::DecodeError;
use crate::ip::{fault, protocol};

/// Holds every field of the fixed IPv6 header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ipv6Header {
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Flow label (20 bits).
    pub flow_label: u32,
    /// Octets behind the fixed header.
    pub payload_len: u16,
    /// What follows the fixed header.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
}

impl Ipv6Header {
    /// Octets of the fixed header.
    pub const LEN: usize = 40;

    /// Makes the header of an empty packet.
    #[must_use]
    pub const fn new(src: Ipv6Addr, dst: Ipv6Addr, next_header: u8) -> Self {
        Self { traffic_class: 0, flow_label: 0, payload_len: 0, next_header, hop_limit: 64, src, dst }
    }

    /// Decodes the fixed header.
    ///
    /// # Errors
    /// When the version is not 6 or there are fewer than 40 octets.
    pub fn decode(packet: &[u8]) -> Result<Self, DecodeError> {
        let Some(([v0, v1, v2, v3, l0, l1, next_header, hop_limit], rest)) = packet.split_first_chunk::<8>() else {
            return Err(fault("ip.v6.too-short", 0, Self::LEN, packet.len()));
        };
        let word = u32::from_be_bytes([*v0, *v1, *v2, *v3]);
        if word >> 28 != 6 {
            return Err(fault("ip.v6.version", 0, 6, (word >> 28) as usize));
        }
        let Some((src, rest)) = rest.split_first_chunk::<16>() else {
            return Err(fault("ip.v6.too-short", 8, Self::LEN, packet.len()));
        };
        let Some(dst) = rest.first_chunk::<16>() else {
            return Err(fault("ip.v6.too-short", 24, Self::LEN, packet.len()));
        };
        Ok(Self {
            traffic_class: (word >> 20) as u8,
            flow_label: word & 0x000f_ffff,
            payload_len: u16::from_be_bytes([*l0, *l1]),
            next_header: *next_header,
            hop_limit: *hop_limit,
            src: Ipv6Addr::from(*src),
            dst: Ipv6Addr::from(*dst),
        })
    }

    /// Encodes the header with its fields as they are.
    #[must_use]
    pub fn encode(&self) -> [u8; 40] {
        let word = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0x000f_ffff;
        let mut octets = Vec::with_capacity(Self::LEN);
        octets.extend_from_slice(&word.to_be_bytes());
        octets.extend_from_slice(&self.payload_len.to_be_bytes());
        octets.push(self.next_header);
        octets.push(self.hop_limit);
        octets.extend_from_slice(&self.src.octets());
        octets.extend_from_slice(&self.dst.octets());
        octets.first_chunk().copied().unwrap_or([0; 40])
    }

    /// Puts the header before what follows it (extension headers included); the payload length is computed.
    #[must_use]
    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let header = Self { payload_len: u16::try_from(payload.len()).unwrap_or(u16::MAX), ..*self };
        let mut octets = Vec::with_capacity(Self::LEN.saturating_add(payload.len()));
        octets.extend_from_slice(&header.encode());
        octets.extend_from_slice(payload);
        octets
    }
}

/// Holds an IPv6 fragment header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FragmentHeader {
    /// Protocol of the fragmented part.
    pub next_header: u8,
    /// Where this fragment begins in the original, in octets (a multiple of 8).
    pub offset: u16,
    /// Whether further fragments follow.
    pub more: bool,
    /// Identification, common to all fragments of one packet.
    pub ident: u32,
}

impl FragmentHeader {
    /// Octets of a fragment header.
    pub const LEN: usize = 8;

    /// Encodes the header.
    #[must_use]
    pub const fn encode(&self) -> [u8; 8] {
        let [o0, o1] = (self.offset & 0xfff8 | self.more as u16).to_be_bytes();
        let [i0, i1, i2, i3] = self.ident.to_be_bytes();
        [self.next_header, 0, o0, o1, i0, i1, i2, i3]
    }

    const fn decode(octets: [u8; 8]) -> Self {
        let [next_header, _, o0, o1, i0, i1, i2, i3] = octets;
        let word = u16::from_be_bytes([o0, o1]);
        Self { next_header, offset: word & 0xfff8, more: word & 1 != 0, ident: u32::from_be_bytes([i0, i1, i2, i3]) }
    }
}

/// Views a whole IPv6 packet (or fragment), with its extension headers walked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ipv6Packet<'a> {
    /// The fixed header.
    pub header: Ipv6Header,
    /// Extension headers between the fixed header and the fragment header or payload.
    pub extensions: &'a [u8],
    /// The fragment header, if there is one.
    pub fragment: Option<FragmentHeader>,
    /// Protocol of the payload.
    pub protocol: u8,
    /// The upper layer, or the fragmented part in a fragment.
    pub payload: &'a [u8],
    /// Octets behind the payload length.
    pub trailing: &'a [u8],
}

impl<'a> Ipv6Packet<'a> {
    /// Extension headers that are walked at most.
    pub const EXTENSIONS_MAX: usize = 8;

    /// Decodes a packet and walks its extension headers up to the upper layer or the fragment header.
    ///
    /// # Errors
    /// When a header does not fit into the octets, or there are more extension headers than are walked.
    pub fn decode(packet: &'a [u8]) -> Result<Self, DecodeError> {
        let header = Ipv6Header::decode(packet)?;
        let behind = packet.get(Ipv6Header::LEN..).unwrap_or_default();
        let payload_len = usize::from(header.payload_len);
        let Some((body, trailing)) = behind.split_at_checked(payload_len) else {
            return Err(fault("ip.v6.payload-length", 4, payload_len, behind.len()));
        };
        let mut next = header.next_header;
        let mut at = 0usize;
        for _ in 0..Self::EXTENSIONS_MAX {
            let rest = body.get(at..).unwrap_or_default();
            let offset = Ipv6Header::LEN.saturating_add(at);
            match next {
                protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                    let [following, units, ..] = rest else {
                        return Err(fault("ip.v6.extension", offset, 8, rest.len()));
                    };
                    let len = usize::from(*units).saturating_add(1).saturating_mul(8);
                    if len > rest.len() {
                        return Err(fault("ip.v6.extension", offset, len, rest.len()));
                    }
                    next = *following;
                    at = at.saturating_add(len);
                }
                protocol::FRAGMENT => {
                    let Some((octets, payload)) = rest.split_first_chunk::<8>() else {
                        return Err(fault("ip.v6.fragment-header", offset, 8, rest.len()));
                    };
                    let fragment = FragmentHeader::decode(*octets);
                    let extensions = body.get(..at).unwrap_or_default();
                    let protocol = fragment.next_header;
                    return Ok(Self { header, extensions, fragment: Some(fragment), protocol, payload, trailing });
                }
                _ => {
                    let extensions = body.get(..at).unwrap_or_default();
                    return Ok(Self { header, extensions, fragment: None, protocol: next, payload: rest, trailing });
                }
            }
        }
        Err(fault("ip.v6.extensions-too-many", Ipv6Header::LEN, Self::EXTENSIONS_MAX, Self::EXTENSIONS_MAX + 1))
    }
}
