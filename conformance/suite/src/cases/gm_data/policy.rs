//! Which traffic is protected, which passes in clear and which is dropped (getvpn §5.3).

use std::net::{IpAddr, SocketAddr};

use hallmark_core::Rng;
use hallmark_probe::KsScript;
use hallmark_probe::data::{Clear, Opener, Tcp};
use hallmark_probe::group::{Flow as Entry, Tek};
use hallmark_probe::ks::{PushSpec, deletion};
use hallmark_probe::world::Side;

use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::data::{
    Control, DataScene, LAN_HOST, LAN_HOST6, OTHER_HOST, Rule, WAN_HOST, WAN_HOST6, both_ways, with_flows,
};

pub(crate) const CASES: &[Case] = &[
    case! {
        "POLICY-001", "data.policy", Must, Gm,
        title: "under permit any any everything leaves as ESP",
        purpose: "The group's policy names no exception, so whatever a host sends is for the members only: each kind of \
                  packet that slips through in clear is a disclosure.",
        requirements: ["POLICY-001", "ESP-001"],
        sources: ["getvpn §5.3", "RFC 4303 §2"],
        catches: ["dp_inner_fragments_clear", "dp_multicast_not_encrypted", "dp_ipv6_not_encrypted"],
        needs: [Datapath],
        cost: 30,
        run: permit_any,
    },
    case! {
        "POLICY-002", "data.policy", Must, Gm,
        title: "a protocol that the key server denies passes in clear, the rest is protected",
        purpose: "Operators exclude what must be seen on the way, path MTU discovery for one. A member that protects it \
                  all the same breaks that; one that takes the deny for more than it says leaks.",
        requirements: ["POLICY-002"],
        sources: ["getvpn §5.3"],
        catches: ["deny_ignored", "dp_protocol_ignored", "dp_rule_order_reversed"],
        needs: [Datapath],
        cost: 20,
        run: deny_icmp,
    },
    case! {
        "POLICY-003", "data.policy", Must, Gm,
        title: "a deny holds over three rekeys",
        purpose: "Each rekey brings the policy again; a member that keeps only its permits protects from then on what \
                  the other side expects in clear.",
        requirements: ["POLICY-003", "POLICY-002"],
        sources: ["getvpn §5.3"],
        catches: ["dp_deny_lost_on_rekey", "deny_ignored"],
        needs: [Datapath],
        cost: 40,
        run: deny_over_rekeys,
    },
    case! {
        "POLICY-004", "data.policy", Must, Gm,
        title: "a deny behind the permit of the same flow has no effect",
        purpose: "The list is in order and the first entry that matches decides; any other reading sends in clear what \
                  the operator wants protected.",
        requirements: ["POLICY-004"],
        sources: ["getvpn §5.3"],
        catches: ["dp_rule_order_reversed"],
        needs: [Datapath],
        cost: 20,
        run: permit_before_deny,
    },
    case! {
        "POLICY-005", "data.policy", Must, Gm,
        title: "the lists of all SAs are one: a deny in the first hides a permit in the second",
        purpose: "A member that searches the SAs one by one protects what an earlier deny lets pass, and its peers drop \
                  it.",
        requirements: ["POLICY-005"],
        sources: ["getvpn §5.3"],
        catches: ["dp_rule_order_reversed", "deny_ignored", "dp_deny_first_rule_only"],
        needs: [Datapath],
        cost: 20,
        run: deny_hides_permit,
    },
    case! {
        "POLICY-006", "data.policy", Must, Gm,
        title: "what no entry matches passes in clear, both ways",
        purpose: "A site has traffic that is none of the group's business: it must neither be lost nor protected.",
        requirements: ["POLICY-006"],
        sources: ["getvpn §5.3"],
        catches: ["dp_no_match_dropped", "dp_no_match_encrypted"],
        needs: [Datapath],
        cost: 20,
        run: no_match,
    },
    case! {
        "POLICY-007", "data.policy", Must, Gm,
        title: "the local deny list stands before the group's policy",
        purpose: "A site excludes its own routing protocols locally; when that does not count, routing over the WAN \
                  breaks with the first registration.",
        requirements: ["POLICY-007"],
        sources: ["getvpn §5.3"],
        catches: ["dp_local_deny_ignored", "dp_ports_ignored"],
        needs: [Datapath],
        cost: 20,
        run: local_deny,
    },
    case! {
        "POLICY-008", "data.policy", Must, Gm,
        title: "a permit in the local list is not the member's to make: what it matches is dropped",
        purpose: "Only the key server says what is protected. A member that lets a local permit pass for the group's \
                  policy hides the mistake until its keys or its peers do not fit.",
        requirements: ["POLICY-008"],
        sources: ["getvpn §5.3"],
        catches: ["dp_local_permit_ignored"],
        needs: [Datapath],
        cost: 20,
        run: local_permit,
    },
    case! {
        "POLICY-009", "data.policy", Must, Gm,
        title: "its own key management stays in clear under permit any any",
        purpose: "A member that protects its own rekey traffic cuts itself off from its key server with the first \
                  policy that it gets.",
        requirements: ["POLICY-009", "ESP-097"],
        sources: ["getvpn §5.3", "RFC 4301 §5.2"],
        catches: ["dp_own_control_encrypted"],
        needs: [Datapath, VirtualTime],
        cost: 20,
        run: own_control,
    },
    case! {
        "POLICY-010", "data.policy", Must, Gm,
        title: "with a deny of UDP 848 the key management of other members passes in clear",
        purpose: "Members behind a member register through it; this is what the first line of most lists is for.",
        requirements: ["POLICY-010"],
        sources: ["getvpn §5.3"],
        catches: ["deny_ignored", "dp_ports_ignored"],
        needs: [Datapath],
        cost: 20,
        run: deny_848,
    },
    case! {
        "POLICY-011", "data.policy", Should, Gm,
        title: "a one-way port entry protects one way only",
        purpose: "An entry matches packets as it is written on the way out and mirrored on the way in. Lists that forget \
                  the way back lose the replies, which is why key servers should carry both.",
        requirements: ["POLICY-011"],
        sources: ["getvpn §5.3"],
        catches: ["dp_source_port_for_destination", "dp_inbound_not_mirrored"],
        needs: [Datapath],
        cost: 20,
        run: one_way_port,
    },
    case! {
        "POLICY-012", "data.policy", Should, Gm,
        title: "all pieces of a datagram that an entry with ports permits stay out of the clear",
        purpose: "Only the first piece carries ports. A member that looks at each piece by itself sends the rest of a \
                  protected datagram in clear.",
        requirements: ["POLICY-012"],
        sources: ["getvpn §5.3", "RFC 4301 §7"],
        catches: ["dp_portless_fragments_clear"],
        needs: [Datapath],
        cost: 20,
        run: fragments_and_ports,
    },
    case! {
        "POLICY-023", "data.policy", Must, Gm,
        title: "of two SAs for the same flow the first is used",
        purpose: "While a policy is being changed both stand in the list. Members that pick differently still \
                  understand each other, but order is the only thing an operator can reason about.",
        requirements: ["POLICY-023"],
        sources: ["getvpn §5.3"],
        catches: ["dp_rule_order_reversed"],
        needs: [Datapath],
        cost: 20,
        run: first_sa,
    },
    case! {
        "DPOL-001", "data.policy", Must, Gm,
        title: "address ranges end where they end",
        purpose: "A mask that is one bit short protects the neighbour's traffic, which nobody opens; a range without \
                  its last address leaks one host.",
        requirements: ["POLICY-006", "POLICY-001"],
        sources: ["getvpn §5.3", "RFC 6407 §5.5.1"],
        catches: ["dp_mask_one_bit_short", "dp_range_end_excluded"],
        needs: [Datapath],
        cost: 30,
        run: edges,
    },
    case! {
        "DPOL-002", "data.policy", Must, Gm,
        title: "an entry with a port matches that port and no other",
        purpose: "A member that overlooks ports either leaks or protects what the entry does not name.",
        requirements: ["POLICY-002", "POLICY-006"],
        sources: ["getvpn §5.3"],
        catches: ["dp_ports_ignored", "dp_source_port_for_destination"],
        needs: [Datapath],
        cost: 20,
        run: ports,
    },
    case! {
        "DPOL-003", "data.policy", Must, Gm,
        title: "a changed policy counts for flows that are already running",
        purpose: "Members remember decisions to be fast. A flow that goes on in clear after the policy has taken it in \
                  is a leak that lasts as long as the flow.",
        requirements: ["POLICY-003"],
        sources: ["getvpn §3.9", "getvpn §5.3"],
        catches: ["dp_flows_outlive_the_policy"],
        needs: [Datapath],
        cost: 30,
        run: policy_changes,
    },
    case! {
        "DPOL-004", "data.policy", Must, Gm,
        title: "a permitted flow without a key is dropped, never sent in clear",
        purpose: "Keys can be gone before new ones have come. The policy still says that the flow is for members only.",
        requirements: ["DP-020", "POLICY-002"],
        sources: ["getvpn §5.6"],
        catches: ["dp_permit_without_sa_leaks"],
        needs: [Datapath],
        cost: 30,
        run: keys_deleted,
    },
    case! {
        "DPOL-005", "data.policy", Must, Gm,
        title: "a clear packet from the WAN that should have been protected is dropped",
        purpose: "Whoever can send to the WAN could otherwise talk to the hosts behind the member as if he were one of \
                  the group.",
        requirements: ["DP-012", "ESP-096"],
        sources: ["RFC 4301 §5.2", "getvpn §5.4"],
        catches: ["dp_clear_inbound_accepted"],
        needs: [Datapath],
        cost: 20,
        run: clear_inbound,
    },
    case! {
        "DPOL-006", "data.policy", Must, Gm,
        title: "a clear packet from the WAN of a denied class passes",
        purpose: "What the group leaves in clear has to arrive in clear.",
        requirements: ["DP-013", "DP-012"],
        sources: ["getvpn §5.4"],
        catches: ["dp_deny_inbound_dropped", "dp_rule_order_reversed"],
        needs: [Datapath],
        cost: 20,
        run: denied_inbound,
    },
];

