//! Why an SA or a packet is refused.

use hallmark_core::Code;
use thiserror::Error;

/// Names why keys do not make an SA, or why a packet is not sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EspError {
    /// No SA can use this combination of cipher, key length, ICV length and MAC.
    #[error("no ESP transform, or one that protects nothing")]
    Unsupported,
    /// A key does not have the length of its algorithm.
    #[error("key of {have} octets, the transform needs {need}")]
    KeyLength {
        /// Length that the transform needs, the salt included.
        need: usize,
        /// Length that was given.
        have: usize,
    },
    /// Two neighbouring keys of 3DES are equal, which makes it DES (RFC 2451 section 2.3).
    #[error("3DES keys that degenerate to DES")]
    WeakKey,
    /// The packet has no room for header, trailer and ICV.
    #[error("packet of {have} octets, the transform needs {need}")]
    TooShort {
        /// Least length of a packet of the transform.
        need: usize,
        /// Length that was given.
        have: usize,
    },
    /// Payload and trailer are no multiple of the alignment.
    #[error("{len} octets to decrypt are no multiple of {align}")]
    BadAlignment {
        /// Octets between IV and ICV.
        len: usize,
        /// What they must be a multiple of.
        align: usize,
    },
    /// The ICV does not verify.
    #[error("the integrity check value does not verify")]
    BadIcv,
}

impl EspError {
    /// Gives the stable rejection code.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code(match self {
            Self::Unsupported => "esp.unsupported",
            Self::KeyLength { .. } => "esp.key-length",
            Self::WeakKey => "esp.weak-key",
            Self::TooShort { .. } => "esp.too-short",
            Self::BadAlignment { .. } => "esp.bad-alignment",
            Self::BadIcv => "esp.bad-icv",
        })
    }
}
