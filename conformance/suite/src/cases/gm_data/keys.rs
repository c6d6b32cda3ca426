//! One counter-mode key under several SPIs, and a key that comes back: what the cipher sees is the key, not the SA.
//!
//! RFC 6407 §3.5 forbids a key server to do either. A member that meets one that does, or one that has lost its memory,
//! still is the only one who can keep its initialisation vectors apart.

use std::net::IpAddr;

use hallmark_core::Duration;
use hallmark_probe::data::EspSeen;
use hallmark_probe::group::{Flow as Entry, SidPlan, Tek};
use hallmark_probe::ks::{PushSpec, deletion};
use hallmark_probe::world::Side;

use super::esp::{GCM, datagram, numbers};
use super::marks::{pass_time, successor};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::data::{DataScene, LAN_HOST, Rule, WAN_HOST, both_ways, with_tek};

pub(crate) const CASES: &[Case] = &[
    case! {
        "ESPT-009", "data.esp", Must, Gm,
        title: "no IV comes twice under one key, whatever SPI the key comes under",
        purpose: "A key server that hands out one key for two SAs makes a mistake; a member that counts IVs for each SA \
                  turns it into two packets that give each other away.",
        requirements: ["ESP-023"],
        sources: ["RFC 4106 §3.1", "RFC 4106 §10", "RFC 6407 §3.5"],
        catches: ["dp_iv_restarts_with_new_spi"],
        needs: [Datapath],
        cost: 30,
        run: two_spis,
    },
    case! {
        "ESPT-010", "data.esp", Must, Gm,
        title: "no IV comes twice under a key that comes back after its SA was deleted or has ended",
        purpose: "A key server that starts again with an old state hands out keys that were in use. A member that has \
                  forgotten them with their SAs begins with the IVs that everybody has recorded.",
        requirements: ["ESP-023", "ESP-068"],
        sources: ["RFC 4106 §3.1", "RFC 6054 §5"],
        catches: ["dp_iv_forgotten_with_the_sa"],
        needs: [Datapath],
        cost: 150,
        run: comes_back,
    },
    case! {
        "ESPT-011", "data.esp", Should, Gm,
        title: "the sender ids of a new registration are not used under the keys of the one before",
        purpose: "A key server that has lost its state, or has run out of sender ids, begins with new keys and with sender id \
                  0. Under the old keys, which are alive for another minute, that id is somebody else's.",
        requirements: ["ESP-023"],
        sources: ["RFC 4106 §3.1", "RFC 6054 §4", "RFC 6407 §3.5"],
        catches: ["gm_new_sid_under_old_keys"],
        needs: [Datapath, Setup],
        cost: 100,
        run: new_ids,
    },
    case! {
        "ESPT-012", "data.esp", Must, Gm,
        title: "the sender id of a registration is used under the keys of a rekey too",
        purpose: "A PUSH brings none: whatever else a member puts there is somebody else's.",
        requirements: ["GDOI-SID-021"],
        sources: ["RFC 6407 §5.6.4.3"],
        catches: ["gm_sid_changes_on_push"],
        needs: [Datapath],
        cost: 30,
        run: after_a_rekey,
    },
    case! {
        "ESPT-013", "data.esp", Must, Gm,
        title: "another registration under the same keys replaces the sender id",
        purpose: "A member that registers again may have lost its count; only the new id keeps it from repeating itself.",
        requirements: ["GDOI-SID-023"],
        sources: ["RFC 6407 §5.6.4.3", "RFC 6407 §3.5"],
        catches: ["gm_old_sid_kept"],
        needs: [Datapath, Setup],
        cost: 100,
        run: replaced_id,
    },
];

/// Packets that each round sends.
const ROUND: u16 = 8;
/// A host beyond the WAN that a second SA carries the traffic of.
const FAR_HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 3, 0, 20));

/// Starts a member under these TEKs.
fn counting(cx: &mut Cx<'_>, tek: Tek, more: Vec<Tek>) -> Flow<DataScene> {
    let change = |script: &mut hallmark_probe::KsScript| {
        with_tek(script, tek);
        script.group.teks.extend(more);
    };
    let scene = DataScene::optional(cx, |_| {}, change)?;
    scene.ok_or_else(|| Stop::NotSupported("gm.esp.aes-gcm".to_owned(), "false".to_owned()))
}

/// Makes a TEK that has the key of another one and an SPI of its own.
fn same_key(scene: &mut DataScene, tek: &Tek) -> Tek {
    let spi = tek.successor(scene.scene.ks.rng()).spi;
    Tek { spi, ..tek.clone() }
}

/// Sends packets from the LAN and gives those that left under an SPI of the group.
fn sent(cx: &mut Cx<'_>, scene: &mut DataScene, packets: &[Vec<u8>]) -> Flow<Vec<EspSeen>> {
    let passed = scene.pass_many(cx, Side::Lan, packets)?;
    Ok(passed.wan.iter().filter_map(|carried| scene.open(carried).ok()).collect())
}

