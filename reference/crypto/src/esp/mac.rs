//! HMAC with the key worked in once per SA.

use hmac::{Hmac, KeyInit};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::transform::Mac;

/// Holds the state of an HMAC after its key: a packet starts from a copy.
pub(super) enum KeyedMac {
    Md5(Hmac<Md5>),
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

impl KeyedMac {
    /// Works the key in. HMAC takes keys of every length; the caller has checked the one of the transform.
    pub(super) fn new(mac: Mac, key: &[u8]) -> Option<Self> {
        Some(match mac {
            Mac::HmacMd5 => Self::Md5(Hmac::new_from_slice(key).ok()?),
            Mac::HmacSha1 => Self::Sha1(Hmac::new_from_slice(key).ok()?),
            Mac::HmacSha256 => Self::Sha256(Hmac::new_from_slice(key).ok()?),
            Mac::HmacSha384 => Self::Sha384(Hmac::new_from_slice(key).ok()?),
            Mac::HmacSha512 => Self::Sha512(Hmac::new_from_slice(key).ok()?),
        })
    }

    /// Writes the leftmost octets of the MAC over SPI to Next Header, and the high half of an ESN, into `icv`.
    pub(super) fn write(&self, covered: &[u8], esn_high: Option<u32>, icv: &mut [u8]) {
        self.with(covered, esn_high, |mac| {
            for (octet, value) in icv.iter_mut().zip(mac) {
                *octet = *value;
            }
        });
    }

    /// Compares with a received ICV, in time that does not depend on where they differ.
    pub(super) fn verify(&self, covered: &[u8], esn_high: Option<u32>, icv: &[u8]) -> bool {
        self.with(covered, esn_high, |mac| mac.get(..icv.len()).is_some_and(|left| left.ct_eq(icv).into()))
    }

    fn with<T>(&self, covered: &[u8], esn_high: Option<u32>, then: impl FnOnce(&[u8]) -> T) -> T {
        fn run<M: hmac::Mac + Clone, T>(
            keyed: &M,
            covered: &[u8],
            high: Option<u32>,
            then: impl FnOnce(&[u8]) -> T,
        ) -> T {
            let mut state = keyed.clone();
            state.update(covered);
            // The high half is never sent; it only counts here (RFC 4303 section 2.2.1).
            if let Some(high) = high {
                state.update(&high.to_be_bytes());
            }
            let mut mac = state.finalize().into_bytes();
            let outcome = then(&mac);
            // The right ICV of a forged packet is as good as a key to whoever can read it.
            mac.as_mut_slice().zeroize();
            outcome
        }
        match self {
            Self::Md5(keyed) => run(keyed, covered, esn_high, then),
            Self::Sha1(keyed) => run(keyed, covered, esn_high, then),
            Self::Sha256(keyed) => run(keyed, covered, esn_high, then),
            Self::Sha384(keyed) => run(keyed, covered, esn_high, then),
            Self::Sha512(keyed) => run(keyed, covered, esn_high, then),
        }
    }
}
