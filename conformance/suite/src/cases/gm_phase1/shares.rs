//! Message 4: the server's public value and nonce.

use hallmark_core::Datagram;
use hallmark_probe::edit;
use hallmark_probe::ks::Reply;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::{Tamper, octets};
use hallmark_wire::isakmp::PayloadType;

use super::kit::{
    Trial, WINDOW, answers_accepted, answers_refused, answers_refused_by, judge_silence, reach, recover, start,
    with_suites,
};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::GmScene;

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKEI-030", "gdoi.phase1", Must, Gm,
        title: "a server's nonce of 8 to 256 octets is taken, any other is refused",
        purpose: "With an empty nonce the keys of the exchange depend on the member alone, and an old exchange can be played again.",
        requirements: ["IKE-MM-007"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_short_nonce_accepted"],
        cost: 40,
        run: |cx| {
            let nonce = |len: usize| Tamper::content(move |m| edit::body(m, PayloadType::NONCE, |body| body.resize(len, 3)));
            answers_accepted(cx, "phase1.answer-nonce-taken", &["IKE-MM-007"], vec![
                ("8 octets", Step::Main4, nonce(8)),
                ("256 octets", Step::Main4, nonce(256)),
            ])?;
            answers_refused(cx, &Trial::new("phase1.answer-nonce-refused", &["IKE-MM-007"], Step::Main4), vec![
                ("none", nonce(0)),
                ("7 octets", nonce(7)),
                ("257 octets", nonce(257)),
            ])
        },
    },
    case! {
        "IKEI-031", "gdoi.phase1", Must, Gm,
        title: "a server's public value of the wrong length is refused",
        purpose: "A member that pads or cuts it agrees on another secret than the server, or on one that is easy to find.",
        requirements: ["IKE-MM-009"],
        sources: ["RFC 2409 §5", "RFC 2408 §5.7"],
        catches: ["ike_ke_length_not_checked"],
        cost: 40,
        run: |cx| {
            let resize = |len: usize| Tamper::content(move |m| edit::body(m, PayloadType::KE, |body| body.resize(len, 1)));
            answers_refused(cx, &Trial::new("phase1.answer-public-value-length", &["IKE-MM-009"], Step::Main4), vec![
                ("one octet short", resize(255)),
                ("one octet long", resize(257)),
                ("empty", resize(0)),
                ("of another group", resize(128)),
            ])
        },
    },
    case! {
        "IKEI-032", "gdoi.phase1", Should, Gm,
        title: "public values that force a known secret are refused",
        purpose: "With 0, 1 or p-1 everyone who listens knows the secret, and reads the identity and the keys of the group.",
        requirements: ["IKE-MM-010"],
        sources: ["RFC 6989 §2"],
        catches: ["ike_accepts_modp_one"],
        cost: 40,
        run: |cx| {
            let value = |octets: Vec<u8>| Tamper::content(move |m| edit::set_body(m, PayloadType::KE, octets.clone()));
            let small = |last: u8| [vec![0; 255], vec![last]].concat();
            let prime = hex::decode(PRIME_14).unwrap_or_default();
            // The prime ends in ff, so its neighbour differs in the last octet only.
            let less_one = [prime.get(..255).unwrap_or_default(), &[0xfe]].concat();
            answers_refused(cx, &Trial::new("phase1.weak-answer-value", &["IKE-MM-010"], Step::Main4), vec![
                ("0", value(small(0))),
                ("1", value(small(1))),
                ("p-1", value(less_one)),
                ("p", value(prime)),
                ("2^2048-1", value(vec![0xff; 256])),
            ])
        },
    },
    case! {
        "IKEI-033", "gdoi.phase1", Should, Gm,
        title: "points that are not on the curve are refused",
        purpose: "What a member does with such points gives its exponent away piece by piece.",
        requirements: ["IKE-MM-011"],
        sources: ["RFC 6989 §2", "RFC 5903 §7"],
        catches: ["ike_accepts_bad_point"],
        needs: [Setup],
        cost: 30,
        run: |cx| {
            let value = |octets: Vec<u8>| Tamper::content(move |m| edit::set_body(m, PayloadType::KE, octets.clone()));
            let trial = Trial::new("phase1.answer-point-on-curve", &["IKE-MM-011"], Step::Main4);
            let wrong = vec![
                ("one bit of Y flipped", Tamper::content(|m| edit::flip_bit(m, PayloadType::KE, 63, 0))),
                ("X and Y zero", value(vec![0; 64])),
                ("coordinates beyond the field", value(vec![0xff; 64])),
            ];
            answers_refused_by(cx, &trial, wrong, &mut |cx| with_suites(cx, &["aes128-sha256-ecp256-psk"], &[]))
        },
    },
    case! {
        "IKEI-034", "gdoi.phase1", Must, Gm,
        title: "the server's cookie stays the one of message 2",
        purpose: "A stranger that answers under a cookie of his own must neither be listened to nor end the exchange with the server.",
        requirements: ["IKE-CKY-008"],
        sources: ["RFC 2408 §5.2"],
        catches: ["ike_responder_cookie_not_pinned"],
        run: |cx| {
            let trial = Trial::new("phase1.responder-cookie-pinned", &["IKE-CKY-008"], Step::Main4)
                .keeps("phase1.exchange-survives-cookie", &["IKE-CKY-008"]);
            answers_refused(cx, &trial, vec![("another cookie", Tamper::wire(|o| octets::set_responder_cookie(o, [5; 8])))])
        },
    },
    case! {
        "IKEI-035", "gdoi.phase1", Should, Gm,
        title: "a payload that stands twice in message 4 discards it",
        purpose: "With two values where one belongs, checker and user may each look at another one.",
        requirements: ["IKE-PAY-012"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_duplicate_payload_accepted"],
        cost: 20,
        run: |cx| answers_refused(cx, &Trial::new("phase1.duplicate-in-answer", &["IKE-PAY-012"], Step::Main4), vec![
            ("KE twice", Tamper::content(|m| edit::duplicate(m, PayloadType::KE))),
            ("the nonce twice", Tamper::content(|m| edit::duplicate(m, PayloadType::NONCE))),
        ]),
    },
    case! {
        "IKEI-036", "gdoi.phase1", Should, Gm,
        title: "an answer that lacks a payload is discarded and the exchange goes on",
        purpose: "Anyone who has seen the cookies can send half an answer; the server's own must still count.",
        requirements: ["IKE-PAY-014"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_missing_payload_kills"],
        cost: 20,
        run: |cx| {
            let trial = Trial::new("phase1.incomplete-answer-refused", &["IKE-PAY-014"], Step::Main4)
                .keeps("phase1.exchange-survives-incomplete-answer", &["IKE-PAY-014"]);
            answers_refused(cx, &trial, vec![
                ("no nonce", Tamper::content(|m| edit::remove(m, PayloadType::NONCE))),
                ("no KE", Tamper::content(|m| edit::remove(m, PayloadType::KE))),
            ])
        },
    },
    case! {
        "IKEI-037", "gdoi.phase1", Must, Gm,
        title: "the order of payloads in messages 4 and 6 does not matter",
        purpose: "Only the SA and the HASH of later exchanges have a place; products order the rest as they like.",
        requirements: ["IKE-PAY-007"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_payload_order_matters"],
        cost: 10,
        run: |cx| answers_accepted(cx, "phase1.answer-order-free", &["IKE-PAY-007"], vec![
            ("nonce before KE", Step::Main4, Tamper::content(|m| edit::swap(m, PayloadType::KE, PayloadType::NONCE))),
            ("HASH before ID", Step::Main6, Tamper::content(|m| edit::swap(m, PayloadType::ID, PayloadType::HASH))),
        ]),
    },
    case! {
        "IKEI-038", "gdoi.phase1", Should, Gm,
        title: "answers from another address are ignored",
        purpose: "The member talks to one server. Someone else who has seen the cookies must not be able to take its place.",
        requirements: ["IKE-MM-037"],
        sources: ["RFC 3947 §4"],
        catches: ["ike_any_source_accepted"],
        cost: 20,
        run: other_address,
    },
    case! {
        "IKEI-039", "gdoi.phase1", Must, Gm,
        title: "a member's own messages that come back are ignored",
        purpose: "Reflection is the cheapest forgery: the cookies are right and everything parses. The exchange must outlive it.",
        requirements: ["IKE-MM-029"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_reflection_accepted"],
        cost: 20,
        run: reflection,
    },
];

/// The prime of group 14.
const PRIME_14: &str = "\
    FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD\
    EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
    EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F\
    83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
    E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510\
    15728E5A8AACAA68FFFFFFFFFFFFFFFF";

fn other_address(cx: &mut Cx<'_>) -> Flow {
    for step in [Step::Main2, Step::Main4] {
        let mut scene = start(cx, |_| {}, |_| {})?;
        scene.ks.reply(step, Reply::From(cx.tester(1)));
        let trial = Trial::new("phase1.answer-from-elsewhere-ignored", &["IKE-MM-037"], step);
        let request = reach(cx, &mut scene.ks, if step == Step::Main2 { Step::Main1 } else { Step::Main3 })?;
        scene.ks.serve_for(cx.world, WINDOW);
        if !judge_silence(cx, &trial, step.name(), &scene, &request) {
            recover(cx, &trial, step.name(), &mut scene, &request)?;
        }
    }
    Ok(())
}

fn reflection(cx: &mut Cx<'_>) -> Flow {
    for (step, answer) in [(Step::Main1, Step::Main2), (Step::Main3, Step::Main4), (Step::Main5, Step::Main6)] {
        let mut scene = GmScene::standard(cx)?;
        scene.ks.reply(answer, Reply::Silent);
        let request = reach(cx, &mut scene.ks, step)?;
        let back = Datagram::new(request.datagram.dst, request.datagram.src, request.datagram.payload.clone());
        cx.world.send(back);
        scene.ks.serve_for(cx.world, WINDOW);
        let trial = Trial::new("phase1.reflection-ignored", &["IKE-MM-029"], answer)
            .keeps("phase1.exchange-survives-reflection", &["IKE-MM-029"]);
        let what = format!("{step} sent back");
        if !judge_silence(cx, &trial, &what, &scene, &request) {
            recover(cx, &trial, &what, &mut scene, &request)?;
        }
    }
    Ok(())
}