/// Sends packets from the LAN and counts those that left under an SPI. A member may refuse a key that it knows.
fn sent_to(cx: &mut Cx<'_>, scene: &mut DataScene, to: IpAddr, spi: u32, what: &str) -> Flow<usize> {
    let packets: Vec<Vec<u8>> = (1..=ROUND).map(|ident| datagram(LAN_HOST, to).ident(ident).octets()).collect();
    let seen = sent(cx, scene, &packets)?;
    let under = seen.iter().filter(|seen| seen.spi == spi).count();
    let ivs: Vec<String> = seen.iter().take(2).map(|seen| hex::encode(&seen.iv)).collect();
    cx.world.note(&format!("{what}: {under} of {ROUND} packets under SPI {spi:08x}, IVs {} ..", ivs.join(", ")));
    Ok(under)
}

/// Ends a case in which the member has sent nothing under a key that it knows: nothing could repeat.
fn must_have_sent(packets: usize, leaf: &str) -> Flow {
    if packets > 0 { Ok(()) } else { Err(Stop::NotSupported(leaf.to_owned(), "false".to_owned())) }
}

fn two_spis(cx: &mut Cx<'_>) -> Flow {
    const UNIQUE: Rule = Rule::grave("esp.iv-unique-by-key", &["ESP-023"]);
    let first = GCM.tek(cx);
    let far = Entry::between(([10, 1, 0, 0].into(), 16), ([10, 3, 0, 0].into(), 16));
    let second = Tek { spi: first.spi ^ 0x0f0f_0f0f, flows: both_ways(&far), ..first.clone() };
    let mut scene = counting(cx, first.clone(), vec![second.clone()])?;
    let mut sent = [0, 0];
    for round in 1..=2 {
        for ((tek, to), sent) in [(&first, WAN_HOST), (&second, FAR_HOST)].into_iter().zip(&mut sent) {
            *sent += sent_to(cx, &mut scene, to, tek.spi, &format!("round {round}, to {to}"))?;
        }
    }
    must_have_sent(sent[0].min(sent[1]), "gm.esp.key-of-two-sas")?;
    numbers(cx, &UNIQUE, "two SAs with one key", &scene);
    let current = scene.tek()?;
    let third = same_key(&mut scene, &current);
    scene.push(cx, PushSpec::tek(third.clone()))?;
    sent_to(cx, &mut scene, WAN_HOST, third.spi, "after a rekey with the same key")?;
    numbers(cx, &UNIQUE, "a rekey with the same key", &scene);
    scene.rekey(cx)?;
    scene.finish(cx)
}

fn comes_back(cx: &mut Cx<'_>) -> Flow {
    const UNIQUE: Rule = Rule::grave("esp.iv-unique-after-return", &["ESP-023", "ESP-068"]);
    const LIFE: u32 = 90;
    let first = GCM.tek(cx);
    let mut scene = counting(cx, first.clone(), Vec::new())?;
    let all = || deletion(1, vec![vec![0; 4]]);
    sent_to(cx, &mut scene, WAN_HOST, first.spi, "the first time")?;
    // Its SA is deleted and another one takes its place; then the key comes under a new SPI.
    let other = successor(&mut scene, 3_600)?;
    scene.push(cx, PushSpec::tek(other.clone()).with_delete(all()))?;
    sent_to(cx, &mut scene, WAN_HOST, other.spi, "under another key")?;
    let again = Tek { flows: other.flows, ..same_key(&mut scene, &first) }.lifetime(LIFE);
    let told = cx.world.now();
    scene.push(cx, PushSpec::tek(again.clone()).with_delete(all()))?;
    let sent = sent_to(cx, &mut scene, WAN_HOST, again.spi, "the second time")?;
    must_have_sent(sent, "gm.esp.key-that-returns")?;
    numbers(cx, &UNIQUE, "a key whose SA was deleted", &scene);
    // That SA ends by itself, and the very first one comes back.
    let other = successor(&mut scene, 3_600)?;
    scene.push(cx, PushSpec::tek(other.clone()))?;
    let left = (told + Duration::from_secs(u64::from(LIFE))).saturating_since(cx.world.now());
    pass_time(cx, &mut scene, left.as_secs_f64() + 10.0);
    sent_to(cx, &mut scene, WAN_HOST, other.spi, "under a third key")?;
    let back = Tek { flows: other.flows, ..first };
    scene.push(cx, PushSpec::tek(back.clone()).with_delete(all()))?;
    let sent = sent_to(cx, &mut scene, WAN_HOST, back.spi, "the third time")?;
    must_have_sent(sent, "gm.esp.key-that-returns")?;
    numbers(cx, &UNIQUE, "a key whose SA has ended", &scene);
    scene.rekey(cx)?;
    scene.finish(cx)
}

/// Length of the sender ids of the cases below: they fill the first octet of an IV.
const BITS: u16 = 8;
/// The first sender id of a member in the cases below.
const FIRST: u32 = 100;

