//! Messages 3 to 6 of main mode: what they hold, in which order, and what stands between them.

use hallmark_probe::edit;
use hallmark_probe::gm::ProbeGm;
use hallmark_probe::step::Step;
use hallmark_probe::suite::Suite;
use hallmark_probe::tamper::{Tamper, octets};
use hallmark_wire::isakmp::{ExchangeType, PayloadType, vendor_id};

use super::kit::{
    Trial, WINDOW, error_notify, garbage, go_on, lead_to, messages_refused, pull_served, refuse_messages,
    refuse_messages_of, scripts_accepted, with_suites, words,
};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKER-037", "gdoi.phase1", Must, Ks,
        title: "nonces of 8 to 256 octets are served, others are not",
        purpose: "The nonces keep the keys of two exchanges apart; an empty one leaves that to the server alone.",
        requirements: ["IKE-MM-007"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_short_nonce_accepted"],
        run: nonce_lengths,
    },
    case! {
        "IKER-038", "gdoi.phase1", Must, Ks,
        title: "a key exchange value of the wrong length is refused",
        purpose: "A server that pads or cuts the value agrees on another secret than its member, or on one that is \
                  easy to find.",
        requirements: ["IKE-MM-009"],
        sources: ["RFC 2409 §5", "RFC 2408 §5.7"],
        catches: ["ike_ke_length_not_checked"],
        run: |cx| {
            let resize = |len: usize| {
                Tamper::content(move |m| edit::body(m, PayloadType::KE, |body| body.resize(len, 1)))
            };
            messages_refused(cx, &Trial::new("phase1.key-exchange-length", &["IKE-MM-009"], Step::Main3), vec![
                ("one octet short", resize(255)),
                ("one octet long", resize(257)),
                ("empty", resize(0)),
                ("of another group", resize(128)),
            ])
        },
    },
    case! {
        "IKER-039", "gdoi.phase1", Should, Ks,
        title: "public values that force a known secret are refused",
        purpose: "With 0, 1 or p-1 the secret is known to everyone who listens; whoever sends it wants just that.",
        requirements: ["IKE-MM-010"],
        sources: ["RFC 6989 §2"],
        catches: ["ike_accepts_modp_one"],
        run: weak_public_values,
    },
    case! {
        "IKER-040", "gdoi.phase1", Should, Ks,
        title: "points that are not on the curve are refused",
        purpose: "Answers to such points give the server's exponent away piece by piece.",
        requirements: ["IKE-MM-011"],
        sources: ["RFC 6989 §2", "RFC 5903 §7"],
        catches: ["ike_accepts_bad_point"],
        needs: [Setup],
        run: bad_points,
    },
    case! {
        "IKER-041", "gdoi.phase1", Must, Ks,
        title: "an encryption flag in message 3 discards it and leaves the exchange alone",
        purpose: "Nothing can be encrypted yet; one forged flag must neither be read as clear text nor end a \
                  registration.",
        requirements: ["IKE-HDR-009"],
        sources: ["RFC 2408 §5.2"],
        catches: ["ike_encryption_flag_ignored"],
        run: |cx| {
            let trial = Trial::new("phase1.encrypted-message-3-refused", &["IKE-HDR-009"], Step::Main3)
                .keeps("phase1.exchange-survives-flag", &["IKE-HDR-009"]);
            messages_refused(cx, &trial, vec![("flags 01", Tamper::wire(|o| octets::set_flags(o, 1)))])
        },
    },
    case! {
        "IKER-042", "gdoi.phase1", Must, Ks,
        title: "messages 3 and 5 with a message id are discarded",
        purpose: "In phase 1 the message id is 0; another one belongs to a later exchange.",
        requirements: ["IKE-HDR-008"],
        sources: ["RFC 2408 §3.1", "RFC 2408 §5.2"],
        catches: ["ike_accepts_phase1_message_id"],
        run: |cx| both_steps(cx, "phase1.later-message-id-refused", &["IKE-HDR-008"], || {
            vec![("message id 1", Tamper::wire(|o| octets::set_message_id(o, 1)))]
        }),
    },
    case! {
        "IKER-043", "gdoi.phase1", Must, Ks,
        title: "an exchange does not change its type",
        purpose: "What was begun as main mode must be finished as main mode, or the protection of identities is a \
                  choice of whoever stands between.",
        requirements: ["IKE-MM-012"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_exchange_switch_accepted"],
        run: |cx| both_steps(cx, "phase1.exchange-type-kept", &["IKE-MM-012"], || {
            vec![
                ("as aggressive mode", Tamper::wire(|o| octets::set_exchange(o, 4))),
                ("as base exchange", Tamper::wire(|o| octets::set_exchange(o, 1))),
            ]
        }),
    },
    case! {
        "IKER-044", "gdoi.phase1", Should, Ks,
        title: "message 5 before message 3 is ignored",
        purpose: "Packets overtake each other; an exchange that dies of it costs the member a whole retry.",
        requirements: ["IKE-MM-013"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_out_of_order_kills"],
        run: message_5_first,
    },
    case! {
        "IKER-045", "gdoi.phase1", Must, Ks,
        title: "the order of payloads in messages 3 and 5 does not matter",
        purpose: "Only the SA and the HASH of later exchanges have a place; products order the rest as they like.",
        requirements: ["IKE-PAY-007"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_payload_order_matters"],
        run: |cx| scripts_accepted(cx, "phase1.payload-order-free", &["IKE-PAY-007"], &[
            ("nonce before KE", |member| {
                member.tamper(Step::Main3, Tamper::content(|m| edit::swap(m, PayloadType::KE, PayloadType::NONCE)));
            }),
            ("HASH before ID", |member| {
                member.tamper(Step::Main5, Tamper::content(|m| edit::swap(m, PayloadType::ID, PayloadType::HASH)));
            }),
        ]),
    },
    case! {
        "IKER-046", "gdoi.phase1", Should, Ks,
        title: "a payload that stands twice discards the message",
        purpose: "With two values where one belongs, checker and user may each look at another one.",
        requirements: ["IKE-PAY-012"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_duplicate_payload_accepted"],
        run: duplicate_payloads,
    },
    case! {
        "IKER-047", "gdoi.phase1", Should, Ks,
        title: "a message that lacks a payload is discarded and the exchange goes on",
        purpose: "Anyone can send a bare message 3 under cookies he has seen; the member's own must still be served.",
        requirements: ["IKE-PAY-014"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_missing_payload_kills"],
        run: missing_payloads,
    },
    case! {
        "IKER-048", "gdoi.phase1", Should, Ks,
        title: "the commit flag neither stalls nor breaks phase 1",
        purpose: "The flag is not authenticated; a server that waits for CONNECTED is stopped by one flipped bit.",
        requirements: ["IKE-HDR-015"],
        sources: ["RFC 2408 §3.1", "RFC 6407 §3.2.1"],
        catches: ["ike_commit_stalls"],
        run: |cx| scripts_accepted(cx, "phase1.commit-ignored", &["IKE-HDR-015"], &[
            ("commit in message 1", |member| {
                member.tamper(Step::Main1, Tamper::wire(|o| octets::set_flags(o, 2)));
            }),
            ("commit in message 3", |member| {
                member.tamper(Step::Main3, Tamper::wire(|o| octets::set_flags(o, 2)));
            }),
            ("commit in message 5", |member| {
                member.tamper(Step::Main5, Tamper::wire(|o| octets::set_flags(o, 3)));
            }),
        ]),
    },
    case! {
        "IKER-049", "gdoi.phase1", Must, Ks,
        title: "garbage under the right cookies does not disturb the exchange",
        purpose: "Cookies are seen by everyone on the path. Octets that do not decrypt must move neither the state nor \
                  the IV, or the member's own message 5 turns into garbage too.",
        requirements: ["IKE-HDR-017", "IKE-MM-033"],
        sources: ["RFC 2409 App. B", "RFC 2409 §10"],
        catches: ["ike_partial_block_kills", "ike_iv_advanced_by_garbage"],
        run: garbage_before_message_5,
    },
    case! {
        "IKER-050", "gdoi.phase1", Should, Ks,
        title: "an error notification beside a valid HASH does not end the exchange",
        purpose: "What stands beside the HASH in message 5 is not covered by it; whoever can cut and paste must not be \
                  believed.",
        requirements: ["IKE-MM-034"],
        sources: ["RFC 2407 §4.6.3"],
        catches: ["ike_chained_notify_aborts"],
        run: |cx| scripts_accepted(cx, "phase1.chained-notify-ignored", &["IKE-MM-034"], &[
            ("NO-PROPOSAL-CHOSEN in message 5", |member| { chain_notify(member, 14); }),
            ("AUTHENTICATION-FAILED in message 5", |member| { chain_notify(member, 24); }),
        ]),
    },
    case! {
        "IKER-051", "gdoi.phase1", Should, Ks,
        title: "whatever follows the last payload of an encrypted message is ignored",
        purpose: "Ciphers pad, and products pad in different ways; the chain says where the message ends.",
        requirements: ["IKE-PAY-009"],
        sources: ["RFC 2409 App. B"],
        catches: ["ike_extra_padding_refused"],
        run: |cx| scripts_accepted(cx, "phase1.padding-ignored", &["IKE-PAY-009"], &[
            ("a block of zeros too much", |member| {
                member.tamper(Step::Main5, Tamper::none().pad_with(vec![0; 16]));
            }),
            ("padding that is not zero", |member| {
                let octets = vec![7, 1, 9, 200, 3, 5, 5, 7, 9, 11, 13, 255, 17, 1, 2, 4, 6];
                member.tamper(Step::Main5, Tamper::none().pad_with(octets));
            }),
        ]),
    },
    case! {
        "IKER-052", "gdoi.phase1", Must, Ks,
        title: "message 5 in clear is not served",
        purpose: "Encryption hides who registers; a server that takes it in clear lets anyone on the path switch it \
                  off.",
        requirements: ["IKE-HDR-010"],
        sources: ["RFC 2409 §3.2", "RFC 2409 §5"],
        catches: ["ike_accepts_clear_authentication"],
        run: |cx| {
            let trial = Trial::new("phase1.clear-message-5-refused", &["IKE-HDR-010"], Step::Main5);
            messages_refused(cx, &trial, vec![("message 5 in clear", Tamper::none().in_clear())])
        },
    },
    case! {
        "IKER-053", "gdoi.phase1", Must, Ks,
        title: "no registration before message 5 has been verified",
        purpose: "After message 4 both ends have keys, but the server does not know with whom. A policy handed out \
                  here goes to anyone who asks.",
        requirements: ["IKE-MM-035"],
        sources: ["RFC 6407 §2"],
        catches: ["ike_serves_pull_early"],
        run: pull_before_message_5,
    },
];

/// Judges the same wrong form of message 3 and of message 5.
fn both_steps(cx: &mut Cx<'_>, check: &str, requirements: &[&str], wrong: fn() -> Vec<(&'static str, Tamper)>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    refuse_messages(cx, &scene, &Trial::new(check, requirements, Step::Main3), wrong())?;
    refuse_messages(cx, &scene, &Trial::new(check, requirements, Step::Main5), wrong())?;
    scene.finish(cx)
}

fn chain_notify(member: &mut ProbeGm, kind: u16) {
    member.tamper(
        Step::Main5,
        Tamper::content(move |m| {
            for (payload, body) in error_notify(kind) {
                edit::push(m, payload, body);
            }
        }),
    );
}

fn nonce_lengths(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    for len in [8, 256] {
        let mut member = scene.member(cx, 1);
        member.script.nonce_len = len;
        super::kit::completes(cx, &mut member, "phase1.nonce-length-served", &["IKE-MM-007"], &format!("{len} octets"));
    }
    let nonce = |len: usize| Tamper::content(move |m| edit::set_body(m, PayloadType::NONCE, vec![0x33; len]));
    refuse_messages(
        cx,
        &scene,
        &Trial::new("phase1.nonce-length-refused", &["IKE-MM-007"], Step::Main3),
        vec![("no octet", nonce(0)), ("7 octets", nonce(7)), ("257 octets", nonce(257))],
    )?;
    scene.finish(cx)
}

/// The prime of group 14 (RFC 3526).
const PRIME_14: &str = "\
    FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD\
    EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
    EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F\
    83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
    E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510\
    15728E5A8AACAA68FFFFFFFFFFFFFFFF";

fn weak_public_values(cx: &mut Cx<'_>) -> Flow {
    let prime = hex::decode(PRIME_14).unwrap_or_default();
    let small = |last: u8| {
        let mut value = vec![0; 256];
        value[255] = last;
        value
    };
    // The prime ends in ff, so its neighbours differ in the last octets only.
    let less_one = [prime.get(..255).unwrap_or_default(), &[0xfe]].concat();
    let value = |octets: Vec<u8>| Tamper::content(move |m| edit::set_body(m, PayloadType::KE, octets.clone()));
    messages_refused(
        cx,
        &Trial::new("phase1.weak-public-value", &["IKE-MM-010"], Step::Main3),
        vec![
            ("0", value(small(0))),
            ("1", value(small(1))),
            ("p-1", value(less_one)),
            ("p", value(prime)),
            ("2^2048-1", value(vec![0xff; 256])),
        ],
    )
}

fn bad_points(cx: &mut Cx<'_>) -> Flow {
    let suite = "aes128-sha256-ecp256-psk";
    let scene = with_suites(cx, &[suite, crate::setup::PROPOSAL], &[])?;
    drop(scene.phase1(cx, 0)?);
    let suite = cx.have(Suite::from_name(suite), "the suite has no such name")?;
    let value = |octets: Vec<u8>| Tamper::content(move |m| edit::set_body(m, PayloadType::KE, octets.clone()));
    let trial = Trial::new("phase1.point-on-curve", &["IKE-MM-011"], Step::Main3);
    let wrong = vec![
        ("one bit of Y flipped", Tamper::content(|m| edit::flip_bit(m, PayloadType::KE, 63, 0))),
        ("X and Y zero", value(vec![0; 64])),
        ("coordinates beyond the field", value(vec![0xff; 64])),
    ];
    refuse_messages_of(cx, &scene, &trial, wrong, &mut |cx| {
        let mut member = scene.member(cx, 1);
        member.script.suites = vec![suite];
        member
    })?;
    scene.finish(cx)
}

fn message_5_first(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let mut member = scene.member(cx, 1);
    lead_to(cx, &mut member, Step::Main3)?;
    let early = garbage(member.half_cookies(), ExchangeType::MAIN, 0, 80);
    member.send_raw(cx.world, early);
    let seen = member.collect(cx.world, WINDOW);
    let served = seen.iter().any(|seen| matches!(seen.step, Step::Main4 | Step::Main6));
    cx.silence("phase1.early-message-5-ignored", &["IKE-MM-013"], !served, "no message 4 or 6", words(&seen));
    let result = go_on(cx, &mut member, Step::Main3);
    let observed = result.as_ref().map_or_else(ToString::to_string, |()| "established".to_owned());
    cx.check(
        "phase1.order-kept",
        &["IKE-MM-013"],
        result.is_ok(),
        "messages 3 and 5 in order complete phase 1",
        observed,
    );
    scene.finish(cx)
}

fn duplicate_payloads(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let twice = |kind: PayloadType| Tamper::sealed(move |m| edit::duplicate(m, kind));
    let check = "phase1.duplicate-payload-refused";
    refuse_messages(
        cx,
        &scene,
        &Trial::new(check, &["IKE-PAY-012"], Step::Main3),
        vec![("two KE", twice(PayloadType::KE)), ("two nonces", twice(PayloadType::NONCE))],
    )?;
    refuse_messages(
        cx,
        &scene,
        &Trial::new(check, &["IKE-PAY-012"], Step::Main5),
        vec![("two ID", twice(PayloadType::ID)), ("two HASH", twice(PayloadType::HASH))],
    )?;
    scene.finish(cx)
}

fn missing_payloads(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let without = |kind: PayloadType| Tamper::content(move |m| edit::remove(m, kind));
    let check = "phase1.incomplete-message-refused";
    let trial =
        Trial::new(check, &["IKE-PAY-014"], Step::Main3).keeps("phase1.exchange-survives-gap", &["IKE-PAY-014"]);
    refuse_messages(
        cx,
        &scene,
        &trial,
        vec![
            ("no nonce", without(PayloadType::NONCE)),
            ("no KE", without(PayloadType::KE)),
            (
                "only a vendor id",
                Tamper::content(|m| {
                    m.payloads.clear();
                    edit::push(m, PayloadType::VENDOR_ID, vendor_id::DPD.to_vec());
                }),
            ),
        ],
    )?;
    refuse_messages(
        cx,
        &scene,
        &Trial::new(check, &["IKE-PAY-014"], Step::Main5).grave(),
        vec![("no HASH", without(PayloadType::HASH))],
    )?;
    scene.finish(cx)
}

fn garbage_before_message_5(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let body = |len: usize| {
        Tamper::wire(move |o| {
            o.truncate(28);
            o.resize(28 + len, 0x5a);
            octets::fix_length(o);
        })
    };
    let partial = Trial::new("phase1.partial-block-dropped", &["IKE-HDR-017"], Step::Main5)
        .keeps("phase1.exchange-survives-partial-block", &["IKE-HDR-017"]);
    refuse_messages(
        cx,
        &scene,
        &partial,
        vec![
            (
                "one octet missing",
                Tamper::wire(|o| {
                    let len = o.len().saturating_sub(1);
                    octets::resize_and_fix(o, len);
                }),
            ),
            ("no ciphertext at all", body(0)),
        ],
    )?;
    let whole = Trial::new("phase1.garbage-dropped", &["IKE-MM-033"], Step::Main5)
        .keeps("phase1.exchange-survives-garbage", &["IKE-MM-033"]);
    refuse_messages(cx, &scene, &whole, vec![("four blocks of garbage", body(64)), ("one block", body(16))])?;
    scene.finish(cx)
}

fn pull_before_message_5(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let mut member = scene.member(cx, 1);
    lead_to(cx, &mut member, Step::Main5)?;
    // The SA exists for the tester only: message 5 was never sent.
    member.sa = member.half_open_sa().cloned();
    let (served, came) = pull_served(cx, &mut member)?;
    cx.grave_silence("phase1.no-pull-before-authentication", &["IKE-MM-035"], !served, "no message 2 of PULL", came);
    member.sa = None;
    if !served {
        // Not judged: that the exchange may still be completed is what makes this a control in the same exchange.
        let result = go_on(cx, &mut member, Step::Main5);
        if result.is_err() {
            super::kit::afresh(cx, &scene, &mut member, &["IKE-MM-035"])?;
        }
    }
    scene.finish(cx)
}
