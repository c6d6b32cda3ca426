//! Key hierarchies, sender ids and the removal of members.

use std::collections::BTreeSet;

use hallmark_control::behaviour::Defect;
use hallmark_control::config::{DataTransform, EspCipher};
use hallmark_control::{EventKind, GmCommand, KsCommand};

use crate::world::*;

fn lkh_group() -> hallmark_control::config::GroupConfig {
    let mut config = group();
    config.lkh = true;
    config
}

fn counter_group(bits: u8) -> hallmark_control::config::GroupConfig {
    let mut config = group();
    config.sid_bits = Some(bits);
    config.teks = vec![tek("aes256-gcm16", None, 7_200)];
    config
}

#[test]
fn lkh_carries_scheduled_rekeys_for_hours() {
    let mut world = World::registered(lkh_group(), 5);
    assert!(world.ks(0).groups[0].lkh);
    assert_eq!(world.gm(1).kek.unwrap().lkh_keys, 15);
    world.run(secs(3 * 3_600));
    for gm in 1..=5 {
        let status = world.gm(gm);
        assert_eq!((status.registrations, status.kek.map(|kek| kek.lkh_keys)), (1, Some(15)));
        assert!(world.codes(gm).is_empty());
    }
    assert_eq!(world.ks(0).groups[0].acks_missed, 0);
}

#[test]
fn an_excluded_member_learns_neither_the_new_kek_nor_the_new_teks() {
    for lkh in [false, true] {
        let mut config = lkh_group();
        config.lkh = lkh;
        config.members = (0..5).map(identity).collect();
        let mut world = World::registered(config, 5);
        let start = world.now;
        let old = world.gm(3).kek.unwrap().spi;
        world.command(0, KsCommand::Revoke { group: GROUP, identity: identity(2) });
        let name = identity(2).to_string();
        world.command(0, KsCommand::RemoveMember { group: GROUP, identity: name });
        // The removed member overhears what goes to the others.
        let overheard: Vec<_> = world.pushes(start).into_iter().map(|seen| seen.datagram.clone()).collect();
        assert!(overheard.iter().all(|datagram| datagram.dst.ip() != gm_ip(2)));
        for mut datagram in overheard {
            datagram.dst.set_ip(gm_ip(2));
            world.inject(datagram);
        }
        world.run(secs(1));
        let group = &world.ks(0).groups[0];
        assert_eq!(group.member_count, 4);
        for gm in [1, 2, 4, 5] {
            let status = world.gm(gm);
            assert_eq!(status.kek.map(|kek| kek.spi), group.kek.as_ref().map(|kek| kek.spi.clone()));
            assert!(status.accepted_spis.contains(&group.teks[0].spi));
            assert_eq!(status.rekeys_received, 2);
        }
        let removed = world.gm(3);
        if lkh {
            assert_eq!(removed.kek.map(|kek| kek.spi), Some(old));
            assert!(!removed.accepted_spis.contains(&group.teks[0].spi));
            assert!(world.codes(3).contains("gdoi.kd.lkh"));
        }
        world.run(secs(900));
        assert_eq!(world.ks(0).groups[0].member_count, 4);
        // The tree still works for those who stayed.
        world.command(0, KsCommand::RekeyKek { group: GROUP });
        world.run(secs(1));
        let spi = world.ks(0).groups[0].kek.as_ref().map(|kek| kek.spi.clone());
        assert!([1, 2, 4, 5].into_iter().all(|gm| world.gm(gm).kek.map(|kek| kek.spi) == spi));
    }
}

#[test]
fn membership_changes_use_two_pushes() {
    let mut world = World::registered(lkh_group(), 3);
    let name = gm_ip(0).to_string();
    world.command(0, KsCommand::RemoveMember { group: GROUP, identity: name });
    world.run(secs(1));
    let contents: Vec<_> = world
        .events
        .iter()
        .filter_map(|(_, event)| match event.kind {
            EventKind::PushSent { content, sequence, copy: 0, .. } => Some((content, sequence)),
            _ => None,
        })
        .collect();
    assert_eq!(contents, [("kek", 1), ("tek", 1)]);
}

