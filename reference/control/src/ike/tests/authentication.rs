//! Who may come in: keys, identities, certificates.

use hallmark_crypto::cert::{CertSpec, TrustStore, issue_ca, issue_cert};
use hallmark_crypto::{Curve, SigningKey};
use hallmark_wire::isakmp::{IdType, Identification};

use super::*;
use crate::ike::exchange::State;
use crate::ike::{Credentials, IkeConfigError};

fn id(id_type: IdType, data: &[u8]) -> Identification {
    Identification { id_type, protocol: 0, port: 0, data: data.to_vec() }
}

fn fqdn(name: &str) -> Identification {
    id(IdType::FQDN, name.as_bytes())
}

/// Runs the exchange and gives what each side refused.
fn outcome(i: IkeConfig, r: IkeConfig) -> (bool, Vec<&'static str>, Vec<&'static str>) {
    let mut pair = Pair::new(i, r);
    let id = pair.connect();
    pair.pump();
    let up = pair.i.sa(id).is_some() && pair.r.established() == 1;
    (up, pair.codes_i(), pair.codes_r())
}

#[test]
fn an_identity_must_be_the_source_address_or_one_of_a_list() {
    let i = IkeConfig { identity: Some(fqdn("gm1.example")), ..config_i() };
    let (up, _, r_codes) = outcome(i.clone(), config_r());
    assert!(!up);
    assert_eq!(r_codes, ["ike.auth.identity"; 2]);

    let mut r = config_r();
    r.peers[0].identities = vec![fqdn("GM1.example")];
    assert!(outcome(i, r.clone()).0, "names do not depend on case");
    assert_eq!(outcome(config_i(), r).2, ["ike.auth.identity"; 2]);

    let foreign = IkeConfig { identity: Some(Identification::from_ip(addr("10.0.0.3:1").ip())), ..config_i() };
    assert!(!outcome(foreign, config_r()).0);
}

#[test]
fn a_member_takes_only_the_key_servers_that_it_knows() {
    let mut i = config_i();
    i.peers[0].identities = vec![fqdn("ks1.example")];
    let (up, i_codes, _) = outcome(i.clone(), config_r());
    assert!(!up);
    assert_eq!(i_codes, ["ike.auth.identity"; 2]);
    let r = IkeConfig { identity: Some(fqdn("ks1.example")), ..config_r() };
    assert!(outcome(i, r).0);
}

#[test]
fn identities_with_odd_types_forms_or_ports_are_refused() {
    let cases = [
        (Defect::IkeEmitsIdPort, None, "ike.id.port"),
        (Defect::IkeNoRetransmission, Some(id(IdType(200), b"x")), "ike.id.type"),
        (Defect::IkeNoRetransmission, Some(id(IdType::DER_GN, b"x")), "ike.id.type"),
        (Defect::IkeNoRetransmission, Some(id(IdType::IPV4_ADDR, b"xyz")), "ike.id.malformed"),
        (Defect::IkeNoRetransmission, Some(id(IdType::FQDN, b"")), "ike.id.malformed"),
    ];
    for (defect, identity, code) in cases {
        let i = with_defect(IkeConfig { identity, ..config_i() }, defect);
        assert_eq!(outcome(i, config_r()).2, [code; 2]);
    }
    assert!(outcome(with_variant(config_i(), Variant::IkeIdPort500), config_r()).0);
}

#[test]
fn each_address_has_its_own_key() {
    let key = |text: &str| Secret::new(text.as_bytes().to_vec());
    let mut r = config_r();
    r.peers.push(PeerRule::psk("10.0.0.3".parse().unwrap(), key("another secret")));
    let mut pair = Pair::new(config_i(), r);
    let wrong = pair.i.connect(pair.now, addr("10.0.0.3:848"), addr(R), 0);
    pair.pump();
    assert!(pair.i.sa(wrong).is_none());
    let mut other = config_i();
    other.peers[0].psk = Some(key("another secret"));
    pair.i = endpoint(other, 8);
    let right = pair.i.connect(pair.now, addr("10.0.0.3:848"), addr(R), 0);
    pair.pump();
    assert!(pair.i.sa(right).is_some());
    assert_eq!(pair.r.sas().next().unwrap().rule(), 1);
}

#[test]
fn an_unknown_source_and_a_rule_without_a_key_get_nothing() {
    let mut r = config_r();
    r.peers[0].network = "192.168.0.0".parse().unwrap();
    assert_eq!(outcome(config_i(), r).2, ["ike.peer.unknown"]);
    let mut r = config_r();
    r.peers[0].psk = None;
    assert_eq!(outcome(config_i(), r).2, ["ike.sa.no-proposal-chosen"]);
    let mut i = config_i();
    i.peers[0].psk = None;
    assert_eq!(outcome(i, config_r()).1, ["ike.auth.no-psk"]);
}

