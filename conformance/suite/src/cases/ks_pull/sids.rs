//! Sender ids for counter modes.

use std::collections::BTreeSet;

use hallmark_probe::gm::Registration;
use hallmark_probe::step::{Fault, Step};
use hallmark_probe::tamper::Tamper;
use hallmark_wire::gdoi::{kd_type, sid_key};
use hallmark_wire::isakmp::PayloadType;

use super::kit::{WINDOW, complete, counter_mode, open, pull, sent};
use super::layout::KdLayout;
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;
use crate::setup::KsSetup;

pub(crate) const CASES: &[Case] = &[
    case! {
        "SIDK-001", "gdoi.sid", Must, Ks,
        title: "counter-mode keys come with one sender id and the size of it",
        purpose: "Two senders with one IV space break the encryption of the whole group; the packet says which part of the IV is whose.",
        requirements: ["GDOI-SID-002", "GDOI-SID-012", "GDOI-SID-014", "GDOI-SID-015", "GDOI-SID-033"],
        sources: ["RFC 6407 §3.5", "RFC 6407 §5.6.4"],
        catches: ["ks_sid_packet_has_spi", "ks_sid_packet_missing"],
        needs: [Setup],
        run: packet_form,
    },
    case! {
        "SIDK-002", "gdoi.sid", Must, Ks,
        title: "a member gets as many sender ids as it asks for",
        purpose: "Each encryption module of a member needs one; with fewer, two modules share an IV space.",
        requirements: ["GDOI-SID-003", "GDOI-PULL-032"],
        sources: ["RFC 6407 §3.5", "RFC 6407 §5.4.2"],
        catches: ["ks_sender_id_request_ignored"],
        needs: [Setup],
        run: requested_number,
    },
    case! {
        "SIDK-003", "gdoi.sid", Must, Ks,
        title: "no sender id is given out twice",
        purpose: "Also a member that comes back gets new ones: it may have lost count of the IVs that it used.",
        requirements: ["GDOI-SID-006", "GDOI-SID-007", "GDOI-SID-011", "GDOI-SID-017", "GDOI-SID-029"],
        sources: ["RFC 6407 §3.5", "RFC 6054 §4"],
        catches: ["ks_sid_reused"],
        needs: [Setup],
        cost: 20,
        run: never_twice,
    },
    case! {
        "SIDK-004", "gdoi.sid", Must, Ks,
        title: "a PULL without a valid message 3 uses up no sender id",
        purpose: "Sender ids are few; whoever can use them up with recorded messages ends the group.",
        requirements: ["GDOI-SID-008", "GDOI-PULL-029"],
        sources: ["RFC 6407 §7.2.5"],
        catches: ["ks_sid_before_m3"],
        needs: [Setup],
        cost: 30,
        run: aborted_pulls,
    },
    case! {
        "SIDK-005", "gdoi.sid", Must, Ks,
        title: "when sender ids run out, the keys are replaced before any is used again",
        purpose: "The same sender id under the same key is the same IV: from there on packets can be decrypted and forged.",
        requirements: ["GDOI-SID-009", "GDOI-SID-011", "GDOI-SID-032"],
        sources: ["RFC 6407 §3.5", "RFC 6054 §4"],
        catches: ["ks_sid_wraps"],
        needs: [Setup],
        cost: 30,
        run: exhaustion,
    },
    case! {
        "SIDK-006", "gdoi.sid", Must, Ks,
        title: "sender ids of 8, 12 and 16 bits are supported",
        purpose: "Members place the sender id by its size; a size that is missing or differs moves it into the counter.",
        requirements: ["GDOI-SID-015", "GDOI-SID-016", "GDOI-SID-017"],
        sources: ["RFC 6054 §3", "RFC 6407 §5.6.4.1"],
        catches: ["ks_sid_bits_missing"],
        needs: [Setup],
        cost: 20,
        run: sizes,
    },
    case! {
        "SIDK-007", "gdoi.sid", Should, Ks,
        title: "a request for more sender ids than there are does not bring back used ones",
        purpose: "The largest request must end in a refusal, a smaller number or new keys.",
        requirements: ["GDOI-NEG-046"],
        sources: ["RFC 6407 §3.5"],
        catches: ["ks_sid_wraps"],
        needs: [Setup],
        cost: 20,
        run: oversized_requests,
    },
];

fn counting(cx: &mut Cx<'_>, bits: u16) -> Flow<KsScene> {
    let mut setup = KsSetup::standard(cx.world);
    counter_mode(&mut setup, bits);
    KsScene::start(cx, setup)
}

