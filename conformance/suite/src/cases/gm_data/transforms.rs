//! Every transform, in both directions, and the initialisation vectors of counter modes.

use std::net::IpAddr;

use hallmark_probe::data::Clear;
use hallmark_probe::group::{Flow as Entry, SidPlan};
use hallmark_probe::world::{Role, Side};

use super::esp::{CBC, Cipher, GCM, NULL, all_opened, all_protected, datagram, none_in_clear, numbers};
use super::protect::going_on;
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::data::{Control, DataScene, LAN_HOST, Rule, both_ways, with_tek};

pub(crate) const CASES: &[Case] = &[
    case! {
        "DP-008", "data.esp", Must, Gm,
        title: "AES-CBC with every HMAC works in both directions",
        purpose: "A transform that is negotiated but sealed otherwise cuts the member off without an error on its own \
                  side.",
        requirements: ["DP-008", "ESP-025", "ESP-026", "ESP-027"],
        sources: ["RFC 3602", "RFC 2404", "RFC 4868", "getvpn §9.10"],
        catches: ["dp_icv_truncated", "dp_pad_length_counts_trailer"],
        needs: [Datapath],
        cost: 90,
        run: cbc,
    },
    case! {
        "DP-009", "data.esp", Must, Gm,
        title: "ESP-NULL leaves the payload readable and authenticates it",
        purpose: "It is what one reads traces with; a NULL that encrypts, or is not authentic, helps nobody.",
        requirements: ["DP-009", "ESP-029"],
        sources: ["RFC 2410 §3", "RFC 4303 §2.4"],
        catches: ["dp_icv_truncated", "dp_pad_length_counts_trailer"],
        needs: [Datapath],
        cost: 20,
        run: null,
    },
    case! {
        "ESPT-001", "data.esp", Must, Gm,
        title: "AES-GCM with every key and ICV length works in both directions",
        purpose: "Salt, IV and what is authenticated beside the payload have to be put together as RFC 4106 says, or \
                  no packet opens.",
        requirements: ["ESP-017", "ESP-019", "ESP-020", "DP-008"],
        sources: ["RFC 4106 §4", "RFC 4106 §5", "RFC 4106 §6"],
        catches: ["dp_aad_with_esn", "dp_icv_truncated"],
        needs: [Datapath],
        cost: 60,
        run: gcm,
    },
    case! {
        "ESPT-002", "data.esp", Must, Gm,
        title: "AES-GMAC authenticates the IV too and leaves the payload readable",
        purpose: "The published vector and one figure of the RFC include the IV; a member that leaves it out cannot \
                  talk to others.",
        requirements: ["ESP-021", "ESP-022", "DP-008"],
        sources: ["RFC 4543 §3"],
        catches: ["dp_aad_with_esn", "dp_icv_truncated"],
        needs: [Datapath],
        cost: 40,
        run: gmac,
    },
    case! {
        "ESPT-003", "data.esp", Must, Gm,
        title: "3DES-CBC, where a member still takes it, works in both directions",
        purpose: "Old groups use it; its block of 8 octets has lengths of its own.",
        requirements: ["DP-008", "ESP-024", "ESP-025"],
        sources: ["RFC 2451", "RFC 2404"],
        catches: ["dp_icv_truncated", "dp_cbc_iv_zero"],
        needs: [Datapath],
        cost: 20,
        run: triple_des,
    },
    case! {
        "ESPT-004", "data.esp", Must, Gm,
        title: "the sender id stands in the leftmost bits of the IV, whether it has 8, 12 or 16",
        purpose: "Members share one key: only the sender id keeps two of them from using one IV twice, which gives the \
                  key stream away.",
        requirements: ["ESP-065", "ESP-066", "GDOI-SID-018", "DP-008"],
        sources: ["RFC 6054 §3", "RFC 6407 §5.6.4"],
        catches: ["dp_sid_rightmost", "dp_sid_shifted_by_one", "dp_sid_ignored", "dp_sid_sixteen_always",
                  "dp_iv_random_counter_mode"],
        needs: [Datapath],
        cost: 60,
        run: sender_ids,
    },
    case! {
        "DP-030", "data.esp", Must, Gm,
        title: "no IV of a counter mode comes twice",
        purpose: "Two packets under one IV give each other away, and then the key of their authentication.",
        requirements: ["DP-030", "ESP-023", "GDOI-SID-019", "DP-008"],
        sources: ["RFC 4106 §3.1", "RFC 4106 §10"],
        catches: ["dp_iv_reused"],
        needs: [Datapath],
        cost: 60,
        run: unique,
    },
    case! {
        "ESPT-005", "data.esp", Must, Gm,
        title: "IVs go on when the policy comes again under the same key",
        purpose: "Each rekey sends policy for keys that are in use; starting their IVs anew repeats every one of them.",
        requirements: ["ESP-068", "ESP-023", "DP-001"],
        sources: ["RFC 6054 §5", "RFC 6407 §5.6.4.3"],
        catches: ["dp_iv_restarts_on_apply"],
        needs: [Datapath],
        cost: 30,
        run: ivs_go_on,
    },
    case! {
        "DP-031", "data.esp", Must, Gm,
        title: "a member that starts again under the same key uses no IV again",
        purpose: "It has forgotten its count: only the new sender id keeps the IVs apart from those of its first life.",
        requirements: ["DP-031", "ESP-023", "ESP-068", "GDOI-SID-035", "DP-008"],
        sources: ["RFC 6054 §5", "getvpn §9.10"],
        catches: ["dp_sid_ignored"],
        needs: [Datapath, Crash],
        cost: 60,
        run: restarted,
    },
    case! {
        "ESPT-006", "data.esp", Must, Gm,
        title: "without a sender id nothing is sent under a counter-mode key",
        purpose: "Its IVs would be those of another member.",
        requirements: ["ESP-066", "ESP-069", "GDOI-NEG-124"],
        sources: ["RFC 6407 §5.6.4", "RFC 6054 §3"],
        catches: ["dp_sends_without_sid"],
        needs: [Datapath],
        cost: 20,
        run: without_sender_id,
    },
    case! {
        "ESPT-007", "data.esp", Must, Gm,
        title: "64-bit sequence numbers are authenticated in full",
        purpose: "The high half never travels; a member that leaves it out opens nothing and is opened by nobody.",
        requirements: ["ESP-018"],
        sources: ["RFC 4106 §5", "RFC 4303 §2.2.1", "RFC 4304"],
        catches: ["dp_esn_aad_short"],
        needs: [Datapath],
        cost: 30,
        run: extended,
    },
    case! {
        "ESPT-008", "data.esp", Must, Gm,
        title: "a policy of transport mode is followed or leads nowhere, but never in clear",
        purpose: "Hosts that are members themselves use it; a gateway may refuse it, but not leave its traffic bare.",
        requirements: ["ESP-043", "DP-008"],
        sources: ["RFC 4303 §3.1.1", "RFC 5374 §3"],
        catches: ["dp_icv_truncated"],
        needs: [Datapath],
        cost: 30,
        run: transport,
    },
];

