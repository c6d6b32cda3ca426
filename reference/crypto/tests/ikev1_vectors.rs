//! The worked IKEv1 exchanges and the published key schedule answers.

mod common;

use std::net::SocketAddr;

use common::{array, json, octets, text, unhex};
use hallmark_core::Rng;
use hallmark_crypto::ike::{self, Cbc, SkeyIds};
use hallmark_crypto::{CipherAlg, CryptoError, Curve, DhKey, Group, HashAlg, Secret, SigningKey, VerifyingKey};
use serde_json::Value;

const HASH: HashAlg = HashAlg::Sha256;
const CIPHER: CipherAlg = CipherAlg::Aes128;
const HEADER: usize = 28;

/// One worked exchange: the values of the file that all its variants share.
struct Exchange {
    file: Value,
    cky_i: [u8; 8],
    cky_r: [u8; 8],
    ni_b: Vec<u8>,
    nr_b: Vec<u8>,
    g_xi: Vec<u8>,
    g_xr: Vec<u8>,
    g_xy: Secret,
}

impl Exchange {
    fn load(path: &str) -> Self {
        let file = json(path);
        let initiator = DhKey::from_private(Group::Modp2048, &octets(&file, "dh/private_i")).unwrap();
        let responder = DhKey::from_private(Group::Modp2048, &octets(&file, "dh/private_r")).unwrap();
        assert_eq!(initiator.public(), octets(&file, "dh/public_i"));
        assert_eq!(responder.public(), octets(&file, "dh/public_r"));
        let g_xy = initiator.agree(responder.public()).unwrap();
        assert_eq!(g_xy, responder.agree(initiator.public()).unwrap());
        assert_eq!(g_xy.expose(), octets(&file, "dh/shared"));
        Self {
            cky_i: array(&octets(&file, "cky_i")),
            cky_r: array(&octets(&file, "cky_r")),
            ni_b: octets(&file, "nonce_i_body"),
            nr_b: octets(&file, "nonce_r_body"),
            g_xi: initiator.public().to_vec(),
            g_xr: responder.public().to_vec(),
            g_xy,
            file,
        }
    }

    /// Derives the keys and compares them with those of a variant.
    fn keys(&self, variant: &Value, skeyid: Secret) -> (SkeyIds, Cbc) {
        assert_eq!(skeyid.expose(), octets(variant, "skeyid"));
        let keys = ike::skeyids(HASH, skeyid, self.g_xy.expose(), &self.cky_i, &self.cky_r);
        assert_eq!(keys.d.expose(), octets(variant, "skeyid_d"));
        assert_eq!(keys.a.expose(), octets(variant, "skeyid_a"));
        assert_eq!(keys.e.expose(), octets(variant, "skeyid_e"));
        let key = ike::cipher_key(HASH, CIPHER, keys.e.expose());
        assert_eq!(key.expose(), octets(variant, "cipher_key"));
        let iv = ike::phase1_iv(HASH, CIPHER, &self.g_xi, &self.g_xr);
        assert_eq!(iv, octets(variant, "iv_phase1_initial"));
        (keys, Cbc::new(CIPHER, key, iv).unwrap())
    }

    fn hash_i(&self, alg: HashAlg, skeyid: &Secret, variant: &Value) -> Vec<u8> {
        let (sa, id) = (octets(variant, "sa_i_body"), octets(variant, "id_i_body"));
        ike::hash_i(alg, skeyid.expose(), &self.g_xi, &self.g_xr, &self.cky_i, &self.cky_r, &sa, &id)
    }

    fn hash_r(&self, alg: HashAlg, skeyid: &Secret, variant: &Value) -> Vec<u8> {
        let (sa, id) = (octets(variant, "sa_i_body"), octets(variant, "id_r_body"));
        ike::hash_r(alg, skeyid.expose(), &self.g_xi, &self.g_xr, &self.cky_i, &self.cky_r, &sa, &id)
    }
}

