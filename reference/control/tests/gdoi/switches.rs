//! Every defect is consulted somewhere, and changes what can be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use hallmark_control::behaviour::{Behaviour, Defect};
use hallmark_control::config::{AckPolicy, DataTransform, GroupConfig, Transport};
use hallmark_control::{GmCommand, KsCommand};
use hallmark_core::{Datagram, Duration, Instant};
use hallmark_crypto::{CipherAlg, HashAlg};
use hallmark_wire::isakmp::{ExchangeType, Header};

use crate::world::*;

#[test]
fn every_defect_and_variant_of_the_tables_is_consulted_in_the_code() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut text = String::new();
    collect(&source, &mut text);
    let mut missing = BTreeSet::new();
    for defect in Defect::ALL {
        if !text.contains(&format!("Defect::{defect:?}")) {
            missing.insert(defect.name());
        }
    }
    for variant in hallmark_control::behaviour::Variant::ALL {
        if !text.contains(&format!("Variant::{variant:?}")) {
            missing.insert(variant.name());
        }
    }
    assert!(missing.is_empty(), "never consulted: {missing:?}");
}

fn collect(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("behaviour") || name.starts_with("tests") {
            continue;
        }
        if path.is_dir() {
            collect(&path, text);
        } else {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

/// A world in which some defects can be seen: what the nodes do by themselves, and what happens to them.
struct Stage {
    group: fn() -> GroupConfig,
    ks: &'static [Defect],
    gm: &'static [Defect],
    script: fn(&mut World),
}

#[test]
#[ignore = "discovery"]
fn discover() {
    let stages = stages();
    let mut plain: Vec<Option<String>> = stages.iter().map(|_| None).collect();
    let own = |defect: &&Defect| !defect.name().starts_with("ike_");
    for defect in Defect::ALL.iter().filter(own) {
        let start = std::time::Instant::now();
        let mut found = None;
        for (index, stage) in stages.iter().enumerate() {
            if plain[index].is_none() {
                plain[index] = Some(transcript(stage, None));
                eprintln!("stage {index} {:?}", start.elapsed());
            }
            let one = std::time::Instant::now();
            if Some(transcript(stage, Some(*defect))) != plain[index] {
                found = Some(index);
                break;
            }
            if one.elapsed().as_secs() > 5 {
                eprintln!("slow {index} {} {:?}", defect.name(), one.elapsed());
            }
        }
        eprintln!("FOUND {:?} {:?} {:?}", defect, found, start.elapsed());
    }
}

#[test]
fn every_defect_of_this_layer_changes_what_is_seen() {
    let stages = stages();
    let plain: Vec<String> = stages.iter().map(|stage| transcript(stage, None)).collect();
    let own = |defect: &&Defect| !defect.name().starts_with("ike_");
    let mut invisible = Vec::new();
    for defect in Defect::ALL.iter().filter(own) {
        let seen = stages.iter().zip(&plain).any(|(stage, plain)| transcript(stage, Some(*defect)) != *plain);
        if !seen {
            invisible.push(defect.name());
        }
    }
    assert!(invisible.is_empty(), "{} of them change nothing: {invisible:#?}", invisible.len());
}

/// Runs a stage and gives everything that can be seen of it, the list of switches excepted.
fn transcript(stage: &Stage, defect: Option<Defect>) -> String {
    let with = |base: &[Defect]| {
        let mut all = base.to_vec();
        all.extend(defect);
        behaviour(&all, &[])
    };
    let mut world = World::new(51);
    let mut config = ks_config((stage.group)());
    config.test.behaviour = with(stage.ks);
    let mut second = config.clone();
    second.listen[0].set_ip(ks_ip(1));
    world.add_ks(config);
    for index in 0..2 {
        let mut config = gm_config(index);
        config.servers.push(server(1));
        config.group.sender_ids = index as u16 * 3;
        config.group.unrequested_acks = AckPolicy::Cisco;
        config.test.behaviour = with(stage.gm);
        world.add_gm(config);
    }
    world.add_ks(second);
    (stage.script)(&mut world);
    let mut text = String::new();
    for seen in &world.seen {
        writeln!(text, "{} {:?} {:?}", seen.at, seen.datagram, seen.datagram.payload).unwrap();
    }
    for (node, event) in &world.events {
        writeln!(text, "{node} {} {event}", event.at).unwrap();
    }
    for node in [0, 3] {
        if world.nodes[node].is_some() {
            writeln!(text, "{:?}", world.ks(node).groups).unwrap();
        }
    }
    for node in [1, 2] {
        let status = world.gm(node);
        writeln!(text, "{:?} {:?} {:?} {}", status.sas, status.kek, status.sids, status.state).unwrap();
    }
    text
}

fn rsa_group() -> GroupConfig {
    group()
}

fn rich_group() -> GroupConfig {
    let mut config = group();
    config.sid_bits = Some(4);
    config.ack = AckPolicy::Any;
    config.atd_secs = 15;
    config.dtd_secs = 40;
    let mut second = tek("aes128-gcm16", None, 1_200);
    second.acl = vec!["permit tcp 10.3.0.0/16 any".parse().unwrap()];
    config.teks.push(second);
    if let Some(kek) = &mut config.kek {
        kek.sig_hash = HashAlg::Sha384;
    }
    config
}

fn lkh_group() -> GroupConfig {
    GroupConfig { lkh: true, ..group() }
}

fn cisco_group() -> GroupConfig {
    GroupConfig { ack: AckPolicy::Cisco, ..group() }
}

fn silent_group() -> GroupConfig {
    GroupConfig { ack: AckPolicy::None, ..group() }
}

fn multicast_group() -> GroupConfig {
    let mut config = group();
    if let Some(kek) = &mut config.kek {
        kek.transport = Transport::Multicast("239.1.1.1:848".parse().unwrap());
    }
    config
}

fn no_kek_group() -> GroupConfig {
    GroupConfig { kek: None, ..group() }
}

fn long_group() -> GroupConfig {
    let mut config = group();
    config.teks[0].lifetime = secs(100_000);
    if let Some(kek) = &mut config.kek {
        kek.lifetime = secs(200_000);
    }
    config
}

fn weak_group() -> GroupConfig {
    let mut config = group();
    if let Some(kek) = &mut config.kek {
        kek.cipher = CipherAlg::Des;
    }
    config
}

fn listed_group() -> GroupConfig {
    GroupConfig { members: vec![identity(0)], ..group() }
}

fn large_group() -> GroupConfig {
    let mut config = group();
    config.teks[0].acl =
        (0..60).map(|net| format!("permit ip 10.{net}.0.0/16 any").parse().unwrap()).collect();
    config
}

/// Everything that a peaceful day has.
fn a_day(world: &mut World) {
    world.run(secs(5));
    for command in [
        KsCommand::Rekey { group: GROUP },
        KsCommand::RekeyKek { group: GROUP },
        KsCommand::RekeyReplaceNow { group: GROUP },
        KsCommand::Rekey { group: GROUP },
    ] {
        world.command(0, command);
        world.run(secs(30));
    }
    world.run(secs(3_600));
    let name = identity(1).to_string();
    let _ = world.try_command(0, KsCommand::RemoveMember { group: GROUP, identity: name });
    world.run(secs(20));
    world.command(0, KsCommand::ClearMembers { group: GROUP, now: false });
    world.run(secs(300));
    world.command(0, KsCommand::ClearMembers { group: GROUP, now: true });
    world.run(secs(60));
    world.gm_command(1, GmCommand::Register);
    world.run(secs(5));
}

/// Messages of a registration get lost.
fn lossy_registration(world: &mut World) {
    let mut count = BTreeMap::new();
    world.fate = Box::new(move |datagram| {
        let pull = Header::decode(&datagram.payload).is_ok_and(|header| header.exchange == ExchangeType::PULL);
        let seen = count.entry(datagram.src.ip()).or_insert(0);
        *seen += usize::from(pull);
        // Each side loses its first message of the exchange, and the server its second and third.
        !pull || *seen > if datagram.src.ip() == ks_ip(0) { 4 } else { 1 }
    });
    world.run(secs(40));
    world.gm_command(1, GmCommand::Register);
    world.run(secs(20));
}

/// The server's M4 is lost and never comes.
fn broken_registration(world: &mut World) {
    world.run(secs(5));
    world.fate = Box::new(|datagram| {
        let pull = Header::decode(&datagram.payload).is_ok_and(|header| header.exchange == ExchangeType::PULL);
        !(pull && (datagram.src.ip() == ks_ip(0) || datagram.src.ip() == ks_ip(1)))
    });
    world.gm_command(1, GmCommand::Register);
    world.run(secs(400));
}

/// The members' acknowledgements are lost for hours.
fn silence(world: &mut World) {
    world.run(secs(800));
    world.fate = Box::new(|datagram| {
        let ack = Header::decode(&datagram.payload).is_ok_and(|header| header.exchange == ExchangeType::PUSH_ACK);
        !ack || datagram.src.ip() != gm_ip(0)
    });
    world.run(secs(6_000));
}

/// The first acknowledgement of each PUSH is lost, and a late one comes back.
fn late_acks(world: &mut World) {
    world.run(secs(5));
    let mut count = 0;
    world.fate = Box::new(move |datagram| {
        let ack = Header::decode(&datagram.payload).is_ok_and(|header| header.exchange == ExchangeType::PUSH_ACK);
        count += usize::from(ack);
        !ack || count > 2
    });
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(60));
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(1));
    let acks: Vec<_> = world.acks(Instant::ZERO).iter().map(|seen| seen.datagram.clone()).collect();
    for mut ack in acks {
        world.inject(ack.clone());
        ack.payload[40] ^= 1;
        world.inject(ack.clone());
        let last = ack.payload.len() - 13;
        ack.payload[last] ^= 0x10;
        world.inject(ack);
    }
    world.run(secs(5));
}

