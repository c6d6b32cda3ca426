//! ESP transforms: keyed once per SA, applied to packets in place (RFC 4303).
//!
//! A packet is a slice from the SPI to the ICV. Nothing here allocates per packet, keeps a sequence number or looks at
//! the inner packet: that is the data plane's. [`Transform`] knows the sizes, [`trailer`] the padding, [`EspKey`] does
//! the work, one packet or a burst at a time.
//!
//! Facts: RFC 4303, RFC 4106 (GCM), RFC 4543 (GMAC), RFC 3602 (AES-CBC), RFC 2404 and RFC 4868 (HMAC).

mod backend;
mod batch;
mod cbc;
mod error;
mod fast;
mod gcm;
mod mac;
mod separate;
pub mod trailer;
mod transform;

use std::fmt;

use arrayvec::ArrayVec;

pub use backend::Backend;
pub use error::EspError;
pub use trailer::TrailerError;
pub use transform::{Cipher, Mac, Transform};

use batch::BatchGcm;
use fast::RingGcm;
use gcm::Gcm;
use separate::Separate;

/// Holds the keys of one SA, expanded once; shared by all workers. Wiped when dropped, never printed.
pub struct EspKey {
    transform: Transform,
    sizes: Sizes,
    engine: Box<Engine>,
}