const BOTH_WAYS: Rule = Rule::new("esp.transform", &["DP-008"]);

/// Sends packets of several lengths in both directions under each transform. Transforms that are not `required` may be
/// refused; at least one must work.
fn sweep(cx: &mut Cx<'_>, rule: &Rule, leaf: &str, required: &[Cipher], optional: &[Cipher]) -> Flow {
    let mut worked = 0;
    for (cipher, must) in required.iter().map(|c| (c, true)).chain(optional.iter().map(|c| (c, false))) {
        let Some(mut scene) = cipher.scene(cx)? else {
            cx.require(!must, format!("the member did not register with {}", cipher.name))?;
            continue;
        };
        let sizes = [28, 61, 62, 63, 64, 500, 1_301];
        let out: Vec<Clear> = sizes.iter().map(|&size| DataScene::outbound().sized(size)).collect();
        let seen = all_protected(cx, &mut scene, rule, &format!("{} out", cipher.name), &out)?;
        let fits = seen.iter().all(|seen| seen.iv.len() == seen.transform.iv_len());
        rule.judge(cx, fits, "an IV of its length", format!("{}: {} packets", cipher.name, seen.len()));
        let back: Vec<Clear> = sizes.iter().map(|&size| DataScene::inbound().sized(size)).collect();
        all_opened(cx, &mut scene, rule, &format!("{} in", cipher.name), &back)?;
        worked += 1;
        scene.finish(cx)?;
    }
    if worked == 0 {
        return Err(Stop::NotSupported(leaf.to_owned(), "false".to_owned()));
    }
    Ok(())
}

