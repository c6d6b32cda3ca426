//! What a member opens and what it does not: senders, SPIs, addresses, traffic of the policy, packets in clear.

use std::net::{IpAddr, SocketAddr};

use hallmark_probe::data::{Clear, Forge, Part, Tcp};
use hallmark_probe::group::Flow as Entry;
use hallmark_probe::world::Side;
use serde_json::Value;

use super::esp::{CBC, GCM, all_opened, all_protected, both_versions, datagram};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::data::{
    DataScene, LAN_HOST, LAN_HOST6, OTHER_HOST, Rule, WAN_HOST, WAN_HOST6, both_ways, total, with_flows,
};

pub(crate) const CASES: &[Case] = &[
    case! {
        "DP-007", "data.esp", Must, Gm,
        title: "packets of a member never heard of before are opened, whatever hosts they are from and to",
        purpose: "Any member may send to any other without asking: that is what the group key is for.",
        requirements: ["DP-007", "ESP-036"],
        sources: ["RFC 5374 §5.2", "getvpn §9.10"],
        catches: ["dp_known_senders_only", "dp_only_own_address"],
        needs: [Datapath],
        cost: 15,
        run: any_to_any,
    },
    case! {
        "ESPR-001", "data.esp", Must, Gm,
        title: "every packet of a burst is opened",
        purpose: "Packets of many senders come at once; half of them lost is still a working line to a ping.",
        requirements: ["DP-007", "ESP-036"],
        sources: ["RFC 5374 §5.2"],
        catches: ["dp_every_second_lost"],
        needs: [Datapath],
        cost: 20,
        run: burst,
    },
    case! {
        "DP-011", "data.esp", Must, Gm,
        title: "a packet with one bit changed is dropped, wherever the bit is",
        purpose: "An unchecked ICV lets anybody on the way write into the protected network.",
        requirements: ["DP-011", "ESP-030", "ESP-031"],
        sources: ["RFC 4303 §3.4.4"],
        catches: ["dp_mac_not_checked"],
        needs: [Datapath],
        cost: 40,
        run: bad_icv,
    },
    case! {
        "DP-032", "data.esp", Must, Gm,
        title: "packets damaged on the way are counted as authentication errors, one for one",
        purpose: "It is how an operator tells a bad line from a bad key.",
        requirements: ["DP-032", "ESP-031"],
        sources: ["RFC 4303 §3.4.4", "getvpn §9.10"],
        catches: ["dp_mac_error_uncounted"],
        needs: [Datapath, Console],
        cost: 30,
        run: damaged,
    },
    case! {
        "DP-010", "data.esp", Must, Gm,
        title: "packets of the permit class with an unknown SPI are dropped, a hundred of them too",
        purpose: "After a missed rekey they come at full rate; what can be opened with some other key was never meant \
                  for this SA.",
        requirements: ["DP-010", "ESP-035"],
        sources: ["RFC 4303 §3.4.2", "RFC 5374 §5.2", "getvpn §9.10"],
        catches: ["dp_unknown_spi_tries_all"],
        needs: [Datapath],
        cost: 20,
        run: unknown_spi,
    },
    case! {
        "ESPR-002", "data.esp", Must, Gm,
        title: "all 32 bits of an SPI count",
        purpose: "A key server may hand out SPIs that differ in a few bits only.",
        requirements: ["ESP-033", "ESP-035"],
        sources: ["RFC 4303 §2.1"],
        catches: ["dp_spi_low_half_only"],
        needs: [Datapath],
        cost: 20,
        run: whole_spi,
    },
    case! {
        "ESPR-003", "data.esp", Must, Gm,
        title: "SPI 0 matches no SA",
        purpose: "It is reserved for the member itself; on the wire it can only be an attack or an error.",
        requirements: ["ESP-006"],
        sources: ["RFC 4303 §2.1"],
        catches: ["dp_spi_zero_accepted"],
        needs: [Datapath],
        cost: 15,
        run: spi_zero,
    },
    case! {
        "DP-012", "data.policy", Must, Gm,
        title: "packets in clear that should have been protected are dropped",
        purpose: "Otherwise anybody in the core talks to the protected hosts without a key.",
        requirements: ["DP-012", "ESP-096"],
        sources: ["RFC 4301 §5.2", "getvpn §5.4"],
        catches: ["dp_clear_inbound_accepted"],
        needs: [Datapath],
        cost: 20,
        run: clear_refused,
    },
    case! {
        "DP-013", "data.policy", Must, Gm,
        title: "packets in clear that the policy leaves in clear pass",
        purpose: "Routing and management usually stay outside; a member that drops them cuts itself off.",
        requirements: ["DP-013"],
        sources: ["getvpn §5.4", "getvpn §9.10"],
        catches: ["dp_deny_inbound_dropped"],
        needs: [Datapath],
        cost: 15,
        run: clear_passes,
    },
    case! {
        "DP-014", "data.policy", Must, Gm,
        title: "a packet inside that the policy does not permit is dropped",
        purpose: "A member that was taken over could reach everything behind every other one.",
        requirements: ["DP-014", "ESP-054"],
        sources: ["RFC 4301 §5.2", "getvpn §9.10"],
        catches: ["dp_selector_mismatch_accepted"],
        needs: [Datapath],
        cost: 25,
        run: outside_policy,
    },
    case! {
        "DP-015", "data.esp", Must, Gm,
        title: "a packet whose outer addresses are not those inside is dropped",
        purpose: "Address preservation is what lets a receiver believe the source; without the check it means nothing.",
        requirements: ["DP-015", "ESP-040", "ESP-042"],
        sources: ["RFC 5374 §5.2", "RFC 6407 §5.5.1.1.1"],
        catches: ["dp_address_mismatch_accepted", "dp_address_source_only_checked", "dp_address_preservation_off"],
        needs: [Datapath],
        cost: 25,
        run: other_addresses,
    },
    case! {
        "DP-018", "data.policy", Must, Gm,
        title: "ESP of the hosts themselves passes untouched where the policy leaves it in clear",
        purpose: "Hosts may have tunnels of their own; a member that eats their packets breaks them without a trace.",
        requirements: ["DP-018", "ESP-037"],
        sources: ["RFC 5374 §5.2", "getvpn §9.10"],
        catches: ["dp_transit_esp_dropped", "dp_transit_esp_touched"],
        needs: [Datapath],
        cost: 20,
        run: transit,
    },
    case! {
        "DP-024", "data.esp", Must, Gm,
        title: "counters show how many packets were protected and opened",
        purpose: "Operators compare the counters of both ends to find where packets are lost.",
        requirements: ["DP-024"],
        sources: ["getvpn §8.6", "getvpn §9.10"],
        catches: ["dp_counters_twice", "dp_counters_miss_decrypt"],
        needs: [Datapath, Console],
        cost: 30,
        run: counters,
    },
    case! {
        "ESPR-004", "data.esp", Should, Gm,
        title: "nothing is answered to ESP packets that are refused",
        purpose: "An answer to each forged packet makes the member a reflector, and tells the forger what was wrong.",
        requirements: ["ESP-098", "ESP-095", "DP-007", "ESP-036"],
        sources: ["RFC 4303 §4"],
        catches: ["dp_answers_errors"],
        needs: [Datapath],
        cost: 25,
        run: no_answers,
    },
];

