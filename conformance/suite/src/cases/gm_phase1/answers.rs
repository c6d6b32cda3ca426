//! Message 2: the answer to the offer, and the headers and payload chains of answers.

use hallmark_core::Datagram;
use hallmark_probe::edit;
use hallmark_probe::edit::attributes;
use hallmark_probe::step::Step;
use hallmark_probe::suite::{Suite, class};
use hallmark_probe::tamper::{Tamper, octets};
use hallmark_wire::isakmp::{Attribute, Attributes, PayloadType, SecurityAssociation, Transform};
use hallmark_wire::raw::RawMessage;

use super::kit::{Trial, WINDOW, Wrong, answers_accepted, answers_refused, completes, start, words};
use crate::Case;
use crate::cx::{Cx, Flow};

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKEI-014", "gdoi.phase1", Must, Gm,
        title: "an answer that changes, adds or leaves out an attribute is refused",
        purpose: "Message 2 is not authenticated when it arrives. A member that takes what it reads there lets anyone on the path \
                  choose its suite.",
        requirements: ["IKE-SA-028"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_answer_unverified"],
        cost: 40,
        run: |cx| {
            let wrong = vec![
                ("another hash", transform(|t| attributes::set(&mut t.attributes, class::HASH, 2))),
                ("another key length", transform(|t| attributes::set(&mut t.attributes, class::KEY_LENGTH, 256))),
                ("another life duration", transform(|t| {
                    attributes::replace(&mut t.attributes, Attribute::u32(class::LIFE_DURATION, 3_600));
                })),
                ("an attribute more", transform(|t| attributes::add(&mut t.attributes, 13, 128))),
                ("no key length", transform(|t| attributes::remove(&mut t.attributes, class::KEY_LENGTH))),
                ("no hash", transform(|t| attributes::remove(&mut t.attributes, class::HASH))),
            ];
            answers_refused(cx, &Trial::new("phase1.altered-answer-refused", &["IKE-SA-028"], Step::Main2), wrong)
        },
    },
    case! {
        "IKEI-015", "gdoi.phase1", Must, Gm,
        title: "an answer with any other number of transforms or proposals than one is refused",
        purpose: "The server has to choose. Where it returns several, the two ends may go on with different ones.",
        requirements: ["IKE-SA-029"],
        sources: ["RFC 2408 §4.2"],
        catches: ["ike_two_transforms_accepted"],
        cost: 30,
        run: |cx| {
            let wrong = vec![
                ("the transform twice", sa(|sa| {
                    for proposal in &mut sa.proposals {
                        let again: Vec<Transform> =
                            proposal.transforms.iter().map(|t| Transform { number: t.number + 1, ..t.clone() }).collect();
                        proposal.transforms.extend(again);
                    }
                })),
                ("no transform", sa(|sa| sa.proposals.iter_mut().for_each(|proposal| proposal.transforms.clear()))),
                ("the proposal twice", sa(|sa| {
                    let again: Vec<_> = sa.proposals.clone();
                    sa.proposals.extend(again);
                })),
                ("no proposal", sa(|sa| sa.proposals.clear())),
            ];
            answers_refused(cx, &Trial::new("phase1.one-transform-answered", &["IKE-SA-029"], Step::Main2), wrong)
        },
    },
    case! {
        "IKEI-016", "gdoi.phase1", Must, Gm,
        title: "an answer with a transform that was never offered is refused",
        purpose: "This is how a suite is forced down: the member offers what is strong, and someone answers with what is weak.",
        requirements: ["IKE-SA-030"],
        sources: ["RFC 2408 §4.2"],
        catches: ["ike_answer_unverified"],
        cost: 20,
        run: |cx| {
            let with = |name: &str| {
                let suite = Suite::from_name(name).unwrap_or_default();
                transform(move |t| *t = Transform { number: t.number, ..suite.transform(1) })
            };
            let wrong = vec![
                ("3DES, SHA-1 and group 2", with("3des-sha1-modp1024-psk")),
                ("a suite that the member knows but has not offered", with("aes256-sha512-modp2048-psk")),
                ("a transform identifier that does not exist", transform(|t| t.id = 77)),
            ];
            answers_refused(cx, &Trial::new("phase1.unoffered-answer-refused", &["IKE-SA-030"], Step::Main2), wrong)
        },
    },
    case! {
        "IKEI-017", "gdoi.phase1", Should, Gm,
        title: "an answer that writes the life duration in another form is accepted",
        purpose: "Servers return 3600 seconds in two octets or in four, however they were offered. The value counts.",
        requirements: ["IKE-SA-018"],
        sources: ["RFC 2409 App. A"],
        catches: ["ike_reencoded_answer_refused", "ike_variable_as_tv_refused"],
        needs: [Setup],
        run: reencoded,
    },
    case! {
        "IKEI-018", "gdoi.phase1", Must, Gm,
        title: "an answer under another DOI is refused",
        purpose: "Exchange 32 means GROUPKEY-PULL under DOI 2 only.",
        requirements: ["IKE-SA-010"],
        sources: ["RFC 2408 §5.4"],
        catches: ["ike_accepts_any_doi"],
        run: |cx| {
            let wrong = vec![("DOI 1", sa(|sa| sa.doi = 1)), ("DOI 99", sa(|sa| sa.doi = 99))];
            answers_refused(cx, &Trial::new("phase1.answer-doi", &["IKE-SA-010"], Step::Main2), wrong)
        },
    },
    case! {
        "IKEI-019", "gdoi.phase1", Must, Gm,
        title: "message 2 must carry the member's cookie and one of the server's",
        purpose: "The cookies tie an answer to the question; without the server's own one the exchange is no exchange.",
        requirements: ["IKE-CKY-005", "IKE-CKY-001"],
        sources: ["RFC 2408 §5.2", "RFC 2408 §2.4"],
        catches: ["ike_zero_responder_cookie_accepted"],
        run: |cx| {
            let wrong = vec![
                ("no responder cookie", Tamper::wire(|o| octets::set_responder_cookie(o, [0; 8]))),
                ("another initiator cookie", Tamper::wire(|o| octets::set_initiator_cookie(o, [9; 8]))),
                ("the cookies exchanged", Tamper::wire(|o| octets::swap_cookies(o))),
            ];
            answers_refused(cx, &Trial::new("phase1.answer-cookies", &["IKE-CKY-005", "IKE-CKY-001"], Step::Main2), wrong)
        },
    },
    case! {
        "IKEI-020", "gdoi.phase1", Must, Gm,
        title: "an answer whose Length differs from the datagram is refused",
        purpose: "Where the two disagree, something was cut off or stuck on, and nobody knows what.",
        requirements: ["IKE-HDR-001"],
        sources: ["RFC 2408 §5.1"],
        catches: ["ike_length_not_checked"],
        cost: 40,
        run: |cx| both(cx, "phase1.answer-length", &["IKE-HDR-001"], || {
            let by = |change: fn(u32) -> u32| Tamper::wire(move |o| {
                let length = u32::try_from(o.len()).unwrap_or(0);
                octets::set_length(o, change(length));
            });
            vec![
                ("4 more", by(|length| length + 4)),
                ("4 less", by(|length| length.saturating_sub(4))),
                ("0", by(|_| 0)),
                ("2^32-1", by(|_| u32::MAX)),
            ]
        }),
    },
    case! {
        "IKEI-021", "gdoi.phase1", Should, Gm,
        title: "an answer of another version is refused",
        purpose: "What version 2 means with these octets is not known to a member of version 1.",
        requirements: ["IKE-HDR-004", "IKE-HDR-005"],
        sources: ["RFC 2408 §3.1", "RFC 2408 §5.2"],
        catches: ["ike_accepts_major_version", "ike_accepts_minor_version"],
        cost: 20,
        run: |cx| {
            let of = |version: u8| Tamper::wire(move |o| octets::set_version(o, version));
            let trial = Trial::new("phase1.answer-major-version", &["IKE-HDR-004"], Step::Main2);
            answers_refused(cx, &trial, vec![("2.0", of(0x20)), ("0.0", of(0))])?;
            let trial = Trial::new("phase1.answer-minor-version", &["IKE-HDR-005"], Step::Main2);
            answers_refused(cx, &trial, vec![("1.1", of(0x11))])
        },
    },
    case! {
        "IKEI-022", "gdoi.phase1", Must, Gm,
        title: "an answer with reserved flags or a message id is refused",
        purpose: "Both belong to something that this exchange is not.",
        requirements: ["IKE-HDR-007", "IKE-HDR-008"],
        sources: ["RFC 2408 §3.1", "RFC 2408 §5.2"],
        catches: ["ike_accepts_reserved_flags", "ike_accepts_phase1_message_id"],
        cost: 30,
        run: |cx| {
            both(cx, "phase1.answer-flags", &["IKE-HDR-007"], || {
                vec![("flags f8", Tamper::wire(|o| octets::set_flags(o, 0xf8)))]
            })?;
            both(cx, "phase1.answer-message-id", &["IKE-HDR-008"], || {
                vec![("message id 1", Tamper::wire(|o| octets::set_message_id(o, 1)))]
            })
        },
    },
    case! {
        "IKEI-023", "gdoi.phase1", Must, Gm,
        title: "an answer of another exchange type is refused",
        purpose: "What was begun as main mode must be finished as main mode; otherwise whoever stands between decides about the \
                  protection of identities.",
        requirements: ["IKE-MM-012", "IKE-HDR-006"],
        sources: ["RFC 2409 §5", "RFC 2408 §5.2"],
        catches: ["ike_exchange_switch_accepted"],
        cost: 30,
        run: |cx| both(cx, "phase1.answer-exchange-type", &["IKE-MM-012", "IKE-HDR-006"], || {
            vec![
                ("aggressive mode", Tamper::wire(|o| octets::set_exchange(o, 4))),
                ("base exchange", Tamper::wire(|o| octets::set_exchange(o, 1))),
                ("type 240", Tamper::wire(|o| octets::set_exchange(o, 240))),
            ]
        }),
    },
    case! {
        "IKEI-024", "gdoi.robustness", Must, Gm,
        title: "payload lengths below 4 or beyond the message discard it",
        purpose: "Anyone can send such an answer before anything is authenticated. A member that follows a length of 0 hangs; one that \
                  follows a long one reads what is not there.",
        requirements: ["IKE-PAY-001"],
        sources: ["RFC 2408 §5.1", "RFC 2408 §5.3"],
        catches: ["ike_payload_length_clamped", "ike_deaf_after_zero_length"],
        cost: 60,
        run: payload_lengths,
    },
    case! {
        "IKEI-025", "gdoi.phase1", Must, Gm,
        title: "a chain of payloads that does not end, or holds what is reserved, discards the message",
        purpose: "A member that skips over what it does not understand acts on half a message.",
        requirements: ["IKE-PAY-004", "IKE-PAY-005"],
        sources: ["RFC 2408 §5.3"],
        catches: ["ike_accepts_dangling_next", "ike_accepts_reserved_payloads"],
        cost: 30,
        run: |cx| {
            both(cx, "phase1.dangling-payload", &["IKE-PAY-004"], || {
                vec![("a vendor id is announced and missing", Tamper::content(|m| edit::dangle(m, PayloadType::VENDOR_ID.0)))]
            })?;
            both(cx, "phase1.reserved-payload", &["IKE-PAY-005"], || {
                vec![("type 100", Tamper::content(|m| edit::push(m, PayloadType(100), vec![1; 8])))]
            })
        },
    },
    case! {
        "IKEI-026", "gdoi.phase1", Should, Gm,
        title: "a reserved octet that is not zero discards the answer",
        purpose: "It announces something that this version does not know.",
        requirements: ["IKE-PAY-003"],
        sources: ["RFC 2408 §2.5.2", "RFC 2408 §5.3"],
        catches: ["ike_accepts_reserved_nonzero"],
        cost: 20,
        run: |cx| both(cx, "phase1.answer-reserved-octet", &["IKE-PAY-003"], || {
            vec![
                ("in the first payload", Tamper::content(|m| first(m, edit::set_reserved))),
            ]
        }),
    },
    case! {
        "IKEI-027", "gdoi.phase1", Must, Gm,
        title: "unknown vendor ids, certificate requests and the commit flag do not disturb a registration",
        purpose: "Servers announce what they can do, and some ask for certificates by habit. None of this concerns a member that \
                  authenticates with a shared key.",
        requirements: ["IKE-PAY-010", "IKE-PAY-011", "IKE-MM-015", "IKE-HDR-015"],
        sources: ["RFC 2408 §3.10", "RFC 2408 §3.16", "RFC 2408 §3.1"],
        catches: ["ike_certreq_refused", "ike_commit_stalls"],
        cost: 20,
        run: tolerated,
    },
    case! {
        "IKEI-028", "gdoi.robustness", Should, Gm,
        title: "an answer of hundreds of payloads does no harm",
        purpose: "A member that works through whatever it is sent can be kept busy by one datagram of a stranger.",
        requirements: ["IKE-DOS-006"],
        sources: ["RFC 2408 §5.3"],
        catches: ["ike_deaf_after_many_payloads"],
        run: |cx| {
            let many = Tamper::content(|m| (0..400).for_each(|_| edit::push(m, PayloadType::VENDOR_ID, vec![7; 8])));
            harmless(cx, &["IKE-DOS-006"], vec![("400 vendor ids", many)])
        },
    },
    case! {
        "IKEI-029", "gdoi.robustness", Must, Gm,
        title: "an answer with attributes that overrun their transform is refused and does no harm",
        purpose: "This is where parsers break, and message 2 comes from anyone.",
        requirements: ["IKE-SA-022", "IKE-DOS-007"],
        sources: ["RFC 2408 §5.6"],
        catches: ["ike_deaf_after_malformed"],
        cost: 20,
        run: |cx| {
            let tail = |octets: &'static [u8]| Tamper::content(move |m| {
                edit::sa_tree(m, |_, inner| bend_transform(inner, octets));
            });
            let wrong = vec![
                ("an attribute longer than the transform", tail(&[0, 12, 0xff, 0xff, 1, 2])),
                ("an attribute cut in its header", tail(&[0x80])),
                ("an attribute without its length", tail(&[0, 12, 0])),
            ];
            answers_refused(cx, &Trial::new("phase1.attribute-overrun", &["IKE-SA-022", "IKE-DOS-007"], Step::Main2), wrong)
        },
    },
    case! {
        "IKEI-054", "gdoi.robustness", Must, Gm,
        title: "datagrams shorter than a header are dropped",
        purpose: "They belong to no exchange, and an answer to them would make the member a reflector.",
        requirements: ["IKE-HDR-002"],
        sources: ["RFC 2408 §3.1"],
        catches: ["ike_answers_short_datagrams"],
        run: short_datagrams,
    },
];