#[test]
fn sender_ids_are_fresh_for_every_registration_and_as_many_as_asked_for() {
    let mut world = World::new(31);
    world.add_ks(ks_config(counter_group(16)));
    for (index, wanted) in [0, 3, 16].into_iter().enumerate() {
        let mut config = gm_config(index);
        config.group.sender_ids = wanted;
        world.add_gm(config);
        world.run(secs(2));
    }
    assert_eq!(world.gm(1).sids, [0]);
    assert_eq!(world.gm(2).sids, [1, 2, 3]);
    assert_eq!(world.gm(3).sids, (4..20).collect::<Vec<u32>>());
    assert_eq!(world.gm(1).sid_bits, Some(16));
    world.gm_command(1, GmCommand::Register);
    world.run(secs(2));
    assert_eq!(world.gm(1).sids, [20]);
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(2));
    // The sender id serves the SAs of a PUSH as well.
    assert_eq!(world.gm(1).sids, [20]);
    assert_eq!(world.gm(1).sas.iter().filter(|sa| sa.direction == "symmetric").count(), 2);
    // Too many for one member.
    let mut config = gm_config(3);
    config.group.sender_ids = 300;
    world.add_gm(config);
    world.run(secs(60));
    assert!(!world.gm(4).registered);
    assert!(world.codes(0).contains("gdoi.pull.sid-request"));
    assert_eq!(world.ks(0).groups[0].sids.map(|sids| sids.next), Some(21));
}

#[test]
fn used_up_sender_ids_replace_every_key_and_start_again() {
    let mut world = World::registered(counter_group(3), 7);
    let old = (world.gm(1).kek.unwrap().spi, world.gm(1).send_spis);
    let sids: BTreeSet<u32> = (1..=7).flat_map(|gm| world.gm(gm).sids).collect();
    assert_eq!(sids, (0..7).collect());
    world.gm_command(1, GmCommand::Register);
    world.run(secs(2));
    assert_eq!(world.gm(1).sids, [7]);
    // The ninth registration of eight: all keys go first, then it gets number 0 of the new ones.
    world.gm_command(2, GmCommand::Register);
    world.run(secs(1));
    assert_eq!(world.count(0, |kind| matches!(kind, EventKind::SidsExhausted { .. })), 1);
    assert_eq!(world.gm(2).sids, [0]);
    assert!(!world.gm(2).send_spis.iter().any(|spi| old.1.contains(spi)));
    world.run(secs(60));
    let group = &world.ks(0).groups[0];
    assert_eq!(group.member_count, 7);
    assert_ne!(group.kek.as_ref().map(|kek| kek.spi.clone()), Some(old.0));
    let sids: Vec<u32> = (1..=7).flat_map(|gm| world.gm(gm).sids).collect();
    let unique: BTreeSet<u32> = sids.iter().copied().collect();
    assert_eq!(unique.len(), 7);
}

/// A server that has lost its state begins with new keys and with sender id 0, which is another member's under the old
/// ones.
#[test]
fn sender_ids_of_a_registration_are_not_used_under_keys_that_it_does_not_mention() {
    for faulty in [false, true] {
        let defects: &[Defect] = if faulty { &[Defect::GmNewSidUnderOldKeys] } else { &[] };
        let mut world = World::new(1);
        world.add_ks(ks_config(counter_group(16)));
        for index in 0..2 {
            let mut config = gm_config(index);
            config.test.behaviour = behaviour(defects, &[]);
            world.add_gm(config);
            world.run(secs(2));
        }
        let old = world.gm(1).send_spis;
        assert_eq!((world.gm(1).sids, world.gm(2).sids), (vec![0], vec![1]));
        world.add_ks(ks_config(counter_group(16)));
        world.gm_command(2, GmCommand::Register);
        world.run(secs(120));
        let (first, second) = (world.gm(1), world.gm(2));
        assert_eq!((first.sids, &first.send_spis), (vec![0], &old), "it has not noticed");
        assert_eq!(second.sids, [0]);
        assert_eq!(second.send_spis == old, faulty);
        assert_eq!(second.accepted_spis.len(), 2, "it still receives what the other one sends");
    }
}

