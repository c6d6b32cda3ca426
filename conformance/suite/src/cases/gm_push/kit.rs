//! What the cases of this folder share: a PUSH that must not count, and the valid one behind it that must.
//!
//! Acceptance is shown by the acknowledgement of RFC 8263, which the standard script asks for. A refusal is shown by
//! its absence together with a valid PUSH that is acknowledged right afterwards. A PUSH that is wrong in form or
//! signature carries a number far ahead, and the valid one carries the next: that it is accepted shows that the
//! refused one moved nothing.

use hallmark_core::{Duration, Instant};
use hallmark_probe::group::{Kek, Tek};
use hallmark_probe::ks::{AckSeen, KsScript, PushSent, PushSpec};
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_probe::world::Party;
use hallmark_wire::isakmp::ExchangeType;

use crate::cx::{Cx, Flow, Stop};
pub(super) use crate::rule::Rule;
use crate::scene::{ACK_WINDOW, GmScene};
use crate::setup::GmSetup;

/// How far ahead a PUSH is numbered that must not count.
pub(super) const AHEAD: u32 = 100;
/// How long a registration is waited for that may be refused.
const PATIENCE: Duration = Duration::from_secs(60);

/// A wrong PUSH and its name in the report.
pub(super) type Wrong = (&'static str, Tamper);

/// Where the number of a PUSH stands that must not count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Far ahead: wrong in form or signature, it must leave the counter alone.
    Ahead,
    /// Next: it is authentic, so the counter may have moved when its content is refused.
    Next,
}

/// What came of the deletion of a KEK.
pub(super) struct Deleted {
    /// The KEK that was deleted, with the number of the PUSH that did it.
    pub(super) old: Kek,
    /// Whether the PUSH was acknowledged.
    pub(super) acked: bool,
    /// After how many seconds the member had registered again, if it did.
    pub(super) registered: Option<f64>,
    /// Registrations before it.
    pub(super) before: usize,
}

/// A registered group member that has acknowledged a PUSH.
pub(super) struct Bench {
    /// The member and its key server.
    pub(super) scene: GmScene,
    refused: Vec<(String, Rule, PushSent)>,
    /// Registrations that had begun when the probing began.
    begun: usize,
    /// When the member got its newest TEK.
    keyed: Instant,
}

impl Bench {
    /// Starts a member with the standard setup against the standard script.
    pub(super) fn standard(cx: &mut Cx<'_>) -> Flow<Self> {
        Self::with(cx, |_| {})
    }

    /// Starts a member with the standard setup against a changed script.
    pub(super) fn with(cx: &mut Cx<'_>, change: impl FnOnce(&mut KsScript)) -> Flow<Self> {
        Self::start(cx, |_| {}, change)
    }

    /// Starts a member with a changed setup against a changed script, lets it register and take one PUSH.
    pub(super) fn start(
        cx: &mut Cx<'_>,
        setup: impl FnOnce(&mut GmSetup),
        change: impl FnOnce(&mut KsScript),
    ) -> Flow<Self> {
        let mut bench = Self::fresh(cx, setup, change)?;
        bench.scene.still_takes_pushes(cx)?;
        bench.keyed = cx.world.now();
        Ok(bench)
    }

    /// Starts a member and lets it register; it has taken no PUSH yet.
    pub(super) fn fresh(
        cx: &mut Cx<'_>,
        setup: impl FnOnce(&mut GmSetup),
        change: impl FnOnce(&mut KsScript),
    ) -> Flow<Self> {
        let (setup, script) = prepared(cx, setup, change);
        let mut scene = GmScene::start(cx, setup, script)?;
        scene.register(cx)?;
        Ok(Self { begun: begun(&scene), keyed: cx.world.now(), refused: Vec::new(), scene })
    }

    /// Starts a member whose policy it may refuse: `None` when it does not register.
    pub(super) fn optional(
        cx: &mut Cx<'_>,
        setup: impl FnOnce(&mut GmSetup),
        change: impl FnOnce(&mut KsScript),
    ) -> Flow<Option<Self>> {
        let (setup, script) = prepared(cx, setup, change);
        let mut scene = GmScene::start(cx, setup, script)?;
        if scene.ks.await_registration(cx.world, PATIENCE).is_err() {
            return Ok(None);
        }
        cx.alive_before("registration completed");
        Ok(Some(Self { begun: begun(&scene), keyed: cx.world.now(), refused: Vec::new(), scene }))
    }

