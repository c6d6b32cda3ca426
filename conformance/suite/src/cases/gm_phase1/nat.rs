//! NAT traversal as the side that begins.

use hallmark_core::Datagram;
use hallmark_crypto::ike::nat_d;
use hallmark_probe::edit;
use hallmark_probe::ks::Reply;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::isakmp::{ExchangeType, NotifyType, PayloadType, vendor_id};

use super::kit::{
    WINDOW, cookies, garbage, has_sa, informationals, message, needs, numbers, observe, observed, reach, registers,
    sent, start, words,
};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::GmScene;

/// The port of NAT traversal.
const NAT_T_PORT: u16 = 4500;

pub(crate) const CASES: &[Case] = &[
    case! {
        "NATG-001", "gdoi.nat", Must, Gm,
        title: "a member sends NAT-D only when the server has announced NAT traversal",
        purpose: "A server that does not know the payload may refuse the message that holds it.",
        requirements: ["IKE-NAT-001"],
        sources: ["RFC 3947 §3.1"],
        catches: ["ike_nat_d_without_vendor_id"],
        run: without_vendor_id,
    },
    case! {
        "NATG-002", "gdoi.nat", Must, Gm,
        title: "NAT-D holds the hashes of the real addresses and ports, the server's first",
        purpose: "GDOI runs on port 848; a member that hashes 500 by habit finds a NAT where there is none.",
        requirements: ["IKE-NAT-002", "IKE-NAT-003"],
        sources: ["RFC 3947 §3.2"],
        catches: ["ike_nat_d_reversed", "ike_nat_d_port_500"],
        run: hashes,
    },
    case! {
        "NATG-003", "gdoi.nat", Must, Gm,
        title: "a member that moves to port 4500 puts the marker in front of every message and stays there",
        purpose: "Without four zero octets in front, the server reads the message as ESP.",
        requirements: ["IKE-NAT-005", "IKE-NAT-012", "IKE-MM-019", "GDOI-P1-007"],
        sources: ["RFC 3947 §4", "RFC 3948 §2.2"],
        catches: ["ike_marker_missing"],
        needs: [Setup],
        run: moves,
    },
    case! {
        "NATG-004", "gdoi.nat", Should, Gm,
        title: "a message without marker on port 4500 is not read as IKE",
        purpose: "There it is ESP, whatever its first octets look like.",
        requirements: ["IKE-NAT-012"],
        sources: ["RFC 3948 §2.2"],
        catches: ["ike_missing_marker_accepted"],
        needs: [Setup],
        run: marker_missing,
    },
    case! {
        "NATG-005", "gdoi.nat", Should, Gm,
        title: "NAT-D of a wrong length, or none at all, does no harm",
        purpose: "The payload is not authenticated when it is read.",
        requirements: ["IKE-NAT-011"],
        sources: ["RFC 3947 §3.2"],
        catches: ["ike_odd_nat_d_kills"],
        cost: 20,
        run: odd_lengths,
    },
    case! {
        "NATG-006", "gdoi.nat", Should, Gm,
        title: "only authentic messages move the server's address",
        purpose: "Otherwise a datagram with the right cookies leads the member's messages to whoever sent it.",
        requirements: ["IKE-NAT-010"],
        sources: ["RFC 3947 §4"],
        catches: ["ike_endpoint_moved_by_any_packet"],
        cost: 10,
        run: not_moved_by_garbage,
    },
    case! {
        "NATG-007", "gdoi.nat", Should, Gm,
        title: "a keepalive is not answered",
        purpose: "Two ends that answer each other's keepalives never stop.",
        requirements: ["IKE-NAT-009"],
        sources: ["RFC 3948 §2.3"],
        catches: ["ike_keepalive_answered"],
        run: keepalives,
    },
];

fn without_vendor_id(cx: &mut Cx<'_>) -> Flow {
    let mut scene =
        start(cx, |_| {}, |script| script.vendor_ids.retain(|id| id.as_slice() != vendor_id::NAT_T_RFC3947))?;
    drop(observe(cx, &mut scene)?);
    needs_nat_t(cx, &scene)?;
    let count = message(cx, &scene.ks, Step::Main3)?.count(PayloadType::NAT_D);
    cx.check("nat.no-nat-d-unasked", &["IKE-NAT-001"], count == 0, "no NAT-D in message 3", count);
    Ok(())
}

fn needs_nat_t(cx: &Cx<'_>, scene: &GmScene) -> Flow {
    needs(cx, scene, &vendor_id::NAT_T_RFC3947, "gm.nat-t")
}

