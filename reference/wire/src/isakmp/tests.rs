use hallmark_core::Limits;

use super::*;

fn chain_error(first: u8, octets: &[u8]) -> (&'static str, usize) {
    let error = Chain::decode(PayloadType(first), octets, &Limits::default()).unwrap_err();
    (error.code.as_str(), error.offset)
}

fn header() -> Header {
    Header {
        initiator_cookie: [1; 8],
        responder_cookie: [2; 8],
        next: PayloadType::HASH,
        version: Header::VERSION,
        exchange: ExchangeType::PULL,
        flags: Flags::ENCRYPTION,
        message_id: 0x0a0b_0c0d,
        length: 28,
    }
}

#[test]
fn a_header_has_its_fields_where_the_rfc_puts_them() {
    let octets = header().encode();
    assert_eq!(octets[16..20], [8, 0x10, 32, 1]);
    assert_eq!(octets[20..24], [0x0a, 0x0b, 0x0c, 0x0d]);
    assert_eq!(Header::decode(&octets), Ok(header()));
    assert_eq!(Header::split_cookies(&header().cookies()), ([1; 8], [2; 8]));
}

#[test]
fn a_message_is_refused_when_its_length_is_not_that_of_the_datagram() {
    let mut octets = header().encode().to_vec();
    assert!(Message::decode(&octets).is_ok());
    octets.push(0);
    let error = Message::decode(&octets).unwrap_err();
    assert_eq!((error.code.as_str(), error.need, error.have), ("isakmp.length-mismatch", 28, 29));
    let error = Message::decode(&octets[..27]).unwrap_err();
    assert_eq!((error.code.as_str(), error.need, error.have), ("isakmp.too-short", 28, 27));
}

#[test]
fn a_chain_gives_its_payloads_and_keeps_what_is_behind_them() {
    let built = build_chain(&[(PayloadType::HASH, vec![7; 4]), (PayloadType::NONCE, vec![8; 3])]);
    assert_eq!(built.octets, [10, 0, 0, 8, 7, 7, 7, 7, 0, 0, 0, 7, 8, 8, 8]);
    let padded = [built.octets.clone(), vec![0; 5]].concat();
    let chain = Chain::decode(built.first, &padded, &Limits::default()).unwrap();
    assert_eq!(chain.kinds(), [PayloadType::HASH, PayloadType::NONCE]);
    assert_eq!((chain.payload_octets(), chain.trailing(), chain.len()), (15, &[0; 5][..], 2));
    assert_eq!(chain.after_first(), &built.octets[8..]);
    let nonce = chain.find(PayloadType::NONCE).unwrap();
    assert_eq!((nonce.offset, nonce.body, nonce.whole), (8, &[8, 8, 8][..], &built.octets[8..]));
    assert_eq!((chain.count(PayloadType::SA), chain.find(PayloadType::SA)), (0, None));
}

#[test]
fn an_empty_chain_is_a_chain() {
    let chain = Chain::decode(PayloadType::NONE, &[], &Limits::default()).unwrap();
    assert!(chain.is_empty() && chain.iter().next().is_none());
}

#[test]
fn the_first_broken_rule_of_a_chain_wins() {
    assert_eq!(chain_error(8, &[]), ("isakmp.payload.dangling-next", 0));
    assert_eq!(chain_error(8, &[0, 0, 0]), ("isakmp.payload.length", 0));
    // A reserved octet is looked at before the length.
    assert_eq!(chain_error(8, &[0, 1, 0, 0]), ("isakmp.payload.reserved", 1));
    assert_eq!(chain_error(8, &[0, 0, 0, 0]), ("isakmp.payload.length", 2));
    assert_eq!(chain_error(8, &[0, 0, 0, 3]), ("isakmp.payload.length", 2));
    assert_eq!(chain_error(8, &[0, 0, 0, 5]), ("isakmp.payload.length", 2));
    assert_eq!(chain_error(8, &[10, 0, 0, 4]), ("isakmp.payload.dangling-next", 4));
}

#[test]
fn a_chain_is_as_long_as_the_limit_and_no_longer() {
    let limits = Limits { payloads_per_message: 3, ..Limits::default() };
    let nonce = (PayloadType::NONCE, Vec::new());
    let three = build_chain(&vec![nonce.clone(); 3]);
    assert_eq!(Chain::decode(three.first, &three.octets, &limits).unwrap().len(), 3);
    let four = build_chain(&vec![nonce; 4]);
    let error = Chain::decode(four.first, &four.octets, &limits).unwrap_err();
    assert_eq!((error.code.as_str(), error.offset, error.need, error.have), ("isakmp.payload.too-many", 12, 3, 4));
}

