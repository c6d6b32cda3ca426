//! AES-GCM and AES-GMAC over RustCrypto's AES and GHASH, for every key and ICV length.

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::consts::U16;
use cbc::cipher::{BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipher};
use ctr::{Ctr32BE, CtrCore};
use ghash::universal_hash::UniversalHash;
use ghash::{Block, GHash};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::EspError;
use super::transform::{FIXED_HEADER_LEN, SALT_LEN};

/// The explicit IV of both modes.
const IV_LEN: usize = 8;
const HEADER_LEN: usize = FIXED_HEADER_LEN + IV_LEN;

/// Holds key schedule, hash key and salt of one SA.
pub(super) struct Gcm {
    aes: Aes,
    ghash: GHash,
    salt: [u8; SALT_LEN],
    /// GMAC: everything is authenticated, nothing is encrypted.
    clear: bool,
}

enum Aes {
    Aes128(Aes128),
    Aes192(Aes192),
    Aes256(Aes256),
}

impl Drop for Gcm {
    fn drop(&mut self) {
        // AES and GHASH wipe themselves.
        self.salt.zeroize();
    }
}

impl Gcm {
    /// Takes a key with the salt behind it, as key servers send it (RFC 4106 section 8.1).
    pub(super) fn new(key_and_salt: &[u8], clear: bool) -> Result<Self, EspError> {
        // REQ ESP-019
        let Some((key, salt)) = key_and_salt.split_last_chunk::<SALT_LEN>() else { return Err(EspError::Unsupported) };
        let wrong = |_| EspError::Unsupported;
        let aes = match key.len() {
            16 => Aes::Aes128(Aes128::new_from_slice(key).map_err(wrong)?),
            24 => Aes::Aes192(Aes192::new_from_slice(key).map_err(wrong)?),
            32 => Aes::Aes256(Aes256::new_from_slice(key).map_err(wrong)?),
            _ => return Err(EspError::Unsupported),
        };
        let mut hash_key = Block::default();
        match &aes {
            Aes::Aes128(aes) => aes.encrypt_block(&mut hash_key),
            Aes::Aes192(aes) => aes.encrypt_block(&mut hash_key),
            Aes::Aes256(aes) => aes.encrypt_block(&mut hash_key),
        }
        let ghash = GHash::new(&hash_key);
        hash_key.as_mut_slice().zeroize();
        Ok(Self { aes, ghash, salt: *salt, clear })
    }

    /// Encrypts in place and writes the ICV; `packet` is SPI to Next Header.
    pub(super) fn seal(&self, packet: &mut [u8], esn_high: Option<u32>, icv: &mut [u8]) {
        match &self.aes {
            Aes::Aes128(aes) => self.seal_with(aes, packet, esn_high, icv),
            Aes::Aes192(aes) => self.seal_with(aes, packet, esn_high, icv),
            Aes::Aes256(aes) => self.seal_with(aes, packet, esn_high, icv),
        }
    }

    /// Verifies the ICV and only then decrypts in place; `packet` is SPI to Next Header.
    pub(super) fn open(&self, packet: &mut [u8], esn_high: Option<u32>, icv: &[u8]) -> bool {
        match &self.aes {
            Aes::Aes128(aes) => self.open_with(aes, packet, esn_high, icv),
            Aes::Aes192(aes) => self.open_with(aes, packet, esn_high, icv),
            Aes::Aes256(aes) => self.open_with(aes, packet, esn_high, icv),
        }
    }

    fn seal_with<C>(&self, aes: &C, packet: &mut [u8], esn_high: Option<u32>, icv: &mut [u8])
    where
        C: BlockCipherEncrypt<BlockSize = U16>,
    {
        let Some((header, body)) = packet.split_first_chunk_mut() else { return };
        let (mut stream, mut mask) = self.start(aes, header);
        if !self.clear {
            stream.apply_keystream(body);
        }
        let tag = self.tag(header, body, esn_high, &mask);
        for (octet, value) in icv.iter_mut().zip(tag) {
            *octet = value;
        }
        mask.zeroize();
    }

