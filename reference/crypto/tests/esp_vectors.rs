//! Every ESP vector, published packets, and what must be refused.

mod common;

use common::{json, octets, text, unhex};
use hallmark_crypto::esp::{Backend, EspError, EspKey, Job, TrailerError, Transform, trailer};
use serde_json::Value;

const VECTORS: &str = "vectors/esp.json";

/// Turns the words of the vectors, such as `ESP AES-CBC-128 + HMAC-SHA1-96 ESN`, into a transform.
fn transform(words: &str) -> Transform {
    let mut name = String::new();
    for word in words.trim_start_matches("ESP ").replace(" + ", "+").split([' ', '+']) {
        name += match word {
            "AES-GCM-128" => "aes128-gcm",
            "AES-GCM-192" => "aes192-gcm",
            "AES-GCM-256" => "aes256-gcm",
            "ICV8" => "8",
            "ICV12" => "12",
            "ICV16" => "16",
            "AES-CBC-128" => "aes128-cbc",
            "AES-CBC-192" => "aes192-cbc",
            "AES-CBC-256" => "aes256-cbc",
            "3DES-CBC" => "3des",
            "NULL" => "null",
            "AES-GMAC-128" => "aes128-gmac",
            "AES-GMAC-256" => "aes256-gmac",
            "HMAC-MD5-96" => "+hmac-md5",
            "HMAC-SHA1-96" => "+hmac-sha1",
            "HMAC-SHA2-256-128" => "+hmac-sha256",
            "HMAC-SHA2-384-192" => "+hmac-sha384",
            "HMAC-SHA2-512-256" => "+hmac-sha512",
            "ESN" | "IP-D3P" | "(legacy)" | "NULL-AUTH" => "",
            other => panic!("{words}: what is {other}?"),
        };
    }
    name.parse().unwrap_or_else(|error| panic!("{words} as {name}: {error}"))
}

fn key(vector: &Value, words: &str, backend: Backend) -> EspKey {
    let encryption = [octets(vector, "enc_key"), octets(vector, "salt")].concat();
    let integrity = vector["auth_key"].as_str().map(unhex).unwrap_or_default();
    EspKey::new(transform(words), &encryption, &integrity, backend).unwrap_or_else(|error| panic!("{words}: {error}"))
}

fn esn_high(vector: &Value) -> Option<u32> {
    vector["esn_high"].as_u64().map(|high| u32::try_from(high).unwrap())
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn jobs(burst: &mut [Vec<u8>], esn_high: Option<u32>) -> Vec<Job<'_>> {
    burst.iter_mut().map(|esp| Job { esp, esn_high, ok: false }).collect()
}

