//! Conversations that no capture at hand holds, made from the formulas.

mod talk;

use hallmark_core::UnixTime;
use hallmark_crypto::cert::{CertSpec, issue_ca, issue_cert};
use hallmark_crypto::gdoi::{AckLength, lkh_wrap};
use hallmark_crypto::ike::nat_d;
use hallmark_crypto::sign::Curve;
use hallmark_crypto::{CipherAlg, HashAlg, SigningKey, cbc_encrypt, pad_zero};
use hallmark_dissect::{Check, Dissection, Kind, Options, Protection, Secrets, Verdict};
use hallmark_wire::gdoi::{Dialect, KeyDownload, KeyPacket, LkhDownload, LkhKey, LkhUpdate, kd_type, lkh_key};
use hallmark_wire::ip::{fragment_ipv4, udp_packet};
use hallmark_wire::isakmp::{
    Attribute, Attributes, Certificate, ExchangeType, Fragment, Header, Notify, NotifyType, PayloadType, payload_octets,
};

use talk::{KEK_SPI, Talk};

#[test]
fn a_conversation_by_the_book_verifies_without_any_switch() {
    let mut talk = Talk::new(1);
    talk.main_mode();
    talk.pull(None);
    talk.push(1, 0x2222);
    talk.push(3, 0x3333);
    talk.informational(true, 0x77, &vec![(PayloadType::NOTIFY, are_you_there().encode_body())]);
    let dissection = dissect(&talk);
    assert!(dissection.is_ok(), "{:#?}", dissection.frames);
    assert!(
        dissection.used.is_empty()
            && dissection.suspected_switches().keys().all(|s| s.name() != "key-id-little-endian")
    );
    let seen: Vec<(Kind, Vec<&str>)> = dissection
        .frames
        .iter()
        .map(|frame| (frame.kind, frame.checks.iter().filter(|c| c.is_primary()).map(|c| c.name).collect()))
        .collect();
    let mut expected: Vec<(Kind, Vec<&str>)> =
        (1..=4).map(|number| (Kind::MainMode(Some(number)), Vec::new())).collect();
    expected.push((Kind::MainMode(Some(5)), vec!["HASH_I"]));
    expected.push((Kind::MainMode(Some(6)), vec!["HASH_R"]));
    expected.push((Kind::Pull(Some(1)), vec!["HASH(1)"]));
    expected.push((Kind::Pull(Some(2)), vec!["HASH(2)"]));
    expected.push((Kind::Pull(Some(3)), vec!["HASH(3)"]));
    expected.push((Kind::Pull(Some(4)), vec!["HASH(4)", "sequence"]));
    expected.push((Kind::Push, vec!["SIG", "sequence"]));
    expected.push((Kind::Push, vec!["SIG", "sequence"]));
    expected.push((Kind::Informational, vec!["HASH(1)"]));
    assert_eq!(seen, expected);
    assert!(dissection.frames[10].check("SIG").is_some_and(|sig| sig.detail.starts_with("ecdsa256 256 sha256")));
}

