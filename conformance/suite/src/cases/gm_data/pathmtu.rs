//! ICMP errors of the member about packets that do not fit or have gone too far, and what it makes of errors about its
//! own ESP packets.

use std::net::IpAddr;

use hallmark_core::Duration;
use hallmark_probe::data::{Clear, EspSeen};
use hallmark_probe::group::Flow as Entry;
use hallmark_probe::world::Side;
use hallmark_wire::ip;

use super::pieces::{
    ErrorSeen, LAN_ROUTER6, STANDARD, Sent, errors, expect_cut, expect_whole, hosts, outbound, outbound6, send,
    too_big, unlike, with_all_transforms, with_ipv6,
};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::data::{DataScene, LAN_HOST, LAN_HOST6, Passed, Rule, WAN_HOST, WAN_HOST6, both_ways, with_flows};
use crate::setup::{Data, GmSetup, LAN_ROUTER};

pub(crate) const CASES: &[Case] = &[
    case! {
        "PMTU-001", "data.pmtu", Must, Gm,
        title: "a packet with DF that does not fit is answered with ICMP 3/4 and the size that does",
        purpose: "Path MTU discovery of every TCP behind the member rests on this answer; without it, or with a size \
                  that does not fit either, large transfers hang while ping works.",
        requirements: ["PMTU-001", "ESP-081"],
        sources: ["RFC 4301 §8.2.1", "RFC 1191 §4", "getvpn §5.7"],
        catches: ["dp_icmp_missing", "dp_icmp_mtu_of_link", "dp_icmp_mtu_zero", "dp_df_fragmented", "dp_icmp_to_wan",
                  "dp_oversize_sent"],
        needs: [Datapath],
        cost: 20,
        run: too_big_v4,
    },
    case! {
        "PMTU-011", "data.pmtu", Must, Gm,
        title: "an IPv6 packet that does not fit is answered with ICMPv6 2/0 and the size that does",
        purpose: "IPv6 is never cut on the way, so that without the answer nothing large ever arrives.",
        requirements: ["PMTU-011", "ESP-083"],
        sources: ["RFC 4301 §8.2.1", "RFC 8201 §4", "RFC 4443 §3.2"],
        catches: ["dp_icmpv6_missing", "dp_ipv6_fragmented", "dp_icmp_mtu_of_link", "dp_icmp_mtu_zero"],
        needs: [Datapath, Setup],
        cost: 20,
        run: too_big_v6,
    },
    case! {
        "ICMP-001", "data.pmtu", Must, Gm,
        title: "the size that is told is the largest that fits, with every transform and both IP versions",
        purpose: "A size that is too large is told again and again; one that is too small costs throughput for ten \
                  minutes.",
        requirements: ["PMTU-001", "PMTU-011", "ESP-081", "ESP-083"],
        sources: ["esp.md §12", "esp.md §13"],
        catches: ["dp_edge_one_too_early", "dp_edge_one_too_late", "dp_icmp_mtu_of_link"],
        needs: [Datapath, Setup],
        cost: 90,
        run: told_with_all_transforms,
    },
    case! {
        "ICMP-002", "data.pmtu", Must, Gm,
        title: "an ICMP error quotes the packet that it is about, as the host sent it",
        purpose: "Hosts find the connection by the quotation; an error that quotes nothing, or the ESP packet, is \
                  ignored.",
        requirements: ["PMTU-001", "PMTU-011"],
        sources: ["RFC 792", "RFC 1812 §4.3.2.3", "RFC 4443 §2.4", "esp.md §13"],
        catches: ["dp_icmp_quote_empty"],
        needs: [Datapath, Setup],
        cost: 20,
        run: quotation,
    },
    case! {
        "ICMP-003", "data.pmtu", Must, Gm,
        title: "the checksum of an ICMP error is right",
        purpose: "An error with a wrong checksum is dropped by the host, and the transfer hangs as without it.",
        requirements: ["PMTU-001", "PMTU-011"],
        sources: ["RFC 792", "RFC 4443 §2.3"],
        catches: ["dp_icmp_checksum_wrong"],
        needs: [Datapath, Setup],
        cost: 20,
        run: checksum,
    },
    case! {
        "ICMP-004", "data.pmtu", Must, Gm,
        title: "an ICMP error comes from the member's own address on the side of the host",
        purpose: "Filters that know the routers of a site drop errors from elsewhere; an error that seems to come from \
                  the far host hides who said it.",
        requirements: ["PMTU-001", "PMTU-011"],
        sources: ["RFC 1812 §4.3.2.4", "RFC 4443 §2.2", "esp.md §13"],
        catches: ["dp_icmp_source_wrong"],
        needs: [Datapath, Setup],
        cost: 20,
        run: source,
    },
    case! {
        "ICMP-005", "data.pmtu", Must, Gm,
        title: "no ICMP error is sent about a packet that may be cut",
        purpose: "A host that hears of it lowers its segment size for nothing, or floods its log.",
        requirements: ["ESP-082", "PMTU-002"],
        sources: ["RFC 4301 §8.2.1"],
        catches: ["dp_icmp_for_df_zero"],
        needs: [Datapath, Setup],
        cost: 15,
        run: not_without_df,
    },
    case! {
        "ICMP-006", "data.pmtu", Must, Gm,
        title: "no ICMP error is sent about an ICMP error",
        purpose: "Errors about errors go back and forth until something breaks.",
        requirements: ["ESP-081", "ESP-083"],
        sources: ["RFC 1122 §3.2.2", "RFC 1812 §4.3.2.7", "RFC 4443 §2.4"],
        catches: ["dp_icmp_for_errors"],
        needs: [Datapath, Setup],
        cost: 15,
        run: not_about_errors,
    },
    case! {
        "ICMP-007", "data.pmtu", Must, Gm,
        title: "no ICMP error is sent about IPv4 multicast or about later fragments",
        purpose: "One packet to a group would be answered by every member on its way, to whoever is named as its source.",
        requirements: ["ESP-081"],
        sources: ["RFC 1122 §3.2.2", "RFC 1812 §4.3.2.7"],
        catches: ["dp_icmp_for_groups"],
        needs: [Datapath],
        cost: 15,
        run: not_about_groups,
    },
    case! {
        "ICMP-008", "data.pmtu", Must, Gm,
        title: "IPv6 hosts are never told less than 1280 octets",
        purpose: "A host need not believe less (RFC 8201), and some stop altogether.",
        requirements: ["ESP-083", "PMTU-011"],
        sources: ["RFC 8200 §5", "RFC 8201 §4", "esp.md §13"],
        catches: ["dp_icmpv6_below_minimum"],
        needs: [Datapath, Setup],
        cost: 20,
        run: never_below_minimum,
    },
    case! {
        "ICMP-009", "data.size", Must, Gm,
        title: "IPv6 packets of 1280 octets pass a link that their ESP packets do not fit",
        purpose: "Hosts may always send that much; the member has to cut its ESP packet, as the source that it is of it.",
        requirements: ["ESP-083", "ESP-044"],
        sources: ["RFC 8200 §5", "RFC 2473 §7.1", "esp.md §13"],
        catches: ["dp_ipv6_fragmented", "dp_oversize_sent"],
        needs: [Datapath, Setup],
        cost: 20,
        run: minimum_passes,
    },
    case! {
        "ICMP-010", "data.pmtu", Must, Gm,
        title: "a packet whose hops have run out is dropped and answered with time exceeded",
        purpose: "Traceroute through the site stops at a member that is silent here, and loops are not found.",
        requirements: ["DP-004", "ESP-052"],
        sources: ["RFC 1812 §5.2.7.3", "RFC 4443 §3.3", "RFC 4301 §5.1.2"],
        catches: ["dp_time_exceeded_missing", "dp_ttl_zero_forwarded"],
        needs: [Datapath, Setup],
        cost: 20,
        run: time_exceeded,
    },
    case! {
        "PMTU-004", "data.pmtu", Must, Gm,
        title: "an ICMP error in clear does not pass where the policy protects everything",
        purpose: "It is a packet in clear like any other: who can send one in could feed the hosts false sizes.",
        requirements: ["PMTU-004", "ESP-096"],
        sources: ["getvpn §5.7", "RFC 4301 §6"],
        catches: ["dp_clear_inbound_accepted"],
        needs: [Datapath],
        cost: 20,
        run: protected_errors,
    },
    case! {
        "PMTU-005", "data.pmtu", Must, Gm,
        title: "an ICMP error about an ESP packet reaches the host unchanged, or the member has learned from it",
        purpose: "One of the two keeps a way out of the black hole; an error that is swallowed leaves none.",
        requirements: ["PMTU-005", "ESP-086"],
        sources: ["getvpn §5.7", "esp.md §13"],
        catches: ["dp_ptb_ignored", "dp_pmtu_ignored_on_send"],
        needs: [Datapath, Setup],
        cost: 20,
        run: passed_or_learned,
    },
    case! {
        "PTB-001", "data.pmtu", Should, Gm,
        title: "after an error about an ESP packet the hosts are told what fits the narrower path, and packets are cut \
                to it",
        purpose: "The reported MTU is that of ESP packets; only the member can say what it means for the hosts.",
        requirements: ["ESP-086", "PMTU-005"],
        sources: ["esp.md §13", "RFC 4301 §8.2.1"],
        catches: ["dp_ptb_ignored", "dp_pmtu_ignored_on_send"],
        needs: [Datapath, Setup],
        cost: 30,
        run: applied,
    },
    case! {
        "PTB-002", "data.pmtu", Should, Gm,
        title: "an error that the member has learned from is not forwarded to the host",
        purpose: "It quotes an ESP packet that the host never sent; hosts log it as an attack or apply its size, which \
                  is that of the wrong packet.",
        requirements: ["ESP-086", "PMTU-005"],
        sources: ["esp.md §13"],
        catches: ["dp_ptb_forwarded_too"],
        needs: [Datapath, Setup],
        cost: 20,
        run: consumed,
    },
    case! {
        "PMTU-012", "data.pmtu", Should, Gm,
        title: "a forged error does not lower the path MTU below the floor",
        purpose: "Errors are not authenticated; one that announces 68 octets would make the member cut everything into \
                  dozens of packets for ten minutes.",
        requirements: ["PMTU-012", "ESP-086"],
        sources: ["getvpn §9.11", "RFC 4301 §8.2.2", "RFC 8201 §4"],
        catches: ["dp_ptb_below_floor"],
        needs: [Datapath, Setup],
        cost: 30,
        run: floor,
    },
    case! {
        "PTB-003", "data.pmtu", Should, Gm,
        title: "errors about ESP packets that the member never sent are not believed",
        purpose: "Who does not see its traffic must not be able to slow it down.",
        requirements: ["ESP-086", "PMTU-012"],
        sources: ["esp.md §13", "RFC 5927 §4"],
        catches: ["dp_ptb_foreign_spi"],
        needs: [Datapath, Setup],
        cost: 30,
        run: not_sent,
    },
    case! {
        "PTB-004", "data.pmtu", Should, Gm,
        title: "errors never raise a path MTU",
        purpose: "A path becomes wider only with time; what is believed too early is lost.",
        requirements: ["ESP-086", "ESP-088", "PMTU-005"],
        sources: ["RFC 1191 §3", "RFC 8201 §4"],
        catches: ["dp_ptb_raises"],
        needs: [Datapath, Setup],
        cost: 30,
        run: not_raised,
    },
    case! {
        "PTB-005", "data.pmtu", Should, Gm,
        title: "a path MTU holds for the destination that it was learned for",
        purpose: "One site behind a narrow link must not make all others pay.",
        requirements: ["ESP-086", "PMTU-005"],
        sources: ["RFC 1191 §4", "esp.md §13"],
        catches: ["dp_ptb_for_all_destinations"],
        needs: [Datapath, Setup],
        cost: 30,
        run: per_destination,
    },
    case! {
        "PTB-006", "data.pmtu", Must, Gm,
        title: "a learned path MTU is forgotten after the time that is configured",
        purpose: "Paths change back; a member that never forgets stays slow until somebody reloads it.",
        requirements: ["ESP-085", "PMTU-005", "ESP-086"],
        sources: ["RFC 4301 §8.2.2", "RFC 1191 §6.3"],
        catches: ["dp_pmtu_never_ages"],
        needs: [Datapath, Setup],
        cost: 100,
        run: ages,
    },
    case! {
        "PTB-007", "data.pmtu", Should, Gm,
        title: "ICMPv6 errors about ESP packets are learned from, and not believed below 1280",
        purpose: "The same black hole exists for IPv6, where nothing is ever cut on the way.",
        requirements: ["ESP-086", "PMTU-012", "PMTU-005"],
        sources: ["RFC 8201 §4", "esp.md §13"],
        catches: ["dp_ptb_below_floor", "dp_ptb_ignored"],
        needs: [Datapath, Setup],
        cost: 30,
        run: learned_v6,
    },
    case! {
        "PTB-008", "data.pmtu", Must, Gm,
        title: "learning from errors can be switched off",
        purpose: "They are not authenticated; an operator who does not want them believed must be able to say so.",
        requirements: ["ESP-084"],
        sources: ["RFC 4301 §6.1.1"],
        catches: ["dp_ptb_switch_ignored"],
        needs: [Datapath, Setup],
        cost: 20,
        run: switched_off,
    },
];

