//! Certificates and revocation lists, decoded once into what the path check looks at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Encode, Sequence};
use hallmark_core::UnixTime;
use spki::{AlgorithmIdentifierRef, ObjectIdentifier};
use x509_cert::TbsCertificate;
use x509_cert::crl::TbsCertList;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName};
use x509_cert::time::Time;

use crate::cert::{CertError, Identity};
use crate::hash::{HashAlg, hash};
use crate::sign::{KeyKind, VerifyingKey};

/// The three parts that certificates and revocation lists share.
#[derive(Sequence)]
struct Signed<'a> {
    body: AnyRef<'a>,
    algorithm: AlgorithmIdentifierRef<'a>,
    signature: BitStringRef<'a>,
}

/// A signature with all that its check needs.
#[derive(Clone, Debug)]
pub(super) struct Seal {
    body: Vec<u8>,
    algorithm: Option<Algorithm>,
    signature: Vec<u8>,
}

/// One certificate.
#[derive(Clone, Debug)]
pub(super) struct Parsed {
    pub(super) der: Vec<u8>,
    pub(super) seal: Seal,
    pub(super) serial: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) subject: Vec<u8>,
    pub(super) subject_text: String,
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
    pub(super) key: Option<VerifyingKey>,
    pub(super) ca: bool,
    pub(super) has_constraints: bool,
    pub(super) path_len: Option<u8>,
    pub(super) identity: Identity,
    pub(super) unknown_critical: bool,
    usage: Option<KeyUsage>,
}

/// One revocation list.
#[derive(Clone, Debug)]
pub(super) struct ParsedCrl {
    pub(super) seal: Seal,
    pub(super) issuer: Vec<u8>,
    pub(super) this_update: UnixTime,
    pub(super) next_update: Option<UnixTime>,
    pub(super) serials: Vec<Vec<u8>>,
    pub(super) unknown_critical: bool,
}

impl Parsed {
    pub(super) fn decode(der: &[u8]) -> Result<Self, CertError> {
        decode(der).map_err(|_| CertError::Malformed)
    }

    /// A certificate without key usage may be used for everything.
    pub(super) fn allows_signatures(&self) -> bool {
        self.usage.is_none_or(|usage| usage.digital_signature() || usage.non_repudiation())
    }

    pub(super) fn allows_issuing(&self) -> bool {
        self.usage.is_none_or(|usage| usage.key_cert_sign())
    }

    pub(super) fn allows_crl_signing(&self) -> bool {
        self.usage.is_none_or(|usage| usage.crl_sign())
    }
}

impl ParsedCrl {
    pub(super) fn decode(der: &[u8]) -> Result<Self, CertError> {
        decode_crl(der).map_err(|_| CertError::Malformed)
    }
}

impl Seal {
    fn new(signed: &Signed<'_>, inner_algorithm: &[u8]) -> der::Result<Self> {
        let outer = signed.algorithm.to_der()?;
        Ok(Self {
            body: signed.body.to_der()?,
            // The algorithm is named twice, once under the signature; both must agree.
            algorithm: if outer == inner_algorithm { Algorithm::from_oid(signed.algorithm.oid) } else { None },
            signature: signed.signature.as_bytes().ok_or(der::ErrorKind::Failed)?.to_vec(),
        })
    }

    /// Verifies with the issuer's key.
    pub(super) fn verify(&self, issuer: &VerifyingKey) -> Result<(), CertError> {
        let algorithm = self.algorithm.ok_or(CertError::Unsupported)?;
        if (issuer.kind() == KeyKind::Rsa) != algorithm.rsa {
            return Err(CertError::Signature);
        }
        let digest = hash(algorithm.hash, &[&self.body]);
        issuer.verify_x509(algorithm.hash, &digest, &self.signature).map_err(|_| CertError::Signature)
    }
}

/// A signature algorithm of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Algorithm {
    pub(super) rsa: bool,
    pub(super) hash: HashAlg,
}

