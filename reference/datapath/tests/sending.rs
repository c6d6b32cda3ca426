//! What a member sends: numbers, vectors, sender ids, headers, and what does not fit.

mod common;

use common::{Member, at, ip, policy, sa, seconds, udp};
use hallmark_core::Duration;
use hallmark_datapath::config::{Df, Ecn, FragmentWhere, Mss, Ttl};
use hallmark_datapath::{
    Config, EventKind, Fate, Mode, Policy, Preservation, Reason, Replay, Rule, Sa, Selector, Side,
};
use hallmark_wire::ip::{IcmpMessage, Ipv4Header, Ipv4Packet, Ipv6Header, Ipv6Packet, checksum, parse_too_big};

const SENT: Fate = Fate::Out(Side::Wan);

fn keep() -> Config {
    Config { ttl: Ttl::Keep, event_interval: Duration::ZERO, ..Config::default() }
}

fn gcm() -> Policy {
    policy(vec![sa(0x1000, "aes128-gcm16")])
}

fn number_and_vector(esp: &[u8]) -> (u32, u64) {
    let field = |at: usize| u32::from_be_bytes(esp[at..at + 4].try_into().expect("four octets"));
    (field(24), u64::from(field(28)) << 32 | u64::from(field(32)))
}

/// Makes an IPv4 packet with a header of one's own.
fn v4(change: impl FnOnce(&mut Ipv4Header), payload: usize) -> Vec<u8> {
    let mut header = Ipv4Header::new([10, 1, 0, 1].into(), [10, 2, 0, 1].into(), 17);
    change(&mut header);
    header.packet(&vec![7; payload])
}

fn v6(payload: usize) -> Vec<u8> {
    let (src, dst) = ("2001:db8:1::1".parse().expect("address"), "2001:db8:2::1".parse().expect("address"));
    let mut header = Ipv6Header::new(src, dst, 17);
    header.flow_label = 0x12345;
    header.traffic_class = 0xba;
    header.packet(&vec![7; payload])
}

#[test]
fn numbers_begin_with_one_and_rise_by_one_through_bursts_and_workers() {
    let inner = udp("10.1.0.1", "10.2.0.1", 20);
    let mut member = Member::with(keep(), &gcm());
    let mut other = Member::new(keep());
    other.data = member.data.worker(hallmark_core::Rng::from_u64(9), at(0));
    other.data.apply(at(0), &gcm());
    let mut seen = Vec::new();
    for (worker, size) in [(0, 1), (1, 3), (0, 64), (1, 64), (0, 2)] {
        let worker = if worker == 0 { &mut member } else { &mut other };
        let burst = worker.burst(at(1), Side::Lan, &vec![inner.clone(); size]);
        seen.extend(burst.iter().map(|(_, esp)| number_and_vector(esp)));
    }
    let expected: Vec<(u32, u64)> = (1..=134).map(|n| (n, 0x0102 << 48 | u64::from(n))).collect();
    assert_eq!(seen, expected);
}

#[test]
fn sender_ids_fill_the_left_of_the_vector_and_take_turns_when_they_run_out() {
    let inner = udp("10.1.0.1", "10.2.0.1", 20);
    for (bits, ids, first, second) in [
        (8u16, vec![0xab, 0xcd], 0xab00_0000_0000_0001u64, 0xcd00_0000_0000_0000u64),
        (12, vec![0xabc, 0x00d], 0xabc0_0000_0000_0001, 0x00d0_0000_0000_0000),
        (16, vec![0x1234, 0x0001], 0x1234_0000_0000_0001, 0x0001_0000_0000_0000),
    ] {
        let mut member = Member::with(keep(), &Policy { sender_ids: Some((bits, ids)), ..gcm() });
        assert_eq!(number_and_vector(&member.send(at(1), &inner)).1, first);
        let last = u64::MAX >> bits;
        assert!(member.data.advance_sequence(0x1000, last - 1));
        let out = member.burst(at(1), Side::Lan, &[inner.clone(), inner.clone()]);
        assert_eq!(number_and_vector(&out[0].1).1, first & !last | last);
        assert_eq!(number_and_vector(&out[1].1).1, second, "{bits} bits");
        assert!(member.data.advance_sequence(0x1000, last * 2 + 1));
        assert_eq!(member.fate(at(1), Side::Lan, &inner), Fate::Dropped(Reason::CounterExhausted));
        assert_eq!(member.events()[0].kind, EventKind::SenderIdsExhausted { spi: 0x1000 });
    }
    let mut member = Member::with(keep(), &Policy { sender_ids: None, ..gcm() });
    assert_eq!(member.fate(at(1), Side::Lan, &inner), Fate::Dropped(Reason::SidMissing));
    let mut member = Member::with(keep(), &Policy { sender_ids: Some((8, vec![0x100])), ..gcm() });
    assert_eq!(member.fate(at(1), Side::Lan, &inner), Fate::Dropped(Reason::CounterExhausted), "it does not fit");
    // CBC needs none.
    let cbc = Policy { sender_ids: None, ..policy(vec![sa(0x1000, "aes128-cbc+hmac-sha256")]) };
    assert_eq!(Member::with(keep(), &cbc).fate(at(1), Side::Lan, &inner), SENT);
}