/// Changes the data plane of a setup.
fn data(change: impl FnOnce(&mut Data)) -> impl FnOnce(&mut GmSetup) {
    |setup| {
        if let Some(data) = setup.data.as_mut() {
            change(data);
        }
    }
}

/// Gives the member an IPv6 address on its LAN instead of the IPv4 one.
fn with_router6(data: &mut Data) {
    data.lan_address = Some(LAN_ROUTER6);
}

const LINK: usize = 1_500;

/// Sends a packet that does not fit and may not be cut; gives what came of it and the answer to the host.
fn refused(cx: &mut Cx<'_>, scene: &mut DataScene, packet: &Clear) -> Flow<(Passed, Option<ErrorSeen>)> {
    let passed = scene.lan_to_wan(cx, &packet.octets())?;
    let told = errors(&passed.packets(Side::Lan)).into_iter().find(ErrorSeen::is_too_big);
    Ok((passed, told))
}

/// As [`refused`], for a case that is about the answer.
fn told(cx: &mut Cx<'_>, scene: &mut DataScene, packet: &Clear) -> Flow<ErrorSeen> {
    let (passed, told) = refused(cx, scene, packet)?;
    cx.have(told, format!("no answer to a packet that is too big; {}", passed.describe(Side::Lan)))
}

/// Says in words what a host was told.
fn words(told: Option<&ErrorSeen>) -> String {
    told.map_or_else(|| "no ICMP error".to_owned(), ErrorSeen::describe)
}

