//! Lifetimes: when a member must come back because no rekey did.

use hallmark_core::Duration;
use hallmark_probe::ks::{PushSpec, Reply};
use hallmark_probe::step::Step;

use super::kit::{Bench, Rule, kek_of, tek_lifetime};
use crate::Case;
use crate::cx::{Cx, Flow};

pub(crate) const CASES: &[Case] = &[
    case! {
        "REKEY-021", "gdoi.lifetime", Must, Gm,
        title: "a member that gets no rekey registers again before its TEK ends",
        purpose: "Rekeys get lost. A member that waits for the next one loses traffic when its SA ends.",
        requirements: ["REKEY-021", "GDOI-PUSH-057"],
        sources: ["RFC 8263 §4", "getvpn §3.8"],
        catches: ["gm_never_reregisters", "gm_reregisters_late"],
        cost: 150,
        run: tek_ends,
    },
    case! {
        "REKEY-022", "gdoi.lifetime", Must, Gm,
        title: "a member registers again before its KEK ends, however long its TEKs live",
        purpose: "Without a KEK no rekey reaches it: members in the field kept an old KEK for ever and fell silent with \
                  their TEK.",
        requirements: ["REKEY-022", "GDOI-PUSH-057"],
        sources: ["RFC 6407 §5.3.4", "getvpn §6 P06"],
        catches: ["gm_no_kek_timer"],
        cost: 150,
        run: kek_ends,
    },
    case! {
        "REKEY-025", "gdoi.lifetime", Must, Gm,
        title: "a PUSH under a KEK that has ended is refused",
        purpose: "Lifetimes bound the damage of a key that leaked; a KEK that works for ever has none.",
        requirements: ["REKEY-025", "GDOI-PUSH-056"],
        sources: ["RFC 6407 §5.3.4"],
        catches: ["gm_no_kek_timer"],
        cost: 200,
        run: expired_kek,
    },
    case! {
        "PUSHG-053", "gdoi.lifetime", Must, Gm,
        title: "a new KEK brings a new lifetime",
        purpose: "A member that keeps the clock of the old KEK registers again although it was rekeyed, or drops a KEK \
                  that is good.",
        requirements: ["GDOI-PUSH-056", "GDOI-PUSH-046"],
        sources: ["RFC 6407 §4", "RFC 6407 §5.3.4"],
        catches: ["gm_old_kek_clock"],
        cost: 150,
        run: new_kek_new_clock,
    },
];

fn tek_ends(cx: &mut Cx<'_>) -> Flow {
    const LIFE: u64 = 140;
    const RULE: Rule = Rule::new("push.registers-before-tek-ends", &["REKEY-021", "GDOI-PUSH-057"]);
    let mut bench = Bench::with(cx, |script| tek_lifetime(script, 140))?;
    let registered = bench.registers_before_end(cx, &RULE, LIFE);
    bench.finish_after(cx, registered)
}

fn kek_ends(cx: &mut Cx<'_>) -> Flow {
    const LIFE: u64 = 140;
    const RULE: Rule = Rule::new("push.registers-before-kek-ends", &["REKEY-022", "GDOI-PUSH-057"]);
    let mut bench = Bench::with(cx, |script| kek_of(script, |kek| kek.lifetime_secs = Some(LIFE)))?;
    // The KEK came with the registration, a moment before the first PUSH.
    let end = bench.scene.ks.members.last().map_or(cx.world.now(), |member| member.at);
    bench.keyed(end);
    let registered = bench.registers_before_end(cx, &RULE, LIFE);
    if !registered {
        // It may never come back because of the KEK: what was seen stands by itself.
        return Err(crate::Stop::Judged);
    }
    bench.scene.finish(cx)
}

fn expired_kek(cx: &mut Cx<'_>) -> Flow {
    const LIFE: u64 = 100;
    const RULE: Rule = Rule::new("push.expired-kek-refused", &["REKEY-025", "GDOI-PUSH-056"]);
    let mut bench = Bench::with(cx, |script| kek_of(script, |kek| kek.lifetime_secs = Some(LIFE)))?;
    // The member wants to come back before the end; it gets no answer, so that only the old KEK is there.
    for step in [Step::Main2, Step::Main4, Step::Main6, Step::Aggressive2, Step::Pull2, Step::Pull4] {
        bench.scene.ks.reply(step, Reply::Silent);
    }
    bench.scene.ks.serve_for(cx.world, Duration::from_secs(LIFE + 15));
    let spec = bench.rekey();
    let next = bench.last() + 1;
    bench.unacked(cx, &RULE, "a PUSH 15 s after the end of its KEK", spec.seq(next))?;
    bench.scene.ks.answer_all();
    let kek = bench.next_kek()?;
    bench.scene.ks.script.group.kek = Some(kek);
    bench.scene.finish_by_registration(cx)
}

fn new_kek_new_clock(cx: &mut Cx<'_>) -> Flow {
    const LIFE: u64 = 120;
    let mut bench = Bench::with(cx, |script| kek_of(script, |kek| kek.lifetime_secs = Some(LIFE)))?;
    let born = bench.scene.ks.members.last().map_or(cx.world.now(), |member| member.at);
    let mut kek = bench.next_kek()?;
    kek.lifetime_secs = Some(86_400);
    let acked = bench.acked(cx, PushSpec::kek(kek))?.is_some();
    cx.require(acked, "the new KEK was not accepted")?;
    let left = (born + Duration::from_secs(LIFE + 10)).saturating_since(cx.world.now());
    let again = bench.registers_again(cx, left).is_some();
    let observed = if again { "it registered again by the clock of the old KEK" } else { "no registration" };
    let expected = "no registration when the old KEK would have ended";
    cx.silence("push.new-kek-new-clock", &["GDOI-PUSH-056", "GDOI-PUSH-046"], !again, expected, observed);
    bench.scene.finish(cx)
}
