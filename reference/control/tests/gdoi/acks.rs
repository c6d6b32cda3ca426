//! Acknowledgements: both forms, who is removed for silence, and what is not credited.

use hallmark_control::config::{AckPolicy, GroupConfig};
use hallmark_control::{EventKind, KsCommand};
use hallmark_core::Instant;
use hallmark_wire::isakmp::{ExchangeType, Header};

use crate::world::*;

fn with_ack(ack: AckPolicy, lkh: bool) -> GroupConfig {
    let mut config = group();
    (config.ack, config.lkh) = (ack, lkh);
    config
}

fn world_with(config: GroupConfig, members: usize, unrequested: AckPolicy) -> World {
    let mut world = World::new(21);
    world.add_ks(ks_config(config));
    for index in 0..members {
        let mut gm = gm_config(index);
        gm.group.unrequested_acks = unrequested;
        world.add_gm(gm);
    }
    world.run(secs(5));
    world
}

/// Drops what a member sends in answer to PUSHes.
fn silence(world: &mut World, member: usize) {
    world.fate = Box::new(move |datagram| {
        let ack = Header::decode(&datagram.payload).unwrap().exchange == ExchangeType::PUSH_ACK;
        !ack || datagram.src.ip() != gm_ip(member)
    });
}

#[test]
fn all_four_types_of_rfc_8263_verify_over_tek_and_kek_rekeys() {
    for (ack, lkh, requested) in [
        (AckPolicy::Rfc8263Sha256, false, 1),
        (AckPolicy::Rfc8263Sha256, true, 2),
        (AckPolicy::Rfc8263Sha512, false, 3),
        (AckPolicy::Rfc8263Sha512, true, 4),
    ] {
        let mut world = world_with(with_ack(ack, lkh), 2, AckPolicy::None);
        assert_eq!(world.gm(1).kek.unwrap().ack_requested, Some(requested));
        for command in
            [KsCommand::Rekey { group: GROUP }, KsCommand::RekeyKek { group: GROUP }, KsCommand::Rekey { group: GROUP }]
        {
            world.command(0, command);
            world.run(secs(1));
        }
        assert_eq!(world.ks(0).groups[0].acks, 6, "type {requested}");
        let readings: Vec<_> = world
            .events
            .iter()
            .filter_map(|(_, event)| match event.kind {
                EventKind::AckReceived { length_reading, form: "rfc8263", .. } => length_reading,
                _ => None,
            })
            .collect();
        assert_eq!(readings, vec![if requested < 3 { 512 } else { 1_024 }; 6]);
        let acks = world.acks(Instant::ZERO);
        assert!(acks.iter().all(|seen| seen.header().flags.0 == 0 && seen.header().message_id == 0));
    }
}

#[test]
fn the_encrypted_form_is_credited_under_the_newest_kek_and_repaired_after_a_loss() {
    let mut world = world_with(with_ack(AckPolicy::Cisco, false), 1, AckPolicy::Cisco);
    assert_eq!(world.gm(1).kek.unwrap().ack_requested, None);
    for command in [KsCommand::Rekey { group: GROUP }, KsCommand::RekeyKek { group: GROUP }] {
        world.command(0, command);
        world.run(secs(1));
    }
    assert_eq!(world.ks(0).groups[0].acks, 2);
    let newest = world.ks(0).groups[0].kek.as_ref().unwrap().spi.clone();
    let last = world.acks(Instant::ZERO).last().map(|seen| (seen.header().flags.0, hex(&seen.header().cookies())));
    assert_eq!(last, Some((1, newest)));
    // The first acknowledgement is lost; the copy of the PUSH is acknowledged again.
    let mut lost = false;
    world.fate = Box::new(move |datagram| {
        let ack = Header::decode(&datagram.payload).unwrap().exchange == ExchangeType::PUSH_ACK;
        !ack || std::mem::replace(&mut lost, true)
    });
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(30));
    assert_eq!(world.ks(0).groups[0].acks, 3);
    assert_eq!((world.gm(1).rekeys_received, world.gm(1).repeats_received), (3, 1));
}

#[test]
fn a_server_that_takes_any_form_takes_both() {
    let mut world = world_with(with_ack(AckPolicy::Any, false), 1, AckPolicy::Cisco);
    // This member was told nothing of RFC 8263, as an older product would act.
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(1));
    assert_eq!(world.ks(0).groups[0].acks, 1);
    let mut world = world_with(with_ack(AckPolicy::Cisco, false), 1, AckPolicy::None);
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(60));
    assert_eq!(world.ks(0).groups[0].acks, 0);
    assert_eq!(world.ks(0).groups[0].acks_missed, 1);
}

