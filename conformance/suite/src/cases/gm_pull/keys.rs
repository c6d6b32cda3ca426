//! Message 4: keys that must not be installed.

use hallmark_probe::edit::{self, attributes as attr};
use hallmark_probe::group::lkh_path;
use hallmark_probe::keys;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_probe::{SidPlan, Tek};
use hallmark_wire::gdoi::{KeyPacket, kd_type, kek_key, lkh_key, sid_key, tek_key};
use hallmark_wire::isakmp::{Attribute, Attributes, PayloadType};

use super::kit::{Bench, Rule, keys_refused};
use crate::Case;
use crate::cx::{Cx, Flow};

pub(crate) const CASES: &[Case] = &[
    case! {
        "PULLG-040", "gdoi.pull", Must, Gm,
        title: "keys whose HASH(4) is wrong are not installed",
        purpose: "HASH(4) is the only thing that ties the keys to this registration; without it anyone on the path \
                  hands out keys of his own.",
        requirements: ["GDOI-PULL-050", "GDOI-NEG-056", "GDOI-NEG-057", "GDOI-NEG-058", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.3"],
        catches: ["gm_hash4_unchecked"],
        cost: 200,
        run: |cx| keys_refused(
            cx,
            Rule::grave("pull.wrong-hash4-refused", &["GDOI-PULL-050", "GDOI-NEG-056", "GDOI-NEG-057", "GDOI-NEG-058"]),
            vec![
                ("one bit of HASH(4) flipped", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::HASH, 0, 0))),
                ("HASH(4) without SEQ", Tamper::hashed(|input| {
                    if let Some(rest) = input.part("rest") {
                        *rest = rest.split_off(8);
                    }
                })),
                ("HASH(4) with the nonces exchanged", Tamper::hashed(|input| input.swap("ni_b", "nr_b"))),
            ],
        ),
    },
    case! {
        "PULLG-041", "gdoi.pull", Should, Gm,
        title: "message 4 without keys or with a SEQ of another size is refused",
        purpose: "The sequence number is what keeps recorded rekeys out; read from a payload of another size it is \
                  whatever stands there.",
        requirements: ["GDOI-NEG-102", "GDOI-NEG-105", "GDOI-NEG-106", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.2", "RFC 6407 §5.7"],
        catches: ["gm_seq_length_ignored"],
        cost: 250,
        run: |cx| keys_refused(cx, PAYLOADS, vec![
            ("KD in front of SEQ", Tamper::content(|m| edit::swap(m, PayloadType::SEQ, PayloadType::KEY_DOWNLOAD))),
            ("no KD", Tamper::content(|m| edit::remove(m, PayloadType::KEY_DOWNLOAD))),
            ("SEQ of length 7", Tamper::content(|m| edit::set_body(m, PayloadType::SEQ, vec![0; 3]))),
            ("SEQ of length 9", Tamper::content(|m| edit::set_body(m, PayloadType::SEQ, vec![0; 5]))),
            ("SEQ of length 12", Tamper::content(|m| edit::set_body(m, PayloadType::SEQ, vec![0; 8]))),
        ]),
    },
    case! {
        "PULLG-042", "gdoi.pull", Should, Gm,
        title: "message 4 without SEQ is refused when the policy has a KEK",
        purpose: "A member that starts at 0 instead takes every recorded rekey of this KEK again.",
        requirements: ["GDOI-NEG-103", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.2", "RFC 6407 §5.7"],
        catches: ["gm_missing_seq_accepted"],
        cost: 60,
        run: |cx| keys_refused(cx, Rule::new("pull.missing-seq-refused", &["GDOI-NEG-103"]), vec![
            ("no SEQ", Tamper::content(|m| edit::remove(m, PayloadType::SEQ))),
        ]),
    },
    case! {
        "PULLG-043", "gdoi.pull", Should, Gm,
        title: "a KEK packet that is doubled, empty or of another size is refused",
        purpose: "IV and key are told apart by their sizes; a key that is too short shifts one into the other.",
        requirements: ["GDOI-NEG-112", "GDOI-NEG-114", "GDOI-NEG-115", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.6.2"],
        catches: ["gm_kek_length_unchecked"],
        cost: 250,
        run: |cx| keys_refused(
            cx,
            Rule::new("pull.kek-packet-refused", &["GDOI-NEG-112", "GDOI-NEG-114", "GDOI-NEG-115"]),
            vec![
                ("two KEK packets", Tamper::content(|m| edit::kd(m, |kd| {
                    if let Some(first) = kd.packets.first().cloned() {
                        kd.packets.push(first);
                    }
                }))),
                ("no KEK_ALGORITHM_KEY", kek(|packet| attr::remove(&mut packet.attributes, kek_key::ALGORITHM))),
                ("a key without IV", kek(|packet| attr::resize(&mut packet.attributes, kek_key::ALGORITHM, 16))),
                ("one octet short", kek(|packet| attr::resize(&mut packet.attributes, kek_key::ALGORITHM, 31))),
                ("one octet long", kek(|packet| attr::resize(&mut packet.attributes, kek_key::ALGORITHM, 33))),
            ],
        ),
    },
    case! {
        "PULLG-044", "gdoi.pull", Should, Gm,
        title: "a KEK packet for another SPI than the SAK's is not installed",
        purpose: "Keys belong to the policy with their SPI; matched by type alone, the keys of one KEK are used under \
                  the name of another.",
        requirements: ["GDOI-NEG-110", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.6"],
        catches: ["gm_kek_spi_unchecked"],
        cost: 60,
        run: |cx| keys_refused(cx, Rule::new("pull.foreign-spi-refused", &["GDOI-NEG-110"]), vec![
            ("one bit of the SPI changed", kek(|packet| {
                if let Some(octet) = packet.spi.first_mut() {
                    *octet ^= 1;
                }
            })),
        ]),
    },
    case! {
        "PULLG-045", "gdoi.signature", Should, Gm,
        title: "without a usable signature key no PUSH is accepted",
        purpose: "A member that cannot verify must not take that for permission: every member of the group knows the \
                  KEK, so only the signature tells the key server from them.",
        requirements: ["GDOI-NEG-116", "GDOI-NEG-117", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.3.7", "RFC 6407 §4"],
        catches: ["gm_no_sig_check"],
        cost: 200,
        run: signature_key,
    },
    case! {
        "PULLG-047", "gdoi.pull", Must, Gm,
        title: "TEK keys that do not fit their transform are refused",
        purpose: "A key of 16 octets for AES-256 is read on into whatever follows, and a transform without its MAC \
                  key encrypts without noticing changes.",
        requirements: ["SEC-009", "GDOI-NEG-119", "GDOI-NEG-120", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.6.1"],
        catches: ["gm_key_length_unchecked", "gm_integrity_optional"],
        cost: 350,
        run: tek_keys,
    },
    case! {
        "PULLG-046", "gdoi.pull", Should, Gm,
        title: "a key packet with an unknown attribute is refused, and the member lives on",
        purpose: "As in the policy: what the member does not know may change what the key is for.",
        requirements: ["GDOI-NEG-121", "GDOI-NEG-111", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.3.2", "RFC 6407 §5.6"],
        catches: ["gm_unknown_attribute_ignored", "gm_crash_new_ks"],
        cost: 250,
        run: unknown_in_keys,
    },
    case! {
        "SIDG-002", "gdoi.sid", Should, Gm,
        title: "sender ids that do not fit their announced size are refused",
        purpose: "The sender id is the front part of every IV. Cut to another size, two members share one.",
        requirements: ["GDOI-NEG-122", "GDOI-NEG-123", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.6.4"],
        catches: ["gm_sid_packet_unchecked"],
        needs: [Setup],
        cost: 350,
        run: sender_ids,
    },
    case! {
        "PULLG-048", "gdoi.lkh", Should, Gm,
        title: "a doubled key hierarchy is refused",
        purpose: "With two paths through the tree, the next rekey is unwrapped with the keys of one and taken for the \
                  other.",
        requirements: ["GDOI-NEG-113", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.6.3"],
        catches: ["gm_lkh_repeats_taken"],
        needs: [Setup],
        cost: 90,
        run: doubled_hierarchy,
    },
];

/// The payloads that message 4 has to have.
const PAYLOADS: Rule = Rule::new("pull.m4-payloads-refused", &["GDOI-NEG-102", "GDOI-NEG-105", "GDOI-NEG-106"]);

fn kek(change: fn(&mut KeyPacket)) -> Tamper {
    Tamper::content(move |m| edit::packet(m, kd_type::KEK, change))
}

fn tek(change: fn(&mut KeyPacket)) -> Tamper {
    Tamper::content(move |m| edit::packet(m, kd_type::TEK, change))
}

fn signature_key(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let short = keys::load(keys::REKEY_RSA_1024_PEM).and_then(|key| key.public().to_spki_der().ok());
    let short = cx.have(short, "the tester cannot load its key")?;
    let rule = Rule::new("pull.signature-key-refused", &["GDOI-NEG-116"]);
    let smaller = Tamper::content(move |m| {
        let short = short.clone();
        edit::packet(m, kd_type::KEK, |packet| {
            attr::replace(&mut packet.attributes, Attribute::variable(kek_key::SIGNATURE, short));
        });
    });
    bench.refuse_keys(
        cx,
        &rule,
        vec![
            (
                "a signature key that does not decode",
                kek(|packet| {
                    attr::replace(&mut packet.attributes, Attribute::variable(kek_key::SIGNATURE, vec![0x30; 40]));
                }),
            ),
            ("a signature key of another size than announced", smaller),
        ],
    )?;
    // A member may register without a signature key: it then has no use for rekeys, and that is all.
    let none = kek(|packet| attr::remove(&mut packet.attributes, kek_key::SIGNATURE));
    bench.ks().tamper(Step::Pull4, none);
    bench.completion(cx)?;
    let taken = bench.takes_push(cx)?;
    let observed = if taken { "a PUSH was acknowledged" } else { "no acknowledgement" };
    let expected = "no PUSH is acknowledged without a signature key";
    cx.grave_silence("pull.no-key-no-push", &["GDOI-NEG-117"], !taken, expected, observed);
    bench.restart(cx)?;
    bench.finish(cx)
}

fn tek_keys(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let rule = Rule::new("pull.tek-keys-refused", &["SEC-009", "GDOI-NEG-119", "GDOI-NEG-120"]);
    bench.refuse_keys(
        cx,
        &rule,
        vec![
            ("no TEK_ALGORITHM_KEY", tek(|packet| attr::remove(&mut packet.attributes, tek_key::ALGORITHM))),
            ("a key of 8 octets", tek(|packet| attr::resize(&mut packet.attributes, tek_key::ALGORITHM, 8))),
            ("a key of 32 octets", tek(|packet| attr::resize(&mut packet.attributes, tek_key::ALGORITHM, 32))),
            (
                "TEK_ALGORITHM_KEY twice",
                tek(|packet| {
                    if let Some(first) = packet.attributes.0.first().cloned() {
                        packet.attributes.0.push(first);
                    }
                }),
            ),
            ("no TEK_INTEGRITY_KEY", tek(|packet| attr::remove(&mut packet.attributes, tek_key::INTEGRITY))),
            ("a MAC key of 20 octets", tek(|packet| attr::resize(&mut packet.attributes, tek_key::INTEGRITY, 20))),
        ],
    )?;
    bench.finish(cx)
}

fn unknown_in_keys(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let rule = Rule::new("pull.key-attribute-refused", &["GDOI-NEG-121"]);
    bench.refuse_keys(
        cx,
        &rule,
        vec![
            (
                "class 100 in the KEK packet",
                kek(|packet| {
                    packet.attributes.push(Attribute::variable(100, vec![0; 16]));
                }),
            ),
            (
                "class 100 in the TEK packet",
                tek(|packet| {
                    packet.attributes.push(Attribute::variable(100, vec![0; 16]));
                }),
            ),
        ],
    )?;
    // A packet of an unknown type may be stepped over or spoil the message; it must not kill.
    bench.ks().tamper(
        Step::Pull4,
        Tamper::content(|m| {
            edit::kd(m, |kd| {
                kd.packets.push(KeyPacket { kd_type: 200, spi: vec![1, 2, 3, 4], attributes: Attributes(Vec::new()) });
            })
        }),
    );
    bench.completion(cx)?;
    let taken = bench.takes_push(cx)?;
    cx.measure("keys beside a packet of unknown type were taken", f64::from(u8::from(taken)), "");
    let lives = taken || bench.lives(cx)?;
    let observed = match (taken, lives) {
        (true, _) => "the keys beside it are in use",
        (false, true) => "the member goes on without these keys",
        (false, false) => "no sign of life",
    };
    cx.check("pull.unknown-key-packet-survived", &["GDOI-NEG-111"], lives, "passed over or refused", observed);
    bench.restart(cx)?;
    bench.finish(cx)
}

fn sender_ids(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::with(cx, |setup| setup.sender_ids = 1, |_| {})?;
    let gcm = Tek::gcm(bench.ks().rng());
    let group = &mut bench.ks().script.group;
    (group.teks, group.sids) = (vec![gcm], Some(SidPlan::default()));
    let sid = |change: fn(&mut KeyPacket)| Tamper::content(move |m| edit::packet(m, kd_type::SID, change));
    let rule = Rule::new("pull.sender-ids-refused", &["GDOI-NEG-122", "GDOI-NEG-123"]);
    bench.refuse_keys(
        cx,
        &rule,
        vec![
            ("no NUMBER_OF_SID_BITS", sid(|packet| attr::remove(&mut packet.attributes, sid_key::BITS))),
            ("NUMBER_OF_SID_BITS 0", sid(|packet| attr::set(&mut packet.attributes, sid_key::BITS, 0))),
            ("NUMBER_OF_SID_BITS 64", sid(|packet| attr::set(&mut packet.attributes, sid_key::BITS, 64))),
            (
                "a sender id of 9 bits where 8 are announced",
                sid(|packet| {
                    attr::replace(&mut packet.attributes, Attribute::u32(sid_key::VALUE, 256));
                }),
            ),
            (
                "a sender id of no octet",
                sid(|packet| {
                    attr::replace(&mut packet.attributes, Attribute::variable(sid_key::VALUE, Vec::new()));
                }),
            ),
            (
                "a sender id of 9 octets",
                sid(|packet| {
                    attr::replace(&mut packet.attributes, Attribute::variable(sid_key::VALUE, vec![0; 9]));
                }),
            ),
        ],
    )?;
    bench.finish(cx)
}

fn doubled_hierarchy(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let kek = bench.ks().script.group.kek.clone();
    let kek = cx.have(kek, "the script has no KEK")?;
    let path = lkh_path(bench.ks().rng(), &kek, 3);
    bench.ks().script.group.lkh = Some(path);
    let rule = Rule::new("pull.doubled-hierarchy-refused", &["GDOI-NEG-113"]);
    let array = Tamper::content(|m| {
        edit::packet(m, kd_type::LKH, |packet| {
            let array = packet.attributes.iter().find(|attribute| attribute.class == lkh_key::DOWNLOAD).cloned();
            packet.attributes.0.extend(array);
        });
    });
    let packet = Tamper::content(|m| {
        edit::kd(m, |kd| {
            let packet = kd.packets.iter().find(|packet| packet.kd_type == kd_type::LKH).cloned();
            kd.packets.extend(packet);
        });
    });
    bench.refuse_keys(cx, &rule, vec![("two DOWNLOAD_ARRAYs", array), ("two LKH packets", packet)])?;
    bench.finish(cx)
}
