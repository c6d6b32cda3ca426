//! The PUSH messages of another implementation, as a member reads them.

use hallmark_core::{Code, Datagram, Instant, Limits, Now, UnixTime};
use hallmark_crypto::{CipherAlg, HashAlg, Secret, VerifyingKey};
use hallmark_wire::capture::{ip_payload, read};
use hallmark_wire::ip::parse_udp;
use hallmark_wire::isakmp::{ExchangeType, Header};

use super::keys::{RekeySa, SequenceRules, read_kd};
use super::policy::{Rules, read_sa};
use crate::behaviour::Behaviour;
use crate::code;
use crate::config::{Compat, MembershipConfig};
use crate::push::{FormRules, open};

const NOW: Now = Now::new(Instant::ZERO, UnixTime(0));

fn folder(name: &str) -> String {
    format!("{}/../../fixtures/captures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Gives the PUSH messages of a capture in their order, each once.
fn pushes(name: &str) -> Vec<Datagram> {
    let file = std::fs::read(folder(name) + "/capture.pcap").unwrap();
    let mut datagrams: Vec<Datagram> = Vec::new();
    for packet in read(&file).unwrap() {
        let Some(datagram) = ip_payload(packet.link_type, &packet.octets).and_then(|ip| parse_udp(ip).ok()) else {
            continue;
        };
        let push = Header::decode(&datagram.payload).is_ok_and(|header| header.exchange == ExchangeType::PUSH);
        if push && !datagrams.iter().any(|known| known.payload == datagram.payload) {
            datagrams.push(datagram);
        }
    }
    datagrams
}

/// Gives the KEKs that the secrets of a capture name.
fn keks(name: &str) -> Vec<RekeySa> {
    let text = std::fs::read_to_string(folder(name) + "/secrets.json").unwrap();
    let secrets: serde_json::Value = serde_json::from_str(&text).unwrap();
    let octets = |value: &serde_json::Value| hex::decode(value.as_str().unwrap()).unwrap();
    let kek = |kek: &serde_json::Value| RekeySa {
        spi: octets(&kek["spi"]).try_into().unwrap(),
        cipher: if kek["cipher"] == "3DES" { CipherAlg::TripleDes } else { CipherAlg::Aes128 },
        iv_and_key: Secret::new([octets(&kek["iv"]), octets(&kek["key"])].concat()),
        hash: HashAlg::from_sig_hash(kek["sig_hash"].as_u64().unwrap() as u16).unwrap(),
        verifying: Some(VerifyingKey::from_spki_der(&octets(&kek["rsa_public_spki"])).unwrap()),
        sequence: 0,
        window: u32::MAX,
        expires: None,
        ack: None,
        source: None,
        destination: None,
        destination_port: 0,
        lkh: None,
        forget: Instant::FAR_FUTURE,
    };
    secrets["keks"].as_array().unwrap().iter().map(kek).collect()
}

/// Reads every PUSH of a capture in turn and gives the sequence numbers with what became of the content.
fn replay(name: &str, compat: Compat) -> Vec<(u32, Result<usize, Code>)> {
    let (config, behaviour, limits) = (MembershipConfig::new(1), Behaviour::conforming(), Limits::default());
    let rules = Rules { config: &config, compat, behaviour: &behaviour, limits: &limits, pull: false };
    let known = keks(name);
    let mut held = known[..1].to_vec();
    let mut results = Vec::new();
    for datagram in pushes(name) {
        let header = Header::decode(&datagram.payload).unwrap();
        let kek = held.iter_mut().find(|kek| kek.spi == header.cookies()).expect("a KEK that was delivered");
        let (iv, key) = kek.iv_and_key();
        let push =
            open(kek.cipher, iv, key, header, &datagram.payload[28..], &limits, FormRules::default()).ok().unwrap();
        let bare = compat.has(Compat::SIG_BARE_DIGEST);
        push.verify(kek.verifying.as_ref().unwrap(), kek.hash, bare).unwrap();
        assert!(push.verify(kek.verifying.as_ref().unwrap(), kek.hash, !bare).is_err());
        assert!(kek.takes(push.sequence, Compat::NONE, SequenceRules::default()));
        kek.accept(push.sequence);
        let current = kek.clone();
        let (Some(sa), Some(kd)) = (&push.sa, &push.kd) else {
            results.push((push.sequence, Ok(0)));
            continue;
        };
        let read = read_sa(sa, rules).and_then(|policy| {
            let keys = read_kd(kd, &policy, Some(&current), NOW, rules)?;
            Ok((policy, keys))
        });
        results.push((push.sequence, read.as_ref().map(|(policy, _)| policy.teks.len()).map_err(|code| *code)));
        // A new KEK is the one that the secrets name for its SPI.
        if let Ok((policy, keys)) = read
            && let Some((policy, keys)) = policy.kek.as_ref().zip(keys.kek)
            && policy.spi != current.spi
        {
            let named = known.iter().rfind(|kek| kek.spi == policy.spi).unwrap();
            assert_eq!(named.iv_and_key, keys.iv_and_key);
            held.push(RekeySa::new(policy, keys, 0, Instant::ZERO));
        }
    }
    results
}

fn as_of_2011() -> Compat {
    Compat::ALL.iter().fold(Compat::NONE, |all, (one, _)| all.with(*one))
}

#[test]
fn every_recorded_push_decrypts_and_verifies_in_its_dialect() {
    for (name, messages) in [
        ("pull-push-kek3des-kekrekey", 0),
        ("pull-push-kek3des-sha1-rsa1024", 0),
        ("pull-push-kekaes-sha1-rsa1024", 0),
        ("pull-push-kekaes-sha256-rsa2048", 0),
        ("pull-push-p1aes128-kekaes-sha256-rsa2048-tek3des", 0),
        ("pull-push-subnet-tek", 0),
        ("pull-push-tekaddr-palindrome", 0),
        ("push-delete-on-shutdown", 0),
    ] {
        let results = replay(name, as_of_2011());
        assert!(results.len() > messages, "{name}");
        let sequences: Vec<u32> = results.iter().map(|(sequence, _)| *sequence).collect();
        assert!(sequences.windows(2).all(|pair| pair[1] > pair[0]), "{name}: {sequences:?}");
    }
}

#[test]
fn recorded_policies_with_usable_keys_are_understood_and_the_broken_ones_refused() {
    for name in ["pull-push-kek3des-sha1-rsa1024", "pull-push-p1aes128-kekaes-sha256-rsa2048-tek3des"] {
        let results = replay(name, as_of_2011());
        assert!(results.iter().all(|(_, result)| result.is_ok()), "{name}: {results:?}");
    }
    // That implementation announces AES keys and does not send them.
    let results = replay("pull-push-kekaes-sha256-rsa2048", as_of_2011());
    assert!(results.iter().any(|(_, result)| *result == Err(code::KD_KEY)), "{results:?}");
}

#[test]
fn four_recorded_keks_follow_each_other() {
    let results = replay("pull-push-kek3des-kekrekey", as_of_2011());
    assert!(results.iter().all(|(_, result)| result.is_ok()), "{results:?}");
    assert!(results.iter().filter(|(_, result)| *result == Ok(0)).count() >= 3, "{results:?}");
}

#[test]
fn the_corrected_recordings_need_fewer_switches() {
    let compat = Compat::KEK_LIFETIME_TV.with(Compat::SAK_IN_TEK_PUSH).with(Compat::SEQ_CONTINUES);
    for name in ["fixed-p1-3des-sha1-modp1536-kek3des", "fixed-subnet-tek"] {
        let results = replay(name, compat);
        assert!(!results.is_empty() && results.iter().all(|(_, result)| result.is_ok()), "{name}: {results:?}");
    }
}
