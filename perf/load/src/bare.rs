//! The cipher alone, straight from its library: what the pipeline is compared with.

use anyhow::Context;
use hallmark_crypto::esp::{Backend, Cipher, EspKey, Job, Transform};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Octets of SPI, sequence number and IV.
const HEADER: usize = 16;
/// Octets of the ICV.
const ICV: usize = 16;
/// The salt behind a key of AES-GCM.
const SALT: usize = 4;

/// A key of one library.
pub(crate) enum Bare {
    /// ring itself, nothing of ours around it.
    Ring(Box<LessSafeKey>, [u8; SALT]),
    /// The burst kernel itself.
    Kernel(hallmark_simd::gcm::Key),
    /// Ciphers that no library has as one call: what `hallmark-crypto` makes of them.
    Made(EspKey),
}

impl Bare {
    /// Takes the keys of an SA for the library that a backend stands for.
    pub(crate) fn new(
        transform: Transform,
        encryption_key: &[u8],
        integrity_key: &[u8],
        backend: Backend,
    ) -> anyhow::Result<Self> {
        let made = EspKey::new(transform, encryption_key, integrity_key, backend)?;
        let Cipher::AesGcm { bits, icv: 16 } = transform.cipher else { return Ok(Self::Made(made)) };
        let (key, salt) = encryption_key.split_last_chunk::<SALT>().context("no salt")?;
        Ok(match made.backend() {
            Backend::Ring => {
                let algorithm = if bits == 128 { &AES_128_GCM } else { &AES_256_GCM };
                let key = UnboundKey::new(algorithm, key).ok().context("ring refuses the key")?;
                Self::Ring(Box::new(LessSafeKey::new(key)), *salt)
            }
            Backend::Batch => {
                Self::Kernel(hallmark_simd::gcm::Key::new(key, *salt).context("the kernel refuses the key")?)
            }
            _ => Self::Made(made),
        })
    }

    /// Seals packets, SPI to ICV, in place; tells how many of them failed.
    pub(crate) fn seal(&self, packets: &mut [&mut [u8]]) -> usize {
        match self {
            Self::Ring(key, salt) => packets.iter_mut().filter_map(|packet| failed(seal(key, *salt, packet))).count(),
            Self::Kernel(key) => {
                key.seal(packets);
                0
            }
            Self::Made(key) => {
                let mut jobs = jobs(packets);
                key.seal_batch(&mut jobs);
                jobs.iter().filter(|job| !job.ok).count()
            }
        }
    }

    /// Opens packets, SPI to ICV, in place; tells how many of them failed.
    pub(crate) fn open(&self, packets: &mut [&mut [u8]]) -> usize {
        match self {
            Self::Ring(key, salt) => packets.iter_mut().filter_map(|packet| failed(open(key, *salt, packet))).count(),
            Self::Kernel(key) => {
                let mut genuine = [false; hallmark_datapath::BATCH];
                let genuine = &mut genuine[..packets.len()];
                key.open(packets, genuine);
                genuine.iter().filter(|genuine| !**genuine).count()
            }
            Self::Made(key) => {
                let mut jobs = jobs(packets);
                key.open_batch(&mut jobs);
                jobs.iter().filter(|job| !job.ok).count()
            }
        }
    }
}

fn jobs<'a>(packets: &'a mut [&mut [u8]]) -> Vec<Job<'a>> {
    packets.iter_mut().map(|esp| Job { esp, esn_high: None, ok: false }).collect()
}

fn failed(done: Option<()>) -> Option<()> {
    if done.is_none() { Some(()) } else { None }
}

#[inline]
fn seal(key: &LessSafeKey, salt: [u8; SALT], packet: &mut [u8]) -> Option<()> {
    let (header, rest) = packet.split_first_chunk_mut::<HEADER>()?;
    let (text, icv) = rest.split_last_chunk_mut::<ICV>()?;
    let tag = key.seal_in_place_separate_tag(nonce(salt, header), Aad::from(&header[..8]), text).ok()?;
    icv.copy_from_slice(tag.as_ref());
    Some(())
}

#[inline]
fn open(key: &LessSafeKey, salt: [u8; SALT], packet: &mut [u8]) -> Option<()> {
    let (header, rest) = packet.split_first_chunk_mut::<HEADER>()?;
    key.open_in_place(nonce(salt, header), Aad::from(&header[..8]), rest).ok().map(|_| ())
}

#[inline]
fn nonce(salt: [u8; SALT], header: &[u8; HEADER]) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..SALT].copy_from_slice(&salt);
    nonce[SALT..].copy_from_slice(&header[8..]);
    Nonce::assume_unique_for_key(nonce)
}
