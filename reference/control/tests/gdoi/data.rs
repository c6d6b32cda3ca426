//! What a key server tells of the data plane and what members make of it: deny entries, pseudotime, direction, recovery.

use hallmark_control::behaviour::Defect;
use hallmark_control::config::data::{DataConfig, ReplayMethod, group_tag};
use hallmark_control::config::{GroupConfig, TestConfig};
use hallmark_control::data::{AclAction, GroupDirection, Replay};
use hallmark_control::{EventKind, GmCommand, KsCommand};
use hallmark_core::Duration;

use crate::world::*;

const TBAR: DataConfig =
    DataConfig { replay: ReplayMethod::Time { window_secs: 4 }, d3p: None, receive_only: false, group_spis: false };

fn with(data: DataConfig) -> GroupConfig {
    GroupConfig { data, ..group() }
}

fn entries(list: &[&str]) -> Vec<hallmark_control::config::Ace> {
    list.iter().map(|entry| entry.parse().unwrap()).collect()
}

/// Two TEKs of different lives with a deny entry in each list.
fn denying() -> GroupConfig {
    let mut config = group();
    let mut second = tek("aes256-cbc", Some("hmac-sha256"), 1_700);
    config.teks[0].acl =
        entries(&["deny icmp any any", "permit ip 10.1.0.0/16 10.2.0.0/16", "deny tcp any any eq 179"]);
    second.acl = entries(&["deny udp any any eq 848", "permit ip any any"]);
    config.teks.push(second);
    config
}

const WHOLE_LIST: [&str; 5] = [
    "deny icmp 0.0.0.0/0 0.0.0.0/0",
    "permit ip 10.1.0.0/16 10.2.0.0/16",
    "deny tcp 0.0.0.0/0 0.0.0.0/0 eq 179",
    "deny udp 0.0.0.0/0 0.0.0.0/0 eq 848",
    "permit ip 0.0.0.0/0 0.0.0.0/0",
];

fn member(world: &World, index: usize) -> &hallmark_control::GroupMember {
    match &world.nodes[index] {
        Some(Node::Gm(gm)) => gm,
        _ => panic!("node {index} is no group member"),
    }
}

fn ticks(world: &World, index: usize) -> u64 {
    match member(world, index).replay() {
        Replay::Time { pseudotime, .. } => pseudotime.at(world.now),
        other => panic!("{other:?}"),
    }
}

#[test]
fn deny_entries_keep_their_place_over_registrations_and_partial_rekeys() {
    let mut world = World::registered(denying(), 1);
    assert_eq!(world.gm(1).acl, WHOLE_LIST);
    let policies = |world: &World| -> Vec<u32> {
        let gm = member(world, 1);
        let rules = gm.acl().rules().iter();
        let numbers: Vec<u32> = rules
            .filter_map(|rule| match rule.action {
                AclAction::Permit { policy } => Some(policy),
                AclAction::Deny => None,
            })
            .collect();
        // Each SA carries the traffic of one policy, old and new alike.
        assert!(gm.sadb().iter().all(|sa| gm.acl().policy_of(sa).is_some_and(|number| numbers.contains(&number))));
        numbers
    };
    let before = policies(&world);
    // The first TEK is due several times before the second.
    world.run(secs(5_000));
    assert!(world.gm(1).rekeys_received >= 8);
    assert_eq!(world.gm(1).registrations, 1);
    assert_eq!(world.gm(1).acl, WHOLE_LIST);
    assert_eq!(policies(&world), before);
    world.gm_command(1, GmCommand::Register);
    world.run(secs(5));
    assert_eq!((world.gm(1).registrations, world.gm(1).acl.len()), (2, WHOLE_LIST.len()));
    assert_eq!(policies(&world), before);
}

#[test]
fn a_changed_list_replaces_the_one_before_and_its_sas_still_count_as_its_own() {
    let mut world = World::registered(denying(), 1);
    let mut changed = group();
    changed.teks[0].acl = entries(&["permit ip 10.1.0.0/16 10.0.0.0/8"]);
    world.command(0, KsCommand::ReplacePolicy { group: GROUP, config: Box::new(changed) });
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(2));
    assert_eq!(world.gm(1).acl, ["permit ip 10.1.0.0/16 10.0.0.0/8"]);
    let gm = member(&world, 1);
    let AclAction::Permit { policy } = gm.acl().rules()[0].action else { panic!("a permit entry") };
    let carried: Vec<u32> =
        gm.sadb().iter().filter(|sa| gm.acl().policy_of(sa) == Some(policy)).map(|sa| sa.spi).collect();
    assert!(carried.len() >= 2, "{carried:x?} of {:?}", world.gm(1).sas);
}