    /// Says when the member got its newest TEK.
    pub(super) const fn keyed(&mut self, at: Instant) {
        self.keyed = at;
    }

    /// Gives the KEK in use.
    pub(super) fn kek(&self, cx: &Cx<'_>) -> Flow<Kek> {
        cx.have(self.scene.ks.script.group.kek.clone(), "the script has no KEK")
    }

    /// Gives a successor of the KEK in use.
    pub(super) fn next_kek(&mut self) -> Flow<Kek> {
        self.scene.ks.fresh_kek().map_err(|fault| Stop::Inconclusive(fault.to_string()))
    }

    /// Gives a fresh TEK.
    pub(super) fn next_tek(&mut self) -> Tek {
        self.scene.ks.fresh_tek()
    }

    /// Makes a PUSH of one fresh TEK.
    pub(super) fn rekey(&mut self) -> PushSpec {
        PushSpec::tek(self.next_tek())
    }

    /// Gives the last number used under the KEK in use.
    pub(super) fn last(&self) -> u32 {
        self.scene.ks.script.group.kek.as_ref().map_or(0, |kek| kek.seq)
    }

    /// Goes on as if this number had been used.
    pub(super) fn set_last(&mut self, seq: u32) {
        if let Some(kek) = &mut self.scene.ks.script.group.kek {
            kek.seq = seq;
        }
    }

    /// Sends a PUSH that counts and waits for its acknowledgement, sending it once more as for a lost datagram.
    pub(super) fn acked(&mut self, cx: &mut Cx<'_>, spec: PushSpec) -> Flow<Option<AckSeen>> {
        let push = self.scene.push(cx, spec.commit(true))?;
        if !push.spis.is_empty() {
            self.keyed = push.at;
        }
        if let Some(ack) = self.scene.ack(cx, &push) {
            return Ok(Some(ack));
        }
        self.scene.ks.replay_push(cx.world, &push);
        Ok(self.scene.ack(cx, &push))
    }

    /// Sends a PUSH that must be accepted; ends the case when it is not.
    pub(super) fn accept(&mut self, cx: &mut Cx<'_>, rule: &Rule, what: &str, spec: PushSpec) -> Flow<AckSeen> {
        let ack = self.acked(cx, spec)?;
        let observed = format!("{what}: {}", if ack.is_some() { "acknowledged" } else { "no acknowledgement" });
        cx.check(rule.id, rule.requirements, ack.is_some(), "an acknowledgement", observed);
        ack.ok_or(Stop::Judged)
    }

    /// Sends a PUSH that is wrong in form or signature, and the valid one behind it.
    pub(super) fn refuse(&mut self, cx: &mut Cx<'_>, rule: &Rule, what: &str, spec: PushSpec) -> Flow {
        self.probe(cx, rule, what, spec, Place::Ahead)
    }

    /// Sends an authentic PUSH whose content is to be refused, and the valid one behind it.
    pub(super) fn refuse_content(&mut self, cx: &mut Cx<'_>, rule: &Rule, what: &str, spec: PushSpec) -> Flow {
        self.probe(cx, rule, what, spec, Place::Next)
    }

    /// Sends each wrong PUSH of a fresh TEK and the valid one behind it.
    pub(super) fn refuse_each(&mut self, cx: &mut Cx<'_>, rule: &Rule, wrong: Vec<Wrong>) -> Flow {
        for (what, tamper) in wrong {
            let spec = self.rekey().tamper(tamper);
            self.refuse(cx, rule, what, spec)?;
        }
        Ok(())
    }

    fn probe(&mut self, cx: &mut Cx<'_>, rule: &Rule, what: &str, spec: PushSpec, place: Place) -> Flow {
        let next = self.last().wrapping_add(1);
        let seq = if place == Place::Ahead { next.wrapping_add(AHEAD) } else { next };
        let bad = self.scene.push(cx, spec.seq(seq).commit(false))?;
        if place == Place::Next {
            self.set_last(seq);
        }
        let valid = self.rekey();
        let alive = self.acked(cx, valid)?.is_some();
        let taken = self.was_acked(&bad);
        self.judge(cx, rule, what, taken);
        let effect = match place {
            Place::Ahead => Rule::grave("push.refused-leaves-counter", &["GDOI-PUSH-042"]),
            Place::Next => Rule::grave("push.refused-leaves-member-working", rule.requirements),
        };
        let observed = format!("{what}: {}", if alive { "acknowledged" } else { "no acknowledgement" });
        cx.grave(effect.id, effect.requirements, alive, "the next valid PUSH is acknowledged", observed);
        if alive && !taken {
            self.refused.push((what.to_owned(), *rule, bad));
            return Ok(());
        }
        // The member has taken what it should not have, or works no more: go on only if a number ahead of both helps.
        self.set_last(seq.max(self.last()));
        let valid = self.rekey();
        if self.acked(cx, valid)?.is_some() { Ok(()) } else { Err(Stop::Judged) }
    }

