//! Aggressive mode: off unless switched on, and as safe as main mode when it is on.

use hallmark_probe::edit;
use hallmark_probe::gm::ProbeGm;
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::isakmp::PayloadType;

use super::kit::{WINDOW, pull_served, sa_lives, sent, still_answers, words};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::KsScene;
use crate::setup::KsSetup;

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKER-073", "gdoi.phase1", Should, Ks,
        title: "aggressive mode is refused unless it is switched on",
        purpose: "It shows a value from which the pre-shared key can be guessed offline, to anyone who asks with one \
                  message.",
        requirements: ["IKE-AM-001", "IKE-AM-008"],
        sources: ["RFC 2409 §5.4"],
        catches: ["ike_aggressive_always_served"],
        run: refused_by_default,
    },
    case! {
        "IKER-074", "gdoi.phase1", Must, Ks,
        title: "aggressive mode completes with message 3 in clear and encrypted",
        purpose: "Members send message 3 in either form; a server that takes one of them loses half of them.",
        requirements: ["IKE-AM-001", "IKE-AM-003", "IKE-AM-004", "IKE-AM-005", "IKE-PAY-008"],
        sources: ["RFC 2409 §5", "RFC 2407 §4.6.3"],
        catches: ["ike_aggressive_clear_refused"],
        needs: [Setup],
        run: both_forms,
    },
    case! {
        "IKER-075", "gdoi.phase1", Must, Ks,
        title: "a wrong proof in aggressive mode gives no SA",
        purpose: "The server has computed all keys when message 3 comes; only the HASH in it says whether the member \
                  has the key.",
        requirements: ["IKE-AM-006", "IKE-AM-009"],
        sources: ["RFC 2409 §5", "RFC 2408 §5.11"],
        catches: ["ike_hash_not_verified"],
        needs: [Setup],
        run: wrong_proof,
    },
];

fn refused_by_default(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let mut member = scene.member(cx, 1);
    sent(member.send_aggressive1(cx.world))?;
    let seen = member.collect(cx.world, WINDOW);
    let served = seen.iter().any(|seen| seen.step == Step::Aggressive2 && seen.header.exchange.0 == 4);
    cx.silence("aggressive.off-by-default", &["IKE-AM-001", "IKE-AM-008"], !served, "no message 2", words(&seen));
    still_answers(cx, &scene, &mut member, &["IKE-AM-001"])?;
    scene.finish(cx)
}

/// Starts a key server that serves aggressive mode too.
fn switched_on(cx: &mut Cx<'_>) -> Flow<KsScene> {
    let mut setup = KsSetup::standard(cx.world);
    setup.phase1.aggressive = true;
    let scene = KsScene::start(cx, setup)?;
    drop(scene.phase1(cx, 0)?);
    Ok(scene)
}

/// Sends message 1 and takes message 2; a server that does not know the mode at all is no failure.
fn begin(cx: &mut Cx<'_>, member: &mut ProbeGm) -> Flow<Seen> {
    sent(member.send_aggressive1(cx.world))?;
    match member.receive_aggressive2(cx.world) {
        Ok(seen) => Ok(seen),
        Err(fault) if fault.is_refusal() => {
            Err(Stop::NotSupported("ks.aggressive-mode".to_owned(), "false".to_owned()))
        }
        Err(fault) => Err(Stop::Inconclusive(fault.to_string())),
    }
}

fn both_forms(cx: &mut Cx<'_>) -> Flow {
    let scene = switched_on(cx)?;
    for clear in [false, true] {
        let what = if clear { "message 3 in clear" } else { "message 3 encrypted" };
        let mut member = scene.member(cx, 1);
        let second = begin(cx, &mut member)?;
        contents(cx, &second);
        if clear {
            member.tamper(Step::Aggressive3, Tamper::none().in_clear());
        }
        sent(member.send_aggressive3(cx.world))?;
        sa_lives(cx, &mut member, "aggressive.message-3-served", &["IKE-AM-001", "IKE-AM-004"], false, what);
    }
    scene.finish(cx)
}

fn contents(cx: &mut Cx<'_>, message: &Seen) {
    let kinds = message.kinds();
    let names: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    let observed = names.join(", ");
    let once = [PayloadType::SA, PayloadType::KE, PayloadType::NONCE, PayloadType::ID, PayloadType::HASH];
    let ok = once.iter().all(|kind| message.count(*kind) == 1);
    cx.check("aggressive.message-2-contents", &["IKE-AM-003"], ok, "SA, KE, nonce, ID and HASH, each once", &observed);
    cx.check("aggressive.sa-first", &["IKE-PAY-008"], kinds.first() == Some(&PayloadType::SA), "SA first", &observed);
    let status = message.notifies().iter().any(|notify| !notify.kind.is_error());
    cx.check("aggressive.no-status-notify", &["IKE-AM-005"], !status, "no status notification in clear", &observed);
}

fn wrong_proof(cx: &mut Cx<'_>) -> Flow {
    let scene = switched_on(cx)?;
    let flip = || Tamper::sealed(|m| edit::flip_bit(m, PayloadType::HASH, 0, 0));
    for (what, tamper) in [("encrypted", flip()), ("in clear", flip().in_clear())] {
        let mut member = scene.member(cx, 1);
        begin(cx, &mut member)?;
        member.tamper(Step::Aggressive3, tamper);
        sent(member.send_aggressive3(cx.world))?;
        member.untamper();
        let (served, came) = pull_served(cx, &mut member)?;
        let observed = format!("one bit of HASH_I flipped, {what}: {came}");
        cx.grave_silence("aggressive.wrong-proof-refused", &["IKE-AM-006"], !served, "no message 2 of PULL", observed);
    }
    let mut member = scene.member(cx, 1);
    member.tamper(Step::Aggressive1, Tamper::content(|m| edit::body(m, PayloadType::KE, |body| body.truncate(128))));
    sent(member.send_aggressive1(cx.world))?;
    let seen = member.collect(cx.world, WINDOW);
    let served = seen.iter().any(|seen| seen.step == Step::Aggressive2);
    cx.silence(
        "aggressive.group-fits",
        &["IKE-AM-009"],
        !served,
        "no message 2",
        format!("KE of another group: {}", words(&seen)),
    );
    let mut member = scene.member(cx, 1);
    begin(cx, &mut member)?;
    sent(member.send_aggressive3(cx.world))?;
    let right = member.pull(cx.world);
    cx.require(right.is_ok(), "a right exchange after the wrong ones gives no SA")?;
    scene.finish(cx)
}