/// Judges the answer to a packet of 1500 octets in full: refused, told to its source, with a size that fits.
fn judge_told(
    cx: &mut Cx<'_>,
    scene: &mut DataScene,
    rules: [&Rule; 3],
    packet: &Clear,
    (what, fits): (&str, usize),
) -> Flow {
    let [kept, comes, mtu] = rules;
    let (passed, answer) = refused(cx, scene, packet)?;
    let observed = format!("{what}: {}", passed.describe(Side::Wan));
    kept.judge(cx, passed.wan.is_empty(), "nothing towards the WAN", observed);
    let to_source = answer.as_ref().is_some_and(|error| error.dst == packet.src);
    comes.judge(cx, to_source, "an answer to its source", format!("{what}: {}", words(answer.as_ref())));
    let announced = answer.map_or(0, |error| error.mtu);
    mtu.judge(cx, announced == fits, &format!("MTU {fits}"), format!("{what}: MTU {announced}"));
    Ok(())
}

fn too_big_v4(cx: &mut Cx<'_>) -> Flow {
    const KEPT: Rule = Rule::new("icmp.df-kept", &["PMTU-001", "ESP-081"]);
    const COMES: Rule = Rule::new("icmp.too-big-comes", &["PMTU-001", "ESP-081"]);
    const MTU: Rule = Rule::new("icmp.too-big-mtu", &["PMTU-001", "ESP-081"]);
    const USABLE: Rule = Rule::new("icmp.told-size-passes", &["PMTU-001"]);
    let mut scene = DataScene::standard(cx)?;
    let fits = STANDARD.fits(LINK, false, 0);
    for len in [fits + 1, LINK] {
        let packet = outbound(len).df(true);
        let what = format!("{len} octets");
        judge_told(cx, &mut scene, [&KEPT, &COMES, &MTU], &packet, (&what, fits))?;
    }
    let what = format!("{fits} octets");
    expect_whole(&mut scene, cx, &USABLE, (&what, LINK), &outbound(fits).df(true).octets())?;
    scene.finish(cx)
}

