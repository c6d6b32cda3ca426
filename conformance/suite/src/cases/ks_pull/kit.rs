//! What the cases of this folder share: one PULL with everything that came, wrong messages with the silence that they
//! must meet, and the proof that the same phase 1 SA still works.

use hallmark_core::Duration;
use hallmark_probe::gm::{ProbeGm, Registration};
use hallmark_probe::seen::Seen;
use hallmark_probe::step::{Fault, Step};
use hallmark_probe::tamper::Tamper;
use hallmark_wire::isakmp::ExchangeType;

pub(super) use crate::cx::sent;
use crate::cx::{Cx, Flow, Stop};
use crate::scene::KsScene;
use crate::setup::KsSetup;

/// How long an answer that must not come is waited for: 3 s, and longer than one retransmission.
pub(super) const WINDOW: Duration = Duration::from_secs(4);
/// A tester end that takes no part in a probe: it shows whether anyone at all is still served.
const BYSTANDER: u8 = 10;

/// A wrong (or unusual) message and its name in the report.
pub(super) type Wrong = (&'static str, Tamper);

/// Names a check and what it judges.
pub(super) type Judged<'a> = (&'a str, &'a [&'a str]);

/// One PULL with the answers as they came, also when they could not be used.
pub(super) struct Pulled {
    /// Message 2.
    pub(super) m2: Option<Seen>,
    /// Message 4.
    pub(super) m4: Option<Seen>,
    /// How it ended.
    pub(super) result: Result<Registration, Fault>,
}

impl Pulled {
    /// Says in words how it ended.
    pub(super) fn words(&self) -> String {
        match &self.result {
            Ok(_) => "the PULL completed".to_owned(),
            Err(fault) => fault.to_string(),
        }
    }
}

/// Runs a PULL under the phase 1 SA of a member.
pub(super) fn pull(cx: &mut Cx<'_>, member: &mut ProbeGm) -> Pulled {
    let start = member.log.len();
    let result = member.pull(cx.world);
    let new = member.log.get(start..).unwrap_or_default();
    let find = |step| new.iter().find(|seen| seen.step == step && !seen.repeat).cloned();
    Pulled { m2: find(Step::Pull2), m4: find(Step::Pull4), result }
}

/// Runs a PULL that has to complete before the case can go on.
pub(super) fn complete(cx: &mut Cx<'_>, member: &mut ProbeGm) -> Flow<Registration> {
    member.pull(cx.world).map_err(|fault| Stop::Inconclusive(format!("a PULL of the tester's own: {fault}")))
}

/// Opens a PULL and waits for message 2, so that a message 3 can follow.
pub(super) fn open(cx: &mut Cx<'_>, member: &mut ProbeGm) -> Flow<u32> {
    member.untamper();
    let message_id = sent(member.send_pull1(cx.world))?;
    let answer = member.receive_pull2(cx.world);
    answer.map_err(|fault| Stop::Inconclusive(format!("message 2 before the probe: {fault}")))?;
    Ok(message_id)
}

/// Finds the PULL messages that are no copies of earlier ones.
pub(super) fn served(seen: &[Seen]) -> bool {
    seen.iter().any(|seen| seen.header.exchange == ExchangeType::PULL && !seen.repeat)
}

/// Says what came in answer, in words for the report.
pub(super) fn words(seen: &[Seen]) -> String {
    if seen.is_empty() {
        return "nothing came".to_owned();
    }
    let word = |seen: &Seen| match seen.error_notify() {
        Some(notify) => format!("notification {}", notify.kind),
        None if seen.repeat => format!("a copy of {}", seen.step),
        None => seen.step.to_string(),
    };
    format!("came: {}", seen.iter().map(word).collect::<Vec<_>>().join(", "))
}

/// Sends each wrong message 1 under the SA of a registered member: no message 2 may come, and an untampered PULL under
/// the same SA must complete.
pub(super) fn requests_refused(cx: &mut Cx<'_>, judged: Judged<'_>, wrong: Vec<Wrong>) -> Flow {
    let scene = KsScene::standard(cx)?;
    let (mut member, _) = scene.register(cx, 0)?;
    refuse_requests(cx, &scene, &mut member, judged, wrong)?;
    scene.finish(cx)
}

