//! Reading an IP header once, without allocation, as every step of the pipeline needs it.
//!
//! Nothing here trusts a length: a packet that contradicts its own header gives [`None`]. IPv6 extension headers are
//! walked up to the fragment header or the upper layer, never more than [`EXTENSIONS_MAX`] of them.

use hallmark_wire::ip::protocol;

/// IPv6 extension headers that are walked at most.
pub const EXTENSIONS_MAX: usize = 8;

/// Octets of an IPv6 header.
pub(crate) const V6_LEN: usize = 40;

/// What the pipeline asks of an IP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Whether it is IPv4 (otherwise IPv6).
    pub version4: bool,
    /// Octets of the packet by its own header; octets behind are padding of the link.
    pub len: usize,
    /// Where the payload begins: the upper layer, or the fragmented part in a fragment.
    pub payload_at: usize,
    /// Protocol of the payload as the header before it says.
    pub protocol: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// TTL or hop limit.
    pub hops: u8,
    /// Whether routers may not cut the packet (always so for IPv6).
    pub dont_fragment: bool,
    /// Set in a piece of a larger packet, and in an IPv6 packet whose fragment header says that it is the whole.
    pub piece: Option<Piece>,
    /// Where the octet is that names what follows: the fragment header in a piece, else the payload.
    pub next_header_at: usize,
}

/// What the fragment fields of either IP version say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Where the piece begins in the fragmented part, in octets (a multiple of 8).
    pub offset: usize,
    /// Whether further pieces follow.
    pub more: bool,
    /// What all pieces of one packet have in common.
    pub ident: u32,
}

impl Header {
    /// Reads the header of an IP packet; `None` if it is not IP or contradicts itself.
    #[must_use]
    pub fn parse(ip: &[u8]) -> Option<Self> {
        match ip.first()? >> 4 {
            4 => Self::parse_v4(ip),
            6 => Self::parse_v6(ip),
            _ => None,
        }
    }

    /// Says whether the packet is a piece that is not the beginning of its packet: it shows no upper layer.
    #[must_use]
    pub fn is_later_piece(&self) -> bool {
        self.piece.is_some_and(|piece| piece.offset != 0)
    }

    /// Says whether the packet is a piece of a larger one (an IPv6 atomic fragment is not).
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        self.piece.is_some_and(|piece| piece.offset != 0 || piece.more)
    }

    fn parse_v4(ip: &[u8]) -> Option<Self> {
        let [first, traffic_class, l0, l1, i0, i1, f0, f1, hops, protocol, ..] = *ip.first_chunk::<20>()?;
        let payload_at = usize::from(first & 0x0f) * 4;
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        if payload_at < 20 || len < payload_at || ip.len() < len {
            return None;
        }
        let flags = u16::from_be_bytes([f0, f1]);
        let piece = Piece {
            offset: usize::from(flags & 0x1fff) << 3,
            more: flags & 0x2000 != 0,
            ident: u32::from(u16::from_be_bytes([i0, i1])),
        };
        Some(Self {
            version4: true,
            len,
            payload_at,
            protocol,
            traffic_class,
            hops,
            dont_fragment: flags & 0x4000 != 0,
            piece: (piece.more || piece.offset != 0).then_some(piece),
            next_header_at: 9,
        })
    }

    fn parse_v6(ip: &[u8]) -> Option<Self> {
        let fixed = ip.first_chunk::<V6_LEN>()?;
        let [v0, v1, _, _, l0, l1, next, hops, ..] = *fixed;
        let len = V6_LEN + usize::from(u16::from_be_bytes([l0, l1]));
        let whole = ip.get(..len)?;
        let walk = walk_extensions(whole, Walk { protocol: next, at: V6_LEN, named_at: 6, left: EXTENSIONS_MAX })?;
        let mut header = Self {
            version4: false,
            len,
            payload_at: walk.at,
            protocol: walk.protocol,
            traffic_class: v0 << 4 | v1 >> 4,
            hops,
            dont_fragment: true,
            piece: None,
            next_header_at: walk.named_at,
        };
        if walk.protocol == protocol::FRAGMENT {
            let [next, _, o0, o1, ident @ ..] = *whole.get(walk.at..)?.first_chunk::<8>()?;
            let word = u16::from_be_bytes([o0, o1]);
            header.protocol = next;
            header.payload_at = walk.at + 8;
            header.piece = Some(Piece {
                offset: usize::from(word & 0xfff8),
                more: word & 1 != 0,
                ident: u32::from_be_bytes(ident),
            });
        }
        Some(header)
    }
}

