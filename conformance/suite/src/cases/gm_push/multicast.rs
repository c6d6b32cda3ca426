//! Rekeys by multicast.

use hallmark_core::Duration;
use hallmark_probe::edit;
use hallmark_probe::keys;
use hallmark_probe::ks::{KsScript, PushSpec};
use hallmark_probe::tamper::Tamper;
use hallmark_probe::world::{Party, World};
use hallmark_wire::gdoi::Selector;
use hallmark_wire::isakmp::PayloadType;

use super::kit::{Bench, Rule, kek_of, tek_lifetime};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::ACK_WINDOW;

pub(crate) const CASES: &[Case] = &[
    case! {
        "MCAST-004", "gdoi.multicast", Must, Gm,
        title: "a member joins the group of the SAK and takes rekeys from there",
        purpose: "One datagram rekeys the whole group, if each member listens where the policy says.",
        requirements: ["MCAST-004", "GDOI-ACK-005"],
        sources: ["RFC 6407 §4", "RFC 6407 §5.3"],
        catches: ["gm_multicast_never_joined", "gm_ack_unrequested"],
        needs: [Multicast],
        cost: 25,
        run: joins,
    },
    case! {
        "MCAST-005", "gdoi.multicast", Must, Gm,
        title: "the copies of a multicast rekey are one rekey",
        purpose: "A server sends each multicast rekey several times; every copy but the first must pass unnoticed.",
        requirements: ["MCAST-005", "GDOI-NEG-142"],
        sources: ["getvpn §3.3"],
        catches: ["gm_copy_moves_counter"],
        needs: [Multicast],
        cost: 25,
        run: copies,
    },
    case! {
        "MCAST-006", "gdoi.multicast", Must, Gm,
        title: "a member that missed every copy registers again before its TEK ends",
        purpose: "Multicast is not acknowledged and can be lost for one member alone.",
        requirements: ["MCAST-006", "GDOI-PUSH-057"],
        sources: ["getvpn §3.3", "RFC 8263 §4"],
        catches: ["gm_never_reregisters", "gm_reregisters_late"],
        needs: [Multicast],
        cost: 150,
        run: missed,
    },
    case! {
        "MCAST-007", "gdoi.multicast", Must, Gm,
        title: "a rekey can move the group from unicast to multicast and back",
        purpose: "Switching to unicast is the first step when multicast rekeys get lost; members must follow by rekey.",
        requirements: ["MCAST-007", "GDOI-PUSH-046"],
        sources: ["getvpn §3.3"],
        catches: ["gm_multicast_not_followed"],
        needs: [Multicast],
        cost: 25,
        run: transition,
    },
    case! {
        "MCAST-008", "gdoi.multicast", Must, Gm,
        title: "forged multicast rekeys are ignored",
        purpose: "Anyone in the network can send to the group.",
        requirements: ["MCAST-008", "GDOI-PUSH-041", "GDOI-PUSH-042", "GDOI-PUSH-058"],
        sources: ["RFC 6407 §4.4"],
        catches: ["gm_no_sig_check", "gm_unsigned_accepted"],
        needs: [Multicast],
        cost: 25,
        run: forged,
    },
    case! {
        "MCAST-009", "gdoi.multicast", Should, Gm,
        title: "a unicast copy of a rekey of a multicast group is treated in one way",
        purpose: "Servers may serve a member that multicast does not reach by unicast. Either answer is fine, as long as \
                  it is the same each time.",
        requirements: ["MCAST-009", "GDOI-PUSH-061"],
        sources: ["getvpn §9.6"],
        catches: ["gm_unicast_every_other"],
        needs: [Multicast],
        cost: 30,
        run: unicast_copy,
    },
];

/// Makes the selector of the first multicast group that the case may use.
fn group(world: &dyn World) -> Selector {
    let group = world.address(Party::Group(0));
    Selector { port: group.port(), ..Selector::from_ip(group.ip()) }
}

fn by_multicast(script: &mut KsScript, group: &Selector) {
    kek_of(script, |kek| kek.dst = Some(group.clone()));
}

/// A member of a multicast group that has taken a PUSH from there.
fn listening(cx: &mut Cx<'_>, change: impl FnOnce(&mut KsScript)) -> Flow<Bench> {
    let group = group(cx.world);
    let mut bench = Bench::fresh(
        cx,
        |_| {},
        |script| {
            by_multicast(script, &group);
            change(script);
        },
    )?;
    joined(cx, &mut bench);
    bench.scene.still_takes_pushes(cx)?;
    bench.keyed(cx.world.now());
    Ok(bench)
}

/// Gives the network time to learn that the member has joined.
fn joined(cx: &mut Cx<'_>, bench: &mut Bench) {
    bench.scene.ks.serve_for(cx.world, Duration::from_secs(3));
}

