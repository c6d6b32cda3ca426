//! The sequence number of rekeys.

use std::collections::BTreeMap;

use super::kit::{SOON, member, pushes, pushes_for, quick, quick_kek, sequence_words};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;

pub(crate) const CASES: &[Case] = &[
    case! {
        "KEKSEQ-001", "gdoi.seq", Must, Ks,
        title: "within one KEK the sequence number strictly increases",
        purpose: "Members refuse what is not newer. A server that falls back (CSCta05809) is ignored by every member until it registers again.",
        requirements: ["GDOI-PUSH-021", "GDOI-PUSH-017", "KEKSEQ-001", "GDOI-PUSH-023"],
        sources: ["RFC 6407 §5.7", "getvpn.md §3.7", "CSCta05809"],
        catches: ["ks_kekseq_reset", "ks_sequence_repeats", "ks_sequence_skips"],
        cost: 500,
        run: monotone,
    },
    case! {
        "KEKSEQ-002", "gdoi.seq", Must, Ks,
        title: "the rekey that delivers a new KEK continues the count of the old one",
        purpose: "It is the message most worth protecting against replay; restarting at 1 here is the defect that split old and new releases.",
        requirements: ["GDOI-PUSH-020", "KEKSEQ-002", "GDOI-PUSH-017"],
        sources: ["RFC 6407 §4.3", "getvpn.md §3.7", "CSCta05809"],
        catches: ["ks_kekseq_reset"],
        cost: 240,
        run: kek_delivery_continues,
    },
    case! {
        "KEKSEQ-003", "gdoi.seq", Must, Ks,
        title: "the first rekey under a KEK has sequence number 1",
        purpose: "Members start every KEK at zero; a server that starts elsewhere hides lost rekeys or repeats used numbers.",
        requirements: ["GDOI-PUSH-018", "KEKSEQ-003"],
        sources: ["RFC 6407 §3.2", "RFC 6407 §5.7"],
        catches: ["ks_kek_sequence_starts_at_two"],
        cost: 400,
        run: starts_at_one,
    },
    case! {
        "PUSHK-020", "gdoi.seq", Must, Ks,
        title: "registrations do not move the sequence number, and are told where it stands",
        purpose: "A member that is told a wrong number refuses the next rekey or accepts a recorded one.",
        requirements: ["GDOI-PULL-039", "GDOI-PULL-037", "GDOI-PULL-038", "GDOI-PL-071"],
        sources: ["RFC 6407 §3.2", "RFC 6407 §5.7"],
        catches: ["ks_pull_advances_sequence", "ks_m4_seq_next", "ks_m4_seq_zero"],
        cost: 160,
        run: registrations_do_not_count,
    },
    case! {
        "REKEY-001", "gdoi.push", Must, Ks,
        title: "every member gets the rekey, with one content and one sequence number",
        purpose: "The group shares its keys; a member that is left out or told something else falls out of the group.",
        requirements: ["REKEY-001", "GDOI-PUSH-017", "GDOI-PUSH-021"],
        sources: ["getvpn.md §3.2"],
        catches: ["ks_push_first_member_only", "ks_sequence_per_member"],
        cost: 80,
        run: everyone_gets_it,
    },
];

fn monotone(cx: &mut Cx<'_>) -> Flow {
    let mut setup = quick(cx);
    quick_kek(&mut setup);
    let scene = KsScene::start(cx, setup)?;
    let mut gm = member(cx, &scene, 0)?;
    let seen = pushes_for(cx, &mut gm, 480);
    cx.require(seen.len() >= 4, format!("only {} rekeys came", seen.len()))?;
    let mut last: BTreeMap<[u8; 16], u32> = BTreeMap::new();
    let (mut rising, mut consecutive) = (true, true);
    for push in &seen {
        let seq = push.seq.unwrap_or(0);
        let before = last.insert(push.kek_spi, seq).unwrap_or(0);
        rising &= seq > before;
        consecutive &= seq == before + 1;
    }
    let words = sequence_words(&seen);
    cx.check(
        "push.sequence-rises",
        &["GDOI-PUSH-021", "KEKSEQ-001"],
        rising,
        "strictly rising within each KEK",
        &words,
    );
    cx.check("push.sequence-by-one", &["GDOI-PUSH-017"], consecutive, "one more each time within each KEK", &words);
    cx.check(
        "push.several-keks",
        &["GDOI-PUSH-023"],
        last.len() >= 2,
        "at least two KEKs in use",
        format!("{} KEKs", last.len()),
    );
    scene.finish(cx)
}

