//! What the cases of this folder share: a wrong message, the silence that it must meet, and the right one behind it.

use hallmark_core::Duration;
use hallmark_probe::gm::ProbeGm;
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;

use crate::cx::{Cx, Flow, Stop};
use crate::scene::KsScene;

/// How long an answer that must not come is waited for: longer than the probe's own resend.
pub(super) const WINDOW: Duration = Duration::from_secs(4);

/// Says what came in answer, in words for the report.
pub(super) fn words(seen: &[Seen]) -> String {
    if seen.is_empty() {
        return "nothing came".to_owned();
    }
    let parts: Vec<String> = seen
        .iter()
        .map(|seen| match seen.error_notify() {
            Some(notify) => format!("notification {}", notify.kind),
            None => seen.step.to_string(),
        })
        .collect();
    format!("came: {}", parts.join(", "))
}

/// A wrong message and its name in the report.
pub(super) type Wrong = (&'static str, Tamper);

/// Sends each wrong message 1 from an address of its own kind; none may be answered with a message 2, and the right
/// one sent next from the same address must be.
pub(super) fn offers_refused(cx: &mut Cx<'_>, check: &str, requirements: &[&str], wrong: Vec<Wrong>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    for (what, tamper) in wrong {
        let mut member = scene.member(cx, 1);
        member.tamper(Step::Main1, tamper);
        sent(member.send_main1(cx.world))?;
        let seen = member.collect(cx.world, WINDOW);
        let served = seen.iter().any(|seen| seen.step == Step::Main2);
        cx.silence(check, requirements, !served, "no message 2", format!("{what}: {}", words(&seen)));
        still_answers(cx, &mut member)?;
    }
    scene.finish(cx)
}

/// Sends each unusual but acceptable message 1; each must be answered, and the exchange must complete.
pub(super) fn offers_accepted(cx: &mut Cx<'_>, check: &str, requirements: &[&str], unusual: Vec<Wrong>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    for (what, tamper) in unusual {
        let mut member = scene.member(cx, 1);
        member.tamper(Step::Main1, tamper);
        let result = member.phase1(cx.world);
        let observed = result.as_ref().map_or_else(|fault| format!("{what}: {fault}"), |_| format!("{what}: established"));
        cx.check(check, requirements, result.is_ok(), "phase 1 completes", observed);
    }
    scene.finish(cx)
}

/// Sends the right message 1 after a wrong one, from the same address.
pub(super) fn still_answers(cx: &mut Cx<'_>, member: &mut ProbeGm) -> Flow {
    member.untamper();
    sent(member.send_main1(cx.world))?;
    member
        .receive_main2(cx.world)
        .map(drop)
        .map_err(|fault| Stop::Inconclusive(format!("the right message 1 after the wrong one: {fault}")))
}

/// Turns a failure of the tester itself into the end of the case.
pub(super) fn sent<T>(result: Result<T, hallmark_probe::step::Fault>) -> Flow<T> {
    result.map_err(|fault| Stop::Inconclusive(fault.to_string()))
}
