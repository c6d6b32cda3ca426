//! What the cases of this folder share: a wrong answer to a member that registers, what it must not be followed by, and
//! the right answer behind it.
//!
//! Every attempt begins with a freshly started member, so that none inherits what another one left behind. A refusal is
//! shown by what does not come, together with a registration that completes once the member is answered rightly.

use hallmark_core::Duration;
use hallmark_probe::ks::{KsScript, ProbeKs};
use hallmark_probe::seen::Seen;
use hallmark_probe::step::{Fault, Step};
use hallmark_probe::suite::Suite;
use hallmark_probe::tamper::Tamper;
use hallmark_wire::isakmp::{ExchangeType, NotifyType, PayloadType, vendor_id};

pub(super) use crate::cases::phase1::{Trial, Wrong, garbage, words};
pub(super) use crate::cx::sent;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::GmScene;
use crate::setup::GmSetup;

/// How long a reaction that must not come is waited for: longer than the member's own resend.
pub(super) const WINDOW: Duration = Duration::from_secs(4);
/// How long a member may take to come to the message that is to be answered.
const START: Duration = Duration::from_secs(60);
/// How long a registration may take that nothing stands in the way of.
pub(super) const SMOOTH: Duration = Duration::from_secs(25);
/// How long a member may take to come back: the rest of its attempt, its pause, and another attempt.
pub(super) const RECOVERY: Duration = Duration::from_secs(240);

/// Names the message that an answer belongs to.
const fn request_of(answer: Step) -> Step {
    match answer {
        Step::Main2 => Step::Main1,
        Step::Main4 => Step::Main3,
        Step::Aggressive2 => Step::Aggressive1,
        _ => Step::Main5,
    }
}

/// Names the message with which a member goes on after an answer.
const fn next_after(answer: Step) -> Step {
    match answer {
        Step::Main2 => Step::Main3,
        Step::Main4 => Step::Main5,
        Step::Aggressive2 => Step::Aggressive3,
        _ => Step::Pull1,
    }
}

/// Tells whether a message has the form of the one with which a member goes on. The step that the tester took it for
/// is no help here: after a wrong answer it may carry cookies that the tester never gave.
fn goes_on(seen: &Seen, answer: Step) -> bool {
    match answer {
        Step::Main2 => seen.header.exchange == ExchangeType::MAIN && seen.count(PayloadType::KE) > 0,
        Step::Main4 => seen.header.exchange == ExchangeType::MAIN && seen.protected,
        Step::Aggressive2 => seen.header.exchange == ExchangeType::AGGRESSIVE && seen.header.responder_cookie != [0; 8],
        _ => seen.header.exchange == ExchangeType::PULL,
    }
}

/// Makes the standard scene with a changed setup and a changed script.
pub(super) fn start(
    cx: &mut Cx<'_>,
    setup: impl FnOnce(&mut GmSetup),
    change: impl FnOnce(&mut KsScript),
) -> Flow<GmScene> {
    let mut configured = GmSetup::standard(cx.world);
    setup(&mut configured);
    let mut script = KsScript::new(cx.world, 0);
    change(&mut script);
    GmScene::start(cx, configured, script)
}

/// Makes a scene in which the member offers these suites and the server takes any of them.
pub(super) fn with_suites(cx: &mut Cx<'_>, names: &[&str], weak: &[&str]) -> Flow<GmScene> {
    let suites: Option<Vec<Suite>> = names.iter().map(|name| Suite::from_name(name)).collect();
    let suites = cx.have(suites, "a suite has no such name")?;
    start(
        cx,
        |setup| {
            setup.phase1.proposals = names.iter().map(|name| (*name).to_owned()).collect();
            setup.allow_weak = weak.iter().map(|name| (*name).to_owned()).collect();
        },
        |script| script.suites = suites,
    )
}

/// Lets a member try to register, for cases that look at what it sends. Whether it got through is for the case to say.
pub(super) fn observe(cx: &mut Cx<'_>, scene: &mut GmScene) -> Flow<Result<(), Fault>> {
    let result = scene.ks.await_registration(cx.world, SMOOTH).map(drop);
    cx.require(!scene.ks.log.entries.is_empty(), "the member did not begin to register")?;
    cx.alive_before("the member began to register");
    if result.is_ok() {
        cx.alive_after("the member registered");
    }
    Ok(result)
}

/// Starts the standard scene and lets the member register, to look at what it sends.
pub(super) fn observed(cx: &mut Cx<'_>) -> Flow<GmScene> {
    let mut scene = GmScene::standard(cx)?;
    drop(observe(cx, &mut scene)?);
    Ok(scene)
}

