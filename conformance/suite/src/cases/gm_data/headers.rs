//! The fields of outer and inner headers, on the way out and on the way in.

use hallmark_probe::data::{Clear, Forge};
use hallmark_probe::world::Side;
use hallmark_wire::ip::{self, Ipv4Packet};

use super::esp::{all_opened, all_protected, both_versions, datagram, hops, none_in_clear, sound, traffic_class};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::data::{DataScene, LAN_HOST6, Rule, WAN_HOST6, with_flows};

pub(crate) const CASES: &[Case] = &[
    case! {
        "DP-002", "data.esp", Must, Gm,
        title: "each of the 64 DSCPs is copied to the outer header and stays inside",
        purpose: "The core queues by the outer value; the far end gets back what its hosts sent.",
        requirements: ["DP-002", "ESP-047", "ESP-044"],
        sources: ["RFC 4301 §5.1.2", "getvpn §5.1"],
        catches: ["dp_dscp_not_copied", "dp_dscp_inner_cleared"],
        needs: [Datapath],
        cost: 20,
        run: dscp_out,
    },
    case! {
        "ESPH-001", "data.esp", Must, Gm,
        title: "the ECN field is copied to the outer header",
        purpose: "Routers mark only what says that it can be marked; a lost field loses the congestion signal.",
        requirements: ["ESP-049", "DP-001"],
        sources: ["RFC 6040 §4.1"],
        catches: ["dp_ecn_not_copied", "dp_ecn_outer_always_ce"],
        needs: [Datapath],
        cost: 15,
        run: ecn_out,
    },
    case! {
        "DP-003", "data.esp", Must, Gm,
        title: "DF is copied to the outer header, set or not",
        purpose: "With DF lost, path MTU discovery finds nothing; with DF added, packets vanish on the way.",
        requirements: ["DP-003", "ESP-046", "DP-001"],
        sources: ["RFC 4301 §8.1", "getvpn §5.7"],
        catches: ["dp_df_cleared", "dp_df_always_set"],
        needs: [Datapath],
        cost: 15,
        run: df_copied,
    },
    case! {
        "ESPH-002", "data.esp", Must, Gm,
        title: "a member that is told to clear or to set DF outside does so",
        purpose: "Clearing DF is the usual way out where ICMP is filtered; ignored, large packets go on vanishing.",
        requirements: ["ESP-046", "DP-001"],
        sources: ["RFC 4301 §8.1"],
        catches: ["dp_df_clear_ignored"],
        needs: [Datapath, Setup],
        cost: 30,
        run: df_configured,
    },
    case! {
        "ESPH-003", "data.esp", Must, Gm,
        title: "IPv4 options and IPv6 extension headers stay inside",
        purpose: "Routers of the core drop packets with options, and the outer header would reveal what is inside.",
        requirements: ["ESP-045"],
        sources: ["RFC 4301 §5.1.2.1"],
        catches: ["dp_options_copied"],
        needs: [Datapath],
        cost: 15,
        run: options,
    },
    case! {
        "ESPH-004", "data.esp", Must, Gm,
        title: "a gateway does not copy the IPv6 flow label",
        purpose: "It would tell flows apart that encryption is to hide.",
        requirements: ["ESP-053", "DP-001"],
        sources: ["RFC 4301 §5.1.2.2"],
        catches: ["dp_flow_label_copied"],
        needs: [Datapath],
        cost: 15,
        run: flow_label,
    },
    case! {
        "DP-004", "data.esp", Must, Gm,
        title: "forwarding to the WAN lowers the TTL once, and what has run out is not protected",
        purpose: "Without it a loop between two members never ends; lowered twice, traceroute lies.",
        requirements: ["DP-004", "ESP-052"],
        sources: ["RFC 4301 §5.1.2.1", "getvpn §9.10"],
        catches: ["dp_ttl_kept", "dp_ttl_twice", "dp_ttl_zero_forwarded", "dp_ttl_checksum_stale",
                  "dp_outer_ttl_one"],
        needs: [Datapath],
        cost: 25,
        run: ttl_out,
    },
    case! {
        "ESPH-005", "data.esp", Must, Gm,
        title: "outer headers that may be cut do not share an identification",
        purpose: "Two packets with one identification whose fragments meet are joined into garbage.",
        requirements: ["DP-001"],
        sources: ["RFC 6864 §4.1", "RFC 791 §3.2"],
        catches: ["dp_outer_id_constant"],
        needs: [Datapath],
        cost: 15,
        run: identification,
    },
    case! {
        "ESPH-006", "data.esp", Must, Gm,
        title: "nothing of the inner packet changes but its TTL",
        purpose: "Changed identifications break reassembly and every tool that follows a packet.",
        requirements: ["ESP-044"],
        sources: ["RFC 4301 §5.1.2"],
        catches: ["dp_inner_id_rewritten", "dp_dscp_inner_cleared"],
        needs: [Datapath],
        cost: 20,
        run: inner_kept,
    },
    case! {
        "ESPH-007", "data.esp", Must, Gm,
        title: "fragments of hosts are protected, in outer packets that are whole",
        purpose: "Later fragments carry no ports; a member that cannot place them sends them in clear.",
        requirements: ["ESP-089"],
        sources: ["RFC 4303 §3.1.2", "RFC 4303 §3.3.4"],
        catches: ["dp_outer_mf_copied", "dp_inner_fragments_clear"],
        needs: [Datapath],
        cost: 20,
        run: fragments,
    },
    case! {
        "ESPH-008", "data.esp", Must, Gm,
        title: "forwarding to the LAN lowers the inner TTL once; the outer one does not count",
        purpose: "Loops end by it, and a TTL taken from outside changes with the way through the core.",
        requirements: ["ESP-052", "ESP-044", "DP-004"],
        sources: ["RFC 4301 §5.1.2.1"],
        catches: ["dp_inner_ttl_kept", "dp_inner_ttl_from_outer", "dp_inner_ttl_zero_forwarded"],
        needs: [Datapath],
        cost: 25,
        run: ttl_in,
    },
    case! {
        "ESPH-009", "data.esp", Must, Gm,
        title: "the outer DSCP and DF are not taken over into the inner packet",
        purpose: "The core remarks packets as it likes; the host's own marking has to come back out.",
        requirements: ["ESP-048", "ESP-044"],
        sources: ["RFC 4301 §5.1.2"],
        catches: ["dp_inner_tos_from_outer", "dp_inner_df_cleared"],
        needs: [Datapath],
        cost: 20,
        run: marks_in,
    },
    case! {
        "ESPH-010", "data.esp", Must, Gm,
        title: "congestion marks are combined as the table of RFC 6040 says, with a right checksum",
        purpose: "A lost mark lets senders go on too fast, an invented one slows them for nothing.",
        requirements: ["ESP-050", "DP-007"],
        sources: ["RFC 6040 §4.2"],
        catches: ["dp_ecn_ce_lost", "dp_ecn_inner_ce_cleared", "dp_ecn_outer_wins", "dp_ecn_unused_dropped",
                  "dp_inner_checksum_stale"],
        needs: [Datapath],
        cost: 30,
        run: ecn_in,
    },
    case! {
        "ESPH-011", "data.esp", Must, Gm,
        title: "the two combinations that RFC 6040 changed: a mark on what cannot be marked is dropped, ECT(1) wins",
        purpose: "A mark on a packet that is not ECN-capable means congestion that its sender will never hear of.",
        requirements: ["ESP-050", "DP-007"],
        sources: ["RFC 6040 §4.2", "RFC 6040 §5.1"],
        catches: ["dp_ecn_ce_on_not_ect_forwarded", "dp_ecn_ce_on_not_ect_marked", "dp_ecn_ect1_lost"],
        needs: [Datapath],
        cost: 20,
        run: ecn_changed,
    },
    case! {
        "ESPH-012", "data.esp", Should, Gm,
        title: "combinations of ECN that no sender makes are reported",
        purpose: "They show that somebody on the way bleaches or forges marks.",
        requirements: ["ESP-051"],
        sources: ["RFC 6040 §4.2"],
        catches: ["dp_ecn_silent"],
        needs: [Datapath, Console],
        cost: 15,
        run: ecn_reported,
    },
];

