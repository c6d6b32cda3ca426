//! Who is a member when: registrations that are repeated, crowded, broken off or without a phase 1 SA of their own.

use hallmark_core::{Duration, Instant};
use hallmark_probe::gm::ProbeGm;
use hallmark_probe::step::{Fault, Step};
use hallmark_probe::tamper::octets;
use hallmark_probe::vendor;
use hallmark_wire::isakmp::ExchangeType;

use super::kit::{SHORT_LIFE, WINDOW, complete, counter_mode, open, pull, rekeys_soon, sent, served, survives, words};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::KsScene;
use crate::setup::KsSetup;

pub(crate) const CASES: &[Case] = &[
    case! {
        "PULLK-070", "gdoi.pull", Must, Ks,
        title: "message 1 makes nobody a member",
        purpose: "Only message 3 proves that the peer is there; until then a recorded message 1 could fill the member list.",
        requirements: ["GDOI-PULL-028"],
        sources: ["RFC 6407 §3.2", "RFC 6407 §7.2.5"],
        catches: ["ks_state_before_m3"],
        needs: [Setup],
        cost: 130,
        run: no_member_before_proof,
    },
    case! {
        "PULLK-071", "gdoi.robustness", Should, Ks,
        title: "PULLs that are never finished take no room for long",
        purpose: "A member that keeps crashing, or means harm, must not use up the server's exchanges.",
        requirements: ["GDOI-NEG-054", "GDOI-PULL-071"],
        sources: ["RFC 6407 §7.2.5", "RFC 2408 §5.1"],
        catches: ["ks_open_pulls_kept"],
        needs: [Setup],
        cost: 160,
        run: abandoned_pulls,
    },
    case! {
        "PULLK-072", "gdoi.pull", Must, Ks,
        title: "a deleted phase 1 SA takes its PULLs with it",
        purpose: "A member that refuses the policy deletes the SA; the server must not send keys under it any more.",
        requirements: ["GDOI-PULL-053", "GDOI-P1-020", "GDOI-PULL-042"],
        sources: ["RFC 6407 §3.3", "RFC 6407 §7.2.4"],
        catches: ["ike_delete_ignored"],
        cost: 25,
        run: deleted_sa,
    },
    case! {
        "PULLK-073", "gdoi.phase1", Must, Ks,
        title: "a phase 1 SA of another DOI carries no PULL",
        purpose: "Exchange 32 means GROUPKEY-PULL only where GDOI was agreed on; elsewhere the number may mean anything.",
        requirements: ["GDOI-P1-004", "GDOI-P1-021", "GDOI-P1-002", "GDOI-P1-003", "GDOI-PULL-069"],
        sources: ["RFC 6407 §2.1"],
        catches: ["ks_pull_under_any_doi"],
        cost: 15,
        run: other_doi,
    },
    case! {
        "REG-018", "gdoi.lifetime", Must, Ks,
        title: "members that are too old for long lifetimes are refused",
        purpose: "Members before version 1.0.4 cannot keep keys for more than a day: they would drop out of the group at midnight.",
        requirements: ["REG-018"],
        sources: ["getvpn P24"],
        catches: ["long_sa_gate_missing"],
        needs: [Setup],
        cost: 15,
        run: long_lifetimes,
    },
    case! {
        "REG-019", "gdoi.pull", Should, Ks,
        title: "a member that registers again is still one member",
        purpose: "Two entries for one member double every unicast rekey and miscount its acknowledgements.",
        requirements: ["REG-019"],
        sources: ["RFC 6407 §3.4"],
        catches: ["ks_duplicate_members"],
        needs: [Setup],
        cost: 130,
        run: registers_twice,
    },
    case! {
        "REG-020", "gdoi.robustness", Must, Ks,
        title: "members that register at the same time all come through",
        purpose: "After a power cut the whole group registers at once.",
        requirements: ["REG-020"],
        sources: ["RFC 6407 §3"],
        catches: ["ks_one_pull_at_a_time"],
        cost: 30,
        run: registers_all_at_once,
    },
    case! {
        "PULLK-074", "gdoi.robustness", Should, Ks,
        title: "a flood of requests under unknown cookies keeps nobody out",
        purpose: "Anyone can send them; they must cost the server next to nothing, and members must still come through.",
        requirements: ["GDOI-NEG-053", "GDOI-PULL-041", "GDOI-PULL-042"],
        sources: ["RFC 6407 §7.1.5", "RFC 6407 §7.2.4"],
        catches: ["ks_flood_locks_out"],
        cost: 25,
        run: flood,
    },
];

