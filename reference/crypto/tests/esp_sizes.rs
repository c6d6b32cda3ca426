//! The arithmetic of sizes against the tables of the vectors, and against itself.

mod common;

use common::{json, text};
use hallmark_crypto::esp::{Cipher, EspError, Mac, Transform};
use serde_json::Value;

/// Turns the words of the tables, such as `AES-CBC + SHA2-256-128`, into a transform.
fn transform(words: &str) -> Transform {
    let name = match words {
        "AES-GCM ICV8" => "aes128-gcm8",
        "AES-GCM ICV12" => "aes128-gcm12",
        "AES-GCM ICV16" => "aes128-gcm16",
        "AES-GMAC ICV16" => "aes128-gmac",
        "AES-CBC + SHA1-96" => "aes128-cbc+hmac-sha1",
        "AES-CBC + SHA2-256-128" => "aes128-cbc+hmac-sha256",
        "AES-CBC + SHA2-384-192" => "aes192-cbc+hmac-sha384",
        "AES-CBC + SHA2-512-256" => "aes256-cbc+hmac-sha512",
        "3DES-CBC + SHA1-96" => "3des+hmac-sha1",
        "NULL + SHA1-96" => "null+hmac-sha1",
        "NULL + SHA2-256-128" => "null+hmac-sha256",
        other => panic!("what is {other}?"),
    };
    name.parse().unwrap()
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

#[test]
fn overheads_and_largest_payloads_agree_with_the_table() {
    let vectors = json("vectors/esp.json");
    let rows = vectors["overhead"].as_array().unwrap();
    assert_eq!(rows.len(), 22);
    let mut judged = 0;
    for row in rows {
        let name = text(row, "transform");
        let (t, ip) = (transform(name), number(&row["outer_ip"]));
        assert_eq!(
            (t.iv_len(), t.align(), t.icv_len()),
            (number(&row["iv"]), number(&row["align"]), number(&row["icv"]))
        );
        let overheads = || (0..2_000).map(|inner| ip + t.overhead(inner));
        assert_eq!(overheads().min(), Some(number(&row["min_overhead"])), "{name}");
        assert_eq!(overheads().max(), Some(number(&row["max_overhead"])), "{name}");
        for (mtu, sizes) in row["per_mtu"].as_object().unwrap() {
            let stamp = if mtu.ends_with("+d3p") { 12 } else { 0 };
            let room = mtu.trim_end_matches("+d3p").parse::<usize>().unwrap() - ip;
            let inner = t.max_payload(room) - stamp;
            assert_eq!(inner, number(&sizes["max_inner"]), "{name} at {mtu}");
            assert_eq!(inner - ip - 20, number(&sizes["tcp_mss"]), "{name} at {mtu}");
            if let Some(fragment) = sizes["prefrag_ip4"].as_u64() {
                assert_eq!((20 + (inner - 20) / 8 * 8) as u64, fragment, "{name} at {mtu}");
            }
            judged += 1;
        }
    }
    assert_eq!(judged, 22 * 12);
}

#[test]
fn packet_lengths_agree_with_the_table() {
    let vectors = json("vectors/esp.json");
    let rows = vectors["total_length_by_inner"].as_array().unwrap();
    assert_eq!(rows.len(), 11);
    for row in rows {
        let t = transform(text(row, "transform"));
        for (family, ip) in [("ipv4", 20), ("ipv6", 40)] {
            for (inner, total) in row[family].as_object().unwrap() {
                let inner = inner.parse::<usize>().unwrap();
                assert_eq!(ip + inner + t.overhead(inner), number(total), "{t} {family} {inner}");
            }
        }
    }
}

#[test]
fn what_fits_a_path_agrees_with_the_table() {
    let vectors = json("vectors/esp.json");
    let rows = vectors["pmtu"].as_array().unwrap();
    assert_eq!(rows.len(), 33);
    for row in rows {
        let (t, inner) = (transform(text(row, "transform")), number(&row["inner_len"]));
        let room = number(&row["path_mtu"]) - 20;
        let most = t.max_payload(room);
        assert_eq!(inner <= most, text(row, "action") == "encrypt and send", "{row}");
        if let Some(next_hop) = row["next_hop_mtu"].as_u64() {
            assert_eq!(most, usize::try_from(next_hop).unwrap(), "{row}");
        }
        if let Some(lengths) = row["inner_fragment_lengths"].as_array() {
            let first = 20 + (most - 20) / 8 * 8;
            let pieces = [first, inner - first + 20];
            assert_eq!(lengths.iter().map(number).collect::<Vec<_>>(), pieces, "{row}");
            let sealed: Vec<_> = pieces.iter().map(|piece| 20 + piece + t.overhead(*piece)).collect();
            assert_eq!(row["esp_packet_lengths"].as_array().unwrap().iter().map(number).collect::<Vec<_>>(), sealed);
        }
    }
}

#[test]
fn the_largest_payload_fits_and_one_octet_more_does_not() {
    for t in Transform::all() {
        for room in 0..400 {
            let most = t.max_payload(room);
            assert!(most == 0 || most + t.overhead(most) <= room, "{t} {room}");
            assert!(most + 1 + t.overhead(most + 1) > room, "{t} {room}");
        }
    }
}

#[test]
fn padding_aligns_every_payload_with_less_than_one_block() {
    for t in Transform::all() {
        for payload in 0..100 {
            let pad = t.pad_len(payload);
            assert!((payload + pad + 2).is_multiple_of(t.align()) && pad < t.align(), "{t} {payload}");
            assert!((t.overhead(payload) + payload - t.icv_len()).is_multiple_of(4), "{t} {payload}");
            assert_eq!(t.check_len(payload + t.overhead(payload)), Ok(()), "{t} {payload}");
        }
    }
}

#[test]
fn received_lengths_are_judged_before_anything_else() {
    let t: Transform = "aes128-cbc+hmac-sha1".parse().unwrap();
    assert_eq!(t.check_len(0), Err(EspError::TooShort { need: 38, have: 0 }));
    assert_eq!(t.check_len(37), Err(EspError::TooShort { need: 38, have: 37 }));
    assert_eq!(t.check_len(38), Err(EspError::BadAlignment { len: 2, align: 16 }));
    assert_eq!(t.check_len(52), Ok(()));
    let t: Transform = "aes128-gcm16".parse().unwrap();
    assert_eq!(t.check_len(33), Err(EspError::TooShort { need: 34, have: 33 }));
    assert_eq!(t.check_len(35), Err(EspError::BadAlignment { len: 3, align: 4 }));
    assert_eq!(t.check_len(36), Ok(()));
}

#[test]
fn every_transform_is_read_back_from_its_name() {
    let all: Vec<_> = Transform::all().collect();
    // 12 combined modes; NULL, DES, 3DES and three AES-CBC with five MACs each.
    assert_eq!(all.len(), 12 + 6 * 5);
    for t in all {
        assert_eq!(t.to_string().parse(), Ok(t));
        assert_eq!(t.check(), Ok(()));
    }
    let cbc = Transform { cipher: Cipher::AesCbc(128), mac: Some(Mac::HmacSha256) };
    assert_eq!(cbc.to_string(), "aes128-cbc+hmac-sha256");
    assert_eq!(Transform { cipher: Cipher::AesGcm { bits: 256, icv: 12 }, mac: None }.to_string(), "aes256-gcm12");
    for wrong in ["", "null", "aes128-gcm16+hmac-sha1", "aes128-gmac+hmac-sha1", "aes128", "3des+", "+hmac-sha1", "?"] {
        assert_eq!(wrong.parse::<Transform>(), Err(EspError::Unsupported), "{wrong}");
    }
}