#[test]
fn no_vector_repeats_under_a_key_that_leaves_and_comes_back() {
    let inner = udp("10.1.0.1", "10.2.0.1", 20);
    let mut member = Member::with(keep(), &gcm());
    let mut vectors = std::collections::BTreeSet::new();
    for round in 0..4u64 {
        assert!(vectors.insert(number_and_vector(&member.send(at(round), &inner)).1));
        member.data.apply(at(round), &Policy { sas: Vec::new(), ..gcm() });
        let ids = if round == 2 { vec![7] } else { vec![0x0102] };
        member.data.apply(at(round), &Policy { sender_ids: Some((16, ids)), ..gcm() });
    }
    assert_eq!(vectors.len(), 4);
}

/// One key under two SPIs: each SA numbers its packets from 1, and the vectors go on.
#[test]
fn no_vector_repeats_under_a_key_that_two_sas_have() {
    let inner = udp("10.1.0.1", "10.2.0.1", 20);
    let old = sa(0x1000, "aes128-gcm16");
    let new = Sa { spi: 0x2000, serial: 2, ..old.clone() };
    let mut member = Member::with(keep(), &policy(vec![old.clone()]));
    let mut sent = vec![number_and_vector(&member.send(at(1), &inner)), number_and_vector(&member.send(at(1), &inner))];
    member.data.apply(at(2), &policy(vec![old.clone(), new.clone()]));
    sent.push(number_and_vector(&member.send(at(2), &inner)));
    assert_eq!(member.data.status(at(2)).sas[1].vectors, 0x3);
    member.data.apply(at(3), &policy(vec![old]));
    sent.push(number_and_vector(&member.send(at(3), &inner)));
    // The key comes back long after its SAs have ended.
    let again = Sa { ends: hallmark_core::Instant::from_secs(9_000), ..new };
    member.data.apply(at(8_000), &policy(vec![]));
    member.data.apply(at(8_000), &policy(vec![again]));
    sent.push(number_and_vector(&member.send(at(8_001), &inner)));
    let id = 0x0102 << 48;
    assert_eq!(sent, [(1, id | 1), (2, id | 2), (1, id | 3), (3, id | 4), (1, id | 5)]);
}

#[test]
fn numbers_end_where_receivers_check_them_and_roll_over_where_they_do_not() {
    let inner = udp("10.1.0.1", "10.2.0.1", 20);
    let checked = Policy { replay: Replay::Counter { window: 64 }, ..gcm() };
    let mut member = Member::with(keep(), &checked);
    assert!(member.data.advance_sequence(0x1000, u64::from(u32::MAX) - 1));
    let fates: Vec<Fate> =
        member.burst(at(1), Side::Lan, &[inner.clone(), inner.clone()]).into_iter().map(|o| o.0).collect();
    assert_eq!(fates, [SENT, Fate::Dropped(Reason::CounterExhausted)]);
    assert_eq!(member.events()[0].kind, EventKind::SequenceExhausted { spi: 0x1000 });
    let mut member = Member::with(keep(), &gcm());
    assert!(member.data.advance_sequence(0x1000, u64::from(u32::MAX) - 1));
    assert_eq!(number_and_vector(&member.send(at(1), &inner)).0, u32::MAX);
    assert_eq!(number_and_vector(&member.send(at(1), &inner)).0, 0);
    assert_eq!(number_and_vector(&member.send(at(1), &inner)).0, 1);
    let extended = Sa { extended_sequence: true, ..sa(0x1000, "aes128-gcm16") };
    let mut member = Member::with(keep(), &Policy { sas: vec![extended], ..checked });
    assert!(member.data.advance_sequence(0x1000, u64::from(u32::MAX)));
    assert_eq!(number_and_vector(&member.send(at(1), &inner)).0, 0);
}

