//! Informational exchanges: what a key server sends, what it must not believe, and what it must not answer.

use std::collections::BTreeSet;

use hallmark_core::Duration;
use hallmark_probe::edit;
use hallmark_probe::gm::ProbeGm;
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::isakmp::{Delete, Flags, Notify, NotifyType, PayloadType};

use super::kit::{WINDOW, afresh, error_notify, go_on, lead_to, needs_dpd, pull_served, sa_lives, sent, settle, words};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;

pub(crate) const CASES: &[Case] = &[
    case! {
        "INFOK-001", "gdoi.informational", Must, Ks,
        title: "under an SA the server's Informationals are encrypted and begin with a valid HASH",
        purpose: "A member must not believe anything else once it has an SA, so a server that speaks in clear is not \
                  heard.",
        requirements: ["IKE-INF-002", "IKE-INF-013", "IKE-KEY-009"],
        sources: ["RFC 2409 §5.7", "RFC 2409 App. B"],
        catches: ["ike_clear_informational", "ike_informational_iv_from_last"],
        run: own_form,
    },
    case! {
        "INFOK-002", "gdoi.informational", Must, Ks,
        title: "each Informational of the server has a message id of its own and the header of the SA",
        purpose: "The message id makes the IV; a repeated one repeats the key stream position, and a member drops it \
                  as a replay.",
        requirements: ["IKE-INF-004", "IKE-HDR-012", "IKE-HDR-015"],
        sources: ["RFC 2409 §5.7", "RFC 2409 §4", "RFC 2408 §3.1"],
        catches: ["ike_informational_mid_constant", "ike_swaps_cookies", "ike_emits_commit"],
        run: own_headers,
    },
    case! {
        "INFOK-003", "gdoi.informational", Should, Ks,
        title: "the server does not repeat its Informationals",
        purpose: "Nobody answers them, so nobody can tell when to stop; each repetition is one more message to drop as \
                  a replay.",
        requirements: ["IKE-RTX-010"],
        sources: ["RFC 2408 §5.14"],
        catches: ["ike_informational_repeated"],
        run: own_repetitions,
    },
    case! {
        "INFOK-004", "gdoi.informational", Must, Ks,
        title: "an Informational with a wrong HASH changes nothing",
        purpose: "Encryption alone proves nothing: whoever can flip bits in the ciphertext must not be able to delete \
                  an SA.",
        requirements: ["IKE-INF-003"],
        sources: ["RFC 2409 §5.7"],
        catches: ["ike_informational_hash_not_verified"],
        run: wrong_hash,
    },
    case! {
        "INFOK-005", "gdoi.informational", Must, Ks,
        title: "Informationals are not answered, however wrong they are",
        purpose: "Two servers that complain about each other's complaints never stop. Malformed ones must not take the \
                  SA with them either.",
        requirements: ["IKE-INF-005", "IKE-INF-010", "IKE-DOS-009"],
        sources: ["RFC 2409 §9", "RFC 2408 §3.14", "RFC 2408 §3.15"],
        catches: ["ike_answers_informational"],
        run: never_answered,
    },
    case! {
        "INFOK-006", "gdoi.informational", Should, Ks,
        title: "error notifications in clear end neither an exchange nor an SA",
        purpose: "Anyone who sees the cookies can send them; a server that believes them can be kept from ever serving \
                  a member.",
        requirements: ["IKE-INF-006"],
        sources: ["RFC 2407 §4.6.3"],
        catches: ["ike_clear_notify_aborts"],
        run: clear_errors,
    },
    case! {
        "INFOK-007", "gdoi.informational", Should, Ks,
        title: "a protected Delete ends the use of the SA",
        purpose: "A member that deletes its SA has thrown the keys away; what is sent under it afterwards is lost.",
        requirements: ["IKE-INF-001", "IKE-INF-008"],
        sources: ["RFC 2408 §5.15"],
        catches: ["ike_delete_ignored"],
        run: protected_delete,
    },
    case! {
        "INFOK-008", "gdoi.informational", Must, Ks,
        title: "a Delete in clear is ignored",
        purpose: "The SPI of a phase 1 SA is written in every header; a Delete without a HASH is an attack.",
        requirements: ["IKE-INF-009"],
        sources: ["RFC 2408 §5.15"],
        catches: ["ike_clear_delete_accepted"],
        run: clear_delete,
    },
    case! {
        "INFOK-009", "gdoi.informational", Must, Ks,
        title: "a member can delete its own SAs only",
        purpose: "Every member has an SA; none of them may throw another one out.",
        requirements: ["IKE-INF-011"],
        sources: ["RFC 2408 §3.15"],
        catches: ["ike_foreign_delete_accepted"],
        needs: [ManyAddresses],
        run: foreign_delete,
    },
    case! {
        "INFOK-010", "gdoi.informational", Should, Ks,
        title: "an Informational that is sent twice is processed once",
        purpose: "A recorded Delete or query must not have its effect again whenever someone likes to send it.",
        requirements: ["IKE-INF-018"],
        sources: ["RFC 2409 §5.7"],
        catches: ["ike_informational_replay_accepted"],
        run: replayed,
    },
    case! {
        "INFOK-011", "gdoi.informational", Must, Ks,
        title: "exchanges under one SA have IVs of their own",
        purpose: "A query that comes between two messages of a registration must not move the IV of the registration, \
                  or both ends read garbage from there on.",
        requirements: ["IKE-KEY-009", "IKE-KEY-010"],
        sources: ["RFC 2409 App. B"],
        catches: ["ike_iv_moves_with_informational"],
        run: interleaved,
    },
    case! {
        "INFOK-012", "gdoi.informational", Should, Ks,
        title: "notifications about refused offers are few and small",
        purpose: "Their receiver has proven nothing, not even its address. A server that answers each of them works \
                  for whoever forges the source.",
        requirements: ["IKE-INF-007", "IKE-SA-027"],
        sources: ["RFC 2408 §5.4"],
        catches: ["ike_notifies_unlimited"],
        run: notifications_limited,
    },
];

