//! Message 1: requests that must not be served.

use hallmark_probe::edit;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::{Tamper, octets};
use hallmark_wire::isakmp::{IdType, PayloadType};

use super::kit::{WINDOW, Wrong, refuse_requests, requests_refused, sent, served, survives, words};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;
use crate::setup::GROUP;

/// The payloads of message 1: one nonce, then one ID.
const M1_PAYLOADS: &[&str] = &["GDOI-NEG-004", "GDOI-NEG-005", "GDOI-NEG-006", "GDOI-NEG-007", "GDOI-NEG-008"];

pub(crate) const CASES: &[Case] = &[
    case! {
        "REG-009", "gdoi.pull", Must, Ks,
        title: "message 1 with a wrong HASH(1) is dropped and harms nothing",
        purpose: "HASH(1) is the only proof that the request comes from the holder of the SA; a server that acts on less hands out policy.",
        requirements: [
            "REG-009", "GDOI-PULL-025", "GDOI-PULL-069", "GDOI-NEG-001", "GDOI-NEG-002", "GDOI-NEG-003",
        ],
        sources: ["RFC 6407 §3.4"],
        catches: ["ks_hash1_unchecked", "ks_bad_hash_drops_phase1"],
        cost: 30,
        run: bad_hash,
    },
    case! {
        "REG-006", "gdoi.pull", Must, Ks,
        title: "an unknown group is not served",
        purpose: "A mistyped group number must end in a refusal, not in the keys of another group.",
        requirements: ["REG-006", "GDOI-PULL-026", "GDOI-NEG-013", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.4"],
        catches: ["ks_unknown_group_served"],
        cost: 30,
        run: unknown_group,
    },
    case! {
        "PULLK-040", "gdoi.pull", Should, Ks,
        title: "message 1 with missing, doubled or reordered payloads is dropped",
        purpose: "Two identifications or nonces let two programs read two different requests out of one message.",
        requirements: ["GDOI-NEG-004", "GDOI-NEG-005", "GDOI-NEG-006", "GDOI-NEG-007", "GDOI-NEG-008", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.2"],
        catches: ["ks_m1_payloads_unchecked"],
        cost: 40,
        run: |cx| requests_refused(cx, ("pull.m1-payloads", M1_PAYLOADS), vec![
            ("no nonce", Tamper::content(|m| edit::remove(m, PayloadType::NONCE))),
            ("no ID", Tamper::content(|m| edit::remove(m, PayloadType::ID))),
            ("two nonces", Tamper::content(|m| edit::duplicate(m, PayloadType::NONCE))),
            ("two IDs", Tamper::content(|m| edit::duplicate(m, PayloadType::ID))),
            ("ID before the nonce", Tamper::content(|m| edit::swap(m, PayloadType::NONCE, PayloadType::ID))),
        ]),
    },
    case! {
        "PULLK-041", "gdoi.pull", Should, Ks,
        title: "a nonce of another length than 8 to 128 octets is refused",
        purpose: "A short nonce gives no freshness; a long one may be meant to overflow something.",
        requirements: ["GDOI-NEG-009", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.8"],
        catches: ["ks_nonce_length_unchecked"],
        cost: 30,
        run: |cx| requests_refused(cx, ("pull.nonce-length-refused", &["GDOI-NEG-009"]), vec![
            ("nonce of 0 octets", nonce_of(0)),
            ("nonce of 7 octets", nonce_of(7)),
            ("nonce of 129 octets", nonce_of(129)),
            ("nonce of 256 octets", nonce_of(256)),
        ]),
    },
    case! {
        "PULLK-042", "gdoi.pull", Should, Ks,
        title: "a group identifier that is not four octets names no group",
        purpose: "A server that pads or cuts it serves a group that nobody asked for.",
        requirements: ["GDOI-NEG-010", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.1"],
        catches: ["ks_key_id_length_unchecked"],
        cost: 30,
        run: |cx| requests_refused(cx, ("pull.group-id-length", &["GDOI-NEG-010"]), vec![
            ("no octets", group_octets(Vec::new())),
            ("3 octets", group_octets(GROUP.to_be_bytes().into_iter().skip(1).collect())),
            ("5 octets that begin with the group", group_octets([&GROUP.to_be_bytes()[..], &[0]].concat())),
            ("64 octets that begin with the group", group_octets([&GROUP.to_be_bytes()[..], &[0; 60]].concat())),
        ]),
    },
    case! {
        "PULLK-043", "gdoi.pull", Should, Ks,
        title: "protocol and port in the group identifier are refused",
        purpose: "GDOI has no protocol or port there; the octets must be zero.",
        requirements: ["GDOI-NEG-011", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.1"],
        catches: ["ks_id_octets_unchecked"],
        cost: 15,
        run: |cx| requests_refused(cx, ("pull.group-id-octets", &["GDOI-NEG-011"]), vec![
            ("protocol 17, port 848", Tamper::content(|m| {
                edit::identification(m, |id| (id.protocol, id.port) = (17, 848));
            })),
            ("port 1", Tamper::content(|m| edit::identification(m, |id| id.port = 1))),
        ]),
    },
    case! {
        "PULLK-044", "gdoi.pull", Should, Ks,
        title: "an identifier of another kind or in another octet order names no group",
        purpose: "A server that guesses the octet order confuses group 1234 with group 3523477504, which may exist as well.",
        requirements: ["GDOI-NEG-012", "GDOI-NEG-015", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5", "RFC 6407 §5.1"],
        catches: ["ks_group_byte_order_guessed"],
        cost: 30,
        run: other_identifiers,
    },
    case! {
        "PULLK-045", "gdoi.pull", Must, Ks,
        title: "message 1 with a wrong header or without protection is dropped",
        purpose: "Nothing but an encrypted message of the right SA, size and version may reach the group.",
        requirements: [
            "GDOI-NEG-027", "GDOI-NEG-028", "GDOI-NEG-029", "GDOI-NEG-030", "GDOI-NEG-031", "GDOI-NEG-032",
            "GDOI-P1-001", "GDOI-P1-019", "GDOI-PULL-042", "GDOI-PULL-069",
        ],
        sources: ["RFC 6407 §2", "RFC 6407 §3.2", "RFC 6407 §7.2.4"],
        catches: ["ks_clear_pull_served", "ike_length_not_checked", "ike_accepts_reserved_flags"],
        cost: 90,
        run: headers,
    },
    case! {
        "SEC-004", "gdoi.robustness", Must, Ks,
        title: "malformed requests of an authenticated member do no harm",
        purpose: "One careless or hostile member must not be able to stop the key server of everyone.",
        requirements: [
            "SEC-004", "GDOI-NEG-018", "GDOI-NEG-019", "GDOI-NEG-020", "GDOI-NEG-021", "GDOI-NEG-022", "GDOI-NEG-023",
            "GDOI-NEG-024", "GDOI-PULL-069",
        ],
        sources: ["RFC 2408 §5.3"],
        catches: ["ks_zero_length_loops"],
        cost: 180,
        run: malformed,
    },
    case! {
        "PULLK-046", "gdoi.pull", Must, Ks,
        title: "a further payload is hashed as it was received",
        purpose: "What stands behind HASH is authenticated or the message is not; a server that hashes only what it knows can be fed the rest.",
        requirements: ["GDOI-PULL-020", "GDOI-NEG-025", "GDOI-NEG-026", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.2"],
        catches: ["ks_hash1_unchecked"],
        cost: 30,
        run: further_payloads,
    },
];

fn bad_hash(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (mut member, _) = scene.register(cx, 0)?;
    const LC: &[&str] = &["REG-009", "GDOI-PULL-025", "GDOI-NEG-001"];
    refuse_requests(
        cx,
        &scene,
        &mut member,
        ("pull.hash1-checked", LC),
        vec![
            ("first bit of HASH(1) flipped", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::HASH, 0, 7))),
            ("last bit of HASH(1) flipped", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::HASH, 31, 0))),
            ("nonce changed behind the hash", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::NONCE, 0, 0))),
        ],
    )?;
    refuse_requests(
        cx,
        &scene,
        &mut member,
        ("pull.hash1-length", &["GDOI-NEG-002"]),
        vec![
            ("HASH one octet short", Tamper::sealed(|m| edit::body(m, PayloadType::HASH, shorter))),
            ("HASH one octet long", Tamper::sealed(|m| edit::body(m, PayloadType::HASH, |hash| hash.push(0)))),
            ("HASH empty", Tamper::sealed(|m| edit::body(m, PayloadType::HASH, Vec::clear))),
        ],
    )?;
    refuse_requests(
        cx,
        &scene,
        &mut member,
        ("pull.hash1-first", &["GDOI-NEG-003"]),
        vec![
            ("no HASH", Tamper::sealed(|m| edit::remove(m, PayloadType::HASH))),
            ("HASH last", Tamper::sealed(|m| edit::move_last(m, PayloadType::HASH))),
        ],
    )?;
    scene.finish(cx)
}

fn unknown_group(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (mut member, _) = scene.register(cx, 0)?;
    for group in [0, GROUP + 1, u32::MAX] {
        member.untamper();
        member.script.group = group;
        sent(member.send_pull1(cx.world))?;
        let seen = member.collect(cx.world, WINDOW);
        let disclosed = seen.iter().any(|seen| seen.body(PayloadType::SA).is_some());
        const RULES: &[&str] = &["REG-006", "GDOI-PULL-026", "GDOI-NEG-013"];
        let observed = format!("group {group}: {}", words(&seen));
        cx.grave_silence("pull.unknown-group-refused", RULES, !served(&seen) && !disclosed, "no policy", observed);
        member.script.group = GROUP;
        survives(cx, &scene, &mut member, "unknown group")?;
    }
    scene.finish(cx)
}

fn other_identifiers(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (mut member, _) = scene.register(cx, 0)?;
    let of_type = |id_type: u8| Tamper::content(move |m| edit::identification(m, |id| id.id_type = IdType(id_type)));
    let reversed = group_octets(GROUP.to_le_bytes().to_vec());
    refuse_requests(
        cx,
        &scene,
        &mut member,
        ("pull.group-id-order", &["GDOI-NEG-015"]),
        vec![("the group in reversed octet order", reversed)],
    )?;
    refuse_requests(
        cx,
        &scene,
        &mut member,
        ("pull.id-type-refused", &["GDOI-NEG-012"]),
        vec![("ID type 0", of_type(0)), ("ID type 12", of_type(12)), ("ID type 200", of_type(200))],
    )?;
    scene.finish(cx)
}

fn headers(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (mut member, _) = scene.register(cx, 0)?;
    refuse_requests(
        cx,
        &scene,
        &mut member,
        ("pull.clear-refused", &["GDOI-NEG-027", "GDOI-P1-001"]),
        vec![
            ("in clear, flag E clear", Tamper::none().in_clear()),
            ("in clear, flag E set", Tamper::none().in_clear().and_wire(|o| octets::set_flags(o, 1))),
        ],
    )?;
    let cookies: Vec<Wrong> = vec![
        ("unknown cookies", Tamper::wire(|o| octets::put(o, 0, &[0x5a; 16]))),
        ("unknown initiator cookie", Tamper::wire(|o| octets::set_initiator_cookie(o, [0x5a; 8]))),
        ("unknown responder cookie", Tamper::wire(|o| octets::set_responder_cookie(o, [0x5a; 8]))),
        ("cookies exchanged", Tamper::wire(|o| octets::swap_cookies(o))),
    ];
    let rules = &["GDOI-NEG-031", "GDOI-PULL-042", "GDOI-P1-001"];
    refuse_requests(cx, &scene, &mut member, ("pull.cookies-checked", rules), cookies)?;
    let length = |by: i64| {
        Tamper::wire(move |o| {
            let length = u32::try_from(o.len() as i64 + by).unwrap_or(0);
            octets::set_length(o, length);
        })
    };
    refuse_requests(
        cx,
        &scene,
        &mut member,
        ("pull.length-checked", &["GDOI-NEG-030"]),
        vec![
            ("Length 27", Tamper::wire(|o| octets::set_length(o, 27))),
            ("Length 16 too small", length(-16)),
            ("Length 16 too large", length(16)),
            ("Length ffffffff", Tamper::wire(|o| octets::set_length(o, u32::MAX))),
        ],
    )?;
    refuse_requests(
        cx,
        &scene,
        &mut member,
        ("pull.ciphertext-size", &["GDOI-NEG-028", "GDOI-NEG-029"]),
        vec![
            (
                "one octet short of a block",
                Tamper::wire(|o| {
                    let shorter = o.len().saturating_sub(1);
                    octets::resize_and_fix(o, shorter);
                }),
            ),
            (
                "one octet over a block",
                Tamper::wire(|o| {
                    let longer = o.len() + 1;
                    octets::resize_and_fix(o, longer);
                }),
            ),
            ("no body", Tamper::wire(|o| octets::resize_and_fix(o, 28))),
        ],
    )?;
    refuse_requests(
        cx,
        &scene,
        &mut member,
        ("pull.message-id-zero", &["GDOI-NEG-032"]),
        vec![("message id 0", Tamper::wire(|o| octets::set_message_id(o, 0)))],
    )?;
    refuse_requests(
        cx,
        &scene,
        &mut member,
        ("pull.version-and-flags", &["GDOI-P1-019"]),
        vec![
            ("version 2.0", Tamper::wire(|o| octets::set_version(o, 0x20))),
            ("flags f9", Tamper::wire(|o| octets::set_flags(o, 0xf9))),
        ],
    )?;
    scene.finish(cx)
}

fn malformed(cx: &mut Cx<'_>) -> Flow {
    const EACH: [(&str, PayloadType); 3] =
        [("HASH", PayloadType::HASH), ("NONCE", PayloadType::NONCE), ("ID", PayloadType::ID)];
    let scene = KsScene::standard(cx)?;
    let (mut member, _) = scene.register(cx, 0)?;
    let tampers = |rule: &'static str, what: &'static str, make: fn(PayloadType) -> Tamper| {
        EACH.map(|(name, kind)| (rule, format!("{name} {what}"), make(kind))).to_vec()
    };
    let mut corpus: Vec<(&'static str, String, Tamper)> = Vec::new();
    // In front of the hash where it can be: the message is then malformed, but authentic.
    corpus.extend(tampers("GDOI-NEG-018", "with RESERVED 1", |kind| match kind {
        PayloadType::HASH => Tamper::sealed(move |m| edit::set_reserved(m, kind, 1)),
        _ => Tamper::content(move |m| edit::set_reserved(m, kind, 1)),
    }));
    for length in [0_u16, 1, 2, 3] {
        for (name, kind) in EACH {
            let tamper = Tamper::content(move |m| edit::set_length(m, kind, length));
            corpus.push(("GDOI-NEG-019", format!("{name} of length {length}"), tamper));
        }
    }
    corpus.extend(tampers("GDOI-NEG-020", "of length 65535", |kind| {
        Tamper::content(move |m| edit::set_length(m, kind, u16::MAX))
    }));
    corpus.push((
        "GDOI-NEG-020",
        "ID reaching past the end".to_owned(),
        Tamper::content(|m| edit::add_length(m, PayloadType::ID, 300)),
    ));
    corpus.push((
        "GDOI-NEG-021",
        "ID of one octet".to_owned(),
        Tamper::content(|m| edit::body(m, PayloadType::ID, |id| id.truncate(1))),
    ));
    corpus.push((
        "GDOI-NEG-021",
        "ID of no octets".to_owned(),
        Tamper::content(|m| edit::body(m, PayloadType::ID, Vec::clear)),
    ));
    corpus.push((
        "GDOI-NEG-022",
        "a chain that goes on behind its end".to_owned(),
        Tamper::content(|m| {
            edit::dangle(m, PayloadType::NOTIFY.0);
        }),
    ));
    for kind in [14_u8, 23, 127, 200] {
        corpus.push((
            "GDOI-NEG-023",
            format!("payload type {kind} behind ID"),
            Tamper::content(move |m| {
                edit::push(m, PayloadType(kind), vec![0; 12]);
            }),
        ));
    }
    for kind in [6_u8, 4, 19] {
        corpus.push((
            "GDOI-NEG-024",
            format!("legacy payload {kind} behind ID"),
            Tamper::content(move |m| {
                edit::push(m, PayloadType(kind), vec![4; 32]);
            }),
        ));
    }
    for (rule, what, tamper) in corpus {
        // An unknown or legacy payload may be skipped; what cannot be parsed may not be served.
        let may_be_skipped = matches!(rule, "GDOI-NEG-023" | "GDOI-NEG-024");
        member.untamper();
        member.tamper(Step::Pull1, tamper);
        sent(member.send_pull1(cx.world))?;
        let seen = member.collect(cx.world, WINDOW);
        let refused = !served(&seen) || may_be_skipped;
        let expected = if may_be_skipped { "refused or the payload ignored" } else { "no message 2" };
        cx.silence("pull.malformed-refused", &[rule], refused, expected, format!("{what}: {}", words(&seen)));
        survives(cx, &scene, &mut member, &what)?;
    }
    let alive = "it served every untampered PULL in between";
    cx.check("pull.malformed-survived", &["SEC-004"], true, "the server goes on serving", alive);
    scene.finish(cx)
}

fn further_payloads(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (mut member, _) = scene.register(cx, 0)?;
    let extra = Tamper::content(|m| edit::push(m, PayloadType::VENDOR_ID, vec![0x77; 16]));
    // Covered by the hash: accepted or cleanly refused, and what is accepted must complete.
    let allowed: Vec<(&[&str], &str, Tamper)> = vec![
        (&["GDOI-PULL-020"], "a vendor id inside the hash", extra),
        (&["GDOI-NEG-025"], "padding that is not zero", Tamper::none().pad_with(vec![0x5a; 5])),
        (&["GDOI-NEG-026"], "two blocks of padding too many", Tamper::none().pad_with(vec![0; 32])),
    ];
    for (rules, what, tamper) in allowed {
        member.untamper();
        member.tamper(Step::Pull1, tamper);
        let result = member.pull(cx.world);
        let clean = result.as_ref().map_or_else(|fault| fault.refused_at(Step::Pull2), |_| true);
        let observed = result.map_or_else(|fault| format!("{what}: {fault}"), |_| format!("{what}: completed"));
        cx.check("pull.covered-payload", rules, clean, "accepted or cleanly refused", observed);
        survives(cx, &scene, &mut member, what)?;
    }
    refuse_requests(
        cx,
        &scene,
        &mut member,
        ("pull.uncovered-payload-refused", &["GDOI-PULL-020"]),
        vec![
            ("a vendor id outside the hash", Tamper::sealed(|m| edit::push(m, PayloadType::VENDOR_ID, vec![0x77; 16]))),
            (
                "a notification outside the hash",
                Tamper::sealed(|m| edit::push(m, PayloadType::NOTIFY, vec![0, 0, 0, 2, 1, 0, 0, 24])),
            ),
        ],
    )?;
    scene.finish(cx)
}

fn nonce_of(len: usize) -> Tamper {
    Tamper::content(move |m| edit::set_body(m, PayloadType::NONCE, vec![0x5a; len]))
}

fn group_octets(data: Vec<u8>) -> Tamper {
    Tamper::content(move |m| edit::identification(m, |id| id.data.clone_from(&data)))
}

fn shorter(octets: &mut Vec<u8>) {
    octets.pop();
}