const PROTECTED: Rule = Rule::new("esp.protected", &["DP-001"]);

fn both(cx: &mut Cx<'_>) -> Flow<DataScene> {
    DataScene::with(cx, |_| {}, |script| with_flows(script, both_versions()))
}

fn out(version: u8) -> Clear {
    if version == 6 { datagram(LAN_HOST6, WAN_HOST6) } else { DataScene::outbound() }
}

fn back(version: u8) -> Clear {
    if version == 6 { datagram(WAN_HOST6, LAN_HOST6) } else { DataScene::inbound() }
}

fn dscp_out(cx: &mut Cx<'_>) -> Flow {
    const COPIED: Rule = Rule::new("esp.dscp-copied", &["DP-002", "ESP-047"]);
    const INSIDE: Rule = Rule::new("esp.dscp-inside", &["ESP-044"]);
    let mut scene = both(cx)?;
    for version in [4, 6] {
        let packets: Vec<Clear> = (0..64).map(|dscp| out(version).dscp(dscp)).collect();
        let seen = all_protected(cx, &mut scene, &INSIDE, &format!("IPv{version}, 64 DSCPs"), &packets)?;
        let wrong = seen.iter().find(|seen| seen.outer.traffic_class >> 2 != seen.inner_traffic_class() >> 2);
        let observed = match wrong {
            None => format!("IPv{version}: all equal"),
            Some(seen) => format!(
                "IPv{version}: {} inside, {} outside",
                seen.inner_traffic_class() >> 2,
                seen.outer.traffic_class >> 2
            ),
        };
        COPIED.judge(cx, wrong.is_none(), "the same DSCP outside as inside", observed);
    }
    scene.finish(cx)
}