#[test]
fn numbers_print_their_name_or_themselves() {
    assert_eq!(ExchangeType::PULL.to_string(), "groupkey-pull");
    assert_eq!(format!("{:?} {}", ExchangeType(34), ExchangeType(34)), "0x22 34");
    assert_eq!(format!("{:?}", NotifyType(14)), "NO-PROPOSAL-CHOSEN");
    assert_eq!(NotifyType::from_name("R-U-THERE"), Some(NotifyType(36136)));
    assert!(NotifyType(30).is_error() && !NotifyType::CONNECTED.is_error());
    assert_eq!(Flags(0x85).to_string(), "E|A|0x80");
    assert_eq!((Flags::ENCRYPTION | Flags::COMMIT).0, 3);
    assert!(PayloadType(23).is_reserved() && PayloadType(127).is_reserved());
    assert!(!PayloadType::GAP.is_reserved() && !PayloadType(128).is_reserved());
}

#[test]
fn attribute_values_are_numbers_in_either_form() {
    let octets = [0x80, 12, 0x0e, 0x10, 0, 12, 0, 4, 0, 1, 0x51, 0x80, 0, 12, 0, 0];
    let attributes = Attributes::decode(&octets).unwrap();
    let numbers: Vec<_> = attributes.iter().map(Attribute::as_u64).collect();
    assert_eq!(numbers, [Some(3600), Some(86400), Some(0)]);
    assert_eq!(attributes.encode(), octets);
    assert_eq!(Attribute::variable(12, vec![0; 9]).as_u64(), None);
    assert!(Attribute::basic(12, 600).same_value(&Attribute::u32(12, 600)));
    assert!(!Attribute::basic(12, 600).same_value(&Attribute::u32(12, 601)));
    assert!(!Attribute::basic(12, 600).same_value(&Attribute::basic(11, 600)));
}

#[test]
fn attributes_that_overrun_or_stop_short_are_refused() {
    let stray = Attributes::decode(&[0x80, 1, 0, 7, 0x80, 2]).unwrap_err();
    assert_eq!((stray.code.as_str(), stray.offset), ("isakmp.attribute.truncated", 6));
    let overrun = Attributes::decode(&[0, 12, 0, 9, 1, 2]).unwrap_err();
    assert_eq!(
        (overrun.code.as_str(), overrun.offset, overrun.need, overrun.have),
        ("isakmp.attribute.truncated", 4, 9, 2)
    );
    let many = Attributes::decode(&[0x80, 1, 0, 1].repeat(65)).unwrap_err();
    assert_eq!((many.code.as_str(), many.offset), ("isakmp.attribute.too-many", 256));
}

fn offer() -> SecurityAssociation {
    let transform = |number| Transform {
        number,
        id: 1,
        attributes: Attributes(vec![Attribute::basic(1, 7), Attribute::u32(12, 86400)]),
    };
    let transforms = vec![transform(1), transform(2)];
    let proposal = Proposal { number: 1, protocol: 1, spi: vec![9; 8], transforms };
    SecurityAssociation { doi: 2, situation: 0, proposals: vec![proposal] }
}

fn sa_error(change: impl FnOnce(&mut Vec<u8>)) -> (&'static str, usize) {
    let mut body = offer().encode_body();
    change(&mut body);
    let error = SecurityAssociation::decode(&body).unwrap_err();
    (error.code.as_str(), error.offset)
}

#[test]
fn an_offer_survives_the_wire() {
    let body = offer().encode_body();
    // DOI, situation, proposal header, fixed part, SPI, then two transforms of 20 octets.
    assert_eq!(body.len(), 8 + 8 + 8 + 2 * 20);
    assert_eq!(body[24..28], [3, 0, 0, 20]);
    assert_eq!(body[44..48], [0, 0, 0, 20]);
    assert_eq!(SecurityAssociation::decode(&body), Ok(offer()));
}