const PROTECTED: Rule = Rule::grave("policy.permitted-is-protected", &["POLICY-001", "ESP-001"]);

fn at(host: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(host, port)
}

/// Makes a TCP segment of a connection to a port.
fn tcp(src: IpAddr, dst: IpAddr, port: u16) -> Clear {
    Clear::tcp(at(src, 40_001), at(dst, port), Tcp::ACK, b"segment")
}

/// Makes a ping from the LAN.
fn ping() -> Clear {
    Clear::echo(LAN_HOST, WAN_HOST, 7, 1, 56)
}

fn permit_any(cx: &mut Cx<'_>) -> Flow {
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, vec![Entry::any(), Entry::any_ipv6()]))?;
    let group: IpAddr = [239, 1, 1, 1].into();
    let packets: Vec<(&str, Clear)> = vec![
        ("UDP", DataScene::outbound()),
        ("a SYN", Clear::tcp(at(LAN_HOST, 40_000), at(WAN_HOST, 443), Tcp::SYN, b"")),
        ("a ping", ping()),
        ("GRE", Clear::other(LAN_HOST, WAN_HOST, 47, vec![0; 40])),
        ("protocol 253", Clear::other(LAN_HOST, WAN_HOST, 253, vec![1; 33])),
        ("UDP with IP options", DataScene::outbound().options(&[148, 4, 0, 0])),
        ("UDP to a multicast group", Clear::udp(at(LAN_HOST, 5_000), at(group, 5_000), b"to many")),
        ("UDP to a network of nobody", DataScene::outbound().between(LAN_HOST, [198, 51, 100, 9].into())),
        ("UDP over IPv6", Clear::udp(at(LAN_HOST6, 40_000), at(WAN_HOST6, 5_001), b"six")),
        ("a ping over IPv6", Clear::echo(LAN_HOST6, WAN_HOST6, 7, 1, 56)),
    ];
    for (what, packet) in packets {
        scene.expect_esp(cx, &PROTECTED, what, &packet)?;
    }
    // A fragment is protected like a packet; whether the member joins them first is its own choice.
    let pieces = DataScene::outbound().sized(2_400).fragments(1_200);
    let passed = scene.pass_many(cx, Side::Lan, &pieces)?;
    let clear = passed.packets(Side::Wan).into_iter().filter(|packet| Opener::spi_of(packet).is_none()).count();
    let observed = format!("{} fragments: {}", pieces.len(), passed.describe(Side::Wan));
    PROTECTED.judge(cx, clear == 0 && !passed.wan.is_empty(), "ESP only", observed);
    scene.finish(cx)
}

