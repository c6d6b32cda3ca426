//! Hashes and the HMAC that every prf here is.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

/// Names a hash algorithm, and with it the prf HMAC of that hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlg {
    /// MD5, 16 octets.
    Md5,
    /// SHA-1, 20 octets.
    Sha1,
    /// SHA2-256, 32 octets.
    Sha256,
    /// SHA2-384, 48 octets.
    Sha384,
    /// SHA2-512, 64 octets.
    Sha512,
}

impl HashAlg {
    /// Every algorithm, weakest first.
    pub const ALL: [Self; 5] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Gives the output length in octets.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the length of a digest, which is never empty")]
    pub const fn len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Gives the block length of the compression function in octets.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::Md5 | Self::Sha1 | Self::Sha256 => 64,
            Self::Sha384 | Self::Sha512 => 128,
        }
    }

    /// Gives the name that configuration files use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Finds an algorithm by its configuration name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.name() == name)
    }

    /// Reads a phase 1 Hash Algorithm value (class 2).
    #[must_use]
    pub const fn from_ike(value: u16) -> Option<Self> {
        Some(match value {
            1 => Self::Md5,
            2 => Self::Sha1,
            4 => Self::Sha256,
            5 => Self::Sha384,
            6 => Self::Sha512,
            _ => return None,
        })
    }

    /// Gives the phase 1 Hash Algorithm value (class 2).
    #[must_use]
    pub const fn to_ike(self) -> u16 {
        match self {
            Self::Md5 => 1,
            Self::Sha1 => 2,
            Self::Sha256 => 4,
            Self::Sha384 => 5,
            Self::Sha512 => 6,
        }
    }

    /// Reads a GDOI SIG_HASH_ALGORITHM value.
    #[must_use]
    pub const fn from_sig_hash(value: u16) -> Option<Self> {
        Some(match value {
            1 => Self::Md5,
            2 => Self::Sha1,
            3 => Self::Sha256,
            4 => Self::Sha384,
            5 => Self::Sha512,
            _ => return None,
        })
    }

    /// Gives the GDOI SIG_HASH_ALGORITHM value.
    #[must_use]
    pub const fn to_sig_hash(self) -> u16 {
        match self {
            Self::Md5 => 1,
            Self::Sha1 => 2,
            Self::Sha256 => 3,
            Self::Sha384 => 4,
            Self::Sha512 => 5,
        }
    }

    /// Tells whether the algorithm is kept for old peers only.
    #[must_use]
    pub const fn is_weak(self) -> bool {
        matches!(self, Self::Md5 | Self::Sha1)
    }
}

impl fmt::Display for HashAlg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Hashes the parts as if they were one octet string.
#[must_use]
pub fn hash(alg: HashAlg, parts: &[&[u8]]) -> Vec<u8> {
    fn run<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
        let mut state = D::new();
        for part in parts {
            state.update(part);
        }
        state.finalize().to_vec()
    }
    match alg {
        HashAlg::Md5 => run::<Md5>(parts),
        HashAlg::Sha1 => run::<Sha1>(parts),
        HashAlg::Sha256 => run::<Sha256>(parts),
        HashAlg::Sha384 => run::<Sha384>(parts),
        HashAlg::Sha512 => run::<Sha512>(parts),
    }
}

/// Computes prf(key, parts), the HMAC of the hash, over the parts as if they were one octet string.
#[must_use]
pub fn prf(alg: HashAlg, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    fn run<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        // HMAC takes keys of every length, so there is no error to meet.
        let Ok(mut state) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
        for part in parts {
            state.update(part);
        }
        state.finalize().into_bytes().to_vec()
    }
    match alg {
        HashAlg::Md5 => run::<Hmac<Md5>>(key, parts),
        HashAlg::Sha1 => run::<Hmac<Sha1>>(key, parts),
        HashAlg::Sha256 => run::<Hmac<Sha256>>(key, parts),
        HashAlg::Sha384 => run::<Hmac<Sha384>>(key, parts),
        HashAlg::Sha512 => run::<Hmac<Sha512>>(key, parts),
    }
}

/// Compares in time that depends on the lengths only.
#[must_use]
pub fn ct_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
