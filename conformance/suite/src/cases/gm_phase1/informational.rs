//! Informational exchanges: hints in clear, and what is authenticated.
//!
//! Whether the member still has its phase 1 SA is shown by a query under it that it answers, so that these cases need a
//! member with dead peer detection.

use hallmark_core::Datagram;
use hallmark_probe::edit;
use hallmark_probe::ks::Reply;
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::isakmp::{Delete, Flags, Notify, NotifyType, PayloadType};

use super::kit::{
    Trial, WINDOW, ask, garbage, has_sa, informationals, judge_silence, numbers, reach, recover, sent, with_sa, words,
};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::GmScene;

pub(crate) const CASES: &[Case] = &[
    case! {
        "INFOG-001", "gdoi.informational", Should, Gm,
        title: "an error notification in clear does not end an exchange",
        purpose: "Anyone can send one. A member that obeys it can be kept from registering with a datagram per attempt.",
        requirements: ["IKE-INF-006"],
        sources: ["RFC 2407 §4.6.3"],
        catches: ["ike_clear_notify_aborts"],
        cost: 30,
        run: clear_notifies,
    },
    case! {
        "INFOG-002", "gdoi.informational", Should, Gm,
        title: "an error notification in clear does not end the SA",
        purpose: "The SA has keys; what comes without their protection is nobody's word.",
        requirements: ["IKE-INF-006"],
        sources: ["RFC 2407 §4.6.3"],
        catches: ["ike_clear_notify_aborts"],
        run: |cx| kept(cx, "informational.clear-notify-keeps-sa", &["IKE-INF-006"], |cx, scene| {
            sent(scene.ks.send_clear_informational(cx.world, error(4)))?;
            sent(scene.ks.send_clear_informational(cx.world, error(24)))
        }),
    },
    case! {
        "INFOG-003", "gdoi.informational", Must, Gm,
        title: "a Delete in clear is ignored",
        purpose: "It names an SA that everyone who listens can name.",
        requirements: ["IKE-INF-009"],
        sources: ["RFC 2408 §5.15"],
        catches: ["ike_clear_delete_accepted"],
        run: |cx| kept(cx, "informational.clear-delete-ignored", &["IKE-INF-009"], |cx, scene| {
            let delete = delete_of(cx, scene)?;
            sent(scene.ks.send_clear_informational(cx.world, delete))
        }),
    },
    case! {
        "INFOG-004", "gdoi.informational", Must, Gm,
        title: "a Delete with a wrong HASH is ignored",
        purpose: "Encryption alone proves nothing: ciphertext can be bent.",
        requirements: ["IKE-INF-003"],
        sources: ["RFC 2409 §5.7"],
        catches: ["ike_informational_hash_not_verified"],
        run: |cx| kept(cx, "informational.hash-verified", &["IKE-INF-003"], |cx, scene| {
            let delete = delete_of(cx, scene)?;
            scene.ks.tamper(Step::Informational, Tamper::sealed(|m| edit::flip_bit(m, PayloadType::HASH, 3, 1)));
            let result = scene.ks.send_informational(cx.world, delete);
            scene.ks.untamper();
            sent(result.map(drop))
        }),
    },
    case! {
        "INFOG-005", "gdoi.informational", Should, Gm,
        title: "a protected Delete ends the SA, and the keys of the group stay",
        purpose: "The server has forgotten the SA. A member that goes on using it asks in vain when it needs new keys; one that drops \
                  everything loses its traffic for nothing.",
        requirements: ["IKE-INF-001", "IKE-INF-008"],
        sources: ["RFC 2408 §5.15", "RFC 2408 §4.1"],
        catches: ["ike_delete_ignored"],
        run: obeyed_delete,
    },
    case! {
        "INFOG-006", "gdoi.informational", Should, Gm,
        title: "an Informational that cannot be used is not answered",
        purpose: "Two ends that answer each other's errors never stop.",
        requirements: ["IKE-INF-005", "IKE-DOS-009", "IKE-INF-003"],
        sources: ["RFC 2409 §9"],
        catches: ["ike_answers_informational"],
        run: not_answered,
    },
    case! {
        "INFOG-007", "gdoi.informational", Should, Gm,
        title: "an Informational that comes a second time is ignored",
        purpose: "A recording must not have the effect of the original.",
        requirements: ["IKE-INF-018"],
        sources: ["RFC 2409 §5.7"],
        catches: ["ike_informational_replay_accepted"],
        run: replayed,
    },
    case! {
        "INFOG-008", "gdoi.informational", Must, Gm,
        title: "a member's own Informationals are encrypted, authenticated and without commit flag",
        purpose: "A server drops what comes without protection under an SA, and waits for ever where the commit flag is set.",
        requirements: ["IKE-INF-002", "IKE-HDR-015", "IKE-KEY-009"],
        sources: ["RFC 2409 §5.7", "RFC 2408 §3.1", "RFC 2409 App. B"],
        catches: ["ike_clear_informational", "ike_emits_commit", "ike_informational_iv_from_last"],
        run: own_form,
    },
    case! {
        "INFOG-009", "gdoi.informational", Must, Gm,
        title: "each Informational has a message id of its own, and an IV that no other exchange moves",
        purpose: "Servers take a message id that they know for a copy and drop it; with a shared IV chain two exchanges at once destroy \
                  each other.",
        requirements: ["IKE-INF-004", "IKE-KEY-010"],
        sources: ["RFC 2409 §5.7", "RFC 2409 App. B"],
        catches: ["ike_informational_mid_constant", "ike_iv_moves_with_informational"],
        run: own_ids,
    },
    case! {
        "INFOG-010", "gdoi.informational", Should, Gm,
        title: "an Informational is sent once",
        purpose: "It expects no answer, so that there is no reason to repeat it; copies look like a replay.",
        requirements: ["IKE-RTX-010"],
        sources: ["RFC 2408 §5.14"],
        catches: ["ike_informational_repeated"],
        run: sent_once,
    },
];

