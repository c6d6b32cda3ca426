//! Cutting packets into fragments: as routers and hosts do, and as only a tester would.
//!
//! Nothing here looks at the don't-fragment flag: whether a packet may be cut is the caller's decision. A packet that
//! is a fragment itself is cut further, with its offset and its last-fragment flag carried over.

use crate::ip::{FragmentHeader, Ipv4Header, Ipv4Packet, Ipv6Header, Ipv6Packet, protocol};

/// Cuts an IPv4 packet into pieces that fit into `mtu` octets, in order.
///
/// A packet that fits comes back whole. The result is empty for a packet that does not decode or a link that cannot
/// carry the header and 8 octets.
#[must_use]
pub fn fragment_ipv4(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let Ok(ip) = Ipv4Packet::decode(packet) else { return Vec::new() };
    if usize::from(ip.header.total_len) <= mtu {
        return vec![whole(packet, ip.trailing)];
    }
    match whole_units(mtu.saturating_sub(ip.header.header_len())) {
        0 => Vec::new(),
        step => split_ipv4(packet, &even_cuts(ip.payload.len(), step)),
    }
}

/// Cuts an IPv4 packet at chosen places: each cut is an offset into its payload, rounded down to a multiple of 8.
///
/// Cuts outside the payload and repeated cuts are ignored; no cut gives the packet itself. The result is empty for a
/// packet that does not decode.
#[must_use]
pub fn split_ipv4(packet: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let Ok(ip) = Ipv4Packet::decode(packet) else { return Vec::new() };
    let ranges = ranges(ip.payload.len(), cuts);
    if ranges.len() < 2 {
        return vec![whole(packet, ip.trailing)];
    }
    ranges.into_iter().map(|(from, to, more)| piece_v4(&ip, from, to, more)).collect()
}

/// Makes one IPv4 fragment with the payload octets `from..to` and the given more-fragments flag: for overlaps, holes
/// and contradictions. `from` is rounded down to a multiple of 8. Nothing for a packet that does not decode.
#[must_use]
pub fn piece_ipv4(packet: &[u8], from: usize, to: usize, more: bool) -> Option<Vec<u8>> {
    Ipv4Packet::decode(packet).ok().map(|ip| piece_v4(&ip, from, to, more))
}

/// Cuts an IPv6 packet into pieces that fit into `mtu` octets, in order; only sources do that.
///
/// A packet that fits comes back whole. The result is empty for a packet that does not decode or a link that cannot
/// carry the headers and 8 octets.
#[must_use]
pub fn fragment_ipv6(packet: &[u8], mtu: usize, ident: u32) -> Vec<Vec<u8>> {
    let Ok(ip) = Ipv6Packet::decode(packet) else { return Vec::new() };
    if packet.len().saturating_sub(ip.trailing.len()) <= mtu {
        return vec![whole(packet, ip.trailing)];
    }
    let headers = Ipv6Header::LEN.saturating_add(ip.extensions.len()).saturating_add(FragmentHeader::LEN);
    match whole_units(mtu.saturating_sub(headers)) {
        0 => Vec::new(),
        step => split_ipv6(packet, &even_cuts(ip.payload.len(), step), ident),
    }
}

/// Cuts an IPv6 packet at chosen places, as [`split_ipv4`] does.
#[must_use]
pub fn split_ipv6(packet: &[u8], cuts: &[usize], ident: u32) -> Vec<Vec<u8>> {
    let Ok(ip) = Ipv6Packet::decode(packet) else { return Vec::new() };
    let ranges = ranges(ip.payload.len(), cuts);
    if ranges.len() < 2 {
        return vec![whole(packet, ip.trailing)];
    }
    ranges.into_iter().map(|(from, to, more)| piece_v6(&ip, from, to, more, ident)).collect()
}

/// Makes one IPv6 fragment with the payload octets `from..to`, as [`piece_ipv4`] does.
#[must_use]
pub fn piece_ipv6(packet: &[u8], from: usize, to: usize, more: bool, ident: u32) -> Option<Vec<u8>> {
    Ipv6Packet::decode(packet).ok().map(|ip| piece_v6(&ip, from, to, more, ident))
}

/// Puts the original packet together from its first fragment's headers and the joined payload of all fragments.
#[must_use]
pub fn joined_ipv6(first: &Ipv6Packet<'_>, payload: &[u8]) -> Vec<u8> {
    let mut header = first.header;
    let mut behind = first.extensions.to_vec();
    announce(&mut header, &mut behind, first.protocol);
    behind.extend_from_slice(payload);
    header.packet(&behind)
}

