//! Octet for octet the same as RustCrypto, in every lane and beside every neighbour, and nothing forged is let through.

mod common;

use ::hmac::{Hmac, KeyInit, Mac};
use hallmark_simd::available;
use hallmark_simd::hmac::{Hash, Key, Packet};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};

use common::{Random, octets};

/// Each hash with the octets of its key and of its ICV in ESP (RFC 2404, RFC 4868).
const IN_ESP: [(Hash, usize, usize); 4] =
    [(Hash::Sha1, 20, 12), (Hash::Sha256, 32, 16), (Hash::Sha384, 48, 24), (Hash::Sha512, 64, 32)];

/// RFC 2202 section 3 (SHA-1) and RFC 4231 section 4 (SHA-2): key, text and HMAC. Test cases with a key longer than a
/// block are not for this crate, those with a truncated HMAC are not for an ICV of whole words.
const PUBLISHED: [(Hash, &str, &str, &str); 14] = [
    (Hash::Sha1, "0b*20", "4869205468657265", "b617318655057264e28bc0b6fb378c8ef146be00"),
    (Hash::Sha1, "4a656665", WHAT, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
    (Hash::Sha1, "aa*20", "dd*50", "125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
    (
        Hash::Sha1,
        "0102030405060708090a0b0c0d0e0f10111213141516171819",
        "cd*50",
        "4c9007f4026250c6bc8414f9bf50c86c2d7235da",
    ),
    (Hash::Sha256, "0b*20", "4869205468657265", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (Hash::Sha256, "4a656665", WHAT, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (Hash::Sha256, "aa*20", "dd*50", "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (
        Hash::Sha384,
        "0b*20",
        "4869205468657265",
        "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
    ),
    (
        Hash::Sha384,
        "4a656665",
        WHAT,
        "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
    ),
    (
        Hash::Sha384,
        "aa*20",
        "dd*50",
        "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b2a5ab39dc13814b94e3ab6e101a34f27",
    ),
    (
        Hash::Sha512,
        "0b*20",
        "4869205468657265",
        "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f170\
         2e696c203a126854",
    ),
    (
        Hash::Sha512,
        "4a656665",
        WHAT,
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b\
         636e070a38bce737",
    ),
    (
        Hash::Sha512,
        "aa*20",
        "dd*50",
        "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39bf3e848279a722c806b485a47e67c807b946a337bee89426\
         74278859e13292fb",
    ),
    (
        Hash::Sha512,
        "0102030405060708090a0b0c0d0e0f10111213141516171819",
        "cd*50",
        "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3dba91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2d\
         e2adebeb10a298dd",
    ),
];

/// "what do ya want for nothing?"
const WHAT: &str = "7768617420646f2079612077616e7420666f72206e6f7468696e673f";

#[test]
fn published_texts_have_the_published_hmac() {
    for (hash, key, text, mac) in PUBLISHED {
        let (key, text, mac) = (spelled(key), spelled(text), spelled(mac));
        let Some(key) = Key::new(hash, &key, mac.len()) else { return };
        let mut packet = [&text[..], &vec![0; mac.len()]].concat();
        key.sign(&mut [Packet { octets: &mut packet, esn_high: None }]);
        assert_eq!(packet[text.len()..], mac, "{hash:?}");
        let mut ok = [false];
        key.verify(&[Packet { octets: &mut packet, esn_high: None }], &mut ok);
        assert_eq!(ok, [true], "{hash:?}");
    }
}

#[test]
fn every_length_up_to_2100_octets_alone_is_as_rustcrypto_has_it() {
    for pair in pairs() {
        let mut random = Random(1);
        for length in 0..=2100 {
            pair.agree(&mut random, &[length]);
        }
    }
}

#[test]
fn every_length_is_right_in_a_full_burst_of_neighbouring_lengths() {
    for pair in pairs() {
        let mut random = Random(2);
        for first in (0..2100).step_by(64) {
            let lengths: Vec<usize> = (first..first + 64).collect();
            pair.agree(&mut random, &lengths);
        }
    }
}

#[test]
fn bursts_of_every_size_and_mixed_lengths_are_as_rustcrypto_has_them() {
    for pair in pairs() {
        let mut random = Random(3);
        for count in 0..=140 {
            let most = [100, 300, 1600, 9000][random.below(4)];
            let lengths: Vec<usize> = (0..count).map(|_| random.below(most)).collect();
            pair.agree(&mut random, &lengths);
        }
    }
}

#[test]
fn bursts_of_one_length_are_as_rustcrypto_has_them() {
    for pair in pairs() {
        let mut random = Random(4);
        for count in [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65] {
            for length in [0, 55, 56, 104, 111, 112, 119, 120, 1448] {
                pair.agree(&mut random, &vec![length; count]);
            }
        }
    }
}

#[test]
fn a_packet_of_64_kilooctets_leaves_its_short_neighbours_alone() {
    for pair in pairs() {
        let mut lengths = vec![60; 40];
        lengths[23] = 65_535;
        lengths[24] = 9_000;
        pair.agree(&mut Random(5), &lengths);
    }
}

#[test]
fn every_alignment_gives_the_same_octets_and_writes_nothing_beside_the_packet() {
    for pair in pairs() {
        let mut random = Random(6);
        for offset in 0..64 {
            let packet = random.octets(150 + pair.icv);
            let wanted = pair.by_rustcrypto(&packet, Some(7));
            let mut room = vec![0xa5; offset + packet.len() + 64];
            room[offset..offset + packet.len()].copy_from_slice(&packet);
            let octets = &mut room[offset..offset + packet.len()];
            pair.ours.sign(&mut [Packet { octets, esn_high: Some(7) }]);
            assert_eq!(room[offset..offset + packet.len()], wanted, "offset {offset}");
            let around = room[..offset].iter().chain(&room[offset + packet.len()..]);
            assert!(around.copied().all(|octet| octet == 0xa5), "octets beside the packet were written");
        }
    }
}

#[test]
fn a_forgery_is_refused_in_every_lane_and_no_neighbour_is_affected() {
    for pair in pairs() {
        let mut random = Random(7);
        for count in [1, 8, 16, 17, 64] {
            let lengths: Vec<usize> = (0..count).map(|_| random.below(400)).collect();
            let sealed: Vec<Vec<u8>> =
                lengths.iter().map(|length| pair.by_rustcrypto(&random.octets(length + pair.icv), None)).collect();
            for forged in 0..count {
                let mut packets = sealed.clone();
                let bit = random.below(8 * packets[forged].len());
                packets[forged][bit / 8] ^= 1 << (bit % 8);
                let wanted: Vec<bool> = (0..count).map(|index| index != forged).collect();
                assert_eq!(pair.verdicts(&mut packets, |_| None), wanted, "bit {bit} of packet {forged} of {count}");
            }
        }
    }
}

#[test]
fn every_bit_of_the_icv_and_of_the_high_half_counts() {
    for pair in pairs() {
        let sealed = pair.by_rustcrypto(&Random(8).octets(100 + pair.icv), Some(0x0102_0304));
        let burst = 8 * pair.icv;
        let mut packets = vec![sealed.clone(); burst];
        for (bit, packet) in packets.iter_mut().enumerate() {
            packet[100 + bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(pair.verdicts(&mut packets, |_| Some(0x0102_0304)), vec![false; burst]);
        let mut packets = vec![sealed; 35];
        let high = |index: usize| match index {
            32 => Some(0x0102_0304),
            33 => None,
            34 => Some(0),
            bit => Some(0x0102_0304 ^ 1 << bit),
        };
        let wanted: Vec<bool> = (0..35).map(|index| index == 32).collect();
        assert_eq!(pair.verdicts(&mut packets, high), wanted);
    }
}

#[test]
fn a_high_half_is_not_the_same_as_four_octets_before_the_icv() {
    for pair in pairs() {
        let sealed = pair.by_rustcrypto(&Random(9).octets(60 + pair.icv), Some(0xdead_beef));
        let mut longer = sealed.clone();
        longer.splice(60..60, [0xde, 0xad, 0xbe, 0xef]);
        // What is hashed is the same; only what is sent differs.
        assert_eq!(pair.verdicts(&mut [longer, sealed], |index| (index == 1).then_some(0xdead_beef)), [true, true]);
    }
}

#[test]
fn another_key_refuses() {
    for pair in pairs() {
        let mut packet = pair.by_rustcrypto(&Random(10).octets(60 + pair.icv), None);
        for octet in 0..pair.key.len() {
            let mut key = pair.key.clone();
            key[octet] ^= 0x10;
            let mut ok = [true];
            let packet = Packet { octets: &mut packet, esn_high: None };
            Key::new(pair.hash, &key, pair.icv).unwrap().verify(&[packet], &mut ok);
            assert_eq!(ok, [false], "{:?} octet {octet}", pair.hash);
        }
    }
}

#[test]
fn a_packet_shorter_than_its_icv_is_cleared_by_sign_and_refused_by_verify() {
    for pair in pairs() {
        let whole = pair.by_rustcrypto(&Random(11).octets(60 + pair.icv), None);
        for length in 0..pair.icv {
            let mut packets = [whole.clone(), vec![7; length], whole.clone()];
            assert_eq!(pair.verdicts(&mut packets, |_| None), [true, false, true]);
            let mut burst: Vec<Packet<'_>> =
                packets.iter_mut().map(|octets| Packet { octets, esn_high: None }).collect();
            pair.ours.sign(&mut burst);
            assert_eq!(packets, [whole.clone(), vec![0; length], whole.clone()]);
        }
    }
}

#[test]
fn keys_and_icvs_of_other_lengths_are_no_keys() {
    for (hash, whole, _) in IN_ESP {
        let (word, block) = if whole > 32 { (8, 128) } else { (4, 64) };
        for length in 0..=140 {
            assert_eq!(Key::new(hash, &vec![1; length], 8).is_some(), available() && length <= block, "{length}");
            let fits = length <= whole && length % word == 0;
            assert_eq!(Key::new(hash, &[1; 20], length).is_some(), available() && fits, "{length}");
        }
    }
}

#[test]
fn a_key_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Key>();
}

/// The same key here and in RustCrypto.
struct Pair {
    hash: Hash,
    key: Vec<u8>,
    icv: usize,
    ours: Key,
}

/// Keys of ESP, and one whose ICV is the whole HMAC. None where the lanes do not run.
fn pairs() -> Vec<Pair> {
    let mut random = Random(0);
    let mut pairs = Vec::new();
    for (hash, len, icv) in IN_ESP {
        let whole = (hash, random.octets(if len > 32 { 128 } else { 64 }), len);
        for (hash, key, icv) in [(hash, random.octets(len), icv), whole] {
            pairs.extend(Key::new(hash, &key, icv).map(|ours| Pair { hash, key, icv, ours }));
        }
    }
    pairs
}

impl Pair {
    /// Writes the ICV.
    fn by_rustcrypto(&self, packet: &[u8], esn_high: Option<u32>) -> Vec<u8> {
        fn run<M: Mac + KeyInit>(key: &[u8], text: &[u8], esn_high: Option<u32>) -> Vec<u8> {
            let high = esn_high.map(u32::to_be_bytes);
            let mac = <M as KeyInit>::new_from_slice(key).unwrap().chain_update(text);
            mac.chain_update(high.as_ref().map_or(&[][..], |high| high)).finalize().into_bytes().to_vec()
        }
        let text = &packet[..packet.len() - self.icv];
        let mac = match self.hash {
            Hash::Sha1 => run::<Hmac<Sha1>>(&self.key, text, esn_high),
            Hash::Sha256 => run::<Hmac<Sha256>>(&self.key, text, esn_high),
            Hash::Sha384 => run::<Hmac<Sha384>>(&self.key, text, esn_high),
            Hash::Sha512 => run::<Hmac<Sha512>>(&self.key, text, esn_high),
        };
        [text, &mac[..self.icv]].concat()
    }

    /// Signs and verifies a burst of texts of these lengths, some with a high half.
    fn agree(&self, random: &mut Random, lengths: &[usize]) {
        let clear: Vec<Vec<u8>> = lengths.iter().map(|length| random.octets(length + self.icv)).collect();
        let high: Vec<Option<u32>> =
            lengths.iter().map(|_| (random.below(3) == 0).then(|| random.next() as u32)).collect();
        let mut packets = clear.clone();
        let mut burst: Vec<Packet<'_>> =
            packets.iter_mut().zip(&high).map(|(octets, high)| Packet { octets, esn_high: *high }).collect();
        self.ours.sign(&mut burst);
        for ((packet, clear), high) in packets.iter().zip(&clear).zip(&high) {
            assert!(
                *packet == self.by_rustcrypto(clear, *high),
                "{:?} of {} octets, high half {high:?}, in a burst of {}",
                self.hash,
                clear.len() - self.icv,
                lengths.len()
            );
        }
        assert_eq!(self.verdicts(&mut packets, |index| high[index]), vec![true; lengths.len()]);
    }

    fn verdicts(&self, packets: &mut [Vec<u8>], high: impl Fn(usize) -> Option<u32>) -> Vec<bool> {
        let mut ok: Vec<bool> = (0..packets.len()).map(|index| index % 2 == 0).collect();
        let burst: Vec<Packet<'_>> =
            packets.iter_mut().enumerate().map(|(index, octets)| Packet { octets, esn_high: high(index) }).collect();
        self.ours.verify(&burst, &mut ok);
        ok
    }
}

/// Hexadecimal, or one octet and how often it is repeated.
fn spelled(text: &str) -> Vec<u8> {
    match text.split_once('*') {
        Some((octet, count)) => octets(octet).repeat(count.parse().unwrap()),
        None => octets(text),
    }
}
