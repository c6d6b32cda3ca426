//! Signature keys: RSA and ECDSA, with the two signature formats that IKEv1 and GDOI use.
//!
//! | use | RSA | ECDSA |
//! |---|---|---|
//! | IKE SIG | block type 1 over the bare HASH, no DigestInfo | r and s over HASH as digest |
//! | GDOI PUSH SIG | RSASSA-PKCS1-v1_5, or the bare digest of old peers | r and s over the digest |
//! | certificates | RSASSA-PKCS1-v1_5 | DER sequence of r and s |

mod ecdsa;
mod rsa;

use std::fmt;

use hallmark_core::Rng;

use crate::error::CryptoError;
use crate::hash::HashAlg;
use ecdsa::{EcPrivate, EcPublic};
pub use rsa::Padding;
use rsa::{RsaPrivate, RsaPublic};

/// Names an elliptic curve for signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
}

/// Names the kind of a signature key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// RSA of any size.
    Rsa,
    /// ECDSA on P-256.
    Ecdsa256,
    /// ECDSA on P-384.
    Ecdsa384,
    /// ECDSA on P-521.
    Ecdsa521,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Rsa, Self::Ecdsa256, Self::Ecdsa384, Self::Ecdsa521];

    /// Finds a kind by its configuration name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Gives the name that configuration files use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ecdsa256 => "ecdsa256",
            Self::Ecdsa384 => "ecdsa384",
            Self::Ecdsa521 => "ecdsa521",
        }
    }

    /// Gives the hash that the kind fixes: ECDSA-256 goes with SHA2-256 and so on, RSA with any.
    #[must_use]
    pub const fn fixed_hash(self) -> Option<HashAlg> {
        match self {
            Self::Rsa => None,
            Self::Ecdsa256 => Some(HashAlg::Sha256),
            Self::Ecdsa384 => Some(HashAlg::Sha384),
            Self::Ecdsa521 => Some(HashAlg::Sha512),
        }
    }

    /// Gives the phase 1 Authentication Method (class 3).
    #[must_use]
    pub const fn to_ike(self) -> u16 {
        match self {
            Self::Rsa => 3,
            Self::Ecdsa256 => 9,
            Self::Ecdsa384 => 10,
            Self::Ecdsa521 => 11,
        }
    }

    /// Gives the GDOI SIG_ALGORITHM.
    #[must_use]
    pub const fn to_sig_algorithm(self) -> u16 {
        match self {
            Self::Rsa => 1,
            Self::Ecdsa256 => 4,
            Self::Ecdsa384 => 5,
            Self::Ecdsa521 => 6,
        }
    }

    /// Reads a GDOI SIG_ALGORITHM; DSS and ECDSS are not supported.
    #[must_use]
    pub const fn from_sig_algorithm(value: u16) -> Option<Self> {
        Some(match value {
            1 => Self::Rsa,
            4 => Self::Ecdsa256,
            5 => Self::Ecdsa384,
            6 => Self::Ecdsa521,
            _ => return None,
        })
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Holds a private signature key.
#[derive(Clone)]
pub struct SigningKey(Private);

#[derive(Clone)]
enum Private {
    Rsa(Box<RsaPrivate>),
    Ec(Box<EcPrivate>),
}

impl SigningKey {
    /// Decodes a PKCS#8 PrivateKeyInfo.
    ///
    /// # Errors
    /// Refuses what is malformed or of another kind, and RSA below 1024 bits.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, CryptoError> {
        if let Some(key) = EcPrivate::from_pkcs8_der(der) {
            return Ok(Self(Private::Ec(Box::new(key))));
        }
        RsaPrivate::from_pkcs8_der(der).map(|key| Self(Private::Rsa(Box::new(key))))
    }

    /// Decodes a PEM text: `PRIVATE KEY` (PKCS#8), `RSA PRIVATE KEY` (PKCS#1) or `EC PRIVATE KEY` (SEC 1).
    ///
    /// # Errors
    /// Refuses what [`Self::from_pkcs8_der`] refuses, and other labels.
    pub fn from_pem(pem: &str) -> Result<Self, CryptoError> {
        let (label, der) = der::pem::decode_vec(pem.trim_start().as_bytes()).map_err(|_| CryptoError::KeyMalformed)?;
        let der = zeroize::Zeroizing::new(der);
        match label {
            "PRIVATE KEY" => Self::from_pkcs8_der(&der),
            "RSA PRIVATE KEY" => RsaPrivate::from_pkcs1_der(&der).map(|key| Self(Private::Rsa(Box::new(key)))),
            "EC PRIVATE KEY" => EcPrivate::from_sec1_der(&der)
                .map(|key| Self(Private::Ec(Box::new(key))))
                .ok_or(CryptoError::KeyMalformed),
            _ => Err(CryptoError::KeyUnsupported),
        }
    }

    /// Draws an RSA key with public exponent 65537.
    ///
    /// # Errors
    /// Refuses sizes below 1024 and above 8192 bits.
    pub fn generate_rsa(bits: usize, rng: &mut Rng) -> Result<Self, CryptoError> {
        RsaPrivate::generate(bits, rng).map(|key| Self(Private::Rsa(Box::new(key))))
    }

    /// Draws an ECDSA key.
    #[must_use]
    pub fn generate_ecdsa(curve: Curve, rng: &mut Rng) -> Self {
        Self(Private::Ec(Box::new(EcPrivate::generate(curve, rng))))
    }

    /// Takes an ECDSA key from its private scalar, big-endian in the full width of the curve, as vectors have them.
    ///
    /// # Errors
    /// Refuses 0, a value that is not below the order, and another width.
    pub fn ecdsa_from_scalar(curve: Curve, scalar: &[u8]) -> Result<Self, CryptoError> {
        EcPrivate::from_scalar(curve, scalar)
            .map(|key| Self(Private::Ec(Box::new(key))))
            .ok_or(CryptoError::KeyMalformed)
    }

    /// Builds an RSA key from its two primes and the public exponent, all big-endian.
    ///
    /// # Errors
    /// Refuses numbers that make no RSA key.
    pub fn rsa_from_primes(p: &[u8], q: &[u8], e: &[u8]) -> Result<Self, CryptoError> {
        RsaPrivate::from_primes(p, q, e).map(|key| Self(Private::Rsa(Box::new(key))))
    }

    /// Gives the public half.
    #[must_use]
    pub fn public(&self) -> VerifyingKey {
        VerifyingKey(match &self.0 {
            Private::Rsa(key) => Public::Rsa(key.public()),
            Private::Ec(key) => Public::Ec(key.public()),
        })
    }

    /// Encodes as PKCS#8 PrivateKeyInfo.
    ///
    /// # Errors
    /// Fails only when the key does not fit its own encoding, which no key from here does.
    pub fn to_pkcs8_der(&self) -> Result<Vec<u8>, CryptoError> {
        match &self.0 {
            Private::Rsa(key) => key.to_pkcs8_der(),
            Private::Ec(key) => key.to_pkcs8_der(),
        }
    }

    /// Encodes as PEM with the label `PRIVATE KEY`.
    ///
    /// # Errors
    /// As [`Self::to_pkcs8_der`].
    pub fn to_pem(&self) -> Result<String, CryptoError> {
        let der = zeroize::Zeroizing::new(self.to_pkcs8_der()?);
        der::pem::encode_string("PRIVATE KEY", der::pem::LineEnding::LF, &der).map_err(|_| CryptoError::KeyMalformed)
    }

    /// Gives the kind.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        match &self.0 {
            Private::Rsa(_) => KeyKind::Rsa,
            Private::Ec(key) => key.kind(),
        }
    }

    /// Gives the size of the modulus or of the curve in bits.
    #[must_use]
    pub fn bits(&self) -> usize {
        self.public().bits()
    }

    /// Gives the length of an IKE or GDOI signature in octets.
    #[must_use]
    pub fn signature_len(&self) -> usize {
        self.public().signature_len()
    }

    /// Signs a GROUPKEY-PUSH digest. `bare` leaves out DigestInfo, as some old peers do; ECDSA knows no such choice.
    ///
    /// # Errors
    /// Refuses a digest of the wrong length and one that does not fit the modulus.
    pub fn sign_push(&self, hash: HashAlg, digest: &[u8], bare: bool, rng: &mut Rng) -> Result<Vec<u8>, CryptoError> {
        let padding = if bare { Padding::Bare } else { Padding::DigestInfo(hash) };
        if digest.len() != hash.len() {
            return Err(CryptoError::DigestLength { have: digest.len() });
        }
        match &self.0 {
            Private::Rsa(key) => key.sign(padding, digest, rng),
            Private::Ec(key) => key.sign(digest, rng),
        }
    }

    /// Signs HASH_I or HASH_R for a phase 1 SIG payload.
    ///
    /// # Errors
    /// Refuses a hash that does not fit the modulus.
    pub fn sign_ike(&self, hash_x: &[u8], rng: &mut Rng) -> Result<Vec<u8>, CryptoError> {
        match &self.0 {
            Private::Rsa(key) => key.sign(Padding::Bare, hash_x, rng),
            Private::Ec(key) => key.sign(hash_x, rng),
        }
    }

    /// Signs a digest as certificates carry it: RSASSA-PKCS1-v1_5, or a DER sequence of r and s.
    ///
    /// # Errors
    /// Refuses a digest of the wrong length and one that does not fit the modulus.
    pub fn sign_x509(&self, hash: HashAlg, digest: &[u8], rng: &mut Rng) -> Result<Vec<u8>, CryptoError> {
        if digest.len() != hash.len() {
            return Err(CryptoError::DigestLength { have: digest.len() });
        }
        match &self.0 {
            Private::Rsa(key) => key.sign(Padding::DigestInfo(hash), digest, rng),
            Private::Ec(key) => key.sign_der(digest, rng),
        }
    }

    /// Applies the bare RSA private operation to a block as wide as the modulus, for blocks that no honest signer makes.
    ///
    /// # Errors
    /// Refuses ECDSA keys, another width, and a block that is not below the modulus.
    pub fn sign_rsa_block(&self, encoded_message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match &self.0 {
            Private::Rsa(key) => key.sign_block(encoded_message),
            Private::Ec(_) => Err(CryptoError::KeyUnsupported),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {} bits)", self.kind(), self.bits())
    }
}

