//! NAT traversal: finding NATs, moving to port 4500, and not being moved by anyone else.

use hallmark_core::{Datagram, Duration};
use hallmark_crypto::ike::nat_d;
use hallmark_probe::edit;
use hallmark_probe::gm::{NAT_T_PORT, ProbeGm};
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::isakmp::{ExchangeType, PayloadType, vendor_id};

use super::kit::{
    WINDOW, completes, garbage, lead_to, needs_dpd, needs_nat_t, sa_lives, sent, settle, survived, words,
};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::KsScene;
use crate::setup::KsSetup;

pub(crate) const CASES: &[Case] = &[
    case! {
        "NATK-001", "gdoi.nat", Must, Ks,
        title: "no NAT-D for a member that did not announce NAT traversal",
        purpose: "A member without the extension does not know the payload and drops message 4.",
        requirements: ["IKE-NAT-001"],
        sources: ["RFC 3947 §3.1"],
        catches: ["ike_nat_d_without_vendor_id"],
        needs: [Setup],
        run: without_vendor_id,
    },
    case! {
        "NATK-002", "gdoi.nat", Must, Ks,
        title: "NAT-D hashes the addresses and ports in use, the member's first",
        purpose: "With the wrong order, or port 500 by habit, every member believes that it is behind a NAT and moves \
                  to a port that the firewall may not pass.",
        requirements: ["IKE-NAT-002", "IKE-NAT-003"],
        sources: ["RFC 3947 §3.2"],
        catches: ["ike_nat_d_reversed", "ike_nat_d_port_500"],
        needs: [Setup],
        run: hashes,
    },
    case! {
        "NATK-003", "gdoi.nat", Must, Ks,
        title: "members are served on whatever port they send from, and answered there",
        purpose: "A NAT gives each member another source port; a server that insists on 848, or answers to it, never \
                  reaches them.",
        requirements: ["IKE-NAT-004", "IKE-HDR-013", "IKE-HDR-014"],
        sources: ["RFC 3947 §3", "RFC 6407 §2.2"],
        catches: ["ike_other_ports_refused", "ike_replies_to_848"],
        run: any_port,
    },
    case! {
        "NATK-004", "gdoi.nat", Must, Ks,
        title: "the server follows a member that moves to port 4500 with message 5",
        purpose: "From the move on the mapping of the old port may be gone; what is sent there, or without the marker, \
                  is lost or taken for ESP.",
        requirements: ["IKE-NAT-006"],
        sources: ["RFC 3947 §4", "RFC 3948 §2.2"],
        catches: ["ike_float_not_followed", "ike_marker_missing"],
        needs: [Setup],
        run: follows_move,
    },
    case! {
        "NATK-005", "gdoi.nat", Should, Ks,
        title: "copies on the old port are dropped after the move",
        purpose: "What still comes there is late or forged; an answer opens the old mapping again.",
        requirements: ["IKE-NAT-007"],
        sources: ["RFC 3947 §4"],
        catches: ["ike_stale_port_answered"],
        needs: [Setup],
        run: old_port,
    },
    case! {
        "NATK-006", "gdoi.nat", Must, Ks,
        title: "an exchange may begin on port 4500",
        purpose: "A member that knows of its NAT starts there; a server with NAT traversal has to serve it.",
        requirements: ["IKE-NAT-008"],
        sources: ["RFC 3947 §4"],
        catches: ["ike_start_on_4500_refused"],
        needs: [Setup],
        run: begins_on_4500,
    },
    case! {
        "NATK-007", "gdoi.nat", Should, Ks,
        title: "keepalives are ignored",
        purpose: "Each member behind a NAT sends one every 20 s; they are for the NAT and for nobody else.",
        requirements: ["IKE-NAT-009"],
        sources: ["RFC 3948 §2.3"],
        catches: ["ike_keepalive_answered"],
        needs: [Setup],
        run: keepalives,
    },
    case! {
        "NATK-008", "gdoi.nat", Should, Ks,
        title: "only authenticated messages move a member's address",
        purpose: "Whoever knows the cookies could otherwise draw the server's messages for a member to himself with \
                  one packet of garbage.",
        requirements: ["IKE-NAT-010"],
        sources: ["RFC 3947 §4"],
        catches: ["ike_endpoint_moved_by_any_packet"],
        needs: [Setup, ManyAddresses],
        cost: 40,
        run: not_moved_by_garbage,
    },
    case! {
        "NATK-009", "gdoi.nat", Should, Ks,
        title: "NAT-D payloads of any length are survived",
        purpose: "The payload comes in clear from anyone; a wrong length may be read as a NAT or refused, and nothing \
                  else.",
        requirements: ["IKE-NAT-011"],
        sources: ["RFC 3947 §3.2"],
        catches: ["ike_odd_nat_d_kills"],
        needs: [Setup],
        run: odd_lengths,
    },
    case! {
        "NATK-010", "gdoi.nat", Should, Ks,
        title: "on port 4500 nothing is read as IKE without the marker",
        purpose: "There the first octets are the SPI of an ESP packet; a server that guesses answers data traffic.",
        requirements: ["IKE-NAT-012"],
        sources: ["RFC 3948 §2.2"],
        catches: ["ike_missing_marker_accepted"],
        needs: [Setup],
        run: marker_missing,
    },
];

