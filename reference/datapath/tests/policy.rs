//! What is protected, what passes, what is dropped: rules, directions, fail modes, and SAs over time.

mod common;

use common::{Member, at, ip, policy, sa, seconds, udp, udp_ports};
use hallmark_core::{Duration, Instant};
use hallmark_datapath::config::Ttl;
use hallmark_datapath::{
    AddressRange, Config, Direction, EventKind, FailMode, Fate, Policy, Reason, Rule, Sa, SaDirection, Selector, Side,
    State,
};

const CLEAR: Fate = Fate::Out(Side::Wan);
const DELIVERED: Fate = Fate::Out(Side::Lan);

fn keep() -> Config {
    Config { ttl: Ttl::Keep, event_interval: Duration::ZERO, ..Config::default() }
}

fn prefix(text: &str, len: u8) -> AddressRange {
    AddressRange::prefix(ip(text), len)
}

/// Between two sites: everything but ICMP and SSH is protected.
fn sites() -> Policy {
    let everything = Selector::between(prefix("10.0.0.0", 8), prefix("10.0.0.0", 8));
    Policy {
        rules: vec![
            Rule::deny(everything.protocol(1)),
            Rule::deny(everything.protocol(6).dst_ports(22, 22)),
            Rule::deny(everything.protocol(17).dst_ports(53, 53)),
            Rule::permit(1, everything),
        ],
        ..policy(vec![sa(0x1000, "aes128-gcm16")])
    }
}

fn is_esp(packet: &[u8]) -> bool {
    packet[9] == 50
}

#[test]
fn the_first_rule_that_matches_decides() {
    let mut member = Member::with(keep(), &sites());
    assert!(is_esp(&member.send(at(1), &udp("10.1.0.1", "10.2.0.1", 20))));
    let dns = udp_ports("10.1.0.1", "10.2.0.1", 4_000, 53, 20);
    assert_eq!(member.send(at(1), &dns), dns, "a deny leaves the packet as it is");
    let outside = udp("10.1.0.1", "192.0.2.1", 20);
    assert_eq!(member.send(at(1), &outside), outside, "what no rule matches stays in clear");
    let status = member.data.status(at(1));
    let counts: Vec<u64> = status.rules.iter().map(|rule| rule.out.packets).collect();
    assert_eq!(counts, [0, 0, 1, 1]);
    assert_eq!(status.rules[2].text, "deny udp 10.0.0.0-10.255.255.255 10.0.0.0-10.255.255.255 eq 53");
}

#[test]
fn clear_packets_are_refused_where_their_answers_are_protected() {
    let mut member = Member::with(keep(), &sites());
    let clear = udp("10.2.0.1", "10.1.0.1", 20);
    assert_eq!(member.fate(at(1), Side::Wan, &clear), Fate::Dropped(Reason::ClearRefused));
    assert!(matches!(member.events()[0].kind, EventKind::NotIpsec { protocol: 17, .. }));
    // The answer of a name server: its own mirror is denied.
    let answer = udp_ports("10.2.0.1", "10.1.0.1", 53, 4_000, 20);
    assert_eq!(member.one(at(1), Side::Wan, &answer), (DELIVERED, answer));
    let outside = udp("192.0.2.1", "10.1.0.1", 20);
    assert_eq!(member.one(at(1), Side::Wan, &outside), (DELIVERED, outside));
}

