//! The end of a phase 1 SA, and what outlives it.

use hallmark_wire::isakmp::NotifyType;

use super::kit::{WINDOW, has_sa, informationals, numbers, sent, start, with_sa, words};
use crate::Case;
use crate::cx::{Cx, Flow};

pub(crate) const CASES: &[Case] = &[
    case! {
        "IKEI-095", "gdoi.lifetime", Should, Gm,
        title: "a phase 1 SA is not used beyond its lifetime",
        purpose: "The two ends have agreed on it. A member that goes on talks to a server that has forgotten the SA.",
        requirements: ["IKE-LIFE-001"],
        sources: ["RFC 2409 App. A"],
        catches: ["ike_lifetime_ignored"],
        needs: [Setup],
        cost: 90,
        run: expires,
    },
    case! {
        "IKEI-096", "gdoi.lifetime", Should, Gm,
        title: "the keys of the group outlive the phase 1 SA",
        purpose: "Phase 1 is there for registrations; the rekeys have protection of their own. A member that drops its keys with \
                  phase 1 loses its traffic once a day, and all members do so at about the same time.",
        requirements: ["IKE-LIFE-005"],
        sources: ["RFC 6407 §3"],
        catches: ["gdoi_idle_required"],
        needs: [Setup],
        cost: 90,
        run: keys_survive,
    },
];

/// Seconds that the phase 1 SA lives in these cases.
const LIFE: u64 = 60;

fn expires(cx: &mut Cx<'_>) -> Flow {
    let mut scene = with_sa(cx, |setup| setup.phase1.lifetime_secs = LIFE)?;
    let there = has_sa(cx, &mut scene.ks, 1)?;
    cx.require(there, "a query under the SA is not answered before its end")?;
    let query = sent(scene.ks.compose_r_u_there(2))?;
    // The tolerance is that of every timer in this suite: 5 % and 5 s.
    let until = cx.in_secs(LIFE + LIFE / 20 + 5);
    scene.ks.serve(cx.world, &mut |_| false, until);
    let to = cx.subject();
    scene.ks.send_raw(cx.world, to, query);
    let came = informationals(cx, &mut scene.ks, WINDOW);
    let gone = numbers(came.iter(), NotifyType::R_U_THERE_ACK).is_empty();
    cx.silence(
        "phase1.sa-expires",
        &["IKE-LIFE-001"],
        gone,
        "the SA is gone",
        format!("a query under it: {}", words(&came)),
    );
    scene.finish(cx)
}

fn keys_survive(cx: &mut Cx<'_>) -> Flow {
    let mut scene = start(cx, |setup| setup.phase1.lifetime_secs = LIFE, |_| {})?;
    scene.register(cx)?;
    let before = scene.ks.log.registrations;
    let until = cx.in_secs(LIFE + 20);
    scene.ks.serve(cx.world, &mut |_| false, until);
    let again = scene.ks.log.registrations - before;
    let taken = match scene.still_takes_pushes(cx) {
        Ok(()) => true,
        Err(crate::Stop::Inconclusive(_)) => false,
        Err(stop) => return Err(stop),
    };
    let observed = format!("a rekey under the old keys is acknowledged: {taken}, registrations meanwhile: {again}");
    let requirements = ["IKE-LIFE-005"];
    cx.check(
        "phase1.group-keys-survive",
        &requirements,
        taken && again == 0,
        "the keys stay, and nothing needs to be fetched",
        observed,
    );
    scene.finish(cx)
}
