//! Targets for the wire formats: what decodes encodes to something that decodes to the same.

use std::fmt::Debug;

use hallmark_core::Limits;
use hallmark_wire::capture::{PcapngWriter, ip_payload, read, read_capture};
use hallmark_wire::describe::{self, Context};
use hallmark_wire::gdoi::{
    Dialect, Gap, GdoiSa, KeyDownload, LkhDownload, LkhUpdate, SaAttribute, SaKek, SaTek, Sequence,
};
use hallmark_wire::ip::fragment::{joined_ipv4, piece_ipv4};
use hallmark_wire::ip::{
    Ipv4Packet, Ipv6Packet, decrement_hops, fragment_ipv4, fragment_ipv6, parse_too_big, parse_udp, route,
    too_big_packet, udp_packet,
};
use hallmark_wire::isakmp::{
    Attributes, Certificate, CertificateRequest, Chain, Delete, ExchangeType, Fragment, Header, Identification,
    Message, Notify, PayloadType, SecurityAssociation, build_chain, vendor_id,
};
use hallmark_wire::raw::{RawMessage, parse_payloads_with_trailer};

use crate::input::Input;

/// Decodes and encodes IP packets, cuts and joins them, and routes them.
pub fn fuzz_wire_ip(data: &[u8]) {
    let mut input = Input::new(data);
    let mtu = usize::from(input.u16());
    let packet = input.rest();
    let routed = route(packet);
    let mut hopped = packet.to_vec();
    if decrement_hops(&mut hopped) {
        assert_eq!(hopped.len(), packet.len());
        if let (Ok(before), Ok(after)) = (routed, route(&hopped)) {
            assert_eq!(before.hops, after.hops + 1);
            assert_eq!((before.src, before.dst), (after.src, after.dst));
        }
    }
    if let Ok(ip) = Ipv4Packet::decode(packet) {
        let encoded = ip.header.encode_with_checksum(ip.header.checksum);
        assert_eq!(packet.get(..encoded.len()), Some(encoded.as_slice()), "an IPv4 header changes");
        cut_and_join(&ip, packet, mtu);
    }
    if Ipv6Packet::decode(packet).is_ok() {
        for piece in fragment_ipv6(packet, mtu, 7) {
            assert!(Ipv6Packet::decode(&piece).is_ok(), "a piece of an IPv6 packet does not decode");
        }
    }
    if let Ok(datagram) = parse_udp(packet) {
        let again = udp_packet(&datagram, 1, true);
        assert_eq!(parse_udp(&again).as_ref(), Ok(&datagram), "a datagram changes");
    }
    let _ = parse_too_big(packet);
    if let Ok(routed) = routed
        && let Some(notice) = too_big_packet(routed.dst, 1_280, packet)
        && let Ok(parsed) = parse_too_big(&notice)
    {
        assert_eq!((parsed.quoted_src, parsed.quoted_dst), (routed.src, routed.dst));
    }
}

fn cut_and_join(ip: &Ipv4Packet<'_>, packet: &[u8], mtu: usize) {
    let _ = piece_ipv4(packet, mtu, mtu.saturating_add(64), true);
    let pieces = fragment_ipv4(packet, mtu);
    if ip.header.is_fragment() || pieces.len() < 2 {
        return;
    }
    let mut payload = Vec::new();
    for piece in &pieces {
        let piece = Ipv4Packet::decode(piece).expect("a piece decodes");
        assert_eq!(usize::from(piece.header.fragment_offset), payload.len(), "pieces leave a hole");
        payload.extend_from_slice(piece.payload);
    }
    assert_eq!(payload, ip.payload, "pieces hold another payload");
    let first = Ipv4Packet::decode(pieces.first().expect("there are pieces")).expect("a piece decodes");
    let joined = joined_ipv4(&first.header, &payload);
    assert_eq!(Ipv4Packet::decode(&joined).expect("a joined packet decodes").payload, ip.payload);
}

