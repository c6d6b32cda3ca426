//! Message 2 as a whole: its HASH, its payloads, and the frame of the SA payload.

use hallmark_probe::edit;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::isakmp::PayloadType;
use hallmark_wire::raw::{Field, RawMessage, RawPayload};

use super::kit::{Bench, PATIENCE, Rule, WINDOW, policies_refused, thirds};
use crate::Case;
use crate::cx::{Cx, Flow};

pub(crate) const CASES: &[Case] = &[
    case! {
        "REG-010", "gdoi.pull", Must, Gm,
        title: "a policy whose HASH(2) is wrong is not taken, and the right one still is",
        purpose: "HASH(2) is what tells the key server's policy from anyone else's. The member goes on with the right \
                  answer or asks anew; one bad datagram must not cost it phase 1 for good.",
        requirements: ["REG-010", "GDOI-PULL-049", "GDOI-NEG-055", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.3"],
        catches: ["gm_hash2_unchecked"],
        cost: 150,
        run: wrong_hash,
    },
    case! {
        "PULLG-010", "gdoi.pull", Should, Gm,
        title: "a nonce of the key server below 8 or above 128 octets is refused",
        purpose: "A nonce that is too short lets a recorded conversation be played again; one that is too long tries \
                  what lies behind the buffer.",
        requirements: ["GDOI-NEG-059", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.8"],
        catches: ["gm_nonce_length_unchecked"],
        cost: 170,
        run: |cx| policies_refused(cx, Rule::new("pull.m2-nonce-refused", &["GDOI-NEG-059"]), vec![
            ("a nonce of 7 octets", nonce(7)),
            ("a nonce of 129 octets", nonce(129)),
            ("no nonce octet", nonce(0)),
            ("a nonce of 256 octets", nonce(256)),
        ]),
    },
    case! {
        "PULLG-011", "gdoi.pull", Should, Gm,
        title: "message 2 with missing or doubled payloads is refused",
        purpose: "With two policies in one message, checks look at one and installation at the other.",
        requirements: ["GDOI-NEG-060", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.2"],
        catches: ["gm_m2_payloads_unchecked"],
        cost: 170,
        run: |cx| policies_refused(cx, Rule::new("pull.m2-payloads-refused", &["GDOI-NEG-060"]), vec![
            ("no SA", Tamper::content(|m| edit::remove(m, PayloadType::SA))),
            ("no nonce", Tamper::content(|m| edit::remove(m, PayloadType::NONCE))),
            ("SA twice", Tamper::content(|m| edit::duplicate(m, PayloadType::SA))),
        ]),
    },
    case! {
        "PULLG-012", "gdoi.pull", Should, Gm,
        title: "a policy of another DOI is refused",
        purpose: "Under another DOI the same octets mean something else.",
        requirements: ["GDOI-NEG-061", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.2"],
        catches: ["gm_sa_doi_unchecked"],
        cost: 170,
        run: |cx| policies_refused(cx, Rule::new("pull.sa-doi-refused", &["GDOI-NEG-061"]), vec![
            ("DOI 1", sa(|sa| sa.doi = 1)),
            ("DOI 0", sa(|sa| sa.doi = 0)),
            ("DOI 00000102", sa(|sa| sa.doi = 0x0102)),
            ("DOI 01000002", sa(|sa| sa.doi = 0x0100_0002)),
        ]),
    },
    case! {
        "PULLG-013", "gdoi.pull", Should, Gm,
        title: "a policy of another situation is refused",
        purpose: "The situation of GDOI is 0; a member that does not look at all four octets takes a policy that was \
                  made for another protocol.",
        requirements: ["GDOI-NEG-062", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.2"],
        catches: ["gm_situation_unchecked"],
        cost: 130,
        run: |cx| policies_refused(cx, Rule::new("pull.situation-refused", &["GDOI-NEG-062"]), vec![
            ("situation 1", sa(|sa| sa.situation = 1)),
            ("situation 00000100", sa(|sa| sa.situation = 0x0100)),
            ("situation 01000000", sa(|sa| sa.situation = 0x0100_0000)),
        ]),
    },
    case! {
        "PULLG-014", "gdoi.pull", Should, Gm,
        title: "the frame of the SA payload is checked",
        purpose: "Which payload the policy begins with is a field of two octets, behind it are two zeros. Code that \
                  looks at one of them reads older drafts and noise as policy.",
        requirements: ["GDOI-NEG-063", "GDOI-NEG-064", "GDOI-NEG-065", "GDOI-NEG-066", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.2"],
        catches: ["gm_sa_frame_unchecked"],
        cost: 300,
        run: |cx| policies_refused(
            cx,
            Rule::new("pull.sa-frame-refused", &["GDOI-NEG-063", "GDOI-NEG-064", "GDOI-NEG-065", "GDOI-NEG-066"]),
            vec![
                ("SA announces a SAK behind itself", Tamper::content(|m| edit::set_next(m, PayloadType::SA, 15))),
                ("RESERVED2 not 0", prefix(|octets| put(octets, 10, &[0, 1]))),
                ("SA Attribute Next Payload 0", prefix(|octets| put(octets, 8, &[0, 0]))),
                ("SA Attribute Next Payload 17", prefix(|octets| put(octets, 8, &[0, 17]))),
                ("SA Attribute Next Payload 0f00", prefix(|octets| put(octets, 8, &[0x0f, 0]))),
                ("SA Attribute Next Payload 010f", prefix(|octets| put(octets, 8, &[1, 0x0f]))),
                ("the one-octet form of drafts", prefix(|octets| put(octets, 8, &[0x0f, 0, 0, 0]))),
            ],
        ),
    },
    case! {
        "PULLG-015", "gdoi.pull", Should, Gm,
        title: "SAK, GAP and SATs come in this order, and not twice",
        purpose: "Two rekey policies in one message leave open under which keys the next rekey comes.",
        requirements: ["GDOI-NEG-067", "GDOI-NEG-068", "GDOI-NEG-069", "GDOI-NEG-092", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.2.1"],
        catches: ["gm_sa_order_ignored"],
        cost: 350,
        run: order,
    },
    case! {
        "PULLG-016", "gdoi.pull", Must, Gm,
        title: "a payload that HASH(2) does not cover spoils the message; one that it covers harms nobody",
        purpose: "Everything behind HASH is hashed as it came. A member that hashes only what it knows can be handed \
                  payloads by a stranger on the path.",
        requirements: ["GDOI-PULL-020", "GDOI-PULL-049", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.2"],
        catches: ["gm_hash2_unchecked"],
        cost: 120,
        run: further_payload,
    },
];

fn nonce(len: usize) -> Tamper {
    Tamper::content(move |m| edit::set_body(m, PayloadType::NONCE, vec![0x5a; len]))
}

fn sa(change: fn(&mut hallmark_wire::gdoi::GdoiSa)) -> Tamper {
    Tamper::content(move |m| edit::gdoi_sa(m, change))
}

fn prefix(change: fn(&mut Vec<u8>)) -> Tamper {
    Tamper::content(move |m| edit::sa_tree(m, |octets, _| change(octets)))
}

fn put(octets: &mut [u8], at: usize, value: &[u8]) {
    for (target, octet) in octets.iter_mut().skip(at).zip(value) {
        *target = *octet;
    }
}

/// Changes the policies inside the SA payload and makes the frame announce the first of them.
fn inner(change: fn(&mut Vec<RawPayload>)) -> Tamper {
    Tamper::content(move |m: &mut RawMessage| {
        edit::sa_tree(m, |octets, children| {
            change(children);
            let first = children.first().map_or(0, |child| child.kind);
            put(octets, 8, &[0, first]);
        });
    })
}

fn wrong_hash(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let rule = Rule::grave("pull.wrong-hash2-refused", &["REG-010", "GDOI-PULL-049", "GDOI-NEG-055"]);
    bench.refuse_policies(
        cx,
        &rule,
        vec![
            ("one bit of HASH(2) flipped", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::HASH, 0, 0))),
            ("HASH(2) without Ni", Tamper::hashed(|input| input.remove("ni_b"))),
            (
                "HASH(2) cut to 16 octets",
                Tamper::sealed(|m| edit::body(m, PayloadType::HASH, |hash| hash.truncate(16))),
            ),
        ],
    )?;
    // The right message 2 behind a wrong one, in the same exchange or in a new one.
    let before = thirds(bench.ks());
    bench.ks().untamper();
    bench.ks().send_again(cx.world, Step::Pull2);
    let deadline = cx.world.now() + PATIENCE;
    let goes_on = bench.ks().serve(
        cx.world,
        &mut |log| log.of(Step::Pull3).filter(|seen| !seen.repeat && seen.authentic == Some(true)).count() > before,
        deadline,
    );
    let observed = if goes_on { "message 3 came" } else { "no message 3" };
    cx.check(
        "pull.right-answer-taken",
        &["GDOI-NEG-055", "GDOI-PULL-069"],
        goes_on,
        "a right message 2 is taken",
        observed,
    );
    bench.finish(cx)
}

fn order(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::with(cx, |_| {}, |script| script.group = script.group.clone().delays(0, 10))?;
    let rule = Rule::new("pull.sa-order-refused", &["GDOI-NEG-067", "GDOI-NEG-068", "GDOI-NEG-069", "GDOI-NEG-092"]);
    // The standard policy is SAK, GAP, SAT.
    bench.refuse_policies(
        cx,
        &rule,
        vec![
            ("SAT in front of SAK", inner(|all| all.swap(0, 2))),
            ("SAT in front of GAP", inner(|all| all.swap(1, 2))),
            ("GAP in front of SAK", inner(|all| all.swap(0, 1))),
            ("two SAKs", inner(|all| repeat(all, 0))),
            ("two GAPs", inner(|all| repeat(all, 1))),
            (
                "a GAP alone",
                inner(|all| {
                    all.truncate(2);
                    all.remove(0);
                }),
            ),
            ("GAP announces a SAK", inner(|all| announce(all, 1, 15))),
            ("SAK announces a KD", inner(|all| announce(all, 0, 17))),
            ("SAT announces a GAP behind the end", inner(|all| announce(all, 2, 22))),
        ],
    )?;
    bench.finish(cx)
}

fn repeat(all: &mut Vec<RawPayload>, index: usize) {
    if let Some(copy) = all.get(index).cloned() {
        all.insert(index, copy);
    }
}

fn announce(all: &mut [RawPayload], index: usize, next: u8) {
    if let Some(payload) = all.get_mut(index) {
        payload.next = Field::Force(next);
    }
}

fn further_payload(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let vendor_id = || vec![0x76; 16];
    let rule = Rule::grave("pull.uncovered-payload-refused", &["GDOI-PULL-020", "GDOI-PULL-049"]);
    let uncovered = Tamper::sealed(move |m| edit::push(m, PayloadType::VENDOR_ID, vendor_id()));
    bench.refuse_policies(cx, &rule, vec![("a Vendor ID that HASH(2) does not cover", uncovered)])?;
    let covered = Tamper::content(move |m| edit::push(m, PayloadType::VENDOR_ID, vendor_id()));
    bench.ks().tamper(Step::Pull2, covered);
    let before = thirds(bench.ks());
    bench.request(cx)?;
    bench.ks().serve_for(cx.world, WINDOW);
    let taken = thirds(bench.ks()) > before;
    // Taking it and refusing it are both allowed; what came is recorded.
    cx.measure("message 2 with a covered Vendor ID was taken", f64::from(u8::from(taken)), "");
    bench.finish(cx)
}