#[test]
fn acknowledgements_verify_in_each_reading_of_the_length_and_name_it() {
    let mut talk = Talk::new(1);
    talk.main_mode();
    talk.pull(Some(1));
    talk.push(1, 0x2222);
    let key = talk.kek[16..].to_vec();
    let group = talk.server;
    for (alg, reading) in
        [HashAlg::Sha256, HashAlg::Sha512].into_iter().flat_map(|alg| AckLength::ALL.map(|reading| (alg, reading)))
    {
        let ack = talk.ack(alg, &key, 1, reading);
        talk.send_between(talk.member, group, ack);
    }
    let mut forged = talk.ack(HashAlg::Sha256, &key, 1, AckLength::PrfBlock);
    forged[40] ^= 1;
    talk.send_between(talk.member, group, forged);
    let dissection = dissect(&talk);
    let acks: Vec<&Check> =
        dissection.frames.iter().filter(|f| f.kind == Kind::PushAck).filter_map(|f| f.check("HASH")).collect();
    let bits: Vec<&str> = acks.iter().filter_map(|c| Some(c.detail.split_once("L = ")?.1.split_once(' ')?.0)).collect();
    // With a 256-bit KEK, base key and prf output of SHA-256 have one length: that message repeats the one before.
    assert_eq!(bits, ["512", "256", "1024", "512", "256"]);
    assert_eq!(dissection.totals().repeats, 1);
    assert!(acks[..5].iter().all(|check| check.verdict == Verdict::Ok));
    assert!(acks[5].is_failed() && !dissection.is_ok());
    // Without the KEK nothing can be said.
    let unknown = Dissection::of(&talk.packets, &Secrets::default(), &Options::default());
    let last = unknown.frames.last().and_then(|frame| frame.check("HASH")).expect("a check");
    assert_eq!(last.verdict, Verdict::NotCheckable);
}

#[test]
fn an_encrypted_acknowledgement_opens_with_the_kek() {
    let mut talk = Talk::new(1);
    talk.main_mode();
    talk.pull(None);
    let clear = talk.ack(HashAlg::Sha256, &talk.kek[16..], 1, AckLength::PrfBlock);
    let mut body = clear[Header::LEN..].to_vec();
    pad_zero(&mut body, 16);
    cbc_encrypt(CipherAlg::Aes256, &talk.kek[16..], &talk.kek[..16], &mut body).expect("encrypts");
    let mut header = Header::decode(&clear).expect("a header");
    header.flags = hallmark_wire::isakmp::Flags::ENCRYPTION;
    header.length = u32::try_from(Header::LEN + body.len()).expect("short");
    talk.send(true, [&header.encode()[..], &body].concat());
    let dissection = dissect(&talk);
    let frame = dissection.frames.last().expect("a frame");
    assert_eq!(frame.check("HASH").map(|check| check.verdict), Some(Verdict::Ok), "{frame:?}");
    assert_eq!(frame.payloads, ["HASH", "SEQ", "ID"]);
}

#[test]
fn signatures_of_phase_1_are_verified_with_the_certificates_in_the_messages() {
    let mut talk = Talk::new(9);
    talk.main_mode_in_clear([Vec::new(), Vec::new()]);
    let authority = SigningKey::generate_ecdsa(Curve::P384, &mut talk.rng);
    let (from, to) = (UnixTime::from_secs(0), UnixTime::from_secs(4_000_000_000));
    let ca = issue_ca(&CertSpec::authority("CN=CA", 1, from, to), &authority, &mut talk.rng).expect("a certificate");
    for of_member in [true, false] {
        let key = SigningKey::generate_ecdsa(Curve::P256, &mut talk.rng);
        let spec = CertSpec::end_entity("CN=end", 2, from, to);
        let end = issue_cert(&spec, &key.public(), &ca, &authority, &mut talk.rng).expect("a certificate");
        // ECDSA-256 goes with SHA2-256, although SHA2-384 was negotiated.
        let hash = talk.auth_hash(HashAlg::Sha256, of_member);
        let mut sig = key.sign_ike(&hash, &mut talk.rng).expect("signs");
        if !of_member {
            sig[10] ^= 1;
        }
        let cert = Certificate { encoding: Certificate::X509_SIGNATURE, data: end };
        let payloads = vec![
            (PayloadType::ID, talk.identity(of_member)),
            (PayloadType::CERT, cert.encode_body()),
            (PayloadType::SIG, sig),
        ];
        let mut chain = talk.chain.clone();
        let message = talk.encrypted(ExchangeType::MAIN, 0, &payloads, &mut chain);
        talk.chain = chain;
        talk.send(of_member, message);
    }
    let dissection = dissect(&talk);
    assert_eq!(dissection.frames[4].check("SIG_I").map(|check| check.verdict), Some(Verdict::Ok));
    assert_eq!(dissection.frames[5].check("SIG_R").map(|check| check.verdict), Some(Verdict::Failed));
}

