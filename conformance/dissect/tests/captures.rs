//! The captures of another implementation, against the listing that an independent decoder made of each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hallmark_dissect::{Check, Compat, Dissection, Frame, Options, Protection, Secrets, Switch, Verdict};
use hallmark_wire::capture::{CapturedPacket, read};

use Switch::{
    AesNoKeyLength as NoLen, AttrZeroDefault as Attr0, KdOldSpi as OldSpi, KekLifetimeTv as LifeTv,
    KeyIdLittleEndian as KeyId, SakInTekPush as SakTek, SakSixReserved as Sak6, SatAddressesReversed as Sat,
    SeqContinues as SeqGoesOn, SidLittleEndian as Sid, SigBareDigest as Bare, TekKeyLengthZero as Len0,
};

/// Says what a capture needs: switches with the number of messages, and which of them are no proof on their own.
struct Expected {
    name: &'static str,
    used: &'static [(Switch, usize)],
    /// Without the switch these octets have another legal reading, so they are suspected and not failed.
    suspected: &'static [Switch],
    /// Messages that hold HASH_I, HASH_R, HASH(n) or SIG, all verified.
    verified: usize,
}

const TABLE: [Expected; 19] = [
    expected("fixed-iec90-5", &[(LifeTv, 2), (SakTek, 1)], &[], 7),
    expected("fixed-p1-3des-sha1-modp1536-kek3des", &[(LifeTv, 3), (SakTek, 2)], &[], 9),
    expected("fixed-subnet-tek", &[(LifeTv, 2), (SakTek, 1)], &[], 8),
    expected("pull-aggressive", &[(KeyId, 1)], &[KeyId], 3),
    expected(
        "pull-gcm-sids",
        &[
            (NoLen, 2),
            (KeyId, 2),
            (Sat, 3),
            (Sak6, 3),
            (Bare, 2),
            (LifeTv, 3),
            (Attr0, 3),
            (Len0, 3),
            (Sid, 2),
            (SakTek, 1),
        ],
        &[KeyId],
        14,
    ),
    expected("pull-iec90-5", &[], &[], 6),
    expected("pull-p1-aes-keylen128", &[(KeyId, 1), (Sat, 1)], &[KeyId, Sat], 6),
    expected("pull-p1-modp1024-md5-aes", &[(NoLen, 1), (KeyId, 1), (Sat, 1)], &[KeyId, Sat], 6),
    expected("pull-p1-modp768", &[(KeyId, 1), (Sat, 1)], &[KeyId, Sat], 6),
    expected("pull-psk-3des-sha1-nokek-gap", &[(KeyId, 1), (Sat, 1)], &[KeyId, Sat], 6),
    expected("pull-push-iec90-5", &[(NoLen, 1), (Sak6, 2), (Bare, 1), (LifeTv, 2), (SakTek, 1)], &[], 7),
    expected(
        "pull-push-kek3des-kekrekey",
        &[(KeyId, 1), (Sat, 6), (Sak6, 10), (Bare, 10), (OldSpi, 4), (LifeTv, 10), (SeqGoesOn, 4), (SakTek, 5)],
        &[KeyId],
        16,
    ),
    expected(
        "pull-push-kek3des-sha1-rsa1024",
        &[(KeyId, 2), (Sat, 5), (Sak6, 5), (Bare, 4), (LifeTv, 5), (SakTek, 3)],
        &[KeyId],
        16,
    ),
    expected(
        "pull-push-kekaes-sha1-rsa1024",
        &[(NoLen, 2), (KeyId, 2), (Sat, 5), (Sak6, 5), (Bare, 4), (LifeTv, 5), (Len0, 5), (SakTek, 3)],
        &[KeyId],
        16,
    ),
    expected(
        "pull-push-kekaes-sha256-rsa2048",
        &[(NoLen, 1), (KeyId, 1), (Sat, 4), (Sak6, 4), (Bare, 4), (LifeTv, 4), (Attr0, 4), (Len0, 4), (SakTek, 3)],
        &[KeyId],
        10,
    ),
    expected(
        "pull-push-p1aes128-kekaes-sha256-rsa2048-tek3des",
        &[(KeyId, 2), (Sat, 4), (Sak6, 4), (Bare, 3), (LifeTv, 4), (SakTek, 2)],
        &[KeyId],
        15,
    ),
    expected(
        "pull-push-subnet-tek",
        &[(NoLen, 1), (KeyId, 1), (Sat, 2), (Sak6, 2), (Bare, 2), (LifeTv, 2), (Attr0, 2), (Len0, 2), (SakTek, 1)],
        &[KeyId],
        8,
    ),
    expected(
        "pull-push-tekaddr-palindrome",
        &[(NoLen, 1), (KeyId, 1), (Sak6, 2), (Bare, 2), (LifeTv, 2), (Attr0, 2), (Len0, 2), (SakTek, 1)],
        &[KeyId],
        8,
    ),
    expected(
        "push-delete-on-shutdown",
        &[(NoLen, 1), (KeyId, 1), (Sat, 2), (Sak6, 2), (Bare, 2), (LifeTv, 2), (Attr0, 2), (Len0, 2), (SakTek, 1)],
        &[KeyId],
        8,
    ),
];