#[test]
fn without_deny_entries_a_partial_rekey_leaves_the_rest_of_the_list() {
    let mut config = group();
    let mut second = tek("aes256-cbc", Some("hmac-sha256"), 1_700);
    second.acl = entries(&["permit ip 10.3.0.0/16 10.4.0.0/16"]);
    config.teks.push(second);
    let mut world = World::registered(config, 1);
    let list = ["permit ip 10.1.0.0/16 10.2.0.0/16", "permit ip 10.3.0.0/16 10.4.0.0/16"];
    assert_eq!(world.gm(1).acl, list);
    world.run(secs(1_000));
    let mut now = world.gm(1).acl;
    now.sort();
    assert_eq!(now, list);
}

#[test]
fn the_policy_outlives_the_keys_until_the_member_is_shut_down() {
    let mut world = World::registered(denying(), 1);
    world.stop(0);
    world.run(secs(4_000));
    assert!(!world.gm(1).registered && world.gm(1).sas.is_empty());
    assert!(member(&world, 1).has_policy());
    assert_eq!(world.gm(1).acl, WHOLE_LIST);
    world.gm_command(1, GmCommand::Shutdown);
    assert!(!member(&world, 1).has_policy());
    assert!(world.gm(1).acl.is_empty());
}

#[test]
fn the_clock_of_a_group_starts_with_its_first_registration_and_every_member_follows_it() {
    let mut world = World::new(1);
    world.add_ks(ks_config(with(TBAR)));
    world.run(secs(300));
    assert_eq!(world.ks(0).groups[0].pseudotime_secs, None);
    world.add_gm(gm_config(0));
    world.run(secs(60));
    world.add_gm(gm_config(1));
    world.run(secs(40));
    let told = world.ks(0).groups[0].pseudotime_secs.unwrap();
    assert!((99.0..100.0).contains(&told), "{told}");
    for gm in 1..=2 {
        let own = world.gm(gm).replay.pseudotime_secs.unwrap();
        // Nothing but the way of the message lies between them.
        assert!((told - own).abs() <= 0.02, "{own} of {told}");
        assert_eq!((world.gm(gm).replay.method, world.gm(gm).replay.window), ("time", 4));
    }
    world.run(secs(3_000));
    assert!(world.gm(1).replay.time_syncs >= 3, "{:?}", world.gm(1).replay);
    assert!(world.gm(1).replay.max_time_delta_secs <= 0.02);
    assert_eq!(world.gm(1).replay.time_sync_errors, 0);
    assert!(ticks(&world, 1).abs_diff(ticks(&world, 2)) <= 2);
}

#[test]
fn a_large_step_ahead_is_reported_and_taken_over() {
    let mut config = ks_config(with(TBAR));
    config.test.behaviour = behaviour(&[Defect::KsPseudotimeWallclock], &[]);
    let mut world = World::new(1);
    world.add_ks(config);
    let mut gm = gm_config(0);
    // Its own clock starts at 0, far behind what the server tells.
    gm.test.behaviour = behaviour(&[Defect::GmPseudotimeRegistrationIgnored], &[]);
    world.add_gm(gm);
    world.run(secs(100));
    let before = ticks(&world, 1);
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(2));
    assert!(ticks(&world, 1) > before + 100_000_000_000);
    assert_eq!(world.count(1, |kind| matches!(kind, EventKind::PseudoTimeLarge { .. })), 1);
    assert_eq!(world.gm(1).rekeys_received, 1);
    let line = world.events.iter().map(|(_, event)| event.to_string()).find(|line| line.contains("PSEUDO_TIME_LARGE"));
    assert!(line.is_some_and(|line| line.starts_with("%GDOI-3-PSEUDO_TIME_LARGE: group 1234")));
}

/// A server that answers registrations right and pushes pseudotime 0.
fn stale_push(defects: &[Defect]) -> (World, u64) {
    let mut config = ks_config(with(TBAR));
    config.test.behaviour = behaviour(&[Defect::KsPseudotimeFrozen], &[]);
    let mut world = World::new(1);
    world.add_ks(config);
    let mut gm = gm_config(0);
    gm.test.behaviour = behaviour(defects, &[]);
    world.add_gm(gm);
    world.run(secs(60));
    let before = ticks(&world, 1);
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(1));
    (world, before)
}

#[test]
fn a_push_with_an_old_pseudotime_is_refused_and_not_acknowledged() {
    let (world, before) = stale_push(&[]);
    let status = world.gm(1);
    assert_eq!((status.rekeys_received, status.acks_sent, status.replay.time_sync_errors), (0, 0, 1));
    assert!(world.codes(1).contains("gdoi.push.pseudotime-too-old"));
    assert_eq!(world.count(1, |kind| matches!(kind, EventKind::PseudoTimeTooOld { .. })), 1);
    assert!(ticks(&world, 1) >= before + 99);
    // The defect of P39 takes it.
    let (world, before) = stale_push(&[Defect::PtBackstep]);
    assert_eq!(world.gm(1).rekeys_received, 1);
    assert!(ticks(&world, 1) < before);
}