const OPENED: Rule = Rule::new("esp.opened", &["DP-007", "ESP-036"]);

fn any_to_any(cx: &mut Cx<'_>) -> Flow {
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, both_versions()))?;
    let pairs: [([u8; 4], [u8; 4]); 4] = [
        ([10, 2, 0, 20], [10, 1, 0, 10]),
        ([10, 2, 255, 254], [10, 1, 200, 1]),
        ([10, 2, 9, 9], [10, 1, 0, 77]),
        ([10, 2, 0, 20], [10, 1, 255, 254]),
    ];
    for (src, dst) in pairs {
        let what = format!("from {} to {}", IpAddr::from(src), IpAddr::from(dst));
        scene.expect_opened(cx, &OPENED, &what, &datagram(src.into(), dst.into()))?;
    }
    scene.expect_opened(cx, &OPENED, "IPv6", &datagram(WAN_HOST6, LAN_HOST6))?;
    scene.finish(cx)
}

fn burst(cx: &mut Cx<'_>) -> Flow {
    let mut scene = DataScene::standard(cx)?;
    for round in 0..5_u16 {
        let packets: Vec<Clear> = (0..20_u16)
            .map(|i| DataScene::inbound().ident(round * 20 + i).between([10, 2, 1, i as u8].into(), LAN_HOST))
            .collect();
        all_opened(cx, &mut scene, &OPENED, &format!("burst {round} of 20"), &packets)?;
    }
    scene.finish(cx)
}

