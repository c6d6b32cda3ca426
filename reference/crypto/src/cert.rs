//! X.509: the path check and the identity rules of IKEv1 certificates (RFC 4945).
//!
//! A [`TrustStore`] holds anchors and revocation lists and turns the certificates of a message into a
//! [`ValidatedCert`], whose key verifies SIG and whose names are compared with the phase 1 identity. The `issue`
//! functions make certificates and revocation lists for laboratories and tests.

mod issue;
mod parse;
mod path;

use std::net::IpAddr;

use hallmark_core::{Code, UnixTime};
use hallmark_wire::isakmp::{IdType, Identification};
use thiserror::Error;

use crate::sign::VerifyingKey;
pub use issue::{CertSpec, issue_ca, issue_cert, issue_crl};
use parse::{Parsed, ParsedCrl};

/// Names why certificates were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CertError {
    /// The message carried no certificate.
    #[error("no certificate")]
    None,
    /// The message carried more certificates than are looked at.
    #[error("too many certificates")]
    TooMany,
    /// A certificate or revocation list is not valid DER, or not X.509.
    #[error("malformed certificate or revocation list")]
    Malformed,
    /// The signature algorithm or the key is not supported.
    #[error("unsupported algorithm")]
    Unsupported,
    /// No chain leads to a trust anchor.
    #[error("no chain to a trust anchor")]
    UnknownIssuer,
    /// A signature in the chain does not verify.
    #[error("signature of a certificate does not verify")]
    Signature,
    /// A certificate of the chain is not valid yet.
    #[error("not valid yet")]
    NotYetValid,
    /// A certificate of the chain has expired.
    #[error("expired")]
    Expired,
    /// An issuer of the chain is no certification authority, or not allowed to issue this deep.
    #[error("issuer is not allowed to issue")]
    NotCa,
    /// The key usage of the end entity allows neither digitalSignature nor nonRepudiation.
    #[error("key usage does not allow signatures")]
    KeyUsage,
    /// A critical extension is not understood.
    #[error("critical extension that is not understood")]
    Critical,
    /// A certificate of the chain is revoked.
    #[error("revoked")]
    Revoked,
    /// Revocation has to be checked and no list of the issuer is at hand.
    #[error("no revocation list of the issuer")]
    CrlMissing,
    /// Revocation has to be checked and the list of the issuer is out of date.
    #[error("revocation list of the issuer is out of date")]
    CrlStale,
    /// The names or times given to an `issue` function cannot be encoded, or its key cannot sign.
    #[error("cannot be issued")]
    Issue,
}

impl CertError {
    /// Gives the stable rejection code.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code(match self {
            Self::None => "crypto.cert.none",
            Self::TooMany => "crypto.cert.too-many",
            Self::Malformed => "crypto.cert.malformed",
            Self::Unsupported => "crypto.cert.unsupported",
            Self::UnknownIssuer => "crypto.cert.unknown-issuer",
            Self::Signature => "crypto.cert.signature",
            Self::NotYetValid => "crypto.cert.not-yet-valid",
            Self::Expired => "crypto.cert.expired",
            Self::NotCa => "crypto.cert.not-ca",
            Self::KeyUsage => "crypto.cert.key-usage",
            Self::Critical => "crypto.cert.critical-extension",
            Self::Revoked => "crypto.cert.revoked",
            Self::CrlMissing => "crypto.cert.crl-missing",
            Self::CrlStale => "crypto.cert.crl-stale",
            Self::Issue => "crypto.cert.issue",
        })
    }
}

/// Holds the names of SubjectAltName that a phase 1 identity can be compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// iPAddress entries.
    pub ips: Vec<IpAddr>,
    /// dNSName entries.
    pub dns: Vec<String>,
    /// rfc822Name entries.
    pub emails: Vec<String>,
}

/// Holds what is trusted: anchors, and the revocation lists of their subjects and of intermediate authorities.
#[derive(Clone, Debug)]
pub struct TrustStore {
    anchors: Vec<Parsed>,
    crls: Vec<ParsedCrl>,
}

impl TrustStore {
    /// Certificates of one message that are looked at.
    pub const MAX_CERTIFICATES: usize = 16;

    /// Decodes anchors and revocation lists, all DER.
    ///
    /// # Errors
    /// Refuses what cannot be decoded: a store that is quietly smaller than its configuration helps nobody.
    pub fn new(anchors: &[Vec<u8>], crls: &[Vec<u8>]) -> Result<Self, CertError> {
        Ok(Self {
            anchors: anchors.iter().map(|der| Parsed::decode(der)).collect::<Result<_, _>>()?,
            crls: crls.iter().map(|der| ParsedCrl::decode(der)).collect::<Result<_, _>>()?,
        })
    }

    /// Gives the DER Names of the anchors, as certificate requests carry them.
    #[must_use]
    pub fn anchor_names(&self) -> Vec<Vec<u8>> {
        self.anchors.iter().map(|anchor| anchor.subject.clone()).collect()
    }