fn no_member_before_proof(cx: &mut Cx<'_>) -> Flow {
    let mut setup = KsSetup::standard(cx.world);
    rekeys_soon(&mut setup);
    let scene = KsScene::start(cx, setup)?;
    let (mut member, _) = scene.register(cx, 0)?;
    member.script.auto_ack = true;
    // Two that stop after message 1, one that sends a wrong message 3.
    let mut strangers = Vec::new();
    for n in 1..=3 {
        let mut stranger = scene.phase1(cx, n)?;
        open(cx, &mut stranger)?;
        if n == 3 {
            let wrong = hallmark_probe::Tamper::hashed(|input| input.set("nr_b", vec![0x5a; 16]));
            stranger.tamper(Step::Pull3, wrong);
            sent(stranger.send_pull3(cx.world))?;
        }
        strangers.push(stranger);
    }
    // Unicast rekeys go to members and to nobody else: that is how the member list shows on the wire.
    let push = scene.push(cx, &mut member, SHORT_LIFE + 10)?;
    cx.world.note(&format!("the member got PUSH {:?}", push.seq));
    for stranger in &mut strangers {
        let seen = stranger.collect(cx.world, WINDOW);
        let pushed =
            stranger.push_datagrams().count() > 0 || seen.iter().any(|seen| seen.header.exchange == ExchangeType::PUSH);
        const RULES: &[&str] = &["GDOI-PULL-028"];
        let observed = if pushed { "a PUSH came" } else { "no PUSH came" };
        cx.silence("pull.no-member-before-proof", RULES, !pushed, "no PUSH to it", observed);
    }
    scene.finish(cx)
}

fn abandoned_pulls(cx: &mut Cx<'_>) -> Flow {
    const OPEN: usize = 300;
    let mut setup = KsSetup::standard(cx.world);
    counter_mode(&mut setup, 16);
    let scene = KsScene::start(cx, setup)?;
    let (mut member, registration) = scene.register(cx, 0)?;
    let before = registration.sids.last().copied().unwrap_or_default();
    for _ in 0..OPEN {
        sent(member.send_pull1(cx.world))?;
    }
    drop(member.collect(cx.world, Duration::from_secs(1)));
    let mut other = scene.member(cx, 1);
    let honest = other.register(cx.world);
    let observed = honest.as_ref().map_or_else(ToString::to_string, |_| "registered".to_owned());
    cx.grave("pull.others-still-served", &["GDOI-NEG-054"], honest.is_ok(), "another member registers", observed);
    let sid = honest.ok().and_then(|registration| registration.sids.first().copied());
    let observed = format!("{before}, then {sid:?}");
    cx.check("pull.abandoned-use-none", &["GDOI-NEG-054"], sid == Some(before + 1), "the next sender id", observed);
    // A server may take no more under this SA for a while, but not for ever: two minutes are generous.
    cx.wait_secs(130);
    let again = pull(cx, &mut member);
    let observed = format!("after 130 s: {}", again.words());
    cx.check("pull.room-returns", &["GDOI-PULL-071"], again.result.is_ok(), "a PULL under the same SA", observed);
    scene.finish(cx)
}

