//! What the policy of message 2 says: attributes, algorithms, values, and the member's own floor.

use hallmark_crypto::{CipherAlg, HashAlg};
use hallmark_probe::edit::{self, attributes as attr};
use hallmark_probe::group::Kek;
use hallmark_probe::ks::KsScript;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::gdoi::{IpsecTek, SaKek, SaTek, TekBody, kek_attr, tek_attr};
use hallmark_wire::isakmp::{Attribute, PayloadType};

use super::kit::{Bench, Change, Rule, WINDOW, policies_refused, thirds};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::setup::GmSetup;

pub(crate) const CASES: &[Case] = &[
    case! {
        "PULLG-020", "gdoi.pull", Must, Gm,
        title: "a rekey policy with an unknown attribute is refused, and the member lives on",
        purpose: "An attribute that the member does not know may be the one that everything hangs on. A member must \
                  not guess, and above all it must not fall over when the server is newer than itself.",
        requirements: ["GDOI-PL-031", "GDOI-NEG-079", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.3.2", "CSCvg19281"],
        catches: ["gm_unknown_attribute_ignored", "gm_crash_new_ks"],
        cost: 170,
        run: |cx| policies_refused(cx, Rule::new("pull.kek-attribute-refused", &["GDOI-PL-031", "GDOI-NEG-079"]), vec![
            ("KEK attribute 10", sak(|sak| attr::add(&mut sak.attributes, 10, 1))),
            ("KEK attribute 127", sak(|sak| attr::add(&mut sak.attributes, 127, 1))),
            ("KEK attribute 200", sak(|sak| attr::add(&mut sak.attributes, 200, 1))),
            ("KEK attribute 300", sak(|sak| attr::add(&mut sak.attributes, 300, 1))),
        ]),
    },
    case! {
        "PULLG-021", "gdoi.pull", Must, Gm,
        title: "a rekey policy with an unknown algorithm is refused",
        purpose: "A member that falls back to what it knows decrypts rekeys to noise and loses the group one \
                  lifetime later, when nobody remembers the change.",
        requirements: ["GDOI-NEG-080", "GDOI-NEG-081", "GDOI-PL-031", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.3.2"],
        catches: ["gm_algorithms_assumed"],
        cost: 220,
        run: |cx| policies_refused(cx, Rule::new("pull.algorithm-refused", &["GDOI-NEG-080", "GDOI-NEG-081", "GDOI-PL-031"]), vec![
            ("KEK_ALGORITHM 4", sak(|sak| attr::set(&mut sak.attributes, kek_attr::ALGORITHM, 4))),
            ("KEK_ALGORITHM 127", sak(|sak| attr::set(&mut sak.attributes, kek_attr::ALGORITHM, 127))),
            ("KEK_ALGORITHM 200", sak(|sak| attr::set(&mut sak.attributes, kek_attr::ALGORITHM, 200))),
            ("SIG_ALGORITHM 7", sak(|sak| attr::set(&mut sak.attributes, kek_attr::SIG_ALGORITHM, 7))),
            ("SIG_HASH_ALGORITHM 6", sak(|sak| attr::set(&mut sak.attributes, kek_attr::SIG_HASH, 6))),
        ]),
    },
    case! {
        "PULLG-022", "gdoi.pull", Should, Gm,
        title: "a rekey policy that leaves an algorithm out is refused",
        purpose: "What the policy does not say, two implementations fill in differently.",
        requirements: ["GDOI-NEG-075", "GDOI-NEG-076", "GDOI-NEG-077", "GDOI-NEG-078", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.3", "RFC 6407 §5.3.5"],
        catches: ["gm_algorithms_assumed"],
        cost: 130,
        run: |cx| policies_refused(
            cx,
            Rule::new(
                "pull.missing-algorithm-refused",
                &["GDOI-NEG-075", "GDOI-NEG-076", "GDOI-NEG-077", "GDOI-NEG-078"],
            ),
            vec![
                ("AES and no KEK_KEY_LENGTH", sak(|sak| attr::remove(&mut sak.attributes, kek_attr::KEY_LENGTH))),
                ("no KEK_ALGORITHM", sak(|sak| attr::remove(&mut sak.attributes, kek_attr::ALGORITHM))),
                ("no SIG_ALGORITHM", sak(|sak| attr::remove(&mut sak.attributes, kek_attr::SIG_ALGORITHM))),
                ("RSA and no SIG_HASH_ALGORITHM", sak(|sak| attr::remove(&mut sak.attributes, kek_attr::SIG_HASH))),
            ],
        ),
    },
    case! {
        "PULLG-023", "gdoi.pull", Must, Gm,
        title: "a KEK of a size that AES does not have is refused",
        purpose: "The size decides where the IV ends and the key begins.",
        requirements: ["GDOI-NEG-082", "GDOI-PL-034", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.3.3"],
        catches: ["gm_algorithms_assumed"],
        cost: 170,
        run: |cx| policies_refused(cx, Rule::new("pull.kek-size-refused", &["GDOI-NEG-082", "GDOI-PL-034"]), vec![
            ("KEK_KEY_LENGTH 0", sak(|sak| attr::set(&mut sak.attributes, kek_attr::KEY_LENGTH, 0))),
            ("KEK_KEY_LENGTH 100", sak(|sak| attr::set(&mut sak.attributes, kek_attr::KEY_LENGTH, 100))),
            ("KEK_KEY_LENGTH 129", sak(|sak| attr::set(&mut sak.attributes, kek_attr::KEY_LENGTH, 129))),
            ("KEK_KEY_LENGTH 65535", sak(|sak| attr::set(&mut sak.attributes, kek_attr::KEY_LENGTH, 65535))),
        ]),
    },
    case! {
        "PULLG-024", "gdoi.pull", Should, Gm,
        title: "a rekey policy that contradicts itself is refused",
        purpose: "Of two values one check sees the first and another the last.",
        requirements: ["GDOI-NEG-085", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.3"],
        catches: ["gm_repeated_attribute_taken"],
        cost: 130,
        run: |cx| policies_refused(cx, Rule::new("pull.contradiction-refused", &["GDOI-NEG-085"]), vec![
            ("KEK_KEY_LENGTH 128 and 256", sak(|sak| attr::add(&mut sak.attributes, kek_attr::KEY_LENGTH, 256))),
            ("SIG_HASH_ALGORITHM 3 and 2", sak(|sak| attr::add(&mut sak.attributes, kek_attr::SIG_HASH, 2))),
            ("KEK_ALGORITHM 3 and 2", sak(|sak| attr::add(&mut sak.attributes, kek_attr::ALGORITHM, 2))),
        ]),
    },
    case! {
        "PULLG-025", "gdoi.pull", Should, Gm,
        title: "KEK attributes in another form than theirs are refused",
        purpose: "A lifetime of eight octets read as four lives for 0 seconds, one of two octets reads what follows.",
        requirements: ["GDOI-NEG-086", "GDOI-NEG-087", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.3", "RFC 6407 §5.3.4"],
        catches: ["gm_attribute_form_ignored"],
        cost: 170,
        run: |cx| policies_refused(cx, Rule::new("pull.form-refused", &["GDOI-NEG-086", "GDOI-NEG-087"]), vec![
            ("KEK_KEY_LIFETIME of 2 octets", variable(kek_attr::KEY_LIFETIME, 2)),
            ("KEK_KEY_LIFETIME of 8 octets", variable(kek_attr::KEY_LIFETIME, 8)),
            ("KEK_KEY_LIFETIME 0", sak(|sak| {
                attr::replace(&mut sak.attributes, Attribute::u32(kek_attr::KEY_LIFETIME, 0));
            })),
            ("KEK_ALGORITHM as a variable one", variable(kek_attr::ALGORITHM, 2)),
        ]),
    },
    case! {
        "PULLG-026", "gdoi.pull", Must, Gm,
        title: "a GAP with an unknown attribute is refused",
        purpose: "GAP holds what the whole group does at the same time; a member that skips a line of it does \
                  something else.",
        requirements: ["GDOI-PL-039", "GDOI-NEG-091", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.4"],
        catches: ["gm_unknown_attribute_ignored"],
        cost: 170,
        run: unknown_gap,
    },
    case! {
        "PULLG-027", "gdoi.pull", Should, Gm,
        title: "a data policy that the member does not understand is refused as a whole",
        purpose: "Half a policy sends half the traffic in clear, and the operator sees a registered member.",
        requirements: ["GDOI-NEG-094", "GDOI-NEG-095", "GDOI-NEG-096", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.5", "RFC 6407 §5.3.2"],
        catches: ["gm_partial_install"],
        cost: 250,
        run: unknown_sat,
    },
    case! {
        "PULLG-028", "gdoi.pull", Should, Gm,
        title: "reserved SPIs are refused",
        purpose: "SPI 0 means all SPIs in a deletion, and those below 256 are reserved: a key under such a name \
                  cannot be deleted or collides with others.",
        requirements: ["GDOI-NEG-090", "GDOI-NEG-098", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.3", "RFC 4303 §2.1"],
        catches: ["gm_reserved_spi_accepted"],
        cost: 170,
        run: |cx| policies_refused(cx, Rule::new("pull.reserved-spi-refused", &["GDOI-NEG-090", "GDOI-NEG-098"]), vec![
            ("KEK SPI 0", sak(|sak| sak.spi = [0; 16])),
            ("SAT SPI 0", tek(|tek| tek.spi = 0)),
            ("SAT SPI 1", tek(|tek| tek.spi = 1)),
            ("SAT SPI 255", tek(|tek| tek.spi = 255)),
        ]),
    },
    case! {
        "PULLG-029", "gdoi.pull", Should, Gm,
        title: "two SATs with one SPI and different transforms are refused",
        purpose: "Under one SPI there is one key; which of two transforms it is for is anyone's guess.",
        requirements: ["GDOI-NEG-097", "GDOI-PULL-069"],
        sources: ["RFC 6407 §5.5.1"],
        catches: ["gm_sat_conflict_taken"],
        cost: 60,
        run: conflicting_sats,
    },
    case! {
        "PULLG-030", "gdoi.pull", Should, Gm,
        title: "values of SAT attributes that mean nothing are refused",
        purpose: "A lifetime without its type is seconds for one end and kilobytes for the other; a direction that \
                  does not exist sends or stays silent as the compiler likes.",
        requirements: ["GDOI-NEG-099", "GDOI-NEG-100", "GDOI-PULL-069"],
        sources: ["RFC 2407 §4.5", "RFC 6407 §5.5.1.1"],
        catches: ["gm_sat_values_assumed"],
        cost: 220,
        run: |cx| policies_refused(cx, Rule::new("pull.sat-value-refused", &["GDOI-NEG-099", "GDOI-NEG-100"]), vec![
            ("Life Duration in front of Life Type", tek(|tek| tek.attributes.0.swap(0, 1))),
            ("Life Duration without Life Type", tek(|tek| attr::remove(&mut tek.attributes, tek_attr::LIFE_TYPE))),
            ("Address Preservation 5", tek(|tek| attr::set(&mut tek.attributes, tek_attr::ADDRESS_PRESERVATION, 5))),
            ("SA Direction 4", tek(|tek| attr::set(&mut tek.attributes, tek_attr::SA_DIRECTION, 4))),
        ]),
    },
    case! {
        "PULLG-031", "gdoi.pull", Should, Gm,
        title: "a refused policy is answered by deleting phase 1",
        purpose: "The Delete is all the key server and its operator hear of a member that cannot use the policy.",
        requirements: ["GDOI-PULL-051", "GDOI-PULL-052", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.3"],
        catches: ["gm_refusal_silent"],
        cost: 40,
        run: tells_the_server,
    },
    case! {
        "POLICY-021", "gdoi.pull", Must, Gm,
        title: "a KEK below the member's own floor is refused",
        purpose: "The operator of a member may demand more than the key server gives; a member that gives way makes \
                  the setting a decoration.",
        requirements: ["POLICY-021", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.3"],
        catches: ["gm_accepts_any_kek"],
        needs: [Setup],
        cost: 120,
        run: kek_floor,
    },
    case! {
        "POLICY-022", "gdoi.pull", Must, Gm,
        title: "a transform below the member's own floor is refused",
        purpose: "As for the KEK: what the operator has ruled out is not used because the server says so.",
        requirements: ["POLICY-022", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.3"],
        catches: ["gm_accepts_any_transform"],
        needs: [Setup],
        cost: 120,
        run: transform_floor,
    },
];

fn sak(change: fn(&mut SaKek)) -> Tamper {
    Tamper::content(move |m| edit::sak(m, change))
}

/// Writes a KEK attribute in variable form with so many octets.
fn variable(class: u16, len: usize) -> Tamper {
    Tamper::content(move |m| edit::sak(m, |sak| attr::to_variable(&mut sak.attributes, class, len)))
}

fn sat(change: fn(&mut SaTek)) -> Tamper {
    Tamper::content(move |m| edit::sat(m, 0, change))
}

fn tek(change: fn(&mut IpsecTek)) -> Tamper {
    Tamper::content(move |m| {
        edit::sat(m, 0, |sat| {
            if let TekBody::Ipsec(tek) = &mut sat.body {
                change(tek);
            }
        });
    })
}

fn unknown_gap(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::with(cx, |_| {}, |script| script.group = script.group.clone().delays(0, 10))?;
    let rule = Rule::new("pull.gap-attribute-refused", &["GDOI-PL-039", "GDOI-NEG-091"]);
    let gap = |class: u16| Tamper::content(move |m| edit::gap(m, |gap| attr::add(&mut gap.attributes, class, 1)));
    bench.refuse_policies(
        cx,
        &rule,
        vec![
            ("GAP attribute 4", gap(4)),
            ("GAP attribute 127", gap(127)),
            ("GAP attribute 200", gap(200)),
            ("GAP attribute 300", gap(300)),
        ],
    )?;
    bench.finish(cx)
}

fn unknown_sat(cx: &mut Cx<'_>) -> Flow {
    // The second of two SATs is the one that is not understood.
    let mut bench = Bench::standard(cx)?;
    let fresh = bench.ks().fresh_tek();
    bench.ks().script.group.teks.push(fresh);
    let second = |change: fn(&mut SaTek)| Tamper::content(move |m| edit::sat(m, 1, change));
    let rule = Rule::new("pull.sat-refused", &["GDOI-NEG-094", "GDOI-NEG-095", "GDOI-NEG-096"]);
    bench.refuse_policies(
        cx,
        &rule,
        vec![
            ("protocol 0", second(|sat| sat.protocol_id = 0)),
            ("protocol 4", second(|sat| sat.protocol_id = 4)),
            ("protocol 200", second(|sat| sat.protocol_id = 200)),
            ("transform 99", second(|sat| with_ipsec(sat, |tek| tek.transform_id = 99))),
            ("attribute 100", second(|sat| with_ipsec(sat, |tek| attr::add(&mut tek.attributes, 100, 1)))),
            ("transform 99 in the first", sat(|sat| with_ipsec(sat, |tek| tek.transform_id = 99))),
        ],
    )?;
    bench.finish(cx)
}

fn with_ipsec(sat: &mut SaTek, change: impl FnOnce(&mut IpsecTek)) {
    if let TekBody::Ipsec(tek) = &mut sat.body {
        change(tek);
    }
}

fn conflicting_sats(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let first = bench.ks().script.group.teks.first().map_or(0x1000_0001, |tek| tek.spi);
    let mut other = hallmark_probe::Tek::esp(bench.ks().rng(), 12, Some(256), Some(5), 3_600);
    other.spi = first;
    bench.ks().script.group.teks.push(other);
    let rule = Rule::new("pull.conflict-refused", &["GDOI-NEG-097"]);
    // The key packets stay the ones of the first policy, so that only message 2 is wrong.
    bench.refuse_policies(cx, &rule, vec![("AES-128 and AES-256 under one SPI", Tamper::content(|_| {}))])?;
    bench.ks().script.group.teks.pop();
    bench.finish(cx)
}

fn tells_the_server(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    let rule = Rule::new("pull.unusable-refused", &["GDOI-PULL-051"]);
    bench.ks().tamper(hallmark_probe::Step::Pull2, tek(|tek| tek.transform_id = 99));
    let first = bench.request(cx)?;
    let before = thirds(bench.ks());
    bench.ks().serve_for(cx.world, WINDOW);
    let taken = thirds(bench.ks()) > before;
    rule.silence(cx, !taken, "no message 3", if taken { "it came" } else { "none" }.to_owned());
    let informational: Vec<_> = bench
        .ks()
        .log
        .of(hallmark_probe::Step::Informational)
        .filter(|seen| seen.at >= first.at && seen.body(PayloadType::DELETE).is_some())
        .cloned()
        .collect();
    let spi = first.header.cookies();
    let names =
        |delete: hallmark_wire::isakmp::Delete| delete.protocol == 1 && delete.spis.iter().any(|s| s[..] == spi);
    let deleted = informational.iter().any(|seen| seen.deletes().into_iter().any(names));
    let observed = if deleted { "a Delete of the phase 1 SA" } else { "no Delete" };
    cx.check("pull.refusal-told", &["GDOI-PULL-051"], deleted, "a Delete of the phase 1 SA", observed);
    if deleted {
        let own = |seen: &hallmark_probe::Seen| {
            seen.protected && seen.authentic == Some(true) && seen.header.message_id != first.header.message_id
        };
        let protected = informational.iter().all(own);
        let observed = if protected { "it is" } else { "it is not" };
        let expected = "encrypted, authentic, under a message id of its own";
        cx.check("pull.refusal-protected", &["GDOI-PULL-052"], protected, expected, observed);
    }
    bench.finish(cx)
}

/// Serves the group once below and then above the member's floor.
fn floor(cx: &mut Cx<'_>, rule: Rule, setup: fn(&mut GmSetup), low: Vec<(&'static str, Change)>) -> Flow {
    let mut bench = Bench::with(cx, setup, |_| {})?;
    let usual = bench.ks().script.clone();
    for (what, change) in low {
        bench.ks().script = usual.clone();
        change(&mut bench.ks().script);
        bench.refuse_policies(cx, &rule, vec![(what, Tamper::content(|_| {}))])?;
    }
    bench.ks().script = usual;
    bench.finish(cx)
}

fn kek_floor(cx: &mut Cx<'_>) -> Flow {
    let setup = |setup: &mut GmSetup| {
        setup.acceptable_kek_ciphers = vec!["aes128".to_owned(), "aes256".to_owned()];
        setup.acceptable_sig_hashes = vec!["sha256".to_owned()];
    };
    floor(
        cx,
        Rule::new("pull.kek-floor", &["POLICY-021"]),
        setup,
        vec![
            ("a 3DES KEK", |script| kek(script, CipherAlg::TripleDes, HashAlg::Sha256)),
            ("signatures with SHA-1", |script| kek(script, CipherAlg::Aes128, HashAlg::Sha1)),
        ],
    )
}

fn kek(script: &mut KsScript, cipher: CipherAlg, hash: HashAlg) {
    let mut rng = hallmark_core::Rng::from_seed([7; 32]);
    if let Some(signing) = script.group.kek.as_ref().and_then(|kek| kek.signing.clone()) {
        script.group.kek = Some(Kek::with(&mut rng, cipher, hash, signing));
    }
}

fn transform_floor(cx: &mut Cx<'_>) -> Flow {
    let setup = |setup: &mut GmSetup| setup.acceptable_transforms = vec!["aes128-cbc/hmac-sha256".to_owned()];
    floor(
        cx,
        Rule::new("pull.transform-floor", &["POLICY-022"]),
        setup,
        vec![
            ("3DES with HMAC-SHA1", |script| transform(script, 3, None, Some(2))),
            ("AES-128 with HMAC-SHA1", |script| transform(script, 12, Some(128), Some(2))),
        ],
    )
}

fn transform(script: &mut KsScript, id: u8, bits: Option<u16>, auth: Option<u16>) {
    let mut rng = hallmark_core::Rng::from_seed([8; 32]);
    script.group.teks = vec![hallmark_probe::Tek::esp(&mut rng, id, bits, auth, 3_600)];
}
