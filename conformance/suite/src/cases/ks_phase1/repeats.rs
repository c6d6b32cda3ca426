//! Copies of messages, old and new, and the time that an SA lives.

use hallmark_core::Duration;
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::octets;
use hallmark_wire::isakmp::PayloadType;

use super::kit::{WINDOW, go_on, lead_to, pull_served, sa_lives, sent, words};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;
use crate::setup::KsSetup;

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKER-068", "gdoi.phase1", Should, Ks,
        title: "copies of messages 3 and 5 get the same answer again",
        purpose: "Answers get lost. A server that does not repeat message 6 leaves the member without an SA that the \
                  server believes in; one that computes anew gives the two ends different keys.",
        requirements: ["IKE-RTX-005", "IKE-RTX-006", "IKE-RTX-007"],
        sources: ["RFC 2408 §5.1", "RFC 2409 §10"],
        catches: ["ike_duplicate_reprocessed", "ike_message_6_not_repeated"],
        run: copies_answered,
    },
    case! {
        "IKER-069", "gdoi.phase1", Should, Ks,
        title: "copies of messages that are done with are dropped",
        purpose: "Once message 3 is served nobody waits for message 2 any more; who still asks is an attacker with a \
                  recording.",
        requirements: ["IKE-RTX-008"],
        sources: ["RFC 2408 §5.1"],
        catches: ["ike_stale_duplicate_answered"],
        run: stale_copies,
    },
    case! {
        "IKER-070", "gdoi.phase1", Should, Ks,
        title: "another message 3 after the first is dropped",
        purpose: "The first one counts: otherwise anyone who saw the cookies can replace the key exchange of a member.",
        requirements: ["IKE-RTX-009"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_second_message_3_accepted"],
        run: second_message_3,
    },
    case! {
        "IKER-071", "gdoi.phase1", Should, Ks,
        title: "the server repeats message 2 at most twice on its own",
        purpose: "Message 1 may come from a forged address; every repetition is sent to someone who never asked.",
        requirements: ["IKE-RTX-011"],
        sources: ["RFC 2408 §5.1"],
        catches: ["ike_responder_resends"],
        cost: 25,
        run: unasked_repetitions,
    },
    case! {
        "IKER-072", "gdoi.lifetime", Should, Ks,
        title: "a phase 1 SA is not used beyond the shorter of both lifetimes",
        purpose: "Members that were removed keep their SA as long as the server honours it; a lifetime that is not \
                  enforced is none.",
        requirements: ["IKE-LIFE-001", "IKE-LIFE-006"],
        sources: ["RFC 2409 App. A"],
        catches: ["ike_lifetime_ignored"],
        needs: [Setup],
        cost: 90,
        run: lifetimes,
    },
];

fn copies_answered(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let mut member = scene.member(cx, 1);
    lead_to(cx, &mut member, Step::Main5)?;
    repeat(cx, &mut member, Step::Main3, Step::Main4, "IKE-RTX-005");
    let rest = go_on(cx, &mut member, Step::Main5);
    let observed = rest.as_ref().map_or_else(ToString::to_string, |()| "established".to_owned());
    if !cx.check("phase1.copies-move-nothing", &["IKE-RTX-007"], rest.is_ok(), "the exchange completes", observed) {
        return scene.finish(cx);
    }
    repeat(cx, &mut member, Step::Main5, Step::Main6, "IKE-RTX-006");
    sa_lives(cx, &mut member, "phase1.copies-move-nothing", &["IKE-RTX-007"], false, "after the copies");
    scene.finish(cx)
}

/// Sends the last message of a step again and judges that its answer comes again, octet for octet.
fn repeat(cx: &mut Cx<'_>, member: &mut hallmark_probe::ProbeGm, question: Step, answer: Step, requirement: &str) {
    member.resend(cx.world, question);
    let seen = member.collect(cx.world, WINDOW);
    let answers: Vec<&Seen> = seen.iter().filter(|seen| seen.step == answer).collect();
    let changed = answers.iter().any(|seen| !seen.repeat);
    let observed = format!("{}; {}", words(&seen), if changed { "not the same octets" } else { "nothing new" });
    cx.check("phase1.copy-not-computed-anew", &["IKE-RTX-005"], !changed, "no other answer", &observed);
    cx.check("phase1.copy-answered", &[requirement], !answers.is_empty(), &format!("{answer} again"), &observed);
}

