//! The worked GDOI exchange: PULL hashes, a PUSH with its signature, the three readings of PUSH-ACK, LKH.

mod common;

use std::collections::BTreeMap;

use common::{array, fixture, unhex};
use hallmark_core::Rng;
use hallmark_crypto::gdoi::{self, AckLength, TekKeyLengths};
use hallmark_crypto::{CipherAlg, CryptoError, HashAlg, SigningKey, VerifyingKey, cbc_encrypt, hash, pad_zero};

const HASH: HashAlg = HashAlg::Sha256;

/// The appendix as names and values.
struct Appendix(BTreeMap<String, String>);

impl Appendix {
    fn load() -> Self {
        let text = std::fs::read_to_string(fixture("vectors/gdoi-appendix-a.txt")).unwrap();
        let pairs = text.lines().filter_map(|line| line.rsplit_once(" = "));
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("no {name}"))
    }

    fn octets(&self, name: &str) -> Vec<u8> {
        unhex(self.text(name))
    }

    /// Puts several values behind each other.
    fn joined(&self, names: &[&str]) -> Vec<u8> {
        names.iter().flat_map(|name| self.octets(name)).collect()
    }

    fn signing_key(&self) -> SigningKey {
        SigningKey::rsa_from_primes(&self.octets("B.RSA_p"), &self.octets("B.RSA_q"), &[1, 0, 1]).unwrap()
    }
}

#[test]
fn the_four_pull_hashes_match() {
    let a = Appendix::load();
    let key = a.octets("A.SKEYID_a");
    let message_id = u32::from_be_bytes(array(&a.octets("A.M-ID")));
    let (ni, nr) = (a.octets("A.Ni_b"), a.octets("A.Nr_b"));
    let hash1 = gdoi::pull_hash1(HASH, &key, message_id, &a.joined(&["A.Ni_payload", "A.ID_payload"]));
    assert_eq!(hash1, a.octets("A.HASH1"));
    assert_eq!(a.octets("A.msg1_plain")[4..36], hash1);
    let hash2 = gdoi::pull_hash2(HASH, &key, message_id, &ni, &a.joined(&["A.Nr_payload", "A.SA_payload"]));
    assert_eq!(hash2, a.octets("A.HASH2"));
    assert_eq!(gdoi::pull_hash3(HASH, &key, message_id, &ni, &nr, &[]), a.octets("A.HASH3_noGAP"));
    let hash3 = gdoi::pull_hash3(HASH, &key, message_id, &ni, &nr, &a.octets("A.GAP_msg3"));
    assert_eq!(hash3, a.octets("A.HASH3_GAP"));
    // KD is the fixed head, the KEK packet with the public key of the test key, the TEK packet and the SID packet.
    let spki = a.signing_key().public().to_spki_der().unwrap();
    let kd = [unhex("000001a500030000"), a.octets("A.KP_KEK_head"), spki, a.joined(&["A.KP_TEK", "A.KP_SID"])].concat();
    assert_eq!(kd.len().to_string(), a.text("A.KD_len"));
    assert_eq!(hash(HASH, &[&kd]), a.octets("A.KD_sha256"));
    let rest = [a.octets("A.SEQ_payload"), kd].concat();
    assert_eq!(gdoi::pull_hash4(HASH, &key, message_id, &ni, &nr, &rest), a.octets("A.HASH4"));
}

#[test]
fn the_signing_key_has_the_public_half_of_the_vector() {
    let a = Appendix::load();
    let spki = a.signing_key().public().to_spki_der().unwrap();
    assert_eq!(spki, a.octets("B.SPKI"));
    assert_eq!(spki.len().to_string(), a.text("B.SPKI_len"));
    assert_eq!(hash(HASH, &[&spki]), a.octets("B.SPKI_sha256"));
}

