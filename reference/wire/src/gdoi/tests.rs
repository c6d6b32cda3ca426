use hallmark_core::Limits;

use super::*;
use crate::isakmp::{Attribute, Attributes, IdType};

fn kek() -> SaKek {
    SaKek {
        protocol: 17,
        src: Selector::from_ip("192.0.2.1".parse().unwrap()).with_port(848),
        dst: Selector::from_ip("239.192.0.1".parse().unwrap()).with_port(848),
        spi: [0xa5; 16],
        attributes: Attributes(vec![
            Attribute::basic(kek_attr::ALGORITHM, 3),
            Attribute::u32(kek_attr::KEY_LIFETIME, 7200),
        ]),
    }
}

fn tek() -> SaTek {
    SaTek::esp(IpsecTek {
        ip_protocol: 0,
        src: Selector::from_subnet("10.1.2.3".parse().unwrap(), 16),
        dst: Selector::any_ipv4(),
        transform_id: 12,
        spi: 0x1122_3344,
        attributes: Attributes(vec![Attribute::basic(tek_attr::ENCAPSULATION_MODE, 1)]),
    })
}

fn gap() -> Gap {
    Gap { attributes: Attributes(vec![Attribute::basic(gap_attr::ACTIVATION_TIME_DELAY, 10)]) }
}

fn policy() -> Vec<SaAttribute> {
    vec![SaAttribute::Kek(kek()), SaAttribute::Gap(gap()), SaAttribute::Tek(tek()), SaAttribute::Tek(tek())]
}

fn decode(attributes: Vec<SaAttribute>) -> Result<GdoiSa, &'static str> {
    let body = GdoiSa::new(attributes).encode_body(&Dialect::RFC6407);
    GdoiSa::decode(&body, &Dialect::RFC6407, &Limits::default()).map_err(|error| error.code.as_str())
}

#[test]
fn policy_in_order_survives_the_wire_in_every_dialect() {
    let two_octet_lengths = Dialect { id_length_octets: 2, ..Dialect::RFC6407 };
    for dialect in [Dialect::RFC6407, Dialect::GDOID_2011, two_octet_lengths] {
        let sa = GdoiSa::new(policy());
        let body = sa.encode_body(&dialect);
        assert_eq!(GdoiSa::decode(&body, &dialect, &Limits::default()), Ok(sa));
    }
    let sa = decode(policy()).unwrap();
    assert_eq!((sa.kek(), sa.gap(), sa.teks().count()), (Some(&kek()), Some(&gap()), 2));
}

#[test]
fn policy_out_of_order_or_repeated_is_refused() {
    let [kek, gap, tek, _] = <[SaAttribute; 4]>::try_from(policy()).unwrap();
    assert_eq!(decode(vec![gap.clone(), kek.clone(), tek.clone()]), Err("gdoi.sa.order"));
    assert_eq!(decode(vec![tek.clone(), gap.clone()]), Err("gdoi.sa.order"));
    assert_eq!(decode(vec![tek.clone(), kek.clone()]), Err("gdoi.sa.order"));
    assert_eq!(decode(vec![kek.clone(), kek.clone()]), Err("gdoi.sa.order"));
    assert_eq!(decode(vec![kek.clone(), gap.clone(), gap.clone(), tek.clone()]), Err("gdoi.sa.order"));
    assert_eq!(decode(vec![gap]), Err("gdoi.sa.empty"));
    assert_eq!(decode(vec![]), Err("gdoi.sa.empty"));
    assert!(decode(vec![kek.clone()]).is_ok() && decode(vec![tek.clone()]).is_ok());
    assert!(decode(vec![kek, tek]).is_ok());
}