#[test]
fn outer_headers_repeat_what_they_have_to_and_nothing_else() {
    let fancy = v4(
        |header| {
            header.options = vec![1; 8];
            header.traffic_class = 0xb9;
            header.ttl = 9;
            header.ident = 0x4444;
            header.dont_fragment = true;
        },
        30,
    );
    let outer = |config: Config, inner: &[u8]| {
        let esp = Member::with(config, &gcm()).send(at(1), inner);
        assert_eq!(checksum(&esp[..20]), 0);
        Ipv4Packet::decode(&esp).expect("whole").header
    };
    let header = outer(Config::default(), &fancy);
    assert_eq!((header.traffic_class, header.ttl, header.dont_fragment), (0xb9, 8, true));
    assert_eq!(
        (header.options.len(), header.protocol, header.more_fragments, header.fragment_offset),
        (0, 50, false, 0)
    );
    assert_eq!((header.src.octets(), header.dst.octets()), ([10, 1, 0, 1], [10, 2, 0, 1]));
    assert_eq!(outer(keep(), &fancy).ttl, 9);
    assert!(!outer(Config { df: Df::Clear, ..keep() }, &fancy).dont_fragment);
    let plain = v4(|_| (), 30);
    assert!(!outer(keep(), &plain).dont_fragment);
    assert!(outer(Config { df: Df::Set, ..keep() }, &plain).dont_fragment);
    assert_eq!(outer(Config { dscp: Some(10), ..keep() }, &fancy).traffic_class, 10 << 2 | 1);
    assert_eq!(outer(Config { ecn: Ecn::Compatibility, ..keep() }, &fancy).traffic_class, 0xb8);
    // A fragment is a whole ESP packet of its own.
    let fragment = v4(
        |header| {
            header.more_fragments = true;
            header.fragment_offset = 64;
        },
        64,
    );
    let header = outer(keep(), &fragment);
    assert_eq!((header.more_fragments, header.fragment_offset), (false, 0));
    let mut member = Member::with(keep(), &gcm());
    let idents: std::collections::BTreeSet<u16> =
        (0..100).map(|_| Ipv4Packet::decode(&member.send(at(1), &plain)).expect("whole").header.ident).collect();
    assert_eq!(idents.len(), 100);
    let esp = Member::with(keep(), &gcm()).send(at(1), &v6(30));
    let header = Ipv6Packet::decode(&esp).expect("whole").header;
    assert_eq!((header.flow_label, header.traffic_class, header.hop_limit), (0, 0xba, 64));
}

#[test]
fn addresses_that_are_not_preserved_are_the_ends_of_the_tunnel() {
    let inner = v4(|_| (), 30);
    let config = Config { address: Some(ip("192.0.2.1")), ..keep() };
    for (preservation, src, dst) in [
        (Preservation::None, "192.0.2.1", "192.0.2.2"),
        (Preservation::Source, "10.1.0.1", "192.0.2.2"),
        (Preservation::Destination, "192.0.2.1", "10.2.0.1"),
        (Preservation::Both, "10.1.0.1", "10.2.0.1"),
    ] {
        let with = Sa { preservation, endpoint: Some(ip("192.0.2.2")), ..sa(0x1000, "aes128-gcm16") };
        let everything = vec![Rule::permit(1, Selector::ANY_V4)];
        let policy = Policy { rules: everything, ..policy(vec![with]) };
        let esp = Member::with(config.clone(), &policy).send(at(1), &inner);
        let header = Ipv4Packet::decode(&esp).expect("whole").header;
        assert_eq!((header.src.to_string().as_str(), header.dst.to_string().as_str()), (src, dst));
        assert_eq!(Member::with(keep(), &policy).receive(at(1), &esp), inner);
        if preservation != Preservation::Both {
            let fate = Member::with(keep(), &gcm()).fate(at(1), Side::Wan, &esp);
            assert_eq!(fate, Fate::Dropped(Reason::AddressMismatch));
        }
    }
}