#[test]
fn the_push_is_signed_and_encrypted_as_the_vector_says() {
    let a = Appendix::load();
    let payloads = a.joined(&["B.SEQ", "B.SA", "B.KD"]);
    let digest = gdoi::push_digest(HASH, &a.octets("B.HDR_signed"), &payloads);
    assert_eq!(digest, a.octets("B.digest"));
    let padded = gdoi::push_digest(HASH, &a.octets("B.HDR_wire"), &payloads);
    assert_eq!(padded, a.octets("B.digest_if_padded_Length_were_signed"));

    let key = a.signing_key();
    let mut rng = Rng::from_u64(1);
    let sig = key.sign_push(HASH, &digest, false, &mut rng).unwrap();
    assert_eq!(sig, a.octets("B.SIG_data"));
    let bare = key.sign_push(HASH, &digest, true, &mut rng).unwrap();
    assert_eq!(hash(HASH, &[&bare]), a.octets("B.SIG_data_raw_no_DigestInfo_sha256"));
    let public = VerifyingKey::from_spki_der(&a.octets("B.SPKI")).unwrap();
    assert_eq!(public.verify_push(HASH, &digest, false, &sig), Ok(()));
    assert_eq!(public.verify_push(HASH, &digest, true, &bare), Ok(()));
    assert_eq!(public.verify_push(HASH, &digest, false, &bare), Err(CryptoError::SignatureMismatch));
    assert_eq!(public.verify_push(HASH, &digest, true, &sig), Err(CryptoError::SignatureMismatch));
    assert_eq!(public.verify_push(HASH, &padded, false, &sig), Err(CryptoError::SignatureMismatch));

    let mut body = [payloads, vec![0, 0, 1, 4], sig].concat();
    assert_eq!((28 + body.len()).to_string(), a.text("B.unpadded_total"));
    pad_zero(&mut body, 16);
    let iv_and_key = a.joined(&["B.KEK_IV", "B.KEK_key"]);
    let (iv, kek) = gdoi::kek_key_split(CipherAlg::Aes128, &iv_and_key).unwrap();
    cbc_encrypt(CipherAlg::Aes128, kek.expose(), &iv, &mut body).unwrap();
    assert_eq!(body, a.octets("B.ciphertext"));
    let datagram = [a.octets("B.HDR_wire"), body].concat();
    assert_eq!(hash(HASH, &[&datagram]), a.octets("B.datagram_sha256"));
}

#[test]
fn the_digest_of_a_push_that_only_deletes_matches() {
    let a = Appendix::load();
    let payloads = a.joined(&["C.SEQ", "C.D_TEK_all", "C.D_KEK_all"]);
    assert_eq!(gdoi::push_digest(HASH, &a.octets("C.HDR_signed"), &payloads), a.octets("C.digest"));
}

#[test]
fn all_three_readings_of_the_ack_key_match() {
    let a = Appendix::load();
    let spi: [u8; 16] = array(&a.octets("B.HDR_wire")[..16]);
    let base_key = a.octets("B.KEK_key");
    for (length, name) in [(AckLength::PrfOutput, "0100"), (AckLength::PrfBlock, "0200"), (AckLength::BaseKey, "0080")]
    {
        let key = gdoi::ack_key(HASH, &base_key, &spi, length);
        assert_eq!(key.expose(), a.octets(&format!("D.L={name}.ack_key")));
        let mac = gdoi::ack_hash(HASH, key.expose(), &a.joined(&["D.SEQ", "D.ID"]));
        assert_eq!(mac, a.octets(&format!("D.L={name}.HASH")));
        let message = a.octets(&format!("D.L={name}.message"));
        assert_eq!(message[32..64], mac);
    }
    assert_eq!(AckLength::PrfBlock.bits(HashAlg::Sha512, 16), 1024);
    assert_eq!(AckLength::PrfOutput.bits(HashAlg::Sha512, 16), 512);
}

