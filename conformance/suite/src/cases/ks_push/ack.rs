//! What a key server makes of acknowledgements.

use hallmark_crypto::gdoi::AckLength;
use hallmark_probe::edit;
use hallmark_probe::gm::{AckForm, ProbeGm, Push};
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::isakmp::PayloadType;

use super::kit::{SOON, listen, quick};
use crate::Case;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::KsScene;

pub(crate) const CASES: &[Case] = &[
    case! {
        "REKEY-007", "gdoi.ack", Should, Ks,
        title: "an acknowledgement of the last copy still counts",
        purpose: "Late is not missing: a member behind a slow link must not be removed for being slow.",
        requirements: ["REKEY-007", "GDOI-ACK-028"],
        sources: ["getvpn.md §3.2", "RFC 8263 §6"],
        catches: ["ks_ack_late_ignored"],
        needs: [Console],
        cost: 200,
        run: late_ack_counts,
    },
    case! {
        "REKEY-011", "gdoi.ack", Must, Ks,
        title: "forged acknowledgements do not end the copies",
        purpose: "Whoever can send a datagram could otherwise keep rekeys from a member.",
        requirements: ["REKEY-011", "GDOI-ACK-026", "GDOI-NEG-184"],
        sources: ["RFC 8263 §5"],
        catches: ["ks_ack_hash_unchecked"],
        cost: 110,
        run: forged_ack,
    },
    case! {
        "ACKK-001", "gdoi.ack", Should, Ks,
        title: "an acknowledgement of a rekey that was never sent is not counted",
        purpose: "A number that the server never used can only come from a confused or lying member.",
        requirements: ["GDOI-NEG-187"],
        sources: ["RFC 8263 §5"],
        catches: ["ks_ack_unknown_counted"],
        needs: [Console],
        cost: 110,
        run: unknown_sequence,
    },
    case! {
        "RSA-010", "gdoi.ack", Must, Ks,
        title: "acknowledgements by RFC 8263 are accepted where they were asked for",
        purpose: "A server that counts them as missing removes every standard member after three rekeys.",
        requirements: ["RSA-010", "GDOI-ACK-027"],
        sources: ["RFC 8263 §5", "getvpn.md §3.4"],
        catches: ["standards_ack_ignored"],
        cost: 110,
        run: standard_ack,
    },
    case! {
        "RSA-014", "gdoi.ack", Should, Ks,
        title: "each reading of the key length in the acknowledgement is verified",
        purpose: "The RFC contradicts itself on one field; a server that knows one reading only loses the members of another release (CSCub42920).",
        requirements: ["RSA-014"],
        sources: ["RFC 8263 §3.2", "gdoi.md §7.2", "CSCub42920"],
        catches: ["ks_ack_hash_new_only"],
        cost: 330,
        run: every_reading,
    },
];

/// Sends an acknowledgement in the standard form.
fn ack(cx: &mut Cx<'_>, gm: &mut ProbeGm, push: &Push) -> Flow {
    ack_as(cx, gm, push, AckForm::default())
}

fn ack_as(cx: &mut Cx<'_>, gm: &mut ProbeGm, push: &Push, form: AckForm) -> Flow {
    gm.ack_as(cx.world, push, form).map_err(|fault| Stop::Inconclusive(fault.to_string()))
}

/// Reads how many acknowledgements of the only member the server has credited.
fn credited(cx: &mut Cx<'_>, member: &ProbeGm) -> Flow<u64> {
    let status = cx.world.command(0, "{\"cmd\":\"status\"}")?;
    let ip = member.script.me.ip().to_string();
    // The member's entry: its identity first, its acknowledgements behind it.
    let entry = status.split("\"identity\"").find(|part| part.contains(&ip));
    let acks = entry.and_then(|part| part.split("\"acks\":").nth(1));
    let digits: Option<String> = acks.map(|rest| rest.trim_start().chars().take_while(char::is_ascii_digit).collect());
    cx.have(
        digits.and_then(|digits| digits.parse().ok()),
        "the status does not tell the acknowledgements of the member",
    )
}

fn late_ack_counts(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let (mut gm, _) = scene.register(cx, 0)?;
    let first = scene.push(cx, &mut gm, SOON)?;
    listen(cx, &mut gm, 27);
    // The next rekey is out when the acknowledgement of the first one comes.
    let second = scene.push(cx, &mut gm, SOON)?;
    ack(cx, &mut gm, &first)?;
    listen(cx, &mut gm, 1);
    let late = credited(cx, &gm)?;
    ack(cx, &mut gm, &second)?;
    listen(cx, &mut gm, 1);
    let both = credited(cx, &gm)?;
    cx.check(
        "ack.late-counts",
        &["REKEY-007", "GDOI-ACK-028"],
        late == 1 && both == 2,
        "one credited for the late one, two in the end",
        format!("{late} credited, then {both}"),
    );
    scene.finish(cx)
}

