//! Diffie-Hellman groups of IKEv1: MODP 1, 2, 5, 14, 15, 16 and ECP 19, 20, 21.

mod ecp;
mod modp;

use std::fmt;

use hallmark_core::Rng;

use crate::error::CryptoError;
use crate::secret::Secret;

/// Names a Diffie-Hellman group by its IKE number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// 768-bit MODP, RFC 2409 section 6.1.
    Modp768 = 1,
    /// 1024-bit MODP, RFC 2409 section 6.2.
    Modp1024 = 2,
    /// 1536-bit MODP, RFC 3526.
    Modp1536 = 5,
    /// 2048-bit MODP, RFC 3526.
    Modp2048 = 14,
    /// 3072-bit MODP, RFC 3526.
    Modp3072 = 15,
    /// 4096-bit MODP, RFC 3526.
    Modp4096 = 16,
    /// NIST P-256, RFC 5903.
    Ecp256 = 19,
    /// NIST P-384, RFC 5903.
    Ecp384 = 20,
    /// NIST P-521, RFC 5903.
    Ecp521 = 21,
}

impl Group {
    /// Every group in the order of its number.
    pub const ALL: [Self; 9] = [
        Self::Modp768,
        Self::Modp1024,
        Self::Modp1536,
        Self::Modp2048,
        Self::Modp3072,
        Self::Modp4096,
        Self::Ecp256,
        Self::Ecp384,
        Self::Ecp521,
    ];

    /// Reads a Group Description value (class 4).
    #[must_use]
    pub fn from_ike(value: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.to_ike() == value)
    }

    /// Gives the Group Description value (class 4).
    #[must_use]
    pub const fn to_ike(self) -> u16 {
        self as u16
    }

    /// Gives the length of a KE body in octets.
    #[must_use]
    pub const fn public_len(self) -> usize {
        match self {
            Self::Modp768 => 96,
            Self::Modp1024 => 128,
            Self::Modp1536 => 192,
            Self::Modp2048 => 256,
            Self::Modp3072 => 384,
            Self::Modp4096 => 512,
            Self::Ecp256 => 64,
            Self::Ecp384 => 96,
            Self::Ecp521 => 132,
        }
    }

    /// Gives the length of the shared value g^xy in octets.
    #[must_use]
    pub const fn secret_len(self) -> usize {
        if self.is_ecp() { self.public_len() / 2 } else { self.public_len() }
    }

    /// Gives the length of a fresh private value in octets: at least twice the strength of the group.
    #[must_use]
    pub const fn private_len(self) -> usize {
        match self {
            Self::Modp768 | Self::Modp1024 | Self::Modp1536 | Self::Modp2048 | Self::Ecp256 => 32,
            Self::Modp3072 => 40,
            Self::Modp4096 | Self::Ecp384 => 48,
            Self::Ecp521 => 66,
        }
    }

    /// Tells whether the group is an elliptic curve.
    #[must_use]
    pub const fn is_ecp(self) -> bool {
        matches!(self, Self::Ecp256 | Self::Ecp384 | Self::Ecp521)
    }

    /// Gives the name that configuration files use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Modp768 => "modp768",
            Self::Modp1024 => "modp1024",
            Self::Modp1536 => "modp1536",
            Self::Modp2048 => "modp2048",
            Self::Modp3072 => "modp3072",
            Self::Modp4096 => "modp4096",
            Self::Ecp256 => "ecp256",
            Self::Ecp384 => "ecp384",
            Self::Ecp521 => "ecp521",
        }
    }

    /// Finds a group by its configuration name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }

    /// Tells whether the group is kept for old peers only.
    #[must_use]
    pub const fn is_weak(self) -> bool {
        matches!(self, Self::Modp768 | Self::Modp1024)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Holds one side of a key agreement: a private value and the public value to send.
#[derive(Clone)]
pub struct DhKey {
    group: Group,
    private: Secret,
    public: Vec<u8>,
}

impl DhKey {
    /// Draws a fresh private value and computes its public value.
    #[must_use]
    pub fn generate(group: Group, rng: &mut Rng) -> Self {
        loop {
            let mut private = rng.vec(group.private_len());
            if let (Group::Ecp521, Some(first)) = (group, private.first_mut()) {
                // 521 bits are 65 octets and one bit.
                *first &= 1;
            }
            // Refused is 0 and, for curves, what is not below the order: about once in 2^32 draws at worst.
            if let Ok(key) = Self::from_private(group, &private) {
                return key;
            }
        }
    }

    /// Takes a given private value, big-endian, as known-answer vectors have them.
    ///
    /// # Errors
    /// Refuses 0, a value wider than the group, and for curves one that is not below the order.
    pub fn from_private(group: Group, private: &[u8]) -> Result<Self, CryptoError> {
        let private = Secret::from(private);
        let public = match modp::group(group) {
            Some(modp) => modp.public(private.expose())?,
            None => ecp::public(group, private.expose())?,
        };
        Ok(Self { group, private, public })
    }

    /// Gives the public value in the full width of the group, as the KE payload carries it.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Gives the group.
    #[must_use]
    pub const fn group(&self) -> Group {
        self.group
    }

    /// Computes the shared value g^xy in the full width of the group.
    ///
    /// # Errors
    /// Refuses a public value of the wrong length, outside 2 to p-2 or off the curve, and a degenerate result.
    pub fn agree(&self, peer: &[u8]) -> Result<Secret, CryptoError> {
        // REQ IKE-MM-008
        let need = self.group.public_len();
        if peer.len() != need {
            return Err(CryptoError::DhLength { need, have: peer.len() });
        }
        match modp::group(self.group) {
            Some(modp) => modp.agree(self.private.expose(), peer),
            None => ecp::agree(self.group, self.private.expose(), peer),
        }
    }
}

impl fmt::Debug for DhKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DhKey({})", self.group)
    }
}