fn ecn_out(cx: &mut Cx<'_>) -> Flow {
    const COPIED: Rule = Rule::new("esp.ecn-copied", &["ESP-049"]);
    let mut scene = both(cx)?;
    for version in [4, 6] {
        for ecn in 0..4 {
            let what = format!("IPv{version}, ECN {ecn}");
            let seen = scene.expect_esp(cx, &PROTECTED, &what, &out(version).ecn(ecn))?;
            let outside = seen.outer.traffic_class & 3;
            COPIED.judge(cx, outside == ecn, "the same ECN outside", format!("{what}: {outside} outside"));
        }
    }
    scene.finish(cx)
}

fn df_copied(cx: &mut Cx<'_>) -> Flow {
    const COPIED: Rule = Rule::new("esp.df-copied", &["DP-003", "ESP-046"]);
    let mut scene = DataScene::standard(cx)?;
    for df in [false, true, false] {
        let what = format!("DF {}", u8::from(df));
        let seen = scene.expect_esp(cx, &PROTECTED, &what, &DataScene::outbound().df(df))?;
        let outside = seen.outer.dont_fragment;
        COPIED.judge(cx, outside == df, "the same DF outside", format!("{what}: {} outside", u8::from(outside)));
    }
    scene.finish(cx)
}

fn df_configured(cx: &mut Cx<'_>) -> Flow {
    const OBEYED: Rule = Rule::new("esp.df-configured", &["ESP-046"]);
    for (word, wanted) in [("clear", false), ("set", true)] {
        let change = |setup: &mut crate::setup::GmSetup| {
            if let Some(data) = &mut setup.data {
                data.df = Some(word.to_owned());
            }
        };
        let mut scene = DataScene::with(cx, change, |_| {})?;
        for df in [false, true] {
            let what = format!("df = {word}, DF {} inside", u8::from(df));
            let seen = scene.expect_esp(cx, &PROTECTED, &what, &DataScene::outbound().df(df))?;
            let outside = seen.outer.dont_fragment;
            let observed = format!("{what}: {} outside", u8::from(outside));
            OBEYED.judge(cx, outside == wanted, "DF outside as configured", observed);
        }
        scene.finish(cx)?;
    }
    Ok(())
}

fn options(cx: &mut Cx<'_>) -> Flow {
    const INSIDE: Rule = Rule::new("esp.options-inside", &["ESP-045"]);
    let mut scene = both(cx)?;
    let packets = [
        ("router alert", out(4).options(&[148, 4, 0, 0])),
        ("40 octets of no-operation", out(4).options(&[1; 40])),
        ("destination options", out(6).extension(60, &[1, 4, 0, 0, 0, 0])),
    ];
    for (what, packet) in packets {
        let seen = scene.expect_esp(cx, &INSIDE, what, &packet)?;
        sound(cx, &INSIDE, what, &seen);
    }
    scene.finish(cx)
}

