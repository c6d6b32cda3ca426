//! RSA: every call into the `rsa` crate is here.
//!
//! Only the two bare operations of the crate are used. The private one signs and never decrypts, always blinded; the
//! padding is built and compared here, because IKEv1 needs a block that no standard scheme makes.

use hallmark_core::Rng;
use rsa::hazmat::{rsa_decrypt_and_check, rsa_encrypt};
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, PrivateKey, PublicKey};

use crate::error::CryptoError;
use crate::hash::{HashAlg, ct_eq, hash};

/// Chooses what an RSA signature block holds after its type 1 padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// The digest alone, as IKEv1 signs.
    Bare,
    /// DigestInfo with the algorithm and the digest, RSASSA-PKCS1-v1_5.
    DigestInfo(HashAlg),
}

#[derive(Clone)]
pub(super) struct RsaPrivate(PrivateKey);

impl RsaPrivate {
    pub(super) fn generate(bits: usize, rng: &mut Rng) -> Result<Self, CryptoError> {
        if bits > PublicKey::MAX_SIZE {
            return Err(CryptoError::KeyUnsupported);
        }
        PrivateKey::new(rng.as_rand_core(), bits).map(Self).map_err(|_| CryptoError::KeyUnsupported)
    }

    pub(super) fn from_primes(p: &[u8], q: &[u8], e: &[u8]) -> Result<Self, CryptoError> {
        let [p, q, e] = [p, q, e].map(BoxedUint::from_be_slice_vartime);
        PrivateKey::from_p_q(p, q, e).map(Self).map_err(|_| CryptoError::KeyMalformed)
    }

    pub(super) fn from_pkcs8_der(der: &[u8]) -> Result<Self, CryptoError> {
        PrivateKey::from_pkcs8_der(der).map(Self).map_err(|_| CryptoError::KeyMalformed)
    }

    pub(super) fn from_pkcs1_der(der: &[u8]) -> Result<Self, CryptoError> {
        use rsa::pkcs1::DecodeRsaPrivateKey;
        PrivateKey::from_pkcs1_der(der).map(Self).map_err(|_| CryptoError::KeyMalformed)
    }

    pub(super) fn to_pkcs8_der(&self) -> Result<Vec<u8>, CryptoError> {
        self.0.to_pkcs8_der().map(|der| der.as_bytes().to_vec()).map_err(|_| CryptoError::KeyMalformed)
    }

    pub(super) fn public(&self) -> RsaPublic {
        RsaPublic(self.0.to_public_key())
    }

    pub(super) fn sign(&self, padding: Padding, digest: &[u8], rng: &mut Rng) -> Result<Vec<u8>, CryptoError> {
        let block = encode(padding, digest, self.0.size())?;
        self.private_operation(&block, rng)
    }

    pub(super) fn sign_block(&self, block: &[u8]) -> Result<Vec<u8>, CryptoError> {
        if block.len() != self.0.size() {
            return Err(CryptoError::DigestLength { have: block.len() });
        }
        // No caller's stream at hand: blinding still wants one, and a stream per block keeps the result repeatable.
        let mut seed = [0; 32];
        for (to, from) in seed.iter_mut().zip(hash(HashAlg::Sha256, &[b"blinding", block])) {
            *to = from;
        }
        self.private_operation(block, &mut Rng::from_seed(seed))
    }

    fn private_operation(&self, block: &[u8], rng: &mut Rng) -> Result<Vec<u8>, CryptoError> {
        let size = self.0.size();
        let block = BoxedUint::from_be_slice(block, self.0.n().bits_precision())
            .map_err(|_| CryptoError::DigestLength { have: block.len() })?;
        let sig =
            rsa_decrypt_and_check(&self.0, Some(rng.as_rand_core()), &block).map_err(|_| CryptoError::SigningFailed)?;
        to_width(&sig, size).ok_or(CryptoError::SigningFailed)
    }
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct RsaPublic(PublicKey);

impl RsaPublic {
    pub(super) fn from_spki_der(der: &[u8]) -> Result<Self, CryptoError> {
        PublicKey::from_public_key_der(der).map(Self).map_err(|_| CryptoError::KeyMalformed)
    }

    pub(super) fn to_spki_der(&self) -> Result<Vec<u8>, CryptoError> {
        self.0.to_public_key_der().map(|der| der.as_bytes().to_vec()).map_err(|_| CryptoError::KeyMalformed)
    }

    pub(super) fn bits(&self) -> usize {
        self.0.n().bit_width_vartime() as usize
    }

    pub(super) fn len(&self) -> usize {
        self.0.size()
    }

    pub(super) fn verify(&self, padding: Padding, digest: &[u8], sig: &[u8]) -> Result<(), CryptoError> {
        let expected = encode(padding, digest, self.len())?;
        let opened = self.open(sig)?;
        // REQ IKE-AUTH-002, IKE-AUTH-003, IKE-AUTH-019: the whole block is compared, so nothing can hide in the padding or behind the digest.
        if ct_eq(&opened, &expected) { Ok(()) } else { Err(CryptoError::SignatureMismatch) }
    }

    pub(super) fn open(&self, sig: &[u8]) -> Result<Vec<u8>, CryptoError> {
        if sig.len() != self.len() {
            return Err(CryptoError::SignatureLength { need: self.len(), have: sig.len() });
        }
        let sig =
            BoxedUint::from_be_slice(sig, self.0.n().bits_precision()).map_err(|_| CryptoError::SignatureMismatch)?;
        if sig >= *self.0.n().as_ref() {
            return Err(CryptoError::SignatureMismatch);
        }
        let block = rsa_encrypt(&self.0, &sig).map_err(|_| CryptoError::SignatureMismatch)?;
        to_width(&block, self.len()).ok_or(CryptoError::SignatureMismatch)
    }
}

/// Builds 00 01 FF..FF 00 and the data, with at least 8 octets FF.
fn encode(padding: Padding, digest: &[u8], size: usize) -> Result<Vec<u8>, CryptoError> {
    let prefix = match padding {
        Padding::Bare => &[],
        Padding::DigestInfo(alg) => digest_info_prefix(alg),
    };
    let fill = size
        .checked_sub(3 + prefix.len() + digest.len())
        .filter(|fill| *fill >= 8)
        .ok_or(CryptoError::DigestLength { have: digest.len() })?;
    Ok([&[0, 1], vec![0xff; fill].as_slice(), &[0], prefix, digest].concat())
}

/// Gives the DER of DigestInfo up to the digest (RFC 8017 section 9.2, note 1).
const fn digest_info_prefix(alg: HashAlg) -> &'static [u8] {
    match alg {
        HashAlg::Md5 => b"\x30\x20\x30\x0c\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x05\x05\x00\x04\x10",
        HashAlg::Sha1 => b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
        HashAlg::Sha256 => b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
        HashAlg::Sha384 => b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
        HashAlg::Sha512 => b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
    }
}

/// Gives the number big-endian in exactly so many octets.
fn to_width(number: &BoxedUint, width: usize) -> Option<Vec<u8>> {
    let octets = number.to_be_bytes();
    match octets.len().checked_sub(width) {
        Some(excess) => {
            let (high, low) = octets.split_at_checked(excess)?;
            high.iter().all(|octet| *octet == 0).then(|| low.to_vec())
        }
        None => Some([vec![0; width - octets.len()].as_slice(), &octets].concat()),
    }
}
