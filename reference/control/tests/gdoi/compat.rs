//! Compatibility with the implementation of 2011: every switch with both sides in its dialect.

use hallmark_control::KsCommand;
use hallmark_control::config::{Compat, GroupConfig};
use hallmark_core::Instant;

use crate::world::*;

fn run(config: GroupConfig, ks: Compat, gm: Compat) -> World {
    let mut world = World::new(41);
    let mut ks_config = ks_config(config);
    ks_config.peers[0].compat = ks;
    world.add_ks(ks_config);
    let mut config = gm_config(0);
    config.servers[0].compat = gm;
    world.add_gm(config);
    world.run(secs(5));
    for command in [
        KsCommand::Rekey { group: GROUP },
        KsCommand::RekeyKek { group: GROUP },
        KsCommand::Rekey { group: GROUP },
        KsCommand::RekeyReplaceNow { group: GROUP },
    ] {
        world.command(0, command);
        world.run(secs(1));
    }
    world
}

fn mixed_group() -> GroupConfig {
    let mut config = group();
    config.sid_bits = Some(16);
    config.teks.push(tek("aes128-gcm16", None, 900));
    config
}

#[test]
fn every_switch_works_when_both_sides_have_it() {
    for (switch, name) in Compat::ALL {
        let world = run(mixed_group(), *switch, *switch);
        let status = world.gm(1);
        assert!(status.registered, "{name}: {:?} {:?}", world.codes(0), world.codes(1));
        assert_eq!(status.rekeys_received, 4, "{name}: {:?}", world.codes(1));
        assert_eq!(status.sas[0].selectors, ["ip 10.1.0.0/16 10.2.0.0/16"], "{name}");
        assert_eq!(status.sids, [0], "{name}");
        assert_eq!(world.ks(0).common.compat.values().next(), Some(&vec![*name]));
    }
}

#[test]
fn all_switches_of_the_2011_implementation_work_together() {
    let all = Compat::ALL.iter().filter(|(_, name)| *name != "doi1").fold(Compat::NONE, |all, (one, _)| all.with(*one));
    let world = run(mixed_group(), all, all);
    assert_eq!(world.gm(1).rekeys_received, 4, "{:?}", world.codes(1));
    // The count goes on under the new KEK: 1, 2, then 3 and 4.
    assert_eq!(world.gm(1).kek.map(|kek| kek.sequence), Some(4));
    assert_eq!(world.ks(0).common.compat.values().next().map(Vec::len), Some(Compat::ALL.len() - 1));
}

#[test]
fn a_strict_member_refuses_what_the_switches_tolerate() {
    for (switch, code) in [
        (Compat::SAK_SIX_RESERVED, "isakmp.attribute"),
        (Compat::SIG_BARE_DIGEST, "gdoi.push.signature"),
        (Compat::KD_OLD_SPI, "gdoi.kd.kek-spi"),
        (Compat::KEK_LIFETIME_TV, "gdoi.sak.lifetime"),
        (Compat::SAK_IN_TEK_PUSH, "gdoi.sak.spi-kept"),
        (Compat::SID_LITTLE_ENDIAN, ""),
    ] {
        let world = run(mixed_group(), switch, Compat::NONE);
        let codes = world.codes(1);
        assert!(
            codes.iter().any(|given| given.starts_with(code))
                || code == "isakmp.attribute" && !codes.is_empty()
                || code.is_empty(),
            "{:?}: {codes:?}",
            switch.names()
        );
    }
    let world = run(group(), Compat::NONE, Compat::KEY_ID_LITTLE_ENDIAN);
    assert!(world.codes(0).contains("gdoi.pull.group-unknown"));
}

#[test]
fn one_push_speaks_to_each_member_in_its_own_dialect() {
    let mut world = World::new(42);
    let mut config = ks_config(group());
    let mut odd = config.peers[0].clone();
    odd.rule.network = gm_ip(0);
    odd.rule.prefix = 32;
    odd.compat = Compat::SIG_BARE_DIGEST.with(Compat::SAT_ADDRESSES_REVERSED);
    config.peers.push(odd);
    world.add_ks(config);
    for index in 0..2 {
        let mut config = gm_config(index);
        if index == 0 {
            config.servers[0].compat = Compat::SIG_BARE_DIGEST.with(Compat::SAT_ADDRESSES_REVERSED);
        }
        world.add_gm(config);
    }
    world.run(secs(5));
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(1));
    for gm in 1..=2 {
        assert_eq!(world.gm(gm).rekeys_received, 1, "{:?}", world.codes(gm));
        assert!(world.gm(gm).sas.iter().all(|sa| sa.selectors == ["ip 10.1.0.0/16 10.2.0.0/16"]));
    }
    let pushes = world.pushes(Instant::ZERO);
    assert_ne!(pushes[0].datagram.payload, pushes[1].datagram.payload);
    assert_eq!(pushes[0].header().cookies(), pushes[1].header().cookies());
}

#[test]
fn a_window_takes_each_number_once() {
    let mut world = World::new(43);
    world.add_ks(ks_config(group()));
    let mut config = gm_config(0);
    config.servers[0].compat = Compat::SEQ_WINDOW_32;
    world.add_gm(config);
    world.run(secs(5));
    // The second PUSH overtakes the first.
    let start = world.now;
    world.fate = Box::new(|datagram| {
        hallmark_wire::isakmp::Header::decode(&datagram.payload).unwrap().exchange
            != hallmark_wire::isakmp::ExchangeType::PUSH
    });
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.fate = Box::new(|_| true);
    let pushes: Vec<_> = world.pushes(start).into_iter().map(|seen| seen.datagram.clone()).collect();
    for index in [1, 0] {
        world.inject(pushes[index].clone());
        world.run(secs(1));
    }
    assert_eq!(world.gm(1).rekeys_received, 2);
    assert_eq!(world.gm(1).kek.map(|kek| kek.sequence), Some(2));
}
