//! Policy and keys that a PUSH brings: what must be taken, and what must be refused as a whole.

use hallmark_core::Duration;
use hallmark_crypto::CipherAlg;
use hallmark_probe::edit;
use hallmark_probe::edit::attributes;
use hallmark_probe::group::{Flow as Traffic, Kek, Tek};
use hallmark_probe::keys;
use hallmark_probe::ks::PushSpec;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::gdoi::{Selector, TekBody, gap_attr, kd_type, kek_attr, kek_key, sid_key, tek_attr, tek_key};
use hallmark_wire::isakmp::{Attribute, Attributes, PayloadType};
use hallmark_wire::raw::{Field, RawMessage};

use super::kit::{Bench, Rule, Sas, Wrong, kek_of, tek_lifetime};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::ACK_WINDOW;

pub(crate) const CASES: &[Case] = &[
    case! {
        "REKEY-023", "gdoi.push", Must, Gm,
        title: "a PUSH that changes only the KEK is accepted and leaves the TEKs alone",
        purpose: "KEK and TEK rekeys have schedules of their own; a KEK rekey must not touch traffic.",
        requirements: ["REKEY-023", "GDOI-PUSH-046", "GDOI-PUSH-049"],
        sources: ["RFC 6407 §7.4.1"],
        catches: ["gm_kek_only_refused"],
        cost: 15,
        run: kek_only,
    },
    case! {
        "PUSHG-035", "gdoi.push", Should, Gm,
        title: "the old KEK is of no use once a new one was delivered",
        purpose: "A KEK is replaced because someone must not have it any more: new keys under the old one would go to \
                  whom they were meant to exclude.",
        requirements: ["GDOI-PUSH-046"],
        sources: ["RFC 6407 §4"],
        catches: ["gm_old_kek_accepted"],
        cost: 20,
        run: old_kek,
    },
    case! {
        "PUSHG-036", "gdoi.push", Must, Gm,
        title: "a PUSH without a SAK leaves the KEK as it is",
        purpose: "Most rekeys only change traffic keys; the next one comes under the same KEK.",
        requirements: ["GDOI-PUSH-047", "GDOI-PUSH-037"],
        sources: ["RFC 6407 §5.2.1"],
        catches: ["gm_forgets_kek_without_sak"],
        cost: 15,
        run: without_sak,
    },
    case! {
        "PUSHG-037", "gdoi.push", Must, Gm,
        title: "a new TEK takes over from the one that ends",
        purpose: "A member that acknowledges a rekey and does not install it goes on with a TEK that ends, and is alone \
                  when it has.",
        requirements: ["GDOI-PUSH-048"],
        sources: ["RFC 6407 §4.4"],
        catches: ["gm_new_sa_inactive"],
        cost: 180,
        run: new_tek_lives,
    },
    case! {
        "PUSHG-038", "gdoi.push", Must, Gm,
        title: "key packets belong to their SAs by SPI, in whatever order they come",
        purpose: "Keys that are dealt out by position give one SA the key of another.",
        requirements: ["GDOI-PULL-054", "GDOI-PUSH-048"],
        sources: ["RFC 6407 §3.3", "RFC 6407 §5.6"],
        catches: ["gm_keys_by_position"],
        cost: 15,
        run: packet_order,
    },
    case! {
        "SEC-008", "gdoi.push", Must, Gm,
        title: "a PUSH is taken completely or not at all",
        purpose: "Half a policy is a policy that nobody wrote: some traffic of the group would have keys and some not.",
        requirements: ["SEC-008", "GDOI-PUSH-060", "GDOI-NEG-166", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4.4", "RFC 6407 §5.6", "getvpn §9.14"],
        catches: ["gm_partial_install"],
        cost: 25,
        run: atomic,
    },
    case! {
        "SEC-009", "gdoi.push", Must, Gm,
        title: "keys that do not have the length of their algorithm are refused",
        purpose: "A cipher that is fed too short a key reads on into whatever lies behind it.",
        requirements: ["SEC-009", "GDOI-NEG-119", "GDOI-NEG-120", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §5.6.1", "getvpn §9.14"],
        catches: ["gm_key_length_unchecked", "gm_integrity_optional"],
        cost: 30,
        run: key_lengths,
    },
    case! {
        "PUSHG-039", "gdoi.push", Should, Gm,
        title: "a new KEK without its key packet, or with one of another SPI, is refused",
        purpose: "A Rekey SA without a key would replace one that works.",
        requirements: ["GDOI-NEG-163", "GDOI-NEG-164", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4", "RFC 6407 §5.6"],
        catches: ["gm_kek_spi_unchecked"],
        cost: 25,
        run: kek_packet,
    },
    case! {
        "PUSHG-040", "gdoi.push", Should, Gm,
        title: "the SPI of the KEK in use with another key is refused",
        purpose: "The SPI is the name of the key and of its counter; another key under it leaves the group with two.",
        requirements: ["GDOI-NEG-165", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4"],
        catches: ["gm_same_spi_rekeyed"],
        cost: 20,
        run: same_spi,
    },
    case! {
        "PUSHG-041", "gdoi.push", Must, Gm,
        title: "a PUSH with an attribute or algorithm that is not understood installs nothing",
        purpose: "What the member does not understand may be what makes the policy safe.",
        requirements: ["GDOI-NEG-168", "GDOI-PL-031", "GDOI-PL-039", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §5.3.2", "RFC 6407 §5.4"],
        catches: ["gm_unknown_attribute_ignored", "gm_crash_new_ks"],
        cost: 30,
        run: unknown_attributes,
    },
    case! {
        "SEC-002", "gdoi.robustness", Must, Gm,
        title: "malformed lengths under a valid signature are refused and harm nobody",
        purpose: "A key server that was taken over, or one with a bug, must not take its members down: such attributes \
                  have been used against products in the field.",
        requirements: ["SEC-002", "GDOI-NEG-181", "GDOI-PUSH-058"],
        sources: ["getvpn §6 P25", "getvpn §9.14"],
        catches: ["malicious_ks_attr"],
        cost: 60,
        run: malformed,
    },
    case! {
        "PUSHG-042", "gdoi.sid", Must, Gm,
        title: "a sender without a sender id installs no counter-mode SA from a PUSH",
        purpose: "Two senders with one sender id repeat nonces: in a counter mode that gives away the traffic and the \
                  authentication key.",
        requirements: ["GDOI-SID-027"],
        sources: ["RFC 6407 §4.4", "RFC 6054 §3"],
        catches: ["gm_installs_counter_without_sid"],
        cost: 30,
        run: counter_mode_without_sid,
    },
    case! {
        "PUSHG-043", "gdoi.sid", Must, Gm,
        title: "sender ids in a PUSH are not taken",
        purpose: "A PUSH goes to every member: all would send with the same ids.",
        requirements: ["GDOI-NEG-169", "GDOI-SID-027"],
        sources: ["RFC 6407 §5.6.4"],
        catches: ["gm_sid_from_push"],
        cost: 30,
        run: sids_in_push,
    },
    case! {
        "PUSHG-044", "gdoi.push", Must, Gm,
        title: "what the operator does not accept at registration is not accepted by rekey either",
        purpose: "A floor that holds only at registration is none: the next rekey goes below it.",
        requirements: ["POLICY-021", "POLICY-022", "GDOI-PUSH-058"],
        sources: ["getvpn §9.2"],
        catches: ["gm_accepts_any_kek", "gm_accepts_any_transform"],
        needs: [Setup],
        cost: 25,
        run: floors,
    },
    case! {
        "SEC-006", "gdoi.robustness", Must, Gm,
        title: "a flood of badly signed PUSHes does not keep the valid one out",
        purpose: "Any member can send them. Checking the number before the signature, and dropping copies before both, \
                  keeps the cost low.",
        requirements: ["SEC-006", "GDOI-PUSH-036", "GDOI-PUSH-043"],
        sources: ["RFC 6407 §4.4", "RFC 6407 §7.3.4", "getvpn §9.14"],
        catches: ["gm_deaf_after_bad_sig"],
        cost: 30,
        run: flood,
    },
    case! {
        "PUSHG-054", "gdoi.push", Should, Gm,
        title: "an SPI in use with other keys is refused or replaced, and the member works on",
        purpose: "Two keys under one SPI: whatever the member decides, it must decide once for both directions and stay \
                  in the group.",
        requirements: ["GDOI-NEG-167"],
        sources: ["RFC 6407 §5.5.1"],
        catches: ["gm_clash_drops_kek"],
        cost: 20,
        run: spi_clash,
    },
    case! {
        "PUSHG-055", "gdoi.push", Must, Gm,
        title: "port 0 in the SAK leaves the source port of rekeys open",
        purpose: "Servers behind port translation, and those that rekey from a port of their own, announce 0.",
        requirements: ["GDOI-PL-024"],
        sources: ["RFC 6407 §5.3"],
        catches: ["gm_push_source_pinned"],
        cost: 15,
        run: any_source_port,
    },
    case! {
        "REKEY-030", "gdoi.push", Must, Gm,
        title: "activation and deactivation delays of a rekey are kept",
        purpose: "Receivers must know a key before anyone sends with it, and must keep the old one while it is still in \
                  use: the delays say for how long.",
        requirements: ["REKEY-030", "GDOI-PL-041", "GDOI-PL-042", "GDOI-PL-043"],
        sources: ["RFC 6407 §5.4.1", "RFC 5374 §4.2.1"],
        catches: ["gm_atd_ignored", "gm_dtd_ignored"],
        needs: [Console],
        cost: 60,
        run: delays,
    },
];

fn contents_refused(cx: &mut Cx<'_>, bench: &mut Bench, rule: &Rule, wrong: Vec<Wrong>) -> Flow {
    for (what, tamper) in wrong {
        let spec = bench.rekey().tamper(tamper);
        bench.refuse_content(cx, rule, what, spec)?;
    }
    Ok(())
}

fn kek_only(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.kek-only-accepted", &["REKEY-023", "GDOI-PUSH-049"]);
    const NEXT: Rule = Rule::new("push.new-kek-works", &["REKEY-023", "GDOI-PUSH-046"]);
    let mut bench = Bench::standard(cx)?;
    for round in ["first", "second"] {
        let kek = bench.next_kek()?;
        bench.accept(cx, &RULE, &format!("{round} KEK"), PushSpec::kek(kek))?;
        let spec = bench.rekey();
        bench.accept(cx, &NEXT, &format!("a TEK under the {round} KEK"), spec)?;
    }
    // Both in one message.
    let kek = bench.next_kek()?;
    let spec = bench.rekey().with_kek(kek);
    bench.accept(cx, &NEXT, "KEK and TEK together", spec)?;
    bench.finish(cx)
}

fn old_kek(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let kek = bench.next_kek()?;
    let delivered = bench.acked(cx, PushSpec::kek(kek))?.is_some();
    cx.require(delivered, "the new KEK was not accepted")?;
    bench.scene.still_takes_pushes(cx)?;
    let old = cx.have(bench.scene.ks.old_keks().last().cloned(), "there is no old KEK")?;
    for ahead in [1, 2] {
        let seq = old.seq + ahead;
        let spec = bench.rekey().under(old.clone()).seq(seq).commit(false);
        let push = bench.scene.push(cx, spec)?;
        bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
        let taken = bench.was_acked(&push);
        let observed =
            format!("number {seq} under the old KEK: {}", if taken { "acknowledged" } else { "no acknowledgement" });
        // No text bounds how long the old Rekey SA may live, so this can only warn.
        let rule = Rule::advisory("push.old-kek-refused", &["GDOI-PUSH-046"]);
        rule.silence(cx, !taken, "no acknowledgement", observed);
    }
    bench.finish(cx)
}

fn without_sak(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.kek-stays-without-sak", &["GDOI-PUSH-047", "GDOI-PUSH-037"]);
    let mut bench = Bench::fresh(cx, |_| {}, |_| {})?;
    for round in 1..=4 {
        let spec = bench.rekey();
        bench.accept(cx, &RULE, &format!("TEK rekey {round} under one KEK"), spec)?;
    }
    bench.finish(cx)
}

fn new_tek_lives(cx: &mut Cx<'_>) -> Flow {
    const LIFE: u64 = 150;
    let mut bench = Bench::fresh(cx, |_| {}, |script| tek_lifetime(script, 150))?;
    let born = cx.world.now();
    let tek = bench.next_tek().lifetime(3_600);
    let acked = bench.acked(cx, PushSpec::tek(tek))?.is_some();
    cx.require(acked, "the new TEK was not acknowledged")?;
    let left = (born + Duration::from_secs(LIFE)).saturating_since(cx.world.now());
    let again = bench.registers_again(cx, left).is_some();
    let observed = if again { "it registered again as if the new TEK were not there" } else { "no registration" };
    let expected = "no registration when the old TEK ends";
    cx.silence("push.new-tek-installed", &["GDOI-PUSH-048"], !again, expected, observed);
    bench.scene.finish(cx)
}

/// Makes two TEKs with different algorithms and flows.
fn two_teks(bench: &mut Bench) -> (Tek, Tek) {
    let first = Tek::esp(bench.scene.ks.rng(), 12, Some(256), Some(7), 3_600);
    let other = Traffic::between(([10, 3, 0, 0].into(), 16), ([10, 4, 0, 0].into(), 16));
    let second = Tek::esp(bench.scene.ks.rng(), 12, Some(128), Some(5), 3_600).flows(vec![other]);
    (first, second)
}

fn packet_order(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.packets-matched-by-spi", &["GDOI-PULL-054", "GDOI-PUSH-048"]);
    let mut bench = Bench::standard(cx)?;
    let (first, second) = two_teks(&mut bench);
    bench.accept(cx, &RULE, "two TEKs, packets in the same order", PushSpec::tek(first).with_tek(second))?;
    let (first, second) = two_teks(&mut bench);
    let reverse = Tamper::content(|m| edit::kd(m, |kd| kd.packets.reverse()));
    let spec = PushSpec::tek(first).with_tek(second).tamper(reverse);
    bench.accept(cx, &RULE, "two TEKs, packets in reverse order", spec)?;
    let (first, second) = two_teks(&mut bench);
    let kek = bench.next_kek()?;
    let last = Tamper::content(|m| edit::kd(m, |kd| kd.packets.rotate_left(1)));
    let spec = PushSpec::kek(kek).with_tek(first).with_tek(second).tamper(last);
    bench.accept(cx, &RULE, "the KEK packet behind those of the TEKs", spec)?;
    bench.finish(cx)
}

fn atomic(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.all-or-nothing", &["SEC-008", "GDOI-PUSH-060", "GDOI-NEG-166"]);
    let mut bench = Bench::standard(cx)?;
    let wrong: Vec<Wrong> = vec![
        ("the second SA has no key packet", Tamper::content(|m| edit::kd(m, |kd| drop(kd.packets.pop())))),
        ("the first SA has no key packet", Tamper::content(|m| edit::kd(m, |kd| drop(kd.packets.remove(0))))),
        (
            "a key packet belongs to no SA",
            Tamper::content(|m| {
                edit::kd(m, |kd| {
                    if let Some(packet) = kd.packets.last_mut() {
                        packet.spi = vec![0x10, 0x20, 0x30, 0x40];
                    }
                })
            }),
        ),
        (
            "the second SA has an unknown transform",
            Tamper::content(|m| {
                edit::sat(m, 1, |sat| {
                    if let TekBody::Ipsec(tek) = &mut sat.body {
                        tek.transform_id = 250;
                    }
                })
            }),
        ),
    ];
    for (what, tamper) in wrong {
        let (first, second) = two_teks(&mut bench);
        bench.refuse_content(cx, &RULE, what, PushSpec::tek(first).with_tek(second).tamper(tamper))?;
    }
    bench.finish(cx)
}

/// Changes the keys of the first TEK packet.
fn tek_keys(change: impl Fn(&mut Attributes) + 'static) -> Tamper {
    Tamper::content(move |m| edit::packet(m, kd_type::TEK, |packet| change(&mut packet.attributes)))
}

fn key_lengths(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.key-length", &["SEC-009", "GDOI-NEG-119", "GDOI-NEG-120"]);
    let mut bench = Bench::standard(cx)?;
    contents_refused(
        cx,
        &mut bench,
        &RULE,
        vec![
            ("encryption key one octet short", tek_keys(|keys| attributes::resize(keys, tek_key::ALGORITHM, 15))),
            ("encryption key 8 octets long", tek_keys(|keys| attributes::resize(keys, tek_key::ALGORITHM, 24))),
            ("empty encryption key", tek_keys(|keys| attributes::resize(keys, tek_key::ALGORITHM, 0))),
            ("no encryption key", tek_keys(|keys| attributes::remove(keys, tek_key::ALGORITHM))),
            ("no integrity key", tek_keys(|keys| attributes::remove(keys, tek_key::INTEGRITY))),
            ("integrity key one octet short", tek_keys(|keys| attributes::resize(keys, tek_key::INTEGRITY, 31))),
            (
                "encryption key twice",
                tek_keys(|keys| {
                    if let Some(key) = keys.get(tek_key::ALGORITHM).cloned() {
                        keys.push(key);
                    }
                }),
            ),
        ],
    )?;
    let kek = bench.next_kek()?;
    let short = Tamper::content(|m| {
        edit::packet(m, kd_type::KEK, |packet| {
            attributes::resize(&mut packet.attributes, kek_key::ALGORITHM, 31);
        })
    });
    bench.refuse_content(cx, &RULE, "KEK one octet short", PushSpec::kek(kek).tamper(short))?;
    bench.finish(cx)
}

fn kek_packet(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.kek-packet-fits-sak", &["GDOI-NEG-163", "GDOI-NEG-164"]);
    let mut bench = Bench::standard(cx)?;
    let wrong: Vec<Wrong> = vec![
        ("no KEK packet", Tamper::content(|m| edit::kd(m, |kd| kd.packets.retain(|p| p.kd_type != kd_type::KEK)))),
        (
            "a KEK packet with another SPI",
            Tamper::content(|m| {
                edit::packet(m, kd_type::KEK, |p| {
                    if let Some(octet) = p.spi.last_mut() {
                        *octet ^= 1;
                    }
                })
            }),
        ),
        ("a KEK packet with half an SPI", Tamper::content(|m| edit::packet(m, kd_type::KEK, |p| p.spi.truncate(8)))),
    ];
    for (what, tamper) in wrong {
        let kek = bench.next_kek()?;
        let spec = bench.rekey().with_kek(kek).tamper(tamper);
        bench.refuse_content(cx, &RULE, what, spec)?;
    }
    bench.finish(cx)
}

fn same_spi(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.same-spi-other-key-refused", &["GDOI-NEG-165"]);
    let mut bench = Bench::standard(cx)?;
    let spi = bench.kek(cx)?.spi;
    let other = Kek { spi, ..bench.next_kek()? };
    let spec = bench.rekey().with_kek(other);
    bench.refuse_content(cx, &RULE, "the SPI in use with another key", spec)?;
    // The same key again is how some servers write every rekey: recorded, not judged.
    let spec = bench.rekey().with_current_sak().commit(false);
    let push = bench.scene.push(cx, spec)?;
    bench.set_last(push.seq);
    let taken = bench.scene.ack(cx, &push).is_some();
    cx.world.note(if taken { "a repeated SAK is accepted" } else { "a repeated SAK is refused" });
    bench.finish(cx)
}

fn unknown_attributes(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.unknown-attribute-refused", &["GDOI-NEG-168", "GDOI-PL-031", "GDOI-PL-039"]);
    let mut bench = Bench::standard(cx)?;
    let sak = |change: fn(&mut Attributes)| Tamper::content(move |m| edit::sak(m, |sak| change(&mut sak.attributes)));
    let wrong: Vec<Wrong> = vec![
        ("KEK attribute 100", sak(|a| attributes::add(a, 100, 1))),
        ("KEK attribute 100 of 40 octets", sak(|a| a.push(Attribute::variable(100, vec![7; 40])))),
        ("KEK_ALGORITHM 50", sak(|a| attributes::set(a, kek_attr::ALGORITHM, 50))),
        ("SIG_ALGORITHM 50", sak(|a| attributes::set(a, kek_attr::SIG_ALGORITHM, 50))),
        ("SIG_HASH_ALGORITHM 50", sak(|a| attributes::set(a, kek_attr::SIG_HASH, 50))),
    ];
    for (what, tamper) in wrong {
        let kek = bench.next_kek()?;
        bench.refuse_content(cx, &RULE, what, PushSpec::kek(kek).tamper(tamper))?;
    }
    let spec = bench.rekey().with_gap(Attribute::basic(100, 1));
    bench.refuse_content(cx, &RULE, "GAP attribute 100", spec)?;
    let spec = bench.rekey().tamper(Tamper::content(|m| {
        edit::sat(m, 0, |sat| {
            if let TekBody::Ipsec(tek) = &mut sat.body {
                attributes::set(&mut tek.attributes, tek_attr::AUTH_ALGORITHM, 200);
            }
        })
    }));
    bench.refuse_content(cx, &RULE, "authentication algorithm 200 in an SA", spec)?;
    bench.finish(cx)
}

/// Forces the length of one attribute of the first SA TEK payload or of the SA KEK payload.
fn inner_octets(kind: PayloadType, change: impl Fn(&mut Vec<u8>) + 'static) -> Tamper {
    Tamper::content(move |m| edit::sa_inner(m, kind, 0, |octets| change(octets)))
}

/// Forces the length of an inner payload of the SA.
fn inner_length(kind: PayloadType, length: u16) -> Tamper {
    Tamper::content(move |m| {
        edit::sa_tree(m, |_, children| {
            if let Some(child) = children.iter_mut().find(|child| child.kind == kind.0) {
                child.length = Field::Force(length);
            }
        })
    })
}

/// Overwrites octets of the body of KD: RESERVED2 and the count (0..4), then the first key packet.
fn kd_octets(at: usize, octets: &'static [u8]) -> Tamper {
    Tamper::content(move |m: &mut RawMessage| {
        edit::body(m, PayloadType::KEY_DOWNLOAD, |body| hallmark_probe::tamper::octets::put(body, at, octets));
    })
}

fn malformed(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("push.malformed-refused", &["SEC-002", "GDOI-NEG-181"]);
    let mut bench = Bench::standard(cx)?;
    let overrun = |octets: &mut Vec<u8>| octets.extend([0x00, 0x02, 0xff, 0xf0]);
    contents_refused(
        cx,
        &mut bench,
        &RULE,
        vec![
            ("SAT length 0", inner_length(PayloadType::SA_TEK, 0)),
            ("SAT length 3", inner_length(PayloadType::SA_TEK, 3)),
            ("SAT length 65535", inner_length(PayloadType::SA_TEK, 65_535)),
            ("an SA attribute of 65520 octets", inner_octets(PayloadType::SA_TEK, overrun)),
            (
                "an SA attribute of 1 octet that is not there",
                inner_octets(PayloadType::SA_TEK, |o| o.extend([0, 2, 0, 1])),
            ),
            ("half an attribute header", inner_octets(PayloadType::SA_TEK, |o| o.extend([0x80, 2]))),
            ("SAT cut to 4 octets", inner_octets(PayloadType::SA_TEK, |o| o.truncate(4))),
            ("65535 key packets", kd_octets(0, &[0xff, 0xff])),
            ("no key packet", kd_octets(0, &[0, 0])),
            ("key packet length 0", kd_octets(6, &[0, 0])),
            ("key packet length 65535", kd_octets(6, &[0xff, 0xff])),
            ("SPI size 255", kd_octets(8, &[0xff])),
            ("SPI size 0", kd_octets(8, &[0])),
            ("a key of 65535 octets", tek_keys(|keys| keys.push(Attribute::variable(9, vec![0; 3])))),
            ("SA cut behind its situation", Tamper::content(|m| edit::body(m, PayloadType::SA, |o| o.truncate(8)))),
            ("SA of 2 octets", Tamper::content(|m| edit::body(m, PayloadType::SA, |o| o.truncate(2)))),
            ("KD without a body", Tamper::content(|m| edit::body(m, PayloadType::KEY_DOWNLOAD, Vec::clear))),
        ],
    )?;
    let wrong: Vec<Wrong> = vec![
        ("SAK length 0", inner_length(PayloadType::SA_KEK, 0)),
        ("SAK length 65535", inner_length(PayloadType::SA_KEK, 65_535)),
        ("a KEK attribute of 65520 octets", inner_octets(PayloadType::SA_KEK, overrun)),
        (
            "an address length beyond the SAK",
            inner_octets(PayloadType::SA_KEK, |o| {
                hallmark_probe::tamper::octets::put(o, 4, &[0xff]);
            }),
        ),
        ("SAK cut to 10 octets", inner_octets(PayloadType::SA_KEK, |o| o.truncate(10))),
        (
            "two SAKs",
            Tamper::content(|m| {
                edit::sa_tree(m, |_, children| {
                    if let Some(sak) = children.iter().find(|child| child.kind == PayloadType::SA_KEK.0).cloned() {
                        children.insert(0, sak);
                    }
                })
            }),
        ),
    ];
    for (what, tamper) in wrong {
        let kek = bench.next_kek()?;
        let spec = bench.rekey().with_kek(kek).tamper(tamper);
        bench.refuse_content(cx, &RULE, what, spec)?;
    }
    bench.finish(cx)
}

fn counter_mode_without_sid(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("push.no-counter-mode-without-sid", &["GDOI-SID-027"]);
    let mut bench = Bench::standard(cx)?;
    let gcm = Tek::gcm(bench.scene.ks.rng());
    // Its number may be used up: the PUSH itself is valid.
    let next = bench.last() + 1;
    bench.unacked(cx, &RULE, "an AES-GCM SA", PushSpec::tek(gcm).seq(next))?;
    bench.set_last(next);
    // It may register at once to get a sender id.
    bench.scene.ks.serve_for(cx.world, Duration::from_secs(20));
    bench.scene.finish(cx)
}

fn sids_in_push(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("push.sids-not-taken", &["GDOI-NEG-169", "GDOI-SID-027"]);
    let mut bench = Bench::standard(cx)?;
    let gcm = Tek::gcm(bench.scene.ks.rng());
    let sids = hallmark_wire::gdoi::KeyPacket {
        kd_type: kd_type::SID,
        spi: Vec::new(),
        attributes: Attributes(vec![Attribute::basic(sid_key::BITS, 8), Attribute::u32(sid_key::VALUE, 5)]),
    };
    let next = bench.last() + 1;
    let spec = PushSpec::tek(gcm).with_packet(sids).seq(next);
    bench.unacked(cx, &RULE, "an AES-GCM SA with sender ids", spec)?;
    bench.set_last(next);
    bench.scene.ks.serve_for(cx.world, Duration::from_secs(20));
    bench.scene.finish(cx)
}

fn floors(cx: &mut Cx<'_>) -> Flow {
    const KEK: Rule = Rule::new("push.kek-floor-holds", &["POLICY-021"]);
    const TEK: Rule = Rule::new("push.transform-floor-holds", &["POLICY-022"]);
    let mut bench = Bench::start(
        cx,
        |setup| {
            setup.acceptable_kek_ciphers = vec!["aes128".to_owned(), "aes256".to_owned()];
            setup.acceptable_transforms = vec!["aes128-cbc/hmac-sha256".to_owned()];
        },
        |_| {},
    )?;
    let signing = cx.have(keys::load(keys::REKEY_RSA_2048_PEM), "a key of the tester does not load")?;
    let hash = bench.kek(cx)?.sig_hash;
    let weak = Kek::with(bench.scene.ks.rng(), CipherAlg::TripleDes, hash, signing);
    bench.refuse_content(cx, &KEK, "a 3DES KEK", PushSpec::kek(weak))?;
    let weak = Tek::esp(bench.scene.ks.rng(), 3, None, Some(2), 3_600);
    bench.refuse_content(cx, &TEK, "a 3DES TEK", PushSpec::tek(weak))?;
    bench.finish(cx)
}

fn flood(cx: &mut Cx<'_>) -> Flow {
    const REQUIREMENTS: &[&str] = &["SEC-006", "GDOI-PUSH-036", "GDOI-PUSH-043"];
    let mut bench = Bench::standard(cx)?;
    let stale = bench.last();
    let mut wrong = Vec::new();
    for seq in [stale, stale + 50] {
        let spec = bench.rekey().seq(seq).tamper(Tamper::sealed(|m| edit::flip_bit(m, PayloadType::SIG, 40, 2)));
        let spec = spec.commit(false);
        wrong.push(
            bench.scene.ks.build_push(cx.world, &spec).map_err(|fault| crate::Stop::Inconclusive(fault.to_string()))?,
        );
    }
    // The stale number is that of a PUSH that was acknowledged before.
    let before: Vec<usize> = wrong.iter().map(|push| bench.acks_of(push)).collect();
    for round in 0..500 {
        for push in &wrong {
            bench.scene.ks.replay_push(cx.world, push);
        }
        if round % 10 == 9 {
            bench.scene.ks.serve_for(cx.world, Duration::from_millis(20));
        }
    }
    let valid = bench.rekey();
    let sent = cx.world.now();
    let ack = bench.acked(cx, valid)?;
    let after = ack.as_ref().map(|ack| ack.seen.at.saturating_since(sent).as_secs_f64());
    let observed =
        after.map_or_else(|| "no acknowledgement".to_owned(), |secs| format!("acknowledged after {secs:.1} s"));
    cx.grave("push.valid-comes-through", REQUIREMENTS, ack.is_some(), "an acknowledgement within 5 s", observed);
    let wrongly = wrong.iter().zip(before).filter(|(push, before)| bench.acks_of(push) > *before).count();
    let observed = format!("{wrongly} of 2 acknowledged");
    cx.grave_silence("push.flood-refused", REQUIREMENTS, wrongly == 0, "no acknowledgement", observed);
    bench.finish(cx)
}

fn delays(cx: &mut Cx<'_>) -> Flow {
    const ATD: &[&str] = &["REKEY-030", "GDOI-PL-041", "GDOI-PL-043"];
    const DTD: &[&str] = &["GDOI-PL-042"];
    let mut bench = Bench::standard(cx)?;
    let old = cx.have(bench.scene.ks.script.group.teks.last().map(|tek| tek.spi), "there is no TEK")?;
    let tek = bench.next_tek();
    let new = tek.spi;
    let spec = PushSpec::tek(tek)
        .with_gap(Attribute::basic(gap_attr::ACTIVATION_TIME_DELAY, 30))
        .with_gap(Attribute::basic(gap_attr::DEACTIVATION_TIME_DELAY, 60));
    let acked = bench.acked(cx, spec)?.is_some();
    cx.require(acked, "the PUSH with the delays was not acknowledged")?;
    let words =
        |sas: &Sas, spi: u32| format!("accepts {}, sends {}", sas.accepted.contains(&spi), sas.sending.contains(&spi));
    let early = Sas::ask(cx)?;
    cx.check(
        "push.new-sa-received-at-once",
        ATD,
        early.accepted.contains(&new),
        "it receives on the new SA",
        words(&early, new),
    );
    bench.scene.ks.serve_for(cx.world, Duration::from_secs(20));
    let before = Sas::ask(cx)?;
    let ok = !before.sending.contains(&new) && !before.sending.is_empty();
    let observed = format!("at 20 s of 30 s: {}, sends with {} SAs", words(&before, new), before.sending.len());
    cx.check("push.activation-delayed", ATD, ok, "it sends with an older SA", observed);
    bench.scene.ks.serve_for(cx.world, Duration::from_secs(17));
    let after = Sas::ask(cx)?;
    let observed = format!("at 37 s of 30 s: new {}, old {}", words(&after, new), words(&after, old));
    cx.check("push.activated", ATD, after.sending.contains(&new), "it sends with the new SA", observed);
    let observed = format!("at 37 s of 60 s: old {}", words(&after, old));
    cx.check("push.deactivation-delayed", DTD, after.accepted.contains(&old), "it receives on the old SA", observed);
    bench.scene.ks.serve_for(cx.world, Duration::from_secs(30));
    let end = Sas::ask(cx)?;
    let observed = format!("at 67 s of 60 s: old {}", words(&end, old));
    cx.check("push.deactivated", DTD, !end.accepted.contains(&old), "the old SA is gone", observed);
    bench.finish(cx)
}

fn spi_clash(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    for what in ["the SPI of the newest SA with other keys", "the same again"] {
        let spi = cx.have(bench.scene.ks.script.group.teks.last().map(|tek| tek.spi), "there is no TEK")?;
        let clash = Tek { spi, ..bench.next_tek() };
        let next = bench.last() + 1;
        let push = bench.scene.push(cx, PushSpec::tek(clash).seq(next).commit(false))?;
        bench.set_last(next);
        let taken = bench.scene.ack(cx, &push).is_some();
        cx.world.note(if taken { "the clash is accepted" } else { "the clash is refused" });
        let valid = bench.rekey();
        let alive = bench.acked(cx, valid)?.is_some();
        let observed = format!("{what}: {}", if alive { "acknowledged" } else { "no acknowledgement" });
        let expected = "the next valid PUSH is acknowledged";
        cx.check("push.spi-clash-survived", &["GDOI-NEG-167"], alive, expected, observed);
        if !alive {
            return Err(crate::Stop::Judged);
        }
    }
    bench.finish(cx)
}

fn any_source_port(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.any-source-port", &["GDOI-PL-024"]);
    let any_port = Selector::from_ip(cx.tester(0).ip());
    let mut bench = Bench::with(cx, |script| kek_of(script, |kek| kek.src = Some(any_port)))?;
    let mut from = cx.tester(0);
    for step in [1_000, 2_000] {
        from.set_port(from.port().wrapping_add(step));
        cx.world.listen(from)?;
        let spec = bench.rekey().from(from);
        bench.accept(cx, &RULE, "from another port", spec)?;
    }
    bench.finish(cx)
}
