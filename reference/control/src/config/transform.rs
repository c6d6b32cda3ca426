//! Names and wire values of data transforms.

use std::fmt;

use super::{AuthAlg, DataTransform, EspCipher};

/// Protocol-ID of ESP in a SAT and in a Delete.
pub const PROTO_ESP: u8 = 1;
/// Protocol-ID of AH in a SAT and in a Delete.
pub const PROTO_AH: u8 = 2;

/// Is what a transform looks like in a SAT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WireTransform {
    /// Protocol-ID of the SAT.
    pub protocol_id: u8,
    /// Transform ID.
    pub transform_id: u8,
    /// The Key Length attribute.
    pub key_bits: Option<u16>,
    /// The Authentication Algorithm attribute.
    pub auth: Option<u16>,
}

impl AuthAlg {
    const TABLE: &'static [(Self, &'static str, u16, u8, usize)] = &[
        // name, Authentication Algorithm value (RFC 2407), AH transform, key octets
        (Self::HmacMd5, "hmac-md5", 1, 2, 16),
        (Self::HmacSha1, "hmac-sha1", 2, 3, 20),
        (Self::HmacSha256, "hmac-sha256", 5, 5, 32),
        (Self::HmacSha384, "hmac-sha384", 6, 6, 48),
        (Self::HmacSha512, "hmac-sha512", 7, 7, 64),
    ];

    /// Gives every MAC.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::TABLE.iter().map(|row| row.0)
    }

    /// Gives the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    /// Finds a MAC by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Gives the value of the Authentication Algorithm attribute.
    #[must_use]
    pub fn to_wire(self) -> u16 {
        Self::TABLE.iter().find(|row| row.0 == self).map_or(0, |row| row.2)
    }

    /// Finds a MAC by the value of the Authentication Algorithm attribute.
    #[must_use]
    pub fn from_wire(value: u64) -> Option<Self> {
        Self::TABLE.iter().find(|row| u64::from(row.2) == value).map(|row| row.0)
    }

    /// Gives the octets of a key.
    #[must_use]
    pub fn key_len(self) -> usize {
        Self::TABLE.iter().find(|row| row.0 == self).map_or(0, |row| row.4)
    }

    fn ah_transform(self) -> u8 {
        Self::TABLE.iter().find(|row| row.0 == self).map_or(0, |row| row.3)
    }

    fn from_ah_transform(id: u8) -> Option<Self> {
        Self::TABLE.iter().find(|row| row.3 == id).map(|row| row.0)
    }
}

