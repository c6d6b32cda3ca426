//! Block ciphers in CBC mode without a padding scheme, as IKEv1 and GDOI use them.

use std::fmt;

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use cbc::{Decryptor, Encryptor};
use des::{Des, TdesEde3};

use crate::error::CryptoError;

/// Names a block cipher with its key length, always in CBC mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CipherAlg {
    /// DES-CBC.
    Des,
    /// 3DES-CBC with three independent keys.
    TripleDes,
    /// AES-CBC with a 128-bit key.
    Aes128,
    /// AES-CBC with a 192-bit key.
    Aes192,
    /// AES-CBC with a 256-bit key.
    Aes256,
}

impl CipherAlg {
    /// Every cipher, weakest first.
    pub const ALL: [Self; 5] = [Self::Des, Self::TripleDes, Self::Aes128, Self::Aes192, Self::Aes256];

    /// Gives the block length in octets, which is also that of the IV.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::Des | Self::TripleDes => 8,
            Self::Aes128 | Self::Aes192 | Self::Aes256 => 16,
        }
    }

    /// Gives the key length in octets, parity bits included.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::Des => 8,
            Self::TripleDes | Self::Aes192 => 24,
            Self::Aes128 => 16,
            Self::Aes256 => 32,
        }
    }

    /// Gives the name that configuration files use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Des => "des",
            Self::TripleDes => "3des",
            Self::Aes128 => "aes128",
            Self::Aes192 => "aes192",
            Self::Aes256 => "aes256",
        }
    }

    /// Finds a cipher by its configuration name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.name() == name)
    }

    /// Reads a phase 1 Encryption Algorithm (class 1) with its Key Length (class 14).
    ///
    /// AES has to carry a length and the fixed-length ciphers must not.
    #[must_use]
    pub const fn from_ike(algorithm: u16, key_bits: Option<u16>) -> Option<Self> {
        Some(match (algorithm, key_bits) {
            (1, None) => Self::Des,
            (5, None) => Self::TripleDes,
            (7, Some(128)) => Self::Aes128,
            (7, Some(192)) => Self::Aes192,
            (7, Some(256)) => Self::Aes256,
            _ => return None,
        })
    }

    /// Gives the phase 1 Encryption Algorithm (class 1) and the Key Length (class 14) to send with it.
    #[must_use]
    pub const fn to_ike(self) -> (u16, Option<u16>) {
        match self {
            Self::Des => (1, None),
            Self::TripleDes => (5, None),
            Self::Aes128 => (7, Some(128)),
            Self::Aes192 => (7, Some(192)),
            Self::Aes256 => (7, Some(256)),
        }
    }

    /// Reads a KEK_ALGORITHM with its KEK_KEY_LENGTH, which is optional for the fixed-length ciphers.
    #[must_use]
    pub const fn from_kek(algorithm: u16, key_bits: Option<u16>) -> Option<Self> {
        Some(match (algorithm, key_bits) {
            (1, None | Some(56 | 64)) => Self::Des,
            (2, None | Some(168 | 192)) => Self::TripleDes,
            (3, Some(128)) => Self::Aes128,
            (3, Some(192)) => Self::Aes192,
            (3, Some(256)) => Self::Aes256,
            _ => return None,
        })
    }

    /// Gives the KEK_ALGORITHM and the KEK_KEY_LENGTH to send with it.
    #[must_use]
    pub const fn to_kek(self) -> (u16, Option<u16>) {
        match self {
            Self::Des => (1, None),
            Self::TripleDes => (2, None),
            Self::Aes128 => (3, Some(128)),
            Self::Aes192 => (3, Some(192)),
            Self::Aes256 => (3, Some(256)),
        }
    }

    /// Tells whether the cipher is kept for old peers only.
    #[must_use]
    pub const fn is_weak(self) -> bool {
        matches!(self, Self::Des | Self::TripleDes)
    }
}

impl fmt::Display for CipherAlg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Encrypts whole blocks in place. The IV is the caller's: nothing is written back into it.
///
/// # Errors
/// Refuses a key or IV of the wrong length and data that is no multiple of the block.
pub fn cbc_encrypt(cipher: CipherAlg, key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError> {
    check(cipher, key, iv, data.len())?;
    match cipher {
        CipherAlg::Des => encrypt_with::<Encryptor<Des>>(key, iv, data),
        CipherAlg::TripleDes => encrypt_with::<Encryptor<TdesEde3>>(key, iv, data),
        CipherAlg::Aes128 => encrypt_with::<Encryptor<Aes128>>(key, iv, data),
        CipherAlg::Aes192 => encrypt_with::<Encryptor<Aes192>>(key, iv, data),
        CipherAlg::Aes256 => encrypt_with::<Encryptor<Aes256>>(key, iv, data),
    }
}

/// Decrypts whole blocks in place. The IV is the caller's: nothing is written back into it.
///
/// # Errors
/// Refuses a key or IV of the wrong length and data that is no multiple of the block.
pub fn cbc_decrypt(cipher: CipherAlg, key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError> {
    check(cipher, key, iv, data.len())?;
    match cipher {
        CipherAlg::Des => decrypt_with::<Decryptor<Des>>(key, iv, data),
        CipherAlg::TripleDes => decrypt_with::<Decryptor<TdesEde3>>(key, iv, data),
        CipherAlg::Aes128 => decrypt_with::<Decryptor<Aes128>>(key, iv, data),
        CipherAlg::Aes192 => decrypt_with::<Decryptor<Aes192>>(key, iv, data),
        CipherAlg::Aes256 => decrypt_with::<Decryptor<Aes256>>(key, iv, data),
    }
}

/// Appends zero octets up to the next block boundary, none when already aligned (RFC 2409 appendix B).
pub fn pad_zero(data: &mut Vec<u8>, block: usize) {
    data.resize(data.len().next_multiple_of(block.max(1)), 0);
}

const fn check(cipher: CipherAlg, key: &[u8], iv: &[u8], len: usize) -> Result<(), CryptoError> {
    let block = cipher.block_len();
    if key.len() != cipher.key_len() {
        return Err(CryptoError::KeyLength { need: cipher.key_len(), have: key.len() });
    }
    if iv.len() != block {
        return Err(CryptoError::IvLength { need: block, have: iv.len() });
    }
    if !len.is_multiple_of(block) {
        return Err(CryptoError::BlockMultiple { len, block });
    }
    Ok(())
}

// `check` has established every length, so the errors below cannot be met; they are passed on all the same.

fn encrypt_with<M: KeyIvInit + BlockModeEncrypt>(key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError> {
    let mut mode = M::new_from_slices(key, iv).map_err(|_| CryptoError::KeyLength { need: 0, have: key.len() })?;
    let (blocks, _) = Array::slice_as_chunks_mut(data);
    mode.encrypt_blocks(blocks);
    Ok(())
}

fn decrypt_with<M: KeyIvInit + BlockModeDecrypt>(key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError> {
    let mut mode = M::new_from_slices(key, iv).map_err(|_| CryptoError::KeyLength { need: 0, have: key.len() })?;
    let (blocks, _) = Array::slice_as_chunks_mut(data);
    mode.decrypt_blocks(blocks);
    Ok(())
}
