//! Dead peer detection, asked and asking.

use hallmark_core::Duration;
use hallmark_probe::edit;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::isakmp::{NotifyType, PayloadType};

use super::kit::{WINDOW, ask, has_sa, informationals, numbers, sent, with_sa, words};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::GmScene;

pub(crate) const CASES: &[Case] = &[
    case! {
        "INFOG-015", "gdoi.informational", Must, Gm,
        title: "R-U-THERE is answered with its own sequence number",
        purpose: "A server that gets no answer, or one to another question, takes the member for dead and removes it.",
        requirements: ["IKE-DPD-001", "IKE-DPD-002"],
        sources: ["RFC 3706 §5.2", "RFC 3706 §6.1"],
        catches: ["ike_dpd_not_answered", "ike_dpd_wrong_sequence"],
        run: answered,
    },
    case! {
        "INFOG-016", "gdoi.informational", Must, Gm,
        title: "R-U-THERE in clear is not answered",
        purpose: "An answer to anyone tells who is there, and works as an amplifier.",
        requirements: ["IKE-DPD-004"],
        sources: ["RFC 3706 §5.2"],
        catches: ["ike_answers_clear_rut"],
        run: clear_query,
    },
    case! {
        "INFOG-017", "gdoi.informational", Should, Gm,
        title: "R-U-THERE with a number that lies behind is not answered",
        purpose: "The number is what tells a question from a recording of it.",
        requirements: ["IKE-DPD-007"],
        sources: ["RFC 3706 §6.2"],
        catches: ["ike_dpd_old_sequence_answered"],
        run: old_number,
    },
    case! {
        "INFOG-018", "gdoi.informational", Should, Gm,
        title: "R-U-THERE about another SA is not answered",
        purpose: "The cookies in it say which SA is asked about; an answer for another one keeps a dead SA alive.",
        requirements: ["IKE-DPD-008"],
        sources: ["RFC 3706 §6.1"],
        catches: ["ike_dpd_spi_not_checked"],
        run: other_cookies,
    },
    case! {
        "INFOG-019", "gdoi.informational", Must, Gm,
        title: "the member counts its own queries up by one",
        purpose: "A server that checks the numbers drops queries that repeat, and the member then believes it dead.",
        requirements: ["IKE-DPD-005"],
        sources: ["RFC 3706 §6.2"],
        catches: ["ike_dpd_sequence_constant"],
        needs: [Setup],
        cost: 70,
        run: own_numbers,
    },
    case! {
        "INFOG-020", "gdoi.informational", Should, Gm,
        title: "a server that never answers loses its SA",
        purpose: "A member that keeps it goes to a dead server first when its keys run out.",
        requirements: ["IKE-DPD-006"],
        sources: ["RFC 3706 §5.4"],
        catches: ["ike_dpd_never_dead"],
        needs: [Setup],
        cost: 150,
        run: |cx| dead_server(cx, "dpd.silent-server-dropped", &["IKE-DPD-006"], false),
    },
    case! {
        "INFOG-021", "gdoi.informational", Should, Gm,
        title: "an answer to a question that was not asked does not count",
        purpose: "Whoever can repeat an old answer could otherwise pass a dead server off as a living one.",
        requirements: ["IKE-DPD-003"],
        sources: ["RFC 3706 §6.2"],
        catches: ["ike_dpd_any_ack"],
        needs: [Setup],
        cost: 150,
        run: |cx| dead_server(cx, "dpd.wrong-answer-ignored", &["IKE-DPD-003"], true),
    },
];

fn answered(cx: &mut Cx<'_>) -> Flow {
    let mut scene = with_sa(cx, |_| {})?;
    for sequence in [0x1234_5678_u32, 0x1234_5679, 0x1234_567a] {
        let came = ask(cx, &mut scene.ks, sequence)?;
        let acks = numbers(came.iter(), NotifyType::R_U_THERE_ACK);
        let observed = format!("{sequence:08x}: {acks:08x?}");
        if cx.check("dpd.answered", &["IKE-DPD-001"], !acks.is_empty(), "R-U-THERE-ACK", &observed) {
            let echoed = acks.iter().all(|ack| *ack == sequence);
            cx.check("dpd.number-echoed", &["IKE-DPD-002"], echoed, "the number of the query", &observed);
        }
    }
    scene.finish(cx)
}

/// Demands that a right query is answered.
fn live(cx: &mut Cx<'_>, scene: &mut GmScene, sequence: u32) -> Flow {
    let there = has_sa(cx, &mut scene.ks, sequence)?;
    cx.require(there, "a right query under the SA is not answered")
}

