//! AES-GCM with an ICV of 16 octets by ring.

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroize;

use super::transform::{FIXED_HEADER_LEN, SALT_LEN};

/// SPI, sequence number and IV.
const HEADER_LEN: usize = FIXED_HEADER_LEN + 8;
/// The only ICV that ring knows.
const ICV_LEN: usize = 16;

/// Holds a key of ring and the salt beside it.
///
/// ring does not wipe its key schedule when it is dropped.
pub(super) struct RingGcm {
    key: LessSafeKey,
    salt: [u8; SALT_LEN],
}

impl Drop for RingGcm {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

impl RingGcm {
    /// Takes a key with the salt behind it; `None` for a key length that ring does not know.
    pub(super) fn new(key_and_salt: &[u8]) -> Option<Self> {
        let (key, salt) = key_and_salt.split_last_chunk::<SALT_LEN>()?;
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            32 => &AES_256_GCM,
            _ => return None,
        };
        Some(Self { key: LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?), salt: *salt })
    }

    /// Encrypts in place and writes the ICV; `packet` is SPI to ICV. What is no packet is filled with zeros.
    #[inline(always)]
    pub(super) fn seal(&self, packet: &mut [u8], esn_high: Option<u32>) {
        if packet.len() < HEADER_LEN + ICV_LEN {
            return packet.fill(0);
        }
        let Some((header, rest)) = packet.split_first_chunk_mut::<HEADER_LEN>() else { return };
        let Some((body, icv)) = rest.split_last_chunk_mut::<ICV_LEN>() else { return };
        let mut room = [0; 12];
        let aad = Aad::from(aad(&mut room, header, esn_high));
        match self.key.seal_in_place_separate_tag(self.nonce(header), aad, body) {
            Ok(tag) => icv.copy_from_slice(tag.as_ref()),
            // ring refuses only what no IP packet can hold; such a thing must not leave in clear.
            Err(_) => body.fill(0),
        }
    }

    /// Verifies and decrypts in place; `packet` is SPI to ICV.
    #[inline(always)]
    pub(super) fn open(&self, packet: &mut [u8], esn_high: Option<u32>) -> bool {
        let Some((header, rest)) = packet.split_first_chunk_mut() else { return false };
        let mut room = [0; 12];
        let aad = Aad::from(aad(&mut room, header, esn_high));
        self.key.open_in_place(self.nonce(header), aad, rest).is_ok()
    }

    #[inline(always)]
    fn nonce(&self, header: &[u8; HEADER_LEN]) -> Nonce {
        let [.., i0, i1, i2, i3, i4, i5, i6, i7] = *header;
        let [s0, s1, s2, s3] = self.salt;
        Nonce::assume_unique_for_key([s0, s1, s2, s3, i0, i1, i2, i3, i4, i5, i6, i7])
    }
}

/// Writes SPI and sequence number, with the high half of an ESN between them, and gives them.
#[inline(always)]
fn aad<'a>(room: &'a mut [u8; 12], header: &'a [u8; HEADER_LEN], esn_high: Option<u32>) -> &'a [u8] {
    let (fixed, _) = header.split_at(FIXED_HEADER_LEN);
    let Some(high) = esn_high else { return fixed };
    let (spi, sequence) = fixed.split_at(4);
    for (octet, value) in room.iter_mut().zip(spi.iter().chain(&high.to_be_bytes()).chain(sequence)) {
        *octet = *value;
    }
    room
}