#[test]
fn a_key_hierarchy_gives_the_kek_and_the_keys_of_acknowledgements() {
    let mut talk = Talk::new(1);
    talk.main_mode();
    let leaf = talk.rng.vec(48);
    let node = |id: u16, handle: u32, data: &[u8]| LkhKey {
        id,
        key_type: 3,
        created: 0,
        expires: 0,
        handle,
        data: data.to_vec(),
    };
    let public = talk.signer.public().to_spki_der().expect("a key");
    let packet = |spi: [u8; 16], class: u16, array: Vec<u8>| KeyPacket {
        kd_type: kd_type::LKH,
        spi: spi.to_vec(),
        attributes: Attributes(vec![
            Attribute::variable(class, array),
            Attribute::variable(lkh_key::SIGNATURE, public.clone()),
        ]),
    };
    let download = LkhDownload { keys: vec![node(4, 1, &leaf), node(1, 1, &talk.kek)] };
    let policy = talk.policy(Some(KEK_SPI), None, Some(2));
    let packets = vec![packet(KEK_SPI, lkh_key::DOWNLOAD, download.encode())];
    for (index, message) in talk.pull_messages(&policy, packets, 0).into_iter().enumerate() {
        talk.send(index % 2 == 0, message);
    }
    // A new root, wrapped under the leaf, delivered under the old root.
    let (new_spi, new_kek) = ([0x77; 16], talk.rng.vec(48));
    let wrapped = lkh_wrap(CipherAlg::Aes256, &leaf, &new_kek).expect("wraps");
    let update = LkhUpdate { wrapper_id: 4, wrapper_handle: 1, keys: vec![node(1, 2, &wrapped)] };
    let kd = KeyDownload { packets: vec![packet(new_spi, lkh_key::UPDATE, update.encode())] };
    let rest = vec![
        (PayloadType::SA, talk.policy(Some(new_spi), None, Some(2)).encode_body(&Dialect::RFC6407)),
        (PayloadType::KEY_DOWNLOAD, kd.encode_body()),
    ];
    let message = talk.push_under(KEK_SPI, &talk.kek.clone(), 1, rest);
    talk.send_to_group(message);
    let tek = vec![
        (PayloadType::SA, talk.policy(None, Some(5), None).encode_body(&Dialect::RFC6407)),
        (PayloadType::KEY_DOWNLOAD, KeyDownload { packets: vec![Talk::tek_packet(5)] }.encode_body()),
    ];
    let message = talk.push_under(new_spi, &new_kek, 1, tek);
    talk.send_to_group(message);
    let ack = talk.ack(HashAlg::Sha256, &leaf[16..], 1, AckLength::PrfBlock);
    talk.send(true, ack);
    let dissection = dissect(&talk);
    assert!(dissection.is_ok(), "{:#?}", dissection.frames);
    assert!(matches!(dissection.frames[11].protection, Protection::Decrypted(_)));
    let ack = dissection.frames[12].check("HASH").expect("a check");
    assert!(ack.verdict == Verdict::Ok && ack.detail.contains("leaf key"), "{ack:?}");
}