/// Holds a public signature key.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey(Public);

#[derive(Clone, PartialEq, Eq)]
enum Public {
    Rsa(RsaPublic),
    Ec(EcPublic),
}

impl VerifyingKey {
    /// Decodes a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// Refuses what is malformed or of another kind, and RSA below 1024 or above 8192 bits.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, CryptoError> {
        if let Some(key) = EcPublic::from_spki_der(der) {
            return Ok(Self(Public::Ec(key)));
        }
        RsaPublic::from_spki_der(der).map(|key| Self(Public::Rsa(key)))
    }

    /// Takes an ECDSA key from its point, X and Y without a format octet, as vectors have them.
    ///
    /// # Errors
    /// Refuses what is no point of the curve.
    pub fn ecdsa_from_point(curve: Curve, x_y: &[u8]) -> Result<Self, CryptoError> {
        EcPublic::from_point(curve, x_y).map(|key| Self(Public::Ec(key))).ok_or(CryptoError::KeyMalformed)
    }

    /// Encodes as SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// Fails only when the key does not fit its own encoding, which no key from here does.
    pub fn to_spki_der(&self) -> Result<Vec<u8>, CryptoError> {
        match &self.0 {
            Public::Rsa(key) => key.to_spki_der(),
            Public::Ec(key) => key.to_spki_der(),
        }
    }

    /// Gives the kind.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        match &self.0 {
            Public::Rsa(_) => KeyKind::Rsa,
            Public::Ec(key) => key.kind(),
        }
    }

    /// Gives the size of the modulus or of the curve in bits.
    #[must_use]
    pub fn bits(&self) -> usize {
        match &self.0 {
            Public::Rsa(key) => key.bits(),
            Public::Ec(key) => key.bits(),
        }
    }

    /// Gives the length of an IKE or GDOI signature in octets.
    #[must_use]
    pub fn signature_len(&self) -> usize {
        match &self.0 {
            Public::Rsa(key) => key.len(),
            Public::Ec(key) => key.bits().div_ceil(8) * 2,
        }
    }

    /// Verifies a GROUPKEY-PUSH signature; `bare` expects the RSA block without DigestInfo, and only that.
    ///
    /// # Errors
    /// Refuses a signature of the wrong length, one that does not verify, and a digest of the wrong length.
    pub fn verify_push(&self, hash: HashAlg, digest: &[u8], bare: bool, sig: &[u8]) -> Result<(), CryptoError> {
        let padding = if bare { Padding::Bare } else { Padding::DigestInfo(hash) };
        if digest.len() != hash.len() {
            return Err(CryptoError::DigestLength { have: digest.len() });
        }
        match &self.0 {
            Public::Rsa(key) => key.verify(padding, digest, sig),
            Public::Ec(key) => key.verify(digest, sig),
        }
    }

    /// Verifies a phase 1 SIG payload over HASH_I or HASH_R. A block with DigestInfo is refused.
    ///
    /// # Errors
    /// Refuses a signature of the wrong length and one that does not verify.
    pub fn verify_ike(&self, hash_x: &[u8], sig: &[u8]) -> Result<(), CryptoError> {
        match &self.0 {
            Public::Rsa(key) => key.verify(Padding::Bare, hash_x, sig),
            Public::Ec(key) => key.verify(hash_x, sig),
        }
    }

    /// Verifies a signature as certificates carry it.
    ///
    /// # Errors
    /// Refuses a signature that does not verify and a digest of the wrong length.
    pub fn verify_x509(&self, hash: HashAlg, digest: &[u8], sig: &[u8]) -> Result<(), CryptoError> {
        if digest.len() != hash.len() {
            return Err(CryptoError::DigestLength { have: digest.len() });
        }
        match &self.0 {
            Public::Rsa(key) => key.verify(Padding::DigestInfo(hash), digest, sig),
            Public::Ec(key) => key.verify_der(digest, sig),
        }
    }

    /// Opens an RSA signature to its encoded block, so that a report can show what a wrong signature holds.
    ///
    /// # Errors
    /// Refuses ECDSA keys, another width, and a signature that is not below the modulus.
    pub fn open_rsa_block(&self, sig: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match &self.0 {
            Public::Rsa(key) => key.open(sig),
            Public::Ec(_) => Err(CryptoError::KeyUnsupported),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({}, {} bits)", self.kind(), self.bits())
    }
}