/// Asserts that a decoded value survives encoding.
fn survives<T: PartialEq + Debug, E: Debug>(
    what: &str,
    body: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, E>,
    encode: impl Fn(&T) -> Vec<u8>,
) {
    if let Ok(value) = decode(body) {
        let octets = encode(&value);
        match decode(&octets) {
            Ok(again) => assert_eq!(again, value, "{what} changes"),
            Err(error) => panic!("{what} does not decode after encoding: {error:?}: {value:?}"),
        }
        assert_eq!(encode(&decode(&octets).expect("decoded above")), octets, "{what} is not stable");
    }
}

/// Decodes messages, chains and all payloads of phase 1.
pub fn fuzz_wire_isakmp(data: &[u8]) {
    let limits = Limits::default();
    for dialect in [Dialect::RFC6407, Dialect::GDOID_2011] {
        let _ = describe::message(data, dialect).lines();
    }
    if let Ok(message) = Message::decode(data) {
        assert_eq!(Some(message.header.encode().as_slice()), data.get(..Header::LEN), "a header changes");
        let _ = message.chain(&limits);
    }
    let (first, octets) = match data.split_first() {
        Some((first, octets)) => (PayloadType(*first), octets),
        None => (PayloadType::NONE, data),
    };
    if let Ok(chain) = Chain::decode(first, octets, &limits) {
        chain_holds(&chain, octets);
    }
    phase1_payloads(octets);
    phase1_payloads(data);
}

fn chain_holds(chain: &Chain<'_>, octets: &[u8]) {
    let mut walked = Vec::new();
    let mut rebuilt = Vec::new();
    for view in chain.iter() {
        assert_eq!(view.whole.get(4..), Some(view.body));
        walked.extend_from_slice(view.whole);
        rebuilt.push((view.kind, view.body.to_vec()));
        let _ = describe::payload(view.kind, view.body, &Context::phase1()).lines();
        phase1_payloads(view.body);
    }
    assert_eq!(walked.len(), chain.payload_octets());
    assert_eq!(rebuilt.len(), chain.len());
    walked.extend_from_slice(chain.trailing());
    assert_eq!(walked, octets, "a chain loses octets");
    let built = build_chain(&rebuilt);
    assert_eq!(Some(built.octets.as_slice()), octets.get(..chain.payload_octets()), "a chain is built otherwise");
    assert_eq!(built.first, if rebuilt.is_empty() { PayloadType::NONE } else { chain.first() });
    let (raw, trailer) = parse_payloads_with_trailer(chain.first(), octets, false).expect("the raw reader is laxer");
    assert_eq!((raw.len(), trailer), (chain.len(), chain.trailing()));
}

fn phase1_payloads(body: &[u8]) {
    survives("SA", body, SecurityAssociation::decode, SecurityAssociation::encode_body);
    survives("ID", body, Identification::decode, Identification::encode_body);
    survives("Notify", body, Notify::decode, Notify::encode_body);
    survives("Delete", body, Delete::decode, Delete::encode_body);
    survives("Certificate", body, Certificate::decode, Certificate::encode_body);
    survives("Certificate Request", body, CertificateRequest::decode, CertificateRequest::encode_body);
    survives("Fragment", body, Fragment::decode, Fragment::encode_body);
    survives("attributes", body, Attributes::decode, Attributes::encode);
    if let Ok(identification) = Identification::decode(body) {
        let _ = identification.to_string();
        if let Some(ip) = identification.ip() {
            assert_eq!(Identification::from_ip(ip).data, identification.data);
        }
    }
    let _ = (vendor_id::name(body), vendor_id::offers_fragmentation(body));
}

