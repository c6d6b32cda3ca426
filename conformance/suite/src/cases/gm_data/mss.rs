//! The limit on the segment size of TCP, which keeps protected segments from being cut.

use std::net::SocketAddr;

use hallmark_probe::data::{Clear, Tcp};
use hallmark_probe::world::Side;
use hallmark_wire::ip::{Checksum, Ipv4Packet, Ipv6Packet, protocol};

use super::pieces::{STANDARD, hosts, unlike, with_ipv6};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::data::{DataScene, Rule};

pub(crate) const CASES: &[Case] = &[
    case! {
        "PMTU-006", "data.size", Must, Gm,
        title: "the segment size in SYN and SYN-ACK is limited to what is configured, in both directions",
        purpose: "Each end obeys the size that the other announces, so that a limit in one direction protects half of \
                  the transfers.",
        requirements: ["PMTU-006", "ESP-087"],
        sources: ["getvpn §5.7", "esp.md §12", "RFC 9293 §3.7.1"],
        catches: ["dp_mss_not_clamped", "dp_mss_outbound_only"],
        needs: [Datapath, Setup],
        cost: 20,
        run: both_directions,
    },
    case! {
        "MSS-001", "data.size", Should, Gm,
        title: "the segment size that the member works out itself fits behind its own ESP",
        purpose: "A size computed from the MTU alone is the one that the hosts had anyway.",
        requirements: ["ESP-087"],
        sources: ["esp.md §12"],
        catches: ["dp_mss_forgets_overhead", "dp_mss_not_clamped"],
        needs: [Datapath, Setup],
        cost: 20,
        run: automatic,
    },
    case! {
        "MSS-002", "data.size", Should, Gm,
        title: "segments without SYN are left alone, whatever stands in their options",
        purpose: "The option means something in a SYN only; a member that touches other segments changes data that it \
                  does not understand.",
        requirements: ["ESP-087", "ESP-044"],
        sources: ["RFC 9293 §3.2", "esp.md §12"],
        catches: ["dp_mss_on_non_syn"],
        needs: [Datapath, Setup],
        cost: 20,
        run: other_segments,
    },
    case! {
        "MSS-003", "data.size", Should, Gm,
        title: "a smaller segment size is never raised",
        purpose: "A host that asks for less has its reasons: a narrower link behind it, or little memory.",
        requirements: ["ESP-087", "ESP-044"],
        sources: ["esp.md §12"],
        catches: ["dp_mss_raised"],
        needs: [Datapath, Setup],
        cost: 20,
        run: smaller,
    },
    case! {
        "MSS-004", "data.size", Should, Gm,
        title: "the TCP checksum is right after the segment size was changed, wherever the option stands",
        purpose: "A SYN with a wrong checksum is dropped: no connection through the member comes about.",
        requirements: ["ESP-087", "ESP-044"],
        sources: ["RFC 1624", "RFC 9293 §3.1"],
        catches: ["dp_mss_checksum_broken"],
        needs: [Datapath, Setup],
        cost: 20,
        run: checksum,
    },
    case! {
        "MSS-005", "data.size", Should, Gm,
        title: "nothing is inserted into a SYN that announces no segment size",
        purpose: "Without the option the default of 536 holds, which fits; whoever adds one raises it or breaks what \
                  stood there.",
        requirements: ["ESP-087", "ESP-044"],
        sources: ["RFC 9293 §3.7.1", "esp.md §12"],
        catches: ["dp_mss_inserted"],
        needs: [Datapath, Setup],
        cost: 20,
        run: without_option,
    },
    case! {
        "MSS-006", "data.size", Must, Gm,
        title: "options that contradict themselves do not stop the member",
        purpose: "An option of length 0 is an endless loop for those who do not look; one packet of any host would stop \
                  the site.",
        requirements: ["ESP-087"],
        sources: ["RFC 9293 §3.2", "RFC 1122 §4.2.2.5"],
        catches: ["dp_mss_option_length_stops"],
        needs: [Datapath, Setup],
        cost: 30,
        run: broken_options,
    },
];

