//! AES-GCM with an ICV of 16 octets by the burst kernel of `hallmark-simd`, with ring for what the kernel leaves out.

use arrayvec::ArrayVec;

use super::Job;
use super::fast::RingGcm;
use super::transform::SALT_LEN;

/// Packets that go into the kernel in one call.
const BURST: usize = 64;
/// The longest packet that the kernel takes.
const MAX_LEN: usize = hallmark_simd::gcm::OVERHEAD + hallmark_simd::gcm::MAX_TEXT;

/// Holds a key of the kernel, and the same key of ring for packets with an extended sequence number.
pub(super) struct BatchGcm {
    kernel: hallmark_simd::gcm::Key,
    ring: RingGcm,
}

impl BatchGcm {
    /// Takes a key with the salt behind it; `None` for AES-192 and on processors without the instructions.
    pub(super) fn new(key_and_salt: &[u8]) -> Option<Self> {
        let (key, salt) = key_and_salt.split_last_chunk::<SALT_LEN>()?;
        let ring = RingGcm::new(key_and_salt)?;
        Some(Self { kernel: hallmark_simd::gcm::Key::new(key, *salt)?, ring })
    }

    /// Encrypts in place and writes the ICV; `packet` is SPI to ICV.
    pub(super) fn seal(&self, packet: &mut [u8], esn_high: Option<u32>) {
        if fits(packet, esn_high) {
            self.kernel.seal(&mut [packet]);
        } else {
            self.ring.seal(packet, esn_high);
        }
    }

    /// Verifies and decrypts in place; `packet` is SPI to ICV.
    pub(super) fn open(&self, packet: &mut [u8], esn_high: Option<u32>) -> bool {
        if !fits(packet, esn_high) {
            return self.ring.open(packet, esn_high);
        }
        let mut genuine = [false];
        self.kernel.open(&mut [packet], &mut genuine);
        genuine == [true]
    }

    /// Seals packets without extended sequence numbers; what is no packet is filled with zeros.
    pub(super) fn seal_burst(&self, packets: &mut [&mut [u8]]) {
        self.kernel.seal(packets);
    }

    /// Opens packets without extended sequence numbers; what is no packet is refused.
    pub(super) fn open_burst(&self, packets: &mut [&mut [u8]], ok: &mut [bool]) {
        self.kernel.open(packets, ok);
    }

    /// Seals every job whose `ok` is set.
    pub(super) fn seal_batch(&self, jobs: &mut [Job<'_>]) {
        for chunk in jobs.chunks_mut(BURST) {
            let mut burst = ArrayVec::<&mut [u8], BURST>::new();
            for job in chunk.iter_mut().filter(|job| job.ok) {
                if fits(job.esp, job.esn_high) {
                    burst.push(job.esp);
                } else {
                    self.ring.seal(job.esp, job.esn_high);
                }
            }
            self.kernel.seal(&mut burst);
        }
    }

    /// Opens every job whose `ok` is set, and takes it back from those that are forged.
    pub(super) fn open_batch(&self, jobs: &mut [Job<'_>]) {
        for chunk in jobs.chunks_mut(BURST) {
            let mut burst = ArrayVec::<&mut [u8], BURST>::new();
            let mut flags = ArrayVec::<&mut bool, BURST>::new();
            for Job { esp, esn_high, ok } in chunk.iter_mut().filter(|job| job.ok) {
                if fits(esp, *esn_high) {
                    burst.push(esp);
                    flags.push(ok);
                } else {
                    *ok = self.ring.open(esp, *esn_high);
                }
            }
            let mut genuine = [false; BURST];
            if let Some(genuine) = genuine.get_mut(..burst.len()) {
                self.kernel.open(&mut burst, genuine);
            }
            for (flag, genuine) in flags.into_iter().zip(genuine) {
                *flag = genuine;
            }
        }
    }
}

/// Tells whether the kernel takes the packet: it knows no extended sequence numbers.
const fn fits(packet: &[u8], esn_high: Option<u32>) -> bool {
    esn_high.is_none() && packet.len() <= MAX_LEN
}
