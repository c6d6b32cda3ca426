//! Properties of the whole pipeline: whatever is protected comes out again, whatever comes in does no harm.

mod common;

use common::{Member, at, policy, sa, seconds};
use hallmark_core::{Duration, Instant, Rng};
use hallmark_crypto::esp::EspKey;
use hallmark_datapath::config::Ttl;
use hallmark_datapath::{Backend, Behaviour, Config, Df, Ecn, Fate, Policy, Pseudotime, Reason, Replay, Side, Variant};
use hallmark_wire::ip::{Ipv4Header, Ipv6Header, checksum};
use proptest::prelude::*;

const TRANSFORMS: [&str; 12] = [
    "aes128-gcm16",
    "aes256-gcm16",
    "aes192-gcm12",
    "aes128-gcm8",
    "aes128-gmac",
    "aes256-gmac",
    "aes128-cbc+hmac-sha1",
    "aes192-cbc+hmac-sha384",
    "aes256-cbc+hmac-sha512",
    "3des+hmac-md5",
    "null+hmac-sha256",
    "null+hmac-sha1",
];

fn keep() -> Config {
    Config { ttl: Ttl::Keep, wan_mtu: 9_000, lan_mtu: 9_000, event_interval: Duration::ZERO, ..Config::default() }
}

fn replays() -> impl Strategy<Value = Replay> {
    prop_oneof![
        Just(Replay::None),
        (32u16..=1024).prop_map(|window| Replay::Counter { window }),
        (1u64..100).prop_map(|window| Replay::Time {
            window: seconds(window),
            pseudotime: Pseudotime::new(5_000, Instant::ZERO)
        }),
        (1u64..100).prop_map(|window| Replay::D3p { window: seconds(window) }),
    ]
}