fn deny_icmp_first() -> Vec<Entry> {
    vec![Entry::any().protocol(1).deny(), Entry::any()]
}

const DENIED: Rule = Rule::new("policy.denied-passes-in-clear", &["POLICY-002"]);
const REST: Rule = Rule::grave("policy.rest-is-protected", &["POLICY-002"]);

fn deny_icmp(cx: &mut Cx<'_>) -> Flow {
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, deny_icmp_first()))?;
    scene.expect_clear(cx, &DENIED, "a ping from the LAN", Side::Lan, &ping().octets())?;
    let reply = ping().between(WAN_HOST, LAN_HOST).octets();
    scene.expect_clear(cx, &DENIED, "a ping from the WAN", Side::Wan, &reply)?;
    scene.expect_esp(cx, &REST, "TCP", &tcp(LAN_HOST, WAN_HOST, 80))?;
    scene.expect_esp(cx, &REST, "UDP", &DataScene::outbound())?;
    scene.finish(cx)
}

fn deny_over_rekeys(cx: &mut Cx<'_>) -> Flow {
    const HOLDS: Rule = Rule::new("policy.deny-holds-over-rekeys", &["POLICY-003"]);
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, deny_icmp_first()))?;
    scene.expect_clear(cx, &HOLDS, "a ping before any rekey", Side::Lan, &ping().octets())?;
    for number in 1..=3 {
        scene.rekey(cx)?;
        let what = format!("a ping after rekey {number}");
        scene.expect_clear(cx, &HOLDS, &what, Side::Lan, &ping().octets())?;
        scene.expect_esp(cx, &REST, &format!("UDP after rekey {number}"), &DataScene::outbound())?;
    }
    scene.finish(cx)
}

