//! From two public values to the keys of phase 1 (sections 3.2 to 3.4 and 3.10).

use std::borrow::Cow;

use hallmark_crypto::ike::{Cbc, cipher_key, phase1_iv, skeyid_psk, skeyid_sig, skeyids};
use hallmark_crypto::{CryptoError, DhKey, HashAlg, Secret, hash};
use hallmark_wire::isakmp::Cookie;

use super::code;
use super::config::Suite;
use super::exchange::{Keyed, Refusal};
use crate::behaviour::{Behaviour, Defect};

/// Computes the shared secret; refuses public values that are no good.
pub(super) fn agree(dh: &DhKey, peer: &[u8], behaviour: &Behaviour) -> Result<Secret, Refusal> {
    let width = dh.group().public_len();
    let mut value = Cow::Borrowed(peer);
    // REQ IKE-MM-009
    if value.len() != width {
        if !behaviour.has(Defect::IkeKeLengthNotChecked) {
            return Err(Refusal::keep(code::KE_LENGTH).with(format!(
                "{} octets for {}",
                peer.len(),
                dh.group().name()
            )));
        }
        value.to_mut().resize(width, 1);
    }
    let secret = match dh.agree(&value) {
        Ok(secret) => secret,
        // REQ IKE-MM-010
        Err(CryptoError::DhRange | CryptoError::DhResult) if behaviour.has(Defect::IkeAcceptsModpOne) => {
            let mut weak = vec![0; dh.group().secret_len()];
            if let (true, Some(last)) = (value.iter().any(|&o| o != 0), weak.last_mut()) {
                *last = 1;
            }
            Secret::new(weak)
        }
        // REQ IKE-MM-011
        Err(CryptoError::DhPoint) if behaviour.has(Defect::IkeAcceptsBadPoint) => {
            Secret::new(vec![0; dh.group().secret_len()])
        }
        // Once a length was forced through, whatever follows is as good as anything.
        Err(_) if behaviour.has(Defect::IkeKeLengthNotChecked) => Secret::new(vec![0; dh.group().secret_len()]),
        Err(error) => return Err(error.into()),
    };
    // REQ IKE-KEY-004
    if behaviour.has(Defect::IkeStripsSecretZeros) {
        let stripped: Vec<u8> = secret.expose().iter().copied().skip_while(|&o| o == 0).collect();
        return Ok(Secret::new(stripped));
    }
    Ok(secret)
}

/// Holds both sides' contributions, in the order initiator, responder.
pub(super) struct Inputs<'a> {
    pub(super) psk: Option<&'a Secret>,
    pub(super) g_xy: &'a Secret,
    pub(super) nonce_i: &'a [u8],
    pub(super) nonce_r: &'a [u8],
    pub(super) ke_i: &'a [u8],
    pub(super) ke_r: &'a [u8],
}

/// Derives every key of phase 1 (sections 3.2 to 3.4).
pub(super) fn derive(
    suite: Suite,
    cookies: (Cookie, Cookie),
    inputs: &Inputs<'_>,
    behaviour: &Behaviour,
) -> Result<Box<Keyed>, Refusal> {
    let skeyid = match (suite.auth.signs(), inputs.psk) {
        (true, _) => skeyid_sig(suite.hash, inputs.nonce_i, inputs.nonce_r, inputs.g_xy.expose()),
        (false, Some(psk)) => skeyid_psk(suite.hash, psk.expose(), inputs.nonce_i, inputs.nonce_r),
        (false, None) => return Err(Refusal::lose(code::NO_PSK)),
    };
    let ids = skeyids(suite.hash, skeyid, inputs.g_xy.expose(), &cookies.0, &cookies.1);
    let mut key = cipher_key(suite.hash, suite.cipher, ids.e.expose());
    // REQ IKE-KEY-006
    if ids.e.len() < suite.cipher.key_len() && behaviour.has(Defect::IkeExpandsWithSkeyidE) {
        let mut wrong = [ids.e.expose(), key.expose()].concat();
        wrong.truncate(suite.cipher.key_len());
        key = Secret::new(wrong);
    }
    let iv = phase1_iv(suite.hash, suite.cipher, inputs.ke_i, inputs.ke_r);
    let cbc = Cbc::new(suite.cipher, key, iv)?;
    Ok(Box::new(Keyed {
        ids,
        first: cbc.clone(),
        cbc,
        ke_i: inputs.ke_i.to_vec(),
        ke_r: inputs.ke_r.to_vec(),
        own_hash: Vec::new(),
    }))
}

/// Digests a whole message for duplicate detection.
pub(super) fn digest(message: &[u8]) -> [u8; 32] {
    hash(HashAlg::Sha256, &[message]).first_chunk().copied().unwrap_or([0; 32])
}
