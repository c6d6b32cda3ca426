//! Messages 1, 3 and 5: what a member sends.

use std::collections::BTreeSet;

use hallmark_core::Duration;
use hallmark_probe::ks::Reply;
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_probe::suite::class;
use hallmark_wire::isakmp::{AttributeValue, ExchangeType, IdType, NotifyType, PayloadType};

use super::kit::{everything, message, observe, observed, registers, with_suites};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::GmScene;
use crate::setup::PROPOSAL;

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKEI-001", "gdoi.phase1", Must, Gm,
        title: "every header of a member says version 1.0 and uses no flag that is not defined",
        purpose: "A server that checks what it must check drops everything else, and the member never registers.",
        requirements: ["IKE-HDR-003", "IKE-HDR-007", "IKE-HDR-008", "IKE-MM-001", "GDOI-P1-018"],
        sources: ["RFC 2408 §3.1", "RFC 6407 §3.2.1"],
        catches: ["ike_emits_minor_version", "ike_emits_reserved_flags"],
        run: headers,
    },
    case! {
        "IKEI-002", "gdoi.phase1", Must, Gm,
        title: "message 1 begins with the SA, in clear and under a cookie of its own",
        purpose: "The SA comes first so that a server can tell at once what is wanted; the responder's cookie is still empty.",
        requirements: ["IKE-PAY-008", "IKE-MM-002", "IKE-CKY-001", "IKE-CKY-002"],
        sources: ["RFC 2409 §5.4", "RFC 2408 §2.4"],
        catches: ["ike_sa_not_first"],
        run: first_message,
    },
    case! {
        "IKEI-003", "gdoi.phase1", Must, Gm,
        title: "the phase 1 SA is offered under the GDOI DOI",
        purpose: "DOI 2 says that exchange 32 will be GROUPKEY-PULL. Under DOI 1 it is Quick Mode, and a server that keeps the two \
                  apart refuses the member.",
        requirements: ["IKE-SA-011", "GDOI-P1-002"],
        sources: ["RFC 6407 §2.1"],
        catches: ["ike_emits_doi_1"],
        run: doi,
    },
    case! {
        "IKEI-004", "gdoi.phase1", Should, Gm,
        title: "the situation of the phase 1 SA is zero",
        purpose: "GDOI defines no other one; a server that looks at it refuses what it does not know.",
        requirements: ["IKE-SA-012", "GDOI-P1-003"],
        sources: ["RFC 6407 §5.2"],
        catches: ["ike_emits_situation_1"],
        run: situation,
    },
    case! {
        "IKEI-005", "gdoi.phase1", Must, Gm,
        title: "an offer is one proposal whose transforms have ascending numbers",
        purpose: "The server answers with the number of the transform that it takes. Where numbers repeat, the two ends may believe \
                  in different suites.",
        requirements: ["IKE-SA-001", "IKE-SA-005", "IKE-SA-009"],
        sources: ["RFC 2409 §5", "RFC 2408 §4.2"],
        catches: ["ike_equal_transform_numbers"],
        needs: [Setup],
        run: transforms,
    },
    case! {
        "IKEI-006", "gdoi.phase1", Must, Gm,
        title: "every offered transform is complete and written as the standard says",
        purpose: "AES comes with a key length and ciphers of fixed length without; basic attributes are never written long. Servers \
                  refuse the rest, and the member does not find out why.",
        requirements: ["IKE-SA-015", "IKE-SA-016", "IKE-SA-019", "IKE-SA-020"],
        sources: ["RFC 2409 §4", "RFC 2409 App. A", "RFC 3602 §5.3"],
        catches: ["ike_omits_key_length", "ike_key_length_for_fixed_cipher", "ike_basic_attribute_as_tlv"],
        needs: [Setup],
        run: attributes,
    },
    case! {
        "IKEI-007", "gdoi.phase1", Must, Gm,
        title: "message 3 holds a public value of the length of the group and a nonce of 8 to 256 octets",
        purpose: "A shorter nonce leaves the keys to the server alone, and servers refuse it.",
        requirements: ["IKE-MM-003", "IKE-MM-007", "IKE-MM-008"],
        sources: ["RFC 2409 §5", "RFC 2409 §5.4"],
        catches: ["ike_emits_short_nonce"],
        run: share,
    },
    case! {
        "IKEI-008", "gdoi.phase1", Must, Gm,
        title: "message 5 proves the member's identity under encryption",
        purpose: "ID with port 0 or 17/500, and HASH_I over what was really exchanged. Everything that a server can check is checked \
                  here by a second implementation of the key schedule.",
        requirements: ["IKE-MM-004", "IKE-MM-014", "IKE-MM-018", "IKE-KEY-001", "IKE-KEY-003", "IKE-KEY-005", "IKE-KEY-007"],
        sources: ["RFC 2409 §5", "RFC 2407 §4.6.2"],
        catches: ["ike_emits_id_port"],
        run: proof,
    },
    case! {
        "IKEI-009", "gdoi.phase1", Must, Gm,
        title: "an encrypted message is padded with few zeros, and its Length counts them",
        purpose: "Servers compare the Length with the datagram before anything else.",
        requirements: ["IKE-HDR-016", "IKE-KEY-011"],
        sources: ["RFC 2409 App. B"],
        catches: ["ike_length_without_padding", "ike_padding_random", "ike_pads_whole_block"],
        needs: [Setup],
        run: padding,
    },
    case! {
        "IKEI-010", "gdoi.informational", Should, Gm,
        title: "INITIAL-CONTACT names the SA, and comes under protection only",
        purpose: "The server forgets older SAs of the member for it. In clear it would be a switch-off for anyone to press.",
        requirements: ["IKE-INF-013", "IKE-INF-014"],
        sources: ["RFC 2407 §4.6.3.3"],
        catches: ["ike_initial_contact_without_spi"],
        run: initial_contact,
    },
    case! {
        "IKEI-011", "gdoi.phase1", Must, Gm,
        title: "reserved octets of payloads are zero",
        purpose: "Servers drop messages with other values, and rightly so.",
        requirements: ["IKE-PAY-002"],
        sources: ["RFC 2408 §2.5.2"],
        catches: ["ike_emits_reserved_payload_octet"],
        run: reserved_octets,
    },
    case! {
        "IKEI-012", "gdoi.phase1", Must, Gm,
        title: "every attempt has a cookie of its own that nobody can guess",
        purpose: "A cookie that comes back mixes a new attempt with what is left of an old one; one that can be guessed lets a stranger \
                  answer for the server.",
        requirements: ["IKE-CKY-006", "IKE-CKY-007", "IKE-CKY-011"],
        sources: ["RFC 2408 §2.5.3", "RFC 2408 §4.3"],
        catches: ["ike_cookie_constant", "ike_cookie_counter"],
        cost: 150,
        run: fresh_cookies,
    },
    case! {
        "IKEI-013", "gdoi.phase1", Must, Gm,
        title: "every attempt has a nonce and a public value of its own",
        purpose: "With the values of an old exchange the keys of an old exchange come back.",
        requirements: ["IKE-MM-016"],
        sources: ["RFC 2408 §5.13", "RFC 2409 §10"],
        catches: ["ike_nonce_reused", "ike_dh_value_reused"],
        cost: 150,
        run: fresh_values,
    },
];