/// Starts a key server that does NAT traversal.
fn scene(cx: &mut Cx<'_>) -> Flow<KsScene> {
    let mut setup = KsSetup::standard(cx.world);
    setup.nat_t_port = Some(NAT_T_PORT);
    let scene = KsScene::start(cx, setup)?;
    let member = scene.phase1(cx, 0)?;
    needs_nat_t(&member)?;
    Ok(scene)
}

fn without_vendor_id(cx: &mut Cx<'_>) -> Flow {
    let scene = scene(cx)?;
    let mut member = scene.member(cx, 1);
    member.script.vendor_ids.retain(|id| id.as_slice() != vendor_id::NAT_T_RFC3947);
    lead_to(cx, &mut member, Step::Main5)?;
    let count = member.seen(Step::Main4).map(|seen| seen.count(PayloadType::NAT_D)).sum::<usize>();
    cx.check("nat.no-nat-d-unasked", &["IKE-NAT-001"], count == 0, "no NAT-D in message 4", count);
    scene.finish(cx)
}

fn hashes(cx: &mut Cx<'_>) -> Flow {
    let scene = scene(cx)?;
    for port in [848, 40_000] {
        let mut member = scene.member(cx, 1);
        if port != 848 {
            member.script.me.set_port(port);
            cx.world.listen(member.script.me)?;
        }
        lead_to(cx, &mut member, Step::Main5)?;
        let message = member.seen(Step::Main4).next().cloned();
        let message = cx.have(message, "no message 4 came")?;
        let sa = cx.have(member.half_open_sa().cloned(), "no keys were derived")?;
        let hash = |address| nat_d(sa.suite.hash, &sa.initiator_cookie, &sa.responder_cookie, address);
        let received: Vec<&[u8]> = message.bodies(PayloadType::NAT_D).collect();
        let (ours, theirs) = (hash(member.script.me), hash(member.script.ks));
        let first = received.first().is_some_and(|body| *body == ours);
        let rest = received.iter().skip(1).any(|body| *body == theirs);
        let observed = format!(
            "from port {}: {} payloads, the first is ours: {first}, the server's among the rest: {rest}",
            member.script.me.port(),
            received.len()
        );
        cx.check(
            "nat.nat-d",
            &["IKE-NAT-002", "IKE-NAT-003"],
            first && rest,
            "first the member's address and port, then the server's",
            observed,
        );
    }
    scene.finish(cx)
}

fn any_port(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    for port in [40_000, 1_024, 500] {
        let mut member = scene.member(cx, 1);
        member.script.me.set_port(port);
        cx.world.listen(member.script.me)?;
        completes(
            cx,
            &mut member,
            "nat.any-source-port-served",
            &["IKE-NAT-004", "IKE-HDR-014"],
            &format!("from port {port}"),
        );
        let cookie = member.half_cookies().0;
        let own = |seen: &&Seen| seen.header.initiator_cookie == cookie;
        let strays = |seen: &&Seen| seen.datagram.dst != member.script.me || seen.from() != member.script.ks;
        let astray = member.log.iter().filter(own).filter(strays);
        let astray: Vec<String> = astray.map(|seen| format!("{} to {}", seen.from(), seen.datagram.dst)).collect();
        let observed = if astray.is_empty() { "all there".to_owned() } else { astray.join(", ") };
        let expected = "answers from the port addressed to the port sent from";
        cx.check(
            "nat.answers-to-source-port",
            &["IKE-HDR-013"],
            astray.is_empty(),
            expected,
            format!("port {port}: {observed}"),
        );
    }
    scene.finish(cx)
}

