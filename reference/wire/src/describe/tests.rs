use super::*;
use crate::gdoi::{GdoiSa, KeyDownload, KeyPacket, LkhKey, LkhUpdate, SaAttribute, SaTek, TekBody, kd_type, lkh_key};
use crate::isakmp::{Delete, Identification, Proposal, SecurityAssociation, Transform};
use crate::raw::{RawMessage, RawPayload};

#[test]
fn an_offer_reads_like_a_policy() {
    let attributes = Attributes(vec![Attribute::basic(1, 7), Attribute::u32(12, 86400), Attribute::basic(77, 5)]);
    let transform = Transform { number: 1, id: 1, attributes };
    let proposal = Proposal { number: 1, protocol: 1, spi: vec![], transforms: vec![transform] };
    let sa = SecurityAssociation { doi: 2, situation: 0, proposals: vec![proposal] };
    let tree = payload(PayloadType::SA, &sa.encode_body(), &Context::phase1());
    let expected = [
        "SA",
        "  doi: GDOI (2)",
        "  situation: 0",
        "  proposal: 1",
        "    protocol: ISAKMP (1)",
        "    transform: 1",
        "      id: KEY_IKE (1)",
        "      encryption-algorithm: AES-CBC (7)",
        "      life-duration: 86400",
        "      attribute 77: 5",
    ];
    assert_eq!(tree.lines(), expected);
}

#[test]
fn keys_stay_hidden_until_they_are_asked_for() {
    let attributes = Attributes(vec![Attribute::variable(1, vec![0xab; 16])]);
    let packet = KeyPacket { kd_type: kd_type::TEK, spi: vec![1, 2, 3, 4], attributes };
    let body = KeyDownload { packets: vec![packet] }.encode_body();
    let context = Context::gdoi(Dialect::RFC6407);
    let hidden = payload(PayloadType::KEY_DOWNLOAD, &body, &context).to_string();
    assert!(hidden.contains("tek-algorithm-key: (16 octets, hidden)") && !hidden.contains("abab"), "{hidden}");
    let shown = payload(PayloadType::KEY_DOWNLOAD, &body, &context.revealing_keys()).to_string();
    assert!(shown.contains(&"ab".repeat(16)), "{shown}");
}

#[test]
fn a_key_hierarchy_opens_without_knowing_its_cipher() {
    let key = LkhKey { id: 4, key_type: 3, created: 0, expires: 0, handle: 2, data: vec![7; 32] };
    let update = LkhUpdate { wrapper_id: 8, wrapper_handle: 9, keys: vec![key.clone(), key] };
    let attributes = Attributes(vec![Attribute::variable(lkh_key::UPDATE, update.encode())]);
    let packet = KeyPacket { kd_type: kd_type::LKH, spi: vec![0; 16], attributes };
    let body = KeyDownload { packets: vec![packet] }.encode_body();
    let text = payload(PayloadType::KEY_DOWNLOAD, &body, &Context::gdoi(Dialect::RFC6407)).to_string();
    assert!(text.contains("lkh-update-array: wrapped under node 8 handle 9"), "{text}");
    assert_eq!(text.matches("type: AES-CBC (3)").count(), 2, "{text}");
}

#[test]
fn what_does_not_decode_is_shown_with_its_reason() {
    let tree = payload(PayloadType::SEQ, &[1, 2, 3], &Context::gdoi(Dialect::RFC6407));
    assert_eq!(tree.value, "malformed");
    assert_eq!(tree.child("octets").unwrap().value, "010203");
    assert!(tree.child("error").unwrap().value.starts_with("gdoi.seq.length at offset 3"));
    let sat = SaAttribute::Tek(SaTek { protocol_id: 3, body: TekBody::Other(vec![9]) });
    let mut body = GdoiSa::new(vec![sat]).encode_body(&Dialect::RFC6407);
    body[10] = 1;
    let broken = payload(PayloadType::SA, &body, &Context::gdoi(Dialect::RFC6407));
    assert!(broken.child("error").unwrap().value.starts_with("gdoi.sa.reserved"));
    assert_eq!(broken.child("SAT").unwrap().value, "IEC-61850 (3)");
}

#[test]
fn a_number_is_named_after_the_exchange_that_it_is_in() {
    let delete = Delete { doi: 2, protocol: 1, spi_size: 4, spis: vec![vec![0; 4]] }.encode_body();
    let named_in = |exchange| {
        let context = Context::of_exchange(exchange, Dialect::RFC6407);
        payload(PayloadType::DELETE, &delete, &context).child("protocol").unwrap().value.clone()
    };
    assert_eq!(named_in(ExchangeType::INFORMATIONAL), "ISAKMP (1)");
    assert_eq!(named_in(ExchangeType::PUSH), "ESP (1)");
    let group = Identification::key_id(1234).encode_body();
    let in_pull = payload(PayloadType::ID, &group, &Context::gdoi(Dialect::RFC6407));
    assert_eq!(in_pull.value, "group 1234");
    let swapped = payload(PayloadType::ID, &group, &Context::gdoi(Dialect::GDOID_2011));
    assert_eq!(swapped.value, format!("group {}", 1234_u32.swap_bytes()));
}

#[test]
fn a_message_is_described_whole_unless_it_is_encrypted() {
    let nonce = RawPayload::new(PayloadType::NONCE, vec![0xcd; 8]);
    let clear = RawMessage::new(([1; 8], [2; 8]), 2, 0, 0).with(nonce);
    let text = message(&clear.encode(), Dialect::RFC6407).to_string();
    assert!(text.starts_with("ISAKMP: main-mode\n") && text.contains("NONCE: cdcdcdcdcdcdcdcd"), "{text}");
    let sealed = RawMessage { flags: 1, ..clear };
    let tree = message(&sealed.encode(), Dialect::RFC6407);
    assert_eq!(tree.child("encrypted").unwrap().value, "12 octets");
    assert_eq!(tree.child("NONCE"), None);
    assert_eq!(message(&[0; 5], Dialect::RFC6407).value, "malformed");
}

#[test]
fn the_data_policy_of_a_group_reads_in_words() {
    use crate::gdoi::{Bypass, DataPolicy, Gap, ReplayPolicy, Selector};
    let policy = DataPolicy {
        replay: Some(ReplayPolicy { method: ReplayPolicy::TIME, window: 4 }),
        pseudotime: Some(62_586_626),
        direction: Some(DataPolicy::RECEIVE_ONLY),
        ..DataPolicy::default()
    };
    let src = Selector::from_ip("10.0.0.9".parse().unwrap()).with_port(179);
    let bypass = Bypass { ip_protocol: 6, src, dst: Selector::any_ipv4() };
    let gap = SaAttribute::Gap(Gap { attributes: Attributes(policy.attributes()) });
    let sa = GdoiSa::new(vec![gap, SaAttribute::Tek(SaTek::bypass(bypass))]);
    let tree = payload(PayloadType::SA, &sa.encode_body(&Dialect::RFC6407), &Context::gdoi(Dialect::RFC6407));
    let expected = [
        "SA",
        "  doi: GDOI (2)",
        "  situation: 0",
        "  GAP",
        "    replay (reference form): time (2), window 4 s",
        "    pseudotime (reference form): 625866.26 s (62586626 ticks)",
        "    group-direction (reference form): receive-only (2)",
        "  SAT: bypass (reference form) (250)",
        "    ip protocol: 6",
        "    source: 10.0.0.9 port 179",
        "    destination: 0.0.0.0/0",
    ];
    assert_eq!(tree.lines(), expected);
}