fn flood(cx: &mut Cx<'_>) -> Flow {
    const ROUNDS: usize = 5;
    const DATAGRAMS: usize = 400;
    let scene = KsScene::standard(cx)?;
    let (mut member, _) = scene.register(cx, 0)?;
    let template = member.last_sent(Step::Pull1).map(|sent| sent.octets.clone());
    let template = cx.have(template, "the tester sent no message 1")?;
    let mut attacker = scene.member(cx, 1);
    let mut answers = 0;
    for round in 1..=ROUNDS {
        for _ in 0..DATAGRAMS {
            let mut datagram = template.clone();
            octets::put(&mut datagram, 0, &cx.world.rng().octets::<16>());
            octets::set_message_id(&mut datagram, cx.world.rng().next_u32() | 1);
            attacker.send_raw(cx.world, datagram);
        }
        // One member asks again in the middle of it, another one begins from scratch.
        let result = if round % 2 == 0 { member.register(cx.world) } else { member.pull(cx.world) };
        let observed = result.as_ref().map_or_else(ToString::to_string, |_| "served".to_owned());
        const RULES: &[&str] = &["GDOI-NEG-053", "GDOI-PULL-041"];
        let observed = format!("after {} datagrams: {observed}", round * DATAGRAMS);
        cx.grave("pull.served-in-a-flood", RULES, result.is_ok(), "the honest member is served", observed);
        answers += attacker
            .collect(cx.world, Duration::from_secs(1))
            .iter()
            .filter(|seen| seen.header.exchange == ExchangeType::PULL)
            .count();
    }
    const COOKIES: &[&str] = &["GDOI-PULL-042"];
    cx.silence(
        "pull.flood-unanswered",
        COOKIES,
        answers == 0,
        "no PULL message to the attacker",
        format!("{answers} answers"),
    );
    scene.finish(cx)
}

fn deleted_sa(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (mut member, _) = scene.register(cx, 0)?;
    open(cx, &mut member)?;
    let sa = member.sa.clone();
    sent(member.delete_sa(cx.world))?;
    drop(member.collect(cx.world, Duration::from_secs(1)));
    // The tester keeps what the server must have forgotten.
    member.sa = sa;
    sent(member.send_pull3(cx.world))?;
    let seen = member.collect(cx.world, WINDOW);
    const EXCHANGE: &[&str] = &["GDOI-PULL-053"];
    cx.silence("pull.dead-with-sa", EXCHANGE, !served(&seen), "no message 4", words(&seen));
    sent(member.send_pull1(cx.world))?;
    let seen = member.collect(cx.world, WINDOW);
    const COOKIES: &[&str] = &["GDOI-P1-020", "GDOI-PULL-042"];
    cx.silence("pull.no-pull-under-deleted-sa", COOKIES, !served(&seen), "no message 2", words(&seen));
    let again = member.register(cx.world);
    let observed = again.as_ref().map_or_else(ToString::to_string, |_| "registered".to_owned());
    cx.check("pull.member-may-return", EXCHANGE, again.is_ok(), "a new registration from the same address", observed);
    scene.finish(cx)
}

fn other_doi(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.register(cx, 0)?);
    let mut member = scene.member(cx, 1);
    member.script.doi = 1;
    member.script.situation = 1;
    const RULES: &[&str] = &["GDOI-P1-004", "GDOI-P1-021"];
    const EXPECTED: &str = "no phase 1 SA, or no policy under it";
    match member.phase1(cx.world) {
        Err(fault) => {
            cx.check("pull.other-doi", RULES, fault.is_refusal(), EXPECTED, fault);
        }
        Ok(_) => {
            sent(member.send_pull1(cx.world))?;
            let seen = member.collect(cx.world, WINDOW);
            let policy = seen.iter().any(|seen| seen.header.exchange == ExchangeType::PULL);
            cx.grave("pull.other-doi", RULES, !policy, EXPECTED, words(&seen));
        }
    }
    // The answer to the standard offer says which DOI the server speaks.
    let mut member = scene.phase1(cx, 2)?;
    let chosen = member.seen(Step::Main2).last().and_then(|seen| seen.sa());
    let chosen = cx.have(chosen, "the SA of message 2 of main mode does not decode")?;
    cx.check("phase1.doi", &["GDOI-P1-002"], chosen.doi == 2, "DOI 2", format!("DOI {}", chosen.doi));
    let situation = chosen.situation;
    cx.check("phase1.situation", &["GDOI-P1-003"], situation == 0, "situation 0", format!("situation {situation}"));
    survives(cx, &scene, &mut member, "an offer with another DOI")?;
    scene.finish(cx)
}

