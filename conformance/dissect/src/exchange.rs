//! Exchanges under an IKE SA: GROUPKEY-PULL and Informational.

use hallmark_crypto::Secret;
use hallmark_crypto::gdoi::{pull_hash1, pull_hash2, pull_hash3, pull_hash4};
use hallmark_crypto::ike::informational_hash;
use hallmark_wire::gdoi::{Dialect, KeyDownload, Sequence};
use hallmark_wire::isakmp::{Chain, Flags, Header, Identification, PayloadType};

use crate::check::Check;
use crate::frame::{Frame, Kind};
use crate::keys::IkeKeys;
use crate::phase1::with_sa;
use crate::policy::{group_is_little_endian, judge_keys, read_policy, sids_are_little_endian};
use crate::session::{Chaining, Exchange, IkeSa, Opened, Role, Shared, World, clear_chain, fill};

/// Reads a message of GROUPKEY-PULL.
pub(crate) fn pull(world: &mut World<'_>, frame: &mut Frame, sender: Sender, header: &Header, body: &[u8]) {
    frame.kind = Kind::Pull(None);
    if !header.flags.contains(Flags::ENCRYPTION) {
        frame.checks.push(Check::failed("encryption", "a message of PULL is in clear"));
        let Some(chain) = clear_chain(frame, header, body, &world.limits) else { return };
        frame.kind = Kind::Pull(number_of(&chain));
        fill(frame, &chain, Some(&Dialect::RFC6407), world.show_keys);
        return;
    }
    under_sa(world, frame, sender, header, body, verify_pull, |world, frame, exchange, chain, trusted| {
        let number = number_of(chain);
        frame.kind = Kind::Pull(number);
        remember_nonce(exchange, chain, number, trusted);
        let dialect = read_payloads(world, frame, exchange, chain, trusted);
        fill(frame, chain, Some(&dialect), world.show_keys);
    });
}

/// Reads an Informational.
pub(crate) fn informational(world: &mut World<'_>, frame: &mut Frame, sender: Sender, header: &Header, body: &[u8]) {
    frame.kind = Kind::Informational;
    if !header.flags.contains(Flags::ENCRYPTION) {
        let Some(chain) = clear_chain(frame, header, body, &world.limits) else { return };
        fill(frame, &chain, None, world.show_keys);
        frame.note("in clear: nothing authenticates it");
        return;
    }
    let verify = |_: &Exchange, header: &Header, chain: &Chain<'_>, keys: &IkeKeys| {
        verify_first_hash(header, chain, keys, |keys, skeyid_a, rest| {
            Ok(("HASH(1)", informational_hash(keys.suite.hash, skeyid_a, header.message_id, rest)))
        })
    };
    under_sa(world, frame, sender, header, body, verify, |world, frame, _, chain, _| {
        fill(frame, chain, None, world.show_keys);
    });
}

/// Tells which end of an IKE SA sent a message.
pub(crate) type Sender = (std::net::SocketAddr, std::net::SocketAddr);

