//! Replays the worked vectors, with their cookies, nonces and private values, octet for octet.

use hallmark_core::Datagram;
use hallmark_crypto::SigningKey;
use hallmark_crypto::cert::TrustStore;
use hallmark_wire::isakmp::{IdType, Identification};
use serde_json::Value;

use super::*;
use crate::ike::Credentials;

fn vector(name: &str) -> Value {
    let path = format!("{}/../../fixtures/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn octets(value: &Value) -> Vec<u8> {
    unhex(value.as_str().unwrap())
}

struct Replay {
    i: IkeEndpoint,
    r: IkeEndpoint,
    at_i: SocketAddr,
    at_r: SocketAddr,
}

impl Replay {
    fn new(v: &Value, port: u16, i: IkeConfig, r: IkeConfig) -> Self {
        let at = |ip: &str| SocketAddr::new(ip.parse().unwrap(), port);
        let mut pair = Self { i: endpoint(i, 1), r: endpoint(r, 2), at_i: at("192.0.2.10"), at_r: at("192.0.2.1") };
        pair.i.draws.fixed.cookie = Some(octets(&v["cky_i"]).try_into().unwrap());
        pair.r.draws.fixed.cookie = Some(octets(&v["cky_r"]).try_into().unwrap());
        pair.i.draws.fixed.nonce = Some(octets(&v["nonce_i_body"]));
        pair.r.draws.fixed.nonce = Some(octets(&v["nonce_r_body"]));
        pair.i.draws.fixed.dh = Some(octets(&v["dh"]["private_i"]));
        pair.r.draws.fixed.dh = Some(octets(&v["dh"]["private_r"]));
        pair
    }

    /// Feeds the recorded messages to both sides and compares what each answers.
    fn run(&mut self, recorded: &[Vec<u8>]) -> SaId {
        let id = self.i.connect(now_at(0), self.at_i, self.at_r, 0);
        for (index, expected) in recorded.iter().enumerate() {
            let from_i = index % 2 == 0;
            let sent = outputs(if from_i { &mut self.i } else { &mut self.r });
            assert_eq!(sent.len(), 1, "message {}", index + 1);
            assert_eq!(hex::encode(&sent[0].payload), hex::encode(expected), "message {}", index + 1);
            let to = if from_i { &mut self.r } else { &mut self.i };
            to.handle_datagram(now_at(0), &sent[0]);
        }
        id
    }
}

fn psk_configs(v: &Value) -> (IkeConfig, IkeConfig) {
    let psk = Secret::new(octets(&v["psk"]));
    let config = IkeConfig {
        proposals: vec![suite("aes128-sha256-modp2048-psk"), suite("3des-sha1-modp1024-psk")],
        allow_weak: vec!["3des".into(), "sha1".into(), "modp1024".into()],
        fragmentation: false,
        nat_t_port: Some(4500),
        ..IkeConfig::default()
    };
    let i = IkeConfig { peers: vec![PeerRule::psk("192.0.2.1".parse().unwrap(), psk.clone())], ..config.clone() };
    let r = IkeConfig { accept: true, peers: vec![PeerRule::psk("192.0.2.10".parse().unwrap(), psk)], ..config };
    (i, r)
}

fn messages(v: &Value) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> =
        ["message1", "message2", "message3", "message4"].iter().map(|name| octets(&v[*name])).collect();
    all.push(octets(&v["message5"]["datagram"]));
    all.push(octets(&v["message6"]["datagram"]));
    all
}

#[test]
fn main_mode_with_a_pre_shared_key_gives_the_recorded_octets_under_both_dois() {
    let v = vector("ikev1-mainmode-psk.json");
    for (name, doi, port) in [("variant_gdoi", 2, 848), ("variant_ipsec", 1, 500)] {
        let (mut i, mut r) = psk_configs(&v);
        (i.doi, r.doi) = (doi, doi);
        let variant = &v[name];
        let mut pair = Replay::new(&v, port, i, r);
        let id = pair.run(&messages(variant));
        for sa in [pair.i.sa(id).unwrap(), pair.r.sas().next().unwrap()] {
            assert_eq!(sa.skeyid_a().expose(), octets(&variant["skeyid_a"]));
            assert_eq!(sa.last_block(), octets(&variant["phase1_last_cbc_block"]));
            assert_eq!(sa.doi(), doi);
            assert!(!sa.behind_nat() && !sa.peer_behind_nat() && sa.peer_dpd());
        }
        let pull = &variant["groupkey_pull_message1"];
        let datagram = Datagram::new(pair.at_i, pair.at_r, octets(&pull["datagram"]));
        let IkeInput::Exchange(message) = pair.r.handle_datagram(now_at(1), &datagram) else { panic!("not taken") };
        let sa = pair.r.sa(message.sa).unwrap();
        let plain = sa.exchange_cbc(message.header.message_id).decrypt(message.body()).unwrap();
        assert!(plain.starts_with(&octets(&pull["plaintext_unpadded"])));
    }
}