/// Makes a packet the second piece of a datagram: an offset, and no ports.
fn later_piece(mut packet: Vec<u8>) -> Vec<u8> {
    packet[6..8].copy_from_slice(&100_u16.to_be_bytes());
    packet[10..12].copy_from_slice(&[0, 0]);
    let sum = hallmark_wire::ip::checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

#[test]
fn a_deny_with_ports_does_not_open_the_way_for_pieces_of_what_a_permit_with_ports_protects() {
    let between = Selector::between(prefix("10.0.0.0", 8), prefix("10.0.0.0", 8)).protocol(17);
    let rules = vec![Rule::deny(between.dst_ports(53, 53)), Rule::permit(1, between.dst_ports(5_000, 5_000))];
    let mut member = Member::with(keep(), &Policy { rules, ..sites() });
    let packet = udp_ports("10.1.0.1", "10.2.0.1", 4_000, 5_000, 40);
    assert!(is_esp(&member.send(at(1), &packet)));
    let piece = later_piece(packet);
    assert_eq!(member.fate(at(1), Side::Lan, &piece), Fate::Dropped(Reason::FragmentPorts));
    let other = later_piece(udp("10.1.0.1", "192.0.2.1", 40));
    assert_eq!(member.send(at(1), &other), other, "pieces to hosts that no permit names stay in clear");
}

#[test]
fn multicast_rules_are_not_turned_around_for_what_comes_in() {
    let groups = Selector::between(prefix("10.0.0.0", 8), prefix("239.192.0.0", 16));
    let policy = Policy { rules: vec![Rule::permit(1, groups)], ..sites() };
    let mut member = Member::with(keep(), &policy);
    let packet = udp("10.1.0.1", "239.192.1.7", 20);
    let esp = member.send(at(1), &packet);
    assert_eq!(&esp[12..20], &packet[12..20], "source and group are preserved");
    assert_eq!(Member::with(keep(), &policy).receive(at(1), &esp), packet);
    assert_eq!(member.fate(at(1), Side::Wan, &packet), Fate::Dropped(Reason::ClearRefused));
}

#[test]
fn an_opened_packet_has_to_be_in_the_policy_of_its_sa() {
    let wide = policy(vec![sa(0x1000, "aes128-gcm16")]);
    let mut sender = Member::with(keep(), &wide);
    let icmp_class = udp_ports("10.1.0.1", "10.2.0.1", 4_000, 53, 20);
    let outside = udp("10.1.0.1", "192.0.2.1", 20);
    let mut member = Member::with(keep(), &sites());
    for inner in [icmp_class, outside] {
        let esp = sender.send(at(1), &inner);
        assert_eq!(member.fate(at(1), Side::Wan, &esp), Fate::Dropped(Reason::SelectorMismatch));
    }
    assert!(matches!(member.events()[0].kind, EventKind::SelectorMismatch { spi: 0x1000, .. }));
    // A second policy number is another SA's traffic.
    let other = Sa { policy: 2, ..sa(0x1000, "aes128-gcm16") };
    let everything = Selector::between(prefix("10.0.0.0", 8), prefix("10.0.0.0", 8));
    let rules = vec![Rule::permit(1, everything.protocol(6)), Rule::permit(2, everything)];
    let mut member = Member::with(keep(), &Policy { rules, ..policy(vec![other]) });
    let esp = sender.send(at(1), &udp("10.1.0.1", "10.2.0.1", 20));
    member.receive(at(1), &esp);
}

#[test]
fn unknown_spis_are_dropped_in_the_permit_class_and_pass_elsewhere() {
    let foreign = policy(vec![sa(0x9999, "aes128-gcm16")]);
    let mut other = Member::with(keep(), &foreign);
    let esp = other.send(at(1), &udp("10.2.0.1", "10.1.0.1", 20));
    let mut member = Member::with(keep(), &sites());
    assert_eq!(member.fate(at(1), Side::Wan, &esp), Fate::Dropped(Reason::NoSa));
    assert_eq!(
        member.events()[0].kind,
        EventKind::InvalidSpi { spi: 0x9999, src: ip("10.2.0.1"), dst: ip("10.1.0.1") }
    );
    let transit = other.send(at(1), &udp("192.0.2.1", "10.1.0.1", 20));
    assert_eq!(member.one(at(1), Side::Wan, &transit), (DELIVERED, transit), "not an octet is changed");
    let mut rules = sites().rules;
    rules.insert(0, Rule::deny(Selector::ANY_V4.protocol(50)));
    let mut member = Member::with(keep(), &Policy { rules, ..sites() });
    assert_eq!(member.one(at(1), Side::Wan, &esp), (DELIVERED, esp));
}

#[test]
fn recovery_is_asked_for_once_in_an_interval_and_for_own_spis_only() {
    let config =
        Config { recovery_interval: Some(seconds(100)), recovery_spis: Some((0xffff_0000, 0x0001_0000)), ..keep() };
    let mut member = Member::with(config, &sites());
    let mut asked = 0;
    for n in 0..250u64 {
        for spi in [0x0001_0000 + n as u32, 0x0002_0000 + n as u32] {
            let mut esp = Member::with(keep(), &policy(vec![sa(7, "aes128-gcm16")]))
                .send(at(1), &udp("10.2.0.1", "10.1.0.1", 20));
            esp[20..24].copy_from_slice(&spi.to_be_bytes());
            assert_eq!(member.fate(at(n), Side::Wan, &esp), Fate::Dropped(Reason::NoSa));
        }
        asked += member.events().iter().filter(|e| matches!(e.kind, EventKind::Recovery { .. })).count();
    }
    assert_eq!(asked, 3);
}

#[test]
fn directions_of_the_policy_and_of_the_member() {
    let inner = udp("10.1.0.1", "10.2.0.1", 20);
    let clear_in = udp("10.2.0.1", "10.1.0.1", 20);
    let esp_in = Member::with(keep(), &sites()).send(at(1), &clear_in);
    let receive_only = Policy { direction: Direction::ReceiveOnly, ..sites() };
    let passive = Config { passive: true, ..keep() };
    for (config, policy, sends_esp, accepts_clear) in [
        (keep(), sites(), true, false),
        (keep(), receive_only.clone(), false, true),
        (passive.clone(), sites(), true, true),
        (passive, receive_only, true, true),
    ] {
        let mut member = Member::with(config, &policy);
        assert_eq!(is_esp(&member.send(at(1), &inner)), sends_esp);
        let fate = if accepts_clear { DELIVERED } else { Fate::Dropped(Reason::ClearRefused) };
        assert_eq!(member.fate(at(1), Side::Wan, &clear_in), fate);
        member.receive(at(1), &esp_in);
    }
}

#[test]
fn before_registration_the_fail_mode_decides() {
    let ssh = udp_ports("10.1.0.1", "10.2.0.1", 4_000, 22, 20);
    let bgp = udp_ports("10.1.0.1", "10.2.0.1", 4_000, 179, 20);
    let other = udp("10.1.0.1", "10.2.0.1", 20);
    let any = Selector::ANY_V4.protocol(17);
    let close = Config {
        fail: FailMode::Close,
        fail_close_exceptions: vec![Rule::deny(any.dst_ports(22, 22))],
        local_deny: vec![Rule::deny(any.dst_ports(179, 179))],
        address: Some(ip("192.0.2.1")),
        ..keep()
    };
    let closed = Fate::Dropped(Reason::FailClose);
    let mut open = Member::new(keep());
    for packet in [&ssh, &bgp, &other] {
        assert_eq!(open.one(at(1), Side::Lan, packet), (CLEAR, packet.clone()));
        assert_eq!(open.one(at(1), Side::Wan, packet), (DELIVERED, packet.clone()));
    }
    let mut member = Member::new(close);
    assert_eq!(member.fate(at(1), Side::Lan, &ssh), CLEAR);
    // A local deny alone is not enough: it has to be an exception as well.
    assert_eq!(member.fate(at(1), Side::Lan, &bgp), closed);
    assert_eq!(member.fate(at(1), Side::Lan, &other), closed);
    assert_eq!(member.fate(at(1), Side::Wan, &other), closed);
    assert_eq!(member.fate(at(1), Side::Wan, &udp_ports("10.2.0.1", "10.1.0.1", 22, 4_000, 20)), DELIVERED);
    let control = udp_ports("192.0.2.9", "192.0.2.1", 848, 848, 20);
    assert_eq!(member.fate(at(1), Side::Wan, &control), DELIVERED);
    assert!(member.data.status(at(1)).closed);
    // After registration the exceptions are gone and the policy rules.
    member.data.apply(at(2), &sites());
    let ssh_class = udp_ports("10.1.0.1", "10.2.0.1", 4_000, 22, 20);
    assert!(is_esp(&member.send(at(2), &ssh_class)));
    assert_eq!(member.send(at(2), &bgp), bgp, "the local deny stays");
    assert!(!member.data.status(at(2)).closed);
}

#[test]
fn expired_keys_never_mean_clear_text() {
    let inner = udp("10.1.0.1", "10.2.0.1", 20);
    let denied = udp_ports("10.1.0.1", "10.2.0.1", 4_000, 53, 20);
    let esp = Member::with(keep(), &sites()).send(at(1), &udp("10.2.0.1", "10.1.0.1", 20));
    for fail in [FailMode::Open, FailMode::Close] {
        let mut member = Member::with(Config { fail, ..keep() }, &sites());
        assert!(is_esp(&member.send(at(3_599), &inner)));
        member.receive(at(3_599), &esp);
        member.events();
        assert_eq!(member.fate(at(3_600), Side::Lan, &inner), Fate::Dropped(Reason::NoUsableSa));
        assert_eq!(member.fate(at(3_600), Side::Wan, &esp), Fate::Dropped(Reason::Expired));
        assert_eq!(member.send(at(3_600), &denied), denied);
        let kinds: Vec<&str> = member.events().iter().map(|event| event.kind.mnemonic()).collect();
        assert_eq!(kinds, ["NO_USABLE_SA", "RECVD_PKT_INV_SPI"]);
        // Nor does a policy without keys.
        member.data.apply(at(3_700), &Policy { sas: Vec::new(), ..sites() });
        assert_eq!(member.fate(at(3_700), Side::Lan, &inner), Fate::Dropped(Reason::NoUsableSa));
    }
    let revert = Config { fail: FailMode::Close, fail_close_revert: true, ..keep() };
    let mut member = Member::with(revert, &sites());
    assert_eq!(member.send(at(1), &denied), denied);
    assert_eq!(member.fate(at(3_600), Side::Lan, &denied), Fate::Dropped(Reason::FailClose));
}

#[test]
fn own_key_management_is_exempt_unless_that_is_switched_off() {
    let own = ip("10.1.0.254");
    let everything = policy(vec![sa(0x1000, "aes128-gcm16")]);
    let control = udp_ports("10.1.0.254", "10.9.0.1", 848, 848, 100);
    let answer = udp_ports("10.9.0.1", "10.1.0.254", 4_500, 4_500, 100);
    let mut member = Member::with(Config { address: Some(own), ..keep() }, &everything);
    assert_eq!(member.send(at(1), &control), control);
    assert_eq!(member.one(at(1), Side::Wan, &answer), (DELIVERED, answer.clone()));
    assert!(is_esp(&member.send(at(1), &udp_ports("10.1.0.1", "10.9.0.1", 848, 848, 100))), "a host's is not ours");
    let config = Config { address: Some(own), bypass_own_control: false, ..keep() };
    let mut member = Member::with(config, &everything);
    assert!(is_esp(&member.send(at(1), &control)));
    assert_eq!(member.fate(at(1), Side::Wan, &answer), Fate::Dropped(Reason::ClearRefused));
}

#[test]
fn a_local_permit_drops() {
    let local = vec![Rule::permit(1, Selector::ANY_V4.protocol(17))];
    let mut member = Member::with(Config { local_deny: local, ..keep() }, &sites());
    let fate = member.fate(at(1), Side::Lan, &udp("10.1.0.1", "10.2.0.1", 20));
    assert_eq!(fate, Fate::Dropped(Reason::LocalPermit));
}

#[test]
fn rollover_sends_on_the_newest_active_sa_and_receives_on_all() {
    let inner = udp("10.1.0.1", "10.2.0.1", 20);
    let generation = |serial: u64, activates: u64, ends: u64| Sa {
        serial,
        activates: Instant::from_secs(activates),
        ends: Instant::from_secs(ends),
        ..sa(0x1000 * serial as u32, "aes128-gcm16")
    };
    let three = vec![generation(1, 0, 100), generation(2, 60, 200), generation(3, 80, 300)];
    let spi_at = |member: &mut Member, when: u64| match member.one(at(when), Side::Lan, &inner) {
        (Fate::Out(Side::Wan), esp) => u32::from_be_bytes(esp[20..24].try_into().expect("an SPI")),
        (fate, _) => panic!("{fate:?} at {when}"),
    };
    let mut member = Member::with(keep(), &policy(three.clone()));
    for (when, spi) in [(0, 0x1000), (59, 0x1000), (60, 0x2000), (79, 0x2000), (80, 0x3000), (299, 0x3000)] {
        assert_eq!(spi_at(&mut member, when), spi, "at {when}");
    }
    assert_eq!(member.fate(at(300), Side::Lan, &inner), Fate::Dropped(Reason::NoUsableSa));
    // What others sent, on whichever SA, at whatever time.
    for (index, (serial, ends)) in [(1, 100), (2, 200), (3, 300)].into_iter().enumerate() {
        let esp = Member::with(keep(), &policy(vec![Sa { activates: Instant::ZERO, ..three[index].clone() }]))
            .send(at(1), &inner);
        let mut member = Member::with(keep(), &policy(three.clone()));
        member.receive(at(1), &esp);
        member.receive(at(ends - 1), &esp);
        assert_eq!(member.fate(at(ends), Side::Wan, &esp), Fate::Dropped(Reason::Expired), "SA {serial}");
    }
}

#[test]
fn one_way_sas_do_one_thing_only() {
    let inner = udp("10.1.0.1", "10.2.0.1", 20);
    let one_way = |direction| policy(vec![Sa { direction, ..sa(0x1000, "aes128-gcm16") }]);
    let mut sender = Member::with(keep(), &one_way(SaDirection::SendOnly));
    let esp = sender.send(at(1), &inner);
    assert_eq!(sender.fate(at(1), Side::Wan, &esp), Fate::Dropped(Reason::WrongDirection));
    let mut receiver = Member::with(keep(), &one_way(SaDirection::ReceiveOnly));
    receiver.receive(at(1), &esp);
    assert_eq!(receiver.fate(at(1), Side::Lan, &inner), Fate::Dropped(Reason::NoUsableSa));
}

#[test]
fn the_most_specific_of_sas_with_one_spi_opens() {
    use hallmark_datapath::Scope;
    let with = |scope, seed: u32| {
        let keys = sa(seed, "aes128-gcm16");
        Sa { spi: 0x1000, scope, ..keys }
    };
    let (src, dst) = (ip("10.1.0.1"), ip("10.2.0.1"));
    let scopes = [Scope::Spi, Scope::Destination(dst), Scope::SourceDestination(src, dst)];
    let list: Vec<Sa> = scopes.into_iter().zip(1..).map(|(scope, seed)| with(scope, seed)).collect();
    let mut member = Member::with(keep(), &policy(list.clone()));
    for (inner, opens) in [
        (udp("10.1.0.1", "10.2.0.1", 20), 2),
        (udp("10.1.0.2", "10.2.0.1", 20), 1),
        (udp("10.1.0.1", "10.2.0.2", 20), 0),
    ] {
        for (index, sa) in list.iter().enumerate() {
            let esp = Member::with(keep(), &policy(vec![sa.clone()])).send(at(1), &inner);
            let expected = if index == opens { DELIVERED } else { Fate::Dropped(Reason::BadIcv) };
            assert_eq!(member.fate(at(1), Side::Wan, &esp), expected, "SA {index}");
        }
    }
}

#[test]
fn unusable_sas_are_refused_with_a_reason() {
    use hallmark_datapath::{Replay, Secret};
    let weak = Sa { encryption_key: Secret::new(vec![7; 24]), ..sa(0x1001, "3des+hmac-sha1") };
    let short = Sa { encryption_key: Secret::new(vec![7; 19]), ..sa(0x1002, "aes128-gcm16") };
    let bare = Sa { transform: "aes128-cbc".parse().expect("known"), ..sa(0x1003, "aes128-cbc+hmac-sha1") };
    let bare = Sa { integrity_key: Secret::default(), ..bare };
    let zero = sa(0, "aes128-gcm16");
    let policy = Policy { replay: Replay::Counter { window: 64 }, ..policy(vec![weak, short, bare, zero]) };
    let mut member = Member::with(keep(), &policy);
    let refused: Vec<(u32, &str)> = member
        .events()
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::SaRefused { spi, why } => Some((spi, why)),
            _ => None,
        })
        .collect();
    assert_eq!(
        refused,
        [
            (0x1001, "esp.weak-key"),
            (0x1002, "esp.key-length"),
            (0x1003, "sequence numbers cannot be checked without integrity"),
            (0, "SPI 0 is never used"),
        ]
    );
    assert_eq!(member.fate(at(1), Side::Lan, &udp("10.1.0.1", "10.2.0.1", 20)), Fate::Dropped(Reason::NoUsableSa));
    assert_eq!(Policy::default().state, State::Unregistered);
}