#[test]
fn pieces_of_packets_and_messages_are_joined_in_any_order() {
    let mut talk = Talk::new(1);
    talk.main_mode_in_clear([Vec::new(), Vec::new()]);
    // Message 5 in three IKE fragments, the second twice, the last one first.
    let message = talk.last_message(true);
    let parts: Vec<&[u8]> = message.chunks(50).collect();
    let count = parts.len();
    for index in [count - 1, 1, 1].into_iter().chain((0..count - 1).filter(|index| *index != 1)) {
        let fragment = Fragment {
            id: 1,
            number: u8::try_from(index + 1).expect("few"),
            flags: u8::from(index + 1 == count),
            data: parts[index].to_vec(),
        };
        let body = payload_octets(PayloadType::NONE, &fragment.encode_body());
        let mut header = Header::decode(&message).expect("a header");
        header.next = PayloadType::FRAGMENT;
        header.flags = hallmark_wire::isakmp::Flags(0);
        header.length = u32::try_from(Header::LEN + body.len()).expect("short");
        talk.send(true, [&header.encode()[..], &body].concat());
    }
    let message = talk.last_message(false);
    talk.send(false, message);
    // The whole PULL in small IP packets.
    let policy = talk.policy(Some(KEK_SPI), Some(0x1111), None);
    let packets = vec![talk.kek_packet(KEK_SPI, &talk.kek), Talk::tek_packet(0x1111)];
    let start = talk.packets.len();
    for (index, message) in talk.pull_messages(&policy, packets, 0).into_iter().enumerate() {
        let (src, dst) = if index % 2 == 0 { (talk.member, talk.server) } else { (talk.server, talk.member) };
        let packet = udp_packet(&hallmark_core::Datagram::new(src, dst, message), 900 + index as u16, false);
        for piece in fragment_ipv4(&packet, 100).into_iter().rev() {
            talk.capture(piece);
        }
    }
    let dissection = dissect(&talk);
    assert!(dissection.is_ok(), "{:#?}", dissection.frames);
    let fifth = dissection.frames.iter().find(|frame| frame.kind == Kind::MainMode(Some(5))).expect("message 5");
    assert_eq!(fifth.check("HASH_I").map(|check| check.verdict), Some(Verdict::Ok));
    assert_eq!((fifth.pieces.len(), fifth.octets), (count - 1, message_len(&talk, 5)));
    let pulls: Vec<_> = dissection.frames[start..].iter().filter(|frame| matches!(frame.kind, Kind::Pull(_))).collect();
    assert_eq!(pulls.len(), 4);
    assert!(pulls.iter().all(|frame| !frame.pieces.is_empty()));
    assert!(pulls[3].check("HASH(4)").is_some_and(|check| check.verdict == Verdict::Ok));
    assert!(dissection.totals().pieces > 10);
}

#[test]
fn on_the_nat_port_messages_have_a_marker_and_the_rest_is_left_alone() {
    let mut talk = Talk::new(1);
    let hash = |end| nat_d(talk.hash, &talk.cookies.0, &talk.cookies.1, end);
    // The member believes to be at another address than the one that the capture shows.
    let inside = "192.168.0.2:848".parse().expect("an address");
    let nat_i = vec![(PayloadType::NAT_D, hash(talk.server)), (PayloadType::NAT_D, hash(inside))];
    let nat_r = vec![(PayloadType::NAT_D, hash(talk.member)), (PayloadType::NAT_D, hash(talk.server))];
    talk.main_mode_in_clear([nat_i, nat_r]);
    talk.member.set_port(40_500);
    talk.server.set_port(4500);
    for of_member in [true, false] {
        let message = talk.last_message(of_member);
        talk.send(of_member, [&[0; 4][..], &message].concat());
    }
    talk.send(true, vec![0xff]);
    talk.send(true, vec![0x12; 80]);
    let dissection = dissect(&talk);
    assert!(dissection.is_ok(), "{:#?}", dissection.frames);
    let kinds: Vec<Kind> = dissection.frames.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds[4..], [Kind::MainMode(Some(5)), Kind::MainMode(Some(6)), Kind::Keepalive, Kind::NotOurs]);
    assert!(dissection.frames[5].check("HASH_R").is_some_and(|check| check.verdict == Verdict::Ok));
    assert!(dissection.frames[2].notes.iter().any(|note| note.contains("the sender's address is translated")));
    assert!(dissection.frames[3].notes.iter().any(|note| note.contains("no address is translated")));
}