const fn expected(
    name: &'static str,
    used: &'static [(Switch, usize)],
    suspected: &'static [Switch],
    verified: usize,
) -> Expected {
    Expected { name, used, suspected, verified }
}

#[test]
fn every_capture_opens_decodes_and_verifies_with_exactly_the_switches_it_needs() {
    for expected in &TABLE {
        let name = expected.name;
        let dissection = dissect(name, &Compat::gdoid_2011());
        assert!(dissection.is_ok(), "{name}: {:?}", failures(&dissection));
        let totals = dissection.totals();
        assert_eq!((totals.failed, totals.not_checkable, totals.undecodable, totals.closed), (0, 0, 0, 0), "{name}");
        assert_eq!((totals.messages, totals.others), (totals.frames, 0), "{name}");
        assert_eq!(dissection.used, expected.used.iter().copied().collect::<BTreeMap<_, _>>(), "{name}");
        for frame in &dissection.frames {
            let encrypted = frame.header.is_some_and(|header| header.flags.0 & 1 != 0);
            assert_eq!(matches!(frame.protection, Protection::Decrypted(_)), encrypted, "{name} {}", frame.number);
            let encoding = frame.check("encoding").map(|check| check.verdict);
            assert_eq!(encoding, Some(Verdict::Ok), "{name} {}", frame.number);
        }
        let verified = dissection.frames.iter().flat_map(cryptographic).count();
        assert_eq!(verified, expected.verified, "{name}");
    }
}

#[test]
fn the_numbers_of_deviations_are_those_of_the_independent_listing() {
    let marks = [
        (Sak6, "reserved(6)="),
        (Bare, "(raw hash, no DigestInfo)"),
        (LifeTv, "KEK_KEY_LIFETIME TV"),
        (Attr0, "ADDRESS_PRESERVATION TV 0"),
        (KeyId, "body=0b000000d2040000"),
        (Sid, "SID_VALUE TLV 0[1-9]"),
    ];
    for expected in &TABLE {
        let text = text(expected.name, "decoded.txt");
        for (switch, mark) in marks {
            let (mark, digits) = mark.split_once('[').map_or((mark, false), |(mark, _)| (mark, true));
            let holds =
                |line: &str| line.find(mark).is_some_and(|at| !digits || !line[at + mark.len()..].starts_with('0'));
            let listed = text.split("\n#").filter(|frame| frame.lines().any(holds)).count();
            let used = expected.used.iter().find(|(used, _)| *used == switch).map_or(0, |(_, count)| *count);
            // In the listing of a message that holds sender ids, each id has its own line; SID 0 reads both ways.
            assert_eq!(used, listed, "{} {switch}", expected.name);
        }
    }
}

#[test]
fn without_switches_each_deviation_fails_under_its_name_and_everything_is_still_read() {
    for expected in &TABLE {
        let name = expected.name;
        let strict = dissect(name, &Compat::none());
        let certain: BTreeMap<Switch, usize> =
            expected.used.iter().copied().filter(|(switch, _)| !expected.suspected.contains(switch)).collect();
        assert_eq!(strict.explaining_switches(), certain, "{name}");
        let suspected: Vec<Switch> = strict.suspected_switches().into_keys().collect();
        assert_eq!(suspected, expected.suspected, "{name}");
        assert_eq!(strict.is_ok(), certain.is_empty(), "{name}");
        assert_eq!(strict.used, BTreeMap::new(), "{name}");
        // No failure is left without a name, and the keys were found all the same.
        for (number, check) in failures(&strict) {
            assert!(check.switch.is_some(), "{name} {number}: {check:?}");
        }
        assert_eq!(strict.totals().closed, 0, "{name}");
    }
}

