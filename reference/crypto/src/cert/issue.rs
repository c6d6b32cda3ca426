//! Certificates and revocation lists for laboratories and tests.

use std::net::IpAddr;
use std::str::FromStr;

use der::Encode;
use der::asn1::{GeneralizedTime, Ia5String, OctetString, UtcTime};
use hallmark_core::{Rng, UnixTime};
use spki::ObjectIdentifier;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages, SubjectAltName};
use x509_cert::name::Name;

use crate::cert::parse::{Algorithm, Parsed};
use crate::cert::{CertError, Identity};
use crate::hash::{HashAlg, hash};
use crate::sign::{KeyKind, SigningKey, VerifyingKey};

/// Describes a certificate to be issued. Every field may be set against good practice, to make what must be refused.
#[derive(Clone, Debug)]
pub struct CertSpec {
    /// Subject in the text form of RFC 4514, for example `CN=gm1.example,O=Laboratory`.
    pub subject: String,
    /// Serial number.
    pub serial: u64,
    /// Start of validity.
    pub not_before: UnixTime,
    /// End of validity.
    pub not_after: UnixTime,
    /// Names of SubjectAltName; the extension is left out when there are none.
    pub identity: Identity,
    /// Whether the subject is a certification authority.
    pub ca: bool,
    /// Authorities that may follow below this one.
    pub path_len: Option<u8>,
    /// Key usage; the extension is left out when there is none.
    pub usage: Option<KeyUsage>,
    /// Hash of the issuer's signature; ECDSA issuers use the one of their curve when none is given, RSA SHA-256.
    pub hash: Option<HashAlg>,
}

impl CertSpec {
    /// Describes an end entity that may sign.
    #[must_use]
    pub fn end_entity(subject: &str, serial: u64, not_before: UnixTime, not_after: UnixTime) -> Self {
        Self {
            subject: subject.to_owned(),
            serial,
            not_before,
            not_after,
            identity: Identity::default(),
            ca: false,
            path_len: None,
            usage: Some(KeyUsage(KeyUsages::DigitalSignature.into())),
            hash: None,
        }
    }

    /// Describes a certification authority.
    #[must_use]
    pub fn authority(subject: &str, serial: u64, not_before: UnixTime, not_after: UnixTime) -> Self {
        Self {
            ca: true,
            usage: Some(KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign)),
            ..Self::end_entity(subject, serial, not_before, not_after)
        }
    }

    /// Adds an address to SubjectAltName.
    #[must_use]
    pub fn with_ip(mut self, ip: IpAddr) -> Self {
        self.identity.ips.push(ip);
        self
    }

    /// Adds a host name to SubjectAltName.
    #[must_use]
    pub fn with_dns(mut self, name: &str) -> Self {
        self.identity.dns.push(name.to_owned());
        self
    }

    /// Adds a mail address to SubjectAltName.
    #[must_use]
    pub fn with_email(mut self, name: &str) -> Self {
        self.identity.emails.push(name.to_owned());
        self
    }

    /// Leaves the key only for encipherment, which IKE must refuse.
    #[must_use]
    pub fn without_signature_usage(mut self) -> Self {
        self.usage = Some(KeyUsage(KeyUsages::KeyEncipherment.into()));
        self
    }
}

/// Issues a self-signed certificate.
///
/// # Errors
/// Refuses names and times that cannot be encoded.
pub fn issue_ca(spec: &CertSpec, key: &SigningKey, rng: &mut Rng) -> Result<Vec<u8>, CertError> {
    issue(spec, &key.public(), &name(&spec.subject)?, key, rng)
}

/// Issues a certificate in the name of another one.
///
/// # Errors
/// Refuses names and times that cannot be encoded, and an issuer certificate that cannot be decoded.
pub fn issue_cert(
    spec: &CertSpec,
    subject_key: &VerifyingKey,
    issuer_certificate: &[u8],
    issuer_key: &SigningKey,
    rng: &mut Rng,
) -> Result<Vec<u8>, CertError> {
    let issuer = Parsed::decode(issuer_certificate)?.subject;
    issue(spec, subject_key, &issuer, issuer_key, rng)
}

