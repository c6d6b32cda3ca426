//! The IP layer of hosts and router: fragments in every order, reassembly limits, path MTU.

use crate::common::*;
use hallmark_core::{Datagram, Duration, Instant};
use hallmark_lab::{Direction, DropReason, Fate, HostId, Lab, LinkProfile, Outcome, Reassembler, ReassemblyLimits};
use hallmark_wire::ip::fragment::{piece_ipv4, piece_ipv6};
use hallmark_wire::ip::{
    Ipv4Header, fragment_ipv6, parse_too_big, parse_udp, route, split_ipv4, split_ipv6, udp_packet,
};
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);

fn v6(len: usize) -> Datagram {
    Datagram::new(at("[2001:db8::1]:848"), at("[2001:db8::2]:848"), pattern(len))
}

fn deliver(lab: &mut Lab, from: HostId, to: HostId, pieces: &[Vec<u8>]) -> Option<Datagram> {
    for piece in pieces {
        lab.send_ip(from, piece.clone());
    }
    lab.run_for(MS * 10);
    lab.recv(to)
}

#[test]
fn every_size_crosses_every_mtu() {
    for (up, down) in [(1_500, 1_500), (1_500, 576), (576, 1_500), (1_280, 1_280), (68, 1_500), (1_500, 68)] {
        for len in [0, 1, 1_472, 1_473, 3_000, 65_507] {
            let (mut lab, a, b) = wire_lab(1);
            lab.set_link(a, Direction::Up, LinkProfile { mtu: up, ..LinkProfile::default() });
            lab.set_link(b, Direction::Down, LinkProfile { mtu: down, ..LinkProfile::default() });
            lab.send(a, datagram(len));
            lab.run_for(MS * 10);
            assert_eq!(lab.recv(b), Some(datagram(len)), "up {up}, down {down}, {len} octets");
            assert_eq!(lab.reassembly(b), (0, 0));
            for record in lab.tap() {
                let mtu = if record.direction == Direction::Up { up } else { down };
                assert!(record.packet.len() <= mtu);
            }
        }
    }
}

#[test]
fn ipv6_is_cut_at_the_source_only() {
    let (mut lab, a, b) = wire_lab(2);
    lab.set_link(b, Direction::Down, LinkProfile { mtu: 1_300, ..LinkProfile::default() });
    lab.send(a, v6(1_400));
    lab.run_for(MS * 10);
    assert_eq!(lab.recv(b), None);
    assert!(drops(&lab.tap(), a, Direction::Fabric).contains(&DropReason::TooBig));
    assert_eq!(lab.path_mtu(a, ip("2001:db8::2")), Some(1_300));
    // The report has taught the source to cut.
    lab.send(a, v6(1_400));
    lab.run_for(MS * 10);
    assert_eq!(lab.recv(b), Some(v6(1_400)));
    assert!(lab.tap().iter().any(|record| record.note.contains("fragmented at the source")));
}

#[test]
fn path_mtu_discovery_sets_df_learns_and_cuts() {
    let (mut lab, a, b) = wire_lab(3);
    lab.set_path_mtu_discovery(a, true);
    lab.set_link(b, Direction::Down, LinkProfile { mtu: 1_000, ..LinkProfile::default() });
    lab.bind_ip(a);
    lab.send(a, datagram(1_200));
    lab.run_for(MS * 10);
    assert_eq!(lab.recv(b), None);
    let report = parse_too_big(&lab.recv_ip(a).unwrap()).unwrap();
    assert_eq!((report.mtu, report.quoted_dst), (1_000, ip("10.0.0.2")));
    assert_eq!(lab.path_mtu(a, ip("10.0.0.2")), Some(1_000));
    lab.send(a, datagram(1_200));
    lab.run_for(MS * 10);
    assert_eq!(lab.recv(b), Some(datagram(1_200)));
    // Without discovery the router cuts, and a report is not heeded.
    assert_eq!(lab.path_mtu(b, ip("10.0.0.1")), None);
}

#[test]
fn a_black_hole_swallows_what_is_too_big_and_says_nothing() {
    let (mut lab, a, b) = wire_lab(4);
    lab.set_path_mtu_discovery(a, true);
    lab.set_link(b, Direction::Down, LinkProfile { mtu: 1_000, black_hole: true, ..LinkProfile::default() });
    lab.bind_ip(a);
    for _ in 0..3 {
        lab.send(a, datagram(1_200));
        lab.run_for(MS * 10);
    }
    assert_eq!((lab.recv(b), lab.recv_ip(a)), (None, None));
    assert_eq!(drops(&lab.tap(), a, Direction::Fabric), [DropReason::TooBig; 3]);
    lab.send(a, datagram(900));
    lab.run_for(MS * 10);
    assert_eq!(lab.recv(b), Some(datagram(900)));
}

