//! Proving who we are and checking who the peer is: HASH, SIG, certificates, identities (sections 3.5 to 3.9).

use hallmark_core::{Now, UnixTime};
use hallmark_crypto::cert::TrustStore;
use hallmark_crypto::ike::{hash_i, hash_r};
use hallmark_crypto::{HashAlg, VerifyingKey, ct_eq};
use hallmark_wire::isakmp::{
    Certificate, CertificateRequest, Chain, IdType, Identification, Notify, NotifyType, PayloadType,
};

use super::config::{WEAK_RSA, weak_rsa};
use super::exchange::{Exchange, Keyed, Refusal};
use super::sa::{Path, Role, describe};
use super::{IkeEndpoint, code};
use crate::behaviour::{Behaviour, Defect, Variant};

const X509_SIGNATURE: u8 = 4;
const UDP: u8 = 17;
/// Identity types that phase 1 takes.
const SUPPORTED: [IdType; 6] =
    [IdType::IPV4_ADDR, IdType::IPV6_ADDR, IdType::FQDN, IdType::USER_FQDN, IdType::DER_DN, IdType::KEY_ID];

/// Holds whom a message has proven its sender to be.
#[derive(Debug)]
pub(super) struct Proven {
    pub(super) identity: Identification,
    pub(super) subject: Option<Vec<u8>>,
    pub(super) initial_contact: bool,
}

/// Gives the payload type that authenticates under the negotiated method.
pub(super) const fn auth_payload(exchange: &Exchange) -> PayloadType {
    if exchange.suite.auth.signs() { PayloadType::SIG } else { PayloadType::HASH }
}

impl IkeEndpoint {
    /// Gives our identity in an exchange.
    pub(super) fn own_identity(&self, exchange: &Exchange) -> Identification {
        let behaviour = &self.config.behaviour;
        let mut identity = match &self.config.identity {
            Some(identity) => identity.clone(),
            None => Identification::from_ip(exchange.path.local.ip()),
        };
        (identity.protocol, identity.port) = (0, 0);
        // REQ IKE-MM-018, IKE-MM-019
        if behaviour.has(Defect::IkeEmitsIdPort) {
            (identity.protocol, identity.port) = (6, 22);
        } else if behaviour.varies(Variant::IkeIdPort500) && !self.nat_t_on(exchange) {
            (identity.protocol, identity.port) = (UDP, 500);
        }
        identity
    }

    /// Gives the hash of HASH_I and HASH_R (IKE-AUTH-005).
    fn auth_hash(&self, exchange: &Exchange) -> HashAlg {
        if self.config.behaviour.has(Defect::IkeEcdsaNegotiatedHash) {
            return exchange.suite.hash;
        }
        exchange.suite.auth.hash_of_auth(exchange.suite.hash)
    }

    /// Makes the payloads that prove our identity: CERT where it is wanted, HASH or SIG.
    pub(super) fn prove(
        &mut self,
        exchange: &Exchange,
        keyed: &mut Keyed,
        id_body: &[u8],
    ) -> Result<Vec<(PayloadType, Vec<u8>)>, Refusal> {
        let alg = self.auth_hash(exchange);
        let hash = own_hash(exchange, keyed, id_body, alg, exchange.role);
        keyed.own_hash.clone_from(&hash);
        // REQ IKE-MM-004, IKE-MM-005
        if !exchange.suite.auth.signs() {
            return Ok(vec![(PayloadType::HASH, hash)]);
        }
        let behaviour = &self.config.behaviour;
        let Some(credentials) = &self.config.credentials else { return Err(Refusal::lose(code::SIGNING)) };
        let mut payloads = Vec::new();
        // REQ IKE-AUTH-012
        if exchange.certificate_wanted && !behaviour.has(Defect::IkeCertificateNeverSent) {
            for der in &credentials.chain {
                let body = Certificate { encoding: X509_SIGNATURE, data: der.clone() }.encode_body();
                payloads.push((PayloadType::CERT, body));
            }
        }
        // REQ IKE-AUTH-001
        let signature = if behaviour.has(Defect::IkeSignsDigestInfo) {
            credentials.key.sign_push(alg, &hash, false, &mut self.draws.signing)
        } else {
            credentials.key.sign_ike(&hash, &mut self.draws.signing)
        };
        let signature = signature.map_err(|e| Refusal::lose(code::SIGNING).with(e.to_string()))?;
        payloads.push((PayloadType::SIG, signature));
        Ok(payloads)
    }

