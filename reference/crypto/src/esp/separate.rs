//! A cipher and a MAC beside each other: every transform but the combined modes.
//!
//! Single packets go through RustCrypto. A burst goes through the kernels of `hallmark-simd`, which have many packets
//! under way at a time, where they know the cipher or the MAC and the processor has the instructions.

use arrayvec::ArrayVec;
use hallmark_simd::{cbc, hmac};

use super::cbc::KeyedCipher;
use super::mac::KeyedMac;
use super::transform::{Cipher, FIXED_HEADER_LEN, Mac, Transform};
use super::{Backend, EspError, GROUP, Job};

/// Holds the keys of both.
pub(super) struct Separate {
    cipher: KeyedCipher,
    mac: Option<KeyedMac>,
    /// The same keys in the kernels.
    cipher_lanes: Option<cbc::Key>,
    mac_lanes: Option<MacLanes>,
    iv_len: usize,
    icv_len: usize,
}

impl Separate {
    /// Expands keys whose lengths the caller has checked.
    pub(super) fn new(
        transform: Transform,
        encryption_key: &[u8],
        integrity_key: &[u8],
        backend: Backend,
    ) -> Result<Self, EspError> {
        let lanes = matches!(backend, Backend::Auto | Backend::Batch);
        let cipher_lanes = match transform.cipher {
            Cipher::AesCbc(_) if lanes => cbc::Key::new(encryption_key),
            _ => None,
        };
        Ok(Self {
            cipher: KeyedCipher::new(transform.cipher, encryption_key)?,
            mac: transform.mac.and_then(|mac| KeyedMac::new(mac, integrity_key)),
            cipher_lanes,
            mac_lanes: transform.mac.filter(|_| lanes).and_then(|mac| MacLanes::new(mac, integrity_key)),
            iv_len: transform.iv_len(),
            icv_len: transform.icv_len(),
        })
    }

    /// Tells whether a kernel does the cipher, the MAC or both.
    pub(super) const fn backend(&self) -> Backend {
        if self.cipher_lanes.is_some() || self.mac_lanes.is_some() { Backend::Batch } else { Backend::Portable }
    }

    /// Encrypts in place and writes the ICV; `esp` is SPI to ICV.
    pub(super) fn seal(&self, esp: &mut [u8], esn_high: Option<u32>) {
        let Some((packet, icv)) = self.split_icv(esp) else { return };
        let (iv, body) = self.split_iv(packet);
        self.cipher.encrypt(iv, body);
        if let Some(mac) = &self.mac {
            mac.write(packet, esn_high, icv);
        }
    }

    /// Verifies, and decrypts what is genuine; `esp` is SPI to ICV.
    pub(super) fn open(&self, esp: &mut [u8], esn_high: Option<u32>) -> bool {
        let Some((packet, icv)) = self.split_icv(esp) else { return false };
        // REQ ESP-030
        let genuine = self.mac.as_ref().is_none_or(|mac| mac.verify(packet, esn_high, icv));
        if genuine {
            let (iv, body) = self.split_iv(packet);
            self.cipher.decrypt(iv, body);
        }
        genuine
    }