#[test]
fn a_forged_message_fails_and_does_not_move_the_chain() {
    let mut talk = Talk::new(1);
    talk.main_mode();
    let policy = talk.policy(None, Some(0x1111), None);
    let messages = talk.pull_messages(&policy, vec![Talk::tek_packet(0x1111)], 0);
    let start = talk.packets.len();
    for (index, message) in messages.iter().enumerate() {
        let mut forged = message.clone();
        forged[Header::LEN + 20] ^= 1;
        talk.send(index % 2 == 0, forged);
        talk.send(index % 2 == 0, message.clone());
        talk.send(index % 2 == 0, message.clone());
    }
    let dissection = dissect(&talk);
    for (index, trio) in dissection.frames[start..].chunks(3).enumerate() {
        let name = ["HASH(1)", "HASH(2)", "HASH(3)", "HASH(4)"][index];
        assert!(!trio[0].is_ok(), "{index}: {:?}", trio[0]);
        assert_eq!(trio[1].check(name).map(|check| check.verdict), Some(Verdict::Ok), "{index}: {:?}", trio[1]);
        assert_eq!((trio[2].repeat_of, trio[2].kind), (Some(trio[1].number), trio[1].kind));
    }
}

#[test]
fn a_capture_that_begins_late_opens_as_far_as_its_chains_reach() {
    let mut talk = Talk::new(1);
    talk.main_mode();
    talk.pull(None);
    talk.push(1, 0x2222);
    talk.packets.drain(..6);
    let dissection = dissect(&talk);
    // The IV of the first message rests on phase 1; each further one on the message before it.
    let Protection::NotDecrypted(why) = &dissection.frames[0].protection else { panic!("opened") };
    assert!(why.contains("IV is not known"), "{why}");
    assert_eq!(dissection.frames[1].payloads, ["HASH", "NONCE", "SA"]);
    assert_eq!(dissection.frames[1].check("HASH(2)").map(|check| check.verdict), Some(Verdict::NotCheckable));
    assert_eq!(dissection.frames[4].check("SIG").map(|check| check.verdict), Some(Verdict::Ok));
    assert!(dissection.is_ok());
}

#[test]
fn malformed_octets_on_our_ports_are_reported_and_foreign_traffic_is_not() {
    let mut talk = Talk::new(1);
    talk.main_mode();
    talk.send(true, vec![1; 20]);
    let mut long = talk.clear(ExchangeType::MAIN, talk.cookies, &vec![(PayloadType::KE, vec![0; 8])]);
    long.push(0);
    talk.send(true, long);
    let mut reserved = talk.clear(ExchangeType::INFORMATIONAL, talk.cookies, &vec![(PayloadType::NOTIFY, vec![0; 8])]);
    reserved[29] = 1;
    talk.send(true, reserved);
    let elsewhere = ("10.9.9.9:5353".parse().expect("an address"), "10.9.9.8:5353".parse().expect("an address"));
    talk.send_between(elsewhere.0, elsewhere.1, vec![1; 20]);
    let dissection = dissect(&talk);
    let codes: Vec<Option<&str>> =
        dissection.frames[6..].iter().map(|frame| frame.error.as_ref().map(|error| error.code.as_str())).collect();
    let expected = [Some("isakmp.too-short"), Some("isakmp.length-mismatch"), Some("isakmp.payload.reserved"), None];
    assert_eq!(codes, expected);
    assert_eq!(dissection.frames[9].kind, Kind::NotOurs);
    assert!(!dissection.is_ok() && dissection.totals().undecodable == 3);
}

fn dissect(talk: &Talk) -> Dissection {
    Dissection::of(&talk.packets, &Secrets::from_records(&talk.records()), &Options::default())
}

fn are_you_there() -> Notify {
    Notify { doi: 1, protocol: 1, spi: vec![7; 16], kind: NotifyType(36_136), data: vec![0, 0, 0, 1] }
}

/// Gives the length of a phase 1 message that ends main mode: ID and HASH, padded.
fn message_len(talk: &Talk, number: u8) -> usize {
    let clear = talk.identity(number == 5).len() + 4 + talk.hash.len() + 4;
    Header::LEN + clear.next_multiple_of(16)
}