fn hashes(cx: &mut Cx<'_>) -> Flow {
    let scene = observed(cx)?;
    needs_nat_t(cx, &scene)?;
    let third = message(cx, &scene.ks, Step::Main3)?;
    let (initiator, responder) = cookies(&third);
    let hash = |address| nat_d(hallmark_crypto::HashAlg::Sha256, &initiator, &responder, address);
    let received: Vec<&[u8]> = third.bodies(PayloadType::NAT_D).collect();
    let first = received.first().is_some_and(|body| *body == hash(third.datagram.dst));
    let rest = received.iter().skip(1).any(|body| *body == hash(third.datagram.src));
    let observed =
        format!("{} payloads, the first is ours: {first}, the member's among the rest: {rest}", received.len());
    let requirements = ["IKE-NAT-002", "IKE-NAT-003"];
    cx.check(
        "nat.nat-d",
        &requirements,
        first && rest,
        "first the server's address and port, then the member's",
        observed,
    );
    Ok(())
}

/// Starts a member that has port 4500 and lets it see a NAT. Whether it moves is left open: `None` when it stays.
fn behind_nat(cx: &mut Cx<'_>) -> Flow<GmScene> {
    let mut scene = start(cx, |setup| setup.nat_t_port = Some(NAT_T_PORT), |_| {})?;
    let mut own = scene.ks.script.me;
    own.set_port(NAT_T_PORT);
    cx.world.listen(own)?;
    scene.ks.tamper(Step::Main4, Tamper::content(|m| edit::flip_bit(m, PayloadType::NAT_D, 0, 0)));
    Ok(scene)
}

/// Ends the case as not applicable when the member stayed on its port.
fn moved(scene: &GmScene) -> Flow {
    let on_4500 = scene.ks.log.entries.iter().any(|seen| seen.datagram.dst.port() == NAT_T_PORT);
    if on_4500 { Ok(()) } else { Err(Stop::NotSupported("gm.nat-t-float".to_owned(), "false".to_owned())) }
}

fn moves(cx: &mut Cx<'_>) -> Flow {
    let mut scene = behind_nat(cx)?;
    let result = observe(cx, &mut scene)?;
    needs_nat_t(cx, &scene)?;
    moved(&scene)?;
    let late = |step: Step| !matches!(step, Step::Main1 | Step::Main3 | Step::Keepalive);
    let (mut bare, mut back) = (Vec::new(), Vec::new());
    for seen in &scene.ks.log.entries {
        let on_4500 = seen.datagram.dst.port() == NAT_T_PORT;
        if on_4500 && !seen.marker && seen.step != Step::Keepalive {
            bare.push(seen.step.to_string());
        }
        if !on_4500 && late(seen.step) {
            back.push(seen.step.to_string());
        }
    }
    let requirements = ["IKE-NAT-012", "IKE-NAT-005"];
    let check = hallmark_catalogue::Check::new("nat.marker-sent", &requirements).at(cx.world.now());
    let ok = bare.is_empty();
    // RFC 3948 §2.2 says MUST of the sender; the (H) of the row is about the receiver.
    cx.record(check.level(hallmark_catalogue::Level::Must).saw(
        ok,
        "four zero octets in front on 4500",
        format!("without: {}", bare.join(", ")),
    ));
    if ok {
        cx.check(
            "nat.stays-on-4500",
            &["IKE-MM-019", "GDOI-P1-007"],
            back.is_empty(),
            "everything from message 5 on",
            format!("on the old port: {}", back.join(", ")),
        );
        let fifth = message(cx, &scene.ks, Step::Main5)?;
        let port = fifth.identification().map(|id| id.port);
        cx.check("nat.id-port-zero", &["IKE-MM-019"], port == Some(0), "port 0 in the ID", format!("{port:?}"));
        let outcome = result.map_or_else(|fault| fault.to_string(), |()| "registered".to_owned());
        cx.check(
            "nat.registers-on-4500",
            &["IKE-MM-019"],
            outcome == "registered",
            "the registration completes",
            outcome,
        );
    }
    Ok(())
}

