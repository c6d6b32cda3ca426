//! ECDSA on the three NIST curves, over digests that are already computed.

use hallmark_core::Rng;
use p256::ecdsa::signature::hazmat::{PrehashVerifier, RandomizedPrehashSigner};
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};

use crate::error::CryptoError;
use crate::sign::{Curve, KeyKind};

#[derive(Clone)]
pub(super) enum EcPrivate {
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum EcPublic {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(p521::ecdsa::VerifyingKey),
}

/// Runs one expression for the curve of a key, with `$curve` standing for its crate.
macro_rules! on_curve {
    ($of:ident, $value:expr, $key:ident, $curve:ident => $body:expr) => {
        match $value {
            $of::P256($key) => {
                use p256 as $curve;
                $body
            }
            $of::P384($key) => {
                use p384 as $curve;
                $body
            }
            $of::P521($key) => {
                use p521 as $curve;
                $body
            }
        }
    };
}

impl EcPrivate {
    pub(super) fn generate(curve: Curve, rng: &mut Rng) -> Self {
        let width = match curve {
            Curve::P256 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        };
        loop {
            let mut scalar = zeroize::Zeroizing::new(rng.vec(width));
            if let (Curve::P521, Some(first)) = (curve, scalar.first_mut()) {
                *first &= 1;
            }
            if let Some(key) = Self::from_scalar(curve, &scalar) {
                return key;
            }
        }
    }

    pub(super) fn from_scalar(curve: Curve, scalar: &[u8]) -> Option<Self> {
        Some(match curve {
            Curve::P256 => Self::P256(p256::ecdsa::SigningKey::from_slice(scalar).ok()?),
            Curve::P384 => Self::P384(p384::ecdsa::SigningKey::from_slice(scalar).ok()?),
            Curve::P521 => Self::P521(p521::ecdsa::SigningKey::from_slice(scalar).ok()?),
        })
    }

    pub(super) fn from_pkcs8_der(der: &[u8]) -> Option<Self> {
        // Each decoder checks the curve's object identifier, so at most one accepts.
        let p256 = p256::ecdsa::SigningKey::from_pkcs8_der(der).map(Self::P256);
        p256.or_else(|_| p384::ecdsa::SigningKey::from_pkcs8_der(der).map(Self::P384))
            .or_else(|_| p521::ecdsa::SigningKey::from_pkcs8_der(der).map(Self::P521))
            .ok()
    }

    pub(super) fn from_sec1_der(der: &[u8]) -> Option<Self> {
        let p256 = p256::SecretKey::from_sec1_der(der).map(|key| Self::P256(key.into()));
        p256.or_else(|_| p384::SecretKey::from_sec1_der(der).map(|key| Self::P384(key.into())))
            .or_else(|_| p521::SecretKey::from_sec1_der(der).map(|key| Self::P521(key.into())))
            .ok()
    }

    pub(super) fn to_pkcs8_der(&self) -> Result<Vec<u8>, CryptoError> {
        let der = match self {
            Self::P256(key) => key.to_pkcs8_der(),
            Self::P384(key) => key.to_pkcs8_der(),
            Self::P521(key) => key.to_pkcs8_der(),
        };
        der.map(|der| der.as_bytes().to_vec()).map_err(|_| CryptoError::KeyMalformed)
    }

    pub(super) fn public(&self) -> EcPublic {
        match self {
            Self::P256(key) => EcPublic::P256(*key.verifying_key()),
            Self::P384(key) => EcPublic::P384(*key.verifying_key()),
            Self::P521(key) => EcPublic::P521(*key.verifying_key()),
        }
    }

    pub(super) const fn kind(&self) -> KeyKind {
        match self {
            Self::P256(_) => KeyKind::Ecdsa256,
            Self::P384(_) => KeyKind::Ecdsa384,
            Self::P521(_) => KeyKind::Ecdsa521,
        }
    }

    /// Signs to r | s, each as wide as the order.
    pub(super) fn sign(&self, digest: &[u8], rng: &mut Rng) -> Result<Vec<u8>, CryptoError> {
        check_digest(digest)?;
        on_curve!(EcPrivate, self, key, curve => {
            let sig: Result<curve::ecdsa::Signature, _> = key.sign_prehash_with_rng(rng.as_rand_core(), digest);
            sig.map(|sig| sig.to_bytes().to_vec()).map_err(|_| CryptoError::SigningFailed)
        })
    }