#[test]
fn three_silent_scheduled_rekeys_in_a_row_remove_a_member_and_two_do_not() {
    let mut world = World::registered(group(), 2);
    // One acknowledgement first: only then is silence a sign.
    world.run(secs(800));
    assert_eq!(world.ks(0).groups[0].acks, 2);
    silence(&mut world, 0);
    world.run(secs(2 * 785 + 50));
    assert_eq!(world.ks(0).groups[0].members[0].missed, 2);
    world.fate = Box::new(|_| true);
    world.run(secs(785));
    let status = world.ks(0);
    assert_eq!((status.groups[0].members[0].missed, status.groups[0].member_count), (0, 2));
    silence(&mut world, 0);
    world.run(secs(4 * 785));
    let status = world.ks(0);
    assert_eq!(status.groups[0].removals, 1);
    let removed = |kind: &EventKind| matches!(kind, EventKind::MemberRemoved { reason: "missed-rekeys", .. });
    assert_eq!(world.count(0, removed), 1);
    // It gets no PUSH any more, so it registers again, and is back.
    world.fate = Box::new(|_| true);
    world.run(secs(1_600));
    assert_eq!(world.ks(0).groups[0].member_count, 2);
    assert!(world.gm(1).registrations >= 2);
}

#[test]
fn a_member_that_never_acknowledged_is_kept_by_rfc_8263_and_removed_by_the_encrypted_policy() {
    for (ack, left) in [(AckPolicy::Rfc8263Sha256, 1), (AckPolicy::Cisco, 0)] {
        let mut world = world_with(with_ack(ack, false), 1, AckPolicy::None);
        world.fate = Box::new(|datagram| {
            let exchange = Header::decode(&datagram.payload).unwrap().exchange;
            exchange != ExchangeType::PUSH_ACK
        });
        world.run(secs(3 * 785 + 100));
        assert_eq!(world.ks(0).groups[0].member_count, left, "{ack:?}");
    }
}

#[test]
fn a_late_acknowledgement_is_credited_and_a_repeated_or_foreign_one_is_not() {
    let mut world = World::registered(group(), 2);
    let start = world.now;
    silence(&mut world, 0);
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(100));
    assert_eq!(world.ks(0).groups[0].acks_missed, 1);
    let held = world.acks(start).into_iter().find(|seen| seen.dropped).unwrap().datagram.clone();
    world.inject(held.clone());
    world.run(secs(1));
    let member = &world.ks(0).groups[0].members[0];
    assert_eq!((member.received.clone(), member.missed), (vec![1], 0));
    world.inject(held.clone());
    world.run(secs(1));
    assert!(world.codes(0).contains("gdoi.ack.duplicate"));
    let mut tampered = held.clone();
    *tampered.payload.last_mut().unwrap() ^= 0x40;
    world.inject(tampered);
    let mut tampered = held;
    tampered.payload[40] ^= 1;
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.inject(tampered);
    world.run(secs(1));
    assert!(world.codes(0).contains("gdoi.ack.not-member"), "{:?}", world.codes(0));
    // A later number than was ever sent.
    let mut tampered = world.acks(start).last().unwrap().datagram.clone();
    tampered.payload[28 + 36 + 7] = 77;
    world.inject(tampered);
    let mut tampered = world.acks(start).last().unwrap().datagram.clone();
    tampered.payload[19] = 2;
    world.inject(tampered);
    let mut tampered = world.acks(start).last().unwrap().datagram.clone();
    tampered.payload[23] = 2;
    world.inject(tampered);
    let mut tampered = world.acks(start).last().unwrap().datagram.clone();
    tampered.payload[0] ^= 1;
    world.inject(tampered);
    world.run(secs(1));
    for code in ["gdoi.ack.sequence", "gdoi.ack.header", "gdoi.ack.unknown-kek"] {
        assert!(world.codes(0).contains(code), "{code}: {:?}", world.codes(0));
    }
}

#[test]
fn a_wrong_hash_is_not_credited_and_copies_go_on() {
    let mut world = World::registered(group(), 1);
    let start = world.now;
    world.fate = Box::new(|datagram| {
        if Header::decode(&datagram.payload).unwrap().exchange == ExchangeType::PUSH_ACK {
            datagram.payload[40] ^= 1;
        }
        true
    });
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(60));
    assert!(world.codes(0).contains("gdoi.ack.hash"));
    assert_eq!(world.ks(0).groups[0].acks, 0);
    assert_eq!(world.pushes(start).len(), 3);
}

#[test]
fn a_group_without_acknowledgements_refuses_them() {
    let mut world = world_with(with_ack(AckPolicy::None, false), 1, AckPolicy::Cisco);
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(60));
    assert!(world.codes(0).contains("gdoi.ack.not-requested"));
    assert_eq!((world.ks(0).groups[0].acks, world.ks(0).groups[0].acks_missed), (0, 0));
}

#[test]
fn an_acknowledgement_that_reaches_a_member_is_nobodys() {
    let mut world = World::registered(group(), 2);
    let start = world.now;
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(1));
    let mut ack = world.acks(start)[0].datagram.clone();
    ack.dst = std::net::SocketAddr::new(gm_ip(1), 848);
    world.inject(ack);
    let mut push = world.pushes(start)[0].datagram.clone();
    (push.src, push.dst) = (push.dst, push.src);
    world.inject(push);
    world.run(secs(1));
    assert!(world.codes(2).contains("gdoi.ack.role"));
    assert!(world.codes(0).contains("gdoi.push.role"));
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