const LIMIT: u16 = 1_360;
const SYN: u8 = Tcp::SYN;
const SYN_ACK: u8 = Tcp::SYN | Tcp::ACK;

/// Starts a member that limits segment sizes so and protects both IP versions.
fn limiting(cx: &mut Cx<'_>, mss: &str) -> Flow<DataScene> {
    let setup = |setup: &mut crate::setup::GmSetup| {
        if let Some(data) = setup.data.as_mut() {
            data.mss = Some(mss.to_owned());
        }
    };
    DataScene::with(cx, setup, with_ipv6)
}

/// Makes a segment of a connection between the hosts of an IP version, as it arrives on a side.
fn segment(v6: bool, from: Side, flags: u8, options: &[u8]) -> Clear {
    let (near, far) = hosts(v6);
    let (client, server) = (SocketAddr::new(near, 40_001), SocketAddr::new(far, 443));
    let (src, dst) = if from == Side::Lan { (client, server) } else { (server, client) };
    Clear::tcp(src, dst, flags, b"").tcp_options(options)
}

/// Lets a segment through the member, under its SA, and gives it as it came out.
fn through(cx: &mut Cx<'_>, scene: &mut DataScene, from: Side, packet: &[u8]) -> Flow<Vec<u8>> {
    let came = match from {
        Side::Lan => {
            let passed = scene.lan_to_wan(cx, packet)?;
            let opened = passed.opened(scene.opener()).into_iter().flatten().next();
            opened.map(|seen| seen.inner).ok_or_else(|| passed.describe(Side::Wan))
        }
        Side::Wan => {
            let esp = scene.seal(cx, packet)?;
            let passed = scene.wan_to_lan(cx, &esp)?;
            let first = passed.packets(Side::Lan).first().map(|packet| packet.to_vec());
            first.ok_or_else(|| passed.describe(Side::Lan))
        }
    };
    cx.require(came.is_ok(), format!("a TCP segment from the {from} does not pass: {:?}", came.as_ref().err()))?;
    Ok(came.unwrap_or_default())
}

/// What a segment says.
struct Segment {
    mss: Option<u16>,
    checksum_is_right: bool,
}

fn read(packet: &[u8]) -> Option<Segment> {
    let mut sum = Checksum::default();
    let payload = if let Ok(seen) = Ipv4Packet::decode(packet) {
        sum.add(&seen.header.src.octets());
        sum.add(&seen.header.dst.octets());
        seen.payload
    } else {
        let seen = Ipv6Packet::decode(packet).ok()?;
        sum.add(&seen.header.src.octets());
        sum.add(&seen.header.dst.octets());
        seen.payload
    };
    sum.add(&[0, protocol::TCP]);
    sum.add(&u32::try_from(payload.len()).ok()?.to_be_bytes());
    sum.add(payload);
    Some(Segment { mss: Tcp::mss_of(payload), checksum_is_right: sum.finish() == 0 })
}

/// Names what is judged: which IP version, which way, which flags.
fn words(v6: bool, from: Side, flags: u8) -> String {
    let version = if v6 { "IPv6" } else { "IPv4" };
    let kind = match flags {
        SYN => "SYN",
        SYN_ACK => "SYN-ACK",
        _ => "segment without SYN",
    };
    format!("{version} {kind} from the {from}")
}

/// All combinations of IP version, direction and kind of SYN.
fn all_syns() -> impl Iterator<Item = (bool, Side, u8)> {
    let kinds = [(Side::Lan, SYN), (Side::Wan, SYN_ACK), (Side::Wan, SYN), (Side::Lan, SYN_ACK)];
    [false, true].into_iter().flat_map(move |v6| kinds.map(|(side, flags)| (v6, side, flags)))
}