    fn open_with<C>(&self, aes: &C, packet: &mut [u8], esn_high: Option<u32>, icv: &[u8]) -> bool
    where
        C: BlockCipherEncrypt<BlockSize = U16>,
    {
        let Some((header, body)) = packet.split_first_chunk_mut() else { return false };
        let (mut stream, mut mask) = self.start(aes, header);
        let mut tag = self.tag(header, body, esn_high, &mask);
        // REQ ESP-030
        let genuine = tag.get(..icv.len()).is_some_and(|left| left.ct_eq(icv).into());
        if genuine && !self.clear {
            stream.apply_keystream(body);
        }
        mask.zeroize();
        // The right ICV of a forged packet is as good as a key to whoever can read it.
        tag.zeroize();
        genuine
    }

    /// Sets the counter up: its first block hides the tag, the blocks after it the data.
    fn start<'c, C>(&self, aes: &'c C, header: &[u8; HEADER_LEN]) -> (Ctr32BE<&'c C>, [u8; 16])
    where
        C: BlockCipherEncrypt<BlockSize = U16>,
    {
        let [.., i0, i1, i2, i3, i4, i5, i6, i7] = *header;
        let [s0, s1, s2, s3] = self.salt;
        let first = [s0, s1, s2, s3, i0, i1, i2, i3, i4, i5, i6, i7, 0, 0, 0, 1];
        let mut stream = Ctr32BE::from_core(CtrCore::inner_iv_init(aes, &first.into()));
        let mut mask = [0; 16];
        stream.apply_keystream(&mut mask);
        (stream, mask)
    }

    fn tag(&self, header: &[u8; HEADER_LEN], body: &[u8], esn_high: Option<u32>, mask: &[u8; 16]) -> [u8; 16] {
        let mut ghash = self.ghash.clone();
        // REQ ESP-017 REQ ESP-018
        let mut start = [0; HEADER_LEN + 4];
        let mut aad_len = fill(&mut start, header, esn_high);
        let mut text_len = body.len();
        if self.clear {
            // REQ ESP-021: the IV is part of what is authenticated, and so is the whole payload.
            aad_len += IV_LEN;
            let (first, rest) = start.split_at(16);
            ghash.update_padded(first);
            // With an ESN four octets of the IV are left over; they and the payload are one string.
            let left = rest.get(..aad_len - 16).unwrap_or_default();
            if left.is_empty() {
                ghash.update_padded(body);
            } else {
                let mut joint = [0; 16];
                let (head, tail) = joint.split_at_mut(left.len());
                head.copy_from_slice(left);
                let (begin, end) = body.split_at(tail.len().min(body.len()));
                for (octet, value) in tail.iter_mut().zip(begin) {
                    *octet = *value;
                }
                ghash.update_padded(&joint);
                ghash.update_padded(end);
            }
            aad_len += body.len();
            text_len = 0;
        } else {
            ghash.update_padded(start.get(..aad_len).unwrap_or_default());
            ghash.update_padded(body);
        }
        ghash.update(&[lengths(aad_len, text_len)]);
        let mut tag: [u8; 16] = ghash.finalize().into();
        for (octet, value) in tag.iter_mut().zip(mask) {
            *octet ^= value;
        }
        tag
    }
}

/// Writes SPI, the high half of an ESN, the sequence number and the IV one behind the other; gives the octets in
/// front of the IV.
fn fill(start: &mut [u8; HEADER_LEN + 4], header: &[u8; HEADER_LEN], esn_high: Option<u32>) -> usize {
    let (spi, rest) = header.split_at(4);
    let high = esn_high.map(u32::to_be_bytes);
    let parts = spi.iter().chain(high.iter().flatten()).chain(rest);
    for (octet, value) in start.iter_mut().zip(parts) {
        *octet = *value;
    }
    if high.is_some() { 12 } else { 8 }
}

/// The last block of GHASH: both lengths in bits.
fn lengths(aad_len: usize, text_len: usize) -> Block {
    let bits = |len: usize| u128::try_from(len).unwrap_or(u128::MAX) * 8;
    ((bits(aad_len) << 64) | bits(text_len)).to_be_bytes().into()
}
