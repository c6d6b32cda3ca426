//! What an ESP transform is: the cipher, the MAC, and the arithmetic of sizes that follows from the two.

use std::fmt;
use std::str::FromStr;

use super::EspError;

/// Names what ESP does to the confidentiality of a packet; the combined modes authenticate as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cipher {
    /// No encryption (RFC 2410).
    Null,
    /// DES-CBC (RFC 2405), for old peers only.
    Des,
    /// 3DES-CBC (RFC 2451).
    TripleDes,
    /// AES-CBC (RFC 3602) with a key of so many bits.
    AesCbc(u16),
    /// AES-GCM (RFC 4106).
    AesGcm {
        /// Length of the key in bits, the salt not counted.
        bits: u16,
        /// Length of the ICV in octets: 8, 12 or 16.
        icv: u8,
    },
    /// AES-GMAC (RFC 4543), which authenticates only, with a key of so many bits.
    AesGmac(u16),
}

/// Names the MAC that goes with a cipher that does not authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mac {
    /// HMAC-MD5-96 (RFC 2403), for old peers only.
    HmacMd5,
    /// HMAC-SHA1-96 (RFC 2404).
    HmacSha1,
    /// HMAC-SHA2-256-128 (RFC 4868).
    HmacSha256,
    /// HMAC-SHA2-384-192 (RFC 4868).
    HmacSha384,
    /// HMAC-SHA2-512-256 (RFC 4868).
    HmacSha512,
}

/// Joins a cipher and a MAC into what an SA does to its packets.
///
/// Written as `aes128-gcm16` or `aes128-cbc+hmac-sha256`, in the words of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transform {
    /// The cipher.
    pub cipher: Cipher,
    /// The MAC; never with GCM and GMAC, always with NULL.
    pub mac: Option<Mac>,
}

/// SPI and sequence number.
pub(super) const FIXED_HEADER_LEN: usize = 8;
/// The salt that follows the key of GCM and GMAC.
pub(super) const SALT_LEN: usize = 4;
/// Pad Length and Next Header.
pub(super) const TRAILER_LEN: usize = 2;

const CIPHERS: [(&str, Cipher); 18] = [
    ("null", Cipher::Null),
    ("des", Cipher::Des),
    ("3des", Cipher::TripleDes),
    ("aes128-cbc", Cipher::AesCbc(128)),
    ("aes192-cbc", Cipher::AesCbc(192)),
    ("aes256-cbc", Cipher::AesCbc(256)),
    ("aes128-gcm8", Cipher::AesGcm { bits: 128, icv: 8 }),
    ("aes192-gcm8", Cipher::AesGcm { bits: 192, icv: 8 }),
    ("aes256-gcm8", Cipher::AesGcm { bits: 256, icv: 8 }),
    ("aes128-gcm12", Cipher::AesGcm { bits: 128, icv: 12 }),
    ("aes192-gcm12", Cipher::AesGcm { bits: 192, icv: 12 }),
    ("aes256-gcm12", Cipher::AesGcm { bits: 256, icv: 12 }),
    ("aes128-gcm16", Cipher::AesGcm { bits: 128, icv: 16 }),
    ("aes192-gcm16", Cipher::AesGcm { bits: 192, icv: 16 }),
    ("aes256-gcm16", Cipher::AesGcm { bits: 256, icv: 16 }),
    ("aes128-gmac", Cipher::AesGmac(128)),
    ("aes192-gmac", Cipher::AesGmac(192)),
    ("aes256-gmac", Cipher::AesGmac(256)),
];

impl Cipher {
    /// Gives every cipher that an SA can use.
    pub fn all() -> impl Iterator<Item = Self> {
        CIPHERS.into_iter().map(|(_, cipher)| cipher)
    }

