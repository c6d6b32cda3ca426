//! Phase 1 suites as the tester offers and chooses them.

use std::fmt;

use hallmark_crypto::{CipherAlg, Group, HashAlg};
use hallmark_wire::isakmp::{Attribute, Attributes, Proposal, SecurityAssociation, Transform};

/// Numbers of the phase 1 attribute classes.
pub mod class {
    /// Encryption algorithm.
    pub const ENCRYPTION: u16 = 1;
    /// Hash algorithm.
    pub const HASH: u16 = 2;
    /// Authentication method.
    pub const AUTHENTICATION: u16 = 3;
    /// Group description.
    pub const GROUP: u16 = 4;
    /// Life type.
    pub const LIFE_TYPE: u16 = 11;
    /// Life duration.
    pub const LIFE_DURATION: u16 = 12;
    /// Key length in bits.
    pub const KEY_LENGTH: u16 = 14;
}

/// The pre-shared key of every standard script.
pub const PSK: &str = "hallmark conformance psk";
/// The group of every standard script.
pub const GROUP: u32 = 1234;

/// How the two ends prove who they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Auth {
    /// Pre-shared key.
    Psk,
    /// RSA signatures.
    Rsa,
    /// ECDSA with SHA-256 on P-256.
    Ecdsa256,
    /// ECDSA with SHA-384 on P-384.
    Ecdsa384,
    /// ECDSA with SHA-512 on P-521.
    Ecdsa521,
}

impl Auth {
    /// Every method.
    pub const ALL: [Self; 5] = [Self::Psk, Self::Rsa, Self::Ecdsa256, Self::Ecdsa384, Self::Ecdsa521];

    /// Gives the attribute value.
    #[must_use]
    pub const fn to_ike(self) -> u16 {
        match self {
            Self::Psk => 1,
            Self::Rsa => 3,
            Self::Ecdsa256 => 9,
            Self::Ecdsa384 => 10,
            Self::Ecdsa521 => 11,
        }
    }

    /// Reads the attribute value.
    #[must_use]
    pub fn from_ike(value: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|auth| u64::from(auth.to_ike()) == value)
    }

    /// Gives the configuration name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Psk => "psk",
            Self::Rsa => "rsa",
            Self::Ecdsa256 => "ecdsa256",
            Self::Ecdsa384 => "ecdsa384",
            Self::Ecdsa521 => "ecdsa521",
        }
    }

    /// Gives the hash that HASH_I and HASH_R use for signing: the curve's own one for ECDSA.
    #[must_use]
    pub const fn signing_hash(self, negotiated: HashAlg) -> HashAlg {
        match self {
            Self::Psk | Self::Rsa => negotiated,
            Self::Ecdsa256 => HashAlg::Sha256,
            Self::Ecdsa384 => HashAlg::Sha384,
            Self::Ecdsa521 => HashAlg::Sha512,
        }
    }
}

/// One phase 1 suite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Suite {
    /// Cipher.
    pub cipher: CipherAlg,
    /// Hash and, as HMAC, the prf.
    pub hash: HashAlg,
    /// Diffie-Hellman group.
    pub group: Group,
    /// Authentication method.
    pub auth: Auth,
    /// Life duration in seconds, if one is offered.
    pub life_secs: Option<u32>,
}

impl Default for Suite {
    fn default() -> Self {
        Self {
            cipher: CipherAlg::Aes128,
            hash: HashAlg::Sha256,
            group: Group::Modp2048,
            auth: Auth::Psk,
            life_secs: Some(86_400),
        }
    }
}

impl Suite {
    /// Reads a configuration name such as `aes128-sha256-modp2048-psk`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        let suite = Self {
            cipher: CipherAlg::from_name(parts.next()?)?,
            hash: HashAlg::from_name(parts.next()?)?,
            group: Group::from_name(parts.next()?)?,
            auth: parts.next().and_then(|name| Auth::ALL.into_iter().find(|auth| auth.name() == name))?,
            life_secs: Some(86_400),
        };
        parts.next().is_none().then_some(suite)
    }

    /// Gives the configuration name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}-{}-{}-{}", self.cipher.name(), self.hash.name(), self.group.name(), self.auth.name())
    }

    /// Writes the suite as a transform.
    #[must_use]
    pub fn transform(&self, number: u8) -> Transform {
        let (encryption, key_bits) = self.cipher.to_ike();
        let mut attributes = vec![
            Attribute::basic(class::ENCRYPTION, encryption),
            Attribute::basic(class::HASH, self.hash.to_ike()),
            Attribute::basic(class::AUTHENTICATION, self.auth.to_ike()),
            Attribute::basic(class::GROUP, self.group.to_ike()),
        ];
        if let Some(secs) = self.life_secs {
            attributes.push(Attribute::basic(class::LIFE_TYPE, 1));
            attributes.push(Attribute::u32(class::LIFE_DURATION, secs));
        }
        if let Some(bits) = key_bits {
            attributes.push(Attribute::basic(class::KEY_LENGTH, bits));
        }
        Transform { number, id: 1, attributes: Attributes(attributes) }
    }

    /// Reads a transform; `None` if it names something that the tester cannot do.
    #[must_use]
    pub fn from_transform(transform: &Transform) -> Option<Self> {
        let value = |class| transform.attributes.uint(class);
        let number = |class| value(class).and_then(|value| u16::try_from(value).ok());
        Some(Self {
            cipher: CipherAlg::from_ike(number(class::ENCRYPTION)?, number(class::KEY_LENGTH))?,
            hash: HashAlg::from_ike(number(class::HASH)?)?,
            group: Group::from_ike(number(class::GROUP)?)?,
            auth: Auth::from_ike(value(class::AUTHENTICATION)?)?,
            life_secs: value(class::LIFE_DURATION).and_then(|secs| u32::try_from(secs).ok()),
        })
    }

    /// Tells whether two suites are the same but for the lifetime, which either side may limit on its own.
    #[must_use]
    pub fn same_algorithms(&self, other: &Self) -> bool {
        (self.cipher, self.hash, self.group, self.auth) == (other.cipher, other.hash, other.group, other.auth)
    }

    /// Writes an offer: one proposal with these suites in order of preference.
    #[must_use]
    pub fn offer(suites: &[Self], doi: u32, situation: u32) -> SecurityAssociation {
        let transforms = suites.iter().zip(1..=u8::MAX).map(|(suite, number)| suite.transform(number)).collect();
        let proposal = Proposal { number: 1, protocol: 1, spi: Vec::new(), transforms };
        SecurityAssociation { doi, situation, proposals: vec![proposal] }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}