fn cbc(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("esp.transform", &["DP-008", "ESP-025", "ESP-026", "ESP-027"]);
    let required = [CBC, Cipher::with("aes256-cbc+hmac-sha256", 12, 256, 5)];
    let optional = [
        Cipher::with("aes128-cbc+hmac-sha1", 12, 128, 2),
        Cipher::with("aes192-cbc+hmac-sha384", 12, 192, 6),
        Cipher::with("aes256-cbc+hmac-sha512", 12, 256, 7),
    ];
    sweep(cx, &RULE, "gm.esp.aes-cbc", &required, &optional)
}

fn triple_des(cx: &mut Cx<'_>) -> Flow {
    const RANDOM: Rule = Rule::new("esp.cbc-iv-random", &["ESP-024"]);
    const WITH_SHA1: Rule = Rule::new("esp.transform", &["DP-008", "ESP-025"]);
    let cipher = Cipher::with("3des+hmac-sha1", 3, 0, 2);
    sweep(cx, &WITH_SHA1, "gm.esp.3des", &[], &[cipher])?;
    let Some(mut scene) = cipher.scene(cx)? else { return Ok(()) };
    let packets: Vec<Clear> = (0..8).map(|i| DataScene::outbound().ident(i)).collect();
    let seen = all_protected(cx, &mut scene, &BOTH_WAYS, "8 packets", &packets)?;
    let ivs: std::collections::BTreeSet<&[u8]> = seen.iter().map(|seen| seen.iv.as_slice()).collect();
    RANDOM.judge(cx, ivs.len() == 8, "an IV of its own in each", format!("{} IVs in 8 packets", ivs.len()));
    scene.finish(cx)
}

fn gcm(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("esp.transform", &["ESP-017", "ESP-019", "ESP-020", "DP-008"]);
    let optional = [
        GCM,
        Cipher::alone("aes256-gcm16", 20, 256),
        Cipher::alone("aes192-gcm16", 20, 192),
        Cipher::alone("aes128-gcm12", 19, 128),
        Cipher::alone("aes256-gcm8", 18, 256),
    ];
    sweep(cx, &RULE, "gm.esp.aes-gcm", &[], &optional)
}

fn gmac(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("esp.transform", &["ESP-021", "ESP-022", "DP-008"]);
    let ciphers = [Cipher::alone("aes128-gmac", 23, 128), Cipher::alone("aes256-gmac", 23, 256)];
    sweep(cx, &RULE, "gm.esp.aes-gmac", &[], &ciphers)
}

fn null(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("esp.null", &["DP-009", "ESP-029"]);
    let ciphers = [NULL, Cipher::with("null+hmac-sha1", 11, 0, 2)];
    sweep(cx, &RULE, "gm.esp.null", &[], &ciphers)?;
    let Some(mut scene) = NULL.scene(cx)? else { return Ok(()) };
    let packet = DataScene::outbound().sized(120);
    let seen = scene.expect_esp(cx, &RULE, "a packet", &packet)?;
    let inside = seen.packet.windows(60).any(|window| window == &packet.octets()[60..120]);
    let observed = if inside { "the payload stands in it" } else { "the payload is not in it" };
    RULE.judge(cx, inside, "a payload that can be read", observed);
    let whole = (seen.esp_len - seen.transform.icv_len()).is_multiple_of(4) && seen.iv.is_empty();
    RULE.judge(cx, whole, "no IV, whole words", format!("{} octets, IV {:02x?}", seen.esp_len, seen.iv));
    scene.finish(cx)
}