    /// Gives the name that configuration files use; `?` for a key or ICV length that no SA can have.
    #[must_use]
    pub fn name(self) -> &'static str {
        CIPHERS.iter().find(|(_, cipher)| *cipher == self).map_or("?", |(name, _)| name)
    }

    /// Finds a cipher by its configuration name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        CIPHERS.iter().find(|(known, _)| *known == name).map(|(_, cipher)| *cipher)
    }

    /// Tells whether the cipher authenticates by itself and takes no MAC.
    #[must_use]
    #[inline]
    pub const fn is_aead(self) -> bool {
        matches!(self, Self::AesGcm { .. } | Self::AesGmac(_))
    }

    /// Gives the block of CBC in octets, 1 for what needs no whole blocks. A power of two.
    #[must_use]
    #[inline]
    pub const fn block_len(self) -> usize {
        match self {
            Self::Des | Self::TripleDes => 8,
            Self::AesCbc(_) => 16,
            Self::Null | Self::AesGcm { .. } | Self::AesGmac(_) => 1,
        }
    }
}

impl Mac {
    /// Every MAC, weakest first.
    pub const ALL: [Self; 5] = [Self::HmacMd5, Self::HmacSha1, Self::HmacSha256, Self::HmacSha384, Self::HmacSha512];

    /// Gives the name that configuration files use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HmacMd5 => "hmac-md5",
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
        }
    }

    /// Finds a MAC by its configuration name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mac| mac.name() == name)
    }

    /// Gives the octets of the key, which is as long as the hash (RFC 2404, RFC 4868 section 2.1.1).
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::HmacMd5 => 16,
            Self::HmacSha1 => 20,
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => 64,
        }
    }

    /// Gives the octets of the ICV: 96 bits for the old hashes, the left half for SHA-2.
    #[must_use]
    #[inline]
    pub const fn icv_len(self) -> usize {
        match self {
            Self::HmacMd5 | Self::HmacSha1 => 12,
            Self::HmacSha256 => 16,
            Self::HmacSha384 => 24,
            Self::HmacSha512 => 32,
        }
    }
}

impl Transform {
    /// Gives every transform that authenticates: each combined mode, each other cipher with each MAC.
    pub fn all() -> impl Iterator<Item = Self> {
        Cipher::all().flat_map(|cipher| {
            let alone = cipher.is_aead().then_some(Self { cipher, mac: None });
            let with = Mac::ALL.into_iter().map(move |mac| Self { cipher, mac: Some(mac) });
            alone.into_iter().chain(with.filter(move |_| !cipher.is_aead()))
        })
    }

    /// Tells whether an SA can use the transform.
    ///
    /// # Errors
    /// Refuses key and ICV lengths that the RFCs do not know, a combined mode with a MAC, and NULL without one.
    pub const fn check(self) -> Result<(), EspError> {
        // REQ ESP-016 REQ ESP-020
        let known = match self.cipher {
            Cipher::Null => self.mac.is_some(),
            Cipher::Des | Cipher::TripleDes => true,
            Cipher::AesCbc(bits) => matches!(bits, 128 | 192 | 256),
            Cipher::AesGcm { bits, icv } => matches!(bits, 128 | 192 | 256) && matches!(icv, 8 | 12 | 16),
            Cipher::AesGmac(bits) => matches!(bits, 128 | 192 | 256),
        };
        if known && !(self.cipher.is_aead() && self.mac.is_some()) { Ok(()) } else { Err(EspError::Unsupported) }
    }

    /// Gives the octets of the explicit IV.
    #[must_use]
    #[inline]
    pub const fn iv_len(self) -> usize {
        match self.cipher {
            Cipher::Null => 0,
            Cipher::Des | Cipher::TripleDes | Cipher::AesGcm { .. } | Cipher::AesGmac(_) => 8,
            Cipher::AesCbc(_) => 16,
        }
    }

    /// Gives the octets of the ICV, 0 for a cipher without integrity.
    #[must_use]
    #[inline]
    pub const fn icv_len(self) -> usize {
        // REQ ESP-022 REQ ESP-025 REQ ESP-026 REQ ESP-027
        match (self.cipher, self.mac) {
            (Cipher::AesGcm { icv, .. }, _) => icv as usize,
            (Cipher::AesGmac(_), _) => 16,
            (_, Some(mac)) => mac.icv_len(),
            (_, None) => 0,
        }
    }

