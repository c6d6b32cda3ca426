//! Paths: NAT traversal and fragmentation.

use hallmark_wire::isakmp::{Flags, Fragment};

use super::*;

fn nat_i() -> IkeConfig {
    IkeConfig { nat_t_port: Some(4500), ..config_i() }
}

fn nat_r() -> IkeConfig {
    IkeConfig { nat_t_port: Some(4500), ..config_r() }
}

/// Rewrites what the initiator sends as a NAT with this outer address does.
fn nat(datagram: &mut Datagram, outer: &str, ports: u16) {
    if datagram.src.ip() == addr(I).ip() {
        datagram.src = SocketAddr::new(addr(outer).ip(), datagram.src.port() + ports);
    } else {
        datagram.dst = SocketAddr::new(addr(I).ip(), datagram.dst.port() - ports);
    }
}

fn behind_nat() -> Pair {
    let mut pair = Pair::new(nat_i(), nat_r());
    let id = pair.connect();
    pair.run(20, |_, d| {
        nat(d, "10.9.9.9:1", 30_000);
        true
    });
    assert!(pair.i.sa(id).is_some(), "{:?} {:?}", pair.events_i, pair.events_r);
    pair
}

#[test]
fn both_ends_detect_a_nat_and_move_to_4500_with_the_marker() {
    let pair = behind_nat();
    let (i, r) = (pair.i.sas().next().unwrap(), pair.r.sas().next().unwrap());
    assert_eq!((i.behind_nat(), i.peer_behind_nat()), (true, false));
    assert_eq!((r.behind_nat(), r.peer_behind_nat()), (false, true));
    assert_eq!((i.path().local.port(), i.path().peer.port(), i.path().marker), (4500, 4500, true));
    assert_eq!((r.path().peer, r.path().marker), (addr("10.9.9.9:34500"), true));
    for (index, datagram) in pair.wire[..6].iter().enumerate() {
        assert_eq!(datagram.payload.starts_with(&[0; 4]), index >= 4, "message {}", index + 1);
    }
    // REQ IKE-NAT-007: a late copy of message 3 on the old port is stale.
    let mut pair = pair;
    let third = pair.wire[2].clone();
    pair.give_r(&third);
    assert!(outputs(&mut pair.r).is_empty());
    assert_eq!(pair.codes_r(), ["ike.natt.stale-port"]);
}

#[test]
fn without_a_nat_or_without_the_vendor_id_nothing_moves() {
    let (pair, id) = Pair::up(nat_i(), nat_r());
    assert!(!pair.i.sa(id).unwrap().path().marker);
    assert_eq!(kinds(&pair.wire[2].payload), [4, 10, 20, 20]);
    let quiet = IkeConfig { nat_t: false, ..nat_r() };
    let (pair, _) = Pair::up(nat_i(), quiet);
    assert_eq!(kinds(&pair.wire[2].payload), [4, 10]);
}

#[test]
fn nat_d_covers_the_ports_in_use_with_the_remote_end_first() {
    let (pair, id) = Pair::up(nat_i(), nat_r());
    let sa = pair.i.sa(id).unwrap();
    let (i, r) = (sa.initiator_cookie(), sa.responder_cookie());
    let hash = |at| hallmark_crypto::ike::nat_d(sa.hash(), &i, &r, addr(at));
    for (message, remote, local) in [(2, R, I), (3, I, R)] {
        let octets = &pair.wire[message].payload;
        let next = Header::decode(octets).unwrap().next;
        let chain = hallmark_wire::isakmp::Chain::decode(next, &octets[28..], &Limits::default()).unwrap();
        let found: Vec<_> = chain.iter().filter(|p| p.kind == PayloadType::NAT_D).map(|p| p.body.to_vec()).collect();
        assert_eq!(found, [hash(remote), hash(local)]);
    }
}

