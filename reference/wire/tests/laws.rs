//! Laws that hold for every value and for all octets.

use hallmark_core::Limits;
use hallmark_wire::DecodeError;
use hallmark_wire::describe;
use hallmark_wire::gdoi::{
    Dialect, Gap, GdoiSa, IpsecTek, KeyDownload, KeyPacket, LkhDownload, LkhKey, LkhUpdate, SaAttribute, SaKek, SaTek,
    Selector, Sequence, TekBody,
};
use hallmark_wire::isakmp::{
    Attribute, Attributes, Certificate, CertificateRequest, Chain, Delete, Fragment, Header, IdType, Identification,
    Message, Notify, NotifyType, PayloadType, Proposal, SecurityAssociation, Transform, build_chain,
};
use hallmark_wire::raw::RawMessage;
use proptest::collection::vec;
use proptest::prelude::*;

fn octets(max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..max)
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let attribute = prop_oneof![
        (0..0x8000_u16, any::<u16>()).prop_map(|(class, value)| Attribute::basic(class, value)),
        (0..0x8000_u16, octets(12)).prop_map(|(class, value)| Attribute::variable(class, value)),
    ];
    vec(attribute, 0..6).prop_map(Attributes)
}

fn offer() -> impl Strategy<Value = SecurityAssociation> {
    let transform = (any::<u8>(), any::<u8>(), attributes()).prop_map(|(number, id, attributes)| Transform {
        number,
        id,
        attributes,
    });
    let proposal = (any::<u8>(), any::<u8>(), octets(17), vec(transform, 0..5))
        .prop_map(|(number, protocol, spi, transforms)| Proposal { number, protocol, spi, transforms });
    (any::<u32>(), any::<u32>(), vec(proposal, 1..4)).prop_map(|(doi, situation, proposals)| SecurityAssociation {
        doi,
        situation,
        proposals,
    })
}

fn selector() -> impl Strategy<Value = Selector> {
    (0..14_u8, any::<u16>(), octets(34)).prop_map(|(id_type, port, data)| Selector {
        id_type: IdType(id_type),
        port,
        data,
    })
}

fn tek() -> impl Strategy<Value = SaTek> {
    let ipsec = (1..3_u8, any::<u8>(), selector(), selector(), any::<u8>(), any::<u32>(), attributes()).prop_map(
        |(protocol_id, ip_protocol, src, dst, transform_id, spi, attributes)| SaTek {
            protocol_id,
            body: TekBody::Ipsec(IpsecTek { ip_protocol, src, dst, transform_id, spi, attributes }),
        },
    );
    let other =
        (3..=255_u8, octets(20)).prop_map(|(protocol_id, octets)| SaTek { protocol_id, body: TekBody::Other(octets) });
    prop_oneof![3 => ipsec, 1 => other]
}

fn policy() -> impl Strategy<Value = GdoiSa> {
    let kek = (any::<u8>(), selector(), selector(), any::<[u8; 16]>(), attributes())
        .prop_map(|(protocol, src, dst, spi, attributes)| SaKek { protocol, src, dst, spi, attributes });
    let gap = attributes().prop_map(|attributes| Gap { attributes });
    (any::<u32>(), any::<u32>(), proptest::option::of(kek), proptest::option::of(gap), vec(tek(), 0..4))
        .prop_filter("policy holds something", |(_, _, kek, _, teks)| kek.is_some() || !teks.is_empty())
        .prop_map(|(doi, situation, kek, gap, teks)| {
            let kek = kek.map(SaAttribute::Kek);
            let gap = gap.map(SaAttribute::Gap);
            let attributes = kek.into_iter().chain(gap).chain(teks.into_iter().map(SaAttribute::Tek)).collect();
            GdoiSa { doi, situation, attributes }
        })
}

fn dialect() -> impl Strategy<Value = Dialect> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(six, two, reversed)| Dialect {
        sak_reserved_octets: if six { 6 } else { 4 },
        id_length_octets: if two { 2 } else { 1 },
        sat_addresses_reversed: reversed,
        ..Dialect::RFC6407
    })
}

fn download() -> impl Strategy<Value = KeyDownload> {
    let packet = (1..6_u8, octets(9), attributes()).prop_map(|(kd_type, spi, attributes)| {
        let spi = match kd_type {
            2 | 3 => vec![7; 16],
            4 => Vec::new(),
            _ => spi,
        };
        KeyPacket { kd_type, spi, attributes }
    });
    vec(packet, 0..6).prop_map(|mut packets| {
        let mut seen = [false; 256];
        packets.retain(|packet| {
            let kind = usize::from(packet.kd_type);
            !(matches!(kind, 2 | 3) && std::mem::replace(&mut seen[kind], true))
        });
        KeyDownload { packets }
    })
}

