//! Rekeys that do not fit one packet.

use hallmark_core::{Datagram, Duration};
use hallmark_probe::fragment::IpPieces;
use hallmark_probe::group::Flow as Traffic;
use hallmark_probe::ks::{PushSent, PushSpec};

use super::kit::{Bench, Rule};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::ACK_WINDOW;

/// Entries of the access list that push a rekey past 1500 octets.
const ACES: usize = 20;

pub(crate) const CASES: &[Case] = &[
    case! {
        "FRAG-001", "gdoi.fragmentation", Must, Gm,
        title: "a rekey in IP fragments is accepted, whatever their size",
        purpose: "Eight entries of an access list are enough to push a rekey past 1500 octets.",
        requirements: ["FRAG-001"],
        sources: ["getvpn §9.7", "RFC 791 §3.2"],
        catches: ["frag_reasm"],
        needs: [RawIp],
        cost: 20,
        run: in_order,
    },
    case! {
        "FRAG-002", "gdoi.fragmentation", Must, Gm,
        title: "fragments are accepted in any order",
        purpose: "Paths with several links reorder; a member that wants the first fragment first loses rekeys now and then.",
        requirements: ["FRAG-002"],
        sources: ["getvpn §6 P26", "RFC 791 §3.2"],
        catches: ["frag_reasm"],
        needs: [RawIp],
        cost: 20,
        run: any_order,
    },
    case! {
        "FRAG-003", "gdoi.fragmentation", Must, Gm,
        title: "duplicate fragments give one rekey",
        purpose: "Networks with redundant trees deliver fragments twice.",
        requirements: ["FRAG-003"],
        sources: ["getvpn §9.7"],
        catches: ["frag_reasm"],
        needs: [RawIp],
        cost: 20,
        run: duplicates,
    },
    case! {
        "FRAG-004", "gdoi.fragmentation", Should, Gm,
        title: "fragments that are 5 s apart are put together",
        purpose: "Reassembly waits for what congestion delays.",
        requirements: ["FRAG-004"],
        sources: ["getvpn §9.7", "RFC 1122 §3.3.2"],
        catches: ["frag_reasm"],
        needs: [RawIp],
        cost: 30,
        run: gap,
    },
    case! {
        "FRAG-005", "gdoi.fragmentation", Must, Gm,
        title: "a rekey with a lost fragment is made good by its retransmission",
        purpose: "Half a rekey must not keep the whole one out that follows.",
        requirements: ["FRAG-005"],
        sources: ["getvpn §9.7"],
        catches: ["frag_reasm"],
        needs: [RawIp],
        cost: 40,
        run: lost,
    },
    case! {
        "FRAG-006", "gdoi.fragmentation", Should, Gm,
        title: "fragments that overlap with other content harm nobody",
        purpose: "Overlap is how fragments smuggle one content past a filter and another into the host.",
        requirements: ["FRAG-006"],
        sources: ["getvpn §6 P26", "RFC 5722 §4"],
        catches: ["frag_reasm"],
        needs: [RawIp],
        cost: 40,
        run: overlap,
    },
    case! {
        "FRAG-007", "gdoi.fragmentation", Must, Gm,
        title: "rekeys of 9, 30 and 60 kB are accepted or refused, and the member works on",
        purpose: "Large access lists exist; what a member cannot take it must survive.",
        requirements: ["FRAG-007", "GDOI-NEG-183"],
        sources: ["getvpn §9.7"],
        catches: ["frag_reasm", "gm_deaf_after_large_push"],
        cost: 30,
        run: sizes,
    },
    case! {
        "FRAG-014", "gdoi.fragmentation", Must, Gm,
        title: "a burst of incomplete fragments does not keep a rekey out",
        purpose: "Fragments that never complete fill the memory of whoever keeps them all.",
        requirements: ["FRAG-014"],
        sources: ["getvpn §9.7"],
        catches: ["frag_reasm"],
        needs: [RawIp],
        cost: 40,
        run: flood,
    },
];

/// Makes a rekey of so many entries.
fn large(bench: &mut Bench, aces: usize) -> PushSpec {
    PushSpec::tek(bench.next_tek().flows(Traffic::many(aces)))
}

/// Builds a rekey of more than 1500 octets that counts, without sending it.
fn built(cx: &mut Cx<'_>, bench: &mut Bench) -> Flow<(PushSent, Datagram)> {
    let spec = large(bench, ACES).commit(true);
    let push = bench.scene.ks.build_push(cx.world, &spec).map_err(|fault| Stop::Inconclusive(fault.to_string()))?;
    let datagram = cx.have(push.datagrams.first().cloned(), "the PUSH has no destination")?;
    cx.require(datagram.payload.len() > 1_500, format!("the PUSH has only {} octets", datagram.payload.len()))?;
    Ok((push, datagram))
}

