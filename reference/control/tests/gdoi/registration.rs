//! Registration: the four messages, authorization, loss, failover, and registering again.

use hallmark_control::behaviour::Variant;
use hallmark_control::config::{AckPolicy, Compat, TestConfig};
use hallmark_control::{EventKind, GmCommand, KsCommand};
use hallmark_core::switch::Switch;
use hallmark_core::{Instant, Limits};
use hallmark_wire::isakmp::{ExchangeType, Header};

use crate::world::*;

#[test]
fn a_member_registers_with_four_messages_and_gets_every_key() {
    let world = World::registered(group(), 1);
    let pull = world.of(ExchangeType::PULL, Instant::ZERO);
    assert_eq!(pull.len(), 4);
    let ids: Vec<u32> = pull.iter().map(|seen| seen.header().message_id).collect();
    assert!(ids[0] != 0 && ids.iter().all(|id| *id == ids[0]));
    assert!(pull.iter().all(|seen| seen.header().flags.0 == 1 && seen.header().version == 0x10));
    let (ks, gm) = (world.ks(0), world.gm(1));
    assert_eq!(gm.kek.as_ref().map(|kek| &kek.spi), ks.groups[0].kek.as_ref().map(|kek| &kek.spi));
    assert_eq!(gm.send_spis, [ks.groups[0].teks[0].spi]);
    assert_eq!(gm.accepted_spis, gm.send_spis);
    assert_eq!(gm.sas[0].transform, "esp aes128-cbc hmac-sha256");
    assert_eq!(gm.sas[0].selectors, ["ip 10.1.0.0/16 10.2.0.0/16"]);
    assert_eq!(ks.groups[0].member_count, 1);
    assert_eq!(ks.groups[0].members[0].version.as_deref(), Some("1.0.5"));
    assert_eq!(gm.kek.map(|kek| (kek.sequence, kek.ack_requested)), Some((0, Some(1))));
}

#[test]
fn every_single_loss_is_repaired_by_a_retransmission() {
    for lost in 0..10 {
        let mut world = World::new(lost);
        world.add_ks(ks_config(group()));
        let mut count = 0;
        world.fate = Box::new(move |_| {
            count += 1;
            count != lost + 1
        });
        world.add_gm(gm_config(0));
        world.run(secs(20));
        assert!(world.gm(1).registered, "datagram {lost} lost");
        assert_eq!(world.ks(0).groups[0].member_count, 1);
    }
}