fn forged_ack(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let (mut gm, _) = scene.register(cx, 0)?;
    let push = scene.push(cx, &mut gm, SOON)?;
    gm.tamper(Step::Ack, Tamper::sealed(|message| edit::flip_bit(message, PayloadType::HASH, 0, 0)));
    ack(cx, &mut gm, &push)?;
    gm.untamper();
    listen(cx, &mut gm, 14);
    let copies = gm.push_datagrams().count();
    cx.check(
        "ack.forged-not-credited",
        &["GDOI-ACK-026", "REKEY-011", "GDOI-NEG-184"],
        copies >= 2,
        "copies go on",
        format!("{copies} datagrams"),
    );
    // The right one ends them: the server was listening all the time.
    ack(cx, &mut gm, &push)?;
    let before = gm.push_datagrams().count();
    listen(cx, &mut gm, 14);
    let after = gm.push_datagrams().count();
    cx.require(after == before, "the right acknowledgement did not end the copies either")?;
    scene.finish(cx)
}

fn unknown_sequence(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let (mut gm, _) = scene.register(cx, 0)?;
    let push = scene.push(cx, &mut gm, SOON)?;
    let future = Push { seq: push.seq.map(|seq| seq + 7), ..push.clone() };
    ack(cx, &mut gm, &future)?;
    listen(cx, &mut gm, 1);
    let wrong = credited(cx, &gm)?;
    ack(cx, &mut gm, &push)?;
    listen(cx, &mut gm, 1);
    let right = credited(cx, &gm)?;
    cx.check(
        "ack.unknown-sequence-not-counted",
        &["GDOI-NEG-187"],
        wrong == 0,
        "nothing credited",
        format!("{wrong} credited"),
    );
    cx.require(right > wrong, "the right acknowledgement was not credited either")?;
    scene.finish(cx)
}

fn standard_ack(cx: &mut Cx<'_>) -> Flow {
    for policy in ["rfc8263-sha256", "rfc8263-sha512", "any"] {
        let mut setup = quick(cx);
        setup.group().ack = policy.to_owned();
        let scene = KsScene::start(cx, setup)?;
        let (mut gm, _) = scene.register(cx, 0)?;
        let (mut silent, _) = scene.register(cx, 1)?;
        let push = scene.push(cx, &mut gm, SOON)?;
        ack(cx, &mut gm, &push)?;
        listen(cx, &mut gm, 24);
        // Copies to the member beside it show that copies are sent at all.
        silent.collect(cx.world, hallmark_core::Duration::from_millis(1));
        let copies = silent.push_datagrams().count();
        cx.require(copies > 1, "the server sends no copies to the silent either")?;
        let datagrams = gm.push_datagrams().count();
        cx.check(
            "ack.standard-accepted",
            &["RSA-010", "GDOI-ACK-027"],
            datagrams == 1,
            "no copy after the acknowledgement",
            format!("{policy}: {datagrams} datagrams"),
        );
        scene.finish(cx)?;
    }
    Ok(())
}

fn every_reading(cx: &mut Cx<'_>) -> Flow {
    for reading in [AckLength::PrfBlock, AckLength::PrfOutput, AckLength::BaseKey] {
        let setup = quick(cx);
        let scene = KsScene::start(cx, setup)?;
        let (mut gm, _) = scene.register(cx, 0)?;
        let (mut silent, _) = scene.register(cx, 1)?;
        let push = scene.push(cx, &mut gm, SOON)?;
        ack_as(cx, &mut gm, &push, AckForm::Standard(reading))?;
        listen(cx, &mut gm, 24);
        // Copies to the member beside it show that copies are sent at all.
        silent.collect(cx.world, hallmark_core::Duration::from_millis(1));
        let copies = silent.push_datagrams().count();
        cx.require(copies > 1, "the server sends no copies to the silent either")?;
        let datagrams = gm.push_datagrams().count();
        cx.check(
            "ack.every-reading-verified",
            &["RSA-014"],
            datagrams == 1,
            "no copy after the acknowledgement",
            format!("{reading:?}: {datagrams} datagrams"),
        );
        scene.finish(cx)?;
    }
    Ok(())
}
