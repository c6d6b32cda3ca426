//! Message 1: header, payload chain and the offer in it.

use hallmark_catalogue::{Check, Confidence, Level};
use hallmark_probe::edit;
use hallmark_probe::edit::attributes;
use hallmark_probe::step::{Fault, Step};
use hallmark_probe::suite::class;
use hallmark_probe::tamper::{Tamper, octets};
use hallmark_wire::isakmp::{Attribute, PayloadType, Transform};

use super::kit::{WINDOW, lead_to, offers_accepted, offers_refused, refuse_offers, send, sent, still_answers, words};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKER-001", "gdoi.phase1", Must, Ks,
        title: "message 1 whose Length is not its size is dropped",
        purpose: "A server that trusts either number reads past the datagram or acts on half a message.",
        requirements: ["IKE-HDR-001"],
        sources: ["RFC 2408 §5.1"],
        catches: ["ike_length_not_checked"],
        run: length_mismatch,
    },
    case! {
        "IKER-002", "gdoi.phase1", Must, Ks,
        title: "datagrams shorter than a header are dropped",
        purpose: "Anything on port 848 that cannot be ISAKMP must cost nothing and be answered with nothing.",
        requirements: ["IKE-HDR-002"],
        sources: ["RFC 2408 §3.1"],
        catches: ["ike_answers_short_datagrams"],
        needs: [ManyAddresses],
        run: short_datagrams,
    },
    case! {
        "IKER-003", "gdoi.phase1", Should, Ks,
        title: "another major version is not served",
        purpose: "Version 2 is another protocol; answering it as version 1 confuses both ends.",
        requirements: ["IKE-HDR-004"],
        sources: ["RFC 2408 §5.2"],
        catches: ["ike_accepts_major_version"],
        run: |cx| offers_refused(cx, "phase1.major-version-refused", &["IKE-HDR-004"], vec![
            ("version 2.0", Tamper::wire(|o| octets::set_version(o, 0x20))),
            ("version 15.0", Tamper::wire(|o| octets::set_version(o, 0xf0))),
        ]),
    },
    case! {
        "IKER-004", "gdoi.phase1", Should, Ks,
        title: "another minor version is not served",
        purpose: "A newer minor version may change what the octets mean.",
        requirements: ["IKE-HDR-005"],
        sources: ["RFC 2408 §5.2"],
        catches: ["ike_accepts_minor_version"],
        run: |cx| offers_refused(cx, "phase1.minor-version-refused", &["IKE-HDR-005"], vec![
            ("version 1.1", Tamper::wire(|o| octets::set_version(o, 0x11))),
        ]),
    },
    case! {
        "IKER-005", "gdoi.phase1", Must, Ks,
        title: "exchange types that are not served are discarded",
        purpose: "Only main mode opens a conversation with a key server; every other number must not.",
        requirements: ["IKE-HDR-006"],
        sources: ["RFC 2408 §5.2"],
        catches: ["ike_serves_unknown_exchange"],
        run: |cx| offers_refused(cx, "phase1.exchange-type-refused", &["IKE-HDR-006"], vec![
            ("exchange 0", Tamper::wire(|o| octets::set_exchange(o, 0))),
            ("exchange 1", Tamper::wire(|o| octets::set_exchange(o, 1))),
            ("exchange 3", Tamper::wire(|o| octets::set_exchange(o, 3))),
            ("exchange 31", Tamper::wire(|o| octets::set_exchange(o, 31))),
            ("exchange 240", Tamper::wire(|o| octets::set_exchange(o, 240))),
            ("exchange 255", Tamper::wire(|o| octets::set_exchange(o, 255))),
        ]),
    },
    case! {
        "IKER-006", "gdoi.phase1", Must, Ks,
        title: "reserved flag bits discard the message",
        purpose: "The bits have no meaning yet; a server that ignores them will misread whoever gives them one.",
        requirements: ["IKE-HDR-007"],
        sources: ["RFC 2408 §3.1", "RFC 2408 §5.2"],
        catches: ["ike_accepts_reserved_flags"],
        run: |cx| offers_refused(cx, "phase1.reserved-flags-refused", &["IKE-HDR-007"], vec![
            ("flags 08", Tamper::wire(|o| octets::set_flags(o, 0x08))),
            ("flags f8", Tamper::wire(|o| octets::set_flags(o, 0xf8))),
        ]),
    },
    case! {
        "IKER-007", "gdoi.phase1", Must, Ks,
        title: "phase 1 with a message id is discarded",
        purpose: "The message id selects later exchanges; one in phase 1 would make two exchanges of one.",
        requirements: ["IKE-HDR-008"],
        sources: ["RFC 2408 §3.1"],
        catches: ["ike_accepts_phase1_message_id"],
        run: |cx| offers_refused(cx, "phase1.message-id-refused", &["IKE-HDR-008"], vec![
            ("message id 1", Tamper::wire(|o| octets::set_message_id(o, 1))),
        ]),
    },
    case! {
        "IKER-008", "gdoi.phase1", Must, Ks,
        title: "an encryption flag in message 1 discards it",
        purpose: "There is no key yet; a flag that is ignored here is a flag that is ignored later.",
        requirements: ["IKE-HDR-009"],
        sources: ["RFC 2408 §5.2"],
        catches: ["ike_encryption_flag_ignored"],
        run: |cx| offers_refused(cx, "phase1.early-encryption-refused", &["IKE-HDR-009"], vec![
            ("flags 01", Tamper::wire(|o| octets::set_flags(o, 0x01))),
        ]),
    },
    case! {
        "IKER-009", "gdoi.phase1", Must, Ks,
        title: "an impossible first payload discards message 1",
        purpose: "The chain must begin with the SA; a wrong type in the header says that the octets are something \
                  else.",
        requirements: ["IKE-HDR-011", "IKE-PAY-013"],
        sources: ["RFC 2408 §5.2", "RFC 2408 §3.4"],
        catches: ["ike_first_payload_ignored"],
        run: |cx| offers_refused(cx, "phase1.first-payload-refused", &["IKE-HDR-011", "IKE-PAY-013"], vec![
            ("first payload 0", Tamper::wire(|o| octets::set_next_payload(o, 0))),
            ("first payload 2", Tamper::wire(|o| octets::set_next_payload(o, 2))),
            ("first payload 3", Tamper::wire(|o| octets::set_next_payload(o, 3))),
            ("first payload 127", Tamper::wire(|o| octets::set_next_payload(o, 127))),
        ]),
    },
    case! {
        "IKER-010", "gdoi.phase1", Must, Ks,
        title: "impossible payload lengths discard message 1 and harm nobody",
        purpose: "A length of 0 loops a careless parser for ever, a length beyond the message reads foreign memory.",
        requirements: ["IKE-PAY-001"],
        sources: ["RFC 2408 §5.1", "RFC 2408 §5.3"],
        catches: ["ike_payload_length_clamped", "ike_deaf_after_zero_length"],
        run: payload_lengths,
    },
    case! {
        "IKER-011", "gdoi.phase1", Should, Ks,
        title: "a reserved octet that is not zero discards the message",
        purpose: "IKEv1 has no critical bit; a set reserved octet means that sender and receiver disagree on the \
                  format.",
        requirements: ["IKE-PAY-003"],
        sources: ["RFC 2408 §2.5.2", "RFC 2408 §5.3"],
        catches: ["ike_accepts_reserved_nonzero"],
        run: |cx| offers_refused(cx, "phase1.reserved-octet-refused", &["IKE-PAY-003"], vec![
            ("SA reserved 1", Tamper::content(|m| edit::set_reserved(m, PayloadType::SA, 1))),
            ("VID reserved 80", Tamper::content(|m| edit::set_reserved(m, PayloadType::VENDOR_ID, 0x80))),
        ]),
    },
    case! {
        "IKER-012", "gdoi.phase1", Must, Ks,
        title: "a chain that promises one more payload is discarded",
        purpose: "The last Next Payload is the only end mark that a chain has.",
        requirements: ["IKE-PAY-004"],
        sources: ["RFC 2408 §5.3"],
        catches: ["ike_accepts_dangling_next"],
        run: |cx| offers_refused(cx, "phase1.dangling-next-refused", &["IKE-PAY-004"], vec![
            ("last payload names a VID", Tamper::content(|m| edit::dangle(m, 13))),
        ]),
    },
    case! {
        "IKER-013", "gdoi.phase1", Must, Ks,
        title: "reserved payload types discard the message",
        purpose: "Types 23 to 127 are not assigned; processing around them accepts what nobody has defined.",
        requirements: ["IKE-PAY-005"],
        sources: ["RFC 2408 §5.3"],
        catches: ["ike_accepts_reserved_payloads"],
        run: |cx| offers_refused(cx, "phase1.reserved-payload-refused", &["IKE-PAY-005"], vec![
            ("type 100", Tamper::content(|m| edit::push(m, PayloadType(100), vec![0; 8]))),
            ("type 127", Tamper::content(|m| edit::push(m, PayloadType(127), Vec::new()))),
        ]),
    },
    case! {
        "IKER-014", "gdoi.phase1", Must, Ks,
        title: "unknown, empty and many vendor ids are ignored",
        purpose: "Every product announces itself in its own way; a server that trips over one loses that vendor's \
                  members.",
        requirements: ["IKE-PAY-011"],
        sources: ["RFC 2408 §3.16"],
        catches: ["ike_unknown_vendor_id_refused"],
        run: |cx| offers_accepted(cx, "phase1.vendor-ids-ignored", &["IKE-PAY-011"], vec![
            ("ten unknown vendor ids", Tamper::content(|m| {
                for n in 0..10 { edit::push(m, PayloadType::VENDOR_ID, vec![0xa0 + n; 16]); }
            })),
            ("an empty vendor id", Tamper::content(|m| edit::push(m, PayloadType::VENDOR_ID, Vec::new()))),
        ]),
    },
    case! {
        "IKER-015", "gdoi.phase1", Must, Ks,
        title: "a certificate request is accepted in any message",
        purpose: "Members with several methods ask for certificates early; with a pre-shared key the request means \
                  nothing.",
        requirements: ["IKE-PAY-010", "IKE-MM-015"],
        sources: ["RFC 2408 §3.10"],
        catches: ["ike_certreq_refused"],
        run: |cx| offers_accepted(cx, "phase1.certreq-accepted", &["IKE-PAY-010", "IKE-MM-015"], vec![
            ("request in message 1", Tamper::content(|m| edit::push(m, PayloadType::CERT_REQ, vec![4]))),
        ]),
    },
    case! {
        "IKER-016", "gdoi.phase1", Must, Ks,
        title: "two SAs or two proposals in phase 1 are refused",
        purpose: "Phase 1 negotiates one thing; a second proposal is where a downgrade hides.",
        requirements: ["IKE-SA-001"],
        sources: ["RFC 2409 §5"],
        catches: ["ike_accepts_two_proposals"],
        run: |cx| offers_refused(cx, "phase1.one-proposal", &["IKE-SA-001"], vec![
            ("two proposals", Tamper::content(|m| edit::sa(m, |sa| {
                if let Some(first) = sa.proposals.first().cloned() {
                    sa.proposals.push(hallmark_wire::isakmp::Proposal { number: 2, ..first });
                }
            }))),
        ]),
    },
    case! {
        "IKER-017", "gdoi.phase1", Must, Ks,
        title: "the answer holds one proposal with one transform, as offered",
        purpose: "A member checks the answer against its offer; an answer that is edited or padded with more ends the \
                  exchange.",
        requirements: ["IKE-SA-002", "IKE-SA-003", "IKE-SA-004", "IKE-SA-016", "IKE-LIFE-002"],
        sources: ["RFC 2408 §4.2", "RFC 2409 §5"],
        catches: ["ike_answers_every_transform", "ike_alters_lifetime", "ike_renumbers_transform"],
        run: answer_is_one_of_the_offers,
    },
    case! {
        "IKER-018", "gdoi.phase1", Must, Ks,
        title: "an unknown transform or attribute takes out that transform only",
        purpose: "New suites reach the field through offers that old servers do not understand; they must pick the one \
                  they do.",
        requirements: ["IKE-SA-006", "IKE-SA-023"],
        sources: ["RFC 2408 §5.6"],
        catches: ["ike_unknown_transform_id_fatal", "ike_unknown_attribute_fatal"],
        run: unknown_then_good,
    },
    case! {
        "IKER-019", "gdoi.phase1", Must, Ks,
        title: "a proposal for another protocol is discarded",
        purpose: "Phase 1 negotiates ISAKMP and nothing else.",
        requirements: ["IKE-SA-007"],
        sources: ["RFC 2408 §5.5"],
        catches: ["ike_accepts_any_protocol"],
        run: |cx| offers_refused(cx, "phase1.protocol-refused", &["IKE-SA-007"], vec![
            ("protocol 3", Tamper::content(|m| edit::sa(m, |sa| sa.proposals.iter_mut().for_each(|p| p.protocol = 3)))),
        ]),
    },
    case! {
        "IKER-020", "gdoi.phase1", Must, Ks,
        title: "a proposal SPI of up to 16 octets is ignored",
        purpose: "Some implementations send the cookies there; they mean nothing in phase 1.",
        requirements: ["IKE-SA-008"],
        sources: ["RFC 2408 §3.5"],
        catches: ["ike_refuses_proposal_spi"],
        run: |cx| {
            let spi = |len: usize| {
                Tamper::content(move |m| edit::sa(m, |sa| sa.proposals.iter_mut().for_each(|p| p.spi = vec![1; len])))
            };
            offers_accepted(cx, "phase1.proposal-spi-ignored", &["IKE-SA-008"], vec![
                ("SPI of 8 octets", spi(8)),
                ("SPI of 16 octets", spi(16)),
            ])
        },
    },
    case! {
        "IKER-021", "gdoi.phase1", Must, Ks,
        title: "a transform count that does not fit its proposal is refused",
        purpose: "Count and content must agree, or sender and receiver see two different offers.",
        requirements: ["IKE-SA-009"],
        sources: ["RFC 2408 §3.5", "RFC 2408 §5.5"],
        catches: ["ike_transform_count_ignored"],
        run: |cx| offers_refused(cx, "phase1.transform-count-refused", &["IKE-SA-009"], vec![
            // The count stands 8 octets into the proposal, which starts 8 octets into the SA body.
            ("one transform too many", Tamper::content(|m| edit::body(m, PayloadType::SA, |body| set(body, 15, 9)))),
            ("no transform", Tamper::content(|m| edit::body(m, PayloadType::SA, |body| set(body, 15, 0)))),
        ]),
    },
    case! {
        "IKER-022", "gdoi.phase1", Must, Ks,
        title: "an unsupported DOI is discarded",
        purpose: "The DOI decides what everything after it means; only GDOI has group keys.",
        requirements: ["IKE-SA-010"],
        sources: ["RFC 2408 §5.4", "RFC 6407 §2.1"],
        catches: ["ike_accepts_any_doi"],
        run: |cx| offers_refused(cx, "phase1.doi-refused", &["IKE-SA-010"], vec![
            ("DOI 99", Tamper::content(|m| edit::sa(m, |sa| sa.doi = 99))),
        ]),
    },
    case! {
        "IKER-023", "gdoi.phase1", Should, Ks,
        title: "an unsupported situation is discarded",
        purpose: "Under the GDOI DOI the situation is zero; another value asks for what the server does not do.",
        requirements: ["IKE-SA-013"],
        sources: ["RFC 2408 §5.4"],
        catches: ["ike_accepts_any_situation"],
        run: |cx| offers_refused(cx, "phase1.situation-refused", &["IKE-SA-013"], vec![
            ("situation 7", Tamper::content(|m| edit::sa(m, |sa| sa.situation = 7))),
        ]),
    },
    case! {
        "IKER-024", "gdoi.phase1", Must, Ks,
        title: "a transform without hash, method or group is not acceptable",
        purpose: "What the offer leaves out must not be guessed: both ends would have to guess the same.",
        requirements: ["IKE-SA-015"],
        sources: ["RFC 2409 §4"],
        catches: ["ike_missing_attribute_defaulted"],
        run: |cx| offers_refused(cx, "phase1.attribute-missing-refused", &["IKE-SA-015"], vec![
            ("no hash", Tamper::content(|m| edit::transform(m, 0, |a| attributes::remove(a, class::HASH)))),
            ("no method", Tamper::content(|m| edit::transform(m, 0, |a| attributes::remove(a, class::AUTHENTICATION)))),
            ("no group", Tamper::content(|m| edit::transform(m, 0, |a| attributes::remove(a, class::GROUP)))),
        ]),
    },
    case! {
        "IKER-025", "gdoi.phase1", Must, Ks,
        title: "a life duration is accepted in short and in long form",
        purpose: "Implementations differ in the form of this one attribute; both are legal for the same value.",
        requirements: ["IKE-SA-017"],
        sources: ["RFC 2409 App. A"],
        catches: ["ike_variable_as_tv_refused"],
        run: |cx| offers_accepted(cx, "phase1.life-duration-forms", &["IKE-SA-017"], vec![
            ("3600 s as TV", Tamper::content(|m| edit::transform(m, 0, |a| {
                attributes::set(a, class::LIFE_DURATION, 3600);
            }))),
            ("2 octets as TLV", Tamper::content(|m| edit::transform(m, 0, |a| {
                attributes::set(a, class::LIFE_DURATION, 3600);
                attributes::to_variable(a, class::LIFE_DURATION, 2);
            }))),
        ]),
    },
    case! {
        "IKER-026", "gdoi.phase1", Must, Ks,
        title: "an AES key length that AES does not have is refused",
        purpose: "A server that rounds 129 bits to something derives other keys than its member.",
        requirements: ["IKE-SA-019"],
        sources: ["RFC 3602 §5.3"],
        catches: ["ike_accepts_any_key_length", "ike_omits_key_length"],
        run: key_lengths,
    },
    case! {
        "IKER-027", "gdoi.phase1", Must, Ks,
        title: "one transform that says two things is refused",
        purpose: "With a class given twice the two ends may each take another value.",
        requirements: ["IKE-SA-025"],
        sources: ["RFC 2409 App. A"],
        catches: ["ike_duplicate_attribute_accepted"],
        run: |cx| offers_refused(cx, "phase1.duplicate-attribute-refused", &["IKE-SA-025"], vec![
            ("AES and DES", Tamper::content(|m| edit::transform(m, 0, |a| attributes::add(a, class::ENCRYPTION, 1)))),
        ]),
    },
    case! {
        "IKER-028", "gdoi.phase1", Should, Ks,
        title: "a missing or absurd lifetime does no harm",
        purpose: "The lifetime is only a wish; a zero or a 128-bit number must end as the server's own limit.",
        requirements: ["IKE-LIFE-003", "IKE-LIFE-004", "IKE-SA-026"],
        sources: ["RFC 2409 App. A", "RFC 2408 §3.3"],
        catches: ["ike_lifetime_required", "ike_zero_lifetime_taken"],
        run: odd_lifetimes,
    },
    case! {
        "IKER-029", "gdoi.phase1", Must, Ks,
        title: "a zero initiator cookie is dropped",
        purpose: "All half-open state is found by this cookie.",
        requirements: ["IKE-CKY-003"],
        sources: ["RFC 2408 §5.2"],
        catches: ["ike_zero_cookie_accepted"],
        run: |cx| offers_refused(cx, "phase1.zero-cookie-refused", &["IKE-CKY-003"], vec![
            ("CKY-I zero", Tamper::content(|m| m.initiator_cookie = [0; 8])),
        ]),
    },
    case! {
        "IKER-030", "gdoi.phase1", Must, Ks,
        title: "a message under cookies that name no SA is dropped",
        purpose: "Only the server chooses its cookie; a foreign one belongs to an SA that does not exist, and \
                  answering it makes state and work for anyone.",
        requirements: ["IKE-CKY-004", "IKE-CKY-005"],
        sources: ["RFC 2408 §5.2"],
        catches: ["ike_foreign_responder_cookie_accepted"],
        needs: [ManyAddresses],
        run: foreign_cookies,
    },
    case! {
        "IKER-031", "gdoi.phase1", Must, Ks,
        title: "no acceptable transform: no message 2",
        purpose: "A server that answers with something else hands out keys under a suite that nobody agreed on.",
        requirements: ["IKE-SA-002", "IKE-SA-021", "IKE-SA-027"],
        sources: ["RFC 2408 §5.4", "RFC 2409 §4"],
        catches: ["ike_accepts_unconfigured_suite"],
        run: nothing_acceptable,
    },
];

