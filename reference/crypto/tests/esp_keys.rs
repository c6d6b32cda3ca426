//! What every implementation of ESP must share: the octets, the refusals, and no allocation per packet.

use hallmark_crypto::esp::{Backend, Cipher, EspError, EspKey, Job, Mac, Transform, trailer};

/// Makes octets that look like nothing.
fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_769) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    (0..len).map(|_| next()).collect()
}

fn key(transform: Transform, backend: Backend) -> EspKey {
    let encryption = noise(transform.encryption_key_len(), 77);
    let integrity = noise(transform.integrity_key_len(), 78);
    EspKey::new(transform, &encryption, &integrity, backend).unwrap_or_else(|error| panic!("{transform}: {error}"))
}

fn parse(name: &str) -> Transform {
    name.parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Makes a packet in clear with room for the ICV, its trailer in place.
fn clear(transform: Transform, payload: usize, seed: u32) -> Vec<u8> {
    let mut packet = noise(payload + transform.overhead(payload), seed);
    let end = packet.len() - transform.icv_len();
    trailer::write(&mut packet[transform.header_len() + payload..end], 4);
    packet
}

#[test]
fn backends_agree_on_gcm_for_every_length() {
    for name in ["aes128-gcm16", "aes256-gcm16"] {
        let t = parse(name);
        let portable = key(t, Backend::Portable);
        for backend in Backend::available() {
            let other = key(t, backend);
            assert_eq!(other.backend(), backend);
            for body in 0..=2_000usize {
                let esn_high = body.is_multiple_of(3).then_some(u32::try_from(body).unwrap());
                let plain = noise(t.header_len() + body + t.icv_len(), u32::try_from(body).unwrap());
                let (mut a, mut b) = (plain.clone(), plain.clone());
                portable.seal(&mut a, esn_high).unwrap();
                other.seal(&mut b, esn_high).unwrap();
                assert_eq!(a, b, "{name} {body} by {backend}");
                let aligned = body > 2 && body.is_multiple_of(4);
                match other.open(&mut a, esn_high) {
                    Ok(text) => {
                        assert!(aligned);
                        assert_eq!(text, &plain[t.header_len()..t.header_len() + body], "{name} {body} by {backend}");
                    }
                    Err(error) => assert!(!aligned && error != EspError::BadIcv, "{name} {body}: {error}"),
                }
            }
        }
    }
}

#[test]
fn every_transform_opens_what_it_seals_at_every_length() {
    for t in Transform::all() {
        let key = key(t, Backend::Auto);
        for payload in (0..160).chain([576, 1_399, 1_400, 1_401, 8_999]) {
            let plain = clear(t, payload, 9);
            let esn_high = (payload % 2 == 1).then_some(7);
            let mut packet = plain.clone();
            key.seal(&mut packet, esn_high).unwrap();
            let encrypts = !matches!(t.cipher, Cipher::Null | Cipher::AesGmac(_));
            let (start, end) = (t.header_len(), plain.len() - t.icv_len());
            assert_eq!(packet[..start], plain[..start], "{t}: the header stays");
            assert_eq!(packet[start..end] != plain[start..end], encrypts, "{t} {payload}");
            let text = key.open(&mut packet, esn_high).unwrap_or_else(|error| panic!("{t} {payload}: {error}"));
            assert_eq!(text, &plain[start..end], "{t} {payload}");
            assert_eq!(trailer::parse(text, true), Ok((payload, 4)), "{t} {payload}");
        }
    }
}

#[test]
fn one_wrong_bit_anywhere_is_refused() {
    for t in Transform::all() {
        for backend in Backend::available() {
            let key = key(t, backend);
            if key.backend() != backend {
                continue;
            }
            let mut sealed = clear(t, 50, 3);
            key.seal(&mut sealed, None).unwrap();
            for octet in 0..sealed.len() {
                let mut forged = sealed.clone();
                forged[octet] ^= 1 << (octet % 8);
                assert_eq!(key.open(&mut forged, None), Err(EspError::BadIcv), "{t} octet {octet} by {backend}");
            }
            assert_eq!(key.open(&mut sealed.clone(), Some(0)), Err(EspError::BadIcv), "{t}: ESN of 0 is not none");
            key.open(&mut sealed, None).unwrap_or_else(|error| panic!("{t} by {backend}: {error}"));
        }
    }
}

#[test]
fn the_high_half_of_a_sequence_number_counts() {
    for t in Transform::all() {
        let key = key(t, Backend::Auto);
        let mut sealed = clear(t, 50, 3);
        key.seal(&mut sealed, Some(1)).unwrap();
        for wrong in [None, Some(0), Some(2), Some(1 << 24)] {
            assert_eq!(key.open(&mut sealed.clone(), wrong), Err(EspError::BadIcv), "{t} {wrong:?}");
        }
        assert!(key.open(&mut sealed, Some(1)).is_ok(), "{t}");
    }
}

#[test]
fn every_truncation_is_refused_by_every_backend() {
    for t in Transform::all() {
        for backend in Backend::available() {
            let key = key(t, backend);
            if key.backend() != backend {
                continue;
            }
            let mut sealed = clear(t, 90, 5);
            key.seal(&mut sealed, None).unwrap();
            for len in 0..sealed.len() {
                let mut cut = sealed[..len].to_vec();
                let want = t.check_len(len).err().unwrap_or(EspError::BadIcv);
                assert_eq!(key.open(&mut cut, None), Err(want), "{t} {len} by {backend}");
            }
        }
    }
}

#[test]
fn sealing_needs_room_and_whole_blocks() {
    for t in Transform::all() {
        let key = key(t, Backend::Auto);
        let least = t.header_len() + t.icv_len();
        assert_eq!(key.seal(&mut vec![0; least - 1], None), Err(EspError::TooShort { need: least, have: least - 1 }));
        assert_eq!(key.seal(&mut vec![0; least], None), Ok(()));
        let block = t.cipher.block_len();
        let want = if block == 1 { Ok(()) } else { Err(EspError::BadAlignment { len: 1, align: block }) };
        assert_eq!(key.seal(&mut vec![0; least + 1], None), want, "{t}");
    }
}

#[test]
fn a_burst_gives_what_single_packets_give() {
    for t in Transform::all() {
        for backend in Backend::available() {
            let key = key(t, backend);
            if key.backend() != backend {
                continue;
            }
            // More packets than any group, of lengths that leave the lanes at different times, some impossible.
            let payloads: Vec<usize> = (0..150).map(|n| [0, 14, 700, 62, 1_400, 33, 2, 300][n % 8] + n).collect();
            let mut packets: Vec<Vec<u8>> = (1..).zip(&payloads).map(|(seed, len)| clear(t, *len, seed)).collect();
            packets[17].truncate(5);
            packets[40].truncate(t.header_len() + t.icv_len() + 1);
            packets[41].clear();
            let high = |n: usize| (n % 5 == 2).then_some(1_000 + u32::try_from(n).unwrap());

            let mut single = packets.clone();
            let sealed: Vec<bool> =
                single.iter_mut().enumerate().map(|(n, packet)| key.seal(packet, high(n)).is_ok()).collect();
            let mut jobs: Vec<Job<'_>> =
                packets.iter_mut().enumerate().map(|(n, esp)| Job { esp, esn_high: high(n), ok: n % 2 == 0 }).collect();
            key.seal_batch(&mut jobs);
            assert_eq!(jobs.iter().map(|job| job.ok).collect::<Vec<_>>(), sealed, "{t} by {backend}");
            assert!(!sealed[17] && !sealed[41] && sealed[42]);
            for (n, (packet, single)) in packets.iter().zip(&single).enumerate() {
                assert!(packet == single, "{t} by {backend}: packet {n}");
            }

            // Forge some, and open the rest.
            for n in [3, 64, 65, 149] {
                let last = packets[n].len() - 1;
                packets[n][last] ^= 0x80;
            }
            let mut single = packets.clone();
            let opened: Vec<bool> =
                single.iter_mut().enumerate().map(|(n, packet)| key.open(packet, high(n)).is_ok()).collect();
            let mut jobs: Vec<Job<'_>> =
                packets.iter_mut().enumerate().map(|(n, esp)| Job { esp, esn_high: high(n), ok: n % 2 == 1 }).collect();
            key.open_batch(&mut jobs);
            assert_eq!(jobs.iter().map(|job| job.ok).collect::<Vec<_>>(), opened, "{t} by {backend}");
            assert_eq!(opened.iter().filter(|ok| !**ok).count(), 7, "{t} by {backend}");
            for (n, (packet, single)) in packets.iter().zip(&single).enumerate() {
                let payload = t.header_len()..packet.len().saturating_sub(t.icv_len());
                assert!(!opened[n] || packet[payload.clone()] == single[payload], "{t} by {backend}: packet {n}");
            }
        }
    }
}

#[test]
fn packets_without_extended_numbers_may_be_given_as_they_are() {
    for t in Transform::all() {
        for backend in Backend::available() {
            let key = key(t, backend);
            if key.backend() != backend {
                continue;
            }
            assert_eq!(key.prefers_bursts(), backend == Backend::Batch, "{t} by {backend}");
            let plain: Vec<Vec<u8>> = (1..=70).map(|seed| clear(t, 900 / seed as usize, seed)).collect();
            let mut packets = plain.clone();
            packets[66].truncate(9);
            key.seal_burst(&mut packets.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
            assert_eq!(packets[66], [0; 9], "{t} by {backend}: what is no packet does not leave in clear");
            for n in (0..70).filter(|n| *n != 66) {
                let mut single = plain[n].clone();
                key.seal(&mut single, None).unwrap();
                assert!(packets[n] == single, "{t} by {backend}: packet {n}");
            }
            packets[1][7] ^= 1;
            packets[65][0] ^= 1;
            let mut ok: Vec<bool> = (0..70).map(|n| n % 2 == 0).collect();
            key.open_burst(&mut packets.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>(), &mut ok);
            for (n, ok) in ok.into_iter().enumerate() {
                assert_eq!(ok, ![1, 65, 66].contains(&n), "{t} by {backend}: packet {n}");
                let end = plain[n].len() - t.icv_len();
                assert!(!ok || packets[n][..end] == plain[n][..end], "{t} by {backend}: packet {n}");
            }
        }
    }
}

/// What bursts are for, and every way in which they are divided between kernels and single packets.
const FOR_BURSTS: [&str; 6] = [
    "aes128-cbc+hmac-sha1",
    "aes192-cbc+hmac-sha384",
    "aes256-cbc+hmac-sha512",
    "null+hmac-sha256",
    "3des+hmac-sha256",
    "aes128-cbc+hmac-md5",
];

#[test]
fn bursts_of_every_size_give_what_portable_code_gives() {
    for name in FOR_BURSTS {
        let t = parse(name);
        let (portable, fast) = (key(t, Backend::Portable), key(t, Backend::Auto));
        for count in 1..=64 {
            // One length for all, short ones with a few long ones, and anything.
            let random = noise(2 * count, u32::try_from(count).unwrap());
            let length = |n: usize| match count % 3 {
                0 => 64,
                1 => [64, 1_400][usize::from(random[n] < 30)],
                _ => usize::from(random[n]) * usize::from(random[count + n]) / 32,
            };
            let mut packets: Vec<Vec<u8>> =
                (1..).take(count).map(|seed| clear(t, length(seed as usize - 1), seed)).collect();
            let plain = packets.clone();
            let high = |n: usize| (random[n] % 2 == 1).then_some(u32::from(random[n]) << 24 | 5);
            let mut jobs: Vec<Job<'_>> =
                packets.iter_mut().enumerate().map(|(n, esp)| Job { esp, esn_high: high(n), ok: false }).collect();
            fast.seal_batch(&mut jobs);
            assert!(jobs.iter().all(|job| job.ok), "{t}");
            for (n, (packet, plain)) in packets.iter().zip(&plain).enumerate() {
                let mut wanted = plain.clone();
                portable.seal(&mut wanted, high(n)).unwrap();
                assert!(*packet == wanted, "{t}: packet {n} of {count}");
            }
            let mut jobs: Vec<Job<'_>> =
                packets.iter_mut().enumerate().map(|(n, esp)| Job { esp, esn_high: high(n), ok: false }).collect();
            fast.open_batch(&mut jobs);
            assert!(jobs.iter().all(|job| job.ok), "{t}");
            for (n, (packet, plain)) in packets.iter().zip(&plain).enumerate() {
                let end = plain.len() - t.icv_len();
                assert!(packet[..end] == plain[..end], "{t}: packet {n} of {count}");
            }
        }
    }
}

#[test]
fn a_forged_packet_stays_encrypted_wherever_it_stands_in_a_burst_and_its_neighbours_are_opened() {
    for name in FOR_BURSTS {
        let t = parse(name);
        let key = key(t, Backend::Auto);
        for count in [2, 9, 64] {
            let plain: Vec<Vec<u8>> = (1..).take(count).map(|seed| clear(t, 40 + 3 * seed as usize, seed)).collect();
            let mut sealed = plain.clone();
            for packet in &mut sealed {
                key.seal(packet, Some(9)).unwrap();
            }
            for wrong in 0..count {
                let mut packets = sealed.clone();
                // A bit of the ICV, of the text or of the sequence number; or the high half.
                let octet = [packets[wrong].len() - 1, 30, 7, 0][wrong % 4];
                if wrong % 4 < 3 {
                    packets[wrong][octet] ^= 1 << (wrong % 8);
                }
                let forged = packets[wrong].clone();
                let high = |n: usize| Some(if n == wrong && wrong % 4 == 3 { 8 } else { 9 });
                let mut jobs: Vec<Job<'_>> =
                    packets.iter_mut().enumerate().map(|(n, esp)| Job { esp, esn_high: high(n), ok: true }).collect();
                key.open_batch(&mut jobs);
                let refused: Vec<usize> = (0..count).filter(|n| !jobs[*n].ok).collect();
                assert_eq!(refused, [wrong], "{t}: of {count}");
                assert_eq!(packets[wrong], forged, "{t}: nothing of a forged packet is decrypted");
                for n in (0..count).filter(|n| *n != wrong) {
                    let end = plain[n].len() - t.icv_len();
                    assert!(packets[n][..end] == plain[n][..end], "{t}: packet {n} beside {wrong} of {count}");
                }
            }
        }
    }
}

#[test]
fn a_burst_may_be_empty() {
    for t in Transform::all() {
        let key = key(t, Backend::Auto);
        key.seal_batch(&mut []);
        key.open_batch(&mut []);
    }
}

#[test]
fn no_packet_costs_an_allocation() {
    assert_eq!(
        allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1)))).count_total,
        1,
        "the counter counts"
    );
    for t in Transform::all() {
        for backend in Backend::available() {
            let key = key(t, backend);
            if key.backend() != backend {
                continue;
            }
            let mut packets: Vec<Vec<u8>> = (1..=100).map(|seed| clear(t, 700, seed)).collect();
            let mut jobs: Vec<Job<'_>> = packets.iter_mut().map(|esp| Job { esp, esn_high: None, ok: false }).collect();
            let counted = allocation_counter::measure(|| {
                key.seal_batch(&mut jobs);
                key.open_batch(&mut jobs);
                for job in &mut jobs {
                    key.seal(job.esp, None).unwrap();
                    key.open(job.esp, None).unwrap();
                }
            });
            assert!(jobs.iter().all(|job| job.ok), "{t} by {backend}");
            assert_eq!(counted.count_total, 0, "{t} by {backend}");
        }
    }
}

