//! Every defect is consulted somewhere, and changes what can be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use hallmark_control::behaviour::{Behaviour, Defect};
use hallmark_control::code;
use hallmark_control::config::{AckPolicy, DataTransform, GroupConfig, Transport};
use hallmark_control::{GmCommand, KsCommand};
use hallmark_core::switch::Switch;
use hallmark_core::{Duration, Instant};
use hallmark_crypto::{CipherAlg, HashAlg};
use hallmark_wire::isakmp::{ExchangeType, Header, IdType, Identification};

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
    /// The defects that show here, by name.
    shows: &'static str,
}

#[test]
fn the_defects_of_this_layer_change_what_is_seen() {
    let stages = stages();
    let halves: Vec<&[Stage]> = stages.chunks(stages.len().div_ceil(4)).collect();
    let results: Vec<(Vec<&str>, BTreeSet<String>)> = std::thread::scope(|scope| {
        let running: Vec<_> = halves.into_iter().map(|half| scope.spawn(|| invisible(half))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let invisible: Vec<&str> = results.iter().flat_map(|(names, _)| names.clone()).collect();
    assert!(invisible.is_empty(), "{} of them change nothing: {invisible:#?}", invisible.len());
    // What the unit tests of the readers do not give must come up here or in another test of this folder.
    let given: BTreeSet<&str> = results.iter().flat_map(|(_, codes)| codes.iter().map(String::as_str)).collect();
    let tests = sources(&[
        "src/crafted.rs",
        "src/group_member/tests.rs",
        "src/group_member/captures.rs",
        "src/push.rs",
        "tests/gdoi",
    ]);
    let missing: Vec<&str> = code::ALL
        .iter()
        .map(|(code, _)| code.as_str())
        .filter(|code| !BEHIND_OTHERS.contains(code))
        .filter(|code| !given.contains(code) && !tests.contains(&format!("\"{code}\"")) && !named(&tests, code))
        .collect();
    assert!(missing.is_empty(), "codes that no input gives: {missing:#?}");
}

/// Codes of checks behind checks of phase 1 that let nothing of the kind through.
const BEHIND_OTHERS: &[&str] = &["gdoi.pull.doi", "gdoi.pull.cipher"];

/// Tells whether a test names a code by its constant.
fn named(tests: &str, code: &str) -> bool {
    let constants = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/code.rs")).unwrap();
    let line = constants.lines().find(|line| line.contains(&format!("\"{code}\""))).unwrap_or_default();
    let name = line.split_whitespace().next().unwrap_or("?");
    tests.contains(&format!("Err(code::{name})"))
        || tests.contains(&format!("(code::{name},"))
        || tests.contains(&format!("Some(code::{name})"))
        || tests.contains(&format!("[code::{name}"))
        || tests.contains(&format!(", code::{name}]"))
        || tests.contains(&format!("(code::{name})"))
}

fn sources(paths: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    for path in paths.iter().map(|path| root.join(path)) {
        if path.is_dir() {
            collect(&path, &mut text);
        } else {
            let file = std::fs::read_to_string(path).unwrap();
            // Of a source file only its tests count.
            let tests = file.find("mod tests {").map_or(file.as_str(), |start| &file[start..]);
            text.push_str(tests);
        }
    }
    text
}

/// Gives the defects that stages should show and do not, and the codes of everything that was refused.
fn invisible(stages: &[Stage]) -> (Vec<&'static str>, BTreeSet<String>) {
    let (mut names, mut codes) = (Vec::new(), BTreeSet::new());
    for stage in stages {
        let plain = transcript(stage, None);
        collect_codes(&plain, &mut codes);
        for name in stage.shows.split_whitespace() {
            let changed = transcript(stage, Some(Defect::from_name(name).expect(name)));
            collect_codes(&changed, &mut codes);
            if changed == plain {
                names.push(name);
            }
        }
    }
    (names, codes)
}

fn collect_codes(text: &str, codes: &mut BTreeSet<String>) {
    for rest in text.split("refused: ").skip(1) {
        let code = rest.split([' ', ',', '\n']).next().unwrap_or_default();
        if !codes.contains(code) {
            codes.insert(code.to_owned());
        }
    }
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
        if world.nodes[node].is_none() {
            continue;
        }
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
    config.teks[0].acl = (0..60).map(|net| format!("permit ip 10.{net}.0.0/16 any").parse().unwrap()).collect();
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
    let inside_signature = pushes[1].payload.len() - 60;
    world.inject(changed(1, inside_signature, 1));
    world.run(secs(1));
    // Numbers 2, 1, 2, 3, 3, then 1 and the one that changes the KEK, then 2 again.
    for index in [1, 0, 1, 2, 2, 0, 3, 1] {
        world.inject(pushes[index].clone());
        world.run(secs(1));
    }
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(30));
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
    world.command(0, KsCommand::Shutdown);
    world.run(secs(100));
}

fn sid_group() -> GroupConfig {
    GroupConfig { sid_bits: Some(8), ..group() }
}

/// The group changes to counter modes after the members registered.
fn new_counter_mode(world: &mut World) {
    world.run(secs(5));
    let mut config = sid_group();
    config.teks[0] = tek("aes128-gcm16", None, 900);
    world.command(0, KsCommand::ReplacePolicy { group: GROUP, config: Box::new(config) });
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(30));
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(30));
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

/// One message of the first registration arrives with a changed octet behind its HASH.
fn garbled(world: &mut World, message: usize) {
    let mut count = 0;
    world.fate = Box::new(move |datagram| {
        let pull = Header::decode(&datagram.payload).is_ok_and(|header| header.exchange == ExchangeType::PULL);
        count += usize::from(pull);
        // CBC: the block that holds the octet breaks, and the same octet of the next block changes.
        if pull && count == message {
            datagram.payload[28 + 24] ^= 1;
        }
        true
    });
    world.stop(2);
    world.run(secs(3));
}

/// One rekey, seen while both generations are alive.
fn one_rekey(world: &mut World) {
    world.run(secs(5));
    world.command(0, KsCommand::Rekey { group: GROUP });
    world.run(secs(5));
}

fn garbled_m1(world: &mut World) {
    garbled(world, 1);
}

fn garbled_m2(world: &mut World) {
    garbled(world, 2);
}

fn garbled_m3(world: &mut World) {
    garbled(world, 3);
}

fn garbled_m4(world: &mut World) {
    garbled(world, 4);
}

/// A member that the list knows by its address comes with another identity.
fn borrowed_identity(world: &mut World) {
    let name = Identification::new(IdType::FQDN, b"gm.example".to_vec());
    for node in [0, 3] {
        let Some(Node::Ks(ks)) = &world.nodes[node] else { continue };
        let mut config = ks.config().clone();
        config.peers[0].rule.identities = vec![name.clone()];
        world.add_ks(config);
    }
    let Some(Node::Gm(gm)) = &world.nodes[1] else { return };
    let mut config = gm.config().clone();
    config.phase1.identity = Some(name);
    world.add_gm(config);
    world.run(secs(20));
}

fn stages() -> Vec<Stage> {
    vec![
        Stage {
            group: rich_group,
            ks: &[],
            gm: &[],
            script: a_day,
            shows: "gm_ack_flags_set gm_ack_id_port_set gm_ack_identity_wrong gm_ack_late gm_ack_message_id_set \
                gm_ack_missing gm_ack_new_kek gm_ack_not_for_delete gm_ack_source_port gm_ack_twice \
                gm_ack_wrong_seq gm_delete_kek_ignored \
                gm_delete_not_shortened gm_delete_zero_ignored gm_deletes_after_installing \
                gm_forgets_kek_without_sak gm_gap_unhashed gm_group_id_little_endian gm_hash3_leading_zero \
                gm_id_is_own_address gm_id_octets_nonzero gm_kek_only_refused gm_message_id_reused \
                gm_never_reregisters gm_no_reregister_on_delete gm_nonce_reused \
                gm_nonce_short gm_registers_without_spread gm_reregisters_late gm_sender_id_request_missing \
                gm_seq_global gm_server_order_ignored gm_unknown_delete_refused ks_ack_hash_new_only \
                ks_ack_late_ignored ks_ack_request_missing_in_push ks_clean_slate_keeps_kek \
                ks_commit_flag_set ks_copies_after_ack ks_delete_carries_sa ks_delete_doi_one \
                ks_delete_kek_protocol_one ks_delete_mixed ks_duplicate_members ks_gcm_without_salt \
                ks_group_description_sent ks_hash2_without_ni ks_hash3_skips_gap ks_hash4_nonces_swapped \
                ks_hash_covers_padding ks_hash_truncated ks_iv_not_chained ks_kd_count_wrong ks_kd_old_spi \
                ks_kek_at_expiry ks_kek_key_before_iv ks_kek_length_counts_iv ks_kek_lifetime_truncated \
                ks_kek_push_without_key ks_kek_push_without_sak ks_kek_rekey_under_new_kek \
                ks_kek_sequence_starts_at_two ks_kekseq_reset ks_keys_survive_restart ks_lead_ignores_copies \
                ks_m4_in_clear ks_m4_kd_before_seq ks_m4_kek_missing ks_m4_repeated ks_m4_seq_next \
                ks_m4_seq_zero ks_mac_key_class_wrong ks_management_algorithm_in_pull ks_nonce_reused \
                ks_nonce_short ks_old_teks_not_shortened ks_one_pull_at_a_time ks_pull_advances_sequence \
                ks_push_cookies_swapped ks_push_extra_padding ks_push_first_member_only ks_push_flags_extra \
                ks_push_iv_chained ks_push_message_id_set ks_push_padding_random ks_push_tek_without_key \
                ks_push_unsigned ks_push_wrong_order ks_push_wrong_source ks_removal_in_one_push \
                ks_removal_keeps_kek ks_replace_now_keeps_old ks_sa_doi_one ks_sa_order_wrong \
                ks_sa_situation_one ks_sak_algorithm_missing ks_sak_sig_algorithm_missing \
                ks_sak_six_reserved ks_sender_id_request_ignored ks_seq_missing ks_seq_restart_on_failover \
                ks_sequence_per_member ks_sequence_repeats ks_sequence_skips ks_sid_before_m3 \
                ks_sid_bits_missing ks_sid_in_push ks_sid_packet_has_spi ks_sid_packet_missing ks_sid_reused \
                ks_sid_wraps ks_sig_bare_digest ks_sig_hash_sha1 ks_sig_missing_header ks_sig_missing_prefix \
                ks_signs_flags_clear ks_signs_padded_length ks_state_before_m3 ks_tek_key_reused \
                ks_tek_key_twice ks_tek_lifetime_whole ks_tek_packet_missing ks_tek_rekey_late \
                ks_tek_spi_shared ks_two_kek_packets ks_unknown_kek_attribute no_rsa_key \
                sighash_default_only standards_ack_ignored",
        },
        Stage { group: rsa_group, ks: &[], gm: &[], script: a_day, shows: "gm_old_kek_clock" },
        Stage {
            group: lkh_group,
            ks: &[],
            gm: &[],
            script: a_day,
            shows: "gm_ack_leaf_ignored gm_cookies_ignored ks_ack_hash_unchecked ks_lkh_download_in_push \
                ks_lkh_handle_kept ks_lkh_removed_kept ks_lkh_root_first ks_lkh_sig_class_two \
                ks_lkh_version_zero ks_retransmit_changes ks_unicast_no_copies recovery_storm",
        },
        Stage {
            group: multicast_group,
            ks: &[],
            gm: &[],
            script: a_day,
            shows: "gm_multicast_not_followed gm_no_seqcheck ks_mcast_no_copies",
        },
        Stage {
            group: cisco_group,
            ks: &[],
            gm: &[],
            script: a_day,
            shows: "gm_encrypted_ack_old_kek retransmit_not_reacked",
        },
        Stage { group: silent_group, ks: &[], gm: &[], script: a_day, shows: "gm_ack_unrequested" },
        Stage { group: no_kek_group, ks: &[], gm: &[], script: no_pushes, shows: "ks_seq_without_sak" },
        Stage {
            group: long_group,
            ks: &[],
            gm: &[],
            script: old_members,
            shows: "gm_never_retransmits gm_no_back_off gm_no_failover gm_retransmit_changes \
                long_sa_gate_missing",
        },
        Stage { group: large_group, ks: &[], gm: &[], script: a_day, shows: "frag_reasm ks_policy_truncated" },
        Stage {
            group: rsa_group,
            ks: &[],
            gm: &[],
            script: lossy_registration,
            shows: "ks_m2_changes_on_repeat ks_m2_not_retransmitted",
        },
        Stage {
            group: rsa_group,
            ks: &[],
            gm: &[],
            script: broken_registration,
            shows: "gm_drops_sas_on_failure ks_open_pulls_kept",
        },
        Stage {
            group: rsa_group,
            ks: &[],
            gm: &[],
            script: silence,
            shows: "gm_no_kek_timer gm_removed_on_retransmit ks_mcast_removes_silent ks_never_removes \
                ks_removed_stays_out",
        },
        Stage { group: rsa_group, ks: &[], gm: &[], script: late_acks, shows: "ks_ack_unknown_counted" },
        Stage { group: rsa_group, ks: &[], gm: &[], script: no_pushes, shows: "gm_pull_sequence_ignored" },
        Stage {
            group: rsa_group,
            ks: &[],
            gm: &[],
            script: tampered_pushes,
            shows: "gm_ack_after_bad_sig gm_answers_bad_push gm_cookie_prefix_match gm_deaf_after_bad_sig \
                gm_old_kek_accepted gm_push_clear_accepted gm_push_flags_ignored gm_push_message_id_ignored \
                gm_seq_gap_refused gm_seq_window",
        },
        Stage {
            group: rsa_group,
            ks: &[],
            gm: &[],
            script: late_revocation,
            shows: "ks_authorization_cached ks_authorization_unchecked",
        },
        Stage {
            group: rsa_group,
            ks: &[],
            gm: &[],
            script: wrong_group,
            shows: "ks_group_byte_order_guessed ks_unknown_group_served",
        },
        Stage { group: rsa_group, ks: &[], gm: &[], script: short_phase1, shows: "gdoi_idle_required" },
        Stage {
            group: sid_group,
            ks: &[],
            gm: &[],
            script: new_counter_mode,
            shows: "gm_installs_counter_without_sid",
        },
        Stage { group: rsa_group, ks: &[], gm: &[], script: overtaken_registration, shows: "gm_pull_lowers_sequence" },
        Stage {
            group: rsa_group,
            ks: &[],
            gm: &[],
            script: strict_member,
            shows: "gm_accepts_any_transform gm_partial_install gm_refusal_silent suiteb_reregister_loop",
        },
        Stage { group: weak_group, ks: &[], gm: &[], script: strict_member, shows: "gm_accepts_any_kek" },
        Stage {
            group: lkh_group,
            ks: &[],
            gm: &[],
            script: removals,
            shows: "gm_lkh_first_array_only gm_lkh_inner_keys_forgotten gm_seq_before_sig",
        },
        Stage {
            group: rich_group,
            ks: &[Defect::KsHash2WithoutNi],
            gm: &[],
            script: a_day,
            shows: "gm_hash2_unchecked",
        },
        Stage {
            group: rich_group,
            ks: &[Defect::KsHash4NoncesSwapped],
            gm: &[],
            script: a_day,
            shows: "gm_hash4_unchecked ks_repeated_m3_served_anew",
        },
        Stage {
            group: rich_group,
            ks: &[Defect::KsNonceShort],
            gm: &[],
            script: a_day,
            shows: "gm_nonce_length_unchecked",
        },
        Stage {
            group: rich_group,
            ks: &[Defect::KsSaOrderWrong],
            gm: &[],
            script: a_day,
            shows: "gm_sa_order_ignored",
        },
        Stage { group: rich_group, ks: &[Defect::KsSaDoiOne], gm: &[], script: a_day, shows: "gm_sa_doi_unchecked" },
        Stage {
            group: rich_group,
            ks: &[Defect::KsSaSituationOne],
            gm: &[],
            script: a_day,
            shows: "gm_situation_unchecked",
        },
        Stage {
            group: rich_group,
            ks: &[Defect::KsUnknownKekAttribute],
            gm: &[],
            script: a_day,
            shows: "gm_crash_new_ks gm_unknown_attribute_ignored",
        },
        Stage { group: rich_group, ks: &[Defect::KsKdOldSpi], gm: &[], script: a_day, shows: "gm_kek_spi_unchecked" },
        Stage {
            group: rich_group,
            ks: &[Defect::KsGcmWithoutSalt],
            gm: &[],
            script: a_day,
            shows: "gm_key_length_unchecked",
        },
        Stage {
            group: rich_group,
            ks: &[Defect::KsSeqMissing],
            gm: &[],
            script: a_day,
            shows: "gm_missing_seq_accepted",
        },
        Stage { group: rich_group, ks: &[Defect::KsSidInPush], gm: &[], script: a_day, shows: "gm_sid_from_push" },
        Stage {
            group: rich_group,
            ks: &[Defect::KsPushUnsigned],
            gm: &[],
            script: a_day,
            shows: "gm_unsigned_accepted",
        },
        Stage {
            group: rich_group,
            ks: &[Defect::KsSigBareDigest],
            gm: &[],
            script: a_day,
            shows: "gm_bare_digest_accepted gm_no_sig_check",
        },
        Stage {
            group: rich_group,
            ks: &[Defect::KsKekPushWithoutSak],
            gm: &[],
            script: a_day,
            shows: "gm_sa_without_kd_accepted",
        },
        Stage {
            group: rich_group,
            ks: &[Defect::KsTekPacketMissing],
            gm: &[],
            script: a_day,
            shows: "gm_keys_by_position",
        },
        Stage {
            group: rich_group,
            ks: &[Defect::KsSequenceRepeats],
            gm: &[],
            script: a_day,
            shows: "gm_seq_equal_accepted",
        },
        Stage {
            group: rich_group,
            ks: &[Defect::KsSigMissingPrefix],
            gm: &[],
            script: a_day,
            shows: "gm_signature_prefix_optional",
        },
        Stage {
            group: rich_group,
            ks: &[Defect::KsDeleteDoiOne],
            gm: &[],
            script: a_day,
            shows: "gm_delete_unchecked",
        },
        Stage {
            group: lkh_group,
            ks: &[Defect::KsLkhDownloadInPush],
            gm: &[],
            script: a_day,
            shows: "gm_lkh_download_in_push_accepted",
        },
        Stage { group: rich_group, ks: &[Defect::KsKdCountWrong], gm: &[], script: a_day, shows: "malicious_ks_attr" },
        Stage {
            group: rich_group,
            ks: &[],
            gm: &[Defect::GmHash3LeadingZero],
            script: a_day,
            shows: "ks_bad_hash_drops_phase1 ks_hash3_leading_zero ks_hash3_unchecked",
        },
        Stage {
            group: rich_group,
            ks: &[],
            gm: &[Defect::GmNonceShort],
            script: a_day,
            shows: "ks_nonce_length_unchecked",
        },
        Stage {
            group: rich_group,
            ks: &[],
            gm: &[Defect::GmIdOctetsNonzero],
            script: a_day,
            shows: "ks_id_octets_unchecked",
        },
        Stage {
            group: rich_group,
            ks: &[],
            gm: &[Defect::GmMessageIdReused],
            script: a_day,
            shows: "ks_second_m3_served",
        },
        Stage { group: rsa_group, ks: &[], gm: &[], script: garbled_m1, shows: "ks_hash1_unchecked" },
        Stage { group: rsa_group, ks: &[], gm: &[], script: garbled_m2, shows: "gm_hash2_unchecked" },
        Stage { group: rsa_group, ks: &[], gm: &[], script: garbled_m3, shows: "ks_hash3_unchecked" },
        Stage { group: rsa_group, ks: &[], gm: &[], script: garbled_m4, shows: "gm_hash4_unchecked" },
        Stage { group: listed_group, ks: &[], gm: &[], script: borrowed_identity, shows: "ks_authorizes_by_address" },
        Stage {
            group: rich_group,
            ks: &[],
            gm: &[],
            script: one_rekey,
            shows: "gm_atd_ignored gm_dtd_ignored gm_new_sa_inactive",
        },
    ]
}