/// Encrypts and decrypts one message of a chain and compares both with the vector.
fn check_message(chain: &mut Cbc, message: &Value) {
    let plain = octets(message, "plaintext_unpadded");
    let datagram = octets(message, "datagram");
    assert_eq!(chain.iv(), octets(message, "iv"));
    let opened = chain.decrypt(&datagram[HEADER..]).unwrap();
    assert_eq!(opened[..plain.len()], plain);
    assert_eq!(opened.len() - plain.len(), message["pad_octets"].as_u64().unwrap() as usize);
    assert!(opened[plain.len()..].iter().all(|octet| *octet == 0));
    assert_eq!(chain.iv(), octets(message, "iv"), "decryption must not move the chain");
    assert_eq!(chain.encrypt(plain), datagram[HEADER..]);
}

/// Runs one protected message of a later exchange through its own chain.
fn check_later_message(keys: &SkeyIds, phase1: &Cbc, message: &Value) {
    let message_id = u32::from_be_bytes(array(&octets(message, "message_id")));
    let iv = ike::exchange_iv(HASH, CIPHER, phase1.iv(), message_id);
    let mut chain = Cbc::new(CIPHER, phase1.key().clone(), iv).unwrap();
    check_message(&mut chain, message);
    // The plaintext starts with the HASH payload: 4 octets of header and the hash.
    let plain = octets(message, "plaintext_unpadded");
    let (hash_payload, rest) = plain.split_at(4 + HASH.len());
    let hash = ike::informational_hash(HASH, keys.a.expose(), message_id, rest);
    assert_eq!(hash, octets(message, "hash1"));
    assert_eq!(hash, hash_payload[4..]);
}

#[test]
fn main_mode_with_psk_matches_the_vector_in_both_dois() {
    let exchange = Exchange::load("vectors/ikev1-mainmode-psk.json");
    let psk = octets(&exchange.file, "psk");
    for (name, port) in [("variant_gdoi", 848), ("variant_ipsec", 500)] {
        let variant = &exchange.file[name];
        let skeyid = ike::skeyid_psk(HASH, &psk, &exchange.ni_b, &exchange.nr_b);
        let (keys, mut chain) = exchange.keys(variant, skeyid);
        assert_eq!(exchange.hash_i(HASH, &keys.skeyid, variant), octets(variant, "hash_i"));
        assert_eq!(exchange.hash_r(HASH, &keys.skeyid, variant), octets(variant, "hash_r"));
        check_message(&mut chain, &variant["message5"]);
        check_message(&mut chain, &variant["message6"]);
        assert_eq!(chain.iv(), octets(variant, "phase1_last_cbc_block"));
        for later in ["groupkey_pull_message1", "info_dpd_r_u_there", "info_delete_isakmp_sa"] {
            check_later_message(&keys, &chain, &variant[later]);
        }
        for (side, ip) in [("initiator", "192.0.2.10"), ("responder", "192.0.2.1")] {
            let addr = SocketAddr::new(ip.parse().unwrap(), port);
            let expected = octets(variant, &format!("nat_d/{side}_addr_port_hash"));
            assert_eq!(ike::nat_d(HASH, &exchange.cky_i, &exchange.cky_r, addr), expected);
        }
    }
}

#[test]
fn aggressive_mode_with_psk_matches_the_vector() {
    let exchange = Exchange::load("vectors/ikev1-mainmode-psk.json");
    let variant = &exchange.file["aggressive_mode_psk_variant_gdoi"];
    let skeyid = ike::skeyid_psk(HASH, &octets(&exchange.file, "psk"), &exchange.ni_b, &exchange.nr_b);
    let (keys, mut chain) = exchange.keys(variant, skeyid);
    assert_eq!(exchange.hash_i(HASH, &keys.skeyid, variant), octets(variant, "hash_i"));
    assert_eq!(exchange.hash_r(HASH, &keys.skeyid, variant), octets(variant, "hash_r"));
    assert_eq!(chain.iv(), octets(variant, "phase1_last_block_if_message3_in_clear"));
    check_message(&mut chain, &variant["message3_encrypted"]);
    assert_eq!(chain.iv(), octets(variant, "phase1_last_cbc_block_if_encrypted"));
}

