//! Copies, acknowledgements and removal.

use hallmark_probe::gm::AckForm;
use hallmark_probe::step::Step;

use super::kit::{SOON, listen, member, quick};
use crate::Case;
use crate::cx::{Cx, Flow};
use crate::scene::KsScene;

pub(crate) const CASES: &[Case] = &[
    case! {
        "REKEY-005", "gdoi.push", Must, Ks,
        title: "an unacknowledged rekey is sent again, octet for octet, at the configured times",
        purpose: "A lost rekey is repaired by its copies; a copy that differs is a new message to the replay check.",
        requirements: ["REKEY-005", "GDOI-PUSH-021", "GDOI-PUSH-032"],
        sources: ["getvpn.md §3.2"],
        catches: ["ks_unicast_no_copies", "ks_retransmit_changes"],
        cost: 110,
        run: identical_copies,
    },
    case! {
        "REKEY-006", "gdoi.ack", Must, Ks,
        title: "an acknowledgement ends the copies to that member only",
        purpose: "Copies to members that have answered waste a storm's worth of packets; members that have not answered still need theirs.",
        requirements: ["REKEY-006", "GDOI-ACK-027"],
        sources: ["getvpn.md §3.2", "RFC 8263 §5"],
        catches: ["ks_copies_after_ack"],
        cost: 110,
        run: ack_ends_copies,
    },
];

/// Gives the seconds at which the copies of the first rekey arrived, counted from the first.
fn arrivals(gm: &hallmark_probe::ProbeGm) -> Vec<f64> {
    let times: Vec<_> = gm.push_datagrams().map(|seen| seen.at).collect();
    times.iter().map(|at| (*at - times[0]).as_secs_f64()).collect()
}

fn identical_copies(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let (mut gm, _) = scene.register(cx, 0)?;
    let _ = scene.push(cx, &mut gm, SOON)?;
    listen(cx, &mut gm, 27);
    let octets: Vec<Vec<u8>> = gm.push_datagrams().map(|seen| seen.octets().to_vec()).collect();
    let times = arrivals(&gm);
    cx.check(
        "push.copies-identical",
        &["REKEY-005", "GDOI-PUSH-021", "GDOI-PUSH-032"],
        octets.windows(2).all(|pair| pair[0] == pair[1]),
        "the same octets",
        format!("{} datagrams", octets.len()),
    );
    let spaced = times.windows(2).all(|pair| ((pair[1] - pair[0]) - 10.0).abs() <= 1.5);
    cx.check(
        "push.copies-at-period",
        &["REKEY-005"],
        times.len() == 3 && spaced,
        "two copies, 10 s apart",
        format!("arrived at {times:.0?} s"),
    );
    scene.finish(cx)
}

fn ack_ends_copies(cx: &mut Cx<'_>) -> Flow {
    let setup = quick(cx);
    let scene = KsScene::start(cx, setup)?;
    let mut good = member(cx, &scene, 0)?;
    good.script.auto_ack = false;
    let (mut silent, _) = scene.register(cx, 1)?;
    let push = scene.push(cx, &mut good, SOON)?;
    good.ack_as(cx.world, &push, AckForm::default()).map_err(|fault| crate::Stop::Inconclusive(fault.to_string()))?;
    listen(cx, &mut good, 27);
    silent.collect(cx.world, hallmark_core::Duration::from_millis(1));
    let (to_good, to_silent) = (good.push_datagrams().count(), silent.push_datagrams().count());
    cx.silence(
        "ack.ends-copies",
        &["REKEY-006", "GDOI-ACK-027"],
        to_good == 1,
        "no copy after the acknowledgement",
        format!("{to_good} datagrams"),
    );
    cx.check(
        "ack.others-unaffected",
        &["REKEY-006"],
        to_silent == 3,
        "all copies to the member that is silent",
        format!("{to_silent} datagrams"),
    );
    let _ = silent.seen(Step::Push);
    scene.finish(cx)
}