fn permit_before_deny(cx: &mut Cx<'_>) -> Flow {
    const ORDER: Rule = Rule::grave("policy.first-entry-decides", &["POLICY-004"]);
    let mut flows = both_ways(&Entry::standard().protocol(17));
    flows.extend(both_ways(&Entry::standard().deny()));
    flows.push(Entry::any());
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, flows))?;
    scene.expect_esp(cx, &ORDER, "UDP, permitted before it is denied", &DataScene::outbound())?;
    let clear = Rule::new("policy.deny-after-another-permit", &["POLICY-004"]);
    scene.expect_clear(cx, &clear, "TCP, denied first", Side::Lan, &tcp(LAN_HOST, WAN_HOST, 80).octets())?;
    scene.finish(cx)
}

/// Gives the script a second TEK, and each TEK its flows.
fn two_teks(script: &mut KsScript, rng: &mut Rng, first: Vec<Entry>, second: Vec<Entry>) {
    let tek = Tek::generate(rng).flows(second);
    with_flows(script, first);
    script.group.teks.push(tek);
}

fn deny_hides_permit(cx: &mut Cx<'_>) -> Flow {
    const HIDES: Rule = Rule::new("policy.deny-hides-later-permit", &["POLICY-005"]);
    let mut rng = Rng::from_seed(cx.world.rng().octets());
    let elsewhere = Entry::between(([10, 3, 0, 0].into(), 16), ([10, 3, 0, 0].into(), 16));
    let mut first = both_ways(&Entry::standard().protocol(1).deny());
    first.extend(both_ways(&Entry::standard().protocol(6).deny()));
    first.push(elsewhere);
    let second = both_ways(&Entry::standard());
    let mut scene = DataScene::with(cx, |_| {}, |script| two_teks(script, &mut rng, first, second))?;
    let tek = scene.scene.ks.script.group.teks.get(1).cloned();
    let tek = cx.have(tek, "the script has no second TEK")?;
    scene.send_under(&tek)?;
    scene.expect_clear(cx, &HIDES, "a ping, denied in the first SA", Side::Lan, &ping().octets())?;
    let segment = tcp(LAN_HOST, WAN_HOST, 80).octets();
    scene.expect_clear(cx, &HIDES, "TCP, denied by the second deny", Side::Lan, &segment)?;
    let rest = Rule::grave("policy.permit-of-second-sa", &["POLICY-005"]);
    let seen = scene.expect_esp(cx, &rest, "UDP, permitted in the second SA", &DataScene::outbound())?;
    let observed = format!("SPI {:08x}", seen.spi);
    rest.judge(cx, seen.spi == tek.spi, "the SPI of the second SA", observed);
    // The rekey at the end brings one TEK of the same policy.
    scene.control = Control::Protected;
    scene.finish(cx)
}