fn length_mismatch(cx: &mut Cx<'_>) -> Flow {
    let by = |change: i64| {
        Tamper::wire(move |o| {
            let length = u32::try_from(o.len() as i64 + change).unwrap_or(0);
            octets::set_length(o, length);
        })
    };
    offers_refused(
        cx,
        "phase1.length-mismatch-refused",
        &["IKE-HDR-001"],
        vec![
            ("Length + 4", by(4)),
            ("Length - 4", by(-4)),
            ("Length 0", Tamper::wire(|o| octets::set_length(o, 0))),
            ("Length 27", Tamper::wire(|o| octets::set_length(o, 27))),
            ("Length ffffffff", Tamper::wire(|o| octets::set_length(o, u32::MAX))),
        ],
    )
}

fn short_datagrams(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    for (end, len) in (1..).zip([0, 1, 8, 27]) {
        // Another end each time: what comes late for an exchange before must not look like an answer.
        let mut member = scene.member(cx, end);
        member.send_raw(cx.world, vec![0x5a; len]);
        let seen = member.collect(cx.world, WINDOW);
        cx.silence(
            "phase1.short-datagram-dropped",
            &["IKE-HDR-002"],
            seen.is_empty(),
            "nothing",
            format!("{len} octets: {}", words(&seen)),
        );
        still_answers(cx, &scene, &mut member, &["IKE-HDR-002"])?;
    }
    scene.finish(cx)
}