#[test]
fn recorded_informational_messages_are_made_and_taken() {
    let v = vector("ikev1-mainmode-psk.json");
    let (i, r) = psk_configs(&v);
    let mut pair = Replay::new(&v, 848, i, r);
    let id = pair.run(&messages(&v["variant_gdoi"]));
    let dpd = &v["variant_gdoi"]["info_dpd_r_u_there"];
    let question = Datagram::new(pair.at_i, pair.at_r, octets(&dpd["datagram"]));
    pair.r.handle_datagram(now_at(1), &question);
    assert_eq!(outputs(&mut pair.r).len(), 1);

    let delete = &v["variant_gdoi"]["info_delete_isakmp_sa"];
    pair.i.draws.fixed.message_id = Some(0x07a8_b9ca);
    pair.i.delete(now_at(2), id);
    let sent = outputs(&mut pair.i);
    assert_eq!(hex::encode(&sent[0].payload), delete["datagram"].as_str().unwrap());
    pair.r.handle_datagram(now_at(2), &sent[0]);
    assert_eq!((pair.i.established(), pair.r.established()), (0, 0));
}

#[test]
fn recorded_fragments_of_message_5_are_reassembled_in_any_order() {
    let v = vector("ikev1-mainmode-psk.json");
    let parts: Vec<Vec<u8>> =
        v["fragmented_message5_variant_gdoi"]["datagrams"].as_array().unwrap().iter().map(octets).collect();
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        let (mut i, mut r) = psk_configs(&v);
        (i.fragmentation, r.fragmentation) = (false, true);
        let mut pair = Replay::new(&v, 848, i, r);
        pair.run(&messages(&v["variant_gdoi"])[..4]);
        outputs(&mut pair.i);
        for index in order {
            let datagram = Datagram::new(pair.at_i, pair.at_r, parts[index].clone());
            pair.r.handle_datagram(now_at(1), &datagram);
        }
        let sent = outputs(&mut pair.r);
        assert_eq!(sent.len(), 1, "{order:?}");
        assert_eq!(hex::encode(&sent[0].payload), v["variant_gdoi"]["message6"]["datagram"].as_str().unwrap());
        assert_eq!((pair.r.in_reassembly(), pair.r.reassembly_octets()), (0, 0));
    }
}

#[test]
fn a_wrong_key_leaves_no_sa_and_no_answer() {
    let v = vector("ikev1-mainmode-psk.json");
    let (i, mut r) = psk_configs(&v);
    let wrong = Secret::new(v["negative_wrong_psk_variant_gdoi"]["psk_ascii"].as_str().unwrap().into());
    r.peers = vec![PeerRule::psk("192.0.2.10".parse().unwrap(), wrong)];
    let mut pair = Replay::new(&v, 848, i, r);
    pair.run(&messages(&v["variant_gdoi"])[..5]);
    assert!(outputs(&mut pair.r).is_empty());
    assert_eq!((pair.r.established(), pair.r.half_open()), (0, 1));
    assert!(codes(&mut pair.r).iter().any(|code| code.starts_with("isakmp.payload")));
}

#[test]
fn aggressive_mode_gives_the_recorded_octets() {
    let v = vector("ikev1-mainmode-psk.json");
    let a = &v["aggressive_mode_psk_variant_gdoi"];
    let (mut i, mut r) = psk_configs(&v);
    let fqdn = Identification { id_type: IdType::FQDN, protocol: 0, port: 0, data: b"gm1.example".to_vec() };
    for config in [&mut i, &mut r] {
        config.aggressive = true;
        config.proposals.truncate(1);
        (config.nat_t, config.fragmentation) = (false, false);
    }
    i.behaviour = Behaviour::conforming().with_variant(Variant::IkeNoVendorIds);
    r.behaviour = i.behaviour.clone();
    i.identity = Some(fqdn.clone());
    r.peers[0].identities = vec![fqdn];
    for clear in [false, true] {
        let mut pair = Replay::new(&v, 848, i.clone(), r.clone());
        let recorded = [&a["message1"], &a["message2"]].map(octets);
        let id = pair.run(&recorded);
        let third = outputs(&mut pair.i);
        assert_eq!(hex::encode(&third[0].payload), a["message3_encrypted"]["datagram"].as_str().unwrap());
        let last = octets(&a["phase1_last_cbc_block_if_encrypted"]);
        assert_eq!(pair.i.sa(id).unwrap().last_block(), last);
        let (message, last) = if clear {
            (octets(&a["message3_cleartext_form"]), octets(&a["phase1_last_block_if_message3_in_clear"]))
        } else {
            (third[0].payload.clone(), last)
        };
        pair.r.handle_datagram(now_at(0), &Datagram::new(pair.at_i, pair.at_r, message));
        let sa = pair.r.sas().next().unwrap();
        assert_eq!(sa.last_block(), last);
        assert_eq!(sa.peer_identity().data, b"gm1.example");
    }
}