fn marker_missing(cx: &mut Cx<'_>) -> Flow {
    let mut scene = behind_nat(cx)?;
    scene.register(cx)?;
    needs_nat_t(cx, &scene)?;
    moved(&scene)?;
    needs(cx, &scene, &vendor_id::DPD[..14], "gm.dpd")?;
    scene.ks.untamper();
    scene.ks.serve_for(cx.world, WINDOW);
    if scene.ks.sa().is_none() {
        return Err(Stop::NotSupported("gm.keeps-phase-1".to_owned(), "false".to_owned()));
    }
    let query = sent(scene.ks.compose_r_u_there(3))?;
    let member = cx.have(scene.ks.members.last().cloned(), "no member registered")?;
    cx.world.send(Datagram::new(member.local, member.address, query));
    let came = informationals(cx, &mut scene.ks, WINDOW);
    let acked = !numbers(came.iter(), NotifyType::R_U_THERE_ACK).is_empty();
    cx.silence("nat.marker-required", &["IKE-NAT-012"], !acked, "no R-U-THERE-ACK", words(&came));
    let there = has_sa(cx, &mut scene.ks, 4)?;
    cx.require(there, "a query with marker is not answered")?;
    cx.alive_after("a query with marker was answered");
    Ok(())
}

fn odd_lengths(cx: &mut Cx<'_>) -> Flow {
    let body = |len: usize| Tamper::content(move |m| edit::body(m, PayloadType::NAT_D, |body| body.resize(len, 0)));
    let odd: Vec<(&str, Tamper)> = vec![
        ("1 octet", body(1)),
        ("no octet", body(0)),
        ("300 octets", body(300)),
        ("no NAT-D", Tamper::content(|m| edit::remove(m, PayloadType::NAT_D))),
        ("30 NAT-D", Tamper::content(|m| (0..30).for_each(|_| edit::push(m, PayloadType::NAT_D, vec![9; 32])))),
    ];
    for (what, tamper) in odd {
        let mut scene = GmScene::standard(cx)?;
        scene.ks.tamper(Step::Main4, tamper);
        let outcome = observe(cx, &mut scene)?.map_or_else(|fault| fault.to_string(), |()| "registered".to_owned());
        needs_nat_t(cx, &scene)?;
        if outcome != "registered" {
            registers(cx, &["IKE-NAT-011"], what, &mut scene)?;
        }
        cx.check("nat.odd-nat-d", &["IKE-NAT-011"], true, "read as a NAT, or refused", format!("{what}: {outcome}"));
    }
    Ok(())
}

fn not_moved_by_garbage(cx: &mut Cx<'_>) -> Flow {
    let mut scene = GmScene::standard(cx)?;
    scene.ks.reply(Step::Main4, Reply::Silent);
    let request = reach(cx, &mut scene.ks, Step::Main3)?;
    let stranger = cx.tester(1);
    let before = scene.ks.log.count(Step::Main3);
    for (exchange, message_id) in [(ExchangeType::MAIN, 0), (ExchangeType::INFORMATIONAL, 99)] {
        let octets = garbage(cookies(&request), exchange, message_id, 64);
        cx.world.send(Datagram::new(stranger, request.datagram.src, octets));
    }
    // Longer than the second pause of a member that begins with 4 s.
    scene.ks.serve_for(cx.world, WINDOW * 3);
    let party = hallmark_probe::world::Party::Tester(1);
    let mut drawn = 0;
    let now = cx.world.now();
    while let Some(datagram) = cx.world.recv_at(party, now) {
        drawn += usize::from(datagram.payload.starts_with(&request.header.initiator_cookie));
    }
    let own = scene.ks.log.count(Step::Main3) - before;
    let observed = format!("the server got {own} copies of message 3, the stranger {drawn} messages");
    cx.grave(
        "nat.moved-by-authentic-only",
        &["IKE-NAT-010"],
        drawn == 0 && own > 0,
        "copies go on to the server",
        observed,
    );
    registers(cx, &["IKE-NAT-010"], "after garbage from a stranger", &mut scene)
}

fn keepalives(cx: &mut Cx<'_>) -> Flow {
    let mut scene = GmScene::standard(cx)?;
    scene.register(cx)?;
    scene.ks.serve_for(cx.world, WINDOW);
    let before = scene.ks.log.entries.len();
    let (own, subject) = (scene.ks.script.me, cx.subject());
    for _ in 0..3 {
        cx.world.send(Datagram::new(own, subject, vec![0xff]));
    }
    scene.ks.serve_for(cx.world, WINDOW);
    let came = scene.ks.log.entries.get(before..).unwrap_or_default().to_vec();
    cx.silence("nat.keepalive-ignored", &["IKE-NAT-009"], came.is_empty(), "nothing", words(&came));
    scene.finish(cx)
}