/// Changes the SA of message 2.
pub(super) fn sa(change: impl Fn(&mut SecurityAssociation) + 'static) -> Tamper {
    Tamper::content(move |message| edit::sa(message, |sa| change(sa)))
}

/// Changes the one transform of message 2.
fn transform(change: impl Fn(&mut Transform) + 'static) -> Tamper {
    sa(move |sa| sa.proposals.iter_mut().flat_map(|proposal| &mut proposal.transforms).for_each(&change))
}

/// Puts octets behind the attributes of the first transform.
fn bend_transform(proposals: &mut [hallmark_wire::raw::RawPayload], octets: &[u8]) {
    let Some(transforms) = proposals.first_mut().and_then(|proposal| proposal.children_mut()) else { return };
    let Some(first) = transforms.first_mut() else { return };
    let body = [first.body_octets().as_slice(), octets].concat();
    first.body = hallmark_wire::raw::RawBody::Octets(body);
}

/// Applies a change to the first payload of a message.
fn first(message: &mut RawMessage, change: fn(&mut RawMessage, PayloadType, u8)) {
    if let Some(kind) = message.payloads.first().map(|payload| PayloadType(payload.kind)) {
        change(message, kind, 1);
    }
}

/// Answers wrongly with message 2, and in further attempts with message 4.
fn both(cx: &mut Cx<'_>, check: &str, requirements: &[&str], wrong: impl Fn() -> Vec<Wrong>) -> Flow {
    answers_refused(cx, &Trial::new(check, requirements, Step::Main2), wrong())?;
    answers_refused(cx, &Trial::new(check, requirements, Step::Main4), wrong())
}