fn rsa_configs(v: &Value) -> (IkeConfig, IkeConfig) {
    let trust = TrustStore::new(&[octets(&v["ca_certificate_der"])], &[]).unwrap();
    let own = |cert: &str, key: &str| {
        Some(Credentials { chain: vec![octets(&v[cert])], key: SigningKey::from_pkcs8_der(&octets(&v[key])).unwrap() })
    };
    let id = |body: &str| Identification::decode(&octets(&v[body])).unwrap();
    let rule = |ip: &str, identity: Identification| PeerRule {
        psk: None,
        identities: vec![identity],
        ..PeerRule::psk(ip.parse().unwrap(), Secret::default())
    };
    let config = IkeConfig {
        proposals: vec![suite("aes128-sha256-modp2048-rsa")],
        fragmentation: false,
        nat_t: false,
        initial_contact: false,
        trust: Some(trust),
        ..IkeConfig::default()
    };
    let i = IkeConfig {
        identity: Some(id("id_i_body")),
        credentials: own("initiator_certificate_der", "initiator_private_key_pkcs8_der"),
        peers: vec![rule("192.0.2.1", id("id_r_body"))],
        ..config.clone()
    };
    let r = IkeConfig {
        accept: true,
        identity: Some(id("id_r_body")),
        credentials: own("responder_certificate_der", "responder_private_key_pkcs8_der"),
        peers: vec![rule("192.0.2.10", id("id_i_body"))],
        ..config
    };
    (i, r)
}

#[test]
fn main_mode_with_rsa_signatures_gives_the_recorded_octets() {
    let v = vector("ikev1-mainmode-rsasig.json");
    let (i, r) = rsa_configs(&v);
    let mut pair = Replay::new(&v, 848, i, r);
    let id = pair.run(&messages(&v));
    let sa = pair.i.sa(id).unwrap();
    assert_eq!(sa.skeyid_a().expose(), octets(&v["skeyid_a"]));
    assert_eq!(sa.last_block(), octets(&v["phase1_last_cbc_block"]));
    assert_eq!(sa.peer_identity().data, b"ks1.example");
    assert_eq!(pair.r.sas().next().unwrap().peer_subject().unwrap(), &octets(&v["id_i_body"])[4..]);
}

#[test]
fn a_signature_over_a_digest_info_is_refused_unless_the_defect_is_on() {
    let v = vector("ikev1-mainmode-rsasig.json");
    for defect in [None, Some(Defect::IkeDigestInfoAccepted), Some(Defect::IkeSignatureNotVerified)] {
        let (i, mut r) = rsa_configs(&v);
        if let Some(defect) = defect {
            r = with_defect(r, defect);
        }
        let mut pair = Replay::new(&v, 848, with_defect(i, Defect::IkeSignsDigestInfo), r);
        pair.run(&messages(&v)[..4]);
        let fifth = outputs(&mut pair.i);
        pair.r.handle_datagram(now_at(0), &fifth[0]);
        assert_eq!(pair.r.established() == 1, defect.is_some(), "{defect:?}");
        assert_eq!(codes(&mut pair.r).contains(&"ike.auth.signature"), defect.is_none());
    }
}

#[test]
fn a_replay_of_a_recorded_exchange_never_comes_up() {
    let v = vector("ikev1-mainmode-psk.json");
    let (_, r) = psk_configs(&v);
    let mut responder = endpoint(r, 9);
    let (at_i, at_r) = (addr("192.0.2.10:848"), addr("192.0.2.1:848"));
    let recorded = messages(&v["variant_gdoi"]);
    responder.handle_datagram(now_at(0), &Datagram::new(at_i, at_r, recorded[0].clone()));
    let second = outputs(&mut responder);
    assert_ne!(second[0].payload[8..16], recorded[1][8..16]);
    for index in [2, 4] {
        let mut message = recorded[index].clone();
        message[8..16].copy_from_slice(&second[0].payload[8..16]);
        responder.handle_datagram(now_at(0), &Datagram::new(at_i, at_r, message));
    }
    let answers = outputs(&mut responder);
    assert_eq!(answers.len(), 1);
    assert_ne!(answers[0].payload[28..], recorded[3][28..]);
    assert_eq!(responder.established(), 0);
}