/// Does the work of [`requests_refused`] in a scene of the case's own.
pub(super) fn refuse_requests(
    cx: &mut Cx<'_>,
    scene: &KsScene,
    member: &mut ProbeGm,
    (check, requirements): Judged<'_>,
    wrong: Vec<Wrong>,
) -> Flow {
    for (what, tamper) in wrong {
        member.untamper();
        member.tamper(Step::Pull1, tamper);
        sent(member.send_pull1(cx.world))?;
        let seen = member.collect(cx.world, WINDOW);
        cx.silence(check, requirements, !served(&seen), "no message 2", format!("{what}: {}", words(&seen)));
        survives(cx, scene, member, what)?;
    }
    Ok(())
}

/// Sends each wrong message 3 in an exchange of its own: no message 4 may come, and an untampered PULL under the same
/// SA must complete.
pub(super) fn refuse_proofs(
    cx: &mut Cx<'_>,
    scene: &KsScene,
    member: &mut ProbeGm,
    (check, requirements): Judged<'_>,
    wrong: Vec<Wrong>,
) -> Flow {
    for (what, tamper) in wrong {
        open(cx, member)?;
        member.tamper(Step::Pull3, tamper);
        sent(member.send_pull3(cx.world))?;
        let seen = member.collect(cx.world, WINDOW);
        cx.silence(check, requirements, !served(&seen), "no message 4", format!("{what}: {}", words(&seen)));
        survives(cx, scene, member, what)?;
    }
    Ok(())
}

/// Proves that a phase 1 SA works: an untampered PULL under it completes. A server that no longer serves anyone has
/// stopped working, and the case ends with that.
pub(super) fn survives(cx: &mut Cx<'_>, scene: &KsScene, member: &mut ProbeGm, what: &str) -> Flow {
    const RULE: &[&str] = &["GDOI-PULL-069"];
    const EXPECTED: &str = "an untampered PULL under the same SA completes";
    member.untamper();
    let Err(fault) = member.pull(cx.world) else {
        cx.check("pull.sa-survives", RULE, true, EXPECTED, format!("{what}: completed"));
        return Ok(());
    };
    let mut bystander = scene.member(cx, BYSTANDER);
    bystander.script =
        hallmark_probe::GmScript { tester: bystander.script.tester, me: bystander.script.me, ..member.script.clone() };
    let others = bystander.register(cx.world);
    if let Err(other) = others {
        let observed = format!("{what}: {fault}; another member: {other}");
        cx.grave("pull.server-survives", RULE, false, "other members are still served", observed);
        return Err(Stop::Judged);
    }
    cx.check("pull.sa-survives", RULE, false, EXPECTED, format!("{what}: {fault}"));
    let again = member.phase1(cx.world);
    again.map(drop).map_err(|fault| Stop::Inconclusive(format!("a new phase 1 after a lost SA: {fault}")))
}

/// Makes the TEK of a setup a counter mode, so that members get sender ids.
pub(super) fn counter_mode(setup: &mut KsSetup, bits: u16) {
    setup.group().sid_bits = Some(bits);
    let tek = setup.tek();
    tek.transform = "aes128-gcm16".to_owned();
    tek.auth = None;
}

/// Seconds that a TEK of [`rekeys_soon`] lives: a PUSH comes before they are over.
pub(super) const SHORT_LIFE: u64 = 120;

/// Makes the TEKs of a setup short-lived, so that PUSH messages come by themselves.
pub(super) fn rekeys_soon(setup: &mut KsSetup) {
    setup.tek().lifetime_secs = SHORT_LIFE;
    setup.group().tek_lead_floor_secs = 30;
    let kek = setup.kek();
    kek.retransmit_period_secs = 10;
    kek.retransmit_count = 1;
}
