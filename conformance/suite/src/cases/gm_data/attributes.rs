//! What the policy of an SA says of its use: which addresses it preserves, which direction it is for, which traffic it
//! carries.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hallmark_probe::data::{Clear, Forge, Sender};
use hallmark_probe::group::{Flow as Entry, Tek};
use hallmark_probe::world::Side;
use hallmark_wire::ip;

use super::esp::{CBC, Cipher, datagram, none_in_clear, sites6};
use super::marks::{forged, inbound, tester};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::data::{DataScene, LAN_HOST, LAN_HOST6, Rule, WAN_HOST, WAN_HOST6, both_ways, with_tek};

pub(crate) const CASES: &[Case] = &[
    case! {
        "REG-011", "data.policy", Must, Gm,
        title: "members send and open under the one SPI of an SA, which is for both directions unless it says otherwise",
        purpose: "All members share the SA that the key server hands out; one that expects an SPI of its own in a direction \
                  hears nobody, or is heard by nobody.",
        requirements: ["REG-011", "GDOI-PL-053", "GDOI-PL-055", "GDOI-PULL-055"],
        sources: ["RFC 6407 §5.5.1.1.2", "getvpn.md §9.2"],
        catches: ["dp_spi_plus_one", "gm_direction_absent_one_way"],
        needs: [Datapath],
        cost: 30,
        run: one_spi,
    },
    case! {
        "REG-012", "data.policy", Must, Gm,
        title: "of two SAs with different transforms each carries the traffic that it is for",
        purpose: "Policies that give voice and data different keys are common; a member that protects everything with the \
                  first SA is not understood by those whose policy says otherwise.",
        requirements: ["REG-012"],
        sources: ["RFC 6407 §5.5", "getvpn.md §9.2"],
        catches: ["dp_first_sa_for_all_flows"],
        needs: [Datapath],
        cost: 20,
        run: two_transforms,
    },
    case! {
        "DPOL-007", "data.policy", Must, Gm,
        title: "a flow that names neither protocol nor ports is for every protocol and port",
        purpose: "0 means any there. A member that takes it for the number sends nearly everything in clear.",
        requirements: ["GDOI-PL-045"],
        sources: ["RFC 6407 §5.5.1"],
        catches: ["dp_port_zero_literal"],
        needs: [Datapath],
        cost: 30,
        run: every_port,
    },
    case! {
        "DIRG-003", "data.policy", Should, Gm,
        title: "an SA for one direction is used in that direction only",
        purpose: "With a single sender, members that send all the same use its numbers and vectors a second time; a sender \
                  that opens what comes takes forgeries of its own packets.",
        requirements: ["GDOI-PL-054", "GDOI-SEC-002"],
        sources: ["RFC 6407 §5.5.1.1.2"],
        catches: ["dp_sa_direction_ignored"],
        needs: [Datapath],
        cost: 30,
        run: one_way,
    },
    case! {
        "ESPS-014", "data.esp", Must, Gm,
        title: "the outer header repeats those addresses that the policy preserves",
        purpose: "Networks that route by the outer header, or hide the inner one, are built on this: a member that repeats \
                  too much shows hosts to everybody, one that repeats too little sends where nobody listens.",
        requirements: ["GDOI-PL-051", "GDOI-PL-052", "ESP-042"],
        sources: ["RFC 6407 §5.5.1.1.1", "RFC 5374 §3.1"],
        catches: ["dp_preserves_both_always", "dp_outer_source_own", "dp_address_preservation_off"],
        needs: [Datapath],
        cost: 60,
        run: preserved,
    },
    case! {
        "ESPS-015", "data.esp", Must, Gm,
        title: "addresses are not preserved between IP versions",
        purpose: "A member with an IPv4 address cannot be the end of a tunnel for IPv6 that preserves the destination only. \
                  One that puts the inner address in the place of its own shows what the policy hides.",
        requirements: ["ESP-041"],
        sources: ["RFC 5374 §3.1", "RFC 5374 §5.1"],
        catches: ["dp_mixed_versions_accepted"],
        needs: [Datapath],
        cost: 30,
        run: mixed_versions,
    },
];

