//! What a key server's own phase 1 messages look like.

use std::collections::BTreeSet;

use hallmark_catalogue::{Check, Level};
use hallmark_core::Duration;
use hallmark_probe::gm::ProbeGm;
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_wire::isakmp::{Header, IdType, NotifyType, PayloadType, vendor_id};
use hallmark_wire::raw::{RawBody, RawPayload, parse_payloads};

use super::kit::{WINDOW, hears, sent};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::rule::Rule;
use crate::scene::KsScene;

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKER-032", "gdoi.phase1", Must, Ks,
        title: "the server's headers are those of version 1.0 without undefined flags",
        purpose: "A member drops a header that it does not know; a bit that is set today is a feature that breaks \
                  tomorrow.",
        requirements: ["IKE-HDR-003", "IKE-HDR-007", "IKE-HDR-008", "IKE-HDR-012", "IKE-CKY-001"],
        sources: ["RFC 2408 §3.1", "RFC 2408 §2.4"],
        catches: ["ike_emits_minor_version", "ike_emits_reserved_flags"],
        run: headers,
    },
    case! {
        "IKER-033", "gdoi.phase1", Must, Ks,
        title: "messages 2, 4 and 6 hold what main mode says and nothing else",
        purpose: "Members read these three messages by their contents; whatever is missing, doubled or out of place \
                  ends the registration of every strict one.",
        requirements: [
            "IKE-PAY-002", "IKE-PAY-008", "IKE-MM-001", "IKE-MM-002", "IKE-MM-003", "IKE-MM-005", "IKE-MM-014",
            "IKE-SA-012", "IKE-SA-014", "IKE-INF-012", "IKE-INF-014",
        ],
        sources: ["RFC 2409 §5.4", "RFC 2408 §2.5.2"],
        catches: ["ike_sa_not_first", "ike_emits_reserved_payload_octet"],
        run: contents,
    },
    case! {
        "IKER-034", "gdoi.phase1", Must, Ks,
        title: "encrypted messages are whole blocks, padded with zeros, and their Length counts the padding",
        purpose: "A Length that leaves the padding out makes every strict member drop the message as damaged.",
        requirements: ["IKE-HDR-016", "IKE-KEY-011"],
        sources: ["RFC 2409 App. B"],
        catches: ["ike_length_without_padding", "ike_padding_random", "ike_pads_whole_block"],
        run: encrypted_form,
    },
    case! {
        "IKER-035", "gdoi.phase1", Must, Ks,
        title: "nonces and key exchange values are long enough and never used twice",
        purpose: "A repeated nonce or exponent lets a recorded exchange be played again and ties the secrets of all \
                  members together.",
        requirements: ["IKE-MM-007", "IKE-MM-008", "IKE-MM-016"],
        sources: ["RFC 2409 §5", "RFC 2408 §5.13"],
        catches: ["ike_emits_short_nonce", "ike_nonce_reused", "ike_dh_value_reused"],
        run: fresh_values,
    },
    case! {
        "IKER-036", "gdoi.phase1", Must, Ks,
        title: "the server's identity carries no protocol and port of its own",
        purpose: "A member has to abort on any other value, so a server that fills these fields serves no strict \
                  member.",
        requirements: ["IKE-MM-018", "IKE-MM-019", "IKE-AUTH-018"],
        sources: ["RFC 2407 §4.6.2", "RFC 3947 §4"],
        catches: ["ike_emits_id_port"],
        run: own_identity,
    },
];