#[test]
fn every_vector_is_sealed_to_its_octets_and_opened_by_every_backend() {
    let vectors = json(VECTORS);
    let vectors = vectors["esp"].as_array().unwrap();
    assert_eq!(vectors.len(), 50);
    for backend in Backend::available() {
        for vector in vectors {
            let name = text(vector, "name");
            let key = key(vector, text(vector, "transform"), backend);
            let t = key.transform();
            assert_eq!(t.iv_len(), octets(vector, "iv").len(), "{name}");
            assert_eq!(t.icv_len(), number(&vector["icv_len"]), "{name}");

            let mut payload = [octets(vector, "pre_inner"), octets(vector, "inner")].concat();
            let plaintext = octets(vector, "plaintext");
            let (tfc, pad) = (number(&vector["tfc_len"]), number(&vector["pad_len"]));
            payload.extend_from_slice(&plaintext[payload.len()..payload.len() + tfc]);
            let mut sealed = [
                octets(vector, "spi"),
                u32::try_from(vector["seq"].as_u64().unwrap()).unwrap().to_be_bytes().to_vec(),
                octets(vector, "iv"),
                payload.clone(),
                vec![0; pad + 2 + t.icv_len()],
            ]
            .concat();
            let start = t.header_len() + payload.len();
            let next_header = u8::try_from(number(&vector["next_header"])).unwrap();
            trailer::write(&mut sealed[start..start + pad + 2], next_header);
            if !name.contains("extra-padding") {
                assert_eq!(t.pad_len(payload.len()), pad, "{name}");
            }
            assert_eq!(sealed[t.header_len()..start + pad + 2], plaintext, "{name}");

            // As one of many, which other code may do.
            let mut burst = vec![sealed.clone(); 20];
            key.seal_batch(&mut jobs(&mut burst, esn_high(vector)));
            for packet in &burst {
                assert_eq!(hex::encode(packet), text(vector, "esp"), "{name} by {backend} in a burst");
            }
            key.open_batch(&mut jobs(&mut burst, esn_high(vector)));
            for packet in &burst {
                assert_eq!(packet[t.header_len()..start + pad + 2], plaintext, "{name} by {backend} in a burst");
            }

            key.seal(&mut sealed, esn_high(vector)).unwrap();
            assert_eq!(hex::encode(&sealed), text(vector, "esp"), "{name} by {backend}");
            let opened = key.open(&mut sealed, esn_high(vector)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(opened, plaintext, "{name} by {backend}");
            assert_eq!(trailer::parse(opened, true), Ok((payload.len(), next_header)), "{name}");
        }
    }
}

#[test]
fn published_packets_are_opened_and_sealed_again() {
    for backend in Backend::available() {
        let vectors = json(VECTORS);
        let published = vectors["published"].as_array().unwrap();
        assert_eq!(published.len(), 4);
        for (vector, name) in published.iter().zip(["aes128-cbc", "aes128-gcm16", "aes256-gcm16", "aes128-gmac"]) {
            let transform: Transform = name.parse().unwrap();
            let salt = vector["salt"].as_str().map(unhex).unwrap_or_default();
            let keying = [octets(vector, "enc_key"), salt].concat();
            let key = EspKey::new(transform, &keying, &[], backend).unwrap();
            let packet = match vector["esp"].as_str() {
                Some(esp) => unhex(esp),
                None => octets(vector, "outer")[20..].to_vec(),
            };
            let mut work = packet.clone();
            let opened = key.open(&mut work, esn_high(vector)).unwrap_or_else(|error| panic!("{name}: {error}"));
            if let Some(plaintext) = vector["plaintext"].as_str() {
                assert_eq!(hex::encode(&opened), plaintext, "{name}");
            }
            if let Some(inner) = vector["inner"].as_str() {
                let (len, next_header) = trailer::parse(opened, true).unwrap();
                assert_eq!((hex::encode(&opened[..len]).as_str(), next_header), (inner, 4), "{name}");
            }
            let end = work.len() - transform.icv_len();
            work[end..].fill(0);
            key.seal(&mut work, esn_high(vector)).unwrap();
            assert_eq!(work, packet, "{name} by {backend}");
        }
    }
}

#[test]
fn every_negative_packet_is_refused_for_its_reason() {
    let vectors = json(VECTORS);
    let base = |name: &str| vectors["esp"].as_array().unwrap().iter().find(|v| v["name"] == name).unwrap().clone();
    let negative = vectors["esp_negative"].as_array().unwrap();
    assert_eq!(negative.len(), 28);
    let mut judged = 0;
    for backend in Backend::available() {
        for case in negative {
            let (name, packet) = (text(case, "name"), octets(case, "packet"));
            let base = base(text(case, "base"));
            let key = key(&base, text(&base, "transform"), backend);
            let mut esp = packet[20..].to_vec();
            let mut burst = vec![esp.clone(); 9];
            let mut jobs = jobs(&mut burst, None);
            key.open_batch(&mut jobs);
            let outcome = key.open(&mut esp, None).map(|plaintext| trailer::parse(plaintext, true));
            assert!(jobs.iter().all(|job| job.ok == outcome.is_ok()), "{name} by {backend} in a burst");
            let code = match outcome {
                Err(error) => error.code().as_str(),
                Ok(Err(error)) => error.code().as_str(),
                Ok(Ok(_)) => "opened",
            };
            let expect = text(case, "expect");
            let want = match text(case, "stage") {
                "crypto" | "parse" | "post-decrypt" if expect.starts_with("drop bad_icv") => "esp.bad-icv",
                "parse" if expect.starts_with("drop too_short") => "esp.too-short",
                "parse" if expect.starts_with("drop bad_alignment") => "esp.bad-alignment",
                "post-decrypt" if expect.starts_with("drop bad_pad_length") => "esp.bad-pad-length",
                "post-decrypt" if expect.starts_with("drop bad_pad_bytes") => "esp.bad-pad-octets",
                // What is wrong with these lies in the inner packet, the policy or the lookup.
                "post-decrypt" | "pre-ESP" => "opened",
                // SPI is part of what is authenticated: a packet under another SPI is forged for this key.
                "lookup" => "esp.bad-icv",
                stage => panic!("{name}: what is stage {stage}?"),
            };
            assert_eq!(code, want, "{name} by {backend}");
            judged += 1;
        }
    }
    assert_eq!(judged, 28 * Backend::available().len());
}

#[test]
fn trailer_errors_and_packet_errors_have_codes_of_their_own() {
    let packet = [
        EspError::Unsupported,
        EspError::KeyLength { need: 1, have: 2 },
        EspError::WeakKey,
        EspError::TooShort { need: 1, have: 0 },
        EspError::BadAlignment { len: 1, align: 4 },
        EspError::BadIcv,
    ];
    let mut codes: Vec<_> = packet.iter().map(|error| error.code().as_str()).collect();
    codes.extend([TrailerError::PadLength, TrailerError::PadOctets].map(|error| error.code().as_str()));
    let unique: std::collections::BTreeSet<_> = codes.iter().collect();
    assert_eq!(unique.len(), codes.len());
    assert!(codes.iter().all(|code| code.starts_with("esp.")));
}
