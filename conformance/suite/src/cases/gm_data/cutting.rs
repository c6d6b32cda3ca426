//! Packets from the LAN that do not fit: the exact edge, cutting before and after encryption, and don't-fragment.

use hallmark_probe::data::{Clear, Replay, clock_showing};
use hallmark_probe::world::Side;
use hallmark_wire::ip::{self, Ipv4Packet};

use super::pieces::{
    STANDARD, Sent, errors, expect_cut, expect_whole, outbound, outbound6, send, with_all_transforms, with_ipv6,
};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::data::{DataScene, LAN_HOST, Rule, WAN_HOST};
use crate::setup::{Data, GmSetup};

pub(crate) const CASES: &[Case] = &[
    case! {
        "PMTU-002", "data.size", Must, Gm,
        title: "a packet that is too big and may be cut leaves as ESP packets of their own, each of which fits",
        purpose: "Every piece can then be opened by whichever member it reaches, over whichever path it goes; an ESP \
                  packet that is too long, or one in fragments, is lost where paths or members differ.",
        requirements: ["PMTU-002", "ESP-082", "ESP-088"],
        sources: ["getvpn §5.7", "RFC 4301 §8.2.1", "RFC 791 §3.2"],
        catches: ["dp_fragment_before_is_after", "dp_fragments_too_big", "dp_oversize_sent", "dp_df_zero_dropped",
                  "dp_fragments_last_missing"],
        needs: [Datapath, Setup],
        cost: 20,
        run: cut_before,
    },
    case! {
        "PMTU-003", "data.size", Must, Gm,
        title: "the largest packet that fits leaves whole, one octet more does not, with every transform",
        purpose: "A member that is wrong by one octet cuts every full segment in two, or sends packets that the next \
                  link drops; which size is the edge depends on cipher and ICV.",
        requirements: ["PMTU-003", "ESP-088"],
        sources: ["getvpn §5.2", "esp.md §12"],
        catches: ["dp_edge_one_too_early", "dp_edge_one_too_late", "dp_oversize_sent"],
        needs: [Datapath, Setup],
        cost: 60,
        run: edge_of_transforms,
    },
    case! {
        "CUT-001", "data.size", Must, Gm,
        title: "the edge is right for links from 1280 to 9000 octets",
        purpose: "Members sit behind PPPoE, tunnels and jumbo links; a table of usual sizes instead of a computation \
                  fails on all others.",
        requirements: ["PMTU-003", "ESP-088"],
        sources: ["esp.md §12"],
        catches: ["dp_edge_one_too_early", "dp_edge_one_too_late"],
        needs: [Datapath, Setup],
        cost: 60,
        run: edge_of_links,
    },
    case! {
        "CUT-016", "data.size", Must, Gm,
        title: "ESP packets have the length that the transform demands, for every inner length",
        purpose: "Capacity planning, segment sizes and path MTU all rest on the overhead being what the transform needs.",
        requirements: ["PMTU-009", "ESP-007"],
        sources: ["getvpn §5.2", "RFC 4303 §2.4"],
        catches: ["dp_padding_block_more"],
        needs: [Datapath, Setup],
        cost: 60,
        run: lengths,
    },
    case! {
        "CUT-017", "data.size", Must, Gm,
        title: "the time stamp of anti-replay is part of what has to fit",
        purpose: "Switching time-based anti-replay on makes every packet longer; a member that forgets it sends ESP \
                  packets that do not fit, of full-sized packets only.",
        requirements: ["PMTU-010", "ESP-088"],
        sources: ["getvpn §4.5", "getvpn §5.2"],
        catches: ["dp_stamp_forgotten_in_size"],
        needs: [Datapath, Setup],
        cost: 30,
        run: with_stamp,
    },
    case! {
        "CUT-002", "data.size", Must, Gm,
        title: "the delay detection header is part of what has to fit",
        purpose: "Its twelve octets make full-sized packets too long where nobody counts them.",
        requirements: ["PMTU-003", "ESP-088"],
        sources: ["esp.md §12", "draft-weis-delay-detection-03"],
        catches: ["dp_stamp_forgotten_in_size"],
        needs: [Datapath, Setup],
        cost: 30,
        run: with_d3p,
    },
    case! {
        "CUT-003", "data.size", Must, Gm,
        title: "all pieces but the last are a multiple of eight octets long",
        purpose: "Offsets count in units of eight; a host cannot join pieces of any other length.",
        requirements: ["ESP-088"],
        sources: ["RFC 791 §3.2"],
        catches: ["dp_fragments_not_multiple_of_eight"],
        needs: [Datapath, Setup],
        cost: 20,
        run: eights,
    },
    case! {
        "CUT-004", "data.size", Must, Gm,
        title: "more-fragments and offsets of the pieces put the packet together again",
        purpose: "They are all that the receiving host knows of the order and the end of the pieces.",
        requirements: ["ESP-088"],
        sources: ["RFC 791 §3.2"],
        catches: ["dp_fragments_mf_lost", "dp_fragments_offset_wrong", "dp_fragments_last_missing"],
        needs: [Datapath, Setup],
        cost: 30,
        run: flags_and_offsets,
    },
    case! {
        "CUT-005", "data.size", Must, Gm,
        title: "all pieces carry the identification of the packet",
        purpose: "The receiving host joins what has the same number; pieces with numbers of their own wait for ever.",
        requirements: ["ESP-088", "ESP-044"],
        sources: ["RFC 791 §3.2"],
        catches: ["dp_fragments_new_ids"],
        needs: [Datapath, Setup],
        cost: 20,
        run: identification,
    },
    case! {
        "CUT-006", "data.size", Must, Gm,
        title: "the header checksum of each piece is right",
        purpose: "Routers behind the receiving member drop pieces whose header is wrong, without a word.",
        requirements: ["ESP-088", "ESP-044"],
        sources: ["RFC 791 §3.2", "RFC 1812 §4.2.2.5"],
        catches: ["dp_fragments_checksum_stale"],
        needs: [Datapath, Setup],
        cost: 20,
        run: checksums,
    },
    case! {
        "CUT-007", "data.size", Must, Gm,
        title: "options that are to be copied stand in every piece, the others in the first",
        purpose: "Security labels and router alerts must accompany every piece; copies of the rest are read twice.",
        requirements: ["ESP-088", "ESP-044"],
        sources: ["RFC 791 §3.1", "RFC 791 §3.2"],
        catches: ["dp_fragments_options_lost"],
        needs: [Datapath, Setup],
        cost: 20,
        run: options,
    },
    case! {
        "CUT-008", "data.size", Must, Gm,
        title: "a fragment that does not fit is cut again, with its own offset and more-fragments carried over",
        purpose: "Hosts on jumbo LANs send fragments themselves; cut wrongly they never become a packet again.",
        requirements: ["ESP-088", "ESP-089"],
        sources: ["RFC 791 §3.2", "RFC 4303 §3.3.4"],
        catches: ["dp_fragment_of_fragment_wrong"],
        needs: [Datapath, Setup],
        cost: 30,
        run: fragments_again,
    },
    case! {
        "CUT-009", "data.size", Must, Gm,
        title: "fragments that fit are each protected whole, and the outer header is that of no fragment",
        purpose: "A member that copies the fragment fields outside, or lets later fragments pass in clear, breaks or \
                  reveals what hosts send in pieces.",
        requirements: ["ESP-089", "ESP-044"],
        sources: ["RFC 4303 §3.1.2", "RFC 4303 §3.3.4"],
        catches: ["dp_inner_fragments_clear", "dp_outer_mf_copied", "dp_first_fragment_only"],
        needs: [Datapath],
        cost: 20,
        run: fragments_that_fit,
    },
    case! {
        "CUT-010", "data.size", Must, Gm,
        title: "cutting after encryption gives pieces that fit and join to one ESP packet",
        purpose: "Some sites choose it to keep packets whole behind the tunnel; the pieces must be what any receiver of \
                  fragments can join.",
        requirements: ["ESP-082", "ESP-044", "PMTU-008"],
        sources: ["RFC 4303 §3.3.4", "RFC 4301 §8.2.1", "RFC 791 §3.2"],
        catches: ["dp_fragments_mf_lost", "dp_fragments_offset_wrong", "dp_fragments_new_ids",
                  "dp_fragments_checksum_stale"],
        needs: [Datapath, Setup],
        cost: 20,
        run: cut_after,
    },
    case! {
        "CUT-011", "data.size", Must, Gm,
        title: "packets of up to 9000 octets from a jumbo LAN leave in as many pieces as it takes",
        purpose: "Cutting in two is what every test does; storage and backup hosts send six times what the WAN takes.",
        requirements: ["ESP-088", "PMTU-002", "ESP-082"],
        sources: ["RFC 791 §3.2"],
        catches: ["dp_fragments_last_missing", "dp_fragments_not_multiple_of_eight"],
        needs: [Datapath, Setup],
        cost: 30,
        run: jumbo,
    },
    case! {
        "PMTU-007", "data.size", Must, Gm,
        title: "with DF cleared by configuration, packets with DF are cut and leave without DF outside",
        purpose: "It is the workaround where ICMP does not come through; without it large transfers hang.",
        requirements: ["PMTU-007", "ESP-046"],
        sources: ["getvpn §5.7", "RFC 4301 §8.1"],
        catches: ["dp_df_clear_ignored"],
        needs: [Datapath, Setup],
        cost: 20,
        run: df_cleared,
    },
    case! {
        "CUT-012", "data.size", Must, Gm,
        title: "DF set by configuration stands outside and does not keep the member from cutting",
        purpose: "DF outside keeps ESP from being cut on the way; the inner packets may still be cut before.",
        requirements: ["ESP-046", "ESP-082", "PMTU-002", "ESP-088"],
        sources: ["RFC 4301 §8.1", "RFC 4301 §8.2.1"],
        catches: ["dp_df_cleared", "dp_df_zero_dropped"],
        needs: [Datapath, Setup],
        cost: 20,
        run: df_set,
    },
    case! {
        "CUT-013", "data.size", Must, Gm,
        title: "an operator can have packets cut although they have DF",
        purpose: "Hosts that ignore the answer to their large packets otherwise stop working when a site is encrypted.",
        requirements: ["PMTU-002", "ESP-088"],
        sources: ["esp.md §13", "RFC 6864 §4"],
        catches: ["dp_fragments_too_big", "dp_oversize_sent"],
        needs: [Datapath, Setup],
        cost: 20,
        run: df_overridden,
    },
    case! {
        "CUT-014", "data.size", Must, Gm,
        title: "an opened packet that is too big for the LAN is cut there",
        purpose: "The other site's LAN may take longer packets than ours; what is sent out too long is dropped by the \
                  port.",
        requirements: ["ESP-088", "ESP-044"],
        sources: ["RFC 791 §3.2", "RFC 1812 §4.2.2.7"],
        catches: ["dp_fragments_mf_lost", "dp_fragments_offset_wrong", "dp_oversize_sent"],
        needs: [Datapath, Setup],
        cost: 30,
        run: cut_towards_lan,
    },
    case! {
        "CUT-015", "data.size", Must, Gm,
        title: "what an opened packet that must not be cut is answered with does not leave in clear",
        purpose: "The answer goes to a host beyond the tunnel; in clear it tells addresses and the beginning of a \
                  protected packet to everybody on the way.",
        requirements: ["ESP-081", "ESP-044"],
        sources: ["RFC 4301 §5.1", "RFC 1812 §5.2.7.1"],
        catches: ["dp_icmp_missing", "dp_df_fragmented"],
        needs: [Datapath, Setup],
        cost: 30,
        run: refused_towards_lan,
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

/// Makes the member cut before encryption, which is what most of these cases are about.
fn before(data: &mut Data) {
    data.fragment = Some("before".to_owned());
}

/// What fits into an ESP packet of 1500 octets with the standard transform.
const FITS: usize = STANDARD.fits(1_500, false, 0);

const CUT: Rule = Rule::new("cut.pieces-fit", &["PMTU-002", "ESP-082", "ESP-088"]);

fn cut_before(cx: &mut Cx<'_>) -> Flow {
    const ALONE: Rule = Rule::new("cut.pieces-open-alone", &["PMTU-002"]);
    let mut scene = DataScene::with(cx, data(before), |_| {})?;
    for len in [1_500, FITS + 1] {
        let what = format!("{len} octets without DF");
        let sent = expect_cut(&mut scene, cx, &CUT, (&what, 1_500), &outbound(len).octets())?;
        let observed = format!("{what}: {} of {} packets are ESP fragments", sent.outside, sent.passed.wan.len());
        ALONE.judge(cx, sent.outside == 0, "each can be opened alone", observed);
    }
    scene.finish(cx)
}

const WHOLE: Rule = Rule::new("cut.edge-fits", &["PMTU-003"]);
const BEYOND: Rule = Rule::new("cut.edge-plus-one", &["PMTU-003", "ESP-088"]);

/// Judges both sides of the edge of a path towards a host.
fn edge(cx: &mut Cx<'_>, scene: &mut DataScene, what: &str, to: std::net::IpAddr, fits: usize, mtu: usize) -> Flow {
    let packet = |len| outbound(len).between(LAN_HOST, to).octets();
    expect_whole(scene, cx, &WHOLE, (&format!("{what}, {fits} octets"), mtu), &packet(fits))?;
    let beyond = fits + 1;
    expect_cut(scene, cx, &BEYOND, (&format!("{what}, {beyond} octets"), mtu), &packet(beyond))?;
    Ok(())
}

fn edge_of_transforms(cx: &mut Cx<'_>) -> Flow {
    let (mut scene, ends) = with_all_transforms(cx, data(before))?;
    for (sizes, far, _) in ends {
        edge(cx, &mut scene, sizes.name, far, sizes.fits(1_500, false, 0), 1_500)?;
    }
    scene.finish(cx)
}

fn edge_of_links(cx: &mut Cx<'_>) -> Flow {
    for mtu in [1_280_u16, 1_400, 1_476, 9_000] {
        let setup = data(|data| {
            before(data);
            data.mtu = mtu;
            data.lan_mtu = 9_000;
        });
        let mut scene = DataScene::with(cx, setup, with_ipv6)?;
        let mtu = usize::from(mtu);
        edge(cx, &mut scene, &format!("MTU {mtu}"), WAN_HOST, STANDARD.fits(mtu, false, 0), mtu)?;
        let fits = STANDARD.fits(mtu, true, 0);
        expect_whole(
            &mut scene,
            cx,
            &WHOLE,
            (&format!("MTU {mtu}, IPv6, {fits} octets"), mtu),
            &outbound6(fits).octets(),
        )?;
        // IPv6 packets of 1280 octets pass in any case, and the rest is refused: nothing may leave too long.
        let sent = send(&mut scene, cx, &outbound6(fits + 1).octets())?;
        let observed = format!("MTU {mtu}, IPv6, {} octets: {}", fits + 1, sent.describe());
        BEYOND.judge(cx, sent.longest() <= mtu, &format!("nothing longer than {mtu} octets"), observed);
        scene.finish(cx)?;
    }
    Ok(())
}

fn lengths(cx: &mut Cx<'_>) -> Flow {
    const LENGTH: Rule = Rule::new("esp.length-is-possible", &["PMTU-009", "ESP-007"]);
    // RFC 4303 allows more padding than is needed, so that more of it is no breach by itself.
    const LEAST: Rule = Rule::advisory("esp.length-is-least", &["PMTU-009"]);
    let (mut scene, ends) = with_all_transforms(cx, data(before))?;
    for (sizes, far, _) in ends {
        let most = sizes.fits(1_500, false, 0);
        let lengths: Vec<usize> = (40..=120).chain(most - 16..=most).collect();
        let packets: Vec<Vec<u8>> = lengths.iter().map(|len| outbound(*len).between(LAN_HOST, far).octets()).collect();
        let count = packets.len();
        let passed = scene.pass_until(cx, Side::Lan, &packets, &|passed| passed.wan.len() == count)?;
        let opened: Vec<(usize, usize)> = passed
            .opened(scene.opener())
            .iter()
            .zip(&passed.wan)
            .filter_map(|(seen, carried)| seen.as_ref().map(|seen| (seen.inner.len(), carried.packet.len())))
            .collect();
        let came: Vec<usize> = opened.iter().map(|(inner, _)| *inner).collect();
        let possible = |(inner, outer): &&(usize, usize)| {
            let least = sizes.sealed(*inner, false);
            *outer >= least && (outer - least) % sizes.align() == 0 && *outer <= 1_500
        };
        let odd = opened.iter().find(|pair| !possible(pair));
        let observed = match odd {
            Some((inner, outer)) => format!("{}: {outer} octets for {inner}", sizes.name),
            None if came != lengths => format!("{}: {} of {count} packets came", sizes.name, came.len()),
            None => format!("{}: {count} lengths", sizes.name),
        };
        LENGTH.judge(cx, odd.is_none() && came == lengths, "what the formula gives, and all of them", observed);
        let least = opened.iter().filter(|(inner, outer)| *outer == sizes.sealed(*inner, false)).count();
        let observed = format!("{}: {least} of {count} have the least padding", sizes.name);
        LEAST.judge(cx, least * 2 > count, "the least padding", observed);
    }
    scene.finish(cx)
}

/// Looks for the edge of a member whose packets are longer by an unknown stamp: what its answer to a packet with DF says.
fn told_edge(cx: &mut Cx<'_>, scene: &mut DataScene) -> Flow<usize> {
    let passed = scene.lan_to_wan(cx, &outbound(1_500).df(true).octets())?;
    let told = errors(&passed.packets(Side::Lan)).into_iter().find(|error| error.is_too_big());
    let told = cx.have(told, "the member does not tell what fits")?;
    Ok(told.mtu)
}

fn with_stamp(cx: &mut Cx<'_>) -> Flow {
    const FIT: Rule = Rule::new("cut.stamp-counted", &["PMTU-010", "ESP-088"]);
    const ESP: Rule = Rule::new("cut.stamped-fits", &["ESP-088"]);
    const MOST: usize = FITS - 8;
    let now = cx.world.now();
    let clock = clock_showing(600_000, now);
    let mut scene = DataScene::with(cx, data(before), |script| {
        script.group.replay = Replay::Time { window_secs: 30, clock };
    })?;
    let told = told_edge(cx, &mut scene)?;
    cx.measure("octets that the stamp takes", FITS as f64 - told as f64, "octets");
    let observed = format!("{told} octets fit, {FITS} would without a stamp");
    let ok = (FITS - 32..=MOST).contains(&told);
    FIT.judge(cx, ok, "a few octets less than without", observed);
    let told = told.clamp(FITS - 32, FITS);
    expect_whole(&mut scene, cx, &ESP, (&format!("{told} octets"), 1_500), &outbound(told).octets())?;
    // Whatever the stamp takes, nothing between here and the edge without it may leave too long.
    for len in [told + 1, FITS - 7, FITS] {
        let sent = send(&mut scene, cx, &outbound(len).octets())?;
        judge_fits(cx, &ESP, &format!("{len} octets"), &sent, 1_500);
    }
    scene.finish(cx)
}

/// Judges that everything that left fits and holds something.
fn judge_fits(cx: &mut Cx<'_>, rule: &Rule, what: &str, sent: &Sent, mtu: usize) {
    let ok = !sent.passed.wan.is_empty() && sent.longest() <= mtu;
    let observed = format!("{what}: {}", sent.describe());
    rule.judge(cx, ok, &format!("packets of {mtu} octets at most"), observed);
}

fn with_d3p(cx: &mut Cx<'_>) -> Flow {
    let mut scene = DataScene::with(cx, data(before), |script| {
        script.group.replay = Replay::D3p { window_ms: 60_000 };
    })?;
    let fits = STANDARD.fits(1_500, false, 12);
    edge(cx, &mut scene, "with delay detection", WAN_HOST, fits, 1_500)?;
    scene.finish(cx)
}

/// Starts a member that cuts before encryption and has one packet cut.
fn cut_one(cx: &mut Cx<'_>, packet: &Clear) -> Flow<(DataScene, Vec<Vec<u8>>)> {
    let mut scene = DataScene::with(cx, data(before), |_| {})?;
    let sent = send(&mut scene, cx, &packet.octets())?;
    cx.require(sent.faults.is_empty(), sent.faults.join(", "))?;
    cx.require(sent.esp.len() > 1, format!("the packet was not cut: {}", sent.describe()))?;
    Ok((scene, sent.inner()))
}

/// Decodes IPv4 pieces, in the order of their offsets.
fn headers(cx: &Cx<'_>, pieces: &[Vec<u8>]) -> Flow<Vec<Ipv4Fields>> {
    let mut fields = Vec::new();
    for piece in pieces {
        let seen = Ipv4Packet::decode(piece).map_err(|error| Stop::Inconclusive(error.to_string()))?;
        fields.push(Ipv4Fields {
            offset: usize::from(seen.header.fragment_offset),
            more: seen.header.more_fragments,
            ident: seen.header.ident,
            payload: seen.payload.len(),
            options: seen.header.options.clone(),
            checksum_is_right: seen.checksum_is_right(),
        });
    }
    fields.sort_by_key(|fields| fields.offset);
    cx.require(!fields.is_empty(), "nothing came")?;
    Ok(fields)
}

/// What the header of an IPv4 piece says.
struct Ipv4Fields {
    offset: usize,
    more: bool,
    ident: u16,
    payload: usize,
    options: Vec<u8>,
    checksum_is_right: bool,
}

fn eights(cx: &mut Cx<'_>) -> Flow {
    const EIGHTS: Rule = Rule::new("cut.multiples-of-eight", &["ESP-088"]);
    let (mut scene, pieces) = cut_one(cx, &outbound(1_500))?;
    let fields = headers(cx, &pieces)?;
    let uneven = fields.iter().rev().skip(1).find(|piece| piece.payload % 8 != 0);
    let observed = match uneven {
        Some(piece) => format!("a piece of {} octets that is not the last", piece.payload),
        None => format!("{} pieces", fields.len()),
    };
    EIGHTS.judge(cx, uneven.is_none(), "multiples of eight", observed);
    scene.finish(cx)
}

fn flags_and_offsets(cx: &mut Cx<'_>) -> Flow {
    const FLAGS: Rule = Rule::new("cut.more-fragments", &["ESP-088"]);
    const OFFSETS: Rule = Rule::new("cut.offsets", &["ESP-088"]);
    let packet = outbound(4_000);
    let (mut scene, pieces) = cut_one(cx, &packet)?;
    let fields = headers(cx, &pieces)?;
    let flags: Vec<bool> = fields.iter().map(|piece| piece.more).collect();
    let right = flags.iter().rev().skip(1).all(|more| *more) && flags.last() == Some(&false);
    FLAGS.judge(cx, right, "set in all pieces but the last", format!("{flags:?}"));
    let mut next = 0;
    let mut gaps = Vec::new();
    for piece in &fields {
        if piece.offset != next {
            gaps.push(format!("a piece at {} where {next} is next", piece.offset));
        }
        next = piece.offset + piece.payload;
    }
    let end = packet.octets().len() - 20;
    if next != end {
        gaps.push(format!("the pieces end at {next} instead of {end}"));
    }
    let observed = if gaps.is_empty() { format!("{} pieces", fields.len()) } else { gaps.join(", ") };
    OFFSETS.judge(cx, gaps.is_empty(), "each piece begins where the one before ends", observed);
    scene.finish(cx)
}

fn identification(cx: &mut Cx<'_>) -> Flow {
    const IDENT: Rule = Rule::new("cut.same-identification", &["ESP-088", "ESP-044"]);
    let (mut scene, pieces) = cut_one(cx, &outbound(4_000).ident(0x5a17))?;
    let idents: Vec<u16> = headers(cx, &pieces)?.iter().map(|piece| piece.ident).collect();
    let ok = idents.iter().all(|ident| *ident == 0x5a17);
    IDENT.judge(cx, ok, "5a17 in all", format!("{idents:04x?}"));
    scene.finish(cx)
}

fn checksums(cx: &mut Cx<'_>) -> Flow {
    const SUM: Rule = Rule::new("cut.header-checksum", &["ESP-088", "ESP-044"]);
    let (mut scene, pieces) = cut_one(cx, &outbound(4_000))?;
    let fields = headers(cx, &pieces)?;
    let wrong = fields.iter().filter(|piece| !piece.checksum_is_right).count();
    SUM.judge(cx, wrong == 0, "all right", format!("{wrong} of {} wrong", fields.len()));
    scene.finish(cx)
}

fn options(cx: &mut Cx<'_>) -> Flow {
    const COPIED: Rule = Rule::new("cut.options-copied", &["ESP-088", "ESP-044"]);
    const FIRST: Rule = Rule::new("cut.options-first-only", &["ESP-088", "ESP-044"]);
    // A router alert (148) is copied into every piece, a time stamp (68) is not.
    const ALERT: [u8; 4] = [148, 4, 0, 0];
    const STAMP: [u8; 8] = [68, 8, 5, 0, 0, 0, 0, 0];
    let packet = DataScene::outbound().options(&[&ALERT[..], &STAMP].concat()).sized(1_500);
    let (mut scene, pieces) = cut_one(cx, &packet)?;
    let fields = headers(cx, &pieces)?;
    let has = |options: &[u8], option: &[u8]| options.windows(option.len()).any(|window| window == option);
    let copied = fields.iter().filter(|piece| has(&piece.options, &ALERT)).count();
    let observed = format!("{copied} of {} pieces have it", fields.len());
    COPIED.judge(cx, copied == fields.len(), "a router alert in every piece", observed);
    let stamps: Vec<bool> = fields.iter().map(|piece| has(&piece.options, &STAMP)).collect();
    let ok = stamps.first() == Some(&true) && !stamps.iter().skip(1).any(|stamp| *stamp);
    FIRST.judge(cx, ok, "a time stamp in the first piece only", format!("{stamps:?}"));
    scene.finish(cx)
}

fn fragments_again(cx: &mut Cx<'_>) -> Flow {
    const AGAIN: Rule = Rule::new("cut.fragment-again", &["ESP-088", "ESP-089"]);
    let setup = data(|data| {
        before(data);
        data.lan_mtu = 9_000;
    });
    let mut scene = DataScene::with(cx, setup, |_| {})?;
    let packet = outbound(6_000).ident(0x0f0f);
    let whole = packet.octets();
    let mut inner = Vec::new();
    for (n, fragment) in packet.fragments(2_020).iter().enumerate() {
        let sent = send(&mut scene, cx, fragment)?;
        let ok = sent.faults.is_empty() && sent.longest() <= 1_500 && sent.esp.len() > 1;
        let fault = sent.faults.first().cloned().unwrap_or_else(|| sent.describe());
        AGAIN.judge(cx, ok, "pieces of 1500 octets at most", format!("fragment {}: {fault}", n + 1));
        if !ok {
            return Err(Stop::Judged);
        }
        inner.extend(sent.inner());
    }
    let joined = super::pieces::joined(&inner);
    let observed = joined.as_ref().err().cloned().unwrap_or_else(|| format!("{} pieces", inner.len()));
    let changed = joined.map_or_else(|why| vec![why], |packet| super::pieces::unlike(&whole, &packet, &[]));
    let observed = if changed.is_empty() { observed } else { changed.join(", ") };
    AGAIN.judge(cx, changed.is_empty(), "all pieces together are the packet", observed);
    scene.finish(cx)
}

fn fragments_that_fit(cx: &mut Cx<'_>) -> Flow {
    const KEPT: Rule = Rule::new("esp.fragment-whole", &["ESP-089", "ESP-044"]);
    const OUTER: Rule = Rule::new("esp.outer-no-fragment", &["ESP-089"]);
    const LEAK: Rule = Rule::grave("esp.fragment-not-clear", &["ESP-089"]);
    let mut scene = DataScene::standard(cx)?;
    for (n, fragment) in outbound(3_000).ident(0x0e0e).fragments(1_200).iter().enumerate() {
        let what = format!("fragment {}", n + 1);
        let sent = send(&mut scene, cx, fragment)?;
        let clear = sent.passed.wan.iter().any(|carried| carried.packet.get(9) == fragment.get(9));
        LEAK.judge(cx, !clear, "nothing in clear", format!("{what}: {}", sent.passed.describe(Side::Wan)));
        let observed = format!("{what}: {} outer fragments", sent.outside);
        OUTER.judge(cx, sent.outside == 0, "an outer header without offset and more-fragments", observed);
        let same = sent.inner().first().map(|inner| super::pieces::unlike(fragment, inner, &[]));
        let observed = match (&same, sent.faults.first()) {
            (Some(fields), _) if !fields.is_empty() => format!("{what}: changed: {}", fields.join(", ")),
            (None, Some(fault)) => format!("{what}: {fault}"),
            _ => format!("{what}: {}", sent.describe()),
        };
        let ok = sent.esp.len() == 1 && same.is_some_and(|fields| fields.is_empty());
        KEPT.judge(cx, ok, "one ESP packet that holds the fragment", observed);
    }
    scene.finish(cx)
}

fn cut_after(cx: &mut Cx<'_>) -> Flow {
    const AFTER: Rule = Rule::new("cut.after-encryption", &["ESP-082", "PMTU-008"]);
    const HOLDS: Rule = Rule::new("cut.after-holds", &["ESP-082", "ESP-044"]);
    const SUM: Rule = Rule::new("cut.header-checksum", &["ESP-044"]);
    let setup = data(|data| {
        data.fragment = Some("after".to_owned());
        data.lan_mtu = 9_000;
    });
    let mut scene = DataScene::with(cx, setup, |_| {})?;
    for len in [FITS + 1, 1_500, 4_000] {
        let packet = outbound(len).octets();
        let sent = send(&mut scene, cx, &packet)?;
        let what = format!("{len} octets");
        judge_fits(cx, &AFTER, &what, &sent, 1_500);
        let problem = sent.unlike(&packet, &[]);
        let observed = format!("{what}: {}", problem.clone().unwrap_or_else(|| sent.describe()));
        HOLDS.judge(cx, problem.is_none(), "what can be joined and opened", observed);
        let wrong = sent.passed.packets(Side::Wan).into_iter().filter_map(|packet| Ipv4Packet::decode(packet).ok());
        let wrong = wrong.filter(|seen| !seen.checksum_is_right()).count();
        SUM.judge(cx, wrong == 0, "all right", format!("{what}: {wrong} of {} wrong", sent.passed.wan.len()));
    }
    scene.finish(cx)
}

fn jumbo(cx: &mut Cx<'_>) -> Flow {
    let setup = data(|data| {
        before(data);
        data.lan_mtu = 9_000;
    });
    let mut scene = DataScene::with(cx, setup, |_| {})?;
    for len in [2_900, 5_837, 9_000] {
        expect_cut(&mut scene, cx, &CUT, (&format!("{len} octets"), 1_500), &outbound(len).octets())?;
    }
    scene.finish(cx)
}

/// Sends a packet with DF that does not fit, which the configuration allows to cut: inner or outer pieces, without DF.
fn cut_in_spite_of_df(cx: &mut Cx<'_>, scene: &mut DataScene, rule: &Rule) -> Flow<Sent> {
    let packet = outbound(1_500).df(true).octets();
    let sent = send(scene, cx, &packet)?;
    // Pieces of a packet with DF may carry any identification, for its own need not be unique (RFC 6864).
    let problem = sent.unlike(&packet, &["DF", "identification"]);
    let ok = problem.is_none() && sent.longest() <= 1_500 && sent.passed.wan.len() > 1;
    let observed = problem.unwrap_or_else(|| sent.describe());
    rule.judge(cx, ok, "pieces of 1500 octets at most that hold it", observed);
    Ok(sent)
}

/// Reads DF of everything that left the WAN.
fn df_outside(sent: &Sent) -> Vec<bool> {
    let flags = sent.passed.packets(Side::Wan).into_iter().filter_map(|packet| ip::route(packet).ok());
    flags.map(|route| route.dont_fragment).collect()
}

fn df_cleared(cx: &mut Cx<'_>) -> Flow {
    const PIECES: Rule = Rule::new("df.clear-cuts", &["PMTU-007"]);
    const OUTSIDE: Rule = Rule::new("df.clear-outside", &["PMTU-007", "ESP-046"]);
    const SILENT: Rule = Rule::new("df.clear-no-error", &["PMTU-007"]);
    let mut scene = DataScene::with(cx, data(|data| data.df = Some("clear".to_owned())), |_| {})?;
    let sent = cut_in_spite_of_df(cx, &mut scene, &PIECES)?;
    let flags = df_outside(&sent);
    OUTSIDE.judge(cx, !flags.contains(&true), "no DF outside", format!("{flags:?}"));
    let told = errors(&sent.passed.packets(Side::Lan));
    let observed = told.first().map_or_else(|| "none".to_owned(), super::pieces::ErrorSeen::describe);
    SILENT.judge(cx, told.is_empty(), "no ICMP error about a packet that was sent", observed);
    let small = send(&mut scene, cx, &outbound(600).df(true).octets())?;
    let flags = df_outside(&small);
    let observed = format!("a packet that fits: {flags:?}");
    OUTSIDE.judge(cx, flags == [false], "no DF outside", observed);
    scene.finish(cx)
}

fn df_set(cx: &mut Cx<'_>) -> Flow {
    const OUTSIDE: Rule = Rule::new("df.set-outside", &["ESP-046"]);
    let setup = data(|data| {
        before(data);
        data.df = Some("set".to_owned());
    });
    let mut scene = DataScene::with(cx, setup, |_| {})?;
    for len in [600, 1_500] {
        let packet = outbound(len).octets();
        let sent = send(&mut scene, cx, &packet)?;
        let flags = df_outside(&sent);
        let observed = format!("{len} octets: {flags:?}");
        OUTSIDE.judge(cx, !flags.is_empty() && !flags.contains(&false), "DF outside", observed);
        let problem = sent.unlike(&packet, &[]);
        let observed = format!("{len} octets: {}", problem.clone().unwrap_or_else(|| sent.describe()));
        CUT.judge(cx, problem.is_none(), "what holds the packet", observed);
    }
    scene.finish(cx)
}

fn df_overridden(cx: &mut Cx<'_>) -> Flow {
    const PIECES: Rule = Rule::new("df.override-cuts", &["PMTU-002", "ESP-088"]);
    let setup = data(|data| {
        before(data);
        data.override_df = true;
    });
    let mut scene = DataScene::with(cx, setup, |_| {})?;
    cut_in_spite_of_df(cx, &mut scene, &PIECES)?;
    scene.finish(cx)
}

fn cut_towards_lan(cx: &mut Cx<'_>) -> Flow {
    const PIECES: Rule = Rule::new("cut.towards-lan", &["ESP-088", "ESP-044"]);
    let mut scene = DataScene::with(cx, data(|data| data.lan_mtu = 1_280), |_| {})?;
    for len in [1_280, 1_281, 1_400] {
        let inner = super::pieces::inbound(len).octets();
        let esp = scene.seal(cx, &inner)?;
        let passed = scene.pass_until(cx, Side::Wan, &[esp], &|passed| {
            passed.lan.iter().map(|carried| carried.packet.len()).sum::<usize>() >= inner.len()
        })?;
        let pieces: Vec<Vec<u8>> = passed.packets(Side::Lan).into_iter().map(<[u8]>::to_vec).collect();
        let longest = pieces.iter().map(Vec::len).max().unwrap_or(0);
        let joined = super::pieces::joined(&pieces);
        let problem = match joined {
            Err(why) => Some(why),
            Ok(_) if longest > 1_280 => Some(format!("a packet of {longest} octets")),
            Ok(whole) => {
                Some(super::pieces::unlike(&inner, &whole, &[])).filter(|c| !c.is_empty()).map(|c| c.join(", "))
            }
        };
        let observed =
            format!("{len} octets: {}", problem.clone().unwrap_or_else(|| format!("{} packets", pieces.len())));
        PIECES.judge(cx, problem.is_none(), "packets of 1280 octets at most that hold it", observed);
    }
    scene.finish(cx)
}

fn refused_towards_lan(cx: &mut Cx<'_>) -> Flow {
    const KEPT: Rule = Rule::new("df.kept-towards-lan", &["ESP-081", "ESP-044"]);
    const TOLD: Rule = Rule::new("icmp.too-big-through-tunnel", &["ESP-081"]);
    const LEAK: Rule = Rule::grave("icmp.not-clear", &["ESP-044"]);
    let mut scene = DataScene::with(cx, data(|data| data.lan_mtu = 1_280), |_| {})?;
    let inner = super::pieces::inbound(1_400).df(true).octets();
    let esp = scene.seal(cx, &inner)?;
    let passed = scene.pass(cx, Side::Wan, &esp)?;
    let observed = passed.describe(Side::Lan);
    KEPT.judge(cx, passed.lan.is_empty(), "nothing towards the LAN", observed);
    let clear = errors(&passed.packets(Side::Wan));
    let observed = clear.first().map_or_else(|| "none".to_owned(), super::pieces::ErrorSeen::describe);
    LEAK.judge(cx, clear.is_empty(), "no error in clear", observed);
    let opened: Vec<Vec<u8>> = passed.opened(scene.opener()).into_iter().flatten().map(|seen| seen.inner).collect();
    let told = errors(&opened.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let observed = told.first().map_or_else(|| "no error".to_owned(), super::pieces::ErrorSeen::describe);
    let ok = told.first().is_some_and(|error| error.is_too_big() && error.mtu == 1_280);
    TOLD.judge(cx, ok, "ICMP 3/4 with MTU 1280 under the SA", observed);
    scene.finish(cx)
}