#[test]
fn copies_of_pull_messages_are_identical_and_register_once() {
    let mut world = World::new(3);
    let mut config = group();
    config.sid_bits = Some(8);
    config.teks = vec![tek("aes128-gcm16", None, 900)];
    world.add_ks(ks_config(config));
    // M4 is lost twice, so M3 is repeated.
    let mut from_ks = 0;
    world.fate = Box::new(move |datagram| {
        let pull = Header::decode(&datagram.payload).unwrap().exchange == ExchangeType::PULL;
        if pull && datagram.src.ip() == ks_ip(0) {
            from_ks += 1;
            return !(2..=3).contains(&from_ks);
        }
        true
    });
    world.add_gm(gm_config(0));
    world.run(secs(10));
    let pull = world.of(ExchangeType::PULL, Instant::ZERO);
    let m3: Vec<&Vec<u8>> = pull
        .iter()
        .filter(|seen| seen.datagram.src.ip() == gm_ip(0))
        .map(|seen| &seen.datagram.payload)
        .skip(1)
        .collect();
    let m4: Vec<&Vec<u8>> = pull
        .iter()
        .filter(|seen| seen.datagram.src.ip() == ks_ip(0))
        .map(|seen| &seen.datagram.payload)
        .skip(1)
        .collect();
    assert_eq!((m3.len(), m4.len()), (3, 3));
    assert!(m3.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(m4.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(world.gm(1).sids, [0]);
    assert_eq!(world.ks(0).groups[0].sids.map(|sids| sids.next), Some(1));
    assert_eq!(world.ks(0).groups[0].registrations, 1);
}

#[test]
fn an_unlisted_identity_gets_no_policy_and_a_listed_one_does() {
    let mut config = group();
    config.members = vec![identity(1)];
    let mut world = World::new(4);
    world.add_ks(ks_config(config));
    world.add_gm(gm_config(0));
    world.add_gm(gm_config(1));
    world.run(secs(60));
    assert!(!world.gm(1).registered && world.gm(2).registered);
    assert!(world.codes(0).contains("gdoi.pull.unauthorized"));
    // The operator lets it in, and out again.
    world.command(0, KsCommand::Authorize { group: GROUP, identity: identity(0) });
    world.run(secs(120));
    assert!(world.gm(1).registered);
    world.command(0, KsCommand::Revoke { group: GROUP, identity: identity(0) });
    world.gm_command(1, GmCommand::ClearSa);
    world.run(secs(60));
    assert!(!world.gm(1).registered);
}

#[test]
fn an_unknown_group_is_refused_and_retried_at_a_bounded_rate() {
    let mut world = World::new(5);
    world.add_ks(ks_config(group()));
    let mut config = gm_config(0);
    config.group.id = 99;
    world.add_gm(config);
    world.run(secs(600));
    assert!(!world.gm(1).registered);
    assert!(world.codes(0).contains("gdoi.pull.group-unknown"));
    assert_eq!(world.ks(0).groups[0].member_count, 0);
    let attempts = world.gm(1).attempts;
    assert!((4..=20).contains(&attempts), "{attempts} attempts");
}

#[test]
fn a_member_tries_its_servers_in_order_and_wraps_around() {
    let mut world = World::new(6);
    let mut first = ks_config(group());
    first.listen[0].set_ip(ks_ip(0));
    let mut second = ks_config(group());
    second.listen[0].set_ip(ks_ip(1));
    let first_node = world.add_ks(first.clone());
    let second_node = world.add_ks(second.clone());
    world.stop(first_node);
    world.stop(second_node);
    let mut config = gm_config(0);
    config.servers = vec![server(0), server(1)];
    let gm = world.add_gm(config);
    world.run(secs(300));
    let tried: Vec<_> = world
        .events
        .iter()
        .filter_map(|(_, event)| match &event.kind {
            EventKind::RegistrationStarted { server, .. } => Some(server.ip()),
            _ => None,
        })
        .collect();
    assert!(tried.len() >= 4, "{tried:?}");
    assert!(tried.chunks(2).all(|pair| pair[0] == ks_ip(0) && pair.get(1).is_none_or(|ip| *ip == ks_ip(1))));
    assert!(!world.gm(gm).registered);
    world.add_ks(second);
    world.run(secs(200));
    assert_eq!(world.gm(gm).server.map(|server| server.ip()), Some(ks_ip(1)));
    // The preferred server is asked first again when the keys have to be renewed.
    world.add_ks(first);
    world.gm_command(gm, GmCommand::Register);
    world.run(secs(10));
    assert_eq!(world.gm(gm).server.map(|server| server.ip()), Some(ks_ip(0)));
}

#[test]
fn a_restarted_server_is_found_again_although_the_old_phase_1_is_dead() {
    let mut world = World::registered(group(), 1);
    let before = world.gm(1).kek.map(|kek| kek.spi);
    world.add_ks(ks_config(group()));
    world.gm_command(1, GmCommand::Register);
    // The keys stay until new ones are there.
    assert!(world.gm(1).registered);
    world.run(secs(120));
    assert_ne!(world.gm(1).kek.map(|kek| kek.spi), before);
    assert_eq!(world.ks(0).groups[0].member_count, 1);
}

#[test]
fn a_member_registers_again_before_its_keys_end_when_no_push_comes() {
    let mut world = World::registered(group(), 1);
    let registered_at = world.now;
    world.fate = Box::new(|datagram| Header::decode(&datagram.payload).unwrap().exchange != ExchangeType::PUSH);
    world.run(secs(890));
    assert_eq!(world.gm(1).registrations, 2);
    let again = world
        .events
        .iter()
        .find(|(_, event)| matches!(event.kind, EventKind::RegistrationStarted { reason: "expiry", .. }))
        .unwrap();
    let elapsed = (again.1.at - registered_at).as_secs() + 5;
    assert!((825..=845).contains(&elapsed), "after {elapsed} s of 900");
    // It got the old TEK with what is left of its life, and the new one.
    assert_eq!(world.gm(1).accepted_spis.len(), 2);
}

#[test]
fn a_group_without_a_signing_key_registers_and_lives_by_registering_again() {
    let mut config = group();
    config.signing_key = None;
    let mut world = World::registered(config, 1);
    assert_eq!(world.count(0, |kind| matches!(kind, EventKind::NoSigningKey { group: GROUP })), 1);
    assert!(!world.ks(0).groups[0].signing_key);
    world.run(secs(5_000));
    assert!(world.pushes(Instant::ZERO).is_empty());
    assert!(world.gm(1).registered);
    assert!(world.gm(1).registrations >= 5);
    assert!(!world.gm(1).send_spis.is_empty());
}

#[test]
fn a_group_without_a_kek_is_a_group_of_registrations() {
    let mut config = group();
    config.kek = None;
    let mut world = World::registered(config, 1);
    assert!(world.gm(1).kek.is_none());
    world.run(secs(2_000));
    assert!(world.pushes(Instant::ZERO).is_empty());
    assert!(world.gm(1).registered && !world.gm(1).send_spis.is_empty());
}

#[test]
fn a_group_with_a_kek_only_gets_its_tek_by_push() {
    let mut config = group();
    config.teks.clear();
    let mut world = World::registered(config, 1);
    assert!(world.gm(1).sas.is_empty());
    world.command(0, KsCommand::ReplacePolicy { group: GROUP, config: Box::new(group()) });
    assert!(world.ks(0).groups[0].policy_pending);
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(1));
    assert_eq!(world.gm(1).send_spis, [world.ks(0).groups[0].teks[0].spi]);
}

#[test]
fn long_lived_keys_are_for_members_of_a_known_version() {
    let mut config = group();
    config.teks[0].lifetime = secs(100_000);
    let mut world = World::new(7);
    world.add_ks(ks_config(config));
    for (index, version) in [None, Some("1.0.3"), Some("1.0.4")].into_iter().enumerate() {
        let mut config = gm_config(index);
        config.group.version = version.map(|version| version.parse().unwrap());
        world.add_gm(config);
    }
    world.run(secs(60));
    assert_eq!([1, 2, 3].map(|gm| world.gm(gm).registered), [false, false, true]);
    assert!(world.codes(0).contains("gdoi.pull.member-version"));
}

#[test]
fn an_unacceptable_policy_is_refused_with_a_delete_and_retried_slowly() {
    let mut world = World::new(8);
    let mut config = group();
    config.teks = vec![tek("3des", Some("hmac-sha1"), 900)];
    world.add_ks(ks_config(config));
    let mut config = gm_config(0);
    config.group.acceptable_transforms = vec![tek("aes128-cbc", Some("hmac-sha256"), 900).transform];
    world.add_gm(config);
    world.run(secs(600));
    assert!(world.codes(1).contains("gdoi.policy.transform"));
    assert!(world.gm(1).attempts <= 20, "{}", world.gm(1).attempts);
    assert_eq!(world.ks(0).groups[0].member_count, 0);
    let informational = world.of(ExchangeType::INFORMATIONAL, Instant::ZERO);
    assert_eq!(informational.len() as u64, world.gm(1).attempts);
    let closed = |kind: &EventKind| matches!(kind, EventKind::Phase1Closed { reason: "deleted-by-peer" });
    assert_eq!(world.count(0, closed) as u64, world.gm(1).attempts);
}

#[test]
fn unfinished_exchanges_change_nothing_and_are_bounded() {
    let mut world = World::new(9);
    let mut config = group();
    config.sid_bits = Some(8);
    config.teks = vec![tek("aes128-gcm16", None, 900)];
    world.add_ks(ks_config(config));
    // The member's M3 never arrives.
    world.fate = Box::new(|datagram| {
        let header = Header::decode(&datagram.payload).unwrap();
        header.exchange != ExchangeType::PULL || datagram.src.ip() == ks_ip(0) || datagram.payload.len() > 100
    });
    world.add_gm(gm_config(0));
    world.run(secs(300));
    let status = world.ks(0);
    assert!(world.codes(0).contains("gdoi.pull.timeout"));
    assert_eq!(status.groups[0].member_count, 0);
    assert_eq!(status.groups[0].sids.map(|sids| sids.next), Some(0));
    world.fate = Box::new(|_| true);
    world.run(secs(120));
    assert_eq!(world.gm(1).sids, [0]);
}

#[test]
fn one_key_server_takes_many_members_and_keeps_them_apart() {
    let mut world = World::registered(group(), 60);
    let status = world.ks(0);
    assert_eq!(status.groups[0].member_count, 60);
    assert_eq!(status.common.limits["members"], Limits::default().members as u64);
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(2));
    let newest = world.ks(0).groups[0].teks[0].spi;
    for gm in 1..=60 {
        assert!(world.gm(gm).accepted_spis.contains(&newest), "member {gm}");
    }
    assert!(world.ks(0).groups[0].members.iter().all(|member| member.acks == 1 && member.sent == [1]));
}

