//! Rekeys over hours: times, sequence numbers, copies, policy changes, deletes, multicast.

use std::collections::BTreeMap;

use hallmark_control::config::{AckPolicy, Transport};
use hallmark_control::{EventKind, KsCommand};
use hallmark_core::Instant;
use hallmark_wire::isakmp::{ExchangeType, Header};

use crate::world::*;

/// Gives time, KEK SPI, sequence and content of each PUSH.
fn pushes(world: &World) -> Vec<(u64, String, u32, &'static str)> {
    world
        .events
        .iter()
        .filter_map(|(_, event)| match &event.kind {
            EventKind::PushSent { kek_spi, sequence, content, copy: 0, .. } => {
                Some((event.at.as_secs(), kek_spi.clone(), *sequence, *content))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn rekeys_come_at_the_right_times_with_the_right_numbers_for_hours() {
    let mut config = group();
    if let Some(kek) = &mut config.kek {
        kek.lifetime = secs(3_600);
    }
    let mut world = World::registered(config, 3);
    let start = world.now.as_secs() - 5;
    world.run(secs(6 * 3_600));
    let pushes = pushes(&world);
    // lead_TEK = max(90, 90) + 10 s x 2 + 5 s = 115 s of 900 s; lead_KEK = max(200, 360) + 25 s = 385 s of 3600 s.
    let teks: Vec<u64> = pushes.iter().filter(|push| push.3 == "tek").map(|push| push.0 - start).collect();
    assert_eq!(teks[..4], [785, 1_570, 2_355, 3_140]);
    let keks: Vec<u64> = pushes.iter().filter(|push| push.3 == "kek").map(|push| push.0 - start).collect();
    assert_eq!(keks[..2], [3_215, 6_430]);
    // One counter per KEK, from 1, without gaps; the PUSH that delivers a KEK still counts under the old one.
    let mut counters: BTreeMap<String, u32> = BTreeMap::new();
    for (_, spi, sequence, _) in &pushes {
        let last = counters.entry(spi.clone()).or_insert(0);
        assert_eq!(*sequence, *last + 1);
        *last = *sequence;
    }
    assert!(counters.len() >= 6);
    let delivery = pushes.iter().position(|push| push.3 == "kek").unwrap();
    assert_eq!(pushes[delivery].2, 5);
    assert_ne!(pushes[delivery].1, pushes[delivery + 1].1);
    for gm in 1..=3 {
        let status = world.gm(gm);
        assert_eq!((status.registrations, status.rekeys_received), (1, pushes.len() as u64));
        assert_eq!(status.acks_sent, pushes.len() as u64);
        assert_eq!(status.send_spis.len(), 1);
        assert!(world.codes(gm).is_empty(), "{:?}", world.codes(gm));
    }
    assert_eq!(world.ks(0).groups[0].acks_missed, 0);
    // Nobody had to ask twice.
    assert_eq!(world.pushes(Instant::ZERO).len(), pushes.len() * 3);
}

#[test]
fn the_sender_changes_shortly_before_the_old_sa_expires_and_receives_both() {
    let mut world = World::registered(group(), 1);
    let old = world.gm(1).send_spis[0];
    world.run(secs(785));
    let status = world.gm(1);
    assert_eq!(status.accepted_spis.len(), 2);
    assert_eq!(status.send_spis, [old]);
    world.run(secs(75));
    assert_eq!(world.gm(1).send_spis, [old], "865 s after birth");
    world.run(secs(10));
    let status = world.gm(1);
    assert_ne!(status.send_spis, [old], "875 s after birth");
    assert!(status.accepted_spis.contains(&old));
    world.run(secs(30));
    assert_eq!(world.gm(1).accepted_spis, world.gm(1).send_spis);
}

#[test]
fn three_teks_can_be_alive_at_once() {
    let mut world = World::registered(group(), 1);
    for _ in 0..2 {
        world.run(secs(20));
        let mut config = group();
        config.teks[0].lifetime = secs(900);
        world.command(0, KsCommand::ReplacePolicy { group: GROUP, config: Box::new(config) });
        world.command(0, KsCommand::Rekey { group: GROUP });
    }
    world.run(secs(1));
    let status = world.gm(1);
    assert_eq!(status.accepted_spis.len(), 3);
    assert_eq!(status.send_spis.len(), 1);
}

#[test]
fn a_lost_push_is_repeated_byte_by_byte_until_it_is_acknowledged() {
    let mut world = World::registered(group(), 2);
    let start = world.now;
    world.fate = Box::new(|datagram| {
        Header::decode(&datagram.payload).unwrap().exchange != ExchangeType::PUSH || datagram.dst.ip() != gm_ip(0)
    });
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(15));
    world.fate = Box::new(|_| true);
    world.run(secs(60));
    let to = |index: usize| -> Vec<_> {
        world.pushes(start).into_iter().filter(|seen| seen.datagram.dst.ip() == gm_ip(index)).collect()
    };
    let copies = to(0);
    assert_eq!(copies.len(), 3);
    assert_eq!(copies.iter().map(|seen| (seen.at - start).as_secs()).collect::<Vec<_>>(), [0, 10, 20]);
    assert!(copies.windows(2).all(|pair| pair[0].datagram == pair[1].datagram));
    assert_eq!(to(1).len(), 1, "whoever acknowledged gets no copy");
    assert_eq!(copies[0].datagram.payload, to(1)[0].datagram.payload, "every member gets the same octets");
    assert_eq!(world.gm(1).rekeys_received, 1);
}

#[test]
fn a_copy_of_the_latest_push_changes_nothing_and_an_older_one_is_refused() {
    let mut world = World::registered(group(), 1);
    let start = world.now;
    for _ in 0..2 {
        world.command(0, KsCommand::Rekey { group: GROUP });
        world.run(secs(5));
    }
    let seen: Vec<_> = world.pushes(start).into_iter().map(|seen| seen.datagram.clone()).collect();
    let before = world.gm(1);
    world.inject(seen[1].clone());
    world.run(secs(5));
    let after = world.gm(1);
    assert_eq!((after.rekeys_received, after.repeats_received, after.acks_sent), (2, 1, before.acks_sent));
    assert!(world.codes(1).is_empty());
    world.inject(seen[0].clone());
    world.run(secs(5));
    assert!(world.codes(1).contains("gdoi.push.duplicate"));
    assert_eq!(world.gm(1).rekeys_received, 2);
}

#[test]
fn a_push_from_before_the_registration_is_refused_by_its_sequence() {
    let mut world = World::registered(group(), 1);
    let start = world.now;
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(5));
    let old = world.pushes(start)[0].datagram.clone();
    // The member restarts, remembers nothing, and gets the counter with its registration.
    world.add_gm(gm_config(0));
    world.run(secs(5));
    assert_eq!(world.gm(1).kek.map(|kek| kek.sequence), Some(1));
    world.inject(old);
    world.run(secs(5));
    assert!(world.codes(1).contains("gdoi.push.seq-not-newer"));
    assert_eq!(world.gm(1).rekeys_received, 0);
}

#[test]
fn an_operators_rekey_shortens_the_old_sas_on_both_sides() {
    let mut config = group();
    config.teks[0].lifetime = secs(3_600);
    let mut world = World::registered(config, 1);
    let old = world.gm(1).send_spis[0];
    world.run(secs(595));
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(1));
    // TEK_SLT = min(3000, max(90, min(180, 3600))).
    let teks = &world.ks(0).groups[0].teks;
    assert_eq!(teks.iter().map(|tek| tek.remaining_secs).collect::<Vec<_>>(), [3_599, 179]);
    world.run(secs(178));
    assert!(world.gm(1).accepted_spis.contains(&old));
    world.run(secs(3));
    let status = world.gm(1);
    assert!(!status.accepted_spis.contains(&old) && status.send_spis.len() == 1 && status.send_spis[0] != old);
    assert_eq!(status.registrations, 1);
}

#[test]
fn replace_now_takes_the_old_sas_away_at_once() {
    let mut world = World::registered(group(), 1);
    let old = world.gm(1).send_spis[0];
    world.command(0, KsCommand::RekeyReplaceNow { group: GROUP });
    world.run(secs(1));
    let status = world.gm(1);
    assert!(!status.accepted_spis.contains(&old));
    assert_eq!(status.send_spis, [world.ks(0).groups[0].teks[0].spi]);
    assert_eq!(world.ks(0).groups[0].teks.len(), 1);
}

#[test]
fn a_changed_policy_waits_for_the_next_rekey() {
    let mut world = World::registered(group(), 1);
    let mut config = group();
    config.teks[0].lifetime = secs(600);
    config.teks[0].acl.push("permit tcp 10.3.0.0/16 any eq 443".parse().unwrap());
    config.signing_key = Some(key("rsa2048-b"));
    world.command(0, KsCommand::ReplacePolicy { group: GROUP, config: Box::new(config) });
    world.run(secs(300));
    assert!(world.ks(0).groups[0].policy_pending);
    assert_eq!(world.gm(1).rekeys_received, 0);
    world.run(secs(485));
    let (status, group) = (world.gm(1), &world.ks(0).groups[0]);
    assert!(!group.policy_pending);
    // A new signing key means a new KEK; its PUSH is still signed with the old key.
    assert_eq!(status.rekeys_received, 2);
    let newest = status.sas.iter().find(|sa| sa.spi == group.teks[0].spi).unwrap();
    assert_eq!(newest.selectors, ["ip 10.1.0.0/16 10.2.0.0/16", "tcp 10.3.0.0/16 0.0.0.0/0 eq 443"]);
    assert!((590..=600).contains(&newest.remaining_secs.unwrap()));
    // The new access list classifies at once: it has no predecessor.
    assert!(newest.sends);
    world.run(secs(3_000));
    assert_eq!(world.gm(1).registrations, 1);
    assert!(world.codes(1).is_empty());
}

#[test]
fn delays_of_the_group_policy_reach_the_member() {
    let mut config = group();
    (config.atd_secs, config.dtd_secs) = (10, 20);
    let mut world = World::registered(config, 1);
    let old = world.gm(1).send_spis[0];
    world.run(secs(783));
    let due = |world: &World| world.gm(1).rekeys_received;
    assert_eq!(due(&world), 1);
    let at = |world: &World| (world.gm(1).send_spis == [old], world.gm(1).accepted_spis.contains(&old));
    world.run(secs(4));
    assert_eq!(at(&world), (true, true));
    world.run(secs(8));
    assert_eq!(at(&world), (false, true));
    world.run(secs(12));
    assert_eq!(at(&world), (false, false));
}

#[test]
fn clearing_the_members_now_makes_them_drop_everything_and_come_back() {
    let mut world = World::registered(group(), 3);
    let old = world.gm(1).kek.unwrap().spi;
    let start = world.now;
    world.command(0, KsCommand::ClearMembers { group: GROUP, now: true });
    world.run(secs(1));
    assert_eq!(world.acks(start).len(), 3, "the delete is acknowledged under the KEK that it deletes");
    assert_eq!(world.ks(0).groups[0].acks, 3);
    world.run(secs(60));
    for gm in 1..=3 {
        let status = world.gm(gm);
        assert_eq!((status.registered, status.registrations), (true, 2));
        assert_ne!(status.kek.unwrap().spi, old);
        assert_eq!(status.accepted_spis.len(), 1);
    }
    assert_eq!(world.ks(0).groups[0].member_count, 3);
}

#[test]
fn clearing_the_members_gently_shortens_their_sas_and_loses_nothing() {
    let mut config = group();
    config.teks[0].lifetime = secs(7_200);
    let mut world = World::registered(config, 2);
    let old = world.gm(1).send_spis[0];
    world.command(0, KsCommand::ClearMembers { group: GROUP, now: false });
    world.run(secs(2));
    let status = world.gm(1);
    assert!(status.kek.is_none() && status.send_spis == [old]);
    assert!((355..=360).contains(&status.sas[0].remaining_secs.unwrap()));
    for _ in 0..40 {
        world.run(secs(10));
        assert!(!world.gm(1).send_spis.is_empty());
    }
    assert_eq!(world.gm(1).registrations, 2);
    assert!(world.gm(1).kek.is_some());
    assert!(!world.gm(1).accepted_spis.contains(&old));
}

#[test]
fn a_revoked_and_cleared_member_stays_out() {
    let mut world = World::registered(group(), 2);
    world.command(0, KsCommand::Revoke { group: GROUP, identity: identity(0) });
    world.command(0, KsCommand::ClearMembers { group: GROUP, now: true });
    world.run(secs(120));
    assert_eq!((world.gm(1).registered, world.gm(2).registered), (false, true));
    assert_eq!(world.ks(0).groups[0].member_count, 1);
}

#[test]
fn a_kek_rekey_alone_leaves_the_teks_alone() {
    let mut world = World::registered(group(), 1);
    let (spis, old) = (world.gm(1).send_spis, world.gm(1).kek.unwrap().spi);
    world.command(0, KsCommand::RekeyKek { group: GROUP });
    world.run(secs(1));
    let status = world.gm(1);
    assert_eq!(status.send_spis, spis);
    assert_eq!(status.previous_kek.map(|kek| kek.spi), Some(old));
    assert_eq!(status.kek.as_ref().map(|kek| kek.sequence), Some(0));
    assert_eq!(status.kek.unwrap().spi, world.ks(0).groups[0].kek.as_ref().unwrap().spi);
    world.run(secs(15));
    assert!(world.gm(1).previous_kek.is_none());
}

#[test]
fn a_kek_that_expires_without_a_successor_makes_the_member_register() {
    let mut config = group();
    config.teks[0].lifetime = secs(86_000);
    if let Some(kek) = &mut config.kek {
        kek.lifetime = secs(600);
    }
    let mut world = World::registered(config, 1);
    world.fate = Box::new(|datagram| Header::decode(&datagram.payload).unwrap().exchange != ExchangeType::PUSH);
    world.run(secs(590));
    assert_eq!(world.gm(1).registrations, 2);
    assert!(world.gm(1).kek.unwrap().remaining_secs.unwrap() > 300);
}

#[test]
fn multicast_sends_one_copy_at_a_time_to_everyone_and_never_removes() {
    let mut config = group();
    config.ack = AckPolicy::None;
    if let Some(kek) = &mut config.kek {
        kek.transport = Transport::Multicast("239.1.1.1:848".parse().unwrap());
        kek.retransmit_count = 3;
    }
    let mut world = World::registered(config, 4);
    assert_eq!(world.gm(1).multicast_groups, ["239.1.1.1".parse::<std::net::IpAddr>().unwrap()]);
    let start = world.now;
    world.run(secs(1_000));
    let pushes = world.pushes(start);
    assert_eq!(pushes.len(), 4);
    assert!(pushes.iter().all(|seen| seen.datagram == pushes[0].datagram));
    assert_eq!(pushes[0].datagram.dst, "239.1.1.1:848".parse().unwrap());
    assert_eq!(pushes[0].datagram.src.ip(), ks_ip(0));
    let gaps: Vec<u64> = pushes.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs()).collect();
    assert_eq!(gaps, [10, 10, 10]);
    // No addend for copies: 90 s before the end of 900 s.
    assert_eq!(pushes[0].at.as_secs(), 1_000 + 810);
    for gm in 1..=4 {
        let status = world.gm(gm);
        assert_eq!((status.rekeys_received, status.repeats_received, status.acks_sent), (1, 3, 0));
        assert!(world.codes(gm).is_empty());
    }
    world.run(secs(10_000));
    assert_eq!(world.ks(0).groups[0].member_count, 4);
}