fn flow_label(cx: &mut Cx<'_>) -> Flow {
    const OWN: Rule = Rule::new("esp.flow-label", &["ESP-053"]);
    let mut scene = both(cx)?;
    for label in [0x12345, 0x0000f, 0xfffff] {
        let what = format!("flow label {label:05x}");
        let seen = scene.expect_esp(cx, &PROTECTED, &what, &out(6).flow_label(label))?;
        sound(cx, &OWN, &what, &seen);
    }
    scene.finish(cx)
}

fn ttl_out(cx: &mut Cx<'_>) -> Flow {
    const ONCE: Rule = Rule::new("esp.ttl-once", &["ESP-052"]);
    const OUTSIDE: Rule = Rule::new("esp.outer-ttl", &["DP-004"]);
    const RUN_OUT: Rule = Rule::new("esp.ttl-run-out", &["DP-004", "ESP-052"]);
    let mut scene = both(cx)?;
    for version in [4, 6] {
        for ttl in [2, 3, 16, 64, 255] {
            let what = format!("IPv{version}, TTL {ttl}");
            let seen = scene.expect_esp(cx, &ONCE, &what, &out(version).hops(ttl))?;
            let inside = hops(&seen.inner);
            ONCE.judge(cx, inside == ttl - 1, "one less inside", format!("{what}: {inside} inside"));
            if ttl == 64 {
                let outside = seen.outer.hops;
                cx.measure(&format!("outer TTL of a packet of IPv{version} with 64"), outside.into(), "");
                OUTSIDE.judge(
                    cx,
                    outside > 1,
                    "one that reaches beyond the first router",
                    format!("{outside} outside"),
                );
            }
        }
        for ttl in [1, 0] {
            let what = format!("IPv{version}, TTL {ttl}");
            scene.expect_nothing(cx, &RUN_OUT, &what, Side::Lan, &[out(version).hops(ttl).octets()])?;
        }
    }
    scene.finish(cx)
}

fn identification(cx: &mut Cx<'_>) -> Flow {
    const OWN: Rule = Rule::new("esp.outer-identification", &["DP-001"]);
    let mut scene = DataScene::standard(cx)?;
    let packets: Vec<Clear> = (0..24).map(|i| DataScene::outbound().ident(i)).collect();
    let seen = all_protected(cx, &mut scene, &PROTECTED, "24 packets without DF", &packets)?;
    let cut: Vec<u16> = seen.iter().filter(|seen| !seen.outer.dont_fragment).map(|seen| seen.outer.ident).collect();
    let mut different = cut.clone();
    different.sort_unstable();
    different.dedup();
    let observed = format!("{} identifications in {} packets", different.len(), cut.len());
    OWN.judge(cx, different.len() == cut.len(), "each its own", observed);
    scene.finish(cx)
}

fn inner_kept(cx: &mut Cx<'_>) -> Flow {
    const KEPT: Rule = Rule::new("esp.inner-kept", &["ESP-044"]);
    let mut scene = both(cx)?;
    let packets = [
        DataScene::outbound().ident(0x1234).dscp(46).ecn(2).df(true),
        DataScene::outbound().ident(0).options(&[7, 7, 4, 0, 0, 0, 0, 0]),
        DataScene::outbound().ident(0xffff).sized(1_000),
        out(6).dscp(10).ecn(1).flow_label(0xabcde),
    ];
    all_protected(cx, &mut scene, &KEPT, "out", &packets)?;
    let packets = [
        DataScene::inbound().ident(0x4321).dscp(46).ecn(2).df(true),
        DataScene::inbound().ident(0).options(&[7, 7, 4, 0, 0, 0, 0, 0]),
        DataScene::inbound().ident(0xffff).sized(1_000),
        back(6).dscp(10).ecn(1).flow_label(0xabcde),
    ];
    all_opened(cx, &mut scene, &KEPT, "in", &packets)?;
    scene.finish(cx)
}