fn headers(cx: &mut Cx<'_>) -> Flow {
    let scene = observed(cx)?;
    let wrong = |odd: &dyn Fn(&Seen) -> bool| -> Vec<String> {
        everything(&scene.ks)
            .filter(|seen| odd(seen))
            .map(|seen| format!("{}: {:02x?}", seen.step, seen.octets().get(16..24).unwrap_or_default()))
            .collect()
    };
    let version = wrong(&|seen| seen.header.version != 0x10);
    let flags = wrong(&|seen| seen.header.flags.undefined_bits() != 0);
    let phase1 = |seen: &Seen| matches!(seen.header.exchange, ExchangeType::MAIN | ExchangeType::AGGRESSIVE);
    let ids = wrong(&|seen| phase1(seen) && seen.header.message_id != 0);
    let types = wrong(&|seen| {
        let pull = matches!(seen.step, Step::Pull1 | Step::Pull3) && seen.header.exchange == ExchangeType::PULL;
        let main =
            matches!(seen.step, Step::Main1 | Step::Main3 | Step::Main5) && seen.header.exchange == ExchangeType::MAIN;
        !(pull || main || seen.header.exchange == ExchangeType::INFORMATIONAL)
    });
    cx.check(
        "phase1.version-sent",
        &["IKE-HDR-003", "GDOI-P1-018"],
        version.is_empty(),
        "version octet 10",
        list(&version),
    );
    cx.check("phase1.flags-sent", &["IKE-HDR-007"], flags.is_empty(), "bits 3 to 7 zero", list(&flags));
    cx.check("phase1.message-id-sent", &["IKE-HDR-008"], ids.is_empty(), "message id 0 in phase 1", list(&ids));
    cx.check("phase1.exchange-type-sent", &["IKE-MM-001"], types.is_empty(), "type 2 throughout", list(&types));
    Ok(())
}

