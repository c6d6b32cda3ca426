//! Sequence numbers and replay.

use hallmark_core::Duration;
use hallmark_probe::edit;
use hallmark_probe::ks::PushSpec;
use hallmark_probe::tamper::Tamper;
use hallmark_probe::world::{Party, Role};
use hallmark_wire::isakmp::PayloadType;

use super::kit::{Bench, Rule, acks_at, kek_of, tek_lifetime};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::ACK_WINDOW;

pub(crate) const CASES: &[Case] = &[
    case! {
        "KEKSEQ-004", "gdoi.seq", Must, Gm,
        title: "a new KEK begins to count at 1, however far the old one had come",
        purpose: "One counter for all KEKs makes a member refuse every rekey after a KEK change, until its keys expire.",
        requirements: ["KEKSEQ-004", "GDOI-PUSH-044", "GDOI-PUSH-045", "GDOI-PUSH-046"],
        sources: ["RFC 6407 §3.2", "RFC 6407 §4", "getvpn §6 P03"],
        catches: ["gm_seq_global"],
        cost: 10,
        run: reset_with_new_kek,
    },
    case! {
        "KEKSEQ-005", "gdoi.seq", Must, Gm,
        title: "a number that starts again under the same KEK is refused",
        purpose: "Old servers restart the count on a KEK rekey; a member that goes along accepts every recorded rekey.",
        requirements: ["KEKSEQ-005", "GDOI-PUSH-039"],
        sources: ["RFC 6407 §4.4", "RFC 6407 §7.3.4", "getvpn §6 P01"],
        catches: ["gm_no_seqcheck"],
        cost: 15,
        run: reset_under_same_kek,
    },
    case! {
        "KEKSEQ-006", "gdoi.seq", Must, Gm,
        title: "a member that had to refuse rekeys registers again before its keys end",
        purpose: "Refusing is half of it: a member that then waits for ever loses the group when its SAs expire.",
        requirements: ["KEKSEQ-006", "GDOI-PUSH-057"],
        sources: ["getvpn §3.7", "RFC 8263 §4"],
        catches: ["gm_never_reregisters", "gm_reregisters_late"],
        cost: 180,
        run: recovers,
    },
    case! {
        "KEKSEQ-007", "gdoi.seq", Must, Gm,
        title: "gaps in the sequence are accepted",
        purpose: "Datagrams get lost; a member that insists on the very next number drops out with the first loss.",
        requirements: ["KEKSEQ-007", "GDOI-PUSH-037", "GDOI-PUSH-040"],
        sources: ["RFC 6407 §4.4"],
        catches: ["gm_seq_gap_refused"],
        cost: 10,
        run: gaps,
    },
    case! {
        "KEKSEQ-008", "gdoi.seq", Must, Gm,
        title: "other content under the same number is refused",
        purpose: "Two different rekeys with one number would leave the group with two sets of keys.",
        requirements: ["KEKSEQ-008", "GDOI-PUSH-038", "GDOI-NEG-143"],
        sources: ["RFC 6407 §7.3.4"],
        catches: ["gm_seq_equal_accepted", "gm_no_seqcheck"],
        cost: 15,
        run: equal_number,
    },
    case! {
        "KEKSEQ-009", "gdoi.seq", Must, Gm,
        title: "the counter ends at 2^32 - 1 and does not wrap",
        purpose: "Serial number arithmetic here would let the first rekeys of a KEK be replayed at its end.",
        requirements: ["KEKSEQ-009", "GDOI-NEG-145"],
        sources: ["RFC 6407 §4.4"],
        catches: ["gm_seq_wraps"],
        cost: 180,
        run: edge,
    },
    case! {
        "REPLAY-001", "gdoi.replay", Should, Gm,
        title: "a copy of the latest PUSH changes nothing",
        purpose: "A copy that counts as new restarts the lifetimes of the keys: whoever repeats it keeps old keys alive \
                  and the member away from its key server.",
        requirements: ["REPLAY-001", "GDOI-NEG-142"],
        sources: ["RFC 6407 §7.3.4", "getvpn §3.7"],
        catches: ["gm_no_seqcheck"],
        cost: 310,
        run: latest_replayed,
    },
    case! {
        "REPLAY-002", "gdoi.replay", Must, Gm,
        title: "a copy of an older PUSH is dropped without a word",
        purpose: "Whoever recorded a rekey could otherwise put the old keys of the group back into use.",
        requirements: ["REPLAY-002", "GDOI-NEG-142", "GDOI-ACK-006"],
        sources: ["RFC 6407 §7.3.4", "RFC 8263 §7.2", "getvpn §6 P02"],
        catches: ["gm_no_seqcheck"],
        cost: 20,
        run: older_replayed,
    },
    case! {
        "REPLAY-003", "gdoi.replay", Must, Gm,
        title: "after a restart the registration tells which rekeys are old",
        purpose: "A member that forgets the count with its memory takes any recorded rekey after a power cut; message 4 \
                  brings the count so that it need not.",
        requirements: ["REPLAY-003", "GDOI-PULL-057"],
        sources: ["RFC 6407 §3.2", "RFC 6407 §5.7"],
        catches: ["gm_pull_sequence_ignored"],
        needs: [Crash],
        cost: 20,
        run: replay_after_restart,
    },
    case! {
        "REPLAY-004", "gdoi.replay", Must, Gm,
        title: "a replay from another address is a replay",
        purpose: "The source of a datagram proves nothing; the number does.",
        requirements: ["REPLAY-004", "GDOI-NEG-142"],
        sources: ["RFC 6407 §7.3.4"],
        catches: ["gm_no_seqcheck"],
        needs: [ManyAddresses],
        cost: 25,
        run: replay_from_elsewhere,
    },
    case! {
        "PUSHG-021", "gdoi.seq", Must, Gm,
        title: "there is no window for PUSHes that overtook each other",
        purpose: "The newest policy wins; a late older one must not come back over it.",
        requirements: ["GDOI-PUSH-039", "GDOI-NEG-143"],
        sources: ["RFC 6407 §4.4", "RFC 6407 §7.3.4"],
        catches: ["gm_seq_window", "gm_no_seqcheck"],
        cost: 25,
        run: no_window,
    },
    case! {
        "PUSHG-022", "gdoi.seq", Must, Gm,
        title: "the first PUSH must have a number above 0",
        purpose: "The count begins at 0 with nothing sent: 0 is never the number of a PUSH.",
        requirements: ["GDOI-NEG-141", "GDOI-PUSH-037"],
        sources: ["RFC 6407 §3.2", "RFC 6407 §4.4"],
        catches: ["gm_seq_equal_accepted"],
        cost: 15,
        run: zero,
    },
    case! {
        "PUSHG-023", "gdoi.seq", Must, Gm,
        title: "a PUSH with the number of message 4, or a lower one, is refused",
        purpose: "Message 4 brings the last number used; what was sent before the member joined is not for it.",
        requirements: ["GDOI-NEG-144", "GDOI-PULL-057"],
        sources: ["RFC 6407 §3.2"],
        catches: ["gm_pull_sequence_ignored", "gm_seq_equal_accepted"],
        cost: 20,
        run: number_of_registration,
    },
    case! {
        "PUSHG-024", "gdoi.seq", Should, Gm,
        title: "a PUSH that fails does not move the counter",
        purpose: "Otherwise any member, or anyone on the path, could lock the group out with one bad datagram that \
                  carries a high number.",
        requirements: ["GDOI-PUSH-042", "GDOI-NEG-160", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §7.3.5"],
        catches: ["gm_seq_before_sig"],
        cost: 15,
        run: bad_high_number,
    },
    case! {
        "REKEY-015", "gdoi.replay", Should, Gm,
        title: "retransmissions of an accepted PUSH count once",
        purpose: "A server repeats a rekey whose acknowledgement was lost; the member must neither install it twice nor \
                  take the repetition for an attack that moves its counter.",
        requirements: ["REKEY-015", "GDOI-NEG-142"],
        sources: ["getvpn §3.7", "RFC 8263 §6"],
        catches: ["gm_seq_equal_accepted"],
        cost: 40,
        run: retransmissions,
    },
    case! {
        "REKEY-024", "gdoi.replay", Should, Gm,
        title: "a copy of the PUSH that brought the KEK changes nothing after the rollover",
        purpose: "If it were taken again, the new KEK would begin to count anew and its rekeys could be replayed.",
        requirements: ["REKEY-024", "GDOI-NEG-142"],
        sources: ["RFC 6407 §7.3.4", "getvpn §3.6"],
        catches: ["gm_copy_reinstalls_kek"],
        cost: 30,
        run: kek_delivery_replayed,
    },
];

fn reset_with_new_kek(cx: &mut Cx<'_>) -> Flow {
    const OLD: Rule = Rule::new("push.kek-delivered-under-old-kek", &["KEKSEQ-004", "GDOI-PUSH-046"]);
    const NEW: Rule = Rule::new("push.new-kek-begins-at-1", &["KEKSEQ-004", "GDOI-PUSH-044", "GDOI-PUSH-045"]);
    let mut bench = Bench::fresh(cx, |_| {}, |script| kek_of(script, |kek| kek.seq = 11))?;
    let kek = bench.next_kek()?;
    bench.accept(cx, &OLD, "number 12 under the old KEK", PushSpec::kek(kek))?;
    let spec = bench.rekey();
    bench.accept(cx, &NEW, "number 1 under the new KEK", spec)?;
    let spec = bench.rekey();
    bench.accept(cx, &NEW, "number 2 under the new KEK", spec)?;
    bench.finish(cx)
}

fn reset_under_same_kek(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.restart-refused", &["KEKSEQ-005", "GDOI-PUSH-039"]);
    let mut bench = Bench::with(cx, |script| kek_of(script, |kek| kek.seq = 10))?;
    let last = bench.last();
    let spec = bench.rekey().seq(1);
    bench.unacked(cx, &RULE, &format!("number 1 after {last}"), spec)?;
    bench.finish(cx)
}

fn recovers(cx: &mut Cx<'_>) -> Flow {
    const LIFE: u32 = 160;
    const RULE: Rule = Rule::new("push.restart-refused", &["KEKSEQ-006"]);
    let mut bench = Bench::with(cx, |script| {
        kek_of(script, |kek| kek.seq = 10);
        tek_lifetime(script, LIFE);
    })?;
    let spec = bench.rekey().seq(1);
    bench.unacked(cx, &RULE, "number 1 under the same KEK", spec)?;
    const AGAIN: Rule = Rule::new("push.registers-before-expiry", &["KEKSEQ-006", "GDOI-PUSH-057"]);
    let registered = bench.registers_before_end(cx, &AGAIN, u64::from(LIFE));
    bench.finish_after(cx, registered)
}

fn gaps(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.gap-accepted", &["KEKSEQ-007", "GDOI-PUSH-037", "GDOI-PUSH-040"]);
    let mut bench = Bench::with(cx, |script| kek_of(script, |kek| kek.seq = 2))?;
    for ahead in [1, 6, 1_000, 1_000_000, 0x7fff_ffff] {
        let seq = bench.last() + ahead;
        let spec = bench.rekey().seq(seq);
        bench.accept(cx, &RULE, &format!("{ahead} ahead"), spec)?;
    }
    bench.finish(cx)
}

fn equal_number(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.equal-number-refused", &["KEKSEQ-008", "GDOI-PUSH-038", "GDOI-NEG-143"]);
    let mut bench = Bench::standard(cx)?;
    // The latest PUSH may be acknowledged once more when it is repeated, so its acknowledgement is counted.
    let last = bench.last();
    let spec = bench.rekey().seq(last);
    bench.unacked(cx, &RULE, "another TEK under the last number", spec)?;
    let kek = bench.next_kek()?;
    bench.unacked(cx, &RULE, "another KEK under the last number", PushSpec::kek(kek).seq(last))?;
    bench.finish(cx)
}

fn edge(cx: &mut Cx<'_>) -> Flow {
    const TAKEN: Rule = Rule::new("push.highest-number-accepted", &["KEKSEQ-009"]);
    const RULE: Rule = Rule::new("push.no-wrap", &["KEKSEQ-009", "GDOI-NEG-145"]);
    let mut bench = Bench::fresh(
        cx,
        |_| {},
        |script| {
            kek_of(script, |kek| kek.seq = u32::MAX - 2);
            tek_lifetime(script, 160);
        },
    )?;
    let spec = bench.rekey();
    bench.accept(cx, &TAKEN, "number 2^32 - 2", spec)?;
    for seq in [0, 1] {
        let spec = bench.rekey().seq(seq);
        bench.unacked(cx, &RULE, &format!("number {seq} after 2^32 - 2"), spec)?;
    }
    let spec = bench.rekey();
    bench.accept(cx, &TAKEN, "number 2^32 - 1", spec)?;
    for seq in [0, 1] {
        let spec = bench.rekey().seq(seq);
        bench.unacked(cx, &RULE, &format!("number {seq} after 2^32 - 1"), spec)?;
    }
    // Under this KEK nothing can follow: the member is shown to be alive under the KEK of its next registration.
    let kek = bench.next_kek()?;
    bench.scene.ks.script.group.kek = Some(kek);
    let again = bench.registers_again(cx, Duration::from_secs(170));
    cx.require(again.is_some(), "the member did not register again when its SAs ended")?;
    bench.scene.finish(cx)
}

/// The registration before the end of the SAs shows whether a copy has prolonged them.
fn latest_replayed(cx: &mut Cx<'_>) -> Flow {
    const LIFE: u64 = 300;
    /// Late enough that a life that began anew would reach beyond the old one with its lead and jitter.
    const LATER: u64 = 140;
    let mut bench = Bench::fresh(cx, |_| {}, |script| tek_lifetime(script, 300))?;
    let first = bench.scene.ks.log.registrations;
    let spec = bench.rekey();
    let push = bench.scene.push(cx, spec)?;
    let start = push.at;
    bench.keyed(start);
    let acked = bench.scene.ack(cx, &push).is_some();
    cx.require(acked, "the valid PUSH was not acknowledged")?;
    let pause = (start + Duration::from_secs(LATER)).saturating_since(cx.world.now());
    bench.scene.ks.serve_for(cx.world, pause);
    let early = bench.scene.ks.log.registrations > first;
    cx.require(!early, "the member registered again in the first half of the life of its SAs")?;
    let before = bench.acks_of(&push);
    bench.scene.ks.replay_push(cx.world, &push);
    bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
    cx.world.note(&format!("the copy was acknowledged {} times", bench.acks_of(&push) - before));
    const RULE: Rule = Rule::new("push.copy-prolongs-nothing", &["REPLAY-001", "GDOI-NEG-142"]);
    let registered = bench.registers_before_end(cx, &RULE, LIFE);
    bench.finish_after(cx, registered)
}

fn older_replayed(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("push.older-copy-dropped", &["REPLAY-002", "GDOI-NEG-142", "GDOI-ACK-006"]);
    let mut bench = Bench::standard(cx)?;
    let spec = bench.rekey();
    let first = bench.scene.push(cx, spec)?;
    let acked = bench.scene.ack(cx, &first).is_some();
    cx.require(acked, "the first PUSH was not acknowledged")?;
    bench.scene.still_takes_pushes(cx)?;
    bench.scene.ks.replay_push(cx.world, &first);
    bench.stays_unacked(cx, &RULE, "the last but one", &first)?;
    for _ in 0..3 {
        bench.scene.still_takes_pushes(cx)?;
    }
    bench.scene.ks.replay_push(cx.world, &first);
    bench.stays_unacked(cx, &RULE, "one of long ago", &first)?;
    bench.finish(cx)
}

fn replay_after_restart(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("push.copy-from-before-restart-dropped", &["REPLAY-003", "GDOI-PULL-057"]);
    let mut bench = Bench::standard(cx)?;
    let spec = bench.rekey();
    let old = bench.scene.push(cx, spec)?;
    let acked = bench.scene.ack(cx, &old).is_some();
    cx.require(acked, "the PUSH before the restart was not acknowledged")?;
    bench.scene.still_takes_pushes(cx)?;
    cx.world.crash(0)?;
    cx.world.start(0, Role::Gm, &bench.scene.setup.to_toml())?;
    bench.scene.register(cx)?;
    bench.scene.ks.replay_push(cx.world, &old);
    bench.stays_unacked(cx, &RULE, "a PUSH from before the restart", &old)?;
    bench.finish(cx)
}

fn replay_from_elsewhere(cx: &mut Cx<'_>) -> Flow {
    const OLDER: &[&str] = &["REPLAY-004", "GDOI-NEG-142"];
    let mut bench = Bench::standard(cx)?;
    let spec = bench.rekey();
    let old = bench.scene.push(cx, spec)?;
    let acked = bench.scene.ack(cx, &old).is_some();
    cx.require(acked, "the first PUSH was not acknowledged")?;
    bench.scene.still_takes_pushes(cx)?;
    let elsewhere = cx.world.address(Party::Tester(1));
    for datagram in &old.datagrams {
        let mut copy = datagram.clone();
        copy.src = elsewhere;
        cx.world.send(copy);
    }
    let acks = acks_at(cx, 1, ACK_WINDOW).len() + bench.acks_of(&old).saturating_sub(1);
    let observed = format!("{acks} acknowledgements");
    cx.grave_silence("push.copy-from-elsewhere-dropped", OLDER, acks == 0, "no acknowledgement", observed);
    bench.finish(cx)
}

fn no_window(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.lower-number-refused", &["GDOI-PUSH-039", "GDOI-NEG-143"]);
    let mut bench = Bench::standard(cx)?;
    let last = bench.last();
    let newest = bench.rekey().seq(last + 40);
    let ack = bench.acked(cx, newest)?;
    cx.require(ack.is_some(), "a number 40 ahead was not accepted")?;
    for behind in [1, 2, 31, 39] {
        let spec = bench.rekey().seq(last + 40 - behind);
        bench.unacked(cx, &RULE, &format!("{behind} behind the last"), spec)?;
    }
    bench.finish(cx)
}

fn zero(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.zero-refused", &["GDOI-NEG-141"]);
    const ONE: Rule = Rule::new("push.one-accepted", &["GDOI-PUSH-037"]);
    let mut bench = Bench::fresh(cx, |_| {}, |_| {})?;
    let spec = bench.rekey().seq(0);
    bench.unacked(cx, &RULE, "number 0", spec)?;
    let spec = bench.rekey();
    bench.accept(cx, &ONE, "number 1", spec)?;
    bench.finish(cx)
}

fn number_of_registration(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.number-of-registration-refused", &["GDOI-NEG-144", "GDOI-PULL-057"]);
    const NEXT: Rule = Rule::new("push.number-after-registration-accepted", &["GDOI-PULL-057"]);
    let mut bench = Bench::fresh(cx, |_| {}, |script| kek_of(script, |kek| kek.seq = 7))?;
    for seq in [7, 6, 1] {
        let spec = bench.rekey().seq(seq);
        bench.unacked(cx, &RULE, &format!("number {seq} after a registration with 7"), spec)?;
    }
    bench.set_last(7);
    let spec = bench.rekey();
    let ack = bench.acked(cx, spec)?;
    let observed = if ack.is_some() { "acknowledged" } else { "no acknowledgement" };
    cx.check(NEXT.id, NEXT.requirements, ack.is_some(), "number 8 is accepted", observed);
    bench.finish(cx)
}

fn bad_high_number(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("push.bad-high-number-refused", &["GDOI-PUSH-042", "GDOI-NEG-160"]);
    let mut bench = Bench::standard(cx)?;
    bench.refuse_each(
        cx,
        &RULE,
        vec![
            ("a wrong signature", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::SIG, 20, 3))),
            ("an SA without KD", Tamper::content(|m| edit::remove(m, PayloadType::KEY_DOWNLOAD))),
        ],
    )?;
    // The highest number of all: what it moves never comes back.
    let spec = bench.rekey().seq(u32::MAX).tamper(Tamper::sealed(|m| edit::flip_bit(m, PayloadType::SIG, 0, 0)));
    bench.scene.push(cx, spec.commit(false))?;
    let valid = bench.rekey();
    let alive = bench.acked(cx, valid)?.is_some();
    let observed = if alive { "acknowledged" } else { "no acknowledgement" };
    let expected = "the next valid PUSH is acknowledged";
    cx.grave("push.refused-leaves-counter", &["GDOI-PUSH-042", "GDOI-NEG-160"], alive, expected, observed);
    bench.finish(cx)
}

