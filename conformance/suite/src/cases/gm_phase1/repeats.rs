//! Retransmission: an initiator drives its exchange, and gives it up in the end.

use hallmark_core::{Duration, Instant};
use hallmark_probe::ks::Reply;
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;

use super::kit::{completes, cookies, reach, registers, words};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::GmScene;

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKEI-060", "gdoi.phase1", Must, Gm,
        title: "messages 1, 3 and 5 are repeated, octet for octet, until they are answered",
        purpose: "UDP loses datagrams. A member that waits for ever does not come up after one; one that changes its message on the way \
                  is taken for two members.",
        requirements: ["IKE-RTX-001", "IKE-RTX-004"],
        sources: ["RFC 2408 §5.1"],
        catches: ["ike_no_retransmission", "ike_retransmit_changes_octets"],
        cost: 60,
        run: repeated,
    },
    case! {
        "IKEI-061", "gdoi.phase1", Must, Gm,
        title: "the pauses between repetitions grow",
        purpose: "Thousands of members that repeat at a fixed pace keep a key server down that has just come back.",
        requirements: ["IKE-RTX-002"],
        sources: ["RFC 2408 §5.1"],
        catches: ["ike_retransmit_fixed_interval"],
        cost: 60,
        run: growing,
    },
    case! {
        "IKEI-062", "gdoi.phase1", Must, Gm,
        title: "a member gives up after a bounded number of repetitions and begins anew under another cookie",
        purpose: "The server may have forgotten the exchange long ago; only a new one helps then.",
        requirements: ["IKE-RTX-003", "IKE-CKY-011"],
        sources: ["RFC 2408 §5.1"],
        catches: ["ike_retransmits_forever"],
        cost: 60,
        run: bounded,
    },
    case! {
        "IKEI-063", "gdoi.phase1", Must, Gm,
        title: "an answer to an exchange that was given up is ignored",
        purpose: "What comes so late belongs to keys that nobody has any more.",
        requirements: ["IKE-RTX-003", "IKE-CKY-005"],
        sources: ["RFC 2408 §5.1", "RFC 2408 §5.2"],
        catches: ["ike_late_answer_accepted"],
        cost: 60,
        run: late,
    },
    case! {
        "IKEI-064", "gdoi.phase1", Should, Gm,
        title: "answers that arrive several times do not disturb the exchange",
        purpose: "Networks duplicate datagrams, and servers repeat them. A copy must move neither state nor IV.",
        requirements: ["IKE-RTX-007", "IKE-RTX-008"],
        sources: ["RFC 2409 §10", "RFC 2408 §5.1"],
        catches: ["ike_duplicate_answer_kills"],
        run: duplicated,
    },
];

/// How long the copies of one message are collected: the pauses of a member that begins with 4 s, three times over.
const SPAN: Duration = Duration::from_secs(45);

/// Leaves one message unanswered and gives its copies, in order.
fn copies(cx: &mut Cx<'_>, answer: Step, request: Step) -> Flow<(GmScene, Vec<Seen>)> {
    let mut scene = GmScene::standard(cx)?;
    scene.ks.reply(answer, Reply::Silent);
    let first = reach(cx, &mut scene.ks, request)?;
    let over = first.at + SPAN;
    let own = |seen: &&Seen| cookies(seen) == cookies(&first);
    scene.ks.serve(cx.world, &mut |log| log.of(request).filter(own).count() >= 4, over);
    let copies = scene.ks.log.of(request).filter(own).cloned().collect();
    Ok((scene, copies))
}

fn repeated(cx: &mut Cx<'_>) -> Flow {
    for (answer, request) in [(Step::Main2, Step::Main1), (Step::Main4, Step::Main3), (Step::Main6, Step::Main5)] {
        let (mut scene, copies) = copies(cx, answer, request)?;
        let observed = format!("{request}: sent {} times", copies.len());
        cx.check(
            "phase1.repeated",
            &["IKE-RTX-001"],
            copies.len() > 1,
            "sent again while it is not answered",
            observed,
        );
        let same = copies.iter().all(|copy| copy.octets() == copies[0].octets());
        let observed =
            format!("{request}: {} copies, {}", copies.len(), if same { "all alike" } else { "of different octets" });
        cx.check("phase1.repeated-alike", &["IKE-RTX-004"], same, "the same octets", observed);
        registers(cx, &["IKE-RTX-001"], &format!("after {request} was ignored"), &mut scene)?;
    }
    Ok(())
}

