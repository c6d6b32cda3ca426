use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hallmark_core::Datagram;
use proptest::prelude::*;

use super::fragment::{piece_ipv4, piece_ipv6};
use super::*;

fn datagram(v6: bool, len: usize) -> Datagram {
    let payload = (0..len).map(|i| (i % 251) as u8).collect();
    let (src, dst) = if v6 { ("[2001:db8::2]:848", "[2001:db8::1]:848") } else { ("10.0.0.2:848", "10.0.0.1:4500") };
    Datagram::new(src.parse().unwrap(), dst.parse().unwrap(), payload)
}

/// The IP header of the first frame of fixtures/captures/pull-aggressive, as a Linux kernel wrote it.
const KNOWN: &str = "45000110cf0e4000401156060a6300020a630001";

#[test]
fn header_checksum_is_the_one_of_rfc_1071() {
    // The worked example of RFC 1071 §3.
    assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    let header: Vec<u8> = (0..20).map(|i| u8::from_str_radix(&KNOWN[2 * i..2 * i + 2], 16).unwrap()).collect();
    let decoded = Ipv4Header::decode(&header).unwrap();
    assert_eq!(decoded.encode(), header);
    assert_eq!((decoded.ident, decoded.dont_fragment, decoded.ttl), (0xcf0e, true, 64));
}

#[test]
fn checksum_of_parts_is_the_checksum_of_the_whole() {
    let octets: Vec<u8> = (0..37).map(|i| (i * 7) as u8).collect();
    for cut in 0..octets.len() {
        let mut sum = Checksum::default();
        sum.add(&octets[..cut]);
        sum.add(&[]);
        sum.add(&octets[cut..]);
        assert_eq!(sum.finish(), checksum(&octets), "cut at {cut}");
    }
}

#[test]
fn udp_packet_comes_back_as_the_same_datagram() {
    for v6 in [false, true] {
        for len in [0, 1, 2, 999, 65_507] {
            let sent = datagram(v6, len);
            let packet = udp_packet(&sent, 7, true);
            assert_eq!(parse_udp(&packet).unwrap(), sent, "v6 {v6}, {len} octets");
        }
    }
    assert!(udp_packet(&datagram(false, 65_508), 0, false).is_empty());
    assert!(udp_packet(&datagram(true, 65_528), 0, false).is_empty());
}

#[test]
fn any_single_flipped_bit_is_noticed() {
    for v6 in [false, true] {
        let packet = udp_packet(&datagram(v6, 33), 1, false);
        let original = parse_udp(&packet).unwrap();
        for bit in 0..packet.len() * 8 {
            let mut broken = packet.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            match parse_udp(&broken) {
                Err(_) => {}
                // The fixed IPv6 header has no checksum of its own: class, flow label and hop limit are unprotected.
                Ok(parsed) => {
                    assert!(v6 && (bit / 8 < 4 || bit / 8 == 7), "bit {bit}");
                    assert_eq!(parsed, original);
                }
            }
        }
    }
}

#[test]
fn udp_without_checksum_is_taken_over_ipv4_only() {
    let mut packet = udp_packet(&datagram(false, 5), 0, false);
    packet[26..28].fill(0);
    assert!(parse_udp(&packet).is_ok());
    let mut packet = udp_packet(&datagram(true, 5), 0, false);
    packet[46..48].fill(0);
    assert_eq!(parse_udp(&packet).unwrap_err().code.as_str(), "udp.checksum");
}

#[test]
fn every_prefix_of_a_packet_is_refused() {
    for v6 in [false, true] {
        let packet = udp_packet(&datagram(v6, 20), 0, false);
        for len in 0..packet.len() {
            let error = parse_udp(&packet[..len]).unwrap_err();
            assert!(error.offset <= len, "{error}");
        }
    }
}

#[test]
fn padding_behind_the_packet_is_ignored() {
    let mut packet = udp_packet(&datagram(false, 3), 0, false);
    packet.extend_from_slice(&[0; 15]);
    assert_eq!(parse_udp(&packet).unwrap(), datagram(false, 3));
    assert_eq!(Ipv4Packet::decode(&packet).unwrap().trailing.len(), 15);
}

