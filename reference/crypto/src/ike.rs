//! The key schedule and the hashes of IKEv1 (RFC 2409 section 5 and appendix B, RFC 3947).
//!
//! `_b` in a name means the payload body: the payload without its 4-octet generic header. Diffie-Hellman values have
//! the full width of their group, and both roles pass every pair in the order initiator, responder.

use std::net::{IpAddr, SocketAddr};

use crate::cipher::{CipherAlg, cbc_decrypt, cbc_encrypt, pad_zero};
use crate::error::CryptoError;
use crate::hash::{HashAlg, hash, prf};
use crate::secret::Secret;

/// Computes SKEYID for pre-shared keys: prf(psk, Ni_b | Nr_b).
#[must_use]
pub fn skeyid_psk(alg: HashAlg, psk: &[u8], ni_b: &[u8], nr_b: &[u8]) -> Secret {
    // REQ IKE-KEY-001
    Secret::new(prf(alg, psk, &[ni_b, nr_b]))
}

/// Computes SKEYID for signatures: prf(Ni_b | Nr_b, g^xy).
#[must_use]
pub fn skeyid_sig(alg: HashAlg, ni_b: &[u8], nr_b: &[u8], g_xy: &[u8]) -> Secret {
    // REQ IKE-KEY-002
    let key = Secret::new([ni_b, nr_b].concat());
    Secret::new(prf(alg, key.expose(), &[g_xy]))
}

/// Holds SKEYID and the three keys that follow from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkeyIds {
    /// SKEYID keys HASH_I and HASH_R.
    pub skeyid: Secret,
    /// SKEYID_d would seed the keys of other SAs; GDOI downloads its keys instead.
    pub d: Secret,
    /// SKEYID_a keys HASH(n) of every later exchange.
    pub a: Secret,
    /// SKEYID_e is the source of the cipher key.
    pub e: Secret,
}

/// Derives SKEYID_d, SKEYID_a and SKEYID_e.
#[must_use]
pub fn skeyids(alg: HashAlg, skeyid: Secret, g_xy: &[u8], cky_i: &[u8; 8], cky_r: &[u8; 8]) -> SkeyIds {
    // REQ IKE-KEY-003
    let key = skeyid.expose();
    let d = Secret::new(prf(alg, key, &[g_xy, cky_i, cky_r, &[0]]));
    let a = Secret::new(prf(alg, key, &[d.expose(), g_xy, cky_i, cky_r, &[1]]));
    let e = Secret::new(prf(alg, key, &[a.expose(), g_xy, cky_i, cky_r, &[2]]));
    SkeyIds { skeyid, d, a, e }
}

/// Derives the cipher key from SKEYID_e, expanding it when the prf gives fewer octets than the cipher needs.
#[must_use]
pub fn cipher_key(alg: HashAlg, cipher: CipherAlg, skeyid_e: &[u8]) -> Secret {
    let need = cipher.key_len();
    if cipher == CipherAlg::Des {
        // The first 8 octets that are no weak DES key, looking at whole groups of 8.
        let strong = skeyid_e.chunks_exact(8).find(|key| !is_weak_des_key(key)).unwrap_or(skeyid_e);
        return Secret::new(strong.iter().copied().take(need).collect());
    }
    // REQ IKE-KEY-005
    if skeyid_e.len() >= need {
        return Secret::new(skeyid_e.iter().copied().take(need).collect());
    }
    // REQ IKE-KEY-006: K1 = prf(SKEYID_e, 0), Kn = prf(SKEYID_e, Kn-1); SKEYID_e itself is not part of the key.
    let mut block = Secret::new(prf(alg, skeyid_e, &[&[0]]));
    let mut key = Vec::with_capacity(need + block.len());
    key.extend_from_slice(block.expose());
    while key.len() < need && !block.is_empty() {
        block = Secret::new(prf(alg, skeyid_e, &[block.expose()]));
        key.extend_from_slice(block.expose());
    }
    key.truncate(need);
    Secret::new(key)
}