/// A host beyond the WAN that a second SA carries the traffic of.
const FAR_HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 3, 0, 20));
/// Nobody's outer address, as of a gateway that puts its own there.
const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77));

/// Gives the traffic between the LAN and the far host.
fn far() -> Vec<Entry> {
    both_ways(&Entry::between(([10, 1, 0, 0].into(), 16), ([10, 3, 0, 0].into(), 16)))
}

/// Starts a member under the standard TEK and another one; `None` when it does not register with both.
fn beside(cx: &mut Cx<'_>, tek: &Tek) -> Flow<Option<DataScene>> {
    DataScene::optional(cx, |_| {}, |script| script.group.teks.push(tek.clone()))
}

fn one_spi(cx: &mut Cx<'_>) -> Flow {
    const OUT: Rule = Rule::new("sa.sends-under-its-spi", &["REG-011", "GDOI-PL-053", "GDOI-PL-055", "GDOI-PULL-055"]);
    const IN: Rule = Rule::new("sa.opens-under-its-spi", &["REG-011", "GDOI-PL-053", "GDOI-PL-055", "GDOI-PULL-055"]);
    for (what, direction) in [("an SA without direction", None), ("a symmetric SA", Some(3))] {
        let tek = CBC.tek(cx);
        let tek = direction.map_or(tek.clone(), |value| tek.direction(value));
        let spi = tek.spi;
        let mut scene = DataScene::with(cx, |_| {}, |script| with_tek(script, tek))?;
        let seen = scene.expect_esp(cx, &OUT, what, &DataScene::outbound())?;
        OUT.judge(cx, seen.spi == spi, "the SPI of the policy", format!("{what}: SPI {:08x}", seen.spi));
        scene.expect_opened(cx, &IN, what, &DataScene::inbound())?;
        scene.finish(cx)?;
    }
    Ok(())
}

fn two_transforms(cx: &mut Cx<'_>) -> Flow {
    const OUT: Rule = Rule::new("sa.of-the-flow", &["REG-012"]);
    const IN: Rule = Rule::new("sa.of-the-flow-opens", &["REG-012"]);
    let other = Cipher::with("aes256-cbc+hmac-sha256", 12, 256, 5).tek(cx).flows(far());
    let Some(mut scene) = beside(cx, &other)? else {
        return Err(Stop::NotSupported("gm.esp.two-transforms".to_owned(), "false".to_owned()));
    };
    let first = scene.tek()?;
    for round in 1..=2 {
        for (tek, host) in [(&first, WAN_HOST), (&other, FAR_HOST)] {
            let what = format!("round {round}, to {host}");
            let seen = scene.expect_esp(cx, &OUT, &what, &datagram(LAN_HOST, host).ident(round))?;
            let observed = format!("{what}: SPI {:08x}, {}", seen.spi, seen.transform);
            OUT.judge(cx, seen.spi == tek.spi, "the SPI whose policy has the flow", observed);
        }
    }
    let mut sender = Sender::new(&other).map_err(tester)?;
    let inner = datagram(FAR_HOST, LAN_HOST).octets();
    let esp = sender.seal(cx.world, &inner).map_err(tester)?;
    scene.expect_inner(cx, &IN, &format!("from {FAR_HOST}"), &esp, &inner)?;
    scene.expect_opened(cx, &IN, &format!("from {WAN_HOST}"), &DataScene::inbound())?;
    scene.finish(cx)
}