fn stale_copies(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let mut member = scene.member(cx, 1);
    lead_to(cx, &mut member, Step::Main5)?;
    member.resend(cx.world, Step::Main1);
    let seen = member.collect(cx.world, WINDOW);
    let answered = seen.iter().any(|seen| seen.step == Step::Main2);
    cx.silence(
        "phase1.stale-copy-dropped",
        &["IKE-RTX-008"],
        !answered,
        "no message 2",
        format!("message 1 after 3: {}", words(&seen)),
    );
    let result = go_on(cx, &mut member, Step::Main5);
    cx.require(result.is_ok(), "the exchange does not complete after the copy")?;
    member.resend(cx.world, Step::Main3);
    let seen = member.collect(cx.world, WINDOW);
    let answered = seen.iter().any(|seen| seen.step == Step::Main4);
    cx.silence(
        "phase1.stale-copy-dropped",
        &["IKE-RTX-008"],
        !answered,
        "no message 4",
        format!("message 3 after 5: {}", words(&seen)),
    );
    sa_lives(cx, &mut member, "phase1.sa-survives-stale-copy", &["IKE-RTX-008"], false, "after the copies");
    scene.finish(cx)
}

fn second_message_3(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let mut member = scene.member(cx, 1);
    lead_to(cx, &mut member, Step::Main5)?;
    let other = member.last_sent(Step::Main3).map(|sent| sent.octets.clone());
    let mut other = cx.have(other, "no message 3 was sent")?;
    // The last octet of the KE: header, generic header and 256 octets, wherever the KE stands first.
    octets::flip_bit(&mut other, 28 + 4 + 255, 0);
    member.send_raw(cx.world, other);
    let seen = member.collect(cx.world, WINDOW);
    let served = seen.iter().any(|seen| seen.step == Step::Main4 && !seen.repeat);
    cx.silence("phase1.first-message-3-counts", &["IKE-RTX-009"], !served, "no other message 4", words(&seen));
    let same = seen.iter().all(|seen| seen.body(PayloadType::KE).is_none() || seen.repeat);
    let result = go_on(cx, &mut member, Step::Main5);
    let observed = result.as_ref().map_or_else(ToString::to_string, |()| "established".to_owned());
    cx.check(
        "phase1.exchange-not-replaced",
        &["IKE-RTX-009"],
        same && result.is_ok(),
        "the first exchange completes",
        observed,
    );
    scene.finish(cx)
}

fn unasked_repetitions(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let mut member = scene.member(cx, 1);
    sent(member.send_main1(cx.world))?;
    let seen = member.collect(cx.world, Duration::from_secs(20));
    let count = seen.iter().filter(|seen| seen.step == Step::Main2).count();
    cx.require(count > 0, "no message 2 came")?;
    cx.check("phase1.message-2-repetitions", &["IKE-RTX-011"], count <= 3, "at most 3 in 20 s", count);
    scene.finish(cx)
}

fn lifetimes(cx: &mut Cx<'_>) -> Flow {
    const LOCAL: u64 = 40;
    const OFFERED: u32 = 20;
    let mut setup = KsSetup::standard(cx.world);
    setup.phase1.lifetime_secs = LOCAL;
    let scene = KsScene::start(cx, setup)?;
    for (what, offered, secs) in [("offered 20 s", OFFERED, u64::from(OFFERED)), ("local limit of 40 s", 86_400, LOCAL)]
    {
        let mut member = scene.member(cx, 1);
        member.script.suites.iter_mut().for_each(|suite| suite.life_secs = Some(offered));
        sent(member.phase1(cx.world))?;
        let established = cx.world.now();
        cx.alive_before("phase 1 completed");
        sa_lives(cx, &mut member, "lifetime.sa-usable-before", &["IKE-LIFE-006"], false, what);
        sa_lives(cx, &mut member, "lifetime.sa-usable-before", &["IKE-LIFE-006"], false, what);
        // Tolerance of the suite: 5 % and 5 s.
        let over = established + Duration::from_secs(secs + secs / 20 + 5);
        cx.world.rest(over);
        let (served, came) = pull_served(cx, &mut member)?;
        cx.silence(
            "lifetime.sa-unusable-after",
            &["IKE-LIFE-001"],
            !served,
            "no message 2 of PULL",
            format!("{what}: {came}"),
        );
    }
    scene.finish(cx)
}