/// Computes the IV of the first encrypted phase 1 message: the first block of hash(g^xi | g^xr).
#[must_use]
pub fn phase1_iv(alg: HashAlg, cipher: CipherAlg, g_xi: &[u8], g_xr: &[u8]) -> Vec<u8> {
    // REQ IKE-KEY-007: the plain hash, not the prf.
    first_block(cipher, hash(alg, &[g_xi, g_xr]))
}

/// Computes the IV of the first message of a later exchange: the first block of hash(LAST | M-ID).
#[must_use]
pub fn exchange_iv(alg: HashAlg, cipher: CipherAlg, last_block: &[u8], message_id: u32) -> Vec<u8> {
    // REQ IKE-KEY-009
    first_block(cipher, hash(alg, &[last_block, &message_id.to_be_bytes()]))
}

/// Computes HASH_I. `sa_i_b` is the initiator's SA body octet for octet as it was in message 1.
#[must_use]
#[expect(clippy::too_many_arguments, reason = "the formula has that many inputs, and each is one octet string")]
pub fn hash_i(
    alg: HashAlg,
    skeyid: &[u8],
    g_xi: &[u8],
    g_xr: &[u8],
    cky_i: &[u8; 8],
    cky_r: &[u8; 8],
    sa_i_b: &[u8],
    id_i_b: &[u8],
) -> Vec<u8> {
    prf(alg, skeyid, &[g_xi, g_xr, cky_i, cky_r, sa_i_b, id_i_b])
}

/// Computes HASH_R. The arguments have the order of [`hash_i`]; the swap of the formula happens inside.
#[must_use]
#[expect(clippy::too_many_arguments, reason = "the formula has that many inputs, and each is one octet string")]
pub fn hash_r(
    alg: HashAlg,
    skeyid: &[u8],
    g_xi: &[u8],
    g_xr: &[u8],
    cky_i: &[u8; 8],
    cky_r: &[u8; 8],
    sa_i_b: &[u8],
    id_r_b: &[u8],
) -> Vec<u8> {
    // The initiator's SA in both hashes: the responder's choice is not covered.
    prf(alg, skeyid, &[g_xr, g_xi, cky_r, cky_i, sa_i_b, id_r_b])
}

/// Computes HASH(1) of a protected Informational: `rest` is every octet after the HASH payload, without padding.
#[must_use]
pub fn informational_hash(alg: HashAlg, skeyid_a: &[u8], message_id: u32, rest: &[u8]) -> Vec<u8> {
    prf(alg, skeyid_a, &[&message_id.to_be_bytes(), rest])
}

/// Computes the body of a NAT-D payload: hash(CKY-I | CKY-R | IP | port).
#[must_use]
pub fn nat_d(alg: HashAlg, cky_i: &[u8; 8], cky_r: &[u8; 8], addr: SocketAddr) -> Vec<u8> {
    let port = addr.port().to_be_bytes();
    match addr.ip() {
        IpAddr::V4(ip) => hash(alg, &[cky_i, cky_r, &ip.octets(), &port]),
        IpAddr::V6(ip) => hash(alg, &[cky_i, cky_r, &ip.octets(), &port]),
    }
}

/// Carries one CBC chain: phase 1, or one later exchange with its message id.
///
/// Sending advances the chain at once. Receiving does not: the caller advances it when the message has verified, so
/// that a forged or repeated message leaves the chain where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cbc {
    cipher: CipherAlg,
    key: Secret,
    iv: Vec<u8>,
}

impl Cbc {
    /// Starts a chain.
    ///
    /// # Errors
    /// Refuses a key or IV that does not have the length of the cipher.
    pub fn new(cipher: CipherAlg, key: Secret, iv: Vec<u8>) -> Result<Self, CryptoError> {
        if key.len() != cipher.key_len() {
            return Err(CryptoError::KeyLength { need: cipher.key_len(), have: key.len() });
        }
        if iv.len() != cipher.block_len() {
            return Err(CryptoError::IvLength { need: cipher.block_len(), have: iv.len() });
        }
        Ok(Self { cipher, key, iv })
    }

