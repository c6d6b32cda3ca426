//! The published vectors, reproduced octet for octet by both ends.

mod duet;

use std::collections::BTreeMap;
use std::rc::Rc;

use duet::{Side, duet};
use hallmark_core::{Datagram, Duration, Instant};
use hallmark_crypto::gdoi::AckLength;
use hallmark_crypto::{CipherAlg, HashAlg, Secret, SigningKey, hash};
use hallmark_probe::data::Replay;
use hallmark_probe::gm::{AckForm, SigReading};
use hallmark_probe::world::{Party, World};
use hallmark_probe::{
    Credentials, Fixed, Flow, GroupPolicy, Kek, ProbeGm, ProbeKs, PushSpec, SidPlan, Step, Suite, Tek,
};
use hallmark_wire::gdoi::Selector;
use hallmark_wire::isakmp::{Attribute, Attributes, IdType, Identification, vendor_id};

const PSK: &str = include_str!("../../../fixtures/vectors/ikev1-mainmode-psk.json");
const RSA: &str = include_str!("../../../fixtures/vectors/ikev1-mainmode-rsasig.json");
const GDOI: &str = include_str!("../../../fixtures/vectors/gdoi-appendix-a.txt");
const MINUTE: Duration = Duration::from_secs(60);

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

fn octets(value: &serde_json::Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn appendix() -> BTreeMap<&'static str, &'static str> {
    GDOI.lines().filter_map(|line| line.split_once(" = ")).map(|(name, value)| (name.trim(), value.trim())).collect()
}

/// The fixed values of one end.
fn fixed(vector: &serde_json::Value, end: &str) -> Fixed {
    Fixed {
        cookie: Some(octets(&vector[format!("cky_{end}")]).try_into().unwrap()),
        nonce: Some(octets(&vector[format!("nonce_{end}_body")])),
        private: Some(octets(&vector["dh"][format!("private_{end}")])),
        ..Fixed::default()
    }
}

#[test]
fn main_mode_with_a_shared_key_reproduces_every_datagram() {
    let vector = json(PSK);
    let variant = &vector["variant_gdoi"];
    let gm = |world: &mut Side| {
        let vector = json(PSK);
        let mut gm = ProbeGm::new(world, 0);
        gm.script.suites = ["aes128-sha256-modp2048-psk", "3des-sha1-modp1024-psk"]
            .map(|name| Suite::from_name(name).unwrap())
            .to_vec();
        gm.script.credentials.psk = octets(&vector["psk"]);
        gm.script.fixed = fixed(&vector, "i");
        let sa = gm.phase1(world).unwrap();
        gm.script.fixed.message_id = Some(0x5e1f_0a37);
        let pull = octets(&vector["variant_gdoi"]["groupkey_pull_message1"]["hash1_input"]);
        gm.script.fixed.pull_nonce = Some(pull[8..28].to_vec());
        gm.send_pull1(world).unwrap();
        gm.script.fixed.message_id = Some(0xc3d4_0911);
        let query = gm.r_u_there(0x1f2e_3d4c).unwrap();
        gm.send_notify(world, query).unwrap();
        gm.script.fixed.message_id = Some(0x07a8_b9ca);
        gm.delete_sa(world).unwrap();
        let sent: Vec<Vec<u8>> = gm.sent.into_iter().map(|sent| sent.octets).collect();
        (sent, sa.keys.skeyid.expose().to_vec(), sa.key.expose().to_vec(), sa.last_block)
    };
    let ks = |world: &mut Side| {
        let vector = json(PSK);
        let mut ks = ProbeKs::new(world, 0);
        ks.script.credentials.psk = octets(&vector["psk"]);
        ks.script.fixed = fixed(&vector, "r");
        ks.serve_for(world, MINUTE);
        ks.sent.into_iter().map(|sent| sent.octets).collect::<Vec<_>>()
    };
    let ((initiator, skeyid, key, last), responder) = duet(gm, ks);
    let expected = [
        &variant["message1"],
        &variant["message3"],
        &variant["message5"]["datagram"],
        &variant["groupkey_pull_message1"]["datagram"],
        &variant["info_dpd_r_u_there"]["datagram"],
        &variant["info_delete_isakmp_sa"]["datagram"],
    ];
    for (sent, expected) in initiator.iter().zip(expected) {
        assert_eq!(hex::encode(sent), expected.as_str().unwrap());
    }
    assert_eq!(initiator.len(), 6);
    let expected = [&variant["message2"], &variant["message4"], &variant["message6"]["datagram"]];
    for (sent, expected) in responder.iter().zip(expected) {
        assert_eq!(hex::encode(sent), expected.as_str().unwrap());
    }
    assert_eq!(skeyid, octets(&variant["skeyid"]));
    assert_eq!(key, octets(&variant["cipher_key"]));
    assert_eq!(last, octets(&variant["phase1_last_cbc_block"]));
}

#[test]
fn main_mode_with_rsa_signatures_reproduces_every_datagram() {
    let credentials = |end: &str, identity: &str| {
        let vector = json(RSA);
        let key = SigningKey::from_pkcs8_der(&octets(&vector[format!("{end}_private_key_pkcs8_der")])).unwrap();
        Credentials {
            identity: Some(Identification::decode(&octets(&vector[identity])).unwrap()),
            chain: vec![octets(&vector[format!("{end}_certificate_der")])],
            key: Some(Rc::new(key)),
            authorities: vec![octets(&vector["certreq_ca_dn_der"])],
            ..Credentials::default()
        }
    };
    let suite = Suite::from_name("aes128-sha256-modp2048-rsa").unwrap();
    let gm = move |world: &mut Side| {
        let mut gm = ProbeGm::new(world, 0);
        gm.script.suites = vec![suite];
        gm.script.vendor_ids = vec![vendor_id::DPD.to_vec()];
        gm.script.initial_contact = false;
        gm.script.credentials = credentials("initiator", "id_i_body");
        gm.script.fixed = fixed(&json(RSA), "i");
        let sa = gm.phase1(world).unwrap();
        assert_eq!(sa.peer_identity.unwrap().id_type, IdType::FQDN);
        gm.sent.into_iter().map(|sent| sent.octets).collect::<Vec<_>>()
    };
    let ks = move |world: &mut Side| {
        let mut ks = ProbeKs::new(world, 0);
        ks.script.suites = vec![suite];
        ks.script.vendor_ids = vec![vendor_id::DPD.to_vec()];
        ks.script.credentials = credentials("responder", "id_r_body");
        ks.script.fixed = fixed(&json(RSA), "r");
        ks.serve_for(world, MINUTE);
        ks.sent.into_iter().map(|sent| sent.octets).collect::<Vec<_>>()
    };
    let (initiator, responder) = duet(gm, ks);
    let vector = json(RSA);
    let expected = [&vector["message1"], &vector["message3"], &vector["message5"]["datagram"]];
    for (sent, expected) in initiator.iter().zip(expected) {
        assert_eq!(hex::encode(sent), expected.as_str().unwrap());
    }
    let expected = [&vector["message2"], &vector["message4"], &vector["message6"]["datagram"]];
    for (sent, expected) in responder.iter().zip(expected) {
        assert_eq!(hex::encode(sent), expected.as_str().unwrap());
    }
    assert_eq!((initiator.len(), responder.len()), (3, 3));
}

/// The group of vectors A and B: policy of A, signing key of B.
fn appendix_group() -> GroupPolicy {
    let vectors = appendix();
    let octets = |name: &str| hex::decode(vectors[name]).unwrap();
    let signing = Rc::new(SigningKey::rsa_from_primes(&octets("B.RSA_p"), &octets("B.RSA_q"), &[1, 0, 1]).unwrap());
    assert_eq!(signing.public().to_spki_der().unwrap(), octets("B.SPKI"));
    let kek = Kek {
        spi: octets("A.SAK")[21..37].try_into().unwrap(),
        cipher: CipherAlg::Aes128,
        iv: octets("B.KEK_IV"),
        key: Secret::new(octets("B.KEK_key")),
        sig_hash: HashAlg::Sha256,
        verifying: Some(signing.public()),
        signing: Some(signing),
        lifetime_secs: Some(86_400),
        ack: None,
        src: Some(Selector::from_ip([192, 0, 2, 1].into()).with_port(848)),
        dst: Some(Selector::from_ip([239, 192, 1, 1].into()).with_port(848)),
        seq: 0,
        leaf: None,
    };
    let tek = Tek {
        protocol_id: 1,
        transform_id: 20,
        spi: 0x1122_aabb,
        flows: vec![flow()],
        attributes: Attributes(vec![
            Attribute::basic(1, 1),
            Attribute::u32(2, 3_600),
            Attribute::basic(4, 1),
            Attribute::basic(6, 128),
            Attribute::basic(14, 4),
            Attribute::basic(15, 3),
        ]),
        algorithm_key: (0x50..0x64).collect(),
        integrity_key: Vec::new(),
    };
    let group = GroupPolicy {
        id: 1_234,
        kek: Some(kek),
        teks: vec![tek],
        gap: Vec::new(),
        replay: Replay::None,
        receive_only: false,
        sids: Some(SidPlan { bits: 8, next: 0, default_count: 1 }),
        lkh: None,
        pull_seq: None,
    };
    group.delays(60, 90)
}

/// Any source, 233.252.0.0/16 as destination.
fn flow() -> Flow {
    Flow {
        deny: false,
        ip_protocol: 0,
        src: Selector::any_ipv4(),
        dst: Selector::from_subnet([233, 252, 0, 0].into(), 16),
    }
}

/// The TEK of vector B.
fn appendix_tek() -> Tek {
    Tek {
        protocol_id: 1,
        transform_id: 12,
        spi: 0x3344_ccdd,
        flows: vec![flow()],
        attributes: Attributes(vec![
            Attribute::basic(1, 1),
            Attribute::u32(2, 3_600),
            Attribute::basic(4, 1),
            Attribute::basic(5, 5),
            Attribute::basic(6, 128),
            Attribute::basic(14, 1),
        ]),
        algorithm_key: (0x70..0x80).collect(),
        integrity_key: (0x80..0xa0).collect(),
    }
}

#[test]
fn policy_and_key_download_are_those_of_the_vectors() {
    let vectors = appendix();
    let group = appendix_group();
    let anywhere = "192.0.2.1:848".parse().unwrap();
    let sa = group.sa(Instant::ZERO, anywhere, anywhere).encode_body(&hallmark_wire::gdoi::Dialect::default());
    assert_eq!(hex::encode(sa), vectors["A.SA_payload"][8..]);
    let mut packets = group.packets();
    packets.push(SidPlan::default().take(2).0);
    let mut kd = hallmark_wire::isakmp::payload_octets(
        hallmark_wire::isakmp::PayloadType::NONE,
        &hallmark_wire::gdoi::KeyDownload { packets }.encode_body(),
    );
    assert_eq!(hex::encode(hash(HashAlg::Sha256, &[&kd])), vectors["A.KD_sha256"]);
    kd[9] ^= 1;
    assert_ne!(hex::encode(hash(HashAlg::Sha256, &[&kd])), vectors["A.KD_sha256"]);
}

#[test]
fn push_and_acknowledgement_are_those_of_the_vectors() {
    let gm = |world: &mut Side| {
        let vectors = appendix();
        let mut gm = ProbeGm::new(world, 0);
        gm.script.sender_ids = Some(2);
        let registration = gm.register(world).unwrap();
        assert_eq!(registration.sids, [0, 1]);
        let until = world.now() + MINUTE;
        let push = gm.await_push(world, until).unwrap();
        assert_eq!(push.sig, SigReading::Standard);
        assert_eq!(push.padding.len(), 12);
        assert!(push.findings.is_empty(), "{:?}", push.findings);
        assert_eq!(push.teks, [appendix_tek()]);
        assert!(!gm.ack(world, &push).unwrap(), "no acknowledgement was asked for");
        let readings = [("0100", AckLength::PrfOutput), ("0200", AckLength::PrfBlock), ("0080", AckLength::BaseKey)];
        for (name, length) in readings {
            gm.ack_as(world, &push, AckForm::Standard(length)).unwrap();
            let sent = gm.last_sent(Step::Ack).unwrap();
            assert_eq!(hex::encode(&sent.octets), vectors[format!("D.L={name}.message").as_str()]);
        }
    };
    let ks = |world: &mut Side| {
        let vectors = appendix();
        let mut ks = ProbeKs::new(world, 0);
        ks.script.group = appendix_group();
        let member = ks.await_registration(world, MINUTE).unwrap();
        let spec = PushSpec::tek(appendix_tek()).to("239.192.1.1:848".parse().unwrap());
        let push = ks.build_push(world, &spec).unwrap();
        let datagram = &push.datagrams[0].payload;
        assert_eq!(hex::encode(&datagram[..28]), vectors["B.HDR_wire"]);
        assert_eq!(hex::encode(&datagram[28..]), vectors["B.ciphertext"]);
        assert_eq!(hex::encode(hash(HashAlg::Sha256, &[datagram])), vectors["B.datagram_sha256"]);
        // The vector is a multicast PUSH; here it takes the direct way under the announced destination.
        world.send(Datagram::new(push.datagrams[0].src, push.datagrams[0].dst, datagram.clone()));
        ks.serve_for(world, Duration::from_secs(5));
        assert_eq!(member.sids, [0, 1]);
        ks.log.acks.iter().map(|ack| ack.reading).collect::<Vec<_>>()
    };
    let join = |world: &mut Side| {
        world.join(Party::Tester(0), "239.192.1.1:848".parse().unwrap()).unwrap();
        gm(world);
    };
    let (_, readings) = duet(join, ks);
    assert_eq!(readings, [Some(AckLength::PrfOutput), Some(AckLength::PrfBlock), Some(AckLength::BaseKey)]);
}
