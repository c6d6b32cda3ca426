//! Keys on the wire and keys over time.

use std::collections::BTreeSet;

use hallmark_probe::gm::Registration;
use hallmark_wire::isakmp::PayloadType;

use super::keys::fingerprint;
use super::kit::{SHORT_LIFE, complete, counter_mode, pull, rekeys_soon};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::KsScene;
use crate::setup::{KsSetup, Tek};

pub(crate) const CASES: &[Case] = &[
    case! {
        "PULLK-090", "gdoi.pull", Must, Ks,
        title: "no key of the group is ever in clear on the wire",
        purpose: "One datagram with a key in clear opens everything that the group sends until the next rekey.",
        requirements: ["GDOI-SEC-003", "GDOI-PULL-007"],
        sources: ["RFC 6407 §3.2", "RFC 6407 §7"],
        catches: ["ks_m4_in_clear"],
        cost: 10,
        run: keys_in_clear,
    },
    case! {
        "PULLK-091", "gdoi.pull", Must, Ks,
        title: "no key, SPI or nonce comes twice",
        purpose: "A key that returns after a rekey or a restart returns with its counters at zero: what was sent under it can be read.",
        requirements: ["GDOI-SEC-001", "GDOI-SID-001", "GDOI-SID-030"],
        sources: ["RFC 6407 §7.5", "RFC 6407 §3.5", "RFC 6054 §4"],
        catches: ["ks_tek_key_reused", "ks_keys_survive_restart"],
        needs: [Setup],
        cost: 130,
        run: keys_are_fresh,
    },
    case! {
        "PULLK-092", "gdoi.pull", Must, Ks,
        title: "no two SAs of a counter mode have one key, side by side or after a rekey, whatever their salts are",
        purpose: "Members count their IVs for each SA. One key in two of them, and every IV comes twice.",
        requirements: ["GDOI-SID-001"],
        sources: ["RFC 6407 §3.5", "RFC 4106 §3.1"],
        catches: ["ks_teks_share_key", "ks_salt_alone_changes", "ks_tek_key_reused"],
        needs: [Setup],
        cost: 130,
        run: keys_of_their_own,
    },
];

/// Collects the secrets that a registration brought.
fn secrets(registration: &Registration) -> Vec<(&'static str, Vec<u8>)> {
    let mut secrets = Vec::new();
    for tek in &registration.teks {
        secrets.push(("TEK encryption key", tek.algorithm_key.clone()));
        secrets.push(("TEK integrity key", tek.integrity_key.clone()));
    }
    if let Some(kek) = &registration.kek {
        secrets.push(("KEK", kek.key.expose().to_vec()));
    }
    secrets.retain(|(_, secret)| secret.len() >= 8);
    secrets
}

fn keys_in_clear(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let mut member = scene.phase1(cx, 0)?;
    let pulled = pull(cx, &mut member);
    const RULES: &[&str] = &["GDOI-SEC-003", "GDOI-PULL-007"];
    // A download that can be read without decrypting it needs no search for keys.
    let open = member.log.iter().find(|seen| !seen.protected && seen.body(PayloadType::KEY_DOWNLOAD).is_some());
    let observed = open.map_or_else(|| "none".to_owned(), |seen| format!("{} in clear", seen.step));
    cx.grave("pull.no-download-in-clear", RULES, open.is_none(), "no KD payload in clear", observed);
    if open.is_some() {
        return scene.finish(cx);
    }
    let registration = match pulled.result {
        Ok(registration) => registration,
        Err(fault) => return Err(Stop::Inconclusive(format!("the registration: {fault}"))),
    };
    for (name, secret) in secrets(&registration) {
        // Half of a key is enough to say that it is there.
        let half = secret.get(..secret.len() / 2).unwrap_or_default();
        let seen =
            member.log.iter().find(|seen| seen.datagram.payload.windows(half.len()).any(|window| window == half));
        let observed = seen.map_or_else(|| format!("{name}: nowhere"), |seen| format!("{name}: in {}", seen.step));
        cx.grave("pull.no-key-in-clear", RULES, seen.is_none(), "in no datagram", observed);
    }
    scene.finish(cx)
}