fn payload_lengths(cx: &mut Cx<'_>) -> Flow {
    let lengths = |kind: PayloadType, length: u16| Tamper::content(move |m| edit::set_length(m, kind, length));
    offers_refused(
        cx,
        "phase1.payload-length-refused",
        &["IKE-PAY-001"],
        vec![
            ("SA length 0", lengths(PayloadType::SA, 0)),
            ("SA length 3", lengths(PayloadType::SA, 3)),
            ("SA length 65535", lengths(PayloadType::SA, u16::MAX)),
            ("VID length 0", lengths(PayloadType::VENDOR_ID, 0)),
            ("VID length 1", lengths(PayloadType::VENDOR_ID, 1)),
            (
                "VID one octet too long",
                Tamper::content(|m| {
                    let last = m.payloads.len().saturating_sub(1);
                    if let Some(payload) = m.payloads.get_mut(last) {
                        payload.length = hallmark_wire::raw::Field::Force(21);
                    }
                }),
            ),
        ],
    )
}

fn key_lengths(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let bits =
        |bits: u16| Tamper::content(move |m| edit::transform(m, 0, |a| attributes::set(a, class::KEY_LENGTH, bits)));
    refuse_offers(
        cx,
        &scene,
        "phase1.key-length-refused",
        &["IKE-SA-019"],
        vec![
            ("key length 0", bits(0)),
            ("key length 127", bits(127)),
            ("key length 129", bits(129)),
            ("key length 512", bits(512)),
        ],
    )?;
    let mut member = scene.member(cx, 1);
    member
        .tamper(Step::Main1, Tamper::content(|m| edit::transform(m, 0, |a| attributes::remove(a, class::KEY_LENGTH))));
    sent(member.send_main1(cx.world))?;
    let seen = member.collect(cx.world, WINDOW);
    let served = seen.iter().any(|seen| seen.step == Step::Main2);
    // Only the sender is bound to give the length; refusing an offer without it is this project's advice.
    let check = Check::new("phase1.key-length-not-guessed", &["IKE-SA-019"]).level(Level::Should).at(cx.world.now());
    cx.record(check.silence(!served, "no message 2", words(&seen), Confidence::WireAndControl));
    still_answers(cx, &scene, &mut member, &["IKE-SA-019"])?;
    scene.finish(cx)
}