#[test]
fn keys_of_the_wrong_length_are_refused() {
    for t in Transform::all() {
        let (encryption, integrity) = (t.encryption_key_len(), t.integrity_key_len());
        let try_new =
            |a: usize, b: usize| EspKey::new(t, &noise(a, 1), &noise(b, 2), Backend::Auto).map(|key| key.transform());
        assert_eq!(try_new(encryption, integrity), Ok(t));
        assert_eq!(
            try_new(encryption + 1, integrity),
            Err(EspError::KeyLength { need: encryption, have: encryption + 1 }),
            "{t}"
        );
        assert!(matches!(try_new(encryption, integrity + 1), Err(EspError::KeyLength { .. })), "{t}");
        if encryption > 0 {
            assert!(matches!(try_new(encryption - 1, integrity), Err(EspError::KeyLength { .. })), "{t}");
        }
    }
}

#[test]
fn key_and_salt_of_gmac_come_as_either_key() {
    let t = parse("aes256-gmac");
    let keying = noise(36, 4);
    let mut packets = [clear(t, 60, 1), clear(t, 60, 1)];
    EspKey::new(t, &keying, &[], Backend::Auto).unwrap().seal(&mut packets[0], None).unwrap();
    EspKey::new(t, &[], &keying, Backend::Auto).unwrap().seal(&mut packets[1], None).unwrap();
    assert_eq!(packets[0], packets[1]);
    assert!(matches!(EspKey::new(t, &keying, &keying, Backend::Auto), Err(EspError::KeyLength { need: 0, .. })));
    assert!(matches!(EspKey::new(t, &[], &[], Backend::Auto), Err(EspError::KeyLength { need: 36, have: 0 })));
}