fn packets() -> impl Strategy<Value = Vec<u8>> {
    let v4 = (any::<u16>(), 2u8.., any::<u8>(), any::<bool>(), 0usize..=10, any::<[u8; 8]>(), 0usize..1_500).prop_map(
        |(ident, ttl, class, df, options, [a, b, c, d, e, f, g, h], len)| {
            let mut header = Ipv4Header::new([10, a, b, c].into(), [10, d, e, f].into(), g | 1);
            (header.ident, header.ttl, header.traffic_class, header.dont_fragment) = (ident, ttl, class, df);
            header.options = vec![1; options * 4];
            header.packet(&vec![h; len])
        },
    );
    let v6 = (0u32..1 << 20, 2u8.., any::<u8>(), any::<[u8; 4]>(), 0usize..1_500).prop_map(
        |(label, hops, class, [a, b, c, d], len)| {
            let address = |host: u8| std::net::Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(host));
            let mut header = Ipv6Header::new(address(a), address(b), 17);
            (header.flow_label, header.hop_limit, header.traffic_class) = (label, hops, class);
            header.packet(&vec![c ^ d; len])
        },
    );
    prop_oneof![v4, v6]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_protected_comes_out_unchanged(
        inner in packets(),
        transform in 0..TRANSFORMS.len(),
        replay in replays(),
        extended in any::<bool>(),
        decrements in any::<bool>(),
    ) {
        let sa = hallmark_datapath::Sa { extended_sequence: extended, ..sa(0x1000, TRANSFORMS[transform]) };
        let policy = Policy { replay, ..policy(vec![sa]) };
        let ttl = if decrements { Ttl::Decrement } else { Ttl::Keep };
        let config = Config { ttl, ..keep() };
        let mut sender = Member::with(config.clone(), &policy);
        let mut receiver = Member::with(config, &policy);
        let (fate, esp) = sender.one(at(1), Side::Lan, &inner);
        prop_assert_eq!(fate, Fate::Out(Side::Wan));
        let version4 = inner[0] >> 4 == 4;
        let (hops_at, hops) = if version4 { (8, inner[8]) } else { (7, inner[7]) };
        let (fate, out) = receiver.one(at(1), Side::Wan, &esp);
        if decrements && hops <= 2 {
            prop_assert!(matches!(fate, Fate::Dropped(_)));
            return Ok(());
        }
        prop_assert_eq!(fate, Fate::Out(Side::Lan));
        let mut expected = inner.clone();
        if decrements {
            expected[hops_at] -= 2;
            if version4 {
                let header = usize::from(expected[0] & 15) * 4;
                expected[10..12].fill(0);
                let sum = checksum(&expected[..header]).to_be_bytes();
                expected[10..12].copy_from_slice(&sum);
            }
        }
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn one_changed_bit_anywhere_in_esp_is_noticed(inner in packets(), transform in 0..TRANSFORMS.len(), bit in any::<u32>()) {
        let policy = policy(vec![sa(0x1000, TRANSFORMS[transform])]);
        let mut esp = Member::with(keep(), &policy).send(at(1), &inner);
        let header = if inner[0] >> 4 == 4 { 20 } else { 40 };
        let bits = (esp.len() - header) * 8;
        let bit = header * 8 + bit as usize % bits;
        esp[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(matches!(Member::with(keep(), &policy).fate(at(1), Side::Wan, &esp), Fate::Dropped(_)));
    }
}

/// Random octets, random changes of good packets, random bursts: every packet gets a fate, nothing panics, and the
/// member works afterwards.
#[test]
fn random_octets_do_no_harm() {
    let mut rng = Rng::from_u64(20_261_123);
    for transform in TRANSFORMS {
        let policy = policy(vec![sa(0x1000, transform), sa(0x2000, "aes128-gcm16")]);
        let config = Config { reassembly: Default::default(), ..keep() };
        let mut member = Member::with(config, &policy);
        let mut sender = Member::with(keep(), &policy);
        let good = common::udp("10.1.0.1", "10.2.0.1", 200);
        for round in 0..1_500u64 {
            let mut burst = Vec::new();
            for _ in 0..=rng.below(6) {
                let mut octets = match rng.below(4) {
                    0 => {
                        let len = rng.below(200) as usize;
                        rng.vec(len)
                    }
                    1 => good.clone(),
                    _ => sender.send(at(1), &good),
                };
                for _ in 0..rng.below(4) {
                    if !octets.is_empty() {
                        let at = rng.below(octets.len().min(60) as u64) as usize;
                        octets[at] = rng.next_u32() as u8;
                    }
                }
                let len = octets.len() as u64 + 1;
                if rng.chance(0.2) {
                    octets.truncate(rng.below(len) as usize);
                }
                burst.push(octets);
            }
            let from = if rng.chance(0.5) { Side::Lan } else { Side::Wan };
            for (fate, _) in member.burst(at(1 + round / 10), from, &burst) {
                assert_ne!(fate, Fate::Pending);
            }
        }
        member.receive(at(1), &sender.send(at(1), &good));
    }
}

/// A member that traces every packet takes the long way with each, and one with a variant that changes nothing here
/// dresses each on the long way; one that does neither takes the quick way with most.
#[test]
fn the_quick_way_and_the_long_way_lead_to_the_same_place() {
    let mut rng = Rng::from_u64(7);
    let timed = Replay::Time { window: seconds(4), pseudotime: Pseudotime::new(5_000, Instant::ZERO) };
    let plain = || Config { ttl: Ttl::Decrement, wan_mtu: 1_500, lan_mtu: 1_500, ..keep() };
    let other = Config { df: Df::Set, dscp: Some(46), ecn: Ecn::Compatibility, backend: Backend::Ring, ..plain() };
    for (transform, replay, config) in [
        ("aes128-gcm16", timed, plain()),
        ("aes128-gcm16", timed, other.clone()),
        ("aes256-gcm16", Replay::None, Config { df: Df::Clear, ttl: Ttl::Keep, ..other }),
        ("aes256-cbc+hmac-sha256", Replay::None, plain()),
        ("aes128-gmac", timed, plain()),
        ("aes128-gcm12", Replay::Counter { window: 64 }, plain()),
    ] {
        let rules = {
            use hallmark_datapath::{AddressRange, Rule, Selector};
            let net = |text: &str| AddressRange::prefix(common::ip(text), 16);
            vec![
                Rule::deny(Selector::ANY_V4.protocol(17).dst_ports(53, 53)),
                Rule::permit(1, Selector::between(net("10.1.0.0"), net("10.2.0.0"))),
                Rule::permit(1, Selector::ANY_V6.protocol(17)),
            ]
        };
        let policy = Policy { replay, rules, ..policy(vec![sa(0x1000, transform)]) };
        let mut quick = Member::with(config.clone(), &policy);
        let behaviour = Behaviour::conforming().with_variant(Variant::RecoveryNever);
        let mut long = Member::with(Config { behaviour, ..config.clone() }, &policy);
        let mut open = Policy { rules: common::policy(Vec::new()).rules, ..policy.clone() };
        open.serial = 2;
        let mut sender = Member::with(Config { wan_mtu: 9_000, ..config }, &open);
        for round in 0..400u64 {
            let now = at(100 + round / 40);
            long.data.trace_next(hallmark_datapath::TraceFilter::default(), u32::MAX);
            let burst: Vec<Vec<u8>> = (0..=rng.below(20))
                .map(|_| {
                    let host = rng.below(3) + 1;
                    let port = [53, 80, 2_000][rng.below(3) as usize];
                    let (src, dst) = match rng.below(4) {
                        0 => ("10.2.0.1".to_owned(), format!("10.1.0.{host}")),
                        1 => (format!("2001:db8::{host}"), "2001:db8::99".to_owned()),
                        _ => (format!("10.1.0.{host}"), "10.2.0.1".to_owned()),
                    };
                    let len = [20, 100, 1_380, 1_440][rng.below(4) as usize];
                    let mut packet = common::udp_ports(&src, &dst, 1_000, port, len);
                    if rng.chance(0.1) {
                        let at = rng.below(12) as usize;
                        packet[at] = rng.next_u32() as u8;
                    }
                    packet
                })
                .collect();
            let from = if round % 2 == 0 { Side::Lan } else { Side::Wan };
            let burst = match from {
                Side::Lan => burst,
                Side::Wan => {
                    let sent = sender.burst(at(97 + round / 40 + rng.below(9)), Side::Lan, &burst);
                    let mut sent: Vec<Vec<u8>> = sent.into_iter().map(|(_, octets)| octets).collect();
                    for packet in &mut sent {
                        if rng.chance(0.1) && !packet.is_empty() {
                            let at = rng.below(packet.len().min(64) as u64) as usize;
                            packet[at] ^= 1 << rng.below(8);
                        }
                    }
                    sent
                }
            };
            let (a, b) = (quick.burst(now, from, &burst), long.burst(now, from, &burst));
            for ((fate, octets), (other, others)) in a.iter().zip(&b) {
                assert_eq!(fate, other, "round {round}");
                if from == Side::Lan && octets.starts_with(&[0x45]) && octets[9] == 50 {
                    assert_eq!((checksum(&octets[..20]), checksum(&others[..20])), (0, 0));
                }
                // Random vectors differ from member to member.
                if from == Side::Wan || transform.contains("gcm") {
                    assert_eq!(blur(octets), blur(others), "round {round}, {fate:?}");
                }
            }
        }
        let now = at(200);
        let (a, b) = (quick.data.status(now), long.data.status(now));
        assert_eq!((a.totals, a.drops, a.dscp), (b.totals, b.drops, b.dscp));
        assert_eq!((a.sas, a.rules, a.replay), (b.sas, b.rules, b.replay));
        let flows = |mut flows: Vec<hallmark_datapath::status::FlowStatus>| {
            flows.sort_by_key(|flow| (flow.src, flow.dst, flow.dst_port, flow.protocol, flow.decision));
            flows
        };
        assert_eq!(flows(a.flows), flows(b.flows));
        assert!(long.data.take_traces().len() > 500);
    }
}

#[test]
fn padding_other_than_the_default_is_noticed_on_the_quick_way_and_on_the_long_one() {
    for transform in ["aes128-gcm16", "aes128-cbc+hmac-sha1", "aes256-cbc+hmac-sha512", "null+hmac-sha256"] {
        let policy = policy(vec![sa(0x1000, transform)]);
        let sa = &policy.sas[0];
        let key = EspKey::new(sa.transform, sa.encryption_key.expose(), sa.integrity_key.expose(), Backend::Auto);
        let key = key.expect("a key");
        let mut sender = Member::with(keep(), &policy);
        let (mut quick, mut long) = (Member::with(keep(), &policy), Member::with(keep(), &policy));
        let mut lenient = Member::with(Config { check_padding: false, ..keep() }, &policy);
        long.data.trace_next(hallmark_datapath::TraceFilter::default(), u32::MAX);
        let mut most = 0;
        for len in 20..40 {
            let packet = common::udp("10.1.0.1", "10.2.0.1", len);
            let sealed = sender.send(at(1), &packet);
            for member in [&mut quick, &mut long, &mut lenient] {
                assert_eq!(member.receive(at(1), &sealed), packet, "{transform}");
            }
            let mut clear = sealed.clone();
            key.open(&mut clear[20..], None).expect("genuine");
            let end = clear.len() - sa.transform.icv_len() - 2;
            let pad = usize::from(clear[end]);
            most = most.max(pad);
            for octet in end - pad..end {
                let mut other = clear.clone();
                other[octet] ^= 0x40;
                key.seal(&mut other[20..], None).expect("whole blocks");
                for member in [&mut quick, &mut long] {
                    let refused = Fate::Dropped(Reason::BadPadOctets);
                    assert_eq!(member.fate(at(1), Side::Wan, &other), refused, "{transform} with {pad} octets");
                }
                assert_eq!(lenient.receive(at(1), &other), packet, "{transform} with {pad} octets");
            }
        }
        assert_eq!(most, sa.transform.align() - 1, "{transform}");
    }
}

/// Leaves the identification of IPv4 headers and its checksum out: each member draws its own.
fn blur(octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    if octets.len() >= 20 && octets[0] >> 4 == 4 {
        octets[4..6].fill(0);
        octets[10..12].fill(0);
    }
    octets
}