#[test]
fn fields_around_the_policy_are_checked() {
    let sa = GdoiSa::new(policy());
    let broken = |at: usize, value: u8| {
        let mut body = sa.encode_body(&Dialect::RFC6407);
        body[at] = value;
        GdoiSa::decode(&body, &Dialect::RFC6407, &Limits::default())
            .map_err(|error| (error.code.as_str(), error.offset))
    };
    assert_eq!(broken(8, 1), Err(("gdoi.sa.attribute-type", 8)));
    assert_eq!(broken(9, 8), Err(("gdoi.sa.attribute-type", 8)));
    assert_eq!(broken(11, 1), Err(("gdoi.sa.reserved", 11)));
    assert_eq!(broken(13, 1), Err(("gdoi.sak.reserved", 13)));
    // RESERVED2 of the SAK: generic header at 12, SPI from 12+4+1+8+8.
    assert_eq!(broken(49, 7), Err(("gdoi.sak.reserved", 49)));
    assert_eq!(broken(15, 0xff), Err(("gdoi.sak.length", 14)));
    // Other values of DOI and situation are for the protocol to judge.
    assert_eq!(broken(3, 1).unwrap().doi, 1);
    let octets = [sa.encode_body(&Dialect::RFC6407), vec![0]].concat();
    let trailing = GdoiSa::decode(&octets, &Dialect::RFC6407, &Limits::default()).unwrap_err();
    assert_eq!(trailing.code.as_str(), "gdoi.sa.trailing");
}

#[test]
fn the_number_of_teks_is_limited() {
    let limits = Limits { teks: 1, ..Limits::default() };
    let body = GdoiSa::new(vec![SaAttribute::Tek(tek()); 4]).encode_body(&Dialect::RFC6407);
    let error = GdoiSa::decode(&body, &Dialect::RFC6407, &limits).unwrap_err();
    assert_eq!(error.code.as_str(), "gdoi.sa.too-many");
}

#[test]
fn a_dialect_changes_only_what_it_names() {
    let rfc = SaAttribute::Tek(tek());
    let reversed = Dialect { sat_addresses_reversed: true, ..Dialect::RFC6407 };
    let body = GdoiSa::new(vec![rfc]).encode_body(&reversed);
    // Generic header at 12, selector data from 12+4+1+1+1+2+1.
    assert_eq!(body[22..30], [0, 0, 1, 10, 0, 0, 255, 255]);
    assert_eq!(kek().encode_body(&Dialect::GDOID_2011).len(), kek().encode_body(&Dialect::RFC6407).len() + 2);
    assert_eq!(Dialect::GDOID_2011.group_identification(1234).data, [0xd2, 4, 0, 0]);
    assert_eq!(Dialect::GDOID_2011.group_id(&Dialect::GDOID_2011.group_identification(1234)), Some(1234));
    assert_eq!(Dialect::RFC6407.sid(&[1, 0]), Some(256));
    assert_eq!(Dialect::GDOID_2011.sid(&[1, 0]), Some(1));
    assert_eq!((Dialect::RFC6407.sid(&[]), Dialect::RFC6407.sid(&[0; 9])), (None, None));
}

#[test]
fn selectors_match_addresses() {
    let matches = |selector: &Selector, address: &str| selector.contains(address.parse().unwrap());
    let subnet = Selector::from_subnet("10.1.2.3".parse().unwrap(), 16);
    assert_eq!(subnet.data, [10, 1, 0, 0, 255, 255, 0, 0]);
    assert_eq!(subnet.to_string(), "10.1.0.0/16");
    assert!(matches(&subnet, "10.1.255.1") && !matches(&subnet, "10.2.0.1") && !matches(&subnet, "::1"));
    let range = Selector { id_type: IdType::IPV4_RANGE, port: 0, data: vec![10, 0, 0, 5, 10, 0, 1, 0] };
    assert!(matches(&range, "10.0.0.5") && matches(&range, "10.0.1.0"));
    assert!(!matches(&range, "10.0.0.4") && !matches(&range, "10.0.1.1"));
    assert!(matches(&Selector::any_ipv4(), "203.0.113.1"));
    let with_data = |data| Selector { id_type: IdType::IPV4_RANGE, port: 0, data };
    assert!(matches(&with_data(vec![]), "203.0.113.1") && !matches(&with_data(vec![10, 0]), "10.0.0.5"));
    assert_eq!(
        Selector::from_subnet("10.1.2.3".parse().unwrap(), 40).subnet(),
        Some(("10.1.2.3".parse().unwrap(), 32))
    );
    let v6 = Selector::from_subnet("2001:db8::1".parse().unwrap(), 32);
    assert!(matches(&v6, "2001:db8:1::") && !matches(&v6, "2001:db9::"));
    assert_eq!(v6.to_string(), "2001:db8::/32");
    let holes = Selector { id_type: IdType::IPV4_SUBNET, port: 0, data: vec![10, 0, 0, 0, 255, 0, 255, 0] };
    assert_eq!(holes.subnet(), None);
}