    /// Tells whether a PUSH was acknowledged up to now.
    pub(super) fn was_acked(&self, push: &PushSent) -> bool {
        self.acks_of(push) > 0
    }

    /// Counts the acknowledgements of a PUSH up to now.
    pub(super) fn acks_of(&self, push: &PushSent) -> usize {
        let fits = |ack: &&AckSeen| {
            ack.seq == Some(push.seq) && ack.kek_spi == push.kek_spi && ack.is_valid() && ack.seen.at >= push.at
        };
        self.scene.ks.log.acks.iter().filter(fits).count()
    }

    fn judge(&self, cx: &mut Cx<'_>, rule: &Rule, what: &str, taken: bool) {
        let observed = format!("{what}: {}", if taken { "acknowledged" } else { "no acknowledgement" });
        rule.silence(cx, !taken, "no acknowledgement", observed);
    }

    /// Sends a PUSH that must not be acknowledged within the time for acknowledgements, and judges that.
    pub(super) fn unacked(&mut self, cx: &mut Cx<'_>, rule: &Rule, what: &str, spec: PushSpec) -> Flow<bool> {
        let push = self.scene.push(cx, spec.commit(false))?;
        self.stays_unacked(cx, rule, what, &push)
    }

    /// Waits out the time for acknowledgements of a PUSH that was sent and judges that none came since.
    pub(super) fn stays_unacked(&mut self, cx: &mut Cx<'_>, rule: &Rule, what: &str, push: &PushSent) -> Flow<bool> {
        let before = self.acks_of(push);
        self.scene.ks.serve_for(cx.world, ACK_WINDOW);
        let taken = self.acks_of(push) > before;
        self.judge(cx, rule, what, taken);
        Ok(!taken)
    }

    /// Waits for what comes late, judges it, and sends a last valid PUSH.
    pub(super) fn finish(mut self, cx: &mut Cx<'_>) -> Flow {
        self.scene.ks.serve_for(cx.world, ACK_WINDOW);
        let late: Vec<(String, Rule)> = self
            .refused
            .iter()
            .filter(|(_, _, push)| self.was_acked(push))
            .map(|(what, rule, _)| (what.clone(), *rule))
            .collect();
        for (what, rule) in late {
            self.judge(cx, &rule, &format!("{what} (late)"), true);
        }
        if !self.refused.is_empty() {
            let provoked = begun(&self.scene) > self.begun;
            let observed = if provoked { "a registration began" } else { "none began" };
            cx.silence("push.no-registration-provoked", &["GDOI-PUSH-058"], !provoked, "no registration", observed);
        }
        self.scene.finish(cx)
    }

    /// Judges that the member registers again before what it got last has lived for so many seconds.
    pub(super) fn registers_before_end(&mut self, cx: &mut Cx<'_>, rule: &Rule, life_secs: u64) -> bool {
        let end = self.keyed + Duration::from_secs(life_secs);
        let left = end.saturating_since(cx.world.now());
        let done = self.registers_again(cx, left).is_some();
        let remaining = end.saturating_since(cx.world.now()).as_secs_f64();
        if done {
            cx.measure("lifetime left at the registration", remaining, "s");
        }
        let observed = if done {
            format!("it registered {remaining:.0} s before the end")
        } else {
            "it had not registered by the end".to_owned()
        };
        cx.check(rule.id, rule.requirements, done, "a registration before the keys end", observed)
    }

    /// Ends the case of a member that may have to register first.
    pub(super) fn finish_after(mut self, cx: &mut Cx<'_>, registered: bool) -> Flow {
        if registered { self.scene.finish(cx) } else { self.scene.finish_by_registration(cx) }
    }

    /// Waits so long at most until the member registers again; tells after how many seconds.
    pub(super) fn registers_again(&mut self, cx: &mut Cx<'_>, within: Duration) -> Option<f64> {
        let start = cx.world.now();
        let before = self.scene.ks.log.registrations;
        let deadline = start + within;
        let done = self.scene.ks.serve(cx.world, &mut |log| log.registrations > before, deadline);
        done.then(|| cx.world.now().saturating_since(start).as_secs_f64())
    }

