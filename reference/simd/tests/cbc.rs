//! Octet for octet the same as RustCrypto, in every lane and beside every neighbour.

mod common;

use ::cbc::cipher::{Array, BlockCipherEncrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use aes::{Aes128, Aes192, Aes256};
use hallmark_simd::available;
use hallmark_simd::cbc::Key;

use common::{Random, octets};

/// NIST SP 800-38A, F.2.1, F.2.3 and F.2.5: key and ciphertext; IV and text are the same in all three.
const PUBLISHED: [(&str, &str); 3] = [
    (
        "2b7e151628aed2a6abf7158809cf4f3c",
        "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b273bed6b8e3c1743b7116e69e222295163ff1caa1681fac09\
         120eca307586e1a7",
    ),
    (
        "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
        "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a571b242012fb7ae07fa9baac3df102e008b0e27988598881\
         d920a9e64f5615cd",
    ),
    (
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fc\
         da6c19078c6a9d1b",
    ),
];
const IV: &str = "000102030405060708090a0b0c0d0e0f";
const TEXT: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445\
                    df4f9b17ad2b417be66c3710";

#[test]
fn published_texts_have_the_published_ciphertext() {
    for (key, sealed) in PUBLISHED {
        let Some(key) = Key::new(&octets(key)) else { return };
        let clear = octets(&[IV, TEXT].concat());
        let mut packet = clear.clone();
        key.encrypt(&mut [&mut packet]);
        assert_eq!(packet, octets(&[IV, sealed].concat()));
        key.decrypt(&mut [&mut packet]);
        assert_eq!(packet, clear);
    }
}

#[test]
fn every_number_of_blocks_alone_is_as_rustcrypto_has_it() {
    for pair in pairs() {
        let mut random = Random(1);
        for blocks in 0..=140 {
            pair.agree(&mut random, &[blocks]);
        }
        pair.agree(&mut random, &[4095]);
    }
}

#[test]
fn bursts_of_every_size_and_mixed_lengths_are_as_rustcrypto_has_them() {
    for pair in pairs() {
        let mut random = Random(2);
        for count in 0..=140 {
            let most = [6, 20, 100][random.below(3)];
            let blocks: Vec<usize> = (0..count).map(|_| random.below(most)).collect();
            pair.agree(&mut random, &blocks);
            pair.agree(&mut random, &vec![most; count]);
        }
    }
}

#[test]
fn every_alignment_gives_the_same_octets_and_writes_nothing_beside_the_packet() {
    for pair in pairs() {
        let mut random = Random(3);
        for offset in 0..64 {
            for blocks in [0, 1, 3, 4, 5, 16, 17, 35] {
                let clear = random.octets(16 + 16 * blocks);
                let mut room = vec![0xa5; offset + clear.len() + 64];
                let at = offset..offset + clear.len();
                room[at.clone()].copy_from_slice(&clear);
                pair.ours.encrypt(&mut [&mut room[at.clone()]]);
                assert_eq!(room[at.clone()], pair.by_rustcrypto(&clear), "offset {offset}, {blocks} blocks");
                pair.ours.decrypt(&mut [&mut room[at.clone()]]);
                assert_eq!(room[at.clone()], clear, "offset {offset}, {blocks} blocks");
                let around = room[..offset].iter().chain(&room[at.end..]);
                assert!(around.copied().all(|octet| octet == 0xa5), "octets beside the packet were written");
            }
        }
    }
}

#[test]
fn what_is_no_packet_is_cleared_by_encrypt_and_left_by_decrypt() {
    for pair in pairs() {
        let whole = Random(4).octets(48);
        for length in (0..70).filter(|length| *length == 0 || length % 16 != 0) {
            let mut packets = [whole.clone(), vec![7; length], whole.clone()];
            pair.ours.encrypt(&mut packets.each_mut().map(Vec::as_mut_slice));
            assert_eq!(packets[1], vec![0; length]);
            assert!(packets[0] == pair.by_rustcrypto(&whole) && packets[2] == packets[0]);
            packets[1].fill(7);
            pair.ours.decrypt(&mut packets.each_mut().map(Vec::as_mut_slice));
            assert_eq!(packets, [whole.clone(), vec![7; length], whole.clone()]);
        }
    }
}

#[test]
fn keys_of_other_lengths_are_no_keys() {
    for length in 0..=64 {
        let is_key = available() && [16, 24, 32].contains(&length);
        assert_eq!(Key::new(&vec![1; length]).is_some(), is_key, "{length} octets");
    }
}

#[test]
fn a_key_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Key>();
}

/// The same key here and in RustCrypto.
struct Pair {
    key: Vec<u8>,
    ours: Key,
}

/// Keys of every length: with all bits zero, all set, and mixed. None where the kernel does not run.
fn pairs() -> Vec<Pair> {
    let mut random = Random(0);
    let keys = [16, 24, 32].into_iter().flat_map(|len| [vec![0; len], vec![0xff; len], random.octets(len)]);
    keys.filter_map(|key| Some(Pair { ours: Key::new(&key)?, key })).collect()
}

impl Pair {
    fn by_rustcrypto(&self, clear: &[u8]) -> Vec<u8> {
        fn run<C: BlockCipherEncrypt + KeyInit>(key: &[u8], packet: &mut [u8])
        where
            ::cbc::Encryptor<C>: BlockModeEncrypt<BlockSize = C::BlockSize> + InnerIvInit<Inner = C>,
        {
            let (iv, text) = packet.split_at_mut(16);
            let mut mode = ::cbc::Encryptor::inner_iv_slice_init(C::new_from_slice(key).unwrap(), iv).unwrap();
            mode.encrypt_blocks(Array::slice_as_chunks_mut(text).0);
        }
        let mut packet = clear.to_vec();
        match self.key.len() {
            16 => run::<Aes128>(&self.key, &mut packet),
            24 => run::<Aes192>(&self.key, &mut packet),
            _ => run::<Aes256>(&self.key, &mut packet),
        }
        packet
    }

    /// Encrypts and decrypts a burst of packets with so many blocks.
    fn agree(&self, random: &mut Random, blocks: &[usize]) {
        let clear: Vec<Vec<u8>> = blocks.iter().map(|blocks| random.octets(16 + 16 * blocks)).collect();
        let mut packets = clear.clone();
        self.ours.encrypt(&mut packets.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
        for (packet, clear) in packets.iter().zip(&clear) {
            assert!(*packet == self.by_rustcrypto(clear), "{} octets in a burst of {}", clear.len(), blocks.len());
        }
        self.ours.decrypt(&mut packets.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
        for (packet, clear) in packets.iter().zip(&clear) {
            assert!(packet == clear, "{} octets in a burst of {}", clear.len(), blocks.len());
        }
    }
}