#[test]
fn each_gateway_lowers_the_ttl_once_and_says_when_it_has_run_out() {
    let config = Config { lan_address: Some(ip("10.1.0.254")), ..Config::default() };
    let mut sender = Member::with(config, &gcm());
    let mut receiver = Member::with(Config::default(), &gcm());
    for ttl in [2u8, 3, 64, 255] {
        let inner = v4(|header| header.ttl = ttl, 30);
        let esp = sender.send(at(1), &inner);
        assert_eq!(esp[8], ttl - 1);
        let (fate, out) = receiver.one(at(1), Side::Wan, &esp);
        if ttl == 2 {
            assert_eq!(fate, Fate::Dropped(Reason::Ttl));
            continue;
        }
        assert_eq!(Ipv4Packet::decode(&out).expect("whole").header.ttl, ttl - 2);
        assert_eq!(checksum(&out[..20]), 0);
        assert_eq!(out[20..], inner[20..]);
    }
    let out = sender.burst(at(1), Side::Lan, &[v4(|header| header.ttl = 1, 30)]);
    assert_eq!(out[0].0, Fate::Dropped(Reason::Ttl));
    let error = Ipv4Packet::decode(&out[1].1).expect("an ICMP error");
    assert_eq!(out[1].0, Fate::Out(Side::Lan));
    assert_eq!((error.header.src.to_string(), error.header.dst.to_string()), ("10.1.0.254".into(), "10.1.0.1".into()));
    assert_eq!(IcmpMessage::decode(error.payload).expect("whole").kind, 11);
}

#[test]
fn congestion_marks_cross_the_tunnel_as_the_matrix_says() {
    let vectors = common::vectors();
    let matrix = &vectors["ecn"]["decap"];
    for inner in 0..4u8 {
        for outer in 0..4u8 {
            let expected = &matrix[format!("inner={inner},outer={outer}")];
            for version4 in [true, false] {
                let mut packet = if version4 { v4(|_| (), 30) } else { v6(30) };
                let class = 0xb8 | inner;
                let set = |packet: &mut [u8], class: u8| {
                    if version4 {
                        packet[1] = class;
                        packet[10..12].fill(0);
                        let sum = checksum(&packet[..20]);
                        packet[10..12].copy_from_slice(&sum.to_be_bytes());
                    } else {
                        packet[0] = 0x60 | class >> 4;
                        packet[1] = packet[1] & 0x0f | class << 4;
                    }
                };
                set(&mut packet, class);
                let mut esp = Member::with(keep(), &gcm()).send(at(1), &packet);
                let have = if version4 { esp[1] } else { esp[0] << 4 | esp[1] >> 4 };
                assert_eq!(have, class, "normal mode copies");
                // The path changes the DSCP too, which stays outside.
                set(&mut esp, 0x28 | outer);
                let mut member = Member::with(keep(), &gcm());
                let (fate, out) = member.one(at(1), Side::Wan, &esp);
                let unused = matches!((inner, outer), (0, 1..=3) | (1, 2) | (3, 1));
                let reported = member.events().iter().any(|e| matches!(e.kind, EventKind::EcnUnused { .. }));
                assert_eq!(reported, unused, "inner {inner}, outer {outer}");
                if expected == "drop" {
                    assert_eq!(fate, Fate::Dropped(Reason::Ecn));
                    continue;
                }
                assert_eq!(fate, Fate::Out(Side::Lan));
                let mut wanted = packet.clone();
                set(&mut wanted, 0xb8 | expected.as_u64().expect("a field") as u8);
                assert_eq!(out, wanted, "inner {inner}, outer {outer}");
            }
        }
    }
}