/// A place in a chain of IPv6 extension headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    /// Protocol of what begins at `at`.
    pub(crate) protocol: u8,
    /// Where the walk stands.
    pub(crate) at: usize,
    /// Where the octet is that named `protocol`.
    pub(crate) named_at: usize,
    /// Headers that may still be stepped over.
    pub(crate) left: usize,
}

/// Steps over extension headers up to the upper layer or a fragment header; `None` if the chain is cut or too long.
///
/// AH and ESP count as upper layers.
pub(crate) fn walk_extensions(whole: &[u8], mut walk: Walk) -> Option<Walk> {
    while matches!(walk.protocol, protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS) {
        walk.left = walk.left.checked_sub(1)?;
        let [next, units, ..] = *whole.get(walk.at..)?.first_chunk::<8>()?;
        let after = walk.at + (usize::from(units) + 1) * 8;
        if after > whole.len() {
            return None;
        }
        walk = Walk { protocol: next, at: after, named_at: walk.at, left: walk.left };
    }
    Some(walk)
}

#[cfg(test)]
mod tests {
    use hallmark_wire::ip::{Ipv4Header, Ipv6Header};

    use super::*;

    fn v6(next: u8, body: &[u8]) -> Vec<u8> {
        Ipv6Header::new("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap(), next).packet(body)
    }

    #[test]
    fn an_ipv4_header_shows_its_payload_and_its_fragment_fields() {
        let mut header = Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 17);
        header.options = vec![1; 8];
        header.more_fragments = true;
        header.fragment_offset = 1480;
        header.ident = 0x1234;
        header.traffic_class = 0xb9;
        let mut packet = header.packet(&[7; 16]);
        packet.extend_from_slice(&[0; 6]);
        let read = Header::parse(&packet).unwrap();
        assert_eq!((read.len, read.payload_at, read.protocol), (44, 28, 17));
        assert_eq!((read.traffic_class, read.hops, read.dont_fragment), (0xb9, 64, false));
        assert_eq!(read.piece, Some(Piece { offset: 1480, more: true, ident: 0x1234 }));
        assert!(read.is_later_piece() && read.is_fragment());
    }

    #[test]
    fn a_header_that_contradicts_its_packet_is_refused() {
        let good = Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 17).packet(&[7; 16]);
        for len in 0..good.len() {
            assert_eq!(Header::parse(&good[..len]), None, "cut to {len}");
        }
        for (at, octet) in [(0, 0x44), (0, 0x54), (0, 0x4f), (3, 19), (3, 37)] {
            let mut bad = good.clone();
            bad[at] = octet;
            assert_eq!(Header::parse(&bad), None, "octet {at} = {octet:#x}");
        }
        let good = v6(17, &[7; 16]);
        for len in 0..good.len() {
            assert_eq!(Header::parse(&good[..len]), None, "cut to {len}");
        }
    }

    #[test]
    fn ipv6_extension_headers_are_walked_up_to_a_limit() {
        let mut body = vec![60, 1];
        body.extend_from_slice(&[0; 14]);
        body.extend_from_slice(&[44, 0, 0, 0, 0, 0, 0, 0]);
        body.extend_from_slice(&[50, 0, 0x01, 0x31, 0, 0, 0xca, 0xfe]);
        body.extend_from_slice(&[9; 24]);
        let read = Header::parse(&v6(0, &body)).unwrap();
        assert_eq!((read.payload_at, read.protocol, read.next_header_at), (40 + 32, 50, 40 + 16));
        assert_eq!(read.piece, Some(Piece { offset: 0x130, more: true, ident: 0xcafe }));

        let chain = |headers: usize| {
            let mut body = [60, 0, 1, 4, 0, 0, 0, 0].repeat(headers);
            body[(headers - 1) * 8] = 17;
            body.extend_from_slice(&[0; 8]);
            v6(60, &body)
        };
        assert_eq!(Header::parse(&chain(EXTENSIONS_MAX)).unwrap().protocol, 17);
        assert_eq!(Header::parse(&chain(EXTENSIONS_MAX + 1)), None);
        assert_eq!(Header::parse(&v6(60, &[17, 4, 0, 0, 0, 0, 0, 0])), None, "longer than the packet");
        assert_eq!(Header::parse(&v6(44, &[50, 0, 0, 0, 0, 0, 0])), None, "a fragment header that is cut");
    }
}