fn no_match(cx: &mut Cx<'_>) -> Flow {
    const CLEAR: Rule = Rule::new("policy.no-match-passes-in-clear", &["POLICY-006"]);
    let mut scene = DataScene::standard(cx)?;
    let packets = [
        ("from the LAN to a host of no entry", Side::Lan, DataScene::outbound().between(LAN_HOST, OTHER_HOST)),
        ("from the WAN, from a host of no entry", Side::Wan, DataScene::inbound().between(OTHER_HOST, LAN_HOST)),
        ("from a host of no entry on the LAN", Side::Lan, DataScene::outbound().between(OTHER_HOST, WAN_HOST)),
        ("over IPv6", Side::Lan, Clear::udp(at(LAN_HOST6, 40_000), at(WAN_HOST6, 5_001), b"six")),
    ];
    for (what, side, packet) in packets {
        scene.expect_clear(cx, &CLEAR, what, side, &packet.octets())?;
    }
    scene.finish(cx)
}

fn local_deny(cx: &mut Cx<'_>) -> Flow {
    const LOCAL: Rule = Rule::new("policy.local-deny-first", &["POLICY-007"]);
    let list = ["deny tcp any any eq 179", "deny tcp any eq 179 any"];
    let mut scene = DataScene::with(cx, |setup| setup.data().local_deny = list.map(str::to_owned).to_vec(), |_| {})?;
    scene.expect_clear(cx, &LOCAL, "BGP to a neighbour", Side::Lan, &tcp(LAN_HOST, WAN_HOST, 179).octets())?;
    scene.expect_clear(cx, &LOCAL, "BGP from a neighbour", Side::Wan, &tcp(WAN_HOST, LAN_HOST, 179).octets())?;
    let rest = Rule::grave("policy.rest-stays-the-groups", &["POLICY-007"]);
    scene.expect_esp(cx, &rest, "TCP to another port", &tcp(LAN_HOST, WAN_HOST, 80))?;
    scene.finish(cx)
}

fn local_permit(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::new("policy.local-permit-dropped", &["POLICY-008"]);
    let list = vec!["permit udp any any eq 9999".to_owned()];
    let mut scene = DataScene::with(cx, |setup| setup.data().local_deny = list, |_| {})?;
    let packet = Clear::udp(at(LAN_HOST, 40_000), at(WAN_HOST, 9_999), b"local").octets();
    scene.expect_nothing(cx, &DROPPED, "UDP that the local list permits", Side::Lan, &[packet])?;
    scene.finish(cx)
}

/// Judges that a rekey reaches the member, whose acknowledgement must come back.
fn rekeyed(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule) -> Flow {
    let rekeyed = scene.rekey(cx);
    let observed = match &rekeyed {
        Ok(_) => "it was".to_owned(),
        Err(Stop::Inconclusive(why)) => {
            // It speaks against a member only that acknowledges rekeys under another policy.
            DataScene::standard(cx)?.rekey(cx)?;
            why.clone()
        }
        Err(_) => return rekeyed.map(drop),
    };
    match rule.judge(cx, rekeyed.is_ok(), "a rekey is received and acknowledged", observed) {
        true => Ok(()),
        false => Err(Stop::Judged),
    }
}