#[test]
fn three_des_that_is_one_des_is_refused_whatever_its_parity() {
    let t = parse("3des+hmac-sha1");
    let (one, two, three) = (noise(8, 1), noise(8, 2), noise(8, 3));
    let parity: Vec<u8> = one.iter().map(|octet| octet ^ 1).collect();
    let try_new = |parts: [&Vec<u8>; 3]| {
        let keying: Vec<u8> = parts.into_iter().flatten().copied().collect();
        EspKey::new(t, &keying, &noise(20, 9), Backend::Auto).err()
    };
    assert_eq!(try_new([&one, &one, &three]), Some(EspError::WeakKey));
    assert_eq!(try_new([&one, &two, &two]), Some(EspError::WeakKey));
    assert_eq!(try_new([&one, &parity, &three]), Some(EspError::WeakKey));
    assert_eq!(try_new([&one, &two, &one]), None, "two-key 3DES is allowed");
    assert_eq!(try_new([&one, &two, &three]), None);
}

#[test]
fn a_transform_that_no_sa_can_use_is_refused() {
    for (cipher, mac) in [
        (Cipher::Null, None),
        (Cipher::AesCbc(100), Some(Mac::HmacSha1)),
        (Cipher::AesGcm { bits: 128, icv: 4 }, None),
        (Cipher::AesGcm { bits: 128, icv: 16 }, Some(Mac::HmacSha1)),
        (Cipher::AesGmac(64), None),
        (Cipher::AesGmac(128), Some(Mac::HmacMd5)),
    ] {
        let t = Transform { cipher, mac };
        let keys = (noise(t.encryption_key_len(), 1), noise(t.integrity_key_len(), 2));
        assert_eq!(EspKey::new(t, &keys.0, &keys.1, Backend::Auto).err(), Some(EspError::Unsupported), "{t:?}");
    }
}