#[test]
fn allowing_all_switches_but_one_leaves_exactly_that_one() {
    for left_out in [Sak6, Bare, OldSpi, LifeTv, SeqGoesOn, SakTek] {
        let compat: Compat = Compat::gdoid_2011().iter().filter(|switch| *switch != left_out).collect();
        let dissection = dissect("pull-push-kek3des-kekrekey", &compat);
        let failed: Vec<Switch> = dissection.explaining_switches().into_keys().collect();
        assert_eq!(failed, [left_out]);
    }
}

#[test]
fn frames_checks_and_payloads_agree_with_the_independent_listing() {
    for expected in &TABLE {
        let name = expected.name;
        let dissection = dissect(name, &Compat::gdoid_2011());
        let listed = listing(name);
        assert_eq!(dissection.frames.len(), listed.len(), "{name}");
        for (frame, listed) in dissection.frames.iter().zip(&listed) {
            let place = format!("{name} {}", frame.number);
            assert_eq!(frame.number, listed.number, "{place}");
            let (src, dst) = frame.ends.expect("ends");
            assert_eq!(format!("{src}->{dst}"), listed.ends, "{place}");
            assert_eq!(
                frame.payloads,
                listed.payloads.iter().map(|(kind, _)| kind.clone()).collect::<Vec<_>>(),
                "{place}"
            );
            for (node, (kind, body)) in frame.tree.iter().zip(&listed.payloads) {
                if ["HASH", "NONCE", "KE", "SIG"].contains(&kind.as_str()) {
                    assert_eq!(&node.value, body, "{place} {kind}");
                }
            }
            let ours: Vec<(String, Verdict)> =
                cryptographic(frame).map(|check| (check.name.to_owned(), check.verdict)).collect();
            let theirs: Vec<(String, Verdict)> =
                listed.checks.iter().map(|check| (check.name.clone(), check.verdict)).collect();
            if name == "pull-aggressive" && frame.number < 4 {
                // That decoder verifies nothing in aggressive mode; HASH_R and HASH_I are ours alone.
                assert_eq!((ours.len(), theirs.len()), (usize::from(frame.number > 1), 0), "{place}");
                continue;
            }
            assert_eq!(ours, theirs, "{place}");
            for (check, theirs) in cryptographic(frame).zip(&listed.checks).filter(|(check, _)| check.name == "SIG") {
                assert_eq!(
                    check.switch == Some(Switch::SigBareDigest),
                    theirs.text.contains("no DigestInfo"),
                    "{place}"
                );
                let unpadded_only = theirs.text.contains("len=unpadded :");
                assert_eq!(check.detail.contains("without padding"), unpadded_only, "{place}: {}", check.detail);
                assert_eq!(check.detail.contains("no padding"), !unpadded_only, "{place}: {}", check.detail);
            }
            let lines: String = frame.tree.iter().flat_map(|tree| tree.lines()).collect::<Vec<_>>().join("\n");
            for token in &listed.tokens {
                assert!(lines.contains(token), "{place}: {token} is not in\n{lines}");
            }
        }
    }
}