    /// Tells whether nothing is trusted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// Checks the certificates of a message, in whatever order they came.
    ///
    /// The end entity is the first certificate that is no certification authority. With `crl_check`, each certificate
    /// of the chain below the anchor has to be covered by a current revocation list. A certificate that is itself an
    /// anchor is trusted as it is.
    ///
    /// # Errors
    /// Gives the reason that came closest to success.
    // REQ IKE-AUTH-008, IKE-AUTH-017
    pub fn validate(&self, chain: &[&[u8]], at: UnixTime, crl_check: bool) -> Result<ValidatedCert, CertError> {
        if chain.is_empty() {
            return Err(CertError::None);
        }
        if chain.len() > Self::MAX_CERTIFICATES {
            return Err(CertError::TooMany);
        }
        let pool = chain.iter().map(|der| Parsed::decode(der)).collect::<Result<Vec<_>, _>>()?;
        let end_entity = pool.iter().find(|cert| !cert.ca).or_else(|| pool.first()).ok_or(CertError::None)?;
        if !end_entity.allows_signatures() {
            return Err(CertError::KeyUsage);
        }
        path::Search::new(self, &pool, at, crl_check).run(end_entity)?;
        let key = end_entity.key.clone().ok_or(CertError::Unsupported)?;
        Ok(ValidatedCert { key, cert: end_entity.clone() })
    }
}

/// Holds an end entity certificate whose chain has been checked.
#[derive(Clone, Debug)]
pub struct ValidatedCert {
    key: VerifyingKey,
    cert: Parsed,
}

impl ValidatedCert {
    /// Gives the key that verifies SIG.
    #[must_use]
    pub const fn public_key(&self) -> &VerifyingKey {
        &self.key
    }

    /// Gives the subject as DER Name.
    #[must_use]
    pub fn subject_der(&self) -> &[u8] {
        &self.cert.subject
    }

    /// Gives the subject in the text form of RFC 4514.
    #[must_use]
    pub fn subject_text(&self) -> &str {
        &self.cert.subject_text
    }

    /// Gives the names of SubjectAltName.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.cert.identity
    }

    /// Gives the end of validity, so that an SA need not outlive its certificate.
    #[must_use]
    pub const fn not_after(&self) -> UnixTime {
        self.cert.not_after
    }

    /// Compares a phase 1 identity with the certificate, and an address identity with the packet's source as well.
    #[must_use]
    pub fn matches_id(&self, id: &Identification, peer: IpAddr) -> bool {
        // REQ IKE-AUTH-010
        self.matches_id_from_anywhere(id) && id.ip().is_none_or(|ip| ip == peer)
    }

    /// Compares a phase 1 identity with the certificate only, for peers behind a NAT.
    #[must_use]
    pub fn matches_id_from_anywhere(&self, id: &Identification) -> bool {
        let identity = &self.cert.identity;
        let text = || std::str::from_utf8(&id.data).ok();
        // REQ IKE-AUTH-009
        match id.id_type {
            IdType::IPV4_ADDR | IdType::IPV6_ADDR => id.ip().is_some_and(|ip| identity.ips.contains(&ip)),
            // Without wildcards on either side.
            IdType::FQDN => text().is_some_and(|text| identity.dns.iter().any(|name| name.eq_ignore_ascii_case(text))),
            IdType::USER_FQDN => {
                text().is_some_and(|text| identity.emails.iter().any(|name| name.eq_ignore_ascii_case(text)))
            }
            // REQ IKE-AUTH-011: an empty sequence is no identity.
            IdType::DER_DN => self.cert.subject.len() > 2 && id.data == self.cert.subject,
            _ => false,
        }
    }
}

/// Gives the subject of a certificate as DER Name, for an identity of one's own.
///
/// # Errors
/// Refuses what is no certificate.
pub fn subject_der(certificate: &[u8]) -> Result<Vec<u8>, CertError> {
    Parsed::decode(certificate).map(|cert| cert.subject)
}

/// Gives the key of a certificate without checking anything about it.
///
/// # Errors
/// Refuses what is no certificate and keys of an unsupported kind.
pub fn public_key(certificate: &[u8]) -> Result<VerifyingKey, CertError> {
    Parsed::decode(certificate)?.key.ok_or(CertError::Unsupported)
}

/// Reads every block of a PEM text: its label and its octets.
///
/// # Errors
/// Refuses text without any block and blocks that cannot be decoded.
pub fn pem_blocks(text: &str) -> Result<Vec<(String, Vec<u8>)>, CertError> {
    const END: &str = "-----END ";
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, from_begin)) = rest.split_once("-----BEGIN ") {
        let (body, after) = from_begin.split_once(END).ok_or(CertError::Malformed)?;
        let (label, after) = after.split_once("-----").ok_or(CertError::Malformed)?;
        let block = format!("-----BEGIN {body}{END}{label}-----\n");
        let (label, octets) = der::pem::decode_vec(block.as_bytes()).map_err(|_| CertError::Malformed)?;
        blocks.push((label.to_owned(), octets));
        rest = after;
    }
    if blocks.is_empty() { Err(CertError::Malformed) } else { Ok(blocks) }
}

/// Writes one PEM block.
///
/// # Errors
/// Refuses labels that PEM does not allow.
pub fn to_pem(label: &str, octets: &[u8]) -> Result<String, CertError> {
    der::pem::encode_string(label, der::pem::LineEnding::LF, octets).map_err(|_| CertError::Malformed)
}