fn growing(cx: &mut Cx<'_>) -> Flow {
    let (mut scene, copies) = copies(cx, Step::Main2, Step::Main1)?;
    let pauses = pauses(copies.iter().map(|copy| copy.at));
    cx.require(pauses.len() >= 2, format!("message 1 was sent {} times only", copies.len()))?;
    // A quarter more, so that jitter around a fixed pause does not pass for growth.
    let grown = pauses.last().zip(pauses.first()).is_some_and(|(last, first)| *last > first * 1.25);
    let observed = pauses.iter().map(|pause| format!("{pause:.1} s")).collect::<Vec<_>>().join(", ");
    cx.check("phase1.pauses-grow", &["IKE-RTX-002"], grown, "longer pauses each time", observed);
    registers(cx, &["IKE-RTX-002"], "after message 1 was ignored", &mut scene)
}

fn pauses(times: impl Iterator<Item = Instant>) -> Vec<f64> {
    let times: Vec<Instant> = times.collect();
    times.windows(2).map(|pair| pair[1].saturating_since(pair[0]).as_secs_f64()).collect()
}

fn bounded(cx: &mut Cx<'_>) -> Flow {
    let mut scene = GmScene::standard(cx)?;
    scene.ks.reply(Step::Main2, Reply::Silent);
    let first = reach(cx, &mut scene.ks, Step::Main1)?;
    let own = first.header.initiator_cookie;
    // 5 min are beyond any schedule that still deserves the name.
    let deadline = first.at + Duration::from_secs(300);
    let renewed = scene.ks.serve(
        cx.world,
        &mut |log| log.of(Step::Main1).any(|seen| seen.header.initiator_cookie != own),
        deadline,
    );
    let times = scene.ks.log.of(Step::Main1).filter(|seen| seen.header.initiator_cookie == own).count();
    cx.measure("transmissions of message 1", f64::from(u32::try_from(times).unwrap_or(u32::MAX)), "");
    let observed = format!(
        "message 1 sent {times} times under one cookie, {}",
        if renewed { "then under another" } else { "and no other in 300 s" }
    );
    let requirements = ["IKE-RTX-003", "IKE-CKY-011"];
    cx.check("phase1.gives-up", &requirements, renewed, "a bounded number, then a new exchange", observed);
    registers(cx, &["IKE-RTX-003"], "after a whole attempt was ignored", &mut scene)
}

fn late(cx: &mut Cx<'_>) -> Flow {
    let mut scene = GmScene::standard(cx)?;
    scene.ks.reply(Step::Main2, Reply::Silent);
    let first = reach(cx, &mut scene.ks, Step::Main1)?;
    let own = first.header.initiator_cookie;
    let deadline = first.at + Duration::from_secs(300);
    let renewed = |log: &hallmark_probe::ks::KsLog| log.of(Step::Main1).any(|seen| seen.header.initiator_cookie != own);
    let given_up = scene.ks.serve(cx.world, &mut |log| renewed(log), deadline);
    cx.require(given_up, "the member did not give its exchange up within 300 s")?;
    let (to, octets) = cx.have(scene.ks.built(Step::Main2, own), "no message 2 was built")?;
    scene.ks.send_raw(cx.world, to, octets);
    scene.ks.serve_for(cx.world, super::kit::WINDOW);
    let taken = scene.ks.log.of(Step::Main3).any(|seen| seen.header.initiator_cookie == own);
    let since: Vec<Seen> =
        scene.ks.log.since(first.at).filter(|seen| seen.header.initiator_cookie == own).cloned().collect();
    let requirements = ["IKE-RTX-003", "IKE-CKY-005"];
    cx.silence("phase1.late-answer-ignored", &requirements, !taken, "no message 3 of the old exchange", words(&since));
    registers(cx, &requirements, "after a late answer", &mut scene)
}

fn duplicated(cx: &mut Cx<'_>) -> Flow {
    let mut scene = GmScene::standard(cx)?;
    for step in [Step::Main2, Step::Main4, Step::Main6] {
        scene.ks.tamper(step, Tamper::none());
        scene.ks.reply(step, Reply::Repeat(2));
    }
    let requirements = ["IKE-RTX-007", "IKE-RTX-008"];
    if completes(cx, "phase1.copies-do-no-harm", &requirements, "every answer three times", &mut scene)? {
        scene.finish(cx)?;
    }
    Ok(())
}
