//! Main and Aggressive Mode between two endpoints: negotiation, retransmission, duplicates, lifetimes.

use hallmark_core::switch::Switch;
use hallmark_crypto::{CipherAlg, Group, HashAlg};
use hallmark_wire::isakmp::{ExchangeType, Flags};

use super::*;
use crate::ike::{AuthMethod, IkeConfigError, Mode, Role};

fn with_suite(config: IkeConfig, suite: Suite) -> IkeConfig {
    let allow_weak = suite.weak().into_iter().map(str::to_owned).collect();
    IkeConfig { proposals: vec![suite], allow_weak, ..config }
}

#[test]
fn both_sides_agree_on_keys_identities_and_chains() {
    let (pair, id) = Pair::up(config_i(), config_r());
    let (i, r) = (pair.i.sa(id).unwrap(), pair.r.sa(pair.r_sa()).unwrap());
    assert_eq!(i.cookies(), r.cookies());
    assert_eq!(i.skeyid_a(), r.skeyid_a());
    assert_eq!(i.last_block(), r.last_block());
    assert_eq!((i.role(), r.role(), i.mode()), (Role::Initiator, Role::Responder, Mode::Main));
    assert_eq!(i.peer_identity().ip(), Some(addr(R).ip()));
    assert_eq!(r.peer_identity().ip(), Some(addr(I).ip()));
    let mut sending = i.exchange_cbc(7);
    let built = hallmark_wire::isakmp::build_chain(&[(PayloadType::NONCE, vec![9; 20])]);
    let message = i.seal(ExchangeType::PULL, 7, &mut sending, &built);
    assert_eq!((message.len() - 28) % 16, 0);
    let plain = r.exchange_cbc(7).decrypt(&message[28..]).unwrap();
    assert!(plain.starts_with(&built.octets));
    assert_ne!(r.exchange_cbc(8).decrypt(&message[28..]).unwrap()[..16], plain[..16]);
}

#[test]
fn six_messages_hold_what_the_sheet_says() {
    let (pair, _) = Pair::up(config_i(), config_r());
    assert_eq!(pair.wire.len(), 6);
    let types: Vec<Vec<u8>> = pair.wire[..4].iter().map(|d| kinds(&d.payload)).collect();
    assert_eq!(types, [vec![1, 13, 13, 13], vec![1, 13, 13], vec![4, 10], vec![4, 10]]);
    for (index, datagram) in pair.wire.iter().enumerate() {
        let header = Header::decode(&datagram.payload).unwrap();
        assert_eq!((header.version, header.exchange, header.message_id), (0x10, ExchangeType::MAIN, 0));
        assert_eq!(header.flags.contains(Flags::ENCRYPTION), index >= 4);
        assert_eq!(header.responder_cookie == [0; 8], index == 0);
        assert_eq!(usize::try_from(header.length).unwrap(), datagram.payload.len());
    }
}

#[test]
fn every_suite_comes_up_in_both_modes() {
    for cipher in CipherAlg::ALL {
        for hash in HashAlg::ALL {
            let suite = Suite { cipher, hash, group: Group::Ecp256, auth: AuthMethod::Psk };
            let (pair, id) = Pair::up(with_suite(config_i(), suite), with_suite(config_r(), suite));
            assert_eq!(pair.i.sa(id).unwrap().suite(), suite);
        }
    }
    for group in Group::ALL {
        let suite = Suite { cipher: CipherAlg::Aes256, hash: HashAlg::Sha1, group, auth: AuthMethod::Psk };
        for aggressive in [false, true] {
            let mut configs = [with_suite(config_i(), suite), with_suite(config_r(), suite)];
            configs.iter_mut().for_each(|c| c.aggressive = aggressive);
            let [i, r] = configs;
            let (pair, id) = Pair::up(i, r);
            assert_eq!(pair.i.sa(id).unwrap().last_block(), pair.r.sa(pair.r_sa()).unwrap().last_block());
            assert_eq!(pair.wire.len(), if aggressive { 3 } else { 6 });
        }
    }
}

