//! The elliptic curve groups: X and Y on the wire without a format octet, X alone as the shared value.

use crate::dh::Group;
use crate::error::CryptoError;
use crate::secret::Secret;

/// Computes X | Y of private * G.
pub(super) fn public(group: Group, private: &[u8]) -> Result<Vec<u8>, CryptoError> {
    macro_rules! on {
        ($curve:ident) => {{
            let secret = $curve::SecretKey::from_slice(private).map_err(|_| CryptoError::DhPrivate)?;
            secret.public_key().to_sec1_bytes()
        }};
    }
    let sec1 = match group {
        Group::Ecp256 => on!(p256),
        Group::Ecp384 => on!(p384),
        Group::Ecp521 => on!(p521),
        _ => return Err(CryptoError::KeyUnsupported),
    };
    // The first octet says "uncompressed" and is not sent.
    Ok(sec1.iter().copied().skip(1).collect())
}

/// Computes X of private * peer; the length of the peer's value has been checked.
pub(super) fn agree(group: Group, private: &[u8], peer: &[u8]) -> Result<Secret, CryptoError> {
    let sec1 = [&[4], peer].concat();
    macro_rules! on {
        ($curve:ident) => {{
            let secret = $curve::SecretKey::from_slice(private).map_err(|_| CryptoError::DhPrivate)?;
            // REQ IKE-MM-011: the decoder checks range and curve, and the format octet leaves no room for infinity.
            let point = $curve::PublicKey::from_sec1_bytes(&sec1).map_err(|_| CryptoError::DhPoint)?;
            let shared = $curve::ecdh::diffie_hellman(secret.to_nonzero_scalar(), point.as_affine());
            Secret::from(shared.raw_secret_bytes().as_slice())
        }};
    }
    let shared = match group {
        Group::Ecp256 => on!(p256),
        Group::Ecp384 => on!(p384),
        Group::Ecp521 => on!(p521),
        _ => return Err(CryptoError::KeyUnsupported),
    };
    if shared.expose().iter().all(|octet| *octet == 0) {
        return Err(CryptoError::DhResult);
    }
    Ok(shared)
}