#[test]
fn no_sa_has_ends_of_two_ip_versions() {
    use hallmark_datapath::{Behaviour, Defect, Mode, Preservation};
    let both = policy(Vec::new()).rules;
    let (v4, v6) = (&both[..1], &both[1..]);
    let half = [Rule::permit(1, Selector::between(AddressRange::ANY_V4, AddressRange::ANY_V6))];
    let (own4, own6) = (ip("192.0.2.1"), ip("2001:db8::1"));
    let preserving = Some("addresses cannot be preserved between IP versions");
    let tunnel = Some("tunnels between IP versions are not made");
    let with = |preservation, endpoint| Sa { preservation, endpoint, ..sa(0x1000, "aes128-gcm16") };
    let transport = Sa { mode: Mode::Transport, ..with(Preservation::None, Some(own6)) };
    for (rules, own, sa, expected) in [
        // Both addresses are repeated: each packet has the outer version that it has itself.
        (&both[..], own4, with(Preservation::Both, None), None),
        (&both[..], own4, with(Preservation::Both, Some(own4)), None),
        (v4, own4, with(Preservation::Destination, None), None),
        (v6, own4, with(Preservation::Destination, None), preserving),
        (&both[..], own4, with(Preservation::Destination, None), preserving),
        (v6, own6, with(Preservation::Destination, None), None),
        (v4, own6, with(Preservation::Source, Some(own4)), None),
        (v4, own4, with(Preservation::Source, Some(own6)), preserving),
        (v6, own4, with(Preservation::None, Some(own6)), tunnel),
        (v6, own6, with(Preservation::None, Some(own4)), tunnel),
        (v4, own4, transport, None),
        (&half, own4, with(Preservation::Both, None), Some("its selectors mix IP versions")),
    ] {
        let policy = Policy { rules: rules.to_vec(), ..policy(vec![sa.clone()]) };
        let defect = Behaviour::conforming().with_defect(Defect::MixedVersionsAccepted);
        for (behaviour, expected) in [(Behaviour::conforming(), expected), (defect, None)] {
            let mut member = Member::with(Config { address: Some(own), behaviour, ..keep() }, &policy);
            let refused = member.events().into_iter().find_map(|event| match event.kind {
                EventKind::SaRefused { spi: 0x1000, why } => Some(why),
                _ => None,
            });
            assert_eq!(refused, expected, "{:?} with {own}", sa.preservation);
            let installed = member.data.status(at(1)).sas.len();
            assert_eq!(installed, usize::from(expected.is_none()));
        }
    }
    // What such an SA was for is dropped, not sent in clear or with the inner address outside.
    let policy = Policy { rules: v6.to_vec(), ..policy(vec![with(Preservation::Destination, None)]) };
    let mut member = Member::with(Config { address: Some(own4), ..keep() }, &policy);
    let inner = udp("2001:db8:1::1", "2001:db8:2::1", 20);
    assert_eq!(member.fate(at(1), Side::Lan, &inner), Fate::Dropped(Reason::NoUsableSa));
}