#[test]
fn a_wrong_psk_decrypts_message_5_to_the_noise_of_the_vector() {
    let exchange = Exchange::load("vectors/ikev1-mainmode-psk.json");
    let negative = &exchange.file["negative_wrong_psk_variant_gdoi"];
    let psk = text(negative, "psk_ascii").as_bytes();
    let skeyid = ike::skeyid_psk(HASH, psk, &exchange.ni_b, &exchange.nr_b);
    assert_eq!(skeyid.expose(), octets(negative, "skeyid"));
    let keys = ike::skeyids(HASH, skeyid, exchange.g_xy.expose(), &exchange.cky_i, &exchange.cky_r);
    let key = ike::cipher_key(HASH, CIPHER, keys.e.expose());
    assert_eq!(key.expose(), octets(negative, "cipher_key"));
    let chain = Cbc::new(CIPHER, key, ike::phase1_iv(HASH, CIPHER, &exchange.g_xi, &exchange.g_xr)).unwrap();
    let datagram = octets(&exchange.file, "variant_gdoi/message5/datagram");
    let noise = chain.decrypt(&datagram[HEADER..]).unwrap();
    assert_eq!(noise, octets(negative, "message5_decrypted_with_wrong_key"));
}

#[test]
fn cipher_keys_are_cut_or_expanded_as_the_vectors_say() {
    let file = json("vectors/ikev1-mainmode-psk.json");
    let cases = file["key_expansion"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let alg = HashAlg::from_name(text(case, "prf").trim_start_matches("HMAC-")).unwrap();
        let cipher = match text(case, "cipher") {
            "AES-CBC-128" => CipherAlg::Aes128,
            "AES-CBC-256" => CipherAlg::Aes256,
            "3DES-CBC" => CipherAlg::TripleDes,
            other => panic!("{other}"),
        };
        let key = ike::cipher_key(alg, cipher, &octets(case, "skeyid_e"));
        assert_eq!(key.expose(), octets(case, "key"));
    }
}

#[test]
fn a_weak_des_key_is_passed_over() {
    let strong = [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0];
    let skeyid_e = [&[0x01; 8][..], &strong, &[7; 4]].concat();
    assert_eq!(ike::cipher_key(HashAlg::Sha1, CipherAlg::Des, &skeyid_e).expose(), strong);
    // The same weak key with other parity bits.
    let skeyid_e = [&[0x00; 8][..], &strong].concat();
    assert_eq!(ike::cipher_key(HashAlg::Md5, CipherAlg::Des, &skeyid_e).expose(), strong);
    let skeyid_e = [&strong[..], &[0x01; 8]].concat();
    assert_eq!(ike::cipher_key(HashAlg::Md5, CipherAlg::Des, &skeyid_e).expose(), strong);
}

#[test]
fn main_mode_with_rsa_signatures_matches_the_vector() {
    let exchange = Exchange::load("vectors/ikev1-mainmode-rsasig.json");
    let file = &exchange.file;
    let skeyid = ike::skeyid_sig(HASH, &exchange.ni_b, &exchange.nr_b, exchange.g_xy.expose());
    let (keys, mut chain) = exchange.keys(file, skeyid);
    let (hash_i, hash_r) = (exchange.hash_i(HASH, &keys.skeyid, file), exchange.hash_r(HASH, &keys.skeyid, file));
    assert_eq!(hash_i, octets(file, "hash_i"));
    assert_eq!(hash_r, octets(file, "hash_r"));
    let mut rng = Rng::from_u64(1);
    for (role, hash, letter) in [("initiator", &hash_i, "i"), ("responder", &hash_r, "r")] {
        let key = SigningKey::from_pkcs8_der(&octets(file, &format!("{role}_private_key_pkcs8_der"))).unwrap();
        let sig = octets(file, &format!("sig_{letter}"));
        assert_eq!(key.sign_ike(hash, &mut rng).unwrap(), sig);
        let public = key.public();
        assert_eq!(
            public,
            hallmark_crypto::cert::public_key(&octets(file, &format!("{role}_certificate_der"))).unwrap()
        );
        assert_eq!(public.verify_ike(hash, &sig), Ok(()));
        let block = octets(file, &format!("encoded_message_{letter}"));
        assert_eq!(public.open_rsa_block(&sig).unwrap(), block);
        assert_eq!(key.sign_rsa_block(&block).unwrap(), sig);
    }
    check_message(&mut chain, &file["message5"]);
    check_message(&mut chain, &file["message6"]);
    assert_eq!(chain.iv(), octets(file, "phase1_last_cbc_block"));
}