fn sender_ids(cx: &mut Cx<'_>) -> Flow {
    const LEFTMOST: Rule = Rule::new("esp.sender-id", &["ESP-065", "ESP-066", "GDOI-SID-018"]);
    const FIRST: u32 = 0x5a;
    let mut worked = false;
    for bits in [8_u16, 12, 16] {
        let tek = GCM.tek(cx);
        let plan = SidPlan { bits, next: FIRST, default_count: 1 };
        let change = |script: &mut hallmark_probe::KsScript| {
            with_tek(script, tek);
            script.group.sids = Some(plan);
        };
        let Some(mut scene) = DataScene::optional(cx, |_| {}, change)? else { continue };
        worked = true;
        let packets: Vec<Clear> = (0..6).map(|i| DataScene::outbound().ident(i)).collect();
        let seen = all_protected(cx, &mut scene, &BOTH_WAYS, &format!("{bits} bits"), &packets)?;
        // Whatever the member was given, in one registration or in several.
        let next = scene.scene.ks.script.group.sids.as_ref().map_or(FIRST + 1, |plan| plan.next);
        let ids: Vec<u64> = seen
            .iter()
            .filter_map(|seen| seen.iv.first_chunk::<8>())
            .map(|iv| u64::from_be_bytes(*iv) >> (64 - u32::from(bits)))
            .collect();
        let range = u64::from(FIRST)..u64::from(next);
        let ok = ids.len() == seen.len() && ids.iter().all(|id| range.contains(id));
        let ivs: Vec<String> = seen.iter().take(2).map(|seen| hex::encode(&seen.iv)).collect();
        let observed = format!("{bits} bits: ids {ids:x?}, IVs {}", ivs.join(", "));
        LEFTMOST.judge(cx, ok, "the sender id 5a in the leftmost bits", observed);
        scene.finish(cx)?;
    }
    if worked { Ok(()) } else { Err(Stop::NotSupported("gm.esp.aes-gcm".to_owned(), "false".to_owned())) }
}

/// Starts a member under AES-GCM.
fn counting(cx: &mut Cx<'_>) -> Flow<DataScene> {
    let scene = GCM.scene(cx)?;
    scene.ok_or_else(|| Stop::NotSupported("gm.esp.aes-gcm".to_owned(), "false".to_owned()))
}

fn unique(cx: &mut Cx<'_>) -> Flow {
    const UNIQUE: Rule = Rule::new("esp.iv-unique", &["DP-030", "ESP-023", "GDOI-SID-019"]);
    let mut scene = counting(cx)?;
    for round in 0..20 {
        let burst: Vec<Clear> = (0..30).map(|i| DataScene::outbound().ident(round * 30 + i)).collect();
        all_protected(cx, &mut scene, &BOTH_WAYS, &format!("burst {round}"), &burst)?;
    }
    numbers(cx, &UNIQUE, "600 packets", &scene);
    scene.finish(cx)
}

fn ivs_go_on(cx: &mut Cx<'_>) -> Flow {
    const GO_ON: Rule = Rule::new("esp.ivs-go-on", &["ESP-068", "ESP-023"]);
    going_on(cx, &GO_ON, GCM)
}

fn restarted(cx: &mut Cx<'_>) -> Flow {
    const UNIQUE: Rule = Rule::new("esp.iv-unique-after-restart", &["DP-031", "ESP-023", "ESP-068", "GDOI-SID-035"]);
    let mut scene = counting(cx)?;
    let packets: Vec<Clear> = (0..8).map(|i| DataScene::outbound().ident(i)).collect();
    all_protected(cx, &mut scene, &BOTH_WAYS, "before", &packets)?;
    cx.world.crash(0)?;
    let config = scene.scene.setup.to_toml();
    cx.world.start(0, Role::Gm, &config)?;
    scene.register(cx)?;
    all_protected(cx, &mut scene, &BOTH_WAYS, "after the restart", &packets)?;
    numbers(cx, &UNIQUE, "before and after the restart", &scene);
    scene.finish(cx)
}