fn clear_query(cx: &mut Cx<'_>) -> Flow {
    let mut scene = with_sa(cx, |_| {})?;
    live(cx, &mut scene, 5)?;
    let query = sent(scene.ks.r_u_there(6))?;
    sent(scene.ks.send_clear_informational(cx.world, vec![(PayloadType::NOTIFY, query.encode_body())]))?;
    let came = informationals(cx, &mut scene.ks, WINDOW);
    let acked = came.iter().flat_map(|seen| seen.notifies()).any(|notify| notify.kind == NotifyType::R_U_THERE_ACK);
    cx.silence("dpd.clear-query-refused", &["IKE-DPD-004"], !acked, "no R-U-THERE-ACK", words(&came));
    live(cx, &mut scene, 7)?;
    scene.finish(cx)
}

fn old_number(cx: &mut Cx<'_>) -> Flow {
    let mut scene = with_sa(cx, |_| {})?;
    live(cx, &mut scene, 1_000_000)?;
    live(cx, &mut scene, 1_000_001)?;
    let came = ask(cx, &mut scene.ks, 900_000)?;
    let acks = numbers(came.iter(), NotifyType::R_U_THERE_ACK);
    cx.silence("dpd.old-number-refused", &["IKE-DPD-007"], acks.is_empty(), "no R-U-THERE-ACK", words(&came));
    live(cx, &mut scene, 1_000_002)?;
    scene.finish(cx)
}

fn other_cookies(cx: &mut Cx<'_>) -> Flow {
    let mut scene = with_sa(cx, |_| {})?;
    live(cx, &mut scene, 10)?;
    scene.ks.tamper(Step::Informational, Tamper::content(|m| edit::notify(m, |notify| notify.spi = vec![0x77; 16])));
    let came = ask(cx, &mut scene.ks, 11)?;
    scene.ks.untamper();
    let acks = numbers(came.iter(), NotifyType::R_U_THERE_ACK);
    cx.silence("dpd.other-sa-refused", &["IKE-DPD-008"], acks.is_empty(), "no R-U-THERE-ACK", words(&came));
    live(cx, &mut scene, 12)?;
    scene.finish(cx)
}

/// Seconds of silence after which the member asks.
const IDLE: u64 = 10;

fn own_numbers(cx: &mut Cx<'_>) -> Flow {
    let mut scene = with_sa(cx, |setup| setup.phase1.dpd_secs = IDLE)?;
    let came = informationals(cx, &mut scene.ks, Duration::from_secs(IDLE * 5));
    let asked = numbers(came.iter(), NotifyType::R_U_THERE);
    if asked.len() < 2 {
        return Err(Stop::NotSupported("gm.dpd-initiated".to_owned(), "false".to_owned()));
    }
    let steps = asked.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1));
    let observed = format!("{asked:08x?}");
    cx.check("dpd.own-numbers", &["IKE-DPD-005"], steps, "each one more than the one before", &observed);
    let small = asked.first().is_some_and(|first| first >> 31 == 0);
    cx.check("dpd.first-number", &["IKE-DPD-005"], small, "high bit 0", &observed);
    scene.finish(cx)
}

/// Answers no query of the member, or every one with another number; the SA must be gone in the end.
fn dead_server(cx: &mut Cx<'_>, check: &str, requirements: &[&str], wrongly: bool) -> Flow {
    let mut scene = with_sa(cx, |setup| setup.phase1.dpd_secs = IDLE)?;
    let query = sent(scene.ks.compose_r_u_there(1))?;
    scene.ks.script.answer_dpd = wrongly;
    if wrongly {
        scene.ks.tamper(
            Step::Informational,
            Tamper::content(|m| {
                edit::notify(m, |notify| {
                    if let Some(last) = notify.data.last_mut() {
                        *last = last.wrapping_add(7);
                    }
                })
            }),
        );
    }
    let came = informationals(cx, &mut scene.ks, Duration::from_secs(IDLE * 12));
    let asked = numbers(came.iter(), NotifyType::R_U_THERE).len();
    if asked == 0 {
        return Err(Stop::NotSupported("gm.dpd-initiated".to_owned(), "false".to_owned()));
    }
    scene.ks.untamper();
    scene.ks.script.answer_dpd = true;
    let to = cx.subject();
    scene.ks.send_raw(cx.world, to, query);
    let came = informationals(cx, &mut scene.ks, WINDOW);
    let gone = numbers(came.iter(), NotifyType::R_U_THERE_ACK).is_empty();
    let observed = format!("{asked} queries, then one of the server's: {}", words(&came));
    cx.silence(check, requirements, gone, "the SA is gone", observed);
    scene.finish(cx)
}
