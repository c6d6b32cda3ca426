//! Answers that a group member has to take although they look unusual.

use std::net::SocketAddr;

use hallmark_crypto::{CipherAlg, HashAlg};
use hallmark_probe::edit::{self, attributes as attr};
use hallmark_probe::group::{Flow as Traffic, Kek};
use hallmark_probe::ks::{KsScript, PushSpec};
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_probe::{Tek, keys};
use hallmark_wire::gdoi::{SaTek, TekBody, kek_attr, tek_attr};
use hallmark_wire::isakmp::PayloadType;

use super::kit::{Bench, Legal, Rule, accepted, requests};
use crate::Case;
use crate::cx::{Cx, Flow};

pub(crate) const CASES: &[Case] = &[
    case! {
        "PULLG-070", "gdoi.pull", Must, Gm,
        title: "attributes that RFC 6407 says to ignore are ignored",
        purpose: "KEK_MANAGEMENT_ALGORITHM in a registration and Group Description in a SAT mean nothing; a member \
                  that refuses them stays out of groups whose server is only clumsy.",
        requirements: ["GDOI-PL-029", "GDOI-NEG-083", "GDOI-PL-048", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.3", "RFC 6407 §5.5.1"],
        catches: ["gm_ignorable_refused"],
        cost: 90,
        run: |cx| accepted(cx, IGNORABLE, vec![
            m2("KEK_MANAGEMENT_ALGORITHM 1", Tamper::content(|m| edit::sak(m, |sak| {
                attr::set(&mut sak.attributes, kek_attr::MANAGEMENT_ALGORITHM, 1);
            }))),
            m2("KEK_MANAGEMENT_ALGORITHM 77", Tamper::content(|m| edit::sak(m, |sak| {
                attr::set(&mut sak.attributes, kek_attr::MANAGEMENT_ALGORITHM, 77);
            }))),
            m2("Group Description 14", Tamper::content(|m| edit::sat(m, 0, |sat: &mut SaTek| {
                if let TekBody::Ipsec(tek) = &mut sat.body {
                    attr::add(&mut tek.attributes, tek_attr::GROUP_DESCRIPTION, 14);
                }
            }))),
        ]),
    },
    case! {
        "PULLG-071", "gdoi.pull", Must, Gm,
        title: "nonces of the key server from 8 to 128 octets are taken",
        purpose: "The length is the sender's choice; a buffer for 16 octets is not.",
        requirements: ["GDOI-PL-072", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.8"],
        catches: ["gm_nonce_length_fixed"],
        cost: 90,
        run: |cx| accepted(cx, Rule::new("pull.m2-nonce-taken", &["GDOI-PL-072"]), vec![
            m2("8 octets", nonce(8)),
            m2("33 octets", nonce(33)),
            m2("128 octets", nonce(128)),
        ]),
    },
    case! {
        "PULLG-072", "gdoi.pull", Must, Gm,
        title: "keys are found by their SPI, whatever their order",
        purpose: "A member that takes the first key for the first policy encrypts with keys that no one else uses.",
        requirements: ["GDOI-PULL-054", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.3"],
        catches: ["gm_keys_by_position"],
        cost: 60,
        run: |cx| accepted(cx, Rule::new("pull.keys-by-spi", &["GDOI-PULL-054"]), vec![
            ("TEK packets in reversed order", two_teks, Some((Step::Pull4, Tamper::content(|m| edit::kd(m, |kd| {
                kd.packets.reverse();
            }))))),
            ("the KEK packet last", two_teks, Some((Step::Pull4, Tamper::content(|m| edit::kd(m, |kd| {
                kd.packets.rotate_left(1);
            }))))),
        ]),
    },
    case! {
        "PULLG-073", "gdoi.pull", Must, Gm,
        title: "a policy without KEK, and one without TEK, is taken",
        purpose: "A group may live without rekeys, and a new member may get the KEK first and the keys by the next \
                  rekey so that it cannot read what was sent before.",
        requirements: ["GDOI-PULL-060", "GDOI-PULL-061", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.2.1", "RFC 6407 §7.4.2"],
        catches: ["gm_whole_policy_needed"],
        cost: 150,
        run: half_policies,
    },
    case! {
        "PULLG-074", "gdoi.pull", Must, Gm,
        title: "a rekey policy with nothing but what must be there is taken",
        purpose: "Lifetime and key size of the KEK are optional; a member that insists on them joins the groups of \
                  its own vendor only.",
        requirements: ["GDOI-PL-027", "GDOI-PULL-056", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.3"],
        catches: ["gm_optional_attributes_needed"],
        cost: 60,
        run: |cx| accepted(cx, Rule::new("pull.short-policy-taken", &["GDOI-PL-027", "GDOI-PULL-056"]), vec![
            m2("no KEK_KEY_LIFETIME, no SIG_KEY_LENGTH", Tamper::content(|m| edit::sak(m, |sak| {
                attr::remove(&mut sak.attributes, kek_attr::KEY_LIFETIME);
                attr::remove(&mut sak.attributes, kek_attr::SIG_KEY_LENGTH);
            }))),
            m2("the attributes in reversed order", Tamper::content(|m| edit::sak(m, |sak| sak.attributes.0.reverse()))),
        ]),
    },
    case! {
        "PULLG-075", "gdoi.pull", Must, Gm,
        title: "what the cipher or the curve implies may be left out",
        purpose: "3DES has one key size and an ECDSA curve one hash. The setup accepts both, so a policy that does \
                  not repeat them is complete.",
        requirements: ["GDOI-PL-033", "GDOI-PL-036", "GDOI-PULL-056", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.3.3", "RFC 6407 §5.3.5"],
        catches: ["gm_no_ecdsa"],
        needs: [Setup],
        cost: 60,
        run: |cx| accepted(cx, Rule::new("pull.implied-taken", &["GDOI-PL-033", "GDOI-PL-036", "GDOI-PULL-056"]), vec![
            ("3DES without KEK_KEY_LENGTH", triple_des, Some((Step::Pull2, Tamper::content(|m| edit::sak(m, |sak| {
                attr::remove(&mut sak.attributes, kek_attr::KEY_LENGTH);
            }))))),
            ("ECDSA P-256 without SIG_HASH_ALGORITHM", ecdsa, Some((Step::Pull2, Tamper::content(|m| edit::sak(m, |sak| {
                attr::remove(&mut sak.attributes, kek_attr::SIG_HASH);
            }))))),
        ]),
    },
    case! {
        "PULLG-076", "gdoi.fragmentation", Must, Gm,
        title: "a policy that does not fit one frame is taken",
        purpose: "Forty entries make message 2 and its datagram larger than an Ethernet frame; it then comes in \
                  fragments, and a member behind a filter that drops them never registers.",
        requirements: ["REG-002", "GDOI-PULL-056", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.2"],
        catches: ["frag_reasm"],
        cost: 60,
        run: |cx| accepted(cx, Rule::new("pull.large-policy-taken", &["REG-002", "GDOI-PULL-056"]), vec![
            ("40 entries", |script| flows(script, 40), None),
            ("90 entries", |script| flows(script, 90), None),
        ]),
    },
    case! {
        "PULLG-077", "gdoi.pull", Must, Gm,
        title: "a source port of 0 in the SAK does not bind the PUSH to a port",
        purpose: "Servers behind a translator or with several processes push from a port that they do not know \
                  beforehand; they say so by 0.",
        requirements: ["GDOI-PL-024", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.3"],
        catches: ["gm_push_port_pinned"],
        cost: 20,
        run: source_port_zero,
    },
];

/// What RFC 6407 tells a member to ignore.
const IGNORABLE: Rule = Rule::new("pull.ignorable-ignored", &["GDOI-PL-029", "GDOI-NEG-083", "GDOI-PL-048"]);

fn source_port_zero(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let (own, member) = (cx.tester(0), cx.subject());
    bench.ks().tamper(Step::Pull2, Tamper::content(|m| edit::sak(m, |sak| sak.src.port = 0)));
    bench.register(cx)?;
    // The SAK names the member's own address as the destination; only the source is open.
    let other = SocketAddr::new(own.ip(), own.port() ^ 1);
    cx.world.listen(other)?;
    let tek = bench.ks().fresh_tek();
    let push = bench.scene.push(cx, PushSpec::tek(tek).from(other))?;
    let acked = bench.scene.ack(cx, &push).is_some();
    let observed = format!("from {other} to {member}: {}", if acked { "acknowledged" } else { "no acknowledgement" });
    cx.check("pull.source-port-zero", &["GDOI-PL-024"], acked, "a PUSH from any port is acknowledged", observed);
    bench.finish(cx)
}

fn m2(what: &'static str, tamper: Tamper) -> Legal {
    (what, |_| {}, Some((Step::Pull2, tamper)))
}

fn nonce(len: usize) -> Tamper {
    Tamper::content(move |m| edit::set_body(m, PayloadType::NONCE, vec![0x5a; len]))
}

fn flows(script: &mut KsScript, count: usize) {
    script.group.teks = script.group.teks.iter().map(|tek| tek.clone().flows(Traffic::many(count))).collect();
}

/// Serves two TEKs whose keys differ in size, so that a mixed-up key does not fit.
fn two_teks(script: &mut KsScript) {
    let mut rng = hallmark_core::Rng::from_seed([9; 32]);
    script.group.teks.push(Tek::esp(&mut rng, 12, Some(256), Some(5), 3_600));
}

fn triple_des(script: &mut KsScript) {
    let mut rng = hallmark_core::Rng::from_seed([10; 32]);
    if let Some(signing) = script.group.kek.as_ref().and_then(|kek| kek.signing.clone()) {
        script.group.kek = Some(Kek::with(&mut rng, CipherAlg::TripleDes, HashAlg::Sha256, signing));
    }
}

fn ecdsa(script: &mut KsScript) {
    let mut rng = hallmark_core::Rng::from_seed([11; 32]);
    if let Some(signing) = keys::load(keys::TESTER_P256_PEM) {
        script.group.kek = Some(Kek::generate(&mut rng, signing));
    }
}

fn half_policies(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    bench.register(cx)?;
    let usual = bench.ks().script.clone();

    bench.ks().script.group.kek = None;
    bench.restart(cx)?;
    let registered = bench.registers_within(cx, 60);
    let before = requests(bench.ks());
    bench.ks().serve_for(cx.world, hallmark_core::Duration::from_secs(60));
    let content = registered && requests(bench.ks()) == before;
    let observed = match (registered, content) {
        (false, _) => "it did not register",
        (true, false) => "it registered and began again within a minute",
        (true, true) => "it registered and was content",
    };
    cx.check("pull.no-kek-taken", &["GDOI-PULL-060"], content, "a registration that holds", observed);

    bench.ks().script = usual.clone();
    bench.ks().script.group.teks.clear();
    bench.restart(cx)?;
    let registered = bench.registers_within(cx, 60);
    let observed = if registered { "it registered" } else { "it did not register" };
    let rule = ["GDOI-PULL-061"];
    if cx.check("pull.no-tek-taken", &rule, registered, "a registration", observed) {
        let tek = Tek::generate(bench.ks().rng());
        let push = bench.scene.push(cx, PushSpec::tek(tek).commit(false))?;
        let acked = bench.scene.ack(cx, &push).is_some();
        let observed = if acked { "acknowledged" } else { "no acknowledgement" };
        cx.check("pull.first-tek-by-push", &rule, acked, "the first TEK by PUSH is taken", observed);
    }
    bench.ks().script = usual;
    bench.restart(cx)?;
    bench.finish(cx)
}
