//! Dead peer detection, asked and asking.

use hallmark_core::Duration;
use hallmark_probe::gm::ProbeGm;
use hallmark_probe::seen::Seen;
use hallmark_wire::isakmp::{Notify, NotifyType, PayloadType};

use super::kit::{WINDOW, needs_dpd, pull_served, sa_lives, sent, words};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::KsScene;
use crate::setup::KsSetup;

pub(crate) const CASES: &[Case] = &[
    case! {
        "INFOK-015", "gdoi.informational", Must, Ks,
        title: "R-U-THERE is answered with its own sequence number",
        purpose: "A member that gets no answer, or one to another question, gives the server up and registers again, \
                  with all others at once.",
        requirements: ["IKE-DPD-001", "IKE-DPD-002"],
        sources: ["RFC 3706 §5.2", "RFC 3706 §6.1"],
        catches: ["ike_dpd_not_answered", "ike_dpd_wrong_sequence"],
        run: answered,
    },
    case! {
        "INFOK-016", "gdoi.informational", Must, Ks,
        title: "R-U-THERE in clear is not answered",
        purpose: "An answer to anyone tells who is registered, and works as an amplifier.",
        requirements: ["IKE-DPD-004"],
        sources: ["RFC 3706 §5.2"],
        catches: ["ike_answers_clear_rut"],
        run: clear_query,
    },
    case! {
        "INFOK-017", "gdoi.informational", Should, Ks,
        title: "R-U-THERE with a number that lies behind is not answered",
        purpose: "The number is what tells a question from a recording of it.",
        requirements: ["IKE-DPD-007"],
        sources: ["RFC 3706 §6.2"],
        catches: ["ike_dpd_old_sequence_answered"],
        run: old_number,
    },
    case! {
        "INFOK-018", "gdoi.informational", Should, Ks,
        title: "R-U-THERE about another SA is not answered",
        purpose: "The cookies in it say which SA is asked about; an answer for another one keeps a dead SA alive.",
        requirements: ["IKE-DPD-008"],
        sources: ["RFC 3706 §6.1"],
        catches: ["ike_dpd_spi_not_checked"],
        run: other_cookies,
    },
    case! {
        "INFOK-019", "gdoi.informational", Must, Ks,
        title: "the server counts its own queries up by one",
        purpose: "A member that checks the numbers drops queries that repeat, and the server then believes it dead.",
        requirements: ["IKE-DPD-005"],
        sources: ["RFC 3706 §6.2"],
        catches: ["ike_dpd_sequence_constant"],
        needs: [Setup],
        cost: 70,
        run: own_numbers,
    },
    case! {
        "INFOK-020", "gdoi.informational", Should, Ks,
        title: "a member that never answers loses its SA",
        purpose: "SAs of members that are gone pile up until there is no room for those that come.",
        requirements: ["IKE-DPD-006"],
        sources: ["RFC 3706 §5.4"],
        catches: ["ike_dpd_never_dead"],
        needs: [Setup],
        cost: 150,
        run: |cx| dead_member(cx, "dpd.silent-member-dropped", &["IKE-DPD-006"], |_| None),
    },
    case! {
        "INFOK-021", "gdoi.informational", Should, Ks,
        title: "an answer to a question that was not asked does not count",
        purpose: "Whoever can repeat an old answer could otherwise keep a dead member's SA alive for ever.",
        requirements: ["IKE-DPD-003"],
        sources: ["RFC 3706 §6.2"],
        catches: ["ike_dpd_any_ack"],
        needs: [Setup],
        cost: 150,
        run: |cx| dead_member(cx, "dpd.wrong-answer-ignored", &["IKE-DPD-003"], |asked| Some(asked.wrapping_add(7))),
    },
];

/// Gives the sequence numbers of the notifications of one type in authentic messages.
fn numbers(seen: &[Seen], kind: NotifyType) -> Vec<u32> {
    seen.iter()
        .filter(|seen| seen.authentic == Some(true) && !seen.repeat)
        .flat_map(Seen::notifies)
        .filter(|notify| notify.kind == kind)
        .filter_map(|notify| notify.data.try_into().ok().map(u32::from_be_bytes))
        .collect()
}

fn queried(cx: &mut Cx<'_>) -> Flow<(KsScene, ProbeGm)> {
    let scene = KsScene::standard(cx)?;
    let member = scene.phase1(cx, 1)?;
    needs_dpd(&member)?;
    Ok((scene, member))
}

fn answered(cx: &mut Cx<'_>) -> Flow {
    let (scene, mut member) = queried(cx)?;
    for sequence in [0x1234_5678_u32, 0x1234_5679, 0x1234_567a] {
        let query = sent(member.r_u_there(sequence))?;
        sent(member.send_notify(cx.world, query))?;
        let seen = member.collect(cx.world, WINDOW);
        let acks = numbers(&seen, NotifyType::R_U_THERE_ACK);
        let observed = format!("{sequence:08x}: {acks:08x?}");
        if cx.check("dpd.answered", &["IKE-DPD-001"], !acks.is_empty(), "R-U-THERE-ACK", &observed) {
            cx.check(
                "dpd.number-echoed",
                &["IKE-DPD-002"],
                acks.iter().all(|ack| *ack == sequence),
                "the number of the query",
                &observed,
            );
        }
    }
    scene.finish(cx)
}