#[test]
fn a_backend_that_cannot_gives_way() {
    for (name, asked, used) in [
        ("aes128-gcm16", Backend::Portable, Backend::Portable),
        ("aes128-gcm16", Backend::Ring, Backend::Ring),
        ("aes192-gcm16", Backend::Ring, Backend::Portable),
        ("aes192-gcm16", Backend::Batch, Backend::Portable),
        ("aes128-gcm8", Backend::Batch, Backend::Portable),
        ("aes128-cbc+hmac-sha1", Backend::Portable, Backend::Portable),
        ("aes128-cbc+hmac-sha1", Backend::Ring, Backend::Portable),
        ("3des+hmac-md5", Backend::Auto, Backend::Portable),
        ("3des+hmac-md5", Backend::Batch, Backend::Portable),
        ("aes128-gmac", Backend::Ring, Backend::Portable),
    ] {
        assert_eq!(key(parse(name), asked).backend(), used, "{name} {asked}");
    }
    let fastest = Backend::available().last().copied();
    assert_eq!(Some(key(parse("aes256-gcm16"), Backend::Auto).backend()), fastest);
    // The kernels do AES-CBC, and HMAC with every hash but MD5: one of the two is enough to be named.
    let lanes = fastest.filter(|backend| *backend == Backend::Batch).unwrap_or(Backend::Portable);
    for name in ["aes192-cbc+hmac-sha1", "aes256-cbc+hmac-md5", "3des+hmac-sha384", "null+hmac-sha512"] {
        for backend in [Backend::Auto, Backend::Batch] {
            assert_eq!(key(parse(name), backend).backend(), lanes, "{name} {backend}");
        }
    }
    for backend in Backend::ALL {
        assert_eq!(Backend::from_name(backend.name()), Some(backend));
    }
}

#[test]
fn a_key_shows_its_transform_and_nothing_else() {
    let shown = format!("{:?}", key(parse("aes192-gcm12"), Backend::Auto));
    assert_eq!(shown, "EspKey(aes192-gcm12 by portable)");
}