/// Issues a revocation list in the name of a certificate.
///
/// # Errors
/// Refuses times that cannot be encoded, and an issuer certificate that cannot be decoded.
pub fn issue_crl(
    issuer_certificate: &[u8],
    issuer_key: &SigningKey,
    revoked: &[u64],
    this_update: UnixTime,
    next_update: UnixTime,
    rng: &mut Rng,
) -> Result<Vec<u8>, CertError> {
    let issuer = Parsed::decode(issuer_certificate)?.subject;
    let algorithm = Signature::choose(issuer_key, None)?;
    let entries = revoked
        .iter()
        .map(|serial| Ok(tlv(SEQUENCE, &[&integer(*serial), &time(this_update)?])))
        .collect::<Result<Vec<_>, CertError>>()?
        .concat();
    // An empty list of entries is left out altogether.
    let entries = if revoked.is_empty() { Vec::new() } else { tlv(SEQUENCE, &[&entries]) };
    let body = tlv(
        SEQUENCE,
        &[&integer(1), &algorithm.identifier, &issuer, &time(this_update)?, &time(next_update)?, &entries],
    );
    algorithm.seal(body, issuer_key, rng)
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

fn issue(
    spec: &CertSpec,
    subject_key: &VerifyingKey,
    issuer: &[u8],
    issuer_key: &SigningKey,
    rng: &mut Rng,
) -> Result<Vec<u8>, CertError> {
    let algorithm = Signature::choose(issuer_key, spec.hash)?;
    let spki = subject_key.to_spki_der().map_err(|_| CertError::Issue)?;
    let body = tlv(
        SEQUENCE,
        &[
            &tlv(VERSION, &[&integer(2)]),
            &integer(spec.serial),
            &algorithm.identifier,
            issuer,
            &tlv(SEQUENCE, &[&time(spec.not_before)?, &time(spec.not_after)?]),
            &name(&spec.subject)?,
            &spki,
            &extensions(spec)?,
        ],
    );
    algorithm.seal(body, issuer_key, rng)
}

fn extensions(spec: &CertSpec) -> Result<Vec<u8>, CertError> {
    let mut list = Vec::new();
    if spec.ca {
        let value = BasicConstraints { ca: true, path_len_constraint: spec.path_len };
        list.extend(extension("2.5.29.19", true, &encode(&value)?)?);
    }
    if let Some(usage) = &spec.usage {
        list.extend(extension("2.5.29.15", true, &encode(usage)?)?);
    }
    let names = general_names(&spec.identity)?;
    if !names.is_empty() {
        list.extend(extension("2.5.29.17", false, &encode(&SubjectAltName(names))?)?);
    }
    Ok(if list.is_empty() { list } else { tlv(EXTENSIONS, &[&tlv(SEQUENCE, &[&list])]) })
}

fn general_names(identity: &Identity) -> Result<Vec<GeneralName>, CertError> {
    let ips = identity.ips.iter().map(|ip| {
        let octets = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        OctetString::new(octets).map(GeneralName::IpAddress)
    });
    let dns = identity.dns.iter().map(|name| Ia5String::new(name).map(GeneralName::DnsName));
    let emails = identity.emails.iter().map(|name| Ia5String::new(name).map(GeneralName::Rfc822Name));
    ips.chain(dns).chain(emails).collect::<Result<_, _>>().map_err(|_| CertError::Issue)
}

fn extension(oid: &str, critical: bool, value: &[u8]) -> Result<Vec<u8>, CertError> {
    let oid = encode(&ObjectIdentifier::new(oid).map_err(|_| CertError::Issue)?)?;
    // FALSE is the default and DER leaves defaults out.
    let critical: &[u8] = if critical { &[0x01, 0x01, 0xff] } else { &[] };
    Ok(tlv(SEQUENCE, &[&oid, critical, &tlv(OCTET_STRING, &[value])]))
}

/// A signature algorithm with its encoding.
struct Signature {
    algorithm: Algorithm,
    identifier: Vec<u8>,
}

impl Signature {
    fn choose(key: &SigningKey, wanted: Option<HashAlg>) -> Result<Self, CertError> {
        let rsa = key.kind() == KeyKind::Rsa;
        let algorithm = Algorithm { rsa, hash: wanted.or(key.kind().fixed_hash()).unwrap_or(HashAlg::Sha256) };
        let oid = encode(&algorithm.oid().ok_or(CertError::Unsupported)?)?;
        let parameters = if rsa { tlv(NULL, &[]) } else { Vec::new() };
        Ok(Self { algorithm, identifier: tlv(SEQUENCE, &[&oid, &parameters]) })
    }

    fn seal(&self, body: Vec<u8>, key: &SigningKey, rng: &mut Rng) -> Result<Vec<u8>, CertError> {
        let digest = hash(self.algorithm.hash, &[&body]);
        let signature = key.sign_x509(self.algorithm.hash, &digest, rng).map_err(|_| CertError::Issue)?;
        Ok(tlv(SEQUENCE, &[&body, &self.identifier, &tlv(BIT_STRING, &[&[0], &signature])]))
    }
}

fn name(text: &str) -> Result<Vec<u8>, CertError> {
    if text.is_empty() {
        return Ok(tlv(SEQUENCE, &[]));
    }
    encode(&Name::from_str(text).map_err(|_| CertError::Issue)?)
}

/// UTCTime up to 2049 and GeneralizedTime from 2050 on (RFC 5280 section 4.1.2.5).
fn time(at: UnixTime) -> Result<Vec<u8>, CertError> {
    let secs = u64::try_from(at.as_secs()).map_err(|_| CertError::Issue)?;
    let since = std::time::Duration::from_secs(secs);
    match UtcTime::from_unix_duration(since) {
        Ok(time) => encode(&time),
        Err(_) => encode(&GeneralizedTime::from_unix_duration(since).map_err(|_| CertError::Issue)?),
    }
}

fn integer(number: u64) -> Vec<u8> {
    let octets = number.to_be_bytes();
    let zeros = octets.iter().take(7).take_while(|octet| **octet == 0).count();
    let short: Vec<u8> = octets.iter().copied().skip(zeros).collect();
    // A leading one bit would make the number negative.
    let sign: &[u8] = if short.first().is_some_and(|octet| octet & 0x80 != 0) { &[0] } else { &[] };
    tlv(INTEGER, &[sign, &short])
}

fn encode(value: &impl Encode) -> Result<Vec<u8>, CertError> {
    value.to_der().map_err(|_| CertError::Issue)
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let mut out = vec![tag];
    match u8::try_from(value.len()) {
        Ok(len) if len < 0x80 => out.push(len),
        _ => {
            let octets = value.len().to_be_bytes();
            let zeros = octets.iter().take_while(|octet| **octet == 0).count();
            // At most 8 octets follow, so the count fits beside the long-form bit.
            out.push(0x80 | (octets.len() - zeros) as u8);
            out.extend(octets.iter().skip(zeros));
        }
    }
    out.extend(value);
    out
}