/// Decodes the payloads of GDOI in both dialects.
pub fn fuzz_wire_gdoi(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.u8();
    let body = input.rest();
    let limits = Limits::default();
    for dialect in [Dialect::RFC6407, Dialect::GDOID_2011] {
        survives("GDOI SA", body, |body| GdoiSa::decode(body, &dialect, &limits), |sa| sa.encode_body(&dialect));
        survives("SAK", body, |body| SaKek::decode(body, &dialect, &limits), |sak| sak.encode_body(&dialect));
        survives("SAT", body, |body| SaTek::decode(body, &dialect, &limits), |sat| sat.encode_body(&dialect));
        if let Ok(sa) = GdoiSa::decode(body, &dialect, &limits) {
            assert!(sa.attributes.len() <= limits.payloads_per_message.max(limits.teks) + 2, "too many attributes");
            for attribute in &sa.attributes {
                if let SaAttribute::Tek(tek) = attribute
                    && let Some(tek) = tek.ipsec()
                {
                    let _ = (tek.src.ip(), tek.src.subnet(), tek.dst.contains([10, 0, 0, 1].into()));
                }
            }
        }
        let context = Context::gdoi(dialect).revealing_keys();
        for kind in [choice, PayloadType::SA.0, PayloadType::KEY_DOWNLOAD.0] {
            let _ = describe::payload(PayloadType(kind), body, &context).lines();
        }
        let of = Context::of_exchange(ExchangeType(choice), dialect);
        if let Ok(chain) = Chain::decode(PayloadType(choice), body, &limits) {
            let _ = describe::chain(&chain, &of);
        }
        if let Ok(keys) = KeyDownload::decode(body, &limits) {
            for packet in &keys.packets {
                let _ = packet.sid_values(&dialect);
            }
        }
    }
    survives("GAP", body, Gap::decode, Gap::encode_body);
    survives("KD", body, |body| KeyDownload::decode(body, &limits), KeyDownload::encode_body);
    survives("SEQ", body, Sequence::decode, Sequence::encode_body);
    for len in [usize::from(choice), 16, 24, 32, 48] {
        survives("LKH download", body, |body| LkhDownload::decode(body, len), LkhDownload::encode);
        survives("LKH update", body, |body| LkhUpdate::decode(body, len), LkhUpdate::encode);
    }
}

/// Reads messages into the raw tree, which loses nothing.
pub fn fuzz_raw(data: &[u8]) {
    if let Ok(message) = RawMessage::from_clear(data) {
        assert_eq!(message.encode(), data, "a message loses octets");
    }
    let Some((first, octets)) = data.split_first() else { return };
    for nested in [false, true] {
        if let Ok((payloads, trailer)) = parse_payloads_with_trailer(PayloadType(*first), octets, nested) {
            let mut message = RawMessage::new(([1; 8], [2; 8]), 32, 0, 1);
            message.payloads = payloads;
            let mut chain = message.chain().octets;
            chain.extend_from_slice(trailer);
            assert_eq!(chain, octets, "a chain loses octets");
        }
    }
}

/// Reads captures and writes them anew.
pub fn fuzz_capture(data: &[u8]) {
    let Ok(capture) = read_capture(data) else { return };
    assert_eq!(read(data).is_ok(), capture.broken_tail.is_none());
    let mut writer = PcapngWriter::new(Vec::new()).expect("memory takes everything");
    for interface in &capture.interfaces {
        let name = interface.name.as_deref().unwrap_or_default();
        writer.add_interface(name, interface.link_type).expect("memory takes everything");
    }
    for (kind, secrets) in &capture.secrets {
        writer.secrets(*kind, secrets).expect("memory takes everything");
    }
    for packet in &capture.packets {
        let _ = ip_payload(packet.link_type, &packet.octets);
        let comment = packet.comment.as_deref();
        writer.packet(packet.interface, packet.at, &packet.octets, comment).expect("its interface was added");
    }
    let again = read_capture(&writer.into_inner()).expect("what was written can be read");
    assert_eq!(again.broken_tail, None, "what was written breaks off");
    assert_eq!(again.secrets, capture.secrets);
    assert_eq!(again.packets.len(), capture.packets.len(), "frames are lost");
    for (a, b) in again.packets.iter().zip(&capture.packets) {
        assert_eq!((&a.octets, a.interface, &a.comment), (&b.octets, b.interface, &b.comment), "a frame changes");
        assert!(a.at == b.at || b.at.0 < 0, "a time changes");
    }
}
