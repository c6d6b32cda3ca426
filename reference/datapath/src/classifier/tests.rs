use std::net::IpAddr;

use hallmark_core::{Datagram, Rng};
use hallmark_wire::ip::{Ipv4Header, Ipv6Header, fragment_ipv4, udp_packet};
use proptest::prelude::*;

use super::*;
use crate::policy::{Action, AddressRange};

fn range(first: &str, last: &str) -> AddressRange {
    AddressRange { first: first.parse().unwrap(), last: last.parse().unwrap() }
}

const ANY_PORT: PortRange = PortRange { first: 0, last: u16::MAX };

fn port(port: u16) -> PortRange {
    PortRange { first: port, last: port }
}

fn any_v4() -> Selector {
    Selector::ANY_V4
}

fn rules(selectors: Vec<Selector>) -> Vec<Rule> {
    selectors.into_iter().map(|selector| Rule { action: Action::Deny, selector }).collect()
}

fn udp(src: &str, dst: &str, sport: u16, dport: u16) -> FlowKey {
    let src = format!("{src}:{sport}").parse().unwrap();
    let dst = format!("{dst}:{dport}").parse().unwrap();
    FlowKey::parse(&udp_packet(&Datagram { src, dst, payload: b"data".to_vec() }, 1, false)).unwrap()
}

fn linear(rules: &[Rule], key: &FlowKey) -> Option<u32> {
    rules.iter().position(|rule| matches(&rule.selector, key)).map(|index| index as u32)
}

#[test]
fn the_first_matching_rule_wins_and_nothing_matches_an_empty_list() {
    let tcp = Selector { protocol: Some(6), ..any_v4() };
    let site = Selector { src: range("10.1.0.0", "10.1.255.255"), ..any_v4() };
    let control = Selector { protocol: Some(17), src_ports: port(848), dst_ports: port(848), ..any_v4() };
    let list = Classifier::compile(&rules(vec![tcp, control, site, any_v4()]));
    assert_eq!(list.lookup(&udp("10.1.2.3", "10.2.2.3", 848, 848)), Some(1));
    assert_eq!(list.lookup(&udp("10.1.2.3", "10.2.2.3", 848, 849)), Some(2));
    assert_eq!(list.lookup(&udp("10.0.255.255", "10.2.2.3", 848, 849)), Some(3));
    assert_eq!(list.lookup(&udp("10.2.0.0", "10.2.2.3", 1, 2)), Some(3));
    let list = Classifier::compile(&rules(vec![site]));
    assert_eq!(list.lookup(&udp("10.1.255.255", "10.2.2.3", 1, 2)), Some(0));
    assert_eq!(list.lookup(&udp("10.2.0.0", "10.2.2.3", 1, 2)), None);
    assert_eq!(Classifier::compile(&[]).lookup(&udp("10.1.2.3", "10.2.2.3", 1, 2)), None);
}

#[test]
fn the_ends_of_every_field_are_inside() {
    let edge = Selector {
        protocol: Some(17),
        src: range("255.255.255.255", "255.255.255.255"),
        src_ports: port(65535),
        dst: range("0.0.0.0", "0.0.0.0"),
        dst_ports: PortRange { first: 0, last: 0 },
    };
    let list = Classifier::compile(&rules(vec![edge]));
    assert_eq!(list.lookup(&udp("255.255.255.255", "0.0.0.0", 65535, 0)), Some(0));
    assert_eq!(list.lookup(&udp("255.255.255.254", "0.0.0.0", 65535, 0)), None);
    assert_eq!(list.lookup(&udp("255.255.255.255", "0.0.0.1", 65535, 0)), None);
    assert_eq!(list.lookup(&udp("255.255.255.255", "0.0.0.0", 65534, 0)), None);
    assert_eq!(list.lookup(&udp("255.255.255.255", "0.0.0.0", 65535, 1)), None);
}

