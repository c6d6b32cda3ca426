//! What message 4 brings: the KD payload with the keys that message 2 announced.

use std::collections::BTreeSet;

use hallmark_crypto::gdoi::tek_key_lengths;
use hallmark_crypto::hash;
use hallmark_wire::gdoi::{kd_type, kek_key, tek_attr, tek_key};
use hallmark_wire::isakmp::PayloadType;

use super::kit::{Pulled, SHORT_LIFE, counter_mode, pull, rekeys_soon};
use super::layout::KdLayout;
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::KsScene;
use crate::setup::{KsSetup, Tek};

pub(crate) const CASES: &[Case] = &[
    case! {
        "PULLK-020", "gdoi.pull", Must, Ks,
        title: "KD holds as many key packets as it says",
        purpose: "Members allocate and walk by this count; a wrong one makes the whole download unreadable.",
        requirements: ["GDOI-PL-057", "GDOI-PL-058", "GDOI-PULL-033"],
        sources: ["RFC 6407 §5.6"],
        catches: ["ks_kd_count_wrong"],
        run: packet_count,
    },
    case! {
        "PULLK-021", "gdoi.pull", Must, Ks,
        title: "message 4 brings exactly the keys that message 2 announced",
        purpose: "A policy without its key leaves the member half configured: it registers and then cannot talk.",
        requirements: [
            "GDOI-PULL-034", "GDOI-PULL-035", "GDOI-PL-059", "GDOI-PL-060", "GDOI-PL-066", "GDOI-PL-067",
            "GDOI-PULL-033",
        ],
        sources: ["RFC 6407 §3.2", "RFC 6407 §5.6.1", "RFC 6407 §5.6.2"],
        catches: ["ks_m4_kek_missing", "ks_tek_packet_missing", "ks_two_kek_packets", "ks_tek_key_twice"],
        needs: [Setup],
        run: keys_match_policy,
    },
    case! {
        "PULLK-022", "gdoi.pull", Must, Ks,
        title: "every transform gets keys of its own form",
        purpose: "A salt that is missing or a MAC key in another attribute means that no packet of the group can be read.",
        requirements: ["GDOI-PL-060", "GDOI-PL-062", "GDOI-PL-063", "GDOI-PL-064", "GDOI-PL-065", "GDOI-PULL-033"],
        sources: ["RFC 6407 §5.6.1.1", "RFC 6407 §5.6.1.2", "RFC 4106 §8.1"],
        catches: ["ks_gcm_without_salt", "ks_mac_key_class_wrong"],
        needs: [Setup],
        cost: 10,
        run: transform_keys,
    },
    case! {
        "PULLK-023", "gdoi.pull", Must, Ks,
        title: "KEK_ALGORITHM_KEY is the IV followed by the key",
        purpose: "With the halves exchanged every rekey is noise to the members, and they all fall out when their keys expire.",
        requirements: ["GDOI-PL-068", "GDOI-ALG-001", "GDOI-ALG-003", "GDOI-ALG-004", "GDOI-ALG-006", "GDOI-ALG-009", "GDOI-ALG-010"],
        sources: ["RFC 6407 §5.6.2.1", "RFC 6407 §5.3.2", "RFC 6407 §6.1"],
        catches: ["ks_kek_key_before_iv"],
        needs: [Setup],
        cost: 400,
        run: kek_ciphers,
    },
    case! {
        "PULLK-024", "gdoi.pull", Should, Ks,
        title: "DES and MD5 are not used unless the operator insists",
        purpose: "Both are discouraged by the RFC; a server that takes them from any configuration invites weak groups.",
        requirements: ["GDOI-ALG-002", "GDOI-ALG-005"],
        sources: ["RFC 6407 §6.1"],
        catches: ["ks_weak_by_default"],
        needs: [Setup],
        run: weak_algorithms,
    },
];

