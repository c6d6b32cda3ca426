//! Octet for octet the same as ring, and nothing forged is let through.

mod common;

use hallmark_simd::available;
use hallmark_simd::gcm::{Key, MAX_TEXT, OVERHEAD};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use common::{Random, octets};

const SALT: [u8; 4] = [0xca, 0xfe, 0xba, 0xbe];

/// The two packets of draft-mcgrew-gcm-test-01 whose AAD is SPI and a sequence number of 32 bits: key, salt, header,
/// text, and the packet sealed.
const PUBLISHED: [[&str; 5]; 2] = [
    [
        "feffe9928665731c6d6a8f9467308308",
        "cafebabe",
        "0000a5f80000000afacedbaddecaf888",
        "4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d0010000010000000000000373697009637962657263697479\
         02646b00000100010001",
        "0000a5f80000000afacedbaddecaf888deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba76d5d114d2a5c3de81827c10e\
         9a4f51330d0eec416642cfbb85a5b47e48a4ec3b9ba95d918bd183b70d3aa8bc6ee4c309e9d85a41ad4a",
    ],
    [
        "abbccddef00112233445566778899aababbccddef00112233445566778899aab",
        "11223344",
        "4a2cbfe3000000020102030405060708",
        "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b40101040201020201",
        "4a2cbfe3000000020102030405060708ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a63798577\
         1d347f0545659f14e99def842d8eb335f4eecfdbf831824b4c4915956c96",
    ],
];

#[test]
fn published_esp_packets_are_sealed_and_opened_as_printed() {
    for [key, salt, header, text, sealed] in PUBLISHED.map(|case| case.map(octets)) {
        let Some(key) = Key::new(&key, salt.try_into().unwrap()) else { return };
        let clear = [&header[..], &text].concat();
        let mut packet = [&clear[..], &[0; 16]].concat();
        key.seal(&mut [&mut packet]);
        assert_eq!(packet, sealed);
        let mut ok = [false];
        key.open(&mut [&mut packet], &mut ok);
        assert_eq!(ok, [true]);
        assert_eq!(packet[..clear.len()], clear);
    }
}

#[test]
fn every_length_of_text_up_to_2100_octets_is_as_ring_has_it() {
    for pair in pairs() {
        let mut random = Random(1);
        for length in 0..=2100 {
            pair.agree(&mut random, &[length]);
        }
    }
}

#[test]
fn long_texts_are_as_ring_has_them() {
    for pair in pairs() {
        let mut random = Random(2);
        // Around the ends of chunks (1,536 octets of header and text), and where the counter needs its second octet.
        for chunks in 1..=42 {
            for length in 1536 * chunks - 34..=1536 * chunks + 2 {
                pair.agree(&mut random, &[length]);
            }
        }
        for length in [4063, 4064, 4065, 4079, 4080, 4081, 9000, 32_767, 65_000, 65_519, 65_520, MAX_TEXT - 1, MAX_TEXT]
        {
            pair.agree(&mut random, &[length]);
        }
    }
}

#[test]
fn bursts_of_mixed_lengths_are_as_ring_has_them() {
    for pair in pairs() {
        let mut random = Random(3);
        for count in 1..=70 {
            let lengths: Vec<usize> = (0..count).map(|_| random.below(1600)).collect();
            pair.agree(&mut random, &lengths);
        }
    }
}

#[test]
fn every_alignment_gives_the_same_octets() {
    for pair in pairs() {
        let mut random = Random(4);
        for offset in 0..64 {
            for length in [0, 1, 47, 48, 49, 240, 241, 1404] {
                let packet = packet(&mut random, length);
                let wanted = pair.by_ring(&packet);
                let mut room = vec![0xa5; offset + packet.len() + 64];
                room[offset..offset + packet.len()].copy_from_slice(&packet);
                pair.ours.seal(&mut [&mut room[offset..offset + packet.len()]]);
                assert_eq!(room[offset..offset + packet.len()], wanted, "offset {offset}, {length} octets");
                let around = room[..offset].iter().chain(&room[offset + packet.len()..]);
                assert!(around.copied().all(|octet| octet == 0xa5), "octets beside the packet were written");
            }
        }
    }
}

#[test]
fn a_packet_with_one_changed_bit_is_refused_and_its_text_is_overwritten() {
    for pair in pairs() {
        let mut random = Random(5);
        for length in [0, 1, 16, 47, 48, 68, 241, 500] {
            let packet = packet(&mut random, length);
            let sealed = pair.by_ring(&packet);
            for bit in 0..8 * sealed.len() {
                let mut forged = sealed.clone();
                forged[bit / 8] ^= 1 << (bit % 8);
                let mut whole = sealed.clone();
                let mut ok = [true, false];
                pair.ours.open(&mut [&mut forged, &mut whole], &mut ok);
                assert_eq!(ok, [false, true], "bit {bit} of a text of {length} octets");
                assert!(forged[16..16 + length].iter().all(|octet| *octet == 0));
                assert_eq!(whole[..16 + length], packet[..16 + length]);
            }
        }
    }
}