#[test]
fn rekeys_can_move_from_unicast_to_multicast_and_back() {
    let mut world = World::registered(group(), 2);
    for transport in [Transport::Multicast("239.7.7.7:1848".parse().unwrap()), Transport::Unicast] {
        let mut config = group();
        if let Some(kek) = &mut config.kek {
            kek.transport = transport;
        }
        world.command(0, KsCommand::ReplacePolicy { group: GROUP, config: Box::new(config) });
        world.command(0, KsCommand::Rekey { group: GROUP });
        world.run(secs(5));
        world.command(0, KsCommand::Rekey { group: GROUP });
        world.run(secs(5));
        let joined = world.gm(1).multicast_groups.len();
        assert_eq!(joined, usize::from(transport != Transport::Unicast));
        let newest = world.ks(0).groups[0].teks[0].spi;
        assert!(world.gm(1).accepted_spis.contains(&newest) && world.gm(2).accepted_spis.contains(&newest));
    }
    let moves = world.count(0, |kind| matches!(kind, EventKind::TransportChanged { .. }));
    assert_eq!(moves, 2);
    assert_eq!(world.ks(0).groups[0].acks_missed, 0);
}

#[test]
fn every_cipher_and_signature_carries_rekeys() {
    use hallmark_crypto::{CipherAlg, HashAlg};
    let keys = ["rsa1024-a", "rsa2048-a", "rsa4096-a", "p256-a", "p384-a", "p521-a"];
    let hashes = [HashAlg::Sha1, HashAlg::Sha256, HashAlg::Sha384, HashAlg::Sha512];
    for (index, name) in keys.into_iter().enumerate() {
        let cipher = CipherAlg::ALL[index % 5];
        let mut config = group();
        config.signing_key = Some(key(name));
        if let Some(kek) = &mut config.kek {
            (kek.cipher, kek.sig_hash) = (cipher, hashes[index % 4]);
        }
        let mut world = World::new(index as u64);
        world.add_ks(ks_config(config));
        let mut gm = gm_config(0);
        gm.group.acceptable_kek_ciphers = CipherAlg::ALL.to_vec();
        world.add_gm(gm);
        world.run(secs(5));
        world.command(0, KsCommand::Rekey { group: GROUP });
        world.run(secs(1));
        world.command(0, KsCommand::RekeyKek { group: GROUP });
        world.run(secs(1));
        world.command(0, KsCommand::Rekey { group: GROUP });
        world.run(secs(1));
        assert_eq!(world.gm(1).rekeys_received, 3, "{name} {cipher:?} {:?}", world.codes(1));
        assert_eq!(world.ks(0).groups[0].acks, 3, "{name}");
    }
}