/// A server that has just answered a query: its answer is an Informational of its own making.
fn asked(cx: &mut Cx<'_>, scene: &KsScene, count: u32) -> Flow<(ProbeGm, Vec<Seen>)> {
    let mut member = scene.member(cx, 1);
    sent(member.phase1(cx.world))?;
    needs_dpd(&member)?;
    cx.alive_before("phase 1 completed");
    settle(cx, &mut member);
    let start = member.log.len();
    for sequence in 1..=count {
        let query = sent(member.r_u_there(sequence))?;
        sent(member.send_notify(cx.world, query))?;
        member.collect(cx.world, Duration::from_secs(2));
    }
    let answers: Vec<Seen> =
        member.log.iter().skip(start).filter(|seen| seen.header.exchange.0 == 5).cloned().collect();
    cx.require(!answers.is_empty(), "no Informational came in answer to R-U-THERE")?;
    Ok((member, answers))
}

fn own_form(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (_, answers) = asked(cx, &scene, 2)?;
    for seen in &answers {
        let form = if seen.protected { "encrypted" } else { "clear" };
        cx.check("informational.encrypted", &["IKE-INF-002"], seen.protected, "encrypted", form);
        let status = !seen.protected && seen.notifies().iter().any(|notify| !notify.kind.is_error());
        let observed = format!("{}, {form}", words(&answers));
        cx.check("informational.no-status-in-clear", &["IKE-INF-013"], !status, "no status in clear", observed);
        if !seen.protected {
            continue;
        }
        let observed = seen.flaw.clone().unwrap_or_else(|| format!("HASH(1) valid: {:?}", seen.authentic));
        let first = seen.kinds().first() == Some(&PayloadType::HASH);
        let ok = first && seen.authentic == Some(true);
        cx.check(
            "informational.hash-first",
            &["IKE-INF-002", "IKE-KEY-009"],
            ok,
            "it decrypts with hash(LAST|MID), HASH(1) comes first and verifies",
            observed,
        );
    }
    scene.finish(cx)
}