fn both_directions(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("mss.limited", &["PMTU-006", "ESP-087"]);
    let mut scene = limiting(cx, &LIMIT.to_string())?;
    for (v6, from, flags) in all_syns() {
        let packet = segment(v6, from, flags, &Tcp::mss_option(1_460)).octets();
        let came = through(cx, &mut scene, from, &packet)?;
        let mss = read(&came).and_then(|segment| segment.mss);
        let ok = mss.is_some_and(|mss| mss <= LIMIT);
        let observed = format!("{}: {mss:?}", words(v6, from, flags));
        RULE.judge(cx, ok, "1360 at most where 1460 was announced", observed);
    }
    scene.finish(cx)
}

fn automatic(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("mss.fits", &["ESP-087"]);
    let mut scene = limiting(cx, "auto")?;
    for (v6, from, flags) in all_syns() {
        let most = STANDARD.fits(1_500, v6, 0) - if v6 { 60 } else { 40 };
        let packet = segment(v6, from, flags, &Tcp::mss_option(1_460)).octets();
        let came = through(cx, &mut scene, from, &packet)?;
        let mss = read(&came).and_then(|segment| segment.mss).map(usize::from);
        let ok = mss.is_some_and(|mss| mss <= most);
        let observed = format!("{}: {mss:?}", words(v6, from, flags));
        RULE.judge(cx, ok, &format!("{most} at most"), observed);
    }
    scene.finish(cx)
}

/// Judges that a segment comes out as it went in, apart from its hops.
fn untouched(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule, what: &str, from: Side, packet: &Clear) -> Flow {
    let octets = packet.octets();
    let came = through(cx, scene, from, &octets)?;
    let changed = unlike(&octets, &came, &[]);
    let observed = if changed.is_empty() { "unchanged".to_owned() } else { changed.join(", ") };
    rule.judge(cx, changed.is_empty(), "unchanged", format!("{what}: {observed}"));
    Ok(())
}

fn other_segments(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("mss.only-syn", &["ESP-087", "ESP-044"]);
    let mut scene = limiting(cx, &LIMIT.to_string())?;
    for v6 in [false, true] {
        for from in [Side::Lan, Side::Wan] {
            let packet = segment(v6, from, Tcp::ACK, &Tcp::mss_option(1_460));
            untouched(cx, &mut scene, &RULE, &words(v6, from, Tcp::ACK), from, &packet)?;
        }
    }
    // The same octets where they are no TCP header: a later fragment of a TCP segment.
    let packet = segment(false, Side::Lan, SYN, &Tcp::mss_option(1_460)).octets();
    let copy = [&packet[20..], &packet[20..], &packet[20..]].concat();
    let (near, far) = hosts(false);
    let long = Clear::other(near, far, protocol::TCP, copy).ident(0x0606).octets();
    let later = hallmark_wire::ip::fragment::piece_ipv4(&long, 24, 48, true).unwrap_or_default();
    let came = through(cx, &mut scene, Side::Lan, &later)?;
    let changed = unlike(&later, &came, &[]);
    let observed = if changed.is_empty() { "unchanged".to_owned() } else { changed.join(", ") };
    RULE.judge(cx, changed.is_empty(), "unchanged", format!("a later fragment that looks like a SYN: {observed}"));
    scene.finish(cx)
}

fn smaller(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("mss.not-raised", &["ESP-087", "ESP-044"]);
    let mut scene = limiting(cx, &LIMIT.to_string())?;
    for mss in [536, LIMIT - 1, LIMIT] {
        for from in [Side::Lan, Side::Wan] {
            let packet = segment(false, from, SYN, &Tcp::mss_option(mss));
            untouched(cx, &mut scene, &RULE, &format!("{mss} from the {from}"), from, &packet)?;
        }
    }
    scene.finish(cx)
}