fn keys_are_fresh(cx: &mut Cx<'_>) -> Flow {
    let mut setup = KsSetup::standard(cx.world);
    rekeys_soon(&mut setup);
    let scene = KsScene::start(cx, setup)?;
    let (mut member, first) = scene.register(cx, 0)?;
    member.script.auto_ack = true;
    drop(scene.push(cx, &mut member, SHORT_LIFE + 10)?);
    let second = complete(cx, &mut member)?;
    // By TEK SPI: one SA may be told of in both registrations, two SAs may not share a key.
    let mut keys = BTreeSet::new();
    let mut spis = BTreeSet::new();
    for tek in first.teks.iter().chain(&second.teks) {
        if spis.insert(tek.spi) {
            let fresh = keys.insert(fingerprint(&tek.algorithm_key)) && keys.insert(fingerprint(&tek.integrity_key));
            let observed =
                format!("SPI {:08x}: {}", tek.spi, if fresh { "keys of its own" } else { "keys of another SA" });
            cx.check("keys.new-after-rekey", &["GDOI-SEC-001"], fresh, "keys of its own", observed);
        }
    }
    cx.require(spis.len() > 1, "the rekey brought no new SA")?;

    // The same configuration, started twice: counter mode, because there a repeated key is fatal.
    let mut registrations = Vec::new();
    let mut setup = KsSetup::standard(cx.world);
    counter_mode(&mut setup, 8);
    for _ in 0..2 {
        let scene = KsScene::start(cx, setup.clone())?;
        registrations.push(scene.register(cx, 1)?.1);
    }
    let of = |registration: &Registration| -> BTreeSet<Vec<u8>> {
        let mut values: BTreeSet<Vec<u8>> =
            secrets(registration).iter().map(|(_, secret)| fingerprint(secret)).collect();
        values.extend(registration.teks.iter().map(|tek| tek.spi.to_be_bytes().to_vec()));
        values.extend(registration.kek.iter().map(|kek| kek.spi.to_vec()));
        values.insert(registration.nr_b.clone());
        values
    };
    let (Some(before), Some(after)) = (registrations.first(), registrations.last()) else { return scene.finish(cx) };
    let common = of(before).intersection(&of(after)).count();
    const RULES: &[&str] = &["GDOI-SEC-001", "GDOI-SID-001", "GDOI-SID-030"];
    let observed = format!("{common} keys, SPIs or nonces in common");
    cx.check("keys.new-after-restart", RULES, common == 0, "nothing in common", observed);
    scene.finish(cx)
}

fn keys_of_their_own(cx: &mut Cx<'_>) -> Flow {
    // The salt stands behind the key (RFC 4106 §8.1).
    const SALT_LEN: usize = 4;
    let mut setup = KsSetup::standard(cx.world);
    rekeys_soon(&mut setup);
    counter_mode(&mut setup, 8);
    let tek = setup.tek().clone();
    let acl = |entry: &str| vec![entry.to_owned()];
    setup.group().teks = vec![
        Tek { acl: acl("permit ip 10.1.0.0/16 10.2.0.0/16"), ..tek.clone() },
        Tek { acl: acl("permit ip 10.3.0.0/16 10.4.0.0/16"), ..tek },
    ];
    let scene = KsScene::start(cx, setup)?;
    let (mut member, registration) = scene.register(cx, 0)?;
    member.script.auto_ack = true;
    let mut teks = registration.teks;
    cx.require(teks.len() == 2, format!("{} TEKs for two policies", teks.len()))?;
    teks.extend(scene.push(cx, &mut member, SHORT_LIFE + 10)?.teks);
    teks.sort_by_key(|tek| tek.spi);
    teks.dedup_by_key(|tek| tek.spi);
    cx.require(teks.len() > 2, "the rekey brought no new SA")?;
    let key = |octets: &[u8]| fingerprint(octets.get(..octets.len().saturating_sub(SALT_LEN)).unwrap_or_default());
    let keys: BTreeSet<Vec<u8>> = teks.iter().map(|tek| key(&tek.algorithm_key)).collect();
    let observed = format!("{} keys for {} SPIs", keys.len(), teks.len());
    cx.check("keys.one-for-each-sa", &["GDOI-SID-001"], keys.len() == teks.len(), "a key for each SPI", observed);
    scene.finish(cx)
}