fn lkh_keys() -> impl Strategy<Value = Vec<LkhKey>> {
    let key =
        (any::<u16>(), any::<u8>(), any::<[u32; 3]>(), any::<[u8; 32]>()).prop_map(|(id, key_type, times, data)| {
            LkhKey { id, key_type, created: times[0], expires: times[1], handle: times[2], data: data.to_vec() }
        });
    vec(key, 0..5)
}

fn chain() -> impl Strategy<Value = (PayloadType, Vec<u8>)> {
    vec(((1..=255_u8).prop_map(PayloadType), octets(40)), 1..8).prop_map(|payloads| {
        let built = build_chain(&payloads);
        (built.first, built.octets)
    })
}

/// Cuts a valid value everywhere: each prefix is refused, at an octet that is there or at its end.
fn every_prefix_is_refused<T>(valid: &[u8], decode: impl Fn(&[u8]) -> Result<T, DecodeError>) {
    for n in 0..valid.len() {
        match decode(&valid[..n]) {
            Ok(_) => panic!("prefix of {n} octets is taken"),
            Err(error) => assert!(error.offset <= n, "{error} in a prefix of {n} octets"),
        }
    }
}

/// Decoders that take octets apart, with the encoders that put them together again.
type RoundTrip = fn(&[u8], &Dialect) -> Result<Vec<u8>, DecodeError>;

const ROUND_TRIPS: [(&str, RoundTrip); 14] = [
    ("offer", |body, _| SecurityAssociation::decode(body).map(|value| value.encode_body())),
    ("policy", |body, dialect| {
        GdoiSa::decode(body, dialect, &Limits::default()).map(|value| value.encode_body(dialect))
    }),
    ("kek", |body, dialect| SaKek::decode(body, dialect, &Limits::default()).map(|value| value.encode_body(dialect))),
    ("tek", |body, dialect| SaTek::decode(body, dialect, &Limits::default()).map(|value| value.encode_body(dialect))),
    ("gap", |body, _| Gap::decode(body).map(|value| value.encode_body())),
    ("download", |body, _| KeyDownload::decode(body, &Limits::default()).map(|value| value.encode_body())),
    ("sequence", |body, _| Sequence::decode(body).map(|value| value.encode_body())),
    ("identification", |body, _| Identification::decode(body).map(|value| value.encode_body())),
    ("notify", |body, _| Notify::decode(body).map(|value| value.encode_body())),
    ("delete", |body, _| Delete::decode(body).map(|value| value.encode_body())),
    ("certificate", |body, _| Certificate::decode(body).map(|value| value.encode_body())),
    ("certificate request", |body, _| CertificateRequest::decode(body).map(|value| value.encode_body())),
    ("fragment", |body, _| Fragment::decode(body).map(|value| value.encode_body())),
    ("lkh", |body, _| {
        LkhDownload::decode(body, 32)
            .map(|value| value.encode())
            .or_else(|_| LkhUpdate::decode(body, 32).map(|value| value.encode()))
    }),
];

fn what_is_taken_is_given_back(body: &[u8], dialect: &Dialect) {
    for (name, round_trip) in ROUND_TRIPS {
        match round_trip(body, dialect) {
            Ok(again) => assert_eq!(again, body, "{name}"),
            Err(error) => assert!(error.offset <= body.len(), "{name}: {error}"),
        }
    }
    for kind in 0..=255 {
        for context in [describe::Context::phase1(), describe::Context::gdoi(*dialect)] {
            assert!(!describe::payload(PayloadType(kind), body, &context).lines().is_empty());
        }
    }
}