#[test]
fn a_forged_report_about_another_source_is_not_heeded() {
    let (mut lab, a, _) = wire_lab(5);
    lab.set_path_mtu_discovery(a, true);
    let foreign = Datagram::new(at("10.0.0.77:848"), at("10.0.0.2:848"), pattern(1_000));
    let quoting = |d: &Datagram| {
        let mut report = hallmark_wire::ip::too_big_packet(ip("192.0.2.1"), 500, &udp_packet(d, 1, true)).unwrap();
        // The forger sends it to the victim, whoever is quoted.
        report[16..20].copy_from_slice(&[10, 0, 0, 1]);
        let mut header = Ipv4Header::decode(&report).unwrap();
        header.dst = "10.0.0.1".parse().unwrap();
        header.packet(&report[20..])
    };
    lab.inject(quoting(&foreign));
    lab.run_for(MS * 10);
    assert_eq!(lab.path_mtu(a, ip("10.0.0.2")), None);
    lab.inject(quoting(&datagram(1_000)));
    lab.run_for(MS * 10);
    assert_eq!(lab.path_mtu(a, ip("10.0.0.2")), Some(500));
    // A report never makes packets useless, and never widens the path again.
    let tiny = hallmark_wire::ip::too_big_packet(ip("192.0.2.1"), 1, &udp_packet(&datagram(1_000), 1, true)).unwrap();
    lab.inject(tiny);
    lab.inject(quoting(&datagram(1_000)));
    lab.run_for(MS * 10);
    assert_eq!(lab.path_mtu(a, ip("10.0.0.2")), Some(68));
}

#[test]
fn fragments_arrive_in_any_order_with_duplicates() {
    let packet = udp_packet(&datagram(1_000), 5, false);
    let p = split_ipv4(&packet, &[400, 800]);
    let orders: [&[usize]; 7] =
        [&[0, 1, 2], &[2, 1, 0], &[1, 0, 2], &[1, 2, 0], &[0, 0, 1, 1, 2], &[2, 2, 0, 0, 1], &[2, 0, 2, 1]];
    for order in orders {
        let (mut lab, a, b) = wire_lab(6);
        let pieces: Vec<Vec<u8>> = order.iter().map(|i| p[*i].clone()).collect();
        assert_eq!(deliver(&mut lab, a, b, &pieces), Some(datagram(1_000)), "{order:?}");
    }
    for order in [&[0, 1][..], &[0, 2], &[1, 2], &[0, 0, 2]] {
        let (mut lab, a, b) = wire_lab(6);
        let pieces: Vec<Vec<u8>> = order.iter().map(|i| p[*i].clone()).collect();
        assert_eq!(deliver(&mut lab, a, b, &pieces), None, "{order:?}");
        assert_eq!(lab.reassembly(b).0, 1);
    }
}

#[test]
fn overlap_spoils_the_packet_and_all_that_still_comes_of_it() {
    let packet = udp_packet(&datagram(1_000), 5, false);
    let p = split_ipv4(&packet, &[400, 800]);
    let overlapping = [
        // The same place with other octets; a shift by one unit; one that covers another; a second end.
        {
            let mut other = p[1].clone();
            other[60] ^= 1;
            other
        },
        piece_ipv4(&packet, 392, 800, true).unwrap(),
        piece_ipv4(&packet, 408, 808, true).unwrap(),
        piece_ipv4(&packet, 0, 1_000, true).unwrap(),
        piece_ipv4(&packet, 400, 808, false).unwrap(),
        piece_ipv4(&packet, 800, 1_008, true).unwrap(),
    ];
    for (i, bad) in overlapping.into_iter().enumerate() {
        let (mut lab, a, b) = wire_lab(7);
        // The last two contradict the known end, so the end comes first.
        let pieces = [p[2].clone(), p[1].clone(), bad, p[0].clone(), p[1].clone(), p[2].clone()];
        assert_eq!(deliver(&mut lab, a, b, &pieces), None, "case {i}");
        let reasons = drops(&lab.tap(), b, Direction::Down);
        assert_eq!(reasons, [DropReason::Overlap; 4], "case {i}");
        assert_eq!(lab.reassembly(b), (1, 0), "case {i}");
        // The next packet, with another identification, is not touched.
        assert_eq!(
            deliver(&mut lab, a, b, &split_ipv4(&udp_packet(&datagram(1_000), 6, false), &[400])),
            Some(datagram(1_000))
        );
    }
}

#[test]
fn ipv6_overlap_spoils_the_packet_too() {
    let packet = udp_packet(&v6(1_000), 0, false);
    let p = split_ipv6(&packet, &[400, 800], 9);
    let (mut lab, a, b) = wire_lab(8);
    let bad = piece_ipv6(&packet, 392, 800, true, 9).unwrap();
    assert_eq!(deliver(&mut lab, a, b, &[p[0].clone(), bad, p[1].clone(), p[2].clone()]), None);
    assert_eq!(deliver(&mut lab, a, b, &split_ipv6(&packet, &[400, 800], 10)), Some(v6(1_000)));
}