#[test]
fn whatever_keys_there_are_suffice() {
    let name = "pull-push-kek3des-kekrekey";
    let full: serde_json::Value = serde_json::from_str(&text(name, "secrets.json")).expect("json");
    let ike = |fields: &[&str]| {
        let mut entry = serde_json::Map::new();
        for field in [&["icookie", "rcookie"], fields].concat() {
            entry.insert(field.to_owned(), full["ike"][0][field].clone());
        }
        serde_json::json!({ "ike": [entry] })
    };
    let listed = |fields: &[&str]| -> serde_json::Value {
        fields.iter().map(|field| ((*field).to_owned(), full[*field].clone())).collect::<serde_json::Map<_, _>>().into()
    };
    // The keys, and how many of the six IKE hashes they verify.
    let cases = [
        ("PSK and g^xy", listed(&["psk", "g_xy"]), 6),
        ("SKEYID and g^xy", ike(&["skeyid", "g_xy"]), 6),
        ("SKEYIDs without cookies", listed(&["log_skeyid", "log_skeyid_a", "skeyid_e"]), 6),
        ("SKEYID_a and SKEYID_e", ike(&["skeyid_a", "skeyid_e"]), 4),
        ("cipher key", ike(&["enc_key"]), 0),
        (
            "cipher key and PSK",
            {
                let mut both = ike(&["enc_key"]);
                both["psk"] = full["psk"].clone();
                both
            },
            2,
        ),
        ("Wireshark's table", listed(&["ikev1_decryption_table"]), 0),
    ];
    for (what, keys, hashes) in cases {
        let secrets = Secrets::parse(&keys.to_string()).expect("secrets");
        let dissection = Dissection::of(&packets(name), &secrets, &options(&Compat::gdoid_2011()));
        assert!(dissection.is_ok(), "{what}: {:?}", failures(&dissection));
        assert_eq!(dissection.totals().closed, 0, "{what}");
        let verified = |prefix: &str| {
            let checks = dissection.frames.iter().flat_map(cryptographic);
            checks.filter(|check| check.name.starts_with(prefix) && check.verdict == Verdict::Ok).count()
        };
        assert_eq!((verified("HASH"), verified("SIG")), (hashes, 10), "{what}");
    }
}

#[test]
fn keks_alone_open_the_rekeys_and_nothing_else() {
    let name = "pull-push-kek3des-kekrekey";
    let full: serde_json::Value = serde_json::from_str(&text(name, "secrets.json")).expect("json");
    let secrets = Secrets::parse(&serde_json::json!({ "keks": full["keks"] }).to_string()).expect("secrets");
    let dissection = Dissection::of(&packets(name), &secrets, &options(&Compat::gdoid_2011()));
    let closed: Vec<usize> =
        dissection.frames.iter().filter(|frame| is_closed(frame)).map(|frame| frame.number).collect();
    assert_eq!(closed, [5, 6, 7, 8, 9, 10]);
    assert!(
        dissection.frames.iter().skip(10).all(|frame| frame.check("SIG").is_some_and(|sig| sig.verdict == Verdict::Ok))
    );
    assert!(dissection.is_ok());
}

#[test]
fn without_keys_messages_stay_closed_and_nothing_is_called_verified() {
    let dissection = Dissection::of(
        &packets("pull-push-kek3des-sha1-rsa1024"),
        &Secrets::default(),
        &options(&Compat::gdoid_2011()),
    );
    let totals = dissection.totals();
    assert_eq!((totals.closed, totals.decrypted, totals.failed), (16, 0, 0));
    assert!(dissection.frames.iter().flat_map(cryptographic).all(|check| check.verdict == Verdict::NotCheckable));
}

#[test]
fn one_flipped_bit_fails_exactly_the_check_that_covers_it() {
    let name = "pull-push-kek3des-sha1-rsa1024";
    // Frame, octet of the ISAKMP message (behind Ethernet, IP and UDP), and the check that has to fail there. The
    // second cipher block of the HASH payload is all HASH, so that nothing but HASH changes.
    for (frame, octet, check) in [
        (7, 28 + 8, "HASH(1)"),
        (8, 28 + 8, "HASH(2)"),
        (9, 28 + 8, "HASH(3)"),
        (10, 28 + 8, "HASH(4)"),
        (5, 28 + 20, "HASH_I"),
        (6, 28 + 20, "HASH_R"),
        (21, 900 - 40, "SIG"),
        (24, 28 + 60, "SIG"),
    ] {
        let mut packets = packets(name);
        packets[frame - 1].octets[14 + 20 + 8 + octet] ^= 0x10;
        let dissection = Dissection::of(&packets, &secrets(name), &options(&Compat::gdoid_2011()));
        assert!(!dissection.is_ok(), "{frame}");
        let failed: Vec<(usize, &str)> =
            failures(&dissection).iter().map(|(number, check)| (*number, check.name)).collect();
        assert!(failed.contains(&(frame, check)), "{frame}: {failed:?}");
        assert!(failed.iter().all(|(number, _)| *number == frame), "{frame}: {failed:?}");
        assert!(dissection.frames[frame - 1].notes.iter().any(|note| note.contains("checksum")), "{frame}");
    }
}