fn own_control(cx: &mut Cx<'_>) -> Flow {
    const OWN: Rule = Rule::new("policy.own-control-in-clear", &["POLICY-009", "ESP-097"]);
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, vec![Entry::any()]))?;
    rekeyed(cx, &mut scene, &OWN)?;
    let (own, server) = (cx.subject(), cx.tester(0));
    let out = Clear::udp(own, server, &[0x55; 100]).octets();
    let back = Clear::udp(server, own, &[0x56; 100]).octets();
    scene.expect_clear(cx, &OWN, "a datagram of its own to the key server", Side::Lan, &out)?;
    scene.expect_clear(cx, &OWN, "a datagram of the key server to it", Side::Wan, &back)?;
    scene.finish(cx)
}

fn deny_848(cx: &mut Cx<'_>) -> Flow {
    const PASSES: Rule = Rule::new("policy.denied-848-in-clear", &["POLICY-010"]);
    let flows = vec![Entry::any().protocol(17).ports(848, 848).deny(), Entry::any()];
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, flows))?;
    rekeyed(cx, &mut scene, &PASSES)?;
    let key_management = Clear::udp(at(LAN_HOST, 848), at(WAN_HOST, 848), &[0x57; 100]);
    scene.expect_clear(cx, &PASSES, "another member's registration", Side::Lan, &key_management.octets())?;
    let back = key_management.between(WAN_HOST, LAN_HOST).octets();
    scene.expect_clear(cx, &PASSES, "the answer to it", Side::Wan, &back)?;
    let rest = Rule::grave("policy.other-ports-protected", &["POLICY-010"]);
    scene.expect_esp(cx, &rest, "UDP of other ports", &DataScene::outbound())?;
    scene.finish(cx)
}

fn one_way_port(cx: &mut Cx<'_>) -> Flow {
    // Whether group SAs mirror their entries is not settled by any text, so all of this only warns.
    const OUT: Rule = Rule::advisory("policy.port-entry-as-written", &["POLICY-011"]);
    const REPLY: Rule = Rule::advisory("policy.reply-in-clear", &["POLICY-011"]);
    const MIRRORED: Rule = Rule::advisory("policy.inbound-mirrored", &["POLICY-011"]);
    let mut flows = vec![Entry::any().protocol(6).ports(0, 443)];
    // The controls have entries of their own.
    flows.extend(both_ways(&Entry::standard().protocol(17)));
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, flows))?;
    scene.expect_esp(cx, &OUT, "a request to port 443", &tcp(LAN_HOST, WAN_HOST, 443))?;
    let reply = |src: IpAddr, dst: IpAddr| Clear::tcp(at(src, 443), at(dst, 40_001), Tcp::ACK, b"reply").octets();
    scene.expect_clear(cx, &REPLY, "a reply of a server on the LAN", Side::Lan, &reply(LAN_HOST, WAN_HOST))?;
    let from_wan = vec![reply(WAN_HOST, LAN_HOST)];
    scene.expect_nothing(cx, &MIRRORED, "a clear reply from port 443 beyond the WAN", Side::Wan, &from_wan)?;
    let request = tcp(WAN_HOST, LAN_HOST, 443).octets();
    scene.expect_clear(cx, &MIRRORED, "a clear request to port 443 on the LAN", Side::Wan, &request)?;
    scene.finish(cx)
}

fn fragments_and_ports(cx: &mut Cx<'_>) -> Flow {
    // No text says what a gateway does with group SAs of single ports and the pieces of a datagram: this only warns.
    const PIECES: Rule = Rule::advisory("policy.pieces-not-in-clear", &["POLICY-012"]);
    let flows = both_ways(&Entry::standard().protocol(17).ports(0, 5_001));
    let back = both_ways(&Entry::standard().protocol(17).ports(5_001, 0));
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, [flows, back].concat()))?;
    let pieces = DataScene::outbound().sized(2_400).fragments(1_200);
    let passed = scene.pass_many(cx, Side::Lan, &pieces)?;
    let clear = passed.packets(Side::Wan).into_iter().filter(|packet| Opener::spi_of(packet).is_none()).count();
    cx.measure("pieces sent", pieces.len() as f64, "packets");
    cx.measure("packets that came", passed.wan.len() as f64, "packets");
    let observed = format!("{} pieces: {}", pieces.len(), passed.describe(Side::Wan));
    PIECES.judge(cx, clear == 0, "no piece in clear", observed);
    scene.finish(cx)
}