impl DataTransform {
    /// Every name of an ESP cipher as the configuration spells it.
    pub const CIPHER_NAMES: &'static [(&'static str, EspCipher)] = &[
        ("null", EspCipher::Null),
        ("des", EspCipher::Des),
        ("3des", EspCipher::TripleDes),
        ("aes128-cbc", EspCipher::AesCbc(128)),
        ("aes192-cbc", EspCipher::AesCbc(192)),
        ("aes256-cbc", EspCipher::AesCbc(256)),
        ("aes128-gcm8", EspCipher::AesGcm(128, 8)),
        ("aes192-gcm8", EspCipher::AesGcm(192, 8)),
        ("aes256-gcm8", EspCipher::AesGcm(256, 8)),
        ("aes128-gcm12", EspCipher::AesGcm(128, 12)),
        ("aes192-gcm12", EspCipher::AesGcm(192, 12)),
        ("aes256-gcm12", EspCipher::AesGcm(256, 12)),
        ("aes128-gcm16", EspCipher::AesGcm(128, 16)),
        ("aes192-gcm16", EspCipher::AesGcm(192, 16)),
        ("aes256-gcm16", EspCipher::AesGcm(256, 16)),
        ("aes128-gmac", EspCipher::AesGmac(128)),
        ("aes192-gmac", EspCipher::AesGmac(192)),
        ("aes256-gmac", EspCipher::AesGmac(256)),
    ];

    /// Puts a transform together from the words of a configuration: protocol `esp` or `ah`, the transform, the MAC.
    ///
    /// # Errors
    ///
    /// Says which word is not understood or does not go with the others, and what is allowed.
    pub fn from_names(protocol: &str, transform: &str, auth: Option<&str>) -> Result<Self, String> {
        let mac = |name: &str| {
            AuthAlg::from_name(name).ok_or_else(|| {
                let names: Vec<_> = AuthAlg::all().map(AuthAlg::name).collect();
                format!("`{name}` is no MAC ({})", names.join(", "))
            })
        };
        match protocol {
            "ah" => {
                if auth.is_some_and(|auth| auth != transform) {
                    return Err("AH has its MAC as the transform and takes no other `auth`".into());
                }
                Ok(Self::Ah(mac(transform)?))
            }
            "esp" => {
                let (_, cipher) = Self::CIPHER_NAMES.iter().find(|(name, _)| *name == transform).ok_or_else(|| {
                    let names: Vec<_> = Self::CIPHER_NAMES.iter().map(|(name, _)| *name).collect();
                    format!("`{transform}` is no ESP transform ({})", names.join(", "))
                })?;
                let auth = auth.map(mac).transpose()?;
                if cipher.is_aead() && auth.is_some() {
                    return Err(format!("`{transform}` authenticates by itself and takes no `auth`"));
                }
                if *cipher == EspCipher::Null && auth.is_none() {
                    return Err("`null` needs an `auth`".into());
                }
                Ok(Self::Esp { cipher: *cipher, auth })
            }
            other => Err(format!("`{other}` is no protocol (esp, ah)")),
        }
    }

    /// Gives the values that go into a SAT.
    #[must_use]
    pub fn to_wire(self) -> WireTransform {
        match self {
            Self::Ah(auth) => WireTransform {
                protocol_id: PROTO_AH,
                transform_id: auth.ah_transform(),
                key_bits: None,
                auth: Some(auth.to_wire()),
            },
            Self::Esp { cipher, auth } => {
                let (transform_id, key_bits) = match cipher {
                    EspCipher::Null => (11, None),
                    EspCipher::Des => (2, None),
                    EspCipher::TripleDes => (3, None),
                    EspCipher::AesCbc(bits) => (12, Some(bits)),
                    EspCipher::AesGcm(bits, 8) => (18, Some(bits)),
                    EspCipher::AesGcm(bits, 12) => (19, Some(bits)),
                    EspCipher::AesGcm(bits, _) => (20, Some(bits)),
                    EspCipher::AesGmac(bits) => (23, Some(bits)),
                };
                WireTransform { protocol_id: PROTO_ESP, transform_id, key_bits, auth: auth.map(AuthAlg::to_wire) }
            }
        }
    }

    /// Reads the values of a SAT; `None` for what we cannot do.
    #[must_use]
    pub fn from_wire(protocol_id: u8, transform_id: u8, key_bits: Option<u64>, auth: Option<u64>) -> Option<Self> {
        // Authentication Algorithm 0 is reserved: an offer with it names no MAC that we know.
        let mac = match auth {
            Some(value) => Some(AuthAlg::from_wire(value)?),
            None => None,
        };
        if protocol_id == PROTO_AH {
            let by_transform = AuthAlg::from_ah_transform(transform_id)?;
            return (mac.is_none() || mac == Some(by_transform)).then_some(Self::Ah(by_transform));
        }
        if protocol_id != PROTO_ESP {
            return None;
        }
        // AES without Key Length means 128 bits in ESP (RFC 3602 section 5.3).
        let bits = || match key_bits.unwrap_or(128) {
            128 => Some(128),
            192 => Some(192),
            256 => Some(256),
            _ => None,
        };
        let fixed = |len: u64| key_bits.is_none_or(|bits| bits == len);
        let cipher = match transform_id {
            2 if fixed(64) => EspCipher::Des,
            3 if fixed(192) => EspCipher::TripleDes,
            11 => EspCipher::Null,
            12 => EspCipher::AesCbc(bits()?),
            18 => EspCipher::AesGcm(bits()?, 8),
            19 => EspCipher::AesGcm(bits()?, 12),
            20 => EspCipher::AesGcm(bits()?, 16),
            23 => EspCipher::AesGmac(bits()?),
            _ => return None,
        };
        if cipher.is_aead() == mac.is_some() && (cipher.is_aead() || cipher == EspCipher::Null) {
            return None;
        }
        Some(Self::Esp { cipher, auth: mac })
    }

    /// Gives the octets of TEK_ALGORITHM_KEY and of TEK_INTEGRITY_KEY; 0 means that the attribute is absent.
    #[must_use]
    pub fn key_lengths(self) -> (usize, usize) {
        match self {
            Self::Ah(auth) => (0, auth.key_len()),
            Self::Esp { cipher, auth } => {
                let mac = auth.map_or(0, AuthAlg::key_len);
                match cipher {
                    EspCipher::Null => (0, mac),
                    EspCipher::Des => (8, mac),
                    EspCipher::TripleDes => (24, mac),
                    EspCipher::AesCbc(bits) => (usize::from(bits / 8), mac),
                    EspCipher::AesGcm(bits, _) => (usize::from(bits / 8) + 4, 0),
                    // RFC 6407 groups AES-GMAC with the MACs; its keying material is key and salt (RFC 4543).
                    EspCipher::AesGmac(bits) => (0, usize::from(bits / 8) + 4),
                }
            }
        }
    }

    /// Tells whether senders need a sender id (RFC 6054).
    #[must_use]
    pub const fn is_counter_mode(self) -> bool {
        matches!(self, Self::Esp { cipher: EspCipher::AesGcm(..) | EspCipher::AesGmac(_), .. })
    }

    /// Tells whether the transform may protect keys that live longer than a day: AES with 128 bits or more.
    #[must_use]
    pub const fn is_strong(self) -> bool {
        matches!(self, Self::Esp { cipher: EspCipher::AesCbc(_) | EspCipher::AesGcm(..) | EspCipher::AesGmac(_), .. })
    }

    /// Gives the names out of `allow_weak` that this transform needs.
    #[must_use]
    pub fn weak(self) -> Vec<&'static str> {
        let mut names = Vec::new();
        let auth = match self {
            Self::Ah(auth) => Some(auth),
            Self::Esp { cipher, auth } => {
                match cipher {
                    EspCipher::Des => names.push("des"),
                    EspCipher::TripleDes => names.push("3des"),
                    _ => {}
                }
                auth
            }
        };
        if auth == Some(AuthAlg::HmacMd5) {
            names.push("md5");
        }
        names
    }
}

