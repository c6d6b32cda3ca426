//! What a run leaves for Wireshark is tried with tshark itself, on a capture of another implementation.
#![allow(clippy::print_stderr, reason = "a test that cannot run here says so")]

use std::path::Path;
use std::process::Command;

use hallmark_core::Instant;
use hallmark_evidence::{CaseEvidence, KeyPolicy, KeyRecord, Secrets, Way};
use hallmark_wire::capture;

const CAPTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/captures");

/// Puts the frames and IKE keys of a foreign capture into evidence, as a run would.
fn evidence(name: &str) -> CaseEvidence {
    let folder = Path::new(CAPTURES).join(name);
    let secrets =
        Secrets::parse(&std::fs::read_to_string(folder.join("secrets.json")).expect("secrets")).expect("reads");
    let packets = capture::read(&std::fs::read(folder.join("capture.pcap")).expect("capture")).expect("reads");
    let mut evidence = CaseEvidence::new();
    for packet in packets {
        let ip = capture::ip_payload(packet.link_type, &packet.octets).expect("an IP packet");
        evidence.frame(Instant(0), packet.at, "wire", ip);
    }
    for sa in secrets.ike {
        evidence.key(KeyRecord::Ike {
            initiator_cookie: sa.icookie.0.try_into().expect("8 octets"),
            responder_cookie: sa.rcookie.0.try_into().expect("8 octets"),
            cipher: "3des".into(),
            hash: "sha1".into(),
            group: "modp1024".into(),
            g_xy: sa.g_xy.0,
            skeyid: sa.skeyid.0,
            skeyid_a: sa.skeyid_a.0,
            skeyid_e: sa.skeyid_e.0,
            key: sa.enc_key.0,
            iv: sa.phase1_iv.0,
        });
    }
    evidence
}

/// Tells whether tshark is there; says so where it is not.
fn has_tshark() -> bool {
    let there = Command::new("tshark").arg("-v").output().is_ok();
    if !there {
        assert!(
            std::env::var_os("HALLMARK_NOTHING_SKIPPED").is_none(),
            "tshark is not installed, and nothing may be skipped"
        );
        eprintln!("skipped: tshark is not installed");
    }
    there
}

/// Gives the name of a transform of the vectors as key records have it; none for what Wireshark does not know.
fn transform(words: &str) -> Option<String> {
    let (cipher, mac) = words.trim_start_matches("ESP ").split_once(" + ").unwrap_or((words, ""));
    let bits = ["128", "192", "256"].into_iter().find(|bits| cipher.contains(bits)).unwrap_or("");
    let cipher = match cipher.trim_start_matches("ESP ") {
        "NULL" => "null".to_owned(),
        "3DES-CBC" => "3des".to_owned(),
        cipher if cipher.starts_with("AES-CBC") => format!("aes{bits}-cbc"),
        cipher if cipher.starts_with("AES-GCM") => format!("aes{bits}-gcm{}", cipher.rsplit("ICV").next()?),
        _ => return None,
    };
    let mac = match mac.split_whitespace().next().unwrap_or("") {
        "" => return Some(cipher),
        "HMAC-MD5-96" => "hmac-md5",
        "HMAC-SHA1-96" => "hmac-sha1",
        "HMAC-SHA2-256-128" => "hmac-sha256",
        "HMAC-SHA2-384-192" => "hmac-sha384",
        "HMAC-SHA2-512-256" => "hmac-sha512",
        _ => return None,
    };
    Some(format!("{cipher}+{mac}"))
}

#[test]
fn tshark_opens_the_esp_of_every_transform_that_it_knows() {
    if !has_tshark() {
        return;
    }
    let text = std::fs::read_to_string(Path::new(CAPTURES).join("../vectors/esp.json")).expect("vectors");
    let vectors: serde_json::Value = serde_json::from_str(&text).expect("reads");
    let mut evidence = CaseEvidence::new();
    let mut expected = Vec::new();
    let mut transforms = std::collections::BTreeSet::new();
    for vector in vectors["esp"].as_array().expect("a list") {
        let word = |key: &str| vector[key].as_str().expect("text").to_owned();
        let octets = |key: &str| hex::decode(word(key)).expect("hex");
        // 64-bit numbers and stamps are no part of the table, and dummy packets have nothing to look into.
        let plain = vector["esn_high"].is_null() && !word("transform").contains("D3P") && vector["next_header"] != 59;
        let Some(transform) = transform(&word("transform")).filter(|_| plain) else { continue };
        evidence.carried(Instant(0), hallmark_core::UnixTime::default(), "wan0", Way::OutOf, &octets("outer"));
        evidence.key(KeyRecord::Tek {
            spi: u32::from_be_bytes(octets("spi").try_into().expect("4 octets")),
            transform: transform.clone(),
            algorithm_key: [octets("enc_key"), octets("salt")].concat(),
            integrity_key: octets("auth_key"),
        });
        expected.push((word("name"), vector["pad_len"].to_string()));
        transforms.insert(transform);
    }
    assert!(transforms.len() >= 13, "{transforms:?}");
    let folder = std::env::temp_dir().join(format!("hallmark-esp-{}", std::process::id()));
    evidence.write(&folder, "vectors", KeyPolicy::Embed, &folder, &|_, _| None).expect("writes");
    let profile = folder.join("wireshark");
    let output = Command::new("tshark")
        .env("WIRESHARK_CONFIG_DIR", &profile)
        .args(["-T", "fields", "-e", "esp.contained_data", "-e", "esp.pad_len", "-e", "esp.icv_bad", "-r"])
        .arg(profile.join("trace.pcapng"))
        .output()
        .expect("tshark runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    std::fs::remove_dir_all(&folder).expect("cleans up");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.len(), expected.len(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for ((name, pad_len), line) in expected.iter().zip(&lines) {
        assert_eq!(line.get(1).copied(), Some(pad_len.as_str()), "{name}: {line:?}");
        assert_eq!(line.get(2).copied(), Some("0"), "{name}: the ICV is wrong: {line:?}");
    }
}

#[test]
fn tshark_decrypts_phase_1_and_pull_with_the_folder_that_is_left() {
    if !has_tshark() {
        return;
    }
    let folder = std::env::temp_dir().join(format!("hallmark-wireshark-{}", std::process::id()));
    let evidence = evidence("pull-push-kek3des-sha1-rsa1024");
    evidence.write(&folder, "foreign", KeyPolicy::Embed, &folder, &|_, _| None).expect("writes");
    let profile = folder.join("wireshark");
    let output = Command::new("tshark")
        .env("WIRESHARK_CONFIG_DIR", &profile)
        .args(["-T", "fields", "-e", "frame.number", "-e", "isakmp.hash", "-r"])
        .arg(profile.join("trace.pcapng"))
        .output()
        .expect("tshark runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // Main mode 5 and 6 and the four messages of each of the two PULLs carry a HASH payload that only a decrypted
    // body shows.
    let hashes = text.lines().filter(|line| line.split('\t').nth(1).is_some_and(|hash| hash.len() == 40)).count();
    std::fs::remove_dir_all(&folder).expect("cleans up");
    assert_eq!(hashes, 12, "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    // HASH_I and HASH_R of the first IKE SA, as the decoder beside the capture has them.
    let decoded = std::fs::read_to_string(Path::new(CAPTURES).join("pull-push-kek3des-sha1-rsa1024/decoded.txt"));
    let decoded = decoded.expect("reads");
    for line in decoded.lines().filter(|line| line.contains("HASH(8)")).take(2) {
        let hash = line.rsplit("body=").next().expect("a body");
        assert!(text.contains(hash), "{hash}: {text}");
    }
}