fn bad_icv(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::grave("esp.bad-icv-dropped", &["DP-011", "ESP-030", "ESP-031"]);
    for cipher in [CBC, GCM] {
        let Some(mut scene) = cipher.scene(cx)? else { continue };
        let name = cipher.name;
        let inner = DataScene::inbound().octets();
        for (what, part, bit) in [
            ("the first bit of the ICV", Part::Icv, 0),
            ("the last bit of the ICV", Part::Icv, 95),
            ("a bit of the inner header", Part::Ciphertext, 77),
            ("a bit of the payload", Part::Ciphertext, 500),
            ("the first bit of the IV", Part::Iv, 0),
            ("the last bit of the sequence number", Part::Header, 63),
        ] {
            let packet = scene.forge(cx, &inner, &Forge::new().flip(part, bit))?.octets();
            scene.expect_nothing(cx, &DROPPED, &format!("{name}, {what} changed"), Side::Wan, &[packet])?;
        }
        scene.finish(cx)?;
    }
    Ok(())
}

fn damaged(cx: &mut Cx<'_>) -> Flow {
    const COUNTED: Rule = Rule::new("esp.mac-errors-counted", &["DP-032", "ESP-031"]);
    const COUNT: u16 = 200;
    let mut scene = DataScene::standard(cx)?;
    let before = total(&scene.plane(cx)?, "/sas", "/mac_errors");
    let (mut came, mut sent_bad) = (0, 0);
    for round in 0..COUNT / 20 {
        let mut burst = Vec::new();
        for i in 0..20 {
            let inner = DataScene::inbound().ident(round * 20 + i).octets();
            // One in a hundred, and the first of them early.
            let bad = (round * 20 + i) % 100 == 7;
            sent_bad += u64::from(bad);
            let forge = if bad { Forge::new().flip(Part::Ciphertext, 300) } else { Forge::new() };
            burst.push(scene.forge(cx, &inner, &forge)?.octets());
        }
        came += scene.pass_many(cx, Side::Wan, &burst)?.lan.len() as u64;
    }
    let lost = u64::from(COUNT).saturating_sub(came);
    let counted = total(&scene.plane(cx)?, "/sas", "/mac_errors").saturating_sub(before);
    let observed = format!("{sent_bad} damaged, {lost} lost, {counted} counted");
    COUNTED.judge(cx, lost == sent_bad && counted == sent_bad, "as many lost and counted as damaged", observed);
    scene.finish(cx)
}

fn unknown_spi(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::new("esp.unknown-spi-dropped", &["DP-010", "ESP-035"]);
    let mut scene = DataScene::standard(cx)?;
    let inner = DataScene::inbound().octets();
    let mut packets = Vec::new();
    for _ in 0..100 {
        let spi = loop {
            let spi = cx.world.rng().next_u32() | 0x0001_0000;
            if !scene.opener().knows(spi) {
                break spi;
            }
        };
        packets.push(scene.forge(cx, &inner, &Forge::new().spi(spi))?.octets());
    }
    scene.expect_nothing(cx, &DROPPED, "100 unknown SPIs", Side::Wan, &packets)?;
    scene.finish(cx)
}

fn whole_spi(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::new("esp.spi-compared-whole", &["ESP-033", "ESP-035"]);
    let mut scene = DataScene::standard(cx)?;
    let inner = DataScene::inbound().octets();
    let spi = scene.tek()?.spi;
    for (what, mask) in [("highest bit", 0x8000_0000), ("bit 16", 0x0001_0000), ("bit 15", 0x8000), ("lowest bit", 1)] {
        let packet = scene.forge(cx, &inner, &Forge::new().spi(spi ^ mask))?.octets();
        scene.expect_nothing(cx, &DROPPED, &format!("an SPI with another {what}"), Side::Wan, &[packet])?;
    }
    scene.finish(cx)
}