    /// Checks the identity and its proof in message 5 or 6, or the corresponding message of Aggressive Mode.
    pub(super) fn check_proof(
        &self,
        now: Now,
        exchange: &Exchange,
        keyed: &Keyed,
        chain: &Chain<'_>,
        id_body: &[u8],
        path: Path,
    ) -> Result<Proven, Refusal> {
        let behaviour = &self.config.behaviour;
        let identity = self.check_identity(exchange, id_body)?;
        let alg = self.auth_hash(exchange);
        let peer_role = match exchange.role {
            Role::Initiator => Role::Responder,
            Role::Responder => Role::Initiator,
        };
        let expected = own_hash(exchange, keyed, id_body, alg, peer_role);
        let subject = if exchange.suite.auth.signs() {
            Some(self.check_signature(now, exchange, chain, &expected, &identity, path)?)
        } else {
            check_hash(chain, &expected, keyed, exchange.role, behaviour)?;
            None
        };
        self.authorize(exchange, &identity, path)?;
        let mut initial_contact = false;
        for payload in chain.iter().filter(|p| p.kind == PayloadType::NOTIFY) {
            let Ok(notify) = Notify::decode(payload.body) else { continue };
            initial_contact |= notify.kind == NotifyType::INITIAL_CONTACT;
            // REQ IKE-MM-034: notifies beside a HASH are not covered by it.
            if notify.kind.is_error() && behaviour.has(Defect::IkeChainedNotifyAborts) {
                return Err(Refusal::lose(code::NOTIFIED));
            }
        }
        Ok(Proven { identity, subject, initial_contact })
    }

    /// Checks the form of an identity (step 15).
    pub(super) fn check_identity(&self, exchange: &Exchange, id_body: &[u8]) -> Result<Identification, Refusal> {
        let behaviour = &self.config.behaviour;
        if id_body.is_empty() && behaviour.has(Defect::IkeMissingIdAccepted) {
            return Ok(Identification::from_ip(exchange.path.peer.ip()));
        }
        let identity = Identification::decode(id_body).map_err(|e| Refusal::lose(e.code))?;
        let form = match identity.id_type {
            IdType::IPV4_ADDR => identity.data.len() == 4,
            IdType::IPV6_ADDR => identity.data.len() == 16,
            IdType::FQDN | IdType::USER_FQDN | IdType::DER_DN | IdType::KEY_ID => !identity.data.is_empty(),
            // REQ IKE-MM-020
            _ if behaviour.has(Defect::IkeUnknownIdTypeAccepted) => true,
            other => return Err(Refusal::lose(code::ID_TYPE).with(format!("type {}", other.0))),
        };
        if !form {
            return Err(Refusal::lose(code::ID_MALFORMED));
        }
        let tolerant = self.config.peers.get(exchange.rule).is_some_and(|rule| rule.id_port_848);
        let port = match (identity.protocol, identity.port) {
            (0, 0) | (UDP, 500) => true,
            (UDP, 0 | 848 | 4500) => tolerant,
            _ => false,
        };
        // REQ IKE-MM-018
        if !port && !behaviour.has(Defect::IkeIdPortNotChecked) {
            let detail = format!("protocol {}, port {}", identity.protocol, identity.port);
            return Err(Refusal::lose(code::ID_PORT).with(detail));
        }
        Ok(identity)
    }

    /// Checks that the authenticated identity may use the rule (IKE-MM-022, IKE-AUTH-010).
    fn authorize(&self, exchange: &Exchange, identity: &Identification, path: Path) -> Result<(), Refusal> {
        let unknown = !SUPPORTED.contains(&identity.id_type);
        if self.config.behaviour.has(Defect::IkeIdentityNotAuthorized)
            || (unknown && self.config.behaviour.has(Defect::IkeUnknownIdTypeAccepted))
        {
            return Ok(());
        }
        let refused = || Refusal::lose(code::IDENTITY).with(describe(identity));
        let rule = self.config.peers.get(exchange.rule).ok_or_else(refused)?;
        if !rule.identities.is_empty() {
            let known = rule.identities.iter().any(|i| i.id_type == identity.id_type && same_data(i, identity));
            return if known { Ok(()) } else { Err(refused()) };
        }
        match identity.ip() {
            Some(ip) if ip == path.peer.ip() || exchange.nat.1 => Ok(()),
            _ => Err(refused()),
        }
    }