#[test]
fn keys_that_are_made_together_have_spis_of_their_own() {
    for seed in 1..=8 {
        let mut world = World::new(seed);
        let mut config = group();
        // 16 bits of an SPI name the group, so that two of 200 are the same every third time.
        config.data.group_spis = true;
        config.teks = vec![tek("aes128-cbc", Some("hmac-sha256"), 900); 200];
        let ks = world.add_ks(ks_config(config));
        let spis: BTreeSet<u32> = world.ks(ks).groups[0].teks.iter().map(|tek| tek.spi).collect();
        assert_eq!(spis.len(), 200);
    }
}

#[test]
fn a_member_without_a_sender_id_does_not_install_counter_mode_and_registers() {
    let mut config = group();
    config.sid_bits = Some(8);
    let mut world = World::registered(config.clone(), 1);
    assert!(world.gm(1).sids.is_empty());
    config.teks = vec![tek("aes128-gcm16", None, 900)];
    world.command(0, KsCommand::ReplacePolicy { group: GROUP, config: Box::new(config) });
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(1));
    assert!(world.codes(1).contains("gdoi.push.no-sender-id"));
    world.run(secs(10));
    assert_eq!((world.gm(1).registrations, world.gm(1).sids), (2, vec![0]));
    assert!(world.gm(1).sas.iter().any(|sa| sa.transform == "esp aes128-gcm16"));
}

#[test]
fn a_datapath_that_runs_out_of_sender_ids_gets_new_ones() {
    let mut world = World::registered(counter_group(8), 1);
    let now = world.time();
    let Some(Node::Gm(gm)) = &mut world.nodes[1] else { panic!() };
    assert_eq!(gm.sender_ids(), Some((8, [0].as_slice())));
    gm.sender_ids_exhausted(now);
    assert_eq!(gm.sender_ids(), None);
    world.run(secs(5));
    assert_eq!(world.gm(1).sids, [1]);
}

#[test]
fn every_transform_reaches_the_datapath_with_its_keys() {
    let mut config = group();
    config.sid_bits = Some(12);
    config.teks.clear();
    for (index, (name, cipher)) in DataTransform::CIPHER_NAMES.iter().enumerate() {
        let auth = match cipher {
            EspCipher::AesGcm(..) | EspCipher::AesGmac(_) => None,
            _ => Some(["hmac-md5", "hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"][index % 5]),
        };
        let mut tek = tek(name, auth, 900);
        tek.acl = vec![format!("permit udp 10.{index}.0.0/16 any eq {}", index + 1).parse().unwrap()];
        config.teks.push(tek);
    }
    let mut tek = tek("aes128-cbc", None, 900);
    tek.transform = DataTransform::from_names("ah", "hmac-sha384", None).unwrap();
    config.teks.push(tek);
    let mut world = World::registered(config.clone(), 1);
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(1));
    let Some(Node::Gm(gm)) = &world.nodes[1] else { panic!() };
    assert_eq!(gm.sadb().len(), 2 * config.teks.len());
    for sa in gm.sadb().iter() {
        let (encryption, integrity) = sa.transform.key_lengths();
        assert_eq!((sa.encryption_key.len(), sa.integrity_key.len()), (encryption, integrity));
    }
    let keys: BTreeSet<Vec<u8>> =
        gm.sadb().iter().map(|sa| [sa.encryption_key.expose(), sa.integrity_key.expose()].concat()).collect();
    assert_eq!(keys.len(), gm.sadb().len(), "every SA has keys of its own");
    assert_eq!(world.gm(1).send_spis.len(), config.teks.len());
}