fn every_port(cx: &mut Cx<'_>) -> Flow {
    const NEVER_CLEAR: Rule = Rule::grave("policy.any-port-not-in-clear", &["GDOI-PL-045"]);
    const ALL: Rule = Rule::new("policy.any-port", &["GDOI-PL-045"]);
    let mut scene = DataScene::standard(cx)?;
    let at = |host: IpAddr, port: u16| SocketAddr::new(host, port);
    let udp = |from, to| Clear::udp(at(LAN_HOST, from), at(WAN_HOST, to), &[0x64; 40]);
    let other = |protocol| Clear::other(LAN_HOST, WAN_HOST, protocol, vec![0x65; 40]);
    for (what, packet) in [
        ("UDP, ports 1 and 65535", udp(1, 65_535)),
        ("UDP, ports 53 and 53", udp(53, 53)),
        ("UDP, port 0", udp(0, 0)),
        ("TCP, port 80", Clear::tcp(at(LAN_HOST, 40_001), at(WAN_HOST, 80), 16, b"GET")),
        ("ICMP", Clear::echo(LAN_HOST, WAN_HOST, 4, 1, 56)),
        ("GRE", other(47)),
        ("OSPF", other(89)),
        ("SCTP", other(132)),
        ("an unassigned protocol", other(200)),
    ] {
        none_in_clear(cx, &mut scene, &NEVER_CLEAR, what, &[packet.octets()])?;
        scene.expect_esp(cx, &ALL, what, &packet)?;
        scene.expect_opened(cx, &ALL, &format!("{what} from the WAN"), &packet.between(WAN_HOST, LAN_HOST))?;
    }
    scene.finish(cx)
}

fn one_way(cx: &mut Cx<'_>) -> Flow {
    const IN: Rule = Rule::new("sa.receiver-only-opens", &["GDOI-PL-054"]);
    const NOT_OUT: Rule = Rule::new("sa.receiver-only-does-not-send", &["GDOI-PL-054", "GDOI-SEC-002"]);
    const OUT: Rule = Rule::new("sa.sender-only-sends", &["GDOI-PL-054"]);
    const NOT_IN: Rule = Rule::new("sa.sender-only-does-not-open", &["GDOI-PL-054", "GDOI-SEC-002"]);
    let leaf = || Stop::NotSupported("gm.esp.sa-direction".to_owned(), "false".to_owned());
    let (out, back) = (datagram(LAN_HOST, FAR_HOST), datagram(FAR_HOST, LAN_HOST));

    let tek = CBC.tek(cx).flows(far()).direction(2);
    let mut scene = beside(cx, &tek)?.ok_or_else(leaf)?;
    let mut sender = Sender::new(&tek).map_err(tester)?;
    let esp = sender.seal(cx.world, &back.octets()).map_err(tester)?;
    scene.expect_inner(cx, &IN, "a packet under an SA for receiving", &esp, &back.octets())?;
    // It may drop the traffic or leave it in clear: the policy says nothing of this direction.
    let under = |packet: &[u8]| spi_of(packet) == Some(tek.spi);
    let what = "traffic of an SA for receiving";
    scene.nothing_of(cx, &NOT_OUT, what, Side::Lan, &[out.octets()], &under)?;
    scene.finish(cx)?;

    let tek = CBC.tek(cx).flows(far()).direction(1);
    let mut scene = beside(cx, &tek)?.ok_or_else(leaf)?;
    let seen = scene.expect_esp(cx, &OUT, "traffic of an SA for sending", &out)?;
    OUT.judge(cx, seen.spi == tek.spi, "the SPI of that SA", format!("SPI {:08x}", seen.spi));
    let mut sender = Sender::new(&tek).map_err(tester)?;
    let esp = sender.seal(cx.world, &back.octets()).map_err(tester)?;
    scene.expect_nothing(cx, &NOT_IN, "a packet under an SA for sending", Side::Wan, &[esp])?;
    scene.finish(cx)
}

/// Reads the SPI of an ESP packet over IPv4.
fn spi_of(packet: &[u8]) -> Option<u32> {
    let packet = ip::Ipv4Packet::decode(packet).ok().filter(|packet| packet.header.protocol == ip::protocol::ESP)?;
    packet.payload.first_chunk::<4>().map(|spi| u32::from_be_bytes(*spi))
}