/// Runs main mode on the usual port up to message 4, and the rest on port 4500.
fn moved(cx: &mut Cx<'_>, scene: &KsScene) -> Flow<(ProbeGm, Option<Seen>)> {
    let mut member = scene.member(cx, 1);
    lead_to(cx, &mut member, Step::Main5)?;
    member.float(cx.world)?;
    sent(member.send_main5(cx.world))?;
    let answer = member.receive_main6(cx.world).ok();
    Ok((member, answer))
}

fn follows_move(cx: &mut Cx<'_>) -> Flow {
    let scene = scene(cx)?;
    let (mut member, answer) = moved(cx, &scene)?;
    let came: Vec<&Seen> = member.seen(Step::Main6).collect();
    let ports = came.iter().map(|seen| format!("{} to {}, marker {}", seen.from(), seen.datagram.dst, seen.marker));
    let observed = if came.is_empty() {
        words(&member.log[member.log.len().saturating_sub(2)..])
    } else {
        ports.collect::<Vec<_>>().join("; ")
    };
    let right =
        came.iter().any(|seen| seen.marker && seen.datagram.dst == member.script.me && seen.from() == member.script.ks);
    let ok = cx.check(
        "nat.follows-to-4500",
        &["IKE-NAT-006"],
        right && answer.is_some(),
        "message 6 from 4500 to 4500, with the marker",
        observed,
    );
    if ok {
        sa_lives(cx, &mut member, "nat.sa-on-4500", &["IKE-NAT-006"], false, "on port 4500");
    }
    scene.finish(cx)
}

fn old_port(cx: &mut Cx<'_>) -> Flow {
    let scene = scene(cx)?;
    let (mut member, answer) = moved(cx, &scene)?;
    cx.require(answer.is_some(), "phase 1 did not complete on port 4500")?;
    let (own, theirs) = (cx.tester(1), cx.subject());
    for step in [Step::Main3, Step::Main5] {
        let octets = member.last_sent(step).map(|sent| sent.octets.clone());
        let octets = cx.have(octets, "nothing was sent")?;
        cx.world.send(Datagram::new(own, theirs, octets));
        let seen = member.collect(cx.world, WINDOW);
        let answered = seen.iter().any(|seen| matches!(seen.step, Step::Main4 | Step::Main6));
        cx.silence(
            "nat.old-port-silent",
            &["IKE-NAT-007"],
            !answered,
            "no answer",
            format!("a copy of {step} on the old port: {}", words(&seen)),
        );
    }
    sa_lives(cx, &mut member, "nat.sa-survives-old-port", &["IKE-NAT-007"], false, "on port 4500");
    scene.finish(cx)
}

fn begins_on_4500(cx: &mut Cx<'_>) -> Flow {
    let scene = scene(cx)?;
    let mut member = scene.member(cx, 1);
    member.float(cx.world)?;
    completes(cx, &mut member, "nat.begins-on-4500", &["IKE-NAT-008"], "message 1 on port 4500");
    scene.finish(cx)
}

fn keepalives(cx: &mut Cx<'_>) -> Flow {
    let scene = scene(cx)?;
    let (mut member, answer) = moved(cx, &scene)?;
    cx.require(answer.is_some(), "phase 1 did not complete on port 4500")?;
    settle(cx, &mut member);
    let start = member.log.len();
    for (own, theirs) in [(member.script.me, member.script.ks), (cx.tester(1), cx.subject())] {
        for _ in 0..3 {
            cx.world.send(Datagram::new(own, theirs, vec![0xff]));
        }
    }
    member.collect(cx.world, WINDOW);
    // The server may be behind a NAT of its own and send keepalives; it must not answer ours.
    let answers: Vec<Seen> = member.log.iter().skip(start).cloned().collect();
    cx.silence("nat.keepalive-ignored", &["IKE-NAT-009"], answers.is_empty(), "nothing", words(&answers));
    sa_lives(cx, &mut member, "nat.sa-survives-keepalives", &["IKE-NAT-009"], false, "after keepalives");
    scene.finish(cx)
}