/// Opens a message of an exchange, keeps its IV chain, and hands the payloads on.
fn under_sa(
    world: &mut World<'_>,
    frame: &mut Frame,
    ends: Sender,
    header: &Header,
    body: &[u8],
    verify: impl Fn(&Exchange, &Header, &Chain<'_>, &IkeKeys) -> Check,
    read: impl FnOnce(&mut World<'_>, &mut Frame, &mut Exchange, &Chain<'_>, bool),
) {
    with_sa(world, header, |world, sa| {
        let mut exchange = sa.exchanges.remove(&header.message_id).unwrap_or_default();
        let opened = {
            let shared = Shared { secrets: world.secrets, limits: &world.limits };
            let chaining = Chaining::Exchange(header.message_id, &exchange.tails);
            let check = |chain: &Chain<'_>, keys: &IkeKeys| Some(verify(&exchange, header, chain, keys));
            sa.open(&shared, frame, header.next, body, &chaining, check)
        };
        let trusted = opened.as_ref().is_some_and(Opened::is_trusted);
        if let Some(block) = sa.block_len() {
            exchange.tails.push(body, block, trusted, sa.sender(ends.0, ends.1));
        }
        if opened.is_none() && !frame.checks.iter().any(Check::is_failed) {
            frame.checks.push(Check::not_checkable("HASH", "the message could not be opened"));
        }
        if let Some(opened) = opened {
            frame.checks.extend(opened.check);
            if let Ok(chain) = Chain::decode(header.next, &opened.plain, &world.limits) {
                read(world, frame, &mut exchange, &chain, trusted);
            }
        } else if let Kind::Pull(number) = &mut frame.kind {
            *number = likely_number(sa, &exchange, ends);
        }
        sa.exchanges.insert(header.message_id, exchange);
    });
}

/// Tells the messages of PULL apart by what they hold.
fn number_of(chain: &Chain<'_>) -> Option<u8> {
    let has = |kind| chain.find(kind).is_some();
    if has(PayloadType::KEY_DOWNLOAD) {
        Some(4)
    } else if has(PayloadType::SA) {
        Some(2)
    } else if has(PayloadType::NONCE) || has(PayloadType::ID) {
        Some(1)
    } else if has(PayloadType::HASH) {
        Some(3)
    } else {
        None
    }
}

/// Guesses the number of a message that stayed closed from who sent it and what came before.
fn likely_number(sa: &IkeSa, exchange: &Exchange, ends: Sender) -> Option<u8> {
    let later = exchange.ni.is_some() || exchange.nr.is_some();
    Some(match (sa.sender(ends.0, ends.1)?, later) {
        (Role::Initiator, false) => 1,
        (Role::Initiator, true) => 3,
        (Role::Responder, _) if exchange.nr.is_some() => 4,
        (Role::Responder, _) => 2,
    })
}

fn verify_pull(exchange: &Exchange, header: &Header, chain: &Chain<'_>, keys: &IkeKeys) -> Check {
    let nonce = |slot: &Option<(Vec<u8>, bool)>, whose: &str| {
        let octets = slot.as_ref().map(|(octets, _)| octets.clone());
        octets.ok_or_else(|| format!("the nonce of the {whose} was not captured"))
    };
    verify_first_hash(header, chain, keys, |keys, skeyid_a, rest| {
        let (alg, mid) = (keys.suite.hash, header.message_id);
        let ni = || nonce(&exchange.ni, "member");
        let nr = || nonce(&exchange.nr, "key server");
        Ok(match number_of(chain) {
            Some(2) => ("HASH(2)", pull_hash2(alg, skeyid_a, mid, &ni()?, rest)),
            Some(3) => ("HASH(3)", pull_hash3(alg, skeyid_a, mid, &ni()?, &nr()?, rest)),
            Some(4) => ("HASH(4)", pull_hash4(alg, skeyid_a, mid, &ni()?, &nr()?, rest)),
            _ => ("HASH(1)", pull_hash1(alg, skeyid_a, mid, rest)),
        })
    })
}

/// Verifies the HASH that has to be the first payload.
fn verify_first_hash(
    header: &Header,
    chain: &Chain<'_>,
    keys: &IkeKeys,
    compute: impl Fn(&IkeKeys, &[u8], &[u8]) -> Result<(&'static str, Vec<u8>), String>,
) -> Check {
    let name = match (header.exchange, number_of(chain)) {
        (hallmark_wire::isakmp::ExchangeType::PULL, Some(2)) => "HASH(2)",
        (hallmark_wire::isakmp::ExchangeType::PULL, Some(3)) => "HASH(3)",
        (hallmark_wire::isakmp::ExchangeType::PULL, Some(4)) => "HASH(4)",
        _ => "HASH(1)",
    };
    let Some(hash) = chain.iter().next().filter(|first| first.kind == PayloadType::HASH) else {
        return Check::failed(name, "the first payload is not HASH");
    };
    let Some(skeyid_a) = keys.skeyid_a.as_ref().map(Secret::expose) else {
        return Check::not_checkable(name, "SKEYID_a is not known");
    };
    match compute(keys, skeyid_a, chain.after_first()) {
        Ok((name, computed)) => Check::of_octets(name, &computed, hash.body),
        Err(why) => Check::not_checkable(name, why),
    }
}

/// Keeps a nonce; that of a message that verified stands above others.
fn remember_nonce(exchange: &mut Exchange, chain: &Chain<'_>, number: Option<u8>, trusted: bool) {
    let Some(nonce) = chain.find(PayloadType::NONCE) else { return };
    let slot = match number {
        Some(1) => &mut exchange.ni,
        Some(2) => &mut exchange.nr,
        _ => return,
    };
    if trusted || slot.is_none() {
        *slot = Some((nonce.body.to_vec(), trusted));
    }
}

/// Judges the payloads of a PULL message and learns from them; gives the dialect that they need.
fn read_payloads(
    world: &mut World<'_>,
    frame: &mut Frame,
    exchange: &mut Exchange,
    chain: &Chain<'_>,
    trusted: bool,
) -> Dialect {
    let mut dialect = Dialect::RFC6407;
    if let Some(id) = chain.find(PayloadType::ID).and_then(|id| Identification::decode(id.body).ok()) {
        dialect.key_id_little_endian = group_is_little_endian(&id, frame, &mut world.deviations);
    }
    if let Some(sa) = chain.find(PayloadType::SA) {
        match read_policy(sa.body, frame, &mut world.deviations) {
            Ok(policy) => {
                dialect = policy.dialect;
                world.learn_ports(&policy.sa);
                if trusted || exchange.policy.is_none() {
                    exchange.policy = Some(policy);
                }
            }
            Err((error, _)) => frame.fail_to_decode(error.code, format!("payload SA: {error}")),
        }
    }
    let Some(kd) = chain.find(PayloadType::KEY_DOWNLOAD) else { return dialect };
    // What does not decode is told with the other payloads.
    let Ok(download) = KeyDownload::decode(kd.body, &world.limits) else { return dialect };
    dialect.sid_little_endian = sids_are_little_endian(&download, frame, &mut world.deviations);
    let sa = exchange.policy.as_ref().map(|policy| policy.sa.clone());
    judge_keys(sa.as_ref(), &download, None, frame, &mut world.deviations);
    let Some(sa) = sa else { return dialect };
    let learned = world.keyring.learn(&sa, &download, &format!("PULL in frame {}", frame.number));
    let sequence = chain.find(PayloadType::SEQ).and_then(|seq| Sequence::decode(seq.body).ok());
    match (learned, sequence) {
        (Some(spi), Some(sequence)) => {
            frame.checks.push(match world.sequences.on_pull(spi, sequence.0) {
                Ok(detail) => Check::ok("sequence", detail),
                Err(detail) => Check::failed("sequence", detail),
            });
        }
        (Some(_), None) => frame.checks.push(Check::failed("sequence", "a KEK is delivered without SEQ")),
        (None, _) => {}
    }
    dialect
}