fn first_sa(cx: &mut Cx<'_>) -> Flow {
    const FIRST: Rule = Rule::new("policy.first-sa-used", &["POLICY-023"]);
    let mut rng = Rng::from_seed(cx.world.rng().octets());
    let flows = both_ways(&Entry::standard());
    for (what, second) in
        [("the same flows twice", flows.clone()), ("a narrow flow before a wide one", vec![Entry::any()])]
    {
        let mut scene = DataScene::with(cx, |_| {}, |script| two_teks(script, &mut rng, flows.clone(), second))?;
        let first = scene.tek()?.spi;
        for _ in 0..2 {
            let seen = scene.expect_esp(cx, &FIRST, what, &DataScene::outbound())?;
            let observed = format!("{what}: SPI {:08x}", seen.spi);
            FIRST.judge(cx, seen.spi == first, "the SPI of the first SA", observed);
        }
        scene.finish(cx)?;
    }
    Ok(())
}

fn edges(cx: &mut Cx<'_>) -> Flow {
    const INSIDE: Rule = Rule::grave("policy.range-to-its-ends", &["POLICY-001"]);
    const OUTSIDE: Rule = Rule::new("policy.range-not-beyond", &["POLICY-006"]);
    let mut scene = DataScene::standard(cx)?;
    let to = |dst: [u8; 4]| DataScene::outbound().between(LAN_HOST, dst.into());
    let from = |src: [u8; 4]| DataScene::outbound().between(src.into(), WAN_HOST);
    // 10.1.0.0/16 to 10.2.0.0/16; the wider /15 of the second holds 10.3.0.0/16, that of the first 10.0.0.0/16.
    for (what, packet) in [
        ("to the first address", to([10, 2, 0, 0])),
        ("to the last address", to([10, 2, 255, 255])),
        ("from the first address", from([10, 1, 0, 2])),
        ("from the last address", from([10, 1, 255, 255])),
    ] {
        scene.expect_esp(cx, &INSIDE, what, &packet)?;
    }
    for (what, packet) in [
        ("to the address behind the last", to([10, 3, 0, 0])),
        ("to the middle of the next network", to([10, 3, 7, 7])),
        ("from the address before the first", from([10, 0, 255, 255])),
        ("from the address behind the last", from([10, 4, 0, 1])),
    ] {
        scene.expect_clear(cx, &OUTSIDE, what, Side::Lan, &packet.octets())?;
    }
    scene.finish(cx)
}

fn ports(cx: &mut Cx<'_>) -> Flow {
    const MATCHES: Rule = Rule::grave("policy.port-matches", &["POLICY-002"]);
    const OTHERS: Rule = Rule::new("policy.other-ports-do-not", &["POLICY-006"]);
    let mut flows = both_ways(&Entry::standard().protocol(6).ports(0, 443));
    flows.extend(both_ways(&Entry::standard().protocol(17)));
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, flows))?;
    scene.expect_esp(cx, &MATCHES, "TCP to port 443", &tcp(LAN_HOST, WAN_HOST, 443))?;
    for (what, src, dst) in [("to port 442", 40_000, 442), ("to port 444", 40_000, 444), ("from port 443", 443, 40_000)]
    {
        let packet = Clear::tcp(at(LAN_HOST, src), at(WAN_HOST, dst), Tcp::ACK, b"segment").octets();
        scene.expect_clear(cx, &OTHERS, &format!("TCP {what}"), Side::Lan, &packet)?;
    }
    scene.finish(cx)
}

