//! The published and generated ESP vectors, through the whole pipeline in both directions.

mod common;

use common::{Member, hex, policy, vectors};
use hallmark_core::{Instant, Now, UnixTime};
use hallmark_datapath::config::{Df, Ttl};
use hallmark_datapath::{Config, Fate, Policy, Reason, Replay, Sa, Secret, Side};
use serde_json::Value;

/// A wall clock that shows the time of the D3P vectors.
const D3P_TIME: Now = Now::new(Instant::from_secs(1), UnixTime(0x577f_9110 * 1_000_000_000 + 250_000_000));

fn words(transform: &str) -> String {
    let cipher = [
        ("AES-GCM-128 ICV16", "aes128-gcm16"),
        ("AES-GCM-192 ICV16", "aes192-gcm16"),
        ("AES-GCM-256 ICV16", "aes256-gcm16"),
        ("AES-GCM-128 ICV8", "aes128-gcm8"),
        ("AES-GCM-128 ICV12", "aes128-gcm12"),
        ("AES-GMAC-128", "aes128-gmac"),
        ("AES-GMAC-256", "aes256-gmac"),
        ("AES-CBC-128", "aes128-cbc"),
        ("AES-CBC-192", "aes192-cbc"),
        ("AES-CBC-256", "aes256-cbc"),
        ("3DES-CBC", "3des"),
        ("ESP NULL +", "null"),
    ];
    let mac = [
        ("HMAC-SHA1-96", "+hmac-sha1"),
        ("HMAC-SHA2-256-128", "+hmac-sha256"),
        ("HMAC-SHA2-384-192", "+hmac-sha384"),
        ("HMAC-SHA2-512-256", "+hmac-sha512"),
        ("HMAC-MD5-96", "+hmac-md5"),
    ];
    let find = |list: &[(&str, &'static str)]| {
        list.iter().find(|(text, _)| transform.contains(text)).map_or("", |(_, word)| *word)
    };
    format!("{}{}", find(&cipher), find(&mac))
}

fn sa_of(vector: &Value) -> Sa {
    let transform = words(vector["transform"].as_str().expect("text")).parse().expect("a known transform");
    let mut encryption = hex(&vector["enc_key"]);
    encryption.extend(hex(&vector["salt"]));
    let spi = u32::from_str_radix(vector["spi"].as_str().expect("text"), 16).expect("hex");
    let extended_sequence = !vector["esn_high"].is_null();
    let sa = Sa::new(spi, transform, Secret::new(encryption), Secret::new(hex(&vector["auth_key"])));
    Sa { extended_sequence, ends: Instant::from_secs(3_600), ..sa }
}

fn replay_of(vector: &Value) -> Replay {
    match vector["pre_inner"].as_str() {
        Some("") | None => Replay::None,
        Some(_) => Replay::D3p { window: common::seconds(10) },
    }
}

fn number_of(vector: &Value) -> u64 {
    vector["esn_high"].as_u64().unwrap_or(0) << 32 | vector["seq"].as_u64().expect("a number")
}

/// Makes a member that holds the SA of a vector and forwards without touching the TTL.
fn member(vector: &Value, policy: Policy) -> Member {
    let df = match vector["outer_fields"]["df_policy"].as_str() {
        Some("set") => Df::Set,
        Some("clear") => Df::Clear,
        _ => Df::Copy,
    };
    let config = Config { ttl: Ttl::Keep, df, ..Config::default() };
    let mut member = Member::with(config, &Policy { replay: replay_of(vector), ..policy });
    if let Some(high) = vector["esn_high"].as_u64().filter(|high| *high > 0) {
        let spi = sa_of(vector).spi;
        assert!(member.data.resume_window(spi, high << 32));
    }
    member
}

#[test]
fn every_vector_is_opened_to_its_inner_packet() {
    let vectors = vectors();
    let list = vectors["esp"].as_array().expect("a list");
    for vector in list {
        let name = vector["name"].as_str().expect("a name");
        let mut member = member(vector, policy(vec![sa_of(vector)]));
        let (fate, octets) = member.one(D3P_TIME, Side::Wan, &hex(&vector["outer"]));
        if vector["expect"] == "accept" {
            assert_eq!((fate, octets), (Fate::Out(Side::Lan), hex(&vector["inner"])), "{name}");
        } else {
            assert_eq!(fate, Fate::Dropped(Reason::Dummy), "{name}");
            assert!(member.events().is_empty(), "a dummy is reported to nobody");
            let errors: u64 = member.data.status(D3P_TIME).sas.iter().map(|sa| sa.receive_errors).sum();
            assert_eq!(errors, 0, "a dummy is no error");
        }
    }
    assert_eq!(list.len(), 50);
}

/// Gives the sender id and the count that make the vector's IV, if a sender counts like that.
fn sender_of(vector: &Value) -> Option<((u16, Vec<u32>), u64)> {
    let iv = u64::from_be_bytes(hex(&vector["iv"]).try_into().ok()?);
    let bits = match vector["name"].as_str()? {
        name if name.contains("sid8") => 8,
        name if name.contains("sid12") => 12,
        _ => 16,
    };
    let count = iv & (u64::MAX >> bits);
    (count == number_of(vector) || name_wraps(vector)).then(|| ((bits, vec![(iv >> (64 - bits)) as u32]), count))
}

fn name_wraps(vector: &Value) -> bool {
    vector["name"].as_str().is_some_and(|name| name.contains("wrapseq"))
}

#[test]
fn every_vector_that_a_member_can_send_is_sent_octet_by_octet() {
    let vectors = vectors();
    let (mut same, mut opened) = (0, 0);
    for vector in vectors["esp"].as_array().expect("a list") {
        let name = vector["name"].as_str().expect("a name");
        let minimal = !["extra-padding", "tfc", "dummy"].iter().any(|word| name.contains(word));
        if !minimal {
            continue;
        }
        let sa = sa_of(vector);
        let counter_mode = sa.transform.is_counter_mode();
        let sender = sender_of(vector).filter(|_| counter_mode);
        let (ids, count) = sender.clone().unwrap_or(((16, vec![0]), number_of(vector)));
        let mut member = member(vector, Policy { sender_ids: Some(ids), ..policy(vec![sa.clone()]) });
        assert!(member.data.advance_sequence(sa.spi, count.wrapping_sub(1)));
        let inner = hex(&vector["inner"]);
        let octets = member.send(D3P_TIME, &inner);
        let expected = hex(&vector["outer"]);
        assert_eq!(octets.len(), expected.len(), "{name}");
        let version4 = expected[0] >> 4 == 4;
        let header = if version4 { 20 } else { 40 };
        let constructed = vector["outer_fields"]["ttl_policy"] == "constructed";
        for (index, (have, want)) in octets[..header].iter().zip(&expected[..header]).enumerate() {
            // The identification is the sender's choice, and the checksum follows it.
            let free = version4 && (matches!(index, 4 | 5 | 10 | 11) || constructed && index == 8);
            assert!(free || have == want, "{name}: outer octet {index} is {have:#x} instead of {want:#x}");
        }
        assert!(!version4 || hallmark_wire::ip::checksum(&octets[..20]) == 0, "{name}");
        if sender.is_some() || sa.transform.iv_len() == 0 {
            assert_eq!(octets[header..], expected[header..], "{name}");
            same += 1;
        } else {
            assert_eq!(octets[header..header + 8], expected[header..header + 8], "{name}: SPI and number");
            let mut other = self::member(vector, policy(vec![sa]));
            assert_eq!(other.receive(D3P_TIME, &octets), inner, "{name}");
            opened += 1;
        }
    }
    assert!(same >= 30 && opened >= 12, "{same} the same, {opened} opened");
}

#[test]
fn every_negative_vector_is_dropped_for_its_reason() {
    let vectors = vectors();
    let list = vectors["esp_negative"].as_array().expect("a list");
    for vector in list {
        let name = vector["name"].as_str().expect("a name");
        let base = vectors["esp"].as_array().and_then(|esp| esp.iter().find(|base| base["name"] == vector["base"]));
        let base = base.expect("the vector it is derived from");
        let mut member = member(base, policy(vec![sa_of(base)]));
        let packet = hex(&vector["packet"]);
        let expected = match name {
            "gcm-spi-unknown" | "spi-zero" => Reason::NoSa,
            "esp-too-short" | "esp-12-octets" | "esp-7-octets" => Reason::TooShort,
            "outer-dst-mismatch" | "outer-src-mismatch" | "inner-dst-outside-selectors" => Reason::AddressMismatch,
            "cbc-not-block-multiple" => Reason::BadAlignment,
            "pad-length-overruns" => Reason::BadPadLength,
            "pad-bytes-wrong" | "null-pad-zero-bytes" => Reason::BadPadOctets,
            "nh-41-with-ipv4" | "nh-6-in-tunnel-sa" => Reason::InnerVersion,
            "inner-total-length-too-big" | "inner-ihl-4" | "inner-empty" => Reason::InnerLength,
            "d3p-missing" => Reason::D3pMissing,
            "d3p-bad-length" | "d3p-bad-type" => Reason::D3pType,
            "d3p-unexpected" => Reason::D3pUnexpected,
            _ => Reason::BadIcv,
        };
        let (fate, _) = member.one(D3P_TIME, Side::Wan, &packet);
        if name == "esp-fragment-offered" {
            assert_eq!(fate, Fate::Held, "a fragment waits for the others and never reaches ESP");
        } else {
            assert_eq!(fate, Fate::Dropped(expected), "{name}: {}", vector["why"]);
        }
        let lenient = Config { ttl: Ttl::Keep, check_padding: false, ..Config::default() };
        if expected == Reason::BadPadOctets {
            let mut member = Member::with(lenient, &policy(vec![sa_of(base)]));
            member.receive(D3P_TIME, &packet);
        }
    }
    assert_eq!(list.len(), 28);
}

#[test]
fn published_packets_open_as_their_rfcs_say() {
    let vectors = vectors();
    let count = vectors["published"].as_array().expect("a list").len();
    assert_eq!(count, 4);
    // The first one is an address-preserving tunnel packet without integrity.
    let first = &vectors["published"][0];
    let sa = Sa {
        spi: 0x8765,
        transform: "aes128-cbc".parse().expect("a transform"),
        encryption_key: Secret::new(hex(&first["enc_key"])),
        integrity_key: Secret::default(),
        ..common::sa(0x8765, "aes128-gcm16")
    };
    let mut member = Member::with(Config { ttl: Ttl::Keep, ..Config::default() }, &policy(vec![sa]));
    assert_eq!(member.receive(D3P_TIME, &hex(&first["outer"])), hex(&first["inner"]));
}

#[test]
fn the_pipeline_survives_every_prefix_of_a_packet() {
    let vectors = vectors();
    for vector in vectors["esp"].as_array().expect("a list").iter().step_by(7) {
        let mut member = member(vector, policy(vec![sa_of(vector)]));
        let whole = hex(&vector["outer"]);
        for len in 0..whole.len() {
            let (fate, _) = member.one(D3P_TIME, Side::Wan, &whole[..len]);
            assert!(matches!(fate, Fate::Dropped(_)), "{} octets", len);
        }
    }
}
