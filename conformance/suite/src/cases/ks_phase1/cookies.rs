//! The server's cookies: new for each exchange, impossible to guess, and the same for copies of one message 1.

use std::collections::BTreeSet;

use hallmark_core::Duration;
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::octets;
use hallmark_wire::isakmp::PayloadType;

use super::kit::{WINDOW, go_on, sent, words};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKER-062", "gdoi.phase1", Must, Ks,
        title: "cookies never repeat and cannot be guessed",
        purpose: "The cookie is what keeps an attacker who cannot hear the answers from making the server compute; one \
                  that repeats or counts up is no obstacle.",
        requirements: ["IKE-CKY-001", "IKE-CKY-006", "IKE-CKY-007", "IKE-CKY-011"],
        sources: ["RFC 2408 §2.5.3", "RFC 2408 §4.3"],
        catches: ["ike_cookie_constant", "ike_cookie_counter"],
        needs: [ManyAddresses],
        run: fresh_cookies,
    },
    case! {
        "IKER-063", "gdoi.phase1", Should, Ks,
        title: "copies of message 1 get the same message 2",
        purpose: "A member whose message 1 was repeated cannot tell which of several answers counts, and each of them \
                  holds state in the server.",
        requirements: ["IKE-CKY-009", "IKE-RTX-005"],
        sources: ["RFC 2408 §5.1"],
        catches: ["ike_new_cookie_per_copy"],
        run: copies_of_message_1,
    },
    case! {
        "IKER-064", "gdoi.phase1", Must, Ks,
        title: "a recorded exchange cannot be played again",
        purpose: "Whoever has recorded a registration must not get another one by sending it again.",
        requirements: ["IKE-CKY-006", "IKE-CKY-010", "IKE-MM-016"],
        sources: ["RFC 2409 §5", "RFC 2408 §5.13"],
        catches: ["ike_nonce_reused", "ike_cookie_constant"],
        run: replayed_exchange,
    },
];

fn fresh_cookies(cx: &mut Cx<'_>) -> Flow {
    const EACH: usize = 8;
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let mut cookies: Vec<[u8; 8]> = Vec::new();
    for end in [1, 2] {
        for _ in 0..EACH {
            let mut member = scene.member(cx, end);
            sent(member.send_main1(cx.world))?;
            sent(member.receive_main2(cx.world).map(drop))?;
            cookies.push(member.half_cookies().1);
        }
    }
    let different: BTreeSet<[u8; 8]> = cookies.iter().copied().collect();
    let observed = format!("{} different of {}", different.len(), cookies.len());
    cx.check(
        "phase1.cookies-unique",
        &["IKE-CKY-006", "IKE-CKY-011"],
        different.len() == cookies.len(),
        "all different",
        &observed,
    );
    cx.check("phase1.cookies-not-zero", &["IKE-CKY-001"], !different.contains(&[0; 8]), "none zero", &observed);
    // Sixteen drawn cookies leave an octet unchanged once in 256^15.
    let constant =
        (0..8).filter(|&at| cookies.iter().all(|cookie| cookie.get(at) == cookies.first().and_then(|c| c.get(at))));
    let constant = constant.count();
    let numbers: Vec<u64> = cookies.iter().map(|cookie| u64::from_be_bytes(*cookie)).collect();
    let steps: BTreeSet<u64> = numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    let ok = constant == 0 && steps.len() + 1 == numbers.len();
    let observed = format!(
        "{constant} octets never change, {} different steps of {}",
        steps.len(),
        numbers.len().saturating_sub(1)
    );
    cx.check("phase1.cookies-unpredictable", &["IKE-CKY-007"], ok, "no constant octet and no regular step", observed);
    scene.finish(cx)
}

fn copies_of_message_1(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let mut member = scene.member(cx, 1);
    sent(member.send_main1(cx.world))?;
    let first = member.receive_main2(cx.world);
    let first = cx.have(first.ok(), "no message 2 came")?;
    for _ in 0..3 {
        member.resend(cx.world, Step::Main1);
        member.collect(cx.world, Duration::from_secs(2));
    }
    let answers: Vec<Seen> = member.seen(Step::Main2).cloned().collect();
    let same = answers.iter().all(|answer| answer.datagram.payload == first.datagram.payload);
    let cookies: BTreeSet<[u8; 8]> = answers.iter().map(|answer| answer.header.responder_cookie).collect();
    let observed = format!("{} answers, {} cookies", answers.len(), cookies.len());
    cx.check("phase1.copy-same-cookie", &["IKE-CKY-009"], cookies.len() == 1, "one responder cookie", &observed);
    cx.check(
        "phase1.copy-same-octets",
        &["IKE-RTX-005"],
        same && answers.len() > 1,
        "copies are answered with the same octets",
        &observed,
    );
    let result = go_on(cx, &mut member, Step::Main3);
    let observed = result.as_ref().map_or_else(ToString::to_string, |()| "established".to_owned());
    cx.check("phase1.copies-harmless", &["IKE-CKY-009"], result.is_ok(), "the exchange completes", observed);
    scene.finish(cx)
}

fn replayed_exchange(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let mut member = scene.member(cx, 1);
    sent(member.phase1(cx.world))?;
    let recorded = |step: Step| member.last_sent(step).map(|sent| sent.octets.clone());
    let recorded =
        cx.have(recorded(Step::Main1).zip(recorded(Step::Main3)).zip(recorded(Step::Main5)), "nothing was sent")?;
    let ((first, third), fifth) = recorded;
    let before = member.half_cookies().1;
    let old = member.seen(Step::Main4).next().cloned();
    let old = cx.have(old, "message 4 is missing")?;

    member.send_raw(cx.world, first);
    let answers = member.collect(cx.world, WINDOW);
    let Some(second) = answers.iter().find(|seen| seen.step == Step::Main2) else {
        // A server may also remember the cookie and answer nothing: nothing can be played again then.
        cx.silence("phase1.replay-refused", &["IKE-CKY-010"], true, "no message 6", words(&answers));
        return scene.finish(cx);
    };
    let fresh = second.header.responder_cookie;
    let observed = format!("{} then, {} now", hex::encode(before), hex::encode(fresh));
    cx.check("phase1.replay-new-cookie", &["IKE-CKY-006"], fresh != before, "another responder cookie", observed);

    let with_cookie = |mut message: Vec<u8>| {
        octets::set_responder_cookie(&mut message, fresh);
        message
    };
    member.send_raw(cx.world, with_cookie(third));
    let answers = member.collect(cx.world, WINDOW);
    if let Some(fourth) = answers.iter().find(|seen| seen.step == Step::Main4) {
        let new_nonce = fourth.nonce() != old.nonce();
        cx.check(
            "phase1.replay-new-nonce",
            &["IKE-MM-016"],
            new_nonce,
            "another nonce",
            if new_nonce { "another" } else { "the same" },
        );
        let new_share = fourth.body(PayloadType::KE) != old.body(PayloadType::KE);
        cx.world.note(if new_share { "another key exchange value" } else { "the same key exchange value" });
    }
    member.send_raw(cx.world, with_cookie(fifth));
    let answers = member.collect(cx.world, WINDOW);
    let served = answers.iter().any(|seen| seen.step == Step::Main6 && !seen.repeat);
    cx.grave_silence("phase1.replay-refused", &["IKE-CKY-010"], !served, "no message 6", words(&answers));
    scene.finish(cx)
}