#[test]
fn nested_parts_of_an_offer_have_to_agree() {
    assert_eq!(sa_error(|body| body[8] = 3), ("isakmp.proposal.dangling-next", 8));
    assert_eq!(sa_error(|body| body[8] = 2), ("isakmp.proposal.dangling-next", 64));
    assert_eq!(sa_error(|body| body[9] = 1), ("isakmp.proposal.reserved", 9));
    assert_eq!(sa_error(|body| body[11] += 1), ("isakmp.proposal.length", 10));
    assert_eq!(sa_error(|body| body[14] = 17), ("isakmp.proposal.spi-size", 14));
    assert_eq!(sa_error(|body| body[15] = 3), ("isakmp.proposal.count", 15));
    assert_eq!(sa_error(|body| body[24] = 2), ("isakmp.transform.dangling-next", 24));
    assert_eq!(sa_error(|body| body[24] = 0), ("isakmp.proposal.trailing", 44));
    assert_eq!(sa_error(|body| body[30] = 1), ("isakmp.transform.reserved", 30));
    assert_eq!(sa_error(|body| body.push(0)), ("isakmp.payload.trailing", 64));
}

#[test]
fn identities_know_addresses_and_groups() {
    let group = Identification::key_id(1234);
    assert_eq!(group.encode_body(), [11, 0, 0, 0, 0, 0, 4, 0xd2]);
    assert_eq!((group.group_id(), group.ip()), (Some(1234), None));
    let address = Identification::from_ip("192.0.2.10".parse().unwrap());
    assert_eq!((address.group_id(), address.ip()), (None, Some("192.0.2.10".parse().unwrap())));
    assert_eq!(address.to_string(), "ipv4:192.0.2.10");
    let v6 = Identification::from_ip("2001:db8::1".parse().unwrap());
    assert_eq!(Identification::decode(&v6.encode_body()).unwrap().ip(), Some("2001:db8::1".parse().unwrap()));
    assert_eq!(Identification::new(IdType::KEY_ID, vec![1, 2, 3]).group_id(), None);
}

#[test]
fn a_delete_holds_exactly_the_spis_that_it_counts() {
    let delete = Delete { doi: 2, protocol: 1, spi_size: 4, spis: vec![vec![1, 2, 3, 4], vec![0; 4]] };
    let body = delete.encode_body();
    assert_eq!(Delete::decode(&body), Ok(delete));
    let mut wrong = body;
    wrong[6..8].copy_from_slice(&[0xff, 0xff]);
    let error = Delete::decode(&wrong).unwrap_err();
    assert_eq!((error.code.as_str(), error.need, error.have), ("isakmp.payload.count", 4 * 65535, 8));
    let empty = Delete::decode(&[0, 0, 0, 2, 1, 0, 0xff, 0xff]).unwrap_err();
    assert_eq!(empty.code.as_str(), "isakmp.delete.spi-size");
}

#[test]
fn a_notify_needs_the_octets_of_its_spi() {
    let notify = Notify { doi: 1, protocol: 1, spi: vec![5; 16], kind: NotifyType::R_U_THERE, data: vec![0, 0, 0, 9] };
    assert_eq!(Notify::decode(&notify.encode_body()), Ok(notify.clone()));
    let error = Notify::decode(&notify.encode_body()[..20]).unwrap_err();
    assert_eq!((error.code.as_str(), error.offset, error.need, error.have), ("isakmp.payload.truncated", 8, 16, 12));
}

#[test]
fn a_fragment_has_a_number_and_data() {
    let fragment = Fragment { id: 1, number: 2, flags: Fragment::LAST, data: vec![1, 2] };
    assert_eq!(Fragment::decode(&[0, 1, 2, 1, 1, 2]), Ok(fragment.clone()));
    assert!(fragment.is_last() && fragment.encode_body() == [0, 1, 2, 1, 1, 2]);
    assert_eq!(Fragment::decode(&[0, 1, 0, 1, 1]).unwrap_err().code.as_str(), "isakmp.fragment.number");
    assert_eq!(Fragment::decode(&[0, 1, 1, 1]).unwrap_err().code.as_str(), "isakmp.fragment.empty");
}

#[test]
fn a_vendor_id_offers_fragmentation_only_with_its_capability() {
    let with = |word: u32| [&vendor_id::FRAGMENTATION[..], &word.to_be_bytes()].concat();
    assert!(vendor_id::offers_fragmentation(&vendor_id::FRAGMENTATION));
    assert!(vendor_id::offers_fragmentation(&with(0xc000_0000)));
    assert!(!vendor_id::offers_fragmentation(&with(0x4000_0000)));
    assert!(!vendor_id::offers_fragmentation(&vendor_id::DPD));
    assert_eq!(vendor_id::name(&with(0x8000_0000)), Some("fragmentation"));
    assert_eq!(vendor_id::name(&[]), None);
}
