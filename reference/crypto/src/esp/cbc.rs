//! The block ciphers in CBC mode, one packet at a time or many side by side.

use std::slice::IterMut;

use aes::{Aes128, Aes192, Aes256, Block};
use arrayvec::ArrayVec;
use cbc::cipher::consts::U16;
use cbc::cipher::{
    Array, BlockCipherDecrypt, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockModeDecrypt,
    BlockModeEncrypt, BlockSizeUser, InnerIvInit, KeyInit,
};
use cbc::{Decryptor, Encryptor};
use des::{Des, TdesEde3};

use super::EspError;
use super::transform::Cipher;

/// Holds the key schedule of a block cipher.
pub(super) enum KeyedCipher {
    Null,
    Des(Des),
    TripleDes(TdesEde3),
    Aes128(Aes128),
    Aes192(Aes192),
    Aes256(Aes256),
}

impl KeyedCipher {
    /// Expands a key; the caller has checked its length, and that the cipher is one of these.
    pub(super) fn new(cipher: Cipher, key: &[u8]) -> Result<Self, EspError> {
        let wrong = |_| EspError::Unsupported;
        Ok(match cipher {
            Cipher::Null => Self::Null,
            Cipher::Des => Self::Des(Des::new_from_slice(key).map_err(wrong)?),
            Cipher::TripleDes => {
                refuse_single_des(key)?;
                Self::TripleDes(TdesEde3::new_from_slice(key).map_err(wrong)?)
            }
            Cipher::AesCbc(128) => Self::Aes128(Aes128::new_from_slice(key).map_err(wrong)?),
            Cipher::AesCbc(192) => Self::Aes192(Aes192::new_from_slice(key).map_err(wrong)?),
            Cipher::AesCbc(256) => Self::Aes256(Aes256::new_from_slice(key).map_err(wrong)?),
            Cipher::AesCbc(_) | Cipher::AesGcm { .. } | Cipher::AesGmac(_) => return Err(EspError::Unsupported),
        })
    }

    /// Encrypts whole blocks in place.
    pub(super) fn encrypt(&self, iv: &[u8], body: &mut [u8]) {
        match self {
            Self::Null => {}
            Self::Des(cipher) => encrypt_with(cipher, iv, body),
            Self::TripleDes(cipher) => encrypt_with(cipher, iv, body),
            Self::Aes128(cipher) => encrypt_with(cipher, iv, body),
            Self::Aes192(cipher) => encrypt_with(cipher, iv, body),
            Self::Aes256(cipher) => encrypt_with(cipher, iv, body),
        }
    }

    /// Encrypts many packets, AES with several of them side by side: the blocks of one packet wait for each other, the
    /// packets do not.
    pub(super) fn encrypt_many<'p>(&self, packets: impl Iterator<Item = (&'p [u8], &'p mut [u8])>) {
        match self {
            Self::Aes128(cipher) => cipher.encrypt_with_backend(SideBySide { packets }),
            Self::Aes192(cipher) => cipher.encrypt_with_backend(SideBySide { packets }),
            Self::Aes256(cipher) => cipher.encrypt_with_backend(SideBySide { packets }),
            Self::Null | Self::Des(_) | Self::TripleDes(_) => {
                for (iv, body) in packets {
                    self.encrypt(iv, body);
                }
            }
        }
    }

    /// Decrypts whole blocks in place. CBC decrypts its blocks side by side by nature.
    pub(super) fn decrypt(&self, iv: &[u8], body: &mut [u8]) {
        match self {
            Self::Null => {}
            Self::Des(cipher) => decrypt_with(cipher, iv, body),
            Self::TripleDes(cipher) => decrypt_with(cipher, iv, body),
            Self::Aes128(cipher) => decrypt_with(cipher, iv, body),
            Self::Aes192(cipher) => decrypt_with(cipher, iv, body),
            Self::Aes256(cipher) => decrypt_with(cipher, iv, body),
        }
    }
}

/// Refuses 3DES keys of which two neighbours are equal; the parity bits do not count (RFC 2451 section 2.3).
fn refuse_single_des(key: &[u8]) -> Result<(), EspError> {
    // REQ ESP-028
    let same = |a: &[u8], b: &[u8]| a.iter().zip(b).fold(0, |differ, (a, b)| differ | ((a ^ b) & 0xfe)) == 0;
    match key.as_chunks::<8>().0 {
        [first, second, third] if !same(first, second) && !same(second, third) => Ok(()),
        _ => Err(EspError::WeakKey),
    }
}

fn encrypt_with<C: BlockCipherEncrypt>(cipher: &C, iv: &[u8], body: &mut [u8]) {
    // The lengths follow from the transform, so the error cannot be met.
    let Ok(mut mode) = Encryptor::inner_iv_slice_init(cipher, iv) else { return };
    let (blocks, _) = Array::slice_as_chunks_mut(body);
    mode.encrypt_blocks(blocks);
}

fn decrypt_with<C: BlockCipherDecrypt>(cipher: &C, iv: &[u8], body: &mut [u8]) {
    let Ok(mut mode) = Decryptor::inner_iv_slice_init(cipher, iv) else { return };
    let (blocks, _) = Array::slice_as_chunks_mut(body);
    mode.decrypt_blocks(blocks);
}

/// Packets that are encrypted side by side: as many as the AES units of a core keep busy.
const LANES: usize = 16;

/// Encrypts packets, each given as IV and whole blocks, [`LANES`] at a time.
struct SideBySide<I> {
    packets: I,
}

/// One packet on its way: the last block of ciphertext and what is still to be encrypted.
struct Lane<'p> {
    chain: u128,
    rest: IterMut<'p, Block>,
}

impl<I> BlockSizeUser for SideBySide<I> {
    type BlockSize = U16;
}

impl<'p, I: Iterator<Item = (&'p [u8], &'p mut [u8])>> BlockCipherEncClosure for SideBySide<I> {
    // The closure has to become part of the caller, which has the AES instructions switched on.
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let mut packets = self.packets.filter_map(|(iv, body)| {
            let (blocks, _) = Array::slice_as_chunks_mut(body);
            Some(Lane { chain: u128::from_ne_bytes(iv.try_into().ok()?), rest: blocks.iter_mut() })
        });
        let mut lanes: ArrayVec<Lane<'p>, LANES> = packets.by_ref().take(LANES).collect();
        while let Some(steps) = lanes.iter().map(|lane| lane.rest.len()).min() {
            for _ in 0..steps {
                for lane in &mut lanes {
                    let Some(block) = lane.rest.next() else { continue };
                    let mut work = Block::from((u128::from_ne_bytes(block.0) ^ lane.chain).to_ne_bytes());
                    backend.encrypt_block_inplace(&mut work);
                    *block = work;
                    lane.chain = u128::from_ne_bytes(work.0);
                }
            }
            // A lane that is done takes the next packet; when there is none it is given up.
            lanes.retain(|lane| {
                if lane.rest.len() == 0
                    && let Some(next) = packets.next()
                {
                    *lane = next;
                    return true;
                }
                lane.rest.len() > 0
            });
        }
    }
}