fn too_big_v6(cx: &mut Cx<'_>) -> Flow {
    const KEPT: Rule = Rule::new("icmp6.not-cut", &["PMTU-011", "ESP-083"]);
    const COMES: Rule = Rule::new("icmp6.too-big-comes", &["PMTU-011", "ESP-083"]);
    const MTU: Rule = Rule::new("icmp6.too-big-mtu", &["PMTU-011", "ESP-083"]);
    const USABLE: Rule = Rule::new("icmp6.told-size-passes", &["PMTU-011"]);
    let mut scene = DataScene::with(cx, data(with_router6), with_ipv6)?;
    let fits = STANDARD.fits(LINK, true, 0);
    for len in [fits + 1, LINK] {
        let what = format!("{len} octets");
        judge_told(cx, &mut scene, [&KEPT, &COMES, &MTU], &outbound6(len), (&what, fits))?;
    }
    expect_whole(&mut scene, cx, &USABLE, (&format!("{fits} octets"), LINK), &outbound6(fits).octets())?;
    scene.finish(cx)
}

fn told_with_all_transforms(cx: &mut Cx<'_>) -> Flow {
    const MTU: Rule = Rule::new("icmp.too-big-mtu", &["PMTU-001", "ESP-081"]);
    const MTU6: Rule = Rule::new("icmp6.too-big-mtu", &["PMTU-011", "ESP-083"]);
    let (mut scene, ends) = with_all_transforms(cx, |_| {})?;
    for (sizes, far, far6) in ends {
        for (v6, rule, near, far) in [(false, &MTU, LAN_HOST, far), (true, &MTU6, LAN_HOST6, far6)] {
            let fits = sizes.fits(LINK, v6, 0);
            // One octet too many: the closest that an answer can be asked for.
            let packet = outbound(100).df(true).between(near, far).sized(fits + 1);
            let (_, answer) = refused(cx, &mut scene, &packet)?;
            let announced = answer.as_ref().map_or(0, |error| error.mtu);
            let observed = format!("{}, IPv{}: {}", sizes.name, if v6 { 6 } else { 4 }, words(answer.as_ref()));
            rule.judge(cx, announced == fits, &format!("MTU {fits} for {} octets", fits + 1), observed);
        }
    }
    scene.finish(cx)
}

/// Has a packet of each IP version refused, in a scene where the member has an address of that version.
fn answers(cx: &mut Cx<'_>, judge: &mut dyn FnMut(&mut Cx<'_>, &str, &Clear, &ErrorSeen)) -> Flow {
    let mut scene = DataScene::standard(cx)?;
    let packet = outbound(LINK).df(true);
    let error = told(cx, &mut scene, &packet)?;
    judge(cx, "IPv4", &packet, &error);
    scene.finish(cx)?;
    let mut scene = DataScene::with(cx, data(with_router6), with_ipv6)?;
    let packet = outbound6(LINK);
    let error = told(cx, &mut scene, &packet)?;
    judge(cx, "IPv6", &packet, &error);
    scene.finish(cx)
}

fn quotation(cx: &mut Cx<'_>) -> Flow {
    const QUOTED: Rule = Rule::new("icmp.quotes", &["PMTU-001", "PMTU-011"]);
    const LENGTH: Rule = Rule::new("icmp.length", &["PMTU-001", "PMTU-011"]);
    answers(cx, &mut |cx, version, packet, error| {
        let octets = packet.octets();
        let (least, most) = if error.v6 { (48, 1_280) } else { (28, 576) };
        let same = octets.get(..error.quoted.len()) == Some(error.quoted.as_slice());
        let observed = format!("{version}: {} octets quoted, as sent: {same}", error.quoted.len());
        QUOTED.judge(cx, same && error.quoted.len() >= least, "the IP header and 8 octets at least, as sent", observed);
        let observed = format!("{version}: {} octets", error.len);
        LENGTH.judge(cx, error.len <= most, &format!("{most} octets at most"), observed);
    })
}