#[test]
fn group_keys_outlive_their_phase_1() {
    let mut world = World::new(10);
    let mut config = ks_config(group());
    config.phase1.lifetime = secs(120);
    world.add_ks(config);
    let mut config = gm_config(0);
    config.phase1.lifetime = secs(120);
    world.add_gm(config);
    world.run(secs(400));
    assert_eq!(world.ks(0).common.phase1.established, 0);
    assert!(world.gm(1).registered);
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(1));
    assert_eq!(world.gm(1).rekeys_received, 1);
    assert_eq!(world.ks(0).groups[0].acks, 1);
}

#[test]
fn variants_of_both_sides_work_together() {
    for variant in Variant::ALL {
        let mut world = World::new(11);
        let mut config = group();
        config.sid_bits = Some(8);
        config.signing_key = Some(key("p256-a"));
        config.ack = AckPolicy::Any;
        let mut second = tek("aes256-gcm16", None, 1_200);
        second.acl = vec!["permit ip 10.3.0.0/16 any".parse().unwrap()];
        config.teks.push(second);
        let mut ks = ks_config(config);
        ks.test.behaviour = behaviour(&[], &[*variant]);
        world.add_ks(ks);
        for index in 0..2 {
            let mut gm = gm_config(index);
            gm.test.behaviour = behaviour(&[], &[*variant]);
            world.add_gm(gm);
        }
        world.run(secs(7_200));
        world.command(0, KsCommand::ClearMembers { group: GROUP, now: true });
        world.run(secs(60));
        for gm in 1..=2 {
            let status = world.gm(gm);
            assert!(status.registered && status.send_spis.len() == 2, "{variant}: {status:#?}");
            assert!(status.rekeys_received >= 8, "{variant}: {}", status.rekeys_received);
        }
        let group = &world.ks(0).groups[0];
        assert_eq!(group.removals, 0, "{variant}");
        assert_eq!(group.member_count, 2, "{variant}");
    }
}