fn reencoded(cx: &mut Cx<'_>) -> Flow {
    type Form = fn(&mut Attributes);
    let forms: [(&str, Form); 3] = [
        ("in two octets", |a| attributes::to_basic(a, class::LIFE_DURATION)),
        ("in four octets", |a| attributes::to_variable(a, class::LIFE_DURATION, 4)),
        ("in eight octets", |a| attributes::to_variable(a, class::LIFE_DURATION, 8)),
    ];
    for (what, form) in forms {
        let mut scene = start(cx, |setup| setup.phase1.lifetime_secs = 3_600, |_| {})?;
        scene.ks.tamper(Step::Main2, transform(move |t| form(&mut t.attributes)));
        completes(cx, "phase1.reencoded-answer-accepted", &["IKE-SA-018"], what, &mut scene)?;
    }
    Ok(())
}

fn short_datagrams(cx: &mut Cx<'_>) -> Flow {
    let mut scene = crate::scene::GmScene::standard(cx)?;
    scene.register(cx)?;
    scene.ks.serve_for(cx.world, WINDOW);
    let before = scene.ks.log.entries.len();
    let (own, subject) = (scene.ks.script.me, cx.subject());
    for octets in [0, 1, 4, 27] {
        cx.world.send(Datagram::new(own, subject, vec![1; octets]));
    }
    scene.ks.serve_for(cx.world, WINDOW);
    let came = scene.ks.log.entries.get(before..).unwrap_or_default().to_vec();
    cx.silence("phase1.short-datagrams-dropped", &["IKE-HDR-002"], came.is_empty(), "nothing", words(&came));
    scene.finish(cx)
}