fn checksum(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("icmp.checksum", &["PMTU-001", "PMTU-011"]);
    answers(cx, &mut |cx, version, _, error| {
        let observed = format!("{version}: {}", if error.checksum_is_right { "right" } else { "wrong" });
        RULE.judge(cx, error.checksum_is_right, "right", observed);
    })
}

fn source(cx: &mut Cx<'_>) -> Flow {
    // A member that works as a bridge may have no address of its own there (esp.md §13 leaves it open).
    const RULE: Rule = Rule::advisory("icmp.source", &["PMTU-001", "PMTU-011"]);
    answers(cx, &mut |cx, version, packet, error| {
        let own = if error.v6 { LAN_ROUTER6 } else { LAN_ROUTER };
        let observed = format!("{version}: {} (the packet went to {})", error.src, packet.dst);
        RULE.judge(cx, error.src == own, &format!("{own}"), observed);
    })
}

/// Judges that the LAN hears of no error about a packet, though the member does answer others.
fn no_error(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule, what: &str, packet: &[u8]) -> Flow {
    let passed = scene.lan_to_wan(cx, packet)?;
    let heard = errors(&passed.packets(Side::Lan));
    let observed = format!("{what}: {}", words(heard.first()));
    let control = told(cx, scene, &outbound(LINK).df(true))?;
    cx.world.note(&format!("the member answers others: {}", control.describe()));
    let check = rule.check(cx).silence(
        heard.is_empty(),
        "no ICMP error",
        observed,
        hallmark_catalogue::Confidence::WireAndControl,
    );
    cx.record(check);
    Ok(())
}

fn not_without_df(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("icmp.not-without-df", &["ESP-082", "PMTU-002"]);
    let mut scene = DataScene::with(cx, data(|data| data.fragment = Some("before".to_owned())), |_| {})?;
    for len in [STANDARD.fits(LINK, false, 0) + 1, LINK] {
        no_error(cx, &mut scene, &RULE, &format!("{len} octets without DF"), &outbound(len).octets())?;
    }
    scene.finish(cx)
}

fn not_about_errors(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("icmp.not-about-errors", &["ESP-081", "ESP-083"]);
    let mut scene = DataScene::standard(cx)?;
    // Errors that are too big: a host that quotes more than it should.
    let about = super::pieces::inbound(1_480).octets();
    for (what, kind, code) in [("unreachable", 3, 3), ("time exceeded", 11, 1), ("parameter problem", 12, 0)] {
        let packet = Clear::icmp_error(LAN_HOST, WAN_HOST, kind, code, 0, &about, 1_460).df(true);
        no_error(cx, &mut scene, &RULE, what, &packet.octets())?;
    }
    scene.finish(cx)?;
    let mut scene = DataScene::with(cx, data(with_router6), with_ipv6)?;
    let about = super::pieces::inbound6(1_480).octets();
    let packet = Clear::icmp_error(LAN_HOST6, WAN_HOST6, 1, 4, 0, &about, 1_440);
    let passed = scene.lan_to_wan(cx, &packet.octets())?;
    let heard = errors(&passed.packets(Side::Lan));
    let control = told(cx, &mut scene, &outbound6(LINK))?;
    cx.world.note(&format!("the member answers others: {}", control.describe()));
    let check = RULE.check(cx).silence(
        heard.is_empty(),
        "no ICMP error",
        format!("ICMPv6 unreachable: {}", words(heard.first())),
        hallmark_catalogue::Confidence::WireAndControl,
    );
    cx.record(check);
    scene.finish(cx)
}

fn not_about_groups(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("icmp.not-about-groups", &["ESP-081"]);
    const LATER: Rule = Rule::new("icmp.not-about-later-fragments", &["ESP-081"]);
    let group = IpAddr::from([239, 1, 1, 1]);
    let mut scene = DataScene::with(
        cx,
        |_| {},
        |script| {
            let mut flows = both_ways(&Entry::standard());
            flows.push(Entry::between(([10, 1, 0, 0].into(), 16), ([239, 0, 0, 0].into(), 8)));
            with_flows(script, flows);
        },
    )?;
    let packet = outbound(100).df(true).between(LAN_HOST, group).sized(LINK);
    no_error(cx, &mut scene, &RULE, "1500 octets with DF to 239.1.1.1", &packet.octets())?;
    let later = ip::fragment::piece_ipv4(&outbound(6_000).df(true).octets(), 2_960, 4_440, true).unwrap_or_default();
    no_error(cx, &mut scene, &LATER, "1500 octets with DF at offset 2960", &later)?;
    scene.finish(cx)
}