/// Sends pieces and judges that the PUSH is acknowledged.
fn accepted(
    cx: &mut Cx<'_>,
    bench: &mut Bench,
    rule: &Rule,
    what: &str,
    pause: Duration,
    pieces: impl FnOnce(&Datagram, u16) -> IpPieces,
) -> Flow {
    let (push, datagram) = built(cx, bench)?;
    let ident = ident(cx);
    let pieces = pieces(&datagram, ident);
    let count = pieces.packets().len();
    pieces.send(cx.world, pause)?;
    let ack = bench.scene.ack(cx, &push);
    let came = if ack.is_some() { "acknowledged" } else { "no acknowledgement" };
    let observed = format!("{what}, {count} packets: {came}");
    cx.check(rule.id, rule.requirements, ack.is_some(), "an acknowledgement", observed);
    if ack.is_some() { Ok(()) } else { Err(Stop::Judged) }
}

fn ident(cx: &mut Cx<'_>) -> u16 {
    u16::from_be_bytes(cx.world.rng().octets())
}

fn in_order(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.fragments-accepted", &["FRAG-001"]);
    let mut bench = Bench::standard(cx)?;
    for mtu in [1_500, 1_400, 1_280, 576, 296] {
        accepted(cx, &mut bench, &RULE, &format!("packets of {mtu} octets"), Duration::ZERO, |d, id| {
            IpPieces::cut(d, id, mtu)
        })?;
    }
    bench.finish(cx)
}

fn any_order(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.fragment-order-free", &["FRAG-002"]);
    let mut bench = Bench::standard(cx)?;
    accepted(cx, &mut bench, &RULE, "last first", Duration::ZERO, |d, id| {
        let mut pieces = IpPieces::cut(d, id, 576);
        pieces.reverse();
        pieces
    })?;
    accepted(cx, &mut bench, &RULE, "first last", Duration::ZERO, |d, id| {
        let mut pieces = IpPieces::cut(d, id, 1_500);
        pieces.swap(0, 1);
        pieces
    })?;
    accepted(cx, &mut bench, &RULE, "two in the middle exchanged", Duration::ZERO, |d, id| {
        let mut pieces = IpPieces::cut(d, id, 576);
        pieces.swap(1, 2);
        pieces
    })?;
    bench.finish(cx)
}

fn duplicates(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.duplicate-fragments", &["FRAG-003"]);
    let mut bench = Bench::standard(cx)?;
    accepted(cx, &mut bench, &RULE, "each twice", Duration::ZERO, |d, id| {
        let mut pieces = IpPieces::cut(d, id, 576);
        pieces.duplicate_all();
        pieces
    })?;
    accepted(cx, &mut bench, &RULE, "the first twice", Duration::ZERO, |d, id| {
        let mut pieces = IpPieces::cut(d, id, 1_500);
        pieces.duplicate(0);
        pieces
    })?;
    bench.finish(cx)
}

fn gap(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.slow-fragments", &["FRAG-004"]);
    let mut bench = Bench::standard(cx)?;
    accepted(cx, &mut bench, &RULE, "1 s apart", Duration::from_secs(1), |d, id| IpPieces::cut(d, id, 1_500))?;
    accepted(cx, &mut bench, &RULE, "5 s apart", Duration::from_secs(5), |d, id| IpPieces::cut(d, id, 1_500))?;
    bench.finish(cx)
}

fn lost(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::new("push.lost-fragment", &["FRAG-005"]);
    let mut bench = Bench::standard(cx)?;
    for index in 0..2 {
        let (push, datagram) = built(cx, &mut bench)?;
        let first = ident(cx);
        let mut pieces = IpPieces::cut(&datagram, first, 1_500);
        pieces.drop_piece(index);
        pieces.send(cx.world, Duration::ZERO)?;
        bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
        let early = bench.was_acked(&push);
        let observed =
            format!("fragment {index} missing: {}", if early { "acknowledged" } else { "no acknowledgement" });
        cx.silence("push.incomplete-not-taken", &["FRAG-005"], !early, "no acknowledgement", observed);
        // A retransmission has an identification of its own.
        IpPieces::cut(&datagram, first.wrapping_add(1), 1_500).send(cx.world, Duration::ZERO)?;
        let ack = bench.scene.ack(cx, &push);
        let came = if ack.is_some() { "acknowledged" } else { "no acknowledgement" };
        let observed = format!("the retransmission after fragment {index} was lost: {came}");
        cx.check(RULE.id, RULE.requirements, ack.is_some(), "an acknowledgement", observed);
        if ack.is_none() {
            return Err(Stop::Judged);
        }
    }
    bench.finish(cx)
}