/// PUSH messages never arrive.
fn no_pushes(world: &mut World) {
    world.fate = Box::new(|datagram| {
        Header::decode(&datagram.payload).is_ok_and(|header| header.exchange != ExchangeType::PUSH)
    });
    world.run(secs(8_000));
}

/// PUSH messages arrive changed, copied, late and out of order.
fn tampered_pushes(world: &mut World) {
    world.run(secs(5));
    let start = world.now;
    world.fate = Box::new(|datagram| {
        Header::decode(&datagram.payload).is_ok_and(|header| header.exchange != ExchangeType::PUSH)
    });
    for _ in 0..3 {
        world.command(0, KsCommand::Rekey { group: GROUP });
    }
    world.command(0, KsCommand::RekeyKek { group: GROUP });
    world.run(secs(1));
    world.fate = Box::new(|_| true);
    let pushes: Vec<_> = world
        .pushes(start)
        .into_iter()
        .map(|seen| seen.datagram.clone())
        .filter(|datagram| datagram.dst.ip() == gm_ip(0))
        .collect();
    let changed = |index: usize, octet: usize, mask: u8| {
        let mut datagram = pushes[index].clone();
        datagram.payload[octet] ^= mask;
        datagram
    };
    // Cookies, flags, message id, content, and one with all of them unknown.
    for (octet, mask) in [(9, 1), (19, 1), (19, 2), (23, 1), (200, 1), (0, 1)] {
        world.inject(changed(1, octet, mask));
        world.run(secs(1));
    }
    // Numbers 2, 1, 2, 3, 3, then 1 and the one that changes the KEK, then 2 again.
    for index in [1, 0, 1, 2, 2, 0, 3, 1] {
        world.inject(pushes[index].clone());
        world.run(secs(1));
    }
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(30));
}