fn list(found: &[String]) -> String {
    if found.is_empty() { "none deviates".to_owned() } else { found.join("; ") }
}

fn first_message(cx: &mut Cx<'_>) -> Flow {
    let scene = observed(cx)?;
    let first = message(cx, &scene.ks, Step::Main1)?;
    let kinds = first.kinds();
    cx.check(
        "phase1.sa-first",
        &["IKE-PAY-008"],
        kinds.first() == Some(&PayloadType::SA),
        "the SA first",
        format!("{kinds:?}"),
    );
    let only =
        kinds.iter().all(|kind| matches!(*kind, PayloadType::SA | PayloadType::VENDOR_ID | PayloadType::CERT_REQ));
    let once = first.count(PayloadType::SA) == 1 && !first.protected;
    cx.check(
        "phase1.message-1-payloads",
        &["IKE-MM-002"],
        only && once,
        "one SA and vendor ids, in clear",
        format!("{kinds:?}"),
    );
    let own = first.header.initiator_cookie;
    cx.check("phase1.own-cookie", &["IKE-CKY-001"], own != [0; 8], "not zero", format!("{own:02x?}"));
    let later = everything(&scene.ks)
        .filter(|seen| seen.step != Step::Main1)
        .all(|seen| seen.header.responder_cookie != [0; 8]);
    let observed = format!("message 1 {:02x?}, set later: {later}", first.header.responder_cookie);
    let right = first.header.responder_cookie == [0; 8] && later;
    cx.check("phase1.responder-cookie", &["IKE-CKY-002"], right, "zero in message 1 and nowhere else", observed);
    Ok(())
}

fn doi(cx: &mut Cx<'_>) -> Flow {
    let scene = observed(cx)?;
    let first = message(cx, &scene.ks, Step::Main1)?;
    let offer = cx.have(first.sa(), "the SA of message 1 does not parse")?;
    cx.check("phase1.doi", &["IKE-SA-011", "GDOI-P1-002"], offer.doi == 2, "DOI 2", offer.doi);
    Ok(())
}

fn situation(cx: &mut Cx<'_>) -> Flow {
    let scene = observed(cx)?;
    let first = message(cx, &scene.ks, Step::Main1)?;
    let offer = cx.have(first.sa(), "the SA of message 1 does not parse")?;
    cx.check("phase1.situation", &["IKE-SA-012", "GDOI-P1-003"], offer.situation == 0, "0", offer.situation);
    Ok(())
}

/// Suites of which one has a cipher of fixed key length.
const MIXED: [&str; 3] = [PROPOSAL, "aes256-sha256-modp2048-psk", "3des-sha1-modp2048-psk"];

fn transforms(cx: &mut Cx<'_>) -> Flow {
    let mut scene = with_suites(cx, &MIXED, &["3des", "sha1"])?;
    drop(observe(cx, &mut scene)?);
    let first = message(cx, &scene.ks, Step::Main1)?;
    let parsed = first.sa();
    let observed = if parsed.is_some() { "it parses" } else { "it does not parse" };
    cx.check("phase1.offer-consistent", &["IKE-SA-009"], parsed.is_some(), "counts and lengths that agree", observed);
    let Some(offer) = parsed else { return Ok(()) };
    let protocols: Vec<u8> = offer.proposals.iter().map(|proposal| proposal.protocol).collect();
    cx.check(
        "phase1.one-proposal",
        &["IKE-SA-001"],
        protocols == [1],
        "one proposal of protocol 1",
        format!("{protocols:?}"),
    );
    let numbers: Vec<u8> = offer.proposals.iter().flat_map(|proposal| &proposal.transforms).map(|t| t.number).collect();
    let ascending = numbers.windows(2).all(|pair| pair[0] < pair[1]);
    cx.check(
        "phase1.transform-numbers",
        &["IKE-SA-005"],
        ascending,
        "each more than the one before",
        format!("{numbers:?}"),
    );
    Ok(())
}