fn headers(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (member, _) = scene.register(cx, 1)?;
    for seen in &member.log {
        let header = &seen.header;
        let what = seen.step;
        let version = header.version;
        cx.check(
            "phase1.version-emitted",
            &["IKE-HDR-003"],
            version == Header::VERSION,
            "10",
            format!("{what}: {version:02x}"),
        );
        let flags = header.flags;
        cx.check(
            "phase1.flags-emitted",
            &["IKE-HDR-007"],
            flags.undefined_bits() == 0,
            "bits 3 to 7 zero",
            format!("{what}: {:02x}", flags.0),
        );
        let main = matches!(what, Step::Main2 | Step::Main4 | Step::Main6);
        if main {
            let id = header.message_id;
            cx.check("phase1.message-id-emitted", &["IKE-HDR-008"], id == 0, "0", format!("{what}: {id:08x}"));
        }
        let cookies = (header.initiator_cookie, header.responder_cookie);
        let own = member.half_cookies();
        let observed = format!("{what}: {} {}", hex::encode(cookies.0), hex::encode(cookies.1));
        cx.check("phase1.cookie-order", &["IKE-HDR-012"], cookies == own, "CKY-I first, as in phase 1", &observed);
        cx.check("phase1.cookie-not-zero", &["IKE-CKY-001"], cookies.1 != [0; 8], "not zero", &observed);
    }
    scene.finish(cx)
}

fn contents(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    hears(cx, &scene)?;
    let mut member = scene.member(cx, 1);
    // A message that the tester itself cannot take is still in the log, and judged there.
    let result = member.phase1(cx.world);
    member.collect(cx.world, Duration::from_secs(3));
    for step in [Step::Main2, Step::Main4, Step::Main6] {
        let message = member.seen(step).next().cloned();
        let Some(message) = message else { continue };
        reserved_octets(cx, &message);
        kinds(cx, &message);
    }
    if let Some(sa) = member.seen(Step::Main2).next().and_then(Seen::sa) {
        let observed = format!("DOI {}, situation {}, {} proposals", sa.doi, sa.situation, sa.proposals.len());
        cx.check(
            "phase1.answer-layout",
            &["IKE-SA-014"],
            sa.doi == 2 && sa.proposals.len() == 1,
            "DOI 2 with a proposal",
            &observed,
        );
        cx.check("phase1.answer-situation", &["IKE-SA-012"], sa.situation == 0, "situation 0", &observed);
    }
    if let Some(last) = member.seen(Step::Main6).next().cloned() {
        chained_notifies(cx, &member, &last);
    }
    let own = |seen: &&Seen| matches!(seen.step, Step::Main2 | Step::Main4 | Step::Main6) && !seen.repeat;
    let count = member.log.iter().filter(own).count();
    let complete = result.is_ok();
    cx.check("phase1.six-messages", &["IKE-MM-001"], !complete || count == 3, "three messages from the server", count);
    cx.check(
        "phase1.contents-usable",
        &["IKE-MM-002", "IKE-MM-003", "IKE-MM-005"],
        complete,
        "phase 1 completes",
        result.as_ref().map_or_else(ToString::to_string, |_| "established".to_owned()),
    );
    scene.finish(cx)
}

/// Judges what stands beside the proof in message 6.
fn chained_notifies(cx: &mut Cx<'_>, member: &ProbeGm, message: &Seen) {
    let notifies = message.notifies();
    let kinds: Vec<String> = notifies.iter().map(|notify| notify.kind.to_string()).collect();
    let observed = if kinds.is_empty() { "no notification".to_owned() } else { kinds.join(", ") };
    let error = notifies.iter().any(|notify| notify.kind.is_error());
    cx.check("phase1.errors-not-chained", &["IKE-INF-012"], !error, "no error notification in message 6", observed);
    let Some(sa) = member.sa.as_ref() else { return };
    for contact in notifies.iter().filter(|notify| notify.kind == NotifyType::INITIAL_CONTACT) {
        let ok = contact.spi == sa.spi() && contact.data.is_empty();
        let observed = format!("SPI {}, {} octets of data", hex::encode(&contact.spi), contact.data.len());
        cx.check("phase1.initial-contact-form", &["IKE-INF-014"], ok, "both cookies and no data", observed);
    }
}