#[test]
fn transport_mode_leaves_the_header_in_front() {
    for transform in ["aes128-gcm16", "aes256-cbc+hmac-sha512", "3des+hmac-sha1", "null+hmac-sha256", "aes192-gmac"] {
        let transport = Sa { mode: Mode::Transport, ..sa(0x1000, transform) };
        for replay in [Replay::None, Replay::D3p { window: seconds(10) }] {
            let policy = Policy { replay, ..policy(vec![transport.clone()]) };
            let with_options = v4(|header| header.options = vec![1; 12], 77);
            for inner in [udp("10.1.0.1", "10.2.0.1", 33), with_options, v6(50)] {
                let mut sender = Member::with(keep(), &policy);
                let esp = sender.send(at(1), &inner);
                let header = if inner[0] >> 4 == 4 { usize::from(inner[0] & 15) * 4 } else { 40 };
                assert_eq!(esp[0], inner[0]);
                assert_eq!(hallmark_wire::ip::route(&esp).expect("whole").protocol, 50);
                assert!(header == 40 && inner[0] >> 4 == 6 || checksum(&esp[..header]) == 0);
                assert_eq!(Member::with(keep(), &policy).receive(at(1), &esp), inner, "{transform}");
            }
            let fragment = v4(|header| header.fragment_offset = 8, 64);
            let fate = Member::with(keep(), &policy).fate(at(1), Side::Lan, &fragment);
            assert_eq!(fate, Fate::Dropped(Reason::EspFragment));
        }
    }
}

#[test]
fn every_length_has_the_size_that_the_formula_gives() {
    for transform in ["aes128-gcm16", "aes128-gcm8", "aes128-cbc+hmac-sha1", "3des+hmac-sha1", "null+hmac-sha256"] {
        let policy = policy(vec![sa(0x1000, transform)]);
        let transform = policy.sas[0].transform;
        let mut member = Member::with(keep(), &policy);
        let mut receiver = Member::with(keep(), &policy);
        for len in (20..1_400).step_by(7).chain(1_390..1_400) {
            let inner = v4(|_| (), len - 20);
            let esp = member.send(at(1), &inner);
            assert_eq!(esp.len(), 20 + len + transform.overhead(len));
            assert_eq!(receiver.receive(at(1), &esp), inner);
        }
    }
}

#[test]
fn what_does_not_fit_is_cut_or_refused_with_the_right_mtu() {
    let vectors = common::vectors();
    for (name, transform) in [
        ("AES-GCM ICV16", "aes128-gcm16"),
        ("AES-CBC + SHA1-96", "aes128-cbc+hmac-sha1"),
        ("NULL + SHA2-256-128", "null+hmac-sha256"),
    ] {
        let rows = vectors["overhead"].as_array().expect("a list").iter().filter(|row| row["transform"] == name);
        for row in rows {
            let version4 = row["ip_version"] == 4;
            for (mtu, fits) in row["per_mtu"].as_object().expect("an object") {
                let (mtu, replay) = match mtu.strip_suffix("+d3p") {
                    Some(mtu) => (mtu, Replay::D3p { window: seconds(10) }),
                    None => (mtu.as_str(), Replay::None),
                };
                let wan_mtu: u16 = mtu.parse().expect("a number");
                let most = fits["max_inner"].as_u64().expect("a number") as usize;
                let policy = Policy { replay, ..policy(vec![sa(0x1000, transform)]) };
                let packet = |len: usize| match version4 {
                    true => v4(|header| header.dont_fragment = true, len - 20),
                    false => v6(len - 40),
                };
                let mut member = Member::with(Config { wan_mtu, ..keep() }, &policy);
                assert!(member.send(at(1), &packet(most)).len() <= usize::from(wan_mtu), "{name} {mtu}");
                let out = member.burst(at(1), Side::Lan, &[packet(most + 1)]);
                if !version4 && most < 1_280 {
                    continue;
                }
                assert_eq!(out[0].0, Fate::Dropped(Reason::TooBig), "{name} {mtu}");
                let told = parse_too_big(&out[1].1).expect("an error");
                assert_eq!((told.mtu as usize, out[1].0), (most, Fate::Out(Side::Lan)));
            }
        }
    }
}