fn foreign_cookies(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let made_up = || Tamper::wire(|o| octets::set_responder_cookie(o, [7; 8]));
    refuse_offers(cx, &scene, "phase1.foreign-cookie-refused", &["IKE-CKY-004"], vec![("CKY-R made up", made_up())])?;
    let both = || {
        Tamper::wire(|o| {
            octets::set_initiator_cookie(o, [9; 8]);
            octets::set_responder_cookie(o, [7; 8]);
        })
    };
    let exchange =
        |kind: u8| both().and_wire(move |o| octets::set_exchange(o, kind)).and_wire(|o| octets::set_message_id(o, 77));
    for (end, what, step, tamper) in [
        (2, "message 3", Step::Main3, both()),
        (3, "message 5", Step::Main5, both()),
        (4, "message 5, own CKY-I", Step::Main5, made_up()),
        (5, "GROUPKEY-PULL", Step::Main5, exchange(32)),
        (6, "Informational", Step::Main5, exchange(5)),
    ] {
        let mut member = scene.member(cx, end);
        lead_to(cx, &mut member, step)?;
        member.tamper(step, tamper);
        sent(send(cx, &mut member, step))?;
        let seen = member.collect(cx.world, WINDOW);
        // A clear notification is allowed, and so are copies of what was answered before.
        let served = seen.iter().any(|seen| !seen.repeat && seen.error_notify().is_none());
        let observed = format!("{what}: {}", words(&seen));
        cx.silence("phase1.unknown-cookies-dropped", &["IKE-CKY-005"], !served, "no answer", observed);
        still_answers(cx, &scene, &mut member, &["IKE-CKY-005"])?;
    }
    scene.finish(cx)
}