#[test]
fn ipv4_and_ipv6_rules_do_not_meet() {
    let v6 = range("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    let six = Selector { src: v6, dst: v6, ..any_v4() };
    let mixed = Selector { dst: v6, ..any_v4() };
    let inverted = Selector { src: range("10.0.0.9", "10.0.0.1"), ..any_v4() };
    let list = Classifier::compile(&rules(vec![mixed, inverted, six, any_v4()]));
    assert_eq!(list.lookup(&udp("10.0.0.5", "10.0.0.1", 1, 2)), Some(3));
    assert_eq!(list.lookup(&udp("[2001:db8::1]", "[::ffff:10.0.0.1]", 1, 2)), Some(2));
}

#[test]
fn a_later_piece_matches_rules_for_any_port_only() {
    let (src, dst) = ("10.0.0.1:1000".parse().unwrap(), "10.0.0.2:53".parse().unwrap());
    let packet = udp_packet(&Datagram { src, dst, payload: vec![0; 2000] }, 7, false);
    let pieces = fragment_ipv4(&packet, 1000);
    let dns = Selector { protocol: Some(17), dst_ports: port(53), ..any_v4() };
    let all_udp = Selector { protocol: Some(17), ..any_v4() };
    let list = Classifier::compile(&rules(vec![dns, all_udp]));
    let first = FlowKey::parse(&pieces[0]).unwrap();
    assert_eq!((first.has_ports, first.fragment, first.dst_port), (true, false, 53));
    assert_eq!(list.lookup(&first), Some(0));
    for piece in &pieces[1..] {
        let key = FlowKey::parse(piece).unwrap();
        assert_eq!((key.has_ports, key.fragment, key.dst_port), (false, true, 0));
        assert_eq!(list.lookup(&key), Some(1));
    }
}

#[test]
fn protocols_without_ports_and_headers_that_are_cut_show_none() {
    let build = |protocol, payload: &[u8]| {
        FlowKey::parse(&Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), protocol).packet(payload)).unwrap()
    };
    assert!(!build(50, &[1; 40]).has_ports);
    assert!(!build(6, &[1; 3]).has_ports);
    assert!(build(6, &[1; 4]).has_ports);
    let ping = build(1, &[8, 3, 0, 0]);
    assert_eq!((ping.has_ports, ping.src_port, ping.dst_port), (true, 0, 0x0803));
    assert_eq!(ping.mirrored().dst_port, 0x0803);
    assert!(!build(1, &[8]).has_ports);
    let v6 = Ipv6Header::new("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap(), 60);
    let options = FlowKey::parse(&v6.packet(&[17, 0, 1, 4, 0, 0, 0, 0, 0, 53, 0, 54, 0, 8, 0, 0])).unwrap();
    assert_eq!((options.protocol, options.src_port, options.dst_port), (17, 53, 54));
    let behind = [60, 0, 0, 1, 0, 0, 0, 9, 17, 0, 1, 4, 0, 0, 0, 0, 0, 53, 0, 54, 0, 8, 0, 0];
    let first = Ipv6Header { next_header: 44, ..v6 }.packet(&behind);
    let first = FlowKey::parse(&first).unwrap();
    assert_eq!((first.protocol, first.src_port, first.dst_port), (17, 53, 54));
    let cut = Ipv6Header { next_header: 44, ..v6 }.packet(&behind[..8]);
    assert_eq!(FlowKey::parse(&cut), Err(crate::reason::Reason::Malformed), "the first piece must hold all headers");
}