#[test]
fn a_nat_without_port_4500_stays_on_848() {
    let mut pair = Pair::new(config_i(), nat_r());
    let id = pair.connect();
    pair.run(20, |_, d| {
        nat(d, "10.9.9.9:1", 30_000);
        true
    });
    let sa = pair.i.sa(id).unwrap();
    assert_eq!((sa.behind_nat(), sa.path().marker, sa.path().peer.port()), (true, false, 848));
}

#[test]
fn an_exchange_may_begin_on_4500() {
    let mut pair = Pair::new(nat_i(), nat_r());
    let id = pair.i.connect(pair.now, addr("10.0.0.2:4500"), addr("10.0.0.1:4500"), 0);
    pair.pump();
    assert!(pair.i.sa(id).unwrap().path().marker);
    assert!(pair.wire.iter().all(|d| d.payload.starts_with(&[0; 4])));
}

#[test]
fn a_message_without_marker_on_4500_is_no_ike_and_a_keepalive_is_nothing() {
    let (pair, _) = Pair::up(config_i(), config_r());
    let first = pair.wire[0].payload.clone();
    let mut responder = endpoint(nat_r(), 3);
    responder.handle_datagram(pair.now, &Datagram::new(addr(I), addr("10.0.0.1:4500"), first));
    assert!(outputs(&mut responder).is_empty());
    assert_eq!(codes(&mut responder), ["ike.natt.no-marker"]);
    for port in ["10.0.0.1:4500", R] {
        responder.handle_datagram(pair.now, &Datagram::new(addr(I), addr(port), vec![0xff]));
    }
    assert!(outputs(&mut responder).is_empty() && codes(&mut responder).is_empty());
}

#[test]
fn only_an_authenticated_message_moves_the_peer() {
    let mut pair = behind_nat();
    let (id, before) = (pair.r_sa(), pair.r.sas().next().unwrap().path());
    let spoofed = addr("10.66.66.66:4500");
    let mut garbage = pair.wire[4].clone();
    garbage.src = spoofed;
    garbage.payload[40] ^= 1;
    pair.give_r(&garbage);
    outputs(&mut pair.r);
    assert_eq!(pair.r.sa(id).unwrap().path(), before);
    // After a NAT rebinding the next protected message comes from elsewhere.
    let i_sa = pair.i.sas().next().unwrap().id();
    pair.i.informational(pair.now, i_sa, &[(PayloadType::VENDOR_ID, vec![1])]);
    let mut moved = pair.i.poll_transmit().unwrap();
    moved.src = addr("10.9.9.9:50000");
    pair.give_r(&moved);
    assert_eq!(pair.r.sa(id).unwrap().path().peer, moved.src);
    assert!(pair.events_r.contains(&IkeEvent::Moved { sa: id, from: before.peer, to: moved.src }));
}

#[test]
fn the_side_behind_the_nat_keeps_the_mapping_open() {
    let mut pair = behind_nat();
    let sent = pair.wire.len();
    pair.run(100, |_, d| {
        nat(d, "10.9.9.9:1", 30_000);
        true
    });
    let new = &pair.wire[sent..];
    assert_eq!(new.len(), 5);
    assert!(new.iter().all(|d| d.payload == [0xff]));
}

#[test]
fn answers_from_another_address_are_not_taken() {
    let mut pair = Pair::new(config_i(), config_r());
    pair.connect();
    pair.pump_with(|_, d| {
        if d.src.ip() == addr(R).ip() {
            d.src = addr("10.0.0.77:848");
        }
        true
    });
    assert!(pair.codes_i().iter().all(|code| *code == "ike.peer.address"));
    assert_eq!((pair.codes_i().len(), pair.wire.len()), (1, 2));
}

#[test]
fn answers_go_where_the_question_came_from() {
    let mut responder = endpoint(config_r(), 3);
    let (pair, _) = Pair::up(config_i(), config_r());
    let first = Datagram::new(addr("10.0.0.2:40000"), addr("10.0.0.1:500"), pair.wire[0].payload.clone());
    responder.handle_datagram(pair.now, &first);
    let sent = outputs(&mut responder);
    assert_eq!((sent[0].src, sent[0].dst), (first.dst, first.src));
}