/// Gives the first message of a step, which has to be there.
pub(super) fn message(cx: &Cx<'_>, ks: &ProbeKs, step: Step) -> Flow<Seen> {
    cx.have(ks.log.of(step).next().cloned(), format!("no {step} came"))
}

/// Lists what the member sent in phase 1 and PULL.
pub(super) fn everything(ks: &ProbeKs) -> impl Iterator<Item = &Seen> {
    let ours = |seen: &&Seen| !matches!(seen.step, Step::Keepalive | Step::Other);
    ks.log.entries.iter().filter(ours)
}

/// Serves until the member has sent a message of this step: the control before the probe.
pub(super) fn reach(cx: &mut Cx<'_>, ks: &mut ProbeKs, step: Step) -> Flow<Seen> {
    let deadline = cx.world.now() + START;
    ks.serve(cx.world, &mut |log| log.count(step) > 0, deadline);
    let seen = message(cx, ks, step)?;
    cx.alive_before(&format!("{step} came"));
    Ok(seen)
}

/// Answers a freshly started standard member wrongly, once for each wrong answer; it must never go on.
pub(super) fn answers_refused(cx: &mut Cx<'_>, trial: &Trial<'_>, wrong: Vec<Wrong>) -> Flow {
    answers_refused_by(cx, trial, wrong, &mut |cx| GmScene::standard(cx))
}