#[test]
fn the_direction_of_the_group_changes_with_the_next_rekey() {
    let mut world = World::registered(with(DataConfig { receive_only: true, ..TBAR }), 1);
    assert_eq!(world.gm(1).direction, GroupDirection::ReceiveOnly);
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(2));
    assert_eq!(world.gm(1).direction, GroupDirection::ReceiveOnly);
    world.command(0, KsCommand::ReplacePolicy { group: GROUP, config: Box::new(with(TBAR)) });
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(2));
    assert_eq!(world.gm(1).direction, GroupDirection::Both);
    assert_eq!(world.gm(1).replay.method, "time");
}

#[test]
fn methods_arrive_as_they_are_configured() {
    let replay = |data: DataConfig| member(&World::registered(with(data), 1), 1).replay();
    assert_eq!(replay(DataConfig::default()), Replay::None);
    let counter = DataConfig { replay: ReplayMethod::Counter { window: 64 }, ..DataConfig::default() };
    assert_eq!(replay(counter), Replay::Counter { window: 64 });
    let window = Duration::from_millis(2_500);
    assert_eq!(replay(DataConfig { d3p: Some(window), ..DataConfig::default() }), Replay::D3p { window });
    assert!(matches!(replay(TBAR), Replay::Time { window, .. } if window == secs(4)));
}