fn attributes(cx: &mut Cx<'_>) -> Flow {
    let mut scene = with_suites(cx, &MIXED, &["3des", "sha1"])?;
    drop(observe(cx, &mut scene)?);
    let first = message(cx, &scene.ks, Step::Main1)?;
    let offer = cx.have(first.sa(), "the SA of message 1 does not parse")?;
    let (mut missing, mut long, mut aes, mut fixed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for transform in offer.proposals.iter().flat_map(|proposal| &proposal.transforms) {
        let number = transform.number;
        let attributes = &transform.attributes;
        for wanted in [class::ENCRYPTION, class::HASH, class::AUTHENTICATION, class::GROUP] {
            if attributes.get(wanted).is_none() {
                missing.push(format!("transform {number} lacks class {wanted}"));
            }
        }
        let basic = [1, 2, 3, 4, 5, 11, 13, 14];
        let written_long =
            |class: u16| matches!(attributes.get(class).map(|a| &a.value), Some(AttributeValue::Variable(_)));
        long.extend(
            basic
                .into_iter()
                .filter(|class| written_long(*class))
                .map(|class| format!("transform {number}: class {class}")),
        );
        let bits = attributes.uint(class::KEY_LENGTH);
        match attributes.uint(class::ENCRYPTION) {
            Some(7) if !matches!(bits, Some(128 | 192 | 256)) => aes.push(format!("transform {number}: {bits:?}")),
            Some(1 | 5) if bits.is_some() => fixed.push(format!("transform {number}: {bits:?}")),
            _ => {}
        }
    }
    cx.check(
        "phase1.transform-complete",
        &["IKE-SA-015"],
        missing.is_empty(),
        "cipher, hash, method and group",
        list(&missing),
    );
    cx.check(
        "phase1.basic-attributes",
        &["IKE-SA-016"],
        long.is_empty(),
        "basic attributes in basic form",
        list(&long),
    );
    cx.check("phase1.aes-key-length", &["IKE-SA-019"], aes.is_empty(), "128, 192 or 256", list(&aes));
    cx.check("phase1.fixed-key-length", &["IKE-SA-020"], fixed.is_empty(), "no key length", list(&fixed));
    Ok(())
}

fn share(cx: &mut Cx<'_>) -> Flow {
    let scene = observed(cx)?;
    let third = message(cx, &scene.ks, Step::Main3)?;
    let kinds = third.kinds();
    let legal = |kind: &PayloadType| {
        matches!(
            *kind,
            PayloadType::KE | PayloadType::NONCE | PayloadType::NAT_D | PayloadType::VENDOR_ID | PayloadType::CERT_REQ
        )
    };
    let once = third.count(PayloadType::KE) == 1 && third.count(PayloadType::NONCE) == 1 && !third.protected;
    cx.check(
        "phase1.message-3-payloads",
        &["IKE-MM-003"],
        once && kinds.iter().all(legal),
        "KE and nonce, in clear",
        format!("{kinds:?}"),
    );
    let nonce = third.nonce().map(<[u8]>::len);
    let fits = nonce.is_some_and(|len| (8..=256).contains(&len));
    cx.check("phase1.nonce-length-sent", &["IKE-MM-007"], fits, "8 to 256 octets", format!("{nonce:?}"));
    let public = third.body(PayloadType::KE).map(<[u8]>::len);
    cx.check(
        "phase1.public-value-length-sent",
        &["IKE-MM-008"],
        public == Some(256),
        "256 octets",
        format!("{public:?}"),
    );
    Ok(())
}

fn proof(cx: &mut Cx<'_>) -> Flow {
    let scene = observed(cx)?;
    let fifth = message(cx, &scene.ks, Step::Main5)?;
    cx.check("phase1.message-5-encrypted", &["IKE-MM-014"], fifth.protected, "encrypted", fifth.protected);
    let kinds = fifth.kinds();
    let requirements = ["IKE-MM-004", "IKE-KEY-005", "IKE-KEY-007"];
    let whole = fifth.count(PayloadType::ID) == 1 && fifth.count(PayloadType::HASH) == 1;
    if !cx.check(
        "phase1.message-5-payloads",
        &requirements,
        whole,
        "one ID and one HASH",
        format!("{kinds:?} {:?}", fifth.flaw),
    ) {
        return Ok(());
    }
    let requirements = ["IKE-KEY-001", "IKE-KEY-003"];
    cx.check(
        "phase1.hash-i",
        &requirements,
        fifth.authentic == Some(true),
        "HASH_I verifies",
        format!("{:?}", fifth.authentic),
    );
    let id = cx.have(fifth.identification(), "the ID of message 5 does not parse")?;
    let pair = (id.protocol, id.port);
    let known = matches!(pair, (0, 0) | (17, 500));
    cx.check("phase1.id-port", &["IKE-MM-018"], known, "0/0 or 17/500", format!("{}/{}", pair.0, pair.1));
    cx.check(
        "phase1.id-type",
        &["IKE-MM-004"],
        id.id_type == IdType::IPV4_ADDR,
        "the address it is configured to",
        &id,
    );
    Ok(())
}

fn padding(cx: &mut Cx<'_>) -> Flow {
    // With SHA-1 and blocks of 8 octets, PULL message 3 needs no padding at all.
    for (name, block) in [(PROPOSAL, 16), ("3des-sha1-modp2048-psk", 8)] {
        let mut scene = with_suites(cx, &[name], &["3des", "sha1"])?;
        drop(observe(cx, &mut scene)?);
        let sealed: Vec<&Seen> = everything(&scene.ks).filter(|seen| seen.protected).collect();
        cx.require(!sealed.is_empty(), "no encrypted message came")?;
        let whole = |seen: &Seen| {
            seen.header.length as usize == seen.octets().len() && seen.body_octets().len().is_multiple_of(block)
        };
        let lengths: Vec<String> = sealed
            .iter()
            .filter(|seen| !whole(seen))
            .map(|seen| format!("{}: Length {} in {} octets", seen.step, seen.header.length, seen.octets().len()))
            .collect();
        let expected = "28 octets and whole blocks";
        cx.check("phase1.length-counts-padding", &["IKE-HDR-016"], lengths.is_empty(), expected, list(&lengths));
        let odd = |seen: &Seen| seen.padding.len() >= block || seen.padding.iter().any(|octet| *octet != 0);
        let pads: Vec<String> = sealed
            .iter()
            .filter(|seen| odd(seen))
            .map(|seen| format!("{}: {:02x?}", seen.step, seen.padding))
            .collect();
        cx.check("phase1.zero-padding", &["IKE-KEY-011"], pads.is_empty(), "less than a block of zeros", list(&pads));
    }
    Ok(())
}

fn initial_contact(cx: &mut Cx<'_>) -> Flow {
    let scene = observed(cx)?;
    let fifth = message(cx, &scene.ks, Step::Main5)?;
    let contact = |seen: &Seen| seen.notifies().into_iter().find(|notify| notify.kind == NotifyType::INITIAL_CONTACT);
    let clear = everything(&scene.ks).filter(|seen| !seen.protected).filter_map(contact).count();
    cx.check("contact.not-in-clear", &["IKE-INF-013"], clear == 0, "none in clear", clear);
    let spi = [fifth.header.initiator_cookie, fifth.header.responder_cookie].concat();
    // Whether to send it at all is left open.
    let (right, observed) = match everything(&scene.ks).find_map(contact) {
        None => (true, "not sent".to_owned()),
        Some(notify) => {
            let named = notify.spi == spi && notify.data.is_empty() && notify.protocol == 1;
            (named, format!("SPI {:02x?}, {} octets of data", notify.spi, notify.data.len()))
        }
    };
    cx.check("contact.names-the-sa", &["IKE-INF-014"], right, "both cookies as SPI, no data", observed);
    Ok(())
}

fn reserved_octets(cx: &mut Cx<'_>) -> Flow {
    let scene = observed(cx)?;
    let wrong: Vec<String> = everything(&scene.ks)
        .flat_map(|seen| {
            let odd = reserved(seen).into_iter().filter(|(_, octet)| *octet != 0);
            odd.map(|(kind, octet)| format!("{}: {octet:02x} in {kind:?}", seen.step)).collect::<Vec<_>>()
        })
        .collect();
    cx.check("phase1.reserved-octets-sent", &["IKE-PAY-002"], wrong.is_empty(), "zero everywhere", list(&wrong));
    Ok(())
}

/// Gives the reserved octet of every payload. A strict parser refuses a message with a wrong one, so that this walks the
/// chain by itself.
fn reserved(seen: &Seen) -> Vec<(PayloadType, u8)> {
    let mut found = Vec::new();
    let (mut kind, mut rest) = (seen.header.next, seen.plain.as_slice());
    while let (false, [next, reserved, high, low, ..]) = (kind == PayloadType::NONE, rest) {
        found.push((kind, *reserved));
        let length = usize::from(u16::from_be_bytes([*high, *low])).max(4);
        (kind, rest) = (PayloadType(*next), rest.get(length..).unwrap_or_default());
    }
    found
}

/// Leaves every message 3 unanswered until the member has begun so many exchanges; gives their first messages 3.
fn attempts(cx: &mut Cx<'_>) -> Flow<(GmScene, Vec<Seen>)> {
    const ATTEMPTS: usize = 4;
    let mut scene = GmScene::standard(cx)?;
    scene.ks.reply(Step::Main4, Reply::Silent);
    let deadline = cx.world.now() + Duration::from_secs(600);
    let fresh = |seen: &&Seen| !seen.repeat;
    scene.ks.serve(cx.world, &mut |log| log.of(Step::Main3).filter(fresh).count() >= ATTEMPTS, deadline);
    let third: Vec<Seen> = scene.ks.log.of(Step::Main3).filter(fresh).cloned().collect();
    cx.require(third.len() >= 3, format!("{} attempts were made in 600 s", third.len()))?;
    cx.alive_before("the member tried several times");
    Ok((scene, third))
}

fn fresh_cookies(cx: &mut Cx<'_>) -> Flow {
    let (mut scene, third) = attempts(cx)?;
    let values: Vec<[u8; 8]> = third.iter().map(|seen| seen.header.initiator_cookie).collect();
    let distinct = values.iter().collect::<BTreeSet<_>>().len() == values.len();
    let observed = values.iter().map(hex::encode).collect::<Vec<_>>().join(", ");
    cx.check("phase1.cookies-unique", &["IKE-CKY-006", "IKE-CKY-011"], distinct, "all different", &observed);
    let steps = values.windows(2).map(|pair| u64::from_be_bytes(pair[1]).wrapping_sub(u64::from_be_bytes(pair[0])));
    let counted = distinct && steps.into_iter().all(|step| step.min(step.wrapping_neg()) < 1 << 24);
    let stuck = distinct && (0..8).any(|at| values.iter().all(|value| value[at] == values[0][at]) && values.len() >= 4);
    let ok = !counted && !stuck;
    cx.check("phase1.cookies-unpredictable", &["IKE-CKY-007"], ok, "values without relation", &observed);
    registers(cx, &["IKE-CKY-006"], "after unanswered attempts", &mut scene)
}

fn fresh_values(cx: &mut Cx<'_>) -> Flow {
    let (mut scene, third) = attempts(cx)?;
    for (kind, check, expected) in [
        (PayloadType::NONCE, "phase1.nonces-fresh", "a nonce of its own in each"),
        (PayloadType::KE, "phase1.public-values-fresh", "a public value of its own in each"),
    ] {
        let values: BTreeSet<&[u8]> = third.iter().filter_map(|seen| seen.body(kind)).collect();
        let observed = format!("{} different ones in {} attempts", values.len(), third.len());
        let ok = values.len() == third.len();
        if kind == PayloadType::NONCE {
            cx.check(check, &["IKE-MM-016"], ok, expected, observed);
        } else {
            // That the public value is fresh is a rule of this project, not of the RFC.
            let check = hallmark_catalogue::Check::new(check, &["IKE-MM-016"]).at(cx.world.now());
            cx.record(check.level(hallmark_catalogue::Level::Should).saw(ok, expected, observed));
        }
    }
    registers(cx, &["IKE-MM-016"], "after unanswered attempts", &mut scene)
}