fn kek_delivery_continues(cx: &mut Cx<'_>) -> Flow {
    let mut setup = quick(cx);
    quick_kek(&mut setup);
    let scene = KsScene::start(cx, setup)?;
    let mut gm = member(cx, &scene, 0)?;
    let old = cx.have(gm.current_kek().map(|kek| kek.spi), "the registration brought no KEK")?;
    let seen = pushes_for(cx, &mut gm, 235);
    let delivery =
        seen.iter().position(|push| push.sa.as_ref().is_some_and(|sa| sa.kek().is_some_and(|sak| sak.spi != old)));
    let delivery = cx.have(delivery, "no rekey delivered a new KEK")?;
    let before = seen[..delivery].iter().filter(|push| push.kek_spi == old).filter_map(|push| push.seq).next_back();
    let before = cx.have(before, "no rekey came before the one with the KEK")?;
    let words = sequence_words(&seen);
    cx.check(
        "push.kek-delivery-continues",
        &["GDOI-PUSH-020", "KEKSEQ-002"],
        seen[delivery].kek_spi == old && seen[delivery].seq.is_some_and(|seq| seq > before),
        "more than the last number under the old KEK",
        format!("{words}; the delivery is number {}", delivery + 1),
    );
    // The row itself is derived; that nothing is repeated under one KEK decides between fail and warning.
    cx.check(
        "push.kek-delivery-not-repeated",
        &["GDOI-PUSH-017"],
        seen[delivery].seq == Some(before + 1),
        "the last number plus one",
        words,
    );
    scene.finish(cx)
}

fn starts_at_one(cx: &mut Cx<'_>) -> Flow {
    let mut setup = quick(cx);
    quick_kek(&mut setup);
    let scene = KsScene::start(cx, setup)?;
    let mut gm = member(cx, &scene, 0)?;
    let seen = pushes_for(cx, &mut gm, 380);
    let mut first: BTreeMap<[u8; 16], u32> = BTreeMap::new();
    for push in &seen {
        first.entry(push.kek_spi).or_insert(push.seq.unwrap_or(0));
    }
    cx.require(first.len() >= 2, "the group did not change its KEK while the case watched")?;
    cx.check(
        "push.first-sequence-is-one",
        &["GDOI-PUSH-018", "KEKSEQ-003"],
        first.values().all(|seq| *seq == 1),
        "1 under each KEK",
        sequence_words(&seen),
    );
    scene.finish(cx)
}

fn registrations_do_not_count(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let (mut gm, first) = scene.register(cx, 0)?;
    gm.script.auto_ack = true;
    cx.check(
        "pull.seq-starts-at-zero",
        &["GDOI-PULL-038"],
        first.seq == Some(0),
        "SEQ 0 in a fresh group",
        format!("{:?}", first.seq),
    );
    let push = scene.push(cx, &mut gm, SOON)?;
    let used = push.seq.unwrap_or(0);
    for n in 1..4 {
        let (_, registration) = scene.register(cx, n)?;
        cx.check(
            "pull.seq-tells-last-push",
            &["GDOI-PULL-037", "GDOI-PL-071"],
            registration.seq == Some(used),
            "the number of the last rekey",
            format!("{:?} after rekey {used}", registration.seq),
        );
    }
    let next = pushes(cx, &scene, &mut gm, 1)?;
    cx.check(
        "pull.does-not-advance-sequence",
        &["GDOI-PULL-039"],
        next.iter().all(|push| push.seq == Some(used + 1)),
        "the last number plus one after three registrations",
        sequence_words(&next),
    );
    scene.finish(cx)
}

fn everyone_gets_it(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let mut members = Vec::new();
    for n in 0..5 {
        members.push(member(cx, &scene, n)?);
    }
    let mut seen = Vec::new();
    for gm in &mut members {
        let deadline = cx.in_secs(SOON);
        seen.push(gm.await_push(cx.world, deadline));
    }
    let reached = seen.iter().flatten().count();
    cx.check(
        "push.reaches-everyone",
        &["REKEY-001"],
        reached == 5,
        "a rekey at each of 5 members",
        format!("{reached} members got one"),
    );
    let content = |push: &hallmark_probe::gm::Push| {
        (push.kek_spi, push.seq, push.seen.before(hallmark_wire::isakmp::PayloadType::SIG))
    };
    let contents: Vec<_> = seen.iter().flatten().map(content).collect();
    cx.check(
        "push.same-for-everyone",
        &["REKEY-001", "GDOI-PUSH-017", "GDOI-PUSH-021"],
        contents.windows(2).all(|pair| pair[0] == pair[1]),
        "one content and one sequence number",
        sequence_words(&seen.into_iter().flatten().collect::<Vec<_>>()),
    );
    scene.finish(cx)
}