/// Nobody answers but the second server, which comes late.
fn dead_servers(world: &mut World) {
    world.stop(0);
    let held = world.nodes[3].take();
    world.run(secs(400));
    world.nodes[3] = held;
    world.run(secs(200));
}

/// Authorization changes while the members try.
fn authorization(world: &mut World) {
    world.run(secs(60));
    world.command(0, KsCommand::Revoke { group: GROUP, identity: identity(0) });
    world.gm_command(1, GmCommand::ClearSa);
    world.run(secs(60));
}

/// Authorization is withdrawn between M1 and M3.
fn late_revocation(world: &mut World) {
    world.run(Duration::from_millis(37));
    world.command(0, KsCommand::Revoke { group: GROUP, identity: identity(0) });
    world.run(secs(60));
}

/// A member asks for a group with another identifier.
fn wrong_group(world: &mut World) {
    for (member, id) in [(0, 77), (1, GROUP.swap_bytes())] {
        let mut config = gm_config(member);
        config.group.id = id;
        config.test.behaviour = match &world.nodes[1 + member] {
            Some(Node::Gm(gm)) => gm.config().test.behaviour.clone(),
            _ => Behaviour::conforming(),
        };
        world.add_gm(config);
    }
    world.run(secs(30));
}

/// The phase 1 SAs end while keys are in use.
fn short_phase1(world: &mut World) {
    world.run(secs(5));
    for node in [1, 2] {
        let now = world.time();
        let Some(Node::Gm(gm)) = &mut world.nodes[node] else { continue };
        let _ = gm.handle_datagram(now, &Datagram::new(gm_address(), gm_address(), vec![0; 28]));
    }
    world.command(0, KsCommand::Shutdown);
    world.run(secs(100));
}

fn gm_address() -> SocketAddr {
    SocketAddr::new(gm_ip(0), 848)
}