fn packet_form(cx: &mut Cx<'_>) -> Flow {
    let scene = counting(cx, 8)?;
    let mut member = scene.phase1(cx, 0)?;
    let pulled = pull(cx, &mut member);
    let kd = pulled.m4.as_ref().and_then(|m4| m4.body(PayloadType::KEY_DOWNLOAD)).and_then(KdLayout::read);
    let kd = cx.have(kd, "message 4 has no KD payload that could be read")?;
    let packets = kd.of(kd_type::SID).count();
    let values: usize = kd.of(kd_type::SID).map(|packet| packet.count(sid_key::VALUE)).sum();
    let observed = format!("{packets} SID packets with {values} values");
    cx.check(
        "sid.packet-present",
        &["GDOI-SID-012"],
        packets > 0 && values > 0,
        "a SID packet with a value",
        &observed,
    );
    cx.check("sid.one-without-asking", &["GDOI-SID-002", "GDOI-SID-033"], values == 1, "exactly one value", &observed);
    for packet in kd.of(kd_type::SID) {
        let spi = packet.spi.len();
        cx.check("sid.no-spi", &["GDOI-SID-014"], spi == 0, "SPI Size 0", format!("SPI of {spi} octets"));
        let bits = packet.attributes.as_ref().ok().and_then(|attributes| attributes.uint(sid_key::BITS));
        cx.check("sid.bits", &["GDOI-SID-015"], bits == Some(8), "NUMBER_OF_SID_BITS 8", format!("{bits:?}"));
    }
    scene.finish(cx)
}

fn requested_number(cx: &mut Cx<'_>) -> Flow {
    let scene = counting(cx, 16)?;
    let (mut member, _) = scene.register(cx, 0)?;
    for count in [1_u16, 2, 5, 16] {
        member.script.sender_ids = Some(count);
        let sids = complete(cx, &mut member)?.sids;
        let mut different = sids.clone();
        different.sort_unstable();
        different.dedup();
        let right = sids.len() == usize::from(count) && different.len() == sids.len();
        const RULES: &[&str] = &["GDOI-SID-003", "GDOI-PULL-032"];
        cx.check("sid.as-many-as-requested", RULES, right, &format!("{count} different values"), format!("{sids:?}"));
    }
    scene.finish(cx)
}

fn never_twice(cx: &mut Cx<'_>) -> Flow {
    let scene = counting(cx, 8)?;
    let mut sids = Vec::new();
    let mut bits = BTreeSet::new();
    for n in 0..4 {
        let (mut member, registration) = scene.register(cx, n)?;
        let mut take = |registration: &Registration| {
            sids.extend(&registration.sids);
            bits.extend(registration.sid_bits);
        };
        take(&registration);
        // The same member again, under the same SA and under a new one.
        take(&complete(cx, &mut member)?);
        let again = member.register(cx.world);
        take(&again.map_err(|fault| crate::Stop::Inconclusive(format!("a second registration: {fault}")))?);
    }
    let different: BTreeSet<u64> = sids.iter().copied().collect();
    let observed = format!("{sids:?}");
    const RULES: &[&str] = &["GDOI-SID-007", "GDOI-SID-011", "GDOI-SID-029"];
    let unique = different.len() == sids.len() && !sids.is_empty();
    cx.check("sid.never-twice", RULES, unique, "all different", &observed);
    let sequential = sids.iter().copied().eq(0..sids.len() as u64);
    cx.check("sid.sequential", &["GDOI-SID-006"], sequential, "0, 1, 2 ...", &observed);
    cx.check("sid.same-size", &["GDOI-SID-017"], bits.len() == 1, "one size for all", format!("{bits:?} bits"));
    scene.finish(cx)
}

fn aborted_pulls(cx: &mut Cx<'_>) -> Flow {
    let scene = counting(cx, 8)?;
    let (mut member, registration) = scene.register(cx, 0)?;
    let before = cx.have(registration.sids.last().copied(), "message 4 brought no sender id")?;
    const RULES: &[&str] = &["GDOI-SID-008", "GDOI-PULL-029"];
    for _ in 0..3 {
        open(cx, &mut member)?;
    }
    let between = complete(cx, &mut member)?.sids.first().copied();
    let observed = format!("{before}, then {between:?} after 3 messages 1");
    cx.check("sid.m1-uses-none", RULES, between == Some(before + 1), "the next one", observed);
    for _ in 0..3 {
        open(cx, &mut member)?;
        member.tamper(Step::Pull3, Tamper::hashed(|input| input.set("nr_b", vec![0x5a; 16])));
        sent(member.send_pull3(cx.world))?;
        drop(member.collect(cx.world, WINDOW));
        member.untamper();
    }
    let after = complete(cx, &mut member)?.sids.first().copied();
    let observed = format!("{between:?}, then {after:?} after 3 wrong messages 3");
    cx.check("sid.bad-m3-uses-none", RULES, after == between.map(|sid| sid + 1), "the next one", observed);
    scene.finish(cx)
}

/// Keeps the sender ids that were given out under each TEK key.
#[derive(Default)]
struct Ledger {
    given: BTreeSet<(Vec<u8>, u64)>,
    keys: BTreeSet<Vec<u8>>,
    reused: Vec<u64>,
    too_large: Vec<u64>,
}