#[test]
fn a_suite_has_a_text_form_and_weak_ones_need_permission() {
    for text in ["aes256-sha384-ecp384-psk", "3des-sha1-modp1024-rsa"] {
        assert_eq!(suite(text).to_string(), text);
    }
    assert!("aes128-sha256-modp2048".parse::<Suite>().is_err());
    let weak = IkeConfig { proposals: vec![suite("3des-sha1-modp1024-psk")], ..config_i() };
    assert_eq!(
        weak.validate().unwrap_err(),
        IkeConfigError::Weak { suite: "3des-sha1-modp1024-psk".into(), weak: "3des" }
    );
    let signed = IkeConfig { proposals: vec![suite("aes128-sha256-modp2048-rsa")], ..config_i() };
    assert!(matches!(signed.validate(), Err(IkeConfigError::NoCredentials { .. })));
}

#[test]
fn the_responder_takes_the_first_offer_it_accepts_or_its_own_favourite() {
    let offer = ["aes256-sha512-ecp384-psk", "aes128-sha256-ecp256-psk", "aes192-sha1-ecp256-psk"];
    let own = ["aes192-sha1-ecp256-psk", "aes128-sha256-ecp256-psk"];
    let i = IkeConfig { proposals: offer.map(suite).to_vec(), ..config_i() };
    let r = IkeConfig { proposals: own.map(suite).to_vec(), ..config_r() };
    let (pair, id) = Pair::up(i.clone(), r.clone());
    assert_eq!(pair.i.sa(id).unwrap().suite(), suite(offer[1]));
    let (pair, id) = Pair::up(i, with_variant(r, Variant::IkeOwnPreference));
    assert_eq!(pair.i.sa(id).unwrap().suite(), suite(own[0]));
}

#[test]
fn an_unacceptable_offer_gets_one_clear_notify_and_no_state() {
    let i = IkeConfig { proposals: vec![suite("aes256-sha512-ecp384-psk")], ..config_i() };
    let mut pair = Pair::new(i, config_r());
    let id = pair.connect();
    pair.pump();
    assert_eq!((pair.r.half_open(), pair.wire.len()), (0, 2));
    assert_eq!(pair.codes_r(), ["ike.sa.no-proposal-chosen"]);
    // The notify is only a hint: the initiator goes on until its own timers end it.
    assert!(pair.events_i.iter().any(|e| matches!(e, IkeEvent::Hint { kind: 14, .. })));
    pair.run(60, |_, _| true);
    assert!(pair.events_i.contains(&IkeEvent::Failed { sa: id, peer: addr(R), code: Code("ike.timeout") }));
}

#[test]
fn an_unanswered_message_is_repeated_with_growing_waits_and_then_given_up() {
    let mut pair = Pair::new(config_i(), config_r());
    let id = pair.connect();
    let mut times = Vec::new();
    for _ in 0..10 {
        pair.pump_with(|_, _| false);
        times.push(pair.wire.len());
        let Some(next) = pair.i.poll_timeout() else { break };
        pair.now = Now::new(next, pair.now.wall);
        pair.i.handle_timeout(pair.now);
        pair.drain();
    }
    assert_eq!(pair.wire.len(), 5);
    assert!(pair.wire.iter().all(|d| d == &pair.wire[0]));
    assert_eq!(pair.now.mono, Instant::from_secs(1 + 2 + 4 + 8 + 16));
    assert!(pair.events_i.contains(&IkeEvent::Failed { sa: id, peer: addr(R), code: Code("ike.timeout") }));
    assert_eq!(pair.i.poll_timeout(), None);
    assert!(pair.i.by_initiator.is_empty() && pair.i.exchanges.is_empty());
}

#[test]
fn the_exchange_survives_the_loss_of_any_one_message() {
    for lost in 0..6 {
        let mut pair = Pair::new(config_i(), config_r());
        let id = pair.connect();
        pair.run(10, |index, _| index != lost);
        assert!(pair.i.sa(id).is_some() && pair.r.established() == 1, "message {}", lost + 1);
        let distinct: std::collections::BTreeSet<_> = pair.wire.iter().map(|d| d.payload.clone()).collect();
        assert_eq!(distinct.len(), 6, "every repetition is octet for octet the first transmission");
    }
}

