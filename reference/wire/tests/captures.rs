//! Every message that another implementation sent decodes, and encodes to the same octets.

mod common;

use std::path::Path;

use common::captures;
use hallmark_core::Limits;
use hallmark_wire::capture;
use hallmark_wire::describe::{self, Context};
use hallmark_wire::gdoi::{Dialect, Gap, GdoiSa, KeyDownload, Sequence};
use hallmark_wire::isakmp::{
    Chain, Delete, ExchangeType, Flags, Identification, Message, Notify, NotifyType, PayloadType, PayloadView,
    SecurityAssociation, build_chain,
};
use hallmark_wire::raw::{RawMessage, parse_payloads_with_trailer};

#[test]
fn clear_messages_decode_and_the_raw_tree_is_lossless() {
    let mut offers = 0;
    for folder in captures() {
        for datagram in datagrams(&folder) {
            let message = Message::decode(&datagram).unwrap();
            assert_eq!(message.header.version, 0x10);
            let raw = RawMessage::from_clear(&datagram).unwrap();
            assert_eq!(raw.encode(), datagram);
            if message.header.flags.contains(Flags::ENCRYPTION) {
                assert_eq!(message.body.len() % 8, 0);
                continue;
            }
            let chain = message.chain(&Limits::default()).unwrap();
            assert_eq!(rebuilt(&chain), message.body);
            if let Some(view) = chain.find(PayloadType::SA) {
                let sa = SecurityAssociation::decode(view.body).unwrap();
                assert_eq!((sa.doi, sa.situation, sa.proposals.len()), (2, 0, 1));
                assert_eq!(sa.encode_body(), view.body);
                offers += 1;
            }
        }
    }
    assert!(offers >= 38, "{offers}");
}

#[test]
fn decrypted_messages_decode_and_encode_to_the_same_octets() {
    let (mut pulls, mut pushes, mut contacts) = (0, 0, 0);
    for folder in captures() {
        let dialect = dialect_of(&folder);
        for (exchange, first, clear) in decrypted(&folder) {
            let chain = Chain::decode(first, &clear, &Limits::default()).unwrap();
            assert!(chain.trailing().iter().all(|&octet| octet == 0));
            assert_eq!(rebuilt(&chain), clear[..chain.payload_octets()]);
            let (tree, padding) = parse_payloads_with_trailer(first, &clear, true).unwrap();
            assert_eq!((tree.len(), padding), (chain.len(), chain.trailing()));
            pulls += usize::from(exchange == ExchangeType::PULL);
            pushes += usize::from(exchange == ExchangeType::PUSH);
            for view in &chain {
                check_payload(view, &dialect, &folder);
                contacts += usize::from(view.kind == PayloadType::NOTIFY);
                let context = Context::of_exchange(exchange, dialect);
                let described = describe::payload(view.kind, view.body, &context);
                assert_ne!(described.value, "malformed", "{}: {described}", folder.display());
            }
        }
    }
    assert_eq!((pulls, pushes), (89, 40));
    assert!(contacts >= 40, "{contacts}");
}

#[test]
fn addresses_and_groups_come_out_right_in_the_dialect_of_the_sender() {
    let reversed = decrypted(&common::fixture("captures/pull-gcm-sids"));
    let request = find_body(&reversed, PayloadType::ID);
    let id = Identification::decode(&request).unwrap();
    assert_eq!((Dialect::GDOID_2011.group_id(&id), id.group_id()), (Some(1234), Some(0xd204_0000)));
    let policy =
        GdoiSa::decode(&find_body(&reversed, PayloadType::SA), &Dialect::GDOID_2011, &Limits::default()).unwrap();
    let tek = policy.teks().next().unwrap().ipsec().unwrap();
    assert_eq!(tek.src.to_string(), "172.19.137.42 port 1024");
    assert_eq!(tek.dst.to_string(), "239.192.1.1 port 1024");
    assert_eq!(policy.kek().unwrap().src.to_string(), "10.99.0.1 port 2400");
    let keys = KeyDownload::decode(&find_body(&reversed, PayloadType::KEY_DOWNLOAD), &Limits::default()).unwrap();
    assert_eq!(keys.find(4).unwrap().sid_values(&Dialect::GDOID_2011), [0, 1]);
    assert_eq!(keys.find(4).unwrap().sid_values(&Dialect::RFC6407), [0, 0x0100_0000]);
}