fn long_lifetimes(cx: &mut Cx<'_>) -> Flow {
    const TWO_DAYS: u64 = 172_800;
    let scene = KsScene::standard(cx)?;
    drop(scene.register(cx, 0)?);
    let mut setup = KsSetup::standard(cx.world);
    setup.kek().lifetime_secs = TWO_DAYS;
    let scene = KsScene::start(cx, setup)?;
    let announcing = |cx: &mut Cx<'_>, n: u8, mini: u8| {
        let mut member = scene.member(cx, n);
        member.script.vendor_ids.push(vendor::version(1, 0, mini));
        member
    };
    let mut old = announcing(cx, 1, 3);
    let refused = old.register(cx.world).map(drop);
    let mut new = announcing(cx, 2, 4);
    let accepted = new.register(cx.world).map(drop);
    let said =
        |result: &Result<(), Fault>| result.as_ref().map_or_else(ToString::to_string, |()| "registered".to_owned());
    let observed = format!("1.0.3: {}; 1.0.4: {}", said(&refused), said(&accepted));
    let gated = refused.as_ref().is_err_and(|fault| fault.refused_at(Step::Pull2));
    cx.check("pull.old-member-refused", &["REG-018"], gated, "version 1.0.3 gets no policy", &observed);
    if gated && accepted.is_err() {
        // It refuses everyone: it does not read this announcement, so nothing can be said about its gate.
        return Err(Stop::NotSupported("ks.member-version".to_owned(), "false".to_owned()));
    }
    cx.check("pull.new-member-accepted", &["REG-018"], accepted.is_ok(), "version 1.0.4 registers", &observed);
    let mut witness = announcing(cx, 3, 5);
    scene.finish_with(cx, &mut witness)
}

fn registers_twice(cx: &mut Cx<'_>) -> Flow {
    let mut setup = KsSetup::standard(cx.world);
    rekeys_soon(&mut setup);
    let scene = KsScene::start(cx, setup)?;
    let (mut member, _) = scene.register(cx, 0)?;
    drop(complete(cx, &mut member)?);
    // Once under the same phase 1 SA, once under a new one.
    let again = member.register(cx.world).map(drop);
    again.map_err(|fault| Stop::Inconclusive(format!("the third registration: {fault}")))?;
    member.script.auto_ack = true;
    let before = member.push_datagrams().count();
    let push = scene.push(cx, &mut member, SHORT_LIFE + 10)?;
    // An acknowledged PUSH is not repeated: a second datagram means a second entry.
    let until = push.at + Duration::from_secs(8);
    while member.receive(cx.world, until).is_some() {}
    let datagrams = member.push_datagrams().count() - before;
    let observed = format!("{datagrams} datagrams");
    cx.check("pull.one-entry", &["REG-019"], datagrams == 1, "one PUSH datagram to the member", observed);
    scene.finish(cx)
}

fn registers_all_at_once(cx: &mut Cx<'_>) -> Flow {
    const MEMBERS: u8 = 10;
    let scene = KsScene::standard(cx)?;
    let start = cx.world.now();
    let mut members = Vec::new();
    for n in 0..MEMBERS {
        members.push(scene.phase1(cx, n)?);
    }
    // All ask before anyone is answered, and prove themselves in the reverse order.
    for member in &mut members {
        sent(member.send_pull1(cx.world))?;
    }
    let mut latencies: Vec<Duration> = Vec::new();
    let mut lost = Vec::new();
    for member in members.iter_mut().rev() {
        match finish(cx, member, start) {
            Ok(latency) => latencies.push(latency),
            Err(fault) => lost.push(fault.to_string()),
        }
    }
    let observed = format!("{} of {MEMBERS}; {}", latencies.len(), lost.first().map_or("none lost", String::as_str));
    cx.check("pull.all-register", &["REG-020"], lost.is_empty(), "all members register", observed);
    latencies.sort_unstable();
    if let Some(median) = latencies.get(latencies.len() / 2) {
        cx.measure("median registration latency", median.as_secs_f64(), "s");
    }
    scene.finish(cx)
}

fn finish(cx: &mut Cx<'_>, member: &mut ProbeGm, start: Instant) -> Result<Duration, Fault> {
    member.receive_pull2(cx.world)?;
    member.send_pull3(cx.world)?;
    let registration = member.receive_pull4(cx.world)?;
    Ok(registration.at.saturating_since(start))
}