#[test]
fn heavy_loss_ends_in_an_sa_or_in_clean_failure() {
    let mut rng = Rng::from_u64(4);
    let mut up = 0;
    for _ in 0..40 {
        let mut pair = Pair::new(config_i(), config_r());
        let id = pair.connect();
        pair.run(150, |_, _| rng.chance(0.75));
        if pair.i.sa(id).is_some() {
            up += 1;
            assert_eq!(pair.r.established(), 1);
        }
        assert_eq!((pair.i.exchanges.len(), pair.r.half_open()), (0, 0));
    }
    assert!(up >= 34, "{up}");
}

#[test]
fn duplicates_get_the_same_answer_and_superseded_ones_get_none() {
    let (mut pair, _) = Pair::up(config_i(), config_r());
    let sent: Vec<Datagram> = pair.wire.clone();
    let mut responder = endpoint(config_r(), 2);
    for (index, message) in [0, 2, 4].into_iter().enumerate() {
        responder.handle_datagram(pair.now, &sent[message]);
        let answer = outputs(&mut responder);
        assert_eq!(answer, [sent[message + 1].clone()]);
        for _ in 0..3 {
            responder.handle_datagram(pair.now, &sent[message]);
            assert_eq!(outputs(&mut responder), answer, "duplicate of message {}", message + 1);
        }
        for earlier in (0..index).map(|n| n * 2).filter(|&n| n > 0 || index < 2) {
            responder.handle_datagram(pair.now, &sent[earlier]);
            assert!(outputs(&mut responder).is_empty(), "superseded message {}", earlier + 1);
        }
    }
    // The duplicate of message 5 moved no chain.
    let id = pair.i.sas().next().unwrap().id();
    pair.r = responder;
    pair.drain();
    pair.i.delete(pair.now, id);
    pair.pump();
    assert_eq!(pair.r.established(), 0);
}

#[test]
fn message_6_is_kept_until_the_first_later_message_and_answers_are_limited() {
    let (mut pair, _) = Pair::up(config_i(), config_r());
    let fifth = pair.wire[4].clone();
    let mut answered = 0;
    for _ in 0..100 {
        pair.give_r(&fifth);
        answered += outputs(&mut pair.r).len();
    }
    assert_eq!(answered, 32);
    let (id, path) = (pair.r_sa(), pair.r.sas().next().unwrap().path());
    pair.r.authenticated(pair.now, id, path);
    pair.give_r(&fifth);
    assert!(outputs(&mut pair.r).is_empty());
    assert_eq!(pair.codes_r().last(), Some(&"ike.duplicate.superseded"));
}

#[test]
fn a_second_message_3_with_other_contents_is_dropped() {
    let mut pair = Pair::new(config_i(), config_r());
    pair.connect();
    pair.pump_with(|index, _| index < 4);
    let mut third = pair.wire[2].payload.clone();
    let last = third.len() - 1;
    third[last] ^= 1;
    pair.give_r(&to_r(&third));
    assert!(outputs(&mut pair.r).is_empty());
    assert_eq!(pair.codes_r(), ["ike.duplicate.modified"]);
}

#[test]
fn garbage_under_the_right_cookies_moves_nothing() {
    let mut pair = Pair::new(config_i(), config_r());
    pair.connect();
    let mut held = None;
    pair.pump_with(|index, d| {
        if index == 4 {
            held = Some(d.clone());
        }
        index != 4
    });
    let fifth = held.unwrap();
    for cut in [28, 29, fifth.payload.len() - 1] {
        pair.give_r(&to_r(&resized(fifth.payload[..cut].to_vec())));
    }
    let mut garbage = fifth.payload.clone();
    garbage[28..].reverse();
    pair.give_r(&to_r(&garbage));
    pair.give_r(&fifth);
    assert_eq!(pair.r.established(), 1);
    assert_eq!(pair.codes_r()[..3], ["ike.cipher.block"; 3]);
}