#[test]
fn prefixes_cover_what_they_should() {
    let rule =
        |network: &str, prefix| PeerRule { prefix, ..PeerRule::psk(network.parse().unwrap(), Secret::default()) };
    let covers = |network, prefix, ip: &str| rule(network, prefix).covers(ip.parse().unwrap());
    assert!(covers("10.0.0.0", 8, "10.255.1.1") && !covers("10.0.0.0", 8, "11.0.0.1"));
    assert!(covers("10.0.0.1", 32, "10.0.0.1") && !covers("10.0.0.1", 32, "10.0.0.2"));
    assert!(covers("0.0.0.0", 0, "203.0.113.9") && !covers("0.0.0.0", 0, "2001:db8::1"));
    assert!(covers("2001:db8::", 32, "2001:db8:ffff::1") && !covers("2001:db8::", 32, "2001:db9::1"));
    let config = IkeConfig { peers: vec![rule("0.0.0.0", 0), rule("10.0.0.0", 8), rule("10.1.0.0", 16)], ..config_r() };
    assert_eq!(config.rule_for("10.1.2.3".parse().unwrap()), Some(2));
    assert_eq!(config.rule_for("10.2.2.3".parse().unwrap()), Some(1));
}

/// Certificates for both ends under one authority.
struct Pki {
    trust: TrustStore,
    i: Credentials,
    r: Credentials,
}

fn pki(kind: &str, seed: u64) -> Pki {
    let mut rng = Rng::from_u64(seed);
    let mut key = || match kind {
        "ecdsa256" => SigningKey::generate_ecdsa(Curve::P256, &mut rng),
        "ecdsa384" => SigningKey::generate_ecdsa(Curve::P384, &mut rng),
        "ecdsa521" => SigningKey::generate_ecdsa(Curve::P521, &mut rng),
        "rsa1024" => SigningKey::generate_rsa(1024, &mut rng).unwrap(),
        _ => SigningKey::generate_rsa(2048, &mut rng).unwrap(),
    };
    let (ca, ki, kr) = (key(), key(), key());
    let (from, to) = (UnixTime::from_secs(1_700_000_000), UnixTime::from_secs(1_900_000_000));
    let authority = issue_ca(&CertSpec::authority("CN=Test CA", 1, from, to), &ca, &mut rng).unwrap();
    let mut issue = |subject: &str, serial, name: &str, at: &str, key: &SigningKey| {
        let spec = CertSpec::end_entity(subject, serial, from, to).with_dns(name).with_ip(addr(at).ip());
        issue_cert(&spec, &key.public(), &authority, &ca, &mut rng).unwrap()
    };
    let i = Credentials { chain: vec![issue("CN=gm1", 2, "gm1.example", I, &ki)], key: ki };
    let r = Credentials { chain: vec![issue("CN=ks1", 3, "ks1.example", R, &kr)], key: kr };
    Pki { trust: TrustStore::new(std::slice::from_ref(&authority), &[]).unwrap(), i, r }
}

fn signed(kind: &str, pki: &Pki) -> (IkeConfig, IkeConfig) {
    let proposals = vec![suite(&format!("aes128-sha256-ecp256-{kind}"))];
    let set = |config: IkeConfig, own: &Credentials| IkeConfig {
        proposals: proposals.clone(),
        credentials: Some(own.clone()),
        trust: Some(pki.trust.clone()),
        ..config
    };
    (set(config_i(), &pki.i), set(config_r(), &pki.r))
}

#[test]
fn every_signature_method_comes_up_in_both_modes() {
    for kind in ["ecdsa256", "ecdsa384", "ecdsa521", "rsa"] {
        let pki = pki(kind, 6);
        for aggressive in [false, true] {
            let (mut i, mut r) = signed(kind, &pki);
            (i.aggressive, r.aggressive) = (aggressive, aggressive);
            let (pair, _) = Pair::up(i, r);
            assert!(pair.r.sas().next().unwrap().peer_subject().is_some());
        }
    }
}

#[test]
fn names_strangers_and_wrong_times_are_refused() {
    let good = pki("ecdsa256", 6);
    let stranger = pki("ecdsa256", 7);
    // A certificate of another authority.
    let (_, r) = signed("ecdsa256", &good);
    let (mut i, _) = signed("ecdsa256", &stranger);
    i.trust = Some(good.trust.clone());
    assert_eq!(outcome(i.clone(), r.clone()).2, ["ike.auth.certificate"; 2]);
    assert!(outcome(i, with_defect(r, Defect::IkeChainNotValidated)).0);
    // A name that the certificate does not hold.
    let (mut i, mut r) = signed("ecdsa256", &good);
    i.identity = Some(fqdn("gm2.example"));
    r.peers[0].identities = vec![fqdn("gm2.example"), fqdn("gm1.example")];
    assert_eq!(outcome(i.clone(), r.clone()).2, ["ike.auth.certificate-identity"; 2]);
    assert!(outcome(i.clone(), with_defect(r.clone(), Defect::IkeCertificateIdentityNotChecked)).0);
    i.identity = Some(fqdn("gm1.example"));
    assert!(outcome(i.clone(), r.clone()).0);
    // After the certificates have expired.
    let mut pair = Pair::new(i, r);
    pair.now.wall = UnixTime::from_secs(1_950_000_000);
    pair.connect();
    pair.pump();
    assert_eq!(pair.codes_r(), ["ike.auth.certificate"; 2]);
}