#[test]
fn one_changed_bit_in_a_long_packet_is_refused() {
    for pair in pairs() {
        let mut random = Random(6);
        for length in [1404, 1535, 5000, MAX_TEXT] {
            let sealed = pair.by_ring(&packet(&mut random, length));
            for bit in (0..8 * sealed.len()).step_by(8 * sealed.len() / 61) {
                let mut forged = sealed.clone();
                forged[bit / 8] ^= 1 << (bit % 8);
                let mut ok = [true];
                pair.ours.open(&mut [&mut forged], &mut ok);
                assert_eq!(ok, [false], "bit {bit} of a text of {length} octets");
            }
        }
    }
}

#[test]
fn a_changed_length_another_salt_and_another_key_are_refused() {
    for pair in pairs() {
        let sealed = pair.by_ring(&packet(&mut Random(7), 100));
        let mut ok = [true];
        for cut in 1..=sealed.len() - OVERHEAD {
            let mut shorter = sealed.clone();
            shorter.drain(16..16 + cut);
            pair.ours.open(&mut [&mut shorter], &mut ok);
            assert_eq!(ok, [false], "{cut} octets less");
            let mut longer = sealed.clone();
            longer.splice(116..116, vec![0; cut]);
            pair.ours.open(&mut [&mut longer], &mut ok);
            assert_eq!(ok, [false], "{cut} octets of zeros more");
        }
        let salted = Key::new(&pair.key, [0xca, 0xfe, 0xba, 0xbf]).unwrap();
        salted.open(&mut [&mut sealed.clone()], &mut ok);
        assert_eq!(ok, [false]);
        let mut other = pair.key.clone();
        *other.last_mut().unwrap() ^= 1;
        Key::new(&other, SALT).unwrap().open(&mut [&mut sealed.clone()], &mut ok);
        assert_eq!(ok, [false]);
    }
}

#[test]
fn what_is_no_packet_is_cleared_by_seal_and_refused_by_open() {
    for pair in pairs() {
        for length in [0, 1, 16, 31, OVERHEAD + MAX_TEXT + 1] {
            let mut packet = vec![7; length];
            let mut ok = [true];
            pair.ours.open(&mut [&mut packet], &mut ok);
            assert_eq!(ok, [false]);
            pair.ours.seal(&mut [&mut packet]);
            assert!(packet.iter().all(|octet| *octet == 0));
        }
    }
}

#[test]
fn keys_of_other_lengths_are_no_keys() {
    for length in (0..=64).filter(|length| ![16, 32].contains(length)) {
        assert!(Key::new(&vec![1; length], SALT).is_none(), "{length} octets");
    }
    assert_eq!(Key::new(&[1; 16], SALT).is_some(), available());
    assert_eq!(Key::new(&[1; 32], SALT).is_some(), available());
}

#[test]
fn a_key_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Key>();
}

/// The same key here and in ring.
struct Pair {
    key: Vec<u8>,
    ours: Key,
    ring: LessSafeKey,
}

/// Keys of both lengths: with all bits zero, all set, and mixed. None where the kernel does not run.
fn pairs() -> Vec<Pair> {
    let mut random = Random(0);
    let mut keys: Vec<Vec<u8>> = Vec::new();
    for length in [16, 32] {
        keys.extend([vec![0; length], vec![0xff; length], random.octets(length)]);
    }
    keys.into_iter()
        .filter_map(|key| {
            let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
            let ring = LessSafeKey::new(UnboundKey::new(algorithm, &key).unwrap());
            Some(Pair { ours: Key::new(&key, SALT)?, ring, key })
        })
        .collect()
}

impl Pair {
    fn by_ring(&self, packet: &[u8]) -> Vec<u8> {
        let mut sealed = packet.to_vec();
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&SALT);
        nonce[4..].copy_from_slice(&packet[8..16]);
        let end = packet.len() - 16;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.ring.seal_in_place_separate_tag(nonce, Aad::from(&packet[..8]), &mut sealed[16..end]).unwrap();
        sealed[end..].copy_from_slice(tag.as_ref());
        sealed
    }

    /// Seals and opens a burst.
    fn agree(&self, random: &mut Random, lengths: &[usize]) {
        let clear: Vec<Vec<u8>> = lengths.iter().map(|length| packet(random, *length)).collect();
        let mut packets = clear.clone();
        self.ours.seal(&mut packets.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
        for (packet, clear) in packets.iter().zip(&clear) {
            assert!(*packet == self.by_ring(clear), "sealed text of {} octets", clear.len() - OVERHEAD);
        }
        let mut ok = vec![false; packets.len()];
        self.ours.open(&mut packets.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>(), &mut ok);
        for ((packet, clear), ok) in packets.iter().zip(&clear).zip(ok) {
            assert!(ok, "refused a text of {} octets", clear.len() - OVERHEAD);
            let end = clear.len() - 16;
            assert!(packet[..end] == clear[..end], "opened text of {} octets", clear.len() - OVERHEAD);
        }
    }
}

/// Header, text of that length and room for the ICV, all random.
fn packet(random: &mut Random, text: usize) -> Vec<u8> {
    random.octets(OVERHEAD + text)
}
