//! What the cases of this folder share: an answer of the key server that must not be taken, the look at what the
//! member does with it, and the right answer behind it.
//!
//! That a policy (message 2) was taken shows in message 3. That keys (message 4) were taken shows in the
//! acknowledgement of a PUSH under them. A member that refuses asks again by itself, which is also its sign of life.

use hallmark_catalogue::{Check, Level};
use hallmark_core::Duration;
use hallmark_probe::ks::{KsScript, ProbeKs, PushSpec};
use hallmark_probe::seen::Seen;
use hallmark_probe::step::Step;
use hallmark_probe::tamper::Tamper;
use hallmark_probe::world::Role;
use hallmark_wire::isakmp::{ExchangeType, PayloadType};

use crate::cx::{Cx, Flow, Stop};
pub(super) use crate::rule::Rule;
use crate::scene::GmScene;
use crate::setup::GmSetup;

/// How long a message that must not come is waited for.
pub(super) const WINDOW: Duration = Duration::from_secs(4);
/// How long a member may stay silent after a refusal: the setup caps its pauses at 60 s.
pub(super) const PATIENCE: Duration = Duration::from_secs(200);

/// A wrong answer and its name in the report.
pub(super) type Wrong = (&'static str, Tamper);

/// A group member under test that need not have registered.
pub(super) struct Bench {
    /// The member and its key server.
    pub(super) scene: GmScene,
    heard: bool,
}

impl Bench {
    /// Starts a member with the standard setup against the standard script.
    pub(super) fn standard(cx: &mut Cx<'_>) -> Flow<Self> {
        Self::with(cx, |_| {}, |_| {})
    }

    /// Starts a member with a changed setup against a changed script.
    pub(super) fn with(
        cx: &mut Cx<'_>,
        setup: impl FnOnce(&mut GmSetup),
        script: impl FnOnce(&mut KsScript),
    ) -> Flow<Self> {
        let mut own = GmSetup::standard(cx.world);
        // A refusal is followed by another try soon: the cases make many of them.
        own.min_interval_secs = 5;
        setup(&mut own);
        let mut served = KsScript::new(cx.world, 0);
        script(&mut served);
        Ok(Self { scene: GmScene::start(cx, own, served)?, heard: false })
    }

    /// Lends the key server of the tester.
    pub(super) fn ks(&mut self) -> &mut ProbeKs {
        &mut self.scene.ks
    }

    /// Starts the member anew with the same setup.
    pub(super) fn restart(&mut self, cx: &mut Cx<'_>) -> Flow {
        cx.world.start(0, Role::Gm, &self.scene.setup.to_toml())?;
        self.scene.ks.forget_sas();
        Ok(())
    }

    /// Waits for the next new message 1 and gives it.
    pub(super) fn request(&mut self, cx: &mut Cx<'_>) -> Flow<Seen> {
        let before = requests(&self.scene.ks);
        let deadline = cx.world.now() + PATIENCE;
        let ks = &mut self.scene.ks;
        ks.serve(cx.world, &mut |log| log.of(Step::Pull1).filter(|seen| is_new(seen)).count() > before, deadline);
        let seen = ks.log.of(Step::Pull1).filter(|seen| is_new(seen)).nth(before).cloned();
        self.heard_of(cx, seen.is_some(), "a request for the group policy")?;
        seen.ok_or(Stop::Judged)
    }

    /// Waits until a message 4 was built for a new registration.
    pub(super) fn completion(&mut self, cx: &mut Cx<'_>) -> Flow {
        let before = self.scene.ks.log.registrations;
        let deadline = cx.world.now() + PATIENCE;
        let done = self.scene.ks.serve(cx.world, &mut |log| log.registrations > before, deadline);
        self.heard_of(cx, done, "a registration up to message 3")
    }

    /// The first sign of life is the control before the probe. Later a member that stays away has either stopped
    /// working, or takes itself for registered with what it should have refused.
    fn heard_of(&mut self, cx: &mut Cx<'_>, done: bool, what: &str) -> Flow {
        if done {
            if !std::mem::replace(&mut self.heard, true) {
                cx.alive_before(&format!("{what} came"));
            }
            return Ok(());
        }
        cx.require(self.heard, format!("{what} did not come before the probe"))?;
        let answers = self.answers_dpd(cx);
        let observed = format!(
            "{what} did not come within {} s, {}",
            PATIENCE.as_secs(),
            if answers { "but it answers under phase 1" } else { "and it does not answer under phase 1" }
        );
        let check = Check::new("pull.asks-again", &["GDOI-PULL-069"]).level(Level::Should).at(cx.world.now());
        let check = if answers { check } else { check.grave() };
        cx.record(check.saw(false, "the member asks again after a refusal", observed));
        Err(Stop::Judged)
    }

    fn answers_dpd(&mut self, cx: &mut Cx<'_>) -> bool {
        let before = self.scene.ks.log.count(Step::Informational);
        if self.scene.ks.send_r_u_there(cx.world, 1).is_err() {
            return false;
        }
        let deadline = cx.world.now() + WINDOW;
        self.scene.ks.serve(cx.world, &mut |log| log.count(Step::Informational) > before, deadline)
    }

    /// Answers a request with each of these wrong messages 2; none may be followed by a message 3.
    pub(super) fn refuse_policies(&mut self, cx: &mut Cx<'_>, rule: &Rule, wrong: Vec<Wrong>) -> Flow {
        for (what, tamper) in wrong {
            self.scene.ks.tamper(Step::Pull2, tamper);
            self.request(cx)?;
            let before = thirds(&self.scene.ks);
            self.scene.ks.serve_for(cx.world, WINDOW);
            let taken = thirds(&self.scene.ks) > before;
            let observed = format!("{what}: {}", if taken { "message 3 came" } else { "no message 3" });
            rule.silence(cx, !taken, "no message 3", observed);
            if taken {
                self.restart(cx)?;
            }
        }
        Ok(())
    }

    /// Answers message 3 with each of these wrong messages 4; no PUSH under the keys in it may be acknowledged, and
    /// the member must come again.
    pub(super) fn refuse_keys(&mut self, cx: &mut Cx<'_>, rule: &Rule, wrong: Vec<Wrong>) -> Flow {
        for (what, tamper) in wrong {
            self.scene.ks.tamper(Step::Pull4, tamper);
            self.completion(cx)?;
            let taken = self.takes_push(cx)?;
            let observed = format!("{what}: {}", if taken { "a PUSH was acknowledged" } else { "no acknowledgement" });
            rule.silence(cx, !taken, "no PUSH is acknowledged", observed);
            if taken {
                self.restart(cx)?;
            }
        }
        Ok(())
    }

    /// Sends a PUSH that does not count and tells whether it is acknowledged.
    pub(super) fn takes_push(&mut self, cx: &mut Cx<'_>) -> Flow<bool> {
        let tek = self.scene.ks.fresh_tek();
        let push = self.scene.push(cx, PushSpec::tek(tek).commit(false))?;
        Ok(self.scene.ack(cx, &push).is_some())
    }

    /// Sends a PUSH that counts and tells whether it is acknowledged.
    pub(super) fn takes_next_push(&mut self, cx: &mut Cx<'_>) -> Flow<bool> {
        let push = self.scene.ks.push_fresh_tek(cx.world).map_err(|fault| Stop::Inconclusive(fault.to_string()))?;
        Ok(self.scene.ack(cx, &push).is_some())
    }

    /// Tells whether the member shows any sign of life: a request, an answer under phase 1, an acknowledgement.
    pub(super) fn lives(&mut self, cx: &mut Cx<'_>) -> Flow<bool> {
        let heard = self.scene.ks.log.entries.len();
        if self.answers_dpd(cx) || self.takes_push(cx)? {
            return Ok(true);
        }
        let deadline = cx.world.now() + PATIENCE;
        Ok(self.scene.ks.serve(cx.world, &mut |log| log.entries.len() > heard, deadline))
    }

    /// Sends a PUSH with this number that does not count and tells whether it is acknowledged.
    pub(super) fn takes_number(&mut self, cx: &mut Cx<'_>, seq: u32) -> Flow<bool> {
        let tek = self.scene.ks.fresh_tek();
        let push = self.scene.push(cx, PushSpec::tek(tek).seq(seq).commit(false))?;
        Ok(self.scene.ack(cx, &push).is_some())
    }

    /// Lets the member register, which is the control before the probe.
    pub(super) fn register(&mut self, cx: &mut Cx<'_>) -> Flow {
        self.scene.register(cx)?;
        self.heard = true;
        Ok(())
    }

    /// Waits for so many seconds at most until the member has registered once more.
    pub(super) fn registers_within(&mut self, cx: &mut Cx<'_>, secs: u64) -> bool {
        let before = self.scene.ks.log.registrations;
        let deadline = cx.in_secs(secs);
        self.scene.ks.serve(cx.world, &mut |log| log.registrations > before, deadline)
    }

    /// Ends the case: answered rightly, the member must register and take a PUSH.
    pub(super) fn finish(mut self, cx: &mut Cx<'_>) -> Flow {
        self.scene.ks.untamper();
        self.scene.ks.answer_all();
        let works = self.works(cx)?;
        let observed = if works { "it registered and took a PUSH" } else { "it did not" };
        cx.grave("pull.works-afterwards", &["GDOI-PULL-069"], works, "a right answer is taken", observed);
        if works {
            cx.alive_after("the member registered with right answers and acknowledged a PUSH");
        }
        Ok(())
    }

    fn works(&mut self, cx: &mut Cx<'_>) -> Flow<bool> {
        let deadline = cx.world.now() + PATIENCE;
        while cx.world.now() < deadline {
            if !self.scene.ks.members.is_empty() && self.takes_next_push(cx)? {
                return Ok(true);
            }
            self.registers_within(cx, 10);
        }
        Ok(false)
    }
}

/// Answers requests with each of these wrong messages 2 and judges that none is taken.
pub(super) fn policies_refused(cx: &mut Cx<'_>, rule: Rule, wrong: Vec<Wrong>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    bench.refuse_policies(cx, &rule, wrong)?;
    bench.finish(cx)
}

/// Answers message 3 with each of these wrong messages 4 and judges that none is taken.
pub(super) fn keys_refused(cx: &mut Cx<'_>, rule: Rule, wrong: Vec<Wrong>) -> Flow {
    let mut bench = Bench::standard(cx)?;
    bench.refuse_keys(cx, &rule, wrong)?;
    bench.finish(cx)
}

/// A change of what the key server serves.
pub(super) type Change = fn(&mut KsScript);
/// A legal way to serve: its name, what is served, and what is changed in which message.
pub(super) type Legal = (&'static str, Change, Option<(Step, Tamper)>);

/// Serves a fresh member in each of these ways; each time it must register and take a PUSH.
pub(super) fn accepted(cx: &mut Cx<'_>, rule: Rule, legal: Vec<Legal>) -> Flow {
    accepted_with(cx, rule, |_| {}, legal)
}

/// Does the same with a changed setup.
pub(super) fn accepted_with(cx: &mut Cx<'_>, rule: Rule, setup: impl FnOnce(&mut GmSetup), legal: Vec<Legal>) -> Flow {
    let mut bench = Bench::with(cx, setup, |_| {})?;
    bench.register(cx)?;
    let usual = bench.scene.ks.script.clone();
    for (what, change, tamper) in legal {
        bench.scene.ks.script = usual.clone();
        change(&mut bench.scene.ks.script);
        bench.scene.ks.untamper();
        if let Some((step, tamper)) = tamper {
            bench.scene.ks.tamper(step, tamper);
        }
        bench.restart(cx)?;
        let registered = bench.registers_within(cx, 60);
        let observed = format!("{what}: {}", if registered { "it registered" } else { "it did not register" });
        let ok = rule.judge(cx, registered, "a registration", observed);
        if ok && bench.scene.ks.script.group.kek.is_some() {
            let acked = bench.takes_push(cx)?;
            let observed = format!("{what}: {}", if acked { "acknowledged" } else { "no acknowledgement" });
            rule.judge(cx, acked, "a PUSH under these keys is acknowledged", observed);
        }
    }
    bench.scene.ks.script = usual;
    bench.restart(cx)?;
    bench.finish(cx)
}

/// Tells whether a message 1 is a new one that verifies.
pub(super) fn is_new(seen: &Seen) -> bool {
    !seen.repeat && seen.authentic == Some(true)
}

/// Counts the new requests for the group policy.
pub(super) fn requests(ks: &ProbeKs) -> usize {
    ks.log.of(Step::Pull1).filter(|seen| is_new(seen)).count()
}

/// Counts the messages 3, also those that go on from something that the tester did not say and so do not open.
pub(super) fn thirds(ks: &ProbeKs) -> usize {
    ks.log.of(Step::Pull3).filter(|seen| !seen.repeat).count()
}

/// Gives the types of the payloads without those that anyone may add.
pub(super) fn kinds(seen: &Seen) -> Vec<PayloadType> {
    let extra = |kind: &PayloadType| matches!(*kind, PayloadType::VENDOR_ID | PayloadType::NOTIFY);
    seen.kinds().into_iter().filter(|kind| !extra(kind)).collect()
}

/// Gives every message of exchange 32 in order, copies included.
pub(super) fn pulls(ks: &ProbeKs) -> impl Iterator<Item = &Seen> {
    ks.log.entries.iter().filter(|seen| seen.header.exchange == ExchangeType::PULL)
}

/// Makes TEKs live so long, registrations follow each other quickly and without random delay.
pub(super) fn brisk(setup: &mut GmSetup) {
    (setup.min_interval_secs, setup.reregister_lead_secs, setup.reregister_jitter_secs) = (5, 30, 0);
}

/// Sets the lifetime of every TEK that is handed out.
pub(super) fn tek_life(script: &mut KsScript, secs: u32) {
    script.group.teks = script.group.teks.iter().map(|tek| tek.clone().lifetime(secs)).collect();
}

/// Makes a second key server with the group of the first.
pub(super) fn second(cx: &mut Cx<'_>, first: &ProbeKs) -> ProbeKs {
    let mut script = KsScript::new(cx.world, 1);
    script.group = first.script.group.clone();
    ProbeKs::with_script(cx.world, script)
}

/// Lets two key servers answer for so long, or until one of them has served a registration.
pub(super) fn serve_both(cx: &mut Cx<'_>, one: &mut ProbeKs, two: &mut ProbeKs, within: Duration) -> bool {
    let before = (one.log.registrations, two.log.registrations);
    let deadline = cx.world.now() + within;
    while cx.world.now() < deadline {
        one.serve_for(cx.world, Duration::from_millis(250));
        two.serve_for(cx.world, Duration::from_millis(250));
        if (one.log.registrations, two.log.registrations) != before {
            return true;
        }
    }
    false
}