fn retransmissions(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.retransmission-counts-once", &["REKEY-015", "GDOI-NEG-142"]);
    let mut bench = Bench::standard(cx)?;
    let spec = bench.rekey();
    let push = bench.scene.push(cx, spec)?;
    let acked = bench.scene.ack(cx, &push).is_some();
    cx.require(acked, "the valid PUSH was not acknowledged")?;
    for _ in 0..2 {
        bench.scene.ks.serve_for(cx.world, Duration::from_secs(10));
        bench.scene.ks.replay_push(cx.world, &push);
    }
    bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
    // Whether it acknowledges again is its own choice.
    cx.measure(
        "acknowledgements of three copies",
        f64::from(u32::try_from(bench.acks_of(&push)).unwrap_or(u32::MAX)),
        "",
    );
    let spec = bench.rekey().seq(push.seq);
    bench.unacked(cx, &RULE, "other content under its number", spec)?;
    bench.finish(cx)
}

fn kek_delivery_replayed(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("push.kek-copy-changes-nothing", &["REKEY-024", "GDOI-NEG-142"]);
    let mut bench = Bench::standard(cx)?;
    let kek = bench.next_kek()?;
    let delivery = bench.scene.push(cx, PushSpec::kek(kek))?;
    let acked = bench.scene.ack(cx, &delivery).is_some();
    cx.require(acked, "the PUSH with the KEK was not acknowledged")?;
    let spec = bench.rekey();
    let first = bench.scene.push(cx, spec)?;
    let acked = bench.scene.ack(cx, &first).is_some();
    cx.require(acked, "the first PUSH under the new KEK was not acknowledged")?;
    bench.scene.still_takes_pushes(cx)?;
    bench.scene.ks.replay_push(cx.world, &delivery);
    bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
    bench.scene.ks.replay_push(cx.world, &first);
    bench.stays_unacked(cx, &RULE, "number 1 of the new KEK after a copy of its delivery", &first)?;
    // Other octets with that number, in case copies are recognised before anything else.
    let spec = bench.rekey().seq(1);
    bench.unacked(cx, &RULE, "another number 1 of the new KEK after it", spec)?;
    bench.finish(cx)
}
