//! What the cases of this folder share: a wrong message, the silence that it must meet, and the right one behind it.

use hallmark_core::Duration;
use hallmark_probe::gm::ProbeGm;
use hallmark_probe::step::{Fault, Step};
use hallmark_probe::suite::Suite;
use hallmark_wire::isakmp::{Notify, NotifyType, PayloadType, vendor_id};

pub(super) use crate::cases::phase1::{Trial, Wrong, garbage, words};
pub(super) use crate::cx::sent;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::KsScene;
use crate::setup::KsSetup;

/// How long an answer that must not come is waited for: longer than the probe's own resend.
pub(super) const WINDOW: Duration = Duration::from_secs(4);
/// A tester end that takes no part in a probe: it shows whether anyone at all is still served.
const BYSTANDER: u8 = 10;

/// A change of the member's script and its name in the report.
pub(super) type Unusual = (&'static str, fn(&mut ProbeGm));

/// Shows that the server answers message 1 at all: the control before a case whose subject may be unable to complete
/// phase 1, because that is what the case is about.
pub(super) fn hears(cx: &mut Cx<'_>, scene: &KsScene) -> Flow {
    let mut member = scene.member(cx, 0);
    sent(member.send_main1(cx.world))?;
    let seen = member.collect(cx.world, Duration::from_secs(2));
    cx.require(!seen.is_empty(), "message 1 is not answered before the probe")?;
    cx.alive_before("message 1 was answered");
    Ok(())
}

/// Takes what a server may say by itself after phase 1, so that it is not taken for an answer to the probe.
pub(super) fn settle(cx: &mut Cx<'_>, member: &mut ProbeGm) {
    member.collect(cx.world, Duration::from_secs(1));
}

/// Sends each wrong message 1 from the same address; none may be answered with a message 2, and the right one sent
/// next must be.
pub(super) fn offers_refused(cx: &mut Cx<'_>, check: &str, requirements: &[&str], wrong: Vec<Wrong>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    refuse_offers(cx, &scene, check, requirements, wrong)?;
    scene.finish(cx)
}

/// Does the work of [`offers_refused`] in a scene of the case's own.
pub(super) fn refuse_offers(
    cx: &mut Cx<'_>,
    scene: &KsScene,
    check: &str,
    requirements: &[&str],
    wrong: Vec<Wrong>,
) -> Flow {
    for (what, tamper) in wrong {
        let mut member = scene.member(cx, 1);
        member.tamper(Step::Main1, tamper);
        sent(member.send_main1(cx.world))?;
        let seen = member.collect(cx.world, WINDOW);
        let served = seen.iter().any(|seen| seen.step == Step::Main2);
        cx.silence(check, requirements, !served, "no message 2", format!("{what}: {}", words(&seen)));
        still_answers(cx, scene, &mut member, requirements)?;
    }
    Ok(())
}

/// Sends each unusual but acceptable message 1; each must be answered, and the exchange must complete.
pub(super) fn offers_accepted(cx: &mut Cx<'_>, check: &str, requirements: &[&str], unusual: Vec<Wrong>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    for (what, tamper) in unusual {
        let mut member = scene.member(cx, 1);
        member.tamper(Step::Main1, tamper);
        completes(cx, &mut member, check, requirements, what);
    }
    scene.finish(cx)
}

/// Runs phase 1 with each unusual but acceptable script; each exchange must complete.
pub(super) fn scripts_accepted(cx: &mut Cx<'_>, check: &str, requirements: &[&str], unusual: &[Unusual]) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    for (what, change) in unusual {
        let mut member = scene.member(cx, 1);
        change(&mut member);
        completes(cx, &mut member, check, requirements, what);
    }
    scene.finish(cx)
}

/// Judges that phase 1 completes.
pub(super) fn completes(cx: &mut Cx<'_>, member: &mut ProbeGm, check: &str, requirements: &[&str], what: &str) -> bool {
    let result = member.phase1(cx.world);
    let observed = result.as_ref().map_or_else(|fault| format!("{what}: {fault}"), |_| format!("{what}: established"));
    cx.check(check, requirements, result.is_ok(), "phase 1 completes", observed)
}

/// Sends each wrong message 3 or 5 in an exchange of its own from the same address, in the standard scene.
pub(super) fn messages_refused(cx: &mut Cx<'_>, trial: &Trial<'_>, wrong: Vec<Wrong>) -> Flow {
    let scene = KsScene::standard(cx)?;
    drop(scene.phase1(cx, 0)?);
    refuse_messages(cx, &scene, trial, wrong)?;
    scene.finish(cx)
}

/// Does the work of [`messages_refused`] in a scene of the case's own with the standard member.
pub(super) fn refuse_messages(cx: &mut Cx<'_>, scene: &KsScene, trial: &Trial<'_>, wrong: Vec<Wrong>) -> Flow {
    refuse_messages_of(cx, scene, trial, wrong, &mut |cx| scene.member(cx, 1))
}