#[test]
fn an_lkh_update_unwraps_along_its_path() {
    let a = Appendix::load();
    let cipher = CipherAlg::Aes128;
    let (download, update) = (a.octets("E.DOWNLOAD_ARRAY"), a.octets("E.UPDATE_ARRAY"));
    // Arrays: 4 octets of head (12 for updates), then keys of 16 octets of head and 32 of data.
    let leaf = &download[4 + 16..4 + 48];
    assert_eq!(leaf, [[0xc0; 16], [0xc1; 16]].concat());
    let first = &update[12 + 16..12 + 48];
    let second = &update[12 + 48 + 16..12 + 96];
    // The update names node 4, the leaf, in its head.
    let node = gdoi::lkh_unwrap(cipher, leaf, first).unwrap();
    let root = gdoi::lkh_unwrap(cipher, &node, second).unwrap();
    assert_eq!(gdoi::lkh_wrap(cipher, leaf, &node).unwrap(), first);
    assert_eq!(gdoi::lkh_wrap(cipher, &node, &root).unwrap(), second);
    assert_eq!(root.len(), 32);
    assert_ne!(root, leaf);
    assert_ne!(gdoi::lkh_unwrap(cipher, &root, first).unwrap(), node);
    assert!(gdoi::lkh_unwrap(cipher, leaf, &first[1..]).is_err());
}

#[test]
fn lkh_wrapping_pads_the_key_that_fits_no_block() {
    let cipher = CipherAlg::Aes192;
    let (wrapping, data) = (vec![3; 40], (0..40).collect::<Vec<u8>>());
    let wrapped = gdoi::lkh_wrap(cipher, &wrapping, &data).unwrap();
    assert_eq!(wrapped.len(), 48);
    assert_eq!(gdoi::lkh_unwrap(cipher, &wrapping, &wrapped).unwrap(), data);
}

#[test]
fn a_kek_value_of_the_wrong_length_is_refused() {
    for cipher in CipherAlg::ALL {
        let value: Vec<u8> = (0..gdoi::kek_key_len(cipher) as u8).collect();
        let (iv, key) = gdoi::kek_key_split(cipher, &value).unwrap();
        assert_eq!([iv.as_slice(), key.expose()].concat(), value);
        assert!(gdoi::kek_key_split(cipher, &value[1..]).is_err());
        assert!(gdoi::kek_key_split(cipher, &[value.as_slice(), &[0]].concat()).is_err());
        assert!(gdoi::kek_key_split(cipher, &[]).is_err());
    }
}

#[test]
fn tek_key_lengths_follow_the_transform_and_refuse_contradictions() {
    let lengths = |encryption, integrity| Some(TekKeyLengths { encryption, integrity });
    let cases = [
        ((1, 12, Some(128), Some(5)), lengths(16, 32)),
        ((1, 12, Some(256), Some(2)), lengths(32, 20)),
        ((1, 12, Some(128), None), lengths(16, 0)),
        ((1, 12, None, Some(5)), None),
        ((1, 12, Some(0), Some(5)), None),
        ((1, 3, None, Some(1)), lengths(24, 16)),
        ((1, 2, None, Some(2)), lengths(8, 20)),
        ((1, 3, Some(128), Some(1)), None),
        ((1, 11, None, Some(7)), lengths(0, 64)),
        ((1, 11, None, None), None),
        ((1, 13, Some(192), Some(6)), lengths(28, 48)),
        ((1, 16, Some(256), None), lengths(35, 0)),
        ((1, 20, Some(128), None), lengths(20, 0)),
        ((1, 20, Some(128), Some(5)), None),
        ((1, 23, Some(256), None), lengths(0, 36)),
        ((1, 12, Some(128), Some(99)), None),
        ((1, 200, Some(128), None), None),
        ((2, 5, None, None), lengths(0, 32)),
        ((2, 3, None, Some(2)), lengths(0, 20)),
        ((2, 3, None, Some(5)), None),
        ((2, 11, None, None), lengths(0, 20)),
        ((3, 1, None, None), None),
    ];
    for ((protocol, transform, bits, auth), expected) in cases {
        let got = gdoi::tek_key_lengths(protocol, transform, bits, auth);
        assert_eq!(got, expected, "{protocol} {transform} {bits:?} {auth:?}");
    }
}

#[test]
fn counter_modes_are_those_that_need_sender_ids() {
    let esp: Vec<u8> = (0..=255).filter(|id| gdoi::is_counter_mode(1, *id)).collect();
    assert_eq!(esp, [13, 14, 15, 16, 18, 19, 20, 23]);
    let ah: Vec<u8> = (0..=255).filter(|id| gdoi::is_counter_mode(2, *id)).collect();
    assert_eq!(ah, [11, 12, 13]);
    assert!(!gdoi::is_counter_mode(3, 20));
}
