//! The certificate path check, against issued certificates and those of the worked exchange.

mod common;

use std::net::IpAddr;

use common::{json, octets};
use hallmark_core::{Rng, UnixTime};
use hallmark_crypto::cert::{
    CertError, CertSpec, TrustStore, issue_ca, issue_cert, issue_crl, pem_blocks, public_key, subject_der, to_pem,
};
use hallmark_crypto::{Curve, HashAlg, SigningKey};
use hallmark_wire::isakmp::{IdType, Identification};

const START: UnixTime = UnixTime::from_secs(1_700_000_000);
const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const END: UnixTime = UnixTime::from_secs(1_900_000_000);
const LATER: UnixTime = UnixTime::from_secs(2_000_000_000);
const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10));

/// A root, an intermediate authority and the means to issue below both.
struct Pki {
    rng: Rng,
    root_key: SigningKey,
    root: Vec<u8>,
    middle_key: SigningKey,
    middle: Vec<u8>,
    key: SigningKey,
}

impl Pki {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::from_u64(seed);
        let root_key = SigningKey::generate_ecdsa(Curve::P384, &mut rng);
        let root = issue_ca(&CertSpec::authority("CN=Root,O=Laboratory", 1, START, END), &root_key, &mut rng).unwrap();
        let middle_key = SigningKey::generate_rsa(1024, &mut rng).unwrap();
        let spec = CertSpec::authority("CN=Middle,O=Laboratory", 2, START, END);
        let middle = issue_cert(&spec, &middle_key.public(), &root, &root_key, &mut rng).unwrap();
        let key = SigningKey::generate_ecdsa(Curve::P256, &mut rng);
        Self { rng, root_key, root, middle_key, middle, key }
    }

    /// Issues the end entity below the intermediate authority.
    fn issue(&mut self, spec: &CertSpec) -> Vec<u8> {
        issue_cert(spec, &self.key.public(), &self.middle, &self.middle_key, &mut self.rng).unwrap()
    }

    fn trust(&self) -> TrustStore {
        TrustStore::new(std::slice::from_ref(&self.root), &[]).unwrap()
    }
}

fn spec() -> CertSpec {
    CertSpec::end_entity("CN=gm1,O=Laboratory", 10, START, END)
        .with_ip(PEER)
        .with_dns("gm1.example")
        .with_email("gm1@example.org")
}

fn error(store: &TrustStore, chain: &[&[u8]], at: UnixTime) -> CertError {
    store.validate(chain, at, false).unwrap_err()
}

#[test]
fn a_chain_over_an_intermediate_authority_holds_in_any_order() {
    let mut pki = Pki::new(1);
    let leaf = pki.issue(&spec());
    let store = pki.trust();
    for chain in [[&leaf, &pki.middle, &pki.root], [&pki.root, &pki.middle, &leaf], [&pki.middle, &leaf, &leaf]] {
        let chain: Vec<&[u8]> = chain.iter().map(|der| der.as_slice()).collect();
        let cert = store.validate(&chain, NOW, false).unwrap();
        assert_eq!(*cert.public_key(), pki.key.public());
        assert_eq!(cert.subject_der(), subject_der(&leaf).unwrap());
        assert_eq!(cert.subject_text(), "CN=gm1,O=Laboratory");
        assert_eq!(cert.not_after(), END);
    }
    assert_eq!(error(&store, &[&leaf], NOW), CertError::UnknownIssuer, "without the intermediate");
    assert_eq!(error(&store, &[], NOW), CertError::None);
    assert_eq!(error(&store, &vec![leaf.as_slice(); 17], NOW), CertError::TooMany);
    assert_eq!(store.anchor_names(), [subject_der(&pki.root).unwrap()]);
}

#[test]
fn a_stranger_with_the_same_names_is_refused() {
    let (ours, mut theirs) = (Pki::new(1), Pki::new(2));
    let leaf = theirs.issue(&spec());
    assert_eq!(error(&ours.trust(), &[&leaf, &theirs.middle], NOW), CertError::Signature);
    let own = issue_ca(&CertSpec::end_entity("CN=self", 1, START, END), &theirs.key, &mut theirs.rng).unwrap();
    assert_eq!(error(&ours.trust(), &[&own], NOW), CertError::UnknownIssuer);
    // Trusted as it is, when it is itself an anchor.
    let pinned = TrustStore::new(std::slice::from_ref(&own), &[]).unwrap();
    assert!(pinned.validate(&[&own], NOW, false).is_ok());
    assert_eq!(error(&pinned, &[&own], LATER), CertError::Expired);
}