fn fragments(cx: &mut Cx<'_>) -> Flow {
    const NEVER_CLEAR: Rule = Rule::grave("esp.fragments-not-in-clear", &["ESP-089"]);
    const WHOLE: Rule = Rule::new("esp.fragments-tunnelled", &["ESP-089"]);
    let mut scene = DataScene::standard(cx)?;
    let whole = DataScene::outbound().sized(3_000);
    let pieces = whole.fragments(1_000);
    let passed = none_in_clear(cx, &mut scene, &NEVER_CLEAR, "the fragments of a datagram", &pieces)?;
    // A member may join fragments before it protects them: what counts is that all octets are there.
    let mut inside = 0;
    let mut wrong = None;
    for carried in &passed.wan {
        match scene.open(carried) {
            Ok(seen) => inside += Ipv4Packet::decode(&seen.inner).map_or(0, |inner| inner.payload.len()),
            Err(why) => wrong = Some(why),
        }
    }
    let ok = wrong.is_none() && inside == 2_980;
    let observed = wrong.unwrap_or_else(|| format!("{inside} of 2980 octets in {} ESP packets", passed.wan.len()));
    WHOLE.judge(cx, ok, "everything in ESP packets that are whole", observed);
    for (number, piece) in DataScene::inbound().sized(3_000).fragments(1_000).iter().enumerate() {
        let esp = scene.forge(cx, piece, &Forge::new())?.octets();
        scene.expect_inner(cx, &WHOLE, &format!("fragment {number} from the WAN"), &esp, piece)?;
    }
    scene.finish(cx)
}

fn ttl_in(cx: &mut Cx<'_>) -> Flow {
    const ONCE: Rule = Rule::new("esp.inner-ttl-once", &["ESP-052", "ESP-044"]);
    const RUN_OUT: Rule = Rule::new("esp.inner-ttl-run-out", &["DP-004", "ESP-052"]);
    let mut scene = both(cx)?;
    for version in [4, 6] {
        for (inside, outside) in [(64, 64), (64, 7), (3, 200), (2, 1)] {
            let what = format!("IPv{version}, TTL {inside} inside and {outside} outside");
            let inner = back(version).hops(inside).octets();
            let esp = scene.forge(cx, &inner, &Forge::new())?.hops(outside).octets();
            let came = scene.expect_inner(cx, &ONCE, &what, &esp, &inner)?;
            let left = hops(&came);
            ONCE.judge(cx, left == inside - 1, "one less than inside", format!("{what}: {left} came"));
        }
        for ttl in [1, 0] {
            let what = format!("IPv{version}, TTL {ttl} inside");
            let inner = back(version).hops(ttl).octets();
            let esp = scene.forge(cx, &inner, &Forge::new())?.hops(64).octets();
            scene.expect_nothing(cx, &RUN_OUT, &what, Side::Wan, &[esp])?;
        }
    }
    scene.finish(cx)
}

fn marks_in(cx: &mut Cx<'_>) -> Flow {
    const KEPT: Rule = Rule::new("esp.marks-kept", &["ESP-048", "ESP-044"]);
    let mut scene = both(cx)?;
    for version in [4, 6] {
        for (inside, outside) in [(46, 0), (0, 46), (10, 63)] {
            let inner = back(version).dscp(inside).df(version == 4).octets();
            let esp = scene.forge(cx, &inner, &Forge::new())?.dscp(outside).df(false).octets();
            let what = format!("IPv{version}, DSCP {inside} inside and {outside} outside");
            scene.expect_inner(cx, &KEPT, &what, &esp, &inner)?;
        }
    }
    let inner = back(4).df(false).octets();
    let esp = scene.forge(cx, &inner, &Forge::new())?.df(true).octets();
    scene.expect_inner(cx, &KEPT, "DF outside only", &esp, &inner)?;
    scene.finish(cx)
}

const NAMES: [&str; 4] = ["Not-ECT", "ECT(1)", "ECT(0)", "CE"];

/// Lets a packet with these ECN fields inside and outside arrive. Gives the field that came out, if it came.
fn combine(cx: &mut Cx<'_>, scene: &mut DataScene, version: u8, inside: u8, outside: u8) -> Flow<(Option<u8>, bool)> {
    let inner = back(version).ecn(inside);
    let esp = scene.forge(cx, &inner.octets(), &Forge::new())?.ecn(outside).octets();
    let passed = scene.pass(cx, Side::Wan, &esp)?;
    let packets = passed.packets(Side::Lan);
    let came = packets.first();
    let right =
        came.is_none_or(|came| ip::version(came) != Some(4) || ip::checksum(came.get(..20).unwrap_or(&[])) == 0);
    Ok((came.map(|came| traffic_class(came) & 3), right))
}