/// Reads the KD payload of message 4; one that cannot be read at all is judged and ends the case.
fn kd_of(cx: &mut Cx<'_>, scene: &KsScene, pulled: &Pulled) -> Flow<KdLayout> {
    let body = pulled.m4.as_ref().and_then(|m4| m4.body(PayloadType::KEY_DOWNLOAD));
    let layout = body.and_then(KdLayout::read);
    let present = layout.is_some();
    cx.check("kd.present", &["GDOI-PULL-033"], present, "message 4 with a KD payload", pulled.words());
    if !present {
        scene.finish(cx)?;
    }
    layout.ok_or(Stop::Judged)
}

fn packet_count(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let mut member = scene.phase1(cx, 0)?;
    let pulled = pull(cx, &mut member);
    let kd = kd_of(cx, &scene, &pulled)?;
    let observed = kd.broken.clone().unwrap_or_else(|| "they do".to_owned());
    cx.check("kd.lengths", &["GDOI-PL-058"], kd.broken.is_none(), "the packets fill the payload", observed);
    let right = usize::from(kd.count) == kd.packets.len();
    let observed = format!("count {} with {} packets", kd.count, kd.packets.len());
    cx.check("kd.count", &["GDOI-PL-057"], right, "the number of packets present", observed);
    let reserved = kd.reserved2 == 0 && kd.packets.iter().all(|packet| packet.reserved == 0);
    cx.check("kd.reserved", &["GDOI-PL-057"], reserved, "0", if reserved { "0" } else { "not 0" });
    scene.finish(cx)
}

fn keys_match_policy(cx: &mut Cx<'_>) -> Flow {
    let mut setup = KsSetup::standard(cx.world);
    let second = Tek { acl: vec!["permit ip 10.3.0.0/16 10.4.0.0/16".to_owned()], ..Tek::default() };
    setup.group().teks.push(second);
    let scene = KsScene::start(cx, setup)?;
    let mut member = scene.phase1(cx, 0)?;
    let pulled = pull(cx, &mut member);
    let m2 = cx.have(pulled.m2.clone(), "no message 2 came")?;
    let policy = m2.body(PayloadType::SA).and_then(|body| {
        hallmark_wire::gdoi::GdoiSa::decode(body, &member.script.dialect, &hallmark_probe::seen::limits()).ok()
    });
    let policy = cx.have(policy, "the policy of message 2 cannot be read")?;
    let kd = kd_of(cx, &scene, &pulled)?;

    let keks = kd.of(kd_type::KEK).count();
    cx.check("kd.one-kek-packet", &["GDOI-PL-066"], keks <= 1, "at most one KEK packet", format!("{keks}"));
    if let Some(sak) = policy.kek() {
        let packet = kd.of(kd_type::KEK).next();
        cx.check("kd.kek-present", &["GDOI-PULL-034"], packet.is_some(), "a KEK packet", format!("{keks} KEK packets"));
        if let Some(packet) = packet {
            let same = packet.spi == sak.spi;
            cx.check("kd.kek-spi", &["GDOI-PL-059"], same, "the SPI of the SAK", format!("{:02x?}", packet.spi));
            let (keys, signatures) = (packet.count(kek_key::ALGORITHM), packet.count(kek_key::SIGNATURE));
            let observed = format!("{keys} KEK_ALGORITHM_KEY, {signatures} SIG_ALGORITHM_KEY");
            cx.check("kd.kek-keys-once", &["GDOI-PL-067"], (keys, signatures) == (1, 1), "one of each", observed);
        }
    }
    let announced: BTreeSet<Vec<u8>> =
        policy.teks().filter_map(|sat| sat.ipsec()).map(|sat| sat.spi.to_be_bytes().to_vec()).collect();
    let delivered: BTreeSet<Vec<u8>> = kd.of(kd_type::TEK).map(|packet| packet.spi.clone()).collect();
    let observed = format!("announced {announced:02x?}, delivered {delivered:02x?}");
    cx.check(
        "kd.tek-for-each-spi",
        &["GDOI-PULL-035"],
        announced.is_subset(&delivered),
        "keys for every SPI",
        &observed,
    );
    cx.check(
        "kd.no-foreign-spi",
        &["GDOI-PL-059"],
        delivered.is_subset(&announced),
        "no SPI that was not announced",
        &observed,
    );
    let twice = kd.of(kd_type::TEK).count() != delivered.len();
    for packet in kd.of(kd_type::TEK) {
        let counts = [tek_key::ALGORITHM, tek_key::INTEGRITY].map(|class| packet.count(class));
        let observed = format!("SPI {:02x?}: {counts:?}", packet.spi);
        cx.check("kd.tek-keys-once", &["GDOI-PL-060"], counts == [1, 1] && !twice, "one key of each kind", observed);
    }
    scene.finish(cx)
}