/// The group changes to counter modes after the members registered.
fn new_counter_mode(world: &mut World) {
    world.run(secs(5));
    let mut config = rsa_group();
    config.sid_bits = Some(8);
    config.teks[0] = tek("aes128-gcm16", None, 900);
    world.command(0, KsCommand::ReplacePolicy { group: GROUP, config: Box::new(config) });
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(30));
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(30));
}

/// Members come back often enough to use up sender ids.
fn many_registrations(world: &mut World) {
    world.run(secs(5));
    for round in 0..12 {
        world.gm_command(1 + round % 2, GmCommand::Register);
        world.run(secs(10));
    }
}

/// Members are removed one after the other from a tree of many.
fn removals(world: &mut World) {
    let behaviour = match &world.nodes[1] {
        Some(Node::Gm(gm)) => gm.config().test.behaviour.clone(),
        _ => Behaviour::conforming(),
    };
    for index in 2..7 {
        let mut config = gm_config(index);
        config.test.behaviour = behaviour.clone();
        world.add_gm(config);
    }
    world.run(secs(5));
    for index in [3, 0, 5] {
        let start = world.now;
        let name = identity(index).to_string();
        let _ = world.try_command(0, KsCommand::RemoveMember { group: GROUP, identity: name });
        world.run(secs(2));
        // The removed one overhears what went to another.
        let overheard: Vec<_> = world.pushes(start).into_iter().map(|seen| seen.datagram.clone()).collect();
        for mut datagram in overheard {
            datagram.dst.set_ip(gm_ip(index));
            world.inject(datagram);
        }
        world.run(secs(10));
    }
    world.command(0, KsCommand::RekeyKek { group: GROUP });
    world.run(secs(20));
}

fn strict_member(world: &mut World) {
    for index in 0..2 {
        let mut config = match &world.nodes[1 + index] {
            Some(Node::Gm(gm)) => gm.config().clone(),
            _ => gm_config(index),
        };
        config.group.acceptable_transforms = vec![DataTransform::from_names("ah", "hmac-sha256", None).unwrap()];
        world.add_gm(config);
    }
    world.run(secs(100));
}

/// The server restarts, and its members notice only when they ask.
fn restart(world: &mut World) {
    world.run(secs(5));
    let config = match &world.nodes[0] {
        Some(Node::Ks(ks)) => ks.config().clone(),
        _ => unreachable!("node 0 is a key server"),
    };
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(5));
    let _ = config;
    world.gm_command(1, GmCommand::Register);
    world.run(secs(30));
}

/// A registration that finds the same KEK, with an M4 from before the latest PUSH.
fn overtaken_registration(world: &mut World) {
    world.run(secs(5));
    let start = world.now;
    world.fate = Box::new(|datagram| {
        let pull = Header::decode(&datagram.payload).is_ok_and(|header| header.exchange == ExchangeType::PULL);
        !(pull && datagram.src.ip() == ks_ip(0) && datagram.payload.len() > 300 && datagram.dst.ip() == gm_ip(0))
    });
    world.gm_command(1, GmCommand::Register);
    world.run(Duration::from_millis(200));
    world.fate = Box::new(|_| true);
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(Duration::from_millis(200));
    let held: Vec<_> = world
        .of(ExchangeType::PULL, start)
        .into_iter()
        .filter(|seen| seen.dropped)
        .map(|seen| seen.datagram.clone())
        .collect();
    for datagram in held {
        world.inject(datagram);
    }
    let push: Vec<_> = world
        .pushes(start)
        .into_iter()
        .filter(|seen| seen.datagram.dst.ip() == gm_ip(0))
        .map(|seen| seen.datagram.clone())
        .collect();
    world.run(secs(3));
    for datagram in push {
        world.inject(datagram);
    }
    world.run(secs(30));
}

/// The members are too old for what the group wants.
fn old_members(world: &mut World) {
    for index in 0..2 {
        let mut config = match &world.nodes[1 + index] {
            Some(Node::Gm(gm)) => gm.config().clone(),
            _ => gm_config(index),
        };
        config.group.version = None;
        world.add_gm(config);
    }
    world.run(secs(10));
    world.run(secs(200));
}