#[test]
fn validity_counts_for_every_certificate_of_the_chain() {
    let mut pki = Pki::new(3);
    let leaf = pki.issue(&spec());
    let store = pki.trust();
    let before = UnixTime::from_secs(START.as_secs() - 1);
    let after = UnixTime::from_secs(END.as_secs() + 1);
    assert_eq!(error(&store, &[&leaf, &pki.middle], before), CertError::NotYetValid);
    assert_eq!(error(&store, &[&leaf, &pki.middle], after), CertError::Expired);
    assert!(store.validate(&[&leaf, &pki.middle], START, false).is_ok());
    assert!(store.validate(&[&leaf, &pki.middle], END, false).is_ok());
    // A leaf that outlives its authorities does not live on.
    let long = pki.issue(&CertSpec { not_after: LATER, ..spec() });
    assert_eq!(error(&store, &[&long, &pki.middle], after), CertError::Expired);
    // Years from 2050 on have another encoding.
    let far = pki.issue(&CertSpec { not_after: UnixTime::from_secs(4_000_000_000), ..spec() });
    assert_eq!(store.validate(&[&far, &pki.middle], NOW, false).unwrap().not_after().as_secs(), 4_000_000_000);
}

#[test]
fn one_flipped_bit_anywhere_is_refused_without_panic() {
    let mut pki = Pki::new(4);
    let leaf = pki.issue(&spec());
    let store = pki.trust();
    assert!(store.validate(&[&leaf, &pki.middle], NOW, false).is_ok());
    for position in 0..leaf.len() {
        let mut broken = leaf.clone();
        broken[position] ^= 0x10;
        assert!(store.validate(&[&broken, &pki.middle], NOW, false).is_err(), "octet {position}");
    }
    for len in 0..leaf.len() {
        assert_eq!(error(&store, &[&leaf[..len], &pki.middle], NOW), CertError::Malformed);
    }
}

#[test]
fn only_authorities_may_issue_and_only_as_deep_as_they_may() {
    let mut pki = Pki::new(5);
    let store = pki.trust();
    // The end entity issues another one.
    let leaf = pki.issue(&spec());
    let other = SigningKey::generate_ecdsa(Curve::P256, &mut pki.rng);
    let child_spec = CertSpec::end_entity("CN=child", 11, START, END);
    let child = issue_cert(&child_spec, &other.public(), &leaf, &pki.key, &mut pki.rng).unwrap();
    assert_eq!(error(&store, &[&child, &leaf, &pki.middle], NOW), CertError::NotCa);
    // An authority without keyCertSign.
    let weak = CertSpec { ca: true, ..CertSpec::end_entity("CN=Middle,O=Laboratory", 2, START, END) };
    let weak = issue_cert(&weak, &pki.middle_key.public(), &pki.root, &pki.root_key, &mut pki.rng).unwrap();
    assert_eq!(error(&store, &[&leaf, &weak], NOW), CertError::NotCa);
    // A root that allows no authority below itself.
    let narrow = CertSpec { path_len: Some(0), ..CertSpec::authority("CN=Root,O=Laboratory", 1, START, END) };
    let narrow = issue_ca(&narrow, &pki.root_key, &mut pki.rng).unwrap();
    let narrow = TrustStore::new(&[narrow], &[]).unwrap();
    assert_eq!(error(&narrow, &[&leaf, &pki.middle], NOW), CertError::NotCa);
    let direct = issue_cert(&spec(), &pki.key.public(), &pki.root, &pki.root_key, &mut pki.rng).unwrap();
    assert!(narrow.validate(&[&direct], NOW, false).is_ok());
}

#[test]
fn a_key_that_may_not_sign_is_refused() {
    let mut pki = Pki::new(6);
    let leaf = pki.issue(&spec().without_signature_usage());
    assert_eq!(error(&pki.trust(), &[&leaf, &pki.middle], NOW), CertError::KeyUsage);
    let unrestricted = pki.issue(&CertSpec { usage: None, ..spec() });
    assert!(pki.trust().validate(&[&unrestricted, &pki.middle], NOW, false).is_ok());
}

