//! The sequence number that a registration hands over.

use hallmark_probe::ks::PushSpec;
use hallmark_probe::step::Step;

use super::kit::{Bench, Rule, brisk, tek_life};
use crate::Case;
use crate::cx::{Cx, Flow};

pub(crate) const CASES: &[Case] = &[
    case! {
        "REG-016", "gdoi.seq", Must, Gm,
        title: "PUSHes up to the number that message 4 reports are refused",
        purpose: "A member that begins at 0 after its registration takes every rekey that was recorded under this \
                  KEK, the one with the keys of last week among them.",
        requirements: ["REG-016", "GDOI-PULL-057", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.2"],
        catches: ["gm_pull_sequence_ignored"],
        cost: 40,
        run: seeding,
    },
    case! {
        "PULLG-060", "gdoi.seq", Must, Gm,
        title: "registering again does not lower the sequence number",
        purpose: "A key server that has lost count, or a recorded answer, must not make the member take old rekeys \
                  again.",
        requirements: ["GDOI-PULL-058", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.3"],
        catches: ["gm_pull_lowers_sequence"],
        needs: [Setup],
        cost: 80,
        run: not_lowered,
    },
    case! {
        "PULLG-061", "gdoi.seq", Should, Gm,
        title: "registering again raises the sequence number",
        purpose: "What the group has used up while this member was away is used up for it too.",
        requirements: ["GDOI-PULL-059", "GDOI-PULL-069"],
        sources: ["RFC 6407 §3.2"],
        catches: ["gm_pull_sequence_ignored"],
        needs: [Setup],
        cost: 80,
        run: raised,
    },
    case! {
        "PULLG-062", "gdoi.replay", Should, Gm,
        title: "a message 4 that comes again changes nothing",
        purpose: "Whoever recorded it could otherwise set the sequence number back at any time and replay rekeys.",
        requirements: ["GDOI-NEG-126", "GDOI-PULL-043", "GDOI-PULL-069"],
        sources: ["RFC 6407 §7.2.4"],
        catches: ["gm_m4_replay_taken"],
        cost: 60,
        run: message4_again,
    },
];

/// Judges whether a PUSH with this number is taken.
fn judge(cx: &mut Cx<'_>, bench: &mut Bench, rule: &Rule, seq: u32, wanted: bool) -> Flow {
    let taken = bench.takes_number(cx, seq)?;
    let observed = format!("PUSH {seq}: {}", if taken { "acknowledged" } else { "no acknowledgement" });
    if wanted {
        rule.judge(cx, taken, "an acknowledgement", observed);
    } else {
        rule.silence(cx, !taken, "no acknowledgement", observed);
    }
    Ok(())
}

/// Goes on as if this number had been used.
fn used(bench: &mut Bench, seq: u32) {
    if let Some(kek) = &mut bench.ks().script.group.kek {
        kek.seq = kek.seq.max(seq);
    }
}

fn seeding(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::with(cx, |_| {}, |script| script.group.pull_seq = Some(50))?;
    bench.register(cx)?;
    let old = Rule::grave("pull.seq-seeded", &["REG-016", "GDOI-PULL-057"]);
    judge(cx, &mut bench, &old, 1, false)?;
    judge(cx, &mut bench, &old, 49, false)?;
    judge(cx, &mut bench, &old, 50, false)?;
    judge(cx, &mut bench, &Rule::new("pull.seq-next-taken", &["REG-016"]), 51, true)?;
    used(&mut bench, 51);
    bench.finish(cx)
}

/// Lets a member register, take PUSH 7, and register again with an answer that reports `seq`.
fn again(cx: &mut Cx<'_>, seq: u32) -> Flow<Bench> {
    let mut bench = Bench::with(cx, brisk, |script| tek_life(script, 60))?;
    bench.register(cx)?;
    let tek = bench.ks().fresh_tek();
    let push = bench.scene.push(cx, PushSpec::tek(tek).seq(7))?;
    let acked = bench.scene.ack(cx, &push).is_some();
    cx.require(acked, "PUSH 7 was not acknowledged")?;
    bench.ks().script.group.pull_seq = Some(seq);
    let registered = bench.registers_within(cx, 90);
    cx.require(registered, "the member did not register again although its keys end")?;
    Ok(bench)
}

fn not_lowered(cx: &mut Cx<'_>) -> Flow {
    let mut bench = again(cx, 5)?;
    let rule = Rule::grave("pull.seq-not-lowered", &["GDOI-PULL-058"]);
    judge(cx, &mut bench, &rule, 6, false)?;
    judge(cx, &mut bench, &rule, 7, false)?;
    judge(cx, &mut bench, &Rule::new("pull.seq-goes-on", &["GDOI-PULL-058"]), 8, true)?;
    used(&mut bench, 8);
    bench.ks().script.group.pull_seq = None;
    bench.finish(cx)
}

fn raised(cx: &mut Cx<'_>) -> Flow {
    let mut bench = again(cx, 10)?;
    let rule = Rule::new("pull.seq-raised", &["GDOI-PULL-059"]);
    judge(cx, &mut bench, &rule, 9, false)?;
    judge(cx, &mut bench, &rule, 10, false)?;
    judge(cx, &mut bench, &rule, 11, true)?;
    used(&mut bench, 11);
    bench.ks().script.group.pull_seq = None;
    bench.finish(cx)
}

fn message4_again(cx: &mut Cx<'_>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    bench.register(cx)?;
    for _ in 0..3 {
        bench.scene.still_takes_pushes(cx)?;
    }
    let sent = bench.ks().resend(cx.world, Step::Pull4);
    cx.require(sent, "the tester has no message 4 to repeat")?;
    bench.ks().serve_for(cx.world, hallmark_core::Duration::from_secs(2));
    let rule = Rule::grave("pull.m4-replay-ignored", &["GDOI-NEG-126", "GDOI-PULL-043"]);
    judge(cx, &mut bench, &rule, 2, false)?;
    judge(cx, &mut bench, &rule, 3, false)?;
    judge(cx, &mut bench, &Rule::new("pull.seq-goes-on", &["GDOI-NEG-126"]), 4, true)?;
    used(&mut bench, 4);
    bench.finish(cx)
}