fn stages() -> Vec<Stage> {
    vec![
        Stage { group: rich_group, ks: &[], gm: &[], script: a_day },
        Stage { group: rsa_group, ks: &[], gm: &[], script: a_day },
        Stage { group: lkh_group, ks: &[], gm: &[], script: a_day },
        Stage { group: multicast_group, ks: &[], gm: &[], script: a_day },
        Stage { group: cisco_group, ks: &[], gm: &[], script: a_day },
        Stage { group: silent_group, ks: &[], gm: &[], script: a_day },
        Stage { group: no_kek_group, ks: &[], gm: &[], script: no_pushes },
        Stage { group: long_group, ks: &[], gm: &[], script: old_members },
        Stage { group: large_group, ks: &[], gm: &[], script: a_day },
        Stage { group: rsa_group, ks: &[], gm: &[], script: lossy_registration },
        Stage { group: rsa_group, ks: &[], gm: &[], script: broken_registration },
        Stage { group: rsa_group, ks: &[], gm: &[], script: silence },
        Stage { group: rsa_group, ks: &[], gm: &[], script: late_acks },
        Stage { group: rsa_group, ks: &[], gm: &[], script: no_pushes },
        Stage { group: rsa_group, ks: &[], gm: &[], script: tampered_pushes },
        Stage { group: rsa_group, ks: &[], gm: &[], script: dead_servers },
        Stage { group: rsa_group, ks: &[], gm: &[], script: late_revocation },
        Stage { group: rsa_group, ks: &[], gm: &[], script: wrong_group },
        Stage { group: rsa_group, ks: &[], gm: &[], script: short_phase1 },
        Stage { group: rsa_group, ks: &[], gm: &[], script: new_counter_mode },
        Stage { group: rsa_group, ks: &[], gm: &[], script: restart },
        Stage { group: rsa_group, ks: &[], gm: &[], script: overtaken_registration },
        Stage { group: rsa_group, ks: &[], gm: &[], script: strict_member },
        Stage { group: lkh_group, ks: &[], gm: &[], script: late_acks },
        Stage { group: cisco_group, ks: &[], gm: &[], script: late_acks },
        Stage { group: cisco_group, ks: &[], gm: &[], script: silence },
        Stage { group: multicast_group, ks: &[], gm: &[], script: silence },
        Stage { group: silent_group, ks: &[], gm: &[], script: late_acks },
        Stage { group: listed_group, ks: &[], gm: &[], script: authorization },
        Stage { group: weak_group, ks: &[], gm: &[], script: strict_member },
        Stage { group: rich_group, ks: &[], gm: &[], script: many_registrations },
        Stage { group: rich_group, ks: &[], gm: &[], script: lossy_registration },
        Stage { group: lkh_group, ks: &[], gm: &[], script: removals },
        Stage { group: rich_group, ks: &[Defect::KsHash2WithoutNi], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsHash4NoncesSwapped], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsNonceShort], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsSaOrderWrong], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsSaDoiOne], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsSaSituationOne], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsUnknownKekAttribute], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsKdOldSpi], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsGcmWithoutSalt], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsMacKeyClassWrong], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsSeqMissing], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsM4SeqZero], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsSidInPush], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsPushUnsigned], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsSigBareDigest], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsKekPushWithoutSak], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsPushTekWithoutKey], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsTekPacketMissing], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsSequenceRepeats], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsSequenceSkips], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsKekseqReset], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsSigMissingPrefix], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsPushFlagsExtra], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsPushMessageIdSet], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsDeleteDoiOne], gm: &[], script: a_day },
        Stage { group: lkh_group, ks: &[Defect::KsLkhDownloadInPush], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsKdCountWrong], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsCleanSlateKeepsKek], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsSidPacketHasSpi], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsKekRekeyUnderNewKek], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[Defect::KsM2ChangesOnRepeat], gm: &[], script: a_day },
        Stage { group: rich_group, ks: &[], gm: &[Defect::GmHash3LeadingZero], script: a_day },
        Stage { group: rich_group, ks: &[], gm: &[Defect::GmGapUnhashed], script: a_day },
        Stage { group: rich_group, ks: &[], gm: &[Defect::GmNonceShort], script: a_day },
        Stage { group: rich_group, ks: &[], gm: &[Defect::GmIdOctetsNonzero], script: a_day },
        Stage { group: rich_group, ks: &[], gm: &[Defect::GmGroupIdLittleEndian], script: a_day },
        Stage { group: rich_group, ks: &[], gm: &[Defect::GmMessageIdReused], script: a_day },
        Stage { group: rich_group, ks: &[], gm: &[Defect::GmIdIsOwnAddress], script: a_day },
        Stage { group: rsa_group, ks: &[], gm: &[Defect::GmAckWrongSeq], script: late_acks },
        Stage { group: rsa_group, ks: &[], gm: &[Defect::GmAckIdentityWrong], script: late_acks },
    ]
}