    fn check_signature(
        &self,
        now: Now,
        exchange: &Exchange,
        chain: &Chain<'_>,
        expected: &[u8],
        identity: &Identification,
        path: Path,
    ) -> Result<Vec<u8>, Refusal> {
        let behaviour = &self.config.behaviour;
        // REQ IKE-AUTH-017
        let certificates: Vec<Certificate> = chain
            .iter()
            .filter(|p| p.kind == PayloadType::CERT)
            .take(self.limits.certificates_per_message)
            .filter_map(|p| Certificate::decode(p.body).ok())
            .filter(|c| c.encoding == X509_SIGNATURE)
            .collect();
        let presented: Vec<&[u8]> = certificates.iter().map(|c| c.data.as_slice()).collect();
        if presented.is_empty() {
            return Err(Refusal::lose(code::NO_CERTIFICATE));
        }
        // REQ IKE-AUTH-008
        let valid = self.validate(&presented, now.wall)?;
        // REQ IKE-AUTH-009, IKE-AUTH-011
        let named = valid.matches_id(identity, path.peer.ip())
            || (exchange.nat.1 && identity.ip().is_some_and(|ip| valid.identity().ips.contains(&ip)));
        if !named && !behaviour.has(Defect::IkeCertificateIdentityNotChecked) {
            return Err(Refusal::lose(code::CERTIFICATE_ID).with(describe(identity)));
        }
        let signature = chain.find(PayloadType::SIG).map(|p| p.body).unwrap_or_default();
        if behaviour.has(Defect::IkeSignatureNotVerified) {
            return Ok(valid.subject_der().to_vec());
        }
        // REQ IKE-AUTH-006
        if !exchange.suite.auth.takes(valid.public_key().kind()) {
            return Err(Refusal::lose(code::METHOD).with("key of another kind"));
        }
        if weak_rsa(valid.public_key()) && !self.config.allows_weak(WEAK_RSA) {
            return Err(Refusal::lose(code::WEAK_KEY).with(format!("{} bits", valid.public_key().bits())));
        }
        let alg = self.auth_hash(exchange);
        verify(valid.public_key(), alg, expected, signature, behaviour)?;
        Ok(valid.subject_der().to_vec())
    }

    fn validate(&self, presented: &[&[u8]], at: UnixTime) -> Result<hallmark_crypto::cert::ValidatedCert, Refusal> {
        let refused = |error: hallmark_crypto::cert::CertError| {
            Refusal::lose(code::CERTIFICATE).with(format!("{}: {error}", error.code()))
        };
        if self.config.behaviour.has(Defect::IkeChainNotValidated) {
            let all: Vec<Vec<u8>> = presented.iter().map(|der| der.to_vec()).collect();
            return TrustStore::new(&all, &[]).and_then(|s| s.validate(presented, at, false)).map_err(refused);
        }
        let trust = self.config.trust.as_ref().ok_or(Refusal::lose(code::CERTIFICATE))?;
        trust.validate(presented, at, self.config.crl_check).map_err(refused)
    }

    /// Makes certificate requests: one for each trust anchor.
    pub(super) fn certificate_requests(&self, exchange: &Exchange) -> Vec<(PayloadType, Vec<u8>)> {
        // REQ IKE-AUTH-015
        if !exchange.suite.auth.signs() || self.config.behaviour.has(Defect::IkeCertreqNeverSent) {
            return Vec::new();
        }
        let names = self.config.trust.as_ref().map(TrustStore::anchor_names).unwrap_or_default();
        let requests = names.into_iter().take(8).map(|authority| {
            let body = CertificateRequest { encoding: X509_SIGNATURE, authority }.encode_body();
            (PayloadType::CERT_REQ, body)
        });
        requests.collect()
    }