/// What the lengths of packets are checked against, worked out once for all packets.
#[derive(Clone, Copy)]
struct Sizes {
    /// Octets in front of the payload, SPI, sequence number and IV.
    header_len: usize,
    icv_len: usize,
    /// A block of the cipher, and what payload and trailer are a multiple of, each less one.
    block_mask: usize,
    align_mask: usize,
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

/// Packets that go through a cipher together before they go through a MAC, or the other way round.
const GROUP: usize = 64;

enum Engine {
    Separate(Separate),
    Gcm(Gcm),
    Ring(RingGcm),
    Batch(BatchGcm),
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
            Cipher::AesGcm { icv, .. } => gcm_engine(encryption_key, icv, backend)?,
            Cipher::AesGmac(_) => Engine::Gcm(Gcm::new(integrity_key, true)?),
            Cipher::Null | Cipher::Des | Cipher::TripleDes | Cipher::AesCbc(_) => {
                Engine::Separate(Separate::new(transform, encryption_key, integrity_key, backend)?)
            }
        };
        Ok(Self { transform, sizes: Sizes::of(transform), engine: Box::new(engine) })
    }

    /// Gives the transform.
    #[must_use]
    pub const fn transform(&self) -> Transform {
        self.transform
    }

    /// Tells which implementation does the work.
    #[must_use]
    pub fn backend(&self) -> Backend {
        match &*self.engine {
            Engine::Separate(separate) => separate.backend(),
            Engine::Gcm(_) => Backend::Portable,
            Engine::Ring(_) => Backend::Ring,
            Engine::Batch(_) => Backend::Batch,
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
        self.sizes.check_seal(esp.len())?;
        let end = esp.len() - self.sizes.icv_len;
        match &*self.engine {
            Engine::Separate(separate) => separate.seal(esp, esn_high),
            Engine::Gcm(gcm) => {
                let (packet, icv) = esp.split_at_mut(end);
                gcm.seal(packet, esn_high, icv);
            }
            Engine::Ring(ring) => ring.seal(esp, esn_high),
            Engine::Batch(batch) => batch.seal(esp, esn_high),
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
        if !self.sizes.may_open(esp.len()) {
            return self.transform.check_len(esp.len()).and(Err(EspError::Unsupported));
        }
        let Sizes { header_len, icv_len, .. } = self.sizes;
        let end = esp.len() - icv_len;
        let genuine = match &*self.engine {
            Engine::Separate(separate) => separate.open(esp, esn_high),
            Engine::Gcm(gcm) => {
                let (packet, icv) = esp.split_at_mut(end);
                gcm.open(packet, esn_high, icv)
            }
            Engine::Ring(ring) => ring.open(esp, esn_high),
            Engine::Batch(batch) => batch.open(esp, esn_high),
        };
        // REQ ESP-031
        if genuine { Ok(esp.get_mut(header_len..end).unwrap_or_default()) } else { Err(EspError::BadIcv) }
    }

    /// Seals many packets at once, each as [`seal`](Self::seal) does.
    pub fn seal_batch(&self, packets: &mut [Job<'_>]) {
        match &*self.engine {
            Engine::Separate(separate) => {
                for job in &mut *packets {
                    job.ok = self.sizes.check_seal(job.esp.len()).is_ok();
                }
                separate.seal_batch(packets);
            }
            Engine::Gcm(_) | Engine::Ring(_) => {
                for job in packets {
                    job.ok = self.seal(job.esp, job.esn_high).is_ok();
                }
            }
            Engine::Batch(batch) => {
                for job in &mut *packets {
                    job.ok = self.sizes.check_seal(job.esp.len()).is_ok();
                }
                batch.seal_batch(packets);
            }
        }
    }

    /// Tells whether [`seal_burst`](Self::seal_burst) and [`open_burst`](Self::open_burst) are faster than one packet
    /// after the other.
    #[must_use]
    pub fn prefers_bursts(&self) -> bool {
        self.backend() == Backend::Batch
    }

    /// Seals many packets without extended sequence numbers at once, each as [`seal`](Self::seal) does. What `seal`
    /// would refuse is filled with zeros, so that it cannot leave in clear by mistake.
    pub fn seal_burst(&self, packets: &mut [&mut [u8]]) {
        match &*self.engine {
            Engine::Batch(batch) => batch.seal_burst(packets),
            Engine::Ring(ring) => packets.iter_mut().for_each(|packet| ring.seal(packet, None)),
            Engine::Separate(_) | Engine::Gcm(_) => {
                for group in packets.chunks_mut(GROUP) {
                    let mut jobs = jobs(group);
                    self.seal_batch(&mut jobs);
                    for job in jobs.iter_mut().filter(|job| !job.ok) {
                        job.esp.fill(0);
                    }
                }
            }
        }
    }

    /// Opens many packets without extended sequence numbers at once, each as [`open`](Self::open) does; `ok` says for
    /// each whether it is genuine.
    pub fn open_burst(&self, packets: &mut [&mut [u8]], ok: &mut [bool]) {
        if let Engine::Batch(batch) = &*self.engine {
            return batch.open_burst(packets, ok);
        }
        for (group, ok) in packets.chunks_mut(GROUP).zip(ok.chunks_mut(GROUP)) {
            let mut jobs = jobs(group);
            self.open_batch(&mut jobs);
            for (job, ok) in jobs.iter().zip(ok) {
                *ok = job.ok;
            }
        }
    }

    /// Opens many packets, each as [`open`](Self::open) does: where `ok` is set the payload begins after
    /// [`Transform::header_len`] octets, elsewhere the octets are unspecified.
    ///
    /// [`Transform::check_len`] tells packets that are too short or misaligned from forged ones.
    pub fn open_batch(&self, packets: &mut [Job<'_>]) {
        match &*self.engine {
            Engine::Separate(separate) => {
                for job in &mut *packets {
                    job.ok = self.sizes.may_open(job.esp.len());
                }
                separate.open_batch(packets);
            }
            Engine::Gcm(_) | Engine::Ring(_) => {
                for job in packets {
                    job.ok = self.open(job.esp, job.esn_high).is_ok();
                }
            }
            Engine::Batch(batch) => {
                for job in &mut *packets {
                    job.ok = self.sizes.may_open(job.esp.len());
                }
                batch.open_batch(packets);
            }
        }
    }
}

/// Makes jobs of packets without extended sequence numbers.
fn jobs<'a>(packets: &'a mut [&mut [u8]]) -> ArrayVec<Job<'a>, GROUP> {
    packets.iter_mut().take(GROUP).map(|esp| Job { esp, esn_high: None, ok: false }).collect()
}

impl Sizes {
    const fn of(transform: Transform) -> Self {
        Self {
            header_len: transform.header_len(),
            icv_len: transform.icv_len(),
            block_mask: transform.cipher.block_len() - 1,
            align_mask: transform.align() - 1,
        }
    }

    /// Checks that header and ICV fit, and that the cipher can encrypt what is between them.
    #[inline]
    const fn check_seal(&self, esp_len: usize) -> Result<(), EspError> {
        let least = self.header_len + self.icv_len;
        if esp_len < least {
            return Err(EspError::TooShort { need: least, have: esp_len });
        }
        let (len, align) = (esp_len - least, self.block_mask + 1);
        if len & self.block_mask == 0 { Ok(()) } else { Err(EspError::BadAlignment { len, align }) }
    }

    /// Tells what [`Transform::check_len`] says at length.
    #[inline]
    const fn may_open(&self, esp_len: usize) -> bool {
        let least = self.header_len + self.icv_len;
        esp_len >= least + transform::TRAILER_LEN && (esp_len - least) & self.align_mask == 0
    }
}

impl fmt::Debug for EspKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EspKey({} by {})", self.transform, self.backend())
    }
}

/// Chooses who does GCM: the burst kernel, else ring, else RustCrypto.
fn gcm_engine(key_and_salt: &[u8], icv: u8, backend: Backend) -> Result<Engine, EspError> {
    if icv == 16 && backend != Backend::Portable {
        if matches!(backend, Backend::Auto | Backend::Batch)
            && let Some(batch) = BatchGcm::new(key_and_salt)
        {
            return Ok(Engine::Batch(batch));
        }
        if let Some(ring) = RingGcm::new(key_and_salt) {
            return Ok(Engine::Ring(ring));
        }
    }
    Gcm::new(key_and_salt, false).map(Engine::Gcm)
}

const fn check_key(key: &[u8], need: usize) -> Result<(), EspError> {
    if key.len() == need { Ok(()) } else { Err(EspError::KeyLength { need, have: key.len() }) }
}