fn own_headers(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (member, answers) = asked(cx, &scene, 3)?;
    let sa = cx.have(member.sa.clone(), "the SA is gone")?;
    let own: BTreeSet<u32> = member
        .sent
        .iter()
        .filter_map(|sent| hallmark_wire::isakmp::Header::decode(&sent.octets).ok())
        .map(|header| header.message_id)
        .collect();
    let ids: Vec<u32> = answers.iter().filter(|seen| !seen.repeat).map(|seen| seen.header.message_id).collect();
    let fresh =
        ids.iter().all(|id| *id != 0 && !own.contains(id)) && ids.iter().collect::<BTreeSet<_>>().len() == ids.len();
    let shown: Vec<String> = ids.iter().map(|id| format!("{id:08x}")).collect();
    cx.check(
        "informational.message-id-fresh",
        &["IKE-INF-004"],
        fresh,
        "not zero, never repeated, none of ours",
        shown.join(", "),
    );
    for seen in &answers {
        let order = (seen.header.initiator_cookie, seen.header.responder_cookie) == sa.cookies();
        let observed = if order { "CKY-I, CKY-R" } else { "another order" };
        cx.check("informational.cookie-order", &["IKE-HDR-012"], order, "CKY-I first, whoever sends", observed);
        let commit = seen.header.flags.contains(Flags::COMMIT);
        // The row is advice for a receiver; for a sender the flag after phase 1 is forbidden.
        let check = hallmark_catalogue::Check::new("informational.no-commit", &["IKE-HDR-015"])
            .level(hallmark_catalogue::Level::Must)
            .at(cx.world.now());
        cx.record(check.saw(!commit, "commit flag clear", format!("flags {:02x}", seen.header.flags.0)));
    }
    scene.finish(cx)
}

fn own_repetitions(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (mut member, mut answers) = asked(cx, &scene, 1)?;
    answers.extend(member.collect(cx.world, Duration::from_secs(6)));
    let acks = answers.iter().filter(|seen| seen.header.exchange.0 == 5).count();
    cx.check("informational.sent-once", &["IKE-RTX-010"], acks == 1, "one answer to one query", acks);
    scene.finish(cx)
}

fn wrong_hash(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let mut member = scene.phase1(cx, 1)?;
    let wrong: Vec<(&str, Tamper)> = vec![
        ("one bit of HASH(1) flipped", Tamper::sealed(|m| edit::flip_bit(m, PayloadType::HASH, 5, 2))),
        ("HASH(1) cut to 4 octets", Tamper::sealed(|m| edit::body(m, PayloadType::HASH, |body| body.truncate(4)))),
        ("no HASH", Tamper::content(|m| edit::remove(m, PayloadType::HASH))),
        ("HASH(1) over another message id", Tamper::hashed(|input| input.set("mid", vec![1, 2, 3, 4]))),
    ];
    for (what, tamper) in wrong {
        let delete = sent(member.delete_of_sa())?;
        member.tamper(Step::Informational, tamper);
        sent(member.send_informational(cx.world, vec![(PayloadType::DELETE, delete.encode_body())]))?;
        member.collect(cx.world, Duration::from_secs(1));
        let what = format!("Delete, {what}");
        if !sa_lives(cx, &mut member, "informational.wrong-hash-ignored", &["IKE-INF-003"], true, &what) {
            afresh(cx, &scene, &mut member, &["IKE-INF-003"])?;
        }
    }
    scene.finish(cx)
}

