//! The hashes and keys of GDOI (RFC 6407 and RFC 8263).
//!
//! `rest` is always every octet that follows the HASH payload, whole payloads with their generic headers as they were
//! on the wire, without the padding of the cipher. `_b` means a payload body without its generic header.

use crate::cipher::{CipherAlg, cbc_decrypt, cbc_encrypt, pad_zero};
use crate::error::CryptoError;
use crate::hash::{HashAlg, hash, prf};
use crate::secret::Secret;

/// Computes HASH(1) of GROUPKEY-PULL: prf(SKEYID_a, M-ID | rest).
#[must_use]
pub fn pull_hash1(alg: HashAlg, skeyid_a: &[u8], message_id: u32, rest: &[u8]) -> Vec<u8> {
    prf(alg, skeyid_a, &[&message_id.to_be_bytes(), rest])
}

/// Computes HASH(2) of GROUPKEY-PULL: prf(SKEYID_a, M-ID | Ni_b | rest).
#[must_use]
pub fn pull_hash2(alg: HashAlg, skeyid_a: &[u8], message_id: u32, ni_b: &[u8], rest: &[u8]) -> Vec<u8> {
    prf(alg, skeyid_a, &[&message_id.to_be_bytes(), ni_b, rest])
}

/// Computes HASH(3) of GROUPKEY-PULL: prf(SKEYID_a, M-ID | Ni_b | Nr_b | rest). No zero octet comes first.
#[must_use]
pub fn pull_hash3(alg: HashAlg, skeyid_a: &[u8], message_id: u32, ni_b: &[u8], nr_b: &[u8], rest: &[u8]) -> Vec<u8> {
    prf(alg, skeyid_a, &[&message_id.to_be_bytes(), ni_b, nr_b, rest])
}

/// Computes HASH(4) of GROUPKEY-PULL: prf(SKEYID_a, M-ID | Ni_b | Nr_b | rest).
#[must_use]
pub fn pull_hash4(alg: HashAlg, skeyid_a: &[u8], message_id: u32, ni_b: &[u8], nr_b: &[u8], rest: &[u8]) -> Vec<u8> {
    pull_hash3(alg, skeyid_a, message_id, ni_b, nr_b, rest)
}

/// Computes the digest that SIG of GROUPKEY-PUSH covers: hash("rekey" | HDR | payloads before SIG).
///
/// The header is the one that was signed: flag E set, and Length counting the message with SIG but without padding.
#[must_use]
pub fn push_digest(alg: HashAlg, header: &[u8], payloads_before_sig: &[u8]) -> Vec<u8> {
    hash(alg, &[b"rekey", header, payloads_before_sig])
}

/// Chooses a reading of the length field L in the derivation of ack_key, which RFC 8263 leaves contradictory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AckLength {
    /// L is the block of the prf's hash in bits: 512 for SHA-256, 1024 for SHA-512.
    PrfBlock,
    /// L is the output of the prf in bits: 256 for SHA-256, 512 for SHA-512.
    PrfOutput,
    /// L is the length of base_key as delivered, in bits.
    BaseKey,
}

impl AckLength {
    /// Every reading, the one to send first.
    pub const ALL: [Self; 3] = [Self::PrfBlock, Self::PrfOutput, Self::BaseKey];

    /// Gives L in bits.
    #[must_use]
    pub const fn bits(self, alg: HashAlg, base_key_len: usize) -> u16 {
        let octets = match self {
            Self::PrfBlock => alg.block_len(),
            Self::PrfOutput => alg.len(),
            Self::BaseKey => base_key_len,
        };
        // Keys are a few dozen octets; the cast can only meet nonsense that fits no field anyway.
        (octets * 8) as u16
    }
}

/// Derives ack_key: prf(base_key, "GROUPKEY-PUSH ACK" | 0 | SPI | L).
#[must_use]
pub fn ack_key(alg: HashAlg, base_key: &[u8], spi: &[u8; 16], length: AckLength) -> Secret {
    let bits = length.bits(alg, base_key.len()).to_be_bytes();
    Secret::new(prf(alg, base_key, &[b"GROUPKEY-PUSH ACK\0", spi, &bits]))
}

/// Computes HASH of GROUPKEY-PUSH-ACK over the whole SEQ and ID payloads.
#[must_use]
pub fn ack_hash(alg: HashAlg, ack_key: &[u8], seq_and_id: &[u8]) -> Vec<u8> {
    prf(alg, ack_key, &[seq_and_id])
}

/// Splits the value of KEK_ALGORITHM_KEY, or of an LKH key, into IV and key.
///
/// # Errors
/// Refuses a value that is not exactly IV and key long.
pub fn kek_key_split(cipher: CipherAlg, iv_and_key: &[u8]) -> Result<(Vec<u8>, Secret), CryptoError> {
    let need = kek_key_len(cipher);
    match iv_and_key.split_at_checked(cipher.block_len()) {
        Some((iv, key)) if key.len() == cipher.key_len() => Ok((iv.to_vec(), Secret::from(key))),
        _ => Err(CryptoError::KeyLength { need, have: iv_and_key.len() }),
    }
}

/// Gives the length of IV and key together.
#[must_use]
pub const fn kek_key_len(cipher: CipherAlg) -> usize {
    cipher.block_len() + cipher.key_len()
}

