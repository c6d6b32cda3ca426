//! Informational exchanges: protection, notify, delete, first contact, dead peer detection.

use hallmark_wire::isakmp::{Delete, ExchangeType, Flags, Notify, NotifyType, build_chain};

use super::*;

/// Makes a clear Informational under the cookies of the pair's SA.
fn clear(pair: &Pair, kind: PayloadType, body: Vec<u8>) -> Vec<u8> {
    let sa = pair.i.sas().next().unwrap();
    let built = build_chain(&[(kind, body)]);
    let header = Header {
        initiator_cookie: sa.initiator_cookie(),
        responder_cookie: sa.responder_cookie(),
        next: built.first,
        version: 0x10,
        exchange: ExchangeType::INFORMATIONAL,
        flags: Flags::NONE,
        message_id: 77,
        length: 0,
    };
    resized([header.encode().as_slice(), &built.octets].concat())
}

fn delete_of(cookies: [u8; 16]) -> Vec<u8> {
    Delete { doi: 2, protocol: 1, spi_size: 16, spis: vec![cookies.to_vec()] }.encode_body()
}

fn rut(cookies: [u8; 16], sequence: u32, kind: NotifyType) -> Vec<u8> {
    Notify { doi: 1, protocol: 1, spi: cookies.to_vec(), kind, data: sequence.to_be_bytes().to_vec() }.encode_body()
}

#[test]
fn a_protected_delete_ends_the_sa_and_a_clear_one_does_not() {
    let (mut pair, id) = Pair::up(config_i(), config_r());
    let cookies = pair.i.sa(id).unwrap().cookies();
    let forged = clear(&pair, PayloadType::DELETE, delete_of(cookies));
    pair.give_r(&to_r(&forged));
    assert_eq!(pair.r.established(), 1);
    assert_eq!(pair.codes_r(), ["ike.informational.clear"]);
    let gone = pair.r_sa();
    pair.i.delete(pair.now, id);
    pair.pump();
    assert_eq!(pair.r.established(), 0);
    assert!(pair.events_r.contains(&IkeEvent::Deleted { sa: gone, peer: addr(I), by_peer: true }));
}

#[test]
fn a_changed_or_replayed_informational_is_refused_and_never_answered() {
    let (mut pair, id) = Pair::up(config_i(), config_r());
    let cookies = pair.i.sa(id).unwrap().cookies();
    let question = [(PayloadType::NOTIFY, rut(cookies, 5, NotifyType::R_U_THERE))];
    pair.i.informational(pair.now, id, &question);
    let datagram = pair.i.poll_transmit().unwrap();
    for at in [28, 60, datagram.payload.len() - 1] {
        let mut changed = datagram.clone();
        changed.payload[at] ^= 1;
        pair.give_r(&changed);
        assert!(outputs(&mut pair.r).is_empty(), "octet {at}");
    }
    pair.give_r(&datagram);
    assert_eq!(outputs(&mut pair.r).len(), 1);
    pair.give_r(&datagram);
    assert!(outputs(&mut pair.r).is_empty());
    assert_eq!(pair.codes_r().last(), Some(&"ike.informational.replay"));
    // Our own message, sent back to us, is a replay as well.
    let reflected = Datagram::new(addr(R), addr(I), datagram.payload);
    pair.give_i(&reflected);
    assert_eq!(pair.codes_i(), ["ike.informational.replay"]);
}

#[test]
fn a_peer_cannot_delete_the_sa_of_another() {
    let (mut pair, id) = Pair::up(config_i(), config_r());
    let other = IkeEndpoint::new(config_i(), Limits::default(), Rng::from_u64(55), now_at(0)).unwrap();
    let mut first = std::mem::replace(&mut pair.i, other);
    let second = pair.i.connect(pair.now, addr("10.0.0.3:848"), addr(R), 0);
    pair.pump();
    assert_eq!(pair.r.established(), 2);
    let victim = first.sa(id).unwrap().cookies();
    pair.i.informational(pair.now, second, &[(PayloadType::DELETE, delete_of(victim))]);
    pair.pump();
    assert_eq!(pair.r.established(), 2);
    assert_eq!(pair.codes_r(), ["ike.informational.foreign-spi"]);
    // The owner may.
    first.informational(pair.now, id, &[(PayloadType::DELETE, delete_of(victim))]);
    std::mem::swap(&mut pair.i, &mut first);
    pair.pump();
    assert_eq!(pair.r.established(), 1);
}