/// Does the work of [`messages_refused`] with members of the case's own making.
pub(super) fn refuse_messages_of(
    cx: &mut Cx<'_>,
    scene: &KsScene,
    trial: &Trial<'_>,
    wrong: Vec<Wrong>,
    make: &mut dyn FnMut(&mut Cx<'_>) -> ProbeGm,
) -> Flow {
    for (what, tamper) in wrong {
        let mut member = make(cx);
        lead_to(cx, &mut member, trial.step)?;
        member.tamper(trial.step, tamper);
        judge_refusal(cx, scene, trial, what, &mut member)?;
    }
    Ok(())
}

/// Sends the wrong message that is due, judges what comes, and shows that the subject goes on.
pub(super) fn judge_refusal(
    cx: &mut Cx<'_>,
    scene: &KsScene,
    trial: &Trial<'_>,
    what: &str,
    member: &mut ProbeGm,
) -> Flow {
    sent(send(cx, member, trial.step))?;
    let seen = member.collect(cx.world, WINDOW);
    let served = seen.iter().any(|seen| Some(seen.step) == answer_to(trial.step) && !seen.repeat);
    let observed = format!("{what}: {}", words(&seen));
    let expected = format!("no {}", answer_to(trial.step).map_or("answer", Step::name));
    trial.silence(cx, !served, &expected, observed);
    member.untamper();
    if served {
        return afresh(cx, scene, member, trial.requirements);
    }
    let goes_on = go_on(cx, member, trial.step);
    if let Some((check, requirements)) = trial.kept {
        let observed =
            goes_on.as_ref().map_or_else(|fault| format!("{what}: {fault}"), |()| format!("{what}: established"));
        cx.check(check, requirements, goes_on.is_ok(), "the right message completes the exchange", observed);
    }
    if goes_on.is_ok() { Ok(()) } else { afresh(cx, scene, member, trial.requirements) }
}

/// Runs main mode up to the point where `step` is to be sent.
pub(super) fn lead_to(cx: &mut Cx<'_>, member: &mut ProbeGm, step: Step) -> Flow {
    let mut lead = || -> Result<(), Fault> {
        if step == Step::Main1 {
            return Ok(());
        }
        member.send_main1(cx.world)?;
        member.receive_main2(cx.world)?;
        if step == Step::Main5 {
            member.send_main3(cx.world)?;
            member.receive_main4(cx.world)?;
        }
        Ok(())
    };
    lead().map_err(|fault| Stop::Inconclusive(format!("before the probe: {fault}")))
}

/// Runs main mode from `step` on.
pub(super) fn go_on(cx: &mut Cx<'_>, member: &mut ProbeGm, step: Step) -> Result<(), Fault> {
    if step == Step::Main3 {
        member.send_main3(cx.world)?;
        member.receive_main4(cx.world)?;
    }
    member.send_main5(cx.world)?;
    member.receive_main6(cx.world).map(drop)
}

/// Sends message 3 or 5.
pub(super) fn send(cx: &mut Cx<'_>, member: &mut ProbeGm, step: Step) -> Result<(), Fault> {
    match step {
        Step::Main1 => member.send_main1(cx.world),
        Step::Main3 => member.send_main3(cx.world),
        _ => member.send_main5(cx.world),
    }
}

/// Names the answer to a message of phase 1.
pub(super) const fn answer_to(step: Step) -> Option<Step> {
    match step {
        Step::Main1 => Some(Step::Main2),
        Step::Main3 => Some(Step::Main4),
        Step::Main5 => Some(Step::Main6),
        Step::Aggressive1 => Some(Step::Aggressive2),
        _ => None,
    }
}

/// Sends the right message 1 after a wrong one, from the same address.
pub(super) fn still_answers(cx: &mut Cx<'_>, scene: &KsScene, member: &mut ProbeGm, requirements: &[&str]) -> Flow {
    member.untamper();
    sent(member.send_main1(cx.world))?;
    match member.receive_main2(cx.world) {
        Ok(_) => Ok(()),
        Err(fault) => survived(cx, scene, requirements, &fault.to_string()),
    }
}

/// Runs phase 1 from scratch after a wrong message, from the same address.
pub(super) fn afresh(cx: &mut Cx<'_>, scene: &KsScene, member: &mut ProbeGm, requirements: &[&str]) -> Flow {
    member.untamper();
    match member.phase1(cx.world) {
        Ok(_) => Ok(()),
        Err(fault) => survived(cx, scene, requirements, &fault.to_string()),
    }
}

/// Finds out what it means that an end of the tester is no longer served: if no other end is served either, the
/// message took the whole server down, which is grave; if another one is, nothing is proven.
pub(super) fn survived(cx: &mut Cx<'_>, scene: &KsScene, requirements: &[&str], what: &str) -> Flow {
    let mut other = scene.member(cx, BYSTANDER);
    match other.send_main1(cx.world).and_then(|()| other.receive_main2(cx.world)) {
        Ok(_) => Err(Stop::Inconclusive(format!("after the probe this end is not served, but another one is: {what}"))),
        Err(_) => {
            cx.grave(
                "robust.server-survives",
                requirements,
                false,
                "the server goes on serving others",
                format!("no end of the tester is served any more: {what}"),
            );
            Err(Stop::Judged)
        }
    }
}

/// Tells whether a PULL under the member's SA is answered with an authentic message 2.
pub(super) fn pull_served(cx: &mut Cx<'_>, member: &mut ProbeGm) -> Flow<(bool, String)> {
    sent(member.send_pull1(cx.world))?;
    let seen = member.collect(cx.world, WINDOW);
    let served = seen.iter().any(|seen| seen.step == Step::Pull2 && seen.authentic == Some(true));
    Ok((served, words(&seen)))
}

/// Judges that the member's SA still serves a PULL.
pub(super) fn sa_lives(
    cx: &mut Cx<'_>,
    member: &mut ProbeGm,
    check: &str,
    requirements: &[&str],
    grave: bool,
    what: &str,
) -> bool {
    member.untamper();
    let result = member.pull(cx.world);
    let observed =
        result.as_ref().map_or_else(|fault| format!("{what}: {fault}"), |_| format!("{what}: PULL completed"));
    let expected = "a PULL under the same SA completes";
    if grave {
        cx.grave(check, requirements, result.is_ok(), expected, observed)
    } else {
        cx.check(check, requirements, result.is_ok(), expected, observed)
    }
}

/// Composes a message without sending it to the subject: it goes to an end of the tester that ignores it.
pub(super) fn compose(cx: &mut Cx<'_>, member: &mut ProbeGm, step: Step) -> Flow<Vec<u8>> {
    let subject = member.script.ks;
    member.script.ks.set_ip(cx.tester(BYSTANDER).ip());
    let result = match step {
        Step::Pull1 => member.send_pull1(cx.world).map(drop),
        step => send(cx, member, step),
    };
    member.script.ks = subject;
    sent(result)?;
    let octets = member.last_sent(step).map(|sent| sent.octets.clone());
    cx.have(octets, "nothing was composed")
}

/// Gives an error notification that names no SPI.
pub(super) fn error_notify(kind: u16) -> Vec<(PayloadType, Vec<u8>)> {
    let notify = Notify {
        doi: hallmark_wire::gdoi::DOI,
        protocol: 1,
        spi: Vec::new(),
        kind: NotifyType(kind),
        data: Vec::new(),
    };
    vec![(PayloadType::NOTIFY, notify.encode_body())]
}

/// Ends the case as not applicable unless the server told in phase 1 that it answers dead peer detection.
pub(super) fn needs_dpd(member: &ProbeGm) -> Flow {
    needs_vendor_id(member, &vendor_id::DPD[..14], "ks.dpd")
}

/// Ends the case as not applicable unless the server told in phase 1 that it does NAT traversal.
pub(super) fn needs_nat_t(member: &ProbeGm) -> Flow {
    needs_vendor_id(member, &vendor_id::NAT_T_RFC3947, "ks.nat-t")
}

/// Ends the case as not applicable unless the server told in phase 1 that it takes IKE fragments.
pub(super) fn needs_fragments(member: &ProbeGm) -> Flow {
    needs_vendor_id(member, &vendor_id::FRAGMENTATION, "ks.ike-fragmentation")
}

fn needs_vendor_id(member: &ProbeGm, id: &[u8], leaf: &str) -> Flow {
    if member.peer_vendor_ids().iter().any(|seen| seen.starts_with(id)) {
        Ok(())
    } else {
        Err(Stop::NotSupported(leaf.to_owned(), "false".to_owned()))
    }
}

/// Starts a key server with these phase 1 suites.
pub(super) fn with_suites(cx: &mut Cx<'_>, names: &[&str], weak: &[&str]) -> Flow<KsScene> {
    let mut setup = KsSetup::standard(cx.world);
    setup.phase1.proposals = names.iter().map(|name| (*name).to_owned()).collect();
    setup.allow_weak = weak.iter().map(|name| (*name).to_owned()).collect();
    KsScene::start(cx, setup)
}

/// Makes a member that offers one suite.
pub(super) fn member_of(cx: &mut Cx<'_>, scene: &KsScene, n: u8, suite: &str) -> Flow<ProbeGm> {
    let suite = cx.have(Suite::from_name(suite), "the suite has no such name")?;
    let mut member = scene.member(cx, n);
    member.script.suites = vec![suite];
    Ok(member)
}