fn nothing_acceptable(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let suite = |encryption: u16, hash: u16, group: u16, bits: Option<u16>| {
        Tamper::content(move |m| {
            edit::transform(m, 0, |a| {
                attributes::set(a, class::ENCRYPTION, encryption);
                attributes::set(a, class::HASH, hash);
                attributes::set(a, class::GROUP, group);
                match bits {
                    Some(bits) => attributes::set(a, class::KEY_LENGTH, bits),
                    None => attributes::remove(a, class::KEY_LENGTH),
                }
            });
        })
    };
    refuse_offers(
        cx,
        &scene,
        "phase1.no-proposal-chosen",
        &["IKE-SA-002", "IKE-SA-027"],
        vec![
            ("DES, MD5, group 1", suite(1, 1, 1, None)),
            ("3DES, SHA-1, group 2", suite(5, 2, 2, None)),
            ("AES-256 where AES-128 is configured", suite(7, 4, 14, Some(256))),
            ("group 2 where group 14 is configured", suite(7, 4, 2, Some(128))),
        ],
    )?;
    refuse_offers(
        cx,
        &scene,
        "phase1.explicit-group-refused",
        &["IKE-SA-021"],
        vec![
            (
                "a prime of five bits",
                Tamper::content(|m| {
                    edit::transform(m, 0, |a| {
                        attributes::remove(a, class::GROUP);
                        attributes::add(a, 5, 1);
                        a.0.push(Attribute::variable(6, vec![0x1d]));
                        a.0.push(Attribute::variable(7, vec![2]));
                    })
                }),
            ),
            (
                "a prime beside a known group",
                Tamper::content(|m| {
                    edit::transform(m, 0, |a| {
                        a.0.push(Attribute::variable(6, vec![0x1d]));
                    })
                }),
            ),
        ],
    )?;
    scene.finish(cx)
}