fn checksum(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("mss.checksum", &["ESP-087"]);
    const REST: Rule = Rule::new("mss.nothing-else", &["ESP-087", "ESP-044"]);
    let mut scene = limiting(cx, &LIMIT.to_string())?;
    for (v6, from, flags) in all_syns() {
        // The option at an even place, and behind one octet of padding at an odd one.
        for before in [0_usize, 1, 2, 3] {
            let options = [&[1; 3][..before], &Tcp::mss_option(1_460), &[4, 2]].concat();
            let packet = segment(v6, from, flags, &options);
            let came = through(cx, &mut scene, from, &packet.octets())?;
            let what = format!("{}, {before} octets before the option", words(v6, from, flags));
            let seen = read(&came);
            let right = seen.as_ref().is_some_and(|segment| segment.checksum_is_right);
            RULE.judge(cx, right, "right", format!("{what}: {}", if right { "right" } else { "wrong" }));
            // What should have come: the same segment with the size that did come.
            let mss = seen.and_then(|segment| segment.mss).unwrap_or(1_460);
            let options = [&[1; 3][..before], &Tcp::mss_option(mss), &[4, 2]].concat();
            let changed = unlike(&segment(v6, from, flags, &options).octets(), &came, &[]);
            if right {
                let observed = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
                REST.judge(cx, changed.is_empty(), "nothing else changed", format!("{what}: {observed}"));
            }
        }
    }
    scene.finish(cx)
}

fn without_option(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("mss.not-inserted", &["ESP-087", "ESP-044"]);
    let mut scene = limiting(cx, &LIMIT.to_string())?;
    let lists: [(&str, &[u8]); 4] = [
        ("no options", &[]),
        ("padding only", &[1, 1, 1, 1]),
        ("window scale and SACK", &[3, 3, 7, 4, 2, 1, 1, 0]),
        ("a segment size behind the end of the list", &[1, 1, 1, 0, 2, 4, 5, 0xb4]),
    ];
    for (what, options) in lists {
        for from in [Side::Lan, Side::Wan] {
            let packet = segment(false, from, SYN, options);
            untouched(cx, &mut scene, &RULE, &format!("{what}, from the {from}"), from, &packet)?;
        }
    }
    scene.finish(cx)
}

fn broken_options(cx: &mut Cx<'_>) -> Flow {
    const GOES_ON: Rule = Rule::grave("mss.goes-on", &["ESP-087"]);
    let mut scene = limiting(cx, &LIMIT.to_string())?;
    let lists: [(&str, &[u8]); 6] = [
        ("length 0", &[3, 0, 2, 4, 5, 0xb4, 1, 1]),
        ("length 1", &[3, 1, 2, 4, 5, 0xb4, 1, 1]),
        ("length beyond the header", &[3, 60, 2, 4, 5, 0xb4, 1, 1]),
        ("a segment size of length 0", &[2, 0, 5, 0xb4]),
        ("a segment size of length 3", &[2, 3, 5, 0xb4]),
        ("a segment size cut off", &[1, 1, 2, 4]),
    ];
    for (what, options) in lists {
        for from in [Side::Lan, Side::Wan] {
            // Whether such a segment passes, and how, is not judged.
            let octets = segment(false, from, SYN, options).octets();
            let packet = if from == Side::Lan { octets } else { scene.seal(cx, &octets)? };
            scene.pass(cx, from, &packet)?;
            let name = format!("{what}, from the {from}");
            let regular = segment(false, Side::Lan, Tcp::ACK, &[]).octets();
            let passed = scene.lan_to_wan(cx, &regular)?;
            let ok = passed.opened(scene.opener()).iter().any(Option::is_some);
            GOES_ON.judge(cx, ok, "the next segment passes", format!("{name}: {}", passed.describe(Side::Wan)));
        }
    }
    // A header length that reaches beyond the segment.
    let mut octets = segment(false, Side::Lan, SYN, &[]).octets();
    if let Some(offset) = octets.get_mut(32) {
        *offset = 0xf0;
    }
    scene.pass(cx, Side::Lan, &octets)?;
    let passed = scene.lan_to_wan(cx, &segment(false, Side::Lan, Tcp::ACK, &[]).octets())?;
    let ok = passed.opened(scene.opener()).iter().any(Option::is_some);
    let observed = format!("a header longer than the segment: {}", passed.describe(Side::Wan));
    GOES_ON.judge(cx, ok, "the next segment passes", observed);
    scene.finish(cx)
}