#[test]
fn tiny_first_fragments_are_refused_by_default_and_allowed_on_request() {
    let packet = udp_packet(&datagram(100), 5, false);
    for (cut, arrives) in [(8, false), (16, true)] {
        let (mut lab, a, b) = wire_lab(9);
        assert_eq!(deliver(&mut lab, a, b, &split_ipv4(&packet, &[cut])).is_some(), arrives, "cut at {cut}");
    }
    let (mut lab, a, b) = wire_lab(9);
    deliver(&mut lab, a, b, &split_ipv4(&packet, &[8]));
    assert_eq!(drops(&lab.tap(), b, Direction::Down), [DropReason::TinyFragment]);
    let (mut lab, a, b) = wire_lab(9);
    lab.set_reassembly_limits(b, ReassemblyLimits { first_octets_min: 8, ..ReassemblyLimits::default() });
    assert_eq!(deliver(&mut lab, a, b, &split_ipv4(&packet, &[8])), Some(datagram(100)));
}

#[test]
fn fragments_that_contradict_ip_are_refused() {
    let packet = udp_packet(&datagram(100), 5, false);
    let cases = [
        (piece_ipv4(&packet, 48, 53, true).unwrap(), "ip.fragment.length"),
        (piece_ipv4(&packet, 48, 48, true).unwrap(), "ip.fragment.empty"),
        (
            Ipv4Header {
                fragment_offset: 65_528,
                ..Ipv4Header::new("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), 17)
            }
            .packet(&[0; 64]),
            "ip.fragment.beyond",
        ),
    ];
    for (piece, code) in cases {
        let (mut lab, a, b) = wire_lab(10);
        deliver(&mut lab, a, b, &[piece]);
        let reasons = drops(&lab.tap(), b, Direction::Down);
        assert_eq!(reasons.iter().map(|r| r.name()).collect::<Vec<_>>(), [code]);
        assert_eq!(lab.reassembly(b), (0, 0));
    }
}

#[test]
fn reassembly_gives_up_after_thirty_seconds_from_the_first_fragment() {
    let p = split_ipv4(&udp_packet(&datagram(1_000), 5, false), &[400, 800]);
    for (wait, arrives) in [(29_990, true), (30_000, false)] {
        let (mut lab, a, b) = wire_lab(11);
        lab.send_ip(a, p[0].clone());
        lab.run_for(Duration::from_secs(20));
        lab.send_ip(a, p[1].clone());
        lab.run_until(Instant::from_millis(wait));
        lab.send_ip(a, p[2].clone());
        lab.run_for(MS * 10);
        assert_eq!(lab.recv(b).is_some(), arrives, "{wait} ms");
    }
}

#[test]
fn memory_for_reassembly_is_bounded() {
    let limits = ReassemblyLimits { packets: 4, octets: 3_000, ..ReassemblyLimits::default() };
    let (mut lab, a, b) = wire_lab(12);
    lab.set_reassembly_limits(b, limits);
    for ident in 0..10 {
        let p = split_ipv4(&udp_packet(&datagram(500), ident, false), &[400]);
        lab.send_ip(a, p[0].clone());
        lab.run_for(MS);
    }
    lab.run_for(MS * 10);
    assert_eq!(lab.reassembly(b), (4, 1_600));
    assert_eq!(drops(&lab.tap(), b, Direction::Down), [DropReason::ReassemblyLimit; 6]);
    lab.run_for(Duration::from_secs(31));
    assert_eq!(
        deliver(&mut lab, a, b, &split_ipv4(&udp_packet(&datagram(500), 77, false), &[400])),
        Some(datagram(500))
    );

    let mut reassembler = Reassembler::new(limits);
    let big = split_ipv4(&udp_packet(&datagram(5_000), 1, false), &[1_480, 2_960, 4_440]);
    let outcomes: Vec<Outcome> = big.iter().map(|p| reassembler.insert(Instant::ZERO, p)).collect();
    assert_eq!(outcomes[..2], [Outcome::Pending, Outcome::Pending]);
    assert_eq!(outcomes[2], Outcome::Dropped(DropReason::ReassemblyLimit));
    assert!(reassembler.octets() <= 3_000);
    reassembler.expire(Instant::from_secs(30));
    assert_eq!((reassembler.octets(), reassembler.pending(), reassembler.expired()), (0, 0, 1));
}

#[test]
fn one_lost_fragment_loses_the_datagram_and_nothing_else() {
    let (mut lab, a, b) = wire_lab(13);
    lab.set_link(b, Direction::Down, LinkProfile { drop_nth: vec![2], ..LinkProfile::default() });
    for n in 0..3u8 {
        let mut d = datagram(4_000);
        d.payload[0] = n;
        lab.send(a, d);
        lab.run_for(MS * 10);
    }
    let got: Vec<u8> = std::iter::from_fn(|| lab.recv(b)).map(|d| d.payload[0]).collect();
    assert_eq!(got, [1, 2]);
    let last = lab.tap().into_iter().rfind(|r| r.host == b && r.fate == Fate::Delivered).unwrap();
    assert!(last.note.contains("completes a fragmented packet"), "{}", last.note);
}

#[test]
fn raw_receivers_see_each_fragment_by_itself() {
    let (mut lab, a, b) = wire_lab(14);
    lab.bind_ip(b);
    lab.send(a, datagram(4_000));
    lab.run_for(MS * 10);
    let pieces: Vec<Vec<u8>> = std::iter::from_fn(|| lab.recv_ip(b)).collect();
    assert_eq!(pieces.len(), 3);
    assert!(pieces.iter().all(|piece| route(piece).unwrap().is_fragment));
    assert_eq!(lab.recv(b), Some(datagram(4_000)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_cuts_in_any_order_with_duplicates_give_the_packet_back(
        len in 1usize..3_000,
        cuts in proptest::collection::vec(16usize..3_000, 0..12),
        six in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let sent = if six { v6(len) } else { datagram(len) };
        let packet = udp_packet(&sent, 77, false);
        let pieces = if six { split_ipv6(&packet, &cuts, 3) } else { split_ipv4(&packet, &cuts) };
        let mut rng = hallmark_core::Rng::from_u64(seed);
        // Every piece once, some twice, shuffled; the last one that is new completes the packet.
        let mut order: Vec<usize> = (0..pieces.len()).chain((0..pieces.len()).filter(|_| rng.chance(0.3))).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, rng.below(i as u64 + 1) as usize);
        }
        let mut reassembler = Reassembler::default();
        let mut seen = std::collections::BTreeSet::new();
        for i in order {
            let outcome = reassembler.insert(Instant::ZERO, &pieces[i]);
            seen.insert(i);
            if seen.len() == pieces.len() {
                let Outcome::Whole(whole) = outcome else {
                    return Err(TestCaseError::fail(format!("{outcome:?}")));
                };
                prop_assert_eq!(&whole, &packet);
                prop_assert_eq!(parse_udp(&whole).unwrap(), sent);
                break;
            }
            prop_assert_eq!(outcome, Outcome::Pending);
        }
        prop_assert_eq!(reassembler.octets(), 0);
    }

    #[test]
    fn no_fragments_make_reassembly_fail_hard_or_leak(
        pieces in proptest::collection::vec((0usize..400, 0usize..400, any::<bool>(), 0u16..3, any::<bool>(), any::<u8>()), 0..40),
    ) {
        let four = udp_packet(&datagram(392), 0, false);
        let six = udp_packet(&v6(392), 0, false);
        let limits = ReassemblyLimits { octets: 1_000, packets: 3, ..ReassemblyLimits::default() };
        let mut reassembler = Reassembler::new(limits);
        for (i, (from, to, more, ident, is_six, flip)) in pieces.into_iter().enumerate() {
            let mut piece = if is_six {
                piece_ipv6(&six, from, to, more, ident.into()).unwrap()
            } else {
                let mut header = Ipv4Header::decode(&four).unwrap();
                header.ident = ident;
                piece_ipv4(&header.packet(&four[20..]), from, to, more).unwrap()
            };
            if flip < 20 {
                let at = usize::from(flip) * piece.len() / 20;
                piece[at] ^= flip;
            }
            if let Outcome::Whole(whole) = reassembler.insert(Instant::from_millis(i as u64), &piece) {
                prop_assert!(!whole.is_empty());
            }
            prop_assert!(reassembler.octets() <= 1_000 && reassembler.pending() <= 3);
        }
        reassembler.expire(Instant::from_secs(60));
        prop_assert_eq!((reassembler.octets(), reassembler.pending()), (0, 0));
    }

    #[test]
    fn even_fragments_of_ipv6_join_again(len in 0usize..9_000, mtu in 1_280usize..1_600) {
        let packet = udp_packet(&v6(len), 0, false);
        let mut reassembler = Reassembler::default();
        let mut whole = None;
        for piece in fragment_ipv6(&packet, mtu, 8).iter().rev() {
            prop_assert!(piece.len() <= mtu);
            if let Outcome::Whole(joined) = reassembler.insert(Instant::ZERO, piece) {
                whole = Some(joined);
            }
        }
        prop_assert_eq!(whole, Some(packet));
    }
}