#[test]
fn clear_notifies_are_hints_at_every_state() {
    let mut pair = Pair::new(config_i(), config_r());
    pair.connect();
    let mut step = 0;
    // After each message of the initiator a forged error notify with the right cookies comes in.
    for _ in 0..20 {
        let mut sent = outputs(&mut pair.i);
        let Some(datagram) = sent.pop() else { break };
        pair.give_r(&datagram);
        let answers = outputs(&mut pair.r);
        let mut header = Header::decode(&datagram.payload).unwrap();
        header.exchange = ExchangeType::INFORMATIONAL;
        (header.next, header.flags, header.message_id) = (PayloadType::NOTIFY, Flags::NONE, 99);
        let kind = NotifyType(if step % 2 == 0 { 14 } else { 24 });
        let notify = Notify { doi: 2, protocol: 1, spi: Vec::new(), kind, data: Vec::new() }.encode_body();
        let body = build_chain(&[(PayloadType::NOTIFY, notify)]).octets;
        let forged = resized([header.encode().as_slice(), &body].concat());
        pair.give_i(&Datagram::new(addr(R), addr(I), forged.clone()));
        pair.give_r(&to_r(&forged));
        for answer in answers {
            pair.give_i(&answer);
        }
        step += 1;
    }
    assert_eq!((pair.i.established(), pair.r.established(), step), (1, 1, 3));
    assert!(pair.events_i.iter().filter(|e| matches!(e, IkeEvent::Hint { .. })).count() >= 2);
}

#[test]
fn first_contact_removes_older_sas_of_the_same_identity_only() {
    let (mut pair, _) = Pair::up(config_i(), config_r());
    let old = pair.r_sa();
    pair.i = endpoint(config_i(), 31);
    let third = pair.i.connect(pair.now, addr("10.0.0.3:848"), addr(R), 0);
    pair.pump();
    assert!(pair.i.sa(third).is_some());
    assert_eq!(pair.r.established(), 2);
    pair.i = endpoint(config_i(), 32);
    pair.connect();
    pair.pump();
    assert_eq!(pair.r.established(), 2);
    assert!(pair.r.sa(old).is_none());
    assert!(pair.events_r.iter().any(|e| matches!(e, IkeEvent::Replaced { sa, .. } if *sa == old)));
}

#[test]
fn a_node_that_has_an_sa_makes_no_first_contact() {
    let (mut pair, first) = Pair::up(config_i(), config_r());
    let second = pair.connect();
    pair.pump();
    assert!(pair.i.sa(first).is_some() && pair.i.sa(second).is_some());
    assert_eq!(pair.r.established(), 2);
}

#[test]
fn questions_are_answered_with_their_number_and_old_or_foreign_ones_are_not() {
    let (mut pair, id) = Pair::up(config_i(), config_r());
    let cookies = pair.i.sa(id).unwrap().cookies();
    let mut ask = |cookies, sequence| {
        pair.i.informational(pair.now, id, &[(PayloadType::NOTIFY, rut(cookies, sequence, NotifyType::R_U_THERE))]);
        let datagram = pair.i.poll_transmit().unwrap();
        pair.give_r(&datagram);
        let answers = outputs(&mut pair.r);
        answers.first().map(|answer| {
            let sa = pair.i.sa(id).unwrap();
            let header = Header::decode(&answer.payload).unwrap();
            assert_ne!(header.message_id, Header::decode(&datagram.payload).unwrap().message_id);
            assert_eq!(header.initiator_cookie, sa.initiator_cookie());
            let plain = sa.exchange_cbc(header.message_id).decrypt(&answer.payload[28..]).unwrap();
            let chain = hallmark_wire::isakmp::Chain::decode(header.next, &plain, &Limits::default()).unwrap();
            let notify = Notify::decode(chain.find(PayloadType::NOTIFY).unwrap().body).unwrap();
            assert_eq!((notify.kind, notify.spi), (NotifyType::R_U_THERE_ACK, sa.cookies().to_vec()));
            u32::from_be_bytes(notify.data.try_into().unwrap())
        })
    };
    assert_eq!(ask(cookies, 100), Some(100));
    assert_eq!(ask(cookies, 101), Some(101));
    assert_eq!(ask(cookies, 101), Some(101), "a repeated question");
    assert_eq!(ask(cookies, 100), None, "a question from the past");
    assert_eq!(ask([7; 16], 102), None, "cookies of someone else");
    assert_eq!(ask(cookies, 102), Some(102));
    assert_eq!(pair.codes_r(), ["ike.dpd.sequence", "ike.dpd.spi"]);
}