#[test]
fn revocation_lists_decide_when_they_are_asked_for() {
    let mut pki = Pki::new(7);
    let leaf = pki.issue(&spec());
    let chain: [&[u8]; 2] = [&leaf, &pki.middle];
    let anchors = [pki.root.clone()];
    let mut crl = |by_root: bool, revoked: &[u64], next: UnixTime| {
        let (cert, key) = if by_root { (&pki.root, &pki.root_key) } else { (&pki.middle, &pki.middle_key) };
        issue_crl(cert, key, revoked, START, next, &mut pki.rng).unwrap()
    };
    let (root_empty, root_revokes) = (crl(true, &[], END), crl(true, &[2, 3], END));
    let (middle_empty, middle_revokes) = (crl(false, &[9, 11], END), crl(false, &[9, 10], END));
    let middle_old = crl(false, &[], UnixTime::from_secs(NOW.as_secs() - 1));
    let middle_old_revokes = crl(false, &[10], UnixTime::from_secs(NOW.as_secs() - 1));
    let result = |crls: &[&Vec<u8>], check: bool| {
        let crls: Vec<Vec<u8>> = crls.iter().map(|crl| (*crl).clone()).collect();
        TrustStore::new(&anchors, &crls).unwrap().validate(&chain, NOW, check).map(|_| ()).err()
    };
    assert_eq!(result(&[&root_empty, &middle_empty], true), None);
    assert_eq!(result(&[&root_empty, &middle_revokes], true), Some(CertError::Revoked));
    assert_eq!(result(&[&root_revokes, &middle_empty], true), Some(CertError::Revoked));
    assert_eq!(result(&[&root_empty], true), Some(CertError::CrlMissing));
    assert_eq!(result(&[&root_empty, &middle_old], true), Some(CertError::CrlStale));
    assert_eq!(result(&[&root_empty, &middle_old_revokes], true), Some(CertError::Revoked));
    assert_eq!(result(&[&root_revokes, &middle_revokes], false), None, "not asked for");
    // A list that someone else signed says nothing.
    let mut other = Pki::new(8);
    let forged = issue_crl(&other.middle, &other.middle_key, &[], START, END, &mut other.rng).unwrap();
    assert_eq!(result(&[&root_empty, &forged], true), Some(CertError::CrlMissing));
}

#[test]
fn identities_match_by_the_rules_of_their_type() {
    let mut pki = Pki::new(9);
    let leaf = pki.issue(&spec());
    let cert = pki.trust().validate(&[&leaf, &pki.middle], NOW, false).unwrap();
    let id = |id_type, data: &[u8]| Identification { id_type, protocol: 0, port: 0, data: data.to_vec() };
    let other: IpAddr = "192.0.2.11".parse().unwrap();
    let matches = |id: &Identification| cert.matches_id(id, PEER);

    assert!(matches(&Identification::from_ip(PEER)));
    assert!(!cert.matches_id(&Identification::from_ip(PEER), other), "certified, but not where it comes from");
    assert!(cert.matches_id_from_anywhere(&Identification::from_ip(PEER)));
    assert!(!cert.matches_id(&Identification::from_ip(other), other), "where it comes from, but not certified");
    assert!(matches(&id(IdType::FQDN, b"gm1.example")));
    assert!(matches(&id(IdType::FQDN, b"GM1.Example")));
    assert!(!matches(&id(IdType::FQDN, b"gm2.example")));
    assert!(!matches(&id(IdType::FQDN, b"gm1@example.org")), "a mail address is no host name");
    assert!(matches(&id(IdType::USER_FQDN, b"gm1@EXAMPLE.org")));
    assert!(!matches(&id(IdType::USER_FQDN, b"gm1.example")));
    assert!(matches(&id(IdType::DER_DN, &subject_der(&leaf).unwrap())));
    assert!(!matches(&id(IdType::DER_DN, &subject_der(&pki.root).unwrap())));
    assert!(!matches(&id(IdType::KEY_ID, b"gm1.example")));
    assert!(!matches(&id(IdType::IPV4_ADDR, &[192, 0, 2])));
}

#[test]
fn wildcards_and_empty_subjects_identify_nobody() {
    let mut pki = Pki::new(10);
    let leaf = pki.issue(&CertSpec::end_entity("", 12, START, END).with_dns("*.example"));
    let cert = pki.trust().validate(&[&leaf, &pki.middle], NOW, false).unwrap();
    let id = |id_type, data: &[u8]| Identification { id_type, protocol: 0, port: 0, data: data.to_vec() };
    assert!(!cert.matches_id(&id(IdType::FQDN, b"gm1.example"), PEER));
    assert_eq!(cert.subject_der(), [0x30, 0]);
    assert!(!cert.matches_id(&id(IdType::DER_DN, &[0x30, 0]), PEER));
}

