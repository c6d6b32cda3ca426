//! The signature of a PUSH.

use std::rc::Rc;

use hallmark_crypto::{HashAlg, SigningKey, hash};
use hallmark_probe::edit;
use hallmark_probe::group::Kek;
use hallmark_probe::keys;
use hallmark_probe::ks::{KsScript, PushSpec, deletion};
use hallmark_probe::tamper::{Tamper, octets, rsa_block};
use hallmark_wire::gdoi::{kd_type, tek_key};
use hallmark_wire::isakmp::{AttributeValue, PayloadType};

use super::kit::{Bench, Rule, Wrong, kek_of};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::setup::GmSetup;

pub(crate) const CASES: &[Case] = &[
    case! {
        "RSA-001", "gdoi.signature", Must, Gm,
        title: "one flipped bit in SIG and the PUSH is dropped",
        purpose: "The signature is all that tells the key server from the members, which hold the same KEK.",
        requirements: ["RSA-001", "GDOI-PUSH-041", "GDOI-NEG-149", "GDOI-ACK-006", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4.4"],
        catches: ["gm_no_sig_check", "gm_ack_after_bad_sig"],
        cost: 20,
        run: |cx| refused(cx, Rule::grave("push.flipped-signature-refused", &[
            "RSA-001", "GDOI-PUSH-041", "GDOI-NEG-149", "GDOI-ACK-006",
        ]), vec![
            ("first bit", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::SIG, 0, 7))),
            ("a bit in the middle", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::SIG, 128, 4))),
            ("last bit", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::SIG, 255, 0))),
        ]),
    },
    case! {
        "RSA-002", "gdoi.signature", Must, Gm,
        title: "the signature covers the header, SEQ, D, SA and KD",
        purpose: "What is not covered can be rewritten by any member: a number, a policy, a key.",
        requirements: ["RSA-002", "GDOI-NEG-150", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4"],
        catches: ["gm_no_sig_check"],
        cost: 25,
        run: coverage,
    },
    case! {
        "RSA-003", "gdoi.signature", Must, Gm,
        title: "RSA keys of 1024 to 4096 bits work, or are refused at registration",
        purpose: "A member that registers under a key that it cannot use loses the group at the first rekey.",
        requirements: ["RSA-003"],
        sources: ["RFC 6407 §5.3.6.1"],
        catches: ["gm_short_signature_keys_only"],
        needs: [Setup],
        cost: 60,
        run: key_sizes,
    },
    case! {
        "RSA-004", "gdoi.signature", Must, Gm,
        title: "every signature hash works for TEK and KEK rekeys, or is refused at registration",
        purpose: "Members in the field verified with SHA-1 whatever the policy said and lost every rekey of a group that \
                  had been hardened.",
        requirements: ["RSA-004", "GDOI-PUSH-041"],
        sources: ["RFC 6407 §5.3.5", "getvpn §6 P09"],
        catches: ["sighash_default_only"],
        needs: [Setup],
        cost: 60,
        run: hashes,
    },
    case! {
        "RSA-009", "gdoi.signature", Should, Gm,
        title: "a KEK that brings a new signing key is verified with the new key",
        purpose: "Signing keys are changed by rekey. A member that keeps the old one loses the group; one that keeps \
                  both never gets rid of a key that leaked.",
        requirements: ["RSA-009", "GDOI-PUSH-041", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §5.6.2.2"],
        catches: ["gm_keeps_signing_key"],
        cost: 20,
        run: key_change,
    },
    case! {
        "PUSHG-025", "gdoi.signature", Should, Gm,
        title: "a signature of the wrong length is refused",
        purpose: "A verifier that compares only as much as there is accepts an empty signature.",
        requirements: ["GDOI-NEG-148", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §5.3.6"],
        catches: ["gm_no_sig_check"],
        cost: 20,
        run: |cx| refused(cx, Rule::grave("push.signature-length", &["GDOI-NEG-148"]), vec![
            ("empty", Tamper::sealed(|m| edit::body(m, PayloadType::SIG, Vec::clear))),
            ("one octet", Tamper::sealed(|m| edit::body(m, PayloadType::SIG, |b| b.truncate(1)))),
            ("one octet short", Tamper::sealed(|m| edit::body(m, PayloadType::SIG, |b| b.truncate(255)))),
            ("one octet long", Tamper::sealed(|m| edit::body(m, PayloadType::SIG, |b| b.push(0)))),
            ("all zero", Tamper::sealed(|m| edit::body(m, PayloadType::SIG, |b| b.fill(0)))),
        ]),
    },
    case! {
        "PUSHG-026", "gdoi.signature", Must, Gm,
        title: "a PUSH that another key of the same size signed is refused",
        purpose: "Anyone can make a key; only the one that came with the registration counts.",
        requirements: ["GDOI-NEG-151", "GDOI-PUSH-041", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4.4"],
        catches: ["gm_no_sig_check"],
        cost: 15,
        run: other_key,
    },
    case! {
        "PUSHG-027", "gdoi.signature", Should, Gm,
        title: "a signature over another hash than the announced one is refused",
        purpose: "Who accepts any hash accepts the weakest.",
        requirements: ["GDOI-NEG-152", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §5.3.5"],
        catches: ["gm_any_signature_hash"],
        cost: 20,
        run: |cx| refused(cx, Rule::grave("push.other-hash-refused", &["GDOI-NEG-152"]), vec![
            ("SHA-1", Tamper::none().sign_hash(HashAlg::Sha1)),
            ("MD5", Tamper::none().sign_hash(HashAlg::Md5)),
            ("SHA-512", Tamper::none().sign_hash(HashAlg::Sha512)),
        ]),
    },
    case! {
        "PUSHG-028", "gdoi.signature", Must, Gm,
        title: "a signature without the prefix 'rekey' is refused",
        purpose: "The prefix keeps signatures made for something else from being taken for rekeys.",
        requirements: ["GDOI-NEG-153", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4"],
        catches: ["gm_signature_prefix_optional"],
        cost: 15,
        run: |cx| refused(cx, Rule::grave("push.prefix-required", &["GDOI-NEG-153"]), vec![
            ("no prefix", Tamper::hashed(|input| input.remove("rekey"))),
            ("prefix with a zero behind it", Tamper::hashed(|input| input.set("rekey", b"rekey\0".to_vec()))),
        ]),
    },
    case! {
        "PUSHG-029", "gdoi.signature", Must, Gm,
        title: "a signature without the header, or with other cookies, is refused",
        purpose: "The cookies tie a rekey to its KEK; without them one group's rekey could be replayed into another.",
        requirements: ["GDOI-NEG-154", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4"],
        catches: ["gm_signature_header_optional"],
        cost: 15,
        run: |cx| refused(cx, Rule::grave("push.header-covered", &["GDOI-NEG-154"]), vec![
            ("no header", Tamper::hashed(|input| input.remove("header"))),
            ("other cookies", Tamper::hashed(|input| {
                if let Some(header) = input.part("header") {
                    octets::flip_bit(header, 3, 2);
                }
            })),
        ]),
    },
    case! {
        "PUSHG-030", "gdoi.signature", Must, Gm,
        title: "an RSA block without DigestInfo is refused",
        purpose: "The block must name its hash, or a digest of one hash passes as one of another.",
        requirements: ["GDOI-NEG-155", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §5.3.6.1", "RFC 3447 §9.2"],
        catches: ["gm_bare_digest_accepted"],
        cost: 15,
        run: |cx| refused(cx, Rule::grave("push.digest-info-required", &["GDOI-NEG-155"]), vec![
            ("bare digest", Tamper::none().sign_bare()),
        ]),
    },
    case! {
        "PUSHG-031", "gdoi.signature", Should, Gm,
        title: "RSA blocks that a careless verifier takes for PKCS#1 are refused",
        purpose: "Short padding with garbage behind the digest can be forged without the key when the exponent is small.",
        requirements: ["GDOI-NEG-157", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §5.3.6.1", "RFC 3447 §9.2"],
        catches: ["gm_no_sig_check"],
        cost: 20,
        run: |cx| refused(cx, Rule::grave("push.loose-block-refused", &["GDOI-NEG-157"]), vec![
            ("short padding and garbage", Tamper::none().sign_block(|digest, len| {
                rsa_block::short_padding(HashAlg::Sha256, digest, len)
            })),
            ("block type 2", Tamper::none().sign_block(|digest, len| rsa_block::type_two(HashAlg::Sha256, digest, len))),
            ("octets behind the digest", Tamper::none().sign_block(|digest, len| rsa_block::trailing(digest, 12, len))),
        ]),
    },
    case! {
        "PUSHG-032", "gdoi.signature", Should, Gm,
        title: "an RSA-PSS signature is refused",
        purpose: "The number of the algorithm names one encoding; accepting two doubles what can be forged.",
        requirements: ["GDOI-NEG-156", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §5.3.6.1"],
        catches: ["gm_no_sig_check"],
        cost: 15,
        run: |cx| refused(cx, Rule::grave("push.pss-refused", &["GDOI-NEG-156"]), vec![
            ("RSA-PSS with SHA-256", Tamper::none().sign_block(pss)),
        ]),
    },
    case! {
        "PUSHG-033", "gdoi.signature", Must, Gm,
        title: "ECDSA rekeys on P-256, P-384 and P-521 work, or are refused at registration",
        purpose: "The curve fixes the hash and the length of the signature; a member must know all three or none.",
        requirements: ["GDOI-PUSH-041", "GDOI-PL-036"],
        sources: ["RFC 6407 §5.3.6.4", "RFC 4754 §7"],
        catches: ["gm_no_ecdsa"],
        needs: [Setup],
        cost: 60,
        run: curves,
    },
    case! {
        "PUSHG-034", "gdoi.signature", Should, Gm,
        title: "an ECDSA signature in DER, or with r or s of 0 or of the group order, is refused",
        purpose: "Zeros pass every equation of a verifier that does not check the range first.",
        requirements: ["GDOI-NEG-158", "GDOI-NEG-159", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §5.3.6.4", "RFC 4754 §7"],
        catches: ["gm_no_sig_check"],
        needs: [Setup],
        cost: 25,
        run: ecdsa_forms,
    },
];

fn refused(cx: &mut Cx<'_>, rule: Rule, wrong: Vec<Wrong>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    bench.refuse_each(cx, &rule, wrong)?;
    bench.finish(cx)
}

fn coverage(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("push.everything-covered", &["RSA-002", "GDOI-NEG-150"]);
    let mut bench = Bench::standard(cx)?;
    bench.refuse_each(
        cx,
        &RULE,
        vec![
            ("SEQ changed", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::SEQ, 2, 3))),
            (
                "a selector in SA changed",
                Tamper::sealed(|m| {
                    edit::sat(m, 0, |sat| {
                        if let hallmark_wire::gdoi::TekBody::Ipsec(tek) = &mut sat.body {
                            tek.ip_protocol ^= 6;
                        }
                    })
                }),
            ),
            (
                "a key in KD changed",
                Tamper::sealed(|m| {
                    edit::packet(m, kd_type::TEK, |packet| {
                        for attribute in &mut packet.attributes.0 {
                            if let (tek_key::ALGORITHM, AttributeValue::Variable(key)) =
                                (attribute.class, &mut attribute.value)
                            {
                                octets::flip_bit(key, 7, 0);
                            }
                        }
                    })
                }),
            ),
            (
                "the message id changed",
                Tamper::hashed(|input| {
                    if let Some(header) = input.part("header") {
                        octets::flip_bit(header, 23, 0);
                    }
                }),
            ),
        ],
    )?;
    let spec = PushSpec::delete(deletion(1, vec![vec![0, 1, 2, 3]]));
    let spec = spec.tamper(Tamper::sealed(|m| {
        edit::body(m, PayloadType::DELETE, |body| {
            let at = body.len().saturating_sub(1);
            octets::flip_bit(body, at, 2);
        })
    }));
    bench.refuse(cx, &RULE, "an SPI in D changed", spec)?;
    bench.finish(cx)
}

/// Runs a TEK rekey, a KEK rekey and a TEK rekey under the new KEK with one signing key and hash. A member may refuse
/// the policy at registration, not later.
fn rekeys_work(
    cx: &mut Cx<'_>,
    rule: &Rule,
    what: &str,
    allow: &[&str],
    change: impl FnOnce(&mut KsScript),
) -> Flow<Option<Bench>> {
    let allow_weak = |setup: &mut GmSetup| setup.allow_weak = allow.iter().map(|name| (*name).to_owned()).collect();
    let Some(mut bench) = Bench::optional(cx, allow_weak, change)? else {
        cx.world.note(&format!("{what}: refused at registration"));
        return Ok(None);
    };
    let spec = bench.rekey();
    bench.accept(cx, rule, &format!("{what}, TEK rekey"), spec)?;
    let kek = bench.next_kek()?;
    bench.accept(cx, rule, &format!("{what}, KEK rekey"), PushSpec::kek(kek))?;
    let spec = bench.rekey();
    bench.accept(cx, rule, &format!("{what}, TEK rekey under the new KEK"), spec)?;
    Ok(Some(bench))
}

/// Runs [`rekeys_work`] for each policy and ends the case with one that was taken.
fn each_works(cx: &mut Cx<'_>, rule: &Rule, policies: Vec<(&str, Rc<SigningKey>, HashAlg)>, allow: &[&str]) -> Flow {
    let mut last = None;
    for (what, key, alg) in policies {
        let result = rekeys_work(cx, rule, what, allow, |script| sign_with(script, &key, alg));
        match result {
            Ok(Some(bench)) => last = Some(bench),
            Ok(None) | Err(Stop::Judged) => {}
            Err(stop) => return Err(stop),
        }
    }
    match last {
        Some(bench) => bench.finish(cx),
        None => Err(Stop::Judged),
    }
}

fn sign_with(script: &mut KsScript, key: &Rc<SigningKey>, alg: HashAlg) {
    kek_of(script, |kek| {
        kek.sig_hash = key.kind().fixed_hash().unwrap_or(alg);
        kek.verifying = Some(key.public());
        kek.signing = Some(Rc::clone(key));
    });
}

fn load(cx: &Cx<'_>, pem: &str) -> Flow<Rc<SigningKey>> {
    cx.have(keys::load(pem), "a key of the tester does not load")
}

fn key_sizes(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.rsa-key-size-works", &["RSA-003"]);
    let mut policies = Vec::new();
    for (what, pem) in [
        ("RSA 1024", keys::REKEY_RSA_1024_PEM),
        ("RSA 3072", keys::REKEY_RSA_3072_PEM),
        ("RSA 4096", keys::REKEY_RSA_4096_PEM),
        ("RSA 2048", keys::REKEY_RSA_2048_PEM),
    ] {
        policies.push((what, load(cx, pem)?, HashAlg::Sha256));
    }
    each_works(cx, &RULE, policies, &["rsa1024"])
}

fn hashes(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.signature-hash-works", &["RSA-004", "GDOI-PUSH-041"]);
    let key = load(cx, keys::REKEY_RSA_2048_PEM)?;
    let policies = [HashAlg::Sha1, HashAlg::Sha384, HashAlg::Sha512, HashAlg::Sha256]
        .map(|alg| (alg.name(), Rc::clone(&key), alg))
        .to_vec();
    each_works(cx, &RULE, policies, &["sha1"])
}

fn curves(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.ecdsa-works", &["GDOI-PUSH-041", "GDOI-PL-036"]);
    let mut policies = Vec::new();
    for (what, pem) in [
        ("ECDSA P-521", keys::TESTER_P521_PEM),
        ("ECDSA P-384", keys::TESTER_P384_PEM),
        ("ECDSA P-256", keys::TESTER_P256_PEM),
    ] {
        policies.push((what, load(cx, pem)?, HashAlg::Sha256));
    }
    each_works(cx, &RULE, policies, &[])
}

fn other_key(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("push.other-key-refused", &["GDOI-NEG-151", "GDOI-PUSH-041"]);
    let other = load(cx, keys::OTHER_RSA_2048_PEM)?;
    let mut bench = Bench::standard(cx)?;
    let spec = bench.rekey().tamper(Tamper::none().sign_with(Rc::clone(&other)));
    bench.refuse(cx, &RULE, "a TEK under another key", spec)?;
    let mut kek = bench.next_kek()?;
    signed_by(&mut kek, &other);
    bench.refuse(
        cx,
        &RULE,
        "a KEK that brings the key that signed it",
        PushSpec::kek(kek).tamper(Tamper::none().sign_with(other)),
    )?;
    bench.finish(cx)
}

fn signed_by(kek: &mut Kek, key: &Rc<SigningKey>) {
    kek.verifying = Some(key.public());
    kek.signing = Some(Rc::clone(key));
}

fn key_change(cx: &mut Cx<'_>) -> Flow {
    const DELIVERY: Rule = Rule::new("push.signing-key-change-accepted", &["RSA-009"]);
    const NEW: Rule = Rule::new("push.new-signing-key-used", &["RSA-009", "GDOI-PUSH-041"]);
    const OLD: Rule = Rule::grave("push.old-signing-key-refused", &["RSA-009"]);
    let old = load(cx, keys::REKEY_RSA_2048_PEM)?;
    let new = load(cx, keys::OTHER_RSA_2048_PEM)?;
    let mut bench = Bench::standard(cx)?;
    let mut kek = bench.next_kek()?;
    signed_by(&mut kek, &new);
    bench.accept(cx, &DELIVERY, "a KEK with a new signing key", PushSpec::kek(kek))?;
    let spec = bench.rekey().tamper(Tamper::none().sign_with(old));
    bench.refuse(cx, &OLD, "a PUSH under the old signing key", spec)?;
    let spec = bench.rekey();
    bench.accept(cx, &NEW, "a PUSH under the new signing key", spec)?;
    bench.finish(cx)
}

fn ecdsa_forms(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("push.ecdsa-form", &["GDOI-NEG-158", "GDOI-NEG-159"]);
    let key = load(cx, keys::TESTER_P256_PEM)?;
    let bench = Bench::optional(cx, |_| {}, |script| sign_with(script, &key, HashAlg::Sha256))?;
    let Some(mut bench) = bench else {
        return Err(Stop::NotSupported("gm.rekey-signature.ecdsa256".to_owned(), "false".to_owned()));
    };
    bench.scene.still_takes_pushes(cx)?;
    let put = |range: std::ops::Range<usize>, value: Vec<u8>| {
        Tamper::sealed(move |m| {
            edit::body(m, PayloadType::SIG, |body| {
                for (octet, new) in body.iter_mut().skip(range.start).take(range.len()).zip(&value) {
                    *octet = *new;
                }
            });
        })
    };
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap_or_default();
    bench.refuse_each(
        cx,
        &RULE,
        vec![
            ("DER", Tamper::sealed(|m| edit::body(m, PayloadType::SIG, |body| *body = der(body)))),
            ("r is 0", put(0..32, vec![0; 32])),
            ("s is 0", put(32..64, vec![0; 32])),
            ("r and s are 0", put(0..64, vec![0; 64])),
            ("r is the order", put(0..32, order.clone())),
            ("s is the order", put(32..64, order)),
        ],
    )?;
    bench.finish(cx)
}

/// Writes `r | s` as a DER sequence of two integers.
fn der(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len() / 2);
    let mut body = Vec::new();
    for number in [r, s] {
        let start = number.iter().position(|octet| *octet != 0).unwrap_or(number.len());
        let digits = number.get(start..).unwrap_or_default();
        let sign = digits.first().is_some_and(|octet| octet & 0x80 != 0);
        body.push(2);
        body.push(u8::try_from(digits.len() + usize::from(sign)).unwrap_or(u8::MAX));
        body.extend(sign.then_some(0));
        body.extend(digits);
    }
    let mut out = vec![0x30, u8::try_from(body.len()).unwrap_or(u8::MAX)];
    out.extend(body);
    out
}

/// Encodes a digest by EMSA-PSS with SHA-256 and a salt of 32 octets (RFC 3447 §9.1.1) for a modulus of so many octets.
fn pss(digest: &[u8], modulus_len: usize) -> Vec<u8> {
    let salt = [0x5a; 32];
    let h = hash(HashAlg::Sha256, &[&[0; 8], digest, &salt]);
    let mut db = vec![0; modulus_len.saturating_sub(32 + h.len() + 2)];
    db.push(1);
    db.extend(salt);
    let mut mask = Vec::new();
    for counter in 0_u32.. {
        if mask.len() >= db.len() {
            break;
        }
        mask.extend(hash(HashAlg::Sha256, &[&h, &counter.to_be_bytes()]));
    }
    for (octet, mask) in db.iter_mut().zip(mask) {
        *octet ^= mask;
    }
    if let Some(first) = db.first_mut() {
        *first &= 0x7f;
    }
    db.extend(h);
    db.push(0xbc);
    db
}