fn packet(kd_type: u8, spi: Vec<u8>) -> KeyPacket {
    KeyPacket { kd_type, spi, attributes: Attributes(vec![Attribute::variable(1, vec![0x42; 16])]) }
}

fn download_error(packets: Vec<KeyPacket>, change: impl FnOnce(&mut Vec<u8>)) -> (&'static str, usize) {
    let mut body = KeyDownload { packets }.encode_body();
    change(&mut body);
    let error = KeyDownload::decode(&body, &Limits::default()).unwrap_err();
    (error.code.as_str(), error.offset)
}

#[test]
fn key_packets_are_counted_and_fill_the_payload() {
    let tek = || packet(kd_type::TEK, vec![1, 2, 3, 4]);
    let kek = || packet(kd_type::KEK, vec![9; 16]);
    let download = KeyDownload { packets: vec![kek(), tek()] };
    let decoded = KeyDownload::decode(&download.encode_body(), &Limits::default()).unwrap();
    assert_eq!(decoded, download);
    assert_eq!((decoded.tek(0x0102_0304), decoded.tek(1)), (Some(&tek()), None));
    assert_eq!(decoded.find(kd_type::KEK), Some(&kek()));
    assert_eq!(download_error(vec![tek()], |body| body[1] = 2), ("gdoi.kd.count", 0));
    assert_eq!(download_error(vec![tek(), tek()], |body| body[1] = 1), ("gdoi.kd.count", 0));
    assert_eq!(download_error(vec![tek()], |body| body[0] = 0xff), ("gdoi.kd.too-many", 0));
    assert_eq!(download_error(vec![tek()], |body| body[3] = 1), ("gdoi.kd.reserved", 3));
    assert_eq!(download_error(vec![tek()], |body| body[5] = 1), ("gdoi.key-packet.reserved", 5));
    assert_eq!(download_error(vec![tek()], |body| body[7] += 1), ("gdoi.key-packet.length", 6));
    assert_eq!(download_error(vec![tek()], |body| body[7] = 4), ("gdoi.key-packet.length", 6));
    assert_eq!(download_error(vec![kek()], |body| body[8] = 4), ("gdoi.key-packet.spi-size", 8));
    assert_eq!(download_error(vec![kek(), kek()], |_| ()), ("gdoi.kd.duplicate", 45));
    assert_eq!(download_error(vec![packet(kd_type::SID, vec![1])], |_| ()), ("gdoi.key-packet.spi-size", 8));
}

#[test]
fn sender_ids_are_read_back_in_their_dialect() {
    for dialect in [Dialect::RFC6407, Dialect::GDOID_2011] {
        let packet = KeyPacket::sids(16, &[1, 0x0203], &dialect);
        assert_eq!(packet.sid_values(&dialect), [1, 0x0203]);
        assert_eq!(packet.attributes.uint(sid_key::BITS), Some(16));
    }
    assert_eq!(KeyPacket::sids(8, &[1], &Dialect::GDOID_2011).sid_values(&Dialect::RFC6407), [0x0100_0000]);
}

#[test]
fn a_sequence_number_has_four_octets() {
    assert_eq!(Sequence::decode(&[0, 0, 1, 0]), Ok(Sequence(256)));
    assert_eq!(Sequence(256).encode_body(), [0, 0, 1, 0]);
    assert_eq!(Sequence::decode(&[0, 0, 1]).unwrap_err().code.as_str(), "gdoi.seq.length");
    assert_eq!(Sequence::decode(&[0; 5]).unwrap_err().offset, 4);
}

#[test]
fn lkh_arrays_need_their_version_and_their_keys() {
    let key = LkhKey { id: 4, key_type: 3, created: 1, expires: 2, handle: 3, data: vec![7; 32] };
    let update = LkhUpdate { wrapper_id: 8, wrapper_handle: 9, keys: vec![key.clone(), key] };
    let value = update.encode();
    assert_eq!(value.len(), 12 + 2 * 48);
    assert_eq!(LkhUpdate::decode(&value, 32), Ok(update));
    assert_eq!(LkhUpdate::decode(&value, 31).unwrap_err().code.as_str(), "gdoi.lkh.reserved");
    assert_eq!(LkhUpdate::decode(&value, 200).unwrap_err().code.as_str(), "gdoi.lkh.truncated");
    let mut other = value.clone();
    other[0] = 2;
    assert_eq!(LkhUpdate::decode(&other, 32).unwrap_err().code.as_str(), "gdoi.lkh.version");
    other[0] = 1;
    other[2] = 1;
    assert_eq!(LkhUpdate::decode(&other, 32).unwrap_err().code.as_str(), "gdoi.lkh.trailing");
    assert_eq!(format!("{:?}", LkhUpdate::decode(&value, 32).unwrap().keys[0]), "node 4 handle 3 type 3 (32 octets)");
}

