//! KEKs, signature keys and key hierarchies: those of the caller and those that messages deliver.

use std::collections::BTreeMap;

use hallmark_crypto::gdoi::{kek_key_len, kek_key_split, lkh_unwrap, lkh_wrapped_len};
use hallmark_crypto::{CipherAlg, HashAlg, Secret};
use hallmark_wire::gdoi::{
    GdoiSa, KeyDownload, KeyPacket, LkhDownload, LkhKey, LkhUpdate, SaKek, kd_type, kek_attr, kek_key, lkh_key,
};

use crate::secrets::{KekSecret, Secrets};

/// Copies of one KEK that are kept: a repeated download is the same key, or differs in parity bits.
const COPIES: usize = 8;

/// Holds one KEK.
#[derive(Clone)]
pub(crate) struct Kek {
    pub(crate) cipher: CipherAlg,
    pub(crate) iv: Vec<u8>,
    pub(crate) key: Secret,
    pub(crate) sig_hash: Option<HashAlg>,
    /// DER SubjectPublicKeyInfo.
    pub(crate) public_key: Option<Vec<u8>>,
    /// Where it comes from, for people.
    pub(crate) origin: String,
}

/// Holds every KEK by its SPI.
#[derive(Default)]
pub(crate) struct Keyring {
    keks: BTreeMap<[u8; 16], Vec<Kek>>,
    public_keys: Vec<Vec<u8>>,
    /// IV and key of each node of a key hierarchy, by node and handle.
    nodes: BTreeMap<(u16, u32), Vec<u8>>,
    /// IV and key of each member's leaf.
    leaves: Vec<Vec<u8>>,
}

impl Keyring {
    /// Begins with the keys that the caller brings.
    pub(crate) fn new(secrets: &Secrets) -> Self {
        let mut ring = Self::default();
        for secret in &secrets.keks {
            if let Some(kek) = of_secret(secret) {
                ring.add(secret.spi, kek);
            }
        }
        ring
    }

    /// Gives the keys that may stand behind an SPI, the latest first.
    pub(crate) fn keks(&self, spi: [u8; 16]) -> Vec<Kek> {
        self.keks.get(&spi).map(|copies| copies.iter().rev().cloned().collect()).unwrap_or_default()
    }

    /// Gives every signature key, the latest first.
    pub(crate) fn public_keys(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.public_keys.iter().rev()
    }

    /// Gives the leaf keys of members without their IVs.
    pub(crate) fn leaf_keys(&self, cipher: CipherAlg) -> Vec<Secret> {
        self.leaves.iter().filter_map(|leaf| Some(kek_key_split(cipher, leaf).ok()?.1)).collect()
    }

    /// Takes the KEK of a message; gives its SPI when there was one.
    pub(crate) fn learn(&mut self, sa: &GdoiSa, download: &KeyDownload, origin: &str) -> Option<[u8; 16]> {
        let sak = sa.kek()?;
        let cipher = kek_cipher(sak)?;
        let packet = download.find(kd_type::KEK);
        let hierarchy = download.find(kd_type::LKH);
        let public_key = packet.and_then(|packet| packet.attributes.octets(kek_key::SIGNATURE));
        let public_key = public_key.or_else(|| hierarchy?.attributes.octets(lkh_key::SIGNATURE)).map(<[u8]>::to_vec);
        let from_packet = packet.and_then(|packet| packet.attributes.octets(kek_key::ALGORITHM)).map(<[u8]>::to_vec);
        let root = hierarchy.and_then(|hierarchy| self.learn_hierarchy(hierarchy, cipher));
        let (iv, key) = kek_key_split(cipher, &from_packet.or(root)?).ok()?;
        let sig_hash = sak.attributes.uint(kek_attr::SIG_HASH).and_then(|value| u16::try_from(value).ok());
        let sig_hash = sig_hash.and_then(HashAlg::from_sig_hash);
        self.add(sak.spi, Kek { cipher, iv, key, sig_hash, public_key, origin: origin.to_owned() });
        Some(sak.spi)
    }

    /// Takes the keys of a hierarchy; gives IV and key of its root, as far as it opens.
    fn learn_hierarchy(&mut self, packet: &KeyPacket, cipher: CipherAlg) -> Option<Vec<u8>> {
        let mut root = None;
        for attribute in packet.attributes.all(lkh_key::DOWNLOAD) {
            let Some(Ok(array)) = attribute.octets().map(|octets| LkhDownload::decode(octets, kek_key_len(cipher)))
            else {
                continue;
            };
            self.leaves.extend(array.keys.first().map(|leaf| leaf.data.clone()));
            root = array.keys.last().map(|key| key.data.clone()).or(root);
            for key in array.keys {
                self.nodes.insert((key.id, key.handle), key.data);
            }
        }
        for attribute in packet.attributes.all(lkh_key::UPDATE) {
            let Some(Ok(array)) = attribute.octets().map(|octets| LkhUpdate::decode(octets, lkh_wrapped_len(cipher)))
            else {
                continue;
            };
            root = self.unwrap(&array, cipher).or(root);
        }
        root
    }

    fn unwrap(&mut self, array: &LkhUpdate, cipher: CipherAlg) -> Option<Vec<u8>> {
        let mut wrapper = self.nodes.get(&(array.wrapper_id, array.wrapper_handle))?.clone();
        for LkhKey { id, handle, data, .. } in &array.keys {
            wrapper = lkh_unwrap(cipher, &wrapper, data).ok()?;
            self.nodes.insert((*id, *handle), wrapper.clone());
        }
        Some(wrapper)
    }

    fn add(&mut self, spi: [u8; 16], mut kek: Kek) {
        if let Some(public_key) = &kek.public_key {
            self.public_keys.retain(|known| known != public_key);
            self.public_keys.push(public_key.clone());
        }
        let copies = self.keks.entry(spi).or_default();
        if let Some(at) = copies.iter().position(|known| known.key == kek.key && known.iv == kek.iv) {
            let known = copies.remove(at);
            kek.public_key = kek.public_key.or(known.public_key);
            kek.sig_hash = kek.sig_hash.or(known.sig_hash);
            kek.origin = known.origin;
        }
        if copies.len() < COPIES {
            copies.push(kek);
        }
    }
}

/// Gives the cipher that a SAK names.
pub(crate) fn kek_cipher(sak: &SaKek) -> Option<CipherAlg> {
    let number = |class| sak.attributes.uint(class).and_then(|value| u16::try_from(value).ok());
    CipherAlg::from_kek(number(kek_attr::ALGORITHM)?, number(kek_attr::KEY_LENGTH))
}

fn of_secret(secret: &KekSecret) -> Option<Kek> {
    let cipher = match (secret.cipher.as_str(), secret.key.len()) {
        ("DES", 8) => CipherAlg::Des,
        ("3DES", 24) => CipherAlg::TripleDes,
        ("AES", 16) => CipherAlg::Aes128,
        ("AES", 24) => CipherAlg::Aes192,
        ("AES", 32) => CipherAlg::Aes256,
        _ => return None,
    };
    Some(Kek {
        cipher,
        iv: secret.iv.clone(),
        key: Secret::from(secret.key.as_slice()),
        sig_hash: HashAlg::from_sig_hash(secret.sig_hash),
        public_key: (!secret.public_key.is_empty()).then(|| secret.public_key.clone()),
        origin: "the secrets".to_owned(),
    })
}