fn preserved(cx: &mut Cx<'_>) -> Flow {
    const BOTH: Rule = Rule::new("esp.preserves-both", &["GDOI-PL-051", "GDOI-PL-052", "ESP-042"]);
    const CHECKED: Rule = Rule::new("esp.preserved-source-checked", &["GDOI-PL-051", "ESP-042"]);
    const DESTINATION: Rule = Rule::new("esp.preserves-destination-only", &["GDOI-PL-052"]);
    const HIDDEN: Rule = Rule::new("esp.destination-not-preserved", &["GDOI-PL-052"]);
    const FREE: Rule = Rule::new("esp.source-not-preserved", &["GDOI-PL-052"]);
    for (what, value) in [("no attribute", None), ("value 4", Some(4))] {
        let tek = CBC.tek(cx);
        let tek = value.map_or(tek.clone(), |value| tek.preservation(value));
        let mut scene = DataScene::with(cx, |_| {}, |script| with_tek(script, tek))?;
        let seen = scene.expect_esp(cx, &BOTH, what, &DataScene::outbound())?;
        let ends = (seen.outer.src, seen.outer.dst);
        let observed = format!("{what}: from {} to {}", ends.0, ends.1);
        BOTH.judge(cx, ends == (LAN_HOST, WAN_HOST), "both addresses of the packet inside", observed);
        let esp = forged(cx, &mut scene, &inbound(1), &Forge::new().outer(GATEWAY, LAN_HOST))?.octets();
        scene.expect_nothing(cx, &CHECKED, &format!("{what}: another outer source"), Side::Wan, &[esp])?;
        scene.finish(cx)?;
    }
    // GDOI has no field for the outer destination that values 1 and 2 need: a member may know one, or send nothing.
    for (what, value) in [("value 1", 1), ("value 2", 2)] {
        let tek = CBC.tek(cx).flows(far()).preservation(value);
        let Some(mut scene) = beside(cx, &tek)? else { continue };
        let packets = [datagram(LAN_HOST, FAR_HOST).octets()];
        let repeats = |packet: &[u8]| ip::route(packet).is_ok_and(|route| route.dst == FAR_HOST);
        scene.nothing_of(
            cx,
            &HIDDEN,
            &format!("{what}: the inner destination outside"),
            Side::Lan,
            &packets,
            &repeats,
        )?;
        scene.finish(cx)?;
    }
    let tek = CBC.tek(cx).preservation(3);
    let Some(mut scene) = DataScene::optional(cx, |_| {}, |script| with_tek(script, tek))? else {
        cx.world.note("the member does not register with a policy that preserves the destination only");
        return Ok(());
    };
    let seen = scene.expect_esp(cx, &DESTINATION, "value 3", &DataScene::outbound())?;
    let observed = format!("value 3: from {} to {}", seen.outer.src, seen.outer.dst);
    let ok = seen.outer.dst == WAN_HOST && seen.outer.src != LAN_HOST;
    DESTINATION.judge(cx, ok, "the destination inside, and an own source", observed);
    let inner = inbound(2);
    let esp = forged(cx, &mut scene, &inner, &Forge::new().outer(GATEWAY, LAN_HOST))?.octets();
    scene.expect_inner(cx, &FREE, "value 3: from a gateway", &esp, &inner)?;
    scene.finish(cx)
}

fn mixed_versions(cx: &mut Cx<'_>) -> Flow {
    const REFUSED: Rule = Rule::new("esp.versions-not-mixed", &["ESP-041"]);
    const NEVER_CLEAR: Rule = Rule::grave("esp.versions-not-mixed-in-clear", &["ESP-041"]);
    let tek = CBC.tek(cx).flows(sites6()).preservation(3);
    let Some(mut scene) = beside(cx, &tek)? else {
        // A member may refuse such a policy as a whole.
        let mut scene = DataScene::standard(cx)?;
        REFUSED.judge(cx, true, "such an SA is refused", "the whole policy is refused");
        return scene.finish(cx);
    };
    let packets: Vec<Vec<u8>> = (1..=3).map(|n| datagram(LAN_HOST6, WAN_HOST6).hops(60 + n).octets()).collect();
    let what = "IPv6 under an SA that preserves the destination only";
    none_in_clear(cx, &mut scene, &NEVER_CLEAR, what, &packets)?;
    // A member that has an IPv6 address of its own may well be the end of such a tunnel.
    let is_own_tunnel = |packet: &[u8]| {
        let route = ip::route(packet).ok();
        route.is_some_and(|route| {
            route.protocol == ip::protocol::ESP && route.dst == WAN_HOST6 && route.src != LAN_HOST6
        })
    };
    scene.nothing_of(cx, &REFUSED, what, Side::Lan, &packets, &|packet| !is_own_tunnel(packet))?;
    scene.finish(cx)
}