fn reserved_octets(cx: &mut Cx<'_>, message: &Seen) {
    fn worst(payloads: &[RawPayload]) -> u8 {
        let inner = |payload: &RawPayload| match &payload.body {
            RawBody::Nested { prefix, children } => {
                // A transform begins with number, identifier and two reserved octets.
                let transform = if payload.kind == PayloadType::TRANSFORM.0 { prefix.get(2..4) } else { None };
                transform.unwrap_or_default().iter().fold(worst(children), |all, octet| all | octet)
            }
            RawBody::Octets(octets) if payload.kind == PayloadType::TRANSFORM.0 => {
                octets.get(2..4).unwrap_or_default().iter().fold(0, |all, octet| all | octet)
            }
            RawBody::Octets(_) => 0,
        };
        payloads.iter().fold(0, |all, payload| all | payload.reserved | inner(payload))
    }
    let Ok(payloads) = parse_payloads(message.header.next, &message.plain, true) else { return };
    let bits = worst(&payloads);
    cx.check(
        "phase1.reserved-zero",
        &["IKE-PAY-002"],
        bits == 0,
        "every reserved octet zero",
        format!("{}: {bits:02x}", message.step),
    );
}

fn kinds(cx: &mut Cx<'_>, message: &Seen) {
    let Ok(payloads) = parse_payloads(message.header.next, &message.plain, false) else { return };
    let kinds: Vec<PayloadType> = payloads.iter().map(|payload| PayloadType(payload.kind)).collect();
    let count = |kind: PayloadType| kinds.iter().filter(|seen| **seen == kind).count();
    let (requirement, once, further): (&str, &[PayloadType], &[PayloadType]) = match message.step {
        Step::Main2 => ("IKE-MM-002", &[PayloadType::SA], &[]),
        Step::Main4 => {
            ("IKE-MM-003", &[PayloadType::KE, PayloadType::NONCE], &[PayloadType::NAT_D, PayloadType::CERT_REQ])
        }
        _ => ("IKE-MM-005", &[PayloadType::ID, PayloadType::HASH], &[PayloadType::NOTIFY]),
    };
    let stranger = |kind: &&PayloadType| {
        !(once.contains(kind) || further.contains(kind) || **kind == PayloadType::VENDOR_ID || kind.is_private())
    };
    let ok = once.iter().all(|kind| count(*kind) == 1) && !kinds.iter().any(|kind| stranger(&kind));
    let names: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    let observed = format!("{}: {}", message.step, names.join(", "));
    let expected = "each mandatory payload once, and none that does not belong there";
    cx.check("phase1.message-contents", &[requirement], ok, expected, &observed);
    if message.step == Step::Main2 {
        cx.check("phase1.sa-first", &["IKE-PAY-008"], kinds.first() == Some(&PayloadType::SA), "SA first", &observed);
    }
    if message.step == Step::Main6 {
        let protected = message.protected;
        cx.check(
            "phase1.message-6-encrypted",
            &["IKE-MM-014"],
            protected,
            "encrypted",
            if protected { "encrypted" } else { "clear" },
        );
    }
}

fn encrypted_form(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    hears(cx, &scene)?;
    let mut member = scene.member(cx, 1);
    // A message that the tester itself cannot open is still in the log, and judged there.
    let result = member.register(cx.world);
    if result.is_ok() && member.peer_vendor_ids().iter().any(|id| id.starts_with(&vendor_id::DPD[..14])) {
        // One more encrypted message, of a length that no block divides. Whether it comes is not judged here.
        let _ = member.ping(cx.world, 1, WINDOW);
    }
    let block = member.sa.as_ref().map_or(16, |sa| sa.suite.cipher.block_len());
    for seen in member.log.clone().iter().filter(|seen| seen.protected && seen.step != Step::Push) {
        let (what, body, length) = (seen.step, seen.body_octets().len(), seen.header.length);
        let whole = body > 0 && body.is_multiple_of(block) && usize::try_from(length).ok() == Some(Header::LEN + body);
        let observed = format!("{what}: {body} octets, Length {length}");
        cx.check("phase1.length-counts-padding", &["IKE-HDR-016"], whole, "28 + k blocks, both alike", observed);
        if seen.payloads.is_empty() {
            continue;
        }
        let zeros = seen.padding.iter().all(|octet| *octet == 0) && seen.padding.len() < block;
        let observed = format!("{what}: {} octets {}", seen.padding.len(), hex::encode(&seen.padding));
        cx.check("phase1.padding", &["IKE-KEY-011"], zeros, "zeros, less than a block", observed);
    }
    let complete = result.as_ref().map_or_else(ToString::to_string, |_| "registered".to_owned());
    cx.check(
        "phase1.encrypted-messages-usable",
        &["IKE-HDR-016"],
        result.is_ok(),
        "a registration completes",
        complete,
    );
    scene.finish(cx)
}