fn cell(version: u8, inside: u8, outside: u8) -> String {
    let name = |field: u8| NAMES.get(usize::from(field)).copied().unwrap_or("?");
    format!("IPv{version}, {} inside and {} outside", name(inside), name(outside))
}

fn came(field: Option<u8>) -> String {
    field.map_or_else(
        || "dropped".to_owned(),
        |field| format!("{} came", NAMES.get(usize::from(field)).copied().unwrap_or("?")),
    )
}

fn ecn_in(cx: &mut Cx<'_>) -> Flow {
    const TABLE: Rule = Rule::new("esp.ecn-table", &["ESP-050"]);
    const CHECKSUM: Rule = Rule::new("esp.ecn-checksum", &["ESP-050"]);
    const REGULAR: Rule = Rule::new("esp.opened", &["DP-007"]);
    let mut scene = both(cx)?;
    for version in [4, 6] {
        // The cells that RFC 4301 has as RFC 6040; the two others have a case of their own.
        for (inside, outside, due) in [
            (0, 0, 0),
            (0, 2, 0),
            (0, 1, 0),
            (2, 0, 2),
            (2, 2, 2),
            (2, 3, 3),
            (1, 0, 1),
            (1, 2, 1),
            (1, 1, 1),
            (1, 3, 3),
            (3, 0, 3),
            (3, 2, 3),
            (3, 1, 3),
            (3, 3, 3),
        ] {
            let what = cell(version, inside, outside);
            let (field, right) = combine(cx, &mut scene, version, inside, outside)?;
            let expected = NAMES.get(usize::from(due)).copied().unwrap_or("?");
            TABLE.judge(cx, field == Some(due), expected, format!("{what}: {}", came(field)));
            let words = if right { "right" } else { "wrong" };
            CHECKSUM.judge(cx, right, "a right header checksum", format!("{what}: {words}"));
        }
        all_opened(cx, &mut scene, &REGULAR, "a regular packet after the table", &[back(version)])?;
    }
    scene.finish(cx)
}

fn ecn_changed(cx: &mut Cx<'_>) -> Flow {
    // A member of RFC 4301 alone, which nothing lets it declare here, forwards both unchanged: a warning. Marking what
    // is not ECN-capable is wrong by either.
    const NEW: Rule = Rule::advisory("esp.ecn-table-6040", &["ESP-050"]);
    const NO_MARK: Rule = Rule::new("esp.ecn-not-marked", &["ESP-050"]);
    const REGULAR: Rule = Rule::new("esp.opened", &["DP-007"]);
    let mut scene = both(cx)?;
    for version in [4, 6] {
        all_opened(cx, &mut scene, &REGULAR, "a regular packet before", &[back(version)])?;
        let (field, _) = combine(cx, &mut scene, version, 0, 3)?;
        let observed = format!("{}: {}", cell(version, 0, 3), came(field));
        NEW.judge(cx, field.is_none(), "dropped", &observed);
        NO_MARK.judge(cx, field.is_none_or(|field| field == 0), "no mark", observed);
        let (field, _) = combine(cx, &mut scene, version, 2, 1)?;
        let observed = format!("{}: {}", cell(version, 2, 1), came(field));
        NEW.judge(cx, field == Some(1), "ECT(1)", observed);
        all_opened(cx, &mut scene, &REGULAR, "a regular packet after", &[back(version)])?;
    }
    scene.finish(cx)
}

fn ecn_reported(cx: &mut Cx<'_>) -> Flow {
    const REPORTED: Rule = Rule::new("esp.ecn-reported", &["ESP-051"]);
    let mut scene = DataScene::standard(cx)?;
    let count = |plane: &serde_json::Value| {
        plane.pointer("/reports/RECVD_PKT_ECN_UNUSED").and_then(serde_json::Value::as_u64).unwrap_or(0)
    };
    let before = count(&scene.plane(cx)?);
    for (inside, outside) in [(0, 2), (0, 1), (1, 2), (3, 1)] {
        combine(cx, &mut scene, 4, inside, outside)?;
    }
    let after = count(&scene.plane(cx)?);
    let observed = format!("{} reports of 4 such packets", after - before.min(after));
    REPORTED.judge(cx, after > before, "at least one report", observed);
    scene.finish(cx)
}
