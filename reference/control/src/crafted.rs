//! Messages that no machine of ours sends, made with the keys of a member, against a key server; and the other way.

use hallmark_core::{Code, Datagram, Instant, Limits, Now, Rng, UnixTime};
use hallmark_crypto::ike::Cbc;
use hallmark_crypto::{Secret, SigningKey};
use hallmark_wire::gdoi::{DOI, gap_attr};
use hallmark_wire::isakmp::{
    Attribute, Attributes, Built, Chain, Delete, ExchangeType, IdType, Identification, Message, PayloadType,
    build_chain,
};

use crate::behaviour::{Behaviour, Defect};
use crate::code;
use crate::config::{
    Compat, DataTransform, GroupConfig, MembershipConfig, PeerConfig, ServerConfig, TekConfig, TestConfig,
};
use crate::event::EventKind;
use crate::ike::{IkeConfig, PeerRule, SaId};
use crate::pull::{PullHash, with_hash};
use crate::{GmConfig, GroupMember, KeyServer, KsConfig, Machine};

const GROUP: u32 = 7;
const NOW: Now = Now::new(Instant::from_secs(1), UnixTime::from_secs(1_800_000_000));

struct Pair {
    ks: KeyServer,
    gm: GroupMember,
    sa: SaId,
}

fn pair(limits: Limits, defects: &[Defect]) -> Pair {
    let behaviour = defects.iter().fold(Behaviour::conforming(), |all, one| all.with_defect(*one));
    let test = TestConfig { behaviour, short_lifetimes: true, export_keys: false };
    let phase1 = IkeConfig { proposals: vec!["aes128-sha256-ecp256-psk".parse().unwrap()], ..IkeConfig::default() };
    let rule = |address: &str| PeerRule::psk(address.parse().unwrap(), Secret::new(b"secret".to_vec()));
    let mut group = GroupConfig::new(GROUP);
    let pem = include_str!("../../../fixtures/keys/p256-a.pem");
    group.signing_key = Some(SigningKey::from_pem(pem).unwrap());
    group.sid_bits = Some(8);
    let transform = DataTransform::from_names("esp", "aes128-gcm16", None).unwrap();
    group.teks = vec![TekConfig::new(transform, vec!["permit ip any any".parse().unwrap()])];
    let ks = KsConfig {
        listen: vec!["10.0.0.1:848".parse().unwrap()],
        phase1: phase1.clone(),
        peers: vec![PeerConfig { rule: PeerRule { prefix: 8, ..rule("10.0.0.0") }, compat: Compat::NONE }],
        groups: vec![group],
        test: test.clone(),
    };
    let gm = GmConfig {
        listen: "10.0.0.2:848".parse().unwrap(),
        phase1,
        servers: vec![ServerConfig {
            address: "10.0.0.1:848".parse().unwrap(),
            rule: rule("10.0.0.1"),
            compat: Compat::NONE,
        }],
        group: MembershipConfig::new(GROUP),
        test,
    };
    let ks = KeyServer::new(ks, limits, Rng::from_u64(1), NOW).unwrap();
    let gm = GroupMember::new(gm, limits, Rng::from_u64(2), NOW).unwrap();
    let mut pair = Pair { ks, gm, sa: SaId(0) };
    pair.gm.handle_timeout(NOW);
    pair.settle();
    pair.sa = pair.gm.ike.sas().next().unwrap().id();
    pair
}

impl Pair {
    fn settle(&mut self) {
        loop {
            let to_ks = self.gm.poll_transmit();
            let to_gm = self.ks.poll_transmit();
            if to_ks.is_none() && to_gm.is_none() {
                return;
            }
            to_ks.iter().for_each(|datagram| self.ks.handle_datagram(NOW, datagram));
            to_gm.iter().for_each(|datagram| self.gm.handle_datagram(NOW, datagram));
        }
    }

    /// Begins an exchange of our own, beside the machine.
    fn exchange(&mut self) -> Exchange {
        let id = self.gm.ike.fresh_message_id(self.sa).unwrap();
        let cbc = self.gm.ike.sa(self.sa).unwrap().exchange_cbc(id);
        Exchange { id, cbc, ni: vec![9; 16], nr: Vec::new() }
    }

    /// Sends payloads behind a right HASH and gives the answer of the server, if there is one.
    fn send(&mut self, exchange: &mut Exchange, rest: &Built, padding: usize) -> Option<Datagram> {
        let sa = self.gm.ike.sa(self.sa).unwrap();
        let which =
            if exchange.nr.is_empty() { PullHash::One } else { PullHash::Three { ni: &exchange.ni, nr: &exchange.nr } };
        let hash = which.compute(sa.hash(), sa.skeyid_a().expose(), exchange.id, &rest.octets);
        let mut built = with_hash(&hash, rest);
        built.octets.resize(built.octets.len() + padding, 0);
        let message = sa.seal(ExchangeType::PULL, exchange.id, &mut exchange.cbc, &built);
        self.ks.handle_datagram(
            NOW,
            &Datagram::new("10.0.0.2:848".parse().unwrap(), "10.0.0.1:848".parse().unwrap(), message),
        );
        self.ks.poll_transmit()
    }

