//! What a flood may cost.

use super::*;

/// Makes first messages from many sources out of one good one.
fn first_message() -> Vec<u8> {
    let mut initiator = endpoint(config_i(), 1);
    initiator.connect(now_at(0), addr(I), addr(R), 0);
    outputs(&mut initiator)[0].payload.clone()
}

fn from(source: u32, port: u16, cookie: u64, payload: &[u8]) -> Datagram {
    let mut octets = payload.to_vec();
    octets[..8].copy_from_slice(&cookie.to_be_bytes());
    let ip = std::net::Ipv4Addr::from_bits(0x0a10_0000 + source);
    Datagram::new(SocketAddr::from((ip, port)), addr(R), octets)
}

#[test]
fn a_hundred_thousand_spoofed_first_messages_leave_a_bounded_table_and_service() {
    let mut responder = endpoint(config_r(), 2);
    let first = first_message();
    for n in 0..100_000_u32 {
        responder.handle_datagram(now_at(1), &from(n, 848, u64::from(n) + 1, &first));
        assert!(responder.half_open() <= 1_000);
        // REQ IKE-DOS-013
        let sent = outputs(&mut responder);
        assert!(sent.len() == 1 && sent[0].payload.len() <= first.len());
        while responder.poll_event().is_some() {}
    }
    assert_eq!(responder.by_first.len(), 1_000);
    assert_eq!(responder.by_cookies.len(), 1_000);
    assert!(responder.timers.next().is_some());
    let mut pair = Pair::new(config_i(), config_r());
    pair.r = responder;
    pair.now = now_at(1);
    let id = pair.connect();
    pair.pump();
    assert!(pair.i.sa(id).is_some());
    pair.run(61, |_, _| true);
    assert_eq!((pair.r.half_open(), pair.r.by_first.len(), pair.r.by_cookies.len()), (0, 0, 1));
}

#[test]
fn one_source_cannot_push_others_out() {
    let mut pair = Pair::new(config_i(), config_r());
    let first = first_message();
    pair.connect();
    // Messages 1 to 4 of an honest peer, then a flood of one address, then the rest.
    pair.pump_with(|index, _| index < 4);
    let fifth = pair.wire[4].clone();
    for n in 0..10_000_u64 {
        pair.give_r(&from(7, 848, n + 1, &first));
        outputs(&mut pair.r);
        pair.events_r.clear();
    }
    assert!(pair.r.half_open() <= 65);
    pair.give_r(&fifth);
    assert_eq!(pair.r.established(), 1);
}

#[test]
fn unfinished_key_exchanges_of_one_source_are_limited_and_others_are_served() {
    let mut pair = Pair::new(config_i(), config_r());
    pair.connect();
    pair.pump_with(|index, _| index < 3);
    let (first, third) = (pair.wire[0].payload.clone(), pair.wire[2].payload.clone());
    let mut responder = endpoint(config_r(), 2);
    let mut answered = 0;
    for n in 0..400_u64 {
        responder.handle_datagram(now_at(1), &from(7, 848, n + 1, &first));
        let second = outputs(&mut responder).remove(0);
        let mut message = from(7, 848, n + 1, &third);
        message.payload[8..16].copy_from_slice(&second.payload[8..16]);
        responder.handle_datagram(now_at(1), &message);
        answered += outputs(&mut responder).len();
    }
    assert_eq!(answered, 128);
    assert!(codes(&mut responder).contains(&"ike.peer.rate"));
    pair.r = responder;
    pair.i = endpoint(config_i(), 19);
    pair.now = now_at(1);
    let id = pair.connect();
    pair.pump();
    assert!(pair.i.sa(id).is_some());
}

#[test]
fn finished_exchanges_of_one_source_are_not_limited() {
    let mut pair = Pair::new(config_i(), IkeConfig { behaviour: Behaviour::conforming(), ..config_r() });
    for _ in 0..200 {
        let id = pair.connect();
        pair.pump();
        assert!(pair.i.sa(id).is_some());
        pair.i.forget(id);
        pair.wire.clear();
    }
}

#[test]
fn the_oldest_sa_makes_room_when_there_are_too_many() {
    let mut pair = Pair::new(config_i(), config_r());
    let limits = Limits { phase1_sas: 5, ..Limits::default() };
    pair.r = IkeEndpoint::new(config_r(), limits, Rng::from_u64(2), now_at(0)).unwrap();
    let mut first = None;
    for n in 0..8 {
        pair.i = endpoint(IkeConfig { initial_contact: false, ..config_i() }, 100 + n);
        pair.connect();
        pair.pump();
        first = first.or(Some(pair.r_sa()));
        assert!(pair.r.established() <= 5);
    }
    assert!(pair.r.sa(first.unwrap()).is_none());
}

#[test]
fn outputs_that_no_one_takes_are_bounded_and_counted() {
    let limits = Limits { output_queue: 10, ..Limits::default() };
    let mut responder = IkeEndpoint::new(config_r(), limits, Rng::from_u64(2), now_at(0)).unwrap();
    let first = first_message();
    for n in 0..100_u32 {
        responder.handle_datagram(now_at(1), &from(n, 848, u64::from(n) + 1, &first));
    }
    assert_eq!(outputs(&mut responder).len(), 10);
    assert!(responder.dropped_outputs() >= 90);
}

#[test]
fn message_ids_are_remembered_up_to_a_limit() {
    let (mut pair, id) = Pair::up(config_i(), config_r());
    for n in 1..=1_000 {
        assert!(pair.i.claim_message_id(id, n));
    }
    assert!(!pair.i.claim_message_id(id, 1_000));
    assert!(pair.i.claim_message_id(id, 1), "the oldest ids were forgotten");
    let drawn: std::collections::BTreeSet<_> = (0..100).filter_map(|_| pair.i.fresh_message_id(id)).collect();
    assert_eq!(drawn.len(), 100);
}

#[test]
fn cookies_depend_on_the_peer_and_never_repeat() {
    let mut responder = endpoint(config_r(), 2);
    let first = first_message();
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..1_000_u64 {
        responder.handle_datagram(now_at(1), &from(1, u16::try_from(n + 1).unwrap(), n + 1, &first));
        seen.insert(outputs(&mut responder)[0].payload[8..16].to_vec());
    }
    assert_eq!(seen.len(), 1_000);
    for at in 0..8 {
        let values: std::collections::BTreeSet<u8> = seen.iter().map(|cookie| cookie[at]).collect();
        assert!(values.len() > 200, "octet {at} of a cookie hardly changes");
    }
}

#[test]
fn nothing_answers_multicast_or_port_zero() {
    let first = first_message();
    let mut responder = endpoint(config_r(), 2);
    for (src, dst) in [("10.0.0.2:0", R), ("224.0.0.5:848", R), (I, "239.1.1.1:848"), (I, "255.255.255.255:848")] {
        responder.handle_datagram(now_at(0), &Datagram::new(addr(src), addr(dst), first.clone()));
        assert!(outputs(&mut responder).is_empty());
        assert_eq!(codes(&mut responder), ["ike.datagram.source"]);
    }
}

#[test]
fn the_same_seed_gives_the_same_octets() {
    let wire = |()| {
        let (pair, _) = Pair::up(config_i(), config_r());
        pair.wire.iter().map(|d| d.payload.clone()).collect::<Vec<_>>()
    };
    assert_eq!(wire(()), wire(()));
}