/// Starts a member under this TEK whose sender id is the first.
fn first_id(cx: &mut Cx<'_>, tek: &Tek) -> Flow<DataScene> {
    let change = |script: &mut hallmark_probe::KsScript| {
        with_tek(script, tek.clone());
        script.group.sids = Some(SidPlan { bits: BITS, next: FIRST, default_count: 1 });
    };
    let scene = DataScene::optional(cx, |_| {}, change)?;
    scene.ok_or_else(|| Stop::NotSupported("gm.esp.aes-gcm".to_owned(), "false".to_owned()))
}

/// Gives the sender id after the last that was handed out.
fn next_id(scene: &DataScene) -> u32 {
    scene.scene.ks.script.group.sids.as_ref().map_or(0, |plan| plan.next)
}

/// Gives the sender id of a packet.
fn id_of(seen: &EspSeen) -> u32 {
    seen.iv.first().map_or(u32::MAX, |first| u32::from(*first))
}

/// Sends a round of packets, of which some have to leave.
fn some(cx: &mut Cx<'_>, scene: &mut DataScene) -> Flow<Vec<EspSeen>> {
    let packets: Vec<Vec<u8>> = (1..=ROUND).map(|ident| datagram(LAN_HOST, WAN_HOST).ident(ident).octets()).collect();
    let seen = sent(cx, scene, &packets)?;
    cx.require(!seen.is_empty(), "nothing leaves the member")?;
    Ok(seen)
}

fn new_ids(cx: &mut Cx<'_>) -> Flow {
    // RFC 6407 §5.6.4.3 wants the sender id in the IVs of all SAs of the group and does not say which SAs those are when
    // the server that hands it out no longer knows of some.
    const NOT_OURS: Rule = Rule::advisory("esp.sender-ids-belong-to-keys", &["ESP-023"]);
    let old = GCM.tek(cx).lifetime(100);
    let mut scene = first_id(cx, &old)?;
    some(cx, &mut scene)?;
    // The server begins again: other keys, and the sender ids from 0.
    let new = successor(&mut scene, 3_600)?;
    let group = &mut scene.scene.ks.script.group;
    group.teks = vec![new.clone()];
    group.sids = Some(SidPlan { bits: BITS, next: 0, default_count: 1 });
    let before = cx.world.now();
    scene.register(cx)?;
    let (handed_out, after) = (next_id(&scene), (cx.world.now() - before).as_secs_f64());
    let seen = some(cx, &mut scene)?;
    let foreign: Vec<&EspSeen> = seen.iter().filter(|seen| seen.spi == old.spi && id_of(seen) < handed_out).collect();
    let under_new = seen.iter().filter(|seen| seen.spi == new.spi).count();
    let observed = format!(
        "{after:.0} s later: {under_new} of {} packets under the new key; under the old one {} with a new sender id{}",
        seen.len(),
        foreign.len(),
        foreign.first().map(|seen| format!(", IV {}", hex::encode(&seen.iv))).unwrap_or_default(),
    );
    NOT_OURS.judge(cx, foreign.is_empty(), "new sender ids under the new key only", observed);
    scene.finish(cx)
}

/// Judges that every packet has a sender id of this range.
fn judge_ids(cx: &mut Cx<'_>, rule: &Rule, what: &str, seen: &[EspSeen], ids: std::ops::Range<u32>) {
    let found: Vec<u32> = seen.iter().map(id_of).collect();
    let ok = found.iter().all(|id| ids.contains(id));
    let observed = format!("{what}: sender ids {found:?}");
    rule.judge(cx, ok, &format!("a sender id from {} to {}", ids.start, ids.end.saturating_sub(1)), observed);
}

fn after_a_rekey(cx: &mut Cx<'_>) -> Flow {
    const KEPT: Rule = Rule::new("esp.sender-id-after-rekey", &["GDOI-SID-021"]);
    let tek = GCM.tek(cx);
    let mut scene = first_id(cx, &tek)?;
    for round in 1..=2 {
        let new = successor(&mut scene, 3_600)?;
        // With the old SA gone it has to change over at once.
        scene.push(cx, PushSpec::tek(new).with_delete(deletion(1, vec![vec![0; 4]])))?;
        let seen = some(cx, &mut scene)?;
        // Whatever the member was given, in one registration or in several.
        let ids = FIRST..next_id(&scene);
        judge_ids(cx, &KEPT, &format!("rekey {round}"), &seen, ids);
    }
    scene.finish(cx)
}

fn replaced_id(cx: &mut Cx<'_>) -> Flow {
    const REPLACED: Rule = Rule::new("esp.sender-id-replaced", &["GDOI-SID-023"]);
    let tek = GCM.tek(cx).lifetime(100);
    let mut scene = first_id(cx, &tek)?;
    some(cx, &mut scene)?;
    let before = next_id(&scene);
    scene.register(cx)?;
    let seen = some(cx, &mut scene)?;
    let ids = before..next_id(&scene);
    judge_ids(cx, &REPLACED, "after the second registration", &seen, ids);
    scene.finish(cx)
}