    /// Signs to the DER sequence of r and s.
    pub(super) fn sign_der(&self, digest: &[u8], rng: &mut Rng) -> Result<Vec<u8>, CryptoError> {
        check_digest(digest)?;
        on_curve!(EcPrivate, self, key, curve => {
            let sig: Result<curve::ecdsa::Signature, _> = key.sign_prehash_with_rng(rng.as_rand_core(), digest);
            sig.map(|sig| sig.to_der().as_bytes().to_vec()).map_err(|_| CryptoError::SigningFailed)
        })
    }
}

impl EcPublic {
    pub(super) fn from_point(curve: Curve, x_y: &[u8]) -> Option<Self> {
        let sec1 = [&[4], x_y].concat();
        Some(match curve {
            Curve::P256 => Self::P256(p256::ecdsa::VerifyingKey::from_sec1_bytes(&sec1).ok()?),
            Curve::P384 => Self::P384(p384::ecdsa::VerifyingKey::from_sec1_bytes(&sec1).ok()?),
            Curve::P521 => Self::P521(p521::ecdsa::VerifyingKey::from_sec1_bytes(&sec1).ok()?),
        })
    }

    pub(super) fn from_spki_der(der: &[u8]) -> Option<Self> {
        let p256 = p256::ecdsa::VerifyingKey::from_public_key_der(der).map(Self::P256);
        p256.or_else(|_| p384::ecdsa::VerifyingKey::from_public_key_der(der).map(Self::P384))
            .or_else(|_| p521::ecdsa::VerifyingKey::from_public_key_der(der).map(Self::P521))
            .ok()
    }

    pub(super) fn to_spki_der(&self) -> Result<Vec<u8>, CryptoError> {
        let der = match self {
            Self::P256(key) => key.to_public_key_der(),
            Self::P384(key) => key.to_public_key_der(),
            Self::P521(key) => key.to_public_key_der(),
        };
        der.map(|der| der.as_bytes().to_vec()).map_err(|_| CryptoError::KeyMalformed)
    }

    pub(super) const fn kind(&self) -> KeyKind {
        match self {
            Self::P256(_) => KeyKind::Ecdsa256,
            Self::P384(_) => KeyKind::Ecdsa384,
            Self::P521(_) => KeyKind::Ecdsa521,
        }
    }

    pub(super) const fn bits(&self) -> usize {
        match self {
            Self::P256(_) => 256,
            Self::P384(_) => 384,
            Self::P521(_) => 521,
        }
    }

    /// Verifies r | s.
    pub(super) fn verify(&self, digest: &[u8], sig: &[u8]) -> Result<(), CryptoError> {
        check_digest(digest)?;
        let need = self.bits().div_ceil(8) * 2;
        if sig.len() != need {
            return Err(CryptoError::SignatureLength { need, have: sig.len() });
        }
        on_curve!(EcPublic, self, key, curve => {
            // Refuses r or s that is 0 or not below the order.
            let sig = curve::ecdsa::Signature::from_slice(sig).map_err(|_| CryptoError::SignatureMismatch)?;
            key.verify_prehash(digest, &sig).map_err(|_| CryptoError::SignatureMismatch)
        })
    }

    /// Verifies the DER sequence of r and s.
    pub(super) fn verify_der(&self, digest: &[u8], sig: &[u8]) -> Result<(), CryptoError> {
        check_digest(digest)?;
        on_curve!(EcPublic, self, key, curve => {
            let sig = curve::ecdsa::Signature::from_der(sig).map_err(|_| CryptoError::SignatureMismatch)?;
            key.verify_prehash(digest, &sig).map_err(|_| CryptoError::SignatureMismatch)
        })
    }
}

/// Holds digests to what a hash function gives: the library pads or cuts other lengths silently.
const fn check_digest(digest: &[u8]) -> Result<(), CryptoError> {
    match digest.len() {
        16 | 20 | 32 | 48 | 64 => Ok(()),
        have => Err(CryptoError::DigestLength { have }),
    }
}
