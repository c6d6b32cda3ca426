//! The sequence number that message 4 reports, and groups with and without a Rekey SA.

use hallmark_wire::gdoi::kd_type;
use hallmark_wire::isakmp::PayloadType;

use super::kit::{SHORT_LIFE, complete, pull, rekeys_soon};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;
use crate::setup::KsSetup;

pub(crate) const CASES: &[Case] = &[
    case! {
        "PULLK-030", "gdoi.pull", Must, Ks,
        title: "SEQ and KEK come exactly when the policy has a Rekey SA",
        purpose: "Members without SEQ cannot tell an old rekey from a new one; members without a KEK expect none.",
        requirements: [
            "GDOI-PULL-018", "GDOI-PULL-033", "GDOI-PULL-034", "GDOI-PULL-035", "GDOI-PULL-036", "GDOI-PULL-062",
            "GDOI-PL-020", "GDOI-PL-069", "GDOI-PL-070",
        ],
        sources: ["RFC 6407 §3.2", "RFC 6407 §3.4", "RFC 6407 §5.7"],
        catches: ["ks_seq_missing", "ks_seq_without_sak", "ks_m4_kek_missing"],
        needs: [Setup],
        run: kinds_of_groups,
    },
    case! {
        "PULLK-031", "gdoi.seq", Must, Ks,
        title: "SEQ is the number of the latest PUSH",
        purpose: "Too low, and a recorded rekey can be replayed to a new member; too high, and it misses the next one.",
        requirements: ["GDOI-PULL-037", "GDOI-PULL-038", "GDOI-PL-071"],
        sources: ["RFC 6407 §3.2", "RFC 6407 §5.7"],
        catches: ["ks_m4_seq_zero", "ks_m4_seq_next"],
        needs: [Setup],
        cost: 180,
        run: reports_latest,
    },
    case! {
        "PULLK-032", "gdoi.seq", Must, Ks,
        title: "registrations do not advance the sequence number",
        purpose: "Only PUSH messages count; otherwise every registration opens a gap that members take for lost rekeys.",
        requirements: ["GDOI-PULL-039"],
        sources: ["RFC 6407 §3.2"],
        catches: ["ks_pull_advances_sequence"],
        needs: [Setup],
        cost: 100,
        run: pulls_do_not_count,
    },
];

fn kinds_of_groups(cx: &mut Cx<'_>) -> Flow {
    for (what, with_kek, with_tek) in [
        ("KEK and TEK", true, true),
        ("TEK only", false, true),
        ("KEK only", true, false),
        ("TEK only with GAP", false, true),
    ] {
        let mut setup = KsSetup::standard(cx.world);
        if !with_tek {
            setup.group().teks.clear();
        }
        if !with_kek {
            setup.group().kek = None;
            setup.group().ack = "none".to_owned();
        }
        if what.ends_with("GAP") {
            setup.group().atd_secs = 30;
        }
        let scene = KsScene::start(cx, setup)?;
        let mut member = scene.phase1(cx, 0)?;
        let pulled = pull(cx, &mut member);
        let kinds = pulled.m4.as_ref().map(|m4| m4.kinds()).unwrap_or_default();
        let completed = pulled.result.is_ok();
        const RULES: &[&str] = &["GDOI-PULL-018", "GDOI-PULL-033", "GDOI-PULL-062", "GDOI-PL-020"];
        let observed = format!("{what}: {}", pulled.words());
        cx.check("pull.every-kind-of-group", RULES, completed, "the PULL completes", observed);
        let seq = kinds.contains(&PayloadType::SEQ);
        let observed = format!("{what}: message 4 with {kinds:?}");
        let expected = if with_kek { "SEQ" } else { "no SEQ" };
        cx.check("pull.seq-with-sak", &["GDOI-PULL-036"], seq == with_kek, expected, observed);
        let body = pulled.m4.as_ref().and_then(|m4| m4.body(PayloadType::SEQ)).map(<[u8]>::len);
        if let Some(len) = body {
            const FORM: &[&str] = &["GDOI-PL-069", "GDOI-PL-070"];
            cx.check("pull.seq-length", FORM, len == 4, "4 octets", format!("{len} octets"));
        }
        if let Ok(registration) = &pulled.result {
            let count = |kind| registration.kd.packets.iter().filter(|packet| packet.kd_type == kind).count();
            let (keks, teks) = (count(kd_type::KEK), count(kd_type::TEK));
            let sak = registration.policy.kek().is_some();
            let right = keks == usize::from(with_kek) && sak == with_kek;
            let observed = format!("{what}: SAK {sak}, {keks} KEK packets");
            cx.check("pull.kek-with-sak", &["GDOI-PULL-034"], right, "a KEK packet for a SAK", observed);
            let right = (teks > 0) == with_tek;
            cx.check("pull.tek-with-sat", &["GDOI-PULL-035"], right, "TEK packets for SATs", format!("{what}: {teks}"));
        }
        scene.finish(cx)?;
    }
    Ok(())
}

fn reports_latest(cx: &mut Cx<'_>) -> Flow {
    let mut setup = KsSetup::standard(cx.world);
    rekeys_soon(&mut setup);
    let scene = KsScene::start(cx, setup)?;
    let (mut member, first) = scene.register(cx, 0)?;
    member.script.auto_ack = true;
    const NONE: &[&str] = &["GDOI-PULL-038", "GDOI-PL-071"];
    cx.check("pull.seq-before-push", NONE, first.seq == Some(0), "0", format!("{:?}", first.seq));
    for round in 1..=2 {
        let push = scene.push(cx, &mut member, SHORT_LIFE + 10)?;
        let latest = cx.have(push.seq, "the PUSH has no SEQ")?;
        // Another end of the tester asks, so that nothing rests on what the server knows of this member.
        let mut newcomer = scene.phase1(cx, round)?;
        for seq in [complete(cx, &mut newcomer)?.seq, complete(cx, &mut member)?.seq] {
            const RULES: &[&str] = &["GDOI-PULL-037", "GDOI-PL-071"];
            let right = seq == Some(latest);
            cx.check("pull.seq-after-push", RULES, right, &format!("{latest}"), format!("{seq:?}"));
        }
        drop(newcomer);
    }
    scene.finish(cx)
}

fn pulls_do_not_count(cx: &mut Cx<'_>) -> Flow {
    const PULLS: usize = 10;
    let mut setup = KsSetup::standard(cx.world);
    rekeys_soon(&mut setup);
    let scene = KsScene::start(cx, setup)?;
    let (mut member, first) = scene.register(cx, 0)?;
    member.script.auto_ack = true;
    let before = cx.have(first.seq, "message 4 has no SEQ")?;
    let mut last = before;
    for _ in 0..PULLS {
        last = complete(cx, &mut member)?.seq.unwrap_or(last);
    }
    const RULES: &[&str] = &["GDOI-PULL-039"];
    let observed = format!("{before}, after {PULLS} PULLs {last}");
    cx.check("pull.seq-not-advanced", RULES, last == before, "the same SEQ in every PULL", observed);
    let push = scene.push(cx, &mut member, SHORT_LIFE + 10)?;
    let next = cx.have(push.seq, "the PUSH has no SEQ")?;
    let observed = format!("SEQ {before}, then PUSH {next}");
    cx.check("pull.next-push", RULES, next == before.wrapping_add(1), "a PUSH one above the SEQ", observed);
    scene.finish(cx)
}