/// Changes a few octets of a valid value.
fn damaged(valid: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let len = valid.len().max(1);
    vec((0..len, prop_oneof![any::<u8>(), 0..4_u8]), 0..4).prop_map(move |changes| {
        let mut octets = valid.clone();
        for (at, value) in changes {
            if let Some(octet) = octets.get_mut(at) {
                *octet = value;
            }
        }
        octets
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn offers_survive_the_wire(offer in offer()) {
        let body = offer.encode_body();
        every_prefix_is_refused(&body, SecurityAssociation::decode);
        prop_assert_eq!(SecurityAssociation::decode(&body), Ok(offer));
    }

    #[test]
    fn policies_survive_the_wire_in_every_dialect(sa in policy(), dialect in dialect()) {
        let body = sa.encode_body(&dialect);
        every_prefix_is_refused(&body, |body| GdoiSa::decode(body, &dialect, &Limits::default()));
        prop_assert_eq!(GdoiSa::decode(&body, &dialect, &Limits::default()), Ok(sa));
    }

    #[test]
    fn downloads_survive_the_wire(download in download()) {
        let body = download.encode_body();
        every_prefix_is_refused(&body, |body| KeyDownload::decode(body, &Limits::default()));
        prop_assert_eq!(KeyDownload::decode(&body, &Limits::default()), Ok(download));
    }

    #[test]
    fn key_hierarchies_survive_the_wire(keys in lkh_keys(), wrapper_id: u16, wrapper_handle: u32) {
        let download = LkhDownload { keys: keys.clone() };
        every_prefix_is_refused(&download.encode(), |value| LkhDownload::decode(value, 32));
        prop_assert_eq!(LkhDownload::decode(&download.encode(), 32), Ok(download));
        let update = LkhUpdate { wrapper_id, wrapper_handle, keys };
        every_prefix_is_refused(&update.encode(), |value| LkhUpdate::decode(value, 32));
        prop_assert_eq!(LkhUpdate::decode(&update.encode(), 32), Ok(update));
    }

    #[test]
    fn notifies_and_deletes_survive_the_wire(doi: u32, protocol: u8, kind: u16, spi in octets(40), data in octets(40), count in 0..5_usize) {
        let delete = Delete { doi, protocol, spi_size: 1 + spi.len() as u8, spis: vec![[&[9][..], &spi].concat(); count] };
        every_prefix_is_refused(&delete.encode_body(), Delete::decode);
        prop_assert_eq!(Delete::decode(&delete.encode_body()), Ok(delete));
        let notify = Notify { doi, protocol, spi, kind: NotifyType(kind), data };
        prop_assert_eq!(Notify::decode(&notify.encode_body()), Ok(notify));
    }

    #[test]
    fn attributes_survive_the_wire(attributes in attributes()) {
        prop_assert_eq!(Attributes::decode(&attributes.encode()), Ok(attributes));
    }

    #[test]
    fn chains_are_refused_when_cut_and_walked_when_whole((first, octets) in chain(), padding in 0..16_usize) {
        every_prefix_is_refused(&octets, |octets| Chain::decode(first, octets, &Limits::default()).map(|_| ()));
        let padded = [octets.clone(), vec![0; padding]].concat();
        let chain = Chain::decode(first, &padded, &Limits::default()).unwrap();
        prop_assert_eq!(chain.trailing().len(), padding);
        prop_assert_eq!(chain.iter().map(|view| view.whole.to_vec()).collect::<Vec<_>>().concat(), octets);
        prop_assert_eq!(chain.iter().count(), chain.len());
    }

    #[test]
    fn messages_are_refused_when_cut((first, octets) in chain()) {
        let mut raw = RawMessage::new(([1; 8], [2; 8]), 2, 0, 0);
        raw.next = hallmark_wire::raw::Field::Force(first.0);
        let datagram = raw.encode_with_body(&octets);
        every_prefix_is_refused(&datagram, |datagram| Message::decode(datagram).map(|_| ()));
        prop_assert_eq!(Message::decode(&datagram).unwrap().body, &octets[..]);
    }

    #[test]
    fn any_octets_are_refused_or_given_back_unchanged(body in octets(120), dialect in dialect()) {
        what_is_taken_is_given_back(&body, &dialect);
    }

    #[test]
    fn damaged_offers_are_refused_or_given_back_unchanged(body in offer().prop_flat_map(|offer| damaged(offer.encode_body()))) {
        what_is_taken_is_given_back(&body, &Dialect::RFC6407);
    }

    #[test]
    fn damaged_policies_are_refused_or_given_back_unchanged(body in policy().prop_flat_map(|sa| damaged(sa.encode_body(&Dialect::GDOID_2011)))) {
        what_is_taken_is_given_back(&body, &Dialect::GDOID_2011);
    }

    #[test]
    fn damaged_downloads_are_refused_or_given_back_unchanged(body in download().prop_flat_map(|download| damaged(download.encode_body()))) {
        what_is_taken_is_given_back(&body, &Dialect::RFC6407);
    }

    #[test]
    fn the_raw_tree_loses_no_octet(header: [u8; 28], (first, octets) in chain(), sa in offer(), nested: bool, tail in octets(6)) {
        let body = if nested { build_chain(&[(PayloadType::SA, sa.encode_body())]).octets } else { octets };
        let mut datagram = [&header[..], &body, &tail].concat();
        datagram[16] = if nested { 1 } else { first.0 };
        prop_assert_eq!(RawMessage::from_clear(&datagram).unwrap().encode(), datagram);
    }

    #[test]
    fn the_raw_tree_loses_no_octet_of_damaged_messages(octets in policy().prop_flat_map(|sa| {
        let chain = build_chain(&[(PayloadType::SA, sa.encode_body(&Dialect::RFC6407)), (PayloadType::SEQ, vec![0; 4])]);
        let mut datagram = vec![1; Header::LEN];
        datagram.extend(chain.octets);
        damaged(datagram)
    })) {
        let raw = RawMessage::from_clear(&octets).unwrap();
        prop_assert!(!describe::message(&octets, Dialect::RFC6407).lines().is_empty());
        prop_assert_eq!(raw.encode(), octets);
    }
}