fn spi_zero(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::new("esp.spi-zero-dropped", &["ESP-006"]);
    let mut scene = DataScene::standard(cx)?;
    let inner = DataScene::inbound().octets();
    let packets: Vec<Vec<u8>> = (0..3)
        .map(|_| scene.forge(cx, &inner, &Forge::new().spi(0)).map(|packet| packet.octets()))
        .collect::<Flow<_>>()?;
    scene.expect_nothing(cx, &DROPPED, "SPI 0 under the keys of the group", Side::Wan, &packets)?;
    scene.finish(cx)
}

fn clear_refused(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::grave("policy.clear-refused", &["DP-012", "ESP-096"]);
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, both_versions()))?;
    let (from, to) = (SocketAddr::new(WAN_HOST, 1_024), SocketAddr::new(LAN_HOST, 80));
    let packets = [
        ("UDP", DataScene::inbound().octets()),
        ("a TCP SYN", Clear::tcp(from, to, Tcp::SYN, b"").octets()),
        ("ICMP", Clear::echo(WAN_HOST, LAN_HOST, 1, 1, 32).octets()),
        ("AH", Clear::other(WAN_HOST, LAN_HOST, 51, vec![0; 40]).octets()),
        ("IPv6", datagram(WAN_HOST6, LAN_HOST6).octets()),
    ];
    for (what, packet) in packets {
        scene.expect_nothing(cx, &DROPPED, &format!("{what} in clear"), Side::Wan, &[packet])?;
    }
    let pieces = DataScene::inbound().sized(2_000).fragments(800);
    scene.expect_nothing(cx, &DROPPED, "fragments in clear", Side::Wan, &pieces)?;
    scene.finish(cx)
}

fn clear_passes(cx: &mut Cx<'_>) -> Flow {
    const PASSES: Rule = Rule::new("policy.clear-passes", &["DP-013"]);
    let mut flows = both_ways(&Entry::standard().protocol(1).deny());
    flows.extend(both_ways(&Entry::standard()));
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, flows))?;
    let ping = Clear::echo(WAN_HOST, LAN_HOST, 1, 1, 32).octets();
    scene.expect_clear(cx, &PASSES, "ICMP, which is denied, from the WAN", Side::Wan, &ping)?;
    let ping = Clear::echo(LAN_HOST, WAN_HOST, 1, 2, 32).octets();
    scene.expect_clear(cx, &PASSES, "ICMP, which is denied, from the LAN", Side::Lan, &ping)?;
    let stranger = datagram(OTHER_HOST, LAN_HOST).octets();
    scene.expect_clear(cx, &PASSES, "a host of no entry, from the WAN", Side::Wan, &stranger)?;
    scene.finish(cx)
}

fn outside_policy(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::new("esp.outside-policy-dropped", &["DP-014", "ESP-054"]);
    let mut flows = both_ways(&Entry::standard().protocol(1).deny());
    flows.extend(both_ways(&Entry::standard()));
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, flows))?;
    let elsewhere = IpAddr::from([192, 168, 7, 7]);
    for (what, inner) in [
        ("a source of no entry", datagram(OTHER_HOST, LAN_HOST)),
        ("a destination of no entry", datagram(WAN_HOST, elsewhere)),
        ("ICMP, which is denied", Clear::echo(WAN_HOST, LAN_HOST, 1, 1, 32)),
    ] {
        let packet = scene.forge(cx, &inner.octets(), &Forge::new())?.octets();
        scene.expect_nothing(cx, &DROPPED, &format!("{what} inside"), Side::Wan, &[packet])?;
    }
    scene.finish(cx)
}

fn other_addresses(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::new("esp.address-mismatch-dropped", &["DP-015", "ESP-040", "ESP-042"]);
    let mut scene = DataScene::standard(cx)?;
    let inner = DataScene::inbound().octets();
    let (src, dst) = (IpAddr::from([10, 2, 0, 21]), IpAddr::from([10, 1, 0, 11]));
    for (what, outer) in [
        ("another source", (src, LAN_HOST)),
        ("another destination", (WAN_HOST, dst)),
        ("two others", (src, dst)),
        ("both exchanged", (LAN_HOST, WAN_HOST)),
        ("a source of no entry", (OTHER_HOST, LAN_HOST)),
    ] {
        let packet = scene.forge(cx, &inner, &Forge::new().outer(outer.0, outer.1))?.octets();
        scene.expect_nothing(cx, &DROPPED, &format!("{what} outside"), Side::Wan, &[packet])?;
    }
    scene.finish(cx)
}