    fn m1(&mut self, exchange: &mut Exchange, id: Identification, padding: usize) -> Option<Datagram> {
        let nonce = (PayloadType::NONCE, exchange.ni.clone());
        let rest = build_chain(&[nonce, (PayloadType::ID, id.encode_body())]);
        let answer = self.send(exchange, &rest, padding)?;
        // Nr comes behind HASH in M2.
        let message = Message::decode(&answer.payload).unwrap();
        let clear = exchange.cbc.decrypt(message.body).unwrap();
        let chain = Chain::decode(message.header.next, &clear, &Limits::default()).unwrap();
        exchange.nr = chain.find(PayloadType::NONCE).unwrap().body.to_vec();
        exchange.cbc.advance(message.body);
        Some(answer)
    }

    fn m3(&mut self, attributes: Vec<Attribute>) -> Option<Datagram> {
        let mut exchange = self.exchange();
        self.m1(&mut exchange, Identification::key_id(GROUP), 0).unwrap();
        let rest = build_chain(&[(PayloadType::GAP, Attributes(attributes).encode())]);
        self.send(&mut exchange, &rest, 0)
    }

    fn refused(&mut self) -> Option<Code> {
        std::iter::from_fn(|| self.ks.poll_event()).filter_map(|event| event.kind.code()).last()
    }
}

struct Exchange {
    id: u32,
    cbc: Cbc,
    ni: Vec<u8>,
    nr: Vec<u8>,
}

#[test]
fn a_group_identifier_has_exactly_four_octets() {
    for (octets, answered) in [(0, false), (3, false), (4, true), (5, false), (64, false)] {
        let mut data = GROUP.to_be_bytes().to_vec();
        data.resize(octets, 0);
        let id = Identification::new(IdType::KEY_ID, data.clone());
        let mut pair = pair(Limits::default(), &[]);
        let mut exchange = pair.exchange();
        assert_eq!(pair.m1(&mut exchange, id.clone(), 0).is_some(), answered, "{octets} octets");
        assert_eq!(pair.refused(), (!answered).then_some(code::PULL_ID_LENGTH));
    }
    let mut pair = pair(Limits::default(), &[Defect::KsKeyIdLengthUnchecked]);
    let mut exchange = pair.exchange();
    let id = Identification::new(IdType::KEY_ID, vec![0, 0, 0, 7, 1]);
    assert!(pair.m1(&mut exchange, id, 0).is_some(), "the faulty server takes the first four");
}

#[test]
fn more_than_one_block_of_padding_is_refused_and_one_is_not() {
    let id = Identification::key_id(GROUP);
    // 36 octets of HASH, 20 of NONCE and 12 of ID leave 12 to the next block of 16.
    for (padding, answered) in [(0, true), (12, true), (13, false), (60, false)] {
        let mut pair = pair(Limits::default(), &[]);
        let mut exchange = pair.exchange();
        assert_eq!(pair.m1(&mut exchange, id.clone(), padding).is_some(), answered, "{padding}");
        assert_eq!(pair.refused(), (!answered).then_some(code::PULL_TRAILING));
    }
}

#[test]
fn a_gap_payload_of_a_member_asks_for_sender_ids_and_nothing_else() {
    let request = |count| Attribute::basic(gap_attr::SENDER_ID_REQUEST, count);
    for (attributes, expected) in [
        (vec![request(3)], None),
        (vec![request(0)], None),
        (vec![Attribute::basic(gap_attr::ACTIVATION_TIME_DELAY, 9)], None),
        (vec![Attribute::basic(100, 1)], Some(code::PULL_GAP_UNKNOWN)),
        (vec![Attribute::basic(200, 1)], Some(code::PULL_GAP_UNKNOWN)),
        (vec![request(1), request(1)], Some(code::PULL_GAP_FORM)),
        (vec![Attribute::u32(gap_attr::SENDER_ID_REQUEST, 1)], Some(code::PULL_GAP_FORM)),
        (vec![request(u16::MAX)], Some(code::PULL_SID_REQUEST)),
    ] {
        let mut pair = pair(Limits::default(), &[]);
        pair.refused();
        let answer = pair.m3(attributes.clone());
        assert_eq!(answer.is_some(), expected.is_none(), "{attributes:?}");
        assert_eq!(pair.refused(), expected, "{attributes:?}");
        // The first registration took number 0; a refused one takes none.
        let next = pair.ks.status(NOW).groups[0].sids.map(|sids| sids.next);
        let taken = if attributes == [request(3)] { 3 } else { 1 };
        assert_eq!(next, Some(if expected.is_some() { 1 } else { 1 + taken }));
    }
    let mut pair = pair(Limits::default(), &[Defect::KsUnknownGapIgnored]);
    assert!(pair.m3(vec![Attribute::basic(100, 1)]).is_some());
}