fn fresh_values(cx: &mut Cx<'_>) -> Flow {
    const EXCHANGES: usize = 6;
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let mut nonces = BTreeSet::new();
    let mut values = BTreeSet::new();
    let mut count = 0;
    for n in 0..EXCHANGES {
        let mut member = scene.member(cx, u8::from(n % 2 == 1) + 1);
        sent(member.phase1(cx.world))?;
        let Some(message) = member.seen(Step::Main4).next() else { continue };
        let nonce = message.nonce().unwrap_or_default().to_vec();
        let value = message.body(PayloadType::KE).unwrap_or_default().to_vec();
        let len = nonce.len();
        cx.check("phase1.nonce-length-emitted", &["IKE-MM-007"], (8..=256).contains(&len), "8 to 256 octets", len);
        cx.check("phase1.key-exchange-width", &["IKE-MM-008"], value.len() == 256, "256 octets", value.len());
        nonces.insert(nonce);
        values.insert(value);
        count += 1;
    }
    let observed = format!("{} different in {count} exchanges", nonces.len());
    cx.check("phase1.nonces-fresh", &["IKE-MM-016"], nonces.len() == count, "all different", observed);
    // A fresh exponent for each exchange is this project's advice; the RFC only demands the nonce.
    let check = Check::new("phase1.key-exchange-fresh", &["IKE-MM-016"]).level(Level::Should).at(cx.world.now());
    let observed = format!("{} different in {count} exchanges", values.len());
    cx.record(check.saw(values.len() == count, "all different", observed));
    scene.finish(cx)
}

fn own_identity(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    for nat_t in [false, true] {
        let mut member: ProbeGm = scene.member(cx, 1);
        if !nat_t {
            member.script.vendor_ids.retain(|id| id.as_slice() != vendor_id::NAT_T_RFC3947);
        }
        sent(member.phase1(cx.world))?;
        let identity = member.seen(Step::Main6).next().and_then(Seen::identification);
        let identity = cx.have(identity, "the ID of message 6 does not decode")?;
        let pair = (identity.protocol, identity.port);
        let observed = format!("protocol {}, port {}", pair.0, pair.1);
        // 17/848 comes from devices that fill in the port they use: tolerated by some, so told apart.
        let known = matches!(pair, (0, 0) | (17, 500));
        if pair == (17, 848) {
            Rule::advisory("phase1.identity-port-848", &["IKE-MM-018"]).judge(
                cx,
                false,
                "0/0 or 17/500",
                observed.clone(),
            );
        } else {
            cx.check("phase1.identity-port", &["IKE-MM-018"], known, "0/0 or 17/500", &observed);
        }
        let agreed = nat_t && member.peer_vendor_ids().iter().any(|id| id.as_slice() == vendor_id::NAT_T_RFC3947);
        if agreed {
            cx.check("phase1.identity-port-with-nat-t", &["IKE-MM-019"], pair.1 == 0, "port 0", &observed);
        }
        let name = identity.id_type;
        cx.check("phase1.identity-type", &["IKE-AUTH-018"], name != IdType::DER_GN, "not a general name", name);
    }
    scene.finish(cx)
}
