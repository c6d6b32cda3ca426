//! Lengths and counts that lie: what an authenticated key server that was taken over could send.

use hallmark_probe::edit::{self, attributes as attr};
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::gdoi::{KeyPacket, SaTek, TekBody, gap_attr, kd_type, kek_attr, tek_attr};
use hallmark_wire::isakmp::{Attribute, Attributes, PayloadType};
use hallmark_wire::raw::{Field, RawPayload};

use super::kit::{Bench, Rule, Wrong, brisk, keys_refused, policies_refused, tek_life};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};

pub(crate) const CASES: &[Case] = &[
    case! {
        "PULLG-035", "gdoi.robustness", Should, Gm,
        title: "a policy whose inner lengths lie is refused, and the member lives on",
        purpose: "CVE-2023-20109: the lengths inside policy and keys were trusted because the key server is \
                  authenticated. One key server in the wrong hands then takes every member down.",
        requirements: ["GDOI-NEG-070", "GDOI-NEG-071", "GDOI-NEG-072", "GDOI-NEG-073", "GDOI-NEG-074", "GDOI-PULL-069"],
        sources: ["RFC 2408 §5.3", "CVE-2023-20109"],
        catches: ["malicious_ks_attr"],
        cost: 600,
        run: policy_lengths,
    },
    case! {
        "PULLG-036", "gdoi.robustness", Should, Gm,
        title: "payload lengths of message 2 below 4 or past the end are survived",
        purpose: "A length of 0 makes a careless walk stand still for ever, and one past the end reads what lies \
                  behind the message.",
        requirements: ["GDOI-NEG-070", "GDOI-PULL-069"],
        sources: ["RFC 2408 §5.3"],
        catches: ["gm_zero_length_loops"],
        cost: 250,
        run: payload_lengths,
    },
    case! {
        "PULLG-037", "gdoi.robustness", Should, Gm,
        title: "keys whose counts and lengths lie are refused, and the member lives on",
        purpose: "The key payload is nested three deep, and each level has a length of its own that can point \
                  outside the one above.",
        requirements: ["GDOI-NEG-107", "GDOI-NEG-108", "GDOI-NEG-109", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.6", "CVE-2023-20109"],
        catches: ["malicious_ks_attr"],
        cost: 500,
        run: |cx| keys_refused(
            cx,
            Rule::new("pull.kd-length-refused", &["GDOI-NEG-107", "GDOI-NEG-108", "GDOI-NEG-109"]),
            key_lengths(),
        ),
    },
    case! {
        "SEC-001", "gdoi.robustness", Must, Gm,
        title: "malformed answers to a registered member leave its keys as they are",
        purpose: "A member that registers again because its keys end must come out of a bad answer with the keys \
                  that it had: the bad answer may be an attack or a half-upgraded server.",
        requirements: ["SEC-001", "GDOI-PULL-064", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.3", "CVE-2023-20109"],
        catches: ["malicious_ks_attr", "gm_drops_sas_on_failure"],
        needs: [Setup],
        cost: 400,
        run: registered_member,
    },
    case! {
        "PULLG-038", "gdoi.robustness", Should, Gm,
        title: "odd answers that a member may take or leave do not stop it",
        purpose: "Some answers are wrong in a way that the standard leaves to the member. Whatever it makes of them, \
                  it must still be there afterwards.",
        requirements: [
            "GDOI-NEG-084", "GDOI-NEG-088", "GDOI-NEG-089", "GDOI-NEG-093", "GDOI-NEG-101", "GDOI-NEG-104",
            "GDOI-NEG-118", "GDOI-NEG-121", "GDOI-PULL-069",
        ],
        sources: ["RFC 6407 §5.3", "RFC 6407 §5.6"],
        catches: ["gm_crash_new_ks"],
        needs: [Setup],
        cost: 500,
        run: odd_answers,
    },
];

/// Changes the policies inside the SA payload.
fn inner(change: fn(&mut Vec<RawPayload>)) -> Tamper {
    Tamper::content(move |m| edit::sa_tree(m, |_, children| change(children)))
}

fn force(all: &mut [RawPayload], index: usize, length: u16) {
    if let Some(payload) = all.get_mut(index) {
        payload.length = Field::Force(length);
    }
}

/// Changes the octets of the SAK behind its generic header.
fn sak(change: fn(&mut Vec<u8>)) -> Tamper {
    Tamper::content(move |m| edit::sa_inner(m, PayloadType::SA_KEK, 0, change))
}

/// Changes the octets of the SAT behind its generic header.
fn sat(change: fn(&mut Vec<u8>)) -> Tamper {
    Tamper::content(move |m| edit::sa_inner(m, PayloadType::SA_TEK, 0, change))
}

/// Changes the octets of KD behind its generic header: count, reserved, then the KEK packet.
fn kd(change: fn(&mut Vec<u8>)) -> Tamper {
    Tamper::content(move |m| edit::body(m, PayloadType::KEY_DOWNLOAD, change))
}

fn set(octets: &mut [u8], at: usize, value: u8) {
    if let Some(octet) = octets.get_mut(at) {
        *octet = value;
    }
}

fn policy_lengths(cx: &mut Cx<'_>) -> Flow {
    let rules = &["GDOI-NEG-070", "GDOI-NEG-071", "GDOI-NEG-072", "GDOI-NEG-073", "GDOI-NEG-074"];
    policies_refused(
        cx,
        Rule::new("pull.sa-length-refused", rules),
        vec![
            ("SAK of length 0", inner(|all| force(all, 0, 0))),
            ("SAK of length 3", inner(|all| force(all, 0, 3))),
            ("SAK one octet longer than the SA", inner(|all| force(all, 0, 2_000))),
            ("SAT of length 0", inner(|all| force(all, 1, 0))),
            ("SAT of length 65535", inner(|all| force(all, 1, 65_535))),
            ("SRC ID Data Len 255", sak(|octets| set(octets, 4, 255))),
            (
                "IPv4 address of 3 octets",
                sak(|octets| {
                    set(octets, 4, 3);
                    octets.remove(5);
                }),
            ),
            ("SAT SRC ID Data Len 255", sat(|octets| set(octets, 5, 255))),
            ("a KEK attribute of 65535 octets", sak(|octets| octets.extend([0, 4, 0xff, 0xff]))),
            ("a lone octet behind the KEK attributes", sak(|octets| octets.push(0x80))),
            ("half an attribute behind the SAT", sat(|octets| octets.extend([0x80, 5]))),
            ("a SAT attribute longer than the SAT", sat(|octets| octets.extend([0, 2, 0, 9, 1]))),
        ],
    )
}

fn payload_lengths(cx: &mut Cx<'_>) -> Flow {
    let length = |kind, length| Tamper::content(move |m| edit::set_length(m, kind, length));
    policies_refused(
        cx,
        Rule::new("pull.payload-length-refused", &["GDOI-NEG-070"]),
        vec![
            ("SA of length 0", length(PayloadType::SA, 0)),
            ("nonce of length 3", length(PayloadType::NONCE, 3)),
            ("SA of length 65535", length(PayloadType::SA, 65_535)),
            ("SA shorter than its policies", Tamper::content(|m| edit::add_length(m, PayloadType::SA, -12))),
        ],
    )
}

fn key_lengths() -> Vec<Wrong> {
    vec![
        ("no key packet counted", kd(|octets| set(octets, 1, 0))),
        (
            "65535 key packets counted",
            kd(|octets| {
                set(octets, 0, 255);
                set(octets, 1, 255);
            }),
        ),
        ("one key packet too many counted", kd(|octets| set(octets, 1, 3))),
        (
            "a key packet of length 0",
            kd(|octets| {
                set(octets, 6, 0);
                set(octets, 7, 0);
            }),
        ),
        (
            "a key packet of length 4",
            kd(|octets| {
                set(octets, 6, 0);
                set(octets, 7, 4);
            }),
        ),
        (
            "a key packet that ends inside its SPI",
            kd(|octets| {
                set(octets, 6, 0);
                set(octets, 7, 12);
            }),
        ),
        (
            "a key packet of 65535 octets",
            kd(|octets| {
                set(octets, 6, 255);
                set(octets, 7, 255);
            }),
        ),
        ("a KEK SPI of 4 octets", kd(|octets| set(octets, 8, 4))),
        ("a KEK SPI of 255 octets", kd(|octets| set(octets, 8, 255))),
    ]
}

fn registered_member(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::with(cx, brisk, |script| tek_life(script, 60))?;
    bench.register(cx)?;
    let zero_count = kd(|octets| set(octets, 1, 0));
    let corpus = [
        ("SAK of length 0", Step::Pull2, inner(|all| force(all, 0, 0))),
        ("SAT SRC ID Data Len 255", Step::Pull2, sat(|octets| set(octets, 5, 255))),
        ("a KEK attribute of 65535 octets", Step::Pull2, sak(|octets| octets.extend([0, 4, 0xff, 0xff]))),
        ("no key packet counted", Step::Pull4, zero_count),
        (
            "a key packet of length 0",
            Step::Pull4,
            kd(|octets| {
                set(octets, 6, 0);
                set(octets, 7, 0);
            }),
        ),
        ("a KEK SPI of 255 octets", Step::Pull4, kd(|octets| set(octets, 8, 255))),
    ];
    for (what, step, tamper) in corpus {
        bench.ks().untamper();
        bench.ks().tamper(step, tamper);
        if step == Step::Pull2 {
            bench.request(cx)?;
        } else {
            bench.completion(cx)?;
        }
        bench.ks().serve_for(cx.world, hallmark_core::Duration::from_secs(2));
        // A PUSH that counts: it shows that the old keys are there, and keeps them fresh.
        let acked = bench.takes_next_push(cx)?;
        let observed = format!("{what}: {}", if acked { "acknowledged" } else { "no acknowledgement" });
        let rule = ["SEC-001", "GDOI-PULL-064"];
        if !cx.grave("pull.keys-kept", &rule, acked, "a PUSH under the keys from before is acknowledged", observed) {
            return Err(Stop::Judged);
        }
    }
    bench.finish(cx)
}

fn odd_answers(cx: &mut Cx<'_>) -> Flow {
    // Short lives bring a member back that takes itself for registered and says nothing else.
    let mut bench = Bench::with(cx, brisk, |script| {
        script.group = script.group.clone().delays(0, 10);
        tek_life(script, 90);
    })?;
    bench.register(cx)?;
    let ipsec = |change: fn(&mut Attributes)| {
        Tamper::content(move |m| {
            edit::sat(m, 0, |sat: &mut SaTek| {
                if let TekBody::Ipsec(tek) = &mut sat.body {
                    change(&mut tek.attributes);
                }
            })
        })
    };
    let sak = |change: fn(&mut hallmark_wire::gdoi::SaKek)| Tamper::content(move |m| edit::sak(m, change));
    let kd = |change: fn(&mut Vec<KeyPacket>)| Tamper::content(move |m| edit::kd(m, |kd| change(&mut kd.packets)));
    let odd = [
        (
            "a KEK attribute twice with one value",
            Step::Pull2,
            sak(|sak| {
                attr::add(&mut sak.attributes, kek_attr::KEY_LENGTH, 128);
            }),
        ),
        ("RESERVED2 of the SAK not 0", Step::Pull2, self::sak(|octets| set(octets, 33, 1))),
        ("SAK protocol 6", Step::Pull2, sak(|sak| sak.protocol = 6)),
        ("SAK protocol 0", Step::Pull2, sak(|sak| sak.protocol = 0)),
        (
            "GAP with a request for sender ids",
            Step::Pull2,
            Tamper::content(|m| {
                edit::gap(m, |gap| {
                    attr::add(&mut gap.attributes, gap_attr::SENDER_ID_REQUEST, 2);
                })
            }),
        ),
        (
            "no Encapsulation Mode",
            Step::Pull2,
            ipsec(|attributes| attr::remove(attributes, tek_attr::ENCAPSULATION_MODE)),
        ),
        (
            "a policy without KEK, then SEQ",
            Step::Pull4,
            Tamper::content(|m| {
                edit::insert_before(m, PayloadType::KEY_DOWNLOAD, PayloadType::SEQ, vec![0, 0, 0, 5]);
            }),
        ),
        ("no keys for the SAT", Step::Pull4, kd(|packets| packets.retain(|packet| packet.kd_type != kd_type::TEK))),
        (
            "a sender id packet with class 100 that nobody needs",
            Step::Pull4,
            kd(|packets| {
                let attributes = Attributes(vec![Attribute::variable(100, vec![0; 4])]);
                packets.push(KeyPacket { kd_type: kd_type::SID, spi: Vec::new(), attributes });
            }),
        ),
    ];
    for (what, step, tamper) in odd {
        let kek = bench.ks().script.group.kek.clone();
        if what.starts_with("a policy without KEK") {
            bench.ks().script.group.kek = None;
        }
        bench.ks().untamper();
        bench.ks().tamper(step, tamper);
        bench.restart(cx)?;
        bench.ks().serve_for(cx.world, hallmark_core::Duration::from_secs(20));
        bench.ks().script.group.kek = kek;
        let lives = bench.lives(cx)?;
        let observed = format!("{what}: {}", if lives { "it lives" } else { "it is gone" });
        let rule = [
            "GDOI-NEG-084",
            "GDOI-NEG-088",
            "GDOI-NEG-089",
            "GDOI-NEG-093",
            "GDOI-NEG-101",
            "GDOI-NEG-104",
            "GDOI-NEG-118",
            "GDOI-NEG-121",
        ];
        cx.grave("pull.survives", &rule, lives, "a request, an answer under phase 1 or an acknowledgement", observed);
    }
    bench.ks().untamper();
    bench.restart(cx)?;
    bench.finish(cx)
}