fn policy_changes(cx: &mut Cx<'_>) -> Flow {
    const NOW: Rule = Rule::new("policy.change-counts-at-once", &["POLICY-003"]);
    const LEAK: Rule = Rule::grave("policy.change-counts-at-once", &["POLICY-003"]);
    let mut flows = both_ways(&Entry::standard().protocol(6).deny());
    flows.extend(both_ways(&Entry::standard()));
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, flows))?;
    let segment = tcp(LAN_HOST, WAN_HOST, 80);
    scene.expect_clear(cx, &NOW, "TCP while it is denied", Side::Lan, &segment.octets())?;
    let permitting = scene.scene.ks.fresh_tek().flows(both_ways(&Entry::standard()));
    scene.push(cx, PushSpec::tek(permitting))?;
    scene.expect_esp(cx, &LEAK, "the same flow once it is permitted", &segment)?;
    let mut flows = both_ways(&Entry::standard().protocol(6).deny());
    flows.extend(both_ways(&Entry::standard()));
    let denying = scene.scene.ks.fresh_tek().flows(flows);
    scene.push(cx, PushSpec::tek(denying))?;
    scene.expect_clear(cx, &NOW, "the same flow once it is denied again", Side::Lan, &segment.octets())?;
    scene.finish(cx)
}

fn keys_deleted(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::grave("policy.permit-without-key-dropped", &["DP-020"]);
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, deny_icmp_first()))?;
    scene.expect_esp(cx, &REST, "UDP while there is a key", &DataScene::outbound())?;
    let spis = vec![scene.tek()?.spi.to_be_bytes().to_vec()];
    scene.push(cx, PushSpec::delete(deletion(1, spis)))?;
    // The denied class shows that the member works: there is no SA to show it by.
    scene.control = Control::InClear { out: ping(), back: ping().between(WAN_HOST, LAN_HOST) };
    let packets = vec![DataScene::outbound().octets(), tcp(LAN_HOST, WAN_HOST, 80).octets()];
    scene.expect_nothing(cx, &DROPPED, "UDP and TCP without a key", Side::Lan, &packets)?;
    // Whether it waits for a rekey or registers by itself is its own choice.
    scene.control = Control::Protected;
    scene.rekey(cx)?;
    scene.expect_esp(cx, &REST, "UDP with a new key", &DataScene::outbound())?;
    scene.finish(cx)
}

fn clear_inbound(cx: &mut Cx<'_>) -> Flow {
    const DROPPED: Rule = Rule::grave("policy.clear-inbound-dropped", &["DP-012", "ESP-096"]);
    let mut scene = DataScene::standard(cx)?;
    for (what, packet) in [
        ("UDP", DataScene::inbound()),
        ("TCP", tcp(WAN_HOST, LAN_HOST, 80)),
        ("a ping", ping().between(WAN_HOST, LAN_HOST)),
        ("a fragment", DataScene::inbound()),
    ] {
        let packets = match what {
            "a fragment" => packet.sized(2_000).fragments(1_200),
            _ => vec![packet.octets()],
        };
        scene.expect_nothing(cx, &DROPPED, &format!("{what} in clear from the WAN"), Side::Wan, &packets)?;
    }
    scene.finish(cx)
}

fn denied_inbound(cx: &mut Cx<'_>) -> Flow {
    const PASSES: Rule = Rule::new("policy.denied-inbound-passes", &["DP-013"]);
    let mut flows = both_ways(&Entry::standard().protocol(6).ports(0, 22).deny());
    flows.extend(both_ways(&Entry::standard()));
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, flows))?;
    // The entry for the way out, mirrored: the reply of a server beyond the WAN.
    let reply = Clear::tcp(at(WAN_HOST, 22), at(LAN_HOST, 40_001), Tcp::ACK, b"reply").octets();
    scene.expect_clear(cx, &PASSES, "SSH from a server beyond the WAN", Side::Wan, &reply)?;
    let dropped = Rule::grave("policy.rest-of-clear-inbound-dropped", &["DP-012"]);
    let other = vec![Clear::tcp(at(WAN_HOST, 23), at(LAN_HOST, 40_001), Tcp::ACK, b"reply").octets()];
    scene.expect_nothing(cx, &dropped, "TCP from another port in clear", Side::Wan, &other)?;
    scene.finish(cx)
}