fn never_answered(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let mut member = scene.phase1(cx, 1)?;
    settle(cx, &mut member);
    // What the server itself said is shown to it again: its own voice must not start a conversation.
    let mut echo = None;
    if needs_dpd(&member).is_ok() {
        let query = sent(member.r_u_there(1))?;
        sent(member.send_notify(cx.world, query))?;
        let answers = member.collect(cx.world, Duration::from_secs(2));
        echo = answers.into_iter().find(|seen| seen.protected).map(|seen| seen.octets().to_vec());
    }
    let sa = cx.have(member.sa.clone(), "the SA is gone")?;
    let start = member.log.len();
    if let Some(octets) = echo {
        member.send_raw(cx.world, octets);
    }
    let flipped = || Tamper::sealed(|m| edit::flip_bit(m, PayloadType::HASH, 0, 0));
    for round in 0..5_u16 {
        member.tamper(Step::Informational, flipped());
        sent(member.send_informational(cx.world, error_notify(14 + round)))?;
        member.untamper();
        sent(member.send_informational(cx.world, error_notify(1 + round)))?;
        sent(member.send_informational(cx.world, error_notify(30_000 + round)))?;
        sent(member.send_clear_informational(cx.world, error_notify(4 + round)))?;
    }
    // Lengths that do not fit: SPI size and number of SPIs beyond the payload, and a product beyond 16 bits.
    let notify =
        Notify { doi: 2, protocol: 1, spi: sa.spi().to_vec(), kind: NotifyType(14), data: Vec::new() }.encode_body();
    let delete = Delete { doi: 2, protocol: 1, spi_size: 16, spis: vec![vec![9; 16]] }.encode_body();
    let bent = |body: &[u8], at: usize, octets: &[u8]| {
        let mut body = body.to_vec();
        for (target, octet) in body.iter_mut().skip(at).zip(octets) {
            *target = *octet;
        }
        body
    };
    for (kind, body) in [
        (PayloadType::NOTIFY, bent(&notify, 5, &[255])),
        (PayloadType::NOTIFY, vec![0; 3]),
        (PayloadType::DELETE, bent(&delete, 6, &[0xff, 0xff])),
        (PayloadType::DELETE, bent(&delete, 5, &[255])),
        (PayloadType::DELETE, bent(&delete, 5, &[0])),
        (PayloadType::DELETE, Vec::new()),
    ] {
        sent(member.send_informational(cx.world, vec![(kind, body)]))?;
    }
    member.collect(cx.world, WINDOW);
    let answers: Vec<Seen> =
        member.log.iter().skip(start).filter(|seen| seen.header.exchange.0 == 5).cloned().collect();
    cx.silence(
        "informational.not-answered",
        &["IKE-INF-005", "IKE-DOS-009"],
        answers.is_empty(),
        "no answer",
        words(&answers),
    );
    sa_lives(cx, &mut member, "informational.malformed-survived", &["IKE-INF-010"], true, "after all of them");
    scene.finish(cx)
}

fn clear_errors(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    for kind in [14, 24] {
        let mut member = scene.member(cx, 1);
        lead_to(cx, &mut member, Step::Main3)?;
        sent(member.send_clear_informational(cx.world, error_notify(kind)))?;
        let rest = member.send_main3(cx.world).and_then(|()| member.receive_main4(cx.world));
        if !step_held(cx, "after message 2", kind, rest.map(drop)) {
            continue;
        }
        sent(member.send_clear_informational(cx.world, error_notify(kind)))?;
        let rest = go_on(cx, &mut member, Step::Main5);
        if !step_held(cx, "after message 4", kind, rest) {
            continue;
        }
        sent(member.send_clear_informational(cx.world, error_notify(kind)))?;
        member.collect(cx.world, Duration::from_secs(1));
        let what = format!("notification {kind} after phase 1");
        sa_lives(cx, &mut member, "informational.clear-error-ignored", &["IKE-INF-006"], true, &what);
    }
    scene.finish(cx)
}

fn step_held(cx: &mut Cx<'_>, when: &str, kind: u16, result: Result<(), hallmark_probe::Fault>) -> bool {
    let outcome = result.as_ref().map_or_else(ToString::to_string, |()| "it goes on".to_owned());
    let observed = format!("notification {kind} {when}: {outcome}");
    cx.grave("informational.clear-error-ignored", &["IKE-INF-006"], result.is_ok(), "the exchange goes on", observed)
}

fn protected_delete(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let mut member = scene.phase1(cx, 1)?;
    let before = member.pull(cx.world);
    cx.require(before.is_ok(), "no PULL under the SA before it is deleted")?;
    let sa = member.sa.clone();
    sent(member.delete_sa(cx.world))?;
    member.collect(cx.world, Duration::from_secs(1));
    member.sa = sa;
    let (served, came) = pull_served(cx, &mut member)?;
    cx.silence(
        "informational.delete-obeyed",
        &["IKE-INF-008", "IKE-INF-001"],
        !served,
        "no PULL under the deleted SA",
        came,
    );
    afresh(cx, &scene, &mut member, &["IKE-INF-008"])?;
    scene.finish(cx)
}

