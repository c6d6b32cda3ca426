//! Multicast data: protected towards the group, opened from it, and never accepted in clear where it is to be protected.

use std::net::{IpAddr, Ipv6Addr};

use hallmark_probe::KsScript;
use hallmark_probe::data::Clear;
use hallmark_probe::group::Flow as Entry;
use hallmark_probe::world::Side;

use super::esp::{all_opened, datagram, none_in_clear, sound};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::data::{DataScene, LAN_HOST, LAN_HOST6, Rule, WAN_HOST, WAN_HOST6, both_ways, with_flows};

pub(crate) const CASES: &[Case] = &[
    case! {
        "DP-019", "data.esp", Must, Gm,
        title: "multicast traffic is protected, and its outer destination is the group",
        purpose: "The core replicates by the group address; with another one nobody but one gets the packet.",
        requirements: ["DP-019", "ESP-038", "ESP-039"],
        sources: ["RFC 5374 §5.1", "getvpn §5.9"],
        catches: ["dp_multicast_not_encrypted", "dp_outer_destination_wrong"],
        needs: [Datapath],
        cost: 20,
        run: protected,
    },
    case! {
        "ESPM-001", "data.esp", Must, Gm,
        title: "protected multicast of other members is opened",
        purpose: "The packet is addressed to no member at all; it is the SPI that says that this one can open it.",
        requirements: ["DP-019", "ESP-036"],
        sources: ["RFC 5374 §5.2", "getvpn §5.9"],
        catches: ["dp_only_own_address"],
        needs: [Datapath],
        cost: 15,
        run: opened,
    },
    case! {
        "ESPM-002", "data.policy", Must, Gm,
        title: "multicast in clear is dropped where the policy protects it, though the group is no source",
        purpose: "Entries for multicast are not turned round for inbound packets; a member that turns them round finds \
                  no entry and lets anybody's packets in.",
        requirements: ["ESP-099", "ESP-096"],
        sources: ["RFC 5374 §4.1.1", "RFC 4301 §5.2"],
        catches: ["dp_multicast_rules_swapped"],
        needs: [Datapath],
        cost: 15,
        run: clear,
    },
];

const GROUP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(239, 1, 2, 3));
const GROUP6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff1e, 0, 0, 0, 0, 0, 0x1234, 5));

/// Permits UDP of everybody to 239.0.0.0/8 and ff1e::/16, and nothing from there.
fn policy(script: &mut KsScript) {
    let any = (IpAddr::from([0, 0, 0, 0]), 0);
    let any6 = (IpAddr::from(Ipv6Addr::UNSPECIFIED), 0);
    let group6 = (IpAddr::from([0xff1e, 0, 0, 0, 0, 0, 0, 0]), 16);
    let mut flows =
        vec![Entry::between(any, ([239, 0, 0, 0].into(), 8)).protocol(17), Entry::between(any6, group6).protocol(17)];
    flows.extend(both_ways(&Entry::standard()));
    with_flows(script, flows);
}

fn protected(cx: &mut Cx<'_>) -> Flow {
    const NEVER_CLEAR: Rule = Rule::grave("esp.multicast-not-in-clear", &["DP-019"]);
    const RULE: Rule = Rule::new("esp.multicast", &["DP-019", "ESP-038", "ESP-039"]);
    let mut scene = DataScene::with(cx, |_| {}, policy)?;
    let packets = [
        ("239.1.2.3", datagram(LAN_HOST, GROUP).hops(16)),
        ("239.255.255.255", datagram(LAN_HOST, [239, 255, 255, 255].into()).hops(16)),
        ("ff1e::1234:5", datagram(LAN_HOST6, GROUP6).hops(16)),
    ];
    for (what, packet) in packets {
        none_in_clear(cx, &mut scene, &NEVER_CLEAR, what, &[packet.octets()])?;
        let seen = scene.expect_esp(cx, &RULE, what, &packet)?;
        sound(cx, &RULE, what, &seen);
        RULE.judge(cx, seen.outer.dst == packet.dst, "the group outside", format!("{what}: {}", seen.outer.dst));
    }
    scene.finish(cx)
}

fn opened(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("esp.multicast-opened", &["DP-019", "ESP-036"]);
    let mut scene = DataScene::with(cx, |_| {}, policy)?;
    let packets: [(&str, Clear); 2] = [
        ("to 239.1.2.3", datagram(WAN_HOST, GROUP).hops(16)),
        ("to ff1e::1234:5", datagram(WAN_HOST6, GROUP6).hops(16)),
    ];
    for (what, packet) in packets {
        all_opened(cx, &mut scene, &RULE, what, &[packet])?;
    }
    scene.finish(cx)
}

fn clear(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::grave("policy.multicast-clear-refused", &["ESP-099", "ESP-096"]);
    let mut scene = DataScene::with(cx, |_| {}, policy)?;
    for (what, packet) in [
        ("to 239.1.2.3", datagram(WAN_HOST, GROUP).hops(16)),
        ("to 239.1.2.3 from a host of no entry", datagram([172, 16, 0, 30].into(), GROUP).hops(16)),
        ("to ff1e::1234:5", datagram(WAN_HOST6, GROUP6).hops(16)),
    ] {
        scene.expect_nothing(cx, &DROPPED, &format!("in clear {what}"), Side::Wan, &[packet.octets()])?;
    }
    scene.finish(cx)
}
