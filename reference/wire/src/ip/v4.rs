//! IPv4 headers and packets (RFC 791).

use std::net::Ipv4Addr;

use crate::error::DecodeError;
use crate::ip::{checksum, fault};

/// Holds every field of an IPv4 header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ipv4Header {
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Octets of header and payload together.
    pub total_len: u16,
    /// Identification, common to all fragments of one packet.
    pub ident: u16,
    /// The flag that must be zero.
    pub reserved_flag: bool,
    /// Whether routers may not cut the packet.
    pub dont_fragment: bool,
    /// Whether further fragments follow.
    pub more_fragments: bool,
    /// Where this fragment's payload begins in the original, in octets (a multiple of 8).
    pub fragment_offset: u16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Header checksum as found; [`Ipv4Header::encode`] computes it afresh.
    pub checksum: u16,
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Options, padded to whole 4 octets when encoded (at most 40 octets).
    pub options: Vec<u8>,
}

impl Ipv4Header {
    /// Octets of a header without options.
    pub const LEN: usize = 20;
    /// Octets that options may take at most.
    pub const OPTIONS_MAX: usize = 40;

    /// Makes the header of an unfragmented packet without options.
    #[must_use]
    pub const fn new(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8) -> Self {
        Self {
            traffic_class: 0,
            total_len: Self::LEN as u16,
            ident: 0,
            reserved_flag: false,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
            ttl: 64,
            protocol,
            checksum: 0,
            src,
            dst,
            options: Vec::new(),
        }
    }

    /// Decodes a header. The checksum is kept, not verified.
    ///
    /// # Errors
    /// When the version is not 4 or the octets end before the header does.
    pub fn decode(packet: &[u8]) -> Result<Self, DecodeError> {
        let Some((fixed, rest)) = packet.split_first_chunk::<20>() else {
            return Err(fault("ip.v4.too-short", 0, Self::LEN, packet.len()));
        };
        let [first, traffic_class, l0, l1, i0, i1, f0, f1, ttl, protocol, c0, c1, addresses @ ..] = *fixed;
        if first >> 4 != 4 {
            return Err(fault("ip.v4.version", 0, 4, usize::from(first >> 4)));
        }
        let header_len = usize::from(first & 0x0f) * 4;
        let Some(options_len) = header_len.checked_sub(Self::LEN) else {
            return Err(fault("ip.v4.header-length", 0, Self::LEN, header_len));
        };
        let Some(options) = rest.get(..options_len) else {
            return Err(fault("ip.v4.header-length", 0, header_len, packet.len()));
        };
        let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
        let flags = u16::from_be_bytes([f0, f1]);
        Ok(Self {
            traffic_class,
            total_len: u16::from_be_bytes([l0, l1]),
            ident: u16::from_be_bytes([i0, i1]),
            reserved_flag: flags & 0x8000 != 0,
            dont_fragment: flags & 0x4000 != 0,
            more_fragments: flags & 0x2000 != 0,
            fragment_offset: (flags & 0x1fff) << 3,
            ttl,
            protocol,
            checksum: u16::from_be_bytes([c0, c1]),
            src: Ipv4Addr::new(s0, s1, s2, s3),
            dst: Ipv4Addr::new(d0, d1, d2, d3),
            options: options.to_vec(),
        })
    }

    /// Gives the octets that the header takes with its options.
    #[must_use]
    pub fn header_len(&self) -> usize {
        Self::LEN.saturating_add(self.options.len().min(Self::OPTIONS_MAX).next_multiple_of(4))
    }

    /// Says whether the packet is a piece of a larger one.
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// Encodes the header with its fields as they are and a correct checksum.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut octets = self.encode_with_checksum(0);
        let sum = checksum(&octets).to_be_bytes();
        if let Some([_, _, _, _, _, _, _, _, _, _, high, low, ..]) = octets.first_chunk_mut::<20>() {
            [*high, *low] = sum;
        }
        octets
    }

    /// Encodes the header with a checksum of the caller's choice, which may be wrong.
    #[must_use]
    pub fn encode_with_checksum(&self, checksum: u16) -> Vec<u8> {
        let header_len = self.header_len();
        let flags = u16::from(self.reserved_flag) << 15
            | u16::from(self.dont_fragment) << 14
            | u16::from(self.more_fragments) << 13
            | self.fragment_offset >> 3;
        let mut octets = Vec::with_capacity(usize::from(self.total_len).max(header_len));
        octets.push(0x40 | (header_len / 4) as u8);
        octets.push(self.traffic_class);
        octets.extend_from_slice(&self.total_len.to_be_bytes());
        octets.extend_from_slice(&self.ident.to_be_bytes());
        octets.extend_from_slice(&flags.to_be_bytes());
        octets.push(self.ttl);
        octets.push(self.protocol);
        octets.extend_from_slice(&checksum.to_be_bytes());
        octets.extend_from_slice(&self.src.octets());
        octets.extend_from_slice(&self.dst.octets());
        octets.extend(self.options.iter().take(Self::OPTIONS_MAX));
        octets.resize(header_len, 0);
        octets
    }

    /// Puts the header before a payload: total length and checksum are computed, all other fields are kept.
    ///
    /// The total length stops at 65,535; a longer payload makes a packet that contradicts its header.
    #[must_use]
    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let total = self.header_len().saturating_add(payload.len());
        let header = Self { total_len: u16::try_from(total).unwrap_or(u16::MAX), ..self.clone() };
        let mut octets = header.encode();
        octets.extend_from_slice(payload);
        octets
    }
}

/// Views a whole IPv4 packet (or fragment).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ipv4Packet<'a> {
    /// The decoded header.
    pub header: Ipv4Header,
    /// The octets of the header.
    pub header_octets: &'a [u8],
    /// What the header's total length claims as payload.
    pub payload: &'a [u8],
    /// Octets behind the total length, such as Ethernet padding.
    pub trailing: &'a [u8],
}

impl<'a> Ipv4Packet<'a> {
    /// Decodes a packet. Checksums are not verified; octets behind the total length are set apart.
    ///
    /// # Errors
    /// When the header does not decode, or the total length is shorter than the header or longer than the octets.
    pub fn decode(packet: &'a [u8]) -> Result<Self, DecodeError> {
        let header = Ipv4Header::decode(packet)?;
        let header_len = header.header_len();
        let total = usize::from(header.total_len);
        if total < header_len {
            return Err(fault("ip.v4.total-length", 2, header_len, total));
        }
        let Some((whole, trailing)) = packet.split_at_checked(total) else {
            return Err(fault("ip.v4.total-length", 2, total, packet.len()));
        };
        let Some((header_octets, payload)) = whole.split_at_checked(header_len) else {
            return Err(fault("ip.v4.total-length", 2, header_len, total));
        };
        Ok(Self { header, header_octets, payload, trailing })
    }

    /// Says whether the header checksum is right.
    #[must_use]
    pub fn checksum_is_right(&self) -> bool {
        checksum(self.header_octets) == 0
    }
}