fn never_below_minimum(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("icmp6.minimum", &["ESP-083", "PMTU-011"]);
    let narrow = |data: &mut Data| {
        with_router6(data);
        data.mtu = 1_300;
    };
    let mut scene = DataScene::with(cx, data(narrow), with_ipv6)?;
    let (_, answer) = refused(cx, &mut scene, &outbound6(1_400))?;
    let ok = answer.as_ref().is_some_and(|error| error.mtu == 1_280);
    RULE.judge(cx, ok, "MTU 1280 on a link of 1300", words(answer.as_ref()));
    scene.finish(cx)
}

fn minimum_passes(cx: &mut Cx<'_>) -> Flow {
    // That the member cuts its own ESP packet follows from the minimum, no RFC says it in so many words.
    const RULE: Rule = Rule::advisory("esp6.minimum-passes", &["ESP-083", "ESP-044"]);
    let narrow = |data: &mut Data| {
        with_router6(data);
        data.mtu = 1_300;
    };
    let mut scene = DataScene::with(cx, data(narrow), with_ipv6)?;
    for len in [STANDARD.fits(1_300, true, 0) + 1, 1_280] {
        let packet = outbound6(len).octets();
        let sent = send(&mut scene, cx, &packet)?;
        let whole = sent.esp.len() == 1 && sent.longest() <= 1_300;
        let problem = sent.unlike(&packet, &[]).or_else(|| (!whole).then(|| inside(&sent)));
        let observed = format!("{len} octets: {}", problem.clone().unwrap_or_else(|| sent.describe()));
        RULE.judge(cx, problem.is_none(), "one ESP packet in fragments of 1300 octets at most", observed);
    }
    scene.finish(cx)
}

/// Says in words how many inner packets left.
fn inside(sent: &Sent) -> String {
    format!("{} inner packets; {}", sent.esp.len(), sent.describe())
}

fn time_exceeded(cx: &mut Cx<'_>) -> Flow {
    const STOPS: Rule = Rule::new("hops.run-out", &["DP-004", "ESP-052"]);
    // RFC 4301 says nothing of the answer, and a member that works as a bridge does not count hops.
    const TOLD: Rule = Rule::advisory("icmp.time-exceeded", &["DP-004"]);
    for v6 in [false, true] {
        let setup = data(|data| {
            data.ttl = Some("decrement".to_owned());
            if v6 {
                with_router6(data);
            }
        });
        let mut scene = DataScene::with(cx, setup, with_ipv6)?;
        let (near, far) = hosts(v6);
        let packet = outbound(100).between(near, far).hops(1).octets();
        let passed = scene.lan_to_wan(cx, &packet)?;
        let version = if v6 { "IPv6" } else { "IPv4" };
        let observed = format!("{version}: {}", passed.describe(Side::Wan));
        STOPS.judge(cx, passed.wan.is_empty(), "nothing towards the WAN", observed);
        let heard = errors(&passed.packets(Side::Lan));
        let answer = heard.first();
        let quotes = |error: &ErrorSeen| packet.get(..error.quoted.len()) == Some(error.quoted.as_slice());
        let ok = answer.is_some_and(|error| {
            error.is_time_exceeded() && error.dst == near && error.checksum_is_right && quotes(error)
        });
        TOLD.judge(cx, ok, "time exceeded that quotes the packet", format!("{version}: {}", words(answer)));
        scene.finish(cx)?;
    }
    Ok(())
}

fn protected_errors(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("ptb.not-in-clear", &["PMTU-004", "ESP-096"]);
    let mut scene = DataScene::with(cx, |_| {}, |script| with_flows(script, vec![Entry::any()]))?;
    let seen = own_esp(cx, &mut scene, false)?;
    let mut foreign = seen.packet.clone();
    // Another SPI: nothing that the member could have sent.
    for octet in foreign.iter_mut().skip(20).take(4) {
        *octet ^= 0x5a;
    }
    let mut reports = Vec::new();
    for (what, about) in [("an own ESP packet", &seen.packet), ("an unknown one", &foreign)] {
        let report = too_big(1_400, about, 8).map(|report| report.octets());
        reports.push((what, cx.have(report, "an ESP packet does not decode")?));
    }
    for (what, report) in reports {
        scene.expect_nothing(cx, &RULE, &format!("an error about {what}"), Side::Wan, &[report])?;
    }
    scene.finish(cx)
}

/// Has the member send a full-sized ESP packet, for errors to be about.
fn own_esp(cx: &mut Cx<'_>, scene: &mut DataScene, v6: bool) -> Flow<EspSeen> {
    own_esp_to(cx, scene, hosts(v6).1)
}

fn own_esp_to(cx: &mut Cx<'_>, scene: &mut DataScene, far: IpAddr) -> Flow<EspSeen> {
    let near = hosts(far.is_ipv6()).0;
    let packet = outbound(100).df(true).between(near, far).sized(STANDARD.fits(LINK, far.is_ipv6(), 0));
    let sent = send(scene, cx, &packet.octets())?;
    let fault = sent.faults.first().cloned().unwrap_or_else(|| sent.describe());
    let seen = sent.esp.into_iter().next().filter(|_| sent.passed.wan.len() == 1);
    cx.have(seen, format!("the largest packet that fits did not leave as one ESP packet: {fault}"))
}