#[test]
fn the_layout_of_the_rfc_and_that_of_gdoid_are_told_apart() {
    for folder in captures() {
        let other = if dialect_of(&folder) == Dialect::RFC6407 { Dialect::GDOID_2011 } else { Dialect::RFC6407 };
        for (exchange, first, clear) in decrypted(&folder) {
            let chain = Chain::decode(first, &clear, &Limits::default()).unwrap();
            let Some(view) = chain.find(PayloadType::SA).filter(|_| exchange != ExchangeType::MAIN) else { continue };
            let right = GdoiSa::decode(view.body, &dialect_of(&folder), &Limits::default()).unwrap();
            if right.kek().is_some() {
                let wrong = GdoiSa::decode(view.body, &other, &Limits::default());
                assert_ne!(wrong.as_ref(), Ok(&right), "{}", folder.display());
            }
        }
    }
}

fn check_payload(view: PayloadView<'_>, dialect: &Dialect, folder: &Path) {
    let limits = Limits::default();
    let at = folder.display();
    let encoded = match view.kind {
        PayloadType::SA => GdoiSa::decode(view.body, dialect, &limits).unwrap().encode_body(dialect),
        PayloadType::KEY_DOWNLOAD => KeyDownload::decode(view.body, &limits).unwrap().encode_body(),
        PayloadType::GAP => Gap::decode(view.body).unwrap().encode_body(),
        PayloadType::SEQ => Sequence::decode(view.body).unwrap().encode_body(),
        PayloadType::ID => Identification::decode(view.body).unwrap().encode_body(),
        PayloadType::DELETE => Delete::decode(view.body).unwrap().encode_body(),
        PayloadType::NOTIFY => {
            let notify = Notify::decode(view.body).unwrap();
            assert_eq!((notify.kind, notify.doi, notify.spi.len()), (NotifyType::INITIAL_CONTACT, 1, 16), "{at}");
            notify.encode_body()
        }
        PayloadType::HASH | PayloadType::NONCE | PayloadType::SIG => view.body.to_vec(),
        kind => panic!("{at}: unexpected payload {kind}"),
    };
    assert_eq!(encoded, view.body, "{at}: {}", view.kind);
}

fn rebuilt(chain: &Chain<'_>) -> Vec<u8> {
    build_chain(&chain.iter().map(|view| (view.kind, view.body.to_vec())).collect::<Vec<_>>()).octets
}

fn dialect_of(folder: &Path) -> Dialect {
    let name = folder.file_name().unwrap().to_str().unwrap();
    if name.starts_with("fixed-") { Dialect::RFC6407 } else { Dialect::GDOID_2011 }
}

/// Takes the UDP payloads out of a capture without looking at checksums, which the virtual link leaves to hardware.
fn datagrams(folder: &Path) -> Vec<Vec<u8>> {
    let file = std::fs::read(folder.join("capture.pcap")).unwrap();
    let packets = capture::read(&file).unwrap();
    assert!(!packets.is_empty());
    packets
        .iter()
        .map(|packet| {
            let ip = capture::ip_payload(packet.link_type, &packet.octets).unwrap();
            assert_eq!((ip[0] >> 4, ip[9]), (4, 17));
            let udp = &ip[usize::from(ip[0] & 0xf) * 4..];
            udp[8..usize::from(u16::from_be_bytes([udp[4], udp[5]]))].to_vec()
        })
        .collect()
}

/// Reads the decrypted messages that an independent decoder wrote beside the capture.
fn decrypted(folder: &Path) -> Vec<(ExchangeType, PayloadType, Vec<u8>)> {
    let text = std::fs::read_to_string(folder.join("decoded.txt")).unwrap();
    let mut header = (ExchangeType::NONE, PayloadType::NONE);
    let mut messages = Vec::new();
    for line in text.lines() {
        if line.starts_with('#') {
            let field = |name: &str| -> u8 {
                let value = line.split_whitespace().find_map(|word| word.strip_prefix(name)).unwrap();
                value.parse().unwrap()
            };
            header = (ExchangeType(field("exch=")), PayloadType(field("next=")));
        } else if let Some((_, rest)) = line.split_once("decrypted ") {
            let digits = rest.split_whitespace().next().unwrap();
            messages.push((header.0, header.1, hex::decode(digits).unwrap()));
        }
    }
    messages
}

/// Finds the first payload of a type among PULL messages.
fn find_body(messages: &[(ExchangeType, PayloadType, Vec<u8>)], kind: PayloadType) -> Vec<u8> {
    messages
        .iter()
        .filter(|(exchange, _, _)| *exchange == ExchangeType::PULL)
        .find_map(|(_, first, clear)| {
            let chain = Chain::decode(*first, clear, &Limits::default()).unwrap();
            chain.find(kind).map(|view| view.body.to_vec())
        })
        .unwrap()
}