#[test]
fn pieces_are_opened_one_by_one_and_make_the_whole() {
    for fragment in [FragmentWhere::Before, FragmentWhere::After] {
        let mut sender = Member::with(Config { fragment, ..keep() }, &gcm());
        let mut receiver = Member::with(Config { lan_mtu: 9_000, ..keep() }, &gcm());
        let whole = v4(|header| header.ident = 77, 4_000);
        let out = sender.burst(at(1), Side::Lan, &[whole.clone(), v4(|_| (), 30)]);
        let sent: Vec<Vec<u8>> = out.into_iter().filter(|(fate, _)| *fate == SENT).map(|(_, octets)| octets).collect();
        assert!(sent.len() >= 4 && sent.iter().all(|packet| packet.len() <= 1_500));
        let got = receiver.burst(at(1), Side::Wan, &sent);
        let mut pieces: Vec<Vec<u8>> =
            got.into_iter().filter(|(fate, _)| *fate == Fate::Out(Side::Lan)).map(|(_, octets)| octets).collect();
        pieces.retain(|piece| piece.len() > 50);
        let mut payload = vec![0; 4_000];
        for piece in &pieces {
            let piece = Ipv4Packet::decode(piece).expect("whole");
            let from = usize::from(piece.header.fragment_offset);
            payload[from..from + piece.payload.len()].copy_from_slice(piece.payload);
        }
        assert_eq!(payload, whole[20..]);
        assert_eq!(pieces.len() == 1, fragment == FragmentWhere::After);
    }
}

#[test]
fn a_packet_too_long_for_the_lan_is_cut_or_its_sender_told_under_protection() {
    let mut sender = Member::with(Config { wan_mtu: 9_000, ..keep() }, &gcm());
    let mut receiver = Member::with(Config { wan_mtu: 9_000, lan_address: Some(ip("10.2.0.254")), ..keep() }, &gcm());
    let esp = sender.send(at(1), &v4(|_| (), 3_000));
    let out = receiver.burst(at(1), Side::Wan, &[esp]);
    let pieces = out.iter().filter(|(fate, octets)| *fate == Fate::Out(Side::Lan) && octets.len() <= 1_500).count();
    assert_eq!((pieces, out[0].0), (3, Fate::Held));
    let esp = sender.send(at(1), &v4(|header| header.dont_fragment = true, 3_000));
    let out = receiver.burst(at(1), Side::Wan, &[esp]);
    assert_eq!(out[0].0, Fate::Dropped(Reason::TooBig));
    assert_eq!(out[1].0, SENT);
    let error = sender.receive(at(1), &out[1].1);
    assert_eq!(parse_too_big(&error).expect("an error").mtu, 1_500);
}

#[test]
fn segment_sizes_are_limited_both_ways() {
    let mut syn = vec![0x04, 0x00, 0x00, 0x50, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 0x02, 0xff, 0xff, 0, 0, 0, 0];
    syn.extend([2, 4, 0x05, 0xb4]);
    let mut header = Ipv4Header::new([10, 1, 0, 1].into(), [10, 2, 0, 1].into(), 6);
    header.dont_fragment = true;
    let packet = header.packet(&syn);
    let size = |packet: &[u8]| u16::from_be_bytes([packet[42], packet[43]]);
    let config = Config { mss: Mss::Auto, ..keep() };
    let plain = Member::with(keep(), &gcm()).send(at(1), &packet);
    let lowered = Member::with(config.clone(), &gcm()).send(at(1), &packet);
    let opened = Member::with(keep(), &gcm()).receive(at(1), &lowered);
    assert_eq!(size(&opened), 1_406);
    let opened = Member::with(config, &gcm()).receive(at(1), &plain);
    assert_eq!(size(&opened), 1_406);
    let opened = Member::with(Config { mss: Mss::Fixed(1_360), ..keep() }, &gcm()).receive(at(1), &plain);
    assert_eq!(size(&opened), 1_360);
}