fn transit(cx: &mut Cx<'_>) -> Flow {
    const PASSES: Rule = Rule::new("policy.transit-esp", &["DP-018", "ESP-037"]);
    let mut flows = both_ways(&Entry::standard().protocol(50).deny());
    flows.extend(both_ways(&Entry::standard()));
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, flows))?;
    let known = scene.tek()?.spi;
    let esp = |spi: u32| [&spi.to_be_bytes()[..], &[0, 0, 0, 9], &[0x5a; 72]].concat();
    for (what, side, src, dst) in [
        ("from the WAN", Side::Wan, WAN_HOST, LAN_HOST),
        ("from the WAN, hosts of no entry", Side::Wan, OTHER_HOST, LAN_HOST),
        ("from the LAN", Side::Lan, LAN_HOST, WAN_HOST),
    ] {
        let packet = Clear::other(src, dst, 50, esp(known ^ 0x0550_0055)).hops(60).octets();
        let came = scene.expect_clear(cx, &PASSES, what, side, &packet)?;
        let hops = super::esp::hops(&came);
        PASSES.judge(cx, matches!(hops, 59 | 60), "a TTL lowered once at most", format!("{what}: TTL {hops}"));
    }
    scene.finish(cx)
}

fn counters(cx: &mut Cx<'_>) -> Flow {
    const COUNTED: Rule = Rule::new("data.counters", &["DP-024"]);
    const PASSED: Rule = Rule::new("esp.passed", &["DP-024"]);
    const COUNT: u16 = 100;
    let mut scene = DataScene::standard(cx)?;
    let read = |plane: &Value| (total(plane, "/sas", "/sealed/packets"), total(plane, "/sas", "/opened/packets"));
    let before = read(&scene.plane(cx)?);
    for round in 0..COUNT / 20 {
        let out: Vec<Clear> = (0..20).map(|i| DataScene::outbound().ident(round * 20 + i)).collect();
        all_protected(cx, &mut scene, &PASSED, "20 out", &out)?;
        let back: Vec<Clear> = (0..20).map(|i| DataScene::inbound().ident(round * 20 + i)).collect();
        all_opened(cx, &mut scene, &PASSED, "20 in", &back)?;
    }
    let after = read(&scene.plane(cx)?);
    let (sealed, opened) = (after.0 - before.0.min(after.0), after.1 - before.1.min(after.1));
    let ok = (sealed, opened) == (u64::from(COUNT), u64::from(COUNT));
    COUNTED.judge(cx, ok, "100 protected and 100 opened", format!("{sealed} protected, {opened} opened"));
    scene.finish(cx)
}

fn no_answers(cx: &mut Cx<'_>) -> Flow {
    const QUIET: Rule = Rule::new("esp.no-answers", &["ESP-098", "ESP-095"]);
    let mut scene = DataScene::standard(cx)?;
    let inner = DataScene::inbound().octets();
    let elsewhere = IpAddr::from([10, 2, 0, 21]);
    let spi = scene.tek()?.spi;
    for (what, forge) in [
        ("a wrong ICV", Forge::new().flip(Part::Icv, 3)),
        ("an unknown SPI", Forge::new().spi(spi ^ 0x0505_0505)),
        ("a Pad Length beyond the packet", Forge::new().pad_length(255)),
        ("another address outside", Forge::new().outer(elsewhere, LAN_HOST)),
        ("a next header of nothing", Forge::new().next_header(77)),
        ("a packet of 12 octets", Forge::new().cut(12)),
    ] {
        scene.expect_opened(cx, &OPENED, "a regular packet before", &DataScene::inbound())?;
        let packet = scene.forge(cx, &inner, &forge)?.octets();
        let passed = scene.pass(cx, Side::Wan, &packet)?;
        let observed = format!("{what}: {}", passed.describe(Side::Wan));
        let quiet = passed.packets(Side::Wan).is_empty();
        QUIET.judge(cx, quiet, "nothing towards the WAN", observed);
    }
    scene.expect_opened(cx, &OPENED, "a regular packet after", &DataScene::inbound())?;
    scene.finish(cx)
}