fn transform_keys(cx: &mut Cx<'_>) -> Flow {
    // ESP cipher and MAC by their configuration names; the last ones need the operator's word.
    const TRANSFORMS: &[(&str, Option<&str>)] = &[
        ("aes128-cbc", Some("hmac-sha256")),
        ("aes192-cbc", Some("hmac-sha384")),
        ("aes256-cbc", Some("hmac-sha512")),
        ("aes128-cbc", Some("hmac-sha1")),
        ("null", Some("hmac-sha256")),
        ("aes128-gcm16", None),
        ("aes256-gcm16", None),
        ("3des", Some("hmac-sha1")),
        ("des", Some("hmac-md5")),
    ];
    let mut setup = KsSetup::standard(cx.world);
    counter_mode(&mut setup, 8);
    setup.allow_weak = ["des", "3des", "md5"].map(str::to_owned).to_vec();
    let tek = |(index, (transform, auth)): (usize, &(&str, Option<&str>))| Tek {
        transform: (*transform).to_owned(),
        auth: auth.map(str::to_owned),
        acl: vec![format!("permit ip 10.1.{index}.0/24 10.2.{index}.0/24")],
        ..Tek::default()
    };
    setup.group().teks = TRANSFORMS.iter().enumerate().map(tek).collect();
    let scene = KsScene::start(cx, setup)?;
    let mut member = scene.phase1(cx, 0)?;
    let pulled = pull(cx, &mut member);
    let kd = kd_of(cx, &scene, &pulled)?;
    let registration = match &pulled.result {
        Ok(registration) => registration,
        Err(fault) => return Err(Stop::Inconclusive(fault.to_string())),
    };
    let all = registration.teks.len() == TRANSFORMS.len();
    cx.check(
        "kd.every-transform",
        &["GDOI-PL-062"],
        all,
        "an SA for each transform",
        format!("{} SAs", registration.teks.len()),
    );
    for tek in &registration.teks {
        let uint = |class| tek.attributes.uint(class);
        let (bits, auth) = (uint(tek_attr::KEY_LENGTH), uint(tek_attr::AUTH_ALGORITHM));
        let Some(lengths) = tek_key_lengths(tek.protocol_id, tek.transform_id, bits, auth) else { continue };
        let packet = kd.of(kd_type::TEK).find(|packet| packet.spi == tek.spi.to_be_bytes());
        let Some(packet) = packet else { continue };
        let name = format!("transform {} with {bits:?} bits and MAC {auth:?}", tek.transform_id);
        let key = packet.key(tek_key::ALGORITHM).len();
        let expected = format!("{} octets", lengths.encryption);
        const KEY: &[&str] = &["GDOI-PL-062", "GDOI-PL-063"];
        cx.check("kd.encryption-key-form", KEY, key == lengths.encryption, &expected, format!("{name}: {key} octets"));
        let (mac, source) = (packet.key(tek_key::INTEGRITY).len(), packet.count(tek_key::SOURCE_AUTH));
        let expected = format!("{} octets in TEK_INTEGRITY_KEY", lengths.integrity);
        let observed = format!("{name}: {mac} octets, {source} TEK_SOURCE_AUTH_KEY");
        const MAC: &[&str] = &["GDOI-PL-064", "GDOI-PL-065"];
        cx.check("kd.integrity-key-form", MAC, mac == lengths.integrity && source == 0, &expected, observed);
        let counts = (packet.count(tek_key::ALGORITHM), packet.count(tek_key::INTEGRITY));
        let wanted = (usize::from(lengths.encryption > 0), usize::from(lengths.integrity > 0));
        cx.check(
            "kd.keys-called-for",
            &["GDOI-PL-060"],
            counts == wanted,
            &format!("{wanted:?}"),
            format!("{name}: {counts:?}"),
        );
    }
    scene.finish(cx)
}