fn answer_is_one_of_the_offers(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let mut member = scene.member(cx, 1);
    // Proposal 7 with a transform that the server does not know, then two that it may take.
    member.tamper(
        Step::Main1,
        Tamper::content(|m| {
            edit::sa(m, |sa| {
                for proposal in &mut sa.proposals {
                    proposal.number = 7;
                    let Some(good) = proposal.transforms.first().cloned() else { continue };
                    proposal.transforms = vec![
                        Transform { number: 3, id: 77, ..good.clone() },
                        Transform { number: 5, ..good.clone() },
                        Transform { number: 9, ..good },
                    ];
                }
            })
        }),
    );
    sent(member.send_main1(cx.world))?;
    let answer = member.collect(cx.world, WINDOW).into_iter().find(|seen| seen.step == Step::Main2);
    let answer = cx.have(answer, "no message 2 came")?;
    let sa = cx.have(answer.sa(), "the SA of message 2 does not decode")?;
    let transforms: usize = sa.proposals.iter().map(|proposal| proposal.transforms.len()).sum();
    cx.check(
        "phase1.one-transform-chosen",
        &["IKE-SA-002"],
        sa.proposals.len() == 1 && transforms == 1,
        "one proposal with one transform",
        format!("{} proposals, {transforms} transforms", sa.proposals.len()),
    );
    let Some((proposal, chosen)) = sa.proposals.first().and_then(|p| Some((p, p.transforms.first()?))) else {
        return scene.finish(cx);
    };
    cx.check(
        "phase1.numbers-kept",
        &["IKE-SA-004"],
        proposal.number == 7 && matches!(chosen.number, 5 | 9),
        "proposal 7, transform 5 or 9",
        format!("proposal {}, transform {}", proposal.number, chosen.number),
    );
    let offered = member.script.suites.first().map(|suite| suite.transform(5).attributes);
    let offered = cx.have(offered, "the script has no suite")?;
    let value = |attributes: &hallmark_wire::isakmp::Attributes| {
        let mut pairs: Vec<(u16, Option<u64>)> = attributes.0.iter().map(|a| (a.class, a.as_u64())).collect();
        pairs.sort_unstable();
        pairs
    };
    cx.check(
        "phase1.attributes-unmodified",
        &["IKE-SA-003", "IKE-LIFE-002"],
        value(&offered) == value(&chosen.attributes),
        "the values that were offered",
        format!("offered {:?}, chosen {:?}", value(&offered), value(&chosen.attributes)),
    );
    // Only the life duration may be written either way.
    let long: Vec<u16> = chosen.attributes.0.iter().filter(|a| !a.is_basic()).map(|a| a.class).collect();
    let basic = long.iter().all(|class| *class == class::LIFE_DURATION);
    cx.check("phase1.basic-stays-basic", &["IKE-SA-016"], basic, "basic attributes in short form", format!("{long:?}"));
    scene.finish(cx)
}