#[test]
fn learned_path_mtus_apply_to_the_next_packet() {
    let mut member = Member::with(Config { lan_address: Some(ip("10.1.0.254")), ..keep() }, &gcm());
    let big = v4(|header| header.dont_fragment = true, 1_400);
    let esp = member.send(at(1), &big);
    let error = hallmark_wire::ip::too_big_packet(ip("198.51.100.1"), 1_400, &esp).expect("an error");
    assert_eq!(member.fate(at(1), Side::Wan, &error), Fate::Dropped(Reason::PmtuConsumed));
    assert!(matches!(member.events()[0].kind, EventKind::PmtuLearned { mtu: 1_400, .. }));
    let out = member.burst(at(2), Side::Lan, std::slice::from_ref(&big));
    assert_eq!(out[0].0, Fate::Dropped(Reason::TooBig));
    assert_eq!(parse_too_big(&out[1].1).expect("an error").mtu, 1_346);
    assert_eq!(member.data.status(at(2)).pmtu.len(), 1);
    assert_eq!(member.fate(at(700), Side::Lan, &big), SENT, "it has aged");
}

#[test]
fn a_path_mtu_that_one_worker_has_learned_holds_for_all() {
    for config in [keep(), Config { mss: Mss::Auto, ..keep() }] {
        let mut member = Member::with(config.clone(), &gcm());
        let mut other = Member::new(config);
        other.data = member.data.worker(hallmark_core::Rng::from_u64(9), at(0));
        other.data.apply(at(0), &gcm());
        let (big, away) = (v4(|header| header.dont_fragment = true, 1_400), udp("10.1.0.1", "10.2.0.2", 1_390));
        let esp = member.send(at(1), &big);
        assert_eq!(other.fate(at(1), Side::Lan, &big), SENT, "a flow that it knows");
        let error = |mtu| hallmark_wire::ip::too_big_packet(ip("198.51.100.1"), mtu, &esp).expect("an error");
        assert_eq!(other.fate(at(2), Side::Wan, &error(1_300)), Fate::Dropped(Reason::PmtuConsumed));
        for worker in [&mut member, &mut other] {
            let out = worker.burst(at(3), Side::Lan, std::slice::from_ref(&big));
            assert_eq!(out[0].0, Fate::Dropped(Reason::TooBig));
            assert_eq!(parse_too_big(&out[1].1).expect("an error").mtu, 1_246);
            assert_eq!(worker.fate(at(3), Side::Lan, &away), SENT, "another destination");
            assert_eq!(worker.data.status(at(3)).pmtu.len(), 1);
        }
        // What one has lowered the other does not raise, and what is told again holds longer for both.
        assert_eq!(member.fate(at(4), Side::Wan, &error(1_400)), Fate::Dropped(Reason::PmtuConsumed));
        assert_eq!(member.fate(at(500), Side::Wan, &error(1_300)), Fate::Dropped(Reason::PmtuConsumed));
        assert_eq!(other.data.status(at(700)).pmtu.iter().map(|p| p.mtu).collect::<Vec<_>>(), [1_300]);
        assert_eq!(other.burst(at(1_099), Side::Lan, std::slice::from_ref(&big))[0].0, Fate::Dropped(Reason::TooBig));
        assert_eq!(other.fate(at(1_100), Side::Lan, &big), SENT, "it has aged");
        let learned = |worker: &mut Member| worker.events().len();
        assert_eq!((learned(&mut member), learned(&mut other)), (0, 1), "told of once");
    }
}

/// A member that sends a dummy behind so many packets.
fn with_dummies(every: u32, policy: &Policy) -> Member {
    Member::with(Config { dummy_every: std::num::NonZeroU32::new(every), ..keep() }, policy)
}