#[test]
fn a_shortened_message_does_not_decode() {
    let name = "pull-psk-3des-sha1-nokek-gap";
    // The capture did not keep the whole frame.
    let mut cut = packets(name);
    cut[7].octets.truncate(100);
    let dissection = Dissection::of(&cut, &secrets(name), &options(&Compat::gdoid_2011()));
    assert!(!dissection.is_ok());
    let error = dissection.frames[7].error.as_ref().expect("an error");
    assert!(error.detail.contains("did not keep the whole frame"), "{}", error.detail);
    // The datagram is shorter than its ISAKMP length says.
    let mut short = packets(name);
    let octets = &mut short[2].octets;
    octets.truncate(octets.len() - 16);
    for (at, less) in [(16, 16), (38, 16)] {
        let length = u16::from_be_bytes([octets[at], octets[at + 1]]) - less;
        octets[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
    let dissection = Dissection::of(&short, &secrets(name), &options(&Compat::gdoid_2011()));
    let error = dissection.frames[2].error.as_ref().expect("an error");
    assert_eq!(error.code.as_str(), "isakmp.length-mismatch");
    // The public value of the initiator is gone, so what rests on it cannot be checked and is not called wrong.
    assert_eq!(dissection.frames[4].check("HASH_I").map(|check| check.verdict), Some(Verdict::NotCheckable));
    assert!(!dissection.is_ok());
}

#[test]
fn a_wrong_key_is_named_as_that() {
    let name = "pull-push-kek3des-sha1-rsa1024";
    let change = |pointer: &[&str], value: &str| {
        let mut json: serde_json::Value = serde_json::from_str(&text(name, "secrets.json")).expect("json");
        for pointer in pointer {
            *json.pointer_mut(pointer).expect("a field") = value.into();
        }
        Secrets::parse(&json.to_string()).expect("secrets")
    };
    let wrong_key = "00".repeat(24);
    let run = |secrets: &Secrets| Dissection::of(&packets(name), secrets, &options(&Compat::gdoid_2011()));
    // The cipher key of one IKE SA.
    let dissection = run(&change(&["/ike/0/enc_key"], &wrong_key));
    let check = dissection.frames[4].check("decryption").expect("a check");
    assert!(check.is_failed() && check.detail.contains("wrong key"), "{check:?}");
    assert!(dissection.frames[14].is_ok(), "the other SA opens");
    // A wrong PSK where nothing else is known.
    let psk = |psk: &str| {
        let json: serde_json::Value = serde_json::from_str(&text(name, "secrets.json")).expect("json");
        let secrets = Secrets::parse(&serde_json::json!({ "psk": psk, "g_xy": json["g_xy"] }).to_string());
        run(&secrets.expect("secrets"))
    };
    assert!(psk("mekmitasdigoat").is_ok());
    let dissection = psk("mekmitasdigoat!");
    let check = dissection.frames[4].check("decryption").expect("a check");
    assert!(check.is_failed() && check.detail.contains("none of the 2 sets of keys"), "{check:?}");
    // A SKEYID_a that contradicts the rest.
    let dissection = run(&change(&["/ike/0/skeyid_a"], &"11".repeat(20)));
    assert!(dissection.frames[4].check("secrets").is_some_and(|check| check.detail.contains("SKEYID_a")));
    assert!(dissection.frames[6].check("HASH(1)").is_some_and(Check::is_failed));
    // A KEK.
    let json: serde_json::Value = serde_json::from_str(&text(name, "secrets.json")).expect("json");
    let mut keks = json["keks"].clone();
    keks[0]["key"] = wrong_key.into();
    let secrets = Secrets::parse(&serde_json::json!({ "keks": [keks[0]] }).to_string()).expect("secrets");
    let dissection = run(&secrets);
    let check = dissection.frames[20].check("decryption").expect("a check");
    assert!(check.is_failed() && check.detail.contains("wrong key: the KEK"), "{check:?}");
}

#[test]
fn a_replayed_and_a_late_push_are_told_apart() {
    let name = "pull-push-kek3des-sha1-rsa1024";
    // The same octets again are a repeat, wherever they go.
    let mut repeated = packets(name);
    let mut copy = repeated[21].clone();
    copy.octets[33] ^= 1;
    repeated.insert(23, copy);
    let dissection = Dissection::of(&repeated, &secrets(name), &options(&Compat::gdoid_2011()));
    assert_eq!(dissection.frames[23].repeat_of, Some(22));
    assert!(dissection.is_ok() && dissection.totals().repeats == 1);
    // Another order is no repeat.
    let mut late = packets(name);
    late.swap(21, 22);
    let strict: Compat = Compat::gdoid_2011().iter().filter(|switch| *switch != Switch::SeqWindow32).collect();
    let dissection = Dissection::of(&late, &secrets(name), &options(&strict));
    assert_eq!(dissection.explaining_switches(), BTreeMap::from([(Switch::SeqWindow32, 1)]));
    let dissection = Dissection::of(&late, &secrets(name), &options(&Compat::gdoid_2011()));
    assert!(dissection.is_ok());
    assert_eq!(dissection.used.get(&Switch::SeqWindow32), Some(&1));
}

fn dissect(name: &str, compat: &Compat) -> Dissection {
    Dissection::of(&packets(name), &secrets(name), &options(compat))
}

fn options(compat: &Compat) -> Options {
    Options { compat: compat.clone(), show_keys: true }
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/captures").join(name)
}

fn text(name: &str, file: &str) -> String {
    std::fs::read_to_string(folder(name).join(file)).expect("a fixture")
}

fn packets(name: &str) -> Vec<CapturedPacket> {
    read(&std::fs::read(folder(name).join("capture.pcap")).expect("a fixture")).expect("a capture")
}

fn secrets(name: &str) -> Secrets {
    Secrets::parse(&text(name, "secrets.json")).expect("secrets")
}

fn is_closed(frame: &Frame) -> bool {
    matches!(frame.protection, Protection::NotDecrypted(_))
}

fn cryptographic(frame: &Frame) -> impl Iterator<Item = &Check> {
    frame.checks.iter().filter(|check| check.name.starts_with("HASH") || check.name.starts_with("SIG"))
}

fn failures(dissection: &Dissection) -> Vec<(usize, Check)> {
    let frames = dissection.frames.iter();
    frames
        .flat_map(|frame| frame.checks.iter().map(|check| (frame.number, check.clone())))
        .filter(|(_, check)| check.is_failed())
        .collect()
}

/// Holds what the independent decoder says about a frame.
#[derive(Default)]
struct Listed {
    number: usize,
    ends: String,
    payloads: Vec<(String, String)>,
    checks: Vec<ListedCheck>,
    /// Numbers and keys that have to appear in ours as well.
    tokens: Vec<String>,
}

struct ListedCheck {
    name: String,
    verdict: Verdict,
    text: String,
}

fn listing(name: &str) -> Vec<Listed> {
    let mut frames: Vec<Listed> = Vec::new();
    for line in text(name, "decoded.txt").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some(head) = line.strip_prefix('#') {
            let (number, _) = head.split_once(' ').expect("a number");
            let number = number.parse().expect("a number");
            frames.push(Listed { number, ends: words[1].to_owned(), ..Listed::default() });
            continue;
        }
        let Some(frame) = frames.last_mut() else { continue };
        if let Some(check) = line.trim_start().strip_prefix("CHECK ") {
            let name: String = check.chars().take_while(|c| !" =:".contains(*c)).collect();
            let verdict = if check.contains(": OK") { Verdict::Ok } else { Verdict::Failed };
            frame.checks.push(ListedCheck { name, verdict, text: check.to_owned() });
        } else if line.starts_with("   ")
            && !line.starts_with("    ")
            && words.get(1).is_some_and(|w| w.starts_with("len="))
        {
            let kind = words[0].split('(').next().expect("a name").to_owned();
            let body = words.last().and_then(|word| word.strip_prefix("body=")).unwrap_or_default().to_owned();
            frame.payloads.push((kind, body));
        } else if words.first() == Some(&"KD") || words.first() == Some(&"protocol_id=1") {
            let spi = words.iter().find_map(|word| word.strip_prefix("SPI=")).unwrap_or_default();
            frame.tokens.push(spi.to_owned());
        } else if words.first() == Some(&"attr") && words.contains(&"TLV") && !words.contains(&"SID_VALUE") {
            frame.tokens.push(words[words.len() - 1].to_owned());
        } else if words.first() == Some(&"SEQ") {
            frame.tokens.push(format!("SEQ: {}", words[1]));
        }
    }
    frames
}