fn error(kind: u16) -> Vec<(PayloadType, Vec<u8>)> {
    let notify = Notify { doi: 2, protocol: 1, spi: Vec::new(), kind: NotifyType(kind), data: Vec::new() };
    vec![(PayloadType::NOTIFY, notify.encode_body())]
}

/// Gives the Delete payload for the phase 1 SA.
fn delete_of(cx: &Cx<'_>, scene: &GmScene) -> Flow<Vec<(PayloadType, Vec<u8>)>> {
    let spi = cx.have(scene.ks.sa().map(|sa| sa.spi()), "there is no phase 1 SA")?;
    let delete = Delete { doi: 2, protocol: 1, spi_size: 16, spis: vec![spi.to_vec()] };
    Ok(vec![(PayloadType::DELETE, delete.encode_body())])
}

fn clear_notifies(cx: &mut Cx<'_>) -> Flow {
    for (answer, request) in [(Step::Main2, Step::Main1), (Step::Main4, Step::Main3), (Step::Main6, Step::Main5)] {
        let mut scene = GmScene::standard(cx)?;
        scene.ks.reply(answer, Reply::Silent);
        let first = reach(cx, &mut scene.ks, request)?;
        for kind in [14, 24] {
            sent(scene.ks.send_clear_informational(cx.world, error(kind)))?;
        }
        scene.ks.serve_for(cx.world, WINDOW);
        let trial = Trial::new("informational.no-progress-by-notify", &["IKE-INF-006"], answer)
            .keeps("informational.exchange-survives-notify", &["IKE-INF-006"]);
        let what = format!("notifications 14 and 24 instead of {answer}");
        if !judge_silence(cx, &trial, &what, &scene, &first) {
            recover(cx, &trial, &what, &mut scene, &first)?;
        }
    }
    Ok(())
}