#[test]
fn dummy_packets_are_made_on_demand_and_thrown_away_where_they_arrive() {
    use hallmark_datapath::{Behaviour, Variant};
    let variant = Config { behaviour: Behaviour::conforming().with_variant(Variant::DummyPackets), ..keep() };
    for transform in ["aes128-gcm16", "aes128-cbc+hmac-sha256", "null+hmac-sha1", "aes128-gmac"] {
        let extended = Sa { extended_sequence: true, ..sa(0x1000, transform) };
        let transport = Sa { mode: Mode::Transport, ..sa(0x1000, transform) };
        for policy in [policy(vec![sa(0x1000, transform)]), policy(vec![extended]), policy(vec![transport])] {
            for mut sender in [with_dummies(16, &policy), Member::with(variant.clone(), &policy)] {
                let mut receiver = Member::with(keep(), &policy);
                for inner in [udp("10.1.0.1", "10.2.0.1", 21), v6(30)] {
                    let mut sent = sender.burst(at(1), Side::Lan, &vec![inner.clone(); 8]);
                    assert_eq!(sent.len(), 8, "none yet");
                    sent.extend(sender.burst(at(1), Side::Lan, &vec![inner; 24]));
                    assert_eq!(sent.len(), 34, "two of them");
                    assert!(sent.iter().all(|(_, octets)| octets.len() == sent[0].1.len()), "as long as the others");
                    let octets: Vec<Vec<u8>> = sent.into_iter().map(|(_, octets)| octets).collect();
                    let fates: Vec<Fate> = receiver.burst(at(1), Side::Wan, &octets).into_iter().map(|o| o.0).collect();
                    let dummies = fates.iter().filter(|fate| **fate == Fate::Dropped(Reason::Dummy)).count();
                    assert_eq!((dummies, fates.iter().filter(|fate| **fate == Fate::Out(Side::Lan)).count()), (2, 32));
                }
                assert_eq!(sender.data.status(at(1)).totals.dummies.packets, 4);
                assert!(receiver.events().is_empty());
            }
        }
    }
}

#[test]
fn a_dummy_has_a_number_and_a_vector_that_nothing_else_has() {
    use std::collections::BTreeSet;
    let inner = udp("10.1.0.1", "10.2.0.1", 20);
    for (transform, octets) in [("aes128-gcm16", 8), ("aes128-cbc+hmac-sha256", 16)] {
        let mut member = with_dummies(1, &policy(vec![sa(0x1000, transform)]));
        let sent = member.burst(at(1), Side::Lan, &vec![inner.clone(); 64]);
        let numbers: BTreeSet<u32> = sent.iter().map(|(_, esp)| number_and_vector(esp).0).collect();
        assert_eq!(numbers, (1..=128).collect());
        // Neither half of a vector of 16 octets repeats.
        let vectors = sent.iter().flat_map(|(_, esp)| esp[28..28 + octets].chunks(8));
        assert_eq!(vectors.collect::<BTreeSet<_>>().len(), 16 * octets);
    }
}

#[test]
fn no_dummy_is_sent_for_which_there_is_no_number_or_vector() {
    let inner = udp("10.1.0.1", "10.2.0.1", 20);
    let checked = Policy { replay: Replay::Counter { window: 64 }, ..gcm() };
    let mut member = with_dummies(1, &checked);
    assert!(member.data.advance_sequence(0x1000, u64::from(u32::MAX) - 1));
    assert_eq!(number_and_vector(&member.send(at(1), &inner)).0, u32::MAX, "the last number is for a packet");
    // The last vector of the only sender id: the next would need another id.
    let mut member = with_dummies(1, &Policy { sender_ids: Some((8, vec![1])), ..gcm() });
    assert!(member.data.advance_sequence(0x1000, (u64::MAX >> 8) - 1));
    assert_eq!(number_and_vector(&member.send(at(1), &inner)).1, 1 << 56 | u64::MAX >> 8);
    // Without replay protection numbers roll over, dummies among them.
    let mut member = with_dummies(1, &gcm());
    assert!(member.data.advance_sequence(0x1000, u64::from(u32::MAX) - 1));
    let sent = member.burst(at(1), Side::Lan, &[inner]);
    let numbers: Vec<(u32, u64)> = sent.iter().map(|(_, esp)| number_and_vector(esp)).collect();
    assert_eq!(numbers, [(u32::MAX, 0x0102_0000_ffff_ffff), (0, 0x0102_0001_0000_0000)]);
}