fn payload_lengths(cx: &mut Cx<'_>) -> Flow {
    let lengths = || -> Vec<Wrong> {
        let set = |length: u16| {
            Tamper::content(move |m| {
                if let Some(kind) = m.payloads.last().map(|payload| PayloadType(payload.kind)) {
                    edit::set_length(m, kind, length);
                }
            })
        };
        vec![("0", set(0)), ("3", set(3)), ("65535", set(u16::MAX))]
    };
    let one_more: Vec<Wrong> =
        vec![("one more than there is", Tamper::content(|m| edit::add_length(m, PayloadType::NONCE, 1)))];
    let check = "phase1.answer-payload-length";
    // Message 4 ends with its nonce when there is no NAT-D: the cases that add one octet need the last payload.
    answers_refused(cx, &Trial::new(check, &["IKE-PAY-001"], Step::Main2), lengths())?;
    answers_refused(cx, &Trial::new(check, &["IKE-PAY-001"], Step::Main4), lengths())?;
    super::kit::answers_refused_by(cx, &Trial::new(check, &["IKE-PAY-001"], Step::Main4), one_more, &mut |cx| {
        start(cx, |_| {}, |script| script.vendor_ids.clear())
    })
}

fn tolerated(cx: &mut Cx<'_>) -> Flow {
    let requests = |m: &mut RawMessage| edit::push(m, PayloadType::CERT_REQ, vec![4]);
    answers_accepted(
        cx,
        "phase1.vendor-ids-ignored",
        &["IKE-PAY-011"],
        vec![
            (
                "ten unknown vendor ids",
                Step::Main2,
                Tamper::content(|m| {
                    (0..10).for_each(|n| edit::push(m, PayloadType::VENDOR_ID, vec![n; 16]));
                }),
            ),
            (
                "a vendor id without octets",
                Step::Main2,
                Tamper::content(|m| edit::push(m, PayloadType::VENDOR_ID, Vec::new())),
            ),
        ],
    )?;
    answers_accepted(
        cx,
        "phase1.request-ignored",
        &["IKE-PAY-010", "IKE-MM-015"],
        vec![
            ("a certificate request in message 2", Step::Main2, Tamper::content(requests)),
            ("a certificate request in message 4", Step::Main4, Tamper::content(requests)),
        ],
    )?;
    answers_accepted(
        cx,
        "phase1.commit-flag-tolerated",
        &["IKE-HDR-015"],
        vec![
            ("message 2 with the commit flag", Step::Main2, Tamper::wire(|o| octets::set_flags(o, 2))),
            ("message 6 with the commit flag", Step::Main6, Tamper::wire(|o| octets::set_flags(o, 3))),
        ],
    )
}

/// Sends what may be refused or understood; the member must register afterwards in either case.
fn harmless(cx: &mut Cx<'_>, requirements: &[&str], odd: Vec<Wrong>) -> Flow {
    for (what, tamper) in odd {
        let mut scene = crate::scene::GmScene::standard(cx)?;
        scene.ks.tamper(Step::Main2, tamper);
        super::kit::reach(cx, &mut scene.ks, Step::Main1)?;
        scene.ks.serve_for(cx.world, WINDOW);
        let registered = scene.ks.log.registrations > 0;
        if registered {
            scene.ks.untamper();
            scene.finish(cx)?;
        } else {
            super::kit::registers(cx, requirements, what, &mut scene)?;
        }
        cx.check("phase1.odd-answer-harmless", requirements, true, "the member goes on working", what);
    }
    Ok(())
}