fn overlap(cx: &mut Cx<'_>) -> Flow {
    const RULE: Rule = Rule::grave("push.alive-after-overlap", &["FRAG-006"]);
    let mut bench = Bench::standard(cx)?;
    for (what, at, from, to) in [
        ("an overlap before the rest", 0, 800, 1_200),
        ("an overlap behind the first piece", 1, 400, 800),
        ("an overlap of the beginning", 1, 0, 64),
    ] {
        let (push, datagram) = built(cx, &mut bench)?;
        let first = ident(cx);
        let mut pieces = IpPieces::cut(&datagram, first, 576);
        pieces.overlap(at, from, to);
        pieces.send(cx.world, Duration::ZERO)?;
        bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
        // Either the set is dropped or the content that came is the right one: the signature sees to that.
        cx.world.note(if bench.was_acked(&push) { "the PUSH was put together" } else { "the set was dropped" });
        IpPieces::cut(&datagram, first.wrapping_add(1), 576).send(cx.world, Duration::ZERO)?;
        let known = bench.was_acked(&push);
        let whole = known || bench.scene.ack(cx, &push).is_some();
        let observed = format!("{what}: the whole PUSH is {}", if whole { "acknowledged" } else { "not acknowledged" });
        cx.grave(RULE.id, RULE.requirements, whole, "the whole PUSH is acknowledged", observed);
        if !whole {
            return Err(Stop::Judged);
        }
    }
    let (push, datagram) = built(cx, &mut bench)?;
    let first = ident(cx);
    IpPieces::tiny_first(&datagram, first).send(cx.world, Duration::ZERO)?;
    bench.scene.ks.serve_for(cx.world, ACK_WINDOW);
    cx.world.note(if bench.was_acked(&push) {
        "a tiny first fragment is taken"
    } else {
        "a tiny first fragment is dropped"
    });
    bench.finish(cx)
}

fn sizes(cx: &mut Cx<'_>) -> Flow {
    const REQUIREMENTS: &[&str] = &["FRAG-007", "GDOI-NEG-183"];
    let mut bench = Bench::standard(cx)?;
    let mut largest = 0;
    for aces in [20, 100, 350, 700] {
        let spec = large(&mut bench, aces).commit(true);
        let push = bench.scene.push(cx, spec)?;
        let len = push.datagrams.first().map_or(0, |datagram| datagram.payload.len());
        let taken = bench.scene.ack(cx, &push).is_some();
        if taken {
            largest = len;
        }
        cx.world.note(&format!("{len} octets: {}", if taken { "acknowledged" } else { "no acknowledgement" }));
        let small = PushSpec::tek(bench.next_tek().flows(vec![Traffic::standard()]));
        let alive = bench.acked(cx, small)?.is_some();
        let observed = format!("after {len} octets: {}", if alive { "acknowledged" } else { "no acknowledgement" });
        cx.grave("push.alive-after-large", REQUIREMENTS, alive, "a small PUSH is acknowledged", observed);
        if !alive {
            return Err(Stop::Judged);
        }
        if aces == 20 {
            let observed = format!("{len} octets: {}", if taken { "acknowledged" } else { "no acknowledgement" });
            cx.check("push.beyond-one-packet", REQUIREMENTS, taken, "2 kB are accepted", observed);
        }
    }
    cx.measure("largest PUSH accepted", f64::from(u32::try_from(largest).unwrap_or(u32::MAX)), "octets");
    bench.finish(cx)
}

fn flood(cx: &mut Cx<'_>) -> Flow {
    /// Fewer than a good stack holds at once: more may rightly be refused until the first have timed out.
    const BURST: u16 = 200;
    const RULE: Rule = Rule::new("push.fragment-flood", &["FRAG-014"]);
    let mut bench = Bench::standard(cx)?;
    let (_, datagram) = built(cx, &mut bench)?;
    for round in 0..BURST {
        let mut pieces = IpPieces::cut(&datagram, 50_000 + round, 1_500);
        // Now the end is missing, now the beginning.
        pieces.drop_piece(usize::from(round % 2));
        pieces.send(cx.world, Duration::ZERO)?;
        if round % 20 == 19 {
            bench.scene.ks.serve_for(cx.world, Duration::from_millis(20));
        }
    }
    // Retransmissions are part of the budget: one now, one after 10 s, one after 20 s.
    let (push, datagram) = built(cx, &mut bench)?;
    let mut acked = false;
    for round in 0..3 {
        IpPieces::cut(&datagram, 40_000 + round, 1_500).send(cx.world, Duration::ZERO)?;
        let deadline = cx.in_secs(10);
        acked = bench.scene.ks.await_ack(cx.world, &push, deadline).is_some();
        if acked {
            break;
        }
    }
    let observed = if acked { "acknowledged" } else { "no acknowledgement" };
    cx.check(RULE.id, RULE.requirements, acked, "an acknowledgement within three transmissions", observed);
    if !acked {
        return Err(Stop::Judged);
    }
    bench.finish(cx)
}