/// Sends something that must not end the SA; a query under it must still be answered.
fn kept(
    cx: &mut Cx<'_>,
    check: &str,
    requirements: &[&str],
    probe: impl FnOnce(&mut Cx<'_>, &mut GmScene) -> Flow,
) -> Flow {
    let mut scene = with_sa(cx, |_| {})?;
    let there = has_sa(cx, &mut scene.ks, 1)?;
    cx.require(there, "a query under the SA is not answered before the probe")?;
    probe(cx, &mut scene)?;
    let came = informationals(cx, &mut scene.ks, WINDOW);
    let there = has_sa(cx, &mut scene.ks, 2)?;
    let observed =
        format!("a query afterwards is {}; {}", if there { "answered" } else { "not answered" }, words(&came));
    cx.grave(check, requirements, there, "the SA stays", observed);
    scene.finish(cx)
}

fn obeyed_delete(cx: &mut Cx<'_>) -> Flow {
    let mut scene = with_sa(cx, |_| {})?;
    let there = has_sa(cx, &mut scene.ks, 1)?;
    cx.require(there, "a query under the SA is not answered before the probe")?;
    let query = sent(scene.ks.compose_r_u_there(2))?;
    let member = cx.have(scene.ks.members.last().map(|member| member.address), "no member registered")?;
    sent(scene.ks.delete_sa(cx.world))?;
    informationals(cx, &mut scene.ks, WINDOW);
    scene.ks.send_raw(cx.world, member, query);
    let came = informationals(cx, &mut scene.ks, WINDOW);
    let gone = numbers(came.iter(), NotifyType::R_U_THERE_ACK).is_empty();
    let observed = format!("a query afterwards: {}", words(&came));
    cx.silence("informational.delete-obeyed", &["IKE-INF-008", "IKE-INF-001"], gone, "the SA is gone", observed);
    scene.finish(cx)
}

fn not_answered(cx: &mut Cx<'_>) -> Flow {
    let mut scene = with_sa(cx, |_| {})?;
    let there = has_sa(cx, &mut scene.ks, 1)?;
    cx.require(there, "a query under the SA is not answered before the probe")?;
    let (cookies, to) = {
        let sa = cx.have(scene.ks.sa(), "there is no phase 1 SA")?;
        (sa.cookies(), cx.subject())
    };
    let before = scene.ks.log.entries.len();
    for message_id in 1..=10 {
        let octets = garbage(cookies, hallmark_wire::isakmp::ExchangeType::INFORMATIONAL, message_id, 64);
        scene.ks.send_raw(cx.world, to, octets);
        sent(scene.ks.send_clear_informational(cx.world, error(16)))?;
    }
    scene.ks.serve_for(cx.world, WINDOW);
    let came: Vec<Seen> = scene.ks.log.entries.iter().skip(before).cloned().collect();
    let answered =
        came.iter().filter(|seen| seen.header.exchange == hallmark_wire::isakmp::ExchangeType::INFORMATIONAL).count();
    let observed = format!("{answered} answers to 20 messages");
    let requirements = ["IKE-INF-005", "IKE-DOS-009"];
    cx.silence("informational.not-answered", &requirements, answered == 0, "no Informational", observed);
    let there = has_sa(cx, &mut scene.ks, 2)?;
    cx.grave("informational.garbage-keeps-sa", &["IKE-INF-003"], there, "the SA stays", there);
    scene.finish(cx)
}

fn replayed(cx: &mut Cx<'_>) -> Flow {
    let mut scene = with_sa(cx, |_| {})?;
    let query = sent(scene.ks.compose_r_u_there(7))?;
    let to = cx.subject();
    let own = scene.ks.script.me;
    cx.world.send(Datagram::new(own, to, query.clone()));
    let came = informationals(cx, &mut scene.ks, WINDOW);
    let answered = numbers(came.iter(), NotifyType::R_U_THERE_ACK) == [7];
    cx.require(answered, format!("a query under the SA is not answered before the probe: {}", words(&came)))?;
    cx.world.send(Datagram::new(own, to, query));
    let came = informationals(cx, &mut scene.ks, WINDOW);
    cx.silence("informational.replay-ignored", &["IKE-INF-018"], came.is_empty(), "nothing", words(&came));
    let there = has_sa(cx, &mut scene.ks, 8)?;
    cx.grave("informational.replay-keeps-sa", &["IKE-INF-018"], there, "the SA stays", there);
    scene.finish(cx)
}

fn own_form(cx: &mut Cx<'_>) -> Flow {
    let mut scene = with_sa(cx, |_| {})?;
    let came = ask(cx, &mut scene.ks, 1)?;
    cx.require(!came.is_empty(), "a query under the SA is not answered")?;
    let clear = came.iter().filter(|seen| !seen.protected).count();
    cx.check(
        "informational.encrypted",
        &["IKE-INF-002"],
        clear == 0,
        "encrypted",
        format!("{clear} of {} in clear", came.len()),
    );
    let sealed: Vec<&Seen> = came.iter().filter(|seen| seen.protected).collect();
    let verified = sealed.iter().filter(|seen| seen.authentic == Some(true)).count();
    let observed = format!("{verified} of {} verify", sealed.len());
    let requirements = ["IKE-INF-002", "IKE-KEY-009"];
    cx.check(
        "informational.hash-and-iv",
        &requirements,
        verified == sealed.len(),
        "HASH(1) first, IV from the last block and the message id",
        observed,
    );
    let committed = came.iter().filter(|seen| seen.header.flags.contains(Flags::COMMIT)).count();
    let check = hallmark_catalogue::Check::new("informational.no-commit-flag", &["IKE-HDR-015"]).at(cx.world.now());
    // That the flag is never set after phase 1 is the MUST of this row.
    cx.record(check.level(hallmark_catalogue::Level::Must).saw(
        committed == 0,
        "commit flag clear",
        format!("{committed} with the flag"),
    ));
    scene.finish(cx)
}

fn own_ids(cx: &mut Cx<'_>) -> Flow {
    let mut scene = with_sa(cx, |_| {})?;
    let mut came = Vec::new();
    for sequence in 1..=4 {
        came.extend(ask(cx, &mut scene.ks, sequence)?);
    }
    cx.require(!came.is_empty(), "no query under the SA is answered")?;
    let mut ids: Vec<u32> = came.iter().filter(|seen| !seen.repeat).map(|seen| seen.header.message_id).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    let observed = format!("{} different ones in {count} messages", ids.len());
    let right = ids.len() == count && !ids.contains(&0);
    cx.check("informational.message-ids", &["IKE-INF-004"], right, "one of its own for each, not 0", observed);
    let verified = came.iter().filter(|seen| seen.authentic == Some(true)).count();
    // A member whose chains are mixed up reads the first query only.
    let right = verified == came.len() && count >= 4;
    let observed = format!("{count} answers to 4 queries, {verified} of {} messages verify", came.len());
    cx.check(
        "informational.iv-chains-apart",
        &["IKE-KEY-010"],
        right,
        "every query is answered, every answer verifies",
        observed,
    );
    scene.finish(cx)
}

fn sent_once(cx: &mut Cx<'_>) -> Flow {
    let mut scene = with_sa(cx, |_| {})?;
    let mut copies = Vec::new();
    for sequence in 1..=3 {
        copies.push(ask(cx, &mut scene.ks, sequence)?.len());
    }
    cx.require(copies.iter().any(|count| *count > 0), "a query under the SA is not answered")?;
    // A network may double one datagram, but not every one.
    let once = copies.iter().any(|count| *count <= 1);
    cx.check("informational.sent-once", &["IKE-RTX-010"], once, "one message for each query", format!("{copies:?}"));
    scene.finish(cx)
}