#[test]
fn what_excludes_each_other_is_refused_by_server_and_member() {
    let told = |data: DataConfig, defects: &[Defect]| {
        let test = TestConfig { behaviour: behaviour(defects, &[]), ..TestConfig::default() };
        with(data).validate(&[], &test).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let both = DataConfig { d3p: Some(secs(5)), ..TBAR };
    assert!(told(both, &[]).contains("exclude each other"));
    assert_eq!(told(both, &[Defect::D3pCmdCoexist]), "");
    assert!(told(DataConfig { replay: ReplayMethod::Time { window_secs: 101 }, ..TBAR }, &[]).contains("1 and 100"));
    assert!(told(DataConfig { replay: ReplayMethod::Counter { window: 16 }, ..TBAR }, &[]).contains("32 and 1024"));
    let narrow = DataConfig { replay: ReplayMethod::None, d3p: Some(Duration::from_millis(999)), ..TBAR };
    assert!(told(narrow, &[]).contains("1000 and 100000"));
    // A server with the defect announces both, and a member refuses that.
    let mut config = ks_config(with(both));
    config.test.behaviour = behaviour(&[Defect::D3pCmdCoexist], &[]);
    let mut world = World::new(1);
    world.add_ks(config);
    world.add_gm(gm_config(0));
    world.run(secs(3));
    assert!(world.codes(1).contains("gdoi.gap.replay"), "{:?}", world.codes(1));
}

fn errors(world: &mut World, spi: u32) {
    let now = world.time();
    let Some(Node::Gm(gm)) = &mut world.nodes[1] else { panic!("a group member") };
    gm.data_plane_error(now, spi);
    world.run(Duration::from_millis(100));
}

fn recovering(group_spis: bool, servers: usize, defects: &[Defect]) -> World {
    let mut world = World::new(1);
    world.add_ks(ks_config(with(DataConfig { group_spis, ..DataConfig::default() })));
    let mut gm = gm_config(0);
    gm.servers = (0..servers).map(server).collect();
    gm.group.recovery_interval = Some(secs(100));
    gm.test.behaviour = behaviour(defects, &[]);
    world.add_gm(gm);
    world.run(secs(5));
    world
}

#[test]
fn an_unknown_spi_of_the_group_starts_one_registration_in_an_interval() {
    let mut world = recovering(true, 1, &[]);
    let tag = u32::from(group_tag(GROUP)) << 16;
    assert!(world.gm(1).sas.iter().all(|sa| sa.spi >> 16 == tag >> 16));
    // Somebody else's packets start nothing.
    for n in 0..100 {
        errors(&mut world, (tag ^ 0x1_0000) | n);
    }
    assert_eq!((world.gm(1).registrations, world.gm(1).recovery.executed), (1, 0));
    for n in 0..100 {
        errors(&mut world, tag | n);
    }
    assert_eq!((world.gm(1).registrations, world.gm(1).recovery.executed), (2, 1));
    assert_eq!(world.gm(1).recovery.postponed, 1);
    // The one that had to wait is not lost.
    world.run(secs(100));
    assert_eq!((world.gm(1).registrations, world.gm(1).recovery.executed), (3, 2));
    let line = world.events.iter().map(|(_, event)| event.to_string()).find(|line| line.contains("POSTPONED"));
    assert!(line.is_some_and(|line| line.starts_with("%GDOI-4-GM_RECOVERY_REGISTRATION_POSTPONED: group 1234")));
}

#[test]
fn recovery_begins_with_the_next_server_and_a_storm_knows_no_interval() {
    let mut world = recovering(true, 3, &[]);
    let since = world.now;
    errors(&mut world, u32::from(group_tag(GROUP)) << 16 | 7);
    let first = world.events.iter().find_map(|(_, event)| match &event.kind {
        EventKind::RegistrationStarted { server, reason: "recovery" } if event.at >= since => Some(*server),
        _ => None,
    });
    assert_eq!(first.map(|server| server.ip()), Some(ks_ip(1)));
    assert!(world.gm(1).registered, "keys stay meanwhile");
    let mut world = recovering(false, 1, &[Defect::RecoveryStorm]);
    for n in 0..10 {
        errors(&mut world, 0x7000_0000 + n);
        world.run(secs(1));
    }
    assert!(world.gm(1).registrations >= 10);
}

#[test]
fn each_defect_of_the_data_policy_shows() {
    let pushed = |defect: Defect, data: DataConfig| {
        let mut config = ks_config(with(data));
        config.groups[0].teks[0].acl = entries(&["deny icmp any any", "permit ip any any"]);
        config.test.behaviour = behaviour(&[defect], &[]);
        let mut world = World::new(1);
        world.add_ks(config);
        world.add_gm(gm_config(0));
        world.run(secs(9));
        let registered = world.gm(1);
        world.command(0, KsCommand::Rekey { group: GROUP });
        world.run(secs(1));
        let rekeyed = world.gm(1);
        assert_eq!((registered.registrations, rekeyed.rekeys_received), (1, 1), "{defect}");
        (registered, rekeyed)
    };
    let (_, rekeyed) = pushed(Defect::KsPseudotimeZero, TBAR);
    assert!(rekeyed.replay.pseudotime_secs.is_some_and(|secs| secs < 2.0));
    let (_, rekeyed) = pushed(Defect::KsPseudotimeFrozen, TBAR);
    assert!(rekeyed.replay.pseudotime_secs.is_some_and(|secs| secs < 2.0));
    let (registered, _) = pushed(Defect::KsPseudotimeWallclock, TBAR);
    assert!(registered.replay.pseudotime_secs.is_some_and(|secs| secs > 1e9));
    let (_, rekeyed) = pushed(Defect::KsPseudotimeMissingInPush, TBAR);
    assert_eq!(rekeyed.replay.time_syncs, 0);
    let (registered, rekeyed) =
        pushed(Defect::KsReceiveOnlyMissingInPush, DataConfig { receive_only: true, ..DataConfig::default() });
    assert_eq!((registered.direction, rekeyed.direction), (GroupDirection::ReceiveOnly, GroupDirection::Both));
    let (registered, _) = pushed(Defect::KsDenyOrderLost, TBAR);
    assert_eq!(registered.acl, ["permit ip 0.0.0.0/0 0.0.0.0/0", "deny icmp 0.0.0.0/0 0.0.0.0/0"]);
    let (registered, _) = pushed(Defect::KsDenyLeftOut, TBAR);
    assert_eq!(registered.acl, ["permit ip 0.0.0.0/0 0.0.0.0/0"]);
    let (registered, _) = pushed(Defect::TbarCounterCollision, TBAR);
    assert_eq!((registered.replay.method, registered.replay.window), ("counter", 64));
}

#[test]
fn a_member_that_does_not_follow_the_clock_keeps_its_own() {
    let mut world = World::new(1);
    world.add_ks(ks_config(with(TBAR)));
    world.add_gm(gm_config(1));
    world.run(secs(500));
    let mut gm = gm_config(0);
    gm.test.behaviour = behaviour(&[Defect::GmPseudotimeRegistrationIgnored], &[]);
    world.add_gm(gm);
    world.run(secs(5));
    assert!(ticks(&world, 1) - ticks(&world, 2) > 49_000);
    let mut world = World::new(1);
    world.add_ks(ks_config(with(TBAR)));
    let mut gm = gm_config(0);
    gm.test.behaviour = behaviour(&[Defect::GmPseudotimeRekeyIgnored], &[]);
    world.add_gm(gm);
    world.run(secs(2_000));
    assert!(world.gm(1).rekeys_received > 0);
    assert_eq!(world.gm(1).replay.time_syncs, 0);
}