    /// Gives the octets that payload and trailer together are a multiple of: the block, at least 4. A power of two.
    #[must_use]
    #[inline]
    pub const fn align(self) -> usize {
        // REQ ESP-007 REQ ESP-029
        let block = self.cipher.block_len();
        if block > 4 { block } else { 4 }
    }

    /// Gives the octets in front of the payload: SPI, sequence number and IV.
    #[must_use]
    #[inline]
    pub const fn header_len(self) -> usize {
        FIXED_HEADER_LEN + self.iv_len()
    }

    /// Gives the octets of the encryption key as a key server sends it, the salt of GCM included.
    #[must_use]
    pub const fn encryption_key_len(self) -> usize {
        match self.cipher {
            Cipher::Null | Cipher::AesGmac(_) => 0,
            Cipher::Des => 8,
            Cipher::TripleDes => 24,
            Cipher::AesCbc(bits) => bits as usize / 8,
            Cipher::AesGcm { bits, .. } => bits as usize / 8 + SALT_LEN,
        }
    }

    /// Gives the octets of the integrity key; key and salt of GMAC travel as one (RFC 6407 section 5.6.1.2).
    #[must_use]
    pub const fn integrity_key_len(self) -> usize {
        match (self.cipher, self.mac) {
            (Cipher::AesGmac(bits), _) => bits as usize / 8 + SALT_LEN,
            (_, Some(mac)) => mac.key_len(),
            (_, None) => 0,
        }
    }

    /// Tells whether the IV is a counter that carries a sender id (RFC 6054): GCM and GMAC.
    #[must_use]
    #[inline]
    pub const fn is_counter_mode(self) -> bool {
        self.cipher.is_aead()
    }

    /// Gives the least padding that aligns a payload of so many octets.
    #[must_use]
    #[inline]
    pub const fn pad_len(self, payload_len: usize) -> usize {
        super::trailer::pad_len(payload_len, self.align())
    }

    /// Gives the octets that ESP adds to a payload of so many octets; the outer IP header is not counted.
    #[must_use]
    #[inline]
    pub const fn overhead(self, payload_len: usize) -> usize {
        self.header_len() + self.pad_len(payload_len) + TRAILER_LEN + self.icv_len()
    }

    /// Gives the largest payload whose ESP packet fits into `room` octets after the outer IP header, 0 for none.
    #[must_use]
    pub const fn max_payload(self, room: usize) -> usize {
        let align = self.align();
        let body = room.saturating_sub(self.header_len() + self.icv_len()) / align * align;
        body.saturating_sub(TRAILER_LEN)
    }

    /// Checks the length of a received ESP packet (SPI to ICV) before anything else is done with it.
    ///
    /// # Errors
    /// [`EspError::TooShort`] when header, trailer and ICV do not fit, [`EspError::BadAlignment`] when the encrypted
    /// part is no multiple of [`align`](Self::align).
    #[inline]
    pub const fn check_len(self, esp_len: usize) -> Result<(), EspError> {
        // REQ ESP-032
        let least = self.header_len() + TRAILER_LEN + self.icv_len();
        if esp_len < least {
            return Err(EspError::TooShort { need: least, have: esp_len });
        }
        let body = esp_len - self.header_len() - self.icv_len();
        if body & (self.align() - 1) == 0 {
            Ok(())
        } else {
            Err(EspError::BadAlignment { len: body, align: self.align() })
        }
    }
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cipher.name())?;
        self.mac.map_or(Ok(()), |mac| write!(f, "+{}", mac.name()))
    }
}

impl FromStr for Transform {
    type Err = EspError;

    /// Reads what [`Display`](fmt::Display) writes, and refuses what no SA can use.
    fn from_str(text: &str) -> Result<Self, EspError> {
        let (cipher, mac) = match text.split_once('+') {
            Some((cipher, mac)) => (cipher, Some(Mac::from_name(mac).ok_or(EspError::Unsupported)?)),
            None => (text, None),
        };
        let transform = Self { cipher: Cipher::from_name(cipher).ok_or(EspError::Unsupported)?, mac };
        transform.check()?;
        Ok(transform)
    }
}