#[test]
fn extension_headers_are_walked_and_bounded() {
    let segment = udp_packet(&datagram(true, 4), 0, false)[40..].to_vec();
    let (src, dst) = (Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
    let extension = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let chain = |n: usize| {
        let mut body = Vec::new();
        for i in 0..n {
            body.extend(extension(if i + 1 == n { protocol::UDP } else { protocol::DESTINATION_OPTIONS }));
        }
        body.extend(&segment);
        Ipv6Header::new(src, dst, protocol::DESTINATION_OPTIONS).packet(&body)
    };
    let packet = chain(3);
    let ip = Ipv6Packet::decode(&packet).unwrap();
    assert_eq!((ip.protocol, ip.extensions.len(), ip.payload), (protocol::UDP, 24, &segment[..]));
    assert_eq!(Ipv6Packet::decode(&chain(9)).unwrap_err().code.as_str(), "ip.v6.extensions-too-many");
}

#[test]
fn fragments_fit_the_link_and_cover_the_packet_in_order() {
    let packet = udp_packet(&datagram(false, 3_000), 0x1234, false);
    for mtu in [28, 68, 576, 1_400, 1_500, 3_027] {
        let mut at = 0;
        let pieces = fragment_ipv4(&packet, mtu);
        assert!(pieces.len() > 1, "mtu {mtu}");
        for (i, piece) in pieces.iter().enumerate() {
            assert!(piece.len() <= mtu);
            let ip = Ipv4Packet::decode(piece).unwrap();
            assert!(ip.checksum_is_right());
            assert_eq!(ip.header.ident, 0x1234);
            assert_eq!(usize::from(ip.header.fragment_offset), at);
            assert_eq!(ip.header.more_fragments, i + 1 < pieces.len());
            at += ip.payload.len();
        }
        assert_eq!(at, 3_008);
    }
    assert_eq!(fragment_ipv4(&packet, 3_028), vec![packet.clone()]);
    assert!(fragment_ipv4(&packet, 27).is_empty());
    assert!(fragment_ipv4(&packet[..19], 1_500).is_empty());
}

#[test]
fn fragments_of_a_fragment_keep_their_place_in_the_original() {
    let packet = udp_packet(&datagram(false, 992), 1, false);
    let halves = split_ipv4(&packet, &[504]);
    assert_eq!(halves.len(), 2);
    let pieces = fragment_ipv4(&halves[1], 220);
    let last = Ipv4Packet::decode(pieces.last().unwrap()).unwrap();
    let first = Ipv4Packet::decode(&pieces[0]).unwrap();
    assert_eq!((first.header.fragment_offset, first.header.more_fragments), (504, true));
    assert_eq!(usize::from(last.header.fragment_offset) + last.payload.len(), 1_000);
    assert!(!last.header.more_fragments);
    let pieces = fragment_ipv4(&halves[0], 220);
    assert!(Ipv4Packet::decode(pieces.last().unwrap()).unwrap().header.more_fragments);
}

#[test]
fn cuts_are_rounded_sorted_and_bounded() {
    let packet = udp_packet(&datagram(false, 92), 1, false);
    let offsets = |cuts: &[usize]| -> Vec<u16> {
        split_ipv4(&packet, cuts).iter().map(|p| Ipv4Header::decode(p).unwrap().fragment_offset).collect()
    };
    assert_eq!(offsets(&[50, 17, 16, 0, 7, 100, 5_000]), [0, 16, 48]);
    assert_eq!(offsets(&[]), [0]);
}

#[test]
fn chosen_pieces_may_overlap_and_contradict() {
    let packet = udp_packet(&datagram(false, 92), 1, false);
    let piece = piece_ipv4(&packet, 16, 64, false).unwrap();
    let ip = Ipv4Packet::decode(&piece).unwrap();
    assert_eq!((ip.header.fragment_offset, ip.header.more_fragments, ip.payload.len()), (16, false, 48));
    assert_eq!(ip.payload, &packet[20 + 16..20 + 64]);
    assert_eq!(piece_ipv4(&packet, 400, 500, true).unwrap().len(), 20);
}

#[test]
fn only_copied_options_stay_in_later_fragments() {
    let header = Ipv4Header {
        options: vec![1, 7, 3, 4, 0x94, 4, 0, 0],
        ..Ipv4Header::new(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, protocol::UDP)
    };
    let packet = header.packet(&[9; 64]);
    let pieces = split_ipv4(&packet, &[32]);
    assert_eq!(Ipv4Header::decode(&pieces[0]).unwrap().options, header.options);
    assert_eq!(Ipv4Header::decode(&pieces[1]).unwrap().options, [0x94, 4, 0, 0]);
}

#[test]
fn ipv6_fragments_announce_themselves_behind_the_extension_headers() {
    let segment = udp_packet(&datagram(true, 2_000), 0, false)[40..].to_vec();
    for extensions in [0usize, 1, 2] {
        let mut body = Vec::new();
        for i in 0..extensions {
            body.extend([if i + 1 == extensions { 17 } else { 60 }, 0, 1, 4, 0, 0, 0, 0]);
        }
        body.extend(&segment);
        let first = if extensions == 0 { protocol::UDP } else { protocol::HOP_BY_HOP };
        let packet = Ipv6Header::new(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, first).packet(&body);
        let pieces = fragment_ipv6(&packet, 1_280, 99);
        assert_eq!(pieces.len(), 2);
        let mut joined = Vec::new();
        for piece in &pieces {
            assert!(piece.len() <= 1_280);
            let ip = Ipv6Packet::decode(piece).unwrap();
            let fragment = ip.fragment.unwrap();
            assert_eq!((fragment.ident, ip.protocol, ip.extensions.len()), (99, protocol::UDP, extensions * 8));
            assert_eq!(usize::from(fragment.offset), joined.len());
            joined.extend_from_slice(ip.payload);
        }
        assert_eq!(joined, segment);
    }
    let packet = Ipv6Header::new(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, protocol::UDP).packet(&segment);
    let piece = piece_ipv6(&packet, 8, 16, true, 5).unwrap();
    let fragment = Ipv6Packet::decode(&piece).unwrap().fragment.unwrap();
    assert_eq!((fragment.offset, fragment.more, fragment.ident), (8, true, 5));
}

#[test]
fn too_big_tells_the_source_what_did_not_fit() {
    for (v6, reporter) in [(false, "192.0.2.1"), (true, "2001:db8:ffff::1")] {
        let reporter: IpAddr = reporter.parse().unwrap();
        let offending = udp_packet(&datagram(v6, 1_400), 3, true);
        let report = too_big_packet(reporter, 1_300, &offending).unwrap();
        assert_eq!(route(&report).unwrap().dst, datagram(v6, 0).src.ip());
        let parsed = parse_too_big(&report).unwrap();
        assert_eq!((parsed.reporter, parsed.mtu, parsed.quoted_protocol), (reporter, 1_300, protocol::UDP));
        assert_eq!(parsed.quoted_src, datagram(v6, 0).src.ip());
        assert_eq!(parsed.quoted_dst, datagram(v6, 0).dst.ip());
        assert_eq!(parsed.quoted_upper[..2], 848u16.to_be_bytes());
        // No error about an error, and none from a router of the other version.
        assert!(too_big_packet(reporter, 100, &report).is_none());
        let other: IpAddr = if v6 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        assert!(too_big_packet(other, 100, &offending).is_none());
        let mut broken = report.clone();
        *broken.last_mut().unwrap() ^= 1;
        assert_eq!(parse_too_big(&broken).unwrap_err().code.as_str(), "icmp.checksum");
        assert_eq!(parse_too_big(&offending).unwrap_err().code.as_str(), "icmp.other");
    }
}

#[test]
fn routers_stay_silent_about_multicast_and_later_fragments() {
    let reporter = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let mut sent = datagram(false, 900);
    let packet = udp_packet(&sent, 1, true);
    assert!(too_big_packet(reporter, 500, &split_ipv4(&packet, &[400])[1]).is_none());
    assert!(too_big_packet(reporter, 500, &split_ipv4(&packet, &[400])[0]).is_some());
    sent.dst = SocketAddr::from(([239, 1, 1, 1], 848));
    assert!(too_big_packet(reporter, 500, &udp_packet(&sent, 1, true)).is_none());
}

#[test]
fn a_hop_costs_one_and_keeps_right_checksums_right_and_wrong_ones_wrong() {
    let mut packet = udp_packet(&datagram(false, 10), 77, false);
    for hops in (1..64).rev() {
        assert!(decrement_hops(&mut packet));
        assert_eq!(packet[8], hops);
        assert!(Ipv4Packet::decode(&packet).unwrap().checksum_is_right(), "at {hops}");
    }
    let last = packet.clone();
    assert!(!decrement_hops(&mut packet));
    assert_eq!(packet, last);
    let mut wrong = udp_packet(&datagram(false, 10), 77, false);
    wrong[11] ^= 0x40;
    assert!(decrement_hops(&mut wrong));
    assert!(!Ipv4Packet::decode(&wrong).unwrap().checksum_is_right());
    let mut packet = udp_packet(&datagram(true, 10), 0, false);
    assert!(decrement_hops(&mut packet));
    assert_eq!(route(&packet).unwrap().hops, 63);
}

proptest! {
    #[test]
    fn no_octets_make_a_decoder_fail_hard(mut octets in proptest::collection::vec(any::<u8>(), 0..200), six in any::<bool>(), mtu in 0usize..300) {
        if let Some(first) = octets.first_mut() {
            *first = if six { 0x60 } else { 0x40 | (*first & 0x0f) };
        }
        let _ = parse_udp(&octets);
        let _ = parse_too_big(&octets);
        let _ = route(&octets);
        let _ = fragment_ipv4(&octets, mtu);
        let _ = fragment_ipv6(&octets, mtu, 1);
        let _ = too_big_packet(IpAddr::V4(Ipv4Addr::LOCALHOST), 100, &octets);
        let _ = decrement_hops(&mut octets);
    }

    #[test]
    fn ipv4_headers_survive_a_round_trip(class: u8, ident: u16, flags in 0u8..8, units in 0u16..8192, ttl: u8, proto: u8, src: [u8; 4], dst: [u8; 4], words in 0usize..11, len in 0usize..64) {
        let header = Ipv4Header {
            traffic_class: class, total_len: 0, ident, reserved_flag: flags & 4 != 0, dont_fragment: flags & 2 != 0,
            more_fragments: flags & 1 != 0, fragment_offset: units << 3, ttl, protocol: proto, checksum: 0,
            src: src.into(), dst: dst.into(), options: vec![1; words * 4],
        };
        let packet = header.packet(&vec![0xa5; len]);
        let parsed = Ipv4Packet::decode(&packet).unwrap();
        prop_assert!(parsed.checksum_is_right());
        prop_assert_eq!(parsed.payload.len(), len);
        let expected = Ipv4Header { total_len: packet.len() as u16, checksum: parsed.header.checksum, ..header };
        prop_assert_eq!(parsed.header, expected);
    }
}