    /// Sends a PUSH that deletes the KEK, goes on with a new KEK for whoever registers, and waits for both the
    /// acknowledgement and so long at most for the registration.
    pub(super) fn delete_kek(&mut self, cx: &mut Cx<'_>, spec: PushSpec, within: Duration) -> Flow<Deleted> {
        let old = self.kek(cx)?;
        let next = self.next_kek()?;
        let before = self.scene.ks.log.registrations;
        let push = self.scene.push(cx, spec)?;
        // The member may come back before its acknowledgement does.
        self.scene.ks.script.group.kek = Some(next);
        let done = self.scene.ks.serve(cx.world, &mut |log| log.registrations > before, push.at + within);
        let registered = done.then(|| cx.world.now().saturating_since(push.at).as_secs_f64());
        let left = (push.at + ACK_WINDOW).saturating_since(cx.world.now());
        self.scene.ks.serve_for(cx.world, left);
        // The script no longer has the key that the HASH is made with: cookies and number tell it.
        let fits = |ack: &&AckSeen| ack.kek_spi == old.spi && ack.seq == Some(push.seq) && ack.seen.at >= push.at;
        let acked = self.scene.ks.log.acks.iter().any(|ack| fits(&ack));
        Ok(Deleted { old: Kek { seq: push.seq, ..old }, acked, registered, before })
    }

    /// Waits so long at most until more registrations have been seen than so many.
    pub(super) fn registers_beyond(&mut self, cx: &mut Cx<'_>, before: usize, within: Duration) -> bool {
        let deadline = cx.world.now() + within;
        self.scene.ks.serve(cx.world, &mut |log| log.registrations > before, deadline)
    }
}

/// Makes setup and script and lets the case change both.
fn prepared(
    cx: &mut Cx<'_>,
    setup: impl FnOnce(&mut GmSetup),
    change: impl FnOnce(&mut KsScript),
) -> (GmSetup, KsScript) {
    let mut prepared = GmSetup::standard(cx.world);
    setup(&mut prepared);
    let mut script = KsScript::new(cx.world, 0);
    change(&mut script);
    (prepared, script)
}

fn begun(scene: &GmScene) -> usize {
    scene.ks.log.of(Step::Main1).chain(scene.ks.log.of(Step::Pull1)).filter(|seen| !seen.repeat).count()
}

/// Counts the acknowledgements that wait at another end of the tester.
pub(super) fn acks_at(cx: &mut Cx<'_>, tester: u8, within: Duration) -> Vec<hallmark_core::Datagram> {
    let deadline = cx.world.now() + within;
    let mut acks = Vec::new();
    while let Some(datagram) = cx.world.recv_at(Party::Tester(tester), deadline) {
        if datagram.payload.get(18) == Some(&ExchangeType::PUSH_ACK.0) {
            acks.push(datagram);
        }
    }
    acks
}

/// Sets the lifetime of every TEK that the script hands out.
pub(super) fn tek_lifetime(script: &mut KsScript, secs: u32) {
    script.group.teks = script.group.teks.iter().map(|tek| tek.clone().lifetime(secs)).collect();
}

/// Changes the KEK that the script hands out.
pub(super) fn kek_of(script: &mut KsScript, change: impl FnOnce(&mut Kek)) {
    if let Some(kek) = &mut script.group.kek {
        change(kek);
    }
}

/// What a member tells of its SAs.
pub(super) struct Sas {
    /// SPIs that it receives on.
    pub(super) accepted: Vec<u32>,
    /// SPIs that it sends with.
    pub(super) sending: Vec<u32>,
}

impl Sas {
    /// Asks its console.
    pub(super) fn ask(cx: &mut Cx<'_>) -> Flow<Self> {
        let status = cx.world.command(0, r#"{"cmd":"status"}"#)?;
        let accepted = cx.have(numbers(&status, "\"accepted_spis\":["), "the status lists no accepted SPIs")?;
        let sending = cx.have(numbers(&status, "\"send_spis\":["), "the status lists no SPIs to send with")?;
        Ok(Self { accepted, sending })
    }
}

/// Reads a list of numbers out of a JSON text.
fn numbers(json: &str, start: &str) -> Option<Vec<u32>> {
    let json: String = json.chars().filter(|c| !c.is_whitespace()).collect();
    let (_, rest) = json.split_once(start)?;
    let (list, _) = rest.split_once(']')?;
    list.split(',').filter(|word| !word.is_empty()).map(|word| word.parse().ok()).collect()
}