#[test]
fn an_sa_expires_after_the_shorter_of_both_lifetimes_and_says_so() {
    let i = IkeConfig { lifetime: Duration::from_secs(3600), ..config_i() };
    let r = IkeConfig { lifetime: Duration::from_secs(600), ..config_r() };
    let (mut pair, id) = Pair::up(i, r);
    pair.run(599, |_, _| true);
    assert_eq!((pair.i.established(), pair.r.established()), (1, 1));
    pair.run(2, |_, _| true);
    assert_eq!((pair.i.established(), pair.r.established()), (0, 0));
    assert!(pair.events_r.iter().any(|e| matches!(e, IkeEvent::Expired { .. })));
    assert!(pair.events_i.contains(&IkeEvent::Deleted { sa: id, peer: addr(R), by_peer: true }));
    assert!(pair.i.by_cookies.is_empty() && pair.r.by_cookies.is_empty() && pair.r.by_identity.is_empty());
}

#[test]
fn a_new_exchange_uses_new_cookies_nonces_and_keys() {
    let (mut pair, first) = Pair::up(config_i(), config_r());
    let second = pair.connect();
    pair.pump();
    let (a, b) = (pair.i.sa(first).unwrap(), pair.i.sa(second).unwrap());
    assert_ne!(a.initiator_cookie(), b.initiator_cookie());
    assert_ne!(a.responder_cookie(), b.responder_cookie());
    assert_ne!(a.skeyid_a(), b.skeyid_a());
    for kind in [PayloadType::KE, PayloadType::NONCE] {
        assert_ne!(payload(&pair.wire[2].payload, kind), payload(&pair.wire[8].payload, kind));
    }
}

#[test]
fn aggressive_mode_is_refused_unless_it_is_switched_on() {
    let i = IkeConfig { aggressive: true, ..config_i() };
    let mut pair = Pair::new(i, config_r());
    pair.connect();
    pair.pump();
    assert_eq!(pair.codes_r(), ["ike.aggressive.off"]);
    assert_eq!(pair.wire.len(), 1);
}

#[test]
fn a_lost_message_3_of_aggressive_mode_is_sent_again_for_a_duplicate_of_message_2() {
    let configs = [config_i(), config_r()].map(|c| IkeConfig { aggressive: true, ..c });
    let [i, r] = configs;
    let mut pair = Pair::new(i, r);
    pair.connect();
    pair.pump_with(|index, _| index != 2);
    assert_eq!((pair.i.established(), pair.r.established()), (1, 0));
    let second = pair.wire[1].clone();
    pair.give_i(&second);
    pair.pump();
    assert_eq!(pair.r.established(), 1);
    assert_eq!(pair.wire[3], pair.wire[2]);
}

#[test]
fn a_group_member_answers_no_first_message() {
    let mut pair = Pair::new(config_i(), IkeConfig { accept: false, ..config_r() });
    pair.connect();
    pair.pump();
    assert_eq!(pair.codes_r(), ["ike.state.not-served"]);
    assert_eq!(pair.wire.len(), 1);
}

#[test]
fn the_ipsec_doi_is_used_only_for_peers_that_need_it() {
    let mut i = config_i();
    i.peers[0].doi1 = true;
    let mut pair = Pair::new(i.clone(), config_r());
    pair.connect();
    pair.pump();
    assert_eq!(pair.codes_r(), ["ike.sa.doi"]);
    let mut r = config_r();
    r.peers[0].doi1 = true;
    let (pair, id) = Pair::up(i, r);
    assert_eq!(pair.i.sa(id).unwrap().doi(), 1);
    assert_eq!(payload(&pair.wire[0].payload, PayloadType::SA)[..8], [0, 0, 0, 1, 0, 0, 0, 1]);
}

#[test]
fn legal_variants_on_either_side_change_nothing_for_the_other() {
    for &variant in Variant::ALL.iter().filter(|v| v.name().starts_with("ike_")) {
        Pair::up(with_variant(config_i(), variant), config_r());
        Pair::up(config_i(), with_variant(config_r(), variant));
        let short = IkeConfig { lifetime: Duration::from_secs(3000), ..config_i() };
        Pair::up(with_variant(short, variant), with_variant(config_r(), Variant::IkeLifetimeCompact));
        let aggressive = |c: IkeConfig| IkeConfig { aggressive: true, ..c };
        Pair::up(aggressive(with_variant(config_i(), variant)), aggressive(with_variant(config_r(), variant)));
    }
}