#[test]
fn a_payload_length_below_four_is_refused_and_stops_a_faulty_server() {
    for (defects, alive) in [(&[][..], true), (&[Defect::KsZeroLengthLoops][..], false)] {
        let mut pair = pair(Limits::default(), defects);
        let mut exchange = pair.exchange();
        let mut rest = build_chain(&[(PayloadType::NONCE, vec![1; 16])]);
        rest.octets[2..4].copy_from_slice(&[0, 0]);
        assert!(pair.send(&mut exchange, &rest, 0).is_none());
        assert_eq!(pair.refused(), Some(Code("isakmp.payload.length")));
        let mut exchange = pair.exchange();
        assert_eq!(pair.m1(&mut exchange, Identification::key_id(GROUP), 0).is_some(), alive);
    }
}

#[test]
fn a_full_group_refuses_newcomers_and_keeps_its_members() {
    let limits = Limits { members: 0, ..Limits::default() };
    let mut pair = pair(limits, &[]);
    assert_eq!(pair.refused(), Some(code::PULL_MEMBERS));
    assert_eq!(pair.ks.status(NOW).groups[0].member_count, 0);
    assert!(!pair.gm.status(NOW).registered);
}

#[test]
fn keys_that_were_replaced_between_m2_and_m3_are_not_handed_out() {
    let mut pair = pair(Limits::default(), &[]);
    let mut exchange = pair.exchange();
    pair.m1(&mut exchange, Identification::key_id(GROUP), 0).unwrap();
    pair.ks.handle_command(NOW, crate::KsCommand::RekeyKek { group: GROUP }).unwrap();
    pair.settle();
    assert!(pair.send(&mut exchange, &build_chain(&[]), 0).is_none());
    assert_eq!(pair.refused(), Some(code::PULL_POLICY_MOVED));
}

#[test]
fn a_delete_under_phase_1_leaves_the_data_sas_alone() {
    for (defects, left) in [(&[][..], 1), (&[Defect::GmDeleteUnderPhase1][..], 0)] {
        let mut pair = pair(Limits::default(), defects);
        let sa = pair.ks.ike.sas().next().unwrap().id();
        let delete = Delete { doi: DOI, protocol: 1, spi_size: 4, spis: vec![vec![0; 4]] };
        pair.ks.ike.informational(NOW, sa, &[(PayloadType::DELETE, delete.encode_body())]);
        let held = pair.gm.sadb().iter().next().unwrap().spi;
        let delete = Delete { spis: vec![held.to_be_bytes().to_vec()], ..delete };
        let doi = Delete { doi: DOI, protocol: 3, ..delete.clone() };
        for delete in [delete, doi] {
            pair.ks.ike.informational(NOW, sa, &[(PayloadType::DELETE, delete.encode_body())]);
        }
        pair.settle();
        let refused = |event: &EventKind| event.code() == Some(code::DELETE_PHASE1);
        let events: Vec<EventKind> = std::iter::from_fn(|| pair.gm.poll_event()).map(|event| event.kind).collect();
        assert!(events.iter().any(refused), "{events:?}");
        assert_eq!(pair.gm.sadb().len(), left);
    }
}

#[test]
fn a_push_that_comes_after_the_last_second_or_in_half_a_block_is_refused() {
    let mut pair = pair(Limits::default(), &[]);
    pair.ks.handle_command(NOW, crate::KsCommand::Rekey { group: GROUP }).unwrap();
    let push = pair.ks.poll_transmit().unwrap();
    let mut short = push.clone();
    short.payload.truncate(28 + 20);
    short.payload[24..28].copy_from_slice(&48_u32.to_be_bytes());
    pair.gm.handle_datagram(NOW, &short);
    let late = Now::new(Instant::from_secs(86_500), NOW.wall);
    pair.gm.handle_datagram(late, &push);
    let codes: Vec<Code> = std::iter::from_fn(|| pair.gm.poll_event()).filter_map(|event| event.kind.code()).collect();
    assert_eq!(codes, [code::PUSH_CIPHER, code::PUSH_EXPIRED]);
    pair.gm.handle_datagram(NOW, &push);
    assert_eq!(pair.gm.status(NOW).rekeys_received, 1);
}

#[test]
fn a_member_holds_no_more_sas_than_its_limit() {
    let mut pair = pair(Limits { teks: 2, ..Limits::default() }, &[]);
    for _ in 0..2 {
        pair.ks.handle_command(NOW, crate::KsCommand::Rekey { group: GROUP }).unwrap();
        pair.settle();
    }
    let codes: Vec<Code> = std::iter::from_fn(|| pair.gm.poll_event()).filter_map(|event| event.kind.code()).collect();
    assert_eq!(codes, [code::SAT_TOO_MANY]);
    assert_eq!(pair.gm.sadb().len(), 2);
}