/// Puts the original packet together from its first fragment's header and the joined payload of all fragments.
#[must_use]
pub fn joined_ipv4(first: &Ipv4Header, payload: &[u8]) -> Vec<u8> {
    Ipv4Header { more_fragments: false, fragment_offset: 0, ..first.clone() }.packet(payload)
}

fn whole(packet: &[u8], trailing: &[u8]) -> Vec<u8> {
    packet.get(..packet.len().saturating_sub(trailing.len())).unwrap_or_default().to_vec()
}

/// Offsets are counted in units of 8 octets.
const fn whole_units(octets: usize) -> usize {
    octets & !7
}

fn even_cuts(len: usize, step: usize) -> Vec<usize> {
    (step..len).step_by(step).collect()
}

fn ranges(len: usize, cuts: &[usize]) -> Vec<(usize, usize, bool)> {
    let inside = cuts.iter().filter(|cut| **cut < len);
    let mut cuts: Vec<usize> = inside.map(|cut| whole_units(*cut)).filter(|cut| *cut > 0).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([len]);
    starts.zip(ends).map(|(from, to)| (from, to, to < len)).collect()
}

fn piece_v4(ip: &Ipv4Packet<'_>, from: usize, to: usize, more: bool) -> Vec<u8> {
    let from = whole_units(from);
    let mut header = ip.header.clone();
    header.more_fragments = more || ip.header.more_fragments;
    header.fragment_offset = header.fragment_offset.saturating_add(u16::try_from(from).unwrap_or(u16::MAX)) & 0xfff8;
    if from > 0 {
        header.options = copied_options(&header.options);
    }
    header.packet(range(ip.payload, from, to))
}

fn piece_v6(ip: &Ipv6Packet<'_>, from: usize, to: usize, more: bool, ident: u32) -> Vec<u8> {
    let from = whole_units(from);
    let before = ip.fragment.unwrap_or(FragmentHeader { next_header: ip.protocol, offset: 0, more: false, ident });
    let fragment = FragmentHeader {
        offset: before.offset.saturating_add(u16::try_from(from).unwrap_or(u16::MAX)) & 0xfff8,
        more: more || before.more,
        ..before
    };
    // The header before the fragment header must announce it; an existing fragment header is announced already.
    let mut header = ip.header;
    let mut extensions = ip.extensions.to_vec();
    if ip.fragment.is_none() {
        announce(&mut header, &mut extensions, protocol::FRAGMENT);
    }
    let mut behind = extensions;
    behind.extend_from_slice(&fragment.encode());
    behind.extend_from_slice(range(ip.payload, from, to));
    header.packet(&behind)
}

/// Writes what follows the unfragmentable part into the last header of that part.
fn announce(header: &mut Ipv6Header, extensions: &mut [u8], protocol: u8) {
    if extensions.is_empty() {
        header.next_header = protocol;
        return;
    }
    let mut at = 0usize;
    for _ in 0..Ipv6Packet::EXTENSIONS_MAX {
        let Some([_, units]) = extensions.get(at..at.saturating_add(2)) else { return };
        let next = at.saturating_add(usize::from(*units).saturating_add(1).saturating_mul(8));
        if next >= extensions.len() {
            if let Some(octet) = extensions.get_mut(at) {
                *octet = protocol;
            }
            return;
        }
        at = next;
    }
}

fn range(octets: &[u8], from: usize, to: usize) -> &[u8] {
    let to = to.min(octets.len());
    octets.get(from.min(to)..to).unwrap_or_default()
}

/// Keeps the options whose copied flag is set (RFC 791 §3.1).
fn copied_options(options: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut rest = options.get(..options.len().min(Ipv4Header::OPTIONS_MAX)).unwrap_or_default();
    while let Some((kind, behind)) = rest.split_first() {
        if *kind == 0 {
            break;
        }
        let len = match (*kind, behind.first()) {
            (1, _) => 1,
            (_, Some(len)) if *len >= 2 => usize::from(*len),
            _ => break,
        };
        let Some((option, after)) = rest.split_at_checked(len) else { break };
        if kind & 0x80 != 0 {
            kept.extend_from_slice(option);
        }
        rest = after;
    }
    kept
}