#[test]
fn a_configuration_says_what_is_wrong_with_it() {
    let wrong = |change: fn(&mut hallmark_control::config::GroupConfig)| {
        let mut config = group();
        change(&mut config);
        config.validate(&[], &TestConfig::default()).unwrap_err().to_string()
    };
    assert!(wrong(|group| group.teks[0].lifetime = secs(100)).contains("group[1234].tek[0].lifetime_secs"));
    assert!(wrong(|group| group.teks = vec![tek("3des", Some("hmac-sha1"), 900)]).contains("allow_weak"));
    assert!(wrong(|group| group.teks = vec![tek("aes128-gcm16", None, 900)]).contains("sids"));
    assert!(wrong(|group| group.teks[0].acl = vec!["deny ip any any".parse().unwrap()]).contains("permit"));
    assert!(wrong(|group| group.teks[0].acl.clear()).contains("acl"));
    assert!(wrong(|group| group.signing_key = Some(key("rsa1024-a"))).contains("rsa1024"));
    assert!(wrong(|group| group.sid_bits = Some(33)).contains("sids.bits"));
    assert!(wrong(|group| (group.kek, group.teks) = (None, Vec::new())).contains("KEK"));
    assert!(wrong(|group| (group.kek, group.lkh) = (None, true)).contains("lkh"));
    assert!(group().validate(&[], &TestConfig::default()).is_ok());
    let mut config = gm_config(0);
    config.servers.clear();
    assert!(config.validate().is_err());
    assert_eq!(Compat::from_name("kd-old-spi").map(Compat::names), Some(vec!["kd-old-spi"]));
    assert_eq!(Compat::from_name("nonsense"), None);
}