#[test]
fn an_icmp_type_selects_all_its_codes() {
    let echo = Selector::ANY_V4.protocol(1).dst_ports(0x0800, 0x08ff);
    let list = Classifier::compile(&rules(vec![echo]));
    let ping = |kind, code| {
        let packet = Ipv4Header::new([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 1).packet(&[kind, code, 0, 0]);
        list.lookup(&FlowKey::parse(&packet).unwrap())
    };
    assert_eq!([ping(8, 0), ping(8, 255), ping(7, 255), ping(9, 0)], [Some(0), Some(0), None, None]);
}

#[test]
fn the_mirrored_key_is_the_answer() {
    let key = udp("10.0.0.1", "10.0.0.2", 1000, 53);
    assert_eq!(key.mirrored(), udp("10.0.0.2", "10.0.0.1", 53, 1000));
    assert_eq!(key.src_addr(), "10.0.0.1".parse::<IpAddr>().unwrap());
    assert_eq!(udp("[::1]", "[::2]", 1, 2).dst_addr(), "::2".parse::<IpAddr>().unwrap());
}

#[test]
fn lists_longer_than_a_block_keep_their_order_and_their_memory_grows_with_their_length() {
    let mut rng = Rng::from_u64(5);
    let many: Vec<Selector> = (0..4 * BLOCK)
        .map(|_| {
            let first = rng.next_u32();
            let last = first.saturating_add(rng.next_u32() >> 6);
            let src = AddressRange { first: addr(first.into(), true), last: addr(last.into(), true) };
            Selector { src, dst_ports: port(rng.next_u32() as u16 & 15), ..any_v4() }
        })
        .collect();
    let rules = rules(many);
    let list = Classifier::compile(&rules);
    let mut last_block = 0;
    for _ in 0..2000 {
        let key = FlowKey {
            src: rng.next_u32().into(),
            dst_port: rng.next_u32() as u16 & 15,
            ..udp("10.0.0.1", "10.0.0.2", 1, 2)
        };
        let found = list.lookup(&key);
        assert_eq!(found, linear(&rules, &key));
        last_block += u32::from(found.is_some_and(|index| index as usize >= BLOCK));
    }
    assert!(last_block > 10, "{last_block} matches behind the first block");
    let one = Classifier::compile(&rules[..BLOCK]);
    assert!(list.octets() < 5 * one.octets(), "{} octets for one block, {} for four", one.octets(), list.octets());
    assert!(one.octets() < 2 << 20, "{} octets", one.octets());
}

fn some_range(v6: bool) -> impl Strategy<Value = AddressRange> {
    // Few distinct values near each other, so that ranges touch and overlap.
    (0u8..12, 0u8..12, prop::bool::weighted(0.2)).prop_map(move |(a, b, any)| {
        let (a, b) = if any { (0, u8::MAX) } else { (a.min(b), a.max(b)) };
        let at = |n: u8| match (v6, n) {
            (false, u8::MAX) => addr(u32::MAX.into(), true),
            (false, n) => addr(u128::from(u32::from(n) << 28 | u32::from(n)), true),
            (true, u8::MAX) => addr(u128::MAX, false),
            (true, n) => addr(u128::from(n) << 124 | u128::from(n), false),
        };
        AddressRange { first: at(a), last: at(b) }
    })
}

fn some_ports() -> impl Strategy<Value = PortRange> {
    prop_oneof![
        Just(ANY_PORT),
        (0u16..6, 0u16..6).prop_map(|(a, b)| PortRange { first: a, last: b }),
        (0u16..6).prop_map(|first| PortRange { first, last: u16::MAX }),
    ]
}

fn some_selector() -> impl Strategy<Value = Selector> {
    any::<bool>().prop_flat_map(|v6| {
        let protocol = prop_oneof![Just(None), Just(Some(6)), Just(Some(17)), Just(Some(1)), Just(Some(50))];
        (protocol, some_range(v6), some_ports(), some_range(v6), some_ports()).prop_map(
            |(protocol, src, src_ports, dst, dst_ports)| Selector { protocol, src, src_ports, dst, dst_ports },
        )
    })
}

fn some_key() -> impl Strategy<Value = FlowKey> {
    let protocol = prop_oneof![Just(6u8), Just(17), Just(1), Just(50), Just(255)];
    (any::<bool>(), 0u8..12, -1i8..2, 0u8..12, protocol, 0u16..7, 0u16..7, any::<bool>()).prop_map(
        |(version4, src, off, dst, protocol, src_port, dst_port, has_ports)| {
            let at = |n: u8, off: i8| match version4 {
                true => u128::from((u32::from(n) << 28 | u32::from(n)).wrapping_add_signed(off.into())),
                false => (u128::from(n) << 124 | u128::from(n)).wrapping_add_signed(off.into()),
            };
            FlowKey {
                src: at(src, off),
                dst: at(dst, 0),
                src_port: if has_ports { src_port } else { 0 },
                dst_port: if has_ports { dst_port } else { 0 },
                protocol,
                version4,
                has_ports,
                fragment: !has_ports,
            }
        },
    )
}

proptest! {
    #[test]
    fn the_compiled_list_agrees_with_a_walk_through_the_rules(
        selectors in prop::collection::vec(some_selector(), 0..140),
        keys in prop::collection::vec(some_key(), 1..40),
    ) {
        let rules = rules(selectors);
        let list = Classifier::compile(&rules);
        for key in &keys {
            let expected = linear(&rules, key);
            prop_assert_eq!(list.lookup(key), expected);
        }
    }

    #[test]
    fn no_octets_make_the_key_panic(octets in prop::collection::vec(any::<u8>(), 0..120), version in 0u8..2) {
        let mut octets = octets;
        if let Some(first) = octets.first_mut() {
            *first = if version == 0 { 0x45 } else { 0x60 } | (*first & 0x0f);
        }
        let _ = FlowKey::parse(&octets);
    }
}