#[test]
fn an_ike_signature_with_digest_info_is_refused() {
    let file = json("vectors/ikev1-mainmode-rsasig.json");
    let public = hallmark_crypto::cert::public_key(&octets(&file, "initiator_certificate_der")).unwrap();
    let hash = octets(&file, "hash_i");
    let wrapped = octets(&file, "negative_sig_i_with_digestinfo/sig");
    assert_eq!(public.verify_ike(&hash, &wrapped), Err(CryptoError::SignatureMismatch));
    // It is a correct signature of the other kind, so the refusal is about DigestInfo and nothing else.
    assert_eq!(public.verify_push(HASH, &hash, false, &wrapped), Ok(()));
    let mut flipped = octets(&file, "sig_i");
    flipped[100] ^= 1;
    assert_eq!(public.verify_ike(&hash, &flipped), Err(CryptoError::SignatureMismatch));
    let short = &octets(&file, "sig_i")[1..];
    assert_eq!(public.verify_ike(&hash, short), Err(CryptoError::SignatureLength { need: 256, have: 255 }));
    assert_eq!(public.verify_ike(&hash, &[0xff; 256]), Err(CryptoError::SignatureMismatch));
}

#[test]
fn the_ecdsa_vector_verifies_over_the_hash_as_digest() {
    let exchange = Exchange::load("vectors/ikev1-mainmode-rsasig.json");
    let case = &exchange.file["ecdsa256_verify_only"];
    let point = [octets(case, "public_x"), octets(case, "public_y")].concat();
    let key = VerifyingKey::ecdsa_from_point(Curve::P256, &point).unwrap();
    let skeyid = Secret::new(octets(&exchange.file, "skeyid"));
    let hash = exchange.hash_i(HashAlg::Sha256, &skeyid, case);
    assert_eq!(hash, octets(case, "hash_i"));
    let sig = octets(case, "sig_payload_body");
    assert_eq!(key.verify_ike(&hash, &sig), Ok(()));
    let other = exchange.hash_r(HashAlg::Sha256, &skeyid, &exchange.file);
    assert_eq!(key.verify_ike(&other, &sig), Err(CryptoError::SignatureMismatch));
    let zero_r = [&[0; 32][..], &sig[32..]].concat();
    assert_eq!(key.verify_ike(&hash, &zero_r), Err(CryptoError::SignatureMismatch));
    assert_eq!(key.verify_ike(&hash, &sig[..63]), Err(CryptoError::SignatureLength { need: 64, have: 63 }));
}

#[test]
fn published_key_schedules_come_out() {
    let file = json("vectors/ikev1-primitives.json");
    for (name, signature) in [("psk_sha1", false), ("signature_sha1", true)] {
        let case = &file["skeyid_known_answer"][name];
        let (ni, nr, g_xy) = (octets(case, "ni"), octets(case, "nr"), octets(case, "gxy"));
        let skeyid = if signature {
            ike::skeyid_sig(HashAlg::Sha1, &ni, &nr, &g_xy)
        } else {
            ike::skeyid_psk(HashAlg::Sha1, &octets(case, "psk"), &ni, &nr)
        };
        assert_eq!(skeyid.expose(), octets(case, "skeyid"));
        let (cky_i, cky_r) = (array(&octets(case, "cky_i")), array(&octets(case, "cky_r")));
        let keys = ike::skeyids(HashAlg::Sha1, skeyid, &g_xy, &cky_i, &cky_r);
        assert_eq!(keys.d.expose(), octets(case, "skeyid_d"));
        assert_eq!(keys.a.expose(), octets(case, "skeyid_a"));
        assert_eq!(keys.e.expose(), octets(case, "skeyid_e"));
    }
}

