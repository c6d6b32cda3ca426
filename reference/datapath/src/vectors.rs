//! Initialisation vectors of counter modes: counted for each key, whichever SA uses it (RFC 4106 §3.1, RFC 6054).
//!
//! A key server may hand one key out under several SPIs, or once more after its SA has ended. Each of these SAs numbers
//! its packets from 1, but the cipher sees one key, and a vector that repeats under it gives plaintexts and the
//! authentication away. So the count of the vectors and the sender ids that were in them belong to the key. They are
//! remembered for as long as the process lives, by a digest and not by the key. After a restart nothing is known of any
//! key; the member registers anew then and gets sender ids that no member has had under the keys of the group.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hallmark_crypto::esp::Cipher;
use hallmark_crypto::hash::{HashAlg, hash};

use crate::behaviour::{Behaviour, Defect};
use crate::policy::Sa;
use crate::sender::{SendCounter, SenderIds};

/// What has gone into the vectors of one key, for all SAs and workers that send with it.
#[derive(Debug, Default)]
pub(crate) struct Vectors {
    /// The number of the last vector, behind whichever sender id.
    pub(crate) counter: SendCounter,
    pub(crate) sender_ids: Mutex<SenderIds>,
}

/// Stands for a key. Half a digest is enough: keys that were mistaken for each other would share a count.
type KeyDigest = [u8; 16];

/// Remembers the vectors of every counter-mode key, at most so many; no key is ever forgotten.
///
/// When the room is full it stays so: the keys that come later share one count, in which no vector repeats either. They
/// only come to the end of a sender id sooner, all together.
#[derive(Debug)]
pub(crate) struct KeyMemory {
    known: BTreeMap<KeyDigest, Arc<Vectors>>,
    most: usize,
    later: Arc<Vectors>,
}

impl KeyMemory {
    /// Makes room for `most` keys.
    pub(crate) fn new(most: usize) -> Self {
        Self { known: BTreeMap::new(), most, later: Arc::default() }
    }

    /// Finds or begins the count of the key of an SA; nothing where vectors are no count.
    // REQ ESP-023 REQ ESP-068
    pub(crate) fn vectors(&mut self, sa: &Sa, behaviour: &Behaviour) -> Option<Arc<Vectors>> {
        if behaviour.has(Defect::IvForgottenWithTheSa) {
            self.known.retain(|_, vectors| Arc::strong_count(vectors) > 1);
        }
        let spi = if behaviour.has(Defect::IvRestartsWithNewSpi) { sa.spi.to_be_bytes() } else { [0; 4] };
        let digest = digest(counted_key(sa)?, spi);
        if let Some(known) = self.known.get(&digest) {
            return Some(Arc::clone(known));
        }
        if self.known.len() >= self.most {
            return Some(Arc::clone(&self.later));
        }
        Some(Arc::clone(self.known.entry(digest).or_default()))
    }

    /// Counts the keys that are remembered.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}

/// Octets of salt behind the key of a counter mode.
const SALT_LEN: usize = 4;

/// Gives the key that the vectors of an SA are counted for, as the cipher has it. The salt is left out: RFC 4106 asks for
/// different vectors under one key, whatever is in front of them. Nothing for ciphers whose vectors are random.
fn counted_key(sa: &Sa) -> Option<&[u8]> {
    if !sa.transform.is_counter_mode() {
        return None;
    }
    // As `EspKey::new` takes it. GCM and GMAC with one key are one cipher, and so are ICVs of different lengths.
    let keying = match sa.transform.cipher {
        Cipher::AesGmac(_) if !sa.integrity_key.is_empty() => sa.integrity_key.expose(),
        _ => sa.encryption_key.expose(),
    };
    keying.get(..keying.len().checked_sub(SALT_LEN)?)
}

fn digest(key: &[u8], spi: [u8; 4]) -> KeyDigest {
    let digest = hash(HashAlg::Sha256, &[b"vectors of a key", &spi, key]);
    // The digest has twice as many octets.
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use hallmark_crypto::Secret;

    use super::*;

    fn sa(spi: u32, transform: &str, encryption: Vec<u8>, integrity: Vec<u8>) -> Sa {
        let transform = transform.parse().expect("a transform");
        Sa::new(spi, transform, Secret::new(encryption), Secret::new(integrity))
    }

    fn key(seed: u8, salt: u8) -> Vec<u8> {
        [vec![seed; 16], vec![salt; SALT_LEN]].concat()
    }

    fn of(memory: &mut KeyMemory, sa: &Sa) -> Arc<Vectors> {
        memory.vectors(sa, &Behaviour::conforming()).expect("a counter mode")
    }

    #[test]
    fn one_key_has_one_count_under_every_spi_salt_icv_length_and_mode() {
        let mut memory = KeyMemory::new(8);
        let first = of(&mut memory, &sa(1, "aes128-gcm16", key(7, 0), Vec::new()));
        for other in [
            sa(2, "aes128-gcm16", key(7, 0), Vec::new()),
            sa(1, "aes128-gcm16", key(7, 1), Vec::new()),
            sa(1, "aes128-gcm8", key(7, 0), Vec::new()),
            sa(1, "aes128-gmac", Vec::new(), key(7, 0)),
            sa(1, "aes128-gmac", key(7, 0), Vec::new()),
        ] {
            assert!(Arc::ptr_eq(&first, &of(&mut memory, &other)), "{other:?}");
        }
        assert!(!Arc::ptr_eq(&first, &of(&mut memory, &sa(1, "aes128-gcm16", key(8, 0), Vec::new()))));
        assert_eq!(memory.len(), 2);
    }

    #[test]
    fn a_key_is_remembered_when_nothing_uses_it() {
        let mut memory = KeyMemory::new(8);
        let sa = sa(1, "aes128-gcm16", key(7, 0), Vec::new());
        of(&mut memory, &sa).counter.advance_to(41);
        assert_eq!(of(&mut memory, &sa).counter.take(1, u64::MAX), (42, 1));
    }

    #[test]
    fn keys_for_which_there_is_no_room_share_a_count_and_those_before_keep_theirs() {
        let mut memory = KeyMemory::new(2);
        let nth = |n: u8| sa(u32::from(n) + 1, "aes128-gcm16", key(n, 0), Vec::new());
        let [first, second, third, fourth] = [0, 1, 2, 3].map(|n| of(&mut memory, &nth(n)));
        assert!(Arc::ptr_eq(&third, &fourth));
        assert!(!Arc::ptr_eq(&second, &third) && !Arc::ptr_eq(&first, &second));
        for (n, before) in [first, second, third, fourth].iter().enumerate() {
            assert!(Arc::ptr_eq(before, &of(&mut memory, &nth(n as u8))));
        }
        assert_eq!(memory.len(), 2);
    }

    #[test]
    fn ciphers_with_random_vectors_take_no_room() {
        let mut memory = KeyMemory::new(8);
        let cbc = sa(1, "aes128-cbc+hmac-sha1", vec![1; 16], vec![2; 20]);
        assert!(memory.vectors(&cbc, &Behaviour::conforming()).is_none());
        assert_eq!(memory.len(), 0);
    }
}