#[test]
fn nothing_is_sent_under_an_sa_whose_outer_addresses_are_not_known() {
    use hallmark_datapath::{Behaviour, Defect, Preservation};
    let inner = udp("10.1.0.1", "10.2.0.1", 20);
    let (own, far) = (Some(ip("192.0.2.1")), Some(ip("192.0.2.2")));
    for (preservation, address, endpoint, sends) in [
        (Preservation::None, own, far, true),
        (Preservation::None, own, None, false),
        (Preservation::None, None, far, false),
        (Preservation::Source, None, far, true),
        (Preservation::Source, own, None, false),
        (Preservation::Destination, own, None, true),
        (Preservation::Destination, None, far, false),
        (Preservation::Both, None, None, true),
    ] {
        let sa = Sa { preservation, endpoint, ..sa(0x1000, "aes128-gcm16") };
        let policy = Policy { rules: vec![Rule::permit(1, Selector::ANY_V4)], ..policy(vec![sa]) };
        let member = |behaviour: Behaviour| Member::with(Config { address, behaviour, ..keep() }, &policy);
        let mut right = member(Behaviour::conforming());
        let expected = if sends { CLEAR } else { Fate::Dropped(Reason::NoUsableSa) };
        assert_eq!(right.fate(at(1), Side::Lan, &inner), expected, "{preservation:?} {address:?} {endpoint:?}");
        let told = right.events().iter().any(|event| matches!(event.kind, EventKind::SaRefused { spi: 0x1000, .. }));
        assert_eq!(told, !sends);
        // It receives what others send under it all the same.
        let esp = member(Behaviour::conforming().with_defect(Defect::PreservesBothAlways)).send(at(1), &inner);
        assert_eq!(esp[12..20], inner[12..20], "what the policy is to hide");
        assert_eq!(right.receive(at(1), &esp), inner);
    }
}