/// Does the work of [`answers_refused`] in scenes of the case's own.
pub(super) fn answers_refused_by(
    cx: &mut Cx<'_>,
    trial: &Trial<'_>,
    wrong: Vec<Wrong>,
    make: &mut dyn FnMut(&mut Cx<'_>) -> Flow<GmScene>,
) -> Flow {
    for (what, tamper) in wrong {
        let mut scene = make(cx)?;
        scene.ks.tamper(trial.step, tamper);
        judge_refusal(cx, trial, what, &mut scene)?;
    }
    Ok(())
}

/// Waits for the wrong answer to be asked for, judges what comes behind it, and shows that the member goes on when it
/// is answered rightly.
pub(super) fn judge_refusal(cx: &mut Cx<'_>, trial: &Trial<'_>, what: &str, scene: &mut GmScene) -> Flow {
    let request = reach(cx, &mut scene.ks, request_of(trial.step))?;
    scene.ks.serve_for(cx.world, WINDOW);
    let taken = judge_silence(cx, trial, what, scene, &request);
    scene.ks.untamper();
    if taken { Ok(()) } else { recover(cx, trial, what, scene, &request) }
}

/// Judges that the member did not go on; tells whether it did.
pub(super) fn judge_silence(cx: &mut Cx<'_>, trial: &Trial<'_>, what: &str, scene: &GmScene, request: &Seen) -> bool {
    let next = next_after(trial.step);
    let own = |seen: &&Seen| seen.header.initiator_cookie == request.header.initiator_cookie;
    let taken = scene.ks.log.entries.iter().any(|seen| own(&seen) && goes_on(seen, trial.step));
    let since: Vec<Seen> = scene.ks.log.since(request.at).skip(1).filter(own).cloned().collect();
    let (expected, observed) = (format!("no {next}"), format!("{what}: {}", words(&since)));
    trial.silence(cx, !taken, &expected, observed);
    taken
}

/// Shows that the member registers once it is answered rightly, and, where that is asked for, in the same exchange.
pub(super) fn recover(cx: &mut Cx<'_>, trial: &Trial<'_>, what: &str, scene: &mut GmScene, request: &Seen) -> Flow {
    let Some(member) = survive(cx, trial.requirements, what, scene)? else { return Ok(()) };
    if let Some((check, requirements)) = trial.kept {
        let same = member.starts_with(&request.header.initiator_cookie);
        let observed = if same { "the same exchange completed" } else { "another exchange completed" };
        cx.check(
            check,
            requirements,
            same,
            "the right answer completes the same exchange",
            format!("{what}: {observed}"),
        );
    }
    Ok(())
}

/// Answers the member rightly from now on and gives the cookies of the SA under which it registers. A member that has
/// been silenced by one message of a stranger is a failure under any rule.
fn survive(cx: &mut Cx<'_>, requirements: &[&str], what: &str, scene: &mut GmScene) -> Flow<Option<[u8; 16]>> {
    scene.ks.untamper();
    scene.ks.answer_all();
    match scene.ks.await_registration(cx.world, RECOVERY) {
        Ok(member) => {
            cx.alive_after("the member registered once it was answered rightly");
            Ok(Some(member.cookies))
        }
        Err(fault) => {
            let expected = "the member registers once it is answered rightly";
            cx.grave("robust.member-survives", requirements, false, expected, format!("{what}: {fault}"));
            Err(Stop::Judged)
        }
    }
}

/// Ends a case: a member that has not registered yet must when it is answered rightly, and one that has takes a PUSH.
pub(super) fn registers(cx: &mut Cx<'_>, requirements: &[&str], what: &str, scene: &mut GmScene) -> Flow {
    if scene.ks.log.registrations > 0 {
        return scene.finish(cx);
    }
    survive(cx, requirements, what, scene).map(drop)
}

/// Gives unusual but right answers to a freshly started member, once for each; it must register every time.
pub(super) fn answers_accepted(
    cx: &mut Cx<'_>,
    check: &str,
    requirements: &[&str],
    unusual: Vec<(&'static str, Step, Tamper)>,
) -> Flow {
    for (what, step, tamper) in unusual {
        let mut scene = GmScene::standard(cx)?;
        scene.ks.tamper(step, tamper);
        completes(cx, check, requirements, what, &mut scene)?;
    }
    Ok(())
}

/// Judges that a registration completes at once.
pub(super) fn completes(
    cx: &mut Cx<'_>,
    check: &str,
    requirements: &[&str],
    what: &str,
    scene: &mut GmScene,
) -> Flow<bool> {
    let result = observe(cx, scene)?;
    let observed = result.as_ref().map_or_else(|fault| format!("{what}: {fault}"), |()| format!("{what}: registered"));
    Ok(cx.check(check, requirements, result.is_ok(), "the registration completes", observed))
}

/// Gives both cookies of a message.
pub(super) const fn cookies(seen: &Seen) -> ([u8; 8], [u8; 8]) {
    (seen.header.initiator_cookie, seen.header.responder_cookie)
}

/// Starts a member, lets it register and shows that it answers dead peer detection: what shows in these cases that a
/// phase 1 SA is there.
pub(super) fn with_sa(cx: &mut Cx<'_>, setup: impl FnOnce(&mut GmSetup)) -> Flow<GmScene> {
    let mut scene = start(cx, setup, |_| {})?;
    scene.register(cx)?;
    needs(cx, &scene, &vendor_id::DPD[..14], "gm.dpd")?;
    // Some members close the SA as soon as they have their keys.
    scene.ks.serve_for(cx.world, Duration::from_secs(2));
    if scene.ks.sa().is_none() {
        return Err(Stop::NotSupported("gm.keeps-phase-1".to_owned(), "false".to_owned()));
    }
    Ok(scene)
}

/// Ends the case as not applicable unless the member told in message 1 that it can do something.
pub(super) fn needs(cx: &Cx<'_>, scene: &GmScene, id: &[u8], leaf: &str) -> Flow {
    let first = message(cx, &scene.ks, Step::Main1)?;
    if first.vendor_ids().iter().any(|own| own.starts_with(id)) {
        Ok(())
    } else {
        Err(Stop::NotSupported(leaf.to_owned(), "false".to_owned()))
    }
}

/// Gives the sequence numbers of the notifications of one type in authentic messages.
pub(super) fn numbers<'s>(seen: impl Iterator<Item = &'s Seen>, kind: NotifyType) -> Vec<u32> {
    seen.filter(|seen| seen.authentic == Some(true) && !seen.repeat)
        .flat_map(Seen::notifies)
        .filter(|notify| notify.kind == kind)
        .filter_map(|notify| notify.data.try_into().ok().map(u32::from_be_bytes))
        .collect()
}

/// Serves for a while and gives the Informational messages that come meanwhile.
pub(super) fn informationals(cx: &mut Cx<'_>, ks: &mut ProbeKs, duration: Duration) -> Vec<Seen> {
    let before = ks.log.entries.len();
    ks.serve_for(cx.world, duration);
    let new = ks.log.entries.get(before..).unwrap_or_default();
    new.iter().filter(|seen| seen.header.exchange == ExchangeType::INFORMATIONAL).cloned().collect()
}

/// Asks the member under the SA whether it is there; gives what came back.
pub(super) fn ask(cx: &mut Cx<'_>, ks: &mut ProbeKs, sequence: u32) -> Flow<Vec<Seen>> {
    sent(ks.send_r_u_there(cx.world, sequence))?;
    Ok(informationals(cx, ks, Duration::from_secs(2)))
}

/// Tells whether the member still has the SA: it answers a right query under it.
pub(super) fn has_sa(cx: &mut Cx<'_>, ks: &mut ProbeKs, sequence: u32) -> Flow<bool> {
    let seen = ask(cx, ks, sequence)?;
    Ok(numbers(seen.iter(), NotifyType::R_U_THERE_ACK).contains(&sequence))
}