impl Ledger {
    fn take(&mut self, registration: &Registration, bits: u32) {
        for tek in registration.teks.iter().filter(|tek| tek.is_counter_mode()) {
            let key = super::keys::fingerprint(&tek.algorithm_key);
            self.keys.insert(key.clone());
            for sid in &registration.sids {
                if !self.given.insert((key.clone(), *sid)) {
                    self.reused.push(*sid);
                }
            }
        }
        self.too_large.extend(registration.sids.iter().filter(|sid| **sid >= 1 << bits));
    }
}

fn exhaustion(cx: &mut Cx<'_>) -> Flow {
    const BITS: u32 = 8;
    let scene = counting(cx, 8)?;
    let (mut member, registration) = scene.register(cx, 0)?;
    let mut ledger = Ledger::default();
    ledger.take(&registration, BITS);
    member.script.sender_ids = Some(16);
    let mut refused = 0;
    // 256 are there: after 16 requests for 16 the 17th needs new keys, or has to be refused.
    for _ in 0..20 {
        match member.pull(cx.world) {
            Ok(registration) => ledger.take(&registration, BITS),
            Err(fault) if fault.is_refusal() => refused += 1,
            Err(fault) => return Err(crate::Stop::Inconclusive(fault.to_string())),
        }
        // New keys may come with a PUSH that deletes the old ones: a member then starts over.
        let now = cx.world.now();
        while member.receive(cx.world, now).is_some() {}
    }
    let observed = format!(
        "{} given out under {} keys, {} requests refused, reused {:?}",
        ledger.given.len(),
        ledger.keys.len(),
        refused,
        ledger.reused
    );
    const RULES: &[&str] = &["GDOI-SID-009", "GDOI-SID-011", "GDOI-SID-032"];
    cx.check("sid.not-reused-under-a-key", RULES, ledger.reused.is_empty(), "none twice under one key", &observed);
    let handled = ledger.keys.len() > 1 || refused > 0;
    cx.check("sid.exhaustion-handled", &["GDOI-SID-009", "GDOI-SID-032"], handled, "new keys or refusals", &observed);
    let fits = ledger.too_large.is_empty();
    cx.check("sid.fits-its-size", &["GDOI-SID-011"], fits, "below 256", format!("{:?}", ledger.too_large));
    scene.finish(cx)
}

fn sizes(cx: &mut Cx<'_>) -> Flow {
    for bits in [8_u16, 12, 16] {
        let scene = counting(cx, bits)?;
        let mut member = scene.phase1(cx, 0)?;
        member.script.sender_ids = Some(3);
        let pulled = pull(cx, &mut member);
        let said = pulled.result.as_ref().map(|registration| (registration.sid_bits, registration.sids.clone()));
        let right = said.as_ref().is_ok_and(|(size, sids)| {
            *size == Some(u64::from(bits)) && !sids.is_empty() && sids.iter().all(|sid| *sid < 1 << bits)
        });
        let observed = match said {
            Ok((size, sids)) => format!("NUMBER_OF_SID_BITS {size:?}, values {sids:?}"),
            Err(fault) => fault.to_string(),
        };
        const RULES: &[&str] = &["GDOI-SID-015", "GDOI-SID-016"];
        cx.check("sid.size", RULES, right, &format!("{bits} bits and values that fit"), observed);
        let other = pull(cx, &mut member).result.ok().and_then(|registration| registration.sid_bits);
        let same = other == Some(u64::from(bits));
        cx.check("sid.same-size", &["GDOI-SID-017"], same, "the same size for everyone", format!("{other:?}"));
        scene.finish(cx)?;
    }
    Ok(())
}

fn oversized_requests(cx: &mut Cx<'_>) -> Flow {
    const BITS: u32 = 8;
    let scene = counting(cx, 8)?;
    let (mut member, registration) = scene.register(cx, 0)?;
    let mut ledger = Ledger::default();
    ledger.take(&registration, BITS);
    for request in [u16::MAX, 257, 256, 255, 200, 200, 1] {
        member.script.sender_ids = Some(request);
        let result: Result<Registration, Fault> = member.pull(cx.world);
        let observed = match &result {
            Ok(registration) => format!("{request} requested: {} given", registration.sids.len()),
            Err(fault) => format!("{request} requested: {fault}"),
        };
        let clean = result.as_ref().map_or_else(Fault::is_refusal, |registration| registration.sids.len() <= 256);
        cx.check("sid.large-request", &["GDOI-NEG-046"], clean, "refused, capped, or new keys", observed);
        if let Ok(registration) = &result {
            ledger.take(registration, BITS);
        }
        let now = cx.world.now();
        while member.receive(cx.world, now).is_some() {}
    }
    let observed = format!("reused {:?}", ledger.reused);
    // A sender id that comes back under the same key is what the rule is there to prevent.
    cx.grave("sid.none-comes-back", &["GDOI-NEG-046"], ledger.reused.is_empty(), "none twice under one key", observed);
    scene.finish(cx)
}