    /// Reads certificate requests: whether the peer wants our certificate.
    pub(super) fn note_requests(&self, exchange: &mut Exchange, chain: &Chain<'_>) -> Result<(), Refusal> {
        let behaviour = &self.config.behaviour;
        for payload in chain.iter().filter(|p| p.kind == PayloadType::CERT_REQ) {
            let request = CertificateRequest::decode(payload.body).ok();
            let known = request.as_ref().is_some_and(|r| r.encoding == X509_SIGNATURE);
            // REQ IKE-AUTH-014
            if !known && behaviour.has(Defect::IkeUnknownCertreqFatal) {
                return Err(Refusal::lose(code::CERTIFICATE).with("unknown request type"));
            }
            // REQ IKE-AUTH-013: no name, or one that we do not know, is read as any authority.
            let empty = request.is_some_and(|r| r.authority.is_empty());
            exchange.certificate_wanted |= !(empty && behaviour.has(Defect::IkeEmptyCertreqIgnored));
        }
        Ok(())
    }
}

/// Computes HASH_I or HASH_R, whichever `role` sends.
fn own_hash(exchange: &Exchange, keyed: &Keyed, id_body: &[u8], alg: HashAlg, role: Role) -> Vec<u8> {
    let make = match role {
        Role::Initiator => hash_i,
        Role::Responder => hash_r,
    };
    let (cky_i, cky_r) = &exchange.cookies;
    make(alg, keyed.ids.skeyid.expose(), &keyed.ke_i, &keyed.ke_r, cky_i, cky_r, &exchange.sa_i, id_body)
}

fn check_hash(
    chain: &Chain<'_>,
    expected: &[u8],
    keyed: &Keyed,
    role: Role,
    behaviour: &Behaviour,
) -> Result<(), Refusal> {
    let received = chain.find(PayloadType::HASH).map(|p| p.body).ok_or(Refusal::keep(code::PAYLOAD_MISSING))?;
    if behaviour.has(Defect::IkeHashNotVerified) {
        return Ok(());
    }
    // REQ IKE-MM-028
    if role == Role::Initiator && behaviour.has(Defect::IkeReflectedHashAccepted) && received == keyed.own_hash {
        return Ok(());
    }
    // REQ IKE-MM-027
    let compared = if behaviour.has(Defect::IkeHashPrefixAccepted) {
        expected.get(..received.len()).unwrap_or(expected)
    } else {
        expected
    };
    if received.len() != compared.len() {
        return Err(Refusal::lose(code::HASH_LENGTH).with(format!("{} octets", received.len())));
    }
    // REQ IKE-MM-025, IKE-AUTH-019
    if ct_eq(received, compared) { Ok(()) } else { Err(Refusal::lose(code::HASH)) }
}

fn verify(
    key: &VerifyingKey,
    alg: HashAlg,
    expected: &[u8],
    signature: &[u8],
    behaviour: &Behaviour,
) -> Result<(), Refusal> {
    // REQ IKE-AUTH-007
    match key.verify_ike(expected, signature) {
        Ok(()) => Ok(()),
        // REQ IKE-AUTH-002
        Err(_)
            if behaviour.has(Defect::IkeDigestInfoAccepted)
                && key.verify_push(alg, expected, false, signature).is_ok() =>
        {
            Ok(())
        }
        // REQ IKE-AUTH-003
        Err(_) if behaviour.has(Defect::IkeLaxSignaturePadding) && lax(key, expected, signature) => Ok(()),
        Err(error) => Err(Refusal::lose(code::SIGNATURE).with(error.to_string())),
    }
}

/// Reads a signature block from the left: type, anything, zero, HASH, anything.
fn lax(key: &VerifyingKey, expected: &[u8], signature: &[u8]) -> bool {
    let Ok(block) = key.open_rsa_block(signature) else { return false };
    let mut rest = block.iter().skip(2).skip_while(|&&octet| octet != 0).skip(1);
    expected.iter().all(|octet| rest.next() == Some(octet))
}

/// Compares identity data the way of its type: names without regard to case (RFC 4945 section 3.1).
fn same_data(a: &Identification, b: &Identification) -> bool {
    match a.id_type {
        IdType::FQDN | IdType::USER_FQDN => a.data.eq_ignore_ascii_case(&b.data),
        _ => a.data == b.data,
    }
}
