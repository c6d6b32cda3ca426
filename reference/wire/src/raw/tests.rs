use hallmark_core::Limits;

use super::*;
use crate::isakmp::{Attribute, Attributes, Chain, Message, Proposal, SecurityAssociation, Transform, build_chain};

fn message() -> RawMessage {
    RawMessage::new(([1; 8], [2; 8]), 2, 0, 0)
        .with(RawPayload::new(PayloadType::KE, vec![3; 4]))
        .with(RawPayload::new(PayloadType::NONCE, vec![4; 8]))
}

#[test]
fn what_is_not_forced_is_right() {
    let octets = message().encode();
    let decoded = Message::decode(&octets).unwrap();
    let chain = decoded.chain(&Limits::default()).unwrap();
    assert_eq!(chain.kinds(), [PayloadType::KE, PayloadType::NONCE]);
    let expected = build_chain(&[(PayloadType::KE, vec![3; 4]), (PayloadType::NONCE, vec![4; 8])]);
    assert_eq!(message().chain(), expected);
    assert_eq!(RawMessage::from_clear(&octets), Ok(message()));
}

#[test]
fn every_field_can_be_forced_and_is_read_back_as_forced() {
    let mut raw = message();
    raw.next = Field::Force(99);
    raw.length = Field::Force(7);
    raw.version = 0x21;
    raw.trailer = vec![0xee; 3];
    let octets = raw.encode();
    assert_eq!((octets[16], octets[17]), (99, 0x21));
    assert_eq!(octets[24..28], [0, 0, 0, 7]);
    assert_eq!(octets[octets.len() - 3..], [0xee; 3]);
    assert_eq!(RawMessage::from_clear(&octets).unwrap().encode(), octets);

    let mut raw = message();
    raw.find_mut(PayloadType::KE).unwrap().reserved = 0x80;
    raw.find_mut(PayloadType::NONCE).unwrap().next = Field::Force(8);
    raw.find_mut(PayloadType::NONCE).unwrap().length = Field::Force(3);
    let octets = raw.encode();
    assert_eq!(octets[28..32], [10, 0x80, 0, 8]);
    assert_eq!(octets[36..40], [8, 0, 0, 3]);
    let back = RawMessage::from_clear(&octets).unwrap();
    // The chain breaks at the nonce, so it becomes the trailer and the field that announced it is forced.
    assert_eq!((back.payloads.len(), back.trailer.len(), back.payloads[0].next), (1, 12, Field::Force(10)));
    assert_eq!(back.encode(), octets);
}

#[test]
fn a_body_can_be_replaced_and_the_header_counts_it() {
    let octets = message().encode_with_body(&[9; 16]);
    assert_eq!(octets[..28], message().header(16));
    assert_eq!(octets[24..], [0, 0, 0, 44, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]);
    assert_eq!(octets[16], PayloadType::KE.0);
}

#[test]
fn an_offer_opens_down_to_its_transforms() {
    let transform = |number| Transform { number, id: 1, attributes: Attributes(vec![Attribute::basic(1, 7)]) };
    let proposal = Proposal { number: 1, protocol: 1, spi: vec![5; 4], transforms: vec![transform(1), transform(2)] };
    let sa = SecurityAssociation { doi: 2, situation: 0, proposals: vec![proposal] };
    let chain = build_chain(&[(PayloadType::SA, sa.encode_body())]);
    let mut payloads = parse_payloads(chain.first, &chain.octets, true).unwrap();
    let proposals = payloads[0].children_mut().unwrap();
    assert_eq!(proposals.len(), 1);
    let transforms = proposals[0].children_mut().unwrap();
    assert_eq!(transforms.iter().map(|transform| transform.kind).collect::<Vec<_>>(), [3, 3]);
    // A transform taken out of the tree leaves lengths right and the count wrong.
    transforms.pop();
    assert_eq!(
        SecurityAssociation::decode(&payloads[0].body_octets()).unwrap_err().code.as_str(),
        "isakmp.proposal.count"
    );
    // Without nesting the SA stays one piece.
    assert!(parse_payloads(chain.first, &chain.octets, false).unwrap()[0].children_mut().is_none());
}

#[test]
fn strict_walks_refuse_what_lossless_reading_keeps() {
    assert_eq!(parse_payloads(PayloadType::HASH, &[], true).unwrap_err().code.as_str(), "isakmp.payload.dangling-next");
    let error = parse_payloads(PayloadType::HASH, &[0, 0, 0, 2], true).unwrap_err();
    assert_eq!((error.code.as_str(), error.offset), ("isakmp.payload.length", 2));
    let (payloads, padding) = parse_payloads_with_trailer(PayloadType::HASH, &[0, 9, 0, 5, 1, 0, 0], true).unwrap();
    assert_eq!((payloads[0].reserved, padding), (9, &[0, 0][..]));
    assert_eq!(RawMessage::from_clear(&[0; 27]).unwrap_err().code.as_str(), "isakmp.too-short");
}

#[test]
fn a_chain_that_the_strict_decoder_takes_has_the_same_kinds_in_the_tree() {
    let built = message().chain();
    let strict = Chain::decode(built.first, &built.octets, &Limits::default()).unwrap();
    let tree = parse_payloads(built.first, &built.octets, true).unwrap();
    let kinds: Vec<_> = tree.iter().map(|payload| PayloadType(payload.kind)).collect();
    assert_eq!(strict.kinds(), kinds);
}
