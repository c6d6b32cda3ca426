//! When keys are replaced.

use super::kit::{SOON, member, pushes_for, quick, quick_kek};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::rule::Rule;
use crate::scene::KsScene;

pub(crate) const CASES: &[Case] = &[
    case! {
        "PUSHK-011", "gdoi.lifetime", Must, Ks,
        title: "a TEK is replaced before it expires",
        purpose: "Members drop traffic from the instant of expiry until they hold a new key.",
        requirements: ["GDOI-PUSH-034", "REKEY-002"],
        sources: ["RFC 6407 §4.3", "getvpn.md §3.5"],
        catches: ["ks_tek_rekey_late"],
        cost: 130,
        run: tek_in_time,
    },
    case! {
        "REKEY-003", "gdoi.lifetime", Should, Ks,
        title: "a KEK is replaced well before it expires",
        purpose: "A member whose KEK has expired cannot read the rekey that brings the next one and has to register again, every KEK lifetime.",
        requirements: ["REKEY-003", "GDOI-PUSH-034", "GDOI-PUSH-033"],
        sources: ["getvpn.md §3.5", "getvpn.md §3.6"],
        catches: ["ks_kek_at_expiry"],
        cost: 260,
        run: kek_in_time,
    },
    case! {
        "REKEY-004", "gdoi.lifetime", Should, Ks,
        title: "the lead time leaves room for every copy of the rekey",
        purpose: "Copies that are still to be sent when the key expires come too late for whoever missed the first one.",
        requirements: ["REKEY-004"],
        sources: ["getvpn.md §3.5"],
        catches: ["ks_lead_ignores_copies"],
        cost: 400,
        run: lead_covers_copies,
    },
];

/// Gives the seconds between a registration that saw the birth of the group and the first rekey.
fn first_rekey_after(cx: &mut Cx<'_>, setup: crate::setup::KsSetup, patience: u64) -> Flow<f64> {
    let scene = KsScene::start(cx, setup)?;
    let born = cx.world.now();
    let mut gm = member(cx, &scene, 0)?;
    let push = scene.push(cx, &mut gm, patience)?;
    let after = (push.at - born).as_secs_f64();
    scene.finish(cx)?;
    Ok(after)
}

fn tek_in_time(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let (mut gm, registration) = scene.register(cx, 0)?;
    gm.script.auto_ack = true;
    let life =
        registration.teks.first().and_then(|tek| tek.attributes.uint(hallmark_wire::gdoi::tek_attr::LIFE_DURATION));
    let life = cx.have(life, "the TEK has no lifetime")?;
    let seen = pushes_for(cx, &mut gm, life + 20);
    let first = seen.first().map(|push| (push.at - registration.at).as_secs_f64());
    let before = |lead: u64| first.is_some_and(|after| after < life.saturating_sub(lead) as f64);
    let observed =
        first.map_or_else(|| format!("none within {} s", life + 20), |after| format!("after {after:.0} s of {life} s"));
    let (in_time, early) = (before(0), before(15));
    cx.check("push.tek-replaced-in-time", &["GDOI-PUSH-034"], in_time, "a rekey before the TEK expires", &observed);
    // How long before is the formula of one vendor, so this can only warn. The floor of the lead time is configured: 20 s.
    Rule::advisory("push.tek-lead", &["REKEY-002"]).judge(
        cx,
        early,
        "a rekey at least 20 s before the TEK expires",
        observed,
    );
    scene.finish(cx)
}

fn kek_in_time(cx: &mut Cx<'_>) -> Flow {
    let mut setup = quick(cx);
    setup.tek().lifetime_secs = 3_600;
    quick_kek(&mut setup);
    let life = setup.kek().lifetime_secs;
    let scene = KsScene::start(cx, setup)?;
    let (mut gm, registration) = scene.register(cx, 0)?;
    gm.script.auto_ack = true;
    let seen = pushes_for(cx, &mut gm, life + 20);
    let first = seen.iter().find(|push| push.kek.is_some()).map(|push| (push.at - registration.at).as_secs_f64());
    let observed = first.map_or_else(|| "none".to_owned(), |after| format!("after {after:.0} s of {life} s"));
    // The floor of the lead time is configured: 40 s.
    cx.check(
        "push.kek-replaced-in-time",
        &["REKEY-003", "GDOI-PUSH-033", "GDOI-PUSH-034"],
        first.is_some_and(|after| after < life as f64 - 35.0),
        "a new KEK at least 40 s before the old one expires",
        observed,
    );
    scene.finish(cx)
}

fn lead_covers_copies(cx: &mut Cx<'_>) -> Flow {
    let mut few = quick(cx);
    few.tek().lifetime_secs = 300;
    let mut many = few.clone();
    many.kek().retransmit_period_secs = 20;
    many.kek().retransmit_count = 4;
    let (few, many) = (first_rekey_after(cx, few, 320)?, first_rekey_after(cx, many, 320)?);
    cx.check(
        "push.lead-covers-copies",
        &["REKEY-004"],
        (few - many - 60.0).abs() <= 12.0,
        "60 s more lead for 60 s more of copies",
        format!("first rekey after {few:.0} s with 2 copies at 10 s, after {many:.0} s with 4 copies at 20 s"),
    );
    cx.require(few < SOON as f64 * 3.0, "no rekey in time")
}