// ---- fragmentation

/// A pair in which messages 5 and 6 are larger than a fragment.
fn large() -> (IkeConfig, IkeConfig) {
    let id = |text: &str| hallmark_wire::isakmp::Identification {
        id_type: hallmark_wire::isakmp::IdType::KEY_ID,
        protocol: 0,
        port: 0,
        data: text.repeat(300).into_bytes(),
    };
    let (mut i, mut r) = (config_i(), config_r());
    (i.identity, r.identity) = (Some(id("gm1.")), Some(id("ks1.")));
    i.peers[0].identities = vec![id("ks1.")];
    r.peers[0].identities = vec![id("gm1.")];
    (i, r)
}

fn is_fragment(datagram: &Datagram) -> bool {
    Header::decode(&datagram.payload).unwrap().next == PayloadType::FRAGMENT
}

#[test]
fn a_large_message_goes_whole_first_and_in_fragments_when_it_is_repeated() {
    let (i, r) = large();
    let mut pair = Pair::new(i, r);
    let id = pair.connect();
    // A path that loses large packets.
    pair.run(20, |_, d| d.payload.len() + 28 <= 576);
    assert!(pair.i.sa(id).is_some() && pair.r.established() == 1, "{:?}", pair.events_r);
    assert!(!is_fragment(&pair.wire[4]));
    let fragments: Vec<&Datagram> = pair.wire.iter().filter(|d| is_fragment(d)).collect();
    assert!(fragments.len() >= 6 && fragments.iter().all(|d| d.payload.len() + 28 <= 576));
    for fragment in fragments {
        let header = Header::decode(&fragment.payload).unwrap();
        assert!(!header.flags.contains(Flags::ENCRYPTION));
        assert_eq!(kinds(&fragment.payload), [132]);
    }
}

#[test]
fn a_peer_without_the_vendor_id_gets_no_fragment() {
    let (i, mut r) = large();
    r.fragmentation = false;
    let mut pair = Pair::new(i, r);
    pair.connect();
    pair.run(60, |_, d| d.payload.len() + 28 <= 576);
    assert!(pair.wire.iter().all(|d| !is_fragment(d)));
    assert_eq!(pair.i.established(), 0);
}

/// Drives a pair up to message 5 and gives it back with message 5 cut into fragments.
fn cut(parts: usize) -> (Pair, Vec<u8>, Vec<Fragment>) {
    let mut pair = Pair::new(config_i(), config_r());
    pair.connect();
    pair.pump_with(|index, _| index != 4);
    let message = pair.wire[4].payload.clone();
    let size = message.len().div_ceil(parts);
    let count = message.chunks(size).count();
    let fragments = message
        .chunks(size)
        .enumerate()
        .map(|(n, data)| Fragment {
            id: 1,
            number: u8::try_from(n + 1).unwrap(),
            flags: u8::from(n + 1 == count),
            data: data.to_vec(),
        })
        .collect();
    (pair, message, fragments)
}

fn wrap(message: &[u8], fragment: &Fragment) -> Datagram {
    let mut header = Header::decode(message).unwrap();
    header.next = PayloadType::FRAGMENT;
    header.flags = Flags::NONE;
    let payload = hallmark_wire::isakmp::payload_octets(PayloadType::NONE, &fragment.encode_body());
    to_r(&resized([header.encode().as_slice(), &payload].concat()))
}