#[test]
fn a_tek_of_another_protocol_keeps_its_octets() {
    let sat = SaTek { protocol_id: 3, body: TekBody::Other(vec![1, 2, 3]) };
    let body = sat.encode_body(&Dialect::RFC6407);
    assert_eq!(body, [3, 1, 2, 3]);
    assert_eq!(SaTek::decode(&body, &Dialect::RFC6407, &Limits::default()), Ok(sat));
}

fn data_policy() -> DataPolicy {
    DataPolicy {
        replay: Some(ReplayPolicy { method: ReplayPolicy::TIME, window: 4 }),
        pseudotime: Some(62_586_626),
        d3p_type: Some(DataPolicy::D3P_POSIX),
        d3p_window_ms: Some(5_000),
        direction: Some(DataPolicy::RECEIVE_ONLY),
    }
}

#[test]
fn the_data_policy_of_a_group_survives_the_wire_beside_other_attributes() {
    let mut attributes = gap().attributes;
    attributes.0.extend(data_policy().attributes());
    let decoded = Gap::decode(&Gap { attributes }.encode_body()).unwrap();
    assert_eq!(DataPolicy::read(&decoded.attributes), Ok(data_policy()));
    assert_eq!(DataPolicy::read(&gap().attributes), Ok(DataPolicy::default()));
    // REPLAY is a type, a length of 4, the method, a reserved octet and the window.
    let octets = Attributes(data_policy().attributes()).encode();
    assert_eq!(octets[..8], [0, 240, 0, 4, 2, 0, 0, 4]);
    assert_eq!(octets[8..20], [0, 241, 0, 8, 0, 0, 0, 0, 3, 0xba, 0xff, 2]);
}

#[test]
fn a_data_policy_of_the_wrong_form_is_told_by_its_class() {
    for attribute in [
        Attribute::basic(gap_attr::REPLAY, 2),
        Attribute::variable(gap_attr::REPLAY, vec![2, 1, 0, 4]),
        Attribute::variable(gap_attr::REPLAY, vec![2, 0, 0]),
        Attribute::basic(gap_attr::PSEUDOTIME, 7),
        Attribute::u32(gap_attr::PSEUDOTIME, 7),
        Attribute::u32(gap_attr::D3P_TYPE, 1),
        Attribute::basic(gap_attr::D3P_WINDOW, 5_000),
        Attribute::u32(gap_attr::GROUP_DIRECTION, 2),
    ] {
        let class = attribute.class;
        assert_eq!(DataPolicy::read(&Attributes(vec![attribute])), Err(class));
    }
}

#[test]
fn a_bypass_keeps_its_place_among_the_policies_in_every_dialect() {
    let deny = |network: &str| {
        let src = Selector::from_subnet(network.parse().unwrap(), 24).with_port(179);
        SaAttribute::Tek(SaTek::bypass(Bypass { ip_protocol: 6, src, dst: Selector::any_ipv4() }))
    };
    let tek = || SaAttribute::Tek(tek());
    let sa = GdoiSa::new(vec![SaAttribute::Kek(kek()), deny("10.0.1.0"), tek(), deny("10.0.2.0"), tek()]);
    for dialect in [Dialect::RFC6407, Dialect::GDOID_2011] {
        let body = sa.encode_body(&dialect);
        assert_eq!(GdoiSa::decode(&body, &dialect, &Limits::default()), Ok(sa.clone()));
    }
}

#[test]
fn a_private_protocol_of_another_form_stays_octets() {
    let other = SaTek { protocol_id: protocol_id::BYPASS, body: TekBody::Other(vec![6, 1, 0, 0, 4, 10]) };
    let body = other.encode_body(&Dialect::RFC6407);
    assert_eq!(SaTek::decode(&body, &Dialect::RFC6407, &Limits::default()), Ok(other));
}