#[test]
fn a_silent_peer_is_asked_and_then_given_up_and_a_living_one_is_kept() {
    let i = IkeConfig { dpd: Some(Duration::from_secs(30)), ..config_i() };
    let (mut pair, id) = Pair::up(i, config_r());
    pair.run(600, |_, _| true);
    assert!(pair.i.sa(id).is_some());
    let questions = pair.sent_by(I).len() - 3;
    assert!((18..=21).contains(&questions), "{questions}");
    let before = pair.wire.len();
    pair.run(60, |_, _| false);
    assert!(pair.events_i.contains(&IkeEvent::PeerDead { sa: id, peer: addr(R) }));
    assert_eq!(pair.i.established(), 0);
    assert_eq!(pair.wire.len() - before, 3);
}

#[test]
fn other_traffic_stands_in_for_questions() {
    let i = IkeConfig { dpd: Some(Duration::from_secs(30)), ..config_i() };
    let (mut pair, id) = Pair::up(i, config_r());
    let sent = pair.wire.len();
    let path = pair.i.sa(id).unwrap().path();
    for _ in 0..10 {
        pair.run(20, |_, _| true);
        pair.i.authenticated(pair.now, id, path);
    }
    assert_eq!(pair.wire.len(), sent);
}

#[test]
fn a_message_before_the_sa_is_up_is_not_served() {
    let mut pair = Pair::new(config_i(), config_r());
    pair.connect();
    pair.pump_with(|index, _| index < 4);
    let mut header = Header::decode(&pair.wire[4].payload).unwrap();
    (header.exchange, header.message_id) = (ExchangeType::PULL, 5);
    let message = resized([header.encode().as_slice(), &[0; 32]].concat());
    pair.give_r(&to_r(&message));
    assert_eq!((pair.inputs_r, pair.codes_r()), (0, vec!["ike.state.not-established"]));
}

#[test]
fn exchanges_under_an_sa_are_handed_up_only_in_the_right_form() {
    let (mut pair, id) = Pair::up(config_i(), config_r());
    let sa = pair.i.sa(id).unwrap();
    let mut cbc = sa.exchange_cbc(9);
    let good = sa.seal(ExchangeType::PULL, 9, &mut cbc, &build_chain(&[(PayloadType::NONCE, vec![1; 40])]));
    pair.give_r(&to_r(&good));
    assert_eq!(pair.inputs_r, 1);
    let mut clear = good.clone();
    clear[19] = 0;
    let mut no_id = good.clone();
    no_id[20..24].fill(0);
    let ragged = resized(good[..good.len() - 1].to_vec());
    let empty = resized(good[..28].to_vec());
    for bad in [clear, no_id, ragged, empty] {
        pair.give_r(&to_r(&bad));
    }
    assert_eq!(pair.inputs_r, 1);
    assert_eq!(pair.codes_r(), ["ike.header.flags", "ike.header.message-id", "ike.cipher.block", "ike.cipher.block"]);
    assert!(pair.r.claim_message_id(pair.r_sa(), 9));
    assert!(!pair.r.claim_message_id(pair.r_sa(), 9));
}
