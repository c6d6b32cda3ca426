//! Suites, PRFs, Diffie-Hellman groups, signatures, key schedules and certificates.
//!
//! Everything here is a function of its arguments: randomness comes from a [`hallmark_core::Rng`] that the caller hands
//! in, time from a [`hallmark_core::UnixTime`]. Nothing panics on octets of a peer.
//!
//! [`hash`](mod@hash) and [`cipher`] hold the symmetric suites, [`dh`] the groups, [`sign`] the keys and signatures,
//! [`ike`] and [`gdoi`] the formulas of the two protocols over them, [`esp`] the transforms of the data plane, [`cert`]
//! the X.509 path check.

pub mod cert;
pub mod cipher;
pub mod dh;
pub mod error;
pub mod esp;
pub mod gdoi;
pub mod hash;
pub mod ike;
pub mod secret;
pub mod sign;

pub use cipher::{CipherAlg, cbc_decrypt, cbc_encrypt, pad_zero};
pub use dh::{DhKey, Group};
pub use error::CryptoError;
pub use hash::{HashAlg, ct_eq, hash, prf};
pub use secret::Secret;
pub use sign::{Curve, KeyKind, SigningKey, VerifyingKey};