#[test]
fn curve_agreements_match_the_vectors() {
    let file = json("vectors/ikev1-primitives.json");
    for group in [Group::Ecp256, Group::Ecp384, Group::Ecp521] {
        let case = &file["ecp_groups"][group.to_ike().to_string()];
        let initiator = DhKey::from_private(group, &octets(case, "private_i")).unwrap();
        let responder = DhKey::from_private(group, &octets(case, "private_r")).unwrap();
        assert_eq!(initiator.public(), octets(case, "ke_i_body"));
        assert_eq!(responder.public(), octets(case, "ke_r_body"));
        let g_xy = octets(case, "g_xy");
        assert_eq!(initiator.agree(responder.public()).unwrap().expose(), g_xy);
        assert_eq!(responder.agree(initiator.public()).unwrap().expose(), g_xy);
        assert_eq!(g_xy.len(), group.secret_len());
        let mut off_curve = responder.public().to_vec();
        off_curve[group.public_len() - 1] ^= 1;
        assert_eq!(initiator.agree(&off_curve), Err(CryptoError::DhPoint));
        assert_eq!(initiator.agree(&vec![0; group.public_len()]), Err(CryptoError::DhPoint));
        assert_eq!(initiator.agree(&vec![0xff; group.public_len()]), Err(CryptoError::DhPoint));
        let with_format_octet = [&[4], responder.public()].concat();
        let (need, have) = (group.public_len(), group.public_len() + 1);
        assert_eq!(initiator.agree(&with_format_octet), Err(CryptoError::DhLength { need, have }));
    }
}

#[test]
fn weak_modp_values_are_refused() {
    let file = json("vectors/ikev1-primitives.json");
    let key = DhKey::generate(Group::Modp2048, &mut Rng::from_u64(3));
    let cases = file["weak_modp14_ke_bodies"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let body = octets(case, "body");
        let expected = if body.len() == 256 {
            CryptoError::DhRange
        } else {
            CryptoError::DhLength { need: 256, have: body.len() }
        };
        assert_eq!(key.agree(&body), Err(expected), "{}", text(case, "name"));
    }
}

#[test]
fn the_primes_are_those_of_the_vectors() {
    let file = json("vectors/ikev1-primitives.json");
    for group in [Group::Modp1024, Group::Modp1536, Group::Modp2048, Group::Modp3072, Group::Modp4096] {
        let prime = octets(&file, &format!("modp_groups/{}/prime", group.to_ike()));
        let key = DhKey::generate(group, &mut Rng::from_u64(4));
        // p-2 is the largest value that is accepted; p-1 and p are the first two that are not.
        let near = |difference: u8| {
            let mut value = prime.clone();
            *value.last_mut().unwrap() -= difference;
            key.agree(&value)
        };
        assert!(near(2).is_ok(), "{group}");
        assert_eq!(near(1), Err(CryptoError::DhRange), "{group}");
        assert_eq!(near(0), Err(CryptoError::DhRange), "{group}");
    }
}

#[test]
fn every_group_agrees_with_itself_and_keeps_its_width() {
    let mut rng = Rng::from_u64(5);
    for group in Group::ALL {
        let (a, b) = (DhKey::generate(group, &mut rng), DhKey::generate(group, &mut rng));
        assert_ne!(a.public(), b.public());
        assert_eq!(a.public().len(), group.public_len());
        let shared = a.agree(b.public()).unwrap();
        assert_eq!(shared, b.agree(a.public()).unwrap(), "{group}");
        assert_eq!(shared.len(), group.secret_len());
        assert_ne!(shared, a.agree(a.public()).unwrap());
    }
}

#[test]
fn a_leading_zero_of_the_shared_value_is_kept() {
    // About one agreement in 256 has one; both the table and the general power must pad to the full width.
    let base = DhKey::from_private(Group::Modp768, &[1]).unwrap();
    assert_eq!(base.public().len(), 96);
    assert_eq!(base.public()[95], 2);
    let peer = [vec![0; 95], vec![2]].concat();
    let shared = DhKey::from_private(Group::Modp768, &[9]).unwrap().agree(&peer).unwrap();
    assert_eq!(shared.expose(), [vec![0; 94], vec![2, 0]].concat());
}

#[test]
fn private_values_beyond_the_table_give_the_same_powers() {
    let short = DhKey::from_private(Group::Modp1024, &[0x5a; 32]).unwrap();
    let padded = [vec![0; 64], vec![0x5a; 32]].concat();
    let long = DhKey::from_private(Group::Modp1024, &padded).unwrap();
    assert_eq!(short.public(), long.public());
    assert!(DhKey::from_private(Group::Modp1024, &[0; 32]).is_err());
    assert!(DhKey::from_private(Group::Modp1024, &[1; 129]).is_err());
    assert!(DhKey::from_private(Group::Ecp256, &unhex(&"ff".repeat(32))).is_err());
}
