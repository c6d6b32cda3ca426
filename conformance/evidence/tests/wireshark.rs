//! What a run leaves for Wireshark is tried with tshark itself, on a capture of another implementation.
#![allow(clippy::print_stderr, reason = "a test that cannot run here says so")]

use std::path::Path;
use std::process::Command;

use hallmark_core::Instant;
use hallmark_evidence::{CaseEvidence, KeyPolicy, KeyRecord, Secrets};
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

#[test]
fn tshark_decrypts_phase_1_and_pull_with_the_folder_that_is_left() {
    if Command::new("tshark").arg("-v").output().is_err() {
        assert!(
            std::env::var_os("HALLMARK_NOTHING_SKIPPED").is_none(),
            "tshark is not installed, and nothing may be skipped"
        );
        eprintln!("skipped: tshark is not installed");
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