    /// Seals every job whose `ok` is set.
    pub(super) fn seal_batch(&self, jobs: &mut [Job<'_>]) {
        for group in jobs.chunks_mut(GROUP) {
            self.encrypt_group(group);
            self.write_group(group);
        }
    }

    /// Opens every job whose `ok` is set, and takes it back from those that are forged.
    pub(super) fn open_batch(&self, jobs: &mut [Job<'_>]) {
        for group in jobs.chunks_mut(GROUP) {
            // REQ ESP-030
            self.verify_group(group);
            self.decrypt_group(group);
        }
    }

    fn encrypt_group(&self, group: &mut [Job<'_>]) {
        if let Some(lanes) = &self.cipher_lanes {
            return lanes.encrypt(&mut self.texts(group));
        }
        self.cipher.encrypt_many(group.iter_mut().filter(|job| job.ok).filter_map(|job| {
            let (packet, _) = self.split_icv(job.esp)?;
            Some(self.split_iv(packet))
        }));
    }

    fn decrypt_group(&self, group: &mut [Job<'_>]) {
        if let Some(lanes) = &self.cipher_lanes {
            return lanes.decrypt(&mut self.texts(group));
        }
        for job in group.iter_mut().filter(|job| job.ok) {
            if let Some((packet, _)) = self.split_icv(job.esp) {
                let (iv, body) = self.split_iv(packet);
                self.cipher.decrypt(iv, body);
            }
        }
    }

    fn write_group(&self, group: &mut [Job<'_>]) {
        let Some(mac) = &self.mac else { return };
        let alone = self.alone(group);
        let mut burst = ArrayVec::<hmac::Packet<'_>, GROUP>::new();
        for (index, job) in group.iter_mut().enumerate().filter(|(_, job)| job.ok) {
            if is_in(alone, index) {
                if let Some((packet, icv)) = self.split_icv(job.esp) {
                    mac.write(packet, job.esn_high, icv);
                }
            } else {
                burst.push(hmac::Packet { octets: job.esp, esn_high: job.esn_high });
            }
        }
        if let Some(lanes) = &self.mac_lanes {
            lanes.key.sign(&mut burst);
        }
    }

    fn verify_group(&self, group: &mut [Job<'_>]) {
        let Some(mac) = &self.mac else { return };
        let alone = self.alone(group);
        let mut burst = ArrayVec::<hmac::Packet<'_>, GROUP>::new();
        let mut flags = ArrayVec::<&mut bool, GROUP>::new();
        for (index, Job { esp, esn_high, ok }) in group.iter_mut().enumerate().filter(|(_, job)| job.ok) {
            if is_in(alone, index) {
                *ok = self.split_icv(esp).is_some_and(|(packet, icv)| mac.verify(packet, *esn_high, icv));
            } else {
                burst.push(hmac::Packet { octets: esp, esn_high: *esn_high });
                flags.push(ok);
            }
        }
        let mut genuine = [false; GROUP];
        if let (Some(lanes), Some(genuine)) = (&self.mac_lanes, genuine.get_mut(..burst.len())) {
            lanes.key.verify(&burst, genuine);
        }
        for (flag, genuine) in flags.into_iter().zip(genuine) {
            *flag = genuine;
        }
    }

    /// IV and blocks of every job whose `ok` is set, as the kernel wants them.
    fn texts<'p>(&self, group: &'p mut [Job<'_>]) -> ArrayVec<&'p mut [u8], GROUP> {
        let packets = group.iter_mut().filter(|job| job.ok).filter_map(|job| self.split_icv(job.esp));
        packets.filter_map(|(packet, _)| packet.get_mut(FIXED_HEADER_LEN..)).collect()
    }

    /// Which jobs of a group are authenticated one after the other: bit n stands for job n.
    fn alone(&self, group: &[Job<'_>]) -> u64 {
        self.mac_lanes.as_ref().map_or(u64::MAX, |lanes| lanes.alone(group))
    }

    /// Splits what is covered from its ICV.
    fn split_icv<'p>(&self, esp: &'p mut [u8]) -> Option<(&'p mut [u8], &'p mut [u8])> {
        let end = esp.len().checked_sub(self.icv_len)?;
        esp.split_at_mut_checked(end)
    }

    /// Splits a packet into its IV and what follows; the lengths have been checked.
    fn split_iv<'p>(&self, packet: &'p mut [u8]) -> (&'p [u8], &'p mut [u8]) {
        let (header, body) = packet.split_at_mut(FIXED_HEADER_LEN + self.iv_len);
        (header.get(FIXED_HEADER_LEN..).unwrap_or_default(), body)
    }
}

/// The kernel's key of a MAC, and when to use it.
struct MacLanes {
    key: hmac::Key,
    /// Packets of one length from which on lanes are faster than one packet after the other: the lanes take as long for
    /// one packet as for all.
    few: usize,
    /// Logarithm of the octets of a block of the hash: this is asked for each packet, so that nothing is divided.
    block_bits: u32,
}

impl MacLanes {
    /// Works a key in; `None` for MD5, and on processors without the instructions.
    fn new(mac: Mac, key: &[u8]) -> Option<Self> {
        // Measured against RustCrypto, which has instructions for SHA-1 and SHA-256.
        let (hash, few, block_bits) = match mac {
            Mac::HmacMd5 => return None,
            Mac::HmacSha1 => (hmac::Hash::Sha1, 4, 6),
            Mac::HmacSha256 => (hmac::Hash::Sha256, 7, 6),
            Mac::HmacSha384 => (hmac::Hash::Sha384, 2, 7),
            Mac::HmacSha512 => (hmac::Hash::Sha512, 2, 7),
        };
        Some(Self { key: hmac::Key::new(hash, key, mac.icv_len())?, few, block_bits })
    }

    /// Finds the packets that would have the lanes for themselves for most of their length: those with so many of the
    /// blocks that remain that they are sooner done alone.
    fn alone(&self, group: &[Job<'_>]) -> u64 {
        let blocks = |job: &Job<'_>| (job.esp.len() >> self.block_bits) + 2;
        let mut remain: usize = group.iter().filter(|job| job.ok).map(blocks).sum();
        let mut alone = 0;
        loop {
            let before = alone;
            for (index, job) in group.iter().enumerate().filter(|(_, job)| job.ok) {
                if blocks(job) * self.few > remain && !is_in(alone, index) {
                    alone |= 1 << index;
                    remain -= blocks(job);
                }
            }
            if alone == before {
                return alone;
            }
        }
    }
}

const fn is_in(set: u64, index: usize) -> bool {
    set >> index & 1 == 1
}