#[test]
fn requests_stand_in_messages_4_and_5_and_bring_certificates() {
    let pki = pki("ecdsa256", 6);
    let (i, r) = signed("ecdsa256", &pki);
    let (pair, _) = Pair::up(i.clone(), r.clone());
    assert!(!kinds(&pair.wire[2].payload).contains(&7));
    assert!(kinds(&pair.wire[3].payload).contains(&7));
    // Without a request no certificate comes, and no one can be authenticated.
    let (up, _, r_codes) = outcome(i, with_defect(r, Defect::IkeCertreqNeverSent));
    assert!(!up);
    assert_eq!(r_codes, ["ike.auth.no-certificate"; 2]);
}

#[test]
fn short_rsa_keys_need_permission_on_both_sides() {
    let pki = pki("rsa1024", 6);
    let (mut i, mut r) = signed("rsa", &pki);
    assert!(outcome(i.clone(), r.clone()).0);
    i.allow_weak.clear();
    let weak = IkeConfigError::Weak { suite: i.proposals[0].to_string(), weak: "rsa1024" };
    assert_eq!(i.validate().unwrap_err(), weak);
    i.credentials = Some(pki2048().i);
    assert_eq!(i.validate(), Ok(()));
    // The peer's key counts as well.
    let (i, _) = signed("rsa", &pki);
    r.credentials = Some(pki2048().r);
    r.allow_weak.clear();
    assert_eq!(outcome(i, r).2, ["ike.auth.weak-key"; 2]);
}

fn pki2048() -> Pki {
    pki("rsa", 8)
}

/// Makes a signature block from HASH_I and the width of the key.
type Block<'a> = &'a dyn Fn(&[u8], usize) -> Vec<u8>;

/// Seals a message 5 whose signature block is made by `block` from HASH_I and the width of the key.
fn forged(pair: &mut Pair, key: &SigningKey, block: Block<'_>) -> Vec<u8> {
    pair.connect();
    pair.pump_with(|index, _| index < 4);
    let (&id, _) = pair.i.exchanges.first_key_value().unwrap();
    let mut exchange = pair.i.exchanges.remove(&id).unwrap();
    let State::Keyed(mut keyed) = std::mem::replace(&mut exchange.state, State::SentAnswer) else { panic!("keys") };
    let body = Identification::from_ip(addr(I).ip()).encode_body();
    let signature = key.sign_rsa_block(&block(&keyed.own_hash, key.signature_len())).unwrap();
    let certificate = pair.i.config.credentials.as_ref().unwrap().chain[0].clone();
    let list = [
        (PayloadType::ID, body),
        (PayloadType::CERT, [&[4], certificate.as_slice()].concat()),
        (PayloadType::SIG, signature),
    ];
    keyed.cbc = keyed.first.clone();
    exchange.sealed(&mut keyed.cbc, &list, &mut Rng::from_u64(1), &Behaviour::conforming())
}

#[test]
fn a_signature_block_that_is_not_full_of_padding_is_refused() {
    let pki = pki2048();
    let (i, r) = signed("rsa", &pki);
    let full = |hash: &[u8], len: usize| [&[0, 1][..], &vec![0xff; len - hash.len() - 3], &[0], hash].concat();
    let short =
        |hash: &[u8], len: usize| [&[0, 1][..], &[0xff; 8], &[0], hash, &vec![0xaa; len - hash.len() - 11]].concat();
    let other_type = |hash: &[u8], len: usize| [&[0, 2][..], &vec![0x5a; len - hash.len() - 3], &[0], hash].concat();
    let blocks: [(Block<'_>, bool); 3] = [(&full, true), (&short, false), (&other_type, false)];
    for (block, good) in blocks {
        for lax in [false, true] {
            let r = if lax { with_defect(r.clone(), Defect::IkeLaxSignaturePadding) } else { r.clone() };
            let mut pair = Pair::new(i.clone(), r);
            let message = forged(&mut pair, &pki.i.key, block);
            pair.give_r(&to_r(&message));
            assert_eq!(pair.r.established() == 1, good || lax, "{:?}", pair.codes_r());
        }
    }
}