fn joins(cx: &mut Cx<'_>) -> Flow {
    const REQUIREMENTS: &[&str] = &["MCAST-004", "GDOI-ACK-005"];
    const TAKEN: Rule = Rule::new("push.multicast-taken", &["MCAST-004"]);
    let group = group(cx.world);
    let mut bench = Bench::fresh(
        cx,
        |_| {},
        |script| {
            by_multicast(script, &group);
            kek_of(script, |kek| kek.ack = None);
        },
    )?;
    joined(cx, &mut bench);
    let spec = bench.rekey();
    let push = bench.scene.push(cx, spec)?;
    bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
    let acked = bench.was_acked(&push);
    let observed = if acked { "acknowledged" } else { "no acknowledgement" };
    cx.silence("push.multicast-not-acknowledged", REQUIREMENTS, !acked, "no acknowledgement", observed);
    // A KEK that asks for acknowledgements shows that rekeys arrive.
    let mut kek = bench.next_kek()?;
    kek.ack = Some(1);
    bench.accept(cx, &TAKEN, "a KEK by multicast", PushSpec::kek(kek))?;
    let spec = bench.rekey();
    bench.accept(cx, &TAKEN, "a TEK by multicast under it", spec)?;
    bench.finish(cx)
}

fn copies(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.multicast-copies-count-once", &["MCAST-005", "GDOI-NEG-142"]);
    let mut bench = listening(cx, |_| {})?;
    for round in 1..=2 {
        let spec = bench.rekey().copies(3);
        let push = bench.scene.push(cx, spec)?;
        bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
        let count = bench.acks_of(&push);
        cx.world.note(&format!("four copies, {count} acknowledgements"));
        let spec = bench.rekey();
        bench.accept(cx, &RULE, &format!("the next rekey after {round} times four copies"), spec)?;
    }
    bench.finish(cx)
}

fn missed(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.registers-after-missed-multicast", &["MCAST-006", "GDOI-PUSH-057"]);
    let mut bench = listening(cx, |script| tek_lifetime(script, 140))?;
    let registered = bench.registers_before_end(cx, &RULE, 140);
    bench.finish_after(cx, registered)
}

fn transition(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.transport-followed", &["MCAST-007", "GDOI-PUSH-046"]);
    let mut bench = Bench::standard(cx)?;
    let group = group(cx.world);
    let mut kek = bench.next_kek()?;
    kek.dst = Some(group);
    bench.accept(cx, &RULE, "the change to multicast, by unicast", PushSpec::kek(kek))?;
    joined(cx, &mut bench);
    for round in 1..=2 {
        let spec = bench.rekey();
        bench.accept(cx, &RULE, &format!("rekey {round} by multicast"), spec)?;
    }
    let mut kek = bench.next_kek()?;
    kek.dst = None;
    bench.accept(cx, &RULE, "the change to unicast, by multicast", PushSpec::kek(kek))?;
    let spec = bench.rekey();
    bench.accept(cx, &RULE, "a rekey by unicast", spec)?;
    bench.finish(cx)
}

fn forged(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("push.forged-multicast-refused", &["MCAST-008", "GDOI-PUSH-041"]);
    let other = cx.have(keys::load(keys::OTHER_RSA_2048_PEM), "a key of the tester does not load")?;
    let mut bench = listening(cx, |_| {})?;
    bench.refuse_each(
        cx,
        &RULE,
        vec![
            ("signed by another key", Tamper::none().sign_with(other)),
            ("unsigned", Tamper::sealed(|m| edit::remove(m, PayloadType::SIG))),
            ("one bit of SIG flipped", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::SIG, 60, 5))),
        ],
    )?;
    bench.finish(cx)
}

fn unicast_copy(cx: &mut Cx<'_>) -> Flow {
    // Which of the two it is is free; that it changes is a fault of some kind, so this can only warn.
    const CONSISTENT: Rule = Rule::advisory("push.unicast-consistent", &["MCAST-009", "GDOI-PUSH-061"]);
    let mut bench = listening(cx, |_| {})?;
    let to = cx.subject();
    let mut taken = Vec::new();
    for _ in 0..3 {
        let spec = bench.rekey().to(to);
        let push = bench.scene.push(cx, spec)?;
        bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
        taken.push(bench.was_acked(&push));
    }
    let count = taken.iter().filter(|taken| **taken).count();
    let ok = count == 0 || count == taken.len();
    let observed = format!("{count} of {} accepted", taken.len());
    CONSISTENT.silence(cx, ok, "all or none", observed);
    bench.scene.ks.serve_for(cx.world, Duration::from_secs(1));
    bench.finish(cx)
}