#[test]
fn duplicates_of_a_number_count_once_and_contradictions_discard_the_set() {
    let (mut pair, message, parts) = cut(3);
    let send = |pair: &mut Pair, fragment: &Fragment| {
        let datagram = wrap(&message, fragment);
        pair.give_r(&datagram);
    };
    send(&mut pair, &parts[0]);
    send(&mut pair, &Fragment { data: vec![1; 9], ..parts[0].clone() });
    send(&mut pair, &parts[2]);
    assert_eq!(pair.r.in_reassembly(), 1);
    // A second end, and a number beyond the end.
    send(&mut pair, &Fragment { number: 2, flags: 1, ..parts[1].clone() });
    assert_eq!((pair.r.in_reassembly(), pair.r.reassembly_octets()), (0, 0));
    send(&mut pair, &parts[2]);
    send(&mut pair, &Fragment { number: 4, ..parts[1].clone() });
    assert_eq!(pair.r.in_reassembly(), 0);
    assert_eq!(pair.codes_r(), ["ike.fragment.set"; 2]);
    // A clean set works after that.
    for part in &parts {
        send(&mut pair, part);
    }
    assert_eq!(pair.r.established(), 1);
}

#[test]
fn an_incomplete_set_is_discarded_in_time_and_a_whole_message_needs_none() {
    let (mut pair, message, parts) = cut(3);
    pair.give_r(&wrap(&message, &parts[0]));
    pair.give_r(&to_r(&message));
    assert_eq!((pair.r.established(), pair.r.in_reassembly()), (1, 0));

    let (mut pair, message, parts) = cut(3);
    pair.give_r(&wrap(&message, &parts[0]));
    assert!(pair.r.reassembly_octets() > 0);
    pair.now = now_at(31);
    pair.r.handle_timeout(pair.now);
    assert_eq!(pair.r.reassembly_octets(), 0);
}

#[test]
fn a_reassembled_message_is_checked_like_any_other() {
    // Cookies of another SA inside.
    let (mut pair, message, mut parts) = cut(2);
    parts[0].data[3] ^= 1;
    for part in &parts {
        pair.give_r(&wrap(&message, part));
    }
    assert_eq!(pair.codes_r(), ["ike.fragment.inner"]);
    // A length that is not the size.
    let (mut pair, message, mut parts) = cut(2);
    parts[1].data.push(0);
    for part in &parts {
        pair.give_r(&wrap(&message, part));
    }
    assert_eq!(pair.codes_r(), ["isakmp.length-mismatch"]);
    // A fragment inside a fragment.
    let (mut pair, message, parts) = cut(2);
    let inner = wrap(&message, &parts[0]).payload;
    let nested = Fragment { id: 1, number: 1, flags: 1, data: inner };
    pair.give_r(&wrap(&message, &nested));
    assert_eq!(pair.codes_r(), ["ike.fragment.inner"]);
    // Two payloads in one message.
    let (mut pair, message, parts) = cut(2);
    let mut two = wrap(&message, &parts[0]);
    two.payload[28] = 13;
    two.payload.extend_from_slice(&[0, 0, 0, 4]);
    two.payload = resized(two.payload);
    pair.give_r(&two);
    assert_eq!(pair.codes_r(), ["ike.fragment.form"]);
}

#[test]
fn fragments_without_an_sa_leave_nothing_and_the_budget_holds() {
    let (pair, message, parts) = cut(2);
    let mut idle = endpoint(config_r(), 4);
    for part in &parts {
        idle.handle_datagram(pair.now, &wrap(&message, part));
    }
    assert_eq!((idle.in_reassembly(), idle.reassembly_octets()), (0, 0));
    assert_eq!(codes(&mut idle), ["ike.fragment.not-negotiated"; 2]);

    let (mut pair, message, _) = cut(2);
    for number in 1..=255 {
        for flags in [0, 1] {
            let bomb = Fragment { id: u16::from(flags), number, flags, data: vec![0; 1400] };
            pair.give_r(&wrap(&message, &bomb));
            assert!(pair.r.reassembly_octets() <= 64 << 10);
            assert!(pair.r.in_reassembly() <= 1);
        }
    }
    pair.give_r(&to_r(&message));
    assert_eq!(pair.r.established(), 1);
}