/// Holds the octets that the key attributes of a TEK packet must have; 0 means that the attribute is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TekKeyLengths {
    /// Length of TEK_ALGORITHM_KEY, salt included.
    pub encryption: usize,
    /// Length of TEK_INTEGRITY_KEY.
    pub integrity: usize,
}

/// Gives the key lengths of a TEK policy, or nothing when the combination is unknown or contradicts itself.
///
/// `protocol_id` is 1 for ESP and 2 for AH, `key_bits` the Key Length attribute, `auth` the Authentication Algorithm.
#[must_use]
pub fn tek_key_lengths(
    protocol_id: u8,
    transform_id: u8,
    key_bits: Option<u64>,
    auth: Option<u64>,
) -> Option<TekKeyLengths> {
    match protocol_id {
        1 => esp_key_lengths(transform_id, key_bits, auth),
        2 => ah_key_lengths(transform_id, auth),
        _ => None,
    }
}

/// Tells whether a transform is a counter mode, whose senders need a sender id.
#[must_use]
pub const fn is_counter_mode(protocol_id: u8, transform_id: u8) -> bool {
    match protocol_id {
        1 => matches!(transform_id, 13..=16 | 18..=20 | 23),
        2 => matches!(transform_id, 11..=13),
        _ => false,
    }
}

/// Wraps the Data of an LKH key: CBC under the wrapping key with the IV that precedes it, zero-padded to the block.
///
/// # Errors
/// Refuses a wrapping key that is not IV and key of the cipher.
pub fn lkh_wrap(cipher: CipherAlg, wrapping_iv_and_key: &[u8], key_data: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let (iv, key) = kek_key_split(cipher, wrapping_iv_and_key)?;
    let mut data = key_data.to_vec();
    pad_zero(&mut data, cipher.block_len());
    cbc_encrypt(cipher, key.expose(), &iv, &mut data)?;
    Ok(data)
}

/// Unwraps the Data of an LKH key and cuts the padding that [`lkh_wrap`] added.
///
/// # Errors
/// Refuses a wrapping key that is not IV and key of the cipher, and data that is too short or no multiple of the block.
pub fn lkh_unwrap(cipher: CipherAlg, wrapping_iv_and_key: &[u8], wrapped: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let (iv, key) = kek_key_split(cipher, wrapping_iv_and_key)?;
    if wrapped.len() != lkh_wrapped_len(cipher) {
        return Err(CryptoError::KeyLength { need: lkh_wrapped_len(cipher), have: wrapped.len() });
    }
    let mut data = wrapped.to_vec();
    cbc_decrypt(cipher, key.expose(), &iv, &mut data)?;
    data.truncate(kek_key_len(cipher));
    Ok(data)
}

/// Gives the length of wrapped LKH key data: IV and key, padded to the block (48 octets for AES-192).
#[must_use]
pub const fn lkh_wrapped_len(cipher: CipherAlg) -> usize {
    kek_key_len(cipher).next_multiple_of(cipher.block_len())
}

fn esp_key_lengths(transform_id: u8, key_bits: Option<u64>, auth: Option<u64>) -> Option<TekKeyLengths> {
    let fixed = |octets: usize| match key_bits {
        None => Some(octets),
        Some(bits) if bits == octets as u64 * 8 => Some(octets),
        Some(_) => None,
    };
    let integrity = match auth {
        None => 0,
        Some(auth) => auth_key_len(auth)?,
    };
    // Combined modes bring their own integrity; an Authentication Algorithm beside them contradicts them.
    let combined = |salt: usize| if auth.is_some() { None } else { Some(aes_key_len(key_bits)? + salt) };
    let (encryption, integrity) = match transform_id {
        1 | 2 => (fixed(8)?, integrity),
        3 => (fixed(24)?, integrity),
        11 if key_bits.is_none_or(|bits| bits == 0) && auth.is_some() => (0, integrity),
        12 => (aes_key_len(key_bits)?, integrity),
        13 => (aes_key_len(key_bits)? + 4, integrity),
        14..=16 => (combined(3)?, 0),
        18..=20 => (combined(4)?, 0),
        23 => (0, combined(4)?),
        _ => return None,
    };
    Some(TekKeyLengths { encryption, integrity })
}

fn ah_key_lengths(transform_id: u8, auth: Option<u64>) -> Option<TekKeyLengths> {
    // The AH transform ids and the Authentication Algorithm values number the same functions differently.
    let expected = match transform_id {
        2 => 1,
        3 => 2,
        5..=7 | 9 | 11..=13 => u64::from(transform_id),
        _ => return None,
    };
    if auth.is_some_and(|auth| auth != expected) {
        return None;
    }
    Some(TekKeyLengths { encryption: 0, integrity: auth_key_len(expected)? })
}

const fn auth_key_len(auth: u64) -> Option<usize> {
    Some(match auth {
        1 | 9 => 16,
        2 | 11 => 20,
        5 => 32,
        6 => 48,
        7 => 64,
        12 => 28,
        13 => 36,
        _ => return None,
    })
}

const fn aes_key_len(key_bits: Option<u64>) -> Option<usize> {
    match key_bits {
        Some(128) => Some(16),
        Some(192) => Some(24),
        Some(256) => Some(32),
        _ => None,
    }
}