fn clear_delete(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let mut member = scene.phase1(cx, 1)?;
    let delete = sent(member.delete_of_sa())?;
    sent(member.send_clear_informational(cx.world, vec![(PayloadType::DELETE, delete.encode_body())]))?;
    member.collect(cx.world, Duration::from_secs(1));
    sa_lives(cx, &mut member, "informational.clear-delete-ignored", &["IKE-INF-009"], true, "after a Delete in clear");
    scene.finish(cx)
}

fn foreign_delete(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let mut victim = scene.phase1(cx, 1)?;
    let mut other = scene.member(cx, 2);
    sent(other.phase1(cx.world))?;
    let own = sent(other.delete_of_sa())?;
    let foreign = sent(victim.delete_of_sa())?;
    let mixed = Delete { spis: [foreign.spis.clone(), own.spis].concat(), ..foreign };
    for (what, delete) in [("its SPI alone", foreign), ("its SPI beside the sender's", mixed)] {
        sent(other.send_informational(cx.world, vec![(PayloadType::DELETE, delete.encode_body())]))?;
        other.collect(cx.world, Duration::from_secs(1));
        let what = format!("a Delete by another member, {what}");
        sa_lives(cx, &mut victim, "informational.foreign-delete-ignored", &["IKE-INF-011"], false, &what);
    }
    scene.finish(cx)
}

fn replayed(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (mut member, _) = asked(cx, &scene, 1)?;
    member.resend(cx.world, Step::Informational);
    let seen = member.collect(cx.world, WINDOW);
    let answered = seen.iter().any(|seen| seen.header.exchange.0 == 5);
    cx.silence("informational.replay-ignored", &["IKE-INF-018"], !answered, "no second answer", words(&seen));
    let live = member.ping(cx.world, 2, WINDOW);
    cx.require(live.is_ok(), "a fresh query under the same SA is not answered")?;
    scene.finish(cx)
}

fn interleaved(cx: &mut Cx<'_>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let mut member = scene.phase1(cx, 1)?;
    needs_dpd(&member)?;
    let check = "informational.iv-chains-independent";
    let first = member.ping(cx.world, 1, WINDOW);
    let begun = first.map(drop).and_then(|()| {
        member.send_pull1(cx.world)?;
        member.receive_pull2(cx.world).map(drop)
    });
    let observed = begun.as_ref().map_or_else(ToString::to_string, |()| "message 2 of PULL came".to_owned());
    if cx.check(check, &["IKE-KEY-009", "IKE-KEY-010"], begun.is_ok(), "a PULL after a query", observed) {
        let between = member.ping(cx.world, 2, WINDOW);
        let ended = between.map(drop).and_then(|()| {
            member.send_pull3(cx.world)?;
            member.receive_pull4(cx.world).map(drop)
        });
        let observed = ended.as_ref().map_or_else(ToString::to_string, |()| "message 4 of PULL came".to_owned());
        cx.check(check, &["IKE-KEY-010"], ended.is_ok(), "a query in the middle of a PULL", observed);
    }
    scene.finish(cx)
}

fn notifications_limited(cx: &mut Cx<'_>) -> Flow {
    const OFFERS: usize = 60;
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    let mut member = scene.member(cx, 1);
    member.tamper(Step::Main1, Tamper::content(|m| edit::transform(m, 0, |a| edit::attributes::set(a, 1, 1))));
    let mut asked = 0;
    for _ in 0..OFFERS {
        sent(member.send_main1(cx.world))?;
        asked += member.sent.last().map_or(0, |sent| sent.octets.len());
    }
    let answers = member.collect(cx.world, WINDOW);
    let told: usize = answers.iter().map(|seen| seen.octets().len()).sum();
    let observed = format!("{OFFERS} refused offers of {asked} octets gave {} answers of {told} octets", answers.len());
    cx.check(
        "informational.notifications-few",
        &["IKE-INF-007"],
        answers.len() <= OFFERS / 2,
        "less than one for each two offers",
        &observed,
    );
    cx.check(
        "informational.notifications-small",
        &["IKE-INF-007"],
        told <= asked,
        "no more octets out than in",
        &observed,
    );
    let silent = answers.iter().all(|seen| seen.error_notify().is_some());
    cx.check("informational.refusal-form", &["IKE-SA-027"], silent, "a notification or nothing", &observed);
    super::kit::still_answers(cx, &scene, &mut member, &["IKE-INF-007"])?;
    scene.finish(cx)
}