fn kek_ciphers(cx: &mut Cx<'_>) -> Flow {
    // SHA-1 is the one hash besides SHA-256 that members should know.
    for (cipher, sig_hash, octets) in
        [("aes128", "sha256", 32), ("aes192", "sha384", 40), ("aes256", "sha512", 48), ("3des", "sha1", 32)]
    {
        let mut setup = KsSetup::standard(cx.world);
        rekeys_soon(&mut setup);
        setup.allow_weak = vec!["3des".to_owned()];
        setup.kek().cipher = cipher.to_owned();
        setup.kek().sig_hash = sig_hash.to_owned();
        let scene = KsScene::start(cx, setup)?;
        let (mut member, registration) = scene.register(cx, 0)?;
        member.script.auto_ack = true;
        let len = registration.kd.find(kd_type::KEK).and_then(|packet| packet.attributes.octets(kek_key::ALGORITHM));
        let len = len.map_or(0, <[u8]>::len);
        const FORM: &[&str] = &["GDOI-PL-068", "GDOI-ALG-009"];
        let expected = format!("{octets} octets: IV and key");
        cx.check("kd.kek-key-length", FORM, len == octets, &expected, format!("{cipher}: {len} octets"));
        let push = scene.push(cx, &mut member, SHORT_LIFE + 10)?;
        // Decrypted with the first part as IV and the rest as key, and signed by the delivered key.
        let read = push.known_kek && push.seen.flaw.is_none() && push.sig.verifies();
        let observed = match (&push.seen.flaw, read) {
            (Some(flaw), _) => format!("{cipher}, {sig_hash}: {flaw}"),
            (None, true) => format!("{cipher}, {sig_hash}: it does"),
            (None, false) => format!("{cipher}, {sig_hash}: signature {:?}", push.sig),
        };
        const RULES: &[&str] =
            &["GDOI-PL-068", "GDOI-ALG-001", "GDOI-ALG-003", "GDOI-ALG-004", "GDOI-ALG-006", "GDOI-ALG-010"];
        cx.check("kd.kek-opens-push", RULES, read, "the next PUSH opens with this IV and key", observed);
        scene.finish(cx)?;
    }
    Ok(())
}

fn weak_algorithms(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.register(cx, 0)?);
    for (what, rule, cipher, sig_hash) in
        [("DES", "GDOI-ALG-002", "des", "sha256"), ("MD5", "GDOI-ALG-005", "aes128", "md5")]
    {
        let mut setup = KsSetup::standard(cx.world);
        setup.kek().cipher = cipher.to_owned();
        setup.kek().sig_hash = sig_hash.to_owned();
        let started = match KsScene::start(cx, setup) {
            Err(Stop::NotHere(why)) => return Err(Stop::NotHere(why)),
            started => started,
        };
        let observed = match &started {
            Ok(_) => format!("a group with {what} was started without a word"),
            Err(_) => format!("a group with {what} was refused"),
        };
        cx.check("kd.weak-algorithm-refused", &[rule], started.is_err(), "the configuration is refused", observed);
    }
    let scene = KsScene::standard(cx)?;
    scene.finish(cx)
}

/// Gives a short name for a key, to compare keys without writing them down.
pub(super) fn fingerprint(key: &[u8]) -> Vec<u8> {
    hash(hallmark_crypto::HashAlg::Sha256, &[key])
}