fn unknown_then_good(cx: &mut Cx<'_>) -> Flow {
    let before = |change: fn(&mut Transform)| {
        Tamper::content(move |m| {
            edit::sa(m, |sa| {
                for proposal in &mut sa.proposals {
                    let Some(mut unknown) = proposal.transforms.first().cloned() else { continue };
                    change(&mut unknown);
                    for transform in &mut proposal.transforms {
                        transform.number = transform.number.saturating_add(1);
                    }
                    unknown.number = 1;
                    proposal.transforms.insert(0, unknown);
                }
            });
        })
    };
    offers_accepted(
        cx,
        "phase1.unknown-transform-skipped",
        &["IKE-SA-006", "IKE-SA-023"],
        vec![
            ("transform id 77 first", before(|t| t.id = 77)),
            ("private attribute first", before(|t| attributes::add(&mut t.attributes, 16_384, 1))),
            ("cipher 65001 first", before(|t| attributes::set(&mut t.attributes, class::ENCRYPTION, 65_001))),
        ],
    )
}

fn odd_lifetimes(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let odd: Vec<(&str, Tamper)> = vec![
        (
            "no lifetime",
            Tamper::content(|m| {
                edit::transform(m, 0, |a| {
                    attributes::remove(a, class::LIFE_TYPE);
                    attributes::remove(a, class::LIFE_DURATION);
                })
            }),
        ),
        ("lifetime 0", Tamper::content(|m| edit::transform(m, 0, |a| attributes::set(a, class::LIFE_DURATION, 0)))),
        (
            "lifetime of 16 octets",
            Tamper::content(|m| edit::transform(m, 0, |a| attributes::resize(a, class::LIFE_DURATION, 16))),
        ),
        (
            "a duration without its type",
            Tamper::content(|m| edit::transform(m, 0, |a| attributes::remove(a, class::LIFE_TYPE))),
        ),
    ];
    for (index, (what, tamper)) in odd.into_iter().enumerate() {
        let mut member = scene.member(cx, 1);
        member.tamper(Step::Main1, tamper);
        let result = member.register(cx.world);
        // An absent lifetime has to be accepted; an absurd one may be refused, but must not be taken at its word.
        let refused = index > 0 && member.sa.is_none() && result.as_ref().err().is_some_and(Fault::is_refusal);
        let outcome = result.as_ref().map_or_else(ToString::to_string, |_| "registered".to_owned());
        let requirement = ["IKE-LIFE-003", "IKE-LIFE-004", "IKE-LIFE-004", "IKE-SA-026"][index.min(3)];
        let expected = "it registers, or the offer is refused";
        let ok = result.is_ok() || refused;
        cx.check("phase1.odd-lifetime-harmless", &[requirement], ok, expected, format!("{what}: {outcome}"));
    }
    scene.finish(cx)
}

fn set(octets: &mut [u8], index: usize, value: u8) {
    if let Some(octet) = octets.get_mut(index) {
        *octet = value;
    }
}