    /// Gives the cipher.
    #[must_use]
    pub const fn cipher(&self) -> CipherAlg {
        self.cipher
    }

    /// Gives the key.
    #[must_use]
    pub const fn key(&self) -> &Secret {
        &self.key
    }

    /// Gives the IV of the next message: after phase 1, this is LAST.
    #[must_use]
    pub fn iv(&self) -> &[u8] {
        &self.iv
    }

    /// Pads with zeros, encrypts, and moves the chain to the last block.
    #[must_use]
    pub fn encrypt(&mut self, plain: Vec<u8>) -> Vec<u8> {
        let mut data = plain;
        // REQ IKE-KEY-011
        pad_zero(&mut data, self.cipher.block_len());
        // `new` has established both lengths and the padding the third, so this cannot fail; should it ever, then
        // nothing in clear may leave.
        if cbc_encrypt(self.cipher, self.key.expose(), &self.iv, &mut data).is_err() {
            return Vec::new();
        }
        self.advance(&data);
        data
    }

    /// Decrypts with the IV of the next message and leaves the chain where it is.
    ///
    /// # Errors
    /// Refuses an empty ciphertext and one that is no multiple of the block.
    pub fn decrypt(&self, ciphertext: &[u8]) -> Result<Vec<u8>, CryptoError> {
        if ciphertext.is_empty() {
            return Err(CryptoError::BlockMultiple { len: 0, block: self.cipher.block_len() });
        }
        let mut data = ciphertext.to_vec();
        cbc_decrypt(self.cipher, self.key.expose(), &self.iv, &mut data)?;
        Ok(data)
    }

    /// Moves the chain to the last block of a message that has been accepted.
    pub fn advance(&mut self, ciphertext: &[u8]) {
        if let Some(last) = ciphertext.last_chunk::<16>().filter(|_| self.cipher.block_len() == 16) {
            self.iv = last.to_vec();
        } else if let Some(last) = ciphertext.last_chunk::<8>().filter(|_| self.cipher.block_len() == 8) {
            self.iv = last.to_vec();
        }
    }
}

fn first_block(cipher: CipherAlg, mut digest: Vec<u8>) -> Vec<u8> {
    digest.truncate(cipher.block_len());
    digest
}

/// Recognizes the weak and semi-weak DES keys of RFC 2409 appendix A, whatever their parity bits.
fn is_weak_des_key(key: &[u8]) -> bool {
    const WEAK: [u64; 20] = [
        0x0101_0101_0101_0101,
        0x1f1f_1f1f_e0e0_e0e0,
        0xe0e0_e0e0_1f1f_1f1f,
        0x1f1f_1f1f_0e0e_0e0e,
        0xe0e0_e0e0_f1f1_f1f1,
        0xfefe_fefe_fefe_fefe,
        0x01fe_01fe_01fe_01fe,
        0x1fe0_1fe0_0ef1_0ef1,
        0x1fe0_1fe0_1fe0_1fe0,
        0x01e0_01e0_01f1_01f1,
        0x1ffe_1ffe_0efe_0efe,
        0x011f_011f_010e_010e,
        0xe0fe_e0fe_f1fe_f1fe,
        0xfe01_fe01_fe01_fe01,
        0xe01f_e01f_f10e_f10e,
        0xe01f_e01f_e01f_e01f,
        0xe001_e001_f101_f101,
        0xfe1f_fe1f_fe0e_fe0e,
        0x1f01_1f01_0e01_0e01,
        0xfee0_fee0_fef1_fef1,
    ];
    const PARITY: u64 = 0x0101_0101_0101_0101;
    key.first_chunk::<8>().is_some_and(|key| {
        let key = u64::from_be_bytes(*key) | PARITY;
        WEAK.iter().any(|weak| weak | PARITY == key)
    })
}