impl EspCipher {
    const fn is_aead(self) -> bool {
        matches!(self, Self::AesGcm(..) | Self::AesGmac(_))
    }
}

impl fmt::Display for DataTransform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ah(auth) => write!(f, "ah {}", auth.name()),
            Self::Esp { cipher, auth } => {
                let name = Self::CIPHER_NAMES.iter().find(|(_, known)| known == cipher).map_or("?", |(name, _)| name);
                write!(f, "esp {name}")?;
                auth.map_or(Ok(()), |auth| write!(f, " {}", auth.name()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transform_survives_the_wire() {
        for (name, _) in DataTransform::CIPHER_NAMES {
            for auth in [None, Some("hmac-sha1"), Some("hmac-sha512")] {
                let Ok(transform) = DataTransform::from_names("esp", name, auth) else { continue };
                let wire = transform.to_wire();
                let back = DataTransform::from_wire(
                    wire.protocol_id,
                    wire.transform_id,
                    wire.key_bits.map(u64::from),
                    wire.auth.map(u64::from),
                );
                assert_eq!(back, Some(transform), "{transform}");
            }
        }
        for auth in AuthAlg::all() {
            let wire = DataTransform::Ah(auth).to_wire();
            let back = DataTransform::from_wire(2, wire.transform_id, None, wire.auth.map(u64::from));
            assert_eq!(back, Some(DataTransform::Ah(auth)));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(DataTransform::from_wire(1, 12, Some(100), Some(5)), None, "odd key length");
        assert_eq!(DataTransform::from_wire(1, 20, Some(128), Some(5)), None, "AEAD with a MAC");
        assert_eq!(DataTransform::from_wire(1, 11, None, None), None, "NULL without a MAC");
        assert_eq!(DataTransform::from_wire(1, 12, Some(128), Some(99)), None, "unknown MAC");
        assert_eq!(DataTransform::from_wire(2, 5, None, Some(2)), None, "AH with two MACs");
        assert_eq!(DataTransform::from_wire(3, 12, None, None), None, "unknown protocol");
        assert!(DataTransform::from_names("esp", "aes128-gcm16", Some("hmac-sha1")).is_err());
        assert!(DataTransform::from_names("esp", "null", None).is_err());
        assert!(DataTransform::from_names("tcp", "null", None).is_err());
    }
}
