//! ESP transforms: keyed once per SA, applied to packets in place (RFC 4303).
//!
//! A packet is a slice from the SPI to the ICV. Nothing here allocates per packet, keeps a sequence number or looks at
//! the inner packet: that is the data plane's. [`Transform`] knows the sizes, [`trailer`] the padding, [`EspKey`] does
//! the work, one packet or a burst at a time.
//!
//! Facts: RFC 4303, RFC 4106 (GCM), RFC 4543 (GMAC), RFC 3602 (AES-CBC), RFC 2404 and RFC 4868 (HMAC).

mod backend;
mod cbc;
mod error;
mod fast;
mod gcm;
mod mac;
pub mod trailer;
mod transform;

use std::fmt;

pub use backend::Backend;
pub use error::EspError;
pub use trailer::TrailerError;
pub use transform::{Cipher, Mac, Transform};

use cbc::KeyedCipher;
use fast::RingGcm;
use gcm::Gcm;
use mac::KeyedMac;

/// Holds the keys of one SA, expanded once; shared by all workers. Wiped when dropped, never printed.
pub struct EspKey {
    transform: Transform,
    engine: Box<Engine>,
}

/// Is one packet of a burst.
#[derive(Debug)]
pub struct Job<'a> {
    /// The packet from SPI to ICV, as for [`EspKey::seal`] or [`EspKey::open`].
    pub esp: &'a mut [u8],
    /// The high half of an extended sequence number; `None` on an SA without.
    pub esn_high: Option<u32>,
    /// Says afterwards whether the packet was sealed, or is genuine and opened.
    pub ok: bool,
}

enum Engine {
    Separate { cipher: KeyedCipher, mac: Option<KeyedMac> },
    Gcm(Gcm),
    Ring(RingGcm),
}

impl EspKey {
    /// Expands the keys of an SA, each as a key server sends it: the salt of GCM behind its key.
    ///
    /// Key and salt of GMAC are taken from whichever of the two keys is not empty. A backend that cannot do the
    /// transform on this processor gives way to the next best; [`backend`](Self::backend) tells which one works.
    ///
    /// # Errors
    /// [`EspError::Unsupported`] for a transform that [`Transform::check`] refuses, [`EspError::KeyLength`] for a key of
    /// the wrong length, [`EspError::WeakKey`] for 3DES keys that degenerate to DES.
    pub fn new(
        transform: Transform,
        encryption_key: &[u8],
        integrity_key: &[u8],
        backend: Backend,
    ) -> Result<Self, EspError> {
        transform.check()?;
        let (encryption_key, integrity_key) = match transform.cipher {
            Cipher::AesGmac(_) if integrity_key.is_empty() => (integrity_key, encryption_key),
            _ => (encryption_key, integrity_key),
        };
        check_key(encryption_key, transform.encryption_key_len())?;
        check_key(integrity_key, transform.integrity_key_len())?;
        let engine = match transform.cipher {
            Cipher::AesGcm { icv: 16, .. } if backend != Backend::Portable => match RingGcm::new(encryption_key) {
                Some(ring) => Engine::Ring(ring),
                None => Engine::Gcm(Gcm::new(encryption_key, false)?),
            },
            Cipher::AesGcm { .. } => Engine::Gcm(Gcm::new(encryption_key, false)?),
            Cipher::AesGmac(_) => Engine::Gcm(Gcm::new(integrity_key, true)?),
            Cipher::Null | Cipher::Des | Cipher::TripleDes | Cipher::AesCbc(_) => Engine::Separate {
                cipher: KeyedCipher::new(transform.cipher, encryption_key)?,
                mac: transform.mac.and_then(|mac| KeyedMac::new(mac, integrity_key)),
            },
        };
        Ok(Self { transform, engine: Box::new(engine) })
    }

    /// Gives the transform.
    #[must_use]
    pub const fn transform(&self) -> Transform {
        self.transform
    }

    /// Tells which implementation does the work.
    #[must_use]
    pub fn backend(&self) -> Backend {
        match *self.engine {
            Engine::Separate { .. } | Engine::Gcm(_) => Backend::Portable,
            Engine::Ring(_) => Backend::Ring,
        }
    }