/// Lets a router report that an ESP packet did not fit; gives what reached the host.
fn report(cx: &mut Cx<'_>, scene: &mut DataScene, mtu: u32, about: &[u8]) -> Flow<(Vec<u8>, Passed)> {
    let report = cx.have(too_big(mtu, about, 8), "an ESP packet does not decode")?.octets();
    let passed = scene.wan_to_lan(cx, &report)?;
    Ok((report, passed))
}

/// Asks the member what fits on a path: the answer to a packet as large as the link; nothing when it does not answer.
fn path_says(cx: &mut Cx<'_>, scene: &mut DataScene, far: IpAddr) -> Flow<Option<usize>> {
    let packet = outbound(100).df(true).between(hosts(far.is_ipv6()).0, far).sized(LINK);
    Ok(refused(cx, scene, &packet)?.1.map(|error| error.mtu))
}

const PATH: Rule = Rule::new("ptb.passed-or-learned", &["PMTU-005", "ESP-086"]);

/// Lets a router report `mtu` about a packet that the member has just sent; tells whether the member has learned from
/// it. A member that does not has to let the report through unchanged, which is judged here: both are allowed.
fn learns(cx: &mut Cx<'_>, scene: &mut DataScene, far: IpAddr, mtu: u32) -> Flow<bool> {
    let seen = own_esp_to(cx, scene, far)?;
    let (report, passed) = report(cx, scene, mtu, &seen.packet)?;
    let path = usize::try_from(mtu).unwrap_or(LINK);
    let says = path_says(cx, scene, far)?;
    let wants = STANDARD.fits(path, far.is_ipv6(), 0);
    let learned = says == Some(wants);
    let came = passed.packets(Side::Lan);
    let unchanged = matches!(came.as_slice(), [one] if unlike(&report, one, &[]).is_empty());
    let observed = format!(
        "{}; hosts are told {}",
        passed.describe(Side::Lan),
        says.map_or_else(|| "nothing".to_owned(), |says| says.to_string())
    );
    let expected = format!("the report unchanged, or {wants} octets told to hosts from now on");
    PATH.judge(cx, learned || unchanged, &expected, observed);
    Ok(learned)
}

/// Starts a member that is to learn from errors, with this floor, for so many seconds.
fn learning(cx: &mut Cx<'_>, floor: u16, age: u32) -> Flow<DataScene> {
    let setup = data(|data| {
        data.fragment = Some("before".to_owned());
        data.pmtu = Some((true, floor, age));
    });
    DataScene::with(cx, setup, with_ipv6)
}

fn passed_or_learned(cx: &mut Cx<'_>) -> Flow {
    let mut scene = learning(cx, 576, 600)?;
    let learned = learns(cx, &mut scene, WAN_HOST, 1_400)?;
    cx.measure("learns from errors about its ESP packets", f64::from(u8::from(learned)), "");
    scene.finish(cx)
}

fn applied(cx: &mut Cx<'_>) -> Flow {
    const CUT: Rule = Rule::new("ptb.packets-cut", &["ESP-086"]);
    const FITS: Rule = Rule::new("ptb.told-size-fits", &["ESP-086"]);
    let mut scene = learning(cx, 576, 600)?;
    if !learns(cx, &mut scene, WAN_HOST, 1_400)? {
        return scene.finish(cx);
    }
    let fits = STANDARD.fits(1_400, false, 0);
    expect_whole(&mut scene, cx, &FITS, (&format!("{fits} octets"), 1_400), &outbound(fits).df(true).octets())?;
    expect_cut(&mut scene, cx, &CUT, (&format!("{} octets", fits + 1), 1_400), &outbound(fits + 1).octets())?;
    scene.finish(cx)
}

fn consumed(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("ptb.consumed", &["ESP-086"]);
    let mut scene = learning(cx, 576, 600)?;
    if !learns(cx, &mut scene, WAN_HOST, 1_400)? {
        return scene.finish(cx);
    }
    let seen = send(&mut scene, cx, &outbound(600).octets())?.esp.into_iter().next();
    let seen = cx.have(seen, "no ESP packet left")?;
    let about = too_big(576, &seen.packet, 8).map(|report| report.octets());
    let about = cx.have(about, "an ESP packet does not decode")?;
    scene.expect_nothing(cx, &RULE, "an error about an own ESP packet", Side::Wan, &[about])?;
    scene.finish(cx)
}

/// Judges that a full-sized packet of a smaller path still passes whole: nothing has lowered the path MTU below it.
fn still_passes(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule, what: &str, path: usize, far: IpAddr) -> Flow {
    let near = hosts(far.is_ipv6()).0;
    let len = STANDARD.fits(path, far.is_ipv6(), 0);
    let packet = outbound(100).df(true).between(near, far).sized(len).octets();
    expect_whole(scene, cx, rule, (&format!("{what}: {len} octets with DF"), LINK), &packet).map(drop)
}