fn without_sender_id(cx: &mut Cx<'_>) -> Flow {
    const SILENT: Rule = Rule::new("esp.no-sender-id", &["ESP-066", "ESP-069", "GDOI-NEG-124"]);
    const NEVER_CLEAR: Rule = Rule::grave("esp.no-sender-id-not-in-clear", &["ESP-069"]);
    let other = IpAddr::from([10, 3, 0, 20]);
    let flows = both_ways(&Entry::between(([10, 1, 0, 0].into(), 16), ([10, 3, 0, 0].into(), 16)));
    let tek = GCM.tek(cx).flows(flows);
    let change = |script: &mut hallmark_probe::KsScript| {
        script.group.teks.insert(0, tek);
        script.group.sids = None;
    };
    // A member may refuse such a policy as a whole.
    let Some(mut scene) = DataScene::optional(cx, |_| {}, change)? else {
        cx.world.note("the member does not register with such a policy");
        let mut scene = counting(cx)?;
        let seen = scene.expect_esp(cx, &BOTH_WAYS, "with a sender id", &DataScene::outbound())?;
        SILENT.judge(cx, !seen.iv.is_empty(), "nothing without a sender id", "the policy was refused");
        return scene.finish(cx);
    };
    // It may receive all the same.
    let back = datagram(other, LAN_HOST);
    scene.control = Control::ProtectedAs { out: DataScene::outbound(), back };
    let packets: Vec<Vec<u8>> = (0..3).map(|i| datagram(LAN_HOST, other).ident(i).octets()).collect();
    none_in_clear(cx, &mut scene, &NEVER_CLEAR, "traffic of the policy without sender id", &packets)?;
    scene.expect_nothing(cx, &SILENT, "traffic of the policy without sender id", Side::Lan, &packets)?;
    scene.finish(cx)
}

fn extended(cx: &mut Cx<'_>) -> Flow {
    const FULL: Rule = Rule::new("esp.extended-numbers", &["ESP-018"]);
    let mut worked = false;
    for cipher in [GCM, CBC] {
        let tek = cipher.tek(cx).extended_sequence();
        let Some(mut scene) = DataScene::optional(cx, |_| {}, |script| with_tek(script, tek))? else { continue };
        worked = true;
        let packets: Vec<Clear> = (0..4).map(|i| DataScene::outbound().ident(i)).collect();
        all_protected(cx, &mut scene, &FULL, &format!("{} out", cipher.name), &packets)?;
        let packets: Vec<Clear> = (0..4).map(|i| DataScene::inbound().ident(i)).collect();
        all_opened(cx, &mut scene, &FULL, &format!("{} in", cipher.name), &packets)?;
        scene.finish(cx)?;
    }
    if worked { Ok(()) } else { Err(Stop::NotSupported("gm.esp.esn".to_owned(), "false".to_owned())) }
}

fn transport(cx: &mut Cx<'_>) -> Flow {
    const NEVER_CLEAR: Rule = Rule::grave("esp.transport-not-in-clear", &["ESP-043"]);
    const FOLLOWED: Rule = Rule::new("esp.transport", &["DP-008"]);
    let tek = CBC.tek(cx).transport();
    let Some(mut scene) = DataScene::optional(cx, |_| {}, |script| with_tek(script, tek))? else {
        return Err(Stop::NotSupported("gm.esp.transport".to_owned(), "false".to_owned()));
    };
    let packet = DataScene::outbound();
    let passed = none_in_clear(cx, &mut scene, &NEVER_CLEAR, "a policy of transport mode", &[packet.octets()])?;
    if passed.wan.is_empty() {
        return Err(Stop::NotSupported("gm.esp.transport".to_owned(), "false".to_owned()));
    }
    let seen = scene.expect_esp(cx, &FOLLOWED, "out", &packet)?;
    let observed = format!("next header {}", seen.next_header);
    FOLLOWED.judge(cx, seen.next_header == 17, "the protocol of the packet as next header", observed);
    all_opened(cx, &mut scene, &FOLLOWED, "in", &[DataScene::inbound()])?;
    scene.finish(cx)
}