impl Algorithm {
    const OIDS: [(&'static str, Self); 8] = [
        ("1.2.840.113549.1.1.5", Self { rsa: true, hash: HashAlg::Sha1 }),
        ("1.2.840.113549.1.1.11", Self { rsa: true, hash: HashAlg::Sha256 }),
        ("1.2.840.113549.1.1.12", Self { rsa: true, hash: HashAlg::Sha384 }),
        ("1.2.840.113549.1.1.13", Self { rsa: true, hash: HashAlg::Sha512 }),
        ("1.2.840.10045.4.1", Self { rsa: false, hash: HashAlg::Sha1 }),
        ("1.2.840.10045.4.3.2", Self { rsa: false, hash: HashAlg::Sha256 }),
        ("1.2.840.10045.4.3.3", Self { rsa: false, hash: HashAlg::Sha384 }),
        ("1.2.840.10045.4.3.4", Self { rsa: false, hash: HashAlg::Sha512 }),
    ];

    fn from_oid(oid: ObjectIdentifier) -> Option<Self> {
        let text = oid.to_string();
        Self::OIDS.into_iter().find(|(known, _)| *known == text).map(|(_, algorithm)| algorithm)
    }

    pub(super) fn oid(self) -> Option<ObjectIdentifier> {
        let (text, _) = Self::OIDS.into_iter().find(|(_, algorithm)| *algorithm == self)?;
        ObjectIdentifier::new(text).ok()
    }
}

fn decode(octets: &[u8]) -> der::Result<Parsed> {
    let signed = Signed::from_der(octets)?;
    let seal_body = signed.body.to_der()?;
    let tbs = TbsCertificate::from_der(&seal_body)?;
    let seal = Seal::new(&signed, &tbs.signature().to_der()?)?;
    let extensions = tbs.extensions().map_or(&[][..], Vec::as_slice);
    let constraints = tbs.get_extension::<BasicConstraints>()?.map(|(_, value)| value);
    let usage = tbs.get_extension::<KeyUsage>()?.map(|(_, value)| value);
    let names = tbs.get_extension::<SubjectAltName>()?.map(|(_, value)| value);
    let spki = tbs.subject_public_key_info().to_der()?;
    Ok(Parsed {
        der: octets.to_vec(),
        seal,
        serial: tbs.serial_number().as_bytes().to_vec(),
        issuer: tbs.issuer().to_der()?,
        subject: tbs.subject().to_der()?,
        subject_text: tbs.subject().to_string(),
        not_before: unix(&tbs.validity().not_before),
        not_after: unix(&tbs.validity().not_after),
        key: VerifyingKey::from_spki_der(&spki).ok(),
        ca: constraints.as_ref().is_some_and(|constraints| constraints.ca),
        has_constraints: constraints.is_some(),
        path_len: constraints.and_then(|constraints| constraints.path_len_constraint),
        identity: names.map(|names| identity(&names)).unwrap_or_default(),
        unknown_critical: has_unknown_critical(extensions, &UNDERSTOOD),
        usage,
    })
}

fn decode_crl(octets: &[u8]) -> der::Result<ParsedCrl> {
    let signed = Signed::from_der(octets)?;
    let seal_body = signed.body.to_der()?;
    let tbs = <TbsCertList>::from_der(&seal_body)?;
    let seal = Seal::new(&signed, &tbs.signature.to_der()?)?;
    let entries = tbs.revoked_certificates.unwrap_or_default();
    let strange_entry = entries.iter().any(|entry| {
        entry.crl_entry_extensions.as_ref().is_some_and(|extensions| has_unknown_critical(extensions, &[]))
    });
    let extensions = tbs.crl_extensions.unwrap_or_default();
    Ok(ParsedCrl {
        seal,
        issuer: tbs.issuer.to_der()?,
        this_update: unix(&tbs.this_update),
        next_update: tbs.next_update.as_ref().map(unix),
        serials: entries.iter().map(|entry| entry.serial_number.as_bytes().to_vec()).collect(),
        unknown_critical: strange_entry || has_unknown_critical(&extensions, &[]),
    })
}

/// Extensions that are acted on or that restrict nothing here: key usage, alternative names, constraints, policies and
/// extended key usage.
const UNDERSTOOD: [&str; 5] = ["2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.32", "2.5.29.37"];

fn has_unknown_critical(extensions: &[Extension], understood: &[&str]) -> bool {
    extensions
        .iter()
        .any(|extension| extension.critical && !understood.contains(&extension.extn_id.to_string().as_str()))
}

fn identity(names: &SubjectAltName) -> Identity {
    let mut identity = Identity::default();
    for name in &names.0 {
        match name {
            GeneralName::IpAddress(octets) => {
                let octets = octets.as_bytes();
                if let Ok(octets) = <[u8; 4]>::try_from(octets) {
                    identity.ips.push(IpAddr::V4(Ipv4Addr::from(octets)));
                } else if let Ok(octets) = <[u8; 16]>::try_from(octets) {
                    identity.ips.push(IpAddr::V6(Ipv6Addr::from(octets)));
                }
            }
            GeneralName::DnsName(name) => identity.dns.push(name.as_str().to_owned()),
            GeneralName::Rfc822Name(name) => identity.emails.push(name.as_str().to_owned()),
            _ => {}
        }
    }
    identity
}

fn unix(time: &Time) -> UnixTime {
    UnixTime::from_secs(i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX))
}