    /// Encrypts and authenticates a packet in place.
    ///
    /// `esp` is SPI to ICV: header, IV, payload and trailer in clear are in place, the last octets are free for the
    /// ICV. The trailer is not looked at, so a tester can seal any plaintext.
    ///
    /// # Errors
    /// [`EspError::TooShort`] when header and ICV do not fit, [`EspError::BadAlignment`] when CBC has no whole blocks.
    pub fn seal(&self, esp: &mut [u8], esn_high: Option<u32>) -> Result<(), EspError> {
        let (body_len, icv_len) = (self.check_seal(esp.len())?, self.transform.icv_len());
        let (packet, icv) = esp.split_at_mut(self.transform.header_len() + body_len);
        debug_assert_eq!(icv.len(), icv_len);
        match &*self.engine {
            Engine::Separate { cipher, mac } => {
                let (iv, body) = split_iv(packet, self.transform.iv_len());
                cipher.encrypt(iv, body);
                if let Some(mac) = mac {
                    mac.write(packet, esn_high, icv);
                }
            }
            Engine::Gcm(gcm) => gcm.seal(packet, esn_high, icv),
            Engine::Ring(ring) => {
                // ring refuses nothing that fits into an IP packet.
                if !ring.seal(packet, esn_high, icv) {
                    return Err(EspError::Unsupported);
                }
            }
        }
        Ok(())
    }

    /// Verifies a packet in constant time, decrypts it in place and gives what lies between IV and ICV: payload,
    /// padding, Pad Length, Next Header.
    ///
    /// # Errors
    /// [`EspError::TooShort`] and [`EspError::BadAlignment`] before any cryptography, [`EspError::BadIcv`] after it;
    /// the octets are unspecified then.
    pub fn open<'a>(&self, esp: &'a mut [u8], esn_high: Option<u32>) -> Result<&'a mut [u8], EspError> {
        self.transform.check_len(esp.len())?;
        let (header_len, icv_len) = (self.transform.header_len(), self.transform.icv_len());
        let end = esp.len() - icv_len;
        let genuine = match &*self.engine {
            Engine::Separate { cipher, mac } => {
                let (packet, icv) = esp.split_at_mut(end);
                // REQ ESP-030
                let genuine = mac.as_ref().is_none_or(|mac| mac.verify(packet, esn_high, icv));
                if genuine {
                    let (iv, body) = split_iv(packet, self.transform.iv_len());
                    cipher.decrypt(iv, body);
                }
                genuine
            }
            Engine::Gcm(gcm) => {
                let (packet, icv) = esp.split_at_mut(end);
                gcm.open(packet, esn_high, icv)
            }
            Engine::Ring(ring) => ring.open(esp, esn_high),
        };
        // REQ ESP-031
        if genuine { Ok(esp.get_mut(header_len..end).unwrap_or_default()) } else { Err(EspError::BadIcv) }
    }

    /// Seals many packets at once, each as [`seal`](Self::seal) does.
    pub fn seal_batch(&self, packets: &mut [Job<'_>]) {
        for job in packets {
            job.ok = self.seal(job.esp, job.esn_high).is_ok();
        }
    }

    /// Opens many packets at once, each as [`open`](Self::open) does: where `ok` is set the payload begins after
    /// [`Transform::header_len`] octets, elsewhere the octets are unspecified.
    ///
    /// [`Transform::check_len`] tells packets that are too short or misaligned from forged ones.
    pub fn open_batch(&self, packets: &mut [Job<'_>]) {
        for job in packets {
            job.ok = self.open(job.esp, job.esn_high).is_ok();
        }
    }

    /// Gives the octets between IV and ICV, when the cipher can encrypt so many.
    const fn check_seal(&self, esp_len: usize) -> Result<usize, EspError> {
        let least = self.transform.header_len() + self.transform.icv_len();
        if esp_len < least {
            return Err(EspError::TooShort { need: least, have: esp_len });
        }
        let (len, block) = (esp_len - least, self.transform.cipher.block_len());
        if len.is_multiple_of(block) { Ok(len) } else { Err(EspError::BadAlignment { len, align: block }) }
    }
}

impl fmt::Debug for EspKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EspKey({} by {})", self.transform, self.backend())
    }
}

const fn check_key(key: &[u8], need: usize) -> Result<(), EspError> {
    if key.len() == need { Ok(()) } else { Err(EspError::KeyLength { need, have: key.len() }) }
}

/// Splits a packet into its IV and what follows; the lengths have been checked.
fn split_iv(packet: &mut [u8], iv_len: usize) -> (&[u8], &mut [u8]) {
    let (header, body) = packet.split_at_mut(transform::FIXED_HEADER_LEN + iv_len);
    (header.get(transform::FIXED_HEADER_LEN..).unwrap_or_default(), body)
}
