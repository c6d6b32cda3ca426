//! What can go wrong in a cryptographic operation.

use hallmark_core::Code;
use thiserror::Error;

/// Names why a cryptographic operation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CryptoError {
    /// Ciphertext or plaintext is empty or no multiple of the cipher block.
    #[error("{len} octets are no multiple of the {block}-octet cipher block")]
    BlockMultiple {
        /// Length that was given.
        len: usize,
        /// Block length of the cipher.
        block: usize,
    },
    /// A symmetric key does not have the length of its algorithm.
    #[error("key of {have} octets, the algorithm needs {need}")]
    KeyLength {
        /// Length that the algorithm needs.
        need: usize,
        /// Length that was given.
        have: usize,
    },
    /// An initialization vector does not have the length of the cipher block.
    #[error("initialization vector of {have} octets, the cipher needs {need}")]
    IvLength {
        /// Length that the cipher needs.
        need: usize,
        /// Length that was given.
        have: usize,
    },
    /// A Diffie-Hellman public value does not have the width of its group.
    #[error("public value of {have} octets, the group needs {need}")]
    DhLength {
        /// Width of the group.
        need: usize,
        /// Length that was given.
        have: usize,
    },
    /// A MODP public value lies outside 2 to p-2.
    #[error("public value outside 2 to p-2")]
    DhRange,
    /// An ECP public value is no point of its curve.
    #[error("public value is not a point of the curve")]
    DhPoint,
    /// The shared value is 0, 1 or p-1.
    #[error("shared value is degenerate")]
    DhResult,
    /// A private value is 0 or too large for its group.
    #[error("private value does not fit the group")]
    DhPrivate,
    /// A key cannot be decoded, or its parts contradict each other.
    #[error("malformed key")]
    KeyMalformed,
    /// A key is of a kind, curve or size that is not supported.
    #[error("unsupported key")]
    KeyUnsupported,
    /// A signature does not have the length that its key demands.
    #[error("signature of {have} octets, the key demands {need}")]
    SignatureLength {
        /// Length that the key demands.
        need: usize,
        /// Length that was given.
        have: usize,
    },
    /// A signature does not verify.
    #[error("signature does not verify")]
    SignatureMismatch,
    /// A digest does not have the length of its algorithm, or does not fit into a signature of this key.
    #[error("digest of {have} octets cannot be signed or verified here")]
    DigestLength {
        /// Length that was given.
        have: usize,
    },
    /// The private operation failed.
    #[error("private operation failed")]
    SigningFailed,
}

impl CryptoError {
    /// Gives the stable rejection code.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code(match self {
            Self::BlockMultiple { .. } => "crypto.cipher.block-multiple",
            Self::KeyLength { .. } => "crypto.cipher.key-length",
            Self::IvLength { .. } => "crypto.cipher.iv-length",
            Self::DhLength { .. } => "crypto.dh.length",
            Self::DhRange => "crypto.dh.range",
            Self::DhPoint => "crypto.dh.not-on-curve",
            Self::DhResult => "crypto.dh.degenerate",
            Self::DhPrivate => "crypto.dh.private",
            Self::KeyMalformed => "crypto.key.malformed",
            Self::KeyUnsupported => "crypto.key.unsupported",
            Self::SignatureLength { .. } => "crypto.signature.length",
            Self::SignatureMismatch => "crypto.signature.mismatch",
            Self::DigestLength { .. } => "crypto.signature.digest-length",
            Self::SigningFailed => "crypto.signature.failed",
        })
    }
}