#[test]
fn every_signature_algorithm_of_certificates_is_understood() {
    let mut rng = Rng::from_u64(11);
    let rsa = SigningKey::generate_rsa(1024, &mut rng).unwrap();
    let hashes = [HashAlg::Sha1, HashAlg::Sha256, HashAlg::Sha384, HashAlg::Sha512];
    for (key, hash) in hashes.map(|hash| (rsa.clone(), hash)).into_iter().chain(
        [(Curve::P256, HashAlg::Sha256), (Curve::P384, HashAlg::Sha384), (Curve::P521, HashAlg::Sha512)]
            .map(|(curve, hash)| (SigningKey::generate_ecdsa(curve, &mut rng), hash)),
    ) {
        let root_spec = CertSpec { hash: Some(hash), ..CertSpec::authority("CN=Root", 1, START, END) };
        let root = issue_ca(&root_spec, &key, &mut rng).unwrap();
        let leaf = issue_cert(&CertSpec { hash: Some(hash), ..spec() }, &key.public(), &root, &key, &mut rng).unwrap();
        let store = TrustStore::new(std::slice::from_ref(&root), &[]).unwrap();
        assert!(store.validate(&[&leaf], NOW, false).is_ok(), "{key:?} {hash}");
    }
    let md5 = CertSpec { hash: Some(HashAlg::Md5), ..spec() };
    assert_eq!(issue_ca(&md5, &rsa, &mut rng), Err(CertError::Unsupported));
}

#[test]
fn mutually_certified_authorities_do_not_multiply_the_work() {
    let mut pki = Pki::new(12);
    let mut chain = vec![pki.issue(&CertSpec { ..spec() })];
    // Fifteen copies of the intermediate that certify each other under one name, none of them anchored.
    for serial in 0..15 {
        let spec = CertSpec::authority("CN=Middle,O=Laboratory", 100 + serial, START, END);
        let key = pki.middle_key.clone();
        chain.push(issue_cert(&spec, &key.public(), &pki.middle, &key, &mut pki.rng).unwrap());
    }
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let result = pki.trust().validate(&chain, NOW, false);
    assert!(matches!(result, Err(CertError::TooMany | CertError::UnknownIssuer)), "{result:?}");
}

#[test]
fn the_certificates_of_the_worked_exchange_validate() {
    let file = json("vectors/ikev1-mainmode-rsasig.json");
    let store = TrustStore::new(&[octets(&file, "ca_certificate_der")], &[]).unwrap();
    assert_eq!(store.anchor_names(), [octets(&file, "certreq_ca_dn_der")]);
    let mut at = START;
    for role in ["initiator", "responder"] {
        let der = octets(&file, &format!("{role}_certificate_der"));
        // The material has its own years; take a time from the certificate itself.
        let cert = (0..40).find_map(|year| {
            at = UnixTime::from_secs(1_577_836_800 + year * 31_557_600);
            store.validate(&[&der], at, false).ok()
        });
        let cert = cert.unwrap_or_else(|| panic!("{role}: {:?}", store.validate(&[&der], START, false)));
        assert_eq!(*cert.public_key(), public_key(&der).unwrap());
        let id = Identification::decode(&octets(&file, &format!("id_{}_body", &role[..1]))).unwrap();
        assert!(cert.matches_id(&id, PEER), "{role} {id:?}");
    }
}

#[test]
fn pem_texts_give_all_their_blocks() {
    let pki = Pki::new(13);
    let text = format!(
        "notes before\n{}between\n{}{}",
        to_pem("CERTIFICATE", &pki.root).unwrap(),
        to_pem("CERTIFICATE", &pki.middle).unwrap(),
        pki.key.to_pem().unwrap()
    );
    let blocks = pem_blocks(&text).unwrap();
    let labels: Vec<&str> = blocks.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(labels, ["CERTIFICATE", "CERTIFICATE", "PRIVATE KEY"]);
    assert_eq!(blocks[0].1, pki.root);
    assert_eq!(blocks[1].1, pki.middle);
    assert_eq!(SigningKey::from_pkcs8_der(&blocks[2].1).unwrap().public(), pki.key.public());
    assert_eq!(pem_blocks("nothing here"), Err(CertError::Malformed));
    assert_eq!(pem_blocks("-----BEGIN CERTIFICATE-----\nAAAA"), Err(CertError::Malformed));
}