fn not_moved_by_garbage(cx: &mut Cx<'_>) -> Flow {
    const IDLE: u64 = 10;
    let mut setup = KsSetup::standard(cx.world);
    setup.phase1.dpd_secs = IDLE;
    let scene = KsScene::start(cx, setup)?;
    let mut member = scene.phase1(cx, 1)?;
    needs_dpd(&member)?;
    let before = member.collect(cx.world, Duration::from_secs(IDLE + 5));
    if before.iter().all(|seen| seen.step != Step::Informational) {
        return Err(Stop::NotSupported("ks.dpd-initiated".to_owned(), "false".to_owned()));
    }
    let cookies = member.half_cookies();
    let mut stranger = scene.member(cx, 2);
    stranger.send_raw(cx.world, garbage(cookies, ExchangeType::INFORMATIONAL, 99, 64));
    stranger.send_raw(cx.world, garbage(cookies, ExchangeType::PULL, 98, 64));
    stranger.send_raw(cx.world, garbage(cookies, ExchangeType::MAIN, 0, 64));
    let own = member.collect(cx.world, Duration::from_secs(IDLE + 6));
    let drawn = stranger.collect(cx.world, Duration::from_secs(1));
    let asked = |seen: &[Seen]| {
        seen.iter().filter(|seen| seen.header.exchange == ExchangeType::INFORMATIONAL && seen.protected).count()
    };
    let observed = format!("the member got {} queries, the stranger {}", asked(&own), asked(&drawn));
    let ok = asked(&own) > 0 && asked(&drawn) == 0;
    cx.grave("nat.moved-by-authentic-only", &["IKE-NAT-010"], ok, "queries go on to the member", observed);
    scene.finish(cx)
}

fn odd_lengths(cx: &mut Cx<'_>) -> Flow {
    let scene = scene(cx)?;
    let body = |len: usize| Tamper::content(move |m| edit::body(m, PayloadType::NAT_D, |body| body.resize(len, 0)));
    let odd: Vec<(&str, Tamper)> = vec![
        ("1 octet", body(1)),
        ("no octet", body(0)),
        ("300 octets", body(300)),
        ("no NAT-D", Tamper::content(|m| edit::remove(m, PayloadType::NAT_D))),
        (
            "one NAT-D only",
            Tamper::content(|m| {
                let last = m.payloads.iter().rposition(|payload| payload.kind == PayloadType::NAT_D.0);
                if let Some(last) = last {
                    m.payloads.remove(last);
                }
            }),
        ),
        ("30 NAT-D", Tamper::content(|m| (0..30).for_each(|_| edit::push(m, PayloadType::NAT_D, vec![9; 32])))),
    ];
    for (what, tamper) in odd {
        let mut member = scene.member(cx, 1);
        member.tamper(Step::Main3, tamper);
        let result = member.phase1(cx.world);
        let outcome = result.as_ref().map_or_else(ToString::to_string, |_| "established".to_owned());
        let ok = result.is_ok() || result.as_ref().err().is_some_and(hallmark_probe::Fault::is_refusal);
        cx.check("nat.odd-nat-d", &["IKE-NAT-011"], ok, "read as a NAT, or refused", format!("{what}: {outcome}"));
        member.untamper();
        if let Err(fault) = member.phase1(cx.world) {
            survived(cx, &scene, &["IKE-NAT-011"], &format!("{what}: {fault}"))?;
        }
    }
    scene.finish(cx)
}

fn marker_missing(cx: &mut Cx<'_>) -> Flow {
    let scene = scene(cx)?;
    let mut member = scene.member(cx, 1);
    member.float(cx.world)?;
    let subject = member.script.ks;
    // Composed towards an end of the tester, then sent by hand without the marker.
    let octets = super::kit::compose(cx, &mut member, Step::Main1)?;
    cx.world.send(Datagram::new(member.script.me, subject, octets));
    let seen = member.collect(cx.world, WINDOW);
    cx.silence("nat.marker-required", &["IKE-NAT-012"], seen.is_empty(), "nothing", words(&seen));
    sent(member.send_main1(cx.world))?;
    if let Err(fault) = member.receive_main2(cx.world) {
        survived(cx, &scene, &["IKE-NAT-012"], &fault.to_string())?;
    }
    scene.finish(cx)
}