fn floor(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("ptb.floor", &["PMTU-012", "ESP-086"]);
    let mut scene = learning(cx, 576, 600)?;
    for mtu in [68, 0, 1] {
        // The router quotes a short packet, so that an announced 0 is read as a size below it (RFC 1191 §7.1).
        let sent = send(&mut scene, cx, &outbound(200).octets())?;
        let seen = cx.have(sent.esp.into_iter().next(), "no ESP packet left")?;
        report(cx, &mut scene, mtu, &seen.packet)?;
        still_passes(cx, &mut scene, &RULE, &format!("after an announced {mtu}"), 576, WAN_HOST)?;
    }
    scene.finish(cx)
}

fn not_sent(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("ptb.foreign", &["ESP-086", "PMTU-012"]);
    let mut scene = learning(cx, 576, 600)?;
    let seen = own_esp(cx, &mut scene, false)?;
    let changed = |at: usize, octets: [u8; 4]| {
        let mut packet = seen.packet.clone();
        if let Some(room) = packet.get_mut(at..at + 4) {
            room.copy_from_slice(&octets);
        }
        packet
    };
    let forged = [
        ("another SPI", changed(20, (seen.spi ^ 0x0100_0001).to_be_bytes())),
        ("a number far ahead", changed(24, (seen.seq + 1_000_000).to_be_bytes())),
        ("a UDP datagram", outbound(LINK).octets()),
    ];
    for (what, about) in forged {
        report(cx, &mut scene, 700, &about)?;
        still_passes(cx, &mut scene, &RULE, what, LINK, WAN_HOST)?;
    }
    scene.finish(cx)
}

fn not_raised(cx: &mut Cx<'_>) -> Flow {
    const LOWER: Rule = Rule::new("ptb.not-raised", &["ESP-086"]);
    const LINKED: Rule = Rule::new("ptb.not-above-link", &["ESP-086", "ESP-088"]);
    let mut scene = learning(cx, 576, 600)?;
    let own = own_esp(cx, &mut scene, false)?;
    report(cx, &mut scene, 9_000, &own.packet)?;
    let fits = STANDARD.fits(LINK, false, 0);
    let sent = send(&mut scene, cx, &outbound(fits + 1).octets())?;
    let observed = format!("after an announced 9000: {}", sent.describe());
    let ok = !sent.passed.wan.is_empty() && sent.longest() <= LINK;
    LINKED.judge(cx, ok, "nothing longer than the link takes", observed);
    if !learns(cx, &mut scene, WAN_HOST, 1_300)? {
        return scene.finish(cx);
    }
    report(cx, &mut scene, 1_450, &own.packet)?;
    let says = path_says(cx, &mut scene, WAN_HOST)?;
    let wants = STANDARD.fits(1_300, false, 0);
    let observed = format!("hosts are told {says:?}");
    LOWER.judge(cx, says == Some(wants), &format!("{wants} as before"), observed);
    scene.finish(cx)
}

fn per_destination(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("ptb.per-destination", &["ESP-086"]);
    let mut scene = learning(cx, 576, 600)?;
    learns(cx, &mut scene, WAN_HOST, 700)?;
    still_passes(cx, &mut scene, &RULE, "to another host", LINK, IpAddr::from([10, 2, 99, 9]))?;
    scene.finish(cx)
}

fn ages(cx: &mut Cx<'_>) -> Flow {
    const HELD: Rule = Rule::new("ptb.held", &["ESP-086"]);
    const AGED: Rule = Rule::new("ptb.aged", &["ESP-085"]);
    let mut scene = learning(cx, 576, 40)?;
    let learned = learns(cx, &mut scene, WAN_HOST, 1_300)?;
    if learned {
        scene.scene.ks.serve_for(cx.world, Duration::from_secs(20));
        let says = path_says(cx, &mut scene, WAN_HOST)?;
        let ok = says == Some(STANDARD.fits(1_300, false, 0));
        HELD.judge(cx, ok, "still known after half of the time", format!("hosts are told {says:?}"));
    }
    scene.scene.ks.serve_for(cx.world, Duration::from_secs(60));
    still_passes(cx, &mut scene, &AGED, "after 80 s of 40", LINK, WAN_HOST)?;
    scene.finish(cx)
}

fn learned_v6(cx: &mut Cx<'_>) -> Flow {
    const FLOOR: Rule = Rule::new("ptb6.minimum", &["PMTU-012", "ESP-086"]);
    let setup = data(|data| {
        with_router6(data);
        data.pmtu = Some((true, 576, 600));
    });
    let mut scene = DataScene::with(cx, setup, with_ipv6)?;
    let own = own_esp(cx, &mut scene, true)?;
    report(cx, &mut scene, 1_000, &own.packet)?;
    still_passes(cx, &mut scene, &FLOOR, "after an announced 1000", LINK, WAN_HOST6)?;
    learns(cx, &mut scene, WAN_HOST6, 1_400)?;
    scene.finish(cx)
}

fn switched_off(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("ptb.switched-off", &["ESP-084"]);
    let mut scene = DataScene::with(cx, data(|data| data.pmtu = Some((false, 576, 600))), |_| {})?;
    let own = own_esp(cx, &mut scene, false)?;
    report(cx, &mut scene, 1_000, &own.packet)?;
    still_passes(cx, &mut scene, &RULE, "after an announced 1000", LINK, WAN_HOST)?;
    scene.finish(cx)
}