fn clear_query(cx: &mut Cx<'_>) -> Flow {
    let (scene, mut member) = queried(cx)?;
    let query = sent(member.r_u_there(5))?;
    sent(member.send_clear_informational(cx.world, vec![(PayloadType::NOTIFY, query.encode_body())]))?;
    let seen = member.collect(cx.world, WINDOW);
    let acked = seen.iter().flat_map(Seen::notifies).any(|notify| notify.kind == NotifyType::R_U_THERE_ACK);
    cx.silence("dpd.clear-query-refused", &["IKE-DPD-004"], !acked, "no R-U-THERE-ACK", words(&seen));
    live(cx, &mut member, 6)?;
    scene.finish(cx)
}

/// Shows that a right query under the same SA is still answered.
fn live(cx: &mut Cx<'_>, member: &mut ProbeGm, sequence: u32) -> Flow {
    let result = member.ping(cx.world, sequence, WINDOW);
    cx.require(result.is_ok(), "a right query under the same SA is not answered")
}

fn old_number(cx: &mut Cx<'_>) -> Flow {
    let (scene, mut member) = queried(cx)?;
    live(cx, &mut member, 1_000_000)?;
    live(cx, &mut member, 1_000_001)?;
    let query = sent(member.r_u_there(900_000))?;
    sent(member.send_notify(cx.world, query))?;
    let seen = member.collect(cx.world, WINDOW);
    let acks = numbers(&seen, NotifyType::R_U_THERE_ACK);
    cx.silence("dpd.old-number-refused", &["IKE-DPD-007"], acks.is_empty(), "no R-U-THERE-ACK", words(&seen));
    live(cx, &mut member, 1_000_002)?;
    scene.finish(cx)
}

fn other_cookies(cx: &mut Cx<'_>) -> Flow {
    let (scene, mut member) = queried(cx)?;
    live(cx, &mut member, 10)?;
    let query = sent(member.r_u_there(11))?;
    sent(member.send_notify(cx.world, Notify { spi: vec![0x77; 16], ..query }))?;
    let seen = member.collect(cx.world, WINDOW);
    let acks = numbers(&seen, NotifyType::R_U_THERE_ACK);
    cx.silence("dpd.other-sa-refused", &["IKE-DPD-008"], acks.is_empty(), "no R-U-THERE-ACK", words(&seen));
    live(cx, &mut member, 12)?;
    scene.finish(cx)
}

/// Seconds of silence after which the server asks.
const IDLE: u64 = 10;

/// Starts a server that asks idle members, with one member that has an SA.
fn asking(cx: &mut Cx<'_>) -> Flow<(KsScene, ProbeGm)> {
    let mut setup = KsSetup::standard(cx.world);
    setup.phase1.dpd_secs = IDLE;
    let scene = KsScene::start(cx, setup)?;
    let member = scene.phase1(cx, 1)?;
    needs_dpd(&member)?;
    Ok((scene, member))
}

fn own_numbers(cx: &mut Cx<'_>) -> Flow {
    let (scene, mut member) = asking(cx)?;
    let seen = member.collect(cx.world, Duration::from_secs(IDLE * 5));
    let asked = numbers(&seen, NotifyType::R_U_THERE);
    if asked.len() < 2 {
        return Err(Stop::NotSupported("ks.dpd-initiated".to_owned(), "false".to_owned()));
    }
    let steps = asked.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1));
    let observed = format!("{asked:08x?}");
    cx.check("dpd.own-numbers", &["IKE-DPD-005"], steps, "each one more than the one before", &observed);
    cx.check(
        "dpd.first-number",
        &["IKE-DPD-005"],
        asked.first().is_some_and(|first| first >> 31 == 0),
        "high bit 0",
        &observed,
    );
    sa_lives(cx, &mut member, "dpd.answering-member-kept", &["IKE-DPD-005"], false, "after the queries were answered");
    scene.finish(cx)
}

/// Answers every query of the server with another number, or not at all; the SA must be gone in the end.
fn dead_member(cx: &mut Cx<'_>, check: &str, requirements: &[&str], answer: fn(u32) -> Option<u32>) -> Flow {
    let (scene, mut member) = asking(cx)?;
    member.script.answer_dpd = false;
    let mut asked = Vec::new();
    let deadline = cx.in_secs(IDLE * 12);
    while let Some(seen) = member.receive(cx.world, deadline) {
        for number in numbers(std::slice::from_ref(&seen), NotifyType::R_U_THERE) {
            asked.push(number);
            if let Some(number) = answer(number) {
                let wrong = Notify { kind: NotifyType::R_U_THERE_ACK, ..sent(member.r_u_there(number))? };
                sent(member.send_notify(cx.world, wrong))?;
            }
        }
    }
    if asked.is_empty() {
        return Err(Stop::NotSupported("ks.dpd-initiated".to_owned(), "false".to_owned()));
    }
    let (served, came) = pull_served(cx, &mut member)?;
    let observed = format!("{} queries, then a PULL: {came}", asked.len());
    cx.silence(check, requirements, !served, "the SA is gone", observed);
    super::kit::afresh(cx, &scene, &mut member, requirements)?;
    scene.finish(cx)
}
